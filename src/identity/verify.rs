//! The verifier: the steps in their order, over one unchanging view of the configuration and the keys.

use super::{
    claims,
    fetch::{FetchError, HttpFetcher, KeyFetcher},
    jwks::{KeySet, Limits, Owner, Source, refused_at_start},
    jwt::{ParsedToken, parse_token},
    keys::{HeldKeys, Keys},
    metrics::Metrics,
    refusal::{Reason, Refusal, RefusalKind},
    scope::{ScopeKey, ScopeKind},
    session::Origin,
    trust::{Entry, Issuer},
};
use crate::{
    clock::Clock,
    config::{
        Algorithm, ConfigError, Identity, KeySource, TrustEntry, judge_trust, key_set_address, subject_namespaces,
    },
};
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
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
    /// `sub`.
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
    /// The version of the entry's mapping.
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
            family: self.family.as_deref().map(|family| ScopeKey::family(&self.issuer, family)),
            tenant: self.tenant.as_deref().map(Into::into),
            proven_unix: self.authenticated_at.or(self.issued_at).unwrap_or(now).min(now),
            mapping_version: self.mapping_version,
        }
    }
}

impl fmt::Debug for VerifiedIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedIdentity").field("entry", &self.entry).finish_non_exhaustive()
    }
}

/// Judges identity tokens. Its background tasks end when it is dropped.
pub struct Verifier {
    pub(super) entries: Vec<Entry>,
    /// For each issuer the entries that trust it, with its place among the entry's issuers.
    pub(super) by_issuer: HashMap<Arc<str>, Vec<(usize, usize)>>,
    pub(super) max_token_bytes: usize,
    pub(super) event_max_age: i64,
    under_way: Semaphore,
    /// Those who wait for keys: apart from `under_way`, so that an issuer that hangs does not stop tokens whose keys are here.
    waiting: Semaphore,
    pub(super) clock: Clock,
    metrics: Metrics,
}

impl Verifier {
    /// A verifier for the entries of `config` and those `held` by this process. Call it inside a tokio runtime: it begins to fetch
    /// key sets, and waits for none.
    ///
    /// # Errors
    /// Whatever [`judge_trust`] finds; an inline or file key set that cannot be used; no TLS on this machine.
    pub fn new(config: &Identity, held: &[Trusted], clock: Clock, metrics: Metrics) -> Result<Arc<Self>, ConfigError> {
        let https = addresses(config).any(|url| url.starts_with("https:"));
        let fetcher: Arc<dyn KeyFetcher> = Arc::new(HttpFetcher::new(https)?);
        Self::with_fetcher(config, held, clock, metrics, &fetcher)
    }

    /// As [`Verifier::new`], fetching key sets by `fetcher`.
    ///
    /// # Errors
    /// As [`Verifier::new`].
    pub fn with_fetcher(
        config: &Identity,
        held: &[Trusted],
        clock: Clock,
        metrics: Metrics,
        fetcher: &Arc<dyn KeyFetcher>,
    ) -> Result<Arc<Self>, ConfigError> {
        let trusted = judged(config, held)?;
        let first_of_namespace = subject_namespaces(&trusted);
        let mut entries = Vec::with_capacity(trusted.len());
        for (index, entry) in trusted.iter().enumerate() {
            let keys = held.get(index.wrapping_sub(config.trust.len())).map(|trusted| &trusted.keys);
            let open = Opening { config, metrics: &metrics, fetcher, index, entry };
            let issuers = entry.issuers.iter().map(|issuer| open.issuer(issuer, keys)).collect::<Result<_, _>>()?;
            entries.push(Entry::new(entry, &trusted[first_of_namespace[index]].name, issuers));
        }
        Ok(Arc::new(Self {
            by_issuer: by_issuer(&entries),
            entries,
            max_token_bytes: config.max_token_bytes,
            event_max_age: i64::try_from(config.event_max_age_sec).unwrap_or(i64::MAX / 4),
            under_way: Semaphore::new(config.max_verifications.min(Semaphore::MAX_PERMITS)),
            waiting: Semaphore::new(config.max_verifications.min(Semaphore::MAX_PERMITS)),
            clock,
            metrics,
        }))
    }

