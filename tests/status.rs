//! Status over the wire: who is shown to whom, in which order, and what is refused (spec/realtime-core.md 7).

mod common;

use common::{Socket, TestServer, text};
use serde_json::{Value, json};

/// A user with a socket.
struct Player {
    id: String,
    token: String,
    username: String,
    socket: Socket,
}

impl Player {
    async fn new(server: &TestServer, name: &str) -> Self {
        let path = format!("/v2/account/authenticate/custom?username={name}");
        let id = format!("{name}-custom");
        let (status, session) = server.call("POST", &path, common::SERVER_KEY, json!({ "id": id })).await;
        assert_eq!(status, 200, "{session}");
        let token = text(&session["token"]).to_owned();
        let claims = server.running.services().tokens.verify_session(&token).expect("a good token");
        let socket = server.connect(&token, "json").await;
        Self { id: claims.user_id.to_string(), token, username: name.to_owned(), socket }
    }

    /// Another socket of the user, with `status=true`.
    async fn shown(&self, server: &TestServer) -> Socket {
        let query = format!("token={}&format=json&status=true", self.token);
        server.try_connect(&query, &[]).await.expect("it opens")
    }

    async fn update(&mut self, status: Value) -> Value {
        self.socket.ask(json!({ "cid": "u", "status_update": { "status": status } })).await
    }

    async fn follow(&mut self, request: Value) -> Value {
        self.socket.ask(json!({ "cid": "f", "status_follow": request })).await
    }
}

/// The presences of a list as user id and status.
fn shown(list: &Value) -> Vec<(String, String)> {
    let list = list.as_array().cloned().unwrap_or_default();
    list.iter().map(|presence| (text(&presence["user_id"]).to_owned(), text(&presence["status"]).to_owned())).collect()
}

fn of(player: &Player, status: &str) -> (String, String) {
    (player.id.clone(), status.to_owned())
}

/// The next message, which is a status event: who joined and who left.
async fn event(socket: &mut Socket) -> (Vec<(String, String)>, Vec<(String, String)>) {
    let message = socket.next().await;
    let event = message.get("status_presence_event").unwrap_or_else(|| panic!("no status event: {message}"));
    (shown(&event["joins"]), shown(&event["leaves"]))
}

#[tokio::test]
async fn a_follower_sees_a_status_change_and_end() {
    let server = TestServer::start().await;
    let (mut a, mut b) = (Player::new(&server, "alice").await, Player::new(&server, "bob").await);
    assert_eq!(b.follow(json!({ "user_ids": [a.id] })).await, json!({ "cid": "f", "status": {} }));
    assert_eq!(a.update(json!("hello")).await, json!({ "cid": "u" }), "the answer comes first");
    assert_eq!(event(&mut a.socket).await, (vec![of(&a, "hello")], vec![]));
    assert_eq!(event(&mut b.socket).await, (vec![of(&a, "hello")], vec![]));
    a.update(json!("")).await;
    for socket in [&mut a.socket, &mut b.socket] {
        let (joins, leaves) = event(socket).await;
        assert_eq!((&joins[0].1[..], &leaves[0].1[..]), ("", "hello"));
    }
    a.update(json!("")).await;
    let (joins, leaves) = event(&mut b.socket).await;
    assert_eq!((joins.len(), leaves.len()), (1, 1), "the same text again is an event, too");
    event(&mut a.socket).await;
    assert_eq!(a.update(Value::Null).await, json!({ "cid": "u" }));
    assert_eq!(event(&mut a.socket).await, (vec![], vec![of(&a, "")]));
    assert_eq!(event(&mut b.socket).await, (vec![], vec![of(&a, "")]));
    a.update(Value::Null).await;
    a.socket.quiet().await;
    b.socket.quiet().await;
}

#[tokio::test]
async fn the_answer_to_a_follow_shows_those_it_names_and_no_others() {
    let server = TestServer::start().await;
    let (mut a, mut b, mut c) =
        (Player::new(&server, "alice").await, Player::new(&server, "bob").await, Player::new(&server, "carol").await);
    a.update(json!("one")).await;
    event(&mut a.socket).await;
    b.update(json!("two")).await;
    event(&mut b.socket).await;
    let mut second = a.shown(&server).await;
    event(&mut second).await;
    event(&mut a.socket).await;
    let unknown = "11111111-1111-4111-8111-111111111111";
    let nil = "00000000-0000-0000-0000-000000000000";
    let (own, name) = (c.id.clone(), c.username.clone());
    let answer = c
        .follow(json!({
            "user_ids": [a.id, unknown, nil, own, a.id],
            "usernames": ["alice", "nobody", name, "ALICE"],
        }))
        .await;
    assert_eq!(shown(&answer["status"]["presences"]), [of(&a, "one"), of(&a, "")], "{answer}");
    let answer = c.follow(json!({ "usernames": ["bob"] })).await;
    assert_eq!(shown(&answer["status"]["presences"]), [of(&b, "two")]);
    assert_eq!(c.follow(json!({})).await, json!({ "cid": "f", "status": {} }));
    assert_eq!(c.follow(json!({ "user_ids": [own] })).await, json!({ "cid": "f", "status": {} }));
    drop(second);
    assert_eq!(event(&mut c.socket).await, (vec![], vec![of(&a, "")]), "each socket has its own status");
}

