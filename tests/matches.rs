//! Relayed matches at the wire, as spec/realtime-core.md sections 8 and 12 tell them.

mod common;

use common::{TestServer, text};
use serde_json::{Value, json};

fn data(id: &str, op_code: i64, payload: &str) -> Value {
    json!({ "match_data_send": { "match_id": id, "op_code": op_code.to_string(), "data": payload } })
}

#[tokio::test]
async fn creating_and_joining_shows_who_is_there_answer_first_then_event() {
    let server = TestServer::start().await;
    let (mut a, mut b) = (server.player("player-a").await, server.player("player-b").await);
    let answer = a.ask(json!({ "cid": "1", "match_create": {} })).await;
    let (id, own_a) = (text(&answer["match"]["match_id"]).to_owned(), answer["match"]["self"].clone());
    assert_eq!(answer, json!({ "cid": "1", "match": { "match_id": id, "size": 1, "self": own_a } }));
    assert_eq!(a.next().await, json!({ "match_presence_event": { "match_id": id, "joins": [own_a] } }));

    let answer = b.ask(json!({ "cid": "2", "match_join": { "match_id": id } })).await;
    let own_b = answer["match"]["self"].clone();
    assert_eq!(
        answer,
        json!({ "cid": "2", "match": { "match_id": id, "size": 1, "presences": [own_a], "self": own_b } })
    );
    let event = json!({ "match_presence_event": { "match_id": id, "joins": [own_b] } });
    assert_eq!(b.next().await, event);
    assert_eq!(a.next().await, event);
}

#[tokio::test]
async fn data_reaches_the_other_members_and_is_never_answered() {
    let server = TestServer::start().await;
    let (mut a, mut b, mut c) =
        (server.player("player-a").await, server.player("player-b").await, server.player("player-c").await);
    let (id, own_a) = a.create_match().await;
    b.join_match(&id).await;
    a.next().await;
    c.join_match(&id).await;
    a.next().await;
    b.next().await;
    a.send(json!({ "cid": "77", "match_data_send": { "match_id": id, "op_code": 2, "data": "aGk=", "presences": [], "reliable": true } })).await;
    let expected = json!({ "match_data": { "match_id": id, "presence": own_a, "op_code": "2", "data": "aGk=", "reliable": true } });
    assert_eq!(b.next().await, expected);
    assert_eq!(c.next().await, expected);
    a.send(json!({ "match_data_send": { "match_id": id } })).await;
    assert_eq!(b.next().await, json!({ "match_data": { "match_id": id, "presence": own_a } }));
    a.quiet().await;
}

#[tokio::test]
async fn a_list_of_presences_chooses_the_receivers_by_session_id() {
    let server = TestServer::start().await;
    let (mut a, mut b) = (server.player("player-a").await, server.player("player-b").await);
    let (id, own_a) = a.create_match().await;
    let own_b = b.join_match(&id).await;
    a.next().await;
    let to =
        |presences: Value| json!({ "match_data_send": { "match_id": id, "op_code": "3", "presences": presences } });
    a.send(to(json!([own_a, own_b]))).await;
    assert_eq!(a.next().await["match_data"]["op_code"], "3");
    assert_eq!(b.next().await["match_data"]["op_code"], "3");
    a.send(to(json!([{ "user_id": own_a["user_id"], "session_id": own_b["session_id"] }]))).await;
    assert_eq!(b.next().await["match_data"]["op_code"], "3", "a wrong user id does not matter");
    for malformed in
        [json!([{ "user_id": "zzz", "session_id": "zzz" }]), json!([{ "session_id": own_b["session_id"] }])]
    {
        a.send(to(malformed)).await;
    }
    b.quiet().await;
    a.quiet().await;
}

#[tokio::test]
async fn only_members_send_and_a_match_ends_with_its_last_one() {
    let server = TestServer::start().await;
    let (mut a, mut b) = (server.player("player-a").await, server.player("player-b").await);
    let (id, own_a) = a.create_match().await;
    b.send(data(&id, 1, "eA==")).await;
    a.quiet().await;
    let own_b = b.join_match(&id).await;
    a.next().await;
    assert_eq!(a.ask(json!({ "cid": "3", "match_leave": { "match_id": id } })).await, json!({ "cid": "3" }));
    assert_eq!(b.next().await, json!({ "match_presence_event": { "match_id": id, "leaves": [own_a] } }));
    assert_eq!(a.ask(json!({ "cid": "4", "match_leave": { "match_id": id } })).await, json!({ "cid": "4" }));
    b.quiet().await;
    let again = b.ask(json!({ "cid": "5", "match_join": { "match_id": id } })).await;
    assert_eq!(again["match"], json!({ "match_id": id, "size": 1, "presences": [own_b], "self": own_b }));
    b.ask(json!({ "match_leave": { "match_id": id } })).await;
    let gone = b.ask(json!({ "cid": "6", "match_join": { "match_id": id } })).await;
    assert_eq!(gone, json!({ "cid": "6", "error": { "code": 4, "message": "Match not found" } }));
}

