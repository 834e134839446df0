//! The payload of a measured match message, the frames that carry it out, and how it is found in what comes back.
//!
//! This is the hot path of the harness: outgoing frames are templates into which only the mark is written, incoming ones are
//! searched for the mark and never parsed whole, so that the client's share of the machine stays small.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use clap::ValueEnum;
use kizuna_protocol::realtime::{Envelope, MatchDataSend, envelope};
use prost::Message as _;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// Bytes of an encoded [`Mark`]; a payload cannot be smaller. A multiple of three, so that it is whole in base64.
pub const MARK_BYTES: usize = 18;
const MARK_CHARS: usize = MARK_BYTES / 3 * 4;
const MAGIC: [u8; 2] = *b"Kz";
/// What fills a payload after its mark.
const FILLER: u8 = 0x5A;

/// How a socket writes its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text frames.
    Json,
    /// Binary frames.
    Protobuf,
}

impl Format {
    /// The value of the query parameter `format`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Protobuf => "protobuf",
        }
    }
}

/// What identifies one message: who sent it, which one it is, and when it was meant to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The match's number in this run.
    pub group: u32,
    /// The sender's place in the match.
    pub slot: u16,
    /// The number of the message, from 0 for each sender.
    pub sequence: u32,
    /// Nanoseconds from the start of the run to the intended moment of sending; 48 bits are kept (three days).
    pub intended_ns: u64,
}

impl Mark {
    /// A payload of `size` bytes (at least [`MARK_BYTES`]) that carries this mark.
    pub fn payload(self, size: usize) -> Bytes {
        let mut payload = vec![FILLER; size.max(MARK_BYTES)];
        payload[..MARK_BYTES].copy_from_slice(&self.encode());
        payload.into()
    }

    /// The mark of a payload of `size` bytes; `None` if it is another or not whole.
    pub fn of_payload(payload: &[u8], size: usize) -> Option<Self> {
        (payload.len() == size.max(MARK_BYTES)).then(|| Self::decode(payload)).flatten()
    }

    fn encode(self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        bytes[..2].copy_from_slice(&MAGIC);
        bytes[2..4].copy_from_slice(&self.slot.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.group.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[12..].copy_from_slice(&self.intended_ns.to_be_bytes()[2..]);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<2>()?;
        let (slot, rest) = rest.split_first_chunk()?;
        let (group, rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let time: &[u8; 6] = rest.first_chunk()?;
        let mut wide = [0; 8];
        wide[2..].copy_from_slice(time);
        (*magic == MAGIC).then(|| Self {
            group: u32::from_be_bytes(*group),
            slot: u16::from_be_bytes(*slot),
            sequence: u32::from_be_bytes(*sequence),
            intended_ns: u64::from_be_bytes(wide),
        })
    }
}

/// A `match_data_send` frame, complete but for the mark.
#[derive(Debug)]
pub struct Template {
    format: Format,
    bytes: Vec<u8>,
    /// Where the mark goes.
    at: usize,
}

impl Template {
    /// Frames that send `size` bytes of data to `match_id`; `size` is at least [`MARK_BYTES`].
    pub fn new(format: Format, match_id: &str, size: usize) -> Self {
        let payload = vec![FILLER; size.max(MARK_BYTES)];
        match format {
            Format::Json => Self::json(match_id, &payload),
            Format::Protobuf => Self::protobuf(match_id, payload),
        }
    }

    fn json(match_id: &str, payload: &[u8]) -> Self {
        let id = serde_json::Value::from(match_id);
        let head = format!("{{\"match_data_send\":{{\"match_id\":{id},\"op_code\":\"1\",\"data\":\"");
        let bytes = format!("{head}{}\"}}}}", STANDARD.encode(payload)).into_bytes();
        Self { format: Format::Json, bytes, at: head.len() }
    }

    fn protobuf(match_id: &str, payload: Vec<u8>) -> Self {
        let size = payload.len();
        let send = MatchDataSend { match_id: match_id.into(), op_code: 1, data: payload.into(), ..Default::default() };
        let message = Some(envelope::Message::MatchDataSend(send));
        let bytes = Envelope { message, ..Default::default() }.encode_to_vec();
        // `data` has the highest number of the fields that are set, so it comes last.
        let at = bytes.len() - size;
        Self { format: Format::Protobuf, bytes, at }
    }

    /// The frame that carries `mark`.
    pub fn frame(&mut self, mark: Mark) -> Message {
        let raw = mark.encode();
        match self.format {
            Format::Json => {
                let place = &mut self.bytes[self.at..self.at + MARK_CHARS];
                STANDARD.encode_slice(raw, place).expect("the place is as long as an encoded mark");
                let text = Utf8Bytes::try_from(self.bytes.clone()).expect("the template is text, and so is base64");
                Message::Text(text)
            }
            Format::Protobuf => {
                self.bytes[self.at..self.at + MARK_BYTES].copy_from_slice(&raw);
                Message::Binary(Bytes::copy_from_slice(&self.bytes))
            }
        }
    }
}

/// What an incoming frame turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A measured message.
    Data(Mark),
    /// A match message whose payload is not one of ours, or not whole.
    Damaged,
    /// An `error` envelope with its code.
    Error(i64),
    /// Anything else: presence events, acknowledgements.
    Other,
}

/// Finds marks in what one socket receives.
#[derive(Debug)]
pub struct Finder {
    format: Format,
    size: usize,
    /// Where the data began in the last JSON frame: the next one is most likely alike.
    hint: usize,
}

impl Finder {
    /// Looks for payloads of `size` bytes.
    pub fn new(format: Format, size: usize) -> Self {
        Self { format, size: size.max(MARK_BYTES), hint: 0 }
    }

