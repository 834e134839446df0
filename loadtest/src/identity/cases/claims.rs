//! Times, issuer, client, kind of token, subject: tokens whose signatures are good.

use crate::identity::{
    book::{Book, ENDS, FAR, ISSUED, SUBJECT, access, claims, id, typed},
    corpus::{
        ACCESS,
        Expected::{Client, Expiry, Issuer, Subject},
        ID,
    },
    keys::written,
};
use serde_json::json;

pub(super) fn times(book: &mut Book<'_>) -> Result<(), String> {
    for (name, exp) in [("yesterday", ISSUED + 3_600), ("before-issue", ISSUED - 1), ("at-the-beginning", 0)] {
        let token = book.token(&json!({ "exp": exp }))?;
        book.refuse(
            access(format!("expired-{name}"), &["case 11"], "A token that has ended is refused."),
            Expiry,
            token,
        );
    }
    for (name, exp) in [
        ("text", "\"4070908800\""),
        ("null", "null"),
        ("true", "true"),
        ("list", "[4070908800]"),
        ("object", "{}"),
        ("negative", "-1"),
        ("huge", "1e300"),
        ("millions-of-years", "9000000000000000"),
        ("beyond-64-bits", "18446744073709551616"),
    ] {
        let payload = written(&claims()).replace(&format!("\"exp\":{ENDS}"), &format!("\"exp\":{exp}"));
        let token = book.token_of(payload)?;
        let says = "An end is a number of seconds within reason.";
        book.refuse(access(format!("exp-{name}"), &["attack 15", "case 11"], says), Expiry, token);
    }
    let missing = book.token(&json!({ "exp": null }))?;
    book.refuse(
        access("exp-missing", &["attack 15", "case 11"], "A token without an end is refused."),
        Expiry,
        missing,
    );
    let long = book.token(&json!({ "exp": 9_000_000_000_i64 }))?;
    let says = "A token that lives longer than the entry allows (a hundred years, for the kit) is refused.";
    book.refuse(access("exp-too-far", &["attack 15"], says), Expiry, long);
    let fraction = book.token_of(written(&claims()).replace(&ENDS.to_string(), &format!("{ENDS}.5")))?;
    let says = "A time may have a fraction (RFC 7519 section 2).";
    book.accept(access("exp-with-a-fraction", &["case 11"], says), SUBJECT, fraction);
    for claim in ["nbf", "iat"] {
        let token = book.token(&json!({ claim: FAR }))?;
        let says = "A token is refused before it begins, and before it was issued.";
        book.refuse(access(format!("{claim}-in-the-future"), &["attack 16", "case 12"], says), Expiry, token);
        for (name, value) in
            [("text", json!("1")), ("list", json!([])), ("negative", json!(-1)), ("huge", json!(1e300))]
        {
            let token = book.token(&json!({ claim: value }))?;
            let says = "A time is a number of seconds within reason, or missing.";
            book.refuse(access(format!("{claim}-{name}"), &["attack 16", "case 12"], says), Expiry, token);
        }
    }
    let begun = book.token(&json!({ "nbf": ISSUED }))?;
    book.accept(access("nbf-past", &["case 12"], "A token that has begun is accepted."), SUBJECT, begun);
    Ok(())
}

pub(super) fn issuers(book: &mut Book<'_>) -> Result<(), String> {
    let own = ACCESS.issuer;
    for (name, iss) in [
        ("missing", json!(null)),
        ("number", json!(1)),
        ("empty", json!("")),
        ("another", json!("https://evil.example")),
        ("with-a-slash", json!(format!("{own}/"))),
        ("cut-short", json!(&own[..own.len() - 1])),
        ("continued", json!(format!("{own}x"))),
        ("continued-with-a-path", json!(format!("{own}/../access.kit.example"))),
        ("with-nul", json!(format!("{own}\u{0}"))),
        ("upper-case", json!(own.to_uppercase())),
        ("look-alike", json!(own.replace('a', "\u{0430}"))),
        ("plain-http", json!(own.replace("https", "http"))),
        ("list", json!([own])),
        ("list-of-two", json!([own, "x"])),
        ("object", json!({ "iss": own })),
        ("escape", json!(format!("{own}\u{1b}[31m\r\nforged line"))),
    ] {
        let token = book.token(&json!({ "iss": iss }))?;
        let says = "The issuer is a text, equal byte by byte to one that is trusted.";
        book.refuse(access(format!("iss-{name}"), &["attack 17", "case 13"], says), Issuer, token);
    }
    let token = book.id_token(&json!({ "iss": ID.issuer.trim_end_matches('/') }))?;
    let says = "An issuer whose name ends with a slash is not the one without.";
    book.refuse(id("iss-without-its-slash", &["attack 17", "case 13"], says), Issuer, token);
    Ok(())
}

