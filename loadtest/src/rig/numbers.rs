//! Figures as a reader sees them.

use super::row::{Bar, Unit};
use crate::stats::Summary;

/// What stands for a figure that is not there.
pub const NOTHING: &str = "–";

/// A bar.
pub fn bar(bar: Bar, unit: Unit) -> String {
    match bar {
        Bar::AtMost(most) => Scale::of(most, unit).bound(most),
        Bar::FloorTimes(most) => format!("≤ {most} × floor"),
        Bar::NakamaTimes(least) => format!("≥ {least} × Nakama"),
    }
}

/// A median with its unit; of several rounds with the lowest and the highest.
pub fn figure(summary: Option<Summary>, unit: Unit) -> String {
    summary.map_or_else(
        || NOTHING.to_owned(),
        |summary| {
            let scale = Scale::of(summary.median, unit);
            with_spread(summary, |value| scale.number(value), scale.unit)
        },
    )
}

/// A median alone, with its unit.
pub fn median(value: f64, unit: Unit) -> String {
    let scale = Scale::of(value, unit);
    scale.number(value) + scale.unit
}

/// A ratio; of several rounds with the lowest and the highest.
pub fn ratio(summary: Option<Summary>) -> String {
    summary.map_or_else(|| NOTHING.to_owned(), |summary| with_spread(summary, two_digits, ""))
}

/// A ratio of one number.
pub fn two_digits(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// A whole number with commas between thousands.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

fn with_spread(summary: Summary, text: impl Fn(f64) -> String, unit: &str) -> String {
    let (median, low, high) = (text(summary.median), text(summary.low), text(summary.high));
    if low == high { format!("{median}{unit}") } else { format!("{median}{unit} ({low}–{high})") }
}

/// How the numbers of one cell are written.
struct Scale {
    /// What they are divided by.
    divisor: f64,
    /// What follows them.
    unit: &'static str,
}

impl Scale {
    /// In a unit that suits `median`.
    fn of(median: f64, unit: Unit) -> Self {
        let (divisor, unit) = match unit {
            Unit::Rate => (1.0, ""),
            Unit::Size => (1.0, " KiB"),
            Unit::Times => (1.0, " ×"),
            Unit::Time if median < 1_000.0 => (1.0, " µs"),
            Unit::Time if median < 1_000_000.0 => (1_000.0, " ms"),
            Unit::Time => (1_000_000.0, " s"),
        };
        Self { divisor, unit }
    }

    /// With three digits that say something.
    fn number(&self, value: f64) -> String {
        let value = value / self.divisor;
        match value {
            ..10.0 => format!("{value:.2}"),
            ..100.0 => format!("{value:.1}"),
            ..1_000.0 => format!("{value:.0}"),
            _ => grouped(three_digits(value)),
        }
    }

    /// A round number as it is.
    fn bound(&self, most: f64) -> String {
        format!("≤ {}{}", most / self.divisor, self.unit)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a measured figure, not below 0")]
fn three_digits(value: f64) -> u64 {
    let step = 10_f64.powf(value.log10().floor() - 2.0);
    ((value / step).round() * step).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_a_unit_that_suits() {
        for (value, unit, shown) in [
            (1.184, Unit::Time, "1.18 µs"),
            (920.4, Unit::Time, "920 µs"),
            (37_000.0, Unit::Time, "37.0 ms"),
            (2_345_678.0, Unit::Time, "2.35 s"),
            (757_613.0, Unit::Rate, "758,000"),
            (4.704, Unit::Size, "4.70 KiB"),
            (1.32, Unit::Times, "1.32 ×"),
        ] {
            assert_eq!(median(value, unit), shown);
            assert_eq!(figure(Some(Summary { median: value, low: value, high: value }), unit), shown);
        }
    }

    #[test]
    fn a_spread_is_in_the_unit_of_its_median() {
        let summary = Summary { median: 1_200.0, low: 800.0, high: 12_000.0 };
        assert_eq!(figure(Some(summary), Unit::Time), "1.20 ms (0.80–12.0)");
        assert_eq!(ratio(Some(Summary { median: 1.05, low: 0.9, high: 1.1 })), "1.05 (0.90–1.10)");
        assert_eq!(figure(None, Unit::Time), NOTHING);
    }

    #[test]
    fn bars_are_round_numbers() {
        let shown = [
            (Bar::AtMost(80.0), "≤ 80 µs"),
            (Bar::AtMost(100_000.0), "≤ 100 ms"),
            (Bar::FloorTimes(1.3), "≤ 1.3 × floor"),
        ];
        assert!(shown.iter().all(|(value, text)| bar(*value, Unit::Time) == *text));
        assert_eq!(bar(Bar::AtMost(8.0), Unit::Size), "≤ 8 KiB");
    }
}
