//! The life of a session after signing in: who a token stands for, and refresh (spec/auth-and-accounts.md sections 4 and 5).

use super::{Caller, Client, Services, revocation, rules};
use crate::{
    error::Error,
    identity::{RESERVED_VARS, session::SessionClaims},
    store::Identifier,
};
use kizuna_protocol::api;
use std::collections::BTreeMap;

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

/// A new pair for a refresh token. The chain keeps its id; name and, if given, variables are new.
///
/// # Errors
/// 400 without a token; 401 for one that is not good; 403 for a banned and 404 for a deleted account.
pub async fn session_refresh(
    services: &Services,
    _client: &Client,
    request: api::SessionRefreshRequest,
) -> Result<api::Session, Error> {
    if request.token.is_empty() {
        return Err(Error::invalid_argument("Refresh token is required."));
    }
    let chain = services.tokens.verify_refresh(&request.token).map_err(|reason| {
        tracing::debug!(%reason, "a refresh token is refused");
        Error::unauthenticated("Refresh token invalid or expired.")
    })?;
    let found = services.store.find_login(Identifier::Id(chain.user_id));
    let login = found
        .map_err(|error| error.into_error("Error finding user account."))?
        .ok_or_else(|| Error::not_found("User account not found."))?;
    if login.disabled {
        return Err(Error::permission_denied("User account banned."));
    }
    revocation::keep_revoked(services, &chain).await?;
    let vars = vars_at_refresh(services, &chain, request.vars);
    let pair = services.tokens.renew(&chain, &login.username, &vars);
    Ok(api::Session { created: false, token: pair.token, refresh_token: pair.refresh_token })
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