pub(super) fn clients(book: &mut Book<'_>) -> Result<(), String> {
    for (name, client) in [
        ("another", json!("another-client")),
        ("missing", json!(null)),
        ("empty", json!("")),
        ("list", json!(["game-client"])),
        ("upper-case", json!("GAME-CLIENT")),
    ] {
        let token = book.token(&json!({ "client_id": client }))?;
        let says = "A token for another client of the same issuer is refused.";
        book.refuse(access(format!("client-{name}"), &["attack 18", "attack 36"], says), Client, token);
    }
    let token = book.token(&json!({ "client_id": "another-client", "aud": "game-client", "azp": "game-client" }))?;
    let says = "The configured claim decides, not whichever fits.";
    book.refuse(access("client-in-other-claims", &["attack 18"], says), Client, token);
    for (number, aud) in [
        json!("game-client"),
        json!("second-client"),
        json!(["game-client"]),
        json!(["elsewhere", "game-client"]),
        json!(["game-client", "second-client"]),
    ]
    .into_iter()
    .enumerate()
    {
        let token = book.id_token(&json!({ "aud": aud }))?;
        let says = "The audience is a text, or a list of texts, one of which is the client.";
        book.accept(id(format!("aud-good-{number}"), &["case 14"], says), SUBJECT, token);
    }
    for (name, aud) in [
        ("missing", json!(null)),
        ("empty-list", json!([])),
        ("another", json!("elsewhere")),
        ("list-of-another", json!(["elsewhere"])),
        ("list-with-a-number", json!(["game-client", 5])),
        ("number", json!(5)),
        ("object", json!({ "aud": "game-client" })),
    ] {
        let token = book.id_token(&json!({ "aud": aud }))?;
        let says = "An audience that does not name the client, or is no list of texts, is refused.";
        book.refuse(id(format!("aud-{name}"), &["case 14", "attack 18"], says), Client, token);
    }
    let token = book.typed_token(&json!({}), &json!({ "azp": null, "aud": "game-client" }))?;
    let says = "The client is looked for where the entry says: here in `azp`.";
    book.refuse(typed("azp-missing", &["case 14", "attack 18"], says), Client, token);
    Ok(())
}

pub(super) fn kinds(book: &mut Book<'_>) -> Result<(), String> {
    for (name, token_use) in [
        ("id", json!("id")),
        ("refresh", json!("refresh")),
        ("upper-case", json!("Access")),
        ("missing", json!(null)),
        ("list", json!(["access"])),
        ("true", json!(true)),
    ] {
        let token = book.token(&json!({ "token_use": token_use }))?;
        let says = "Another kind of token of the same issuer does not pass for an access token.";
        book.refuse(access(format!("token-use-{name}"), &["attack 19", "case 15"], says), Client, token);
    }
    let dressed = book.id_token(&json!({ "token_use": "access", "client_id": "game-client" }))?;
    let says = "An access token does not pass for an ID token.";
    book.refuse(id("access-token-for-id-token", &["attack 19", "case 15"], says), Client, dressed);
    for (number, typ) in
        ["logout+jwt", "dpop+jwt", "secevent+jwt", "application/logout+jwt", "JOSE", ""].iter().enumerate()
    {
        let token = book.token_with_header(&json!({ "typ": typ }))?;
        let says = "Log-out, DPoP and security event tokens are signed with the same keys, and sign nobody in.";
        book.refuse(access(format!("typ-bad-{number}"), &["attack 19"], says), Client, token);
    }
    for (number, typ) in ["JWT", "jwt", "at+jwt", "application/at+jwt"].iter().enumerate() {
        let token = book.token_with_header(&json!({ "typ": typ }))?;
        let says = "The usual types are accepted, as media types are written (RFC 7515 section 4.1.9).";
        book.accept(access(format!("typ-good-{number}"), &["attack 19"], says), SUBJECT, token);
    }
    for (number, typ) in [json!("JWT"), json!(null), json!("logout+jwt")].into_iter().enumerate() {
        let token = book.typed_token(&json!({ "typ": typ }), &json!({}))?;
        let says = "Where the entry fixes the header's type, every other is refused.";
        book.refuse(typed(format!("typed-other-{number}"), &["attack 19"], says), Client, token);
    }
    Ok(())
}

pub(super) fn subjects(book: &mut Book<'_>) -> Result<(), String> {
    let bad = [
        ("missing", json!(null)),
        ("empty", json!("")),
        ("number", json!(5)),
        ("list", json!([SUBJECT])),
        ("nul", json!("player\u{0}one")),
        ("only-nul", json!("\u{0}")),
        ("newline", json!("player\none")),
        ("tab", json!("player\tone")),
        ("delete", json!("player\u{7f}one")),
        ("next-line", json!("player\u{85}one")),
        ("line-separator", json!("player\u{2028}one")),
        ("direction", json!("player\u{202e}one")),
        ("byte-order-mark", json!("\u{feff}player")),
        ("of-256-bytes", json!("x".repeat(256))),
    ];
    for (name, sub) in bad {
        let token = book.token(&json!({ "sub": sub }))?;
        let says = "A subject is a text of 1 to 255 bytes that can be printed.";
        book.refuse(access(format!("sub-{name}"), &["attack 22", "case 17"], says), Subject, token);
    }
    let cased = book.token(&json!({ "sub": null, "Sub": SUBJECT }))?;
    let says = "A subject under a name in another case is none.";
    book.refuse(access("sub-in-another-case", &["attack 7", "attack 22"], says), Subject, cased);
    let piped = book.token(&json!({ "sub": "auth0|5f7c8e9a0b1c2d3e4f5a6b7c" }))?;
    let says = "Subjects of any provider's shape are accepted.";
    book.accept(access("sub-with-a-bar", &["attack 22"], says), "auth0|5f7c8e9a0b1c2d3e4f5a6b7c", piped);
    Ok(())
}
