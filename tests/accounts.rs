//! Accounts and sessions at the wire: races, passwords, bans, refresh and log-out, keys that change.

mod common;

use common::{PATIENCE, SERVER_KEY, TestServer, text};
use futures_util::future::join_all;
use kizuna::{config::Config, features::account};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// "correct horse" as `crypt(3)` hashes it at Nakama's cost.
const NAKAMAS_HASH: &str = "$2a$13$abcdefghijklmnopqrstuufJyGQz74MaXA58G4n4SAlu8WLjGODFe";

fn cheap_hashes(config: &mut Config) {
    config.password.bcrypt_cost = 10;
}

async fn authenticate(server: &TestServer, method: &str, query: &str, account: Value) -> (u16, Value) {
    server.call("POST", &format!("/v2/account/authenticate/{method}{query}"), SERVER_KEY, account).await
}

async fn account_of(server: &TestServer, token: &Value) -> (u16, Value) {
    server.call("GET", "/v2/account", &format!("Bearer {}", text(token)), Value::Null).await
}

async fn user_of(server: &TestServer, session: &Value) -> Value {
    let (status, account) = account_of(server, &session["token"]).await;
    assert_eq!(status, 200, "{account}");
    account["user"]["id"].clone()
}

async fn refresh(server: &TestServer, token: &Value) -> (u16, Value) {
    server.call("POST", "/v2/account/session/refresh", SERVER_KEY, json!({ "token": token })).await
}

async fn log_out(server: &TestServer, session: &Value, body: Value) -> (u16, Value) {
    server.call("POST", "/v2/session/logout", &format!("Bearer {}", text(&session["token"])), body).await
}

