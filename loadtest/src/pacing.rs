//! When operations are due, and waking at that moment.
//!
//! The loop is open: each operation has an intended moment fixed beforehand, and its latency counts from there, whether or not
//! the harness or the server was ready. A server that stalls for a second is so charged with every operation that should have
//! begun in that second (the error of not doing so is known as coordinated omission).

use parking_lot::{Condvar, Mutex};
use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Poll, Waker},
    time::Duration,
};
use tokio::time::Instant;

/// Evenly spaced moments.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    start: Instant,
    interval_ns: f64,
}

impl Schedule {
    /// `per_second` moments a second, the first at `start`. The rate is above zero.
    pub fn new(start: Instant, per_second: f64) -> Self {
        Self { start, interval_ns: 1e9 / per_second }
    }

    /// The moment of operation `number`, counted from 0.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "both are non-negative, and a run is shorter than the 104 days that 53 bits of nanoseconds hold"
    )]
    pub fn at(&self, number: u64) -> Instant {
        self.start + Duration::from_nanos((number as f64 * self.interval_ns) as u64)
    }
}

/// One operation handed out by a [`Pace`].
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Its number, from 0.
    pub number: u64,
    /// When it was to begin; its latency counts from here.
    pub intended: Instant,
}

/// Hands out operations to any number of workers: at a rate, or as fast as they ask.
#[derive(Debug)]
pub struct Pace {
    schedule: Option<Schedule>,
    next: AtomicU64,
    total: u64,
    end: Option<Instant>,
}

impl Pace {
    /// `total` operations from `start`; without a rate each is due when it is asked for.
    pub fn count(start: Instant, per_second: Option<f64>, total: u64) -> Self {
        let schedule = per_second.map(|rate| Schedule::new(start, rate));
        Self { schedule, next: AtomicU64::new(0), total, end: None }
    }

    /// Operations until `end`.
    pub fn until(start: Instant, per_second: f64, end: Instant) -> Self {
        Self { end: Some(end), ..Self::count(start, Some(per_second), u64::MAX) }
    }

    /// As fast as the workers ask, until `end`.
    pub fn full_speed(start: Instant, end: Instant) -> Self {
        Self { end: Some(end), ..Self::count(start, None, u64::MAX) }
    }

    /// Waits for the next operation's moment; `None` when there are no more. One that is late is handed out at once, with
    /// the moment that it should have had.
    pub async fn take(&self, timer: &Timer) -> Option<Turn> {
        let number = self.next.fetch_add(1, Relaxed);
        if number >= self.total {
            return None;
        }
        let intended = self.schedule.map_or_else(Instant::now, |schedule| schedule.at(number));
        if self.end.is_some_and(|end| intended >= end) {
            return None;
        }
        if self.schedule.is_none() {
            return Some(Turn { number, intended });
        }
        timer.sleep_until(intended).await;
        Some(Turn { number, intended })
    }
}

/// What wakes tasks.
#[derive(Clone, Debug)]
pub enum Timer {
    /// The runtime's own timer: a millisecond coarse, and paused with the runtime's clock.
    Runtime,
    /// A thread of its own: tens of microseconds.
    Precise(Arc<Alarm>),
}

impl Timer {
    /// Starts the thread of a precise timer; it ends with the last clone.
    pub fn precise() -> Self {
        let queue = Arc::new(Queue::default());
        let waited_on = queue.clone();
        std::thread::spawn(move || waited_on.run());
        Self::Precise(Arc::new(Alarm { queue }))
    }

    /// Waits until `at`; at once if that is past.
    pub async fn sleep_until(&self, at: Instant) {
        let Self::Precise(alarm) = self else { return tokio::time::sleep_until(at).await };
        let mut armed = false;
        std::future::poll_fn(|context| {
            if Instant::now() >= at {
                return Poll::Ready(());
            }
            if !armed {
                alarm.wake_at(at, context.waker().clone());
                armed = true;
            }
            Poll::Pending
        })
        .await;
    }
}

/// A thread that wakes tasks at their moments.
#[derive(Debug)]
pub struct Alarm {
    queue: Arc<Queue>,
}