    /// Says what `frame` is.
    pub fn find(&mut self, frame: &[u8]) -> Incoming {
        match self.format {
            Format::Json => self.find_json(frame),
            Format::Protobuf => self.find_protobuf(frame),
        }
    }

    fn find_json(&mut self, frame: &[u8]) -> Incoming {
        if !frame.starts_with(b"{\"match_data\":") {
            return json_error(frame);
        }
        let Some(at) = self.data_start(frame) else { return Incoming::Damaged };
        let encoded = self.size.div_ceil(3) * 4;
        let Some((data, after)) = frame[at..].split_at_checked(encoded) else { return Incoming::Damaged };
        let mut raw = [0; MARK_BYTES];
        let decoded = STANDARD.decode_slice(&data[..MARK_CHARS], &mut raw).is_ok();
        match Mark::decode(&raw) {
            Some(mark) if decoded && after.first() == Some(&b'"') => Incoming::Data(mark),
            _ => Incoming::Damaged,
        }
    }

    fn data_start(&mut self, frame: &[u8]) -> Option<usize> {
        const KEY: &[u8] = b"\"data\":\"";
        if frame.get(self.hint..).is_some_and(|rest| rest.starts_with(KEY)) {
            return Some(self.hint + KEY.len());
        }
        self.hint = position(frame, KEY)?;
        Some(self.hint + KEY.len())
    }

