//! Each provider that has a preset, by tokens as it makes them, odd sides included.

use crate::support::*;
use kizuna::{
    config::{AccountId, ClaimPath, KeySource, TrustEntry, judge_trust},
    identity::{Reason, VerifiedIdentity},
};
use serde_json::{Value, json};

const DIRECTORY: &str = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490";
const OTHER_DIRECTORY: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// An entry as it would stand in a file, where its keys are those of the tests.
fn entry_of(toml: &str) -> TrustEntry {
    with_keys(toml, &[rsa_jwk("rsa", &RSA)])
}

fn with_keys(toml: &str, keys: &[Value]) -> TrustEntry {
    let entry: TrustEntry = toml::from_str(&format!("name = \"pool\"\n{toml}")).expect("a trust entry");
    judge_trust(std::slice::from_ref(&entry), false).expect("the entry needs nothing more");
    TrustEntry { jwks: KeySource::Inline(key_set(keys)), ..entry }
}

/// A provider as the tests play it: its entry, and a good token's claims.
struct Provider {
    bridge: Bridge,
    claims: Value,
}

impl Provider {
    fn new(toml: &str, claims: Value) -> Self {
        let times = json!({ "iat": NOW - 60, "exp": NOW + 3_540 });
        Self { bridge: Bridge::trusting(vec![entry_of(toml)]), claims: with(claims, &times) }
    }

    fn token(&self, change: &Value) -> String {
        let header = json!({ "alg": "RS256", "kid": "rsa", "typ": "JWT" });
        seal(header.to_string(), with(self.claims.clone(), change).to_string(), By::Rsa(&RSA))
    }

    async fn accepts(&self, change: Value) -> VerifiedIdentity {
        self.bridge.accepts(&self.token(&change)).await
    }

    async fn refuses(&self, changes: &[(Value, Reason)]) {
        for (change, reason) in changes {
            let refusal = self.bridge.refusal(&self.token(change)).await;
            assert_eq!(refusal.reason, *reason, "{change}");
        }
    }
}

/// What is wrong with an entry, by its key.
fn fault(toml: &str) -> String {
    let entry: TrustEntry = toml::from_str(&format!("name = \"pool\"\n{toml}")).expect("a trust entry");
    judge_trust(&[entry], false).expect_err("it needs more").path
}

#[tokio::test]
async fn cognito_issues_under_both_names_and_from_its_replicas() {
    let toml = "preset = \"cognito-access\"\nregion = \"eu-west-1\"\nreplica_regions = [\"us-east-1\"]\n\
                user_pool_id = \"eu-west-1_AbCdEf123\"\naudience.any_of = [\"game-client\"]\n";
    let cognito = Provider::new(toml, claims());
    for issuer in [
        ISSUER,
        "https://issuer-cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf123",
        "https://cognito-idp.us-east-1.amazonaws.com/eu-west-1_AbCdEf123",
    ] {
        assert_eq!(cognito.accepts(json!({ "iss": issuer })).await.account_id, SUBJECT);
    }
    cognito
        .refuses(&[
            (
                json!({ "iss": "https://issuer-cognito-idp.us-east-1.amazonaws.com/eu-west-1_AbCdEf123" }),
                Reason::Issuer,
            ),
            (json!({ "client_id": null, "aud": CLIENT }), Reason::Audience),
            (json!({ "token_use": "id" }), Reason::TokenType),
            (json!({ "token_use": null }), Reason::TokenType),
        ])
        .await;
    assert_eq!(fault(&toml.replace("us-east-1", "US EAST")), "identity.trust[0].replica_regions");
}

#[tokio::test]
async fn auth0_has_a_slash_in_its_name_and_many_audiences() {
    let toml = "preset = \"auth0\"\nissuers = [\"https://example.eu.auth0.com/\"]\n\
                audience.any_of = [\"https://api.game.example\"]\nauthorized_parties = [\"game-client\"]\n";
    let auth0 = Provider::new(
        toml,
        json!({
            "iss": "https://example.eu.auth0.com/", "sub": "auth0|65f1c0ffee", "azp": CLIENT, "scope": "openid play",
            "aud": ["https://api.game.example", "https://example.eu.auth0.com/userinfo"],
        }),
    );
    assert_eq!(auth0.accepts(json!({})).await.account_id, "auth0|65f1c0ffee");
    auth0.accepts(json!({ "aud": "https://api.game.example" })).await;
    auth0
        .refuses(&[
            (json!({ "iss": "https://example.eu.auth0.com" }), Reason::Issuer),
            // An ID token is for the client, and a machine's token is another client's.
            (json!({ "aud": CLIENT, "azp": null }), Reason::Audience),
            (json!({ "azp": "a-machine", "sub": "a-machine@clients" }), Reason::AuthorizedParty),
            (json!({ "azp": null }), Reason::AuthorizedParty),
            (json!({ "azp": [CLIENT] }), Reason::AuthorizedParty),
            (json!({ "aud": ["https://example.eu.auth0.com/userinfo"] }), Reason::Audience),
        ])
        .await;
    assert_eq!(fault(&toml.replace(".com/\"]", ".com\"]")), "identity.trust[0].issuers");
}

