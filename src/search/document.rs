//! What can be searched: fields with values.

use super::date::parse_date;
use serde_json::Value as Json;

/// The fields of one ticket, party or match (spec/matchmaker.md 7). A field may have several values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    fields: Vec<Field>,
}

/// One value of a document, and where it stands. Paths are case-sensitive; dots are part of them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) path: Box<str>,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// An exact, case-sensitive text.
    Term(Box<str>),
    /// Never NaN.
    Number(f64),
    /// Nanoseconds since 1970.
    Date(i128),
}

impl Document {
    /// A document without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a number. What is not a number (NaN) cannot be compared, so it is left out.
    #[must_use]
    pub fn number(mut self, path: &str, number: f64) -> Self {
        if !number.is_nan() {
            // The two zeros are one number.
            self.push(path, Value::Number(number + 0.0));
        }
        self
    }

    /// Adds a text: a timestamp if it reads as a date, and then nothing but date ranges finds it; otherwise one exact term.
    #[must_use]
    pub fn text(mut self, path: &str, text: &str) -> Self {
        self.push_text(path, text);
        self
    }

    /// Adds an exact term, also if it looks like a date.
    #[must_use]
    pub fn term(mut self, path: &str, term: &str) -> Self {
        self.push(path, Value::Term(term.into()));
        self
    }

    /// Adds what a label holds: the members of an object under the path, a dot and their name; the elements of an array as values of
    /// the path itself; true and false as the terms `T` and `F`; null not at all.
    #[must_use]
    pub fn json(mut self, path: &str, json: &Json) -> Self {
        let mut waiting = vec![(path.to_owned(), json)];
        while let Some((path, json)) = waiting.pop() {
            match json {
                Json::Null => {}
                Json::Bool(flag) => self.push(&path, Value::Term(if *flag { "T" } else { "F" }.into())),
                Json::Number(number) => self = self.number(&path, number.as_f64().unwrap_or(f64::NAN)),
                Json::String(text) => self.push_text(&path, text),
                Json::Array(elements) => waiting.extend(elements.iter().rev().map(|element| (path.clone(), element))),
                Json::Object(members) => {
                    waiting.extend(members.iter().rev().map(|(name, member)| (format!("{path}.{name}"), member)));
                }
            }
        }
        self
    }

    /// What stands at `path`.
    pub(super) fn values(&self, path: &str) -> impl Iterator<Item = &Value> {
        self.fields.iter().filter(move |field| *field.path == *path).map(|field| &field.value)
    }

    /// Every value, in the order in which they were added.
    pub(super) fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn push_text(&mut self, path: &str, text: &str) {
        let value = parse_date(text).map_or_else(|| Value::Term(text.into()), Value::Date);
        self.push(path, value);
    }

    fn push(&mut self, path: &str, value: Value) {
        self.fields.push(Field { path: path.into(), value });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn term(text: &str) -> Value {
        Value::Term(text.into())
    }

    fn at(document: &Document, path: &str) -> Vec<Value> {
        document.values(path).cloned().collect()
    }

    #[test]
    fn a_text_is_a_date_or_a_term() {
        let document = Document::new().text("a", "1970-01-01").text("b", "1970").term("c", "1970-01-01").text("d", "");
        assert_eq!(at(&document, "a"), [Value::Date(0)]);
        assert_eq!(at(&document, "b"), [term("1970")]);
        assert_eq!(at(&document, "c"), [term("1970-01-01")]);
        assert_eq!(at(&document, "d"), [term("")]);
        assert_eq!(at(&document, "A"), []);
    }

    #[test]
    fn what_cannot_be_compared_is_left_out() {
        let document = Document::new().number("n", f64::NAN).number("zero", -0.0).number("far", f64::INFINITY);
        assert_eq!(document.fields().len(), 2);
        assert!(matches!(at(&document, "zero")[..], [Value::Number(zero)] if zero.is_sign_positive()));
    }

    #[test]
    fn a_label_is_walked_to_its_leaves() {
        let label = json!({
            "mode": "x", "skill": 5, "tags": ["a", ["b", {"deep": "c"}]], "open": true, "shut": false, "nest": {"k": {"v": 1.5}},
            "when": "2024-01-01", "none": null, "empty": {}, "a.b": "dot"
        });
        let document = Document::new().json("label", &label);
        assert_eq!(at(&document, "label.mode"), [term("x")]);
        assert_eq!(at(&document, "label.skill"), [Value::Number(5.0)]);
        assert_eq!(at(&document, "label.tags"), [term("a"), term("b")]);
        assert_eq!(at(&document, "label.tags.deep"), [term("c")]);
        assert_eq!(at(&document, "label.open"), [term("T")]);
        assert_eq!(at(&document, "label.shut"), [term("F")]);
        assert_eq!(at(&document, "label.nest.k.v"), [Value::Number(1.5)]);
        assert!(matches!(at(&document, "label.when")[..], [Value::Date(_)]));
        assert_eq!(at(&document, "label.a.b"), [term("dot")]);
        assert_eq!(document.fields().len(), 10);
    }
}
