//! Judgement of the claims, once the signature is known to be the issuer's: times, client, kind of token, subject.

use super::{jwt::ParsedToken, mapping::find, refusal::Reason, trust::Entry};
use crate::config::{Audience, AudienceClaim, ClaimPath, TokenType};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Latest time that is taken for one: the year 9999. Beyond it a number is a fault, not a time.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// The times of a token, in seconds since 1970.
pub(super) struct Times {
    pub(super) expires_at: i64,
    pub(super) issued_at: Option<i64>,
    /// `auth_time`: when the player signed in at the issuer. A malformed one counts as none, unless the entry asks for it.
    pub(super) authenticated_at: Option<i64>,
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
    Ok(Times { expires_at, issued_at, authenticated_at: judge_sign_in(claims, entry, now)? })
}

/// When the player signed in at the issuer; where the entry bounds that, it must be said, past, and not too long ago.
fn judge_sign_in(claims: &Map<String, Value>, entry: &Entry, now: i64) -> Result<Option<i64>, Reason> {
    let signed_in = time(claims, "auth_time");
    let Some(max_age) = entry.max_auth_age else { return Ok(signed_in.unwrap_or(None)) };
    let at = signed_in?.ok_or(Reason::TimeForm)?;
    if now + entry.skew < at {
        return Err(Reason::SignedInLater);
    }
    if now - at > max_age + entry.skew { Err(Reason::SignedInLongAgo) } else { Ok(Some(at)) }
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
    if !entry.authorized_parties.is_empty() && !is_one_of(&token.claims, "azp", &entry.authorized_parties) {
        return Err(Reason::AuthorizedParty);
    }
    // Log-out and security event tokens say `events` (RFC 8417 section 2.2); not all of them have a `typ` of their own.
    let is_event = token.claims.contains_key("events");
    if is_event || !is_kind(token, &entry.token_type) { Err(Reason::TokenType) } else { Ok(()) }
}

fn is_one_of(claims: &Map<String, Value>, name: &str, accepted: &[String]) -> bool {
    claims.get(name).and_then(Value::as_str).is_some_and(|value| accepted.iter().any(|wanted| wanted == value))
}

fn is_for(claims: &Map<String, Value>, audience: &Audience) -> bool {
    let accepted = |value: &str| audience.any_of.iter().any(|wanted| wanted == value);
    let single = |name: &str| is_one_of(claims, name, &audience.any_of);
    match audience.claim {
        AudienceClaim::Any => true,
        AudienceClaim::ClientId => single("client_id"),
        AudienceClaim::Azp => single("azp"),
        AudienceClaim::Cid => single("cid"),
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

/// After the steps: a subject of 1 to 255 bytes that can be printed. Several claims are joined by `:`, which is in none of them.
pub(super) fn judge_subject<'c>(claims: &'c Map<String, Value>, paths: &[ClaimPath]) -> Result<Cow<'c, str>, Reason> {
    let part = |path| find(path, claims).and_then(Value::as_str).filter(|part| !part.is_empty()).ok_or(Reason::Subject);
    let subject: Cow<'c, str> = match paths {
        [one] => part(one)?.into(),
        several => {
            let parts = several.iter().map(part).collect::<Result<Vec<_>, _>>()?;
            if parts.iter().any(|part| part.contains(':')) {
                return Err(Reason::Subject);
            }
            parts.join(":").into()
        }
    };
    let printable = !subject.chars().any(is_unprintable);
    if (1..=255).contains(&subject.len()) && printable { Ok(subject) } else { Err(Reason::Subject) }
}

/// Control characters, and characters that change how a line reads without being seen: fillers, joiners, line separators,
/// direction marks, variation selectors, tags, the byte order mark.
pub(super) fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}
