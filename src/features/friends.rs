//! Friends, invites and blocks (spec/friends-and-groups.md part A).

use super::{Caller, Services, notifications, rules, tenancy, users};
use crate::{
    error::Error,
    realtime::{Mode, StreamKey},
    store::{Edge, EdgeChange, FriendCall, FriendState, Identifier, NewNotification, StoreError},
};
use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use kizuna_protocol::{api, code::NotificationCode, id::parse_uuid};
use std::collections::HashSet;
use uuid::Uuid;

/// Invites users, or accepts their invites. Who cannot be invited is passed over, and nobody is told who blocks whom.
///
/// # Errors
/// 400 for the caller's own or a malformed id or name, for nobody known, and for too many; 429 when the list of either is full.
pub async fn add_friends(services: &Services, caller: &Caller, request: api::AddFriendsRequest) -> Result<(), Error> {
    const FAILED: &str = "Error while trying to add friends.";
    let Asked::Known(others) = asked(services, caller, &request.ids, &request.usernames, "Cannot add self as friend.")?
    else {
        return Err(Error::invalid_argument("No valid ID or username was provided."));
    };
    let metadata = if request.metadata.is_empty() { "{}".to_owned() } else { request.metadata };
    let Some(call) = call(services, caller, others) else { return Ok(()) };
    let told = services.store.add_friends(call, metadata).await.map_err(|error| error.into_error(FAILED))?;
    notifications::deliver(services, told);
    Ok(())
}

/// Ends friendships, takes invites back, refuses them, and lifts the caller's blocks.
///
/// # Errors
/// As [`add_friends`], but for nobody known.
pub async fn delete_friends(
    services: &Services,
    caller: &Caller,
    request: api::DeleteFriendsRequest,
) -> Result<(), Error> {
    const FAILED: &str = "Error while trying to delete friends.";
    let asked = asked(services, caller, &request.ids, &request.usernames, "Cannot delete self.")?;
    let Asked::Known(others) = asked else { return Ok(()) };
    let Some(call) = call(services, caller, others) else { return Ok(()) };
    let told = services.store.delete_friends(call).await.map_err(|error| error.into_error(FAILED))?;
    notifications::deliver(services, told);
    Ok(())
}

/// Blocks users: they lose their side of the relation, hear nothing of it, and cannot reach the caller. A chat of the two ends.
///
/// # Errors
/// As [`add_friends`].
pub async fn block_friends(
    services: &Services,
    caller: &Caller,
    request: api::BlockFriendsRequest,
) -> Result<(), Error> {
    const FAILED: &str = "Error while trying to block friends.";
    let Asked::Known(others) = asked(services, caller, &request.ids, &request.usernames, "Cannot block self.")? else {
        return Err(Error::invalid_argument("No valid ID or username was provided."));
    };
    if others.is_empty() {
        return Ok(());
    }
    let blocked = services.store.block_friends(caller.user_id, others.clone()).await;
    blocked.map_err(|error| error.into_error(FAILED))?;
    for other in others {
        let (first, second) = (caller.user_id.min(other), caller.user_id.max(other));
        let chat = StreamKey::new(caller.tenant, Mode::Direct, first).with_subcontext(second);
        services.realtime.streams().remove(&chat);
    }
    Ok(())
}

/// Whom a call is about.
enum Asked {
    /// These, each once; those of other tenants are left out.
    Known(Vec<Uuid>),
    /// Only names were given, and nobody has one of them.
    Nobody,
}

fn asked(
    services: &Services,
    caller: &Caller,
    ids: &[String],
    usernames: &[String],
    is_self: &'static str,
) -> Result<Asked, Error> {
    let most = services.config.friend.max_per_call;
    if ids.len() + usernames.len() > most {
        return Err(Error::invalid_argument(format!("Too many IDs and usernames, at most {most} are allowed.")));
    }
    let mut others = ids.iter().map(|id| other_id(id, caller, is_self)).collect::<Result<Vec<_>, _>>()?;
    for name in usernames {
        if name.is_empty() {
            return Err(Error::invalid_argument("Username must not be empty."));
        }
        if **name == *caller.username {
            return Err(Error::invalid_argument(is_self));
        }
    }
    for name in usernames {
        others.extend(user_named(services, caller, name)?);
    }
    // A name that the caller's account has taken since its token was issued.
    if others.contains(&caller.user_id) {
        return Err(Error::invalid_argument(is_self));
    }
    if others.is_empty() && !usernames.is_empty() {
        return Ok(Asked::Nobody);
    }
    let mut seen = HashSet::with_capacity(others.len());
    others.retain(|other| seen.insert(*other));
    Ok(Asked::Known(tenancy::visible(services, caller.tenant, others, |other| *other)?))
}

/// Compared as UUIDs: Nakama compares the texts, and lets a caller befriend itself in capitals.
fn other_id(text: &str, caller: &Caller, is_self: &'static str) -> Result<Uuid, Error> {
    match parse_uuid(text) {
        Some(id) if id == caller.user_id => Err(Error::invalid_argument(is_self)),
        Some(id) if !id.is_nil() => Ok(id),
        _ => Err(Error::invalid_argument(format!("Invalid user ID '{text}'."))),
    }
}

fn user_named(services: &Services, caller: &Caller, name: &str) -> Result<Option<Uuid>, Error> {
    let found = services.store.find_login(Identifier::Username(name));
    let found = found.map_err(|error| error.into_error("Error finding user account."))?;
    let Some(login) = found else { return Ok(None) };
    Ok(tenancy::is_visible(services, caller.tenant, login.user_id)?.then_some(login.user_id))
}

