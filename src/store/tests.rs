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
        NewUser {
            id: self.entropy.uuid(),
            username: self.entropy.letters(10),
            identifier,
            tenant: None,
            token_use: None,
            notices: Vec::new(),
        }
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

    /// How SQLite goes about a statement.
    pub(crate) fn plan(&self, sql: &str) -> String {
        let explain = format!("EXPLAIN QUERY PLAN {sql}");
        let plan = |conn: &rusqlite::Connection| {
            let mut statement = conn.prepare(&explain)?;
            let (mut rows, mut steps) = (statement.raw_query(), Vec::new());
            while let Some(row) = rows.next()? {
                steps.push(row.get::<_, String>(3)?);
            }
            Ok(steps.join("; "))
        };
        self.store.db.read(plan).unwrap()
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join(&self.config.file)
    }
}

pub(crate) fn custom(id: &str) -> NewIdentifier {
    NewIdentifier::Custom(id.to_owned())
}

pub(crate) fn email(address: &str, hash: &[u8]) -> NewIdentifier {
    NewIdentifier::Email { email: address.to_owned(), password_hash: hash.to_vec() }
}

/// Keeps the writer busy inside a transaction until the sender is dropped; the receiver tells when it is.
fn hold_writer(store: &Store) -> (std::sync::mpsc::Sender<()>, tokio::sync::oneshot::Receiver<()>) {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (started, is_held) = tokio::sync::oneshot::channel();
    let db = Arc::clone(&store.db);
    tokio::spawn(async move {
        let job = move |tx: &db::Transaction<'_>| {
            db::run(tx, "UPDATE setting SET value = 'true'", [])?;
            let _ = started.send(());
            let _ = released.recv();
            Ok(())
        };
        db.write(job).await
    });
    (release, is_held)
}

/// Runs a statement on the writer's connection, outside of any transaction.
async fn set_pragma(store: &Store, sql: &'static str) {
    store.db.write(move |tx| Ok(tx.query_row(sql, [], |_| Ok(()))?)).await.unwrap();
}

#[tokio::test]
async fn what_queued_up_meanwhile_is_committed_once() {
    let fresh = Fresh::new();
    let (release, is_held) = hold_writer(&fresh.store);
    is_held.await.unwrap();
    let before = fresh.store.counters();
    let tasks = (0..200).map(|n| {
        let (store, new) = (fresh.store.clone(), fresh.new_user(custom(&format!("id-{n:04}"))));
        tokio::spawn(async move { store.create_user(new).await.unwrap() })
    });
    let tasks: Vec<_> = tasks.collect();
    while fresh.store.counters().waiting < 200 {
        tokio::task::yield_now().await;
    }
    drop(release);
    for task in tasks {
        assert_eq!(task.await.unwrap(), Created::New);
    }
    let after = fresh.store.counters();
    assert_eq!(
        (after.writes - before.writes, after.commits - before.commits),
        (201, 2),
        "the held one, then 200 at once"
    );
}

