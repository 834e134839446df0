//! Signing in while others present bad tokens as fast as they can: unknown key ids, and signatures that look right until they
//! are computed. Honest players must all get in, and keep their share of the rate that they have without the flood.

use super::{Ledger, Run, rotate::trusted_provider, workers};
use crate::{
    args::FloodOptions,
    http::HttpConnection,
    identity::{
        keys::encode,
        provider::{Provider, Signer},
    },
    pacing::{Pace, Timer},
    process::Per,
    report::Phase,
    stats::{Fault, Faults},
    tokens::account,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
};
use tokio::time::Instant;

/// Runs the three parts: without, with, and again without the flood.
///
/// # Errors
/// The honest players have no tokens, or the server does not accept them.
pub async fn run(run: &Run, options: &FloodOptions) -> Result<Vec<Phase>, String> {
    let serving = match options.provider {
        Some(address) => Some(trusted_provider(run, address, options.patience).await?),
        None => None,
    };
    let players: Vec<u64> = (0..options.players).collect();
    let honest = Arc::new(match &serving {
        Some(serving) => tokens_of(serving.provider.clone(), players).await?,
        None => run.identities.bodies(players).await?,
    });
    let bad = Arc::new(bad_tokens(&honest[0], options.bad_tokens)?);
    // Everybody has an account before anything is measured: otherwise the first part would be the slowest.
    sign_in_once(run, &honest).await?;
    let calm = part(run, options, "logins before the flood", &honest).await;
    let flood = Flood::start(run, options, bad)?;
    let mut flooded = part(run, options, "logins in the flood", &honest).await;
    flood.end(&mut flooded)?;
    let again = part(run, options, "logins after the flood", &honest).await;
    judge(&mut flooded, &[&calm, &again], options.keep);
    Ok(vec![calm, flooded, again])
}

async fn tokens_of(provider: Arc<Provider>, players: Vec<u64>) -> Result<Vec<Bytes>, String> {
    let signed = tokio::task::spawn_blocking(move || {
        let token = |player: &u64| provider.token(&format!("flood-{player}"), Signer::Current);
        players.iter().map(|player| token(player).map(|token| account(&token))).collect()
    });
    signed.await.map_err(|error| error.to_string())?
}

async fn sign_in_once(run: &Run, honest: &[Bytes]) -> Result<(), String> {
    let mut http = HttpConnection::new(&run.api.target);
    for body in honest {
        run.api.login(&mut http, body.clone()).await.map_err(|fault| format!("signing in: {fault}"))?;
    }
    Ok(())
}

/// Honest players at full speed.
async fn part(run: &Run, options: &FloodOptions, name: &str, honest: &Arc<Vec<Bytes>>) -> Phase {
    let faults = Arc::new(Faults::default());
    let ledger = Ledger::new("login", &faults);
    let before = run.processes.snapshot();
    let start = Instant::now();
    let progress = run.progress(name, vec![("logins", ledger.meter.clone())], &faults);
    let pace = Arc::new(Pace::full_speed(start, start + options.duration));
    let players = workers(options.connections, |worker| {
        let (run, pace, honest, ledger) = (run.clone(), pace.clone(), honest.clone(), ledger.clone());
        async move {
            let mut http = HttpConnection::new(&run.api.target);
            while let Some(turn) = pace.take(&run.timer).await {
                let body = honest[usize::try_from(turn.number).unwrap_or_default() % honest.len()].clone();
                let outcome = run.api.login(&mut http, body).await;
                ledger.write(worker, turn, outcome);
            }
        }
    });
    players.join_all().await;
    drop(progress);
    let seconds = start.elapsed().as_secs_f64();
    let after = run.processes.snapshot();
    let done = ledger.meter.done();
    Phase {
        name: name.to_owned(),
        seconds,
        operations: BTreeMap::from([("login".to_owned(), ledger.meter.operation(done, seconds))]),
        errors: faults.kinds(),
        processes: run.processes.usage(&before, &after, seconds, Per { operations: done, connections: 0 }),
        ..Phase::default()
    }
}

/// Compares the honest rate in the flood with the mean of those without it.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "percent")]
fn judge(flooded: &mut Phase, calm: &[&Phase], keep: f64) {
    let rate = |phase: &Phase| phase.operations.get("login").map_or(0.0, |operation| operation.per_second);
    let without = calm.iter().map(|phase| rate(phase)).sum::<f64>() / calm.len().max(1) as f64;
    let share = if without > 0.0 { rate(flooded) / without } else { 0.0 };
    flooded.counts.insert("honest rate in percent of that without the flood".into(), (share * 100.0).round() as u64);
    if share < keep {
        let kind = format!("honest logins kept {:.0} % of their rate, less than {:.0} %", share * 100.0, keep * 100.0);
        flooded.errors.insert(kind, 1);
    }
}

