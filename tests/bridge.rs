//! The identity bridge at the wire: identity tokens in, accounts out, and nothing else said of them.

mod common;

use common::{
    PATIENCE, SERVER_KEY, Socket, TestServer, config_in,
    issuer::Issuer,
    open_socket,
    process::Process,
    text,
    web::{Received, Reply, Web},
};
use kizuna::{
    app::Server,
    clock::Clock,
    config::{AccountId, Config, KeySource, TrustEntry},
    net::provider::DevProvider,
};
use serde_json::{Value, json};
use std::net::SocketAddr;

const ISSUER: &str = "https://issuer.example/pool";
const OTHER_ISSUER: &str = "https://issuer.example/other";
const SUBJECT: &str = "5b1c7e2a-9d1f-4f0e-8a51-0d6f3a2b9c11";

async fn server_trusting(entries: Vec<TrustEntry>) -> TestServer {
    TestServer::start_with(|config| config.identity.trust = entries).await
}

async fn custom(server: &TestServer, id: &str) -> (u16, Value) {
    server.call("POST", "/v2/account/authenticate/custom", SERVER_KEY, json!({ "id": id })).await
}

fn bearer(session: &Value) -> String {
    format!("Bearer {}", text(&session["token"]))
}

async fn account(server: &TestServer, session: &Value) -> Value {
    let (status, account) = server.call("GET", "/v2/account", &bearer(session), Value::Null).await;
    assert_eq!(status, 200, "{account}");
    account
}

/// The one answer for everything that is no good identity token.
fn refused() -> (u16, Value) {
    (401, json!({ "code": 16, "message": "Identity token refused." }))
}

/// A pair of tokens of the development provider, by HTTP.
async fn provider_tokens(provider: SocketAddr, user: &str) -> Value {
    let request = reqwest::Client::new().post(format!("http://{provider}/token?user={user}"));
    let answer = request.send().await.expect("an answer").text().await.expect("a body");
    serde_json::from_str(&answer).expect("JSON")
}

#[tokio::test]
async fn a_token_of_the_development_provider_signs_in_and_its_subject_is_the_account_id() {
    let server = TestServer::start_with(|config| config.dev_provider.enabled = true).await;
    let provider = server.running.dev_provider().expect("it is on");
    let tokens = provider_tokens(provider, "alice").await;
    let path = "/v2/account/authenticate/custom?create=true&username=mallory&account.id=bob-bob";
    let claims =
        json!({ "id": tokens["access_token"], "sub": "bob-bob", "vars": { "sub": "bob-bob", "custom_id": "x" } });
    let (status, session) = server.call("POST", path, SERVER_KEY, claims).await;
    assert_eq!((status, &session["created"]), (200, &json!(true)), "{session}");
    let first = account(&server, &session).await;
    assert_eq!(first["custom_id"], DevProvider::subject("alice"), "whatever else the client claims");
    assert_eq!(first["user"]["username"], "mallory", "a new player's wish for a name counts");

    let again = server.sign_in(text(&tokens["id_token"])).await;
    assert_eq!(again.get("created"), None, "the ID token names the same player");
    assert_eq!(account(&server, &again).await["user"]["id"], first["user"]["id"]);
    let other = server.sign_in(text(&provider_tokens(provider, "bob").await["token"])).await;
    assert_ne!(account(&server, &other).await["user"]["id"], first["user"]["id"]);
}

