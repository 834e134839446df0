//! One socket's loop: a single task that reads frames, writes what waits, and watches the time. Generic over the byte stream,
//! so its tests need no network. Rules: spec/realtime-core.md section 2.

use super::{expiry::Expiry, written::Written};
use crate::{
    net::envelopes::{Pending, Served, Verdict},
    realtime::{Call, Session},
};
use futures_util::{SinkExt, StreamExt};
use kizuna_protocol::{
    code::Close,
    envelope::{self, Format},
    realtime::Envelope,
};
use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error as WsError, Message,
        error::{CapacityError, ProtocolError},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

/// Frames handled before what waits is written: enough to gather the answers of a pipelining client into one write, few enough
/// that a flooding one still gets them.
const FRAMES_BEFORE_WRITE: u32 = 32;

/// A socket's times and sizes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) ping_period: Duration,
    pub(super) pong_wait: Duration,
    /// Data messages that count as a sign of life.
    pub(super) backoff_threshold: u32,
    pub(super) write_wait: Duration,
    pub(super) close_ack_wait: Duration,
    /// Bytes that are gathered before they are written.
    pub(super) write_at_once: usize,
}

/// How a socket ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The server closes it.
    Close(Close),
    /// The client closed it; the answer is on its way.
    ByClient,
    /// The connection is gone.
    Lost,
    /// The client has read nothing for longer than a write may take.
    Stuck,
    /// Another connection takes the session over.
    TakenOver,
    /// The server stops and keeps its sessions.
    Suspended,
}

impl End {
    /// The name under which it is counted.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Close(Close::MESSAGE_TOO_BIG) => "message too big",
            Self::Close(close) => close.reason,
            Self::ByClient => "closed by the client",
            Self::Lost => "connection lost",
            Self::Stuck => Close::QUEUE_FULL.reason,
            Self::TakenOver => Close::TAKEN_OVER.reason,
            Self::Suspended => Close::RESTARTING.reason,
        }
    }

    /// Whether the client may not know of it: it said no goodbye, and was told none.
    pub(super) fn is_loss(&self) -> bool {
        matches!(self, Self::Lost | Self::Stuck | Self::Close(Close::IDLE_TIMEOUT))
    }

    /// What the client is told in the close frame.
    fn told(&self) -> Option<Close> {
        match self {
            Self::Close(close) => Some(*close),
            Self::Stuck => Some(Close::QUEUE_FULL),
            Self::TakenOver => Some(Close::TAKEN_OVER),
            Self::Suspended => Some(Close::RESTARTING),
            Self::ByClient | Self::Lost => None,
        }
    }
}

impl Verdict {
    fn end(self) -> Option<End> {
        match self {
            Self::Stay => None,
            Self::End(close) => Some(End::Close(close)),
        }
    }
}

/// What a socket leaves to a session that goes on without it.
#[derive(Default)]
pub(super) struct Remains {
    /// Taken from the session's queue, but not sent whole.
    pub(super) unsent: VecDeque<Message>,
    /// The request that is being served.
    pub(super) serving: Option<Pending>,
}

/// A WebSocket and its session.
pub(super) struct LiveSocket<S> {
    socket: WebSocketStream<Written<S>>,
    session: Arc<Session>,
    timing: Timing,
    /// Taken from the session's queue, not yet handed to the stream.
    batch: VecDeque<Message>,
    /// Handed to the stream, not yet known to be on the wire. `None`: nobody will ask for it.
    kept: Option<VecDeque<Message>>,
    /// Messages that have been on the wire when this was last looked at.
    sent: u64,
    /// The session has been given back: nothing more is taken from its queue.
    left: bool,
    /// Nothing more can be written.
    broken: bool,
    /// The library may hold frames of its own: pings and pongs.
    unflushed: bool,
    /// Bytes that had been written when this was last looked at.
    taken: u64,
    /// When the client must have read something. Set while nothing can be written, cleared by every byte that can.
    stuck: Option<Pin<Box<Sleep>>>,
    /// The next ping, or, after it, the deadline for a sign of life.
    alive: Pin<Box<Sleep>>,
    /// The end of the session token, where that ends the socket.
    expiry: Option<Box<Expiry>>,
    /// The request that is being served, if that takes time. No frame is read meanwhile.
    serving: Option<Pending>,
    deadline: Instant,
    pinged: bool,
    messages_until_alive: u32,
    frames_since_write: u32,
}

