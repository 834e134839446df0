//! Stopping in two stages: first nothing new is taken and what runs may finish; when the grace is over, everything ends.

use std::{future::Future, time::Duration};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The server's life: who runs, and whether it is time to go. Clones share one life.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    draining: CancellationToken,
    ended: CancellationToken,
    tasks: TaskTracker,
}

impl Lifecycle {
    /// A life that has begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `task` until it ends; a stop waits for it.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task);
    }

    /// Ends when the server starts to stop: take nothing new, finish what you have.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Whether the server has started to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Ends when the grace is over: drop everything.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Stops: soft at once, hard after `grace`. Answers whether everything had ended before the grace was over.
    pub async fn stop(&self, grace: Duration) -> bool {
        self.draining.cancel();
        self.tasks.close();
        let drained = tokio::time::timeout(grace, self.tasks.wait()).await.is_ok();
        self.ended.cancel();
        // What is still there now only has to notice; it is not waited for without end.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.tasks.wait()).await;
        drained
    }
}

/// From now on, a write beyond the limit on the size of files (`RLIMIT_FSIZE`) fails as one on a full disk does, and no longer
/// ends the process.
///
/// # Errors
/// The signal handler cannot be installed.
pub fn survive_file_size_limit() -> std::io::Result<()> {
    /// SIGXFSZ on Linux (but for MIPS) and on macOS.
    const FILE_SIZE_EXCEEDED: i32 = 25;
    // The handler outlives this handle; nobody needs to hear of it.
    signal(SignalKind::from_raw(FILE_SIZE_EXCEEDED)).map(drop)
}

/// SIGTERM and SIGINT, which no longer end the process by themselves once this has been made.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over. Call it inside a tokio runtime, before others are told that the server runs.
    ///
    /// # Errors
    /// The signal handlers cannot be installed.
    pub fn take_over() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The name of the next signal, once it comes.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_in_time_is_waited_for() {
        let life = Lifecycle::new();
        let inner = life.clone();
        life.spawn(async move { inner.draining().await });
        assert!(life.stop(Duration::from_secs(5)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_is_told_so_after_the_grace() {
        let life = Lifecycle::new();
        let inner = life.clone();
        life.spawn(async move { inner.ended().await });
        assert!(!life.stop(Duration::from_secs(5)).await);
    }
}
