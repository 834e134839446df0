//! Reading: one pass over the text, values straight into the fields.

use super::{
    JsonError, Unknown, number,
    scan::quote_char,
    text::quote,
    time,
    value::{Value, decode_base64},
    write::plain_prefix,
};
use bytes::Bytes;
use prost_types::Timestamp;
use std::{borrow::Cow, collections::BTreeMap};

/// A place in a JSON text.
///
/// With [`Unknown::Ignore`] the text must already have passed `scan::first_value`: what is skipped is not looked at again.
pub struct Reader<'a> {
    /// The text, up to the first byte that is not UTF-8.
    text: &'a str,
    at: usize,
    /// Whether `text` ends where it does because the next byte is not UTF-8.
    cut: bool,
    unknown: Unknown,
}

/// The name of a member, and where it stands.
pub(super) struct Name<'a> {
    pub(super) text: Cow<'a, str>,
    start: usize,
}

type Result<T> = std::result::Result<T, JsonError>;

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], unknown: Unknown) -> Self {
        let (text, cut) = match std::str::from_utf8(bytes) {
            Ok(text) => (text, false),
            Err(error) => (std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(), true),
        };
        Self { text, at: 0, cut, unknown }
    }

    /// The next byte that is not blank, left where it is.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// The text must be over.
    pub(super) fn finish(mut self) -> Result<()> {
        if self.peek().is_none() && !self.cut { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Begins an object.
    pub(super) fn members(&mut self) -> Result<Members> {
        self.expect(b'{')?;
        Ok(Members { first: true, seen: 0, oneofs: 0 })
    }

    pub(super) fn unknown_member(&mut self, name: &Name<'_>) -> Result<()> {
        match self.unknown {
            Unknown::Ignore => self.skip(),
            Unknown::Reject => Err(self.error(name.start, &format!("unknown field {}", self.raw(name.start)))),
        }
    }

    /// Passes over one value of any depth, without recursion. Strings are still checked, as Nakama does.
    fn skip(&mut self) -> Result<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                None => return Err(self.unexpected()),
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b'}' | b']') => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                Some(b'"') => drop(self.string()?),
                Some(b',' | b':') => self.at += 1,
                Some(_) => self.at += self.raw(self.at).len(),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    pub(super) fn list<V: Value>(&mut self, field: &str) -> Result<Vec<V>> {
        self.expect(b'[')?;
        let mut values = Vec::new();
        if self.take(b']') {
            return Ok(values);
        }
        loop {
            values.push(V::read(self, field)?);
            if !self.take(b',') {
                self.expect(b']')?;
                return Ok(values);
            }
        }
    }

    pub(super) fn map<V: Value>(&mut self) -> Result<BTreeMap<String, V>> {
        let mut members = self.members()?;
        let mut map = BTreeMap::new();
        while let Some(name) = members.next(self)? {
            if map.contains_key(&*name.text) {
                return Err(self.error(name.start, &format!("duplicate map key {}", self.raw(name.start))));
            }
            map.insert(name.text.into_owned(), V::read(self, "value")?);
        }
        Ok(map)
    }

    pub(super) fn text_value(&mut self, kind: &str, field: &str) -> Result<Cow<'a, str>> {
        if self.peek() == Some(b'"') { self.string() } else { Err(self.invalid(self.at, kind, field)) }
    }

    pub(super) fn boolean(&mut self, field: &str) -> Result<bool> {
        self.peek();
        let raw = self.raw(self.at);
        let value = match raw {
            "true" => true,
            "false" => false,
            _ => return Err(self.invalid(self.at, "bool", field)),
        };
        self.at += raw.len();
        Ok(value)
    }

    pub(super) fn integer<T: TryFrom<i64>>(&mut self, kind: &str, field: &str) -> Result<T> {
        let start = self.start();
        let number = self.number()?;
        let value = number.as_deref().and_then(number::whole).and_then(|whole| T::try_from(whole).ok());
        value.ok_or_else(|| self.invalid(start, kind, field))
    }

    pub(super) fn double(&mut self, field: &str) -> Result<f64> {
        let start = self.start();
        if self.peek() == Some(b'"') {
            let special = match self.raw(start) {
                "\"NaN\"" => Some(f64::NAN),
                "\"Infinity\"" => Some(f64::INFINITY),
                "\"-Infinity\"" => Some(f64::NEG_INFINITY),
                _ => None,
            };
            if let Some(value) = special {
                self.string()?;
                return Ok(value);
            }
        }
        let number = self.number()?;
        number.as_deref().and_then(number::double).ok_or_else(|| self.invalid(start, "double", field))
    }

    pub(super) fn bytes(&mut self, field: &str) -> Result<Bytes> {
        let start = self.start();
        let text = self.text_value("bytes", field)?;
        decode_base64(&text).ok_or_else(|| self.invalid(start, "bytes", field))
    }

    /// An enum by its number or, where unknown members are ignored, by a name; an unknown name is no value then.
    pub(super) fn enumeration(&mut self, field: &str, number_of: impl Fn(&str) -> Option<i32>) -> Result<i32> {
        let start = self.start();
        if self.peek() != Some(b'"') {
            return self.integer("enum", field);
        }
        let name = self.string()?;
        match (number_of(&name), self.unknown) {
            (Some(number), _) => Ok(number),
            (None, Unknown::Ignore) => Ok(0),
            (None, Unknown::Reject) => Err(self.invalid(start, "enum", field)),
        }
    }

    pub(super) fn timestamp(&mut self) -> Result<Timestamp> {
        let start = self.start();
        if self.peek() != Some(b'"') {
            return Err(self.unexpected());
        }
        let text = self.string()?;
        time::read(&text)
            .ok_or_else(|| self.error(start, &format!("invalid google.protobuf.Timestamp value {}", self.raw(start))))
    }

    /// Where the next value begins.
    fn start(&mut self) -> usize {
        self.peek();
        self.at
    }

    /// A number, bare or in a string; `None` when the value is neither.
    fn number(&mut self) -> Result<Option<Cow<'a, str>>> {
        if self.peek() == Some(b'"') {
            return Ok(Some(self.string()?).filter(|text| number::is_number(text)));
        }
        let rest = &self.text[self.at..];
        let Some(length) = number::length(rest.as_bytes()) else { return Ok(None) };
        self.at += length;
        Ok(Some(Cow::Borrowed(&rest[..length])))
    }

    /// The string that begins here.
    fn string(&mut self) -> Result<Cow<'a, str>> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let at = plain_prefix(bytes, start + 1);
        match bytes.get(at) {
            Some(b'"') => {
                self.at = at + 1;
                Ok(Cow::Borrowed(&self.text[start + 1..at]))
            }
            Some(b'\\') => self.escaped_string(start, at).map(Cow::Owned),
            _ => Err(self.bad_string(start, at)),
        }
    }

    /// A string whose first escape is at `at`.
    fn escaped_string(&mut self, start: usize, mut at: usize) -> Result<String> {
        let bytes = self.text.as_bytes();
        let mut text = self.text[start + 1..at].to_owned();
        loop {
            match bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    let (c, length) = self.escape(start, at)?;
                    text.push(c);
                    at += length;
                }
                _ => {
                    let end = plain_prefix(bytes, at);
                    if end == at {
                        return Err(self.bad_string(start, at));
                    }
                    text.push_str(&self.text[at..end]);
                    at = end;
                }
            }
        }
    }

    /// The character of the escape at `at`, and how long it is written.
    fn escape(&self, start: usize, at: usize) -> Result<(char, usize)> {
        let short = match self.text.as_bytes().get(at + 1) {
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(&byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'u') => return self.unicode_escape(start, at),
            _ => return Err(self.bad_escape(start, at, 2)),
        };
        Ok((short, 2))
    }

    fn unicode_escape(&self, start: usize, at: usize) -> Result<(char, usize)> {
        let unit = self.unit(at).ok_or_else(|| self.bad_escape(start, at, 6))?;
        if let Some(c) = char::from_u32(unit.into()) {
            return Ok((c, 6));
        }
        // One half of a surrogate pair; the other one must follow.
        let second = self.unit(at + 6);
        let pair = second.and_then(|second| char::decode_utf16([unit, second]).next()?.ok());
        pair.map(|c| (c, 12)).ok_or_else(|| self.bad_escape(start, at + 6, 6))
    }

    /// The number in a `\uXXXX` at `at`.
    fn unit(&self, at: usize) -> Option<u16> {
        let digits = self.text.get(at..at + 6)?.strip_prefix("\\u")?;
        if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) { u16::from_str_radix(digits, 16).ok() } else { None }
    }

    fn bad_escape(&self, start: usize, at: usize, length: usize) -> JsonError {
        let shown: String = self.text.get(at..).unwrap_or_default().chars().take(length).collect();
        self.syntax(start, &format!("invalid escape code {} in string", quote(&shown)))
    }

    fn bad_string(&self, start: usize, at: usize) -> JsonError {
        match self.text[at..].chars().next() {
            Some(c) => self.syntax(start, &format!("invalid character {} in string", quote_char(c))),
            None if self.cut => self.syntax(start, "invalid UTF-8 in string"),
            None => JsonError("unexpected EOF".to_owned()),
        }
    }

    /// The token at `start`, as it is written.
    fn raw(&self, start: usize) -> &'a str {
        let rest = &self.text[start..];
        let length = match rest.as_bytes().first() {
            None => 0,
            Some(b'"') => string_length(rest.as_bytes()),
            Some(b'{' | b'}' | b'[' | b']' | b':' | b',') => 1,
            Some(_) => {
                let token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.' | '_');
                rest.find(|c| !token(c)).unwrap_or(rest.len()).max(rest.chars().next().map_or(0, char::len_utf8))
            }
        };
        &rest[..length]
    }

    fn unexpected(&mut self) -> JsonError {
        match self.peek() {
            None if !self.cut => JsonError("unexpected EOF".to_owned()),
            None => self.syntax(self.at, "invalid UTF-8"),
            Some(_) => self.syntax(self.at, &format!("unexpected token {}", self.raw(self.at))),
        }
    }

    fn invalid(&self, start: usize, kind: &str, field: &str) -> JsonError {
        self.error(start, &format!("invalid value for {kind} field {field}: {}", self.raw(start)))
    }

    fn syntax(&self, at: usize, what: &str) -> JsonError {
        JsonError(format!("proto: syntax error {}: {what}", self.position(at)))
    }

    fn error(&self, at: usize, what: &str) -> JsonError {
        JsonError(format!("proto: {}: {what}", self.position(at)))
    }

    /// Line and column, both counted from 1, the column in characters.
    fn position(&self, at: usize) -> String {
        let before = &self.text[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("(line {line}:{column})")
    }
}

