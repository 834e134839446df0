//! Key sets over time: rows 27, 28, 30, 31, 34 and 35, with a fetcher that follows a script and a clock that tests move.

use crate::support::*;
use async_trait::async_trait;
use kizuna::{
    clock::Clock,
    config::{Identity, KeySource, TrustEntry},
    error::Error,
    identity::{FetchError, KeyFetcher, Metrics, Reason, RefusalKind, VerifiedIdentity, Verifier},
};
use kizuna_protocol::code::Code;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// What the identity provider answers at the moment.
enum Says {
    Keys(String),
    Status(u16),
    BreaksOff,
    Nothing,
}

/// An identity provider that takes 100 ms for an answer.
struct Provider {
    says: Mutex<Says>,
    asked: AtomicUsize,
    urls: Mutex<Vec<String>>,
}

impl Provider {
    fn with(keys: &[Value]) -> Arc<Self> {
        Arc::new(Self {
            says: Mutex::new(Says::Keys(key_set(keys))),
            asked: AtomicUsize::new(0),
            urls: Mutex::default(),
        })
    }

    fn says(&self, says: Says) {
        *self.says.lock() = says;
    }

    fn publishes(&self, keys: &[Value]) {
        self.says(Says::Keys(key_set(keys)));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl KeyFetcher for Provider {
    async fn fetch(&self, url: &str, _max_bytes: usize) -> Result<Vec<u8>, FetchError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.urls.lock().push(url.to_owned());
        let waits = if matches!(&*self.says.lock(), Says::Nothing) { 3_600_000 } else { 100 };
        tokio::time::sleep(Duration::from_millis(waits)).await;
        match &*self.says.lock() {
            Says::Keys(keys) => Ok(keys.clone().into_bytes()),
            Says::Status(status) => Err(FetchError::Status(*status)),
            Says::BreaksOff | Says::Nothing => Err(FetchError::Transport("broken off".into())),
        }
    }
}

fn config() -> Identity {
    trusting(vec![TrustEntry { jwks: KeySource::Url(String::new()), ..entry() }])
}

fn bridge(config: &Identity, provider: &Arc<Provider>) -> Bridge {
    let clock = Clock::manual(NOW);
    let fetcher = Arc::clone(provider) as Arc<dyn KeyFetcher>;
    let verifier = Verifier::with_fetcher(config, &[], clock.clone(), Metrics::default(), &fetcher).expect("starts");
    Bridge { verifier, clock }
}

async fn signed_in(bridge: &Bridge) -> VerifiedIdentity {
    bridge.accepts(&token(&json!({}))).await
}

fn by_new_key() -> String {
    seal(r#"{"kid":"new","alg":"RS256"}"#, claims().to_string(), By::Rsa(&OTHER_RSA))
}

fn by_unknown_key(name: usize) -> String {
    token_with_header(&json!({"kid": format!("bogus-{name}")}))
}

/// Time passes at once, timer by timer, and background tasks do what is due meanwhile.
async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn the_first_sign_in_waits_for_the_first_fetch_and_the_start_for_none() {
    let provider = Provider::with(&[rsa_jwk("rsa", &RSA)]);
    let bridge = bridge(&config(), &provider);
    assert_eq!(provider.asked(), 0, "the start waits for nothing");
    let (a, b) = tokio::join!(signed_in(&bridge), signed_in(&bridge));
    assert_eq!(a.account_id, b.account_id);
    assert_eq!(provider.asked(), 1);
    assert_eq!(*provider.urls.lock(), [format!("{ISSUER}/.well-known/jwks.json")]);
}

#[tokio::test(start_paused = true)]
async fn row_27_a_flood_of_unknown_key_ids_causes_two_fetches_and_then_one_in_ten_seconds() {
    let provider = Provider::with(&[rsa_jwk("rsa", &RSA)]);
    let bridge = bridge(&config(), &provider);
    signed_in(&bridge).await;
    let flood = async |mut names: std::ops::Range<usize>, fetches: usize| {
        for name in names.by_ref().take(fetches) {
            bridge.refuses(&by_unknown_key(name), Reason::UnknownKey).await;
        }
        for name in names {
            bridge.refuses(&by_unknown_key(name), Reason::KeysUnavailable).await;
        }
    };
    flood(0..1_000, 2).await;
    assert_eq!(provider.asked(), 3, "the first fetch and two more");
    signed_in(&bridge).await;
    pass(10).await;
    flood(1_000..2_000, 1).await;
    assert_eq!(provider.asked(), 4);
}

#[tokio::test(start_paused = true)]
async fn row_27_a_new_key_in_a_flood_is_to_be_tried_again_and_never_held_to_be_bad() {
    let provider = Provider::with(&[rsa_jwk("rsa", &RSA)]);
    let bridge = bridge(&config(), &provider);
    signed_in(&bridge).await;
    for name in 0..2 {
        bridge.refuses(&by_unknown_key(name), Reason::UnknownKey).await;
    }
    provider.publishes(&[rsa_jwk("rsa", &RSA), rsa_jwk("new", &OTHER_RSA)]);
    let error = Error::from(bridge.refusal(&by_new_key()).await);
    assert_eq!((error.code(), error.code().http_status()), (Code::Unavailable, 503));
    pass(10).await;
    bridge.accepts(&by_new_key()).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_published_while_a_fetch_is_under_way_is_fetched_once_more() {
    let provider = Provider::with(&[rsa_jwk("rsa", &RSA)]);
    let bridge = bridge(&config(), &provider);
    signed_in(&bridge).await;
    let (stray, new) = (by_unknown_key(1), by_new_key());
    let honest = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        bridge.accepts(&new).await;
    };
    let published = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        provider.publishes(&[rsa_jwk("rsa", &RSA), rsa_jwk("new", &OTHER_RSA)]);
    };
    tokio::join!(bridge.refuses(&stray, Reason::UnknownKey), honest, published);
    assert_eq!(provider.asked(), 3, "the stray id's fetch could not have it");
}

#[tokio::test(start_paused = true)]
async fn an_id_is_not_remembered_as_vain_by_a_fetch_that_began_before_it_was_asked_for() {
    let provider = Provider::with(&[rsa_jwk("rsa", &RSA)]);
    let bridge = bridge(&config(), &provider);
    signed_in(&bridge).await;
    bridge.refuses(&by_unknown_key(1), Reason::UnknownKey).await;
    let (stray, new) = (by_unknown_key(2), by_new_key());
    let early = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        bridge.refuses(&new, Reason::KeysUnavailable).await;
    };
    tokio::join!(bridge.refuses(&stray, Reason::UnknownKey), early);
    provider.publishes(&[rsa_jwk("rsa", &RSA), rsa_jwk("new", &OTHER_RSA)]);
    pass(10).await;
    bridge.accepts(&new).await;
}

