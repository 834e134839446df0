//! Looking up other users (spec/auth-and-accounts.md section 15).

use super::{Caller, Services, tenancy};
use crate::{error::Error, identity::Tenant, store::User};
use kizuna_protocol::api;
use prost_types::Timestamp;
use uuid::Uuid;

/// Every user that has one of the ids, usernames or Facebook ids, each once; unknown ones, and those of other tenants, are left
/// out.
///
/// # Errors
/// 400 for an id that is no UUID.
pub async fn get_users(
    services: &Services,
    caller: &Caller,
    request: api::GetUsersRequest,
) -> Result<api::Users, Error> {
    let ids = request.ids.iter().map(|id| user_id(id)).collect::<Result<Vec<_>, _>>()?;
    let found = services.store.users(&ids, &request.usernames, &request.facebook_ids);
    let found = found.map_err(|error| error.into_error("Error retrieving user accounts."))?;
    let found = tenancy::visible(services, caller.tenant, found, |user| user.id)?;
    Ok(api::Users { users: found.into_iter().map(|user| to_message(services, caller.tenant, user)).collect() })
}

fn user_id(text: &str) -> Result<Uuid, Error> {
    Uuid::try_parse(text).map_err(|_| Error::invalid_argument(format!("ID '{text}' is not a valid system ID.")))
}

/// What anybody of its tenant may see of an account.
pub(super) fn to_message(services: &Services, tenant: Tenant, user: User) -> api::User {
    api::User {
        id: user.id.to_string(),
        username: user.username,
        display_name: user.display_name.unwrap_or_default(),
        avatar_url: user.avatar_url.unwrap_or_default(),
        lang_tag: user.lang_tag,
        location: user.location.unwrap_or_default(),
        timezone: user.timezone.unwrap_or_default(),
        metadata: user.metadata,
        facebook_id: user.facebook_id.unwrap_or_default(),
        google_id: user.google_id.unwrap_or_default(),
        gamecenter_id: user.gamecenter_id.unwrap_or_default(),
        steam_id: user.steam_id.unwrap_or_default(),
        online: services.realtime.is_online(user.id, tenant),
        edge_count: user.edge_count,
        create_time: Some(timestamp(user.create_time)),
        update_time: Some(timestamp(user.update_time)),
        facebook_instant_game_id: user.facebook_instant_game_id.unwrap_or_default(),
        apple_id: user.apple_id.unwrap_or_default(),
    }
}

/// A time of the store, in microseconds since 1970, in whole seconds: all that clients are shown.
pub(super) fn timestamp(micros: i64) -> Timestamp {
    Timestamp { seconds: micros.div_euclid(1_000_000), nanos: 0 }
}

#[cfg(test)]
#[path = "users_tests.rs"]
mod tests;
