//! Servers for a moment, each with a folder and a port of its own.

use crate::{
    http::HttpConnection,
    server::{self, Launch, kizuna},
    target::{Base, Target},
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::Instant;

/// How long a server may take to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a single request may take.
const ANSWER: Duration = Duration::from_secs(10);

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Server {
    process: server::Server,
    /// Its process id.
    pub pid: u32,
    /// Its base URL.
    pub base: Base,
    /// From starting the process to its first answer.
    pub started_in: Duration,
}

impl Server {
    /// Starts Kizuna (`program`) on free ports with the configuration `config`. Everything of it lies in `folder`, which must be there:
    /// `config.toml`, `server.log`, and its data in `data`.
    ///
    /// # Errors
    /// The files cannot be written, or the server ended or did not answer within a minute; with the end of its log.
    pub async fn start(program: &Path, config: &str, folder: &Path) -> Result<Self, String> {
        let (settings, log) = (folder.join("config.toml"), folder.join("server.log"));
        fs::write(&settings, config).map_err(|error| format!("{}: {error}", folder.display()))?;
        let begun = Instant::now();
        let launch = Launch {
            program: program.to_owned(),
            arguments: kizuna(&settings, &data_folder(folder), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            log,
            environment: Vec::new(),
        };
        let (process, _) = launch.start(PATIENCE).await?;
        let base: Base = process.address.to_string().parse()?;
        answers(&base).await.map_err(|why| why + &launch.end_of_log())?;
        Ok(Self { pid: process.pid(), process, base, started_in: begun.elapsed() })
    }

    /// Ends it by SIGTERM, and says how long that took.
    ///
    /// # Errors
    /// It had ended before, did not end within a minute, or ended with another status than 0.
    pub async fn stop(self) -> Result<Duration, String> {
        self.process.stop(PATIENCE).await
    }
}

/// Where a server that was started in `folder` keeps its data.
pub fn data_folder(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// Waits for its first answer.
async fn answers(base: &Base) -> Result<(), String> {
    let request = Request::get("/healthcheck").header("host", &base.authority).body(Full::<Bytes>::default());
    let request = request.map_err(|error| error.to_string())?;
    let mut connection = HttpConnection::new(&Target::new(base.clone(), ANSWER, 1));
    let (status, _) = connection.call(request).await.map_err(|fault| format!("healthcheck: {fault}"))?;
    if status == StatusCode::OK { Ok(()) } else { Err(format!("healthcheck: http {status}")) }
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
    }
}
