//! What the bridge counts. Nothing in here comes from a token: only names from the configuration.

use super::refusal::Refusal;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::sync::Arc;

/// Bytes of tokens that are told apart: their usual sizes, then up to the usual limit.
const SIZES: [f64; 10] = [512.0, 768.0, 1_024.0, 1_536.0, 2_048.0, 3_072.0, 4_096.0, 6_144.0, 8_192.0, 16_384.0];

/// Lengths of the tokens that one entry accepted.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    bytes: Histogram,
    large: Counter,
}

impl Sizes {
    pub(super) fn observe(&self, bytes: usize, is_large: bool) {
        #[expect(clippy::cast_precision_loss, reason = "a token is shorter than 2^52 bytes")]
        self.bytes.observe(bytes as f64);
        if is_large {
            self.large.inc();
        }
    }
}

/// Counters of the bridge. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    verifications: Family<VerificationLabels, Counter>,
    signature_checks: Counter,
    fetches: Family<FetchLabels, Counter>,
    usable_keys: Family<KeySetLabels, Gauge>,
    token_bytes: Family<EntryLabels, Histogram, fn() -> Histogram>,
    large_tokens: Family<EntryLabels, Counter>,
    nonces: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            verifications: Family::default(),
            signature_checks: Counter::default(),
            fetches: Family::default(),
            usable_keys: Family::default(),
            token_bytes: Family::new_with_constructor(|| Histogram::new(SIZES)),
            large_tokens: Family::default(),
            nonces: Counter::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerificationLabels {
    entry: Arc<str>,
    issuer: Arc<str>,
    step: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EntryLabels {
    entry: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FetchLabels {
    entry: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeySetLabels {
    entry: Arc<str>,
    issuer: Arc<str>,
}

impl Metrics {
    /// Makes them known to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "identity_verifications",
            "Identity tokens judged, by trust entry, issuer, step (that refused, or \"all\") and outcome",
            self.verifications.clone(),
        );
        registry.register(
            "identity_signature_checks",
            "Signatures of identity tokens computed",
            self.signature_checks.clone(),
        );
        registry.register(
            "identity_key_set_reads",
            "Key sets fetched or read, by entry and outcome",
            self.fetches.clone(),
        );
        registry.register("identity_key_set_keys", "Usable keys of the key set read last", self.usable_keys.clone());
        registry.register("identity_token_bytes", "Lengths of accepted identity tokens", self.token_bytes.clone());
        registry.register(
            "identity_large_tokens",
            "Accepted identity tokens of identity.warn_token_bytes or more",
            self.large_tokens.clone(),
        );
        registry.register("identity_nonces", "Nonces handed out", self.nonces.clone());
    }

    /// Tokens of `issuer` judged by `entry` (`"none"`: no entry was found) with `outcome` at `step`. For tests and health reports.
    pub fn verifications(&self, entry: &str, issuer: &str, step: &'static str, outcome: &'static str) -> u64 {
        let labels = VerificationLabels { entry: entry.into(), issuer: issuer.into(), step, outcome };
        self.verifications.get_or_create(&labels).get()
    }

    /// How many accepted tokens of `entry` were large.
    pub fn large_tokens(&self, entry: &str) -> u64 {
        self.large_tokens.get_or_create(&EntryLabels { entry: entry.into() }).get()
    }

    /// How many signatures have been computed.
    pub fn signature_checks(&self) -> u64 {
        self.signature_checks.get()
    }

    /// Key sets of `entry` read with `outcome`: `"ok"` or `"failed"`.
    pub fn key_set_reads(&self, entry: &str, outcome: &'static str) -> u64 {
        self.fetches.get_or_create(&FetchLabels { entry: entry.into(), outcome }).get()
    }

    /// The counter of accepted tokens, to be held: the way of a good token looks nothing up.
    pub(super) fn accepted(&self, entry: &str, issuer: &Arc<str>) -> Counter {
        let labels =
            VerificationLabels { entry: entry.into(), issuer: Arc::clone(issuer), step: "all", outcome: "accepted" };
        self.verifications.get_or_create(&labels).clone()
    }

    pub(super) fn sizes(&self, entry: &str) -> Sizes {
        let labels = EntryLabels { entry: entry.into() };
        Sizes {
            bytes: self.token_bytes.get_or_create(&labels).clone(),
            large: self.large_tokens.get_or_create(&labels).clone(),
        }
    }

    pub(super) fn nonce_issued(&self) {
        self.nonces.inc();
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        let entry = refusal.entry.clone().unwrap_or_else(|| "none".into());
        let issuer = refusal.issuer.clone().unwrap_or_else(|| "none".into());
        let (step, outcome) = (refusal.step().as_str(), refusal.kind().as_str());
        let labels = VerificationLabels { entry, issuer, step, outcome };
        self.verifications.get_or_create(&labels).inc();
    }

    pub(super) fn signature_checked(&self) {
        self.signature_checks.inc();
    }

    pub(super) fn key_set_read(&self, entry: &Arc<str>, issuer: &Arc<str>, usable_keys: Option<usize>) {
        let outcome = if usable_keys.is_some() { "ok" } else { "failed" };
        self.fetches.get_or_create(&FetchLabels { entry: Arc::clone(entry), outcome }).inc();
        if let Some(count) = usable_keys {
            let gauge =
                self.usable_keys.get_or_create(&KeySetLabels { entry: Arc::clone(entry), issuer: Arc::clone(issuer) });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}
