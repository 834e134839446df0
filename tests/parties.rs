//! Parties at the wire, as spec/parties.md tells them.

mod common;

use common::{
    TestServer,
    parties::{FORMATS, Player, UNKNOWN, closed, empty, joins, leader, leaves, refused, three, until_empty},
    text,
};
use serde_json::{Value, json};

#[tokio::test]
async fn a_closed_party_asks_its_leader_who_is_let_in() {
    let server = TestServer::start().await;
    for formats in FORMATS {
        let [mut a, mut b, _c] = three(&server, formats).await;
        let (own_a, own_b) = (a.own.clone(), b.own.clone());
        let answer = a.ask(json!({ "cid": "1", "party_create": { "open": false, "max_size": 3 } })).await;
        let id = text(&answer["party"]["party_id"]).to_owned();
        assert!(id.ends_with(".kizuna"), "the node's name: {id}");
        let party = json!({ "party_id": id, "max_size": 3, "self": own_a, "leader": own_a, "presences": [own_a] });
        assert_eq!(answer, json!({ "cid": "1", "party": party }));
        assert_eq!(a.next().await, json!({ "party": party }));
        assert_eq!(a.next().await, joins(&id, &own_a));

        let request = json!({ "cid": "1", "party_join": { "party_id": id } });
        assert_eq!(b.ask(request.clone()).await, json!({ "cid": "1" }));
        let asking = json!({ "party_id": id, "presences": [own_b] });
        assert_eq!(a.next().await, json!({ "party_join_request": asking }));
        assert_eq!(b.ask(request).await, refused("1", "Error joining party: party join request duplicate"));
        let list = json!({ "cid": "2", "party_join_request_list": { "party_id": id } });
        assert_eq!(a.ask(list.clone()).await, json!({ "cid": "2", "party_join_request": asking }));

        assert_eq!(a.on("party_accept", &id, &own_b).await, json!({ "cid": "o" }));
        assert_eq!(a.next().await, joins(&id, &own_b));
        let party =
            json!({ "party_id": id, "max_size": 3, "self": own_b, "leader": own_a, "presences": [own_a, own_b] });
        assert_eq!(b.next().await, json!({ "party": party }));
        assert_eq!(b.next().await, joins(&id, &own_b));
        assert_eq!(a.ask(list).await, json!({ "cid": "2", "party_join_request": { "party_id": id } }));
        let again = "Error accepting party join request: party join request not found";
        assert_eq!(a.on("party_accept", &id, &own_b).await, refused("o", again));

        let send = json!({ "cid": "6", "party_data_send": { "party_id": id, "op_code": "5", "data": "aGk=" } });
        assert_eq!(b.ask(send).await, json!({ "cid": "6" }));
        let data = json!({ "party_id": id, "presence": own_b, "op_code": "5", "data": "aGk=" });
        assert_eq!(a.next().await, json!({ "party_data": data }));
        let send = json!({ "cid": "7", "party_data_send": { "party_id": id } });
        assert_eq!(a.ask(send).await, json!({ "cid": "7" }));
        assert_eq!(b.next().await, json!({ "party_data": { "party_id": id, "presence": own_a } }));

        assert_eq!(a.on("party_promote", &id, &own_b).await, leader(&id, &own_b));
        assert_eq!(a.next().await, json!({ "cid": "o" }));
        assert_eq!(b.next().await, leader(&id, &own_b));
        a.quiet().await;
        b.quiet().await;
    }
    until_empty(&server).await;
}

