//! The realtime table: which operation serves which request. One exhaustive match: a new message breaks the build until
//! somebody decides about it.

use crate::{
    features::{Services, matches, rpc},
    realtime::{Delivery, Session},
};
use kizuna_protocol::{
    code::{Close, RealtimeCode},
    realtime::{Envelope, Pong, envelope::Message as Body},
};
use std::sync::Arc;

/// What becomes of the socket after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stays open.
    Stay,
    /// It closes.
    End(Close),
}

/// Serves one request. Requests of one session are served one after another, in the order in which they came.
pub(super) fn dispatch(services: &Arc<Services>, session: &Arc<Session>, envelope: Envelope) -> Verdict {
    services.metrics.messages_received.inc();
    let Envelope { cid, message } = envelope;
    let Some(body) = message else {
        session.answer_error(cid, RealtimeCode::MissingPayload, "Missing message.");
        return Verdict::End(Close::PROCESSING_ERROR);
    };
    match body {
        Body::Ping(_) => Delivery::answer(cid, Some(Body::Pong(Pong {}))).to(session),
        Body::Pong(_) => {}
        Body::MatchCreate(request) => matches::create(services, session, cid, &request),
        Body::MatchJoin(request) => matches::join(services, session, cid, request),
        Body::MatchLeave(request) => matches::leave(services, session, cid, &request),
        Body::MatchDataSend(request) => matches::send(services, session, request),
        Body::Rpc(request) => rpc::call_over_socket(services, session, cid, request),
        Body::ChannelJoin(_)
        | Body::ChannelLeave(_)
        | Body::ChannelMessageSend(_)
        | Body::ChannelMessageUpdate(_)
        | Body::ChannelMessageRemove(_)
        | Body::MatchmakerAdd(_)
        | Body::MatchmakerRemove(_)
        | Body::StatusFollow(_)
        | Body::StatusUnfollow(_)
        | Body::StatusUpdate(_)
        | Body::PartyCreate(_)
        | Body::PartyJoin(_)
        | Body::PartyLeave(_)
        | Body::PartyPromote(_)
        | Body::PartyAccept(_)
        | Body::PartyRemove(_)
        | Body::PartyClose(_)
        | Body::PartyJoinRequestList(_)
        | Body::PartyMatchmakerAdd(_)
        | Body::PartyMatchmakerRemove(_)
        | Body::PartyDataSend(_)
        | Body::PartyUpdate(_) => {
            session.answer_error(cid, RealtimeCode::RuntimeException, "This message is not served yet.");
        }
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
