//! The verifier: the steps in their order, over one unchanging view of the configuration and the keys.

use super::{
    claims,
    explain::{self, Trace},
    jwt::{ParsedToken, parse_token},
    keys::{HeldKeys, Keys},
    mapping::Mapped,
    metrics::Metrics,
    nonce::Nonces,
    refusal::{Reason, Refusal, RefusalKind, Step},
    scope::{ScopeKey, ScopeKind},
    session::Origin,
    trust::{Entry, Issuer},
};
use crate::{
    clock::{Clock, Entropy},
    config::{Algorithm, TrustEntry},
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};
use tokio::sync::Semaphore;

/// A trust entry whose keys somebody in this process holds; its `jwks` is not looked at.
#[derive(Clone, Debug)]
pub struct Trusted {
    /// What must be in the tokens.
    pub entry: TrustEntry,
    /// The keys, for every issuer of the entry.
    pub keys: HeldKeys,
}

/// Somebody whom a trusted issuer vouches for.
#[derive(Clone)]
pub struct VerifiedIdentity {
    /// The name of the trust entry.
    pub entry: Arc<str>,
    /// `iss`, as configured.
    pub issuer: Arc<str>,
    /// The name that stands for the people of `issuer`: the first of its names, where it has several.
    pub namespace: Arc<str>,
    /// `sub`, or what the entry takes in its place.
    pub subject: String,
    /// The custom id of the account: 6 to 128 bytes without spaces and control characters.
    pub account_id: String,
    /// `jti`, if the issuer gives one.
    pub token_id: Option<String>,
    /// `exp` in seconds since 1970.
    pub expires_at: i64,
    /// `iat` in seconds since 1970.
    pub issued_at: Option<i64>,
    /// `auth_time`, if the issuer gives one: when the player signed in there, in seconds since 1970.
    pub authenticated_at: Option<i64>,
    /// The sign-in at the issuer that the token came from: `sid`, or `origin_jti` (Cognito).
    pub family: Option<String>,
    /// The tenant, where the entry names one.
    pub tenant: Option<String>,
    /// Session variables that the entry makes of claims; all begin with [`RESERVED_VARS`].
    pub vars: BTreeMap<String, String>,
    /// The username that the entry makes of claims, where it asks for that.
    pub username: Option<String>,
    /// What the entry's mapping is known by: another one has another number; 0 where it maps nothing.
    pub mapping_version: u32,
    /// SHA-256 of the token's signing input: the same for every copy of the token, however its signature is written.
    pub digest: [u8; 32],
    /// Every claim. Personal data: not for logs.
    pub claims: Map<String, Value>,
}

/// How the names of session variables begin that no client can write.
pub const RESERVED_VARS: &str = "idp.";

impl VerifiedIdentity {
    /// What a session of this player keeps of where it came from. `now` in seconds since 1970.
    pub fn origin(&self, now: i64) -> Origin {
        Origin {
            entry: Arc::clone(&self.entry),
            issuer: ScopeKey::new(ScopeKind::Issuer, &self.issuer),
            family: self.family_key(),
            player: (self.sub() != self.subject).then(|| ScopeKey::subject(&self.namespace, self.sub())),
            tenant: self.tenant.as_deref().map(Into::into),
            proven_unix: self.authenticated_at.or(self.issued_at).unwrap_or(now).min(now),
            mapping_version: self.mapping_version,
        }
    }

    /// The claim `sub`: by it an issuer names the player in events, whatever claim the entry makes accounts of.
    pub(super) fn sub(&self) -> &str {
        self.claims.get("sub").and_then(Value::as_str).unwrap_or(&self.subject)
    }

    /// [`ScopeKey::family`], where the issuer names the sign-in.
    pub(super) fn family_key(&self) -> Option<ScopeKey> {
        self.family.as_deref().map(|family| ScopeKey::family(&self.namespace, family))
    }
}

impl fmt::Debug for VerifiedIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedIdentity").field("entry", &self.entry).finish_non_exhaustive()
    }
}

/// What a caller knows of a token before it comes: it asked for it.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    /// The name of the trust entry that must judge it.
    pub entry: &'a str,
    /// The value that its claim `nonce` must have. `None`: it has none, and comes from the provider itself, as a renewal does.
    pub nonce: Option<&'a str>,
}

