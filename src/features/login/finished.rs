//! Sign-ins that have come back: each is remembered until its answer could not be repeated any more. Whoever begins sign-ins can bring
//! their answers back as well, without any player: so that one network cannot take all the room, each has a share of it.

use super::Expiring;
use crate::config;
use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
};

/// Why a sign-in is not finished by an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It was finished before.
    Again,
    /// The network has finished as many as one may.
    ShareUsedUp,
    /// As many have been finished as may.
    Full,
}

/// Sign-ins that have come back.
pub(super) struct Finished {
    states: Expiring<String, ()>,
    /// How many of them are of each network.
    of_network: HashMap<IpAddr, usize>,
    /// When these end, in their order.
    ends: VecDeque<(i64, IpAddr)>,
    lifetime_sec: i64,
    share: usize,
}

impl Finished {
    pub(super) fn new(config: &config::Login) -> Self {
        Self {
            states: Expiring::new(config.sign_in_sec, config.max_finished),
            of_network: HashMap::new(),
            ends: VecDeque::new(),
            lifetime_sec: i64::try_from(config.sign_in_sec).unwrap_or(i64::MAX),
            share: config.max_finished_per_address,
        }
    }

    /// Notes that the sign-in `state` has come back from `network`, if the network is known. `now` in seconds since 1970.
    pub(super) fn note(&mut self, state: &str, network: Option<IpAddr>, now: i64) -> Result<(), Refused> {
        if self.states.get_mut(&state.to_owned(), now).is_some() {
            return Err(Refused::Again);
        }
        self.forget(now);
        if network.is_some_and(|network| self.of_network.get(&network).is_some_and(|held| *held >= self.share)) {
            return Err(Refused::ShareUsedUp);
        }
        self.states.insert(state.to_owned(), (), now).map_err(|_| Refused::Full)?;
        if let Some(network) = network {
            *self.of_network.entry(network).or_default() += 1;
            self.ends.push_back((now.saturating_add(self.lifetime_sec), network));
        }
        Ok(())
    }

    fn forget(&mut self, now: i64) {
        while self.ends.front().is_some_and(|(ends, _)| *ends <= now) {
            let Some((_, network)) = self.ends.pop_front() else { return };
            let held = self.of_network.get(&network).copied().unwrap_or_default();
            if held > 1 {
                self.of_network.insert(network, held - 1);
            } else {
                self.of_network.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn finished() -> Finished {
        let config =
            config::Login { sign_in_sec: 10, max_finished: 4, max_finished_per_address: 2, ..Default::default() };
        Finished::new(&config)
    }

    fn network(last: u8) -> Option<IpAddr> {
        Some(Ipv4Addr::new(192, 0, 2, last).into())
    }

    #[test]
    fn one_network_cannot_take_the_room_of_the_others() {
        let mut finished = finished();
        assert_eq!(finished.note("a", network(1), 100), Ok(()));
        assert_eq!(finished.note("b", network(1), 101), Ok(()));
        assert_eq!(finished.note("c", network(1), 102), Err(Refused::ShareUsedUp));
        assert_eq!(finished.note("a", network(1), 102), Err(Refused::Again), "which is told first");
        assert_eq!(finished.note("c", network(2), 102), Ok(()));
        assert_eq!(finished.note("d", None, 103), Ok(()));
        assert_eq!(finished.note("e", network(3), 103), Err(Refused::Full));
        assert_eq!(finished.note("e", network(1), 110), Ok(()), "its first one is over");
        assert_eq!(finished.note("f", network(1), 110), Err(Refused::ShareUsedUp));
    }

    #[test]
    fn networks_are_forgotten_with_their_sign_ins() {
        let mut finished = finished();
        for (state, now) in [("a", 100), ("b", 110), ("c", 120)] {
            assert_eq!(finished.note(state, network(1), now), Ok(()));
        }
        finished.forget(130);
        assert!(finished.of_network.is_empty() && finished.ends.is_empty());
    }
}
