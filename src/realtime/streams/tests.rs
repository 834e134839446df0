//! Streams as their members see them, and what is left when they are gone.

use super::*;
use crate::{
    config::Config,
    identity::session::SessionClaims,
    realtime::{Delivery, OutboundLimits},
};
use kizuna_protocol::{
    envelope::{self, Format},
    realtime::{Envelope, MatchData, Pong, UserPresence, envelope::Message as Body},
};
use std::{collections::VecDeque, task::Poll, time::Duration};
use tokio_tungstenite::tungstenite::Message;

pub(super) const UNBOUNDED: JoinLimits = JoinLimits { members: usize::MAX, per_session: usize::MAX };

/// Streams and the sessions that tests put into them.
pub(super) struct World {
    pub(super) streams: Streams,
    pub(super) registry: Arc<Registry>,
    pub(super) metrics: Metrics,
}

impl World {
    pub(super) fn new() -> Self {
        Self::gathering(usize::MAX, 20)
    }

    pub(super) fn gathering(members: usize, millis: u64) -> Self {
        let mut config = Config::default();
        config.realtime.presence_batch_members = members;
        config.realtime.presence_batch_ms = millis;
        config.limits.matches_per_user = 3;
        let metrics = Metrics::unregistered();
        let registry = Arc::new(Registry::new(100, false, metrics.clone()));
        let (gathering, quotas) = (Gathering::new(&config), Quotas::new(&config));
        Self { streams: Streams::new(registry.clone(), gathering, quotas, metrics.clone()), registry, metrics }
    }

    /// A new session of the user with this number.
    pub(super) fn session(&self, user: u128, id: u128) -> Arc<Session> {
        self.session_of(user, id, Tenant::NONE)
    }

    pub(super) fn session_of(&self, user: u128, id: u128, tenant: Tenant) -> Arc<Session> {
        let claims = SessionClaims {
            user_id: Uuid::from_u128(user),
            username: format!("user-{user}").into(),
            vars: Arc::default(),
            token_id: None,
            expires_unix: 0,
            issued_unix: 0,
            origin: None,
            tenant,
            signature: [0; 32],
        };
        let limits = OutboundLimits { messages: 1 << 20, bytes: 1 << 30 };
        let session = Session::new(Arc::new(claims), Uuid::from_u128(0x5e55_0000 + id), Format::Json, false, limits);
        self.registry.insert(&session).expect("there is room");
        session
    }

    /// Joins and answers with what the join found, as a `pong` whose cid lists it.
    pub(super) fn join(&self, key: &StreamKey, session: &Arc<Session>) -> Result<bool, JoinError> {
        self.join_as(key, session, PresenceMeta::default())
    }

    pub(super) fn join_as(
        &self,
        key: &StreamKey,
        session: &Arc<Session>,
        meta: PresenceMeta,
    ) -> Result<bool, JoinError> {
        self.streams.join(key, Rule::Create, UNBOUNDED, session, meta, |found| {
            let ids: Vec<_> = found.everybody().into_iter().map(|presence| presence.session_id).collect();
            Delivery::answer(ids.join(" "), Some(Body::Pong(Pong {}))).to(session);
        })
    }

    pub(super) fn send(&self, key: &StreamKey, from: &Arc<Session>, text: &str) -> bool {
        self.streams.send(key, from, None, data(text))
    }

    /// Streams, presences, follows, matches.
    pub(super) fn gauges(&self) -> [i64; 4] {
        [&self.metrics.streams, &self.metrics.presences, &self.metrics.follows, &self.metrics.matches]
            .map(|gauge| gauge.get())
    }
}

fn data(text: &str) -> Delivery {
    Delivery::of(Body::MatchData(MatchData { match_id: text.to_owned(), ..MatchData::default() }))
}

/// What a session was sent since the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The answer to a join: the session ids in it.
    Answer(Vec<String>),
    /// Who joined and who left, by session id.
    Event(Vec<String>, Vec<String>),
    Data(String),
}

