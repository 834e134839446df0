//! The matchmaker at the wire (spec/matchmaker.md), with a pass every second.

mod common;

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use common::{PATIENCE, Socket, TestServer, fixed, text};
use kizuna::config::{Config, Signing};
use serde_json::{Value, json};

async fn start() -> TestServer {
    start_with(|_| {}).await
}

async fn start_with(change: impl FnOnce(&mut Config)) -> TestServer {
    TestServer::start_with(|config| {
        config.matchmaker.interval_sec = 1;
        change(config);
    })
    .await
}

fn add(request: &Value) -> Value {
    json!({ "cid": "add", "matchmaker_add": request })
}

fn error(cid: &str, code: i32, message: &str) -> Value {
    match code {
        0 => json!({ "cid": cid, "error": { "message": message } }),
        code => json!({ "cid": cid, "error": { "code": code, "message": message } }),
    }
}

/// Adds a ticket, and answers its id.
async fn ticket(socket: &mut Socket, request: Value) -> String {
    let answer = socket.ask(add(&request)).await;
    let ticket = text(&answer["matchmaker_ticket"]["ticket"]).to_owned();
    assert_eq!(answer, json!({ "cid": "add", "matchmaker_ticket": { "ticket": ticket } }));
    assert_eq!(uuid::Uuid::parse_str(&ticket).map(|id| id.get_version_num()), Ok(4));
    ticket
}

/// The next message, which tells of a match.
async fn matched(socket: &mut Socket) -> Value {
    let told = socket.next().await;
    assert!(told.get("cid").is_none() && told["matchmaker_matched"].is_object(), "{told}");
    told["matchmaker_matched"].clone()
}

/// A token with these claims, signed as told.
fn signed(header: &Value, claims: &Value, algorithm: hmac::Algorithm, key: &str) -> String {
    let part = |value: &Value| BASE64.encode(value.to_string());
    let said = format!("{}.{}", part(header), part(claims));
    let tag = hmac::sign(&hmac::Key::new(algorithm, key.as_bytes()), said.as_bytes());
    format!("{said}.{}", BASE64.encode(tag.as_ref()))
}

fn match_token(claims: &Value) -> String {
    signed(&json!({ "alg": "HS256", "typ": "JWT" }), claims, hmac::HMAC_SHA256, "defaultencryptionkey")
}

#[tokio::test]
async fn counts_and_queries_are_judged_in_their_order_and_words() {
    let server = start().await;
    let mut a = server.player("player-a").await;
    for (request, code, message) in [
        (json!({}), 3, "Invalid minimum count, must be >= 2"),
        (json!({ "min_count": 1, "max_count": 0, "count_multiple": 0 }), 3, "Invalid minimum count, must be >= 2"),
        (json!({ "min_count": 3, "max_count": 2 }), 3, "Invalid maximum count, must be >= minimum count"),
        (json!({ "min_count": 2, "max_count": 4, "count_multiple": 0 }), 3, "Invalid count multiple, must be >= 1"),
        (
            json!({ "min_count": 3, "max_count": 4, "count_multiple": 2 }),
            3,
            "Invalid count multiple for minimum count, must divide",
        ),
        (
            json!({ "min_count": 2, "max_count": 5, "count_multiple": 2, "query": "a:" }),
            3,
            "Invalid count multiple for maximum count, must divide",
        ),
        (json!({ "min_count": 2, "max_count": 2, "query": "+properties.a:b:c" }), 0, "Error adding to matchmaker"),
    ] {
        assert_eq!(a.ask(add(&request)).await, error("add", code, message), "{request}");
    }
    ticket(&mut a, json!({ "min_count": 2, "max_count": i32::MAX })).await;
    ticket(&mut a, json!({ "min_count": 2, "max_count": 2, "query": "+properties.a:/(/ +properties.b:x~3" })).await;
    ticket(&mut a, json!({ "min_count": 2, "max_count": 2, "count_multiple": 2 })).await;
    let one_too_many = a.ask(add(&json!({ "min_count": 2, "max_count": 2 }))).await;
    assert_eq!(one_too_many, error("add", 0, "Error adding to matchmaker"));
}

