//! Two tenants on one server try everything on each other over the wire, and neither meets, sees or finds the other.

mod common;

use common::{PATIENCE, SERVER_KEY, Socket, TestServer, issuer::Issuer, text};
use futures_util::StreamExt;
use kizuna::{
    config::{Config, TenantRule, TrustEntry},
    features::notifications::{self, Notification},
    identity::Tenant,
};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

struct World {
    server: TestServer,
    issuer: Issuer,
}

impl World {
    async fn start() -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder"), Issuer::new("https://idp.example"), |_| {}).await
    }

    async fn start_in(folder: tempfile::TempDir, issuer: Issuer, change: impl FnOnce(&mut Config)) -> Self {
        let tenant = TenantRule { claims: vec!["tenant".into()], ..TenantRule::default() };
        let entry = TrustEntry { tenant, ..issuer.inline("idp") };
        let configure = |config: &mut Config| {
            config.tenancy.enabled = true;
            config.identity.trust = vec![entry];
            config.session.token_expiry_sec = 3_600;
            change(config);
        };
        let server = TestServer::start_in(folder, configure).await;
        Self { server, issuer }
    }

    /// The answer to a sign-in with an identity token of `tenant`.
    async fn try_sign_in(&self, subject: &str, tenant: Value, username: &str) -> (u16, Value) {
        let token = self.issuer.token(subject, &json!({ "tenant": tenant }));
        let path = format!("/v2/account/authenticate/custom?username={username}");
        self.server.call("POST", &path, SERVER_KEY, json!({ "id": token })).await
    }

    /// A player of a tenant, whose subject and username are `name`.
    async fn player(&self, name: &str, tenant: &str) -> Player {
        let (status, session) = self.try_sign_in(name, json!(tenant), name).await;
        assert_eq!(status, 200, "{session}");
        let token = text(&session["token"]).to_owned();
        let claims = self.server.running.services().tokens.verify_session(&token).expect("a good token");
        assert_eq!(claims.tenant, Tenant::named(tenant));
        Player { name: name.to_owned(), id: claims.user_id.to_string(), bearer: format!("Bearer {token}"), session }
    }

    async fn socket(&self, player: &Player) -> Socket {
        let query = format!("token={}&format=json&status=true", text(&player.session["token"]));
        let opened = self.server.try_connect(&query, &[]).await;
        let mut socket = opened.unwrap_or_else(|(status, body)| panic!("refused: {status} {body}"));
        let own = socket.next().await;
        assert_eq!(own["status_presence_event"]["joins"][0]["user_id"], player.id, "{own}");
        socket
    }

    async fn get(&self, player: &Player, path: &str) -> Value {
        let (status, body) = self.server.call("GET", path, &player.bearer, Value::Null).await;
        assert_eq!(status, 200, "{body}");
        body
    }
}

struct Player {
    name: String,
    id: String,
    bearer: String,
    session: Value,
}

/// All that a socket has received when a ping is answered; `false`: it was closed instead.
async fn received(socket: &mut Socket) -> (String, bool) {
    let ping = Message::text(json!({ "cid": "the-last", "ping": {} }).to_string());
    let mut all = String::new();
    // A socket that is being closed may take no more.
    let _ = futures_util::SinkExt::send(&mut socket.socket, ping).await;
    loop {
        match timeout(PATIENCE, socket.socket.next()).await.expect("something comes in time") {
            Some(Ok(Message::Text(frame))) if frame.contains("the-last") => return (all, true),
            Some(Ok(Message::Text(frame))) => all.push_str(&frame),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(_) | Err(_)) | None => return (all, false),
        }
    }
}

/// What another tenant's player aims at: a player in a match and a party.
struct Target {
    user_id: String,
    session_id: String,
    username: String,
    match_id: String,
    party_id: String,
}

