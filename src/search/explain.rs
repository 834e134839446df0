//! Why a document matches a query or does not, clause by clause.

use super::{
    clause::{Clause, Occurrence, Test},
    document::{Document, Value},
    steps::Steps,
};

/// Values shown of one field, and characters of one value: an explanation is for reading.
const MOST_VALUES: usize = 8;
const MOST_CHARACTERS: usize = 128;

/// What one clause says of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The clause as it was written.
    pub clause: String,
    /// How it counts.
    pub occurrence: Occurrence,
    /// Whether it matches. For a must-not, that means the document is out.
    pub is_match: bool,
    /// What the document has at the field: texts in quotation marks, dates in nanoseconds since 1970. The first few, cut short.
    pub found: Vec<String>,
    /// Why the clause matches nothing at all, if that is so.
    pub note: Option<&'static str>,
}

pub(super) fn verdict(clause: &Clause, document: &Document) -> Verdict {
    let found = clause.field.iter().flat_map(|field| document.values(field)).take(MOST_VALUES).map(show).collect();
    let note = match (&clause.field, &clause.test) {
        (None, _) => Some("a clause without a field matches nothing"),
        (Some(_), Test::Never) => {
            Some("a phrase, an invalid regular expression or a fuzziness above 2 matches nothing")
        }
        (Some(_), _) => None,
    };
    Verdict {
        clause: clause.text.to_string(),
        occurrence: clause.occurrence,
        is_match: clause.score(document, &Steps::unbounded()).is_some(),
        found,
        note,
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Term(term) => format!("{:?}", term.chars().take(MOST_CHARACTERS).collect::<String>()),
        Value::Number(number) => number.to_string(),
        Value::Date(nanos) => format!("date {nanos}"),
    }
}
