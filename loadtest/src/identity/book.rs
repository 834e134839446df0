//! Writing cases down.

use super::{
    corpus::{ACCESS, Case, Entry, Expected, ID, TYPED},
    keys::{By, TestKeys, with, written},
};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, KeyPair, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
/// The kit's tokens are issued at the beginning of 2026 ...
pub(super) const ISSUED: i64 = 1_767_225_600;
/// ... and end with the year 2098.
pub(super) const ENDS: i64 = 4_070_908_800;
/// A time that has not come when anybody uses the kit.
pub(super) const FAR: i64 = 4_039_372_800;
/// Who is signed in by tokens that say nothing else.
pub(super) const SUBJECT: &str = "5b1c7e2a-9d1f-4f0e-8a51-0d6f3a2b9c11";

/// The cases written so far, and what signs them.
pub(super) struct Book<'a> {
    pub(super) keys: &'a TestKeys,
    cases: Vec<Case>,
    /// An earlier edition. ES256 signatures differ each time: one that is there is kept.
    earlier: &'a [Case],
}

/// A case before its token is there.
pub(super) struct Draft<'a> {
    pub(super) name: String,
    pub(super) says: &'a str,
    pub(super) rows: &'a [&'a str],
    pub(super) entry: &'static Entry,
}

impl<'a> Book<'a> {
    pub(super) fn new(keys: &'a TestKeys, earlier: &'a [Case]) -> Self {
        Self { keys, cases: Vec::new(), earlier }
    }

    pub(super) fn cases(self) -> Vec<Case> {
        self.cases
    }

    /// A token that is accepted and signs `subject` in.
    pub(super) fn accept(&mut self, draft: Draft<'_>, subject: &str, token: String) {
        self.add(draft, Expected::Accepted, subject, token);
    }

    /// A token that is refused at `step`.
    pub(super) fn refuse(&mut self, draft: Draft<'_>, step: Expected, token: String) {
        self.add(draft, step, "", token);
    }

    fn add(&mut self, draft: Draft<'_>, expected: Expected, subject: &str, token: String) {
        self.cases.push(Case {
            name: draft.name,
            says: draft.says.to_owned(),
            entry: draft.entry.name.to_owned(),
            rows: draft.rows.iter().map(|row| (*row).to_owned()).collect(),
            expected,
            subject: subject.to_owned(),
            token,
        });
    }

    /// A token of exactly these texts; of an ES256 token the earlier edition, if there is one.
    pub(super) fn seal(
        &self,
        header: impl AsRef<[u8]>,
        payload: impl AsRef<[u8]>,
        by: By<'_>,
    ) -> Result<String, String> {
        let token = self.keys.seal(header, payload, by)?;
        let Some((signed, _)) = token.rsplit_once('.') else { return Ok(token) };
        let kept = matches!(by, By::Ec).then(|| self.earlier.iter().find(|case| self.is_ours(signed, &case.token)));
        Ok(kept.flatten().map_or(token.clone(), |case| case.token.clone()))
    }

    /// Whether `token` is the kit's ES256 key's over `signed`.
    fn is_ours(&self, signed: &str, token: &str) -> bool {
        let Some(signature) = token.strip_prefix(signed).and_then(|rest| rest.strip_prefix('.')) else { return false };
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.keys.ec.public_key().as_ref());
        let signature = URL_SAFE_NO_PAD.decode(signature);
        signature.is_ok_and(|signature| public.verify(signed.as_bytes(), &signature).is_ok())
    }

    /// A good access token with changed claims.
    pub(super) fn token(&self, change: &Value) -> Result<String, String> {
        self.seal(written(&header()), written(&with(claims(), change)), By::Rsa(&self.keys.rsa))
    }

    /// A good access token with a changed header.
    pub(super) fn token_with_header(&self, change: &Value) -> Result<String, String> {
        self.seal(written(&with(header(), change)), written(&claims()), By::Rsa(&self.keys.rsa))
    }

    /// A good access token, but its payload is exactly `payload`.
    pub(super) fn token_of(&self, payload: impl AsRef<[u8]>) -> Result<String, String> {
        self.seal(written(&header()), payload, By::Rsa(&self.keys.rsa))
    }

    /// A good ID token with changed claims.
    pub(super) fn id_token(&self, change: &Value) -> Result<String, String> {
        self.seal(written(&header()), written(&with(id_claims(), change)), By::Rsa(&self.keys.other))
    }

    /// A good typed token with changed header and claims.
    pub(super) fn typed_token(&self, header: &Value, claims: &Value) -> Result<String, String> {
        self.seal(written(&with(typed_header(), header)), written(&with(typed_claims(), claims)), By::Ec)
    }
}

/// A case of the entry for access tokens.
pub(super) fn access<'a>(name: impl Into<String>, rows: &'a [&'a str], says: &'a str) -> Draft<'a> {
    Draft { name: name.into(), says, rows, entry: &ACCESS }
}

/// A case of the entry for ID tokens.
pub(super) fn id<'a>(name: impl Into<String>, rows: &'a [&'a str], says: &'a str) -> Draft<'a> {
    Draft { name: name.into(), says, rows, entry: &ID }
}

/// A case of the entry for tokens whose header says the type.
pub(super) fn typed<'a>(name: impl Into<String>, rows: &'a [&'a str], says: &'a str) -> Draft<'a> {
    Draft { name: name.into(), says, rows, entry: &TYPED }
}

pub(super) fn header() -> Value {
    json!({ "kid": "rsa", "alg": "RS256" })
}

/// The claims of a good access token. The tokens of weak keys have exactly these.
pub(super) fn claims() -> Value {
    json!({
        "sub": SUBJECT, "iss": ACCESS.issuer, "client_id": "game-client", "token_use": "access", "username": "alice",
        "auth_time": ISSUED, "iat": ISSUED, "exp": ENDS, "jti": "kit",
    })
}

pub(super) fn id_claims() -> Value {
    json!({
        "sub": SUBJECT, "iss": ID.issuer, "aud": "game-client", "token_use": "id",
        "auth_time": ISSUED, "iat": ISSUED, "exp": ENDS, "jti": "kit",
    })
}

fn typed_header() -> Value {
    json!({ "kid": "ec", "alg": "ES256", "typ": "at+jwt" })
}

fn typed_claims() -> Value {
    json!({
        "sub": SUBJECT, "iss": TYPED.issuer, "aud": "account", "azp": "game-client",
        "iat": ISSUED, "exp": ENDS, "jti": "kit",
    })
}
