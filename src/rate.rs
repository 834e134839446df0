//! How often something may happen: token buckets by the generic cell rate algorithm, so that a bucket costs one number, the time at
//! which it would be full again. Times are microseconds since 1970, from [`crate::clock::Clock`].

use dashmap::{DashMap, mapref::entry::Entry};
use std::{
    fmt,
    hash::Hash,
    sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed},
};

const SECOND: i64 = 1_000_000;

/// So many in so long, of which some may come at once.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// What one costs of the bucket.
    cost: i64,
    /// What a full bucket holds.
    depth: i64,
}

impl Rate {
    /// `most` in `seconds`; `at_once` of them may come together. A `most` of 0 is no limit.
    pub fn new(most: u32, seconds: i64, at_once: u32) -> Self {
        let cost = match most {
            0 => 0,
            most => (seconds * SECOND / i64::from(most)).max(1),
        };
        Self { cost, depth: cost.saturating_mul(i64::from(at_once)) }
    }

    /// Whether everything is let through.
    pub const fn is_off(self) -> bool {
        self.cost == 0
    }

    /// Takes one at `now` from a bucket that would be full again at `full_again`: when it then would be, or the seconds to wait.
    fn take(self, full_again: i64, now: i64) -> Result<i64, i64> {
        // A clock that went back must not leave a bucket empty for longer than it takes to fill.
        let full_again = full_again.clamp(now, now.saturating_add(self.depth));
        let next = full_again.saturating_add(self.cost);
        let wait = next.saturating_sub(now).saturating_sub(self.depth);
        if wait > 0 { Err(wait.div_euclid(SECOND) + 1) } else { Ok(next) }
    }

    /// The longest that anybody waits, in seconds.
    pub const fn longest_wait(self) -> i64 {
        self.depth.div_euclid(SECOND) + 1
    }
}

/// One bucket, full at first. Several may take from it at the same time.
#[derive(Debug, Default)]
pub struct Bucket(AtomicI64);

impl Bucket {
    /// Takes one at `now`.
    ///
    /// # Errors
    /// The seconds to wait; nothing was taken.
    pub fn take(&self, rate: Rate, now: i64) -> Result<(), i64> {
        let mut wait = 0;
        let taken = self.0.fetch_update(Relaxed, Relaxed, |full_again| match rate.take(full_again, now) {
            Ok(next) => Some(next),
            Err(seconds) => {
                wait = seconds;
                None
            }
        });
        taken.map(drop).map_err(|_| wait)
    }
}

/// Why nothing could be taken of one of [`Buckets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The bucket is empty: the seconds to wait.
    Wait(i64),
    /// As many buckets as may be are in use, and this would be one more.
    NoRoom,
}

/// A bucket for each of many, of whom only those are remembered whose bucket is not full.
pub struct Buckets<K> {
    full_again: DashMap<K, i64>,
    held: AtomicUsize,
    most: usize,
    /// Not to look through all of them for every newcomer.
    purged: AtomicI64,
}

impl<K> fmt::Debug for Buckets<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets").field("held", &self.held).finish_non_exhaustive()
    }
}

impl<K: Copy + Eq + Hash> Buckets<K> {
    /// Full buckets for everybody, of which `most` are remembered.
    pub fn new(most: usize) -> Self {
        Self { full_again: DashMap::new(), held: AtomicUsize::new(0), most, purged: AtomicI64::new(0) }
    }

    /// Takes one of the bucket of `who` at `now`.
    ///
    /// # Errors
    /// See [`Refused`]; nothing was taken.
    pub fn take(&self, who: K, rate: Rate, now: i64) -> Result<(), Refused> {
        if self.held.load(Relaxed) >= self.most {
            self.purge_once(now);
        }
        let mut entry = match self.full_again.entry(who) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) if self.held.fetch_add(1, Relaxed) < self.most => entry.insert_entry(now),
            Entry::Vacant(_) => {
                self.held.fetch_sub(1, Relaxed);
                return Err(Refused::NoRoom);
            }
        };
        let next = rate.take(*entry.get(), now).map_err(Refused::Wait)?;
        entry.insert(next);
        Ok(())
    }

    /// At most once a second.
    fn purge_once(&self, now: i64) {
        let purged = self.purged.load(Relaxed);
        let is_due = now.saturating_sub(purged).abs() >= SECOND;
        if is_due && self.purged.compare_exchange(purged, now, Relaxed, Relaxed).is_ok() {
            self.purge(now);
        }
    }

    /// Forgets whose buckets are full at `now`.
    pub fn purge(&self, now: i64) {
        self.full_again.retain(|_, full_again| {
            let keep = *full_again > now;
            if !keep {
                self.held.fetch_sub(1, Relaxed);
            }
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000 * SECOND;

    #[test]
    fn so_many_come_at_once_and_then_at_the_rate() {
        let (bucket, rate) = (Bucket::default(), Rate::new(6, 60, 3));
        assert_eq!([0; 4].map(|_| bucket.take(rate, NOW).is_ok()), [true, true, true, false]);
        assert_eq!(bucket.take(rate, NOW), Err(11));
        assert_eq!([0; 2].map(|_| bucket.take(rate, NOW + 10 * SECOND).is_ok()), [true, false]);
    }

    #[test]
    fn a_clock_that_goes_back_locks_nobody_out_for_long() {
        let (bucket, rate) = (Bucket::default(), Rate::new(1, 1, 1));
        assert!(bucket.take(rate, NOW).is_ok());
        let before = NOW - 3_600 * SECOND;
        assert_eq!(bucket.take(rate, before), Err(2));
        assert!(bucket.take(rate, before + 2 * SECOND).is_ok());
    }

    #[test]
    fn a_rate_beyond_the_clock_is_still_one() {
        let rate = Rate::new(u32::MAX, 1, u32::MAX);
        assert!(!rate.is_off() && Bucket::default().take(rate, NOW).is_ok());
        assert!(Rate::new(0, 1, 9).is_off());
    }

    #[test]
    fn those_with_full_buckets_make_room_for_others() {
        let (buckets, rate) = (Buckets::new(2), Rate::new(1, 1, 1));
        assert_eq!([1, 2, 3].map(|who| buckets.take(who, rate, NOW)), [Ok(()), Ok(()), Err(Refused::NoRoom)]);
        assert_eq!(buckets.take(1, rate, NOW), Err(Refused::Wait(2)));
        let later = NOW + 2 * SECOND;
        assert_eq!([3, 4, 5].map(|who| buckets.take(who, rate, later)), [Ok(()), Ok(()), Err(Refused::NoRoom)]);
        buckets.purge(later + 2 * SECOND);
        assert_eq!(buckets.held.load(Relaxed), 0);
    }
}
