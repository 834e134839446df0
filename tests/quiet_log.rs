//! The log of the real server at its finest level, with everything going on that has to do with credentials: not one of them is
//! in it.

mod common;

use common::{
    SERVER_KEY,
    login::{Browser, NATIVE, VERIFIER, challenge_of, give_name, query},
    open_socket,
    process::Process,
    text,
};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Every secret of a run, with what it is.
#[derive(Default)]
struct Secrets(Vec<(&'static str, String)>);

impl Secrets {
    /// Remembers a secret and answers it.
    fn keep(&mut self, what: &'static str, secret: &str) -> String {
        assert!(secret.len() >= 8, "{what} is too short to be looked for");
        self.0.push((what, secret.to_owned()));
        secret.to_owned()
    }

    /// Remembers a token as a whole and by its parts, and answers it.
    fn token(&mut self, what: &'static str, token: &Value) -> String {
        let token = text(token).to_owned();
        for part in token.split('.').skip(1) {
            self.keep(what, part);
        }
        self.keep(what, &token)
    }
}

async fn call(http: SocketAddr, path: &str, authorization: &str, body: Value) -> (u16, Value) {
    let request = reqwest::Client::new().post(format!("http://{http}{path}")).header("authorization", authorization);
    answer(request.body(body.to_string())).await
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let body = response.text().await.expect("a body");
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

/// An identity token of the development provider.
async fn form(http: SocketAddr, path: &str, authorization: &str, form: &str) -> (u16, Value) {
    let request = reqwest::Client::new().post(format!("http://{http}{path}")).header("authorization", authorization);
    answer(request.header("content-type", "application/x-www-form-urlencoded").body(form.to_owned())).await
}

async fn identity_token(provider: SocketAddr, user: &str) -> Value {
    let response = reqwest::Client::new()
        .post(format!("http://{provider}/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("user={user}"))
        .send()
        .await
        .expect("an answer");
    let body: Value = serde_json::from_str(&response.text().await.expect("a body")).expect("JSON");
    body["access_token"].clone()
}

#[tokio::test]
async fn no_credential_is_in_the_log_at_any_level() {
    let data = tempfile::tempdir().expect("a folder");
    let settings = [
        ("KIZUNA_LOGGER_LEVEL", "trace"),
        ("KIZUNA_DEV_PROVIDER_PORT", "0"),
        ("KIZUNA_SESSION_CLOSE_ON_EXPIRY", "true"),
        ("KIZUNA_SESSION_ENCRYPTION_KEY", "session-key-of-this-test"),
        ("KIZUNA_SESSION_REFRESH_ENCRYPTION_KEY", "refresh-key-of-this-test"),
        ("KIZUNA_RUNTIME_HTTP_KEY", "http-key-of-this-test"),
        ("KIZUNA_SOCKET_SERVER_KEY", "server-key-of-this-test"),
        ("KIZUNA_BRIDGE_ADMIN_KEY", "admin-key-of-this-test"),
        ("KIZUNA_SESSION_INTROSPECTION_KEYS", "[\"service-key-of-this-test\"]"),
        // What a library might say is asked for, too.
        ("RUST_LOG", "trace"),
    ];
    let mut server = Process::start(data.path(), &settings);
    let (http, mut secrets) = (server.http, Secrets::default());
    for (name, value) in &settings[3..8] {
        secrets.keep(name, value);
    }
    secrets.keep("service key", "service-key-of-this-test");
    let key = |key: &str| {
        use base64::Engine;
        format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(format!("{key}:")))
    };
    let server_key = key("server-key-of-this-test");
    secrets.keep("server key as sent", &server_key);

    let identity = identity_token(server.dev_provider().expect("it is on"), "ann").await;
    let identity = secrets.token("identity token", &identity);
    let custom = "/v2/account/authenticate/custom";
    let (status, session) = call(http, custom, &server_key, json!({ "id": identity })).await;
    assert_eq!(status, 200, "{session}");
    let token = secrets.token("session token", &session["token"]);
    let refresh = secrets.token("refresh token", &session["refresh_token"]);
    let bearer = format!("Bearer {token}");

    // Sign-ins and links that fail.
    let forged = secrets.keep("forged identity token", &format!("{}AAAA", &identity[..identity.len() - 4]));
    assert_eq!(call(http, custom, &server_key, json!({ "id": forged })).await.0, 401);
    assert_eq!(call(http, custom, SERVER_KEY, json!({ "id": identity })).await.0, 401);
    assert_eq!(call(http, "/v2/account/link/custom", &bearer, json!({ "id": forged })).await.0, 401);
    let email = json!({ "email": "ann@example.com", "password": "password-of-this-test" });
    secrets.keep("password", "password-of-this-test");
    assert_eq!(call(http, "/v2/account/authenticate/email", &server_key, email.clone()).await.0, 200);
    let wrong = json!({ "email": "ann@example.com", "password": secrets.keep("wrong password", "another-password") });
    assert_eq!(call(http, "/v2/account/authenticate/email", &server_key, wrong).await.0, 401);
    let device = json!({ "id": secrets.keep("device id", "device-id-of-this-test") });
    assert_eq!(call(http, "/v2/account/authenticate/device", &server_key, device).await.0, 200);

    // The query names a token, in every place where one may stand, and where none may.
    let rpc = call(http, "/v2/rpc/nothing?http_key=http-key-of-this-test", "", json!("x")).await;
    assert_eq!(rpc.0, 404, "{rpc:?}");
    call(http, &format!("/v2/nowhere?token={token}"), &bearer, Value::Null).await;
    call(http, &format!("//v2/session/ticket?token={token}"), &bearer, Value::Null).await;

    // Refreshes, good and bad.
    let (status, refreshed) = call(http, "/v2/account/session/refresh", &server_key, json!({ "token": refresh })).await;
    assert_eq!(status, 200, "{refreshed}");
    let newer = secrets.token("refreshed session token", &refreshed["token"]);
    secrets.token("refreshed refresh token", &refreshed["refresh_token"]);
    assert_eq!(call(http, "/v2/account/session/refresh", &server_key, json!({ "token": token })).await.0, 401);

    let with_identity = json!({ "token": refreshed["refresh_token"], "vars": { "idp.token": identity } });
    let (status, proved) = call(http, "/v2/account/session/refresh", &server_key, with_identity).await;
    assert_eq!(status, 200, "{proved}");
    secrets.token("session token after a new proof", &proved["token"]);

    // The routes for services: exchange, introspection, nonce, an admin's call.
    let exchange = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&\
                    subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt&subject_token=";
    let (status, granted) = form(http, "/oauth2/token", &server_key, &format!("{exchange}{identity}")).await;
    assert_eq!(status, 200, "{granted}");
    secrets.token("exchanged session token", &granted["access_token"]);
    assert_eq!(form(http, "/oauth2/token", &server_key, &format!("{exchange}{forged}")).await.0, 400);
    let asked = format!("token={token}");
    let (status, said) = form(http, "/v2/session/introspect", "Bearer service-key-of-this-test", &asked).await;
    assert_eq!((status, &said["active"]), (200, &json!(true)));
    assert_eq!(form(http, "/v2/session/introspect", &bearer, &asked).await.0, 401);
    let (status, nonce) = call(http, "/bridge/nonce", &server_key, Value::Null).await;
    assert_eq!(status, 200, "{nonce}");
    secrets.keep("nonce", text(&nonce["nonce"]));
    let (status, ended) = call(http, "/bridge/revoke", "Bearer admin-key-of-this-test", json!({ "x": token })).await;
    assert_eq!(status, 400, "{ended}");

    // Sockets: by token, by ticket, by what is neither, and a token in a message.
    let (status, answer) = call(http, "/v2/session/ticket", &bearer, Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    let ticket = secrets.keep("ticket", text(&answer["ticket"]));
    let mut socket = open_socket(http, &format!("ticket={ticket}"), &[]).await.expect("by ticket");
    assert_eq!(open_socket(http, &format!("ticket={ticket}"), &[]).await.err().expect("used").0, 401);
    let update = json!({ "cid": "1", "rpc": { "id": "session_update", "payload": newer } });
    let mut answer = socket.ask(update).await;
    while answer["cid"] != "1" {
        answer = socket.next().await;
    }
    assert!(answer["rpc"]["payload"].is_string(), "{answer}");
    let forged = secrets.keep("forged session token", &format!("{}AAAA", &newer[..newer.len() - 4]));
    socket.send(json!({ "cid": "2", "rpc": { "id": "session_update", "payload": forged } })).await;
    socket.send(json!({ "cid": "3", "match_join": { "token": newer } })).await;
    socket.send(json!({ "cid": newer, "nothing_known": newer })).await;
    while socket.next_frame().await.is_some_and(|frame| !frame.is_close()) {}
    let by_token = open_socket(http, &format!("token={token}"), &[]).await;
    assert!(by_token.is_ok(), "by token");
    assert_eq!(open_socket(http, &format!("token={forged}"), &[]).await.err().expect("forged").0, 401);
    assert_eq!(open_socket(http, &format!("token={token}&format=x"), &[]).await.err().expect("malformed").0, 400);

    // The sign-in page, a device, and other servers' calls.
    let challenge = challenge_of(secrets.keep("verifier", VERIFIER).as_str());
    let begin =
        format!("http://{http}/bridge/login?return_to={NATIVE}&state=state-of-this-test&code_challenge_method=S256");
    let mut browser = Browser::new();
    let asked = browser.get(&format!("{begin}&code_challenge={challenge}")).await.location.expect("the provider");
    secrets.keep("cookie", browser.cookie.as_deref().expect("a cookie"));
    secrets.keep("nonce", &query(&asked, "nonce"));
    let back = give_name(&mut browser, &asked, "eve").await;
    secrets.keep("provider's code", &query(&back, "code"));
    secrets.keep("state", &query(&back, "state"));
    let returned = browser.get(back.as_str()).await.location.expect("the game");
    let code = secrets.keep("code", &query(&returned, "code"));
    let (status, session) =
        call(http, "/bridge/session", &server_key, json!({ "code": code, "code_verifier": VERIFIER })).await;
    assert_eq!(status, 200, "{session}");
    secrets.token("session token of the page", &session["token"]);
    secrets.token("refresh token of the page", &session["refresh_token"]);
    let (status, device) = call(http, "/bridge/device_authorization", &server_key, json!({})).await;
    assert_eq!(status, 200, "{device}");
    secrets.keep("user code", text(&device["user_code"]));
    let device = secrets.keep("device code", text(&device["device_code"]));
    assert_eq!(call(http, "/bridge/session", &server_key, json!({ "device_code": device })).await.0, 400);

    // The end of it all.
    let logout = json!({ "token": token, "refresh_token": refresh });
    assert_eq!(call(http, "/v2/session/logout", &bearer, logout).await.0, 200);
    assert_eq!(call(http, "/v2/session/ticket", &bearer, Value::Null).await.0, 401);
    server.terminate();
    let log = server.log();
    assert!(log.contains("SessionTicket") && log.contains("DEBUG"), "the log is as fine as can be:\n{log}");
    for (what, secret) in &secrets.0 {
        assert!(!log.contains(secret.as_str()), "{what} is in the log:\n{log}");
    }
}
