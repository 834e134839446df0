//! The socket at the wire: handshake, frames, closing, keeping order, and clients that misbehave.

mod common;

use common::{SERVER_KEY, Socket, TestServer, text};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

async fn refusal(server: &TestServer, query: &str, headers: &[(&str, &str)]) -> (u16, String) {
    match server.try_connect(query, headers).await {
        Ok(_) => panic!("the socket opened"),
        Err(refusal) => refusal,
    }
}

#[tokio::test]
async fn the_handshake_checks_the_format_then_the_token() {
    let server = TestServer::start().await;
    let session = server.sign_in("player-a").await;
    let (token, refresh) = (text(&session["token"]), text(&session["refresh_token"]));
    let bad_format = (400, "Invalid format parameter\n".to_owned());
    let bad_token = (401, "Missing or invalid token\n".to_owned());
    assert_eq!(refusal(&server, "format=xml&token=nonsense", &[]).await, bad_format);
    assert_eq!(refusal(&server, &format!("format=JSON&token={token}"), &[]).await, bad_format);
    assert_eq!(refusal(&server, "", &[]).await, bad_token);
    assert_eq!(refusal(&server, "token=nonsense", &[]).await, bad_token);
    assert_eq!(refusal(&server, &format!("token={refresh}"), &[]).await, bad_token);
    let basic = [("authorization", SERVER_KEY)];
    assert_eq!(refusal(&server, &format!("token={token}"), &basic).await, bad_token, "the header goes first");
    let bearer = format!("Bearer {token}");
    let mut socket = server.try_connect("token=nonsense", &[("authorization", &bearer)]).await.expect("opens");
    assert_eq!(socket.ask(json!({ "ping": {} })).await, json!({ "pong": {} }));
}

#[tokio::test]
async fn a_plain_request_with_a_token_is_told_what_is_missing() {
    let server = TestServer::start().await;
    let session = server.sign_in("player-a").await;
    let path = format!("/ws?token={}", text(&session["token"]));
    assert_eq!(server.call("GET", &path, "", Value::Null).await, (400, json!("Bad Request\n")));
    assert_eq!(server.call("GET", "/ws", "", Value::Null).await, (401, json!("Missing or invalid token\n")));
}

#[tokio::test]
async fn a_logged_out_token_opens_no_socket() {
    let server = TestServer::start().await;
    let session = server.sign_in("player-a").await;
    let bearer = format!("Bearer {}", text(&session["token"]));
    let body = json!({ "token": session["token"] });
    assert_eq!(server.call("POST", "/v2/session/logout", &bearer, body).await, (200, json!({})));
    assert_eq!(refusal(&server, &format!("token={}", text(&session["token"])), &[]).await.0, 401);
}

#[tokio::test]
async fn the_cid_comes_back_as_sent_in_the_order_of_the_requests() {
    let server = TestServer::start().await;
    let mut a = server.player("player-a").await;
    for cid in ["1", "", "ü-2", "0"] {
        a.send(json!({ "cid": cid, "ping": {} })).await;
    }
    for cid in ["1", "", "ü-2", "0"] {
        let expected = if cid.is_empty() { json!({ "pong": {} }) } else { json!({ "cid": cid, "pong": {} }) };
        assert_eq!(a.next().await, expected);
    }
}

#[tokio::test]
async fn an_unknown_function_is_an_error_envelope() {
    let server = TestServer::start().await;
    let mut a = server.player("player-a").await;
    let answer = a.ask(json!({ "cid": "1", "rpc": { "id": "nope", "payload": "x" } })).await;
    assert_eq!(answer, json!({ "cid": "1", "error": { "code": 6, "message": "RPC function not found" } }));
    let answer = a.ask(json!({ "cid": "2", "rpc": {} })).await;
    assert_eq!(answer, json!({ "cid": "2", "error": { "code": 3, "message": "RPC ID must be set" } }));
}

/// What follows a frame that closes the socket: perhaps an error envelope, then the close frame.
async fn closes(server: &TestServer, frame: Message) -> (Vec<Value>, (u16, String)) {
    let mut socket = server.player("player-a").await;
    socket.send_frame(frame).await;
    let mut before = Vec::new();
    loop {
        match socket.next_frame().await {
            Some(Message::Text(text)) => before.push(serde_json::from_str(&text).expect("JSON")),
            Some(Message::Close(Some(frame))) => return (before, (frame.code.into(), frame.reason.to_string())),
            other => panic!("want a close frame, got {other:?}"),
        }
    }
}

