//! Matches beside hostile clients: floods, clients that never read, frames that are too large or of no kind, noise, joins upon joins,
//! and connections that never say who they are. Played without them, with them, and without them again; every message must arrive,
//! and how late it may be is asked for.

use super::{Run, judge_p99, matches};
use crate::{
    args::HostileOptions,
    nakama::{Buffers, Socket},
    payload::Format,
    report::Phase,
};
use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::{io::AsyncWriteExt, task::JoinSet, time::interval};
use tokio_tungstenite::tungstenite::Message;

/// Half-open connections that one client holds before it lets go of them.
const HALF_OPEN: usize = 200;
/// More than any server takes in one message.
const TOO_LARGE: usize = 1 << 20;

/// Runs the three parts.
///
/// # Errors
/// The players or the hostile clients cannot sign in, or the matches cannot be set up.
pub async fn run(run: &Run, options: &HostileOptions) -> Result<Vec<Phase>, String> {
    let calm = matches::part(run, &options.common, &options.play, "match before the attack").await?;
    let crowd = Crowd::start(run, options).await?;
    let attacked = matches::part(run, &options.common, &options.play, "match in the attack").await;
    let attempts = crowd.end()?;
    let mut attacked = attacked?;
    attacked.counts.insert("hostile attempts".into(), attempts);
    let again = matches::part(run, &options.common, &options.play, "match after the attack").await?;
    judge_p99(&mut attacked, &[&calm, &again], options.most_p99, "the attack");
    Ok(vec![calm, attacked, again])
}

/// The hostile clients, in a thread of their own: their work must not delay what is measured.
struct Crowd {
    over: Arc<AtomicBool>,
    attempts: Arc<AtomicU64>,
    thread: JoinHandle<Result<(), String>>,
}

impl Crowd {
    async fn start(run: &Run, options: &HostileOptions) -> Result<Self, String> {
        let first = matches::players(&options.play);
        let count = (Kind::ALL.len() * options.hostile) as u64;
        // Players of their own, beyond those who play.
        let tokens = run.sessions(first + count).await?.split_off(usize::try_from(first).unwrap_or(usize::MAX));
        let (over, attempts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let pause = Duration::from_secs_f64(1.0 / options.hostile_rate);
        let (run, watched, counted) = (run.clone(), over.clone(), attempts.clone());
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| error.to_string())?.block_on(async move {
                let mut clients = JoinSet::new();
                for (token, kind) in tokens.into_iter().zip(Kind::ALL.into_iter().cycle()) {
                    let client = Client { run: run.clone(), token, over: watched.clone(), attempts: counted.clone() };
                    clients.spawn(client.attack(kind, pause));
                }
                clients.join_all().await;
                Ok(())
            })
        };
        let thread =
            std::thread::Builder::new().name("hostile".into()).spawn(work).map_err(|error| error.to_string())?;
        Ok(Self { over, attempts, thread })
    }

    /// How often they tried.
    fn end(self) -> Result<u64, String> {
        self.over.store(true, Relaxed);
        self.thread.join().map_err(|_| "the hostile clients' thread panicked".to_owned())??;
        Ok(self.attempts.load(Relaxed))
    }
}

/// What a hostile client does.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Flood,
    NeverReads,
    HugeFrames,
    Noise,
    ReservedOpcodes,
    Joins,
    HalfOpen,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Flood,
        Self::NeverReads,
        Self::HugeFrames,
        Self::Noise,
        Self::ReservedOpcodes,
        Self::Joins,
        Self::HalfOpen,
    ];
}

struct Client {
    run: Run,
    token: String,
    over: Arc<AtomicBool>,
    attempts: Arc<AtomicU64>,
}

impl Client {
    /// One attempt each `pause`, over a socket that is opened again whenever the server has closed it.
    async fn attack(self, kind: Kind, pause: Duration) {
        let mut ticks = interval(pause);
        let (mut socket, mut held, mut number) = (None, Vec::new(), 0_u64);
        while !self.over.load(Relaxed) {
            ticks.tick().await;
            number += 1;
            self.attempts.fetch_add(1, Relaxed);
            if matches!(kind, Kind::HalfOpen) {
                if held.len() >= HALF_OPEN {
                    held.clear();
                }
                held.extend(self.half_open().await);
                continue;
            }
            if socket.is_none() {
                // Refused, as one with too many sockets is: that was this attempt.
                socket = self.run.api.socket(&self.token, Format::Json, Buffers::Small).await.ok();
            }
            if let Some(open) = &mut socket
                && !attempt(kind, open, number).await
            {
                socket = None;
            }
        }
    }

    /// A handshake that ends in the middle.
    async fn half_open(&self) -> Option<tokio::net::TcpStream> {
        let mut stream = self.run.api.target.connect().await.ok()?;
        stream.write_all(b"GET /ws?token=x HTTP/1.1\r\nHost: x\r\nUpgrade: websoc").await.ok()?;
        Some(stream)
    }
}

/// One attempt; `false` when the socket is at its end.
async fn attempt(kind: Kind, socket: &mut Socket, number: u64) -> bool {
    let sent = match kind {
        Kind::Flood => send(socket, Message::text(r#"{"cid":"1","ping":{}}"#)).await,
        Kind::NeverReads => {
            let ping = format!(r#"{{"cid":"{}","ping":{{}}}}"#, "x".repeat(3_000));
            return send(socket, Message::text(ping)).await;
        }
        Kind::HugeFrames => send(socket, Message::Binary(Bytes::from(vec![0; TOO_LARGE]))).await,
        Kind::Noise => {
            let bytes = (number..number + 500).map(|at| at.wrapping_mul(0x9e37_79b9).to_be_bytes()[5]);
            socket.get_mut().write_all(&bytes.collect::<Vec<u8>>()).await.is_ok()
        }
        Kind::ReservedOpcodes => socket.get_mut().write_all(&[0x83, 0x80, 1, 2, 3, 4]).await.is_ok(),
        Kind::Joins => send(socket, Message::text(join(number))).await,
        Kind::HalfOpen => false,
    };
    // The server ends a socket for such a thing; the next attempt has another.
    if matches!(kind, Kind::HugeFrames | Kind::Noise | Kind::ReservedOpcodes) {
        return false;
    }
    // What has come is read, so that the server has no reason to close a slow client.
    while let Some(next) = socket.next().now_or_never() {
        if !matches!(next, Some(Ok(message)) if !message.is_close()) {
            return false;
        }
    }
    sent
}

async fn send(socket: &mut Socket, message: Message) -> bool {
    // A server that no longer reads must not hold up the attack.
    let sent = tokio::time::timeout(Duration::from_millis(100), socket.send(message)).await;
    matches!(sent, Ok(Ok(())))
}

fn join(number: u64) -> String {
    match number % 2 {
        0 => format!(r#"{{"cid":"1","match_create":{{"name":"hostile-{number}"}}}}"#),
        _ => r#"{"cid":"1","match_join":{"match_id":"11111111-1111-4111-8111-111111111111."}}"#.to_owned(),
    }
}
