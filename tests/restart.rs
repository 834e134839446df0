//! A restart that nobody in a match notices but by the line (docs/resume.md): what was live before is live after.

mod common;

use common::{PATIENCE, Socket, TestServer, open_socket, process, text};
use futures_util::{SinkExt, StreamExt};
use kizuna::{config::Config, features::snapshot};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{sync::watch, time::timeout};
use tokio_tungstenite::tungstenite::Message;

fn keeping(config: &mut Config) {
    config.realtime.resume_window_ms = 3_600_000;
    config.realtime.snapshot = true;
    // A client of these tests hears a goodbye only when it is asked to.
    config.socket.close_ack_wait_ms = 50;
}

/// A loaded machine is no reason for a gap.
fn patient(config: &mut Config) {
    keeping(config);
    config.shutdown_grace_sec = 60;
    config.socket.close_ack_wait_ms = 30_000;
    config.realtime.resume_max_messages = 100_000;
    config.realtime.resume_max_bytes = 1 << 26;
    config.realtime.resume_max_total_bytes = 1 << 30;
}

async fn restart(server: TestServer, change: fn(&mut Config)) -> TestServer {
    let folder = server.stop().await;
    assert!(folder.path().join("realtime.snapshot").exists());
    let server = TestServer::start_in(folder, change).await;
    assert!(!server.folder.path().join("realtime.snapshot").exists(), "used up");
    server
}

fn data(id: &str, op_code: i64) -> Value {
    json!({ "match_data_send": { "match_id": id, "op_code": op_code.to_string(), "data": "eA==" } })
}

/// One player's view: what it said, and what it heard of each of the others.
struct Player {
    token: String,
    match_id: String,
    session_id: String,
    said: i64,
    heard: HashMap<String, i64>,
}

