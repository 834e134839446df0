//! Two runs side by side.

use crate::report::{Operation, Phase, ProcessUse, Report};
use std::fmt::Write;

/// One figure under its name.
type Figure = (String, f64);

/// A table of the figures that both runs have, with the ratio of the second to the first, and the names of those that only one has.
pub fn compare(a: &Report, b: &Report) -> String {
    let (first, second) = (figures(a), figures(b));
    let width = first.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(6);
    let mut table = format!("{:width$} {:>14} {:>14} {:>8}\n", "figure", "A", "B", "B / A");
    let mut alone = Vec::new();
    for (name, left) in &first {
        match second.iter().find(|(other, _)| other == name) {
            Some((_, right)) => table += &row(name, width, *left, *right),
            None => alone.push(format!("only in A: {name}")),
        }
    }
    let missing = second.iter().filter(|(name, _)| !first.iter().any(|(other, _)| other == name));
    alone.extend(missing.map(|(name, _)| format!("only in B: {name}")));
    for line in alone {
        table += &line;
        table.push('\n');
    }
    table
}

fn row(name: &str, width: usize, a: f64, b: f64) -> String {
    let ratio = match (a == 0.0, b == 0.0) {
        (true, true) => "=".to_owned(),
        (true, false) => "-".to_owned(),
        _ => format!("{:.3}", b / a),
    };
    let mut line = String::new();
    let _ = writeln!(line, "{name:width$} {a:>14.2} {b:>14.2} {ratio:>8}");
    line
}

fn figures(report: &Report) -> Vec<Figure> {
    report.phases.iter().flat_map(phase_figures).collect()
}

#[expect(clippy::cast_precision_loss, reason = "for reading")]
fn phase_figures(phase: &Phase) -> Vec<Figure> {
    let name = &phase.name;
    let mut figures = Vec::new();
    for (operation, values) in &phase.operations {
        figures
            .extend(operation_figures(values).map(|(figure, value)| (format!("{name} · {operation} {figure}"), value)));
    }
    if let Some(delivery) = phase.delivery {
        for (figure, value) in [("received", delivery.received), ("lost", delivery.lost)] {
            figures.push((format!("{name} · {figure}"), value as f64));
        }
    }
    figures.push((format!("{name} · errors"), phase.errors.values().sum::<u64>() as f64));
    let mut server = 0;
    for process in &phase.processes {
        server += u32::from(!process.harness);
        let role = if process.harness { "harness".to_owned() } else { format!("process {server}") };
        figures.extend(process_figures(process).map(|(figure, value)| (format!("{name} · {role} {figure}"), value)));
    }
    figures
}

fn operation_figures(operation: &Operation) -> impl Iterator<Item = (&'static str, f64)> {
    let latency = &operation.latency;
    let figures = [
        ("a second", operation.per_second),
        ("p50 µs", latency.p50_us),
        ("p99 µs", latency.p99_us),
        ("p99.9 µs", latency.p999_us),
        ("max µs", latency.max_us),
    ];
    figures.into_iter()
}

fn process_figures(process: &ProcessUse) -> impl Iterator<Item = (&'static str, f64)> {
    let figures = [
        ("processors", Some(process.processors)),
        ("µs an operation", process.us_per_operation),
        ("bytes a connection", process.bytes_per_connection),
    ];
    figures.into_iter().filter_map(|(name, value)| Some((name, value?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;

    fn line<'a>(table: &'a str, name: &str) -> &'a str {
        table.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} is not in\n{table}"))
    }

    #[test]
    fn ratios_are_of_the_second_run_to_the_first() {
        let table = compare(&example(1_000.0, 0), &example(1_500.0, 3));
        assert!(line(&table, "match · delivered p99 µs").ends_with("1.500"));
        assert!(line(&table, "match · delivered p50 µs").ends_with("1.000"));
        assert!(line(&table, "match · process 1 µs an operation").ends_with("1.000"));
        assert!(line(&table, "match · lost").ends_with('-'));
        assert!(line(&table, "match · errors").ends_with('='));
    }

    #[test]
    fn what_only_one_run_has_is_named() {
        let mut other = example(1.0, 0);
        other.phases[0].name = "login".into();
        let table = compare(&example(1.0, 0), &other);
        assert!(table.contains("only in A: match · errors") && table.contains("only in B: login · errors"));
    }
}
