//! The keys of one issuer, kept fresh in the background. Requests read the last good set and wait for a fetch only when they
//! have no set at all, or name a key that is not in it; however many ask, one fetch is under way.

use super::{
    discovery::Discovery,
    fetch::{FetchError, KeyFetcher},
    keys::{HeldKeys, Keys},
    metrics::Metrics,
    refusal::Reason,
};
use crate::config::{ConfigError, Identity};
use parking_lot::{Mutex, RwLock};
use std::{collections::VecDeque, io::Read, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

/// Key ids remembered as looked for in vain.
const MAX_VAIN: usize = 128;
/// Waits before a failed fetch is repeated: doubled from the first to the last.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// Where a key set comes from, and how it is read again.
pub(super) enum Source {
    /// Fetched in the background.
    Url(String, Arc<dyn KeyFetcher>),
    /// Fetched in the background from where the issuer says at that time.
    Discovery {
        /// Whose configuration it is.
        issuer: String,
        /// Whether it may lead to plain http on loopback.
        allow_loopback_http: bool,
        fetcher: Arc<dyn KeyFetcher>,
    },
    /// Read again at the soft lifetime.
    File(PathBuf),
}

/// Times and bounds of key sets.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Soft lifetime: a set older than this is read again in the background.
    refresh: Duration,
    /// Hard lifetime: a set older than this is not believed any more.
    max_age: Duration,
    /// Between two fetches that unknown key ids cause; after a quiet time there may be two at once.
    unknown_wait: Duration,
    timeout: Duration,
    max_bytes: usize,
    max_keys: usize,
}

impl Limits {
    pub(super) fn new(config: &Identity) -> Self {
        Self {
            refresh: Duration::from_secs(config.jwks_refresh_sec.max(1)),
            max_age: Duration::from_secs(config.jwks_max_age_sec),
            unknown_wait: Duration::from_secs(config.jwks_unknown_key_wait_sec),
            timeout: Duration::from_millis(config.jwks_timeout_ms),
            max_bytes: config.jwks_max_bytes,
            max_keys: config.jwks_max_keys,
        }
    }

    /// Reads a key set's text within the bounds.
    pub(super) fn parse(&self, text: &[u8]) -> Result<Keys, FetchError> {
        Ok(Keys::parse(text, self.max_bytes, self.max_keys)?)
    }
}

/// Whose keys they are, for metrics and the log.
#[derive(Clone)]
pub(super) struct Owner {
    pub(super) entry: Arc<str>,
    pub(super) issuer: Arc<str>,
    pub(super) metrics: Metrics,
}

/// The keys of one issuer in one trust entry.
pub(super) enum KeySet {
    /// Held by somebody in this process; or fixed in the configuration.
    Held(HeldKeys),
    /// Read again and again by a task, which ends with this.
    Kept(Kept),
}

/// A set that a task keeps fresh.
pub(super) struct Kept {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the task and the requests share.
struct Shared {
    limits: Limits,
    /// The last good set and when it was read. Guards the pointer alone; no await under it.
    last_good: RwLock<Option<(Arc<Keys>, Instant)>>,
    /// Counts attempts. Changed only under `asked`, or by the task at an attempt's end.
    attempts: watch::Sender<Attempts>,
    /// Decides which request causes a fetch; no await under it.
    asked: Mutex<Asked>,
    wanted: Notify,
}

/// What a request for a key gets.
enum Turn {
    Keys(Arc<Keys>),
    /// The number of the attempt to wait for.
    Await(u64),
}

#[derive(Clone, Copy)]
struct Attempts {
    begun: u64,
    ended: u64,
    last_succeeded: bool,
}

impl Attempts {
    fn under_way(self) -> bool {
        self.begun > self.ended
    }
}

#[derive(Default)]
struct Asked {
    /// When the fetches that requests caused so far are paid for, at one for each wait.
    paid: Option<Instant>,
    /// Ids that a fetch did not bring, each until when it causes no other.
    vain: VecDeque<(String, Instant)>,
}

impl KeySet {
    /// A set that never changes.
    pub(super) fn fixed(keys: Keys) -> Self {
        let held = HeldKeys::default();
        held.replace(keys);
        Self::Held(held)
    }

    /// A set that a task keeps fresh. A file is read now, so that a wrong one is found at the start; an address is fetched in the
    /// background, and the first who need it wait. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// The file cannot be read, or is no usable key set.
    pub(super) fn kept(source: Source, limits: Limits, owner: Owner) -> Result<Self, FetchError> {
        let first = match &source {
            Source::File(path) => Some((Arc::new(limits.parse(&read_file(path, limits.max_bytes)?)?), Instant::now())),
            Source::Url(..) | Source::Discovery { .. } => None,
        };
        let begun = Attempts { begun: 1, ended: u64::from(first.is_some()), last_succeeded: first.is_some() };
        let shared = Arc::new(Shared {
            limits,
            last_good: RwLock::new(first),
            attempts: watch::Sender::new(begun),
            asked: Mutex::default(),
            wanted: Notify::new(),
        });
        let task = tokio::spawn(keep_fresh(Arc::clone(&shared), source, owner));
        Ok(Self::Kept(Kept { shared, task }))
    }

