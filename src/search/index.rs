//! Many documents, and the best of them for a query.

use super::{
    document::Document,
    query::{Filter, Query},
};
use std::{collections::BTreeMap, hash::Hash, ops::ControlFlow};

/// Documents under their keys. Keys ascend with age: of two documents that fit equally well, the one with the smaller key is older.
#[derive(Debug)]
pub struct Index<K> {
    documents: BTreeMap<K, Document>,
}

impl<K: Copy + Ord + Hash> Index<K> {
    /// An index without documents.
    pub fn new() -> Self {
        Self { documents: BTreeMap::new() }
    }

    /// Puts `document` under `key`, in place of what was there.
    pub fn insert(&mut self, key: K, document: Document) {
        self.documents.insert(key, document);
    }

    /// Takes out what is under `key`.
    pub fn remove(&mut self, key: &K) -> Option<Document> {
        self.documents.remove(key)
    }

    /// What is under `key`.
    pub fn get(&self, key: &K) -> Option<&Document> {
        self.documents.get(key)
    }

    /// Documents held.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// Shows `visit` the key and score of every match that passes `filters`, the best first, among equals the smallest key (the
    /// oldest) first, until it breaks. What is not visited is not worked out where that can be avoided.
    pub fn search(&self, query: &Query, filters: &[Filter<'_>], visit: impl FnMut(K, f64) -> ControlFlow<()>) {
        self.visit_all(self.hits(query, filters), visit);
    }

    /// The same with the greatest key (the newest) first among equals.
    pub fn search_newest_first(
        &self,
        query: &Query,
        filters: &[Filter<'_>],
        visit: impl FnMut(K, f64) -> ControlFlow<()>,
    ) {
        let mut hits = self.hits(query, filters);
        hits.reverse();
        self.visit_all(hits, visit);
    }

    fn hits(&self, query: &Query, filters: &[Filter<'_>]) -> Vec<(K, f64)> {
        let passing = self.documents.iter().filter(|(_, document)| filters.iter().all(|one| one.accepts(document)));
        passing.filter_map(|(key, document)| query.score(document).map(|score| (*key, score))).collect()
    }

    fn visit_all(&self, mut hits: Vec<(K, f64)>, mut visit: impl FnMut(K, f64) -> ControlFlow<()>) {
        hits.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        for (key, score) in hits {
            if visit(key, score).is_break() {
                return;
            }
        }
    }
}

impl<K: Copy + Ord + Hash> Default for Index<K> {
    fn default() -> Self {
        Self::new()
    }
}