#[tokio::test]
async fn faulty_frames_close_the_socket_with_their_reason() {
    let server = TestServer::start().await;
    let malformed = (1000, "received malformed payload".to_owned());
    for text in ["this is not json", "", "[]", "null", r#"{"cid":"1","nope":{}}"#, r#"{"cid":"1","cid":"2","ping":{}}"#]
    {
        assert_eq!(closes(&server, Message::text(text)).await, (vec![], malformed.clone()), "{text}");
    }
    let wrong_kind = (1000, "received unexpected WebSocket message type".to_owned());
    assert_eq!(closes(&server, Message::binary(vec![8])).await.1, wrong_kind);
    let no_request = (1000, "error processing message".to_owned());
    let (before, close) = closes(&server, Message::text(r#"{"cid":"1"}"#)).await;
    assert_eq!(
        (before, close),
        (vec![json!({ "cid": "1", "error": { "code": 2, "message": "Missing message." } })], no_request.clone())
    );
    let (before, close) = closes(&server, Message::text(r#"{"cid":"1","match":{}}"#)).await;
    assert_eq!(
        (before, close),
        (vec![json!({ "cid": "1", "error": { "code": 1, "message": "Unrecognized message." } })], no_request)
    );
}

#[tokio::test]
async fn messages_of_up_to_4096_bytes_are_taken_and_one_more_closes_with_1009() {
    let server = TestServer::start().await;
    let message = |size: usize| {
        let frame = r#"{"cid":"","ping":{}}"#.len();
        Message::text(format!(r#"{{"cid":"{}","ping":{{}}}}"#, "a".repeat(size - frame)))
    };
    let mut a = server.player("player-a").await;
    a.send_frame(message(4096)).await;
    assert_eq!(a.next().await["pong"], json!({}));
    a.send_frame(message(4097)).await;
    assert_eq!(a.next_close().await, (1009, String::new()));
}

#[tokio::test]
async fn a_client_close_is_echoed() {
    let server = TestServer::start().await;
    let mut a = server.player("player-a").await;
    a.send_frame(Message::Close(Some(CloseFrame { code: CloseCode::Library(4001), reason: "".into() }))).await;
    assert_eq!(a.next_close().await, (4001, String::new()));
}

#[tokio::test]
async fn one_token_holds_several_sockets_found_by_token_by_user_and_by_session() {
    let server = TestServer::start().await;
    let session = server.sign_in("player-a").await;
    let token = text(&session["token"]);
    let (mut a, mut b) = (server.connect(token, "json").await, server.connect(token, "json").await);
    a.ask(json!({ "ping": {} })).await;
    b.ask(json!({ "ping": {} })).await;
    let services = server.running.services();
    let claims = services.tokens.verify_session(token).expect("valid");
    let registry = services.realtime.registry();
    let sessions = registry.of_token(&claims.signature);
    assert_eq!(sessions.len(), 2);
    assert_eq!(registry.of_user(claims.user_id).len(), 2);
    assert!(registry.by_id(sessions[0].id()).is_some());
    drop((a, b));
    while !registry.is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(registry.of_token(&claims.signature).is_empty() && registry.of_user(claims.user_id).is_empty());
}

#[tokio::test]
async fn a_user_holds_no_more_sockets_than_allowed() {
    let server = TestServer::start_with(|config| config.socket.max_sockets_per_user = 1).await;
    let session = server.sign_in("player-a").await;
    let query = format!("token={}", text(&session["token"]));
    let mut a = server.try_connect(&query, &[]).await.expect("the first opens");
    a.ask(json!({ "ping": {} })).await;
    assert_eq!(refusal(&server, &query, &[]).await, (429, "Too many sockets of this user\n".to_owned()));
}

#[tokio::test]
async fn with_single_socket_the_newest_wins_and_the_older_is_told_why() {
    let server = TestServer::start_with(|config| config.session.single_socket = true).await;
    let session = server.sign_in("player-a").await;
    let mut old = server.connect(text(&session["token"]), "json").await;
    old.ask(json!({ "ping": {} })).await;
    let mut new = server.connect(text(&session["token"]), "json").await;
    let notice = old.next().await;
    let notification = &notice["notifications"]["notifications"][0];
    assert_eq!((&notification["subject"], &notification["code"]), (&json!("single_socket"), &json!(-7)));
    assert_eq!(old.next_close().await, (1000, "server-side session disconnect".to_owned()));
    assert_eq!(new.ask(json!({ "cid": "1", "ping": {} })).await, json!({ "cid": "1", "pong": {} }));
}

#[tokio::test]
async fn deleting_the_account_closes_its_sockets() {
    let server = TestServer::start().await;
    let session = server.sign_in("player-a").await;
    let mut a = server.connect(text(&session["token"]), "json").await;
    a.ask(json!({ "ping": {} })).await;
    let bearer = format!("Bearer {}", text(&session["token"]));
    assert_eq!(server.call("DELETE", "/v2/account", &bearer, Value::Null).await, (200, json!({})));
    assert_eq!(a.next_close().await, (1000, "server-side session disconnect".to_owned()));
}

/// Two players in one match: the second never reads.
async fn match_with_a_deaf_player(server: &TestServer) -> (Socket, String, Socket) {
    let (mut a, mut deaf) = (server.player("player-a").await, server.player("player-b").await);
    let (id, _) = a.create_match().await;
    deaf.join_match(&id).await;
    a.next().await;
    (a, id, deaf)
}

#[tokio::test]
async fn a_slow_client_is_closed_with_its_reason_and_costs_the_others_nothing() {
    let server = TestServer::start_with(|config| {
        config.socket.outgoing_queue_size = 200;
        config.socket.write_wait_ms = 300;
    })
    .await;
    let (mut a, id, mut deaf) = match_with_a_deaf_player(&server).await;
    let filler = "A".repeat(3_000);
    let message = json!({ "match_data_send": { "match_id": id, "data": filler } });
    // More than the kernel's buffers and the queue hold together; at most 90 MB.
    let mut left = None;
    for number in 0..30_000 {
        a.send(message.clone()).await;
        if number % 100 == 0 {
            let cid = format!("p{number}");
            a.send(json!({ "cid": cid, "ping": {} })).await;
            loop {
                let received = a.next().await;
                if received.get("match_presence_event").is_some() {
                    left = Some(received);
                } else if received["cid"] == json!(cid) {
                    break;
                }
            }
            if left.is_some() {
                break;
            }
        }
    }
    let left = left.expect("the slow player leaves while the other's pings are answered");
    assert_eq!(left["match_presence_event"]["leaves"].as_array().map(Vec::len), Some(1));
    let closed = server.running.services().metrics.sockets_closed.clone();
    assert_eq!(closed.get_or_create(&kizuna::telemetry::KindLabels { kind: "session outgoing queue full" }).get(), 1);
    while deaf.socket.next().await.is_some_and(|frame| frame.is_ok()) {}
}

#[tokio::test]
async fn a_burst_does_not_kill_a_healthy_client() {
    let server = TestServer::start().await;
    let (mut a, mut b) = (server.player("player-a").await, server.player("player-b").await);
    let (id, _) = a.create_match().await;
    b.join_match(&id).await;
    a.next().await;
    for number in 0..2_000 {
        a.socket
            .feed(Message::text(json!({ "match_data_send": { "match_id": id, "op_code": number } }).to_string()))
            .await
            .expect("fed");
    }
    a.socket.flush().await.expect("sent");
    assert!(b.next().await["match_data"]["op_code"].is_null(), "0 is omitted");
    for number in 1..2_000 {
        assert_eq!(b.next().await["match_data"]["op_code"], number.to_string(), "in order, nothing lost");
    }
}

#[tokio::test]
async fn a_graceful_stop_closes_every_socket_with_its_reason() {
    let server = TestServer::start().await;
    let mut a = server.player("player-a").await;
    a.ask(json!({ "ping": {} })).await;
    let stopping = tokio::spawn(server.stop());
    assert_eq!(a.next_close().await, (1001, "server shutting down".to_owned()));
    drop(a);
    stopping.await.expect("stopped");
}

#[tokio::test]
async fn raw_faults_of_the_protocol_end_with_1002_and_their_name() {
    let server = TestServer::start().await;
    for (bytes, reason) in [
        (&[0x81u8, 0x02, b'{', b'}'][..], "bad MASK"),
        (&[0xC1, 0x80, 0, 0, 0, 0], "RSV1 set"),
        (&[0x83, 0x80, 0, 0, 0, 0], "bad opcode 3"),
        (&[0x8B, 0x80, 0, 0, 0, 0], "bad opcode 11"),
        (&[0x09, 0x80, 0, 0, 0, 0], "FIN not set on control"),
        (&[0x80, 0x80, 0, 0, 0, 0], "continuation after FIN"),
        (&[0x01, 0x80, 0, 0, 0, 0, 0x81, 0x80, 0, 0, 0, 0], "data before FIN"),
    ] {
        let mut a = server.player("player-a").await;
        let stream = a.socket.get_mut();
        stream.write_all(bytes).await.expect("written");
        assert_eq!(a.next_close().await, (1002, reason.to_owned()));
    }
}

#[tokio::test]
async fn a_half_open_handshake_is_not_kept_for_ever() {
    let server = TestServer::start_with(|config| config.socket.read_timeout_ms = 50).await;
    let mut stream = tokio::net::TcpStream::connect(server.running.http()).await.expect("connected");
    stream.write_all(b"GET /ws HTTP/1.1\r\nHost: a\r\n").await.expect("written");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("the server ends the connection");
}
