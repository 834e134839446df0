use super::*;
use proptest::prelude::*;

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
