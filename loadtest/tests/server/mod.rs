//! The real server, on free ports, trusting whom a test says.

use kizuna::{
    app::{Running, Server},
    config::{Config, Overrides},
};
use std::net::SocketAddr;
use tempfile::TempDir;

/// A server with a runtime of its own; it ends when dropped.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    _running: Running,
    _runtime: tokio::runtime::Runtime,
    _folder: TempDir,
}

impl TestServer {
    /// `trust` is a configuration as the harness prints it.
    pub(crate) fn trusting(trust: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let mut config: Config = toml(trust);
        config.data_dir = folder.path().to_owned();
        config.socket.port = 0;
        config.metrics.port = 0;
        config.dev_provider.enabled = false;
        config.dev_provider.port = 0;
        config.logger.level = "warn".into();
        // Unknown keys cause a fetch at once, and a fetch that hangs ends sooner than by default.
        config.identity.jwks_unknown_key_wait_sec = 0;
        config.identity.jwks_timeout_ms = 2_000;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let running = runtime.block_on(Server::builder(config).start()).unwrap();
        Self { address: running.http(), _running: running, _runtime: runtime, _folder: folder }
    }
}

fn toml(text: &str) -> Config {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config.toml");
    std::fs::write(&file, text).unwrap();
    Config::load(Some(&file), std::iter::empty(), &Overrides::default()).unwrap()
}

/// A port of the loopback interface that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
