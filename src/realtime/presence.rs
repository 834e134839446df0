//! Streams and the sessions in them. A relayed match is such a stream and nothing else (spec/realtime-core.md 6 and 8.2).
//!
//! Everything that a stream's members are told passes under that stream's lock, so each of them sees one order: the answer to a
//! join, then the join event, then data. A member's message never overtakes the event that announces it. Queues take without
//! waiting, so the lock is held for as long as it takes to push.

use super::{Delivery, session::Session};
use crate::{identity::Tenant, telemetry::Metrics};
use dashmap::{DashMap, mapref::entry::Entry};
use kizuna_protocol::realtime::{MatchPresenceEvent, UserPresence, envelope::Message as Body};
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use uuid::Uuid;

/// What kind of stream it is; the numbers are Nakama's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Mode {
    /// A relayed match; subject is the match id.
    RelayedMatch = 5,
}

/// A stream's identity. The tenant is part of it, so streams of two tenants are never one, whatever their subject; there is no
/// other way to name a stream than by whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    tenant: Tenant,
    mode: Mode,
    subject: Uuid,
}

impl StreamKey {
    /// The stream of kind `mode` about `subject` behind the wall of `tenant`: that of the session or caller who asks.
    pub fn new(tenant: Tenant, mode: Mode, subject: Uuid) -> Self {
        Self { tenant, mode, subject }
    }
}

/// One stream; it exists as long as it has members.
#[derive(Debug)]
pub(super) struct Stream {
    key: StreamKey,
    /// Guards the members and the order of what they are told. Order of locks: this one, then a session's list of streams or a
    /// shard of the map; nobody takes it while holding one of those.
    members: Mutex<Members>,
    /// How many members there are, for listings, which take no lock.
    size: AtomicUsize,
}

#[derive(Debug, Default)]
struct Members {
    list: Vec<Arc<Session>>,
    /// The last member has left and the stream is out of the map: whoever still holds it has to look again.
    gone: bool,
}

/// Whether a stream that does not exist is made by a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Join what is there, or make it.
    Create,
    /// Join only what is there.
    MustExist,
}

/// What a join found.
#[derive(Debug)]
pub struct Joined {
    /// The session was not a member before.
    pub new: bool,
    /// Everybody in the stream after the join, the session itself included.
    pub members: Vec<UserPresence>,
    /// The session's own place in `members`.
    pub own: usize,
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
    /// The session is in the most streams that one may be in.
    #[error("the session is in too many streams")]
    TooMany,
}

/// All streams, in shards.
#[derive(Debug)]
pub struct Streams {
    by_key: DashMap<StreamKey, Arc<Stream>>,
    max_per_session: usize,
    max_size: usize,
    metrics: Metrics,
}

impl Streams {
    /// No streams yet.
    pub fn new(max_per_session: usize, max_size: usize, metrics: Metrics) -> Self {
        Self { by_key: DashMap::new(), max_per_session, max_size, metrics }
    }

    /// Joins `session` to a stream. `answer` makes the reply from what the join found; it is queued before the join event, and
    /// nothing comes between the two. Joining twice changes nothing and makes no event.
    ///
    /// # Errors
    /// See [`JoinError`]; nothing has changed then, and `answer` was not called.
    pub fn join(
        &self,
        key: StreamKey,
        rule: Rule,
        session: &Arc<Session>,
        answer: impl FnOnce(&Joined) -> Delivery,
    ) -> Result<bool, JoinError> {
        if session.streams().lock().len() >= self.max_per_session && !self.is_member(key, session) {
            return Err(JoinError::TooMany);
        }
        loop {
            let stream = self.find_or_make(key, rule)?;
            let mut members = stream.members.lock();
            if members.gone {
                continue;
            }
            let own = members.list.iter().position(|member| member.id() == session.id());
            if own.is_none() && members.list.len() >= self.max_size {
                return Err(JoinError::Full);
            }
            if own.is_none() {
                members.list.push(session.clone());
                stream.size.store(members.list.len(), Relaxed);
                session.streams().lock().push(stream.clone());
            }
            let found = Joined {
                new: own.is_none(),
                own: own.unwrap_or(members.list.len() - 1),
                members: members.list.iter().map(|member| member.presence().clone()).collect(),
            };
            answer(&found).to(session);
            if found.new {
                announce(&members.list, key, vec![session.presence().clone()], Vec::new());
            }
            return Ok(found.new);
        }
    }