#[tokio::test]
async fn keycloak_names_the_client_in_azp_and_the_kind_in_the_payload() {
    let realm = "https://sso.example.com/realms/game";
    let toml = format!("preset = \"keycloak\"\nissuers = [\"{realm}\"]\naudience.any_of = [\"game-client\"]\n");
    let good = json!({
        "iss": realm, "sub": SUBJECT, "aud": "account", "azp": CLIENT, "typ": "Bearer", "sid": "s-1", "auth_time": NOW - 60,
        "realm_access": { "roles": ["player", "offline_access"] }, "scope": "openid profile",
    });
    let mapped = format!(
        "{toml}vars.roles = {{ claims = [[\"realm_access\", \"roles\"]], type = \"list\", keep = [\"player\"] }}\n"
    );
    let keycloak = Provider::new(&mapped, good.clone());
    let identity = keycloak.accepts(json!({})).await;
    assert_eq!((identity.account_id.as_str(), identity.family.as_deref()), (SUBJECT, Some("s-1")));
    assert_eq!(identity.vars["idp.roles"], "player");
    keycloak
        .refuses(&[
            (json!({ "typ": "Refresh" }), Reason::TokenType),
            (json!({ "typ": "Offline" }), Reason::TokenType),
            (json!({ "typ": "ID" }), Reason::TokenType),
            (json!({ "typ": "Logout", "events": {} }), Reason::TokenType),
            (json!({ "typ": null }), Reason::TokenType),
            (json!({ "azp": "account-console" }), Reason::Audience),
            // A lightweight access token.
            (json!({ "sub": null }), Reason::Subject),
        ])
        .await;
    // An entry that asks for ID tokens says so itself.
    let ids = Provider::new(&format!("{toml}token_type = {{ claim = \"typ\", equals = \"ID\" }}\n"), good);
    ids.accepts(json!({ "typ": "ID", "aud": CLIENT })).await;
    ids.refuses(&[(json!({}), Reason::TokenType)]).await;
    assert_eq!(
        toml::from_str::<TrustEntry>(&toml).expect("an entry").with_preset().jwks,
        KeySource::Url(format!("{realm}/protocol/openid-connect/certs"))
    );
    assert_eq!(fault(&toml.replace("realms/game", "realms/game/")), "identity.trust[0].issuers");
}

#[tokio::test]
async fn keycloaks_key_for_encryption_harms_nothing() {
    let encryption = with(rsa_jwk("enc", &OTHER_RSA), &json!({ "use": "enc", "alg": "RSA-OAEP" }));
    let toml = "preset = \"keycloak\"\nissuers = [\"https://sso.example.com/realms/game\"]\naudience.any_of = [\"game-client\"]\n";
    let bridge = Bridge::trusting(vec![with_keys(toml, &[encryption, rsa_jwk("rsa", &RSA)])]);
    let claims = json!({
        "iss": "https://sso.example.com/realms/game", "sub": SUBJECT, "azp": CLIENT, "typ": "Bearer", "exp": NOW + 300,
    });
    bridge.accepts(&token_of(claims.to_string())).await;
    let sealed = seal(json!({ "alg": "RS256", "kid": "enc" }).to_string(), claims.to_string(), By::Rsa(&OTHER_RSA));
    bridge.refuses(&sealed, Reason::UnknownKey).await;
}

