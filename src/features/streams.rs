//! Streams for a program that embeds the server: who is in one, and data to all of them, as Nakama's server-side code has them
//! (spec/realtime-core.md 6.4). A stream is named by tenant, mode, subject, subcontext and label; clients hear of it by
//! `stream_presence_event` and `stream_data`, and cannot join or send by themselves.

use super::Services;
use crate::{
    error::Error,
    identity::Tenant,
    realtime::{Delivery, JoinError, JoinLimits, Member, Mode, PresenceMeta, Rule, Session, StreamKey, wire_stream},
};
use kizuna_protocol::{
    code::Code,
    id::parse_uuid,
    realtime::{StreamData, envelope::Message as Body},
};
use std::sync::Arc;
use uuid::Uuid;

/// The name of a stream.
///
/// Modes below 8 are those of Nakama's own features: 0 notifications, 1 status, 2 to 4 chat, 5 and 6 matches, 7 parties. Who joins a
/// session to one of them makes clients see a member of that match or party. 8 to 255 are free.
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamName<'a> {
    /// The wall behind which the stream is: [`Tenant::NONE`] without tenancy. Sessions of others are unknown to it.
    pub tenant: Tenant,
    /// The mode.
    pub mode: u8,
    /// A UUID, or empty.
    pub subject: &'a str,
    /// A UUID, or empty.
    pub subcontext: &'a str,
    /// Any text.
    pub label: &'a str,
}

impl StreamName<'_> {
    /// What the server knows the stream by.
    ///
    /// # Errors
    /// Code 3 for a subject or subcontext that is no UUID.
    pub fn key(&self) -> Result<StreamKey, Error> {
        let id = |text: &str, error: &'static str| match text {
            "" => Ok(Uuid::nil()),
            text => parse_uuid(text).ok_or(Error::invalid_argument(error)),
        };
        let subject = id(self.subject, "stream subject must be a valid identifier")?;
        let subcontext = id(self.subcontext, "stream subcontext must be a valid identifier")?;
        let key = StreamKey::new(self.tenant, Mode::from_number(self.mode), subject);
        Ok(key.with_subcontext(subcontext).with_label(self.label))
    }
}

/// Joins a session to a stream; whether it is new there. Who is there already stays as he is.
///
/// # Errors
/// Code 3 for a malformed name or id; code 5 when there is no such session of the user behind the stream's wall; code 8 when the
/// stream, the session or the user is at `realtime.max_stream_members`, `realtime.max_streams_per_session` or
/// `limits.streams_per_user` (for the modes below 8, at the bounds of their feature).
pub fn join(
    services: &Services,
    stream: &StreamName<'_>,
    user_id: &str,
    session_id: &str,
    meta: PresenceMeta,
) -> Result<bool, Error> {
    let key = stream.key()?;
    let session = session(services, &key, user_id, session_id)?;
    let streams = services.realtime.streams();
    streams.join(&key, Rule::Create, limits(services, key.mode()), &session, meta, |_| {}).map_err(refusal)
}

/// Changes how a session is in a stream, or joins it. Clients hear of both sides of the change in one event.
///
/// # Errors
/// As [`join`].
pub fn update(
    services: &Services,
    stream: &StreamName<'_>,
    user_id: &str,
    session_id: &str,
    meta: PresenceMeta,
) -> Result<(), Error> {
    let key = stream.key()?;
    let session = session(services, &key, user_id, session_id)?;
    let streams = services.realtime.streams();
    streams.update(&key, limits(services, key.mode()), &session, meta).map(drop).map_err(refusal)
}

/// Takes a session out of a stream. That it was not there, or is gone, is fine.
///
/// # Errors
/// Code 3 for a malformed name or id.
pub fn leave(services: &Services, stream: &StreamName<'_>, user_id: &str, session_id: &str) -> Result<(), Error> {
    let (key, user_id, session_id) = (stream.key()?, user(user_id)?, session_of(session_id)?);
    if let Some(session) = find(services, &key, user_id, session_id) {
        services.realtime.streams().leave(&key, &session);
    }
    Ok(())
}

/// Takes a session out of a stream against its will: as [`leave`], since clients cannot tell the two apart.
///
/// # Errors
/// As [`leave`].
pub fn kick(services: &Services, stream: &StreamName<'_>, user_id: &str, session_id: &str) -> Result<(), Error> {
    leave(services, stream, user_id, session_id)
}

/// Which members are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Which {
    /// Those whom nobody sees.
    pub hidden: bool,
    /// Those who are seen.
    pub visible: bool,
}

impl Which {
    /// All members.
    pub const ALL: Self = Self { hidden: true, visible: true };
}

