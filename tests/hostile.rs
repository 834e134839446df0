//! A match is played while other clients do what they can to hurt the server. Nothing of the match is lost or out of order, and
//! when all are gone nothing is left of them. How much later the match's messages arrive is measured by `loadtest hostile`
//! (docs/performance.md); no clock decides here.

mod common;

use common::{Socket, TestServer, open_socket, text};
use futures_util::{SinkExt, StreamExt};
use kizuna::config::Config;
use prometheus_client::metrics::gauge::Gauge;
use serde_json::{Value, json};
use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_tungstenite::tungstenite::Message;

const PLAYERS: usize = 4;
const ROUNDS: u64 = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_clients_cost_a_match_nothing() {
    beside_hostile_clients(|_| {}).await;
}

/// Each of them comes again and again with one token: sessions are lost, kept and taken over without end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_do_they_where_sessions_outlive_their_connections() {
    beside_hostile_clients(|config| {
        config.realtime.resume_window_ms = 500;
        config.realtime.resume_max_sessions = 4;
        config.realtime.resume_max_total_bytes = 1 << 16;
    })
    .await;
}

async fn beside_hostile_clients(change: impl FnOnce(&mut Config)) {
    let server = TestServer::start_with(change).await;
    let (mut players, id) = a_match(&server).await;
    let address = server.running.http();
    let crowd = Crowd::default();
    let mut tasks = JoinSet::new();
    for (number, attack) in
        [flood, never_reads, huge_frames, random_bytes, reserved_opcodes, many_joins].into_iter().enumerate()
    {
        let token = text(&server.sign_in(&format!("hostile-{number}")).await["token"]).to_owned();
        tasks.spawn(attack(address, token, id.clone(), crowd.clone()));
    }
    tasks.spawn(half_open(address, crowd.clone()));
    let end = Instant::now() + Duration::from_secs(60);
    while crowd.attempts.load(Relaxed) < 100 && Instant::now() < end {
        tokio::task::yield_now().await;
    }
    for round in 0..ROUNDS {
        play(&mut players, &id, round).await;
    }
    crowd.over.store(true, Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a hostile client's own code does not fail");
    }
    assert!(crowd.attempts.load(Relaxed) >= 100, "they did try: {}", crowd.attempts.load(Relaxed));
    play(&mut players, &id, ROUNDS).await;
    drop(players);
    nothing_is_left(&server).await;
}

/// Players who are all in one match, and its id.
async fn a_match(server: &TestServer) -> (Vec<Socket>, String) {
    let mut players = vec![server.player("player-0").await];
    let (id, _) = players[0].create_match().await;
    for number in 1..PLAYERS {
        let mut player = server.player(&format!("player-{number}")).await;
        player.join_match(&id).await;
        players.push(player);
    }
    (players, id)
}

/// Each player says `round`, and hears it from each of the others, with nothing else between.
async fn play(players: &mut [Socket], id: &str, round: u64) {
    for player in players.iter_mut() {
        player.send(json!({ "match_data_send": { "match_id": id, "op_code": round.to_string() } })).await;
    }
    for player in players {
        for _ in 0..PLAYERS - 1 {
            let data = next_data(player).await;
            let op_code = data.get("op_code").and_then(Value::as_str).unwrap_or("0");
            assert_eq!(op_code, round.to_string(), "{data}");
        }
    }
}

/// The next data of the match; joins and leaves are told, too, and are not what is counted.
async fn next_data(player: &mut Socket) -> Value {
    loop {
        let message = timeout(Duration::from_secs(60), player.next()).await.expect("the match goes on");
        match message.get("match_data") {
            Some(data) => return data.clone(),
            None => assert!(message.get("match_presence_event").is_some(), "{message}"),
        }
    }
}

async fn nothing_is_left(server: &TestServer) {
    let metrics = &server.running.services().metrics;
    let gauges = || {
        let places = [&metrics.sessions, &metrics.sessions_detached, &metrics.presences, &metrics.streams];
        (places.map(Gauge::get), [&metrics.follows, &metrics.matches, &metrics.parties].map(Gauge::get))
    };
    let end = Instant::now() + Duration::from_secs(30);
    while gauges() != ([0; 4], [0; 3]) {
        let what = "sessions, detached, presences, streams; follows, matches, parties";
        assert!(Instant::now() < end, "{what}: {:?}", gauges());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.running.services().realtime.detached_bounds().held(), 0);
}

/// How far the hostile clients are.
#[derive(Clone, Default)]
struct Crowd {
    over: Arc<AtomicBool>,
    attempts: Arc<AtomicU64>,
}

impl Crowd {
    /// One more attempt, unless it is over. Others get their turn: this is one process with what it attacks.
    async fn goes_on(&self) -> bool {
        self.attempts.fetch_add(1, Relaxed);
        tokio::task::yield_now().await;
        !self.over.load(Relaxed)
    }
}

type Attack = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// A socket of the hostile user; `None` when it is refused, as one with too many sockets is.
async fn opened(address: SocketAddr, token: &str) -> Option<Socket> {
    open_socket(address, &format!("token={token}&format=json"), &[]).await.ok()
}