#[tokio::test]
async fn every_refusal_has_one_answer_and_the_metrics_name_the_step() {
    let (issuer, stranger) = (Issuer::new(ISSUER), Issuer::new(OTHER_ISSUER));
    let server = server_trusting(vec![issuer.inline("pool")]).await;
    let good = issuer.token(SUBJECT, &json!({}));
    let mut tampered: Vec<_> = good.split('.').map(str::to_owned).collect();
    tampered[1].clone_from(&issuer.token("another-subject", &json!({})).split('.').nth(1).expect("claims").to_owned());
    let now = Clock::system().unix_seconds();
    let claims = json!({ "sub": SUBJECT, "iss": ISSUER });
    let impostor = Issuer::new(ISSUER);
    for (entry, step, token) in [
        ("none", "format", "player-one".to_owned()),
        ("none", "format", format!("{good}.")),
        ("none", "algorithm", issuer.seal(&json!({ "kid": "rsa", "alg": "none" }), &claims)),
        ("none", "algorithm", issuer.seal(&json!({ "kid": "rsa", "alg": "HS256" }), &claims)),
        ("none", "algorithm", issuer.seal(&json!({ "kid": "rsa", "alg": "ES256" }), &claims)),
        ("pool", "signature", tampered.join(".")),
        ("pool", "signature", issuer.seal(&json!({ "kid": "unknown", "alg": "RS256" }), &claims)),
        ("pool", "signature", impostor.token(SUBJECT, &json!({}))),
        ("pool", "expiry", issuer.token(SUBJECT, &json!({ "iat": now - 900, "exp": now - 300 }))),
        ("none", "issuer", stranger.token(SUBJECT, &json!({}))),
        ("none", "issuer", issuer.token(SUBJECT, &json!({ "iss": format!("{ISSUER}/") }))),
        ("pool", "client", issuer.token(SUBJECT, &json!({ "client_id": "another-game" }))),
        ("pool", "client", issuer.token(SUBJECT, &json!({ "token_use": "id" }))),
        ("pool", "subject", issuer.token("", &json!({}))),
    ] {
        let count = |metrics: &str| counted(metrics, entry, step, "refused");
        let before = count(&server.metrics().await);
        assert_eq!(custom(&server, &token).await, refused(), "{step}");
        assert_eq!(count(&server.metrics().await), before + 1, "{entry} {step}");
    }
    assert_eq!(custom(&server, &good).await.0, 200, "the good one passes");
    assert_eq!(counted(&server.metrics().await, "pool", "all", "accepted"), 1);
}

/// The counter of one outcome, over all issuers.
fn counted(metrics: &str, entry: &str, step: &str, outcome: &str) -> u64 {
    let labels = [format!("entry=\"{entry}\""), format!("step=\"{step}\""), format!("outcome=\"{outcome}\"")];
    let lines = metrics.lines().filter_map(|line| line.strip_prefix("kizuna_identity_verifications_total"));
    let of_outcome = lines.filter(|line| labels.iter().all(|label| line.contains(label)));
    of_outcome.map(|line| line.rsplit(' ').next().expect("a value").parse::<u64>().expect("a number")).sum()
}

/// An entry of `issuer` with more said, as in the file.
fn saying(issuer: &Issuer, toml: &str) -> TrustEntry {
    let said: TrustEntry = toml::from_str(toml).expect("a trust entry");
    let TrustEntry { vars, tenant, username, nonce, .. } = said;
    TrustEntry { vars, tenant, username, nonce, ..issuer.inline("pool") }
}