    fn find_protobuf(&self, frame: &[u8]) -> Incoming {
        const ERROR: u64 = 11;
        const MATCH_DATA: u64 = 14;
        const DATA: u64 = 4;
        if let Some(message) = bytes_field(frame, MATCH_DATA) {
            let data = bytes_field(message, DATA).filter(|data| data.len() == self.size);
            return data.and_then(Mark::decode).map_or(Incoming::Damaged, Incoming::Data);
        }
        if bytes_field(frame, ERROR).is_none() {
            return Incoming::Other;
        }
        match Envelope::decode(frame).ok().and_then(|envelope| envelope.message) {
            Some(envelope::Message::Error(error)) => Incoming::Error(i64::from(error.code)),
            _ => Incoming::Other,
        }
    }
}

fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The code of an `error` envelope; rare, so it may be parsed.
fn json_error(frame: &[u8]) -> Incoming {
    if position(frame, b"\"error\":{").is_none() {
        return Incoming::Other;
    }
    let value: serde_json::Value = serde_json::from_slice(frame).unwrap_or_default();
    match value.get("error") {
        Some(error) => Incoming::Error(error.get("code").and_then(serde_json::Value::as_i64).unwrap_or(0)),
        None => Incoming::Other,
    }
}

/// The content of the first length-delimited field `number` of a protobuf message.
pub fn bytes_field(mut message: &[u8], number: u64) -> Option<&[u8]> {
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        match tag & 7 {
            0 => {
                varint(&mut message)?;
            }
            1 => message = message.get(8..)?,
            2 => {
                let size = usize::try_from(varint(&mut message)?).ok()?;
                let (content, rest) = message.split_at_checked(size)?;
                if tag >> 3 == number {
                    return Some(content);
                }
                message = rest;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
    }
    None
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use kizuna_protocol::realtime::{Error, MatchData, UserPresence};
    use proptest::prelude::*;

    const ID: &str = "0f1e2d3c-4b5a-4678-9abc-def012345678.";

    /// What a server makes of a frame that carries match data.
    fn relayed(format: Format, sent: &Message) -> Vec<u8> {
        let data: Bytes = match sent {
            Message::Text(text) => {
                let value: serde_json::Value = serde_json::from_str(text).unwrap();
                STANDARD.decode(value["match_data_send"]["data"].as_str().unwrap()).unwrap().into()
            }
            Message::Binary(frame) => match Envelope::decode(frame.clone()).unwrap().message {
                Some(envelope::Message::MatchDataSend(send)) => send.data,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        match format {
            Format::Json => format!(
                "{{\"match_data\":{{\"match_id\":\"{ID}\",\"presence\":{{\"user_id\":\"u\",\"username\":\"data\"}},\"op_code\":\"1\",\"data\":\"{}\"}}}}",
                STANDARD.encode(data)
            )
            .into_bytes(),
            Format::Protobuf => {
                let presence = Some(UserPresence { user_id: "u".into(), ..Default::default() });
                let data = MatchData { match_id: ID.into(), presence, op_code: 1, data, reliable: false };
                let message = Some(envelope::Message::MatchData(data));
                Envelope { message, ..Default::default() }.encode_to_vec()
            }
        }
    }

    proptest! {
        #[test]
        fn a_mark_survives_every_pair_of_formats(group: u32, slot: u16, sequence: u32, intended_ns in 0_u64..1 << 48, size in 0_usize..200) {
            let mark = Mark { group, slot, sequence, intended_ns };
            for out in [Format::Json, Format::Protobuf] {
                let frame = Template::new(out, ID, size).frame(mark);
                for back in [Format::Json, Format::Protobuf] {
                    prop_assert_eq!(Finder::new(back, size).find(&relayed(back, &frame)), Incoming::Data(mark));
                }
            }
        }

        #[test]
        fn no_frame_makes_the_search_panic(frame: Vec<u8>) {
            Finder::new(Format::Json, 64).find(&frame);
            Finder::new(Format::Protobuf, 64).find(&frame);
        }
    }

    #[test]
    fn a_payload_of_another_length_is_damaged() {
        let mark = Mark { group: 1, slot: 2, sequence: 3, intended_ns: 4 };
        for format in [Format::Json, Format::Protobuf] {
            let frame = relayed(format, &Template::new(format, ID, 60).frame(mark));
            assert_eq!(Finder::new(format, 63).find(&frame), Incoming::Damaged);
            assert_eq!(Finder::new(format, 20).find(&frame), Incoming::Damaged);
        }
    }

    #[test]
    fn errors_are_told_apart_from_other_messages() {
        let mut json = Finder::new(Format::Json, 64);
        assert_eq!(json.find(br#"{"cid":"1","error":{"code":4,"message":"Match not found"}}"#), Incoming::Error(4));
        assert_eq!(json.find(br#"{"error":{"message":"odd"}}"#), Incoming::Error(0));
        assert_eq!(json.find(br#"{"match_presence_event":{"match_id":"x"}}"#), Incoming::Other);
        let message = Some(envelope::Message::Error(Error { code: 3, ..Default::default() }));
        let frame = Envelope { message, ..Default::default() }.encode_to_vec();
        assert_eq!(Finder::new(Format::Protobuf, 64).find(&frame), Incoming::Error(3));
    }
}
