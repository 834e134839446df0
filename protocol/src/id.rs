//! Identifiers that clients write: UUIDs in several spellings, matches, streams.

use std::{fmt, str::FromStr};
use uuid::{Uuid, fmt::Simple};

/// Reads a UUID in any spelling that Nakama takes (spec/realtime-core.md 8.1): hyphenated, 32 hex digits, after
/// `urn:uuid:` (itself in lower case), in braces; digits in any case. `None` for anything else.
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    match text.len() {
        Simple::LENGTH if text.bytes().all(|byte| byte.is_ascii_hexdigit()) => Uuid::try_parse(text).ok(),
        36 => hyphenated(text),
        38 => hyphenated(text.strip_prefix('{')?.strip_suffix('}')?),
        45 => hyphenated(text.strip_prefix("urn:uuid:")?),
        _ => None,
    }
}

fn hyphenated(text: &str) -> Option<Uuid> {
    let well_formed = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    if well_formed { Uuid::try_parse(text).ok() } else { None }
}

/// The id of a match: a UUID, a dot, and the name of the node that runs it. A relayed match runs on none, so that its
/// id ends with the dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MatchId {
    id: Uuid,
    node: Box<str>,
}

impl MatchId {
    /// The relayed match `id`.
    pub fn relayed(id: Uuid) -> Self {
        Self { id, node: Box::default() }
    }

    /// The relayed match that everybody reaches who knows its name: UUID version 5 in the DNS namespace.
    pub fn named(name: &str) -> Self {
        Self::relayed(Uuid::new_v5(&Uuid::NAMESPACE_DNS, name.as_bytes()))
    }

    /// A match that runs on `node`.
    pub fn authoritative(id: Uuid, node: impl Into<Box<str>>) -> Self {
        Self { id, node: node.into() }
    }

    /// The part before the first dot.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The part behind the first dot: empty for a relayed match.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Whether the server only passes messages on.
    pub fn is_relayed(&self) -> bool {
        self.node.is_empty()
    }
}

/// The canonical form: lower case, hyphenated.
impl fmt::Display for MatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.id.hyphenated(), self.node)
    }
}

/// The text is not the id of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid match ID")]
pub struct InvalidMatchId;

impl FromStr for MatchId {
    type Err = InvalidMatchId;

    /// Splits at the first dot; any spelling of the UUID, any node.
    fn from_str(text: &str) -> Result<Self, InvalidMatchId> {
        let (id, node) = text.split_once('.').ok_or(InvalidMatchId)?;
        let id = parse_uuid(id).ok_or(InvalidMatchId)?;
        Ok(Self { id, node: node.into() })
    }
}

/// What presences belong to: chat rooms, matches, parties, a user's status (spec/realtime-core.md 6.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    /// One of the `MODE_` numbers, or 8 to 255 for what a game makes up.
    pub mode: u8,
    /// Nil: none.
    pub subject: Uuid,
    /// Nil: none.
    pub subcontext: Uuid,
    /// Empty: none.
    pub label: Box<str>,
}

impl StreamId {
    /// Notifications of the user `subject`.
    pub const MODE_NOTIFICATIONS: u8 = 0;
    /// Status of the user `subject`.
    pub const MODE_STATUS: u8 = 1;
    /// The chat room `label`.
    pub const MODE_CHANNEL: u8 = 2;
    /// The chat of the group `subject`.
    pub const MODE_GROUP: u8 = 3;
    /// The chat of the users `subject` and `subcontext`, the smaller id first.
    pub const MODE_DIRECT: u8 = 4;
    /// The relayed match `subject`.
    pub const MODE_MATCH_RELAYED: u8 = 5;
    /// The match `subject` on the node `label`.
    pub const MODE_MATCH_AUTHORITATIVE: u8 = 6;
    /// The party `subject` on the node `label`.
    pub const MODE_PARTY: u8 = 7;

    /// A stream that is told apart by mode and subject alone.
    pub fn of_subject(mode: u8, subject: Uuid) -> Self {
        Self { mode, subject, subcontext: Uuid::nil(), label: Box::default() }
    }
}

/// The text that clients know a channel by: `<mode>.<subject>.<subcontext>.<label>`, nil ids left empty.
impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.", self.mode)?;
        for id in [self.subject, self.subcontext] {
            if !id.is_nil() {
                write!(f, "{}", id.hyphenated())?;
            }
            f.write_str(".")?;
        }
        f.write_str(&self.label)
    }
}

/// The text is not the id of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid channel identifier")]
pub struct InvalidChannelId;

