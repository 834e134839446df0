use crate::features::{
    Caller, Client, Services, account, authenticate,
    testing::{NOW, OK, World, error, said},
};
use kizuna_protocol::{api, code::Code};

const REFUSED: &str = "Refresh token invalid or expired.";

async fn refresh(services: &Services, token: &str) -> Result<api::Session, crate::error::Error> {
    let request = api::SessionRefreshRequest { token: token.into(), ..Default::default() };
    super::session_refresh(services, &Client::default(), request).await
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

    // In the second of the sign-in, with nothing new, the very same texts come back.
    let same = refresh(&world.services, &first.refresh_token).await.unwrap();
    assert_eq!((&same.token, &same.refresh_token), (&first.token, &first.refresh_token));

    let rename = api::UpdateAccountRequest { username: Some("renamed".into()), ..Default::default() };
    account::update_account(&world.services, &before, rename).await.unwrap();
    world.later(30);
    let request = api::SessionRefreshRequest {
        token: first.refresh_token.clone(),
        vars: [("c".to_owned(), "3".to_owned())].into(),
    };
    let second = super::session_refresh(&world.services, &Client::default(), request).await.unwrap();
    assert!(!second.created);
    let after = world.caller(&second.token).unwrap();
    assert_eq!((after.token_id, after.expires_unix), (before.token_id, NOW + 90));
    assert_eq!((&*after.username, after.vars.len()), ("renamed", 1));
    let kept = refresh(&world.services, &second.refresh_token).await.unwrap();
    assert_eq!(world.caller(&kept.token).unwrap().vars, after.vars);
    // No rotation: what was there stays good.
    assert_eq!(said(world.caller(&first.token)), OK);
    assert_eq!(said(refresh(&world.services, &first.refresh_token).await), OK);
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
