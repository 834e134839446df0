//! Everything at once: what players do while others sign in.

use super::{Ledger, Run, TOKEN_AGE, connect::Idle, login_workers, matches, workers};
use crate::{
    args::MixOptions,
    http::HttpConnection,
    pacing::Pace,
    player::Go,
    process::Per,
    report::{Delivery, Operation, Phase},
    stats::{Fault, Faults},
};
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc};
use tokio::{task::JoinSet, time::Instant};

/// Handshakes of idle sockets under way at once.
const OPENING: usize = 64;

/// Signs in, reads accounts, waits and plays at the same time.
///
/// # Errors
/// The matches could not be set up, or the players' credentials could not be made.
pub async fn run(run: &Run, options: &MixOptions) -> Result<Vec<Phase>, String> {
    let play = &options.play;
    let known = matches::players(play).max(options.idle).max(options.connections as u64);
    let tokens = run.sessions(known).await?;
    let faults = Arc::new(Faults::default());
    let (logins, accounts) = (Ledger::new("login", &faults), Ledger::new("account", &faults));
    let credentials = Arc::new(run.identities.bodies(login_players(options, known)).await?);
    let readers = run.identities.bodies((0..options.connections as u64).collect()).await?;
    let idle = open_idle(run, options, &tokens, &faults).await;
    let count = usize::try_from(matches::players(play)).unwrap_or(usize::MAX);
    let field = matches::Field::set_up(run, play, None, &tokens[..count]).await?;
    let stage = field.stage.clone();
    let meters = vec![
        ("logins", logins.meter.clone()),
        ("reads", accounts.meter.clone()),
        ("delivered", stage.delivered.clone()),
    ];
    let progress = run.progress("mix", meters, &faults);

    let go = field.start(play);
    let mut requests = JoinSet::new();
    if options.logins > 0.0 {
        let pace = Arc::new(Pace::until(go.measured_from, options.logins, go.end));
        let work = login_workers(run, &pace, &credentials, &logins, options.connections);
        requests.spawn(async move { drop(work.join_all().await) });
    }
    if options.accounts > 0.0 {
        let work = account_workers(run, options, go, readers, &accounts);
        requests.spawn(async move { drop(work.join_all().await) });
    }
    let (from, to) = field.measure(run, go).await;
    requests.join_all().await;
    let still_open = idle.open_now();
    let delivery = field.finish(play.drain).await;
    idle.close().await;
    drop(progress);

    let seconds = (to.at - from.at).as_secs_f64();
    let mut operations: BTreeMap<String, Operation> = BTreeMap::new();
    for ledger in [&logins, &accounts] {
        operations.insert(ledger.name.to_owned(), ledger.meter.operation(ledger.meter.done(), seconds));
    }
    operations.insert("delivered".to_owned(), stage.delivered.operation(to.delivered - from.delivered, seconds));
    let mut errors = faults.kinds();
    errors.extend(stage.faults.kinds());
    Ok(vec![Phase {
        name: "mix".to_owned(),
        detail: detail(options),
        seconds,
        operations,
        delivery: (delivery != Delivery::default()).then_some(delivery),
        errors,
        processes: run.processes.usage(&from.processes, &to.processes, seconds, Per::default()),
        counts: BTreeMap::from([("idle sockets open at the end".to_owned(), still_open)]),
    }])
}

fn detail(options: &MixOptions) -> String {
    let MixOptions { play, logins, accounts, idle, .. } = options;
    let matches = format!("{} × {} players, {} a second each", play.matches, play.players, play.rate);
    format!("{matches}; {logins} logins and {accounts} account reads a second; {idle} idle sockets")
}

/// Who signs in, turn by turn: new players beyond those known, spread evenly among returning ones.
fn login_players(options: &MixOptions, known: u64) -> Vec<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, rounded up")]
    let count = (options.logins * options.play.duration.as_secs_f64()).ceil() as u64;
    let (mut credit, mut fresh) = (0.0, known);
    (0..count)
        .map(|number| {
            credit += options.new_share;
            if credit < 1.0 {
                return number % known;
            }
            credit -= 1.0;
            fresh += 1;
            fresh - 1
        })
        .collect()
}

async fn open_idle(run: &Run, options: &MixOptions, tokens: &[String], faults: &Arc<Faults>) -> Idle {
    let idle = Idle::default();
    let tokens = tokens[..usize::try_from(options.idle).unwrap_or(usize::MAX)].to_vec();
    let pace = Arc::new(Pace::count(Instant::now(), None, options.idle));
    idle.open(run, &pace, tokens, OPENING, options.play.format, &Ledger::new("connect", faults)).await;
    idle
}

/// Workers that read their own account, each with a session of its own.
fn account_workers(run: &Run, options: &MixOptions, go: Go, bodies: Vec<Bytes>, ledger: &Ledger) -> JoinSet<()> {
    let pace = Arc::new(Pace::until(go.measured_from, options.accounts, go.end));
    let bodies = Arc::new(bodies);
    workers(options.connections, |worker| {
        let (run, pace, bodies, ledger) = (run.clone(), pace.clone(), bodies.clone(), ledger.clone());
        async move {
            let mut http = HttpConnection::new(&run.api.target);
            let mut session = Session { body: bodies[worker].clone(), token: None };
            if let Err(fault) = session.token(&run, &mut http).await {
                ledger.faults.add("account", &fault);
            }
            while let Some(turn) = pace.take(&run.timer).await {
                let outcome = match session.token(&run, &mut http).await {
                    Ok(token) => run.api.account(&mut http, &token).await,
                    Err(fault) => Err(fault),
                };
                ledger.write(worker, turn, outcome);
            }
        }
    })
}

/// A session that is replaced before it expires.
struct Session {
    body: Bytes,
    token: Option<(String, Instant)>,
}

impl Session {
    async fn token(&mut self, run: &Run, http: &mut HttpConnection) -> Result<String, Fault> {
        if let Some((token, since)) = &self.token
            && since.elapsed() < TOKEN_AGE
        {
            return Ok(token.clone());
        }
        let token = run.api.login(http, self.body.clone()).await?;
        self.token = Some((token.clone(), Instant::now()));
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Arguments, Command};
    use clap::Parser;

    #[test]
    fn new_players_are_spread_evenly_among_returning_ones() {
        let line = "loadtest mix --logins 100 --duration 1 --new-share 0.25";
        let Command::Mix(options) = Arguments::try_parse_from(line.split(' ')).unwrap().command else {
            panic!("not a mix")
        };
        let players = login_players(&options, 50);
        let new: Vec<_> = players.iter().filter(|player| **player >= 50).collect();
        assert_eq!((players.len(), new.len()), (100, 25));
        assert!(players.chunks(4).all(|four| four.iter().filter(|player| **player >= 50).count() == 1));
        assert_eq!(**new.last().unwrap(), 74);
    }
}
