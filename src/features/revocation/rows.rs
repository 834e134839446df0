//! Revocations as the store writes them down.

use crate::{
    identity::{ScopeKey, ScopeKind, session::Revocation},
    store::{self, Scope},
};

pub(super) fn to_row(revocation: Revocation) -> store::Revocation {
    match revocation {
        Revocation::UserBefore { user_id, before, at_unix, expires_unix } => {
            store::Revocation::UserBefore { user_id, before, at_unix, expires_unix }
        }
        Revocation::SessionToken { user_id, token_id, expires_unix } => {
            store::Revocation::SessionToken { user_id, token_id, expires_unix }
        }
        Revocation::RefreshToken { user_id, token_id, expires_unix } => {
            store::Revocation::RefreshToken { user_id, token_id, expires_unix }
        }
        Revocation::ScopeBefore { kind, key, before, at_unix, expires_unix } => {
            let scope = match kind {
                ScopeKind::Issuer => Scope::Issuer,
                ScopeKind::Tenant => Scope::Tenant,
                ScopeKind::Family => Scope::Family,
                ScopeKind::Subject => Scope::Subject,
            };
            store::Revocation::ScopeBefore { scope, key: key.to_u128(), before, at_unix, expires_unix }
        }
        Revocation::EventTaken { key, expires_unix } => {
            store::Revocation::EventTaken { key: key.to_u128(), expires_unix }
        }
    }
}

pub(super) fn of_row(row: &store::Revocation) -> Revocation {
    match *row {
        store::Revocation::UserBefore { user_id, before, at_unix, expires_unix } => {
            Revocation::UserBefore { user_id, before, at_unix, expires_unix }
        }
        store::Revocation::SessionToken { user_id, token_id, expires_unix } => {
            Revocation::SessionToken { user_id, token_id, expires_unix }
        }
        store::Revocation::RefreshToken { user_id, token_id, expires_unix } => {
            Revocation::RefreshToken { user_id, token_id, expires_unix }
        }
        store::Revocation::ScopeBefore { scope, key, before, at_unix, expires_unix } => {
            let kind = match scope {
                Scope::Issuer => ScopeKind::Issuer,
                Scope::Tenant => ScopeKind::Tenant,
                Scope::Family => ScopeKind::Family,
                Scope::Subject => ScopeKind::Subject,
            };
            Revocation::ScopeBefore { kind, key: ScopeKey::from_u128(key), before, at_unix, expires_unix }
        }
        store::Revocation::EventTaken { key, expires_unix } => {
            Revocation::EventTaken { key: ScopeKey::from_u128(key), expires_unix }
        }
    }
}
