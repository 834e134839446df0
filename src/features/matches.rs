//! Relayed matches: what one member sends reaches the others; the server holds no state but who is there.
//! Rules: spec/realtime-core.md section 8; listing: section 10.

use super::{Caller, Services};
use crate::{
    error::Error,
    realtime::{Delivery, JoinError, JoinLimits, Joined, Mode, PresenceMeta, Rule, Session, StreamKey},
};
use kizuna_protocol::{
    api::{ListMatchesRequest, Match as ListedMatch, MatchList},
    code::RealtimeCode,
    id::{MatchId, parse_uuid},
    realtime::{
        Match, MatchCreate, MatchData, MatchDataSend, MatchJoin, MatchLeave, envelope::Message as Body, match_join,
    },
};
use std::sync::Arc;
use uuid::Uuid;

/// `match_create`: a new match, or, with a name, the one match of that name. The creator is in it.
pub(crate) fn create(services: &Services, session: &Arc<Session>, cid: String, request: &MatchCreate) {
    let subject = if request.name.is_empty() { services.entropy.uuid() } else { MatchId::named(&request.name).id() };
    let id = format!("{subject}.");
    enter(services, session, cid, id, &relayed(session, subject), Rule::Create, Size::WithSelf);
}

/// `match_join`: by id, what is there; by token, also what is not there yet.
pub(crate) fn join(services: &Services, session: &Arc<Session>, cid: String, request: MatchJoin) {
    match request.id {
        Some(match_join::Id::MatchId(id)) => match id.parse::<MatchId>() {
            Ok(parsed) if parsed.is_relayed() => {
                let key = relayed(session, parsed.id());
                let is_new = enter(services, session, cid, id, &key, Rule::MustExist, Size::WithoutSelf);
                leave_earlier(services, session, &key, is_new);
            }
            Ok(_) => session.answer_error(cid, RealtimeCode::MatchNotFound, "Match not found"),
            Err(_) => session.answer_error(cid, RealtimeCode::BadInput, "Invalid match ID"),
        },
        Some(match_join::Id::Token(token)) => match services.tokens.verify_match_token(&token, session.tenant()) {
            // A node's own matches are authoritative ones, of which there are none.
            Ok(found) if !found.node.is_empty() => {
                session.answer_error(cid, RealtimeCode::MatchNotFound, "Match not found");
            }
            Ok(found) => {
                let key = relayed(session, found.match_id);
                let id = format!("{}.", found.match_id);
                let is_new = enter(services, session, cid, id, &key, Rule::Create, Size::WithoutSelf);
                leave_earlier(services, session, &key, is_new);
            }
            Err(_) => session.answer_error(cid, RealtimeCode::BadInput, "Invalid match token"),
        },
        None => session.answer_error(cid, RealtimeCode::BadInput, "No match ID or token found"),
    }
}

/// With `session.single_match`, newly joining one match leaves the others.
fn leave_earlier(services: &Services, session: &Arc<Session>, joined: &StreamKey, is_new: bool) {
    if is_new && services.config.session.single_match {
        services.realtime.streams().leave_others(joined, session);
    }
}

/// Whether `size` in the answer counts the one who joins; Nakama counts it for the creator alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    WithSelf,
    WithoutSelf,
}

/// Joins and answers; whether the session was not a member before.
fn enter(
    services: &Services,
    session: &Arc<Session>,
    cid: String,
    id: String,
    key: &StreamKey,
    rule: Rule,
    size: Size,
) -> bool {
    let config = &services.config.r#match;
    let limits = JoinLimits { members: config.max_size, per_session: config.max_per_session };
    let mut cid = Some(cid);
    let joined = services.realtime.streams().join(key, rule, limits, session, PresenceMeta::default(), |found| {
        let answer = Body::Match(answer(id, session, found, size));
        Delivery::answer(cid.take().unwrap_or_default(), Some(answer)).to(session);
    });
    let (code, reason) = match joined {
        Ok(is_new) => return is_new,
        Err(JoinError::NotFound) => (RealtimeCode::MatchNotFound, "Match not found"),
        Err(JoinError::Full) => (RealtimeCode::MatchJoinRejected, "Match is full"),
        Err(JoinError::TooMany) => (RealtimeCode::MatchJoinRejected, "In too many matches"),
        Err(JoinError::TooManyOfUser) => (RealtimeCode::MatchJoinRejected, "User in too many matches"),
        Err(JoinError::Closed) => return false,
    };
    session.answer_error(cid.unwrap_or_default(), code, reason);
    false
}

