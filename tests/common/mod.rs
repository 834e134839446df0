//! Starts a server on free ports of the loopback interface, and plays a client against it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this module")]

pub mod issuer;
pub mod login;
pub mod parties;
pub mod process;
pub mod raw;
pub mod web;

use futures_util::{SinkExt, StreamExt};
use kizuna::{
    app::{Running, Server},
    clock::{Clock, Entropy},
    config::Config,
};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, handshake::client::generate_key, http},
};

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long a test listens to be sure that nothing comes. What does come arrives in microseconds on loopback.
const QUIET: Duration = Duration::from_millis(100);

/// A server of the test's own, with its data in a temporary folder.
pub struct TestServer {
    pub running: Running,
    pub base: String,
    client: reqwest::Client,
    pub folder: tempfile::TempDir,
}

impl TestServer {
    /// With the defaults, but free ports and no development provider.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With what `change` makes of that.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder"), change).await
    }

    /// On the data of an earlier server.
    pub async fn start_in(folder: tempfile::TempDir, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_built(folder, change, |server| server).await
    }

    /// With hooks or a clock of the test's own, which `build` adds.
    pub async fn start_built(
        folder: tempfile::TempDir,
        change: impl FnOnce(&mut Config),
        build: impl FnOnce(Server) -> Server,
    ) -> Self {
        let running = build(Server::builder(config_in(&folder, change))).start().await.expect("the server starts");
        let base = format!("http://{}", running.http());
        Self { running, base, client: reqwest::Client::new(), folder }
    }

    /// Stops the server and answers its folder.
    pub async fn stop(self) -> tempfile::TempDir {
        self.running.stop().await;
        self.folder
    }

    /// A request with a JSON body (`Value::Null`: none): status and body.
    pub async fn call(&self, method: &str, path: &str, authorization: &str, body: Value) -> (u16, Value) {
        let method = method.parse().expect("a method");
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Signs in with a custom id: the answer's body.
    pub async fn sign_in(&self, id: &str) -> Value {
        let (status, body) =
            self.call("POST", "/v2/account/authenticate/custom", SERVER_KEY, json!({ "id": id })).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Signs in and opens a JSON socket.
    pub async fn player(&self, id: &str) -> Socket {
        let session = self.sign_in(id).await;
        self.connect(text(&session["token"]), "json").await
    }

    /// Opens a socket with a token.
    pub async fn connect(&self, token: &str, format: &str) -> Socket {
        self.try_connect(&format!("token={token}&format={format}&lang=en&status=false"), &[])
            .await
            .unwrap_or_else(|(status, body)| panic!("refused: {status} {body}"))
    }

    /// Opens a socket, or answers the refusal.
    pub async fn try_connect(&self, query: &str, headers: &[(&str, &str)]) -> Result<Socket, (u16, String)> {
        open_socket(self.running.http(), query, headers).await
    }

    /// What the metrics' port answers.
    pub async fn metrics(&self) -> String {
        let address = self.running.metrics().expect("metrics are on");
        let response = self.client.get(format!("http://{address}/metrics")).send().await.expect("an answer");
        response.text().await.expect("a text")
    }
}

/// Opens a socket at a server, or answers the refusal.
pub async fn open_socket(server: SocketAddr, query: &str, headers: &[(&str, &str)]) -> Result<Socket, (u16, String)> {
    let stream = TcpStream::connect(server).await.expect("connected");
    stream.set_nodelay(true).expect("a socket option");
    let mut request = http::Request::builder()
        .uri(format!("ws://{server}/ws?{query}"))
        .header("host", "localhost")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", generate_key());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(()).expect("a request");
    match client_async(request, stream).await {
        Ok((socket, _)) => Ok(Socket { socket }),
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            Err((response.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
        }
        Err(error) => panic!("no answer to the handshake: {error}"),
    }
}

/// The defaults, but free ports and no development provider; and what `change` makes of that.
pub fn config_in(folder: &tempfile::TempDir, change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config { data_dir: folder.path().to_owned(), ..Config::default() };
    config.socket.port = 0;
    config.metrics.port = 0;
    config.dev_provider.enabled = false;
    config.dev_provider.port = 0;
    config.shutdown_grace_sec = 2;
    config.logger.level = "warn".into();
    change(&mut config);
    config
}

/// The server key of the default configuration as Basic credentials.
pub const SERVER_KEY: &str = "Basic ZGVmYXVsdGtleTo=";

/// A JSON text's value.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// A client's socket.
pub struct Socket {
    pub socket: WebSocketStream<TcpStream>,
}

impl Socket {
    /// Sends an envelope as JSON text.
    pub async fn send(&mut self, envelope: Value) {
        self.send_frame(Message::text(envelope.to_string())).await;
    }

    /// Sends a frame as it is.
    pub async fn send_frame(&mut self, frame: Message) {
        timeout(PATIENCE, self.socket.send(frame)).await.expect("sent in time").expect("sent");
    }

    /// The next envelope.
    pub async fn next(&mut self) -> Value {
        match self.next_frame().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("want an envelope, got {other:?}"),
        }
    }

    /// The next data frame or close frame; `None` when the connection is gone.
    pub async fn next_frame(&mut self) -> Option<Message> {
        loop {
            let frame = timeout(PATIENCE, self.socket.next()).await.expect("something comes in time");
            match frame {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(frame)) => return Some(frame),
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// The close frame that must come next: code and reason.
    pub async fn next_close(&mut self) -> (u16, String) {
        match self.next_frame().await {
            Some(Message::Close(Some(frame))) => (frame.code.into(), frame.reason.to_string()),
            other => panic!("want a close frame, got {other:?}"),
        }
    }

    /// Nothing comes.
    pub async fn quiet(&mut self) {
        if let Ok(frame) = timeout(QUIET, self.socket.next()).await {
            panic!("want nothing, got {frame:?}");
        }
    }

    /// Nothing comes but pings.
    pub async fn quiet_but_pings(&mut self) {
        if let Ok(frame) = timeout(QUIET, self.next_frame()).await {
            panic!("want nothing, got {frame:?}");
        }
    }

    /// Sends an envelope and takes the next one as its answer.
    pub async fn ask(&mut self, envelope: Value) -> Value {
        self.send(envelope).await;
        self.next().await
    }

    /// Creates a match: its id and the creator's presence; the creator's own join event is taken in.
    pub async fn create_match(&mut self) -> (String, Value) {
        let answer = self.ask(json!({ "cid": "create", "match_create": {} })).await;
        let created = &answer["match"];
        let id = text(&created["match_id"]).to_owned();
        let event = self.next().await;
        assert_eq!(event["match_presence_event"]["joins"], json!([created["self"]]));
        (id, created["self"].clone())
    }

    /// Joins a match: the joiner's presence; its own join event is taken in.
    pub async fn join_match(&mut self, id: &str) -> Value {
        let answer = self.ask(json!({ "cid": "join", "match_join": { "match_id": id } })).await;
        let own = answer["match"]["self"].clone();
        let event = self.next().await;
        assert_eq!(event["match_presence_event"]["joins"], json!([own]), "{answer}");
        own
    }
}

/// A clock and randomness of the test's own.
pub fn fixed() -> (Clock, Entropy) {
    (Clock::manual(1_790_000_000), Entropy::seeded(1))
}
