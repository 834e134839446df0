//! The rows of our own routes.

use super::OwnRoute;

/// Every route of our own.
pub(in crate::net) static OWN_ROUTES: &[OwnRoute] = &[];
