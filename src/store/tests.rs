//! Behaviour of the whole store: durability, groups, faults.

use super::*;
use crate::clock::Entropy;
use std::fs;
use tempfile::TempDir;
use uuid::Uuid;

/// A store in a folder of its own. Its clock stands.
pub(crate) struct Fresh {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
    pub(crate) config: config::Store,
    pub(crate) dir: TempDir,
}

impl Fresh {
    pub(crate) fn new() -> Self {
        Self::with(config::Store { cache_size_kib: 1_024, ..config::Store::default() })
    }

    pub(crate) fn with(config: config::Store) -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::manual(1_700_000_000));
        let store = Store::open(&config, dir.path(), clock.clone()).unwrap();
        Self { store, clock, entropy: Entropy::seeded(1), config, dir }
    }

    pub(crate) fn new_user(&self, identifier: NewIdentifier) -> NewUser {
        NewUser { id: self.entropy.uuid(), username: self.entropy.letters(10), identifier, notices: Vec::new() }
    }

    /// Makes an account and answers its id.
    pub(crate) async fn user(&self, identifier: NewIdentifier) -> Uuid {
        let new = self.new_user(identifier);
        let id = new.id;
        assert_eq!(self.store.create_user(new).await.unwrap(), Created::New);
        id
    }

    /// Closes the store and opens it again.
    pub(crate) fn reopen(&mut self) {
        self.store.close();
        self.store = Store::open(&self.config, self.dir.path(), self.clock.clone()).unwrap();
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join(&self.config.file)
    }
}

pub(crate) fn custom(id: &str) -> NewIdentifier {
    NewIdentifier::Custom(id.to_owned())
}

/// What making an account costs. Run in release, alone:
/// `cargo test --release -p kizuna --lib store::tests::what_an_account_costs -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, not a check"]
fn what_an_account_costs() {
    let fresh = Fresh::with(config::Store::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for round in 0..5 {
        measure(&runtime, &fresh, round, 40_000, 100);
    }
    let start = (cpu_ms(""), std::time::Duration::ZERO);
    let reads = 200_000;
    for n in 0..reads {
        let id = format!("user-{}-{:06}-abcdefgh", n % 5, (n * 7_919) % 40_000);
        assert!(fresh.store.find_login(Identifier::Custom(&id)).unwrap().is_some());
    }
    let cost = |ms: u64| ms as f64 * 1_000.0 / f64::from(reads);
    println!("find_login without writes: {:.1} µs", cost(cpu_ms("") - start.0));
}

fn measure(runtime: &tokio::runtime::Runtime, fresh: &Fresh, round: u32, count: u32, concurrent: u32) {
    let slowest = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let (before, cpu, writer) = (fresh.store.counters(), cpu_ms(""), cpu_ms("store-writer"));
    let start = tokio::time::Instant::now();
    runtime.block_on(async {
        let tasks = (0..concurrent).map(|task| {
            let (store, entropy, slowest) = (fresh.store.clone(), Entropy::system(), Arc::clone(&slowest));
            tokio::spawn(async move {
                for n in 0..count / concurrent {
                    let id = format!("user-{round}-{:06}-abcdefgh", n * concurrent + task);
                    assert!(store.find_login(Identifier::Custom(&id)).unwrap().is_none());
                    let (user, username) = (entropy.uuid(), entropy.letters(10));
                    let asked = tokio::time::Instant::now();
                    let new = NewUser { id: user, username, identifier: custom(&id), notices: Vec::new() };
                    assert_eq!(store.create_user(new).await.unwrap(), Created::New);
                    slowest.fetch_max(asked.elapsed().as_millis() as u64, std::sync::atomic::Ordering::Relaxed);
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
    let (after, taken) = (fresh.store.counters(), start.elapsed().as_secs_f64());
    let each = |ms: u64| ms as f64 * 1_000.0 / f64::from(count);
    println!(
        "round {round}: {:.0}/s, slowest {slowest:?} ms, {:.1} a commit, process {:.1} µs each, writer {:.1} µs each, log {} KiB",
        f64::from(count) / taken,
        f64::from(count) / (after.commits - before.commits) as f64,
        each(cpu_ms("") - cpu),
        each(cpu_ms("store-writer") - writer),
        fs::metadata(fresh.path().with_extension("db-wal")).map_or(0, |file| file.len() / 1_024),
    );
}

/// Processor time so far in milliseconds, of the process or of its thread `name`.
fn cpu_ms(name: &str) -> u64 {
    let of = |stat: String| {
        let (head, tail) = stat.split_once(") ")?;
        let ticks = tail.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
        head.contains(name).then_some(ticks * 10)
    };
    if name.is_empty() {
        return of(fs::read_to_string("/proc/self/stat").unwrap()).unwrap();
    }
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks.filter_map(|task| of(fs::read_to_string(task.ok()?.path().join("stat")).ok()?)).sum()
}
