//! What a search has to look at: the sets of its clauses.

use super::{
    field::Field,
    slots::{Slot, Slots, each_bit, has_bit, set_bit},
    walk::Plan,
};
use crate::search::{
    clause::{Clause, Interval, Occurrence, Test},
    document::Document,
    query::{Filter, Query},
    steps::{Steps, TERM},
};
use std::{borrow::Cow, collections::HashMap, ops::Bound};

/// Slots up to which a set is better as a list.
pub(super) const SHORT: usize = 256;

/// Terms that a pattern is compared with before the search begins. With more than that it is better to compare those of the
/// documents that come up.
const MOST_TERMS: usize = 256;

/// Slots of the index for each in a numeric range, below which the range is made a set; a larger one is looked up slot by slot.
const RARE: usize = 16;

/// What a clause costs beside the sets that it takes in.
const STEPS_OF_CLAUSE: u64 = 16;

pub(super) type Fields = HashMap<Box<str>, Field>;

/// Slots that match something.
pub(super) enum Set<'a> {
    /// In order; none twice.
    List(Cow<'a, [Slot]>),
    Bits(Cow<'a, [u64]>),
    /// Those whose number is in a range.
    Column(Column<'a>),
    /// Those whose document matches the clause; and what asking costs.
    Asked(&'a Clause, LookUp<'a>, &'a Steps),
}

/// The slots whose number is from `low` to `high`, both included.
pub(super) struct Column<'a> {
    /// By slot; NaN for none.
    pub(super) numbers: &'a [f64],
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Column<'_> {
    pub(super) fn has(&self, slot: Slot) -> bool {
        self.numbers.get(slot as usize).is_some_and(|number| self.takes(*number))
    }

    /// The bits of 64 slots, the `at`-th so many.
    pub(super) fn word(&self, at: usize) -> u64 {
        let numbers = self.numbers.get(at * 64..).unwrap_or_default().iter().take(64);
        numbers.enumerate().fold(0, |word, (bit, number)| word | u64::from(self.takes(*number)) << bit)
    }

    fn takes(&self, number: f64) -> bool {
        // Without a branch: what is looked up in a row is not worth guessing.
        (self.low <= number) & (number <= self.high)
    }
}

/// What a slot earns by a clause.
pub(super) enum Worth {
    /// Every candidate earns it.
    Always(f64),
    /// By set, the most first; the first set that has the slot counts. None may have it.
    Graded(Vec<(f64, Vec<u64>)>),
}

impl Set<'_> {
    pub(super) fn has(&self, slot: Slot) -> bool {
        match self {
            Self::List(list) => list.binary_search(&slot).is_ok(),
            Self::Bits(words) => has_bit(words, slot),
            Self::Column(column) => column.has(slot),
            Self::Asked(clause, look_up, steps) => {
                look_up(slot).is_some_and(|document| clause.score(document, steps).is_some())
            }
        }
    }
}

type LookUp<'a> = &'a dyn Fn(Slot) -> Option<&'a Document>;

/// What a search looks at, and what it may cost.
#[derive(Clone, Copy)]
pub(super) struct Looking<'a> {
    pub(super) fields: &'a Fields,
    pub(super) live: &'a Slots,
    pub(super) look_up: LookUp<'a>,
    pub(super) steps: &'a Steps,
}

/// The plan for a search; none if nothing can match. Once the steps are used up, it is not to be followed.
pub(super) fn plan<'a>(looking: Looking<'a>, query: &'a Query, filters: &'a [Filter<'a>]) -> Option<Plan<'a>> {
    let Looking { fields, live, look_up, steps } = looking;
    if query.search_fault().is_some() || live.is_empty() {
        return None;
    }
    let mut planner = Planner { fields, live, look_up, steps, ranges: Vec::new(), plan: Plan::default() };
    for filter in filters {
        planner.filter(filter)?;
    }
    for clause in query.clauses() {
        planner.clause(clause)?;
    }
    planner.need_a_should(query)?;
    planner.finish()
}

/// A numeric range that has to be met.
struct Range<'a> {
    field: &'a Field,
    low: f64,
    high: f64,
}

