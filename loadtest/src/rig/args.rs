//! The options of `measure`.

use crate::args::seconds;
use clap::Args;
use std::{path::PathBuf, time::Duration};

/// `measure`.
#[derive(Clone, Debug, Args)]
pub struct MeasureOptions {
    /// The server's executable; without it the one beside this program.
    #[arg(long, value_name = "FILE")]
    pub kizuna: Option<PathBuf>,
    /// The floor's executable; without it the one beside this program.
    #[arg(long, value_name = "FILE")]
    pub floor: Option<PathBuf>,
    /// Another Kizuna, B, which takes turns with --kizuna, A, instead of the floor. What is printed are ratios, B to A.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["floor", "write", "draw"])]
    pub against: Option<PathBuf>,
    /// Times that everything is measured; each server begins every other time.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Seconds that each row of matches is measured for.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "5")]
    pub seconds: Duration,
    /// Only these rows, by name, separated by commas. What is not a row is answered with the names of all.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with = "write")]
    pub rows: Vec<String>,
    /// Sockets of the rows about idle ones.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub sockets: u64,
    /// Players who sign in, and accounts that are read.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub logins: u64,
    /// Accounts in the store of the row about starting.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub accounts: u64,
    /// Folder to keep that store in, so that it need not be filled again by the next measurement.
    #[arg(long, value_name = "FOLDER", conflicts_with = "against")]
    pub keep: Option<PathBuf>,
    /// File to write all rounds' figures to, as JSON.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Document to write the tables into, between its lines `<!-- measured: begin -->` and `<!-- measured: end -->`.
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// File to draw the picture of processor time and memory to, as SVG.
    #[arg(long, value_name = "FILE", conflicts_with = "rows")]
    pub draw: Option<PathBuf>,
}
