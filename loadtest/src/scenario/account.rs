//! Reading accounts, each player its own.

use super::{Ledger, Run, workers};
use crate::{args::AccountOptions, http::HttpConnection, pacing::Pace, process::Per, report::Phase, stats::Faults};
use std::{collections::BTreeMap, sync::Arc};
use tokio::{task::JoinSet, time::Instant};

/// Signs the players in, unmeasured, and reads their accounts in turn.
///
/// # Errors
/// The players could not sign in.
pub async fn run(run: &Run, options: &AccountOptions) -> Result<Vec<Phase>, String> {
    let tokens = Arc::new(run.sessions(options.players).await?);
    let faults = Arc::new(Faults::default());
    let ledger = Ledger::new("account", &faults);
    let before = run.processes.snapshot();
    let start = Instant::now();
    let progress = run.progress("account", vec![("reads", ledger.meter.clone())], &faults);
    let pace = Arc::new(Pace::count(start, options.rate, options.count));
    readers(run, options.connections, &pace, &tokens, &ledger).join_all().await;
    drop(progress);
    let seconds = start.elapsed().as_secs_f64();
    let after = run.processes.snapshot();
    let done = ledger.meter.done();
    let per = Per { operations: done, connections: 0 };
    Ok(vec![Phase {
        name: "account".to_owned(),
        seconds,
        operations: BTreeMap::from([("account".to_owned(), ledger.meter.operation(done, seconds))]),
        errors: faults.kinds(),
        processes: run.processes.usage(&before, &after, seconds, per),
        ..Phase::default()
    }])
}

fn readers(run: &Run, connections: usize, pace: &Arc<Pace>, tokens: &Arc<Vec<String>>, ledger: &Ledger) -> JoinSet<()> {
    workers(connections, |worker| {
        let (run, pace, tokens, ledger) = (run.clone(), pace.clone(), tokens.clone(), ledger.clone());
        async move {
            let mut http = HttpConnection::new(&run.api.target);
            while let Some(turn) = pace.take(&run.timer).await {
                let Some(token) = usize::try_from(turn.number % tokens.len() as u64).ok().and_then(|at| tokens.get(at))
                else {
                    return;
                };
                let outcome = run.api.account(&mut http, token).await;
                ledger.write(worker, turn, outcome);
            }
        }
    })
}
