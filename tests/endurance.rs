//! The command under `loadtest endure`: stopped, killed and started again under clients who do not give up, while keys rotate.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use clap::Parser;
use loadtest::{args::Arguments, execute, report::Report};
use std::path::Path;
use tempfile::TempDir;

/// A loopback address of this process alone: the same port is listened on again after each start, and no other program's connection
/// may have got it meanwhile.
fn base() -> String {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    format!("http://127.{}.{middle}.{low}:7350", 64 + high % 64)
}

fn endure(folder: &Path, line: &str) -> (Result<bool, String>, Option<Report>) {
    let out = folder.join("out.json");
    let line = format!(
        "loadtest endure --quiet --base {} --data-dir {}/data --out {} --stop-within 60 --growth 1 {line}",
        base(),
        folder.display(),
        out.display()
    );
    let outcome = execute(&Arguments::try_parse_from(line.split(' ')).unwrap());
    (outcome, Report::read(&out).ok())
}

#[test]
fn clients_lose_nothing_when_the_server_is_stopped_killed_and_started_while_keys_rotate() {
    let folder = TempDir::new().unwrap();
    let line = "--duration 7 --restart-every 2 --kill --rotate-every 1 --matches 3 --players 3 --idle 10 --logins 20 --accounts 20";
    let (clean, report) = endure(folder.path(), &format!("--kizuna {} {line}", env!("CARGO_BIN_EXE_kizuna")));
    let report = report.unwrap();
    assert_eq!(clean, Ok(true), "{report}");
    let [whole, lives @ ..] = report.phases.as_slice() else { panic!("{report}") };
    assert_eq!(lives.len(), 4, "{report}");
    assert!(lives[2].detail.contains("SIGKILL") && lives[3].detail.contains("SIGTERM"), "{report}");
    let delivery = whole.delivery.unwrap();
    assert!(delivery.expected > 0 && delivery.received == delivery.expected, "{report}");
    assert!(whole.operations["back in the match"].count >= 27, "nine players, three times: {report}");
    assert!(whole.counts["rotations"] >= 2 && whole.counts["accounts"] > 0, "{report}");
    assert!(whole.counts.keys().any(|kind| kind.contains("1001 server restarting")), "{report}");
}

#[test]
fn a_server_that_does_not_start_ends_the_run() {
    let folder = TempDir::new().unwrap();
    let (outcome, _) = endure(folder.path(), "--kizuna /bin/false --duration 1");
    assert!(outcome.unwrap_err().starts_with("the server did not start: it ended"));
}
