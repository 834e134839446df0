//! Who is connected, what they are in, and how they are reached. Everything here is in memory and sharded: no global lock, no
//! task through which all messages pass.

mod answers;
mod attachment;
mod delivery;
mod detached;
mod outbound;
mod registry;
mod saved;
mod session;
mod streams;

pub use answers::Heard;
pub use attachment::{Call, Claim, Keeper};
pub use delivery::Delivery;
pub use detached::DetachedBounds;
pub use outbound::{Outbound, OutboundLimits};
pub use registry::{ConnectError, Registry, TokenKey};
#[cfg(test)]
pub(crate) use saved::SavedMember;
pub use saved::{SavedSession, SavedStream};
pub use session::{Identity, Session};
pub use streams::{
    Gathering, JoinError, JoinLimits, Joined, Member, Mode, PresenceMeta, Quotas, Rule, StreamKey, Streams, wire_stream,
};

use crate::{
    config::Config,
    identity::{Tenant, session::SessionClaims},
    telemetry::Metrics,
};
use kizuna_protocol::{
    api::Notification,
    code::{Close, NotificationCode},
    realtime::{Notifications, envelope},
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use uuid::Uuid;

/// Sessions that are judged or told before others get their turn, where all are.
const JUDGED_AT_ONCE: usize = 256;

/// Everything about live sessions. Clones share it.
#[derive(Clone, Debug)]
pub struct Realtime {
    registry: Arc<Registry>,
    streams: Arc<Streams>,
    detached: Arc<AtomicUsize>,
    detached_bounds: DetachedBounds,
    metrics: Metrics,
    settings: Settings,
}

/// What the configuration says of it.
#[derive(Clone, Copy, Debug)]
struct Settings {
    single_socket: bool,
    snapshot: bool,
    most_detached: usize,
}

/// A session's place among those without a connection; free again when dropped.
#[derive(Debug)]
pub struct DetachedPlace {
    detached: Arc<AtomicUsize>,
    metrics: Metrics,
}

impl Drop for DetachedPlace {
    fn drop(&mut self) {
        self.detached.fetch_sub(1, Relaxed);
        self.metrics.sessions_detached.dec();
    }
}

impl Realtime {
    /// Nobody is connected yet.
    pub fn new(config: &Config, metrics: Metrics) -> Self {
        let one_per_token = config.realtime.resume_window_ms > 0;
        let registry = Arc::new(Registry::new(config.socket.max_sockets_per_user, one_per_token, metrics.clone()));
        let (gathering, quotas) = (Gathering::new(config), Quotas::new(config));
        let streams = Arc::new(Streams::new(registry.clone(), gathering, quotas, metrics.clone()));
        let settings = Settings {
            single_socket: config.session.single_socket,
            snapshot: config.realtime.snapshot,
            most_detached: config.realtime.resume_max_sessions,
        };
        let detached_bounds = DetachedBounds::new(config);
        Self { registry, streams, detached: Arc::default(), detached_bounds, metrics, settings }
    }

    /// Live sessions.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Streams and who is in them.
    pub fn streams(&self) -> &Streams {
        &self.streams
    }

    /// Takes a new session in. With `session.single_socket` the user's other sockets are told why, and closed.
    ///
    /// # Errors
    /// See [`ConnectError`]; then nothing has changed.
    pub fn connect(
        &self,
        session: &Arc<Session>,
        notification_id: Uuid,
        unix_seconds: i64,
    ) -> Result<(), ConnectError> {
        if !self.settings.single_socket {
            return self.registry.insert(session);
        }
        let older = self.registry.replace(session)?;
        let notice = notice("single_socket", NotificationCode::SingleSocket, notification_id, unix_seconds);
        close_each(&older, Some(&notice));
        Ok(())
    }

    /// Lets a session go: its presences leave, then it can no longer be found.
    pub fn disconnect(&self, session: &Arc<Session>) {
        self.streams.leave_all(session);
        self.registry.remove(session);
    }

    /// Closes every socket of a user, whose account is gone or banned, and answers how many.
    pub fn disconnect_user(&self, user_id: Uuid) -> usize {
        let sessions = self.registry.of_user(user_id);
        close_each(&sessions, None);
        sessions.len()
    }

    /// Closes those of a user's sockets whose session `is_ended`, and answers how many.
    pub fn close_revoked_of(&self, user_id: Uuid, is_ended: impl Fn(&SessionClaims) -> bool) -> usize {
        close_revoked(&self.registry.of_user(user_id), &is_ended)
    }

    /// Closes every socket whose session `is_ended`, and answers how many. Lets others work in between.
    pub async fn close_revoked(&self, is_ended: impl Fn(&SessionClaims) -> bool) -> usize {
        let mut closed = 0;
        for sessions in self.registry.all().chunks(JUDGED_AT_ONCE) {
            closed += close_revoked(sessions, &is_ended);
            tokio::task::yield_now().await;
        }
        closed
    }

    /// Tells every socket of a banned user so, and closes it.
    pub fn disconnect_banned(&self, user_id: Uuid, notification_id: Uuid, unix_seconds: i64) {
        let notice = notice("banned", NotificationCode::Banned, notification_id, unix_seconds);
        close_each(&self.registry.of_user(user_id), Some(&notice));
    }

    /// Tells every open socket of a user, all of it in one envelope. Never waits; a user without a socket is told nothing.
    pub fn notify(&self, user_id: Uuid, notifications: Vec<Notification>) {
        let sessions = self.registry.of_user(user_id);
        if sessions.is_empty() || notifications.is_empty() {
            return;
        }
        let mut delivery = Delivery::of(envelope::Message::Notifications(Notifications { notifications }));
        sessions.iter().for_each(|session| delivery.to(session));
    }

    /// Tells every open socket behind the wall of `tenant`. Lets others work in between.
    pub async fn notify_all(&self, tenant: Tenant, notifications: Vec<Notification>) {
        let mut delivery = Delivery::of(envelope::Message::Notifications(Notifications { notifications }));
        for sessions in self.registry.all().chunks(JUDGED_AT_ONCE) {
            sessions.iter().filter(|session| session.tenant() == tenant).for_each(|session| delivery.to(session));
            tokio::task::yield_now().await;
        }
    }

    /// A refresh has made the chain `token_id` longer: the user's sockets that live by it live as long.
    pub fn prolong(&self, user_id: Uuid, token_id: Uuid, expires_unix: i64) {
        self.registry.of_user(user_id).iter().for_each(|session| session.prolong(token_id, expires_unix));
    }

    /// The server stops: every session ends, or is left as it is for the snapshot.
    pub fn stop_all(&self) {
        self.registry.for_each(|session| self.stop_one(session));
    }

    /// The same for one session.
    pub fn stop_one(&self, session: &Session) {
        match self.settings.snapshot {
            true => session.ask_to_suspend(),
            false => session.outbound().close(Close::SHUTTING_DOWN),
        }
    }

    /// A place for a session without a connection; `None` when `realtime.resume_max_sessions` are taken.
    pub fn detached_place(&self) -> Option<DetachedPlace> {
        let most = self.settings.most_detached;
        let room = |taken| (taken < most).then_some(taken + 1);
        self.detached.fetch_update(Relaxed, Relaxed, room).ok()?;
        self.metrics.sessions_detached.inc();
        Some(DetachedPlace { detached: self.detached.clone(), metrics: self.metrics.clone() })
    }

    /// What may wait for sessions without a connection.
    pub fn detached_bounds(&self) -> DetachedBounds {
        self.detached_bounds.clone()
    }

    /// Whether a user shows a status to somebody of `tenant`; `online` in users and accounts.
    pub fn is_online(&self, user_id: Uuid, tenant: Tenant) -> bool {
        self.streams.count(&StreamKey::new(tenant, Mode::Status, user_id)) > 0
    }
}

fn close_revoked(sessions: &[Arc<Session>], is_ended: &impl Fn(&SessionClaims) -> bool) -> usize {
    let ended = sessions.iter().filter(|session| is_ended(&session.claims()) && session.outbound().closing().is_none());
    ended.map(|session| session.outbound().close(Close::SESSION_REVOKED)).count()
}

fn close_each(sessions: &[Arc<Session>], notice: Option<&envelope::Message>) {
    let mut delivery = notice.cloned().map(Delivery::of);
    for session in sessions {
        if let Some(delivery) = &mut delivery {
            delivery.to(session);
        }
        session.outbound().close(Close::DISCONNECTED);
    }
}

/// Tells a session that it ends at `expires_unix` (seconds since 1970).
pub fn warn_of_expiry(session: &Session, expires_unix: i64, notification_id: Uuid, unix_seconds: i64) {
    let content = format!("{{\"expires_unix\":{expires_unix}}}");
    Delivery::of(notice_of(
        "session_expiring",
        content,
        NotificationCode::SessionExpiring,
        notification_id,
        unix_seconds,
    ))
    .to(session);
}

fn notice(subject: &str, code: NotificationCode, id: Uuid, unix_seconds: i64) -> envelope::Message {
    notice_of(subject, "{}".to_owned(), code, id, unix_seconds)
}

fn notice_of(subject: &str, content: String, code: NotificationCode, id: Uuid, unix_seconds: i64) -> envelope::Message {
    envelope::Message::Notifications(Notifications {
        notifications: vec![Notification {
            id: id.to_string(),
            subject: subject.to_owned(),
            content,
            code: code.number(),
            create_time: Some(prost_types::Timestamp { seconds: unix_seconds, nanos: 0 }),
            ..Notification::default()
        }],
    })
}
