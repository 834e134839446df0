//! The floor, and the rig that measures against it, as processes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use clap::Parser;
use loadtest::{args::Arguments, execute, report::Report};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::Instant;

const FLOOR: &str = env!("CARGO_BIN_EXE_floor");
const STAND_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake/kizuna");

/// How long a process may take on a machine that does other things, and from one look at it to the next.
const LONG: Duration = Duration::from_secs(120);
const STEP: Duration = Duration::from_millis(5);

/// The floor on a free port; it ends when dropped.
struct Floor {
    process: Child,
    address: String,
}

impl Floor {
    fn start() -> Self {
        let mut process = Command::new(FLOOR).arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening http ").unwrap().to_owned();
        Self { process, address }
    }

    fn run(&self, line: &str) -> (bool, Report) {
        let folder = TempDir::new().unwrap();
        let out = folder.path().join("out.json");
        let line = format!("loadtest {line} --quiet --base http://{} --out {}", self.address, out.display());
        let clean = execute(&Arguments::try_parse_from(line.split(' ')).unwrap()).unwrap();
        (clean, Report::read(&out).unwrap())
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_floor_relays_every_message_once_in_both_formats() {
    let floor = Floor::start();
    for format in ["json", "protobuf"] {
        for pace in ["--rate 50", "--window 4"] {
            let line = format!("match --matches 2 --players 3 {pace} --format {format} --duration 0.3 --warmup 0.1");
            let (clean, report) = floor.run(&line);
            let delivery = report.phases[0].delivery.unwrap();
            assert!(clean && delivery.sent > 50, "{line}: {report}");
            assert_eq!((delivery.expected, delivery.received), (2 * delivery.sent, 2 * delivery.sent));
        }
    }
}

#[test]
fn the_floor_signs_players_in_and_holds_their_sockets() {
    let (clean, report) = Floor::start().run("connect --count 20 --hold 0.1");
    assert!(clean, "{report}");
    assert_eq!(report.phases[1].counts["sockets open at the end"], 20);
}

#[test]
fn an_address_that_is_none_is_told() {
    let output = Command::new(FLOOR).arg("nowhere").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere: expected ADDRESS:PORT"));
}

/// A small measurement in which the floor stands in for Kizuna.
fn measure(arguments: &[&str]) -> Output {
    let small = ["measure", "--kizuna", STAND_IN, "--seconds", "0.2", "--sockets", "20", "--logins", "20"];
    Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(small)
        .args(arguments)
        .env("FLOOR", FLOOR)
        .env("KIZUNA_HTTP_PORT", "1")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn values(file: &Path, row: usize, subject: usize) -> Vec<Option<f64>> {
    let results: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let rounds = &results["rows"][row]["figures"][0]["by_subject"][subject];
    rounds.as_array().unwrap().iter().map(serde_json::Value::as_f64).collect()
}

#[test]
fn every_round_measures_both_and_all_of_it_is_written_down() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out.json");
    let rows = ["--rounds", "2", "--rows", "sockets,paced-protobuf,stop", "--out", out.to_str().unwrap()];
    let output = measure(&rows);
    let (table, progress) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{table}{progress}");
    assert!(table.contains("| 50 × 4 × 20 a second, protobuf |") && table.contains("Not met: "), "{table}");
    assert!(progress.contains("round 2 of 2, row 3 of 3: stop, Kizuna"), "{progress}");
    for (row, subject) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)] {
        let values = values(&out, row, subject);
        // On a busy machine no message may come in so short a time, and there is no cost of one.
        assert!(
            values.len() == 2 && (row == 1 || values.iter().all(Option::is_some)),
            "row {row}, {subject}: {values:?}"
        );
    }
    assert!(values(&out, 2, 1).is_empty(), "the floor has no sockets to close in order");
}

#[test]
fn two_servers_are_measured_relative_to_each_other() {
    let output = measure(&["--rounds", "1", "--rows", "sockets", "--against", STAND_IN]);
    let table = text(&output.stdout);
    assert!(output.status.success(), "{table}{}", text(&output.stderr));
    assert!(table.contains("| idle sockets | A | B | B / A |"), "{table}");
}

#[test]
fn what_a_server_cannot_do_is_left_out_and_told() {
    let output = measure(&["--rounds", "1", "--rows", "account"]);
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{table}");
    assert!(table.contains("Not clean, and left out:\n- account, Kizuna, round 1: "), "{table}");
}

#[test]
fn a_measurement_that_is_ended_early_ends_what_it_has_started() {
    // The server, and the players.
    ends_what_it_has_started(&["measure", "--kizuna", STAND_IN, "--seconds", "60", "--rows", "paced-json"], 2);
}

#[test]
fn an_endurance_run_that_is_ended_early_ends_its_server() {
    let folder = TempDir::new().unwrap();
    let server = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake/server.sh");
    let folder = folder.path().to_str().unwrap();
    ends_what_it_has_started(&["endure", "--kizuna", server, "--data-dir", folder, "--base", "http://127.0.0.1:1"], 1);
}

/// Runs the harness until it has so many children, asks it to end, and waits until all of them have.
fn ends_what_it_has_started(arguments: &[&str], count: usize) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(arguments).env("FLOOR", FLOOR).env("BEHAVIOUR", "right");
    let mut harness = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = harness.id();
    let begun = Instant::now();
    let mut started = Vec::new();
    while started.len() < count && begun.elapsed() < LONG && harness.try_wait().unwrap().is_none() {
        sleep(STEP);
        started = children(pid);
    }
    // If it has ended by itself, what it said is told below.
    if harness.try_wait().unwrap().is_none() {
        kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::TERM).unwrap();
    }
    let output = harness.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), started.len()), (Some(2), count), "{said}");
    assert!(said.ends_with("loadtest: interrupted\n"), "{said}");
    let ended = Instant::now();
    for child in started {
        while runs(child) {
            assert!(ended.elapsed() < LONG, "{child} still runs");
            sleep(STEP);
        }
    }
}

/// Whether a process is there, and not only its exit status.
fn runs(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// The processes that a process has started and that have not ended; none when it has ended itself.
fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

#[test]
fn what_cannot_be_measured_is_told_before_anything_is() {
    let page = TempDir::new().unwrap();
    let page = page.path().join("page.md");
    fs::write(&page, "# Nothing to replace\n").unwrap();
    for (arguments, why) in [
        (["--write", page.to_str().unwrap()], "needs the lines <!-- measured: begin -->"),
        (["--rows", "elsewhere"], "there is no row \"elsewhere\"; rows are login-plain, "),
        (["--floor", "no-such-file"], "no-such-file: no such program"),
    ] {
        let output = measure(&arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(why), "{}", text(&output.stderr));
    }
}
