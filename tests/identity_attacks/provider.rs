//! The development identity provider over a real socket, and what its tokens are to the bridge. Its code flow
//! is in `tests/dev_provider.rs`, and row 21, the sign-in page against providers that lie, in `tests/login.rs`.

use kizuna::{
    clock::{Clock, Entropy},
    config::{self, AccountId, Audience, AudienceClaim, Identity, KeySource, TokenType, TrustEntry},
    identity::{Metrics, Reason, Verifier},
    net::provider::{CLIENT_ID, DevProvider, TokenUse, bind, serve},
};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, LazyLock},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

const NOW: i64 = 1_800_000_000;

/// Keys made once for all tests: making them is the slow part.
static KEYS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a folder");
    let settings = config::DevProvider::default();
    let address = "127.0.0.1:1".parse().expect("an address");
    DevProvider::load_or_create(dir.path(), Clock::system(), Entropy::system(), &settings, address).expect("keys");
    std::fs::read(dir.path().join("keys.pem")).expect("written")
});

fn open(dir: &Path, address: SocketAddr) -> DevProvider {
    if !dir.join("keys.pem").exists() {
        std::fs::write(dir.join("keys.pem"), &*KEYS).expect("written");
    }
    let settings = config::DevProvider::default();
    DevProvider::load_or_create(dir, Clock::manual(NOW), Entropy::seeded(1), &settings, address).expect("keys")
}

/// A provider on a free port.
struct Running {
    provider: Arc<DevProvider>,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
    _dir: tempfile::TempDir,
}

impl Running {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let listener = bind("127.0.0.1:0".parse().expect("an address")).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let provider = Arc::new(open(dir.path(), address).with_server("http://127.0.0.1:7350", "defaultkey"));
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(listener, Arc::clone(&provider), async move {
            let _ = stopped.await;
        }));
        Self { provider, address, stop, task, _dir: dir }
    }

    /// One request as written; the status and the rest.
    async fn raw(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.expect("listening");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        let status = answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, answer)
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.raw(&format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address)).await
    }

    async fn post(&self, path: &str, headers: &str, body: &str) -> (u16, String) {
        let head = format!("POST {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}", self.address);
        self.raw(&format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await
    }

    async fn json(&self, answer: impl Future<Output = (u16, String)>) -> Value {
        let (status, answer) = answer.await;
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str(body_of(&answer)).expect("JSON")
    }

    fn bridge(&self, others: &Identity) -> Arc<Verifier> {
        let trusted = self.provider.trusted(others);
        Verifier::new(others, &trusted, Clock::manual(NOW), Metrics::default()).expect("starts")
    }
}

