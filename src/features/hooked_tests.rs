//! Signing in and linking behind hooks: the identity bridge, and notices to webhooks.

use super::{
    Caller, account, links,
    testing::{NOW, OK, World, error, said},
};
use crate::{
    audit::Audit,
    clock::Clock,
    config::{
        self, Algorithm, Audience, AudienceClaim, Config, KeySource, TokenType, TrustEntry, Webhook, WebhookStage,
    },
    hooks::{
        Bridge, Hooks,
        testing::{Listener, Reply},
    },
    identity::{Metrics, Verifier},
    lifecycle::Lifecycle,
};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use kizuna_protocol::{api, code::Code};
use serde_json::json;
use std::time::Duration;

const SUBJECT: &str = "6f9619ff-8b86-4d11-b42d-00c04fc964ff";

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes are a seed")
}

/// An identity token for `subject` of the one issuer that is trusted.
fn identity_token(subject: &str) -> String {
    let header = json!({"alg": "EdDSA", "kid": "k"}).to_string();
    let claims = json!({"iss": "https://id.example", "sub": subject, "aud": "game", "iat": NOW, "exp": NOW + 600});
    let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims.to_string()));
    format!("{signed}.{}", BASE64.encode(key().sign(signed.as_bytes())))
}

fn trusting() -> config::Identity {
    let jwk = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": BASE64.encode(key().public_key())}]});
    let entry = TrustEntry {
        name: "example".into(),
        issuers: vec!["https://id.example".into()],
        jwks: KeySource::Inline(jwk.to_string()),
        algorithms: vec![Algorithm::EdDSA],
        audience: Audience { claim: AudienceClaim::Aud, any_of: vec!["game".into()] },
        token_type: TokenType { any: true, ..Default::default() },
        ..Default::default()
    };
    config::Identity { trust: vec![entry], ..Default::default() }
}

fn bridged(identity: &config::Identity) -> World {
    let verifier = Verifier::new(identity, &[], Clock::manual(NOW), Metrics::default());
    let bridge = Bridge::new(verifier.expect("the trust entry fits"), Audit::off());
    World::with(|config| config.hooks.before = vec!["bridge".into()], Hooks::builder().bridge(bridge))
}

async fn link_custom(world: &World, caller: &Caller, id: &str) -> (Code, String) {
    let account = api::AccountCustom { id: id.into(), ..Default::default() };
    said(links::link_custom(&world.services, caller, account).await)
}

async fn unlink_custom(world: &World, caller: &Caller, id: &str) -> (Code, String) {
    let account = api::AccountCustom { id: id.into(), ..Default::default() };
    said(links::unlink_custom(&world.services, caller, account).await)
}

#[tokio::test]
async fn an_identity_token_becomes_the_account_of_its_subject() {
    let world = bridged(&trusting());
    let session = world.custom(&identity_token(SUBJECT)).await.unwrap();
    let player = world.caller(&session.token).unwrap();
    let account = account::get_account(&world.services, &player).await.unwrap();
    assert!(session.created);
    assert_eq!(account.custom_id, SUBJECT);
    assert!(!world.custom(&identity_token(SUBJECT)).await.unwrap().created);
}

#[tokio::test]
async fn where_somebody_is_trusted_a_plain_custom_id_is_refused() {
    let world = bridged(&trusting());
    let refused = error(Code::Unauthenticated, "Identity token refused.");
    let forged = identity_token(SUBJECT).replace('.', ".e");
    for id in ["", "plain-custom-id", SUBJECT, &forged, &"x".repeat(100_000)] {
        assert_eq!(said(world.custom(id).await), refused, "{} bytes", id.len());
    }
    // Other ways to sign in are not the bridge's.
    assert_eq!(said(world.device("device-0001", "").await), OK);
    assert_eq!(said(world.email("one@example.com", "password").await), OK);
}

#[tokio::test]
async fn where_nobody_is_trusted_custom_ids_are_plain() {
    let world = bridged(&config::Identity::default());
    assert_eq!(said(world.custom("plain-custom-id").await), OK);
}

#[tokio::test]
async fn linking_and_unlinking_a_custom_id_go_over_the_bridge() {
    let world = bridged(&trusting());
    let session = world.device("device-0001", "").await.unwrap();
    let player = world.caller(&session.token).unwrap();
    let refused = error(Code::Unauthenticated, "Identity token refused.");
    assert_eq!(link_custom(&world, &player, SUBJECT).await, refused);
    assert_eq!(link_custom(&world, &player, &identity_token(SUBJECT)).await, OK);
    let bridged = world.custom(&identity_token(SUBJECT)).await.unwrap();
    assert_eq!(world.caller(&bridged.token).unwrap().user_id, player.user_id);

    assert_eq!(unlink_custom(&world, &player, SUBJECT).await, refused);
    let another = identity_token("0e37df36-f698-11e6-8dd4-cb9ced3df976");
    assert_eq!(unlink_custom(&world, &player, &another).await.0, Code::PermissionDenied);
    assert_eq!(unlink_custom(&world, &player, &identity_token(SUBJECT)).await, OK);
    assert_eq!(link_custom(&world, &player, &identity_token(SUBJECT)).await, OK);
    assert_eq!(unlink_custom(&world, &player, "").await, OK);
}

