//! Signing in while the identity provider rotates its keys again and again: first as providers do, who publish a key before
//! they sign with it, then at once. No honest login may fail.

use super::{Ledger, Run, workers};
use crate::{
    args::RotateOptions,
    http::HttpConnection,
    identity::{
        args::Told,
        provider::{Provider, Serving, Signer},
    },
    pacing::Pace,
    process::Per,
    report::Phase,
    stats::Faults,
    target::{Base, Target},
    tokens::account,
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode, Uri, header};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

/// Players who sign in, in turn.
const PLAYERS: u64 = 1_000;
/// Keys that stay published: more than rotate while any player holds a token.
const KEEP: usize = 16;
/// Between two tries of a token that the server may not know yet.
const RETRY: Duration = Duration::from_millis(200);

/// Runs each way of rotating.
///
/// # Errors
/// The provider cannot be had, or the server does not trust it.
pub async fn run(run: &Run, options: &RotateOptions) -> Result<Vec<Phase>, String> {
    let serving = match options.provider {
        Some(address) => Some(trusted_provider(run, address, options.patience).await?),
        None => None,
    };
    let Some(serving) = &serving else {
        let wheel = Wheel::Foreign(options.rotate_url.clone().unwrap_or_default(), options.common.timeout);
        return Ok(vec![phase(run, options, "rotate", wheel).await?]);
    };
    let provider = &serving.provider;
    Ok(vec![
        phase(run, options, "rotate, published first", Wheel::Ahead(provider.clone(), options.lead)).await?,
        phase(run, options, "rotate, at once", Wheel::AtOnce(provider.clone())).await?,
    ])
}

/// A provider that the server accepts tokens of.
///
/// # Errors
/// It cannot listen, or the server does not accept its tokens in time.
pub(super) async fn trusted_provider(run: &Run, address: SocketAddr, patience: Duration) -> Result<Serving, String> {
    let serving = Provider::serve(address, Told::default()).await?;
    until_trusted(run, &serving.provider, patience).await?;
    Ok(serving)
}

/// Waits until the server accepts tokens of `provider`.
///
/// # Errors
/// It does not in time.
pub(super) async fn until_trusted(run: &Run, provider: &Provider, patience: Duration) -> Result<(), String> {
    let until = Instant::now() + patience;
    let mut http = HttpConnection::new(&run.api.target);
    loop {
        let token = provider.token("first", Signer::Current)?;
        match run.api.login(&mut http, account(&token)).await {
            Ok(_) => return Ok(()),
            Err(fault) if Instant::now() >= until => {
                return Err(format!("the server does not accept tokens of {}: {fault}", provider.issuer));
            }
            Err(_) => sleep(RETRY).await,
        }
    }
}

/// What turns the keys.
#[derive(Clone)]
enum Wheel {
    /// Publishes each key for a while before it signs.
    Ahead(Arc<Provider>, Duration),
    /// Signs with a key as soon as it is published.
    AtOnce(Arc<Provider>),
    /// A POST to somebody else.
    Foreign(String, Duration),
}

impl Wheel {
    async fn turn(&self) -> Result<(), String> {
        match self {
            Self::Ahead(provider, lead) => {
                provider.publish().await?;
                sleep(*lead).await;
                provider.switch();
                provider.withdraw(KEEP);
            }
            Self::AtOnce(provider) => {
                provider.publish().await?;
                provider.switch();
                provider.withdraw(KEEP);
            }
            Self::Foreign(url, timeout) => post(url, *timeout).await?,
        }
        Ok(())
    }

    fn provider(&self) -> Option<&Arc<Provider>> {
        match self {
            Self::Ahead(provider, _) | Self::AtOnce(provider) => Some(provider),
            Self::Foreign(..) => None,
        }
    }
}

async fn post(url: &str, timeout: Duration) -> Result<(), String> {
    let address: Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
    let authority = address.authority().ok_or_else(|| format!("{url}: expected http://HOST:PORT/PATH"))?;
    let base: Base = format!("http://{authority}").parse()?;
    let request = Request::post(address.path()).header(header::HOST, authority.as_str()).body(Full::new(Bytes::new()));
    let request = request.map_err(|error| format!("{url}: {error}"))?;
    let answer = HttpConnection::new(&Target::new(base, timeout, 1)).call(request).await;
    match answer.map_err(|fault| format!("{url}: {fault}"))? {
        (StatusCode::OK, _) => Ok(()),
        (status, _) => Err(format!("{url}: answered {status}")),
    }
}

async fn phase(run: &Run, options: &RotateOptions, name: &str, wheel: Wheel) -> Result<Phase, String> {
    let faults = Arc::new(Faults::default());
    let ledger = Ledger::new("login", &faults);
    let reads_before = wheel.provider().map(|provider| provider.key_set_reads());
    let before = run.processes.snapshot();
    let start = Instant::now();
    let end = start + options.duration;
    let progress = run.progress(name, vec![("logins", ledger.meter.clone())], &faults);
    let rotations = Arc::new(AtomicU64::new(0));
    let turning = turn_on(wheel.clone(), options.every, end, rotations.clone());
    let pace = Arc::new(Pace::until(start, options.rate, end));
    let players = workers(options.connections, |worker| {
        let (run, pace, wheel, ledger) = (run.clone(), pace.clone(), wheel.clone(), ledger.clone());
        async move { play(worker, &run, &pace, &wheel, &ledger).await }
    });
    players.join_all().await;
    turning.await.map_err(|error| error.to_string())??;
    drop(progress);
    let seconds = start.elapsed().as_secs_f64();
    let after = run.processes.snapshot();
    let done = ledger.meter.done();
    let mut counts = BTreeMap::from([("rotations".to_owned(), rotations.load(Relaxed))]);
    if let (Some(before), Some(provider)) = (reads_before, wheel.provider()) {
        counts.insert("key set reads".to_owned(), provider.key_set_reads() - before);
    }
    Ok(Phase {
        name: name.to_owned(),
        detail: format!("keys every {:?}", options.every),
        seconds,
        operations: BTreeMap::from([("login".to_owned(), ledger.meter.operation(done, seconds))]),
        errors: faults.kinds(),
        processes: run.processes.usage(&before, &after, seconds, Per { operations: done, connections: 0 }),
        counts,
        ..Phase::default()
    })
}

/// Rotates again and again, the last time early enough for its key to be used.
fn turn_on(wheel: Wheel, every: Duration, end: Instant, rotations: Arc<AtomicU64>) -> JoinHandle<Result<(), String>> {
    tokio::spawn(async move {
        let mut next = Instant::now() + every;
        while next + every / 2 < end {
            sleep_until(next).await;
            wheel.turn().await?;
            rotations.fetch_add(1, Relaxed);
            next += every;
        }
        Ok(())
    })
}

/// One connection: a token is had before its login is due, as players have theirs.
async fn play(worker: usize, run: &Run, pace: &Pace, wheel: &Wheel, ledger: &Ledger) {
    let mut http = HttpConnection::new(&run.api.target);
    for round in 0.. {
        let player = (round * 31 + worker as u64) % PLAYERS;
        let body = match wheel.provider() {
            Some(provider) => provider.token(&format!("rotate-{player}"), Signer::Current).map(|token| account(&token)),
            None => run.identities.bodies(vec![player]).await.map(|mut bodies| bodies.remove(0)),
        };
        let Some(turn) = pace.take(&run.timer).await else { return };
        let outcome = match body {
            Ok(body) => run.api.login(&mut http, body).await,
            Err(why) => Err(crate::stats::Fault::new(why)),
        };
        ledger.write(worker, turn, outcome);
    }
}