impl Alarm {
    /// Wakes `waker` once, at `at` or very soon after.
    pub fn wake_at(&self, at: Instant, waker: Waker) {
        let mut waiting = self.queue.waiting.lock();
        let soonest = waiting.heap.peek().is_none_or(|Reverse(first)| at < first.at);
        waiting.heap.push(Reverse(Due { at, waker }));
        drop(waiting);
        if soonest {
            self.queue.changed.notify_one();
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.queue.waiting.lock().closed = true;
        self.queue.changed.notify_one();
    }
}

#[derive(Debug, Default)]
struct Queue {
    /// Who waits for when. Held for a push or a pop only, and never while waking.
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    heap: BinaryHeap<Reverse<Due>>,
    closed: bool,
}

#[derive(Debug)]
struct Due {
    at: Instant,
    waker: Waker,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

impl Queue {
    fn run(&self) {
        let mut due = Vec::new();
        while self.wait(&mut due) {
            due.drain(..).for_each(Waker::wake);
        }
    }

    /// Waits until somebody is due and moves all who are to `due`; false when the timer is gone.
    fn wait(&self, due: &mut Vec<Waker>) -> bool {
        let mut waiting = self.waiting.lock();
        loop {
            if waiting.closed {
                return false;
            }
            let now = Instant::now();
            while waiting.heap.peek().is_some_and(|Reverse(first)| first.at <= now) {
                due.extend(waiting.heap.pop().map(|Reverse(first)| first.waker));
            }
            if !due.is_empty() {
                return true;
            }
            match waiting.heap.peek().map(|Reverse(first)| first.at.into_std()) {
                Some(at) => {
                    self.changed.wait_until(&mut waiting, at);
                }
                None => self.changed.wait(&mut waiting),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// One worker makes `total` operations at 100 a second against a server that answers in 1 ms, but stalls at operation `stall_at`.
    async fn latencies(total: u64, stall_at: u64, stall: Duration) -> Vec<Duration> {
        let pace = Pace::count(Instant::now(), Some(100.0), total);
        let mut latencies = Vec::new();
        while let Some(turn) = pace.take(&Timer::Runtime).await {
            tokio::time::sleep(if turn.number == stall_at { stall } else { MS }).await;
            latencies.push(turn.intended.elapsed());
        }
        latencies
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_charged_to_every_operation_that_it_delayed() {
        let measured = latencies(200, 50, Duration::from_secs(1)).await;
        let delayed = measured.iter().filter(|latency| **latency >= 10 * MS).count();
        // One stalled for a second; while it did, a hundred more became due, and it takes a dozen more to catch up at 1 ms each.
        assert!((100..=115).contains(&delayed), "{delayed}");
        assert!(measured[51] >= 980 * MS, "{:?}", measured[51]);
        assert!(measured[100] >= 500 * MS, "{:?}", measured[100]);
        assert!(measured[199] <= 3 * MS, "{:?}", measured[199]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_kept_over_the_whole_run_in_spite_of_a_stall() {
        let start = Instant::now();
        latencies(200, 50, Duration::from_secs(1)).await;
        let whole = start.elapsed();
        assert!((1990 * MS..=1995 * MS).contains(&whole), "{whole:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn workers_share_one_schedule() {
        let start = Instant::now();
        let pace = Arc::new(Pace::until(start, 1000.0, start + Duration::from_secs(1)));
        let workers: Vec<_> = (0..7)
            .map(|_| {
                let pace = pace.clone();
                tokio::spawn(async move {
                    let mut numbers = Vec::new();
                    while let Some(turn) = pace.take(&Timer::Runtime).await {
                        numbers.push(turn.number);
                    }
                    numbers
                })
            })
            .collect();
        let mut numbers = Vec::new();
        for worker in workers {
            numbers.extend(worker.await.unwrap());
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn without_a_rate_nothing_waits() {
        let pace = Pace::count(Instant::now(), None, 3);
        for number in 0..3 {
            assert_eq!(pace.take(&Timer::Runtime).await.map(|turn| turn.number), Some(number));
        }
        assert!(pace.take(&Timer::Runtime).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn full_speed_ends_at_its_end() {
        let start = Instant::now();
        let pace = Pace::full_speed(start, start + 10 * MS);
        assert!(pace.take(&Timer::Runtime).await.is_some());
        tokio::time::sleep(10 * MS).await;
        assert!(pace.take(&Timer::Runtime).await.is_none());
    }

    #[tokio::test]
    async fn the_precise_timer_wakes_in_order_and_never_early() {
        let timer = Timer::precise();
        let start = Instant::now();
        let sleeps = [7, 1, 4].map(|ms| {
            let timer = timer.clone();
            tokio::spawn(async move {
                timer.sleep_until(start + ms * MS).await;
                assert!(start.elapsed() >= ms * MS);
            })
        });
        for sleep in sleeps {
            sleep.await.unwrap();
        }
        timer.sleep_until(start).await;
    }
}
