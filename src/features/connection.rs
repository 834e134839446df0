//! A new session token for a socket that is open (docs/connection.md): unmodified clients send it as a call of the function
//! `session_update`.

use super::Services;
use crate::{error::Error, realtime::Session};
use kizuna_protocol::{api, code::Close};
use std::sync::Arc;

const UPDATE: &str = "session_update";

/// Whether a call over a socket is about the socket's own session. Only where a session's end is its socket's: elsewhere, as in
/// Nakama, the name is free.
pub(super) fn is_update(services: &Services, request: &api::Rpc) -> bool {
    services.config.session.close_on_expiry && request.id.eq_ignore_ascii_case(UPDATE)
}

/// The token in the payload takes the place of the one that the socket lives by. The answer's payload says until when.
///
/// # Errors
/// Without a payload, code 3; for a token that is not good, not the same user's and tenant's, or ends earlier, code 16. Then
/// nothing changes.
pub(super) fn update(services: &Services, session: &Arc<Session>, request: &api::Rpc) -> Result<api::Rpc, Error> {
    if request.payload.is_empty() {
        return Err(Error::invalid_argument("Session token is required."));
    }
    let claims = services.tokens.verify_session(&request.payload).map_err(|reason| {
        tracing::debug!(%reason, "a session token for an open socket is refused");
        refused()
    })?;
    if (claims.user_id, claims.tenant) != (session.user_id(), session.tenant()) {
        return Err(refused());
    }
    let claims = Arc::new(claims);
    if !services.realtime.registry().replace_token(session, claims.clone()) {
        return Err(Error::unauthenticated("Session token ends before the one in use."));
    }
    // Ended since it was judged: whoever did that found another token at this socket.
    if services.tokens.is_ended(&claims) {
        session.outbound().close(Close::SESSION_REVOKED);
    }
    Ok(api::Rpc { payload: format!("{{\"expires_unix\":{}}}", claims.expires_unix), ..api::Rpc::default() })
}

fn refused() -> Error {
    Error::unauthenticated("Auth token invalid")
}
