//! The cases that any verifier must survive: the table beside the attack list, row by row. Those about fetching are in `key_sets`.

use crate::support::*;
use kizuna::{
    config::{AccountId, Audience, AudienceClaim, ConfigError, Identity, KeySource, Preset, TokenType, TrustEntry},
    identity::{Reason, Step, Verifier, parse_token},
};
use serde_json::{Value, json};

#[tokio::test]
async fn format_is_three_segments_of_base64url_json_objects() {
    let bridge = Bridge::new();
    let good = token(&json!({}));
    let parts: Vec<_> = good.split('.').collect();
    for broken in [
        "",
        ".",
        "..",
        "...",
        "....",
        parts[0],
        &parts[..2].join("."),
        &format!("{good}."),
        &format!("{good}.a.b"),
        &format!(".{good}"),
    ] {
        bridge.refuses_at(broken, Step::Format).await;
    }
    for payload in ["", "x", "[]", "1", "\"text\"", "null", "true", "{\"a\":}", "{} {}", "\u{feff}{}"] {
        bridge.refuses_at(&token_of(payload), Step::Format).await;
        bridge.refuses_at(&seal(payload, claims().to_string(), By::Rsa(&RSA)), Step::Format).await;
    }
    bridge.refuses_at(&format!("!.{}.{}", parts[1], parts[2]), Step::Format).await;
    bridge.refuses_at(&format!("{}.é.{}", parts[0], parts[2]), Step::Format).await;
    bridge.refuses_at(&token_of([0xff, 0xfe]), Step::Format).await;
}

#[tokio::test]
async fn algorithm_must_be_the_allowed_one_exactly() {
    let bridge = Bridge::new();
    for alg in [
        json!(null),
        json!(1),
        json!(["RS256"]),
        json!("none"),
        json!("NonE"),
        json!("PS256"),
        json!("HS256"),
        json!("RS384"),
        json!("ES256"),
    ] {
        bridge.refuses(&token_with_header(&json!({"alg": alg})), Reason::Algorithm).await;
    }
}

async fn accepts_with_keys(keys: &[Value]) {
    let keyed = TrustEntry { jwks: KeySource::Inline(key_set(keys)), ..entry() };
    Bridge::trusting(vec![keyed]).accepts(&token(&json!({}))).await;
}

#[tokio::test]
async fn a_key_may_leave_out_alg_and_use() {
    let bare = with(rsa_jwk("rsa", &RSA), &json!({"alg": null, "use": null}));
    accepts_with_keys(std::slice::from_ref(&bare)).await;
    accepts_with_keys(&[with(bare, &json!({"key_ops": ["verify"], "x5t": "abc"}))]).await;
}

#[tokio::test]
async fn unusable_keys_harm_no_other() {
    let bad = |change: Value| with(rsa_jwk("bad", &OTHER_RSA), &change);
    let unusable = [
        bad(json!({"use": "enc"})),
        bad(json!({"n": null})),
        bad(json!({"e": null})),
        bad(json!({"kty": "EC"})),
        bad(json!({"kty": "unheard-of"})),
        bad(json!({"kty": null})),
        bad(json!({"alg": "RSA-OAEP"})),
        bad(json!({"alg": "PS256"})),
        bad(json!({"alg": 7})),
        bad(json!({"kid": null})),
        bad(json!({"kid": 7})),
        bad(json!({"key_ops": ["encrypt"]})),
        bad(json!({"n": "not base64!"})),
        with(ec_jwk("bad"), &json!({"crv": null})),
        with(ec_jwk("bad"), &json!({"x": null})),
        with(ec_jwk("bad"), &json!({"y": null})),
        with(ec_jwk("bad"), &json!({"crv": "P-384"})),
        with(ed_jwk("bad"), &json!({"crv": "X25519"})),
        with(ed_jwk("bad"), &json!({"x": encode([1; 31])})),
        json!("no object"),
        json!(null),
    ];
    for jwk in unusable {
        accepts_with_keys(&[jwk.clone(), rsa_jwk("rsa", &RSA)]).await;
        let alone = TrustEntry { jwks: KeySource::Inline(key_set(std::slice::from_ref(&jwk))), ..entry() };
        let error = Verifier::check(&trusting(vec![alone])).expect_err("no usable key");
        assert_eq!(error.path, "identity.trust[0].jwks.inline", "{jwk}");
    }
}

