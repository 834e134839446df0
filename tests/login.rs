//! The sign-in page at the wire: against the development provider as it should be, and against a provider, a browser and a network
//! that lie at each step (RFC 9700).

mod common;

use common::{
    SERVER_KEY, TestServer,
    issuer::Issuer,
    login::{
        Browser, NATIVE, PAGE, Provider, Seen, VERIFIER, challenge_of, fragment, give_name, query, redeem, sign_in,
        with_dev_provider,
    },
    text,
};
use kizuna::{clock::Clock, config::Config, net::provider::DevProvider};
use serde_json::{Value, json};

const STRANGE: &str = "was not begun in this browser";

/// A server whose one provider says what it is told.
async fn with_provider(change: impl FnOnce(&mut Config)) -> (TestServer, Provider) {
    let provider = Provider::start().await;
    let server = TestServer::start_with(|config| {
        provider.trusted_by(config);
        change(config);
    });
    (server.await, provider)
}

fn assert_refused(seen: &Seen, error: &str, why: &str) {
    let told = seen.location.as_ref().map(fragment);
    let told = told.unwrap_or_else(|| panic!("{why}: the game is told, not {seen:?}"));
    assert_eq!((query(&told, "error").as_str(), query(&told, "code").as_str()), (error, ""), "{why}");
    assert_eq!(query(&told, "state"), "of the game", "{why}");
}

#[tokio::test]
async fn a_web_game_gets_a_code_in_the_fragment_and_a_session_for_it() {
    let (server, _) = with_dev_provider().await;
    let page = sign_in(&server, PAGE, "ann").await;
    assert!(page.as_str().starts_with(&format!("{PAGE}#")) && page.query().is_none(), "{page}");
    let told = fragment(&page);
    assert_eq!(query(&told, "state"), "of the game");
    let code = query(&told, "code");
    let (status, session) = redeem(&server, &code, VERIFIER).await;
    assert_eq!((status, &session["created"]), (200, &json!(true)), "{session}");
    let bearer = format!("Bearer {}", text(&session["token"]));
    let (_, account) = server.call("GET", "/v2/account", &bearer, Value::Null).await;
    assert_eq!(account["custom_id"], DevProvider::subject("ann"));
    server.connect(text(&session["token"]), "json").await;
    assert_eq!(redeem(&server, &code, VERIFIER).await.0, 401, "a code is good once");
}

#[tokio::test]
async fn a_native_game_gets_its_code_in_the_query_of_any_port() {
    let (server, _) = with_dev_provider().await;
    let back = sign_in(&server, NATIVE, "ann").await;
    assert!(back.as_str().starts_with(&format!("{NATIVE}?code=")) && back.fragment().is_none(), "{back}");
    assert_eq!(redeem(&server, &query(&back, "code"), "another verifier").await.0, 401);
    let (status, answer) = redeem(&server, &query(&back, "code"), VERIFIER).await;
    assert_eq!(status, 401, "a wrong verifier uses the code up: {answer}");
    let (status, _) = server.call("POST", "/bridge/session", "", json!({ "code": "x", "code_verifier": "y" })).await;
    assert_eq!(status, 401, "games hold the server key");
}

#[tokio::test]
async fn a_code_has_its_minute() {
    let (server, clock) = with_dev_provider().await;
    let back = sign_in(&server, NATIVE, "ann").await;
    clock.advance_seconds(60);
    assert_eq!(redeem(&server, &query(&back, "code"), VERIFIER).await.0, 401);
}

#[tokio::test]
async fn who_was_at_the_provider_loses_no_code_to_the_limit_of_an_address() {
    let (server, provider) = with_provider(|config| {
        config.socket.sign_ins_per_address_per_min = 1;
        config.socket.sign_in_burst = 1;
    })
    .await;
    let guess = json!({ "email": "a@example.com", "password": "password" });
    for expected in [200, 429] {
        let (status, _) = server.call("POST", "/v2/account/authenticate/email", SERVER_KEY, guess.clone()).await;
        assert_eq!(status, expected);
    }
    let mut browser = Browser::new();
    let asked = browser.begin(&server, NATIVE).await;
    provider.gives(&provider.id_token(&query(&asked, "nonce"), &json!({})));
    let seen = browser.callback(&server, &[("code", "c"), ("state", &query(&asked, "state"))]).await;
    let (status, session) = redeem(&server, &query(&seen.location.expect("a redirect"), "code"), VERIFIER).await;
    assert_eq!(status, 200, "{session}");
}