/// A message of one kind that aims at `target`; messages that only servers send are empty.
fn aimed(kind: &str, target: &Target) -> Value {
    let presence = json!({ "user_id": target.user_id, "session_id": target.session_id, "username": target.username });
    let party = || json!({ "party_id": target.party_id });
    match kind {
        "channel_join" => json!({ "target": target.user_id, "type": 2 }),
        "channel_leave" => json!({ "channel_id": target.match_id }),
        "channel_message_send" => json!({ "channel_id": target.match_id, "content": "{}" }),
        "channel_message_update" | "channel_message_remove" => {
            json!({ "channel_id": target.match_id, "message_id": target.session_id })
        }
        "match_create" => json!({ "name": "lobby" }),
        "match_join" => json!({ "match_id": target.match_id }),
        "match_leave" => json!({ "match_id": target.match_id }),
        "match_data_send" => json!({ "match_id": target.match_id, "op_code": "1", "presences": [presence] }),
        "matchmaker_add" => json!({ "min_count": 2, "max_count": 2, "query": "*" }),
        "matchmaker_remove" => json!({ "ticket": target.session_id }),
        "rpc" => json!({ "id": "anything", "payload": target.user_id }),
        "status_follow" => json!({ "user_ids": [target.user_id], "usernames": [target.username] }),
        "status_unfollow" => json!({ "user_ids": [target.user_id] }),
        "status_update" => json!({ "status": "here" }),
        "party_create" => json!({ "open": true, "max_size": 4 }),
        "party_join" | "party_leave" | "party_close" | "party_join_request_list" => party(),
        "party_promote" | "party_accept" | "party_remove" => {
            json!({ "party_id": target.party_id, "presence": presence })
        }
        "party_matchmaker_add" => {
            json!({ "party_id": target.party_id, "min_count": 2, "max_count": 2, "query": "*" })
        }
        "party_matchmaker_remove" => json!({ "party_id": target.party_id, "ticket": target.session_id }),
        "party_data_send" => json!({ "party_id": target.party_id, "op_code": "1" }),
        "party_update" => json!({ "party_id": target.party_id, "label": "{}" }),
        _ => json!({}),
    }
}

#[tokio::test]
async fn no_message_of_one_tenant_reaches_the_other() {
    let world = World::start().await;
    let (ann, eve) = (world.player("ann-of-acme", "acme").await, world.player("eve-of-evil", "evil").await);
    let mut anns = world.socket(&ann).await;
    let answer = anns.ask(json!({ "cid": "1", "match_create": { "name": "lobby" } })).await;
    let own = &answer["match"]["self"];
    received(&mut anns).await;
    let party = anns.ask(json!({ "cid": "2", "party_create": { "open": true, "max_size": 256 } })).await;
    let target = Target {
        user_id: ann.id.clone(),
        session_id: text(&own["session_id"]).to_owned(),
        username: text(&own["username"]).to_owned(),
        match_id: text(&answer["match"]["match_id"]).to_owned(),
        party_id: text(&party["party"]["party_id"]).to_owned(),
    };
    assert_eq!(target.username, ann.name);
    received(&mut anns).await;

    let contract = include_str!("contract/messages.tsv");
    let kinds =
        contract.lines().filter_map(|line| line.strip_prefix("nakama.realtime\tEnvelope\t")?.split('\t').next());
    let kinds: Vec<_> = kinds.filter(|kind| *kind != "cid").collect();
    assert!(kinds.len() >= 50, "{kinds:?}");
    let mut eves = world.socket(&eve).await;
    // Twice: what one message leaves behind, such as eve's own lobby, must not help another.
    for kind in kinds.iter().chain(&kinds) {
        eves.send(json!({ "cid": "c", *kind: aimed(kind, &target) })).await;
        let (heard, open) = received(&mut eves).await;
        for secret in [&ann.name, &target.session_id] {
            assert!(!heard.contains(secret.as_str()), "{kind} tells of ann: {heard}");
        }
        let (anns_heard, anns_open) = received(&mut anns).await;
        assert!(anns_open && anns_heard.is_empty(), "{kind} reaches ann: {anns_heard}");
        if !open {
            eves = world.socket(&eve).await;
        }
    }
    // Ann is still alone in her lobby.
    let answer = anns.ask(json!({ "cid": "1", "match_create": { "name": "lobby" } })).await;
    assert_eq!(answer["match"]["presences"], json!([own]), "{answer}");
}

