//! In-app notifications at the wire: kept and shown, listed and deleted, and never told of what was not stored.

mod common;

use common::{
    SERVER_KEY, Socket, TestServer,
    process::{PLAIN, Process},
    text,
};
use kizuna::{
    features::notifications::{self, Notification},
    identity::Tenant,
};
use serde_json::{Value, json};
use uuid::Uuid;

struct Player {
    name: String,
    id: String,
    bearer: String,
    token: String,
}

async fn player(server: &TestServer, name: &str) -> Player {
    let path = format!("/v2/account/authenticate/custom?username={name}");
    let (status, session) = server.call("POST", &path, SERVER_KEY, json!({ "id": format!("id-of-{name}") })).await;
    assert_eq!(status, 200, "{session}");
    let token = text(&session["token"]).to_owned();
    let claims = server.running.services().tokens.verify_session(&token).expect("a good token");
    Player { name: name.to_owned(), id: claims.user_id.to_string(), bearer: format!("Bearer {token}"), token }
}

async fn call(server: &TestServer, player: &Player, method: &str, path: &str) -> (u16, Value) {
    server.call(method, path, &player.bearer, Value::Null).await
}

async fn invite(server: &TestServer, from: &Player, to: &Player) {
    let answer = call(server, from, "POST", &format!("/v2/friend?ids={}", to.id)).await;
    assert_eq!(answer, (200, json!({})));
}

