//! The deny list: which tokens, valid by signature and time, are not accepted any more. Held in memory for every request, on
//! disk by the store; a list of what still could be presented, so it is as long as the log-outs of one token lifetime.

use super::{Kind, SessionClaims};
use crate::{
    clock::order_of,
    identity::{ScopeKey, ScopeKind},
};
use dashmap::DashMap;
use std::{
    hash::Hash,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};
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
    /// All tokens of a group's sessions that were issued before something, and the group's older identity tokens.
    ScopeBefore {
        /// What the group is.
        kind: ScopeKind,
        /// Which one.
        key: ScopeKey,
        /// Order number, as for a user.
        before: u64,
        /// Identity tokens issued in this second (since 1970, by the issuer's clock) or earlier are refused.
        at_unix: i64,
        /// The first second at which none of them can be valid.
        expires_unix: i64,
    },
    /// A log-out token or security event token that has been acted on, so that it is not acted on again.
    EventTaken {
        /// [`ScopeKey::event`].
        key: ScopeKey,
        /// The first second at which it would be refused for its age.
        expires_unix: i64,
    },
}

/// No room for another revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many tokens and users as session.max_revoked_tokens are logged out already")]
pub struct Full;

#[derive(Clone, Copy)]
struct Before {
    before: u64,
    at_unix: i64,
    expires_unix: i64,
}

pub(super) struct DenyList {
    users: DashMap<Uuid, Before>,
    scopes: DashMap<ScopeKey, Before>,
    sessions: DashMap<Uuid, i64>,
    refreshes: DashMap<Uuid, i64>,
    events: DashMap<ScopeKey, i64>,
    /// Whatever was revoked so far was revoked below this order number: what is issued above it needs no look at the maps.
    latest: AtomicU64,
    /// The same for groups alone; 0 while none was ended.
    latest_scope: AtomicU64,
    /// Length of the maps together: counting the shards of a map takes all their locks.
    held: AtomicUsize,
    most: usize,
}

impl DenyList {
    pub(super) fn new(most: usize) -> Self {
        Self {
            users: DashMap::new(),
            scopes: DashMap::new(),
            sessions: DashMap::new(),
            refreshes: DashMap::new(),
            events: DashMap::new(),
            latest: AtomicU64::new(0),
            latest_scope: AtomicU64::new(0),
            held: AtomicUsize::new(0),
            most,
        }
    }

    fn tokens_of(&self, kind: Kind) -> &DashMap<Uuid, i64> {
        match kind {
            Kind::Session => &self.sessions,
            Kind::Refresh => &self.refreshes,
        }
    }

    /// One comparison for every token that is younger than the latest revocation; only older ones cost a look.
    pub(super) fn denies(&self, kind: Kind, claims: &SessionClaims) -> bool {
        let order = claims.token_id.and_then(order_of);
        if order.is_some_and(|order| order >= self.latest.load(Ordering::Acquire)) {
            return false;
        }
        claims.token_id.is_some_and(|token_id| self.holds(kind, token_id))
            || self.users.get(&claims.user_id).is_some_and(|user| user.denies(claims, order))
            || self.ends_origin(claims, order)
    }

    fn ends_origin(&self, claims: &SessionClaims, order: Option<u64>) -> bool {
        let Some(origin) = &claims.origin else { return false };
        if order.is_some_and(|order| order >= self.latest_scope.load(Ordering::Acquire)) {
            return false;
        }
        origin.scopes().any(|key| self.scopes.get(&key).is_some_and(|scope| scope.denies(claims, order)))
    }

    pub(super) fn holds(&self, kind: Kind, token_id: Uuid) -> bool {
        self.tokens_of(kind).contains_key(&token_id)
    }

    /// Whether any group was ever ended.
    pub(super) fn ends_scopes(&self) -> bool {
        self.latest_scope.load(Ordering::Acquire) > 0
    }

