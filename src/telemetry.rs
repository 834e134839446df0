//! Logs and metrics. Logs go to standard error through `tracing`; every metric of the server is a field here.

use crate::config;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::{io::IsTerminal, sync::Arc};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Starts logging. A second call in one process changes nothing: tests start many servers.
pub fn init_logging(logger: &config::Logger) {
    let filter = EnvFilter::new(format!("warn,kizuna={}", logger.level));
    let registry = tracing_subscriber::registry().with(filter);
    let started = if logger.format == "json" {
        registry.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).try_init()
    } else {
        let coloured = std::io::stderr().is_terminal();
        registry.with(fmt::layer().compact().with_ansi(coloured).with_writer(std::io::stderr)).try_init()
    };
    // Only the first server of a process decides how its process logs.
    drop(started);
}

/// One route's answers with one status.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RouteLabels {
    /// The RPC's name, such as `AuthenticateCustom`; never the path a client sent.
    pub rpc: &'static str,
    /// The HTTP status.
    pub status: u16,
}

/// A named thing that happened, from a fixed list of names.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct KindLabels {
    /// The name.
    pub kind: &'static str,
}

/// Every metric of the server. Clones count into the same cells.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Cells>);

impl std::ops::Deref for Metrics {
    type Target = Cells;
    fn deref(&self) -> &Cells {
        &self.0
    }
}

/// The cells behind [`Metrics`].
#[derive(Debug)]
#[expect(missing_docs, reason = "each cell's help text is where it is registered, below")]
pub struct Cells {
    pub http_requests: Family<RouteLabels, Counter>,
    pub http_seconds: Histogram,
    pub http_in_flight: Gauge,
    pub http_refused: Family<KindLabels, Counter>,
    pub connections: Gauge,
    pub sessions: Gauge,
    pub sessions_detached: Gauge,
    pub sessions_resumed: Counter,
    pub sockets_closed: Family<KindLabels, Counter>,
    pub messages_received: Counter,
    pub messages_sent: Counter,
    pub matches: Gauge,
    pub streams: Gauge,
    pub presences: Gauge,
    pub follows: Gauge,
    pub parties: Gauge,
    pub matchmaker_tickets: Gauge,
    pub matchmaker_matches: Counter,
    pub matchmaker_pass_seconds: Histogram,
    pub accounts_created: Counter,
    pub logins: Family<KindLabels, Counter>,
    pub reserved_vars_dropped: Counter,
    pub sign_ins_throttled: Counter,
    pub rate_limited: Family<KindLabels, Counter>,
    pub refresh_reuses: Counter,
    pub session_token_bytes: Histogram,
    pub login_page: Family<KindLabels, Counter>,
    pub hook_failures: Family<KindLabels, Counter>,
    pub messages_told: Family<KindLabels, Counter>,
    pub notices_delivered: Counter,
    pub notices_dropped: Counter,
    pub revocations: Family<KindLabels, Counter>,
    pub revoked_sockets: Counter,
    pub event_tokens: Family<KindLabels, Counter>,
    pub audit_dropped: Counter,
}

