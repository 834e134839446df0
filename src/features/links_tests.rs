use crate::{
    error::Error,
    features::{
        Caller, account,
        testing::{OK, World, error, said},
    },
};
use futures_util::future::join_all;
use kizuna_protocol::{api, code::Code};

const LAST: &str = super::LAST_ONE;

fn custom(id: &str) -> api::AccountCustom {
    api::AccountCustom { id: id.into(), ..Default::default() }
}

fn device(id: &str) -> api::AccountDevice {
    api::AccountDevice { id: id.into(), ..Default::default() }
}

fn email(email: &str, password: &str) -> api::AccountEmail {
    api::AccountEmail { email: email.into(), password: password.into(), ..Default::default() }
}

impl World {
    async fn link_custom(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        super::link_custom(&self.services, caller, custom(id)).await
    }

    async fn link_device(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        super::link_device(&self.services, caller, device(id)).await
    }

    async fn link_email(&self, caller: &Caller, address: &str, password: &str) -> Result<(), Error> {
        super::link_email(&self.services, caller, email(address, password)).await
    }

    async fn account(&self, caller: &Caller) -> api::Account {
        account::get_account(&self.services, caller).await.unwrap()
    }
}

#[tokio::test]
async fn devices_accumulate_and_the_rest_is_replaced() {
    let world = World::new();
    let player = world.player("player-1").await;
    assert_eq!(said(world.link_device(&player, "device-0002").await), OK);
    assert_eq!(said(world.link_device(&player, "device-0001").await), OK);
    assert_eq!(said(world.link_device(&player, "device-0001").await), OK);
    assert_eq!(said(world.link_custom(&player, "player-one").await), OK);
    assert_eq!(said(world.link_custom(&player, "player-one").await), OK);
    assert_eq!(said(world.link_email(&player, "One@Example.com", "password").await), OK);
    assert_eq!(said(world.link_email(&player, "one@example.com", "newpassword").await), OK);
    let account = world.account(&player).await;
    let devices: Vec<_> = account.devices.iter().map(|device| &*device.id).collect();
    assert_eq!(devices, ["device-0002", "device-0001"]);
    assert_eq!((&*account.custom_id, &*account.email), ("player-one", "one@example.com"));
    assert_eq!(said(world.email("one@example.com", "password").await).0, Code::Unauthenticated);
    for session in [
        world.email("one@example.com", "newpassword").await.unwrap(),
        world.device("device-0001", "").await.unwrap(),
        world.custom("player-one").await.unwrap(),
    ] {
        assert_eq!(world.caller(&session.token).unwrap().user_id, player.user_id);
    }
    assert!(world.custom("player-1").await.unwrap().created);
}

#[tokio::test]
async fn what_another_account_has_cannot_be_linked() {
    let world = World::new();
    let (one, two) = (world.player("player-1").await, world.player("player-2").await);
    world.link_device(&one, "device-0001").await.unwrap();
    world.link_email(&one, "one@example.com", "password").await.unwrap();
    let taken = |message| error(Code::AlreadyExists, message);
    assert_eq!(said(world.link_custom(&two, "player-1").await), taken("Custom ID is already in use."));
    assert_eq!(said(world.link_device(&two, "device-0001").await), taken("Device ID already in use."));
    let answer = world.link_email(&two, "ONE@example.com", "password").await;
    assert_eq!(said(answer), taken("Email is already in use."));
}

#[tokio::test]
async fn linking_to_an_account_that_is_gone() {
    let world = World::new();
    let player = world.player("player-1").await;
    account::delete_account(&world.services, &player).await.unwrap();
    assert_eq!(
        said(world.link_custom(&player, "other-id").await),
        error(Code::AlreadyExists, "Custom ID is already in use.")
    );
    assert_eq!(
        said(world.link_device(&player, "device-0001").await),
        error(Code::Internal, "Error linking Device ID.")
    );
}

#[tokio::test]
async fn faults_of_a_link_are_told_in_order() {
    let world = World::new();
    let player = world.player("player-1").await;
    let required = "Email address and password is required.";
    for (address, password, message) in [
        ("", "password", required),
        ("one@example.com", "", required),
        ("a b", "1", "Invalid email address, no spaces or control characters allowed."),
        ("nonsense", "1", "Password must be at least 8 characters long."),
        ("nonsense", "12345678", "Invalid email address format."),
        ("a@b.c", "12345678", "Invalid email address, must be 10-255 bytes."),
        ("one@example.com", &"q".repeat(73), "Password must be at most 72 bytes long."),
    ] {
        let answer = world.link_email(&player, address, password).await;
        assert_eq!(said(answer), error(Code::InvalidArgument, message), "{address} {password}");
    }
    for (id, message) in [("", "Custom ID is required."), ("abc", "Invalid custom ID, must be 6-128 bytes.")] {
        assert_eq!(said(world.link_custom(&player, id).await), error(Code::InvalidArgument, message));
    }
    assert_eq!(
        said(world.link_device(&player, "short").await),
        error(Code::InvalidArgument, "Device ID invalid, must be 10-128 bytes.")
    );
}

#[tokio::test]
async fn the_last_way_to_sign_in_stays() {
    let world = World::new();
    let player = world.player("player-1").await;
    let unlink_custom = |id: &'static str| super::unlink_custom(&world.services, &player, custom(id));
    let unlink_device = |id: &'static str| super::unlink_device(&world.services, &player, device(id));
    let unlink_email = |address: &'static str| super::unlink_email(&world.services, &player, email(address, ""));
    let last = error(Code::PermissionDenied, LAST);

    assert_eq!(said(unlink_custom("player-1").await), last);
    assert_eq!(said(unlink_custom("").await), last);
    world.link_device(&player, "device-0001").await.unwrap();
    world.link_email(&player, "one@example.com", "password").await.unwrap();
    assert_eq!(said(unlink_custom("player-x").await), last);
    assert_eq!(said(unlink_device("").await), error(Code::InvalidArgument, "A device ID must be supplied."));
    assert_eq!(said(unlink_device("device-0002").await), last);
    assert_eq!(said(unlink_email("two@example.com").await), last);

    assert_eq!(said(unlink_email("ONE@example.com").await), OK);
    // Nothing is linked there any more, and something else is: no error.
    assert_eq!(said(unlink_email("").await), OK);
    assert_eq!(said(unlink_custom("").await), OK);
    assert_eq!(said(unlink_device("device-0001").await), last);
    assert_eq!(said(world.email("one@example.com", "password").await).0, Code::Ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_link_one_id_one_gets_it() {
    let world = World::new();
    let ids: Vec<_> = (0..20).map(|index| format!("player-{index}")).collect();
    let mut players = Vec::new();
    for id in &ids {
        players.push(world.player(id).await);
    }
    let devices = join_all(players.iter().map(|player| world.link_device(player, "device-0001"))).await;
    let customs = join_all(players.iter().map(|player| world.link_custom(player, "custom-0001"))).await;
    for (answers, message) in [(devices, "Device ID already in use."), (customs, "Custom ID is already in use.")] {
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        assert!(lost.into_iter().all(|answer| said(answer) == error(Code::AlreadyExists, message)));
    }
}
