//! The tickets that wait, as sockets see them: added and removed at any time, also while a pass runs over what it knows of them.

use super::ticket::{AddError, Ticket};
use crate::{identity::Tenant, telemetry::Metrics};
use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    sync::Arc,
};
use uuid::Uuid;

/// Who may have how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Tickets that one session holds, and again one party.
    pub(super) tickets: usize,
    /// Tickets of everybody.
    pub(super) pool: usize,
}

/// What the pass has not heard of yet.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Added(Arc<Ticket>),
    Removed(Arc<Ticket>),
}

/// Tickets by every name that they are asked for by. All maps agree whenever the lock around this is free.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Oldest first.
    by_tenant: HashMap<Tenant, BTreeMap<u64, Arc<Ticket>>>,
    by_id: HashMap<Uuid, Arc<Ticket>>,
    by_session: HashMap<Uuid, Vec<Arc<Ticket>>>,
    by_party: HashMap<(Tenant, Uuid), Vec<Arc<Ticket>>>,
    /// At most one change a ticket, so no more than tickets here and tickets that the pass knows.
    changes: BTreeMap<u64, Change>,
    next_order: u64,
    is_closed: bool,
    bounds: Bounds,
    metrics: Metrics,
}

impl Waiting {
    pub(super) fn new(bounds: Bounds, metrics: Metrics) -> Self {
        Self {
            by_tenant: HashMap::new(),
            by_id: HashMap::new(),
            by_session: HashMap::new(),
            by_party: HashMap::new(),
            changes: BTreeMap::new(),
            next_order: 0,
            is_closed: false,
            bounds,
            metrics,
        }
    }

    /// Takes a ticket in, at the end of the line.
    pub(super) fn add(&mut self, ticket: Ticket) -> Result<(), AddError> {
        if self.is_closed {
            return Err(AddError::Stopping);
        }
        let held = |tickets: Option<&Vec<Arc<Ticket>>>| tickets.map_or(0, Vec::len);
        let of_party = party_of(&ticket).map(|party| held(self.by_party.get(&party)));
        let most = ticket.sessions().map(|session| held(self.by_session.get(&session))).chain(of_party).max();
        if most.unwrap_or(0) >= self.bounds.tickets || self.by_id.len() >= self.bounds.pool {
            return Err(AddError::TooMany);
        }
        self.index(&Arc::new(ticket.with_order(self.next_order)));
        self.next_order += 1;
        Ok(())
    }

    fn index(&mut self, ticket: &Arc<Ticket>) {
        self.by_id.insert(ticket.id, ticket.clone());
        for session in ticket.sessions() {
            self.by_session.entry(session).or_default().push(ticket.clone());
        }
        if let Some(party) = party_of(ticket) {
            self.by_party.entry(party).or_default().push(ticket.clone());
        }
        self.by_tenant.entry(ticket.draft.tenant).or_default().insert(ticket.order, ticket.clone());
        self.changes.insert(ticket.order, Change::Added(ticket.clone()));
        self.metrics.matchmaker_tickets.inc();
    }

    /// The ticket of this id.
    pub(super) fn find(&self, id: Uuid) -> Option<&Arc<Ticket>> {
        self.by_id.get(&id)
    }

    pub(super) fn contains(&self, ticket: &Ticket) -> bool {
        self.by_id.contains_key(&ticket.id)
    }

    /// Lets a ticket go; the pass hears of it.
    pub(super) fn remove(&mut self, ticket: &Arc<Ticket>) {
        if self.take(ticket) && !matches!(self.changes.remove(&ticket.order), Some(Change::Added(_))) {
            self.changes.insert(ticket.order, Change::Removed(ticket.clone()));
        }
    }

    /// Takes the tickets of a match out, which the pass has done on its side. If one of them is gone by now, none is taken.
    pub(super) fn take_all(&mut self, tickets: &[Arc<Ticket>]) -> bool {
        if self.is_closed || !tickets.iter().all(|ticket| self.contains(ticket)) {
            return false;
        }
        for ticket in tickets {
            self.take(ticket);
        }
        true
    }

    fn take(&mut self, ticket: &Arc<Ticket>) -> bool {
        if self.by_id.remove(&ticket.id).is_none() {
            return false;
        }
        for session in ticket.sessions() {
            take_out(&mut self.by_session, &session, ticket);
        }
        if let Some(party) = party_of(ticket) {
            take_out(&mut self.by_party, &party, ticket);
        }
        if let Some(tickets) = self.by_tenant.get_mut(&ticket.draft.tenant) {
            tickets.remove(&ticket.order);
            if tickets.is_empty() {
                self.by_tenant.remove(&ticket.draft.tenant);
            }
        }
        self.metrics.matchmaker_tickets.dec();
        true
    }

    /// Lets every ticket go that a session is part of.
    pub(super) fn remove_of_session(&mut self, session: Uuid) {
        let tickets = self.by_session.get(&session).cloned().unwrap_or_default();
        tickets.iter().for_each(|ticket| self.remove(ticket));
    }

    /// Lets every ticket of a party go.
    pub(super) fn remove_of_party(&mut self, tenant: Tenant, party: Uuid) {
        let tickets = self.by_party.get(&(tenant, party)).cloned().unwrap_or_default();
        tickets.iter().for_each(|ticket| self.remove(ticket));
    }

    /// What has changed since this was asked last, in the order in which the tickets came.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes).into_values().collect()
    }

    /// Every ticket is new to a pass that has lost what it knew.
    pub(super) fn tell_everything(&mut self) {
        self.changes = self.by_id.values().map(|ticket| (ticket.order, Change::Added(ticket.clone()))).collect();
    }

    /// From now on nothing is taken in, and nothing is matched.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Every ticket.
    pub(super) fn tickets(&self) -> impl Iterator<Item = &Arc<Ticket>> {
        self.by_tenant.values().flat_map(BTreeMap::values)
    }

    /// Of each tenant how many tickets there are, and when the oldest was made, in microseconds since 1970.
    pub(super) fn census(&self) -> HashMap<Tenant, (usize, i64)> {
        let oldest =
            |tickets: &BTreeMap<u64, Arc<Ticket>>| tickets.values().next().map_or(0, |first| first.created_micros);
        self.by_tenant.iter().map(|(tenant, tickets)| (*tenant, (tickets.len(), oldest(tickets)))).collect()
    }

    /// The first of a tenant's tickets, oldest first, and how many there are.
    pub(super) fn of_tenant(&self, tenant: Tenant, first: usize) -> (Vec<Arc<Ticket>>, usize) {
        let Some(tickets) = self.by_tenant.get(&tenant) else { return (Vec::new(), 0) };
        (tickets.values().take(first).cloned().collect(), tickets.len())
    }
}

fn party_of(ticket: &Ticket) -> Option<(Tenant, Uuid)> {
    ticket.draft.party.as_ref().map(|party| (ticket.draft.tenant, party.id))
}

fn take_out<K: Eq + Hash>(map: &mut HashMap<K, Vec<Arc<Ticket>>>, key: &K, ticket: &Ticket) {
    if let Some(tickets) = map.get_mut(key) {
        tickets.retain(|other| other.order != ticket.order);
        if tickets.is_empty() {
            map.remove(key);
        }
    }
}
