//! Players of parties, in either format.

use super::{SERVER_KEY, Socket, TestServer, text};
use kizuna_protocol::envelope::{Format, decode, encode};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// The id of no party.
pub const UNKNOWN: &str = "11111111-1111-4111-8111-111111111111";

/// A player's socket in either format, and the presence that others see.
pub struct Player {
    pub socket: Socket,
    format: Format,
    pub own: Value,
    pub token: String,
}

impl Player {
    pub async fn start(server: &TestServer, id: &str, format: &str) -> Self {
        let path = format!("/v2/account/authenticate/custom?username={id}");
        let (status, session) = server.call("POST", &path, SERVER_KEY, json!({ "id": format!("custom-{id}") })).await;
        assert_eq!(status, 200, "{session}");
        Self::open(server, text(&session["token"]), format).await
    }

    pub async fn open(server: &TestServer, token: &str, format: &str) -> Self {
        let socket = server.connect(token, format).await;
        let format = Format::from_query(format).expect("a format");
        let mut player = Self { socket, format, own: Value::Null, token: token.to_owned() };
        player.own = player.whoami().await;
        player
    }

    /// A player who comes back, known already.
    pub async fn resume(server: &TestServer, token: &str, format: &str, own: Value) -> Self {
        let socket = server.connect(token, format).await;
        let format = Format::from_query(format).expect("a format");
        Self { socket, format, own, token: token.to_owned() }
    }

    /// The own presence, as a match shows it.
    pub async fn whoami(&mut self) -> Value {
        let answer = self.ask(json!({ "match_create": {} })).await;
        self.next().await;
        self.ask(json!({ "match_leave": { "match_id": answer["match"]["match_id"] } })).await;
        answer["match"]["self"].clone()
    }

    pub async fn send(&mut self, envelope: Value) {
        let envelope = decode(Format::Json, envelope.to_string().as_bytes()).expect("an envelope");
        let frame = match self.format {
            Format::Json => Message::text(String::from_utf8_lossy(&encode(Format::Json, &envelope)).into_owned()),
            Format::Protobuf => Message::Binary(encode(Format::Protobuf, &envelope)),
        };
        self.socket.send_frame(frame).await;
    }

    pub async fn next(&mut self) -> Value {
        match self.socket.next_frame().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).expect("JSON"),
            Some(Message::Binary(bytes)) => {
                let envelope = decode(Format::Protobuf, &bytes).expect("an envelope");
                serde_json::from_slice(&encode(Format::Json, &envelope)).expect("JSON")
            }
            other => panic!("want an envelope, got {other:?}"),
        }
    }

    pub async fn ask(&mut self, envelope: Value) -> Value {
        self.send(envelope).await;
        self.next().await
    }

    pub async fn quiet(&mut self) {
        self.socket.quiet().await;
    }

    /// Creates a party and takes in what the creator is told: the party's id.
    pub async fn create(&mut self, open: bool, max_size: i32) -> String {
        let answer = self.ask(json!({ "cid": "c", "party_create": { "open": open, "max_size": max_size } })).await;
        let id = text(&answer["party"]["party_id"]).to_owned();
        assert_eq!(self.next().await["party"]["party_id"], id);
        assert_eq!(self.next().await, joins(&id, &self.own));
        id
    }

    /// Joins an open party and takes in what the joiner is told.
    pub async fn enter(&mut self, id: &str) -> Value {
        assert_eq!(self.join(id).await, json!({ "cid": "j" }));
        let party = self.next().await;
        assert_eq!(self.next().await, joins(id, &self.own));
        party
    }

    pub async fn join(&mut self, id: &str) -> Value {
        self.ask(json!({ "cid": "j", "party_join": { "party_id": id } })).await
    }

    /// An operation about a member or requester.
    pub async fn on(&mut self, operation: &str, id: &str, presence: &Value) -> Value {
        self.ask(about(operation, id, presence)).await
    }

    /// What a request of one kind is answered.
    pub async fn error(&mut self, kind: &str, request: Value) -> (Value, String) {
        let answer = self.ask(json!({ "cid": "e", kind: request })).await;
        assert_eq!(answer["cid"], "e", "{kind}: {answer}");
        (answer["error"]["code"].clone(), text(&answer["error"]["message"]).to_owned())
    }
}

pub fn about(operation: &str, id: &str, presence: &Value) -> Value {
    json!({ "cid": "o", operation: { "party_id": id, "presence": presence } })
}

pub fn joins(id: &str, presence: &Value) -> Value {
    json!({ "party_presence_event": { "party_id": id, "joins": [presence] } })
}

pub fn leaves(id: &str, presence: &Value) -> Value {
    json!({ "party_presence_event": { "party_id": id, "leaves": [presence] } })
}

pub fn leader(id: &str, presence: &Value) -> Value {
    json!({ "party_leader": { "party_id": id, "presence": presence } })
}

pub fn closed(id: &str) -> Value {
    json!({ "party_close": { "party_id": id } })
}

pub fn refused(cid: &str, message: &str) -> Value {
    json!({ "cid": cid, "error": { "code": 3, "message": message } })
}

pub async fn three(server: &TestServer, formats: [&str; 3]) -> [Player; 3] {
    let name = |letter: &str| format!("{letter}-{}", formats.join("-"));
    [
        Player::start(server, &name("a"), formats[0]).await,
        Player::start(server, &name("b"), formats[1]).await,
        Player::start(server, &name("c"), formats[2]).await,
    ]
}

pub const FORMATS: [[&str; 3]; 3] =
    [["json", "json", "json"], ["protobuf", "protobuf", "protobuf"], ["json", "protobuf", "json"]];

/// Nothing of any party is left.
pub fn empty(server: &TestServer) {
    let services = server.running.services();
    assert_eq!((services.metrics.parties.get(), services.metrics.presences.get()), (0, 0));
}

pub async fn until_empty(server: &TestServer) {
    for _ in 0..500 {
        if server.running.services().metrics.parties.get() == 0 {
            return empty(server);
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("parties are left over");
}
