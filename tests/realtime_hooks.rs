//! Hooks around the messages of sockets at the wire: changed, refused, dropped, disabled, told.

mod common;

use async_trait::async_trait;
use common::{TestServer, text, web::Web};
use futures_util::StreamExt;
use kizuna::{
    config::{Config, Webhook, WebhookStage},
    error::Error,
    hooks::{AfterEnvelope, BeforeEnvelope, HookContext, MessageKind, Ruling},
};
use kizuna_protocol::realtime::{Envelope, envelope::Message};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Before the making of matches, where the name says what to do, and before their data, which it signs.
struct Before {
    /// "slow" waits for one of these.
    gate: Arc<Semaphore>,
}

#[async_trait]
impl BeforeEnvelope for Before {
    fn name(&self) -> &str {
        "own"
    }

    fn messages(&self) -> Vec<MessageKind> {
        vec![MessageKind::MatchCreate, MessageKind::MatchDataSend]
    }

    async fn before(&self, context: &HookContext, mut envelope: Envelope) -> Ruling {
        let user = context.user.as_ref().expect("a socket has a user");
        match &mut envelope.message {
            Some(Message::MatchDataSend(request)) => {
                request.data = [&request.data, user.username.as_bytes()].concat().into();
            }
            Some(Message::MatchCreate(request)) => match request.name.as_str() {
                "refuse" => return Ruling::Refuse(Error::permission_denied("No matches on Mondays.")),
                "drop" => return Ruling::Drop,
                "disable" => return Ruling::Disable,
                "other" => envelope.message = Some(Message::Ping(Default::default())),
                "panic" => panic!("on purpose"),
                "slow" => self.gate.acquire().await.expect("the gate is never closed").forget(),
                _ => request.name = "the-only-one".into(),
            },
            _ => panic!("a message that it does not stand before"),
        }
        Ruling::Continue(envelope)
    }
}

/// Messages and their answers.
type Log = Arc<Mutex<Vec<(Envelope, Option<Envelope>)>>>;

/// Writes down what it is told after matches were made or joined.
struct After(Log);

#[async_trait]
impl AfterEnvelope for After {
    fn name(&self) -> &str {
        "log"
    }

    fn messages(&self) -> Vec<MessageKind> {
        vec![MessageKind::MatchCreate, MessageKind::MatchJoin, MessageKind::MatchDataSend]
    }

    async fn after(&self, context: &HookContext, request: &Envelope, answer: Option<&Envelope>) -> Result<(), Error> {
        assert!(context.session_id.is_some() && context.client_address.is_some());
        self.0.lock().push((request.clone(), answer.cloned()));
        Ok(())
    }
}

struct Hooked {
    server: TestServer,
    gate: Arc<Semaphore>,
    told: Log,
}

async fn hooked_with(change: impl FnOnce(&mut Config)) -> Hooked {
    let (gate, told) = (Arc::new(Semaphore::new(0)), Log::default());
    let (before, after) = (Before { gate: Arc::clone(&gate) }, After(Arc::clone(&told)));
    let folder = tempfile::tempdir().expect("a folder");
    let build = |server: kizuna::app::Server| server.before_envelope(before).after_envelope(after);
    Hooked { server: TestServer::start_built(folder, change, build).await, gate, told }
}

async fn hooked() -> Hooked {
    hooked_with(|_| {}).await
}

fn create(name: &str) -> Value {
    json!({ "cid": name, "match_create": { "name": name } })
}

fn data(id: &str, data: &str) -> Value {
    use base64::{Engine, engine::general_purpose::STANDARD};
    json!({ "match_data_send": { "match_id": id, "op_code": "1", "data": STANDARD.encode(data) } })
}

fn data_of(envelope: &Value) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let bytes = STANDARD.decode(text(&envelope["match_data"]["data"])).expect("base64");
    String::from_utf8(bytes).expect("text")
}

fn error(cid: &str, code: i32, message: &str) -> Value {
    json!({ "cid": cid, "error": { "code": code, "message": message } })
}

const PING: &str = r#"{"cid":"p","ping":{}}"#;

fn ping() -> Value {
    serde_json::from_str(PING).expect("JSON")
}

fn pong() -> Value {
    json!({ "cid": "p", "pong": {} })
}

#[tokio::test]
async fn a_hook_changes_messages() {
    let Hooked { server, .. } = hooked().await;
    let (mut ann, mut bob) = (server.player("player-ann").await, server.player("player-bob").await);
    let one = ann.ask(create("a")).await;
    let other = bob.ask(create("b")).await;
    assert_eq!(one["match"]["match_id"], other["match"]["match_id"], "the hook gave both one name");
    assert_eq!((&one["cid"], &other["cid"]), (&json!("a"), &json!("b")));
    ann.next().await; // own join
    ann.next().await; // Bob's
    bob.next().await;
    ann.send(data(text(&one["match"]["match_id"]), "hello from ")).await;
    let received = bob.next().await;
    let username = text(&received["match_data"]["presence"]["username"]);
    assert_eq!(data_of(&received), format!("hello from {username}"));
}