fn body_of(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[tokio::test]
async fn a_name_gets_cognito_shaped_tokens_that_the_bridge_accepts() {
    let running = Running::start().await;
    let tokens = running.json(running.post("/token", "", "user=alice&use=id")).await;
    let bridge = running.bridge(&Identity::default());
    let access = bridge.verify(tokens["access_token"].as_str().expect("a token")).await.expect("good");
    let id = bridge.verify(tokens["id_token"].as_str().expect("a token")).await.expect("good");
    assert_eq!(tokens["token"], tokens["id_token"], "the one that was asked for");
    assert_eq!((&*access.entry, &*id.entry), ("dev", "dev-id"));
    assert_eq!(access.account_id, id.account_id, "one name, one account");
    assert_eq!(access.account_id, DevProvider::subject("alice"));
    assert_ne!(access.account_id, DevProvider::subject("bob"));
    assert_eq!((access.claims["client_id"].as_str(), access.claims.get("aud")), (Some(CLIENT_ID), None));
    assert_eq!((id.claims["aud"].as_str(), id.claims.get("client_id")), (Some(CLIENT_ID), None));
    assert_eq!((&access.claims["username"], &id.claims["cognito:username"]), (&json!("alice"), &json!("alice")));
    assert_eq!(access.expires_at, NOW + 3_600);
}

#[tokio::test]
async fn a_token_can_be_asked_for_by_form_json_or_query_and_as_text() {
    let running = Running::start().await;
    let bridge = running.bridge(&Identity::default());
    let json_type = "content-type: application/json\r\n";
    for answer in [
        running
            .post("/token", "content-type: application/x-www-form-urlencoded\r\n", "user=Zo%C3%AB+B&format=text")
            .await,
        running.post("/token?user=Zo%C3%AB%20B&format=text", "", "").await,
        running.post("/token", json_type, r#"{"user":"Zoë B","use":"access","ttl":60,"format":"text"}"#).await,
    ] {
        assert_eq!(answer.0, 200, "{}", answer.1);
        let identity = bridge.verify(body_of(&answer.1)).await.expect("a bare token");
        assert_eq!(identity.subject, DevProvider::subject("Zoë B"));
    }
    for (path, body) in
        [("/token", ""), ("/token", "user=a&use=refresh"), ("/token", "user=a&ttl=0"), ("/token?user=a%00b", "")]
    {
        let (status, answer) = running.post(path, "", body).await;
        assert_eq!(status, 400, "{answer}");
    }
    assert_eq!(running.post("/token", "", &format!("user={}", "x".repeat(17_000))).await.0, 400);
    assert_eq!(running.get("/token?user=alice").await.0, 405, "a link cannot make a token");
}

#[tokio::test]
async fn discovery_leads_to_two_keys_and_the_bridge_can_use_them_over_http() {
    let running = Running::start().await;
    let discovery = running.json(running.get("/.well-known/openid-configuration")).await;
    let issuer = format!("http://{}", running.address);
    assert_eq!(discovery["issuer"], issuer);
    assert_eq!(discovery["jwks_uri"], format!("{issuer}/.well-known/jwks.json"));
    let set = running.json(running.get("/.well-known/jwks.json")).await;
    let keys = set["keys"].as_array().expect("a list");
    assert_eq!(keys.len(), 2, "ID and access tokens have keys of their own");
    assert!(keys.iter().all(|key| key["kid"].as_str().is_some_and(|kid| kid.len() == 44)));
    assert!(keys.iter().all(|key| key.get("d").is_none()), "no private part");
    let entry = TrustEntry {
        name: "over-http".into(),
        issuers: vec![issuer],
        jwks: KeySource::Url(String::new()),
        audience: Audience { claim: AudienceClaim::ClientId, any_of: vec![CLIENT_ID.into()] },
        token_type: TokenType { claim: "token_use".into(), equals: "access".into(), ..TokenType::default() },
        ..TrustEntry::default()
    };
    let config = Identity { trust: vec![entry], jwks_allow_loopback_http: true, ..Identity::default() };
    let bridge = Verifier::new(&config, &[], Clock::manual(NOW), Metrics::default()).expect("starts");
    let token = running.provider.mint("alice", TokenUse::Access, None).expect("a token");
    bridge.verify(&token).await.expect("good");
}

#[tokio::test]
async fn rotation_makes_new_keys_and_keeps_the_old_ones_published() {
    let running = Running::start().await;
    let bridge = running.bridge(&Identity::default());
    let old = running.provider.mint("alice", TokenUse::Access, None).expect("a token");
    let set = running.json(running.post("/rotate", "", "")).await;
    assert_eq!(set["keys"].as_array().map(Vec::len), Some(4));
    let new = running.provider.mint("alice", TokenUse::Access, None).expect("a token");
    assert_ne!(old.split('.').next(), new.split('.').next(), "another key id");
    let (old, new) = (bridge.verify(&old).await.expect("old"), bridge.verify(&new).await.expect("new"));
    assert_eq!(old.account_id, new.account_id);
    assert_eq!(running.get("/rotate").await.0, 405);
}

#[tokio::test]
async fn keys_survive_a_restart_and_only_their_owner_can_read_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let address = "127.0.0.1:7352".parse().expect("an address");
    let settings = config::DevProvider::default();
    let first = DevProvider::load_or_create(dir.path(), Clock::manual(NOW), Entropy::seeded(3), &settings, address);
    let token = first.expect("makes keys").mint("alice", TokenUse::Id, Some(60)).expect("a token");
    let again = open(dir.path(), address);
    let identity = Identity::default();
    let bridge =
        Verifier::new(&identity, &again.trusted(&identity), Clock::manual(NOW), Metrics::default()).expect("starts");
    bridge.verify(&token).await.expect("signed before the restart");
    // Another process mints with the same keys and issuer, even when the port was a free one.
    let free_port = config::DevProvider { port: 0, ..config::DevProvider::default() };
    let minting =
        DevProvider::for_minting(dir.path(), Clock::manual(NOW), Entropy::seeded(2), &free_port).expect("opens");
    bridge.verify(&minting.mint("alice", TokenUse::Access, None).expect("a token")).await.expect("good");
    #[cfg(unix)]
    {
        let file = std::fs::metadata(dir.path().join("keys.pem")).expect("written");
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&file.permissions()) & 0o777, 0o600);
    }
}

#[tokio::test]
async fn it_is_never_startable_off_loopback() {
    for address in ["0.0.0.0:0", "192.0.2.1:0", "[::]:0"] {
        let address: SocketAddr = address.parse().expect("an address");
        bind(address).await.expect_err("not loopback");
        let dir = tempfile::tempdir().expect("a folder");
        let settings = config::DevProvider::default();
        DevProvider::load_or_create(dir.path(), Clock::system(), Entropy::system(), &settings, address)
            .expect_err("not loopback");
    }
    let dir = tempfile::tempdir().expect("a folder");
    let provider = Arc::new(open(dir.path(), "127.0.0.1:1".parse().expect("an address")));
    let open_to_all = tokio::net::TcpListener::bind("0.0.0.0:0").await.expect("a port");
    serve(open_to_all, provider, std::future::pending())
        .await
        .expect_err("a listener of somebody else's is judged too");
}

