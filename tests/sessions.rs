//! Sessions at the wire, beyond Nakama: refresh with an identity token, budgets, tokens that others can check, introspection and
//! token exchange.

mod common;

use common::{
    SERVER_KEY, TestServer,
    issuer::Issuer,
    process::{PLAIN, Process},
    text,
};
use kizuna::{
    clock::{Clock, Entropy},
    config::{AccountId, ClaimPath, Config, Signing, TenantRule, TrustEntry, VarRule},
};
use serde_json::{Value, json};
use tempfile::TempDir;

const ISSUER: &str = "https://issuer.example/pool";
const SUBJECT: &str = "5b1c7e2a-9d1f-4f0e-8a51-0d6f3a2b9c11";
const FORM: &str = "application/x-www-form-urlencoded";
const SERVICE_KEY: &str = "key-of-the-lobby-service";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const KIND: &str = "urn:ietf:params:oauth:token-type:";

async fn refresh(server: &TestServer, session: &Value, vars: Value) -> (u16, Value) {
    let body = json!({ "token": session["refresh_token"], "vars": vars });
    server.call("POST", "/v2/account/session/refresh", SERVER_KEY, body).await
}

fn bearer(session: &Value) -> String {
    format!("Bearer {}", text(&session["token"]))
}

fn part(token: &Value, index: usize) -> Value {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let segment = text(token).split('.').nth(index).expect("a segment");
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(segment).expect("base64url")).expect("JSON")
}