#[tokio::test]
async fn a_match_of_another_tenant_is_not_there() {
    let world = World::start().await;
    let (ann, eve) = (world.player("ann-of-acme", "acme").await, world.player("eve-of-evil", "evil").await);
    let bob = world.player("bob-of-acme", "acme").await;
    let (mut anns, mut eves, mut bobs) = (world.socket(&ann).await, world.socket(&eve).await, world.socket(&bob).await);
    let (id, _) = anns.create_match().await;
    let refused = eves.ask(json!({ "cid": "1", "match_join": { "match_id": id } })).await;
    assert_eq!(refused["error"]["message"], "Match not found");
    assert_eq!(world.get(&ann, "/v2/match").await["matches"][0]["match_id"], json!(id));
    assert_eq!(world.get(&eve, "/v2/match").await, json!({}));
    bobs.join_match(&id).await;
    anns.next().await;

    // The token that leads to a match leads only its own tenant there.
    let tokens = &world.server.running.services().tokens;
    let token = tokens.mint_match_token(&id, Tenant::named("acme"));
    let refused = eves.ask(json!({ "cid": "2", "match_join": { "token": token } })).await;
    assert_eq!(refused["error"]["message"], "Invalid match token");
    // One of her own, for the same id, leads to another match.
    let token = tokens.mint_match_token(&id, Tenant::named("evil"));
    let alone = eves.ask(json!({ "cid": "3", "match_join": { "token": token } })).await;
    assert_eq!((&alone["match"]["match_id"], &alone["match"]["presences"]), (&json!(id), &Value::Null), "{alone}");
    eves.send(json!({ "match_data_send": { "match_id": id, "op_code": "1", "data": "aGk=" } })).await;
    received(&mut eves).await;
    assert_eq!(received(&mut anns).await, (String::new(), true));
    assert_eq!(received(&mut bobs).await, (String::new(), true));

    // A ticket keeps the wall.
    let (_, ticket) = world.server.call("POST", "/v2/session/ticket", &eve.bearer, Value::Null).await;
    let query = format!("ticket={}&format=json", text(&ticket["ticket"]));
    let mut by_ticket = world.server.try_connect(&query, &[]).await.expect("opened");
    let (other, _) = bobs.create_match().await;
    let refused = by_ticket.ask(json!({ "cid": "1", "match_join": { "match_id": other } })).await;
    assert_eq!(refused["error"]["message"], "Match not found");
}

#[tokio::test]
async fn a_party_of_another_tenant_is_neither_there_nor_listed() {
    let world = World::start().await;
    let (ann, eve) = (world.player("ann-of-acme", "acme").await, world.player("eve-of-evil", "evil").await);
    let bob = world.player("bob-of-acme", "acme").await;
    let (mut anns, mut eves, mut bobs) = (world.socket(&ann).await, world.socket(&eve).await, world.socket(&bob).await);
    let created = anns.ask(json!({ "cid": "1", "party_create": { "open": true, "max_size": 4 } })).await;
    let id = created["party"]["party_id"].clone();
    received(&mut anns).await;
    let join = json!({ "cid": "2", "party_join": { "party_id": id } });
    assert_eq!(eves.ask(join.clone()).await["error"]["message"], "Error joining party: party not found");
    for query in ["", "?query=*", "?open=true"] {
        assert_eq!(world.get(&eve, &format!("/v2/party{query}")).await, json!({}), "{query}");
        assert_eq!(world.get(&bob, &format!("/v2/party{query}")).await["parties"][0]["party_id"], id, "{query}");
    }
    assert_eq!(bobs.ask(join).await, json!({ "cid": "2" }));
    assert_eq!(anns.next().await["party_presence_event"]["joins"][0]["user_id"], bob.id);
    assert_eq!(received(&mut eves).await, (String::new(), true));
}

