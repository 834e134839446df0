//! The pass without sockets: the table of spec/matchmaker.md 9, what is improved on it, and properties of any pool.

use super::*;
use crate::search::Steps;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const RULES: Rules = Rules { max_intervals: 2, mutual: false, largest: 256, steps: 1_000_000_000 };

/// A pool whose tickets have the names 1, 2, 3 ... in the order in which they came.
struct World {
    pool: Pool,
    tickets: Vec<Arc<Ticket>>,
    limits: TicketLimits,
}

#[derive(Clone, Debug, Default)]
struct Want {
    counts: (u32, u32, u32),
    query: String,
    strings: BTreeMap<String, String>,
    numbers: BTreeMap<String, f64>,
    /// Sessions; none: one of its own.
    sessions: Vec<u128>,
    party: Option<u128>,
    tenant: Tenant,
}

fn want(min: u32, max: u32) -> Want {
    Want { counts: (min, max, 1), ..Want::default() }
}

impl Want {
    fn asks(mut self, query: &str) -> Self {
        self.query = query.to_owned();
        self
    }

    fn is(mut self, name: &str, value: &str) -> Self {
        self.strings.insert(name.to_owned(), value.to_owned());
        self
    }

    fn has(mut self, name: &str, value: f64) -> Self {
        self.numbers.insert(name.to_owned(), value);
        self
    }

    fn multiple(mut self, multiple: u32) -> Self {
        self.counts.2 = multiple;
        self
    }

    fn of_sessions(mut self, sessions: &[u128]) -> Self {
        self.sessions = sessions.to_vec();
        self
    }

    fn party(mut self, party: u128, sessions: &[u128]) -> Self {
        self.party = Some(party);
        self.of_sessions(sessions)
    }
}

impl World {
    fn new(rules: Rules) -> Self {
        let limits = TicketLimits { query_bytes: 2_048, properties: 64, expressions: Expressions::at_most(100) };
        Self { pool: Pool::new(rules), tickets: Vec::new(), limits }
    }

    /// With tickets of these, which have had no pass.
    fn of(rules: Rules, wants: impl IntoIterator<Item = Want>) -> Self {
        let mut world = Self::new(rules);
        wants.into_iter().for_each(|want| world.add(want));
        world
    }

    fn add(&mut self, want: Want) {
        let order = self.tickets.len() as u64 + 1;
        let (min, max, multiple) = want.counts;
        let sessions = if want.sessions.is_empty() { vec![1_000_000 + u128::from(order)] } else { want.sessions };
        let entry = |session: u128| Entry {
            session_id: Uuid::from_u128(session),
            user_id: Uuid::from_u128(session),
            username: format!("user{session}"),
        };
        let party = want.party.map(|party| OfParty { id: Uuid::from_u128(party), text: format!("party{party}") });
        let draft = Draft {
            tenant: want.tenant,
            entries: sessions.into_iter().map(entry).collect(),
            party,
            counts: Counts { min, max, multiple },
            query: want.query,
            properties: Properties { strings: want.strings, numbers: want.numbers },
        };
        let id = Uuid::from_u128(u128::from(order));
        let ticket = Ticket::new(id, order as i64, draft, &self.limits).expect("a good ticket").with_order(order);
        let ticket = Arc::new(ticket);
        self.pool.add(&ticket);
        self.tickets.push(ticket);
    }

    /// The matches of one pass, as the names of their tickets in the order in which users are told.
    fn pass(&mut self) -> Vec<Vec<u64>> {
        let outcome = self.pool.pass(Watch::NEVER);
        outcome.matches.iter().map(|tickets| tickets.iter().map(|ticket| ticket.order).collect()).collect()
    }

    fn passes(&mut self, number: usize) -> Vec<Vec<Vec<u64>>> {
        (0..number).map(|_| self.pass()).collect()
    }
}

const NOBODY: Vec<Vec<u64>> = Vec::new();

fn mutual() -> Rules {
    Rules { mutual: true, ..RULES }
}

#[test]
fn a_pair_that_wants_each_other_matches_at_the_next_tick_the_searching_one_last() {
    let duel = || want(2, 2).is("mode", "duel").asks("+properties.mode:duel +properties.rank:>=5");
    let mut world = World::of(RULES, [duel().has("rank", 10.0), duel().has("rank", 7.5)]);
    assert_eq!(world.pass(), [[2, 1]]);
    assert_eq!(world.pass(), NOBODY);
}

