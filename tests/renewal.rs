//! How long a session lasts that came by the sign-in page: as long as its provider renews it, whoever goes away meanwhile.

mod common;

use common::{
    TestServer,
    login::{Browser, NATIVE, Provider, VERIFIER, query, redeem, refresh, session_of, with_dev_provider},
    text,
};
use kizuna::{
    clock::{Clock, Entropy},
    config::Config,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const ADMIN_KEY: &str = "an-admin-key-of-32-characters-ok";

#[tokio::test]
async fn a_session_lasts_as_long_as_the_provider_renews_it() {
    let (server, clock) = with_dev_provider().await;
    let session = session_of(&server, "ann").await;
    let stranger = session_of(&server, "bob").await;
    let mut socket = server.connect(text(&session["token"]), "json").await;
    let mut other = server.connect(text(&stranger["token"]), "json").await;
    clock.advance_seconds(301);
    let (status, renewed) = refresh(&server, &session).await;
    assert_eq!(status, 200, "{renewed}");
    clock.advance_seconds(301);
    let (status, renewed) = refresh(&server, &renewed).await;
    assert_eq!(status, 200, "the next refresh token was kept: {renewed}");

    let provider = server.running.provider().expect("it is on").issuer().to_owned();
    let disabled = Browser::new().post(&format!("{provider}/disable"), &provider, &[("user", "ann")]).await;
    assert_eq!(disabled.status, 200, "{}", disabled.body);
    clock.advance_seconds(301);
    let (status, fresh) = refresh(&server, &renewed).await;
    assert_eq!(status, 401, "{fresh}");
    assert_eq!(refresh(&server, &renewed).await.0, 401, "it is over for good");
    assert_eq!(refresh(&server, &session).await.0, 401, "with all its earlier tokens");
    assert_eq!(socket.next_close().await, (4402, "session revoked".into()));
    assert_eq!(refresh(&server, &stranger).await.0, 200, "another player plays on");
    assert_eq!(other.ask(json!({ "cid": "1", "ping": {} })).await, json!({ "cid": "1", "pong": {} }));
    let folder = server.stop().await;
    let log = std::fs::read_to_string(folder.path().join("audit.log")).expect("the log");
    assert!(log.contains("\"source\":\"provider\""), "{log}");
    assert!(log.contains("\"event\":\"refresh_refused\",\"user_id\":"), "{log}");
}

#[tokio::test]
async fn of_too_many_sign_ins_that_are_renewed_the_oldest_ends_with_its_sockets() {
    let clock = Clock::manual(Clock::system().unix_seconds());
    let (time, folder) = (clock.clone(), tempfile::tempdir().expect("a folder"));
    let change = |config: &mut Config| {
        config.dev_provider.enabled = true;
        config.login.max_sign_ins_per_user = 2;
    };
    let server = TestServer::start_built(folder, change, |server| server.with_time(time, Entropy::system())).await;
    let oldest = session_of(&server, "ann").await;
    let mut socket = server.connect(text(&oldest["token"]), "json").await;
    clock.advance_seconds(1);
    let second = session_of(&server, "ann").await;
    clock.advance_seconds(1);
    session_of(&server, "ann").await;
    assert_eq!(socket.next_close().await, (4402, "session revoked".into()));
    assert_eq!(refresh(&server, &oldest).await.0, 401);
    assert_eq!(refresh(&server, &second).await.0, 200);
}

/// One request to a token endpoint, and the stream that waits for its answer.
async fn token_request(listener: &TcpListener) -> (String, TcpStream) {
    let (mut stream, _) = listener.accept().await.expect("the server asks");
    let mut request = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut request).await.expect("a request"), 0, "it is all there");
        let text = String::from_utf8_lossy(&request).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if length == Some(body.len()) {
            return (body.to_owned(), stream);
        }
    }
}

async fn answer_tokens(mut stream: TcpStream, tokens: &Value) {
    let mut body = json!({ "access_token": "at", "token_type": "Bearer" });
    body.as_object_mut().expect("an object").extend(tokens.as_object().expect("an object").clone());
    let body = body.to_string();
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.expect("it is read");
}

