use super::*;
use crate::{
    features::testing::World,
    identity::session::SessionClaims,
    realtime::{JoinLimits, OutboundLimits, PresenceMeta, Rule, Session},
};
use kizuna_protocol::envelope::Format;
use proptest::prelude::*;
use std::sync::Arc;

proptest! {
    #[test]
    fn cursors_come_back_as_they_were_and_any_text_is_read_without_harm(
        state in 0..4_i64,
        position: i64,
        pair: (u128, u128),
        text in ".{0,64}",
    ) {
        let state = FriendState::from_number(state).expect("a state");
        let cursor = list_cursor(state, position);
        prop_assert_eq!(read_list_cursor(&cursor, None), Some((state, position)));
        prop_assert_eq!(read_list_cursor(cursor.trim_end_matches('='), Some(state)), Some((state, position)));
        let pair = (Uuid::from_u128(pair.0), Uuid::from_u128(pair.1));
        prop_assert_eq!(read_pair_cursor(&pair_cursor(pair)), Some(pair));
        read_list_cursor(&text, None);
        read_pair_cursor(&text);
    }
}

#[test]
fn a_cursor_is_of_one_state() {
    let cursor = list_cursor(FriendState::InviteSent, 7);
    assert_eq!(read_list_cursor(&cursor, Some(FriendState::Friend)), None);
    assert_eq!(read_list_cursor(&pair_cursor((Uuid::nil(), Uuid::nil())), None), None);
}

#[tokio::test]
async fn a_block_ends_the_chat_of_the_two_without_a_word() {
    let world = World::new();
    let services = &world.services;
    let (ann, bob) = (world.player("player-ann").await, world.player("player-bob").await);
    let session = |caller: &Caller, number: u8| {
        let claims = SessionClaims {
            user_id: caller.user_id,
            username: caller.username.clone(),
            vars: Arc::default(),
            token_id: None,
            expires_unix: i64::MAX,
            issued_unix: 0,
            origin: None,
            tenant: caller.tenant,
            signature: [number; 32],
        };
        let limits = OutboundLimits { messages: 100, bytes: 10_000 };
        let session = Session::new(Arc::new(claims), services.entropy.uuid(), Format::Json, false, limits);
        services.realtime.connect(&session, services.entropy.uuid(), 0).expect("few sockets");
        session
    };
    let (first, second) = (ann.user_id.min(bob.user_id), ann.user_id.max(bob.user_id));
    let chat = StreamKey::new(ann.tenant, Mode::Direct, first).with_subcontext(second);
    let limits = JoinLimits { members: 10, per_session: 10 };
    let sessions = [session(&ann, 1), session(&bob, 2)];
    for session in &sessions {
        let streams = services.realtime.streams();
        streams.join(&chat, Rule::Create, limits, session, PresenceMeta::default(), |_| {}).expect("joined");
    }
    let drain = || sessions.each_ref().map(|session| session.outbound().try_take(&mut Default::default()));
    let _ = drain();
    let request = api::BlockFriendsRequest { ids: vec![bob.user_id.to_string()], ..Default::default() };
    block_friends(services, &ann, request).await.expect("blocked");
    assert_eq!(services.realtime.streams().count(&chat), 0);
    assert!(drain().iter().all(std::task::Poll::is_pending), "nobody is told");
}
