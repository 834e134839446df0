use crate::features::{
    Caller,
    testing::{NOW, OK, World, error, said},
};
use kizuna_protocol::{api, code::Code};
use uuid::Uuid;

async fn update(world: &World, caller: &Caller, request: api::UpdateAccountRequest) -> (Code, String) {
    said(super::update_account(&world.services, caller, request).await)
}

fn text(value: impl Into<String>) -> Option<String> {
    Some(value.into())
}

#[tokio::test]
async fn a_fresh_account_is_shown_whole() {
    let world = World::new();
    let player = world.player("player-1").await;
    let account = super::get_account(&world.services, &player).await.unwrap();
    let user = account.user.unwrap();
    assert_eq!((user.id.as_str(), &*user.username), (&*player.user_id.to_string(), &*player.username));
    assert_eq!((&*user.lang_tag, &*user.metadata, &*account.wallet), ("en", "{}", "{}"));
    assert_eq!(user.create_time.map(|time| (time.seconds, time.nanos)), Some((NOW, 0)));
    assert_eq!(account.custom_id, "player-1");
    assert!(account.verify_time.is_none() && account.disable_time.is_none() && !user.online);
}

#[tokio::test]
async fn absent_fields_stay_and_empty_ones_go() {
    let world = World::new();
    let player = world.player("player-1").await;
    let all = api::UpdateAccountRequest {
        username: text("new name"),
        display_name: text("é".repeat(255)),
        avatar_url: text("https://example.com/a.png"),
        lang_tag: text(format!("en{}", " ".repeat(30))),
        location: text("a\tb"),
        timezone: text("Asia/Tokyo"),
    };
    assert_eq!(update(&world, &player, all).await, OK);
    let some = api::UpdateAccountRequest { avatar_url: text(""), timezone: text(""), ..Default::default() };
    assert_eq!(update(&world, &player, some).await, OK);
    let user = super::get_account(&world.services, &player).await.unwrap().user.unwrap();
    assert_eq!((&*user.username, &*user.display_name), ("new name", &*"é".repeat(255)));
    assert_eq!((&*user.avatar_url, &*user.location, &*user.timezone), ("", "a\tb", ""));
    assert_eq!(user.lang_tag, format!("en{}", " ".repeat(16)));
}

#[tokio::test]
async fn what_does_not_fit_changes_nothing() {
    let world = World::new();
    let player = world.player("player-1").await;
    world.custom_named("player-2", "taken", None).await.unwrap();
    let none = api::UpdateAccountRequest::default();
    let bad = [
        (none.clone(), "No fields to update."),
        (api::UpdateAccountRequest { username: text(""), ..none.clone() }, "Username invalid, must be 1-128 bytes."),
        (
            api::UpdateAccountRequest { username: text("a\nb"), ..none.clone() },
            "Username invalid, no spaces or control characters allowed.",
        ),
        (
            api::UpdateAccountRequest { display_name: text("a".repeat(256)), ..none.clone() },
            "Display name invalid, must be at most 255 characters.",
        ),
        (
            api::UpdateAccountRequest { avatar_url: text("a".repeat(513)), ..none.clone() },
            "Avatar URL invalid, must be at most 512 characters.",
        ),
        (
            api::UpdateAccountRequest { lang_tag: text("a".repeat(19)), ..none.clone() },
            "Language tag invalid, must be at most 18 characters.",
        ),
        (
            api::UpdateAccountRequest { lang_tag: text(""), ..none.clone() },
            "Language tag invalid, must be 1-18 characters.",
        ),
        (
            api::UpdateAccountRequest { location: text("a\0b"), ..none.clone() },
            "Location invalid, no NUL characters allowed.",
        ),
    ];
    for (request, message) in bad {
        assert_eq!(update(&world, &player, request).await, error(Code::InvalidArgument, message));
    }
    let taken = api::UpdateAccountRequest { username: text("taken"), location: text("here"), ..none };
    assert_eq!(update(&world, &player, taken).await, error(Code::AlreadyExists, "Username is already in use."));
    let user = super::get_account(&world.services, &player).await.unwrap().user.unwrap();
    assert_eq!((&*user.username, &*user.location), (&*player.username, ""));
}

#[tokio::test]
async fn the_update_time_moves_only_for_a_real_change() {
    let world = World::new();
    let player = world.player("player-1").await;
    let request = api::UpdateAccountRequest { location: text("here"), ..Default::default() };
    world.later(5);
    assert_eq!(update(&world, &player, request.clone()).await, OK);
    world.later(5);
    assert_eq!(update(&world, &player, request).await, OK);
    let user = super::get_account(&world.services, &player).await.unwrap().user.unwrap();
    assert_eq!(user.update_time.map(|time| time.seconds), Some(NOW + 5));
}

#[tokio::test]
async fn a_deleted_account_takes_its_tokens_with_it() {
    let world = World::new();
    let session = world.custom("player-1").await.unwrap();
    let player = world.caller(&session.token).unwrap();
    assert_eq!(said(super::delete_account(&world.services, &player).await), OK);
    assert_eq!(said(world.caller(&session.token)), error(Code::Unauthenticated, "Auth token invalid"));
    // For a request that was already past the gate when the account went.
    assert_eq!(said(super::delete_account(&world.services, &player).await), OK);
    let request = api::UpdateAccountRequest { location: text("here"), ..Default::default() };
    assert_eq!(update(&world, &player, request).await, OK);
    let gone = super::get_account(&world.services, &player).await;
    assert_eq!(said(gone), error(Code::NotFound, "Account not found."));
    let again = world.custom("player-1").await.unwrap();
    assert!(again.created);
    assert_ne!(world.caller(&again.token).unwrap().user_id, player.user_id);
    let world = world.restarted(|_| {});
    assert_eq!(said(world.caller(&session.token)).0, Code::Unauthenticated);
}

#[tokio::test]
async fn nobody_is_banned_who_is_not_there_and_the_system_never() {
    let world = World::new();
    let nobody = Uuid::from_u128(1);
    assert_eq!(super::set_disabled(&world.services, nobody, true).await.ok(), Some(false));
    assert_eq!(said(super::set_disabled(&world.services, Uuid::nil(), true).await).0, Code::Internal);
}

#[tokio::test]
async fn a_sign_in_that_overlaps_a_ban_or_a_deletion_does_not_survive_it() {
    let world = World::new();
    let tokens = &world.services.tokens;
    for is_ban in [true, false] {
        let player = world.player(if is_ban { "player-1" } else { "player-2" }).await;
        let ending = async {
            match is_ban {
                true => super::set_disabled(&world.services, player.user_id, true).await.map(drop),
                false => super::delete_account(&world.services, &player).await,
            }
        };
        // Polled in this order: the id is taken after the write was queued, as by a sign-in that still finds the row.
        let (ended, token_id) = tokio::join!(biased; ending, async { tokens.new_token_id() });
        ended.unwrap();
        let pair = tokens.issue(token_id, player.user_id, &player.username, &Default::default(), None);
        assert!(tokens.verify_session(&pair.token).is_err() && tokens.verify_refresh(&pair.refresh_token).is_err());
    }
}
