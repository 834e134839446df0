//! JSON text as PostgreSQL's `jsonb` prints it: what columns of that type hold, and what clients are shown of them.

use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// Why a text cannot be stored as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotJson {
    /// It is no JSON text, or is nested deeper than 127 levels.
    #[error("no JSON text")]
    Malformed,
    /// It is JSON that the column type cannot hold: a NUL character, half of a surrogate pair.
    #[error("JSON with a character that cannot be stored")]
    Character,
}

/// `text` with a space after each colon and comma, members ordered by length and then byte by byte, the last of several of one name
/// kept. Numbers stay as they are written.
///
/// # Errors
/// See [`NotJson`].
pub fn normalised(text: &str) -> Result<String, NotJson> {
    rewritten(text, ", ", ": ")
}

/// The same without any space: what goes over sockets.
///
/// # Errors
/// See [`NotJson`].
pub fn compact(text: &str) -> Result<String, NotJson> {
    rewritten(text, ",", ":")
}

/// The members of the object `old` and of the object `new`, which go before those of the same name. Where one of them is no object, it
/// is `new`.
///
/// # Errors
/// See [`NotJson`].
pub fn merged(old: &str, new: &str) -> Result<String, NotJson> {
    let inside = |text: &str| Some(text.trim().strip_prefix('{')?.strip_suffix('}')?.trim().to_owned());
    let new = normalised(new)?;
    match (inside(&normalised(old)?), inside(&new)) {
        (Some(old), Some(members)) if !old.is_empty() && !members.is_empty() => {
            normalised(&format!("{{{old},{members}}}"))
        }
        (Some(old), Some(members)) if members.is_empty() => Ok(format!("{{{old}}}")),
        _ => Ok(new),
    }
}

fn rewritten(text: &str, comma: &str, colon: &str) -> Result<String, NotJson> {
    // Judged whole first: what walks through it afterwards meets no fault of form.
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| NotJson::Malformed)?;
    let mut walk = Walk { rest: text, depth: 0, comma, colon };
    walk.value()
}

/// Levels of objects and arrays that a text may have: as many as the JSON library takes, and far from what the stack bears.
const DEEPEST: usize = 127;

/// A walk through a text that is known to be JSON.
struct Walk<'a> {
    rest: &'a str,
    depth: usize,
    comma: &'a str,
    colon: &'a str,
}

