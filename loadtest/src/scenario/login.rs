//! Signing in: new players, then the same ones again.

use super::{Ledger, Run, login_workers};
use crate::{args::LoginOptions, pacing::Pace, process::Per, report::Phase, stats::Faults};
use std::{collections::BTreeMap, sync::Arc};
use tokio::time::Instant;

/// Runs the passes that are asked for.
///
/// # Errors
/// The players' credentials could not be made.
pub async fn run(run: &Run, options: &LoginOptions) -> Result<Vec<Phase>, String> {
    let both = options.new == options.returning;
    let players = if options.players == 0 { options.count } else { options.players };
    let mut phases = Vec::new();
    let first = pass(run, "login, new players", (0..players).collect(), options).await?;
    if both || options.new {
        phases.push(first);
    }
    if both || options.returning {
        let again = (0..options.count).map(|number| number % players).collect();
        phases.push(pass(run, "login, returning players", again, options).await?);
    }
    Ok(phases)
}

async fn pass(run: &Run, name: &str, players: Vec<u64>, options: &LoginOptions) -> Result<Phase, String> {
    let bodies = Arc::new(run.identities.bodies(players).await?);
    let faults = Arc::new(Faults::default());
    let ledger = Ledger::new("login", &faults);
    let before = run.processes.snapshot();
    let start = Instant::now();
    let progress = run.progress(name, vec![("logins", ledger.meter.clone())], &faults);
    let pace = Arc::new(Pace::count(start, options.rate, bodies.len() as u64));
    login_workers(run, &pace, &bodies, &ledger, options.connections).join_all().await;
    drop(progress);
    let seconds = start.elapsed().as_secs_f64();
    let after = run.processes.snapshot();
    let done = ledger.meter.done();
    let per = Per { operations: done, connections: 0 };
    Ok(Phase {
        name: name.to_owned(),
        seconds,
        operations: BTreeMap::from([("login".to_owned(), ledger.meter.operation(done, seconds))]),
        errors: faults.kinds(),
        processes: run.processes.usage(&before, &after, seconds, per),
        ..Phase::default()
    })
}
