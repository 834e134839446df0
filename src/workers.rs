//! Lets threads of a runtime rest while the others have time to spare.
//!
//! A runtime with idle threads wakes one for nearly every message: a waiting task is there, so somebody might share the work. Where
//! messages are few, that waking costs more than the work (docs/decisions/0032-the-message-path.md). So all threads but a few rest
//! until those are busy.

use crate::lifecycle::Lifecycle;
use parking_lot::{Condvar, Mutex};
use std::{sync::Arc, time::Duration};
use tokio::{
    runtime::{Handle, RuntimeMetrics},
    time::{Instant, MissedTickBehavior, interval},
};

/// How often it is looked at how busy the threads are: the longest that a burst finds too few.
const LOOK: Duration = Duration::from_millis(20);
/// Share of their time above which more threads are called.
const BUSY: f64 = 0.6;
/// Share below which one fewer would do.
const IDLE: f64 = 0.45;
/// Looks in a row that must find so before one rests: a second.
const PATIENCE: u32 = 50;

/// Keeps as many threads of `runtime` awake as its work needs, at least `least`, until the server drains; then all of them. Run it on
/// another runtime. With `least` 0, or no more threads than that, it does nothing.
pub async fn govern(runtime: Handle, least: usize, life: Lifecycle) {
    govern_at(LOOK, runtime, least, life).await;
}

async fn govern_at(look: Duration, runtime: Handle, least: usize, life: Lifecycle) {
    let metrics = runtime.metrics();
    let threads = metrics.num_workers();
    if least == 0 || threads <= least {
        return;
    }
    let rest = Resting(Arc::default());
    let mut governor = Governor { least, threads, awake: threads, idle_looks: 0 };
    let mut looks = interval(look);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut busy = Busy::new(&metrics);
    loop {
        tokio::select! {
            biased;
            () = life.draining() => return,
            _ = looks.tick() => {}
        }
        let before = governor.awake;
        governor.look(busy.since_last(&metrics));
        if governor.awake > before {
            rest.0.call(governor.awake - before);
        }
        for _ in governor.awake..before {
            let room = Arc::clone(&rest.0);
            runtime.spawn(async move { room.sleep() });
        }
        if governor.awake < threads {
            // The thread that went to rest may have been the one that waits for the system's events. Any other takes that over when it
            // is woken: so one is, again and again.
            runtime.spawn(async {});
        }
        if governor.awake != before {
            // The time that a thread has rested is counted as work when it is back: begin anew.
            looks.tick().await;
            busy = Busy::new(&metrics);
        }
    }
}

/// How many threads to have.
#[derive(Debug)]
struct Governor {
    least: usize,
    threads: usize,
    awake: usize,
    idle_looks: u32,
}

impl Governor {
    /// `busy`: how many threads the work of the last moment kept busy.
    #[expect(clippy::cast_precision_loss, reason = "a number of threads")]
    fn look(&mut self, busy: f64) {
        if busy > BUSY * self.awake as f64 {
            self.awake = (2 * self.awake).min(self.threads);
            self.idle_looks = 0;
        } else if self.awake > self.least && busy < IDLE * (self.awake - 1) as f64 {
            self.idle_looks += 1;
            if self.idle_looks >= PATIENCE {
                self.awake -= 1;
                self.idle_looks = 0;
            }
        } else {
            self.idle_looks = 0;
        }
    }
}

/// What the threads of a runtime have worked.
struct Busy {
    at: Instant,
    worked: Vec<Duration>,
}

impl Busy {
    fn new(metrics: &RuntimeMetrics) -> Self {
        Self { at: Instant::now(), worked: worked(metrics) }
    }

    /// How many threads have been kept busy since this was last asked.
    fn since_last(&mut self, metrics: &RuntimeMetrics) -> f64 {
        let now = Self::new(metrics);
        let passed = now.at.duration_since(self.at);
        let each = now.worked.iter().zip(&self.worked).map(|(now, then)| now.saturating_sub(*then).min(passed));
        let worked: Duration = each.sum();
        *self = now;
        if passed.is_zero() { 0.0 } else { worked.div_duration_f64(passed) }
    }
}

