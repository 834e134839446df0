//! What hooks may stand around: the messages that a client sends over a socket, by name.

use kizuna_protocol::realtime::{Envelope, envelope::Message as Body};

macro_rules! kinds {
    ($($kind:ident = $name:literal,)*) => {
        /// A message that a client may send and hooks may stand around: every one but `rpc`, which is a hook's equal
        /// (spec/realtime-core.md 4.4).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the names are the envelope's own")]
        pub enum MessageKind {
            $($kind,)*
        }

        impl MessageKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// Its name in the socket's JSON and in the configuration.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// The kind of a message; `None` for `rpc`, and for what only a server sends.
            pub const fn of(message: &Body) -> Option<Self> {
                match message {
                    $(Body::$kind(_) => Some(Self::$kind),)*
                    // That no request is missing is held by a test against the contract.
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    Ping = "ping",
    Pong = "pong",
    MatchCreate = "match_create",
    MatchJoin = "match_join",
    MatchLeave = "match_leave",
    MatchDataSend = "match_data_send",
    MatchmakerAdd = "matchmaker_add",
    MatchmakerRemove = "matchmaker_remove",
    StatusFollow = "status_follow",
    StatusUnfollow = "status_unfollow",
    StatusUpdate = "status_update",
    PartyCreate = "party_create",
    PartyJoin = "party_join",
    PartyLeave = "party_leave",
    PartyPromote = "party_promote",
    PartyAccept = "party_accept",
    PartyRemove = "party_remove",
    PartyClose = "party_close",
    PartyJoinRequestList = "party_join_request_list",
    PartyMatchmakerAdd = "party_matchmaker_add",
    PartyMatchmakerRemove = "party_matchmaker_remove",
    PartyDataSend = "party_data_send",
    PartyUpdate = "party_update",
    ChannelJoin = "channel_join",
    ChannelLeave = "channel_leave",
    ChannelMessageSend = "channel_message_send",
    ChannelMessageUpdate = "channel_message_update",
    ChannelMessageRemove = "channel_message_remove",
}

impl MessageKind {
    /// The kind of an envelope's message.
    pub fn in_envelope(envelope: &Envelope) -> Option<Self> {
        envelope.message.as_ref().and_then(Self::of)
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }
}

/// A set of kinds: a bit for each, so that to look costs next to nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::hooks) struct Kinds(u64);

impl Kinds {
    pub(in crate::hooks) fn of(kinds: &[MessageKind]) -> Self {
        Self(kinds.iter().fold(0, |bits, kind| bits | bit(*kind)))
    }

    #[must_use]
    pub(in crate::hooks) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(in crate::hooks) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(in crate::hooks) const fn contains(self, kind: MessageKind) -> bool {
        self.0 & bit(kind) != 0
    }
}

const fn bit(kind: MessageKind) -> u64 {
    1 << kind as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use kizuna_protocol::{envelope, envelope::Format};

    #[test]
    fn every_kind_has_the_name_that_it_has_in_json() {
        for kind in MessageKind::ALL {
            let text = format!("{{\"{}\":{{}}}}", kind.as_str());
            let message = envelope::decode(Format::Json, text.as_bytes()).expect("a message").message.expect("one");
            assert_eq!(MessageKind::of(&message), Some(*kind));
            assert_eq!(MessageKind::named(kind.as_str()), Some(*kind));
        }
        assert_eq!(MessageKind::named("rpc"), None);
    }

    #[test]
    fn every_kind_has_a_bit_of_its_own() {
        for kind in MessageKind::ALL {
            let others: Vec<_> = MessageKind::ALL.iter().copied().filter(|other| other != kind).collect();
            assert!(!Kinds::of(&others).contains(*kind) && Kinds::of(&[*kind]).contains(*kind));
        }
    }
}
