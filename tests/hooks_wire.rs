//! Hooks at the wire: webhooks that change and refuse, notices that outlive a restart, and hooks of a program's own.

mod common;

use async_trait::async_trait;
use common::{
    SERVER_KEY, TestServer, text,
    web::{Received, Web},
};
use kizuna::{
    config::{Config, Webhook, WebhookStage},
    error::Error,
    hooks::{AuthenticateRequest, BeforeAuthenticate, HookContext},
};
use kizuna_protocol::code::Code;
use serde_json::{Value, json};

const CUSTOM: &str = "/v2/account/authenticate/custom";

fn webhook(config: &mut Config, name: &str, stage: WebhookStage, url: String) {
    let list = if stage == WebhookStage::Before { &mut config.hooks.before } else { &mut config.hooks.after };
    list.push(name.to_owned());
    config.hooks.webhook.push(Webhook { name: name.into(), stage, url, retry_ms: 1, ..Webhook::default() });
}

async fn server_asking(web: &Web) -> TestServer {
    TestServer::start_with(|config| webhook(config, "gate", WebhookStage::Before, web.url("/before"))).await
}

async fn custom(server: &TestServer, id: &str) -> (u16, Value) {
    server.call("POST", CUSTOM, SERVER_KEY, json!({ "id": id })).await
}

