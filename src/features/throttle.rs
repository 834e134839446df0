//! How often one address may sign in. The identity provider and the web firewall before it see only their own side; a thief of
//! tokens, or one who guesses passwords, comes here.

use super::{Client, Services, rules};
use crate::{
    clock::Clock,
    config,
    error::Error,
    rate::{Buckets, Rate, Refused},
};
use kizuna_protocol::code::Code;
use std::{net::IpAddr, sync::Arc};

/// The addresses that signed in lately. Clones share them.
#[derive(Clone, Debug)]
pub struct Throttle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    buckets: Buckets<IpAddr>,
    rate: Rate,
    clock: Clock,
}

impl Throttle {
    /// Full buckets for everybody.
    pub fn new(config: &config::Socket, clock: Clock) -> Self {
        let rate = Rate::new(config.sign_ins_per_address_per_min, 60, config.sign_in_burst);
        Self(Arc::new(Inner { buckets: Buckets::new(config.max_sign_in_addresses), rate, clock }))
    }

    /// Takes one sign-in from the bucket of `address`; else the seconds to wait.
    fn take(&self, address: IpAddr) -> Result<(), i64> {
        let Inner { buckets, rate, clock } = &*self.0;
        buckets.take(rules::network_of(address), *rate, clock.unix_micros()).map_err(|refused| match refused {
            Refused::Wait(seconds) => seconds,
            Refused::NoRoom => rate.longest_wait(),
        })
    }

    /// Forgets the addresses whose buckets are full.
    pub(super) fn purge(&self) {
        self.0.buckets.purge(self.0.clock.unix_micros());
    }
}

/// Lets a sign-in of `client` through, or tells it when to come again. Where the network tells no address, nobody is held back.
///
/// # Errors
/// 429 for an address that comes too often, and, while as many addresses as may be are remembered, for a new one.
pub(super) fn sign_in(services: &Services, client: &Client) -> Result<(), Error> {
    let throttle = &services.throttle;
    let Some(address) = client.address.filter(|_| !throttle.0.rate.is_off()) else { return Ok(()) };
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