#[tokio::test]
async fn what_was_answered_is_there_for_another_program_and_after_a_restart() {
    let mut fresh = Fresh::new();
    let id = fresh.user(custom("id-first")).await;
    let other = rusqlite::Connection::open(fresh.path()).unwrap();
    let count = |conn: &rusqlite::Connection| -> i64 {
        conn.query_row("SELECT count(*) FROM users WHERE custom_id = 'id-first'", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(&other), 1);
    drop(other);
    fresh.reopen();
    assert_eq!(fresh.store.find_login(Identifier::Custom("id-first")).unwrap().unwrap().user_id, id);
}

#[tokio::test]
async fn a_reader_does_not_wait_for_an_open_write_transaction() {
    let fresh = Fresh::new();
    fresh.user(custom("id-first")).await;
    let (release, is_held) = hold_writer(&fresh.store);
    is_held.await.unwrap();
    assert!(fresh.store.find_login(Identifier::Custom("id-first")).unwrap().is_some());
    drop(release);
}

#[tokio::test]
async fn a_full_queue_is_told_at_once() {
    let fresh = Fresh::with(config::Store { write_queue_size: 2, ..config::Store::default() });
    let (release, is_held) = hold_writer(&fresh.store);
    is_held.await.unwrap();
    let tasks = (0..2).map(|n| {
        let (store, new) = (fresh.store.clone(), fresh.new_user(custom(&format!("id-{n:04}"))));
        tokio::spawn(async move { store.create_user(new).await.unwrap() })
    });
    let tasks: Vec<_> = tasks.collect();
    while fresh.store.counters().waiting < 2 {
        tokio::task::yield_now().await;
    }
    let refused = fresh.store.create_user(fresh.new_user(custom("id-late"))).await;
    assert!(matches!(refused, Err(StoreError::Busy(_))), "{refused:?}");
    drop(release);
    for task in tasks {
        assert_eq!(task.await.unwrap(), Created::New);
    }
}

#[test]
fn when_every_reader_is_in_use_the_wait_ends() {
    let config = config::Store { read_connections: 1, busy_timeout_ms: 1, ..config::Store::default() };
    let fresh = Fresh::with(config);
    let inner = fresh.store.db.read(|_| {
        fresh.store.find_login(Identifier::Username("x")).map_err(|error| error.in_file(&Arc::from("inner")))
    });
    assert!(matches!(inner, Err(StoreError::Busy(_))), "{inner:?}");
    assert_eq!(fresh.store.find_login(Identifier::Username("x")).unwrap(), None);
}

#[tokio::test]
async fn a_write_that_fails_or_panics_does_not_take_the_others_with_it() {
    let fresh = Fresh::new();
    let (release, is_held) = hold_writer(&fresh.store);
    is_held.await.unwrap();
    let write = |n: u8| {
        let db = Arc::clone(&fresh.store.db);
        tokio::spawn(async move {
            let job = move |tx: &db::Transaction<'_>| {
                let key = [n; 16];
                db::run(tx, "INSERT INTO user_tombstone (user_id, create_time) VALUES (?1, 1)", [key])?;
                match n {
                    1 => Err(StoreError::other("this one fails")),
                    2 => panic!("this one panics"),
                    3 => db::run(tx, "INSERT INTO user_tombstone (user_id, create_time) VALUES (?1, 2)", [key]),
                    _ => Ok(1),
                }
            };
            db.write(job).await
        })
    };
    let tasks: Vec<_> = (0..5).map(write).collect();
    while fresh.store.counters().waiting < 5 {
        tokio::task::yield_now().await;
    }
    let before = fresh.store.counters();
    drop(release);
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap().map_err(|error| error.to_string()));
    }
    assert_eq!((&outcomes[0], &outcomes[4]), (&Ok(1), &Ok(1)));
    let text = |n: usize| outcomes[n].clone().unwrap_err();
    assert!(text(1).ends_with("this one fails") && text(2).ends_with("a write has panicked"), "{outcomes:?}");
    assert_eq!(text(3), "taken already: user_tombstone.user_id");
    assert_eq!(fresh.store.counters().commits - before.commits, 2);
    let sql = "SELECT user_id FROM user_tombstone ORDER BY user_id";
    let kept = fresh.store.db.read(|conn| db::many(conn, sql, [], |row| row.uuid(0))).unwrap();
    assert_eq!(kept, [Uuid::from_bytes([0; 16]), Uuid::from_bytes([4; 16])]);
}

#[tokio::test]
async fn when_the_commit_fails_nobody_is_told_that_it_went_well() {
    let fresh = Fresh::new();
    let (release, is_held) = hold_writer(&fresh.store);
    is_held.await.unwrap();
    let (store, new) = (fresh.store.clone(), fresh.new_user(custom("id-first")));
    let good = tokio::spawn(async move { store.create_user(new).await });
    let db = Arc::clone(&fresh.store.db);
    let spoiler = tokio::spawn(async move {
        let job = |tx: &db::Transaction<'_>| {
            tx.execute_batch("PRAGMA defer_foreign_keys = 1")?;
            db::run(tx, "INSERT INTO user_device (id, user_id) VALUES ('device-0001', x'00112233')", [])
        };
        db.write(job).await
    });
    while fresh.store.counters().waiting < 2 {
        tokio::task::yield_now().await;
    }
    drop(release);
    for error in [good.await.unwrap().unwrap_err(), spoiler.await.unwrap().unwrap_err()] {
        assert!(error.to_string().contains("FOREIGN KEY"), "{error}");
    }
    assert_eq!(fresh.store.find_login(Identifier::Custom("id-first")).unwrap(), None);
    fresh.user(custom("id-first")).await;
}

#[tokio::test]
async fn the_writer_is_set_to_be_durable() {
    let fresh = Fresh::new();
    let pragma = |sql| fresh.store.db.write(move |tx| Ok(tx.query_row(sql, [], |row| row.get::<_, i64>(0))?));
    assert_eq!(pragma("PRAGMA synchronous").await.unwrap(), 2, "FULL");
    assert_eq!(pragma("PRAGMA foreign_keys").await.unwrap(), 1);
    let mode =
        fresh.store.db.read(|conn| Ok(conn.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0))?));
    assert_eq!(mode.unwrap(), "wal");
}

