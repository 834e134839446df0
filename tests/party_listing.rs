//! `GET /v2/party` at the wire, as spec/parties.md section 9 tells it.

mod common;

use common::{
    TestServer,
    parties::{FORMATS, Player, three},
    text,
};
use serde_json::{Value, json};

/// The ids on a page, and its cursor.
async fn page(server: &TestServer, token: &str, query: &str) -> (Vec<String>, String) {
    let (status, body) =
        server.call("GET", &format!("/v2/party?{query}"), &format!("Bearer {token}"), Value::Null).await;
    assert_eq!(status, 200, "{query}: {body}");
    let ids = body["parties"].as_array().into_iter().flatten().map(|party| text(&party["party_id"]).to_owned());
    (ids.collect(), body["cursor"].as_str().unwrap_or_default().to_owned())
}

async fn listed(server: &TestServer, token: &str, query: &str) -> Vec<String> {
    page(server, token, query).await.0
}

async fn labelled(player: &mut Player, label: &str, open: bool, hidden: bool) -> String {
    let create = json!({ "open": open, "hidden": hidden, "max_size": 3, "label": label });
    let answer = player.ask(json!({ "cid": "1", "party_create": create })).await;
    player.next().await;
    player.next().await;
    text(&answer["party"]["party_id"]).to_owned()
}

#[tokio::test]
async fn parties_are_listed_as_they_are_at_that_moment() {
    let server = TestServer::start().await;
    let [mut a, mut b, _c] = three(&server, FORMATS[0]).await;
    let bearer = format!("Bearer {}", b.token);
    let list = async || server.call("GET", "/v2/party", &bearer, Value::Null).await;
    assert_eq!(list().await, (200, json!({})));
    assert_eq!(server.call("GET", "/v2/party", "", Value::Null).await.0, 401);
    let first = labelled(&mut a, "", true, false).await;
    let second = labelled(&mut a, " {\"mode\":\"x\"}", false, false).await;
    labelled(&mut a, "{\"mode\":\"secret\"}", true, true).await;
    let one = json!({ "party_id": first, "open": true, "max_size": 3, "label": "{}" });
    let two = json!({ "party_id": second, "max_size": 3, "label": " {\"mode\":\"x\"}" });
    assert_eq!(list().await, (200, json!({ "parties": [one, two] })), "the oldest first, labels as they were written");
    a.ask(json!({ "party_update": { "party_id": first, "hidden": true } })).await;
    assert_eq!(list().await, (200, json!({ "parties": [two] })));
    a.next().await;
    a.ask(json!({ "party_update": { "party_id": first, "open": true, "label": "{\"mode\":\"y\"}" } })).await;
    a.next().await;
    assert_eq!(listed(&server, &b.token, "query=%2Blabel.mode:y").await, [first.as_str()]);
    assert_eq!(listed(&server, &b.token, "open=true").await, [first.as_str()]);
    assert_eq!(listed(&server, &b.token, "open=false").await, [second.as_str()]);
    a.ask(json!({ "party_close": { "party_id": second } })).await;
    a.next().await;
    assert_eq!(listed(&server, &b.token, "").await, [first.as_str()]);
    b.enter(&first).await;
    a.next().await;
    drop(a);
    b.next().await;
    b.next().await;
    assert_eq!(listed(&server, &b.token, "").await, [first.as_str()]);
    b.ask(json!({ "cid": "1", "party_leave": { "party_id": first } })).await;
    assert!(listed(&server, &b.token, "").await.is_empty());
}

