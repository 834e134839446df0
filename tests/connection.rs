//! How a socket begins and ends: connect tickets, and the end of a session token as the end of its socket.

mod common;

use common::{SERVER_KEY, TestServer, fixed, text};
use kizuna::{clock::Clock, config::Config};
use serde_json::{Value, json};

/// A server whose clock is the test's, and the clock.
async fn server(change: impl FnOnce(&mut Config)) -> (TestServer, Clock) {
    let (clock, entropy) = fixed();
    let time = clock.clone();
    let folder = tempfile::tempdir().expect("a folder");
    (TestServer::start_built(folder, change, |server| server.with_time(time, entropy)).await, clock)
}

fn closing(config: &mut Config) {
    config.session.close_on_expiry = true;
}

async fn ticket(server: &TestServer, token: &str) -> (u16, Value) {
    server.call("POST", "/v2/session/ticket", &format!("Bearer {token}"), Value::Null).await
}

#[tokio::test]
async fn a_ticket_opens_one_socket_and_no_second() {
    let server = TestServer::start().await;
    let session = server.sign_in("ticket-holder").await;
    let (status, answer) = ticket(&server, text(&session["token"])).await;
    assert_eq!((status, &answer["expires_in"]), (200, &json!(30)), "{answer}");
    let query = format!("ticket={}&format=json", text(&answer["ticket"]));
    let mut socket = server.try_connect(&query, &[]).await.expect("the first gets in");
    assert_eq!(socket.ask(json!({ "cid": "1", "ping": {} })).await, json!({ "cid": "1", "pong": {} }));
    let refused = server.try_connect(&query, &[]).await.err().expect("the second does not");
    assert_eq!(refused, (401, "Missing or invalid token\n".into()));
    let both = format!("{query}&token={}", text(&session["token"]));
    assert_eq!(server.try_connect(&both, &[]).await.err().expect("a used ticket stays used").0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_sockets_with_one_ticket_one_opens() {
    let server = TestServer::start().await;
    let session = server.sign_in("ticket-holder").await;
    let (_, answer) = ticket(&server, text(&session["token"])).await;
    let query = format!("ticket={}", text(&answer["ticket"]));
    let tries = (0..16).map(|_| server.try_connect(&query, &[]));
    let opened = futures_util::future::join_all(tries).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(opened, 1);
}

#[tokio::test]
async fn a_ticket_asks_for_a_session_and_dies_with_it() {
    let server = TestServer::start_with(|config| config.session.max_tickets_per_user = 2).await;
    let session = server.sign_in("ticket-holder").await;
    let token = text(&session["token"]);
    assert_eq!(server.call("POST", "/v2/session/ticket", "", Value::Null).await.0, 401);
    assert_eq!(server.call("POST", "/v2/session/ticket", SERVER_KEY, Value::Null).await.0, 401);
    assert_eq!(server.call("GET", "/v2/session/ticket", &format!("Bearer {token}"), Value::Null).await.0, 501);
    let (_, answer) = ticket(&server, token).await;
    assert_eq!(ticket(&server, token).await.0, 200);
    let (status, full) = ticket(&server, token).await;
    assert_eq!((status, &full["code"]), (429, &json!(8)), "{full}");
    let (status, _) = server.call("POST", "/v2/session/logout", &format!("Bearer {token}"), json!({})).await;
    assert_eq!(status, 200);
    let query = format!("ticket={}", text(&answer["ticket"]));
    assert_eq!(server.try_connect(&query, &[]).await.err().expect("logged out").0, 401);
}

#[tokio::test]
async fn a_ticket_ends_after_30_seconds() {
    let (server, clock) = server(|_| {}).await;
    let session = server.sign_in("ticket-holder").await;
    let (_, answer) = ticket(&server, text(&session["token"])).await;
    clock.advance_seconds(30);
    let query = format!("ticket={}", text(&answer["ticket"]));
    assert_eq!(server.try_connect(&query, &[]).await.err().expect("too late").0, 401);
}

#[tokio::test]
async fn a_socket_that_lives_on_after_its_token_is_nakamas_way_and_the_default() {
    let (server, clock) = server(|_| {}).await;
    let mut socket = server.player("player-a").await;
    clock.advance_seconds(3_600);
    assert_eq!(socket.ask(json!({ "cid": "1", "ping": {} })).await, json!({ "cid": "1", "pong": {} }));
    let answer = socket.ask(json!({ "cid": "2", "rpc": { "id": "session_update", "payload": "x" } })).await;
    assert_eq!(answer["error"]["message"], "RPC function not found");
}

#[tokio::test]
async fn with_the_end_of_its_token_a_socket_is_closed_and_others_hear_of_the_leave() {
    let (server, clock) = server(|config| {
        closing(config);
        config.session.expiry_warning_sec = 0;
    })
    .await;
    let early = server.sign_in("player-a").await;
    clock.advance_seconds(59);
    let late = server.sign_in("player-b").await;
    let mut leaving = server.connect(text(&early["token"]), "json").await;
    let mut staying = server.connect(text(&late["token"]), "json").await;
    let (id, _) = staying.create_match().await;
    let left = leaving.join_match(&id).await;
    assert_eq!(staying.next().await["match_presence_event"]["joins"], json!([left]));
    clock.advance_seconds(1);
    assert_eq!(leaving.next_close().await, (4401, "session expired".into()));
    assert_eq!(staying.next().await["match_presence_event"]["leaves"], json!([left]));
    assert_eq!(staying.ask(json!({ "cid": "1", "ping": {} })).await, json!({ "cid": "1", "pong": {} }));
    let refused = server.try_connect(&format!("token={}", text(&early["token"])), &[]).await;
    assert_eq!(refused.err().expect("its time is over").0, 401);
}

/// The warning that a socket gets next: the end that it names.
fn warned_of(notice: &Value) -> Value {
    let notice = &notice["notifications"]["notifications"][0];
    assert_eq!((&notice["code"], &notice["subject"]), (&json!(-1_001), &json!("session_expiring")), "{notice}");
    serde_json::from_str(text(&notice["content"])).expect("JSON")
}

#[tokio::test]
async fn a_token_sent_over_the_socket_takes_the_place_of_its_own() {
    let (server, clock) = server(closing).await;
    let now = clock.unix_seconds();
    let old = server.sign_in("player-a").await;
    clock.advance_seconds(59);
    let mut socket = server.connect(text(&old["token"]), "json").await;
    assert_eq!(warned_of(&socket.next().await), json!({ "expires_unix": now + 60 }));
    let new = server.sign_in("player-a").await;
    let update = |token: &Value| json!({ "cid": "7", "rpc": { "id": "session_update", "payload": token } });
    let answer = socket.ask(update(&new["token"])).await;
    let payload = format!("{{\"expires_unix\":{}}}", now + 119);
    assert_eq!(answer, json!({ "cid": "7", "rpc": { "id": "session_update", "payload": payload } }));
    clock.advance_seconds(50);
    // The timer of the old end finds the new one.
    assert_eq!(warned_of(&socket.next().await), json!({ "expires_unix": now + 119 }));
    // A log-out of the new chain is one of this socket; the old token is none any more.
    let registry = server.running.services().realtime.registry();
    let signature = |session: &Value| {
        let token = text(&session["token"]);
        server
            .running
            .services()
            .tokens
            .read(kizuna::identity::session::Kind::Session, token)
            .map(|claims| claims.signature)
    };
    assert_eq!(registry.of_token(&signature(&new).expect("still good")).len(), 1);
    assert_eq!(registry.len(), 1);
}

#[tokio::test]
async fn a_bad_token_sent_over_the_socket_changes_nothing() {
    let (server, clock) = server(|config| {
        closing(config);
        config.session.expiry_warning_sec = 0;
    })
    .await;
    let now = clock.unix_seconds();
    let older = server.sign_in("player-a").await;
    clock.advance_seconds(1);
    let own = server.sign_in("player-a").await;
    let other = server.sign_in("player-b").await;
    clock.advance_seconds(58);
    let mut socket = server.connect(text(&own["token"]), "json").await;
    let bad = [
        (json!(""), "Session token is required."),
        (json!("no.token.atall"), "Auth token invalid"),
        (own["refresh_token"].clone(), "Auth token invalid"),
        (other["token"].clone(), "Auth token invalid"),
        (older["token"].clone(), "Session token ends before the one in use."),
    ];
    for (token, message) in bad {
        let answer = socket.ask(json!({ "cid": "7", "rpc": { "id": "SESSION_UPDATE", "payload": token } })).await;
        assert_eq!((&answer["cid"], text(&answer["error"]["message"])), (&json!("7"), message), "{answer}");
    }
    let session = &server.running.services().realtime.registry().of_user(user_of(&server, &own))[0];
    assert_eq!(session.expires_unix(), now + 61);
    clock.advance_seconds(2);
    assert_eq!(socket.next_close().await.0, 4401);
}

fn user_of(server: &TestServer, session: &Value) -> uuid::Uuid {
    let token = text(&session["token"]);
    server.running.services().tokens.verify_session(token).expect("a good token").user_id
}

#[tokio::test]
async fn a_refresh_of_its_chain_lets_a_socket_live_on() {
    let (server, clock) = server(closing).await;
    let now = clock.unix_seconds();
    let session = server.sign_in("player-a").await;
    let other = server.sign_in("player-a").await;
    clock.advance_seconds(59);
    let mut socket = server.connect(text(&session["token"]), "json").await;
    let mut of_other_chain = server.connect(text(&other["token"]), "json").await;
    assert_eq!(warned_of(&socket.next().await), json!({ "expires_unix": now + 60 }));
    assert_eq!(warned_of(&of_other_chain.next().await), json!({ "expires_unix": now + 60 }));
    let body = json!({ "token": session["refresh_token"] });
    let (status, _) = server.call("POST", "/v2/account/session/refresh", SERVER_KEY, body).await;
    assert_eq!(status, 200);
    clock.advance_seconds(50);
    assert_eq!(warned_of(&socket.next().await), json!({ "expires_unix": now + 119 }));
    assert_eq!(of_other_chain.next_close().await, (4401, "session expired".into()));
}
