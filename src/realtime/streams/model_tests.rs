//! Streams against a model that is nothing but lists: random operations, and every client's own view of who is there.

use super::{
    tests::{Heard, UNBOUNDED, World, heard, hidden},
    *,
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const SESSIONS: usize = 6;
const KEYS: usize = 5;

#[derive(Clone, Debug)]
enum Do {
    Join(usize, usize, bool),
    Update(usize, usize, bool),
    Leave(usize, usize),
    LeaveOthers(usize, usize),
    LeaveAll(usize),
    Remove(usize),
    Follow(usize, Vec<usize>),
    Unfollow(usize, usize),
    Send(usize, usize),
    /// Milliseconds.
    Wait(u64),
}

fn operation() -> impl Strategy<Value = Do> {
    let (session, key) = (0..SESSIONS, 0..KEYS);
    prop_oneof![
        8 => (session.clone(), key.clone(), prop::bool::weighted(0.2)).prop_map(|(s, k, h)| Do::Join(s, k, h)),
        3 => (session.clone(), key.clone(), any::<bool>()).prop_map(|(s, k, h)| Do::Update(s, k, h)),
        6 => (session.clone(), key.clone()).prop_map(|(s, k)| Do::Leave(s, k)),
        1 => (session.clone(), key.clone()).prop_map(|(s, k)| Do::LeaveOthers(s, k)),
        1 => session.clone().prop_map(Do::LeaveAll),
        1 => key.clone().prop_map(Do::Remove),
        3 => (session.clone(), prop::collection::vec(key.clone(), 0..4)).prop_map(|(s, k)| Do::Follow(s, k)),
        2 => (session.clone(), key.clone()).prop_map(|(s, k)| Do::Unfollow(s, k)),
        3 => (session, key).prop_map(|(s, k)| Do::Send(s, k)),
        2 => (0..30_u64).prop_map(Do::Wait),
    ]
}

/// Three matches and two streams of a program's own.
fn key(index: usize) -> StreamKey {
    let mode = if index < 3 { Mode::RelayedMatch } else { Mode::Custom(20) };
    StreamKey::new(Tenant::NONE, mode, Uuid::from_u128(index as u128 + 1))
}

#[derive(Default)]
struct Model {
    /// Who is in each stream, hidden or not, in the order in which they came.
    members: [Vec<(usize, bool)>; KEYS],
    followers: [BTreeSet<usize>; KEYS],
    closed: BTreeSet<usize>,
}

impl Model {
    fn is_in(&self, session: usize, key: usize) -> bool {
        self.members[key].iter().any(|(other, _)| *other == session)
    }

    fn leave(&mut self, session: usize, key: usize) {
        self.members[key].retain(|(other, _)| *other != session);
    }

    fn gauges(&self) -> [i64; 4] {
        let streams = (0..KEYS).filter(|key| !self.members[*key].is_empty() || !self.followers[*key].is_empty());
        let matches = (0..3).filter(|key| !self.members[*key].is_empty());
        let presences: usize = self.members.iter().map(Vec::len).sum();
        let follows: usize = self.followers.iter().map(BTreeSet::len).sum();
        [streams.count(), presences, follows, matches.count()].map(|count| i64::try_from(count).unwrap())
    }
}

fn session_number(index: usize) -> u128 {
    index as u128 + 1
}

/// Does one operation to both; they must answer alike.
fn apply(world: &World, model: &mut Model, sessions: &[Arc<Session>], operation: &Do) -> Result<(), TestCaseError> {
    let meta = |is_hidden: bool| if is_hidden { hidden() } else { PresenceMeta::default() };
    match operation {
        Do::Join(session, at, is_hidden) => {
            let found = world.join_as(&key(*at), &sessions[*session], meta(*is_hidden));
            if model.closed.contains(session) {
                prop_assert_eq!(found, Err(JoinError::Closed));
            } else {
                let new = !model.is_in(*session, *at);
                prop_assert_eq!(found, Ok(new));
                if new {
                    model.members[*at].push((*session, *is_hidden));
                }
            }
        }
        Do::Update(session, at, is_hidden) => {
            let done = world.streams.update(&key(*at), UNBOUNDED, &sessions[*session], meta(*is_hidden));
            if model.closed.contains(session) {
                prop_assert_eq!(done, Err(JoinError::Closed));
            } else {
                prop_assert_eq!(done, Ok(!model.is_in(*session, *at)));
                match model.members[*at].iter_mut().find(|(other, _)| other == session) {
                    Some(member) => member.1 = *is_hidden,
                    None => model.members[*at].push((*session, *is_hidden)),
                }
            }
        }
        Do::Leave(session, at) => {
            prop_assert_eq!(world.streams.leave(&key(*at), &sessions[*session]), model.is_in(*session, *at));
            model.leave(*session, *at);
        }
        Do::LeaveOthers(session, at) => {
            world.streams.leave_others(&key(*at), &sessions[*session]);
            let others = (0..KEYS).filter(|other| other != at && key(*other).mode() == key(*at).mode());
            others.for_each(|other| model.leave(*session, other));
        }
        Do::LeaveAll(session) => {
            world.streams.leave_all(&sessions[*session]);
            (0..KEYS).for_each(|at| model.leave(*session, at));
            for followers in &mut model.followers {
                followers.remove(session);
            }
            model.closed.insert(*session);
        }
        Do::Remove(at) => {
            world.streams.remove(&key(*at));
            model.members[*at].clear();
        }
        Do::Follow(session, at) => {
            let keys: Vec<_> = at.iter().map(|at| key(*at)).collect();
            let followed = world.streams.follow(&keys, KEYS, &sessions[*session], |_| {});
            prop_assert_eq!(followed.is_err(), model.closed.contains(session));
            if followed.is_ok() {
                for at in at {
                    model.followers[*at].insert(*session);
                }
            }
        }
        Do::Unfollow(session, at) => {
            world.streams.unfollow(&key(*at), &sessions[*session]);
            model.followers[*at].remove(session);
        }
        Do::Send(session, at) => {
            let sent = world.send(&key(*at), &sessions[*session], "data");
            prop_assert_eq!(sent, model.is_in(*session, *at));
        }
        Do::Wait(_) => {}
    }
    Ok(())
}

fn agree(world: &World, model: &Model, sessions: &[Arc<Session>]) -> Result<(), TestCaseError> {
    prop_assert_eq!(world.gauges(), model.gauges());
    for at in 0..KEYS {
        let found: Vec<_> =
            world.streams.members(&key(at)).iter().map(|member| (member.session.id(), member.meta.hidden)).collect();
        let wanted: Vec<_> =
            model.members[at].iter().map(|(session, is_hidden)| (sessions[*session].id(), *is_hidden)).collect();
        prop_assert_eq!(&found, &wanted);
        prop_assert_eq!(world.streams.count(&key(at)), wanted.len());
        for (index, session) in sessions.iter().enumerate() {
            prop_assert_eq!(world.streams.is_member(&key(at), session), model.is_in(index, at));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn streams_are_as_their_model_says(operations in prop::collection::vec(operation(), 0..120), gathers in 1..6_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let world = World::gathering(gathers, 20);
            let sessions: Vec<_> = (0..SESSIONS).map(|s| world.session(session_number(s), session_number(s))).collect();
            let mut model = Model::default();
            for operation in &operations {
                apply(&world, &mut model, &sessions, operation)?;
                if let Do::Wait(millis) = operation {
                    tokio::time::sleep(Duration::from_millis(*millis)).await;
                }
                agree(&world, &model, &sessions)?;
            }
            sessions.iter().for_each(|session| world.streams.leave_all(session));
            prop_assert_eq!(world.gauges(), [0; 4]);
            Ok(())
        })?;
    }

    /// One stream, so that each event is about it: whoever is in it when all has been told knows exactly who else is, whether he
    /// reads the joins or the leaves of an event first.
    #[test]
    fn every_member_ends_up_knowing_who_is_there(
        operations in prop::collection::vec(operation(), 0..120),
        gathers in 1..6_usize,
        leaves_first in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let world = World::gathering(gathers, 20);
            let sessions: Vec<_> = (0..SESSIONS).map(|s| world.session(session_number(s), session_number(s))).collect();
            let mut model = Model::default();
            let mut views: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
            for operation in &operations {
                let one_stream = match operation.clone() {
                    Do::Join(session, _, is_hidden) => Do::Join(session, 0, is_hidden),
                    Do::Leave(session, _) => Do::Leave(session, 0),
                    Do::Send(session, _) => Do::Send(session, 0),
                    other @ (Do::LeaveAll(_) | Do::Wait(_)) => other,
                    _ => continue,
                };
                apply(&world, &mut model, &sessions, &one_stream)?;
                if let Do::Wait(millis) = one_stream {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                }
                look(&sessions, &mut views, leaves_first)?;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            look(&sessions, &mut views, leaves_first)?;
            let seen = |but: usize| -> BTreeSet<String> {
                let seen = model.members[0].iter().filter(|(other, is_hidden)| !is_hidden && *other != but);
                seen.map(|(other, _)| sessions[*other].id().to_string()).collect()
            };
            for (session, _) in &model.members[0] {
                let mut view = views.remove(session).unwrap_or_default();
                view.remove(&sessions[*session].id().to_string());
                prop_assert_eq!(view, seen(*session));
            }
            Ok(())
        })?;
    }
}

/// Takes in what each session was told, as a client would.
fn look(
    sessions: &[Arc<Session>],
    views: &mut BTreeMap<usize, BTreeSet<String>>,
    leaves_first: bool,
) -> Result<(), TestCaseError> {
    for (index, session) in sessions.iter().enumerate() {
        let view = views.entry(index).or_default();
        for message in heard(session) {
            match message {
                Heard::Answer(ids) => *view = ids.into_iter().collect(),
                Heard::Event(joins, leaves) => {
                    prop_assert!(joins.iter().all(|id| !leaves.contains(id)), "nobody is in both lists");
                    let leave = |view: &mut BTreeSet<String>| view.retain(|id| !leaves.contains(id));
                    if leaves_first {
                        leave(view);
                    }
                    view.extend(joins);
                    if !leaves_first {
                        leave(view);
                    }
                }
                Heard::Data(_) => {}
            }
        }
    }
    Ok(())
}
