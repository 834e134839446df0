//! JSON of strangers: one object, bounded, each name once. What two readers could read differently is refused.

use super::refusal::Reason;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::{cell::Cell, fmt};

/// Deepest nesting of objects and arrays.
pub const MAX_DEPTH: usize = 16;
/// Most object members, all levels together. Array elements are bounded by the length of the token.
pub const MAX_MEMBERS: usize = 256;

/// Reads one JSON object.
///
/// # Errors
/// Not JSON, not UTF-8, anything before or after the object, not an object, a name twice at any level, too deep, too many members.
pub(super) fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, Reason> {
    let bounds = Bounds { members: Cell::new(0), fault: Cell::new(Reason::Json) };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Reader { depth: 0, bounds: &bounds }.deserialize(&mut reader).map_err(|_| bounds.fault.get())?;
    reader.end().map_err(|_| Reason::Json)?;
    match value {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Reason::NotAnObject)
        }
    }
}

/// What one document has used up, and which bound it broke: serde's errors carry text only.
struct Bounds {
    members: Cell<usize>,
    fault: Cell<Reason>,
}

impl Bounds {
    fn broken<E: serde::de::Error>(&self, reason: Reason) -> E {
        self.fault.set(reason);
        E::custom(reason.as_str())
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    depth: usize,
    bounds: &'a Bounds,
}

impl Reader<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.bounds.broken(Reason::TooDeep));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number without bounds"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(inner)? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let count = self.bounds.members.get() + 1;
            self.bounds.members.set(count);
            if count > MAX_MEMBERS {
                return Err(self.bounds.broken(Reason::TooManyMembers));
            }
            if object.contains_key(&name) {
                return Err(self.bounds.broken(Reason::DuplicateName));
            }
            object.insert(name, members.next_value_seed(inner)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Reason {
        parse_object(text.as_bytes()).expect_err("must be refused")
    }

    #[test]
    fn a_name_may_stand_once_at_every_level() {
        assert_eq!(refused(r#"{"a":1,"a":1}"#), Reason::DuplicateName);
        assert_eq!(refused(r#"{"b":[{"a":1,"\u0061":2}]}"#), Reason::DuplicateName);
        parse_object(br#"{"a":{"a":1},"A":[{"a":1},{"a":1}]}"#).expect("other objects, other case");
    }

    #[test]
    fn depth_and_members_are_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        parse_object(nested(MAX_DEPTH).as_bytes()).expect("as deep as allowed");
        assert_eq!(refused(&nested(MAX_DEPTH + 1)), Reason::TooDeep);
        assert_eq!(refused(&nested(5_000)), Reason::TooDeep);
        let wide = |members: usize| {
            let list: Vec<_> = (0..members).map(|n| format!("\"{n}\":{n}")).collect();
            format!("{{{}}}", list.join(","))
        };
        parse_object(wide(MAX_MEMBERS).as_bytes()).expect("as many as allowed");
        assert_eq!(refused(&wide(MAX_MEMBERS + 1)), Reason::TooManyMembers);
    }

    #[test]
    fn only_one_object_and_nothing_beside_it() {
        for scalar in ["[1]", "1", "null", "\"a\"", "[]"] {
            assert_eq!(refused(scalar), Reason::NotAnObject, "{scalar}");
        }
        for broken in
            ["", "{", "{}{}", "{} x", "\u{feff}{}", "{\"a\":1e999}", "{'a':1}", "{\"a\":1,}", r#"{"a":"\ud800"}"#]
        {
            assert_eq!(refused(broken), Reason::Json, "{broken}");
        }
        assert_eq!(parse_object(b"{\"a\":\"\xff\"}").expect_err("not UTF-8"), Reason::Json);
    }
}