/// Pings as fast as they can be written, and reads the answers.
fn flood(address: SocketAddr, token: String, _id: String, crowd: Crowd) -> Attack {
    Box::pin(async move {
        while crowd.goes_on().await {
            let Some(socket) = opened(address, &token).await else { continue };
            let (mut sink, mut stream) = socket.socket.split();
            let reading = tokio::spawn(async move { while let Some(Ok(_)) = stream.next().await {} });
            for _ in 0..5_000 {
                if !crowd.goes_on().await || sink.send(Message::text(r#"{"cid":"1","ping":{}}"#)).await.is_err() {
                    break;
                }
            }
            drop(sink);
            reading.abort();
        }
    })
}

/// Asks and asks, and reads nothing.
fn never_reads(address: SocketAddr, token: String, _id: String, crowd: Crowd) -> Attack {
    Box::pin(async move {
        while crowd.goes_on().await {
            let Some(mut socket) = opened(address, &token).await else { continue };
            let request = json!({ "cid": "x".repeat(3_000), "ping": {} }).to_string();
            while crowd.goes_on().await {
                let sent =
                    timeout(Duration::from_millis(200), socket.socket.send(Message::text(request.clone()))).await;
                if !matches!(sent, Ok(Ok(()))) {
                    break;
                }
            }
        }
    })
}

/// Messages that are larger than allowed, whole and in pieces.
fn huge_frames(address: SocketAddr, token: String, _id: String, crowd: Crowd) -> Attack {
    Box::pin(async move {
        while crowd.goes_on().await {
            let Some(mut socket) = opened(address, &token).await else { continue };
            let _ = socket.socket.send(Message::text("x".repeat(1 << 20))).await;
            // A head that announces 2^62 bytes.
            let Some(mut socket) = opened(address, &token).await else { continue };
            let head = [0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
            let _ = socket.socket.get_mut().write_all(&head).await;
        }
    })
}

/// Bytes that mean nothing, before a handshake and after it.
fn random_bytes(address: SocketAddr, token: String, _id: String, crowd: Crowd) -> Attack {
    Box::pin(async move {
        let mut state = 1_u64;
        while crowd.goes_on().await {
            let mut noise = vec![0; 2_000];
            for byte in &mut noise {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *byte = state.to_be_bytes()[0];
            }
            if let Ok(mut stream) = TcpStream::connect(address).await {
                let _ = stream.write_all(&noise).await;
            }
            if let Some(mut socket) = opened(address, &token).await {
                let _ = socket.socket.get_mut().write_all(&noise).await;
            }
        }
    })
}

/// Frames of kinds that there are not, and envelopes that only the server sends.
fn reserved_opcodes(address: SocketAddr, token: String, _id: String, crowd: Crowd) -> Attack {
    Box::pin(async move {
        for opcode in (0x83_u8..=0x87).chain(0x8b..=0x8f).cycle() {
            if !crowd.goes_on().await {
                return;
            }
            if let Some(mut socket) = opened(address, &token).await {
                let _ = socket.socket.get_mut().write_all(&[opcode, 0x80, 1, 2, 3, 4]).await;
            }
            if let Some(mut socket) = opened(address, &token).await {
                let _ = socket.socket.send(Message::text(r#"{"match_data":{}}"#)).await;
                let _ = socket.socket.next().await;
            }
        }
    })
}

/// Ten thousand joins and more: of the match that is played, of matches that are not there, of new ones, and of parties.
fn many_joins(address: SocketAddr, token: String, id: String, crowd: Crowd) -> Attack {
    Box::pin(async move {
        let mut number = 0_u64;
        while crowd.goes_on().await || number < 10_000 {
            let Some(socket) = opened(address, &token).await else { continue };
            let (mut sink, mut stream) = socket.socket.split();
            let reading = tokio::spawn(async move { while let Some(Ok(_)) = stream.next().await {} });
            loop {
                let request = match number % 4 {
                    0 => json!({ "cid": "1", "match_join": { "match_id": id } }),
                    1 => json!({ "cid": "2", "match_create": { "name": format!("own-{number}") } }),
                    2 => json!({ "cid": "3", "party_create": { "open": true, "max_size": 9 } }),
                    _ => json!({ "cid": "4", "match_join": { "match_id": "11111111-1111-4111-8111-111111111111." } }),
                };
                number += 1;
                let ends = crowd.over.load(Relaxed) && number >= 10_000;
                if ends || sink.send(Message::text(request.to_string())).await.is_err() {
                    break;
                }
                crowd.goes_on().await;
            }
            drop(sink);
            reading.abort();
        }
    })
}

/// Connections that never say who they are, and handshakes that end in the middle.
async fn half_open(address: SocketAddr, crowd: Crowd) {
    let mut held = Vec::new();
    while crowd.goes_on().await {
        if held.len() >= 100 {
            held.clear();
        }
        if let Ok(mut stream) = TcpStream::connect(address).await {
            let _ = stream.write_all(b"GET /ws?token=x HTTP/1.1\r\nHost: x\r\nUpgrade: websoc").await;
            held.push(stream);
        }
    }
}
