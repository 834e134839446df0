use crate::features::{
    Caller, Client, Services, account, authenticate, revocation,
    testing::{NOW, OK, World, error, said},
};
use crate::identity::{
    ScopeKey, ScopeKind,
    session::{Origin, SessionClaims},
};
use kizuna_protocol::{api, code::Code};
use uuid::Uuid;

const REFUSED: &str = "Refresh token invalid or expired.";

async fn refresh(services: &Services, token: &str) -> Result<api::Session, crate::error::Error> {
    let request = api::SessionRefreshRequest { token: token.into(), ..Default::default() };
    super::session_refresh(services, &Client::default(), request).await
}

async fn logout(world: &World, caller: &Caller, token: &str, refresh: &str) -> Result<(), crate::error::Error> {
    let request = api::SessionLogoutRequest { token: token.into(), refresh_token: refresh.into() };
    revocation::session_logout(&world.services, caller, request).await
}

fn refused() -> (Code, String) {
    error(Code::Unauthenticated, "Auth token invalid")
}

#[tokio::test]
async fn a_refresh_keeps_the_chain_and_takes_name_and_vars_anew() {
    let world = World::new();
    let vars = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())].into();
    let account = api::AccountCustom { id: "player-1".into(), vars };
    let request = api::AuthenticateCustomRequest { account: Some(account), ..Default::default() };
    let client = Client::default();
    let first = authenticate::authenticate_custom(&world.services, &client, request).await.unwrap();
    let before = world.caller(&first.token).unwrap();

    // In the second of the sign-in, with nothing new, the very same session token comes back.
    let same = refresh(&world.services, &first.refresh_token).await.unwrap();
    assert_eq!(same.token, first.token);
    assert_ne!(same.refresh_token, first.refresh_token);

    let rename = api::UpdateAccountRequest { username: Some("renamed".into()), ..Default::default() };
    account::update_account(&world.services, &before, rename).await.unwrap();
    world.later(30);
    let request =
        api::SessionRefreshRequest { token: same.refresh_token, vars: [("c".to_owned(), "3".to_owned())].into() };
    let second = super::session_refresh(&world.services, &Client::default(), request).await.unwrap();
    assert!(!second.created);
    let after = world.caller(&second.token).unwrap();
    assert_eq!((after.token_id, after.expires_unix), (before.token_id, NOW + 90));
    assert_eq!((&*after.username, after.vars.len()), ("renamed", 1));
    let kept = refresh(&world.services, &second.refresh_token).await.unwrap();
    assert_eq!(world.caller(&kept.token).unwrap().vars, after.vars);
    assert_eq!(said(world.caller(&first.token)), OK, "session tokens stay good");
}

fn generation(world: &World, session: &api::Session) -> u32 {
    world.services.tokens.verify_refresh(&session.refresh_token).unwrap().generation
}

fn gone() -> (Code, String) {
    error(Code::Unauthenticated, REFUSED)
}

#[tokio::test]
async fn a_refresh_token_is_exchanged_once() {
    let world = World::new();
    let first = world.custom("player-1").await.unwrap();
    let second = refresh(&world.services, &first.refresh_token).await.unwrap();
    assert_eq!((generation(&world, &first), generation(&world, &second)), (0, 1));
    world.later(30);
    // The answer was lost on its way: the same generation again, and nothing ends.
    let again = refresh(&world.services, &first.refresh_token).await.unwrap();
    assert_eq!(generation(&world, &again), 1);
    let third = refresh(&world.services, &again.refresh_token).await.unwrap();
    assert_eq!(generation(&world, &third), 2);
    let other = refresh(&world.services, &second.refresh_token).await.unwrap();
    assert_eq!(generation(&world, &other), 2, "two answers of one generation are one token");
}

#[tokio::test]
async fn the_second_use_of_a_refresh_token_ends_its_session_and_no_other() {
    let world = World::new();
    let (first, bystander) = (world.custom("player-1").await.unwrap(), world.custom("player-1").await.unwrap());
    let second = refresh(&world.services, &first.refresh_token).await.unwrap();
    world.later(31);
    assert_eq!(said(refresh(&world.services, &first.refresh_token).await), gone());
    assert_eq!(world.services.metrics.refresh_reuses.get(), 1);
    for session in [&first, &second] {
        assert_eq!(said(world.caller(&session.token)), refused(), "whoever has one has none any more");
        assert_eq!(said(refresh(&world.services, &session.refresh_token).await), gone());
    }
    assert_eq!(said(refresh(&world.services, &bystander.refresh_token).await), OK);
    let world = world.restarted(|_| {});
    assert_eq!(said(world.caller(&second.token)), refused());
    assert_eq!(said(refresh(&world.services, &second.refresh_token).await), gone());
    assert_eq!(world.services.metrics.refresh_reuses.get(), 0, "counted once");
}

