//! What each step found in a token, for those who run the server: the steps are the verifier's own, and say here what they see.
//! Printed are of the token its header, issuer, client, kind and times, and what the session would get. Never the token itself.

use super::{
    claims::is_unprintable,
    fetch::{FetchError, KeyFetcher},
    jwt::ParsedToken,
    mapping::Mapped,
    refusal::{Reason, Refusal, RefusalKind, Step},
    trust::Entry,
    verify::{NonceCheck, VerifiedIdentity, Verifier},
};
use crate::config::AudienceClaim;
use async_trait::async_trait;
use prost_types::Timestamp;
use serde_json::Value;
use std::fmt;

/// Follows a token through the steps. `()` does not care, and costs nothing.
pub(super) trait Trace: Send {
    /// At `step`, this is what there was to see.
    fn found(&mut self, step: Step, what: impl FnOnce() -> String);
}

impl Trace for () {
    fn found(&mut self, _step: Step, _what: impl FnOnce() -> String) {}
}

impl Trace for Vec<(Step, String)> {
    fn found(&mut self, step: Step, what: impl FnOnce() -> String) {
        self.push((step, what()));
    }
}

/// What the steps found, and how it ended. `Display` shows all of it, a line each; personal data of the player is in there.
pub struct Explanation {
    found: Vec<(Step, String)>,
    /// Whether the signature was looked at: it is not, where the keys are not at hand.
    pub signature_judged: bool,
    /// Whom the token stands for, or why it is refused.
    pub outcome: Result<VerifiedIdentity, Refusal>,
}

impl Verifier {
    /// Judges a token as [`Verifier::verify`] does, and says what each step found. Without keys the other steps are taken all the
    /// same. Counts nothing and uses no nonce up.
    pub async fn explain(&self, token: &str) -> Explanation {
        let mut found = Vec::new();
        let (token, place) = match self.place(token, &mut found) {
            Ok(placed) => placed,
            Err(refusal) => return Explanation { found, signature_judged: false, outcome: Err(refusal) },
        };
        let refused =
            |found, reason| Explanation { found, signature_judged: true, outcome: Err(place.refusal(reason)) };
        let signature_judged = match self.judge_signature(place, &token, &mut found).await {
            Ok(()) => true,
            Err(Reason::KeysUnavailable) => {
                found.found(Step::Signature, || "not judged: the issuer's keys are not at hand".to_owned());
                false
            }
            Err(reason) => return refused(found, reason),
        };
        let nonce = place.entry.wants_nonce.then(|| token.claims.contains_key("nonce"));
        let outcome = self.judge_claims(place, token, NonceCheck::None, &mut found);
        let outcome = match (outcome, nonce) {
            (Ok(_), Some(false)) => Err(Reason::Nonce),
            (outcome, Some(true)) => {
                found.found(Step::Nonce, || "there; only the running server knows whether it is its own".to_owned());
                outcome
            }
            (outcome, _) => outcome,
        };
        Explanation { found, signature_judged, outcome: outcome.map_err(|reason| place.refusal(reason)) }
    }
}

impl Explanation {
    fn step(&self, f: &mut fmt::Formatter<'_>, step: Step) -> fmt::Result {
        let refusal = self.outcome.as_ref().err().filter(|refusal| refusal.step() == step);
        let found: Vec<_> = self.found.iter().filter(|(at, _)| *at == step).map(|(_, what)| what.as_str()).collect();
        let mark = match refusal.map(Refusal::kind) {
            None if found.is_empty() => return Ok(()),
            None if step == Step::Signature && !self.signature_judged => "-",
            None => "ok",
            Some(RefusalKind::Invalid) => "REFUSED",
            Some(RefusalKind::KeysUnavailable | RefusalKind::Busy) => "-",
        };
        let why = refusal.map(Refusal::to_string);
        let lines: Vec<_> = why.as_deref().into_iter().chain(found).collect();
        writeln!(f, "{:<10} {mark:<8} {}", step.as_str(), lines.join("; "))
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in Step::ALL {
            self.step(f, step)?;
        }
        match &self.outcome {
            Ok(identity) => {
                write!(f, "The token ")?;
                match self.signature_judged {
                    true => writeln!(f, "is good.")?,
                    false => writeln!(f, "would be good if its signature is, which was not judged.")?,
                }
                writeln!(f, "What is above about the subject and its claims is personal data.")?;
                write!(f, "mapping version {}", identity.mapping_version)
            }
            Err(_) => write!(f, "The token is refused."),
        }
    }
}

