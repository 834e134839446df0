//! Compact JSON Web Tokens under HS256 (RFC 7515 section 7.1, RFC 7518 section 3.2), and the keys of one kind of token.

use super::claims::TokenRefusal;
use crate::config::Secret;
use aws_lc_rs::hmac;
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use std::collections::HashMap;

/// `{"alg":"HS256","typ":"JWT"}`, which every token of ours and of Nakama's starts with.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
/// 32 bytes in base64 without padding.
const SIGNATURE_LENGTH: usize = 43;

/// base64url without padding. Unused low bits of the last character are ignored, as Nakama does.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// The keys of one kind of token: the first signs, all verify.
pub(super) struct Keys {
    current: hmac::Key,
    previous: Vec<hmac::Key>,
}

/// A token whose signature is good.
pub(super) struct Signed {
    pub(super) payload: Vec<u8>,
    /// The header's `gen`: which refresh token of its chain it is. 0 where there is none.
    pub(super) generation: u32,
    pub(super) signature: [u8; 32],
}

impl Keys {
    pub(super) fn new(current: &Secret, previous: &[Secret]) -> Self {
        let key = |secret: &Secret| hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        Self { current: key(current), previous: previous.iter().map(key).collect() }
    }

    /// How long the token that carries `payload` is.
    pub(super) fn token_bytes(&self, payload: &str) -> usize {
        HEADER.len() + (payload.len() * 4).div_ceil(3) + SIGNATURE_LENGTH + 2
    }

    /// The token that carries `payload`.
    pub(super) fn sign(&self, payload: &str) -> String {
        self.sign_under(HEADER, payload)
    }

    /// The refresh token of a generation that carries `payload`. That of the sign-in, 0, has Nakama's header to the byte.
    pub(super) fn sign_generation(&self, generation: u32, payload: &str) -> String {
        if generation == 0 {
            return self.sign(payload);
        }
        let header = format!(r#"{{"alg":"HS256","typ":"JWT","gen":{generation}}}"#);
        self.sign_under(&BASE64.encode(header), payload)
    }

    pub(super) fn sign_under(&self, header: &str, payload: &str) -> String {
        let mut token = String::with_capacity(header.len() + payload.len() * 4 / 3 + SIGNATURE_LENGTH + 5);
        token.push_str(header);
        token.push('.');
        BASE64.encode_string(payload, &mut token);
        let tag = hmac::sign(&self.current, token.as_bytes());
        token.push('.');
        BASE64.encode_string(tag.as_ref(), &mut token);
        token
    }

    /// Takes a token apart: three segments, HS256 by name, and a signature by one of the keys, compared in constant time.
    pub(super) fn open(&self, token: &str) -> Result<Signed, TokenRefusal> {
        let (signed, signature_text) = token.rsplit_once('.').ok_or(TokenRefusal::Format)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenRefusal::Format)?;
        if payload.contains('.') {
            return Err(TokenRefusal::Format);
        }
        let generation = if header == HEADER { 0 } else { read_header(header)? };
        let signature = decode_signature(signature_text)?;
        let good = |key| hmac::verify(key, signed.as_bytes(), &signature).is_ok();
        if !std::iter::once(&self.current).chain(&self.previous).any(good) {
            return Err(TokenRefusal::Signature);
        }
        let payload = BASE64.decode(payload).map_err(|_| TokenRefusal::Format)?;
        Ok(Signed { payload, generation, signature })
    }
}

fn decode_signature(text: &str) -> Result<[u8; 32], TokenRefusal> {
    if text.len() != SIGNATURE_LENGTH {
        return Err(TokenRefusal::Signature);
    }
    // The decoder wants room for whole groups of three.
    let mut buffer = [0; 33];
    let length = BASE64.decode_slice(text, &mut buffer).map_err(|_| TokenRefusal::Signature)?;
    buffer[..length].try_into().map_err(|_| TokenRefusal::Signature)
}

/// The generation in a header that is written otherwise than Nakama's. It must still say exactly HS256; other parameters are not
/// looked at.
fn read_header(header: &str) -> Result<u32, TokenRefusal> {
    let bytes = BASE64.decode(header).map_err(|_| TokenRefusal::Format)?;
    let parameters: HashMap<String, serde_json::Value> =
        serde_json::from_slice(&bytes).map_err(|_| TokenRefusal::Format)?;
    if parameters.get("alg").and_then(serde_json::Value::as_str) != Some("HS256") {
        return Err(TokenRefusal::Algorithm);
    }
    let Some(generation) = parameters.get("gen") else { return Ok(0) };
    generation.as_u64().and_then(|generation| u32::try_from(generation).ok()).ok_or(TokenRefusal::Format)
}