impl StreamId {
    /// Reads the id of a channel: a room, a group's chat or a direct chat (spec/chat-and-notifications.md A2). The label of a
    /// room is what follows the third dot, with all dots of its own.
    pub fn from_channel_id(text: &str) -> Result<Self, InvalidChannelId> {
        let mut parts = text.splitn(4, '.');
        let mut part = || parts.next().ok_or(InvalidChannelId);
        let (mode, subject, subcontext, label) = (part()?, part()?, part()?, part()?);
        let id = |text: &str| {
            if text.is_empty() { Ok(Uuid::nil()) } else { parse_uuid(text).ok_or(InvalidChannelId) }
        };
        let (mode, well_formed) = match mode {
            "2" => (Self::MODE_CHANNEL, subject.is_empty() && subcontext.is_empty() && matches!(label.len(), 1..=64)),
            "3" => (Self::MODE_GROUP, subcontext.is_empty() && label.is_empty()),
            "4" => (Self::MODE_DIRECT, label.is_empty()),
            _ => return Err(InvalidChannelId),
        };
        if !well_formed {
            return Err(InvalidChannelId);
        }
        Ok(Self { mode, subject: id(subject)?, subcontext: id(subcontext)?, label: label.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANONICAL: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

    #[test]
    fn uuids_are_read_in_every_spelling() {
        for text in [
            CANONICAL,
            "6BA7B810-9dad-11D1-80b4-00c04fd430c8",
            "6ba7b8109dad11d180b400c04fd430c8",
            "6BA7B8109DAD11D180B400C04FD430C8",
            "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "urn:uuid:6BA7B810-9DAD-11D1-80B4-00C04FD430C8",
            "{6ba7b810-9dad-11d1-80b4-00c04fd430c8}",
        ] {
            assert_eq!(parse_uuid(text), Some(Uuid::NAMESPACE_DNS), "{text}");
        }
    }

    #[test]
    fn other_spellings_of_a_uuid_are_refused() {
        for text in [
            "",
            "x",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8 ",
            "6ba7b810-9dad-11d1-80b400-c04fd430c8",
            "6ba7b8109-dad-11d1-80b4-00c04fd430c8",
            "6ba7b810_9dad_11d1_80b4_00c04fd430c8",
            "gba7b810-9dad-11d1-80b4-00c04fd430c8",
            "URN:UUID:6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "urn:uuid:6ba7b8109dad11d180b400c04fd430c8",
            "{6ba7b8109dad11d180b400c04fd430c8}",
            "(6ba7b810-9dad-11d1-80b4-00c04fd430c8)",
            "{6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "é6ba7b8109dad11d180b400c04fd430c",
        ] {
            assert_eq!(parse_uuid(text), None, "{text}");
        }
    }

    #[test]
    fn a_relayed_match_ends_with_the_dot() {
        let id = MatchId::relayed(Uuid::NAMESPACE_DNS);
        assert_eq!(id.to_string(), format!("{CANONICAL}."));
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        assert!(id.is_relayed());
    }

    #[test]
    fn a_match_id_is_split_at_its_first_dot() {
        let id: MatchId = format!("{CANONICAL}.node.b").parse().unwrap();
        assert_eq!((id.id(), id.node(), id.is_relayed()), (Uuid::NAMESPACE_DNS, "node.b", false));
        assert_eq!(id, MatchId::authoritative(Uuid::NAMESPACE_DNS, "node.b"));
        for text in ["", ".", CANONICAL, "x.", ".nakama"] {
            assert_eq!(text.parse::<MatchId>(), Err(InvalidMatchId), "{text}");
        }
    }

    #[test]
    fn one_name_is_one_match() {
        assert_eq!(MatchId::named("python.org").to_string(), "886313e1-3b8a-5372-9b90-0c9aee199e5d.");
        assert_eq!(MatchId::named(&"x".repeat(3000)), MatchId::named(&"x".repeat(3000)));
        assert_ne!(MatchId::named("a"), MatchId::named("A"));
    }

    #[test]
    fn channels_are_written_and_read() {
        let (one, two) = (Uuid::NAMESPACE_DNS, Uuid::NAMESPACE_URL);
        let room = StreamId { label: "a.room..".into(), ..StreamId::of_subject(StreamId::MODE_CHANNEL, Uuid::nil()) };
        let group = StreamId::of_subject(StreamId::MODE_GROUP, one);
        let direct = StreamId { subcontext: two, ..StreamId::of_subject(StreamId::MODE_DIRECT, one) };
        assert_eq!(room.to_string(), "2...a.room..");
        assert_eq!(group.to_string(), format!("3.{CANONICAL}.."));
        assert_eq!(direct.to_string(), format!("4.{one}.{two}."));
        for id in [room, group, direct] {
            assert_eq!(StreamId::from_channel_id(&id.to_string()), Ok(id));
        }
        assert_eq!(StreamId::from_channel_id("3...").unwrap().subject, Uuid::nil());
    }

    #[test]
    fn other_texts_are_no_channels() {
        let long_room = format!("2...{}", "x".repeat(65));
        let with_label = format!("3.{CANONICAL}..x");
        let two_subjects = format!("3.{CANONICAL}.{CANONICAL}.");
        let room_of_a_user = format!("2.{CANONICAL}..x");
        for text in ["", "2", "2...", "2..x", "02...x", "5...x", "1...x", "3.x..", "4.x.y.", "4...x"]
            .into_iter()
            .chain([&*long_room, &with_label, &two_subjects, &room_of_a_user])
        {
            assert_eq!(StreamId::from_channel_id(text), Err(InvalidChannelId), "{text}");
        }
    }
}
