//! One message to many sessions: encoded once per wire format, the same bytes on each queue.

use super::session::Session;
use kizuna_protocol::{
    code::RealtimeCode,
    envelope::{self, Format},
    realtime::{Envelope, Error as ErrorMessage, envelope::Message as Body},
};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// A message on its way; each format's bytes are made when the first receiver asks for them.
#[derive(Debug)]
pub struct Delivery {
    envelope: Envelope,
    is_answer: bool,
    json: Option<Message>,
    protobuf: Option<Message>,
}

impl Delivery {
    /// A message that nobody asked for: it has no `cid`.
    pub fn of(message: Body) -> Self {
        Self::envelope(Envelope { cid: String::new(), message: Some(message) }, false)
    }

    /// The answer to the request that carried `cid`.
    pub fn answer(cid: String, message: Option<Body>) -> Self {
        Self::envelope(Envelope { cid, message }, true)
    }

    fn envelope(envelope: Envelope, is_answer: bool) -> Self {
        Self { envelope, is_answer, json: None, protobuf: None }
    }

    /// Makes the bytes for `format` now, outside of any lock.
    #[must_use]
    pub fn encoded_for(mut self, format: Format) -> Self {
        self.frame(format);
        self
    }

    /// Queues the message for one session.
    pub fn to(&mut self, session: &Session) {
        if self.is_answer {
            session.listener().note(&self.envelope);
        }
        let frame = self.frame(session.format()).clone();
        session.outbound().push(frame);
    }

    fn frame(&mut self, format: Format) -> &Message {
        let Self { envelope, json, protobuf, .. } = self;
        match format {
            Format::Json => json.get_or_insert_with(|| text(envelope)),
            Format::Protobuf => {
                protobuf.get_or_insert_with(|| Message::Binary(envelope::encode(Format::Protobuf, envelope)))
            }
        }
    }
}

impl Session {
    /// Queues a message for this session alone; the caller keeps it, to change it for the next one.
    pub fn tell(&self, envelope: &Envelope) {
        let frame = match self.format() {
            Format::Json => text(envelope),
            Format::Protobuf => Message::Binary(envelope::encode(Format::Protobuf, envelope)),
        };
        self.outbound().push(frame);
    }

    /// Answers a request of this session with an error envelope (spec/realtime-core.md 4.3).
    pub fn answer_error(&self, cid: String, code: RealtimeCode, message: impl Into<String>) {
        let error = ErrorMessage { code: code.into(), message: message.into(), ..ErrorMessage::default() };
        Delivery::answer(cid, Some(Body::Error(error))).to(self);
    }
}

fn text(envelope: &Envelope) -> Message {
    let bytes = envelope::encode(Format::Json, envelope);
    Message::Text(
        Utf8Bytes::try_from(bytes).expect("the JSON writer writes UTF-8: every text in a message is a String"),
    )
}