/// Seconds between two warnings of large tokens.
const WARN_EVERY_SEC: i64 = 60;

/// Judges identity tokens. Its background tasks end when it is dropped.
pub struct Verifier {
    pub(super) entries: Vec<Entry>,
    /// For each issuer the entries that trust it, with its place among the entry's issuers.
    pub(super) by_issuer: HashMap<Arc<str>, Vec<(usize, usize)>>,
    pub(super) max_token_bytes: usize,
    /// 0: no token is large.
    pub(super) warn_token_bytes: usize,
    /// When a large token was last warned of, in seconds since 1970.
    pub(super) warned: AtomicI64,
    pub(super) event_max_age: i64,
    pub(super) under_way: Semaphore,
    /// Those who wait for keys: apart from `under_way`, so that an issuer that hangs does not stop tokens whose keys are here.
    pub(super) waiting: Semaphore,
    pub(super) nonces: Nonces,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
}

/// Who judges a token, and by which algorithm: found in the token before anything in it is believed.
#[derive(Clone, Copy)]
pub(super) struct Place<'v> {
    pub(super) entry: &'v Entry,
    pub(super) issuer: &'v Issuer,
    pub(super) algorithm: Algorithm,
}

impl Place<'_> {
    pub(super) fn refusal(&self, reason: Reason) -> Refusal {
        let (entry, issuer) = (Arc::clone(&self.entry.name), Arc::clone(&self.issuer.name));
        Refusal { reason, entry: Some(entry), issuer: Some(issuer) }
    }
}

/// What the nonce of a token is held against.
#[derive(Clone, Copy)]
pub(super) enum NonceCheck<'a> {
    /// Those that this server handed out, where the entry asks for one; it is used up.
    Own,
    /// This one.
    Is(&'a str),
    /// Nothing.
    None,
}

