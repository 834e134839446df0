//! What the scenarios share.

pub mod account;
pub mod beside;
pub mod churn;
pub mod connect;
pub mod endure;
pub mod flood;
pub mod hostile;
pub mod login;
pub mod matches;
pub mod matchmaker;
pub mod mix;
pub mod party;
pub mod rotate;

use crate::{
    args::Common,
    http::HttpConnection,
    nakama::Api,
    pacing::{Pace, Timer, Turn},
    process::Processes,
    progress::{Progress, Watched},
    report::Phase,
    stats::{Fault, Faults, Meter},
    target::Target,
    tokens::Identities,
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::Instant,
};

/// Age at which a session token is replaced: Nakama's default lifetime is 60 seconds.
const TOKEN_AGE: Duration = Duration::from_secs(40);
/// Connections over which players sign in before a measurement.
const SIGN_IN_CONNECTIONS: usize = 16;

/// What a run needs.
#[derive(Clone, Debug)]
pub struct Run {
    /// The server.
    pub api: Arc<Api>,
    /// The players.
    pub identities: Arc<Identities>,
    /// What wakes tasks.
    pub timer: Timer,
    /// What is watched.
    pub processes: Arc<Processes>,
    /// No progress lines.
    pub quiet: bool,
}

impl Run {
    /// Gets ready; nothing is sent yet.
    ///
    /// # Errors
    /// A file, key or process that the options name cannot be had.
    pub fn open(common: &Common) -> Result<Self, String> {
        let target = Target::new(common.base.clone(), common.timeout, common.sources);
        Ok(Self {
            api: Arc::new(Api::new(target, &common.server_key)?),
            identities: Arc::new(Identities::open(&common.identity, &common.prefix, common.timeout)?),
            timer: Timer::precise(),
            processes: Arc::new(Processes::open(&common.pid)?),
            quiet: common.quiet,
        })
    }

    /// Starts the progress lines of a phase.
    fn progress(&self, name: &str, meters: Vec<(&'static str, Arc<Meter>)>, faults: &Arc<Faults>) -> Progress {
        let watched = Watched { name: name.to_owned(), meters, faults: faults.clone() };
        Progress::start(watched, self.processes.clone(), self.quiet)
    }

    /// Signs in players `0..count`, unmeasured, and returns their session tokens in order.
    ///
    /// # Errors
    /// Any of them could not sign in.
    async fn sessions(&self, count: u64) -> Result<Vec<String>, String> {
        let bodies = self.identities.bodies((0..count).collect()).await?;
        let share = bodies.len().div_ceil(SIGN_IN_CONNECTIONS).max(1);
        let parts: Vec<Vec<Bytes>> = bodies.chunks(share).map(<[Bytes]>::to_vec).collect();
        let parts = stream::iter(parts).map(|part| self.sign_in(part)).buffered(SIGN_IN_CONNECTIONS);
        let tokens: Vec<Vec<String>> = parts.try_collect().await.map_err(|fault| format!("signing in: {fault}"))?;
        Ok(tokens.concat())
    }

    async fn sign_in(&self, bodies: Vec<Bytes>) -> Result<Vec<String>, Fault> {
        let mut http = HttpConnection::new(&self.api.target);
        let mut tokens = Vec::with_capacity(bodies.len());
        for body in bodies {
            tokens.push(self.api.login(&mut http, body).await?);
        }
        Ok(tokens)
    }
}

/// Where the workers of one kind of operation write down what they did.
#[derive(Clone, Debug)]
struct Ledger {
    name: &'static str,
    meter: Arc<Meter>,
    faults: Arc<Faults>,
}

impl Ledger {
    fn new(name: &'static str, faults: &Arc<Faults>) -> Self {
        Self { name, meter: Arc::default(), faults: faults.clone() }
    }

    fn write<T>(&self, worker: usize, turn: Turn, outcome: Result<T, Fault>) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.meter.record(worker, turn.intended.elapsed());
                Some(value)
            }
            Err(fault) => {
                self.faults.add(self.name, &fault);
                None
            }
        }
    }

    /// As [`Self::write`], of what began at `since`.
    fn write_since<T>(&self, worker: usize, since: Instant, outcome: Result<T, Fault>) -> Option<T> {
        self.write(worker, Turn { number: 0, intended: since }, outcome)
    }
}

/// `count` workers that take turns from one pace; each gets its number.
fn workers<F>(count: usize, work: impl Fn(usize) -> F) -> JoinSet<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    (0..count).map(work).collect()
}

/// Workers that sign in with `bodies`, turn by turn.
fn login_workers(
    run: &Run,
    pace: &Arc<Pace>,
    bodies: &Arc<Vec<Bytes>>,
    ledger: &Ledger,
    connections: usize,
) -> JoinSet<()> {
    workers(connections, |worker| {
        let (run, pace, bodies, ledger) = (run.clone(), pace.clone(), bodies.clone(), ledger.clone());
        async move {
            let mut http = HttpConnection::new(&run.api.target);
            while let Some(turn) = pace.take(&run.timer).await {
                let Some(body) = usize::try_from(turn.number).ok().and_then(|number| bodies.get(number)) else {
                    return;
                };
                let outcome = run.api.login(&mut http, body.clone()).await;
                ledger.write(worker, turn, outcome);
            }
        }
    })
}

/// Compares the p99 beside `what` with the mean of those without it, which it may be `most` times; 0 asks for nothing.
fn judge_p99(beside: &mut Phase, without: &[&Phase], most: f64, what: &str) {
    let p99 = |phase: &Phase| phase.operations.get("delivered").map_or(0.0, |operation| operation.latency.p99_us);
    #[expect(clippy::cast_precision_loss, reason = "two or three")]
    let calm = without.iter().map(|phase| p99(phase)).sum::<f64>() / without.len() as f64;
    if calm.is_nan() || calm <= 0.0 {
        return;
    }
    let factor = p99(beside) / calm;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "percent")]
    beside.counts.insert(format!("p99 in percent of that without {what}"), (factor * 100.0).round() as u64);
    if most > 0.0 && factor > most {
        beside.errors.insert(format!("p99 was {factor:.1} times that without {what}, more than {most}"), 1);
    }
}

/// A number that looks like chance and is the same in every run (splitmix64).
pub(crate) fn noise(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Waits for tasks, which end by themselves.
async fn gather<T: Send + 'static>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        results.extend(task.await.ok());
    }
    results
}
