use super::{
    super::{FRAME_ROOM, for_own_messages},
    *,
};
use crate::{
    clock::{Clock, Entropy},
    identity::{Tenant, session::SessionClaims},
    realtime::OutboundLimits,
};
use kizuna_protocol::realtime::{Ping, Pong, envelope::Message as Body};
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use uuid::Uuid;

const NOW: i64 = 1_800_000_000;
const CHAIN: Uuid = Uuid::from_u128(3);
const TIMING: Timing = Timing {
    ping_period: Duration::from_secs(15),
    pong_wait: Duration::from_secs(25),
    backoff_threshold: 20,
    write_wait: Duration::from_secs(5),
    close_ack_wait: Duration::from_secs(2),
    write_at_once: 256,
};

fn session() -> Arc<Session> {
    let claims = SessionClaims {
        user_id: Uuid::from_u128(1),
        username: "ann".into(),
        vars: Arc::default(),
        token_id: Some(CHAIN),
        expires_unix: NOW + 60,
        issued_unix: NOW,
        origin: None,
        tenant: Tenant::NONE,
        signature: [0; 32],
    };
    let limits = OutboundLimits { messages: 1_000, bytes: 1 << 20 };
    Session::new(Arc::new(claims), Uuid::from_u128(2), Format::Json, false, limits)
}

fn pong(session: &Arc<Session>, envelope: Envelope) -> Served {
    assert!(matches!(envelope.message, Some(Body::Ping(Ping {}))));
    crate::realtime::Delivery::answer(envelope.cid, Some(Body::Pong(Pong {}))).to(session);
    Served::Now(Verdict::Stay)
}

/// As [`pong`], after a time: `cid` is in milliseconds. 0 panics.
fn late(session: &Arc<Session>, envelope: Envelope) -> Served {
    let session = session.clone();
    Served::Later(Box::pin(async move {
        sleep(Duration::from_millis(envelope.cid.parse().expect("a number"))).await;
        assert_ne!(envelope.cid, "0", "on purpose");
        crate::realtime::Delivery::answer(envelope.cid, Some(Body::Pong(Pong {}))).to(&session);
        Verdict::Stay
    }))
}

/// A socket that is being served, and its client's end over a pipe that holds `room` bytes.
async fn served(room: usize) -> (tokio::task::JoinHandle<End>, Arc<Session>, WebSocketStream<DuplexStream>) {
    served_until(room, session(), TIMING, None, pong).await
}

async fn served_until(
    room: usize,
    session: Arc<Session>,
    timing: Timing,
    expiry: Option<Expiry>,
    dispatch: fn(&Arc<Session>, Envelope) -> Served,
) -> (tokio::task::JoinHandle<End>, Arc<Session>, WebSocketStream<DuplexStream>) {
    let (server, client) = duplex(room);
    let config = for_own_messages(WebSocketConfig::default());
    let stream = Written::new(server, false);
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    let mut live = LiveSocket::new(socket, session.clone(), timing, expiry);
    let serving = tokio::spawn(async move {
        let end = live.serve(dispatch).await;
        live.close(end.clone()).await;
        end
    });
    (serving, session, WebSocketStream::from_raw_socket(client, Role::Client, None).await)
}