struct Planner<'a> {
    fields: &'a Fields,
    live: &'a Slots,
    look_up: LookUp<'a>,
    steps: &'a Steps,
    /// Those that have to be met. Two on one field are one.
    ranges: Vec<Range<'a>>,
    plan: Plan<'a>,
}

impl<'a> Planner<'a> {
    /// Every step answers none if nothing can match any more.
    fn filter(&mut self, filter: &'a Filter<'a>) -> Option<()> {
        match filter {
            Filter::AtLeast(path, least) => self.range(self.fields.get(*path)?, *least, f64::INFINITY),
            Filter::AtMost(path, most) => self.range(self.fields.get(*path)?, f64::NEG_INFINITY, *most),
            Filter::Not(path, term) => {
                if let Some(slots) = self.fields.get(*path).and_then(|field| field.terms.get(*term)) {
                    self.plan.none.push(borrowed(slots));
                }
                Some(())
            }
        }
    }

    fn clause(&mut self, clause: &'a Clause) -> Option<()> {
        if !self.steps.take(STEPS_OF_CLAUSE) {
            return None;
        }
        match (clause.occurrence, self.field(clause)) {
            (Occurrence::Must, field) => self.must(clause, field?),
            (Occurrence::MustNot, Some(field)) => {
                let set = self.set(clause, field);
                self.plan.none.extend(set);
                Some(())
            }
            (Occurrence::Should, Some(field)) => {
                let grades = self.grades(clause, field);
                if !grades.is_empty() {
                    self.plan.worth.push(Worth::Graded(grades));
                }
                Some(())
            }
            (Occurrence::MustNot | Occurrence::Should, None) => Some(()),
        }
    }

