//! Fields from the values of a query string or of a path.

use super::{JsonError, JsonMessage, time, value::Scalar};
use prost_types::Timestamp;
use std::collections::BTreeMap;

type Result<T> = std::result::Result<T, JsonError>;

/// `name[key]` as its two parts.
pub(super) fn split_key(name: &str) -> Option<(&str, &str)> {
    name.strip_suffix(']')?.rsplit_once('[')
}

/// The first step of a dotted path, and the rest.
pub(super) fn first(path: &str) -> (&str, Option<&str>) {
    path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)))
}

/// A field that values are meant for.
pub(super) struct At<'a> {
    /// As the client spells it.
    pub(super) name: &'a str,
    /// As the `.proto` spells it.
    pub(super) field: &'static str,
    /// The path below the field.
    pub(super) rest: Option<&'a str>,
    pub(super) values: &'a [&'a str],
}

impl At<'_> {
    pub(super) fn scalar<S: Scalar>(&self, place: &mut S) -> Result<bool> {
        self.leaf()?;
        *place = self.parse(self.field, S::from_text)?;
        Ok(true)
    }

    pub(super) fn enumeration(&self, place: &mut i32, number_of: impl Fn(&str) -> Option<i32>) -> Result<bool> {
        self.leaf()?;
        let parse = |text: &str| {
            let number = number_of(text).or_else(|| text.parse().ok());
            number.ok_or_else(|| format!("{} is not a valid value", quote(text)))
        };
        *place = self.parse(self.field, parse)?;
        Ok(true)
    }

    /// A wrapper is set by its own name and by the name of the field in it.
    pub(super) fn wrapper<S: Scalar>(&self, place: &mut Option<S>) -> Result<bool> {
        let field = match self.rest.map(first) {
            None => self.field,
            Some(("value", None)) => "value",
            Some(("value", Some(_))) => return Err(not_a_message("value")),
            Some(_) => return Ok(false),
        };
        *place = Some(self.parse(field, S::from_text)?);
        Ok(true)
    }

    pub(super) fn timestamp(&self, place: &mut Option<Timestamp>) -> Result<bool> {
        if self.rest.is_some() {
            return Ok(false);
        }
        let parse = |text: &str| time::read(text).ok_or_else(|| format!("{} is not an RFC 3339 time", quote(text)));
        *place = Some(self.parse(self.field, parse)?);
        Ok(true)
    }

    pub(super) fn message<M: JsonMessage>(&self, place: &mut Option<M>, type_name: &str) -> Result<bool> {
        let Some(rest) = self.rest else { return self.unsupported(type_name) };
        let mut message = place.clone().unwrap_or_default();
        let known = message.set_path(rest, self.values)?;
        if known {
            *place = Some(message);
        }
        Ok(known)
    }

    pub(super) fn list<S: Scalar>(&self, place: &mut Vec<S>) -> Result<bool> {
        self.leaf()?;
        for text in self.values {
            let value = S::from_text(text);
            place.push(value.map_err(|why| JsonError(format!("parsing list {}: {why}", quote(self.field))))?);
        }
        Ok(true)
    }

    pub(super) fn map<S: Scalar>(&self, place: &mut BTreeMap<String, S>) -> Result<bool> {
        self.leaf()?;
        let [key, value] = self.values else {
            let key = quote(self.values.first().unwrap_or(&""));
            let what = format!("more than one value provided for key {key} in map {}", quote(self.field));
            return Err(JsonError(what));
        };
        let value = S::from_text(value);
        let value = value.map_err(|why| JsonError(format!("parsing map value {}: {why}", quote(self.field))))?;
        place.insert((*key).to_owned(), value);
        Ok(true)
    }

    pub(super) fn oneof<S: Scalar, O>(
        &self,
        place: &mut Option<O>,
        oneof: &str,
        variant: impl Fn(S) -> O,
    ) -> Result<bool> {
        if place.is_some() {
            return Err(JsonError(format!("field already set for oneof {}", quote(oneof))));
        }
        self.leaf()?;
        *place = Some(variant(self.parse(self.field, S::from_text)?));
        Ok(true)
    }

    /// A field that text cannot set.
    pub(super) fn unsupported(&self, type_name: &str) -> Result<bool> {
        let what = format!("parsing field {}: unsupported message type: {}", quote(self.field), quote(type_name));
        Err(JsonError(what))
    }

    fn leaf(&self) -> Result<()> {
        if self.rest.is_some() { Err(not_a_message(self.name)) } else { Ok(()) }
    }

    /// The one value, parsed.
    fn parse<T>(&self, field: &str, parse: impl Fn(&str) -> std::result::Result<T, String>) -> Result<T> {
        match self.values {
            [] => Err(JsonError("no value provided".to_owned())),
            [text] => parse(text).map_err(|why| JsonError(format!("parsing field {}: {why}", quote(field)))),
            _ => Err(JsonError(format!("too many values for field {}: {}", quote(field), self.values.join(", ")))),
        }
    }
}

fn not_a_message(name: &str) -> JsonError {
    JsonError(format!("invalid path: {} is not a message", quote(name)))
}

/// Why `text` is not a number or a bool, in the words of Go's strconv.
pub(super) fn not_parsed(function: &str, text: &str, why: &str) -> String {
    format!("strconv.{function}: parsing {}: {why}", quote(text))
}

/// `text` in double quotes, with Go's escapes for what could not be seen.
pub(super) fn quote(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::from("\"");
    for c in text.chars() {
        let written = match c {
            '"' | '\\' => write!(out, "\\{c}"),
            '\u{7}' => out.write_str("\\a"),
            '\u{8}' => out.write_str("\\b"),
            '\u{c}' => out.write_str("\\f"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            '\u{b}' => out.write_str("\\v"),
            '\0'..'\u{20}' | '\u{7f}' => write!(out, "\\x{:02x}", u32::from(c)),
            _ if is_printable(c) => write!(out, "{c}"),
            '\0'..='\u{ffff}' => write!(out, "\\u{:04x}", u32::from(c)),
            _ => write!(out, "\\U{:08x}", u32::from(c)),
        };
        written.expect("a String takes all that is written to it");
    }
    out.push('"');
    out
}

/// Nearly Go's idea: letters, marks, numbers, punctuation, symbols, and the plain blank. The standard library knows by `Debug`.
fn is_printable(c: char) -> bool {
    c == '\'' || (c == ' ' || !c.is_whitespace()) && c.escape_debug().len() == 1
}
