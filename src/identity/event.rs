//! What an identity provider says of its players after they signed in: log-out tokens (OpenID Connect Back-Channel Logout 1.0) and
//! security event tokens (RFC 8417; OpenID Shared Signals 1.0 with CAEP and RISC). They are judged like identity tokens, by the same
//! parser and keys, and cannot be taken for one another: the kind stands in the header's `typ`.

use super::{
    claims::{media_type, time},
    jwt::{ParsedToken, parse_token},
    refusal::{Reason, Refusal},
    scope::ScopeKey,
    trust::{Entry, Issuer},
    verify::{Place, Verifier},
};
use crate::config::{BackchannelLogout, Secret, TrustEntry};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde_json::{Map, Value};
use std::{collections::BTreeSet, sync::Arc};

/// The event of a log-out token (Back-Channel Logout 1.0 section 2.4).
const BACKCHANNEL_LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Events after which a player's sessions are not what the provider would vouch for any more. What they are called in the audit
/// log does not matter: all end sessions, and no account is touched.
const ENDING_EVENTS: [&str; 5] = [
    "https://schemas.openid.net/secevent/caep/event-type/session-revoked",
    "https://schemas.openid.net/secevent/caep/event-type/token-claims-change",
    "https://schemas.openid.net/secevent/risc/event-type/account-disabled",
    "https://schemas.openid.net/secevent/risc/event-type/account-purged",
    "https://schemas.openid.net/secevent/risc/event-type/sessions-revoked",
];
/// Longest `jti`, `sub`, `sid` or subject identifier.
const LONGEST_NAME: usize = 1_024;

/// Which event tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// `logout+jwt`.
    Logout,
    /// `secevent+jwt`.
    SharedSignals,
}

impl EventKind {
    /// Its name in the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::SharedSignals => "event",
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Logout => "logout+jwt",
            Self::SharedSignals => "secevent+jwt",
        }
    }
}

/// Sessions that an event ends.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ends {
    /// Every session of a player.
    Player(Named),
    /// The sessions of one sign-in at the provider.
    Family(ScopeKey),
}

/// A player as an issuer names one. No `Debug`: a subject is personal data.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// [`ScopeKey::subject`].
    pub key: ScopeKey,
    /// The account's custom id; `None` when no account can have the subject.
    pub account_id: Option<String>,
    /// Whether sessions carry the key, since the entry makes accounts of another claim than `sub`.
    pub in_sessions: bool,
}

/// An event token of a trusted issuer.
pub struct VerifiedEvent {
    /// The name of the trust entry.
    pub entry: Arc<str>,
    /// [`ScopeKey::event`]: by what it is known again.
    pub key: ScopeKey,
    /// `iat`, in seconds since 1970, by the issuer's clock.
    pub issued_at: i64,
    /// From when it would be refused for its age, in seconds since 1970.
    pub forget_at: i64,
    /// Whose sessions end. Empty: a verification event, or one that means nothing here.
    pub ends: BTreeSet<Ends>,
}

/// Which event tokens an entry takes.
pub(super) struct EventRules {
    logout: BackchannelLogout,
    logout_audience: Vec<String>,
    audience: Vec<String>,
    authorization: Secret,
}

impl EventRules {
    pub(super) fn new(config: &TrustEntry) -> Self {
        Self {
            logout: config.backchannel_logout,
            logout_audience: config.audience.any_of.clone(),
            audience: config.events_audience.clone(),
            authorization: config.events_authorization.clone(),
        }
    }

    fn audience(&self, kind: EventKind) -> &[String] {
        match kind {
            EventKind::Logout if self.logout == BackchannelLogout::Off => &[],
            EventKind::Logout => &self.logout_audience,
            EventKind::SharedSignals => &self.audience,
        }
    }

    /// Whether the sender has shown what it was given, if it was given something. Log-out tokens speak for themselves.
    fn lets_in(&self, kind: EventKind, authorization: Option<&[u8]>) -> bool {
        let wanted = self.authorization.expose().as_bytes();
        kind == EventKind::Logout
            || wanted.is_empty()
            || authorization.is_some_and(|given| verify_slices_are_equal(given, wanted).is_ok())
    }
}

