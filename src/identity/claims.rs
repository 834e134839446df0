//! Judgement of the claims, once the signature is known to be the issuer's: times, client, kind of token, subject.

use super::{jwt::ParsedToken, refusal::Reason, trust::Entry};
use crate::config::{Audience, AudienceClaim, TokenType};
use serde_json::{Map, Value};

/// Latest time that is taken for one: the year 9999. Beyond it a number is a fault, not a time.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// The times of a token, in seconds since 1970.
pub(super) struct Times {
    pub(super) expires_at: i64,
    pub(super) issued_at: Option<i64>,
}

/// Step four. `now` is in seconds since 1970. A token is good while `now < exp + skew` (RFC 7519 section 4.1.4: not "on or
/// after"), from `nbf - skew` on.
pub(super) fn judge_times(claims: &Map<String, Value>, entry: &Entry, now: i64) -> Result<Times, Reason> {
    let expires_at = time(claims, "exp")?.ok_or(Reason::TimeForm)?;
    let not_before = time(claims, "nbf")?;
    let issued_at = time(claims, "iat")?;
    if now >= expires_at + entry.skew {
        return Err(Reason::Expired);
    }
    if not_before.is_some_and(|start| now + entry.skew < start) {
        return Err(Reason::NotYet);
    }
    if issued_at.is_some_and(|issued| now + entry.skew < issued) {
        return Err(Reason::IssuedLater);
    }
    // Without `iat` the rest of the lifetime is what can be bounded.
    if expires_at - issued_at.unwrap_or(now) > entry.max_lifetime {
        return Err(Reason::Lifetime);
    }
    if let Some(max_age) = entry.max_age
        && now - issued_at.ok_or(Reason::TimeForm)? > max_age + entry.skew
    {
        return Err(Reason::TooOld);
    }
    Ok(Times { expires_at, issued_at })
}

/// A NumericDate (RFC 7519 section 2): a number, possibly with a fraction, which is cut off.
pub(super) fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, Reason> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let number = value.as_f64().ok_or(Reason::TimeForm)?;
    if !(0.0..=LAST_SECOND).contains(&number) {
        return Err(Reason::TimeForm);
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "within 0 and the year 9999, and the fraction is to be cut off"
    )]
    Ok(Some(number.floor() as i64))
}

/// The second half of step five: for whom the token is, and which kind of token it is.
pub(super) fn judge_client(token: &ParsedToken<'_>, entry: &Entry) -> Result<(), Reason> {
    if !is_for(&token.claims, &entry.audience) {
        return Err(Reason::Audience);
    }
    if !is_kind(token, &entry.token_type) { Err(Reason::TokenType) } else { Ok(()) }
}

fn is_for(claims: &Map<String, Value>, audience: &Audience) -> bool {
    let accepted = |value: &str| audience.any_of.iter().any(|wanted| wanted == value);
    let single = |name: &str| claims.get(name).and_then(Value::as_str).is_some_and(accepted);
    match audience.claim {
        AudienceClaim::Any => true,
        AudienceClaim::ClientId => single("client_id"),
        AudienceClaim::Azp => single("azp"),
        // A string or a list of strings (RFC 7519 section 4.1.3); one member of another type spoils the list.
        AudienceClaim::Aud => match claims.get("aud") {
            Some(Value::Array(list)) => {
                list.iter().all(Value::is_string) && list.iter().filter_map(Value::as_str).any(accepted)
            }
            _ => single("aud"),
        },
    }
}

/// Whether the token is of the wanted kind. Unless the entry looks at `typ` itself, a `typ` that is neither a plain token nor an
/// access token refuses it: log-out, DPoP and security event tokens are signed with the same keys (RFC 8725 section 3.11).
pub(super) fn is_kind(token: &ParsedToken<'_>, wanted: &TokenType) -> bool {
    let typ = token.header.get("typ").and_then(Value::as_str).map(media_type);
    let usual = typ.as_deref().is_none_or(|typ| ["jwt", "at+jwt"].contains(&typ));
    if wanted.header == "typ" {
        return typ.is_some_and(|typ| typ == media_type(&wanted.equals));
    }
    let text = |object: &Map<String, Value>, name: &str| {
        object.get(name).and_then(Value::as_str).is_some_and(|value| value == wanted.equals)
    };
    usual
        && (wanted.any
            || if wanted.claim.is_empty() {
                text(&token.header, &wanted.header)
            } else {
                text(&token.claims, &wanted.claim)
            })
}

/// Media types differ neither by case nor by a left-out `application/` (RFC 7515 section 4.1.9).
pub(super) fn media_type(typ: &str) -> String {
    let lower = typ.to_ascii_lowercase();
    lower.strip_prefix("application/").map_or_else(|| lower.clone(), str::to_owned)
}

/// After the steps: a subject of 1 to 255 bytes that can be printed.
pub(super) fn judge_subject(claims: &Map<String, Value>) -> Result<&str, Reason> {
    let subject = claims.get("sub").and_then(Value::as_str).ok_or(Reason::Subject)?;
    let printable = !subject.chars().any(|c| c.is_control() || is_invisible(c));
    if (1..=255).contains(&subject.len()) && printable { Ok(subject) } else { Err(Reason::Subject) }
}

/// Characters that change how a line reads without being seen: line separators, direction marks, the byte order mark.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
