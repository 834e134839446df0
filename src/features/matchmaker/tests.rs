//! The matchmaker with sessions, and passes in the test's hand.

use super::{super::testing::World, *};
use crate::{identity::session::SessionClaims, realtime::OutboundLimits};
use kizuna_protocol::envelope::Format;
use serde_json::{Value, json};
use std::{
    cell::Cell,
    collections::{BTreeMap, VecDeque},
    task::Poll,
};
use tokio_tungstenite::tungstenite::Message;

fn session(world: &World, number: u128, tenant: Tenant) -> Arc<Session> {
    let claims = SessionClaims {
        user_id: Uuid::from_u128(number),
        username: format!("user{number}").into(),
        vars: Arc::default(),
        token_id: None,
        expires_unix: i64::MAX,
        issued_unix: 0,
        origin: None,
        tenant,
        signature: [number as u8; 32],
    };
    let limits = OutboundLimits { messages: 100, bytes: 1_000_000 };
    let session = Session::new(Arc::new(claims), Uuid::from_u128(1_000 + number), Format::Json, false, limits);
    world.services.realtime.connect(&session, Uuid::nil(), 0).expect("connected");
    session
}

/// All that a session was sent since it was asked last.
fn heard(session: &Session) -> Vec<Value> {
    let mut batch = VecDeque::new();
    assert!(matches!(session.outbound().try_take(&mut batch), Poll::Ready(None) | Poll::Pending));
    let text = |message: Message| serde_json::from_str(message.to_text().expect("text")).expect("JSON");
    batch.into_iter().map(text).collect()
}

fn request(min: i32, max: i32, query: &str) -> MatchmakerAdd {
    MatchmakerAdd { min_count: min, max_count: max, query: query.into(), ..MatchmakerAdd::default() }
}

