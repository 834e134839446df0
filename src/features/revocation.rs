//! The end of sessions before their time: log-out (spec/auth-and-accounts.md section 6) and what else ends them, on disk before it
//! is in force, in memory for every judgement.

use super::{Caller, Services};
use crate::{
    error::Error,
    identity::session::{Full, Kind, Revocation, SessionClaims, SessionTokens},
    lifecycle::Lifecycle,
    store::{self, Store, StoreError},
};
use kizuna_protocol::api;
use std::time::Duration;
use uuid::Uuid;

const REVOKE_FAILED: &str = "Error ending sessions.";
/// The sweep runs every two lifetimes of a session token, and not less often than this.
const LONGEST_SWEEP_SEC: u64 = 3_600;

/// Ends the sessions of the given tokens, or with none given all of the caller's.
///
/// # Errors
/// 400 for a token that is not good or not the caller's; then nothing ends. 503 when the list of log-outs is full.
pub async fn session_logout(
    services: &Services,
    caller: &Caller,
    request: api::SessionLogoutRequest,
) -> Result<(), Error> {
    let session = own_token(services, caller, Kind::Session, &request.token)
        .ok_or_else(|| Error::invalid_argument("Session token invalid."))?;
    let refresh = own_token(services, caller, Kind::Refresh, &request.refresh_token)
        .ok_or_else(|| Error::invalid_argument("Refresh token invalid."))?;
    let of = |kind, claims: Option<SessionClaims>| claims.and_then(|claims| services.tokens.token(kind, &claims));
    let named: Vec<_> = of(Kind::Session, session).into_iter().chain(of(Kind::Refresh, refresh)).collect();
    if named.is_empty() {
        room_to_end_all(services, caller.user_id)?;
        return revoke(services, vec![services.tokens.user_now(caller.user_id)]).await;
    }
    services.tokens.room_for(named.len()).map_err(no_room)?;
    revoke(services, named).await
}

/// Whether the end of all of a user's sessions can be remembered.
///
/// # Errors
/// 503 when the list of log-outs is full.
pub(super) fn room_to_end_all(services: &Services, user_id: Uuid) -> Result<(), Error> {
    services.tokens.room_for_user(user_id).map_err(no_room)
}

fn no_room(full: Full) -> Error {
    tracing::warn!(%full, "a log-out is refused");
    Error::unavailable("Too many sessions have been logged out lately. Try again.")
}

/// `Some(None)`: no token given. `None`: a token that is not good, or another user's.
fn own_token(services: &Services, caller: &Caller, kind: Kind, token: &str) -> Option<Option<SessionClaims>> {
    if token.is_empty() {
        return Some(None);
    }
    let claims = services.tokens.read(kind, token).ok()?;
    (claims.user_id == caller.user_id).then_some(Some(claims))
}

/// A chain whose session tokens were logged out lives longer by its refresh; so must the log-out, or they would revive.
pub(super) async fn keep_revoked(services: &Services, chain: &SessionClaims) -> Result<(), Error> {
    let ended = chain.token_id.is_some_and(|token_id| services.tokens.is_revoked(Kind::Session, token_id));
    match services.tokens.token(Kind::Session, chain) {
        Some(longer) if ended => revoke(services, vec![longer]).await,
        _ => Ok(()),
    }
}

/// Ends every session of a user that is older than the pair `token_id`: `session.single_session`.
pub(super) async fn end_older(services: &Services, user_id: Uuid, token_id: Uuid) -> Result<(), Error> {
    room_to_end_all(services, user_id)?;
    revoke(services, vec![services.tokens.user_before_token(user_id, token_id)]).await
}

/// On disk first, then in force: an answered log-out survives a restart.
pub(super) async fn revoke(services: &Services, revocations: Vec<Revocation>) -> Result<(), Error> {
    let rows = revocations.iter().copied().map(to_row).collect();
    services.store.revoke(rows).await.map_err(|error| error.into_error(REVOKE_FAILED))?;
    revocations.into_iter().for_each(|revocation| services.tokens.apply(revocation));
    Ok(())
}

/// Puts every stored revocation into force: at the start, before a port is open.
///
/// # Errors
/// The store cannot be read.
pub fn load_revocations(store: &Store, tokens: &SessionTokens) -> Result<(), StoreError> {
    store.revocations()?.iter().for_each(|row| tokens.apply(of_row(row)));
    Ok(())
}

/// Forgets, now and then until the server stops, the revocations whose tokens have expired.
pub async fn sweep(services: &Services, life: &Lifecycle) {
    let seconds = services.config.session.token_expiry_sec.saturating_mul(2).min(LONGEST_SWEEP_SEC);
    loop {
        tokio::select! {
            () = life.draining() => return,
            () = tokio::time::sleep(Duration::from_secs(seconds)) => forget_expired(services).await,
        }
    }
}

pub(super) async fn forget_expired(services: &Services) {
    services.tokens.purge();
    if let Err(error) = services.store.purge_refresh_chains(services.clock.unix_seconds()).await {
        tracing::warn!(%error, "ended refresh chains cannot be removed from the store");
    }
    if let Err(error) = services.store.purge_revocations(services.clock.unix_seconds()).await {
        tracing::warn!(%error, "expired log-outs cannot be removed from the store");
    }
}

fn to_row(revocation: Revocation) -> store::Revocation {
    match revocation {
        Revocation::UserBefore { user_id, before, at_unix, expires_unix } => {
            store::Revocation::UserBefore { user_id, before, at_unix, expires_unix }
        }
        Revocation::SessionToken { user_id, token_id, expires_unix } => {
            store::Revocation::SessionToken { user_id, token_id, expires_unix }
        }
        Revocation::RefreshToken { user_id, token_id, expires_unix } => {
            store::Revocation::RefreshToken { user_id, token_id, expires_unix }
        }
    }
}

fn of_row(row: &store::Revocation) -> Revocation {
    match *row {
        store::Revocation::UserBefore { user_id, before, at_unix, expires_unix } => {
            Revocation::UserBefore { user_id, before, at_unix, expires_unix }
        }
        store::Revocation::SessionToken { user_id, token_id, expires_unix } => {
            Revocation::SessionToken { user_id, token_id, expires_unix }
        }
        store::Revocation::RefreshToken { user_id, token_id, expires_unix } => {
            Revocation::RefreshToken { user_id, token_id, expires_unix }
        }
    }
}

#[cfg(test)]
#[path = "revocation_tests.rs"]
mod tests;