#[tokio::test]
async fn a_refused_message_is_answered_with_the_hooks_text_and_the_socket_stays() {
    let Hooked { server, .. } = hooked().await;
    let mut ann = server.player("player-ann").await;
    assert_eq!(ann.ask(create("refuse")).await, error("refuse", 7, "No matches on Mondays."));
    let failed = error("other", 7, "Could not complete runtime Before function.");
    assert_eq!(ann.ask(create("other")).await, failed, "another kind of message");
    assert_eq!(ann.ask(ping()).await, pong());
}

#[tokio::test]
async fn a_dropped_message_goes_nowhere_without_a_word() {
    let Hooked { server, told, .. } = hooked().await;
    let mut ann = server.player("player-ann").await;
    ann.send(create("drop")).await;
    assert_eq!(ann.ask(ping()).await, pong(), "nothing before it");
    ann.quiet().await;
    assert_eq!((server.running.services().metrics.matches.get(), told.lock().len()), (0, 0));
}

#[tokio::test]
async fn a_disabled_message_closes_its_socket() {
    let Hooked { server, .. } = hooked().await;
    let mut ann = server.player("player-ann").await;
    assert_eq!(ann.ask(create("disable")).await, error("disable", 1, "Requested resource was not found."));
    assert_eq!(ann.next_close().await, (1000, "error processing message".into()));
}

#[tokio::test]
async fn a_hook_that_panics_refuses_its_message_and_touches_nothing_else() {
    let Hooked { server, .. } = hooked().await;
    let (mut ann, mut bob) = (server.player("player-ann").await, server.player("player-bob").await);
    for _ in 0..3 {
        let failed = error("panic", 7, "Could not complete runtime Before function.");
        assert_eq!(ann.ask(create("panic")).await, failed);
    }
    assert_eq!(ann.ask(create("fine")).await["cid"], "fine");
    assert_eq!(bob.ask(ping()).await, pong());
    let line = "kizuna_hook_failures_total{kind=\"panicked\"} 3";
    assert!(server.metrics().await.lines().any(|found| found == line));
}

#[tokio::test]
async fn what_comes_after_a_message_is_told_only_when_that_succeeded() {
    let Hooked { server, told, .. } = hooked().await;
    let mut ann = server.player("player-ann").await;
    ann.ask(create("refuse")).await;
    let unknown = json!({ "cid": "j", "match_join": { "match_id": "00000000-0000-4000-8000-000000000000." } });
    assert_eq!(ann.ask(unknown).await, error("j", 4, "Match not found"));
    ann.send(data("no id", "x")).await;
    assert_eq!(ann.next().await["error"]["code"], 3);
    let created = ann.ask(create("fine")).await;
    ann.next().await;
    ann.send(data(text(&created["match"]["match_id"]), "x")).await;
    assert_eq!(ann.ask(ping()).await, pong());
    let told = told.lock();
    let [(request, Some(answer)), (sent, None)] = told.as_slice() else { panic!("{told:?}") };
    assert!(matches!(&request.message, Some(Message::MatchCreate(made)) if made.name == "the-only-one"), "as changed");
    assert_eq!(request.cid, "fine");
    let Some(Message::Match(answered)) = &answer.message else { panic!("{answer:?}") };
    assert_eq!(answered.match_id, text(&created["match"]["match_id"]));
    assert!(matches!(sent.message, Some(Message::MatchDataSend(_))));
}

#[tokio::test]
async fn while_a_hook_takes_its_time_the_order_holds_and_all_else_goes_on() {
    let Hooked { server, gate, .. } = hooked_with(|config| {
        config.socket.ping_period_ms = 50;
        config.socket.pong_wait_ms = 10_000;
    })
    .await;
    let (mut ann, mut bob) = (server.player("player-ann").await, server.player("player-bob").await);
    let id = text(&bob.ask(create("match")).await["match"]["match_id"]).to_owned();
    bob.next().await;
    ann.join_match(&id).await;
    bob.next().await;

    ann.send(create("slow")).await;
    for number in 0..3 {
        ann.send(json!({ "cid": number.to_string(), "ping": {} })).await;
    }
    for _ in 0..3 {
        assert_eq!(bob.ask(ping()).await, pong(), "others are served");
    }
    bob.send(data(&id, "meanwhile ")).await;
    assert!(data_of(&ann.next().await).starts_with("meanwhile"), "who waits is written to");
    let frame = tokio::time::timeout(common::PATIENCE, ann.socket.next()).await.expect("in time");
    assert!(matches!(frame, Some(Ok(frame)) if frame.is_ping()), "and pinged");
    ann.quiet_but_pings().await;

    gate.add_permits(1);
    assert_eq!(ann.next().await["cid"], "slow");
    ann.next().await; // its own join
    for number in 0..3 {
        assert_eq!(ann.next().await, json!({ "cid": number.to_string(), "pong": {} }));
    }
}

