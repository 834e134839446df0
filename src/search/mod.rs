//! The query language of matchmaker tickets and of listings by label, and an index that answers its queries.
//!
//! A [`Query`] is a list of clauses (spec/matchmaker.md 8), a [`Document`] what a ticket, a party or a match says of itself
//! (spec/matchmaker.md 7). [`Query::score`] judges one document; an [`Index`] finds the best of many.
//!
//! Nothing here recurses, and judging a document takes no longer than the product of the lengths of query and document. What a search
//! over many costs is counted in [`Steps`], and ends it when they are used up.

mod clause;
mod date;
mod document;
mod error;
mod explain;
mod fuzzy;
mod index;
mod lexer;
mod parser;
mod query;
mod regular;
mod steps;
#[cfg(test)]
mod tests;
mod wildcard;

pub use clause::Occurrence;
pub use document::Document;
pub use error::{QueryError, QueryFault};
pub use explain::Verdict;
pub use index::Index;
pub use query::{Filter, Query};
pub use regular::Expressions;
pub use steps::{Reach, Steps};
