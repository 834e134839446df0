//! What the bridge counts. Nothing in here comes from a token: only names from the configuration.

use super::refusal::Refusal;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::sync::Arc;

/// Counters of the bridge. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    verifications: Family<VerificationLabels, Counter>,
    signature_checks: Counter,
    fetches: Family<FetchLabels, Counter>,
    usable_keys: Family<KeySetLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerificationLabels {
    entry: Arc<str>,
    step: &'static str,
    outcome: &'static str,
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
            "Identity tokens judged, by trust entry, step (that refused, or \"all\") and outcome",
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
    }

    /// Tokens judged by `entry` (`"none"`: no entry was found) with `outcome` at `step`. For tests and health reports.
    pub fn verifications(&self, entry: &str, step: &'static str, outcome: &'static str) -> u64 {
        self.verifications.get_or_create(&VerificationLabels { entry: entry.into(), step, outcome }).get()
    }

    /// How many signatures have been computed.
    pub fn signature_checks(&self) -> u64 {
        self.signature_checks.get()
    }

    /// Key sets of `entry` read with `outcome`: `"ok"` or `"failed"`.
    pub fn key_set_reads(&self, entry: &str, outcome: &'static str) -> u64 {
        self.fetches.get_or_create(&FetchLabels { entry: entry.into(), outcome }).get()
    }

    pub(super) fn accepted(&self, entry: &Arc<str>) {
        let labels = VerificationLabels { entry: Arc::clone(entry), step: "all", outcome: "accepted" };
        self.verifications.get_or_create(&labels).inc();
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        let entry = refusal.entry.clone().unwrap_or_else(|| "none".into());
        let labels = VerificationLabels { entry, step: refusal.step().as_str(), outcome: refusal.kind().as_str() };
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