#[tokio::test]
async fn firebase_players_have_signed_in_in_the_past_and_may_have_a_tenant() {
    let toml = "preset = \"firebase\"\nproject = \"my-game\"\n";
    let good = json!({
        "iss": "https://securetoken.google.com/my-game", "aud": "my-game", "sub": "Xy9aBcDeFgHiJkLmNoPqRsTuVwX2",
        "user_id": "Xy9aBcDeFgHiJkLmNoPqRsTuVwX2", "auth_time": NOW - 9_000_000,
        "firebase": { "identities": {}, "sign_in_provider": "anonymous", "tenant": "acme-1" },
    });
    let firebase = Provider::new(toml, good.clone());
    assert_eq!(firebase.accepts(json!({})).await.authenticated_at, Some(NOW - 9_000_000));
    firebase
        .refuses(&[
            (json!({ "auth_time": null }), Reason::TimeForm),
            (json!({ "auth_time": "yesterday" }), Reason::TimeForm),
            (json!({ "auth_time": NOW + 61 }), Reason::SignedInLater),
            (json!({ "aud": "another-game" }), Reason::Audience),
            // A session cookie is the project's, too.
            (json!({ "iss": "https://session.firebase.google.com/my-game" }), Reason::Issuer),
            (json!({ "sub": "" }), Reason::Subject),
        ])
        .await;
    let tenants = Provider::new(&format!("{toml}tenant = {{ claims = [[\"firebase\", \"tenant\"]] }}\n"), good);
    assert_eq!(tenants.accepts(json!({})).await.tenant.as_deref(), Some("acme-1"));
    tenants.refuses(&[(json!({ "firebase": { "sign_in_provider": "anonymous" } }), Reason::Tenant)]).await;
    assert_eq!(fault("preset = \"firebase\"\n"), "identity.trust[0].project");
}

#[tokio::test]
async fn google_spells_its_name_in_two_ways_and_both_are_one_player() {
    let toml = "preset = \"google\"\naudience.any_of = [\"web.apps.googleusercontent.com\"]\n\
                authorized_parties = [\"web.apps.googleusercontent.com\", \"android.apps.googleusercontent.com\"]\n";
    let good = json!({
        "iss": "https://accounts.google.com", "aud": "web.apps.googleusercontent.com", "sub": "110169484474386276334",
        "azp": "android.apps.googleusercontent.com", "hd": "studio.example",
    });
    let google = Provider::new(toml, good.clone());
    let one = google.accepts(json!({})).await;
    let other = google.accepts(json!({ "iss": "accounts.google.com" })).await;
    assert_eq!(one.account_id, other.account_id);
    google
        .refuses(&[
            (json!({ "iss": "https://accounts.google.com/" }), Reason::Issuer),
            (json!({ "aud": "android.apps.googleusercontent.com" }), Reason::Audience),
            (json!({ "azp": "evil.apps.googleusercontent.com" }), Reason::AuthorizedParty),
        ])
        .await;
    // Where only one company's accounts may play, its domain is asked for; where not, it is not looked at.
    google.accepts(json!({ "hd": null })).await;
    let company = format!("{toml}vars.hd = {{ claims = [\"hd\"], any_of = [\"studio.example\"], required = true }}\n");
    let company = Provider::new(&company, good);
    company.accepts(json!({})).await;
    company
        .refuses(&[
            (json!({ "hd": null }), Reason::ClaimMissing),
            (json!({ "hd": "studio.example.evil.example" }), Reason::ClaimValue),
        ])
        .await;
}

#[tokio::test]
async fn a_subject_that_must_be_hashed_is_one_player_under_both_of_an_issuers_names() {
    let toml = "preset = \"google\"\naudience.any_of = [\"web\"]\naccount_id = \"prefixed\"\n";
    let google = Provider::new(toml, json!({ "iss": "accounts.google.com", "aud": "web", "sub": "1".repeat(255) }));
    let one = google.accepts(json!({})).await.account_id;
    assert!(one.starts_with("pool:h:"), "{one}");
    assert_eq!(google.accepts(json!({ "iss": "https://accounts.google.com" })).await.account_id, one);
}

#[tokio::test]
async fn apple_writes_truth_as_text_and_its_notifications_are_no_sign_in() {
    let toml = "preset = \"apple\"\naudience.any_of = [\"com.example.game\"]\n\
                vars.verified = { claims = [\"email_verified\"], type = \"bool\" }\n";
    let apple = Provider::new(
        toml,
        json!({
            "iss": "https://appleid.apple.com", "aud": "com.example.game", "sub": "000123.0a1b2c3d4e5f.1234",
            "email_verified": "true", "is_private_email": "true", "nonce_supported": true, "auth_time": NOW - 60,
        }),
    );
    assert_eq!(apple.accepts(json!({})).await.vars["idp.verified"], "true");
    assert_eq!(apple.accepts(json!({ "email_verified": true })).await.vars["idp.verified"], "true");
    let events = r#"{"type":"account-delete","sub":"000123.0a1b2c3d4e5f.1234","event_time":1800000000000}"#;
    apple
        .refuses(&[
            (json!({ "events": events, "sub": null }), Reason::TokenType),
            (json!({ "events": events }), Reason::TokenType),
            (json!({ "email_verified": "yes" }), Reason::ClaimType),
            (json!({ "aud": "com.example.other" }), Reason::Audience),
        ])
        .await;
}

