//! The end of sessions before their time: log-out (spec/auth-and-accounts.md section 6), an admin's call, what an identity provider
//! tells. On disk before it is in force, in memory for every judgement; then the sockets that are not good any more are closed.

mod admin;
mod events;
mod rows;

pub use admin::{Revoked, revoke_by_admin};
pub use events::{EventRefused, take_event};

use super::{Caller, Client, Services};
use crate::{
    audit::{Event, Source, Target},
    error::Error,
    identity::{
        Reason, VerifiedIdentity,
        session::{Full, Kind, Revocation, SessionClaims, SessionTokens},
    },
    lifecycle::Lifecycle,
    store::{Store, StoreError},
    telemetry::KindLabels,
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
    let (named, target) = match named.is_empty() {
        true => (vec![services.tokens.user_now(caller.user_id)], Target::User(caller.user_id)),
        false => (named, Target::Chain(caller.user_id)),
    };
    revoke(services, named).await?;
    let sockets = match services.config.session.close_on_logout {
        true => close_sockets_of(services, caller.user_id),
        false => 0,
    };
    record(services, Source::LogOut, target, sockets);
    Ok(())
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
    revoke(services, vec![services.tokens.user_before_token(user_id, token_id)]).await?;
    let sockets = match services.config.session.close_on_logout {
        true => close_sockets_of(services, user_id),
        false => 0,
    };
    services.metrics.revocations.get_or_create(&KindLabels { kind: Source::SignIn.as_str() }).inc();
    services.metrics.revoked_sockets.inc_by(sockets as u64);
    Ok(())
}

/// Ends everything that came from the sign-in of `claims`: both kinds of tokens, and the sockets that live by them.
///
/// # Errors
/// 503 when the list of log-outs is full; 500 when that cannot be stored. Then nothing ends.
pub async fn end_chain(services: &Services, claims: &SessionClaims, source: Source) -> Result<(), Error> {
    let of = |kind| services.tokens.token(kind, claims);
    let mut revocations: Vec<_> = of(Kind::Session).into_iter().chain(of(Kind::Refresh)).collect();
    let mut target = Target::Chain(claims.user_id);
    if revocations.is_empty() {
        // A foreign chain without an id cannot be told from the user's others.
        revocations.push(services.tokens.user_now(claims.user_id));
        target = Target::User(claims.user_id);
    }
    revoke(services, revocations).await?;
    let sockets = close_sockets_of(services, claims.user_id);
    record(services, source, target, sockets);
    Ok(())
}

/// Ends chains of a user: the ids of their tokens, each with the first second, since 1970, in which none of these can be valid.
///
/// # Errors
/// As [`end_chain`].
pub(super) async fn end_chains(
    services: &Services,
    user_id: Uuid,
    chains: &[(Uuid, i64)],
    source: Source,
) -> Result<(), Error> {
    let both = |&(token_id, expires_unix): &(Uuid, i64)| {
        let session = Revocation::SessionToken { user_id, token_id, expires_unix };
        [session, Revocation::RefreshToken { user_id, token_id, expires_unix }]
    };
    revoke(services, chains.iter().flat_map(both).collect()).await?;
    let sockets = close_sockets_of(services, user_id);
    record(services, source, Target::Chain(user_id), sockets);
    Ok(())
}

/// Refuses an identity token that is older than the end of its player's, its sign-in's, its tenant's or its issuer's sessions. Ask
/// again once the account is there: what ended in between found no account whose sessions it could end.
///
/// # Errors
/// 401, as for every identity token that is refused.
pub(super) fn still_counts(
    services: &Services,
    client: &Client,
    identity: Option<&VerifiedIdentity>,
) -> Result<(), Error> {
    let Some(identity) = identity.filter(|identity| services.tokens.refuses_identity(identity)) else { return Ok(()) };
    let refusal = services.verifier.refuse(identity, Reason::Revoked);
    services.note_refusal(&refusal, client.address);
    Err(refusal.into())
}

/// Seconds that an identity token can be good for, over all trust entries.
fn longest_identity(services: &Services) -> i64 {
    // The development provider's entry is not in the configuration, and has the default.
    let held = crate::config::TrustEntry::default();
    let entries = services.config.identity.trust.iter().chain(std::iter::once(&held));
    let longest = entries.map(|entry| entry.max_lifetime_sec.saturating_add(entry.skew_sec)).max();
    longest.and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(i64::MAX / 4)
}

/// Closes the sockets of a user whose sessions have been revoked, and answers how many.
fn close_sockets_of(services: &Services, user_id: Uuid) -> usize {
    services.realtime.close_revoked_of(user_id, |claims| services.tokens.is_ended(claims))
}

/// Counts and writes down that sessions were ended.
pub(super) fn record(services: &Services, source: Source, target: Target, sockets: usize) {
    note(services, source, Event::Revoked { source, target, entry: None, reason: None, sockets }, sockets);
}

fn note(services: &Services, source: Source, event: Event, sockets: usize) {
    services.metrics.revocations.get_or_create(&KindLabels { kind: source.as_str() }).inc();
    services.metrics.revoked_sockets.inc_by(sockets as u64);
    services.audit.record(event);
}

/// On disk first, then in force: an answered log-out survives a restart.
///
/// # Errors
/// 503 when the list of log-outs is full; 500 when they cannot be stored. Then none is in force.
pub(super) async fn revoke(services: &Services, revocations: Vec<Revocation>) -> Result<(), Error> {
    services.tokens.room_for_all(&revocations).map_err(no_room)?;
    let rows = revocations.iter().copied().map(rows::to_row).collect();
    services.store.revoke(rows).await.map_err(|error| error.into_error(REVOKE_FAILED))?;
    revocations.into_iter().for_each(|revocation| services.tokens.apply(revocation));
    Ok(())
}

/// Puts every stored revocation into force: at the start, before a port is open.
///
/// # Errors
/// The store cannot be read.
pub fn load_revocations(store: &Store, tokens: &SessionTokens) -> Result<(), StoreError> {
    store.revocations()?.iter().for_each(|row| tokens.apply(rows::of_row(row)));
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
    services.throttle.purge();
    services.limits.purge();
    if let Err(error) = services.store.purge_refresh_chains(services.clock.unix_seconds()).await {
        tracing::warn!(%error, "ended refresh chains cannot be removed from the store");
    }
    if let Err(error) = services.store.purge_provider_sessions(services.clock.unix_seconds()).await {
        tracing::warn!(%error, "refresh tokens of identity providers for ended sessions cannot be removed from the store");
    }
    if let Err(error) = services.store.purge_token_uses(services.clock.unix_seconds()).await {
        tracing::warn!(%error, "uses of expired identity tokens cannot be removed from the store");
    }
    if let Err(error) = services.store.purge_revocations(services.clock.unix_seconds()).await {
        tracing::warn!(%error, "expired log-outs cannot be removed from the store");
    }
}

#[cfg(test)]
mod tests;
