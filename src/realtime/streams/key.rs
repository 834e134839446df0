//! What names a stream.

use crate::identity::Tenant;
use std::sync::Arc;
use uuid::Uuid;

/// What kind of stream it is; the numbers are Nakama's (spec/realtime-core.md 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// What a user is notified of; subject is the user.
    Notifications,
    /// A user's status; subject is the user. Its events go to those who follow the user.
    Status,
    /// A chat room; the label is its name.
    Room,
    /// A group's chat; subject is the group.
    Group,
    /// A chat of two users: subject and subcontext, in order.
    Direct,
    /// A relayed match; subject is the match id.
    RelayedMatch,
    /// A match that the server runs; subject is the match id, the label its node.
    AuthoritativeMatch,
    /// A party; subject is its id, the label its node.
    Party,
    /// A program's own: 8 to 255.
    Custom(u8),
}

impl Mode {
    /// The number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::Notifications => 0,
            Self::Status => 1,
            Self::Room => 2,
            Self::Group => 3,
            Self::Direct => 4,
            Self::RelayedMatch => 5,
            Self::AuthoritativeMatch => 6,
            Self::Party => 7,
            Self::Custom(number) => number,
        }
    }

    /// The kind with this number.
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Notifications,
            1 => Self::Status,
            2 => Self::Room,
            3 => Self::Group,
            4 => Self::Direct,
            5 => Self::RelayedMatch,
            6 => Self::AuthoritativeMatch,
            7 => Self::Party,
            other => Self::Custom(other),
        }
    }

    /// Whether such a stream is a match.
    pub const fn is_match(self) -> bool {
        matches!(self, Self::RelayedMatch | Self::AuthoritativeMatch)
    }
}

/// A stream's identity. The tenant is part of it, so streams of two tenants are never one, whatever their subject; there is no
/// other way to name a stream than by whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    tenant: Tenant,
    mode: Mode,
    subject: Uuid,
    subcontext: Uuid,
    label: Option<Arc<str>>,
}

impl StreamKey {
    /// The stream of kind `mode` about `subject` behind the wall of `tenant`: that of the session or caller who asks.
    pub fn new(tenant: Tenant, mode: Mode, subject: Uuid) -> Self {
        Self { tenant, mode, subject, subcontext: Uuid::nil(), label: None }
    }

    /// The same with a second subject.
    #[must_use]
    pub fn with_subcontext(self, subcontext: Uuid) -> Self {
        Self { subcontext, ..self }
    }

    /// The same with a label; an empty one is none.
    #[must_use]
    pub fn with_label(self, label: &str) -> Self {
        Self { label: (!label.is_empty()).then(|| label.into()), ..self }
    }

    /// Whose it is.
    pub fn tenant(&self) -> Tenant {
        self.tenant
    }

    /// Its kind.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What it is about; nil if nothing.
    pub fn subject(&self) -> Uuid {
        self.subject
    }

    /// The second subject; nil if there is none.
    pub fn subcontext(&self) -> Uuid {
        self.subcontext
    }

    /// Its label; empty if it has none.
    pub fn label(&self) -> &str {
        self.label.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_one_kind() {
        assert!((0..=u8::MAX).all(|number| Mode::from_number(number).number() == number));
    }
}
