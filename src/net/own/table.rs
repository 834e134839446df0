//! The rows of our own routes.

use super::{OwnRoute, login, ticket};

/// Every route of our own.
pub(in crate::net) static OWN_ROUTES: &[OwnRoute] = &[
    OwnRoute { method: "POST", path: "/v2/session/ticket", name: "SessionTicket", has_body: false, run: ticket::issue },
    OwnRoute { method: "GET", path: "/bridge/login", name: "BridgeLogin", has_body: false, run: login::begin },
    OwnRoute { method: "GET", path: "/bridge/callback", name: "BridgeCallback", has_body: false, run: login::callback },
    OwnRoute { method: "POST", path: "/bridge/session", name: "BridgeSession", has_body: true, run: login::session },
    OwnRoute {
        method: "POST",
        path: "/bridge/device_authorization",
        name: "BridgeDeviceAuthorization",
        has_body: true,
        run: login::device_begin,
    },
    OwnRoute {
        method: "GET",
        path: "/bridge/device",
        name: "BridgeDevicePage",
        has_body: false,
        run: login::device_page,
    },
    OwnRoute { method: "POST", path: "/bridge/device", name: "BridgeDevice", has_body: true, run: login::device_typed },
    OwnRoute { method: "GET", path: "/bridge/style.css", name: "BridgeStyle", has_body: false, run: login::style },
];
