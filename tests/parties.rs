//! Parties at the wire, as spec/parties.md tells them.

mod common;

use common::{SERVER_KEY, Socket, TestServer, text};
use kizuna_protocol::envelope::{Format, decode, encode};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

const UNKNOWN: &str = "11111111-1111-4111-8111-111111111111";

/// A player's socket in either format, and the presence that others see.
struct Player {
    socket: Socket,
    format: Format,
    own: Value,
    token: String,
}

impl Player {
    async fn start(server: &TestServer, id: &str, format: &str) -> Self {
        let path = format!("/v2/account/authenticate/custom?username={id}");
        let (status, session) = server.call("POST", &path, SERVER_KEY, json!({ "id": format!("custom-{id}") })).await;
        assert_eq!(status, 200, "{session}");
        Self::open(server, text(&session["token"]), format).await
    }

    async fn open(server: &TestServer, token: &str, format: &str) -> Self {
        let socket = server.connect(token, format).await;
        let format = Format::from_query(format).expect("a format");
        let mut player = Self { socket, format, own: Value::Null, token: token.to_owned() };
        player.own = player.whoami().await;
        player
    }

    /// The own presence, as a match shows it.
    async fn whoami(&mut self) -> Value {
        let answer = self.ask(json!({ "match_create": {} })).await;
        self.next().await;
        self.ask(json!({ "match_leave": { "match_id": answer["match"]["match_id"] } })).await;
        answer["match"]["self"].clone()
    }

    async fn send(&mut self, envelope: Value) {
        let envelope = decode(Format::Json, envelope.to_string().as_bytes()).expect("an envelope");
        let frame = match self.format {
            Format::Json => Message::text(String::from_utf8_lossy(&encode(Format::Json, &envelope)).into_owned()),
            Format::Protobuf => Message::Binary(encode(Format::Protobuf, &envelope)),
        };
        self.socket.send_frame(frame).await;
    }

    async fn next(&mut self) -> Value {
        match self.socket.next_frame().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).expect("JSON"),
            Some(Message::Binary(bytes)) => {
                let envelope = decode(Format::Protobuf, &bytes).expect("an envelope");
                serde_json::from_slice(&encode(Format::Json, &envelope)).expect("JSON")
            }
            other => panic!("want an envelope, got {other:?}"),
        }
    }

    async fn ask(&mut self, envelope: Value) -> Value {
        self.send(envelope).await;
        self.next().await
    }

    async fn quiet(&mut self) {
        self.socket.quiet().await;
    }

    /// Creates a party and takes in what the creator is told: the party's id.
    async fn create(&mut self, open: bool, max_size: i32) -> String {
        let answer = self.ask(json!({ "cid": "c", "party_create": { "open": open, "max_size": max_size } })).await;
        let id = text(&answer["party"]["party_id"]).to_owned();
        assert_eq!(self.next().await["party"]["party_id"], id);
        assert_eq!(self.next().await, joins(&id, &self.own));
        id
    }

    /// Joins an open party and takes in what the joiner is told.
    async fn enter(&mut self, id: &str) -> Value {
        assert_eq!(self.join(id).await, json!({ "cid": "j" }));
        let party = self.next().await;
        assert_eq!(self.next().await, joins(id, &self.own));
        party
    }

    async fn join(&mut self, id: &str) -> Value {
        self.ask(json!({ "cid": "j", "party_join": { "party_id": id } })).await
    }

    /// An operation about a member or requester.
    async fn on(&mut self, operation: &str, id: &str, presence: &Value) -> Value {
        self.ask(about(operation, id, presence)).await
    }

    /// What a request of one kind is answered.
    async fn error(&mut self, kind: &str, request: Value) -> (Value, String) {
        let answer = self.ask(json!({ "cid": "e", kind: request })).await;
        assert_eq!(answer["cid"], "e", "{kind}: {answer}");
        (answer["error"]["code"].clone(), text(&answer["error"]["message"]).to_owned())
    }
}

fn about(operation: &str, id: &str, presence: &Value) -> Value {
    json!({ "cid": "o", operation: { "party_id": id, "presence": presence } })
}

fn joins(id: &str, presence: &Value) -> Value {
    json!({ "party_presence_event": { "party_id": id, "joins": [presence] } })
}

fn leaves(id: &str, presence: &Value) -> Value {
    json!({ "party_presence_event": { "party_id": id, "leaves": [presence] } })
}

fn leader(id: &str, presence: &Value) -> Value {
    json!({ "party_leader": { "party_id": id, "presence": presence } })
}

fn closed(id: &str) -> Value {
    json!({ "party_close": { "party_id": id } })
}

fn refused(cid: &str, message: &str) -> Value {
    json!({ "cid": cid, "error": { "code": 3, "message": message } })
}

async fn three(server: &TestServer, formats: [&str; 3]) -> [Player; 3] {
    let name = |letter: &str| format!("{letter}-{}", formats.join("-"));
    [
        Player::start(server, &name("a"), formats[0]).await,
        Player::start(server, &name("b"), formats[1]).await,
        Player::start(server, &name("c"), formats[2]).await,
    ]
}

const FORMATS: [[&str; 3]; 3] =
    [["json", "json", "json"], ["protobuf", "protobuf", "protobuf"], ["json", "protobuf", "json"]];

/// Nothing of any party is left.
fn empty(server: &TestServer) {
    let services = server.running.services();
    assert_eq!((services.metrics.parties.get(), services.metrics.presences.get()), (0, 0));
}

