//! The `kizuna` command as people and machines run it: what it prints, how it ends, and what is left after it was killed.

mod common;

use common::{
    PATIENCE,
    issuer::Issuer,
    process::{PLAIN, Process, kizuna},
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    io::{BufRead, Read},
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Semaphore, time::timeout};

async fn sign_in(client: &reqwest::Client, http: SocketAddr, id: &str, create: bool) -> Option<Value> {
    let response = client
        .post(format!("http://{http}/v2/account/authenticate/custom?create={create}"))
        .basic_auth("defaultkey", Some(""))
        .body(json!({ "id": id }).to_string())
        .send()
        .await
        .ok()?;
    (response.status() == 200).then_some(())?;
    serde_json::from_str(&response.text().await.ok()?).ok()
}

fn user_of(session: &Value) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let payload = session["token"].as_str().and_then(|token| token.split('.').nth(1)).expect("a token");
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON");
    claims["uid"].as_str().expect("a user id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_under_login_load_every_account_whose_answer_a_client_saw_is_there() {
    const CLIENTS: usize = 16;
    const ENOUGH: u32 = 200;
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::start(data.path(), PLAIN);
    let http = server.http;
    let killed = Arc::new(AtomicBool::new(false));
    let answers = Arc::new(Semaphore::new(0));
    let clients = (0..CLIENTS).map(|client| {
        let (killed, answers) = (killed.clone(), answers.clone());
        tokio::spawn(async move {
            let (http_client, mut seen) = (reqwest::Client::new(), HashMap::new());
            for number in 0.. {
                let id = format!("client-{client}-{number}");
                match sign_in(&http_client, http, &id, true).await {
                    Some(session) => {
                        drop(seen.insert(id, user_of(&session)));
                        answers.add_permits(1);
                    }
                    None if killed.load(Ordering::SeqCst) => break,
                    None => panic!("a sign-in failed before the kill"),
                }
            }
            seen
        })
    });
    let clients: Vec<_> = clients.collect();
    // Enough for commits to be under way all the time; how many accounts there are then does not matter.
    timeout(PATIENCE, answers.acquire_many(ENOUGH)).await.expect("answers in time").expect("open").forget();
    killed.store(true, Ordering::SeqCst);
    server.signal("-KILL");
    let mut seen = HashMap::new();
    for client in clients {
        seen.extend(client.await.expect("the client ends"));
    }
    drop(server);
    assert!(seen.len() > CLIENTS, "only {} answers before the kill", seen.len());
    let server = Process::start(data.path(), PLAIN);
    let client = reqwest::Client::new();
    for (id, user) in &seen {
        let session = sign_in(&client, server.http, id, false).await.unwrap_or_else(|| panic!("{id} is lost"));
        assert_eq!(&user_of(&session), user);
    }
}

