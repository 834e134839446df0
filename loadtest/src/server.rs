//! A Kizuna of the harness's own: started on one address and one folder, stopped, killed, and started again.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, OpenOptions},
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::{Instant, timeout},
};

/// What the log of all the starts is called in the data folder.
const LOG: &str = "endure.log";

/// How a server is started, each time the same.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The command `kizuna`.
    pub program: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
    /// Everything that it keeps; its log goes there, too.
    pub data_dir: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
    /// What wins over the configuration.
    pub environment: Vec<(&'static str, String)>,
}

/// A server that runs; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    pid: Pid,
    /// Kept open: who prints to a closed pipe is told so by a signal.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Launch {
    /// Starts it, and waits until it listens: the server, and how long that took.
    ///
    /// # Errors
    /// It cannot be run, ends, or does not listen within `patience`.
    pub async fn start(&self, patience: Duration) -> Result<(Server, Duration), String> {
        let since = Instant::now();
        let mut child = self.command()?.spawn().map_err(|error| format!("{}: {error}", self.program.display()))?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let (Some(pid), Some(output)) = (id, child.stdout.take()) else { return Err("the server has ended".into()) };
        let mut lines = BufReader::new(output).lines();
        let listening = async {
            while let Some(line) = lines.next_line().await.map_err(|error| error.to_string())? {
                if line.starts_with("listening http ") {
                    return Ok(());
                }
            }
            Err("it ended".to_owned())
        };
        let outcome = timeout(patience, listening).await.unwrap_or_else(|_| Err(format!("not in {patience:?}")));
        let log = self.log();
        outcome.map_err(|why| format!("the server did not start: {why}; its log is {}", log.display()))?;
        Ok((Server { child, pid, _output: lines }, since.elapsed()))
    }

    /// Lines that a server wrote of faults of its own, over all starts.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn faults_logged(&self) -> Result<u64, String> {
        let log = self.log();
        let text = fs::read_to_string(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let fault = |line: &&str| line.contains(" ERROR ") || line.contains("panicked at");
        Ok(text.lines().filter(fault).count() as u64)
    }

    fn command(&self) -> Result<Command, String> {
        let log = self.log();
        let told = |error: std::io::Error| format!("{}: {error}", log.display());
        fs::create_dir_all(&self.data_dir).map_err(told)?;
        let log = OpenOptions::new().create(true).append(true).open(&log).map_err(told)?;
        let mut command = Command::new(&self.program);
        command.arg("serve").arg("--config").arg(&self.config).arg("--data-dir").arg(&self.data_dir);
        command.args(["--http", &self.address.to_string(), "--metrics", "127.0.0.1:0"]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        Ok(command)
    }

    fn log(&self) -> PathBuf {
        self.data_dir.join(LOG)
    }
}

impl Server {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits until it has ended, though nobody told it to.
    pub async fn ended(&mut self) -> String {
        told(self.child.wait().await)
    }

    /// Asks it to end (SIGTERM): how long that took.
    ///
    /// # Errors
    /// It did not end within `patience`, or with another status than 0.
    pub async fn stop(self, patience: Duration) -> Result<Duration, String> {
        self.end(Signal::TERM, patience, ExitStatus::success).await
    }

    /// Kills it (SIGKILL): how long that took.
    ///
    /// # Errors
    /// It was not gone within `patience`.
    pub async fn kill(self, patience: Duration) -> Result<Duration, String> {
        self.end(Signal::KILL, patience, |_| true).await
    }

    async fn end(
        mut self,
        signal: Signal,
        patience: Duration,
        rightly: fn(&ExitStatus) -> bool,
    ) -> Result<Duration, String> {
        let since = Instant::now();
        kill_process(self.pid, signal).map_err(|error| format!("signal to the server: {error}"))?;
        match timeout(patience, self.child.wait()).await {
            Ok(Ok(status)) if rightly(&status) => Ok(since.elapsed()),
            Ok(ended) => Err(format!("the server ended on a signal with {}", told(ended))),
            Err(_) => Err(format!("the server did not end within {patience:?} of a signal")),
        }
    }
}

fn told(ended: std::io::Result<ExitStatus>) -> String {
    ended.map_or_else(|error| error.to_string(), |status| status.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const LONG: Duration = Duration::from_secs(60);

    fn launch(behaviour: &str) -> (Launch, TempDir) {
        let folder = TempDir::new().unwrap();
        let launch = Launch {
            program: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake/server.sh").into(),
            config: folder.path().join("config.toml"),
            data_dir: folder.path().join("data"),
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            environment: vec![("BEHAVIOUR", behaviour.into())],
        };
        (launch, folder)
    }

    #[tokio::test]
    async fn a_server_that_ends_as_it_is_asked_to_has_stopped() {
        let (launch, folder) = launch("right");
        let (server, _) = launch.start(LONG).await.unwrap();
        let line = fs::read_to_string(format!("/proc/{}/cmdline", server.pid())).unwrap().replace('\0', " ");
        let folder = folder.path().display();
        let told = format!("serve --config {folder}/config.toml --data-dir {folder}/data --http 127.0.0.1:1");
        assert!(line.contains(&told), "{line}");
        server.stop(LONG).await.unwrap();
        assert_eq!(launch.faults_logged(), Ok(0));
    }

    #[tokio::test]
    async fn another_status_than_0_is_no_stop_but_may_follow_a_kill() {
        let (launch, _folder) = launch("careless");
        let (server, _) = launch.start(LONG).await.unwrap();
        let why = server.stop(LONG).await.unwrap_err();
        assert!(why.starts_with("the server ended on a signal with signal: 15"), "{why}");
        let (mut server, _) = launch.start(LONG).await.unwrap();
        kill_process(server.pid, Signal::KILL).unwrap();
        assert!(server.ended().await.starts_with("signal: 9"));
        let (server, _) = launch.start(LONG).await.unwrap();
        server.kill(LONG).await.unwrap();
    }

    #[tokio::test]
    async fn a_server_that_does_not_hear_is_waited_for_only_so_long() {
        let (launch, _folder) = launch("deaf");
        let (server, _) = launch.start(LONG).await.unwrap();
        let why = server.stop(Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(why, "the server did not end within 50ms of a signal");
    }

    #[tokio::test]
    async fn a_server_that_does_not_listen_has_not_started() {
        let (launch, _folder) = launch("absent");
        let why = launch.start(LONG).await.unwrap_err();
        assert!(why.starts_with("the server did not start: it ended; its log is"), "{why}");
        assert_eq!(launch.faults_logged(), Ok(1));
    }
}