#[tokio::test]
async fn an_answer_must_belong_to_a_sign_in_of_this_browser() {
    let (server, provider) = with_provider(|_| {}).await;
    let mut browser = Browser::new();
    let asked = browser.begin(&server, PAGE).await;
    let (state, good) = (query(&asked, "state"), browser.cookie.clone());
    let mut other = Browser::new();
    let state_of_other = query(&other.begin(&server, PAGE).await, "state");
    for (why, answer, cookie) in [
        ("no state", vec![("code", "c")], good.clone()),
        ("a wrong state", vec![("code", "c"), ("state", "guessed")], good.clone()),
        ("the state of another browser", vec![("code", "c"), ("state", state_of_other.as_str())], good.clone()),
        ("a state twice", vec![("code", "c"), ("state", state.as_str()), ("state", state.as_str())], good.clone()),
        ("no cookie", vec![("code", "c"), ("state", state.as_str())], None),
        ("the cookie of another browser", vec![("code", "c"), ("state", state.as_str())], other.cookie.clone()),
        ("a forged cookie", vec![("code", "c"), ("state", state.as_str())], Some("e30".into())),
        ("an error of no sign-in", vec![("error", "<script>")], good.clone()),
    ] {
        let mut browser = Browser::new();
        browser.cookie = cookie;
        let seen = browser.callback(&server, &answer).await;
        assert_eq!((seen.status, &seen.location), (400, &None), "{why}");
        assert!(!seen.body.contains("<script>"), "{why}");
    }
    assert!(provider.asked().is_empty(), "no code went to the provider");

    provider.gives(&provider.id_token(&query(&asked, "nonce"), &json!({})));
    let answer = [("code", "c"), ("state", state.as_str())];
    let seen = browser.callback(&server, &answer).await;
    assert_ne!(query(&fragment(&seen.location.expect("a redirect")), "code"), "");
    browser.cookie = good;
    let again = browser.callback(&server, &answer).await;
    assert!(again.status == 400 && again.body.contains(STRANGE), "a replay: {again:?}");
    assert_eq!(provider.asked().len(), 1);
}

#[tokio::test]
async fn one_address_cannot_finish_the_sign_ins_of_all() {
    let (server, _provider) = with_provider(|config| config.login.max_finished_per_address = 2).await;
    let finish = async |address: &str| {
        let mut browser = Browser::behind(address);
        let asked = browser.begin(&server, PAGE).await;
        let answer = [("error", "access_denied"), ("state", &query(&asked, "state"))];
        let seen = browser.callback(&server, &answer).await;
        (seen.status, seen.body)
    };
    for status in [303, 303, 429] {
        let (answered, body) = finish("192.0.2.1").await;
        assert_eq!(answered, status, "{body}");
        assert!(status == 303 || body.contains("Too many players sign in from this address"), "{body}");
    }
    assert_eq!(finish("192.0.2.2").await.0, 303, "the others go on");
    for (address, status) in
        [("2001:db8::1", 303), ("2001:db8::2", 303), ("2001:db8::3", 429), ("2001:db8:0:1::1", 303)]
    {
        assert_eq!(finish(address).await.0, status, "{address}: a network of 64 bits counts as one");
    }
}

#[tokio::test]
async fn a_sign_in_that_took_too_long_begins_anew() {
    let (server, clock) = with_dev_provider().await;
    let mut browser = Browser::new();
    let asked = browser.begin(&server, PAGE).await;
    let back = give_name(&mut browser, &asked, "ann").await;
    clock.advance_seconds(600);
    let seen = browser.get(back.as_str()).await;
    assert!(seen.status == 400 && seen.body.contains(STRANGE), "{seen:?}");
}

#[tokio::test]
async fn the_provider_is_shown_a_challenge_and_then_its_verifier() {
    let (server, provider) = with_provider(|config| config.login.client[0].client_secret = "s+cret".into()).await;
    let mut seen = Vec::new();
    for round in 0..2 {
        let mut browser = Browser::new();
        let asked = browser.begin(&server, PAGE).await;
        assert!(asked.as_str().starts_with(&format!("{}/authorize?", provider.name)), "{asked}");
        assert_eq!(query(&asked, "response_type"), "code");
        assert_eq!(query(&asked, "scope"), "openid");
        assert_eq!(query(&asked, "redirect_uri"), format!("{}/bridge/callback", server.base));
        assert_eq!(query(&asked, "code_challenge_method"), "S256");
        provider.gives(&provider.id_token(&query(&asked, "nonce"), &json!({})));
        browser.callback(&server, &[("code", "the code"), ("state", &query(&asked, "state"))]).await;
        let sent = provider.asked().remove(round);
        assert_eq!(query(&sent, "code"), "the code");
        assert_eq!(query(&sent, "redirect_uri"), query(&asked, "redirect_uri"));
        assert_eq!(challenge_of(&query(&sent, "code_verifier")), query(&asked, "code_challenge"));
        seen.extend(["state", "nonce", "code_challenge"].map(|name| query(&asked, name)));
    }
    assert!(seen.iter().all(|value| value.len() >= 43 && seen.iter().filter(|other| *other == value).count() == 1));
    let heads = provider.web.received();
    let token = heads.iter().find(|received| received.head.starts_with("POST /token")).expect("one");
    assert!(token.head.to_lowercase().contains("authorization: basic "), "the secret is no part of the body");
}

