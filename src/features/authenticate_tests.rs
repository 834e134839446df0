use crate::{
    features::{
        Client, account,
        authenticate::{authenticate_email, authenticate_verified},
        testing::{OK, World, error, said},
    },
    identity::VerifiedIdentity,
    store::{Created, NewIdentifier, NewUser},
};
use futures_util::future::join_all;
use kizuna_protocol::{api, code::Code};
use std::collections::BTreeSet;

const TAKEN: &str = "Username is already in use.";
const BANNED: &str = "User account banned.";
const UNKNOWN: &str = "User account not found.";
const WRONG: &str = "Invalid credentials.";

#[tokio::test]
async fn a_custom_id_makes_an_account_then_finds_it() {
    let world = World::new();
    let (first, second) = (world.custom("player-1").await.unwrap(), world.custom("player-1").await.unwrap());
    assert!(first.created && !second.created);
    let (first, second) = (world.caller(&first.token).unwrap(), world.caller(&second.token).unwrap());
    assert_eq!((first.user_id, &first.username), (second.user_id, &second.username));
    assert_eq!(first.username.len(), 10);
    assert_ne!(first.token_id, second.token_id);
    assert_ne!(world.player("player-2").await.user_id, first.user_id);
}

#[tokio::test]
async fn the_identifier_is_judged_before_the_username() {
    let world = World::new();
    let bad_name = "a\tb";
    assert_eq!(
        said(world.custom_named("", bad_name, None).await),
        error(Code::InvalidArgument, "Custom ID is required.")
    );
    assert_eq!(
        said(world.custom_named("abcdef", bad_name, None).await),
        error(Code::InvalidArgument, "Username invalid, no spaces or control characters allowed.")
    );
    assert_eq!(
        said(world.custom_named("abcdef", &"a".repeat(129), None).await),
        error(Code::InvalidArgument, "Username invalid, must be 1-128 bytes.")
    );
    assert_eq!(said(world.device("123456789", "").await).1, "Device ID invalid, must be 10-128 bytes.");
}

#[tokio::test]
async fn create_false_only_finds() {
    let world = World::new();
    assert_eq!(said(world.custom_named("abcdef", "", Some(false)).await), error(Code::NotFound, UNKNOWN));
    world.player("abcdef").await;
    assert_eq!(said(world.custom_named("abcdef", "", Some(false)).await), OK);
    // A name that is taken does not matter when nothing is to be made.
    world.custom_named("other-id", "taken", None).await.unwrap();
    assert_eq!(said(world.custom_named("unknown", "taken", Some(false)).await), error(Code::NotFound, UNKNOWN));
}

#[tokio::test]
async fn a_username_belongs_to_one_account() {
    let world = World::new();
    world.custom_named("first-id", "Nick", None).await.unwrap();
    assert_eq!(said(world.custom_named("second-id", "Nick", None).await), error(Code::AlreadyExists, TAKEN));
    let other_case = world.custom_named("second-id", "nick", None).await.unwrap();
    assert_eq!(&*world.caller(&other_case.token).unwrap().username, "nick");
    let existing = world.custom_named("first-id", "another", None).await.unwrap();
    assert_eq!(&*world.caller(&existing.token).unwrap().username, "Nick");
    for kept in [" ", "a b", "p q", "🎮", "\u{85}x"] {
        let session = world.custom_named(&format!("id-{kept:?}").replace(' ', "_"), kept, None).await.unwrap();
        assert_eq!(&*world.caller(&session.token).unwrap().username, kept);
    }
}

#[tokio::test]
async fn vars_go_into_the_tokens() {
    let world = World::new();
    let vars = [("b".to_owned(), "2".to_owned()), (String::new(), "<x>".to_owned())].into();
    let account = api::AccountDevice { id: "device-0001".into(), vars };
    let request = api::AuthenticateDeviceRequest { account: Some(account.clone()), ..Default::default() };
    let session = super::authenticate_device(&world.services, &Client::default(), request).await.unwrap();
    assert_eq!(*world.caller(&session.token).unwrap().vars, account.vars);
}

#[tokio::test]
async fn email_accounts_need_their_password() {
    let world = World::new();
    assert!(world.email("Player@Example.com", "password").await.unwrap().created);
    assert!(!world.email("player@example.COM", "password").await.unwrap().created);
    assert_eq!(said(world.email("player@example.com", "passwort").await), error(Code::Unauthenticated, WRONG));
    let known_but_wrong = world.email_named("player@example.com", "passwort", "", Some(false)).await;
    assert_eq!(said(known_but_wrong), error(Code::Unauthenticated, WRONG));
    let unknown = world.email_named("nobody@example.com", "password", "", Some(false)).await;
    assert_eq!(said(unknown), error(Code::NotFound, UNKNOWN));
    world.custom_named("custom-id", "taken", None).await.unwrap();
    let taken = world.email_named("player@example.com", "passwort", "taken", None).await;
    assert_eq!(said(taken), error(Code::Unauthenticated, WRONG));
}