/// The claims of a session token.
fn claims_of(session: &Value) -> Value {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let payload = text(&session["token"]).split('.').nth(1).expect("a payload");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

#[tokio::test]
async fn mapped_claims_are_in_the_session_and_no_client_changes_them() {
    let issuer = Issuer::new(ISSUER);
    let server = server_trusting(vec![saying(
        &issuer,
        "vars.role = { claims = [\"role\"], required = true }\ntenant = { claims = [\"org\"] }\nusername = [\"nickname\"]\n",
    )])
    .await;
    let token = |subject: &str| issuer.token(subject, &json!({ "role": "player", "org": "acme", "nickname": "Ann" }));
    let wish = json!({ "id": token(SUBJECT), "vars": { "idp.role": "admin", "skin": "red" } });
    let (status, session) = server.call("POST", "/v2/account/authenticate/custom", SERVER_KEY, wish).await;
    assert_eq!(status, 200, "{session}");
    let claims = claims_of(&session);
    assert_eq!(claims["vrs"], json!({ "idp.role": "player", "skin": "red" }));
    assert_eq!((&claims["idn"]["ten"], &claims["usn"]), (&json!("acme"), &json!("Ann")));
    let refresh = json!({ "token": session["refresh_token"], "vars": { "idp.role": "admin", "skin": "blue" } });
    let (status, fresh) = server.call("POST", "/v2/account/session/refresh", SERVER_KEY, refresh).await;
    assert_eq!(status, 200, "{fresh}");
    assert_eq!(claims_of(&fresh)["vrs"], json!({ "idp.role": "player", "skin": "blue" }));
    let other = server.sign_in(&token("another-subject")).await;
    let name = claims_of(&other)["usn"].clone();
    assert!(text(&name).starts_with("Ann-"), "the name is taken: {name}");
    assert_eq!(custom(&server, &issuer.token(SUBJECT, &json!({ "org": "acme" }))).await, refused(), "no role");
    assert_eq!(counted(&server.metrics().await, "pool", "claims", "refused"), 1);
}

#[tokio::test]
async fn a_nonce_of_this_server_signs_in_once() {
    let issuer = Issuer::new(ISSUER);
    let server = server_trusting(vec![saying(&issuer, "nonce = \"required\"\n")]).await;
    let (status, answer) = server.call("POST", "/bridge/nonce", SERVER_KEY, Value::Null).await;
    assert_eq!((status, &answer["expires_in"]), (200, &json!(300)), "{answer}");
    let token = issuer.token(SUBJECT, &json!({ "nonce": answer["nonce"] }));
    assert_eq!(custom(&server, &token).await.0, 200);
    assert_eq!(custom(&server, &token).await, refused());
    assert_eq!(custom(&server, &issuer.token(SUBJECT, &json!({}))).await, refused());
    assert_eq!(server.call("POST", "/bridge/nonce", "Basic d3Jvbmc6", Value::Null).await.0, 401);
}

/// A provider that describes itself where it is asked, and says that it is `named` behind its address.
async fn describing(issuer: &Issuer, named: &'static str) -> Web {
    let keys = issuer.key_set();
    Web::start(move |received| {
        let host =
            received.head.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host").trim().to_owned();
        let body = match received.head.split(' ').nth(1) {
            Some("/.well-known/openid-configuration") => {
                json!({ "issuer": format!("http://{host}{named}"), "jwks_uri": format!("http://{host}/keys") })
                    .to_string()
            }
            Some("/keys") => keys.clone(),
            _ => return Some((404, String::new())),
        };
        Some((200, body))
    })
    .await
}

#[tokio::test]
async fn an_issuer_that_describes_itself_is_believed_if_it_is_the_one_that_was_asked() {
    let issuer = Issuer::new(ISSUER);
    for (named, status) in [("", 200), ("/", 503), ("/other", 503)] {
        let web = describing(&issuer, named).await;
        let entry = TrustEntry { issuers: vec![web.url("")], ..issuer.entry("pool", KeySource::Discovery) };
        let server = TestServer::start_with(|config| {
            config.identity.trust = vec![entry];
            config.identity.jwks_allow_loopback_http = true;
        })
        .await;
        let token = issuer.token(SUBJECT, &json!({ "iss": web.url("") }));
        assert_eq!(custom(&server, &token).await.0, status, "{named:?}");
    }
}

#[tokio::test]
async fn linking_and_unlinking_a_custom_id_go_through_the_bridge() {
    let issuer = Issuer::new(ISSUER);
    let server = server_trusting(vec![issuer.inline("pool")]).await;
    let device = async |id: &str| {
        let (status, body) =
            server.call("POST", "/v2/account/authenticate/device", SERVER_KEY, json!({ "id": id })).await;
        assert_eq!(status, 200, "device ids are no business of the bridge: {body}");
        body
    };
    let (a, b) = (device("device-aaaaaaaa").await, device("device-bbbbbbbb").await);
    let (own, others) = (issuer.token(SUBJECT, &json!({})), issuer.token("another-subject", &json!({})));
    let ask = async |verb: &str, session: &Value, id: &str| {
        server.call("POST", &format!("/v2/account/{verb}/custom"), &bearer(session), json!({ "id": id })).await
    };
    assert_eq!(ask("link", &a, SUBJECT).await, refused(), "a subject is not a token");
    assert_eq!(account(&server, &a).await.get("custom_id"), None);
    assert_eq!(ask("link", &a, &own).await, (200, json!({})));
    assert_eq!(account(&server, &a).await["custom_id"], SUBJECT);
    assert_eq!(account(&server, &server.sign_in(&own).await).await["user"], account(&server, &a).await["user"]);
    let (status, taken) = ask("link", &b, &own).await;
    assert_eq!((status, &taken["message"]), (409, &json!("Custom ID is already in use.")));

    assert_eq!(ask("unlink", &a, SUBJECT).await, refused());
    let (status, body) = ask("unlink", &a, &others).await;
    assert_eq!((status, &body["code"]), (403, &json!(7)), "somebody else's token: {body}");
    assert_eq!(account(&server, &a).await["custom_id"], SUBJECT);
    assert_eq!(ask("unlink", &a, &own).await, (200, json!({})));
    assert_eq!(account(&server, &a).await.get("custom_id"), None);
}

/// A key set's address that answers `keys`.
fn serving(keys: String) -> impl Fn(&Received) -> Reply + Send + Sync + 'static {
    move |_| Some((200, keys.clone()))
}