#[tokio::test]
async fn an_answer_that_names_another_issuer_goes_nowhere() {
    for (promised, iss, error) in [
        (false, Some("https://evil.example"), "access_denied"),
        (false, Some(""), ""),
        (true, None, "access_denied"),
        (true, Some("https://evil.example"), "access_denied"),
        (false, None, ""),
    ] {
        let (server, provider) = with_provider(|_| {}).await;
        provider.document.lock()["authorization_response_iss_parameter_supported"] = json!(promised);
        let mut browser = Browser::new();
        let asked = browser.begin(&server, PAGE).await;
        provider.gives(&provider.id_token(&query(&asked, "nonce"), &json!({})));
        let state = query(&asked, "state");
        let mut answer = vec![("code", "c"), ("state", state.as_str())];
        answer.extend(iss.map(|iss| ("iss", iss)));
        let told = fragment(&browser.callback(&server, &answer).await.location.expect("a redirect"));
        assert_eq!(query(&told, "error"), error, "{promised} {iss:?}");
        assert_eq!(provider.asked().is_empty(), !error.is_empty(), "the code goes to no wrong provider");
    }
}

/// From the nonce of a sign-in to an ID token that is wrong for it.
type Lie<'a> = Box<dyn Fn(&str) -> String + 'a>;

#[tokio::test]
async fn an_id_token_that_is_not_for_this_sign_in_is_refused() {
    let (server, provider) = with_provider(|_| {}).await;
    let now = Clock::system().unix_seconds();
    let stranger = Issuer::new(Box::leak(provider.name.clone().into_boxed_str()));
    let claims = json!({ "aud": "game-client", "token_use": "id", "iss": provider.name, "sub": "subject-one" });
    let id_token = |nonce: &str, change: Value| provider.id_token(nonce, &change);
    let lies: Vec<(&str, Lie<'_>)> = vec![
        ("a wrong nonce", Box::new(|_| id_token("another", json!({})))),
        ("no nonce", Box::new(|nonce| id_token(nonce, json!({ "nonce": null })))),
        ("a nonce that is no text", Box::new(|nonce| id_token(nonce, json!({ "nonce": [nonce] })))),
        ("a stranger's audience", Box::new(|nonce| id_token(nonce, json!({ "aud": "stranger" })))),
        ("another client's audience", Box::new(|nonce| id_token(nonce, json!({ "aud": "another-client" })))),
        (
            "two audiences, no party",
            Box::new(|nonce| id_token(nonce, json!({ "aud": ["game-client", "another-client"] }))),
        ),
        ("another party", Box::new(|nonce| id_token(nonce, json!({ "azp": "another-client" })))),
        ("another issuer", Box::new(|nonce| id_token(nonce, json!({ "iss": "https://evil.example" })))),
        ("an access token", Box::new(|nonce| id_token(nonce, json!({ "token_use": "access" })))),
        ("an expired token", Box::new(|nonce| id_token(nonce, json!({ "iat": now - 900, "exp": now - 600 })))),
        (
            "another's signature",
            Box::new(|nonce| {
                stranger.token("subject-one", &json!({ "aud": "game-client", "token_use": "id", "nonce": nonce }))
            }),
        ),
        ("no algorithm", Box::new(|_| provider.issuer.seal(&json!({ "kid": "rsa", "alg": "none" }), &claims))),
        ("no token", Box::new(|_| "token".to_owned())),
    ];
    for (why, lie) in &lies {
        let mut browser = Browser::new();
        let asked = browser.begin(&server, PAGE).await;
        provider.gives(&lie(&query(&asked, "nonce")));
        let seen = browser.callback(&server, &[("code", "c"), ("state", &query(&asked, "state"))]).await;
        assert_refused(&seen, "access_denied", why);
    }
    let metrics = server.metrics().await;
    assert!(
        metrics.contains(&format!("kizuna_login_page_total{{kind=\"failed\"}} {}", lies.len())),
        "they are counted"
    );
    let folder = server.stop().await;
    let log = std::fs::read_to_string(folder.path().join("audit.log")).expect("the log");
    assert_eq!(log.matches("\"event\":\"identity_refused\"").count(), lies.len(), "and written down: {log}");
}

