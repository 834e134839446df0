//! Going through what a search found, the best first.

use super::{
    plan::{Column, SHORT, Set, Worth},
    slots::{Slot, has_bit, set_bit},
};
use crate::search::steps::{Reach, Steps};
use std::{borrow::Cow, cmp::Ordering, collections::BinaryHeap, ops::ControlFlow};

/// Which of equals comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    OldestFirst,
    NewestFirst,
}

/// Shoulds up to which every combination of them is gone through by itself.
const MOST_COMBINED: usize = 5;

/// What a search has to look at.
#[derive(Default)]
pub(super) struct Plan<'a> {
    /// A match is in all of these. At least one is a list or bits, and has only slots that are taken.
    pub(super) all: Vec<Set<'a>>,
    /// And in none of these.
    pub(super) none: Vec<Set<'a>>,
    /// What a match earns, in the order of the clauses: sums of the same numbers in another order could differ. Without any it earns
    /// 1.
    pub(super) worth: Vec<Worth>,
}

type Visit<'v> = &'v mut dyn FnMut(Slot, f64) -> ControlFlow<()>;

impl Plan<'_> {
    /// Shows `visit` every match until it breaks, or `steps` are used up.
    pub(super) fn walk(mut self, order: Order, steps: &Steps, visit: Visit<'_>) -> Reach {
        let mut has_enough = false;
        let visit = &mut |slot: Slot, score: f64| {
            if !steps.take(1) {
                return ControlFlow::Break(());
            }
            let flow = visit(slot, score);
            has_enough = flow.is_break();
            flow
        };
        let _ = match self.take_short_list() {
            Some(list) => self.walk_list(&list, order, steps, visit),
            None => self.walk_words(order, steps, visit),
        };
        if steps.are_used_up() && !has_enough { Reach::CutShort } else { Reach::Done }
    }

    /// The shortest of the lists, if it is short enough to go through one by one.
    fn take_short_list(&mut self) -> Option<Vec<Slot>> {
        let lists = self.all.iter().enumerate().filter_map(|(at, set)| match set {
            Set::List(list) if list.len() <= SHORT => Some((list.len(), at)),
            _ => None,
        });
        let (_, at) = lists.min()?;
        match self.all.swap_remove(at) {
            Set::List(list) => Some(list.into_owned()),
            _ => None,
        }
    }

    fn walk_list(&self, list: &[Slot], order: Order, steps: &Steps, visit: Visit<'_>) -> ControlFlow<()> {
        let cost = self.all.len() + self.none.len();
        let takes = |slot: &Slot| {
            steps.take_each(1 + cost)
                && self.all.iter().all(|set| set.has(*slot))
                && !self.none.iter().any(|set| set.has(*slot))
        };
        match self.constant() {
            Some(score) if order == Order::OldestFirst => {
                list.iter().copied().filter(takes).try_for_each(|slot| visit(slot, score))
            }
            Some(score) => list.iter().rev().copied().filter(takes).try_for_each(|slot| visit(slot, score)),
            None => {
                let hits = list.iter().copied().filter(takes).map(|slot| self.hit(slot, order, steps)).collect();
                best_first(hits, steps, visit)
            }
        }
    }

    fn walk_words(mut self, order: Order, steps: &Steps, visit: Visit<'_>) -> ControlFlow<()> {
        let (all, none, worth) =
            (std::mem::take(&mut self.all), std::mem::take(&mut self.none), std::mem::take(&mut self.worth));
        self.worth = worth;
        let words = Words::new(all, none);
        if let Some(score) = self.constant() {
            return words.walk(order, steps, |_, word| word, &mut |slot| visit(slot, score));
        }
        let Some(levels) = self.levels() else {
            let mut hits = Vec::new();
            words.walk(order, steps, |_, word| word, &mut |slot| {
                hits.push(self.hit(slot, order, steps));
                ControlFlow::Continue(())
            })?;
            return best_first(hits, steps, visit);
        };
        let optional: Vec<&[u64]> = self.optional().map(|grades| &grades[0].1[..]).collect();
        for (score, combinations) in levels {
            let choose = |at: usize, word: u64| {
                combinations.iter().fold(0, |chosen, combination| chosen | exactly(*combination, &optional, at, word))
            };
            words.walk(order, steps, choose, &mut |slot| visit(slot, score))?;
        }
        ControlFlow::Continue(())
    }

    /// What every match earns, if it is the same for all.
    fn constant(&self) -> Option<f64> {
        if self.worth.is_empty() {
            return Some(1.0);
        }
        self.optional().next().is_none().then(|| self.score(|_| None))
    }

    fn optional(&self) -> impl Iterator<Item = &[(f64, Vec<u64>)]> {
        self.worth.iter().filter_map(|worth| match worth {
            Worth::Always(_) => None,
            Worth::Graded(grades) => Some(&grades[..]),
        })
    }

    /// The combinations of optional clauses by what they earn, the most first; a bit stands for a clause. None if there are too many.
    fn levels(&self) -> Option<Vec<(f64, Vec<u32>)>> {
        let count = self.optional().count();
        if count > MOST_COMBINED || self.optional().any(|grades| grades.len() > 1) {
            return None;
        }
        let scored = (0..1_u32 << count).map(|combination| {
            let mut bit = 0;
            let score = self.score(|grades| {
                bit += 1;
                (combination >> (bit - 1) & 1 == 1).then(|| grades[0].0)
            });
            (score, combination)
        });
        let mut scored: Vec<_> = scored.collect();
        scored.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        let levels = scored.chunk_by(|(one, _), (other, _)| one == other);
        Some(levels.map(|level| (level[0].0, level.iter().map(|(_, combination)| *combination).collect())).collect())
    }

    fn hit(&self, slot: Slot, order: Order, steps: &Steps) -> Hit {
        steps.take_each(self.worth.len());
        let score = self.score(|grades| grades.iter().find(|(_, words)| has_bit(words, slot)).map(|(worth, _)| *worth));
        // The greatest comes first.
        Hit { score, rank: if order == Order::NewestFirst { slot } else { Slot::MAX - slot }, slot }
    }

    /// The sum of what the clauses give, where `graded` says it for optional ones.
    fn score(&self, mut graded: impl FnMut(&[(f64, Vec<u64>)]) -> Option<f64>) -> f64 {
        self.worth.iter().fold(0.0, |sum, worth| match worth {
            Worth::Always(worth) => sum + worth,
            Worth::Graded(grades) => graded(grades).map_or(sum, |worth| sum + worth),
        })
    }
}

