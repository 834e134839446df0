//! Key sets over real sockets: rows 28 and 29, and an identity provider that goes away.

use crate::support::*;
use kizuna::{
    config::{Identity, KeySource, TrustEntry},
    identity::Reason,
};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

/// A server that answers every connection with the same bytes, then closes it.
struct Server {
    url: String,
    served: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    async fn answering(answer: Vec<u8>) -> Self {
        Self::dripping(answer, None).await
    }

    /// Sends one byte per `pause`, if any.
    async fn dripping(answer: Vec<u8>, pause: Option<Duration>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/jwks.json", listener.local_addr().expect("bound"));
        let served = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&served);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read(&mut [0; 2_048]).await;
                match pause {
                    None => drop(stream.write_all(&answer).await),
                    Some(pause) => {
                        for byte in &answer {
                            if stream.write_all(&[*byte]).await.is_err() {
                                break;
                            }
                            tokio::time::sleep(pause).await;
                        }
                    }
                }
            }
        });
        Self { url, served, task }
    }

    fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn http(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

fn keys() -> Vec<u8> {
    key_set(&[rsa_jwk("rsa", &RSA)]).into_bytes()
}

fn config(url: &str) -> Identity {
    Identity {
        jwks_allow_loopback_http: true,
        ..trusting(vec![TrustEntry { jwks: KeySource::Url(url.into()), ..entry() }])
    }
}

async fn unavailable(config: &Identity) {
    Bridge::with(config).refuses(&token(&json!({})), Reason::KeysUnavailable).await;
}

#[tokio::test]
async fn keys_are_fetched_once_and_then_the_provider_may_go_away() {
    let server = Server::answering(http("200 OK", "content-type: application/json\r\n", &keys())).await;
    let bridge = Bridge::with(&config(&server.url));
    bridge.accepts(&token(&json!({}))).await;
    let served = Arc::clone(&server.served);
    drop(server);
    for _ in 0..100 {
        bridge.accepts(&token(&json!({}))).await;
    }
    assert_eq!(served.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_name_of_loopback_will_do() {
    let server = Server::answering(http("200 OK", "", &keys())).await;
    let bridge = Bridge::with(&config(&server.url.replace("127.0.0.1", "localhost")));
    bridge.accepts(&token(&json!({}))).await;
}

#[tokio::test]
async fn row_29_redirects_are_not_followed() {
    let target = Server::answering(http("200 OK", "", &keys())).await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let server = Server::answering(http(status, &format!("location: {}\r\n", target.url), b"")).await;
        unavailable(&config(&server.url)).await;
        assert_eq!(server.served(), 1);
    }
    assert_eq!(target.served(), 0);
}

#[tokio::test]
async fn only_status_200_is_an_answer() {
    for status in ["204 No Content", "206 Partial Content", "404 Not Found", "500 Internal Server Error"] {
        let server = Server::answering(http(status, "", &keys())).await;
        unavailable(&config(&server.url)).await;
        assert_eq!(server.served(), 1, "{status} is not tried again");
    }
}

#[tokio::test]
async fn a_broken_connection_is_tried_again_once() {
    let server = Server::answering(Vec::new()).await;
    unavailable(&config(&server.url)).await;
    assert_eq!(server.served(), 2);
    let closed = server.url.clone();
    drop(server);
    unavailable(&config(&closed)).await;
}

#[tokio::test]
async fn row_28_a_huge_body_is_not_read() {
    let huge = [keys(), vec![b' '; 400_000]].concat();
    let announced = Server::answering(http("200 OK", &format!("content-length: {}\r\n", huge.len()), &huge)).await;
    unavailable(&config(&announced.url)).await;
    let unannounced = Server::answering(http("200 OK", "", &huge)).await;
    unavailable(&config(&unannounced.url)).await;
}

#[tokio::test]
async fn row_28_a_slow_drip_ends_with_the_time_for_it() {
    let server = Server::dripping(http("200 OK", "", &keys()), Some(Duration::from_millis(20))).await;
    let begun = tokio::time::Instant::now();
    unavailable(&Identity { jwks_timeout_ms: 100, ..config(&server.url) }).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "bounded as a whole, not byte by byte");
}

#[tokio::test]
async fn row_28_nothing_is_inflated() {
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut zipped, &vec![b' '; 64 << 20]).expect("in memory");
    let zipped = zipped.finish().expect("in memory");
    assert!(zipped.len() < 262_144, "small as sent");
    let server = Server::answering(http("200 OK", "content-encoding: gzip\r\n", &zipped)).await;
    unavailable(&config(&server.url)).await;
}
