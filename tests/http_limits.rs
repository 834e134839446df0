//! HTTP under strain: malformed requests, smuggling, limits in bytes, number and time, and the end.

mod common;

use common::{PATIENCE, raw::Server};
use kizuna::config::Webhook;
use std::time::Duration;
use tokio::time::timeout;

const OK: &str = "GET /healthcheck HTTP/1.1\r\nhost: x\r\n\r\n";
const CUSTOM: &str =
    "POST /v2/account/authenticate/custom HTTP/1.1\r\nhost: x\r\nauthorization: Basic ZGVmYXVsdGtleTo=\r\n";

fn custom(body: &str) -> String {
    format!("{CUSTOM}content-length: {}\r\n\r\n{body}", body.len())
}

fn body_of(size: usize) -> String {
    let frame = r#"{"id":"abcdefgh","unknown":""}"#;
    frame.replace(r#""""#, &format!("\"{}\"", "v".repeat(size - frame.len())))
}

#[tokio::test]
async fn bodies_are_taken_up_to_the_limit() {
    let server = Server::start().await;
    assert_eq!(server.ask(&custom(&body_of(262_144))).await.status, 200);
    for size in [262_145, 2_000_000] {
        let answer = server.ask(&custom(&body_of(size))).await;
        assert_eq!(answer.short(), (400, r#"{"code":3,"message":"http: request body too large"}"#));
        assert_eq!(answer.header("connection"), Some("close"));
    }
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000)).repeat(5);
    let answer = server.ask(&format!("{CUSTOM}transfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n")).await;
    assert_eq!(answer.short(), (400, r#"{"code":3,"message":"http: request body too large"}"#));
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_not_measured() {
    let server = Server::start().await;
    let body = "x".repeat(300_000);
    let answer =
        server.ask(&format!("GET /healthcheck HTTP/1.1\r\nhost: x\r\ncontent-length: 300000\r\n\r\n{body}")).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn chunked_bodies_and_expectations_work() {
    let server = Server::start().await;
    let chunked = "7\r\n{\"id\":\"\r\nc\r\nchunked-id\"}\r\n0\r\n\r\n";
    assert_eq!(server.ask(&format!("{CUSTOM}transfer-encoding: chunked\r\n\r\n{chunked}")).await.status, 200);
    let mut raw = server.connect().await;
    raw.send(format!("{CUSTOM}expect: 100-continue\r\ncontent-length: 17\r\n\r\n")).await;
    assert_eq!(raw.answer().await.status, 100);
    raw.send(r#"{"id":"expected"}"#).await;
    assert_eq!(raw.answer().await.status, 200);
}

#[tokio::test]
async fn heads_are_taken_up_to_the_limit() {
    let server = Server::start().await;
    let of = |size: usize| {
        let fixed = "GET /healthcheck HTTP/1.1\r\nhost: x\r\nx-fill: \r\n\r\n".len();
        format!("GET /healthcheck HTTP/1.1\r\nhost: x\r\nx-fill: {}\r\n\r\n", "f".repeat(size - fixed))
    };
    assert_eq!(server.ask(&of(9_216)).await.status, 200);
    let answer = server.ask(&of(9_217)).await;
    assert_eq!(answer.short(), (431, "431 Request Header Fields Too Large"));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(answer.header("connection"), Some("close"));
    for size in [30_000, 500_000] {
        assert_eq!(server.ask(&of(size)).await.status, 431);
    }
    let many: String = (0..150).map(|i| format!("x-{i}: y\r\n")).collect();
    assert_eq!(server.ask(&format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n")).await.status, 431);
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let server = Server::start().await;
    for (request, why) in [
        ("GET /healthcheck HTTP/1.1\r\n\r\n", "no host"),
        ("GET /healthcheck HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "two hosts"),
        ("GET /healthcheck HTTP/1.1\r\nhost: x\r\na: b\r\n folded\r\n\r\n", "a folded header"),
        ("GET /healthcheck HTTP/1.1\r\nhost : x\r\n\r\n", "a blank before a colon"),
        ("GET /healthcheck HTTP/1.1\r\nhost: x\r\na\0b: c\r\n\r\n", "a zero byte in a name"),
        ("GET /health check HTTP/1.1\r\nhost: x\r\n\r\n", "a blank in the path"),
        ("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", "two lengths"),
        ("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1, 2\r\n\r\nab", "a list of lengths"),
        ("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", "a negative length"),
        ("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: +1\r\n\r\na", "a signed length"),
        ("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n", "an encoding that is not chunked"),
        ("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", "chunked not last"),
        ("nonsense\r\n\r\n", "no request line"),
    ] {
        let mut raw = server.connect().await;
        raw.send(request).await;
        raw.send(OK).await;
        let said = raw.rest().await;
        assert!(said.starts_with("HTTP/1.1 400 "), "{why}: {said:?}");
        assert_eq!(said.matches("HTTP/1.1").count(), 1, "{why}: nothing behind it is read: {said:?}");
    }
    let answer = server.ask("GET /healthcheck HTTP/1.0\r\n\r\n").await;
    assert_eq!(answer.status, 200, "HTTP/1.0 has no host");
}

#[tokio::test]
async fn a_length_beside_chunks_does_not_smuggle_a_request() {
    let server = Server::start().await;
    for order in
        ["content-length: 6\r\ntransfer-encoding: chunked\r\n", "transfer-encoding: chunked\r\ncontent-length: 6\r\n"]
    {
        let mut raw = server.connect().await;
        raw.send(format!("{CUSTOM}{order}\r\n0\r\n\r\n{OK}")).await;
        let said = raw.rest().await;
        assert_eq!(said.matches("HTTP/1.1").count(), 1, "{said}");
    }
}

#[tokio::test]
async fn http_2_is_refused() {
    let server = Server::start().await;
    let mut raw = server.connect().await;
    raw.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert!(!raw.rest().await.contains(" 200 "));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Server::start().await;
    let mut raw = server.connect().await;
    let second = custom(r#"{"id":"pipelined"}"#);
    raw.send([OK, &second, OK, "GET /v2/nothing HTTP/1.1\r\nhost: x\r\n\r\n"].concat()).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(raw.answer().await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 404]);
}

#[tokio::test]
async fn a_slow_head_is_cut_off() {
    let server = Server::with(|config| config.socket.read_timeout_ms = 50).await;
    for sent in ["", "GET /healthcheck HT"] {
        let mut raw = server.connect().await;
        raw.send(sent).await;
        assert_eq!(raw.rest().await, "", "{sent:?}");
    }
    let mut raw = server.connect().await;
    raw.send(OK).await;
    raw.answer().await;
    raw.send("GET /health").await;
    assert_eq!(raw.rest().await, "", "the second head is timed as the first, not as idle time");
}

#[tokio::test]
async fn an_idle_connection_is_closed_later_than_a_slow_one() {
    let server = Server::with(|config| {
        config.socket.read_timeout_ms = 20;
        config.socket.idle_timeout_ms = 300;
    })
    .await;
    let mut raw = server.connect().await;
    raw.send(OK).await;
    raw.answer().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    raw.send(OK).await;
    assert_eq!(raw.answer().await.status, 200, "it was still open");
    assert_eq!(raw.rest().await, "");
}

#[tokio::test]
async fn a_slow_body_and_a_slow_request_are_answered() {
    let server = Server::with(|config| config.socket.read_timeout_ms = 50).await;
    let mut raw = server.connect().await;
    raw.send(format!("{CUSTOM}content-length: 10\r\n\r\n{{")).await;
    assert_eq!(raw.answer().await.short(), (400, r#"{"code":3,"message":"http: request body read timeout"}"#));
    assert_eq!(raw.rest().await, "");
    let server = Server::with(|config| config.socket.request_timeout_ms = 50).await;
    let mut raw = server.connect().await;
    raw.send(format!("{CUSTOM}content-length: 10\r\n\r\n{{")).await;
    assert_eq!(raw.answer().await.short(), (504, r#"{"code":4,"message":"Request timed out."}"#));
}

#[tokio::test]
async fn one_request_too_many_is_refused_but_not_the_question_whether_the_server_is_well() {
    let hook = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", hook.local_addr().unwrap());
    let server = Server::with(|config| {
        config.socket.max_requests_in_flight = 1;
        config.hooks.webhook = vec![Webhook { name: "slow".into(), url, timeout_ms: 30_000, ..Webhook::default() }];
        config.hooks.before.push("slow".into());
    })
    .await;
    let mut first = server.connect().await;
    first.send(custom(r#"{"id":"in-work-now"}"#)).await;
    let asked = hook.accept().await.unwrap();
    let answer = server.ask(&custom(r#"{"id":"one-too-many"}"#)).await;
    assert_eq!(answer.short(), (503, r#"{"code":14,"message":"Too many requests in flight."}"#));
    assert_eq!(server.ask(OK).await.status, 200);
    assert_eq!(server.ask("GET /ws HTTP/1.1\r\nhost: x\r\n\r\n").await.status, 401, "judged, not turned away");
    drop(asked);
}

#[tokio::test]
async fn slow_bodies_keep_nobody_out() {
    let server = Server::with(|config| config.socket.max_requests_in_flight = 1).await;
    let mut slow = server.connect().await;
    slow.send(format!("{CUSTOM}content-length: 18\r\n\r\n")).await;
    while server.services.metrics.http_in_flight.get() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.ask(&custom(r#"{"id":"in-a-hurry"}"#)).await.status, 200);
    slow.send(r#"{"id":"unhurried"}"#).await;
    assert_eq!(slow.answer().await.status, 200);
    assert_eq!(server.ask(&custom(r#"{"id":"afterwards"}"#)).await.status, 200, "places are given back");
}

#[tokio::test]
async fn one_connection_too_many_is_closed() {
    let server = Server::with(|config| config.socket.max_connections = 1).await;
    let mut first = server.connect().await;
    first.send(OK).await;
    first.answer().await;
    let mut second = server.connect().await;
    assert_eq!(second.rest().await, "");
    drop(first);
    while server.services.metrics.connections.get() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.ask(OK).await.status, 200);
}

#[tokio::test]
async fn a_stop_lets_requests_finish_and_idle_connections_go() {
    let server = Server::start().await;
    let mut idle = server.connect().await;
    idle.send(OK).await;
    idle.answer().await;
    let mut busy = server.connect().await;
    let body = r#"{"id":"last-one-in"}"#;
    busy.send(format!("{CUSTOM}content-length: {}\r\n\r\n", body.len())).await;
    while server.services.metrics.http_in_flight.get() == 0 {
        tokio::task::yield_now().await;
    }
    let life = server.life.clone();
    let stop = tokio::spawn(async move { life.stop(PATIENCE).await });
    assert_eq!(idle.rest().await, "");
    busy.send(body).await;
    assert_eq!(busy.answer().await.status, 200);
    drop(busy);
    assert!(timeout(PATIENCE, stop).await.unwrap().unwrap(), "everything ended in time");
}

#[tokio::test]
async fn a_stop_cuts_off_what_outlasts_the_grace() {
    let server = Server::start().await;
    let mut stuck = server.connect().await;
    stuck.send(format!("{CUSTOM}content-length: 10\r\n\r\n")).await;
    while server.services.metrics.http_in_flight.get() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!server.life.stop(Duration::from_millis(50)).await);
    assert_eq!(stuck.rest().await, "");
}
