//! Matches beside logins at full speed: played alone, while returning players sign in as fast as the server answers, and alone again.
//! Every message must arrive, and by how much later it may is asked for.

use super::{Ledger, Run, judge_p99, matches};
use crate::{
    args::BesideOptions,
    http::HttpConnection,
    report::{Operation, Phase},
    stats::Faults,
};
use bytes::Bytes;
use rustix::process::setpriority_process;
use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
};
use tokio::{task::JoinSet, time::Instant};

/// The least claim to a processor that a thread can have: server and players come first.
const NICEST: i32 = 19;

/// Runs the three parts.
///
/// # Errors
/// The players cannot sign in, the matches cannot be set up, or the thread of those who sign in cannot be made.
pub async fn run(run: &Run, options: &BesideOptions) -> Result<Vec<Phase>, String> {
    let first = matches::players(&options.play);
    // Players of their own, beyond those who play, who have signed in before.
    let bodies = run.identities.bodies((first..first + options.logging_in).collect()).await?;
    run.sign_in(bodies.clone()).await.map_err(|fault| format!("signing in: {fault}"))?;
    let alone = matches::part(run, &options.common, &options.play, "match alone").await?;
    let arrivals = Arrivals::start(run, options, bodies)?;
    let beside = matches::part(run, &options.common, &options.play, "match beside logins").await;
    let (faults, logins) = arrivals.end()?;
    let mut beside = beside?;
    beside.operations.insert("login".to_owned(), logins);
    beside.errors.extend(faults.kinds());
    let again = matches::part(run, &options.common, &options.play, "match alone again").await?;
    judge_p99(&mut beside, &[&alone, &again], options.most_p99, "logins");
    Ok(vec![alone, beside, again])
}

/// Those who sign in, in a thread of their own that gets what the others leave: what is measured is the server, not the harness.
struct Arrivals {
    over: Arc<AtomicBool>,
    ledger: Ledger,
    since: Instant,
    thread: JoinHandle<Result<(), String>>,
}

impl Arrivals {
    fn start(run: &Run, options: &BesideOptions, bodies: Vec<Bytes>) -> Result<Self, String> {
        let (over, ledger) = (Arc::new(AtomicBool::new(false)), Ledger::new("login", &Arc::new(Faults::default())));
        let arrival = Arrival { run: run.clone(), bodies: bodies.into(), over: over.clone(), ledger: ledger.clone() };
        let connections = options.connections;
        let work = move || {
            schedule_as_usual();
            // The calling thread alone, on Linux.
            setpriority_process(None, NICEST).map_err(|error| format!("priority: {error}"))?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| error.to_string())?.block_on(async move {
                let workers: JoinSet<()> = (0..connections).map(|worker| arrival.clone().work(worker)).collect();
                workers.join_all().await;
                Ok(())
            })
        };
        let thread =
            std::thread::Builder::new().name("logins".into()).spawn(work).map_err(|error| error.to_string())?;
        Ok(Self { over, ledger, since: Instant::now(), thread })
    }

    /// What failed, and the figures.
    fn end(self) -> Result<(Arc<Faults>, Operation), String> {
        self.over.store(true, Relaxed);
        self.thread.join().map_err(|_| "the thread of those who sign in panicked".to_owned())??;
        let seconds = self.since.elapsed().as_secs_f64();
        let done = self.ledger.meter.done();
        Ok((self.ledger.faults.clone(), self.ledger.meter.operation(done, seconds)))
    }
}

/// Who runs the harness before everything else on the machine (`chrt`) means the players, not these: that would starve the server.
/// Without `chrt` nobody has.
fn schedule_as_usual() {
    let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
    let _ = Command::new("chrt").args(["--other", "--pid", "0", &thread]).output();
}

#[derive(Clone)]
struct Arrival {
    run: Run,
    bodies: Arc<[Bytes]>,
    over: Arc<AtomicBool>,
    ledger: Ledger,
}

impl Arrival {
    /// One connection, a login after the other.
    async fn work(self, worker: usize) {
        let mut http = HttpConnection::new(&self.run.api.target);
        for body in self.bodies.iter().cycle().skip(worker * 31 % self.bodies.len().max(1)) {
            if self.over.load(Relaxed) {
                return;
            }
            let since = Instant::now();
            let outcome = self.run.api.login(&mut http, body.clone()).await;
            self.ledger.write_since(worker, since, outcome);
        }
    }
}