fn worked(metrics: &RuntimeMetrics) -> Vec<Duration> {
    (0..metrics.num_workers()).map(|worker| metrics.worker_total_busy_duration(worker)).collect()
}

/// Where threads rest. When this ends, however it does, all of them go back to work: a runtime cannot end without them.
struct Resting(Arc<RestRoom>);

impl Drop for Resting {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[derive(Debug, Default)]
struct RestRoom {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Threads that are to come back.
    called: usize,
    closed: bool,
}

impl RestRoom {
    /// Holds the calling thread until it is called.
    fn sleep(&self) {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |state| state.called == 0 && !state.closed);
        state.called = state.called.saturating_sub(1);
    }

    fn call(&self, threads: usize) {
        self.state.lock().called += threads;
        self.changed.notify_all();
    }

    fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn threads_are_called_at_once_and_rest_after_a_while() {
        let mut governor = Governor { least: 1, threads: 8, awake: 8, idle_looks: 0 };
        let mut looks = 0;
        while governor.awake > 1 {
            governor.look(0.1);
            looks += 1;
            assert!(looks < 1_000, "they never rest");
        }
        assert_eq!(looks, 7 * PATIENCE);
        governor.look(0.5);
        assert_eq!(governor.awake, 1, "half busy is not busy");
        let course: Vec<_> = [0.7, 1.3, 3.9, 8.0]
            .map(|busy| {
                governor.look(busy);
                governor.awake
            })
            .into();
        assert_eq!(course, [2, 4, 8, 8]);
    }

    #[test]
    fn one_busy_moment_keeps_all_awake() {
        let mut governor = Governor { least: 1, threads: 2, awake: 2, idle_looks: 0 };
        for look in 0..10 * PATIENCE {
            governor.look(if look % (PATIENCE - 1) == 0 { 0.9 } else { 0.0 });
        }
        assert_eq!(governor.awake, 2);
    }

    #[test]
    fn a_runtime_whose_threads_rest_works_and_ends() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        let room = Arc::new(RestRoom::default());
        let resting = Resting(Arc::clone(&room));
        runtime.spawn(async move {
            std::future::pending::<()>().await;
            drop(resting);
        });
        for _ in 0..3 {
            let room = Arc::clone(&room);
            runtime.spawn(async move { room.sleep() });
        }
        let answer = runtime.block_on(async { tokio::spawn(async { 42 }).await.unwrap() });
        assert_eq!(answer, 42, "by the one that is awake");
        room.call(2);
        // Ends with one still at rest: the task that holds the room open is dropped, and with it the rest.
        drop(runtime);
    }

    /// Rounds of quiet, in which threads go to rest, and of work, by a stream that only the system's events move.
    #[test]
    fn events_are_heard_whichever_thread_rests() {
        let build = || tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
        let (governing, runtime) = (build(), build());
        let life = Lifecycle::new();
        governing.spawn(govern_at(Duration::from_micros(100), runtime.handle().clone(), 1, life.clone()));
        let echoed = runtime.spawn(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let echo = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await.unwrap()
            });
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            for round in 0..200_u8 {
                tokio::time::sleep(Duration::from_millis(u64::from(round % 8))).await;
                for _ in 0..round {
                    stream.write_all(&[round]).await.unwrap();
                    assert_eq!(stream.read_u8().await.unwrap(), round);
                }
            }
            drop(stream);
            echo.await.unwrap()
        });
        let echoed = governing.block_on(async { tokio::time::timeout(Duration::from_secs(60), echoed).await });
        assert_eq!(echoed.expect("in time").unwrap(), (0..200).sum::<u64>());
        assert!(governing.block_on(life.stop(Duration::from_secs(60))));
    }

    #[test]
    fn a_call_that_comes_first_is_not_missed() {
        let room = RestRoom::default();
        room.call(1);
        room.sleep();
        assert_eq!(room.state.lock().called, 0);
        room.close();
        room.sleep();
    }
}
