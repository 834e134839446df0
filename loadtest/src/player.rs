//! One player of a relayed match: one task, which reads all that has come, sends all that is due, and flushes once.

use crate::{
    losses::Sequence,
    nakama::{Socket, socket_fault},
    pacing::{Alarm, Schedule},
    payload::{Finder, Format, Incoming, Mark, Template},
    stats::{Fault, Faults, Meter},
};
use futures_util::{Sink, Stream, task::AtomicWaker};
use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

/// Frames that a player takes in before others get their turn.
const BATCH: usize = 64;
/// How long a window may stand still before its messages are taken for lost.
const STALL: Duration = Duration::from_secs(1);
/// How long a player waits for its goodbye to be written.
const GOODBYE: Duration = Duration::from_secs(1);

/// When the playing begins and ends.
#[derive(Clone, Copy, Debug)]
pub struct Go {
    /// The moment that marks count from.
    pub epoch: Instant,
    /// Messages meant for a moment before this are not measured.
    pub measured_from: Instant,
    /// No message is sent from here on.
    pub end: Instant,
}

impl Go {
    fn nanoseconds(&self, at: Instant) -> u64 {
        u64::try_from((at - self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// What all players of a run share.
#[derive(Debug)]
pub struct Stage {
    /// Set when all players have joined.
    pub go: OnceLock<Go>,
    /// True: nothing more is awaited.
    pub finished: AtomicBool,
    /// Players that may still send.
    pub sending: AtomicUsize,
    /// Messages sent; the latency is how late the harness itself was.
    pub sent: Arc<Meter>,
    /// Messages received, from the moment they were meant to be sent.
    pub delivered: Arc<Meter>,
    /// What failed.
    pub faults: Arc<Faults>,
    /// Wakes players when their next message is due.
    pub alarm: Arc<Alarm>,
}

/// What the others of a match know of one player.
#[derive(Debug, Default)]
pub struct Peer {
    /// Wakes the player.
    pub waker: AtomicWaker,
    /// Deliveries of its messages so far, at all others together.
    delivered: AtomicU64,
}

/// How a player sends.
#[derive(Clone, Copy, Debug)]
pub enum Plan {
    /// At fixed moments: `rate` a second, the first `offset` after the start.
    Paced {
        /// Messages a second.
        rate: f64,
        /// From the start of the run to the first message.
        offset: Duration,
    },
    /// As fast as it goes with so many undelivered.
    Window(u64),
}

/// Who a player is in the run.
#[derive(Clone, Debug)]
pub struct Seat {
    /// The match's number.
    pub group: u32,
    /// The player's place in the match.
    pub slot: u16,
    /// All players of the match, by place.
    pub peers: Arc<Vec<Arc<Peer>>>,
    /// The socket's format.
    pub format: Format,
    /// Bytes of data in each message.
    pub bytes: usize,
    /// How it sends.
    pub plan: Plan,
}

/// What a player has to tell at the end.
#[derive(Debug)]
pub struct Outcome {
    /// The match's number.
    pub group: u32,
    /// The player's place in the match.
    pub slot: u16,
    /// Messages sent.
    pub sent: u64,
    /// What came, by the sender's place.
    pub inbox: Vec<Sequence>,
    /// Messages with a payload that nobody sent.
    pub damaged: u64,
}

/// A player who has joined.
#[derive(Debug)]
pub struct Player {
    socket: Socket,
    seat: Seat,
    stage: Arc<Stage>,
    template: Template,
    finder: Finder,
    schedule: Option<Schedule>,
    outcome: Outcome,
    unflushed: bool,
    stopped_sending: bool,
    /// The moment that the alarm is set to.
    armed: Option<Instant>,
    window: WindowState,
    /// Measured in this step: nanoseconds.
    latencies: Vec<u64>,
    lateness: Vec<u64>,
}

#[derive(Debug, Default)]
struct WindowState {
    /// Messages given up, so that they no longer fill the window.
    forgiven: u64,
    /// Messages known to be delivered, and since when no more were.
    progress: u64,
    since: Option<Instant>,
}

impl Player {
    /// A player of `match_id` who sits at `seat`.
    pub fn new(socket: Socket, seat: Seat, match_id: &str, stage: Arc<Stage>) -> Self {
        let inbox = vec![Sequence::default(); seat.peers.len()];
        Self {
            template: Template::new(seat.format, match_id, seat.bytes),
            finder: Finder::new(seat.format, seat.bytes),
            schedule: None,
            outcome: Outcome { group: seat.group, slot: seat.slot, sent: 0, inbox, damaged: 0 },
            unflushed: false,
            stopped_sending: false,
            armed: None,
            window: WindowState::default(),
            latencies: Vec::with_capacity(BATCH),
            lateness: Vec::new(),
            socket,
            seat,
            stage,
        }
    }

    /// Plays until the stage is finished or the socket breaks.
    pub async fn run(mut self) -> Outcome {
        let ended = std::future::poll_fn(|context| self.step(context)).await;
        self.stop_sending();
        match ended {
            Ok(()) => {
                let _ = tokio::time::timeout(GOODBYE, self.socket.close(None)).await;
            }
            Err(fault) => self.stage.faults.add("match", &fault),
        }
        self.outcome
    }

    fn step(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.me().waker.register(context.waker());
        if self.stage.finished.load(Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let turn = self.receive(context).and_then(|()| self.send(context)).and_then(|()| self.flush(context));
        self.report();
        match turn {
            Ok(()) => Poll::Pending,
            Err(fault) => Poll::Ready(Err(fault)),
        }
    }

    fn me(&self) -> &Peer {
        &self.seat.peers[usize::from(self.seat.slot)]
    }

    fn receive(&mut self, context: &mut Context<'_>) -> Result<(), Fault> {
        for _ in 0..BATCH {
            match Pin::new(&mut self.socket).poll_next(context) {
                Poll::Ready(Some(Ok(message))) => self.take(&message)?,
                Poll::Ready(Some(Err(error))) => return Err(socket_fault(error)),
                Poll::Ready(None) => return Err(Fault::new("socket closed")),
                Poll::Pending => return Ok(()),
            }
        }
        context.waker().wake_by_ref();
        Ok(())
    }

    fn take(&mut self, message: &Message) -> Result<(), Fault> {
        let frame: &[u8] = match message {
            Message::Text(text) => text.as_ref(),
            Message::Binary(bytes) => bytes,
            Message::Close(frame) => return Err(close_fault(frame.as_ref())),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(()),
        };
        match self.finder.find(frame) {
            Incoming::Data(mark) => self.count(mark),
            Incoming::Damaged => self.outcome.damaged += 1,
            Incoming::Error(code) => {
                self.stage.faults.add("match", &Fault::new(format!("error envelope, code {code}")));
            }
            Incoming::Other => {}
        }
        Ok(())
    }

    fn count(&mut self, mark: Mark) {
        let sender = usize::from(mark.slot);
        let (Some(go), Some(sequence)) = (self.stage.go.get(), self.outcome.inbox.get_mut(sender)) else {
            self.outcome.damaged += 1;
            return;
        };
        if mark.group != self.seat.group {
            self.outcome.damaged += 1;
            return;
        }
        sequence.accept(u64::from(mark.sequence));
        if mark.intended_ns >= go.nanoseconds(go.measured_from) {
            self.latencies.push(go.nanoseconds(Instant::now()).saturating_sub(mark.intended_ns));
        } else {
            self.stage.delivered.count(1);
        }
        let peer = &self.seat.peers[sender];
        let delivered = peer.delivered.fetch_add(1, Relaxed) + 1;
        let everywhere = delivered.is_multiple_of(self.seat.peers.len() as u64 - 1);
        if everywhere && matches!(self.seat.plan, Plan::Window(_)) {
            peer.waker.wake();
        }
    }

    fn send(&mut self, context: &mut Context<'_>) -> Result<(), Fault> {
        let Some(go) = self.stage.go.get().copied() else { return Ok(()) };
        while !self.stopped_sending {
            let now = Instant::now();
            let Some(intended) = self.due(go, now, context) else { break };
            match Pin::new(&mut self.socket).poll_ready(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Err(socket_fault(error)),
                Poll::Pending => break,
            }
            let frame = self.template.frame(self.mark(go, intended));
            Pin::new(&mut self.socket).start_send(frame).map_err(socket_fault)?;
            self.unflushed = true;
            self.outcome.sent += 1;
            self.lateness.push(u64::try_from((now - intended).as_nanos()).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    /// When the next message was to be sent, if that is now or past.
    fn due(&mut self, go: Go, now: Instant, context: &Context<'_>) -> Option<Instant> {
        let next = match self.seat.plan {
            Plan::Paced { rate, offset } => {
                let schedule = self.schedule.get_or_insert_with(|| Schedule::new(go.epoch + offset, rate));
                schedule.at(self.outcome.sent)
            }
            Plan::Window(_) if now < go.epoch => go.epoch,
            Plan::Window(size) => self.window_opens(size, now),
        };
        let over = match self.seat.plan {
            Plan::Paced { .. } => next >= go.end,
            Plan::Window(_) => now >= go.end,
        };
        if over {
            self.stop_sending();
            return None;
        }
        if next <= now {
            return Some(next);
        }
        let next = next.min(go.end);
        if self.armed != Some(next) {
            self.armed = Some(next);
            self.stage.alarm.wake_at(next, context.waker().clone());
        }
        None
    }

    /// Now when there is room in the window; else the moment at which its messages will be taken for lost.
    fn window_opens(&mut self, size: u64, now: Instant) -> Instant {
        let others = self.seat.peers.len() as u64 - 1;
        let delivered = self.me().delivered.load(Relaxed) / others;
        if delivered != self.window.progress {
            self.window.progress = delivered;
            self.window.since = None;
        }
        let under_way = self.outcome.sent.saturating_sub(delivered + self.window.forgiven);
        if under_way < size {
            return now;
        }
        let since = *self.window.since.get_or_insert(now);
        if now >= since + STALL {
            self.window.forgiven += under_way;
            self.window.since = None;
            return now;
        }
        // The alarm is not moved for every message: it rings a little early and finds that there is time left.
        self.armed.filter(|armed| *armed > now).unwrap_or(since + STALL)
    }

    fn mark(&self, go: Go, intended: Instant) -> Mark {
        Mark {
            group: self.seat.group,
            slot: self.seat.slot,
            sequence: u32::try_from(self.outcome.sent).unwrap_or(u32::MAX),
            intended_ns: go.nanoseconds(intended),
        }
    }

    fn flush(&mut self, context: &mut Context<'_>) -> Result<(), Fault> {
        if !self.unflushed {
            return Ok(());
        }
        match Pin::new(&mut self.socket).poll_flush(context) {
            Poll::Ready(Ok(())) => self.unflushed = false,
            Poll::Ready(Err(error)) => return Err(socket_fault(error)),
            Poll::Pending => {}
        }
        Ok(())
    }

    fn stop_sending(&mut self) {
        if !std::mem::replace(&mut self.stopped_sending, true) {
            self.stage.sending.fetch_sub(1, Relaxed);
        }
    }

    /// Hands on what was measured in this step, with one lock for all.
    fn report(&mut self) {
        let worker = usize::from(self.seat.slot) + self.seat.group as usize;
        for (meter, values) in [(&self.stage.delivered, &mut self.latencies), (&self.stage.sent, &mut self.lateness)] {
            if !values.is_empty() {
                meter.add_all(worker, values);
                meter.count(values.len() as u64);
                values.clear();
            }
        }
    }
}

/// Names a close frame by code and reason.
pub fn close_fault(frame: Option<&tokio_tungstenite::tungstenite::protocol::CloseFrame>) -> Fault {
    match frame {
        Some(frame) => {
            Fault::new(format!("closed by the server: {} {}", u16::from(frame.code), frame.reason.as_str()).trim_end())
        }
        None => Fault::new("closed by the server without a code"),
    }
}
