//! A server under measurement: started on a free port, with a folder of its own, and ended.

use super::interrupt::Interrupt;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::{Instant, timeout},
};

/// How long a server may take to listen: one that has much to read at its start, on a machine that does other things.
const STARTING: Duration = Duration::from_secs(120);
/// How long a server may take to end before it is killed.
const ENDING: Duration = Duration::from_secs(60);
/// The last lines of a server's log that are told when it does not start.
const TOLD: usize = 20;

/// Which program, by its executable.
#[derive(Clone, Debug)]
pub enum Program {
    /// The game server.
    Kizuna(PathBuf),
    /// The floor.
    Floor(PathBuf),
}

/// A running server. Killed when dropped, if it has not been stopped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Its process.
    pub pid: u32,
    /// Host and port that it serves.
    pub address: String,
    /// Kept open: a server may print more than is read.
    _out: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts `program` and waits until it listens. Kizuna takes its configuration, and keeps its data and its log, as `place` says.
    ///
    /// # Errors
    /// It cannot be started or ends, with the end of its log, or the measurement is interrupted.
    pub async fn start(program: &Program, place: &Place<'_>, interrupt: &Interrupt) -> Result<Self, String> {
        let log = place.scratch.join("log");
        let told = |error: std::io::Error| format!("{}: {error}", program.path().display());
        let mut command = program.command(place);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).map_err(told)?)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(told)?;
        let pid = child.id().ok_or("a process without an id")?;
        let mut out = BufReader::new(child.stdout.take().ok_or("a process without output")?).lines();
        let listening = interrupt.or(timeout(STARTING, address(&mut out))).await?;
        match listening {
            Ok(Some(address)) => Ok(Self { child, pid, address, _out: out }),
            Ok(None) => Err(format!("{} ended:\n{}", program.path().display(), last_lines(&log))),
            Err(_) => Err(format!("{} does not listen:\n{}", program.path().display(), last_lines(&log))),
        }
    }

    /// Asks it to end (SIGTERM), waits until it has, and says how long that took. One that does not end is killed.
    ///
    /// # Errors
    /// It did not end, or not as it was asked to.
    pub async fn stop(mut self) -> Result<Duration, String> {
        let asked = Instant::now();
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).ok_or("a process without an id")?;
        kill_process(pid, Signal::TERM).map_err(|error| format!("process {}: {error}", self.pid))?;
        match timeout(ENDING, self.child.wait()).await {
            Ok(Ok(status)) if ended_as_asked(status) => Ok(asked.elapsed()),
            Ok(Ok(status)) => Err(format!("ended with {status} on SIGTERM")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => {
                let _ = self.child.kill().await;
                Err(format!("did not end within {} s of SIGTERM", ENDING.as_secs()))
            }
        }
    }
}

/// With 0, or, as a program that leaves the signal to the system, by the signal.
fn ended_as_asked(status: ExitStatus) -> bool {
    status.success() || status.signal() == Some(Signal::TERM.as_raw())
}

/// Where a server finds its configuration and keeps what is its own.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Kizuna's configuration.
    pub config: &'a Path,
    /// Kizuna's data.
    pub data: &'a Path,
    /// For the log.
    pub scratch: &'a Path,
}

impl Program {
    fn path(&self) -> &Path {
        match self {
            Self::Kizuna(path) | Self::Floor(path) => path,
        }
    }

    fn command(&self, place: &Place<'_>) -> Command {
        const ANY: &str = "127.0.0.1:0";
        let mut command = Command::new(self.path());
        match self {
            Self::Kizuna(_) => {
                command.arg("serve").arg("--config").arg(place.config).arg("--data-dir").arg(place.data);
                command.args(["--http", ANY, "--metrics", ANY]);
            }
            Self::Floor(_) => {
                command.arg(ANY);
            }
        }
        command
    }
}

/// What the server prints about its port; `None`: it ended first.
async fn address(out: &mut Lines<BufReader<ChildStdout>>) -> Option<String> {
    while let Ok(Some(line)) = out.next_line().await {
        if let Some(address) = line.strip_prefix("listening http ") {
            return Some(address.to_owned());
        }
    }
    None
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(TOLD)..].join("\n")
}
