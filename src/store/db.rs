//! The engine under the entities: files and connections, how they are set up, how rows are read. What is particular to SQLite
//! stays here, in `writer` and in `sqlite/`.

use super::{
    StoreError,
    migrations::{self, MigrationState},
    writer::{Counters, Undo, Writer},
};
use crate::{clock::Clock, config};
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, Params, config::DbConfig, types::FromSql, types::ValueRef};
use std::{
    fs::{self, File, TryLockError},
    ops::Deref,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use uuid::Uuid;

/// The file whose lock says that a server has the data folder open.
const LOCK_FILE: &str = "kizuna.lock";
/// Statements that a connection keeps compiled: more than there are different ones.
const STATEMENTS: usize = 96;

/// An open database: one writer, several readers.
pub(super) struct Db {
    file: Arc<str>,
    readers: Vec<Mutex<Connection>>,
    /// Where to queue when every reader is in use.
    turn: AtomicUsize,
    patience: Duration,
    writer: Writer,
    /// Held while the database is open.
    folder: Mutex<Option<File>>,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Db {
    pub(super) fn open(config: &config::Store, data_dir: &Path, clock: &Clock) -> Result<Self, StoreError> {
        let (folder, conn, path) = open_exclusive(config, data_dir)?;
        let file = name_of(&path);
        let named = |error: StoreError| error.in_file(&file);
        migrations::up(&conn, clock.unix_micros()).map_err(named)?;
        let count = config.read_connections.max(1);
        let readers = (0..count).map(|_| open_reader(config, &path).map(Mutex::new)).collect::<Result<_, _>>();
        Ok(Self {
            readers: readers.map_err(named)?,
            turn: AtomicUsize::new(0),
            patience: Duration::from_millis(config.busy_timeout_ms),
            writer: Writer::start(conn, config, Arc::clone(&file)).map_err(named)?,
            folder: Mutex::new(Some(folder)),
            file,
        })
    }

    /// Reads on the caller's thread. The first free connection is taken, so that under little load one warm cache serves all.
    pub(super) fn read<T>(&self, f: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let free = self.readers.iter().find_map(Mutex::try_lock);
        let reader = free.or_else(|| {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.readers.len();
            self.readers[turn].try_lock_for(self.patience)
        });
        let reader =
            reader.ok_or(StoreError::Busy("every connection for reading is in use (store.read_connections)"))?;
        f(&reader).map_err(|error| error.in_file(&self.file))
    }

    /// Runs `job` on the writer's thread, alone in a savepoint; answers once what it wrote is on disk. The job runs even when the
    /// caller no longer waits.
    pub(super) async fn write<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.write(Undo::Savepoint, job).await
    }

    /// As [`Db::write`]; `undo` says whether the job needs its savepoint.
    pub(super) async fn write_with<T, F>(&self, undo: Undo, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.write(undo, job).await
    }

    pub(super) fn close(&self) {
        self.writer.close();
        self.folder.lock().take();
    }

    pub(super) fn counters(&self) -> Counters {
        self.writer.counters()
    }
}

/// The writer's connection inside a transaction: what a job may write to.
pub(super) struct Transaction<'c>(pub(super) &'c Connection);

impl Deref for Transaction<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.0
    }
}

/// A row being read. Its first column is its key: a value that cannot be what it must be is reported with it.
pub(super) struct Row<'r> {
    row: &'r rusqlite::Row<'r>,
    sql: &'static str,
}

impl Row<'_> {
    pub(super) fn get<T: FromSql>(&self, column: usize) -> Result<T, StoreError> {
        self.row.get(column).map_err(|error| self.corrupt(error.to_string()))
    }

    pub(super) fn uuid(&self, column: usize) -> Result<Uuid, StoreError> {
        self.get::<[u8; 16]>(column).map(Uuid::from_bytes)
    }

    pub(super) fn corrupt(&self, cause: String) -> StoreError {
        let row = match self.row.get_ref(0) {
            Ok(ValueRef::Blob(id)) => {
                Uuid::from_slice(id).map_or_else(|_| format!("x'{}'", hex(id)), |id| id.to_string())
            }
            Ok(ValueRef::Integer(id)) => id.to_string(),
            _ => "without a readable key".to_owned(),
        };
        StoreError::Corrupt { table: table_of(self.sql), row, cause }
    }
}

/// A UUID as its column holds it.
pub(super) fn key(id: &Uuid) -> &[u8] {
    id.as_bytes()
}

/// The only row of a query, or `None`.
pub(super) fn one<T>(
    conn: &Connection,
    sql: &'static str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(|row| read(&Row { row, sql })).transpose()
}