/// Adds a ticket, and answers its id.
fn added(world: &World, session: &Arc<Session>, request: MatchmakerAdd) -> String {
    add(&world.services, session, "1".into(), request);
    let answer = heard(session).remove(0);
    answer["matchmaker_ticket"]["ticket"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn pass(world: &World) {
    world.services.matchmaker.pass(&world.services, &|| false);
}

fn tickets(world: &World) -> i64 {
    world.services.metrics.matchmaker_tickets.get()
}

fn party_ticket(number: u128, tenant: Tenant, members: &[&Arc<Session>], counts: (i32, i32)) -> PartyTicket {
    PartyTicket {
        party: OfParty { id: Uuid::from_u128(number), text: format!("{}.node", Uuid::from_u128(number)) },
        tenant,
        members: members.iter().map(|member| Arc::clone(member)).collect(),
        counts: check_counts(counts.0, counts.1, None).expect("good counts"),
        query: String::new(),
        properties: Properties {
            strings: BTreeMap::from([("mode".to_owned(), "x".to_owned())]),
            numbers: BTreeMap::from([("rank".to_owned(), 2.0)]),
        },
    }
}

#[test]
fn a_party_and_a_solo_player_are_told_of_each_other() {
    let world = World::new();
    let [a, b, c] = [1, 2, 3].map(|number| session(&world, number, Tenant::NONE));
    let solo = added(&world, &c, request(3, 3, "*"));
    let mut announced = String::new();
    let held = add_party(&world.services, party_ticket(9, Tenant::NONE, &[&a, &b], (3, 3)), |id| {
        id.clone_into(&mut announced);
    });
    let held = held.expect("taken in");
    assert_eq!(held, announced);
    assert_eq!(tickets(&world), 2);
    pass(&world);
    assert_eq!(tickets(&world), 0);
    let [told_a, told_b, told_c] = [&a, &b, &c].map(|session| heard(session).remove(0)["matchmaker_matched"].clone());
    let presence = |number: u128| json!({ "user_id": Uuid::from_u128(number).to_string(), "session_id": Uuid::from_u128(1_000 + number).to_string(), "username": format!("user{number}") });
    let of_party = |number: u128| {
        json!({ "presence": presence(number), "party_id": "00000000-0000-0000-0000-000000000009.node",
                "string_properties": { "mode": "x" }, "numeric_properties": { "rank": 2 } })
    };
    let users = json!([of_party(1), of_party(2), { "presence": presence(3) }]);
    for (told, ticket, own) in [(&told_a, &held, 0), (&told_b, &held, 1), (&told_c, &solo, 2)] {
        assert_eq!((&told["users"], &told["self"]), (&users, &users[own]));
        assert_eq!((&told["ticket"], &told["token"]), (&json!(ticket), &told_a["token"]));
        assert!(told.get("match_id").is_none(), "absent, not empty");
    }
    let token = told_a["token"].as_str().expect("a token");
    assert!(world.services.tokens.verify_match_token(token, Tenant::NONE).expect("good").node.is_empty());
}

#[test]
fn a_ticket_counts_for_each_of_its_holders() {
    let world = World::new();
    let [a, b] = [1, 2].map(|number| session(&world, number, Tenant::NONE));
    let party = |number| add_party(&world.services, party_ticket(number, Tenant::NONE, &[&a, &b], (3, 3)), |_| {});
    for _ in 0..3 {
        party(9).expect("taken in");
    }
    assert_eq!(party(9), Err(AddError::TooMany));
    add(&world.services, &b, "5".into(), request(2, 2, "*"));
    let refused = json!({ "cid": "5", "error": { "message": "Error adding to matchmaker" } });
    assert_eq!(heard(&b), [refused]);
    remove_party_tickets(&world.services, Tenant::named("other"), Uuid::from_u128(9));
    assert_eq!(tickets(&world), 3, "another tenant's party of the same id");
    remove_party_tickets(&world.services, Tenant::NONE, Uuid::from_u128(9));
    assert_eq!(tickets(&world), 0);
    added(&world, &b, request(2, 2, "*"));
    let twice =
        add_party(&world.services, party_ticket(9, Tenant::NONE, &[&a, &a], (3, 3)), |_| panic!("not taken in"));
    assert_eq!(twice, Err(AddError::DuplicateSession));
}

#[test]
fn a_partys_ticket_is_removed_by_the_party_alone() {
    let world = World::new();
    let a = session(&world, 1, Tenant::NONE);
    let id = add_party(&world.services, party_ticket(9, Tenant::NONE, &[&a], (2, 2)), |_| {}).expect("taken in");
    remove(&world.services, &a, "1".into(), &MatchmakerRemove { ticket: id.clone() });
    let refused = json!({ "cid": "1", "error": { "code": 3, "message": "Matchmaker ticket not found" } });
    assert_eq!(heard(&a), [refused]);
    let (services, none) = (&world.services, Tenant::NONE);
    assert!(!remove_party_ticket(services, none, Uuid::from_u128(8), &id));
    assert!(!remove_party_ticket(services, Tenant::named("other"), Uuid::from_u128(9), &id));
    assert!(!remove_party_ticket(services, none, Uuid::from_u128(9), "no id"));
    assert!(remove_party_ticket(services, none, Uuid::from_u128(9), &id));
    assert!(!remove_party_ticket(services, none, Uuid::from_u128(9), &id));
    // A solo ticket is not the party's.
    let solo = added(&world, &a, request(2, 2, "*"));
    assert!(!remove_party_ticket(services, none, Uuid::from_u128(9), &solo));
}

#[test]
fn the_end_of_a_socket_ends_every_ticket_that_it_is_part_of() {
    let world = World::new();
    let [a, b] = [1, 2].map(|number| session(&world, number, Tenant::NONE));
    add_party(&world.services, party_ticket(9, Tenant::NONE, &[&a, &b], (3, 3)), |_| {}).expect("taken in");
    added(&world, &a, request(2, 2, "*"));
    added(&world, &b, request(2, 2, "*"));
    closed(&world.services, &a);
    assert_eq!(tickets(&world), 1);
    pass(&world);
    assert!(heard(&b).is_empty(), "nobody is told, and nobody is matched with who is gone");
}

#[test]
fn a_match_is_dropped_when_one_of_it_leaves_during_the_pass_and_the_others_can_still_be_found() {
    let world = World::new();
    let [a, b, c] = [1, 2, 3].map(|number| session(&world, number, Tenant::NONE));
    added(&world, &a, request(2, 2, "*"));
    added(&world, &b, request(2, 2, "+properties.nobody:nobody"));
    added(&world, &c, request(2, 2, "+properties.nobody:nobody"));
    let asked = Cell::new(0);
    world.services.matchmaker.pass(&world.services, &|| {
        asked.set(asked.get() + 1);
        // A has found b; c is about to search.
        if asked.get() == 2 {
            closed(&world.services, &a);
        }
        false
    });
    assert_eq!(asked.get(), 2);
    assert!([&a, &b, &c].iter().all(|session| heard(session).is_empty()));
    assert_eq!(tickets(&world), 2);
    let d = session(&world, 4, Tenant::NONE);
    added(&world, &d, request(2, 2, "*"));
    pass(&world);
    assert_eq!([&b, &c, &d].map(|session| heard(session).len()), [1, 0, 1], "the oldest is found");
}

#[test]
fn tickets_come_and_go_while_a_pass_runs() {
    let world = World::new();
    let [a, b, c] = [1, 2, 3].map(|number| session(&world, number, Tenant::NONE));
    let first = added(&world, &a, request(3, 3, "*"));
    world.services.matchmaker.pass(&world.services, &|| {
        added(&world, &b, request(2, 2, "*"));
        remove(&world.services, &a, "2".into(), &MatchmakerRemove { ticket: first.clone() });
        false
    });
    assert_eq!(heard(&a), [json!({ "cid": "2" })]);
    added(&world, &c, request(2, 2, "*"));
    pass(&world);
    assert_eq!([&a, &b, &c].map(|session| heard(session).len()), [0, 1, 1]);
}

#[test]
fn tenants_are_not_matched_with_each_other() {
    let world = World::new();
    let [acme, evil] = ["acme", "evil"].map(Tenant::named);
    let [a, b, c] = [(1, acme), (2, evil), (3, acme)].map(|(number, tenant)| session(&world, number, tenant));
    for session in [&a, &b, &c] {
        added(&world, session, request(2, 2, "*"));
    }
    pass(&world);
    assert_eq!(heard(&b), [] as [Value; 0]);
    let told = heard(&a).remove(0);
    let token = told["matchmaker_matched"]["token"].as_str().expect("a token");
    assert!(world.services.tokens.verify_match_token(token, acme).is_ok(), "it is good for the tenant");
    assert!(world.services.tokens.verify_match_token(token, evil).is_err());
    let stats = |tenant| world.services.matchmaker.stats().lock().of(tenant);
    assert_eq!((stats(acme).ticket_count, stats(acme).completions.len()), (2, 2));
    assert_eq!((stats(evil).ticket_count, stats(evil).completions.len()), (1, 0));
}

#[test]
fn a_pass_that_failed_is_made_up_for() {
    let world = World::new();
    let [a, b] = [1, 2].map(|number| session(&world, number, Tenant::NONE));
    added(&world, &a, request(2, 2, "*"));
    added(&world, &b, request(2, 2, "*"));
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        world.services.matchmaker.pass(&world.services, &|| panic!("as a fault in the pass would"));
    }));
    assert!(failed.is_err());
    world.services.matchmaker.forget_pass();
    pass(&world);
    assert_eq!((heard(&a).len(), heard(&b).len(), tickets(&world)), (1, 1, 0));
}