fn claims(session: &Value) -> Value {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let payload = text(&session["token"]).split('.').nth(1).expect("a token");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

fn unavailable() -> (u16, Value) {
    (503, json!({ "code": 14, "message": "Sign-in cannot be checked right now. Try again." }))
}

#[tokio::test]
async fn a_webhook_sees_the_whole_request_and_may_change_all_of_it() {
    let web = Web::start(|_| {
        let changes = json!({ "id": "id-of-the-hook", "username": "hooked", "vars": { "rank": "gold" } });
        Some((200, changes.to_string()))
    })
    .await;
    let server = server_asking(&web).await;
    let body = json!({ "id": "id-of-the-client", "vars": { "rank": "tin", "more": "x" } });
    let path = format!("{CUSTOM}?create=true&username=client");
    let (status, session) = server.call("POST", &path, SERVER_KEY, body).await;
    assert_eq!(status, 200, "{session}");
    let claims = claims(&session);
    assert_eq!((&claims["usn"], &claims["vrs"]), (&json!("hooked"), &json!({ "rank": "gold" })));
    let bearer = format!("Bearer {}", text(&session["token"]));
    let (_, account) = server.call("GET", "/v2/account", &bearer, Value::Null).await;
    assert_eq!((&account["custom_id"], &account["user"]["username"]), (&json!("id-of-the-hook"), &json!("hooked")));
    let asked = web.received().remove(0).body;
    assert_eq!(asked["client"]["address"], "127.0.0.1");
    assert_eq!(asked["client"]["port"], Value::Null, "plain HTTP tells none, as in Nakama");
    let seen = ["operation", "method", "id", "vars", "username", "create", "user"].map(|name| asked[name].clone());
    let vars = json!({ "rank": "tin", "more": "x" });
    let sent = json!(["authenticate", "custom", "id-of-the-client", vars, "client", true, null]);
    assert_eq!(json!(seen), sent);
}

#[tokio::test]
async fn a_webhook_may_keep_an_account_from_being_made() {
    let web = Web::start(|_| Some((200, json!({ "create": false }).to_string()))).await;
    let server = server_asking(&web).await;
    assert_eq!(custom(&server, "player-a").await.0, 404);
}

#[tokio::test]
async fn a_webhook_refuses_with_its_own_code_and_message() {
    let web = Web::start(|received| match received.body["id"] == "player-b" {
        true => Some((403, json!({ "code": 7, "message": "Come back when you are older." }).to_string())),
        false => Some((200, "{}".to_owned())),
    })
    .await;
    let server = server_asking(&web).await;
    let refused = (403, json!({ "code": 7, "message": "Come back when you are older." }));
    assert_eq!(custom(&server, "player-b").await, refused);
    let session = server.sign_in("player-a").await;
    let bearer = format!("Bearer {}", text(&session["token"]));
    let link = server.call("POST", "/v2/account/link/custom", &bearer, json!({ "id": "player-b" })).await;
    assert_eq!(link, refused, "linking is asked about, too");
    let asked = web.received().pop().expect("asked").body;
    assert_eq!((&asked["operation"], asked["user"]["id"].is_string()), (&json!("link"), true));
}

#[tokio::test]
async fn without_a_good_answer_of_its_webhook_nobody_is_let_in() {
    let web = Web::start(|received| match received.body["id"].as_str() {
        Some("status-500") => Some((500, "{}".to_owned())),
        Some("redirect") => Some((302, "{}".to_owned())),
        Some("not-json") => Some((200, "yes".to_owned())),
        Some("unknown-member") => Some((200, json!({ "allow": true }).to_string())),
        Some("silence") => None,
        _ => Some((200, "{}".to_owned())),
    })
    .await;
    let server = TestServer::start_with(|config| {
        webhook(config, "gate", WebhookStage::Before, web.url("/before"));
        config.hooks.webhook[0].timeout_ms = 500;
    })
    .await;
    for id in ["status-500", "redirect", "not-json", "unknown-member", "silence"] {
        assert_eq!(custom(&server, id).await, unavailable(), "{id}");
    }
    assert_eq!(custom(&server, "player-a").await.0, 200);
    let address = web.stop().await;
    assert_eq!(custom(&server, "player-a").await, unavailable(), "the service is down");
    let _again = Web::start_at(address, |_| Some((200, "{}".to_owned()))).await;
    assert_eq!(custom(&server, "player-a").await.0, 200, "and up again");
    assert_eq!(custom(&server, "status-500").await.1["created"], true, "no refused request made an account");
}

#[tokio::test]
async fn a_notice_is_sent_again_after_a_restart_until_it_has_arrived_once() {
    let down = Web::start(|_| Some((500, String::new()))).await;
    let address = down.address;
    let tell = |config: &mut Config| {
        webhook(config, "crm", WebhookStage::After, format!("http://{address}/after"));
        config.hooks.webhook[0].max_attempts = 1_000_000;
    };
    let server = TestServer::start_with(tell).await;
    let session = server.sign_in("player-a").await;
    let tries = down.until(2).await;
    assert_eq!(tries[0].body["id"], tries[1].body["id"], "one notice, tried again");
    let folder = server.stop().await;
    down.stop().await;

    let up = Web::start_at(address, |_| Some((204, String::new()))).await;
    let server = TestServer::start_in(folder, tell).await;
    let notice = up.until(1).await.remove(0).body;
    assert_eq!(notice["id"], tries[0].body["id"], "the same one");
    assert_eq!((&notice["event"], &notice["created"]), (&json!("account_created"), &json!(true)));
    assert_eq!(notice["user_id"], claims(&session)["uid"]);
    assert!(!notice.to_string().contains("player-a"), "no credential is in it");
    let again = server.sign_in("player-a").await;
    assert_eq!(again.get("created"), None);
    let second = up.until(2).await.remove(1).body;
    assert_eq!((&second["event"], second["id"] == notice["id"]), (&json!("signed_in"), false));
    // Delivery is at least once: only what has been noted as arrived is not sent again.
    while server.running.services().metrics.notices_delivered.get() < 2 {
        tokio::task::yield_now().await;
    }

    let server = TestServer::start_in(server.stop().await, tell).await;
    server.sign_in("player-b").await;
    let third = up.until(3).await.remove(2).body;
    assert_eq!(third["event"], "account_created", "what has arrived is not sent again");
}

#[tokio::test]
async fn a_refused_sign_in_is_not_told() {
    let up = Web::start(|_| Some((204, String::new()))).await;
    let server = TestServer::start_with(|config| webhook(config, "crm", WebhookStage::After, up.url("/after"))).await;
    assert_eq!(custom(&server, "short").await.0, 400);
    server.sign_in("player-a").await;
    let told = up.until(1).await;
    assert_eq!((told.len(), &told[0].body["event"]), (1, &json!("account_created")));
}

#[tokio::test]
async fn a_full_outbox_refuses_sign_ins_and_makes_no_account() {
    let down = Web::start(|_| None).await;
    let server = TestServer::start_with(|config| {
        webhook(config, "crm", WebhookStage::After, down.url("/after"));
        config.hooks.outbox_size = 1;
    })
    .await;
    server.sign_in("player-a").await;
    assert_eq!(custom(&server, "player-b").await.0, 503);
    assert_eq!(
        server.call("POST", &format!("{CUSTOM}?create=false"), SERVER_KEY, json!({ "id": "player-b" })).await.0,
        404
    );
}

/// A hook of a program's own: what it does stands in the id.
struct Own;

#[async_trait]
impl BeforeAuthenticate for Own {
    fn name(&self) -> &str {
        "own"
    }

    async fn before(&self, _: &HookContext, mut request: AuthenticateRequest) -> Result<AuthenticateRequest, Error> {
        match request.id.as_str() {
            "panic" => panic!("on purpose"),
            "refuse" => return Err(Error::new(Code::FailedPrecondition, "Not today.")),
            "fail" => return Err(Error::internal("Something went wrong.", "a private cause")),
            id if id.len() > 128 => request.id.truncate(100),
            id if id.len() < 6 => request.id = format!("padded-{id}"),
            _ => {}
        }
        Ok(request)
    }
}

async fn server_with_own_hook() -> TestServer {
    let folder = tempfile::tempdir().expect("a folder");
    TestServer::start_built(folder, |_| {}, |server| server.before(Own)).await
}

#[tokio::test]
async fn a_hook_that_panics_refuses_its_request_and_touches_no_other() {
    let server = server_with_own_hook().await;
    let panicked = (500, json!({ "code": 13, "message": "Could not complete runtime Before function." }));
    let mut socket = server.player("player-a").await;
    let asked =
        (0..20).map(|number| async move { if number % 2 == 0 { "panic".into() } else { format!("player-{number}") } });
    let ids = futures_util::future::join_all(asked).await;
    let answers = futures_util::future::join_all(ids.iter().map(|id| custom(&server, id))).await;
    for (id, answer) in ids.iter().zip(answers) {
        match id.as_str() {
            "panic" => assert_eq!(answer, panicked),
            _ => assert_eq!(answer.0, 200, "{answer:?}"),
        }
    }
    assert_eq!(socket.ask(json!({ "ping": {} })).await, json!({ "pong": {} }));
    let (status, refused) = custom(&server, "refuse").await;
    assert_eq!((status, &refused["code"], &refused["message"]), (400, &json!(9), &json!("Not today.")));
    let (status, failed) = custom(&server, "fail").await;
    assert_eq!(status, 500);
    assert!(!failed.to_string().contains("private"), "{failed}");
    let metrics = server.metrics().await;
    for line in [
        "kizuna_hook_failures_total{kind=\"panicked\"} 10",
        "kizuna_hook_failures_total{kind=\"refused\"} 1",
        "kizuna_hook_failures_total{kind=\"failed\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no {line}");
    }
}

