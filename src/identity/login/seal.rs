//! Encryption of what the sign-in page puts into a cookie or the store: AES-256-GCM (NIST SP 800-38D) with keys derived by HKDF
//! (RFC 5869).

use crate::clock::Entropy;
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};

/// A text that was not sealed by this key, or not for this purpose. Says nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot be decrypted")]
pub struct Broken;

/// Encrypts and decrypts for one purpose.
pub struct Sealer {
    key: LessSafeKey,
}

impl Sealer {
    /// A sealer for `purpose`, from a secret of at least 16 bytes that is hard to guess. Two purposes have unrelated keys.
    ///
    /// # Errors
    /// Never for secrets of that length; the library's type says that it could.
    pub fn new(secret: &[u8], purpose: &str) -> Result<Self, Broken> {
        let derived = Salt::new(HKDF_SHA256, b"kizuna sign-in page").extract(secret);
        let info = [purpose.as_bytes()];
        let key = derived.expand(&info, &AES_256_GCM).map_err(|_| Broken)?;
        Ok(Self { key: LessSafeKey::new(UnboundKey::from(key)) })
    }

    /// `text` as nonce, ciphertext and tag. It opens only with the same `owner`.
    ///
    /// # Errors
    /// The text is larger than the algorithm allows, 64 GiB.
    pub fn seal(&self, text: &[u8], owner: &[u8], entropy: &Entropy) -> Result<Vec<u8>, Broken> {
        let mut nonce = [0; NONCE_LEN];
        entropy.fill(&mut nonce);
        let mut sealed = text.to_vec();
        let sealing =
            self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(owner), &mut sealed);
        sealing.map_err(|_| Broken)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// The text of [`Sealer::seal`].
    ///
    /// # Errors
    /// Another key, another owner, or a changed byte.
    pub fn open(&self, sealed: &[u8], owner: &[u8]) -> Result<Vec<u8>, Broken> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(Broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Broken)?;
        let mut text = text.to_vec();
        let length = self.key.open_in_place(nonce, Aad::from(owner), &mut text).map_err(|_| Broken)?.len();
        text.truncate(length);
        Ok(text)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_purpose_and_owner_open_what_was_sealed() {
        let (secret, entropy) = (b"a secret of many bytes", Entropy::seeded(1));
        let sealer = Sealer::new(secret, "tokens").unwrap();
        let sealed = sealer.seal(b"text", b"ann", &entropy).unwrap();
        assert_eq!(sealer.open(&sealed, b"ann").unwrap(), b"text");
        assert_eq!(sealer.open(&sealed, b"bob"), Err(Broken));
        assert_eq!(Sealer::new(secret, "cookies").unwrap().open(&sealed, b"ann"), Err(Broken));
        assert_eq!(Sealer::new(b"another secret, as long", "tokens").unwrap().open(&sealed, b"ann"), Err(Broken));
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert_eq!(sealer.open(&changed, b"ann"), Err(Broken), "byte {index}");
        }
        assert_eq!(sealer.open(&sealed[..5], b"ann"), Err(Broken));
        assert_ne!(sealer.seal(b"text", b"ann", &entropy).unwrap(), sealed, "a nonce of its own each time");
    }
}