#[tokio::test]
async fn a_full_disk_is_told_by_name_and_the_store_recovers() {
    let fresh = Fresh::new();
    fresh.user(custom("id-before")).await;
    set_pragma(&fresh.store, "PRAGMA max_page_count = 1").await;
    let mut made = 0;
    let refused = loop {
        let new = fresh.new_user(custom(&format!("{made:0>100}")));
        match fresh.store.create_user(new).await {
            Ok(_) => made += 1,
            Err(error) => break error,
        }
        assert!(made < 10_000, "the limit holds");
    };
    assert!(matches!(refused, StoreError::Full(_)), "{refused:?}");
    let text = refused.to_string();
    assert!(text.contains(&*fresh.path().to_string_lossy()) && text.contains("full"), "{text}");
    let lost = format!("{made:0>100}");
    assert_eq!(fresh.store.find_login(Identifier::Custom(&lost)).unwrap(), None);
    assert!(fresh.store.find_login(Identifier::Custom("id-before")).unwrap().is_some(), "reading goes on");
    set_pragma(&fresh.store, "PRAGMA max_page_count = 1000000").await;
    fresh.user(custom(&lost)).await;
}

#[tokio::test]
async fn a_file_locked_by_another_program_is_told_and_the_store_recovers() {
    let fresh = Fresh::with(config::Store { busy_timeout_ms: 20, ..config::Store::default() });
    let other = rusqlite::Connection::open(fresh.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = fresh.store.create_user(fresh.new_user(custom("id-first"))).await.unwrap_err();
    assert!(matches!(refused, StoreError::Locked(_)), "{refused:?}");
    assert!(refused.to_string().contains(&*fresh.path().to_string_lossy()), "{refused}");
    assert_eq!(fresh.store.counters().failed_commits, 1);
    other.execute_batch("ROLLBACK").unwrap();
    fresh.user(custom("id-first")).await;
}

#[tokio::test]
async fn a_row_that_is_not_what_it_must_be_is_named() {
    let fresh = Fresh::new();
    let id = fresh.user(custom("id-first")).await;
    let other = rusqlite::Connection::open(fresh.path()).unwrap();
    let spoil = "PRAGMA ignore_check_constraints = 1; \
         UPDATE users SET id = x'0102' WHERE username = ''; \
         UPDATE users SET username = CAST(x'ff' AS TEXT) WHERE custom_id = 'id-first'";
    other.execute_batch(spoil).unwrap();
    let error = fresh.store.find_login(Identifier::Custom("id-first")).unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt { table: "users", row, .. } if *row == id.to_string()), "{error}");
    let error = fresh.store.find_login(Identifier::Username("")).unwrap_err();
    assert!(error.to_string().starts_with("table users, row x'0102': "), "{error}");
}

#[test]
fn a_file_that_is_no_database_is_told_by_name() {
    let (dir, config) = (tempfile::tempdir().unwrap(), config::Store::default());
    fs::write(dir.path().join(&config.file), "this is not a database, whatever its name says".repeat(40)).unwrap();
    let error = Store::open(&config, dir.path(), Clock::manual(1)).unwrap_err().to_string();
    assert!(error.contains("kizuna.db") && error.contains("not a database"), "{error}");
}

#[test]
fn a_folder_that_is_open_already_is_refused_until_it_is_closed() {
    let fresh = Fresh::new();
    let error = Store::open(&fresh.config, fresh.dir.path(), fresh.clock.clone()).unwrap_err();
    assert!(matches!(error, StoreError::Locked(_)));
    let text = error.to_string();
    assert!(text.contains(&*fresh.dir.path().to_string_lossy()) && text.contains("another Kizuna server"), "{text}");
    fresh.store.close();
    Store::open(&fresh.config, fresh.dir.path(), fresh.clock.clone()).unwrap();
}

#[tokio::test]
async fn closing_finishes_what_waits_and_refuses_what_comes() {
    let fresh = Fresh::new();
    let (release, is_held) = hold_writer(&fresh.store);
    is_held.await.unwrap();
    let (store, new) = (fresh.store.clone(), fresh.new_user(custom("id-first")));
    let waiting = tokio::spawn(async move { store.create_user(new).await });
    while fresh.store.counters().waiting < 1 {
        tokio::task::yield_now().await;
    }
    drop(release);
    let store = fresh.store.clone();
    tokio::task::spawn_blocking(move || store.close()).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), Created::New);
    let late = fresh.store.create_user(fresh.new_user(custom("id-late"))).await;
    assert!(matches!(late, Err(StoreError::Closed)), "{late:?}");
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
                    let new = NewUser {
                        id: user,
                        username,
                        identifier: custom(&id),
                        tenant: None,
                        token_use: None,
                        notices: Vec::new(),
                    };
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

#[cfg(unix)]
#[test]
fn the_database_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let fresh = Fresh::new();
    let mode = fs::metadata(fresh.dir.path().join(&fresh.config.file)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
