//! Parties: sessions that stay together, led by one of them (spec/parties.md).
//!
//! A party is a record and a stream. The stream (of [`Mode::Party`]) holds the members in the order in which they came, and tells
//! them who comes and goes; the record says who leads, what the party shows of itself, and who asks to be let in. Every operation
//! but data holds the record's lock from its look at the party to the last message about what it did, so all members see one order.

mod label;
mod leading;
mod listing;
mod membership;
mod party;
mod refusal;
mod searching;
mod snapshot;
#[cfg(test)]
mod tests;

pub(crate) use leading::{accept, close, join_request_list, promote, remove, update};
pub use listing::list_parties;
pub(crate) use membership::{create, join, leave, send};
pub(crate) use searching::{matchmaker_add, matchmaker_remove};
pub use snapshot::{PartyPresence, PartySnapshot};

use super::Services;
use crate::{
    identity::Tenant,
    realtime::{Mode, Session, StreamKey},
    telemetry::Metrics,
};
use dashmap::DashMap;
use kizuna_protocol::id::parse_uuid;
use listing::Listing;
use party::{Party, Record};
use std::sync::Arc;

/// All parties. Clones share them.
#[derive(Clone, Debug)]
pub struct Parties(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// By the party's stream, and so by tenant. No guard of a shard is held while a party's lock is taken.
    by_key: DashMap<StreamKey, Arc<Party>>,
    listing: Listing,
    metrics: Metrics,
}

impl Parties {
    /// No parties yet.
    pub fn new(metrics: Metrics) -> Self {
        Self(Arc::new(Inner { by_key: DashMap::new(), listing: Listing::new(), metrics }))
    }

    fn find(&self, key: &StreamKey) -> Option<Arc<Party>> {
        self.0.by_key.get(key).map(|party| party.clone())
    }

    fn insert(&self, party: &Arc<Party>) {
        if self.0.by_key.insert(party.key.clone(), party.clone()).is_none() {
            self.0.metrics.parties.inc();
        }
    }

    fn remove(&self, party: &Party) {
        if self.0.by_key.remove(&party.key).is_some() {
            self.0.metrics.parties.dec();
        }
    }

    fn listing(&self) -> &Listing {
        &self.0.listing
    }

    /// Lists a party as `record` says that it is; called with the party's lock held.
    fn list(&self, party: &Party, record: &Record) {
        self.0.listing.update(party, record);
    }

    fn all(&self) -> Vec<Arc<Party>> {
        self.0.by_key.iter().map(|entry| entry.value().clone()).collect()
    }
}

/// The stream of the party that a client names, `<uuid>.<node>`, as it is for its tenant. The node is compared as it stands: that
/// of another makes the key of a party that is not here. `None`: this is no party's id (spec/parties.md 1).
fn key_of(tenant: Tenant, party_id: &str) -> Option<StreamKey> {
    let (id, node) = party_id.split_once('.')?;
    let id = parse_uuid(id)?;
    (!node.is_empty()).then(|| StreamKey::new(tenant, Mode::Party, id).with_label(node))
}

/// A socket is gone: its session leaves its parties.
pub(super) fn closed(services: &Services, session: &Arc<Session>) {
    for key in services.realtime.streams().of_session(session, Mode::Party) {
        membership::leave_party(services, session, &key);
    }
}
