//! A client that speaks raw bytes, for requests that no library would send.

use super::{PATIENCE, TestServer};
use kizuna::{config::Config, features::Services, lifecycle::Lifecycle};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use uuid::Uuid;

/// A server for raw requests.
pub struct Server {
    pub address: SocketAddr,
    pub services: Arc<Services>,
    pub life: Lifecycle,
    _server: TestServer,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(configure: impl FnOnce(&mut Config)) -> Self {
        let server = TestServer::start_with(|config| {
            config.password.bcrypt_cost = 10;
            configure(config);
        })
        .await;
        let running = &server.running;
        let (address, services, life) = (running.http(), running.services().clone(), running.lifecycle().clone());
        Self { address, services, life, _server: server }
    }

    pub async fn connect(&self) -> Raw {
        Raw(TcpStream::connect(self.address).await.expect("a connection"))
    }

    /// The answer to a request on a connection of its own.
    pub async fn ask(&self, request: &str) -> Answer {
        self.ask_bytes(request.as_bytes()).await
    }

    pub async fn ask_bytes(&self, request: &[u8]) -> Answer {
        let mut raw = self.connect().await;
        raw.send(request).await;
        raw.answer().await
    }

    /// A good session token of a user without an account.
    pub fn token(&self) -> String {
        let token_id = self.services.entropy.token_id(&self.services.clock);
        self.services.tokens.issue(token_id, Uuid::from_u128(7), "player", &BTreeMap::new(), None).token
    }
}

pub struct Raw(pub TcpStream);

impl Raw {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.expect("an open connection");
    }

    /// The next answer, body and all.
    pub async fn answer(&mut self) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            let read = timeout(PATIENCE, self.0.read(&mut byte)).await.expect("an answer in time").expect("an answer");
            assert!(read == 1, "the connection ended after {:?}", String::from_utf8_lossy(&head));
            head.push(byte[0]);
        }
        let mut answer = Answer::parse(&String::from_utf8(head).expect("UTF-8"));
        let length = answer.header("content-length").map_or(0, |length| length.parse().expect("a number"));
        answer.body = vec![0; length];
        timeout(PATIENCE, self.0.read_exact(&mut answer.body)).await.expect("a body in time").expect("a whole body");
        answer
    }

    /// What comes until the server closes.
    pub async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.expect("an end in time").expect("a clean end");
        String::from_utf8(rest).expect("UTF-8")
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    fn parse(head: &str) -> Self {
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status line");
        let headers = lines.map(|line| line.split_once(": ").expect("a header"));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        Self { status, headers: headers.collect(), body: Vec::new() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Status and body.
    pub fn short(&self) -> (u16, &str) {
        (self.status, self.text())
    }
}
