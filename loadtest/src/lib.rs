//! A load harness for any Nakama-compatible server.
//!
//! A run reads top to bottom in `scenario/`: players sign in (`tokens`, `nakama`), operations are handed out at their moments
//! (`pacing`), latencies and failures are written down (`stats`), what the server's process spent is read from `/proc`
//! (`process`), and all of it becomes a [`report::Report`].

pub mod args;
pub mod client;
pub mod compare;
pub mod figure;
pub mod growth;
pub mod http;
pub mod identity;
pub mod interrupt;
pub mod keys;
pub mod losses;
pub mod memory;
pub mod nakama;
pub mod pacing;
pub mod payload;
pub mod player;
pub mod process;
pub mod progress;
pub mod report;
pub mod rig;
pub mod scenario;
pub mod server;
pub mod stats;
pub mod target;
pub mod tokens;
pub mod trial;

use args::{Arguments, Command, Common, CompareOptions, KeysOptions};
use report::{Phase, Report};
use scenario::{
    Run, account, beside, churn, connect, endure, flood, hostile, login, matches, matchmaker, mix, party, rotate,
};

/// Does what the command line says; false when a run was not clean.
///
/// # Errors
/// Why it could not be done.
pub fn execute(arguments: &Arguments) -> Result<bool, String> {
    match &arguments.command {
        Command::Keys(options) => write_keys(options).map(|()| true),
        Command::Compare(options) => print_comparison(options).map(|()| true),
        Command::Measure(options) => rig::execute(options),
        Command::Identity(tool) => identity::execute(tool),
        Command::Growth(options) => growth::execute(options),
        command => run(command),
    }
}

fn run(command: &Command) -> Result<bool, String> {
    let (name, common, settings) = match command {
        Command::Login(options) => ("login", &options.common, serde_json::to_value(options)),
        Command::Account(options) => ("account", &options.common, serde_json::to_value(options)),
        Command::Connect(options) => ("connect", &options.common, serde_json::to_value(options)),
        Command::Match(options) => ("match", &options.common, serde_json::to_value(options)),
        Command::Mix(options) => ("mix", &options.common, serde_json::to_value(options)),
        Command::Party(options) => ("party", &options.common, serde_json::to_value(options)),
        Command::Matchmaker(options) => ("matchmaker", &options.common, serde_json::to_value(options)),
        Command::Churn(options) => ("churn", &options.common, serde_json::to_value(options)),
        Command::Endure(options) => ("endure", &options.common, serde_json::to_value(options)),
        Command::Rotate(options) => ("rotate", &options.common, serde_json::to_value(options)),
        Command::Flood(options) => ("flood", &options.common, serde_json::to_value(options)),
        Command::Hostile(options) => ("hostile", &options.common, serde_json::to_value(options)),
        Command::Beside(options) => ("beside", &options.common, serde_json::to_value(options)),
        Command::Keys(_) | Command::Measure(_) | Command::Compare(_) | Command::Identity(_) | Command::Growth(_) => {
            return Err("not a scenario".into());
        }
    };
    let open_files = target::raise_open_files();
    if sockets(command) + 64 > open_files {
        return Err(format!(
            "the limit on open files is {open_files}: raise it with ulimit -n, or ask for fewer sockets"
        ));
    }
    let started_unix = tokens::unix_seconds();
    let phases = runtime(common)?.block_on(phases(command, common))?;
    let report = Report {
        version: env!("CARGO_PKG_VERSION").into(),
        scenario: name.into(),
        target: common.base.to_string(),
        started_unix,
        settings: settings.map_err(|error| error.to_string())?,
        phases,
    };
    progress::print(&report.to_string());
    if let Some(file) = &common.out {
        report.write(file)?;
    }
    Ok(report.is_clean())
}

/// Sockets that a scenario has open at once.
fn sockets(command: &Command) -> u64 {
    match command {
        Command::Login(options) => options.connections as u64,
        Command::Account(options) => options.connections as u64,
        Command::Connect(options) => options.count,
        Command::Match(options) => matches::players(&options.play),
        Command::Mix(options) => matches::players(&options.play) + options.idle + 2 * options.connections as u64,
        Command::Party(options) => party::players(options),
        Command::Matchmaker(options) => options.players,
        // One that is dropped may linger while its player signs in and comes back.
        Command::Churn(options) => 2 * churn::players(options),
        // As with churn, twice for those who reconnect.
        Command::Endure(options) => 2 * (endure::players(options) + options.idle + options.connections as u64) + 64,
        Command::Rotate(options) => options.connections as u64 + 64,
        Command::Flood(options) => (options.connections + options.flood_connections) as u64 + 64,
        Command::Hostile(options) => matches::players(&options.play) + 256 * options.hostile as u64,
        Command::Beside(options) => matches::players(&options.play) + options.connections as u64 + 64,
        Command::Keys(_) | Command::Measure(_) | Command::Compare(_) | Command::Identity(_) | Command::Growth(_) => 0,
    }
}

fn runtime(common: &Common) -> Result<tokio::runtime::Runtime, String> {
    let mut builder = match common.threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if common.threads > 1 {
        builder.worker_threads(common.threads);
    }
    builder.enable_all().build().map_err(|error| error.to_string())
}

async fn phases(command: &Command, common: &Common) -> Result<Vec<Phase>, String> {
    let run = Run::open(common)?;
    match command {
        Command::Login(options) => login::run(&run, options).await,
        Command::Account(options) => account::run(&run, options).await,
        Command::Connect(options) => connect::run(&run, options).await,
        Command::Match(options) => matches::run(&run, options).await,
        Command::Mix(options) => mix::run(&run, options).await,
        Command::Party(options) => party::run(&run, options).await,
        Command::Matchmaker(options) => matchmaker::run(&run, options).await,
        Command::Churn(options) => churn::run(&run, options).await,
        Command::Endure(options) => endure::run(&run, options).await,
        Command::Rotate(options) => rotate::run(&run, options).await,
        Command::Flood(options) => flood::run(&run, options).await,
        Command::Hostile(options) => hostile::run(&run, options).await,
        Command::Beside(options) => beside::run(&run, options).await,
        Command::Keys(_) | Command::Measure(_) | Command::Compare(_) | Command::Identity(_) | Command::Growth(_) => {
            Ok(Vec::new())
        }
    }
}

fn write_keys(options: &KeysOptions) -> Result<(), String> {
    let key = keys::SigningKey::generate()?;
    let (private, public) = key.write(&options.folder)?;
    let (private, public) = (private.display(), public.display());
    progress::print(&format!(
        "{private}  signs (--jwt-key)\n{public}  verifies (jwks = {{ file = \"{public}\" }}), kid {}\n",
        key.kid
    ));
    Ok(())
}

fn print_comparison(options: &CompareOptions) -> Result<(), String> {
    let (a, b) = (Report::read(&options.a)?, Report::read(&options.b)?);
    progress::print(&compare::compare(&a, &b));
    Ok(())
}
