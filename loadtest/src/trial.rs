//! What measurements are made of: a server for a moment, on a free port and with a folder of its own, and scenarios against it, as
//! processes of their own, whose processor time and memory do not mix with what was run before.

use crate::{
    http::HttpConnection,
    report::Report,
    server::{self, Launch, kizuna},
    target::{Base, Target},
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode, header};
use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{process::Command, time::timeout};

/// The shipped configuration but for sessions that outlast what is measured, and no development provider: players sign in by plain ids.
pub const CONFIGURATION: &str = "[dev_provider]\nenabled = false\n[session]\ntoken_expiry_sec = 3600\n";
/// How long a scenario may take: the longest fills a store.
pub const LONGEST_SCENARIO: Duration = Duration::from_secs(1_800);

/// How long a server may take to listen: one that has much to read at its start, on a machine that does other things.
const STARTING: Duration = Duration::from_secs(120);
/// How long a server may take to end before it is killed.
const ENDING: Duration = Duration::from_secs(60);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(10);

/// Which program, by its executable.
#[derive(Clone, Debug)]
pub enum Program {
    /// The game server.
    Kizuna(PathBuf),
    /// The floor.
    Floor(PathBuf),
}

/// The program that was `given`, or the one of this `name` beside this one.
///
/// # Errors
/// There is none; the option that names another is called as it is.
pub fn executable(given: Option<&Path>, name: &str) -> Result<PathBuf, String> {
    let beside = || env::current_exe().map(|own| own.with_file_name(name)).map_err(|error| error.to_string());
    let path = given.map_or_else(beside, |path| Ok(path.to_owned()))?;
    if path.is_file() { Ok(path) } else { Err(format!("{}: no such program; --{name} names another", path.display())) }
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

/// A running server. Killed when dropped, if it has not been stopped.
#[derive(Debug)]
pub struct Server {
    process: server::Server,
    /// Its process.
    pub pid: u32,
    /// Its base URL.
    pub base: Base,
}

impl Server {
    /// Starts `program` and waits until it listens. Kizuna takes its configuration, and keeps its data and its log, as `place` says.
    ///
    /// # Errors
    /// It cannot be started, or ends; with the end of its log.
    pub async fn start(program: &Program, place: &Place<'_>) -> Result<Self, String> {
        let (process, _) = program.launch(place).start(STARTING).await?;
        Ok(Self { pid: process.pid(), base: process.address.to_string().parse()?, process })
    }

    /// Waits for its answer to a health check.
    ///
    /// # Errors
    /// There is none, or another than 200.
    pub async fn answers(&self) -> Result<(), String> {
        let request = Request::get("/healthcheck").header(header::HOST, &self.base.authority);
        let request = request.body(Full::<Bytes>::default()).map_err(|error| error.to_string())?;
        match HttpConnection::new(&Target::new(self.base.clone(), REQUEST, 1)).call(request).await {
            Ok((StatusCode::OK, _)) => Ok(()),
            Ok((status, _)) => Err(format!("/healthcheck: http {}", status.as_u16())),
            Err(fault) => Err(format!("/healthcheck: {fault}")),
        }
    }

    /// A command of this very program, such as `match --players 4`, against this server; killed when dropped.
    ///
    /// # Errors
    /// This program does not know where it is.
    pub fn scenario(&self, line: &str) -> Result<Command, String> {
        let mut command = Command::new(env::current_exe().map_err(|error| error.to_string())?);
        command.args(line.split(' ')).args(["--quiet", "--base", &self.base.to_string()]);
        command.stdin(Stdio::null()).kill_on_drop(true);
        Ok(command)
    }

    /// Asks it to end (SIGTERM), waits until it has, and says how long that took. One that does not end is killed.
    ///
    /// # Errors
    /// It did not end, or with another status than 0.
    pub async fn stop(self) -> Result<Duration, String> {
        self.process.stop(ENDING).await
    }
}

impl Program {
    fn launch(&self, place: &Place<'_>) -> Launch {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (program, arguments) = match self {
            Self::Kizuna(program) => (program, kizuna(place.config, place.data, address)),
            Self::Floor(program) => (program, vec![address.to_string().into()]),
        };
        Launch { program: program.clone(), arguments, log: place.scratch.join("log"), environment: Vec::new() }
    }
}

/// Runs a scenario with the processor time of process `pid`: its report, which it writes to `out`, clean or not.
///
/// # Errors
/// It could not be run, or took too long.
pub async fn report(mut scenario: Command, pid: u32, out: &Path) -> Result<Report, String> {
    scenario.args(["--pid", &pid.to_string(), "--out"]).arg(out);
    let ended = timeout(LONGEST_SCENARIO, scenario.output()).await.map_err(|_| "took too long".to_owned())?;
    let ended = ended.map_err(|error| error.to_string())?;
    match ended.status.code() {
        Some(0 | 1) => Report::read(out),
        _ => Err(String::from_utf8_lossy(&ended.stderr).trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_is_no_server_is_told_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place { config: folder.path(), data: folder.path(), scratch: folder.path() };
        let start = async |program: &str| Server::start(&Program::Floor(program.into()), &place).await.unwrap_err();
        assert!(start("/bin/true").await.contains("ended before it had started"));
        assert!(start("no-such-program").await.starts_with("no-such-program"));
    }

    #[test]
    fn a_program_that_is_not_there_is_named_with_its_option() {
        let why = executable(Some(Path::new("no/such/kizuna")), "kizuna").unwrap_err();
        assert_eq!(why, "no/such/kizuna: no such program; --kizuna names another");
    }
}