pub(super) fn heard(session: &Session) -> Vec<Heard> {
    let mut batch = VecDeque::new();
    let mut all = Vec::new();
    while let Poll::Ready(None) = session.outbound().try_take(&mut batch) {
        all.extend(batch.drain(..).map(|frame| understood(&frame)));
    }
    all
}

fn understood(frame: &Message) -> Heard {
    let Message::Text(text) = frame else { panic!("a text frame") };
    let Envelope { cid, message } = envelope::decode(Format::Json, text.as_bytes()).expect("an envelope");
    let ids = |presences: Vec<UserPresence>| presences.into_iter().map(|presence| presence.session_id).collect();
    match message.expect("a message") {
        Body::Pong(_) => Heard::Answer(cid.split_whitespace().map(str::to_owned).collect()),
        Body::MatchData(data) => Heard::Data(data.match_id),
        Body::MatchPresenceEvent(event) => Heard::Event(ids(event.joins), ids(event.leaves)),
        Body::StatusPresenceEvent(event) => Heard::Event(ids(event.joins), ids(event.leaves)),
        Body::StreamPresenceEvent(event) => Heard::Event(ids(event.joins), ids(event.leaves)),
        other => panic!("nothing that a stream says: {other:?}"),
    }
}

fn ids(sessions: &[&Arc<Session>]) -> Vec<String> {
    sessions.iter().map(|session| session.id().to_string()).collect()
}

fn joined(sessions: &[&Arc<Session>]) -> Heard {
    Heard::Event(ids(sessions), Vec::new())
}

fn left(sessions: &[&Arc<Session>]) -> Heard {
    Heard::Event(Vec::new(), ids(sessions))
}

fn said(text: &str) -> Heard {
    Heard::Data(text.to_owned())
}

pub(super) fn a_match() -> StreamKey {
    StreamKey::new(Tenant::NONE, Mode::RelayedMatch, Uuid::from_u128(1))
}

pub(super) fn status_of(user: u128) -> StreamKey {
    StreamKey::new(Tenant::NONE, Mode::Status, Uuid::from_u128(user))
}

pub(super) fn hidden() -> PresenceMeta {
    PresenceMeta { hidden: true, ..PresenceMeta::default() }
}

fn showing(text: &str) -> PresenceMeta {
    PresenceMeta { status: Some(text.into()), ..PresenceMeta::default() }
}

#[test]
fn a_joiner_hears_the_answer_then_its_own_join_then_data() {
    let world = World::new();
    let (a, b) = (world.session(1, 1), world.session(2, 2));
    assert_eq!(world.join(&a_match(), &a), Ok(true));
    assert_eq!(world.join(&a_match(), &b), Ok(true));
    assert!(world.send(&a_match(), &a, "hello"));
    assert_eq!(heard(&a), [Heard::Answer(ids(&[&a])), joined(&[&a]), joined(&[&b])]);
    assert_eq!(heard(&b), [Heard::Answer(ids(&[&a, &b])), joined(&[&b]), said("hello")]);
}

#[test]
fn joining_twice_changes_nothing_and_is_answered() {
    let world = World::new();
    let a = world.session(1, 1);
    world.join(&a_match(), &a).unwrap();
    heard(&a);
    assert_eq!(world.join_as(&a_match(), &a, hidden()), Ok(false));
    assert_eq!(heard(&a), [Heard::Answer(ids(&[&a]))]);
    assert!(!world.streams.members(&a_match())[0].meta.hidden);
    assert_eq!(world.gauges(), [1, 1, 0, 1]);
}

