//! The end of sessions at the wire, from every source: log-out, the operator's own servers, an identity provider's log-out tokens and
//! security event tokens. What is ended is refused everywhere, its sockets close, and others see it leave.

mod common;

use common::{SERVER_KEY, Socket, TestServer, issuer::Issuer, text};
use kizuna::{
    clock::Clock,
    config::{BackchannelLogout, ClaimPath, Config, TrustEntry},
};
use serde_json::{Value, json};
use std::fs;

const ISSUER: &str = "https://issuer.example/pool";
const VICTIM: &str = "5b1c7e2a-9d1f-4f0e-8a51-0d6f3a2b9c11";
const FRIEND: &str = "0c2f6d1b-2d0a-4a3f-9d57-4f1d2b7c8e22";
const CLIENT: &str = common::issuer::CLIENT;
const RECEIVER: &str = "https://game.example/events";
const ADMIN_KEY: &str = "an-admin-key-of-32-characters-ok";
const PUSH_KEY: &str = "Bearer given-to-the-transmitter";
const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const ACCOUNT_DISABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A server that trusts one issuer and takes everything from it. Identity tokens are issued ten seconds ago, events five.
struct World {
    server: TestServer,
    issuer: Issuer,
    now: i64,
}

fn trusting(issuer: &Issuer) -> impl FnOnce(&mut Config) {
    let entry = TrustEntry {
        backchannel_logout: BackchannelLogout::Session,
        events_audience: vec![RECEIVER.into()],
        events_authorization: PUSH_KEY.into(),
        ..issuer.inline("pool")
    };
    move |config| {
        config.identity.trust = vec![entry];
        config.bridge.admin_key = ADMIN_KEY.into();
    }
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let issuer = Issuer::new(ISSUER);
        let trust = trusting(&issuer);
        let server = TestServer::start_with(|config| {
            trust(config);
            change(config);
        })
        .await;
        Self { server, issuer, now: Clock::system().unix_seconds() }
    }

    async fn restarted(self) -> Self {
        let Self { server, issuer, now } = self;
        let folder = server.stop().await;
        let server = TestServer::start_in(folder, trusting(&issuer)).await;
        Self { server, issuer, now }
    }

    /// An identity token issued `ago` seconds ago, from a sign-in of the player's own at the provider.
    fn identity(&self, subject: &str, ago: i64) -> String {
        let claims = json!({ "iat": self.now - ago, "exp": self.now + 600, "origin_jti": format!("signin-{subject}") });
        self.issuer.token(subject, &claims)
    }

    async fn present(&self, token: &str) -> (u16, Value) {
        self.server.call("POST", "/v2/account/authenticate/custom", SERVER_KEY, json!({ "id": token })).await
    }

    async fn sign_in(&self, subject: &str, ago: i64) -> Value {
        let (status, session) = self.present(&self.identity(subject, ago)).await;
        assert_eq!(status, 200, "{session}");
        session
    }

    /// The victim and a friend in a match: the victim's session, both sockets, the victim's presence.
    async fn match_of_two(&self) -> (Value, Socket, Socket, Value) {
        let (victim, friend) = (self.sign_in(VICTIM, 10).await, self.sign_in(FRIEND, 10).await);
        let mut socket = self.server.connect(text(&victim["token"]), "json").await;
        let mut other = self.server.connect(text(&friend["token"]), "json").await;
        let (id, presence) = socket.create_match().await;
        other.join_match(&id).await;
        assert!(socket.next().await["match_presence_event"]["joins"].is_array());
        (victim, socket, other, presence)
    }

    async fn revoke(&self, body: Value) -> (u16, Value) {
        self.server.call("POST", "/bridge/revoke", &format!("Bearer {ADMIN_KEY}"), body).await
    }

    /// A log-out token whose claims are changed by `change`; `null` takes one out.
    fn logout_token(&self, change: &Value) -> String {
        let claims = json!({
            "iss": ISSUER, "aud": CLIENT, "iat": self.now - 5, "exp": self.now + 115, "jti": "logout-1", "sub": VICTIM,
            "events": { LOGOUT: {} },
        });
        self.issuer.seal(&json!({ "kid": "rsa", "alg": "RS256", "typ": "logout+jwt" }), &changed(claims, change))
    }

    /// A security event token about the victim.
    fn event_token(&self, event: &str, change: &Value) -> String {
        let claims = json!({
            "iss": ISSUER, "aud": RECEIVER, "iat": self.now - 5, "jti": format!("event-{event}"),
            "sub_id": { "format": "iss_sub", "iss": ISSUER, "sub": VICTIM },
            "events": { event: { "event_timestamp": self.now - 6 } },
        });
        self.issuer.seal(&json!({ "kid": "rsa", "alg": "RS256", "typ": "secevent+jwt" }), &changed(claims, change))
    }

    async fn post(&self, path: &str, content_type: &str, authorization: &str, body: String) -> (u16, Value) {
        let mut request = reqwest::Client::new().post(format!("{}{path}", self.server.base)).body(body);
        request = request.header("content-type", content_type);
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn log_out(&self, token: &str) -> (u16, Value) {
        let body = format!("logout_token={token}");
        self.post("/bridge/backchannel-logout", "application/x-www-form-urlencoded", "", body).await
    }

    async fn push(&self, token: &str) -> (u16, Value) {
        self.post("/bridge/events", "application/secevent+jwt", PUSH_KEY, token.to_owned()).await
    }

    /// Whether a session is good at REST, at refresh and at the socket; all three must agree.
    async fn is_good(&self, session: &Value) -> bool {
        let bearer = format!("Bearer {}", text(&session["token"]));
        let rest = self.server.call("GET", "/v2/account", &bearer, Value::Null).await.0;
        let socket = self.server.try_connect(&format!("token={}", text(&session["token"])), &[]).await.is_ok();
        let refresh = json!({ "token": session["refresh_token"] });
        let refresh = self.server.call("POST", "/v2/account/session/refresh", SERVER_KEY, refresh).await.0;
        match (rest, socket, refresh) {
            (200, true, 200) => true,
            (401, false, 401) => false,
            other => panic!("half good: {other:?}"),
        }
    }

    async fn user_id(&self, session: &Value) -> Value {
        let bearer = format!("Bearer {}", text(&session["token"]));
        self.server.call("GET", "/v2/account", &bearer, Value::Null).await.1["user"]["id"].clone()
    }
}

