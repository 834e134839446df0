//! One connection's time: how long it may take over a head, stay idle, and linger; and how it drains.

use super::{accept::Connection, http::Http};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    time::{Instant, Sleep, sleep_until, timeout},
};

/// How long and how much is read, and thrown away, of a client that still sends after its answer: closing at once would make
/// the kernel reset the connection, and the client might never see the answer.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: usize = 1_048_576;

/// What the connection's requests tell its timer.
#[derive(Debug, Default)]
pub(super) struct Activity {
    begun: AtomicU32,
    busy: AtomicBool,
}

impl Activity {
    pub(super) fn begin(&self) {
        self.begun.fetch_add(1, Relaxed);
        self.busy.store(true, Relaxed);
    }

    pub(super) fn end(&self) {
        self.busy.store(false, Relaxed);
    }
}

/// Serves `stream` until one side is done with it or an upgrade takes it over.
pub(super) async fn drive(stream: TcpStream, connection: Arc<Connection>, http: Arc<Http>) {
    let service = service_fn(|request| {
        connection.activity.begin();
        let (http, connection) = (Arc::clone(&http), Arc::clone(&connection));
        async move {
            let response = http.answer(request, &connection).await;
            connection.activity.end();
            Ok::<_, Infallible>(response)
        }
    });
    let mut server = http.builder().serve_connection(TokioIo::new(stream), service).with_upgrades();
    let (mut draining, mut ended) = (pin!(connection.lifecycle.draining()), pin!(connection.lifecycle.ended()));
    let mut patience = Patience::new(&http);
    let mut is_draining = false;
    let is_over = std::future::poll_fn(|cx| {
        if !is_draining && draining.as_mut().poll(cx).is_ready() {
            is_draining = true;
            Pin::new(&mut server).graceful_shutdown();
        }
        if Pin::new(&mut server).poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        let is_cut = is_draining && ended.as_mut().poll(cx).is_ready();
        if is_cut || patience.poll_lost(cx, &connection.activity).is_ready() {
            return Poll::Ready(false);
        }
        Poll::Pending
    })
    .await;
    // After an upgrade there is nothing left here: the stream is with the socket.
    if let Some(parts) = server.into_parts()
        && is_over
    {
        linger(parts.io.into_inner()).await;
    }
}

async fn linger(mut stream: TcpStream) {
    let drain = async {
        let (mut waste, mut read) = ([0; 2048], 0);
        while read < LINGER_BYTES {
            match stream.read(&mut waste).await {
                Ok(0) | Err(_) => return,
                Ok(n) => read += n,
            }
        }
    };
    // Whoever sends on beyond this gets the reset.
    let _ = timeout(LINGER, drain).await;
}

/// The timer of a connection that waits for its client: between requests `socket.idle_timeout_ms`, for the head of one
/// `socket.read_timeout_ms`. While a request is in work it does not run: requests have bounds of their own.
///
/// The bytes are hyper's, so a head that has begun is seen by its wake: the connection was idle, was woken, and no request
/// began. The timer itself is moved only when it fires or must fire earlier, not with each request.
struct Patience {
    timer: Pin<Box<Sleep>>,
    read: Duration,
    idle: Duration,
    deadline: Instant,
    waits_for: Wait,
    begun: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// Nothing of a request is there.
    Idle,
    /// Some of its head is.
    Head,
    /// It is in work.
    Answer,
}

impl Patience {
    fn new(http: &Http) -> Self {
        let (read, idle) = http.patience();
        let deadline = Instant::now() + read;
        Self { timer: Box::pin(sleep_until(deadline)), read, idle, deadline, waits_for: Wait::Head, begun: 0 }
    }

    /// Ready when the client has used up its time.
    fn poll_lost(&mut self, cx: &mut Context<'_>, activity: &Activity) -> Poll<()> {
        self.notice(activity);
        if self.waits_for == Wait::Answer {
            return Poll::Pending;
        }
        if self.timer.deadline() > self.deadline {
            self.timer.as_mut().reset(self.deadline);
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if self.timer.deadline() >= self.deadline {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.deadline);
        }
    }

    fn notice(&mut self, activity: &Activity) {
        if activity.busy.load(Relaxed) {
            self.waits_for = Wait::Answer;
            return;
        }
        let begun = activity.begun.load(Relaxed);
        if begun != self.begun {
            self.begun = begun;
            self.waits_for = Wait::Idle;
            self.deadline = Instant::now() + self.idle;
        } else if self.waits_for == Wait::Idle && !self.timer.is_elapsed() {
            self.waits_for = Wait::Head;
            self.deadline = self.deadline.min(Instant::now() + self.read);
        }
    }
}
