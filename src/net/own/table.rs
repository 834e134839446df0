//! The rows of our own routes.

use super::{OwnRoute, sessions, ticket, token};

/// Every route of our own.
pub(in crate::net) static OWN_ROUTES: &[OwnRoute] = &[
    OwnRoute { method: "POST", path: "/v2/session/ticket", name: "SessionTicket", has_body: false, run: ticket::issue },
    OwnRoute { method: "GET", path: "/.well-known/jwks.json", name: "KeySet", has_body: false, run: sessions::key_set },
    OwnRoute {
        method: "POST",
        path: "/v2/session/introspect",
        name: "Introspect",
        has_body: true,
        run: sessions::introspect,
    },
    OwnRoute { method: "POST", path: "/oauth2/token", name: "Token", has_body: true, run: token::token },
];
