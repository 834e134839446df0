//! A server under measurement: started on a free port, with a folder of its own, and ended.

use crate::{
    interrupt::Interrupt,
    server::{self, Launch, kizuna},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a server may take to listen: one that has much to read at its start, on a machine that does other things.
const STARTING: Duration = Duration::from_secs(120);
/// How long a server may take to end before it is killed.
const ENDING: Duration = Duration::from_secs(60);

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
    process: server::Server,
    /// Its process.
    pub pid: u32,
    /// Host and port that it serves.
    pub address: String,
}

impl Server {
    /// Starts `program` and waits until it listens. Kizuna takes its configuration, and keeps its data and its log, as `place` says.
    ///
    /// # Errors
    /// It cannot be started or ends, with the end of its log, or the measurement is interrupted.
    pub async fn start(program: &Program, place: &Place<'_>, interrupt: &Interrupt) -> Result<Self, String> {
        let launch = program.launch(place);
        let (process, _) = interrupt.or(launch.start(STARTING)).await??;
        Ok(Self { pid: process.pid(), address: process.address.to_string(), process })
    }

    /// Asks it to end (SIGTERM), waits until it has, and says how long that took. One that does not end is killed.
    ///
    /// # Errors
    /// It did not end, or with another status than 0.
    pub async fn stop(self) -> Result<Duration, String> {
        self.process.stop(ENDING).await
    }
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
    fn launch(&self, place: &Place<'_>) -> Launch {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (program, arguments) = match self {
            Self::Kizuna(program) => (program, kizuna(place.config, place.data, address)),
            Self::Floor(program) => (program, vec![address.to_string().into()]),
        };
        Launch { program: program.clone(), arguments, log: place.scratch.join("log"), environment: Vec::new() }
    }
}
