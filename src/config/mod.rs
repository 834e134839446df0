//! Configuration: every key with its default, meaning and bounds; read once, then never changed.
//!
//! Order of precedence, low to high: the defaults, `config.toml`, environment variables (`KIZUNA_<SECTION>_<KEY>`),
//! the command line. Everything is parsed and judged before a port is bound; a fault names the key's path and what is allowed.

mod document;
mod load;
mod login;
mod login_rules;
mod private_file;
mod realtime;
mod realtime_rules;
mod sections;
mod trust;
mod trust_mapping;
mod trust_presets;
mod trust_rules;

pub use document::{Documented, Secret, reference};
pub use load::{ConfigError, Overrides};
pub use login::{Login, LoginClient};
pub use private_file::write_private;
pub use realtime::{Friend, Limits, Matchmaker, Notification, Party, Realtime, Status};
pub use sections::{
    Audit, Bridge, DevProvider, Hooks, Identity, Logger, Match, Metrics, Password, Replay, Runtime, Session, Signing,
    SigningKey, Socket, Store, Tenancy, Webhook, WebhookStage,
};
pub use trust::{
    AccountId, Algorithm, Audience, AudienceClaim, BackchannelLogout, KeySource, NonceRule, Preset, TokenType,
    TrustEntry,
};
pub use trust_mapping::{ClaimPath, OMITTED, Overflow, TENANT_BYTES, TenantRule, VarRule, VarType};
pub use trust_presets::{ExactIssuer, TENANT_PLACEHOLDER};
pub use trust_rules::{MAX_SKEW_SEC, is_loopback, judge_trust, key_set_address, may_fetch, subject_namespaces};

use sections::section;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

section! {
    /// Kizuna's configuration. Every key is listed with its default. An environment variable overrides a key:
    /// `KIZUNA_SOCKET_PORT=7400` sets `port` in `[socket]`. Lists are written as in TOML: `KIZUNA_SESSION_PREVIOUS_ENCRYPTION_KEYS='["old"]'`.
    Config {
        /// Name of this node, 1 to 16 characters, one of its own for each node.
        name: String = "kizuna".into(),
        /// Folder for everything that is kept: the store, and the development provider's keys.
        data_dir: PathBuf = "data".into(),
        /// Seconds that open requests and sockets are given to end when the server stops.
        shutdown_grace_sec: u64 = 5,
        /// HTTP and WebSocket.
        socket: Socket = Socket::default(),
        /// Session tokens and what a session may do.
        session: Session = Session::default(),
        /// The embedded store.
        store: Store = Store::default(),
        /// Identity tokens of others: who is trusted, and how far.
        identity: Identity = Identity::default(),
        /// Walls between the players of several tenants.
        tenancy: Tenancy = Tenancy::default(),
        /// The development identity provider: signs in anybody, so it serves the loopback interface only.
        dev_provider: DevProvider = DevProvider::default(),
        /// The sign-in page.
        login: Login = Login::default(),
        /// What runs before and after an authentication.
        hooks: Hooks = Hooks::default(),
        /// Passwords of email accounts.
        password: Password = Password::default(),
        /// Relayed matches.
        r#match: Match = Match::default(),
        /// Live sessions.
        realtime: Realtime = Realtime::default(),
        /// Status.
        status: Status = Status::default(),
        /// Parties.
        party: Party = Party::default(),
        /// The matchmaker.
        matchmaker: Matchmaker = Matchmaker::default(),
        /// In-app notifications.
        notification: Notification = Notification::default(),
        /// Friends.
        friend: Friend = Friend::default(),
        /// How much one client may ask for.
        limits: Limits = Limits::default(),
        /// Calls from other servers.
        runtime: Runtime = Runtime::default(),
        /// Prometheus metrics.
        metrics: Metrics = Metrics::default(),
        /// What other servers tell the identity bridge.
        bridge: Bridge = Bridge::default(),
        /// The audit log.
        audit: Audit = Audit::default(),
        /// Logs.
        logger: Logger = Logger::default(),
    }
}