    fn find_or_make(&self, key: StreamKey, rule: Rule) -> Result<Arc<Stream>, JoinError> {
        if rule == Rule::MustExist {
            return self.by_key.get(&key).map(|stream| stream.clone()).ok_or(JoinError::NotFound);
        }
        Ok(match self.by_key.entry(key) {
            Entry::Occupied(entry) => entry.get().clone(),
            Entry::Vacant(entry) => {
                self.metrics.matches.inc();
                entry.insert(Arc::new(Stream { key, members: Mutex::default(), size: AtomicUsize::new(0) })).clone()
            }
        })
    }

    /// Takes `session` out of a stream and tells those who stay. Not being in it is fine.
    pub fn leave(&self, key: StreamKey, session: &Arc<Session>) {
        let stream = {
            let mut streams = session.streams().lock();
            let Some(index) = streams.iter().position(|stream| stream.key == key) else { return };
            streams.swap_remove(index)
        };
        self.take_out(&stream, session);
    }

    /// Takes `session` out of every stream of one kind but one.
    pub fn leave_others(&self, keep: StreamKey, session: &Arc<Session>) {
        let others: Vec<_> = {
            let mut streams = session.streams().lock();
            streams.extract_if(.., |stream| stream.key != keep && stream.key.mode == keep.mode).collect()
        };
        others.iter().for_each(|stream| self.take_out(stream, session));
    }

    /// Takes `session` out of everything: its socket is gone.
    pub fn leave_all(&self, session: &Arc<Session>) {
        let streams = std::mem::take(&mut *session.streams().lock());
        streams.iter().for_each(|stream| self.take_out(stream, session));
    }

    fn take_out(&self, stream: &Arc<Stream>, session: &Arc<Session>) {
        let mut members = stream.members.lock();
        let Some(index) = members.list.iter().position(|member| member.id() == session.id()) else { return };
        members.list.remove(index);
        stream.size.store(members.list.len(), Relaxed);
        if members.list.is_empty() {
            members.gone = true;
            // Out of the map before the lock is free, so that whoever finds it gone finds another, or none.
            self.by_key.remove_if(&stream.key, |_, current| Arc::ptr_eq(current, stream));
            self.metrics.matches.dec();
        } else {
            announce(&members.list, stream.key, Vec::new(), vec![session.presence().clone()]);
        }
    }

    /// Sends `delivery` from a member to the others, or to those of `only` who are members; the sender may be among them.
    /// From a session that is not a member nothing is sent (spec/realtime-core.md 8.4).
    pub fn send(&self, key: StreamKey, from: &Session, only: Option<&[Uuid]>, mut delivery: Delivery) {
        let stream = {
            let streams = from.streams().lock();
            let Some(stream) = streams.iter().find(|stream| stream.key == key) else { return };
            stream.clone()
        };
        let members = stream.members.lock();
        let mut sent = 0;
        for member in &members.list {
            let wanted = only.map_or_else(|| member.id() != from.id(), |ids| ids.contains(&member.id()));
            if wanted {
                delivery.to(member);
                sent += 1;
            }
        }
        drop(members);
        self.metrics.messages_sent.inc_by(sent);
    }

    /// Whether `session` is in the stream.
    pub fn is_member(&self, key: StreamKey, session: &Session) -> bool {
        session.streams().lock().iter().any(|stream| stream.key == key)
    }

    /// Up to `limit` streams of a tenant and a kind whose size is within the bounds, in no order: subject and size.
    pub fn list(
        &self,
        tenant: Tenant,
        mode: Mode,
        limit: usize,
        sizes: std::ops::RangeInclusive<usize>,
    ) -> Vec<(Uuid, usize)> {
        let of_kind = |key: &StreamKey| key.mode == mode && key.tenant == tenant;
        let sized = self.by_key.iter().filter(|entry| of_kind(entry.key())).filter_map(|entry| {
            let size = entry.value().size.load(Relaxed);
            (size > 0 && sizes.contains(&size)).then_some((entry.key().subject, size))
        });
        sized.take(limit).collect()
    }
}

/// Tells `members` who joined or left; which event that is follows from the stream's kind alone.
fn announce(members: &[Arc<Session>], key: StreamKey, joins: Vec<UserPresence>, leaves: Vec<UserPresence>) {
    let event = match key.mode {
        Mode::RelayedMatch => {
            Body::MatchPresenceEvent(MatchPresenceEvent { match_id: format!("{}.", key.subject), joins, leaves })
        }
    };
    let mut delivery = Delivery::of(event);
    members.iter().for_each(|member| delivery.to(member));
}
