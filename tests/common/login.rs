//! The sign-in page's other sides: a browser that remembers cookies and follows nothing, and a provider that says what it is told.

use super::{
    SERVER_KEY, TestServer,
    issuer::{CLIENT, Issuer},
    text,
    web::{Received, Web},
};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kizuna::{
    clock::{Clock, Entropy},
    config::{Audience, AudienceClaim, Config, KeySource, LoginClient, TokenType, TrustEntry},
};
use parking_lot::Mutex;
use reqwest::{Client, Url, redirect::Policy};
use serde_json::{Value, json};
use std::{net::TcpListener, sync::Arc};

/// A game's verifier and where it wants its players back.
pub const VERIFIER: &str = "the-verifier-of-the-game-is-long-enough-to-be-one";
pub const PAGE: &str = "http://127.0.0.1:5173/play";
pub const NATIVE: &str = "http://127.0.0.1:41234/callback";

pub fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

pub fn query(url: &Url, name: &str) -> String {
    url.query_pairs().find(|(own, _)| own == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// What stands in the fragment of a page's address, as a query.
pub fn fragment(url: &Url) -> Url {
    Url::parse(&format!("http://fragment/?{}", url.fragment().unwrap_or_default())).expect("a form")
}

/// An answer as a browser sees it.
#[derive(Debug)]
pub struct Seen {
    pub status: u16,
    pub location: Option<Url>,
    pub body: String,
}

/// A browser.
pub struct Browser {
    client: Client,
    pub cookie: Option<String>,
}

impl Browser {
    pub fn new() -> Self {
        let client = Client::builder().redirect(Policy::none()).build().expect("a client");
        Self { client, cookie: None }
    }

    /// One whose address a proxy tells.
    pub fn behind(address: &str) -> Self {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("x-forwarded-for", address.parse().expect("an address"));
        let client = Client::builder().redirect(Policy::none()).default_headers(headers);
        Self { client: client.build().expect("a client"), cookie: None }
    }

    pub async fn get(&mut self, url: &str) -> Seen {
        let request = self.client.get(url);
        self.send(request).await
    }

    pub async fn post(&mut self, url: &str, origin: &str, form: &[(&str, &str)]) -> Seen {
        let request = self.client.post(url).header("origin", origin).body(form_of(form));
        self.send(request.header("content-type", "application/x-www-form-urlencoded")).await
    }

    async fn send(&mut self, mut request: reqwest::RequestBuilder) -> Seen {
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", format!("other=1; kizuna-login={cookie}"));
        }
        let answer = request.send().await.expect("an answer");
        let header = |name| answer.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
        if let Some(cookie) = header("set-cookie") {
            let value = cookie.split(';').next().and_then(|pair| pair.strip_prefix("kizuna-login=")).expect("ours");
            self.cookie = Some(value.to_owned()).filter(|value| !value.is_empty());
        }
        let location = header("location").map(|url| Url::parse(&url).expect("a URL"));
        Seen { status: answer.status().as_u16(), location, body: answer.text().await.expect("a body") }
    }

    /// Begins a sign-in: the provider's address as the server gives it.
    pub async fn begin(&mut self, server: &TestServer, return_to: &str) -> Url {
        let seen = self.try_begin(server, &[("return_to", return_to)]).await;
        assert_eq!(seen.status, 303, "{}", seen.body);
        seen.location.expect("a redirect")
    }

    pub async fn try_begin(&mut self, server: &TestServer, change: &[(&str, &str)]) -> Seen {
        let challenge = challenge_of(VERIFIER);
        let good = [
            ("return_to", PAGE),
            ("state", "of the game"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        let kept = good.iter().filter(|(name, _)| !change.iter().any(|(changed, _)| changed == name));
        let all: Vec<_> = kept.chain(change).filter(|(_, value)| !value.is_empty()).collect();
        let url = Url::parse_with_params(&format!("{}/bridge/login", server.base), all).expect("a URL");
        self.get(url.as_str()).await
    }

    pub async fn callback(&mut self, server: &TestServer, answer: &[(&str, &str)]) -> Seen {
        let url = Url::parse_with_params(&format!("{}/bridge/callback", server.base), answer).expect("a URL");
        self.get(url.as_str()).await
    }
}

pub fn form_of(form: &[(&str, &str)]) -> String {
    Url::parse_with_params("http://form/", form).expect("a URL").query().unwrap_or_default().to_owned()
}

/// Takes the session for a code, as a game does.
pub async fn redeem(server: &TestServer, code: &str, verifier: &str) -> (u16, Value) {
    let body = json!({ "code": code, "code_verifier": verifier });
    server.call("POST", "/bridge/session", SERVER_KEY, body).await
}

/// A provider that says what it is told to.
pub struct Provider {
    pub web: Web,
    pub issuer: Issuer,
    /// What the token endpoint answers.
    pub tokens: Arc<Mutex<Option<(u16, String)>>>,
    /// What discovery answers.
    pub document: Arc<Mutex<Value>>,
    pub name: String,
}

impl Provider {
    pub async fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let name = format!("http://{free}");
        let document = Arc::new(Mutex::new(json!({
            "issuer": name,
            "authorization_endpoint": format!("{name}/authorize"),
            "token_endpoint": format!("{name}/token"),
        })));
        let tokens = Arc::new(Mutex::new(Some((500, String::new()))));
        let (told, said) = (tokens.clone(), document.clone());
        let web = Web::start_at(free, move |received| match received.head.split(' ').nth(1) {
            Some("/.well-known/openid-configuration") => Some((200, said.lock().to_string())),
            Some("/token") => told.lock().clone(),
            _ => Some((404, String::new())),
        });
        let web = web.await;
        let issuer = Issuer::new(Box::leak(name.clone().into_boxed_str()));
        Self { web, issuer, tokens, document, name }
    }

    /// Makes it the server's provider.
    pub fn trusted_by(&self, config: &mut Config) {
        config.identity.trust = vec![TrustEntry {
            name: "pool".into(),
            issuers: vec![self.name.clone()],
            jwks: KeySource::Inline(self.issuer.key_set()),
            audience: Audience { claim: AudienceClaim::Aud, any_of: vec![CLIENT.into(), "another-client".into()] },
            token_type: TokenType { claim: "token_use".into(), equals: "id".into(), ..TokenType::default() },
            ..TrustEntry::default()
        }];
        config.login.client = vec![LoginClient {
            name: "pool".into(),
            entry: "pool".into(),
            issuer: self.name.clone(),
            client_id: CLIENT.into(),
            ..LoginClient::default()
        }];
        config.login.return_to.push(PAGE.into());
    }

    /// A good ID token, except for `change`.
    pub fn id_token(&self, nonce: &str, change: &Value) -> String {
        let mut claims = json!({ "aud": CLIENT, "token_use": "id", "nonce": nonce });
        for (name, value) in change.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        self.issuer.token("subject-one", &claims)
    }

    /// Makes the token endpoint answer with this ID token.
    pub fn gives(&self, id_token: &str) {
        self.says(200, &json!({ "access_token": "at", "token_type": "Bearer", "id_token": id_token }));
    }

    pub fn says(&self, status: u16, body: &Value) {
        *self.tokens.lock() = Some((status, body.to_string()));
    }

    /// The forms that its token endpoint was sent.
    pub fn asked(&self) -> Vec<Url> {
        let form = |received: &Received| Url::parse(&format!("http://form/?{}", text(&received.body))).expect("a form");
        self.web.received().iter().filter(|received| received.head.starts_with("POST /token ")).map(form).collect()
    }
}

/// A server with the development provider, and a clock in the test's hand.
pub async fn with_dev_provider() -> (TestServer, Clock) {
    let clock = Clock::manual(Clock::system().unix_seconds());
    let time = clock.clone();
    let change = |config: &mut Config| {
        config.dev_provider.enabled = true;
        config.login.return_to.push(PAGE.into());
        config.session.refresh_token_expiry_sec = 86_400;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::start_built(folder, change, |server| server.with_time(time, Entropy::system())).await;
    (server, clock)
}

/// Gives a name on the development provider's page: where it sends the browser.
pub async fn give_name(browser: &mut Browser, asked: &Url, user: &str) -> Url {
    let mut form: Vec<_> = asked.query_pairs().into_owned().collect();
    form.push(("user".into(), user.into()));
    let form: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let origin = asked.origin().ascii_serialization();
    let seen = browser.post(&format!("{origin}/authorize"), &origin, &form).await;
    assert_eq!(seen.status, 303, "{}", seen.body);
    seen.location.expect("a redirect")
}

/// From the game's wish to the address that the browser ends at.
pub async fn sign_in(server: &TestServer, return_to: &str, user: &str) -> Url {
    let mut browser = Browser::new();
    let asked = browser.begin(server, return_to).await;
    let back = give_name(&mut browser, &asked, user).await;
    let seen = browser.get(back.as_str()).await;
    assert_eq!((seen.status, &browser.cookie), (303, &None), "{}", seen.body);
    seen.location.expect("a redirect")
}

pub async fn session_of(server: &TestServer, user: &str) -> Value {
    let code = query(&sign_in(server, NATIVE, user).await, "code");
    let (status, session) = redeem(server, &code, VERIFIER).await;
    assert_eq!(status, 200, "{session}");
    session
}

pub async fn refresh(server: &TestServer, session: &Value) -> (u16, Value) {
    let body = json!({ "token": session["refresh_token"] });
    server.call("POST", "/v2/account/session/refresh", SERVER_KEY, body).await
}
