//! The deny list: which tokens, valid by signature and time, are not accepted any more. Held in memory for every request, on
//! disk by the store; a list of what still could be presented, so it is as long as the log-outs of one token lifetime.

use super::{Kind, SessionClaims};
use crate::clock::order_of;
use dashmap::DashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use uuid::Uuid;

/// Tokens that are no longer accepted, and until when that has to be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// All of a user's tokens that were issued before something: log-out everywhere, deletion, ban, `single_session`.
    UserBefore {
        /// The user.
        user_id: Uuid,
        /// Order number: token ids of ours below it are refused ([`crate::clock::order_of`]).
        before: u64,
        /// For tokens without an order: refused when issued in this second (since 1970) or earlier.
        at_unix: i64,
        /// The first second at which none of them can be valid.
        expires_unix: i64,
    },
    /// All session tokens of one chain.
    SessionToken {
        /// Whose.
        user_id: Uuid,
        /// The chain.
        token_id: Uuid,
        /// The first second at which none of them can be valid.
        expires_unix: i64,
    },
    /// All refresh tokens of one chain.
    RefreshToken {
        /// Whose.
        user_id: Uuid,
        /// The chain.
        token_id: Uuid,
        /// The first second at which none of them can be valid.
        expires_unix: i64,
    },
}

/// No room for another revoked token or user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many tokens and users as session.max_revoked_tokens are logged out already")]
pub struct Full;

#[derive(Clone, Copy)]
struct UserBefore {
    before: u64,
    at_unix: i64,
    expires_unix: i64,
}

pub(super) struct DenyList {
    users: DashMap<Uuid, UserBefore>,
    sessions: DashMap<Uuid, i64>,
    refreshes: DashMap<Uuid, i64>,
    /// Length of the three together: counting the shards of a map takes all their locks.
    held: AtomicUsize,
    most: usize,
}

impl DenyList {
    pub(super) fn new(most: usize) -> Self {
        let (users, sessions, refreshes) = (DashMap::new(), DashMap::new(), DashMap::new());
        Self { users, sessions, refreshes, held: AtomicUsize::new(0), most }
    }

    fn tokens_of(&self, kind: Kind) -> &DashMap<Uuid, i64> {
        match kind {
            Kind::Session => &self.sessions,
            Kind::Refresh => &self.refreshes,
        }
    }

    pub(super) fn denies(&self, kind: Kind, claims: &SessionClaims) -> bool {
        let token_denied = claims.token_id.is_some_and(|token_id| self.holds(kind, token_id));
        token_denied || self.users.get(&claims.user_id).is_some_and(|user| user.denies(claims))
    }

    pub(super) fn holds(&self, kind: Kind, token_id: Uuid) -> bool {
        self.tokens_of(kind).contains_key(&token_id)
    }

    pub(super) fn room_for(&self, more: usize) -> Result<(), Full> {
        let held = self.held.load(Ordering::Relaxed);
        if held.saturating_add(more) > self.most { Err(Full) } else { Ok(()) }
    }

    pub(super) fn room_for_user(&self, user_id: Uuid) -> Result<(), Full> {
        if self.users.contains_key(&user_id) { Ok(()) } else { self.room_for(1) }
    }

    pub(super) fn add(&self, revocation: Revocation) {
        match revocation {
            Revocation::UserBefore { user_id, before, at_unix, expires_unix } => {
                let new = UserBefore { before, at_unix, expires_unix };
                self.users.entry(user_id).and_modify(|old| *old = old.merged(new)).or_insert_with(|| {
                    self.held.fetch_add(1, Ordering::Relaxed);
                    new
                });
            }
            Revocation::SessionToken { token_id, expires_unix, .. } => {
                self.add_token(Kind::Session, token_id, expires_unix);
            }
            Revocation::RefreshToken { token_id, expires_unix, .. } => {
                self.add_token(Kind::Refresh, token_id, expires_unix);
            }
        }
    }

    fn add_token(&self, kind: Kind, token_id: Uuid, expires_unix: i64) {
        let keep = |old: &mut i64| *old = (*old).max(expires_unix);
        self.tokens_of(kind).entry(token_id).and_modify(keep).or_insert_with(|| {
            self.held.fetch_add(1, Ordering::Relaxed);
            expires_unix
        });
    }

    pub(super) fn purge(&self, now: i64) {
        let keep = |expires_unix: i64| {
            let keep = expires_unix > now;
            if !keep {
                self.held.fetch_sub(1, Ordering::Relaxed);
            }
            keep
        };
        self.users.retain(|_, user| keep(user.expires_unix));
        for kind in [Kind::Session, Kind::Refresh] {
            self.tokens_of(kind).retain(|_, expires_unix| keep(*expires_unix));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl UserBefore {
    /// Ours are told apart by order, exact within a second; foreign ids by the second of their issue.
    fn denies(self, claims: &SessionClaims) -> bool {
        match claims.token_id.and_then(order_of) {
            Some(order) => order < self.before,
            None => claims.issued_unix <= self.at_unix,
        }
    }

    fn merged(self, other: Self) -> Self {
        Self {
            before: self.before.max(other.before),
            at_unix: self.at_unix.max(other.at_unix),
            expires_unix: self.expires_unix.max(other.expires_unix),
        }
    }
}
