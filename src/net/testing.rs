//! What the tests of this module share.

use crate::{
    clock::{Clock, Entropy},
    config::Config,
    features::{Caller, Client, Services},
    telemetry::Metrics,
};
use std::sync::Arc;
use uuid::Uuid;

/// Services with the shipped configuration.
pub(super) fn services() -> Services {
    Services {
        config: Arc::new(Config::default()),
        clock: Clock::manual(1_000),
        entropy: Entropy::seeded(1),
        metrics: Metrics::unregistered(),
    }
}

/// Takes the token `good`, and no other.
pub(super) fn verify(_services: &Services, client: Client, token: &str) -> Option<Caller> {
    (token == "good").then(|| Caller {
        client,
        user_id: Uuid::from_u128(7),
        username: "player".into(),
        vars: Arc::default(),
        token_id: None,
        expires_unix: 2_000,
    })
}
