//! One stream: its members, in the order in which they came, and those who follow it.

use super::{Member, StreamKey};
use crate::realtime::Session;
use kizuna_protocol::realtime::UserPresence;
use parking_lot::Mutex;
use std::sync::{Arc, atomic::AtomicUsize};
use uuid::Uuid;

/// One stream; it exists as long as it has members or followers.
#[derive(Debug)]
pub(in crate::realtime) struct Stream {
    pub(super) key: StreamKey,
    /// Guards the members and the order of what they are told. Order of locks: this one, then a session's list of streams or a
    /// shard of the map; nobody takes it while holding one of those.
    pub(super) members: Mutex<Members>,
    /// How many members there are, for listings, which take no lock.
    pub(super) size: AtomicUsize,
}

#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) list: Vec<Member>,
    /// Sessions that are told of joins and leaves without being members.
    pub(super) followers: Vec<Arc<Session>>,
    /// Nobody is left and the stream is out of the map: whoever still holds it has to look again.
    pub(super) gone: bool,
}

impl Stream {
    pub(super) fn new(key: StreamKey) -> Arc<Self> {
        Arc::new(Self { key, members: Mutex::default(), size: AtomicUsize::new(0) })
    }
}

impl Members {
    pub(super) fn position(&self, session: &Session) -> Option<usize> {
        self.list.iter().position(|member| member.session.id() == session.id())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty() && self.followers.is_empty()
    }
}

/// What a join found, while nobody else can change it.
#[derive(Debug)]
pub struct Joined<'a> {
    /// The session was not a member before.
    pub new: bool,
    pub(super) key: &'a StreamKey,
    pub(super) members: &'a [Member],
    pub(super) own: Uuid,
}

impl Joined<'_> {
    /// Everybody who can be seen in the stream, in the order in which they came, the session itself included.
    pub fn everybody(&self) -> Vec<UserPresence> {
        self.seen().map(|member| member.presence(self.key.mode())).collect()
    }

    /// The same without the session itself.
    pub fn others(&self) -> Vec<UserPresence> {
        let others = self.seen().filter(|member| member.session.id() != self.own);
        others.map(|member| member.presence(self.key.mode())).collect()
    }

    fn seen(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| !member.meta.hidden || member.session.id() == self.own)
    }
}
