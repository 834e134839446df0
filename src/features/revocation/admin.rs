//! `POST /bridge/revoke`: a server of the operator's ends sessions.

use super::{super::Services, close_sockets_of, events::account_of, longest_identity, note, revoke};
use crate::{
    audit::{Event, Source, Target},
    error::Error,
    identity::{ScopeKey, ScopeKind, session::Revocation},
    store::Identifier,
};
use serde::Deserialize;
use std::sync::Arc;
use uuid::Uuid;

/// Longest name or reason in bytes.
const LONGEST_TEXT: usize = 1_024;
const WANTED: &str = "Give exactly one of: user_id; custom_id; entry with subject; issuer; tenant; family with entry or issuer.";

/// What an admin's call has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Sockets that were closed.
    pub sockets_closed: usize,
}

/// The call's body.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Asked {
    user_id: Option<Uuid>,
    custom_id: Option<String>,
    entry: Option<String>,
    subject: Option<String>,
    issuer: Option<String>,
    tenant: Option<String>,
    family: Option<String>,
    reason: Option<String>,
}

/// Ends the sessions of a user, a player of a trust entry, an issuer, a tenant, or a sign-in at an issuer, and refuses identity
/// tokens of theirs that exist now. Doing so twice ends what came in between.
///
/// # Errors
/// 400 for a body that names nobody or several; 404 for a trust entry that is not there; 503 when the list of log-outs is full.
pub async fn revoke_by_admin(services: &Services, body: &[u8]) -> Result<Revoked, Error> {
    let asked: Asked = serde_json::from_slice(body).map_err(|_| Error::invalid_argument(WANTED))?;
    asked.fits()?;
    let plan = Plan::of(services, &asked)?;
    let sockets_closed = plan.run(services).await?;
    let (target, reason) = (plan.target, asked.reason);
    let entry = asked.entry.as_deref().map(Arc::from);
    let event = Event::Revoked { source: Source::Admin, target, entry, reason, sockets: sockets_closed };
    note(services, Source::Admin, event, sockets_closed);
    Ok(Revoked { sockets_closed })
}

impl Asked {
    fn fits(&self) -> Result<(), Error> {
        let texts =
            [&self.custom_id, &self.entry, &self.subject, &self.issuer, &self.tenant, &self.family, &self.reason];
        match texts.into_iter().flatten().any(|text| text.is_empty() || text.len() > LONGEST_TEXT) {
            true => Err(Error::invalid_argument(format!("Texts must have 1 to {LONGEST_TEXT} bytes."))),
            false => Ok(()),
        }
    }
}

/// What is to end: groups of sessions and their identity tokens, then users.
struct Plan {
    scopes: Vec<(ScopeKind, ScopeKey)>,
    /// Players whose accounts are looked for once their identity tokens are refused.
    players: Vec<crate::identity::Named>,
    users: Vec<Uuid>,
    target: Target,
}

impl Plan {
    fn of(services: &Services, asked: &Asked) -> Result<Self, Error> {
        let plan = |scopes, users, target| Ok(Self { scopes, players: Vec::new(), users, target });
        let hashed = |kind: ScopeKind, key: ScopeKey| Target::Scope(kind.as_str(), key.to_string());
        let text = Option::as_deref;
        match (
            asked.user_id,
            text(&asked.custom_id),
            text(&asked.entry),
            text(&asked.subject),
            text(&asked.issuer),
            text(&asked.tenant),
            text(&asked.family),
        ) {
            (Some(user_id), None, None, None, None, None, None) => plan(Vec::new(), vec![user_id], Target::User(user_id)),
            (None, Some(id), None, None, None, None, None) => {
                let found = services.store.find_login(Identifier::Custom(id));
                let found = found.map_err(|error| error.into_error("Error finding user account."))?;
                let user_id = found.map(|login| login.user_id).ok_or_else(|| Error::not_found("User account not found."))?;
                plan(Vec::new(), vec![user_id], Target::User(user_id))
            }
            (None, None, Some(entry), Some(subject), None, None, None) => {
                let players = services.verifier.named(entry, subject).ok_or_else(no_entry)?;
                let scopes: Vec<_> = players.iter().map(|named| (ScopeKind::Subject, named.key)).collect();
                let target = players.first().map_or_else(
                    || Target::Scope(ScopeKind::Subject.as_str(), String::new()),
                    |named| hashed(ScopeKind::Subject, named.key),
                );
                Ok(Self { scopes, players, users: Vec::new(), target })
            }
            (None, None, None, None, Some(issuer), None, None) => {
                let key = ScopeKey::new(ScopeKind::Issuer, issuer);
                plan(vec![(ScopeKind::Issuer, key)], Vec::new(), Target::Scope("issuer", issuer.to_owned()))
            }
            (None, None, None, None, None, Some(tenant), None) => {
                let key = ScopeKey::new(ScopeKind::Tenant, tenant);
                plan(vec![(ScopeKind::Tenant, key)], Vec::new(), Target::Tenant(tenant.to_owned()))
            }
            (None, None, None, None, Some(issuer), None, Some(family)) => {
                let key = ScopeKey::family(issuer, family);
                plan(vec![(ScopeKind::Family, key)], Vec::new(), hashed(ScopeKind::Family, key))
            }
            (None, None, Some(entry), None, None, None, Some(family)) => {
                let issuers = services.verifier.issuers_of(entry).ok_or_else(no_entry)?;
                let keys: Vec<_> = issuers.iter().map(|issuer| ScopeKey::family(issuer, family)).collect();
                let target = hashed(ScopeKind::Family, keys.first().copied().unwrap_or(ScopeKey::from_u128(0)));
                plan(keys.into_iter().map(|key| (ScopeKind::Family, key)).collect(), Vec::new(), target)
            }
            _ => Err(Error::invalid_argument(WANTED)),
        }
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
        let by_group = self.scopes.iter().any(|(kind, _)| *kind != ScopeKind::Subject);
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