fn changed(mut claims: Value, change: &Value) -> Value {
    for (name, value) in change.as_object().expect("an object") {
        match value {
            Value::Null => drop(claims.as_object_mut().expect("an object").remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

/// The victim's socket closes with our reason, and the friend sees the victim leave.
async fn is_closed(socket: &mut Socket, other: &mut Socket, presence: &Value) {
    assert_eq!(socket.next_close().await, (4402, "session revoked".to_owned()));
    assert_eq!(other.next().await["match_presence_event"]["leaves"], json!([presence]));
}

#[tokio::test]
async fn an_admin_ends_sessions_by_user_by_player_and_by_sign_in() {
    for by in ["user_id", "custom_id", "subject", "family", "family of an entry"] {
        let world = World::new().await;
        let (victim, mut socket, mut other, presence) = world.match_of_two().await;
        let body = match by {
            "user_id" => json!({ "user_id": world.user_id(&victim).await, "reason": "cheating" }),
            "custom_id" => json!({ "custom_id": VICTIM }),
            "subject" => json!({ "entry": "pool", "subject": VICTIM }),
            "family" => json!({ "issuer": ISSUER, "family": format!("signin-{VICTIM}") }),
            _ => json!({ "entry": "pool", "family": format!("signin-{VICTIM}") }),
        };
        assert_eq!(world.revoke(body.clone()).await, (200, json!({ "sockets_closed": 1 })), "{by}");
        is_closed(&mut socket, &mut other, &presence).await;
        assert!(!world.is_good(&victim).await, "{by}");
        assert_eq!(world.revoke(body).await, (200, json!({ "sockets_closed": 0 })), "once more changes nothing: {by}");
        other.quiet().await;
    }
}

#[tokio::test]
async fn an_admin_ends_all_sessions_of_an_issuer_and_identity_tokens_of_that_time_open_no_new_ones() {
    let world = World::new().await;
    let (victim, mut socket, mut other, _) = world.match_of_two().await;
    assert_eq!(world.revoke(json!({ "issuer": ISSUER })).await, (200, json!({ "sockets_closed": 2 })));
    assert_eq!(socket.next_close().await.0, 4402);
    while other.next_frame().await.is_some_and(|frame| !frame.is_close()) {}
    assert!(!world.is_good(&victim).await);
    assert_eq!(world.present(&world.identity(VICTIM, 0)).await.0, 401);
    let again = world.sign_in(VICTIM, -30).await;
    assert!(world.is_good(&again).await, "a later proof counts");
}

#[tokio::test]
async fn the_admin_route_is_not_there_without_a_key_and_closed_to_other_keys() {
    let world = World::new().await;
    let session = world.sign_in(VICTIM, 10).await;
    let body = json!({ "custom_id": VICTIM });
    let refused = |what: &str| (401, json!({ "code": 16, "message": what }));
    assert_eq!(world.server.call("POST", "/bridge/revoke", "", body.clone()).await, refused("Admin key required"));
    for wrong in
        ["Bearer ", "Bearer wrong", SERVER_KEY, &format!("bearer {ADMIN_KEY}"), &format!("Bearer {ADMIN_KEY}x")]
    {
        assert_eq!(
            world.server.call("POST", "/bridge/revoke", wrong, body.clone()).await,
            refused("Admin key invalid")
        );
    }
    for unclear in [
        json!({}),
        json!({ "reason": "nobody" }),
        json!({ "custom_id": VICTIM, "issuer": ISSUER }),
        json!({ "subject": VICTIM }),
        json!({ "family": "signin" }),
        json!({ "custom_id": "" }),
        json!({ "users": [VICTIM] }),
        json!({ "user_id": "me" }),
        json!([]),
    ] {
        assert_eq!(world.revoke(unclear.clone()).await.0, 400, "{unclear}");
    }
    for missing in [json!({ "custom_id": "nobody-has-it" }), json!({ "entry": "other", "subject": VICTIM })] {
        assert_eq!(world.revoke(missing.clone()).await.0, 404, "{missing}");
    }
    assert!(world.is_good(&session).await);
    let off = World::with(|config| config.bridge.admin_key = "".into()).await;
    for key in ["", "Bearer ", &format!("Bearer {ADMIN_KEY}")] {
        assert_eq!(off.server.call("POST", "/bridge/revoke", key, body.clone()).await.0, 404);
    }
}

#[tokio::test]
async fn a_log_out_token_ends_the_sign_in_that_it_names_or_every_session_of_the_player() {
    for (by, change) in [
        ("sub", json!({})),
        ("sid", json!({ "sub": null, "sid": format!("signin-{VICTIM}") })),
        ("both", json!({ "sid": format!("signin-{VICTIM}") })),
        ("a list of audiences", json!({ "aud": ["other", CLIENT] })),
    ] {
        let world = World::new().await;
        let (victim, mut socket, mut other, presence) = world.match_of_two().await;
        assert_eq!(world.log_out(&world.logout_token(&change)).await.0, 200, "{by}");
        is_closed(&mut socket, &mut other, &presence).await;
        assert!(!world.is_good(&victim).await, "{by}");
    }
    let world = World::new().await;
    let session = world.sign_in(VICTIM, 10).await;
    assert_eq!(world.log_out(&world.logout_token(&json!({ "sid": "another sign-in" }))).await.0, 200);
    assert!(world.is_good(&session).await, "another sign-in of the same player goes on");
}

#[tokio::test]
async fn where_tokens_name_no_sign_in_a_log_out_token_can_end_every_session_of_the_player() {
    let world = World::with(|config| config.identity.trust[0].backchannel_logout = BackchannelLogout::Player).await;
    let session = world.sign_in(VICTIM, 10).await;
    assert_eq!(world.log_out(&world.logout_token(&json!({ "sid": "a sign-in that no token names" }))).await.0, 200);
    assert!(!world.is_good(&session).await);
}

#[tokio::test]
async fn a_security_event_ends_every_session_of_the_player() {
    let opaque = json!({ "sub_id": { "format": "opaque", "id": VICTIM } });
    let complex =
        json!({ "sub_id": { "format": "complex", "user": { "format": "iss_sub", "iss": ISSUER, "sub": VICTIM } } });
    let session = json!({ "sub_id": { "format": "complex", "session": { "format": "opaque", "id": format!("signin-{VICTIM}") } } });
    let older = json!({ "sub_id": null, "events": { ACCOUNT_DISABLED: { "subject": { "subject_type": "iss-sub", "iss": ISSUER, "sub": VICTIM } } } });
    for (event, change) in [
        (SESSION_REVOKED, json!({})),
        ("https://schemas.openid.net/secevent/caep/event-type/token-claims-change", json!({})),
        (ACCOUNT_DISABLED, json!({})),
        ("https://schemas.openid.net/secevent/risc/event-type/account-purged", json!({})),
        ("https://schemas.openid.net/secevent/risc/event-type/sessions-revoked", opaque),
        (SESSION_REVOKED, complex),
        (SESSION_REVOKED, session),
        (ACCOUNT_DISABLED, older),
    ] {
        let world = World::new().await;
        let (victim, mut socket, mut other, presence) = world.match_of_two().await;
        assert_eq!(world.push(&world.event_token(event, &change)).await, (202, json!("")), "{event}");
        is_closed(&mut socket, &mut other, &presence).await;
        assert!(!world.is_good(&victim).await, "{event}");
    }
}

#[tokio::test]
async fn events_that_mean_nothing_here_are_taken_and_end_nothing() {
    let world = World::new().await;
    let session = world.sign_in(VICTIM, 10).await;
    let email = json!({ "jti": "e", "sub_id": { "format": "email", "email": "player@example.com" } });
    for token in [
        world.event_token(VERIFICATION, &json!({ "sub_id": { "format": "opaque", "id": "stream" } })),
        world.event_token("https://schemas.openid.net/secevent/caep/event-type/device-compliance-change", &json!({})),
        world.event_token(SESSION_REVOKED, &email),
    ] {
        assert_eq!(world.push(&token).await, (202, json!("")));
    }
    assert!(world.is_good(&session).await);
}

#[tokio::test]
async fn who_was_disabled_does_not_come_back_with_an_older_identity_token_nor_who_was_never_here() {
    let world = World::new().await;
    let newcomer = "9a7e4c52-1f0b-47f2-8b6e-3d5a0c9e7f33";
    assert_eq!(world.push(&world.event_token(ACCOUNT_DISABLED, &json!({}))).await.0, 202);
    let about = json!({ "jti": "2", "sub_id": { "format": "iss_sub", "iss": ISSUER, "sub": newcomer } });
    assert_eq!(world.push(&world.event_token(ACCOUNT_DISABLED, &about)).await.0, 202);
    let world = world.restarted().await;
    for player in [VICTIM, newcomer] {
        for ago in [10, 5] {
            let answer = world.present(&world.identity(player, ago)).await;
            assert_eq!(answer, (401, json!({ "code": 16, "message": "Identity token refused." })), "{ago} s old");
        }
        assert!(world.is_good(&world.sign_in(player, 4).await).await, "one of after the event is good");
    }
    assert!(world.is_good(&world.sign_in(FRIEND, 10).await).await, "another player is not touched");
}

/// An issuer's second name, as Google and replicated Cognito pools have one.
const SECOND_NAME: &str = "https://issuer.example/replica";

#[tokio::test]
async fn what_an_issuer_tells_under_one_of_its_names_counts_for_the_other() {
    let two_names = |config: &mut Config| config.identity.trust[0].issuers.push(SECOND_NAME.into());
    let subject = json!({ "format": "iss_sub", "iss": SECOND_NAME, "sub": VICTIM });
    let world = World::with(two_names).await;
    let (victim, mut socket, mut other, presence) = world.match_of_two().await;
    let event = world.event_token(ACCOUNT_DISABLED, &json!({ "iss": SECOND_NAME, "sub_id": subject }));
    assert_eq!(world.push(&event).await.0, 202);
    is_closed(&mut socket, &mut other, &presence).await;
    assert!(!world.is_good(&victim).await);
    assert_eq!(world.present(&world.identity(VICTIM, 10)).await.0, 401, "an older token under the first name");
    let same_person = json!({ "iss": SECOND_NAME, "iat": world.now - 10 });
    assert_eq!(world.present(&world.issuer.token(VICTIM, &same_person)).await.0, 401);

    let sign_in = |name: &str| json!({ "iss": name, "sub": null, "sid": format!("signin-{VICTIM}") });
    for by in ["a log-out token", "an admin"] {
        let world = World::with(two_names).await;
        let session = world.sign_in(VICTIM, 10).await;
        let status = match by {
            "an admin" => world.revoke(json!({ "issuer": SECOND_NAME, "family": format!("signin-{VICTIM}") })).await.0,
            _ => world.log_out(&world.logout_token(&sign_in(SECOND_NAME))).await.0,
        };
        assert_eq!(status, 200, "{by}");
        assert!(!world.is_good(&session).await, "{by}");
    }
}

/// As Entra ID has it: the account is of `tid` and `oid`, and events name a `sub` that only this application knows.
#[tokio::test]
async fn where_accounts_are_not_made_of_sub_its_events_end_sessions_all_the_same() {
    let subject = vec![ClaimPath::from("tid"), ClaimPath::from("oid")];
    let by_sub = json!({ "entry": "pool", "subject": "pairwise" });
    let by_account = json!({ "entry": "pool", "subject": "tenant-1:object-1" });
    for by in ["an event", "an admin by sub", "an admin by account"] {
        let world = World::with(|config| config.identity.trust[0].subject = subject.clone()).await;
        let token = |sub: &str, object: &str, ago: i64| {
            world.issuer.token(sub, &json!({ "iat": world.now - ago, "tid": "tenant-1", "oid": object }))
        };
        let sign_in = async |token: String| {
            let (status, session) = world.present(&token).await;
            assert_eq!(status, 200, "{session}");
            session
        };
        let victim = sign_in(token("pairwise", "object-1", 10)).await;
        let friend = sign_in(token("another", "object-2", 10)).await;
        let mut socket = world.server.connect(text(&victim["token"]), "json").await;
        let mut other = world.server.connect(text(&friend["token"]), "json").await;
        let about = json!({ "sub_id": { "format": "iss_sub", "iss": ISSUER, "sub": "pairwise" } });
        match by {
            "an event" => assert_eq!(world.push(&world.event_token(ACCOUNT_DISABLED, &about)).await.0, 202),
            "an admin by sub" => assert_eq!(world.revoke(by_sub.clone()).await.1["sockets_closed"], 1),
            _ => assert_eq!(world.revoke(by_account.clone()).await.1["sockets_closed"], 1),
        }
        assert_eq!(socket.next_close().await, (4402, "session revoked".to_owned()), "{by}");
        assert_eq!(other.ask(json!({ "cid": "1", "ping": {} })).await["cid"], "1", "{by}");
        assert_eq!(world.present(&token("pairwise", "object-1", 10)).await.0, 401, "{by}: an older identity token");
        let again = sign_in(token("pairwise", "object-1", -30)).await;
        assert!(!world.is_good(&victim).await && world.is_good(&friend).await, "{by}");
        assert!(world.is_good(&again).await, "{by}: a later proof counts");
        let refreshed = json!({ "token": again["refresh_token"] });
        let (_, next) = world.server.call("POST", "/v2/account/session/refresh", SERVER_KEY, refreshed).await;
        let later = json!({ "jti": "later", "iat": world.now, "sub_id": about["sub_id"] });
        assert_eq!(world.push(&world.event_token(ACCOUNT_DISABLED, &later)).await.0, 202);
        assert!(!world.is_good(&next).await, "{by}: a refresh keeps what it ends by");
    }
}

#[tokio::test]
async fn an_older_identity_token_cannot_be_linked_either() {
    let world = World::new().await;
    assert_eq!(world.push(&world.event_token(ACCOUNT_DISABLED, &json!({}))).await.0, 202);
    let device = json!({ "id": "device-0001" });
    let (_, session) = world.server.call("POST", "/v2/account/authenticate/device", SERVER_KEY, device).await;
    let bearer = format!("Bearer {}", text(&session["token"]));
    let link = |token: String| world.server.call("POST", "/v2/account/link/custom", &bearer, json!({ "id": token }));
    assert_eq!(link(world.identity(VICTIM, 10)).await.0, 401);
    assert_eq!(link(world.identity(VICTIM, 4)).await.0, 200);
}

#[tokio::test]
async fn an_identity_token_from_before_the_end_is_no_proof_at_a_refresh_whether_one_is_asked_for_or_not() {
    for represent in [false, true] {
        let world = World::with(|config| config.identity.trust[0].represent_at_refresh = represent).await;
        assert_eq!(world.push(&world.event_token(ACCOUNT_DISABLED, &json!({}))).await.0, 202);
        let session = world.sign_in(VICTIM, 4).await;
        let refresh = |vars: Value| {
            let body = json!({ "token": session["refresh_token"], "vars": vars });
            world.server.call("POST", "/v2/account/session/refresh", SERVER_KEY, body)
        };
        let proof = |ago: i64| json!({ "idp.token": world.identity(VICTIM, ago) });
        let refused = (401, json!({ "code": 16, "message": "Identity token refused." }));
        for ago in [10, 5] {
            assert_eq!(refresh(proof(ago)).await, refused, "{ago} s old");
        }
        assert_eq!(refresh(proof(3)).await.0, 200, "the refusals did not use the refresh token up");
        // What ends the sessions of everybody from there ends this one; its own refresh is then refused whatever it shows.
        assert_eq!(world.revoke(json!({ "issuer": ISSUER })).await.0, 200);
        assert_eq!(refresh(proof(-1)).await.0, 401);
    }
}

#[tokio::test]
async fn what_was_ended_stays_so_over_a_restart_and_an_event_acts_only_once() {
    let world = World::new().await;
    let (by_event, other) = (world.sign_in(VICTIM, 10).await, world.sign_in(FRIEND, 10).await);
    let event = world.event_token(SESSION_REVOKED, &json!({}));
    let about_friend = json!({ "sub": null, "sid": format!("signin-{FRIEND}"), "jti": "logout-2" });
    let logout = world.logout_token(&about_friend);
    assert_eq!(world.push(&event).await.0, 202);
    assert_eq!(world.log_out(&logout).await.0, 200);
    let world = world.restarted().await;
    assert!(!world.is_good(&by_event).await && !world.is_good(&other).await);
    let (again, friend) = (world.sign_in(VICTIM, 2).await, world.sign_in(FRIEND, 2).await);
    assert_eq!(world.push(&event).await.0, 202, "a transmitter that did not hear our answer is told once more");
    let (status, refusal) = world.log_out(&logout).await;
    assert_eq!((status, &refusal["error"]), (400, &json!("invalid_request")));
    assert!(world.is_good(&again).await && world.is_good(&friend).await, "and nothing ends a second time");
}

#[tokio::test]
async fn forged_and_misused_log_out_tokens_end_nothing() {
    let world = World::new().await;
    let session = world.sign_in(VICTIM, 10).await;
    let stranger = Issuer::new(ISSUER);
    let header = |typ: &str| json!({ "kid": "rsa", "alg": "RS256", "typ": typ });
    let good = json!({
        "iss": ISSUER, "aud": CLIENT, "iat": world.now - 5, "exp": world.now + 115, "jti": "x", "sub": VICTIM,
        "events": { LOGOUT: {} },
    });
    let signed = world.logout_token(&json!({}));
    let (head, rest) = signed.split_once('.').expect("segments");
    let (body, _) = rest.split_once('.').expect("segments");
    let cases = [
        ("no type", world.issuer.seal(&json!({ "kid": "rsa", "alg": "RS256" }), &good)),
        ("a plain type", world.issuer.seal(&header("JWT"), &good)),
        ("the other kind", world.issuer.seal(&header("secevent+jwt"), &good)),
        ("no algorithm", world.issuer.seal(&json!({ "kid": "rsa", "alg": "none", "typ": "logout+jwt" }), &good)),
        ("no signature", format!("{head}.{body}.")),
        ("another's key", stranger.seal(&header("logout+jwt"), &good)),
        ("another issuer", world.logout_token(&json!({ "iss": "https://issuer.example/other" }))),
        ("another client", world.logout_token(&json!({ "aud": "other-client" }))),
        ("no client", world.logout_token(&json!({ "aud": null }))),
        ("a nonce", world.logout_token(&json!({ "nonce": "n" }))),
        ("no events", world.logout_token(&json!({ "events": null }))),
        ("another event", world.logout_token(&json!({ "events": { SESSION_REVOKED: {} } }))),
        ("an event that is no object", world.logout_token(&json!({ "events": { LOGOUT: true } }))),
        ("no id", world.logout_token(&json!({ "jti": null }))),
        ("nobody", world.logout_token(&json!({ "sub": null }))),
        ("a number", world.logout_token(&json!({ "sub": 1 }))),
        ("no time", world.logout_token(&json!({ "iat": null }))),
        ("the future", world.logout_token(&json!({ "iat": world.now + 400, "exp": world.now + 500 }))),
        ("too old", world.logout_token(&json!({ "iat": world.now - 100_000, "exp": world.now + 100 }))),
        ("no end", world.logout_token(&json!({ "exp": null }))),
        ("an end that is past", world.logout_token(&json!({ "exp": world.now - 100, "iat": world.now - 200 }))),
        ("an identity token", world.identity(VICTIM, 10)),
        ("an event token", world.event_token(SESSION_REVOKED, &json!({ "aud": CLIENT }))),
        ("nothing", String::new()),
    ];
    for (what, token) in cases {
        let (status, answer) = world.log_out(&token).await;
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_request")), "{what}");
    }
    let body = format!("logout_token={signed}");
    let (status, _) = world.post("/bridge/backchannel-logout", "text/plain", "", body).await;
    assert_eq!(status, 400);
    assert!(world.is_good(&session).await);
    assert_eq!(world.present(&signed).await.0, 401, "a log-out token is no identity token");
    assert_eq!(world.log_out(&signed).await.0, 200, "and the good one is good");
}

#[tokio::test]
async fn forged_and_misused_event_tokens_end_nothing() {
    let world = World::new().await;
    let session = world.sign_in(VICTIM, 10).await;
    let stranger = Issuer::new(ISSUER);
    let good = json!({
        "iss": ISSUER, "aud": RECEIVER, "iat": world.now - 5, "jti": "x", "events": { SESSION_REVOKED: {} },
        "sub_id": { "format": "iss_sub", "iss": ISSUER, "sub": VICTIM },
    });
    let header = |typ: &str| json!({ "kid": "rsa", "alg": "RS256", "typ": typ });
    let event = |change: Value| world.event_token(SESSION_REVOKED, &change);
    let foreign = json!({ "format": "iss_sub", "iss": "https://issuer.example/other", "sub": VICTIM });
    let cases = [
        ("a plain type", world.issuer.seal(&header("JWT"), &good), "invalid_audience"),
        ("the other kind", world.issuer.seal(&header("logout+jwt"), &good), "invalid_audience"),
        (
            "no algorithm",
            world.issuer.seal(&json!({ "kid": "rsa", "alg": "none", "typ": "secevent+jwt" }), &good),
            "invalid_key",
        ),
        ("another's key", stranger.seal(&header("secevent+jwt"), &good), "invalid_key"),
        ("another issuer", event(json!({ "iss": "https://issuer.example/other" })), "invalid_issuer"),
        ("another receiver", event(json!({ "aud": CLIENT })), "invalid_audience"),
        ("no events", event(json!({ "events": null })), "invalid_request"),
        ("an empty list of events", event(json!({ "events": {} })), "invalid_request"),
        ("no id", event(json!({ "jti": null })), "invalid_request"),
        ("nobody", event(json!({ "sub_id": null })), "invalid_request"),
        ("another issuer's player", event(json!({ "sub_id": foreign })), "invalid_issuer"),
        ("an end", event(json!({ "exp": world.now + 60 })), "invalid_request"),
        ("a plain subject", event(json!({ "sub": VICTIM })), "invalid_request"),
        ("no time", event(json!({ "iat": null })), "invalid_request"),
        ("too old", event(json!({ "iat": world.now - 100_000 })), "invalid_request"),
        ("the future", event(json!({ "iat": world.now + 400 })), "invalid_request"),
        ("an identity token", world.identity(VICTIM, 10), "invalid_audience"),
        ("a log-out token", world.logout_token(&json!({ "aud": RECEIVER })), "invalid_audience"),
        ("nothing", String::new(), "invalid_request"),
    ];
    for (what, token, err) in cases {
        let (status, answer) = world.push(&token).await;
        assert_eq!((status, &answer["err"]), (400, &json!(err)), "{what}");
        assert!(answer["description"].is_string());
    }
    let token = event(json!({}));
    for wrong in ["", "Bearer other"] {
        let answer = world.post("/bridge/events", "application/secevent+jwt", wrong, token.clone()).await;
        assert_eq!((answer.0, &answer.1["err"]), (400, &json!("invalid_issuer")));
    }
    assert_eq!(world.post("/bridge/events", "application/jwt", PUSH_KEY, token.clone()).await.0, 400);
    assert!(world.is_good(&session).await);
    assert_eq!(world.present(&token).await.0, 401, "an event token is no identity token");
    assert_eq!(world.push(&token).await.0, 202, "and the good one is good");
}

#[tokio::test]
async fn who_has_not_asked_for_them_takes_no_events() {
    let world = World::with(|config| {
        config.identity.trust[0].backchannel_logout = BackchannelLogout::Off;
        config.identity.trust[0].events_audience.clear();
    })
    .await;
    assert_eq!(world.log_out(&world.logout_token(&json!({}))).await.0, 404);
    assert_eq!(world.push(&world.event_token(SESSION_REVOKED, &json!({}))).await.0, 404);
}

#[tokio::test]
async fn a_log_out_closes_the_sockets_of_its_session_alone_unless_they_are_to_live_on() {
    for close in [true, false] {
        let world = World::with(|config| config.session.close_on_logout = close).await;
        let (victim, mut socket, mut other, presence) = world.match_of_two().await;
        let another = world.sign_in(VICTIM, 9).await;
        let mut kept = world.server.connect(text(&another["token"]), "json").await;
        let bearer = format!("Bearer {}", text(&victim["token"]));
        let body = json!({ "token": victim["token"], "refresh_token": victim["refresh_token"] });
        assert_eq!(world.server.call("POST", "/v2/session/logout", &bearer, body).await.0, 200);
        match close {
            true => is_closed(&mut socket, &mut other, &presence).await,
            false => assert_eq!(socket.ask(json!({ "cid": "1", "ping": {} })).await["cid"], "1"),
        }
        assert_eq!(kept.ask(json!({ "cid": "2", "ping": {} })).await["cid"], "2", "another session of the player");
        assert!(!world.is_good(&victim).await);
    }
}

#[tokio::test]
async fn what_happened_stands_in_the_audit_log_and_no_token_does() {
    let world = World::new().await;
    let session = world.sign_in(VICTIM, 10).await;
    let (identity, logout) = (world.identity(VICTIM, 10), world.logout_token(&json!({})));
    let event = world.event_token(SESSION_REVOKED, &json!({}));
    assert_eq!(world.present("not-a-token").await.0, 401);
    assert_eq!(world.log_out(&logout).await.0, 200);
    assert_eq!(world.log_out(&logout).await.0, 400);
    assert_eq!(world.push(&event).await.0, 202);
    assert_eq!(world.present(&identity).await.0, 401);
    let metrics = world.server.metrics().await;
    assert!(metrics.contains("step=\"revoked\",outcome=\"refused\"} 1"), "{metrics}");
    assert_eq!(world.revoke(json!({ "entry": "pool", "subject": VICTIM, "reason": "cheating" })).await.0, 200);
    assert_eq!(world.server.call("POST", "/bridge/revoke", "Bearer wrong", json!({})).await.0, 401);
    let stranger = json!({ "email": "nobody@example.com", "password": "password" });
    let path = "/v2/account/authenticate/email?create=false";
    assert_eq!(world.server.call("POST", path, SERVER_KEY, stranger).await.0, 404);
    assert!(!world.is_good(&session).await);
    let folder = world.server.stop().await;
    let log = fs::read_to_string(folder.path().join("audit.log")).expect("the log");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let short = |line: &Value| {
        let detail = ["step", "outcome", "source", "why", "method"].iter().find_map(|name| line[*name].as_str());
        format!("{} {}", text(&line["event"]), detail.unwrap_or_default())
    };
    let told: Vec<String> = lines.iter().map(short).collect();
    assert_eq!(
        told,
        [
            "sign_in custom",
            "identity_refused format",
            "revoked backchannel_logout",
            "event_token accepted",
            "event_token replayed",
            "revoked shared_signals",
            "event_token accepted",
            "identity_refused revoked",
            "revoked admin",
            "admin_refused ",
            "sign_in_refused no_account",
            "refresh_refused revoked",
        ]
    );
    assert_eq!(lines[8]["reason"], "cheating");
    assert!(lines.iter().filter(|line| !line["address"].is_null()).all(|line| line["address"] == "127.0.0.1"));
    for secret in
        [text(&session["token"]), text(&session["refresh_token"]), &identity, &logout, &event, VICTIM, ADMIN_KEY]
    {
        assert!(!log.contains(secret));
    }
    let payload = identity.split('.').nth(1).expect("a payload");
    assert!(!log.contains(payload));
}
