//! The command under `loadtest endure`: stopped, killed and started again under clients who do not give up, while keys rotate.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use clap::Parser;
use loadtest::{
    args::Arguments,
    execute,
    report::{Delivery, Report},
};
use std::path::Path;
use tempfile::TempDir;

/// Seconds of a life of the server on the slowest machine that is waited for.
const LONGEST_LIFE: u32 = 32;

/// A loopback address of this process alone: the same port is listened on again after each start, and no other program's connection
/// may have got it meanwhile.
fn base() -> String {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    format!("http://127.{}.{middle}.{low}:7350", 64 + high % 64)
}

fn endure(folder: &Path, line: &str) -> (Result<bool, String>, Option<Report>) {
    let out = folder.join("out.json");
    let line = format!(
        "loadtest endure --quiet --base {} --data-dir {}/data --out {} --stop-within 60 --aftermath 30 --timeout 60 --drain 60 \
         --growth 1 {line}",
        base(),
        folder.display(),
        out.display()
    );
    let outcome = execute(&Arguments::try_parse_from(line.split(' ')).unwrap());
    (outcome, Report::read(&out).ok())
}

/// Nine players through stops, with one `--kill`ed life among them if time is left for three stops.
fn restarted(seconds_of_a_life: u32) -> Report {
    let folder = TempDir::new().unwrap();
    let times = format!("--duration {} --restart-every {seconds_of_a_life} --kill", 9 * seconds_of_a_life / 2);
    let line = format!("{times} --rotate-every 1 --matches 3 --players 3 --idle 10 --logins 20 --accounts 20");
    let (outcome, report) = endure(folder.path(), &format!("--kizuna {} {line}", env!("CARGO_BIN_EXE_kizuna")));
    outcome.unwrap();
    report.unwrap()
}

/// Whether all that is looked at below had its time: three stops, after each of which every player was back before the next.
fn is_whole(report: &Report) -> bool {
    report.phases.len() == 5
        && report.phases[0].operations.get("back in the match").is_some_and(|back| back.count >= 27)
}

/// What must hold of any run, however little of it there was time for.
fn assert_nothing_lost(report: &Report) {
    let whole = &report.phases[0];
    // A machine that was too slow for two lives that began alike cannot compare them.
    let faults: Vec<_> = whole.errors.keys().filter(|kind| !kind.ends_with("too short a run to judge")).collect();
    assert!(faults.is_empty(), "{report}");
    let delivery = whole.delivery.unwrap();
    let Delivery { lost, duplicated, reordered, damaged, .. } = delivery;
    assert_eq!((lost, duplicated, reordered, damaged), (0, 0, 0, 0), "{report}");
    assert_eq!(delivery.received, delivery.expected, "{report}");
}

#[test]
fn clients_lose_nothing_when_the_server_is_stopped_killed_and_started_while_keys_rotate() {
    let mut seconds_of_a_life = 2;
    let report = loop {
        let report = restarted(seconds_of_a_life);
        assert_nothing_lost(&report);
        if is_whole(&report) {
            break report;
        }
        // A slow machine gets more time.
        seconds_of_a_life *= 2;
        assert!(seconds_of_a_life <= LONGEST_LIFE, "too little happened: {report}");
    };
    assert!(report.is_clean(), "{report}");
    let [whole, lives @ ..] = report.phases.as_slice() else { panic!("{report}") };
    assert!(lives[2].detail.contains("SIGKILL") && lives[3].detail.contains("SIGTERM"), "{report}");
    assert!(whole.delivery.unwrap().expected > 0, "{report}");
    assert!(whole.counts["rotations"] >= 2 && whole.counts["accounts"] > 0, "{report}");
    assert!(whole.counts.keys().any(|kind| kind.contains("1001 server restarting")), "{report}");
}

#[test]
fn a_server_that_does_not_start_ends_the_run() {
    let folder = TempDir::new().unwrap();
    let (outcome, _) = endure(folder.path(), "--kizuna /bin/false --duration 1");
    assert!(outcome.unwrap_err().starts_with("the server did not start: it ended"));
}