#[tokio::test]
async fn who_unfollows_hears_no_more() {
    let server = TestServer::start().await;
    let (mut a, mut b) = (Player::new(&server, "alice").await, Player::new(&server, "bob").await);
    b.follow(json!({ "user_ids": [a.id] })).await;
    let unknown = "11111111-1111-4111-8111-111111111111";
    let unfollow = json!({ "cid": "n", "status_unfollow": { "user_ids": [a.id, unknown, b.id] } });
    assert_eq!(b.socket.ask(unfollow).await, json!({ "cid": "n" }));
    a.update(json!("hello")).await;
    event(&mut a.socket).await;
    b.socket.quiet().await;
    let empty = json!({ "cid": "n", "status_unfollow": {} });
    assert_eq!(b.socket.ask(empty).await, json!({ "cid": "n" }));
    b.update(json!("mine")).await;
    assert_eq!(event(&mut b.socket).await.0, [of(&b, "mine")], "one's own is always heard");
}

#[tokio::test]
async fn one_bad_entry_refuses_the_whole_request() {
    let server = TestServer::start().await;
    let (mut a, mut b) = (Player::new(&server, "alice").await, Player::new(&server, "bob").await);
    for (request, message) in [
        (json!({ "status_follow": { "user_ids": [a.id, "nonsense"] } }), "Invalid user identifier"),
        (json!({ "status_follow": { "user_ids": [a.id], "usernames": ["alice", ""] } }), "Invalid username"),
        (json!({ "status_follow": { "user_ids": ["x"], "usernames": [""] } }), "Invalid user identifier"),
        (json!({ "status_unfollow": { "user_ids": [""] } }), "Invalid user identifier"),
        (json!({ "status_update": { "status": "é".repeat(1_025) } }), "Status must be 2048 characters or less"),
    ] {
        let mut request = request;
        request["cid"] = json!("7");
        let answer = b.socket.ask(request).await;
        assert_eq!(answer, json!({ "cid": "7", "error": { "code": 3, "message": message } }));
    }
    a.update(json!("é".repeat(1_024))).await;
    event(&mut a.socket).await;
    b.socket.quiet().await;
}

#[tokio::test]
async fn a_socket_follows_only_so_many() {
    let server = TestServer::start_with(|config| config.status.max_follows = 1).await;
    let (a, b, mut c) =
        (Player::new(&server, "alice").await, Player::new(&server, "bob").await, Player::new(&server, "carol").await);
    let answer = c.follow(json!({ "user_ids": [a.id, b.id] })).await;
    assert_eq!(answer["error"], json!({ "code": 3, "message": "Cannot follow more than 1 users" }));
    assert_eq!(c.follow(json!({ "user_ids": [a.id] })).await["status"], json!({}), "nobody had been followed");
    assert_eq!(c.follow(json!({ "user_ids": [a.id] })).await["status"], json!({}), "who is followed counts once");
}

#[tokio::test]
async fn online_is_who_shows_a_status() {
    let server = TestServer::start().await;
    let (a, mut b) = (Player::new(&server, "alice").await, Player::new(&server, "bob").await);
    let bearer = format!("Bearer {}", b.token);
    let online = async |server: &TestServer| {
        let (_, users) = server.call("GET", &format!("/v2/user?ids={}", a.id), &bearer, Value::Null).await;
        users["users"][0]["online"] == json!(true)
    };
    assert!(!online(&server).await, "a socket without a status");
    b.follow(json!({ "user_ids": [a.id] })).await;
    let mut shown = a.shown(&server).await;
    assert_eq!(event(&mut shown).await.0, [of(&a, "")]);
    assert_eq!(event(&mut b.socket).await.0, [of(&a, "")]);
    assert!(online(&server).await);
    drop(shown);
    assert_eq!(event(&mut b.socket).await.1, [of(&a, "")]);
    assert!(!online(&server).await);
}
