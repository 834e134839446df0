//! Keys, tokens of any shape, and a verifier that trusts them.

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kizuna::{
    clock::Clock,
    config::{Audience, AudienceClaim, Identity, KeySource, TokenType, TrustEntry},
    identity::{Metrics, Reason, Refusal, Step, VerifiedIdentity, Verifier},
};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};

pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const ISSUER: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf123";
pub(crate) const OTHER_ISSUER: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Zyxwvu987";
pub(crate) const CLIENT: &str = "game-client";
pub(crate) const SUBJECT: &str = "5b1c7e2a-9d1f-4f0e-8a51-0d6f3a2b9c11";

pub(crate) static RSA: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"));
pub(crate) static OTHER_RSA: LazyLock<RsaKeyPair> =
    LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"));
pub(crate) static EC: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"));
pub(crate) static ED: LazyLock<Ed25519KeyPair> = LazyLock::new(|| Ed25519KeyPair::generate().expect("a key"));

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The public half as a JWK with `kid`, `alg` and `use`.
pub(crate) fn rsa_jwk(kid: &str, key: &RsaKeyPair) -> Value {
    let (n, e) = (key.public_key().modulus(), key.public_key().exponent());
    let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
    json!({ "kty": "RSA", "kid": kid, "alg": "RS256", "use": "sig", "n": encode(n), "e": encode(e) })
}

pub(crate) fn ec_jwk(kid: &str) -> Value {
    let point = EC.public_key().as_ref();
    json!({ "kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "x": encode(&point[1..33]), "y": encode(&point[33..]) })
}

pub(crate) fn ed_jwk(kid: &str) -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "alg": "EdDSA", "x": encode(ED.public_key()) })
}

pub(crate) fn key_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// What signs a token.
#[derive(Clone, Copy)]
pub(crate) enum By<'a> {
    Rsa(&'a RsaKeyPair),
    Ec,
    Ed,
    Hmac(&'a [u8]),
    /// These bytes are the signature.
    Bytes(&'a [u8]),
}

pub(crate) fn signature(message: &str, by: By<'_>) -> Vec<u8> {
    match by {
        By::Rsa(key) => {
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).expect("signs");
            signature
        }
        By::Ec => EC.sign(&SystemRandom::new(), message.as_bytes()).expect("signs").as_ref().to_vec(),
        By::Ed => ED.sign(message.as_bytes()).as_ref().to_vec(),
        By::Hmac(secret) => {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes()).as_ref().to_vec()
        }
        By::Bytes(bytes) => bytes.to_vec(),
    }
}

/// A token of exactly these texts, correctly signed by `by`.
pub(crate) fn seal(header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>, by: By<'_>) -> String {
    let signed = format!("{}.{}", encode(header), encode(payload));
    let signature = encode(signature(&signed, by));
    format!("{signed}.{signature}")
}

pub(crate) fn header() -> Value {
    json!({ "kid": "rsa", "alg": "RS256" })
}

/// Good claims of an access token.
pub(crate) fn claims() -> Value {
    json!({
        "sub": SUBJECT, "iss": ISSUER, "client_id": CLIENT, "token_use": "access", "username": "alice",
        "auth_time": NOW - 60, "iat": NOW - 60, "exp": NOW + 3_540, "jti": "j-1",
    })
}

/// `value` with the members of `change`; `null` removes one.
pub(crate) fn with(mut value: Value, change: &Value) -> Value {
    for (name, new) in change.as_object().expect("an object") {
        match new {
            Value::Null => drop(value.as_object_mut().expect("an object").remove(name)),
            new => value[name] = new.clone(),
        }
    }
    value
}

/// A good token with changed claims.
pub(crate) fn token(change: &Value) -> String {
    seal(header().to_string(), with(claims(), change).to_string(), By::Rsa(&RSA))
}

/// A good token with a changed header.
pub(crate) fn token_with_header(change: &Value) -> String {
    seal(with(header(), change).to_string(), claims().to_string(), By::Rsa(&RSA))
}

/// A good token, but its payload is exactly `payload`.
pub(crate) fn token_of(payload: impl AsRef<[u8]>) -> String {
    seal(header().to_string(), payload, By::Rsa(&RSA))
}

/// An entry for access tokens of [`ISSUER`], which has one RSA key, `rsa`.
pub(crate) fn entry() -> TrustEntry {
    TrustEntry {
        name: "pool".into(),
        issuers: vec![ISSUER.into()],
        jwks: KeySource::Inline(key_set(&[rsa_jwk("rsa", &RSA)])),
        audience: Audience { claim: AudienceClaim::ClientId, any_of: vec![CLIENT.into()] },
        token_type: TokenType { claim: "token_use".into(), equals: "access".into(), ..TokenType::default() },
        ..TrustEntry::default()
    }
}

pub(crate) fn trusting(entries: Vec<TrustEntry>) -> Identity {
    Identity { trust: entries, ..Identity::default() }
}

/// A verifier at [`NOW`].
pub(crate) struct Bridge {
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) clock: Clock,
}

impl Bridge {
    pub(crate) fn new() -> Self {
        Self::trusting(vec![entry()])
    }

    pub(crate) fn trusting(entries: Vec<TrustEntry>) -> Self {
        Self::with(&trusting(entries))
    }

    pub(crate) fn with(config: &Identity) -> Self {
        let clock = Clock::manual(NOW);
        let verifier = Verifier::new(config, &[], clock.clone(), Metrics::default()).expect("starts");
        Self { verifier, clock }
    }

    pub(crate) async fn accepts(&self, token: &str) -> VerifiedIdentity {
        self.verifier.verify(token).await.expect("a good token")
    }

    pub(crate) async fn refusal(&self, token: &str) -> Refusal {
        self.verifier.verify(token).await.expect_err("a token that must be refused")
    }

    pub(crate) async fn refuses(&self, token: &str, reason: Reason) {
        assert_eq!(self.refusal(token).await.reason, reason, "{token}");
    }

    pub(crate) async fn refuses_at(&self, token: &str, step: Step) {
        let refusal = self.refusal(token).await;
        assert_eq!(refusal.step(), step, "{refusal:?}: {token}");
    }
}
