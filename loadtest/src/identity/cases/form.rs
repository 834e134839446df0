//! Good tokens, and those that are none.

use crate::identity::{
    book::{Book, ENDS, SUBJECT, access, claims, header, id, typed},
    corpus::{Expected::Format, MARKER},
    keys::{By, encode, rsa_jwk, with, written},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use serde_json::json;

pub(super) fn good(book: &mut Book<'_>) -> Result<(), String> {
    let says = "A good token signs its subject in.";
    let rows = &["case 5", "attack 3"];
    let good = book.token(&json!({}))?;
    book.accept(access("good-rs256", rows, says), SUBJECT, good);
    let ec = book.seal(r#"{"alg":"ES256","kid":"ec"}"#, written(&claims()), By::Ec)?;
    book.accept(access("good-es256", rows, says), SUBJECT, ec);
    let ed = book.seal(r#"{"alg":"EdDSA","kid":"ed"}"#, written(&claims()), By::Ed)?;
    book.accept(access("good-eddsa", rows, says), SUBJECT, ed);
    let id_token = book.id_token(&json!({}))?;
    book.accept(id("good-id-token", &["case 18"], says), SUBJECT, id_token);
    let typed_token = book.typed_token(&json!({}), &json!({}))?;
    book.accept(typed("good-typed-token", &["attack 19"], says), SUBJECT, typed_token);
    let bare = book.seal(r#"{"alg":"RS256","kid":"bare"}"#, written(&claims()), By::Rsa(&book.keys.bare))?;
    let says = "A key may leave out `alg` and `use`: its type decides.";
    book.accept(access("key-without-alg-and-use", &["case 3"], says), SUBJECT, bare);
    let unicode = book.token(&json!({ "name": "Zoë 🎮 名前", "sub": "プレイヤー一号" }))?;
    book.accept(
        access("unicode", &["case 17"], "Claims may hold any script, the subject too."),
        "プレイヤー一号",
        unicode,
    );
    let hostile = json!({
        "__proto__": { "admin": MARKER }, "vrs": { "role": MARKER }, "uid": MARKER, "usn": MARKER, "account_id": MARKER,
        "role": MARKER, "username": MARKER, "name": MARKER,
    });
    let hostile = book.token(&hostile)?;
    let says = "Claims that nobody mapped become neither identity nor authority: none of them is in the account or in the session.";
    book.accept(access("claims-stay-claims", &["attack 23", "attack 24"], says), SUBJECT, hostile);
    Ok(())
}

pub(super) fn segments(book: &mut Book<'_>) -> Result<(), String> {
    let good = book.token(&json!({}))?;
    let parts: Vec<_> = good.split('.').collect();
    let (head, signature) = (format!("{}.{}", parts[0], parts[1]), parts[2].to_owned());
    let inner = encode("iv");
    for (name, rows, says, token) in [
        ("empty", &["case 1"], "An empty id is no token.", String::new()),
        (
            "raw-id",
            &["attack 26"],
            "A plain custom id signs nobody in, even when it is somebody's subject.",
            SUBJECT.to_owned(),
        ),
        (
            "raw-prefixed-id",
            &["attack 26"],
            "An account's id with its prefix signs nobody in.",
            format!("kit-access:{SUBJECT}"),
        ),
        ("one-segment", &["case 1"], "One segment is no token.", parts[0].to_owned()),
        ("two-segments", &["case 1"], "A token without its signature segment is refused.", head.clone()),
        ("four-segments", &["case 1"], "A fourth segment is refused, even an empty one.", format!("{good}.")),
        ("leading-dot", &["case 1"], "An empty first segment is refused.", format!(".{good}")),
        (
            "five-segments",
            &["attack 12"],
            "Five segments are an encrypted token, such as Cognito's refresh token.",
            format!("{}.a.b.{inner}.d", encode(r#"{"alg":"RSA-OAEP","enc":"A256GCM","cty":"JWT"}"#)),
        ),
        ("good-and-two-more", &["attack 12"], "A good token with two more segments is refused.", format!("{good}.a.b")),
        ("bearer", &["attack 13"], "The scheme of a header is not part of a token.", format!("Bearer {good}")),
        (
            "json-serialization",
            &["attack 13"],
            "Only the compact form is read, not the JSON form of RFC 7515 section 7.2.",
            json!({ "protected": parts[0], "payload": parts[1], "signature": parts[2] }).to_string(),
        ),
        (
            "json-and-compact",
            &["attack 13"],
            "A mixture of the two forms is refused.",
            format!("{{\"{good}\":\"\",\"payload\":\"{}\"}}", parts[1]),
        ),
        ("dots", &["attack 8"], "Thousands of dots are refused without being split.", ".".repeat(8_000)),
        (
            "long-dots",
            &["attack 8"],
            "Whatever is far longer than a token is refused by its length.",
            ".".repeat(40_000),
        ),
        ("padded-signature", &["attack 10"], "Base64url is without padding.", format!("{good}=")),
        (
            "padded-header",
            &["attack 10"],
            "Base64url is without padding, in the header too.",
            format!("{}=.{}.{signature}", parts[0], parts[1]),
        ),
        ("newline", &["attack 10"], "White space is not part of base64url.", format!("{good}\n")),
        (
            "newline-within",
            &["attack 10"],
            "White space is not part of base64url.",
            format!("{head}.{}\n{}", &signature[..9], &signature[9..]),
        ),
        ("space-before", &["attack 10"], "White space is not part of base64url.", format!(" {good}")),
        ("not-base64", &["case 1"], "A header of other characters is refused.", format!("!.{}.{signature}", parts[1])),
        ("not-ascii", &["case 1"], "A payload of other characters is refused.", format!("{}.é.{signature}", parts[0])),
    ] {
        book.refuse(access(name, rows, says), Format, token);
    }
    let bytes = book.keys.signature(&head, By::Rsa(&book.keys.rsa))?;
    for (name, spelling) in [
        ("padded-alphabet-of-urls", URL_SAFE.encode(&bytes)),
        ("standard-alphabet", STANDARD.encode(&bytes)),
        ("loose-bits", loose(&signature)),
    ] {
        let says = "One signature has one spelling: the same bytes in another are refused.";
        book.refuse(access(name, &["attack 10"], says), Format, format!("{head}.{spelling}"));
    }
    let padded = book.token(&json!({ "pad": "x".repeat(20_000) }))?;
    book.refuse(
        access("long-token", &["attack 8"], "A correctly signed token of 28 KB is too long to be looked at."),
        Format,
        padded,
    );
    Ok(())
}

/// 256 bytes leave four bits over in the last character: each of fifteen others decodes to the same bytes where nobody looks.
fn loose(signature: &str) -> String {
    let (start, last) = signature.split_at(signature.len() - 1);
    let next = last.bytes().next().map_or('B', |last| if last == b'A' { 'B' } else { char::from(last + 1) });
    format!("{start}{next}")
}

pub(super) fn json_traps(book: &mut Book<'_>) -> Result<(), String> {
    let good = book.token(&json!({}))?;
    for (name, payload) in [
        ("nothing", ""),
        ("word", "x"),
        ("array", "[]"),
        ("number", "1"),
        ("text", "\"text\""),
        ("null", "null"),
        ("broken", "{\"a\":}"),
        ("two-objects", "{} {}"),
        ("byte-order-mark", "\u{feff}{}"),
    ] {
        let token = book.token_of(payload)?;
        let says = "A payload that is no JSON object is refused, although it is signed.";
        book.refuse(access(format!("payload-{name}"), &["case 1"], says), Format, token);
        let token = book.seal(payload, written(&claims()), By::Rsa(&book.keys.rsa))?;
        book.refuse(
            access(format!("header-{name}"), &["case 1"], "A header that is no JSON object is refused."),
            Format,
            token,
        );
    }
    let as_array = json!([ENDS, null, SUBJECT, "https://access.kit.example", "game-client"]).to_string();
    let doubled = |extra: &str| written(&claims()).replacen('{', &format!("{{{extra},"), 1);
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let wide: Vec<_> = (0..300).map(|number| format!("\"{number}\":1")).collect();
    let twice = "A name that stands twice is refused: two readers would read two tokens.";
    for (name, row, says, payload) in [
        (
            "claims-as-array",
            "attack 14",
            "Claims as an array are refused, although some libraries read them.",
            as_array,
        ),
        ("not-utf-8", "case 1", "A payload that is not UTF-8 is refused.", String::new()),
        ("sub-twice", "attack 7", twice, doubled(r#""sub":"attacker""#)),
        ("sub-twice-escaped", "attack 7", twice, doubled(r#""s\u0075b":"attacker""#)),
        ("role-twice", "attack 7", twice, doubled(r#""role":"user","role":"admin""#)),
        ("twice-deep-inside", "attack 7", twice, doubled(r#""deep":{"list":[{"a":1,"a":2}]}"#)),
        ("deep-payload", "attack 9", "A payload nested 2,000 deep is refused.", format!("{{\"a\":{}}}", deep(2_000))),
        ("wide-payload", "attack 9", "A payload of 300 members is refused.", format!("{{{}}}", wide.join(","))),
        ("nested-token", "attack 12", "A token in the place of the claims is refused.", good.clone()),
        (
            "nested-token-text",
            "attack 12",
            "A token as a JSON text in the place of the claims is refused.",
            format!("\"{good}\""),
        ),
        (
            "lone-surrogate",
            "case 17",
            "Half of a surrogate pair is no text.",
            written(&claims()).replace(SUBJECT, r"player-\ud800"),
        ),
        ("exp-beyond-numbers", "attack 15", "A number that no reader can hold is refused.", {
            written(&claims()).replace("4070908800", "1e400")
        }),
    ] {
        let payload = if name == "not-utf-8" { vec![b'{', 0xff, 0xfe, b'}'] } else { payload.into_bytes() };
        let token = book.token_of(payload)?;
        book.refuse(access(name, &[row], says), Format, token);
    }
    let emoji = book.token_of(written(&claims()).replace(SUBJECT, r"player-\ud83c\udfae"))?;
    let says = "A whole surrogate pair is one character.";
    book.accept(access("surrogate-pair", &["case 17"], says), "player-🎮", emoji);
    let cased = book.token(&json!({ "Sub": "attacker", "ISS": "https://evil.example", "Exp": 1 }))?;
    let says = "A name in another case is another name: it neither counts nor disturbs.";
    book.accept(access("names-in-another-case", &["attack 7"], says), SUBJECT, cased);
    Ok(())
}

pub(super) fn headers(book: &mut Book<'_>) -> Result<(), String> {
    let stranger = rsa_jwk("own", &book.keys.stranger);
    let brings = "A token cannot bring its keys along, or say where they are.";
    for (name, change) in [
        ("jwk", json!({ "jwk": stranger, "kid": "own" })),
        ("jku", json!({ "jku": "https://evil.example/keys" })),
        ("x5u", json!({ "x5u": "https://evil.example/certificate" })),
        ("x5c", json!({ "x5c": ["AAAA"] })),
    ] {
        let token = book.token_with_header(&change)?;
        book.refuse(access(format!("{name}-by-the-issuer"), &["attack 5"], brings), Format, token);
        let own = book.seal(written(&with(header(), &change)), written(&claims()), By::Rsa(&book.keys.stranger))?;
        book.refuse(access(format!("{name}-by-a-stranger"), &["attack 5"], brings), Format, own);
    }
    let extends = "Extensions are refused whatever they say: none is implemented.";
    for (name, change) in [
        ("crit-exp", json!({ "crit": ["exp"], "exp": ENDS })),
        ("crit-empty", json!({ "crit": [] })),
        ("crit-b64", json!({ "crit": ["b64"], "b64": false })),
        ("b64", json!({ "b64": true })),
        ("zip", json!({ "zip": "DEF" })),
        ("enc", json!({ "enc": "A256GCM" })),
        ("cty", json!({ "cty": "JWT" })),
    ] {
        let token = book.token_with_header(&change)?;
        book.refuse(access(name, &["attack 11"], extends), Format, token);
    }
    let twice =
        book.seal(r#"{"kid":"rsa","alg":"RS256","alg":"none"}"#, written(&claims()), By::Rsa(&book.keys.rsa))?;
    book.refuse(access("alg-twice", &["attack 7"], "A header name that stands twice is refused."), Format, twice);
    let deep = format!(r#"{{"alg":"RS256","kid":"rsa","a":{}}}"#, "[".repeat(20) + &"]".repeat(20));
    let deep = book.seal(deep, written(&claims()), By::Rsa(&book.keys.rsa))?;
    book.refuse(access("deep-header", &["attack 9"], "A header nested 20 deep is refused."), Format, deep);
    for (name, kid) in [("number", json!(1)), ("list", json!(["rsa"])), ("object", json!({})), ("empty", json!(""))] {
        let token = book.token_with_header(&json!({ "kid": kid }))?;
        let says = "A key id is a text of 1 to 256 bytes.";
        book.refuse(access(format!("kid-{name}"), &["case 6", "attack 4"], says), Format, token);
    }
    for bytes in [257, 2_000, 10_240] {
        let token = book.token_with_header(&json!({ "kid": "k".repeat(bytes) }))?;
        let says = "A key id is a text of 1 to 256 bytes.";
        book.refuse(access(format!("kid-of-{bytes}-bytes"), &["attack 4"], says), Format, token);
    }
    let token = book.token_with_header(&json!({ "typ": 1 }))?;
    book.refuse(access("typ-number", &["attack 19"], "A type that is no text is refused."), Format, token);
    Ok(())
}