    /// A set that has the key `id`, if there is one without waiting.
    pub(super) fn at_hand(&self, id: &str) -> Option<Arc<Keys>> {
        let keys = match self {
            Self::Held(held) => Some(held.current()),
            Self::Kept(kept) => kept.shared.believed(),
        };
        keys.filter(|keys| keys.get(id).is_some())
    }

    /// A set that has the key `id`, not to be exchanged while the caller uses it.
    pub(super) async fn with_key(&self, id: &str) -> Result<Arc<Keys>, Reason> {
        match self {
            Self::Held(_) => self.at_hand(id).ok_or(Reason::UnknownKey),
            Self::Kept(kept) => kept.shared.with_key(id).await,
        }
    }
}

impl Shared {
    async fn with_key(&self, id: &str) -> Result<Arc<Keys>, Reason> {
        let mut attempts = self.attempts.subscribe();
        let begun_before = attempts.borrow_and_update().begun;
        loop {
            let awaited = match self.turn(id)? {
                Turn::Keys(keys) => return Ok(keys),
                Turn::Await(attempt) => attempt,
            };
            let ended = attempts.wait_for(|attempts| attempts.ended >= awaited).await;
            // The sender ends with the task: the server is stopping.
            let succeeded = ended.map_err(|_| Reason::KeysUnavailable)?.last_succeeded;
            if let Some(keys) = self.believed().filter(|keys| keys.get(id).is_some()) {
                return Ok(keys);
            }
            if !succeeded {
                return Err(Reason::KeysUnavailable);
            }
            // One that was under way may have read the set before the key was published: only a later one can tell.
            if awaited > begun_before {
                self.asked.lock().remember_vain(id, self.limits.unknown_wait * 3);
                return Err(Reason::UnknownKey);
            }
        }
    }

    /// The last good set, unless it is too old to be believed.
    fn believed(&self) -> Option<Arc<Keys>> {
        let last_good = self.last_good.read();
        let (keys, read_at) = last_good.as_ref()?;
        (read_at.elapsed() < self.limits.max_age).then(|| Arc::clone(keys))
    }

    /// A set with the key `id`; or which attempt may bring it: the one under way, or a new one, if it is time for it.
    fn turn(&self, id: &str) -> Result<Turn, Reason> {
        let mut asked = self.asked.lock();
        // Read under the lock: an attempt that has ended by now has left its keys.
        let attempts = *self.attempts.borrow();
        let believed = self.believed();
        let has_set = believed.is_some();
        if let Some(keys) = believed.filter(|keys| keys.get(id).is_some()) {
            return Ok(Turn::Keys(keys));
        }
        if attempts.under_way() {
            return Ok(Turn::Await(attempts.begun));
        }
        // Without any set the task tries again by itself: requests do not hurry it.
        if !has_set {
            return Err(Reason::KeysUnavailable);
        }
        let now = Instant::now();
        if asked.was_in_vain(id, now) && attempts.last_succeeded {
            return Err(Reason::UnknownKey);
        }
        // A key that cannot be asked for yet is not known to be bad.
        if asked.was_in_vain(id, now) || !asked.may_fetch(now, self.limits.unknown_wait) {
            return Err(Reason::KeysUnavailable);
        }
        self.attempts.send_modify(|attempts| attempts.begun += 1);
        self.wanted.notify_one();
        Ok(Turn::Await(attempts.begun + 1))
    }

    /// Begins an attempt because of the time, unless one is under way.
    fn begin(&self) {
        let _asked = self.asked.lock();
        self.attempts.send_modify(|attempts| attempts.begun = attempts.ended + 1);
    }

    fn end(&self, read: Option<Keys>) {
        let succeeded = read.is_some();
        if let Some(keys) = read {
            *self.last_good.write() = Some((Arc::new(keys), Instant::now()));
        }
        let _asked = self.asked.lock();
        self.attempts.send_modify(|attempts| {
            attempts.ended = attempts.begun;
            attempts.last_succeeded = succeeded;
        });
    }
}

impl Asked {
    /// Whether a fetch that began after somebody asked for `id` did not bring it, lately.
    fn was_in_vain(&mut self, id: &str, now: Instant) -> bool {
        self.vain.retain(|(_, until)| *until > now);
        self.vain.iter().any(|(vain, _)| vain == id)
    }