#[tokio::test]
async fn a_token_endpoint_that_misbehaves_signs_nobody_in() {
    let (server, provider) = with_provider(|config| {
        config.login.timeout_ms = 500;
        config.login.max_response_bytes = 10_000;
    })
    .await;
    let good = json!({ "access_token": "at", "token_type": "Bearer" });
    let denied = json!({ "error": "invalid_grant", "error_description": "<script>" });
    for (why, says, error) in [
        ("it refuses the code", Some((400, denied.to_string())), "access_denied"),
        ("it refuses us", Some((401, json!({ "error": "invalid_client" }).to_string())), "temporarily_unavailable"),
        ("it fails", Some((500, denied.to_string())), "temporarily_unavailable"),
        ("it leads elsewhere", Some((302, String::new())), "temporarily_unavailable"),
        ("it is no JSON", Some((200, "<html>".to_owned())), "temporarily_unavailable"),
        ("it is empty", Some((200, String::new())), "temporarily_unavailable"),
        ("it is huge", Some((200, format!("{{\"x\":\"{}\"}}", "x".repeat(20_000)))), "temporarily_unavailable"),
        ("it gives no ID token", Some((200, good.to_string())), "access_denied"),
        ("it never answers", None, "temporarily_unavailable"),
    ] {
        let mut browser = Browser::new();
        let asked = browser.begin(&server, PAGE).await;
        *provider.tokens.lock() = says;
        let seen = browser.callback(&server, &[("code", "c"), ("state", &query(&asked, "state"))]).await;
        assert_refused(&seen, error, why);
    }
}

#[tokio::test]
async fn a_player_who_says_no_is_told_to_the_game() {
    let (server, provider) = with_provider(|_| {}).await;
    let mut browser = Browser::new();
    let asked = browser.begin(&server, NATIVE).await;
    let answer = [("error", "access_denied"), ("state", &query(&asked, "state")), ("error_description", "<b>")];
    let seen = browser.callback(&server, &answer).await;
    let back = seen.location.expect("a redirect");
    assert_eq!((query(&back, "error").as_str(), query(&back, "state").as_str()), ("access_denied", "of the game"));
    assert!(back.as_str().starts_with(NATIVE) && !back.as_str().contains("%3Cb"), "{back}");
    assert!(provider.asked().is_empty());
}

#[tokio::test]
async fn nobody_is_sent_to_an_address_that_is_not_listed() {
    let (server, provider) = with_provider(|_| {}).await;
    for bad in [
        "https://evil.example/",
        "//evil.example/play",
        "http://127.0.0.1:5173/play/../evil",
        "http://127.0.0.1:5173/play?next=https://evil.example",
        "http://127.0.0.1:5173@evil.example/play",
        "javascript:alert(1)",
        "http://127.0.0.1:41234/other",
        "",
    ] {
        let seen = Browser::new().try_begin(&server, &[("return_to", bad)]).await;
        assert_eq!((seen.status, &seen.location), (400, &None), "{bad}");
        assert!(!seen.body.contains("evil"), "{bad}");
    }
    for (name, value) in [("code_challenge", ""), ("code_challenge", "short"), ("code_challenge_method", "plain")] {
        let seen = Browser::new().try_begin(&server, &[(name, value)]).await;
        assert_eq!((seen.status, &seen.location), (400, &None), "{name}={value}");
    }
    assert_eq!(Browser::new().try_begin(&server, &[("client", "other")]).await.status, 404);
    assert!(provider.web.received().is_empty());
}

#[tokio::test]
async fn discovery_that_lies_about_its_issuer_leads_nowhere() {
    for (name, value) in [
        ("issuer", "https://evil.example"),
        ("authorization_endpoint", "http://evil.example/authorize"),
        ("token_endpoint", "javascript:alert(1)"),
    ] {
        let (server, provider) = with_provider(|_| {}).await;
        provider.document.lock()[name] = json!(value);
        let seen = Browser::new().try_begin(&server, &[]).await;
        assert_eq!((seen.status, &seen.location), (503, &None), "{name}");
    }
}

