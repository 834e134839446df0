//! Data to those who are in a stream. What waits of joins and leaves is told first.

use super::{Member, StreamKey, Streams};
use crate::realtime::{Delivery, Session};
use uuid::Uuid;

impl Streams {
    /// Sends `delivery` from a member to the others, or to those of `only` who are members; the sender may be among them.
    /// Answers whether the sender is a member; from one who is not nothing is sent (spec/realtime-core.md 8.4).
    pub fn send(&self, key: &StreamKey, from: &Session, only: Option<&[Uuid]>, mut delivery: Delivery) -> bool {
        let Some(stream) = from.held().lock().find(key).cloned() else { return false };
        let mut members = stream.members.lock();
        // Taken out by somebody else a moment ago: the others have been told that it left.
        if members.position(from).is_none() {
            return false;
        }
        members.flush(key);
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
        let mut members = stream.members.lock();
        members.flush(key);
        let receivers = members.list.iter().filter(|member| Some(member.session.id()) != except);
        let sent = receivers.map(|member| delivery.to(&member.session)).count();
        drop(members);
        self.metrics.messages_sent.inc_by(sent as u64);
        sent
    }

    /// Sends `delivery` from the server to the sessions `only` of the stream's tenant, whether they are members or not; answers
    /// how many there are. With nobody in the stream nothing is sent, since there is no stream.
    pub fn broadcast_to(&self, key: &StreamKey, only: &[Uuid], mut delivery: Delivery) -> usize {
        let Some(stream) = self.find(key) else { return 0 };
        let mut members = stream.members.lock();
        members.flush(key);
        let sessions = only.iter().filter_map(|id| self.registry.by_id(*id));
        let sent = sessions.filter(|other| other.tenant() == key.tenant()).map(|other| delivery.to(&other)).count();
        drop(members);
        self.metrics.messages_sent.inc_by(sent as u64);
        sent
    }
}
