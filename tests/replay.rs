//! An identity token that is presented once more, in each mode of `identity.replay`.

mod common;

use common::{SERVER_KEY, TestServer, fixed, issuer::Issuer, process::Process, text};
use kizuna::{
    clock::Clock,
    config::{self, Replay},
};
use serde_json::{Value, json};
use std::net::SocketAddr;

struct World {
    server: TestServer,
    issuer: Issuer,
    clock: Clock,
}

const REFUSED: (u16, &str) = (401, "Identity token refused.");

impl World {
    async fn start(replay: Replay) -> Self {
        let issuer = Issuer::new("https://idp.example");
        Self::start_in(tempfile::tempdir().expect("a folder"), issuer, fixed().0, replay, 1_000).await
    }

    async fn start_in(folder: tempfile::TempDir, issuer: Issuer, clock: Clock, replay: Replay, most: usize) -> Self {
        let trust = vec![issuer.inline("idp")];
        let time = clock.clone();
        let configure = |config: &mut config::Config| {
            config.identity.trust = trust;
            (config.identity.replay, config.identity.max_replay_tokens) = (replay, most);
            config.session.token_expiry_sec = 3_600;
        };
        let entropy = kizuna::clock::Entropy::system();
        let server = TestServer::start_built(folder, configure, |server| server.with_time(time, entropy)).await;
        Self { server, issuer, clock }
    }

    async fn restarted(self, replay: Replay) -> Self {
        let Self { server, issuer, clock } = self;
        Self::start_in(server.stop().await, issuer, clock, replay, 1_000).await
    }

    /// An identity token that differs from every other one.
    fn token(&self, subject: &str) -> String {
        let now = self.clock.unix_seconds();
        let id = kizuna::clock::Entropy::system().uuid().to_string();
        self.issuer.token(subject, &json!({ "iat": now, "exp": now + 600, "jti": id }))
    }

    async fn present(&self, token: &str, query: &str) -> (u16, Value) {
        let path = format!("/v2/account/authenticate/custom?{query}");
        self.server.call("POST", &path, SERVER_KEY, json!({ "id": token, "vars": { "a": "1" } })).await
    }

    async fn refused(&self, token: &str) {
        let (status, answer) = self.present(token, "").await;
        assert_eq!((status, text(&answer["message"])), REFUSED);
    }

    async fn call(&self, path: &str, session: &Value, body: Value) -> (u16, Value) {
        self.server.call("POST", path, &format!("Bearer {}", text(&session["token"])), body).await
    }
}

#[tokio::test]
async fn off_takes_a_token_as_often_as_it_comes() {
    let world = World::start(Replay::Off).await;
    let token = world.token("player-a");
    let (_, first) = world.present(&token, "").await;
    let (status, second) = world.present(&token, "").await;
    assert_eq!(status, 200);
    assert_ne!(first["token"], second["token"], "another session");
}