fn error(status: u16, code: i32, message: &str) -> (u16, Value) {
    (status, json!({ "code": code, "message": message }))
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_who_create_one_id_one_makes_the_account_and_all_get_it() {
    let server = TestServer::start().await;
    for method in ["custom", "device"] {
        let asked = (0..50).map(|_| authenticate(&server, method, "", json!({ "id": "one-and-the-same" })));
        let answers = join_all(asked).await;
        assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
        let made = answers.iter().filter(|(_, session)| session["created"] == true).count();
        assert_eq!(made, 1, "one of them made it, by {method}");
        let users = join_all(answers.iter().map(|(_, session)| user_of(&server, session))).await;
        assert!(users.iter().all(|user| *user == users[0]), "{users:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_who_want_one_username_one_gets_it() {
    let server = TestServer::start().await;
    let asked = (0..50).map(|number| {
        let id = json!({ "id": format!("player-{number}") });
        authenticate(&server, "custom", "?username=wanted", id)
    });
    let answers = join_all(asked).await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 1);
    let taken = error(409, 6, "Username is already in use.");
    assert_eq!(answers.iter().filter(|answer| **answer == taken).count(), 49, "{answers:?}");
    let left = join_all((0..50).map(|number| {
        let id = json!({ "id": format!("player-{number}") });
        authenticate(&server, "custom", "?create=false", id)
    }));
    assert_eq!(left.await.iter().filter(|(status, _)| *status == 404).count(), 49, "no half account is left");
}

#[tokio::test]
async fn an_email_account_signs_in_by_address_or_by_name_with_its_password_only() {
    let server = TestServer::start_with(cheap_hashes).await;
    let good = json!({ "email": "Anna@Example.com", "password": "correct horse" });
    let (status, session) = authenticate(&server, "email", "?username=anna", good.clone()).await;
    assert_eq!((status, &session["created"]), (200, &json!(true)), "{session}");
    let user = user_of(&server, &session).await;
    let (_, account) = account_of(&server, &session["token"]).await;
    assert_eq!(account["email"], "anna@example.com");

    let by_name = json!({ "password": "correct horse" });
    for (query, body) in [("", good), ("?username=anna", by_name)] {
        let (status, session) = authenticate(&server, "email", query, body).await;
        assert_eq!((status, session.get("created")), (200, None), "{session}");
        assert_eq!(user_of(&server, &session).await, user);
    }
    let wrong = error(401, 16, "Invalid credentials.");
    for (query, body) in [
        ("", json!({ "email": "anna@example.com", "password": "wrong horse" })),
        ("?username=anna", json!({ "password": "wrong horse" })),
    ] {
        assert_eq!(authenticate(&server, "email", query, body).await, wrong);
    }
    let unknown = authenticate(&server, "email", "?username=bert", json!({ "password": "correct horse" })).await;
    assert_eq!(unknown, error(404, 5, "User account not found."));
}

#[tokio::test]
async fn an_address_that_signs_in_too_often_is_told_to_wait() {
    let server = TestServer::start_with(|config| {
        config.socket.sign_ins_per_address_per_min = 1;
        config.socket.sign_in_burst = 2;
    })
    .await;
    let device = json!({ "id": "device-of-a-player" });
    let (status, session) = authenticate(&server, "device", "", device.clone()).await;
    assert_eq!(status, 200, "{session}");
    assert_eq!(
        authenticate(&server, "email", "", json!({ "email": "a@example.com", "password": "short" })).await.0,
        400
    );
    let (status, refusal) = authenticate(&server, "device", "", device).await;
    assert_eq!((status, &refusal["code"]), (429, &json!(8)));
    assert!(refusal["message"].as_str().is_some_and(|text| text.starts_with("Too many sign-ins from this address.")));
    let refresh = json!({ "token": session["refresh_token"] });
    assert_eq!(
        server.call("POST", "/v2/account/session/refresh", SERVER_KEY, refresh).await.0,
        200,
        "who plays, plays on"
    );
    assert!(server.metrics().await.contains("kizuna_sign_ins_throttled_total 1"));
}

#[tokio::test]
async fn a_hash_that_nakama_stored_matches_its_password() {
    let folder = TestServer::start().await.stop().await;
    let id = Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef);
    let database = Connection::open(folder.path().join("kizuna.db")).expect("opens");
    let sql =
        "INSERT INTO users (id, username, email, password, create_time, update_time) VALUES (?1, ?2, ?3, ?4, 1, 1)";
    let row = params![id.as_bytes(), "veteran", "old@example.com", NAKAMAS_HASH.as_bytes()];
    database.execute(sql, row).expect("inserted");
    drop(database);
    let server = TestServer::start_in(folder, |_| {}).await;
    let good = json!({ "email": "old@example.com", "password": "correct horse" });
    let (status, session) = authenticate(&server, "email", "", good).await;
    assert_eq!((status, session.get("created")), (200, None), "{session}");
    assert_eq!(user_of(&server, &session).await, id.to_string());
    let wrong = json!({ "email": "old@example.com", "password": "correct house" });
    assert_eq!(authenticate(&server, "email", "", wrong).await.0, 401);
}

/// Everything here runs on one thread: a hash computed on it would let at most one health check through.
#[tokio::test(flavor = "current_thread")]
async fn while_passwords_are_hashed_others_are_served() {
    const HEALTH_CHECKS: usize = 64;
    let server = Arc::new(TestServer::start_with(|config| config.password.bcrypt_cost = 12).await);
    let sign_ups = join_all((0..8).map(|number| {
        let server = server.clone();
        tokio::spawn(async move {
            let account = json!({ "email": format!("player{number}@example.com"), "password": "correct horse" });
            authenticate(&server, "email", "", account).await
        })
    }));
    tokio::pin!(sign_ups);
    let health_checks = async {
        for _ in 0..HEALTH_CHECKS {
            assert_eq!(server.call("GET", "/healthcheck", "", Value::Null).await, (200, json!({})));
        }
    };
    tokio::select! {
        biased;
        _ = &mut sign_ups => panic!("eight sign-ups were done before {HEALTH_CHECKS} health checks"),
        () = health_checks => {}
    }
    for answer in sign_ups.await {
        assert_eq!(answer.expect("ends").0, 200);
    }
}

#[tokio::test]
async fn a_banned_player_is_told_and_disconnected_and_stays_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::start_in(folder, |_| {}).await;
    let (session, other) = (server.sign_in("player-a").await, server.sign_in("player-b").await);
    let user: Uuid = text(&user_of(&server, &session).await).parse().expect("a user id");
    let mut sockets = Vec::new();
    for _ in 0..2 {
        sockets.push(server.connect(text(&session["token"]), "json").await);
    }
    let mut bystander = server.connect(text(&other["token"]), "json").await;
    let banned = account::set_disabled(server.running.services(), user, true).await;
    assert!(banned.expect("stored"));
    for socket in &mut sockets {
        let notice = &socket.next().await["notifications"]["notifications"][0];
        assert_eq!(
            (&notice["subject"], &notice["code"], &notice["content"]),
            (&json!("banned"), &json!(-8), &json!("{}"))
        );
        assert_eq!(socket.next_close().await, (1000, "server-side session disconnect".to_owned()));
    }
    assert_eq!(bystander.ask(json!({ "ping": {} })).await, json!({ "pong": {} }));

    let out = error(403, 7, "User account banned.");
    assert_eq!(authenticate(&server, "custom", "", json!({ "id": "player-a" })).await, out);
    assert_eq!(account_of(&server, &session["token"]).await, error(401, 16, "Auth token invalid"));
    assert_eq!(refresh(&server, &session["refresh_token"]).await.0, 401);
    let query = format!("token={}", text(&session["token"]));
    assert!(server.try_connect(&query, &[]).await.is_err());

    let server = TestServer::start_in(server.stop().await, |_| {}).await;
    assert_eq!(authenticate(&server, "custom", "", json!({ "id": "player-a" })).await, out, "after a restart, too");
    assert_eq!(account_of(&server, &session["token"]).await.0, 401);
    let lifted = account::set_disabled(server.running.services(), user, false).await;
    assert!(lifted.expect("stored"));
    server.sign_in("player-a").await;
    assert_eq!(account_of(&server, &session["token"]).await.0, 401, "old tokens stay as they are");
}

