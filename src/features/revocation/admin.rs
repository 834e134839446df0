//! `POST /bridge/revoke`: a server of the operator's ends sessions.

use super::{super::Services, close_sockets_of, events::account_of, longest_identity, note, revoke};
use crate::{
    audit::{Event, Source, Target},
    error::Error,
    identity::{Named, ScopeKey, ScopeKind, session::Revocation},
    store::Identifier,
};
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;

/// Longest name or reason in bytes.
const LONGEST_TEXT: usize = 1_024;
const WANTED: &str =
    "Give exactly one of: user_id; custom_id; entry with subject; issuer; tenant; family with entry or issuer.";

/// What an admin's call has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Sockets that were closed.
    pub sockets_closed: usize,
}

/// Ends the sessions of a user, a player of a trust entry, an issuer, a tenant, or a sign-in at an issuer, and refuses identity
/// tokens of theirs that exist now. Doing so twice ends what came in between.
///
/// # Errors
/// 400 for a body that names nobody or several; 404 for a trust entry that is not there; 503 when the list of log-outs is full.
pub async fn revoke_by_admin(services: &Services, body: &[u8]) -> Result<Revoked, Error> {
    let mut asked: BTreeMap<String, String> =
        serde_json::from_slice(body).map_err(|_| Error::invalid_argument(WANTED))?;
    if asked.values().any(|text| text.is_empty() || text.len() > LONGEST_TEXT) {
        return Err(Error::invalid_argument(format!("Texts must have 1 to {LONGEST_TEXT} bytes.")));
    }
    let reason = asked.remove("reason");
    let plan = Plan::of(services, &asked)?;
    let sockets_closed = plan.run(services).await?;
    let (target, entry) = (plan.target, asked.remove("entry").map(Arc::from));
    let event = Event::Revoked { source: Source::Admin, target, entry, reason, sockets: sockets_closed };
    note(services, Source::Admin, event, sockets_closed);
    Ok(Revoked { sockets_closed })
}

/// What is to end: groups of sessions and their identity tokens, then users.
struct Plan {
    scopes: Vec<(ScopeKind, ScopeKey)>,
    /// Players whose accounts are looked for once their identity tokens are refused.
    players: Vec<Named>,
    users: Vec<Uuid>,
    target: Target,
}

impl Plan {
    fn of(services: &Services, asked: &BTreeMap<String, String>) -> Result<Self, Error> {
        let given: Vec<_> = asked.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        match given.as_slice() {
            [("user_id", id)] => Ok(Self::user(Uuid::try_parse(id).map_err(|_| Error::invalid_argument(WANTED))?)),
            [("custom_id", id)] => {
                let found = services.store.find_login(Identifier::Custom(id));
                let found = found.map_err(|error| error.into_error("Error finding user account."))?;
                Ok(Self::user(found.ok_or_else(|| Error::not_found("User account not found."))?.user_id))
            }
            [("entry", entry), ("subject", subject)] => {
                let players = services.verifier.named(entry, subject).ok_or_else(no_entry)?;
                let plan = Self::group(ScopeKind::Subject, players.iter().map(|named| named.key).collect());
                Ok(Self { players: players.into_iter().collect(), ..plan })
            }
            [("entry", entry), ("family", family)] => {
                let keys = services.verifier.families_of(entry, family).ok_or_else(no_entry)?;
                Ok(Self::group(ScopeKind::Family, keys.into_iter().collect()))
            }
            [("family", family), ("issuer", issuer)] => {
                Ok(Self::group(ScopeKind::Family, vec![services.verifier.family_at(issuer, family)]))
            }
            [("issuer", name)] => Ok(Self::named_group(ScopeKind::Issuer, name)),
            [("tenant", name)] => Ok(Self::named_group(ScopeKind::Tenant, name)),
            _ => Err(Error::invalid_argument(WANTED)),
        }
    }

    fn user(user_id: Uuid) -> Self {
        Self { scopes: Vec::new(), players: Vec::new(), users: vec![user_id], target: Target::User(user_id) }
    }

    /// A player or a sign-in, under every name of its issuer. The log gets a hash.
    fn group(kind: ScopeKind, keys: Vec<ScopeKey>) -> Self {
        let hash = keys.first().map(ToString::to_string).unwrap_or_default();
        let scopes = keys.into_iter().map(|key| (kind, key)).collect();
        Self { scopes, players: Vec::new(), users: Vec::new(), target: Target::Scope(kind.as_str(), hash) }
    }

    /// An issuer or a tenant, which is nobody's secret.
    fn named_group(kind: ScopeKind, name: &str) -> Self {
        let target = Target::Scope(kind.as_str(), name.to_owned());
        Self { scopes: vec![(kind, ScopeKey::new(kind, name))], players: Vec::new(), users: Vec::new(), target }
    }

    async fn run(&self, services: &Services) -> Result<usize, Error> {
        let (now, longest) = (services.clock.unix_seconds(), longest_identity(services));
        let scope = |&(kind, key)| services.tokens.scope_before(kind, key, now, longest);
        let scopes: Vec<Revocation> = self.scopes.iter().map(scope).collect();
        if !scopes.is_empty() {
            revoke(services, scopes).await?;
        }
        let mut users = self.users.clone();
        for named in &self.players {
            users.extend(account_of(services, named)?);
        }
        users.sort_unstable();
        users.dedup();
        if !users.is_empty() {
            revoke(services, users.iter().map(|user_id| services.tokens.user_now(*user_id)).collect()).await?;
        }
        let of_users: usize = users.iter().map(|user_id| close_sockets_of(services, *user_id)).sum();
        let by_group = self.scopes.iter().any(|(kind, _)| *kind != ScopeKind::Subject)
            || self.players.iter().any(|named| named.in_sessions);
        let of_groups = match by_group {
            true => services.realtime.close_revoked(|claims| services.tokens.is_ended(claims)).await,
            false => 0,
        };
        Ok(of_users + of_groups)
    }
}

fn no_entry() -> Error {
    Error::not_found("Trust entry not found.")
}
