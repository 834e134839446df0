//! The accept loop: which connections are taken, and how they are counted.

use super::{connection, http::Http};
use crate::{lifecycle::Lifecycle, telemetry::KindLabels, telemetry::Metrics};
use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Pause after a failed accept: most often the process is out of file descriptors, and only time frees some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One TCP connection. It counts against `socket.max_connections` until the last handle on it is dropped: who takes the
/// stream over (an upgraded socket) keeps its handle as long as the stream.
#[derive(Debug)]
pub struct Connection {
    /// The other end, as TCP sees it; behind a proxy that is the proxy.
    pub peer: SocketAddr,
    /// The server's life, for what outlives the HTTP part of the connection.
    pub lifecycle: Lifecycle,
    pub(super) activity: connection::Activity,
    metrics: Metrics,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}

/// Serves HTTP on `listener` until the server drains. Connections run on as tasks of `lifecycle`.
pub async fn serve(listener: TcpListener, http: Arc<Http>, lifecycle: Lifecycle) {
    let permits = Arc::new(Semaphore::new(http.max_connections().min(Semaphore::MAX_PERMITS)));
    each(listener, &lifecycle, |stream, peer| admit(stream, peer, &permits, &http, &lifecycle)).await;
}

/// Hands every connection of `listener` to `take` until the server drains.
pub(super) async fn each(listener: TcpListener, lifecycle: &Lifecycle, take: impl Fn(TcpStream, SocketAddr)) {
    let mut draining = pin!(lifecycle.draining());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut draining => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => take(stream, peer),
            Err(error) => recover(&error).await,
        }
    }
}

fn admit(stream: TcpStream, peer: SocketAddr, permits: &Arc<Semaphore>, http: &Arc<Http>, lifecycle: &Lifecycle) {
    let metrics = http.metrics();
    let Ok(permit) = Arc::clone(permits).try_acquire_owned() else {
        metrics.http_refused.get_or_create(&KindLabels { kind: "connections" }).inc();
        return;
    };
    // Small answers leave at once; a stream that cannot be set up so has already failed and says so when read.
    let _ = stream.set_nodelay(true);
    metrics.connections.inc();
    let connection = Arc::new(Connection {
        peer,
        lifecycle: lifecycle.clone(),
        activity: connection::Activity::default(),
        metrics: metrics.clone(),
        _permit: permit,
    });
    lifecycle.spawn(connection::drive(stream, connection, Arc::clone(http)));
}

async fn recover(error: &io::Error) {
    // These concern one connection that is gone; the listener is well.
    if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted) {
        return;
    }
    tracing::warn!(%error, "cannot accept connections");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
