//! What must outlive the process: accounts, friends, notifications, revoked tokens, the newest tokens of refresh chains, notices
//! to webhooks. One file an entity holds its SQL and its
//! operations on [`Store`]; `db` below them is the engine (docs/decisions/0004-embedded-sqlite-one-writer.md).
//!
//! A write is on disk before its answer; a point read runs on the caller's thread and never waits for the writer.

mod db;
mod error;
mod friends;
pub mod jsonb;
mod links;
mod migrations;
mod notifications;
mod outbox;
mod provider_sessions;
mod refresh_chains;
mod revocations;
mod tenants;
mod token_uses;
mod users;
mod writer;

pub use error::{Fault, StoreError};
pub use friends::{Edge, EdgeChange, FriendCall, FriendOfFriend, FriendState, FriendsOfFriends};
pub use links::{Linked, Unlink};
pub use migrations::MigrationState;
pub use notifications::{NewNotification, Notification};
pub use outbox::{Notice, StoredNotice};
pub use provider_sessions::ProviderSession;
pub use refresh_chains::{Presented, Rotation};
pub use revocations::{Revocation, Scope};
pub use token_uses::{EarlierUse, TokenUse};
pub use users::{Account, AccountChanges, Created, Identifier, Login, NewIdentifier, NewUser, Updated, User};
pub use writer::Counters;

use crate::{clock::Clock, config};
use db::Db;
use std::{path::Path, sync::Arc};

/// The store of one server. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    db: Arc<Db>,
    clock: Clock,
    limits: Limits,
}

/// What other parts of the configuration say about the store.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Notices that may wait for delivery: `hooks.outbox_size`.
    pub outbox_size: usize,
    /// Seconds for which the revocation of all of a user's tokens is kept when an account is banned or deleted: the longest
    /// life of a token. Kept for good unless told otherwise.
    pub token_lifetime_sec: i64,
    /// Notifications kept for one user: `notification.max_per_user`.
    pub notifications_per_user: usize,
    /// Of those, what one player has caused: `notification.max_per_sender`.
    pub notifications_per_sender: usize,
    /// Friends, invites and blocks of one user: `friend.max_per_user`.
    pub friends_per_user: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            outbox_size: 100_000,
            token_lifetime_sec: i64::MAX,
            notifications_per_user: 1_000,
            notifications_per_sender: 32,
            friends_per_user: 10_000,
        }
    }
}

impl Store {
    /// Opens the database in `data_dir`, making both if need be, and brings its tables up to date.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another server has the folder open, [`StoreError::Refused`] when the database was made by a
    /// newer version, others when the file cannot be used.
    pub fn open(config: &config::Store, data_dir: &Path, clock: Clock) -> Result<Self, StoreError> {
        let db = Arc::new(Db::open(config, data_dir, &clock)?);
        Ok(Self { db, clock, limits: Limits::default() })
    }

    /// The same store under `limits`: call it once, before handing out clones.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Which migrations the database in `data_dir` has, and which it lacks. A missing database lacks all.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn migration_status(config: &config::Store, data_dir: &Path) -> Result<Vec<MigrationState>, StoreError> {
        db::migration_status(config, data_dir)
    }

    /// Brings the database in `data_dir` up to date and answers the migrations that were applied.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn migrate_up(config: &config::Store, data_dir: &Path, clock: &Clock) -> Result<Vec<&'static str>, StoreError> {
        db::migrate_up(config, data_dir, clock)
    }

    /// Finishes what is queued, then stops the writer and frees the data folder. Later writes are refused. Blocks.
    pub fn close(&self) {
        self.db.close();
    }

    /// What the writer has done so far.
    pub fn counters(&self) -> Counters {
        self.db.counters()
    }
}

#[cfg(test)]
pub(crate) mod tests;
