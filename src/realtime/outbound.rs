//! What waits to be written to one client: a bounded queue that never makes the sender wait.

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    task::{Context, Poll},
};
use tokio_tungstenite::tungstenite::Message;

/// Why the server closes a socket: the close frame's code and reason, and the name under which it is counted.
/// Codes and texts: spec/realtime-core.md 2.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// The close frame's code (RFC 6455 section 7.4).
    pub code: u16,
    /// The close frame's reason, as clients see it.
    pub reason: &'static str,
    /// The name in metrics and logs.
    pub kind: &'static str,
}

impl Close {
    /// The account is gone or banned, or a newer socket took its place.
    pub const SERVER_SIDE: Self =
        Self { code: 1000, reason: "server-side session disconnect", kind: "server_side" };
    /// The client reads more slowly than it is sent to.
    pub const SLOW: Self = Self { code: 1000, reason: "session outgoing queue full", kind: "slow" };
    /// The client was silent for too long. Neutral where Nakama shows socket addresses.
    pub const SILENT: Self = Self { code: 1000, reason: "no sign of life", kind: "silent" };
    /// A text frame on a protobuf socket, or the reverse.
    pub const WRONG_FRAME: Self =
        Self { code: 1000, reason: "received unexpected WebSocket message type", kind: "wrong_frame" };
    /// The frame is no envelope.
    pub const MALFORMED: Self = Self { code: 1000, reason: "received malformed payload", kind: "malformed" };
    /// An envelope without a request, or with one that only the server may send.
    pub const NO_REQUEST: Self = Self { code: 1000, reason: "error processing message", kind: "no_request" };
    /// Larger than `socket.max_message_size_bytes`.
    pub const TOO_BIG: Self = Self { code: 1009, reason: "", kind: "too_big" };
    /// The server stops.
    pub const STOPPING: Self = Self { code: 1001, reason: "server is stopping", kind: "stopping" };
    /// A handler failed in a way it should not have; this session alone ends.
    pub const INTERNAL: Self = Self { code: 1011, reason: "internal error", kind: "internal" };
}

/// Bounds of one client's queue.
#[derive(Clone, Copy, Debug)]
pub struct OutboundLimits {
    /// Messages.
    pub messages: usize,
    /// Bytes of payload.
    pub bytes: usize,
}

/// One client's queue. Anybody may put messages in; the socket's task alone takes them out.
#[derive(Debug)]
pub struct Outbound {
    /// Guards the queue; held for a push or a swap, never over an await.
    state: Mutex<State>,
    reader: AtomicWaker,
    limits: OutboundLimits,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Message>,
    bytes: usize,
    close: Option<Close>,
}

impl Outbound {
    /// An empty queue.
    pub fn new(limits: OutboundLimits) -> Self {
        Self { state: Mutex::default(), reader: AtomicWaker::new(), limits }
    }

    /// Queues a message. When a bound is passed the queue is dropped and the socket closes as too slow: one slow client costs
    /// the others nothing.
    pub fn push(&self, message: Message) {
        let mut state = self.state.lock();
        if state.close.is_some() {
            return;
        }
        let wakes = state.queue.is_empty();
        state.bytes += message.len();
        state.queue.push_back(message);
        if state.queue.len() > self.limits.messages || state.bytes > self.limits.bytes {
            *state = State { close: Some(Close::SLOW), ..State::default() };
            drop(state);
            self.reader.wake();
        } else if wakes {
            drop(state);
            self.reader.wake();
        }
    }

    /// Ends the socket once what is queued already is written. The first reason stays.
    pub fn close(&self, reason: Close) {
        let mut state = self.state.lock();
        if state.close.is_none() {
            state.close = Some(reason);
            drop(state);
            self.reader.wake();
        }
    }

    /// Why the socket is to close, if it is.
    pub fn closing(&self) -> Option<Close> {
        self.state.lock().close
    }

    /// As [`Self::closing`], and wakes the task when that changes.
    pub fn poll_closing(&self, context: &Context<'_>) -> Option<Close> {
        self.reader.register(context.waker());
        self.closing()
    }

    /// Moves everything that waits into `batch`, which must be empty; pends while nothing waits and nothing closes.
    pub fn poll_take(&self, context: &Context<'_>, batch: &mut VecDeque<Message>) -> Poll<Option<Close>> {
        // Register first: a push between the look and the registration must not be missed.
        self.reader.register(context.waker());
        self.try_take(batch)
    }

    /// As [`Self::poll_take`], without asking to be woken.
    pub fn try_take(&self, batch: &mut VecDeque<Message>) -> Poll<Option<Close>> {
        let mut state = self.state.lock();
        if state.queue.is_empty() {
            return state.close.map_or(Poll::Pending, |close| Poll::Ready(Some(close)));
        }
        std::mem::swap(&mut state.queue, batch);
        state.bytes = 0;
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(messages: usize, bytes: usize) -> Outbound {
        Outbound::new(OutboundLimits { messages, bytes })
    }

    #[test]
    fn what_is_queued_before_a_close_is_still_taken() {
        let outbound = queue(10, 100);
        outbound.push(Message::text("a"));
        outbound.close(Close::SERVER_SIDE);
        outbound.push(Message::text("too late"));
        let mut batch = VecDeque::new();
        assert_eq!(outbound.try_take(&mut batch), Poll::Ready(None));
        assert_eq!(batch, [Message::text("a")]);
        batch.clear();
        assert_eq!(outbound.try_take(&mut batch), Poll::Ready(Some(Close::SERVER_SIDE)));
    }

    #[test]
    fn one_message_too_many_closes_as_slow() {
        let outbound = queue(2, 100);
        (0..3).for_each(|_| outbound.push(Message::text("a")));
        assert_eq!(outbound.closing(), Some(Close::SLOW));
    }

    #[test]
    fn one_byte_too_many_closes_as_slow() {
        let outbound = queue(100, 4);
        outbound.push(Message::text("1234"));
        assert_eq!(outbound.closing(), None);
        outbound.push(Message::text("5"));
        assert_eq!(outbound.closing(), Some(Close::SLOW));
    }

    #[test]
    fn the_first_reason_stays() {
        let outbound = queue(1, 1);
        outbound.close(Close::SILENT);
        outbound.close(Close::SERVER_SIDE);
        assert_eq!(outbound.closing(), Some(Close::SILENT));
    }
}
