//! What waits to be written to one client: a bounded queue that never makes the sender wait.

use super::detached::{Detached, DetachedBounds};
use futures_util::task::AtomicWaker;
use kizuna_protocol::code::Close;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    task::{Context, Poll},
};
use tokio_tungstenite::tungstenite::Message;

/// Bounds of one client's queue.
#[derive(Clone, Copy, Debug)]
pub struct OutboundLimits {
    /// Messages.
    pub messages: usize,
    /// Bytes of payload.
    pub bytes: usize,
}

impl OutboundLimits {
    pub(super) const fn are_passed(self, messages: usize, bytes: usize) -> bool {
        messages > self.messages || bytes > self.bytes
    }
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
    /// The bounds while nobody reads, in place of the socket's. Boxed, since most queues have a reader.
    detached: Option<Box<Detached>>,
}

impl State {
    /// A bound is passed: everything is dropped.
    fn overflow(&mut self) {
        (self.queue, self.bytes, self.close) = (VecDeque::new(), 0, Some(Close::QUEUE_FULL));
        self.detached = None;
    }

    fn is_passed(&mut self, socket: OutboundLimits) -> bool {
        match &mut self.detached {
            Some(detached) => !detached.holds(self.queue.len(), self.bytes),
            None => socket.are_passed(self.queue.len(), self.bytes),
        }
    }
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
        if state.is_passed(self.limits) {
            state.overflow();
            drop(state);
            self.reader.wake();
        } else if wakes {
            drop(state);
            self.reader.wake();
        }
    }

    /// Nobody reads for now: `bounds` count instead of the socket's. Where they are passed already, that is the end.
    pub fn detach(&self, bounds: DetachedBounds) {
        self.give_back(VecDeque::new(), Some(bounds));
    }

    /// What was taken but not sent comes before everything that waits.
    pub fn put_back(&self, unsent: VecDeque<Message>) {
        self.give_back(unsent, None);
    }

    fn give_back(&self, mut unsent: VecDeque<Message>, bounds: Option<DetachedBounds>) {
        let mut state = self.state.lock();
        if state.close.is_some() {
            return;
        }
        if let Some(bounds) = bounds {
            state.detached.get_or_insert_with(|| Box::new(Detached::new(bounds)));
        }
        state.bytes += unsent.iter().map(Message::len).sum::<usize>();
        unsent.append(&mut state.queue);
        state.queue = unsent;
        if state.is_passed(self.limits) {
            state.overflow();
            drop(state);
            self.reader.wake();
        }
    }

    /// Somebody reads again: everything that waits, in order. The socket's bounds count again.
    pub fn attach(&self) -> VecDeque<Message> {
        let mut state = self.state.lock();
        state.detached = None;
        state.bytes = 0;
        std::mem::take(&mut state.queue)
    }

    /// Everything that waits, in order; it stays where it is.
    pub fn waiting(&self) -> Vec<Message> {
        self.state.lock().queue.iter().cloned().collect()
    }

    /// Wakes the task, to look at what does not stand in the queue.
    pub(super) fn wake(&self) {
        self.reader.wake();
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

    /// As [`Self::closing`], once nothing waits before it.
    pub fn closing_now(&self) -> Option<Close> {
        let state = self.state.lock();
        state.close.filter(|_| state.queue.is_empty())
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
        // Not swapped: the slots of a burst would stay with the queue.
        *batch = std::mem::take(&mut state.queue);
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
        outbound.close(Close::DISCONNECTED);
        outbound.push(Message::text("too late"));
        let mut batch = VecDeque::new();
        assert_eq!(outbound.try_take(&mut batch), Poll::Ready(None));
        assert_eq!(batch, [Message::text("a")]);
        batch.clear();
        assert_eq!(outbound.try_take(&mut batch), Poll::Ready(Some(Close::DISCONNECTED)));
    }

    #[test]
    fn one_message_too_many_closes_as_slow() {
        let outbound = queue(2, 100);
        (0..3).for_each(|_| outbound.push(Message::text("a")));
        assert_eq!(outbound.closing(), Some(Close::QUEUE_FULL));
    }

    #[test]
    fn one_byte_too_many_closes_as_slow() {
        let outbound = queue(100, 4);
        outbound.push(Message::text("1234"));
        assert_eq!(outbound.closing(), None);
        outbound.push(Message::text("5"));
        assert_eq!(outbound.closing(), Some(Close::QUEUE_FULL));
    }

    #[test]
    fn the_first_reason_stays() {
        let outbound = queue(1, 1);
        outbound.close(Close::IDLE_TIMEOUT);
        outbound.close(Close::DISCONNECTED);
        assert_eq!(outbound.closing(), Some(Close::IDLE_TIMEOUT));
    }

    #[test]
    fn what_waits_for_all_without_a_connection_has_a_bound_and_is_given_back() {
        let bounds = DetachedBounds::of(OutboundLimits { messages: 100, bytes: 10_000 }, 1_000);
        let (one, other) = (queue(100, 10_000), queue(100, 10_000));
        one.push(Message::text("before"));
        one.detach(bounds.clone());
        other.detach(bounds.clone());
        one.push(Message::text("x".repeat(800)));
        let held = bounds.held();
        assert!((806..=1_000).contains(&held), "{held}");
        other.push(Message::text("x".repeat(200)));
        assert_eq!(
            (one.closing(), other.closing()),
            (None, Some(Close::QUEUE_FULL)),
            "the one for whom it was too much"
        );
        assert_eq!(bounds.held(), held, "and nothing of it is held any more");
        one.detach(bounds.clone());
        assert_eq!(bounds.held(), held, "nothing counts twice");
        assert_eq!(one.attach().len(), 2);
        assert_eq!(bounds.held(), 0);
        one.detach(bounds.clone());
        (0..3).for_each(|_| one.push(Message::text("")));
        assert!(bounds.held() > 0, "an empty message takes a place, too");
        drop(one);
        assert_eq!(bounds.held(), 0, "nor does a session that is gone hold anything");
    }
}