#[tokio::test]
async fn a_ticket_is_removed_by_its_session_alone_and_once() {
    let server = start().await;
    let (mut a, mut b) = (server.player("player-a").await, server.player("player-b").await);
    let own = ticket(&mut a, json!({ "min_count": 3, "max_count": 3 })).await;
    let remove = |ticket: &str| json!({ "cid": "1", "matchmaker_remove": { "ticket": ticket } });
    assert_eq!(b.ask(remove(&own)).await, error("1", 3, "Matchmaker ticket not found"));
    assert_eq!(a.ask(remove(&own.to_uppercase())).await, error("1", 3, "Matchmaker ticket not found"));
    assert_eq!(a.ask(remove(&own)).await, json!({ "cid": "1" }));
    assert_eq!(a.ask(remove(&own)).await, error("1", 3, "Matchmaker ticket not found"));
    assert_eq!(a.ask(remove("")).await, error("1", 3, "Invalid matchmaker ticket"));
    assert_eq!(a.ask(json!({ "cid": "1", "matchmaker_remove": {} })).await, error("1", 3, "Invalid matchmaker ticket"));
}

#[tokio::test]
async fn players_who_fit_are_told_of_each_other_and_meet_in_a_match() {
    let server = start().await;
    let (mut a, mut b, mut c) =
        (server.player("player-a").await, server.player("player-b").await, server.player("player-c").await);
    let query = "+properties.rank:>=5 +properties.mode:duel";
    let first = ticket(
        &mut a,
        json!({ "min_count": 2, "max_count": 2, "query": query, "string_properties": { "mode": "duel", "region": "eu" },
                "numeric_properties": { "rank": 10 } }),
    )
    .await;
    let second = ticket(
        &mut b,
        json!({ "min_count": 2, "max_count": 2, "query": query, "string_properties": { "mode": "duel" },
                "numeric_properties": { "rank": 7.5 } }),
    )
    .await;
    let (told_a, told_b) = (matched(&mut a).await, matched(&mut b).await);
    let (own_a, own_b) = (&told_a["self"], &told_b["self"]);
    assert_eq!(told_a["string_properties"], Value::Null);
    assert_eq!(own_a["string_properties"], json!({ "mode": "duel", "region": "eu" }));
    assert_eq!(own_b["numeric_properties"], json!({ "rank": 7.5 }));
    let mut fields: Vec<_> = own_a["presence"].as_object().expect("a presence").keys().collect();
    fields.sort();
    assert_eq!(fields, ["session_id", "user_id", "username"]);
    let token = told_a["token"].clone();
    // Which of them searched depends on where the tick fell.
    let users = &told_a["users"];
    assert!(*users == json!([own_b, own_a]) || *users == json!([own_a, own_b]), "{users}");
    assert_eq!(told_a, json!({ "ticket": first, "token": token, "users": users, "self": own_a }));
    assert_eq!(told_b, json!({ "ticket": second, "token": token, "users": users, "self": own_b }));
    let gone = a.ask(json!({ "cid": "2", "matchmaker_remove": { "ticket": first } })).await;
    assert_eq!(gone, error("2", 3, "Matchmaker ticket not found"));

    let (pa, pb) = (&own_a["presence"], &own_b["presence"]);
    let joined = a.ask(json!({ "cid": "3", "match_join": { "token": token } })).await;
    let id = text(&joined["match"]["match_id"]).to_owned();
    assert!(id.ends_with('.'), "a relayed match");
    assert_eq!(joined, json!({ "cid": "3", "match": { "match_id": id, "self": pa } }));
    assert_eq!(a.next().await, json!({ "match_presence_event": { "match_id": id, "joins": [pa] } }));
    let joined = b.ask(json!({ "cid": "2", "match_join": { "token": token, "metadata": { "k": "v" } } })).await;
    assert_eq!(joined, json!({ "cid": "2", "match": { "match_id": id, "size": 1, "presences": [pa], "self": pb } }));
    // Who was not matched may come in all the same, and one who is in it may come again.
    let joined = c.ask(json!({ "cid": "1", "match_join": { "token": token } })).await;
    assert_eq!(joined["match"]["size"], 2);
    let again = a.ask(json!({ "cid": "4", "match_join": { "token": token } })).await;
    assert!(again["match_presence_event"]["joins"][0] == *pb, "{again}");
}

