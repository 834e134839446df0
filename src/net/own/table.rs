//! The rows of our own routes.

use super::{OwnRoute, nonce};

/// Every route of our own.
pub(in crate::net) static OWN_ROUTES: &[OwnRoute] =
    &[OwnRoute { method: "POST", path: "/bridge/nonce", name: "BridgeNonce", has_body: false, run: nonce::issue }];
