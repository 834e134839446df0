//! Frames as players of a match send and get them.

use bytes::Bytes;
use kizuna_protocol::{
    envelope::{self, Format},
    realtime::{Envelope, MatchData, MatchDataSend, UserPresence, envelope::Message as Body},
};

/// Runs before the one that counts.
const WARM_UP: usize = 8;
const MATCH_ID: &str = "0191a2b3-c4d5-4e6f-8a9b-0c1d2e3f4a5b.";

pub(crate) struct Frame {
    pub(crate) format: Format,
    pub(crate) bytes: Bytes,
}

/// What a player sends, as it comes in.
pub(crate) fn match_data_send(format: Format, bytes: usize) -> Frame {
    let frame = Frame { format, bytes: envelope::encode(format, &sent(MATCH_ID, bytes)) };
    (0..WARM_UP).for_each(|_| drop(envelope::decode(format, &frame.bytes)));
    frame
}

/// What the others get, before it goes out.
pub(crate) fn match_data(format: Format, bytes: usize) -> (Format, Envelope) {
    let presence = UserPresence {
        user_id: "0191a2b3-c4d5-7e6f-8a9b-0c1d2e3f4a5b".to_owned(),
        session_id: "0191a2b3-c4d5-7e6f-8a9b-0c1d2e3f4a5c".to_owned(),
        username: "playerOne".to_owned(),
        ..UserPresence::default()
    };
    let data = MatchData {
        match_id: MATCH_ID.to_owned(),
        presence: Some(presence),
        op_code: 1,
        data: payload(bytes),
        reliable: true,
    };
    let envelope = Envelope { cid: String::new(), message: Some(Body::MatchData(data)) };
    (0..WARM_UP).for_each(|_| drop(envelope::encode(format, &envelope)));
    (format, envelope)
}

fn sent(match_id: &str, bytes: usize) -> Envelope {
    Envelope { cid: String::new(), message: Some(Body::MatchDataSend(to_match(match_id, bytes))) }
}

/// Match data of so many bytes for all others in the match.
pub(crate) fn to_match(match_id: &str, bytes: usize) -> MatchDataSend {
    MatchDataSend {
        match_id: match_id.to_owned(),
        op_code: 1,
        data: payload(bytes),
        presences: Vec::new(),
        reliable: true,
    }
}

fn payload(bytes: usize) -> Bytes {
    (0..bytes).map(|at| (at * 31) as u8).collect()
}
