//! The composition root: opens, connects, builds and binds, from top to bottom. Nothing else makes a service, and nothing is
//! global.

use crate::{
    audit::Audit,
    clock::{Clock, Entropy},
    config::{Config, ConfigError},
    features::{
        Services, limits,
        login::Login,
        matchmaker::{self, Matchmaker},
        parties::Parties,
        passwords::Passwords,
        revocation, snapshot,
        throttle::Throttle,
        ticket::Tickets,
    },
    hooks::{AfterAuthenticate, AfterEnvelope, BeforeAuthenticate, BeforeEnvelope, Bridge, Hooks, HooksBuilder},
    identity::{
        self, Verifier,
        session::{SessionTokens, SigningKeys},
    },
    lifecycle::Lifecycle,
    net::{
        self, Http, metrics,
        provider::{self, DevProvider},
    },
    realtime::Realtime,
    store::{Limits, Store, StoreError},
    telemetry::Metrics,
};
use prometheus_client::registry::Registry;
use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, runtime::Handle};

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
    #[error("{key}: cannot listen on {address}: {cause}")]
    Bind {
        /// The configuration's section.
        key: &'static str,
        /// The address as configured.
        address: String,
        /// What the system says.
        cause: io::Error,
    },
    /// The audit log cannot be written.
    #[error("audit.file: {0}")]
    Audit(io::Error),
    /// The development provider has no keys to sign with.
    #[error("dev_provider: {0}")]
    DevProvider(io::Error),
}

/// A server in the making. A program that embeds one adds hooks of its own here.
pub struct Server {
    config: Config,
    clock: Clock,
    entropy: Entropy,
    hooks: HooksBuilder,
    requests: Option<Handle>,
}

impl Server {
    /// A server with this configuration, the system's clock and the system's randomness.
    pub fn builder(config: Config) -> Self {
        Self { config, clock: Clock::system(), entropy: Entropy::system(), hooks: Hooks::builder(), requests: None }
    }

    /// Judges a configuration as far as that goes without starting anything.
    ///
    /// # Errors
    /// What [`Server::start`] would refuse of it.
    pub fn check(config: &Config) -> Result<(), StartError> {
        config.validate()?;
        Ok(Verifier::check(&config.identity)?)
    }

    /// Another clock and another source of randomness.
    #[must_use]
    pub fn with_time(mut self, clock: Clock, entropy: Entropy) -> Self {
        (self.clock, self.entropy) = (clock, entropy);
        self
    }

    /// Serves requests on another runtime than the one that it is started in, which then is for sockets alone. That runtime must have
    /// threads of its own: nobody else runs it.
    #[must_use]
    pub fn with_requests_on(mut self, runtime: Handle) -> Self {
        self.requests = Some(runtime);
        self
    }

    /// Adds a hook that runs before authentications.
    #[must_use]
    pub fn before(mut self, hook: impl BeforeAuthenticate + 'static) -> Self {
        self.hooks = self.hooks.before(hook);
        self
    }

    /// Adds a hook that runs after authentications.
    #[must_use]
    pub fn after(mut self, hook: impl AfterAuthenticate + 'static) -> Self {
        self.hooks = self.hooks.after(hook);
        self
    }

    /// Adds a hook that runs before messages of sockets.
    #[must_use]
    pub fn before_envelope(mut self, hook: impl BeforeEnvelope + 'static) -> Self {
        self.hooks = self.hooks.before_envelope(hook);
        self
    }

    /// Adds a hook that runs after messages of sockets.
    #[must_use]
    pub fn after_envelope(mut self, hook: impl AfterEnvelope + 'static) -> Self {
        self.hooks = self.hooks.after_envelope(hook);
        self
    }

