use super::*;
use crate::{
    features::testing::{USER, World},
    hooks::Hooks,
};
use std::collections::BTreeMap;

fn claims(world: &World, user: u128) -> Arc<SessionClaims> {
    let tokens = &world.services.tokens;
    let pair = tokens.issue(tokens.new_token_id(), Uuid::from_u128(user), "player", &BTreeMap::new(), None);
    Arc::new(tokens.verify_session(&pair.token).unwrap())
}

fn ticket(world: &World, user: u128) -> Result<String, Error> {
    issue(&world.services, claims(world, user)).map(|ticket| ticket.value)
}

#[test]
fn a_ticket_is_good_once() {
    let world = World::new();
    let ticket = issue(&world.services, claims(&world, 7)).unwrap();
    assert_eq!((ticket.value.len(), ticket.expires_in), (43, 30));
    assert!(!format!("{ticket:?}").contains(&ticket.value));
    assert_eq!(redeem(&world.services, &ticket.value).unwrap().user_id, USER);
    assert!(redeem(&world.services, &ticket.value).is_none());
    assert!(redeem(&world.services, "").is_none() && redeem(&world.services, "made-up").is_none());
}

#[test]
fn of_many_who_use_a_ticket_at_once_one_gets_in() {
    let world = World::new();
    for _ in 0..50 {
        let value = ticket(&world, 7).unwrap();
        let gate = std::sync::Barrier::new(4);
        let try_once = || {
            gate.wait();
            usize::from(redeem(&world.services, &value).is_some())
        };
        let won: usize = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..4).map(|_| scope.spawn(try_once)).collect();
            tries.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(won, 1);
    }
}

#[test]
fn a_ticket_ends_after_its_time_with_its_token_and_when_the_clock_goes_back() {
    let world = World::new();
    let value = ticket(&world, 7).unwrap();
    world.services.clock.advance_seconds(29);
    assert!(redeem(&world.services, &value).is_some());
    let value = ticket(&world, 7).unwrap();
    world.services.clock.advance_seconds(30);
    assert!(redeem(&world.services, &value).is_none());

    let short = claims(&world, 7);
    world.services.clock.advance_seconds(59);
    let value = issue(&world.services, short).unwrap().value;
    world.services.clock.advance_seconds(1);
    assert!(redeem(&world.services, &value).is_none(), "the session token has ended");

    let value = ticket(&world, 7).unwrap();
    world.services.clock.advance_seconds(-1);
    assert!(redeem(&world.services, &value).is_none());
}

#[test]
fn a_ticket_of_a_revoked_session_opens_nothing() {
    let world = World::new();
    let value = ticket(&world, 7).unwrap();
    world.services.tokens.apply(world.services.tokens.user_now(USER));
    assert!(redeem(&world.services, &value).is_none());
}

#[test]
fn tickets_are_bounded_for_a_user_and_for_all_and_room_comes_back() {
    let bounded = |config: &mut config::Config| {
        (config.session.max_tickets_per_user, config.session.max_tickets) = (2, 3);
    };
    let world = World::with(bounded, Hooks::builder());
    let code = |answer: Result<String, Error>| answer.map_err(|error| error.code()).err();
    let first = ticket(&world, 1).unwrap();
    ticket(&world, 1).unwrap();
    assert_eq!(code(ticket(&world, 1)), Some(Code::ResourceExhausted));
    ticket(&world, 2).unwrap();
    assert_eq!(code(ticket(&world, 2)), Some(Code::Unavailable));
    redeem(&world.services, &first).unwrap();
    ticket(&world, 1).unwrap();
    world.services.clock.advance_seconds(30);
    for user in [1, 1, 3] {
        ticket(&world, user).unwrap();
    }
    let held = world.services.tickets.0.held.lock();
    assert_eq!((held.tickets.len(), held.by_age.len(), held.of_user.len()), (3, 3, 2));
}
