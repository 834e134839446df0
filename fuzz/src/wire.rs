//! The decoders of the wire, in the crate `protocol`: nothing may panic, and what a decoder takes must come back the same.
//!
//! `protocol/tests/seeds.rs` runs these functions over the seeds, without a fuzzer.

use kizuna_protocol::{
    envelope::{self, Format},
    id::{MatchId, StreamId, parse_uuid},
    json::{JsonMessage, MessageVisitor, Unknown, visit_messages},
    realtime::Envelope,
};

/// A message type, by the first byte, as an HTTP body in the rest.
pub fn json_lenient(data: &[u8]) {
    with_selected(data, &mut JsonLenient);
}

/// A text frame.
pub fn json_strict(data: &[u8]) {
    let Ok(envelope) = envelope::decode(Format::Json, data) else { return };
    assert_eq!(
        text(&Envelope::read_json(data, Unknown::Ignore).expect("lenient takes what strict takes")),
        text(&envelope)
    );
    for format in Format::ALL {
        let frame = envelope::encode(format, &envelope);
        let again = envelope::decode(format, &frame).expect("we read what we write");
        // As text: NaN is not equal to itself.
        assert_eq!(text(&again), text(&envelope));
    }
}

/// A binary frame.
pub fn protobuf(data: &[u8]) {
    let Ok(envelope) = envelope::decode(Format::Protobuf, data) else { return };
    let again = envelope::decode(Format::Protobuf, &envelope::encode(Format::Protobuf, &envelope));
    assert_eq!(text(&again.expect("we read what we write")), text(&envelope));
    // Not always the same: a time beyond the year 9999 has no JSON form.
    envelope::decode(Format::Json, &envelope::encode(Format::Json, &envelope)).expect("we read what we write");
}

/// A message type, by the first byte, and a name with its values, one a line.
pub fn query(data: &[u8]) {
    with_selected(data, &mut Query);
}

/// Every kind of identifier.
pub fn ids(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(uuid) = parse_uuid(text) {
        assert_eq!(parse_uuid(&uuid.to_string()), Some(uuid));
    }
    if let Ok(id) = text.parse::<MatchId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    if let Ok(id) = StreamId::from_channel_id(text) {
        assert_eq!(StreamId::from_channel_id(&id.to_string()), Ok(id));
    }
}

fn text(message: &impl JsonMessage) -> String {
    let mut out = Vec::new();
    message.write_json(&mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// Something to do with one message type and some bytes.
trait Target {
    fn run<M: JsonMessage>(&mut self, data: &[u8]);
}

struct JsonLenient;

impl Target for JsonLenient {
    fn run<M: JsonMessage>(&mut self, data: &[u8]) {
        let Ok(message) = M::read_json(data, Unknown::Ignore) else { return };
        let written = text(&message);
        let again = M::read_json(written.as_bytes(), Unknown::Reject).expect("we read what we write");
        assert_eq!(text(&again), written);
    }
}

struct Query;

impl Target for Query {
    fn run<M: JsonMessage>(&mut self, data: &[u8]) {
        let Ok(text) = std::str::from_utf8(data) else { return };
        let mut lines = text.split('\n');
        let name = lines.next().unwrap_or_default();
        let values: Vec<_> = lines.collect();
        let mut message = M::default();
        if message.set_from_text(name, &values) == Ok(false) {
            assert_eq!(message, M::default(), "an unknown name changes nothing");
        }
    }
}

fn with_selected(data: &[u8], target: &mut impl Target) {
    if let Some((&selector, data)) = data.split_first() {
        visit_messages(&mut Selected { left: usize::from(selector), data, target });
    }
}

/// Counts down to one message type.
struct Selected<'a, T> {
    left: usize,
    data: &'a [u8],
    target: &'a mut T,
}

impl<T: Target> MessageVisitor for Selected<'_, T> {
    fn visit<M: JsonMessage>(&mut self) {
        if self.left == 0 {
            self.target.run::<M>(self.data);
        }
        // Beyond the last message it never gets to zero.
        self.left = self.left.wrapping_sub(1);
    }
}
