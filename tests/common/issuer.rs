//! An identity provider's key and the tokens that it signs.

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kizuna::{
    clock::Clock,
    config::{Audience, AudienceClaim, KeySource, TokenType, TrustEntry},
};
use serde_json::{Value, json};

/// The client application that its tokens are for.
pub const CLIENT: &str = "game-client";

/// An issuer with one RSA key.
pub struct Issuer {
    name: &'static str,
    key: RsaKeyPair,
}

impl Issuer {
    pub fn new(name: &'static str) -> Self {
        Self { name, key: RsaKeyPair::generate(KeySize::Rsa2048).expect("a key") }
    }

    /// Its key set as JSON text.
    pub fn key_set(&self) -> String {
        let (n, e) = (self.key.public_key().modulus(), self.key.public_key().exponent());
        let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
        json!({ "keys": [{ "kty": "RSA", "kid": "rsa", "alg": "RS256", "use": "sig", "n": encode(n), "e": encode(e) }] })
            .to_string()
    }

    /// An entry for its access tokens.
    pub fn entry(&self, name: &str, jwks: KeySource) -> TrustEntry {
        TrustEntry {
            name: name.into(),
            issuers: vec![self.name.into()],
            jwks,
            audience: Audience { claim: AudienceClaim::ClientId, any_of: vec![CLIENT.into()] },
            token_type: TokenType { claim: "token_use".into(), equals: "access".into(), ..TokenType::default() },
            ..TrustEntry::default()
        }
    }

    /// [`Issuer::entry`] with the key set in it.
    pub fn inline(&self, name: &str) -> TrustEntry {
        self.entry(name, KeySource::Inline(self.key_set()))
    }

    /// A good token for `subject`, except that the members of `change` take the place of its claims.
    pub fn token(&self, subject: &str, change: &Value) -> String {
        let now = Clock::system().unix_seconds();
        let mut claims = json!({
            "sub": subject, "iss": self.name, "client_id": CLIENT, "token_use": "access", "iat": now, "exp": now + 600,
        });
        for (name, value) in change.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        self.seal(&json!({ "kid": "rsa", "alg": "RS256" }), &claims)
    }

    /// A signed token of exactly these parts.
    pub fn seal(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let mut signature = vec![0; self.key.public_modulus_len()];
        let random = SystemRandom::new();
        self.key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).expect("signs");
        format!("{signed}.{}", encode(signature))
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
