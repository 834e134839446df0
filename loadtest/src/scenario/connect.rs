//! Opening sockets and holding them.

use super::{
    Ledger, Run, gather,
    matches::{Entrance, enter},
    workers,
};
use crate::{
    args::{ConnectOptions, Formats},
    nakama::{Buffers, Socket, socket_fault},
    pacing::Pace,
    payload::Format,
    player::close_fault,
    process::{Per, Snapshot},
    progress::tell,
    report::Phase,
    stats::{Fault, Faults},
    tokens::unix_seconds,
};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_tungstenite::tungstenite::Message;

/// How long memory is given to settle after the last socket.
const SETTLE: Duration = Duration::from_secs(1);
/// How long it is given before the first, at most: an allocator keeps what is free for ten seconds or so.
const LONGEST_SETTLE: Duration = Duration::from_secs(12);
/// How long a server may take to answer a goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// Opens, holds, closes.
///
/// # Errors
/// The players could not sign in.
pub async fn run(run: &Run, options: &ConnectOptions) -> Result<Vec<Phase>, String> {
    let tokens = run.sessions(options.count).await?;
    // What signing in took is to be given back before it is read what sockets take.
    tokio::time::sleep(options.hold.clamp(SETTLE, LONGEST_SETTLE)).await;
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
    let mut during = faults.total();
    let mut phases = vec![open, hold];
    let mut last = held;
    if let Some(size) = options.matches_of {
        let (phase, played) = playing(run, options, size, &idle, &last).await;
        phases.push(phase);
        (last, during) = (played, faults.total());
    }
    idle.close().await;
    if let Some(phase) = phases.last_mut().filter(|_| faults.total() > during) {
        phase.errors.insert("goodbye unanswered".to_owned(), faults.total() - during);
    }
    phases.push(closing(run, &last).await);
    Ok(phases)
}

/// Has those who are there enter matches, and holds again: what a match costs beyond its sockets.
async fn playing(run: &Run, options: &ConnectOptions, size: u16, idle: &Idle, held: &Snapshot) -> (Phase, Snapshot) {
    let faults = Arc::new(Faults::default());
    let join = Ledger::new("join", &faults);
    let start = Instant::now();
    idle.enter_matches(u64::from(size), options.opening, &join).await;
    let joined_in = start.elapsed().as_secs_f64();
    tokio::time::sleep(options.hold).await;
    let (seconds, played) = (start.elapsed().as_secs_f64(), run.processes.snapshot());
    let matches = options.count.div_ceil(size.into());
    let mut phase = Phase {
        name: "in matches".to_owned(),
        detail: format!("{matches} of {size}"),
        seconds,
        operations: BTreeMap::from([("join".to_owned(), join.meter.operation(join.meter.done(), joined_in))]),
        processes: run.processes.usage(held, &played, seconds, Per::default()),
        errors: faults.kinds(),
        ..Phase::default()
    };
    phase.counts.insert("sockets open at the end".to_owned(), idle.open_now());
    // The harness comes last.
    if let [server, _, ..] = phase.processes.as_slice() {
        let most = options.most_match_bytes;
        match server.resident_after.checked_sub(server.resident_before) {
            Some(grown) => {
                let each = grown / matches.max(1);
                phase.counts.insert("bytes of a match".to_owned(), each);
                if most > 0 && each > most {
                    phase.errors.insert(format!("a match costs {each} bytes, more than {most}"), 1);
                }
            }
            // Something else was given back meanwhile: that says nothing of matches.
            None => tell("memory shrank while matches were entered: it is not known what one takes"),
        }
    }
    (phase, played)
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
    holders: Arc<Mutex<Vec<Holder>>>,
}

/// What holds one socket.
#[derive(Debug)]
struct Holder {
    task: JoinHandle<()>,
    requests: mpsc::Sender<Request>,
}

/// To enter the match of a name.
#[derive(Debug)]
struct Request {
    name: String,
    answer: oneshot::Sender<Result<String, Fault>>,
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
                    let format = formats.of(turn.number);
                    let opened = run.api.socket(token, format, Buffers::Small).await;
                    if let Some(socket) = ledger.write(worker, turn, opened) {
                        let (requests, asked) = mpsc::channel(1);
                        let held = Held { socket, format, patience: run.api.target.timeout() };
                        let task = tokio::spawn(held.hold(asked, stop.clone(), ledger.clone()));
                        holders.lock().push(Holder { task, requests });
                    }
                }
            }
        });
        openers.join_all().await;
    }

    /// Has each `size` of them enter a match, `opening` sockets at once.
    async fn enter_matches(&self, size: u64, opening: usize, ledger: &Ledger) {
        let requests: Vec<_> = self.holders.lock().iter().map(|holder| holder.requests.clone()).collect();
        let begun = unix_seconds();
        let entering = stream::iter(requests.into_iter().zip(0_u64..)).map(|(requests, number)| async move {
            let (answer, answered) = oneshot::channel();
            let since = Instant::now();
            let request = Request { name: format!("connect-{begun}-{}", number / size), answer };
            let outcome = match requests.send(request).await {
                Ok(()) => answered.await.unwrap_or_else(|_| Err(Fault::new("socket closed"))),
                Err(_) => Err(Fault::new("socket closed")),
            };
            ledger.write_since(usize::try_from(number).unwrap_or(0), since, outcome);
        });
        entering.buffer_unordered(opening).collect::<Vec<()>>().await;
    }

    /// Sockets that are still open.
    pub(super) fn open_now(&self) -> u64 {
        self.holders.lock().iter().filter(|holder| !holder.task.is_finished()).count() as u64
    }

    /// Says goodbye on all of them.
    pub(super) async fn close(&self) {
        self.stop.send_replace(true);
        let holders = std::mem::take(&mut *self.holders.lock());
        gather(holders.into_iter().map(|holder| holder.task).collect()).await;
    }
}

/// A socket that waits.
struct Held {
    socket: Socket,
    format: Format,
    /// How long an answer may take.
    patience: Duration,
}

impl Held {
    /// Waits, and does what it is asked, until it is told to stop.
    async fn hold(mut self, mut asked: mpsc::Receiver<Request>, mut stop: watch::Receiver<bool>, ledger: Ledger) {
        loop {
            let lost = tokio::select! {
                fault = lost(&mut self.socket) => Some(fault),
                Some(request) = asked.recv() => {
                    self.enter(request).await;
                    continue;
                }
                () = async { drop(stop.wait_for(|stop| *stop).await) } => None,
            };
            return match lost {
                Some(fault) => ledger.faults.add("hold", &fault),
                None => self.part(&ledger).await,
            };
        }
    }

    async fn enter(&mut self, request: Request) {
        let entered = enter(&mut self.socket, self.format, Entrance::Named(&request.name));
        let entered = timeout(self.patience, entered).await.unwrap_or_else(|_| Err(Fault::new("no answer")));
        // Nobody asks any more when the run has been given up.
        let _ = request.answer.send(entered);
    }

    async fn part(mut self, ledger: &Ledger) {
        let goodbye = async {
            let _ = self.socket.close(None).await;
            while let Some(Ok(_)) = self.socket.next().await {}
        };
        if timeout(GOODBYE, goodbye).await.is_err() {
            ledger.faults.add("hold", &Fault::new("goodbye unanswered"));
        }
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
