//! More and more matches, and matches of more and more players: what a delivered message costs.

use super::{
    args::{Curve, GrowthOptions, sizes},
    bench::{Bench, microseconds_each, phase},
    data::{Growth, Quantity},
    say,
};

const MATCHES: &[u64] = &[10, 30, 100, 300, 1_000];
const PLAYERS: u64 = 4;
const RECEIVERS: &[u64] = &[1, 2, 4, 8, 16, 32, 64];
/// Deliveries a second in all matches together.
const DELIVERIES: f64 = 12_000.0;
/// Messages a second of each player, in the series whose deliveries grow with the matches. As many as the others at 500 matches.
const RATE: f64 = 2.0;
/// Deliveries a second in a single match. In a match of two each player sends half of them, by a socket of its own.
const OF_ONE_MATCH: f64 = 4_000.0;

/// One way of playing.
#[derive(Debug)]
struct Played<'a> {
    curve: Curve,
    series: &'a str,
    size: u64,
    matches: u64,
    players: u64,
    /// Messages a second of each player.
    rate: f64,
}

/// Measures all numbers of matches, round by round.
#[expect(clippy::cast_precision_loss, reason = "matches are far fewer than 2^53")]
pub(super) async fn matches(bench: &Bench, options: &GrowthOptions, growth: &mut Growth) -> Result<(), String> {
    bench.has_room_for(options.largest_matches * PLAYERS)?;
    for round in 1..=options.rounds {
        for size in sizes(MATCHES, options.largest_matches) {
            let constant = DELIVERIES / (size * PLAYERS * (PLAYERS - 1)) as f64;
            for (series, rate) in
                [("12,000 deliveries a second in all", constant), ("each player sends 2 a second", RATE)]
            {
                let played = Played { curve: Curve::Matches, series, size, matches: size, players: PLAYERS, rate };
                let told = play(bench, options, growth, &played).await?;
                say(&format!("{size} matches, {series}"), round, options, &told);
            }
        }
    }
    Ok(())
}

/// Measures all numbers of receivers, round by round.
#[expect(clippy::cast_precision_loss, reason = "players are far fewer than 2^53")]
pub(super) async fn receivers(bench: &Bench, options: &GrowthOptions, growth: &mut Growth) -> Result<(), String> {
    let series = "4,000 deliveries a second";
    for round in 1..=options.rounds {
        for size in sizes(RECEIVERS, options.largest_receivers) {
            let players = size + 1;
            let rate = OF_ONE_MATCH / (players * size) as f64;
            let played = Played { curve: Curve::Receivers, series, size, matches: 1, players, rate };
            let told = play(bench, options, growth, &played).await?;
            say(&format!("{size} receivers"), round, options, &told);
        }
    }
    Ok(())
}

/// Plays on a server of its own, writes down what it cost, and says it.
async fn play(
    bench: &Bench,
    options: &GrowthOptions,
    growth: &mut Growth,
    played: &Played<'_>,
) -> Result<String, String> {
    let Played { curve, series, size, matches, players, rate } = *played;
    let server = bench.server(&bench.folder("matches")?).await?;
    let seconds = options.seconds.as_secs_f64();
    let line = format!("match --matches {matches} --players {players} --rate {rate} --duration {seconds}");
    let report = bench.run(&server, &line).await?;
    server.stop().await?;
    let phase = phase(&report, "match")?;
    let each = microseconds_each(phase)?;
    let p99 = phase.operations.get("delivered").ok_or("nothing was delivered")?.latency.p99_us / 1e3;
    growth.add(curve, series, size, Quantity::MicrosecondsEach, each);
    growth.add(curve, series, size, Quantity::P99Milliseconds, p99);
    Ok(format!("{each:.1} µs a delivered message, p99 {p99:.2} ms"))
}
