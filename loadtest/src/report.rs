//! The figures of a run: as a table, as JSON, and beside those of another run.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, fmt, fs, path::Path};

/// All figures of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Version of the harness.
    pub version: String,
    /// Name of the scenario.
    pub scenario: String,
    /// Base URL of the server.
    pub target: String,
    /// When the run began, in seconds since 1970.
    pub started_unix: u64,
    /// The scenario's options.
    pub settings: serde_json::Value,
    /// Its parts, in order.
    pub phases: Vec<Phase>,
}

/// One part of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Phase {
    /// What was done, in a word or two: the same in all runs of a scenario.
    pub name: String,
    /// With what, for the reader.
    #[serde(default)]
    pub detail: String,
    /// How long it took.
    pub seconds: f64,
    /// Operations by name.
    pub operations: BTreeMap<String, Operation>,
    /// What became of match messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    /// Failures by kind.
    pub errors: BTreeMap<String, u64>,
    /// What processes spent.
    pub processes: Vec<ProcessUse>,
    /// Other counts, by name.
    #[serde(default)]
    pub counts: BTreeMap<String, u64>,
}

/// One kind of operation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Operation {
    /// How many were done.
    pub count: u64,
    /// How many a second.
    pub per_second: f64,
    /// How long they took.
    pub latency: Latency,
}

/// A distribution, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// The mean.
    pub mean_us: f64,
    /// The median.
    pub p50_us: f64,
    /// 90 of 100 are at most this.
    pub p90_us: f64,
    /// 99 of 100 are at most this.
    pub p99_us: f64,
    /// 999 of 1000 are at most this.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
}

/// What became of the messages of matches, over the whole run with its warm-up and its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Messages sent.
    pub sent: u64,
    /// Deliveries that should follow: one for each other player of the match.
    pub expected: u64,
    /// Deliveries that did, each counted once.
    pub received: u64,
    /// Deliveries that never came.
    pub lost: u64,
    /// Deliveries that came again.
    pub duplicated: u64,
    /// Deliveries that came after a later message of the same sender.
    pub reordered: u64,
    /// Messages with a payload that nobody had sent.
    pub damaged: u64,
}

/// What one process spent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ProcessUse {
    /// Its name.
    pub name: String,
    /// Its id.
    pub pid: u32,
    /// True: this is the harness itself.
    pub harness: bool,
    /// Processor time in seconds.
    pub processor_seconds: f64,
    /// The same as processors kept busy.
    pub processors: f64,
    /// Microseconds of processor time for each operation.
    pub us_per_operation: Option<f64>,
    /// Resident bytes at the start.
    pub resident_before: u64,
    /// Resident bytes at the end.
    pub resident_after: u64,
    /// Resident bytes that were added for each connection.
    pub bytes_per_connection: Option<f64>,
}

impl Delivery {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            expected: self.expected + other.expected,
            received: self.received + other.received,
            lost: self.lost + other.lost,
            duplicated: self.duplicated + other.duplicated,
            reordered: self.reordered + other.reordered,
            damaged: self.damaged + other.damaged,
        }
    }
}

impl Report {
    /// Whether nothing failed and every message came once, in order and whole.
    pub fn is_clean(&self) -> bool {
        self.phases.iter().all(|phase| {
            let delivery = phase.delivery.unwrap_or_default();
            let faults = [delivery.lost, delivery.duplicated, delivery.reordered, delivery.damaged];
            phase.errors.is_empty() && faults == [0; 4]
        })
    }

    /// Writes the figures as JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, file: &Path) -> Result<(), String> {
        write_json(file, self)
    }

    /// Reads what [`Report::write`] wrote.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn read(file: &Path) -> Result<Self, String> {
        read_json(file)
    }
}

/// Writes figures as JSON.
///
/// # Errors
/// The file cannot be written.
pub fn write_json(file: &Path, figures: &impl Serialize) -> Result<(), String> {
    let text = serde_json::to_string_pretty(figures).map_err(|error| error.to_string())?;
    fs::write(file, text + "\n").map_err(|error| format!("{}: {error}", file.display()))
}

/// Reads what [`write_json`] wrote.
///
/// # Errors
/// The file cannot be read, or holds something else.
pub fn read_json<T: DeserializeOwned>(file: &Path) -> Result<T, String> {
    let text = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", file.display()))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} against {}", self.scenario, self.target)?;
        self.phases.iter().try_for_each(|phase| write!(f, "\n{phase}"))
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = if self.detail.is_empty() { "" } else { ": " };
        writeln!(f, "{}{with}{}, {:.2} s", self.name, self.detail, self.seconds)?;
        self.write_operations(f)?;
        for (name, count) in &self.counts {
            writeln!(f, "  {name}: {count}")?;
        }
        if let Some(delivery) = &self.delivery {
            writeln!(f, "  {delivery}")?;
        }
        self.processes.iter().try_for_each(|process| writeln!(f, "  {process}"))?;
        for (kind, count) in &self.errors {
            writeln!(f, "  error: {count} × {kind}")?;
        }
        Ok(())
    }
}