#[tokio::test]
async fn a_query_finds_parties_by_what_they_are_and_the_best_come_first() {
    let server = TestServer::start().await;
    let mut a = Player::start(&server, "a", "json").await;
    let first = labelled(&mut a, r#"{"mode":"x","rank":5,"tags":["t1","t2"],"on":true}"#, true, false).await;
    let second = labelled(&mut a, r#"{"mode":"y","rank":15,"nest":{"k":"deep"}}"#, false, false).await;
    let third = labelled(&mut a, "null", true, false).await;
    let node = "kizuna";
    for (query, expected) in [
        ("*".to_owned(), vec![&first, &second, &third]),
        (String::new(), vec![&first, &second, &third]),
        ("label.mode:x".to_owned(), vec![&first]),
        ("+label.rank:>=5 +label.rank:<10".to_owned(), vec![&first]),
        ("label.tags:t2".to_owned(), vec![&first]),
        ("label.on:T".to_owned(), vec![&first]),
        ("label.nest.k:deep".to_owned(), vec![&second]),
        ("label.rank:>1 label.mode:y^3".to_owned(), vec![&second, &first]),
        ("-label.mode:x".to_owned(), vec![&second, &third]),
        ("+open:T".to_owned(), vec![&first, &third]),
        ("+hidden:F".to_owned(), vec![&first, &second, &third]),
        ("+hidden:T".to_owned(), vec![]),
        (format!("+node:{node} +max_size:3"), vec![&first, &second, &third]),
        ("+max_size:>3".to_owned(), vec![]),
        (format!("_id:{third}"), vec![&third]),
        ("+create_time:>\"2024-01-01T00:00:00Z\" +create_time:>1704067200".to_owned(), vec![&first, &second, &third]),
        ("nothing".to_owned(), vec![]),
    ] {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        assert_eq!(
            listed(&server, &a.token, &format!("query={encoded}")).await.iter().collect::<Vec<_>>(),
            expected,
            "{query}"
        );
    }
}

#[tokio::test]
async fn pages_follow_each_other_whatever_comes_and_goes_between_them() {
    let server = TestServer::start_with(|config| config.party.max_per_session = 100).await;
    let mut a = Player::start(&server, "a", "json").await;
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(labelled(&mut a, "", false, false).await);
    }
    for open in ["", "open=false&"] {
        let (first, cursor) = page(&server, &a.token, &format!("{open}limit=3")).await;
        assert_eq!(first, ids[..3]);
        let (second, cursor) = page(&server, &a.token, &format!("{open}limit=3&cursor={cursor}")).await;
        assert_eq!(second, ids[3..6]);
        let (third, cursor) = page(&server, &a.token, &format!("{open}limit=3&cursor={cursor}")).await;
        assert_eq!((third.as_slice(), cursor.as_str()), (&ids[6..], ""), "the last page says so");
    }
    let (all, cursor) = page(&server, &a.token, "limit=7").await;
    assert_eq!((all.as_slice(), cursor.as_str()), (ids.as_slice(), ""));
    let (_, cursor) = page(&server, &a.token, "limit=3").await;
    for gone in [&ids[0], &ids[2]] {
        a.ask(json!({ "party_close": { "party_id": gone } })).await;
        a.next().await;
    }
    let next = listed(&server, &a.token, &format!("limit=3&cursor={cursor}")).await;
    assert_eq!(next, ids[3..6], "nobody is passed over, nobody seen twice");
}

#[tokio::test]
async fn what_a_listing_cannot_read_is_the_callers_fault() {
    let server = TestServer::start_with(|config| config.party.max_per_session = 100).await;
    let mut a = Player::start(&server, "a", "json").await;
    for _ in 0..3 {
        labelled(&mut a, "", true, false).await;
    }
    let (_, cursor) = page(&server, &a.token, "open=true&limit=2").await;
    let bearer = format!("Bearer {}", a.token);
    let limit = "Invalid limit - limit must be between 1 and 100.";
    let stale = "Invalid cursor - it must be that of the previous page, with limit, query and open unchanged.";
    for (query, message) in [
        ("limit=0", limit),
        ("limit=101", limit),
        ("limit=-1", limit),
        ("cursor=x", stale),
        ("cursor=%C3%A9", stale),
        (&format!("limit=2&cursor={cursor}"), stale),
        (&format!("limit=2&open=false&cursor={cursor}"), stale),
        (&format!("limit=3&open=true&cursor={cursor}"), stale),
        (&format!("limit=2&open=true&query=a&cursor={cursor}"), stale),
    ] {
        let (status, body) = server.call("GET", &format!("/v2/party?{query}"), &bearer, Value::Null).await;
        assert_eq!((status, &body["code"], &body["message"]), (400, &json!(3), &json!(message)), "{query}");
    }
    for query in ["a:", "%2B", "%22", "a:/(/", "a:b~3", "a%5Ex"] {
        let (status, body) = server.call("GET", &format!("/v2/party?query={query}"), &bearer, Value::Null).await;
        assert_eq!((status, &body["code"]), (400, &json!(3)), "{query}");
        assert!(text(&body["message"]).starts_with("Invalid query - "), "{body}");
    }
    assert_eq!(listed(&server, &a.token, &format!("limit=2&open=true&cursor={cursor}")).await.len(), 1);
    assert_eq!(listed(&server, &a.token, "limit=100&cursor=").await.len(), 3, "an empty cursor is none");
}

#[tokio::test]
async fn a_query_that_looks_at_too_much_is_told_so() {
    let server = TestServer::start_with(|config| {
        config.party.max_per_session = 200;
        config.party.max_per_user = 200;
        config.party.max_list_steps = 10_000;
    })
    .await;
    let mut a = Player::start(&server, "a", "json").await;
    for number in 0..200 {
        labelled(&mut a, &format!(r#"{{"name":"party{number:04}"}}"#), true, false).await;
    }
    let list = async |query: &str| {
        let bearer = format!("Bearer {}", a.token);
        server.call("GET", &format!("/v2/party?limit=100&query={query}"), &bearer, Value::Null).await
    };
    for query in ["label.name:*x*", "label.name:/.*x.*/", "label.name:partx~2", "-label.name:*x*"] {
        let (status, body) = list(query).await;
        assert_eq!((status, &body["code"]), (429, &json!(8)), "{query}: {body}");
        assert!(text(&body["message"]).starts_with("The query looks at too much."), "{body}");
    }
    for query in ["*", "label.name:party0007", "%2Blabel.name:party0007%20label.name:/.*7/"] {
        assert_eq!(list(query).await.0, 200, "{query}");
    }
}