#[tokio::test]
async fn a_party_outlives_its_leaders_until_one_closes_it() {
    let server = TestServer::start().await;
    for formats in FORMATS {
        let [mut a, mut b, mut c] = three(&server, formats).await;
        let (own_a, own_b, own_c) = (a.own.clone(), b.own.clone(), c.own.clone());
        let id = a.create(true, 3).await;
        b.enter(&id).await;
        a.next().await;
        a.on("party_promote", &id, &own_b).await;
        a.next().await;
        b.next().await;

        let change = json!({ "party_id": id, "label": "{\"m\":1}", "open": true });
        let told = json!({ "party_update": change });
        assert_eq!(b.ask(json!({ "cid": "9", "party_update": change })).await, told);
        assert_eq!(b.next().await, json!({ "cid": "9" }));
        assert_eq!(a.next().await, told);

        let party = json!({ "party_id": id, "open": true, "max_size": 3, "self": own_c, "leader": own_b,
            "presences": [own_a, own_b, own_c] });
        assert_eq!(c.enter(&id).await, json!({ "party": party }));
        for other in [&mut a, &mut b] {
            assert_eq!(other.next().await, joins(&id, &own_c));
        }
        assert_eq!(b.on("party_remove", &id, &own_c).await, json!({ "cid": "o" }));
        assert_eq!(b.next().await, leaves(&id, &own_c));
        assert_eq!(a.next().await, leaves(&id, &own_c));
        assert_eq!(c.next().await, closed(&id));
        c.enter(&id).await;
        a.next().await;
        b.next().await;

        assert_eq!(b.ask(json!({ "cid": "13", "party_leave": { "party_id": id } })).await, json!({ "cid": "13" }));
        for other in [&mut a, &mut c] {
            assert_eq!(other.next().await, leader(&id, &own_a), "the one who came first leads");
            assert_eq!(other.next().await, leaves(&id, &own_b));
        }
        drop(a);
        assert_eq!(c.next().await, leader(&id, &own_c));
        assert_eq!(c.next().await, leaves(&id, &own_a));
        b.enter(&id).await;
        c.next().await;
        let close = json!({ "cid": "16", "party_close": { "party_id": id } });
        assert_eq!(b.ask(close.clone()).await, refused("16", "Error closing party: party leader only"));
        assert_eq!(c.ask(close).await, closed(&id));
        assert_eq!(c.next().await, json!({ "cid": "16" }));
        assert_eq!(b.next().await, closed(&id));
        b.quiet().await;
        assert_eq!(b.join(&id).await, refused("j", "Error joining party: party not found"));
        c.quiet().await;
    }
    empty(&server);
}

#[tokio::test]
async fn a_party_ends_with_its_last_member() {
    let server = TestServer::start().await;
    let mut a = Player::start(&server, "a", "json").await;
    let mut b = Player::start(&server, "b", "json").await;
    let id = a.create(true, 2).await;
    b.enter(&id).await;
    a.next().await;
    let leave = json!({ "cid": "l", "party_leave": { "party_id": id } });
    b.ask(leave.clone()).await;
    assert_eq!(a.next().await, leaves(&id, &b.own), "no new leader where the leader stays");
    assert_eq!(b.ask(leave.clone()).await, json!({ "cid": "l" }), "who is no member is answered the same");
    assert_eq!(a.ask(leave.clone()).await, json!({ "cid": "l" }));
    assert_eq!(a.ask(leave).await, json!({ "cid": "l" }), "and so for a party that is no more");
    a.quiet().await;
    assert_eq!(b.join(&id).await, refused("j", "Error joining party: party not found"));
    empty(&server);
}

#[tokio::test]
async fn a_party_has_one_to_256_members() {
    let server = TestServer::start().await;
    let mut a = Player::start(&server, "a", "json").await;
    for request in [json!({}), json!({ "max_size": 0 }), json!({ "max_size": -1 }), json!({ "max_size": 257 })] {
        let expected = (json!(3), "Invalid party max size, must be 1-256".to_owned());
        assert_eq!(a.error("party_create", request.clone()).await, expected, "{request}");
    }
    a.create(false, 256).await;
    let id = a.create(true, 1).await;
    let mut b = Player::start(&server, "b", "json").await;
    assert_eq!(b.join(&id).await, refused("j", "Error joining party: party full"));
}

