//! The one writer: a thread that commits whatever has queued up as one transaction, then answers all of it. The cost of making
//! data durable is paid once for all who wait, and SQLite never has two writers to keep apart.

use super::{
    StoreError,
    db::{self, Transaction},
};
use crate::config;
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};
use tokio::sync::oneshot;

/// What the writer has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Transactions committed.
    pub commits: u64,
    /// Writes in them.
    pub writes: u64,
    /// Transactions that failed as a whole: disk full, file locked.
    pub failed_commits: u64,
    /// Writes that wait now.
    pub waiting: usize,
}

/// The handle of the writer's thread.
pub(super) struct Writer {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Queue {
    /// Guards the jobs that wait. Held for a push or for taking a batch, never while a job runs.
    state: Mutex<State>,
    wake: Condvar,
    most: usize,
    file: Arc<str>,
    commits: AtomicU64,
    writes: AtomicU64,
    failed_commits: AtomicU64,
}

struct State {
    jobs: VecDeque<Box<dyn Job>>,
    open: bool,
    /// The writer sleeps: a push must wake it.
    asleep: bool,
}

impl Writer {
    pub(super) fn start(conn: Connection, config: &config::Store, file: Arc<str>) -> Result<Self, StoreError> {
        let queue = Arc::new(Queue {
            state: Mutex::new(State { jobs: VecDeque::new(), open: true, asleep: false }),
            wake: Condvar::new(),
            most: config.write_queue_size,
            file,
            commits: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            failed_commits: AtomicU64::new(0),
        });
        let (jobs, batch) = (Arc::clone(&queue), config.group_commit_size.max(1));
        let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || work(&conn, &jobs, batch));
        Ok(Self { queue, thread: Mutex::new(Some(thread.map_err(StoreError::other)?)) })
    }

    pub(super) async fn write<T, F>(&self, undo: Undo, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.queue.push(Box::new(Write { job: Some(job), undo, outcome: None, answer }))?;
        // The writer answers everything it has taken; a lost answer means that its thread is gone.
        answered.await.unwrap_or(Err(StoreError::Closed))
    }

