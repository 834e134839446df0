//! What is counted while a scenario runs. Written from many tasks, read once a second for the progress line and at the end.

use crate::report::{Latency, Operation};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Histograms that one meter is spread over, so that tasks on different threads seldom wait for each other.
const SHARDS: usize = 4;
/// The longest latency that is told apart.
const LONGEST_NS: u64 = 300_000_000_000;
/// Kinds of error that are told apart; more are counted together.
const MOST_KINDS: usize = 64;

/// Latencies of one kind of operation.
pub struct Meter {
    /// Each guards one part of the latencies in nanoseconds; held for a batch of additions.
    shards: [Mutex<Histogram<u64>>; SHARDS],
    done: AtomicU64,
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("done", &self.done).finish_non_exhaustive()
    }
}

impl Default for Meter {
    fn default() -> Self {
        let shard =
            || Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("three digits from 1 ns on are within bounds");
        Self { shards: std::array::from_fn(|_| Mutex::new(shard())), done: AtomicU64::new(0) }
    }
}

impl Meter {
    /// Adds one operation that took `latency`. `worker` is any number that differs between tasks.
    pub fn record(&self, worker: usize, latency: Duration) {
        self.add_all(worker, &[u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX)]);
        self.count(1);
    }

    /// Adds latencies in nanoseconds without counting them as done.
    pub fn add_all(&self, worker: usize, latencies_ns: &[u64]) {
        if latencies_ns.is_empty() {
            return;
        }
        let mut shard = self.shards[worker % SHARDS].lock();
        for latency in latencies_ns {
            shard.saturating_record(*latency);
        }
    }

    /// Counts operations done.
    pub fn count(&self, operations: u64) {
        self.done.fetch_add(operations, Relaxed);
    }

    /// Operations done so far.
    pub fn done(&self) -> u64 {
        self.done.load(Relaxed)
    }

    /// The operation's figures, `count` of them in `seconds`.
    #[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^53")]
    pub fn operation(&self, count: u64, seconds: f64) -> Operation {
        let per_second = if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        Operation { count, per_second, latency: self.latency() }
    }

    /// The distribution of the latencies added so far.
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a run are far below 2^53")]
    pub fn latency(&self) -> Latency {
        let mut all = Histogram::<u64>::new_with_bounds(1, LONGEST_NS, 3).expect("as the shards");
        for shard in &self.shards {
            all.add(&*shard.lock()).expect("all shards have the same bounds");
        }
        let at = |quantile: f64| all.value_at_quantile(quantile) as f64 / 1e3;
        Latency {
            mean_us: all.mean() / 1e3,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: all.max() as f64 / 1e3,
        }
    }
}

/// A median with the lowest and the highest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Half of the values are no higher; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
}

impl Summary {
    /// Of these; `None` when there are none.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<_> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Self { median, low, high })
    }

    /// The same relative to `value`.
    #[must_use]
    pub fn relative_to(self, value: f64) -> Self {
        Self { median: self.median / value, low: self.low / value, high: self.high / value }
    }
}

/// Why an operation failed: a short text that is the same for all failures of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

impl Fault {
    /// A failure of this kind.
    pub fn new(kind: impl Into<String>) -> Self {
        Self(kind.into())
    }

    /// A failure of the network in the middle of `doing`.
    pub fn io(doing: &str, error: &std::io::Error) -> Self {
        let kind = error.kind();
        Self(format!("{doing}: {kind}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

/// How often each kind of failure happened.
#[derive(Debug, Default)]
pub struct Faults {
    /// Held to add one or to copy all.
    kinds: Mutex<BTreeMap<String, u64>>,
}

impl Faults {
    /// Counts a failure of `operation`.
    pub fn add(&self, operation: &str, fault: &Fault) {
        let kind = format!("{operation}: {fault}");
        let mut kinds = self.kinds.lock();
        let full = kinds.len() >= MOST_KINDS && !kinds.contains_key(&kind);
        *kinds.entry(if full { "others".to_owned() } else { kind }).or_default() += 1;
    }

    /// All failures so far, together.
    pub fn total(&self) -> u64 {
        self.kinds.lock().values().sum()
    }

    /// All failures so far by kind.
    pub fn kinds(&self) -> BTreeMap<String, u64> {
        self.kinds.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_all_shards_together() {
        let meter = Meter::default();
        for worker in 0..1000 {
            meter.record(worker, Duration::from_micros(worker as u64 + 1));
        }
        let latency = meter.latency();
        assert!((latency.p50_us - 500.0).abs() < 2.0, "{latency:?}");
        assert!((latency.p99_us - 990.0).abs() < 2.0, "{latency:?}");
        assert!((latency.max_us - 1000.0).abs() < 2.0, "{latency:?}");
        assert_eq!(meter.done(), 1000);
    }

    #[test]
    fn kinds_of_failure_are_bounded() {
        let faults = Faults::default();
        for kind in 0..200 {
            faults.add("login", &Fault::new(format!("http {kind}")));
        }
        faults.add("login", &Fault::new("http 0"));
        assert_eq!((faults.kinds().len(), faults.total()), (MOST_KINDS + 1, 201));
        assert_eq!(faults.kinds()["login: http 0"], 2);
    }
}