/// Those bits of `word`, the one at `at`, that are in exactly those sets that `combination` names.
fn exactly(combination: u32, sets: &[&[u64]], at: usize, word: u64) -> u64 {
    sets.iter().enumerate().fold(word, |word, (bit, set)| {
        let set = set.get(at).copied().unwrap_or(0);
        word & if combination >> bit & 1 == 1 { set } else { !set }
    })
}

/// A plan's conditions, by how they are checked.
struct Words<'a> {
    all: Checks<'a>,
    none: Checks<'a>,
    /// How many words have a bit set.
    len: usize,
}

impl<'a> Words<'a> {
    fn new(all: Vec<Set<'a>>, none: Vec<Set<'a>>) -> Self {
        let (all, none) = (Checks::new(all), Checks::new(none));
        let len = all.bits.iter().map(|words| words.len()).min().unwrap_or(0);
        Self { all, none, len }
    }

    /// Shows `visit` every slot that meets the conditions and that `choose` leaves of its word.
    fn walk(
        &self,
        order: Order,
        steps: &Steps,
        choose: impl Fn(usize, u64) -> u64,
        visit: &mut dyn FnMut(Slot) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let cost = 1 + (self.all.bits.len() + self.none.bits.len()) / 4;
        for step in 0..self.len {
            if !steps.take_each(cost) {
                return ControlFlow::Break(());
            }
            let at = if order == Order::OldestFirst { step } else { self.len - 1 - step };
            let word = self.word(at);
            if word != 0 {
                steps.take_each(8 * (self.all.columns.len() + self.none.columns.len()));
                self.walk_word(at, self.within_ranges(at, choose(at, word)), order, steps, visit)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn word(&self, at: usize) -> u64 {
        let word = self.all.bits.iter().fold(u64::MAX, |word, words| word & words[at]);
        self.none.bits.iter().fold(word, |word, words| word & !words.get(at).copied().unwrap_or(0))
    }

    fn within_ranges(&self, at: usize, word: u64) -> u64 {
        let word = self.all.columns.iter().fold(word, |word, column| word & of_column(column, at, word));
        self.none.columns.iter().fold(word, |word, column| word & !of_column(column, at, word))
    }

    fn walk_word(
        &self,
        at: usize,
        mut word: u64,
        order: Order,
        steps: &Steps,
        visit: &mut dyn FnMut(Slot) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let asked = self.all.asked.len() + self.none.asked.len();
        while word != 0 {
            if !steps.take_each(asked) {
                return ControlFlow::Break(());
            }
            let bit = match order {
                Order::OldestFirst => word.trailing_zeros(),
                Order::NewestFirst => 63 - word.leading_zeros(),
            };
            word &= !(1 << bit);
            let slot = at as Slot * 64 + bit;
            if self.all.asked.iter().all(|set| set.has(slot)) && !self.none.asked.iter().any(|set| set.has(slot)) {
                visit(slot)?;
            }
        }
        ControlFlow::Continue(())
    }
}

/// Those bits of `word`, the one at `at`, that are in `column`; others may be set, too.
fn of_column(column: &Column<'_>, at: usize, mut word: u64) -> u64 {
    /// Bits from which on it is faster to look at all 64.
    const MANY: u32 = 12;
    if word.count_ones() >= MANY {
        return column.word(at);
    }
    let mut found = 0;
    while word != 0 {
        let bit = word.trailing_zeros();
        found |= u64::from(column.has(at as Slot * 64 + bit)) << bit;
        word &= word - 1;
    }
    found
}

/// Sets by how they are checked: 64 slots at a time, the same by looking at numbers, or one by one.
#[derive(Default)]
struct Checks<'a> {
    bits: Vec<Cow<'a, [u64]>>,
    columns: Vec<Column<'a>>,
    asked: Vec<Set<'a>>,
}

impl<'a> Checks<'a> {
    fn new(sets: Vec<Set<'a>>) -> Self {
        let mut checks = Self::default();
        for set in sets {
            match set {
                Set::Bits(words) => checks.bits.push(words),
                Set::List(list) => {
                    let mut words = Vec::new();
                    list.iter().for_each(|slot| _ = set_bit(&mut words, *slot));
                    checks.bits.push(Cow::Owned(words));
                }
                Set::Column(column) => checks.columns.push(column),
                Set::Asked(..) => checks.asked.push(set),
            }
        }
        checks
    }
}

/// Shows `visit` the hits, the best first. As many as it wants to see are sorted, and no more.
fn best_first(hits: Vec<Hit>, steps: &Steps, visit: Visit<'_>) -> ControlFlow<()> {
    steps.take_each(hits.len());
    let mut hits = BinaryHeap::from(hits);
    while let Some(hit) = hits.pop() {
        // What a heap does for one of many.
        steps.take_each(hits.len().checked_ilog2().unwrap_or(0) as usize);
        visit(hit.slot, hit.score)?;
    }
    ControlFlow::Continue(())
}

/// A match; the greater one comes first.
struct Hit {
    score: f64,
    rank: Slot,
    slot: Slot,
}

impl Ord for Hit {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(self.rank.cmp(&other.rank))
    }
}

impl PartialOrd for Hit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Hit {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Hit {}