fn seconds(since: Instant) -> u64 {
    since.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_is_pinged_every_15_seconds() {
    let (_serving, _session, mut client) = served(4_096).await;
    let start = Instant::now();
    for expected in [15, 30, 45] {
        // Reading answers the ping.
        assert!(matches!(client.next().await, Some(Ok(Message::Ping(_)))));
        assert_eq!(seconds(start), expected);
        client.flush().await.expect("the pong goes out");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_closed_after_25_seconds() {
    let (serving, _session, client) = served(4_096).await;
    let start = Instant::now();
    // Nobody reads, so nothing is answered.
    let end = serving.await.expect("it ends");
    assert_eq!(end, End::Close(Close::IDLE_TIMEOUT));
    assert_eq!(seconds(start), 25 + TIMING.close_ack_wait.as_secs());
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn every_20th_message_is_a_sign_of_life() {
    let (serving, _session, mut client) = served(1 << 20).await;
    let start = Instant::now();
    for _ in 0..20 {
        sleep(Duration::from_secs(1)).await;
        client.send(Message::text(r#"{"ping":{}}"#)).await.expect("sent");
    }
    // Its pongs never come; the 20th message at 20 s has moved the deadline to 45 s.
    assert_eq!(serving.await.expect("it ends"), End::Close(Close::IDLE_TIMEOUT));
    assert_eq!(seconds(start), 45 + TIMING.close_ack_wait.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_is_closed_when_a_write_takes_too_long() {
    let (serving, session, client) = served(64).await;
    let start = Instant::now();
    session.outbound().push(Message::text("x".repeat(1_000)));
    assert_eq!(serving.await.expect("it ends"), End::Stuck);
    assert_eq!(seconds(start), 2 * TIMING.write_wait.as_secs(), "the write, then the close frame");
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_but_steadily_is_not_too_slow() {
    let (serving, session, mut client) = served(256).await;
    // Far more than fits the pipe, read over much longer than one write may take.
    (0..100).for_each(|_| session.outbound().push(Message::text("x".repeat(200))));
    for _ in 0..100 {
        tokio::time::advance(Duration::from_millis(200)).await;
        loop {
            match client.next().await.expect("open").expect("a frame") {
                Message::Text(_) => break,
                Message::Ping(_) => client.flush().await.expect("the pong goes out"),
                other => panic!("want text, got {other:?}"),
            }
        }
    }
    assert!(!serving.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_one_large_message_bit_by_bit_is_not_stuck() {
    let (serving, session, mut client) = served(64).await;
    session.outbound().push(Message::text("x".repeat(2_000)));
    let mut bit = [0; 100];
    // Twice what one write may take, and never as long without a byte.
    for _ in 0..5 {
        sleep(TIMING.write_wait - Duration::from_secs(1)).await;
        assert!(!serving.is_finished(), "{:?}", serving.await);
        client.get_mut().read_exact(&mut bit).await.expect("some of the message");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_full_of_pongs_that_reads_again_is_told_why_it_is_closed() {
    let (serving, session, mut client) = served(64).await;
    // Small ones leave no room for a close frame.
    for _ in 0..200 {
        client.send(Message::Ping(vec![b'p'; 10].into())).await.expect("the server goes on reading");
    }
    (0..2_000).for_each(|_| session.outbound().push(Message::text("x")));
    let told = async {
        loop {
            if let Message::Close(frame) = client.next().await.expect("open").expect("a frame") {
                return frame.expect("with a reason").code;
            }
        }
    };
    assert_eq!(told.await, CloseCode::from(Close::QUEUE_FULL.code));
    assert_eq!(serving.await.expect("it ends"), End::Close(Close::QUEUE_FULL));
}

#[tokio::test(start_paused = true)]
async fn a_stuck_client_that_is_to_be_closed_is_not_heard_any_more() {
    let (serving, session, mut client) = served(64).await;
    session.outbound().push(Message::text("x".repeat(1_000)));
    tokio::task::yield_now().await;
    session.outbound().close(Close::DISCONNECTED);
    // Nothing of this is dispatched: `pong` would fail on it.
    client.send(Message::text("{}")).await.expect("sent");
    assert_eq!(serving.await.expect("it ends"), End::Close(Close::DISCONNECTED));
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn answers_to_a_flood_of_pings_do_not_pile_up() {
    const PINGS: usize = 5_000;
    let (serving, _session, client) = served(1 << 12).await;
    let (mut sink, mut stream) = client.split();
    for _ in 0..PINGS {
        sink.send(Message::Ping(vec![b'p'; 100].into())).await.expect("the server goes on reading");
    }
    let mut answers = 0;
    while let Ok(Some(Ok(frame))) = timeout(Duration::from_millis(1), stream.next()).await {
        answers += usize::from(frame.is_pong());
    }
    // What the pipe and the bounded buffer hold together; one pong answers all pings before it (RFC 6455 section 5.5.3).
    assert!(answers * 102 < FRAME_ROOM + (1 << 13), "{answers} pongs were kept");
    assert!(!serving.is_finished());
}

#[tokio::test(start_paused = true)]
async fn an_overflow_ends_a_stuck_client_at_once() {
    let (serving, session, client) = served(64).await;
    session.outbound().push(Message::text("x".repeat(1_000)));
    tokio::task::yield_now().await;
    (0..=1_000).for_each(|_| session.outbound().push(Message::text("y")));
    assert_eq!(serving.await.expect("it ends"), End::Close(Close::QUEUE_FULL));
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn what_was_queued_before_a_close_arrives_before_it() {
    let (serving, session, mut client) = served(4_096).await;
    session.outbound().push(Message::text("last words"));
    session.outbound().close(Close::DISCONNECTED);
    assert_eq!(client.next().await.expect("open").expect("a frame"), Message::text("last words"));
    assert!(
        matches!(client.next().await, Some(Ok(Message::Close(Some(frame)))) if frame.reason == Close::DISCONNECTED.reason)
    );
    assert_eq!(serving.await.expect("it ends"), End::Close(Close::DISCONNECTED));
}

/// Both times go on: what a token is judged by, and what timers run by.
async fn later(clock: &Clock, seconds: u64) {
    for _ in 0..seconds {
        clock.advance_seconds(1);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
}

async fn next_text(client: &mut WebSocketStream<DuplexStream>) -> String {
    match client.next().await.expect("open").expect("a frame") {
        Message::Text(text) => text.to_string(),
        other => panic!("want text, got {other:?}"),
    }
}

async fn next_close(client: &mut WebSocketStream<DuplexStream>) -> u16 {
    match client.next().await.expect("open").expect("a frame") {
        Message::Close(Some(frame)) => frame.code.into(),
        other => panic!("want a close frame, got {other:?}"),
    }
}

/// A socket whose token ends after a minute, with a warning 20 seconds before.
async fn mortal() -> (Clock, Arc<Session>, WebSocketStream<DuplexStream>, tokio::task::JoinHandle<End>) {
    let (clock, session) = (Clock::manual(NOW), session());
    let expiry = Expiry::new(clock.clone(), Entropy::seeded(1), 20, &session);
    // No pings, which would ask the client to read.
    let timing = Timing { ping_period: Duration::from_secs(5_000), pong_wait: Duration::from_secs(9_000), ..TIMING };
    let (serving, session, client) = served_until(1 << 16, session, timing, Some(expiry), pong).await;
    tokio::task::yield_now().await;
    (clock, session, client, serving)
}

#[tokio::test(start_paused = true)]
async fn a_client_is_warned_of_the_end_of_its_token_and_then_closed() {
    let (clock, _session, mut client, serving) = mortal().await;
    later(&clock, 40).await;
    let warning = next_text(&mut client).await;
    assert!(warning.contains(r#""code":-1001"#) && warning.contains("session_expiring"), "{warning}");
    assert!(warning.contains(&format!(r#"{{\"expires_unix\":{}}}"#, NOW + 60)), "{warning}");
    later(&clock, 20).await;
    assert_eq!(next_close(&mut client).await, 4401);
    assert_eq!(serving.await.expect("it ends"), End::Close(Close::SESSION_EXPIRED));
}

#[tokio::test(start_paused = true)]
async fn who_is_prolonged_lives_on_and_is_warned_again() {
    let (clock, session, mut client, serving) = mortal().await;
    later(&clock, 40).await;
    next_text(&mut client).await;
    session.prolong(CHAIN, NOW + 200);
    later(&clock, 20).await;
    assert!(!serving.is_finished());
    later(&clock, 120).await;
    let warning = next_text(&mut client).await;
    assert!(warning.contains(&format!("{}", NOW + 200)), "{warning}");
    later(&clock, 20).await;
    assert_eq!(next_close(&mut client).await, 4401);
}

#[tokio::test(start_paused = true)]
async fn the_wall_clock_judges_not_the_timer() {
    let (clock, _session, mut client, serving) = mortal().await;
    clock.advance_seconds(-3_600);
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::task::yield_now().await;
    assert!(!serving.is_finished());
    clock.advance_seconds(3_660);
    tokio::time::advance(Duration::from_secs(3_660)).await;
    assert_eq!(next_close(&mut client).await, 4401);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_stops_sending_does_not_outlive_its_token() {
    let (clock, _session, client, serving) = mortal().await;
    let (mut sink, mut stream) = client.split();
    tokio::spawn(async move { while sink.send(Message::text(r#"{"ping":{}}"#)).await.is_ok() {} });
    tokio::spawn(async move { while let Some(Ok(_)) = stream.next().await {} });
    later(&clock, 60).await;
    assert_eq!(serving.await.expect("it ends"), End::Close(Close::SESSION_EXPIRED));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_handler_ends_its_session_and_nothing_else() {
    let (server, client) = duplex(4_096);
    let socket = WebSocketStream::from_raw_socket(Written::new(server, false), Role::Server, None).await;
    let mut live = LiveSocket::new(socket, session(), TIMING, None);
    let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
    client.send(Message::text(r#"{"ping":{}}"#)).await.expect("sent");
    let end = live.serve(|_, _| -> Served { panic!("on purpose") }).await;
    assert_eq!(end, End::Close(Close::INTERNAL_ERROR));
}

async fn served_late() -> (tokio::task::JoinHandle<End>, Arc<Session>, WebSocketStream<DuplexStream>) {
    served_until(1 << 16, session(), TIMING, None, late).await
}

async fn ask(client: &mut WebSocketStream<DuplexStream>, millis: u64) {
    client.send(Message::text(format!(r#"{{"cid":"{millis}","ping":{{}}}}"#))).await.expect("sent");
}

#[tokio::test(start_paused = true)]
async fn requests_that_take_time_are_served_one_after_another() {
    let (_serving, _session, mut client) = served_late().await;
    let start = Instant::now();
    for millis in [3_000, 1_000, 2_000] {
        ask(&mut client, millis).await;
    }
    for (millis, until) in [(3_000, 3), (1_000, 4), (2_000, 6)] {
        assert_eq!(next_text(&mut client).await, format!(r#"{{"cid":"{millis}","pong":{{}}}}"#));
        assert_eq!(seconds(start), until);
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_request_takes_time_messages_and_pings_go_out_and_a_close_ends_the_socket() {
    let (serving, session, mut client) = served_late().await;
    ask(&mut client, 3_600_000).await;
    tokio::task::yield_now().await;
    session.outbound().push(Message::text("of another"));
    assert_eq!(next_text(&mut client).await, "of another");
    assert!(matches!(client.next().await, Some(Ok(Message::Ping(_)))));
    // A second request would be a sign of life, if it were read.
    ask(&mut client, 1).await;
    sleep(Duration::from_secs(60)).await;
    assert!(!serving.is_finished(), "who is not heard is not taken for silent");
    session.outbound().close(Close::DISCONNECTED);
    assert_eq!(next_close(&mut client).await, 1_000);
    assert_eq!(serving.await.expect("it ends"), End::Close(Close::DISCONNECTED));
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_pong_waited_for_a_request_lives_on() {
    let (serving, _session, mut client) = served_late().await;
    ask(&mut client, 40_000).await;
    assert!(matches!(client.next().await, Some(Ok(Message::Ping(_)))));
    client.flush().await.expect("the pong goes out");
    assert!(next_text(&mut client).await.contains("pong"));
    assert!(matches!(client.next().await, Some(Ok(Message::Ping(_)))), "pinged anew");
    assert!(!serving.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_request_that_takes_time_ends_its_session_and_nothing_else() {
    let (serving, _session, mut client) = served_late().await;
    ask(&mut client, 0).await;
    assert_eq!(serving.await.expect("it ends"), End::Close(Close::INTERNAL_ERROR));
}

/// What a lost connection leaves, with `read` of the messages whole on the client's side of a pipe of 300 bytes.
async fn left_behind(messages: &[&str], read: usize) -> (Vec<Message>, Vec<Message>) {
    let (server, client) = duplex(300);
    let config = for_own_messages(WebSocketConfig::default());
    let stream = Written::new(server, true);
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    let session = session();
    let mut live = LiveSocket::new(socket, session.clone(), TIMING, None).resumable(VecDeque::new());
    let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
    messages.iter().for_each(|text| session.outbound().push(Message::text(*text)));
    let mut heard = Vec::new();
    {
        let mut serving = std::pin::pin!(live.serve(pong));
        for _ in 0..read {
            tokio::select! {
                end = &mut serving => panic!("ended: {end:?}"),
                message = client.next() => heard.push(message.expect("open").expect("a frame")),
            }
        }
        // As much as goes without a reader.
        assert!(timeout(Duration::from_secs(1), &mut serving).await.is_err());
    }
    let unsent = live.leave().unsent.into();
    drop(live);
    while let Some(Ok(message)) = client.next().await {
        heard.push(message);
    }
    (heard, unsent)
}

#[tokio::test(start_paused = true)]
async fn what_a_lost_connection_took_whole_is_not_sent_again_and_the_rest_is() {
    let texts: Vec<String> = (0..40).map(|number| format!("{number}{}", "x".repeat(number * 3))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for read in 0..30 {
        let (mut all, unsent) = left_behind(&texts, read).await;
        assert!(!unsent.is_empty() && all.len() >= read);
        all.extend(unsent);
        assert_eq!(all, texts.iter().map(|text| Message::text(*text)).collect::<Vec<_>>(), "{read} read");
    }
}
