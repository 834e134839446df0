//! A bounded map whose entries all live equally long.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// No room for another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Entries by key, gone `lifetime_sec` after they came.
pub(super) struct Expiring<K, V> {
    entries: HashMap<K, (i64, V)>,
    /// In the order in which they came, hence in which they end; an entry that was taken may still stand here.
    ends: VecDeque<(i64, K)>,
    lifetime_sec: i64,
    max: usize,
}

impl<K: Clone + Eq + Hash, V> Expiring<K, V> {
    pub(super) fn new(lifetime_sec: u64, max: usize) -> Self {
        let lifetime_sec = i64::try_from(lifetime_sec).unwrap_or(i64::MAX);
        Self { entries: HashMap::new(), ends: VecDeque::new(), lifetime_sec, max }
    }

    /// Puts an entry in, in the place of one with the same key. `now` in seconds since 1970.
    pub(super) fn insert(&mut self, key: K, value: V, now: i64) -> Result<(), Full> {
        self.forget(now);
        if self.ends.len() >= self.max {
            return Err(Full);
        }
        let ends = now.saturating_add(self.lifetime_sec);
        self.ends.push_back((ends, key.clone()));
        self.entries.insert(key, (ends, value));
        Ok(())
    }

    pub(super) fn get_mut(&mut self, key: &K, now: i64) -> Option<&mut V> {
        self.entries.get_mut(key).filter(|(ends, _)| *ends > now).map(|(_, value)| value)
    }

    /// Takes an entry out. Its place is free once its time is over.
    pub(super) fn take(&mut self, key: &K, now: i64) -> Option<V> {
        self.entries.remove(key).filter(|(ends, _)| *ends > now).map(|(_, value)| value)
    }

    fn forget(&mut self, now: i64) {
        while self.ends.front().is_some_and(|(ends, _)| *ends <= now) {
            let Some((ends, key)) = self.ends.pop_front() else { return };
            if self.entries.get(&key).is_some_and(|(own, _)| *own == ends) {
                self.entries.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_end_in_time_and_a_taken_one_keeps_its_place_until_then() {
        let mut map = Expiring::new(10, 2);
        map.insert("a", 1, 100).unwrap();
        map.insert("b", 2, 101).unwrap();
        assert_eq!(map.insert("c", 3, 102), Err(Full));
        assert_eq!((map.take(&"a", 103), map.take(&"a", 103)), (Some(1), None));
        assert_eq!(map.insert("c", 3, 109), Err(Full), "so that no more come in a time than may be remembered");
        map.insert("c", 3, 110).unwrap();
        assert_eq!(map.get_mut(&"b", 110), Some(&mut 2));
        assert_eq!(map.get_mut(&"b", 111), None);
        assert_eq!(map.take(&"b", 111), None);
        assert_eq!(map.take(&"c", 111), Some(3));
    }
}
