//! The claims of session and refresh tokens: `tid, uid, usn, vrs, exp, iat`, in this order (spec/auth-and-accounts.md section 3).

use super::origin::{Origin, Written};
use crate::identity::{RESERVED_VARS, Tenant};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use std::{borrow::Cow, collections::BTreeMap, fmt, fmt::Write as _, sync::Arc};
use uuid::Uuid;

/// The largest `exp` that Nakama's clock arithmetic carries: seconds since year 1 must fit 64 bits.
const LATEST_EXPIRY: i64 = i64::MAX - 62_135_596_800;

/// What a valid token says. Its `Debug` leaves out the signature, which would make the token again.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionClaims {
    /// The user; never nil.
    pub user_id: Uuid,
    /// The username when the token was issued.
    pub username: Arc<str>,
    /// Session variables. Those that begin with [`RESERVED_VARS`] count only beside an origin.
    pub vars: Arc<BTreeMap<String, String>>,
    /// The id that all tokens of the chain share. `None`: a foreign token without one, or with one that is no UUID.
    pub token_id: Option<Uuid>,
    /// When the token ends, in seconds since 1970.
    pub expires_unix: i64,
    /// When the chain's authentication was, in seconds since 1970; without `iat`, `exp` less the lifetime.
    pub issued_unix: i64,
    /// The identity token that opened the session; `None` when it was opened otherwise.
    pub origin: Option<Arc<Origin>>,
    /// The wall that the session is behind; none while `tenancy.enabled` is off, whatever its origin says.
    pub tenant: Tenant,
    /// What tells one token from another: its HMAC; for other algorithms the SHA-256 of what is signed.
    pub signature: [u8; 32],
}

impl fmt::Debug for SessionClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionClaims")
            .field("user_id", &self.user_id)
            .field("token_id", &self.token_id)
            .field("expires_unix", &self.expires_unix)
            .finish_non_exhaustive()
    }
}

/// Which check a token did not pass. For logs and metrics; a client is only told that the token is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// Not three segments of base64url, or no JSON.
    #[error("not a token")]
    Format,
    /// The header names another algorithm than those in use.
    #[error("another algorithm than those in use")]
    Algorithm,
    /// No key of ours made the signature.
    #[error("signature does not match")]
    Signature,
    /// A claim is missing, of the wrong type, or of another kind of token.
    #[error("claims are not those of this kind of token")]
    Claims,
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// Of no tenant, where everybody has one.
    #[error("of no tenant, and tenancy is on")]
    NoTenant,
    /// Logged out, deleted, banned, or replaced.
    #[error("revoked")]
    Revoked,
}

impl TokenRefusal {
    /// The check in a word: for the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Algorithm => "algorithm",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::Expired => "expired",
            Self::NoTenant => "tenant",
            Self::Revoked => "revoked",
        }
    }
}

/// What goes into a token.
pub(super) struct Claims<'a> {
    pub(super) token_id: Option<Uuid>,
    pub(super) user_id: Uuid,
    pub(super) username: &'a str,
    pub(super) vars: &'a BTreeMap<String, String>,
    pub(super) expires_unix: i64,
    pub(super) issued_unix: i64,
    pub(super) origin: Option<&'a Origin>,
}

impl Claims<'_> {
    /// The payload, as Nakama writes it: fixed order, nothing that is empty. What only we write comes last.
    pub(super) fn to_json(&self) -> String {
        let mut json = String::with_capacity(256);
        json.push('{');
        if let Some(token_id) = self.token_id {
            let _ = write!(json, "\"tid\":\"{token_id}\",");
        }
        let _ = write!(json, "\"uid\":\"{}\",", self.user_id);
        if !self.username.is_empty() {
            json.push_str("\"usn\":");
            write_text(&mut json, self.username);
            json.push(',');
        }
        if !self.vars.is_empty() {
            json.push_str("\"vrs\":");
            write_vars(&mut json, self.vars);
            json.push(',');
        }
        let _ = write!(json, "\"exp\":{}", self.expires_unix);
        if self.issued_unix != 0 {
            let _ = write!(json, ",\"iat\":{}", self.issued_unix);
        }
        if let Some(origin) = self.origin {
            json.push_str(",\"idn\":");
            origin.write_json(&mut json);
        }
        json.push('}');
        json
    }
}

