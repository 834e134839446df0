//! Key sets (RFC 7517): which keys of a set can be used, each bound to its one algorithm, parsed once.

use super::jwt::{MAX_KEY_ID_BYTES, Signature};
use crate::config::{Algorithm, TENANT_PLACEHOLDER};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use parking_lot::RwLock;
use serde_json::{Map, Value};
use std::{collections::HashMap, fmt, sync::Arc};

/// Bits that an RSA modulus may have: fewer are broken, more cost too much to verify.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;
/// Bytes of an ES256 or EdDSA signature: r and s, or R and S (RFC 7518 section 3.4, RFC 8032 section 5.1.6).
const FIXED_SIGNATURE_BYTES: usize = 64;

/// Why a key set as a whole cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is longer than allowed.
    #[error("the key set is larger than identity.jwks_max_bytes")]
    TooLarge,
    /// It is not a JSON object with a list `keys`.
    #[error("the key set is not a JSON object with a list \"keys\"")]
    Malformed,
    /// Not one of its keys can be used.
    #[error("the key set has no usable key")]
    NoUsableKey,
}

/// A public key with its one algorithm.
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    public: DecodingKey,
    /// The member `issuer` that Entra ID gives its keys: whose tokens the key signs, possibly with a placeholder for the tenant.
    issuer: Option<Box<str>>,
}

impl Key {
    /// Whether the key may sign tokens of `issuer` for `tenant`, their claim `tid`.
    ///
    /// Source: Microsoft identity platform, "Secure applications and APIs by validating claims", "Validate the signing key issuer".
    pub(super) fn signs_for(&self, issuer: &str, tenant: Option<&str>) -> bool {
        let Some(own) = &self.issuer else { return true };
        match own.split_once(TENANT_PLACEHOLDER) {
            None => **own == *issuer,
            Some((before, after)) => {
                let rest = issuer.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
                rest.is_some() && rest == tenant
            }
        }
    }

    /// Whether `signature`, base64url, is this key's over `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &Signature<'_>) -> bool {
        let (fits, algorithm) = match self.algorithm {
            // The library compares the length with the modulus.
            Algorithm::RS256 => (true, jsonwebtoken::Algorithm::RS256),
            Algorithm::ES256 => (signature.bytes == FIXED_SIGNATURE_BYTES, jsonwebtoken::Algorithm::ES256),
            Algorithm::EdDSA => (signature.bytes == FIXED_SIGNATURE_BYTES, jsonwebtoken::Algorithm::EdDSA),
        };
        fits && jsonwebtoken::crypto::verify(signature.text, message, &self.public, algorithm).unwrap_or(false)
    }
}

/// The usable keys of one set, by key id. Never changed: a new set takes its place.
#[derive(Default)]
pub struct Keys {
    by_id: HashMap<String, Key>,
}

impl Keys {
    /// Reads a key set of at most `max_bytes`, and of its usable keys the first `max_keys`. Keys that cannot be used (another
    /// type or algorithm, for encryption, weak, without id, with their private part) are left out and harm no other.
    ///
    /// # Errors
    /// The set is too large, malformed, or has no usable key.
    pub fn parse(text: &[u8], max_bytes: usize, max_keys: usize) -> Result<Self, KeySetError> {
        if text.len() > max_bytes {
            return Err(KeySetError::TooLarge);
        }
        let set: Map<String, Value> = serde_json::from_slice(text).map_err(|_| KeySetError::Malformed)?;
        let list = set.get("keys").and_then(Value::as_array).ok_or(KeySetError::Malformed)?;
        let mut by_id: HashMap<String, Key> = HashMap::new();
        let mut twice = Vec::new();
        for (id, key) in list.iter().filter_map(usable).take(max_keys) {
            if by_id.insert(id.clone(), key).is_some() {
                twice.push(id);
            }
        }
        // Which of two keys with one id is meant cannot be told.
        for id in twice {
            by_id.remove(&id);
        }
        if by_id.is_empty() { Err(KeySetError::NoUsableKey) } else { Ok(Self { by_id }) }
    }

    /// How many keys can be used.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn get(&self, id: &str) -> Option<&Key> {
        self.by_id.get(id)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_id.keys()).finish()
    }
}

/// Keys that somebody in this process holds and may exchange, such as the development provider.
#[derive(Clone, Debug, Default)]
pub struct HeldKeys {
    /// Guards the pointer alone; it is never held while keys are used.
    current: Arc<RwLock<Arc<Keys>>>,
}

impl HeldKeys {
    /// Takes `keys` in place of those before; verifications under way finish with the old ones.
    pub fn replace(&self, keys: Keys) {
        *self.current.write() = Arc::new(keys);
    }

