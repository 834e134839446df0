//! The real `kizuna` as a process of the test's own.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// No development provider: custom ids are taken as they are.
pub const PLAIN: &[(&str, &str)] = &[("KIZUNA_DEV_PROVIDER_ENABLED", "false")];

/// A server process; killed when dropped.
pub struct Process {
    pub child: Child,
    pub http: SocketAddr,
    pub dev_provider: Option<SocketAddr>,
    log: PathBuf,
}

/// The command, in `data`.
pub fn kizuna(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kizuna"));
    command.current_dir(data).env_remove("KIZUNA_CONFIG");
    command
}

impl Process {
    /// A server on `data`; its log goes to a file beside it.
    pub fn start(data: &Path, settings: &[(&str, &str)]) -> Self {
        let log = data.join("stderr.log");
        let mut child = kizuna(data)
            .args(["serve", "--data-dir", ".", "--http", "127.0.0.1:0", "--metrics", "127.0.0.1:0"])
            .env("KIZUNA_LOGGER_LEVEL", "warn")
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("a log file"))
            .spawn()
            .expect("the server starts");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let (mut http, mut dev_provider) = (None, None);
        loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).expect("readable"), 0, "the server ended");
            let address = |line: &str| line.trim().parse().expect("an address");
            if let Some(rest) = line.strip_prefix("listening http ") {
                http = Some(address(rest));
            } else if let Some(rest) = line.strip_prefix("listening dev_provider ") {
                dev_provider = Some(address(rest));
            } else if line.starts_with("listening metrics") {
                break;
            }
        }
        // Nobody reads its output from here on, which it must not mind.
        Self { child, http: http.expect("its address"), dev_provider, log }
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("readable")
    }

    /// Ends it cleanly.
    pub fn terminate(&mut self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill runs");
        assert!(status.success());
        assert_eq!(self.child.wait().expect("it ends").code(), Some(0));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
