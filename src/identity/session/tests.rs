use super::{Kind, Origin, Renewal, Revocation, SessionTokens, TokenRefusal, jwt::Keys};
use crate::{
    clock::{Clock, Entropy},
    config::Config,
    identity::{ScopeKey, ScopeKind, Tenant},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use proptest::prelude::*;
use std::collections::BTreeMap;
use uuid::Uuid;

const NOW: i64 = 1_800_000_000;
const NOBODYS: Tenant = Tenant::NONE;
const USER: &str = "d246c230-0728-400a-8f88-564be40b1bc5";

fn tokens() -> (SessionTokens, Clock) {
    let clock = Clock::manual(NOW);
    (SessionTokens::new(&Config::default(), clock.clone(), Entropy::seeded(3)), clock)
}

fn user() -> Uuid {
    Uuid::try_parse(USER).unwrap()
}

fn key() -> Keys {
    Keys::new(&"defaultencryptionkey".into(), &[])
}

/// What becomes of a payload under the right key.
fn judged(payload: &str) -> Result<super::SessionClaims, TokenRefusal> {
    tokens().0.verify_session(&key().sign(payload))
}

fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_pair_carries_nakamas_claims_in_its_order() {
    let (tokens, _) = tokens();
    let pair =
        tokens.issue(tokens.new_token_id(), user(), "a\"b", &vars(&[("b", "<&>\u{2028}\u{1}"), ("a", "é\n")]), None);
    let segments: Vec<_> = pair.token.split('.').collect();
    let text = |segment: &str| String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(segment).unwrap()).unwrap();
    assert_eq!(text(segments[0]), r#"{"alg":"HS256","typ":"JWT"}"#);
    let tid = pair.token_id.unwrap();
    assert_eq!(
        text(segments[1]),
        format!(
            r#"{{"tid":"{tid}","uid":"{USER}","usn":"a\"b","vrs":{{"a":"é\n","b":"\u003c\u0026\u003e\u2028\u0001"}},"exp":{},"iat":{NOW}}}"#,
            NOW + 60
        )
    );
    let claims = tokens.verify_refresh(&pair.refresh_token).unwrap().claims;
    assert_eq!((claims.expires_unix, claims.token_id), (NOW + 3_600, pair.token_id));
    assert_eq!(claims.vars["b"], "<&>\u{2028}\u{1}");
}

#[test]
fn each_kind_is_refused_where_the_other_is_expected() {
    let (tokens, _) = tokens();
    let pair = tokens.issue(tokens.new_token_id(), user(), "name", &BTreeMap::new(), None);
    assert_eq!(tokens.verify_session(&pair.refresh_token), Err(TokenRefusal::Signature));
    assert_eq!(tokens.verify_refresh(&pair.token), Err(TokenRefusal::Signature));
}

#[test]
fn a_token_ends_in_the_second_of_its_expiry() {
    let (tokens, clock) = tokens();
    let pair = tokens.issue(tokens.new_token_id(), user(), "name", &BTreeMap::new(), None);
    clock.advance_seconds(59);
    assert!(tokens.verify_session(&pair.token).is_ok());
    clock.advance_seconds(1);
    assert_eq!(tokens.verify_session(&pair.token), Err(TokenRefusal::Expired));
}

#[test]
fn payloads_that_nakama_accepts() {
    let exp = NOW + 60;
    for payload in [
        format!(r#"{{"tid":"{}","uid":"{USER}","usn":"n","exp":{exp},"iat":{NOW}}}"#, Uuid::nil()),
        format!(r#"{{"uid":"{USER}","exp":{exp}}}"#),
        format!(" \n{{\"uid\":\"{USER}\",\"exp\":{exp}}}\t "),
        format!(r#"{{"uid":"{}","exp":{exp}}}"#, USER.to_uppercase()),
        format!(r#"{{"uid":"{}","exp":{exp}}}"#, USER.replace('-', "")),
        format!(r#"{{"uid":"{{{USER}}}","exp":{exp}}}"#),
        format!(r#"{{"uid":"urn:uuid:{USER}","exp":{exp}}}"#),
        format!(r#"{{"UID":"{USER}","Exp":{exp}}}"#),
        format!(r#"{{"exp":1,"uid":"{USER}","exp":{exp}}}"#),
        format!(r#"{{"uid":"{USER}","exp":{exp},"iat":99999999999,"nbf":99999999999,"aud":[1],"iss":{{}},"sub":"x"}}"#),
        format!(r#"{{"uid":"{USER}","exp":{exp},"vrs":null,"tid":null,"usn":null,"iat":null}}"#),
        format!(r#"{{"uid":"{USER}","exp":{exp},"vrs":{{"a":"1"}}}}"#),
        format!(r#"{{"uid":"{USER}","exp":9223371974719179007}}"#),
        format!(r#"{{"uid":"\u0064{}","exp":{exp}}}"#, &USER[1..]),
    ] {
        assert_eq!(judged(&payload).map(|claims| claims.user_id), Ok(user()), "{payload}");
    }
}

#[test]
fn variables_of_an_identity_count_only_beside_one() {
    let exp = NOW + 60;
    let vars = r#"{"idp.role":"admin","rank":"gold"}"#;
    let bare = judged(&format!(r#"{{"uid":"{USER}","exp":{exp},"vrs":{vars}}}"#)).unwrap();
    assert_eq!(bare.vars.keys().collect::<Vec<_>>(), ["rank"], "a Nakama with our key lets clients write any name");
    let issuer = ScopeKey::new(ScopeKind::Issuer, "i");
    let idn = format!(r#"{{"ent":"pool","iss":"{issuer}","at":{NOW},"ver":1}}"#);
    let bridged = judged(&format!(r#"{{"uid":"{USER}","exp":{exp},"vrs":{vars},"idn":{idn}}}"#)).unwrap();
    assert_eq!(bridged.vars["idp.role"], "admin");
}

#[test]
fn payloads_that_are_refused() {
    let exp = NOW + 60;
    let claims = [
        format!(r#"{{"uid":"{USER}"}}"#),
        format!(r#"{{"uid":"{USER}","exp":0}}"#),
        format!(r#"{{"uid":"{USER}","exp":null}}"#),
        format!(r#"{{"uid":"{USER}","exp":{exp}.0}}"#),
        format!(r#"{{"uid":"{USER}","exp":1e10}}"#),
        format!(r#"{{"uid":"{USER}","exp":"{exp}"}}"#),
        format!(r#"{{"uid":"{USER}","exp":9223372036854775807}}"#),
        format!(r#"{{"uid":"{USER}","exp":9223372036854775808}}"#),
        format!(r#"{{"uid":"{USER}","exp":{exp},"iat":1.5}}"#),
        format!(r#"{{"uid":"{USER}","exp":{exp},"tid":5}}"#),
        format!(r#"{{"uid":"{USER}","exp":{exp},"usn":[]}}"#),
        format!(r#"{{"uid":"{USER}","exp":{exp},"vrs":[]}}"#),
        format!(r#"{{"uid":"{USER}","exp":{exp},"vrs":{{"a":1}}}}"#),
        format!(r#"{{"uid":"{USER}","exp":{exp}}} x"#),
        format!(r#"[{{"uid":"{USER}","exp":{exp}}}]"#),
        "null".to_owned(),
        String::new(),
        // Nakama lets these in as the system user.
        format!(r#"{{"exp":{exp}}}"#),
        format!(r#"{{"uid":"abc","exp":{exp}}}"#),
        format!(r#"{{"uid":"{}","exp":{exp}}}"#, Uuid::nil()),
        format!(r#"{{"uid":"{USER}","exp":{exp},"mid":"{USER}."}}"#),
        format!(r#"{{"uid":"{USER}","exp":{exp},"MID":null}}"#),
    ];
    for payload in claims {
        assert_eq!(judged(&payload).map(drop), Err(TokenRefusal::Claims), "{payload}");
    }
    for past in [1, NOW - 1, NOW, -5] {
        let payload = format!(r#"{{"uid":"{USER}","exp":{past}}}"#);
        assert_eq!(judged(&payload).map(drop), Err(TokenRefusal::Expired), "{payload}");
    }
}

#[test]
fn only_hs256_in_three_segments_with_a_good_signature() {
    use TokenRefusal::{Algorithm, Format, Signature};
    let (tokens, _) = tokens();
    let pair = tokens.issue(tokens.new_token_id(), user(), "name", &BTreeMap::new(), None);
    let parts: Vec<_> = pair.token.split('.').collect();
    let header = |json: &str| BASE64_URL_SAFE_NO_PAD.encode(json);
    let with = |header: &str| {
        let signed = format!("{header}.{}", parts[1]);
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"defaultencryptionkey");
        let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
        tokens.verify_session(&format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag))).map(drop)
    };
    assert_eq!(with(&header(r#"{"typ":"x","kid":"y","crit":["z"],"alg":"HS256"}"#)), Ok(()));
    for alg in ["none", "hs256", "HS512", "RS256", ""] {
        assert_eq!(with(&header(&format!(r#"{{"alg":"{alg}"}}"#))), Err(Algorithm), "{alg}");
    }
    assert_eq!(with(&header("{}")), Err(Algorithm));
    assert_eq!(with(&header("[]")), Err(Format));
    assert_eq!(with(""), Err(Format));

    for text in ["", ".", "..", "a.b", "a.b.c.d", "no token"] {
        assert!(tokens.verify_session(text).is_err(), "{text}");
    }
    assert_eq!(tokens.verify_session(&format!("{}=", pair.token)).map(drop), Err(Signature));
    assert_eq!(tokens.verify_session(&pair.token[..pair.token.len() - 1]).map(drop), Err(Signature));
    assert_eq!(tokens.verify_session(&format!("{}.{}.", parts[0], parts[1])).map(drop), Err(Signature));
}

#[test]
fn unused_bits_of_the_signature_make_no_other_token() {
    let (tokens, _) = tokens();
    let pair = tokens.issue(tokens.new_token_id(), user(), "name", &BTreeMap::new(), None);
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = pair.token.split_at(pair.token.len() - 1);
    let value = alphabet.iter().position(|b| *b == last.as_bytes()[0]).unwrap();
    let same = format!("{rest}{}", char::from(alphabet[value ^ 1]));
    let first = tokens.verify_session(&pair.token).unwrap();
    assert_eq!(tokens.verify_session(&same), Ok(first));
    let other = format!("{rest}{}", char::from(alphabet[value ^ 4]));
    assert_eq!(tokens.verify_session(&other).map(drop), Err(TokenRefusal::Signature));
}

#[test]
fn a_log_out_everywhere_tells_ours_by_order_and_others_by_second() {
    let (tokens, clock) = tokens();
    let issue = || tokens.issue(tokens.new_token_id(), user(), "name", &BTreeMap::new(), None);
    let foreign = |iat: &str| {
        let v4 = Uuid::from_u128(0x1234_5678_1234_4123_8123_1234_5678_9abc);
        key().sign(&format!(r#"{{"tid":"{v4}","uid":"{USER}","exp":{}{iat}}}"#, NOW + 60))
    };
    let (older, same_second) = (issue(), foreign(&format!(",\"iat\":{NOW}")));
    let later_second = foreign(&format!(",\"iat\":{}", NOW + 1));
    let without_iat = foreign("");
    tokens.apply(tokens.user_now(user()));
    let newer = issue();
    let is_good = |token: &str| tokens.verify_session(token).is_ok();
    assert!(!is_good(&older.token) && tokens.verify_refresh(&older.refresh_token).is_err());
    assert!(is_good(&newer.token) && tokens.verify_refresh(&newer.refresh_token).is_ok());
    assert!(!is_good(&same_second) && is_good(&later_second));
    assert!(!is_good(&without_iat), "issued at exp less the lifetime");

    let other = tokens.issue(tokens.new_token_id(), Uuid::from_u128(9), "other", &BTreeMap::new(), None);
    assert!(is_good(&other.token));
    clock.advance_seconds(3_601);
    tokens.purge();
    assert_eq!(tokens.revocations(), 0);
}

#[test]
fn a_token_id_taken_before_the_ban_makes_a_stillborn_pair() {
    let (tokens, _) = tokens();
    let token_id = tokens.new_token_id();
    tokens.apply(tokens.user_now(user()));
    let pair = tokens.issue(token_id, user(), "name", &BTreeMap::new(), None);
    assert_eq!(tokens.verify_session(&pair.token), Err(TokenRefusal::Revoked));
}

#[test]
fn tokens_of_a_future_that_was_taken_back_are_still_older_than_a_log_out() {
    let (tokens, clock) = tokens();
    let pair = tokens.issue(tokens.new_token_id(), user(), "name", &BTreeMap::new(), None);
    clock.advance_seconds(-30);
    let restarted = SessionTokens::new(&Config::default(), clock, Entropy::seeded(4));
    assert!(restarted.verify_session(&pair.token).is_ok());
    restarted.apply(restarted.user_now(user()));
    assert_eq!(restarted.verify_session(&pair.token), Err(TokenRefusal::Revoked));
}

#[test]
fn the_deny_list_forgets_what_has_expired_and_nothing_else() {
    let (tokens, clock) = tokens();
    let pair = tokens.issue(tokens.new_token_id(), user(), "name", &BTreeMap::new(), None);
    let claims = tokens.verify_session(&pair.token).unwrap();
    let Some(Revocation::SessionToken { expires_unix, .. }) = tokens.token(Kind::Session, &claims) else {
        panic!("our tokens have ids");
    };
    tokens.apply(tokens.token(Kind::Session, &claims).unwrap());
    assert_eq!(tokens.verify_session(&pair.token), Err(TokenRefusal::Revoked));
    assert!(tokens.verify_refresh(&pair.refresh_token).is_ok());
    clock.advance_seconds(expires_unix - NOW - 1);
    tokens.purge();
    assert_eq!(tokens.revocations(), 1);
    clock.advance_seconds(1);
    tokens.purge();
    assert_eq!((tokens.revocations(), tokens.is_revoked(Kind::Session, claims.token_id.unwrap())), (0, false));
}

#[test]
fn match_tokens_and_session_tokens_are_told_apart() {
    let (tokens, clock) = tokens();
    let mid = format!("{USER}.");
    let token = tokens.mint_match_token(&mid, NOBODYS);
    assert_eq!(tokens.verify_session(&token), Err(TokenRefusal::Claims));
    let read = tokens.verify_match_token(&token, NOBODYS).unwrap();
    assert_eq!((read.match_id, &*read.node), (user(), ""));
    let session = tokens.issue(tokens.new_token_id(), user(), "name", &BTreeMap::new(), None);
    assert_eq!(tokens.verify_match_token(&session.token, NOBODYS), Err(TokenRefusal::Claims));
    clock.advance_seconds(30);
    assert_eq!(tokens.verify_match_token(&token, NOBODYS), Err(TokenRefusal::Expired));

    let read = |payload: &str| tokens.verify_match_token(&key().sign(payload), NOBODYS).map(|read| read.node);
    assert_eq!(read(&format!(r#"{{"mid":"{USER}.node-1"}}"#)), Ok("node-1".into()));
    for bad in [USER, "abc.", ".", ""] {
        assert_eq!(read(&format!(r#"{{"mid":"{bad}"}}"#)), Err(TokenRefusal::Claims), "{bad}");
    }
    assert!(tokens.verify_match_token("", NOBODYS).is_err());
}

#[test]
fn nothing_printed_tells_a_token() {
    let (tokens, _) = tokens();
    let pair = tokens.issue(tokens.new_token_id(), user(), "name", &BTreeMap::new(), None);
    let claims = tokens.verify_session(&pair.token).unwrap();
    let printed = format!("{pair:?} {claims:?} {tokens:?}");
    let signature = pair.token.rsplit('.').next().unwrap();
    assert!(!printed.contains(signature) && !printed.contains("signature"), "{printed}");
}

#[test]
fn only_a_refreshed_token_tells_its_generation() {
    let (tokens, _) = tokens();
    let vars = BTreeMap::new();
    let pair = tokens.issue(tokens.new_token_id(), user(), "name", &vars, None);
    let chain = tokens.verify_session(&pair.token).unwrap();
    let renewed =
        |generation| tokens.renew(Renewal { chain: &chain, generation, username: "name", vars: &vars, origin: None });
    assert_eq!(renewed(0).refresh_token, pair.refresh_token, "Nakama's header to the byte");
    let third = renewed(2);
    assert_eq!(third.token, pair.token, "session tokens have none");
    let header = BASE64_URL_SAFE_NO_PAD.decode(third.refresh_token.split('.').next().unwrap()).unwrap();
    assert_eq!(header, br#"{"alg":"HS256","typ":"JWT","gen":2}"#);
    assert_eq!(tokens.verify_refresh(&third.refresh_token).unwrap().generation, 2);

    let refresh_key = Keys::new(&"defaultrefreshencryptionkey".into(), &[]);
    let payload = format!(r#"{{"uid":"{USER}","exp":{}}}"#, NOW + 60);
    let under =
        |header: &str| tokens.verify_refresh(&refresh_key.sign_under(&BASE64_URL_SAFE_NO_PAD.encode(header), &payload));
    for odd in ["-1", "1.5", "\"1\"", "null", "4294967296", "[]"] {
        let token = under(&format!(r#"{{"alg":"HS256","gen":{odd}}}"#));
        assert_eq!(token.map(drop), Err(TokenRefusal::Format), "{odd}");
    }
    assert_eq!(under(r#"{"alg":"none","gen":1}"#).map(drop), Err(TokenRefusal::Algorithm));
}

proptest! {
    #[test]
    fn what_is_issued_is_read_back(name in ".{0,40}", vars in proptest::collection::btree_map(".{0,10}", ".{0,20}", 0..5)) {
        let (tokens, _) = tokens();
        let pair = tokens.issue(tokens.new_token_id(), user(), &name, &vars, None);
        let claims = tokens.verify_session(&pair.token).unwrap();
        prop_assert_eq!((&*claims.username, &*claims.vars), (&*name, &vars));
    }

    #[test]
    fn no_text_upsets_the_reader(text in "[a-zA-Z0-9_.=-]{0,120}|.{0,60}", bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let (tokens, _) = tokens();
        prop_assert!(tokens.verify_session(&text).is_err());
        prop_assert!(tokens.verify_match_token(&text, NOBODYS).is_err());
        let _ = super::read_claims(&bytes);
    }
}

/// Tokens of a server with tenancy, and one of a session that came from `tenant`.
fn of_tenant(tenant: Option<&str>) -> (SessionTokens, super::TokenPair) {
    let mut config = Config::default();
    config.tenancy.enabled = true;
    let tokens = SessionTokens::new(&config, Clock::manual(NOW), Entropy::seeded(3));
    let origin = Origin {
        entry: "entry".into(),
        issuer: ScopeKey::new(ScopeKind::Issuer, "https://issuer.example"),
        family: None,
        player: None,
        tenant: tenant.map(Into::into),
        proven_unix: NOW,
        mapping_version: 0,
    };
    let pair = tokens.issue(tokens.new_token_id(), user(), "name", &BTreeMap::new(), Some(&origin));
    (tokens, pair)
}

#[test]
fn with_tenancy_a_token_without_a_tenant_is_none() {
    let (tokens, pair) = of_tenant(Some("acme"));
    assert_eq!(tokens.verify_session(&pair.token).unwrap().tenant, Tenant::named("acme"));
    assert_eq!(tokens.verify_refresh(&pair.refresh_token).unwrap().claims.tenant, Tenant::named("acme"));
    let (tokens, pair) = of_tenant(None);
    assert_eq!(tokens.verify_session(&pair.token), Err(TokenRefusal::NoTenant));
    assert_eq!(tokens.verify_refresh(&pair.refresh_token), Err(TokenRefusal::NoTenant));
    let foreign = tokens.issue(tokens.new_token_id(), user(), "name", &BTreeMap::new(), None);
    assert_eq!(tokens.verify_session(&foreign.token), Err(TokenRefusal::NoTenant));
    // A log-out takes it all the same.
    assert!(tokens.read(Kind::Session, &pair.token).is_ok());
}

#[test]
fn without_tenancy_a_tenant_is_no_wall() {
    let (_, pair) = of_tenant(Some("acme"));
    let (tokens, _) = tokens();
    let claims = tokens.verify_session(&pair.token).unwrap();
    assert_eq!((claims.tenant, claims.origin.unwrap().tenant.as_deref()), (Tenant::NONE, Some("acme")));
}

#[test]
fn a_match_token_is_good_for_its_tenant_alone() {
    let (tokens, _) = tokens();
    let (acme, other) = (Tenant::named("acme"), Tenant::named("other"));
    let mid = format!("{}.", Uuid::from_u128(5));
    let token = tokens.mint_match_token(&mid, acme);
    assert!(tokens.verify_match_token(&token, acme).is_ok());
    for wrong in [other, NOBODYS] {
        assert_eq!(tokens.verify_match_token(&token, wrong), Err(TokenRefusal::Claims));
    }
    let open = tokens.mint_match_token(&mid, NOBODYS);
    assert_eq!(tokens.verify_match_token(&open, acme), Err(TokenRefusal::Claims));
}
