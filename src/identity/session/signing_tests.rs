use super::*;
use crate::{
    clock::{Clock, Entropy},
    config::SigningKey,
    identity::{
        Tenant,
        session::{SessionTokens, TokenPair},
    },
};
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;
use std::{collections::BTreeMap, fs, path::PathBuf, sync::LazyLock};

const NOW: i64 = 1_800_000_000;
const USER: Uuid = Uuid::from_u128(7);

fn config(signing: Signing) -> config::Session {
    let (issuer, audience) = ("https://game.example".to_owned(), "lobby".to_owned());
    config::Session { signing, issuer, audience, ..Default::default() }
}

fn whole(session: &config::Session) -> config::Config {
    config::Config { session: session.clone(), ..Default::default() }
}

fn tokens(config: &config::Session, dir: &Path, now: i64) -> SessionTokens {
    let signing = SigningKeys::load(config, dir, now).expect("the keys can be used");
    SessionTokens::signed(&whole(config), signing, Clock::manual(now), Entropy::seeded(5))
}

fn issue(tokens: &SessionTokens) -> TokenPair {
    tokens.issue(tokens.new_token_id(), USER, "name", &BTreeMap::new(), None)
}

fn part(token: &str, index: usize) -> serde_json::Value {
    serde_json::from_slice(&BASE64.decode(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

#[test]
fn a_session_token_can_be_checked_with_the_published_keys_alone() {
    for (signing, name) in [(Signing::ES256, "ES256"), (Signing::EdDSA, "EdDSA")] {
        let dir = tempfile::tempdir().unwrap();
        let tokens = tokens(&config(signing), dir.path(), NOW);
        let pair = issue(&tokens);
        let set: jsonwebtoken::jwk::JwkSet = serde_json::from_str(tokens.key_set()).unwrap();
        let header = jsonwebtoken::decode_header(&pair.token).unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(set.find(&header.kid.unwrap()).unwrap()).unwrap();
        let mut rules = jsonwebtoken::Validation::new(header.alg);
        rules.validate_exp = false;
        rules.set_issuer(&["https://game.example"]);
        rules.set_audience(&["lobby"]);
        let read = jsonwebtoken::decode::<serde_json::Value>(&pair.token, &key, &rules).unwrap();
        assert_eq!((&read.claims["sub"], &read.claims["uid"]), (&USER.to_string().into(), &USER.to_string().into()));
        assert_eq!(part(&pair.token, 0)["alg"], name);
        assert_eq!(tokens.verify_session(&pair.token).unwrap().user_id, USER);
        assert_eq!(part(&pair.refresh_token, 0), serde_json::json!({ "alg": "HS256", "typ": "JWT" }));
        assert!(part(&pair.refresh_token, 1).get("sub").is_none(), "nobody else reads refresh tokens");
        assert!(tokens.verify_refresh(&pair.refresh_token).is_ok() && tokens.verify_refresh(&pair.token).is_err());
    }
}

#[test]
fn the_key_that_is_made_is_kept_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let pair = issue(&tokens(&config(Signing::EdDSA), dir.path(), NOW));
    let again = tokens(&config(Signing::EdDSA), dir.path(), NOW);
    assert!(again.verify_session(&pair.token).is_ok());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(dir.path().join("session_keys/eddsa.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    fs::write(dir.path().join("session_keys/eddsa.pem"), "x").unwrap();
    let error = SigningKeys::load(&config(Signing::EdDSA), dir.path(), NOW).err().unwrap();
    assert!(error.to_string().contains("PKCS #8") && error.path == "session.signing_keys", "{error}");
}

#[test]
fn tokens_from_before_the_change_are_believed_as_long_as_that_is_wished() {
    let dir = tempfile::tempdir().unwrap();
    let old = issue(&tokens(&config(Signing::HS256), dir.path(), NOW));
    assert!(!dir.path().join("session_keys").exists());
    let mut config = config(Signing::ES256);
    let both = tokens(&config, dir.path(), NOW);
    assert!(both.verify_session(&old.token).is_ok() && both.verify_refresh(&old.refresh_token).is_ok());
    config.accept_hs256 = false;
    let strict = tokens(&config, dir.path(), NOW);
    assert_eq!(strict.verify_session(&old.token), Err(TokenRefusal::Algorithm));
    assert!(strict.verify_refresh(&old.refresh_token).is_ok(), "so the player gets a new one");
    // Match tokens are our own affair, and no session tokens for it.
    let matched = strict.mint_match_token(&format!("{USER}."), Tenant::NONE);
    assert_eq!(strict.verify_match_token(&matched, Tenant::NONE).unwrap().match_id, USER);
    assert!(strict.verify_session(&matched).is_err() && both.verify_session(&matched).is_err());
    assert!(strict.verify_match_token(&issue(&strict).token, Tenant::NONE).is_err());
}

#[test]
fn no_algorithm_passes_for_another() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = tokens(&config(Signing::ES256), dir.path(), NOW);
    let pair = issue(&tokens);
    let (signed, signature) = pair.token.rsplit_once('.').unwrap();
    let (own, payload) = signed.split_once('.').unwrap();
    let set: serde_json::Value = serde_json::from_str(tokens.key_set()).unwrap();
    let kid = set["keys"][0]["kid"].as_str().unwrap().to_owned();
    let header = |alg: &str| BASE64.encode(format!(r#"{{"alg":"{alg}","typ":"JWT","kid":"{kid}"}}"#));
    // HMAC under everything public that could be taken for a key.
    let x = BASE64.decode(set["keys"][0]["x"].as_str().unwrap()).unwrap();
    let y = BASE64.decode(set["keys"][0]["y"].as_str().unwrap()).unwrap();
    let point = [vec![4], x, y].concat();
    for key in [point, tokens.key_set().as_bytes().to_vec(), kid.as_bytes().to_vec(), Vec::new()] {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
        for header in [header("HS256"), own.to_owned(), header("EdDSA"), header("ES384")] {
            let signed = format!("{header}.{payload}");
            let tag = BASE64.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()));
            assert!(tokens.verify_session(&format!("{signed}.{tag}")).is_err());
        }
    }
    for alg in ["none", "EdDSA", "HS256", "es256", "ES512"] {
        for signature in [signature, ""] {
            assert!(tokens.verify_session(&format!("{}.{payload}.{signature}", header(alg))).is_err(), "{alg}");
        }
    }
    let other = BASE64.encode(r#"{"alg":"ES256","typ":"JWT","kid":"another"}"#);
    assert_eq!(tokens.verify_session(&format!("{other}.{payload}.{signature}")), Err(TokenRefusal::Algorithm));
    assert_eq!(tokens.verify_session(&format!("{signed}.{}", &signature[1..])), Err(TokenRefusal::Signature));
    assert_eq!(tokens.verify_session(&format!("{own}.{payload}A.{signature}")), Err(TokenRefusal::Signature));
    assert!(tokens.verify_session(&format!("{own}.a.{payload}.{signature}")).is_err());
    assert_eq!(tokens.verify_session(own), Err(TokenRefusal::Format));
}

#[test]
fn another_signature_of_the_same_token_is_no_other_token() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = tokens(&config(Signing::ES256), dir.path(), NOW);
    let id = tokens.new_token_id();
    let pair = || tokens.issue(id, USER, "name", &BTreeMap::new(), None);
    let (one, two) = (pair(), pair());
    assert_ne!(one.token, two.token, "ECDSA takes a new random number each time");
    assert_eq!(tokens.verify_session(&one.token), tokens.verify_session(&two.token));
}

fn key_file(dir: &Path, name: &str, signing: Signing) -> PathBuf {
    let folder = tempfile::tempdir().unwrap();
    pem::kept(folder.path(), signing).unwrap();
    let made = if signing == Signing::EdDSA { "eddsa.pem" } else { "es256.pem" };
    fs::copy(folder.path().join("session_keys").join(made), dir.join(name)).unwrap();
    dir.join(name)
}

#[test]
fn keys_take_turns_by_time_and_old_ones_go_on_verifying() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (key_file(dir.path(), "old", Signing::ES256), key_file(dir.path(), "new", Signing::ES256));
    let other = key_file(dir.path(), "other", Signing::EdDSA);
    let mut config = config(Signing::ES256);
    let named = |file: &PathBuf, not_before_unix| SigningKey { file: file.clone(), not_before_unix };
    config.signing_keys = vec![named(&new, NOW + 10), named(&old, 0), named(&other, 5)];
    let kid = |token: &str| part(token, 0)["kid"].clone();
    let signing = SigningKeys::load(&config, dir.path(), NOW).unwrap();
    let clock = Clock::manual(NOW);
    let tokens = SessionTokens::signed(&whole(&config), signing, clock.clone(), Entropy::seeded(5));
    let first = issue(&tokens);
    clock.advance_seconds(10);
    let second = issue(&tokens);
    assert_ne!(kid(&first.token), kid(&second.token));
    assert!(tokens.verify_session(&first.token).is_ok() && tokens.verify_session(&second.token).is_ok());
    let set: serde_json::Value = serde_json::from_str(tokens.key_set()).unwrap();
    assert_eq!(set["keys"].as_array().unwrap().len(), 3, "the next one is published before it signs");
    assert!(!tokens.key_set().contains("\"d\""), "public parts alone");

    // The private part of the old key can be deleted: its public part is enough to verify.
    let point = match pem::read(&old).unwrap().1 {
        PublicKey::P256(point) => point,
        PublicKey::Ed25519(_) => panic!("it is an ES256 key"),
    };
    let info = [pem::P256_INFO, &point].concat();
    let text = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64_STANDARD.encode(info));
    fs::write(&old, text).unwrap();
    let later = SigningKeys::load(&config, dir.path(), NOW + 10).unwrap();
    let later = SessionTokens::signed(&whole(&config), later, clock, Entropy::seeded(6));
    assert!(later.verify_session(&first.token).is_ok());
    assert_eq!(kid(&issue(&later).token), kid(&second.token));
    config.signing_keys = vec![named(&old, 0), named(&other, 0), named(&new, NOW + 11)];
    let error = SigningKeys::load(&config, dir.path(), NOW + 10).err().unwrap();
    assert!(error.to_string().contains("not_before_unix"), "nothing may sign yet: {error}");
    config.signing_keys = vec![named(&old, 0), named(&new, 5), named(&new, 9)];
    let error = SigningKeys::load(&config, dir.path(), NOW).err().unwrap();
    assert_eq!(error.to_string(), "session.signing_keys[2].file: allowed is each key once");
    config.signing_keys = vec![named(&dir.path().join("none"), 0)];
    assert_eq!(SigningKeys::load(&config, dir.path(), NOW).err().unwrap().path, "session.signing_keys[0].file");
}

#[test]
fn a_clock_that_is_set_back_does_not_leave_us_without_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(Signing::EdDSA);
    let named =
        |name, not_before_unix| SigningKey { file: key_file(dir.path(), name, Signing::EdDSA), not_before_unix };
    config.signing_keys = vec![named("first", NOW), named("second", NOW + 10)];
    let (signing, clock) = (SigningKeys::load(&config, dir.path(), NOW).unwrap(), Clock::manual(NOW));
    let tokens = SessionTokens::signed(&whole(&config), signing, clock.clone(), Entropy::seeded(5));
    let header = |pair: TokenPair| pair.token.split('.').next().unwrap().to_owned();
    let first = header(issue(&tokens));
    clock.advance_seconds(-3_600);
    let pair = issue(&tokens);
    assert!(tokens.verify_session(&pair.token).is_ok());
    assert_eq!(header(pair), first);
}

