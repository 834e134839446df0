//! From tokens to clauses (spec/matchmaker.md 8.2).

use super::{
    clause::{Clause, Interval, Occurrence, Test},
    date::parse_rfc3339,
    error::{QueryError, QueryFault},
    fuzzy,
    lexer::{Kind, Token, tokens},
    regular::{Expressions, Regular},
    wildcard::Wildcard,
};
use std::{ops::Bound, sync::Arc};

/// A boost and what it makes of a score stay below this, so that no sum of scores leaves the range of a number.
const MOST_SCORE: f64 = 1e300;

/// Regular expressions of one query: each takes memory while the query is held.
const MOST_EXPRESSIONS: usize = 8;

/// What a query says.
pub(super) struct Parsed {
    pub(super) clauses: Vec<Clause>,
    /// Why it cannot be searched with, though it is a query.
    pub(super) fault: Option<String>,
}

/// Reads `query`, which is neither empty nor `*`. Its regular expressions are those of `shared`, if there are any.
///
/// # Errors
/// It is no query, or `shared` has no room for its expressions.
pub(super) fn parse(query: &str, shared: Option<&Expressions>) -> Result<Parsed, QueryError> {
    let tokens = tokens(query)?;
    if tokens.is_empty() {
        return Err(QueryFault::Empty.at(0));
    }
    let mut parser = Parser { query, tokens: &tokens, fault: None, expressions: 0, shared };
    let mut clauses = Vec::new();
    while !parser.tokens.is_empty() {
        clauses.push(parser.clause()?);
    }
    Ok(Parsed { clauses, fault: parser.fault })
}

struct Parser<'a> {
    query: &'a str,
    /// Those not read yet.
    tokens: &'a [Token],
    /// The first that was found.
    fault: Option<String>,
    /// Regular expressions so far.
    expressions: usize,
    shared: Option<&'a Expressions>,
}

/// What a clause asks, and of what.
struct Base {
    field: Option<Box<str>>,
    test: Test,
}

impl<'a> Parser<'a> {
    fn clause(&mut self) -> Result<Clause, QueryError> {
        let start = self.at();
        let occurrence = if self.take(&Kind::Plus) {
            Occurrence::Must
        } else if self.take(&Kind::Minus) {
            Occurrence::MustNot
        } else {
            Occurrence::Should
        };
        let base = self.base()?;
        let score = score(&base.test, self.boost()?);
        let text = self.query[start..self.at()].trim_end().into();
        Ok(Clause { occurrence, field: base.field, test: base.test, score, text })
    }

    fn base(&mut self) -> Result<Base, QueryError> {
        const EXPECTED: &str = "a field or a value";
        let token = self.next(EXPECTED)?;
        match &token.kind {
            Kind::Text(field) if self.take(&Kind::Colon) => {
                let test = self.value()?;
                Ok(Base { field: Some(field.as_str().into()), test })
            }
            Kind::Text(text) => Ok(Base { field: None, test: self.text(text, token.at)? }),
            Kind::Number(digits) => Ok(Base { field: None, test: equal(digits, token.at)? }),
            Kind::Phrase(_) => Ok(Base { field: None, test: Test::Never }),
            _ => Err(QueryFault::Expected(EXPECTED).at(token.at)),
        }
    }

    /// What follows a field and its colon.
    fn value(&mut self) -> Result<Test, QueryError> {
        const EXPECTED: &str = "a value";
        let token = self.next(EXPECTED)?;
        match &token.kind {
            Kind::Text(text) => self.text(text, token.at),
            Kind::Number(digits) => equal(digits, token.at),
            Kind::Minus => self.number().and_then(|(digits, at)| equal(&format!("-{digits}"), at)),
            Kind::Phrase(_) => Ok(Test::Never),
            Kind::Greater | Kind::Less => self.range(token.kind == Kind::Greater),
            _ => Err(QueryFault::Expected(EXPECTED).at(token.at)),
        }
    }

