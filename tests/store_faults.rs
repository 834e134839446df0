//! What the server does when its store cannot write: it says so, goes on serving what it can, and recovers by itself.

mod common;

use common::{
    PATIENCE, SERVER_KEY, TestServer, config_in, fixed,
    process::{PLAIN, Process, serve},
    text,
};
use kizuna::app::Server;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::path::Path;

fn error(status: u16, code: i32, message: &str) -> (u16, Value) {
    (status, json!({ "code": code, "message": message }))
}

async fn custom(server: &TestServer, id: &str) -> (u16, Value) {
    server.call("POST", "/v2/account/authenticate/custom", SERVER_KEY, json!({ "id": id })).await
}

/// What a process answers: status and body.
async fn ask(server: &Process, method: &str, path: &str, authorization: &str, body: Value) -> (u16, Value) {
    let method = method.parse().expect("a method");
    let request = reqwest::Client::new()
        .request(method, format!("http://{}{path}", server.http))
        .header("authorization", authorization)
        .body(body.to_string());
    let response = tokio::time::timeout(PATIENCE, request.send()).await.expect("in time").expect("an answer");
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.expect("a body")).unwrap_or(Value::Null))
}

async fn sign_in_at(server: &Process, id: &str) -> (u16, Value) {
    ask(server, "POST", "/v2/account/authenticate/custom", SERVER_KEY, json!({ "id": id })).await
}

/// The size that no file of a process may grow beyond.
#[cfg(target_os = "linux")]
fn limit_files(server: &Process, bytes: &str) {
    // The soft limit only, which may be raised again by anybody.
    let limited = std::process::Command::new("prlimit")
        .args(["--pid", &server.child.id().to_string(), &format!("--fsize={bytes}:")])
        .status();
    assert!(limited.expect("prlimit (util-linux) runs").success());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn when_nothing_can_be_written_it_says_so_serves_the_rest_and_recovers() {
    let data = tempfile::tempdir().expect("a folder");
    let mut server = Process::start(data.path(), PLAIN);
    let (status, session) = sign_in_at(&server, "player-a").await;
    assert_eq!(status, 200);
    let bearer = format!("Bearer {}", text(&session["token"]));
    limit_files(&server, "4096");
    let refused = error(503, 14, "The store cannot take writes right now: the disk refuses them.");
    for number in 0..20 {
        assert_eq!(sign_in_at(&server, &format!("unlucky-{number}")).await, refused);
    }
    let update = json!({ "location": "here" });
    assert_eq!(ask(&server, "PUT", "/v2/account", &bearer, update.clone()).await, refused);
    assert_eq!(ask(&server, "POST", "/v2/session/logout", &bearer, json!({})).await, refused);
    assert_eq!(ask(&server, "GET", "/healthcheck", "", Value::Null).await.0, 200);
    assert_eq!(ask(&server, "GET", "/v2/account", &bearer, Value::Null).await.0, 200, "a failed log-out is none");
    assert_eq!(sign_in_at(&server, "player-a").await.0, 200, "who has an account signs in");
    let query = format!("token={}&format=json", text(&session["token"]));
    let mut socket = common::open_socket(server.http, &query, &[]).await.expect("opens");
    socket.create_match().await;
    drop(socket);

    limit_files(&server, "unlimited");
    let (status, session) = sign_in_at(&server, "unlucky-7").await;
    assert_eq!((status, &session["created"]), (200, &json!(true)), "no half account was left: {session}");
    assert_eq!(ask(&server, "PUT", "/v2/account", &bearer, update).await.0, 200);
    server.terminate();
    let log = server.log();
    for said in ["the store cannot write", "kizuna.db"] {
        assert_eq!(log.matches(said).count(), 1, "once, when it began: {log}");
    }
    let server = Process::start(data.path(), PLAIN);
    for id in ["player-a", "unlucky-7"] {
        assert_eq!(sign_in_at(&server, id).await.1.get("created"), None, "{id} is there after a restart");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_cannot_be_stored_is_told_to_nobody() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::start(data.path(), PLAIN);
    let (_, ann) =
        ask(&server, "POST", "/v2/account/authenticate/custom?username=ann", SERVER_KEY, json!({ "id": "id-of-ann" }))
            .await;
    let (_, bob) = sign_in_at(&server, "id-of-bob").await;
    let [anns, bobs] = [&ann, &bob].map(|session| format!("Bearer {}", text(&session["token"])));
    let query = format!("token={}&format=json", text(&ann["token"]));
    let mut socket = common::open_socket(server.http, &query, &[]).await.expect("opens");
    limit_files(&server, "4096");
    let refused = error(503, 14, "The store cannot take writes right now: the disk refuses them.");
    let invite = "/v2/friend?usernames=ann";
    assert_eq!(ask(&server, "POST", invite, &bobs, Value::Null).await, refused);
    socket.quiet().await;
    let (_, friends) = ask(&server, "GET", "/v2/friend", &anns, Value::Null).await;
    assert_eq!(friends, json!({}));

    limit_files(&server, "unlimited");
    assert_eq!(ask(&server, "POST", invite, &bobs, Value::Null).await.0, 200);
    let told = socket.next().await;
    assert_eq!(told["notifications"]["notifications"][0]["code"], -2, "{told}");
    let (_, list) = ask(&server, "GET", "/v2/notification?limit=9", &anns, Value::Null).await;
    assert_eq!(list["notifications"].as_array().map(Vec::len), Some(1), "once: {list}");
}

fn open_beside(folder: &Path) -> Connection {
    Connection::open(folder.join("kizuna.db")).expect("opens")
}

#[tokio::test]
async fn a_locked_database_refuses_new_players_and_nobody_else_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    let server = TestServer::start_in(folder, |config| config.store.busy_timeout_ms = 50).await;
    let session = server.sign_in("player-a").await;
    let bearer = format!("Bearer {}", text(&session["token"]));
    for how in ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"] {
        let other = open_beside(&path);
        other.execute_batch(how).expect("locked");
        let refused = error(503, 14, "The store cannot take writes right now: database locked.");
        assert_eq!(custom(&server, "newcomer").await, refused);
        assert_eq!(server.call("POST", "/v2/session/logout", &bearer, json!({})).await, refused);
        assert_eq!(custom(&server, "player-a").await.0, 200);
        assert_eq!(server.call("GET", "/v2/account", &bearer, Value::Null).await.0, 200);
        server.connect(text(&session["token"]), "json").await.create_match().await;
    }
    assert_eq!(custom(&server, "newcomer").await.1["created"], true, "released");
}

