//! The real `kizuna` as a process of the test's own.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

/// No development provider: custom ids are taken as they are.
pub const PLAIN: &[(&str, &str)] = &[("KIZUNA_DEV_PROVIDER_ENABLED", "false")];

/// A server process; killed when dropped.
pub struct Process {
    pub child: Child,
    pub http: SocketAddr,
    /// Everything printed on standard output up to and including the addresses.
    pub printed: Vec<String>,
    pub output: BufReader<ChildStdout>,
    log: PathBuf,
}

/// The command, in `data`.
pub fn kizuna(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kizuna"));
    command.current_dir(data).env_remove("KIZUNA_CONFIG");
    command
}

/// `serve` on free ports, with its data in `data`.
pub fn serve(data: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = kizuna(data);
    command.args(["serve", "--data-dir", ".", "--http", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]);
    command.env("KIZUNA_LOGGER_LEVEL", "warn").envs(settings.iter().copied());
    command
}

impl Process {
    /// A server on `data`; its log goes to a file in there.
    pub fn start(data: &Path, settings: &[(&str, &str)]) -> Self {
        let log = data.join("stderr.log");
        let mut child = serve(data, settings)
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("a log file"))
            .spawn()
            .expect("the server starts");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut printed = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).expect("readable"), 0, "the server ended: {printed:?}");
            printed.push(line.trim_end().to_owned());
            if line.starts_with("listening metrics") {
                break;
            }
        }
        let http = address_in(&printed, "http").expect("its address");
        Self { child, http, printed, output, log }
    }

    /// Where its development provider is, if that is on.
    pub fn dev_provider(&self) -> Option<SocketAddr> {
        address_in(&self.printed, "dev_provider")
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("readable")
    }

    /// Sends it a signal, such as `-TERM`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(status.success());
    }

    /// Ends it cleanly.
    pub fn terminate(&mut self) {
        self.signal("-TERM");
        assert_eq!(self.child.wait().expect("it ends").code(), Some(0));
    }
}

fn address_in(printed: &[String], what: &str) -> Option<SocketAddr> {
    let address = printed.iter().find_map(|line| line.strip_prefix("listening ")?.strip_prefix(what));
    address.map(|address| address.trim().parse().expect("an address"))
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
