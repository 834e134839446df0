//! The server's lives: it is started, left alone and stopped, again and again.

use super::{outage::Stop, survivors::Survivors, world::World};
use crate::{
    memory::{Course, Memory},
    process::{Per, Processes, Snapshot},
    report::Phase,
    server::{Launch, Server},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Every so many stops one is a SIGKILL, if any are.
const KILL_EVERY: usize = 3;

/// What is known of one life.
pub(super) struct Life {
    pub(super) phase: Phase,
    /// Mean resident bytes of its second half; `None` when it was too short.
    pub(super) resident: Option<u64>,
}

/// A server, and how long it took to start.
pub(super) type Started = (Server, Duration);

/// Stops and starts the server until the run is over and its clients have gone.
///
/// # Errors
/// The server ended by itself, did not stop or start as it should, or cannot be watched.
pub(super) async fn run(
    world: &Arc<World>,
    launch: &Launch,
    first: Started,
    mut clients: JoinSet<()>,
) -> Result<Vec<Life>, String> {
    let (mut server, mut started_in) = first;
    let mut survivors = Survivors::new(world.clone());
    let mut lives = Vec::new();
    let patience = world.options.stop_within;
    loop {
        world.start_up.record(0, started_in);
        let since = Instant::now();
        let until = next_stop(world, lives.len() + 1);
        let over = until.unwrap_or(world.end);
        let watch = Watch::start(&server, over)?;
        undisturbed(&mut server, sleep_until(over)).await?;
        if until.is_some() {
            undisturbed(&mut server, survivors.prepare()).await?;
        }
        let mut life = watch.end(since, lives.len() + 1);
        if until.is_none() {
            undisturbed(&mut server, async { while clients.join_next().await.is_some() {} }).await?;
        }
        let stop = next_way(world, lives.len() + 1, until.is_none());
        world.outages.begin(stop);
        let stopped_in = match stop {
            Stop::Asked => server.stop(patience).await?,
            Stop::Killed => server.kill(patience).await?,
        };
        if stop == Stop::Asked {
            world.stop.record(0, stopped_in);
        }
        life.tell(stop, started_in, stopped_in);
        lives.push(life);
        if until.is_none() {
            return Ok(lives);
        }
        (server, started_in) = launch.start(patience).await?;
        world.outages.end();
        undisturbed(&mut server, survivors.look()).await?;
    }
}

/// When life `number`, from 1, is to be stopped; `None` when that is the end of the run. The last life is no shorter than half of the
/// others.
fn next_stop(world: &World, number: usize) -> Option<Instant> {
    let every = world.options.restart_every;
    let stop = world.epoch + every.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
    (stop + every / 2 <= world.end).then_some(stop)
}

fn next_way(world: &World, number: usize, last: bool) -> Stop {
    let killed = world.options.kill && !last && number.is_multiple_of(KILL_EVERY);
    if killed { Stop::Killed } else { Stop::Asked }
}

/// Waits for `what`, in which the server may not end.
async fn undisturbed(server: &mut Server, what: impl Future<Output = ()>) -> Result<(), String> {
    tokio::select! {
        () = what => Ok(()),
        how = server.ended() => Err(format!("the server ended by itself: {how}")),
    }
}

/// A look at the server's process over one life.
struct Watch {
    processes: Arc<Processes>,
    before: Snapshot,
    memory: Memory,
}

impl Watch {
    fn start(server: &Server, until: Instant) -> Result<Self, String> {
        let processes = Arc::new(Processes::open(&[server.pid()])?);
        let before = processes.snapshot();
        let length = until.saturating_duration_since(Instant::now());
        Ok(Self { memory: Memory::watch(processes.clone(), length), processes, before })
    }

    fn end(self, since: Instant, number: usize) -> Life {
        let (seconds, after) = (since.elapsed().as_secs_f64(), self.processes.snapshot());
        let usage = self.processes.usage(&self.before, &after, seconds, Per::default());
        let phase = Phase {
            name: format!("life {number}"),
            seconds,
            processes: usage.into_iter().filter(|process| !process.harness).collect(),
            ..Phase::default()
        };
        Life { phase, resident: self.memory.end().first().and_then(Course::second_half) }
    }
}

impl Life {
    fn tell(&mut self, stop: Stop, started_in: Duration, stopped_in: Duration) {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.phase.detail = match stop {
            Stop::Asked => "ended by SIGTERM".into(),
            Stop::Killed => "ended by SIGKILL".into(),
        };
        self.phase.counts = BTreeMap::from([
            ("started in ms".to_owned(), milliseconds(started_in)),
            ("stopped in ms".to_owned(), milliseconds(stopped_in)),
        ]);
        if let Some(resident) = self.resident {
            self.phase.counts.insert("resident KiB, mean of the second half".to_owned(), resident / 1024);
        }
    }
}