    /// Starts serving. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running then.
    pub async fn start(self) -> Result<Running, StartError> {
        let Self { config, clock, entropy, hooks, requests } = self;
        config.validate()?;
        let lifecycle = match requests {
            Some(requests) => Lifecycle::new().with_requests_on(requests),
            None => Lifecycle::new(),
        };
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let identity_metrics = identity::Metrics::default();
        identity_metrics.register(registry.sub_registry_with_prefix("kizuna"));

        let http = bind(&lifecycle, "socket", &config.socket.address, config.socket.port).await?;
        let metrics_listener = match config.metrics.enabled {
            true => Some(bind(&lifecycle, "metrics", &config.metrics.address, config.metrics.port).await?),
            false => None,
        };
        let provider = dev_provider(&lifecycle, &config, &clock, &entropy, address_of("socket", &http)?).await?;

        let longest = config.session.token_expiry_sec.max(config.session.refresh_token_expiry_sec);
        let limits = Limits {
            outbox_size: config.hooks.outbox_size,
            token_lifetime_sec: i64::try_from(longest).unwrap_or(i64::MAX - 1) + 1,
            notifications_per_user: config.notification.max_per_user,
            notifications_per_sender: config.notification.max_per_sender,
            friends_per_user: config.friend.max_per_user,
        };
        let store = Store::open(&config.store, &config.data_dir, clock.clone())?.with_limits(limits);
        let audit =
            Audit::open(&config.audit, &config.data_dir, clock.clone(), metrics.clone()).map_err(StartError::Audit)?;
        let signing = SigningKeys::load(&config.session, &config.data_dir, clock.unix_seconds())?;
        let tokens = SessionTokens::signed(&config, signing, clock.clone(), entropy.clone());
        revocation::load_revocations(&store, &tokens)?;
        let held = provider.as_ref().map(|(_, provider)| provider.trusted(&config.identity)).unwrap_or_default();
        let verifier = || Verifier::new(&config.identity, &held, clock.clone(), identity_metrics);
        let verifier = lifecycle.for_requests(verifier)?;
        let built_in = provider.iter().map(|(_, provider)| provider.login_client()).collect();
        let login = Login::new(&config, built_in, address_of("socket", &http)?, &clock, &entropy)?;
        let hooks = hooks.bridge(Bridge::new(verifier.clone(), audit.clone())).build(
            &config.hooks,
            clock.clone(),
            entropy.clone(),
            metrics.clone(),
        )?;
        let services = Arc::new(Services {
            realtime: Realtime::new(&config, metrics.clone()),
            parties: Parties::new(metrics.clone()),
            matchmaker: Matchmaker::new(&config, metrics.clone()),
            passwords: Passwords::new(&config.password, entropy.clone()),
            throttle: Throttle::new(&config.socket, clock.clone()),
            limits: limits::Limits::new(&config, clock.clone()),
            tickets: Tickets::new(&config.session, clock.clone(), entropy.clone()),
            config: Arc::new(config),
            clock,
            entropy,
            metrics,
            store,
            verifier,
            login: Arc::new(login),
            tokens,
            hooks,
            audit,
        });

        let addresses = Addresses {
            http: address_of("socket", &http)?,
            metrics: metrics_listener.as_ref().map(|listener| address_of("metrics", listener)).transpose()?,
            dev_provider: provider.as_ref().map(|(listener, _)| address_of("dev_provider", listener)).transpose()?,
        };
        let server = Http::new(services.clone())
            .map_err(|error| ConfigError { path: "socket.response_headers".to_owned(), what: error.to_string() })?;
        // From here on nothing fails: it uses the snapshot up.
        let left_behind = snapshot::take_up(&services);
        net::socket::keep_taken_up(&services, &lifecycle, left_behind);
        lifecycle.spawn_for_requests(net::serve(http, Arc::new(server), lifecycle.clone()));
        if let Some(listener) = metrics_listener {
            lifecycle.spawn_for_requests(metrics::serve(listener, Arc::new(registry), lifecycle.clone()));
        }
        let dev_provider = provider.map(|(listener, provider)| {
            let (serving, stop) = (provider.clone(), lifecycle.clone());
            lifecycle.spawn_for_requests(async move {
                if let Err(error) = provider::serve(listener, serving, stop.draining()).await {
                    tracing::error!(%error, "the development provider has ended");
                }
            });
            provider
        });
        lifecycle.spawn_for_requests(services.hooks.delivery(services.store.clone()).run(lifecycle.clone()));
        lifecycle.spawn_for_requests(services.hooks.telling().run(lifecycle.clone()));
        let (swept, life) = (services.clone(), lifecycle.clone());
        lifecycle.spawn_for_requests(async move { revocation::sweep(&swept, &life).await });
        lifecycle.spawn_for_requests(matchmaker::run(services.clone(), lifecycle.clone()));
        let (realtime, life) = (services.realtime.clone(), lifecycle.clone());
        lifecycle.spawn(async move {
            life.draining().await;
            realtime.stop_all();
        });
        tracing::info!(http = %addresses.http, "serving");
        Ok(Running { services, lifecycle, addresses, dev_provider })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The development provider with its listener, if it is on. It is bound before anything trusts it, since its address is its
/// tokens' issuer.
async fn dev_provider(
    lifecycle: &Lifecycle,
    config: &Config,
    clock: &Clock,
    entropy: &Entropy,
    http: SocketAddr,
) -> Result<Option<(TcpListener, Arc<DevProvider>)>, StartError> {
    let settings = &config.dev_provider;
    if !settings.enabled {
        return Ok(None);
    }
    let listener = bind(lifecycle, "dev_provider", &settings.address, settings.port).await?;
    let address = address_of("dev_provider", &listener)?;
    let folder = DevProvider::folder(&config.data_dir);
    let provider = DevProvider::load_or_create(&folder, clock.clone(), entropy.clone(), settings, address)
        .map_err(StartError::DevProvider)?
        .with_server(&format!("http://{http}"), config.socket.server_key.expose());
    Ok(Some((listener, Arc::new(provider))))
}

async fn bind(lifecycle: &Lifecycle, key: &'static str, address: &str, port: u16) -> Result<TcpListener, StartError> {
    let refused = |cause| StartError::Bind { key, address: format!("{address}:{port}"), cause };
    let ip = address.parse().map_err(|_| refused(io::Error::from(io::ErrorKind::InvalidInput)))?;
    let listener = TcpListener::bind(SocketAddr::new(ip, port)).await.map_err(refused)?;
    // Who connects is waited for where requests are served.
    lifecycle.for_requests(|| TcpListener::from_std(listener.into_std()?)).map_err(refused)
}

fn address_of(key: &'static str, listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|cause| StartError::Bind { key, address: String::new(), cause })
}

#[derive(Clone, Copy, Debug)]
struct Addresses {
    http: SocketAddr,
    metrics: Option<SocketAddr>,
    dev_provider: Option<SocketAddr>,
}

/// A server that serves.
#[derive(Debug)]
pub struct Running {
    services: Arc<Services>,
    lifecycle: Lifecycle,
    addresses: Addresses,
    dev_provider: Option<Arc<DevProvider>>,
}

impl Running {
    /// Where HTTP and WebSocket are served.
    pub fn http(&self) -> SocketAddr {
        self.addresses.http
    }

    /// Where metrics are served, if they are.
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.addresses.metrics
    }

    /// Where the development provider is served, if it is on.
    pub fn dev_provider(&self) -> Option<SocketAddr> {
        self.addresses.dev_provider
    }

    /// The development provider itself, if it is on.
    pub fn provider(&self) -> Option<&Arc<DevProvider>> {
        self.dev_provider.as_ref()
    }

    /// The server's life; stopping it stops the server.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// What the operations work with.
    pub fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// Stops: takes nothing new, lets requests finish and sockets close within `shutdown_grace_sec`, then writes out what is
    /// queued for the store. Answers whether everything had ended in time.
    pub async fn stop(self) -> bool {
        let grace = Duration::from_secs(self.services.config.shutdown_grace_sec);
        let drained = self.lifecycle.stop(grace).await;
        let services = self.services;
        // Waits for the writers' threads, so not on a thread that serves.
        let _ = tokio::task::spawn_blocking(move || {
            if services.config.realtime.snapshot {
                snapshot::write(&services);
            }
            services.store.close();
            services.audit.close();
        })
        .await;
        drained
    }
}
