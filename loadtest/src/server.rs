//! A server of the harness's own: started, stopped, killed, and started again.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    env,
    ffi::OsString,
    fs::{self, OpenOptions},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::{Instant, timeout},
};

/// What is told of the log of a server that did not start.
const LAST_LINES: usize = 20;

/// How a server is started, each time the same.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Its command, which prints `listening http ADDRESS` once it listens.
    pub program: PathBuf,
    /// The command's arguments.
    pub arguments: Vec<OsString>,
    /// What its log is added to, in a folder that is made if it is not there.
    pub log: PathBuf,
    /// What wins over the configuration. Other settings of Kizuna's in the environment of the harness are kept from it.
    pub environment: Vec<(&'static str, String)>,
}

/// Kizuna's arguments: its configuration, the folder for everything that it keeps, and where it listens; port 0 takes a free one.
pub fn kizuna(config: &Path, data_dir: &Path, address: SocketAddr) -> Vec<OsString> {
    let (http, metrics) = (address.to_string(), "127.0.0.1:0");
    let mut arguments: Vec<OsString> = vec!["serve".into(), "--config".into(), config.into()];
    arguments.extend(["--data-dir".into(), data_dir.into()]);
    arguments.extend(["--http", &http, "--metrics", metrics].map(OsString::from));
    arguments
}

/// A server that runs; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    pid: Pid,
    /// Where it listens, as it says itself.
    pub address: SocketAddr,
    /// Kept open: who prints to a closed pipe is told so by a signal.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Launch {
    /// Starts it, and waits until it listens: the server, and how long that took.
    ///
    /// # Errors
    /// It cannot be run, ends, or does not listen within `patience`; with the end of its log.
    pub async fn start(&self, patience: Duration) -> Result<(Server, Duration), String> {
        let since = Instant::now();
        let mut child = self.command()?.spawn().map_err(|error| format!("{}: {error}", self.program.display()))?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let (Some(pid), Some(output)) = (id, child.stdout.take()) else { return Err("the server has ended".into()) };
        let mut lines = BufReader::new(output).lines();
        let listening = async {
            while let Some(line) = lines.next_line().await.map_err(|error| error.to_string())? {
                if let Some(address) = line.strip_prefix("listening http ") {
                    return address.parse().map_err(|error| format!("{address}: {error}"));
                }
            }
            Err("it ended before it had started".to_owned())
        };
        let outcome = timeout(patience, listening).await.unwrap_or_else(|_| Err(format!("not in {patience:?}")));
        let address = outcome.map_err(|why| format!("the server did not start: {why}{}", self.end_of_log()))?;
        Ok((Server { child, pid, address, _output: lines }, since.elapsed()))
    }

    /// Lines that a server wrote of faults of its own, over all starts.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn faults_logged(&self) -> Result<u64, String> {
        let text = fs::read_to_string(&self.log).map_err(|error| format!("{}: {error}", self.log.display()))?;
        let fault = |line: &&str| line.contains(" ERROR ") || line.contains("panicked at");
        Ok(text.lines().filter(fault).count() as u64)
    }

    /// Where its log is and the last lines of it, to be told after what went wrong.
    pub fn end_of_log(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        let last: String = last.iter().map(|line| format!("\n  {line}")).collect();
        format!("; its log is {}{last}", self.log.display())
    }

    fn command(&self) -> Result<Command, String> {
        let told = |error: std::io::Error| format!("{}: {error}", self.log.display());
        self.log.parent().map_or(Ok(()), fs::create_dir_all).map_err(told)?;
        let log = OpenOptions::new().create(true).append(true).open(&self.log).map_err(told)?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        // What the caller has set for servers of its own would change what is measured.
        for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"KIZUNA_")) {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        Ok(command)
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
            arguments: kizuna(
                &folder.path().join("config.toml"),
                &folder.path().join("data"),
                SocketAddr::from(([127, 0, 0, 1], 1)),
            ),
            log: folder.path().join("log"),
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
        assert!(why.starts_with("the server did not start: it ended before it had started; its log is"), "{why}");
        assert!(why.ends_with("/log\n  x ERROR no address"), "{why}");
        assert_eq!(launch.faults_logged(), Ok(1));
    }

    #[test]
    fn of_a_long_log_the_last_lines_are_told() {
        let (launch, _folder) = launch("absent");
        let lines: String = (1..=LAST_LINES + 1).map(|number| format!("line {number}\n")).collect();
        fs::write(&launch.log, lines).unwrap();
        let told = launch.end_of_log();
        assert!(told.contains("/log\n  line 2\n") && told.ends_with("\n  line 21"), "{told}");
    }
}
