//! Doing a row's work against one server.

use super::{interrupt::Interrupt, machine::PROMPTLY, row::Work};
use crate::{
    report::{Phase, Report},
    stats::Meter,
    tokens::unix_seconds,
    trial::{self, LONGEST_SCENARIO, Place, Program, Server},
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    process::Command,
    time::{Instant, sleep, timeout},
};

/// How long all sockets may take to open before a stop.
const OPENING: Duration = Duration::from_secs(300);
/// How often it is looked whether they have, and for how long they then rest.
const LOOK: Duration = Duration::from_millis(100);
const REST: Duration = Duration::from_secs(1);
/// The longest warm-up.
const LONGEST_WARMUP: f64 = 1.0;
/// The longest hold, at whose end memory is read: longer than the allocator keeps what is free (10 s).
const LONGEST_HOLD: f64 = 12.0;
const HOLD_PER_SECOND: f64 = 2.4;
/// Players that reads of accounts go round.
const READERS: u64 = 1_000;

/// How much is done, and with what.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Seconds of matches.
    pub seconds: f64,
    /// Idle sockets.
    pub sockets: u64,
    /// Logins, and reads of accounts.
    pub logins: u64,
    /// Accounts of a full store.
    pub accounts: u64,
    /// Whether clients may run before everything else.
    pub prompt: bool,
    /// The key that signs identity tokens.
    pub key: PathBuf,
    /// Kizuna's configuration for players with plain ids.
    pub plain: PathBuf,
    /// The same with trust in the key, and so in nobody else.
    pub trusting: PathBuf,
    /// Where full stores are, or will be.
    pub stores: PathBuf,
}

/// One server that takes its turns.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What the tables call it.
    pub name: &'static str,
    /// What is started.
    pub program: Program,
}

/// Why there is no report.
#[derive(Debug)]
pub enum Failure {
    /// This one could not be made, or was not clean; the next may be.
    Fault(String),
    /// No other will be, either.
    End(String),
}

/// Does `work` against a server that is started for it and ended after it.
///
/// # Errors
/// Why there is no report.
pub async fn measure(work: Work, subject: &Subject, scale: &Scale, interrupt: &Interrupt) -> Result<Report, Failure> {
    let scratch = tempfile::tempdir().map_err(|error| Failure::End(error.to_string()))?;
    let stage = Stage { subject, scale, interrupt, scratch: scratch.path() };
    match work {
        Work::Scenario(line) => stage.scenario(line, false).await,
        Work::Prompt(line) => stage.scenario(line, scale.prompt).await,
        Work::Start => stage.start().await,
        Work::Stop => stage.stop().await,
    }
}

fn fill_in(line: &str, scale: &Scale) -> String {
    let Scale { seconds, sockets, logins, key, .. } = scale;
    let time = format!("--duration {seconds} --warmup {}", seconds.min(LONGEST_WARMUP));
    line.replace("{time}", &time)
        .replace("{hold}", &(seconds * HOLD_PER_SECOND).min(LONGEST_HOLD).to_string())
        .replace("{sockets}", &sockets.to_string())
        .replace("{logins}", &logins.to_string())
        .replace("{players}", &READERS.min(*logins).to_string())
        .replace("{key}", &key.display().to_string())
}

/// What one piece of work needs.
struct Stage<'a> {
    subject: &'a Subject,
    scale: &'a Scale,
    interrupt: &'a Interrupt,
    /// A folder that ends with the work.
    scratch: &'a Path,
}