async fn until_empty(server: &TestServer) {
    for _ in 0..500 {
        if server.running.services().metrics.parties.get() == 0 {
            return empty(server);
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("parties are left over");
}

#[tokio::test]
async fn a_closed_party_asks_its_leader_who_is_let_in() {
    let server = TestServer::start().await;
    for formats in FORMATS {
        let [mut a, mut b, _c] = three(&server, formats).await;
        let (own_a, own_b) = (a.own.clone(), b.own.clone());
        let answer = a.ask(json!({ "cid": "1", "party_create": { "open": false, "max_size": 3 } })).await;
        let id = text(&answer["party"]["party_id"]).to_owned();
        assert!(id.ends_with(".kizuna"), "the node's name: {id}");
        let party = json!({ "party_id": id, "max_size": 3, "self": own_a, "leader": own_a, "presences": [own_a] });
        assert_eq!(answer, json!({ "cid": "1", "party": party }));
        assert_eq!(a.next().await, json!({ "party": party }));
        assert_eq!(a.next().await, joins(&id, &own_a));

        let request = json!({ "cid": "1", "party_join": { "party_id": id } });
        assert_eq!(b.ask(request.clone()).await, json!({ "cid": "1" }));
        let asking = json!({ "party_id": id, "presences": [own_b] });
        assert_eq!(a.next().await, json!({ "party_join_request": asking }));
        assert_eq!(b.ask(request).await, refused("1", "Error joining party: party join request duplicate"));
        let list = json!({ "cid": "2", "party_join_request_list": { "party_id": id } });
        assert_eq!(a.ask(list.clone()).await, json!({ "cid": "2", "party_join_request": asking }));

        assert_eq!(a.on("party_accept", &id, &own_b).await, json!({ "cid": "o" }));
        assert_eq!(a.next().await, joins(&id, &own_b));
        let party =
            json!({ "party_id": id, "max_size": 3, "self": own_b, "leader": own_a, "presences": [own_a, own_b] });
        assert_eq!(b.next().await, json!({ "party": party }));
        assert_eq!(b.next().await, joins(&id, &own_b));
        assert_eq!(a.ask(list).await, json!({ "cid": "2", "party_join_request": { "party_id": id } }));
        let again = "Error accepting party join request: party join request not found";
        assert_eq!(a.on("party_accept", &id, &own_b).await, refused("o", again));

        let send = json!({ "cid": "6", "party_data_send": { "party_id": id, "op_code": "5", "data": "aGk=" } });
        assert_eq!(b.ask(send).await, json!({ "cid": "6" }));
        let data = json!({ "party_id": id, "presence": own_b, "op_code": "5", "data": "aGk=" });
        assert_eq!(a.next().await, json!({ "party_data": data }));
        let send = json!({ "cid": "7", "party_data_send": { "party_id": id } });
        assert_eq!(a.ask(send).await, json!({ "cid": "7" }));
        assert_eq!(b.next().await, json!({ "party_data": { "party_id": id, "presence": own_a } }));

        assert_eq!(a.on("party_promote", &id, &own_b).await, leader(&id, &own_b));
        assert_eq!(a.next().await, json!({ "cid": "o" }));
        assert_eq!(b.next().await, leader(&id, &own_b));
        a.quiet().await;
        b.quiet().await;
    }
    until_empty(&server).await;
}

#[tokio::test]
async fn a_party_outlives_its_leaders_until_one_closes_it() {
    let server = TestServer::start().await;
    for formats in FORMATS {
        let [mut a, mut b, mut c] = three(&server, formats).await;
        let (own_a, own_b, own_c) = (a.own.clone(), b.own.clone(), c.own.clone());
        let id = a.create(true, 3).await;
        b.enter(&id).await;
        a.next().await;
        a.on("party_promote", &id, &own_b).await;
        a.next().await;
        b.next().await;

        let change = json!({ "party_id": id, "label": "{\"m\":1}", "open": true });
        let told = json!({ "party_update": change });
        assert_eq!(b.ask(json!({ "cid": "9", "party_update": change })).await, told);
        assert_eq!(b.next().await, json!({ "cid": "9" }));
        assert_eq!(a.next().await, told);

        let party = json!({ "party_id": id, "open": true, "max_size": 3, "self": own_c, "leader": own_b,
            "presences": [own_a, own_b, own_c] });
        assert_eq!(c.enter(&id).await, json!({ "party": party }));
        for other in [&mut a, &mut b] {
            assert_eq!(other.next().await, joins(&id, &own_c));
        }
        assert_eq!(b.on("party_remove", &id, &own_c).await, json!({ "cid": "o" }));
        assert_eq!(b.next().await, leaves(&id, &own_c));
        assert_eq!(a.next().await, leaves(&id, &own_c));
        assert_eq!(c.next().await, closed(&id));
        c.enter(&id).await;
        a.next().await;
        b.next().await;

        assert_eq!(b.ask(json!({ "cid": "13", "party_leave": { "party_id": id } })).await, json!({ "cid": "13" }));
        for other in [&mut a, &mut c] {
            assert_eq!(other.next().await, leader(&id, &own_a), "the one who came first leads");
            assert_eq!(other.next().await, leaves(&id, &own_b));
        }
        drop(a);
        assert_eq!(c.next().await, leader(&id, &own_c));
        assert_eq!(c.next().await, leaves(&id, &own_a));
        b.enter(&id).await;
        c.next().await;
        let close = json!({ "cid": "16", "party_close": { "party_id": id } });
        assert_eq!(b.ask(close.clone()).await, refused("16", "Error closing party: party leader only"));
        assert_eq!(c.ask(close).await, closed(&id));
        assert_eq!(c.next().await, json!({ "cid": "16" }));
        assert_eq!(b.next().await, closed(&id));
        b.quiet().await;
        assert_eq!(b.join(&id).await, refused("j", "Error joining party: party not found"));
        c.quiet().await;
    }
    empty(&server);
}

#[tokio::test]
async fn a_party_ends_with_its_last_member() {
    let server = TestServer::start().await;
    let mut a = Player::start(&server, "a", "json").await;
    let mut b = Player::start(&server, "b", "json").await;
    let id = a.create(true, 2).await;
    b.enter(&id).await;
    a.next().await;
    let leave = json!({ "cid": "l", "party_leave": { "party_id": id } });
    b.ask(leave.clone()).await;
    assert_eq!(a.next().await, leaves(&id, &b.own), "no new leader where the leader stays");
    assert_eq!(b.ask(leave.clone()).await, json!({ "cid": "l" }), "who is no member is answered the same");
    assert_eq!(a.ask(leave.clone()).await, json!({ "cid": "l" }));
    assert_eq!(a.ask(leave).await, json!({ "cid": "l" }), "and so for a party that is no more");
    a.quiet().await;
    assert_eq!(b.join(&id).await, refused("j", "Error joining party: party not found"));
    empty(&server);
}

#[tokio::test]
async fn a_party_has_one_to_256_members() {
    let server = TestServer::start().await;
    let mut a = Player::start(&server, "a", "json").await;
    for request in [json!({}), json!({ "max_size": 0 }), json!({ "max_size": -1 }), json!({ "max_size": 257 })] {
        let expected = (json!(3), "Invalid party max size, must be 1-256".to_owned());
        assert_eq!(a.error("party_create", request.clone()).await, expected, "{request}");
    }
    a.create(false, 256).await;
    let id = a.create(true, 1).await;
    let mut b = Player::start(&server, "b", "json").await;
    assert_eq!(b.join(&id).await, refused("j", "Error joining party: party full"));
}

#[tokio::test]
async fn the_creators_label_is_shown_to_the_creator_alone_and_has_its_rules() {
    let server = TestServer::start().await;
    let mut a = Player::start(&server, "a", "json").await;
    let create = json!({ "open": true, "hidden": true, "max_size": 2, "label": "{\"a\": 1}" });
    let answer = a.ask(json!({ "cid": "1", "party_create": create })).await;
    assert_eq!((&answer["party"]["label"], &answer["party"]["hidden"]), (&json!("{\"a\": 1}"), &json!(true)));
    let second = a.next().await;
    assert_eq!((&second["party"]["label"], &second["party"]["hidden"]), (&Value::Null, &Value::Null));
    a.next().await;
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(2_048));
    let id = answer["party"]["party_id"].clone();
    for (kind, prefix) in [("party_create", "Error creating party"), ("party_update", "Error updating party")] {
        let request = |label: &str| json!({ "party_id": id, "max_size": 2, "label": label });
        let request = |label: &str| {
            let mut request = request(label);
            let needless = if kind == "party_create" { "party_id" } else { "max_size" };
            request.as_object_mut().expect("an object").remove(needless);
            request
        };
        let (_, message) = a.error(kind, request(&long)).await;
        assert_eq!(message, format!("{prefix}: party label too long"));
        for label in ["[]", "1", "x", "{", "\"text\""] {
            let (code, message) = a.error(kind, request(label)).await;
            assert_eq!(code, 3);
            assert!(message.starts_with(&format!("{prefix}: failed to unmarshal party label: ")), "{message}");
        }
    }
    let update = json!({ "cid": "2", "party_update": { "party_id": id, "label": "null" } });
    assert_eq!(a.ask(update).await["party_update"]["label"], "null");
}

#[tokio::test]
async fn an_id_that_is_none_is_malformed_and_one_of_nobody_is_not_found() {
    let server = TestServer::start().await;
    let mut a = Player::start(&server, "a", "json").await;
    let id = a.create(false, 2).await;
    let uuid = id.split('.').next().expect("two parts").to_owned();
    let presence = a.own.clone();
    let operations = [
        ("party_join", "Error joining party"),
        ("party_promote", "Error promoting new party leader"),
        ("party_accept", "Error accepting party join request"),
        ("party_remove", "Error removing party member or join request"),
        ("party_close", "Error closing party"),
        ("party_join_request_list", "Error listing party join requests"),
        ("party_data_send", "Error sending party data"),
        ("party_update", "Error updating party"),
        ("party_leave", ""),
    ];
    for (kind, prefix) in operations {
        let request = |id: &str| {
            let mut request = json!({ "party_id": id });
            if ["party_promote", "party_accept", "party_remove"].contains(&kind) {
                request["presence"] = presence.clone();
            }
            request
        };
        for malformed in ["", ".", &uuid, "abc.kizuna", ".kizuna", &format!("{uuid}."), &format!("x{uuid}.kizuna")] {
            let expected = (json!(3), "Invalid party ID".to_owned());
            assert_eq!(a.error(kind, request(malformed)).await, expected, "{kind} {malformed}");
        }
        for unknown in
            [format!("{UNKNOWN}.kizuna"), format!("{uuid}.other"), format!("{id}.x"), format!("{uuid}.Kizuna")]
        {
            let answer = a.ask(json!({ "cid": "u", kind: request(&unknown) })).await;
            let expected = match prefix {
                "" => json!({ "cid": "u" }),
                prefix => refused("u", &format!("{prefix}: party not found")),
            };
            assert_eq!(answer, expected, "{kind} {unknown}");
        }
    }
    let list = |id: String| json!({ "cid": "l", "party_join_request_list": { "party_id": id } });
    for spelling in [uuid.to_uppercase(), uuid.replace('-', ""), format!("{{{uuid}}}"), format!("urn:uuid:{uuid}")] {
        let other = format!("{spelling}.kizuna");
        let expected = json!({ "cid": "l", "party_join_request": { "party_id": other } });
        assert_eq!(a.ask(list(other.clone())).await, expected, "the list's id is the one asked with");
    }
}

#[tokio::test]
async fn what_is_the_leaders_is_refused_to_everybody_else() {
    let server = TestServer::start().await;
    let [mut a, mut b, mut stranger] = three(&server, FORMATS[0]).await;
    let id = a.create(true, 3).await;
    b.enter(&id).await;
    a.next().await;
    // Leadership is the session's: another socket of the same user is a stranger.
    let mut twin = Player::open(&server, &a.token, "json").await;
    let presence = b.own.clone();
    for (kind, prefix) in [
        ("party_promote", "Error promoting new party leader"),
        ("party_accept", "Error accepting party join request"),
        ("party_remove", "Error removing party member or join request"),
        ("party_close", "Error closing party"),
        ("party_join_request_list", "Error listing party join requests"),
        ("party_update", "Error updating party"),
    ] {
        for player in [&mut b, &mut stranger, &mut twin] {
            let mut request = json!({ "party_id": id });
            if ["party_promote", "party_accept", "party_remove"].contains(&kind) {
                request["presence"] = presence.clone();
            }
            let expected = (json!(3), format!("{prefix}: party leader only"));
            assert_eq!(player.error(kind, request).await, expected, "{kind}");
        }
    }
    let data = stranger.error("party_data_send", json!({ "party_id": id })).await;
    assert_eq!(data, (json!(3), "Error sending party data: party member not found".to_owned()));
    a.quiet().await;
    b.quiet().await;
}

#[tokio::test]
async fn a_presence_is_looked_at_before_everything_else_and_has_to_be_right_in_all_its_parts() {
    let server = TestServer::start().await;
    let [mut a, mut b, c] = three(&server, FORMATS[0]).await;
    let id = a.create(false, 3).await;
    b.join(&id).await;
    a.next().await;
    let unknown = [
        ("party_promote", "Error promoting new party leader: party member not found"),
        ("party_accept", "Error accepting party join request: party join request not found"),
        ("party_remove", "Error removing party member or join request: party member not found"),
    ];
    for (kind, not_found) in unknown {
        let mut incomplete = vec![json!({ "party_id": "malformed" })];
        for field in ["user_id", "session_id", "username"] {
            let mut presence = b.own.clone();
            presence[field] = json!("");
            incomplete.push(json!({ "party_id": "malformed", "presence": presence }));
            let mut presence = b.own.clone();
            presence[field] = a.own[field].clone();
            let wrong = json!({ "party_id": id, "presence": presence });
            assert_eq!(a.error(kind, wrong).await, (json!(3), not_found.to_owned()), "{kind} {field}");
        }
        for request in incomplete {
            assert_eq!(a.error(kind, request.clone()).await, (json!(3), "Invalid presence".to_owned()), "{request}");
        }
        let stranger = json!({ "party_id": id, "presence": c.own });
        assert_eq!(a.error(kind, stranger).await, (json!(3), not_found.to_owned()), "{kind} of a stranger");
    }
    let own = json!({ "party_id": id, "presence": a.own });
    let expected = "Error removing party member or join request: party cannot remove self".to_owned();
    assert_eq!(a.error("party_remove", own).await, (json!(3), expected));
}

#[tokio::test]
async fn requests_wait_in_order_up_to_the_size_of_the_party() {
    let server = TestServer::start().await;
    let [mut a, mut b, mut c] = three(&server, FORMATS[0]).await;
    let id = a.create(false, 2).await;
    for asking in [&mut b, &mut c] {
        assert_eq!(asking.join(&id).await, json!({ "cid": "j" }));
        assert_eq!(a.next().await["party_join_request"]["presences"], json!([asking.own]));
    }
    let mut d = Player::start(&server, "d", "json").await;
    assert_eq!(d.join(&id).await, refused("j", "Error joining party: party join requests full"));
    // Turning one down is silent, and whoever was turned down may ask again, now behind the others.
    assert_eq!(a.on("party_remove", &id, &b.own).await, json!({ "cid": "o" }));
    b.quiet().await;
    b.join(&id).await;
    a.next().await;
    let list = json!({ "cid": "l", "party_join_request_list": { "party_id": id } });
    assert_eq!(a.ask(list).await["party_join_request"]["presences"], json!([c.own, b.own]));
    // An accept that finds the party full leaves the request where it is.
    a.on("party_accept", &id, &c.own).await;
    a.next().await;
    let full = "Error accepting party join request: party full";
    assert_eq!(a.on("party_accept", &id, &b.own).await, refused("o", full));
    assert_eq!(a.on("party_accept", &id, &b.own).await, refused("o", full));
    assert_eq!(d.join(&id).await, refused("j", "Error joining party: party full"));
}

#[tokio::test]
async fn a_user_asks_once_whatever_the_socket_and_may_be_gone_when_accepted() {
    let server = TestServer::start().await;
    let [mut a, mut b, _c] = three(&server, FORMATS[0]).await;
    let mut twin = Player::open(&server, &b.token, "protobuf").await;
    let id = a.create(false, 4).await;
    b.join(&id).await;
    a.next().await;
    assert_eq!(twin.join(&id).await, refused("j", "Error joining party: party join request duplicate"));
    let own_b = b.own.clone();
    drop(b);
    while server.running.services().realtime.registry().len() > 3 {
        tokio::task::yield_now().await;
    }
    let list = json!({ "cid": "l", "party_join_request_list": { "party_id": id } });
    assert_eq!(a.ask(list.clone()).await["party_join_request"]["presences"], json!([own_b]), "it still stands there");
    let gone = "Error accepting party join request: party could not accept request";
    assert_eq!(a.on("party_accept", &id, &own_b).await, refused("o", gone));
    assert_eq!(a.ask(list).await["party_join_request"], json!({ "party_id": id }), "and is used up by the try");
    assert_eq!(twin.join(&id).await, json!({ "cid": "j" }));
}

#[tokio::test]
async fn requests_survive_a_new_leader_and_an_opening() {
    let server = TestServer::start().await;
    let [mut a, mut b, mut c] = three(&server, FORMATS[0]).await;
    let id = a.create(true, 3).await;
    b.enter(&id).await;
    a.next().await;
    let update = |open: bool| json!({ "cid": "u", "party_update": { "party_id": id, "open": open } });
    a.ask(update(false)).await;
    a.next().await;
    b.next().await;
    c.join(&id).await;
    a.next().await;
    a.ask(json!({ "party_leave": { "party_id": id } })).await;
    b.next().await;
    b.next().await;
    assert_eq!(b.ask(update(true)).await, json!({ "party_update": { "party_id": id, "open": true } }));
    b.next().await;
    c.quiet().await;
    let list = json!({ "cid": "l", "party_join_request_list": { "party_id": id } });
    assert_eq!(b.ask(list.clone()).await["party_join_request"]["presences"], json!([c.own]));
    assert_eq!(c.enter(&id).await["party"]["open"], true);
    b.next().await;
    assert_eq!(b.ask(list).await["party_join_request"], json!({ "party_id": id }), "who is in does not ask any more");
}

#[tokio::test]
async fn joining_again_changes_nothing() {
    let server = TestServer::start().await;
    let [mut a, mut b, _c] = three(&server, FORMATS[0]).await;
    let id = a.create(true, 3).await;
    b.enter(&id).await;
    a.next().await;
    assert_eq!(b.join(&id).await, json!({ "cid": "j" }));
    b.quiet().await;
    a.ask(json!({ "party_update": { "party_id": id } })).await;
    a.next().await;
    b.next().await;
    let member = "Error joining party: party join request already member";
    assert_eq!(b.join(&id).await, refused("j", member));
    assert_eq!(a.join(&id).await, refused("j", member));
    a.quiet().await;
    let full = a.create(true, 1).await;
    assert_eq!(a.join(&full).await, refused("j", "Error joining party: party full"));
}

#[tokio::test]
async fn members_are_sessions_so_two_sockets_of_a_user_are_two() {
    let server = TestServer::start().await;
    let mut a = Player::start(&server, "a", "json").await;
    let mut twin = Player::open(&server, &a.token, "protobuf").await;
    let id = a.create(true, 2).await;
    let party = twin.enter(&id).await;
    assert_eq!(party["party"]["presences"], json!([a.own, twin.own]));
    assert_eq!(a.next().await, joins(&id, &twin.own));
    assert_eq!(a.on("party_remove", &id, &twin.own).await, json!({ "cid": "o" }));
    assert_eq!(twin.next().await, closed(&id));
}

#[tokio::test]
async fn promoting_the_leader_changes_nothing_and_the_order_of_coming_stays() {
    let server = TestServer::start().await;
    let [mut a, mut b, mut c] = three(&server, FORMATS[0]).await;
    let id = a.create(true, 3).await;
    assert_eq!(a.on("party_promote", &id, &a.own.clone()).await, leader(&id, &a.own));
    assert_eq!(a.next().await, json!({ "cid": "o" }));
    b.enter(&id).await;
    c.enter(&id).await;
    a.next().await;
    a.next().await;
    b.next().await;
    a.on("party_promote", &id, &c.own).await;
    for player in [&mut a, &mut b, &mut c] {
        player.next().await;
    }
    c.ask(json!({ "party_leave": { "party_id": id } })).await;
    let own_a = a.own.clone();
    for player in [&mut a, &mut b] {
        assert_eq!(player.next().await, leader(&id, &own_a));
        assert_eq!(player.next().await, leaves(&id, &c.own));
    }
}

#[tokio::test]
async fn an_update_sets_all_three_and_hides_no_label() {
    let server = TestServer::start().await;
    let mut a = Player::start(&server, "a", "json").await;
    let id = a.create(true, 3).await;
    let hidden = "Error updating party: party is hidden and label is not empty, invalid operation";
    for id in [id.clone(), format!("{UNKNOWN}.kizuna")] {
        let request = json!({ "party_id": id, "hidden": true, "label": "{\"a\":1}" });
        assert_eq!(
            a.error("party_update", request).await,
            (json!(3), hidden.to_owned()),
            "before the party is looked for"
        );
    }
    let malformed = json!({ "party_id": "x", "hidden": true, "label": "{\"a\":1}" });
    assert_eq!(a.error("party_update", malformed).await, (json!(3), "Invalid party ID".to_owned()));
    for change in [
        json!({ "party_id": id, "hidden": true, "label": "{}" }),
        json!({ "party_id": id, "hidden": true }),
        json!({ "party_id": id, "open": true, "label": "{\"a\":1}" }),
        json!({ "party_id": id }),
    ] {
        assert_eq!(a.ask(json!({ "cid": "u", "party_update": change })).await, json!({ "party_update": change }));
        assert_eq!(a.next().await, json!({ "cid": "u" }));
    }
    let mut b = Player::start(&server, "b", "json").await;
    assert_eq!(b.join(&id).await, json!({ "cid": "j" }));
    assert_eq!(a.next().await["party_join_request"]["presences"], json!([b.own]), "the last update closed it");
}

#[tokio::test]
async fn with_single_party_coming_into_one_leaves_the_others() {
    let single = |config: &mut kizuna::config::Config| {
        config.session.single_socket = true;
        config.session.single_party = true;
        config.party.max_per_session = 1;
    };
    let server = TestServer::start_with(single).await;
    let [mut a, mut b, mut c] = three(&server, FORMATS[0]).await;
    let first = a.create(true, 3).await;
    b.enter(&first).await;
    a.next().await;

    let second = a.create(false, 3).await;
    a.quiet().await;
    assert_eq!(b.next().await, leader(&first, &b.own), "creating one leaves the other, which needs a leader");
    assert_eq!(b.next().await, leaves(&first, &a.own));

    let third = c.create(true, 3).await;
    b.enter(&third).await;
    assert_eq!(c.next().await, joins(&third, &b.own));
    b.quiet().await;
    assert_eq!(a.join(&first).await, refused("j", "Error joining party: party not found"), "nobody is left in it");

    assert_eq!(b.join(&second).await, json!({ "cid": "j" }));
    a.next().await;
    c.quiet().await;
    assert_eq!(a.on("party_accept", &second, &b.own).await, json!({ "cid": "o" }));
    a.next().await;
    assert_eq!(b.next().await["party"]["party_id"], second);
    assert_eq!(b.next().await, joins(&second, &b.own));
    assert_eq!(c.next().await, leaves(&third, &b.own), "being accepted leaves the other");
    b.join(&second).await;
    assert_eq!(server.running.services().metrics.parties.get(), 2);
}

#[tokio::test]
async fn a_session_is_in_a_limited_number_of_parties() {
    let server = TestServer::start_with(|config| config.party.max_per_session = 2).await;
    let [mut a, mut b, _c] = three(&server, FORMATS[0]).await;
    let first = a.create(true, 3).await;
    a.create(true, 3).await;
    let create = json!({ "cid": "c", "party_create": { "max_size": 3 } });
    assert_eq!(a.ask(create).await, refused("c", "Error creating party: too many parties"));
    let closed = b.create(false, 3).await;
    let open = b.create(true, 3).await;
    assert_eq!(a.join(&open).await, refused("j", "Error joining party: too many parties"));
    a.join(&closed).await;
    b.next().await;
    let accept = "Error accepting party join request: too many parties";
    assert_eq!(b.on("party_accept", &closed, &a.own).await, refused("o", accept));
    a.ask(json!({ "cid": "l", "party_leave": { "party_id": first } })).await;
    assert_eq!(b.on("party_accept", &closed, &a.own).await, json!({ "cid": "o" }), "the request still stood");
}

/// The ids on a page, and its cursor.
async fn page(server: &TestServer, token: &str, query: &str) -> (Vec<String>, String) {
    let (status, body) =
        server.call("GET", &format!("/v2/party?{query}"), &format!("Bearer {token}"), Value::Null).await;
    assert_eq!(status, 200, "{query}: {body}");
    let ids = body["parties"].as_array().into_iter().flatten().map(|party| text(&party["party_id"]).to_owned());
    (ids.collect(), body["cursor"].as_str().unwrap_or_default().to_owned())
}

async fn listed(server: &TestServer, token: &str, query: &str) -> Vec<String> {
    page(server, token, query).await.0
}

async fn labelled(player: &mut Player, label: &str, open: bool, hidden: bool) -> String {
    let create = json!({ "open": open, "hidden": hidden, "max_size": 3, "label": label });
    let answer = player.ask(json!({ "cid": "1", "party_create": create })).await;
    player.next().await;
    player.next().await;
    text(&answer["party"]["party_id"]).to_owned()
}

#[tokio::test]
async fn parties_are_listed_as_they_are_at_that_moment() {
    let server = TestServer::start().await;
    let [mut a, mut b, _c] = three(&server, FORMATS[0]).await;
    let bearer = format!("Bearer {}", b.token);
    let list = async || server.call("GET", "/v2/party", &bearer, Value::Null).await;
    assert_eq!(list().await, (200, json!({})));
    assert_eq!(server.call("GET", "/v2/party", "", Value::Null).await.0, 401);
    let first = labelled(&mut a, "", true, false).await;
    let second = labelled(&mut a, " {\"mode\":\"x\"}", false, false).await;
    labelled(&mut a, "{\"mode\":\"secret\"}", true, true).await;
    let one = json!({ "party_id": first, "open": true, "max_size": 3, "label": "{}" });
    let two = json!({ "party_id": second, "max_size": 3, "label": " {\"mode\":\"x\"}" });
    assert_eq!(list().await, (200, json!({ "parties": [one, two] })), "the oldest first, labels as they were written");
    a.ask(json!({ "party_update": { "party_id": first, "hidden": true } })).await;
    assert_eq!(list().await, (200, json!({ "parties": [two] })));
    a.next().await;
    a.ask(json!({ "party_update": { "party_id": first, "open": true, "label": "{\"mode\":\"y\"}" } })).await;
    a.next().await;
    assert_eq!(listed(&server, &b.token, "query=%2Blabel.mode:y").await, [first.clone()]);
    assert_eq!(listed(&server, &b.token, "open=true").await, [first.clone()]);
    assert_eq!(listed(&server, &b.token, "open=false").await, [second.clone()]);
    a.ask(json!({ "party_close": { "party_id": second } })).await;
    a.next().await;
    assert_eq!(listed(&server, &b.token, "").await, [first.clone()]);
    b.enter(&first).await;
    a.next().await;
    drop(a);
    b.next().await;
    b.next().await;
    assert_eq!(listed(&server, &b.token, "").await, [first.clone()]);
    b.ask(json!({ "cid": "1", "party_leave": { "party_id": first } })).await;
    assert_eq!(listed(&server, &b.token, "").await, [String::new(); 0]);
}

#[tokio::test]
async fn a_query_finds_parties_by_what_they_are_and_the_best_come_first() {
    let server = TestServer::start().await;
    let mut a = Player::start(&server, "a", "json").await;
    let first = labelled(&mut a, r#"{"mode":"x","rank":5,"tags":["t1","t2"],"on":true}"#, true, false).await;
    let second = labelled(&mut a, r#"{"mode":"y","rank":15,"nest":{"k":"deep"}}"#, false, false).await;
    let third = labelled(&mut a, "null", true, false).await;
    let node = "kizuna";
    for (query, expected) in [
        ("*".to_owned(), vec![&first, &second, &third]),
        (String::new(), vec![&first, &second, &third]),
        ("label.mode:x".to_owned(), vec![&first]),
        ("+label.rank:>=5 +label.rank:<10".to_owned(), vec![&first]),
        ("label.tags:t2".to_owned(), vec![&first]),
        ("label.on:T".to_owned(), vec![&first]),
        ("label.nest.k:deep".to_owned(), vec![&second]),
        ("label.rank:>1 label.mode:y^3".to_owned(), vec![&second, &first]),
        ("-label.mode:x".to_owned(), vec![&second, &third]),
        ("+open:T".to_owned(), vec![&first, &third]),
        ("+hidden:F".to_owned(), vec![&first, &second, &third]),
        ("+hidden:T".to_owned(), vec![]),
        (format!("+node:{node} +max_size:3"), vec![&first, &second, &third]),
        ("+max_size:>3".to_owned(), vec![]),
        (format!("_id:{third}"), vec![&third]),
        ("+create_time:>\"2024-01-01T00:00:00Z\" +create_time:>1704067200".to_owned(), vec![&first, &second, &third]),
        ("nothing".to_owned(), vec![]),
    ] {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        assert_eq!(
            listed(&server, &a.token, &format!("query={encoded}")).await.iter().collect::<Vec<_>>(),
            expected,
            "{query}"
        );
    }
}

#[tokio::test]
async fn pages_follow_each_other_whatever_comes_and_goes_between_them() {
    let server = TestServer::start_with(|config| config.party.max_per_session = 100).await;
    let mut a = Player::start(&server, "a", "json").await;
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(labelled(&mut a, "", false, false).await);
    }
    for open in ["", "open=false&"] {
        let (first, cursor) = page(&server, &a.token, &format!("{open}limit=3")).await;
        assert_eq!(first, ids[..3]);
        let (second, cursor) = page(&server, &a.token, &format!("{open}limit=3&cursor={cursor}")).await;
        assert_eq!(second, ids[3..6]);
        let (third, cursor) = page(&server, &a.token, &format!("{open}limit=3&cursor={cursor}")).await;
        assert_eq!((third.as_slice(), cursor.as_str()), (&ids[6..], ""), "the last page says so");
    }
    let (all, cursor) = page(&server, &a.token, "limit=7").await;
    assert_eq!((all.as_slice(), cursor.as_str()), (ids.as_slice(), ""));
    let (_, cursor) = page(&server, &a.token, "limit=3").await;
    for gone in [&ids[0], &ids[2]] {
        a.ask(json!({ "party_close": { "party_id": gone } })).await;
        a.next().await;
    }
    let next = listed(&server, &a.token, &format!("limit=3&cursor={cursor}")).await;
    assert_eq!(next, ids[3..6], "nobody is passed over, nobody seen twice");
}

#[tokio::test]
async fn what_a_listing_cannot_read_is_the_callers_fault() {
    let server = TestServer::start_with(|config| config.party.max_per_session = 100).await;
    let mut a = Player::start(&server, "a", "json").await;
    for _ in 0..3 {
        labelled(&mut a, "", true, false).await;
    }
    let (_, cursor) = page(&server, &a.token, "open=true&limit=2").await;
    let bearer = format!("Bearer {}", a.token);
    let limit = "Invalid limit - limit must be between 1 and 100.";
    let stale = "Invalid cursor - it must be that of the previous page, with limit, query and open unchanged.";
    for (query, message) in [
        ("limit=0", limit),
        ("limit=101", limit),
        ("limit=-1", limit),
        ("cursor=x", stale),
        ("cursor=%C3%A9", stale),
        (&format!("limit=2&cursor={cursor}"), stale),
        (&format!("limit=2&open=false&cursor={cursor}"), stale),
        (&format!("limit=3&open=true&cursor={cursor}"), stale),
        (&format!("limit=2&open=true&query=a&cursor={cursor}"), stale),
    ] {
        let (status, body) = server.call("GET", &format!("/v2/party?{query}"), &bearer, Value::Null).await;
        assert_eq!((status, &body["code"], &body["message"]), (400, &json!(3), &json!(message)), "{query}");
    }
    for query in ["a:", "%2B", "%22", "a:/(/", "a:b~3", "a%5Ex"] {
        let (status, body) = server.call("GET", &format!("/v2/party?query={query}"), &bearer, Value::Null).await;
        assert_eq!((status, &body["code"]), (400, &json!(3)), "{query}");
        assert!(text(&body["message"]).starts_with("Invalid query - "), "{body}");
    }
    assert_eq!(listed(&server, &a.token, &format!("limit=2&open=true&cursor={cursor}")).await.len(), 1);
    assert_eq!(listed(&server, &a.token, "limit=100&cursor=").await.len(), 3, "an empty cursor is none");
}

/// Adds a ticket for two to four, and answers its id; the leader is told with the cid, the others without.
async fn search(leader: &mut Player, others: &mut [&mut Player], id: &str) -> String {
    let add = json!({ "party_id": id, "min_count": 2, "max_count": 4, "query": "*" });
    let answer = leader.ask(json!({ "cid": "m", "party_matchmaker_add": add })).await;
    let ticket = text(&answer["party_matchmaker_ticket"]["ticket"]).to_owned();
    let told = json!({ "party_matchmaker_ticket": { "party_id": id, "ticket": ticket } });
    assert_eq!(answer, json!({ "cid": "m", "party_matchmaker_ticket": told["party_matchmaker_ticket"] }));
    for other in others {
        assert_eq!(other.next().await, told);
    }
    ticket
}

async fn unsearch(player: &mut Player, id: &str, ticket: &str) -> Value {
    let remove = json!({ "party_id": id, "ticket": ticket });
    player.ask(json!({ "cid": "r", "party_matchmaker_remove": remove })).await
}

#[tokio::test]
async fn a_party_searches_with_one_ticket_that_all_members_are_told() {
    let server = TestServer::start().await;
    let [mut a, mut b, _c] = three(&server, FORMATS[2]).await;
    let id = a.create(true, 4).await;
    b.enter(&id).await;
    a.next().await;
    let ticket = search(&mut a, &mut [&mut b], &id).await;
    assert_eq!(server.running.services().metrics.matchmaker_tickets.get(), 1);
    let solo = json!({ "cid": "s", "matchmaker_remove": { "ticket": ticket } });
    assert_eq!(a.ask(solo).await, refused("s", "Matchmaker ticket not found"), "a party's ticket is the party's");
    assert_eq!(unsearch(&mut b, &id, &ticket).await, refused("r", "Error closing party: party leader only"));
    // A new leader may take it back, in whatever spelling of the party's id.
    a.on("party_promote", &id, &b.own).await;
    a.next().await;
    b.next().await;
    assert_eq!(unsearch(&mut b, &id.to_uppercase().replace("KIZUNA", "kizuna"), &ticket).await, json!({ "cid": "r" }));
    let again = refused("r", "Error closing party: matchmaker ticket not found");
    assert_eq!(unsearch(&mut b, &id, &ticket).await, again);
    a.quiet().await;
    assert_eq!(server.running.services().metrics.matchmaker_tickets.get(), 0);
}

#[tokio::test]
async fn every_change_of_members_takes_the_tickets_back_without_a_word() {
    let server = TestServer::start().await;
    let [mut a, mut b, mut c] = three(&server, FORMATS[0]).await;
    let tickets = || server.running.services().metrics.matchmaker_tickets.get();
    let id = a.create(true, 4).await;

    search(&mut a, &mut [], &id).await;
    b.enter(&id).await;
    assert_eq!((tickets(), a.next().await), (0, joins(&id, &b.own)), "a join");

    search(&mut a, &mut [&mut b], &id).await;
    assert_eq!((b.join(&id).await, tickets()), (json!({ "cid": "j" }), 1), "joining again is no change");
    b.ask(json!({ "party_leave": { "party_id": id } })).await;
    assert_eq!((tickets(), a.next().await), (0, leaves(&id, &b.own)), "a leave");

    b.enter(&id).await;
    a.next().await;
    search(&mut a, &mut [&mut b], &id).await;
    a.on("party_remove", &id, &b.own).await;
    assert_eq!((tickets(), a.next().await, b.next().await), (0, leaves(&id, &b.own), closed(&id)), "a removal");

    a.ask(json!({ "party_update": { "party_id": id } })).await;
    a.next().await;
    search(&mut a, &mut [], &id).await;
    b.join(&id).await;
    assert_eq!((a.next().await["party_join_request"]["party_id"].clone(), tickets()), (json!(id), 1), "asking is none");
    a.on("party_accept", &id, &b.own).await;
    assert_eq!((tickets(), a.next().await), (0, joins(&id, &b.own)), "an accept");
    b.next().await;
    b.next().await;

    search(&mut a, &mut [&mut b], &id).await;
    drop(b);
    a.next().await;
    assert_eq!(tickets(), 0, "a lost socket");

    search(&mut a, &mut [], &id).await;
    a.ask(json!({ "party_close": { "party_id": id } })).await;
    a.next().await;
    assert_eq!(tickets(), 0, "a close");
    c.quiet().await;
    empty(&server);
}

#[tokio::test]
async fn what_a_party_cannot_search_for_is_said_in_order() {
    let server = TestServer::start().await;
    let [mut a, mut b, _c] = three(&server, FORMATS[0]).await;
    let id = a.create(true, 4).await;
    b.enter(&id).await;
    a.next().await;
    let add = |id: &str, min: i32, max: i32, query: &str| json!({ "party_id": id, "min_count": min, "max_count": max, "query": query });
    let prefix = "Error adding party to matchmaker";
    for (request, message) in [
        (add("x", 1, 4, "*"), "Invalid minimum count, must be >= 2".to_owned()),
        (add("x", 3, 2, "*"), "Invalid maximum count, must be >= minimum count".to_owned()),
        (add("x", 2, 4, "*"), "Invalid party ID".to_owned()),
        (add(&format!("{UNKNOWN}.kizuna"), 2, 4, "*"), format!("{prefix}: party not found")),
        (add(&id, 2, 4, "a:"), format!("{prefix}: matchmaker query invalid")),
    ] {
        assert_eq!(a.error("party_matchmaker_add", request.clone()).await, (json!(3), message), "{request}");
    }
    let leader_only = format!("{prefix}: party leader only");
    assert_eq!(b.error("party_matchmaker_add", add(&id, 2, 4, "a:")).await, (json!(3), leader_only));
    for (request, message) in [
        (json!({ "party_id": "x" }), "Invalid matchmaker ticket"),
        (json!({ "party_id": "x", "ticket": "t" }), "Invalid party ID"),
        (json!({ "party_id": format!("{UNKNOWN}.kizuna"), "ticket": "t" }), "Error closing party: party not found"),
        (json!({ "party_id": id, "ticket": "t" }), "Error closing party: matchmaker ticket not found"),
    ] {
        let expected = (json!(3), message.to_owned());
        assert_eq!(a.error("party_matchmaker_remove", request.clone()).await, expected, "{request}");
    }
    for _ in 0..3 {
        search(&mut a, &mut [&mut b], &id).await;
    }
    let too_many = format!("{prefix}: matchmaker too many tickets");
    assert_eq!(a.error("party_matchmaker_add", add(&id, 2, 4, "*")).await, (json!(3), too_many));
    let solo = json!({ "cid": "s", "matchmaker_add": { "min_count": 2, "max_count": 2, "query": "*" } });
    assert_eq!(b.ask(solo).await["error"]["message"], "Error adding to matchmaker", "they count for each member");
}