impl fmt::Debug for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Explanation").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

pub(super) fn header(token: &ParsedToken<'_>) -> String {
    let said = |name: &str| token.header.get(name).map_or_else(|| "none".to_owned(), visible);
    format!("three segments; alg {}, kid {}, typ {}", said("alg"), said("kid"), said("typ"))
}

pub(super) fn issuer(token: &ParsedToken<'_>) -> String {
    claim(token, "iss")
}

pub(super) fn client(token: &ParsedToken<'_>, entry: &Entry) -> String {
    let client = match entry.audience.claim {
        AudienceClaim::Aud => "aud",
        AudienceClaim::ClientId => "client_id",
        AudienceClaim::Azp => "azp",
        AudienceClaim::Cid => "cid",
        AudienceClaim::Any => return "any client".to_owned(),
    };
    let kind = (!entry.token_type.claim.is_empty()).then(|| claim(token, &entry.token_type.claim));
    let party = (!entry.authorized_parties.is_empty()).then(|| claim(token, "azp"));
    [Some(claim(token, client)), party, kind].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn claim(token: &ParsedToken<'_>, name: &str) -> String {
    match token.claims.get(name) {
        None => format!("{name} is missing"),
        Some(value) => format!("{name} {}", visible(value)),
    }
}

/// As JSON, and no character of a stranger reaches the terminal that could change how it reads.
fn visible(value: &Value) -> String {
    let shown = |c: char| if is_unprintable(c) { c.escape_unicode().to_string() } else { c.to_string() };
    value.to_string().chars().map(shown).collect()
}

/// Every time that is there, with how far it is from `now`.
pub(super) fn times(token: &ParsedToken<'_>, now: i64) -> String {
    let names = [("iat", "issued"), ("auth_time", "signed in"), ("nbf", "good from"), ("exp", "good until")];
    let said = |(name, word): (&str, &str)| match token.claims.get(name)?.as_f64() {
        // Beyond that no calendar helps.
        Some(at) if at.abs() < 1e11 => {
            #[expect(clippy::cast_possible_truncation, reason = "its bounds are judged above")]
            let at = at.floor() as i64;
            Some(format!("{word} {} ({})", Timestamp { seconds: at, nanos: 0 }, distance(at - now)))
        }
        _ => Some(format!("{word}: no time")),
    };
    names.into_iter().filter_map(said).collect::<Vec<_>>().join(", ")
}

fn distance(seconds: i64) -> String {
    let size = seconds.unsigned_abs();
    let text = match size {
        0..120 => format!("{size} s"),
        120..7_200 => format!("{} min", size / 60),
        7_200..172_800 => format!("{} h", size / 3_600),
        _ => format!("{} days", size / 86_400),
    };
    if seconds < 0 { format!("{text} ago") } else { format!("in {text}") }
}

pub(super) fn mapped(mapped: &Mapped) -> String {
    let tenant = mapped.tenant.iter().map(|tenant| format!("tenant {tenant:?}"));
    let username = mapped.username.iter().map(|username| format!("username {username:?}"));
    let vars = mapped.vars.iter().map(|(name, value)| format!("{name} = {value:?}"));
    let all: Vec<_> = tenant.chain(username).chain(vars).collect();
    if all.is_empty() { "none are mapped".to_owned() } else { all.join(", ") }
}

/// Fetches nothing: for judging offline.
pub struct NoNetwork;

#[async_trait]
impl KeyFetcher for NoNetwork {
    async fn fetch(&self, _url: &str, _max_bytes: usize) -> Result<Vec<u8>, FetchError> {
        Err(FetchError::Transport("offline".into()))
    }
}