impl Phase {
    fn write_operations(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.operations.is_empty() {
            return Ok(());
        }
        let width = self.operations.keys().map(String::len).max().unwrap_or(0).max(9);
        write!(f, "  {:width$} {:>10} {:>10}", "operation", "count", "a second")?;
        writeln!(f, " {:>10} {:>10} {:>10} {:>10} {:>10}", "p50", "p90", "p99", "p99.9", "max")?;
        for (name, operation) in &self.operations {
            let latency = &operation.latency;
            write!(f, "  {name:width$} {:>10} {:>10.1}", operation.count, operation.per_second)?;
            for value in [latency.p50_us, latency.p90_us, latency.p99_us, latency.p999_us, latency.max_us] {
                write!(f, " {:>10}", time(value))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, expected, received, lost, duplicated, reordered, damaged } = self;
        write!(f, "sent {sent}, to be delivered {expected}, delivered {received}: ")?;
        write!(f, "{lost} lost, {duplicated} duplicated, {reordered} reordered, {damaged} damaged")
    }
}

impl fmt::Display for ProcessUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = if self.harness { "harness" } else { "process" };
        write!(f, "{role} {} ({}): ", self.name, self.pid)?;
        write!(f, "{:.2} s of processor time, {:.2} processors", self.processor_seconds, self.processors)?;
        if let Some(each) = self.us_per_operation {
            write!(f, ", {each:.2} µs an operation")?;
        }
        write!(f, "; resident {} → {}", size(self.resident_before), size(self.resident_after))?;
        if let Some(each) = self.bytes_per_connection {
            write!(f, ", {:.2} KiB a connection", each / 1024.0)?;
        }
        Ok(())
    }
}

/// Microseconds in a unit that suits them.
fn time(us: f64) -> String {
    if us < 1_000.0 {
        format!("{us:.0} µs")
    } else if us < 1_000_000.0 {
        format!("{:.2} ms", us / 1e3)
    } else {
        format!("{:.2} s", us / 1e6)
    }
}

#[expect(clippy::cast_precision_loss, reason = "for reading")]
fn size(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1024.0 / 1024.0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A run of one phase with one of everything.
    pub(crate) fn example(p99_us: f64, lost: u64) -> Report {
        let latency = Latency { mean_us: 1.0, p50_us: 500.0, p90_us: 800.0, p99_us, p999_us: 2e6, max_us: 3e6 };
        let operation = Operation { count: 100, per_second: 10.0, latency };
        let server = ProcessUse { name: "floor".into(), pid: 1, us_per_operation: Some(9.5), ..ProcessUse::default() };
        let harness = ProcessUse { name: "loadtest".into(), pid: 2, harness: true, ..ProcessUse::default() };
        let phase = Phase {
            name: "match".into(),
            seconds: 10.0,
            operations: BTreeMap::from([("delivered".to_owned(), operation)]),
            delivery: Some(Delivery { sent: 10, expected: 30, received: 30 - lost, lost, ..Delivery::default() }),
            processes: vec![server, harness],
            ..Phase::default()
        };
        Report {
            version: "0".into(),
            scenario: "match".into(),
            target: "http://x".into(),
            started_unix: 0,
            settings: serde_json::json!({}),
            phases: vec![phase],
        }
    }

    #[test]
    fn the_table_names_what_was_measured() {
        let table = example(1_500.0, 2).to_string();
        for text in
            ["delivered", "500 µs", "1.50 ms", "2.00 s", "2 lost", "9.50 µs an operation", "harness loadtest (2)"]
        {
            assert!(table.contains(text), "{text} is not in\n{table}");
        }
    }

    #[test]
    fn a_loss_or_an_error_makes_a_run_unclean() {
        assert!(example(1.0, 0).is_clean());
        assert!(!example(1.0, 1).is_clean());
        let mut failed = example(1.0, 0);
        failed.phases[0].errors.insert("login: http 500".into(), 1);
        assert!(!failed.is_clean());
    }

    #[test]
    fn figures_survive_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.json");
        let report = example(1.5, 0);
        report.write(&file).unwrap();
        assert_eq!(Report::read(&file).unwrap().to_string(), report.to_string());
        fs::write(&file, "{}").unwrap();
        assert!(Report::read(&file).unwrap_err().contains("a.json"));
    }
}
