//! In-app notifications that are kept: table `notification`. One's `create_time` is later than that of every other one of its user
//! that is there, so that a cursor behind the last one misses none that is written afterwards, also when the clock goes back.

use super::{
    Limits, Store, StoreError,
    db::{self, Row, Transaction},
};
use rusqlite::params;
use std::ops::RangeInclusive;
use uuid::Uuid;

/// A notification to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNotification {
    /// Its id.
    pub id: Uuid,
    /// Whom it is for.
    pub user_id: Uuid,
    /// Up to 255 characters.
    pub subject: String,
    /// JSON text as [`super::jsonb::normalised`] writes it.
    pub content: String,
    /// What it is about; what a `smallint` holds.
    pub code: i32,
    /// Who causes it; nil: the server.
    pub sender_id: Uuid,
}

/// A notification that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// What was to be kept.
    pub new: NewNotification,
    /// When it was, in microseconds since 1970.
    pub create_time: i64,
}

impl Store {
    /// Keeps `new` and answers it, but for what is for users who are not there. The oldest of a user make room for it beyond
    /// `notification.max_per_user`, and before that those of the same player beyond `notification.max_per_sender`.
    ///
    /// # Errors
    /// When it could not be stored; then nothing was.
    pub async fn put_notifications(&self, new: Vec<NewNotification>) -> Result<Vec<Notification>, StoreError> {
        let (clock, limits) = (self.clock.clone(), self.limits);
        self.db.write(move |tx| put(tx, new, clock.unix_micros(), limits)).await
    }

    /// Up to `limit` of a user's notifications, the oldest first; after time and id of one that is or was there.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn notifications(
        &self,
        user_id: Uuid,
        after: (i64, Uuid),
        limit: usize,
    ) -> Result<Vec<Notification>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let params = params![db::key(&user_id), after.0, db::key(&after.1), limit];
        self.db.read(|conn| db::many(conn, SELECT, params, notification_of))
    }

    /// Deletes those of `ids` that are the user's, and answers how many.
    ///
    /// # Errors
    /// When the database cannot be written; then none is.
    pub async fn delete_notifications(&self, user_id: Uuid, ids: Vec<Uuid>) -> Result<usize, StoreError> {
        self.db
            .write(move |tx| {
                let mut deleted = 0;
                for id in &ids {
                    deleted += db::run(tx, DELETE, params![db::key(id), db::key(&user_id)])?;
                }
                Ok(deleted)
            })
            .await
    }
}

const SELECT: &str = "SELECT id, user_id, subject, content, code, sender_id, create_time FROM notification \
     WHERE user_id = ?1 AND (create_time, id) > (?2, ?3) ORDER BY create_time, id LIMIT ?4";
const DELETE: &str = "DELETE FROM notification WHERE id = ?1 AND user_id = ?2";
const LAST: &str = "SELECT create_time FROM notification WHERE user_id = ?1 ORDER BY create_time DESC LIMIT 1";
/// Inserts nothing for a user who is not there: one who was deleted meanwhile takes nothing from the others.
const INSERT: &str = "INSERT INTO notification (id, user_id, subject, content, code, sender_id, create_time) \
     SELECT ?1, id, ?3, ?4, ?5, ?6, ?7 FROM users WHERE id = ?2";
/// Codes of what players cause by what they do to others. A program's own are outside of it, whoever it names as their sender.
const BY_PLAYERS: RangeInclusive<i32> = -999..=-1;
/// An invite can be made and withdrawn again and again: one player pushes out no more than what is from that player.
const MAKE_ROOM_OF_SENDER: &str = "DELETE FROM notification \
     WHERE user_id = ?1 AND sender_id = ?2 AND code BETWEEN -999 AND -1 AND create_time <= \
     (SELECT create_time FROM notification WHERE user_id = ?1 AND sender_id = ?2 AND code BETWEEN -999 AND -1 \
      ORDER BY create_time DESC LIMIT 1 OFFSET ?3)";
const MAKE_ROOM: &str = "DELETE FROM notification WHERE user_id = ?1 AND create_time <= \
     (SELECT create_time FROM notification WHERE user_id = ?1 ORDER BY create_time DESC LIMIT 1 OFFSET ?2)";

