//! Streams and the sessions in them: one mechanism for matches, parties, status, chat and a program's own streams. A relayed match
//! is such a stream and nothing else (spec/realtime-core.md 6 and 8.2).
//!
//! Everything that a stream's members are told passes under that stream's lock, so each of them sees one order: the answer to a
//! join, then the join event, then data. A member's message never overtakes the event that announces it. Queues take without
//! waiting, so the lock is held for as long as it takes to push.

mod event;
mod follow;
mod holdings;
mod key;
mod member;
mod place;
mod reach;
mod stream;
mod tell;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

pub use event::wire_stream;
pub use holdings::Quotas;
pub use key::{Mode, StreamKey};
pub use member::{Member, PresenceMeta};
pub use stream::Joined;
pub use tell::Gathering;

pub(super) use holdings::Holdings;
pub(super) use member::Held;
pub(super) use place::Place;

use super::{Registry, session::Session};
use crate::{identity::Tenant, telemetry::Metrics};
use dashmap::{DashMap, mapref::entry::Entry};
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

/// Bounds of a join. What a user may hold over all sessions is in [`Quotas`].
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
    /// The user is in the most streams of the kind that one may be in, over all sessions.
    #[error("the user is in too many streams")]
    TooManyOfUser,
    /// The session is over.
    #[error("the session is closed")]
    Closed,
}

/// All streams, in shards.
#[derive(Debug)]
pub struct Streams {
    /// Matches stand apart: who lists them does not walk through everybody's status.
    matches: DashMap<StreamKey, Arc<Stream>>,
    others: DashMap<StreamKey, Arc<Stream>>,
    /// A user's own sessions hear of the user's status without following it.
    registry: Arc<Registry>,
    gathering: Gathering,
    quotas: Quotas,
    metrics: Metrics,
}

impl Streams {
    /// No streams yet.
    pub fn new(registry: Arc<Registry>, gathering: Gathering, quotas: Quotas, metrics: Metrics) -> Self {
        Self { matches: DashMap::new(), others: DashMap::new(), registry, gathering, quotas, metrics }
    }