impl Metrics {
    /// Makes the cells and registers them under the prefix `kizuna`.
    pub fn new(registry: &mut Registry) -> Self {
        let seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
        let bytes = [256.0, 384.0, 512.0, 768.0, 1_024.0, 1_536.0, 2_048.0, 3_072.0, 4_096.0, 8_192.0];
        let cells = Cells {
            http_requests: Family::default(),
            http_seconds: Histogram::new(seconds),
            http_in_flight: Gauge::default(),
            http_refused: Family::default(),
            connections: Gauge::default(),
            sessions: Gauge::default(),
            sessions_detached: Gauge::default(),
            sessions_resumed: Counter::default(),
            sockets_closed: Family::default(),
            messages_received: Counter::default(),
            messages_sent: Counter::default(),
            matches: Gauge::default(),
            streams: Gauge::default(),
            presences: Gauge::default(),
            follows: Gauge::default(),
            parties: Gauge::default(),
            matchmaker_tickets: Gauge::default(),
            matchmaker_matches: Counter::default(),
            matchmaker_pass_seconds: Histogram::new(seconds),
            accounts_created: Counter::default(),
            logins: Family::default(),
            reserved_vars_dropped: Counter::default(),
            sign_ins_throttled: Counter::default(),
            rate_limited: Family::default(),
            refresh_reuses: Counter::default(),
            session_token_bytes: Histogram::new(bytes),
            login_page: Family::default(),
            hook_failures: Family::default(),
            messages_told: Family::default(),
            notices_delivered: Counter::default(),
            notices_dropped: Counter::default(),
            revocations: Family::default(),
            revoked_sockets: Counter::default(),
            event_tokens: Family::default(),
            audit_dropped: Counter::default(),
        };
        let r = registry.sub_registry_with_prefix("kizuna");
        r.register("http_requests", "HTTP requests answered, by RPC and status", cells.http_requests.clone());
        r.register("http_seconds", "Seconds from a request's head to its answer", cells.http_seconds.clone());
        r.register("http_in_flight", "HTTP requests in work now", cells.http_in_flight.clone());
        r.register(
            "reserved_vars_dropped",
            "Session variables that clients tried to set under reserved names",
            cells.reserved_vars_dropped.clone(),
        );
        r.register(
            "refresh_reuses",
            "Sessions ended by the second use of a refresh token",
            cells.refresh_reuses.clone(),
        );
        r.register("session_token_bytes", "Bytes of session tokens handed out", cells.session_token_bytes.clone());
        r.register(
            "login_page",
            "Sign-ins on the page: begun, proven, failed, strange (of no sign-in of that browser), ended (by the provider)",
            cells.login_page.clone(),
        );
        r.register(
            "sign_ins_throttled",
            "Sign-ins refused because their address came too often",
            cells.sign_ins_throttled.clone(),
        );
        r.register("http_refused", "Requests refused before a route was found, by limit", cells.http_refused.clone());
        r.register("connections", "TCP connections open now, sockets included", cells.connections.clone());
        r.register("sessions", "Live sessions now, those without a connection included", cells.sessions.clone());
        r.register(
            "sessions_detached",
            "Sessions now whose connection is lost and whose player may come back",
            cells.sessions_detached.clone(),
        );
        r.register("sessions_resumed", "Sessions taken over by a new connection", cells.sessions_resumed.clone());
        r.register("sockets_closed", "Sockets closed, by reason", cells.sockets_closed.clone());
        r.register("messages_received", "Messages received over sockets", cells.messages_received.clone());
        r.register("messages_sent", "Match data delivered to members", cells.messages_sent.clone());
        r.register("matches", "Matches running now", cells.matches.clone());
        r.register("streams", "Streams that somebody is in or follows now", cells.streams.clone());
        r.register("presences", "Places of sessions in streams now", cells.presences.clone());
        r.register("follows", "Statuses that sessions follow now", cells.follows.clone());
        r.register("parties", "Parties now", cells.parties.clone());
        r.register("matchmaker_tickets", "Tickets in the matchmaker's pool now", cells.matchmaker_tickets.clone());
        r.register("matchmaker_matches", "Matches that the matchmaker has made", cells.matchmaker_matches.clone());
        r.register(
            "matchmaker_pass_seconds",
            "Seconds that a pass of the matchmaker took",
            cells.matchmaker_pass_seconds.clone(),
        );
        r.register("accounts_created", "Accounts created", cells.accounts_created.clone());
        r.register("logins", "Sign-ins that succeeded, by method", cells.logins.clone());
        r.register(
            "hook_failures",
            "Requests and messages that hooks refused, dropped or disabled, and hooks that failed, panicked or took too long",
            cells.hook_failures.clone(),
        );
        r.register(
            "messages_told",
            "What after webhooks were to be told of messages: delivered, failed, dropped (no room in the queue)",
            cells.messages_told.clone(),
        );
        r.register("notices_delivered", "Webhook notices delivered", cells.notices_delivered.clone());
        r.register("notices_dropped", "Webhook notices given up", cells.notices_dropped.clone());
        r.register("revocations", "Times that sessions were ended, by what ended them", cells.revocations.clone());
        r.register("revoked_sockets", "Sockets closed because their session was ended", cells.revoked_sockets.clone());
        r.register(
            "event_tokens",
            "Log-out tokens and security event tokens, by outcome (or the step that refused them)",
            cells.event_tokens.clone(),
        );
        r.register("rate_limited", "Messages over sockets refused by a rate, by limit", cells.rate_limited.clone());
        r.register("audit_dropped", "Audit events lost: queue full, or file not writable", cells.audit_dropped.clone());
        Self(Arc::new(cells))
    }

    /// Cells that nobody scrapes: for tests.
    pub fn unregistered() -> Self {
        Self::new(&mut Registry::default())
    }
}