#[tokio::test]
async fn the_creators_label_is_shown_to_the_creator_alone_and_has_its_rules() {
    let server = TestServer::start().await;
    let mut a = Player::start(&server, "a", "json").await;
    let create = json!({ "open": true, "hidden": true, "max_size": 2, "label": "{\"a\": 1}" });
    let answer = a.ask(json!({ "cid": "1", "party_create": create })).await;
    assert_eq!((&answer["party"]["label"], &answer["party"]["hidden"]), (&json!("{\"a\": 1}"), &json!(true)));
    let second = a.next().await;
    assert_eq!((&second["party"]["label"], &second["party"]["hidden"]), (&Value::Null, &Value::Null));
    a.next().await;
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(2_048));
    let id = answer["party"]["party_id"].clone();
    for (kind, prefix) in [("party_create", "Error creating party"), ("party_update", "Error updating party")] {
        let request = |label: &str| json!({ "party_id": id, "max_size": 2, "label": label });
        let request = |label: &str| {
            let mut request = request(label);
            let needless = if kind == "party_create" { "party_id" } else { "max_size" };
            request.as_object_mut().expect("an object").remove(needless);
            request
        };
        let (_, message) = a.error(kind, request(&long)).await;
        assert_eq!(message, format!("{prefix}: party label too long"));
        for label in ["[]", "1", "x", "{", "\"text\""] {
            let (code, message) = a.error(kind, request(label)).await;
            assert_eq!(code, 3);
            assert!(message.starts_with(&format!("{prefix}: failed to unmarshal party label: ")), "{message}");
        }
    }
    let update = json!({ "cid": "2", "party_update": { "party_id": id, "label": "null" } });
    assert_eq!(a.ask(update).await["party_update"]["label"], "null");
}

#[tokio::test]
async fn an_id_that_is_none_is_malformed_and_one_of_nobody_is_not_found() {
    let server = TestServer::start().await;
    let mut a = Player::start(&server, "a", "json").await;
    let id = a.create(false, 2).await;
    let uuid = id.split('.').next().expect("two parts").to_owned();
    let presence = a.own.clone();
    let operations = [
        ("party_join", "Error joining party"),
        ("party_promote", "Error promoting new party leader"),
        ("party_accept", "Error accepting party join request"),
        ("party_remove", "Error removing party member or join request"),
        ("party_close", "Error closing party"),
        ("party_join_request_list", "Error listing party join requests"),
        ("party_data_send", "Error sending party data"),
        ("party_update", "Error updating party"),
        ("party_leave", ""),
    ];
    for (kind, prefix) in operations {
        let request = |id: &str| {
            let mut request = json!({ "party_id": id });
            if ["party_promote", "party_accept", "party_remove"].contains(&kind) {
                request["presence"] = presence.clone();
            }
            request
        };
        for malformed in ["", ".", &uuid, "abc.kizuna", ".kizuna", &format!("{uuid}."), &format!("x{uuid}.kizuna")] {
            let expected = (json!(3), "Invalid party ID".to_owned());
            assert_eq!(a.error(kind, request(malformed)).await, expected, "{kind} {malformed}");
        }
        for unknown in
            [format!("{UNKNOWN}.kizuna"), format!("{uuid}.other"), format!("{id}.x"), format!("{uuid}.Kizuna")]
        {
            let answer = a.ask(json!({ "cid": "u", kind: request(&unknown) })).await;
            let expected = match prefix {
                "" => json!({ "cid": "u" }),
                prefix => refused("u", &format!("{prefix}: party not found")),
            };
            assert_eq!(answer, expected, "{kind} {unknown}");
        }
    }
    let list = |id: String| json!({ "cid": "l", "party_join_request_list": { "party_id": id } });
    for spelling in [uuid.to_uppercase(), uuid.replace('-', ""), format!("{{{uuid}}}"), format!("urn:uuid:{uuid}")] {
        let other = format!("{spelling}.kizuna");
        let expected = json!({ "cid": "l", "party_join_request": { "party_id": other } });
        assert_eq!(a.ask(list(other.clone())).await, expected, "the list's id is the one asked with");
    }
}

#[tokio::test]
async fn what_is_the_leaders_is_refused_to_everybody_else() {
    let server = TestServer::start().await;
    let [mut a, mut b, mut stranger] = three(&server, FORMATS[0]).await;
    let id = a.create(true, 3).await;
    b.enter(&id).await;
    a.next().await;
    // Leadership is the session's: another socket of the same user is a stranger.
    let mut twin = Player::open(&server, &a.token, "json").await;
    let presence = b.own.clone();
    for (kind, prefix) in [
        ("party_promote", "Error promoting new party leader"),
        ("party_accept", "Error accepting party join request"),
        ("party_remove", "Error removing party member or join request"),
        ("party_close", "Error closing party"),
        ("party_join_request_list", "Error listing party join requests"),
        ("party_update", "Error updating party"),
    ] {
        for player in [&mut b, &mut stranger, &mut twin] {
            let mut request = json!({ "party_id": id });
            if ["party_promote", "party_accept", "party_remove"].contains(&kind) {
                request["presence"] = presence.clone();
            }
            let expected = (json!(3), format!("{prefix}: party leader only"));
            assert_eq!(player.error(kind, request).await, expected, "{kind}");
        }
    }
    let data = stranger.error("party_data_send", json!({ "party_id": id })).await;
    assert_eq!(data, (json!(3), "Error sending party data: party member not found".to_owned()));
    a.quiet().await;
    b.quiet().await;
}

