//! A query as a whole, and what it makes of a document.

use super::{
    clause::{Clause, Occurrence},
    document::{Document, Value},
    error::QueryError,
    explain::{self, Verdict},
    parser::{Parsed, parse},
    regular::Expressions,
    steps::Steps,
};

/// What a ticket or a caller asks for (spec/matchmaker.md 8).
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// None: everything matches, with a score of 1.
    clauses: Vec<Clause>,
    fault: Option<Box<str>>,
}

/// A condition of the searcher's own beside the query: what fails it is out; it adds nothing to the score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Filter<'a> {
    /// A number at this path is at least so much.
    AtLeast(&'a str, f64),
    /// A number at this path is at most so much.
    AtMost(&'a str, f64),
    /// No term at this path is this one.
    Not(&'a str, &'a str),
}

impl Query {
    /// Reads `text`. Nothing, or one star, asks for everything.
    ///
    /// # Errors
    /// It is no query: what is wrong, and where. An invalid regular expression or too great a fuzziness is not found here but by
    /// [`Query::search_fault`].
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        Self::read(text, None)
    }

    /// The same for a query that is held for long: it shares its regular expressions with others that have the same.
    ///
    /// # Errors
    /// It is no query, or has an expression of which `expressions` has no room for another.
    pub fn parse_to_hold(text: &str, expressions: &Expressions) -> Result<Self, QueryError> {
        Self::read(text, Some(expressions))
    }

    fn read(text: &str, expressions: Option<&Expressions>) -> Result<Self, QueryError> {
        if text.is_empty() || text == "*" {
            return Ok(Self::default());
        }
        let Parsed { clauses, fault } = parse(text, expressions)?;
        Ok(Self { clauses, fault: fault.map(Into::into) })
    }

    /// Why searching with this query fails, if it does (spec/matchmaker.md 8.6): it matches nothing, and yet may be held.
    pub fn search_fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// How well `document` fits; none if it does not match. All musts, no must-not and, without a must, one should have to match
    /// (spec/matchmaker.md 8.4); the score is the sum of what musts and shoulds are worth (8.5).
    pub fn score(&self, document: &Document) -> Option<f64> {
        self.score_within(document, &Steps::unbounded())
    }

    /// The same, taking from `steps` what it costs. It is judged to the end, also if they are used up by it.
    pub fn score_within(&self, document: &Document, steps: &Steps) -> Option<f64> {
        if self.fault.is_some() {
            return None;
        }
        let (mut score, mut is_found) = (0.0, false);
        for clause in &self.clauses {
            match (clause.occurrence, clause.score(document, steps)) {
                (Occurrence::Must, None) | (Occurrence::MustNot, Some(_)) => return None,
                (Occurrence::Must | Occurrence::Should, Some(more)) => {
                    score += more;
                    is_found = true;
                }
                (Occurrence::Should | Occurrence::MustNot, None) => {}
            }
        }
        match (is_found, self.asks_for_something()) {
            (true, _) => Some(score),
            (false, true) => None,
            (false, false) => Some(1.0),
        }
    }

    /// One verdict for each clause on `document`, in the order of the query, to show why it matches or does not.
    pub fn explain(&self, document: &Document) -> Vec<Verdict> {
        self.clauses.iter().map(|clause| explain::verdict(clause, document)).collect()
    }

    pub(super) fn clauses(&self) -> &[Clause] {
        &self.clauses
    }

    /// Whether there is a clause that a document has to match, not only such that it must not.
    pub(super) fn asks_for_something(&self) -> bool {
        self.clauses.iter().any(|clause| clause.occurrence != Occurrence::MustNot)
    }
}

impl Filter<'_> {
    /// Whether `document` passes.
    pub fn accepts(&self, document: &Document) -> bool {
        let number = |path: &str, takes: &dyn Fn(f64) -> bool| {
            document.values(path).any(|value| matches!(value, Value::Number(number) if takes(*number)))
        };
        match self {
            Self::AtLeast(path, least) => number(path, &|number| number >= *least),
            Self::AtMost(path, most) => number(path, &|number| number <= *most),
            Self::Not(path, term) => {
                !document.values(path).any(|value| matches!(value, Value::Term(held) if **held == **term))
            }
        }
    }
}
