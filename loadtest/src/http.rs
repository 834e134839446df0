//! One kept-alive HTTP/1.1 connection.

use crate::{stats::Fault, target::Target};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode, client::conn::http1};
use hyper_util::rt::TokioIo;

/// The largest answer that is read.
const LARGEST_ANSWER: usize = 1 << 20;

/// A connection that is opened when first needed, and again after the server closed it.
#[derive(Debug)]
pub struct HttpConnection {
    target: Target,
    sender: Option<http1::SendRequest<Full<Bytes>>>,
}

impl HttpConnection {
    /// Not connected yet.
    pub fn new(target: &Target) -> Self {
        Self { target: target.clone(), sender: None }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// The connection could not be made or broke, or the answer took longer than the target's timeout.
    pub async fn call(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Fault> {
        let timeout = self.target.timeout();
        let outcome = tokio::time::timeout(timeout, self.exchange(request)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(Fault::new("timed out")));
        if outcome.is_err() {
            self.sender = None;
        }
        outcome
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Fault> {
        let sender = self.ready().await?;
        let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await;
        let body = body.map_err(|_| Fault::new("answer broke off"))?.to_bytes();
        Ok((status, body))
    }

    async fn ready(&mut self) -> Result<&mut http1::SendRequest<Full<Bytes>>, Fault> {
        let usable = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            self.sender = Some(open(&self.target).await?);
        }
        self.sender.as_mut().ok_or_else(|| Fault::new("not connected"))
    }
}

async fn open(target: &Target) -> Result<http1::SendRequest<Full<Bytes>>, Fault> {
    let stream = target.connect().await?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    tokio::spawn(connection);
    Ok(sender)
}

fn broken(error: &hyper::Error) -> Fault {
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        Fault::new("connection closed by the server")
    } else if error.is_parse() {
        Fault::new("answer is not HTTP")
    } else {
        Fault::new("connection broke")
    }
}