#[tokio::test]
async fn two_keys_under_one_id_are_neither() {
    let keys = key_set(&[rsa_jwk("rsa", &RSA), rsa_jwk("twice", &RSA), rsa_jwk("twice", &OTHER_RSA)]);
    let bridge = Bridge::trusting(vec![TrustEntry { jwks: KeySource::Inline(keys), ..entry() }]);
    bridge.refuses(&token_with_header(&json!({"kid": "twice"})), Reason::UnknownKey).await;
    bridge.accepts(&token(&json!({}))).await;
}

#[tokio::test]
async fn a_key_id_is_needed_and_must_be_known() {
    let bridge = Bridge::new();
    bridge.refuses(&token_with_header(&json!({"kid": null})), Reason::NoKeyId).await;
    bridge.refuses(&token_with_header(&json!({"kid": 1})), Reason::KeyIdForm).await;
    bridge.refuses(&token_with_header(&json!({"kid": "absent"})), Reason::UnknownKey).await;
}

#[tokio::test]
async fn a_signature_covers_every_byte_and_is_the_keys() {
    let bridge = Bridge::new();
    let good = token(&json!({}));
    let parts: Vec<_> = good.split('.').collect();
    let forged = encode(with(claims(), &json!({"sub": "attacker"})).to_string());
    bridge.refuses(&format!("{}.{forged}.{}", parts[0], parts[2]), Reason::BadSignature).await;
    let other_header = encode(with(header(), &json!({"extra": 1})).to_string());
    bridge.refuses(&format!("{other_header}.{}.{}", parts[1], parts[2]), Reason::BadSignature).await;
    bridge.refuses(&seal(header().to_string(), claims().to_string(), By::Rsa(&OTHER_RSA)), Reason::BadSignature).await;
    let bytes = signature(&format!("{}.{}", parts[0], parts[1]), By::Rsa(&RSA));
    let mut flipped = bytes.clone();
    flipped[100] ^= 1;
    for bad in [Vec::new(), vec![0; 256], bytes[..255].to_vec(), [&[0][..], &bytes].concat(), flipped] {
        bridge.refuses(&format!("{}.{}.{}", parts[0], parts[1], encode(bad)), Reason::BadSignature).await;
    }
}

#[tokio::test]
async fn expiry_has_an_exact_boundary() {
    let bridge = Bridge::new();
    bridge.accepts(&token(&json!({"exp": NOW - 59}))).await;
    bridge.refuses(&token(&json!({"exp": NOW - 60})), Reason::Expired).await;
    let strict = Bridge::trusting(vec![TrustEntry { skew_sec: 0, ..entry() }]);
    strict.accepts(&token(&json!({"exp": NOW + 1}))).await;
    strict.refuses(&token(&json!({"exp": NOW})), Reason::Expired).await;
    for exp in [json!("soon"), json!(null), json!(-1), json!(1e300)] {
        bridge.refuses(&token(&json!({"exp": exp})), Reason::TimeForm).await;
    }
}

#[tokio::test]
async fn not_before_has_an_exact_boundary() {
    let strict = Bridge::trusting(vec![TrustEntry { skew_sec: 0, ..entry() }]);
    strict.accepts(&token(&json!({"nbf": NOW}))).await;
    strict.refuses(&token(&json!({"nbf": NOW + 1})), Reason::NotYet).await;
    strict.refuses(&token(&json!({"iat": NOW + 1})), Reason::IssuedLater).await;
}

#[tokio::test]
async fn the_issuer_is_one_of_the_configured_exactly() {
    let bridge = Bridge::new();
    for iss in [
        json!(null),
        json!(7),
        json!("https://other"),
        json!(format!("{ISSUER}/")),
        json!(ISSUER.to_uppercase()),
        json!([ISSUER]),
    ] {
        bridge.refuses(&token(&json!({"iss": iss})), Reason::Issuer).await;
    }
}

