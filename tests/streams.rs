//! Streams of a program that embeds the server, as clients see them (docs/status-and-streams.md).

mod common;

use common::{Socket, TestServer, text};
use kizuna::{
    features::streams::{self, StreamName, Which},
    identity::Tenant,
    realtime::PresenceMeta,
};
use serde_json::json;

const SUBJECT: &str = "11111111-1111-4111-8111-111111111111";

fn name(mode: u8) -> StreamName<'static> {
    StreamName { tenant: Tenant::NONE, mode, subject: SUBJECT, subcontext: "", label: "boss" }
}

/// A player with the ids that a program knows him by.
struct Player {
    socket: Socket,
    user: String,
    session: String,
}

async fn player(server: &TestServer, id: &str) -> Player {
    let mut socket = server.player(id).await;
    // A match tells a client its own ids.
    let answer = socket.ask(json!({ "match_create": {} })).await;
    socket.next().await;
    let own = &answer["match"]["self"];
    let (user, session) = (text(&own["user_id"]).to_owned(), text(&own["session_id"]).to_owned());
    Player { socket, user, session }
}

fn hidden() -> PresenceMeta {
    PresenceMeta { hidden: true, ..PresenceMeta::default() }
}

#[tokio::test]
async fn a_program_puts_players_into_a_stream_and_sends_to_them() {
    let server = TestServer::start().await;
    let services = server.running.services();
    let (mut a, mut b) = (player(&server, "player-a").await, player(&server, "player-b").await);
    let join = |player: &Player, meta| streams::join(services, &name(20), &player.user, &player.session, meta);
    let stream = json!({ "mode": 20, "subject": SUBJECT, "label": "boss" });
    assert!(join(&a, PresenceMeta::default()).unwrap());
    assert!(!join(&a, PresenceMeta::default()).unwrap(), "it is there already");
    let event = a.socket.next().await;
    assert_eq!(event["stream_presence_event"]["stream"], stream);
    assert_eq!(event["stream_presence_event"]["joins"][0]["session_id"], a.session);
    assert!(join(&b, hidden()).unwrap());
    assert_eq!(streams::count(services, &name(20)).unwrap(), 2);
    assert_eq!(streams::send(services, &name(20), "wave", true).unwrap(), 2);
    let data = json!({ "stream_data": { "stream": stream, "data": "wave", "reliable": true } });
    assert_eq!(a.socket.next().await, data, "nobody is told of the hidden one");
    assert_eq!(b.socket.next().await, data);

    let seen = streams::list(services, &name(20), Which { hidden: false, visible: true }).unwrap();
    assert_eq!(seen.iter().map(|member| member.session.id().to_string()).collect::<Vec<_>>(), [&a.session[..]]);
    assert_eq!(streams::list(services, &name(20), Which::ALL).unwrap().len(), 2);
    assert_eq!(streams::get(services, &name(20), &b.user, &b.session).unwrap(), Some(hidden()));
    assert_eq!(streams::get(services, &name(20), &a.user, &b.session).unwrap(), None, "not the same user's");

    streams::update(services, &name(20), &b.user, &b.session, PresenceMeta::default()).unwrap();
    assert_eq!(a.socket.next().await["stream_presence_event"]["joins"][0]["session_id"], b.session);
    b.socket.next().await;
    streams::kick(services, &name(20), &b.user, &b.session).unwrap();
    assert_eq!(a.socket.next().await["stream_presence_event"]["leaves"][0]["session_id"], b.session);
    assert_eq!(streams::send_to(services, &name(20), &[&b.session], "for you", false).unwrap(), 1);
    assert_eq!(b.socket.next().await["stream_data"]["data"], "for you", "listed, though not in it");
    streams::close(services, &name(20)).unwrap();
    assert_eq!(streams::count(services, &name(20)).unwrap(), 0);
    a.socket.quiet().await;
}