impl Verifier {
    /// Judges an event token: format, algorithm, issuer, signature, kind, times, client, then what it says. `authorization` is the
    /// header that it came with.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub async fn verify_event(
        &self,
        kind: EventKind,
        token: &str,
        authorization: Option<&[u8]>,
    ) -> Result<VerifiedEvent, Refusal> {
        let nobody = |reason| Refusal { reason, entry: None, issuer: None };
        let token = parse_token(token, self.max_token_bytes).map_err(nobody)?;
        let algorithm = self.algorithm(&token).map_err(nobody)?;
        let (entry, issuer) =
            self.entry_for_event(kind, &token, authorization).ok_or_else(|| nobody(Reason::Issuer))?;
        let place = Place { entry, issuer, algorithm };
        let judged = async {
            self.judge_signature(place, &token, &mut ()).await?;
            self.judge_event(kind, entry, issuer, &token)
        };
        judged.await.map_err(|reason| place.refusal(reason))
    }

    /// Whether anybody may send such tokens.
    pub fn takes_events(&self, kind: EventKind) -> bool {
        self.entries.iter().any(|entry| !entry.events.audience(kind).is_empty())
    }

    /// The players whom an entry would call `subject`, one for each group of its issuers' people. `None`: no such entry.
    pub fn named(&self, entry: &str, subject: &str) -> Option<BTreeSet<Named>> {
        let entry = self.entries.iter().find(|candidate| &*candidate.name == entry)?;
        Some(entry.issuers.iter().map(|issuer| named(entry, issuer, subject)).collect())
    }

    /// The sign-ins that the issuers of an entry would call `session`. `None`: no such entry.
    pub fn families_of(&self, entry: &str, session: &str) -> Option<BTreeSet<ScopeKey>> {
        let entry = self.entries.iter().find(|candidate| &*candidate.name == entry)?;
        Some(entry.issuers.iter().map(|issuer| ScopeKey::family(&issuer.namespace, session)).collect())
    }

    /// The sign-in that an issuer would call `session`. Who is not trusted any more stands for itself.
    pub fn family_at(&self, issuer: &str, session: &str) -> ScopeKey {
        let place = self.by_issuer.get(issuer).and_then(|places| places.first());
        let namespace = place.map_or(issuer, |(entry, issuer)| &self.entries[*entry].issuers[*issuer].namespace);
        ScopeKey::family(namespace, session)
    }

    fn entry_for_event(
        &self,
        kind: EventKind,
        token: &ParsedToken<'_>,
        authorization: Option<&[u8]>,
    ) -> Option<(&Entry, &Issuer)> {
        let name = token.claims.get("iss").and_then(Value::as_str)?;
        let for_us = |entry: &Entry| names_one_of(&token.claims, entry.events.audience(kind));
        let open = |entry: &Entry| !entry.events.audience(kind).is_empty() && entry.events.lets_in(kind, authorization);
        let mut places = self.by_issuer.get(name)?.iter().filter(|(entry, _)| open(&self.entries[*entry])).peekable();
        let first = *places.peek()?;
        let (entry, issuer) = places.find(|(entry, _)| for_us(&self.entries[*entry])).unwrap_or(first);
        let entry = &self.entries[*entry];
        Some((entry, &entry.issuers[*issuer]))
    }

    fn judge_event(
        &self,
        kind: EventKind,
        entry: &Entry,
        issuer: &Issuer,
        token: &ParsedToken<'_>,
    ) -> Result<VerifiedEvent, Reason> {
        let typ = token.header.get("typ").and_then(Value::as_str).ok_or(Reason::TokenType)?;
        if media_type(typ) != kind.media_type() {
            return Err(Reason::TokenType);
        }
        let claims = &token.claims;
        let issued_at = self.judge_event_times(kind, entry, claims)?;
        if !names_one_of(claims, entry.events.audience(kind)) {
            return Err(Reason::Audience);
        }
        let id = name(claims.get("jti")).ok_or(Reason::EventForm)?;
        let events = claims.get("events").and_then(Value::as_object).ok_or(Reason::EventForm)?;
        let ends = match kind {
            EventKind::Logout => log_out(entry, issuer, claims, events)?.into_iter().collect(),
            EventKind::SharedSignals => signals(entry, issuer, claims, events)?,
        };
        Ok(VerifiedEvent {
            entry: Arc::clone(&entry.name),
            key: ScopeKey::event(&issuer.name, id),
            issued_at,
            forget_at: issued_at.saturating_add(self.event_max_age).saturating_add(2 * entry.skew + 1),
            ends,
        })
    }

    /// A log-out token must end, and soon (Back-Channel Logout 1.0 section 2.4); a security event token must not end at all (Shared
    /// Signals 1.0 section 4.1.7): it says what has been.
    fn judge_event_times(&self, kind: EventKind, entry: &Entry, claims: &Map<String, Value>) -> Result<i64, Reason> {
        let now = self.clock.unix_seconds();
        let issued_at = time(claims, "iat")?.ok_or(Reason::TimeForm)?;
        if now + entry.skew < issued_at {
            return Err(Reason::IssuedLater);
        }
        if now - issued_at > self.event_max_age + entry.skew {
            return Err(Reason::TooOld);
        }
        match (kind, time(claims, "exp")?) {
            (EventKind::Logout, None) | (EventKind::SharedSignals, Some(_)) => Err(Reason::TimeForm),
            (EventKind::Logout, Some(end)) if now >= end + entry.skew => Err(Reason::Expired),
            (EventKind::Logout, Some(end)) if end - issued_at > entry.max_lifetime => Err(Reason::Lifetime),
            _ => Ok(issued_at),
        }
    }
}