/// Every row of a query.
pub(super) fn many<T>(
    conn: &Connection,
    sql: &'static str,
    params: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(&Row { row, sql })?);
    }
    Ok(all)
}

/// Runs a statement and answers how many rows it touched.
pub(super) fn run(tx: &Transaction<'_>, sql: &'static str, params: impl Params) -> Result<usize, StoreError> {
    Ok(tx.prepare_cached(sql)?.execute(params)?)
}

pub(super) fn migration_status(config: &config::Store, data_dir: &Path) -> Result<Vec<MigrationState>, StoreError> {
    let path = data_dir.join(&config.file);
    if !path.exists() {
        return Ok(migrations::none_applied());
    }
    open_reader(config, &path)
        .and_then(|conn| migrations::status(&conn))
        .map_err(|error| error.in_file(&name_of(&path)))
}

pub(super) fn migrate_up(
    config: &config::Store,
    data_dir: &Path,
    clock: &Clock,
) -> Result<Vec<&'static str>, StoreError> {
    let (_folder, conn, path) = open_exclusive(config, data_dir)?;
    migrations::up(&conn, clock.unix_micros()).map_err(|error| error.in_file(&name_of(&path)))
}

/// The folder's lock, the connection for writing, and the database's path.
fn open_exclusive(config: &config::Store, data_dir: &Path) -> Result<(File, Connection, PathBuf), StoreError> {
    let in_folder = |error: StoreError| error.in_file(&name_of(data_dir));
    make_folder(data_dir).map_err(StoreError::other).map_err(in_folder)?;
    let folder = lock_folder(data_dir).map_err(in_folder)?;
    let path = data_dir.join(&config.file);
    make_file(&path).map_err(StoreError::other).map_err(|error| error.in_file(&name_of(&path)))?;
    let conn = open_writer(config, &path).map_err(|error| error.in_file(&name_of(&path)))?;
    Ok((folder, conn, path))
}

/// Makes the folder, for its owner alone: what lies in it signs players in.
fn make_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Makes the database's file, for its owner alone, if there is none; SQLite gives its log the same mode.
fn make_file(path: &Path) -> std::io::Result<()> {
    let mut options = File::options();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Takes the folder for this process. The system frees it when the process ends, however it ends.
fn lock_folder(data_dir: &Path) -> Result<File, StoreError> {
    let path = data_dir.join(LOCK_FILE);
    let opened = File::options().create(true).truncate(false).write(true).open(path);
    let file = opened.map_err(|error| StoreError::other(format!("{LOCK_FILE}: {error}")))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(StoreError::Locked(super::Fault::new("another Kizuna server has this data folder open")))
        }
        Err(TryLockError::Error(error)) => Err(StoreError::other(format!("{LOCK_FILE}: {error}"))),
    }
}

fn open_writer(config: &config::Store, path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    set_up(&conn, config)?;
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        let cause = "cannot keep a write-ahead log here: a network file system? Set data_dir to a local disk";
        return Err(StoreError::other(cause));
    }
    conn.pragma_update(None, "synchronous", "FULL")?;
    // macOS: fsync alone does not reach the disk. Elsewhere without effect.
    conn.pragma_update(None, "fullfsync", true)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    conn.pragma_update_and_check(None, "journal_size_limit", LOG_SIZE_LIMIT, |_| Ok(()))?;
    Ok(conn)
}

/// Pages in the write-ahead log at which the writer copies them into the database: a page that was written often since is
/// copied once.
const CHECKPOINT_PAGES: i64 = 8_192;
/// Bytes to which the log's file is cut after it has grown beyond (a reader can hold a checkpoint back).
const LOG_SIZE_LIMIT: i64 = 64 << 20;

fn open_reader(config: &config::Store, path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    set_up(&conn, config)?;
    Ok(conn)
}

fn set_up(conn: &Connection, config: &config::Store) -> Result<(), StoreError> {
    conn.busy_timeout(Duration::from_millis(config.busy_timeout_ms))?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.pragma_update(None, "cache_size", -i64::from(config.cache_size_kib))?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    // A plan does not depend on the values that are bound. Else SQLite parses and plans a kept statement anew with each value that
    // could matter, which was half of what reading an account took.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

fn name_of(path: &Path) -> Arc<str> {
    Arc::from(path.to_string_lossy())
}

/// The table that a query is about: the one after its last FROM.
fn table_of(sql: &'static str) -> &'static str {
    sql.rsplit_once(" FROM ").and_then(|(_, rest)| rest.split_whitespace().next()).unwrap_or(sql)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