/// What the loop has to look at next.
enum Step {
    Frame(Message),
    End(End),
}

impl<S: AsyncRead + AsyncWrite + Unpin> LiveSocket<S> {
    pub(super) fn new(
        socket: WebSocketStream<Written<S>>,
        session: Arc<Session>,
        timing: Timing,
        expiry: Option<Expiry>,
    ) -> Self {
        Self {
            kept: None,
            sent: 0,
            taken: 0,
            left: false,
            broken: false,
            expiry: expiry.map(Box::new),
            serving: None,
            socket,
            session,
            timing,
            batch: VecDeque::new(),
            unflushed: false,
            stuck: None,
            alive: Box::pin(sleep(timing.ping_period)),
            deadline: Instant::now() + timing.pong_wait,
            pinged: false,
            messages_until_alive: timing.backoff_threshold,
            frames_since_write: 0,
        }
    }

    /// The same for a session that may outlive the socket; `waiting` goes out first. The stream below must count.
    pub(super) fn resumable(self, waiting: VecDeque<Message>) -> Self {
        Self { batch: waiting, kept: Some(VecDeque::new()), ..self }
    }

    /// Serves the socket until it ends. A panic in a handler ends this socket and nothing else.
    pub(super) async fn serve(&mut self, dispatch: impl Fn(&Arc<Session>, Envelope) -> Served) -> End {
        loop {
            let message = match poll_fn(|context| self.poll_step(context)).await {
                Step::Frame(message) => message,
                Step::End(end) => return end,
            };
            if let Some(end) = self.handle_safely(&dispatch, message) {
                return end;
            }
        }
    }

    /// Says goodbye to a client whose session the server keeps, and serves what it had sent before it heard of that. What is to be
    /// written from now on stays with the session. Answers how the socket ends: as suspended, unless something else ends it.
    pub(super) async fn retire(&mut self, dispatch: impl Fn(&Arc<Session>, Envelope) -> Served) -> End {
        let told = timeout(self.timing.write_wait, self.write_farewell()).await;
        if !matches!(told, Ok(Ok(()))) {
            return End::Suspended;
        }
        let heard_out = timeout(self.timing.close_ack_wait, self.hear_out(dispatch)).await;
        heard_out.unwrap_or(End::Suspended)
    }