#[tokio::test]
async fn a_generation_is_remembered_over_a_restart_and_forgotten_with_its_tokens() {
    let world = World::new();
    let first = world.custom("player-1").await.unwrap();
    let second = refresh(&world.services, &first.refresh_token).await.unwrap();
    let third = refresh(&world.services, &second.refresh_token).await.unwrap();
    let world = world.restarted(|_| {});
    assert_eq!(said(refresh(&world.services, &first.refresh_token).await), gone(), "two generations back, no grace");
    assert_eq!(said(refresh(&world.services, &third.refresh_token).await), gone(), "the chain has ended");
    world.later(3_601);
    revocation::forget_expired(&world.services).await;
    assert_eq!(world.services.store.purge_refresh_chains(i64::MAX).await.unwrap(), 0, "nothing was left");
}

#[tokio::test]
async fn refreshing_one_token_many_times_at_once_makes_one_generation() {
    let world = World::new();
    let first = world.custom("player-1").await.unwrap();
    let all = futures_util::future::join_all((0..20).map(|_| refresh(&world.services, &first.refresh_token))).await;
    assert!(all.iter().all(|one| one.as_ref().is_ok_and(|session| generation(&world, session) == 1)), "{all:?}");
}

#[tokio::test]
async fn without_rotation_a_refresh_token_stays_good() {
    let world = World::with(|config| config.session.refresh_rotation = false, crate::hooks::Hooks::builder());
    let first = world.custom("player-1").await.unwrap();
    let same = refresh(&world.services, &first.refresh_token).await.unwrap();
    assert_eq!((&same.token, &same.refresh_token), (&first.token, &first.refresh_token), "Nakama's answer to the byte");
    world.later(3_599);
    assert_eq!(said(refresh(&world.services, &first.refresh_token).await), OK);
    let world = world.restarted(|config| config.session.refresh_rotation = true);
    assert_eq!(generation(&world, &refresh(&world.services, &first.refresh_token).await.unwrap()), 1);
}

#[tokio::test]
async fn a_full_list_of_chains_refuses_new_ones_and_says_so() {
    let world = World::with(|config| config.session.max_refresh_chains = 1, crate::hooks::Hooks::builder());
    let (one, two) = (world.custom("player-1").await.unwrap(), world.custom("player-2").await.unwrap());
    let next = refresh(&world.services, &one.refresh_token).await.unwrap();
    let full = error(Code::Unavailable, "Too many sessions have been refreshed lately. Try again.");
    assert_eq!(said(refresh(&world.services, &two.refresh_token).await), full);
    assert_eq!(said(refresh(&world.services, &next.refresh_token).await), OK, "known ones go on");
    world.later(3_500);
    let two = world.custom("player-2").await.unwrap();
    world.later(102);
    revocation::forget_expired(&world.services).await;
    assert_eq!(said(refresh(&world.services, &two.refresh_token).await), OK, "there is room again");
}

/// A ban, a deletion or a log-out that comes between the look at the token and the new pair.
#[tokio::test]
async fn what_ends_a_session_while_it_is_refreshed_is_not_escaped() {
    for ending in 0..3 {
        let world = World::new();
        let session = world.custom("player-1").await.unwrap();
        let caller = world.caller(&session.token).unwrap();
        let presented = world.services.tokens.verify_refresh(&session.refresh_token).unwrap();
        match ending {
            0 => drop(account::set_disabled(&world.services, caller.user_id, true).await.unwrap()),
            1 => logout(&world, &caller, "", "").await.unwrap(),
            _ => logout(&world, &caller, "", &session.refresh_token).await.unwrap(),
        }
        assert_eq!(said(super::rotate(&world.services, &presented).await), gone(), "{ending}");
        // Had it come later still, the new pair would have been stillborn.
        let (chain, username) = (&presented.claims, "name");
        let (vars, origin) = (&Default::default(), None);
        let pair = world.services.tokens.renew(super::Renewal { chain, generation: 1, username, vars, origin });
        assert_eq!(said(refresh(&world.services, &pair.refresh_token).await), gone(), "{ending}");
    }
}

#[tokio::test]
async fn a_chain_has_a_longest_life_however_often_it_is_refreshed() {
    let world = World::with(|config| config.session.max_chain_sec = 5_000, crate::hooks::Hooks::builder());
    let first = world.custom("player-1").await.unwrap();
    world.later(2_500);
    let second = refresh(&world.services, &first.refresh_token).await.unwrap();
    let ends = |session: &api::Session| {
        let refresh = world.services.tokens.verify_refresh(&session.refresh_token).unwrap().claims.expires_unix;
        (world.caller(&session.token).unwrap().expires_unix - NOW, refresh - NOW)
    };
    assert_eq!(ends(&second), (2_560, 5_000), "clipped");
    world.later(2_470);
    let third = refresh(&world.services, &second.refresh_token).await.unwrap();
    assert_eq!(ends(&third), (5_000, 5_000));
    world.later(30);
    assert_eq!(said(refresh(&world.services, &third.refresh_token).await), gone(), "it has expired by itself");
    // A token from before the limit was set is told why.
    let long = World::new();
    let old = long.custom("player-1").await.unwrap();
    long.later(1_000);
    let long = long.restarted(|config| config.session.max_chain_sec = 1_000);
    let over = error(Code::Unauthenticated, "Session has reached its longest life. Sign in again.");
    assert_eq!(said(refresh(&long.services, &old.refresh_token).await), over);
    assert_eq!(said(long.custom("player-1").await), OK);
}

