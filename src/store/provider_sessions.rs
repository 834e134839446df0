//! Refresh tokens of identity providers, encrypted: table `kizuna_provider_session`. One for each session that is renewed by them.

use super::{
    Store, StoreError,
    db::{self, Row, Transaction},
};
use rusqlite::params;
use uuid::Uuid;

/// What is kept of a provider's sign-in for one session of ours.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderSession {
    /// The claim `tid` of the session's tokens.
    pub token_id: Uuid,
    /// The user.
    pub user_id: Uuid,
    /// Name of the login client.
    pub client: String,
    /// The encrypted refresh token.
    pub sealed: Vec<u8>,
    /// When the provider last gave tokens, in seconds since 1970.
    pub renewed_unix: i64,
    /// When the session cannot be refreshed any more, in seconds since 1970.
    pub expires_unix: i64,
}

impl std::fmt::Debug for ProviderSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProviderSession").field("token_id", &self.token_id).finish_non_exhaustive()
    }
}

impl Store {
    /// What is kept for a session, if anything.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn provider_session(&self, token_id: Uuid) -> Result<Option<ProviderSession>, StoreError> {
        self.db.read(|conn| db::one(conn, SELECT, params![db::key(&token_id)], session_of))
    }

    /// Stores `session`, in the place of an earlier state of it, and forgets expired ones. Of more than `most` of one user, the
    /// oldest go: their token ids with when they would have expired.
    ///
    /// # Errors
    /// When it could not be stored; then nothing changed.
    pub async fn put_provider_session(
        &self,
        session: ProviderSession,
        most: usize,
    ) -> Result<Vec<(Uuid, i64)>, StoreError> {
        let now = self.clock.unix_seconds();
        self.db.write(move |tx| put(tx, &session, most, now)).await
    }
}

const SELECT: &str = "SELECT token_id, user_id, client, sealed, renewed_unix, expires_unix FROM kizuna_provider_session WHERE token_id = ?1";
const PURGE: &str = "DELETE FROM kizuna_provider_session WHERE expires_unix <= ?1";
const UPSERT: &str = "INSERT INTO kizuna_provider_session (token_id, user_id, client, sealed, renewed_unix, expires_unix) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (token_id) DO UPDATE SET \
     sealed = excluded.sealed, renewed_unix = excluded.renewed_unix, expires_unix = excluded.expires_unix";
/// Token ids rise with time: the greatest are the newest.
const SURPLUS: &str = "SELECT token_id, expires_unix FROM kizuna_provider_session WHERE user_id = ?1 \
     ORDER BY token_id DESC LIMIT -1 OFFSET ?2";
const DELETE: &str = "DELETE FROM kizuna_provider_session WHERE token_id = ?1";

fn put(tx: &Transaction<'_>, session: &ProviderSession, most: usize, now: i64) -> Result<Vec<(Uuid, i64)>, StoreError> {
    db::run(tx, PURGE, params![now])?;
    let ProviderSession { token_id, user_id, client, sealed, renewed_unix, expires_unix } = session;
    let row = params![db::key(token_id), db::key(user_id), client, sealed, renewed_unix, expires_unix];
    db::run(tx, UPSERT, row)?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let surplus = db::many(tx, SURPLUS, params![db::key(user_id), most], |row| Ok((row.uuid(0)?, row.get(1)?)))?;
    for (token_id, _) in &surplus {
        db::run(tx, DELETE, params![db::key(token_id)])?;
    }
    Ok(surplus)
}

fn session_of(row: &Row<'_>) -> Result<ProviderSession, StoreError> {
    Ok(ProviderSession {
        token_id: row.uuid(0)?,
        user_id: row.uuid(1)?,
        client: row.get(2)?,
        sealed: row.get(3)?,
        renewed_unix: row.get(4)?,
        expires_unix: row.get(5)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Created, NewIdentifier, NewUser, tests::Fresh};

    const USER: Uuid = Uuid::from_u128(1);

    fn session(token: u128, expires_unix: i64) -> ProviderSession {
        let (token_id, sealed) = (Uuid::from_u128(token), vec![1, 2, 3]);
        ProviderSession { token_id, user_id: USER, client: "dev".into(), sealed, renewed_unix: 5, expires_unix }
    }

    async fn with_user() -> Fresh {
        let fresh = Fresh::new();
        let identifier = NewIdentifier::Custom("custom-id".into());
        let user = NewUser {
            id: USER,
            username: "ann".into(),
            identifier,
            tenant: None,
            token_use: None,
            notices: Vec::new(),
        };
        assert!(matches!(fresh.store.create_user(user).await.unwrap(), Created::New));
        fresh
    }

    #[tokio::test]
    async fn what_is_kept_survives_a_restart_and_changes_in_place() {
        let mut fresh = with_user().await;
        let (first, later) =
            (session(1, i64::MAX), ProviderSession { sealed: vec![9], renewed_unix: 6, ..session(1, i64::MAX) });
        assert_eq!(fresh.store.put_provider_session(first.clone(), 2).await.unwrap(), []);
        fresh.reopen();
        assert_eq!(fresh.store.provider_session(first.token_id).unwrap(), Some(first.clone()));
        fresh.store.put_provider_session(later.clone(), 2).await.unwrap();
        assert_eq!(fresh.store.provider_session(first.token_id).unwrap(), Some(later));
    }

    #[tokio::test]
    async fn beyond_the_bound_the_oldest_goes_and_the_expired_go_anyway() {
        let fresh = with_user().await;
        for token in 1..=2 {
            fresh.store.put_provider_session(session(token, i64::MAX), 2).await.unwrap();
        }
        let dropped = fresh.store.put_provider_session(session(3, i64::MAX), 2).await.unwrap();
        assert_eq!(dropped, [(Uuid::from_u128(1), i64::MAX)]);
        assert_eq!(fresh.store.provider_session(Uuid::from_u128(1)).unwrap(), None);
        fresh.store.put_provider_session(session(4, 1), 3).await.unwrap();
        fresh.store.put_provider_session(session(5, i64::MAX), 3).await.unwrap();
        assert_eq!(fresh.store.provider_session(Uuid::from_u128(4)).unwrap(), None);
    }

    #[tokio::test]
    async fn a_deleted_account_leaves_none() {
        let fresh = with_user().await;
        fresh.store.put_provider_session(session(1, i64::MAX), 2).await.unwrap();
        assert!(fresh.store.delete_account(USER, false, 0).await.unwrap());
        assert_eq!(fresh.store.provider_session(Uuid::from_u128(1)).unwrap(), None);
    }
}