#[tokio::test]
async fn hooks_run_before_the_length_of_an_id_is_checked() {
    let server = server_with_own_hook().await;
    for (sent, wanted) in [("x".repeat(200), "x".repeat(100)), ("ann".into(), "padded-ann".into())] {
        let session = server.sign_in(&sent).await;
        let bearer = format!("Bearer {}", text(&session["token"]));
        let (_, account) = server.call("GET", "/v2/account", &bearer, Value::Null).await;
        assert_eq!(account["custom_id"], wanted);
    }
    let plain = TestServer::start().await;
    assert_eq!(custom(&plain, &"x".repeat(200)).await.0, 400, "without the hook");
}

#[tokio::test]
async fn hooks_run_in_the_order_of_the_configuration() {
    let answer = |name: &'static str| {
        move |received: &Received| {
            let id = format!("{}-{name}", text(&received.body["id"]));
            Some((200, json!({ "id": id }).to_string()))
        }
    };
    let (one, two) = (Web::start(answer("one")).await, Web::start(answer("two")).await);
    for order in [["one", "two"], ["two", "one"]] {
        let server = TestServer::start_with(|config| {
            webhook(config, "one", WebhookStage::Before, one.url("/"));
            webhook(config, "two", WebhookStage::Before, two.url("/"));
            config.hooks.before = order.map(str::to_owned).into();
        })
        .await;
        let session = server.sign_in("player").await;
        let bearer = format!("Bearer {}", text(&session["token"]));
        let (_, account) = server.call("GET", "/v2/account", &bearer, Value::Null).await;
        assert_eq!(account["custom_id"], format!("player-{}-{}", order[0], order[1]));
    }
}
