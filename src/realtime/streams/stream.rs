//! One stream: its members, in the order in which they came, and those who follow it.

use super::{Member, Mode, StreamKey, tell::Waiting};
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
    /// shard of the map; nobody takes it while holding one of those. While it is free, whoever is a member has the stream in his
    /// list, unless his session is over.
    pub(super) members: Mutex<Members>,
    /// How many members there are, for listings, which take no lock.
    pub(super) size: AtomicUsize,
}

#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) list: Vec<Member>,
    /// Sessions that are told of joins and leaves without being members.
    pub(super) followers: Vec<Arc<Session>>,
    /// Joins and leaves that the members are to be told of; never without any.
    pub(super) waiting: Option<Box<Waiting>>,
    /// A task is under way that will tell what waits.
    pub(super) flusher: bool,
    /// Nobody is left and the stream is out of the map: whoever still holds it has to look again.
    pub(super) gone: bool,
}

impl Stream {
    pub(super) fn new(key: StreamKey) -> Arc<Self> {
        Arc::new(Self { key, members: Mutex::default(), size: AtomicUsize::new(0) })
    }
}

impl Members {
    /// Where `session` is. By address, so that a long list is not a walk through all of memory.
    pub(super) fn position(&self, session: &Session) -> Option<usize> {
        self.list.iter().position(|member| std::ptr::eq(Arc::as_ptr(&member.session), session))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty() && self.followers.is_empty()
    }

    /// Everybody who is not hidden.
    pub(super) fn seen(&self, mode: Mode) -> impl Iterator<Item = UserPresence> {
        self.list.iter().filter(|member| !member.meta.hidden).map(move |member| member.presence(mode))
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