#[test]
fn a_hidden_member_hears_and_counts_and_is_not_seen() {
    let world = World::new();
    let (a, ghost, b) = (world.session(1, 1), world.session(2, 2), world.session(3, 3));
    world.join(&a_match(), &a).unwrap();
    world.join_as(&a_match(), &ghost, hidden()).unwrap();
    world.join(&a_match(), &b).unwrap();
    world.send(&a_match(), &a, "hello");
    assert_eq!(world.streams.count(&a_match()), 3);
    assert_eq!(heard(&ghost), [Heard::Answer(ids(&[&a, &ghost])), joined(&[&b]), said("hello")]);
    assert_eq!(heard(&b), [Heard::Answer(ids(&[&a, &b])), joined(&[&b]), said("hello")]);
    world.streams.leave(&a_match(), &ghost);
    assert_eq!(heard(&a).last(), Some(&joined(&[&b])), "nobody is told that it left");
}

#[test]
fn an_update_tells_both_sides_of_the_change_in_one_event() {
    let world = World::new();
    let (a, b) = (world.session(1, 1), world.session(2, 2));
    world.join(&a_match(), &b).unwrap();
    heard(&b);
    let update = |meta| world.streams.update(&a_match(), UNBOUNDED, &a, meta).map(|_| heard(&b));
    assert_eq!(update(PresenceMeta::default()), Ok(vec![joined(&[&a])]));
    assert_eq!(update(PresenceMeta::default()), Ok(vec![Heard::Event(ids(&[&a]), ids(&[&a]))]));
    assert_eq!(update(hidden()), Ok(vec![left(&[&a])]));
    assert_eq!(update(hidden()), Ok(vec![]));
    assert_eq!(update(PresenceMeta::default()), Ok(vec![joined(&[&a])]));
    assert_eq!(world.gauges(), [1, 2, 0, 1]);
}

#[test]
fn who_left_is_told_nothing_and_sends_nothing() {
    let world = World::new();
    let (a, b) = (world.session(1, 1), world.session(2, 2));
    world.join(&a_match(), &a).unwrap();
    world.join(&a_match(), &b).unwrap();
    heard(&a);
    heard(&b);
    assert!(world.streams.leave(&a_match(), &b));
    assert!(!world.streams.leave(&a_match(), &b));
    assert!(!world.send(&a_match(), &b, "from outside"));
    assert_eq!(heard(&a), [left(&[&b])]);
    assert_eq!(heard(&b), []);
}

#[test]
fn whose_session_is_over_joins_nothing_more() {
    let world = World::new();
    let (a, b) = (world.session(1, 1), world.session(2, 2));
    world.join(&a_match(), &a).unwrap();
    world.join(&status_of(1), &a).unwrap();
    world.streams.follow(&[status_of(2)], 10, &a, |_| {}).unwrap();
    world.streams.leave_all(&a);
    assert_eq!(world.join(&a_match(), &a), Err(JoinError::Closed));
    assert_eq!(world.streams.update(&status_of(1), UNBOUNDED, &a, showing("x")), Err(JoinError::Closed));
    assert_eq!(world.streams.follow(&[status_of(2)], 10, &a, |_| panic!("no answer")), Err(JoinError::Closed));
    assert_eq!(world.gauges(), [0; 4], "nothing stays behind, not even an empty stream");
    world.join(&a_match(), &b).unwrap();
    world.streams.leave_all(&b);
    assert_eq!(world.gauges(), [0; 4]);
}

#[test]
fn a_stream_is_removed_without_a_word() {
    let world = World::gathering(2, 20);
    let (a, b) = (world.session(1, 1), world.session(2, 2));
    world.join(&a_match(), &a).unwrap();
    world.join(&a_match(), &b).unwrap();
    heard(&a);
    heard(&b);
    world.streams.remove(&a_match());
    assert_eq!((heard(&a), heard(&b)), (vec![], vec![]));
    assert_eq!(world.gauges(), [0; 4]);
    assert!(!world.streams.is_member(&a_match(), &a));
    assert_eq!(world.join(&a_match(), &a), Ok(true));
}

