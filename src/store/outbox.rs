//! Notices to webhooks: tables `kizuna_outbox` and `kizuna_outbox_size`. A notice is delivered at least once: it stays, also
//! across restarts, until its delivery has been noted.

use super::{
    Store, StoreError,
    db::{self, Row, Transaction},
};
use rusqlite::params;

/// A notice to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Name of the webhook.
    pub hook: String,
    /// What it is sent: JSON text.
    pub body: String,
    /// When to try first, in milliseconds since 1970.
    pub due_unix_millis: i64,
}

/// A notice that waits for delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredNotice {
    /// Its number; later ones are greater.
    pub id: i64,
    /// Name of the webhook.
    pub hook: String,
    /// What it is sent: JSON text.
    pub body: String,
    /// When to try next, in milliseconds since 1970.
    pub due_unix_millis: i64,
    /// Tries that have failed.
    pub attempts: u32,
}

impl Store {
    /// Stores `notices`, all or none.
    ///
    /// # Errors
    /// [`StoreError::OutboxFull`] when they would be more than may wait; others when they could not be stored.
    pub async fn put_notices(&self, notices: Vec<Notice>) -> Result<(), StoreError> {
        let most = self.limits.outbox_size;
        self.db.write(move |tx| put(tx, &notices, most)).await
    }

    /// Up to `limit` notices due at `now_millis` (milliseconds since 1970), those due first in front.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn due_notices(&self, now_millis: i64, limit: usize) -> Result<Vec<StoredNotice>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.db.read(|conn| db::many(conn, SELECT_DUE, params![now_millis, limit], notice_of))
    }

    /// When the next notice is due, in milliseconds since 1970; `None` when none waits.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn next_notice_due(&self) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT due_unix_millis FROM kizuna_outbox ORDER BY due_unix_millis, id LIMIT 1";
        self.db.read(|conn| db::one(conn, sql, [], |row| row.get(0)))
    }

    /// Notes that a notice was delivered, or given up: it is gone. `false` when it was already.
    ///
    /// # Errors
    /// When the database cannot be written; then it will be delivered again.
    pub async fn notice_done(&self, id: i64) -> Result<bool, StoreError> {
        self.db
            .write(move |tx| {
                let found = db::run(tx, "DELETE FROM kizuna_outbox WHERE id = ?1", params![id])? == 1;
                if found {
                    db::run(tx, "UPDATE kizuna_outbox_size SET notices = notices - 1", [])?;
                }
                Ok(found)
            })
            .await
    }

    /// Notes a failed try; the next is due at `due_millis` (milliseconds since 1970). `false` when the notice is gone.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn notice_retry(&self, id: i64, due_millis: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE kizuna_outbox SET due_unix_millis = ?2, attempts = attempts + 1 WHERE id = ?1";
        self.db.write(move |tx| Ok(db::run(tx, sql, params![id, due_millis])? == 1)).await
    }
}

const SELECT_DUE: &str = "SELECT id, hook, body, due_unix_millis, attempts FROM kizuna_outbox \
     WHERE due_unix_millis <= ?1 ORDER BY due_unix_millis, id LIMIT ?2";
const TAKE_ROOM: &str = "UPDATE kizuna_outbox_size SET notices = notices + ?1 WHERE notices + ?1 <= ?2";
const INSERT: &str = "INSERT INTO kizuna_outbox (hook, body, due_unix_millis) VALUES (?1, ?2, ?3)";

pub(super) fn put(tx: &Transaction<'_>, notices: &[Notice], most: usize) -> Result<(), StoreError> {
    if notices.is_empty() {
        return Ok(());
    }
    let (count, limit) = (i64::try_from(notices.len()), i64::try_from(most));
    if db::run(tx, TAKE_ROOM, params![count.unwrap_or(i64::MAX), limit.unwrap_or(i64::MAX)])? == 0 {
        return Err(StoreError::OutboxFull(most));
    }
    for notice in notices {
        db::run(tx, INSERT, params![notice.hook, notice.body, notice.due_unix_millis])?;
    }
    Ok(())
}

fn notice_of(row: &Row<'_>) -> Result<StoredNotice, StoreError> {
    Ok(StoredNotice {
        id: row.get(0)?,
        hook: row.get(1)?,
        body: row.get(2)?,
        due_unix_millis: row.get(3)?,
        attempts: row.get(4)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Created, Identifier, Limits, NewUser, tests::Fresh, tests::custom};

    fn notice(body: &str, due_unix_millis: i64) -> Notice {
        Notice { hook: "crm".into(), body: body.into(), due_unix_millis }
    }

    fn bodies(fresh: &Fresh, now: i64) -> Vec<String> {
        fresh.store.due_notices(now, 10).unwrap().into_iter().map(|notice| notice.body).collect()
    }

    #[tokio::test]
    async fn a_notice_waits_until_it_is_due_and_stays_until_it_is_done() {
        let mut fresh = Fresh::new();
        fresh.store.put_notices(vec![notice("late", 20), notice("early", 10)]).await.unwrap();
        assert_eq!((bodies(&fresh, 9), bodies(&fresh, 10)), (vec![], vec!["early".to_owned()]));
        fresh.reopen();
        assert_eq!(bodies(&fresh, 20), ["early", "late"]);
        assert_eq!(fresh.store.next_notice_due().unwrap(), Some(10));
        let early = fresh.store.due_notices(20, 1).unwrap().remove(0);
        assert!(fresh.store.notice_retry(early.id, 30).await.unwrap());
        let again = fresh.store.due_notices(30, 10).unwrap().remove(1);
        assert_eq!((again.id, again.attempts), (early.id, 1));
        assert!(fresh.store.notice_done(early.id).await.unwrap());
        assert!(!fresh.store.notice_done(early.id).await.unwrap());
        assert!(!fresh.store.notice_retry(early.id, 40).await.unwrap());
        assert_eq!(bodies(&fresh, 99), ["late"]);
    }

    #[tokio::test]
    async fn a_full_outbox_refuses_and_with_it_the_account() {
        let mut fresh = Fresh::new();
        fresh.store = fresh.store.with_limits(Limits { outbox_size: 2, ..Limits::default() });
        fresh.store.put_notices(vec![notice("1", 0)]).await.unwrap();
        let refused = fresh.store.put_notices(vec![notice("2", 0), notice("3", 0)]).await;
        assert!(matches!(refused, Err(StoreError::OutboxFull(2))), "{refused:?}");
        fresh.store.put_notices(vec![notice("2", 0)]).await.unwrap();
        let new = |fresh: &Fresh| NewUser { notices: vec![notice("created", 0)], ..fresh.new_user(custom("id-first")) };
        assert!(matches!(fresh.store.create_user(new(&fresh)).await, Err(StoreError::OutboxFull(2))));
        assert_eq!(fresh.store.find_login(Identifier::Custom("id-first")).unwrap(), None);
        let first = fresh.store.due_notices(0, 1).unwrap().remove(0);
        fresh.store.notice_done(first.id).await.unwrap();
        assert_eq!(fresh.store.create_user(new(&fresh)).await.unwrap(), Created::New);
        assert_eq!(bodies(&fresh, 0), ["2", "created"]);
    }
}
