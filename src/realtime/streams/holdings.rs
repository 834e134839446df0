//! How much of each kind a user is in, over all sessions.

use super::Mode;
use crate::config::Config;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What one user may be in at once, over all sessions.
#[derive(Clone, Copy, Debug)]
pub struct Quotas {
    /// Matches.
    pub matches: usize,
    /// Parties.
    pub parties: usize,
    /// A program's own streams.
    pub streams: usize,
}

impl Quotas {
    /// As configured.
    pub fn new(config: &Config) -> Self {
        Self {
            matches: config.limits.matches_per_user,
            parties: config.party.max_per_user,
            streams: config.limits.streams_per_user,
        }
    }
}

/// What a user is in, by kind: shared by the user's sessions, so that opening more of them gets nobody more.
#[derive(Debug, Default)]
pub(in crate::realtime) struct Holdings {
    matches: AtomicUsize,
    parties: AtomicUsize,
    streams: AtomicUsize,
}

impl Holdings {
    /// One more of `mode`, if the quota lets it; kinds without a quota always.
    pub(super) fn take(&self, mode: Mode, quotas: Quotas) -> bool {
        let Some((count, most)) = self.of(mode, quotas) else { return true };
        count.fetch_update(Relaxed, Relaxed, |held| (held < most).then_some(held + 1)).is_ok()
    }

    /// One less of `mode`.
    pub(super) fn give_back(&self, mode: Mode, quotas: Quotas) {
        if let Some((count, _)) = self.of(mode, quotas) {
            count.fetch_sub(1, Relaxed);
        }
    }

    fn of(&self, mode: Mode, quotas: Quotas) -> Option<(&AtomicUsize, usize)> {
        match mode {
            Mode::RelayedMatch | Mode::AuthoritativeMatch => Some((&self.matches, quotas.matches)),
            Mode::Party => Some((&self.parties, quotas.parties)),
            Mode::Custom(_) => Some((&self.streams, quotas.streams)),
            Mode::Notifications | Mode::Status | Mode::Room | Mode::Group | Mode::Direct => None,
        }
    }
}
