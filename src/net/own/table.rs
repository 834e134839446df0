//! The rows of our own routes.

use super::{OwnRoute, revocation, ticket};

/// Every route of our own.
pub(in crate::net) static OWN_ROUTES: &[OwnRoute] = &[
    OwnRoute { method: "POST", path: "/bridge/revoke", name: "BridgeRevoke", has_body: true, run: revocation::revoke },
    OwnRoute {
        method: "POST",
        path: "/bridge/backchannel-logout",
        name: "BridgeBackchannelLogout",
        has_body: true,
        run: revocation::backchannel_logout,
    },
    OwnRoute { method: "POST", path: "/bridge/events", name: "BridgeEvents", has_body: true, run: revocation::events },
    OwnRoute { method: "POST", path: "/v2/session/ticket", name: "SessionTicket", has_body: false, run: ticket::issue },
];
