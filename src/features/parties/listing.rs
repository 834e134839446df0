//! `GET /v2/party`: parties by what they say of themselves (spec/parties.md 9).
//!
//! A party is listed as it is at this moment: what changes it changes its entry, under the party's lock. Hidden ones have none.

use super::party::{Party, Record};
use crate::{
    error::Error,
    features::{Caller, Services},
    identity::Tenant,
    search::{Document, Filter, Index, Query, Reach, Steps},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kizuna_protocol::{
    api::{self, ListPartiesRequest, PartyList},
    code::Code,
};
use parking_lot::RwLock;
use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
};
use uuid::Uuid;

const MAX_LIMIT: i32 = 100;
const DEFAULT_LIMIT: i32 = 10;
/// A search holds up those who change a party of the shard in which it looks, and lets others work between two shards.
const SHARDS: usize = 16;

/// Where a party stands among those that fit a query equally well: when it was made (microseconds since 1970), and its id.
type Place = (i64, Uuid);

/// What is listed, in shards by party.
#[derive(Debug)]
pub(super) struct Listing {
    shards: [RwLock<HashMap<Tenant, Entries>>; SHARDS],
}

/// One tenant's parties in a shard.
#[derive(Debug, Default)]
struct Entries {
    index: Index<Place>,
    parties: BTreeMap<Place, api::Party>,
}

/// A party that was found, and how well it fits.
#[derive(Debug)]
struct Hit {
    score: f64,
    place: Place,
    party: api::Party,
}

impl Listing {
    pub(super) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| RwLock::default()) }
    }

    /// Lists the party as `record` says it is, or no longer.
    pub(super) fn update(&self, party: &Party, record: &Record) {
        if record.hidden || record.ended {
            return self.remove(party);
        }
        let shown = api::Party {
            party_id: party.id.clone(),
            open: record.open,
            hidden: false,
            max_size: party.max_size.into(),
            label: record.label.clone(),
        };
        let document = document(party, record);
        let mut shard = self.shards[shard_of(party)].write();
        let entries = shard.entry(party.key.tenant()).or_default();
        entries.index.insert(place(party), document);
        entries.parties.insert(place(party), shown);
    }

    fn remove(&self, party: &Party) {
        let mut shard = self.shards[shard_of(party)].write();
        let Some(entries) = shard.get_mut(&party.key.tenant()) else { return };
        entries.index.remove(&place(party));
        entries.parties.remove(&place(party));
        if entries.parties.is_empty() {
            shard.remove(&party.key.tenant());
        }
    }

    /// The best parties of a tenant behind `after`, one more than a page has, in no order. None if it would take more than
    /// `most_steps`.
    async fn best(&self, tenant: Tenant, asked: &Asked, after: Option<Position>, most_steps: u64) -> Option<Vec<Hit>> {
        let mut hits = Vec::new();
        let mut left = most_steps;
        for shard in &self.shards {
            let steps = Steps::at_most(left);
            if search(&shard.read(), tenant, asked, after, &steps, &mut hits) == Reach::CutShort {
                return None;
            }
            left = left.saturating_sub(steps.taken());
            tokio::task::yield_now().await;
        }
        Some(hits)
    }
}

