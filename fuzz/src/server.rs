//! The decoders of the server: nothing may panic, no bound may be passed, and what is accepted is what the documents promise.
//!
//! `tests/seeds.rs` runs these functions over the seeds, without a fuzzer.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use kizuna::{
    clock::{Clock, Entropy},
    config::{self, Algorithm, Audience, AudienceClaim, Identity, TokenType, TrustEntry},
    features::snapshot,
    identity::{
        HeldKeys, KeySetError, Keys, Metrics, Reason, Tenant, Trusted, Verifier, parse_token,
        session::{Renewal, SessionTokens, read_claims},
    },
    net::Query,
    search,
    store::jsonb,
};
use std::{
    ops::ControlFlow,
    sync::{Arc, LazyLock},
};

/// When fuzzing takes place, in seconds since 1970.
const NOW: i64 = 1_800_000_000;
const MAX_TOKEN_BYTES: usize = 8_192;
const MAX_KEYS: usize = 8;
const ISSUER: &str = "https://issuer.example";

/// An identity token before anything of it is believed.
pub fn identity_token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if parse_token(text, MAX_TOKEN_BYTES).is_err() {
        return;
    }
    assert!(text.len() <= MAX_TOKEN_BYTES);
    assert_eq!(parse_token(text, text.len() - 1).err(), Some(Reason::TooLong));
    let segments: Vec<_> = text.split('.').collect();
    assert_eq!(segments.len(), 3);
    for segment in segments {
        let bytes = URL_SAFE_NO_PAD.decode(segment).expect("what was accepted is base64url");
        assert_eq!(URL_SAFE_NO_PAD.encode(bytes), segment, "a segment has one spelling");
    }
}

/// The payload of an identity token whose signature is good.
pub fn identity_claims(data: &[u8]) {
    let judgement = TRUSTING.verify(&sealed(data)).now_or_never().expect("with keys at hand nothing is waited for");
    let Ok(identity) = judgement else { return };
    assert_eq!(&*identity.issuer, ISSUER);
    assert!((1..=255).contains(&identity.subject.len()));
    assert!((6..=128).contains(&identity.account_id.len()));
    assert!(!identity.account_id.contains(|c: char| c.is_whitespace() || c.is_control()));
    assert!(identity.expires_at + 60 > NOW);
}

/// An issuer's key set.
pub fn key_set(data: &[u8]) {
    let Ok(keys) = Keys::parse(data, data.len(), MAX_KEYS) else { return };
    assert!((1..=MAX_KEYS).contains(&keys.len()));
    assert_eq!(Keys::parse(data, data.len() - 1, MAX_KEYS).err(), Some(KeySetError::TooLarge));
}

/// A session token; and the payload of one whose signature is good.
pub fn session_token(data: &[u8]) {
    let tokens = SessionTokens::new(&config::Config::default(), Clock::manual(NOW), Entropy::seeded(1));
    if let Ok(text) = std::str::from_utf8(data) {
        let is_match_token = tokens.verify_match_token(text, Tenant::NONE).is_ok();
        assert!(!(is_match_token && tokens.verify_session(text).is_ok()), "one kind is not the other");
        assert!(!(tokens.verify_refresh(text).is_ok() && tokens.verify_session(text).is_ok()));
    }
    let Ok(claims) = read_claims(data) else { return };
    assert!(!claims.user_id.is_nil());
    let (username, vars, origin) = (&*claims.username, &*claims.vars, claims.origin.as_deref());
    let renewed = tokens.renew(Renewal { chain: &claims, generation: 1, username, vars, origin });
    let refresh = tokens.verify_refresh(&renewed.refresh_token).expect("we read what we write");
    assert_eq!((refresh.generation, refresh.claims.user_id), (1, claims.user_id));
    let again = tokens.verify_session(&renewed.token).expect("we read what we write");
    assert_eq!((again.user_id, again.token_id), (claims.user_id, claims.token_id));
    assert_eq!((again.username, again.vars), (claims.username, claims.vars));
}

