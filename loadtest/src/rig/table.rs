//! The results as tables for a reader, in Markdown.

use super::{
    catalogue::LATENCY_TURNS,
    machine::Conditions,
    numbers::{NOTHING, bar, figure as cell, grouped, ratio, two_digits},
    results::{Measured, Results, Values},
    row::Figure,
};

/// Kizuna beside Nakama and the floor, with what must be reached.
pub fn judged(results: &Results) -> String {
    let commit = &results.conditions.commit;
    let commit = if commit.is_empty() { String::new() } else { format!(", commit {commit}") };
    let mut text = head(&results.conditions, &commit);
    for group in groups(results) {
        text += &format!(
            "\n| {} | Nakama 3.40 | floor | Kizuna | to the floor | to Nakama | bar | |\n",
            group[0].row.group
        );
        text += "| --- | --- | --- | --- | --- | --- | --- | --- |\n";
        lines(&group).for_each(|(figure, values)| text += &judged_line(figure, values));
    }
    text + &verdict(results) + &faults(results)
}

/// Two servers beside each other.
pub fn compared(results: &Results) -> String {
    let mut text = head(&results.conditions, "");
    for group in groups(results) {
        text += &format!("\n| {} | A | B | B / A |\n| --- | --- | --- | --- |\n", group[0].row.group);
        lines(&group).for_each(|(figure, values)| text += &compared_line(figure, values));
    }
    text + &faults(results)
}

const PROMPT: &str = "Where latency is judged, the players ran before everything else on the machine, so that what is late is the server.\n";

fn head(conditions: &Conditions, commit: &str) -> String {
    let Conditions { date, processor, processors, kernel, rounds, seconds, .. } = conditions;
    let amounts = [conditions.sockets, conditions.logins, conditions.accounts].map(grouped);
    let [sockets, logins, accounts] = amounts;
    format!(
        "Measured on {date}{commit}; {processor}, {processors} processors, Linux {kernel}. Rounds: {rounds}; matches of {seconds} s, \
         {sockets} idle\nsockets, {logins} logins and reads of accounts, a store of {accounts} accounts. A figure is the median of the \
         rounds, with the\nlowest and the highest in brackets; a ratio the median of the rounds' ratios. Latency at 20,000 deliveries \
         a second is measured\n{LATENCY_TURNS} times in each round.\n{}",
        if conditions.prompt { PROMPT } else { "" }
    )
}

/// The rows of each table, in order.
fn groups(results: &Results) -> Vec<Vec<&Measured>> {
    let rows: Vec<_> = results.rows.iter().collect();
    rows.chunk_by(|one, other| one.row.group == other.row.group).map(<[_]>::to_vec).collect()
}

/// The figures of all rows, each a line.
fn lines<'a>(rows: &[&'a Measured]) -> impl Iterator<Item = (&'a Figure, &'a Values)> {
    rows.iter().flat_map(|row| row.row.figures.iter().zip(&row.figures))
}

fn judged_line(figure: &Figure, values: &Values) -> String {
    let nakama = figure.nakama.map_or(NOTHING, |nakama| nakama.text);
    let to_nakama = figure.nakama.zip(values.of(0)).map(|(nakama, ours)| ours.relative_to(nakama.value));
    let met = figure.bar.and_then(|bar| values.reaches(bar, figure.nakama.map(|nakama| nakama.value)));
    format!(
        "| {} | {nakama} | {} | {} | {} | {} | {} | {} |\n",
        figure.title,
        cell(values.of(1), values.unit),
        cell(values.of(0), values.unit),
        ratio(values.ratio(0, 1)),
        to_nakama.map_or(NOTHING.to_owned(), |ratio| two_digits(ratio.median)),
        figure.bar.map_or(NOTHING.to_owned(), |most| bar(most, values.unit)),
        match met {
            Some(true) => "met",
            Some(false) => "**not met**",
            None => "",
        },
    )
}