#[tokio::test]
async fn faults_of_an_email_request_are_told_in_order() {
    let world = World::new();
    for (email, password, text) in [
        ("", "", "Password must be at least 8 characters long."),
        ("abcdef@gh.ij", "1234567", "Password must be at least 8 characters long."),
        ("", "12345678", "Username is required when email address is not supplied."),
        ("a b", "1", "Invalid email address, no spaces or control characters allowed."),
        ("abcdefgh@ijkl", "1", "Invalid email address format."),
        ("a@b.c", "1", "Invalid email address, must be 10-255 bytes."),
        ("abcdef@gh.ij", &"q".repeat(73), "Password must be at most 72 bytes long."),
    ] {
        assert_eq!(said(world.email(email, password).await), error(Code::InvalidArgument, text), "{email} {password}");
    }
    assert_eq!(said(world.email("abcdef@gh.ij", "éééé").await), OK);
    let absent = authenticate_email(&world.services, &Client::default(), Default::default()).await;
    assert_eq!(said(absent), error(Code::InvalidArgument, "Email address and password is required."));
}

#[tokio::test]
async fn an_account_opens_by_username_and_password() {
    let world = World::new();
    world.email_named("player@example.com", "password", "Nick", None).await.unwrap();
    world.custom_named("custom-id", "plain", None).await.unwrap();
    assert_eq!(said(world.email_named("", "password", "Nick", None).await), OK);
    assert_eq!(said(world.email_named("", "passwort", "Nick", None).await), error(Code::Unauthenticated, WRONG));
    assert_eq!(said(world.email_named("", "password", "plain", None).await), error(Code::Unauthenticated, WRONG));
    assert_eq!(said(world.email_named("", "password", "nobody", None).await), error(Code::NotFound, UNKNOWN));
}

#[tokio::test]
async fn the_first_72_bytes_of_a_stored_password_count() {
    let world = World::new();
    world.email("player@example.com", &"q".repeat(72)).await.unwrap();
    assert_eq!(said(world.email("player@example.com", &"q".repeat(73)).await), OK);
}

#[tokio::test]
async fn a_banned_account_is_told_so_before_its_password_is_looked_at() {
    let world = World::new();
    let session = world.email("player@example.com", "password").await.unwrap();
    let player = world.caller(&session.token).unwrap();
    assert!(account::set_disabled(&world.services, player.user_id, true).await.unwrap());
    assert_eq!(said(world.email("player@example.com", "passwort").await), error(Code::PermissionDenied, BANNED));
    assert_eq!(said(world.caller(&session.token)), error(Code::Unauthenticated, "Auth token invalid"));
    assert!(account::set_disabled(&world.services, player.user_id, false).await.unwrap());
    assert_eq!(said(world.caller(&session.token)), error(Code::Unauthenticated, "Auth token invalid"));
    let again = world.email("player@example.com", "password").await.unwrap();
    assert_eq!(said(world.caller(&again.token)), OK);
}

