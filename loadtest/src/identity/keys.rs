//! The private keys of the conformance kit, and tokens of any shape signed with them. They are published on purpose: whoever
//! trusts them outside of a test trusts everybody.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt::Display};

/// A key file's text: PKCS #8 in base64, by name.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeyFile {
    /// What they are, for whoever opens the file.
    pub note: String,
    /// The issuer's RSA key.
    pub rsa: String,
    /// Another RSA key of the issuer, which the set publishes without `alg` and `use`.
    pub bare: String,
    /// The RSA key of another trusted issuer.
    pub other: String,
    /// An RSA key that nobody publishes for signing.
    pub stranger: String,
    /// A P-256 key.
    pub ec: String,
    /// An Ed25519 key.
    pub ed: String,
    /// Keys too weak for a good library to sign with, each with the token that was made with it elsewhere.
    #[serde(default)]
    pub weak: Vec<WeakKey>,
}

/// A weak key's public half and the standard token of the kit signed with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WeakKey {
    /// Its JWK.
    pub jwk: Value,
    /// Why it is weak, in a few words.
    pub why: String,
    /// The token.
    pub token: String,
}

impl KeyFile {
    /// Fresh keys. The weak ones are not among them.
    ///
    /// # Errors
    /// The system gave no randomness.
    pub fn generate() -> Result<Self, String> {
        let random = SystemRandom::new();
        let rsa = || -> Result<String, String> {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(unmade)?;
            let der: Pkcs8V1Der<'_> = pair.as_der().map_err(unmade)?;
            Ok(STANDARD.encode(der.as_ref()))
        };
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).map_err(unmade)?;
        let ed = Ed25519KeyPair::generate_pkcs8(&random).map_err(unmade)?;
        Ok(Self {
            note: "Test keys, published on purpose. Never trust them outside of a test.".into(),
            rsa: rsa()?,
            bare: rsa()?,
            other: rsa()?,
            stranger: rsa()?,
            ec: STANDARD.encode(ec),
            ed: STANDARD.encode(ed),
            weak: Vec::new(),
        })
    }
}

/// The keys, ready to sign.
#[derive(Debug)]
pub struct TestKeys {
    /// The issuer's RSA key.
    pub rsa: RsaKeyPair,
    /// Published without `alg` and `use`.
    pub bare: RsaKeyPair,
    /// Of another trusted issuer.
    pub other: RsaKeyPair,
    /// Of nobody.
    pub stranger: RsaKeyPair,
    /// P-256.
    pub ec: EcdsaKeyPair,
    /// Ed25519.
    pub ed: Ed25519KeyPair,
    /// Weak keys.
    pub weak: Vec<WeakKey>,
}

impl TestKeys {
    /// Reads the keys of a file.
    ///
    /// # Errors
    /// One of them is no such key.
    pub fn open(file: &KeyFile) -> Result<Self, String> {
        let der = |text: &str| STANDARD.decode(text).map_err(|error| error.to_string());
        let rsa = |text: &str| RsaKeyPair::from_pkcs8(&der(text)?).map_err(|error| error.to_string());
        Ok(Self {
            rsa: rsa(&file.rsa)?,
            bare: rsa(&file.bare)?,
            other: rsa(&file.other)?,
            stranger: rsa(&file.stranger)?,
            ec: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der(&file.ec)?)
                .map_err(|error| error.to_string())?,
            ed: Ed25519KeyPair::from_pkcs8(&der(&file.ed)?).map_err(|error| error.to_string())?,
            weak: file.weak.clone(),
        })
    }

    /// The P-256 key's JWK.
    pub fn ec_jwk(&self, kid: &str) -> Value {
        let point = self.ec.public_key().as_ref();
        json!({ "kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "use": "sig",
                "x": encode(&point[1..33]), "y": encode(&point[33..]) })
    }

    /// The Ed25519 key's JWK.
    pub fn ed_jwk(&self, kid: &str) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "alg": "EdDSA", "use": "sig", "x": encode(self.ed.public_key()) })
    }

    /// The signature of `by` over `message`.
    ///
    /// # Errors
    /// Signing failed.
    pub fn signature(&self, message: &str, by: By<'_>) -> Result<Vec<u8>, String> {
        let random = SystemRandom::new();
        Ok(match by {
            By::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).map_err(unmade)?;
                signature
            }
            By::Ec => self.ec.sign(&random, message.as_bytes()).map_err(unmade)?.as_ref().to_vec(),
            By::Ed => self.ed.sign(message.as_bytes()).as_ref().to_vec(),
            By::Hmac(secret) => {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes()).as_ref().to_vec()
            }
            By::Bytes(bytes) => bytes.to_vec(),
        })
    }

    /// A token of exactly these texts, signed by `by`.
    ///
    /// # Errors
    /// Signing failed.
    pub fn seal(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>, by: By<'_>) -> Result<String, String> {
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = encode(self.signature(&signed, by)?);
        Ok(format!("{signed}.{signature}"))
    }
}

/// What signs a token.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// RS256.
    Rsa(&'a RsaKeyPair),
    /// ES256 by the kit's key.
    Ec,
    /// EdDSA by the kit's key.
    Ed,
    /// HS256 with these bytes as the secret.
    Hmac(&'a [u8]),
    /// These bytes are the signature.
    Bytes(&'a [u8]),
}

/// An RSA key's JWK.
pub fn rsa_jwk(kid: &str, key: &RsaKeyPair) -> Value {
    let (n, e) = (key.public_key().modulus(), key.public_key().exponent());
    let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
    json!({ "kty": "RSA", "kid": kid, "alg": "RS256", "use": "sig", "n": encode(n), "e": encode(e) })
}

/// Base64url without padding.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `value` with the members of `change`; `null` removes one.
pub fn with(mut value: Value, change: &Value) -> Value {
    if let (Some(object), Some(change)) = (value.as_object_mut(), change.as_object()) {
        for (name, new) in change {
            match new {
                Value::Null => drop(object.remove(name)),
                new => drop(object.insert(name.clone(), new.clone())),
            }
        }
    }
    value
}

/// A JSON object with its names in order, however the library is built: tokens must come out the same every time.
pub fn written(object: &Value) -> String {
    let sorted: BTreeMap<_, _> = object.as_object().into_iter().flatten().collect();
    serde_json::to_string(&sorted).unwrap_or_default()
}

fn unmade(error: impl Display) -> String {
    format!("no key or signature could be made: {error}")
}
