//! Revocation by what a session came from: its issuer, its tenant, its sign-in at the provider; and of identity tokens that are
//! older than such a revocation. Writing to disk first is the caller's part, as for all revocations.

use super::{Full, Revocation, SessionTokens};
use crate::identity::{ScopeKey, ScopeKind, VerifiedIdentity};

impl SessionTokens {
    /// What ends every session of a group that exists now, and refuses its identity tokens that were issued at `at_unix` (seconds
    /// since 1970, by the issuer's clock) or before. Those live for `identity_seconds` at most.
    pub fn scope_before(&self, kind: ScopeKind, key: ScopeKey, at_unix: i64, identity_seconds: i64) -> Revocation {
        let last = at_unix.max(self.0.clock.unix_seconds()).saturating_add(identity_seconds).saturating_add(1);
        Revocation::ScopeBefore {
            kind,
            key,
            before: self.next_order(),
            at_unix,
            expires_unix: last.max(self.chain_end()),
        }
    }

    /// Whether a verified identity token is older than the end of its issuer's, its tenant's, its sign-in's or its player's sessions:
    /// it must not open a new one. One that does not say when it was issued counts as older.
    pub fn refuses_identity(&self, identity: &VerifiedIdentity) -> bool {
        if !self.0.denied.ends_scopes() {
            return false;
        }
        let issued = identity.issued_at.unwrap_or(i64::MIN);
        // Events name a player by the claim `sub`; an admin may name one by what the account is made of.
        let keys = [
            Some(ScopeKey::subject(&identity.namespace, identity.sub())),
            Some(ScopeKey::subject(&identity.namespace, &identity.subject)),
            Some(ScopeKey::new(ScopeKind::Issuer, &identity.issuer)),
            identity.family_key(),
            identity.tenant.as_deref().map(|tenant| ScopeKey::new(ScopeKind::Tenant, tenant)),
        ];
        keys.into_iter().flatten().any(|key| self.0.denied.ended_at(key).is_some_and(|at| issued <= at))
    }

    /// What remembers until `expires_unix` (seconds since 1970) that an event token has been acted on.
    pub fn event_taken(&self, key: ScopeKey, expires_unix: i64) -> Revocation {
        Revocation::EventTaken { key, expires_unix }
    }

    /// Whether an event token has been acted on already.
    pub fn has_taken(&self, key: ScopeKey) -> bool {
        self.0.denied.has_taken(key)
    }

    /// Whether all of these can be remembered; those that only make an earlier one stricter take no more room.
    ///
    /// # Errors
    /// They cannot; see `session.max_revoked_tokens`.
    pub fn room_for_all(&self, revocations: &[Revocation]) -> Result<(), Full> {
        self.0.denied.room_for(revocations.iter().filter(|revocation| !self.0.denied.has_place_for(revocation)).count())
    }
}