/// A call with what it tells the others; `None` when there are none.
fn call(
    services: &Services,
    caller: &Caller,
    others: Vec<Uuid>,
) -> Option<FriendCall<impl Fn(EdgeChange, Uuid) -> NewNotification + Send + use<>>> {
    let (entropy, sender_id, username) = (services.entropy.clone(), caller.user_id, caller.username.clone());
    let tell = move |change: EdgeChange, user_id: Uuid| {
        let (code, what) = match change {
            EdgeChange::Invited => (NotificationCode::FriendRequest, "wants to add you as a friend"),
            EdgeChange::Accepted => (NotificationCode::FriendAccept, "accepted your friend request"),
            EdgeChange::Removed => (NotificationCode::FriendRemove, "removed you as a friend"),
        };
        NewNotification {
            id: entropy.uuid(),
            user_id,
            subject: format!("{username} {what}"),
            content: format!("{{\"username\": {}}}", serde_json::Value::from(&*username)),
            code: code.number(),
            sender_id,
        }
    };
    (!others.is_empty()).then_some(FriendCall { user_id: caller.user_id, others, tell })
}

/// A page of the caller's relations: friends, invites sent, invites received, blocks, each in the order in which they were made.
///
/// # Errors
/// 400 for a limit or a state out of range, and for a cursor that is none, or is of another state.
pub async fn list_friends(
    services: &Services,
    caller: &Caller,
    request: api::ListFriendsRequest,
) -> Result<api::FriendList, Error> {
    let limit = rules::page_limit(request.limit, 1_000, 1_000)?;
    let state = match request.state {
        None => None,
        Some(number) => Some(
            FriendState::from_number(number.into())
                .ok_or_else(|| Error::invalid_argument("Invalid state - state must be between 0 and 3."))?,
        ),
    };
    let from = match request.cursor.as_str() {
        "" => None,
        cursor => Some(read_list_cursor(cursor, state).ok_or_else(invalid_cursor)?),
    };
    let found = services.store.friends(caller.user_id, state, from, limit + 1);
    let mut found = found.map_err(|error| error.into_error("Error while trying to list friends."))?;
    let next = if found.len() > limit { found.pop() } else { None };
    let cursor = next.map_or_else(String::new, |next| list_cursor(next.state, next.position));
    let found = tenancy::visible(services, caller.tenant, found, |edge| edge.user.id)?;
    let friends = found.into_iter().map(|edge| to_message(services, caller, edge)).collect();
    Ok(api::FriendList { friends, cursor })
}

/// The list says of a user what `GET /v2/user` says, but for how many relations the user has.
fn to_message(services: &Services, caller: &Caller, edge: Edge) -> api::Friend {
    let user = api::User { edge_count: 0, ..users::to_message(services, caller.tenant, edge.user) };
    api::Friend {
        user: Some(user),
        state: Some(edge.state as i32),
        update_time: Some(users::timestamp(edge.update_time)),
        metadata: edge.metadata,
    }
}

/// A page of the friends of the caller's friends whom the caller has not, each with the friend who has.
///
/// # Errors
/// 400 for a limit out of range, and for a cursor that is none.
pub async fn list_friends_of_friends(
    services: &Services,
    caller: &Caller,
    request: api::ListFriendsOfFriendsRequest,
) -> Result<api::FriendsOfFriendsList, Error> {
    let limit = rules::page_limit(request.limit, 10, 100)?;
    let from = match request.cursor.as_str() {
        "" => (Uuid::nil(), Uuid::nil()),
        cursor => read_pair_cursor(cursor).ok_or_else(invalid_cursor)?,
    };
    let failed = |error: StoreError| error.into_error("Error while trying to list friends of friends.");
    let most = services.config.friend.max_looked_at;
    let page = services.store.friends_of_friends(caller.user_id, from, limit, most).map_err(failed)?;
    let cursor = page.next.map_or_else(String::new, pair_cursor);
    let found = tenancy::visible(services, caller.tenant, page.found, |found| found.user.id)?;
    let found = found.into_iter().map(|found| api::friends_of_friends_list::FriendOfFriend {
        referrer: found.referrer.to_string(),
        user: Some(users::to_message(services, caller.tenant, found.user)),
    });
    Ok(api::FriendsOfFriendsList { friends_of_friends: found.collect(), cursor })
}

fn invalid_cursor() -> Error {
    Error::invalid_argument("Cursor is invalid.")
}

/// Cursors are written with padding, as Nakama's, and read with or without.
const CURSOR: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// State and position of the next page's first one.
fn list_cursor(state: FriendState, position: i64) -> String {
    let mut bytes = vec![state as u8];
    bytes.extend(position.to_be_bytes());
    CURSOR.encode(bytes)
}

fn read_list_cursor(text: &str, wanted: Option<FriendState>) -> Option<(FriendState, i64)> {
    let bytes: [u8; 9] = CURSOR.decode(text).ok()?.try_into().ok()?;
    let (state, position) = bytes.split_first()?;
    let state = FriendState::from_number((*state).into())?;
    let fits = wanted.is_none_or(|wanted| wanted == state);
    fits.then_some((state, i64::from_be_bytes(position.try_into().ok()?)))
}

/// Referrer and user of the next page's first one.
fn pair_cursor((referrer, user): (Uuid, Uuid)) -> String {
    CURSOR.encode([referrer.into_bytes(), user.into_bytes()].concat())
}

fn read_pair_cursor(text: &str) -> Option<(Uuid, Uuid)> {
    let bytes = CURSOR.decode(text).ok()?;
    let (referrer, user) = bytes.split_first_chunk::<16>()?;
    Some((Uuid::from_bytes(*referrer), Uuid::from_slice(user).ok()?))
}

#[cfg(test)]
#[path = "friends_tests.rs"]
mod tests;