fn search(
    shard: &HashMap<Tenant, Entries>,
    tenant: Tenant,
    asked: &Asked,
    after: Option<Position>,
    steps: &Steps,
    hits: &mut Vec<Hit>,
) -> Reach {
    let Some(Entries { index, parties }) = shard.get(&tenant) else { return Reach::Done };
    let filter = asked.open.map(|open| Filter::Not("open", flag(!open)));
    let mut wanted = usize::from(asked.limit) + 1;
    index.search(&asked.query, filter.as_slice(), steps, |place, score| {
        if after.is_some_and(|after| !after.is_before(score, place)) {
            return ControlFlow::Continue(());
        }
        hits.extend(parties.get(&place).map(|party| Hit { score, place, party: party.clone() }));
        wanted -= 1;
        if wanted == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

fn shard_of(party: &Party) -> usize {
    usize::from(party.key.subject().as_bytes()[0]) % SHARDS
}

fn place(party: &Party) -> Place {
    (party.created_micros, party.key.subject())
}

/// What a query can ask for.
fn document(party: &Party, record: &Record) -> Document {
    let label = serde_json::from_str(&record.label).unwrap_or_default();
    let (seconds, micros) = (party.created_micros.div_euclid(1_000_000), party.created_micros.rem_euclid(1_000_000));
    let nanos = i32::try_from(micros * 1_000).unwrap_or_default();
    Document::new()
        .term("_id", &party.id)
        .term("node", party.key.label())
        .term("open", flag(record.open))
        .term("hidden", flag(record.hidden))
        .number("max_size", party.max_size.into())
        // Once as a number of seconds, once as a date.
        .number("create_time", seconds as f64)
        .text("create_time", &prost_types::Timestamp { seconds, nanos }.to_string())
        .json("label", &label)
}

fn flag(value: bool) -> &'static str {
    if value { "T" } else { "F" }
}

/// What a caller asks for, page by page.
#[derive(Debug)]
struct Asked {
    limit: u8,
    open: Option<bool>,
    text: String,
    query: Query,
}

impl Asked {
    fn read(request: &ListPartiesRequest) -> Result<Self, Error> {
        let limit = request.limit.unwrap_or(DEFAULT_LIMIT);
        let limit = u8::try_from(limit).ok().filter(|limit| (1..=MAX_LIMIT).contains(&i32::from(*limit)));
        let limit = limit.ok_or_else(|| Error::invalid_argument("Invalid limit - limit must be between 1 and 100."))?;
        let text = request.query.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| "*".to_owned());
        let query = Query::parse(&text).map_err(|error| invalid_query(&error.to_string()))?;
        match query.search_fault() {
            Some(fault) => Err(invalid_query(fault)),
            None => Ok(Self { limit, open: request.open, text, query }),
        }
    }
}

fn invalid_query(fault: &str) -> Error {
    Error::invalid_argument(format!("Invalid query - {fault}."))
}

/// `GET /v2/party`: the caller's tenant's parties, the best first, among equals the oldest.
///
/// # Errors
/// A limit out of its bounds, a query that is none, or a cursor that is not of this query, limit and openness. Nakama answers the
/// latter two as faults of its own. 429 for a query that takes more than `party.max_list_steps`.
pub async fn list_parties(
    services: &Services,
    caller: &Caller,
    request: ListPartiesRequest,
) -> Result<PartyList, Error> {
    let asked = Asked::read(&request)?;
    let cursor = request.cursor.as_deref().filter(|cursor| !cursor.is_empty());
    let after = cursor.map(|cursor| Position::read(cursor, &asked)).transpose()?;
    let limit = usize::from(asked.limit);
    let most_steps = services.config.party.max_list_steps;
    let hits = services.parties.listing().best(caller.tenant, &asked, after, most_steps).await;
    let mut hits = hits.ok_or_else(|| {
        Error::new(Code::ResourceExhausted, "The query looks at too much. Ask for whole values, or with fewer clauses.")
    })?;
    hits.sort_by(|one, other| other.score.total_cmp(&one.score).then(one.place.cmp(&other.place)));
    let is_more = hits.len() > limit;
    hits.truncate(limit);
    let last = hits.last().filter(|_| is_more).map(|hit| Position { score: hit.score, place: hit.place });
    let cursor = last.map(|last| last.write(&asked)).unwrap_or_default();
    Ok(PartyList { parties: hits.into_iter().map(|hit| hit.party).collect(), cursor })
}

/// The last party of a page: the next page begins behind it, whatever came and went meanwhile.
#[derive(Clone, Copy, Debug)]
struct Position {
    score: f64,
    place: Place,
}

impl Position {
    /// The first byte of a cursor; another form would get another one.
    const VERSION: u8 = 1;

    fn is_before(self, score: f64, place: Place) -> bool {
        score.total_cmp(&self.score).then(self.place.cmp(&place)).is_lt()
    }

    /// A cursor: the position, and what was asked for.
    fn write(self, asked: &Asked) -> String {
        let mut bytes = header(asked).to_vec();
        bytes.extend(self.score.to_be_bytes());
        bytes.extend(self.place.0.to_be_bytes());
        bytes.extend(self.place.1.as_bytes());
        bytes.extend(asked.text.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor that was made for the same.
    fn read(cursor: &str, asked: &Asked) -> Result<Self, Error> {
        Self::parse(cursor, asked).ok_or_else(|| {
            Error::invalid_argument(
                "Invalid cursor - it must be that of the previous page, with limit, query and open unchanged.",
            )
        })
    }

    fn parse(cursor: &str, asked: &Asked) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let rest = bytes.strip_prefix(&header(asked))?;
        let (score, rest) = rest.split_first_chunk()?;
        let (created, rest) = rest.split_first_chunk()?;
        let (id, text) = rest.split_first_chunk()?;
        let place = (i64::from_be_bytes(*created), Uuid::from_bytes(*id));
        (text == asked.text.as_bytes()).then(|| Self { score: f64::from_be_bytes(*score), place })
    }
}

fn header(asked: &Asked) -> [u8; 3] {
    [Position::VERSION, asked.limit, asked.open.map_or(2, u8::from)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asked(limit: u8, open: Option<bool>, text: &str) -> Asked {
        Asked { limit, open, text: text.to_owned(), query: Query::default() }
    }

    #[test]
    fn a_cursor_is_good_for_what_it_was_made_for() {
        let position = Position { score: 2.5, place: (7, Uuid::from_u128(9)) };
        let cursor = position.write(&asked(10, None, "*"));
        let read = Position::parse(&cursor, &asked(10, None, "*")).expect("its own");
        assert_eq!((read.score, read.place), (position.score, position.place));
        for other in
            [asked(11, None, "*"), asked(10, Some(true), "*"), asked(10, Some(false), "*"), asked(10, None, "a")]
        {
            assert!(Position::parse(&cursor, &other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn a_position_is_before_what_is_worse_or_newer() {
        let position = Position { score: 2.0, place: (7, Uuid::nil()) };
        assert!(position.is_before(1.0, (1, Uuid::nil())));
        assert!(position.is_before(2.0, (8, Uuid::nil())));
        assert!(!position.is_before(2.0, (7, Uuid::nil())), "itself");
        assert!(!position.is_before(2.0, (6, Uuid::nil())));
        assert!(!position.is_before(3.0, (9, Uuid::nil())));
    }

    proptest! {
        #[test]
        fn any_text_is_a_cursor_or_not(text in "[A-Za-z0-9_=-]{0,80}") {
            let _ = Position::parse(&text, &asked(10, None, "*"));
        }
    }
}
