//! Stopping in two stages: first nothing new is taken and what runs may finish; when the grace is over, everything ends. And where
//! tasks run: play apart from what can wait.

#[cfg(target_os = "linux")]
use rustix::process::{getpriority_process, setpriority_process};
use std::{future::Future, io, time::Duration};
use tokio::{
    net::TcpStream,
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The server's life: who runs, and whether it is time to go. Clones share one life.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    draining: CancellationToken,
    ended: CancellationToken,
    tasks: TaskTracker,
    apart: Option<Apart>,
}

/// Two runtimes with threads of their own. Those that serve requests yield to those that serve sockets (see [`yield_to_play`]), so
/// that no burst of logins stands between a player and a message (docs/decisions/0031-requests-yield-to-play.md).
#[derive(Clone, Debug)]
struct Apart {
    sockets: Handle,
    requests: Handle,
}

impl Lifecycle {
    /// A life that has begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with sockets served by the runtime that this is called in, and requests by another, which must have threads of its own.
    ///
    /// # Panics
    /// Outside a runtime.
    #[must_use]
    pub fn with_requests_on(self, requests: Handle) -> Self {
        Self { apart: Some(Apart { sockets: Handle::current(), requests }), ..self }
    }

    /// Runs `task` until it ends, where its caller runs; a stop waits for it.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task);
    }

    /// As [`Self::spawn`], on the side of play.
    pub fn spawn_for_sockets<F>(&self, task: F)
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match &self.apart {
            Some(apart) => self.tasks.spawn_on(task, &apart.sockets),
            None => self.tasks.spawn(task),
        };
    }

    /// As [`Self::spawn`], on the side of what can wait: requests, passes of the matchmaker, deliveries.
    pub fn spawn_for_requests<F>(&self, task: F)
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match &self.apart {
            Some(apart) => self.tasks.spawn_on(task, &apart.requests),
            None => self.tasks.spawn(task),
        };
    }

    /// Does `make` where requests are served: what it spawns or opens belongs there.
    pub fn for_requests<T>(&self, make: impl FnOnce() -> T) -> T {
        let _there = self.apart.as_ref().map(|apart| apart.requests.enter());
        make()
    }

    /// Moves a stream that was opened on one side to the side that this is called on: readiness is told where it is waited for.
    ///
    /// # Errors
    /// The system does not watch it (any more).
    pub fn adopt(&self, stream: TcpStream) -> io::Result<TcpStream> {
        match self.apart {
            Some(_) => TcpStream::from_std(stream.into_std()?),
            None => Ok(stream),
        }
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

/// Gives the calling thread a lower priority: `nice` more than it has, on Linux, where a thread has one of its own; elsewhere nothing.
/// It still gets all the time that others leave.
pub fn yield_to_play(nice: u8) {
    #[cfg(target_os = "linux")]
    if nice > 0 {
        // Where the system refuses, the thread stays as it is: that costs play some latency and nothing else.
        let _ = getpriority_process(None).and_then(|now| setpriority_process(None, now + i32::from(nice)));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = nice;
}

/// From now on, a write beyond the limit on the size of files (`RLIMIT_FSIZE`) fails as one on a full disk does, and no longer
/// ends the process.
///
/// # Errors
/// The signal handler cannot be installed.
pub fn survive_file_size_limit() -> io::Result<()> {
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
    pub fn take_over() -> io::Result<Self> {
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

    #[test]
    fn sockets_and_requests_run_apart_and_a_stop_waits_for_both() {
        let named = |name: &str| {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name(name)
                .enable_all()
                .build()
                .unwrap()
        };
        let (sockets, requests) = (named("sockets"), named("requests"));
        let side = || std::thread::current().name().map(str::to_owned);
        let (told, heard) = std::sync::mpsc::channel();
        let handle = requests.handle().clone();
        let drained = sockets.block_on(async {
            let life = Lifecycle::new().with_requests_on(handle);
            let (first, second) = (told.clone(), told);
            let inner = life.clone();
            life.spawn_for_requests(async move {
                first.send(side()).unwrap();
                inner.spawn_for_sockets(async move { second.send(side()).unwrap() });
            });
            life.stop(Duration::from_secs(60)).await
        });
        assert!(drained);
        assert_eq!(heard.iter().map(Option::unwrap).collect::<Vec<_>>(), ["requests", "sockets"]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn only_the_calling_thread_yields() {
        let here = getpriority_process(None).unwrap();
        let there = std::thread::spawn(|| {
            yield_to_play(3);
            getpriority_process(None).unwrap()
        });
        assert_eq!(there.join().unwrap(), (here + 3).min(19));
        assert_eq!(getpriority_process(None).unwrap(), here);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_is_told_so_after_the_grace() {
        let life = Lifecycle::new();
        let inner = life.clone();
        life.spawn(async move { inner.ended().await });
        assert!(!life.stop(Duration::from_secs(5)).await);
    }
}
