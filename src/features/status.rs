//! Status: what users show of themselves to those who follow them (spec/realtime-core.md section 7).

use super::{Services, tenancy};
use crate::realtime::{Delivery, JoinError, JoinLimits, Mode, PresenceMeta, Session, StreamKey};
use kizuna_protocol::{
    code::RealtimeCode,
    id::parse_uuid,
    realtime::{Status, StatusFollow, StatusUnfollow, StatusUpdate, UserPresence, envelope::Message as Body},
};
use std::{collections::HashSet, sync::Arc};
use uuid::Uuid;

/// A session shows one status, and any number may show theirs.
const LIMITS: JoinLimits = JoinLimits { members: usize::MAX, per_session: 1 };
/// Of UTF-8, whatever the error's text says.
const LONGEST_BYTES: usize = 2_048;

/// What a client is told when it is refused.
type Refusal = (RealtimeCode, String);

/// A socket has been opened: with `status=true` its user is online, with a blank status.
pub(super) fn opened(services: &Services, session: &Arc<Session>) {
    if session.shows_status() {
        show(services, session, "");
    }
}

/// Another socket with `status=true` has taken the session over: a status that it shows stays as it is.
pub(super) fn resumed(services: &Services, session: &Arc<Session>) {
    if !services.realtime.streams().is_member(&stream_of(session, session.user_id()), session) {
        show(services, session, "");
    }
}

/// Shows `text` to the followers and to the user's own sessions. A session that is over shows nothing, and nobody reads why.
fn show(services: &Services, session: &Arc<Session>, text: &str) {
    let meta = PresenceMeta { status: Some(text.into()), ..PresenceMeta::default() };
    let key = stream_of(session, session.user_id());
    if let Err(error) = services.realtime.streams().update(&key, LIMITS, session, meta) {
        tracing::debug!(%error, "a status is not shown");
    }
}

/// `status_follow`: by id and by username. Who is not known, or not of the session's tenant, is left out without a word, as is the
/// user itself. Nobody is followed if an entry is malformed.
pub(crate) fn follow(services: &Services, session: &Arc<Session>, cid: String, request: StatusFollow) {
    let mut cid = Some(cid);
    let answer = |presences: Vec<UserPresence>| {
        Delivery::answer(cid.take().unwrap_or_default(), Some(Body::Status(Status { presences }))).to(session);
    };
    match whom(services, session, &request).and_then(|users| follow_each(services, session, &users, answer)) {
        Ok(()) => {}
        Err((code, text)) => session.answer_error(cid.unwrap_or_default(), code, text),
    }
}

fn follow_each(
    services: &Services,
    session: &Arc<Session>,
    users: &[Uuid],
    answer: impl FnOnce(Vec<UserPresence>),
) -> Result<(), Refusal> {
    let most = services.config.status.max_follows;
    let keys: Vec<_> = users.iter().map(|user| stream_of(session, *user)).collect();
    match services.realtime.streams().follow(&keys, most, session, answer) {
        Err(JoinError::TooMany) => Err((RealtimeCode::BadInput, format!("Cannot follow more than {most} users"))),
        // Otherwise the session is over, and hears nothing more.
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The users that a request names and that there are.
fn whom(services: &Services, session: &Session, request: &StatusFollow) -> Result<Vec<Uuid>, Refusal> {
    let mut ids = user_ids(&request.user_ids)?;
    if request.usernames.iter().any(String::is_empty) {
        return Err((RealtimeCode::BadInput, "Invalid username".to_owned()));
    }
    ids.retain(|id| !id.is_nil() && *id != session.user_id());
    if ids.is_empty() && request.usernames.is_empty() {
        return Ok(Vec::new());
    }
    let found = services.store.users(&ids, &request.usernames, &[]);
    let found = found.map_err(|error| error.into_error("Could not check users"));
    let found = found.and_then(|users| tenancy::visible(services, session.tenant(), users, |user| user.id)).map_err(
        |error| {
            tracing::error!(?error, "users to follow cannot be looked up");
            (RealtimeCode::RuntimeException, "Could not check users".to_owned())
        },
    )?;
    Ok(found.into_iter().map(|user| user.id).filter(|id| !id.is_nil() && *id != session.user_id()).collect())
}

/// `status_unfollow`. A user stays with its own status, followed or not.
pub(crate) fn unfollow(services: &Services, session: &Arc<Session>, cid: String, request: StatusUnfollow) {
    match user_ids(&request.user_ids) {
        Ok(users) => {
            for user in users {
                services.realtime.streams().unfollow(&stream_of(session, user), session);
            }
            Delivery::answer(cid, None).to(session);
        }
        Err((code, text)) => session.answer_error(cid, code, text),
    }
}

/// Each id once, in the order in which they came.
fn user_ids(texts: &[String]) -> Result<Vec<Uuid>, Refusal> {
    let mut seen = HashSet::with_capacity(texts.len());
    let mut ids = Vec::with_capacity(texts.len());
    for text in texts {
        let id = parse_uuid(text).ok_or((RealtimeCode::BadInput, "Invalid user identifier".to_owned()))?;
        ids.extend(seen.insert(id).then_some(id));
    }
    Ok(ids)
}

/// `status_update`: with a text the user is online, a blank one included; without, invisible. Answered first; then the event, which
/// the session hears, too.
pub(crate) fn update(services: &Services, session: &Arc<Session>, cid: String, request: StatusUpdate) {
    if request.status.as_ref().is_some_and(|text| text.len() > LONGEST_BYTES) {
        return session.answer_error(cid, RealtimeCode::BadInput, "Status must be 2048 characters or less");
    }
    Delivery::answer(cid, None).to(session);
    match request.status {
        Some(text) => show(services, session, &text),
        None => {
            services.realtime.streams().leave(&stream_of(session, session.user_id()), session);
        }
    }
}

/// A user's status, for those behind the same wall as `session`.
fn stream_of(session: &Session, user: Uuid) -> StreamKey {
    StreamKey::new(session.tenant(), Mode::Status, user)
}
