//! Groups of sessions that can be ended or kept apart together: the players of an issuer, of a tenant, of one sign-in there; one
//! player of an issuer; and what an issuer has told of them.

use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use std::fmt;
use wincode::{SchemaRead, SchemaWrite};

/// What a [`ScopeKey`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScopeKind {
    /// Everybody whom an issuer vouches for: its `iss`.
    Issuer,
    /// Everybody of a tenant: the tenant's name.
    Tenant,
    /// The sessions that came from one sign-in at the provider: issuer (the first of its names), NUL, and its `sid` or `origin_jti`.
    Family,
    /// One player of an issuer: issuer (the first of its names), NUL, and `sub`.
    Subject,
}

impl ScopeKind {
    /// Its name in admin calls, the audit log and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::Tenant => "tenant",
            Self::Family => "family",
            Self::Subject => "subject",
        }
    }
}

/// A group's name in 128 bits: the first 16 bytes of SHA-256 over kind, NUL and name. Two groups never share one by accident, and
/// none can be made to fit another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, SchemaRead, SchemaWrite)]
pub struct ScopeKey(u128);

impl ScopeKey {
    /// The key of the group called `name`.
    pub fn new(kind: ScopeKind, name: &str) -> Self {
        Self::of(kind.as_str(), &[name])
    }

    /// The key of a sign-in at `issuer` that it calls `session`.
    pub fn family(issuer: &str, session: &str) -> Self {
        Self::of(ScopeKind::Family.as_str(), &[issuer, session])
    }

    /// The key of the player whom `issuer` calls `subject`.
    pub fn subject(issuer: &str, subject: &str) -> Self {
        Self::of(ScopeKind::Subject.as_str(), &[issuer, subject])
    }

    /// The key of the log-out token or security event token that `issuer` calls `id` (its `jti`).
    pub fn event(issuer: &str, id: &str) -> Self {
        Self::of("event", &[issuer, id])
    }

    fn of(kind: &str, parts: &[&str]) -> Self {
        let mut digest = Context::new(&SHA256);
        digest.update(kind.as_bytes());
        for part in parts {
            digest.update(&[0]);
            digest.update(part.as_bytes());
        }
        let digest = digest.finish();
        let first = digest.as_ref().iter().take(16);
        Self(first.fold(0, |number, byte| (number << 8) | u128::from(*byte)))
    }

    /// The key as a number, for the store.
    pub const fn to_u128(self) -> u128 {
        self.0
    }

    /// The key that was written as a number.
    pub const fn from_u128(number: u128) -> Self {
        Self(number)
    }

    /// Reads what `Display` wrote: base64url without padding.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(u128::from_be_bytes(bytes.try_into().ok()?)))
    }
}

impl fmt::Display for ScopeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.0.to_be_bytes()))
    }
}

impl fmt::Debug for ScopeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The wall that a session is behind: what is of one tenant never meets what is of another. Without tenancy nobody has one, and
/// everybody is together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, SchemaRead, SchemaWrite)]
pub struct Tenant(Option<ScopeKey>);

impl Tenant {
    /// No wall.
    pub const NONE: Self = Self(None);

    /// The tenant called `name`.
    pub fn named(name: &str) -> Self {
        Self(Some(ScopeKey::new(ScopeKind::Tenant, name)))
    }

    /// Its key; `None` without a wall.
    pub const fn key(self) -> Option<ScopeKey> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_and_parts_make_the_key() {
        let tenant = ScopeKey::new(ScopeKind::Tenant, "acme");
        assert_ne!(tenant, ScopeKey::new(ScopeKind::Issuer, "acme"));
        assert_ne!(ScopeKey::family("a", "bc"), ScopeKey::family("ab", "c"));
        assert_ne!(ScopeKey::family("a", "b"), ScopeKey::subject("a", "b"));
        assert_ne!(ScopeKey::event("a", "b"), ScopeKey::subject("a", "b"));
        assert_eq!(ScopeKey::parse(&tenant.to_string()), Some(tenant));
        assert_eq!(ScopeKey::from_u128(tenant.to_u128()), tenant);
        assert_eq!(tenant.to_string().len(), 22);
        for bad in ["", "acme", "++++++++++++++++++++++"] {
            assert_eq!(ScopeKey::parse(bad), None);
        }
    }
}
