//! From the configuration to a [`Verifier`]: entries judged, presets written out, key sets opened.

use super::{
    fetch::{FetchError, HttpFetcher, KeyFetcher},
    jwks::{KeySet, Limits, Owner, Source, refused_at_start},
    keys::HeldKeys,
    metrics::Metrics,
    nonce::Nonces,
    trust::{Entry, Issuer},
    verify::{Trusted, Verifier},
};
use crate::{
    clock::{Clock, Entropy},
    config::{
        ConfigError, ExactIssuer, Identity, KeySource, TrustEntry, judge_trust, key_set_address, subject_namespaces,
    },
};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicI64},
};
use tokio::sync::Semaphore;

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
            let first = &trusted[first_of_namespace[index]];
            let issuers = open.issuers(first, keys)?;
            entries.push(Entry::new(entry, &first.name, issuers, config.max_vars_bytes, &metrics));
        }
        Ok(Arc::new(Self {
            by_issuer: by_issuer(&entries),
            entries,
            max_token_bytes: config.max_token_bytes,
            event_max_age: i64::try_from(config.event_max_age_sec).unwrap_or(i64::MAX / 4),
            warn_token_bytes: config.warn_token_bytes,
            warned: AtomicI64::new(i64::MIN),
            // Nobody has to foresee a key that ends with the process.
            nonces: Nonces::new(&Entropy::system(), config.nonce_lifetime_sec, config.max_used_nonces),
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
    config.trust.iter().map(TrustEntry::with_preset).flat_map(|entry| match &entry.jwks {
        KeySource::Url(url) if url.is_empty() => {
            entry.exact_issuers().iter().map(|issuer| key_set_address(&issuer.name)).collect()
        }
        KeySource::Url(url) => vec![url.clone()],
        KeySource::Discovery => entry.exact_issuers().into_iter().map(|issuer| issuer.name).collect(),
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
    /// The issuers of the entry; those whose keys have one source share one set. `first` is the first entry of the namespace.
    fn issuers(&self, first: &TrustEntry, held: Option<&HeldKeys>) -> Result<Vec<Issuer>, ConfigError> {
        let first_name = first.exact_issuers().first().map(|issuer| issuer.name.clone()).unwrap_or_default();
        let mut opened: HashMap<String, Arc<KeySet>> = HashMap::new();
        let issuer = |exact: ExactIssuer| {
            let source = self.source_of(&exact.name);
            let keys = match opened.get(&source) {
                Some(keys) => Arc::clone(keys),
                None => Arc::clone(opened.entry(source).or_insert(Arc::new(self.keys(&exact.name, held)?))),
            };
            Ok(Issuer::new(&self.entry.name, &exact, &first_name, keys, self.metrics))
        };
        self.entry.exact_issuers().into_iter().map(issuer).collect()
    }

    /// What tells sources of keys apart within the entry.
    fn source_of(&self, issuer: &str) -> String {
        match &self.entry.jwks {
            KeySource::Url(url) if !url.is_empty() => url.clone(),
            KeySource::Url(_) | KeySource::Discovery => issuer.to_owned(),
            KeySource::File(_) | KeySource::Inline(_) => String::new(),
        }
    }

    fn keys(&self, issuer: &str, held: Option<&HeldKeys>) -> Result<KeySet, ConfigError> {
        let fetcher = || Arc::clone(self.fetcher);
        match (held, &self.entry.jwks) {
            (Some(keys), _) => Ok(KeySet::Held(keys.clone())),
            (None, KeySource::Inline(text)) => Limits::new(self.config)
                .parse(text.as_bytes())
                .map(KeySet::fixed)
                .map_err(|error| refused_at_start(self.index, "inline", &error)),
            (None, KeySource::File(path)) => self.kept(issuer, Source::File(path.clone()), "file"),
            (None, KeySource::Url(url)) => {
                let url = if url.is_empty() { key_set_address(issuer) } else { url.clone() };
                self.kept(issuer, Source::Url(url, fetcher()), "url")
            }
            (None, KeySource::Discovery) => {
                let allow_loopback_http = self.config.jwks_allow_loopback_http;
                let source = Source::Discovery { issuer: issuer.to_owned(), allow_loopback_http, fetcher: fetcher() };
                self.kept(issuer, source, "discovery")
            }
        }
    }

    fn kept(&self, issuer: &str, source: Source, key: &str) -> Result<KeySet, ConfigError> {
        let owner =
            Owner { entry: self.entry.name.as_str().into(), issuer: issuer.into(), metrics: self.metrics.clone() };
        let kept: Result<_, FetchError> = KeySet::kept(source, Limits::new(self.config), owner);
        kept.map_err(|error| refused_at_start(self.index, key, &error))
    }
}
