use crate::features::testing::{World, error, said};
use kizuna_protocol::{api, code::Code};

#[tokio::test]
async fn users_are_found_by_id_and_name_each_once() {
    let world = World::new();
    let (one, two) = (world.player("player-1").await, world.player("player-2").await);
    let request = api::GetUsersRequest {
        ids: vec![one.user_id.simple().to_string().to_uppercase(), format!("{{{}}}", two.user_id)],
        usernames: vec![one.username.to_string(), "nobody".into()],
        facebook_ids: vec!["1".into()],
    };
    let found = super::get_users(&world.services, &one, request).await.unwrap().users;
    let mut ids: Vec<_> = found.iter().map(|user| user.id.clone()).collect();
    ids.sort();
    let mut expected = vec![one.user_id.to_string(), two.user_id.to_string()];
    expected.sort();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn nobody_asked_for_nobody_found() {
    let world = World::new();
    let player = world.player("player-1").await;
    let found = super::get_users(&world.services, &player, api::GetUsersRequest::default()).await.unwrap();
    assert_eq!(found, api::Users::default());
}

#[tokio::test]
async fn the_first_id_that_is_none_is_named() {
    let world = World::new();
    let player = world.player("player-1").await;
    for bad in ["", "abc", "A,B"] {
        let request = api::GetUsersRequest { ids: vec![player.user_id.to_string(), bad.into()], ..Default::default() };
        let answer = super::get_users(&world.services, &player, request).await;
        assert_eq!(said(answer), error(Code::InvalidArgument, &format!("ID '{bad}' is not a valid system ID.")));
    }
}

#[tokio::test]
async fn the_empty_name_is_the_systems() {
    let world = World::new();
    let player = world.player("player-1").await;
    let request = api::GetUsersRequest { usernames: vec![String::new()], ..Default::default() };
    let found = super::get_users(&world.services, &player, request).await.unwrap().users;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].id, "00000000-0000-0000-0000-000000000000");
}
