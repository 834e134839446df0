//! What an entry makes of verified claims, how old a sign-in may be, and nonces. The rules of single variables are tested beside
//! the mapping itself.

use crate::support::*;
use kizuna::{
    clock::Entropy,
    config::{Identity, NonceRule, TrustEntry},
    identity::{Expected, Reason, Step},
};
use serde_json::{Value, json};

fn mapping(toml: &str) -> TrustEntry {
    let said: TrustEntry = toml::from_str(toml).expect("a trust entry");
    TrustEntry { vars: said.vars, tenant: said.tenant, username: said.username, ..entry() }
}

#[tokio::test]
async fn row_23_only_what_the_entry_names_reaches_the_session() {
    let bridge = Bridge::trusting(vec![mapping(
        "vars.role = { claims = [\"custom:role\", [\"game\", \"role\"]], any_of = [\"player\", \"gm\"], required = true }\n\
         vars.groups = { claims = [\"cognito:groups\"], type = \"list\" }\ntenant = { claims = [\"custom:tenant_id\"] }\n\
         username = [\"nickname\"]\n",
    )]);
    let identity = bridge
        .accepts(&token(&json!({
            "custom:role": "gm", "cognito:groups": ["a", "b"], "custom:tenant_id": "acme", "nickname": "An\u{202e}n",
            "__proto__": "x", "idp.admin": "true", "admin": true,
        })))
        .await;
    let vars: Vec<_> = identity.vars.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(vars, [("idp.groups", "a,b"), ("idp.role", "gm")]);
    assert_eq!((identity.tenant.as_deref(), identity.username.as_deref()), (Some("acme"), Some("Ann")));
    assert_ne!(identity.mapping_version, 0);
    assert_eq!(identity.origin(NOW).mapping_version, identity.mapping_version);
    let good = json!({ "custom:role": "gm", "custom:tenant_id": "acme" });
    for (change, reason) in [
        (json!({ "custom:role": null }), Reason::ClaimMissing),
        (json!({ "custom:role": ["gm"] }), Reason::ClaimType),
        (json!({ "custom:role": "admin" }), Reason::ClaimValue),
        (json!({ "cognito:groups": "a" }), Reason::ClaimType),
        (json!({ "cognito:groups": ["a,b"] }), Reason::ClaimType),
        (json!({ "cognito:groups": ["g".repeat(257)] }), Reason::VarTooLong),
        (json!({ "custom:tenant_id": null }), Reason::Tenant),
        (json!({ "custom:tenant_id": ["acme", "bolt"] }), Reason::Tenant),
    ] {
        let refusal = bridge.refusal(&token(&with(good.clone(), &change))).await;
        assert_eq!((refusal.reason, refusal.step()), (reason, Step::Claims), "{change}");
    }
}

#[tokio::test]
async fn an_entry_without_a_mapping_takes_nothing() {
    let identity =
        Bridge::new().accepts(&token(&json!({ "role": "gm", "tenant_id": "acme", "nickname": "Ann" }))).await;
    assert!(identity.vars.is_empty() && identity.tenant.is_none() && identity.username.is_none());
    assert_eq!(identity.mapping_version, 0);
}

#[tokio::test]
async fn a_sign_in_at_the_provider_may_be_bounded_in_age() {
    let bridge = Bridge::trusting(vec![TrustEntry { max_auth_age_sec: 600, ..entry() }]);
    bridge.accepts(&token(&json!({ "auth_time": NOW - 660 }))).await;
    for (at, reason) in [
        (json!(NOW - 661), Reason::SignedInLongAgo),
        (json!(NOW + 61), Reason::SignedInLater),
        (json!(null), Reason::TimeForm),
        (json!("1799999999"), Reason::TimeForm),
        (json!(-1), Reason::TimeForm),
    ] {
        bridge.refuses(&token(&json!({ "auth_time": at })), reason).await;
    }
    let unbounded = Bridge::new().accepts(&token(&json!({ "auth_time": "long ago" }))).await;
    assert_eq!(unbounded.authenticated_at, None, "where nobody asks, a malformed one is none");
}

fn asking_for_a_nonce() -> Bridge {
    Bridge::trusting(vec![TrustEntry { nonce: NonceRule::Required, ..entry() }])
}