/// Bad tokens in the shape of a good one: every second has a key id that no set has, the others the right one and a signature
/// that is not its key's.
fn bad_tokens(good: &[u8], count: usize) -> Result<Vec<Bytes>, String> {
    let good: Value = serde_json::from_slice(good).map_err(|error| error.to_string())?;
    let token = good["id"].as_str().unwrap_or_default();
    let parts: Vec<_> = token.split('.').collect();
    let [header, payload, signature] = parts.as_slice() else {
        return Err("a flood needs players with identity tokens: --provider, --jwt-key, --tokens or --mint".into());
    };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| "the players' tokens are none".to_owned());
    let mut unknown: Value = serde_json::from_slice(&decode(header)?).map_err(|error| error.to_string())?;
    let mut noise = vec![0; decode(signature)?.len()];
    (0..count)
        .map(|number| {
            aws_lc_rs::rand::fill(&mut noise).map_err(|_| "the system gave no randomness".to_owned())?;
            // Below the modulus, so that the signature looks right until it is computed.
            noise[0] = 0;
            let header = if number % 2 == 0 {
                unknown["kid"] = json!(format!("unknown-{}", encode(&noise[..12])));
                encode(unknown.to_string())
            } else {
                (*header).to_owned()
            };
            Ok(account(&format!("{header}.{payload}.{}", encode(&noise))))
        })
        .collect()
}

/// Others, on a thread of their own.
struct Flood {
    over: Arc<AtomicBool>,
    tally: Arc<Tally>,
    started: Instant,
    thread: JoinHandle<Result<(), String>>,
}

/// What the flood got.
#[derive(Default)]
struct Tally {
    refused: AtomicU64,
    unavailable: AtomicU64,
    accepted: AtomicU64,
    faults: Faults,
}

impl Flood {
    fn start(run: &Run, options: &FloodOptions, bad: Arc<Vec<Bytes>>) -> Result<Self, String> {
        let (over, tally) = (Arc::new(AtomicBool::new(false)), Arc::new(Tally::default()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let flood = (run.clone(), over.clone(), tally.clone(), options.flood_connections);
        let thread = std::thread::spawn(move || {
            let (run, over, tally, connections) = flood;
            runtime.block_on(async {
                let floods =
                    workers(connections, |worker| pour(worker, run.clone(), bad.clone(), over.clone(), tally.clone()));
                floods.join_all().await;
            });
            Ok(())
        });
        Ok(Self { over, tally, started: Instant::now(), thread })
    }

    /// Stops it and adds what it got to the figures.
    fn end(self, phase: &mut Phase) -> Result<(), String> {
        self.over.store(true, Relaxed);
        self.thread.join().map_err(|_| "the flood broke off".to_owned())??;
        let seconds = self.started.elapsed().as_secs_f64();
        let Tally { refused, unavailable, accepted, faults } = &*self.tally;
        let all = refused.load(Relaxed) + unavailable.load(Relaxed);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate"
        )]
        let rate = (all as f64 / seconds) as u64;
        phase.counts.insert("bad tokens refused".into(), refused.load(Relaxed));
        phase.counts.insert("bad tokens answered 503".into(), unavailable.load(Relaxed));
        phase.counts.insert("bad tokens a second".into(), rate);
        phase.errors.extend(faults.kinds());
        if accepted.load(Relaxed) > 0 {
            phase.errors.insert("bad tokens accepted".into(), accepted.load(Relaxed));
        }
        Ok(())
    }
}

async fn pour(worker: usize, run: Run, bad: Arc<Vec<Bytes>>, over: Arc<AtomicBool>, tally: Arc<Tally>) {
    let mut http = HttpConnection::new(&run.api.target);
    let mut number = worker;
    while !over.load(Relaxed) {
        match run.api.authenticate(&mut http, bad[number % bad.len()].clone()).await {
            Ok((StatusCode::OK, _)) => tally.accepted.fetch_add(1, Relaxed),
            Ok((StatusCode::SERVICE_UNAVAILABLE, _)) => tally.unavailable.fetch_add(1, Relaxed),
            Ok((status, _)) if status.is_client_error() => tally.refused.fetch_add(1, Relaxed),
            Ok((status, _)) => {
                tally.faults.add("flood", &Fault::new(format!("http {}", status.as_u16())));
                0
            }
            Err(fault) => {
                tally.faults.add("flood", &fault);
                Timer::Runtime.sleep_until(Instant::now() + std::time::Duration::from_millis(10)).await;
                0
            }
        };
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Operation;

    fn phase(per_second: f64) -> Phase {
        let operation = Operation { per_second, ..Operation::default() };
        Phase { operations: BTreeMap::from([("login".to_owned(), operation)]), ..Phase::default() }
    }

    #[test]
    fn honest_players_must_keep_their_share_of_the_mean_without_the_flood() {
        for (rate, kept) in [(50.0, true), (49.0, false)] {
            let mut flooded = phase(rate);
            judge(&mut flooded, &[&phase(90.0), &phase(110.0)], 0.5);
            assert_eq!(flooded.errors.is_empty(), kept, "{:?}", flooded.errors);
        }
    }

    #[test]
    fn bad_tokens_have_the_shape_of_good_ones() {
        let good =
            account(&format!("{}.{}.{}", encode(r#"{"alg":"RS256","kid":"k"}"#), encode("{}"), encode([7; 256])));
        let bad = bad_tokens(&good, 4).unwrap();
        assert!(bad.iter().all(|bad| *bad != good && bad.len() >= good.len()));
        assert!(bad_tokens(b"{\"id\":\"plain\"}", 1).is_err());
    }
}
