//! Identity tokens that have been used: tables `kizuna_token_use` and `kizuna_token_use_size`. The first use is written with what
//! comes of it, or not at all; of several uses at once, the writer makes one the first.

use super::{
    Linked, NewIdentifier, Notice, Store, StoreError,
    db::{self, Row, Transaction},
    links, outbox,
};
use rusqlite::params;
use std::fmt;
use uuid::Uuid;

/// A use of an identity token. Times are in seconds since 1970.
#[derive(Clone)]
pub struct TokenUse {
    /// SHA-256 of what the token signs.
    pub digest: [u8; 32],
    /// Whose account it is used for.
    pub user_id: Uuid,
    /// When.
    pub at_unix: i64,
    /// What the session was made from, as JSON text, where it may be answered again.
    pub session: Option<String>,
    /// From when on it may not.
    pub session_until_unix: i64,
    /// From when on the token is refused for its age.
    pub expires_unix: i64,
    /// Uses to remember at most.
    pub most: usize,
}

impl fmt::Debug for TokenUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenUse")
            .field("user_id", &self.user_id)
            .field("at_unix", &self.at_unix)
            .finish_non_exhaustive()
    }
}

/// The first use of a token that is presented once more.
#[derive(Clone, PartialEq, Eq)]
pub struct EarlierUse {
    /// Whose account it was used for.
    pub user_id: Uuid,
    /// When, in seconds since 1970.
    pub at_unix: i64,
    /// What the session was made from, as JSON text, while it is kept.
    pub session: Option<String>,
}

impl fmt::Debug for EarlierUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EarlierUse")
            .field("user_id", &self.user_id)
            .field("at_unix", &self.at_unix)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Remembers the use of a token for an account that is there, with `notices` of it; or answers the earlier use, and writes
    /// nothing.
    ///
    /// # Errors
    /// [`StoreError::TokenUsesFull`], [`StoreError::OutboxFull`] at their limits; others when it could not be stored; then nothing
    /// was.
    pub async fn use_token(&self, used: TokenUse, notices: Vec<Notice>) -> Result<Option<EarlierUse>, StoreError> {
        // Who presents one token again and again is not worth a write.
        if let Some(earlier) = self.db.read(|conn| db::one(conn, SELECT, params![used.digest], earlier_of))? {
            return Ok(Some(earlier));
        }
        let most = self.limits.outbox_size;
        self.db
            .write(move |tx| {
                let earlier = find(tx, &used)?;
                if earlier.is_none() {
                    put(tx, &used)?;
                    outbox::put(tx, &notices, most)?;
                }
                Ok(earlier)
            })
            .await
    }

    /// As [`Store::link`], by a token that is used for it; or the earlier use, and nothing changes.
    ///
    /// # Errors
    /// As [`Store::link`] and [`Store::use_token`].
    pub async fn link_by_token(
        &self,
        id: Uuid,
        what: NewIdentifier,
        used: TokenUse,
    ) -> Result<Result<Linked, EarlierUse>, StoreError> {
        let clock = self.clock.clone();
        self.db
            .write(move |tx| {
                if let Some(earlier) = find(tx, &used)? {
                    return Ok(Err(earlier));
                }
                let linked = links::link(tx, id, &what, clock.unix_micros())?;
                if linked == Linked::Done {
                    put(tx, &used)?;
                }
                Ok(Ok(linked))
            })
            .await
    }

    /// Forgets the uses of tokens that have expired at `now_unix` (seconds since 1970), and the sessions that are not answered
    /// again. Answers how many uses are gone.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn purge_token_uses(&self, now_unix: i64) -> Result<usize, StoreError> {
        self.db
            .write(move |tx| {
                db::run(tx, FORGET_SESSIONS, params![now_unix])?;
                let purged = db::run(tx, PURGE, params![now_unix])?;
                if purged > 0 {
                    db::run(tx, GIVE_ROOM, params![i64::try_from(purged).unwrap_or(i64::MAX)])?;
                }
                Ok(purged)
            })
            .await
    }
}

const SELECT: &str = "SELECT user_id, at_unix, session FROM kizuna_token_use WHERE digest = ?1";
const TAKE_ROOM: &str = "UPDATE kizuna_token_use_size SET uses = uses + 1 WHERE uses < ?1";
const INSERT: &str = "INSERT INTO kizuna_token_use (digest, user_id, at_unix, session, session_until_unix, expires_unix) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const FORGET_SESSIONS: &str =
    "UPDATE kizuna_token_use SET session = NULL WHERE session IS NOT NULL AND session_until_unix <= ?1";
const PURGE: &str = "DELETE FROM kizuna_token_use WHERE expires_unix <= ?1";
const GIVE_ROOM: &str = "UPDATE kizuna_token_use_size SET uses = uses - ?1";

pub(super) fn find(tx: &Transaction<'_>, used: &TokenUse) -> Result<Option<EarlierUse>, StoreError> {
    db::one(tx, SELECT, params![used.digest], earlier_of)
}

