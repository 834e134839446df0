//! How the tables come to be, step by step. Our own state stands in `kizuna_migration`; Nakama's `migration_info` holds exactly
//! Nakama's rows, because Nakama counts them.

use super::StoreError;
use rusqlite::{Connection, params};

/// A migration, and whether the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationState {
    /// Its number; applied in this order.
    pub version: i64,
    /// What it brings.
    pub name: String,
    /// When it was applied, in microseconds since 1970; `None`: not yet.
    pub applied_at: Option<i64>,
    /// Whether this version of Kizuna knows it.
    pub known: bool,
}

struct Migration {
    version: i64,
    name: &'static str,
    /// Statements, with `:now` for microseconds since 1970.
    sql: &'static str,
}

/// Never change one that has been released: add another.
const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "accounts", sql: include_str!("sqlite/0001_accounts.sql") },
    Migration { version: 2, name: "revocations", sql: include_str!("sqlite/0002_revocations.sql") },
    Migration { version: 3, name: "outbox", sql: include_str!("sqlite/0003_outbox.sql") },
    Migration { version: 4, name: "refresh chains", sql: include_str!("sqlite/0004_refresh_chains.sql") },
    Migration { version: 5, name: "scoped revocations", sql: include_str!("sqlite/0005_scoped_revocations.sql") },
    Migration { version: 6, name: "provider sessions", sql: include_str!("sqlite/0006_provider_sessions.sql") },
    Migration { version: 7, name: "tenants", sql: include_str!("sqlite/0007_tenants.sql") },
    Migration { version: 8, name: "token uses", sql: include_str!("sqlite/0008_token_uses.sql") },
    Migration {
        version: 9,
        name: "provider session scopes",
        sql: include_str!("sqlite/0009_provider_session_scopes.sql"),
    },
    Migration { version: 10, name: "notifications", sql: include_str!("sqlite/0010_notifications.sql") },
    Migration { version: 11, name: "friends", sql: include_str!("sqlite/0011_friends.sql") },
];

const STATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS kizuna_migration (\
     version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT";

/// Applies what the database lacks, all of it or nothing, and answers the names. `now` in microseconds since 1970.
pub(super) fn up(conn: &Connection, now: i64) -> Result<Vec<&'static str>, StoreError> {
    up_to(conn, now, i64::MAX)
}

/// As [`up`], no further than `last`.
pub(super) fn up_to(conn: &Connection, now: i64, last: i64) -> Result<Vec<&'static str>, StoreError> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let done = apply_missing(conn, now, last).and_then(|names| {
        conn.execute_batch("COMMIT")?;
        Ok(names)
    });
    if done.is_err() && !conn.is_autocommit() {
        conn.execute_batch("ROLLBACK")?;
    }
    done
}

fn apply_missing(conn: &Connection, now: i64, last: i64) -> Result<Vec<&'static str>, StoreError> {
    conn.execute_batch(STATE_TABLE)?;
    let applied = applied(conn)?;
    refuse_newer(&applied)?;
    let missing = MIGRATIONS.iter().filter(|known| applied.iter().all(|state| state.version != known.version));
    let mut names = Vec::new();
    for migration in missing.filter(|migration| migration.version <= last) {
        let named = |error: rusqlite::Error| match StoreError::from(error) {
            StoreError::Other(fault) => {
                StoreError::other(format!("migration {} ({}): {fault}", migration.version, migration.name))
            }
            other => other,
        };
        conn.execute_batch(&migration.sql.replace(":now", &now.to_string())).map_err(named)?;
        let sql = "INSERT INTO kizuna_migration (version, name, applied_at) VALUES (?1, ?2, ?3)";
        conn.execute(sql, params![migration.version, migration.name, now])?;
        names.push(migration.name);
    }
    Ok(names)
}

/// What the database has and what it lacks, in order.
pub(super) fn status(conn: &Connection) -> Result<Vec<MigrationState>, StoreError> {
    let mut states = none_applied();
    if !conn.table_exists(None, "kizuna_migration")? {
        return Ok(states);
    }
    for state in applied(conn)? {
        match states.iter_mut().find(|known| known.version == state.version) {
            Some(known) => known.applied_at = state.applied_at,
            None => states.push(state),
        }
    }
    Ok(states)
}

/// The status of a database that is not there.
pub(super) fn none_applied() -> Vec<MigrationState> {
    let state = |migration: &Migration| MigrationState {
        version: migration.version,
        name: migration.name.to_owned(),
        applied_at: None,
        known: true,
    };
    MIGRATIONS.iter().map(state).collect()
}