#[tokio::test]
async fn the_mode_says_which_event_clients_see() {
    let server = TestServer::start().await;
    let services = server.running.services();
    let mut a = player(&server, "player-a").await;
    let named = StreamName { label: "q", ..name(5) };
    streams::join(services, &named, &a.user, &a.session, PresenceMeta::default()).unwrap();
    assert_eq!(a.socket.next().await["match_presence_event"]["match_id"], format!("{SUBJECT}.q"));
    let bare = StreamName { subject: "", label: "", ..name(255) };
    streams::join(services, &bare, &a.user, &a.session, PresenceMeta::default()).unwrap();
    assert_eq!(
        a.socket.next().await["stream_presence_event"]["stream"],
        json!({ "mode": 255 }),
        "nil ids are left out"
    );
}

#[tokio::test]
async fn what_a_program_gets_wrong_is_named() {
    let server = TestServer::start_with(|config| {
        config.realtime.max_stream_members = 1;
        config.realtime.max_streams_per_session = 2;
        config.limits.streams_per_user = 2;
    })
    .await;
    let services = server.running.services();
    let (a, b) = (player(&server, "player-a").await, player(&server, "player-b").await);
    let join = |stream: StreamName<'_>, user: &str, session: &str| {
        let joined = streams::join(services, &stream, user, session, PresenceMeta::default());
        joined.map_err(|error| error.message().to_owned())
    };
    let refused = |text: &str| Err::<bool, _>(text.to_owned());
    let bad = StreamName { subject: "x", ..name(20) };
    assert_eq!(join(bad, &a.user, &a.session), refused("stream subject must be a valid identifier"));
    let bad = StreamName { subcontext: "x", ..name(20) };
    assert_eq!(join(bad, &a.user, &a.session), refused("stream subcontext must be a valid identifier"));
    assert_eq!(join(name(20), "x", &a.session), refused("expects valid user id"));
    assert_eq!(join(name(20), &a.user, "x"), refused("expects valid session id"));
    assert_eq!(join(name(20), &a.user, SUBJECT), refused("session not found"));
    assert_eq!(join(name(20), &b.user, &a.session), refused("session not found"));
    let foreign = StreamName { tenant: Tenant::named("another"), ..name(20) };
    assert_eq!(join(foreign, &a.user, &a.session), refused("session not found"), "it is behind another wall");
    assert_eq!(join(name(20), &a.user, &a.session), Ok(true));
    assert_eq!(join(name(20), &b.user, &b.session), refused("stream is full"));
    assert_eq!(join(name(21), &a.user, &a.session), Ok(true));
    let third = StreamName { label: "other", ..name(21) };
    assert_eq!(join(third, &a.user, &a.session), refused("session is in too many streams"));
    let again = player(&server, "player-a").await;
    assert_eq!(join(third, &again.user, &again.session), refused("user is in too many streams"));
}

#[tokio::test]
async fn what_is_sent_behind_one_wall_is_not_heard_behind_another() {
    let server = TestServer::start().await;
    let services = server.running.services();
    let mut a = player(&server, "player-a").await;
    streams::join(services, &name(20), &a.user, &a.session, PresenceMeta::default()).unwrap();
    a.socket.next().await;
    let foreign = StreamName { tenant: Tenant::named("another"), ..name(20) };
    assert_eq!(streams::send(services, &foreign, "secret", true).unwrap(), 0);
    assert_eq!(streams::send_to(services, &foreign, &[&a.session], "secret", true).unwrap(), 0);
    assert_eq!(streams::count(services, &foreign).unwrap(), 0);
    a.socket.quiet().await;
}

#[tokio::test]
async fn joins_of_a_large_stream_are_gathered_and_never_overtaken() {
    let server = TestServer::start_with(|config| {
        config.realtime.presence_batch_members = 2;
        config.realtime.presence_batch_ms = 1_000;
    })
    .await;
    let services = server.running.services();
    let mut players = Vec::new();
    for number in 0..5 {
        players.push(player(&server, &format!("player-{number}")).await);
    }
    for each in &players {
        streams::join(services, &name(20), &each.user, &each.session, PresenceMeta::default()).unwrap();
    }
    streams::send(services, &name(20), "go", true).unwrap();
    let first = &mut players[0].socket;
    assert_eq!(first.next().await["stream_presence_event"]["joins"].as_array().unwrap().len(), 1);
    let gathered = first.next().await;
    assert_eq!(gathered["stream_presence_event"]["joins"].as_array().unwrap().len(), 4);
    assert_eq!(first.next().await["stream_data"]["data"], "go");
}
