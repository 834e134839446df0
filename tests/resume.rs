//! A session outlives its connection (docs/resume.md): what a player who comes back finds, what the others see, and what ends it.

mod common;

use common::{
    PATIENCE, Socket, TestServer, fixed,
    parties::{Player, leader, leaves},
    text,
};
use futures_util::StreamExt;
use kizuna::{config::Config, features::account, telemetry::KindLabels};
use kizuna_protocol::{
    envelope::{self, Format},
    realtime::{Envelope, MatchDataSend, MatchJoin, envelope::Message as Body, match_join},
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

const FORMATS: [&str; 2] = ["json", "protobuf"];

/// A window that no test outlasts.
fn resuming(config: &mut Config) {
    config.realtime.resume_window_ms = 3_600_000;
}

async fn server() -> TestServer {
    TestServer::start_with(resuming).await
}

async fn server_with(change: impl FnOnce(&mut Config)) -> TestServer {
    TestServer::start_with(|config| {
        resuming(config);
        change(config);
    })
    .await
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let held = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, held).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

fn detached(server: &TestServer) -> i64 {
    server.running.services().metrics.sessions_detached.get()
}

fn sessions(server: &TestServer) -> usize {
    server.running.services().realtime.registry().len()
}

/// The connection breaks, and the server knows.
async fn lose(server: &TestServer, socket: Socket) {
    let before = detached(server);
    drop(socket);
    until("the loss is noticed", || detached(server) > before).await;
}

fn data(id: &str, op_code: i64) -> Value {
    json!({ "match_data_send": { "match_id": id, "op_code": op_code.to_string(), "data": "eA==" } })
}

/// A player who stays, one who will be lost, and the match that both are in.
struct Play {
    stays: Socket,
    lost: Socket,
    token: String,
    match_id: String,
    own: Value,
}

async fn play(server: &TestServer) -> Play {
    let mut stays = server.player("player-stays").await;
    let session = server.sign_in("player-lost").await;
    let token = text(&session["token"]).to_owned();
    let mut lost = server.connect(&token, "json").await;
    let (match_id, _) = stays.create_match().await;
    let own = lost.join_match(&match_id).await;
    stays.next().await;
    Play { stays, lost, token, match_id, own }
}

async fn next_op_code(socket: &mut Socket) -> i64 {
    match socket.next_frame().await {
        Some(Message::Text(json)) => {
            let envelope: Value = serde_json::from_str(&json).expect("JSON");
            text(&envelope["match_data"]["op_code"]).parse().expect("a number")
        }
        Some(Message::Binary(bytes)) => {
            match envelope::decode(Format::Protobuf, &bytes).expect("an envelope").message {
                Some(Body::MatchData(data)) => data.op_code,
                other => panic!("want match data, got {other:?}"),
            }
        }
        other => panic!("want match data, got {other:?}"),
    }
}

async fn send_binary(socket: &mut Socket, body: Body) {
    let envelope = Envelope { cid: String::new(), message: Some(body) };
    socket.send_frame(Message::Binary(envelope::encode(Format::Protobuf, &envelope))).await;
}

async fn join_in(socket: &mut Socket, format: &str, match_id: &str) {
    if format == "json" {
        socket.join_match(match_id).await;
    } else {
        let id = Some(match_join::Id::MatchId(match_id.to_owned()));
        send_binary(socket, Body::MatchJoin(MatchJoin { id, ..MatchJoin::default() })).await;
        // The answer, then the own join.
        socket.next_frame().await.expect("an answer");
        socket.next_frame().await.expect("an event");
    }
}

#[tokio::test]
async fn who_comes_back_gets_all_of_the_gap_in_order_and_nobody_saw_a_leave() {
    for format in FORMATS {
        let server = server().await;
        let mut stays = server.player("player-stays").await;
        let session = server.sign_in("player-lost").await;
        let token = text(&session["token"]);
        let mut lost = server.connect(token, format).await;
        let (match_id, _) = stays.create_match().await;
        join_in(&mut lost, format, &match_id).await;
        let own = stays.next().await["match_presence_event"]["joins"][0].clone();
        lose(&server, lost).await;
        for op_code in 1..=500 {
            stays.send(data(&match_id, op_code)).await;
        }
        // Served in order: once this is answered, all of that is queued.
        stays.ask(json!({ "cid": "1", "ping": {} })).await;

        let mut back = server.connect(token, format).await;
        for op_code in 1..=500 {
            assert_eq!(next_op_code(&mut back).await, op_code, "{format}");
        }
        if format == "json" {
            back.send(data(&match_id, 7)).await;
        } else {
            let data = MatchDataSend { match_id: match_id.clone(), op_code: 7, ..MatchDataSend::default() };
            send_binary(&mut back, Body::MatchDataSend(data)).await;
        }
        let heard = stays.next().await;
        assert_eq!((&heard["match_data"]["presence"], &heard["match_data"]["op_code"]), (&own, &json!("7")), "{heard}");
        assert_eq!((sessions(&server), detached(&server)), (2, 0));
        assert_eq!(server.running.services().metrics.sessions_resumed.get(), 1);
    }
}

#[tokio::test]
async fn without_a_window_a_lost_connection_is_the_end_of_its_session() {
    let server = TestServer::start().await;
    let Play { mut stays, lost, token, match_id, own } = play(&server).await;
    drop(lost);
    assert_eq!(stays.next().await["match_presence_event"]["leaves"], json!([own]));
    let mut back = server.connect(&token, "json").await;
    let new = back.join_match(&match_id).await;
    assert_ne!(new["session_id"], own["session_id"]);
}

#[tokio::test]
async fn a_goodbye_a_fault_and_a_close_by_the_server_end_a_session_at_once() {
    let server = server().await;
    for fault in [Message::Close(None), Message::text("nonsense"), Message::binary(vec![1])] {
        let Play { mut stays, mut lost, own, .. } = play(&server).await;
        lost.send_frame(fault).await;
        assert_eq!(stays.next().await["match_presence_event"]["leaves"], json!([own]));
        until("both are gone", || sessions(&server) == 1).await;
        drop(stays);
        until("the other waits", || detached(&server) == 1).await;
        let services = server.running.services();
        services.realtime.registry().all().iter().for_each(|session| {
            session.outbound().close(kizuna_protocol::code::Close::DISCONNECTED);
        });
        until("nobody is left", || sessions(&server) == 0 && detached(&server) == 0).await;
    }
}

#[tokio::test]
async fn a_window_that_is_over_ends_the_session_and_the_others_hear_of_it() {
    let server = server_with(|config| config.realtime.resume_window_ms = 50).await;
    let Play { mut stays, lost, token, match_id, own } = play(&server).await;
    drop(lost);
    assert_eq!(stays.next().await["match_presence_event"]["leaves"], json!([own]));
    let mut back = server.connect(&token, "json").await;
    assert_ne!(back.join_match(&match_id).await["session_id"], own["session_id"]);
}

/// A party's leader who also waits for a match, alone and with the party, and a member: the party's id.
async fn party_of(leader: &mut Player, member: &mut Player) -> String {
    let id = leader.create(true, 4).await;
    member.enter(&id).await;
    leader.next().await;
    let alone = json!({ "min_count": 3, "max_count": 4, "query": "+properties.no:no" });
    let together = json!({ "party_id": id, "min_count": 3, "max_count": 4, "query": "+properties.no:no" });
    assert!(leader.ask(json!({ "matchmaker_add": alone })).await["matchmaker_ticket"].is_object());
    assert!(leader.ask(json!({ "party_matchmaker_add": together })).await["party_matchmaker_ticket"].is_object());
    assert!(member.next().await["party_matchmaker_ticket"].is_object());
    id
}

#[tokio::test]
async fn a_lost_leader_keeps_party_and_tickets_and_leads_on_when_back() {
    for format in FORMATS {
        let server = server().await;
        let mut leads = Player::start(&server, "leads", format).await;
        let mut stays = Player::start(&server, "stays", "json").await;
        let id = party_of(&mut leads, &mut stays).await;
        let (token, own) = (leads.token.clone(), leads.own.clone());
        lose(&server, leads.socket).await;
        let say = json!({ "cid": "1", "party_data_send": { "party_id": id, "op_code": "7" } });
        assert_eq!(stays.ask(say).await, json!({ "cid": "1" }), "nobody has left");
        assert_eq!(server.running.services().metrics.matchmaker_tickets.get(), 2, "both tickets still wait");
        let mut back = Player::resume(&server, &token, format, own).await;
        assert_eq!(back.next().await["party_data"]["op_code"], "7", "what was said meanwhile");
        let update = json!({ "cid": "2", "party_update": { "party_id": id, "open": true } });
        assert!(back.ask(update).await["party_update"].is_object(), "it leads");
        assert_eq!(back.next().await, json!({ "cid": "2" }));
        assert!(stays.next().await["party_update"].is_object());
        back.ask(json!({ "party_leave": { "party_id": id } })).await;
        assert!(stays.next().await["party_leader"].is_object());
        assert_eq!(stays.next().await, leaves(&id, &back.own));
        assert_eq!(server.running.services().metrics.matchmaker_tickets.get(), 1, "the party's ticket is gone with it");
    }
}

#[tokio::test]
async fn a_leader_whose_window_is_over_has_left_the_party_and_the_pool() {
    let server = server_with(|config| config.realtime.resume_window_ms = 50).await;
    let mut leads = Player::start(&server, "leads", "json").await;
    let mut stays = Player::start(&server, "stays", "json").await;
    let id = party_of(&mut leads, &mut stays).await;
    let own = leads.own.clone();
    drop(leads);
    assert_eq!(stays.next().await, leader(&id, &stays.own));
    assert_eq!(stays.next().await, leaves(&id, &own));
    until("its tickets are gone", || server.running.services().metrics.matchmaker_tickets.get() == 0).await;
    let update = json!({ "cid": "2", "party_update": { "party_id": id, "open": true } });
    assert!(stays.ask(update).await["party_update"].is_object(), "the other one leads");
}

#[tokio::test]
async fn more_than_the_bounds_of_the_gap_ends_the_session() {
    for (messages, bytes) in [(9, 1 << 20), (1_000, 1_000)] {
        let server = server_with(|config| {
            config.realtime.resume_max_messages = messages;
            config.realtime.resume_max_bytes = bytes;
        })
        .await;
        let Play { mut stays, lost, token, match_id, own } = play(&server).await;
        lose(&server, lost).await;
        for op_code in 1..=10 {
            stays.send(data(&match_id, op_code)).await;
        }
        assert_eq!(stays.next().await["match_presence_event"]["leaves"], json!([own]));
        until("its place is free", || detached(&server) == 0).await;
        let mut back = server.connect(&token, "json").await;
        back.quiet().await;
        assert_ne!(back.join_match(&match_id).await["session_id"], own["session_id"]);
    }
}

#[tokio::test]
async fn a_connection_that_the_server_does_not_know_to_be_lost_is_taken_over_and_closed() {
    let server = server().await;
    let Play { mut stays, mut lost, token, match_id, own } = play(&server).await;
    let mut back = server.connect(&token, "json").await;
    assert_eq!(lost.next_close().await, (4403, "session taken over".to_owned()));
    stays.send(data(&match_id, 1)).await;
    assert_eq!(next_op_code(&mut back).await, 1);
    back.send(data(&match_id, 2)).await;
    assert_eq!(stays.next().await["match_data"]["presence"], own);
    assert_eq!((sessions(&server), detached(&server)), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_connections_with_one_token_one_has_the_session_and_no_message_is_lost_or_doubled() {
    const MESSAGES: i64 = 400;
    let server = server().await;
    let Play { mut stays, lost, token, match_id, .. } = play(&server).await;
    let mut sockets = vec![lost];
    for op_code in 1..=MESSAGES {
        stays.send(data(&match_id, op_code)).await;
        if op_code % 40 == 0 {
            let connect = || server.connect(&token, "json");
            let (one, other) = tokio::join!(connect(), connect());
            sockets.extend([one, other]);
        }
    }
    let others = (sockets.len() - 1) as u64;
    let closed = KindLabels { kind: "session taken over" };
    let metrics = server.running.services().metrics.clone();
    until("one is left", || metrics.sockets_closed.get_or_create(&closed).get() == others).await;
    stays.send(data(&match_id, 0)).await;
    let mut heard = Vec::new();
    for socket in &mut sockets {
        loop {
            let frame = tokio::time::timeout(PATIENCE, socket.socket.next()).await.expect("in time");
            match frame {
                Some(Ok(Message::Text(json))) => {
                    let envelope: Value = serde_json::from_str(&json).expect("JSON");
                    let op_code =
                        envelope["match_data"]["op_code"].as_str().map_or(0, |text| text.parse().expect("a number"));
                    heard.push(op_code);
                    if op_code == 0 {
                        break;
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    assert_eq!(frame.expect("a reason").reason.as_str(), "session taken over");
                    break;
                }
                Some(Ok(_)) => {}
                other => panic!("want data or a close, got {other:?}"),
            }
        }
    }
    assert_eq!(heard.iter().filter(|op_code| **op_code == 0).count(), 1, "one socket has the session");
    heard.retain(|op_code| *op_code != 0);
    heard.sort_unstable();
    assert_eq!(heard, (1..=MESSAGES).collect::<Vec<_>>());
    assert_eq!((sessions(&server), detached(&server)), (2, 0));
}

#[tokio::test]
async fn another_format_is_a_session_of_its_own() {
    let server = server().await;
    let Play { mut lost, token, .. } = play(&server).await;
    let _other = server.connect(&token, "protobuf").await;
    assert_eq!(lost.ask(json!({ "cid": "1", "ping": {} })).await, json!({ "cid": "1", "pong": {} }));
    assert_eq!(sessions(&server), 3);
}

#[tokio::test]
async fn a_ticket_brings_a_player_back_as_its_token_does() {
    let server = server().await;
    let Play { mut stays, lost, token, match_id, own } = play(&server).await;
    lose(&server, lost).await;
    let (_, ticket) = server.call("POST", "/v2/session/ticket", &format!("Bearer {token}"), Value::Null).await;
    let query = format!("ticket={}&format=json", text(&ticket["ticket"]));
    let mut back = server.try_connect(&query, &[]).await.expect("it opens");
    back.send(data(&match_id, 2)).await;
    assert_eq!(stays.next().await["match_data"]["presence"], own);
}

#[tokio::test]
async fn who_is_logged_out_while_the_line_is_lost_has_left() {
    let server = server_with(|config| config.session.close_on_logout = true).await;
    let Play { mut stays, lost, token, own, .. } = play(&server).await;
    lose(&server, lost).await;
    let (status, _) =
        server.call("POST", "/v2/session/logout", &format!("Bearer {token}"), json!({ "token": token })).await;
    assert_eq!(status, 200);
    assert_eq!(stays.next().await["match_presence_event"]["leaves"], json!([own]));
    assert_eq!(server.try_connect(&format!("token={token}"), &[]).await.err().expect("refused").0, 401);
    assert_eq!(detached(&server), 0);
}

#[tokio::test]
async fn who_deletes_the_account_while_the_line_is_lost_has_left() {
    let server = server().await;
    let Play { mut stays, lost, token, own, .. } = play(&server).await;
    lose(&server, lost).await;
    assert_eq!(server.call("DELETE", "/v2/account", &format!("Bearer {token}"), Value::Null).await.0, 200);
    assert_eq!(stays.next().await["match_presence_event"]["leaves"], json!([own]));
}

#[tokio::test]
async fn a_second_sign_in_ends_what_waits_where_a_user_has_one_socket() {
    let server = server_with(|config| config.session.single_socket = true).await;
    let Play { mut stays, lost, token, match_id, own } = play(&server).await;
    lose(&server, lost).await;
    let mut same = server.connect(&token, "json").await;
    same.send(data(&match_id, 1)).await;
    assert_eq!(stays.next().await["match_data"]["presence"], own, "its own token takes it over");
    lose(&server, same).await;
    let _other = server.player("player-lost").await;
    assert_eq!(stays.next().await["match_presence_event"]["leaves"], json!([own]));
}

#[tokio::test]
async fn a_session_that_waits_counts_as_a_socket_but_a_take_over_does_not() {
    let server = server_with(|config| config.socket.max_sockets_per_user = 1).await;
    let Play { lost, token, .. } = play(&server).await;
    lose(&server, lost).await;
    let second = server.sign_in("player-lost").await;
    let query = format!("token={}", text(&second["token"]));
    // Two tokens of one second are the same token, unless their ids differ; they do.
    assert_eq!(server.try_connect(&query, &[]).await.err().expect("one too many").0, 429);
    let mut back = server.connect(&token, "json").await;
    assert_eq!(back.ask(json!({ "cid": "1", "ping": {} })).await, json!({ "cid": "1", "pong": {} }));
}

#[tokio::test]
async fn beyond_the_most_that_may_wait_a_lost_connection_is_the_end() {
    let server = server_with(|config| config.realtime.resume_max_sessions = 1).await;
    let Play { mut stays, lost, match_id, .. } = play(&server).await;
    let mut third = server.player("third-player").await;
    let own = third.join_match(&match_id).await;
    stays.next().await;
    lose(&server, lost).await;
    drop(third);
    assert_eq!(stays.next().await["match_presence_event"]["leaves"], json!([own]));
    assert_eq!((sessions(&server), detached(&server)), (2, 1));
}

#[tokio::test]
async fn status_true_shows_a_status_where_there_is_none_and_leaves_one_that_is_there() {
    let server = server().await;
    let Play { lost, token, .. } = play(&server).await;
    lose(&server, lost).await;
    let services = server.running.services();
    let online = || services.metrics.presences.get();
    assert_eq!(online(), 2, "two in a match");
    let mut shown = server.try_connect(&format!("token={token}&format=json&status=true"), &[]).await.expect("it opens");
    assert!(shown.next().await["status_presence_event"]["joins"].is_array());
    assert_eq!(online(), 3);
    lose(&server, shown).await;
    assert_eq!(online(), 3, "a status stays");
    let mut again = server.try_connect(&format!("token={token}&format=json&status=true"), &[]).await.expect("it opens");
    again.quiet().await;
}

#[tokio::test]
async fn a_stop_ends_what_waits() {
    let server = server().await;
    let Play { lost, .. } = play(&server).await;
    lose(&server, lost).await;
    assert!(server.running.stop().await, "in time");
}

#[tokio::test]
async fn where_tokens_end_sockets_the_end_of_the_token_ends_what_waits() {
    let (clock, entropy) = fixed();
    let (time, folder) = (clock.clone(), tempfile::tempdir().expect("a folder"));
    let change = |config: &mut Config| {
        resuming(config);
        config.session.close_on_expiry = true;
        config.session.token_expiry_sec = 1;
        config.session.expiry_warning_sec = 0;
    };
    let server = TestServer::start_built(folder, change, |server| server.with_time(time, entropy)).await;
    let lost = server.player("player-lost").await;
    lose(&server, lost).await;
    assert_eq!(sessions(&server), 1, "whose token is good waits");
    clock.advance_seconds(1);
    until("it has ended", || sessions(&server) == 0 && detached(&server) == 0).await;
}

#[tokio::test]
async fn who_is_banned_while_the_line_is_lost_has_left() {
    let server = server().await;
    let Play { mut stays, lost, token, own, .. } = play(&server).await;
    lose(&server, lost).await;
    let banned = text(&own["user_id"]).parse().expect("an id");
    assert!(account::set_disabled(server.running.services(), banned, true).await.expect("done"));
    assert_eq!(stays.next().await["match_presence_event"]["leaves"], json!([own]));
    assert_eq!(server.try_connect(&format!("token={token}"), &[]).await.err().expect("refused").0, 401);
    until("its place is free", || detached(&server) == 0).await;
}

#[tokio::test]
async fn who_answers_no_ping_is_lost_and_may_come_back() {
    let server = server_with(|config| {
        config.socket.ping_period_ms = 500;
        config.socket.pong_wait_ms = 1_000;
        config.socket.close_ack_wait_ms = 50;
    })
    .await;
    let session = server.sign_in("player-silent").await;
    let token = text(&session["token"]);
    let mut silent = server.connect(token, "json").await;
    let (match_id, own) = silent.create_match().await;
    until("it is given up", || detached(&server) == 1).await;
    let mut back = server.connect(token, "json").await;
    back.send(json!({ "cid": "1", "match_join": { "match_id": match_id } })).await;
    assert_eq!(back.next().await["match"]["self"], own, "it never left");
    // The old line hears why it was closed.
    while !matches!(silent.next_frame().await, Some(Message::Close(_)) | None) {}
}

/// As much as fits lies with the operating system when the server gives up; the rest goes to whoever comes back.
#[tokio::test(flavor = "multi_thread")]
async fn of_what_a_client_did_not_read_nothing_is_lost_or_doubled() {
    const MESSAGES: i64 = 8_000;
    let server = server_with(|config| {
        config.socket.write_wait_ms = 200;
        config.socket.outgoing_queue_size = 100_000;
        config.socket.outgoing_queue_bytes = 1 << 28;
        config.realtime.resume_max_messages = 100_000;
        config.realtime.resume_max_bytes = 1 << 28;
    })
    .await;
    let Play { mut stays, mut lost, token, match_id, .. } = play(&server).await;
    let data = "eHh4".repeat(900);
    for op_code in 1..=MESSAGES {
        let sent = json!({ "match_id": match_id, "op_code": op_code.to_string(), "data": data });
        stays.send(json!({ "match_data_send": sent })).await;
    }
    until("it is given up", || detached(&server) == 1).await;
    let mut heard = Vec::new();
    while let Some(Message::Text(json)) = lost.next_frame().await {
        let envelope: Value = serde_json::from_str(&json).expect("JSON");
        heard.push(text(&envelope["match_data"]["op_code"]).parse::<i64>().expect("a number"));
    }
    let mut back = server.connect(&token, "json").await;
    assert!(!heard.is_empty() && heard.len() < MESSAGES as usize, "{}", heard.len());
    while heard.len() < MESSAGES as usize {
        heard.push(next_op_code(&mut back).await);
    }
    assert!(heard.iter().copied().eq(1..=MESSAGES), "a gap, or something twice");
    back.quiet_but_pings().await;
}

#[tokio::test]
async fn a_party_and_a_ticket_are_there_for_who_comes_back() {
    let server = server_with(|config| config.matchmaker.interval_sec = 3_600).await;
    let Play { mut stays, mut lost, token, own, .. } = play(&server).await;
    lost.send(json!({ "cid": "1", "party_create": { "open": true, "max_size": 4 } })).await;
    let party_id = loop {
        let party = &lost.next().await["party"];
        if party.is_object() {
            break text(&party["party_id"]).to_owned();
        }
    };
    lost.send(json!({ "cid": "2", "matchmaker_add": { "min_count": 2, "max_count": 2, "query": "*" } })).await;
    let ticket = loop {
        let told = lost.next().await;
        if told["cid"] == "2" {
            break told["matchmaker_ticket"]["ticket"].clone();
        }
    };
    lose(&server, lost).await;
    let metrics = &server.running.services().metrics;
    assert_eq!((metrics.parties.get(), metrics.matchmaker_tickets.get()), (1, 1));
    stays.send(json!({ "cid": "3", "party_join": { "party_id": party_id } })).await;
    let party = loop {
        let told = stays.next().await;
        if told["party"].is_object() {
            break told["party"].clone();
        }
    };
    assert_eq!(party["leader"]["session_id"], own["session_id"], "{party}");

    let mut back = server.connect(&token, "json").await;
    let joined = back.next().await;
    assert_eq!(joined["party_presence_event"]["party_id"], party_id.as_str(), "who came meanwhile: {joined}");
    let removed = back.ask(json!({ "cid": "4", "matchmaker_remove": { "ticket": ticket } })).await;
    assert_eq!(removed, json!({ "cid": "4" }));
    back.send(json!({ "cid": "5", "party_data_send": { "party_id": party_id, "op_code": "9", "data": "eA==" } })).await;
    let heard = loop {
        let told = stays.next().await;
        if told["party_data"].is_object() {
            break told["party_data"].clone();
        }
    };
    assert_eq!(heard["presence"]["session_id"], own["session_id"]);
}

#[tokio::test]
async fn what_waits_for_all_together_has_a_bound_and_whoever_passes_it_has_left() {
    let server = server_with(|config| config.realtime.resume_max_total_bytes = 4_000).await;
    let Play { mut stays, lost, match_id, own, .. } = play(&server).await;
    lose(&server, lost).await;
    for op_code in 1..=40 {
        stays.send(data(&match_id, op_code)).await;
    }
    assert_eq!(stays.next().await["match_presence_event"]["leaves"], json!([own]));
    until("its place is free", || detached(&server) == 0).await;
    assert_eq!(server.running.services().realtime.detached_bounds().held(), 0, "and what it held");
}
