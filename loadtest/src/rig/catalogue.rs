//! What is measured, in the order of the tables. The figures of Nakama are of version 3.40 with PostgreSQL, measured beside the floor
//! on a machine with two processors; the bars are the design's.

use super::row::{Bar, Figure, Reading, Row, Work};

const REQUESTS: &str = "requests, 32 connections at full speed";
const SOCKETS: &str = "idle sockets";
const PACED: &str = "matches at a pace, each delivered message";
const UNPACED: &str = "matches as fast as it goes, each delivered message";
const LATENCY: &str = "latency at 20,000 deliveries a second";
const BESIDE: &str = "50 × 4 × 20 a second beside logins at full rate, RS256";
const LIFE: &str = "start and stop";

/// How often latency at a given rate is measured in each round. The p99 of a few seconds is about 0.25 ms or about 0.6 ms, of Kizuna as of
/// the floor, by how often the machine stood still meanwhile: the ratio of two such falls anywhere from 0.4 to 3, and the median of five of
/// them is still luck.
pub const LATENCY_TURNS: u32 = 3;

/// All rows.
pub fn all() -> Vec<Row> {
    [requests(), sockets(), paced(), unpaced(), latency(), beside(), life()].concat()
}

fn requests() -> Vec<Row> {
    let row = |name, line, figures| Row {
        name,
        group: REQUESTS,
        work: Work::Scenario(line),
        floor: false,
        turns: 1,
        figures,
    };
    let (new, again) = ("login, new players", "login, returning players");
    let plain = vec![
        Figure::processor_time("register, plain id", new).nakama("330 µs", 330.0).bar(Bar::AtMost(80.0)),
        Figure::rate("register, plain id: a second", new, "login").nakama("3,100", 3_100.0).bar(Bar::NakamaTimes(4.0)),
        Figure::processor_time("return, plain id", again).nakama("150 µs", 150.0).bar(Bar::AtMost(50.0)),
        Figure::rate("return, plain id: a second", again, "login").nakama("9,200", 9_200.0).bar(Bar::NakamaTimes(2.0)),
    ];
    let signed = vec![
        Figure::processor_time("register, RS256 token", new).bar(Bar::AtMost(90.0)),
        Figure::rate("register, RS256 token: a second", new, "login"),
        Figure::processor_time("return, RS256 token (verifying one alone: 26 µs)", again)
            .nakama("240 µs", 240.0)
            .bar(Bar::AtMost(90.0)),
        Figure::rate("return, RS256 token: a second", again, "login")
            .nakama("6,300", 6_300.0)
            .bar(Bar::NakamaTimes(2.0)),
    ];
    let (read, reads) = ("`GET /v2/account`", "`GET /v2/account`: a second");
    let account = vec![
        Figure::processor_time(read, "account").nakama("147 µs", 147.0).bar(Bar::AtMost(40.0)),
        Figure::rate(reads, "account", "account").nakama("8,700", 8_700.0).bar(Bar::NakamaTimes(2.5)),
    ];
    vec![
        row("login-plain", "login --count {logins} --connections 32", plain),
        row("login-rs256", "login --count {logins} --connections 32 --jwt-key {key}", signed),
        row("account", "account --count {logins} --players {players} --connections 32", account),
    ]
}

fn sockets() -> Vec<Row> {
    let memory = Figure::new("resident memory of one", "hold", Reading::Memory);
    let figures = vec![
        memory.nakama("27 to 36 KB", 27.0).bar(Bar::AtMost(8.0)),
        Figure::processor_time("open one", "open").nakama("103 µs", 103.0).bar(Bar::FloorTimes(1.5)),
        Figure::rate("open: a second", "open", "connect").nakama("9,800", 9_800.0),
    ];
    let of_four = Figure::new(
        "resident memory of a match of 4, beyond its sockets",
        "in matches",
        Reading::Bytes("bytes of a match"),
    );
    let row =
        |name, line, floor, figures| Row { name, group: SOCKETS, work: Work::Scenario(line), floor, turns: 1, figures };
    vec![
        row("sockets", "connect --count {sockets} --hold {hold}", true, figures),
        row(
            "match-memory",
            "connect --count {sockets} --hold {hold} --matches-of 4",
            false,
            vec![of_four.bar(Bar::AtMost(4.0))],
        ),
    ]
}

fn paced() -> Vec<Row> {
    let row = |name, work, title| matches(PACED, name, work, vec![message(title), p99(title)]);
    let mut rows = vec![
        row(
            "paced-json",
            "match --matches 50 --players 4 --rate 20 --format json {time}",
            "50 × 4 × 20 a second, JSON",
        ),
        row(
            "paced-protobuf",
            "match --matches 50 --players 4 --rate 20 --format protobuf {time}",
            "50 × 4 × 20 a second, protobuf",
        ),
        row(
            "paced-32-json",
            "match --matches 6 --players 32 --rate 4 --format json {time}",
            "6 × 32 × 4 a second, JSON",
        ),
        row(
            "paced-32-protobuf",
            "match --matches 6 --players 32 --rate 4 --format protobuf {time}",
            "6 × 32 × 4 a second, protobuf",
        ),
    ];
    known(&mut rows[0], &[("22 to 26 µs", 22.0), ("1.1 to 1.9 ms", 1_100.0)]);
    rows
}