#[test]
fn the_bounds_of_a_join_have_their_errors() {
    let world = World::new();
    let (a, b) = (world.session(1, 1), world.session(2, 2));
    let join = |subject: u128, session: &Arc<Session>, rule, members, per_session| {
        let key = StreamKey::new(Tenant::NONE, Mode::RelayedMatch, Uuid::from_u128(subject));
        let limits = JoinLimits { members, per_session };
        world.streams.join(&key, rule, limits, session, PresenceMeta::default(), |_| {})
    };
    assert_eq!(join(1, &a, Rule::MustExist, 9, 9), Err(JoinError::NotFound));
    assert_eq!(join(1, &a, Rule::Create, 1, 9), Ok(true));
    assert_eq!(join(1, &b, Rule::MustExist, 1, 9), Err(JoinError::Full));
    assert_eq!(join(2, &a, Rule::Create, 1, 1), Err(JoinError::TooMany));
    assert_eq!(world.gauges(), [1, 1, 0, 1], "a refused join leaves no stream behind");
}

#[test]
fn a_user_holds_so_many_matches_over_all_sessions() {
    let world = World::new();
    let (one, other, stranger) = (world.session(1, 1), world.session(1, 2), world.session(2, 3));
    let key = |subject: u128| StreamKey::new(Tenant::NONE, Mode::RelayedMatch, Uuid::from_u128(subject));
    assert_eq!(world.join(&key(1), &one), Ok(true));
    assert_eq!(world.join(&key(2), &other), Ok(true));
    assert_eq!(world.join(&key(1), &other), Ok(true), "each session's place counts");
    assert_eq!(world.join(&key(3), &one), Err(JoinError::TooManyOfUser));
    assert_eq!(world.join(&key(3), &stranger), Ok(true));
    assert_eq!(world.join(&status_of(1), &one), Ok(true), "other kinds have their own");
    world.streams.leave(&key(2), &other);
    assert_eq!(world.join(&key(3), &one), Ok(true));
    world.streams.leave_all(&other);
    world.streams.remove(&key(1));
    assert_eq!(world.join(&key(4), &one), Ok(true));
    assert_eq!(world.join(&key(5), &one), Ok(true), "what was left or removed is given back");
    assert_eq!(world.join(&key(6), &one), Err(JoinError::TooManyOfUser));
}

#[test]
fn a_status_reaches_followers_and_the_users_own_sessions() {
    let world = World::new();
    let (a, own, follower, stranger) =
        (world.session(1, 1), world.session(1, 2), world.session(2, 3), world.session(3, 4));
    let foreign = world.session_of(1, 5, Tenant::named("another"));
    world.streams.follow(&[status_of(1)], 10, &follower, |seen| assert!(seen.is_empty())).unwrap();
    world.streams.update(&status_of(1), UNBOUNDED, &a, showing("here")).unwrap();
    for session in [&a, &own, &follower] {
        assert_eq!(heard(session), [joined(&[&a])]);
    }
    world.streams.leave(&status_of(1), &a);
    for session in [&a, &own, &follower] {
        assert_eq!(heard(session), [left(&[&a])], "who goes invisible hears it, too");
    }
    world.streams.update(&status_of(1), UNBOUNDED, &a, showing("")).unwrap();
    world.streams.leave_all(&a);
    assert_eq!(heard(&a), [joined(&[&a])], "who is gone hears nothing");
    assert_eq!(heard(&own), [joined(&[&a]), left(&[&a])]);
    assert_eq!((heard(&stranger), heard(&foreign)), (vec![], vec![]));
}