#[tokio::test]
async fn a_presence_is_looked_at_before_everything_else_and_has_to_be_right_in_all_its_parts() {
    let server = TestServer::start().await;
    let [mut a, mut b, c] = three(&server, FORMATS[0]).await;
    let id = a.create(false, 3).await;
    b.join(&id).await;
    a.next().await;
    let unknown = [
        ("party_promote", "Error promoting new party leader: party member not found"),
        ("party_accept", "Error accepting party join request: party join request not found"),
        ("party_remove", "Error removing party member or join request: party member not found"),
    ];
    for (kind, not_found) in unknown {
        let mut incomplete = vec![json!({ "party_id": "malformed" })];
        for field in ["user_id", "session_id", "username"] {
            let mut presence = b.own.clone();
            presence[field] = json!("");
            incomplete.push(json!({ "party_id": "malformed", "presence": presence }));
            let mut presence = b.own.clone();
            presence[field] = a.own[field].clone();
            let wrong = json!({ "party_id": id, "presence": presence });
            assert_eq!(a.error(kind, wrong).await, (json!(3), not_found.to_owned()), "{kind} {field}");
        }
        for request in incomplete {
            assert_eq!(a.error(kind, request.clone()).await, (json!(3), "Invalid presence".to_owned()), "{request}");
        }
        let stranger = json!({ "party_id": id, "presence": c.own });
        assert_eq!(a.error(kind, stranger).await, (json!(3), not_found.to_owned()), "{kind} of a stranger");
    }
    let own = json!({ "party_id": id, "presence": a.own });
    let expected = "Error removing party member or join request: party cannot remove self".to_owned();
    assert_eq!(a.error("party_remove", own).await, (json!(3), expected));
}

#[tokio::test]
async fn requests_wait_in_order_up_to_the_size_of_the_party() {
    let server = TestServer::start().await;
    let [mut a, mut b, mut c] = three(&server, FORMATS[0]).await;
    let id = a.create(false, 2).await;
    for asking in [&mut b, &mut c] {
        assert_eq!(asking.join(&id).await, json!({ "cid": "j" }));
        assert_eq!(a.next().await["party_join_request"]["presences"], json!([asking.own]));
    }
    let mut d = Player::start(&server, "d", "json").await;
    assert_eq!(d.join(&id).await, refused("j", "Error joining party: party join requests full"));
    // Turning one down is silent, and whoever was turned down may ask again, now behind the others.
    assert_eq!(a.on("party_remove", &id, &b.own).await, json!({ "cid": "o" }));
    b.quiet().await;
    b.join(&id).await;
    a.next().await;
    let list = json!({ "cid": "l", "party_join_request_list": { "party_id": id } });
    assert_eq!(a.ask(list).await["party_join_request"]["presences"], json!([c.own, b.own]));
    // An accept that finds the party full leaves the request where it is.
    a.on("party_accept", &id, &c.own).await;
    a.next().await;
    let full = "Error accepting party join request: party full";
    assert_eq!(a.on("party_accept", &id, &b.own).await, refused("o", full));
    assert_eq!(a.on("party_accept", &id, &b.own).await, refused("o", full));
    assert_eq!(d.join(&id).await, refused("j", "Error joining party: party full"));
}