async fn list(server: &TestServer, player: &Player, query: &str) -> Value {
    let (status, answer) = call(server, player, "GET", &format!("/v2/notification?{query}")).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

fn subjects(list: &Value) -> Vec<&str> {
    list["notifications"].as_array().map_or(Vec::new(), |all| all.iter().map(|one| text(&one["subject"])).collect())
}

async fn one_notification(socket: &mut Socket) -> Value {
    let mut envelope = socket.next().await;
    let all = envelope["notifications"]["notifications"].as_array_mut().expect("notifications");
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn own(subject: &str, persistent: bool) -> Notification {
    let content = r#"{"level": 7, "of": "tower"}"#.to_owned();
    Notification { subject: subject.to_owned(), content, code: 100, sender_id: None, persistent }
}

async fn send(server: &TestServer, to: &Player, notification: Notification) {
    let user_id = to.id.parse().expect("a user id");
    notifications::send(server.running.services(), vec![(user_id, notification)]).await.expect("sent");
}

#[tokio::test]
async fn every_open_socket_of_the_user_is_told_and_the_list_keeps_it_across_a_restart() {
    let server = TestServer::start().await;
    let (ann, bob) = (player(&server, "ann").await, player(&server, "bob").await);
    let mut first = server.connect(&ann.token, "json").await;
    let mut second = server.connect(&ann.token, "json").await;
    let mut bobs = server.connect(&bob.token, "json").await;
    invite(&server, &bob, &ann).await;
    let shown = one_notification(&mut first).await;
    assert_eq!(one_notification(&mut second).await, shown);
    bobs.quiet().await;
    let time = text(&shown["create_time"]);
    assert!(time.len() == 20 && time.ends_with('Z'), "whole seconds: {time}");
    assert_eq!(
        shown,
        json!({
            "id": shown["id"], "subject": "bob wants to add you as a friend", "content": r#"{"username":"bob"}"#,
            "code": -2, "sender_id": bob.id, "create_time": time, "persistent": true,
        })
    );
    let mut listed = shown.clone();
    listed["content"] = json!(r#"{"username": "bob"}"#);
    assert_eq!(list(&server, &ann, "limit=10").await["notifications"], json!([listed]));

    drop((first, second, bobs));
    let server = TestServer::start_in(server.stop().await, |_| {}).await;
    let ann = player(&server, "ann").await;
    assert_eq!(list(&server, &ann, "limit=10").await["notifications"], json!([listed]));
    server.connect(&ann.token, "json").await.quiet().await;
}

#[tokio::test]
async fn pages_begin_behind_their_cursor_also_when_its_notification_is_gone() {
    let server = TestServer::start().await;
    let ann = player(&server, "ann").await;
    let beginning = list(&server, &ann, "").await;
    assert_eq!(subjects(&beginning), [""; 0]);
    for name in ["one", "two", "three", "four", "five"] {
        send(&server, &ann, own(name, true)).await;
    }
    assert_eq!(subjects(&list(&server, &ann, "").await), ["one"], "one unless asked otherwise");
    let mut cursor = text(&beginning["cacheable_cursor"]).to_owned();
    for wanted in [&["one", "two"][..], &["three", "four"], &["five"], &[]] {
        let page = list(&server, &ann, &format!("limit=2&cacheable_cursor={cursor}")).await;
        assert_eq!(subjects(&page), wanted);
        if let Some(last) = page["notifications"].as_array().and_then(|all| all.last()) {
            let path = format!("/v2/notification?ids={}", text(&last["id"]));
            assert_eq!(call(&server, &ann, "DELETE", &path).await, (200, json!({})));
        } else {
            assert_eq!(text(&page["cacheable_cursor"]), cursor, "unchanged");
        }
        text(&page["cacheable_cursor"]).clone_into(&mut cursor);
    }
    send(&server, &ann, own("six", true)).await;
    assert_eq!(subjects(&list(&server, &ann, &format!("limit=9&cacheable_cursor={cursor}")).await), ["six"]);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_deletes_nothing() {
    let server = TestServer::start().await;
    let (ann, bob) = (player(&server, "ann").await, player(&server, "bob").await);
    invite(&server, &bob, &ann).await;
    let id = text(&list(&server, &ann, "").await["notifications"][0]["id"]).to_owned();
    for query in ["limit=0", "limit=101", "limit=-1"] {
        let answer = call(&server, &ann, "GET", &format!("/v2/notification?{query}")).await;
        let message = "Invalid limit - limit must be between 1 and 100.";
        assert_eq!(answer, (400, json!({ "code": 3, "message": message })));
    }
    let refused = call(&server, &ann, "GET", "/v2/notification?cacheable_cursor=zz").await;
    assert_eq!(refused, (400, json!({ "code": 3, "message": "Cursor is invalid." })));
    let refused = call(&server, &ann, "DELETE", &format!("/v2/notification?ids={id}&ids=zz")).await;
    assert_eq!(refused, (400, json!({ "code": 3, "message": "Invalid notification ID 'zz'." })));
    // Nor does anybody else delete it, nor a call without ids.
    for (caller, query) in [(&bob, format!("ids={id}")), (&ann, String::new()), (&ann, format!("ids={}", bob.id))] {
        let answer = call(&server, caller, "DELETE", &format!("/v2/notification?{query}")).await;
        assert_eq!(answer, (200, json!({})));
        assert_eq!(subjects(&list(&server, &ann, "").await).len(), 1);
    }
    let (status, _) = server.call("GET", "/v2/notification", "", Value::Null).await;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn what_is_not_to_be_kept_is_shown_once_and_listed_never() {
    let server = TestServer::start().await;
    let ann = player(&server, "ann").await;
    send(&server, &ann, own("nobody is there", false)).await;
    let mut socket = server.connect(&ann.token, "json").await;
    socket.quiet().await;
    send(&server, &ann, own("hear, hear", false)).await;
    let shown = one_notification(&mut socket).await;
    assert_eq!((&shown["subject"], &shown["code"]), (&json!("hear, hear"), &json!(100)));
    assert_eq!((&shown["persistent"], &shown["content"]), (&Value::Null, &json!(r#"{"of":"tower","level":7}"#)));
    assert_eq!(shown["sender_id"], json!(Uuid::nil().to_string()), "as Nakama writes nobody on sockets");
    assert_eq!(subjects(&list(&server, &ann, "limit=9").await), [""; 0]);
}

#[tokio::test]
async fn what_is_sent_together_comes_in_one_envelope() {
    let server = TestServer::start().await;
    let (ann, bob) = (player(&server, "ann").await, player(&server, "bob").await);
    let mut anns = server.connect(&ann.token, "json").await;
    let mut bobs = server.connect(&bob.token, "json").await;
    let [ann_id, bob_id] = [&ann, &bob].map(|player| player.id.parse().expect("a user id"));
    let all = vec![(ann_id, own("a", true)), (bob_id, own("b", false)), (ann_id, own("c", false))];
    notifications::send(server.running.services(), all).await.expect("sent");
    let envelope = anns.next().await;
    assert_eq!(subjects(&envelope["notifications"]), ["a", "c"]);
    assert_eq!(one_notification(&mut bobs).await["subject"], "b");
}

#[tokio::test]
async fn everybody_can_be_told_at_once_or_for_good() {
    let server = TestServer::start().await;
    let (ann, bob) = (player(&server, "ann").await, player(&server, "bob").await);
    let mut anns = server.connect(&ann.token, "json").await;
    let services = server.running.services();
    notifications::send_to_all(services, Tenant::NONE, own("now", false)).await.expect("sent");
    assert_eq!(one_notification(&mut anns).await["subject"], "now");
    let told = notifications::send_to_all(services, Tenant::NONE, own("for good", true)).await.expect("sent");
    assert_eq!(told, 2);
    assert_eq!(one_notification(&mut anns).await["subject"], "for good");
    assert_eq!(subjects(&list(&server, &bob, "limit=9").await), ["for good"], "also who was away");
}

#[tokio::test]
async fn the_oldest_make_room() {
    let server = TestServer::start_with(|config| config.notification.max_per_user = 2).await;
    let ann = player(&server, "ann").await;
    for name in ["one", "two", "three"] {
        send(&server, &ann, own(name, true)).await;
    }
    assert_eq!(subjects(&list(&server, &ann, "limit=9").await), ["two", "three"]);
    let path = format!("/v2/notification?{}", "ids=00000000-0000-4000-8000-000000000000&".repeat(3));
    assert_eq!(call(&server, &ann, "DELETE", &path).await.0, 400, "more than there can be");
}

#[tokio::test]
async fn a_deleted_account_leaves_none_and_one_to_it_harms_nobody() {
    let server = TestServer::start().await;
    let (ann, bob) = (player(&server, "ann").await, player(&server, "bob").await);
    send(&server, &ann, own("one", true)).await;
    assert_eq!(call(&server, &ann, "DELETE", "/v2/account").await.0, 200);
    let [ann_id, bob_id] = [&ann, &bob].map(|player| player.id.parse().expect("a user id"));
    let all = vec![(ann_id, own("two", true)), (bob_id, own("three", true))];
    notifications::send(server.running.services(), all).await.expect("sent");
    assert_eq!(subjects(&list(&server, &bob, "limit=9").await), ["three"]);
    let again = player(&server, &ann.name).await;
    assert_eq!(subjects(&list(&server, &again, "limit=9").await), [""; 0]);
}

/// A process of its own, as an operator runs it: it is killed, and what its answers had said is there.
#[tokio::test]
async fn after_kill_9_every_invite_that_was_answered_is_there_with_its_notification() {
    let data = tempfile::tempdir().expect("a folder");
    let ask = async |server: &Process, method: &str, path: &str, authorization: &str, body: Value| {
        let request = reqwest::Client::new()
            .request(method.parse().expect("a method"), format!("http://{}{path}", server.http))
            .header("authorization", authorization)
            .body(body.to_string());
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), 200);
        serde_json::from_str::<Value>(&response.text().await.expect("a body")).expect("JSON")
    };
    let sign_in = async |server: &Process, name: &str| {
        let path = format!("/v2/account/authenticate/custom?username={name}");
        let session = ask(server, "POST", &path, SERVER_KEY, json!({ "id": format!("id-of-{name}") })).await;
        format!("Bearer {}", text(&session["token"]))
    };
    let server = Process::start(data.path(), PLAIN);
    sign_in(&server, "ann").await;
    for number in 0..20 {
        let bearer = sign_in(&server, &format!("player-{number}")).await;
        ask(&server, "POST", "/v2/friend?usernames=ann", &bearer, Value::Null).await;
    }
    server.signal("-KILL");
    drop(server);
    let server = Process::start(data.path(), PLAIN);
    let bearer = sign_in(&server, "ann").await;
    let list = ask(&server, "GET", "/v2/notification?limit=100", &bearer, Value::Null).await;
    assert_eq!(subjects(&list).len(), 20);
    let friends = ask(&server, "GET", "/v2/friend?state=2", &bearer, Value::Null).await;
    assert_eq!(friends["friends"].as_array().map(Vec::len), Some(20));
}
