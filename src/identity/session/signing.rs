//! Session tokens that others can check: ES256 or EdDSA in place of HMAC, with a key id, and the public keys as a JWK set (RFC 7517).
//! Refresh tokens and match tokens stay under HMAC: nobody else has to read them.

use super::{
    claims::{TokenRefusal, write_text},
    jwt::{BASE64, Keys, Signed},
    pem::{self, PublicKey},
};
use crate::config::{self, ConfigError, Signing};
use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair, ParsedPublicKey},
};
use base64::Engine;
use std::{fmt::Write as _, path::Path, sync::Arc};
use uuid::Uuid;

/// Characters of 64 bytes in base64 without padding.
const SIGNATURE_LENGTH: usize = 86;

/// The keys of session tokens beside the HMAC key. Clones share them.
#[derive(Clone, Default)]
pub struct SigningKeys(Option<Arc<Published>>);

struct Published {
    algorithm: Signing,
    keys: Vec<Key>,
    accepts_hs256: bool,
    /// `iss` and `aud` as they stand in each token, with a comma before them.
    names: String,
    key_set: String,
}

pub(super) enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

struct Key {
    /// The header of its tokens: nothing else is taken for it.
    header: String,
    not_before_unix: i64,
    /// `None`: it only verifies.
    pair: Option<Pair>,
    public: ParsedPublicKey,
    algorithm: Signing,
    jwk: String,
}

impl SigningKeys {
    /// The keys that `config` names, or with none named one that is kept in `data_dir`, made when it is not there. `now` in
    /// seconds since 1970.
    ///
    /// # Errors
    /// A file that cannot be read or holds no such key; no key that may sign now.
    pub fn load(config: &config::Session, data_dir: &Path, now: i64) -> Result<Self, ConfigError> {
        if config.signing == Signing::HS256 {
            return Ok(Self(None));
        }
        let mut keys = Vec::new();
        for (index, named) in config.signing_keys.iter().enumerate() {
            let refused = |what| ConfigError::new(format!("session.signing_keys[{index}].file"), what);
            let (pair, public) = pem::read(&named.file).map_err(refused)?;
            let key = Key::new(pair, &public, named.not_before_unix).map_err(refused)?;
            if keys.iter().any(|known: &Key| known.header == key.header) {
                return Err(refused("allowed is each key once".to_owned()));
            }
            keys.push(key);
        }
        if keys.is_empty() {
            let refused = |what| ConfigError::new("session.signing_keys", what);
            let (pair, public) = pem::kept(data_dir, config.signing).map_err(refused)?;
            keys.push(Key::new(Some(pair), &public, 0).map_err(refused)?);
        }
        let published = Published::new(config, keys);
        if published.current(now).is_none() {
            let what = "allowed is a list with a private key of session.signing whose not_before_unix is past";
            return Err(ConfigError::new("session.signing_keys", what));
        }
        Ok(Self(Some(Arc::new(published))))
    }
}

impl Published {
    fn new(config: &config::Session, keys: Vec<Key>) -> Self {
        let mut names = String::new();
        for (name, value) in [("iss", &config.issuer), ("aud", &config.audience)] {
            if !value.is_empty() {
                let _ = write!(names, ",\"{name}\":");
                write_text(&mut names, value);
            }
        }
        let jwks: Vec<_> = keys.iter().map(|key| key.jwk.as_str()).collect();
        let key_set = format!("{{\"keys\":[{}]}}", jwks.join(","));
        Self { algorithm: config.signing, keys, accepts_hs256: config.accept_hs256, names, key_set }
    }

    /// The key that signs: of those that may, the one that has begun last.
    fn current(&self, now: i64) -> Option<(&Key, &Pair)> {
        self.private().filter(|(key, _)| key.not_before_unix <= now).max_by_key(|(key, _)| key.not_before_unix)
    }

    /// As [`Published::current`], and the first of all for a clock that was set back behind the beginning of each: at the start
    /// there was one.
    fn current_or_first(&self, now: i64) -> Option<(&Key, &Pair)> {
        self.current(now).or_else(|| self.private().min_by_key(|(key, _)| key.not_before_unix))
    }

    fn private(&self) -> impl Iterator<Item = (&Key, &Pair)> {
        let ours = self.keys.iter().filter(|key| key.algorithm == self.algorithm);
        ours.filter_map(|key| Some((key, key.pair.as_ref()?)))
    }
}