/// Back-Channel Logout 1.0 section 2.6: the event is there, `nonce` is not, and `sub` or `sid` is.
fn log_out(
    entry: &Entry,
    issuer: &Issuer,
    claims: &Map<String, Value>,
    events: &Map<String, Value>,
) -> Result<Option<Ends>, Reason> {
    if !events.get(BACKCHANNEL_LOGOUT).is_some_and(Value::is_object) || claims.contains_key("nonce") {
        return Err(Reason::EventForm);
    }
    let text = |claim| match claims.get(claim) {
        None => Ok(None),
        present => name(present).map(Some).ok_or(Reason::EventForm),
    };
    match (text("sub")?, text("sid")?) {
        (_, Some(session)) if entry.events.logout == BackchannelLogout::Session => {
            Ok(Some(Ends::Family(ScopeKey::family(&issuer.namespace, session))))
        }
        (Some(subject), _) => Ok(Some(Ends::Player(named(entry, issuer, subject)))),
        (None, Some(session)) => Ok(Some(Ends::Family(ScopeKey::family(&issuer.namespace, session)))),
        (None, None) => Err(Reason::EventForm),
    }
}

/// The subject stands in `sub_id` (RFC 9493), or in each event as it did before Shared Signals were final. An event that means
/// nothing here is none of our business, but a subject that is somebody else's makes the whole token a fault.
fn signals(
    entry: &Entry,
    issuer: &Issuer,
    claims: &Map<String, Value>,
    events: &Map<String, Value>,
) -> Result<BTreeSet<Ends>, Reason> {
    // With `sub` it could be taken for an identity token elsewhere (Shared Signals 1.0 section 4.1.2).
    if claims.contains_key("sub") || events.is_empty() {
        return Err(Reason::EventForm);
    }
    let mut ends = BTreeSet::new();
    for (event, about) in events.iter().filter(|(event, _)| ENDING_EVENTS.contains(&event.as_str())) {
        let about = about.as_object().ok_or(Reason::EventForm)?;
        let subject = claims.get("sub_id").or_else(|| about.get("subject")).and_then(Value::as_object);
        let found = whose(entry, issuer, subject.ok_or(Reason::EventForm)?)?;
        if found.is_none() {
            tracing::debug!(entry = &*entry.name, event, "an event names its subject in a way that is not known here");
        }
        ends.extend(found);
    }
    Ok(ends)
}

/// Whose sessions a subject identifier means: `iss_sub`, `opaque`, or `complex` with one of these as its user or session.
fn whose(entry: &Entry, issuer: &Issuer, subject: &Map<String, Value>) -> Result<Option<Ends>, Reason> {
    let text = |member: &str| name(subject.get(member)).ok_or(Reason::EventForm);
    let member = |name: &str| subject.get(name).and_then(Value::as_object);
    let format = subject.get("format").or_else(|| subject.get("subject_type")).and_then(Value::as_str);
    match format {
        Some("iss_sub" | "iss-sub") => {
            let (issuer, subject) = (text("iss")?, text("sub")?);
            let issuer = entry.issuers.iter().find(|known| *known.name == *issuer).ok_or(Reason::Issuer)?;
            Ok(Some(Ends::Player(named(entry, issuer, subject))))
        }
        Some("opaque") => Ok(Some(Ends::Player(named(entry, issuer, text("id")?)))),
        Some("complex") => match (member("session"), member("user")) {
            (Some(session), _) if session.get("format").and_then(Value::as_str) == Some("opaque") => {
                let id = name(session.get("id")).ok_or(Reason::EventForm)?;
                Ok(Some(Ends::Family(ScopeKey::family(&issuer.namespace, id))))
            }
            (_, Some(user)) if user.get("format").and_then(Value::as_str) != Some("complex") => {
                whose(entry, issuer, user)
            }
            _ => Ok(None),
        },
        Some(_) => Ok(None),
        None => Err(Reason::EventForm),
    }
}

fn named(entry: &Entry, issuer: &Issuer, subject: &str) -> Named {
    Named {
        key: ScopeKey::subject(&issuer.namespace, subject),
        account_id: entry.account_id(issuer, subject).ok(),
        in_sessions: !entry.is_subject_sub(),
    }
}

/// A text that can be a name: not empty, and not endless.
fn name(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str).filter(|text| (1..=LONGEST_NAME).contains(&text.len()))
}

/// `aud` names one of these: a string, or a list of strings (RFC 7519 section 4.1.3).
fn names_one_of(claims: &Map<String, Value>, accepted: &[String]) -> bool {
    let is_one = |value: &Value| value.as_str().is_some_and(|text| accepted.iter().any(|wanted| wanted == text));
    match claims.get("aud") {
        Some(Value::Array(list)) => list.iter().all(Value::is_string) && list.iter().any(is_one),
        Some(value) => is_one(value),
        None => false,
    }
}
