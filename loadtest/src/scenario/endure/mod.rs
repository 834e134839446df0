//! Everything at once for a long time: logins with identity tokens, account reads, sockets that wait, and matches, while the server is
//! stopped and started and its identity provider rotates its keys. Clients behave as good clients do: they reconnect with their session
//! tokens, less and less often while it does not work, and go on.
//!
//! What a stop explains is named in `outage`; any other failure, and any of those at another time, fails the run. So does a lost
//! message, an account that is not what it was, and memory that grows from life to life.

mod lives;
mod outage;
mod player;
mod survivors;
mod visitors;
mod world;

use super::{Run, rotate};
use crate::{
    args::EndureOptions,
    identity::{
        args::Told,
        provider::{Provider, Serving, trust},
    },
    interrupt::Interrupt,
    pacing::Pace,
    process::Per,
    report::{Delivery, Phase},
    server::{Launch, kizuna},
};
use lives::Life;
use outage::Stop;
use parking_lot::Mutex;
use player::{Player, Room};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use world::World;

/// How long the server may take to find the provider's keys.
const TRUST_WITHIN: Duration = Duration::from_secs(70);
/// For how long a key is published before it signs.
const LEAD: Duration = Duration::from_secs(2);
/// Keys that stay published: more than rotate while any player holds a token.
const KEEP: usize = 16;
/// Sessions are to outlive the run by so much.
const MARGIN: Duration = Duration::from_secs(1_800);

/// Runs it; a phase for all, and one for each life of the server.
///
/// # Errors
/// The server cannot be started, ends by itself, or does not stop or start as it should; the provider cannot be had.
pub async fn run(run: &Run, options: &EndureOptions) -> Result<Vec<Phase>, String> {
    // What is dropped with the run takes the server with it.
    Interrupt::listen()?.or(endure(run, options)).await?
}

/// How many players there are.
pub(crate) fn players(options: &EndureOptions) -> u64 {
    u64::from(options.matches) * u64::from(options.players)
}

async fn endure(run: &Run, options: &EndureOptions) -> Result<Vec<Phase>, String> {
    let address = options.provider.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let serving = Provider::serve(address, Told::default()).await?;
    let launch = launch(options, &serving)?;
    let first = launch.start(options.stop_within).await?;
    rotate::until_trusted(run, &serving.provider, TRUST_WITHIN).await?;
    let world = Arc::new(World::new(run, options, serving.provider.clone()));
    let meters = vec![
        ("logins", world.login.undisturbed.clone()),
        ("reads", world.read.undisturbed.clone()),
        ("delivered", world.delivered.clone()),
    ];
    let progress = run.progress("endure", meters, &world.faults);
    let rotations = Arc::new(AtomicU64::new(0));
    let deliveries = Arc::new(Mutex::new(Delivery::default()));
    let clients = clients(&world, &rotations, &deliveries);
    let before = run.processes.snapshot();
    let lives = lives::run(&world, &launch, first, clients).await?;
    drop(progress);
    let seconds = world.epoch.elapsed().as_secs_f64();
    let mut whole = Phase {
        name: "endure".to_owned(),
        detail: detail(options),
        seconds,
        operations: world.operations(seconds),
        delivery: Some(*deliveries.lock()),
        errors: world.faults.kinds(),
        processes: run.processes.usage(&before, &run.processes.snapshot(), seconds, Per::default()),
        counts: world.explained(),
    };
    whole.counts.insert("rotations".to_owned(), rotations.load(Relaxed));
    whole.counts.insert("key set reads".to_owned(), serving.provider.key_set_reads());
    whole.counts.insert("accounts".to_owned(), world.book.len());
    judge_memory(&mut whole, &lives, options.growth);
    let logged = launch.faults_logged()?;
    if logged > 0 {
        whole.errors.insert("the server logged faults of its own".to_owned(), logged);
    }
    Ok([whole].into_iter().chain(lives.into_iter().map(|life| life.phase)).collect())
}

fn detail(options: &EndureOptions) -> String {
    let EndureOptions { matches, players, rate, logins, accounts, idle, restart_every, rotate_every, .. } = options;
    format!(
        "{matches} × {players} players, {rate} a second each; {logins} logins and {accounts} account reads a second; {idle} idle \
         sockets; a stop every {restart_every:?}, keys every {rotate_every:?}"
    )
}

/// The server with what the run asks of it, whatever its configuration says.
fn launch(options: &EndureOptions, serving: &Serving) -> Result<Launch, String> {
    let config = match &options.config {
        Some(config) => config.clone(),
        None => {
            let file = options.data_dir.join("endure.toml");
            let written = fs::create_dir_all(&options.data_dir).and_then(|()| fs::write(&file, trust(serving.address)));
            written.map_err(|error| format!("{}: {error}", file.display()))?;
            file
        }
    };
    let lifetime = (options.duration + MARGIN).as_secs().to_string();
    let environment = [
        ("KIZUNA_DEV_PROVIDER_ENABLED", "false"),
        ("KIZUNA_LOGGER_REQUESTS", "false"),
        ("KIZUNA_LOGGER_FORMAT", "text"),
        ("KIZUNA_REALTIME_RESUME_WINDOW_MS", "30000"),
        ("KIZUNA_REALTIME_SNAPSHOT", "true"),
        ("KIZUNA_SESSION_TOKEN_EXPIRY_SEC", &lifetime),
        ("KIZUNA_SESSION_REFRESH_TOKEN_EXPIRY_SEC", &lifetime),
    ];
    Ok(Launch {
        program: options.kizuna.clone(),
        arguments: kizuna(&config, &options.data_dir, options.common.base.address()),
        log: options.data_dir.join("endure.log"),
        environment: environment.map(|(name, value)| (name, value.to_owned())).to_vec(),
    })
}