#[test]
fn one_sides_query_is_enough_unless_both_are_asked() {
    let pair =
        || [want(2, 2).is("a", "x").asks("+properties.b:y"), want(2, 2).is("b", "y").asks("+properties.b:never")];
    assert_eq!(World::of(RULES, pair()).pass(), [[2, 1]]);
    assert_eq!(World::of(mutual(), pair()).passes(2), [NOBODY, NOBODY]);
}

#[test]
fn of_three_all_have_to_want_each_other_if_both_sides_are_asked() {
    let tell = |name: &str, not: &str| want(3, 3).is("name", name).asks(&format!("-properties.name:{not}"));
    let three = || [tell("a", "nobody"), tell("b", "c"), tell("c", "b")];
    assert_eq!(World::of(mutual(), three()).passes(2), [NOBODY, NOBODY]);
    assert_eq!(World::of(RULES, three()).pass(), [[2, 3, 1]], "by default the searching one decides");
}

#[test]
fn four_who_want_two_to_four_match_at_once_and_of_five_one_is_left() {
    let wide = || want(2, 4);
    assert_eq!(World::of(RULES, vec![wide(); 4]).pass(), [[2, 3, 4, 1]]);
    let mut five = World::of(RULES, vec![wide(); 5]);
    assert_eq!(five.passes(3), [vec![vec![2, 3, 4, 1]], NOBODY, NOBODY]);
}

#[test]
fn two_who_want_two_to_four_insist_until_their_last_pass() {
    assert_eq!(World::of(RULES, vec![want(2, 4); 2]).passes(2), [NOBODY, vec![vec![2, 1]]]);
    let three = Rules { max_intervals: 3, ..RULES };
    assert_eq!(World::of(three, vec![want(2, 4); 2]).passes(3), [NOBODY, NOBODY, vec![vec![2, 1]]]);
}

#[test]
fn the_wider_ticket_finds_the_narrower_on_its_last_pass() {
    assert_eq!(World::of(RULES, [want(2, 4), want(2, 2)]).passes(2), [NOBODY, vec![vec![2, 1]]]);
}

#[test]
fn ranges_that_do_not_nest_never_match() {
    let mut world = World::of(RULES, [want(2, 3), want(3, 4), want(3, 4)]);
    assert_eq!(world.passes(3), [NOBODY, NOBODY, NOBODY]);
}

#[test]
fn two_tickets_of_one_session_never_match_each_other() {
    let own = || want(2, 2).of_sessions(&[7]);
    assert_eq!(World::of(RULES, [own(), own()]).pass(), NOBODY);
    assert_eq!(World::of(RULES, [own(), own(), want(2, 2)]).pass(), [[3, 1]]);
}

#[test]
fn one_overlap_of_sessions_hinders_no_other_group() {
    // 2 and 3 are of one session: they cannot be together, and 3 does not keep 4 and 5 from joining 2.
    let mut world = World::of(
        RULES,
        [want(4, 4), want(4, 4).of_sessions(&[7]), want(4, 4).of_sessions(&[7]), want(4, 4), want(4, 4)],
    );
    assert_eq!(world.pass(), [[2, 4, 5, 1]]);
}

#[test]
fn of_five_in_twos_four_play_and_the_newest_waits() {
    let even = want(2, 6).multiple(2);
    assert_eq!(World::of(RULES, vec![even; 5]).passes(2), [NOBODY, vec![vec![2, 3, 4, 1]]]);
}

#[test]
fn the_older_of_the_two_best_is_taken() {
    let a = want(2, 2).asks("properties.x:1 properties.y:2^5");
    let mut world = World::of(
        RULES,
        [
            a,
            want(2, 2).has("x", 1.0).asks("+properties.z:z"),
            want(2, 2).has("x", 1.0).has("y", 2.0).asks("+properties.z:z"),
            want(2, 2).has("x", 1.0).has("y", 2.0).asks("+properties.z:z"),
        ],
    );
    assert_eq!(world.pass(), [[3, 1]]);
}

#[test]
fn a_passive_ticket_is_found_but_its_own_query_is_not_asked() {
    let mut world = World::of(RULES, [want(2, 2).is("is", "x").asks("+properties.is:y")]);
    assert_eq!(world.pass(), NOBODY);
    assert_eq!(world.pool.active(), 0);
    // 1 wants 2, but no longer searches; 2 does not want 1.
    world.add(want(2, 2).is("is", "y").asks("+properties.is:z"));
    assert_eq!(world.pass(), NOBODY);
    world.add(want(2, 2).asks("+properties.is:x"));
    assert_eq!(world.pass(), [[1, 3]]);
}

