//! One ticket: who searches together, for how many, for whom.

use crate::{
    identity::Tenant,
    search::{Document, Expressions, Query, QueryError, QueryFault, Steps},
};
use kizuna_protocol::realtime::{UserPresence, matchmaker_matched::MatchmakerUser};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
};
use uuid::Uuid;

/// How many users a match may have that a ticket is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Counts {
    /// At least so many, 2 or more.
    pub min: u32,
    /// At most so many, and so many as long as the ticket insists.
    pub max: u32,
    /// And a multiple of this; it divides both.
    pub multiple: u32,
}

/// Judges the counts of a request (spec/matchmaker.md 3), those of a party's too.
///
/// # Errors
/// The text that the client is answered with code 3.
pub(in crate::features) fn check_counts(min: i32, max: i32, multiple: Option<i32>) -> Result<Counts, &'static str> {
    let number = |value: i32, least: u32| u32::try_from(value).ok().filter(|value| *value >= least);
    let min = number(min, 2).ok_or("Invalid minimum count, must be >= 2")?;
    let max = number(max, min).ok_or("Invalid maximum count, must be >= minimum count")?;
    let multiple = number(multiple.unwrap_or(1), 1).ok_or("Invalid count multiple, must be >= 1")?;
    if min % multiple != 0 {
        return Err("Invalid count multiple for minimum count, must divide");
    }
    if max % multiple != 0 {
        return Err("Invalid count multiple for maximum count, must divide");
    }
    Ok(Counts { min, max, multiple })
}

/// What a ticket says of those who hold it; the queries of others look at it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties {
    /// Texts.
    pub strings: BTreeMap<String, String>,
    /// Numbers; of one name in both, the number is the one that is found.
    pub numbers: BTreeMap<String, f64>,
}

impl Properties {
    fn len(&self) -> usize {
        self.strings.len() + self.numbers.len()
    }
}

/// One of those who hold a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The session; it is told of the match.
    pub session_id: Uuid,
    /// Its user.
    pub user_id: Uuid,
    /// The name that the others see.
    pub username: String,
}

/// The party that holds a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfParty {
    /// Which one.
    pub id: Uuid,
    /// Its id as members are shown it.
    pub text: String,
}

/// A ticket that has not been taken in.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The wall that its holders are behind.
    pub tenant: Tenant,
    /// Who holds it: one session, or the members of a party.
    pub entries: Vec<Entry>,
    /// The party.
    pub party: Option<OfParty>,
    /// For how many.
    pub counts: Counts,
    /// What the others must be like (spec/matchmaker.md 8); empty: anything.
    pub query: String,
    /// What its holders are like.
    pub properties: Properties,
}

/// Why a ticket is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// The query does not parse, or is longer than `matchmaker.max_query_bytes`.
    #[error("matchmaker query invalid")]
    Query,
    /// A session or the party has `matchmaker.max_tickets` already, or the pool `matchmaker.max_pool`.
    #[error("matchmaker too many tickets")]
    TooMany,
    /// More properties than `matchmaker.max_properties`.
    #[error("matchmaker too many properties")]
    Properties,
    /// A regular expression that no other ticket has, and all tickets have `matchmaker.max_expressions` different ones already.
    #[error("matchmaker too many expressions")]
    Expressions,
    /// One session holds it twice.
    #[error("matchmaker duplicate session")]
    DuplicateSession,
    /// The server stops.
    #[error("matchmaker not available")]
    Stopping,
}

/// The bounds of one ticket.
#[derive(Clone, Debug)]
pub struct TicketLimits {
    /// Bytes of its query.
    pub query_bytes: usize,
    /// Properties, over both kinds.
    pub properties: usize,
    /// The regular expressions of all tickets.
    pub expressions: Expressions,
}

/// A ticket in the pool.
#[derive(Debug)]
pub struct Ticket {
    pub(super) id: Uuid,
    /// Its place in line: of two tickets, the one with the lower number came first.
    pub(super) order: u64,
    pub(super) created_micros: i64,
    pub(super) draft: Draft,
    pub(super) query: Query,
    pub(super) document: Document,
    /// Passes in which it has searched.
    searched: AtomicU32,
}

/// Of [`Ticket::searched`]: the ticket does not search any more.
const PASSIVE: u32 = 1 << 31;
/// It could not search to the end in the last pass.
const CUT_SHORT: u32 = 1 << 30;

impl Ticket {
    /// The ticket that a draft becomes.
    ///
    /// # Errors
    /// What is wrong with the draft itself.
    pub fn new(id: Uuid, created_micros: i64, draft: Draft, limits: &TicketLimits) -> Result<Self, AddError> {
        if draft.query.len() > limits.query_bytes {
            return Err(AddError::Query);
        }
        if draft.properties.len() > limits.properties {
            return Err(AddError::Properties);
        }
        let query =
            Query::parse_to_hold(&draft.query, &limits.expressions).map_err(|QueryError { fault, .. }| {
                if fault == QueryFault::Expressions { AddError::Expressions } else { AddError::Query }
            })?;
        let is_twice = |(at, entry): (usize, &Entry)| {
            draft.entries[..at].iter().any(|earlier| earlier.session_id == entry.session_id)
        };
        if draft.entries.iter().enumerate().any(is_twice) {
            return Err(AddError::DuplicateSession);
        }
        let document = document(id, created_micros, &draft);
        Ok(Self { id, order: 0, created_micros, draft, query, document, searched: AtomicU32::new(0) })
    }

