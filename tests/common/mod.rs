//! A server on a free port, with a store of its own, and a client that speaks raw bytes.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of this")]

use kizuna::{
    clock::{Clock, Entropy},
    config::Config,
    features::{Services, passwords::Passwords},
    hooks::Hooks,
    identity::session::SessionTokens,
    lifecycle::Lifecycle,
    net::{self, Http},
    realtime::Realtime,
    store::Store,
    telemetry::Metrics,
};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use uuid::Uuid;

/// No step of a test takes longer, unless something is wrong.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct Server {
    pub address: SocketAddr,
    pub services: Arc<Services>,
    pub life: Lifecycle,
    _dir: TempDir,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.hooks.before.clear();
        config.password.bcrypt_cost = 4;
        configure(&mut config);
        let (clock, entropy, metrics) = (Clock::system(), Entropy::system(), Metrics::unregistered());
        let dir = TempDir::new().unwrap();
        let hooks = Hooks::builder().build(&config.hooks, clock.clone(), entropy.clone(), metrics.clone());
        let services = Arc::new(Services {
            store: Store::open(&config.store, dir.path(), clock.clone()).unwrap(),
            tokens: SessionTokens::new(&config.session, clock.clone(), entropy.clone()),
            hooks: hooks.unwrap(),
            passwords: Passwords::new(&config.password, entropy.clone()),
            realtime: Realtime::default(),
            config: Arc::new(config),
            clock,
            entropy,
            metrics,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, life) = (listener.local_addr().unwrap(), Lifecycle::new());
        let http = Arc::new(Http::new(Arc::clone(&services)).unwrap());
        life.spawn(net::serve(listener, http, life.clone()));
        Self { address, services, life, _dir: dir }
    }

    pub async fn connect(&self) -> Raw {
        Raw(TcpStream::connect(self.address).await.unwrap())
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
        self.services.tokens.issue(token_id, Uuid::from_u128(7), "player", &BTreeMap::new()).token
    }
}

pub struct Raw(pub TcpStream);

impl Raw {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next answer, body and all.
    pub async fn answer(&mut self) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            let read = timeout(PATIENCE, self.0.read(&mut byte)).await.expect("an answer in time").unwrap();
            assert!(read == 1, "the connection ended after {:?}", String::from_utf8_lossy(&head));
            head.push(byte[0]);
        }
        let mut answer = Answer::parse(&String::from_utf8(head).unwrap());
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        answer.body = vec![0; length];
        timeout(PATIENCE, self.0.read_exact(&mut answer.body)).await.expect("a body in time").unwrap();
        answer
    }

    /// What comes until the server closes.
    pub async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.expect("an end in time").unwrap();
        String::from_utf8(rest).unwrap()
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
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap()).map(|(n, v)| (n.to_lowercase(), v.to_owned()));
        Self { status, headers: headers.collect(), body: Vec::new() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Status and body.
    pub fn short(&self) -> (u16, &str) {
        (self.status, self.text())
    }
}
