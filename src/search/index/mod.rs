//! Many documents, and the best of them for a query.
//!
//! Every document has a slot, and slots ascend with keys, so that a set of slots in order is a set of documents by age. For each
//! field there are the terms with the set of slots of each, and the numbers in order. A search ([`plan`]) looks up the sets of its
//! clauses and then ([`walk`]) goes through those slots that are in all of them, the best scores first: it works only as far as its
//! visitor wants to see. See docs/decisions/0023-search-index.md.

mod field;
mod plan;
mod ranked;
mod slots;
#[cfg(test)]
mod tests;
mod walk;

use super::{
    document::Document,
    query::{Filter, Query},
    steps::{Reach, Steps},
};
use field::Field;
use slots::{Slot, Slots};
use std::{collections::HashMap, hash::Hash, ops::ControlFlow};
use walk::Order;

/// Documents under their keys. Keys ascend with age: of two documents that fit equally well, the one with the smaller key is older.
///
/// Adding a document costs least if its key is greater than all there are. One in between may give many documents a new slot, which
/// takes time in proportion to what the index holds.
#[derive(Debug)]
pub struct Index<K> {
    /// By slot. Keys never descend; a slot that is free keeps a key between those of its neighbours.
    places: Vec<Place<K>>,
    by_key: HashMap<K, Slot>,
    fields: HashMap<Box<str>, Field>,
    /// The slots that are taken.
    live: Slots,
}

#[derive(Debug)]
struct Place<K> {
    key: K,
    document: Option<Document>,
}

/// Free slots for each taken one, from which on they are worth closing; and how many are never too many.
const MOST_FREE: usize = 1;
const FREE_FOR_NOTHING: usize = 1_024;

impl<K: Copy + Ord + Hash> Index<K> {
    /// An index without documents.
    pub fn new() -> Self {
        Self { places: Vec::new(), by_key: HashMap::new(), fields: HashMap::new(), live: Slots::default() }
    }

    /// Puts `document` under `key`, in place of what was there.
    pub fn insert(&mut self, key: K, document: Document) {
        self.remove(&key);
        let slot = self.slot_for(key);
        let total = self.places.len();
        for field in document.fields() {
            // Few paths are new, so most need no name of their own.
            match self.fields.get_mut(&field.path) {
                Some(known) => known.insert(&field.value, slot, total),
                None => self.fields.entry(field.path.clone()).or_default().insert(&field.value, slot, total),
            }
        }
        self.places[slot as usize] = Place { key, document: Some(document) };
        self.live.insert(slot, total);
        self.by_key.insert(key, slot);
    }

    /// Takes out what is under `key`.
    pub fn remove(&mut self, key: &K) -> Option<Document> {
        let slot = self.by_key.remove(key)?;
        let document = self.places[slot as usize].document.take()?;
        self.live.remove(slot);
        for field in document.fields() {
            if let Some(known) = self.fields.get_mut(&field.path) {
                known.remove(&field.value, slot);
                if known.is_empty() {
                    self.fields.remove(&field.path);
                }
            }
        }
        Some(document)
    }

    /// What is under `key`.
    pub fn get(&self, key: &K) -> Option<&Document> {
        self.by_key.get(key).and_then(|slot| self.document(*slot))
    }

    /// Documents held.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Shows `visit` the key and score of every match that passes `filters`, the best first, among equals the smallest key (the
    /// oldest) first, until it breaks or `steps` are used up. The visitor may take some for what it does itself.
    pub fn search(
        &self,
        query: &Query,
        filters: &[Filter<'_>],
        steps: &Steps,
        visit: impl FnMut(K, f64) -> ControlFlow<()>,
    ) -> Reach {
        self.search_in(Order::OldestFirst, query, filters, steps, visit)
    }

    /// The same with the greatest key (the newest) first among equals.
    pub fn search_newest_first(
        &self,
        query: &Query,
        filters: &[Filter<'_>],
        steps: &Steps,
        visit: impl FnMut(K, f64) -> ControlFlow<()>,
    ) -> Reach {
        self.search_in(Order::NewestFirst, query, filters, steps, visit)
    }

    fn search_in(
        &self,
        order: Order,
        query: &Query,
        filters: &[Filter<'_>],
        steps: &Steps,
        mut visit: impl FnMut(K, f64) -> ControlFlow<()>,
    ) -> Reach {
        let look_up = |slot: Slot| self.document(slot);
        let looking = plan::Looking { fields: &self.fields, live: &self.live, look_up: &look_up, steps };
        match plan::plan(looking, query, filters) {
            // A plan that was cut short may take in too much.
            _ if steps.are_used_up() => Reach::CutShort,
            Some(plan) => plan.walk(order, steps, &mut |slot, score| visit(self.places[slot as usize].key, score)),
            None => Reach::Done,
        }
    }

    fn document(&self, slot: Slot) -> Option<&Document> {
        self.places.get(slot as usize).and_then(|place| place.document.as_ref())
    }

    /// A free slot behind all smaller keys and before all greater ones.
    fn slot_for(&mut self, key: K) -> Slot {
        if self.places.len() > self.len() * (1 + MOST_FREE) + FREE_FOR_NOTHING {
            self.renumber(None);
        }
        let at = self.places.partition_point(|place| place.key < key);
        let is_free = |at: usize| self.places.get(at).is_some_and(|place| place.document.is_none());
        if is_free(at) {
            return at as Slot;
        }
        if at.checked_sub(1).is_some_and(is_free) {
            return at as Slot - 1;
        }
        if at < self.places.len() {
            return self.renumber(Some((at, key)));
        }
        self.places.push(Place { key, document: None });
        at as Slot
    }

    /// Closes all free slots, and opens one for a key before what has a certain slot now. Answers that one.
    fn renumber(&mut self, opening: Option<(usize, K)>) -> Slot {
        let mut numbers = vec![Slot::MAX; self.places.len()];
        let mut places = Vec::with_capacity(self.len() + 1);
        let mut opened = 0;
        for (old, place) in std::mem::take(&mut self.places).into_iter().enumerate() {
            if let Some((_, key)) = opening.filter(|(before, _)| *before == old) {
                opened = places.len() as Slot;
                places.push(Place { key, document: None });
            }
            if place.document.is_some() {
                numbers[old] = places.len() as Slot;
                places.push(place);
            }
        }
        let total = places.len();
        self.places = places;
        self.by_key.values_mut().for_each(|slot| *slot = numbers[*slot as usize]);
        self.fields.values_mut().for_each(|field| field.renumber(&numbers, total));
        self.live.renumber(&numbers, total);
        opened
    }
}

impl<K: Copy + Ord + Hash> Default for Index<K> {
    fn default() -> Self {
        Self::new()
    }
}