#[test]
fn a_party_comes_as_one() {
    let party = |size: std::ops::Range<u128>| want(3, 3).party(9, &size.collect::<Vec<_>>());
    let mut world = World::of(RULES, [want(3, 3), party(1..3)]);
    assert_eq!(world.pass(), [[2, 1]]);
    assert_eq!(World::of(RULES, [party(1..4), want(3, 3)]).pass(), NOBODY, "a full party never matches");
    let twos = (0..20).map(|n| want(3, 3).party(n, &[2 * n + 1, 2 * n + 2]));
    assert_eq!(World::of(RULES, twos).pass(), NOBODY);
}

#[test]
fn the_document_of_a_ticket_can_be_asked_for() {
    let asks = |query: &str| {
        let mut world = World::of(
            RULES,
            [want(2, 2).asks(query), want(2, 2).party(5, &[3]).asks("+a:b").has("n", 1.0).is("n", "one")],
        );
        !world.pass().is_empty()
    };
    for query in [
        "*",
        "",
        "+ticket:00000000-0000-0000-0000-000000000002",
        "+_id:00000000-0000-0000-0000-000000000002",
        "+party_id:party5",
        "+min_count:2 +max_count:<=2",
        "+created_at:2000",
        "+properties.n:1",
    ] {
        assert!(asks(query), "{query}");
    }
    for query in
        ["-party_id:party5", "+properties.n:one", "+created_at:<2000", "one", "+properties.n:/(/", "+properties.n:o~3"]
    {
        assert!(!asks(query), "{query}");
    }
}

#[test]
fn a_ticket_that_cannot_search_is_found_by_others() {
    let mut world = World::of(RULES, [want(2, 2).asks("+properties.x:/(/")]);
    assert_eq!(world.pass(), NOBODY);
    world.add(want(2, 2));
    assert_eq!(world.pass(), [[1, 2]]);
}

#[test]
fn the_best_group_is_taken_whatever_the_last_hit_was() {
    // The last hit is of the searcher's own session: Nakama would let the whole group go.
    let own = || want(2, 4).of_sessions(&[7]);
    let mut world = World::of(RULES, [own(), want(2, 4).asks("+properties.no:no"), own().asks("+properties.no:no")]);
    assert_eq!(world.passes(2), [NOBODY, vec![vec![2, 1]]]);
}

#[test]
fn a_narrow_ticket_does_not_spoil_a_group() {
    // 2 wants no more than two: 3 and 4 are a group of their own with 1.
    let mut world = World::of(
        RULES,
        [
            want(2, 4),
            want(2, 2).asks("+properties.no:no"),
            want(2, 4).asks("+properties.no:no"),
            want(2, 4).asks("+properties.no:no"),
        ],
    );
    assert_eq!(world.passes(2), [NOBODY, vec![vec![3, 4, 1]]]);
}

#[test]
fn what_is_too_much_for_the_multiple_is_left_out_whole_tickets_at_a_time() {
    // 1 with a party of two, a single and a party of two: six is not to be had, of five one is too many.
    let deaf = |want: Want| want.asks("+properties.no:no");
    let mut world = World::of(
        RULES,
        [
            want(2, 6).multiple(2),
            deaf(want(2, 6).party(1, &[1, 2])),
            deaf(want(2, 6)),
            deaf(want(2, 6).party(2, &[3, 4]).multiple(2)),
        ],
    );
    // 1 + 2 + 1 + 2 is six after all.
    assert_eq!(world.pass(), [[2, 3, 4, 1]]);
    let mut world = World::of(
        RULES,
        [want(2, 8).multiple(4), deaf(want(2, 8).party(1, &[1, 2])), deaf(want(2, 8)), deaf(want(2, 8))],
    );
    assert_eq!(world.passes(2), [NOBODY, vec![vec![2, 3, 1]]], "the newest goes");
}

#[test]
fn nobody_meets_another_tenant() {
    let of = |name: &str| Want { tenant: Tenant::named(name), ..want(2, 2) };
    assert_eq!(World::of(RULES, [of("a"), of("b"), want(2, 2)]).pass(), NOBODY);
    assert_eq!(World::of(RULES, [of("a"), of("b"), of("a")]).pass(), [[3, 1]]);
}

#[test]
fn no_match_is_larger_than_the_largest() {
    let rules = Rules { largest: 8, ..RULES };
    let mut world = World::of(rules, vec![want(2, i32::MAX as u32); 20]);
    let sizes: Vec<usize> = world.pass().iter().map(Vec::len).collect();
    assert_eq!(sizes, [8, 8], "eight is as good as two thousand millions");
    assert_eq!(World::of(rules, vec![want(9, 10); 20]).passes(2), [NOBODY, NOBODY]);
}