#[test]
fn the_length_that_is_foretold_is_the_one_that_comes() {
    let dir = tempfile::tempdir().unwrap();
    let vars: BTreeMap<_, _> = [("name".to_owned(), "v<".repeat(40))].into();
    for signing in [Signing::HS256, Signing::ES256, Signing::EdDSA] {
        let mut config = config(signing);
        let tokens = |config: &config::Session| tokens(config, dir.path(), NOW);
        let length = |config: &config::Session| {
            let tokens = tokens(config);
            tokens.issue(tokens.new_token_id(), USER, "name", &vars, None).token.len()
        };
        config.max_token_bytes = length(&config);
        assert_eq!(tokens(&config).fits("name", &vars, None), Ok(()));
        config.max_token_bytes -= 1;
        assert_eq!(tokens(&config).fits("name", &vars, None).map_err(|error| error.bytes), Err(length(&config)));
    }
}

static BOTH: LazyLock<(tempfile::TempDir, [SessionTokens; 2])> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let both = [Signing::ES256, Signing::EdDSA].map(|signing| tokens(&config(signing), dir.path(), NOW));
    (dir, both)
});

proptest! {
    #[test]
    fn no_text_upsets_the_reader_of_signed_tokens(text in "[a-zA-Z0-9_.=-]{0,120}|.{0,60}", at in any::<prop::sample::Index>(), with in ".") {
        for tokens in &BOTH.1 {
            prop_assert!(tokens.verify_session(&text).is_err());
            let good = issue(tokens).token;
            let header = good.split('.').next().unwrap();
            let begun_well = format!("{header}.{text}");
            prop_assert!(tokens.verify_session(&begun_well).is_err());
            // One character changed: refused, or only unused bits of the last character of the signature.
            let at = at.index(good.len());
            let changed = format!("{}{with}{}", &good[..at], &good[at + 1..]);
            let judged = tokens.verify_session(&changed);
            prop_assert!(judged.is_err() || changed == good || at == good.len() - 1);
        }
    }
}