    fn field(&self, clause: &Clause) -> Option<&'a Field> {
        clause.field.as_ref().and_then(|path| self.fields.get(path))
    }

    fn must(&mut self, clause: &'a Clause, field: &'a Field) -> Option<()> {
        match &clause.test {
            Test::Numbers(interval) => {
                let (low, high) = closed(interval, f64::NEG_INFINITY, f64::INFINITY, f64::next_up, f64::next_down);
                self.range(field, low, high)?;
                self.plan.worth.push(Worth::Always(clause.score));
            }
            Test::Fuzzy(..) => {
                let grades = self.grades(clause, field);
                self.steps.take_each(grades.iter().map(|(_, more)| more.len()).sum());
                let words = grades.iter().fold(Vec::new(), |words, (_, more)| union(words, more));
                self.plan.all.push(Set::Bits(Cow::Owned(words)));
                match &grades[..] {
                    [] => return None,
                    [(worth, _)] => self.plan.worth.push(Worth::Always(*worth)),
                    _ => self.plan.worth.push(Worth::Graded(grades)),
                }
            }
            _ => {
                let set = self.set(clause, field)?;
                self.plan.all.push(set);
                self.plan.worth.push(Worth::Always(clause.score));
            }
        }
        Some(())
    }

    fn range(&mut self, field: &'a Field, low: f64, high: f64) -> Option<()> {
        let same = self.ranges.iter_mut().find(|held| std::ptr::eq(held.field, field) && !field.has_repeats());
        match same {
            Some(held) => (held.low, held.high) = (held.low.max(low), held.high.min(high)),
            None => self.ranges.push(Range { field, low, high }),
        }
        // Not so for NaN, which nothing is at least or at most.
        (low <= high).then_some(())
    }

    /// The slots that match `clause`; none if there are none.
    fn set(&self, clause: &'a Clause, field: &'a Field) -> Option<Set<'a>> {
        match &clause.test {
            Test::Never => None,
            Test::Term(term) => field.terms.get(term).map(borrowed),
            Test::Number(number, text) => match field.terms.get(text) {
                None => self.numbers(field, *number, *number),
                Some(slots) if field.numbers.count(*number, *number) == 0 => Some(borrowed(slots)),
                Some(slots) => {
                    self.steps.take_each(slots.steps() + field.numbers.count(*number, *number));
                    let mut words = Vec::new();
                    slots.add_to(&mut words);
                    field.numbers.each(*number, *number, |slot| _ = set_bit(&mut words, slot));
                    Some(Set::Bits(Cow::Owned(words)))
                }
            },
            Test::Numbers(interval) => {
                let (low, high) = closed(interval, f64::NEG_INFINITY, f64::INFINITY, f64::next_up, f64::next_down);
                self.numbers(field, low, high)
            }
            Test::Dates(interval) => {
                let (low, high) = closed(interval, i128::MIN, i128::MAX, |date| date + 1, |date| date - 1);
                if !self.steps.take_each(field.dates.count(low, high)) {
                    return None;
                }
                let mut words = Vec::new();
                field.dates.each(low, high, |slot| _ = set_bit(&mut words, slot));
                (!words.is_empty()).then_some(Set::Bits(Cow::Owned(words)))
            }
            Test::Wildcard(wildcard) if wildcard.is_anything() => {
                (!field.anything.is_empty()).then(|| borrowed(&field.anything))
            }
            Test::Wildcard(wildcard) => self.pattern(clause, field, wildcard.prefix()),
            Test::Regular(_) => self.pattern(clause, field, ""),
            Test::Fuzzy(..) => {
                let grades = self.grades(clause, field);
                self.steps.take_each(grades.iter().map(|(_, more)| more.len()).sum());
                let words = grades.iter().fold(Vec::new(), |words, (_, more)| union(words, more));
                (!words.is_empty()).then_some(Set::Bits(Cow::Owned(words)))
            }
        }
    }

    /// The slots with a term that matches, every one of which begins with `prefix`.
    fn pattern(&self, clause: &'a Clause, field: &'a Field, prefix: &str) -> Option<Set<'a>> {
        if field.terms_from(prefix).take(MOST_TERMS + 1).count() > MOST_TERMS {
            return Some(Set::Asked(clause, self.look_up, self.steps));
        }
        let mut words = Vec::new();
        for (term, slots) in field.terms_from(prefix) {
            if !self.steps.take(clause.test.steps_of_term(term) + TERM) {
                return None;
            }
            if clause.test.factor_of_term(term).is_some() {
                self.steps.take_each(slots.steps());
                slots.add_to(&mut words);
            }
        }
        (!words.is_empty()).then_some(Set::Bits(Cow::Owned(words)))
    }

    /// The slots with a number from `low` to `high`.
    fn numbers(&self, field: &'a Field, low: f64, high: f64) -> Option<Set<'a>> {
        let count = field.numbers.count(low, high);
        if count == 0 {
            return None;
        }
        if let Some(numbers) = field.column()
            && count * RARE > numbers.len()
        {
            return Some(Set::Column(Column { numbers, low, high }));
        }
        if !self.steps.take_each(count) {
            return None;
        }
        if count <= SHORT {
            let mut list = Vec::with_capacity(count);
            field.numbers.each(low, high, |slot| list.push(slot));
            list.sort_unstable();
            list.dedup();
            return Some(Set::List(Cow::Owned(list)));
        }
        let mut words = Vec::new();
        field.numbers.each(low, high, |slot| _ = set_bit(&mut words, slot));
        Some(Set::Bits(Cow::Owned(words)))
    }

    /// The slots that match `clause`, by what they earn.
    fn grades(&self, clause: &'a Clause, field: &'a Field) -> Vec<(f64, Vec<u64>)> {
        let mut grades: Vec<(f64, Vec<u64>)> = Vec::new();
        match &clause.test {
            Test::Fuzzy(..) => {
                for (term, slots) in &field.terms {
                    if !self.steps.take(clause.test.steps_of_term(term)) {
                        break;
                    }
                    let Some(factor) = clause.test.factor_of_term(term) else { continue };
                    let at = grades.iter().position(|(held, _)| *held == factor).unwrap_or_else(|| {
                        grades.push((factor, Vec::new()));
                        grades.len() - 1
                    });
                    self.steps.take_each(slots.steps());
                    slots.add_to(&mut grades[at].1);
                }
                grades.sort_by(|(one, _), (other, _)| other.total_cmp(one));
                grades.iter_mut().for_each(|(worth, _)| *worth *= clause.score);
            }
            _ => grades.extend(self.set(clause, field).map(|set| (clause.score, self.words(set)))),
        }
        grades
    }

    /// The slots of `set` that are taken, as bits.
    fn words(&self, set: Set<'a>) -> Vec<u64> {
        let mut words = Vec::new();
        match set {
            Set::Bits(held) => {
                self.steps.take_each(held.len());
                words = held.into_owned();
            }
            Set::List(list) => list.iter().for_each(|slot| _ = set_bit(&mut words, *slot)),
            Set::Column(column) => {
                self.steps.take_each(column.numbers.len() / 8);
                words.extend((0..column.numbers.len().div_ceil(64)).map(|at| column.word(at)));
            }
            Set::Asked(..) => {
                let mut live = Vec::new();
                self.live.add_to(&mut live);
                each_bit(&live, |slot| {
                    if !self.steps.are_used_up() && set.has(slot) {
                        set_bit(&mut words, slot);
                    }
                });
            }
        }
        words
    }

    /// Without a must, one should has to match.
    fn need_a_should(&mut self, query: &Query) -> Option<()> {
        let has_must = query.clauses().iter().any(|clause| clause.occurrence == Occurrence::Must);
        if has_must || !query.asks_for_something() {
            return Some(());
        }
        let mut words = Vec::new();
        for worth in &self.plan.worth {
            if let Worth::Graded(grades) = worth {
                self.steps.take_each(grades.iter().map(|(_, more)| more.len()).sum());
                words = grades.iter().fold(words, |words, (_, more)| union(words, more));
            }
        }
        // The only one there is has to match, so it is as good as a must.
        if let [Worth::Graded(grades)] = &self.plan.worth[..]
            && let [(worth, _)] = grades[..]
        {
            self.plan.worth = vec![Worth::Always(worth)];
        }
        self.plan.all.push(Set::Bits(Cow::Owned(words)));
        (!self.plan.worth.is_empty()).then_some(())
    }

    fn finish(mut self) -> Option<Plan<'a>> {
        for range in std::mem::take(&mut self.ranges) {
            let is_everybody =
                !range.field.has_repeats() && range.field.numbers.count(range.low, range.high) == self.live.len();
            if !is_everybody {
                let set = self.numbers(range.field, range.low, range.high)?;
                self.plan.all.push(set);
            }
        }
        if !self.plan.all.iter().any(|set| matches!(set, Set::List(_) | Set::Bits(_))) {
            self.plan.all.push(borrowed(self.live));
        }
        Some(self.plan)
    }
}

fn borrowed(slots: &Slots) -> Set<'_> {
    match slots {
        Slots::Few(list) => Set::List(Cow::Borrowed(list)),
        Slots::Many { words, .. } => Set::Bits(Cow::Borrowed(words)),
    }
}

fn union(mut words: Vec<u64>, more: &[u64]) -> Vec<u64> {
    if words.len() < more.len() {
        words.resize(more.len(), 0);
    }
    for (word, more) in words.iter_mut().zip(more) {
        *word |= more;
    }
    words
}

/// Both ends of `interval`, included.
fn closed<T: Copy>(
    interval: &Interval<T>,
    least: T,
    most: T,
    next: impl Fn(T) -> T,
    previous: impl Fn(T) -> T,
) -> (T, T) {
    let low = match interval.0 {
        Bound::Included(low) => low,
        Bound::Excluded(low) => next(low),
        Bound::Unbounded => least,
    };
    let high = match interval.1 {
        Bound::Included(high) => high,
        Bound::Excluded(high) => previous(high),
        Bound::Unbounded => most,
    };
    (low, high)
}
