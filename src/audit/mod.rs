//! The audit log: who signed in, what was refused, which sessions were ended and by whom. One JSON object a line, in a file that
//! is rotated. Whoever records an event only puts it into a bounded queue; a thread of its own writes.
//!
//! What stands there: user ids, names of trust entries, tenants, addresses, and hashes of subjects and sign-ins. Never a token, a
//! key, a claim, or a subject as it is.

mod file;
mod line;

use crate::{clock::Clock, config, telemetry::Metrics};
use file::LogFile;
use parking_lot::{Condvar, Mutex};
use std::{fmt, io, net::IpAddr, path::Path, sync::Arc, thread, time::Duration};
use uuid::Uuid;

/// How long an event may wait until it is written. The thread looks by itself, so that recording wakes nobody.
const WRITE_EVERY: Duration = Duration::from_millis(250);

/// Something that the audit log tells of.
#[derive(Clone, Debug)]
pub enum Event {
    /// Somebody signed in.
    SignIn {
        /// Who.
        user_id: Uuid,
        /// How: `custom`, `device`, `email`.
        method: &'static str,
        /// The trust entry whose identity token it was, if it was one.
        entry: Option<Arc<str>>,
        /// The tenant, if the session has one.
        tenant: Option<Arc<str>>,
        /// Whether the account is new.
        created: bool,
        /// From where.
        address: Option<IpAddr>,
    },
    /// An identity token was refused.
    IdentityRefused {
        /// The trust entry that judged it, if one was found.
        entry: Option<Arc<str>>,
        /// At which step; `revoked` when it is older than the end of its player's sessions.
        step: &'static str,
        /// From where.
        address: Option<IpAddr>,
    },
    /// A sign-in was refused, though its identity token, if it was one, was good.
    SignInRefused {
        /// How: `custom`, `device`, `email`.
        method: &'static str,
        /// Why, in a word.
        why: &'static str,
        /// From where.
        address: Option<IpAddr>,
    },
    /// A refresh was refused.
    RefreshRefused {
        /// Whose token it was, where that could be read.
        user_id: Option<Uuid>,
        /// Why, in a word.
        why: &'static str,
        /// From where.
        address: Option<IpAddr>,
    },
    /// Sessions were ended.
    Revoked {
        /// By what.
        source: Source,
        /// Whose.
        target: Target,
        /// The trust entry that asked for it, if one did.
        entry: Option<Arc<str>>,
        /// What the caller gave as its reason.
        reason: Option<String>,
        /// Sockets that were closed.
        sockets: usize,
    },
    /// A log-out token or security event token came.
    EventToken {
        /// The trust entry that judged it, if one was found.
        entry: Option<Arc<str>>,
        /// Which kind: `logout` or `event`.
        kind: &'static str,
        /// `accepted`, `replayed`, or the step that refused it.
        outcome: &'static str,
        /// From where.
        address: Option<IpAddr>,
    },
    /// A call with an admin key that is missing or wrong.
    AdminRefused {
        /// From where.
        address: Option<IpAddr>,
    },
}

/// What ended sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The player.
    LogOut,
    /// A newer sign-in, with `session.single_session`.
    SignIn,
    /// A ban.
    Ban,
    /// The deletion of the account.
    Deletion,
    /// A refresh token that was presented twice.
    Reuse,
    /// The identity provider, asked when a session was refreshed (`renew` of a login client).
    Provider,
    /// A newer sign-in than `login.max_sign_ins_per_user` allows beside it.
    TooManySignIns,
    /// `POST /bridge/revoke`.
    Admin,
    /// `POST /bridge/backchannel-logout`.
    BackChannel,
    /// `POST /bridge/events`.
    SharedSignals,
}

impl Source {
    /// Its name in the log and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LogOut => "logout",
            Self::SignIn => "single_session",
            Self::Ban => "ban",
            Self::Deletion => "deletion",
            Self::Reuse => "refresh_reuse",
            Self::Provider => "provider",
            Self::TooManySignIns => "max_sign_ins",
            Self::Admin => "admin",
            Self::BackChannel => "backchannel_logout",
            Self::SharedSignals => "shared_signals",
        }
    }
}

