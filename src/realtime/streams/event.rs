//! Who joined or left, as the wire tells it: which message that is follows from the stream's kind alone
//! (spec/realtime-core.md 6.1).

use super::{Mode, StreamKey};
use kizuna_protocol::realtime::{
    ChannelPresenceEvent, MatchPresenceEvent, PartyPresenceEvent, StatusPresenceEvent, Stream as WireStream,
    StreamPresenceEvent, UserPresence, envelope::Message as Body,
};
use uuid::Uuid;

/// The event about `joins` and `leaves` in a stream; `None` for the kind that makes no events.
pub(super) fn presence_event(key: &StreamKey, joins: Vec<UserPresence>, leaves: Vec<UserPresence>) -> Option<Body> {
    let id = || format!("{}.{}", key.subject(), key.label());
    Some(match key.mode() {
        Mode::Notifications => return None,
        Mode::Status => Body::StatusPresenceEvent(StatusPresenceEvent { joins, leaves }),
        Mode::Room | Mode::Group | Mode::Direct => Body::ChannelPresenceEvent(channel(key, joins, leaves)),
        Mode::RelayedMatch | Mode::AuthoritativeMatch => {
            Body::MatchPresenceEvent(MatchPresenceEvent { match_id: id(), joins, leaves })
        }
        Mode::Party => Body::PartyPresenceEvent(PartyPresenceEvent { party_id: id(), joins, leaves }),
        Mode::Custom(_) => {
            Body::StreamPresenceEvent(StreamPresenceEvent { stream: Some(wire_stream(key)), joins, leaves })
        }
    })
}

/// The stream's name on the wire; nil ids are left out.
pub fn wire_stream(key: &StreamKey) -> WireStream {
    WireStream {
        mode: key.mode().number().into(),
        subject: text(key.subject()),
        subcontext: text(key.subcontext()),
        label: key.label().to_owned(),
    }
}

fn channel(key: &StreamKey, joins: Vec<UserPresence>, leaves: Vec<UserPresence>) -> ChannelPresenceEvent {
    let (subject, subcontext) = (text(key.subject()), text(key.subcontext()));
    let event = ChannelPresenceEvent {
        channel_id: format!("{}.{subject}.{subcontext}.{}", key.mode().number(), key.label()),
        joins,
        leaves,
        ..ChannelPresenceEvent::default()
    };
    match key.mode() {
        Mode::Group => ChannelPresenceEvent { group_id: subject, ..event },
        Mode::Direct => ChannelPresenceEvent { user_id_one: subject, user_id_two: subcontext, ..event },
        _ => ChannelPresenceEvent { room_name: key.label().to_owned(), ..event },
    }
}

fn text(id: Uuid) -> String {
    if id.is_nil() { String::new() } else { id.to_string() }
}
