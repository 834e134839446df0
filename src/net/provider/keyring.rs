//! The development provider's RSA keys: two at a time, as Cognito has them, kept in one PEM file that only its owner can read.

use super::tokens::TokenUse;
use crate::config::write_private;
use aws_lc_rs::{
    digest::{SHA256, digest},
    encoding::AsDer,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Rotations whose keys stay published.
const MAX_GENERATIONS: usize = 4;
const KEYS_FILE: &str = "keys.pem";
const ISSUER_FILE: &str = "issuer";
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// What a signature is for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Access,
    Id,
    /// OpenID Connect Back-Channel Logout 1.0 section 2.4: the keys of ID tokens, and `typ`.
    Logout,
}

impl From<TokenUse> for Purpose {
    fn from(kind: TokenUse) -> Self {
        match kind {
            TokenUse::Access => Self::Access,
            TokenUse::Id => Self::Id,
        }
    }
}

/// One key pair with its id.
struct SigningKey {
    id: String,
    pair: RsaKeyPair,
}

/// What one rotation makes: ID and access tokens are signed by different keys.
struct Generation {
    id: SigningKey,
    access: SigningKey,
}

/// All keys, oldest generation first; the last one signs.
pub(super) struct KeyRing {
    dir: PathBuf,
    older: Vec<Arc<Generation>>,
    current: Arc<Generation>,
}

impl KeyRing {
    /// The keys in `dir`, made when there are none.
    pub(super) fn load_or_create(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut older = match fs::read_to_string(dir.join(KEYS_FILE)) {
            Ok(text) => read_generations(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        if let Some(current) = older.pop() {
            return Ok(Self { dir: dir.to_owned(), older, current });
        }
        let ring = Self { dir: dir.to_owned(), older, current: Arc::new(Generation::new()?) };
        ring.store()?;
        Ok(ring)
    }

    /// The ring with new keys in front, stored.
    pub(super) fn rotated(&self) -> io::Result<Self> {
        let mut older = self.older.clone();
        older.push(Arc::clone(&self.current));
        let surplus = (older.len() + 1).saturating_sub(MAX_GENERATIONS);
        older.drain(..surplus);
        let ring = Self { dir: self.dir.clone(), older, current: Arc::new(Generation::new()?) };
        ring.store()?;
        Ok(ring)
    }

    /// Keeps the issuer for a process that mints later.
    pub(super) fn remember_issuer(&self, issuer: &str) -> io::Result<()> {
        write_private(&self.dir.join(ISSUER_FILE), issuer.as_bytes())
    }

    pub(super) fn last_issuer(&self) -> Option<String> {
        fs::read_to_string(self.dir.join(ISSUER_FILE)).ok().filter(|issuer| !issuer.is_empty())
    }

    /// A compact token (RFC 7515 section 3.1) with Cognito's header: `kid` and `alg`; logout tokens have `typ` too.
    pub(super) fn sign(&self, purpose: Purpose, claims: &Value) -> io::Result<String> {
        let key = match purpose {
            Purpose::Access => &self.current.access,
            Purpose::Id | Purpose::Logout => &self.current.id,
        };
        let mut header = json!({ "kid": key.id, "alg": "RS256" });
        if matches!(purpose, Purpose::Logout) {
            header["typ"] = "logout+jwt".into();
        }
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut signature = vec![0; key.pair.public_modulus_len()];
        let done = key.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature);
        done.map_err(io::Error::other)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The public keys, newest first.
    pub(super) fn public(&self) -> Value {
        let generations = std::iter::once(&self.current).chain(self.older.iter().rev());
        let keys: Vec<_> =
            generations.flat_map(|generation| [generation.id.public(), generation.access.public()]).collect();
        json!({ "keys": keys })
    }

    fn store(&self) -> io::Result<()> {
        let mut text = String::from("Kizuna development provider: signs in anybody. Never use these keys elsewhere.\n");
        for generation in self.older.iter().chain([&self.current]) {
            for key in [&generation.id, &generation.access] {
                text.push_str(&key.pem()?);
            }
        }
        write_private(&self.dir.join(KEYS_FILE), text.as_bytes())
    }
}

impl Generation {
    fn new() -> io::Result<Self> {
        Ok(Self { id: SigningKey::new()?, access: SigningKey::new()? })
    }
}

impl SigningKey {
    fn new() -> io::Result<Self> {
        Self::of(RsaKeyPair::generate(KeySize::Rsa2048).map_err(io::Error::other)?)
    }

    /// The id is as long as Cognito's, and as unfit for a path: base64 of 32 bytes, here the SHA-256 of the public key.
    fn of(pair: RsaKeyPair) -> io::Result<Self> {
        let public = pair.public_key().as_der().map_err(io::Error::other)?;
        Ok(Self { id: STANDARD.encode(digest(&SHA256, public.as_ref())), pair })
    }

    fn public(&self) -> Value {
        let key = self.pair.public_key();
        let (n, e) = (key.modulus(), key.exponent());
        json!({
            "alg": "RS256",
            "e": URL_SAFE_NO_PAD.encode(e.big_endian_without_leading_zero()),
            "kid": self.id,
            "kty": "RSA",
            "n": URL_SAFE_NO_PAD.encode(n.big_endian_without_leading_zero()),
            "use": "sig",
        })
    }

    /// PKCS #8 in PEM (RFC 7468 section 10).
    fn pem(&self) -> io::Result<String> {
        let der = self.pair.as_der().map_err(io::Error::other)?;
        let base64 = STANDARD.encode(der.as_ref());
        let lines = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n");
        Ok(format!("{BEGIN}\n{lines}\n{END}\n"))
    }

    fn from_pem(block: &str) -> io::Result<Self> {
        let base64: String = block.split_whitespace().collect();
        let der = STANDARD.decode(base64).map_err(io::Error::other)?;
        Self::of(RsaKeyPair::from_pkcs8(&der).map_err(io::Error::other)?)
    }
}

/// The keys of a PEM file: for each generation that of ID tokens, then that of access tokens.
fn read_generations(text: &str) -> io::Result<Vec<Arc<Generation>>> {
    let blocks = text.split(BEGIN).skip(1).map(|rest| rest.split_once(END).map(|(block, _)| block));
    let keys = blocks.map(|block| block.ok_or_else(broken).and_then(SigningKey::from_pem));
    let mut keys = keys.collect::<io::Result<Vec<_>>>()?.into_iter();
    let mut generations = Vec::new();
    while let Some(id) = keys.next() {
        let access = keys.next().ok_or_else(broken)?;
        generations.push(Arc::new(Generation { id, access }));
    }
    Ok(generations)
}

fn broken() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{KEYS_FILE} of the development provider is broken; delete it for new keys"),
    )
}