    async fn write_farewell(&mut self) -> Result<(), WsError> {
        poll_fn(|context| self.poll_batch(context)).await?;
        let Close { code, reason } = Close::RESTARTING;
        self.socket.send(Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() }))).await
    }

    async fn hear_out(&mut self, dispatch: impl Fn(&Arc<Session>, Envelope) -> Served) -> End {
        loop {
            let message = match poll_fn(|context| self.poll_heard(context)).await {
                Step::Frame(message) => message,
                Step::End(End::Lost) => return End::Suspended,
                Step::End(end) => return end,
            };
            match self.handle_safely(&dispatch, message) {
                None => {}
                Some(End::ByClient) => return End::Suspended,
                Some(end) => return end,
            }
        }
    }

    /// The next frame, once the request before it is served.
    fn poll_heard(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        if let Some(close) = self.session.outbound().poll_closing(context) {
            return Poll::Ready(Step::End(End::Close(close)));
        }
        if self.serving.is_some() {
            match self.poll_serving(context) {
                Poll::Ready(None) => {}
                Poll::Ready(Some(end)) => return Poll::Ready(Step::End(end)),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.poll_read(context)
    }

    /// A panic in a handler is an end like another.
    fn handle_safely(
        &mut self,
        dispatch: &impl Fn(&Arc<Session>, Envelope) -> Served,
        message: Message,
    ) -> Option<End> {
        let handled = std::panic::catch_unwind(AssertUnwindSafe(|| self.handle(dispatch, message)));
        handled.unwrap_or_else(|_| Some(self.panicked()))
    }

    fn panicked(&self) -> End {
        tracing::error!(session_id = %self.session.id(), "a handler panicked; its session ends");
        End::Close(Close::INTERNAL_ERROR)
    }

    /// Frames first, so that answers gather; then what waits; then the time. Who is to be closed is not heard any more, and who
    /// waits for a request not yet: requests are served one after another.
    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        let heard = self.session.outbound().closing().is_none() && self.serving.is_none();
        if heard
            && self.frames_since_write < FRAMES_BEFORE_WRITE
            && let Poll::Ready(step) = self.poll_read(context)
        {
            self.frames_since_write += 1;
            return Poll::Ready(step);
        }
        if let Poll::Ready(end) = self.poll_write(context) {
            return Poll::Ready(Step::End(end));
        }
        // Before more frames are read: a client that never stops sending must not outlive its token.
        if let Some(expiry) = &mut self.expiry
            && expiry.poll(context, &self.session).is_ready()
        {
            return Poll::Ready(Step::End(End::Close(Close::SESSION_EXPIRED)));
        }
        if let Poll::Ready(served) = self.poll_serving(context) {
            match served {
                None => return self.poll_step(context),
                Some(end) => return Poll::Ready(Step::End(end)),
            }
        }
        match self.session.called() {
            Some(Call::Claimed) => return Poll::Ready(Step::End(End::TakenOver)),
            Some(Call::Suspended) => return Poll::Ready(Step::End(End::Suspended)),
            None => {}
        }
        if heard && self.frames_since_write >= FRAMES_BEFORE_WRITE {
            // What was written may have been all that kept frames waiting.
            self.frames_since_write = 0;
            if let Poll::Ready(step) = self.poll_read(context) {
                return Poll::Ready(step);
            }
        }
        self.frames_since_write = 0;
        self.poll_time(context).map(Step::End)
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        match self.socket.poll_next_unpin(context) {
            Poll::Ready(Some(Ok(message))) => Poll::Ready(Step::Frame(message)),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Step::End(end_of(&error))),
            Poll::Ready(None) => Poll::Ready(Step::End(End::Lost)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes everything that waits, as much as possible at once. Ready only with an end.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<End> {
        loop {
            match self.poll_batch(context) {
                Poll::Ready(Ok(())) => self.stuck = None,
                Poll::Ready(Err(_)) => return Poll::Ready(End::Lost),
                Poll::Pending => return self.poll_stuck(context),
            }
            match self.session.outbound().poll_take(context, &mut self.batch) {
                Poll::Ready(None) => {}
                Poll::Ready(Some(close)) => return Poll::Ready(End::Close(close)),
                Poll::Pending => {
                    // Its slots: most sockets wait most of the time.
                    self.batch = VecDeque::new();
                    return Poll::Pending;
                }
            }
        }
    }

    /// Writes the batch, behind the library's own frames. Ready when all of it is on the wire.
    fn poll_batch(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WsError>> {
        if self.unflushed {
            ready!(self.socket.poll_flush_unpin(context))?;
            self.unflushed = false;
        }
        let Self { batch, kept, socket, timing, .. } = self;
        let next = || {
            let message = batch.pop_front()?;
            if let Some(kept) = kept {
                kept.push_back(message.clone());
            }
            Some(message)
        };
        let written = socket.get_mut().poll_messages(context, timing.write_at_once, next);
        self.forget_sent();
        // Some of a message may be out, and a frame behind it would be taken for its rest.
        self.broken |= matches!(written, Poll::Ready(Err(_)));
        written.map_err(WsError::Io)
    }

    /// What is on the wire need not be kept.
    fn forget_sent(&mut self) {
        let Some(kept) = &mut self.kept else { return };
        let sent = self.socket.get_ref().messages();
        for _ in self.sent..sent {
            kept.pop_front();
        }
        self.sent = sent;
        if kept.is_empty() && kept.capacity() > 0 {
            *kept = VecDeque::new();
        }
    }

    /// Gives the session back: what was not sent whole, and what is still being done. Only closing is left to do then.
    pub(super) fn leave(&mut self) -> Remains {
        self.forget_sent();
        self.left = true;
        let mut unsent = self.kept.take().unwrap_or_default();
        if !unsent.is_empty() {
            // The stream holds what another connection will send: nothing more may go out here.
            self.broken = true;
        }
        unsent.append(&mut self.batch);
        Remains { unsent, serving: self.serving.take() }
    }

    /// The client does not read: not for longer than `write_wait`, and not past the bound of its queue.
    fn poll_stuck(&mut self, context: &mut Context<'_>) -> Poll<End> {
        // To be woken when the queue overflows, even though nothing can be written now.
        if self.session.outbound().poll_closing(context) == Some(Close::QUEUE_FULL) {
            return Poll::Ready(End::Close(Close::QUEUE_FULL));
        }
        // All that was queued is handed over: closing has a time of its own.
        if self.batch.is_empty()
            && let Some(close) = self.session.outbound().closing_now()
        {
            return Poll::Ready(End::Close(close));
        }
        let taken = self.socket.get_ref().taken();
        if taken != self.taken {
            // The client reads, however slowly.
            (self.taken, self.stuck) = (taken, None);
        }
        let wait = self.timing.write_wait;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(wait)));
        stuck.as_mut().poll(context).map(|()| End::Stuck)
    }

    /// The request that takes time: ready when it is served, with an end if it ends the socket; pends without one.
    fn poll_serving(&mut self, context: &mut Context<'_>) -> Poll<Option<End>> {
        let Some(serving) = &mut self.serving else { return Poll::Pending };
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| serving.as_mut().poll(context)));
        let end = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(verdict)) => verdict.end(),
            Err(_) => Some(self.panicked()),
        };
        self.serving = None;
        Poll::Ready(end)
    }

    fn poll_time(&mut self, context: &mut Context<'_>) -> Poll<End> {
        while self.alive.as_mut().poll(context).is_ready() {
            if self.pinged && self.serving.is_some() {
                // The client's pong may lie unread until its request is served, for which there is a bound.
                self.alive.as_mut().reset(Instant::now() + self.timing.pong_wait);
                continue;
            }
            if self.pinged {
                return Poll::Ready(End::Close(Close::IDLE_TIMEOUT));
            }
            self.pinged = true;
            self.alive.as_mut().reset(self.deadline);
            if self.socket.poll_ready_unpin(context).is_ready()
                && self.socket.start_send_unpin(Message::Ping(bytes::Bytes::new())).is_ok()
            {
                self.unflushed = true;
                if let Poll::Ready(end) = self.poll_write(context) {
                    return Poll::Ready(end);
                }
            }
        }
        Poll::Pending
    }

    /// Ping and deadline start anew together.
    fn sign_of_life(&mut self) {
        let now = Instant::now();
        self.deadline = now + self.timing.pong_wait;
        self.alive.as_mut().reset(now + self.timing.ping_period);
        self.pinged = false;
    }

    /// One frame; an end if it ends the socket.
    fn handle(&mut self, dispatch: &impl Fn(&Arc<Session>, Envelope) -> Served, message: Message) -> Option<End> {
        match message {
            Message::Text(text) if self.session.format() == Format::Json => self.request(dispatch, text.as_bytes()),
            Message::Binary(bytes) if self.session.format() == Format::Protobuf => self.request(dispatch, &bytes),
            Message::Text(_) | Message::Binary(_) => Some(End::Close(Close::UNEXPECTED_FRAME_TYPE)),
            Message::Pong(_) => {
                self.sign_of_life();
                None
            }
            // The library has queued the pong; it goes out with the next flush.
            Message::Ping(_) => {
                self.unflushed = true;
                None
            }
            Message::Close(_) => Some(End::ByClient),
            Message::Frame(_) => None,
        }
    }

    fn request(&mut self, dispatch: &impl Fn(&Arc<Session>, Envelope) -> Served, payload: &[u8]) -> Option<End> {
        self.messages_until_alive -= 1;
        if self.messages_until_alive == 0 {
            self.messages_until_alive = self.timing.backoff_threshold;
            self.sign_of_life();
        }
        let Ok(envelope) = envelope::decode(self.session.format(), payload) else {
            return Some(End::Close(Close::MALFORMED_PAYLOAD));
        };
        match dispatch(&self.session, envelope) {
            Served::Now(verdict) => verdict.end(),
            Served::Later(pending) => {
                self.serving = Some(pending);
                None
            }
        }
    }

    /// Ends the connection: what waits is written, then the close frame, then the client's own is waited for.
    pub(super) async fn close(mut self, end: End) {
        if self.broken || end == End::Suspended {
            return;
        }
        let Some(close) = end.told() else {
            if end == End::ByClient {
                let _ = timeout(self.timing.write_wait, self.socket.flush()).await;
            }
            return;
        };
        if !self.left && close != Close::QUEUE_FULL {
            let _ = timeout(self.timing.write_wait, self.write_rest()).await;
        }
        if self.broken {
            return;
        }
        let frame = CloseFrame { code: close.code.into(), reason: close.reason.into() };
        let awaits_answer = frame.code != CloseCode::Size && frame.code != CloseCode::Protocol;
        let sent = timeout(self.timing.write_wait, self.socket.send(Message::Close(Some(frame)))).await;
        if awaits_answer && matches!(sent, Ok(Ok(()))) {
            let until = sleep_until(Instant::now() + self.timing.close_ack_wait);
            tokio::pin!(until);
            tokio::select! {
                () = until => {}
                () = drain(&mut self.socket) => {}
            }
        }
    }

    /// Everything that was queued before the close.
    async fn write_rest(&mut self) -> Result<(), WsError> {
        loop {
            poll_fn(|context| self.poll_batch(context)).await?;
            if !matches!(self.session.outbound().try_take(&mut self.batch), Poll::Ready(None)) {
                return Ok(());
            }
        }
    }
}