/// A query string, or a form.
pub fn http_query(data: &[u8]) {
    let lenient = Query::lenient(data);
    let bytes: usize = lenient.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(bytes <= data.len(), "decoding makes nothing longer");
    for (name, _) in lenient.iter() {
        assert!(std::str::from_utf8(name).is_err() || lenient.first(&String::from_utf8_lossy(name)).is_some());
    }
    if let Ok(strict) = Query::parse(data) {
        assert!(strict.iter().eq(lenient.iter()), "both read the same where nothing is malformed");
    }
}

/// A query for tickets and labels; and what an index finds by it.
pub fn search_query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let query = match search::Query::parse(text) {
        Ok(query) => query,
        Err(error) => return assert!(text.is_char_boundary(error.at), "{error}"),
    };
    let label =
        serde_json::json!({ "mode": "x", "skill": 5, "tags": ["a", "b c"], "when": "2024-01-01", "open": true });
    let documents = [
        search::Document::new().json("label", &label).term("node", "n1"),
        search::Document::new().term("a", "foo").number("b", -3.0).term("c", ""),
        search::Document::new(),
    ];
    let mut index = search::Index::new();
    for (key, document) in documents.iter().enumerate() {
        index.insert(key, document.clone());
        query.explain(document);
    }
    let mut found = 0;
    let _ = index.search(&query, &[], &search::Steps::unbounded(), |key, score| {
        assert_eq!(query.score(&documents[key]), Some(score), "an index and a comparison say the same");
        found += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(found, documents.iter().filter(|document| query.score(document).is_some()).count());
}

/// JSON as it is stored and shown: written anew it is the same, however it came.
pub fn stored_json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(normal) = jsonb::normalised(text) else {
        assert!(jsonb::compact(text).is_err() && jsonb::merged("{}", text).is_err(), "all judge alike");
        return;
    };
    let compact = jsonb::compact(text).expect("it is JSON");
    assert!(compact.len() <= normal.len(), "spaces alone are the difference");
    for written in [&normal, &compact] {
        assert_eq!(jsonb::normalised(written).as_ref(), Ok(&normal));
    }
    assert_eq!(jsonb::merged("{}", text).as_ref(), Ok(&normal), "nothing is lost to an empty object");
}

/// A verifier that trusts [`sealed`].
static TRUSTING: LazyLock<Arc<Verifier>> = LazyLock::new(|| {
    let entry = TrustEntry {
        name: "fuzz".into(),
        issuers: vec![ISSUER.into()],
        algorithms: vec![Algorithm::EdDSA],
        audience: Audience { claim: AudienceClaim::Aud, any_of: vec!["game".into()] },
        token_type: TokenType { any: true, ..TokenType::default() },
        ..TrustEntry::default()
    };
    let x = URL_SAFE_NO_PAD.encode(KEY.public_key());
    let set = format!(r#"{{"keys":[{{"kid":"k","kty":"OKP","crv":"Ed25519","x":"{x}"}}]}}"#);
    let keys = HeldKeys::default();
    keys.replace(Keys::parse(set.as_bytes(), set.len(), MAX_KEYS).expect("a usable key"));
    let (trusted, clock) = (Trusted { entry, keys }, Clock::manual(NOW));
    Verifier::new(&Identity::default(), &[trusted], clock, Metrics::default()).expect("the entry is complete")
});

/// A snapshot of live sessions as it is found at a start; and records that a good checksum stands before. What reads can be written,
/// and reads as the same.
pub fn snapshot(data: &[u8]) {
    let found = [snapshot::decode(data).ok(), snapshot::decode_records(data).ok()];
    for read in found.into_iter().flatten() {
        let written = snapshot::encode(read.clone(), u64::MAX).expect("what was read fits");
        let again = snapshot::decode(&written).expect("what was written reads");
        assert_eq!(snapshot::encode(again, u64::MAX).expect("it fits"), written);
    }
}

static KEY: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("any 32 bytes are a seed"));

/// A token with this payload and a good signature.
fn sealed(payload: &[u8]) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","kid":"k"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(KEY.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}