/// All clients, and the hand that turns the provider's keys.
fn clients(world: &Arc<World>, rotations: &Arc<AtomicU64>, deliveries: &Arc<Mutex<Delivery>>) -> JoinSet<()> {
    let options = &world.options;
    let mut clients = JoinSet::new();
    for number in 0..options.matches {
        let members = (0..options.players).map(|_| player::Member::default()).collect();
        let room = Arc::new(Room { name: format!("endure-{number}"), number, members });
        for slot in 0..options.players {
            let (player, deliveries) = (Player::new(world.clone(), room.clone(), slot), deliveries.clone());
            clients.spawn(async move {
                let delivery = player.run().await;
                let mut total = deliveries.lock();
                *total = total.and(delivery);
            });
        }
    }
    for number in 0..options.idle {
        clients.spawn(visitors::wait(world.clone(), number, options.format.of(number)));
    }
    let logins = Arc::new(Pace::until(world.epoch, options.logins, world.end));
    let reads = Arc::new(Pace::until(world.epoch, options.accounts, world.end));
    for worker in 0..options.connections {
        clients.spawn(visitors::sign_in(world.clone(), logins.clone(), worker));
        clients.spawn(visitors::read_account(world.clone(), reads.clone(), worker));
    }
    clients.spawn(turn_keys(world.clone(), rotations.clone()));
    clients
}

/// By turns publishes a key before it signs, and signs with it at once.
async fn turn_keys(world: Arc<World>, rotations: Arc<AtomicU64>) {
    let (provider, every) = (&world.provider, world.options.rotate_every);
    let mut next = world.epoch + every;
    while next + every / 2 < world.end {
        sleep_until(next).await;
        if let Err(why) = provider.publish().await {
            world.failed("rotation", &crate::stats::Fault::new(why));
            return;
        }
        if rotations.fetch_add(1, Relaxed).is_multiple_of(2) {
            sleep(LEAD.min(every / 2)).await;
        }
        provider.switch();
        provider.withdraw(KEEP);
        next = (next + every).max(Instant::now());
    }
}

/// Compares the first with the last of the lives that began in the same way, after a SIGTERM with the sessions of before, or after a
/// SIGKILL without. The very first counts for neither: what is in use has not been in use then.
#[expect(clippy::cast_precision_loss, reason = "bytes of a process are far below 2^53")]
fn judge_memory(whole: &mut Phase, lives: &[Life], most: f64) {
    let later: Vec<(Stop, u64)> =
        lives.windows(2).filter_map(|pair| Some((pair[0].ended_by, pair[1].resident?))).collect();
    let mut judged = false;
    for (stop, after) in [(Stop::Asked, "SIGTERM"), (Stop::Killed, "SIGKILL")] {
        let alike: Vec<u64> = later.iter().filter(|(way, _)| *way == stop).map(|(_, resident)| *resident).collect();
        let [first, .., last] = alike.as_slice() else { continue };
        judged = true;
        let growth = *last as f64 / *first as f64 - 1.0;
        if growth > most {
            let (growth, most) = (growth * 100.0, most * 100.0);
            let kind = format!("memory grew by {growth:.1} % from life to life after {after}, more than {most:.1} %");
            whole.errors.insert(kind, 1);
        }
    }
    if !judged {
        whole.errors.insert("memory: no two lives that began alike, too short a run to judge".to_owned(), 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lives by how they ended and what they took.
    fn judged(lives: &[(Stop, u64)]) -> Vec<String> {
        let life = |(ended_by, resident): &(Stop, u64)| Life {
            phase: Phase::default(),
            ended_by: *ended_by,
            resident: (*resident > 0).then_some(*resident),
        };
        let mut whole = Phase::default();
        judge_memory(&mut whole, &lives.iter().map(life).collect::<Vec<_>>(), 0.05);
        whole.errors.into_keys().collect()
    }

    #[test]
    fn memory_is_compared_between_lives_that_began_alike() {
        use Stop::{Asked, Killed};
        let flat = [(Asked, 10), (Asked, 100), (Killed, 300), (Asked, 50), (Killed, 104), (Asked, 52)];
        assert!(judged(&flat).is_empty(), "{:?}", judged(&flat));
        assert_eq!(
            judged(&[(Asked, 10), (Asked, 100), (Asked, 110)]),
            ["memory grew by 10.0 % from life to life after SIGTERM, more than 5.0 %"]
        );
        assert_eq!(
            judged(&[(Killed, 10), (Killed, 100), (Asked, 110)]),
            ["memory grew by 10.0 % from life to life after SIGKILL, more than 5.0 %"]
        );
    }

    #[test]
    fn too_few_lives_are_not_taken_for_flat_memory() {
        use Stop::{Asked, Killed};
        let unread = [(Asked, 1), (Asked, 0), (Asked, 1)];
        for lives in
            [&[][..], &[(Asked, 1)], &[(Asked, 1), (Asked, 1)], &[(Asked, 1), (Killed, 1), (Asked, 1)], &unread]
        {
            assert_eq!(judged(lives), ["memory: no two lives that began alike, too short a run to judge"]);
        }
    }
}