impl Verifier {
    /// Whether anybody is trusted at all. If so, a custom id that is no identity token is to be refused.
    pub fn trusts_anybody(&self) -> bool {
        !self.entries.is_empty()
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A nonce for one sign-in, to be given to the provider: it then stands in the identity token. Good for
    /// `identity.nonce_lifetime_sec`, once, until this server restarts.
    pub fn issue_nonce(&self, entropy: &Entropy) -> String {
        self.metrics.nonce_issued();
        self.nonces.issue(entropy, self.clock.unix_seconds())
    }

    /// Judges a token: format, algorithm, signature, expiry, issuer and client, then the subject, the mapped claims and the nonce.
    /// The first step that fails decides. The signature is computed on the calling task (some 26 µs); only a fetch of keys is
    /// waited for.
    ///
    /// # Errors
    /// Why the token is refused. Turn it into [`crate::error::Error`] for the client: that says one thing for all.
    pub async fn verify(&self, token: &str) -> Result<VerifiedIdentity, Refusal> {
        let outcome = self.judge(token, None).await;
        self.count(&outcome);
        outcome
    }

    /// As [`Verifier::verify`], for a token that the caller asked a provider for: it must be of that entry, and carry that nonce.
    /// Whether the entry asks for a nonce of this server does not matter then.
    ///
    /// # Errors
    /// As [`Verifier::verify`].
    pub async fn verify_expecting(&self, token: &str, expected: Expected<'_>) -> Result<VerifiedIdentity, Refusal> {
        let outcome = self.judge(token, Some(expected)).await;
        self.count(&outcome);
        outcome
    }

    fn count(&self, outcome: &Result<VerifiedIdentity, Refusal>) {
        let Err(refusal) = outcome else { return };
        self.metrics.refused(refusal);
        let (step, entry) = (refusal.step().as_str(), refusal.entry.as_deref().unwrap_or("none"));
        match refusal.kind() {
            RefusalKind::Invalid => tracing::debug!(step, entry, reason = %refusal, "identity token refused"),
            RefusalKind::KeysUnavailable | RefusalKind::Busy => {
                tracing::debug!(step, entry, reason = %refusal, "identity token not judged");
            }
        }
    }

    async fn judge(&self, token: &str, expected: Option<Expected<'_>>) -> Result<VerifiedIdentity, Refusal> {
        let bytes = token.len();
        let (token, place) = self.place(token, &mut ())?;
        let nonce = match expected {
            None => NonceCheck::Own,
            Some(expected) => expected.nonce.map_or(NonceCheck::None, NonceCheck::Is),
        };
        if expected.is_some_and(|expected| *expected.entry != *place.entry.name) {
            return Err(place.refusal(Reason::OtherEntry));
        }
        self.judge_signature(place, &token, &mut ()).await.map_err(|reason| place.refusal(reason))?;
        let identity = self.judge_claims(place, token, nonce, &mut ()).map_err(|reason| place.refusal(reason))?;
        self.accepted(place, bytes);
        Ok(identity)
    }

    fn accepted(&self, place: Place<'_>, bytes: usize) {
        place.issuer.accepted.inc();
        let is_large = self.warn_token_bytes > 0 && bytes >= self.warn_token_bytes;
        place.entry.sizes.observe(bytes, is_large);
        if !is_large {
            return;
        }
        let (now, warned) = (self.clock.unix_seconds(), self.warned.load(Ordering::Relaxed));
        let due = now.saturating_sub(warned) >= WARN_EVERY_SEC;
        if due && self.warned.compare_exchange(warned, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::warn!(entry = %place.entry.name, bytes, "an identity token is large; docs/tokens.md says what to leave out");
        }
    }

    /// The first steps: format and algorithm, and who judges the token.
    pub(super) fn place<'t>(
        &self,
        token: &'t str,
        trace: &mut impl Trace,
    ) -> Result<(ParsedToken<'t>, Place<'_>), Refusal> {
        let nobody = |reason| Refusal { reason, entry: None, issuer: None };
        trace.found(Step::Format, || format!("{} bytes", token.len()));
        let token = parse_token(token, self.max_token_bytes).map_err(nobody)?;
        trace.found(Step::Format, || explain::header(&token));
        let algorithm = self.algorithm(&token).map_err(nobody)?;
        trace.found(Step::Algorithm, || format!("{algorithm:?}"));
        trace.found(Step::Issuer, || explain::issuer(&token));
        let (entry, issuer) = self.entry_for(&token).ok_or_else(|| nobody(Reason::Issuer))?;
        trace.found(Step::Issuer, || format!("judged by the trust entry {:?}", entry.name));
        Ok((token, Place { entry, issuer, algorithm }))
    }

    /// The token's algorithm, if any entry allows it: `none` and its like end here.
    pub(super) fn algorithm(&self, token: &ParsedToken<'_>) -> Result<Algorithm, Reason> {
        let algorithm = match token.algorithm() {
            Some("RS256") => Algorithm::RS256,
            Some("ES256") => Algorithm::ES256,
            Some("EdDSA") => Algorithm::EdDSA,
            _ => return Err(Reason::Algorithm),
        };
        let allowed = self.entries.iter().any(|entry| entry.algorithms.contains(&algorithm));
        allowed.then_some(algorithm).ok_or(Reason::Algorithm)
    }

    /// The entry that judges a token: the one with exactly its `iss` and, where several have it, its kind. The token is not
    /// verified here; its `iss` only selects whose keys and rules it must stand up to.
    fn entry_for(&self, token: &ParsedToken<'_>) -> Option<(&Entry, &Issuer)> {
        let name = token.claims.get("iss").and_then(Value::as_str)?;
        let places = self.by_issuer.get(name)?;
        let of_kind = places.iter().find(|(entry, _)| claims::is_kind(token, &self.entries[*entry].token_type));
        let (entry, issuer) = of_kind.or(places.first())?;
        let entry = &self.entries[*entry];
        Some((entry, &entry.issuers[*issuer]))
    }