fn only_user(world: &World, answers: &[api::Session]) -> bool {
    let users: BTreeSet<_> = answers.iter().map(|session| world.caller(&session.token).unwrap().user_id).collect();
    users.len() == 1 && answers.iter().filter(|session| session.created).count() == 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_at_once_with_one_id_get_one_account() {
    let world = World::new();
    let custom = join_all((0..50).map(|_| world.custom("one-for-all"))).await;
    assert!(only_user(&world, &custom.into_iter().collect::<Result<Vec<_>, _>>().unwrap()));
    let device = join_all((0..50).map(|_| world.device("one-for-all", ""))).await;
    assert!(only_user(&world, &device.into_iter().collect::<Result<Vec<_>, _>>().unwrap()));
    let email = join_all((0..50).map(|_| world.email("one@for-all.org", "password"))).await;
    assert!(only_user(&world, &email.into_iter().collect::<Result<Vec<_>, _>>().unwrap()));
    let named = join_all((0..50).map(|_| world.custom_named("same-id", "same-name", None))).await;
    assert!(only_user(&world, &named.into_iter().collect::<Result<Vec<_>, _>>().unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_at_once_with_one_username_make_one_account() {
    let world = World::new();
    let ids: Vec<_> = (0..50).map(|index| format!("player-{index}")).collect();
    let answers = join_all(ids.iter().map(|id| world.custom_named(id, "highlander", None))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 49));
    assert!(lost.into_iter().all(|answer| said(answer) == error(Code::AlreadyExists, TAKEN)));
}

/// The look-up happens before the other sign-up is stored: what the store answers then is a sign-in like any other.
#[tokio::test]
async fn losing_the_race_against_another_password_is_a_wrong_password() {
    let world = World::new();
    let tries = ["password-a", "password-b"].map(|password| world.email("player@example.com", password));
    let answers = join_all(tries).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let lost = answers.into_iter().find(Result::is_err).unwrap();
    assert_eq!(said(lost), error(Code::Unauthenticated, WRONG));
}

#[tokio::test]
async fn an_account_of_nakama_without_a_password_opens_by_none() {
    let world = World::new();
    let identifier = NewIdentifier::Email { email: "imported@example.com".into(), password_hash: Vec::new() };
    let new = NewUser {
        id: world.services.entropy.uuid(),
        username: "imported".into(),
        identifier,
        tenant: None,
        token_use: None,
        notices: Vec::new(),
    };
    assert_eq!(world.services.store.create_user(new).await.unwrap(), Created::New);
    assert_eq!(said(world.email("imported@example.com", "password").await), error(Code::Unauthenticated, WRONG));
}

#[tokio::test]
async fn single_session_leaves_only_the_newest() {
    let world = World::with(|config| config.session.single_session = true, crate::hooks::Hooks::builder());
    let (first, second) = (world.custom("player-1").await.unwrap(), world.custom("player-1").await.unwrap());
    assert_eq!(said(world.caller(&first.token)).0, Code::Unauthenticated);
    assert_eq!(said(world.caller(&second.token)), OK);
    let at_once = join_all((0..10).map(|_| world.custom("player-1"))).await;
    let alive = at_once.into_iter().filter(|answer| world.caller(&answer.as_ref().unwrap().token).is_ok()).count();
    assert_eq!(alive, 1);
    assert_eq!(said(world.caller(&second.token)).0, Code::Unauthenticated);
}

/// A player whom an identity token has proved, with the username that it gives.
fn proved(account_id: &str, username: Option<&str>) -> VerifiedIdentity {
    VerifiedIdentity {
        entry: "pool".into(),
        issuer: "https://i".into(),
        namespace: "https://i".into(),
        subject: account_id.into(),
        account_id: account_id.into(),
        token_id: None,
        expires_at: 0,
        issued_at: None,
        authenticated_at: None,
        family: None,
        tenant: None,
        vars: Default::default(),
        username: username.map(str::to_owned),
        mapping_version: 0,
        digest: [0; 32],
        claims: Default::default(),
    }
}

#[tokio::test]
async fn a_username_from_the_identity_is_a_wish_that_gives_way() {
    let world = World::new();
    let named = async |id: &str, wish| {
        let session = authenticate_verified(&world.services, &Client::default(), proved(id, wish)).await.unwrap();
        world.caller(&session.token).unwrap().username.to_string()
    };
    assert_eq!(named("player-1", Some("Ann")).await, "Ann");
    assert_eq!(named("player-1", Some("Eve")).await, "Ann", "an account keeps its name");
    let second = named("player-2", Some("Ann")).await;
    assert!(second.len() == 9 && second.starts_with("Ann-"), "{second}");
    let nobody = named("player-3", None).await;
    assert_eq!(nobody.len(), 10, "{nobody}");
    // Each such character is six in the token.
    let tight = World::with(|config| config.session.max_token_bytes = 1_024, crate::hooks::Hooks::builder());
    let identity = proved("player-1", Some(&"<".repeat(120)));
    let session = authenticate_verified(&tight.services, &Client::default(), identity).await.unwrap();
    assert_eq!(tight.caller(&session.token).unwrap().username.len(), 10);
}

#[tokio::test]
async fn a_name_that_makes_too_long_a_session_token_makes_no_account() {
    let world = World::with(|config| config.session.max_token_bytes = 1_024, crate::hooks::Hooks::builder());
    let (code, message) = said(world.custom_named("abcdef", &"<".repeat(128), None).await);
    assert!(code == Code::InvalidArgument && message.contains("session.max_token_bytes"), "{message}");
    assert_eq!(said(world.custom_named("abcdef", "", Some(false)).await), error(Code::NotFound, UNKNOWN));
    // An account from before the limit was set is told the same.
    let wide = World::new();
    wide.custom_named("abcdef", &"<".repeat(128), None).await.unwrap();
    let narrow = wide.restarted(|config| config.session.max_token_bytes = 1_024);
    assert_eq!(said(narrow.custom("abcdef").await), (code, message));
}
