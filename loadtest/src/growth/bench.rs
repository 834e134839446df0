//! Where curves are measured: servers in scratch folders, and scenarios against them.

use crate::{
    report::{Phase, ProcessUse, Report},
    target::raise_open_files,
    trial::{self, CONFIGURATION, Place, Program, Server, executable},
};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// The server that is measured, and a place for its files.
#[derive(Debug)]
pub(super) struct Bench {
    kizuna: Program,
    scratch: TempDir,
    /// Open files that a process may have.
    open_files: u64,
}

impl Bench {
    /// `kizuna` is the server; without it the one beside this program.
    pub(super) fn new(kizuna: Option<&Path>) -> Result<Self, String> {
        let kizuna = Program::Kizuna(executable(kizuna, "kizuna")?);
        let scratch = TempDir::with_prefix("kizuna-growth-").map_err(|error| format!("a scratch folder: {error}"))?;
        Ok(Self { kizuna, scratch, open_files: raise_open_files() })
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

    /// A server on what lies in `folder`, which answers.
    pub(super) async fn server(&self, folder: &Path) -> Result<Server, String> {
        let config = folder.join("config.toml");
        fs::write(&config, CONFIGURATION).map_err(|error| format!("{}: {error}", config.display()))?;
        let place = Place { config: &config, data: &data_folder(folder), scratch: folder };
        let server = Server::start(&self.kizuna, &place).await?;
        server.answers().await?;
        Ok(server)
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
        let mut scenario = server.scenario(line)?;
        scenario.args(more);
        let report = trial::report(scenario, server.pid, &self.file("report.json")).await;
        let report = report.map_err(|why| format!("{line}: {why}"))?;
        if report.is_clean() { Ok(report) } else { Err(format!("{line}: not clean\n{report}")) }
    }
}

/// Where a server that was started in `folder` keeps its data.
pub(super) fn data_folder(folder: &Path) -> PathBuf {
    folder.join("data")
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
