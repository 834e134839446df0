//! The matchmaker: tickets that wait for others (spec/matchmaker.md, docs/matchmaker.md).
//!
//! What sockets add and remove stands in `waiting.rs`, behind one short lock. The pass works on a copy of its own (`pool.rs`), which
//! it brings up to date when it begins; so nobody waits for it. What it has matched counts only if all of it still waits then.

mod groups;
mod matched;
mod pool;
mod run;
mod saved;
mod shapes;
mod stats;
mod subset;
mod ticket;
mod waiting;
mod why;

#[cfg(test)]
mod pool_tests;
#[cfg(test)]
mod tests;

use super::Services;
use crate::{
    config::Config,
    identity::Tenant,
    realtime::{Delivery, Session},
    search::Expressions,
    telemetry::Metrics,
};
use kizuna_protocol::{
    code::RealtimeCode,
    realtime::{MatchmakerAdd, MatchmakerRemove, MatchmakerTicket, envelope::Message as Body},
};
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64},
};
use uuid::Uuid;

pub use pool::{Outcome, Pool, Rules, Watch};
pub use run::run;
pub use saved::{SavedEntry, SavedParty, SavedTicket};
pub use stats::stats;
pub(in crate::features) use ticket::check_counts;
pub use ticket::{AddError, Counts, Draft, Entry, OfParty, Properties, Ticket, TicketLimits};
pub use why::why;

/// The pool of tickets. Clones share it.
#[derive(Clone, Debug)]
pub struct Matchmaker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: TicketLimits,
    rules: Rules,
    /// Guards all tickets that wait; held for one addition, removal or question.
    waiting: Mutex<waiting::Waiting>,
    /// Guards what the pass knows; held for a whole pass, and by nothing else.
    pool: Mutex<Pool>,
    stats: Mutex<stats::Stats>,
    /// Whether somebody is being told why a ticket waits: one at a time.
    explains: AtomicBool,
    /// When the next pass begins; 0 before the first is planned.
    next_pass_unix_ms: AtomicI64,
}

impl Matchmaker {
    /// An empty pool.
    pub fn new(config: &Config, metrics: Metrics) -> Self {
        let settings = &config.matchmaker;
        let rules = Rules {
            max_intervals: settings.max_intervals,
            mutual: settings.rev_precision,
            largest: settings.max_users,
            steps: settings.max_steps,
        };
        let bounds = waiting::Bounds { tickets: settings.max_tickets, pool: settings.max_pool };
        Self(Arc::new(Shared {
            limits: TicketLimits {
                query_bytes: settings.max_query_bytes,
                properties: settings.max_properties,
                expressions: Expressions::at_most(settings.max_expressions),
            },
            rules,
            waiting: Mutex::new(waiting::Waiting::new(bounds, metrics)),
            pool: Mutex::new(Pool::new(rules)),
            stats: Mutex::default(),
            explains: AtomicBool::new(false),
            next_pass_unix_ms: AtomicI64::new(0),
        }))
    }

    fn stats(&self) -> &Mutex<stats::Stats> {
        &self.0.stats
    }

    /// Takes a ticket in. `announce` runs before anybody can be matched with it, so that what it sends comes before the match.
    fn add(&self, services: &Services, draft: Draft, announce: impl FnOnce(&str)) -> Result<String, AddError> {
        let ticket = Ticket::new(services.entropy.uuid(), services.clock.unix_micros(), draft, &self.0.limits)?;
        let id = ticket.id.to_string();
        let mut waiting = self.0.waiting.lock();
        waiting.add(ticket)?;
        announce(&id);
        Ok(id)
    }
}

/// `matchmaker_add`.
pub(crate) fn add(services: &Services, session: &Arc<Session>, cid: String, request: MatchmakerAdd) {
    let MatchmakerAdd { min_count, max_count, query, string_properties, numeric_properties, count_multiple } = request;
    let counts = match check_counts(min_count, max_count, count_multiple) {
        Ok(counts) => counts,
        Err(text) => return session.answer_error(cid, RealtimeCode::BadInput, text),
    };
    let draft = Draft {
        tenant: session.tenant(),
        entries: vec![Entry::of(session)],
        party: None,
        counts,
        query,
        properties: Properties { strings: string_properties, numbers: numeric_properties },
    };
    let mut cid = Some(cid);
    let added = services.matchmaker.add(services, draft, |ticket| {
        let answer = Body::MatchmakerTicket(MatchmakerTicket { ticket: ticket.to_owned() });
        Delivery::answer(cid.take().unwrap_or_default(), Some(answer)).to(session);
    });
    if let Err(reason) = added {
        tracing::debug!(%reason, "a ticket is refused");
        let cid = cid.unwrap_or_default();
        session.answer_error(cid, RealtimeCode::RuntimeException, "Error adding to matchmaker");
    }
}

