//! Who is told of joins and leaves, and when: at once, or, in a stream with many members, gathered for a moment. A large stream into
//! which many come would otherwise cost a message for each of them to each of them.
//!
//! What waits is told before any data of the stream, so nobody is overtaken. In one event nobody both joins and leaves: whoever
//! reads the two lists in either order ends up with the same.

use super::{
    Member, Mode, PresenceMeta, StreamKey, Streams, event,
    stream::{Members, Stream},
};
use crate::{config::Config, realtime::Delivery};
use kizuna_protocol::realtime::UserPresence;
use std::{sync::Arc, time::Duration};
use tokio::runtime::Handle;
use uuid::Uuid;

/// Presences in one event: with some 150 bytes each it stays below what clients take for one message.
const MOST_IN_ONE_EVENT: usize = 512;

/// When joins and leaves are gathered.
#[derive(Clone, Copy, Debug)]
pub struct Gathering {
    /// In streams with this many members, or more.
    pub members: usize,
    /// For this long; not at all if zero.
    pub wait: Duration,
}

impl Gathering {
    /// As configured.
    pub fn new(config: &Config) -> Self {
        let config = &config.realtime;
        Self { members: config.presence_batch_members, wait: Duration::from_millis(config.presence_batch_ms) }
    }
}

/// Joins and leaves that the members have not been told of yet.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    joins: Vec<(Uuid, UserPresence)>,
    leaves: Vec<(Uuid, UserPresence)>,
    /// How many of the joins somebody knows of already, from the answer to a join of his own.
    known: usize,
}

impl Members {
    /// Tells what waits. Costs one look where nothing does.
    pub(super) fn flush(&mut self, key: &StreamKey) {
        if self.waiting.is_some() {
            self.tell_waiting(key);
        }
    }

    #[cold]
    fn tell_waiting(&mut self, key: &StreamKey) {
        let Some(waiting) = self.waiting.take() else { return };
        let presences = |list: Vec<(Uuid, UserPresence)>| list.into_iter().map(|(_, presence)| presence).collect();
        self.tell(key, presences(waiting.joins), presences(waiting.leaves));
    }

    /// Tells every member.
    fn tell(&self, key: &StreamKey, joins: Vec<UserPresence>, leaves: Vec<UserPresence>) {
        if joins.is_empty() && leaves.is_empty() {
            return;
        }
        if let Some(event) = event::presence_event(key, joins, leaves) {
            let mut delivery = Delivery::of(event);
            self.list.iter().for_each(|member| delivery.to(&member.session));
        }
    }

    /// Somebody has been answered with everybody who is there: those whose joins wait are known to somebody now.
    pub(super) fn waiting_is_known(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.known = waiting.joins.len();
        }
    }

    /// A join that waits.
    fn gather_join(&mut self, key: &StreamKey, session: Uuid, presence: UserPresence) {
        if self.waiting.as_ref().is_some_and(|waiting| waiting.leaves.iter().any(|(id, _)| *id == session)) {
            self.flush(key);
        }
        self.waiting.get_or_insert_default().joins.push((session, presence));
    }

    /// A leave that waits. Whose join nobody has heard of leaves nothing behind.
    fn gather_leave(&mut self, key: &StreamKey, session: Uuid, presence: UserPresence) {
        let waiting = self.waiting.get_or_insert_default();
        match waiting.joins.iter().position(|(id, _)| *id == session) {
            Some(index) if index >= waiting.known => {
                waiting.joins.remove(index);
                if waiting.joins.is_empty() && waiting.leaves.is_empty() {
                    self.waiting = None;
                }
                return;
            }
            Some(_) => self.flush(key),
            None => {}
        }
        self.waiting.get_or_insert_default().leaves.push((session, presence));
    }
}

impl Streams {
    /// Tells of the member that came last.
    pub(super) fn tell_joined(&self, stream: &Arc<Stream>, members: &mut Members) {
        let key = &stream.key;
        let Some(member) = members.list.last().filter(|member| !member.meta.hidden) else { return };
        let (session, presence) = (member.session.id(), member.presence(key.mode()));
        if self.gathers(key, members) {
            members.gather_join(key, session, presence);
            return self.flush_later(stream, members);
        }
        members.flush(key);
        self.announce(key, members, vec![presence], Vec::new(), None);
    }

    /// Tells of a member that is no longer there; not `except`.
    pub(super) fn tell_left(&self, stream: &Arc<Stream>, members: &mut Members, left: &Member, except: Option<Uuid>) {
        let key = &stream.key;
        if left.meta.hidden {
            return;
        }
        let (session, presence) = (left.session.id(), left.presence(key.mode()));
        if self.gathers(key, members) {
            members.gather_leave(key, session, presence);
            return self.flush_later(stream, members);
        }
        members.flush(key);
        self.announce(key, members, Vec::new(), vec![presence], except);
    }

    /// Tells that the member at `index` was there as `before` and is there otherwise now: at once, since it is one event.
    pub(super) fn tell_changed(&self, stream: &Arc<Stream>, members: &mut Members, index: usize, before: PresenceMeta) {
        let key = &stream.key;
        members.flush(key);
        let now = &members.list[index];
        let before = Member { session: now.session.clone(), meta: before };
        let seen = |member: &Member| (!member.meta.hidden).then(|| member.presence(key.mode())).into_iter().collect();
        self.announce(key, members, seen(now), seen(&before), None);
    }

    fn gathers(&self, key: &StreamKey, members: &Members) -> bool {
        members.list.len() >= self.gathering.members && !self.gathering.wait.is_zero() && key.mode() != Mode::Status
    }

    /// Sees to it that what waits is told in time. Outside of a runtime nobody could, so it is told now.
    fn flush_later(&self, stream: &Arc<Stream>, members: &mut Members) {
        let Some(waiting) = &members.waiting else { return };
        if waiting.joins.len() + waiting.leaves.len() >= MOST_IN_ONE_EVENT {
            return members.flush(&stream.key);
        }
        if members.flusher {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return members.flush(&stream.key) };
        members.flusher = true;
        let (stream, wait) = (stream.clone(), self.gathering.wait);
        runtime.spawn(async move {
            tokio::time::sleep(wait).await;
            let mut members = stream.members.lock();
            members.flusher = false;
            members.flush(&stream.key);
        });
    }

    /// Tells who joined or left to those who are to know: the members, or, of a status, the followers and the user's own sessions.
    fn announce(
        &self,
        key: &StreamKey,
        members: &Members,
        joins: Vec<UserPresence>,
        leaves: Vec<UserPresence>,
        except: Option<Uuid>,
    ) {
        if key.mode() != Mode::Status {
            return members.tell(key, joins, leaves);
        }
        if joins.is_empty() && leaves.is_empty() {
            return;
        }
        let Some(event) = event::presence_event(key, joins, leaves) else { return };
        let mut delivery = Delivery::of(event);
        let own = self.registry.of_user(key.subject());
        let own = own.iter().filter(|session| session.tenant() == key.tenant() && Some(session.id()) != except);
        own.chain(&members.followers).for_each(|session| delivery.to(session));
    }
}
