//! Hearing of a stream without being in it: how a status reaches those who follow a user (spec/realtime-core.md 7).

use super::{JoinError, Rule, StreamKey, Streams, stream::Stream};
use crate::realtime::Session;
use kizuna_protocol::realtime::UserPresence;
use std::sync::Arc;

impl Streams {
    /// `session` hears of joins and leaves in the status streams of `keys` from now on, without being in them. `answer` is called
    /// with everybody who can be seen in them now, in the order of `keys`; what it queues comes before any event of them.
    ///
    /// # Errors
    /// The session would follow more than `most` streams, or is over; it follows no more than before then, and `answer` was not
    /// called.
    pub fn follow(
        &self,
        keys: &[StreamKey],
        most: usize,
        session: &Arc<Session>,
        answer: impl FnOnce(Vec<UserPresence>),
    ) -> Result<(), JoinError> {
        loop {
            let found: Result<Vec<_>, _> = keys.iter().map(|key| self.find_or_make(key, Rule::Create)).collect();
            let streams = found?;
            // Nobody else holds two of these locks, and these are taken in the order of their addresses: two who follow at the
            // same time cannot wait for each other.
            let mut order: Vec<usize> = (0..streams.len()).collect();
            order.sort_by_key(|&index| Arc::as_ptr(&streams[index]));
            order.dedup_by_key(|index| Arc::as_ptr(&streams[*index]));
            let mut locked: Vec<_> = order.into_iter().map(|index| (index, streams[index].members.lock())).collect();
            locked.sort_by_key(|(index, _)| *index);
            if locked.iter().any(|(_, members)| members.gone) {
                continue;
            }
            let new = match follow_each(&streams, locked.iter().map(|(index, _)| *index), most, session) {
                Ok(new) => new,
                Err(error) => {
                    locked.iter_mut().for_each(|(index, members)| self.tidy(&streams[*index], members));
                    return Err(error);
                }
            };
            for (_, members) in locked.iter_mut().filter(|(index, _)| new.contains(index)) {
                members.followers.push(session.clone());
                self.metrics.follows.inc();
            }
            let seen = locked.iter().flat_map(|(index, members)| members.seen(streams[*index].key.mode()));
            answer(seen.collect());
            return Ok(());
        }
    }

    /// `session` no longer hears of the stream. Not following it is fine.
    pub fn unfollow(&self, key: &StreamKey, session: &Session) {
        let stream = {
            let held = session.held().lock();
            held.followed.iter().find(|stream| stream.key == *key).cloned()
        };
        if let Some(stream) = stream {
            self.forget_follower(&stream, session);
        }
    }

    pub(super) fn forget_follower(&self, stream: &Arc<Stream>, session: &Session) {
        let mut members = stream.members.lock();
        session.held().lock().followed.retain(|other| !Arc::ptr_eq(other, stream));
        let Some(index) = members.followers.iter().position(|other| std::ptr::eq(&raw const **other, session)) else {
            return;
        };
        members.followers.swap_remove(index);
        self.metrics.follows.dec();
        self.tidy(stream, &mut members);
    }
}

/// Writes the streams at `indices` down as followed, all of them or none; answers those that are new.
fn follow_each(
    streams: &[Arc<Stream>],
    indices: impl Iterator<Item = usize>,
    most: usize,
    session: &Session,
) -> Result<Vec<usize>, JoinError> {
    let mut held = session.held().lock();
    if held.closed {
        return Err(JoinError::Closed);
    }
    let known = |index: &usize| held.followed.iter().any(|other| Arc::ptr_eq(other, &streams[*index]));
    let new: Vec<usize> = indices.filter(|index| !known(index)).collect();
    if held.followed.len() + new.len() > most {
        return Err(JoinError::TooMany);
    }
    held.followed.extend(new.iter().map(|&index| streams[index].clone()));
    Ok(new)
}
