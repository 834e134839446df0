//! The life of a session after signing in: who a token stands for, and refresh (spec/auth-and-accounts.md sections 4 and 5).

use super::{Caller, Client, Services, login, revocation, rules, tenancy};
use crate::{
    audit::{Event, Source},
    error::Error,
    identity::{
        IDENTITY_REFUSED, RESERVED_VARS, RefreshRule, VerifiedIdentity,
        session::{Origin, RefreshToken, Renewal, SessionClaims, TokenPair, TooLarge},
    },
    store::{Identifier, Presented, Rotation},
};
use kizuna_protocol::{api, code::Code};
use std::collections::BTreeMap;

const REFUSED: &str = "Refresh token invalid or expired.";
/// The variable in which a client presents an identity token at refresh. It is taken out, and never part of a session.
pub const IDENTITY_TOKEN: &str = "idp.token";
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
/// 400 without a token, or when variables are too large; 401 for a token that is not good, of a session that is too old, or without
/// the identity token that its trust entry asks for; 403 for a banned account or one of another tenant
/// and 404 for a deleted one; 503 when a limit is reached.
pub async fn session_refresh(
    services: &Services,
    client: &Client,
    request: api::SessionRefreshRequest,
) -> Result<api::Session, Error> {
    if request.token.is_empty() {
        return Err(Error::invalid_argument("Refresh token is required."));
    }
    let presented = services.tokens.verify_refresh(&request.token).map_err(|reason| {
        tracing::debug!(%reason, "a refresh token is refused");
        services.audit.record(Event::RefreshRefused { user_id: None, why: reason.as_str(), address: client.address });
        Error::unauthenticated(REFUSED)
    })?;
    refreshed(services, client, &presented, request.vars).await.inspect_err(|error| {
        let Some(why) = why_refused(error) else { return };
        let user_id = Some(presented.claims.user_id);
        services.audit.record(Event::RefreshRefused { user_id, why, address: client.address });
    })
}

/// The reason in a word, for the audit log; `None` where it is not the session's.
fn why_refused(error: &Error) -> Option<&'static str> {
    match error.code() {
        // Written down already, with what was wrong with that token.
        Code::Unauthenticated if error.message() == IDENTITY_REFUSED => None,
        Code::Unauthenticated => Some("not_renewed"),
        Code::PermissionDenied => Some("not_admitted"),
        Code::NotFound => Some("no_account"),
        _ => None,
    }
}

