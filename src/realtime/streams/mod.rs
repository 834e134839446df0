//! Streams and the sessions in them: one mechanism for matches, parties, status, chat and a program's own streams. A relayed match
//! is such a stream and nothing else (spec/realtime-core.md 6 and 8.2).
//!
//! Everything that a stream's members are told passes under that stream's lock, so each of them sees one order: the answer to a
//! join, then the join event, then data. A member's message never overtakes the event that announces it. Queues take without
//! waiting, so the lock is held for as long as it takes to push.

mod event;
mod key;
mod member;
mod stream;

pub use event::wire_stream;
pub use key::{Mode, StreamKey};
pub use member::{Member, PresenceMeta};
pub use stream::Joined;

pub(super) use member::Held;

use super::{Delivery, Registry, session::Session};
use crate::{identity::Tenant, telemetry::Metrics};
use dashmap::{DashMap, mapref::entry::Entry};
use kizuna_protocol::realtime::UserPresence;
use std::{
    ops::RangeInclusive,
    sync::{Arc, atomic::Ordering::Relaxed},
};
use stream::{Members, Stream};
use uuid::Uuid;

/// Whether a stream that does not exist is made by a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Join what is there, or make it.
    Create,
    /// Join only what is there.
    MustExist,
}

/// Bounds of a join.
#[derive(Clone, Copy, Debug)]
pub struct JoinLimits {
    /// Members of one stream.
    pub members: usize,
    /// Streams of this kind that one session may be in.
    pub per_session: usize,
}

/// Why a session cannot join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// There is no such stream.
    #[error("no such stream")]
    NotFound,
    /// The stream has the most members that one may have.
    #[error("the stream is full")]
    Full,
    /// The session is in the most streams of the kind that one may be in.
    #[error("the session is in too many streams")]
    TooMany,
    /// The session is over.
    #[error("the session is closed")]
    Closed,
}

/// All streams, in shards.
#[derive(Debug)]
pub struct Streams {
    by_key: DashMap<StreamKey, Arc<Stream>>,
    /// A user's own sessions hear of the user's status without following it.
    registry: Arc<Registry>,
    metrics: Metrics,
}

impl Streams {
    /// No streams yet.
    pub fn new(registry: Arc<Registry>, metrics: Metrics) -> Self {
        Self { by_key: DashMap::new(), registry, metrics }
    }