    /// Whether the signature is that of a key of the issuer.
    pub(super) async fn judge_signature(
        &self,
        place: Place<'_>,
        token: &ParsedToken<'_>,
        trace: &mut impl Trace,
    ) -> Result<(), Reason> {
        let Place { entry, issuer, algorithm } = place;
        if !entry.algorithms.contains(&algorithm) {
            return Err(Reason::Algorithm);
        }
        let id = token.key_id().ok_or(Reason::NoKeyId)?;
        let keys = self.keys_for(issuer, id).await?;
        let key = keys.get(id).ok_or(Reason::UnknownKey)?;
        trace.found(Step::Signature, || "the key is in the issuer's set".to_owned());
        if key.algorithm != algorithm {
            return Err(Reason::KeyAlgorithm);
        }
        {
            let _permit = self.under_way.try_acquire().map_err(|_| Reason::Busy)?;
            self.metrics.signature_checked();
            if !key.verifies(token.signed.as_bytes(), &token.signature) {
                return Err(Reason::BadSignature);
            }
        }
        trace.found(Step::Signature, || "the signature is its".to_owned());
        let tenant = token.claims.get("tid").and_then(Value::as_str);
        if key.signs_for(&issuer.name, tenant) { Ok(()) } else { Err(Reason::KeyIssuer) }
    }

    /// Whether the claims are what the entry asks for, and who they say it is.
    pub(super) fn judge_claims(
        &self,
        place: Place<'_>,
        token: ParsedToken<'_>,
        nonce: NonceCheck<'_>,
        trace: &mut impl Trace,
    ) -> Result<VerifiedIdentity, Reason> {
        let Place { entry, issuer, .. } = place;
        let now = self.clock.unix_seconds();
        trace.found(Step::Expiry, || explain::times(&token, now));
        let times = claims::judge_times(&token.claims, entry, now)?;
        if issuer
            .tenant
            .as_deref()
            .is_some_and(|tenant| token.claims.get("tid").and_then(Value::as_str) != Some(tenant))
        {
            return Err(Reason::IssuerTenant);
        }
        trace.found(Step::Client, || explain::client(&token, entry));
        claims::judge_client(&token, entry)?;
        let subject = claims::judge_subject(&token.claims, &entry.subject)?.into_owned();
        let account_id = entry.account_id(issuer, &subject)?;
        trace.found(Step::Subject, || format!("account id {account_id}"));
        let mapped = match &entry.mapping {
            None => Mapped::default(),
            Some(mapping) => mapping.apply(&token.claims).map_err(|fault| {
                trace.found(Step::Claims, || fault.what.to_owned());
                fault.reason
            })?,
        };
        trace.found(Step::Claims, || explain::mapped(&mapped));
        self.judge_nonce(entry, &token, nonce, now)?;
        let text = |name: &str| token.claims.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(VerifiedIdentity {
            account_id,
            entry: Arc::clone(&entry.name),
            issuer: Arc::clone(&issuer.name),
            namespace: Arc::clone(&issuer.namespace),
            subject,
            token_id: text("jti"),
            authenticated_at: times.authenticated_at,
            family: text("sid").or_else(|| text("origin_jti")),
            tenant: mapped.tenant,
            vars: mapped.vars,
            username: mapped.username,
            mapping_version: entry.mapping.as_ref().map_or(0, |mapping| mapping.version),
            digest: sha256(token.signed.as_bytes()),
            expires_at: times.expires_at,
            issued_at: times.issued_at,
            claims: token.claims,
        })
    }

    /// The last step, since it uses the nonce up.
    fn judge_nonce(
        &self,
        entry: &Entry,
        token: &ParsedToken<'_>,
        check: NonceCheck<'_>,
        now: i64,
    ) -> Result<(), Reason> {
        let nonce = token.claims.get("nonce").and_then(Value::as_str);
        match check {
            NonceCheck::Own if entry.wants_nonce => self.nonces.take_back(nonce.ok_or(Reason::Nonce)?, now),
            NonceCheck::Own | NonceCheck::None => Ok(()),
            NonceCheck::Is(expected) => {
                let nonce = nonce.ok_or(Reason::Nonce)?;
                verify_slices_are_equal(nonce.as_bytes(), expected.as_bytes()).map_err(|_| Reason::Nonce)
            }
        }
    }

    async fn keys_for(&self, issuer: &Issuer, id: &str) -> Result<Arc<Keys>, Reason> {
        if let Some(keys) = issuer.keys.at_hand(id) {
            return Ok(keys);
        }
        let _permit = self.waiting.try_acquire().map_err(|_| Reason::Busy)?;
        issuer.keys.with_key(id).await
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| &entry.name)).finish()
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    digest
}
