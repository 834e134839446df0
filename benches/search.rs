//! What searches cost: `cargo bench --bench search`. docs/performance.md has some figures.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use kizuna::search::{Document, Filter, Index, Query, Steps};
use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

const REGIONS: [&str; 4] = ["eu", "us", "asia", "africa"];
const MODES: [&str; 3] = ["duel", "team", "royale"];

/// Hits after which a matchmaker usually has what it needs.
const WANTED: usize = 8;

fn main() {
    for count in [10_000, 100_000] {
        println!("{count} documents");
        let (index, time) = timed(|| build(count));
        report("add", count, time);
        searches(&index);
        pass(count);
        churn(count);
        println!();
    }
}

/// A generator of numbers that look random enough, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

fn ticket(numbers: &mut Numbers, key: usize) -> Document {
    let rank = numbers.below(1_000) as f64 / 10.0;
    Document::new()
        .term("ticket", &format!("{key:032x}"))
        .term("party_id", "")
        .number("min_count", 2.0)
        .number("max_count", [2.0, 4.0, 8.0][numbers.below(3)])
        .number("created_at", key as f64)
        .text("properties.region", REGIONS[numbers.below(REGIONS.len())])
        .text("properties.mode", MODES[numbers.below(MODES.len())])
        .text("properties.name", &format!("player{:05}", numbers.below(100_000)))
        .number("properties.rank", rank)
        .number("properties.same", rank)
}

fn build(count: usize) -> Index<usize> {
    let (mut index, mut numbers) = (Index::new(), Numbers(1));
    (0..count).for_each(|key| index.insert(key, ticket(&mut numbers, key)));
    index
}

/// What a player of this rank asks for, as most games write it.
fn usual(numbers: &mut Numbers, width: f64) -> Query {
    let (region, rank) = (REGIONS[numbers.below(4)], numbers.below(1_000) as f64 / 10.0);
    let text = format!(
        "+properties.region:{region} +properties.rank:>={:.1} +properties.rank:<={:.1} properties.mode:duel^2",
        (rank - width).max(0.0),
        rank + width
    );
    Query::parse(&text).expect("a query")
}

fn searches(index: &Index<usize>) {
    for (name, width, rounds) in [("usual, ranks 10 apart", 5.0, 100_000), ("usual, ranks 0.2 apart", 0.1, 100_000)] {
        let mut numbers = Numbers(2);
        let queries: Vec<Query> = (0..1_000).map(|_| usual(&mut numbers, width)).collect();
        run(index, name, &queries, rounds, WANTED);
    }
    for (name, text, rounds, wanted) in [
        ("everything", "*", 100_000, WANTED),
        ("one should", "properties.mode:duel", 100_000, WANTED),
        ("only a must-not", "-properties.mode:duel", 100_000, WANTED),
        ("nothing, by terms that exclude each other", "+properties.mode:duel +properties.mode:team", 10_000, WANTED),
        ("nothing, by ranges that exclude each other", "+properties.rank:<50 +properties.same:>=50", 500, WANTED),
        ("three shoulds", "properties.mode:duel^3 properties.region:eu^2 properties.rank:>50^2", 2_000, WANTED),
        (
            "seven shoulds",
            "properties.mode:duel^3 properties.mode:team properties.mode:royale properties.region:eu^2 \
             properties.region:us properties.region:asia properties.rank:>50^2",
            100,
            WANTED,
        ),
        (
            "three shoulds, every hit",
            "properties.mode:duel^3 properties.region:eu^2 properties.rank:>50",
            100,
            usize::MAX,
        ),
        ("a wildcard with a beginning", "+properties.name:player000*", 2_000, WANTED),
        ("a wildcard without", "+properties.name:*99", 1_000, WANTED),
        ("a wildcard that nothing fits", "+properties.name:*x", 50, WANTED),
        ("a regular expression that nothing fits", "+properties.name:/.*x/", 50, WANTED),
        ("a fuzzy term", "+properties.name:player12345~1", 50, WANTED),
        ("a regular expression of few terms", "+properties.mode:/duel|team/", 10_000, WANTED),
    ] {
        run(index, name, &[Query::parse(text).expect("a query")], rounds, wanted);
    }
}

fn run(index: &Index<usize>, name: &str, queries: &[Query], rounds: usize, wanted: usize) {
    let filters = [Filter::AtLeast("min_count", 2.0), Filter::AtMost("max_count", 4.0)];
    let (hits, time) = timed(|| {
        let mut hits = 0;
        for round in 0..rounds {
            let mut seen = 0;
            let _ = index.search(&queries[round % queries.len()], &filters, &Steps::unbounded(), |_, _| {
                seen += 1;
                if seen == wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            hits += seen;
        }
        hits
    });
    report(&format!("{name} ({:.1} hits)", hits as f64 / rounds as f64), rounds, time);
}

/// All search, oldest first; whoever finds three others leaves with them.
fn pass(count: usize) {
    let mut index = build(count);
    let mut numbers = Numbers(3);
    let queries: Vec<Query> = (0..count).map(|_| usual(&mut numbers, 5.0)).collect();
    let (searched, time) = timed(|| {
        let mut searched = 0;
        for (key, query) in queries.iter().enumerate() {
            if index.get(&key).is_none() {
                continue;
            }
            searched += 1;
            let mut others = Vec::new();
            let _ = index.search(query, &[Filter::AtLeast("min_count", 2.0)], &Steps::unbounded(), |found, _| {
                others.extend((found != key).then_some(found));
                if others.len() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            if others.len() == 3 {
                others.iter().chain([&key]).for_each(|matched| _ = index.remove(matched));
            }
        }
        searched
    });
    report(&format!("a pass that matches fours, {searched} searches, {} left", index.len()), 1, time);
}

/// As many as there are leave, oldest first, and as many come.
fn churn(count: usize) {
    let (mut index, mut numbers) = (build(count), Numbers(4));
    let documents: Vec<Document> = (count..2 * count).map(|key| ticket(&mut numbers, key)).collect();
    let ((), time) = timed(|| {
        for (at, document) in documents.into_iter().enumerate() {
            index.remove(&at);
            index.insert(count + at, document);
        }
    });
    report("one leaves and one comes", count, time);
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let (began, had_run) = (Instant::now(), has_run());
    let result = work();
    let run = has_run().zip(had_run).map(|(now, before)| now - before);
    (result, run.unwrap_or_else(|| began.elapsed()))
}

/// How long the processor has been on this thread, where the system tells: what else runs on the machine does not lengthen it.
fn has_run() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

fn report(name: &str, rounds: usize, time: Duration) {
    println!("  {name:<60} {rounds:>7} in {:>9.1?}  {:>10.2?} each", time, time / rounds as u32);
}