#[test]
fn following_answers_in_the_order_asked_and_is_all_or_nothing() {
    let world = World::new();
    let (a, b, follower) = (world.session(1, 1), world.session(2, 2), world.session(3, 3));
    world.streams.update(&status_of(1), UNBOUNDED, &a, showing("one")).unwrap();
    world.streams.update(&status_of(2), UNBOUNDED, &b, showing("two")).unwrap();
    let mut seen = Vec::new();
    let keys = [status_of(2), status_of(1), status_of(2), status_of(9)];
    world.streams.follow(&keys, 3, &follower, |found| seen = found).unwrap();
    let texts: Vec<_> = seen.iter().map(|presence| presence.status.as_deref().unwrap()).collect();
    assert_eq!(texts, ["two", "one"]);
    assert_eq!(world.gauges(), [3, 2, 3, 0]);
    let refused = world.streams.follow(&[status_of(1), status_of(7)], 3, &follower, |_| panic!("no answer"));
    assert_eq!(refused, Err(JoinError::TooMany));
    assert_eq!(world.gauges(), [3, 2, 3, 0]);
    world.streams.unfollow(&status_of(9), &follower);
    world.streams.unfollow(&status_of(9), &follower);
    assert_eq!(world.gauges(), [2, 2, 2, 0]);
    let joins = world.streams.join(&status_of(9), Rule::MustExist, UNBOUNDED, &a, showing("x"), |_| {});
    assert_eq!(joins, Err(JoinError::NotFound));
    [&a, &b, &follower].iter().for_each(|session| world.streams.leave_all(session));
    assert_eq!(world.gauges(), [0; 4]);
}

#[test]
fn a_stream_with_followers_alone_is_not_there_to_be_joined() {
    let world = World::new();
    let (a, follower) = (world.session(1, 1), world.session(2, 2));
    world.streams.follow(&[status_of(1)], 3, &follower, |_| {}).unwrap();
    let joins = world.streams.join(&status_of(1), Rule::MustExist, UNBOUNDED, &a, showing("x"), |_| {});
    assert_eq!(joins, Err(JoinError::NotFound));
    assert_eq!(world.gauges(), [1, 0, 1, 0]);
}

#[test]
fn the_server_reaches_members_hidden_ones_included_or_sessions_by_id() {
    let world = World::new();
    let (a, ghost, outside) = (world.session(1, 1), world.session(2, 2), world.session(3, 3));
    let foreign = world.session_of(4, 4, Tenant::named("another"));
    assert_eq!(world.streams.broadcast(&a_match(), None, data("nobody")), 0);
    world.join(&a_match(), &a).unwrap();
    world.join_as(&a_match(), &ghost, hidden()).unwrap();
    assert_eq!(world.streams.broadcast(&a_match(), None, data("all")), 2);
    assert_eq!(world.streams.broadcast(&a_match(), Some(a.id()), data("others")), 1);
    let only = [outside.id(), a.id(), foreign.id(), Uuid::from_u128(99)];
    assert_eq!(world.streams.broadcast_to(&a_match(), &only, data("listed")), 2);
    assert_eq!(heard(&ghost).split_off(1), [said("all"), said("others")]);
    assert_eq!(heard(&a).split_off(2), [said("all"), said("listed")]);
    assert_eq!((heard(&outside), heard(&foreign)), (vec![said("listed")], vec![]));
}

#[test]
fn leaving_others_keeps_one_of_the_kind() {
    let world = World::new();
    let a = world.session(1, 1);
    let other = StreamKey::new(Tenant::NONE, Mode::RelayedMatch, Uuid::from_u128(2));
    world.join(&a_match(), &a).unwrap();
    world.join(&other, &a).unwrap();
    world.join(&status_of(1), &a).unwrap();
    world.streams.leave_others(&other, &a);
    assert_eq!(world.streams.of_session(&a, Mode::RelayedMatch), [other]);
    assert_eq!(world.streams.of_session(&a, Mode::Status), [status_of(1)]);
}

/// Streams that gather from two members on, with two members who have heard everything.
fn large(world: &World) -> (Arc<Session>, Arc<Session>) {
    let (a, b) = (world.session(1, 1), world.session(2, 2));
    world.join(&a_match(), &a).unwrap();
    world.join(&a_match(), &b).unwrap();
    world.streams.broadcast(&a_match(), None, data("begin"));
    heard(&a);
    heard(&b);
    (a, b)
}