#[tokio::test]
async fn no_route_tells_one_tenant_of_the_other_or_changes_it() {
    let world = World::start().await;
    let ann = world.player("ann-of-acme", "acme").await;
    let _anns = world.socket(&ann).await;
    let before = world.get(&ann, "/v2/account").await;
    for line in include_str!("contract/http_routes.tsv").lines().skip(1) {
        let columns: Vec<_> = line.split('\t').collect();
        let (method, path) = (columns[0], columns[1]);
        // Anew each time: some of these end the caller's own session or account.
        let eve = world.player("eve-of-evil", "evil").await;
        let filled: String = path
            .split('/')
            .map(|part| if part.starts_with('{') { ann.id.as_str() } else { part })
            .collect::<Vec<_>>()
            .join("/");
        let names = format!("ids={0}&user_ids={0}&usernames={1}&owner_ids={0}", ann.id, ann.name);
        let body = json!({ "ids": [ann.id], "usernames": [ann.name], "user_ids": [ann.id], "id": ann.name });
        for query in ["", names.as_str()] {
            let credentials = if columns[8] == "server_key" { SERVER_KEY } else { eve.bearer.as_str() };
            let body = if method == "GET" { Value::Null } else { body.clone() };
            let (_, answer) = world.server.call(method, &format!("{filled}?{query}"), credentials, body).await;
            assert!(!answer.to_string().contains(&ann.name), "{method} {path} tells of ann: {answer}");
        }
    }
    assert_eq!(world.get(&ann, "/v2/account").await, before);
}

#[tokio::test]
async fn lookups_find_the_own_tenant_alone() {
    let world = World::start().await;
    let (ann, eve) = (world.player("ann-of-acme", "acme").await, world.player("eve-of-evil", "evil").await);
    let bob = world.player("bob-of-acme", "acme").await;
    let _anns = world.socket(&ann).await;
    for query in [format!("ids={}", ann.id), format!("usernames={}", ann.name)] {
        let path = format!("/v2/user?{query}");
        assert_eq!(world.get(&eve, &path).await, json!({}));
        let found = world.get(&bob, &path).await;
        assert_eq!((&found["users"][0]["username"], &found["users"][0]["online"]), (&json!(ann.name), &json!(true)));
    }
    assert_eq!(world.get(&eve, "/v2/user?usernames=").await, json!({}), "nor the system user");
    // Names are unique over all tenants; that one is taken is all that is to be learned of it.
    let (status, answer) = world.server.call("PUT", "/v2/account", &eve.bearer, json!({ "username": ann.name })).await;
    assert_eq!((status, text(&answer["message"])), (409, "Username is already in use."));
}

#[tokio::test]
async fn there_are_no_friends_and_no_notifications_across_the_wall() {
    let world = World::start().await;
    let (ann, eve) = (world.player("ann-of-acme", "acme").await, world.player("eve-of-evil", "evil").await);
    let bob = world.player("bob-of-acme", "acme").await;
    let (mut anns, mut eves) = (world.socket(&ann).await, world.socket(&eve).await);
    for (method, path) in [("POST", "/v2/friend"), ("POST", "/v2/friend/block"), ("DELETE", "/v2/friend")] {
        let call = async |caller: &Player, query: String| {
            world.server.call(method, &format!("{path}?{query}"), &caller.bearer, Value::Null).await
        };
        assert_eq!(call(&eve, format!("ids={}", ann.id)).await, (200, json!({})), "as for an id that nobody has");
        assert_eq!(call(&eve, format!("usernames={}", ann.name)).await, call(&eve, "usernames=nobody".into()).await);
        assert_eq!(world.get(&eve, "/v2/friend").await, json!({}));
        assert_eq!(world.get(&ann, "/v2/friend").await, json!({}));
    }
    assert_eq!(received(&mut anns).await, (String::new(), true));
    let path = format!("/v2/friend?ids={}", ann.id);
    assert_eq!(world.server.call("POST", &path, &bob.bearer, Value::Null).await.0, 200);
    let (heard, _) = received(&mut anns).await;
    assert!(heard.contains("bob-of-acme wants to add you as a friend"), "{heard}");

    let notification =
        Notification { subject: "for acme".into(), content: "{}".into(), code: 1, sender_id: None, persistent: false };
    let (services, acme) = (world.server.running.services(), Tenant::named("acme"));
    let kept = Notification { persistent: true, ..notification.clone() };
    notifications::send_to_all(services, acme, notification).await.expect("sent");
    assert_eq!(notifications::send_to_all(services, acme, kept).await.expect("sent"), 2);
    assert_eq!(received(&mut anns).await.0.matches("for acme").count(), 2);
    assert_eq!(received(&mut eves).await, (String::new(), true));
    assert_eq!(world.get(&eve, "/v2/notification?limit=9").await.get("notifications"), None);
}

