//! Rates and quotas over the wire: what one client may ask for, and what it is told beyond that (docs/limits.md).

mod common;

use common::{Socket, TestServer, fixed, parties::Player, text};
use kizuna::{clock::Clock, config::Config};
use serde_json::{Value, json};

/// A server whose time is the test's.
async fn server(change: impl FnOnce(&mut Config)) -> (TestServer, Clock) {
    let (clock, entropy) = fixed();
    let time = clock.clone();
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::start_built(folder, change, |server| server.with_time(time, entropy)).await;
    (server, clock)
}

async fn ping(socket: &mut Socket) -> Value {
    socket.ask(json!({ "cid": "p", "ping": {} })).await
}

fn pong() -> Value {
    json!({ "cid": "p", "pong": {} })
}

fn refused(cid: &str, text: &str) -> Value {
    json!({ "cid": cid, "error": { "code": 3, "message": text } })
}

/// Another socket of the same user.
async fn two_sockets(server: &TestServer) -> (Socket, Socket) {
    let session = server.sign_in("player-a").await;
    let token = text(&session["token"]);
    (server.connect(token, "json").await, server.connect(token, "json").await)
}

#[tokio::test]
async fn messages_come_in_a_burst_and_then_at_their_rate() {
    let (server, clock) = server(|config| config.limits.messages_per_session_per_sec = 2).await;
    let mut a = server.player("player-a").await;
    for _ in 0..4 {
        assert_eq!(ping(&mut a).await, pong());
    }
    let too_many = "Too many messages from this session. Try again in 1 seconds.";
    assert_eq!(ping(&mut a).await, refused("p", too_many));
    let data = json!({ "cid": "77", "match_data_send": { "match_id": "11111111-1111-4111-8111-111111111111." } });
    let answer = a.ask(data).await;
    assert_eq!(answer, json!({ "error": { "code": 3, "message": too_many } }), "without the cid, as data errors are");
    clock.advance_seconds(1);
    assert_eq!(ping(&mut a).await, pong());
    assert_eq!(ping(&mut a).await, pong());
    assert_eq!(ping(&mut a).await, refused("p", too_many));
    let metrics = server.metrics().await;
    assert!(metrics.contains(r#"kizuna_rate_limited_total{kind="messages per session"} 3"#), "{metrics}");
    let mut b = server.player("player-b").await;
    assert_eq!(ping(&mut b).await, pong(), "another one has a rate of its own");
}

#[tokio::test]
async fn opening_another_socket_gets_nobody_more_than_the_users_rate() {
    let (server, _) = server(|config| config.limits.messages_per_user_per_sec = 1).await;
    let (mut one, mut other) = two_sockets(&server).await;
    assert_eq!(ping(&mut one).await, pong());
    assert_eq!(ping(&mut other).await, pong());
    let too_many = "Too many messages from this user. Try again in 2 seconds.";
    assert_eq!(ping(&mut other).await, refused("p", too_many));
    drop((one, other));
    let mut later = server.player("player-a").await;
    assert_eq!(ping(&mut later).await, refused("p", too_many), "nor does a new one");
}

#[tokio::test]
async fn an_address_has_a_rate_over_all_its_users() {
    let (server, _) = server(|config| config.limits.messages_per_address_per_sec = 1).await;
    let (mut a, mut b) = (server.player("player-a").await, server.player("player-b").await);
    assert_eq!(ping(&mut a).await, pong());
    assert_eq!(ping(&mut b).await, pong());
    assert_eq!(ping(&mut b).await, refused("p", "Too many messages from this address. Try again in 2 seconds."));
}

#[tokio::test]
async fn joins_tickets_and_parties_have_rates_of_their_own() {
    let (server, clock) = server(|config| {
        config.limits.burst = 1;
        config.limits.joins_per_session_per_min = 1;
        config.limits.tickets_per_user_per_min = 1;
        config.limits.parties_per_address_per_min = 1;
    })
    .await;
    let mut a = server.player("player-a").await;
    a.create_match().await;
    let again = a.ask(json!({ "cid": "1", "match_create": {} })).await;
    assert_eq!(again, refused("1", "Too many joins from this session. Try again in 61 seconds."));
    let ticket = json!({ "cid": "2", "matchmaker_add": { "min_count": 2, "max_count": 2, "query": "*" } });
    assert_ne!(a.ask(ticket.clone()).await["matchmaker_ticket"], Value::Null);
    assert_eq!(a.ask(ticket).await, refused("2", "Too many tickets from this user. Try again in 61 seconds."));
    let mut b = server.player("player-b").await;
    b.send(json!({ "cid": "3", "party_create": { "open": true, "max_size": 2 } })).await;
    loop {
        // The party's answer and its events; the ping's answer is after all of them.
        if b.next().await.get("party_presence_event").is_some() {
            break;
        }
    }
    b.send(json!({ "cid": "4", "party_create": { "open": true, "max_size": 2 } })).await;
    let too_many = refused("4", "Too many parties from this address. Try again in 61 seconds.");
    loop {
        let message = b.next().await;
        if message["cid"] == "4" {
            assert_eq!(message, too_many);
            break;
        }
    }
    clock.advance_seconds(61);
    a.create_match().await;
}

#[tokio::test]
async fn who_goes_on_after_refusal_upon_refusal_is_closed() {
    let (server, _) = server(|config| {
        config.limits.messages_per_session_per_sec = 1;
        config.limits.refusals_per_session_per_sec = 3;
    })
    .await;
    let mut a = server.player("player-a").await;
    for _ in 0..50 {
        a.send(json!({ "cid": "p", "ping": {} })).await;
    }
    let mut answers = Vec::new();
    let close = loop {
        match a.next_frame().await {
            Some(tokio_tungstenite::tungstenite::Message::Close(Some(frame))) => break u16::from(frame.code),
            Some(frame) => answers.push(frame),
            None => panic!("no close frame after {} answers", answers.len()),
        }
    };
    assert_eq!((close, answers.len()), (4_429, 2 + 6));
}

#[tokio::test]
async fn a_user_holds_only_so_many_matches_over_all_sockets() {
    let server = TestServer::start_with(|config| config.limits.matches_per_user = 2).await;
    let (mut one, mut other) = two_sockets(&server).await;
    let (id, _) = one.create_match().await;
    other.create_match().await;
    let full = json!({ "cid": "1", "error": { "code": 5, "message": "User in too many matches" } });
    assert_eq!(one.ask(json!({ "cid": "1", "match_create": {} })).await, full);
    assert_eq!(other.ask(json!({ "cid": "1", "match_join": { "match_id": id } })).await, full);
    one.ask(json!({ "match_leave": { "match_id": id } })).await;
    other.create_match().await;
}

#[tokio::test]
async fn a_user_is_in_only_so_many_parties_over_all_sockets() {
    let server = TestServer::start_with(|config| config.party.max_per_user = 2).await;
    let session = server.sign_in("player-a").await;
    let token = text(&session["token"]);
    let mut one = Player::open(&server, token, "json").await;
    let mut other = Player::open(&server, token, "protobuf").await;
    let mut host = Player::start(&server, "host", "json").await;
    let (open, closed) = (host.create(true, 4).await, host.create(false, 4).await);
    let id = one.create(true, 2).await;
    other.create(true, 2).await;
    for socket in [&mut one, &mut other] {
        let create = socket.error("party_create", json!({ "open": true, "max_size": 2 })).await;
        assert_eq!(create, (json!(3), "Error creating party: too many parties".to_owned()));
        let join = socket.error("party_join", json!({ "party_id": open })).await;
        assert_eq!(join, (json!(3), "Error joining party: too many parties".to_owned()));
    }
    assert_eq!(one.join(&closed).await, json!({ "cid": "j" }), "to ask costs nothing");
    host.next().await;
    let accept = json!({ "party_id": closed, "presence": one.own });
    let accepted = host.error("party_accept", accept).await;
    assert_eq!(accepted.0, 3, "{}", accepted.1);
    assert!(accepted.1.ends_with(": too many parties"), "{}", accepted.1);
    one.ask(json!({ "cid": "l", "party_leave": { "party_id": id } })).await;
    other.enter(&open).await;
}

#[tokio::test]
async fn coming_back_gets_nobody_more_than_the_sessions_rate() {
    let (server, _) = server(|config| {
        config.realtime.resume_window_ms = 3_600_000;
        config.limits.messages_per_session_per_sec = 1;
    })
    .await;
    let session = server.sign_in("player-a").await;
    let token = text(&session["token"]);
    let mut first = server.connect(token, "json").await;
    assert_eq!(ping(&mut first).await, pong());
    assert_eq!(ping(&mut first).await, pong());
    let mut second = server.connect(token, "json").await;
    let too_many = "Too many messages from this session. Try again in 2 seconds.";
    assert_eq!(ping(&mut second).await, refused("p", too_many));
}

#[tokio::test]
async fn who_hides_the_address_shares_a_rate_with_all_who_do() {
    let (server, _) = server(|config| config.limits.messages_per_address_per_sec = 1).await;
    let mut sockets = Vec::new();
    for (id, hidden) in [("player-a", "garbage"), ("player-b", "rubbish")] {
        let session = server.sign_in(id).await;
        let query = format!("token={}&format=json", text(&session["token"]));
        sockets.push(server.try_connect(&query, &[("x-forwarded-for", hidden)]).await.expect("it opens"));
    }
    assert_eq!(ping(&mut sockets[0]).await, pong());
    assert_eq!(ping(&mut sockets[1]).await, pong());
    let too_many = "Too many messages from this address. Try again in 2 seconds.";
    assert_eq!(ping(&mut sockets[1]).await, refused("p", too_many));
    let mut other = server.player("player-c").await;
    assert_eq!(ping(&mut other).await, pong(), "who is known has a rate of its own");
}
