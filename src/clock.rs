//! Time and randomness as parameters: the system's in production, set by hand in tests.

use parking_lot::Mutex;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use uuid::Uuid;

/// The wall clock. Clones share one time.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Set by hand: microseconds since 1970. `None`: the system's clock.
    manual: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands at `unix_seconds` until it is moved.
    pub fn manual(unix_seconds: i64) -> Self {
        Self { manual: Some(Arc::new(AtomicI64::new(unix_seconds.saturating_mul(1_000_000)))) }
    }

    /// Moves a manual clock; the system's stays as it is. `by` may be negative: clocks jump.
    pub fn advance_seconds(&self, by: i64) {
        if let Some(micros) = &self.manual {
            micros.fetch_add(by.saturating_mul(1_000_000), Ordering::SeqCst);
        }
    }

    /// Microseconds since 1970.
    #[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
    pub fn unix_micros(&self) -> i64 {
        if let Some(micros) = &self.manual {
            return micros.load(Ordering::SeqCst);
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }

    /// Milliseconds since 1970.
    pub fn unix_millis(&self) -> i64 {
        self.unix_micros().div_euclid(1_000)
    }

    /// Whole seconds since 1970.
    pub fn unix_seconds(&self) -> i64 {
        self.unix_micros().div_euclid(1_000_000)
    }
}

/// Where random values come from. Clones share one source.
#[derive(Clone, Debug)]
pub struct Entropy {
    /// Seeded by hand; `None`: the thread's generator, seeded by the system.
    seeded: Option<Arc<Mutex<StdRng>>>,
    /// The last order number given out; see [`Entropy::token_id`].
    last_order: Arc<AtomicU64>,
}

impl Entropy {
    /// The system's randomness.
    pub fn system() -> Self {
        Self { seeded: None, last_order: Arc::default() }
    }

    /// The same values in every run.
    pub fn seeded(seed: u64) -> Self {
        Self { seeded: Some(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))), last_order: Arc::default() }
    }

    /// Fills `bytes`.
    #[expect(clippy::disallowed_methods, reason = "this is where randomness comes from")]
    pub fn fill(&self, bytes: &mut [u8]) {
        match &self.seeded {
            Some(rng) => rng.lock().fill_bytes(bytes),
            None => rand::rng().fill_bytes(bytes),
        }
    }

    /// A random (version 4) UUID: user, match and notification ids.
    pub fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// `length` letters, each of a-z and A-Z as likely: generated usernames (spec/auth-and-accounts.md section 9).
    #[expect(clippy::disallowed_methods, reason = "this is where randomness comes from")]
    pub fn letters(&self, length: usize) -> String {
        const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let pick = |rng: &mut dyn Rng| (0..length).map(|_| char::from(LETTERS[rng.random_range(0..52)])).collect();
        match &self.seeded {
            Some(rng) => pick(&mut *rng.lock()),
            None => pick(&mut rand::rng()),
        }
    }

    /// The next order number: greater than every one before it, whatever the clock does. Upper 48 bits are milliseconds
    /// since 1970 unless the clock went back or more than 4,096 were asked for in one millisecond.
    pub fn next_order(&self, clock: &Clock) -> u64 {
        let now = u64::try_from(clock.unix_millis()).unwrap_or(0) << 12;
        let step = |last: u64| Some(now.max(last.saturating_add(1)));
        self.last_order.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step).map_or(now, |last| now.max(last + 1))
    }

    /// Makes every later order number greater than `order`: after a restart, one that was stored before it.
    pub fn order_after(&self, order: u64) {
        self.last_order.fetch_max(order, Ordering::SeqCst);
    }

    /// A token id, in the order in which they are issued, so that "issued before" can be told within one millisecond.
    pub fn token_id(&self, clock: &Clock) -> Uuid {
        self.ordered_uuid(clock)
    }

    /// The id of a new user. Ids in the order of time are neighbours in the store's index: a group of new accounts writes one
    /// page of it instead of one each.
    pub fn user_id(&self, clock: &Clock) -> Uuid {
        self.ordered_uuid(clock)
    }

    /// A version 7 UUID (RFC 9562 section 5.7) whose first 60 significant bits are the next order number; the rest is random.
    fn ordered_uuid(&self, clock: &Clock) -> Uuid {
        let order = self.next_order(clock);
        let mut random = [0; 8];
        self.fill(&mut random);
        let high = (order >> 12) << 16 | 0x7000 | (order & 0xfff);
        let low = (u64::from_be_bytes(random) & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
        Uuid::from_u64_pair(high, low)
    }
}

/// The order number inside a token id of ours; `None` for another's (a version 4 UUID of Nakama's).
pub fn order_of(token_id: Uuid) -> Option<u64> {
    let (high, _) = token_id.as_u64_pair();
    (token_id.get_version_num() == 7).then_some((high >> 16) << 12 | (high & 0xfff))
}

/// The least token id of ours with that order number: those with a lower one are below it, byte by byte.
pub fn least_of(order: u64) -> Uuid {
    let order = order.min((1 << 60) - 1);
    Uuid::from_u64_pair(order >> 12 << 16 | 0x7000 | (order & 0xfff), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_ids_below_the_least_of_an_order_number_are_those_of_lower_ones() {
        let (clock, entropy) = (Clock::manual(1_000), Entropy::seeded(1));
        let ids = [entropy.token_id(&clock), entropy.token_id(&clock), entropy.token_id(&clock)];
        let least = least_of(order_of(ids[1]).expect("one of ours"));
        assert_eq!(order_of(least), order_of(ids[1]));
        assert!(ids[0] < least && least < ids[1] && ids[1] < ids[2]);
        assert!(ids[2] < least_of(u64::MAX));
    }

    #[test]
    fn token_ids_rise_even_when_the_clock_goes_back() {
        let (clock, entropy) = (Clock::manual(1_000), Entropy::seeded(1));
        let first = order_of(entropy.token_id(&clock)).expect("one of ours");
        clock.advance_seconds(-500);
        let second = order_of(entropy.token_id(&clock)).expect("one of ours");
        assert!(second > first);
        entropy.order_after(second + 100);
        assert!(entropy.next_order(&clock) > second + 100);
    }

    #[test]
    fn a_version_4_id_has_no_order() {
        assert_eq!(order_of(Entropy::seeded(1).uuid()), None);
    }

    #[test]
    fn letters_are_letters() {
        let name = Entropy::seeded(7).letters(10);
        assert!(name.len() == 10 && name.bytes().all(|b| b.is_ascii_alphabetic()), "{name}");
    }
}
