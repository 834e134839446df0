//! The development provider as an OpenID provider: sign-in by code, refresh, disabled users, back-channel logout.

mod common;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use common::{TestServer, text, web::Web};
use kizuna::{
    clock::{Clock, Entropy},
    config,
    net::provider::{self, DevProvider},
};
use reqwest::{Client, Url, redirect::Policy};
use serde_json::{Value, json};
use std::sync::Arc;

const BACK: &str = "http://127.0.0.1:9/game?x=1";
const VERIFIER: &str = "a-verifier-of-forty-three-characters-or-more";

/// The provider and a browser that follows no redirect.
struct Desk {
    issuer: String,
    client: Client,
}

impl Desk {
    fn at(issuer: String) -> Self {
        Self { issuer, client: Client::builder().redirect(Policy::none()).build().expect("a client") }
    }

    fn of(server: &TestServer) -> Self {
        Self::at(format!("http://{}", server.running.dev_provider().expect("it is on")))
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> (u16, Option<Url>, String) {
        let url = Url::parse_with_params(&format!("{}{path}", self.issuer), query).expect("a URL");
        read(self.client.get(url).send().await.expect("an answer")).await
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> (u16, Option<Url>, String) {
        let form = form_of(form);
        let request = self.client.post(format!("{}{path}", self.issuer));
        read(request.header("content-type", "application/x-www-form-urlencoded").body(form).send().await.expect("sent"))
            .await
    }

    async fn tokens(&self, form: &[(&str, &str)]) -> (u16, Value) {
        let (status, _, body) = self.post("/token", form).await;
        (status, serde_json::from_str(&body).expect("JSON"))
    }

    /// The code that the sign-in page sends back for `user`.
    async fn code(&self, user: &str) -> String {
        let challenge = challenge();
        let (status, back, body) = self.post("/authorize", &with(&asked(&challenge), &[("user", user)])).await;
        assert_eq!(status, 303, "{body}");
        let back = back.expect("a redirect");
        assert_eq!((back.port(), back.path()), (Some(9), "/game"));
        assert_eq!(query(&back, "x").as_deref(), Some("1"), "a query of its own stays");
        assert_eq!(query(&back, "state").as_deref(), Some("the state"));
        assert_eq!(query(&back, "iss"), Some(self.issuer.clone()));
        query(&back, "code").expect("a code")
    }

    async fn exchange(&self, code: &str) -> (u16, Value) {
        self.tokens(&exchange(code)).await
    }

    async fn refresh(&self, token: &Value) -> (u16, Value) {
        let form = [("grant_type", "refresh_token"), ("client_id", "kizuna-dev"), ("refresh_token", text(token))];
        self.tokens(&form).await
    }
}

async fn read(response: reqwest::Response) -> (u16, Option<Url>, String) {
    let location =
        response.headers().get("location").map(|url| Url::parse(url.to_str().expect("text")).expect("a URL"));
    (response.status().as_u16(), location, response.text().await.expect("a body"))
}

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes()))
}

fn asked(challenge: &str) -> Vec<(&str, &str)> {
    vec![
        ("response_type", "code"),
        ("client_id", "kizuna-dev"),
        ("redirect_uri", BACK),
        ("scope", "openid"),
        ("state", "the state"),
        ("nonce", "the nonce"),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256"),
    ]
}

fn exchange(code: &str) -> Vec<(&str, &str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("client_id", "kizuna-dev"),
        ("code", code),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
    ]
}

/// `form` with some values changed; an empty one takes the parameter away.
fn with<'a>(form: &[(&'a str, &'a str)], change: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = form.iter().filter(|(name, _)| !change.iter().any(|(changed, _)| changed == name));
    kept.chain(change).copied().filter(|(_, value)| !value.is_empty()).collect()
}

fn form_of(form: &[(&str, &str)]) -> String {
    Url::parse_with_params("http://form/", form).expect("a URL").query().unwrap_or_default().to_owned()
}

fn query(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(own, _)| own == name).map(|(_, value)| value.into_owned())
}

fn claims(token: &Value) -> Value {
    part(text(token), 1)
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

async fn server() -> TestServer {
    TestServer::start_with(|config| config.dev_provider.enabled = true).await
}

#[tokio::test]
async fn discovery_names_what_is_there() {
    let server = server().await;
    let desk = Desk::of(&server);
    let (status, _, body) = desk.get("/.well-known/openid-configuration", &[]).await;
    let found: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, text(&found["issuer"])), (200, desk.issuer.as_str()));
    assert_eq!(text(&found["authorization_endpoint"]), format!("{}/authorize", desk.issuer));
    assert_eq!(text(&found["token_endpoint"]), format!("{}/token", desk.issuer));
    assert_eq!(found["authorization_response_iss_parameter_supported"], true);
}