#[tokio::test]
async fn a_changed_key_signs_and_the_old_one_still_verifies() {
    let keys = |new: &'static str, old: &'static [&'static str]| {
        move |config: &mut Config| {
            config.session.encryption_key = format!("{new}-session").as_str().into();
            config.session.refresh_encryption_key = format!("{new}-refresh").as_str().into();
            let old = |kind: &str| old.iter().map(|key| format!("{key}-{kind}").as_str().into()).collect();
            config.session.previous_encryption_keys = old("session");
            config.session.previous_refresh_encryption_keys = old("refresh");
        }
    };
    let server = TestServer::start_with(keys("first", &[])).await;
    let old = server.sign_in("player-a").await;

    let server = TestServer::start_in(server.stop().await, keys("second", &["first"])).await;
    assert_eq!(account_of(&server, &old["token"]).await.0, 200);
    server.connect(text(&old["token"]), "json").await;
    let (status, refreshed) = refresh(&server, &old["refresh_token"]).await;
    assert_eq!(status, 200, "{refreshed}");
    let new = server.sign_in("player-a").await;

    let server = TestServer::start_in(server.stop().await, keys("second", &[])).await;
    for session in [&new, &refreshed] {
        assert_eq!(account_of(&server, &session["token"]).await.0, 200, "signed by the new key");
        assert_eq!(refresh(&server, &session["refresh_token"]).await.0, 200);
    }
    assert_eq!(account_of(&server, &old["token"]).await.0, 401, "the old key is gone");
    assert_eq!(refresh(&server, &old["refresh_token"]).await.0, 401);
}

#[tokio::test]
async fn log_outs_survive_a_restart() {
    let server = TestServer::start().await;
    let (one, rest, stays) =
        (server.sign_in("player-a").await, server.sign_in("player-b").await, server.sign_in("player-c").await);
    let named = json!({ "token": one["token"], "refresh_token": one["refresh_token"] });
    assert_eq!(log_out(&server, &one, named).await, (200, json!({})));
    assert_eq!(log_out(&server, &rest, json!({})).await, (200, json!({})));
    let after = server.sign_in("player-b").await;
    let out = async |server: &TestServer| {
        for session in [&one, &rest] {
            assert_eq!(account_of(server, &session["token"]).await, error(401, 16, "Auth token invalid"));
            let refused = error(401, 16, "Refresh token invalid or expired.");
            assert_eq!(refresh(server, &session["refresh_token"]).await, refused);
            assert!(server.try_connect(&format!("token={}", text(&session["token"])), &[]).await.is_err());
        }
        for session in [&stays, &after] {
            assert_eq!(account_of(server, &session["token"]).await.0, 200);
        }
    };
    out(&server).await;
    let server = TestServer::start_in(server.stop().await, |_| {}).await;
    out(&server).await;
}

#[tokio::test]
async fn a_session_is_refreshed_with_new_variables_and_its_tokens_are_not_exchangeable() {
    let server = TestServer::start().await;
    let session = server.sign_in("player-a").await;
    let (status, fresh) = refresh(&server, &session["refresh_token"]).await;
    assert_eq!(status, 200, "{fresh}");
    assert_eq!(user_of(&server, &fresh).await, user_of(&server, &session).await);
    assert_eq!(refresh(&server, &session["refresh_token"]).await.0, 200, "its answer may have been lost");
    let refused = error(401, 16, "Refresh token invalid or expired.");
    assert_eq!(refresh(&server, &session["token"]).await, refused);
    assert_eq!(account_of(&server, &session["refresh_token"]).await.0, 401);
    assert_eq!(refresh(&server, &json!("")).await, error(400, 3, "Refresh token is required."));

    let other = server.sign_in("player-b").await;
    let foreign = json!({ "token": other["token"] });
    assert_eq!(log_out(&server, &session, foreign).await.0, 400, "nobody logs others out");
    assert_eq!(account_of(&server, &other["token"]).await.0, 200);
    let mut socket = server.connect(text(&session["token"]), "json").await;
    assert_eq!(log_out(&server, &session, json!({ "refresh_token": session["refresh_token"] })).await.0, 200);
    assert_eq!(refresh(&server, &fresh["refresh_token"]).await.0, 401, "one chain");
    assert_eq!(account_of(&server, &fresh["token"]).await.0, 200, "session tokens were not named");
    assert_eq!(log_out(&server, &fresh, json!({})).await.0, 200);
    assert_eq!(account_of(&server, &fresh["token"]).await.0, 401);
    assert_eq!(socket.next_close().await, (4402, "session revoked".to_owned()), "and its sockets are closed");
    assert!(tokio::time::timeout(PATIENCE, server.stop()).await.is_ok());
}