fn unpaced() -> Vec<Row> {
    let rate = |title: &str| Figure::rate(format!("{title}: a second"), "match", "delivered");
    let row =
        |name, work, title| matches(UNPACED, name, work, vec![message(title), rate(title), p50(title), p99(title)]);
    let mut rows = vec![
        row(
            "unpaced-json",
            "match --matches 50 --players 4 --window 8 --format json {time}",
            "50 × 4, 8 in flight each, JSON",
        ),
        row(
            "unpaced-protobuf",
            "match --matches 50 --players 4 --window 8 --format protobuf {time}",
            "50 × 4, 8 in flight each, protobuf",
        ),
        row(
            "unpaced-32-json",
            "match --matches 6 --players 32 --window 2 --format json {time}",
            "6 × 32, 2 in flight each, JSON",
        ),
        row(
            "unpaced-32-protobuf",
            "match --matches 6 --players 32 --window 2 --format protobuf {time}",
            "6 × 32, 2 in flight each, protobuf",
        ),
    ];
    known(&mut rows[0], &[("10.8 µs", 10.8), ("111,000", 111_000.0), ("37 ms", 37_000.0)]);
    rows
}

fn latency() -> Vec<Row> {
    let row = |name, line, title| Row {
        work: Work::Prompt(line),
        turns: LATENCY_TURNS,
        ..matches(LATENCY, name, line, vec![p50(title), p99(title).bar(Bar::FloorTimes(1.5))])
    };
    vec![
        row(
            "latency-json",
            "match --matches 50 --players 4 --rate 33.34 --format json {time}",
            "50 × 4 × 33 a second, JSON",
        ),
        row(
            "latency-protobuf",
            "match --matches 50 --players 4 --rate 33.34 --format protobuf {time}",
            "50 × 4 × 33 a second, protobuf",
        ),
    ]
}

/// What play has to bear from logins at full rate.
fn beside() -> Vec<Row> {
    let phase = "match beside logins";
    let grown = Figure::new(
        "p99 relative to that without the logins",
        phase,
        Reading::Percent("p99 in percent of that without logins"),
    );
    let figures = vec![
        grown.bar(Bar::AtMost(1.5)),
        Figure::new("p99 beside the logins", phase, Reading::P99("delivered")),
        Figure::rate("logins meanwhile, by clients that yield to everything: a second", phase, "login"),
    ];
    let work = Work::Prompt("beside --matches 50 --players 4 --rate 20 --jwt-key {key} {time}");
    vec![Row { name: "beside", group: BESIDE, work, floor: false, turns: 1, figures }]
}

fn life() -> Vec<Row> {
    let once = |title, name| Figure::new(title, name, Reading::P50(name));
    let start = once("from the start to the first answer, with a full store", "start").bar(Bar::AtMost(100_000.0));
    // The default of shutdown_grace_sec.
    let stop = once("from SIGTERM to the end, with all idle sockets", "stop").bar(Bar::AtMost(5_000_000.0));
    vec![
        Row { name: "start", group: LIFE, work: Work::Start, floor: false, turns: 1, figures: vec![start] },
        Row { name: "stop", group: LIFE, work: Work::Stop, floor: false, turns: 1, figures: vec![stop] },
    ]
}

fn matches(group: &'static str, name: &'static str, line: &'static str, figures: Vec<Figure>) -> Row {
    Row { name, group, work: Work::Scenario(line), floor: true, turns: 1, figures }
}

fn message(title: &str) -> Figure {
    Figure::processor_time(title, "match").bar(Bar::FloorTimes(1.3))
}

fn p50(title: &str) -> Figure {
    Figure::new(format!("{title}: p50"), "match", Reading::P50("delivered"))
}

fn p99(title: &str) -> Figure {
    Figure::new(format!("{title}: p99"), "match", Reading::P99("delivered"))
}

/// Notes what Nakama took for the first figures of a row.
fn known(row: &mut Row, nakama: &[(&'static str, f64)]) {
    for (figure, (text, value)) in row.figures.iter_mut().zip(nakama) {
        *figure = figure.clone().nakama(text, *value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Arguments;
    use clap::Parser;
    use std::collections::BTreeSet;

    #[test]
    fn every_row_and_every_figure_has_a_name_of_its_own() {
        let rows = all();
        let names: BTreeSet<_> = rows.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), rows.len());
        let figures: Vec<_> = rows.iter().flat_map(|row| &row.figures).map(|figure| &figure.title).collect();
        assert_eq!(figures.iter().collect::<BTreeSet<_>>().len(), figures.len());
    }

    #[test]
    fn a_bar_that_is_relative_has_something_to_be_relative_to() {
        for row in all() {
            for figure in &row.figures {
                let known = match figure.bar {
                    Some(Bar::FloorTimes(_)) => row.floor,
                    Some(Bar::NakamaTimes(_)) => figure.nakama.is_some(),
                    Some(Bar::AtMost(_)) | None => true,
                };
                assert!(known, "{}: {}", row.name, figure.title);
            }
        }
    }

    #[test]
    fn every_scenario_is_a_command_line() {
        for row in all() {
            let (Work::Scenario(line) | Work::Prompt(line)) = row.work else { continue };
            let line = line.replace("{time}", "--duration 1").replace("{hold}", "1").replace("{key}", "file");
            let line = ["{logins}", "{players}", "{sockets}"].iter().fold(line, |line, word| line.replace(word, "9"));
            let words = std::iter::once("loadtest").chain(line.split(' '));
            Arguments::try_parse_from(words).unwrap_or_else(|why| panic!("{}: {why}", row.name));
        }
    }
}
