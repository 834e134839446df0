//! A server at a time that stands still, on a data folder of its own.

use kizuna::{
    app::{Running, Server},
    clock::{Clock, Entropy},
    config::Config,
    features::Services,
};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::runtime::{Builder, EnterGuard, Runtime};

/// Seconds since 1970; the tokens of tests/identity are good then.
pub(crate) const NOW: i64 = 1_800_000_000;

/// Its tasks do not run while something is counted: nothing drives the runtime then.
pub(crate) struct Still {
    running: Running,
    runtime: Runtime,
    _folder: TempDir,
}

impl Still {
    pub(crate) fn start(change: impl FnOnce(&mut Config)) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let mut config = Config { data_dir: folder.path().to_owned(), ..Config::default() };
        (config.socket.address, config.socket.port) = ("127.0.0.1".to_owned(), 0);
        (config.metrics.enabled, config.dev_provider.enabled) = (false, false);
        change(&mut config);
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let server = Server::builder(config).with_time(Clock::manual(NOW), Entropy::seeded(7));
        let running = runtime.block_on(server.start()).expect("the server starts");
        Self { running, runtime, _folder: folder }
    }

    pub(crate) fn services(&self) -> &Arc<Services> {
        self.running.services()
    }

    /// Drives what is to happen before something is counted.
    pub(crate) fn wait_for<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(what)
    }

    /// For what starts tasks without waiting for them.
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }
}