#[tokio::test]
async fn a_client_that_goes_away_during_a_renewal_does_not_lose_its_session() {
    let (provider, endpoint) = (Provider::start().await, TcpListener::bind("127.0.0.1:0").await.expect("a port"));
    let address = endpoint.local_addr().expect("bound");
    let clock = Clock::manual(Clock::system().unix_seconds());
    let (time, folder) = (clock.clone(), tempfile::tempdir().expect("a folder"));
    let change = |config: &mut Config| {
        provider.trusted_by(config);
        let client = &mut config.login.client[0];
        client.renew = true;
        client.authorization_endpoint = format!("http://{address}/authorize");
        client.token_endpoint = format!("http://{address}/token");
    };
    let server = TestServer::start_built(folder, change, |server| server.with_time(time, Entropy::system())).await;
    let mut browser = Browser::new();
    let asked = browser.begin(&server, NATIVE).await;
    let id_token = provider.id_token(&query(&asked, "nonce"), &json!({}));
    let exchange = async {
        let (_, stream) = token_request(&endpoint).await;
        answer_tokens(stream, &json!({ "id_token": id_token, "refresh_token": "first" })).await;
    };
    let answer = [("code", "c"), ("state", &query(&asked, "state"))];
    let (seen, ()) = tokio::join!(browser.callback(&server, &answer), exchange);
    let (_, session) = redeem(&server, &query(&seen.location.expect("a redirect"), "code"), VERIFIER).await;

    clock.advance_seconds(301);
    let (form, stream) = tokio::select! {
        asked = token_request(&endpoint) => asked,
        (status, answer) = refresh(&server, &session) => panic!("answered before the provider was: {status} {answer}"),
    };
    assert!(form.contains("refresh_token=first"), "{form}");
    // The client is gone; by the time that the server has answered others it has seen that.
    for _ in 0..10 {
        server.metrics().await;
    }
    answer_tokens(stream, &json!({ "refresh_token": "second" })).await;
    let (status, session) = refresh(&server, &session).await;
    assert_eq!(status, 200, "it waits for the renewal that is under way, and asks for no other: {session}");
    clock.advance_seconds(301);
    let again = async {
        let (form, stream) = token_request(&endpoint).await;
        assert!(form.contains("refresh_token=second"), "{form}");
        answer_tokens(stream, &json!({})).await;
    };
    let ((status, answer), ()) = tokio::join!(refresh(&server, &session), again);
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn while_the_provider_is_down_sessions_have_a_grace() {
    let provider = Provider::start().await;
    let clock = Clock::manual(Clock::system().unix_seconds());
    let (time, folder) = (clock.clone(), tempfile::tempdir().expect("a folder"));
    let change = |config: &mut Config| {
        provider.trusted_by(config);
        config.login.client[0].renew = true;
        config.session.refresh_token_expiry_sec = 86_400;
    };
    let server = TestServer::start_built(folder, change, |server| server.with_time(time, Entropy::system())).await;
    let mut browser = Browser::new();
    let asked = browser.begin(&server, NATIVE).await;
    let id_token = provider.id_token(&query(&asked, "nonce"), &json!({}));
    let secret = "the-refresh-token-of-the-provider";
    let tokens = json!({ "access_token": "at", "token_type": "Bearer", "id_token": id_token, "refresh_token": secret });
    provider.says(200, &tokens);
    let seen = browser.callback(&server, &[("code", "c"), ("state", &query(&asked, "state"))]).await;
    let (_, session) = redeem(&server, &query(&seen.location.expect("a redirect"), "code"), VERIFIER).await;

    clock.advance_seconds(299);
    let (_, session) = refresh(&server, &session).await;
    assert_eq!(provider.asked().len(), 1, "the provider is asked every now and then only");
    provider.says(500, &json!({ "error": "invalid_grant" }));
    clock.advance_seconds(2);
    let (status, session) = refresh(&server, &session).await;
    assert_eq!(status, 200, "within the grace: {session}");
    assert_eq!(query(&provider.asked()[1], "refresh_token"), secret);
    clock.advance_seconds(900);
    let (status, answer) = refresh(&server, &session).await;
    assert_eq!((status, &answer["code"]), (503, &json!(14)), "{answer}");

    let other = provider.id_token("n", &json!({ "sub": "subject-two" }));
    provider.says(200, &json!({ "access_token": "at", "token_type": "Bearer", "refresh_token": "next" }));
    let (status, session) = refresh(&server, &session).await;
    assert_eq!(status, 200, "some providers give no ID token here: {session}");
    clock.advance_seconds(301);
    provider.says(200, &json!({ "access_token": "at", "token_type": "Bearer", "id_token": other }));
    assert_eq!(refresh(&server, &session).await.0, 401, "another player's token ends it");
    assert_eq!(query(provider.asked().last().expect("one"), "refresh_token"), "next");

    let folder = server.stop().await;
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder.path()).expect("the folder") {
        files.push(std::fs::read(entry.expect("an entry").path()).unwrap_or_default());
    }
    let holds = |file: &Vec<u8>, text: &str| file.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(files.iter().any(|file| holds(file, "kizuna_provider_session")), "the database is among them");
    assert!(!files.iter().any(|file| holds(file, secret)), "no refresh token lies there in the clear");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let key = std::fs::metadata(folder.path().join("login.key")).expect("the key file");
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
    }
}