#[tokio::test]
async fn a_hook_that_takes_too_long_refuses() {
    let Hooked { server, .. } = hooked_with(|config| config.hooks.realtime_timeout_ms = 50).await;
    let mut ann = server.player("player-ann").await;
    let refused = error("slow", 7, "This message cannot be checked right now. Try again.");
    assert_eq!(ann.ask(create("slow")).await, refused);
    assert_eq!(ann.ask(ping()).await, pong());
}

#[tokio::test]
async fn a_message_that_waits_for_its_hook_ends_with_its_socket() {
    let Hooked { server, gate, told } = hooked().await;
    let mut ann = server.player("player-ann").await;
    ann.send(create("slow")).await;
    let mut bob = server.player("player-bob").await;
    assert_eq!(bob.ask(ping()).await, pong());
    server.running.services().realtime.stop_all();
    ann.next_close().await;
    gate.add_permits(1);
    assert_eq!((server.running.services().metrics.matches.get(), told.lock().len()), (0, 0));
}

fn webhook(config: &mut Config, stage: WebhookStage, url: String) {
    let hooks = &mut config.hooks;
    let list = if stage == WebhookStage::Before { &mut hooks.realtime_before } else { &mut hooks.realtime_after };
    list.push("web".into());
    let messages = vec!["match_create".into(), "match_join".into()];
    hooks.webhook.push(Webhook { name: "web".into(), stage, url, messages, timeout_ms: 500, ..Webhook::default() });
}

#[tokio::test]
async fn a_webhook_before_messages_changes_refuses_drops_and_disables() {
    let web = Web::start(|received| {
        let name = received.body["envelope"]["match_create"]["name"].as_str().unwrap_or_default();
        Some(match name {
            "change" => (200, json!({ "envelope": { "match_create": { "name": "changed" } } }).to_string()),
            "refuse" => (403, json!({ "code": 7, "message": "Not here." }).to_string()),
            "drop" => (200, json!({ "outcome": "drop" }).to_string()),
            "disable" => (200, json!({ "outcome": "disable" }).to_string()),
            "fail" => (500, "{}".into()),
            "hang" => return None,
            _ => (200, "{}".into()),
        })
    })
    .await;
    let server = TestServer::start_with(|config| webhook(config, WebhookStage::Before, web.url("/"))).await;
    let mut ann = server.player("player-ann").await;
    let changed = ann.ask(create("change")).await;
    ann.next().await;
    assert_eq!(changed["match"]["match_id"], ann.ask(create("changed")).await["match"]["match_id"]);
    assert_eq!(ann.ask(create("refuse")).await, error("refuse", 7, "Not here."));
    for name in ["fail", "hang"] {
        let refused = error(name, 7, "This message cannot be checked right now. Try again.");
        assert_eq!(ann.ask(create(name)).await, refused, "never lets it through");
    }
    ann.send(create("drop")).await;
    assert_eq!(ann.ask(ping()).await, pong());
    let asked = web.received().remove(0).body;
    assert_eq!((&asked["message"], &asked["envelope"]), (&json!("match_create"), &create("change")));
    assert_eq!(asked["client"]["address"], "127.0.0.1");
    assert!(asked["user"]["id"].is_string() && asked["session_id"].is_string());
    assert_eq!(ann.ask(create("disable")).await["error"]["code"], 1);
    assert_eq!(ann.next_close().await.0, 1000);
    assert_eq!(web.received().len(), 7, "pings are no business of it, and a joined match was none");
}

#[tokio::test]
async fn a_webhook_after_messages_is_told_of_those_that_succeeded() {
    let web = Web::start(|_| Some((204, String::new()))).await;
    let server = TestServer::start_with(|config| webhook(config, WebhookStage::After, web.url("/"))).await;
    let mut ann = server.player("player-ann").await;
    let unknown = json!({ "match_join": { "match_id": "00000000-0000-4000-8000-000000000000." } });
    assert_eq!(ann.ask(unknown).await["error"]["code"], 4);
    let created = ann.ask(create("a")).await;
    let told = web.until(1).await.remove(0).body;
    assert_eq!(
        (&told["message"], &told["envelope"], &told["answer"]),
        (&json!("match_create"), &create("a"), &created)
    );
    assert_eq!(web.received().len(), 1);
}

#[tokio::test]
async fn webhooks_after_messages_that_do_not_answer_hold_nobody_up() {
    let web = Web::start(|_| None).await;
    let server = TestServer::start_with(|config| {
        webhook(config, WebhookStage::After, web.url("/"));
        (config.hooks.realtime_queue_size, config.hooks.max_deliveries) = (1, 1);
    })
    .await;
    let mut ann = server.player("player-ann").await;
    for _ in 0..20 {
        let (id, _) = ann.create_match().await;
        assert_eq!(ann.ask(json!({ "match_leave": { "match_id": id } })).await, json!({}));
    }
    let metrics = server.metrics().await;
    let dropped = metrics.lines().find_map(|line| line.strip_prefix("kizuna_messages_told_total{kind=\"dropped\"} "));
    assert!(dropped.is_some_and(|count| count.parse::<u32>().is_ok_and(|count| count >= 17)), "{dropped:?}");
}