const ENTRA: &str =
    "preset = \"entra\"\ntenants = [\"8eaef023-2b34-4da1-9baa-8bc8c9d6a490\"]\naudience.any_of = [\"game-client\"]\n";

fn entra_claims() -> Value {
    json!({
        "iss": format!("https://login.microsoftonline.com/{DIRECTORY}/v2.0"), "tid": DIRECTORY, "aud": CLIENT, "ver": "2.0",
        "oid": "00000000-0000-0000-66f3-3332eca7ea81", "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", "azp": "a-client",
    })
}

#[tokio::test]
async fn entra_players_are_known_by_directory_and_object_of_allowed_directories() {
    let entra = Provider::new(ENTRA, entra_claims());
    let identity = entra.accepts(json!({ "sub": "another-for-each-application" })).await;
    assert_eq!(identity.account_id, format!("{DIRECTORY}:00000000-0000-0000-66f3-3332eca7ea81"));
    let other = format!("https://login.microsoftonline.com/{OTHER_DIRECTORY}/v2.0");
    entra
        .refuses(&[
            (json!({ "iss": other, "tid": OTHER_DIRECTORY }), Reason::Issuer),
            (json!({ "tid": OTHER_DIRECTORY }), Reason::IssuerTenant),
            (json!({ "tid": null }), Reason::IssuerTenant),
            (json!({ "iss": "https://login.microsoftonline.com/{tenantid}/v2.0" }), Reason::Issuer),
            (json!({ "iss": "https://login.microsoftonline.com/common/v2.0" }), Reason::Issuer),
            (json!({ "iss": format!("https://sts.windows.net/{DIRECTORY}/"), "ver": "1.0" }), Reason::Issuer),
            (json!({ "ver": "1.0" }), Reason::TokenType),
            (json!({ "oid": null }), Reason::Subject),
            (json!({ "oid": "a:b" }), Reason::Subject),
            (json!({ "oid": "" }), Reason::Subject),
        ])
        .await;
    for (wrong, key) in [
        (ENTRA.replace(DIRECTORY, "common"), "tenants"),
        (ENTRA.replace(DIRECTORY, &DIRECTORY.to_uppercase()), "tenants"),
        (ENTRA.replace(&format!("\"{DIRECTORY}\""), ""), "tenants"),
        (ENTRA.replace(&format!("\"{DIRECTORY}\""), &format!("\"{DIRECTORY}\", \"{DIRECTORY}\"")), "tenants"),
    ] {
        assert_eq!(fault(&wrong), format!("identity.trust[0].{key}"), "{wrong}");
    }
}

#[tokio::test]
async fn entras_keys_say_no_algorithm_and_whose_tokens_they_sign() {
    let jwk = |issuer: Value| with(rsa_jwk("rsa", &RSA), &json!({ "alg": null, "issuer": issuer }));
    let both = ENTRA.replace(&format!("\"{DIRECTORY}\""), &format!("\"{DIRECTORY}\", \"{OTHER_DIRECTORY}\""));
    let judged = async |issuer: Value, tenant: &str| {
        let bridge = Bridge::trusting(vec![with_keys(&both, &[jwk(issuer), rsa_jwk("good", &OTHER_RSA)])]);
        let iss = format!("https://login.microsoftonline.com/{tenant}/v2.0");
        let claims = with(entra_claims(), &json!({ "iss": iss, "tid": tenant, "exp": NOW + 300 }));
        bridge.verifier.verify(&token_of(claims.to_string())).await.map_err(|refusal| refusal.reason).map(drop)
    };
    let template = json!("https://login.microsoftonline.com/{tenantid}/v2.0");
    assert_eq!(judged(template.clone(), DIRECTORY).await, Ok(()));
    assert_eq!(judged(template, OTHER_DIRECTORY).await, Ok(()));
    let of_one = json!(format!("https://login.microsoftonline.com/{OTHER_DIRECTORY}/v2.0"));
    assert_eq!(judged(of_one.clone(), OTHER_DIRECTORY).await, Ok(()));
    assert_eq!(
        judged(of_one, DIRECTORY).await,
        Err(Reason::KeyIssuer),
        "a key of personal accounts signs for a company"
    );
    assert_eq!(judged(json!("https://sts.windows.net/{tenantid}/"), DIRECTORY).await, Err(Reason::KeyIssuer));
    assert_eq!(judged(json!(7), DIRECTORY).await, Err(Reason::UnknownKey));
}

