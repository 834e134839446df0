//! The caller's own account: read, update, delete; and the ban, which no client can ask for (spec/auth-and-accounts.md sections
//! 8 and 14).

use super::{Caller, Services, revocation, rules, users};
use crate::{
    audit::{Source, Target},
    error::Error,
    store::{Account, AccountChanges, Updated},
};
use kizuna_protocol::api;
use uuid::Uuid;

/// The caller's account with all that only its owner sees.
///
/// # Errors
/// 404 when it is gone.
pub async fn get_account(services: &Services, caller: &Caller) -> Result<api::Account, Error> {
    let found = services.store.account(caller.user_id);
    let account = found.map_err(|error| error.into_error("Error retrieving user account."))?;
    let account = account.ok_or_else(|| Error::not_found("Account not found."))?;
    Ok(to_message(services, caller, account))
}

fn to_message(services: &Services, caller: &Caller, account: Account) -> api::Account {
    let devices = account.devices.into_iter().map(|id| api::AccountDevice { id, ..Default::default() });
    api::Account {
        user: Some(users::to_message(services, caller.tenant, account.user)),
        wallet: account.wallet,
        email: account.email.unwrap_or_default(),
        devices: devices.collect(),
        custom_id: account.custom_id.unwrap_or_default(),
        verify_time: (account.verify_time != 0).then(|| users::timestamp(account.verify_time)),
        // Clients never learn of it.
        disable_time: None,
    }
}

/// Changes the caller's account, all of it or nothing. An account that is gone is no error.
///
/// # Errors
/// 400 for a value that does not fit, or for none; 409 for a username that another account has.
pub async fn update_account(
    services: &Services,
    caller: &Caller,
    request: api::UpdateAccountRequest,
) -> Result<(), Error> {
    let changes = changes(request)?;
    let updated = services.store.update_account(caller.user_id, changes).await;
    match updated.map_err(|error| error.into_error("Error while trying to update account."))? {
        Updated::Done | Updated::NoSuchUser => Ok(()),
        Updated::UsernameTaken => Err(Error::already_exists("Username is already in use.")),
    }
}

fn changes(request: api::UpdateAccountRequest) -> Result<AccountChanges, Error> {
    if request == api::UpdateAccountRequest::default() {
        return Err(Error::invalid_argument("No fields to update."));
    }
    if let Some(username) = &request.username {
        rules::new_username(username)?;
    }
    Ok(AccountChanges {
        username: request.username,
        display_name: profile_field("Display name", request.display_name, 255)?,
        avatar_url: profile_field("Avatar URL", request.avatar_url, 512)?,
        lang_tag: lang_tag(request.lang_tag)?,
        location: profile_field("Location", request.location, 255)?,
        timezone: profile_field("Timezone", request.timezone, 255)?,
    })
}

/// A field that may be emptied: an empty text removes it.
fn profile_field(name: &str, value: Option<String>, most: usize) -> Result<Option<Option<String>>, Error> {
    let Some(value) = value else { return Ok(None) };
    let value = fitted(name, value, most)?;
    Ok(Some((!value.is_empty()).then_some(value)))
}

fn lang_tag(value: Option<String>) -> Result<Option<String>, Error> {
    let Some(value) = value else { return Ok(None) };
    if value.is_empty() {
        return Err(Error::invalid_argument("Language tag invalid, must be 1-18 characters."));
    }
    fitted("Language tag", value, 18).map(Some)
}

/// A value of at most `most` characters; spaces beyond them are cut, as PostgreSQL's varchar does.
fn fitted(name: &str, mut value: String, most: usize) -> Result<String, Error> {
    if value.contains('\0') {
        return Err(Error::invalid_argument(format!("{name} invalid, no NUL characters allowed.")));
    }
    if let Some((end, _)) = value.char_indices().nth(most) {
        if !value[end..].bytes().all(|b| b == b' ') {
            return Err(Error::invalid_argument(format!("{name} invalid, must be at most {most} characters.")));
        }
        value.truncate(end);
    }
    Ok(value)
}

/// Deletes the caller's account with all that belongs to it, ends its tokens and closes its sockets. An account that is gone is
/// no error.
///
/// # Errors
/// 500 or 503 when that could not be stored: the account is still there, unless only the end of sign-ins that ran meanwhile
/// could not; that holds until a restart. 503 when the list of log-outs is full.
pub async fn delete_account(services: &Services, caller: &Caller) -> Result<(), Error> {
    revocation::room_to_end_all(services, caller.user_id)?;
    let before = services.tokens.next_order();
    let deleted = services.store.delete_account(caller.user_id, false, before).await;
    if deleted.map_err(|error| error.into_error("Error deleting user account."))? {
        end_everything(services, caller.user_id, Source::Deletion).await?;
    }
    Ok(())
}

/// Bans an account (its tokens end and its sockets close) or lifts the ban (its old tokens stay as they are). `false`: there is
/// no such account.
///
/// # Errors
/// As [`delete_account`].
pub async fn set_disabled(services: &Services, user_id: Uuid, disabled: bool) -> Result<bool, Error> {
    if disabled {
        revocation::room_to_end_all(services, user_id)?;
    }
    let before = services.tokens.next_order();
    let found = services.store.set_disabled(user_id, disabled, before).await;
    let found = found.map_err(|error| error.into_error("Error updating user account."))?;
    if found && disabled {
        // Told before they are closed; a socket's first reason to close stays.
        let (notice, now) = (services.entropy.uuid(), services.clock.unix_seconds());
        services.realtime.disconnect_banned(user_id, notice, now);
        end_everything(services, user_id, Source::Ban).await?;
    }
    Ok(found)
}

/// The order that was written with the change was drawn before it took effect: a sign-in may have drawn a later one and still
/// have read the row as it was. One drawn now is later than all of these.
async fn end_everything(services: &Services, user_id: Uuid, source: Source) -> Result<(), Error> {
    let all = services.tokens.user_now(user_id);
    // In force before it is on disk: whatever becomes of the second write, the change itself stands.
    services.tokens.apply(all);
    let sockets = services.realtime.disconnect_user(user_id);
    revocation::record(services, source, Target::User(user_id), sockets);
    revocation::revoke(services, vec![all]).await
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