    /// Joins `session` to a stream. `answer` is called with what the join found, and may queue replies: they come before the join
    /// event, and nothing comes between. Joining twice changes nothing, how the session is there included, and makes no event.
    ///
    /// # Errors
    /// See [`JoinError`]; nothing has changed then, and `answer` was not called.
    pub fn join(
        &self,
        key: &StreamKey,
        rule: Rule,
        limits: JoinLimits,
        session: &Arc<Session>,
        meta: PresenceMeta,
        answer: impl FnOnce(&Joined<'_>),
    ) -> Result<bool, JoinError> {
        loop {
            let stream = self.find_or_make(key, rule)?;
            let mut members = stream.members.lock();
            if members.gone {
                continue;
            }
            // A stream that only has followers is not there for those who want to join one.
            if rule == Rule::MustExist && members.list.is_empty() {
                return Err(JoinError::NotFound);
            }
            let new = members.position(session).is_none();
            if new && let Err(error) = self.enter(&stream, &mut members, limits, session, meta) {
                self.tidy(&stream, &mut members);
                return Err(error);
            }
            answer(&Joined { new, key, members: &members.list, own: session.id() });
            if new {
                let joins = seen(members.list.last(), key);
                self.announce(key, &members, joins, Vec::new(), None);
            }
            return Ok(new);
        }
    }

    /// Puts `session` into a stream, made if need be, or replaces how it is there. One event tells both sides of the change.
    ///
    /// # Errors
    /// As [`Self::join`].
    pub fn update(
        &self,
        key: &StreamKey,
        limits: JoinLimits,
        session: &Arc<Session>,
        meta: PresenceMeta,
    ) -> Result<(), JoinError> {
        loop {
            let stream = self.find_or_make(key, Rule::Create)?;
            let mut members = stream.members.lock();
            if members.gone {
                continue;
            }
            let (mut index, mut leaves) = (members.position(session), Vec::new());
            match index {
                Some(index) => {
                    leaves = seen(members.list.get(index), key);
                    members.list[index].meta = meta;
                }
                None => {
                    if let Err(error) = self.enter(&stream, &mut members, limits, session, meta) {
                        self.tidy(&stream, &mut members);
                        return Err(error);
                    }
                    index = Some(members.list.len() - 1);
                }
            }
            let joins = seen(index.and_then(|index| members.list.get(index)), key);
            self.announce(key, &members, joins, leaves, None);
            return Ok(());
        }
    }

    /// Adds a member, in the stream's list and in the session's.
    fn enter(
        &self,
        stream: &Arc<Stream>,
        members: &mut Members,
        limits: JoinLimits,
        session: &Arc<Session>,
        meta: PresenceMeta,
    ) -> Result<(), JoinError> {
        if members.list.len() >= limits.members {
            return Err(JoinError::Full);
        }
        let mut held = session.held().lock();
        if held.closed {
            return Err(JoinError::Closed);
        }
        if held.of_mode(stream.key.mode()).count() >= limits.per_session {
            return Err(JoinError::TooMany);
        }
        held.joined.push(stream.clone());
        drop(held);
        members.list.push(Member { session: session.clone(), meta });
        self.resized(stream, members, 1);
        Ok(())
    }

    fn find_or_make(&self, key: &StreamKey, rule: Rule) -> Result<Arc<Stream>, JoinError> {
        if let Some(stream) = self.by_key.get(key) {
            return Ok(stream.clone());
        }
        if rule == Rule::MustExist {
            return Err(JoinError::NotFound);
        }
        Ok(match self.by_key.entry(key.clone()) {
            Entry::Occupied(entry) => entry.get().clone(),
            Entry::Vacant(entry) => {
                self.metrics.streams.inc();
                entry.insert(Stream::new(key.clone())).clone()
            }
        })
    }

    /// Takes `session` out of a stream and tells those who stay; whether it was in it.
    pub fn leave(&self, key: &StreamKey, session: &Arc<Session>) -> bool {
        let stream = {
            let mut held = session.held().lock();
            let Some(index) = held.joined.iter().position(|stream| stream.key == *key) else { return false };
            held.joined.swap_remove(index)
        };
        self.take_out(&stream, session);
        true
    }

    /// Takes `session` out of every stream of one kind but one.
    pub fn leave_others(&self, keep: &StreamKey, session: &Arc<Session>) {
        let others: Vec<_> = {
            let mut held = session.held().lock();
            let other = |stream: &mut Arc<Stream>| stream.key != *keep && stream.key.mode() == keep.mode();
            held.joined.extract_if(.., other).collect()
        };
        others.iter().for_each(|stream| self.take_out(stream, session));
    }

    /// From now on `session` joins nothing more; it stays where it is.
    pub fn bar(&self, session: &Session) {
        session.held().lock().closed = true;
    }

    /// Takes `session` out of everything, for good: it is over.
    pub fn leave_all(&self, session: &Arc<Session>) {
        let (joined, followed) = {
            let mut held = session.held().lock();
            held.closed = true;
            (std::mem::take(&mut held.joined), std::mem::take(&mut held.followed))
        };
        joined.iter().for_each(|stream| self.take_out(stream, session));
        followed.iter().for_each(|stream| self.forget_follower(stream, session));
    }

    fn take_out(&self, stream: &Arc<Stream>, session: &Session) {
        let mut members = stream.members.lock();
        let Some(index) = members.position(session) else { return };
        let left = members.list.remove(index);
        self.resized(stream, &members, -1);
        self.announce(&stream.key, &members, Vec::new(), seen(Some(&left), &stream.key), Some(session.id()));
        self.tidy(stream, &mut members);
    }

    /// Takes everybody out of a stream without a word (spec/realtime-core.md 6.2).
    pub fn remove(&self, key: &StreamKey) {
        let Some(stream) = self.by_key.get(key).map(|stream| stream.clone()) else { return };
        let mut members = stream.members.lock();
        let list = std::mem::take(&mut members.list);
        for member in &list {
            member.session.held().lock().joined.retain(|other| !Arc::ptr_eq(other, &stream));
        }
        self.resized(&stream, &members, -i64::try_from(list.len()).unwrap_or(i64::MAX));
        self.tidy(&stream, &mut members);
    }

    /// Counts members that came or went.
    fn resized(&self, stream: &Stream, members: &Members, by: i64) {
        self.metrics.presences.inc_by(by);
        let before = stream.size.swap(members.list.len(), Relaxed);
        if stream.key.mode().is_match() {
            let existed = i64::from(before > 0);
            self.metrics.matches.inc_by(i64::from(!members.list.is_empty()) - existed);
        }
    }

    /// Takes a stream that nobody is in out of the map, before its lock is free: whoever finds it gone finds another, or none.
    fn tidy(&self, stream: &Arc<Stream>, members: &mut Members) {
        if members.is_empty() && !members.gone {
            members.gone = true;
            self.by_key.remove_if(&stream.key, |_, current| Arc::ptr_eq(current, stream));
            self.metrics.streams.dec();
        }
    }

    /// `session` hears of joins and leaves in the streams of `keys` from now on, without being in them. `answer` is called with
    /// everybody who can be seen in them now; what it queues comes before any later event.
    ///
    /// # Errors
    /// The session would follow more than `most` streams; it follows no more than before then.
    pub fn follow(
        &self,
        keys: &[StreamKey],
        most: usize,
        session: &Arc<Session>,
        answer: impl FnOnce(Vec<UserPresence>),
    ) -> Result<(), JoinError> {
        let mut streams = Vec::with_capacity(keys.len());
        for key in keys {
            match self.follow_one(key, most, session) {
                Ok((stream, new)) => streams.push((stream, new)),
                Err(error) => {
                    let added = streams.iter().filter(|(_, new)| *new).map(|(stream, _): &(Arc<Stream>, bool)| stream);
                    added.for_each(|stream| self.unfollow(&stream.key, session));
                    return Err(error);
                }
            }
        }
        // All at once, so that no event of one falls between the look at another and the answer. Nobody else holds two of these
        // locks, and these are taken in the order of their addresses: two who follow at the same time cannot wait for each other.
        streams.sort_by_key(|(stream, _)| Arc::as_ptr(stream));
        streams.dedup_by_key(|(stream, _)| Arc::as_ptr(stream));
        let guards: Vec<_> = streams.iter().map(|(stream, _)| (&stream.key, stream.members.lock())).collect();
        let seen =
            guards.iter().flat_map(|(key, members)| members.list.iter().flat_map(|member| seen(Some(member), key)));
        answer(seen.collect());
        Ok(())
    }

    fn follow_one(
        &self,
        key: &StreamKey,
        most: usize,
        session: &Arc<Session>,
    ) -> Result<(Arc<Stream>, bool), JoinError> {
        loop {
            let stream = self.find_or_make(key, Rule::Create)?;
            let mut members = stream.members.lock();
            if members.gone {
                continue;
            }
            let mut held = session.held().lock();
            let known = held.followed.iter().any(|other| Arc::ptr_eq(other, &stream));
            let error = match (held.closed, held.followed.len() >= most && !known) {
                (true, _) => Some(JoinError::Closed),
                (false, true) => Some(JoinError::TooMany),
                (false, false) => None,
            };
            if let Some(error) = error {
                drop(held);
                self.tidy(&stream, &mut members);
                return Err(error);
            }
            if !known {
                held.followed.push(stream.clone());
                members.followers.push(session.clone());
                self.metrics.follows.inc();
            }
            drop(held);
            drop(members);
            return Ok((stream, !known));
        }
    }

    /// `session` no longer hears of the stream. Not following it is fine.
    pub fn unfollow(&self, key: &StreamKey, session: &Arc<Session>) {
        let stream = {
            let mut held = session.held().lock();
            let Some(index) = held.followed.iter().position(|stream| stream.key == *key) else { return };
            held.followed.swap_remove(index)
        };
        self.forget_follower(&stream, session);
    }

    fn forget_follower(&self, stream: &Arc<Stream>, session: &Session) {
        let mut members = stream.members.lock();
        let Some(index) = members.followers.iter().position(|other| other.id() == session.id()) else { return };
        members.followers.swap_remove(index);
        self.metrics.follows.dec();
        self.tidy(stream, &mut members);
    }

    /// Sends `delivery` from a member to the others, or to those of `only` who are members; the sender may be among them.
    /// Answers whether the sender is a member; from one who is not nothing is sent (spec/realtime-core.md 8.4).
    pub fn send(&self, key: &StreamKey, from: &Session, only: Option<&[Uuid]>, mut delivery: Delivery) -> bool {
        let stream = {
            let held = from.held().lock();
            let Some(stream) = held.joined.iter().find(|stream| stream.key == *key) else { return false };
            stream.clone()
        };
        let members = stream.members.lock();
        let mut sent = 0;
        for Member { session, .. } in &members.list {
            let wanted = only.map_or_else(|| session.id() != from.id(), |ids| ids.contains(&session.id()));
            if wanted {
                delivery.to(session);
                sent += 1;
            }
        }
        drop(members);
        self.metrics.messages_sent.inc_by(sent);
        true
    }

    /// Sends `delivery` from the server to every member, hidden ones included, but `except`; answers how many they are.
    pub fn broadcast(&self, key: &StreamKey, except: Option<Uuid>, mut delivery: Delivery) -> usize {
        let Some(stream) = self.find(key) else { return 0 };
        let members = stream.members.lock();
        let receivers = members.list.iter().filter(|member| Some(member.session.id()) != except);
        let sent = receivers.map(|member| delivery.to(&member.session)).count();
        drop(members);
        self.metrics.messages_sent.inc_by(sent as u64);
        sent
    }

    /// Whether `session` is in the stream.
    pub fn is_member(&self, key: &StreamKey, session: &Session) -> bool {
        session.held().lock().joined.iter().any(|stream| stream.key == *key)
    }

    /// The streams of one kind that `session` is in.
    pub fn of_session(&self, session: &Session, mode: Mode) -> Vec<StreamKey> {
        session.held().lock().of_mode(mode).map(|stream| stream.key.clone()).collect()
    }

    /// Who is in a stream, hidden ones included, in the order in which they came.
    pub fn members(&self, key: &StreamKey) -> Vec<Member> {
        self.find(key).map(|stream| stream.members.lock().list.clone()).unwrap_or_default()
    }

    /// How many are in a stream, hidden ones included.
    pub fn count(&self, key: &StreamKey) -> usize {
        self.find(key).map_or(0, |stream| stream.size.load(Relaxed))
    }

    fn find(&self, key: &StreamKey) -> Option<Arc<Stream>> {
        self.by_key.get(key).map(|stream| stream.clone())
    }

    /// Up to `limit` streams of a tenant and a kind whose size is within the bounds, in no order: subject and size.
    pub fn list(&self, tenant: Tenant, mode: Mode, limit: usize, sizes: RangeInclusive<usize>) -> Vec<(Uuid, usize)> {
        let of_kind = |key: &StreamKey| key.mode() == mode && key.tenant() == tenant;
        let sized = self.by_key.iter().filter(|entry| of_kind(entry.key())).filter_map(|entry| {
            let size = entry.value().size.load(Relaxed);
            (size > 0 && sizes.contains(&size)).then_some((entry.key().subject(), size))
        });
        sized.take(limit).collect()
    }

    /// Tells who joined or left to those who are to know: the members, or, of a status, the followers and the user's own sessions.
    /// `except` is the one who left.
    fn announce(
        &self,
        key: &StreamKey,
        members: &Members,
        joins: Vec<UserPresence>,
        leaves: Vec<UserPresence>,
        except: Option<Uuid>,
    ) {
        if joins.is_empty() && leaves.is_empty() {
            return;
        }
        let Some(event) = event::presence_event(key, joins, leaves) else { return };
        let mut delivery = Delivery::of(event);
        if key.mode() != Mode::Status {
            return members.list.iter().for_each(|member| delivery.to(&member.session));
        }
        let own = self.registry.of_user(key.subject());
        let own = own.iter().filter(|session| session.tenant() == key.tenant() && Some(session.id()) != except);
        own.chain(&members.followers).for_each(|session| delivery.to(session));
    }
}

/// The presence of a member who is not hidden.
fn seen(member: Option<&Member>, key: &StreamKey) -> Vec<UserPresence> {
    let seen = member.filter(|member| !member.meta.hidden);
    seen.map(|member| member.presence(key.mode())).into_iter().collect()
}