    /// Its place in line.
    #[must_use]
    pub fn with_order(self, order: u64) -> Self {
        Self { order, ..self }
    }

    /// Users who hold it.
    pub(super) fn size(&self) -> u32 {
        u32::try_from(self.draft.entries.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn counts(&self) -> Counts {
        self.draft.counts
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = Uuid> {
        self.draft.entries.iter().map(|entry| entry.session_id)
    }

    pub(super) fn shares_session(&self, other: &Self) -> bool {
        self.sessions().any(|session| other.sessions().any(|theirs| theirs == session))
    }

    /// Whether its query takes another ticket; takes from `steps` what it costs to know.
    pub(super) fn accepts(&self, other: &Self, steps: &Steps) -> bool {
        self.query.score_within(&other.document, steps).is_some()
    }

    /// Passes in which it has searched.
    pub(super) fn passes(&self) -> u32 {
        self.searched.load(Ordering::Relaxed) & !(PASSIVE | CUT_SHORT)
    }

    /// Whether it only waits to be found.
    pub(super) fn is_passive(&self) -> bool {
        self.searched.load(Ordering::Relaxed) & PASSIVE != 0
    }

    /// Whether it could not search to the end in the last pass.
    pub(super) fn was_cut_short(&self) -> bool {
        self.searched.load(Ordering::Relaxed) & CUT_SHORT != 0
    }

    /// Only the pass writes this, so it need not be one step.
    pub(super) fn set_searched(&self, passes: u32, is_passive: bool, is_cut_short: bool) {
        let flag = |flag: u32, is_set: bool| if is_set { flag } else { 0 };
        let flags = flag(PASSIVE, is_passive) | flag(CUT_SHORT, is_cut_short);
        self.searched.store(passes.min(CUT_SHORT - 1) | flags, Ordering::Relaxed);
    }

    /// Its holders as those who are matched see them.
    pub(super) fn users(&self) -> impl Iterator<Item = (Uuid, MatchmakerUser)> {
        let party_id = self.draft.party.as_ref().map(|party| party.text.clone()).unwrap_or_default();
        self.draft.entries.iter().map(move |entry| {
            let presence = UserPresence {
                user_id: entry.user_id.to_string(),
                session_id: entry.session_id.to_string(),
                username: entry.username.clone(),
                ..UserPresence::default()
            };
            let user = MatchmakerUser {
                presence: Some(presence),
                party_id: party_id.clone(),
                string_properties: self.draft.properties.strings.clone(),
                numeric_properties: self.draft.properties.numbers.clone(),
            };
            (entry.session_id, user)
        })
    }
}

/// What queries see of a ticket (spec/matchmaker.md 7).
fn document(id: Uuid, created_micros: i64, draft: &Draft) -> Document {
    let id = id.to_string();
    let nanos = created_micros as f64 * 1_000.0;
    let party = draft.party.as_ref().map(|party| party.text.as_str()).unwrap_or_default();
    let mut document = Document::new()
        .term("_id", &id)
        .term("ticket", &id)
        .term("party_id", party)
        .number("min_count", f64::from(draft.counts.min))
        .number("max_count", f64::from(draft.counts.max))
        .number("created_at", nanos);
    for (name, value) in &draft.properties.numbers {
        document = document.number(&format!("properties.{name}"), *value);
    }
    for (name, value) in &draft.properties.strings {
        if !draft.properties.numbers.contains_key(name) {
            document = document.text(&format!("properties.{name}"), value);
        }
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_judged_in_the_order_of_the_specification() {
        for (min, max, multiple, expected) in [
            (1, 0, Some(0), "Invalid minimum count, must be >= 2"),
            (i32::MIN, 2, None, "Invalid minimum count, must be >= 2"),
            (3, 2, Some(0), "Invalid maximum count, must be >= minimum count"),
            (3, 4, Some(0), "Invalid count multiple, must be >= 1"),
            (3, 5, Some(-2), "Invalid count multiple, must be >= 1"),
            (3, 5, Some(2), "Invalid count multiple for minimum count, must divide"),
            (2, 5, Some(2), "Invalid count multiple for maximum count, must divide"),
        ] {
            assert_eq!(check_counts(min, max, multiple), Err(expected));
        }
        assert_eq!(check_counts(2, i32::MAX, None), Ok(Counts { min: 2, max: 2_147_483_647, multiple: 1 }));
        assert_eq!(check_counts(2, 6, Some(2)), Ok(Counts { min: 2, max: 6, multiple: 2 }));
    }
}
