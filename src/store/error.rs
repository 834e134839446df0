//! Why the store could not do something: classes that callers tell apart, and texts that an operator can act on.

use crate::error::Error;
use kizuna_protocol::code::Code;
use rusqlite::ErrorCode;
use std::sync::Arc;

/// What went wrong in the store. Values of players never stand in it: ids of devices are credentials.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Too many calls wait already: `store.write_queue_size`, or every one of `store.read_connections` in use for long.
    #[error("{0}")]
    Busy(&'static str),
    /// There is no room to write.
    #[error("no room left to write {0}")]
    Full(Fault),
    /// The disk refuses to write, and not for want of room: a limit on the size of files, a quota, a fault.
    #[error("cannot write {0}")]
    Unwritable(Fault),
    /// Another program holds the database file, or another server the data folder.
    #[error("locked by another program: {0}")]
    Locked(Fault),
    /// A stored row does not hold what its table promises.
    #[error("table {table}, row {row}: {cause}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The row's key.
        row: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A value is taken that may be there once, as `table.column`.
    #[error("taken already: {column}")]
    Conflict {
        /// The column, as `users.username`.
        column: String,
    },
    /// As many notices wait for delivery as may: `hooks.outbox_size`.
    #[error("the outbox holds {0} notices already (hooks.outbox_size)")]
    OutboxFull(usize),
    /// As many refresh chains are remembered as may: `session.max_refresh_chains`.
    #[error("as many refresh chains are remembered as may (session.max_refresh_chains)")]
    ChainsFull,
    /// As many used identity tokens are remembered as may: `identity.max_replay_tokens`.
    #[error("as many identity tokens are remembered as may (identity.max_replay_tokens)")]
    TokenUsesFull,
    /// The user has as many friends, invites and blocks as one may: `friend.max_per_user`.
    #[error("the user has as many friends, invites and blocks as one may (friend.max_per_user)")]
    FriendsFull,
    /// Another user has as many friends, invites and blocks as one may, and cannot be invited.
    #[error("another user has as many friends, invites and blocks as one may (friend.max_per_user)")]
    OthersFriendsFull,
    /// The database was made by a newer Kizuna, or cannot be used as it is.
    #[error("{0}")]
    Refused(String),
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
    /// Anything else.
    #[error("{0}")]
    Other(Fault),
}

/// A file, and what happened to it.
#[derive(Clone, Debug)]
pub struct Fault {
    file: Option<Arc<str>>,
    cause: String,
}

impl Fault {
    /// What happened, to no file in particular.
    pub(crate) fn new(cause: impl Into<String>) -> Self {
        Self { file: None, cause: cause.into() }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{file}: {}", self.cause),
            None => f.write_str(&self.cause),
        }
    }
}

impl StoreError {
    /// What the client is told. `public_message` is the operation's own text for a failure of ours (500, code 13); what may
    /// pass by itself is 503, code 14, with a neutral text.
    pub fn into_error(self, public_message: &'static str) -> Error {
        match self {
            Self::Busy(_) => Error::unavailable("The store is busy right now. Try again."),
            Self::Full(_) => Error::unavailable("The store cannot take writes right now: disk full."),
            Self::Unwritable(_) => Error::unavailable("The store cannot take writes right now: the disk refuses them."),
            Self::Locked(_) => Error::unavailable("The store cannot take writes right now: database locked."),
            Self::OutboxFull(_) => Error::unavailable("Too many notices wait for delivery. Try again."),
            Self::ChainsFull => Error::unavailable("Too many sessions have been refreshed lately. Try again."),
            Self::TokenUsesFull => Error::unavailable("Too many identity tokens have been used lately. Try again."),
            Self::FriendsFull => {
                Error::new(Code::ResourceExhausted, "You have as many friends, invites and blocks as one may.")
            }
            Self::OthersFriendsFull => Error::new(Code::ResourceExhausted, "That user takes no more invites."),
            Self::Closed => Error::unavailable("The server is stopping."),
            Self::Corrupt { .. } | Self::Conflict { .. } | Self::Refused(_) | Self::Other(_) => {
                Error::internal(public_message, self)
            }
        }
    }

    /// Says which file it happened to, unless that is known.
    pub(crate) fn in_file(mut self, name: &Arc<str>) -> Self {
        if let Self::Full(fault) | Self::Unwritable(fault) | Self::Locked(fault) | Self::Other(fault) = &mut self {
            fault.file.get_or_insert_with(|| Arc::clone(name));
        }
        self
    }

    /// A failure of none of the named kinds.
    pub(crate) fn other(cause: impl std::fmt::Display) -> Self {
        Self::Other(Fault::new(cause.to_string()))
    }

    /// Whether the conflict is about `column`, as `users.username`.
    pub(crate) fn is_conflict_on(&self, column: &str) -> bool {
        matches!(self, Self::Conflict { column: found } if found == column)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let fault = Fault::new(error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(fault),
            Some(ErrorCode::SystemIoFailure) if is_of_a_write(&error) => Self::Unwritable(fault),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked(fault),
            Some(ErrorCode::ConstraintViolation) => conflict_column(&fault.cause)
                .map_or(Self::Other(fault.clone()), |column| Self::Conflict { column: column.to_owned() }),
            _ => Self::Other(fault),
        }
    }
}

/// Whether SQLite failed to write, rather than to read. A quota or a limit on the size of files comes as this, not as "full".
fn is_of_a_write(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_IOERR_FSYNC, SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_TRUNCATE, SQLITE_IOERR_WRITE};
    let code = error.sqlite_error().map(|error| error.extended_code);
    code.is_some_and(|code| {
        [SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC, SQLITE_IOERR_TRUNCATE, SQLITE_IOERR_SHMSIZE].contains(&code)
    })
}

/// The column in SQLite's "UNIQUE constraint failed: users.username".
fn conflict_column(text: &str) -> Option<&str> {
    text.split_once("UNIQUE constraint failed: ")
        .map(|(_, columns)| columns.split(',').next().unwrap_or(columns).trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_503_and_the_rest_is_the_operations_own_500() {
        let full = StoreError::Full(Fault::new("x")).into_error("Error finding user account.");
        assert_eq!(
            (full.code(), full.message()),
            (Code::Unavailable, "The store cannot take writes right now: disk full.")
        );
        let other = StoreError::other("secret path").into_error("Error finding user account.");
        assert_eq!((other.code(), other.message()), (Code::Internal, "Error finding user account."));
        assert_eq!(other.cause().map(ToString::to_string).as_deref(), Some("secret path"));
    }

    #[test]
    fn a_fault_names_its_file_once() {
        let file = Arc::from("/data/kizuna.db");
        let error = StoreError::Locked(Fault::new("database is locked")).in_file(&file).in_file(&Arc::from("other"));
        assert_eq!(error.to_string(), "locked by another program: /data/kizuna.db: database is locked");
    }
}