#[tokio::test]
async fn a_chain_of_another_server_is_taken_on() {
    let world = World::new();
    let user_id = world.player("player-1").await.user_id;
    let foreign = |token_id| {
        let claims = SessionClaims {
            user_id,
            username: "old".into(),
            vars: Default::default(),
            token_id,
            expires_unix: NOW + 60,
            issued_unix: NOW - 600,
            origin: None,
            tenant: Default::default(),
            signature: [0; 32],
        };
        let renewal =
            super::Renewal { chain: &claims, generation: 0, username: "old", vars: &Default::default(), origin: None };
        world.services.tokens.renew(renewal).refresh_token
    };
    let token = foreign(Some(Uuid::from_u128(0x1234_5678_1234_4123_8123_1234_5678_9abc)));
    assert_eq!(generation(&world, &refresh(&world.services, &token).await.unwrap()), 1);
    let token = foreign(None);
    for _ in 0..2 {
        assert_eq!(generation(&world, &refresh(&world.services, &token).await.unwrap()), 0, "no id to rotate under");
        world.later(31);
    }
}

#[tokio::test]
async fn what_cannot_be_refreshed() {
    let world = World::new();
    let session = world.custom("player-1").await.unwrap();
    let player = world.caller(&session.token).unwrap();
    assert_eq!(said(refresh(&world.services, "").await), error(Code::InvalidArgument, "Refresh token is required."));
    for bad in ["x", &session.token] {
        assert_eq!(said(refresh(&world.services, bad).await), error(Code::Unauthenticated, REFUSED));
    }
    account::set_disabled(&world.services, player.user_id, true).await.unwrap();
    assert_eq!(said(refresh(&world.services, &session.refresh_token).await), error(Code::Unauthenticated, REFUSED));
    account::set_disabled(&world.services, player.user_id, false).await.unwrap();
    let again = world.custom("player-1").await.unwrap();
    world.later(3_600);
    assert_eq!(said(refresh(&world.services, &again.refresh_token).await), error(Code::Unauthenticated, REFUSED));
}

/// A ban or deletion that this node's deny list does not hold, as one written straight into the database.
#[tokio::test]
async fn a_refresh_looks_at_the_account() {
    let world = World::new();
    let session = world.custom("player-1").await.unwrap();
    let user_id = world.caller(&session.token).unwrap().user_id;
    world.services.store.set_disabled(user_id, true, 0).await.unwrap();
    assert_eq!(
        said(refresh(&world.services, &session.refresh_token).await),
        error(Code::PermissionDenied, "User account banned.")
    );
    world.services.store.delete_account(user_id, false, 0).await.unwrap();
    assert_eq!(
        said(refresh(&world.services, &session.refresh_token).await),
        error(Code::NotFound, "User account not found.")
    );
}

#[tokio::test]
async fn a_new_key_signs_and_the_old_one_is_still_believed() {
    let world = World::new();
    let old = world.custom("player-1").await.unwrap();
    let world = world.restarted(|config| {
        config.session.encryption_key = "new session key".into();
        config.session.previous_encryption_keys = vec!["defaultencryptionkey".into()];
        config.session.refresh_encryption_key = "new refresh key".into();
        config.session.previous_refresh_encryption_keys = vec!["defaultrefreshencryptionkey".into()];
    });
    assert_eq!(said(world.caller(&old.token)), OK);
    let new = refresh(&world.services, &old.refresh_token).await.unwrap();
    let world = world.restarted(|config| {
        config.session.previous_encryption_keys.clear();
        config.session.previous_refresh_encryption_keys.clear();
    });
    assert_eq!(said(world.caller(&new.token)), OK);
    assert_eq!(said(world.caller(&old.token)), refused());
    assert_eq!(said(refresh(&world.services, &old.refresh_token).await).0, Code::Unauthenticated);
}

#[tokio::test]
async fn whoever_makes_a_session_token_too_long_is_told() {
    let world = World::new();
    let origin = Origin {
        entry: "pool".into(),
        issuer: ScopeKey::new(ScopeKind::Issuer, "https://issuer.example"),
        family: None,
        player: None,
        tenant: None,
        proven_unix: NOW,
        mapping_version: 1,
    };
    let vars = |own: usize, imposed: usize| {
        [("own".to_owned(), "x".repeat(own)), ("idp.groups".to_owned(), "x".repeat(imposed))].into()
    };
    let fits = |own, imposed| said(super::fits(&world.services, "name", &vars(own, imposed), Some(&origin)));
    assert_eq!(fits(500, 500), OK);
    let (code, message) = fits(900, 900);
    assert!(code == Code::InvalidArgument && message.contains("session.max_token_bytes"), "{message}");
    let by_claims = "The claims of the identity token make too long a session token.";
    assert_eq!(fits(0, 1_800), error(Code::FailedPrecondition, by_claims));
    assert_eq!(fits(1_800, 1_800), error(Code::FailedPrecondition, by_claims), "whatever the client adds");
}
