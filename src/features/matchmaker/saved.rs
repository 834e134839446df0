//! Tickets as they outlive a restart (docs/resume.md): plain values, without what can be made anew.

use super::{Draft, Entry, Matchmaker, OfParty, Properties, Ticket, ticket::Counts};
use crate::identity::Tenant;
use std::collections::BTreeMap;
use uuid::Uuid;
use wincode::{SchemaRead, SchemaWrite};

/// A ticket.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct SavedTicket {
    /// Its id.
    pub id: Uuid,
    /// The wall that its holders are behind.
    pub tenant: Tenant,
    /// When it was added, in microseconds since 1970.
    pub created_micros: i64,
    /// Passes in which it has searched.
    pub passes: u32,
    /// Whether it no longer searches.
    pub is_passive: bool,
    /// For how many: at least, at most, and a multiple of what.
    pub counts: (u32, u32, u32),
    /// What the others must be like.
    pub query: String,
    /// What its holders are like: texts.
    pub strings: BTreeMap<String, String>,
    /// And numbers.
    pub numbers: BTreeMap<String, f64>,
    /// The party that holds it.
    pub party: Option<SavedParty>,
    /// Who holds it.
    pub entries: Vec<SavedEntry>,
}

/// The party of a ticket.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SavedParty {
    /// Which one.
    pub id: Uuid,
    /// Its id as members are shown it.
    pub text: String,
}

/// One holder of a ticket.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SavedEntry {
    /// The session.
    pub session_id: Uuid,
    /// Its user.
    pub user_id: Uuid,
    /// The user's name.
    pub username: String,
}

impl Matchmaker {
    /// Every ticket, oldest first. From now on none is added and none is matched: what is told here stays true.
    pub fn export(&self) -> Vec<SavedTicket> {
        let mut waiting = self.0.waiting.lock();
        waiting.close();
        let mut tickets: Vec<_> = waiting.tickets().cloned().collect();
        drop(waiting);
        tickets.sort_by_key(|ticket| ticket.order);
        tickets.iter().map(|ticket| saved(ticket)).collect()
    }

    /// Takes saved tickets up, before the first socket opens; answers how many. One whose sessions are not all among those that
    /// `is_kept` knows is left out, as is one that today's bounds refuse.
    pub fn import(&self, mut tickets: Vec<SavedTicket>, is_kept: impl Fn(Uuid) -> bool) -> usize {
        tickets.sort_by_key(|ticket| ticket.created_micros);
        let mut waiting = self.0.waiting.lock();
        let mut taken = 0;
        for saved in tickets {
            if !saved.entries.iter().all(|entry| is_kept(entry.session_id)) {
                continue;
            }
            let (id, passes, is_passive) = (saved.id, saved.passes, saved.is_passive);
            let Ok(ticket) = Ticket::new(id, saved.created_micros, draft(saved), &self.0.limits) else { continue };
            ticket.set_searched(passes, is_passive, false);
            taken += usize::from(waiting.find(id).is_none() && waiting.add(ticket).is_ok());
        }
        taken
    }
}

fn saved(ticket: &Ticket) -> SavedTicket {
    let Draft { tenant, entries, party, counts, query, properties } = &ticket.draft;
    let entry = |entry: &Entry| SavedEntry {
        session_id: entry.session_id,
        user_id: entry.user_id,
        username: entry.username.clone(),
    };
    SavedTicket {
        id: ticket.id,
        tenant: *tenant,
        created_micros: ticket.created_micros,
        passes: ticket.passes(),
        is_passive: ticket.is_passive(),
        counts: (counts.min, counts.max, counts.multiple),
        query: query.clone(),
        strings: properties.strings.clone(),
        numbers: properties.numbers.clone(),
        party: party.as_ref().map(|party| SavedParty { id: party.id, text: party.text.clone() }),
        entries: entries.iter().map(entry).collect(),
    }
}

fn draft(saved: SavedTicket) -> Draft {
    let (min, max, multiple) = saved.counts;
    let entry = |entry: SavedEntry| {
        let SavedEntry { session_id, user_id, username } = entry;
        Entry { session_id, user_id, username }
    };
    Draft {
        tenant: saved.tenant,
        entries: saved.entries.into_iter().map(entry).collect(),
        party: saved.party.map(|party| OfParty { id: party.id, text: party.text }),
        // A multiple of 0 would be a damaged file's; nothing divides by it.
        counts: Counts { min, max, multiple: multiple.max(1) },
        query: saved.query,
        properties: Properties { strings: saved.strings, numbers: saved.numbers },
    }
}
