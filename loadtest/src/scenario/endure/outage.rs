//! When the server was away, and which failures that explains.

use crate::stats::Fault;
use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// How a life of the server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// SIGTERM: clients are told, what they sent is served, sessions are kept.
    Asked,
    /// SIGKILL: only what was answered as stored is kept.
    Killed,
}

/// A kind of failure that a stop of the server explains, and no other moment does.
struct Named {
    /// What the client was doing.
    steps: &'static [&'static str],
    /// How the failure begins.
    failures: &'static [&'static str],
    stops: &'static [Stop],
    /// What the client is to make of it.
    why: &'static str,
}

/// What opens a connection of its own.
const DIALLING: &[&str] = &["login", "read", "connect"];
/// What goes over a socket that is open.
const ON_A_SOCKET: &[&str] = &["join", "play", "idle"];

/// The failures that a client may see, and then goes on trying.
const NAMED: &[Named] = &[
    Named {
        steps: ON_A_SOCKET,
        failures: &["closed by the server: 1001 server restarting"],
        stops: &[Stop::Asked],
        why: "the server says that it restarts",
    },
    Named {
        steps: DIALLING,
        failures: &["connect: connection refused"],
        stops: &[Stop::Asked, Stop::Killed],
        why: "nobody listens",
    },
    Named {
        steps: DIALLING,
        failures: &["connect: connection reset", "socket: connection reset", "socket: Handshake not finished"],
        stops: &[Stop::Asked, Stop::Killed],
        why: "the system had taken the connection, the server no longer did",
    },
    Named {
        steps: DIALLING,
        failures: &["connection closed by the server", "connection broke"],
        stops: &[Stop::Asked, Stop::Killed],
        why: "a connection ended before the answer",
    },
    Named {
        steps: DIALLING,
        failures: &["http 503"],
        stops: &[Stop::Asked, Stop::Killed],
        why: "the server is stopping, or has no keys of the identity provider yet",
    },
    Named {
        steps: DIALLING,
        failures: &["answer broke off", "socket closed", "socket: broken pipe", "socket: Connection reset"],
        stops: &[Stop::Killed],
        why: "the server was killed in the middle of it",
    },
    Named {
        steps: ON_A_SOCKET,
        failures: &["socket closed", "socket: connection reset", "socket: broken pipe", "socket: Connection reset"],
        stops: &[Stop::Killed],
        why: "the server was killed, without a goodbye",
    },
];

/// A time in which the server was away.
#[derive(Clone, Copy, Debug)]
struct Outage {
    stop: Stop,
    /// Since when it has answered again.
    to: Option<Instant>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Outages {
    /// How long after a start a failure may still be of the time before it: a request in work, a connection that the system had taken.
    aftermath: Duration,
    /// In order; held to add one or to look.
    list: Mutex<Vec<Outage>>,
}

impl Outages {
    /// None yet.
    pub(super) fn new(aftermath: Duration) -> Self {
        Self { aftermath, list: Mutex::default() }
    }

    /// The server is told to stop, now.
    pub(super) fn begin(&self, stop: Stop) {
        self.list.lock().push(Outage { stop, to: None });
    }

    /// It answers again.
    pub(super) fn end(&self) {
        if let Some(outage) = self.list.lock().last_mut() {
            outage.to = Some(Instant::now());
        }
    }

    /// Why a failure of `step` that is noticed now is none; `None` when it is one.
    pub(super) fn explain(&self, step: &str, fault: &Fault) -> Option<&'static str> {
        let stops = self.felt();
        let fits = |named: &&Named| {
            named.stops.iter().any(|stop| stops.contains(stop))
                && named.steps.contains(&step)
                && named.failures.iter().any(|failure| fault.0.starts_with(failure))
        };
        NAMED.iter().find(fits).map(|named| named.why)
    }

    /// Whether the server was away at any time since `since`.
    pub(super) fn met_since(&self, since: Instant) -> bool {
        self.list.lock().last().is_some_and(|outage| self.reaches(outage, since))
    }

    /// How often it was killed so far.
    pub(super) fn kills(&self) -> usize {
        self.list.lock().iter().filter(|outage| outage.stop == Stop::Killed).count()
    }

    /// How the outages came about that failures may be of now: the latest, and on a slow machine some before it.
    fn felt(&self) -> Vec<Stop> {
        let now = Instant::now();
        let list = self.list.lock();
        list.iter().rev().take_while(|outage| self.reaches(outage, now)).map(|outage| outage.stop).collect()
    }

    fn reaches(&self, outage: &Outage, moment: Instant) -> bool {
        outage.to.is_none_or(|to| moment <= to + self.aftermath)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTERMATH: Duration = Duration::from_secs(2);

    fn explained(outages: &Outages, step: &str, fault: &str) -> bool {
        outages.explain(step, &Fault::new(fault)).is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_explained_while_the_server_is_away_and_for_a_moment_after() {
        let outages = Outages::new(AFTERMATH);
        let refused = |outages: &Outages| explained(outages, "login", "connect: connection refused");
        assert!(!refused(&outages), "it has not been away");
        outages.begin(Stop::Asked);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(refused(&outages));
        let started = Instant::now();
        outages.end();
        tokio::time::sleep(AFTERMATH).await;
        assert!(refused(&outages) && outages.met_since(started));
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(!refused(&outages), "the server has been back for too long");
        assert!(!outages.met_since(Instant::now()) && outages.met_since(started));
    }

    #[test]
    fn who_is_asked_to_stop_says_goodbye_and_who_is_killed_does_not() {
        let outages = Outages::new(AFTERMATH);
        outages.begin(Stop::Asked);
        assert!(explained(&outages, "play", "closed by the server: 1001 server restarting"));
        assert!(!explained(&outages, "play", "socket: connection reset"));
        assert!(!explained(&outages, "login", "answer broke off"));
        let outages = Outages::new(AFTERMATH);
        outages.begin(Stop::Killed);
        assert!(explained(&outages, "play", "socket: connection reset"));
        assert!(!explained(&outages, "play", "closed by the server: 1001 server restarting"));
        assert_eq!(outages.kills(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_may_be_of_any_outage_that_is_still_felt() {
        let outages = Outages::new(AFTERMATH);
        outages.begin(Stop::Killed);
        outages.end();
        outages.begin(Stop::Asked);
        assert!(explained(&outages, "play", "socket: connection reset"), "of the kill before");
        tokio::time::sleep(AFTERMATH + Duration::from_millis(1)).await;
        assert!(!explained(&outages, "play", "socket: connection reset"), "the kill is too long ago");
        assert!(explained(&outages, "play", "closed by the server: 1001 server restarting"));
    }

    #[test]
    fn other_failures_are_never_explained() {
        let outages = Outages::new(AFTERMATH);
        outages.begin(Stop::Killed);
        for (step, fault) in [
            ("login", "http 401 Auth token invalid"),
            ("login", "timed out"),
            ("read", "http 401"),
            ("play", "error envelope, code 4"),
            ("play", "closed by the server: 4401 session expired"),
            ("log-out", "connect: connection refused"),
        ] {
            assert!(!explained(&outages, step, fault), "{step}: {fault}");
        }
    }
}
