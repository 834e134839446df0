use super::*;
use crate::store::{
    Limits,
    tests::{Fresh, custom},
};
use FriendState::{Blocked, Friend, InviteReceived, InviteSent};

/// A store with three accounts.
struct Three {
    fresh: Fresh,
    me: Uuid,
    other: Uuid,
    third: Uuid,
}

impl Three {
    async fn new() -> Self {
        let fresh = Fresh::new();
        let (me, other) = (fresh.user(custom("id-me")).await, fresh.user(custom("id-other")).await);
        let third = fresh.user(custom("id-third")).await;
        Self { fresh, me, other, third }
    }

    fn call(&self, user_id: Uuid, others: &[Uuid]) -> FriendCall<impl Fn(EdgeChange, Uuid) -> NewNotification + use<>> {
        let entropy = self.fresh.entropy.clone();
        let tell = move |change, user_id| {
            let (subject, content) = (format!("{change:?}"), "{}".to_owned());
            NewNotification { id: entropy.uuid(), user_id, subject, content, code: -2, sender_id: Uuid::nil() }
        };
        FriendCall { user_id, others: others.to_vec(), tell }
    }

    async fn add(&self, user_id: Uuid, other: Uuid) -> Vec<String> {
        self.add_with(user_id, other, "{}").await.unwrap()
    }

    async fn add_with(&self, user_id: Uuid, other: Uuid, metadata: &str) -> Result<Vec<String>, StoreError> {
        self.fresh.clock.advance_seconds(1);
        let told = self.fresh.store.add_friends(self.call(user_id, &[other]), metadata.to_owned()).await?;
        assert!(told.iter().all(|told| told.new.user_id == other), "only the other side is told");
        Ok(told.into_iter().map(|told| told.new.subject).collect())
    }

    async fn delete(&self, user_id: Uuid, other: Uuid) -> Vec<String> {
        self.fresh.clock.advance_seconds(1);
        let told = self.fresh.store.delete_friends(self.call(user_id, &[other])).await.unwrap();
        assert!(told.iter().all(|told| told.new.user_id == other), "only the other side is told");
        told.into_iter().map(|told| told.new.subject).collect()
    }

    async fn block(&self, user_id: Uuid, other: Uuid) {
        self.fresh.clock.advance_seconds(1);
        self.fresh.store.block_friends(user_id, vec![other]).await.unwrap();
    }

    fn edges(&self, user_id: Uuid) -> Vec<Edge> {
        self.fresh.store.friends(user_id, None, None, 100).unwrap()
    }

    fn state(&self, user_id: Uuid, other: Uuid) -> Option<FriendState> {
        self.edges(user_id).into_iter().find(|edge| edge.user.id == other).map(|edge| edge.state)
    }

    fn user(&self, id: Uuid) -> User {
        self.fresh.store.account(id).unwrap().unwrap().user
    }

    /// Brings the two to a pair of states, mine and theirs.
    async fn bring_to(&self, mine: Option<FriendState>, theirs: Option<FriendState>) {
        let (me, other) = (self.me, self.other);
        match (mine, theirs) {
            (Some(InviteSent), _) => drop(self.add(me, other).await),
            (Some(InviteReceived), _) => drop(self.add(other, me).await),
            (Some(Friend), _) => drop((self.add(me, other).await, self.add(other, me).await)),
            _ => {}
        }
        if mine == Some(Blocked) {
            self.block(me, other).await;
        }
        if theirs == Some(Blocked) {
            self.block(other, me).await;
        }
        assert_eq!((self.state(me, other), self.state(other, me)), (mine, theirs));
    }
}

