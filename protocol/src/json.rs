//! The JSON form of the messages: proto3 JSON as Nakama writes and reads it.

/// What to do with a member that the message does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Skip it, at any depth: HTTP bodies.
    Ignore,
    /// Refuse the whole text: socket frames.
    Reject,
}

/// Why a text is not the message. `Display` is the message that Nakama's clients see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(pub String);

/// A message that has a JSON form. Implemented by the build script for every message of `proto/`.
pub trait JsonMessage: prost::Message + Default {
    /// Appends the JSON text of this message.
    fn write_json(&self, _out: &mut Vec<u8>) {
        unimplemented!("H1")
    }
    /// Reads the first JSON value in `text` as this message.
    fn read_json(_text: &[u8], _unknown: Unknown) -> Result<Self, JsonError> {
        unimplemented!("H1")
    }
    /// Sets the field called `name` (snake_case or lowerCamelCase, nested by dots) from query or path values.
    /// `Ok(false)`: there is no such field.
    fn set_from_text(&mut self, _name: &str, _values: &[&str]) -> Result<bool, JsonError> {
        unimplemented!("H1")
    }
}

include!(concat!(env!("OUT_DIR"), "/json.rs"));
