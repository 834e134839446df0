//! The life of a session after signing in: who a token stands for, and refresh (spec/auth-and-accounts.md sections 4 and 5).

use super::{Caller, Client, Services, login, revocation, rules};
use crate::{
    error::Error,
    identity::{
        RESERVED_VARS,
        session::{Kind, Origin, RefreshToken, Renewal, SessionClaims},
    },
    store::{Identifier, Presented, Rotation},
};
use kizuna_protocol::api;
use std::collections::BTreeMap;

const REFUSED: &str = "Refresh token invalid or expired.";
const REFRESH_FAILED: &str = "Error refreshing the session.";

/// Whom the Bearer token of a request stands for: the one judgement for HTTP, `/ws` and RPC.
///
/// # Errors
/// 401, the same for every fault of the token.
pub fn caller(services: &Services, client: Client, token: &str) -> Result<(Caller, SessionClaims), Error> {
    let claims = services.tokens.verify_session(token).map_err(|reason| {
        tracing::debug!(%reason, "a session token is refused");
        Error::unauthenticated("Auth token invalid")
    })?;
    Ok((Caller::new(client, &claims), claims))
}

/// A new pair for a refresh token. The chain keeps its id; name and, if given, variables are new. With `session.refresh_rotation`
/// the token is exchanged: presented once more, it ends the session.
///
/// # Errors
/// 400 without a token; 401 for one that is not good, or of a session that is too old; 403 for a banned and 404 for a deleted
/// account; 503 when a limit is reached.
pub async fn session_refresh(
    services: &Services,
    _client: &Client,
    request: api::SessionRefreshRequest,
) -> Result<api::Session, Error> {
    if request.token.is_empty() {
        return Err(Error::invalid_argument("Refresh token is required."));
    }
    let presented = services.tokens.verify_refresh(&request.token).map_err(|reason| {
        tracing::debug!(%reason, "a refresh token is refused");
        Error::unauthenticated(REFUSED)
    })?;
    let chain = &presented.claims;
    let found = services.store.find_login(Identifier::Id(chain.user_id));
    let login = found
        .map_err(|error| error.into_error("Error finding user account."))?
        .ok_or_else(|| Error::not_found("User account not found."))?;
    if login.disabled {
        return Err(Error::permission_denied("User account banned."));
    }
    let origin = chain.origin.as_deref();
    not_too_old(services, chain.issued_unix, origin)?;
    login::renew(services, chain).await?;
    let vars = vars_at_refresh(services, chain, request.vars);
    let generation = rotate(services, &presented).await?;
    revocation::keep_revoked(services, chain).await?;
    let pair = services.tokens.renew(Renewal { chain, generation, username: &login.username, vars: &vars, origin });
    if let Some(token_id) = pair.token_id.filter(|_| services.config.session.close_on_expiry) {
        services.realtime.prolong(chain.user_id, token_id, pair.expires_unix);
    }
    Ok(api::Session { created: false, token: pair.token, refresh_token: pair.refresh_token })
}

/// Whether a session that was opened at `issued_unix` may go on, or with an old proof begin.
///
/// # Errors
/// 401 when the proof is older than `session.max_chain_sec`.
pub(super) fn not_too_old(services: &Services, issued_unix: i64, origin: Option<&Origin>) -> Result<(), Error> {
    match services.tokens.is_chain_over(issued_unix, origin) {
        true => Err(Error::unauthenticated("Session has reached its longest life. Sign in again.")),
        false => Ok(()),
    }
}

/// The generation of the next refresh token, once that of the presented one is on disk as used.
async fn rotate(services: &Services, presented: &RefreshToken) -> Result<u32, Error> {
    let RefreshToken { claims: chain, generation } = presented;
    let session = &services.config.session;
    // Without an id (another server's), a chain has no name to be remembered under.
    let Some(token_id) = chain.token_id.filter(|_| session.refresh_rotation) else { return Ok(*generation) };
    let rotation = services.store.rotate_refresh(Presented {
        token_id,
        generation: *generation,
        now_unix: services.clock.unix_seconds(),
        grace_sec: i64::try_from(session.refresh_grace_sec).unwrap_or(i64::MAX),
        expires_unix: services.tokens.refresh_end(chain),
        most: session.max_refresh_chains,
    });
    match rotation.await.map_err(|error| error.into_error(REFRESH_FAILED))? {
        // What ended the chain while it was written down is not escaped.
        Rotation::Newest(_) if services.tokens.is_refresh_ended(chain) => Err(Error::unauthenticated(REFUSED)),
        Rotation::Newest(newest) => Ok(newest),
        Rotation::Reused => {
            end_reused(services, chain).await?;
            Err(Error::unauthenticated(REFUSED))
        }
    }
}

/// Two have had this refresh token, and which of them is the player cannot be told: the whole chain ends (RFC 9700 section
/// 4.14.2).
async fn end_reused(services: &Services, chain: &SessionClaims) -> Result<(), Error> {
    services.metrics.refresh_reuses.inc();
    tracing::warn!(user = %chain.user_id, "a refresh token was used twice; its session is ended");
    let both = [Kind::Session, Kind::Refresh].into_iter();
    revocation::revoke(services, both.filter_map(|kind| services.tokens.token(kind, chain)).collect()).await
}

/// The client's new variables, if it sends any, with those that came from the identity token, which no client changes.
fn vars_at_refresh(
    services: &Services,
    chain: &SessionClaims,
    wanted: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    if wanted.is_empty() {
        return BTreeMap::clone(&chain.vars);
    }
    let mut vars = rules::client_vars(wanted, &services.metrics);
    let imposed = chain.vars.iter().filter(|(name, _)| name.starts_with(RESERVED_VARS));
    vars.extend(imposed.map(|(name, value)| (name.clone(), value.clone())));
    vars
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