#[tokio::test]
async fn a_lock_that_is_released_in_time_costs_nobody_an_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    let server = TestServer::start_in(folder, |config| config.store.busy_timeout_ms = 10_000).await;
    server.sign_in("player-a").await;
    let other = open_beside(&path);
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let newcomer = custom(&server, "newcomer");
    tokio::pin!(newcomer);
    tokio::select! {
        biased;
        answer = &mut newcomer => panic!("answered while nothing could be written: {answer:?}"),
        answer = custom(&server, "player-a") => assert_eq!(answer.0, 200, "a reader does not wait for the writer"),
    }
    other.execute_batch("ROLLBACK").expect("released");
    assert_eq!(newcomer.await.1["created"], true);
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let second = Server::builder(config_in(&folder, |_| {}));
    let path = folder.path().to_owned();
    let first = TestServer::start_in(folder, |_| {}).await;
    let why = second.start().await.expect_err("must not start").to_string();
    let wanted = format!("{}: another Kizuna server has this data folder open", path.display());
    assert!(why.contains(&wanted), "{why}");

    let output = serve(&path, PLAIN).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("another Kizuna server has this data folder open"), "{said}");

    first.sign_in("player-a").await;
    let third = TestServer::start_in(first.stop().await, |_| {}).await;
    assert_eq!(third.sign_in("player-a").await.get("created"), None, "a stopped server frees its folder");
}

#[tokio::test]
async fn a_database_that_is_none_stops_the_start_with_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("kizuna.db"), "this is no database, whatever its name says".repeat(100))
        .expect("written");
    let why = Server::builder(config_in(&folder, |_| {})).start().await.expect_err("must not start").to_string();
    assert!(why.contains("kizuna.db"), "{why}");
}

#[tokio::test]
async fn when_the_clock_goes_back_signing_in_and_logging_out_still_hold() {
    let (clock, entropy) = fixed();
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::start_built(folder, |_| {}, |server| server.with_time(clock.clone(), entropy)).await;
    let account = async |server: &TestServer, session: &Value| {
        server.call("GET", "/v2/account", &format!("Bearer {}", text(&session["token"])), Value::Null).await.0
    };
    let log_out = async |session: &Value| {
        let bearer = format!("Bearer {}", text(&session["token"]));
        server.call("POST", "/v2/session/logout", &bearer, json!({})).await.0
    };
    let early = server.sign_in("player-a").await;
    clock.advance_seconds(-30);
    let later = server.sign_in("player-a").await;
    assert_eq!((account(&server, &early).await, account(&server, &later).await), (200, 200));
    assert_eq!(log_out(&later).await, 200);
    assert_eq!((account(&server, &early).await, account(&server, &later).await), (401, 401), "all that came before");
    let new = server.sign_in("player-a").await;
    assert_eq!(account(&server, &new).await, 200, "signed in after the log-out, at an earlier time than the first");
    clock.advance_seconds(-3_600);
    let newest = server.sign_in("player-a").await;
    assert_eq!((account(&server, &new).await, account(&server, &newest).await), (200, 200));
    clock.advance_seconds(3_600);
    assert_eq!(account(&server, &newest).await, 401, "its minute is long over");
    assert_eq!(account(&server, &new).await, 200);
    assert_eq!((account(&server, &early).await, account(&server, &later).await), (401, 401));

    let (earlier, entropy) = fixed();
    earlier.advance_seconds(-60);
    let folder = server.stop().await;
    let server = TestServer::start_built(folder, |_| {}, |server| server.with_time(earlier, entropy)).await;
    assert_eq!((account(&server, &early).await, account(&server, &later).await), (401, 401), "after a restart, too");
    let session = server.sign_in("player-a").await;
    assert_eq!(account(&server, &session).await, 200, "a restart in the past signs in");
}