impl Walk<'_> {
    fn value(&mut self) -> Result<String, NotJson> {
        self.skip_space();
        match self.rest.as_bytes().first() {
            Some(b'{' | b'[') if self.depth == DEEPEST => Err(NotJson::Malformed),
            Some(b'{') => self.deeper(Self::object),
            Some(b'[') => self.deeper(Self::array),
            Some(b'"') => self.string().map(|text| quoted(&text)),
            Some(_) => Ok(self.word().to_owned()),
            None => Err(NotJson::Malformed),
        }
    }

    fn deeper(&mut self, read: fn(&mut Self) -> Result<String, NotJson>) -> Result<String, NotJson> {
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Result<String, NotJson> {
        let mut members = BTreeMap::new();
        self.step();
        while !self.ends(b'}') {
            let name = self.string()?;
            // The colon.
            self.skip_space();
            self.step();
            let value = self.value()?;
            members.insert((name.len(), name), value);
        }
        let members = members.into_iter().map(|((_, name), value)| format!("{}{}{value}", quoted(&name), self.colon));
        Ok(format!("{{{}}}", members.collect::<Vec<_>>().join(self.comma)))
    }

    fn array(&mut self) -> Result<String, NotJson> {
        let mut items = Vec::new();
        self.step();
        while !self.ends(b']') {
            items.push(self.value()?);
        }
        Ok(format!("[{}]", items.join(self.comma)))
    }

    /// A string's text, its escapes resolved.
    fn string(&mut self) -> Result<String, NotJson> {
        let mut is_escaped = false;
        let end = self.rest.bytes().skip(1).position(|byte| {
            let ends = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            ends
        });
        let (string, rest) = end.and_then(|end| self.rest.split_at_checked(end + 2)).ok_or(NotJson::Malformed)?;
        self.rest = rest;
        let text: String = serde_json::from_str(string).map_err(|_| NotJson::Character)?;
        if text.contains('\0') { Err(NotJson::Character) } else { Ok(text) }
    }

    /// A number, or one of JSON's three words.
    fn word(&mut self) -> &str {
        let end = self.rest.find(|c: char| matches!(c, ',' | '}' | ']') || c.is_ascii_whitespace());
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    /// Whether an object or an array ends here; passes over its end, or over a comma.
    fn ends(&mut self, close: u8) -> bool {
        self.skip_space();
        match self.rest.as_bytes().first() {
            Some(b',') => {
                self.step();
                self.skip_space();
                false
            }
            Some(byte) if *byte == close => {
                self.step();
                true
            }
            Some(_) => false,
            None => true,
        }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Passes over one character of JSON's own, which is one byte.
    fn step(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_is_what_postgresql_prints() {
        for (text, wanted) in [
            ("{}", "{}"),
            (" [ ] ", "[]"),
            (r#"{"k":"v"}"#, r#"{"k": "v"}"#),
            (r#"{"bb":1,"a":[1,2,{"x":null}],"a":true, "B":1e2}"#, r#"{"B": 1e2, "a": true, "bb": 1}"#),
            (r#" "é\n\"\\" "#, r#""é\n\"\\""#),
            ("18446744073709551616.50", "18446744073709551616.50"),
            ("[true,\tfalse , null]", "[true, false, null]"),
        ] {
            assert_eq!(normalised(text).as_deref(), Ok(wanted), "{text}");
        }
        assert_eq!(compact(r#"{"a": [1, 2], "b": "x y"}"#).as_deref(), Ok(r#"{"a":[1,2],"b":"x y"}"#));
    }

    fn nested(depth: usize) -> String {
        "[".repeat(depth) + &"]".repeat(depth)
    }

    #[test]
    fn what_cannot_be_stored_is_refused() {
        for text in ["", "notjson", "{", "{a:1}", "[1,]", "1 2", "'a'", "nan", &nested(128)] {
            assert_eq!(normalised(text), Err(NotJson::Malformed), "{text}");
        }
        assert_eq!(normalised(&nested(127)), Ok(nested(127)));
        for text in [r#""\u0000""#, r#"{"\u0000":1}"#, r#"["\ud800"]"#] {
            assert_eq!(normalised(text), Err(NotJson::Character), "{text}");
        }
    }

    #[test]
    fn the_newer_members_go_before_the_older() {
        for (old, new, wanted) in [
            ("{}", r#"{"a":1}"#, r#"{"a": 1}"#),
            (r#"{"a":1}"#, "{ }", r#"{"a": 1}"#),
            (r#"{"a":1,"b":{"c":1}}"#, r#"{"b":{"d":2}}"#, r#"{"a": 1, "b": {"d": 2}}"#),
            (r#"{"a":1}"#, "[1]", "[1]"),
            ("[1]", r#"{"a":1}"#, r#"{"a": 1}"#),
        ] {
            assert_eq!(merged(old, new).as_deref(), Ok(wanted), "{old} {new}");
        }
        assert_eq!(merged("{}", "x"), Err(NotJson::Malformed));
    }

    fn any_value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "[^\0]{0,8}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map("[^\0]{0,4}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_value_stays_the_same(value in any_value()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let normal = normalised(&text).unwrap();
                prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&normal).unwrap(), &value);
                prop_assert_eq!(&normalised(&normal).unwrap(), &normal);
                prop_assert_eq!(&normalised(&compact(&text).unwrap()).unwrap(), &normal);
            }
        }
    }
}