    pub(super) fn close(&self) {
        self.queue.state.lock().open = false;
        self.queue.wake.notify_one();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!(file = %self.queue.file, "the store's writer has panicked");
        }
    }

    pub(super) fn counters(&self) -> Counters {
        let queue = &self.queue;
        Counters {
            commits: queue.commits.load(Ordering::Relaxed),
            writes: queue.writes.load(Ordering::Relaxed),
            failed_commits: queue.failed_commits.load(Ordering::Relaxed),
            waiting: queue.state.lock().jobs.len(),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

impl Queue {
    fn push(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if !state.open {
            return Err(StoreError::Closed);
        }
        if state.jobs.len() >= self.most {
            return Err(StoreError::Busy("as many writes wait as may (store.write_queue_size)"));
        }
        state.jobs.push_back(job);
        let wake = std::mem::take(&mut state.asleep);
        drop(state);
        if wake {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Waits for jobs and moves up to `most` of them to `batch`; `false` once the store is closed and nothing is left.
    fn take(&self, batch: &mut Vec<Box<dyn Job>>, most: usize) -> bool {
        let mut state = self.state.lock();
        while state.jobs.is_empty() && state.open {
            state.asleep = true;
            self.wake.wait(&mut state);
        }
        state.asleep = false;
        let count = state.jobs.len().min(most);
        batch.extend(state.jobs.drain(..count));
        count > 0
    }
}

/// How a job that fails is undone, so that the others of its transaction stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undo {
    /// By a savepoint around it.
    Savepoint,
    /// By SQLite: nothing that can fail comes after its only writing statement, and a statement that fails undoes itself. Saves a
    /// sixth of a new account's cost.
    Statement,
}

/// One write, its type forgotten.
trait Job: Send {
    fn undo(&self) -> Undo;
    /// Runs it and keeps its outcome; whether it went well.
    fn run(&mut self, tx: &Transaction<'_>) -> bool;
    /// Answers its caller: its own outcome when that is an error or the transaction has been committed, else `failure`.
    fn answer(self: Box<Self>, failure: Option<&StoreError>, file: &Arc<str>);
    /// Its own error, if it has one.
    fn error(&self) -> Option<&StoreError>;
}

struct Write<F, T> {
    job: Option<F>,
    undo: Undo,
    outcome: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Job for Write<F, T>
where
    T: Send + 'static,
    F: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
{
    fn undo(&self) -> Undo {
        self.undo
    }

    fn run(&mut self, tx: &Transaction<'_>) -> bool {
        let Some(job) = self.job.take() else { return false };
        // A job that panics has its savepoint rolled back, so nothing half-done is seen afterwards.
        let outcome = catch_unwind(AssertUnwindSafe(|| job(tx)));
        let outcome = outcome.unwrap_or_else(|_| Err(StoreError::other("a write has panicked")));
        self.outcome.insert(outcome).is_ok()
    }

    fn answer(self: Box<Self>, failure: Option<&StoreError>, file: &Arc<str>) {
        let outcome = match (self.outcome, failure) {
            (Some(Err(own)), _) => Err(own),
            (_, Some(failure)) => Err(failure.clone()),
            (Some(outcome), None) => outcome,
            (None, None) => Err(StoreError::other("a write was not run")),
        };
        // Whoever asked may have gone; the write stands.
        let _ = self.answer.send(outcome.map_err(|error| error.in_file(file)));
    }

    fn error(&self) -> Option<&StoreError> {
        self.outcome.as_ref().and_then(|outcome| outcome.as_ref().err())
    }
}

/// The thread.
fn work(conn: &Connection, queue: &Queue, most: usize) {
    let mut batch = Vec::new();
    let mut failing = false;
    while queue.take(&mut batch, most) {
        let count = batch.len() as u64;
        let failure = commit(conn, &mut batch).err();
        match &failure {
            None => {
                queue.commits.fetch_add(1, Ordering::Relaxed);
                queue.writes.fetch_add(count, Ordering::Relaxed);
            }
            Some(_) => {
                queue.failed_commits.fetch_add(1, Ordering::Relaxed);
            }
        }
        let was_failing = failing;
        tell(&mut failing, failure.as_ref(), queue);
        for job in batch.drain(..) {
            job.answer(failure.as_ref(), &queue.file);
        }
        if was_failing || failing {
            // After a full disk: once its pages are in the database, the log begins anew in the room that it has already.
            checkpoint(conn, "PRAGMA wal_checkpoint(PASSIVE)");
        }
    }
    checkpoint(conn, "PRAGMA wal_checkpoint(TRUNCATE)");
}

/// Copies the log into the database. It may fail: what is in the log is as durable as what is in the database.
fn checkpoint(conn: &Connection, sql: &str) {
    let _ = conn.query_row(sql, [], |_| Ok(()));
}

/// Logs when writing begins to fail and when it works again, not each time between.
fn tell(failing: &mut bool, failure: Option<&StoreError>, queue: &Queue) {
    match failure {
        Some(error) if !*failing => tracing::error!(file = %queue.file, %error, "the store cannot write"),
        None if *failing => tracing::info!(file = %queue.file, "the store writes again"),
        _ => {}
    }
    *failing = failure.is_some();
}

/// Runs the jobs in one transaction and commits it. On an error none of them has happened.
fn commit(conn: &Connection, jobs: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    let tx = Transaction(conn);
    // Left by a commit whose own ROLLBACK failed.
    if !conn.is_autocommit() {
        db::run(&tx, "ROLLBACK", [])?;
    }
    db::run(&tx, "BEGIN IMMEDIATE", [])?;
    let done = run_all(&tx, jobs).and_then(|()| db::run(&tx, "COMMIT", []).map(drop));
    if done.is_err() && !conn.is_autocommit() {
        db::run(&tx, "ROLLBACK", [])?;
    }
    done
}

fn run_all(tx: &Transaction<'_>, jobs: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    for job in jobs {
        let savepoint = job.undo() == Undo::Savepoint;
        if savepoint {
            db::run(tx, "SAVEPOINT job", [])?;
        }
        let went_well = job.run(tx);
        // SQLite gives up the whole transaction when the disk is full or fails, and with it the jobs before this one.
        if tx.is_autocommit() {
            return Err(job.error().cloned().unwrap_or_else(|| StoreError::other("the transaction was lost")));
        }
        if savepoint && !went_well {
            db::run(tx, "ROLLBACK TO job", [])?;
        }
        if savepoint {
            db::run(tx, "RELEASE job", [])?;
        }
    }
    Ok(())
}
