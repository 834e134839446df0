//! A web server for webhooks to talk to: on a port of its own, with answers that a test makes up.

use parking_lot::Mutex;
use serde_json::Value;
use std::sync::Arc;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// What to answer.
pub(crate) enum Reply {
    /// A status and a body.
    Answer(u16, String),
    /// This header, in a redirect.
    Redirect(String),
    /// Nothing, ever.
    Hang,
    /// Something that is no HTTP.
    Garbage,
    /// A body without end.
    Endless,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) head: String,
    pub(crate) body: Value,
}

/// The server; it ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Listener {
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
    came: Arc<Notify>,
}

impl Listener {
    /// Answers the n-th request (from 0) with `reply(n)`.
    pub(crate) async fn start(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/hook", socket.local_addr().expect("it is bound"));
        let this = Self { url, received: Arc::default(), came: Arc::default() };
        let (server, reply) = (this.clone(), Arc::new(reply));
        tokio::spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                tokio::spawn(server.clone().serve(stream, Arc::clone(&reply)));
            }
        });
        this
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().clone()
    }

    /// Waits until `count` requests have come.
    pub(crate) async fn until(&self, count: usize) -> Vec<Received> {
        let come = async {
            loop {
                let next = self.came.notified();
                if self.received.lock().len() >= count {
                    return self.received();
                }
                next.await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), come).await.expect("the requests come")
    }

    async fn serve(self, stream: TcpStream, reply: Arc<impl Fn(usize) -> Reply>) {
        let mut stream = BufReader::new(stream);
        while let Some(request) = read(&mut stream).await {
            let number = {
                let mut received = self.received.lock();
                received.push(request);
                received.len() - 1
            };
            self.came.notify_waiters();
            let text = match reply(number) {
                Reply::Answer(status, body) => answer(status, "", &body),
                Reply::Redirect(to) => answer(307, &format!("location: {to}\r\n"), ""),
                Reply::Hang => return std::future::pending().await,
                Reply::Garbage => "no http\r\n\r\n".to_owned(),
                Reply::Endless => return endless(stream).await,
            };
            if stream.write_all(text.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} Status\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

async fn endless(mut stream: BufReader<TcpStream>) {
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n").await;
    while stream.write_all(&[b' '; 4_096]).await.is_ok() {}
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
    Some(Received { head, body: serde_json::from_slice(&body).ok()? })
}
