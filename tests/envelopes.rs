//! Every message of Nakama's envelope (tests/contract/messages.tsv) over a socket of either format: it is served, or refused by name,
//! or closes the socket because only a server sends it. What a message does beyond its answer is in its feature's own tests.

mod common;

use common::{
    TestServer,
    parties::{Player, UNKNOWN},
    text,
};
use kizuna::{config::Config, hooks::MessageKind};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const CONTRACT: &str = include_str!("contract/messages.tsv");

/// The messages of the envelope, as the contract lists them.
fn messages() -> Vec<&'static str> {
    let rows = CONTRACT.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let of_envelope = rows.filter(|row| row[..2] == ["nakama.realtime", "Envelope"] && row[5] == "oneof:message");
    of_envelope.map(|row| row[2]).collect()
}

/// What becomes of a message.
enum Fate {
    /// This request is answered with the message of this name; an empty name: with the `cid` alone.
    Answered(Value, &'static str),
    /// This request is taken, and nothing is said.
    Silent(Value),
    /// This request is answered with an error, and the socket stays.
    Refused(Value, u32, &'static str),
    /// Only a server sends it: an error, and the socket closes.
    ServersOwn,
}

/// Who stands where when the message is sent.
struct Scene {
    match_id: String,
    party_id: String,
    /// A member of an open party; of a closed one, somebody who asks to join.
    guest: Value,
    /// The asker's tickets: one of its own, one of its party.
    ticket: String,
    party_ticket: String,
}

/// What each message of the contract is to meet. One that is not named here fails the test.
fn fate(message: &str, scene: &Scene) -> Fate {
    use Fate::{Answered, Refused, ServersOwn, Silent};
    const NOT_YET: &str = "This message is not served yet.";
    let (match_id, party_id) = (&scene.match_id, &scene.party_id);
    let about = |presence: &Value| json!({ "party_id": party_id, "presence": presence });
    let search = json!({ "min_count": 2, "max_count": 2, "query": "*" });
    match message {
        "ping" => Answered(json!({}), "pong"),
        "pong" => Silent(json!({})),
        "rpc" => Refused(json!({ "id": "nothing" }), 6, "RPC function not found"),
        "match_create" => Answered(json!({}), "match"),
        "match_join" => Answered(json!({ "match_id": match_id }), "match"),
        "match_leave" => Answered(json!({ "match_id": match_id }), ""),
        "match_data_send" => Silent(json!({ "match_id": match_id, "op_code": "1", "data": "eA==" })),
        "matchmaker_add" => Answered(search, "matchmaker_ticket"),
        "matchmaker_remove" => Answered(json!({ "ticket": scene.ticket }), ""),
        "status_follow" => Answered(json!({ "user_ids": [UNKNOWN] }), "status"),
        "status_unfollow" => Answered(json!({ "user_ids": [UNKNOWN] }), ""),
        "status_update" => Answered(json!({ "status": "here" }), ""),
        "party_create" => Answered(json!({ "open": true, "max_size": 2 }), "party"),
        "party_join" | "party_leave" | "party_close" => Answered(json!({ "party_id": party_id }), ""),
        "party_accept" | "party_remove" | "party_promote" => Answered(about(&scene.guest), ""),
        "party_join_request_list" => Answered(json!({ "party_id": party_id }), "party_join_request"),
        "party_matchmaker_add" => Answered(
            json!({ "party_id": party_id, "min_count": 2, "max_count": 4, "query": "*" }),
            "party_matchmaker_ticket",
        ),
        "party_matchmaker_remove" => Answered(json!({ "party_id": party_id, "ticket": scene.party_ticket }), ""),
        "party_data_send" => Answered(json!({ "party_id": party_id, "op_code": "1", "data": "eA==" }), ""),
        "party_update" => Answered(json!({ "party_id": party_id, "label": "{}", "open": true, "hidden": false }), ""),
        "channel_join" => Refused(json!({ "target": "lobby", "type": 1 }), 0, NOT_YET),
        "channel_leave" => Refused(json!({ "channel_id": "2...lobby" }), 0, NOT_YET),
        "channel_message_send" => Refused(json!({ "channel_id": "2...lobby", "content": "{}" }), 0, NOT_YET),
        "channel_message_update" | "channel_message_remove" => {
            Refused(json!({ "channel_id": "2...lobby", "message_id": UNKNOWN }), 0, NOT_YET)
        }
        "channel"
        | "channel_message"
        | "channel_message_ack"
        | "channel_presence_event"
        | "error"
        | "match"
        | "match_data"
        | "match_presence_event"
        | "matchmaker_matched"
        | "matchmaker_ticket"
        | "notifications"
        | "status"
        | "status_presence_event"
        | "stream_data"
        | "stream_presence_event"
        | "party"
        | "party_leader"
        | "party_join_request"
        | "party_matchmaker_ticket"
        | "party_data"
        | "party_presence_event" => ServersOwn,
        unknown => panic!("nobody has decided what becomes of {unknown}"),
    }
}

/// Whether the message needs a party to which somebody has asked to be let in.
fn needs_a_request(message: &str) -> bool {
    matches!(message, "party_accept" | "party_join_request_list")
}

/// The answer to the request with `cid`; events before it are passed over.
async fn answer_to(player: &mut Player, cid: &str) -> Value {
    loop {
        let envelope = player.next().await;
        if envelope["cid"] == cid {
            return envelope;
        }
    }
}

async fn asked(player: &mut Player, cid: &str, kind: &str, request: Value) -> Value {
    player.send(json!({ "cid": cid, kind: request })).await;
    answer_to(player, cid).await
}

/// Sets the scene for `message`: the one who is to send it, somebody else, and where they are.
async fn scene(server: &TestServer, message: &str, format: &str) -> (Player, Player, Scene) {
    let mut asker = Player::start(server, &format!("asker-{message}-{format}"), format).await;
    let mut guest = Player::start(server, &format!("guest-{message}-{format}"), format).await;
    // Who is to join something joins what somebody else has made.
    let is_joiner = matches!(message, "match_join" | "party_join");
    let owner = if is_joiner { &mut guest } else { &mut asker };
    let made = asked(owner, "match", "match_create", json!({})).await;
    let match_id = text(&made["match"]["match_id"]).to_owned();
    let party = json!({ "open": !needs_a_request(message), "max_size": 4 });
    let made = asked(owner, "party", "party_create", party).await;
    let party_id = text(&made["party"]["party_id"]).to_owned();
    if !is_joiner {
        let joined = asked(&mut guest, "guest", "party_join", json!({ "party_id": party_id })).await;
        assert_eq!(joined, json!({ "cid": "guest" }));
    }
    let search = json!({ "min_count": 3, "max_count": 3, "query": "*" });
    let ticket = asked(&mut asker, "ticket", "matchmaker_add", search).await;
    let ticket = text(&ticket["matchmaker_ticket"]["ticket"]).to_owned();
    let party_ticket = if message == "party_matchmaker_remove" {
        let search = json!({ "party_id": party_id, "min_count": 3, "max_count": 3, "query": "*" });
        let added = asked(&mut asker, "party ticket", "party_matchmaker_add", search).await;
        text(&added["party_matchmaker_ticket"]["ticket"]).to_owned()
    } else {
        String::new()
    };
    let scene = Scene { match_id, party_id, guest: guest.own.clone(), ticket, party_ticket };
    (asker, guest, scene)
}

async fn meets_its_fate(server: &TestServer, message: &str, format: &str) {
    let (mut asker, _guest, scene) = scene(server, message, format).await;
    match fate(message, &scene) {
        Fate::Answered(request, name) => {
            let answer = asked(&mut asker, "own", message, request).await;
            let names: Vec<&str> = answer.as_object().expect("an object").keys().map(String::as_str).collect();
            let want: Vec<&str> = ["cid", name].into_iter().filter(|name| !name.is_empty()).collect();
            assert_eq!(names, want, "{message}: {answer}");
        }
        Fate::Silent(request) => asker.send(json!({ "cid": "own", message: request })).await,
        Fate::Refused(request, code, why) => {
            let answer = asked(&mut asker, "own", message, request).await;
            let mut error = json!({ "message": why });
            if code != 0 {
                error["code"] = code.into();
            }
            assert_eq!(answer, json!({ "cid": "own", "error": error }), "{message}");
        }
        Fate::ServersOwn => {
            let answer = asked(&mut asker, "own", message, json!({})).await;
            let error = json!({ "code": 1, "message": "Unrecognized message." });
            assert_eq!(answer, json!({ "cid": "own", "error": error }), "{message}");
            assert_eq!(asker.socket.next_close().await, (1_000, "error processing message".to_owned()), "{message}");
            return;
        }
    }
    // The socket goes on, and with `own` nothing more was said.
    asker.send(json!({ "cid": "after", "ping": {} })).await;
    loop {
        let next = asker.next().await;
        assert_ne!(next["cid"], "own", "{message} is answered once: {next}");
        if next["cid"] == "after" {
            assert_eq!(next, json!({ "cid": "after", "pong": {} }));
            return;
        }
    }
}

/// No search ends while a test runs.
fn patient(config: &mut Config) {
    config.matchmaker.interval_sec = 3_600;
}

#[tokio::test]
async fn every_message_of_the_contract_is_served_or_refused_by_name_in_json() {
    let server = TestServer::start_with(patient).await;
    for message in messages() {
        meets_its_fate(&server, message, "json").await;
    }
}

#[tokio::test]
async fn every_message_of_the_contract_is_served_or_refused_by_name_in_protobuf() {
    let server = TestServer::start_with(patient).await;
    for message in messages() {
        meets_its_fate(&server, message, "protobuf").await;
    }
}

#[test]
fn hooks_can_stand_around_every_request_of_the_contract_but_rpc() {
    let nowhere = || Scene {
        match_id: String::new(),
        party_id: String::new(),
        guest: Value::Null,
        ticket: String::new(),
        party_ticket: String::new(),
    };
    let is_request = |message: &&str| *message != "rpc" && !matches!(fate(message, &nowhere()), Fate::ServersOwn);
    let requests: BTreeSet<&str> = messages().into_iter().filter(is_request).collect();
    let hooked: BTreeSet<&str> = MessageKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(requests, hooked);
    assert_eq!(messages().len(), 50, "the contract's own count");
}
