//! What sessions without a connection may cost: how much waits for one, and how much for all of them together.

use super::OutboundLimits;
use crate::config::Config;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use tokio_tungstenite::tungstenite::Message;

/// The bounds of what waits for sessions without a connection. Clones share one total.
#[derive(Clone, Debug)]
pub struct DetachedBounds {
    /// Of one session.
    limits: OutboundLimits,
    /// Bytes of all of them, and how many are held.
    most_bytes: usize,
    held: Arc<AtomicUsize>,
}

impl DetachedBounds {
    /// As configured; nothing waits yet.
    pub fn new(config: &Config) -> Self {
        let config = &config.realtime;
        let limits = OutboundLimits { messages: config.resume_max_messages, bytes: config.resume_max_bytes };
        Self { limits, most_bytes: config.resume_max_total_bytes, held: Arc::default() }
    }

    /// Bytes that are held for all sessions, the queues' own included.
    pub fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    #[cfg(test)]
    pub(super) fn of(limits: OutboundLimits, most_bytes: usize) -> Self {
        Self { limits, most_bytes, held: Arc::default() }
    }
}

/// One session's part of it; given back when dropped.
#[derive(Debug)]
pub(super) struct Detached {
    bounds: DetachedBounds,
    taken: usize,
}

impl Detached {
    /// Nothing of it is taken yet.
    pub(super) fn new(bounds: DetachedBounds) -> Self {
        Self { bounds, taken: 0 }
    }

    /// Whether a queue of `messages` with `bytes` of payload is within the session's bounds, and what it has more than before within
    /// those of all.
    pub(super) fn holds(&mut self, messages: usize, bytes: usize) -> bool {
        if self.bounds.limits.are_passed(messages, bytes) {
            return false;
        }
        // An empty message takes a place, too.
        let wanted = bytes + messages * size_of::<Message>();
        let more = wanted.saturating_sub(self.taken);
        let room = |held: usize| held.checked_add(more).filter(|held| *held <= self.bounds.most_bytes);
        let is_held = self.bounds.held.fetch_update(Relaxed, Relaxed, room).is_ok();
        if is_held {
            self.taken += more;
        }
        is_held
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        self.bounds.held.fetch_sub(self.taken, Relaxed);
    }
}
