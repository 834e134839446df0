//! Streams as a whole, for a snapshot.

use super::{Member, PresenceMeta, StreamKey, Streams, holdings::Quotas, stream::Stream};
use crate::realtime::Session;
use dashmap::mapref::entry::Entry;
use std::sync::Arc;

/// No quota: what was let in once is not judged again.
const ANY: Quotas = Quotas { matches: usize::MAX, parties: usize::MAX, streams: usize::MAX };

/// A stream with everybody in it.
#[derive(Debug)]
pub(in crate::realtime) struct Place {
    pub(in crate::realtime) key: StreamKey,
    /// In the order in which they came.
    pub(in crate::realtime) members: Vec<(Arc<Session>, PresenceMeta)>,
    pub(in crate::realtime) followers: Vec<Arc<Session>>,
}

impl Streams {
    /// Every stream. What waits to be told of it is told.
    pub(in crate::realtime) fn places(&self) -> Vec<Place> {
        let all = self.matches.iter().chain(self.others.iter());
        let streams: Vec<Arc<Stream>> = all.map(|entry| entry.value().clone()).collect();
        let place = |stream: &Arc<Stream>| {
            let mut members = stream.members.lock();
            members.flush(&stream.key);
            let list = members.list.iter().map(|member| (member.session.clone(), member.meta.clone())).collect();
            Place { key: stream.key.clone(), members: list, followers: members.followers.clone() }
        };
        streams.iter().map(place).collect()
    }

    /// Makes a stream as it was, and tells nobody. Who is in it already, or over, is left out.
    pub(in crate::realtime) fn restore(&self, place: Place) {
        let Place { key, members, followers } = place;
        if members.is_empty() && followers.is_empty() {
            return;
        }
        let Entry::Vacant(entry) = self.of_mode(key.mode()).entry(key.clone()) else { return };
        let stream = entry.insert(Stream::new(key)).clone();
        self.metrics.streams.inc();
        let mut list = stream.members.lock();
        for (session, meta) in members {
            let mut held = session.held().lock();
            if held.closed || held.is_in(&stream) {
                continue;
            }
            held.joined.push(stream.clone());
            drop(held);
            session.holdings().take(stream.key.mode(), ANY);
            list.list.push(Member { session, meta });
        }
        for session in followers {
            let mut held = session.held().lock();
            if held.closed || held.followed.iter().any(|other| Arc::ptr_eq(other, &stream)) {
                continue;
            }
            held.followed.push(stream.clone());
            drop(held);
            list.followers.push(session);
            self.metrics.follows.inc();
        }
        let count = i64::try_from(list.list.len()).unwrap_or(i64::MAX);
        self.resized(&stream, &list, count);
        self.tidy(&stream, &mut list);
    }
}
