//! A web server for the server under test to talk to: key sets, webhooks.

use super::PATIENCE;
use parking_lot::Mutex;
use serde_json::Value;
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

/// One request; its body as JSON, or as a text if it is none.
#[derive(Clone, Debug)]
pub struct Received {
    pub head: String,
    pub body: Value,
}

/// What to answer: status and body; `None` leaves the request without an answer.
pub type Reply = Option<(u16, String)>;

/// The server, on a port of its own.
pub struct Web {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    came: Notify,
}

impl Web {
    /// Answers each request by `reply`.
    pub async fn start(reply: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), reply).await
    }

    /// At an address that was free a moment ago.
    pub async fn start_at(address: SocketAddr, reply: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (shared, reply) = (Arc::<Shared>::default(), Arc::new(reply));
        let serving = shared.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, serving.clone(), reply.clone()));
            }
        });
        Self { address, shared, task }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Ends it with its connections; nobody listens there any more.
    pub async fn stop(self) -> SocketAddr {
        self.task.abort();
        let _ = self.task.await;
        self.address
    }

    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().clone()
    }

    /// Waits until `count` requests have come.
    pub async fn until(&self, count: usize) -> Vec<Received> {
        let come = async {
            loop {
                let next = self.shared.came.notified();
                tokio::pin!(next);
                next.as_mut().enable();
                if self.shared.received.lock().len() >= count {
                    return self.received();
                }
                next.await;
            }
        };
        timeout(PATIENCE, come).await.expect("the requests come in time")
    }
}

/// One request, one answer.
async fn serve(stream: TcpStream, shared: Arc<Shared>, reply: Arc<impl Fn(&Received) -> Reply>) {
    let mut stream = BufReader::new(stream);
    let Some(request) = read(&mut stream).await else { return };
    let reply = reply(&request);
    shared.received.lock().push(request);
    shared.came.notify_waiters();
    let Some((status, body)) = reply else { return std::future::pending().await };
    let head = format!("HTTP/1.1 {status} Status\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Received> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Received { head, body: value_of(&body) })
}

fn value_of(body: &[u8]) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
}
