//! What all clients of an endurance run share: where they sign in, what they have been told, and where failures are judged.

use super::outage::Outages;
use crate::{
    args::EndureOptions,
    http::HttpConnection,
    identity::provider::{Provider, Signer},
    nakama::Session,
    report::Operation,
    scenario::{Run, noise},
    stats::{Fault, Faults, Meter},
    tokens::account,
};
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;
use uuid::Uuid;

/// Between a failure and the next try: at first, and at most.
const SHORTEST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Clients that come at the start, a second.
const ARRIVALS: u32 = 200;

/// Where something failed, and why.
pub(super) type Failure = (&'static str, Fault);

pub(super) struct World {
    pub(super) run: Run,
    pub(super) options: EndureOptions,
    pub(super) provider: Arc<Provider>,
    pub(super) outages: Outages,
    pub(super) book: Book,
    pub(super) epoch: Instant,
    pub(super) end: Instant,
    /// What nothing explains.
    pub(super) faults: Arc<Faults>,
    /// What a stop of the server explains.
    explained: Faults,
    pub(super) login: Request,
    pub(super) read: Request,
    pub(super) delivered: Arc<Meter>,
    /// What waited for a player who was away.
    pub(super) after_a_gap: Meter,
    /// From losing the connection to playing on.
    pub(super) back: Meter,
    pub(super) start_up: Meter,
    pub(super) stop: Meter,
}

/// Requests of one kind.
#[derive(Default)]
pub(super) struct Request {
    pub(super) undisturbed: Arc<Meter>,
    /// Those in whose time the server was away.
    disturbed: Meter,
}

impl World {
    pub(super) fn new(run: &Run, options: &EndureOptions, provider: Arc<Provider>) -> Self {
        let epoch = Instant::now();
        Self {
            run: run.clone(),
            options: options.clone(),
            provider,
            outages: Outages::new(options.aftermath),
            book: Book::default(),
            epoch,
            end: epoch + options.duration,
            faults: Arc::default(),
            explained: Faults::default(),
            login: Request::default(),
            read: Request::default(),
            delivered: Arc::default(),
            after_a_gap: Meter::default(),
            back: Meter::default(),
            start_up: Meter::default(),
            stop: Meter::default(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Waits until client `number` is to come: not all at once.
    pub(super) async fn arrive(&self, number: u64) {
        let at = Duration::from_secs(1).mul_f64(f64::from(u32::try_from(number).unwrap_or(u32::MAX))) / ARRIVALS;
        self.run.timer.sleep_until((self.epoch + at).min(self.end)).await;
    }

    /// Counts a failure where it belongs.
    pub(super) fn failed(&self, step: &str, fault: &Fault) {
        match self.outages.explain(step, fault) {
            Some(why) => self.explained.add(step, &Fault::new(format!("{fault} ({why})"))),
            None => self.faults.add(step, fault),
        }
    }

    /// Signs in over a connection of its own.
    pub(super) async fn sign_in(&self, name: &str) -> Result<Session, Fault> {
        self.sign_in_over(&mut HttpConnection::new(&self.run.api.target), name).await
    }

    /// Signs in with a fresh identity token.
    pub(super) async fn sign_in_over(&self, http: &mut HttpConnection, name: &str) -> Result<Session, Fault> {
        let token = self.provider.token(name, Signer::Current).map_err(Fault::new)?;
        self.run.api.sign_in(http, account(&token)).await
    }

    /// Writes down a request that was to begin at `since`.
    pub(super) fn done(&self, request: &Request, worker: usize, since: Instant) {
        let meter = if self.outages.met_since(since) { &request.disturbed } else { &*request.undisturbed };
        meter.record(worker, since.elapsed());
    }

    /// Figures by name.
    pub(super) fn operations(&self, seconds: f64) -> BTreeMap<String, Operation> {
        let meters: [(&str, &Meter); 9] = [
            ("login", &self.login.undisturbed),
            ("login through a restart", &self.login.disturbed),
            ("read", &self.read.undisturbed),
            ("read through a restart", &self.read.disturbed),
            ("delivered", &self.delivered),
            ("delivered after a gap", &self.after_a_gap),
            ("back in the match", &self.back),
            ("server's start", &self.start_up),
            ("server's stop", &self.stop),
        ];
        let meters = meters.into_iter().filter(|(_, meter)| meter.done() > 0);
        meters.map(|(name, meter)| (name.to_owned(), meter.operation(meter.done(), seconds))).collect()
    }

    /// Failures that a stop of the server explains, by kind.
    pub(super) fn explained(&self) -> BTreeMap<String, u64> {
        self.explained.kinds().into_iter().map(|(kind, count)| (format!("named, at a stop: {kind}"), count)).collect()
    }
}

/// Who has signed in, and as whom.
#[derive(Default)]
pub(super) struct Book {
    /// In the order of their first sign-in; held to add one or to look one up.
    users: Mutex<Vec<(String, Uuid)>>,
}

impl Book {
    /// One of them, by a number that is as good as chance.
    pub(super) fn any(&self, chance: u64) -> Option<(String, Uuid)> {
        let users = self.users.lock();
        let place = chance.checked_rem(users.len() as u64)?;
        users.get(usize::try_from(place).ok()?).cloned()
    }

    /// Writes down somebody new.
    pub(super) fn add(&self, name: String, user_id: Uuid) {
        self.users.lock().push((name, user_id));
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.users.lock().len() as u64
    }
}

/// Waits longer and longer from try to try, everybody a little differently.
pub(super) struct BackOff {
    seed: u64,
    tries: u32,
}

impl BackOff {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, tries: 0 }
    }

    /// It has worked.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }

    /// Until the next try, or the end of the run.
    pub(super) async fn wait(&mut self, world: &World) {
        let until = Instant::now() + self.next();
        tokio::time::sleep_until(until.min(world.end)).await;
    }

    fn next(&mut self) -> Duration {
        let whole = SHORTEST_WAIT.saturating_mul(1 << self.tries.min(10)).min(LONGEST_WAIT);
        self.tries += 1;
        let percent = 50 + u32::try_from(noise(self.seed << 16 | u64::from(self.tries)) % 51).unwrap_or(0);
        whole * percent / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_less_and_less_often() {
        let mut back_off = BackOff::new(7);
        let waits: Vec<_> = (0..20).map(|_| back_off.next()).collect();
        assert!(waits[0] >= SHORTEST_WAIT / 2 && waits[0] <= SHORTEST_WAIT);
        assert!(waits.iter().all(|wait| *wait <= LONGEST_WAIT));
        assert!(waits[19] >= LONGEST_WAIT / 2);
        back_off.reset();
        assert!(back_off.next() <= SHORTEST_WAIT);
    }

    #[test]
    fn whoever_is_in_the_book_can_be_found() {
        let book = Book::default();
        assert_eq!(book.any(5), None);
        book.add("a".into(), Uuid::nil());
        book.add("b".into(), Uuid::max());
        assert_eq!(book.any(5), Some(("b".into(), Uuid::max())));
        assert_eq!(book.len(), 2);
    }
}
