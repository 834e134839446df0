//! What identity providers tell of their players: log-out tokens and security event tokens.

use super::{
    super::{Client, Services},
    close_sockets_of, note, revoke,
};
use crate::{
    audit::{Event, Source, Target},
    error::Error,
    identity::{Ends, EventKind, Named, Reason, Refusal, RefusalKind, ScopeKind, VerifiedEvent, session::Revocation},
    store::Identifier,
    telemetry::KindLabels,
};
use std::sync::Arc;

/// Why an event token has no effect.
#[derive(Debug)]
pub enum EventRefused {
    /// It broke a rule.
    Token(Reason),
    /// It was acted on before.
    Replayed,
    /// It may be good: try again.
    Later(Error),
}

/// Acts on an event token: the sessions that it names end, and so do identity tokens that are as old as the event. Only once for
/// each token. `authorization` is the header that it came with.
///
/// # Errors
/// See [`EventRefused`]; nothing has ended, or in the last case not all.
pub async fn take_event(
    services: &Services,
    client: &Client,
    kind: EventKind,
    token: &str,
    authorization: Option<&[u8]>,
) -> Result<(), EventRefused> {
    let judged = match services.verifier.verify_event(kind, token, authorization).await {
        Ok(event) if services.tokens.has_taken(event.key) => Err((Some(event.entry), EventRefused::Replayed)),
        Ok(event) => act(services, kind, &event)
            .await
            .map(|()| event.entry.clone())
            .map_err(|refused| (Some(event.entry), refused)),
        Err(refusal) => Err((refusal.entry.clone(), of_refusal(refusal))),
    };
    let (entry, outcome, answer) = match judged {
        Ok(entry) => (Some(entry), "accepted", Ok(())),
        Err((entry, refused)) => (entry, refused.outcome(), Err(refused)),
    };
    services.metrics.event_tokens.get_or_create(&KindLabels { kind: outcome }).inc();
    services.audit.record(Event::EventToken { entry, kind: kind.as_str(), outcome, address: client.address });
    answer
}

fn of_refusal(refusal: Refusal) -> EventRefused {
    match refusal.kind() {
        RefusalKind::Invalid => EventRefused::Token(refusal.reason),
        RefusalKind::KeysUnavailable | RefusalKind::Busy => EventRefused::Later(refusal.into()),
    }
}

impl EventRefused {
    fn outcome(&self) -> &'static str {
        match self {
            Self::Token(reason) => reason.step().as_str(),
            Self::Replayed => "replayed",
            Self::Later(_) => "later",
        }
    }
}

/// Identity tokens first, then accounts: a sign-in that runs meanwhile either finds its token refused, or has its account found
/// here. The token is remembered in one transaction with the last of its effects.
async fn act(services: &Services, kind: EventKind, event: &VerifiedEvent) -> Result<(), EventRefused> {
    let scopes: Vec<_> = event.ends.iter().map(|ends| scope(services, ends, event.issued_at)).collect();
    let failed = EventRefused::Later;
    let ends_group = event.ends.iter().any(|ends| match ends {
        Ends::Family(_) => true,
        Ends::Player(named) => named.in_sessions,
    });
    if !scopes.is_empty() {
        revoke(services, scopes).await.map_err(failed)?;
    }
    let mut users = Vec::new();
    for ends in &event.ends {
        if let Ends::Player(named) = ends {
            users.extend(account_of(services, named).map_err(failed)?);
        }
    }
    let mut rest: Vec<_> = users.iter().map(|user_id| services.tokens.user_now(*user_id)).collect();
    rest.push(services.tokens.event_taken(event.key, event.forget_at));
    revoke(services, rest).await.map_err(failed)?;
    let mut sockets: usize = users.iter().map(|user_id| close_sockets_of(services, *user_id)).sum();
    if ends_group {
        sockets += services.realtime.close_revoked(|claims| services.tokens.is_ended(claims)).await;
    }
    write_down(services, kind, event, sockets);
    Ok(())
}

fn write_down(services: &Services, kind: EventKind, event: &VerifiedEvent, sockets: usize) {
    let source = match kind {
        EventKind::Logout => Source::BackChannel,
        EventKind::SharedSignals => Source::SharedSignals,
    };
    for (place, ends) in event.ends.iter().enumerate() {
        let sockets = if place == 0 { sockets } else { 0 };
        let target = match ends {
            Ends::Player(named) => Target::Scope(ScopeKind::Subject.as_str(), named.key.to_string()),
            Ends::Family(key) => Target::Scope(ScopeKind::Family.as_str(), key.to_string()),
        };
        let entry = Some(Arc::clone(&event.entry));
        note(services, source, Event::Revoked { source, target, entry, reason: None, sockets }, sockets);
    }
}

/// The end of what came from a player or a sign-in at an issuer, as of `at_unix` (seconds since 1970, by the issuer's clock).
fn scope(services: &Services, ends: &Ends, at_unix: i64) -> Revocation {
    let (kind, key) = match ends {
        Ends::Player(named) => (ScopeKind::Subject, named.key),
        Ends::Family(key) => (ScopeKind::Family, *key),
    };
    services.tokens.scope_before(kind, key, at_unix, super::longest_identity(services))
}

/// The account of a player, if there is one.
pub(super) fn account_of(services: &Services, named: &Named) -> Result<Option<uuid::Uuid>, Error> {
    let Some(account_id) = &named.account_id else { return Ok(None) };
    let found = services.store.find_login(Identifier::Custom(account_id));
    let found = found.map_err(|error| error.into_error("Error finding user account."))?;
    Ok(found.map(|login| login.user_id))
}
