//! A server's services over a store in a folder of its own, with the time and the randomness in the test's hand.

use super::{
    Caller, Client, Services, authenticate, login::Login, matchmaker::Matchmaker, parties::Parties,
    passwords::Passwords, revocation, session, throttle::Throttle, ticket::Tickets,
};
use crate::{
    audit::Audit,
    clock::{Clock, Entropy},
    config::Config,
    error::Error,
    hooks::{Hooks, HooksBuilder},
    identity::{self, Verifier, session::SessionTokens},
    realtime::Realtime,
    store::{Limits, Store},
    telemetry::Metrics,
};
use kizuna_protocol::{api, code::Code};
use std::{collections::BTreeMap, sync::Arc};
use tempfile::TempDir;
use uuid::Uuid;

/// When tests take place.
pub(super) const NOW: i64 = 1_800_000_000;
/// The user whose token [`World::token`] is.
pub(crate) const USER: Uuid = Uuid::from_u128(7);

pub(crate) struct World {
    pub(crate) services: Services,
    dir: TempDir,
}

impl World {
    /// A server without hooks.
    pub(crate) fn new() -> Self {
        Self::with(|_| {}, Hooks::builder())
    }

    pub(crate) fn with(configure: impl FnOnce(&mut Config), hooks: HooksBuilder) -> Self {
        let mut config = Config::default();
        config.hooks.before.clear();
        config.password.bcrypt_cost = 4;
        configure(&mut config);
        let dir = TempDir::new().expect("a temporary folder can be made");
        let services = open(config, &dir, hooks, Clock::manual(NOW));
        Self { services, dir }
    }

    /// Stops the server and starts another one on the same folder: new randomness, same time, perhaps another configuration.
    pub(super) fn restarted(self, configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::clone(&self.services.config);
        configure(&mut config);
        self.services.store.close();
        let services = open(config, &self.dir, Hooks::builder(), self.services.clock.clone());
        Self { services, dir: self.dir }
    }

    /// A good session token of [`USER`], who has no account.
    pub(crate) fn token(&self) -> String {
        let token_id = self.services.tokens.new_token_id();
        self.services.tokens.issue(token_id, USER, "player", &BTreeMap::new(), None).token
    }

    pub(crate) fn later(&self, seconds: i64) {
        self.services.clock.advance_seconds(seconds);
    }

    pub(super) async fn custom(&self, id: &str) -> Result<api::Session, Error> {
        self.custom_named(id, "", None).await
    }

    pub(super) async fn custom_named(
        &self,
        id: &str,
        username: &str,
        create: Option<bool>,
    ) -> Result<api::Session, Error> {
        let account = api::AccountCustom { id: id.into(), ..Default::default() };
        let request = api::AuthenticateCustomRequest { account: Some(account), create, username: username.into() };
        authenticate::authenticate_custom(&self.services, &Client::default(), request).await
    }

    pub(super) async fn device(&self, id: &str, username: &str) -> Result<api::Session, Error> {
        let account = api::AccountDevice { id: id.into(), ..Default::default() };
        let request =
            api::AuthenticateDeviceRequest { account: Some(account), create: None, username: username.into() };
        authenticate::authenticate_device(&self.services, &Client::default(), request).await
    }

    pub(super) async fn email(&self, email: &str, password: &str) -> Result<api::Session, Error> {
        self.email_named(email, password, "", None).await
    }

    pub(super) async fn email_named(
        &self,
        email: &str,
        password: &str,
        username: &str,
        create: Option<bool>,
    ) -> Result<api::Session, Error> {
        let account = api::AccountEmail { email: email.into(), password: password.into(), ..Default::default() };
        let request = api::AuthenticateEmailRequest { account: Some(account), create, username: username.into() };
        authenticate::authenticate_email(&self.services, &Client::default(), request).await
    }

    /// Whom a session token stands for now.
    pub(super) fn caller(&self, token: &str) -> Result<Caller, Error> {
        session::caller(&self.services, Client::default(), token).map(|(caller, _)| caller)
    }

    /// A new player with a custom id, signed in.
    pub(super) async fn player(&self, id: &str) -> Caller {
        let session = self.custom(id).await.expect("a new player signs in");
        self.caller(&session.token).expect("a fresh token is good")
    }
}

fn open(config: Config, dir: &TempDir, hooks: HooksBuilder, clock: Clock) -> Services {
    let (entropy, metrics) = (Entropy::seeded(7), Metrics::unregistered());
    let lifetime = config.session.token_expiry_sec.max(config.session.refresh_token_expiry_sec);
    let limits = Limits {
        outbox_size: config.hooks.outbox_size,
        token_lifetime_sec: lifetime as i64 + 1,
        notifications_per_user: config.notification.max_per_user,
        notifications_per_sender: config.notification.max_per_sender,
        friends_per_user: config.friend.max_per_user,
    };
    let store = Store::open(&config.store, dir.path(), clock.clone()).expect("the store opens").with_limits(limits);
    let tokens = SessionTokens::new(&config, clock.clone(), entropy.clone());
    revocation::load_revocations(&store, &tokens).expect("the store can be read");
    let verifier =
        Verifier::new(&config.identity, &[], clock.clone(), identity::Metrics::default()).expect("the trust fits");
    let http = std::net::SocketAddr::from(([127, 0, 0, 1], 7350));
    let login = Arc::new(Login::new(&config, Vec::new(), http, &clock, &entropy).expect("the sign-in page fits"));
    let hooks = hooks.build(&config.hooks, clock.clone(), entropy.clone(), metrics.clone()).expect("the hooks fit");
    Services {
        passwords: Passwords::new(&config.password, entropy.clone()),
        throttle: Throttle::new(&config.socket, clock.clone()),
        limits: super::limits::Limits::new(&config, clock.clone()),
        tickets: Tickets::new(&config.session, clock.clone(), entropy.clone()),
        realtime: Realtime::new(&config, metrics.clone()),
        parties: Parties::new(metrics.clone()),
        matchmaker: Matchmaker::new(&config, metrics.clone()),
        config: Arc::new(config),
        clock,
        entropy,
        metrics,
        store,
        verifier,
        login,
        tokens,
        hooks,
        audit: Audit::off(),
    }
}

/// An answer in short: `ok`, or code and message.
pub(super) fn said<T>(answer: Result<T, Error>) -> (Code, String) {
    match answer {
        Ok(_) => (Code::Ok, String::new()),
        Err(error) => (error.code(), error.message().to_owned()),
    }
}

/// What an error looks like in [`said`].
pub(super) fn error(code: Code, message: &str) -> (Code, String) {
    (code, message.to_owned())
}

pub(super) const OK: (Code, String) = (Code::Ok, String::new());
