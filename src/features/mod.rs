//! Decisions: one file a feature, its HTTP and realtime operations side by side. Operations know no transport: a typed request
//! in, a typed response out.

use crate::{
    clock::{Clock, Entropy},
    config::Config,
    telemetry::Metrics,
};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};
use uuid::Uuid;

/// What operations work with; built once by `app`, handed down by reference.
#[derive(Clone, Debug)]
pub struct Services {
    /// The configuration, judged at start.
    pub config: Arc<Config>,
    /// The time.
    pub clock: Clock,
    /// Randomness.
    pub entropy: Entropy,
    /// The counters.
    pub metrics: Metrics,
}

/// Who sends a request, before anything is known of the person: the network's view.
#[derive(Clone, Copy, Debug, Default)]
pub struct Client {
    /// The client's address, as far as proxies tell it (spec/auth-and-accounts.md section 13).
    pub address: Option<IpAddr>,
    /// Its port, where no proxy hides it.
    pub port: Option<u16>,
}

/// A signed-in user, as the session token says: never read from the database.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The network's view.
    pub client: Client,
    /// The user.
    pub user_id: Uuid,
    /// The username when the token was issued.
    pub username: Arc<str>,
    /// Session variables.
    pub vars: Arc<BTreeMap<String, String>>,
    /// The token's id; all tokens of one refresh chain share it. `None` only for tokens of another server.
    pub token_id: Option<Uuid>,
    /// When the session token ends, in seconds since 1970.
    pub expires_unix: i64,
}
