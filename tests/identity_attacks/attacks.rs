//! The attack list, row by row. Rows 27 to 31 are in `key_sets` and `key_sets_over_http`, row 21 is in `provider`.

use crate::support::*;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use kizuna::{
    config::{self, AccountId, Algorithm, Audience, AudienceClaim, Identity, KeySource, TokenType, TrustEntry},
    error::Error,
    identity::{HeldKeys, Keys, Metrics, Reason, Step, Trusted, Verifier},
};
use kizuna_protocol::code::Code;
use serde_json::{Value, json};
use std::{io::Write, sync::Arc};

#[tokio::test]
async fn a_good_token_is_accepted() {
    let identity = Bridge::new().accepts(&token(&json!({}))).await;
    assert_eq!((&*identity.entry, &*identity.issuer), ("pool", ISSUER));
    assert_eq!((identity.subject.as_str(), identity.account_id.as_str()), (SUBJECT, SUBJECT));
    assert_eq!((identity.expires_at, identity.issued_at), (NOW + 3_540, Some(NOW - 60)));
    assert_eq!(identity.token_id.as_deref(), Some("j-1"));
    assert_eq!(identity.claims["username"], "alice");
}

#[tokio::test]
async fn row_01_alg_none_is_refused_in_every_spelling() {
    let bridge = Bridge::new();
    for alg in ["none", "None", "nOnE", "NONE", "", "rs256", "RS256 ", "RS256\u{0}"] {
        for signature in [&b""[..], &[0; 256]] {
            let token = seal(json!({"kid": "rsa", "alg": alg}).to_string(), claims().to_string(), By::Bytes(signature));
            bridge.refuses_at(&token, Step::Algorithm).await;
        }
    }
    let unsigned = seal(header().to_string(), claims().to_string(), By::Bytes(b""));
    bridge.refuses(&unsigned, Reason::BadSignature).await;
}

#[tokio::test]
async fn row_02_a_public_key_is_no_hmac_secret() {
    let bridge = Bridge::new();
    let jwk = rsa_jwk("rsa", &RSA);
    let modulus = jwk["n"].as_str().expect("a modulus");
    for secret in [modulus.as_bytes(), jwk.to_string().as_bytes(), b"secret"] {
        let header = json!({"kid": "rsa", "alg": "HS256"}).to_string();
        bridge.refuses(&seal(header, claims().to_string(), By::Hmac(secret)), Reason::Algorithm).await;
    }
    // Symmetric keys of a set are dropped, and symmetric algorithms cannot be written into the configuration.
    let oct = json!({"kty": "oct", "kid": "oct", "alg": "HS256", "k": encode("secret")});
    assert!(Keys::parse(key_set(std::slice::from_ref(&oct)).as_bytes(), 1 << 18, 64).is_err());
    let both = TrustEntry { jwks: KeySource::Inline(key_set(&[oct, jwk])), ..entry() };
    let header = json!({"kid": "oct", "alg": "HS256"}).to_string();
    let bridge = Bridge::trusting(vec![both]);
    bridge.refuses(&seal(header, claims().to_string(), By::Hmac(b"secret")), Reason::Algorithm).await;
    bridge.accepts(&token(&json!({}))).await;
    for algorithm in ["HS256", "HS512", "none", "PS256"] {
        serde_json::from_value::<Algorithm>(json!(algorithm)).expect_err("cannot be configured");
    }
}