    /// Takes one of two fetches, which come back at one for each `wait`: a single stray id leaves one for a new key.
    fn may_fetch(&mut self, now: Instant, wait: Duration) -> bool {
        let paid = self.paid.map_or(now, |paid| paid.max(now));
        let may = paid <= now + wait;
        if may {
            self.paid = Some(paid + wait);
        }
        may
    }

    /// One and the same id must not use up every turn, or a new key would be picked up late.
    fn remember_vain(&mut self, id: &str, until: Duration) {
        if self.vain.iter().any(|(vain, _)| vain == id) {
            return;
        }
        if self.vain.len() == MAX_VAIN {
            self.vain.pop_front();
        }
        self.vain.push_back((id.to_owned(), Instant::now() + until));
    }
}

/// The task: reads the set when its soft lifetime ends, when a request wants it, and after failures ever more seldom.
async fn keep_fresh(shared: Arc<Shared>, source: Source, owner: Owner) {
    let mut failures = 0;
    let mut next = Instant::now() + shared.limits.refresh;
    loop {
        if !shared.attempts.borrow().under_way() {
            tokio::select! {
                () = sleep_until(next) => shared.begin(),
                () = shared.wanted.notified() => continue,
            }
        }
        let read = read(&source, &shared.limits).await;
        owner.report(&read);
        failures = if read.is_ok() { 0 } else { failures + 1 };
        shared.end(read.ok());
        next = Instant::now() + wait_after(failures, shared.limits.refresh);
    }
}

fn wait_after(failures: u32, refresh: Duration) -> Duration {
    match failures {
        0 => refresh,
        _ => FIRST_RETRY.saturating_mul(1 << (failures - 1).min(16)).min(LAST_RETRY).min(refresh),
    }
}

impl Owner {
    fn report(&self, read: &Result<Keys, FetchError>) {
        self.metrics.key_set_read(&self.entry, &self.issuer, read.as_ref().ok().map(Keys::len));
        match read {
            Ok(keys) => tracing::debug!(entry = %self.entry, issuer = %self.issuer, keys = keys.len(), "key set read"),
            Err(error) => {
                tracing::warn!(entry = %self.entry, issuer = %self.issuer, %error, "key set not read; the last good one stays");
            }
        }
    }
}

/// One attempt, within the time for it; a broken transport is tried again once.
async fn read(source: &Source, limits: &Limits) -> Result<Keys, FetchError> {
    let attempt = async {
        match source {
            Source::Url(url, fetcher) => twice(|| fetcher.fetch(url, limits.max_bytes)).await,
            Source::Discovery { issuer, allow_loopback_http, fetcher } => {
                let read = || Discovery::read(&**fetcher, issuer, limits.max_bytes, *allow_loopback_http);
                let url = twice(read).await?.jwks_uri;
                twice(|| fetcher.fetch(&url, limits.max_bytes)).await
            }
            Source::File(path) => {
                let (path, max_bytes) = (path.clone(), limits.max_bytes);
                let read = tokio::task::spawn_blocking(move || read_file(&path, max_bytes)).await;
                read.unwrap_or_else(|error| Err(FetchError::File(std::io::Error::other(error))))
            }
        }
    };
    let text = timeout(limits.timeout, attempt).await.map_err(|_| FetchError::TimedOut)??;
    limits.parse(&text)
}

/// What `attempt` answers, or answers the second time where the transport broke the first time.
async fn twice<T, F: Future<Output = Result<T, FetchError>>>(attempt: impl Fn() -> F) -> Result<T, FetchError> {
    match attempt().await {
        Err(FetchError::Transport(_)) => attempt().await,
        other => other,
    }
}

fn read_file(path: &std::path::Path, max_bytes: usize) -> Result<Vec<u8>, FetchError> {
    let mut text = Vec::new();
    let limit = max_bytes as u64 + 1;
    std::fs::File::open(path)?.take(limit).read_to_end(&mut text)?;
    if text.len() > max_bytes { Err(FetchError::TooLarge) } else { Ok(text) }
}

/// A fault of a key set that the configuration names, as a fault of the configuration.
pub(super) fn refused_at_start(index: usize, key: &str, error: &FetchError) -> ConfigError {
    ConfigError::new(format!("identity.trust[{index}].jwks.{key}"), error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_arrived_in_between_is_found_without_a_fetch() {
        let limits = Limits::new(&Identity::default());
        let set = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        let shared = Shared {
            limits,
            last_good: RwLock::new(None),
            attempts: watch::Sender::new(Attempts { begun: 1, ended: 0, last_succeeded: false }),
            asked: Mutex::default(),
            wanted: Notify::new(),
        };
        assert!(matches!(shared.turn("k"), Ok(Turn::Await(1))));
        shared.end(Some(limits.parse(set.as_bytes()).unwrap()));
        assert!(matches!(shared.turn("k"), Ok(Turn::Keys(_))));
        assert!(!shared.attempts.borrow().under_way());
    }
}
