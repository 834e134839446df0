//! One clause of a query, and what it matches.

use super::{
    document::{Document, Value},
    fuzzy::{self, distance},
    regular::Regular,
    steps::{Steps, TERM},
    wildcard::Wildcard,
};
use std::{
    ops::{Bound, RangeBounds},
    sync::Arc,
};

/// How a clause counts (spec/matchmaker.md 8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occurrence {
    /// `+`: what does not match it is out.
    Must,
    /// Neither: adds to the score; without a must, one of them is needed.
    Should,
    /// `-`: what matches it is out.
    MustNot,
}

/// One clause of a query.
#[derive(Clone, Debug)]
pub(super) struct Clause {
    pub(super) occurrence: Occurrence,
    /// Where to look. A clause that names no field searches one that no document has.
    pub(super) field: Option<Box<str>>,
    pub(super) test: Test,
    /// What a match is worth; in a fuzzy clause, one without a difference.
    pub(super) score: f64,
    /// As it was written.
    pub(super) text: Box<str>,
}

pub(super) type Interval<T> = (Bound<T>, Bound<T>);

/// What a clause asks of a value.
#[derive(Clone, Debug)]
pub(super) enum Test {
    /// Nothing fits: a phrase, because terms are indexed whole, or what cannot be searched for.
    Never,
    Term(Box<str>),
    /// The number, or a term of the same text.
    Number(f64, Box<str>),
    Numbers(Interval<f64>),
    /// Nanoseconds since 1970.
    Dates(Interval<i128>),
    Wildcard(Wildcard),
    Regular(Arc<Regular>),
    /// A term at most so many steps away.
    Fuzzy(Box<str>, usize),
}

impl Clause {
    /// What `document` earns by this clause; none if it does not match. It is judged to the end, also if `steps` are used up by it.
    pub(super) fn score(&self, document: &Document, steps: &Steps) -> Option<f64> {
        steps.take_each(1 + document.fields().len());
        let field = self.field.as_deref()?;
        let factors = document.values(field).filter_map(|value| {
            steps.take(self.test.steps(value));
            self.test.factor(value)
        });
        factors.max_by(f64::total_cmp).map(|factor| self.score * factor)
    }
}

impl Test {
    /// What share of its score the clause gives for `value`; none if it does not match.
    pub(super) fn factor(&self, value: &Value) -> Option<f64> {
        match value {
            Value::Term(term) => self.factor_of_term(term),
            Value::Number(number) => self.takes_number(*number).then_some(1.0),
            Value::Date(date) => self.takes_date(*date).then_some(1.0),
        }
    }

    /// What judging `value` costs.
    fn steps(&self, value: &Value) -> u64 {
        match value {
            Value::Term(term) => self.steps_of_term(term),
            Value::Number(_) | Value::Date(_) => 1,
        }
    }

    /// What [`Test::factor_of_term`] costs at most.
    pub(super) fn steps_of_term(&self, term: &str) -> u64 {
        match self {
            Self::Never | Self::Numbers(_) | Self::Dates(_) => 1,
            Self::Term(_) | Self::Number(..) => 2,
            Self::Wildcard(wildcard) => TERM + wildcard.steps(term),
            Self::Regular(regular) => TERM + regular.steps(term),
            Self::Fuzzy(wanted, _) => TERM + 4 * (wanted.len() + term.len()) as u64,
        }
    }

    pub(super) fn factor_of_term(&self, term: &str) -> Option<f64> {
        let matches = match self {
            Self::Never | Self::Numbers(_) | Self::Dates(_) => false,
            Self::Term(wanted) | Self::Number(_, wanted) => **wanted == *term,
            Self::Wildcard(wildcard) => wildcard.matches(term),
            Self::Regular(regular) => regular.matches(term),
            Self::Fuzzy(wanted, most) => return fuzzy_factor(wanted, term, *most),
        };
        matches.then_some(1.0)
    }

    fn takes_number(&self, number: f64) -> bool {
        match self {
            Self::Number(wanted, _) => *wanted == number,
            Self::Numbers(interval) => interval.contains(&number),
            Self::Wildcard(wildcard) => wildcard.is_anything(),
            Self::Never | Self::Term(_) | Self::Dates(_) | Self::Regular(_) | Self::Fuzzy(..) => false,
        }
    }

    fn takes_date(&self, date: i128) -> bool {
        matches!(self, Self::Dates(interval) if interval.contains(&date))
    }
}

/// The nearer, the more; a short text loses more by a step than a long one (spec/matchmaker.md 8.5).
fn fuzzy_factor(wanted: &str, term: &str, most: usize) -> Option<f64> {
    let steps = distance(wanted, term, most.min(fuzzy::MAX_DISTANCE))?;
    let shorter = wanted.chars().count().min(term.chars().count()).max(1);
    Some(1.0 - steps as f64 / shorter as f64)
}