impl Stage<'_> {
    async fn server(&self, config: &Path, data: &Path) -> Result<Server, Failure> {
        let place = Place { config, data, scratch: self.scratch };
        let started = self.interrupt.or(Server::start(&self.subject.program, &place)).await;
        started.and_then(|server| server).map_err(Failure::End)
    }

    async fn scenario(&self, line: &str, promptly: bool) -> Result<Report, Failure> {
        let config = if line.contains("{key}") { &self.scale.trusting } else { &self.scale.plain };
        let server = self.server(config, &self.scratch.join("data")).await?;
        let outcome = self.harness(&fill_in(line, self.scale), &server, promptly).await;
        let stopped = server.stop().await.map_err(Failure::Fault);
        let report = outcome?;
        stopped.map(|_| report)
    }

    /// Runs a scenario in a process of its own, whose processor time is not the rig's.
    async fn harness(&self, line: &str, server: &Server, promptly: bool) -> Result<Report, Failure> {
        let out = self.scratch.join("report.json");
        let mut command = server.scenario(line).map_err(Failure::End)?;
        if promptly {
            command = before_everything_else(&command);
        }
        let report = self.interrupt.or(trial::report(command, server.pid, &out)).await.map_err(Failure::End)?;
        clean(report.map_err(Failure::Fault)?)
    }

    async fn start(&self) -> Result<Report, Failure> {
        let store = self.scale.stores.join(format!("{}-{}", self.subject.name, self.scale.accounts));
        self.fill(&store).await?;
        let begun = Instant::now();
        let server = self.server(&self.scale.plain, &store.join("data")).await?;
        let answered = self.interrupt.or(server.answers()).await;
        let took = begun.elapsed();
        let stopped = server.stop().await.map_err(Failure::Fault);
        answered.map_err(Failure::End)?.map_err(Failure::Fault)?;
        stopped?;
        Ok(once("start", took))
    }

    /// Registers accounts in a store that has none yet. A store that is full is marked as such, so that one that was left half full is
    /// filled anew.
    async fn fill(&self, store: &Path) -> Result<(), Failure> {
        let (mark, data) = (store.join("full"), store.join("data"));
        if mark.exists() {
            return Ok(());
        }
        let told = |error: std::io::Error| Failure::End(format!("{}: {error}", store.display()));
        if data.exists() {
            fs::remove_dir_all(&data).map_err(told)?;
        }
        fs::create_dir_all(store).map_err(told)?;
        let server = self.server(&self.scale.plain, &data).await?;
        let line = format!("login --new --count {} --connections 64", self.scale.accounts);
        let outcome = self.harness(&line, &server, false).await;
        let stopped = server.stop().await.map_err(Failure::Fault);
        outcome?;
        stopped?;
        fs::write(&mark, "").map_err(told)
    }

    async fn stop(&self) -> Result<Report, Failure> {
        let server = self.server(&self.scale.plain, &self.scratch.join("data")).await?;
        let line = format!("connect --count {} --hold {}", self.scale.sockets, LONGEST_SCENARIO.as_secs());
        let mut command = server.scenario(&line).map_err(Failure::End)?;
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let before = open_files(server.pid);
        // Killed when dropped, after the server has ended.
        let mut clients = command.spawn().map_err(|error| Failure::End(error.to_string()))?;
        let opening = async {
            tokio::select! {
                () = until_open(server.pid, before + self.scale.sockets) => Ok(()),
                _ = clients.wait() => Err("the clients ended".to_owned()),
            }
        };
        let opened = self.interrupt.or(timeout(OPENING, opening)).await;
        let stopped = server.stop().await;
        let opened = opened.map_err(Failure::End)?;
        opened.unwrap_or_else(|_| Err("the sockets did not open".to_owned())).map_err(Failure::Fault)?;
        Ok(once("stop", stopped.map_err(Failure::Fault)?))
    }
}

/// The same command, which runs before everything else on the machine.
fn before_everything_else(command: &Command) -> Command {
    let mut before = Command::new(PROMPTLY[0]);
    before.args(&PROMPTLY[1..]).arg(command.as_std().get_program()).args(command.as_std().get_args());
    before.stdin(Stdio::null()).kill_on_drop(true);
    before
}

/// Waits until a process has so many files open, and for a rest.
async fn until_open(pid: u32, files: u64) {
    while open_files(pid) < files {
        sleep(LOOK).await;
    }
    sleep(REST).await;
}

fn open_files(pid: u32) -> u64 {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |files| files.count() as u64)
}

/// A report of one thing that took so long.
fn once(name: &str, took: Duration) -> Report {
    let meter = Meter::default();
    meter.record(0, took);
    let seconds = took.as_secs_f64();
    let operations = BTreeMap::from([(name.to_owned(), meter.operation(1, seconds))]);
    Report {
        version: env!("CARGO_PKG_VERSION").into(),
        scenario: name.into(),
        target: String::new(),
        started_unix: unix_seconds(),
        settings: serde_json::Value::Null,
        phases: vec![Phase { name: name.into(), seconds, operations, ..Phase::default() }],
    }
}

/// A run that lost a message or met an error gives no figures.
fn clean(report: Report) -> Result<Report, Failure> {
    if report.is_clean() {
        return Ok(report);
    }
    let errors = report.phases.iter().flat_map(|phase| &phase.errors).map(|(kind, count)| format!("{count} × {kind}"));
    let losses = report.phases.iter().filter_map(|phase| phase.delivery).map(|delivery| delivery.to_string());
    Err(Failure::Fault(errors.chain(losses).collect::<Vec<_>>().join("; ")))
}