impl Key {
    fn new(pair: Option<Pair>, public: &PublicKey, not_before_unix: i64) -> Result<Self, String> {
        let rejected = |error| format!("the public key is not good: {error}");
        let (algorithm, name, members, parsed) = match public {
            PublicKey::P256(point) => {
                let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
                let members = format!(r#""crv":"P-256","kty":"EC","x":"{x}","y":"{y}""#);
                (Signing::ES256, "ES256", members, ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point))
            }
            PublicKey::Ed25519(point) => {
                let members = format!(r#""crv":"Ed25519","kty":"OKP","x":"{}""#, BASE64.encode(point));
                (Signing::EdDSA, "EdDSA", members, ParsedPublicKey::new(&ED25519, point))
            }
        };
        // The thumbprint of RFC 7638: the members that make the key, in the order of their names.
        let id = BASE64.encode(digest(&SHA256, format!("{{{members}}}").as_bytes()));
        Ok(Self {
            header: BASE64.encode(format!(r#"{{"alg":"{name}","typ":"JWT","kid":"{id}"}}"#)),
            jwk: format!(r#"{{{members},"alg":"{name}","kid":"{id}","use":"sig"}}"#),
            public: parsed.map_err(rejected)?,
            not_before_unix,
            pair,
            algorithm,
        })
    }

    fn open(&self, signed: &str, signature: &str) -> Result<Signed, TokenRefusal> {
        if signature.len() != SIGNATURE_LENGTH {
            return Err(TokenRefusal::Signature);
        }
        let signature = BASE64.decode(signature).map_err(|_| TokenRefusal::Signature)?;
        self.public.verify_sig(signed.as_bytes(), &signature).map_err(|_| TokenRefusal::Signature)?;
        let payload = signed.rsplit_once('.').ok_or(TokenRefusal::Format)?.1;
        let payload = BASE64.decode(payload).map_err(|_| TokenRefusal::Format)?;
        // Of one token there may be many signatures (ECDSA), and what they sign is the same.
        let mut same_for_all = [0; 32];
        same_for_all.copy_from_slice(digest(&SHA256, signed.as_bytes()).as_ref());
        Ok(Signed { payload, generation: 0, signature: same_for_all })
    }
}

impl Pair {
    pub(super) fn public(&self) -> Option<PublicKey> {
        match self {
            Self::P256(pair) => pair.public_key().as_ref().try_into().ok().map(PublicKey::P256),
            Self::Ed25519(pair) => pair.public_key().as_ref().try_into().ok().map(PublicKey::Ed25519),
        }
    }

    /// `None` when the library has no randomness to sign with.
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signature = match self {
            Self::P256(pair) => pair.sign(&SystemRandom::new(), message).ok()?,
            Self::Ed25519(pair) => pair.try_sign(message).ok()?,
        };
        Some(signature.as_ref().to_vec())
    }
}

/// The keys of session tokens: HMAC as with Nakama, or those that others can check.
pub(super) struct SessionKeys {
    /// Signs match tokens always.
    pub(super) shared: Keys,
    pub(super) signing: SigningKeys,
}

impl SessionKeys {
    /// The token that carries `payload`. `now` in seconds since 1970.
    pub(super) fn sign(&self, payload: &str, now: i64) -> String {
        let Some(published) = &self.signing.0 else { return self.shared.sign(payload) };
        let Some((key, pair)) = published.current_or_first(now) else { return String::new() };
        let mut token = String::with_capacity(key.header.len() + payload.len() * 4 / 3 + SIGNATURE_LENGTH + 5);
        token.push_str(&key.header);
        token.push('.');
        BASE64.encode_string(payload, &mut token);
        // A token without a signature is refused everywhere.
        let signature = pair.sign(token.as_bytes()).unwrap_or_else(|| {
            tracing::error!("a session token could not be signed");
            Vec::new()
        });
        token.push('.');
        BASE64.encode_string(signature, &mut token);
        token
    }

    /// How long the token that carries `payload` is.
    pub(super) fn token_bytes(&self, payload: &str) -> usize {
        let Some(published) = &self.signing.0 else { return self.shared.token_bytes(payload) };
        let header = published.keys.iter().map(|key| key.header.len()).max().unwrap_or(0);
        header + (payload.len() * 4).div_ceil(3) + SIGNATURE_LENGTH + 2
    }

    /// Adds what others look for: `iss`, `aud`, `sub`. HMAC tokens have exactly Nakama's claims.
    pub(super) fn add_claims(&self, payload: &mut String, user_id: Uuid) {
        let Some(published) = &self.signing.0 else { return };
        if payload.pop().is_some() {
            let _ = write!(payload, "{},\"sub\":\"{user_id}\"}}", published.names);
        }
    }

    /// Takes a token apart. The header says which key it must stand up to, and is compared as a whole: what is not the header of
    /// one of our keys is an HMAC token, or none.
    pub(super) fn open(&self, token: &str) -> Result<Signed, TokenRefusal> {
        let Some(published) = &self.signing.0 else { return self.shared.open(token) };
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenRefusal::Format)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenRefusal::Format)?;
        if payload.contains('.') {
            return Err(TokenRefusal::Format);
        }
        match published.keys.iter().find(|key| key.header == header) {
            Some(key) => key.open(signed, signature),
            None if published.accepts_hs256 => self.shared.open(token),
            None => Err(TokenRefusal::Algorithm),
        }
    }

    /// The public keys as a JWK set; empty under HMAC.
    pub(super) fn key_set(&self) -> &str {
        self.signing.0.as_ref().map_or("{\"keys\":[]}", |published| &published.key_set)
    }
}

#[cfg(test)]
#[path = "signing_tests.rs"]
mod tests;
