//! `POST /bridge/nonce`: a nonce for a game that signs its player in at the provider by itself (docs/identity.md).

use super::{OwnAnswer, OwnCall};
use crate::net::{credentials, respond};

/// Answers `{"nonce":"...","expires_in":300}` to any client that holds the server key.
pub(super) fn issue(call: OwnCall<'_>) -> OwnAnswer<'_> {
    let OwnCall { services, headers, .. } = call;
    Box::pin(async move {
        credentials::server_key(headers, services)?;
        let nonce = services.verifier.issue_nonce(&services.entropy);
        let expires_in = services.config.identity.nonce_lifetime_sec;
        Ok(respond::success(format!(r#"{{"nonce":"{nonce}","expires_in":{expires_in}}}"#).into_bytes()))
    })
}