#[tokio::test]
async fn a_user_asks_once_whatever_the_socket_and_may_be_gone_when_accepted() {
    let server = TestServer::start().await;
    let [mut a, mut b, _c] = three(&server, FORMATS[0]).await;
    let mut twin = Player::open(&server, &b.token, "protobuf").await;
    let id = a.create(false, 4).await;
    b.join(&id).await;
    a.next().await;
    assert_eq!(twin.join(&id).await, refused("j", "Error joining party: party join request duplicate"));
    let own_b = b.own.clone();
    drop(b);
    while server.running.services().realtime.registry().len() > 3 {
        tokio::task::yield_now().await;
    }
    let list = json!({ "cid": "l", "party_join_request_list": { "party_id": id } });
    assert_eq!(a.ask(list.clone()).await["party_join_request"]["presences"], json!([own_b]), "it still stands there");
    let gone = "Error accepting party join request: party could not accept request";
    assert_eq!(a.on("party_accept", &id, &own_b).await, refused("o", gone));
    assert_eq!(a.ask(list).await["party_join_request"], json!({ "party_id": id }), "and is used up by the try");
    assert_eq!(twin.join(&id).await, json!({ "cid": "j" }));
}

#[tokio::test]
async fn requests_survive_a_new_leader_and_an_opening() {
    let server = TestServer::start().await;
    let [mut a, mut b, mut c] = three(&server, FORMATS[0]).await;
    let id = a.create(true, 3).await;
    b.enter(&id).await;
    a.next().await;
    let update = |open: bool| json!({ "cid": "u", "party_update": { "party_id": id, "open": open } });
    a.ask(update(false)).await;
    a.next().await;
    b.next().await;
    c.join(&id).await;
    a.next().await;
    a.ask(json!({ "party_leave": { "party_id": id } })).await;
    b.next().await;
    b.next().await;
    assert_eq!(b.ask(update(true)).await, json!({ "party_update": { "party_id": id, "open": true } }));
    b.next().await;
    c.quiet().await;
    let list = json!({ "cid": "l", "party_join_request_list": { "party_id": id } });
    assert_eq!(b.ask(list.clone()).await["party_join_request"]["presences"], json!([c.own]));
    assert_eq!(c.enter(&id).await["party"]["open"], true);
    b.next().await;
    assert_eq!(b.ask(list).await["party_join_request"], json!({ "party_id": id }), "who is in does not ask any more");
}

#[tokio::test]
async fn joining_again_changes_nothing() {
    let server = TestServer::start().await;
    let [mut a, mut b, _c] = three(&server, FORMATS[0]).await;
    let id = a.create(true, 3).await;
    b.enter(&id).await;
    a.next().await;
    assert_eq!(b.join(&id).await, json!({ "cid": "j" }));
    b.quiet().await;
    a.ask(json!({ "party_update": { "party_id": id } })).await;
    a.next().await;
    b.next().await;
    let member = "Error joining party: party join request already member";
    assert_eq!(b.join(&id).await, refused("j", member));
    assert_eq!(a.join(&id).await, refused("j", member));
    a.quiet().await;
    let full = a.create(true, 1).await;
    assert_eq!(a.join(&full).await, refused("j", "Error joining party: party full"));
}

#[tokio::test]
async fn members_are_sessions_so_two_sockets_of_a_user_are_two() {
    let server = TestServer::start().await;
    let mut a = Player::start(&server, "a", "json").await;
    let mut twin = Player::open(&server, &a.token, "protobuf").await;
    let id = a.create(true, 2).await;
    let party = twin.enter(&id).await;
    assert_eq!(party["party"]["presences"], json!([a.own, twin.own]));
    assert_eq!(a.next().await, joins(&id, &twin.own));
    assert_eq!(a.on("party_remove", &id, &twin.own).await, json!({ "cid": "o" }));
    assert_eq!(twin.next().await, closed(&id));
}

#[tokio::test]
async fn promoting_the_leader_changes_nothing_and_the_order_of_coming_stays() {
    let server = TestServer::start().await;
    let [mut a, mut b, mut c] = three(&server, FORMATS[0]).await;
    let id = a.create(true, 3).await;
    assert_eq!(a.on("party_promote", &id, &a.own.clone()).await, leader(&id, &a.own));
    assert_eq!(a.next().await, json!({ "cid": "o" }));
    b.enter(&id).await;
    c.enter(&id).await;
    a.next().await;
    a.next().await;
    b.next().await;
    a.on("party_promote", &id, &c.own).await;
    for player in [&mut a, &mut b, &mut c] {
        player.next().await;
    }
    c.ask(json!({ "party_leave": { "party_id": id } })).await;
    let own_a = a.own.clone();
    for player in [&mut a, &mut b] {
        assert_eq!(player.next().await, leader(&id, &own_a));
        assert_eq!(player.next().await, leaves(&id, &c.own));
    }
}