    /// What a text stands for: a distance behind it makes it fuzzy, else slashes around it a regular expression, else a star or
    /// question mark in it a wildcard.
    fn text(&mut self, text: &str, at: usize) -> Result<Test, QueryError> {
        if let Some(Token { kind: Kind::Tilde(steps), at, .. }) = self.tokens.first() {
            self.tokens = &self.tokens[1..];
            return self.fuzzy(text, steps, *at);
        }
        if text == "/" {
            return Err(QueryFault::Slash.at(at));
        }
        if let Some(pattern) = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
            return self.regular(pattern, at);
        }
        Ok(Wildcard::new(text).map_or_else(|| Test::Term(text.into()), Test::Wildcard))
    }

    fn regular(&mut self, pattern: &str, at: usize) -> Result<Test, QueryError> {
        self.expressions += 1;
        if self.expressions > MOST_EXPRESSIONS {
            return Ok(self.cannot_search(format!("more than {MOST_EXPRESSIONS} regular expressions")));
        }
        let expression = match self.shared {
            Some(shared) => shared.get(pattern).ok_or_else(|| QueryFault::Expressions.at(at))?,
            None => Regular::new(pattern).map(Arc::new),
        };
        Ok(expression.map_or_else(|fault| self.cannot_search(fault), Test::Regular))
    }

    fn fuzzy(&mut self, text: &str, steps: &str, at: usize) -> Result<Test, QueryError> {
        let steps = finite(if steps.is_empty() { "1" } else { steps }).ok_or_else(|| QueryFault::Fuzziness.at(at))?;
        // A part of a step is none.
        match steps.trunc() {
            whole if (0.0..=fuzzy::MAX_DISTANCE as f64).contains(&whole) => {
                Ok(Test::Fuzzy(text.into(), whole as usize))
            }
            _ => Ok(self.cannot_search(format!("fuzziness must be from 0 to {}", fuzzy::MAX_DISTANCE))),
        }
    }

    /// The rest of a range, behind its first character.
    fn range(&mut self, is_greater: bool) -> Result<Test, QueryError> {
        let is_inclusive = self.take(&Kind::Equal);
        if let Some(Token { kind: Kind::Phrase(text), at, .. }) = self.tokens.first() {
            self.tokens = &self.tokens[1..];
            let date = parse_rfc3339(text).ok_or_else(|| QueryFault::Date.at(*at))?;
            return Ok(Test::Dates(interval(date, is_greater, is_inclusive)));
        }
        let sign = if self.take(&Kind::Minus) { -1.0 } else { 1.0 };
        let (digits, at) = self.number()?;
        let limit = finite(digits).ok_or_else(|| QueryFault::Number.at(at))?;
        Ok(Test::Numbers(interval(sign * limit, is_greater, is_inclusive)))
    }

    /// Digits, and where they stand.
    fn number(&mut self) -> Result<(&'a str, usize), QueryError> {
        const EXPECTED: &str = "a number";
        match self.next(EXPECTED)? {
            Token { kind: Kind::Number(digits), at, .. } => Ok((digits, *at)),
            token => Err(QueryFault::Expected(EXPECTED).at(token.at)),
        }
    }

    fn boost(&mut self) -> Result<f64, QueryError> {
        let Some(Token { kind: Kind::Boost(text), at, .. }) = self.tokens.first() else { return Ok(1.0) };
        self.tokens = &self.tokens[1..];
        if text.is_empty() {
            return Ok(1.0);
        }
        finite(text).ok_or_else(|| QueryFault::Boost.at(*at))
    }

    fn cannot_search(&mut self, fault: String) -> Test {
        self.fault.get_or_insert(fault);
        Test::Never
    }

    /// Where the next token begins.
    fn at(&self) -> usize {
        self.tokens.first().map_or(self.query.len(), |token| token.at)
    }

    fn next(&mut self, expected: &'static str) -> Result<&'a Token, QueryError> {
        let (token, rest) =
            self.tokens.split_first().ok_or_else(|| QueryFault::Unfinished(expected).at(self.query.len()))?;
        self.tokens = rest;
        Ok(token)
    }

    fn take(&mut self, kind: &Kind) -> bool {
        let is_next = self.tokens.first().is_some_and(|token| token.kind == *kind);
        if is_next {
            self.tokens = &self.tokens[1..];
        }
        is_next
    }
}

/// The number, or a term that is written like it.
fn equal(digits: &str, at: usize) -> Result<Test, QueryError> {
    finite(digits).map(|number| Test::Number(number, digits.into())).ok_or_else(|| QueryFault::Number.at(at))
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn interval<T>(limit: T, is_greater: bool, is_inclusive: bool) -> Interval<T> {
    let limit = if is_inclusive { Bound::Included(limit) } else { Bound::Excluded(limit) };
    if is_greater { (limit, Bound::Unbounded) } else { (Bound::Unbounded, limit) }
}

/// What a match is worth (spec/matchmaker.md 8.5).
fn score(test: &Test, boost: f64) -> f64 {
    let score = match test {
        Test::Term(_) | Test::Fuzzy(..) => boost * boost,
        Test::Number(..) | Test::Numbers(_) | Test::Wildcard(_) | Test::Regular(_) => boost,
        Test::Dates(_) => 1.0,
        Test::Never => 0.0,
    };
    score.clamp(-MOST_SCORE, MOST_SCORE)
}