#[tokio::test]
async fn who_proves_no_tenant_does_not_get_in() {
    let world = World::start().await;
    let message = |(status, answer): (u16, Value)| (status, text(&answer["message"]).to_owned());
    for none in [Value::Null, json!(7), json!(["acme", "evil"])] {
        let answer = world.try_sign_in("nobody-at-all", none, "").await;
        assert_eq!(message(answer), (401, "Identity token refused.".into()), "the entry asks for one");
    }
    // Where nobody is trusted, or a provider that says nothing of tenants, nobody gets in at all.
    let bare = TestServer::start_with(|config| config.tenancy.enabled = true).await;
    let answer = bare.call("POST", "/v2/account/authenticate/custom", SERVER_KEY, json!({ "id": "plain-id" })).await;
    assert_eq!(message(answer), (403, "The identity token names no tenant.".into()));
    let others = [
        ("device", json!({ "id": "device-0000-0001" })),
        ("email", json!({ "email": "ann@example.com", "password": "long-enough" })),
    ];
    let ann = world.player("ann-of-acme", "acme").await;
    for (method, account) in others {
        let path = format!("/v2/account/authenticate/{method}");
        let answer = world.server.call("POST", &path, SERVER_KEY, account.clone()).await;
        assert_eq!(message(answer), (403, "With tenants, only an identity token signs in.".into()));
        let path = format!("/v2/account/link/{method}");
        let answer = world.server.call("POST", &path, &ann.bearer, account).await;
        assert_eq!(message(answer), (403, "With tenants, only an identity token signs in.".into()));
    }
    for method in ["apple", "facebook", "facebookinstantgame", "gamecenter", "google", "steam"] {
        let path = format!("/v2/account/authenticate/{method}");
        let (status, _) = world.server.call("POST", &path, SERVER_KEY, json!({ "token": "x" })).await;
        assert_eq!(status / 100, 4, "{method}");
    }
}

#[tokio::test]
async fn an_account_stays_with_its_tenant() {
    let world = World::start().await;
    let ann = world.player("ann-of-acme", "acme").await;
    let (status, answer) = world.try_sign_in("ann-of-acme", json!("evil"), "").await;
    assert_eq!((status, text(&answer["message"])), (403, "User account belongs to another tenant."));
    let other = world.issuer.token("another-subject", &json!({ "tenant": "evil" }));
    let (status, answer) =
        world.server.call("POST", "/v2/account/link/custom", &ann.bearer, json!({ "id": other })).await;
    assert_eq!((status, text(&answer["message"])), (403, "The identity token is of another tenant."));
    let own = world.issuer.token("another-subject", &json!({ "tenant": "acme" }));
    let (status, _) = world.server.call("POST", "/v2/account/link/custom", &ann.bearer, json!({ "id": own })).await;
    assert_eq!(status, 200);

    // Also after a restart; and a refresh keeps the tenant.
    let World { server, issuer } = world;
    let world = World::start_in(server.stop().await, issuer, |_| {}).await;
    assert_eq!(world.try_sign_in("another-subject", json!("evil"), "").await.0, 403);
    let body = json!({ "token": ann.session["refresh_token"] });
    let (status, refreshed) = world.server.call("POST", "/v2/account/session/refresh", SERVER_KEY, body).await;
    assert_eq!(status, 200, "{refreshed}");
    let claims = world.server.running.services().tokens.verify_session(text(&refreshed["token"])).expect("good");
    assert_eq!(claims.tenant, Tenant::named("acme"));
    // Nor does a current identity token of another tenant, sent along, move it.
    let moved = world.issuer.token("another-subject", &json!({ "tenant": "evil" }));
    let body = json!({ "token": refreshed["refresh_token"], "vars": { "idp.token": moved } });
    let (status, answer) = world.server.call("POST", "/v2/account/session/refresh", SERVER_KEY, body).await;
    assert_eq!((status, text(&answer["message"])), (401, "Identity token refused."));
}

