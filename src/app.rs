//! The composition root: opens, connects, builds and binds, from top to bottom. Nothing else makes a service, and nothing is global.

use crate::{
    clock::{Clock, Entropy},
    config::{Config, ConfigError},
    features::{Services, passwords::Passwords},
    hooks::{AfterAuthenticate, BeforeAuthenticate, Hooks, bridge::Bridge, notices},
    identity::{Verifier, session::SessionTokens},
    lifecycle::Lifecycle,
    net::{self, metrics, provider::{self, DevProvider}},
    realtime::Realtime,
    store::{Store, StoreError},
    telemetry::Metrics,
};
use prometheus_client::registry::Registry;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::TcpListener;

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is not in order.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// The store cannot be opened.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {cause}")]
    Bind {
        /// The address as configured.
        address: String,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The development identity provider has no keys to sign with.
    #[error("development provider: {0}")]
    DevProvider(String),
}

/// Builds a server; a program that embeds one adds hooks of its own here.
#[derive(Debug)]
pub struct Builder {
    config: Config,
    clock: Clock,
    entropy: Entropy,
    before: Vec<Arc<dyn BeforeAuthenticate>>,
    after: Vec<Arc<dyn AfterAuthenticate>>,
}