fn write_vars(json: &mut String, vars: &BTreeMap<String, String>) {
    for (index, (key, value)) in vars.iter().enumerate() {
        json.push(if index == 0 { '{' } else { ',' });
        write_text(json, key);
        json.push(':');
        write_text(json, value);
    }
    json.push('}');
}

/// A JSON string with the escapes of Go's encoder: also `<`, `>`, `&` and the two line separators.
pub(super) fn write_text(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            _ => json.push(c),
        }
    }
    json.push('"');
}

/// Reads a payload whose signature is good. `lifetime` is the kind's, for tokens without `iat`.
pub(super) fn read(payload: &[u8], signature: [u8; 32], lifetime: i64) -> Result<SessionClaims, TokenRefusal> {
    let raw: Payload<'_> = serde_json::from_slice(payload).map_err(|_| TokenRefusal::Claims)?;
    let expires_unix = raw.expires.filter(|exp| *exp != 0 && *exp <= LATEST_EXPIRY).ok_or(TokenRefusal::Claims)?;
    let user_id = raw.user.and_then(|text| Uuid::try_parse(&text.0).ok()).filter(|id| !id.is_nil());
    // A match token is signed with the same key: what has a `mid` never stands for a user.
    let user_id = user_id.filter(|_| !raw.is_match_token).ok_or(TokenRefusal::Claims)?;
    let origin = match raw.origin {
        Some(written) => Some(Arc::new(written.read().ok_or(TokenRefusal::Claims)?)),
        None => None,
    };
    let mut vars = raw.vars.unwrap_or_default();
    if origin.is_none() {
        // Another server with our key, or we ourselves before there was a bridge, let clients write any name.
        vars.retain(|name, _| !name.starts_with(RESERVED_VARS));
    }
    Ok(SessionClaims {
        user_id,
        origin,
        tenant: Tenant::NONE,
        username: Arc::from(raw.username.map_or(Cow::Borrowed(""), |text| text.0)),
        vars: Arc::new(vars),
        token_id: raw.token_id.and_then(|text| Uuid::try_parse(&text.0).ok()),
        expires_unix,
        issued_unix: raw.issued.unwrap_or_else(|| expires_unix.saturating_sub(lifetime)),
        signature,
    })
}

/// The known members as they were written; the last of a repeated one counts, `null` counts as not written.
#[derive(Default)]
struct Payload<'a> {
    token_id: Option<Text<'a>>,
    user: Option<Text<'a>>,
    username: Option<Text<'a>>,
    vars: Option<BTreeMap<String, String>>,
    expires: Option<i64>,
    issued: Option<i64>,
    origin: Option<Written>,
    is_match_token: bool,
}

impl<'de> Deserialize<'de> for Payload<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PayloadVisitor)
    }
}

struct PayloadVisitor;

impl<'de> Visitor<'de> for PayloadVisitor {
    type Value = Payload<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut payload = Payload::default();
        while let Some(Text(name)) = members.next_key::<Text<'de>>()? {
            // Go matches the names of members without regard to case.
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            if is("tid") {
                payload.token_id = members.next_value::<Option<_>>()?.or(payload.token_id);
            } else if is("uid") {
                payload.user = members.next_value::<Option<_>>()?.or(payload.user);
            } else if is("usn") {
                payload.username = members.next_value::<Option<_>>()?.or(payload.username);
            } else if is("vrs") {
                payload.vars = members.next_value()?;
            } else if is("exp") {
                payload.expires = members.next_value::<Option<_>>()?.or(payload.expires);
            } else if is("iat") {
                payload.issued = members.next_value::<Option<_>>()?.or(payload.issued);
            } else if name == "idn" {
                payload.origin = members.next_value()?;
            } else {
                payload.is_match_token |= is("mid");
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(payload)
    }
}

/// A JSON string, borrowed from the payload where it has no escapes.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}