impl Player {
    /// Says a number, one after the other, and listens: each number of each other player comes once and in order. Answers when
    /// `enough`, or when the server says that it restarts.
    async fn play(&mut self, socket: &mut Socket, enough: impl Fn(&HashMap<String, i64>) -> bool) {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    self.said += 1;
                    let message = Message::text(data(&self.match_id, self.said).to_string());
                    // The line may be closing; what comes next tells.
                    let _ = socket.socket.send(message).await;
                }
                frame = socket.socket.next() => match frame {
                    Some(Ok(Message::Text(json))) => self.hear(&serde_json::from_str(&json).expect("JSON")),
                    Some(Ok(Message::Close(Some(frame)))) => {
                        assert_eq!((frame.code.into(), frame.reason.as_str()), (1001_u16, "server restarting"));
                        // The answer goes out.
                        while let Some(Ok(_)) = socket.socket.next().await {}
                        return;
                    }
                    Some(Ok(_)) => {}
                    other => panic!("want a frame, got {other:?}"),
                },
            }
            if enough(&self.heard) {
                return;
            }
        }
    }

    fn hear(&mut self, envelope: &Value) {
        let event = &envelope["match_presence_event"];
        assert!(event["leaves"].is_null(), "somebody has left: {event}");
        let heard = &envelope["match_data"];
        if heard.is_null() {
            return;
        }
        let number: i64 = text(&heard["op_code"]).parse().expect("a number");
        let last = self.heard.entry(text(&heard["presence"]["session_id"]).to_owned()).or_default();
        assert_eq!(number, *last + 1, "one lost, doubled or out of order");
        *last = number;
        assert_eq!(heard["match_id"], self.match_id.as_str());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_players_in_fifty_matches_play_on_through_a_restart_under_load() {
    const MATCHES: usize = 50;
    const PLAYERS: usize = 4;
    let server = TestServer::start_with(patient).await;
    let done = Arc::new(AtomicUsize::new(0));
    let (addresses, address) = watch::channel(None::<SocketAddr>);
    let mut players = Vec::new();
    for number in 0..MATCHES {
        let mut sockets = Vec::new();
        let mut match_id = String::new();
        for seat in 0..PLAYERS {
            let session = server.sign_in(&format!("player-{number}-{seat}")).await;
            let token = text(&session["token"]).to_owned();
            let mut socket = server.connect(&token, "json").await;
            let own = if seat == 0 {
                let (id, own) = socket.create_match().await;
                match_id = id;
                own
            } else {
                socket.join_match(&match_id).await
            };
            let session_id = text(&own["session_id"]).to_owned();
            let player = Player { token, match_id: match_id.clone(), session_id, said: 0, heard: HashMap::new() };
            sockets.push((socket, player));
        }
        players.extend(sockets);
    }
    let mut ids: Vec<String> = players.iter().map(|(_, player)| player.session_id.clone()).collect();
    ids.sort();
    let playing: Vec<_> = players
        .into_iter()
        .map(|(mut socket, mut player)| {
            let (mut address, done) = (address.clone(), done.clone());
            tokio::spawn(async move {
                player.play(&mut socket, |_| false).await;
                assert!(player.heard.len() == PLAYERS - 1, "all have played before the restart");
                let before = player.heard.clone();
                let address = *address.wait_for(Option::is_some).await.expect("the server comes back");
                let query = format!("token={}&format=json", player.token);
                let mut socket = open_socket(address.expect("an address"), &query, &[]).await.expect("it opens");
                // Well beyond what was under way when the server stopped.
                let is_done = AtomicBool::new(false);
                let on = |heard: &HashMap<String, i64>| {
                    if !is_done.load(SeqCst) && before.iter().all(|(id, last)| heard[id] >= last + 20) {
                        is_done.store(true, SeqCst);
                        done.fetch_add(1, SeqCst);
                    }
                    // Who is done plays on for the others.
                    done.load(SeqCst) == MATCHES * PLAYERS
                };
                timeout(PATIENCE * 6, player.play(&mut socket, on)).await.expect("all play on");
                assert_eq!(player.heard.len(), PLAYERS - 1, "the same sessions as before");
                (socket, player)
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let server = restart(server, patient).await;
    let metrics = &server.running.services().metrics;
    assert_eq!((metrics.sessions.get(), metrics.matches.get()), ((MATCHES * PLAYERS) as i64, MATCHES as i64));
    addresses.send(Some(server.running.http())).expect("they wait");
    for player in playing {
        player.await.expect("plays on");
    }
    assert_eq!((metrics.sessions.get(), metrics.matches.get()), ((MATCHES * PLAYERS) as i64, MATCHES as i64));
    let mut after: Vec<String> =
        server.running.services().realtime.registry().all().iter().map(|session| session.id().to_string()).collect();
    after.sort();
    assert_eq!(after, ids);
}

/// Everything that comes until nothing comes.
async fn until_quiet(socket: &mut Socket) -> Vec<Value> {
    let mut all = Vec::new();
    while let Ok(Some(Ok(frame))) = timeout(Duration::from_millis(200), socket.socket.next()).await {
        if let Message::Text(json) = frame {
            all.push(serde_json::from_str(&json).expect("JSON"));
        }
    }
    all
}

#[tokio::test]
async fn status_follows_parties_and_tickets_are_there_after_a_restart() {
    let server = TestServer::start_with(keeping).await;
    let (one, other) = (server.sign_in("player-one").await, server.sign_in("player-other").await);
    let (one, other) = (text(&one["token"]).to_owned(), text(&other["token"]).to_owned());
    let mut a = server.connect(&one, "json").await;
    let mut b = server.connect(&other, "json").await;
    let (match_id, own_a) = a.create_match().await;
    let own_b = b.join_match(&match_id).await;
    a.send(json!({ "cid": "1", "status_follow": { "user_ids": [own_b["user_id"]] } })).await;
    until_quiet(&mut a).await;
    b.send(json!({ "cid": "2", "status_update": { "status": "busy" } })).await;
    until_quiet(&mut b).await;
    a.send(json!({ "cid": "3", "party_create": { "open": true, "max_size": 4 } })).await;
    let heard = until_quiet(&mut a).await;
    let party = heard.iter().find(|envelope| envelope["cid"] == "3").expect("an answer");
    let party_id = text(&party["party"]["party_id"]).to_owned();
    b.send(json!({ "cid": "4", "matchmaker_add": { "min_count": 2, "max_count": 2, "query": "*" } })).await;
    let heard = until_quiet(&mut b).await;
    let ticket = heard.iter().find(|envelope| envelope["cid"] == "4").expect("an answer").clone();

    let server = restart(server, keeping).await;
    let metrics = &server.running.services().metrics;
    assert_eq!((metrics.follows.get(), metrics.parties.get(), metrics.matchmaker_tickets.get()), (1, 1, 1));
    assert_eq!(metrics.sessions.get(), 2);
    let (mut a, mut b) = (server.connect(&one, "json").await, server.connect(&other, "json").await);
    b.send(data(&match_id, 7)).await;
    let heard = until_quiet(&mut a).await;
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(heard[0]["match_data"]["presence"], own_b);
    b.send(json!({ "cid": "5", "status_update": { "status": "free" } })).await;
    let heard = until_quiet(&mut a).await;
    let event = &heard[0]["status_presence_event"];
    assert_eq!(
        (&event["joins"][0]["status"], &event["leaves"][0]["status"]),
        (&json!("free"), &json!("busy")),
        "{heard:?}"
    );
    until_quiet(&mut b).await;
    b.send(json!({ "cid": "6", "party_join": { "party_id": party_id } })).await;
    let heard = until_quiet(&mut b).await;
    let party = heard.iter().find(|envelope| !envelope["party"].is_null()).expect("the party");
    assert_eq!(party["party"]["leader"]["session_id"], own_a["session_id"], "{heard:?}");
    let ticket_id = &ticket["matchmaker_ticket"]["ticket"];
    let answer = b.ask(json!({ "cid": "7", "matchmaker_remove": { "ticket": ticket_id } })).await;
    assert_eq!(answer, json!({ "cid": "7" }));
    assert_eq!(metrics.matchmaker_tickets.get(), 0);
}

#[tokio::test]
async fn whose_session_ended_meanwhile_has_left_for_those_who_come_back() {
    let change = |config: &mut Config| {
        keeping(config);
        // Sockets live on after a log-out, as with Nakama; their tokens do not.
        config.session.close_on_logout = false;
    };
    let server = TestServer::start_with(change).await;
    let (one, other) = (server.sign_in("player-one").await, server.sign_in("player-other").await);
    let (one, other) = (text(&one["token"]).to_owned(), text(&other["token"]).to_owned());
    let mut a = server.connect(&one, "json").await;
    let mut b = server.connect(&other, "json").await;
    let (match_id, _) = a.create_match().await;
    let own_b = b.join_match(&match_id).await;
    a.next().await;
    let (status, _) =
        server.call("POST", "/v2/session/logout", &format!("Bearer {other}"), json!({ "token": other })).await;
    assert_eq!(status, 200);
    let server = restart(server, change).await;
    let mut a = server.connect(&one, "json").await;
    assert_eq!(a.next().await["match_presence_event"]["leaves"], json!([own_b]));
    assert_eq!(server.running.services().metrics.sessions.get(), 1);
}

#[tokio::test]
async fn the_file_holds_no_token_and_only_its_owner_reads_it() {
    let server = TestServer::start_with(keeping).await;
    let session = server.sign_in("player-one").await;
    let token = text(&session["token"]).to_owned();
    let mut socket = server.connect(&token, "json").await;
    socket.create_match().await;
    let folder = server.stop().await;
    let path = folder.path().join("realtime.snapshot");
    let bytes = std::fs::read(&path).expect("readable");
    let signature = token.rsplit('.').next().expect("a signature");
    let raw = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, signature).expect("base64url");
    for secret in [token.as_bytes(), signature.as_bytes(), &raw] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_snapshot_that_cannot_be_believed_is_put_aside_with_its_reason_and_nobody_is_connected() {
    let whole = snapshot::encode(snapshot::Snapshot::default(), 1_000).expect("it fits");
    let mut older = whole.clone();
    older[8] = 0;
    let mut damaged = whole.clone();
    damaged[30] ^= 1;
    let cut = whole[..40].to_vec();
    let longer = [&whole[..], b"more"].concat();
    for (file, reason) in [
        (older, "format version 0"),
        (damaged, "the checksum does not match"),
        (cut, "not a snapshot"),
        (longer, "4 bytes of records, and the header says 0"),
        (vec![0; 2_000], "larger than realtime.snapshot_max_bytes"),
        (b"something else altogether, and long enough for a header to be in it".to_vec(), "not a snapshot"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("realtime.snapshot");
        std::fs::write(&path, &file).expect("written");
        let settings = [
            process::PLAIN[0],
            ("KIZUNA_REALTIME_RESUME_WINDOW_MS", "60000"),
            ("KIZUNA_REALTIME_SNAPSHOT", "true"),
            ("KIZUNA_REALTIME_SNAPSHOT_MAX_BYTES", "1000"),
        ];
        let mut server = process::Process::start(folder.path(), &settings);
        let log = server.log();
        assert!(log.contains("refused") && log.contains(reason), "{reason}: {log}");
        assert!(!path.exists());
        assert_eq!(std::fs::read(folder.path().join("realtime.snapshot.refused")).expect("put aside"), file);
        server.terminate();
    }
}

/// Two who are in one match: their tokens, the match's id, the second one's presence, and their sockets.
async fn two_in_a_match(server: &TestServer) -> ([String; 2], String, Value, [Socket; 2]) {
    let (one, other) = (server.sign_in("player-one").await, server.sign_in("player-other").await);
    let tokens = [&one, &other].map(|session| text(&session["token"]).to_owned());
    let mut a = server.connect(&tokens[0], "json").await;
    let mut b = server.connect(&tokens[1], "json").await;
    let (match_id, _) = a.create_match().await;
    let own_b = b.join_match(&match_id).await;
    a.next().await;
    (tokens, match_id, own_b, [a, b])
}

#[tokio::test]
async fn who_does_not_come_back_within_the_window_has_left_for_those_who_did() {
    let server = TestServer::start_with(keeping).await;
    let ([one, _], _, own_b, _sockets) = two_in_a_match(&server).await;
    let server = restart(server, |config| {
        keeping(config);
        config.realtime.resume_window_ms = 2_000;
    })
    .await;
    let mut a = server.connect(&one, "json").await;
    assert_eq!(a.next().await["match_presence_event"]["leaves"], json!([own_b]));
    let metrics = &server.running.services().metrics;
    assert_eq!((metrics.sessions.get(), metrics.sessions_detached.get()), (1, 0));
}

#[tokio::test]
async fn whose_account_is_gone_at_the_start_has_left() {
    let server = TestServer::start_with(keeping).await;
    let ([one, other], match_id, own_b, _sockets) = two_in_a_match(&server).await;
    let folder = server.stop().await;
    let database = rusqlite::Connection::open(folder.path().join("kizuna.db")).expect("opens");
    let name = text(&own_b["username"]);
    assert_eq!(database.execute("DELETE FROM users WHERE username = ?1", [name]).expect("written"), 1);
    drop(database);
    let server = TestServer::start_in(folder, keeping).await;
    let mut a = server.connect(&one, "json").await;
    assert_eq!(a.next().await["match_presence_event"]["leaves"], json!([own_b]));
    assert_eq!(server.running.services().metrics.sessions.get(), 1);
    let mut new = server.connect(&other, "json").await;
    assert_ne!(new.join_match(&match_id).await["session_id"], own_b["session_id"], "not the same session");
}

#[tokio::test]
async fn a_session_counts_for_its_users_quotas_after_a_restart_as_before() {
    let change = |config: &mut Config| {
        keeping(config);
        config.limits.matches_per_user = 2;
    };
    let server = TestServer::start_with(change).await;
    let ([one, _], match_id, _, _sockets) = two_in_a_match(&server).await;
    let server = restart(server, change).await;
    let mut a = server.connect(&one, "json").await;
    a.create_match().await;
    let full = json!({ "cid": "1", "error": { "code": 5, "message": "User in too many matches" } });
    assert_eq!(a.ask(json!({ "cid": "1", "match_create": {} })).await, full);
    a.ask(json!({ "cid": "2", "match_leave": { "match_id": match_id } })).await;
    a.create_match().await;
    assert_eq!(a.ask(json!({ "cid": "1", "match_create": {} })).await, full);
}

/// A server process that keeps sessions, and somebody in a match there.
async fn process_with_a_match(folder: &std::path::Path) -> (process::Process, Socket) {
    let server = process::Process::start(folder, &KEEPING);
    let answer = reqwest::Client::new()
        .post(format!("http://{}/v2/account/authenticate/custom", server.http))
        .header("authorization", common::SERVER_KEY)
        .body(json!({ "id": "player-one" }).to_string())
        .send()
        .await
        .expect("an answer");
    let session: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
    let query = format!("token={}&format=json", text(&session["token"]));
    let mut socket = open_socket(server.http, &query, &[]).await.expect("it opens");
    socket.create_match().await;
    (server, socket)
}

const KEEPING: [(&str, &str); 4] = [
    process::PLAIN[0],
    ("KIZUNA_REALTIME_RESUME_WINDOW_MS", "60000"),
    ("KIZUNA_REALTIME_SNAPSHOT", "true"),
    ("KIZUNA_SOCKET_CLOSE_ACK_WAIT_MS", "50"),
];

#[tokio::test]
async fn a_snapshot_is_used_once_and_a_crash_brings_no_old_state_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("realtime.snapshot");
    let (mut server, _socket) = process_with_a_match(folder.path()).await;
    server.terminate();
    assert!(path.exists());
    let mut server = process::Process::start(folder.path(), &KEEPING);
    assert_eq!(gauge(&server, "kizuna_sessions").await, 1);
    server.signal("-KILL");
    server.child.wait().expect("it ends");
    assert!(!path.exists());
    let server = process::Process::start(folder.path(), &KEEPING);
    assert_eq!(gauge(&server, "kizuna_sessions").await, 0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_disk_that_takes_no_snapshot_stops_no_stop_and_leaves_nothing_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut server, _socket) = process_with_a_match(folder.path()).await;
    // The log may still grow; a record of one session is longer than what is left.
    let limited =
        std::process::Command::new("prlimit").args(["--pid", &server.child.id().to_string(), "--fsize=200:"]).status();
    assert!(limited.expect("prlimit (util-linux) runs").success());
    server.terminate();
    assert!(server.log().contains("live sessions are lost: they cannot be written down"), "{}", server.log());
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("snapshot"))
        .collect();
    assert!(names.is_empty(), "{names:?}");
    let server = process::Process::start(folder.path(), &KEEPING);
    assert_eq!(gauge(&server, "kizuna_sessions").await, 0);
}

/// A number among a process's metrics.
async fn gauge(server: &process::Process, name: &str) -> i64 {
    let line = server.printed.iter().find_map(|line| line.strip_prefix("listening metrics")).expect("its address");
    let text = reqwest::get(format!("http://{}/metrics", line.trim())).await.expect("an answer").text().await;
    let text = text.expect("a body");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect("the number");
    value.parse().expect("a number")
}