#[test]
fn a_large_group_is_made_only_where_there_are_enough() {
    let like = || want(20, 20).is("mode", "x").asks("+properties.mode:x");
    let deaf = want(20, 20).asks("+properties.no:no");
    let mut world = World::of(RULES, vec![like(); 19].into_iter().chain(vec![deaf; 30]));
    assert_eq!(world.pass(), NOBODY);
    world.add(like());
    assert_eq!(world.pass().iter().map(Vec::len).collect::<Vec<_>>(), [20]);
}

#[test]
fn a_late_pass_no_longer_asks_both_sides() {
    let pair = [want(2, 2), want(2, 2).asks("+properties.no:no")];
    let mut world = World::of(mutual(), pair);
    let outcome = world.pool.pass(Watch { is_late: &|| true, ..Watch::NEVER });
    assert_eq!(outcome.matches.len(), 1);
}

#[test]
fn a_pass_that_is_to_end_leaves_everybody_as_they_are() {
    let mut world = World::of(RULES, vec![want(2, 2); 2]);
    assert!(world.pool.pass(Watch { is_stopped: &|| true, ..Watch::NEVER }).matches.is_empty());
    assert_eq!(world.pass(), [[2, 1]]);
}

#[test]
fn who_has_used_up_a_share_searches_again_and_comes_to_the_end() {
    // The last three take all, and are taken by none of the hundred before them.
    let deaf = |_| want(2, 2).asks("+properties.no:no");
    let rules = Rules { steps: 10_000, ..mutual() };
    let mut world = World::of(rules, (0..100).map(deaf).chain(vec![want(2, 2); 3]));
    let first = world.pool.pass(Watch::NEVER);
    assert_eq!((first.matches.len(), first.cut_short), (0, 3));
    assert!((9_000..11_000).contains(&first.steps), "{}", first.steps);
    assert_eq!(world.pool.active(), 3, "they are not done with searching");
    assert_eq!(world.pass(), [[102, 101]], "the oldest of them has what is kept for those that were cut short");
}

#[test]
fn who_searches_a_full_pool_has_steps_in_advance() {
    // Of 640 the first has to look at 60 others before the one that takes it, which is several times its share.
    let deaf = |_| want(2, 2).asks("+properties.no:no");
    let two = || std::iter::once(want(2, 2));
    let rules = Rules { steps: 640_000, ..mutual() };
    let mut world = World::of(rules, two().chain((0..60).map(deaf)).chain(two()).chain((0..578).map(deaf)));
    assert_eq!(world.pass(), [[62, 1]]);
}

#[test]
fn who_needs_more_than_a_pass_has_for_one_is_done_with_searching() {
    // Both would have to take more than half of the steps.
    let deaf = |_| want(2, 2).asks("+properties.no:no");
    let rules = Rules { steps: 4_000, ..mutual() };
    let mut world = World::of(rules, (0..100).map(deaf).chain(vec![want(2, 2); 2]));
    let cut_short: Vec<usize> = (0..4).map(|_| world.pool.pass(Watch::NEVER).cut_short).collect();
    assert_eq!(cut_short, [2, 2, 0, 0], "one has all that is kept for such tickets, the other all the rest");
    assert_eq!(world.pool.active(), 0);
}

#[test]
fn a_pass_over_a_hundred_thousand_hostile_tickets_takes_no_more_than_its_steps() {
    // Every name is different, and every query has to be compared with all of them, in vain.
    let hostile = |n: u32| {
        let own = want(2, 2).is("name", &format!("player{n:06}"));
        match n % 4 {
            0 => own.asks(&format!("+properties.name:*x{n}*")),
            1 => own.asks(&format!("+properties.name:/.*x{}/", n % 400)),
            2 => own.asks(&format!("+properties.name:{n}zzzzzz~2")),
            _ => own.asks(&format!("properties.name:*x{n} -properties.name:/y.*{}/", n % 400)),
        }
    };
    let steps = 10_000_000;
    let mut world = World::new(Rules { steps, ..RULES });
    world.limits.expressions = Expressions::at_most(1_000);
    (0..100_000).for_each(|n| world.add(hostile(n)));
    let outcome = world.pool.pass(Watch::NEVER);
    // What is begun is finished: a few steps a ticket.
    let most = steps + 100_000 * 200;
    assert!((steps / 2..most).contains(&outcome.steps), "{}", outcome.steps);
    assert!(outcome.matches.is_empty() && outcome.cut_short > 90_000, "{}", outcome.cut_short);
    assert!(world.pool.pass(Watch::NEVER).steps < most);
}

