//! Trust entries made ready: what the configuration says, in the form in which tokens are judged by it.

use super::{
    event::EventRules,
    jwks::KeySet,
    mapping::Mapping,
    metrics::{Metrics, Sizes},
    refusal::Reason,
};
use crate::config::{AccountId, Algorithm, Audience, ClaimPath, ExactIssuer, NonceRule, TokenType, TrustEntry};
use aws_lc_rs::digest::{SHA256, digest};
use prometheus_client::metrics::counter::Counter;
use std::sync::Arc;

/// Bytes that a custom id may have (spec/auth-and-accounts.md: 6 to 128).
const ACCOUNT_ID_BYTES: std::ops::RangeInclusive<usize> = 6..=128;

/// One issuer name of an entry with the keys that count for it there, and nowhere else.
pub(super) struct Issuer {
    pub(super) name: Arc<str>,
    /// What the claim `tid` must be, where the name was made for a tenant.
    pub(super) tenant: Option<Arc<str>>,
    /// Shared by the names that have one source of keys.
    pub(super) keys: Arc<KeySet>,
    /// The name that stands for its people wherever they are told from others: the first of those under which they may come.
    pub(super) namespace: Arc<str>,
    /// Tokens accepted.
    pub(super) accepted: Counter,
}

impl Issuer {
    /// An issuer of `entry`; `first` is the first name of its subject namespace.
    pub(super) fn new(entry: &str, exact: &ExactIssuer, first: &str, keys: Arc<KeySet>, metrics: &Metrics) -> Self {
        let name: Arc<str> = exact.name.as_str().into();
        // Names made for tenants stand for different people.
        let namespace = if exact.tenant.is_some() { Arc::clone(&name) } else { first.into() };
        let accepted = metrics.accepted(entry, &name);
        Self { tenant: exact.tenant.as_deref().map(Into::into), keys, namespace, accepted, name }
    }
}

/// A trust entry as it judges tokens. Times are in seconds.
pub(super) struct Entry {
    pub(super) name: Arc<str>,
    pub(super) issuers: Vec<Issuer>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) audience: Audience,
    pub(super) authorized_parties: Vec<String>,
    pub(super) token_type: TokenType,
    pub(super) skew: i64,
    pub(super) max_age: Option<i64>,
    pub(super) max_auth_age: Option<i64>,
    pub(super) max_lifetime: i64,
    /// `None`: the bare subject is the account id.
    pub(super) prefix: Option<Arc<str>>,
    pub(super) subject: Vec<ClaimPath>,
    pub(super) mapping: Option<Mapping>,
    /// Whether a token must bring back a nonce of ours.
    pub(super) wants_nonce: bool,
    /// Lengths of accepted tokens.
    pub(super) sizes: Sizes,
    pub(super) represent_at_refresh: bool,
    /// Which event tokens it takes.
    pub(super) events: EventRules,
}

impl Entry {
    /// An entry from its configuration, preset written out. `prefix_name` is the name of the first entry of its subject namespace,
    /// `max_vars_bytes` bounds its variables together.
    pub(super) fn new(
        config: &TrustEntry,
        prefix_name: &str,
        issuers: Vec<Issuer>,
        max_vars_bytes: usize,
        metrics: &Metrics,
    ) -> Self {
        let seconds = |value: u64| i64::try_from(value).unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
        Self {
            name: config.name.as_str().into(),
            issuers,
            algorithms: config.algorithms.clone(),
            audience: config.audience.clone(),
            authorized_parties: config.authorized_parties.clone(),
            token_type: config.token_type.clone(),
            skew: seconds(config.skew_sec),
            max_age: (config.max_age_sec > 0).then(|| seconds(config.max_age_sec)),
            max_auth_age: (config.max_auth_age_sec > 0).then(|| seconds(config.max_auth_age_sec)),
            max_lifetime: seconds(config.max_lifetime_sec),
            events: EventRules::new(config),
            prefix: (config.account_id == AccountId::Prefixed).then(|| prefix_name.into()),
            subject: config.subject.clone(),
            mapping: Mapping::new(config, max_vars_bytes),
            wants_nonce: config.nonce == NonceRule::Required,
            sizes: metrics.sizes(&config.name),
            represent_at_refresh: config.represent_at_refresh,
        }
    }

    /// Whether accounts are made of the claim `sub`, by which an issuer's events name a player.
    pub(super) fn is_subject_sub(&self) -> bool {
        self.subject == [ClaimPath::from("sub")]
    }

    /// The custom id of the account that belongs to `subject`: the subject itself, or `prefix:subject`. A subject that cannot
    /// stand in a custom id becomes `prefix:h:` and the base32 SHA-256 of issuer, NUL and subject; so does one that begins with
    /// `h:`, or it could be taken for such a hash.
    pub(super) fn account_id(&self, issuer: &Issuer, subject: &str) -> Result<String, Reason> {
        self.account_id_at(&issuer.namespace, subject)
    }

    fn account_id_at(&self, issuer: &str, subject: &str) -> Result<String, Reason> {
        let Some(prefix) = &self.prefix else {
            return if fits(subject) { Ok(subject.to_owned()) } else { Err(Reason::SubjectUnfit) };
        };
        let plain = format!("{prefix}:{subject}");
        if fits(&plain) && !subject.starts_with("h:") {
            return Ok(plain);
        }
        let hash = digest(&SHA256, &[issuer.as_bytes(), b"\0", subject.as_bytes()].concat());
        Ok(format!("{prefix}:h:{}", base32(hash.as_ref())))
    }
}

/// Whether authentication takes `id` as a custom id.
fn fits(id: &str) -> bool {
    ACCOUNT_ID_BYTES.contains(&id.len()) && !id.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// Base32 in lower case without padding (RFC 4648 section 6).
fn base32(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bit = |position: usize| bytes.get(position / 8).is_some_and(|byte| byte >> (7 - position % 8) & 1 == 1);
    (0..bytes.len() * 8)
        .step_by(5)
        .map(|start| (start..start + 5).fold(0, |digit, position| digit << 1 | usize::from(bit(position))))
        .map(|digit| char::from(DIGITS[digit]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(account_id: AccountId) -> Entry {
        Entry::new(&TrustEntry { account_id, ..TrustEntry::default() }, "pool", Vec::new(), 1_024, &Metrics::default())
    }

    #[test]
    fn a_bare_subject_that_cannot_be_a_custom_id_is_refused() {
        let bare = entry(AccountId::Sub);
        assert_eq!(bare.account_id_at("i", "abcdef").expect("fits"), "abcdef");
        for subject in ["short", "with space", &"x".repeat(129)] {
            assert_eq!(bare.account_id_at("i", subject), Err(Reason::SubjectUnfit), "{subject}");
        }
    }

    #[test]
    fn a_prefixed_subject_that_does_not_fit_is_hashed_and_cannot_be_feigned() {
        let prefixed = entry(AccountId::Prefixed);
        assert_eq!(prefixed.account_id_at("i", "a").expect("fits"), "pool:a");
        let hashed = prefixed.account_id_at("i", "with space").expect("hashed");
        assert!(hashed.starts_with("pool:h:") && hashed.len() == 7 + 52, "{hashed}");
        assert_ne!(hashed, prefixed.account_id_at("j", "with space").expect("another issuer"));
        let feigned = hashed.strip_prefix("pool:").expect("prefixed");
        assert_ne!(prefixed.account_id_at("i", feigned).expect("hashed again"), hashed);
    }

    #[test]
    fn base32_is_that_of_the_rfc() {
        assert_eq!(base32(b"foobar"), "mzxw6ytboi");
    }
}