#[tokio::test]
async fn row_03_the_algorithm_is_the_keys_own() {
    let keys = key_set(&[rsa_jwk("rsa", &RSA), ec_jwk("ec"), ed_jwk("ed")]);
    let algorithms = vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
    let bridge = Bridge::trusting(vec![TrustEntry { jwks: KeySource::Inline(keys), algorithms, ..entry() }]);
    let signers = [("RS256", "rsa", By::Rsa(&RSA)), ("ES256", "ec", By::Ec), ("EdDSA", "ed", By::Ed)];
    for (alg, own, by) in signers {
        for (_, kid, _) in signers {
            let token = seal(json!({"kid": kid, "alg": alg}).to_string(), claims().to_string(), by);
            if kid == own {
                bridge.accepts(&token).await;
            } else {
                bridge.refuses(&token, Reason::KeyAlgorithm).await;
            }
        }
    }
    // The same keys, but the entry allows RS256 alone.
    let bridge = Bridge::new();
    bridge.refuses(&seal(r#"{"kid":"rsa","alg":"ES256"}"#, claims().to_string(), By::Ec), Reason::Algorithm).await;
    // A key that says another algorithm than its type can have is unusable.
    let lying = with(rsa_jwk("rsa", &RSA), &json!({"alg": "ES256"}));
    assert!(Keys::parse(key_set(&[lying]).as_bytes(), 1 << 18, 64).is_err());
}

#[tokio::test]
async fn row_04_a_key_id_is_looked_up_and_nothing_else() {
    let bridge = Bridge::new();
    for kid in ["../rsa", "/etc/passwd", "rsa' OR '1'='1", "rsa\u{0}", "RSA", " rsa", "%s%n", "https://evil.example/k"]
    {
        bridge.refuses(&token_with_header(&json!({"kid": kid})), Reason::UnknownKey).await;
    }
    bridge.refuses(&token_with_header(&json!({"kid": "k".repeat(257)})), Reason::KeyIdForm).await;
    bridge.refuses(&token_with_header(&json!({"kid": "k".repeat(2_000)})), Reason::HeaderTooLong).await;
    bridge.refuses(&token_with_header(&json!({"kid": "k".repeat(10_240)})), Reason::TooLong).await;
    for kid in [json!(""), json!(1), json!(["rsa"]), json!({})] {
        bridge.refuses(&token_with_header(&json!({"kid": kid})), Reason::KeyIdForm).await;
    }
    bridge.refuses(&token_with_header(&json!({"kid": null})), Reason::NoKeyId).await;
}

#[tokio::test]
async fn row_05_a_token_cannot_bring_its_keys_along() {
    let bridge = Bridge::new();
    let own_key = rsa_jwk("own", &OTHER_RSA);
    for change in [
        json!({"jwk": own_key, "kid": "own"}),
        json!({"jku": "https://evil.example/keys"}),
        json!({"x5u": "https://evil.example/cert"}),
        json!({"x5c": ["AAAA"]}),
        json!({"jwk": 1}),
    ] {
        bridge.refuses(&token_with_header(&change), Reason::HeaderParameter).await;
        let by_own = seal(with(header(), &change).to_string(), claims().to_string(), By::Rsa(&OTHER_RSA));
        bridge.refuses(&by_own, Reason::HeaderParameter).await;
    }
}

#[tokio::test]
async fn row_06_es256_signatures_are_64_bytes_with_r_and_s_in_range() {
    let keys = KeySource::Inline(key_set(&[ec_jwk("ec")]));
    let bridge = Bridge::trusting(vec![TrustEntry { jwks: keys, algorithms: vec![Algorithm::ES256], ..entry() }]);
    let header = r#"{"kid":"ec","alg":"ES256"}"#;
    let good = seal(header, claims().to_string(), By::Ec);
    bridge.accepts(&good).await;
    let signed = good.rsplit_once('.').expect("three segments").0;
    let fixed = signature(signed, By::Ec);
    // The group order of P-256 (SEC 2 section 2.4.2).
    let order: Vec<u8> =
        [0xffff_ffff_u32, 0, 0xffff_ffff, 0xffff_ffff, 0xbce6_faad, 0xa717_9e84, 0xf3b9_cac2, 0xfc63_2551]
            .iter()
            .flat_map(|word| word.to_be_bytes())
            .collect();
    let der = [&[0x30, 68, 0x02, 32][..], &fixed[..32], &[0x02, 32], &fixed[32..]].concat();
    let bad = [
        vec![0; 64],
        [&fixed[..32], &[0; 32]].concat(),
        [&[0; 32], &fixed[32..]].concat(),
        [order.as_slice(), order.as_slice()].concat(),
        fixed[..63].to_vec(),
        [fixed.as_slice(), &[0]].concat(),
        der,
        Vec::new(),
    ];
    for signature in bad {
        bridge.refuses(&format!("{signed}.{}", encode(signature)), Reason::BadSignature).await;
    }
}

#[tokio::test]
async fn row_07_duplicate_names_are_refused() {
    let bridge = Bridge::new();
    let doubled = |extra: &str| claims().to_string().replacen('{', &format!("{{{extra},"), 1);
    for payload in [
        doubled(r#""sub":"attacker""#),
        doubled(r#""s\u0075b":"attacker""#),
        doubled(r#""role":"user","role":"admin""#),
        doubled(r#""deep":{"list":[{"a":1,"a":2}]}"#),
    ] {
        bridge.refuses(&token_of(payload), Reason::DuplicateName).await;
    }
    let header = r#"{"kid":"rsa","alg":"RS256","alg":"none"}"#;
    bridge.refuses(&seal(header, claims().to_string(), By::Rsa(&RSA)), Reason::DuplicateName).await;
    // Another case is another name: it neither counts nor disturbs.
    assert_eq!(bridge.accepts(&token(&json!({"Sub": "attacker"}))).await.subject, SUBJECT);
    bridge.refuses(&token(&json!({"sub": null, "Sub": SUBJECT})), Reason::Subject).await;
}

#[tokio::test]
async fn row_08_length_is_judged_first_and_dots_are_not_counted() {
    let bridge = Bridge::new();
    bridge.refuses(&token(&json!({"pad": "x".repeat(9_000)})), Reason::TooLong).await;
    bridge.refuses(&".".repeat(1 << 20), Reason::TooLong).await;
    bridge.refuses(&".".repeat(8_192), Reason::Segments).await;
    bridge.refuses(&"a".repeat(8_192), Reason::Segments).await;
    let small = Bridge::with(&Identity { max_token_bytes: 100, ..trusting(vec![entry()]) });
    small.refuses(&token(&json!({})), Reason::TooLong).await;
}

#[tokio::test]
async fn row_09_depth_and_members_are_bounded() {
    let bridge = Bridge::new();
    let deep = format!("{}1{}", "[".repeat(2_000), "]".repeat(2_000));
    bridge.refuses(&token_of(format!("{{\"a\":{deep}}}")), Reason::TooDeep).await;
    let wide: Vec<_> = (0..300).map(|n| format!("\"{n}\":1")).collect();
    bridge.refuses(&token_of(format!("{{{}}}", wide.join(","))), Reason::TooManyMembers).await;
    let deep_header = format!(r#"{{"kid":"rsa","alg":"RS256","a":{}}}"#, "[".repeat(20) + &"]".repeat(20));
    bridge.refuses(&seal(deep_header, claims().to_string(), By::Rsa(&RSA)), Reason::TooDeep).await;
}

#[tokio::test]
async fn row_10_base64url_has_one_spelling() {
    let bridge = Bridge::new();
    let (signed, good) = {
        let token = token(&json!({}));
        let (signed, signature) = token.rsplit_once('.').expect("three segments");
        (signed.to_owned(), signature.to_owned())
    };
    bridge.accepts(&format!("{signed}.{good}")).await;
    let bytes = signature(&signed, By::Rsa(&RSA));
    // 256 bytes leave four bits over in the last character: any of the fifteen others would decode to the same bytes.
    let loose = format!("{}{}", &good[..good.len() - 1], if good.ends_with('A') { 'B' } else { next_char(&good) });
    for spelling in [
        URL_SAFE.encode(&bytes),
        STANDARD.encode(&bytes),
        format!("{good}="),
        format!("{good} "),
        format!("{good}\n"),
        format!(" {good}"),
        format!("{}\n{}", &good[..9], &good[9..]),
        loose,
    ] {
        bridge.refuses(&format!("{signed}.{spelling}"), Reason::Base64).await;
    }
    let (header, payload) = signed.split_once('.').expect("two segments");
    bridge.refuses(&format!("{header}=.{payload}.{good}"), Reason::Base64).await;
    bridge.refuses(&format!("{header}.{payload}=.{good}"), Reason::Base64).await;
}

/// The character after the last one of `text`, which has its low four bits set to zero.
fn next_char(text: &str) -> char {
    char::from(text.as_bytes().last().expect("not empty") + 1)
}

#[tokio::test]
async fn row_11_extensions_are_refused_whatever_they_say() {
    let bridge = Bridge::new();
    for change in [
        json!({"crit": ["exp"], "exp": NOW + 60}),
        json!({"crit": []}),
        json!({"crit": ["b64"], "b64": false}),
        json!({"b64": true}),
        json!({"zip": "DEF"}),
        json!({"enc": "A256GCM"}),
        json!({"cty": "JWT"}),
    ] {
        bridge.refuses(&token_with_header(&change), Reason::HeaderParameter).await;
    }
}

#[tokio::test]
async fn row_12_nested_and_encrypted_tokens_are_refused() {
    let bridge = Bridge::new();
    let inner = token(&json!({}));
    bridge.refuses(&format!("{inner}.{}.{}", encode("tag"), encode("iv")), Reason::Segments).await;
    bridge.refuses(&token_of(&inner), Reason::Json).await;
    bridge.refuses(&token_of(format!("\"{inner}\"")), Reason::NotAnObject).await;
    let jwe = format!("{}.a.b.c.d", encode(r#"{"alg":"RSA-OAEP","enc":"A256GCM","cty":"JWT"}"#));
    bridge.refuses(&jwe, Reason::Segments).await;
}

#[tokio::test]
async fn row_13_only_the_compact_form_is_read() {
    let bridge = Bridge::new();
    let good = token(&json!({}));
    let parts: Vec<_> = good.split('.').collect();
    let flattened = json!({"protected": parts[0], "payload": parts[1], "signature": parts[2]}).to_string();
    bridge.refuses_at(&flattened, Step::Format).await;
    let mixed = format!("{{\"{good}\":\"\",\"payload\":\"{}\"}}", parts[1]);
    bridge.refuses_at(&mixed, Step::Format).await;
    bridge.refuses_at(&format!("Bearer {good}"), Step::Format).await;
}

#[tokio::test]
async fn row_14_a_payload_that_is_an_array_is_refused() {
    let payload = json!([NOW + 60, null, SUBJECT, ISSUER, CLIENT]).to_string();
    Bridge::new().refuses(&token_of(payload), Reason::NotAnObject).await;
}

#[tokio::test]
async fn row_15_exp_is_a_number_within_reason() {
    let bridge = Bridge::new();
    for exp in [
        "\"1900000000\"",
        "null",
        "true",
        "[1900000000]",
        "{}",
        "-1",
        "1e300",
        "9000000000000000",
        "18446744073709551616",
    ] {
        let payload = claims().to_string().replace(&format!("\"exp\":{}", NOW + 3_540), &format!("\"exp\":{exp}"));
        bridge.refuses(&token_of(payload), Reason::TimeForm).await;
    }
    bridge.refuses(&token_of(claims().to_string().replace(&(NOW + 3_540).to_string(), "1e400")), Reason::Json).await;
    bridge.refuses(&token(&json!({"exp": null})), Reason::TimeForm).await;
    // A fraction is cut off: good until the second, not until the fraction's end.
    let at = |exp: f64| token(&json!({"exp": exp}));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let edge = (NOW - 60) as f64;
    assert_eq!(bridge.accepts(&at(edge + 1.999)).await.expires_at, NOW - 59);
    bridge.refuses(&at(edge + 0.999), Reason::Expired).await;
    // Longest lifetime: a day, counted from `iat`, and without `iat` from now.
    bridge.accepts(&token(&json!({"exp": NOW - 60 + 86_400}))).await;
    bridge.refuses(&token(&json!({"exp": NOW - 60 + 86_401})), Reason::Lifetime).await;
    bridge.refuses(&token(&json!({"iat": null, "exp": NOW + 86_401})), Reason::Lifetime).await;
}

#[tokio::test]
async fn row_16_nbf_and_iat_may_not_be_in_the_future() {
    let bridge = Bridge::new();
    for (claim, reason) in [("nbf", Reason::NotYet), ("iat", Reason::IssuedLater)] {
        bridge.accepts(&token(&json!({claim: NOW + 60}))).await;
        bridge.refuses(&token(&json!({claim: NOW + 61})), reason).await;
        for malformed in [json!("1"), json!([]), json!(-1), json!(1e300)] {
            bridge.refuses(&token(&json!({claim: malformed})), Reason::TimeForm).await;
        }
    }
    bridge.accepts(&token(&json!({"iat": null}))).await;
    let aged = Bridge::trusting(vec![TrustEntry { max_age_sec: 300, skew_sec: 0, ..entry() }]);
    aged.accepts(&token(&json!({"iat": NOW - 300}))).await;
    aged.refuses(&token(&json!({"iat": NOW - 301})), Reason::TooOld).await;
    aged.refuses(&token(&json!({"iat": null})), Reason::TimeForm).await;
}

#[tokio::test]
async fn row_17_the_issuer_is_compared_byte_by_byte() {
    let bridge = Bridge::new();
    let like = ISSUER.replace("amazonaws", "am\u{0430}zonaws");
    let cased = ISSUER.to_uppercase();
    for iss in [
        json!(format!("{ISSUER}/")),
        json!(&ISSUER[..ISSUER.len() - 1]),
        json!(format!("{ISSUER}x")),
        json!(format!("{ISSUER}\u{0}")),
        json!(cased),
        json!(like),
        json!([ISSUER]),
        json!([ISSUER, "x"]),
        json!({"iss": ISSUER}),
        json!(1),
        json!(""),
        json!(null),
    ] {
        bridge.refuses(&token(&json!({"iss": iss})), Reason::Issuer).await;
    }
}

#[tokio::test]
async fn row_18_tokens_of_other_clients_are_refused() {
    let bridge = Bridge::new();
    for client in [json!("other"), json!(null), json!(""), json!([CLIENT]), json!(CLIENT.to_uppercase())] {
        bridge.refuses(&token(&json!({"client_id": client})), Reason::Audience).await;
    }
    // The configured claim decides, not whichever fits.
    bridge.refuses(&token(&json!({"client_id": "other", "aud": CLIENT, "azp": CLIENT})), Reason::Audience).await;
    let audience = Audience { claim: AudienceClaim::Aud, any_of: vec![CLIENT.into()] };
    let by_aud = Bridge::trusting(vec![TrustEntry { audience, ..entry() }]);
    by_aud.refuses(&token(&json!({})), Reason::Audience).await;
    by_aud.accepts(&token(&json!({"aud": CLIENT, "client_id": "other"}))).await;
}

#[tokio::test]
async fn row_19_another_kind_of_token_does_not_pass() {
    let bridge = Bridge::new();
    for token_use in [json!("id"), json!("refresh"), json!("Access"), json!(null), json!(["access"]), json!(true)] {
        bridge.refuses(&token(&json!({"token_use": token_use})), Reason::TokenType).await;
    }
    for typ in ["logout+jwt", "dpop+jwt", "secevent+jwt", "application/logout+jwt", "JOSE", ""] {
        bridge.refuses(&token_with_header(&json!({"typ": typ})), Reason::TokenType).await;
    }
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt"] {
        bridge.accepts(&token_with_header(&json!({"typ": typ}))).await;
    }
    bridge.refuses(&token_with_header(&json!({"typ": 1})), Reason::TypeForm).await;
    let token_type = TokenType { header: "typ".into(), equals: "at+jwt".into(), ..TokenType::default() };
    let by_header = Bridge::trusting(vec![TrustEntry { token_type, ..entry() }]);
    by_header.accepts(&token_with_header(&json!({"typ": "at+jwt"}))).await;
    for typ in [json!("JWT"), json!(null), json!("logout+jwt")] {
        by_header.refuses(&token_with_header(&json!({"typ": typ})), Reason::TokenType).await;
    }
}

#[tokio::test]
async fn row_20_keys_count_for_their_own_issuer_alone() {
    let prefixed = |entry| TrustEntry { account_id: AccountId::Prefixed, ..entry };
    let other = |kid: &str| {
        prefixed(TrustEntry {
            name: "other".into(),
            issuers: vec![OTHER_ISSUER.into()],
            jwks: KeySource::Inline(key_set(&[rsa_jwk(kid, &OTHER_RSA)])),
            ..entry()
        })
    };
    let payload = |issuer: &str| with(claims(), &json!({"iss": issuer})).to_string();
    let signed = |kid: &str, issuer: &str, key| {
        seal(json!({"kid": kid, "alg": "RS256"}).to_string(), payload(issuer), By::Rsa(key))
    };
    // Different key ids: the other issuer's key is unknown here.
    let bridge = Bridge::trusting(vec![prefixed(entry()), other("other-rsa")]);
    bridge.refuses(&signed("other-rsa", ISSUER, &OTHER_RSA), Reason::UnknownKey).await;
    bridge.refuses(&signed("rsa", OTHER_ISSUER, &RSA), Reason::UnknownKey).await;
    // One key id in both sets: each issuer has its own key under it.
    let bridge = Bridge::trusting(vec![prefixed(entry()), other("rsa")]);
    bridge.refuses(&signed("rsa", ISSUER, &OTHER_RSA), Reason::BadSignature).await;
    bridge.refuses(&signed("rsa", OTHER_ISSUER, &RSA), Reason::BadSignature).await;
    assert_eq!(bridge.accepts(&signed("rsa", ISSUER, &RSA)).await.account_id, format!("pool:{SUBJECT}"));
    assert_eq!(bridge.accepts(&signed("rsa", OTHER_ISSUER, &OTHER_RSA)).await.account_id, format!("other:{SUBJECT}"));
}

#[tokio::test]
async fn row_22_the_subject_is_1_to_255_printable_bytes() {
    let bridge = Bridge::trusting(vec![TrustEntry { account_id: AccountId::Prefixed, ..entry() }]);
    let bad = ["", "a\u{0}b", "\u{0}", "a\nb", "a\tb", "\u{7f}", "\u{85}", "a\u{2028}b", "a\u{202e}b", "\u{feff}a"];
    for sub in bad.iter().map(|sub| json!(sub)).chain([json!("x".repeat(256)), json!(5), json!([SUBJECT]), json!(null)])
    {
        bridge.refuses(&token(&json!({"sub": sub})), Reason::Subject).await;
    }
    for sub in ["x", "auth0|5f7c8e", "名前", &"x".repeat(255)] {
        assert_eq!(bridge.accepts(&token(&json!({"sub": sub}))).await.subject, sub);
    }
    // Bare, the subject must also be a custom id.
    let bare = Bridge::new();
    for sub in ["short", "with space", &"x".repeat(129)] {
        bare.refuses(&token(&json!({"sub": sub})), Reason::SubjectUnfit).await;
    }
}

/// Mapping claims into session variables is not there yet: claims are handed on as they are, and none becomes identity.
#[tokio::test]
async fn row_23_claims_stay_claims() {
    let hostile = json!({"__proto__": {"admin": true}, "vrs": {"role": "admin"}, "uid": "victim", "account_id": "victim", "role": 7});
    let identity = Bridge::new().accepts(&token(&hostile)).await;
    assert_eq!((identity.subject.as_str(), identity.account_id.as_str()), (SUBJECT, SUBJECT));
    for (name, value) in hostile.as_object().expect("an object") {
        assert_eq!(identity.claims.get(name), Some(value));
    }
}

#[test]
fn row_32_weak_keys_are_unusable_before_any_token_comes() {
    let usable = |jwk: Value| Keys::parse(key_set(&[jwk]).as_bytes(), 1 << 18, 64).is_ok();
    let rsa = rsa_jwk("rsa", &RSA);
    assert!(usable(rsa.clone()));
    let short = encode([&[0xc3; 127][..], &[1]].concat());
    let bits_2047 = encode([&[0x7f][..], &[0xc3; 254], &[1]].concat());
    for change in [
        json!({"n": short}),
        json!({"n": bits_2047}),
        json!({"n": encode([0xfe; 256])}),
        json!({"n": ""}),
        json!({"n": encode([0; 256])}),
        json!({"n": encode([0xff; 1_025])}),
        json!({"e": encode([1])}),
        json!({"e": encode([3])}),
        json!({"e": encode([1, 0, 0])}),
        json!({"e": encode([0xff; 9])}),
        json!({"e": ""}),
        json!({"d": "AAAA"}),
    ] {
        assert!(!usable(with(rsa.clone(), &change)), "{change}");
    }
    let ed = ed_jwk("ed");
    assert!(usable(ed.clone()));
    let order_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    let order_8: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&order_8[2 * at..2 * at + 2], 16).expect("hex")).collect();
    let near_p = |low: u8| [&[low][..], &[0xff; 30], &[0x7f]].concat();
    let mut small = vec![vec![0; 32], [&[1][..], &[0; 31]].concat(), order_8, near_p(0xec), near_p(0xed), near_p(0xee)];
    let signed: Vec<_> = small.iter().map(|point| [&point[..31], &[point[31] | 0x80]].concat()).collect();
    small.extend(signed);
    for point in small {
        assert!(!usable(with(ed.clone(), &json!({"x": encode(&point)}))), "{point:02x?}");
    }
    assert!(!usable(with(ec_jwk("ec"), &json!({"y": encode([9; 32])}))), "not on the curve");
}

#[tokio::test]
async fn row_33_every_refusal_is_one_answer() {
    let bridge = Bridge::new();
    let tokens = [
        "garbage".to_owned(),
        token_with_header(&json!({"alg": "none"})),
        token_with_header(&json!({"kid": "unknown"})),
        seal(header().to_string(), claims().to_string(), By::Rsa(&OTHER_RSA)),
        token(&json!({"exp": NOW - 1_000})),
        token(&json!({"iss": "https://evil.example"})),
        token(&json!({"client_id": "other"})),
        token(&json!({"token_use": "id"})),
        token(&json!({"sub": ""})),
    ];
    let mut steps = Vec::new();
    for token in tokens {
        let refusal = bridge.refusal(&token).await;
        steps.push(refusal.step());
        let error = Error::from(refusal);
        assert_eq!((error.code(), error.message()), (Code::Unauthenticated, "Identity token refused."));
        assert_eq!(error.code().http_status(), 401);
        assert!(error.cause().is_none());
    }
    let expected = [
        Step::Format,
        Step::Algorithm,
        Step::Signature,
        Step::Signature,
        Step::Expiry,
        Step::Issuer,
        Step::Client,
        Step::Client,
        Step::Subject,
    ];
    assert_eq!(steps, expected);
    // Which step it was is in the metrics, by entry.
    let metrics = bridge.verifier.metrics();
    assert_eq!(metrics.verifications("pool", ISSUER, "client", "refused"), 2);
    assert_eq!(metrics.verifications("none", "none", "format", "refused"), 1);
    bridge.accepts(&token(&json!({}))).await;
    assert_eq!(metrics.verifications("pool", ISSUER, "all", "accepted"), 1);
}

#[tokio::test]
async fn row_34_garbage_costs_no_signature() {
    let bridge = Bridge::new();
    let metrics = bridge.verifier.metrics();
    for token in [
        "x".repeat(1 << 20),
        ".".repeat(8_000),
        "a.b.c".to_owned(),
        token_with_header(&json!({"alg": "HS256"})),
        token_with_header(&json!({"kid": "unknown"})),
        token_with_header(&json!({"kid": null})),
        token(&json!({"iss": "https://evil.example"})),
    ] {
        bridge.refusal(&token).await;
    }
    assert_eq!(metrics.signature_checks(), 0, "each was refused by a cheaper check");
    bridge.refuses(&seal(header().to_string(), claims().to_string(), By::Rsa(&OTHER_RSA)), Reason::BadSignature).await;
    assert_eq!(metrics.signature_checks(), 1);
}

#[tokio::test]
async fn row_35_expiry_follows_the_clock_when_it_jumps() {
    let bridge = Bridge::new();
    let token = token(&json!({}));
    bridge.accepts(&token).await;
    bridge.clock.advance_seconds(7_200);
    bridge.refuses(&token, Reason::Expired).await;
    bridge.clock.advance_seconds(-7_200);
    bridge.accepts(&token).await;
    bridge.clock.advance_seconds(-7_200);
    bridge.refuses(&token, Reason::IssuedLater).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_35_a_key_change_during_verifications_disturbs_none() {
    let keys = |list: &[Value]| Keys::parse(key_set(list).as_bytes(), 1 << 18, 64).expect("usable");
    let held = HeldKeys::default();
    held.replace(keys(&[rsa_jwk("rsa", &RSA)]));
    let trusted = vec![Trusted { entry: entry(), keys: held.clone() }];
    let clock = kizuna::clock::Clock::manual(NOW);
    let verifier = Verifier::new(&Identity::default(), &trusted, clock, Metrics::default()).expect("starts");
    let changes = tokio::task::spawn_blocking(move || {
        for _ in 0..200 {
            held.replace(keys(&[rsa_jwk("new", &OTHER_RSA), rsa_jwk("rsa", &RSA)]));
            held.replace(keys(&[rsa_jwk("rsa", &RSA)]));
        }
    });
    let token = token(&json!({}));
    for _ in 0..200 {
        verifier.verify(&token).await.expect("its key is in every set");
    }
    changes.await.expect("no panic");
}

/// Binding an issuer to a tenant is not there yet. What is: a tenant's clients and issuers are walled off by the entry, and no
/// claim of a token moves it to another account.
#[tokio::test]
async fn row_36_no_claim_moves_a_player_to_another_tenant() {
    let tenant = |name: &str, issuer: &str, client: &str| TrustEntry {
        name: name.into(),
        issuers: vec![issuer.into()],
        audience: Audience { claim: AudienceClaim::ClientId, any_of: vec![client.into()] },
        account_id: AccountId::Prefixed,
        ..entry()
    };
    let bridge = Bridge::trusting(vec![tenant("red", ISSUER, "red-game"), tenant("blue", OTHER_ISSUER, "blue-game")]);
    let of = |issuer: &str, client: &str, tenant: Value| {
        token(&json!({"iss": issuer, "client_id": client, "tenant_id": tenant}))
    };
    for claimed in [json!("blue"), json!(["blue"]), json!(null)] {
        let identity = bridge.accepts(&of(ISSUER, "red-game", claimed)).await;
        assert_eq!(identity.account_id, format!("red:{SUBJECT}"));
    }
    bridge.refuses(&of(ISSUER, "blue-game", json!("blue")), Reason::Audience).await;
}

#[tokio::test]
async fn row_37_nothing_of_a_token_reaches_the_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let bridge = Bridge::new();
    let hostile = "evil\u{1b}[31m\r\nforged line";
    let tokens = [
        format!("{hostile}.{hostile}.{hostile}"),
        token_with_header(&json!({"kid": hostile})),
        token_with_header(&json!({"alg": hostile})),
        token(&json!({"iss": hostile})),
        token(&json!({"sub": hostile})),
        token(&json!({"client_id": hostile})),
        token(&json!({"exp": hostile})),
        token(&json!({"username": hostile})),
    ];
    for token in &tokens {
        let outcome = bridge.verifier.verify(token).await;
        let shown = format!("{outcome:?}");
        assert!(!shown.contains("evil") && !shown.contains(&token[..20]), "{shown}");
    }
    let text = log.text();
    assert!(text.contains("identity token refused"), "the refusals are logged: {text}");
    assert!(!text.contains("evil") && !text.contains("forged"), "{text}");
    assert!(tokens.iter().all(|token| !text.contains(token.as_str()) && !text.contains(&token[..20])), "{text}");
    let secret = config::Secret::from("x-secret");
    assert!(!format!("{secret:?}").contains("x-secret"));
}

/// What a subscriber wrote.
#[derive(Clone, Default)]
struct Log(Arc<parking_lot::Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