#[tokio::test]
async fn who_does_not_fit_is_left_out_and_who_goes_takes_the_ticket_along() {
    let server = start().await;
    let (mut a, mut b, mut c) =
        (server.player("player-a").await, server.player("player-b").await, server.player("player-c").await);
    let of = |mode: &str| json!({ "min_count": 2, "max_count": 2, "query": format!("+properties.mode:{mode}"), "string_properties": { "mode": mode } });
    ticket(&mut b, of("other")).await;
    // Whoever goes is gone before anybody comes who fits: it does not matter where the tick falls.
    let mut gone = server.player("player-d").await;
    ticket(&mut gone, of("same")).await;
    ticket(&mut gone, of("third")).await;
    gone.socket.close(None).await.expect("closed");
    let services = server.running.services();
    tokio::time::timeout(PATIENCE, async {
        while services.metrics.matchmaker_tickets.get() > 1 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the tickets of who is gone are gone");
    ticket(&mut a, of("same")).await;
    ticket(&mut c, of("same")).await;
    let (told_a, told_c) = (matched(&mut a).await, matched(&mut c).await);
    assert_eq!(told_a["users"], told_c["users"]);
    assert_eq!(told_a["users"].as_array().map(Vec::len), Some(2));
    b.quiet().await;
}

#[tokio::test]
async fn every_fault_of_a_match_token_is_answered() {
    let (clock, entropy) = fixed();
    let now = clock.unix_seconds();
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::start_built(folder, |_| {}, |server| server.with_time(clock.clone(), entropy)).await;
    let session = server.sign_in("player-a").await;
    let mut a = server.connect(text(&session["token"]), "json").await;
    let id = "11111111-1111-4111-8111-111111111111";
    let relayed = json!({ "exp": now + 30, "mid": format!("{id}.") });
    let header = |algorithm: &str| json!({ "alg": algorithm, "typ": "JWT" });
    let unsigned = {
        let token = signed(&header("none"), &relayed, hmac::HMAC_SHA256, "x");
        token[..=token.rfind('.').expect("three parts")].to_owned()
    };
    let key = "defaultencryptionkey";
    for (what, token) in [
        ("empty", String::new()),
        ("malformed", "x.y.z".to_owned()),
        ("two parts", match_token(&relayed).rsplit_once('.').expect("three parts").0.to_owned()),
        ("another key", signed(&header("HS256"), &relayed, hmac::HMAC_SHA256, "another")),
        ("HS512", signed(&header("HS512"), &relayed, hmac::HMAC_SHA512, key)),
        ("said to be HS512", signed(&header("HS512"), &relayed, hmac::HMAC_SHA256, key)),
        ("unsigned", unsigned),
        ("expired", match_token(&json!({ "exp": now, "mid": format!("{id}.") }))),
        ("not yet good", match_token(&json!({ "exp": now + 30, "nbf": now + 5, "mid": format!("{id}.") }))),
        ("without a dot", match_token(&json!({ "exp": now + 30, "mid": id }))),
        ("of no UUID", match_token(&json!({ "exp": now + 30, "mid": "abc." }))),
        ("without a match", match_token(&json!({ "exp": now + 30 }))),
        ("a session token", text(&session["token"]).to_owned()),
        ("a refresh token", text(&session["refresh_token"]).to_owned()),
    ] {
        let answer = a.ask(json!({ "cid": "1", "match_join": { "token": token } })).await;
        assert_eq!(answer, error("1", 3, "Invalid match token"), "{what}");
    }
    let of_node = match_token(&json!({ "exp": now + 30, "mid": format!("{id}.node1") }));
    let answer = a.ask(json!({ "cid": "1", "match_join": { "token": of_node } })).await;
    assert_eq!(answer, error("1", 4, "Match not found"));
    let answer = a.ask(json!({ "cid": "1", "match_join": {} })).await;
    assert_eq!(answer, error("1", 3, "No match ID or token found"));
    // Without exp it is good; the first who comes makes the match, and who leaves may come again.
    let endless = match_token(&json!({ "mid": format!("{id}.") }));
    for _ in 0..2 {
        let joined = a.ask(json!({ "cid": "2", "match_join": { "token": endless } })).await;
        assert_eq!(joined["match"]["match_id"], format!("{id}."), "{joined}");
        assert!(a.next().await["match_presence_event"]["joins"].is_array());
        assert_eq!(
            a.ask(json!({ "cid": "3", "match_leave": { "match_id": format!("{id}.") } })).await,
            json!({ "cid": "3" })
        );
        let by_id = a.ask(json!({ "cid": "4", "match_join": { "match_id": format!("{id}.") } })).await;
        assert_eq!(by_id, error("4", 4, "Match not found"));
    }
}

#[tokio::test]
async fn a_match_token_opens_no_socket_and_signs_no_request() {
    // Under ES256, what HS256 signed under the same key may still be a session token from before the change.
    for (signing, accept_hs256) in [(Signing::HS256, true), (Signing::ES256, true), (Signing::ES256, false)] {
        let server = start_with(|config| {
            config.session.signing = signing;
            config.session.accept_hs256 = accept_hs256;
        })
        .await;
        keeps_tokens_apart(&server).await;
    }
}

async fn keeps_tokens_apart(server: &TestServer) {
    let (mut a, mut b) = (server.player("player-a").await, server.player("player-b").await);
    ticket(&mut a, json!({ "min_count": 2, "max_count": 2 })).await;
    ticket(&mut b, json!({ "min_count": 2, "max_count": 2 })).await;
    let token = text(&matched(&mut a).await["token"]).to_owned();
    let refused = server.try_connect(&format!("token={token}&format=json"), &[]).await;
    assert_eq!(refused.err().map(|(status, _)| status), Some(401));
    let bearer = format!("Bearer {token}");
    for path in ["/v2/account", "/v2/match", "/v2/matchmaker/stats", "/v2/matchmaker/why?ticket=x"] {
        let (status, answer) = server.call("GET", path, &bearer, Value::Null).await;
        assert_eq!((status, text(&answer["message"])), (401, "Auth token invalid"), "{path}");
    }
    let (status, _) =
        server.call("POST", "/v2/account/session/refresh", common::SERVER_KEY, json!({ "token": token })).await;
    assert_eq!(status, 401);
    let (status, _) = server.call("POST", "/v2/session/ticket", &bearer, Value::Null).await;
    assert_eq!(status, 401, "no ticket for a socket either");
    let session = server.sign_in("player-a").await;
    for kind in ["token", "refresh_token"] {
        let answer = a.ask(json!({ "cid": "1", "match_join": { "token": session[kind] } })).await;
        assert_eq!(answer, error("1", 3, "Invalid match token"), "{kind}");
    }
    let joined = a.ask(json!({ "cid": "2", "match_join": { "token": token } })).await;
    assert!(joined["match"].is_object(), "it is good for what it is for: {joined}");
}

#[tokio::test]
async fn stats_tell_what_waits_and_what_was_matched() {
    let server = start().await;
    let session = server.sign_in("player-a").await;
    let bearer = format!("Bearer {}", text(&session["token"]));
    let stats = async || server.call("GET", "/v2/matchmaker/stats", &bearer, Value::Null).await;
    assert_eq!(stats().await, (200, json!({})));
    assert_eq!(server.call("GET", "/v2/matchmaker/stats", "", Value::Null).await.0, 401);
    let mut a = server.connect(text(&session["token"]), "json").await;
    let mut b = server.player("player-b").await;
    let mut c = server.player("player-c").await;
    ticket(&mut c, json!({ "min_count": 3, "max_count": 3, "query": "+properties.no:no" })).await;
    ticket(&mut a, json!({ "min_count": 2, "max_count": 2 })).await;
    ticket(&mut b, json!({ "min_count": 2, "max_count": 2 })).await;
    matched(&mut a).await;
    let told = tokio::time::timeout(PATIENCE, async {
        loop {
            let (_, told) = stats().await;
            if told["ticket_count"] == 1 {
                return told;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    let told = told.await.expect("the next pass counts one");
    assert!(told["oldest_ticket_create_time"].is_string(), "{told}");
    assert_eq!(told["completions"].as_array().map(Vec::len), Some(2), "{told}");
    assert!(text(&told["completions"][0]["complete_time"]) > text(&told["completions"][0]["create_time"]));
}

#[tokio::test]
async fn a_holder_can_ask_why_a_ticket_waits() {
    let server = start_with(|config| config.matchmaker.interval_sec = 3_600).await;
    let session = server.sign_in("player-a").await;
    let bearer = format!("Bearer {}", text(&session["token"]));
    let mut a = server.connect(text(&session["token"]), "json").await;
    let mut b = server.player("player-b").await;
    let own = ticket(&mut a, json!({ "min_count": 2, "max_count": 2, "query": "+properties.mode:duel" })).await;
    let theirs =
        ticket(&mut b, json!({ "min_count": 2, "max_count": 2, "string_properties": { "mode": "race" } })).await;
    let why = async |ticket: &str| {
        server.call("GET", &format!("/v2/matchmaker/why?ticket={ticket}"), &bearer, Value::Null).await
    };
    let (status, told) = why(&own).await;
    assert_eq!((status, &told["ticket"], &told["state"]), (200, &json!(own), &json!("active")));
    assert_eq!(told["because"], "No other ticket fits; 1 of 1 because its query does not take them.");
    assert_eq!(told["clauses"], json!([{ "clause": "+properties.mode:duel", "failed_by": 1 }]));
    assert!(told["next_pass_unix_ms"].as_i64().is_some_and(|at| at > 0));
    for (ticket, status, message) in [
        (theirs.as_str(), 404, "Matchmaker ticket not found"),
        ("nonsense", 404, "Matchmaker ticket not found"),
        ("", 400, "Invalid matchmaker ticket"),
    ] {
        let (found, answer) = why(ticket).await;
        assert_eq!((found, text(&answer["message"])), (status, message));
    }
    let asked_often = start_with(|config| {
        config.limits.explanations_per_user_per_min = 1;
        config.limits.burst = 1;
    })
    .await;
    let session = asked_often.sign_in("player-a").await;
    let bearer = format!("Bearer {}", text(&session["token"]));
    let ask = async || asked_often.call("GET", "/v2/matchmaker/why?ticket=x", &bearer, Value::Null).await;
    assert_eq!(ask().await.0, 404);
    let (status, answer) = ask().await;
    assert_eq!((status, &answer["code"]), (429, &json!(8)), "{answer}");
    assert!(text(&answer["message"]).starts_with("Too many questions from this user. Try again in "), "{answer}");
    let off = start_with(|config| config.matchmaker.max_why = 0).await;
    let (session, mut c) = (off.sign_in("player-c").await, off.player("player-c").await);
    let own = ticket(&mut c, json!({ "min_count": 2, "max_count": 2 })).await;
    let bearer = format!("Bearer {}", text(&session["token"]));
    assert_eq!(off.call("GET", &format!("/v2/matchmaker/why?ticket={own}"), &bearer, Value::Null).await.0, 404);
}

#[tokio::test]
async fn metrics_count_matches_and_the_gauge_comes_back_to_nothing() {
    let server = start().await;
    let mut players = Vec::new();
    for number in 0..4 {
        let mut player = server.player(&format!("player-{number}")).await;
        ticket(&mut player, json!({ "min_count": 2, "max_count": 4 })).await;
        ticket(&mut player, json!({ "min_count": 3, "max_count": 3, "query": "+properties.no:no" })).await;
        players.push(player);
    }
    for player in &mut players {
        assert!(matched(player).await["users"].is_array());
    }
    drop(players);
    let services = server.running.services();
    tokio::time::timeout(PATIENCE, async {
        while services.metrics.matchmaker_tickets.get() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("every ticket is gone with its session");
    let metrics = server.metrics().await;
    assert!(metrics.contains("kizuna_matchmaker_tickets 0"), "{metrics}");
    assert!(metrics.contains("kizuna_matchmaker_pass_seconds_count"), "{metrics}");
}