/// A newcomer is shown the others; who was there already is shown everybody.
fn answer(id: String, session: &Session, found: &Joined<'_>, size: Size) -> Match {
    let presences = if found.new { found.others() } else { found.everybody() };
    let counted = presences.len() + usize::from(found.new && size == Size::WithSelf);
    Match {
        match_id: id,
        size: i32::try_from(counted).unwrap_or(i32::MAX),
        presences,
        self_: Some(session.presence().clone()),
        ..Match::default()
    }
}

/// `match_leave`: always answered, member or not.
pub(crate) fn leave(services: &Services, session: &Arc<Session>, cid: String, request: &MatchLeave) {
    let Ok(id) = request.match_id.parse::<MatchId>() else {
        return session.answer_error(cid, RealtimeCode::BadInput, "Invalid match ID");
    };
    if id.is_relayed() {
        services.realtime.streams().leave(&relayed(session, id.id()), session);
    }
    Delivery::answer(cid, None).to(session);
}

/// `match_data_send`: to the other members, or to those listed. Never answered, but for a malformed id. Public for its count of
/// instructions (benches/instructions).
pub fn send(services: &Services, session: &Arc<Session>, request: MatchDataSend) {
    let Ok(id) = request.match_id.parse::<MatchId>() else {
        // Without the cid, as Nakama answers: SDKs complete match data on their own.
        return session.answer_error(String::new(), RealtimeCode::BadInput, "Invalid match ID");
    };
    if !id.is_relayed() {
        return;
    }
    // One malformed entry and the whole message goes nowhere, without a word.
    let Ok(only) = listed(&request) else { return };
    let data = MatchData {
        match_id: request.match_id,
        presence: Some(session.presence().clone()),
        op_code: request.op_code,
        data: request.data,
        reliable: request.reliable,
    };
    let delivery = Delivery::of(Body::MatchData(data)).encoded_for(session.format());
    services.realtime.streams().send(&relayed(session, id.id()), session, only.as_deref(), delivery);
}

/// The session ids that a message is for; `None` without a list. Receivers are told apart by session id alone.
fn listed(request: &MatchDataSend) -> Result<Option<Vec<Uuid>>, ()> {
    if request.presences.is_empty() {
        return Ok(None);
    }
    let parse = |text: &str| parse_uuid(text).ok_or(());
    let ids = request.presences.iter().map(|presence| parse(&presence.user_id).and(parse(&presence.session_id)));
    ids.collect::<Result<Vec<_>, ()>>().map(Some)
}

/// The match as it is for a session: one id is another match for each tenant.
fn relayed(session: &Session, subject: Uuid) -> StreamKey {
    StreamKey::new(session.tenant(), Mode::RelayedMatch, subject)
}

const MAX_LIMIT: i32 = 100;
const DEFAULT_LIMIT: i32 = 10;

/// `GET /v2/match`. Only relayed matches run here, so a filter for authoritative ones finds nothing.
///
/// # Errors
/// A parameter out of its bounds, in the order and words of spec/realtime-core.md 10.1.
pub async fn list_matches(
    services: &Services,
    caller: &Caller,
    request: ListMatchesRequest,
) -> Result<MatchList, Error> {
    let limit = request.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Error::invalid_argument("Invalid limit - limit must be between 1 and 100."));
    }
    let only_relayed = request.authoritative == Some(false);
    if only_relayed && request.label.is_some() {
        return Err(Error::invalid_argument("Label filtering is not supported for non-authoritative matches."));
    }
    if only_relayed && request.query.is_some() {
        return Err(Error::invalid_argument("Query filtering is not supported for non-authoritative matches."));
    }
    let (min, max) = (request.min_size, request.max_size);
    if min.is_some_and(|min| min < 0) {
        return Err(Error::invalid_argument("Minimum size must be 0 or above."));
    }
    if max.is_some_and(|max| max < 0) {
        return Err(Error::invalid_argument("Maximum size must be 0 or above."));
    }
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        return Err(Error::invalid_argument(
            "Maximum size must be greater than or equal to minimum size when both are specified.",
        ));
    }
    // A query or a label asks for authoritative matches, as does asking for them by name.
    if request.query.is_some() || request.label.is_some() || request.authoritative == Some(true) {
        return Ok(MatchList::default());
    }
    let bound = |value: i32| usize::try_from(value).unwrap_or(0);
    let sizes = bound(min.unwrap_or(0))..=max.map_or(usize::MAX, bound);
    let found = services.realtime.streams().list(caller.tenant, Mode::RelayedMatch, bound(limit), sizes);
    let matches = found.into_iter().map(|(subject, size)| ListedMatch {
        match_id: format!("{subject}."),
        size: i32::try_from(size).unwrap_or(i32::MAX),
        ..ListedMatch::default()
    });
    Ok(MatchList { matches: matches.collect() })
}