#[tokio::test(start_paused = true)]
async fn joins_and_leaves_of_a_large_stream_are_told_together_in_time() {
    let world = World::gathering(2, 20);
    let (a, b) = large(&world);
    let (c, d) = (world.session(3, 3), world.session(4, 4));
    world.join(&a_match(), &c).unwrap();
    world.join(&a_match(), &d).unwrap();
    world.streams.leave(&a_match(), &b);
    assert_eq!(heard(&c), [Heard::Answer(ids(&[&a, &b, &c]))], "the answer does not wait");
    assert_eq!(heard(&a), []);
    tokio::time::sleep(Duration::from_millis(21)).await;
    let told = Heard::Event(ids(&[&c, &d]), ids(&[&b]));
    assert_eq!(heard(&a), [told.clone()]);
    assert_eq!(heard(&c), [told]);
    world.streams.leave(&a_match(), &d);
    assert_eq!(heard(&a), []);
    tokio::time::sleep(Duration::from_millis(21)).await;
    assert_eq!(heard(&a), [left(&[&d])], "and so is the next batch");
}

#[tokio::test(start_paused = true)]
async fn data_never_overtakes_a_join_that_waits() {
    let world = World::gathering(2, 20);
    let (a, b) = large(&world);
    let c = world.session(3, 3);
    world.join(&a_match(), &c).unwrap();
    world.send(&a_match(), &c, "me");
    assert_eq!(heard(&a), [joined(&[&c]), said("me")]);
    assert_eq!(heard(&c), [Heard::Answer(ids(&[&a, &b, &c])), joined(&[&c])]);
    let d = world.session(4, 4);
    world.join(&a_match(), &d).unwrap();
    world.streams.broadcast_to(&a_match(), &[d.id()], data("you"));
    assert_eq!(heard(&d), [Heard::Answer(ids(&[&a, &b, &c, &d])), joined(&[&d]), said("you")]);
    assert_eq!(heard(&b), [joined(&[&c]), said("me"), joined(&[&d])]);
}

#[tokio::test(start_paused = true)]
async fn who_comes_and_goes_in_one_batch_leaves_no_ghost() {
    let world = World::gathering(2, 20);
    let (a, b) = large(&world);
    let (c, d) = (world.session(3, 3), world.session(4, 4));
    world.join(&a_match(), &c).unwrap();
    world.streams.leave(&a_match(), &c);
    tokio::time::sleep(Duration::from_millis(21)).await;
    assert_eq!(heard(&a), [], "nobody had heard of it");
    world.join(&a_match(), &c).unwrap();
    world.join(&a_match(), &d).unwrap();
    world.streams.leave(&a_match(), &c);
    tokio::time::sleep(Duration::from_millis(21)).await;
    assert_eq!(heard(&b), [joined(&[&c, &d]), left(&[&c])], "who was in an answer is seen to leave");
    world.streams.leave(&a_match(), &d);
    world.join(&a_match(), &d).unwrap();
    tokio::time::sleep(Duration::from_millis(21)).await;
    assert_eq!(heard(&b), [left(&[&d]), joined(&[&d])], "who came back is there");
}

#[test]
fn outside_of_a_runtime_nothing_waits() {
    let world = World::gathering(2, 20);
    let (a, _b) = large(&world);
    let c = world.session(3, 3);
    world.join(&a_match(), &c).unwrap();
    assert_eq!(heard(&a), [joined(&[&c])]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_a_greatest_size() {
    let world = World::gathering(2, 20);
    let (a, _b) = large(&world);
    for number in 3..600 {
        world.join(&a_match(), &world.session(number, number)).unwrap();
    }
    let [Heard::Event(joins, _)] = &heard(&a)[..] else { panic!("one event so far") };
    assert_eq!(joins.len(), 512);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_has_become_small_tells_what_waited_first() {
    let world = World::gathering(3, 20);
    let (a, b) = large(&world);
    let c = world.session(3, 3);
    world.join(&a_match(), &c).unwrap();
    world.streams.leave(&a_match(), &b);
    assert_eq!(heard(&a), [joined(&[&c]), left(&[&b])]);
}