    /// Judges the configuration without starting anything: what [`Verifier::new`] would refuse, except for faults of files.
    ///
    /// # Errors
    /// As [`Verifier::new`].
    pub fn check(config: &Identity) -> Result<(), ConfigError> {
        for (index, entry) in judged(config, &[])?.iter().enumerate() {
            if let KeySource::Inline(text) = &entry.jwks {
                Limits::new(config)
                    .parse(text.as_bytes())
                    .map_err(|error| refused_at_start(index, "inline", &error))?;
            }
        }
        Ok(())
    }

    /// Whether anybody is trusted at all. If so, a custom id that is no identity token is to be refused.
    pub fn trusts_anybody(&self) -> bool {
        !self.entries.is_empty()
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Judges a token: format, algorithm, signature, expiry, issuer and client, then the subject. The first step that fails
    /// decides. The signature is computed on the calling task (some 26 µs); only a fetch of keys is waited for.
    ///
    /// # Errors
    /// Why the token is refused. Turn it into [`crate::error::Error`] for the client: that says one thing for all.
    pub async fn verify(&self, token: &str) -> Result<VerifiedIdentity, Refusal> {
        let outcome = self.judge(token).await;
        match &outcome {
            Ok(identity) => self.metrics.accepted(&identity.entry),
            Err(refusal) => {
                self.metrics.refused(refusal);
                let (step, entry) = (refusal.step().as_str(), refusal.entry.as_deref().unwrap_or("none"));
                match refusal.kind() {
                    RefusalKind::Invalid => tracing::debug!(step, entry, reason = %refusal, "identity token refused"),
                    RefusalKind::KeysUnavailable | RefusalKind::Busy => {
                        tracing::debug!(step, entry, reason = %refusal, "identity token not judged");
                    }
                }
            }
        }
        outcome
    }

    async fn judge(&self, token: &str) -> Result<VerifiedIdentity, Refusal> {
        let nobody = |reason| Refusal { reason, entry: None };
        let token = parse_token(token, self.max_token_bytes).map_err(nobody)?;
        let algorithm = self.algorithm(&token).map_err(nobody)?;
        let (entry, issuer) = self.entry_for(&token).ok_or_else(|| nobody(Reason::Issuer))?;
        let judged = self.judge_by(entry, issuer, token, algorithm).await;
        judged.map_err(|reason| Refusal { reason, entry: Some(Arc::clone(&entry.name)) })
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

    async fn judge_by(
        &self,
        entry: &Entry,
        issuer: &Issuer,
        token: ParsedToken<'_>,
        algorithm: Algorithm,
    ) -> Result<VerifiedIdentity, Reason> {
        self.judge_signature(entry, issuer, &token, algorithm).await?;
        let times = claims::judge_times(&token.claims, entry, self.clock.unix_seconds())?;
        claims::judge_client(&token, entry)?;
        let subject = claims::judge_subject(&token.claims)?.to_owned();
        let text = |name: &str| token.claims.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(VerifiedIdentity {
            account_id: entry.account_id(&issuer.name, &subject)?,
            entry: Arc::clone(&entry.name),
            issuer: Arc::clone(&issuer.name),
            subject,
            token_id: text("jti"),
            authenticated_at: token.claims.get("auth_time").and_then(Value::as_i64),
            family: text("sid").or_else(|| text("origin_jti")),
            tenant: None,
            vars: BTreeMap::new(),
            username: None,
            mapping_version: 0,
            digest: sha256(token.signed.as_bytes()),
            expires_at: times.expires_at,
            issued_at: times.issued_at,
            claims: token.claims,
        })
    }

    /// Whether the token is the issuer's: its algorithm is one of the entry's and the key's, and the signature is that key's.
    pub(super) async fn judge_signature(
        &self,
        entry: &Entry,
        issuer: &Issuer,
        token: &ParsedToken<'_>,
        algorithm: Algorithm,
    ) -> Result<(), Reason> {
        if !entry.algorithms.contains(&algorithm) {
            return Err(Reason::Algorithm);
        }
        let id = token.key_id().ok_or(Reason::NoKeyId)?;
        let keys = self.keys_for(issuer, id).await?;
        let key = keys.get(id).ok_or(Reason::UnknownKey)?;
        if key.algorithm != algorithm {
            return Err(Reason::KeyAlgorithm);
        }
        let _permit = self.under_way.try_acquire().map_err(|_| Reason::Busy)?;
        self.metrics.signature_checked();
        if key.verifies(token.signed.as_bytes(), &token.signature) { Ok(()) } else { Err(Reason::BadSignature) }
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

/// All entries, judged together, their presets written out: those of the configuration, then those held.
fn judged(config: &Identity, held: &[Trusted]) -> Result<Vec<TrustEntry>, ConfigError> {
    // Held keys need no address, so a held entry must not be judged by one.
    let of_held = |trusted: &Trusted| TrustEntry { jwks: KeySource::Inline("held".into()), ..trusted.entry.clone() };
    let all: Vec<_> = config.trust.iter().cloned().chain(held.iter().map(of_held)).collect();
    judge_trust(&all, config.jwks_allow_loopback_http)?;
    Ok(all.iter().map(TrustEntry::with_preset).collect())
}

/// Every address that key sets are fetched from.
fn addresses(config: &Identity) -> impl Iterator<Item = String> {
    config.trust.iter().map(TrustEntry::with_preset).flat_map(|entry| match entry.jwks {
        KeySource::Url(url) if url.is_empty() => entry.issuers.iter().map(|issuer| key_set_address(issuer)).collect(),
        KeySource::Url(url) => vec![url],
        KeySource::File(_) | KeySource::Inline(_) => Vec::new(),
    })
}

fn by_issuer(entries: &[Entry]) -> HashMap<Arc<str>, Vec<(usize, usize)>> {
    let mut map: HashMap<Arc<str>, Vec<(usize, usize)>> = HashMap::new();
    for (index, entry) in entries.iter().enumerate() {
        for (place, issuer) in entry.issuers.iter().enumerate() {
            map.entry(Arc::clone(&issuer.name)).or_default().push((index, place));
        }
    }
    map
}

/// What opening the key sets of one entry needs.
struct Opening<'a> {
    config: &'a Identity,
    metrics: &'a Metrics,
    fetcher: &'a Arc<dyn KeyFetcher>,
    index: usize,
    entry: &'a TrustEntry,
}

impl Opening<'_> {
    fn issuer(&self, name: &str, held: Option<&HeldKeys>) -> Result<Issuer, ConfigError> {
        let keys = match (held, &self.entry.jwks) {
            (Some(keys), _) => Ok(KeySet::Held(keys.clone())),
            (None, KeySource::Inline(text)) => Limits::new(self.config)
                .parse(text.as_bytes())
                .map(KeySet::fixed)
                .map_err(|error| refused_at_start(self.index, "inline", &error)),
            (None, KeySource::File(path)) => self.kept(name, Source::File(path.clone()), "file"),
            (None, KeySource::Url(url)) => {
                let url = if url.is_empty() { key_set_address(name) } else { url.clone() };
                self.kept(name, Source::Url(url, Arc::clone(self.fetcher)), "url")
            }
        }?;
        Ok(Issuer { name: name.into(), keys })
    }

    fn kept(&self, issuer: &str, source: Source, key: &str) -> Result<KeySet, ConfigError> {
        let owner =
            Owner { entry: self.entry.name.as_str().into(), issuer: issuer.into(), metrics: self.metrics.clone() };
        let kept: Result<_, FetchError> = KeySet::kept(source, Limits::new(self.config), owner);
        kept.map_err(|error| refused_at_start(self.index, key, &error))
    }
}
