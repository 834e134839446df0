//! What was measured, as it is saved.

use super::args::{Curve, GrowthOptions};
use crate::{
    figure::Point,
    report::{read_json, write_json},
    stats::Summary,
    tokens::unix_seconds,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};

/// All figures of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// Version of the harness.
    pub version: String,
    /// When the run began, in seconds since 1970.
    pub started_unix: u64,
    /// Rounds of each measurement.
    pub rounds: u32,
    /// Seconds for which matches were played.
    pub seconds: f64,
    /// What was measured, by curve.
    pub curves: BTreeMap<Curve, Vec<Measured>>,
}

/// The figures of one series at one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// What was done, or is shown.
    pub series: String,
    /// How much there was of what grows.
    pub size: u64,
    /// Values of all rounds, by quantity.
    pub figures: BTreeMap<Quantity, Vec<f64>>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Resident memory of one socket in KiB.
    KibEach,
    /// Processor time of one operation in microseconds.
    MicrosecondsEach,
    /// 99 of 100 operations take at most this many milliseconds.
    P99Milliseconds,
    /// Operations a second.
    PerSecond,
    /// From starting the process to its first answer in milliseconds.
    StartMilliseconds,
    /// Memory or files in MiB.
    Mib,
}

impl Growth {
    /// Nothing measured yet.
    pub fn new(options: &GrowthOptions) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            started_unix: unix_seconds(),
            rounds: options.rounds,
            seconds: options.seconds.as_secs_f64(),
            curves: BTreeMap::new(),
        }
    }

    /// Adds one round's value.
    pub fn add(&mut self, curve: Curve, series: &str, size: u64, quantity: Quantity, value: f64) {
        let measured = self.curves.entry(curve).or_default();
        let place = measured.iter().position(|one| one.series == series && one.size == size).unwrap_or_else(|| {
            measured.push(Measured { series: series.to_owned(), size, figures: BTreeMap::new() });
            measured.len() - 1
        });
        measured[place].figures.entry(quantity).or_default().push(value);
    }

    /// Writes the figures as JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, file: &Path) -> Result<(), String> {
        write_json(file, self)
    }

    /// Reads what [`Growth::write`] wrote.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn read(file: &Path) -> Result<Self, String> {
        read_json(file)
    }
}

impl Measured {
    /// The median of a quantity's rounds, with the lowest and the highest; `None` when there are none.
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
    pub fn point(&self, quantity: Quantity) -> Option<Point> {
        let values = self.figures.get(&quantity)?;
        let Summary { median, low, high } = Summary::of(values.iter().copied())?;
        let spread = (values.len() > 1).then_some((low, high));
        Some(Point { x: self.size as f64, y: median, spread })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Three rounds of one curve with two series.
    pub(in crate::growth) fn example() -> Growth {
        let mut growth =
            Growth { version: "0".into(), started_unix: 0, rounds: 3, seconds: 5.0, curves: BTreeMap::new() };
        for (size, cost) in [(1_000, 60.0), (10_000, 62.5)] {
            for round in [0.0, 3.0, 1.0] {
                growth.add(Curve::Stored, "new login", size, Quantity::MicrosecondsEach, cost + round);
                growth.add(Curve::Stored, "data folder", size, Quantity::Mib, cost * 10.0);
            }
        }
        growth
    }

    #[test]
    fn a_point_is_the_median_with_its_spread() {
        let growth = example();
        let login = &growth.curves[&Curve::Stored][0];
        let point = login.point(Quantity::MicrosecondsEach).unwrap();
        assert_eq!((point.x, point.y, point.spread), (1_000.0, 61.0, Some((60.0, 63.0))));
        assert_eq!(login.point(Quantity::Mib), None);
        let mut even = Growth { curves: BTreeMap::new(), ..growth };
        even.add(Curve::Sockets, "", 1, Quantity::Mib, 4.0);
        assert_eq!(even.curves[&Curve::Sockets][0].point(Quantity::Mib).unwrap().spread, None);
        even.add(Curve::Sockets, "", 1, Quantity::Mib, 2.0);
        assert_eq!(even.curves[&Curve::Sockets][0].point(Quantity::Mib).unwrap().y, 3.0);
    }

    #[test]
    fn figures_survive_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("growth.json");
        example().write(&file).unwrap();
        assert_eq!(Growth::read(&file).unwrap(), example());
        std::fs::write(&file, "[]").unwrap();
        assert!(Growth::read(&file).unwrap_err().contains("growth.json"));
    }
}