#[tokio::test]
async fn a_sign_in_by_code_gives_tokens_that_the_bridge_takes() {
    let server = server().await;
    let desk = Desk::of(&server);
    let challenge = challenge();
    let (status, _, page) = desk.get("/authorize", &with(&asked(&challenge), &[("login_hint", "\"><b>")])).await;
    assert_eq!(status, 200);
    assert!(page.contains("value=\"the nonce\"") && !page.contains("<b>"), "{page}");

    let code = desk.code("ann").await;
    let (status, tokens) = desk.exchange(&code).await;
    assert_eq!(status, 200, "{tokens}");
    let id = claims(&tokens["id_token"]);
    assert_eq!((&id["nonce"], &id["aud"]), (&json!("the nonce"), &json!("kizuna-dev")));
    assert_eq!(id["sub"], DevProvider::subject("ann"));
    assert!(id["auth_time"].is_i64() && id["sid"].is_string(), "{id}");
    server.sign_in(text(&tokens["id_token"])).await;
    server.sign_in(text(&tokens["access_token"])).await;

    let (status, renewed) = desk.refresh(&tokens["refresh_token"]).await;
    assert_eq!(status, 200, "{renewed}");
    let again = claims(&renewed["id_token"]);
    assert_eq!((&again["sid"], &again["auth_time"]), (&id["sid"], &id["auth_time"]));
    assert_eq!(again.get("nonce"), None);
    server.sign_in(text(&renewed["id_token"])).await;

    assert_eq!(desk.exchange(&code).await.1["error"], "invalid_grant", "a code is good once");
    assert_eq!(desk.refresh(&renewed["refresh_token"]).await.1["error"], "invalid_grant", "and its replay ends all");
}

#[tokio::test]
async fn a_request_with_a_fault_is_told_so_where_it_is_safe() {
    let server = server().await;
    let desk = Desk::of(&server);
    let challenge = challenge();
    let good = asked(&challenge);
    for (name, bad) in [("client_id", "another"), ("redirect_uri", "http://example.com/"), ("redirect_uri", "")] {
        let (status, back, _) = desk.get("/authorize", &with(&good, &[(name, bad)])).await;
        assert_eq!((status, back), (400, None), "{name}: {bad}");
    }
    for (name, bad, error) in [
        ("response_type", "token", "unsupported_response_type"),
        ("scope", "email", "invalid_scope"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("prompt", "none", "login_required"),
    ] {
        let (status, back, _) = desk.get("/authorize", &with(&good, &[(name, bad)])).await;
        let back = back.expect("a redirect");
        assert_eq!((status, query(&back, "error").as_deref()), (303, Some(error)), "{name}: {bad}");
        assert_eq!(query(&back, "iss"), Some(desk.issuer.clone()));
    }
    for (name, bad, error) in [
        ("client_id", "another", "invalid_client"),
        ("code_verifier", "another", "invalid_grant"),
        ("code_verifier", "", "invalid_request"),
        ("redirect_uri", "http://127.0.0.1:9/game", "invalid_grant"),
        ("grant_type", "password", "unsupported_grant_type"),
    ] {
        let code = desk.code("ann").await;
        let (_, answer) = desk.tokens(&with(&exchange(&code), &[(name, bad)])).await;
        assert_eq!(answer["error"], error, "{name}: {bad}");
    }
}

#[tokio::test]
async fn a_disabled_user_gets_nothing_and_the_game_server_is_told() {
    let listener = Web::start(|_| Some((200, String::new()))).await;
    let folder = tempfile::tempdir().expect("a folder");
    let bound = provider::bind("127.0.0.1:0".parse().expect("an address")).await.expect("a port");
    let address = bound.local_addr().expect("bound");
    let settings = config::DevProvider::default();
    let made = DevProvider::load_or_create(folder.path(), Clock::system(), Entropy::system(), &settings, address);
    let made = Arc::new(made.expect("a provider").with_server(&listener.url(""), "key"));
    let serving = tokio::spawn(provider::serve(bound, made, std::future::pending()));
    let desk = Desk::at(format!("http://{address}"));

    let tokens = desk.exchange(&desk.code("ann").await).await.1;
    let pending = desk.code("ann").await;
    let (status, _, answer) = desk.post("/disable", &[("user", "ann")]).await;
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!((status, &answer["sessions_ended"], &answer["back_channel"]["status"]), (200, &json!(2), &json!(200)));
    assert_eq!(desk.exchange(&pending).await.1["error"], "invalid_grant");
    assert_eq!(desk.refresh(&tokens["refresh_token"]).await.1["error"], "invalid_grant");
    assert_eq!(desk.post("/token", &[("user", "ann")]).await.0, 403);
    let challenge = challenge();
    let (status, _, page) = desk.post("/authorize", &with(&asked(&challenge), &[("user", "ann")])).await;
    assert!(status == 200 && page.contains("This user is disabled."), "{page}");

    let told = listener.until(1).await.remove(0);
    assert!(told.head.starts_with("POST /bridge/backchannel-logout "), "{}", told.head);
    let token = text(&told.body).strip_prefix("logout_token=").expect("a form");
    assert_eq!(part(token, 0)["typ"], "logout+jwt");
    let said = part(token, 1);
    assert_eq!((&said["sub"], &said["aud"]), (&json!(DevProvider::subject("ann")), &json!("kizuna-dev")));
    assert_eq!(said["events"], json!({ "http://schemas.openid.net/event/backchannel-logout": {} }));
    assert!(said["jti"].is_string() && said.get("nonce").is_none() && said.get("sid").is_none(), "{said}");

    desk.post("/enable", &[("user", "ann")]).await;
    let tokens = desk.exchange(&desk.code("ann").await).await.1;
    let session = claims(&tokens["id_token"])["sid"].clone();
    desk.post("/logout", &[("user", "ann"), ("sid", text(&session))]).await;
    let told = listener.until(2).await.remove(1);
    assert_eq!(part(text(&told.body).strip_prefix("logout_token=").expect("a form"), 1)["sid"], session);
    assert_eq!(desk.refresh(&tokens["refresh_token"]).await.1["error"], "invalid_grant");
    serving.abort();
}
