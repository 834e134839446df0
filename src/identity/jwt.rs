//! The first step: the compact form of a signed token (RFC 7515 section 7.1), read so strictly that no two readers can
//! differ about it. Nothing in here is believed yet.

use super::{refusal::Reason, strict_json::parse_object};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use std::fmt;

/// Longest header segment in bytes.
pub const MAX_HEADER_BYTES: usize = 1_024;
/// Longest `kid` in bytes.
pub const MAX_KEY_ID_BYTES: usize = 256;

/// Header parameters that refuse a token whatever their value. `crit` asks for extensions, and we have none (RFC 7515 section
/// 4.1.11); `jku`, `jwk`, `x5u` and `x5c` bring keys of their own; `b64`, `zip`, `enc` and `cty` change what is signed.
const REFUSED_PARAMETERS: [&str; 9] = ["crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc", "cty"];

/// A well-formed token of which nothing is verified.
pub struct ParsedToken<'a> {
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
    /// Header and payload as they were signed.
    pub(super) signed: &'a str,
    pub(super) signature: Signature<'a>,
}

/// A signature, known to be canonical base64url.
pub(super) struct Signature<'a> {
    pub(super) text: &'a str,
    /// Its length when decoded.
    pub(super) bytes: usize,
}

impl ParsedToken<'_> {
    /// The header's `alg`, if it is a string.
    pub(super) fn algorithm(&self) -> Option<&str> {
        self.header.get("alg").and_then(Value::as_str)
    }

    /// The header's `kid`; its form has been checked.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.header.get("kid").and_then(Value::as_str)
    }
}

/// A token and its claims are nobody's to print.
impl fmt::Debug for ParsedToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParsedToken").finish_non_exhaustive()
    }
}

/// Reads a token of at most `max_bytes`. The length is looked at before anything else, so that the cost of garbage is bounded.
///
/// # Errors
/// The rule of step "format" that the token breaks.
pub fn parse_token(token: &str, max_bytes: usize) -> Result<ParsedToken<'_>, Reason> {
    if token.len() > max_bytes {
        return Err(Reason::TooLong);
    }
    let mut segments = token.splitn(4, '.');
    let (Some(header), Some(payload), Some(signature), None) =
        (segments.next(), segments.next(), segments.next(), segments.next())
    else {
        return Err(Reason::Segments);
    };
    if header.len() > MAX_HEADER_BYTES {
        return Err(Reason::HeaderTooLong);
    }
    let signed = &token[..header.len() + 1 + payload.len()];
    let header = parse_object(&decode(header)?)?;
    judge_header(&header)?;
    let claims = parse_object(&decode(payload)?)?;
    let signature = Signature { text: signature, bytes: decode(signature)?.len() };
    Ok(ParsedToken { header, claims, signed, signature })
}

/// The engine refuses padding, the standard alphabet, whitespace and bits left over, so each text has one reading.
fn decode(segment: &str) -> Result<Vec<u8>, Reason> {
    URL_SAFE_NO_PAD.decode(segment).map_err(|_| Reason::Base64)
}

fn judge_header(header: &Map<String, Value>) -> Result<(), Reason> {
    if REFUSED_PARAMETERS.iter().any(|name| header.contains_key(*name)) {
        return Err(Reason::HeaderParameter);
    }
    match header.get("kid") {
        None => {}
        Some(Value::String(kid)) if (1..=MAX_KEY_ID_BYTES).contains(&kid.len()) => {}
        Some(_) => return Err(Reason::KeyIdForm),
    }
    match header.get("typ") {
        None | Some(Value::String(_)) => Ok(()),
        Some(_) => Err(Reason::TypeForm),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    #[test]
    fn the_signed_part_is_header_dot_payload() {
        let token =
            format!("{}.{}.{}", encode(r#"{"alg":"RS256","kid":"k"}"#), encode(r#"{"sub":"s"}"#), encode("sig"));
        let parsed = parse_token(&token, 8_192).expect("well-formed");
        assert_eq!(parsed.signed, token.rsplit_once('.').expect("three segments").0);
        assert_eq!((parsed.algorithm(), parsed.key_id()), (Some("RS256"), Some("k")));
        assert_eq!(parsed.signature.bytes, 3);
        assert!(!format!("{parsed:?}").contains("sub"), "prints nothing of the token");
    }

    #[test]
    fn length_is_judged_before_the_segments() {
        assert_eq!(parse_token(&".".repeat(9), 8).expect_err("long"), Reason::TooLong);
        assert_eq!(parse_token(&".".repeat(8), 8).expect_err("dots"), Reason::Segments);
    }
}