    /// The second in which a group was last ended, by its issuer's clock.
    pub(super) fn ended_at(&self, key: ScopeKey) -> Option<i64> {
        self.scopes.get(&key).map(|scope| scope.at_unix)
    }

    pub(super) fn has_taken(&self, key: ScopeKey) -> bool {
        self.events.contains_key(&key)
    }

    pub(super) fn room_for(&self, more: usize) -> Result<(), Full> {
        let held = self.held.load(Ordering::Relaxed);
        if more > 0 && held.saturating_add(more) > self.most { Err(Full) } else { Ok(()) }
    }

    pub(super) fn room_for_user(&self, user_id: Uuid) -> Result<(), Full> {
        if self.users.contains_key(&user_id) { Ok(()) } else { self.room_for(1) }
    }

    /// Whether a revocation would only make one stricter that is held already.
    pub(super) fn has_place_for(&self, revocation: &Revocation) -> bool {
        match revocation {
            Revocation::UserBefore { user_id, .. } => self.users.contains_key(user_id),
            Revocation::SessionToken { token_id, .. } => self.holds(Kind::Session, *token_id),
            Revocation::RefreshToken { token_id, .. } => self.holds(Kind::Refresh, *token_id),
            Revocation::ScopeBefore { key, .. } => self.scopes.contains_key(key),
            Revocation::EventTaken { key, .. } => self.has_taken(*key),
        }
    }

    /// The maps come before the marks: whoever sees a mark finds what it stands for.
    pub(super) fn add(&self, revocation: Revocation) {
        match revocation {
            Revocation::UserBefore { user_id, before, at_unix, expires_unix } => {
                self.add_before(&self.users, user_id, Before { before, at_unix, expires_unix });
                self.latest.fetch_max(before, Ordering::AcqRel);
            }
            Revocation::SessionToken { token_id, expires_unix, .. } => {
                self.add_token(Kind::Session, token_id, expires_unix);
            }
            Revocation::RefreshToken { token_id, expires_unix, .. } => {
                self.add_token(Kind::Refresh, token_id, expires_unix);
            }
            Revocation::ScopeBefore { key, before, at_unix, expires_unix, .. } => {
                self.add_before(&self.scopes, key, Before { before, at_unix, expires_unix });
                self.latest_scope.fetch_max(before.max(1), Ordering::AcqRel);
                self.latest.fetch_max(before, Ordering::AcqRel);
            }
            Revocation::EventTaken { key, expires_unix } => self.add_until(&self.events, key, expires_unix),
        }
    }

    fn add_before<K: Eq + Hash>(&self, map: &DashMap<K, Before>, key: K, new: Before) {
        map.entry(key).and_modify(|old| *old = old.merged(new)).or_insert_with(|| {
            self.held.fetch_add(1, Ordering::Relaxed);
            new
        });
    }

    fn add_token(&self, kind: Kind, token_id: Uuid, expires_unix: i64) {
        self.add_until(self.tokens_of(kind), token_id, expires_unix);
        if let Some(order) = order_of(token_id) {
            self.latest.fetch_max(order.saturating_add(1), Ordering::AcqRel);
        }
    }

    fn add_until<K: Eq + Hash>(&self, map: &DashMap<K, i64>, key: K, expires_unix: i64) {
        let keep = |old: &mut i64| *old = (*old).max(expires_unix);
        map.entry(key).and_modify(keep).or_insert_with(|| {
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
        self.scopes.retain(|_, scope| keep(scope.expires_unix));
        self.events.retain(|_, expires_unix| keep(*expires_unix));
        for kind in [Kind::Session, Kind::Refresh] {
            self.tokens_of(kind).retain(|_, expires_unix| keep(*expires_unix));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl Before {
    /// Ours are told apart by order, exact within a second; foreign ids by the second of their issue.
    fn denies(self, claims: &SessionClaims, order: Option<u64>) -> bool {
        match order {
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
