use super::{end_chain, revoke_by_admin};
use crate::{
    audit::Source,
    features::{
        Caller, Client, Services, account, session,
        testing::{NOW, OK, World, error, said},
    },
    identity::{ScopeKey, ScopeKind, session::Origin},
};
use kizuna_protocol::{api, code::Code};
use std::collections::BTreeMap;
use uuid::Uuid;

const REFUSED: &str = "Refresh token invalid or expired.";

async fn refresh(services: &Services, token: &str) -> Result<api::Session, crate::error::Error> {
    let request = api::SessionRefreshRequest { token: token.into(), ..Default::default() };
    session::session_refresh(services, &Client::default(), request).await
}

async fn logout(world: &World, caller: &Caller, token: &str, refresh: &str) -> Result<(), crate::error::Error> {
    let request = api::SessionLogoutRequest { token: token.into(), refresh_token: refresh.into() };
    super::session_logout(&world.services, caller, request).await
}

fn refused() -> (Code, String) {
    error(Code::Unauthenticated, "Auth token invalid")
}

#[tokio::test]
async fn logging_out_everywhere_is_exact_within_the_second() {
    let world = World::new();
    let (first, second) = (world.custom("player-1").await.unwrap(), world.custom("player-1").await.unwrap());
    let caller = world.caller(&first.token).unwrap();
    assert_eq!(said(logout(&world, &caller, "", "").await), OK);
    let third = world.custom("player-1").await.unwrap();
    for ended in [&first, &second] {
        assert_eq!(said(world.caller(&ended.token)), refused());
        assert_eq!(said(refresh(&world.services, &ended.refresh_token).await).0, Code::Unauthenticated);
    }
    assert_eq!(said(world.caller(&third.token)), OK);
    assert_eq!(said(refresh(&world.services, &third.refresh_token).await), OK);
}

#[tokio::test]
async fn logging_out_one_session_leaves_the_others() {
    let world = World::new();
    let (first, second) = (world.custom("player-1").await.unwrap(), world.custom("player-1").await.unwrap());
    let caller = world.caller(&first.token).unwrap();
    assert_eq!(said(logout(&world, &caller, &first.token, &first.refresh_token).await), OK);
    assert_eq!(said(world.caller(&first.token)), refused());
    assert_eq!(said(refresh(&world.services, &first.refresh_token).await).0, Code::Unauthenticated);
    assert_eq!(said(world.caller(&second.token)), OK);
    // Once more changes nothing: the deny list is not asked.
    assert_eq!(said(logout(&world, &caller, &first.token, &first.refresh_token).await), OK);
}

#[tokio::test]
async fn a_logged_out_session_token_never_revives_through_refreshes() {
    let world = World::new();
    let session = world.custom("player-1").await.unwrap();
    let caller = world.caller(&session.token).unwrap();
    assert_eq!(said(logout(&world, &caller, &session.token, "").await), OK);
    let mut refresh_token = session.refresh_token;
    for _ in 0..4 {
        world.later(3_500);
        super::forget_expired(&world.services).await;
        let next = refresh(&world.services, &refresh_token).await.unwrap();
        assert_eq!(said(world.caller(&next.token)), refused());
        refresh_token = next.refresh_token;
    }
    world.later(3_602);
    super::forget_expired(&world.services).await;
    assert_eq!(world.services.tokens.revocations(), 0);
    assert_eq!(world.services.store.revocations().unwrap().len(), 0);
}

#[tokio::test]
async fn logging_out_the_refresh_token_leaves_the_session_until_it_expires() {
    let world = World::new();
    let session = world.custom("player-1").await.unwrap();
    let caller = world.caller(&session.token).unwrap();
    assert_eq!(said(logout(&world, &caller, "", &session.refresh_token).await), OK);
    assert_eq!(said(world.caller(&session.token)), OK);
    assert_eq!(said(refresh(&world.services, &session.refresh_token).await), error(Code::Unauthenticated, REFUSED));
}

#[tokio::test]
async fn what_cannot_be_logged_out_ends_nothing() {
    let world = World::new();
    let session = world.custom("player-1").await.unwrap();
    let other = world.custom("player-2").await.unwrap();
    let caller = world.caller(&session.token).unwrap();
    let bad_session = error(Code::InvalidArgument, "Session token invalid.");
    for token in ["x", &other.token, &session.refresh_token] {
        assert_eq!(said(logout(&world, &caller, token, "").await), bad_session);
    }
    let bad_refresh = error(Code::InvalidArgument, "Refresh token invalid.");
    for token in ["x", &other.refresh_token, &session.token] {
        assert_eq!(said(logout(&world, &caller, &session.token, token).await), bad_refresh);
    }
    assert_eq!(said(world.caller(&session.token)), OK);
    world.later(60);
    assert_eq!(said(logout(&world, &caller, &session.token, "").await), bad_session);
}