#[tokio::test]
async fn without_a_provider_there_is_no_page() {
    let server = TestServer::start().await;
    for path in ["/bridge/login", "/bridge/callback", "/bridge/device"] {
        assert_eq!(server.call("GET", path, "", Value::Null).await.0, 404, "{path}");
    }
    for path in ["/bridge/session", "/bridge/device_authorization"] {
        assert_eq!(server.call("POST", path, SERVER_KEY, json!({})).await.0, 404, "{path}");
    }
}

async fn device(server: &TestServer) -> (Value, String) {
    let (status, begun) = server.call("POST", "/bridge/device_authorization", SERVER_KEY, json!({})).await;
    assert_eq!(status, 200, "{begun}");
    let code = text(&begun["user_code"]).to_owned();
    (begun, code)
}

async fn poll(server: &TestServer, begun: &Value) -> Value {
    let body = json!({ "device_code": begun["device_code"] });
    server.call("POST", "/bridge/session", SERVER_KEY, body).await.1
}

#[tokio::test]
async fn a_device_shows_a_code_and_waits_for_its_player() {
    let (server, clock) = with_dev_provider().await;
    let (begun, code) = device(&server).await;
    assert_eq!(text(&begun["verification_uri"]), format!("{}/bridge/device", server.base));
    assert_eq!(poll(&server, &begun).await["error"], "authorization_pending");
    assert_eq!(poll(&server, &begun).await["error"], "slow_down", "five seconds lie between two questions");
    clock.advance_seconds(5);
    assert_eq!(poll(&server, &begun).await["error"], "slow_down", "and five more from then on");
    clock.advance_seconds(15);
    assert_eq!(poll(&server, &begun).await["error"], "authorization_pending");

    let (mut browser, page) = (Browser::new(), format!("{}/bridge/device", server.base));
    let typed = code.replace('-', "").to_lowercase();
    let asks = browser.post(&page, &server.base, &[("user_code", &typed)]).await;
    assert!(asks.status == 200 && asks.body.contains(&code) && asks.location.is_none(), "{asks:?}");
    let foreign = browser.post(&page, "https://evil.example", &[("user_code", &typed), ("confirm", "yes")]).await;
    assert_eq!((foreign.status, foreign.location), (403, None), "another site cannot sign its device in");
    let sent = browser.post(&page, &server.base, &[("user_code", &typed), ("confirm", "yes")]).await;
    let back = give_name(&mut browser, &sent.location.expect("a redirect"), "ann").await;
    let done = browser.get(back.as_str()).await;
    assert!(done.status == 200 && done.body.contains("You are signed in"), "{done:?}");

    clock.advance_seconds(15);
    let session = poll(&server, &begun).await;
    let bearer = format!("Bearer {}", text(&session["token"]));
    assert_eq!(
        server.call("GET", "/v2/account", &bearer, Value::Null).await.1["custom_id"],
        DevProvider::subject("ann")
    );
    assert_eq!(poll(&server, &begun).await["error"], "expired_token", "a device has its session once");
    let again = browser.post(&page, &server.base, &[("user_code", &typed)]).await;
    assert_eq!(again.status, 404, "and its code is used up");
}

#[tokio::test]
async fn a_device_learns_that_its_player_said_no_or_did_not_come() {
    let (server, provider) = with_provider(|_| {}).await;
    let (begun, code) = device(&server).await;
    let mut browser = Browser::new();
    let form = [("user_code", code.as_str()), ("confirm", "yes")];
    let sent = browser.post(&format!("{}/bridge/device", server.base), &server.base, &form).await;
    let state = query(&sent.location.expect("a redirect"), "state");
    let seen = browser.callback(&server, &[("error", "access_denied"), ("state", &state)]).await;
    assert_eq!((seen.status, seen.location), (403, None));
    assert_eq!(poll(&server, &begun).await["error"], "access_denied");
    assert!(provider.asked().is_empty());

    let (server, clock) = with_dev_provider().await;
    let (begun, _) = device(&server).await;
    clock.advance_seconds(600);
    assert_eq!(poll(&server, &begun).await["error"], "expired_token");
}

#[tokio::test]
async fn device_codes_cannot_be_tried_out() {
    let (server, clock) = with_dev_provider().await;
    let (_, code) = device(&server).await;
    let (mut browser, page) = (Browser::new(), format!("{}/bridge/device", server.base));
    for _ in 0..10 {
        assert_eq!(browser.post(&page, &server.base, &[("user_code", "BBBB-BBBB")]).await.status, 404);
    }
    let right = [("user_code", code.as_str())];
    assert_eq!(browser.post(&page, &server.base, &right).await.status, 429, "not even the right one");
    clock.advance_seconds(60);
    assert_eq!(browser.post(&page, &server.base, &right).await.status, 200);
}
