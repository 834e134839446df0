//! What makes a text no query.

/// Why a text is not a query, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at byte {at}")]
pub struct QueryError {
    /// Bytes from the beginning of the query to what is wrong.
    pub at: usize,
    /// What is wrong there.
    pub fault: QueryFault,
}

/// What is wrong with a query (spec/matchmaker.md 8.2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryFault {
    /// Nothing but white space.
    #[error("no clause")]
    Empty,
    /// A clause, or the rest of one, is missing at the end.
    #[error("expected {0}, found the end of the query")]
    Unfinished(&'static str),
    /// Something else stands where only one thing may stand.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A quotation mark without its partner.
    #[error("unterminated quotation")]
    Quotation,
    /// A value that is one slash.
    #[error("a single slash is no regular expression")]
    Slash,
    /// Digits that make no number that can be held.
    #[error("invalid number")]
    Number,
    /// A boost that is no finite number.
    #[error("invalid boost")]
    Boost,
    /// A distance of a fuzzy clause that is no finite number.
    #[error("invalid fuzziness")]
    Fuzziness,
    /// A date that is not RFC 3339.
    #[error("invalid date, expected RFC 3339")]
    Date,
    /// A regular expression of which queries that are held have too many different ones already.
    #[error("too many regular expressions are held")]
    Expressions,
}

impl QueryFault {
    pub(super) fn at(self, at: usize) -> QueryError {
        QueryError { at, fault: self }
    }
}
