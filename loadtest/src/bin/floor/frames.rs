//! The few messages that the floor knows, cut out of the frame and put together by hand.

use loadtest::payload::bytes_field;
use tokio_tungstenite::tungstenite::Message;

/// Protobuf's tag of a field with a length, for numbers up to 15.
const fn tag(number: u8) -> u8 {
    number << 3 | 2
}

/// Numbers of the envelope's fields.
const MATCH: u8 = 12;
const MATCH_CREATE: u8 = 13;
const MATCH_DATA: u8 = 14;
const MATCH_DATA_SEND: u8 = 15;
const MATCH_JOIN: u8 = 16;
/// The sender as every receiver sees it: `presence` of `match_data`, then `op_code` 1.
const SENDER: &[u8] = b"\x12\x58\
    \x0A\x2400000000-0000-0000-0000-000000000000\
    \x12\x2400000000-0000-0000-0000-000000000000\
    \x1A\x0Asomeplayer\
    \x18\x01";

/// What a frame asks for.
#[derive(Debug, PartialEq)]
pub(crate) enum Request<'a> {
    /// To be in this match, or in a new one.
    Enter(Option<&'a str>),
    /// To relay this.
    Send(Data<'a>),
}

/// Data of a match as it stands in the frame.
#[derive(Debug, PartialEq)]
pub(crate) enum Data<'a> {
    /// Base64.
    Json(&'a str),
    /// Bytes.
    Protobuf(&'a [u8]),
}

/// What is asked for; `None`: nothing that the floor knows.
pub(crate) fn read(message: &Message) -> Option<Request<'_>> {
    match message {
        Message::Text(text) => read_json(text),
        Message::Binary(frame) => read_protobuf(frame),
        _ => None,
    }
}

fn read_json(text: &str) -> Option<Request<'_>> {
    let field = |start: &str| text.split(start).nth(1)?.split('"').next();
    if text.contains("match_data_send") {
        field("\"data\":\"").map(|data| Request::Send(Data::Json(data)))
    } else if text.contains("match_create") {
        Some(Request::Enter(None))
    } else {
        field("\"match_id\":\"").map(|id| Request::Enter(Some(id)))
    }
}

fn read_protobuf(frame: &[u8]) -> Option<Request<'_>> {
    // Data has no `cid`, so its tag is the first byte.
    if frame.first() == Some(&tag(MATCH_DATA_SEND)) {
        let data = bytes_field(bytes_field(frame, MATCH_DATA_SEND.into())?, 3)?;
        return Some(Request::Send(Data::Protobuf(data)));
    }
    if bytes_field(frame, MATCH_CREATE.into()).is_some() {
        return Some(Request::Enter(None));
    }
    let id = bytes_field(bytes_field(frame, MATCH_JOIN.into())?, 1)?;
    std::str::from_utf8(id).ok().map(|id| Request::Enter(Some(id)))
}

/// The answer to `request` to be in a match.
pub(crate) fn entered(request: &Message, match_id: &str) -> Message {
    if request.is_text() {
        return Message::text(format!("{{\"cid\":\"1\",\"match\":{{\"match_id\":\"{match_id}\"}}}}"));
    }
    let mut joined = Vec::new();
    put(&mut joined, 1, match_id.as_bytes());
    let mut frame = Vec::new();
    put(&mut frame, 1, b"1");
    put(&mut frame, MATCH, &joined);
    Message::binary(frame)
}

impl Data<'_> {
    /// The message that brings this to the others of the match.
    pub(crate) fn relayed(&self, match_id: &str) -> Message {
        match self {
            Self::Json(data) => Message::text(format!(
                "{{\"match_data\":{{\"match_id\":\"{match_id}\",\"presence\":{{\
                 \"user_id\":\"00000000-0000-0000-0000-000000000000\",\
                 \"session_id\":\"00000000-0000-0000-0000-000000000000\",\
                 \"username\":\"someplayer\"}},\"op_code\":\"1\",\"data\":\"{data}\"}}}}"
            )),
            Self::Protobuf(data) => {
                // The lengths in between take a few bytes each.
                let mut inner = Vec::with_capacity(match_id.len() + SENDER.len() + data.len() + 16);
                put(&mut inner, 1, match_id.as_bytes());
                inner.extend_from_slice(SENDER);
                put(&mut inner, 4, data);
                let mut frame = Vec::with_capacity(inner.len() + 8);
                put(&mut frame, MATCH_DATA, &inner);
                Message::binary(frame)
            }
        }
    }
}