#[tokio::test]
async fn okta_names_the_client_in_cid_and_the_player_in_uid() {
    let issuer = "https://example.okta.com/oauth2/default";
    let toml = format!(
        "preset = \"okta\"\nissuers = [\"{issuer}\"]\naudience.any_of = [\"game-client\"]\n\
         vars.scope = {{ claims = [\"scp\"], type = \"scope\" }}\n"
    );
    let okta = Provider::new(
        &toml,
        json!({
            "iss": issuer, "aud": "api://default", "cid": CLIENT, "uid": "00u1a2b3c4D5e6F7g8h9", "sub": "ann@example.com", "ver": 1,
            "jti": "AT.abc", "scp": ["openid", "play"], "auth_time": NOW - 60,
        }),
    );
    let identity = okta.accepts(json!({})).await;
    assert_eq!(identity.account_id, "00u1a2b3c4D5e6F7g8h9", "not the login, which may change");
    assert_eq!(identity.vars["idp.scope"], "openid play");
    okta.refuses(&[
        // An ID token; a machine's token.
        (json!({ "cid": null, "uid": null, "aud": CLIENT, "sub": "00u1a2b3c4D5e6F7g8h9" }), Reason::Audience),
        (json!({ "uid": null, "sub": CLIENT }), Reason::Subject),
        (json!({ "cid": "another" }), Reason::Audience),
    ])
    .await;
    assert_eq!(fault(&toml.replace("/oauth2/default", "")), "identity.trust[0].issuers");
    assert_eq!(
        toml::from_str::<TrustEntry>(&toml).expect("an entry").with_preset().jwks,
        KeySource::Url(format!("{issuer}/v1/keys"))
    );
}

#[tokio::test]
async fn any_other_provider_is_an_issuer_that_describes_itself() {
    let toml = "preset = \"oidc\"\nissuers = [\"https://id.example\"]\naudience.any_of = [\"game-client\"]\n";
    let known = toml::from_str::<TrustEntry>(toml).expect("an entry").with_preset();
    assert_eq!(known.jwks, KeySource::Discovery);
    let other = Provider::new(toml, json!({ "iss": "https://id.example", "aud": [CLIENT], "sub": SUBJECT }));
    other.accepts(json!({})).await;
    other.refuses(&[(json!({ "iss": "https://id.example/" }), Reason::Issuer)]).await;
    assert_eq!(fault(&toml.replace("https:", "http:")), "identity.trust[0].issuers");
    assert_eq!(fault(&toml.replace("\"https://id.example\"", "")), "identity.trust[0].issuers");
}

#[tokio::test]
async fn log_out_and_security_events_sign_nobody_in_however_they_call_themselves() {
    let bridge = Bridge::new();
    let events = json!({ "events": { "http://schemas.openid.net/event/backchannel-logout": {} } });
    bridge.refuses(&token(&events), Reason::TokenType).await;
    for typ in ["logout+jwt", "secevent+jwt", "dpop+jwt", "application/logout+jwt"] {
        bridge.refuses(&token_with_header(&json!({ "typ": typ })), Reason::TokenType).await;
    }
}

#[test]
fn entries_of_one_issuer_agree_on_what_names_a_player() {
    let one = entry();
    let mut other = TrustEntry { name: "ids".into(), subject: vec![ClaimPath::from("uid")], ..entry() };
    other.token_type.equals = "id".into();
    assert_eq!(judge_trust(&[one, other], false).expect_err("two names").path, "identity.trust[1].subject");
}

#[test]
fn a_template_needs_its_tenants_and_makes_issuers_of_its_own() {
    let templated = TrustEntry {
        issuers: vec!["https://{tenantid}.example".into(), "https://plain.example".into()],
        tenants: vec!["a".into(), "b".into()],
        account_id: AccountId::Prefixed,
        ..entry()
    };
    judge_trust(std::slice::from_ref(&templated), false).expect("complete");
    let exact: Vec<_> = templated.exact_issuers().into_iter().map(|issuer| (issuer.name, issuer.tenant)).collect();
    assert_eq!(exact[1], ("https://b.example".to_owned(), Some("b".to_owned())));
    assert_eq!(exact[2], ("https://plain.example".to_owned(), None));
    for wrong in [
        TrustEntry { tenants: Vec::new(), ..templated.clone() },
        TrustEntry { tenants: vec!["a/b".into()], ..templated.clone() },
        TrustEntry { issuers: vec!["https://plain.example".into()], ..templated },
    ] {
        assert_eq!(judge_trust(&[wrong], false).expect_err("refused").path, "identity.trust[0].tenants");
    }
}