pub(super) fn put(tx: &Transaction<'_>, used: &TokenUse) -> Result<(), StoreError> {
    if db::run(tx, TAKE_ROOM, params![i64::try_from(used.most).unwrap_or(i64::MAX)])? == 0 {
        return Err(StoreError::TokenUsesFull);
    }
    let TokenUse { digest, user_id, at_unix, session, session_until_unix, expires_unix, .. } = used;
    let values = params![digest, db::key(user_id), at_unix, session, session_until_unix, expires_unix];
    db::run(tx, INSERT, values).map(drop)
}

fn earlier_of(row: &Row<'_>) -> Result<EarlierUse, StoreError> {
    Ok(EarlierUse { user_id: row.uuid(0)?, at_unix: row.get(1)?, session: row.get(2)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        Created, Identifier, NewUser,
        tests::{Fresh, custom},
    };

    const USER: Uuid = Uuid::from_u128(1);

    fn used(digest: u8, most: usize) -> TokenUse {
        TokenUse {
            digest: [digest; 32],
            user_id: USER,
            at_unix: 100,
            session: Some("{}".into()),
            session_until_unix: 130,
            expires_unix: 200,
            most,
        }
    }

    fn earlier() -> EarlierUse {
        EarlierUse { user_id: USER, at_unix: 100, session: Some("{}".into()) }
    }

    #[tokio::test]
    async fn a_use_is_remembered_across_restarts_until_its_token_expires() {
        let mut fresh = Fresh::new();
        assert_eq!(fresh.store.use_token(used(1, 10), Vec::new()).await.unwrap(), None);
        fresh.reopen();
        assert_eq!(fresh.store.use_token(used(1, 10), Vec::new()).await.unwrap(), Some(earlier()));
        assert_eq!(fresh.store.purge_token_uses(130).await.unwrap(), 0);
        let without = EarlierUse { session: None, ..earlier() };
        assert_eq!(fresh.store.use_token(used(1, 10), Vec::new()).await.unwrap(), Some(without));
        assert_eq!(fresh.store.purge_token_uses(200).await.unwrap(), 1);
        assert_eq!(fresh.store.use_token(used(1, 10), Vec::new()).await.unwrap(), None);
    }

    #[tokio::test]
    async fn uses_are_bounded_and_room_comes_back() {
        let fresh = Fresh::new();
        for digest in 1..=2 {
            assert_eq!(fresh.store.use_token(used(digest, 2), Vec::new()).await.unwrap(), None);
        }
        let full = fresh.store.use_token(used(3, 2), Vec::new()).await;
        assert!(matches!(full, Err(StoreError::TokenUsesFull)));
        assert_eq!(fresh.store.use_token(used(1, 2), Vec::new()).await.unwrap(), Some(earlier()), "known all the same");
        fresh.store.purge_token_uses(200).await.unwrap();
        assert_eq!(fresh.store.use_token(used(3, 2), Vec::new()).await.unwrap(), None);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_many_uses_at_once_one_is_the_first() {
        let fresh = Fresh::new();
        let tries = (0..20).map(|_| {
            let store = fresh.store.clone();
            tokio::spawn(async move { store.use_token(used(1, 10), Vec::new()).await.unwrap() })
        });
        let mut first = 0;
        for one in tries.collect::<Vec<_>>() {
            first += usize::from(one.await.unwrap().is_none());
        }
        assert_eq!(first, 1);
    }

    #[tokio::test]
    async fn a_use_is_written_with_its_account_or_not_at_all() {
        let fresh = Fresh::new();
        let by_token =
            |digest, most, id: &str| NewUser { token_use: Some(used(digest, most)), ..fresh.new_user(custom(id)) };
        assert_eq!(fresh.store.create_user(by_token(1, 1, "id-first")).await.unwrap(), Created::New);
        let again = fresh.store.create_user(by_token(1, 1, "id-other")).await.unwrap();
        assert_eq!(again, Created::TokenUsed(earlier()));
        assert!(matches!(fresh.store.create_user(by_token(2, 1, "id-other")).await, Err(StoreError::TokenUsesFull)));
        assert_eq!(fresh.store.find_login(Identifier::Custom("id-other")).unwrap(), None);
        let taken = fresh.store.find_login(Identifier::Custom("id-first")).unwrap().unwrap().username;
        let clash = NewUser { username: taken, ..by_token(3, 9, "id-other") };
        assert_eq!(fresh.store.create_user(clash).await.unwrap(), Created::UsernameTaken);
        assert_eq!(fresh.store.use_token(used(3, 9), Vec::new()).await.unwrap(), None, "it was not used up");
    }

    #[tokio::test]
    async fn a_link_uses_its_token_only_when_it_succeeds() {
        let fresh = Fresh::new();
        let (one, other) = (fresh.user(custom("id-first")).await, fresh.user(custom("id-other")).await);
        let link = |id, digest, to: &str| fresh.store.link_by_token(id, custom(to), used(digest, 9));
        assert_eq!(link(one, 1, "id-other").await.unwrap(), Ok(Linked::InUse));
        assert_eq!(link(one, 1, "id-third").await.unwrap(), Ok(Linked::Done));
        assert_eq!(link(other, 1, "id-fourth").await.unwrap(), Err(earlier()));
        assert!(fresh.store.find_login(Identifier::Custom("id-fourth")).unwrap().is_none());
    }
}