#[tokio::test]
async fn a_name_is_one_match_for_everybody() {
    let server = TestServer::start().await;
    let (mut a, mut b) = (server.player("player-a").await, server.player("player-b").await);
    let create = json!({ "cid": "1", "match_create": { "name": "lobby" } });
    let first = a.ask(create.clone()).await;
    a.next().await;
    let id = first["match"]["match_id"].clone();
    let expected = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_DNS, b"lobby");
    assert_eq!(id, format!("{expected}."));
    let second = b.ask(create).await;
    assert_eq!((&second["match"]["match_id"], &second["match"]["size"]), (&id, &json!(2)));
    assert_eq!(second["match"]["presences"], json!([first["match"]["self"]]));
}

#[tokio::test]
async fn what_cannot_be_joined_is_answered_with_its_error() {
    let server = TestServer::start().await;
    let mut a = server.player("player-a").await;
    let unknown = "11111111-1111-4111-8111-111111111111";
    for (request, code, message) in [
        (json!({ "match_id": "abc" }), 3, "Invalid match ID"),
        (json!({ "match_id": "abc." }), 3, "Invalid match ID"),
        (json!({ "match_id": unknown }), 3, "Invalid match ID"),
        (json!({ "match_id": "" }), 3, "Invalid match ID"),
        (json!({ "match_id": format!("{unknown}.") }), 4, "Match not found"),
        (json!({ "match_id": format!("{unknown}.other") }), 4, "Match not found"),
        (json!({ "token": "x.y.z" }), 3, "Invalid match token"),
        (json!({}), 3, "No match ID or token found"),
    ] {
        let answer = a.ask(json!({ "cid": "1", "match_join": request })).await;
        assert_eq!(answer, json!({ "cid": "1", "error": { "code": code, "message": message } }), "{request}");
    }
    let answer = a.ask(json!({ "cid": "9", "match_data_send": { "match_id": "abc" } })).await;
    assert_eq!(answer, json!({ "error": { "code": 3, "message": "Invalid match ID" } }), "without the cid");
}

#[tokio::test]
async fn a_session_token_is_no_match_token() {
    let server = TestServer::start().await;
    let session = server.sign_in("player-a").await;
    let mut a = server.connect(text(&session["token"]), "json").await;
    let answer = a.ask(json!({ "cid": "1", "match_join": { "token": session["token"] } })).await;
    assert_eq!(answer["error"]["message"], "Invalid match token");
    assert_eq!(
        a.ask(json!({ "cid": "2", "ping": {} })).await,
        json!({ "cid": "2", "pong": {} }),
        "the socket lives on"
    );
}

#[tokio::test]
async fn a_player_lost_without_goodbye_leaves_every_match() {
    let server = TestServer::start().await;
    let (mut a, mut b) = (server.player("player-a").await, server.player("player-b").await);
    let (first, _) = a.create_match().await;
    let (second, _) = a.create_match().await;
    let own_b = b.join_match(&first).await;
    b.join_match(&second).await;
    a.next().await;
    a.next().await;
    drop(b);
    let mut left = [a.next().await, a.next().await];
    left.sort_by_key(|event| event["match_presence_event"]["match_id"] != json!(first));
    for (event, id) in left.iter().zip([&first, &second]) {
        assert_eq!(event, &json!({ "match_presence_event": { "match_id": id, "leaves": [own_b] } }));
    }
}

#[tokio::test]
async fn one_user_may_be_in_a_match_twice() {
    let server = TestServer::start().await;
    let session = server.sign_in("player-a").await;
    let token = text(&session["token"]);
    let (mut first, mut second) = (server.connect(token, "json").await, server.connect(token, "json").await);
    let (id, own_first) = first.create_match().await;
    let own_second = second.join_match(&id).await;
    assert_eq!(own_first["user_id"], own_second["user_id"]);
    assert_ne!(own_first["session_id"], own_second["session_id"]);
    first.next().await;
    first.send(data(&id, 1, "eA==")).await;
    assert_eq!(second.next().await["match_data"]["presence"], own_first);
}

