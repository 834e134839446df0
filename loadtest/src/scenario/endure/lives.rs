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
    pub(super) ended_by: Stop,
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
        let until = next_stop(since, world.options.restart_every, world.end);
        let over = until.unwrap_or_else(|| world.end.max(since + world.options.restart_every / 2));
        let watch = Watch::start(&server, over)?;
        undisturbed(&mut server, sleep_until(over)).await?;
        if until.is_some() {
            undisturbed(&mut server, survivors.prepare()).await?;
        }
        let stop = next_way(world, lives.len() + 1, until.is_none());
        let mut life = watch.end(since, lives.len() + 1, stop);
        if until.is_none() {
            undisturbed(&mut server, async { while clients.join_next().await.is_some() {} }).await?;
        }
        world.outages.begin(stop);
        let stopped_in = match stop {
            Stop::Asked => server.stop(patience).await?,
            Stop::Killed => server.kill(patience).await?,
        };
        if stop == Stop::Asked {
            world.stop.record(0, stopped_in);
        }
        life.tell(started_in, stopped_in);
        lives.push(life);
        if until.is_none() {
            return Ok(lives);
        }
        (server, started_in) = launch.start(patience).await?;
        world.outages.end();
        undisturbed(&mut server, survivors.look()).await?;
    }
}

/// When a life that began at `since` is to be stopped; `None` when too little of the run would be left for another, half of a life.
fn next_stop(since: Instant, every: Duration, end: Instant) -> Option<Instant> {
    let stop = since + every;
    (stop + every / 2 <= end).then_some(stop)
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

    fn end(self, since: Instant, number: usize, ended_by: Stop) -> Life {
        let (seconds, after) = (since.elapsed().as_secs_f64(), self.processes.snapshot());
        let usage = self.processes.usage(&self.before, &after, seconds, Per::default());
        let phase = Phase {
            name: format!("life {number}"),
            detail: match ended_by {
                Stop::Asked => "ended by SIGTERM".into(),
                Stop::Killed => "ended by SIGKILL".into(),
            },
            seconds,
            processes: usage.into_iter().filter(|process| !process.harness).collect(),
            ..Phase::default()
        };
        Life { phase, ended_by, resident: self.memory.end().first().and_then(Course::second_half) }
    }
}

impl Life {
    fn tell(&mut self, started_in: Duration, stopped_in: Duration) {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.phase.counts = BTreeMap::from([
            ("started in ms".to_owned(), milliseconds(started_in)),
            ("stopped in ms".to_owned(), milliseconds(stopped_in)),
        ]);
        if let Some(resident) = self.resident {
            self.phase.counts.insert("resident KiB, mean of the second half".to_owned(), resident / 1024);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_counts_from_its_own_beginning_however_long_the_start_took() {
        let (epoch, every) = (Instant::now(), Duration::from_secs(4));
        let end = epoch + Duration::from_secs(14);
        for late in [0, 4, 8] {
            let since = epoch + Duration::from_secs(late);
            assert_eq!(next_stop(since, every, end), Some(since + every), "{late}");
        }
        assert_eq!(next_stop(epoch + Duration::from_secs(9), every, end), None, "a second would be left");
        assert_eq!(next_stop(epoch + Duration::from_secs(15), every, end), None, "the run is over");
    }
}