/// A server whose provider gives refresh tokens, a clock in the test's hand, and a way to a session.
struct Renewed {
    server: TestServer,
    provider: Provider,
    clock: Clock,
}

impl Renewed {
    async fn new() -> Self {
        let provider = Provider::start().await;
        let clock = Clock::manual(Clock::system().unix_seconds());
        let (time, folder) = (clock.clone(), tempfile::tempdir().expect("a folder"));
        let change = |config: &mut Config| {
            provider.trusted_by(config);
            config.login.client[0].renew = true;
            config.session.refresh_token_expiry_sec = 86_400;
            config.bridge.admin_key = ADMIN_KEY.into();
        };
        let server = TestServer::start_built(folder, change, |server| server.with_time(time, Entropy::system())).await;
        Self { server, provider, clock }
    }

    async fn session(&self) -> Value {
        let mut browser = Browser::new();
        let asked = browser.begin(&self.server, NATIVE).await;
        let now = self.clock.unix_seconds();
        let signed_in = json!({ "sid": "a-sign-in", "iat": now, "exp": now + 600 });
        let id_token = self.provider.id_token(&query(&asked, "nonce"), &signed_in);
        self.provider.says(
            200,
            &json!({ "access_token": "at", "token_type": "Bearer", "id_token": id_token, "refresh_token": "first" }),
        );
        let seen = browser.callback(&self.server, &[("code", "c"), ("state", &query(&asked, "state"))]).await;
        let code = query(&seen.location.expect("a redirect"), "code");
        let (status, session) = redeem(&self.server, &code, VERIFIER).await;
        assert_eq!(status, 200, "{session}");
        session
    }

    /// How many refresh tokens of the provider lie in the database.
    fn kept(&self) -> i64 {
        let database = self.server.folder.path().join("kizuna.db");
        let database = rusqlite::Connection::open(database).expect("opens");
        database.query_row("SELECT count(*) FROM kizuna_provider_session", [], |row| row.get(0)).expect("a number")
    }

    async fn ends(&self, by: &str, session: &Value) {
        let bearer = format!("Bearer {}", text(&session["token"]));
        let admin = format!("Bearer {ADMIN_KEY}");
        let (path, authorization, body) = match by {
            "a log-out" => {
                let tokens = json!({ "token": session["token"], "refresh_token": session["refresh_token"] });
                ("/v2/session/logout", bearer, tokens)
            }
            "a log-out everywhere" => ("/v2/session/logout", bearer, json!({})),
            "the end of the player" => ("/bridge/revoke", admin, json!({ "entry": "pool", "subject": "subject-one" })),
            "the end of the sign-in" => ("/bridge/revoke", admin, json!({ "entry": "pool", "family": "a-sign-in" })),
            _ => ("/bridge/revoke", admin, json!({ "issuer": self.provider.name })),
        };
        let (status, answer) = self.server.call("POST", path, &authorization, body).await;
        assert_eq!(status, 200, "{by}: {answer}");
    }
}

#[tokio::test]
async fn whoever_ends_a_session_ends_what_is_kept_of_the_provider_for_it() {
    let world = Renewed::new().await;
    for by in [
        "a log-out",
        "a log-out everywhere",
        "the end of the player",
        "the end of the sign-in",
        "the end of the issuer",
    ] {
        world.clock.advance_seconds(1);
        let session = world.session().await;
        assert_eq!(world.kept(), 1, "{by}");
        world.ends(by, &session).await;
        assert_eq!(world.kept(), 0, "{by}");
    }
}

#[tokio::test]
async fn a_refresh_token_that_was_used_before_never_reaches_the_provider() {
    let world = Renewed::new().await;
    let session = world.session().await;
    let (status, next) = refresh(&world.server, &session).await;
    assert_eq!(status, 200, "{next}");
    world.clock.advance_seconds(301);
    let asked = world.provider.asked().len();
    assert_eq!(refresh(&world.server, &session).await.0, 401, "stolen");
    assert_eq!(world.provider.asked().len(), asked, "the provider's refresh token was not spent on it");
    assert_eq!((refresh(&world.server, &next).await.0, world.kept()), (401, 0), "the session is ended");
}

#[tokio::test]
async fn a_provider_that_is_down_does_not_use_a_refresh_token_up() {
    let world = Renewed::new().await;
    let session = world.session().await;
    world.clock.advance_seconds(2_000);
    world.provider.says(500, &json!({}));
    for _ in 0..2 {
        assert_eq!(refresh(&world.server, &session).await.0, 503);
        world.clock.advance_seconds(60);
    }
    world.provider.says(200, &json!({ "access_token": "at", "token_type": "Bearer", "refresh_token": "next" }));
    assert_eq!(refresh(&world.server, &session).await.0, 200);
}