/// Whose sessions were ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A user's.
    User(Uuid),
    /// Those of one chain of a user.
    Chain(Uuid),
    /// A group's: its kind, and the name of an issuer or tenant or the hash of a sign-in or subject.
    Scope(&'static str, String),
}

/// The audit log. Clones write to the same file; a log that is off takes everything and keeps nothing.
#[derive(Clone)]
pub struct Audit(Option<Arc<Inner>>);

struct Inner {
    queue: Mutex<Queue>,
    /// Told when somebody waits for the queue to be written.
    wake: Condvar,
    /// Told when it is.
    written: Condvar,
    most: usize,
    clock: Clock,
    metrics: Metrics,
}

#[derive(Default)]
struct Queue {
    events: Vec<(i64, Event)>,
    /// Somebody waits.
    hurry: bool,
    /// A batch is being written.
    busy: bool,
    closed: bool,
    /// Events were dropped since the last batch.
    dropped: u64,
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Audit")
    }
}

impl Audit {
    /// A log that keeps nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Opens the log that `config` asks for, in `data_dir`, and starts its thread.
    ///
    /// # Errors
    /// The file cannot be opened, or no thread can be started.
    pub fn open(config: &config::Audit, data_dir: &Path, clock: Clock, metrics: Metrics) -> io::Result<Self> {
        if !config.enabled {
            return Ok(Self::off());
        }
        let file = LogFile::open(data_dir.join(&config.file), config.max_bytes, config.keep_files)?;
        let inner = Arc::new(Inner {
            queue: Mutex::default(),
            wake: Condvar::new(),
            written: Condvar::new(),
            most: config.queue_size,
            clock,
            metrics,
        });
        let writer = Arc::clone(&inner);
        thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(file))?;
        Ok(Self(Some(inner)))
    }

    /// Takes an event. Never waits for the disk: when `audit.queue_size` events wait, this one is dropped and counted.
    pub fn record(&self, event: Event) {
        let Some(inner) = &self.0 else { return };
        let mut queue = inner.queue.lock();
        if queue.closed || queue.events.len() >= inner.most {
            queue.dropped += 1;
            drop(queue);
            inner.metrics.audit_dropped.inc();
            return;
        }
        queue.events.push((inner.clock.unix_millis(), event));
    }

    /// Waits until everything that was recorded so far is in the file, or has been given up. Blocks.
    pub fn flush(&self) {
        let Some(inner) = &self.0 else { return };
        inner.flush();
    }

    /// Writes out what waits and takes nothing more. Blocks.
    pub fn close(&self) {
        let Some(inner) = &self.0 else { return };
        inner.queue.lock().closed = true;
        inner.flush();
    }
}

impl Inner {
    fn flush(&self) {
        let mut queue = self.queue.lock();
        while queue.busy || !queue.events.is_empty() {
            queue.hurry = true;
            self.wake.notify_one();
            self.written.wait(&mut queue);
        }
    }

    /// The thread: takes what waits, writes it, and looks again. It ends when the log is closed, or when nobody has it any more.
    fn run(self: Arc<Self>, mut file: LogFile) {
        loop {
            let (batch, dropped, last) = self.take();
            if dropped > 0 {
                tracing::warn!(dropped, "audit events are lost: more came than audit.queue_size");
            }
            let lost = file.write(batch.iter().map(|(unix_millis, event)| line::of(*unix_millis, event)));
            self.metrics.audit_dropped.inc_by(lost);
            let mut queue = self.queue.lock();
            queue.busy = false;
            self.written.notify_all();
            if last && queue.events.is_empty() {
                return;
            }
        }
    }

    fn take(self: &Arc<Self>) -> (Vec<(i64, Event)>, u64, bool) {
        let mut queue = self.queue.lock();
        if !queue.hurry && !queue.closed {
            self.wake.wait_for(&mut queue, WRITE_EVERY);
        }
        queue.hurry = false;
        queue.busy = true;
        let last = queue.closed || Arc::strong_count(self) == 1;
        (std::mem::take(&mut queue.events), std::mem::take(&mut queue.dropped), last)
    }
}

#[cfg(test)]
mod tests;