#[test]
fn stats_are_as_of_the_last_pass() {
    let world = World::new();
    let [a, b, c] = [1, 2, 3].map(|number| session(&world, number, Tenant::NONE));
    let stats = || world.services.matchmaker.stats().lock().of(Tenant::NONE);
    added(&world, &a, request(3, 3, "*"));
    assert_eq!(stats(), kizuna_protocol::api::MatchmakerStats::default());
    pass(&world);
    world.later(5);
    assert_eq!(stats().ticket_count, 1);
    let oldest = stats().oldest_ticket_create_time.expect("there is one");
    assert_eq!(oldest.seconds, world.services.clock.unix_seconds() - 5);
    for session in [&b, &c] {
        added(&world, session, request(3, 3, "*"));
    }
    world.later(5);
    pass(&world);
    let told: Vec<_> = stats().completions.iter().map(|done| (done.create_time, done.complete_time)).collect();
    assert_eq!(told.len(), 3);
    let at = |ago: i64| Some(prost_types::Timestamp { seconds: oldest.seconds + ago, nanos: 0 });
    assert!(told.contains(&(at(0), at(10))) && told.contains(&(at(5), at(10))));
    pass(&world);
    assert_eq!((stats().ticket_count, stats().oldest_ticket_create_time), (0, None));
}

#[test]
fn tickets_outlive_a_restart_with_their_place_in_line() {
    let world = World::new();
    let [a, b, c] = [1, 2, 3].map(|number| session(&world, number, Tenant::NONE));
    let first = added(&world, &a, request(2, 4, "*"));
    pass(&world);
    world.later(1);
    add_party(&world.services, party_ticket(9, Tenant::NONE, &[&b, &c], (2, 4)), |_| {}).expect("taken in");
    let saved = world.services.matchmaker.export();
    assert_eq!((saved[0].id.to_string(), saved[0].passes, saved[0].is_passive), (first, 1, false));
    add(&world.services, &a, "1".into(), request(2, 2, "*"));
    assert_eq!(heard(&a)[0]["error"]["message"], "Error adding to matchmaker", "nothing is taken in any more");
    pass(&world);
    assert_eq!(tickets(&world), 2, "and nothing is matched");

    let next = World::new();
    let sessions = [1, 2, 3].map(|number| session(&next, number, Tenant::NONE));
    let reversed: Vec<_> = saved.iter().rev().cloned().collect();
    assert_eq!(next.services.matchmaker.import(reversed, |_| true), 2);
    assert_eq!(next.services.matchmaker.import(saved.clone(), |_| true), 0, "once");
    // The first is on its last pass now, and takes three.
    pass(&next);
    let order = heard(&sessions[0]).remove(0)["matchmaker_matched"]["users"].clone();
    assert_eq!(order.as_array().map(Vec::len), Some(3));
    assert_eq!(order[2]["presence"]["username"], "user1", "it is the one that searched");

    let alone = World::new();
    assert_eq!(alone.services.matchmaker.import(saved, |session| session == a.id()), 1, "who is gone leaves with all");
    let kept = alone.services.matchmaker.export();
    assert_eq!(kept.len(), 1);
}

