use super::{
    AfterAuthenticate, AuthenticateRequest, Authenticated, BeforeAuthenticate, HookContext, HookUser, Hooks,
    HooksBuilder, Method, Operation,
    testing::{Listener, Reply},
};
use crate::{
    clock::{Clock, Entropy},
    config::{self, Secret, Webhook, WebhookStage},
    error::Error,
    telemetry::{KindLabels, Metrics},
};
use async_trait::async_trait;
use kizuna_protocol::code::Code;
use parking_lot::Mutex;
use std::sync::Arc;
use uuid::Uuid;

/// A hook made of a function.
struct Own<F>(&'static str, F);

#[async_trait]
impl<F> BeforeAuthenticate for Own<F>
where
    F: Fn(AuthenticateRequest) -> Result<AuthenticateRequest, Error> + Send + Sync,
{
    fn name(&self) -> &str {
        self.0
    }

    async fn before(&self, _: &HookContext, request: AuthenticateRequest) -> Result<AuthenticateRequest, Error> {
        (self.1)(request)
    }
}

fn append(name: &'static str) -> impl BeforeAuthenticate {
    Own(name, move |request: AuthenticateRequest| {
        Ok(AuthenticateRequest { id: format!("{}{name}", request.id), ..request })
    })
}

fn request() -> AuthenticateRequest {
    AuthenticateRequest {
        operation: Operation::Authenticate,
        method: Method::Custom,
        id: "id".into(),
        password: Some(Secret::from("hunter2")),
        vars: [("a".to_owned(), "1".to_owned())].into(),
        username: "name".into(),
        create: None,
        identity: None,
    }
}

fn listed(before: &[&str]) -> config::Hooks {
    config::Hooks { before: before.iter().map(|name| (*name).to_owned()).collect(), ..Default::default() }
}

fn built(builder: HooksBuilder, config: &config::Hooks) -> (Hooks, Metrics) {
    let metrics = Metrics::unregistered();
    let hooks = builder.build(config, Clock::manual(1), Entropy::seeded(1), metrics.clone());
    (hooks.expect("the hooks fit the configuration"), metrics)
}

fn refused(builder: HooksBuilder, config: &config::Hooks) -> String {
    let built = builder.build(config, Clock::manual(1), Entropy::seeded(1), Metrics::unregistered());
    built.expect_err("the hooks do not fit the configuration").to_string()
}

async fn run(hooks: &Hooks) -> Result<AuthenticateRequest, Error> {
    hooks.before(&HookContext::default(), request()).await
}

fn counted(metrics: &Metrics, kind: &'static str) -> u64 {
    metrics.hook_failures.get_or_create(&KindLabels { kind }).get()
}

#[tokio::test]
async fn hooks_run_in_the_order_of_the_configuration_then_of_registration() {
    let builder = Hooks::builder().before(append("a")).before(append("b")).before(append("c")).before(append("d"));
    let (hooks, _) = built(builder, &listed(&["d", "b"]));
    assert_eq!(run(&hooks).await.unwrap().id, "iddbac");
}

#[tokio::test]
async fn a_hook_may_change_all_but_what_is_being_done() {
    let changed = |_| {
        Ok(AuthenticateRequest {
            operation: Operation::Unlink,
            method: Method::Device,
            id: "x".repeat(9_999),
            password: None,
            vars: Default::default(),
            username: String::new(),
            create: Some(false),
            identity: None,
        })
    };
    let (hooks, _) = built(Hooks::builder().before(Own("own", changed)), &listed(&[]));
    let after = run(&hooks).await.unwrap();
    assert_eq!((after.operation, after.method), (Operation::Authenticate, Method::Custom));
    assert_eq!((after.id.len(), after.create, after.vars.len(), after.username.len()), (9_999, Some(false), 0, 0));
    assert!(after.password.is_none());
}

#[tokio::test]
async fn a_refusal_reaches_the_client_and_no_later_hook() {
    let refuse = |_| Err(Error::permission_denied("not today"));
    let never = |_| panic!("a later hook ran");
    let (hooks, metrics) = built(
        Hooks::builder().before(Own("refuse", refuse)).before(Own("never", never)),
        &listed(&["refuse", "never"]),
    );
    let error = run(&hooks).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::PermissionDenied, "not today"));
    assert_eq!((counted(&metrics, "refused"), counted(&metrics, "panicked")), (1, 0));
}

#[tokio::test]
async fn a_panic_refuses_its_request_and_nothing_else() {
    let odd = |request: AuthenticateRequest| if request.id == "bad" { panic!("bug") } else { Ok(request) };
    let (hooks, metrics) = built(Hooks::builder().before(Own("odd", odd)), &listed(&[]));
    let bad = AuthenticateRequest { id: "bad".into(), ..request() };
    let error = hooks.before(&HookContext::default(), bad).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Internal, "Could not complete runtime Before function."));
    assert!(run(&hooks).await.is_ok());
    assert_eq!(counted(&metrics, "panicked"), 1);
}