fn compared_line(figure: &Figure, values: &Values) -> String {
    let of = |subject| cell(values.of(subject), values.unit);
    format!("| {} | {} | {} | {} |\n", figure.title, of(0), of(1), ratio(values.ratio(1, 0)))
}

fn verdict(results: &Results) -> String {
    let rows: Vec<_> = results.rows.iter().collect();
    let missed: Vec<_> = lines(&rows).filter_map(missed).collect();
    match missed.as_slice() {
        [] => "\nEvery bar is met.\n".to_owned(),
        missed => format!("\nNot met: {}.\n", missed.join("; ")),
    }
}

/// Says what is not met, or was to be judged and could not be.
fn missed((figure, values): (&Figure, &Values)) -> Option<String> {
    let judged = values.reaches(figure.bar?, figure.nakama.map(|nakama| nakama.value));
    let why = match judged {
        Some(true) => return None,
        Some(false) => "",
        None => " (not measured)",
    };
    Some(format!("{}{why}", figure.title))
}

fn faults(results: &Results) -> String {
    let faults =
        results.rows.iter().flat_map(|row| row.faults.iter().map(|fault| format!("- {}, {fault}\n", row.name)));
    let faults: String = faults.collect();
    if faults.is_empty() { faults } else { format!("\nNot clean, and left out:\n{faults}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::results::tests::example;

    fn line<'a>(table: &'a str, title: &str) -> &'a str {
        table
            .lines()
            .find(|line| line.starts_with(&format!("| {title} |")))
            .unwrap_or_else(|| panic!("no {title} in\n{table}"))
    }

    const BOTH: [&str; 2] = ["Kizuna", "floor"];

    #[test]
    fn a_line_has_medians_spread_ratios_and_the_verdict() {
        let rounds: [&[_]; 2] = [&[Some(12.0), Some(14.3), Some(13.0)], &[Some(10.0), Some(11.0), Some(10.0)]];
        let table = judged(&example("paced-json", &rounds, &BOTH));
        assert_eq!(
            line(&table, "50 × 4 × 20 a second, JSON"),
            "| 50 × 4 × 20 a second, JSON | 22 to 26 µs | 10.0 µs (10.0–11.0) | 13.0 µs (12.0–14.3) | 1.30 (1.20–1.30) | 0.59 \
             | ≤ 1.3 × floor | met |"
        );
        assert!(
            table
                .starts_with("Measured on 2026-11-22, commit 0123abc; Some CPU, 2 processors, Linux 6.1.0. Rounds: 3;"),
            "{table}"
        );
        assert!(table.contains("\nEvery bar is met.\n"), "{table}");
    }

    #[test]
    fn missed_bars_are_named() {
        let table = judged(&example("account", &[&[Some(55.0)], &[]], &BOTH));
        assert!(line(&table, "`GET /v2/account`").ends_with("| – | 55.0 µs | – | 0.37 | ≤ 40 µs | **not met** |"));
        let missed = "Not met: `GET /v2/account`; `GET /v2/account`: a second (not measured).";
        assert!(table.contains(missed), "{table}");
    }

    #[test]
    fn what_went_wrong_is_told() {
        let mut results = example("start", &[&[None], &[]], &BOTH);
        results.rows[0].faults.push("Kizuna, round 1: ended".into());
        let table = judged(&results);
        assert!(table.ends_with("Not clean, and left out:\n- start, Kizuna, round 1: ended\n"), "{table}");
        assert!(table.contains("| ≤ 100 ms |"), "{table}");
    }

    #[test]
    fn of_two_servers_the_second_is_relative_to_the_first() {
        let table = compared(&example("paced-json", &[&[Some(10.0)], &[Some(9.0)]], &["A", "B"]));
        let line = line(&table, "50 × 4 × 20 a second, JSON");
        assert_eq!(line, "| 50 × 4 × 20 a second, JSON | 10.0 µs | 9.00 µs | 0.90 |");
        assert!(!table.contains("Nakama"), "{table}");
    }
}
