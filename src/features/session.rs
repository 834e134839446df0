//! The life of a session after signing in: who a token stands for, and refresh (spec/auth-and-accounts.md sections 4 and 5).

use super::{Caller, Client, Services, login, revocation, rules, tenancy};
use crate::{
    audit::{Event, Source},
    error::Error,
    identity::{
        RESERVED_VARS, RefreshRule, VerifiedIdentity,
        session::{Origin, RefreshToken, Renewal, SessionClaims, TokenPair, TooLarge},
    },
    store::{Identifier, Presented, Rotation},
};
use kizuna_protocol::{api, code::Code};
use std::collections::BTreeMap;

const REFUSED: &str = "Refresh token invalid or expired.";
/// The variable in which a client presents an identity token at refresh. It is taken out, and never part of a session.
const IDENTITY_TOKEN: &str = "idp.token";
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
        Code::Unauthenticated => Some("ended"),
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
    let proof = represented(services, client, chain, wanted.remove(IDENTITY_TOKEN)).await?;
    let renewed = proof.as_ref().map(|identity| identity.origin(services.clock.unix_seconds()));
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
    let identity = services.verifier.verify(&token).await;
    let identity = identity.inspect_err(|refusal| revocation::record_refusal(services, client, refusal))?;
    revocation::still_counts(services, client, Some(&identity))?;
    if identity.tenant.as_deref() != origin.tenant.as_deref() {
        tracing::debug!(entry = &*identity.entry, "an identity token of another tenant comes with a refresh");
        return Err(Error::unauthenticated("Identity token refused."));
    }
    let found = services.store.find_login(Identifier::Custom(&identity.account_id));
    let owner = found.map_err(|error| error.into_error("Error finding user account."))?.map(|login| login.user_id);
    if owner != Some(chain.user_id) {
        tracing::debug!(entry = &*identity.entry, "an identity token of another player comes with a refresh");
        return Err(Error::unauthenticated("Identity token refused."));
    }
    Ok(Some(identity))
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
    // Without variables there is nothing that could make it long.
    if vars.is_empty() && origin.is_none() {
        return Ok(());
    }
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
    revocation::end_chain(services, chain, Source::Reuse).await
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