#[tokio::test]
async fn an_error_that_says_no_error_is_a_failure() {
    let (hooks, metrics) = built(Hooks::builder().before(Own("own", |_| Err(Error::new(Code::Ok, "")))), &listed(&[]));
    assert_eq!(run(&hooks).await.unwrap_err().code(), Code::Internal);
    assert_eq!(counted(&metrics, "failed"), 1);
}

#[test]
fn names_that_nobody_has_or_two_have_stop_the_start() {
    let text = refused(Hooks::builder().before(append("a")).before(append("b")), &listed(&["a", "nope"]));
    assert_eq!(text, r#"hooks.before[1]: one of "a", "b", each once; not "nope""#);
    let text = refused(Hooks::builder().before(append("a")), &listed(&["a", "a"]));
    assert!(text.starts_with("hooks.before[1]"), "{text}");
    let text = refused(Hooks::builder().before(append("a")).before(append("a")), &listed(&[]));
    assert_eq!(text, r#"hooks.before: hooks of different names; there are two called "a""#);
    let after = config::Hooks { after: vec!["nope".into()], ..listed(&[]) };
    assert!(refused(Hooks::builder(), &after).starts_with("hooks.after[0]"));
}

#[test]
fn a_webhook_stands_only_in_the_list_of_its_stage_and_at_an_address_that_is_safe() {
    let webhook = |url: &str| Webhook { name: "w".into(), url: url.into(), ..Default::default() };
    let in_after =
        config::Hooks { after: vec!["w".into()], webhook: vec![webhook("https://a.example")], ..listed(&[]) };
    assert!(refused(Hooks::builder(), &in_after).starts_with("hooks.after[0]"));
    for bad in ["", "http://a.example/x", "ftp://127.0.0.1/", "no address", "http://127.0.0.1.a.example/"] {
        let config = config::Hooks { webhook: vec![webhook(bad)], ..listed(&["w"]) };
        assert!(refused(Hooks::builder(), &config).starts_with("hooks.webhook[0].url"), "{bad}");
    }
    for good in ["http://127.0.0.1:1/", "http://[::1]:1/", "http://localhost:1/"] {
        built(Hooks::builder(), &config::Hooks { webhook: vec![webhook(good)], ..listed(&["w"]) });
    }
    let secret = Webhook { authorization: Secret::from("a\nb"), ..webhook("http://127.0.0.1:1/") };
    let config = config::Hooks { webhook: vec![secret], ..listed(&["w"]) };
    assert!(refused(Hooks::builder(), &config).starts_with("hooks.webhook[0].authorization"));
}

struct Told(Arc<Mutex<Vec<String>>>, &'static str);

#[async_trait]
impl AfterAuthenticate for Told {
    fn name(&self) -> &str {
        self.1
    }

    async fn after(
        &self,
        _: &HookContext,
        request: &AuthenticateRequest,
        outcome: &Authenticated,
    ) -> Result<(), Error> {
        self.0.lock().push(format!("{} {} {}", self.1, request.id, outcome.created));
        match self.1 {
            "panics" => panic!("bug"),
            "fails" => Err(Error::permission_denied("too late")),
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn after_hooks_are_all_told_whatever_they_do() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let told = |name| Told(Arc::clone(&log), name);
    let config = config::Hooks { after: vec!["panics".into(), "fails".into()], ..listed(&[]) };
    let (hooks, metrics) =
        built(Hooks::builder().after(told("last")).after(told("fails")).after(told("panics")), &config);
    let outcome = Authenticated { user_id: Uuid::nil(), username: "name".into(), created: true };
    hooks.after(&HookContext::default(), &request(), &outcome).await;
    assert_eq!(*log.lock(), ["panics id true", "fails id true", "last id true"]);
    assert_eq!((counted(&metrics, "after_failed"), counted(&metrics, "after_panicked")), (1, 1));
}

async fn asking(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> (Hooks, Listener) {
    let listener = Listener::start(reply).await;
    let webhook = Webhook {
        name: "w".into(),
        url: listener.url.clone(),
        authorization: Secret::from("Bearer s3cret"),
        timeout_ms: 2_000,
        max_response_bytes: 1_000,
        ..Default::default()
    };
    let config = config::Hooks { webhook: vec![webhook], ..listed(&["w"]) };
    (built(Hooks::builder(), &config).0, listener)
}

fn json(status: u16, body: &'static str) -> impl Fn(usize) -> Reply {
    move |_| Reply::Answer(status, body.to_owned())
}

#[tokio::test]
async fn a_webhook_is_sent_the_request_without_its_password() {
    let (hooks, listener) = asking(json(200, "{}")).await;
    let user = HookUser { id: Uuid::nil(), username: "caller".into(), vars: Arc::default(), expires_unix: 5 };
    let context = HookContext {
        client_address: Some([192, 0, 2, 1].into()),
        client_port: None,
        user: Some(user),
        session_id: None,
    };
    let asked = AuthenticateRequest { operation: Operation::Link, method: Method::Email, ..request() };
    let same = hooks.before(&context, asked).await.unwrap();
    assert_eq!((&*same.id, &*same.username, same.vars.len()), ("id", "name", 1));
    assert_eq!(same.password.unwrap().expose(), "hunter2");
    let received = &listener.received()[0];
    assert!(received.head.starts_with("POST /hook HTTP/1.1"), "{}", received.head);
    assert!(received.head.contains("authorization: Bearer s3cret"), "{}", received.head);
    assert!(!received.body.to_string().contains("hunter2"));
    assert_eq!(
        received.body,
        serde_json::json!({
            "operation": "link", "method": "email", "id": "id", "vars": {"a": "1"}, "username": "name",
            "create": null, "client": {"address": "192.0.2.1", "port": null},
            "user": {"id": "00000000-0000-0000-0000-000000000000", "username": "caller", "vars": {}},
        })
    );
}

#[tokio::test]
async fn a_webhook_may_change_the_request() {
    let (hooks, _) = asking(json(200, r#"{"id":"other","vars":{"b":"2"},"username":"","create":false}"#)).await;
    let changed = run(&hooks).await.unwrap();
    assert_eq!((&*changed.id, &*changed.username, changed.create), ("other", "", Some(false)));
    assert_eq!(changed.vars, [("b".to_owned(), "2".to_owned())].into());
}

#[tokio::test]
async fn a_webhook_may_refuse_with_code_and_message() {
    for status in [200, 403, 500] {
        let (hooks, _) = asking(move |_| Reply::Answer(status, r#"{"code":7,"message":"too young"}"#.into())).await;
        let error = run(&hooks).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::PermissionDenied, "too young"), "{status}");
    }
}

#[tokio::test]
async fn a_webhook_that_cannot_be_understood_refuses() {
    for (status, body) in [
        (200, ""),
        (200, "[]"),
        (200, "null"),
        (200, "{"),
        (200, r#"{"id":5}"#),
        (200, r#"{"account":{"id":"x"}}"#),
        (200, r#"{"vars":{"a":1}}"#),
        (200, r#"{"code":0,"message":"fine"}"#),
        (200, r#"{"code":99,"message":"odd"}"#),
        (204, ""),
        (404, "{}"),
        (500, "{}"),
    ] {
        let (hooks, _) = asking(json(status, body)).await;
        assert_eq!(run(&hooks).await.unwrap_err().code(), Code::Unavailable, "{status} {body}");
    }
}

#[tokio::test]
async fn a_webhook_that_is_down_slow_endless_or_elsewhere_refuses() {
    let elsewhere = Listener::start(json(200, "{}")).await;
    let target = elsewhere.url.clone();
    let (redirect, _) = asking(move |_| Reply::Redirect(target.clone())).await;
    assert_eq!(run(&redirect).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(elsewhere.received().len(), 0);
    for reply in [|| Reply::Garbage, || Reply::Endless] {
        let (hooks, _) = asking(move |_| reply()).await;
        assert_eq!(run(&hooks).await.unwrap_err().code(), Code::Unavailable);
    }
    let huge = format!("{{\"id\":\"{}\"}}", "x".repeat(1_000));
    let (hooks, _) = asking(move |_| Reply::Answer(200, huge.clone())).await;
    assert_eq!(run(&hooks).await.unwrap_err().code(), Code::Unavailable);

    let slow = Listener::start(|_| Reply::Hang).await;
    let port_of_nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in [slow.url, format!("http://{port_of_nobody}/")] {
        let webhook = Webhook { name: "w".into(), url, timeout_ms: 50, ..Default::default() };
        let (hooks, _) = built(Hooks::builder(), &config::Hooks { webhook: vec![webhook], ..listed(&["w"]) });
        let error = run(&hooks).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        assert_eq!(error.message(), "Sign-in cannot be checked right now. Try again.");
    }
}

#[test]
fn webhooks_of_both_stages_share_one_list_of_names() {
    let webhook = |stage| Webhook { name: "w".into(), url: "http://127.0.0.1:1/".into(), stage, ..Default::default() };
    let config = config::Hooks {
        webhook: vec![webhook(WebhookStage::Before), webhook(WebhookStage::After)],
        after: vec!["w".into()],
        ..listed(&["w"])
    };
    built(Hooks::builder(), &config);
}

#[test]
fn a_request_prints_no_credentials() {
    let printed = format!("{:?}", request());
    assert!(!printed.contains("hunter2") && !printed.contains("id\""), "{printed}");
}