async fn refreshed(
    services: &Services,
    client: &Client,
    presented: &RefreshToken,
    mut wanted: BTreeMap<String, String>,
) -> Result<api::Session, Error> {
    let chain = &presented.claims;
    let found = services.store.find_login(Identifier::Id(chain.user_id));
    let login = found
        .map_err(|error| error.into_error("Error finding user account."))?
        .ok_or_else(|| Error::not_found("User account not found."))?;
    if login.disabled {
        return Err(Error::permission_denied("User account banned."));
    }
    tenancy::admit(services, chain.user_id, chain.tenant).await?;
    not_reused(services, presented).await?;
    let proof = represented(services, client, chain, wanted.remove(IDENTITY_TOKEN)).await?;
    let renewed = proof.as_ref().map(|identity| renewed(services, chain, identity));
    let origin = renewed.as_ref().or(chain.origin.as_deref());
    not_too_old(services, chain.issued_unix, origin)?;
    login::renew(services, client, chain).await?;
    let vars = vars_at_refresh(services, chain, wanted, proof.as_ref())?;
    fits(services, &login.username, &vars, origin)?;
    let generation = rotate(services, presented).await?;
    revocation::keep_revoked(services, chain).await?;
    let pair = services.tokens.renew(Renewal { chain, generation, username: &login.username, vars: &vars, origin });
    note_length(services, &pair, origin)?;
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

/// Whom an identity token that comes with the refresh proves: the player of the session, once more.
async fn represented(
    services: &Services,
    client: &Client,
    chain: &SessionClaims,
    token: Option<String>,
) -> Result<Option<VerifiedIdentity>, Error> {
    let Some(origin) = &chain.origin else {
        services.metrics.reserved_vars_dropped.inc_by(u64::from(token.is_some()));
        return Ok(None);
    };
    let rule = services.verifier.refresh_rule(origin).ok_or_else(|| {
        Error::unauthenticated("The identity provider of this session is not trusted any more. Sign in again.")
    })?;
    let Some(token) = token else {
        return match rule {
            RefreshRule::TokenAlone => Ok(None),
            RefreshRule::Represent => Err(Error::unauthenticated(
                "This session is refreshed with a current identity token, sent as the variable idp.token.",
            )),
        };
    };
    let identity = services.verifier.verify(&token).await.inspect_err(|refusal| {
        services.note_refusal(refusal, client.address);
    })?;
    revocation::still_counts(services, client, Some(&identity))?;
    let another = |why| {
        tracing::debug!(entry = &*identity.entry, why, "a refresh is refused for its identity token");
        let user_id = Some(chain.user_id);
        services.audit.record(Event::RefreshRefused { user_id, why, address: client.address });
        Error::unauthenticated(IDENTITY_REFUSED)
    };
    if identity.tenant.as_deref() != origin.tenant.as_deref() {
        return Err(another("another_tenant"));
    }
    let found = services.store.find_login(Identifier::Custom(&identity.account_id));
    let owner = found.map_err(|error| error.into_error("Error finding user account."))?.map(|login| login.user_id);
    if owner != Some(chain.user_id) {
        return Err(another("another_player"));
    }
    Ok(Some(identity))
}

/// Where a session comes from after a new proof. A token that names no sign-in at the provider does not take the session out of the
/// reach of the end of the one before.
fn renewed(services: &Services, chain: &SessionClaims, identity: &VerifiedIdentity) -> Origin {
    let new = identity.origin(services.clock.unix_seconds());
    let family = new.family.or(chain.origin.as_ref().and_then(|origin| origin.family));
    Origin { family, ..new }
}

/// Whether the session token of such a session is short enough.
///
/// # Errors
/// 400: with code 9 where the claims of the identity token alone make it too long, with code 3 where the client does.
pub(super) fn fits(
    services: &Services,
    username: &str,
    vars: &BTreeMap<String, String>,
    origin: Option<&Origin>,
) -> Result<(), Error> {
    let Err(too_large) = services.tokens.fits(username, vars, origin) else { return Ok(()) };
    let imposed = vars.iter().filter(|(name, _)| name.starts_with(RESERVED_VARS));
    let imposed = imposed.map(|(name, value)| (name.clone(), value.clone())).collect();
    match (origin, services.tokens.fits(username, &imposed, origin)) {
        (Some(origin), Err(by_claims)) => {
            tracing::warn!(entry = &*origin.entry, %by_claims, "claims make too long a session token");
            Err(Error::new(Code::FailedPrecondition, "The claims of the identity token make too long a session token."))
        }
        _ => Err(too_long(too_large)),
    }
}

fn too_long(too_large: TooLarge) -> Error {
    Error::invalid_argument(format!("Session variables too large: {too_large}."))
}

/// Counts and judges a session token that is about to be handed out.
///
/// # Errors
/// 400 when it is too long.
pub(super) fn note_length(services: &Services, pair: &TokenPair, origin: Option<&Origin>) -> Result<(), Error> {
    if services.tokens.judge_length(&pair.token).map_err(too_long)? {
        let entry = origin.map_or("none", |origin| &*origin.entry);
        tracing::warn!(bytes = pair.token.len(), entry, "session tokens grow long (session.warn_token_bytes)");
    }
    services.metrics.session_token_bytes.observe(pair.token.len() as f64);
    Ok(())
}

/// Refuses a refresh token that was exchanged before, and ends its session, before a provider is asked anything on its behalf. It is
/// not used up by this.
async fn not_reused(services: &Services, presented: &RefreshToken) -> Result<(), Error> {
    let Some(exchange) = exchange_of(services, presented) else { return Ok(()) };
    match services.store.is_refresh_reused(&exchange).map_err(|error| error.into_error(REFRESH_FAILED))? {
        true => Err(end_reused(services, &presented.claims).await),
        false => Ok(()),
    }
}

/// What the store is to know of a refresh token that is exchanged; `None` where it stays as it is.
fn exchange_of(services: &Services, presented: &RefreshToken) -> Option<Presented> {
    let session = &services.config.session;
    Some(Presented {
        // Without an id (another server's), a chain has no name to be remembered under.
        token_id: presented.claims.token_id.filter(|_| session.refresh_rotation)?,
        generation: presented.generation,
        now_unix: services.clock.unix_seconds(),
        grace_sec: i64::try_from(session.refresh_grace_sec).unwrap_or(i64::MAX),
        expires_unix: services.tokens.refresh_end(&presented.claims),
        most: session.max_refresh_chains,
    })
}

/// The generation of the next refresh token, once that of the presented one is on disk as used.
async fn rotate(services: &Services, presented: &RefreshToken) -> Result<u32, Error> {
    let chain = &presented.claims;
    let Some(exchange) = exchange_of(services, presented) else { return Ok(presented.generation) };
    match services.store.rotate_refresh(exchange).await.map_err(|error| error.into_error(REFRESH_FAILED))? {
        // What ended the chain while it was written down is not escaped.
        Rotation::Newest(_) if services.tokens.is_refresh_ended(chain) => Err(Error::unauthenticated(REFUSED)),
        Rotation::Newest(newest) => Ok(newest),
        Rotation::Reused => Err(end_reused(services, chain).await),
    }
}

/// Two have had this refresh token, and which of them is the player cannot be told: the whole chain ends (RFC 9700 section
/// 4.14.2). Answers what the client is told.
async fn end_reused(services: &Services, chain: &SessionClaims) -> Error {
    services.metrics.refresh_reuses.inc();
    tracing::warn!(user = %chain.user_id, "a refresh token was used twice; its session is ended");
    let ended = revocation::end_chain(services, chain, Source::Reuse).await;
    ended.err().unwrap_or_else(|| Error::unauthenticated(REFUSED))
}

/// The client's new variables, if it sends any, with those that came from the identity token, the newest one that was presented.
/// No client changes these.
fn vars_at_refresh(
    services: &Services,
    chain: &SessionClaims,
    wanted: BTreeMap<String, String>,
    proof: Option<&VerifiedIdentity>,
) -> Result<BTreeMap<String, String>, Error> {
    let (imposed, own): (BTreeMap<_, _>, BTreeMap<_, _>) =
        BTreeMap::clone(&chain.vars).into_iter().partition(|(name, _)| name.starts_with(RESERVED_VARS));
    let mut vars = own;
    if !wanted.is_empty() {
        vars = rules::client_vars(wanted, &services.metrics);
        rules::vars_fit(&vars, &services.config.session)?;
    }
    vars.extend(proof.map_or(imposed, |identity| identity.vars.clone()));
    Ok(vars)
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