/// `matchmaker_remove`: only what the session added by itself; a party's ticket is the party's.
pub(crate) fn remove(services: &Services, session: &Arc<Session>, cid: String, request: &MatchmakerRemove) {
    if request.ticket.is_empty() {
        return session.answer_error(cid, RealtimeCode::BadInput, "Invalid matchmaker ticket");
    }
    let is_own =
        |ticket: &Ticket| ticket.draft.party.is_none() && ticket.sessions().any(|holder| holder == session.id());
    if services.matchmaker.remove_where(&request.ticket, is_own) {
        Delivery::answer(cid, None).to(session);
    } else {
        session.answer_error(cid, RealtimeCode::BadInput, "Matchmaker ticket not found");
    }
}

/// A socket is gone: every ticket that its session is part of leaves the pool, parties' tickets too. Nobody is told.
pub(super) fn closed(services: &Services, session: &Arc<Session>) {
    services.matchmaker.0.waiting.lock().remove_of_session(session.id());
}

/// A party's ticket.
#[derive(Debug)]
pub(super) struct PartyTicket {
    /// The party.
    pub(super) party: OfParty,
    /// The wall that it is behind.
    pub(super) tenant: Tenant,
    /// All who are in it now.
    pub(super) members: Vec<Arc<Session>>,
    /// For how many; by [`check_counts`].
    pub(super) counts: Counts,
    /// What the others must be like.
    pub(super) query: String,
    /// What the leader says of all members.
    pub(super) properties: Properties,
}

/// Adds a party's ticket, and answers its id. `announce` is given the id before anybody can be matched with it, so that what it sends
/// comes before the match; it runs under the matchmaker's lock and must not come back here.
///
/// # Errors
/// Why not; the text of each is the reason that spec/matchmaker.md 5 gives.
pub(super) fn add_party(
    services: &Services,
    ticket: PartyTicket,
    announce: impl FnOnce(&str),
) -> Result<String, AddError> {
    let PartyTicket { party, tenant, members, counts, query, properties } = ticket;
    let entries = members.iter().map(|member| Entry::of(member)).collect();
    services.matchmaker.add(
        services,
        Draft { tenant, entries, party: Some(party), counts, query, properties },
        announce,
    )
}

/// Lets one ticket of a party go. `false`: the party has no such ticket.
pub(super) fn remove_party_ticket(services: &Services, tenant: Tenant, party: Uuid, ticket: &str) -> bool {
    let is_its = |held: &Ticket| {
        held.draft.tenant == tenant && held.draft.party.as_ref().is_some_and(|holder| holder.id == party)
    };
    services.matchmaker.remove_where(ticket, is_its)
}

/// Lets every ticket of a party go: who is in it has changed, or it has ended. Nobody is told.
pub(super) fn remove_party_tickets(services: &Services, tenant: Tenant, party: Uuid) {
    services.matchmaker.0.waiting.lock().remove_of_party(tenant, party);
}

impl Matchmaker {
    /// Lets the ticket of this id go if `is_fit` says so of it. Ids are compared as they were given out.
    fn remove_where(&self, id: &str, is_fit: impl FnOnce(&Ticket) -> bool) -> bool {
        let Some(parsed) = Uuid::try_parse(id).ok().filter(|parsed| parsed.to_string() == id) else { return false };
        let mut waiting = self.0.waiting.lock();
        let Some(ticket) = waiting.find(parsed).filter(|ticket| is_fit(ticket)).cloned() else { return false };
        waiting.remove(&ticket);
        true
    }
}

impl Entry {
    fn of(session: &Session) -> Self {
        Self { session_id: session.id(), user_id: session.user_id(), username: session.presence().username.clone() }
    }
}