#[tokio::test]
async fn strict_takes_a_token_once_also_after_a_restart() {
    let world = World::start(Replay::Strict).await;
    let token = world.token("player-a");
    assert_eq!(world.present(&token, "").await.0, 200);
    world.refused(&token).await;
    let returning = world.token("player-a");
    assert_eq!(world.present(&returning, "").await.0, 200);
    world.refused(&returning).await;
    let world = world.restarted(Replay::Strict).await;
    world.refused(&token).await;
    world.refused(&returning).await;
    assert_eq!(world.present(&world.token("player-a"), "").await.0, 200);
    let metrics = world.server.metrics().await;
    assert!(metrics.contains("step=\"replay\",outcome=\"refused\"} 2"), "{metrics}");
    let log = std::fs::read_to_string(world.server.stop().await.path().join("audit.log")).expect("the audit log");
    assert_eq!(log.matches(r#""step":"replay""#).count(), 4, "{log}");
}

#[tokio::test]
async fn strict_does_not_use_up_a_token_that_opens_nothing() {
    let world = World::start(Replay::Strict).await;
    world.present(&world.token("player-a"), "username=ann").await;
    let token = world.token("player-b");
    assert_eq!(world.present(&token, "create=false").await.0, 404);
    assert_eq!(world.present(&token, "username=ann").await.0, 409);
    assert_eq!(world.present(&token, "username=bob").await.0, 200);
    world.refused(&token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_strict_lets_one_in_and_idempotent_all_to_one_session() {
    for (replay, expected) in [(Replay::Strict, 1), (Replay::Idempotent, 12)] {
        let world = World::start(replay).await;
        // Once where the account is new, once where it is there.
        for _ in 0..2 {
            let token = world.token("player-a");
            let tries = (0..12).map(|_| world.present(&token, ""));
            let answers = futures_util::future::join_all(tries).await;
            let good: Vec<_> = answers.iter().filter(|(status, _)| *status == 200).collect();
            assert_eq!(good.len(), expected, "{replay:?}: {answers:?}");
            assert!(good.iter().all(|answer| *answer == good[0]), "one session: {good:?}");
        }
    }
}

#[tokio::test]
async fn idempotent_answers_the_same_pair_for_its_window_and_then_refuses() {
    let world = World::start(Replay::Idempotent).await;
    let (token, returning) = (world.token("player-a"), world.token("player-a"));
    let first = world.present(&token, "").await;
    assert_eq!((first.0, &first.1["created"]), (200, &json!(true)));
    world.clock.advance_seconds(10);
    let second = world.present(&returning, "").await;
    world.clock.advance_seconds(19);
    // Whatever else the client says now: it is the same session again.
    assert_eq!(world.present(&token, "username=other&create=false").await, first);
    let world = world.restarted(Replay::Idempotent).await;
    assert_eq!(world.present(&token, "").await, first);
    world.clock.advance_seconds(1);
    world.refused(&token).await;
    assert_eq!(world.present(&returning, "").await, second);
    let world = world.restarted(Replay::Strict).await;
    world.refused(&returning).await;
}

#[tokio::test]
async fn idempotent_does_not_bring_an_ended_session_or_account_back() {
    let world = World::start(Replay::Idempotent).await;
    let token = world.token("player-a");
    let (_, session) = world.present(&token, "").await;
    assert_eq!(world.call("/v2/session/logout", &session, json!({})).await.0, 200);
    let (status, again) = world.present(&token, "").await;
    assert_eq!((status, &again), (200, &session));
    assert_eq!(world.call("/v2/session/ticket", &again, Value::Null).await.0, 401, "it stays logged out");

    let token = world.token("player-a");
    let (_, session) = world.present(&token, "").await;
    let bearer = format!("Bearer {}", text(&session["token"]));
    assert_eq!(world.server.call("DELETE", "/v2/account", &bearer, Value::Null).await.0, 200);
    world.refused(&token).await;
}

#[tokio::test]
async fn a_token_links_once_and_then_signs_nobody_in() {
    for replay in [Replay::Strict, Replay::Idempotent] {
        let world = World::start(replay).await;
        let device = json!({ "id": "device-0000-0001" });
        let (_, session) = world.server.call("POST", "/v2/account/authenticate/device", SERVER_KEY, device).await;
        let other = json!({ "id": "device-0000-0002" });
        let (_, other) = world.server.call("POST", "/v2/account/authenticate/device", SERVER_KEY, other).await;
        let token = world.token("player-a");
        let link = json!({ "id": token });
        assert_eq!(world.call("/v2/account/link/custom", &session, link.clone()).await.0, 200);
        let again = if replay == Replay::Idempotent { 200 } else { 401 };
        assert_eq!(world.call("/v2/account/link/custom", &session, link.clone()).await.0, again);
        assert_eq!(world.call("/v2/account/link/custom", &other, link.clone()).await.0, 401);
        world.refused(&token).await;
        assert_eq!(world.present(&world.token("player-a"), "").await.0, 200);
        let used = world.token("player-a");
        world.present(&used, "").await;
        assert_eq!(world.call("/v2/account/link/custom", &session, json!({ "id": used })).await.0, 401);
    }
}

#[tokio::test]
async fn no_more_tokens_are_taken_than_can_be_remembered() {
    let (folder, issuer) = (tempfile::tempdir().expect("a folder"), Issuer::new("https://idp.example"));
    let world = World::start_in(folder, issuer, fixed().0, Replay::Strict, 2).await;
    for player in ["player-a", "player-a"] {
        assert_eq!(world.present(&world.token(player), "").await.0, 200);
    }
    for player in ["player-a", "player-b"] {
        let (status, answer) = world.present(&world.token(player), "").await;
        assert_eq!((status, &answer["code"]), (503, &json!(14)), "{answer}");
    }
}

async fn post(address: SocketAddr, path: &str, body: String) -> (u16, Value) {
    let request = reqwest::Client::new().post(format!("http://{address}{path}")).header("authorization", SERVER_KEY);
    let response = request.body(body).send().await.expect("an answer");
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.expect("a body")).unwrap_or_default())
}

#[tokio::test]
async fn a_used_token_stays_used_after_kill_9() {
    let data = tempfile::tempdir().expect("a folder");
    fn settings(port: &str) -> [(&str, &str); 2] {
        [("KIZUNA_DEV_PROVIDER_PORT", port), ("KIZUNA_IDENTITY_REPLAY", "strict")]
    }
    let server = Process::start(data.path(), &settings("0"));
    let provider = server.dev_provider().expect("it is on");
    let token = |address| async move { text(&post(address, "/token", "user=ann".into()).await.1["token"]).to_owned() };
    let (used, fresh) = (token(provider).await, token(provider).await);
    let present =
        |address, token: &str| post(address, "/v2/account/authenticate/custom", json!({ "id": token }).to_string());
    assert_eq!(present(server.http, &used).await.0, 200);
    server.signal("-KILL");
    drop(server);
    // The provider's port is part of its tokens' issuer.
    let port = provider.port().to_string();
    let server = Process::start(data.path(), &settings(&port));
    assert_eq!(present(server.http, &used).await.0, 401);
    assert_eq!(present(server.http, &fresh).await.0, 200);
}
