//! An identity token that is presented once more (`identity.replay`). What a first use came to is remembered with it, so that the
//! very same pair of tokens can be made again; the tokens themselves are kept nowhere.

use super::Services;
use crate::{
    config::{MAX_SKEW_SEC, Replay},
    error::Error,
    hooks::{AuthenticateRequest, Authenticated, HookContext},
    identity::Reason,
    store::{EarlierUse, TokenUse},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What the pair of a sign-in is made from, beside the account and the identity token.
#[derive(Clone)]
pub(super) struct Opening {
    pub(super) token_id: Uuid,
    /// Seconds since 1970.
    pub(super) issued_unix: i64,
    pub(super) vars: BTreeMap<String, String>,
}

/// A session as it is remembered.
#[derive(Serialize, Deserialize)]
struct Remembered {
    tid: String,
    iat: i64,
    usn: String,
    vrs: BTreeMap<String, String>,
    new: bool,
}

/// The use of a request's identity token for a sign-in to `account`; `None` where none is remembered.
pub(super) fn of_sign_in(
    services: &Services,
    request: &AuthenticateRequest,
    account: &Authenticated,
    opening: &Opening,
) -> Option<TokenUse> {
    let used = of_link(services, request, account.user_id)?;
    let session = match services.config.identity.replay {
        Replay::Idempotent => Some(Remembered {
            tid: opening.token_id.to_string(),
            iat: opening.issued_unix,
            usn: account.username.clone(),
            vrs: opening.vars.clone(),
            new: account.created,
        }),
        Replay::Off | Replay::Strict => None,
    };
    Some(TokenUse { session: session.and_then(|session| serde_json::to_string(&session).ok()), ..used })
}

/// The same for linking, which opens no session.
pub(super) fn of_link(services: &Services, request: &AuthenticateRequest, user_id: Uuid) -> Option<TokenUse> {
    let config = &services.config.identity;
    let identity = request.identity.as_ref().filter(|_| config.replay != Replay::Off)?;
    let at_unix = services.clock.unix_seconds();
    Some(TokenUse {
        digest: identity.digest,
        user_id,
        at_unix,
        session: None,
        session_until_unix: at_unix.saturating_add(window(services)),
        // So long a token may be good after its `exp`.
        expires_unix: identity.expires_at.saturating_add_unsigned(MAX_SKEW_SEC),
        most: config.max_replay_tokens,
    })
}

/// The session that an earlier use of the token opened for `user_id`, to be answered again.
///
/// # Errors
/// 401, as for every fault of an identity token, unless the mode and the time allow it.
pub(super) fn again(
    services: &Services,
    context: &HookContext,
    request: &AuthenticateRequest,
    earlier: &EarlierUse,
    user_id: Uuid,
) -> Result<(Authenticated, Opening), Error> {
    let session = earlier.session.as_deref().filter(|_| is_answered(services, earlier, user_id));
    let session: Option<Remembered> = session.and_then(|text| serde_json::from_str(text).ok());
    let token_id = session.as_ref().and_then(|session| Uuid::try_parse(&session.tid).ok());
    let (Some(session), Some(token_id)) = (session, token_id) else { return Err(refused(services, context, request)) };
    let account = Authenticated { user_id, username: session.usn, created: session.new };
    Ok((account, Opening { token_id, issued_unix: session.iat, vars: session.vrs }))
}

/// Whether a link by a token that was used before is the same one again: it goes through once more, and changes nothing.
///
/// # Errors
/// As [`again`].
pub(super) fn link_again(
    services: &Services,
    context: &HookContext,
    request: &AuthenticateRequest,
    earlier: &EarlierUse,
    user_id: Uuid,
) -> Result<(), Error> {
    match earlier.session.is_none() && is_answered(services, earlier, user_id) {
        true => Ok(()),
        false => Err(refused(services, context, request)),
    }
}

fn is_answered(services: &Services, earlier: &EarlierUse, user_id: Uuid) -> bool {
    let (now, window) = (services.clock.unix_seconds(), window(services));
    services.config.identity.replay == Replay::Idempotent
        && earlier.user_id == user_id
        && (earlier.at_unix.saturating_sub(window)..earlier.at_unix.saturating_add(window)).contains(&now)
}

fn window(services: &Services) -> i64 {
    i64::try_from(services.config.identity.replay_window_sec).unwrap_or(i64::MAX)
}

fn refused(services: &Services, context: &HookContext, request: &AuthenticateRequest) -> Error {
    match &request.identity {
        Some(identity) => {
            let refusal = services.verifier.refuse(identity, Reason::Replayed);
            services.note_refusal(&refusal, context.client_address);
            refusal.into()
        }
        None => Error::unauthenticated("Identity token refused."),
    }
}
