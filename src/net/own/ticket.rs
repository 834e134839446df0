//! `POST /v2/session/ticket`: a ticket for `/ws?ticket=` (docs/connection.md).

use super::{OwnAnswer, OwnCall};
use crate::{
    features::ticket,
    net::{credentials, respond},
};
use std::sync::Arc;

/// Answers `{"ticket": "...", "expires_in": 30}` to the bearer of a session token.
pub(super) fn issue(call: OwnCall<'_>) -> OwnAnswer<'_> {
    Box::pin(async move {
        let (_, claims) = credentials::session(call.headers, call.client, call.services)?;
        let ticket = ticket::issue(call.services, Arc::new(claims))?;
        let mut body = b"{\"ticket\":".to_vec();
        respond::quote(&mut body, &ticket.value, false);
        body.extend_from_slice(format!(",\"expires_in\":{}}}", ticket.expires_in).as_bytes());
        Ok(respond::success(body))
    })
}