#[tokio::test]
async fn sigterm_ends_it_with_status_0_and_nothing_is_lost() {
    let data = tempfile::tempdir().expect("a folder");
    let mut server = Process::start(data.path(), PLAIN);
    let client = reqwest::Client::new();
    let session = sign_in(&client, server.http, "player-a", true).await.expect("signed in");
    server.terminate();
    let server = Process::start(data.path(), PLAIN);
    let again = sign_in(&client, server.http, "player-a", false).await.expect("still there");
    assert_eq!(user_of(&session), user_of(&again));
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_the_first() {
    use std::io::{Read, Write};
    let data = tempfile::tempdir().expect("a folder");
    let mut server = Process::start(data.path(), PLAIN);
    let session = sign_in(&reqwest::Client::new(), server.http, "player-a", true).await.expect("signed in");
    // A socket whose client answers no close frame: the stop waits for it.
    let mut deaf = std::net::TcpStream::connect(server.http).expect("connected");
    let token = session["token"].as_str().expect("a token");
    write!(
        deaf,
        "GET /ws?token={token} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    .expect("written");
    let mut status = [0; 12];
    deaf.read_exact(&mut status).expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 101");
    server.signal("-TERM");
    // The close frame says that the first signal has been heard.
    let mut byte = [0];
    while byte[0] != 0x88 {
        deaf.read_exact(&mut byte).expect("a close frame");
    }
    server.signal("-TERM");
    assert_eq!(server.child.wait().expect("it ends").code(), Some(130));
}

/// The nice value of each thread, by its name. Fields of `stat` are counted from behind the name: proc_pid_stat(5).
#[cfg(target_os = "linux")]
fn nice_values(pid: u32) -> Vec<(String, i32)> {
    const AFTER_NAME: usize = 16;
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
    let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("stat")).ok());
    let nice = |stat: String| {
        let (name, fields) = stat.split_once('(')?.1.rsplit_once(") ")?;
        Some((name.to_owned(), fields.split(' ').nth(AFTER_NAME)?.parse().ok()?))
    };
    stats.filter_map(nice).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn all_threads_but_those_of_sockets_yield() {
    let data = tempfile::tempdir().expect("a folder");
    for (nice, sockets) in [(0, 1), (5, 3)] {
        let asked = (nice.to_string(), sockets.to_string());
        let settings = [("KIZUNA_SOCKET_REQUEST_NICE", asked.0.as_str()), ("KIZUNA_SOCKET_THREADS", asked.1.as_str())];
        let server = Process::start(data.path(), &[PLAIN, &settings].concat());
        // A thread that has not run yet has the name of the one that began it.
        let since = tokio::time::Instant::now();
        while !they_yield(&nice_values(server.child.id()), nice, sockets) {
            assert!(since.elapsed() < PATIENCE, "{:?}", nice_values(server.child.id()));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Whether there are so many threads of sockets, all at one nice value, and the other threads are so much nicer.
#[cfg(target_os = "linux")]
fn they_yield(threads: &[(String, i32)], nice: i32, sockets: usize) -> bool {
    let of =
        |name: &str| threads.iter().filter(|(thread, _)| thread == name).map(|(_, nice)| *nice).collect::<Vec<_>>();
    let Some(own) = of("sockets").first().copied() else { return false };
    let yields = |name| !of(name).is_empty() && of(name).iter().all(|value| *value == (own + nice).min(19));
    of("sockets") == vec![own; sockets] && ["requests", "store-writer", "audit"].into_iter().all(yields)
}

fn run(data: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    kizuna(data).args(arguments).envs(settings.iter().copied()).output().expect("it runs")
}

#[test]
fn a_bad_configuration_stops_the_start_with_its_path_and_what_is_allowed() {
    let data = tempfile::tempdir().expect("a folder");
    std::fs::write(data.path().join("bad.toml"), "[socket]\nprot = 7350\n").expect("written");
    for command in ["check", "serve"] {
        let output = run(data.path(), &[command, "--config", "bad.toml"], &[]);
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("socket.prot") && text.contains("`port`"), "{text}");
    }
    let output = run(data.path(), &["check"], &[("KIZUNA_SESSION_TOKEN_EXPIRY_SEC", "0")]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("session.token_expiry_sec: allowed is"), "{output:?}");
    let output = run(data.path(), &["check"], &[]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"The configuration is in order.\n"[..]));
}

#[test]
fn migrate_says_and_makes_the_state_of_the_store() {
    let data = tempfile::tempdir().expect("a folder");
    let status = || run(data.path(), &["migrate", "status", "--data-dir", "."], &[]);
    assert!(String::from_utf8_lossy(&status().stdout).contains("pending"), "{:?}", status());
    assert!(run(data.path(), &["migrate", "up", "--data-dir", "."], &[]).status.success());
    let after = status();
    assert!(after.status.success() && !String::from_utf8_lossy(&after.stdout).contains("pending"), "{after:?}");
}

#[test]
fn healthcheck_tells_a_running_server_from_none() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::start(data.path(), PLAIN);
    let address = server.http.to_string();
    assert!(run(data.path(), &["healthcheck", "--http", &address], &[]).status.success());
    drop(server);
    let output = run(data.path(), &["healthcheck", "--http", &address], &[]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_printed_line_goes_through_the_bridge_as_printed() {
    let data = tempfile::tempdir().expect("a folder");
    let mut server = Process::start(data.path(), &[("KIZUNA_DEV_PROVIDER_PORT", "0")]);
    let mut line = String::new();
    while !line.trim_start().starts_with("curl ") {
        line.clear();
        assert_ne!(server.output.read_line(&mut line).expect("readable"), 0, "no curl line after {:?}", server.printed);
    }
    let answer = Command::new("sh").args(["-c", line.trim()]).output().expect("a shell");
    let session: Value = serde_json::from_slice(&answer.stdout).unwrap_or_else(|_| panic!("no session: {answer:?}"));
    assert_eq!(session["created"], true);
}

#[test]
fn it_goes_on_when_nobody_reads_what_it_prints() {
    let data = tempfile::tempdir().expect("a folder");
    let mut command = common::process::serve(data.path(), &[("KIZUNA_DEV_PROVIDER_PORT", "0")]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    // The folder's lock is free again only when the server has ended.
    let lock = data.path().join("kizuna.lock");
    while !lock.exists() {
        assert_eq!(child.try_wait().expect("its state"), None, "it ended");
        std::thread::sleep(Duration::from_millis(5));
    }
    let status = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    assert!(status.success());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn token_prints_what_the_running_server_takes() {
    let data = tempfile::tempdir().expect("a folder");
    let settings = [("KIZUNA_DEV_PROVIDER_PORT", "0")];
    let server = Process::start(data.path(), &settings);
    let port = server.dev_provider().expect("it is on").port().to_string();
    let output =
        run(data.path(), &["token", "--user", "ann", "--data-dir", "."], &[("KIZUNA_DEV_PROVIDER_PORT", &port)]);
    assert!(output.status.success(), "{output:?}");
    let token = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let session = runtime.block_on(sign_in(&reqwest::Client::new(), server.http, &token, true));
    assert!(session.is_some(), "refused");
}

#[test]
fn explain_says_what_each_step_finds_and_never_shows_the_token() {
    let data = tempfile::tempdir().expect("a folder");
    let issuer = Issuer::new("https://issuer.example/pool");
    std::fs::write(data.path().join("keys.json"), issuer.key_set()).expect("written");
    let config = "[dev_provider]\nenabled = false\n[[identity.trust]]\nname = \"pool\"\nissuers = [\"https://issuer.example/pool\"]\n\
                  audience = { claim = \"client_id\", any_of = [\"game-client\"] }\n\
                  token_type = { claim = \"token_use\", equals = \"access\" }\nvars.role = { claims = [\"role\"] }\n";
    std::fs::write(data.path().join("config.toml"), config).expect("written");
    let explain = |token: &str, options: &[&str]| {
        let output = run(data.path(), &[&["bridge", "explain", "--offline"], options, &[token]].concat(), &[]);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(token.split('.').filter(|part| part.len() > 1).all(|part| !text.contains(part)), "{text}");
        (output.status.code(), text)
    };
    let good = issuer.token("player-one", &json!({ "role": "gm", "email": "ann@example.com" }));
    let (status, text) = explain(&good, &["--keys", "keys.json"]);
    assert_eq!(status, Some(0), "{text}");
    for said in [
        "signature  ok",
        "judged by the trust entry \"pool\"",
        "account id player-one",
        "idp.role = \"gm\"",
        "personal data",
    ] {
        assert!(text.contains(said), "{said} in {text}");
    }
    assert!(!text.contains("ann@example.com"), "{text}");
    let (status, text) = explain(&good, &[]);
    assert!(status == Some(3) && text.contains("signature  -        not judged"), "{status:?} {text}");
    let (status, text) =
        explain(&issuer.token("player-one", &json!({ "client_id": "other" })), &["--keys", "keys.json"]);
    assert!(status == Some(1) && text.contains("client     REFUSED"), "{status:?} {text}");
    let mut child = kizuna(data.path())
        .args(["bridge", "explain", "--offline", "--keys", "keys.json", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it runs");
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), format!("{good}\n").as_bytes())
        .expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn help_and_version_are_printed() {
    let data = tempfile::tempdir().expect("a folder");
    let mut text = String::new();
    run(data.path(), &["--help"], &[]).stdout.as_slice().read_to_string(&mut text).expect("text");
    for command in ["serve", "check", "migrate", "healthcheck", "token", "bridge"] {
        assert!(text.contains(command), "{command} in {text}");
    }
    assert!(run(data.path(), &["--version"], &[]).stdout.starts_with(b"kizuna "));
}