#[tokio::test]
async fn the_audience_is_a_string_or_a_list_of_strings() {
    let audience = Audience { claim: AudienceClaim::Aud, any_of: vec![CLIENT.into(), "second".into()] };
    let bridge = Bridge::trusting(vec![TrustEntry { audience, ..entry() }]);
    for aud in
        [json!(CLIENT), json!("second"), json!([CLIENT]), json!(["elsewhere", CLIENT]), json!([CLIENT, "second"])]
    {
        bridge.accepts(&token(&json!({"aud": aud}))).await;
    }
    for aud in [
        json!(null),
        json!([]),
        json!("elsewhere"),
        json!(["elsewhere"]),
        json!([CLIENT, 5]),
        json!(5),
        json!({"aud": CLIENT}),
    ] {
        bridge.refuses(&token(&json!({"aud": aud})), Reason::Audience).await;
    }
    let azp = Audience { claim: AudienceClaim::Azp, any_of: vec![CLIENT.into()] };
    let bridge = Bridge::trusting(vec![TrustEntry { audience: azp, ..entry() }]);
    bridge.accepts(&token(&json!({"azp": CLIENT}))).await;
    bridge.refuses(&token(&json!({"aud": CLIENT})), Reason::Audience).await;
}

/// A Cognito pool with an entry for each of its tokens.
fn pool() -> Vec<TrustEntry> {
    let access = TrustEntry {
        name: "access".into(),
        preset: Preset::CognitoAccess,
        region: "eu-west-1".into(),
        user_pool_id: "eu-west-1_AbCdEf123".into(),
        jwks: entry().jwks,
        audience: Audience { any_of: vec![CLIENT.into()], ..Audience::default() },
        ..TrustEntry::default()
    };
    vec![access.clone(), TrustEntry { name: "id".into(), preset: Preset::CognitoId, ..access }]
}

#[tokio::test]
async fn access_and_id_tokens_pass_only_where_they_belong() {
    let id_claims = json!({"token_use": "id", "aud": CLIENT, "client_id": null, "username": null});
    let both = Bridge::trusting(pool());
    let access = both.accepts(&token(&json!({}))).await;
    let id = both.accepts(&token(&id_claims)).await;
    assert_eq!((&*access.entry, &*id.entry), ("access", "id"));
    assert_eq!(access.account_id, id.account_id, "one person, one account");
    both.refuses(&token(&json!({"token_use": null})), Reason::TokenType).await;
    // An ID token dressed as an access token, and the reverse: the client claim of the other kind is missing.
    both.refuses(&token(&with(id_claims.clone(), &json!({"token_use": "access"}))), Reason::Audience).await;
    both.refuses(&token(&json!({"token_use": "id"})), Reason::Audience).await;
    let only_access = Bridge::trusting(pool()[..1].to_vec());
    only_access.refuses(&token(&with(id_claims.clone(), &json!({"client_id": CLIENT}))), Reason::TokenType).await;
    let only_id = Bridge::trusting(pool()[1..].to_vec());
    only_id.refuses(&token(&json!({"aud": CLIENT})), Reason::TokenType).await;
}

#[tokio::test]
async fn both_issuer_forms_of_a_cognito_pool_are_accepted() {
    let bridge = Bridge::trusting(pool());
    for host in ["cognito-idp", "issuer-cognito-idp"] {
        let issuer = format!("https://{host}.eu-west-1.amazonaws.com/eu-west-1_AbCdEf123");
        let identity = bridge.accepts(&token(&json!({"iss": issuer}))).await;
        assert_eq!((&*identity.issuer, identity.account_id.as_str()), (issuer.as_str(), SUBJECT));
    }
    bridge
        .refuses(
            &token(&json!({"iss": "https://cognito-idp.us-east-1.amazonaws.com/eu-west-1_AbCdEf123"})),
            Reason::Issuer,
        )
        .await;
}

/// Scopes and groups cannot be required yet: the key is refused, so nobody takes it for a check.
#[test]
fn required_scopes_and_groups_cannot_be_configured() {
    for key in ["scope", "scopes", "groups", "required_scopes"] {
        let text = format!("name = \"a\"\n{key} = [\"x\"]");
        toml::from_str::<TrustEntry>(&text).expect_err("an unknown key");
    }
}

#[tokio::test]
async fn unicode_is_accepted_and_its_traps_are_not() {
    let bridge = Bridge::new();
    let identity = bridge.accepts(&token(&json!({"name": "Zoë 🎮 名前", "sub": "プレイヤー一号"}))).await;
    assert_eq!((identity.subject.as_str(), &identity.claims["name"]), ("プレイヤー一号", &json!("Zoë 🎮 名前")));
    let raw = |sub: &str| token_of(claims().to_string().replace(SUBJECT, sub));
    bridge.refuses(&raw(r"player-\ud800"), Reason::Json).await;
    bridge.refuses(&raw(r"player-\u0000"), Reason::Subject).await;
    bridge.refuses(&raw(r"\ufeffplayer"), Reason::Subject).await;
    assert_eq!(bridge.accepts(&raw(r"player-\ud83c\udfae")).await.subject, "player-🎮");
}

