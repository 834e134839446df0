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
    /// `text` is a configuration, such as the trust that the harness prints.
    pub(crate) fn start(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let mut config: Config = toml(text);
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
