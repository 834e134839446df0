//! `POST /bridge/nonce`: a nonce for a game that signs its player in at the provider by itself.

use super::{OwnAnswer, OwnCall};
use crate::net::{credentials, respond};

/// Answers `{"nonce":"...","expires_in":300}`, for any client that holds the server key.
pub(super) fn nonce(call: OwnCall<'_>) -> OwnAnswer<'_> {
    Box::pin(async move {
        let services = call.services;
        credentials::server_key(call.headers, services)?;
        let nonce = services.verifier.issue_nonce(&services.entropy);
        let expires_in = services.config.identity.nonce_lifetime_sec;
        Ok(respond::success(format!(r#"{{"nonce":"{nonce}","expires_in":{expires_in}}}"#).into_bytes()))
    })
}