/// The length of the string at the start of `text`, quotes included; all of `text` if it does not end.
fn string_length(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// The members of one object, and which fields they have set so far.
pub(super) struct Members {
    first: bool,
    /// One bit for each field.
    seen: u64,
    /// One bit for each oneof.
    oneofs: u8,
}

impl Members {
    /// The next name; the reader then stands at its value. `None` at the end of the object.
    pub(super) fn next<'a>(&mut self, reader: &mut Reader<'a>) -> Result<Option<Name<'a>>> {
        if self.first {
            self.first = false;
            if reader.take(b'}') {
                return Ok(None);
            }
        } else if !reader.take(b',') {
            reader.expect(b'}')?;
            return Ok(None);
        }
        if reader.peek() != Some(b'"') {
            return Err(reader.unexpected());
        }
        let start = reader.at;
        let text = reader.string()?;
        reader.expect(b':')?;
        Ok(Some(Name { text, start }))
    }

    /// Whether the value is `null`, which it then passes over. A field that was there before is an error either way.
    pub(super) fn is_absent(&mut self, reader: &mut Reader<'_>, index: u32, name: &Name<'_>) -> Result<bool> {
        let bit = 1_u64.checked_shl(index).unwrap_or_default();
        if self.seen & bit != 0 {
            return Err(reader.error(name.start, &format!("duplicate field {}", reader.raw(name.start))));
        }
        self.seen |= bit;
        let absent = reader.peek() == Some(b'n') && reader.raw(reader.at) == "null";
        if absent {
            reader.at += 4;
        }
        Ok(absent)
    }

    /// Takes the oneof number `oneof` for a member.
    pub(super) fn claim(&mut self, reader: &Reader<'_>, oneof: u32, name: &Name<'_>, oneof_name: &str) -> Result<()> {
        let bit = 1_u8.checked_shl(oneof).unwrap_or_default();
        if self.oneofs & bit != 0 {
            let what = format!("error parsing {}, oneof {oneof_name} is already set", reader.raw(name.start));
            return Err(reader.error(name.start, &what));
        }
        self.oneofs |= bit;
        Ok(())
    }
}