#[tokio::test(start_paused = true)]
async fn row_27_one_bogus_key_id_does_not_use_up_every_turn() {
    let provider = Provider::with(&[rsa_jwk("rsa", &RSA)]);
    let bridge = bridge(&config(), &provider);
    signed_in(&bridge).await;
    bridge.refuses(&by_unknown_key(1), Reason::UnknownKey).await;
    pass(11).await;
    for _ in 0..3 {
        bridge.refuses(&by_unknown_key(1), Reason::UnknownKey).await;
    }
    assert_eq!(provider.asked(), 2, "looked for in vain a moment ago");
    provider.publishes(&[rsa_jwk("rsa", &RSA), rsa_jwk("new", &OTHER_RSA)]);
    bridge.accepts(&by_new_key()).await;
    assert_eq!(provider.asked(), 3, "the turn was free for a new key");
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_picked_up_by_one_fetch_however_many_ask() {
    let provider = Provider::with(&[rsa_jwk("rsa", &RSA)]);
    let bridge = bridge(&config(), &provider);
    signed_in(&bridge).await;
    provider.publishes(&[rsa_jwk("rsa", &RSA), rsa_jwk("new", &OTHER_RSA)]);
    let token = by_new_key();
    tokio::join!(bridge.accepts(&token), bridge.accepts(&token), bridge.accepts(&token));
    assert_eq!(provider.asked(), 2);
    // Within the wait: after a second unknown id others are refused at once, a known one is not held up.
    bridge.refuses(&by_unknown_key(1), Reason::UnknownKey).await;
    bridge.refuses(&by_unknown_key(2), Reason::KeysUnavailable).await;
    bridge.accepts(&token).await;
    assert_eq!(provider.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn row_28_of_thousands_of_keys_the_first_are_taken() {
    let mut keys = vec![rsa_jwk("rsa", &RSA)];
    keys.extend((0..2_000).map(|n| rsa_jwk(&format!("k{n}"), &OTHER_RSA)));
    let provider = Provider::with(&keys);
    let bridge = bridge(&Identity { jwks_max_bytes: 4 << 20, ..config() }, &provider);
    signed_in(&bridge).await;
    let by =
        |kid: &str| seal(json!({"kid": kid, "alg": "RS256"}).to_string(), claims().to_string(), By::Rsa(&OTHER_RSA));
    bridge.accepts(&by("k62")).await;
    bridge.refuses(&by("k63"), Reason::UnknownKey).await;
}

#[tokio::test(start_paused = true)]
async fn row_28_a_set_that_is_too_large_leaves_the_last_good_one() {
    let provider = Provider::with(&[rsa_jwk("rsa", &RSA)]);
    let bridge = bridge(&Identity { jwks_max_bytes: 10_000, ..config() }, &provider);
    signed_in(&bridge).await;
    provider.says(Says::Keys(" ".repeat(10_000) + &key_set(&[rsa_jwk("new", &OTHER_RSA)])));
    pass(601).await;
    assert_eq!(bridge.verifier.metrics().key_set_reads("pool", "failed"), 1);
    signed_in(&bridge).await;
}

#[tokio::test(start_paused = true)]
async fn row_30_a_withdrawn_key_ends_with_the_next_refresh() {
    let provider = Provider::with(&[rsa_jwk("rsa", &RSA), rsa_jwk("new", &OTHER_RSA)]);
    let bridge = bridge(&config(), &provider);
    bridge.accepts(&by_new_key()).await;
    provider.publishes(&[rsa_jwk("rsa", &RSA)]);
    pass(601).await;
    assert_eq!(provider.asked(), 2, "refreshed in the background");
    bridge.refuses(&by_new_key(), Reason::UnknownKey).await;
    signed_in(&bridge).await;
}

#[tokio::test(start_paused = true)]
async fn row_30_beyond_the_hard_lifetime_nothing_is_believed() {
    let provider = Provider::with(&[rsa_jwk("rsa", &RSA)]);
    let bridge = bridge(&config(), &provider);
    signed_in(&bridge).await;
    provider.says(Says::Status(500));
    pass(86_402).await;
    let refusal = bridge.refusal(&token(&json!({}))).await;
    assert_eq!(refusal.kind(), RefusalKind::KeysUnavailable);
    let error = Error::from(refusal);
    assert_eq!((error.code(), error.code().http_status()), (Code::Unavailable, 503));
    // It comes back by itself.
    provider.publishes(&[rsa_jwk("rsa", &RSA)]);
    pass(61).await;
    signed_in(&bridge).await;
}

#[tokio::test(start_paused = true)]
async fn row_31_while_the_provider_is_down_its_last_good_keys_serve() {
    let provider = Provider::with(&[rsa_jwk("rsa", &RSA)]);
    let bridge = bridge(&config(), &provider);
    signed_in(&bridge).await;
    for says in [
        Says::Status(404),
        Says::Status(302),
        Says::BreaksOff,
        Says::Nothing,
        Says::Keys("{".into()),
        Says::Keys(r#"{"keys":[]}"#.into()),
    ] {
        provider.says(says);
        pass(3_601).await;
        signed_in(&bridge).await;
    }
    assert!(bridge.verifier.metrics().key_set_reads("pool", "failed") >= 6, "the outage is in the metrics");
}

#[tokio::test(start_paused = true)]
async fn keys_that_cannot_be_had_are_no_fault_of_the_token() {
    let bad = [
        (Says::Status(404), 1),
        (Says::Status(500), 1),
        (Says::Status(301), 1),
        (Says::Keys("not json".into()), 1),
        (Says::Keys("[]".into()), 1),
        (Says::Keys(r#"{"keys":{}}"#.into()), 1),
        (Says::Keys(r#"{"keys":[]}"#.into()), 1),
        (Says::BreaksOff, 2),
        (Says::Nothing, 1),
    ];
    for (says, tries) in bad {
        let provider = Provider::with(&[]);
        provider.says(says);
        let bridge = bridge(&config(), &provider);
        bridge.refuses(&token(&json!({})), Reason::KeysUnavailable).await;
        assert_eq!(provider.asked(), tries, "only a broken transport is tried again, once");
        // Until the task tries again, requests are answered at once.
        bridge.refuses(&token(&json!({})), Reason::KeysUnavailable).await;
        assert_eq!(provider.asked(), tries);
        provider.publishes(&[rsa_jwk("rsa", &RSA)]);
        pass(2).await;
        signed_in(&bridge).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_while_the_provider_is_down_is_not_held_against_the_token() {
    let provider = Provider::with(&[rsa_jwk("rsa", &RSA)]);
    let bridge = bridge(&config(), &provider);
    signed_in(&bridge).await;
    provider.says(Says::Status(503));
    for _ in 0..5 {
        bridge.refuses(&by_new_key(), Reason::KeysUnavailable).await;
    }
    assert_eq!(provider.asked(), 3, "the first fetch and two more");
}

#[tokio::test(start_paused = true)]
async fn one_issuers_outage_is_not_anothers() {
    struct HalfDown(Arc<Provider>);
    #[async_trait]
    impl KeyFetcher for HalfDown {
        async fn fetch(&self, url: &str, max_bytes: usize) -> Result<Vec<u8>, FetchError> {
            if url.starts_with(OTHER_ISSUER) {
                Err(FetchError::Status(403))
            } else {
                self.0.fetch(url, max_bytes).await
            }
        }
    }
    let config = trusting(vec![TrustEntry {
        issuers: vec![ISSUER.into(), OTHER_ISSUER.into()],
        jwks: KeySource::Url(String::new()),
        ..entry()
    }]);
    let fetcher: Arc<dyn KeyFetcher> = Arc::new(HalfDown(Provider::with(&[rsa_jwk("rsa", &RSA)])));
    let clock = Clock::manual(NOW);
    let verifier = Verifier::with_fetcher(&config, &[], clock.clone(), Metrics::default(), &fetcher).expect("starts");
    let bridge = Bridge { verifier, clock };
    signed_in(&bridge).await;
    bridge.refuses(&token(&json!({"iss": OTHER_ISSUER})), Reason::KeysUnavailable).await;
}

#[tokio::test(start_paused = true)]
async fn row_29_no_claim_and_no_header_causes_or_steers_a_fetch() {
    let provider = Provider::with(&[rsa_jwk("rsa", &RSA)]);
    let bridge = bridge(&config(), &provider);
    signed_in(&bridge).await;
    for iss in [
        "https://evil.example",
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "https://cognito-idp.eu-west-1.amazonaws.com/../x",
    ] {
        bridge.refuses(&token(&json!({"iss": iss})), Reason::Issuer).await;
    }
    bridge.refuses(&token_with_header(&json!({"jku": "https://evil.example/keys"})), Reason::HeaderParameter).await;
    bridge.refuses(&token_with_header(&json!({"kid": "https://evil.example/keys"})), Reason::UnknownKey).await;
    let expected = format!("{ISSUER}/.well-known/jwks.json");
    assert!(provider.urls.lock().iter().all(|url| *url == expected));
}

#[tokio::test(start_paused = true)]
async fn row_34_verifications_under_way_are_bounded() {
    let provider = Provider::with(&[rsa_jwk("rsa", &RSA)]);
    let bridge = bridge(&Identity { max_verifications: 1, ..config() }, &provider);
    let good = token(&json!({}));
    // The first waits for the keys and holds the only place for that.
    let (first, second) = tokio::join!(bridge.verifier.verify(&good), bridge.verifier.verify(&good));
    first.expect("good");
    let refusal = second.expect_err("one too many");
    assert_eq!(refusal.kind(), RefusalKind::Busy);
    assert_eq!(Error::from(refusal).code(), Code::Unavailable);
    signed_in(&bridge).await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_that_is_waited_for_stops_no_known_one() {
    let provider = Provider::with(&[rsa_jwk("rsa", &RSA)]);
    let bridge = bridge(&Identity { max_verifications: 1, ..config() }, &provider);
    signed_in(&bridge).await;
    pass(60).await;
    provider.says(Says::Nothing);
    let (unknown, good) = (by_unknown_key(1), token(&json!({})));
    let (first, second, known) =
        tokio::join!(bridge.verifier.verify(&unknown), bridge.verifier.verify(&unknown), bridge.verifier.verify(&good));
    assert_eq!(first.expect_err("the provider hangs").kind(), RefusalKind::KeysUnavailable);
    assert_eq!(second.expect_err("one too many").kind(), RefusalKind::Busy);
    known.expect("its key is here");
}

#[tokio::test(start_paused = true)]
async fn row_35_a_jump_of_the_clock_neither_ages_nor_renews_keys() {
    let provider = Provider::with(&[rsa_jwk("rsa", &RSA)]);
    let bridge = bridge(&config(), &provider);
    signed_in(&bridge).await;
    provider.says(Says::Status(500));
    for jump in [10 * 86_400, -20 * 86_400, 10 * 86_400] {
        bridge.clock.advance_seconds(jump);
        pass(1).await;
    }
    assert_eq!(provider.asked(), 1, "lifetimes are not measured by the wall clock");
    signed_in(&bridge).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_file_is_read_again_at_its_soft_lifetime() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("keys.json");
    let config = trusting(vec![TrustEntry { jwks: KeySource::File(path.clone()), ..entry() }]);
    let start = || Verifier::new(&config, &[], Clock::manual(NOW), Metrics::default());
    assert_eq!(start().expect_err("no such file").path, "identity.trust[0].jwks.file");
    std::fs::write(&path, key_set(&[rsa_jwk("rsa", &RSA)])).expect("written");
    let bridge = Bridge { verifier: start().expect("starts"), clock: Clock::manual(NOW) };
    signed_in(&bridge).await;
    std::fs::write(&path, key_set(&[rsa_jwk("new", &OTHER_RSA)])).expect("written");
    pass(600).await;
    while bridge.verifier.metrics().key_set_reads("pool", "ok") == 0 {
        pass(1).await;
    }
    bridge.accepts(&by_new_key()).await;
    bridge.refuses(&token(&json!({})), Reason::UnknownKey).await;
}

#[tokio::test(start_paused = true)]
async fn background_tasks_end_with_the_verifier() {
    let provider = Provider::with(&[rsa_jwk("rsa", &RSA)]);
    let bridge = bridge(&config(), &provider);
    signed_in(&bridge).await;
    drop(bridge);
    pass(1).await;
    assert_eq!(Arc::strong_count(&provider), 1, "nobody fetches any more");
}
