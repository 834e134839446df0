//! Servers that the harness starts itself, each a process with a folder of its own.

use crate::{http::HttpConnection, target::Base, target::Target};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::{Instant, timeout},
};

/// How long a server may take to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a single request may take.
const ANSWER: Duration = Duration::from_secs(10);
/// What is shown of the log of a server that did not start.
const LAST_LINES: usize = 5;

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Its process id.
    pub pid: u32,
    /// Its base URL.
    pub base: Base,
    /// From starting the process to its first answer.
    pub started_in: Duration,
    /// Kept, so that the server can go on printing.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts Kizuna (`program`) on free ports with the configuration `config`. Everything of it lies in `folder`, which must be there:
    /// `config.toml`, `server.log`, and its data in `data`.
    ///
    /// # Errors
    /// The files cannot be written, or the server ended or did not answer within a minute; with the end of its log.
    pub async fn start(program: &Path, config: &str, folder: &Path) -> Result<Self, String> {
        let told = |error: std::io::Error| format!("{}: {error}", folder.display());
        let (settings, log) = (folder.join("config.toml"), folder.join("server.log"));
        fs::write(&settings, config).map_err(told)?;
        let begun = Instant::now();
        let mut child = Command::new(program)
            .args(["serve", "--http", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--config"])
            .arg(&settings)
            .arg("--data-dir")
            .arg(data_folder(folder))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).map_err(told)?)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let output = child.stdout.take().ok_or("no standard output")?;
        let pid = child.id().ok_or("the server ended at once")?;
        let mut output = BufReader::new(output).lines();
        let ready = timeout(PATIENCE, answering(&mut output)).await;
        let base = ready.unwrap_or_else(|_| Err("no answer in time".into()));
        let base = base.map_err(|why| format!("{}: {why}{}", program.display(), end_of(&log)))?;
        Ok(Self { child, pid, base, started_in: begun.elapsed(), _output: output })
    }

    /// Ends it by SIGTERM, and says how long that took.
    ///
    /// # Errors
    /// It had ended before, did not end within a minute, or ended with another status than 0.
    pub async fn stop(mut self) -> Result<Duration, String> {
        let begun = Instant::now();
        let raw = i32::try_from(self.pid).ok().and_then(Pid::from_raw).ok_or("not a process id")?;
        kill_process(raw, Signal::TERM).map_err(|error| format!("stopping the server: {error}"))?;
        let ended = timeout(PATIENCE, self.child.wait()).await;
        let status = ended.map_err(|_| "the server did not stop in time")?.map_err(|error| error.to_string())?;
        if status.success() { Ok(begun.elapsed()) } else { Err(format!("the server ended with {status}")) }
    }
}

/// Where a server that was started in `folder` keeps its data.
pub fn data_folder(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// Waits for the server's address, and for its first answer there.
async fn answering(output: &mut Lines<BufReader<ChildStdout>>) -> Result<Base, String> {
    let base: Base = loop {
        let line = output.next_line().await.map_err(|error| error.to_string())?;
        let line = line.ok_or("it ended before it had started")?;
        if let Some(address) = line.strip_prefix("listening http ") {
            break address.trim().parse()?;
        }
    };
    let request = Request::get("/healthcheck").header("host", &base.authority).body(Full::<Bytes>::default());
    let request = request.map_err(|error| error.to_string())?;
    let mut connection = HttpConnection::new(&Target::new(base.clone(), ANSWER, 1));
    let (status, _) = connection.call(request).await.map_err(|fault| format!("healthcheck: {fault}"))?;
    if status == StatusCode::OK { Ok(base) } else { Err(format!("healthcheck: http {status}")) }
}

/// The last lines of a log, each on a line of its own.
fn end_of(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].iter().map(|line| format!("\n  {line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_is_no_server_is_told_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let why = Server::start("/bin/true".as_ref(), "", folder.path()).await.unwrap_err();
        assert!(why.contains("ended before it had started"), "{why}");
        let why = Server::start("no-such-program".as_ref(), "", folder.path()).await.unwrap_err();
        assert!(why.starts_with("no-such-program"), "{why}");
        fs::write(folder.path().join("log"), "1\n2\n3\n4\n5\n6\n").unwrap();
        assert_eq!(end_of(&folder.path().join("log")), "\n  2\n  3\n  4\n  5\n  6");
    }
}
