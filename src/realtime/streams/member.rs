//! A session's place in a stream, and its streams as the session holds them.

use super::{Mode, StreamKey, stream::Stream};
use crate::realtime::Session;
use kizuna_protocol::realtime::UserPresence;
use std::sync::Arc;

/// How a session is in a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PresenceMeta {
    /// It hears everything and counts, but nobody is told of it.
    pub hidden: bool,
    /// What it sends is kept; chat asks.
    pub persistence: bool,
    /// Its status text, in streams of [`Mode::Status`].
    pub status: Option<Arc<str>>,
}

/// A session in a stream.
#[derive(Clone, Debug)]
pub struct Member {
    /// The session.
    pub session: Arc<Session>,
    /// How it is there.
    pub meta: PresenceMeta,
}

impl Member {
    /// The presence as others see it in a stream of kind `mode`: only a status shows its text.
    pub(super) fn presence(&self, mode: Mode) -> UserPresence {
        let status = self.meta.status.as_deref().filter(|_| mode == Mode::Status).map(str::to_owned);
        UserPresence { persistence: self.meta.persistence, status, ..self.session.presence().clone() }
    }
}

/// What a session is in. Guarded by a lock of the session, which is taken after a stream's, never before.
#[derive(Debug, Default)]
pub(in crate::realtime) struct Held {
    /// The streams that it is a member of.
    pub(super) joined: Vec<Arc<Stream>>,
    /// The streams whose events it hears without being in them.
    pub(super) followed: Vec<Arc<Stream>>,
    /// The session is over and joins nothing more.
    pub(super) closed: bool,
}

impl Held {
    pub(super) fn is_in(&self, stream: &Arc<Stream>) -> bool {
        self.joined.iter().any(|other| Arc::ptr_eq(other, stream))
    }

    pub(super) fn find(&self, key: &StreamKey) -> Option<&Arc<Stream>> {
        self.joined.iter().find(|stream| stream.key == *key)
    }

    pub(super) fn forget(&mut self, stream: &Arc<Stream>) {
        self.joined.retain(|other| !Arc::ptr_eq(other, stream));
    }

    /// How many of a kind; all of a program's own are one kind, whatever their modes.
    pub(super) fn count_of_kind(&self, mode: Mode) -> usize {
        let kind = std::mem::discriminant(&mode);
        self.joined.iter().filter(|stream| std::mem::discriminant(&stream.key.mode()) == kind).count()
    }

    pub(super) fn of_mode(&self, mode: Mode) -> impl Iterator<Item = &Arc<Stream>> {
        self.joined.iter().filter(move |stream| stream.key.mode() == mode)
    }
}