fn applied(conn: &Connection) -> Result<Vec<MigrationState>, StoreError> {
    let mut statement = conn.prepare("SELECT version, name, applied_at FROM kizuna_migration ORDER BY version")?;
    let known = |version| MIGRATIONS.iter().any(|migration| migration.version == version);
    let rows = statement.query_map([], |row| {
        let version = row.get(0)?;
        Ok(MigrationState { version, name: row.get(1)?, applied_at: Some(row.get(2)?), known: known(version) })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn refuse_newer(applied: &[MigrationState]) -> Result<(), StoreError> {
    let Some(newer) = applied.iter().find(|state| !state.known) else { return Ok(()) };
    Err(StoreError::Refused(format!(
        "the database was made by a newer version of Kizuna: it has migration {} ({}), this version knows up to {}. \
         Start the newer version, or name another data_dir",
        newer.version,
        newer.name,
        MIGRATIONS.last().map_or(0, |migration| migration.version)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        config,
        store::{Store, tests::Fresh},
    };

    #[test]
    fn nakama_finds_its_nineteen_migrations_and_its_seeds() {
        let fresh = Fresh::new();
        let count = |sql| fresh.store.db.read(|conn| Ok(conn.query_row(sql, [], |row| row.get::<_, i64>(0))?)).unwrap();
        assert_eq!(count("SELECT count(*) FROM migration_info"), 19);
        assert_eq!(count("SELECT count(*) FROM users WHERE id = zeroblob(16) AND username = ''"), 1);
        assert_eq!(count("SELECT count(*) FROM setting WHERE name = 'utc_toggle' AND value = 'false'"), 1);
    }

    #[test]
    fn an_older_database_is_brought_up_to_date_with_its_data() {
        let (dir, config, clock) = (tempfile::tempdir().unwrap(), config::Store::default(), Clock::manual(1));
        let conn = Connection::open(dir.path().join(&config.file)).unwrap();
        up_to(&conn, 5, 1).unwrap();
        let old = "INSERT INTO users (id, username, custom_id, create_time, update_time) VALUES (randomblob(16), 'old', 'id-old', 1, 1)";
        conn.execute(old, []).unwrap();
        drop(conn);
        let applied = |states: &[MigrationState]| states.iter().map(|state| state.applied_at).collect::<Vec<_>>();
        let before = Store::migration_status(&config, dir.path()).unwrap();
        let all_but_first = &MIGRATIONS[1..];
        assert_eq!(applied(&before), [vec![Some(5)], vec![None; all_but_first.len()]].concat());
        assert_eq!(
            Store::migrate_up(&config, dir.path(), &clock).unwrap(),
            all_but_first.iter().map(|migration| migration.name).collect::<Vec<_>>()
        );
        assert_eq!(Store::migrate_up(&config, dir.path(), &clock).unwrap(), [""; 0]);
        let after = Store::migration_status(&config, dir.path()).unwrap();
        assert_eq!(applied(&after), [vec![Some(5)], vec![Some(1_000_000); all_but_first.len()]].concat());
        let store = Store::open(&config, dir.path(), clock).unwrap();
        let old = store.find_login(crate::store::Identifier::Custom("id-old")).unwrap().unwrap();
        assert_eq!(old.username, "old");
    }

    #[test]
    fn a_missing_database_lacks_everything_and_is_not_made_by_looking() {
        let (dir, config) = (tempfile::tempdir().unwrap(), config::Store::default());
        let states = Store::migration_status(&config, dir.path()).unwrap();
        assert!(
            states.len() == MIGRATIONS.len() && states.iter().all(|state| state.applied_at.is_none() && state.known)
        );
        assert!(!dir.path().join(&config.file).exists());
    }

    #[test]
    fn a_newer_database_is_refused_by_name() {
        let (dir, config, clock) = (tempfile::tempdir().unwrap(), config::Store::default(), Clock::manual(1));
        Store::open(&config, dir.path(), clock.clone()).unwrap().close();
        let conn = Connection::open(dir.path().join(&config.file)).unwrap();
        conn.execute("INSERT INTO kizuna_migration VALUES (99, 'teleport', 1)", []).unwrap();
        let error = Store::open(&config, dir.path(), clock).unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)));
        let text = error.to_string();
        assert!(
            text.contains("migration 99 (teleport)")
                && text.contains(&format!("up to {}", MIGRATIONS.last().unwrap().version)),
            "{text}"
        );
        let states = Store::migration_status(&config, dir.path()).unwrap();
        assert!(states.last().is_some_and(|state| state.version == 99 && !state.known));
    }
}
