//! Trust entries made ready: what the configuration says, in the form in which tokens are judged by it.

use super::{event::EventRules, jwks::KeySet, refusal::Reason};
use crate::config::{AccountId, Algorithm, Audience, TokenType, TrustEntry};
use aws_lc_rs::digest::{SHA256, digest};
use std::sync::Arc;

/// Bytes that a custom id may have (spec/auth-and-accounts.md: 6 to 128).
const ACCOUNT_ID_BYTES: std::ops::RangeInclusive<usize> = 6..=128;

/// One issuer name of an entry with the keys that count for it there, and nowhere else.
pub(super) struct Issuer {
    pub(super) name: Arc<str>,
    pub(super) keys: KeySet,
}

/// A trust entry as it judges tokens. Times are in seconds.
pub(super) struct Entry {
    pub(super) name: Arc<str>,
    pub(super) issuers: Vec<Issuer>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) audience: Audience,
    pub(super) token_type: TokenType,
    pub(super) skew: i64,
    pub(super) max_age: Option<i64>,
    pub(super) max_lifetime: i64,
    /// `None`: the bare subject is the account id.
    pub(super) prefix: Option<Arc<str>>,
    /// Which event tokens it takes.
    pub(super) events: EventRules,
}

impl Entry {
    /// An entry from its configuration, preset written out. `prefix_name` is the name of the first entry of its subject namespace.
    pub(super) fn new(config: &TrustEntry, prefix_name: &str, issuers: Vec<Issuer>) -> Self {
        let seconds = |value: u64| i64::try_from(value).unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
        Self {
            name: config.name.as_str().into(),
            issuers,
            algorithms: config.algorithms.clone(),
            audience: config.audience.clone(),
            token_type: config.token_type.clone(),
            skew: seconds(config.skew_sec),
            max_age: (config.max_age_sec > 0).then(|| seconds(config.max_age_sec)),
            max_lifetime: seconds(config.max_lifetime_sec),
            events: EventRules::new(config),
            prefix: (config.account_id == AccountId::Prefixed).then(|| prefix_name.into()),
        }
    }

    /// The custom id of the account that belongs to `subject`: the subject itself, or `prefix:subject`. A subject that cannot
    /// stand in a custom id becomes `prefix:h:` and the base32 SHA-256 of issuer, NUL and subject; so does one that begins with
    /// `h:`, or it could be taken for such a hash.
    pub(super) fn account_id(&self, issuer: &str, subject: &str) -> Result<String, Reason> {
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
        Entry::new(&TrustEntry { account_id, ..TrustEntry::default() }, "pool", Vec::new())
    }

    #[test]
    fn a_bare_subject_that_cannot_be_a_custom_id_is_refused() {
        let bare = entry(AccountId::Sub);
        assert_eq!(bare.account_id("i", "abcdef").expect("fits"), "abcdef");
        for subject in ["short", "with space", &"x".repeat(129)] {
            assert_eq!(bare.account_id("i", subject), Err(Reason::SubjectUnfit), "{subject}");
        }
    }

    #[test]
    fn a_prefixed_subject_that_does_not_fit_is_hashed_and_cannot_be_feigned() {
        let prefixed = entry(AccountId::Prefixed);
        assert_eq!(prefixed.account_id("i", "a").expect("fits"), "pool:a");
        let hashed = prefixed.account_id("i", "with space").expect("hashed");
        assert!(hashed.starts_with("pool:h:") && hashed.len() == 7 + 52, "{hashed}");
        assert_ne!(hashed, prefixed.account_id("j", "with space").expect("another issuer"));
        let feigned = hashed.strip_prefix("pool:").expect("prefixed");
        assert_ne!(prefixed.account_id("i", feigned).expect("hashed again"), hashed);
    }

    #[test]
    fn base32_is_that_of_the_rfc() {
        assert_eq!(base32(b"foobar"), "mzxw6ytboi");
    }
}