#[tokio::test]
async fn who_comes_by_a_foreign_name_or_from_a_foreign_page_is_refused() {
    let running = Running::start().await;
    for host in ["evil.example", "127.0.0.1.evil.example", "evil.example:80"] {
        let (status, _) = running.raw(&format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await;
        assert_eq!(status, 403, "{host}");
    }
    assert_eq!(running.raw("GET / HTTP/1.0\r\n\r\n").await.0, 403, "no Host at all");
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost"] {
        let (status, _) = running.post("/token", &format!("origin: {origin}\r\n"), "user=alice").await;
        assert_eq!(status, 403, "{origin}");
        assert_eq!(running.post("/rotate", &format!("origin: {origin}\r\n"), "").await.0, 403, "{origin}");
    }
    let own = format!("origin: http://{}\r\n", running.address);
    let (status, answer) = running.post("/token", &own, "user=alice").await;
    assert_eq!(status, 200);
    assert!(!answer.to_lowercase().contains("access-control"), "no other site may read tokens");
}

#[tokio::test]
async fn the_login_page_stands_alone_and_shows_a_line_through_the_bridge() {
    let running = Running::start().await;
    let (status, page) = running.get("/").await;
    assert_eq!(status, 200);
    assert!(page.contains("content-type: text/html") && page.contains("content-security-policy: default-src 'none'"));
    let body = body_of(&page);
    assert!(!body.contains("http://") && !body.contains("https://"), "nothing from elsewhere");
    let tokens = running.json(running.post("/token", "", "user=o'hara")).await;
    let line = tokens["curl"].as_str().expect("a line");
    assert!(line.starts_with("curl -u defaultkey: 'http://127.0.0.1:7350/v2/account/authenticate/custom'"), "{line}");
    assert!(line.contains(r"'user=o'\''hara'"), "quoted for the shell: {line}");
    assert_eq!(running.get("/elsewhere").await.0, 404);
}

#[tokio::test]
async fn beside_other_issuers_its_account_ids_are_prefixed_or_it_is_refused() {
    let running = Running::start().await;
    let other = |account_id| TrustEntry {
        name: "pool".into(),
        issuers: vec!["https://pool.example".into()],
        audience: Audience { claim: AudienceClaim::Aud, any_of: vec!["game".into()] },
        token_type: TokenType { any: true, ..TokenType::default() },
        account_id,
        jwks: KeySource::Inline(running.provider.key_set().to_string()),
        ..TrustEntry::default()
    };
    let prefixed = Identity { trust: vec![other(AccountId::Prefixed)], ..Identity::default() };
    let bridge = running.bridge(&prefixed);
    for kind in [TokenUse::Access, TokenUse::Id] {
        let token = running.provider.mint("alice", kind, None).expect("a token");
        let identity = bridge.verify(&token).await.expect("good");
        assert_eq!(identity.account_id, format!("dev:{}", DevProvider::subject("alice")), "one name, one account");
    }
    let bare = Identity { trust: vec![other(AccountId::Sub)], ..Identity::default() };
    let trusted = running.provider.trusted(&bare);
    let refused =
        Verifier::new(&bare, &trusted, Clock::manual(NOW), Metrics::default()).expect_err("could be one account");
    assert_eq!(refused.path, "identity.trust.account_id");
}

#[tokio::test]
async fn an_expired_token_of_its_is_refused_like_any_other() {
    let running = Running::start().await;
    let clock = Clock::manual(NOW);
    let identity = Identity::default();
    let trusted = running.provider.trusted(&identity);
    let bridge = Verifier::new(&identity, &trusted, clock.clone(), Metrics::default()).expect("starts");
    let token = running.provider.mint("alice", TokenUse::Access, Some(1)).expect("a token");
    bridge.verify(&token).await.expect("within the skew");
    clock.advance_seconds(61);
    assert_eq!(bridge.verify(&token).await.expect_err("expired").reason, Reason::Expired);
}

#[tokio::test]
async fn it_stops_when_told() {
    let running = Running::start().await;
    running.get("/").await;
    let idle = TcpStream::connect(running.address).await.expect("listening");
    running.stop.send(()).expect("still serving");
    running.task.await.expect("no panic").expect("a clean end");
    drop(idle);
    TcpStream::connect(running.address).await.expect_err("closed");
}
