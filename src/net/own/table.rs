//! The rows of our own routes.

use super::{OwnRoute, ticket};

/// Every route of our own.
pub(in crate::net) static OWN_ROUTES: &[OwnRoute] = &[OwnRoute {
    method: "POST",
    path: "/v2/session/ticket",
    name: "SessionTicket",
    has_body: false,
    run: ticket::issue,
}];