#[test]
fn bounds_of_the_pool_and_of_one_ticket_are_answered_alike() {
    let limit = |config: &mut Config| {
        config.matchmaker.max_pool = 2;
        config.matchmaker.max_query_bytes = 20;
        config.matchmaker.max_properties = 2;
    };
    let world = World::with(limit, crate::hooks::Hooks::builder());
    let [a, b, c] = [1, 2, 3].map(|number| session(&world, number, Tenant::NONE));
    let refused = [json!({ "cid": "1", "error": { "message": "Error adding to matchmaker" } })];
    let refuse = |session: &Arc<Session>, request| {
        add(&world.services, session, "1".into(), request);
        assert_eq!(heard(session), refused);
    };
    refuse(&a, request(2, 2, "+properties.name:value"));
    refuse(&a, request(2, 2, "+a:b:c"));
    let numbers = ["a", "b", "c"].map(|name| (name.to_owned(), 1.0));
    refuse(&a, MatchmakerAdd { numeric_properties: BTreeMap::from(numbers), ..request(2, 2, "") });
    added(&world, &a, request(2, 2, ""));
    added(&world, &b, request(2, 2, "+n:/(/"));
    refuse(&c, request(2, 2, ""));
    closed(&world.services, &a);
    added(&world, &c, request(2, 2, ""));
}

#[tokio::test]
async fn why_a_ticket_waits_is_told_to_its_holder_without_a_word_of_others() {
    let world = World::new();
    let [a, b, c, d] = [1, 2, 3, 4].map(|number| session(&world, number, Tenant::NONE));
    let of = |mode: &str, query: &str| MatchmakerAdd {
        string_properties: BTreeMap::from([("mode".to_owned(), mode.to_owned())]),
        ..request(2, 2, query)
    };
    let services = Arc::new(world.services.clone());
    let caller = |session: &Session| super::super::Caller::new(super::super::Client::default(), &session.claims());
    let ticket = added(&world, &a, of("duel", "+properties.mode:duel -properties.rank:>5"));
    let tell = async |session: &Session| -> Value {
        let told = why(&services, &caller(session), &ticket).await.expect("told");
        serde_json::from_slice(&told).expect("JSON")
    };
    assert_eq!(tell(&a).await["because"], "No other ticket waits.");
    let secret = "a-secret-of-b";
    added(&world, &b, of(secret, "+properties.no:no"));
    added(&world, &c, MatchmakerAdd { max_count: 4, ..of("duel", "+properties.no:no") });
    let high = MatchmakerAdd {
        numeric_properties: BTreeMap::from([("rank".to_owned(), 7.0)]),
        ..of("duel", "+properties.no:no")
    };
    added(&world, &d, high);
    let told = tell(&a).await;
    assert_eq!((&told["state"], &told["pool"], &told["looked_at"]), (&json!("active"), &json!(4), &json!(3)));
    assert_eq!((&told["left_out"]["query"], &told["left_out"]["count_range"]), (&json!(2), &json!(1)));
    assert_eq!(told["clauses"].as_array().map(Vec::len), Some(2), "{told}");
    assert_eq!(told["nearest"].as_array().map(Vec::len), Some(3));
    assert_eq!(told["because"], "No other ticket fits; 2 of 3 because its query does not take them.");
    let text = told.to_string();
    for hidden in [secret, "user2", &b.id().to_string(), "7.0"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    pass(&world);
    let told = tell(&a).await;
    assert_eq!((&told["state"], &told["passes"]), (&json!("passive"), &json!(1)));
    for stranger in [why(&services, &caller(&b), &ticket).await, why(&services, &caller(&a), "no-id").await] {
        assert_eq!(stranger.expect_err("refused").message(), "Matchmaker ticket not found");
    }
}