/// The members of a stream, in the order in which they came.
///
/// # Errors
/// Code 3 for a malformed name.
pub fn list(services: &Services, stream: &StreamName<'_>, which: Which) -> Result<Vec<Member>, Error> {
    let mut members = services.realtime.streams().members(&stream.key()?);
    members.retain(|member| if member.meta.hidden { which.hidden } else { which.visible });
    Ok(members)
}

/// How a session is in a stream; `None` if it is not.
///
/// # Errors
/// Code 3 for a malformed name or id.
pub fn get(
    services: &Services,
    stream: &StreamName<'_>,
    user_id: &str,
    session_id: &str,
) -> Result<Option<PresenceMeta>, Error> {
    let (key, user_id, session_id) = (stream.key()?, user(user_id)?, session_of(session_id)?);
    let session = find(services, &key, user_id, session_id);
    Ok(session.and_then(|session| services.realtime.streams().place_of(&key, &session)))
}

/// How many are in a stream, hidden ones included.
///
/// # Errors
/// Code 3 for a malformed name.
pub fn count(services: &Services, stream: &StreamName<'_>) -> Result<usize, Error> {
    Ok(services.realtime.streams().count(&stream.key()?))
}

/// Takes everybody out of a stream. Clients are told nothing.
///
/// # Errors
/// Code 3 for a malformed name.
pub fn close(services: &Services, stream: &StreamName<'_>) -> Result<(), Error> {
    services.realtime.streams().remove(&stream.key()?);
    Ok(())
}

/// Sends data to everybody in a stream, hidden ones included. Answers how many they are.
///
/// # Errors
/// Code 3 for a malformed name.
pub fn send(services: &Services, stream: &StreamName<'_>, data: &str, reliable: bool) -> Result<usize, Error> {
    let key = stream.key()?;
    let delivery = stream_data(&key, data, reliable);
    Ok(services.realtime.streams().broadcast(&key, None, delivery))
}

/// Sends data to the sessions with these ids, in the stream or not, but behind its wall. Answers how many they are. Nothing is sent
/// about a stream that nobody is in.
///
/// # Errors
/// Code 3 for a malformed name or id.
pub fn send_to(
    services: &Services,
    stream: &StreamName<'_>,
    session_ids: &[&str],
    data: &str,
    reliable: bool,
) -> Result<usize, Error> {
    let key = stream.key()?;
    let only = session_ids.iter().map(|id| session_of(id)).collect::<Result<Vec<_>, _>>()?;
    let delivery = stream_data(&key, data, reliable);
    Ok(services.realtime.streams().broadcast_to(&key, &only, delivery))
}

/// Nakama never names a sender, whoever it is that the program speaks for.
fn stream_data(key: &StreamKey, data: &str, reliable: bool) -> Delivery {
    let stream = Some(wire_stream(key));
    Delivery::of(Body::StreamData(StreamData { stream, sender: None, data: data.to_owned(), reliable }))
}

/// What holds for a mode: the bounds of its feature, and for a program's own those of streams.
fn limits(services: &Services, mode: Mode) -> JoinLimits {
    let config = &services.config;
    let free = JoinLimits {
        members: config.realtime.max_stream_members,
        per_session: config.realtime.max_streams_per_session,
    };
    match mode {
        Mode::RelayedMatch | Mode::AuthoritativeMatch => {
            JoinLimits { members: config.r#match.max_size, per_session: config.r#match.max_per_session }
        }
        Mode::Party => JoinLimits { per_session: config.party.max_per_session, ..free },
        Mode::Notifications | Mode::Status | Mode::Room | Mode::Group | Mode::Direct | Mode::Custom(_) => free,
    }
}

fn refusal(error: JoinError) -> Error {
    match error {
        JoinError::NotFound => Error::not_found("stream not found"),
        JoinError::Closed => Error::not_found("session not found"),
        JoinError::Full => Error::new(Code::ResourceExhausted, "stream is full"),
        JoinError::TooMany => Error::new(Code::ResourceExhausted, "session is in too many streams"),
        JoinError::TooManyOfUser => Error::new(Code::ResourceExhausted, "user is in too many streams"),
    }
}

fn user(text: &str) -> Result<Uuid, Error> {
    parse_uuid(text).ok_or(Error::invalid_argument("expects valid user id"))
}

fn session_of(text: &str) -> Result<Uuid, Error> {
    parse_uuid(text).ok_or(Error::invalid_argument("expects valid session id"))
}

fn session(services: &Services, key: &StreamKey, user_id: &str, session_id: &str) -> Result<Arc<Session>, Error> {
    let found = find(services, key, user(user_id)?, session_of(session_id)?);
    found.ok_or(Error::not_found("session not found"))
}

fn find(services: &Services, key: &StreamKey, user_id: Uuid, session_id: Uuid) -> Option<Arc<Session>> {
    let found = services.realtime.registry().by_id(session_id)?;
    (found.user_id() == user_id && found.tenant() == key.tenant()).then_some(found)
}