#[tokio::test]
async fn of_several_issuers_the_token_meets_its_own() {
    let second = TrustEntry {
        name: "second".into(),
        issuers: vec![OTHER_ISSUER.into()],
        jwks: KeySource::Inline(key_set(&[rsa_jwk("second", &OTHER_RSA)])),
        account_id: AccountId::Prefixed,
        ..entry()
    };
    let bridge = Bridge::trusting(vec![TrustEntry { account_id: AccountId::Prefixed, ..entry() }, second]);
    let by_second = |kid: &str, iss: &str| {
        let payload = with(claims(), &json!({"iss": iss})).to_string();
        seal(json!({"kid": kid, "alg": "RS256"}).to_string(), payload, By::Rsa(&OTHER_RSA))
    };
    assert_eq!(&*bridge.accepts(&by_second("second", OTHER_ISSUER)).await.entry, "second");
    bridge.refuses(&by_second("second", ISSUER), Reason::UnknownKey).await;
    assert_eq!(bridge.refusal(&by_second("second", ISSUER)).await.entry.as_deref(), Some("pool"));
}

fn refused(entries: Vec<TrustEntry>) -> ConfigError {
    Verifier::check(&trusting(entries)).expect_err("must not start")
}

#[test]
fn an_entry_that_leaves_a_check_out_does_not_start() {
    Verifier::check(&trusting(vec![entry()])).expect("complete");
    for (entry, path) in [
        (TrustEntry { issuers: Vec::new(), ..entry() }, "issuers"),
        (TrustEntry { audience: Audience::default(), ..entry() }, "audience.any_of"),
        (TrustEntry { token_type: TokenType::default(), ..entry() }, "token_type"),
        (TrustEntry { algorithms: Vec::new(), ..entry() }, "algorithms"),
        (TrustEntry { skew_sec: 301, ..entry() }, "skew_sec"),
        (TrustEntry { name: "Not Plain".into(), ..entry() }, "name"),
        (TrustEntry { jwks: KeySource::Inline("{}".into()), ..entry() }, "jwks.inline"),
        (TrustEntry { jwks: KeySource::Url("http://keys.example/jwks".into()), ..entry() }, "jwks.url"),
    ] {
        assert_eq!(refused(vec![entry]).path, format!("identity.trust[0].{path}"));
    }
    let twice = vec![entry(), TrustEntry { name: "again".into(), ..entry() }];
    assert_eq!(refused(twice).path, "identity.trust[1].token_type");
    let issuer_twice = TrustEntry { issuers: vec![ISSUER.into(), ISSUER.into()], ..entry() };
    assert_eq!(refused(vec![issuer_twice]).path, "identity.trust[0].issuers");
    let elsewhere = TrustEntry { name: "b".into(), issuers: vec![OTHER_ISSUER.into()], ..entry() };
    assert_eq!(refused(vec![entry(), elsewhere]).path, "identity.trust.account_id");
}

#[tokio::test]
async fn any_switches_a_check_off_and_only_that_one() {
    let open = TrustEntry {
        audience: Audience { claim: AudienceClaim::Any, any_of: Vec::new() },
        token_type: TokenType { any: true, ..TokenType::default() },
        ..entry()
    };
    let bridge = Bridge::trusting(vec![open]);
    bridge.accepts(&token(&json!({"client_id": null, "token_use": null}))).await;
    bridge.refuses(&token(&json!({"exp": NOW - 1_000})), Reason::Expired).await;
    bridge.refuses(&token_with_header(&json!({"typ": "logout+jwt"})), Reason::TokenType).await;
}

#[tokio::test]
async fn a_server_that_trusts_nobody_accepts_nothing() {
    let bridge = Bridge::with(&Identity::default());
    assert!(!bridge.verifier.trusts_anybody());
    bridge.refuses(&token(&json!({})), Reason::Algorithm).await;
}

/// What the fuzz target asserts too: the parser ends on every input, and never panics.
#[test]
fn the_parser_survives_every_cut_of_a_token() {
    let good = token(&json!({}));
    for end in 0..good.len() {
        let _ = parse_token(&good[..end], 8_192);
        let _ = parse_token(&good[end..], 8_192);
    }
    parse_token(&good, 8_192).expect("whole");
}