    pub(super) fn current(&self) -> Arc<Keys> {
        Arc::clone(&self.current.read())
    }
}

/// One key of a set, if it can be used for one of our algorithms.
fn usable(jwk: &Value) -> Option<(String, Key)> {
    let jwk = jwk.as_object()?;
    let id = text(jwk, "kid").filter(|id| (1..=MAX_KEY_ID_BYTES).contains(&id.len()))?;
    let for_signatures = jwk.get("use").is_none_or(|usage| usage == "sig");
    let for_verifying =
        jwk.get("key_ops").is_none_or(|ops| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify")));
    // A set that publishes a private part has given that key away.
    if !for_signatures || !for_verifying || jwk.contains_key("d") {
        return None;
    }
    let issuer = match jwk.get("issuer") {
        None => None,
        Some(issuer) => Some(issuer.as_str()?.into()),
    };
    let key = match text(jwk, "kty")? {
        "RSA" => rsa(jwk),
        "EC" => p256(jwk),
        "OKP" => ed25519(jwk),
        _ => None,
    }?;
    Some((id.to_owned(), Key { issuer, ..key }))
}

fn rsa(jwk: &Map<String, Value>) -> Option<Key> {
    says(jwk, "alg", &["RS256"])?;
    let (modulus, exponent) = (number(jwk, "n")?, number(jwk, "e")?);
    let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    // At least 65537 and at most 32 bits: small exponents have a history, large ones only cost.
    let sound = exponent.as_slice() == [1, 0, 1] || (exponent.len() == 3 && exponent[0] > 0) || exponent.len() == 4;
    if !RSA_BITS.contains(&bits) || !odd(&modulus) || !odd(&exponent) || !sound {
        return None;
    }
    let public = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
    Some(Key { algorithm: Algorithm::RS256, public, issuer: None })
}

fn p256(jwk: &Map<String, Value>) -> Option<Key> {
    says(jwk, "alg", &["ES256"])?;
    text(jwk, "crv").filter(|curve| *curve == "P-256")?;
    let point = [&[4], coordinate(jwk, "x")?.as_slice(), coordinate(jwk, "y")?.as_slice()].concat();
    // Found at load, not at verify: a point that is not on the curve.
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?;
    let public = DecodingKey::from_ec_components(text(jwk, "x")?, text(jwk, "y")?).ok()?;
    Some(Key { algorithm: Algorithm::ES256, public, issuer: None })
}

fn ed25519(jwk: &Map<String, Value>) -> Option<Key> {
    says(jwk, "alg", &["EdDSA", "Ed25519"])?;
    text(jwk, "crv").filter(|curve| *curve == "Ed25519")?;
    let point = coordinate(jwk, "x")?;
    if has_small_order(&point) {
        return None;
    }
    ParsedPublicKey::new(&ED25519, point).ok()?;
    let public = DecodingKey::from_ed_components(text(jwk, "x")?).ok()?;
    Some(Key { algorithm: Algorithm::EdDSA, public, issuer: None })
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    jwk.get(name)?.as_str()
}

/// A member that may be left out, but must not say otherwise.
fn says(jwk: &Map<String, Value>, name: &str, allowed: &[&str]) -> Option<()> {
    match jwk.get(name) {
        None => Some(()),
        Some(value) => value.as_str().filter(|value| allowed.contains(value)).map(|_| ()),
    }
}

/// A Base64urlUInt; leading zero bytes, which some write, are dropped.
fn number(jwk: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text(jwk, name)?).ok()?;
    let start = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes[start..].to_vec())
}

/// 32 bytes, as P-256 and Ed25519 have them.
fn coordinate(jwk: &Map<String, Value>, name: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text(jwk, name)?).ok()?.try_into().ok()
}

/// Whether an Ed25519 point is one of the eight whose order divides the cofactor, in any encoding. Under such a key one
/// signature fits many messages.
fn has_small_order(point: &[u8; 32]) -> bool {
    const ORDER_8: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
            0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
            0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    // The sign of x is the top bit; each of the points counts with both.
    let mut y = *point;
    y[31] &= 0x7f;
    let all = |middle: u8| y[1..31].iter().all(|byte| *byte == middle);
    // y is 0 or 1; or p - 1, p or p + 1 with p = 2^255 - 19.
    let low = all(0) && y[31] == 0 && y[0] <= 1;
    let high = all(0xff) && y[31] == 0x7f && (0xec..=0xee).contains(&y[0]);
    low || high || ORDER_8.contains(&y)
}