#[tokio::test]
async fn json_and_protobuf_sockets_meet_in_one_match() {
    use kizuna_protocol::{
        envelope::{Format, decode, encode},
        realtime::{Envelope, MatchDataSend, MatchJoin, envelope::Message as Body, match_join},
    };
    use tokio_tungstenite::tungstenite::Message;
    let server = TestServer::start().await;
    let mut a = server.player("player-a").await;
    let session = server.sign_in("player-b").await;
    let mut b = server.connect(text(&session["token"]), "protobuf").await;
    let (id, _) = a.create_match().await;
    let join = Body::MatchJoin(MatchJoin { id: Some(match_join::Id::MatchId(id.clone())), ..MatchJoin::default() });
    let frame = |message: Body| {
        Message::Binary(encode(Format::Protobuf, &Envelope { cid: "7".into(), message: Some(message) }))
    };
    b.send_frame(frame(join)).await;
    let Some(Message::Binary(answer)) = b.next_frame().await else { panic!("want a binary frame") };
    let answer = decode(Format::Protobuf, &answer).expect("an envelope");
    assert!(matches!(&answer.message, Some(Body::Match(found)) if found.match_id == id && answer.cid == "7"));
    b.next_frame().await.expect("its own join event");
    a.next().await;
    let sent =
        MatchDataSend { match_id: id.clone(), op_code: 5, data: vec![0, 255, 1].into(), ..MatchDataSend::default() };
    b.send_frame(frame(Body::MatchDataSend(sent))).await;
    assert_eq!(a.next().await["match_data"]["data"], "AP8B");
    a.send(data(&id, 6, "AQI=")).await;
    let Some(Message::Binary(received)) = b.next_frame().await else { panic!("want a binary frame") };
    let Some(Body::MatchData(received)) = decode(Format::Protobuf, &received).expect("an envelope").message else {
        panic!("want match data")
    };
    assert_eq!((received.op_code, received.data.as_ref()), (6, &[1u8, 2][..]));
}

#[tokio::test]
async fn the_listing_shows_relayed_matches_with_their_size() {
    let server = TestServer::start().await;
    let session = server.sign_in("player-a").await;
    let bearer = format!("Bearer {}", text(&session["token"]));
    assert_eq!(server.call("GET", "/v2/match", &bearer, Value::Null).await, (200, json!({})));
    let mut a = server.connect(text(&session["token"]), "json").await;
    let (id, _) = a.create_match().await;
    let listed = json!({ "matches": [{ "match_id": id, "size": 1 }] });
    assert_eq!(server.call("GET", "/v2/match?limit=5", &bearer, Value::Null).await, (200, listed.clone()));
    assert_eq!(server.call("GET", "/v2/match?authoritative=false&min_size=1", &bearer, Value::Null).await.1, listed);
    assert_eq!(server.call("GET", "/v2/match?authoritative=true", &bearer, Value::Null).await.1, json!({}));
    assert_eq!(server.call("GET", "/v2/match?min_size=2", &bearer, Value::Null).await.1, json!({}));
    let (status, body) = server.call("GET", "/v2/match?limit=101", &bearer, Value::Null).await;
    assert_eq!((status, &body["message"]), (400, &json!("Invalid limit - limit must be between 1 and 100.")));
}

#[tokio::test]
async fn with_single_match_joining_leaves_the_earlier_one() {
    let server = TestServer::start_with(|config| {
        config.session.single_socket = true;
        config.session.single_match = true;
    })
    .await;
    let (mut a, mut b, mut c) =
        (server.player("player-a").await, server.player("player-b").await, server.player("player-c").await);
    let (first, _) = a.create_match().await;
    let (second, _) = c.create_match().await;
    let own_b = b.join_match(&first).await;
    a.next().await;
    b.join_match(&second).await;
    assert_eq!(a.next().await, json!({ "match_presence_event": { "match_id": first, "leaves": [own_b] } }));
}

#[tokio::test]
async fn the_bounds_of_matches_have_named_answers() {
    let server = TestServer::start_with(|config| {
        config.r#match.max_per_session = 1;
        config.r#match.max_size = 1;
    })
    .await;
    let (mut a, mut b) = (server.player("player-a").await, server.player("player-b").await);
    let (id, _) = a.create_match().await;
    let answer = a.ask(json!({ "cid": "1", "match_create": {} })).await;
    assert_eq!(answer["error"], json!({ "code": 5, "message": "In too many matches" }));
    let answer = b.ask(json!({ "cid": "1", "match_join": { "match_id": id } })).await;
    assert_eq!(answer["error"], json!({ "code": 5, "message": "Match is full" }));
}