#[tokio::test]
async fn a_required_nonce_is_this_servers_and_counts_once() {
    let (bridge, entropy) = (asking_for_a_nonce(), Entropy::seeded(7));
    let nonce = bridge.verifier.issue_nonce(&entropy);
    let good = token(&json!({ "nonce": nonce }));
    // What fails for another reason does not use it up.
    bridge.refuses(&token(&json!({ "nonce": nonce, "client_id": "another" })), Reason::Audience).await;
    bridge.accepts(&good).await;
    bridge.refuses(&good, Reason::Nonce).await;
    bridge.refuses(&token(&json!({ "nonce": nonce, "jti": "another token" })), Reason::Nonce).await;
    let elsewhere = asking_for_a_nonce().verifier.issue_nonce(&entropy);
    for bad in [json!(null), json!(1), json!(""), json!("guessed"), json!([nonce]), json!(elsewhere)] {
        bridge.refuses(&token(&json!({ "nonce": bad })), Reason::Nonce).await;
    }
    let late = bridge.verifier.issue_nonce(&entropy);
    bridge.clock.advance_seconds(300);
    bridge.refuses(&token(&json!({ "nonce": late })), Reason::Nonce).await;
}

#[tokio::test]
async fn a_caller_that_asked_for_a_token_takes_only_that_one() {
    let bridge = asking_for_a_nonce();
    let expected = |entry, nonce| Expected { entry, nonce: Some(nonce) };
    let asked = token(&json!({ "nonce": "asked-for" }));
    let judged = async |expected: Expected<'_>| bridge.verifier.verify_expecting(&asked, expected).await.map(drop);
    judged(expected("pool", "asked-for")).await.expect("the one");
    let refused = |reason| {
        move |result: Result<(), kizuna::identity::Refusal>| assert_eq!(result.expect_err("another").reason, reason)
    };
    refused(Reason::Nonce)(judged(expected("pool", "asked-fo")).await);
    refused(Reason::Nonce)(judged(expected("pool", "")).await);
    refused(Reason::OtherEntry)(judged(expected("other", "asked-for")).await);
    let without = bridge.verifier.verify_expecting(&token(&json!({})), expected("pool", "asked-for")).await;
    assert_eq!(without.expect_err("none").reason, Reason::Nonce);
    let renewed = Expected { entry: "pool", nonce: None };
    bridge.verifier.verify_expecting(&token(&json!({})), renewed).await.expect("a renewal has none");
}

#[tokio::test]
async fn large_tokens_are_counted_and_let_in() {
    let bridge = Bridge::with(&Identity { warn_token_bytes: 2_000, ..trusting(vec![entry()]) });
    let filled = |bytes: usize| token(&json!({ "filler": "x".repeat(bytes) }));
    bridge.accepts(&filled(0)).await;
    assert_eq!(bridge.verifier.metrics().large_tokens("pool"), 0);
    bridge.accepts(&filled(2_000)).await;
    assert_eq!(bridge.verifier.metrics().large_tokens("pool"), 1);
}

#[tokio::test]
async fn an_explanation_names_each_step_and_never_shows_the_token() {
    let bridge = Bridge::trusting(vec![mapping("vars.role = { claims = [\"role\"], required = true }\n")]);
    let claims = json!({ "role": "gm", "email": "ann@example.com" });
    let good = bridge.verifier.explain(&token(&claims)).await;
    assert!(good.outcome.is_ok() && good.signature_judged);
    let text = good.to_string();
    for said in [
        "format     ok",
        "alg \"RS256\"",
        "signature  ok",
        "issued 2027-01-15T07:59:00Z (60 s ago)",
        "in 59 min",
        SUBJECT,
        "idp.role = \"gm\"",
    ] {
        assert!(text.contains(said), "{said} in\n{text}");
    }
    assert!(!text.contains("ann@example.com"), "only what is mapped");
    let refused: [(Value, &str); 4] = [
        (json!({ "role": null }), "claims     REFUSED  a required claim is missing; idp.role"),
        (json!({ "exp": NOW - 61 }), "expiry     REFUSED  the token has expired"),
        (
            json!({ "iss": "https://evil.example/\u{202e}" }),
            "issuer     REFUSED  the issuer is not trusted; iss \"https://evil.example/\\u{202e}\"",
        ),
        (
            json!({ "client_id": "other" }),
            "client     REFUSED  the token is for another client; client_id \"other\", token_use \"access\"",
        ),
    ];
    for (change, said) in refused {
        let token = token(&with(claims.clone(), &change));
        let text = bridge.verifier.explain(&token).await.to_string();
        assert!(text.contains(said), "{said} in\n{text}");
        assert!(token.split('.').all(|part| !text.contains(part)), "{text}");
    }
}
