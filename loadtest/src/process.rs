//! What a process costs: processor time and resident memory, from `/proc` (Linux).

use crate::report::ProcessUse;
use parking_lot::Mutex;
use std::{collections::HashMap, fs, path::PathBuf};

/// Processor time and memory of one process at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Processor time so far, by the scheduler's clock: nanoseconds, summed over the threads that were seen.
    pub threads_ns: u64,
    /// Processor time so far by the process's own account, which also knows threads that came and went unseen; in steps of a
    /// clock tick, mostly 10 ms.
    pub account_ns: u64,
    /// Resident memory in bytes.
    pub resident: u64,
}

impl Sample {
    /// Nanoseconds of processor time between `earlier` and this. The scheduler's clock, unless threads were missed.
    pub fn spent_since(&self, earlier: &Self) -> u64 {
        const TICKS: u64 = 20_000_000;
        let threads = self.threads_ns.saturating_sub(earlier.threads_ns);
        let account = self.account_ns.saturating_sub(earlier.account_ns);
        if account > threads + threads / 50 + TICKS { account } else { threads }
    }
}

/// A watched process.
#[derive(Debug)]
struct Process {
    pid: u32,
    name: String,
    folder: PathBuf,
    /// Processor time of each thread when it was last seen: one that has ended keeps its share.
    threads: HashMap<u32, u64>,
    last: Sample,
}

impl Process {
    fn open(pid: u32) -> Result<Self, String> {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let name = fs::read_to_string(folder.join("comm")).map_err(|error| format!("process {pid}: {error}"))?;
        Ok(Self { pid, name: name.trim().to_owned(), folder, threads: HashMap::new(), last: Sample::default() })
    }

    /// Looks again. A process that has ended keeps its last figures.
    fn sample(&mut self) -> Sample {
        self.visit_threads();
        let text = |file: &str| fs::read_to_string(self.folder.join(file)).unwrap_or_default();
        let account_ns = parse_account(&text("stat")).unwrap_or(self.last.account_ns);
        let resident = parse_resident(&text("status")).unwrap_or(self.last.resident);
        self.last = Sample { threads_ns: self.threads.values().sum(), account_ns, resident };
        self.last
    }

    fn visit_threads(&mut self) {
        let Ok(tasks) = fs::read_dir(self.folder.join("task")) else { return };
        for task in tasks.flatten() {
            let id = task.file_name().to_str().and_then(|name| name.parse().ok());
            let spent = fs::read_to_string(task.path().join("schedstat")).ok().and_then(|text| parse_schedstat(&text));
            if let (Some(id), Some(spent)) = (id, spent) {
                self.threads.insert(id, spent);
            }
        }
    }
}

/// First field of `schedstat`: nanoseconds on a processor.
fn parse_schedstat(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// `utime` and `stime` of `/proc/PID/stat`, fields 14 and 15, in nanoseconds. The name in field 2 may hold anything.
fn parse_account(text: &str) -> Option<u64> {
    let (_, fields) = text.rsplit_once(") ")?;
    let ticks: u64 = fields.split(' ').skip(11).take(2).map_while(|field| field.parse::<u64>().ok()).sum();
    Some(ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1))
}

/// `VmRSS` of `/proc/PID/status` in bytes.
fn parse_resident(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok().map(|kib: u64| kib * 1024)
}

/// The processes that a run watches: those named by `--pid`, then the harness itself.
#[derive(Debug)]
pub struct Processes {
    /// Held for one round of reading.
    watched: Mutex<Vec<Process>>,
}

/// All watched processes at one moment.
pub type Snapshot = Vec<Sample>;

impl Processes {
    /// Watches `pids` and this process.
    ///
    /// # Errors
    /// There is no process with that id, or no `/proc`.
    pub fn open(pids: &[u32]) -> Result<Self, String> {
        let watched = pids.iter().copied().chain([std::process::id()]).map(Process::open).collect::<Result<_, _>>()?;
        Ok(Self { watched: Mutex::new(watched) })
    }

    /// Looks at all of them. To be called now and then even between measurements, so that no thread is missed.
    pub fn snapshot(&self) -> Snapshot {
        self.watched.lock().iter_mut().map(Process::sample).collect()
    }

    /// Names of the processes that `--pid` named, in the order of snapshots.
    pub fn servers(&self) -> Vec<String> {
        let watched = self.watched.lock();
        // The last one is the harness itself.
        let servers = watched.iter().take(watched.len().saturating_sub(1));
        servers.map(|process| format!("{} ({})", process.name, process.pid)).collect()
    }

    /// What each spent between two snapshots that are `seconds` apart, over `operations` and `connections`.
    #[expect(clippy::cast_precision_loss, reason = "bytes and nanoseconds of a run are far below 2^53")]
    pub fn usage(&self, from: &Snapshot, to: &Snapshot, seconds: f64, per: Per) -> Vec<ProcessUse> {
        let watched = self.watched.lock();
        let own = std::process::id();
        let rows = watched.iter().zip(from.iter().zip(to));
        rows.map(|(process, (from, to))| {
            let spent = to.spent_since(from) as f64;
            let grown = to.resident as f64 - from.resident as f64;
            ProcessUse {
                name: process.name.clone(),
                pid: process.pid,
                harness: process.pid == own,
                processor_seconds: spent / 1e9,
                processors: spent / 1e9 / seconds.max(1e-9),
                us_per_operation: (per.operations > 0).then(|| spent / 1e3 / per.operations as f64),
                resident_before: from.resident,
                resident_after: to.resident,
                bytes_per_connection: (per.connections > 0).then(|| grown / per.connections as f64),
            }
        })
        .collect()
    }
}

/// What a process's cost is divided by; 0 divides by nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Per {
    /// Operations that the processor time was spent on.
    pub operations: u64,
    /// Connections that the memory grew for.
    pub connections: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_texts_are_read() {
        assert_eq!(parse_schedstat("1100392 24636 2\n"), Some(1_100_392));
        assert_eq!(parse_resident("Name:\tx\nVmRSS:\t    1234 kB\nThreads:\t1\n"), Some(1234 * 1024));
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1";
        assert_eq!(parse_account(stat), Some(300 * 1_000_000_000 / rustix::param::clock_ticks_per_second()));
    }

    #[test]
    fn threads_that_were_missed_are_found_in_the_process_account() {
        let sample = |threads_ns, account_ns| Sample { threads_ns, account_ns, resident: 0 };
        assert_eq!(sample(1_000_000_123, 1_010_000_000).spent_since(&Sample::default()), 1_000_000_123);
        assert_eq!(sample(1_000_000_123, 1_500_000_000).spent_since(&Sample::default()), 1_500_000_000);
    }

    #[test]
    fn this_process_can_be_watched() {
        let processes = Processes::open(&[]).unwrap();
        let before = processes.snapshot();
        let mut sum = 0_u64;
        for number in 0..20_000_000_u64 {
            sum = std::hint::black_box(sum.wrapping_add(number));
        }
        let usage = processes.usage(&before, &processes.snapshot(), 1.0, Per { operations: 10, connections: 0 });
        assert!(usage[0].harness && usage[0].processor_seconds > 0.0 && usage[0].resident_after > 0);
        assert!(Processes::open(&[u32::MAX]).is_err());
    }
}