#[tokio::test]
async fn without_tenancy_tenants_are_names_and_no_walls() {
    let folder = tempfile::tempdir().expect("a folder");
    let issuer = Issuer::new("https://idp.example");
    let world = World::start_in(folder, issuer, |config| config.tenancy.enabled = false).await;
    for (name, tenant) in [("ann-of-acme", "acme"), ("eve-of-evil", "evil")] {
        assert_eq!(world.try_sign_in(name, json!(tenant), name).await.0, 200);
    }
    let (_, ann) = world.try_sign_in("ann-of-acme", json!("acme"), "").await;
    let (_, eve) = world.try_sign_in("eve-of-evil", json!("evil"), "").await;
    let mut anns = world.server.connect(text(&ann["token"]), "json").await;
    let mut eves = world.server.connect(text(&eve["token"]), "json").await;
    let (id, _) = anns.create_match().await;
    eves.join_match(&id).await;
    let path = "/v2/user?usernames=ann-of-acme";
    let bearer = format!("Bearer {}", text(&eve["token"]));
    let (_, found) = world.server.call("GET", path, &bearer, Value::Null).await;
    assert_eq!(found["users"][0]["username"], "ann-of-acme");
    assert_eq!(world.try_sign_in("ann-of-acme", json!("evil"), "").await.0, 200, "the name may change");
}

#[tokio::test]
async fn switched_on_later_it_refuses_older_tokens_and_takes_accounts_on() {
    let issuer = Issuer::new("https://idp.example");
    let folder = tempfile::tempdir().expect("a folder");
    let off = |config: &mut Config| {
        config.tenancy.enabled = false;
        config.identity.trust[0].tenant = TenantRule::default();
    };
    let world = World::start_in(folder, issuer, off).await;
    let (status, old) = world.try_sign_in("ann-of-acme", Value::Null, "").await;
    assert_eq!(status, 200, "{old}");
    let bearer = format!("Bearer {}", text(&old["token"]));
    assert_eq!(world.server.call("GET", "/v2/account", &bearer, Value::Null).await.0, 200);

    let World { server, issuer } = world;
    let world = World::start_in(server.stop().await, issuer, |_| {}).await;
    assert_eq!(world.server.call("GET", "/v2/account", &bearer, Value::Null).await.0, 401);
    assert_eq!(world.server.call("POST", "/v2/session/ticket", &bearer, Value::Null).await.0, 401);
    let query = format!("token={}", text(&old["token"]));
    assert_eq!(world.server.try_connect(&query, &[]).await.err().expect("refused").0, 401);
    let body = json!({ "token": old["refresh_token"] });
    assert_eq!(world.server.call("POST", "/v2/account/session/refresh", SERVER_KEY, body).await.0, 401);

    // The account is the first tenant's that its owner proves.
    let (status, again) = world.try_sign_in("ann-of-acme", json!("acme"), "").await;
    assert_eq!((status, again.get("created")), (200, None), "{again}");
    assert_eq!(world.try_sign_in("ann-of-acme", json!("evil"), "").await.0, 403);
}
