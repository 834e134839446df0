//! Nonces that this server hands out, to come back in one identity token each (OpenID Connect Core section 3.1.2.1). Handing one
//! out costs no memory, since its seal says that it is ours; only those that came back in a good token are remembered, until they
//! expire. The key of the seal is made at the start, so after a restart those handed out before are refused.

use super::refusal::Reason;
use crate::clock::Entropy;
use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use std::collections::BTreeSet;

const SHARDS: usize = 16;
/// Bytes of the expiry, of what makes it one of its kind, and of its seal.
const TIME: usize = 8;
const RANDOM: usize = 16;
const SEAL: usize = 16;

/// Hands out nonces and takes each back once.
pub(super) struct Nonces {
    key: hmac::Key,
    lifetime: i64,
    max_a_shard: usize,
    /// Those that came back, the first to expire first. No await under a lock.
    used: [Mutex<BTreeSet<Returned>>; SHARDS],
}

type Returned = (i64, [u8; RANDOM]);

impl Nonces {
    /// Nonces that are good for `lifetime_sec`, and at most `max_used` remembered.
    pub(super) fn new(entropy: &Entropy, lifetime_sec: u64, max_used: usize) -> Self {
        let mut key = [0; 32];
        entropy.fill(&mut key);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            lifetime: i64::try_from(lifetime_sec).unwrap_or(i64::MAX / 2).min(i64::MAX / 2),
            max_a_shard: max_used.div_ceil(SHARDS),
            used: Default::default(),
        }
    }

    /// A new nonce: 54 characters of base64url. `now` in seconds since 1970.
    pub(super) fn issue(&self, entropy: &Entropy, now: i64) -> String {
        let mut bytes = [0; TIME + RANDOM + SEAL];
        bytes[..TIME].copy_from_slice(&(now + self.lifetime).to_be_bytes());
        entropy.fill(&mut bytes[TIME..TIME + RANDOM]);
        let seal = hmac::sign(&self.key, &bytes[..TIME + RANDOM]);
        bytes[TIME + RANDOM..].copy_from_slice(&seal.as_ref()[..SEAL]);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Takes a nonce back, once.
    pub(super) fn take_back(&self, nonce: &str, now: i64) -> Result<(), Reason> {
        let returned = self.ours(nonce).filter(|(expires, _)| *expires > now).ok_or(Reason::Nonce)?;
        let mut used = self.used[usize::from(returned.1[0]) % SHARDS].lock();
        while used.first().is_some_and(|(expires, _)| *expires <= now) {
            used.pop_first();
        }
        if used.contains(&returned) {
            return Err(Reason::Nonce);
        }
        if used.len() >= self.max_a_shard {
            return Err(Reason::TooManyNonces);
        }
        used.insert(returned);
        Ok(())
    }

    fn ours(&self, nonce: &str) -> Option<Returned> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(nonce).ok().filter(|bytes| bytes.len() == TIME + RANDOM + SEAL)?;
        let seal = hmac::sign(&self.key, &bytes[..TIME + RANDOM]);
        verify_slices_are_equal(&seal.as_ref()[..SEAL], &bytes[TIME + RANDOM..]).ok()?;
        let expires = i64::from_be_bytes(bytes[..TIME].try_into().ok()?);
        Some((expires, bytes[TIME..TIME + RANDOM].try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_comes_back_once_and_in_time() {
        let entropy = Entropy::seeded(1);
        let nonces = Nonces::new(&entropy, 300, 100);
        let nonce = nonces.issue(&entropy, 1_000);
        assert_eq!(nonce.len(), 54);
        assert_eq!(nonces.take_back(&nonce, 1_299), Ok(()));
        assert_eq!(nonces.take_back(&nonce, 1_299), Err(Reason::Nonce));
        let late = nonces.issue(&entropy, 1_000);
        assert_eq!(nonces.take_back(&late, 1_300), Err(Reason::Nonce));
        assert_eq!(nonces.take_back(&nonce, 1_300), Err(Reason::Nonce), "expired, whether remembered or not");
    }

    #[test]
    fn what_this_server_did_not_hand_out_is_refused() {
        let entropy = Entropy::seeded(1);
        let nonces = Nonces::new(&entropy, 300, 100);
        let nonce = nonces.issue(&entropy, 1_000);
        let other = Nonces::new(&entropy, 300, 100).issue(&entropy, 1_000);
        let mut flipped = nonce.clone().into_bytes();
        flipped[3] = if flipped[3] == b'A' { b'B' } else { b'A' };
        let flipped = String::from_utf8(flipped).expect("ASCII");
        for bad in ["", "n", &other, &flipped, &format!("{nonce}A"), &nonce[..53]] {
            assert_eq!(nonces.take_back(bad, 1_000), Err(Reason::Nonce), "{bad}");
        }
        assert_eq!(nonces.take_back(&nonce, 1_000), Ok(()));
    }

    #[test]
    fn those_remembered_are_bounded_and_forgotten_when_they_expire() {
        let entropy = Entropy::seeded(1);
        let nonces = Nonces::new(&entropy, 300, SHARDS);
        let full = |now| (0..1_000).find_map(|_| nonces.take_back(&nonces.issue(&entropy, now), now).err());
        assert_eq!(full(1_000), Some(Reason::TooManyNonces));
        let remembered = || nonces.used.iter().map(|shard| shard.lock().len()).sum::<usize>();
        assert!(remembered() <= SHARDS);
        let held = remembered();
        assert_eq!(full(2_000), Some(Reason::TooManyNonces), "a new round fits first");
        assert!(remembered() <= SHARDS && held > 0);
    }
}