#[tokio::test]
async fn log_outs_survive_a_restart() {
    let world = World::new();
    let (one, all) = (world.custom("player-1").await.unwrap(), world.custom("player-2").await.unwrap());
    let kept = world.custom("player-3").await.unwrap();
    let (first, second) = (world.caller(&one.token).unwrap(), world.caller(&all.token).unwrap());
    assert_eq!(said(logout(&world, &first, &one.token, &one.refresh_token).await), OK);
    assert_eq!(said(logout(&world, &second, "", "").await), OK);
    // The clock goes back meanwhile, and still what is issued later counts as later.
    world.later(-10);
    let world = world.restarted(|_| {});
    for ended in [&one, &all] {
        assert_eq!(said(world.caller(&ended.token)), refused());
        assert_eq!(said(refresh(&world.services, &ended.refresh_token).await).0, Code::Unauthenticated);
    }
    assert_eq!(said(world.caller(&kept.token)), OK);
    let again = world.custom("player-2").await.unwrap();
    assert_eq!(said(world.caller(&again.token)), OK);
}

#[tokio::test]
async fn a_full_list_of_log_outs_refuses_every_kind_and_says_so() {
    let world = World::with(|config| config.session.max_revoked_tokens = 2, crate::hooks::Hooks::builder());
    let sessions = [world.custom("player-1").await.unwrap(), world.custom("player-1").await.unwrap()];
    let caller = world.caller(&sessions[0].token).unwrap();
    assert_eq!(said(logout(&world, &caller, &sessions[0].token, &sessions[0].refresh_token).await), OK);
    assert_eq!(said(logout(&world, &caller, &sessions[1].token, "").await).0, Code::Unavailable);
    assert_eq!(said(world.caller(&sessions[1].token)), OK);
    assert_eq!(said(logout(&world, &caller, "", "").await).0, Code::Unavailable);
    assert_eq!(said(account::delete_account(&world.services, &caller).await).0, Code::Unavailable);
    assert_eq!(said(world.caller(&sessions[1].token)), OK);
    world.services.clock.advance_seconds(4_000);
    world.services.tokens.purge();
    assert_eq!(said(logout(&world, &caller, "", "").await), OK, "there is room again");
    assert_eq!(said(logout(&world, &caller, "", "").await), OK, "a user takes one place");
}

#[tokio::test]
async fn a_group_of_sessions_ends_together_and_only_those_that_exist() {
    let world = World::new();
    let origin = |tenant: &str, family: &str| Origin {
        entry: "pool".into(),
        issuer: ScopeKey::new(ScopeKind::Issuer, "https://issuer.example"),
        family: Some(ScopeKey::family("https://issuer.example", family)),
        player: None,
        tenant: Some(tenant.into()),
        proven_unix: NOW,
        mapping_version: 0,
    };
    let session = |user: u128, origin: Option<&Origin>| {
        let (tokens, user_id) = (&world.services.tokens, Uuid::from_u128(user));
        tokens.issue(tokens.new_token_id(), user_id, "player", &BTreeMap::new(), origin).token
    };
    let acme = session(1, Some(&origin("acme", "a")));
    let other = session(2, Some(&origin("other", "b")));
    let native = session(3, None);
    let good = || [&acme, &other, &native].map(|token| world.caller(token).is_ok());
    let end = |body: &'static str| revoke_by_admin(&world.services, body.as_bytes());

    end(r#"{"tenant":"acme"}"#).await.unwrap();
    assert_eq!(good(), [false, true, true]);
    assert!(world.caller(&session(1, Some(&origin("acme", "a")))).is_ok(), "a later session is not touched");
    end(r#"{"family":"b","issuer":"https://issuer.example"}"#).await.unwrap();
    assert_eq!(good(), [false, false, true]);
    let third = session(4, Some(&origin("third", "c")));
    end(r#"{"issuer":"https://issuer.example"}"#).await.unwrap();
    assert!(world.caller(&third).is_err() && world.caller(&native).is_ok());

    let world = world.restarted(|_| {});
    assert!(world.caller(&acme).is_err() && world.caller(&other).is_err() && world.caller(&third).is_err());
    assert!(world.caller(&native).is_ok());
    assert_eq!(world.services.tokens.revocations(), 3);
    world.later(90_000);
    super::forget_expired(&world.services).await;
    assert_eq!((world.services.tokens.revocations(), world.services.store.revocations().unwrap().len()), (0, 0));
}

#[tokio::test]
async fn a_full_list_refuses_an_admin_too() {
    let world = World::with(|config| config.session.max_revoked_tokens = 1, crate::hooks::Hooks::builder());
    assert!(revoke_by_admin(&world.services, br#"{"tenant":"acme"}"#).await.is_ok());
    let full = revoke_by_admin(&world.services, br#"{"tenant":"other"}"#).await.map(drop);
    assert_eq!(said(full).0, Code::Unavailable);
    assert!(
        revoke_by_admin(&world.services, br#"{"tenant":"acme"}"#).await.is_ok(),
        "what is there takes no more room"
    );
}

#[tokio::test]
async fn the_end_of_a_chain_takes_both_its_tokens_and_no_other() {
    let world = World::new();
    let (one, other) = (world.custom("player-1").await.unwrap(), world.custom("player-1").await.unwrap());
    let claims = world.services.tokens.verify_session(&one.token).unwrap();
    end_chain(&world.services, &claims, Source::Reuse).await.unwrap();
    assert_eq!(said(world.caller(&one.token)), refused());
    assert_eq!(said(refresh(&world.services, &one.refresh_token).await).0, Code::Unauthenticated);
    assert_eq!(said(world.caller(&other.token)), OK);
}
