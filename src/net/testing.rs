//! What the tests of this module share.

use crate::{
    clock::{Clock, Entropy},
    config::Config,
    features::{Services, passwords::Passwords},
    hooks::Hooks,
    identity::session::SessionTokens,
    realtime::Realtime,
    store::Store,
    telemetry::Metrics,
};
use std::{collections::BTreeMap, sync::Arc};
use tempfile::TempDir;
use uuid::Uuid;

/// The user whose token [`World::token`] is.
pub(super) const USER: Uuid = Uuid::from_u128(7);

/// Services with the shipped configuration, over a store of their own.
pub(super) struct World {
    pub(super) services: Services,
    _dir: TempDir,
}

impl World {
    pub(super) fn new() -> Self {
        let mut config = Config::default();
        config.hooks.before.clear();
        let (clock, entropy, metrics) = (Clock::manual(1_000), Entropy::seeded(1), Metrics::unregistered());
        let dir = TempDir::new().unwrap();
        let hooks = Hooks::builder().build(&config.hooks, clock.clone(), entropy.clone(), metrics.clone());
        let services = Services {
            store: Store::open(&config.store, dir.path(), clock.clone()).unwrap(),
            tokens: SessionTokens::new(&config.session, clock.clone(), entropy.clone()),
            hooks: hooks.unwrap(),
            passwords: Passwords::new(&config.password, entropy.clone()),
            realtime: Realtime::new(&config, metrics.clone()),
            config: Arc::new(config),
            clock,
            entropy,
            metrics,
        };
        Self { services, _dir: dir }
    }

    /// A good session token, of the user named `player`.
    pub(super) fn token(&self) -> String {
        let token_id = self.services.entropy.token_id(&self.services.clock);
        self.services.tokens.issue(token_id, USER, "player", &BTreeMap::new()).token
    }
}
