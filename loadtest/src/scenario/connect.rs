//! Opening sockets and holding them.

use super::{Ledger, Run, gather, workers};
use crate::{
    args::{ConnectOptions, Formats},
    nakama::{Buffers, Socket, socket_fault},
    pacing::Pace,
    player::close_fault,
    process::{Per, Snapshot},
    report::Phase,
    stats::{Fault, Faults},
};
use futures_util::StreamExt;
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tokio_tungstenite::tungstenite::Message;

/// How long memory is given to settle before it is read.
const SETTLE: Duration = Duration::from_secs(1);
/// How long a server may take to answer a goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// Opens, holds, closes.
///
/// # Errors
/// The players could not sign in.
pub async fn run(run: &Run, options: &ConnectOptions) -> Result<Vec<Phase>, String> {
    let tokens = run.sessions(options.count).await?;
    tokio::time::sleep(SETTLE).await;
    let faults = Arc::new(Faults::default());
    let ledger = Ledger::new("connect", &faults);
    let idle = Idle::default();
    let before = run.processes.snapshot();
    let start = Instant::now();
    let progress = run.progress("connect", vec![("opened", ledger.meter.clone())], &faults);
    let pace = Arc::new(Pace::count(start, options.rate, options.count));
    idle.open(run, &pace, tokens, options.opening, options.format, &ledger).await;
    let (open_seconds, opened) = (start.elapsed().as_secs_f64(), run.processes.snapshot());
    tokio::time::sleep(options.hold).await;
    let (seconds, held) = (start.elapsed().as_secs_f64(), run.processes.snapshot());
    drop(progress);
    let mut open = opening(run, &ledger, open_seconds, [&before, &opened]);
    let per = Per { operations: 0, connections: ledger.meter.done() };
    let mut hold = Phase {
        name: "hold".to_owned(),
        seconds: seconds - open_seconds,
        processes: run.processes.usage(&opened, &held, seconds - open_seconds, Per::default()),
        ..Phase::default()
    };
    // Memory counts from before the first socket was opened to the end of the hold.
    let whole = run.processes.usage(&before, &held, seconds, per);
    for (process, whole) in hold.processes.iter_mut().zip(whole) {
        process.bytes_per_connection = whole.bytes_per_connection;
        process.resident_before = whole.resident_before;
    }
    open.errors = faults.kinds();
    hold.counts.insert("sockets open at the end".to_owned(), idle.open_now());
    let during = faults.total();
    idle.close().await;
    if faults.total() > during {
        hold.errors.insert("goodbye unanswered".to_owned(), faults.total() - during);
    }
    Ok(vec![open, hold, closing(run, &held).await])
}

fn opening(run: &Run, ledger: &Ledger, seconds: f64, [before, opened]: [&Snapshot; 2]) -> Phase {
    let done = ledger.meter.done();
    let per = Per { operations: done, connections: 0 };
    Phase {
        name: "open".to_owned(),
        seconds,
        operations: BTreeMap::from([("connect".to_owned(), ledger.meter.operation(done, seconds))]),
        processes: run.processes.usage(before, opened, seconds, per),
        ..Phase::default()
    }
}

async fn closing(run: &Run, held: &Snapshot) -> Phase {
    tokio::time::sleep(SETTLE).await;
    let after = run.processes.snapshot();
    let seconds = SETTLE.as_secs_f64();
    let processes = run.processes.usage(held, &after, seconds, Per::default());
    Phase { name: "after closing".to_owned(), seconds, processes, ..Phase::default() }
}

/// Sockets that only wait.
#[derive(Debug)]
pub(super) struct Idle {
    stop: watch::Sender<bool>,
    /// Held to add or take one.
    holders: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Default for Idle {
    fn default() -> Self {
        Self { stop: watch::Sender::new(false), holders: Arc::default() }
    }
}

impl Idle {
    /// Opens a socket for each token at its turn.
    pub(super) async fn open(
        &self,
        run: &Run,
        pace: &Arc<Pace>,
        tokens: Vec<String>,
        opening: usize,
        formats: Formats,
        ledger: &Ledger,
    ) {
        let tokens = Arc::new(tokens);
        let openers = workers(opening, |worker| {
            let (run, pace, tokens, ledger) = (run.clone(), pace.clone(), tokens.clone(), ledger.clone());
            let (stop, holders) = (self.stop.subscribe(), self.holders.clone());
            async move {
                while let Some(turn) = pace.take(&run.timer).await {
                    let Some(token) = usize::try_from(turn.number).ok().and_then(|number| tokens.get(number)) else {
                        return;
                    };
                    let opened = run.api.socket(token, formats.of(turn.number), Buffers::Small).await;
                    if let Some(socket) = ledger.write(worker, turn, opened) {
                        let holder = tokio::spawn(hold(socket, stop.clone(), ledger.clone()));
                        holders.lock().push(holder);
                    }
                }
            }
        });
        openers.join_all().await;
    }

    /// Sockets that are still open.
    pub(super) fn open_now(&self) -> u64 {
        self.holders.lock().iter().filter(|holder| !holder.is_finished()).count() as u64
    }

    /// Says goodbye on all of them.
    pub(super) async fn close(&self) {
        self.stop.send_replace(true);
        let holders = std::mem::take(&mut *self.holders.lock());
        gather(holders).await;
    }
}

async fn hold(mut socket: Socket, mut stop: watch::Receiver<bool>, ledger: Ledger) {
    let lost = tokio::select! {
        fault = lost(&mut socket) => Some(fault),
        _ = stop.wait_for(|stop| *stop) => None,
    };
    if let Some(fault) = lost {
        ledger.faults.add("hold", &fault);
        return;
    }
    let goodbye = async {
        let _ = socket.close(None).await;
        while let Some(Ok(_)) = socket.next().await {}
    };
    if tokio::time::timeout(GOODBYE, goodbye).await.is_err() {
        ledger.faults.add("hold", &Fault::new("goodbye unanswered"));
    }
}

/// Reads, so that pings are answered, until the socket is gone; says why.
async fn lost(socket: &mut Socket) -> Fault {
    loop {
        match socket.next().await {
            Some(Ok(Message::Close(frame))) => return close_fault(frame.as_ref()),
            Some(Ok(_)) => {}
            Some(Err(error)) => return socket_fault(error),
            None => return Fault::new("socket closed"),
        }
    }
}