/// Part of a transaction that causes notifications: what is told has happened, and what has happened is told.
pub(super) fn put(
    tx: &Transaction<'_>,
    new: Vec<NewNotification>,
    now: i64,
    limits: Limits,
) -> Result<Vec<Notification>, StoreError> {
    let bound = |most: usize| i64::try_from(most).unwrap_or(i64::MAX);
    let mut kept = Vec::with_capacity(new.len());
    for new in new {
        let user = db::key(&new.user_id);
        let last = db::one(tx, LAST, params![user], |row| row.get::<i64>(0))?;
        let create_time = last.map_or(now, |last| now.max(last + 1));
        let (id, sender) = (db::key(&new.id), db::key(&new.sender_id));
        let values = params![id, user, new.subject, new.content, new.code, sender, create_time];
        if db::run(tx, INSERT, values)? == 1 {
            if !new.sender_id.is_nil() && BY_PLAYERS.contains(&new.code) {
                db::run(tx, MAKE_ROOM_OF_SENDER, params![user, sender, bound(limits.notifications_per_sender)])?;
            }
            db::run(tx, MAKE_ROOM, params![user, bound(limits.notifications_per_user)])?;
            kept.push(Notification { new, create_time });
        }
    }
    Ok(kept)
}

fn notification_of(row: &Row<'_>) -> Result<Notification, StoreError> {
    let new = NewNotification {
        id: row.uuid(0)?,
        user_id: row.uuid(1)?,
        subject: row.get(2)?,
        content: row.get(3)?,
        code: row.get(4)?,
        sender_id: row.uuid(5)?,
    };
    Ok(Notification { new, create_time: row.get(6)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{Fresh, custom};

    const BEGINNING: (i64, Uuid) = (i64::MIN, Uuid::nil());

    fn to(fresh: &Fresh, user_id: Uuid, subject: &str) -> NewNotification {
        let (subject, content) = (subject.to_owned(), "{}".to_owned());
        NewNotification { id: fresh.entropy.uuid(), user_id, subject, content, code: 7, sender_id: Uuid::nil() }
    }

    fn subjects(kept: &[Notification]) -> Vec<&str> {
        kept.iter().map(|kept| kept.new.subject.as_str()).collect()
    }

    #[tokio::test]
    async fn they_are_listed_oldest_first_after_what_was_seen_also_after_a_restart() {
        let mut fresh = Fresh::new();
        let user = fresh.user(custom("id-first")).await;
        let new = ["a", "b", "c"].map(|subject| to(&fresh, user, subject));
        let kept = fresh.store.put_notifications(new.to_vec()).await.unwrap();
        assert_eq!(subjects(&kept), ["a", "b", "c"]);
        fresh.clock.advance_seconds(-60);
        fresh.store.put_notifications(vec![to(&fresh, user, "d")]).await.unwrap();
        fresh.reopen();
        let all = fresh.store.notifications(user, BEGINNING, 100).unwrap();
        assert_eq!(subjects(&all), ["a", "b", "c", "d"], "within one microsecond, and with a clock that goes back");
        assert_eq!(all[..3], kept);
        let page = fresh.store.notifications(user, BEGINNING, 2).unwrap();
        let last = page.last().unwrap();
        let rest = fresh.store.notifications(user, (last.create_time, last.new.id), 2).unwrap();
        assert_eq!(subjects(&rest), ["c", "d"]);
    }

    #[tokio::test]
    async fn the_oldest_make_room_and_only_those_of_the_same_user() {
        let fresh = Fresh::new();
        let store = fresh.store.clone().with_limits(Limits { notifications_per_user: 2, ..Limits::default() });
        let (user, other) = (fresh.user(custom("id-first")).await, fresh.user(custom("id-other")).await);
        store.put_notifications(vec![to(&fresh, other, "other")]).await.unwrap();
        for subject in ["a", "b", "c"] {
            store.put_notifications(vec![to(&fresh, user, subject)]).await.unwrap();
        }
        assert_eq!(subjects(&store.notifications(user, BEGINNING, 100).unwrap()), ["b", "c"]);
        assert_eq!(subjects(&store.notifications(other, BEGINNING, 100).unwrap()), ["other"]);
    }

    #[tokio::test]
    async fn what_one_player_causes_makes_room_for_more_of_the_same_player_alone() {
        let fresh = Fresh::new();
        let limits = Limits { notifications_per_user: 9, notifications_per_sender: 2, ..Limits::default() };
        let store = fresh.store.clone().with_limits(limits);
        let user = fresh.user(custom("id-first")).await;
        let [pest, friend] = [fresh.entropy.uuid(), fresh.entropy.uuid()];
        let by = |sender_id, code, subject: &str| NewNotification { sender_id, code, ..to(&fresh, user, subject) };
        let all = vec![
            by(friend, -2, "f1"),
            by(pest, 7, "the game's"),
            by(pest, -1_000, "a program's"),
            by(pest, -2, "p1"),
            by(pest, -9, "p2"),
            by(Uuid::nil(), -2, "s1"),
            by(Uuid::nil(), -2, "s2"),
            by(Uuid::nil(), -2, "s3"),
        ];
        store.put_notifications(all).await.unwrap();
        for (code, subject) in [(-2, "p3"), (-9, "p4"), (-2, "p5")] {
            store.put_notifications(vec![by(pest, code, subject)]).await.unwrap();
        }
        let kept = store.notifications(user, BEGINNING, 100).unwrap();
        assert_eq!(subjects(&kept), ["f1", "the game's", "a program's", "s1", "s2", "s3", "p4", "p5"]);
    }

    #[tokio::test]
    async fn only_the_users_own_are_deleted() {
        let fresh = Fresh::new();
        let (user, other) = (fresh.user(custom("id-first")).await, fresh.user(custom("id-other")).await);
        let new = vec![to(&fresh, user, "a"), to(&fresh, user, "b"), to(&fresh, other, "c")];
        let ids: Vec<Uuid> = new.iter().map(|new| new.id).collect();
        fresh.store.put_notifications(new).await.unwrap();
        let asked = vec![ids[0], ids[2], Uuid::from_u128(7)];
        assert_eq!(fresh.store.delete_notifications(user, asked.clone()).await.unwrap(), 1);
        assert_eq!(fresh.store.delete_notifications(user, asked).await.unwrap(), 0);
        assert_eq!(subjects(&fresh.store.notifications(user, BEGINNING, 9).unwrap()), ["b"]);
        assert_eq!(subjects(&fresh.store.notifications(other, BEGINNING, 9).unwrap()), ["c"]);
    }

    #[tokio::test]
    async fn who_is_not_there_is_told_nothing_and_the_others_are() {
        let fresh = Fresh::new();
        let (user, gone) = (fresh.user(custom("id-first")).await, fresh.user(custom("id-gone")).await);
        fresh.store.put_notifications(vec![to(&fresh, gone, "a")]).await.unwrap();
        fresh.store.delete_account(gone, false, 1).await.unwrap();
        assert_eq!(fresh.store.notifications(gone, BEGINNING, 9).unwrap(), [], "gone with the account");
        let new = vec![to(&fresh, gone, "b"), to(&fresh, user, "c")];
        assert_eq!(subjects(&fresh.store.put_notifications(new).await.unwrap()), ["c"]);
    }

    #[tokio::test]
    async fn all_are_stored_or_none() {
        let fresh = Fresh::new();
        let user = fresh.user(custom("id-first")).await;
        let too_long = to(&fresh, user, &"x".repeat(256));
        assert!(fresh.store.put_notifications(vec![to(&fresh, user, "a"), too_long]).await.is_err());
        assert_eq!(fresh.store.notifications(user, BEGINNING, 9).unwrap(), []);
    }

    #[tokio::test]
    async fn listing_and_making_room_use_the_index() {
        let fresh = Fresh::new();
        for sql in [SELECT, DELETE, LAST, MAKE_ROOM, MAKE_ROOM_OF_SENDER] {
            let plan = fresh.plan(sql);
            assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        }
        let plan = fresh.plan(MAKE_ROOM_OF_SENDER);
        assert_eq!(plan.matches("notification_by_players_idx").count(), 2, "{plan}");
    }
}
