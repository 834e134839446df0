//! The rows of our own routes.

use super::{OwnAnswer, OwnCall, OwnRoute, login, nonce, revocation, sessions, ticket, token, why};

/// Every route of our own.
pub(in crate::net) static OWN_ROUTES: &[OwnRoute] = &[
    row("GET", "/.well-known/jwks.json", "KeySet", NO_BODY, sessions::key_set),
    row("POST", "/v2/session/introspect", "Introspect", TAKES_A_BODY, sessions::introspect),
    row("POST", "/v2/session/ticket", "SessionTicket", NO_BODY, ticket::issue),
    row("GET", "/v2/matchmaker/why", "MatchmakerWhy", NO_BODY, why::why),
    row("POST", "/oauth2/token", "Token", TAKES_A_BODY, token::token),
    row("GET", "/bridge/login", "BridgeLogin", NO_BODY, login::begin),
    row("GET", "/bridge/callback", "BridgeCallback", NO_BODY, login::callback),
    row("POST", "/bridge/session", "BridgeSession", TAKES_A_BODY, login::session),
    row("POST", "/bridge/device_authorization", "BridgeDeviceAuthorization", TAKES_A_BODY, login::device_begin),
    row("GET", "/bridge/device", "BridgeDevicePage", NO_BODY, login::device_page),
    row("POST", "/bridge/device", "BridgeDevice", TAKES_A_BODY, login::device_typed),
    row("GET", "/bridge/style.css", "BridgeStyle", NO_BODY, login::style),
    row("POST", "/bridge/nonce", "BridgeNonce", NO_BODY, nonce::issue),
    row("POST", "/bridge/revoke", "BridgeRevoke", TAKES_A_BODY, revocation::revoke),
    row("POST", "/bridge/backchannel-logout", "BridgeBackchannelLogout", TAKES_A_BODY, revocation::backchannel_logout),
    row("POST", "/bridge/events", "BridgeEvents", TAKES_A_BODY, revocation::events),
];

const TAKES_A_BODY: bool = true;
const NO_BODY: bool = false;

/// A row: method, path, name in logs and metrics, whether a body is read, and the function that answers.
const fn row(
    method: &'static str,
    path: &'static str,
    name: &'static str,
    has_body: bool,
    run: for<'c> fn(OwnCall<'c>) -> OwnAnswer<'c>,
) -> OwnRoute {
    OwnRoute { method, path, name, has_body, run }
}
