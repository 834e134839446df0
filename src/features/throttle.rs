//! How often one address may sign in: a bucket for each, by the generic cell rate algorithm, so that an address costs one number.
//! The identity provider and the web firewall before it see only their own side; a thief of tokens, or one who guesses passwords,
//! comes here.

use super::{Client, Services, rules};
use crate::{clock::Clock, config, error::Error};
use dashmap::{DashMap, mapref::entry::Entry};
use kizuna_protocol::code::Code;
use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// The addresses that signed in lately. Clones share them.
#[derive(Clone)]
pub struct Throttle(Arc<Inner>);

struct Inner {
    /// For each address, when its bucket would be full again, in microseconds since 1970.
    full_again: DashMap<IpAddr, i64>,
    held: AtomicUsize,
    most: usize,
    /// Microseconds that one sign-in costs; 0 lets everybody through.
    cost: i64,
    /// Microseconds that a full bucket holds.
    depth: i64,
    clock: Clock,
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle").field("held", &self.0.held).finish_non_exhaustive()
    }
}

impl Throttle {
    /// Full buckets for everybody.
    pub fn new(config: &config::Socket, clock: Clock) -> Self {
        let cost = match config.sign_ins_per_address_per_min {
            0 => 0,
            each => 60_000_000 / i64::from(each),
        };
        let depth = cost.saturating_mul(i64::from(config.sign_in_burst));
        let (full_again, held, most) = (DashMap::new(), AtomicUsize::new(0), config.max_sign_in_addresses);
        Self(Arc::new(Inner { full_again, held, most, cost, depth, clock }))
    }

    /// Takes one sign-in from the bucket of `address`; else the seconds to wait.
    fn take(&self, address: IpAddr) -> Result<(), i64> {
        let now = self.0.clock.unix_micros();
        let mut entry = match self.0.full_again.entry(rules::network_of(address)) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) if self.0.held.fetch_add(1, Relaxed) < self.0.most => entry.insert_entry(now),
            Entry::Vacant(_) => {
                self.0.held.fetch_sub(1, Relaxed);
                return Err(self.0.depth.div_euclid(1_000_000) + 1);
            }
        };
        // A clock that went back must not leave a bucket empty for longer than it takes to fill.
        let full_again = (*entry.get()).clamp(now, now.saturating_add(self.0.depth));
        let next = full_again.saturating_add(self.0.cost);
        let wait = next.saturating_sub(now).saturating_sub(self.0.depth);
        if wait > 0 {
            entry.insert(full_again);
            return Err(wait.div_euclid(1_000_000) + 1);
        }
        entry.insert(next);
        Ok(())
    }

    /// Forgets the addresses whose buckets are full.
    pub(super) fn purge(&self) {
        let now = self.0.clock.unix_micros();
        self.0.full_again.retain(|_, full_again| {
            let keep = *full_again > now;
            if !keep {
                self.0.held.fetch_sub(1, Relaxed);
            }
            keep
        });
    }
}

/// Lets a sign-in of `client` through, or tells it when to come again. Where the network tells no address, nobody is held back.
///
/// # Errors
/// 429 for an address that comes too often, and, while as many addresses as may be are remembered, for a new one.
pub(super) fn sign_in(services: &Services, client: &Client) -> Result<(), Error> {
    let throttle = &services.throttle;
    let Some(address) = client.address.filter(|_| throttle.0.cost > 0) else { return Ok(()) };
    throttle.take(address).map_err(|seconds| {
        services.metrics.sign_ins_throttled.inc();
        let message = format!("Too many sign-ins from this address. Try again in {seconds} seconds.");
        Error::new(Code::ResourceExhausted, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle(most: usize) -> (Throttle, Clock) {
        let clock = Clock::manual(1_800_000_000);
        let config = config::Socket {
            sign_ins_per_address_per_min: 6,
            sign_in_burst: 3,
            max_sign_in_addresses: most,
            ..Default::default()
        };
        (Throttle::new(&config, clock.clone()), clock)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_may_come_in_a_burst_and_then_at_its_rate() {
        let (throttle, clock) = throttle(10);
        let one = address("203.0.113.7");
        assert_eq!([0; 4].map(|_| throttle.take(one).is_ok()), [true, true, true, false]);
        assert_eq!(throttle.take(one), Err(11));
        assert!(throttle.take(address("203.0.113.8")).is_ok(), "another address has its own bucket");
        clock.advance_seconds(10);
        assert_eq!([0; 2].map(|_| throttle.take(one).is_ok()), [true, false]);
        clock.advance_seconds(-3_600);
        assert!(throttle.take(one).is_err());
        clock.advance_seconds(30);
        assert!(throttle.take(one).is_ok(), "a clock that went back does not lock anybody out for long");
    }

    #[test]
    fn one_household_is_one_address() {
        let (throttle, _) = throttle(10);
        let taken = (0..4).map(|host| throttle.take(address(&format!("2001:db8::{host}"))).is_ok());
        assert_eq!(taken.collect::<Vec<_>>(), [true, true, true, false]);
        assert!(throttle.take(address("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn the_addresses_that_are_remembered_are_bounded_and_forgotten() {
        let (throttle, clock) = throttle(1);
        assert!(throttle.take(address("203.0.113.7")).is_ok());
        assert!(throttle.take(address("203.0.113.8")).is_err());
        clock.advance_seconds(60);
        throttle.purge();
        assert!(throttle.take(address("203.0.113.8")).is_ok());
    }
}
