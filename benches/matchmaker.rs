//! How long a pass of the matchmaker takes, over pools of several shapes, by the configuration as shipped:
//! `cargo bench -p kizuna --bench matchmaker [-- NAME]`. Prints one line for each, in seconds of processor time; docs/matchmaker.md says what they mean. Linux only.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use kizuna::{
    config,
    features::matchmaker::{Counts, Draft, Entry, OfParty, Pool, Properties, Rules, Ticket, TicketLimits, Watch},
    identity::Tenant,
    search::Expressions,
};
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;

/// One ticket of a shape, by its place in line.
type Make = fn(u64) -> Plan;

struct Plan {
    counts: (u32, u32, u32),
    users: u64,
    query: String,
    mode: String,
    rank: f64,
}

struct Shape {
    name: &'static str,
    mutual: bool,
    make: Make,
}

/// Spreads numbers without an order that anything could profit from, the same in every run.
fn spread(order: u64) -> u64 {
    order.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32
}

fn plan(order: u64, counts: (u32, u32, u32), query: String) -> Plan {
    let mode = format!("mode{}", spread(order) % 10);
    Plan { counts, users: 1, query, mode, rank: (spread(order) / 16 % 3_000) as f64 }
}

/// A term and a range around one's own rank, as games ask for.
fn ranged(order: u64, counts: (u32, u32, u32), width: f64) -> Plan {
    let own = plan(order, counts, String::new());
    let (low, high) = (own.rank - width, own.rank + width);
    let query = format!("+properties.mode:{} +properties.rank:>={} +properties.rank:<={high}", own.mode, low.max(0.0));
    Plan { query, ..own }
}

/// Every name is different, and every query has to be compared with all of them, in vain.
fn hostile(order: u64) -> Plan {
    let query = match order % 4 {
        0 => format!("+properties.mode:*x{order}*"),
        1 => format!("+properties.mode:/.*x{}/", order % 1_000),
        2 => format!("+properties.mode:{order}zzzzzz~2"),
        _ => format!("+properties.mode:/(p|pl|pla|play|x{}){{40}}.*/", order % 500),
    };
    Plan { mode: format!("player{order:06}"), ..plan(order, (2, 2, 1), query) }
}

const SHAPES: &[Shape] = &[
    Shape { name: "one against one, ranked", mutual: false, make: |order| ranged(order, (2, 2, 1), 100.0) },
    Shape { name: "two to four, ranked", mutual: false, make: |order| ranged(order, (2, 4, 1), 100.0) },
    Shape { name: "two to four, ranked, both asked", mutual: true, make: |order| ranged(order, (2, 4, 1), 100.0) },
    Shape {
        name: "no query matches: no such term",
        mutual: false,
        make: |order| plan(order, (2, 2, 1), format!("+properties.mode:none{order} +properties.rank:>=0")),
    },
    Shape {
        name: "no query matches: range and term meet nowhere",
        mutual: false,
        make: |order| {
            let plan = plan(order, (2, 2, 1), "+properties.mode:high +properties.rank:<1500".to_owned());
            Plan { mode: if plan.rank < 1_500.0 { "low".to_owned() } else { "high".to_owned() }, ..plan }
        },
    },
    Shape {
        name: "all match all, the count is never reached",
        mutual: false,
        make: |order| plan(order, (5, 5, 1), "*".to_owned()).of(2),
    },
    Shape {
        name: "all match all, ranges do not nest",
        mutual: false,
        make: |order| {
            let step = (order % 76) as u32;
            plan(order, (150 + step, 180 + step, 1), "*".to_owned())
        },
    },
    Shape {
        name: "each takes all, none is taken",
        mutual: true,
        make: |order| plan(order, (2, 2, 1), format!("+created_at:>={}", (order + 1) * 1_000)),
    },
    Shape { name: "hostile: patterns over names that all differ", mutual: false, make: hostile },
    Shape { name: "two to two hundred, ranked", mutual: false, make: |order| ranged(order, (2, 200, 1), 100.0) },
    Shape {
        name: "parties of one to three for five, ranked",
        mutual: false,
        make: |order| ranged(order, (5, 5, 1), 200.0).of(1 + spread(order) / 7 % 3),
    },
    Shape {
        name: "twos and fours of two to eight, ranked",
        mutual: false,
        make: |order| ranged(order, (2, 8, 2), 200.0).of(1 + order % 2),
    },
];

impl Plan {
    fn of(self, users: u64) -> Self {
        Self { users, ..self }
    }

    fn ticket(self, order: u64, limits: &TicketLimits) -> Arc<Ticket> {
        let entry = |user: u64| {
            let id = Uuid::from_u128(u128::from(order) << 32 | u128::from(user));
            Entry { session_id: id, user_id: id, username: String::new() }
        };
        let (min, max, multiple) = self.counts;
        let party =
            (self.users > 1).then(|| OfParty { id: Uuid::from_u128(u128::from(order)), text: order.to_string() });
        let draft = Draft {
            tenant: Tenant::NONE,
            entries: (0..self.users).map(entry).collect(),
            party,
            counts: Counts { min, max, multiple },
            query: self.query,
            properties: Properties {
                strings: BTreeMap::from([("mode".to_owned(), self.mode)]),
                numbers: BTreeMap::from([("rank".to_owned(), self.rank)]),
            },
        };
        let id = Uuid::from_u128(u128::from(order) << 64);
        let ticket = Ticket::new(id, order as i64, draft, limits).expect("a good ticket");
        Arc::new(ticket.with_order(order))
    }
}

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    println!(
        "{:48} {:>8} {:>9} {:>9} {:>9} {:>8} {:>10} {:>5}",
        "shape", "tickets", "taken in", "pass 1", "pass 2", "matches", "steps", "cut"
    );
    for shape in SHAPES {
        for number in [10_000, 100_000] {
            let words = format!("{} {number}", shape.name);
            if asked.iter().all(|text| words.contains(text.as_str())) {
                run(shape, number);
            }
        }
    }
}

fn run(shape: &Shape, number: u64) {
    let shipped = config::Matchmaker::default();
    let limits = TicketLimits {
        query_bytes: shipped.max_query_bytes,
        properties: shipped.max_properties,
        expressions: Expressions::at_most(shipped.max_expressions),
    };
    let rules = Rules {
        max_intervals: shipped.max_intervals,
        mutual: shape.mutual,
        largest: shipped.max_users,
        steps: shipped.max_steps,
    };
    let tickets: Vec<_> = (1..=number).map(|order| (shape.make)(order).ticket(order, &limits)).collect();
    let mut pool = Pool::new(rules);
    let taken_in = timed(|| tickets.iter().for_each(|ticket| pool.add(ticket))).0;
    let (first, one) = timed(|| pool.pass(Watch::NEVER));
    let (second, two) = timed(|| pool.pass(Watch::NEVER));
    println!(
        "{:48} {number:8} {taken_in:8.3}s {first:8.3}s {second:8.3}s {:8} {:10} {:6}",
        shape.name,
        one.matches.len() + two.matches.len(),
        one.steps + two.steps,
        one.cut_short + two.cut_short,
    );
}

/// Seconds of processor time that it took, and its result: other work on the machine is not counted.
fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let begin = processor_seconds();
    let result = work();
    (processor_seconds() - begin, result)
}

/// What this thread has had of a processor, in seconds.
fn processor_seconds() -> f64 {
    let text =
        std::fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux kernel with scheduler statistics");
    let nanoseconds = text.split_whitespace().next().and_then(|first| first.parse::<u64>().ok());
    nanoseconds.expect("a number") as f64 / 1e9
}
