//! Where curves are measured: servers in scratch folders, and scenarios against them as processes of their own, whose memory and
//! processor time do not mix with what was run before.

use crate::{
    report::{Phase, ProcessUse, Report},
    servers::Server,
    target::raise_open_files,
};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

/// How long one scenario may take.
const PATIENCE: Duration = Duration::from_secs(1_800);
/// Servers without the development provider, whose players sign in by plain ids; sessions outlast what is measured.
const CONFIG: &str = "[dev_provider]\nenabled = false\n[session]\ntoken_expiry_sec = 3600\n";

/// The programs, and a place for their files.
#[derive(Debug)]
pub(super) struct Bench {
    kizuna: PathBuf,
    harness: PathBuf,
    scratch: TempDir,
    /// Open files that a process may have.
    open_files: u64,
}

impl Bench {
    /// `kizuna` is the server; without it the one beside this program.
    pub(super) fn new(kizuna: Option<&Path>) -> Result<Self, String> {
        let harness = std::env::current_exe().map_err(|error| format!("the path of this program: {error}"))?;
        let kizuna = kizuna.map_or_else(|| harness.with_file_name("kizuna"), Path::to_owned);
        if !kizuna.is_file() {
            return Err(format!("{}: no such server; name one with --kizuna", kizuna.display()));
        }
        let scratch = TempDir::with_prefix("kizuna-growth-").map_err(|error| format!("a scratch folder: {error}"))?;
        Ok(Self { kizuna, harness, scratch, open_files: raise_open_files() })
    }

    /// Refuses sizes that the limit on open files does not allow.
    pub(super) fn has_room_for(&self, sockets: u64) -> Result<(), String> {
        if sockets.saturating_add(128) <= self.open_files {
            return Ok(());
        }
        Err(format!("the limit on open files is {}: raise it with ulimit -n, or ask for fewer", self.open_files))
    }

    /// An empty folder; what was in it is deleted.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf, String> {
        let folder = self.scratch.path().join(name);
        let told = |error| format!("{}: {error}", folder.display());
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(told)?;
        }
        fs::create_dir_all(&folder).map_err(told)?;
        Ok(folder)
    }

    /// A file of the scratch folder.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// A server on what lies in `folder`.
    pub(super) async fn server(&self, folder: &Path) -> Result<Server, String> {
        Server::start(&self.kizuna, CONFIG, folder).await
    }

    /// Runs `line`, which names a scenario and its options, against a server.
    ///
    /// # Errors
    /// The scenario could not be run, or something failed or was lost in it.
    pub(super) async fn run(&self, server: &Server, line: &str) -> Result<Report, String> {
        self.run_with(server, line, &[]).await
    }

    /// The same with further arguments, which may hold spaces.
    pub(super) async fn run_with(&self, server: &Server, line: &str, more: &[OsString]) -> Result<Report, String> {
        let out = self.file("report.json");
        let child = Command::new(&self.harness)
            .args(line.split(' '))
            .args(more)
            .args(["--quiet", "--base", &server.base.to_string(), "--pid", &server.pid.to_string(), "--out"])
            .arg(&out)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{}: {error}", self.harness.display()))?;
        let ended = timeout(PATIENCE, child.wait_with_output()).await;
        let output =
            ended.map_err(|_| format!("{line}: took too long"))?.map_err(|error| format!("{line}: {error}"))?;
        match output.status.code() {
            Some(0) => Report::read(&out),
            Some(1) => Err(format!("{line}: not clean\n{}", Report::read(&out)?)),
            _ => Err(format!("{line}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        }
    }
}

/// The phase of that name.
pub(super) fn phase<'a>(report: &'a Report, name: &str) -> Result<&'a Phase, String> {
    report.phases.iter().find(|phase| phase.name == name).ok_or_else(|| format!("no phase \"{name}\""))
}

/// What the server spent in a phase.
pub(super) fn server_use(phase: &Phase) -> Result<&ProcessUse, String> {
    phase.processes.iter().find(|process| !process.harness).ok_or_else(|| "the server was not watched".to_owned())
}

/// The server's processor time for each operation of a phase, in microseconds.
pub(super) fn microseconds_each(phase: &Phase) -> Result<f64, String> {
    server_use(phase)?.us_per_operation.ok_or_else(|| format!("{}: nothing was done", phase.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;

    #[test]
    fn a_server_that_is_not_there_is_named() {
        let why = Bench::new(Some(Path::new("no/such/kizuna"))).unwrap_err();
        assert!(why.starts_with("no/such/kizuna: no such server"), "{why}");
    }

    #[test]
    fn more_sockets_than_may_be_open_are_refused_before_anything_is_started() {
        let bench = Bench::new(Some(&std::env::current_exe().unwrap())).unwrap();
        assert!(bench.has_room_for(1).is_ok());
        assert!(bench.has_room_for(u64::from(u32::MAX)).unwrap_err().contains("ulimit -n"));
    }

    #[test]
    fn folders_are_empty_when_they_are_asked_for_again() {
        let bench = Bench::new(Some(&std::env::current_exe().unwrap())).unwrap();
        fs::write(bench.folder("one").unwrap().join("file"), "text").unwrap();
        assert_eq!(fs::read_dir(bench.folder("one").unwrap()).unwrap().count(), 0);
    }

    #[test]
    fn the_servers_share_of_a_phase_is_told_from_the_harness() {
        let report = example(1.0, 0);
        let found = phase(&report, "match").unwrap();
        assert_eq!(server_use(found).unwrap().name, "floor");
        assert_eq!(microseconds_each(found), Ok(9.5));
        assert!(phase(&report, "hold").is_err() && microseconds_each(&Phase::default()).is_err());
    }
}
