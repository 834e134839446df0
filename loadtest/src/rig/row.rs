//! What a row of the tables is: the work, what is read from its report, and what must be reached.

use crate::report::{Phase, Report};
use serde::Serialize;

/// One piece of work, of which some figures are read.
#[derive(Clone, Debug)]
pub struct Row {
    /// What `--rows` calls it.
    pub name: &'static str,
    /// The table that it stands in.
    pub group: &'static str,
    /// What is done.
    pub work: Work,
    /// Whether the floor can do it.
    pub floor: bool,
    /// How often it is done in each round: more often where single figures scatter.
    pub turns: u32,
    /// What is read: a line of the table each.
    pub figures: Vec<Figure>,
}

/// How a row is done.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// A scenario of this program, as on the command line; [`super::work`] fills in the `{words}`.
    Scenario(&'static str),
    /// One whose clients run before everything else on the machine, where the system lets them: what is late then is the server.
    Prompt(&'static str),
    /// From the start of the process to the first answer, with a full store.
    Start,
    /// From the signal to the end of the process, with many sockets.
    Stop,
}

/// One figure of a row.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The line's title; no other of the catalogue has it.
    pub title: String,
    /// The phase of the report that it is in, by name.
    pub phase: &'static str,
    /// What it is.
    pub reading: Reading,
    /// What Nakama took.
    pub nakama: Option<Reference>,
    /// What Kizuna must reach.
    pub bar: Option<Bar>,
}

/// What is read from a phase.
#[derive(Clone, Copy, Debug)]
pub enum Reading {
    /// The server's processor time for one operation.
    ProcessorTime,
    /// How often this operation was done.
    Rate(&'static str),
    /// The median latency of this operation.
    P50(&'static str),
    /// The latency that 99 of 100 of this operation do not exceed.
    P99(&'static str),
    /// Resident memory for one connection.
    Memory,
    /// A count of bytes, by name.
    Bytes(&'static str),
    /// A count of percent, by name.
    Percent(&'static str),
}

/// What a figure is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Microseconds.
    #[serde(rename = "µs")]
    Time,
    /// So many a second.
    #[serde(rename = "a second")]
    Rate,
    /// KiB.
    #[serde(rename = "KiB")]
    Size,
    /// So many times something else.
    #[serde(rename = "times")]
    Times,
}

/// A figure of Nakama's, measured once on a machine of the same kind.
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    /// As the table shows it.
    pub text: &'static str,
    /// What ratios are relative to, in the figure's unit. Where runs differed it is the one that is best for Nakama.
    pub value: f64,
}

/// What Kizuna's median must reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bar {
    /// At most this, in the figure's unit.
    AtMost(f64),
    /// At most so many times the floor's, in the median of the rounds.
    FloorTimes(f64),
    /// At least so many times Nakama's.
    NakamaTimes(f64),
}

impl Figure {
    /// Processor time for an operation of `phase`.
    pub fn processor_time(title: impl Into<String>, phase: &'static str) -> Self {
        Self::new(title, phase, Reading::ProcessorTime)
    }

    /// Operations of `phase` a second.
    pub fn rate(title: impl Into<String>, phase: &'static str, operation: &'static str) -> Self {
        Self::new(title, phase, Reading::Rate(operation))
    }

    /// What `reading` finds in `phase`.
    pub fn new(title: impl Into<String>, phase: &'static str, reading: Reading) -> Self {
        Self { title: title.into(), phase, reading, nakama: None, bar: None }
    }

    /// With what Nakama took: as text, and as the number that ratios are relative to.
    #[must_use]
    pub fn nakama(self, text: &'static str, value: f64) -> Self {
        Self { nakama: Some(Reference { text, value }), ..self }
    }

    /// With what must be reached.
    #[must_use]
    pub fn bar(self, bar: Bar) -> Self {
        Self { bar: Some(bar), ..self }
    }

    /// Its unit.
    pub fn unit(&self) -> Unit {
        match self.reading {
            Reading::ProcessorTime | Reading::P50(_) | Reading::P99(_) => Unit::Time,
            Reading::Rate(_) => Unit::Rate,
            Reading::Memory | Reading::Bytes(_) => Unit::Size,
            Reading::Percent(_) => Unit::Times,
        }
    }

    /// The figure in its unit, if the report has it.
    #[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^53")]
    pub fn read(&self, report: &Report) -> Option<f64> {
        let phase = report.phases.iter().find(|phase| phase.name == self.phase)?;
        let operation = |name: &str| phase.operations.get(name);
        let count = |name: &str| phase.counts.get(name).map(|count| *count as f64);
        match self.reading {
            Reading::ProcessorTime => server(phase)?.us_per_operation,
            Reading::Rate(name) => operation(name).map(|operation| operation.per_second),
            Reading::P50(name) => operation(name).map(|operation| operation.latency.p50_us),
            Reading::P99(name) => operation(name).map(|operation| operation.latency.p99_us),
            Reading::Memory => server(phase)?.bytes_per_connection.map(|bytes| bytes / 1024.0),
            Reading::Bytes(name) => count(name).map(|bytes| bytes / 1024.0),
            Reading::Percent(name) => count(name).map(|percent| percent / 100.0),
        }
    }
}

fn server(phase: &Phase) -> Option<&crate::report::ProcessUse> {
    phase.processes.iter().find(|process| !process.harness)
}