/// One row of the table of spec/friends-and-groups.md A3: before; then after add, delete and block, each with who is told what.
type Pair = (Option<FriendState>, Option<FriendState>);
const NONE: Pair = (None, None);
const INVITED: Pair = (Some(InviteSent), Some(InviteReceived));
const WAS_INVITED: Pair = (Some(InviteReceived), Some(InviteSent));
const FRIENDS: Pair = (Some(Friend), Some(Friend));
const BLOCKED: Pair = (Some(Blocked), None);
const IS_BLOCKED: Pair = (None, Some(Blocked));
const BOTH: Pair = (Some(Blocked), Some(Blocked));
type Cell = (Pair, &'static str);
const TABLE: [(Pair, Cell, Cell, Cell); 7] = [
    (NONE, (INVITED, "Invited"), (NONE, ""), (BLOCKED, "")),
    (INVITED, (INVITED, ""), (NONE, "Removed"), (BLOCKED, "")),
    (WAS_INVITED, (FRIENDS, "Accepted"), (NONE, "Removed"), (BLOCKED, "")),
    (FRIENDS, (FRIENDS, ""), (NONE, "Removed"), (BLOCKED, "")),
    (BLOCKED, (BLOCKED, ""), (NONE, ""), (BLOCKED, "")),
    (IS_BLOCKED, (IS_BLOCKED, ""), (IS_BLOCKED, ""), (BOTH, "")),
    (BOTH, (BOTH, ""), (IS_BLOCKED, ""), (BOTH, "")),
];

#[tokio::test]
async fn every_cell_of_the_table_holds_with_its_counts_and_what_is_told() {
    for (before, add, delete, block) in TABLE {
        for (call, (after, told)) in [("add", add), ("delete", delete), ("block", block)] {
            let three = Three::new().await;
            three.bring_to(before.0, before.1).await;
            let said = match call {
                "add" => three.add(three.me, three.other).await,
                "delete" => three.delete(three.me, three.other).await,
                _ => {
                    three.block(three.me, three.other).await;
                    Vec::new()
                }
            };
            let now = (three.state(three.me, three.other), three.state(three.other, three.me));
            assert_eq!(now, after, "{call} after {before:?}");
            assert_eq!(said.concat(), told, "{call} after {before:?}");
            let counts = [three.me, three.other].map(|id| three.user(id).edge_count);
            let wanted = [after.0, after.1].map(|state| i32::from(state.is_some()));
            assert_eq!(counts, wanted, "{call} after {before:?}");
        }
    }
}

#[tokio::test]
async fn a_relation_keeps_its_place_and_its_times_say_when_it_changed() {
    let three = Three::new().await;
    three.add(three.me, three.other).await;
    let (mine, theirs) = (three.edges(three.me).remove(0), three.edges(three.other).remove(0));
    assert_eq!(mine.position, theirs.position);
    assert_eq!(mine.update_time, three.fresh.clock.unix_micros());
    let counted = three.user(three.me).update_time;
    assert_eq!(counted, mine.update_time, "a changed count moves the account's time");
    three.add(three.other, three.me).await;
    let accepted = three.edges(three.me).remove(0);
    assert_eq!((accepted.position, accepted.state), (mine.position, Friend));
    assert!(accepted.update_time > mine.update_time);
    assert_eq!(three.user(three.me).update_time, counted, "the count has not changed");
    three.block(three.me, three.other).await;
    assert_eq!(three.edges(three.me)[0].position, mine.position);
}

#[tokio::test]
async fn metadata_is_the_callers_own_and_merged_when_an_invite_is_accepted() {
    let three = Three::new().await;
    let of = |user| three.edges(user)[0].metadata.clone();
    three.add_with(three.me, three.other, r#"{"k":"v"}"#).await.unwrap();
    assert_eq!((of(three.me), of(three.other)), (r#"{"k": "v"}"#.to_owned(), "{}".to_owned()));
    three.add_with(three.me, three.other, "not json").await.expect("nothing changes, so nobody looks at it");
    three.add_with(three.other, three.me, r#"{"x":1}"#).await.unwrap();
    assert_eq!((of(three.me), of(three.other)), (r#"{"k": "v"}"#.to_owned(), r#"{"x": 1}"#.to_owned()));
    assert!(three.add_with(three.me, three.third, "not json").await.is_err());
    assert_eq!(three.state(three.me, three.third), None);
    three.add_with(three.me, three.third, "[1]").await.expect("as Nakama has it");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_invite_each_other_at_once_both_become_friends() {
    for _ in 0..20 {
        let three = Three::new().await;
        let (one, other) = (three.call(three.me, &[three.other]), three.call(three.other, &[three.me]));
        let (first, second) = (three.fresh.store.clone(), three.fresh.store.clone());
        let first = tokio::spawn(async move { first.add_friends(one, "{}".into()).await.unwrap().len() });
        let second = tokio::spawn(async move { second.add_friends(other, "{}".into()).await.unwrap().len() });
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (1, 1));
        assert_eq!((three.state(three.me, three.other), three.state(three.other, three.me)), FRIENDS);
    }
}

#[tokio::test]
async fn relations_of_one_moment_have_places_of_their_own_and_pages_meet() {
    let three = Three::new().await;
    let fresh = &three.fresh;
    let mut others = Vec::new();
    for number in 0..20 {
        others.push(fresh.user(custom(&format!("id-{number}"))).await);
    }
    fresh.store.add_friends(three.call(three.me, &others[..10]), "{}".into()).await.unwrap();
    fresh.store.add_friends(three.call(three.me, &others[10..]), "{}".into()).await.unwrap();
    for other in &others[5..10] {
        fresh.store.add_friends(three.call(*other, &[three.me]), "{}".into()).await.unwrap();
    }
    fresh.store.block_friends(three.me, others[..3].to_vec()).await.unwrap();
    let mut from = None;
    let mut seen = Vec::new();
    loop {
        let mut page = fresh.store.friends(three.me, None, from, 4).unwrap();
        if page.len() < 4 {
            seen.append(&mut page);
            break;
        }
        let next = page.pop().unwrap();
        from = Some((next.state, next.position));
        seen.append(&mut page);
    }
    let ids: Vec<Uuid> = seen.iter().map(|edge| edge.user.id).collect();
    let wanted = [&others[5..10], &others[3..5], &others[10..], &others[..3]].concat();
    assert_eq!(ids, wanted, "by state, then by age");
    let sent = fresh.store.friends(three.me, Some(InviteSent), None, 100).unwrap();
    assert!(sent.len() == 12 && sent.iter().all(|edge| edge.state == InviteSent));
}

#[tokio::test]
async fn who_is_not_there_is_passed_over_and_a_deleted_account_is_nobodys_friend() {
    let mut three = Three::new().await;
    let (me, other, third) = (three.me, three.other, three.third);
    assert_eq!(three.add(me, Uuid::from_u128(7)).await, [""; 0]);
    three.block(me, Uuid::from_u128(7)).await;
    assert_eq!(three.edges(me), []);
    three.add(me, other).await;
    three.add(third, me).await;
    three.fresh.store.delete_account(other, false, 1).await.unwrap();
    assert_eq!(three.edges(me).len(), 1);
    three.fresh.reopen();
    assert_eq!(three.state(me, third), Some(InviteReceived), "a restart loses nothing");
}

#[tokio::test]
async fn a_user_has_only_so_many_relations_and_a_full_call_changes_nothing() {
    let three = Three::new().await;
    let store = three.fresh.store.clone().with_limits(Limits { friends_per_user: 1, ..Limits::default() });
    let (me, other, third) = (three.me, three.other, three.third);
    let both = store.add_friends(three.call(me, &[other, third]), "{}".into()).await;
    assert!(matches!(both, Err(StoreError::FriendsFull)));
    assert_eq!(three.edges(me), []);
    store.add_friends(three.call(me, &[other]), "{}".into()).await.unwrap();
    assert!(matches!(store.block_friends(me, vec![third]).await, Err(StoreError::FriendsFull)));
    let invite = store.add_friends(three.call(third, &[other]), "{}".into()).await;
    assert!(matches!(invite, Err(StoreError::OthersFriendsFull)));
    store.block_friends(other, vec![me]).await.expect("what one has can be turned into a block");
    let fourth = three.fresh.user(custom("id-fourth")).await;
    store.add_friends(three.call(me, &[fourth]), "{}".into()).await.expect("the block has made room");
    store.delete_account(fourth, false, 1).await.unwrap();
    assert_eq!(three.user(me).edge_count, 1, "as Nakama leaves it");
    store.add_friends(three.call(me, &[third]), "{}".into()).await.expect("a friend who is gone takes no room");
}

/// `me` is a friend of all referrers, and each referrer of all the others.
async fn befriend(three: &Three, referrers: &[Uuid], others: &[Uuid]) {
    let both = async |one: Uuid, other: Uuid| {
        three.add(one, other).await;
        three.add(other, one).await;
    };
    for referrer in referrers {
        both(three.me, *referrer).await;
        for other in others {
            both(*referrer, *other).await;
        }
    }
}

#[tokio::test]
async fn friends_of_friends_are_all_found_however_they_are_paged() {
    let three = Three::new().await;
    let mut others = Vec::new();
    for number in 0..5 {
        others.push(three.fresh.user(custom(&format!("id-{number}"))).await);
    }
    befriend(&three, &[three.other, three.third], &others).await;
    // One of them is a friend already, and one is blocked: that hides nobody.
    befriend(&three, &others[..1], &[]).await;
    three.block(three.me, others[1]).await;
    let page = |from, limit, most| three.fresh.store.friends_of_friends(three.me, from, limit, most).unwrap();
    let start = (Uuid::nil(), Uuid::nil());
    let all = page(start, 100, 1_000);
    let ids = |page: &FriendsOfFriends| page.found.iter().map(|one| (one.referrer, one.user.id)).collect::<Vec<_>>();
    let by_each = [three.other, three.third].into_iter().flat_map(|by| others[1..].iter().map(move |id| (by, *id)));
    let mut wanted: Vec<_> = by_each.collect();
    wanted.sort();
    assert_eq!((ids(&all), all.next), (wanted.clone(), None));
    assert_eq!(page(start, 8, 1_000).next, None, "eight are all");
    for (limit, most) in [(1, 1_000), (3, 1_000), (7, 1_000), (100, 1), (100, 2), (3, 4), (2, 7)] {
        let (mut from, mut seen, mut pages) = (start, Vec::new(), 0);
        loop {
            let page = page(from, limit, most);
            assert!(page.found.len() <= limit.min(most));
            seen.extend(ids(&page));
            pages += 1;
            assert!(pages < 100, "limit {limit}, at most {most}: no end");
            match page.next {
                Some(next) => from = next,
                None => break,
            }
        }
        assert_eq!(seen, wanted, "limit {limit}, at most {most}");
    }
}

#[tokio::test]
async fn lists_use_an_index_in_the_order_in_which_they_are_read() {
    let fresh = Fresh::new();
    for sql in [STATE, UPDATE, DELETE, EDGES, POSITION_TAKEN, LIST, FRIENDS_FROM] {
        let plan = fresh.plan(sql);
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}