/// A form to one of the routes of our own: status, headers, body.
async fn post(
    server: &TestServer,
    path: &str,
    authorization: &str,
    form: &[(&str, &str)],
) -> (u16, reqwest::header::HeaderMap, Value) {
    let text: Vec<_> = form.iter().map(|(name, value)| format!("{name}={}", value.replace(':', "%3A"))).collect();
    let mut request = reqwest::Client::new().post(format!("{}{path}", server.base)).header("content-type", FORM);
    if !authorization.is_empty() {
        request = request.header("authorization", authorization);
    }
    let response = request.body(text.join("&")).send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.text().await.expect("a body");
    (status, headers, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

fn trusting(entries: Vec<TrustEntry>) -> impl FnOnce(&mut Config) {
    |config| config.identity.trust = entries
}

#[tokio::test]
async fn a_refresh_presents_the_identity_once_more_where_the_entry_asks_for_it() {
    let issuer = Issuer::new(ISSUER);
    let entry = TrustEntry { represent_at_refresh: true, ..issuer.inline("pool") };
    let server = TestServer::start_with(trusting(vec![entry])).await;
    let session = server.sign_in(&issuer.token(SUBJECT, &json!({ "auth_time": 1_000 }))).await;
    let (status, answer) = refresh(&server, &session, json!({})).await;
    assert_eq!((status, &answer["code"]), (401, &json!(16)));
    assert!(text(&answer["message"]).contains("idp.token"), "{answer}");

    let refused = (401, json!({ "code": 16, "message": "Identity token refused." }));
    let others = issuer.token("somebody-else", &json!({}));
    let expired = issuer.token(SUBJECT, &json!({ "exp": 1_000 }));
    for bad in [others.as_str(), &expired, "x", ""] {
        assert_eq!(refresh(&server, &session, json!({ "idp.token": bad })).await, refused, "{bad}");
    }
    server.sign_in(&others).await;
    assert_eq!(refresh(&server, &session, json!({ "idp.token": others })).await, refused, "another player's");

    let current = issuer.token(SUBJECT, &json!({ "auth_time": 2_000 }));
    let (status, fresh) =
        refresh(&server, &session, json!({ "idp.token": current, "idp.role": "admin", "a": "1" })).await;
    assert_eq!(status, 200, "{fresh}");
    let claims = part(&fresh["token"], 1);
    assert_eq!(claims["vrs"], json!({ "a": "1" }), "neither the token nor what only an issuer may say");
    assert_eq!((&claims["idn"]["at"], &claims["idn"]["ent"]), (&json!(2_000), &json!("pool")));
    let (status, again) = refresh(&server, &fresh, json!({ "idp.token": current })).await;
    assert_eq!((status, &part(&again["token"], 1)["vrs"]), (200, &json!({ "a": "1" })), "variables stay");

    let log = std::fs::read_to_string(server.stop().await.path().join("audit.log")).expect("the audit log");
    for (refusal, times) in [
        (r#""event":"identity_refused""#, 3),
        (r#""step":"expiry""#, 1),
        (r#""step":"format""#, 2),
        (r#""event":"refresh_refused""#, 2),
        (r#""why":"another_player""#, 2),
    ] {
        assert_eq!(log.matches(refusal).count(), times, "{refusal} in {log}");
    }
}

#[tokio::test]
async fn a_session_ends_with_the_trust_in_its_issuer() {
    let (issuer, other) = (Issuer::new(ISSUER), Issuer::new("https://issuer.example/other"));
    let entry = |name: &str, issuer: &Issuer| TrustEntry { account_id: AccountId::Prefixed, ..issuer.inline(name) };
    let server = TestServer::start_with(trusting(vec![entry("pool", &issuer)])).await;
    let session = server.sign_in(&issuer.token(SUBJECT, &json!({}))).await;
    let (status, plain) =
        server.call("POST", "/v2/account/authenticate/device", SERVER_KEY, json!({ "id": "device-0001" })).await;
    assert_eq!(status, 200);
    let folder = server.stop().await;
    let server = TestServer::start_in(folder, trusting(vec![entry("renamed", &issuer)])).await;
    let (status, session) = refresh(&server, &session, json!({})).await;
    assert_eq!(status, 200, "an entry is known by its issuer: {session}");
    let folder = server.stop().await;
    let server = TestServer::start_in(folder, trusting(vec![entry("pool", &other)])).await;
    let (status, answer) = refresh(&server, &session, json!({})).await;
    assert_eq!(status, 401, "{answer}");
    assert!(text(&answer["message"]).contains("not trusted any more"), "{answer}");
    assert_eq!(refresh(&server, &plain, json!({ "idp.token": "x" })).await.0, 200, "never came from there");
}

#[tokio::test]
async fn the_longest_life_counts_from_the_sign_in_at_the_provider() {
    let now = Clock::system().unix_seconds();
    let issuer = Issuer::new(ISSUER);
    let server = TestServer::start_with(|config| {
        config.identity.trust = vec![issuer.inline("pool")];
        config.session.max_chain_sec = 1_000;
    })
    .await;
    let session = server.sign_in(&issuer.token(SUBJECT, &json!({ "auth_time": now - 500 }))).await;
    assert_eq!(part(&session["refresh_token"], 1)["exp"], json!(now + 500), "clipped");
    let old = issuer.token(SUBJECT, &json!({ "auth_time": now - 1_000 }));
    let (status, answer) =
        server.call("POST", "/v2/account/authenticate/custom", SERVER_KEY, json!({ "id": old })).await;
    assert_eq!((status, text(&answer["message"])), (401, "Session has reached its longest life. Sign in again."));
    let proof = issuer.token(SUBJECT, &json!({ "auth_time": now - 100 }));
    let (status, longer) = refresh(&server, &session, json!({ "idp.token": proof })).await;
    assert_eq!((status, &part(&longer["refresh_token"], 1)["exp"]), (200, &json!(now + 900)), "proved anew");
}

#[tokio::test]
async fn variables_and_session_tokens_have_a_budget() {
    let server = TestServer::start().await;
    let sign_in = async |vars: Value| {
        let body = json!({ "id": "player-one", "vars": vars });
        server.call("POST", "/v2/account/authenticate/custom", SERVER_KEY, body).await
    };
    let many: serde_json::Map<_, _> = (0..65).map(|index| (format!("v{index}"), json!(""))).collect();
    let refused = |message: &str| (400, json!({ "code": 3, "message": message }));
    let too_many = refused("Too many session variables, at most 64 are allowed.");
    assert_eq!(sign_in(Value::Object(many.clone())).await, too_many);
    let too_large = refused("Session variable too large, name and value may have at most 1024 bytes.");
    assert_eq!(sign_in(json!({ "a": "x".repeat(1_024) })).await, too_large);
    let (status, answer) = sign_in(json!({ "a": "x".repeat(1_000), "b": "x".repeat(1_000) })).await;
    assert_eq!((status, &answer["code"]), (400, &json!(3)));
    assert!(text(&answer["message"]).contains("2048 are allowed (session.max_token_bytes)"), "{answer}");

    let (status, session) = sign_in(json!({ "a": "x".repeat(1_000) })).await;
    assert_eq!((status, &session["created"]), (200, &json!(true)), "what was refused made no account");
    assert!(text(&session["token"]).len() <= 2_048);
    for (vars, fault) in [(Value::Object(many), &too_many), (json!({ "a": "x".repeat(1_024) }), &too_large)] {
        assert_eq!(&refresh(&server, &session, vars).await, fault);
    }
    let large = json!({ "a": "x".repeat(1_000), "b": "x".repeat(1_000) });
    assert_eq!(refresh(&server, &session, large).await.0, 400);
    let (status, fresh) = refresh(&server, &session, json!({})).await;
    assert_eq!((status, &part(&fresh["refresh_token"], 0)["gen"]), (200, &json!(1)), "a refusal uses nothing up");
    let metrics = server.metrics().await;
    assert!(metrics.contains("kizuna_session_token_bytes_count 2"), "{metrics}");
}

#[tokio::test]
async fn session_tokens_are_checked_with_the_published_keys_alone() {
    let server = TestServer::start_with(|config| {
        config.session.signing = Signing::ES256;
        config.session.issuer = "https://game.example".into();
    })
    .await;
    let session = server.sign_in("player-one").await;
    let answer = reqwest::get(format!("{}/.well-known/jwks.json", server.base)).await.expect("an answer");
    assert_eq!(answer.headers()["cache-control"], "public, max-age=300");
    let set: jsonwebtoken::jwk::JwkSet =
        serde_json::from_str(&answer.text().await.expect("a body")).expect("a key set");
    let token = text(&session["token"]);
    let header = jsonwebtoken::decode_header(token).expect("a header");
    let key = set.find(&header.kid.expect("a key id")).expect("it is published");
    let key = jsonwebtoken::DecodingKey::from_jwk(key).expect("a key");
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    rules.set_issuer(&["https://game.example"]);
    let read = jsonwebtoken::decode::<Value>(token, &key, &rules).expect("good");
    assert_eq!(read.claims["sub"], read.claims["uid"]);
    // It opens what a session opens, and is refreshed and logged out like any other.
    assert_eq!(server.call("GET", "/v2/account", &bearer(&session), Value::Null).await.0, 200);
    let mut socket = server.connect(token, "json").await;
    assert_eq!(socket.ask(json!({ "ping": {} })).await, json!({ "pong": {} }));
    let (status, fresh) = refresh(&server, &session, json!({})).await;
    assert_eq!(status, 200);
    let body = json!({ "token": fresh["token"], "refresh_token": fresh["refresh_token"] });
    assert_eq!(server.call("POST", "/v2/session/logout", &bearer(&fresh), body).await.0, 200);
    assert_eq!(server.call("GET", "/v2/account", &bearer(&session), Value::Null).await.0, 401);

    let hmac = TestServer::start().await;
    assert_eq!(hmac.call("GET", "/.well-known/jwks.json", "", Value::Null).await, (200, json!({ "keys": [] })));
    assert_eq!(hmac.call("POST", "/.well-known/jwks.json", "", Value::Null).await.0, 501);
}

#[tokio::test]
async fn a_service_asks_what_a_session_token_says() {
    let issuer = Issuer::new(ISSUER);
    let server = TestServer::start_with(|config| {
        config.identity.trust = vec![issuer.inline("pool")];
        config.session.introspection_keys = vec!["an-older-key-of-it".into(), SERVICE_KEY.into()];
        config.session.issuer = "https://game.example".into();
    })
    .await;
    let body = json!({ "id": "device-0001", "vars": { "rank": "gold" } });
    let device = "/v2/account/authenticate/device?username=ann";
    let (_, session) = server.call("POST", device, SERVER_KEY, body).await;
    let token = text(&session["token"]).to_owned();
    let service = format!("Bearer {SERVICE_KEY}");
    let ask = async |token: &str| post(&server, "/v2/session/introspect", &service, &[("token", token)]).await;
    let (status, headers, said) = ask(&token).await;
    let claims = part(&session["token"], 1);
    assert_eq!(status, 200);
    assert!(headers["cache-control"].to_str().expect("text").contains("no-store"));
    let expected = json!({
        "active": true, "sub": claims["uid"], "username": "ann", "exp": claims["exp"], "iat": claims["iat"],
        "token_type": "Bearer", "sid": claims["tid"], "iss": "https://game.example", "vars": { "rank": "gold" },
    });
    assert_eq!(said, expected);
    let bridged = server.sign_in(&issuer.token(SUBJECT, &json!({ "auth_time": 5_000 }))).await;
    let said = ask(text(&bridged["token"])).await.2;
    assert_eq!((&said["identity_entry"], &said["auth_time"]), (&json!("pool"), &json!(5_000)));

    let inactive = json!({ "active": false });
    for bad in ["x", text(&session["refresh_token"]), &token[1..]] {
        assert_eq!(ask(bad).await.2, inactive);
    }
    assert_eq!(server.call("POST", "/v2/session/logout", &bearer(&session), json!({})).await.0, 200);
    assert_eq!(ask(&token).await.2, inactive, "logged out");

    let introspect = async |authorization: &str, form: &[(&str, &str)]| {
        let (status, _, body) = post(&server, "/v2/session/introspect", authorization, form).await;
        (status, text(&body["message"]).to_owned())
    };
    let given = [("token", token.as_str())];
    assert_eq!(introspect("", &given).await, (401, "Service key required".into()));
    for wrong in ["Bearer wrong", "Bearer ", SERVER_KEY, &bearer(&session)] {
        assert_eq!(introspect(wrong, &given).await, (401, "Service key invalid".into()), "{wrong}");
    }
    assert_eq!(introspect(&service, &[]).await, (400, "Parameter token is required.".into()));
    assert_eq!(introspect(&service, &[given[0], given[0]]).await.0, 400);
    let closed = TestServer::start().await;
    assert_eq!(post(&closed, "/v2/session/introspect", &service, &given).await.0, 404, "no key, no route");
}

#[tokio::test]
async fn an_identity_token_is_exchanged_as_the_rfc_says() {
    let issuer = Issuer::new(ISSUER);
    let server = TestServer::start_with(trusting(vec![issuer.inline("pool")])).await;
    let token = issuer.token(SUBJECT, &json!({}));
    let (access, refresh_kind) = (format!("{KIND}access_token"), format!("{KIND}refresh_token"));
    let good = [("grant_type", EXCHANGE), ("subject_token", &token), ("subject_token_type", &access)];
    let (status, headers, granted) = post(&server, "/oauth2/token", SERVER_KEY, &good).await;
    assert_eq!(status, 200, "{granted}");
    assert_eq!(headers["pragma"], "no-cache");
    assert!(headers["cache-control"].to_str().expect("text").contains("no-store"));
    assert_eq!((&granted["token_type"], &granted["expires_in"]), (&json!("Bearer"), &json!(60)));
    assert_eq!(granted["issued_token_type"], json!(access));
    let session = json!({ "token": granted["access_token"] });
    let (status, account) = server.call("GET", "/v2/account", &bearer(&session), Value::Null).await;
    assert_eq!((status, &account["custom_id"]), (200, &json!(SUBJECT)), "the account of Nakama's route");
    assert!(server.sign_in(&token).await["created"].is_null());

    let again = [("grant_type", "refresh_token"), ("refresh_token", text(&granted["refresh_token"]))];
    let (status, _, next) = post(&server, "/oauth2/token", SERVER_KEY, &again).await;
    assert_eq!((status, &part(&next["refresh_token"], 0)["gen"]), (200, &json!(1)), "{next}");
    assert!(next["issued_token_type"].is_null());

    let fault = async |authorization: &str, form: &[(&str, &str)]| {
        let (status, headers, body) = post(&server, "/oauth2/token", authorization, form).await;
        assert!(headers["cache-control"].to_str().expect("text").contains("no-store"));
        (status, text(&body["error"]).to_owned())
    };
    let bad_request = |error: &str| (400, error.to_owned());
    assert_eq!(fault("", &good).await, (401, "invalid_client".into()));
    assert_eq!(fault("Bearer x", &good).await, (401, "invalid_client".into()));
    assert_eq!(fault(SERVER_KEY, &[]).await, bad_request("invalid_request"));
    assert_eq!(fault(SERVER_KEY, &[("grant_type", "password")]).await, bad_request("unsupported_grant_type"));
    let with = |name: &'static str, value: &'static str| [&good[..], &[(name, value)]].concat();
    for (name, error) in [
        ("actor_token", "invalid_request"),
        ("resource", "invalid_target"),
        ("audience", "invalid_target"),
        ("scope", "invalid_scope"),
        ("grant_type", "invalid_request"),
        ("requested_token_type", "invalid_request"),
    ] {
        assert_eq!(fault(SERVER_KEY, &with(name, "x")).await, bad_request(error), "{name}");
    }
    for (subject, kind) in
        [("x", access.as_str()), ("", &access), (&token, ""), (&token, &refresh_kind), (SUBJECT, &access)]
    {
        let form = [("grant_type", EXCHANGE), ("subject_token", subject), ("subject_token_type", kind)];
        assert_eq!(fault(SERVER_KEY, &form).await, bad_request("invalid_request"), "{subject} {kind}");
    }
    for refresh in ["x", text(&granted["access_token"])] {
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
        assert_eq!(fault(SERVER_KEY, &form).await, bad_request("invalid_grant"));
    }
    let (status, _) = server.call("POST", "/oauth2/token", SERVER_KEY, json!({ "grant_type": EXCHANGE })).await;
    assert_eq!(status, 400, "JSON is no form");

    let open = TestServer::start().await;
    let plain = [("grant_type", EXCHANGE), ("subject_token", "player-one"), ("subject_token_type", &access)];
    let (status, _, body) = post(&open, "/oauth2/token", SERVER_KEY, &plain).await;
    assert_eq!((status, &body["error"]), (400, &json!("unsupported_grant_type")), "a plain custom id is no token");
}

#[tokio::test]
async fn reuse_is_found_out_after_a_restart_too() {
    let clock = Clock::manual(1_800_000_000);
    let start = async |folder: TempDir, clock: Clock| {
        TestServer::start_built(folder, |_| {}, |server| server.with_time(clock, Entropy::seeded(9))).await
    };
    let server = start(tempfile::tempdir().expect("a folder"), clock.clone()).await;
    let stolen = server.sign_in("player-one").await;
    let (status, kept) = refresh(&server, &stolen, json!({})).await;
    assert_eq!(status, 200);
    let server = start(server.stop().await, clock.clone()).await;
    let (status, lost) = refresh(&server, &stolen, json!({})).await;
    assert_eq!((status, &part(&lost["refresh_token"], 0)["gen"]), (200, &json!(1)), "the answer may have been lost");
    let mut socket = server.connect(text(&kept["token"]), "json").await;
    clock.advance_seconds(31);
    let gone = (401, json!({ "code": 16, "message": "Refresh token invalid or expired." }));
    assert_eq!(refresh(&server, &stolen, json!({})).await, gone);
    assert_eq!(socket.next_close().await, (4402, "session revoked".to_owned()));
    assert_eq!(refresh(&server, &kept, json!({})).await, gone);
    assert_eq!(server.call("GET", "/v2/account", &bearer(&kept), Value::Null).await.0, 401);
    let server = start(server.stop().await, clock).await;
    assert_eq!(refresh(&server, &kept, json!({})).await, gone);
}

#[tokio::test]
async fn a_generation_outlives_a_killed_server() {
    let data = tempfile::tempdir().expect("a folder");
    let post = async |server: &Process, path: &str, body: Value| {
        let request = reqwest::Client::new().post(format!("http://{}{path}", server.http));
        let response =
            request.header("authorization", SERVER_KEY).body(body.to_string()).send().await.expect("an answer");
        let status = response.status().as_u16();
        (status, serde_json::from_str::<Value>(&response.text().await.expect("a body")).expect("JSON"))
    };
    let refresh = async |server: &Process, session: &Value| {
        post(server, "/v2/account/session/refresh", json!({ "token": session["refresh_token"] })).await
    };
    let mut server = Process::start(data.path(), PLAIN);
    let first = post(&server, "/v2/account/authenticate/custom", json!({ "id": "player-one" })).await.1;
    let second = refresh(&server, &first).await.1;
    let third = refresh(&server, &second).await.1;
    server.child.kill().expect("it is ours");
    server.child.wait().expect("it ends");
    let server = Process::start(data.path(), PLAIN);
    let (status, fourth) = refresh(&server, &third).await;
    assert_eq!((status, &part(&fourth["refresh_token"], 0)["gen"]), (200, &json!(3)));
    assert_eq!(refresh(&server, &first).await.0, 401, "used twice, whatever happened between");
    assert_eq!(refresh(&server, &fourth).await.0, 401, "so the session has ended");
}

#[tokio::test]
async fn what_an_issuer_says_of_a_player_is_renewed_by_a_new_token_and_by_nothing_else() {
    let issuer = Issuer::new(ISSUER);
    let rule = |name: &str| (name.to_owned(), VarRule { claims: vec![ClaimPath::from(name)], ..VarRule::default() });
    let groups: Vec<_> = (0..8).map(|index| format!("g{index}")).collect();
    let vars = groups.iter().map(|name| rule(name)).chain([rule("role")]).collect();
    let server = TestServer::start_with(|config| {
        config.identity.trust = vec![TrustEntry { vars, ..issuer.inline("pool") }];
        config.identity.max_vars_bytes = 4_096;
    })
    .await;
    let session = server.sign_in(&issuer.token(SUBJECT, &json!({ "role": "player", "sid": "first" }))).await;
    let (status, kept) = refresh(&server, &session, json!({ "idp.role": "admin", "a": "1" })).await;
    assert_eq!((status, &part(&kept["token"], 1)["vrs"]), (200, &json!({ "a": "1", "idp.role": "player" })));
    let promoted = issuer.token(SUBJECT, &json!({ "role": "admin", "sid": "second" }));
    let (status, renewed) = refresh(&server, &kept, json!({ "idp.token": promoted })).await;
    assert_eq!((status, &part(&renewed["token"], 1)["vrs"]), (200, &json!({ "a": "1", "idp.role": "admin" })));
    let (status, bare) = refresh(&server, &renewed, json!({ "idp.token": issuer.token(SUBJECT, &json!({})) })).await;
    assert_eq!((status, &part(&bare["token"], 1)["vrs"]), (200, &json!({ "a": "1" })), "demoted");
    let family = |session: &Value| part(&session["token"], 1)["idn"]["fam"].clone();
    assert!(family(&session).is_string() && family(&renewed) != family(&session));
    assert_eq!(family(&bare), family(&renewed), "the end of that sign-in still ends the session");

    let heavy: serde_json::Map<_, _> = groups.iter().map(|name| (name.clone(), json!("g".repeat(250)))).collect();
    let heavy = issuer.token(SUBJECT, &Value::Object(heavy));
    let too_long = json!({ "code": 9, "message": "The claims of the identity token make too long a session token." });
    let signed_in = server.call("POST", "/v2/account/authenticate/custom", SERVER_KEY, json!({ "id": heavy })).await;
    assert_eq!(signed_in, (400, too_long.clone()));
    assert_eq!(refresh(&server, &bare, json!({ "idp.token": heavy })).await, (400, too_long));
    assert_eq!(refresh(&server, &bare, json!({})).await.0, 200);
}

#[tokio::test]
async fn a_refresh_does_not_lead_to_another_tenant() {
    let issuer = Issuer::new(ISSUER);
    let tenant = TenantRule { claims: vec![ClaimPath::from("tenant")], ..TenantRule::default() };
    let server = TestServer::start_with(trusting(vec![TrustEntry { tenant, ..issuer.inline("pool") }])).await;
    let of = |tenant: &str| issuer.token(SUBJECT, &json!({ "tenant": tenant }));
    let session = server.sign_in(&of("acme")).await;
    let refused = (401, json!({ "code": 16, "message": "Identity token refused." }));
    assert_eq!(refresh(&server, &session, json!({ "idp.token": of("other") })).await, refused);
    let (status, fresh) = refresh(&server, &session, json!({ "idp.token": of("acme") })).await;
    assert_eq!((status, &part(&fresh["token"], 1)["idn"]["ten"]), (200, &json!("acme")));
}
