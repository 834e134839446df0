//! Parties in the matchmaker, as spec/matchmaker.md section 5 tells it.

mod common;

use common::{
    TestServer,
    parties::{FORMATS, Player, UNKNOWN, closed, empty, joins, leaves, refused, three},
    text,
};
use serde_json::{Value, json};

/// Adds a ticket for two to four, and answers its id; the leader is told with the cid, the others without.
async fn search(leader: &mut Player, others: &mut [&mut Player], id: &str) -> String {
    let add = json!({ "party_id": id, "min_count": 2, "max_count": 4, "query": "*" });
    let answer = leader.ask(json!({ "cid": "m", "party_matchmaker_add": add })).await;
    let ticket = text(&answer["party_matchmaker_ticket"]["ticket"]).to_owned();
    let told = json!({ "party_matchmaker_ticket": { "party_id": id, "ticket": ticket } });
    assert_eq!(answer, json!({ "cid": "m", "party_matchmaker_ticket": told["party_matchmaker_ticket"] }));
    for other in others {
        assert_eq!(other.next().await, told);
    }
    ticket
}

async fn unsearch(player: &mut Player, id: &str, ticket: &str) -> Value {
    let remove = json!({ "party_id": id, "ticket": ticket });
    player.ask(json!({ "cid": "r", "party_matchmaker_remove": remove })).await
}

#[tokio::test]
async fn a_party_searches_with_one_ticket_that_all_members_are_told() {
    let server = TestServer::start().await;
    let [mut a, mut b, _c] = three(&server, FORMATS[2]).await;
    let id = a.create(true, 4).await;
    b.enter(&id).await;
    a.next().await;
    let ticket = search(&mut a, &mut [&mut b], &id).await;
    assert_eq!(server.running.services().metrics.matchmaker_tickets.get(), 1);
    let solo = json!({ "cid": "s", "matchmaker_remove": { "ticket": ticket } });
    assert_eq!(a.ask(solo).await, refused("s", "Matchmaker ticket not found"), "a party's ticket is the party's");
    assert_eq!(unsearch(&mut b, &id, &ticket).await, refused("r", "Error closing party: party leader only"));
    // A new leader may take it back, in whatever spelling of the party's id.
    a.on("party_promote", &id, &b.own).await;
    a.next().await;
    b.next().await;
    assert_eq!(unsearch(&mut b, &id.to_uppercase().replace("KIZUNA", "kizuna"), &ticket).await, json!({ "cid": "r" }));
    let again = refused("r", "Error closing party: matchmaker ticket not found");
    assert_eq!(unsearch(&mut b, &id, &ticket).await, again);
    a.quiet().await;
    assert_eq!(server.running.services().metrics.matchmaker_tickets.get(), 0);
}

#[tokio::test]
async fn every_change_of_members_takes_the_tickets_back_without_a_word() {
    let server = TestServer::start().await;
    let [mut a, mut b, mut c] = three(&server, FORMATS[0]).await;
    let tickets = || server.running.services().metrics.matchmaker_tickets.get();
    let id = a.create(true, 4).await;

    search(&mut a, &mut [], &id).await;
    b.enter(&id).await;
    assert_eq!((tickets(), a.next().await), (0, joins(&id, &b.own)), "a join");

    search(&mut a, &mut [&mut b], &id).await;
    assert_eq!((b.join(&id).await, tickets()), (json!({ "cid": "j" }), 1), "joining again is no change");
    b.ask(json!({ "party_leave": { "party_id": id } })).await;
    assert_eq!((tickets(), a.next().await), (0, leaves(&id, &b.own)), "a leave");

    b.enter(&id).await;
    a.next().await;
    search(&mut a, &mut [&mut b], &id).await;
    a.on("party_remove", &id, &b.own).await;
    assert_eq!((tickets(), a.next().await, b.next().await), (0, leaves(&id, &b.own), closed(&id)), "a removal");

    a.ask(json!({ "party_update": { "party_id": id } })).await;
    a.next().await;
    search(&mut a, &mut [], &id).await;
    b.join(&id).await;
    assert_eq!((a.next().await["party_join_request"]["party_id"].clone(), tickets()), (json!(id), 1), "asking is none");
    a.on("party_accept", &id, &b.own).await;
    assert_eq!((tickets(), a.next().await), (0, joins(&id, &b.own)), "an accept");
    b.next().await;
    b.next().await;

    search(&mut a, &mut [&mut b], &id).await;
    drop(b);
    a.next().await;
    assert_eq!(tickets(), 0, "a lost socket");

    search(&mut a, &mut [], &id).await;
    a.ask(json!({ "party_close": { "party_id": id } })).await;
    a.next().await;
    assert_eq!(tickets(), 0, "a close");
    c.quiet().await;
    empty(&server);
}

#[tokio::test]
async fn what_a_party_cannot_search_for_is_said_in_order() {
    let server = TestServer::start().await;
    let [mut a, mut b, _c] = three(&server, FORMATS[0]).await;
    let id = a.create(true, 4).await;
    b.enter(&id).await;
    a.next().await;
    let add = |id: &str, min: i32, max: i32, query: &str| json!({ "party_id": id, "min_count": min, "max_count": max, "query": query });
    let prefix = "Error adding party to matchmaker";
    for (request, message) in [
        (add("x", 1, 4, "*"), "Invalid minimum count, must be >= 2".to_owned()),
        (add("x", 3, 2, "*"), "Invalid maximum count, must be >= minimum count".to_owned()),
        (add("x", 2, 4, "*"), "Invalid party ID".to_owned()),
        (add(&format!("{UNKNOWN}.kizuna"), 2, 4, "*"), format!("{prefix}: party not found")),
        (add(&id, 2, 4, "a:"), format!("{prefix}: matchmaker query invalid")),
    ] {
        assert_eq!(a.error("party_matchmaker_add", request.clone()).await, (json!(3), message), "{request}");
    }
    let leader_only = format!("{prefix}: party leader only");
    assert_eq!(b.error("party_matchmaker_add", add(&id, 2, 4, "a:")).await, (json!(3), leader_only));
    for (request, message) in [
        (json!({ "party_id": "x" }), "Invalid matchmaker ticket"),
        (json!({ "party_id": "x", "ticket": "t" }), "Invalid party ID"),
        (json!({ "party_id": format!("{UNKNOWN}.kizuna"), "ticket": "t" }), "Error closing party: party not found"),
        (json!({ "party_id": id, "ticket": "t" }), "Error closing party: matchmaker ticket not found"),
    ] {
        let expected = (json!(3), message.to_owned());
        assert_eq!(a.error("party_matchmaker_remove", request.clone()).await, expected, "{request}");
    }
    for _ in 0..3 {
        search(&mut a, &mut [&mut b], &id).await;
    }
    let too_many = format!("{prefix}: matchmaker too many tickets");
    assert_eq!(a.error("party_matchmaker_add", add(&id, 2, 4, "*")).await, (json!(3), too_many));
    let solo = json!({ "cid": "s", "matchmaker_add": { "min_count": 2, "max_count": 2, "query": "*" } });
    assert_eq!(b.ask(solo).await["error"]["message"], "Error adding to matchmaker", "they count for each member");
}