fn trust_over_http(config: &mut Config, issuer: &Issuer, url: String) {
    config.identity.jwks_allow_loopback_http = true;
    config.identity.jwks_refresh_sec = 1;
    config.identity.trust = vec![issuer.entry("pool", KeySource::Url(url))];
}

/// Waits until `holds` says so of the metrics.
async fn until_metrics(server: &TestServer, holds: impl Fn(&str) -> bool) {
    let wait = async {
        while !holds(&server.metrics().await) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the metrics show it in time");
}

fn a_read_failed(metrics: &str) -> bool {
    let failed = "kizuna_identity_key_set_reads_total{entry=\"pool\",outcome=\"failed\"} ";
    metrics.lines().any(|line| line.starts_with(failed))
}

#[tokio::test]
async fn after_the_bridge_the_identity_provider_may_go_away() {
    let issuer = Issuer::new(ISSUER);
    let provider = Web::start(serving(issuer.key_set())).await;
    let server = TestServer::start_with(|config| trust_over_http(config, &issuer, provider.url("/keys"))).await;
    let early = server.sign_in(&issuer.token("player-early", &json!({}))).await;
    let mut open = server.connect(text(&early["token"]), "json").await;
    provider.stop().await;
    until_metrics(&server, a_read_failed).await;

    let late = server.sign_in(&issuer.token("player-late", &json!({}))).await;
    assert_eq!(late["created"], true, "a new player, by the last good key set");
    assert_eq!(custom(&server, "player-late").await, refused(), "and nothing is let through unproved");
    let body = json!({ "token": early["refresh_token"] });
    let (status, fresh) = server.call("POST", "/v2/account/session/refresh", SERVER_KEY, body).await;
    assert_eq!(status, 200, "{fresh}");
    let mut second = server.connect(text(&fresh["token"]), "json").await;
    let mut third = server.connect(text(&late["token"]), "json").await;
    let (id, own) = open.create_match().await;
    second.join_match(&id).await;
    third.join_match(&id).await;
    second.next().await;
    open.send(json!({ "match_data_send": { "match_id": id, "op_code": "1", "data": "eA==" } })).await;
    for socket in [&mut second, &mut third] {
        assert_eq!(socket.next().await["match_data"]["presence"], own);
    }
}

#[tokio::test]
async fn a_key_set_past_its_hard_lifetime_signs_nobody_in_and_sessions_go_on() {
    let issuer = Issuer::new(ISSUER);
    let provider = Web::start(serving(issuer.key_set())).await;
    let server = TestServer::start_with(|config| {
        trust_over_http(config, &issuer, provider.url("/keys"));
        config.identity.jwks_max_age_sec = 1;
    })
    .await;
    let token = issuer.token("player-one", &json!({}));
    let session = server.sign_in(&token).await;
    let address = provider.stop().await;
    let unavailable = (503, json!({ "code": 14, "message": "Identity tokens cannot be verified right now." }));
    until_answer(&server, &token, &unavailable).await;
    assert_eq!(account(&server, &session).await["custom_id"], "player-one");
    server.connect(text(&session["token"]), "json").await;

    let _back = Web::start_at(address, serving(issuer.key_set())).await;
    let signed_in = async {
        while custom(&server, &token).await.0 != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, signed_in).await.expect("with its provider back, the server trusts again");
}

async fn until_answer(server: &TestServer, token: &str, wanted: &(u16, Value)) {
    let wait = async {
        loop {
            let answer = custom(server, token).await;
            if answer == *wanted {
                return;
            }
            assert_eq!(answer.0, 200, "{answer:?}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the answer changes in time");
}

#[tokio::test]
async fn one_subject_of_two_issuers_is_two_players() {
    let (one, two) = (Issuer::new(ISSUER), Issuer::new(OTHER_ISSUER));
    let prefixed = |issuer: &Issuer, name: &str| TrustEntry { account_id: AccountId::Prefixed, ..issuer.inline(name) };
    let server = server_trusting(vec![prefixed(&one, "one"), prefixed(&two, "two")]).await;
    for (issuer, id) in [(&one, "one"), (&two, "two")] {
        let session = server.sign_in(&issuer.token(SUBJECT, &json!({}))).await;
        assert_eq!(session["created"], true);
        assert_eq!(account(&server, &session).await["custom_id"], format!("{id}:{SUBJECT}"));
    }
}

#[tokio::test]
async fn a_configuration_that_would_trust_too_much_does_not_start() {
    let (one, two) = (Issuer::new(ISSUER), Issuer::new(OTHER_ISSUER));
    let inline = |issuer: &Issuer, name: &str| issuer.inline(name);
    let refused = async |change: &dyn Fn(&mut Config)| {
        let folder = tempfile::tempdir().expect("a folder");
        let started = Server::builder(config_in(&folder, |config| change(config))).start().await;
        started.expect_err("must not start").to_string()
    };
    for (path, change) in [
        (
            "identity.trust.account_id",
            &(|config: &mut Config| {
                config.identity.trust = vec![inline(&one, "one"), inline(&two, "two")];
            }) as &dyn Fn(&mut Config),
        ),
        ("hooks.before", &|config| {
            config.identity.trust = vec![inline(&one, "one")];
            config.hooks.before = Vec::new();
        }),
        ("identity.trust[0].jwks.url", &|config| {
            config.identity.trust = vec![one.entry("one", KeySource::Url("http://127.0.0.1:1/keys".into()))];
        }),
        ("identity.trust[0].jwks.inline", &|config| {
            config.identity.trust = vec![one.entry("one", KeySource::Inline("{\"keys\":[]}".into()))];
        }),
        ("identity.trust[0].audience.any_of", &|config| {
            config.identity.trust = vec![inline(&one, "one")];
            config.identity.trust[0].audience.any_of = Vec::new();
        }),
        ("dev_provider.address", &|config| {
            config.dev_provider.enabled = true;
            config.dev_provider.address = "0.0.0.0".into();
        }),
    ] {
        let why = refused(change).await;
        assert!(why.contains(&format!("{path}: ")), "want {path}, got {why}");
    }
}

/// What a client does, at a server of its own process: nothing of it may be in the log.
struct Secrets(Vec<String>);

impl Secrets {
    /// A token: as a whole, and its claims and its signature alone.
    fn token(&mut self, token: &str) {
        self.0.push(token.to_owned());
        self.0.extend(token.split('.').skip(1).filter(|part| part.len() > 20).map(str::to_owned));
    }

    fn session(&mut self, session: &Value) {
        self.token(text(&session["token"]));
        self.token(text(&session["refresh_token"]));
    }
}

#[tokio::test]
async fn no_token_and_no_claim_is_in_a_log_at_debug_level() {
    let data = tempfile::tempdir().expect("a folder");
    let settings = [("KIZUNA_DEV_PROVIDER_PORT", "0"), ("KIZUNA_LOGGER_LEVEL", "debug")];
    let mut server = Process::start(data.path(), &settings);
    let (base, client) = (format!("http://{}", server.http), reqwest::Client::new());
    let post = async |path: &str, authorization: &str, body: Value| -> (u16, Value) {
        let request = client.post(format!("{base}{path}")).header("authorization", authorization);
        let response = request.body(body.to_string()).send().await.expect("an answer");
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.expect("a body")).unwrap_or(Value::Null))
    };
    let mut secrets = Secrets(vec![DevProvider::subject("zanzibar"), "zanzibar".into(), "swordfish".into()]);
    let tokens = provider_tokens(server.dev_provider().expect("on"), "zanzibar").await;
    let (access, id) = (text(&tokens["access_token"]), text(&tokens["id_token"]));
    secrets.token(access);
    secrets.token(id);

    let (status, session) = post("/v2/account/authenticate/custom", SERVER_KEY, json!({ "id": access })).await;
    assert_eq!(status, 200);
    secrets.session(&session);
    let query = format!("token={}&format=json", text(&session["token"]));
    let mut socket: Socket = open_socket(server.http, &query, &[]).await.expect("opens");
    assert_eq!(socket.ask(json!({ "ping": {} })).await, json!({ "pong": {} }));
    let (status, fresh) =
        post("/v2/account/session/refresh", SERVER_KEY, json!({ "token": session["refresh_token"] })).await;
    assert_eq!(status, 200);
    secrets.session(&fresh);
    let device = json!({ "id": "device-to-keep-secret", "vars": { "secret": "zanzibar" } });
    secrets.0.push("device-to-keep-secret".into());
    assert_eq!(post("/v2/account/authenticate/device", SERVER_KEY, device).await.0, 200);
    let email = json!({ "email": "zanzibar@example.com", "password": "swordfish" });
    assert_eq!(post("/v2/account/authenticate/email", SERVER_KEY, email).await.0, 200);
    assert_eq!(post("/v2/account/link/custom", &bearer(&fresh), json!({ "id": id })).await.0, 200);

    let stranger = Issuer::new(ISSUER).token("zanzibar-two", &json!({}));
    for bad in [stranger, format!("{access}x"), format!("{}AAAA", &access[..access.len() - 4])] {
        secrets.token(&bad);
        assert_eq!(post("/v2/account/authenticate/custom", SERVER_KEY, json!({ "id": bad })).await.0, 401);
        assert_eq!(post("/v2/account/session/refresh", SERVER_KEY, json!({ "token": bad })).await.0, 401);
        assert_eq!(post("/v2/account/link/custom", &format!("Bearer {bad}"), json!({})).await.0, 401);
        assert!(open_socket(server.http, &format!("token={bad}"), &[]).await.is_err());
    }
    let body = json!({ "token": fresh["token"], "refresh_token": fresh["refresh_token"] });
    assert_eq!(post("/v2/session/logout", &bearer(&fresh), body).await.0, 200);
    assert!(open_socket(server.http, &query, &[]).await.is_err(), "logged out: one chain, one token id");
    drop(socket);
    server.terminate();

    let log = server.log();
    for said in ["DEBUG", "AuthenticateCustom", "the signature is wrong", "a session token is refused"] {
        assert!(log.contains(said), "the log is not at debug level, or says nothing: no {said:?} in\n{log}");
    }
    for secret in &secrets.0 {
        assert!(!log.contains(secret.as_str()), "{secret} is in the log:\n{log}");
    }
}
