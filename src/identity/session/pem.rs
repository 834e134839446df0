//! Signing keys in PEM files (RFC 7468): private keys as PKCS #8, public ones as SubjectPublicKeyInfo.

use super::signing::Pair;
use crate::config::{Signing, write_private};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::{
    fs,
    io::{self, Read},
    path::Path,
};

const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";
/// What stands before the point in the SubjectPublicKeyInfo of a P-256 key (RFC 5480 section 2).
pub(super) const P256_INFO: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The same of an Ed25519 key (RFC 8410 section 4).
const ED25519_INFO: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const FORM: &str = "allowed is a PEM file with one P-256 or Ed25519 key: PKCS #8 (BEGIN PRIVATE KEY), or, for a key that only \
                    verifies, BEGIN PUBLIC KEY";
/// Bytes of a key file that are read.
const LONGEST_FILE: u64 = 65_536;

/// A public key, as its point: uncompressed, or as RFC 8032 writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    P256([u8; 65]),
    Ed25519([u8; 32]),
}

/// The key in a file. What is wrong with it names no part of it.
pub(super) fn read(path: &Path) -> Result<(Option<Pair>, PublicKey), String> {
    let shown = path.display();
    let text = read_text(path).map_err(|error| format!("{shown}: {error}"))?;
    parse(&text).ok_or_else(|| format!("{FORM}; {shown} is none"))
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(LONGEST_FILE).read_to_string(&mut text)?;
    Ok(text)
}

/// The key that is kept in the data folder, made when it is not there.
pub(super) fn kept(data_dir: &Path, algorithm: Signing) -> Result<(Pair, PublicKey), String> {
    let folder = data_dir.join("session_keys");
    let path = folder.join(if algorithm == Signing::EdDSA { "eddsa.pem" } else { "es256.pem" });
    if !path.exists() {
        let made = make(algorithm).ok_or_else(|| "no key can be made".to_owned())?;
        let stored = fs::create_dir_all(&folder).and_then(|()| write_private(&path, made.as_bytes()));
        stored.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    match read(&path)? {
        (Some(pair), public) => Ok((pair, public)),
        (None, _) => Err(format!("{FORM}; {} cannot sign", path.display())),
    }
}

fn make(algorithm: Signing) -> Option<String> {
    let random = SystemRandom::new();
    let der = match algorithm {
        Signing::EdDSA => Ed25519KeyPair::generate_pkcs8v1(&random).ok()?,
        Signing::ES256 | Signing::HS256 => {
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).ok()?
        }
    };
    let base64 = BASE64_STANDARD.encode(der.as_ref());
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    Some(format!("-----BEGIN {PRIVATE}-----\n{}\n-----END {PRIVATE}-----\n", lines.join("\n")))
}

fn parse(text: &str) -> Option<(Option<Pair>, PublicKey)> {
    if let Some(der) = block(text, PRIVATE) {
        let pair = private(&der)?;
        let public = pair.public()?;
        return Some((Some(pair), public));
    }
    public(&block(text, PUBLIC)?).map(|key| (None, key))
}

/// The first block under `label`, decoded.
fn block(text: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let base64: String = body.split_whitespace().collect();
    BASE64_STANDARD.decode(base64).ok()
}

fn private(der: &[u8]) -> Option<Pair> {
    let p256 = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).ok().map(Pair::P256);
    // "Maybe unchecked": OpenSSL leaves the public key out, so there may be nothing to check the private one against.
    p256.or_else(|| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Pair::Ed25519))
}

fn public(der: &[u8]) -> Option<PublicKey> {
    if let Some(point) = der.strip_prefix(P256_INFO) {
        return point.try_into().ok().filter(|point: &[u8; 65]| point[0] == 4).map(PublicKey::P256);
    }
    der.strip_prefix(ED25519_INFO)?.try_into().ok().map(PublicKey::Ed25519)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pair of RFC 8410 section 10.
    const RFC_PRIVATE: &str = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC";
    const RFC_PUBLIC: &str = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";

    fn pem(label: &str, base64: &str) -> String {
        format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
    }

    #[test]
    fn keys_are_read_as_openssl_writes_them() {
        let (pair, public) = parse(&pem(PRIVATE, RFC_PRIVATE)).expect("PKCS #8 without the public key");
        let (none, same) = parse(&pem(PUBLIC, RFC_PUBLIC)).expect("SubjectPublicKeyInfo");
        assert!(pair.is_some() && none.is_none() && public == same);
        let commented = format!("made by hand\n{}", pem(PRIVATE, RFC_PRIVATE).replace('\n', "\r\n"));
        assert!(parse(&commented).is_some());
        let made = make(Signing::ES256).and_then(|text| parse(&text)).expect("what we make we read");
        assert!(matches!(made, (Some(Pair::P256(_)), PublicKey::P256(_))));
    }

    #[test]
    fn what_is_no_such_key_is_refused_without_saying_what_it_was() {
        let (dir, half) = (tempfile::tempdir().unwrap(), &RFC_PRIVATE[..40]);
        let broken = [pem(PRIVATE, RFC_PUBLIC), pem(PUBLIC, RFC_PRIVATE), pem("EC PRIVATE KEY", RFC_PRIVATE)];
        let cut = [pem(PRIVATE, half), "-----BEGIN PRIVATE KEY-----".into(), "x".into(), String::new()];
        for text in broken.iter().chain(&cut) {
            let path = dir.path().join("key.pem");
            fs::write(&path, text).unwrap();
            let said = read(&path).err().unwrap_or_default();
            assert!(said.contains("PKCS #8") && said.contains("key.pem") && !said.contains("MC"), "{said}");
        }
        assert!(read(&dir.path().join("none")).err().is_some_and(|said| said.contains("none")));
    }
}