#[tokio::test]
async fn an_update_sets_all_three_and_hides_no_label() {
    let server = TestServer::start().await;
    let mut a = Player::start(&server, "a", "json").await;
    let id = a.create(true, 3).await;
    let hidden = "Error updating party: party is hidden and label is not empty, invalid operation";
    for id in [id.clone(), format!("{UNKNOWN}.kizuna")] {
        let request = json!({ "party_id": id, "hidden": true, "label": "{\"a\":1}" });
        assert_eq!(
            a.error("party_update", request).await,
            (json!(3), hidden.to_owned()),
            "before the party is looked for"
        );
    }
    let malformed = json!({ "party_id": "x", "hidden": true, "label": "{\"a\":1}" });
    assert_eq!(a.error("party_update", malformed).await, (json!(3), "Invalid party ID".to_owned()));
    for change in [
        json!({ "party_id": id, "hidden": true, "label": "{}" }),
        json!({ "party_id": id, "hidden": true }),
        json!({ "party_id": id, "open": true, "label": "{\"a\":1}" }),
        json!({ "party_id": id }),
    ] {
        assert_eq!(a.ask(json!({ "cid": "u", "party_update": change })).await, json!({ "party_update": change }));
        assert_eq!(a.next().await, json!({ "cid": "u" }));
    }
    let mut b = Player::start(&server, "b", "json").await;
    assert_eq!(b.join(&id).await, json!({ "cid": "j" }));
    assert_eq!(a.next().await["party_join_request"]["presences"], json!([b.own]), "the last update closed it");
}

#[tokio::test]
async fn with_single_party_coming_into_one_leaves_the_others() {
    let single = |config: &mut kizuna::config::Config| {
        config.session.single_socket = true;
        config.session.single_party = true;
        config.party.max_per_session = 1;
    };
    let server = TestServer::start_with(single).await;
    let [mut a, mut b, mut c] = three(&server, FORMATS[0]).await;
    let first = a.create(true, 3).await;
    b.enter(&first).await;
    a.next().await;

    let second = a.create(false, 3).await;
    a.quiet().await;
    assert_eq!(b.next().await, leader(&first, &b.own), "creating one leaves the other, which needs a leader");
    assert_eq!(b.next().await, leaves(&first, &a.own));

    let third = c.create(true, 3).await;
    b.enter(&third).await;
    assert_eq!(c.next().await, joins(&third, &b.own));
    b.quiet().await;
    assert_eq!(a.join(&first).await, refused("j", "Error joining party: party not found"), "nobody is left in it");

    assert_eq!(b.join(&second).await, json!({ "cid": "j" }));
    a.next().await;
    c.quiet().await;
    assert_eq!(a.on("party_accept", &second, &b.own).await, json!({ "cid": "o" }));
    a.next().await;
    assert_eq!(b.next().await["party"]["party_id"], second);
    assert_eq!(b.next().await, joins(&second, &b.own));
    assert_eq!(c.next().await, leaves(&third, &b.own), "being accepted leaves the other");
    b.join(&second).await;
    assert_eq!(server.running.services().metrics.parties.get(), 2);
}

#[tokio::test]
async fn a_session_is_in_a_limited_number_of_parties() {
    let server = TestServer::start_with(|config| config.party.max_per_session = 2).await;
    let [mut a, mut b, _c] = three(&server, FORMATS[0]).await;
    let first = a.create(true, 3).await;
    a.create(true, 3).await;
    let create = json!({ "cid": "c", "party_create": { "max_size": 3 } });
    assert_eq!(a.ask(create).await, refused("c", "Error creating party: too many parties"));
    let closed = b.create(false, 3).await;
    let open = b.create(true, 3).await;
    assert_eq!(a.join(&open).await, refused("j", "Error joining party: too many parties"));
    a.join(&closed).await;
    b.next().await;
    let accept = "Error accepting party join request: too many parties";
    assert_eq!(b.on("party_accept", &closed, &a.own).await, refused("o", accept));
    a.ask(json!({ "cid": "l", "party_leave": { "party_id": first } })).await;
    assert_eq!(b.on("party_accept", &closed, &a.own).await, json!({ "cid": "o" }), "the request still stood");
}