/// Appends a field with a length.
fn put(message: &mut Vec<u8>, number: u8, content: &[u8]) {
    message.push(tag(number));
    let mut length = content.len();
    while length > 0x7F {
        message.push((length & 0x7F) as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;
    use kizuna_protocol::realtime::{
        Envelope, MatchCreate, MatchDataSend, MatchJoin, envelope::Message as Body, match_join,
    };
    use prost::Message as _;

    const ID: &str = "0000002a-0000-4000-8000-000000000000.";

    fn frame(cid: &str, body: Body) -> Message {
        Message::binary(Envelope { cid: cid.into(), message: Some(body) }.encode_to_vec())
    }

    fn body(frame: &Message) -> Option<Body> {
        Envelope::decode(frame.clone().into_data()).unwrap().message
    }

    #[test]
    fn requests_are_told_apart_in_both_formats() {
        let join = MatchJoin { id: Some(match_join::Id::MatchId(ID.into())), ..MatchJoin::default() };
        let send = MatchDataSend { match_id: ID.into(), op_code: 1, data: vec![7; 200].into(), ..Default::default() };
        let create = frame("1", Body::MatchCreate(MatchCreate::default()));
        let (join, send) = (frame("1", Body::MatchJoin(join)), frame("", Body::MatchDataSend(send)));
        assert_eq!(read(&create), Some(Request::Enter(None)));
        assert_eq!(read(&join), Some(Request::Enter(Some(ID))));
        assert_eq!(read(&send), Some(Request::Send(Data::Protobuf(&[7; 200]))));

        let text = Message::text(r#"{"match_data_send":{"match_id":"m.","op_code":"1","data":"QUJD"}}"#);
        assert_eq!(read(&text), Some(Request::Send(Data::Json("QUJD"))));
        assert_eq!(read(&Message::text(r#"{"cid":"1","match_create":{}}"#)), Some(Request::Enter(None)));
        let join = Message::text(r#"{"cid":"1","match_join":{"match_id":"m."}}"#);
        assert_eq!(read(&join), Some(Request::Enter(Some("m."))));
    }

    #[test]
    fn what_is_not_known_asks_for_nothing() {
        for message in [Message::text("{}"), Message::binary(vec![0xFF; 9]), Message::Ping(Vec::new().into())] {
            assert_eq!(read(&message), None);
        }
    }

    #[test]
    fn frames_put_together_by_hand_are_read_by_a_whole_decoder() {
        let Some(Body::Match(joined)) = body(&entered(&Message::binary(Vec::new()), ID)) else { panic!("no match") };
        assert_eq!(joined.match_id, ID);
        for size in [0, 64, 300, 20_000] {
            let relayed = Data::Protobuf(&vec![9; size]).relayed(ID);
            let Some(Body::MatchData(data)) = body(&relayed) else { panic!("no data") };
            let presence = data.presence.unwrap();
            assert_eq!((data.match_id.as_str(), data.op_code, data.data), (ID, 1, vec![9; size].into()));
            assert_eq!((presence.username.as_str(), presence.session_id.len()), ("someplayer", 36));
        }
    }

    #[test]
    fn json_put_together_by_hand_is_json() {
        let relayed: serde_json::Value =
            serde_json::from_str(Data::Json("QUJD").relayed(ID).to_text().unwrap()).unwrap();
        assert_eq!((&relayed["match_data"]["data"], &relayed["match_data"]["match_id"]), (&"QUJD".into(), &ID.into()));
        let text = entered(&Message::text(""), ID);
        let joined: serde_json::Value = serde_json::from_str(text.to_text().unwrap()).unwrap();
        assert_eq!(joined["match"]["match_id"], ID);
    }
}
