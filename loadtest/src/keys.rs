//! RSA key pairs that sign identity tokens, and the key set that lets a server verify them.

use aws_lc_rs::{
    digest,
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A private key with the name that its public half has in the key set.
#[derive(Debug)]
pub struct SigningKey {
    pair: RsaKeyPair,
    /// The key's id, in the header of each token.
    pub kid: String,
}

impl SigningKey {
    /// A fresh RSA key of 2048 bits.
    ///
    /// # Errors
    /// The system gave no randomness.
    pub fn generate() -> Result<Self, String> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| "no key could be made".to_owned())?;
        Ok(Self::named(pair))
    }

    /// Reads a private key: PEM, PKCS #8 (`PRIVATE KEY`) or PKCS #1 (`RSA PRIVATE KEY`).
    ///
    /// # Errors
    /// There is no such file, or no such key in it.
    pub fn read(file: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        Self::parse(&text).map_err(|error| format!("{}: {error}", file.display()))
    }

    fn parse(pem: &str) -> Result<Self, String> {
        let pair = match (pem_body(pem, "PRIVATE KEY")?, pem_body(pem, "RSA PRIVATE KEY")?) {
            (Some(der), _) => RsaKeyPair::from_pkcs8(&der),
            (None, Some(der)) => RsaKeyPair::from_der(&der),
            (None, None) => return Err("holds no PEM block PRIVATE KEY or RSA PRIVATE KEY".into()),
        };
        Ok(Self::named(pair.map_err(|error| error.to_string())?))
    }

    /// The id follows from the key, so that a key read again has the same.
    fn named(pair: RsaKeyPair) -> Self {
        let kid = STANDARD.encode(digest::digest(&digest::SHA256, pair.public_key().as_ref()));
        Self { pair, kid }
    }

    /// The private key in PKCS #8, PEM.
    ///
    /// # Errors
    /// The key cannot be written in that form.
    pub fn to_pem(&self) -> Result<String, String> {
        let der: Pkcs8V1Der<'_> = self.pair.as_der().map_err(|_| "the key has no PKCS #8 form".to_owned())?;
        let encoded = STANDARD.encode(der.as_ref());
        let lines: Vec<_> = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        Ok(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")))
    }

    /// The key set (RFC 7517) with the public key.
    pub fn to_jwks(&self) -> String {
        format!("{:#}\n", serde_json::json!({ "keys": [self.to_jwk()] }))
    }

    /// The public key as a JWK.
    pub fn to_jwk(&self) -> serde_json::Value {
        let public = self.pair.public_key();
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        serde_json::json!({
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.kid,
            "n": number(public.modulus().big_endian_without_leading_zero()),
            "e": number(public.exponent().big_endian_without_leading_zero()),
        })
    }

    /// Writes `private.pem`, which only its owner may read, and the key set `jwks.json` to `folder`, which is made when it is not there.
    /// Returns the two files.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(PathBuf, PathBuf), String> {
        let told = |error: std::io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(folder).map_err(told)?;
        let (private, public) = (folder.join("private.pem"), folder.join("jwks.json"));
        write_secret(&private, &self.to_pem()?).map_err(told)?;
        fs::write(&public, self.to_jwks()).map_err(told)?;
        Ok((private, public))
    }

    /// The token `header.claims.signature` (RFC 7515, RS256).
    ///
    /// # Errors
    /// Signing failed.
    pub fn sign(&self, header: &serde_json::Value, claims: &serde_json::Value) -> Result<String, String> {
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut token = format!("{}.{}", part(header), part(claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature)
            .map_err(|_| "a token could not be signed".to_owned())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

fn write_secret(file: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(file)?.write_all(text.as_bytes())
}

/// The decoded content of the first PEM block with this label.
fn pem_body(pem: &str, label: &str) -> Result<Option<Vec<u8>>, String> {
    let Some((_, rest)) = pem.split_once(&format!("-----BEGIN {label}-----")) else { return Ok(None) };
    let (body, _) = rest.split_once("-----END ").ok_or("the PEM block has no end")?;
    let body: String = body.split_whitespace().collect();
    STANDARD.decode(body).map(Some).map_err(|error| format!("PEM: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
    use serde_json::{Value, json};

    #[test]
    fn a_written_key_is_read_back_under_the_same_id() {
        let key = SigningKey::generate().unwrap();
        let again = SigningKey::parse(&key.to_pem().unwrap()).unwrap();
        assert_eq!((key.kid.len(), &key.kid, key.to_jwks()), (44, &again.kid, again.to_jwks()));
    }

    #[test]
    fn the_key_set_verifies_what_the_key_signs() {
        let key = SigningKey::generate().unwrap();
        let token = key.sign(&json!({"alg": "RS256"}), &json!({"sub": "me"})).unwrap();
        let set: Value = serde_json::from_str(&key.to_jwks()).unwrap();
        let number = |name: &str| URL_SAFE_NO_PAD.decode(set["keys"][0][name].as_str().unwrap()).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let public = RsaPublicKeyComponents { n: number("n"), e: number("e") };
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        public.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature).unwrap();
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        for text in ["", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"]
        {
            assert!(SigningKey::parse(text).is_err());
        }
    }
}
