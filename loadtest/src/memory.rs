//! Resident memory over the time of a run, and whether it stays flat.

use crate::process::Processes;
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

/// Readings of a run that are aimed at; no more than one a [`SHORTEST`], no fewer than one a [`LONGEST`].
const READINGS: u32 = 200;
const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(1);

/// Reads the memory of all watched processes again and again while it lives.
#[derive(Debug)]
pub struct Memory {
    task: JoinHandle<()>,
    /// For each process its resident bytes, reading by reading; held for one round.
    courses: Arc<Mutex<Vec<Course>>>,
}

/// Resident bytes of one process, at even intervals.
#[derive(Clone, Debug, Default)]
pub struct Course(Vec<u64>);

impl Memory {
    /// Starts to read, for a run of `duration`.
    pub fn watch(processes: Arc<Processes>, duration: Duration) -> Self {
        let courses = Arc::<Mutex<Vec<Course>>>::default();
        let written = courses.clone();
        let task = tokio::spawn(async move {
            let mut ticks = interval((duration / READINGS).clamp(SHORTEST, LONGEST));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let snapshot = processes.snapshot();
                let mut courses = written.lock();
                courses.resize_with(snapshot.len(), Course::default);
                courses.iter_mut().zip(&snapshot).for_each(|(course, sample)| course.0.push(sample.resident));
            }
        });
        Self { task, courses }
    }

    /// Stops; the courses, in the order of the processes.
    pub fn end(self) -> Vec<Course> {
        std::mem::take(&mut *self.courses.lock())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Course {
    /// A course of its own, for tests.
    #[cfg(test)]
    pub(crate) fn of(readings: &[u64]) -> Self {
        Self(readings.to_vec())
    }

    /// The mean of each tenth of the time; `None` with fewer than ten readings.
    fn tenths(&self) -> Option<[u64; 10]> {
        let count = self.0.len();
        (count >= 10).then(|| {
            std::array::from_fn(|tenth| {
                let part = &self.0[tenth * count / 10..(tenth + 1) * count / 10];
                part.iter().sum::<u64>() / part.len().max(1) as u64
            })
        })
    }

    /// By what share of itself memory grew from the second tenth, when everything has been in use once, to the last; below 0
    /// when it shrank.
    #[expect(clippy::cast_precision_loss, reason = "bytes of a process are far below 2^53")]
    pub fn growth(&self) -> Option<f64> {
        let tenths = self.tenths()?;
        (tenths[1] > 0).then(|| tenths[9] as f64 / tenths[1] as f64 - 1.0)
    }

    /// The mean of the second half of the time; `None` with fewer than two readings.
    pub fn second_half(&self) -> Option<u64> {
        let late = self.0.get(self.0.len().div_ceil(2)..).filter(|late| !late.is_empty())?;
        Some(late.iter().sum::<u64>() / late.len() as u64)
    }

    /// The means, by name, in KiB.
    pub fn counts(&self, process: &str) -> BTreeMap<String, u64> {
        let tenths = self.tenths().into_iter().flatten().zip(1..);
        tenths.map(|(bytes, tenth)| (format!("resident KiB of {process}, {:3} %", tenth * 10), bytes / 1024)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_from_after_the_first_tenth_to_the_end() {
        let rising = Course((0..10).flat_map(|tenth| [1_000 + 100 * tenth; 3]).collect());
        assert!((rising.growth().unwrap() - 800.0 / 1_100.0).abs() < 1e-9);
        let warm = Course([[1_u64; 7].as_slice(), &[5_000; 63]].concat());
        assert_eq!(warm.growth(), Some(0.0), "what the start takes does not count");
        assert_eq!(Course(vec![1; 9]).growth(), None);
        assert_eq!(rising.counts("x").get("resident KiB of x, 100 %"), Some(&1));
    }

    #[test]
    fn the_second_half_is_told_by_itself() {
        assert_eq!(Course::of(&[9, 9, 2, 4]).second_half(), Some(3));
        assert_eq!(Course::of(&[9, 9, 9, 2, 4]).second_half(), Some(3));
        assert_eq!(Course::of(&[9]).second_half(), None);
    }

    #[tokio::test]
    async fn this_process_is_watched() {
        let memory = Memory::watch(Arc::new(Processes::open(&[]).unwrap()), Duration::ZERO);
        while memory.courses.lock().first().is_none_or(|course| course.0.len() < 2) {
            tokio::task::yield_now().await;
        }
        assert!(memory.end()[0].0.iter().all(|bytes| *bytes > 0));
    }
}
