//! The realtime table: which operation serves which request. One exhaustive match: a new message breaks the build until
//! somebody decides about it.

use crate::{
    features::{
        Client, Services, hook_context, limits, limits::Judgement, matches, matchmaker, not_served, parties, rpc,
        status,
    },
    hooks::Ruling,
    realtime::{Delivery, Session},
};
use kizuna_protocol::{
    code::{Close, RealtimeCode},
    realtime::{Envelope, Pong, envelope::Message as Body},
};
use std::{future::Future, pin::Pin, sync::Arc};

/// What becomes of the socket after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stays open.
    Stay,
    /// It closes.
    End(Close),
}

/// A request that is being served.
pub(super) type Pending = Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// How far a request is.
pub(super) enum Served {
    /// Done.
    Now(Verdict),
    /// It takes time; the session's next request waits for it.
    Later(Pending),
}

/// Serves one request. Requests of one session are served one after another, in the order in which they came.
///
/// Every message but `rpc` passes hooks, where there are any: before it, the operation, after it (spec/realtime-core.md 4.4).
pub(super) fn dispatch(services: &Arc<Services>, session: &Arc<Session>, client: Client, envelope: Envelope) -> Served {
    services.metrics.messages_received.inc();
    let Envelope { cid, message } = envelope;
    let Some(body) = message else {
        session.answer_error(cid, RealtimeCode::MissingPayload, "Missing message.");
        return Served::Now(Verdict::End(Close::PROCESSING_ERROR));
    };
    match limits::judge(services, session, client, &cid, &body) {
        Judgement::Serve => {}
        Judgement::Refused => return Served::Now(Verdict::Stay),
        Judgement::Close => return Served::Now(Verdict::End(Close::FLOODING)),
    }
    if services.hooks.stand_around(&body) {
        let envelope = Envelope { cid, message: Some(body) };
        return Served::Later(Box::pin(hooked(Arc::clone(services), Arc::clone(session), client, envelope)));
    }
    Served::Now(handle(services, session, cid, body))
}

/// A request between its hooks.
async fn hooked(services: Arc<Services>, session: Arc<Session>, client: Client, envelope: Envelope) -> Verdict {
    let context = hook_context(client, &session);
    let cid = envelope.cid.clone();
    let body = match services.hooks.before_envelope(&context, envelope).await {
        Ruling::Continue(Envelope { message: Some(body), .. }) => body,
        Ruling::Refuse(error) => {
            session.answer_error(cid, RealtimeCode::RuntimeFunctionException, error.message());
            return Verdict::Stay;
        }
        Ruling::Drop => return Verdict::Stay,
        Ruling::Disable | Ruling::Continue(Envelope { message: None, .. }) => {
            session.answer_error(cid, RealtimeCode::UnrecognizedPayload, "Requested resource was not found.");
            return Verdict::End(Close::PROCESSING_ERROR);
        }
    };
    if !services.hooks.stand_after(&body) {
        return handle(&services, &session, cid, body);
    }
    let request = Envelope { cid: cid.clone(), message: Some(body.clone()) };
    session.listen();
    let verdict = handle(&services, &session, cid, body);
    let heard = session.heard();
    if verdict == Verdict::Stay && !heard.failed {
        services.hooks.after_envelope(&context, &request, heard.answer.as_ref()).await;
    }
    verdict
}

/// The operation itself, which answers before it returns: what stands after a message hears what was said until then. An operation
/// that is to answer from another task has to be awaited here first.
#[deny(clippy::wildcard_enum_match_arm)]
fn handle(services: &Arc<Services>, session: &Arc<Session>, cid: String, body: Body) -> Verdict {
    match body {
        Body::Ping(_) => Delivery::answer(cid, Some(Body::Pong(Pong {}))).to(session),
        Body::Pong(_) => {}
        Body::MatchCreate(request) => matches::create(services, session, cid, &request),
        Body::MatchJoin(request) => matches::join(services, session, cid, request),
        Body::MatchLeave(request) => matches::leave(services, session, cid, &request),
        Body::MatchDataSend(request) => matches::send(services, session, request),
        Body::Rpc(request) => rpc::call_over_socket(services, session, cid, request),
        Body::StatusFollow(request) => status::follow(services, session, cid, &request),
        Body::StatusUnfollow(request) => status::unfollow(services, session, cid, &request),
        Body::StatusUpdate(request) => status::update(services, session, cid, request),
        Body::PartyCreate(request) => parties::create(services, session, cid, request),
        Body::PartyJoin(request) => parties::join(services, session, cid, &request),
        Body::PartyLeave(request) => parties::leave(services, session, cid, &request),
        Body::PartyPromote(request) => parties::promote(services, session, cid, &request),
        Body::PartyAccept(request) => parties::accept(services, session, cid, &request),
        Body::PartyRemove(request) => parties::remove(services, session, cid, &request),
        Body::PartyClose(request) => parties::close(services, session, cid, &request),
        Body::PartyJoinRequestList(request) => parties::join_request_list(services, session, cid, request),
        Body::PartyMatchmakerAdd(request) => parties::matchmaker_add(services, session, cid, request),
        Body::PartyMatchmakerRemove(request) => parties::matchmaker_remove(services, session, cid, &request),
        Body::PartyDataSend(request) => parties::send(services, session, cid, request),
        Body::PartyUpdate(request) => parties::update(services, session, cid, request),
        Body::MatchmakerAdd(request) => matchmaker::add(services, session, cid, request),
        Body::MatchmakerRemove(request) => matchmaker::remove(services, session, cid, &request),
        Body::ChannelJoin(_)
        | Body::ChannelLeave(_)
        | Body::ChannelMessageSend(_)
        | Body::ChannelMessageUpdate(_)
        | Body::ChannelMessageRemove(_) => not_served(session, cid),
        Body::Channel(_)
        | Body::ChannelMessage(_)
        | Body::ChannelMessageAck(_)
        | Body::ChannelPresenceEvent(_)
        | Body::Error(_)
        | Body::Match(_)
        | Body::MatchData(_)
        | Body::MatchPresenceEvent(_)
        | Body::MatchmakerMatched(_)
        | Body::MatchmakerTicket(_)
        | Body::Notifications(_)
        | Body::Status(_)
        | Body::StatusPresenceEvent(_)
        | Body::StreamData(_)
        | Body::StreamPresenceEvent(_)
        | Body::Party(_)
        | Body::PartyLeader(_)
        | Body::PartyJoinRequest(_)
        | Body::PartyMatchmakerTicket(_)
        | Body::PartyData(_)
        | Body::PartyPresenceEvent(_) => {
            session.answer_error(cid, RealtimeCode::UnrecognizedPayload, "Unrecognized message.");
            return Verdict::End(Close::PROCESSING_ERROR);
        }
    }
    Verdict::Stay
}
