//! Algorithms, key ids, keys and signatures.

use crate::identity::{
    book::{Book, access, claims, header, id, id_claims},
    corpus::{
        Expected::{Algorithm, Format, Signature},
        ID, SMALL_ORDER_POINT,
    },
    keys::{By, encode, rsa_jwk, with, written},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

pub(super) fn algorithms(book: &mut Book<'_>) -> Result<(), String> {
    for (number, alg) in ["none", "None", "nOnE", "NONE", "", "rs256", "RS256 ", "RS256\u{0}"].iter().enumerate() {
        for (what, signature) in [("empty", &b""[..]), ("zero", &[0; 256])] {
            let header = written(&json!({ "alg": alg, "kid": "rsa" }));
            let token = book.seal(header, written(&claims()), By::Bytes(signature))?;
            let says = "An algorithm is compared byte by byte; `none` is none, however it is written.";
            book.refuse(access(format!("alg-none-{number}-{what}"), &["attack 1", "case 2"], says), Algorithm, token);
        }
    }
    for (name, alg) in [
        ("missing", json!(null)),
        ("number", json!(1)),
        ("list", json!(["RS256"])),
        ("ps256", json!("PS256")),
        ("rs384", json!("RS384")),
        ("rs512", json!("RS512")),
        ("es512", json!("ES512")),
        ("hs256", json!("HS256")),
    ] {
        let token = book.token_with_header(&json!({ "alg": alg }))?;
        let says = "An algorithm that the entry does not list is refused.";
        book.refuse(access(format!("alg-{name}"), &["case 2"], says), Algorithm, token);
    }
    let jwk = rsa_jwk("rsa", &book.keys.rsa);
    let modulus = jwk["n"].as_str().unwrap_or_default().to_owned();
    for (name, kid, secret) in [
        ("modulus", "rsa", modulus.as_bytes()),
        ("jwk", "rsa", written(&jwk).as_bytes()),
        ("published", "oct", b"secret"),
        ("empty", "rsa", b""),
    ] {
        let header = written(&json!({ "alg": "HS256", "kid": kid }));
        let token = book.seal(header, written(&claims()), By::Hmac(secret))?;
        let says = "What is public is no HMAC secret, and a symmetric key of a set counts for nothing.";
        book.refuse(access(format!("hmac-{name}"), &["attack 2"], says), Algorithm, token);
    }
    let keys = book.keys;
    let signers = [("RS256", "rsa", By::Rsa(&keys.rsa)), ("ES256", "ec", By::Ec), ("EdDSA", "ed", By::Ed)];
    for (alg, own, by) in signers {
        for (_, kid, _) in signers.iter().filter(|(_, kid, _)| *kid != own) {
            let token = book.seal(written(&json!({ "alg": alg, "kid": kid })), written(&claims()), by)?;
            let says = "A key has one algorithm: that of its type.";
            let name = format!("{}-by-key-{kid}", alg.to_lowercase());
            book.refuse(access(name, &["attack 3", "case 2"], says), Algorithm, token);
        }
    }
    let token = book.seal(r#"{"alg":"ES256","kid":"ec"}"#, written(&id_claims()), By::Ec)?;
    let says = "The entry allows RS256 alone, though another entry and the key set know ES256.";
    book.refuse(id("alg-of-another-entry", &["attack 3", "case 2"], says), Algorithm, token);
    Ok(())
}

pub(super) fn key_ids(book: &mut Book<'_>) -> Result<(), String> {
    let missing = book.token_with_header(&json!({ "kid": null }))?;
    book.refuse(access("kid-missing", &["case 6"], "Without a key id no key is tried."), Signature, missing);
    for (name, kid) in [
        ("unknown", "absent"),
        ("path", "../rsa"),
        ("file", "/etc/passwd"),
        ("sql", "rsa' OR '1'='1"),
        ("nul", "rsa\u{0}"),
        ("upper-case", "RSA"),
        ("space", " rsa"),
        ("format", "%s%n"),
        ("url", "https://evil.example/keys"),
        ("escape", "\u{1b}[31mrsa\r\nforged line"),
    ] {
        let token = book.token_with_header(&json!({ "kid": kid }))?;
        let says = "A key id is looked up byte by byte, and does nothing else: no path, no query, no line of a log.";
        book.refuse(access(format!("kid-{name}"), &["case 6", "attack 4", "attack 37"], says), Signature, token);
    }
    Ok(())
}

/// Keys of the set that must not be used, and keys of other issuers.
pub(super) fn key_choice(book: &mut Book<'_>) -> Result<(), String> {
    for kid in
        ["encryption", "only-encrypts", "oaep", "pss", "lying", "wrong-type", "no-modulus", "no-exponent", "given-away"]
    {
        let header = written(&json!({ "alg": "RS256", "kid": kid }));
        let token = book.seal(header, written(&claims()), By::Rsa(&book.keys.stranger))?;
        let says = "A key of the set that is not for these signatures, incomplete or given away verifies nothing.";
        book.refuse(access(format!("key-{kid}"), &["case 4"], says), Signature, token);
    }
    for kid in ["no-y", "no-curve", "other-curve", "off-curve"] {
        let token = book.seal(written(&json!({ "alg": "ES256", "kid": kid })), written(&claims()), By::Ec)?;
        let says = "A key of the set that is incomplete, or of another curve, verifies nothing.";
        book.refuse(access(format!("key-{kid}"), &["case 4", "attack 32"], says), Signature, token);
    }
    let token = book.seal(r#"{"alg":"EdDSA","kid":"x25519"}"#, written(&claims()), By::Ed)?;
    book.refuse(access("key-x25519", &["case 4"], "A key for agreement verifies nothing."), Signature, token);
    for weak in book.keys.weak.clone() {
        let kid = weak.jwk["kid"].as_str().unwrap_or_default();
        let says = "A weak RSA key verifies nothing, although the issuer publishes it.";
        book.refuse(access(format!("key-{kid}"), &["attack 32"], says), Signature, weak.token);
    }
    let forged = [SMALL_ORDER_POINT, [0; 32]].concat();
    let token = book.seal(r#"{"alg":"EdDSA","kid":"small-order"}"#, written(&claims()), By::Bytes(&forged))?;
    let says = "Under an Ed25519 key of small order one signature fits every message: the key verifies nothing.";
    book.refuse(access("key-small-order", &["attack 32"], says), Signature, token);

    let mix_up = "Keys count for their own issuer alone, also when two issuers use one key id.";
    let by = |key| By::Rsa(key);
    let (rsa, other) = (&book.keys.rsa, &book.keys.other);
    let token = book.seal(written(&header()), written(&id_claims()), by(rsa))?;
    book.refuse(id("other-issuers-key", &["attack 20", "case 18"], mix_up), Signature, token);
    let token = book.seal(written(&header()), written(&claims()), by(other))?;
    book.refuse(access("other-issuers-key-here", &["attack 20", "case 18"], mix_up), Signature, token);
    let token = book.seal(r#"{"alg":"RS256","kid":"bare"}"#, written(&id_claims()), By::Rsa(&book.keys.bare))?;
    book.refuse(id("other-issuers-key-id", &["attack 20", "case 18"], mix_up), Signature, token);
    Ok(())
}

pub(super) fn broken(book: &mut Book<'_>) -> Result<(), String> {
    let good = book.token(&json!({}))?;
    let parts: Vec<_> = good.split('.').collect();
    let covers = "A signature covers every byte of header and payload.";
    let forged = encode(written(&with(claims(), &json!({ "sub": "attacker" }))));
    let token = format!("{}.{forged}.{}", parts[0], parts[2]);
    book.refuse(access("payload-changed", &["case 10"], covers), Signature, token);
    let header_of = encode(written(&with(header(), &json!({ "extra": 1 }))));
    let token = format!("{header_of}.{}.{}", parts[1], parts[2]);
    book.refuse(access("header-changed", &["case 10"], covers), Signature, token);
    let token = book.seal(written(&header()), written(&claims()), By::Rsa(&book.keys.stranger))?;
    book.refuse(access("strangers-signature", &["case 10"], "Another key's signature is refused."), Signature, token);

    let signed = format!("{}.{}", parts[0], parts[1]);
    let bytes = book.keys.signature(&signed, By::Rsa(&book.keys.rsa))?;
    let mut flipped = bytes.clone();
    flipped[100] ^= 1;
    for (name, bad) in [
        ("empty", Vec::new()),
        ("zero", vec![0; 256]),
        ("short", bytes[..255].to_vec()),
        ("long", [&[0][..], &bytes].concat()),
        ("flipped", flipped),
    ] {
        let says = "An RS256 signature is exactly the key's.";
        let token = format!("{signed}.{}", encode(bad));
        book.refuse(access(format!("signature-{name}"), &["case 10", "attack 1"], says), Signature, token);
    }
    broken_ecdsa(book)?;
    let slice = format!("{}.{}.", parts[0], parts[1]);
    let says = "A token with everything but a signature is refused.";
    book.refuse(access("signature-stripped", &["case 10", "attack 1"], says), Signature, slice);
    let spaced = format!("{}.{}. ", parts[0], parts[1]);
    book.refuse(access("signature-of-a-space", &["attack 10"], "White space is no signature."), Format, spaced);
    Ok(())
}

fn broken_ecdsa(book: &mut Book<'_>) -> Result<(), String> {
    let good = book.seal(r#"{"alg":"ES256","kid":"ec"}"#, written(&claims()), By::Ec)?;
    let (signed, signature) = good.rsplit_once('.').ok_or("a token has segments")?;
    let fixed = URL_SAFE_NO_PAD.decode(signature).map_err(|error| error.to_string())?;
    // The group order of P-256 (SEC 2 section 2.4.2).
    let order: Vec<u8> =
        [0xffff_ffff_u32, 0, 0xffff_ffff, 0xffff_ffff, 0xbce6_faad, 0xa717_9e84, 0xf3b9_cac2, 0xfc63_2551]
            .iter()
            .flat_map(|word| word.to_be_bytes())
            .collect();
    let der = [&[0x30, 68, 0x02, 32][..], &fixed[..32], &[0x02, 32], &fixed[32..]].concat();
    for (name, bad) in [
        ("zero", vec![0; 64]),
        ("s-zero", [&fixed[..32], &[0; 32]].concat()),
        ("r-zero", [&[0; 32], &fixed[32..]].concat()),
        ("order", [order.as_slice(), order.as_slice()].concat()),
        ("short", fixed[..63].to_vec()),
        ("long", [fixed.as_slice(), &[0]].concat()),
        ("der", der),
    ] {
        let says = "An ES256 signature is 64 bytes, r and s between 1 and the group's order.";
        let token = format!("{signed}.{}", encode(bad));
        book.refuse(access(format!("es256-{name}"), &["attack 6"], says), Signature, token);
    }
    let issuer = written(&json!({ "alg": "RS256", "kid": "rsa", "iss": ID.issuer }));
    let token = book.seal(issuer, written(&claims()), By::Rsa(&book.keys.other))?;
    let says = "An issuer in the header chooses no keys.";
    book.refuse(access("issuer-in-the-header", &["attack 20"], says), Signature, token);
    Ok(())
}
