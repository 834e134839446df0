use super::{AfterEnvelope, BeforeEnvelope, MessageKind, Ruling};
use crate::{
    clock::{Clock, Entropy},
    config::{self, Webhook, WebhookStage},
    error::Error,
    hooks::{
        HookContext, Hooks, HooksBuilder,
        testing::{Listener, Reply},
    },
    lifecycle::Lifecycle,
    telemetry::{KindLabels, Metrics},
};
use async_trait::async_trait;
use kizuna_protocol::realtime::{Envelope, MatchCreate, MatchLeave, Ping, envelope::Message as Body};
use parking_lot::Mutex;
use std::{future::pending, sync::Arc, time::Duration};
use uuid::Uuid;

/// A hook before `match_create`, made of a function.
struct Own<F>(&'static str, F);

#[async_trait]
impl<F: Fn(Envelope) -> Ruling + Send + Sync> BeforeEnvelope for Own<F> {
    fn name(&self) -> &str {
        self.0
    }

    fn messages(&self) -> Vec<MessageKind> {
        vec![MessageKind::MatchCreate]
    }

    async fn before(&self, _: &HookContext, envelope: Envelope) -> Ruling {
        (self.1)(envelope)
    }
}

/// A hook that never answers.
struct Hangs;

#[async_trait]
impl BeforeEnvelope for Hangs {
    fn name(&self) -> &str {
        "hangs"
    }

    fn messages(&self) -> Vec<MessageKind> {
        vec![MessageKind::MatchCreate]
    }

    async fn before(&self, _: &HookContext, _: Envelope) -> Ruling {
        pending().await
    }
}

fn create(name: &str) -> Envelope {
    Envelope { cid: "1".into(), message: Some(Body::MatchCreate(MatchCreate { name: name.into() })) }
}

fn append(name: &'static str) -> impl BeforeEnvelope {
    Own(name, move |envelope: Envelope| match envelope.message {
        Some(Body::MatchCreate(MatchCreate { name: so_far })) => Ruling::Continue(create(&format!("{so_far}{name}"))),
        _ => panic!("another message"),
    })
}

fn built(builder: HooksBuilder, config: &config::Hooks) -> (Hooks, Metrics) {
    let metrics = Metrics::unregistered();
    let hooks = builder.build(config, Clock::manual(5), Entropy::seeded(1), metrics.clone());
    (hooks.expect("the hooks fit the configuration"), metrics)
}

fn plain() -> config::Hooks {
    config::Hooks { before: Vec::new(), ..config::Hooks::default() }
}

fn refused(builder: HooksBuilder, config: &config::Hooks) -> String {
    let built = builder.build(config, Clock::manual(1), Entropy::seeded(1), Metrics::unregistered());
    built.expect_err("the hooks do not fit the configuration").to_string()
}

fn counted(metrics: &Metrics, kind: &'static str) -> u64 {
    metrics.hook_failures.get_or_create(&KindLabels { kind }).get()
}

fn told(metrics: &Metrics, kind: &'static str) -> u64 {
    metrics.messages_told.get_or_create(&KindLabels { kind }).get()
}

/// What becomes of a `match_create`: its name, or in a word.
async fn ruled(hooks: &Hooks) -> String {
    match hooks.before_envelope(&HookContext::default(), create("")).await {
        Ruling::Continue(Envelope { cid, message: Some(Body::MatchCreate(request)) }) => {
            assert_eq!(cid, "1");
            request.name
        }
        Ruling::Continue(other) => panic!("another message: {other:?}"),
        Ruling::Refuse(error) => format!("refused: {}", error.message()),
        Ruling::Drop => "dropped".into(),
        Ruling::Disable => "disabled".into(),
    }
}

async fn ruled_by(rule: impl Fn(Envelope) -> Ruling + Send + Sync + 'static) -> (String, Metrics) {
    let (hooks, metrics) = built(Hooks::builder().before_envelope(Own("own", rule)), &plain());
    (ruled(&hooks).await, metrics)
}

#[tokio::test]
async fn hooks_run_in_the_order_of_the_configuration_then_of_registration() {
    let builder = Hooks::builder();
    let builder = ["a", "b", "c", "d"].into_iter().fold(builder, |all, name| all.before_envelope(append(name)));
    let config = config::Hooks { realtime_before: vec!["d".into(), "b".into()], ..plain() };
    assert_eq!(ruled(&built(builder, &config).0).await, "dbac");
}

#[test]
fn only_what_hooks_name_is_looked_at() {
    let message = |body: Body| body;
    let (none, _) = built(Hooks::builder(), &plain());
    assert!(!none.stand_around(&message(Body::Ping(Ping {}))));
    let (one, _) = built(Hooks::builder().before_envelope(append("a")), &plain());
    assert!(one.stand_around(&message(Body::MatchCreate(MatchCreate::default()))));
    assert!(!one.stand_after(&message(Body::MatchCreate(MatchCreate::default()))));
    assert!(!one.stand_around(&message(Body::MatchLeave(MatchLeave::default()))));
    assert!(!one.stand_around(&message(Body::Rpc(Default::default()))));
}

#[tokio::test]
async fn a_message_is_refused_dropped_or_disabled_and_no_later_hook_hears_of_it() {
    for (ruling, said, kind) in [
        (Ruling::Refuse(Error::permission_denied("not today")), "refused: not today", "refused"),
        (Ruling::Drop, "dropped", "dropped"),
        (Ruling::Disable, "disabled", "disabled"),
    ] {
        let first = Own("first", move |_| ruling.clone());
        let never = Own("never", |_| panic!("a later hook ran"));
        let (hooks, metrics) = built(Hooks::builder().before_envelope(first).before_envelope(never), &plain());
        assert_eq!(ruled(&hooks).await, said);
        assert_eq!((counted(&metrics, kind), counted(&metrics, "panicked")), (1, 0));
    }
}

const FAILED: &str = "refused: Could not complete runtime Before function.";

#[tokio::test]
async fn another_message_no_message_and_no_error_as_an_error_are_failures() {
    let ping = || Envelope { cid: String::new(), message: Some(Body::Ping(Ping {})) };
    for ruling in [
        Ruling::Continue(ping()),
        Ruling::Continue(Envelope::default()),
        Ruling::Refuse(Error::new(kizuna_protocol::code::Code::Ok, "fine")),
    ] {
        let (said, metrics) = ruled_by(move |_| ruling.clone()).await;
        assert_eq!((said.as_str(), counted(&metrics, "failed")), (FAILED, 1));
    }
}

#[tokio::test]
async fn a_hook_does_not_change_the_cid() {
    let (name, _) = ruled_by(|_| Ruling::Continue(Envelope { cid: "another".into(), ..create("x") })).await;
    assert_eq!(name, "x");
}

#[tokio::test]
async fn a_panic_refuses_its_message_and_nothing_else() {
    let odd = |envelope: Envelope| if envelope == create("bad") { panic!("bug") } else { Ruling::Continue(envelope) };
    let (hooks, metrics) = built(Hooks::builder().before_envelope(Own("odd", odd)), &plain());
    let bad = hooks.before_envelope(&HookContext::default(), create("bad")).await;
    assert!(matches!(bad, Ruling::Refuse(error) if FAILED.ends_with(error.message())));
    assert_eq!((ruled(&hooks).await.as_str(), counted(&metrics, "panicked")), ("", 1));
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_takes_too_long_refuses() {
    let (hooks, metrics) = built(Hooks::builder().before_envelope(Hangs), &plain());
    assert_eq!(ruled(&hooks).await, "refused: This message cannot be checked right now. Try again.");
    assert_eq!(counted(&metrics, "timed_out"), 1);
}

#[test]
fn names_that_nobody_has_or_two_have_stop_the_start() {
    let nope = config::Hooks { realtime_before: vec!["nope".into()], ..plain() };
    assert!(refused(Hooks::builder(), &nope).starts_with("hooks.realtime_before[0]"));
    let nope = config::Hooks { realtime_after: vec!["nope".into()], ..plain() };
    assert!(refused(Hooks::builder(), &nope).starts_with("hooks.realtime_after[0]"));
    let twice = Hooks::builder().before_envelope(append("a")).before_envelope(append("a"));
    assert!(refused(twice, &plain()).starts_with("hooks.realtime_before"));
    let about = |name: &str| config::Hooks {
        webhook: vec![Webhook { name: "w".into(), messages: vec![name.into()], ..webhook("http://127.0.0.1:1/") }],
        ..plain()
    };
    built(Hooks::builder(), &about("match_data_send"));
    for name in ["rpc", "match", "matchCreate", ""] {
        assert!(refused(Hooks::builder(), &about(name)).starts_with("hooks.webhook[0].messages[0]"), "{name}");
    }
    let of_sign_ins = config::Hooks { before: vec!["w".into()], ..about("ping") };
    assert!(
        refused(Hooks::builder(), &of_sign_ins).starts_with("hooks.before[0]"),
        "a webhook is about one or the other"
    );
}

/// Is told of matches.
struct Told(Arc<Mutex<Vec<&'static str>>>, &'static str);

#[async_trait]
impl AfterEnvelope for Told {
    fn name(&self) -> &str {
        self.1
    }

    fn messages(&self) -> Vec<MessageKind> {
        vec![MessageKind::MatchCreate]
    }

    async fn after(&self, _: &HookContext, request: &Envelope, answer: Option<&Envelope>) -> Result<(), Error> {
        assert_eq!((request, answer), (&create("x"), None));
        self.0.lock().push(self.1);
        match self.1 {
            "panics" => panic!("bug"),
            "fails" => Err(Error::permission_denied("too late")),
            "hangs" => pending().await,
            _ => Ok(()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_hooks_are_all_told_whatever_they_do_until_their_time_is_over() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let builder = ["panics", "fails", "fine", "hangs", "never"]
        .into_iter()
        .fold(Hooks::builder(), |all, name| all.after_envelope(Told(Arc::clone(&log), name)));
    let (hooks, metrics) = built(builder, &plain());
    hooks.after_envelope(&HookContext::default(), &create("x"), None).await;
    assert_eq!(*log.lock(), ["panics", "fails", "fine", "hangs"]);
    for kind in ["after_panicked", "after_failed", "after_timed_out"] {
        assert_eq!(counted(&metrics, kind), 1, "{kind}");
    }
}

fn webhook(url: &str) -> Webhook {
    Webhook {
        name: "w".into(),
        url: url.into(),
        messages: vec!["match_create".into()],
        timeout_ms: 2_000,
        max_response_bytes: 1_000,
        ..Webhook::default()
    }
}

async fn asking(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> (Hooks, Listener) {
    let listener = Listener::start(reply).await;
    let config = config::Hooks { realtime_before: vec!["w".into()], webhook: vec![webhook(&listener.url)], ..plain() };
    (built(Hooks::builder(), &config).0, listener)
}

async fn answered(status: u16, body: &'static str) -> String {
    let (hooks, _) = asking(move |_| Reply::Answer(status, body.to_owned())).await;
    ruled(&hooks).await
}

#[tokio::test]
async fn a_webhook_is_sent_the_envelope_as_the_socket_carries_it() {
    let (hooks, listener) = asking(|_| Reply::Answer(200, "{}".into())).await;
    let context = HookContext {
        client_address: Some([192, 0, 2, 1].into()),
        session_id: Some(Uuid::nil()),
        ..HookContext::default()
    };
    assert!(
        matches!(hooks.before_envelope(&context, create("x")).await, Ruling::Continue(same) if same == create("x"))
    );
    assert_eq!(
        listener.received()[0].body,
        serde_json::json!({
            "message": "match_create", "envelope": {"cid": "1", "match_create": {"name": "x"}},
            "client": {"address": "192.0.2.1", "port": null}, "user": null,
            "session_id": "00000000-0000-0000-0000-000000000000",
        })
    );
}

#[tokio::test]
async fn a_webhook_rules_over_a_message() {
    for (status, body, said) in [
        (200, r#"{"envelope":{"cid":"9","match_create":{"name":"changed"}}}"#, "changed"),
        (200, r#"{"envelope":{"matchCreate":{"name":"changed"}},"outcome":"continue"}"#, "changed"),
        (200, r#"{"outcome":"drop"}"#, "dropped"),
        (200, r#"{"outcome":"disable"}"#, "disabled"),
        (200, r#"{"code":7,"message":"not here"}"#, "refused: not here"),
        (403, r#"{"code":7,"message":"not here"}"#, "refused: not here"),
        (200, r#"{"envelope":{"ping":{}}}"#, FAILED),
    ] {
        assert_eq!(answered(status, body).await, said, "{body}");
    }
}

const UNUSABLE: &str = "refused: This message cannot be checked right now. Try again.";

#[tokio::test]
async fn a_webhook_that_cannot_be_understood_refuses() {
    for (status, body) in [
        (200, ""),
        (200, "[]"),
        (200, "{"),
        (200, r#"{"match_create":{}}"#),
        (200, r#"{"outcome":"allow"}"#),
        (200, r#"{"envelope":{"no_such_message":{}}}"#),
        (200, r#"{"envelope":{"match_create":{"name":5}}}"#),
        (200, r#"{"code":0,"message":"fine"}"#),
        (204, ""),
        (404, "{}"),
        (500, "{}"),
    ] {
        assert_eq!(answered(status, body).await, UNUSABLE, "{status} {body}");
    }
}

#[tokio::test]
async fn a_webhook_that_is_down_or_slow_refuses() {
    let slow = Listener::start(|_| Reply::Hang).await;
    let port_of_nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in [slow.url, format!("http://{port_of_nobody}/")] {
        let asked = Webhook { timeout_ms: 50, ..webhook(&url) };
        let config = config::Hooks { realtime_before: vec!["w".into()], webhook: vec![asked], ..plain() };
        assert_eq!(ruled(&built(Hooks::builder(), &config).0).await, UNUSABLE);
    }
}

fn telling(url: &str) -> config::Hooks {
    let told = Webhook { stage: WebhookStage::After, ..webhook(url) };
    config::Hooks { realtime_after: vec!["w".into()], webhook: vec![told], ..plain() }
}

#[tokio::test]
async fn a_webhook_is_told_what_was_asked_and_answered() {
    let listener = Listener::start(|_| Reply::Answer(204, String::new())).await;
    let (hooks, metrics) = built(Hooks::builder(), &telling(&listener.url));
    let life = Lifecycle::new();
    life.spawn(hooks.telling().run(life.clone()));
    let answer = Envelope { cid: "1".into(), message: None };
    hooks.after_envelope(&HookContext::default(), &create("x"), Some(&answer)).await;
    let mut body = listener.until(1).await.remove(0).body;
    assert!(body["id"].take().is_string());
    assert_eq!(
        body,
        serde_json::json!({
            "id": null, "at": 5, "message": "match_create", "envelope": {"cid": "1", "match_create": {"name": "x"}},
            "answer": {"cid": "1"}, "client": {"address": null, "port": null}, "user": null, "session_id": null,
        })
    );
    assert!(life.stop(Duration::from_secs(5)).await, "it ends with the server");
    assert_eq!(told(&metrics, "delivered"), 1);
}

#[tokio::test]
async fn what_a_full_queue_does_not_hold_is_dropped_and_counted() {
    let config = config::Hooks { realtime_queue_size: 2, ..telling("http://127.0.0.1:1/") };
    let (hooks, metrics) = built(Hooks::builder(), &config);
    for _ in 0..5 {
        hooks.after_envelope(&HookContext::default(), &create("x"), None).await;
    }
    assert_eq!(told(&metrics, "dropped"), 3);
    let config = config::Hooks { realtime_queue_bytes: 10, ..telling("http://127.0.0.1:1/") };
    let (hooks, metrics) = built(Hooks::builder(), &config);
    hooks.after_envelope(&HookContext::default(), &create("x"), None).await;
    assert_eq!(told(&metrics, "dropped"), 1);
}

#[tokio::test]
async fn what_a_webhook_does_not_take_is_lost_and_what_waits_at_a_stop_is_told_still() {
    let listener = Listener::start(|number| Reply::Answer(if number == 0 { 500 } else { 204 }, String::new())).await;
    let (hooks, metrics) = built(Hooks::builder(), &config::Hooks { max_deliveries: 1, ..telling(&listener.url) });
    for _ in 0..3 {
        hooks.after_envelope(&HookContext::default(), &create("x"), None).await;
    }
    let life = Lifecycle::new();
    life.spawn(hooks.telling().run(life.clone()));
    assert!(life.stop(Duration::from_secs(5)).await);
    assert_eq!((told(&metrics, "failed"), told(&metrics, "delivered")), (1, 2));
}