    /// Joins `session` to a stream. `answer` is called with what the join found, and may queue replies: they come before the join
    /// event, and nothing comes between. Joining twice changes nothing, how the session is there included, and makes no event.
    /// Answers whether the session is new there.
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
            let new = !session.held().lock().is_in(&stream);
            if new && let Err(error) = self.enter(&stream, &mut members, limits, session, meta) {
                self.tidy(&stream, &mut members);
                return Err(error);
            }
            answer(&Joined { new, key, members: &members.list, own: session.id() });
            members.waiting_is_known();
            if new {
                self.tell_joined(&stream, &mut members);
            }
            return Ok(new);
        }
    }

    /// Puts `session` into a stream, made if need be, or replaces how it is there. One event tells both sides of the change.
    /// Answers whether the session is new there.
    ///
    /// # Errors
    /// As [`Self::join`].
    pub fn update(
        &self,
        key: &StreamKey,
        limits: JoinLimits,
        session: &Arc<Session>,
        meta: PresenceMeta,
    ) -> Result<bool, JoinError> {
        loop {
            let stream = self.find_or_make(key, Rule::Create)?;
            let mut members = stream.members.lock();
            if members.gone {
                continue;
            }
            let Some(index) = members.position(session) else {
                if let Err(error) = self.enter(&stream, &mut members, limits, session, meta) {
                    self.tidy(&stream, &mut members);
                    return Err(error);
                }
                self.tell_joined(&stream, &mut members);
                return Ok(true);
            };
            let before = std::mem::replace(&mut members.list[index].meta, meta);
            self.tell_changed(&stream, &mut members, index, before);
            return Ok(false);
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
        let mode = stream.key.mode();
        let mut held = session.held().lock();
        if held.closed {
            return Err(JoinError::Closed);
        }
        if held.count_of_kind(mode) >= limits.per_session {
            return Err(JoinError::TooMany);
        }
        if !session.holdings().take(mode, self.quotas) {
            return Err(JoinError::TooManyOfUser);
        }
        held.joined.push(stream.clone());
        drop(held);
        members.list.push(Member { session: session.clone(), meta });
        self.resized(stream, members, 1);
        Ok(())
    }

    fn find_or_make(&self, key: &StreamKey, rule: Rule) -> Result<Arc<Stream>, JoinError> {
        if let Some(stream) = self.find(key) {
            return Ok(stream);
        }
        if rule == Rule::MustExist {
            return Err(JoinError::NotFound);
        }
        Ok(match self.of_mode(key.mode()).entry(key.clone()) {
            Entry::Occupied(entry) => entry.get().clone(),
            Entry::Vacant(entry) => {
                self.metrics.streams.inc();
                entry.insert(Stream::new(key.clone())).clone()
            }
        })
    }

    /// Takes `session` out of a stream and tells those who stay; whether it was in it. Of a status its own session hears, too.
    pub fn leave(&self, key: &StreamKey, session: &Session) -> bool {
        let stream = session.held().lock().find(key).cloned();
        stream.is_some_and(|stream| self.take_out(&stream, session, None))
    }

    /// Takes `session` out of every stream of one kind but one.
    pub fn leave_others(&self, keep: &StreamKey, session: &Session) {
        let others: Vec<_> = {
            let held = session.held().lock();
            held.of_mode(keep.mode()).filter(|stream| stream.key != *keep).cloned().collect()
        };
        for stream in &others {
            self.take_out(stream, session, None);
        }
    }

    /// From now on `session` joins nothing more; it stays where it is.
    pub fn bar(&self, session: &Session) {
        session.held().lock().closed = true;
    }

    /// Takes `session` out of everything, for good: it is over. It hears nothing of that.
    pub fn leave_all(&self, session: &Session) {
        let (joined, followed) = {
            let mut held = session.held().lock();
            held.closed = true;
            (std::mem::take(&mut held.joined), std::mem::take(&mut held.followed))
        };
        for stream in &joined {
            self.take_out(stream, session, Some(session.id()));
        }
        followed.iter().for_each(|stream| self.forget_follower(stream, session));
    }

    /// `except` is not told.
    fn take_out(&self, stream: &Arc<Stream>, session: &Session, except: Option<Uuid>) -> bool {
        let mut members = stream.members.lock();
        let Some(index) = members.position(session) else { return false };
        session.held().lock().forget(stream);
        session.holdings().give_back(stream.key.mode(), self.quotas);
        let left = members.list.remove(index);
        self.resized(stream, &members, -1);
        self.tell_left(stream, &mut members, &left, except);
        self.tidy(stream, &mut members);
        true
    }

    /// Takes everybody out of a stream without a word (spec/realtime-core.md 6.2).
    pub fn remove(&self, key: &StreamKey) {
        let Some(stream) = self.find(key) else { return };
        let mut members = stream.members.lock();
        let list = std::mem::take(&mut members.list);
        members.waiting = None;
        for member in &list {
            member.session.held().lock().forget(&stream);
            member.session.holdings().give_back(key.mode(), self.quotas);
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
            self.of_mode(stream.key.mode()).remove_if(&stream.key, |_, current| Arc::ptr_eq(current, stream));
            self.metrics.streams.dec();
        }
    }

    /// Whether `session` is in the stream.
    pub fn is_member(&self, key: &StreamKey, session: &Session) -> bool {
        session.held().lock().find(key).is_some()
    }

    /// How `session` is in the stream; `None` if it is not.
    pub fn place_of(&self, key: &StreamKey, session: &Session) -> Option<PresenceMeta> {
        let stream = session.held().lock().find(key).cloned()?;
        let members = stream.members.lock();
        members.position(session).map(|index| members.list[index].meta.clone())
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
        self.of_mode(key.mode()).get(key).map(|stream| stream.clone())
    }

    /// The map that has the streams of a kind.
    fn of_mode(&self, mode: Mode) -> &DashMap<StreamKey, Arc<Stream>> {
        if mode.is_match() { &self.matches } else { &self.others }
    }

    /// Up to `limit` streams of a tenant and a kind whose size is within the bounds, in no order: subject and size.
    pub fn list(&self, tenant: Tenant, mode: Mode, limit: usize, sizes: RangeInclusive<usize>) -> Vec<(Uuid, usize)> {
        let of_kind = |key: &StreamKey| key.mode() == mode && key.tenant() == tenant;
        let sized = self.of_mode(mode).iter().filter(|entry| of_kind(entry.key())).filter_map(|entry| {
            let size = entry.value().size.load(Relaxed);
            (size > 0 && sizes.contains(&size)).then_some((entry.key().subject(), size))
        });
        sized.take(limit).collect()
    }
}