fn told(config: &mut Config, url: &str) {
    config.hooks.after = vec!["told".into()];
    config.hooks.webhook = vec![Webhook {
        name: "told".into(),
        stage: WebhookStage::After,
        url: url.to_owned(),
        retry_ms: 1_000,
        max_attempts: 3,
        ..Default::default()
    }];
}

async fn deliver(world: &World) {
    world.services.hooks.delivery(world.services.store.clone()).deliver_due().await.expect("the store works");
}

fn waiting(world: &World) -> usize {
    world.services.store.due_notices(i64::MAX, 1_000).expect("the store can be read").len()
}

#[tokio::test]
async fn a_webhook_is_told_of_new_accounts_and_of_sign_ins() {
    let listener = Listener::start(|_| Reply::Answer(204, String::new())).await;
    let world = World::with(|config| told(config, &listener.url), Hooks::builder());
    let session = world.custom_named("player-1", "Nick", None).await.unwrap();
    let player = world.caller(&session.token).unwrap();
    world.custom("player-1").await.unwrap();
    world.email("one@example.com", "password").await.unwrap();
    // What fails is not told.
    assert_eq!(said(world.custom_named("player-2", "Nick", None).await).0, Code::AlreadyExists);
    assert_eq!(said(world.email("one@example.com", "passwort").await).0, Code::Unauthenticated);
    deliver(&world).await;
    let received = listener.received();
    assert_eq!((received.len(), waiting(&world)), (3, 0));
    let of_player = |event: &str| {
        let is = |body: &serde_json::Value| body["event"] == event && body["username"] == "Nick";
        received.iter().find(|request| is(&request.body)).map(|request| request.body.clone())
    };
    let (made, seen) = (of_player("account_created").unwrap(), of_player("signed_in").unwrap());
    assert_ne!(made["id"], seen["id"]);
    let id = made["id"].clone();
    assert_eq!(
        made,
        json!({
            "id": id, "event": "account_created", "at": NOW, "method": "custom", "user_id": player.user_id.to_string(),
            "username": "Nick", "created": true, "vars": {}, "client_address": null,
        })
    );
    assert!(received.iter().all(|request| !request.body.to_string().contains("password")));
}

#[tokio::test]
async fn a_notice_is_tried_again_under_its_id_and_survives_a_restart() {
    let listener = Listener::start(|number| Reply::Answer(if number < 2 { 500 } else { 200 }, String::new())).await;
    let world = World::with(|config| told(config, &listener.url), Hooks::builder());
    world.custom("player-1").await.unwrap();
    deliver(&world).await;
    deliver(&world).await;
    assert_eq!((listener.received().len(), waiting(&world)), (1, 1));
    let world = world.restarted(|_| {});
    world.later(1);
    deliver(&world).await;
    world.later(1);
    deliver(&world).await;
    assert_eq!(listener.received().len(), 2, "the wait doubles");
    world.later(1);
    deliver(&world).await;
    let received = listener.received();
    assert_eq!((received.len(), waiting(&world)), (3, 0));
    assert!(received.iter().all(|request| request.body["id"] == received[0].body["id"]));
    assert_eq!(world.services.metrics.notices_delivered.get(), 1);
}

#[tokio::test]
async fn a_notice_is_given_up_in_the_end() {
    let listener = Listener::start(|_| Reply::Redirect("http://127.0.0.1:1/".into())).await;
    let world = World::with(|config| told(config, &listener.url), Hooks::builder());
    world.custom("player-1").await.unwrap();
    for _ in 0..5 {
        deliver(&world).await;
        world.later(600);
    }
    assert_eq!((listener.received().len(), waiting(&world)), (3, 0));
    assert_eq!(world.services.metrics.notices_dropped.get(), 1);
}

#[tokio::test]
async fn a_notice_to_a_webhook_that_is_not_listed_any_more_is_dropped() {
    let listener = Listener::start(|_| Reply::Answer(200, String::new())).await;
    let world = World::with(|config| told(config, &listener.url), Hooks::builder());
    world.custom("player-1").await.unwrap();
    let world = world.restarted(|config| config.hooks.after.clear());
    deliver(&world).await;
    assert_eq!((listener.received().len(), waiting(&world)), (0, 0));
}

#[tokio::test]
async fn a_full_outbox_refuses_sign_ins_and_makes_no_account() {
    let listener = Listener::start(|_| Reply::Hang).await;
    let configure = |config: &mut Config| {
        told(config, &listener.url);
        config.hooks.outbox_size = 1;
    };
    let world = World::with(configure, Hooks::builder());
    world.custom("player-1").await.unwrap();
    assert_eq!(said(world.custom("player-1").await).0, Code::Unavailable);
    assert_eq!(said(world.custom("player-2").await).0, Code::Unavailable);
    assert_eq!(said(world.custom_named("player-2", "", Some(false)).await).0, Code::NotFound);
}

#[tokio::test]
async fn the_delivery_wakes_up_by_itself_and_ends_with_the_server() {
    let listener = Listener::start(|_| Reply::Answer(200, String::new())).await;
    let world = World::with(|config| told(config, &listener.url), Hooks::builder());
    let life = Lifecycle::new();
    life.spawn(world.services.hooks.delivery(world.services.store.clone()).run(life.clone()));
    for expected in 1..=3 {
        world.custom("player-1").await.unwrap();
        assert_eq!(listener.until(expected).await.len(), expected);
    }
    assert!(life.stop(Duration::from_secs(20)).await);
}