/// Reads until the client's close frame, or until there is nothing more to read.
async fn drain<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) {
    while let Some(Ok(message)) = socket.next().await {
        if message.is_close() {
            return;
        }
    }
}

/// What a fault of the transport means for the socket.
fn end_of(error: &WsError) -> End {
    End::Close(match error {
        WsError::Capacity(CapacityError::MessageTooLong { .. }) => Close::MESSAGE_TOO_BIG,
        WsError::Utf8(_) => Close::MALFORMED_PAYLOAD,
        WsError::Protocol(violation) => match violation {
            ProtocolError::UnmaskedFrameFromClient => Close::BAD_MASK,
            ProtocolError::NonZeroReservedBits => Close::RESERVED_BIT,
            ProtocolError::UnknownControlFrameType(opcode)
            | ProtocolError::UnknownDataFrameType(opcode)
            | ProtocolError::InvalidOpcode(opcode) => Close::bad_opcode(*opcode),
            ProtocolError::FragmentedControlFrame => Close::FRAGMENTED_CONTROL,
            ProtocolError::ControlFrameTooBig => Close::LONG_CONTROL,
            ProtocolError::ExpectedFragment(_) => Close::UNFINISHED_MESSAGE,
            ProtocolError::UnexpectedContinueFrame => Close::STRAY_FRAGMENT,
            // The end of the connection, or something after it.
            _ => return End::Lost,
        },
        _ => return End::Lost,
    })
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
