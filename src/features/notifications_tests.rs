use super::*;
use crate::features::testing::{NOW, World, said};
use kizuna_protocol::code::Code;

fn notification(subject: &str) -> Notification {
    let content = r#" {"b": 1, "a": [1, 2]} "#.to_owned();
    Notification { subject: subject.to_owned(), content, code: 1, sender_id: None, persistent: true }
}

fn listed(world: &World, caller: &Caller, limit: i32, cursor: &str) -> api::NotificationList {
    let request = api::ListNotificationsRequest { limit: Some(limit), cacheable_cursor: cursor.to_owned() };
    futures_util::FutureExt::now_or_never(list_notifications(&world.services, caller, request))
        .expect("reads at once")
        .expect("listed")
}

#[tokio::test]
async fn a_programs_own_are_kept_or_not_as_it_says() {
    let world = World::new();
    let player = world.player("player-a").await;
    let transient = Notification { persistent: false, ..notification("now or never") };
    let all = vec![(player.user_id, notification("kept")), (player.user_id, transient)];
    send(&world.services, all).await.expect("sent");
    let list = listed(&world, &player, 100, "");
    let [kept] = &list.notifications[..] else { panic!("{list:?}") };
    assert_eq!((kept.subject.as_str(), kept.content.as_str()), ("kept", r#"{"a": [1, 2], "b": 1}"#));
    assert_eq!((kept.code, kept.sender_id.as_str(), kept.persistent), (1, "", true));
    assert_eq!(kept.create_time.map(|time| (time.seconds, time.nanos)), Some((NOW, 0)));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_before_anybody_is_told() {
    let world = World::new();
    let player = world.player("player-a").await;
    let good = || notification("good");
    let refused = [
        Notification { subject: String::new(), ..good() },
        Notification { subject: "é".repeat(256), ..good() },
        Notification { subject: "\0".into(), ..good() },
        Notification { content: "[]".into(), ..good() },
        Notification { content: "{".into(), ..good() },
        Notification { content: r#"{"a":"\u0000"}"#.into(), ..good() },
        Notification { code: 0, ..good() },
        Notification { code: -1, ..good() },
        Notification { code: -1_001, ..good() },
        Notification { code: 40_000, ..good() },
    ];
    for bad in refused {
        let all = vec![(player.user_id, good()), (player.user_id, bad.clone())];
        assert_eq!(said(send(&world.services, all).await).0, Code::InvalidArgument, "{bad:?}");
        assert_eq!(said(send_to_all(&world.services, Tenant::NONE, bad).await).0, Code::InvalidArgument);
    }
    assert_eq!(listed(&world, &player, 100, "").notifications, []);
    let fits = Notification { subject: "é".repeat(255), code: -2_000, ..good() };
    send(&world.services, vec![(player.user_id, fits)]).await.expect("sent");
}

#[tokio::test]
async fn everybody_can_be_told_once_each() {
    let world = World::new();
    let mut players = Vec::new();
    for number in 0..300 {
        players.push(world.player(&format!("player-{number}")).await);
    }
    let told = send_to_all(&world.services, Tenant::NONE, notification("all")).await.expect("sent");
    assert_eq!(told, players.len(), "more than a page of them");
    for player in [&players[0], &players[255], &players[256], &players[299]] {
        assert_eq!(listed(&world, player, 100, "").notifications.len(), 1);
    }
}

#[tokio::test]
async fn with_tenants_everybody_is_everybody_of_one() {
    let world = World::with(|config| config.tenancy.enabled = true, crate::hooks::Hooks::builder());
    let nobodys = send_to_all(&world.services, Tenant::NONE, notification("all")).await;
    assert_eq!(said(nobodys).0, Code::InvalidArgument);
    let mut ids = Vec::new();
    for (name, tenant) in [("ann", Some("acme")), ("eve", Some("evil")), ("old", None)] {
        let new = store::NewUser {
            id: world.services.entropy.uuid(),
            username: name.to_owned(),
            identifier: store::NewIdentifier::Custom(format!("id-of-{name}")),
            tenant: tenant.and_then(|tenant| Tenant::named(tenant).key()).map(crate::identity::ScopeKey::to_u128),
            token_use: None,
            notices: Vec::new(),
        };
        ids.push(new.id);
        world.services.store.create_user(new).await.expect("made");
    }
    let told = send_to_all(&world.services, Tenant::named("acme"), notification("all")).await.expect("sent");
    let kept = |id| world.services.store.notifications(id, BEGINNING, 9).expect("read").len();
    assert_eq!((told, ids.into_iter().map(kept).collect::<Vec<_>>()), (1, vec![1, 0, 0]));
}

#[tokio::test]
async fn a_cursor_goes_on_behind_what_was_seen_and_any_other_text_is_refused() {
    let world = World::new();
    let player = world.player("player-a").await;
    let empty = listed(&world, &player, 2, "");
    for subject in ["a", "b", "c"] {
        send(&world.services, vec![(player.user_id, notification(subject))]).await.expect("sent");
    }
    let subjects =
        |list: &api::NotificationList| list.notifications.iter().map(|one| one.subject.clone()).collect::<String>();
    let first = listed(&world, &player, 2, &empty.cacheable_cursor);
    let second = listed(&world, &player, 2, &first.cacheable_cursor);
    let third = listed(&world, &player, 2, &second.cacheable_cursor);
    assert_eq!([&empty, &first, &second, &third].map(subjects), ["", "ab", "c", ""]);
    assert_eq!(third.cacheable_cursor, second.cacheable_cursor);
    for bad in ["zz", "!", "AAAA", &format!("{}A", first.cacheable_cursor)] {
        let request = api::ListNotificationsRequest { limit: None, cacheable_cursor: bad.to_owned() };
        let refused = said(list_notifications(&world.services, &player, request).await);
        assert_eq!(refused, (Code::InvalidArgument, "Cursor is invalid.".to_owned()));
    }
}
