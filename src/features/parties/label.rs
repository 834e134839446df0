//! What a party says of itself: a JSON object, or `null` (spec/parties.md 4).

use super::refusal::PartyError;
use serde_json::{Map, Value};

/// Bytes of a label.
const MAX_BYTES: usize = 2_048;

/// The label as it is kept: none is `{}`, and what was written stays as it was written.
///
/// # Errors
/// It is too long, or not what a label must be.
pub(super) fn kept(label: &str) -> Result<String, PartyError> {
    if label.len() > MAX_BYTES {
        return Err(PartyError::LabelTooLong);
    }
    if label.is_empty() {
        return Ok("{}".to_owned());
    }
    match serde_json::from_str::<Option<Map<String, Value>>>(label) {
        Ok(_) => Ok(label.to_owned()),
        Err(error) => Err(PartyError::LabelMalformed(error.to_string())),
    }
}

/// Whether a label says nothing: only such a one goes with a party that an update hides.
pub(super) fn says_nothing(label: &str) -> bool {
    matches!(label, "" | "{}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_an_object_or_null_and_stays_as_it_was_written() {
        for (label, expected) in [
            ("", "{}"),
            ("{}", "{}"),
            ("null", "null"),
            (" { \"b\" : 1,\"a\":[1,{}] } ", " { \"b\" : 1,\"a\":[1,{}] } "),
        ] {
            assert_eq!(kept(label).as_deref(), Ok(expected));
        }
        for label in ["x", "[]", "1", "\"text\"", "true", "{", "{} {}", "{\"a\":}", " "] {
            assert!(matches!(kept(label), Err(PartyError::LabelMalformed(_))), "{label}");
        }
        let nested = format!("{{\"a\":{}{}}}", "[".repeat(900), "]".repeat(900));
        assert!(matches!(kept(&nested), Err(PartyError::LabelMalformed(_))), "nesting has an end");
    }

    #[test]
    fn a_label_has_a_greatest_length_in_bytes() {
        let label = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        assert_eq!(label(MAX_BYTES).len(), MAX_BYTES);
        assert!(kept(&label(MAX_BYTES)).is_ok());
        assert_eq!(kept(&label(MAX_BYTES + 1)), Err(PartyError::LabelTooLong));
        assert_eq!(kept(&"x".repeat(MAX_BYTES + 1)), Err(PartyError::LabelTooLong), "the length is judged first");
    }
}
