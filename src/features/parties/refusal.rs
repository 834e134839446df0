//! Why something that a client asks of a party is not done, and how it is told (spec/parties.md 3).

use crate::{
    features::matchmaker::AddError,
    realtime::{JoinError, Session},
};
use kizuna_protocol::code::RealtimeCode;

/// What is wrong with the party, the request, or the one who asks. Told behind the operation's prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PartyError {
    #[error("party not found")]
    NotFound,
    /// It ended between the look and the lock.
    #[error("party closed")]
    Closed,
    #[error("party leader only")]
    LeaderOnly,
    #[error("party full")]
    Full,
    #[error("party join requests full")]
    RequestsFull,
    #[error("party join request duplicate")]
    RequestDuplicate,
    #[error("party join request already member")]
    AlreadyMember,
    #[error("party join request not found")]
    RequestNotFound,
    /// Who asked is gone.
    #[error("party could not accept request")]
    CouldNotAccept,
    #[error("party member not found")]
    MemberNotFound,
    #[error("party cannot remove self")]
    CannotRemoveSelf,
    #[error("party label too long")]
    LabelTooLong,
    #[error("failed to unmarshal party label: {0}")]
    LabelMalformed(String),
    #[error("party is hidden and label is not empty, invalid operation")]
    HiddenWithLabel,
    /// The matchmaker does not take the party's ticket.
    #[error(transparent)]
    Matchmaker(#[from] AddError),
    #[error("matchmaker ticket not found")]
    TicketNotFound,
    /// Ours: Nakama knows no such bound. It is that of `party.max_per_session` or `party.max_per_user`.
    #[error("too many parties")]
    TooManyParties,
}

/// An error as the client is told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The request is malformed: a text of its own.
    Malformed(&'static str),
    /// Behind the operation's prefix.
    Because(PartyError),
}

impl Refusal {
    pub(super) const PARTY_ID: Self = Self::Malformed("Invalid party ID");
    pub(super) const PRESENCE: Self = Self::Malformed("Invalid presence");
    pub(super) const TICKET: Self = Self::Malformed("Invalid matchmaker ticket");
    pub(super) const MAX_SIZE: Self = Self::Malformed("Invalid party max size, must be 1-256");
}

impl From<PartyError> for Refusal {
    fn from(error: PartyError) -> Self {
        Self::Because(error)
    }
}

impl From<JoinError> for PartyError {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::NotFound => Self::NotFound,
            JoinError::Full => Self::Full,
            JoinError::TooMany | JoinError::TooManyOfUser => Self::TooManyParties,
            JoinError::Closed => Self::CouldNotAccept,
        }
    }
}

/// Tells `session` why the operation with this `prefix` was not done. What was done has been answered by then.
pub(super) fn answer(session: &Session, cid: String, prefix: &str, outcome: Result<(), Refusal>) {
    let text = match outcome {
        Ok(()) => return,
        Err(Refusal::Malformed(text)) => text.to_owned(),
        Err(Refusal::Because(error)) => format!("{prefix}: {error}"),
    };
    session.answer_error(cid, RealtimeCode::BadInput, text);
}
