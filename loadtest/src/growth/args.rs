//! The options of `growth`.

use crate::args::{positive, seconds};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// `growth`.
#[derive(Clone, Debug, Args)]
pub struct GrowthOptions {
    /// The server; without it `kizuna` in the folder of this program.
    #[arg(long, value_name = "PATH")]
    pub kizuna: Option<PathBuf>,
    /// What to measure, separated by commas; without it everything.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Curve::ALL)]
    pub curves: Vec<Curve>,
    /// Rounds of each measurement: the median is drawn, with the lowest and the highest.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Seconds for which matches are played.
    #[arg(long, value_name = "SECONDS", value_parser = positive, default_value = "5")]
    pub seconds: Duration,
    /// Seconds for which sockets are held.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "3")]
    pub hold: Duration,
    /// The most sockets.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub largest_sockets: u64,
    /// The most matches of four.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub largest_matches: u64,
    /// The most stored accounts.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub largest_store: u64,
    /// The most receivers of a message.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=255))]
    pub largest_receivers: u64,
    /// File to write the figures to, as JSON; after each curve, so that an interrupted run has left something.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Folder to draw to: growth-sockets.svg and so on.
    #[arg(long, value_name = "FOLDER")]
    pub draw: Option<PathBuf>,
    /// Measure nothing: draw what an earlier run wrote with --out.
    #[arg(long, value_name = "FILE", requires = "draw", conflicts_with_all = ["kizuna", "out"])]
    pub from: Option<PathBuf>,
}

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Curve {
    /// Idle sockets.
    Sockets,
    /// Matches of four players.
    Matches,
    /// Receivers of each message of one match.
    Receivers,
    /// Stored accounts.
    Stored,
}

impl Curve {
    /// All of them, the slowest last.
    pub const ALL: [Self; 4] = [Self::Sockets, Self::Matches, Self::Receivers, Self::Stored];

    /// As it stands on the command line and in file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sockets => "sockets",
            Self::Matches => "matches",
            Self::Receivers => "receivers",
            Self::Stored => "stored",
        }
    }
}

/// The sizes to measure at: the usual ones up to `largest`, and `largest` itself.
pub(super) fn sizes(usual: &[u64], largest: u64) -> Vec<u64> {
    usual.iter().copied().filter(|size| *size < largest).chain([largest]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Arguments, Command};
    use clap::Parser;

    fn parse(line: &str) -> GrowthOptions {
        let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
        let Command::Growth(options) = arguments.command else { panic!("not growth") };
        options
    }

    #[test]
    fn everything_is_measured_unless_curves_are_named() {
        assert_eq!(parse("loadtest growth").curves, Curve::ALL);
        assert_eq!(parse("loadtest growth --curves stored,matches").curves, [Curve::Stored, Curve::Matches]);
        for curve in Curve::ALL {
            assert_eq!(parse(&format!("loadtest growth --curves {}", curve.name())).curves, [curve]);
        }
    }

    #[test]
    fn the_largest_size_is_always_among_those_measured() {
        assert_eq!(sizes(&[10, 30, 100], 100), [10, 30, 100]);
        assert_eq!(sizes(&[10, 30, 100], 50), [10, 30, 50]);
        assert_eq!(sizes(&[10, 30, 100], 2), [2]);
    }
}
