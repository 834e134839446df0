//! When, where and on what a measurement was made.

use super::args::MeasureOptions;
use crate::tokens::unix_seconds;
use prost_types::Timestamp;
use serde::Serialize;
use std::{fs, process::Command, thread};

/// What a figure is worth nothing without.
#[derive(Clone, Debug, Serialize)]
pub struct Conditions {
    /// The day, in UTC.
    pub date: String,
    /// The commit of the folder in which it was measured, with `+changes` when there were others; empty when that is not known.
    pub commit: String,
    /// The processor's name.
    pub processor: String,
    /// How many of them the system has.
    pub processors: usize,
    /// The kernel's version.
    pub kernel: String,
    /// Rounds.
    pub rounds: u32,
    /// Seconds of matches.
    pub seconds: f64,
    /// Idle sockets.
    pub sockets: u64,
    /// Logins, and reads of accounts.
    pub logins: u64,
    /// Accounts of the full store.
    pub accounts: u64,
    /// Whether the system lets clients run before everything else.
    pub prompt: bool,
}

/// What runs a command before everything else on the machine (chrt of util-linux).
pub const PROMPTLY: [&str; 3] = ["chrt", "--rr", "1"];

impl Conditions {
    /// Of now and here.
    pub fn now(options: &MeasureOptions) -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            date: today(),
            commit: commit(),
            processor: model(&cpus).unwrap_or("unknown processors").to_owned(),
            processors: thread::available_parallelism().map_or(1, usize::from),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            rounds: options.rounds,
            seconds: options.seconds.as_secs_f64(),
            sockets: options.sockets,
            logins: options.logins,
            accounts: options.accounts,
            prompt: may_run_promptly(),
        }
    }
}

/// Whether [`PROMPTLY`] works here.
pub fn may_run_promptly() -> bool {
    let [program, arguments @ ..] = PROMPTLY;
    Command::new(program).args(arguments).arg("true").output().is_ok_and(|output| output.status.success())
}

fn today() -> String {
    let seconds = i64::try_from(unix_seconds()).unwrap_or_default();
    let moment = Timestamp { seconds, nanos: 0 }.to_string();
    moment.split('T').next().unwrap_or_default().to_owned()
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok()
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return String::new() };
    let changed = git(&["status", "--porcelain"]).is_none_or(|changes| !changes.trim().is_empty());
    commit.trim().to_owned() + if changed { "+changes" } else { "" }
}

fn model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::rig) fn example() -> Conditions {
        Conditions {
            date: "2026-11-22".into(),
            commit: "0123abc".into(),
            processor: "Some CPU".into(),
            processors: 2,
            kernel: "6.1.0".into(),
            rounds: 3,
            seconds: 5.0,
            sockets: 10_000,
            logins: 20_000,
            accounts: 1_000_000,
            prompt: true,
        }
    }

    #[test]
    fn the_processor_is_named() {
        assert_eq!(model("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n"), Some("Some CPU @ 2 GHz"));
        assert_eq!(model(""), None);
    }

    #[test]
    fn a_day_is_written_as_the_world_writes_it() {
        let date = today();
        assert!(date.len() == 10 && date.starts_with("20") && date.split('-').count() == 3, "{date}");
    }
}
