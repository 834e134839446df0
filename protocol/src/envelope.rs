//! Envelopes on the socket: one message a frame, in the format that the session chose at the handshake.

use crate::{
    json::{JsonMessage as _, Unknown},
    realtime::Envelope,
};
use bytes::Bytes;
use prost::Message as _;

/// How a session writes its envelopes, both ways (spec/realtime-core.md 2.2 and 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// Text frames.
    #[default]
    Json,
    /// Binary frames.
    Protobuf,
}

impl Format {
    /// Both, in the order of [`Format::index`].
    pub const ALL: [Self; 2] = [Self::Json, Self::Protobuf];

    /// The format that the query parameter `format` of `/ws` asks for; `None`: there is no such format.
    pub fn from_query(value: &str) -> Option<Self> {
        match value {
            "" | "json" => Some(Self::Json),
            "protobuf" => Some(Self::Protobuf),
            _ => None,
        }
    }

    /// 0 or 1: the place of this format in an array of encodings.
    pub const fn index(self) -> usize {
        match self {
            Self::Json => 0,
            Self::Protobuf => 1,
        }
    }
}

/// The frame is not an envelope: the session is closed with [`crate::code::Close::MALFORMED_PAYLOAD`]. `Display` says why, for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MalformedPayload(String);

/// Reads the payload of one frame.
///
/// JSON is read strictly: unknown members, duplicates and trailing text are refused. In protobuf unknown fields are
/// ignored, and of two members of the message oneof the last one counts.
pub fn decode(format: Format, payload: &[u8]) -> Result<Envelope, MalformedPayload> {
    match format {
        Format::Json => Envelope::read_json(payload, Unknown::Reject).map_err(|error| MalformedPayload(error.0)),
        Format::Protobuf => Envelope::decode(payload).map_err(|error| MalformedPayload(error.to_string())),
    }
}

/// Writes the payload of one frame. JSON is valid UTF-8. The bytes can be shared by all receivers of one format.
pub fn encode(format: Format, envelope: &Envelope) -> Bytes {
    match format {
        Format::Json => {
            let mut out = Vec::with_capacity(JSON_CAPACITY);
            envelope.write_json(&mut out);
            out.into()
        }
        Format::Protobuf => envelope.encode_to_vec().into(),
    }
}

/// Most envelopes are match data of some 64 bytes with its sender: they fit without growing.
const JSON_CAPACITY: usize = 384;