#[test]
fn different_expressions_are_counted_over_all_tickets() {
    let mut world = World::new(RULES);
    world.limits.expressions = Expressions::at_most(2);
    world.add(want(2, 2).asks("+properties.a:/x+/ +properties.a:/y+/"));
    world.add(want(2, 2).asks("+properties.b:/x+/"));
    let refused = |query: &str| {
        let draft = Draft { query: query.to_owned(), ..world.tickets[0].draft.clone() };
        Ticket::new(Uuid::nil(), 0, draft, &world.limits).err()
    };
    assert_eq!(refused("+properties.a:/z+/"), Some(AddError::Expressions));
    assert_eq!(refused("+properties.a:/y+/"), None, "others have it");
}

#[test]
fn tickets_that_come_back_after_a_match_that_failed_can_be_found() {
    let mut world = World::of(RULES, vec![want(2, 2); 2]);
    let outcome = world.pool.pass(Watch::NEVER);
    // 1 is gone: 2 goes back.
    assert_eq!(outcome.matches[0].iter().map(|ticket| ticket.order).collect::<Vec<_>>(), [2, 1]);
    world.pool.add(&outcome.matches[0][0]);
    world.add(want(2, 2));
    assert_eq!(world.pass(), [[3, 2]]);
}

/// Any small pool: few properties and sessions, so that tickets meet.
fn any_want() -> impl Strategy<Value = Want> {
    let counts = (1u32..4, 0u32..4, 0u32..4);
    let sessions = proptest::collection::btree_set(0u128..40, 1..4);
    (counts, 0usize..6, 0usize..3, 0u32..10, sessions, any::<bool>()).prop_map(
        |((multiple, low, more), query, mode, rank, sessions, alone)| {
            let min = multiple * (low + 2u32.div_ceil(multiple));
            let queries = [
                "*",
                "+properties.mode:m1",
                "-properties.mode:m0",
                "+properties.rank:>4",
                "properties.rank:<6 properties.mode:m2^2",
                "+properties.mode:m2 +properties.rank:>=3",
            ];
            let sessions: Vec<u128> = if alone { Vec::new() } else { sessions.into_iter().collect() };
            Want {
                counts: (min, min + multiple * more, multiple),
                query: queries[query].to_owned(),
                sessions,
                ..Want::default()
            }
            .is("mode", &format!("m{mode}"))
            .has("rank", f64::from(rank))
        },
    )
}

proptest! {
    #[test]
    fn every_match_suits_all_of_it(wants in proptest::collection::vec(any_want(), 0..60), is_mutual in any::<bool>()) {
        let rules = Rules { mutual: is_mutual, largest: 9, ..RULES };
        let mut world = World::of(rules, wants.clone());
        let mut again = World::of(rules, wants);
        let mut left: BTreeSet<u64> = world.tickets.iter().map(|ticket| ticket.order).collect();
        for _ in 0..3 {
            let matches = world.pass();
            prop_assert_eq!(&matches, &again.pass(), "the same tickets, the same matches");
            for found in matches {
                let tickets: Vec<&Arc<Ticket>> = found.iter().map(|order| &world.tickets[*order as usize - 1]).collect();
                let sessions: Vec<Uuid> = tickets.iter().flat_map(|ticket| ticket.sessions()).collect();
                let users = sessions.len() as u32;
                prop_assert_eq!(sessions.iter().collect::<BTreeSet<_>>().len(), sessions.len(), "one session twice in a match");
                prop_assert!(users <= 9 && tickets.len() >= 2);
                let searcher = tickets.last().expect("two at least");
                for (at, ticket) in tickets.iter().enumerate() {
                    prop_assert!(left.remove(&ticket.order), "a ticket in two matches");
                    prop_assert!(ticket.counts().suits(users), "{:?} in a match of {}", ticket.counts(), users);
                    if at + 1 < tickets.len() {
                        prop_assert!(searcher.accepts(ticket, &Steps::unbounded()));
                    }
                    for other in tickets.iter().filter(|other| is_mutual && other.order != ticket.order) {
                        prop_assert!(ticket.accepts(other, &Steps::unbounded()), "one that does not take another");
                    }
                }
            }
        }
        prop_assert_eq!(world.pool.active(), 0, "after the last pass nobody searches");
    }
}
