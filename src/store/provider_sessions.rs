//! Refresh tokens of identity providers, encrypted: table `kizuna_provider_session`. One for each session that is renewed by them;
//! it goes in the transaction that ends the session. Table `kizuna_provider_session_scope` tells the groups of sessions.

use super::{
    Store, StoreError,
    db::{self, Row, Transaction},
    revocations::{self, Revocation},
};
use crate::clock::least_of;
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

    /// Stores `session`, unless it is ended already, in the place of an earlier state of it. It goes when one of the groups `scopes`
    /// (hashes of their names) is ended. Of more than `most` of one user, the oldest go: their token ids with when they would have
    /// expired.
    ///
    /// # Errors
    /// When it could not be stored; then nothing changed.
    pub async fn put_provider_session(
        &self,
        session: ProviderSession,
        scopes: Vec<u128>,
        most: usize,
    ) -> Result<Vec<(Uuid, i64)>, StoreError> {
        self.db.write(move |tx| put(tx, &session, &scopes, most)).await
    }

    /// Stores a later state of `session`, unless it was ended meanwhile.
    ///
    /// # Errors
    /// When it could not be stored; then nothing changed.
    pub async fn renew_provider_session(&self, session: ProviderSession) -> Result<(), StoreError> {
        self.db.write(move |tx| renew(tx, &session)).await
    }

    /// Forgets what is kept for sessions that ended at `now_unix` (seconds since 1970) or before, and answers how many.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn purge_provider_sessions(&self, now_unix: i64) -> Result<usize, StoreError> {
        self.db.write(move |tx| db::run(tx, PURGE, params![now_unix])).await
    }
}

const SELECT: &str = "SELECT token_id, user_id, client, sealed, renewed_unix, expires_unix FROM kizuna_provider_session WHERE token_id = ?1";
const PURGE: &str = "DELETE FROM kizuna_provider_session WHERE expires_unix <= ?1";
const UPSERT: &str = "INSERT INTO kizuna_provider_session (token_id, user_id, client, sealed, renewed_unix, expires_unix) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (token_id) DO UPDATE SET \
     sealed = excluded.sealed, renewed_unix = excluded.renewed_unix, expires_unix = excluded.expires_unix";
const RENEW: &str =
    "UPDATE kizuna_provider_session SET sealed = ?2, renewed_unix = ?3, expires_unix = ?4 WHERE token_id = ?1";
const PUT_SCOPE: &str =
    "INSERT INTO kizuna_provider_session_scope (key, token_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
/// Token ids rise with time: the greatest are the newest.
const SURPLUS: &str = "SELECT token_id, expires_unix FROM kizuna_provider_session WHERE user_id = ?1 \
     ORDER BY token_id DESC LIMIT -1 OFFSET ?2";
const DELETE: &str = "DELETE FROM kizuna_provider_session WHERE token_id = ?1";
const END_USER: &str = "DELETE FROM kizuna_provider_session WHERE user_id = ?1 AND token_id < ?2";
const END_CHAIN: &str = "DELETE FROM kizuna_provider_session WHERE token_id = ?1 AND user_id = ?2";
const END_SCOPE: &str = "DELETE FROM kizuna_provider_session WHERE token_id < ?2 \
     AND token_id IN (SELECT token_id FROM kizuna_provider_session_scope WHERE key = ?1)";

/// Forgets what is kept for the sessions that cannot be refreshed any more after `revocation`.
pub(super) fn forget(tx: &Transaction<'_>, revocation: &Revocation) -> Result<(), StoreError> {
    let forgotten = match revocation {
        Revocation::UserBefore { user_id, before, .. } => {
            db::run(tx, END_USER, params![db::key(user_id), db::key(&least_of(*before))])
        }
        Revocation::RefreshToken { user_id, token_id, .. } => {
            db::run(tx, END_CHAIN, params![db::key(token_id), db::key(user_id)])
        }
        Revocation::ScopeBefore { key, before, .. } => {
            let (key, before) = (Uuid::from_u128(*key), least_of(*before));
            db::run(tx, END_SCOPE, params![db::key(&key), db::key(&before)])
        }
        Revocation::SessionToken { .. } | Revocation::EventTaken { .. } => Ok(0),
    };
    forgotten.map(drop)
}

fn renew(tx: &Transaction<'_>, session: &ProviderSession) -> Result<(), StoreError> {
    let ProviderSession { token_id, sealed, renewed_unix, expires_unix, .. } = session;
    db::run(tx, RENEW, params![db::key(token_id), sealed, renewed_unix, expires_unix]).map(drop)
}

fn put(
    tx: &Transaction<'_>,
    session: &ProviderSession,
    scopes: &[u128],
    most: usize,
) -> Result<Vec<(Uuid, i64)>, StoreError> {
    if revocations::is_ended(tx, session.user_id, session.token_id, scopes)? {
        return Ok(Vec::new());
    }
    let ProviderSession { token_id, user_id, client, sealed, renewed_unix, expires_unix } = session;
    let row = params![db::key(token_id), db::key(user_id), client, sealed, renewed_unix, expires_unix];
    db::run(tx, UPSERT, row)?;
    for key in scopes {
        db::run(tx, PUT_SCOPE, params![db::key(&Uuid::from_u128(*key)), db::key(token_id)])?;
    }
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
    use crate::store::{Created, NewIdentifier, NewUser, Scope, tests::Fresh};

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
        assert_eq!(fresh.store.put_provider_session(first.clone(), Vec::new(), 2).await.unwrap(), []);
        fresh.reopen();
        assert_eq!(fresh.store.provider_session(first.token_id).unwrap(), Some(first.clone()));
        fresh.store.renew_provider_session(later.clone()).await.unwrap();
        assert_eq!(fresh.store.provider_session(first.token_id).unwrap(), Some(later));
    }

    #[tokio::test]
    async fn beyond_the_bound_the_oldest_goes_and_the_expired_go_anyway() {
        let fresh = with_user().await;
        for token in 1..=2 {
            fresh.store.put_provider_session(session(token, i64::MAX), Vec::new(), 2).await.unwrap();
        }
        let dropped = fresh.store.put_provider_session(session(3, i64::MAX), Vec::new(), 2).await.unwrap();
        assert_eq!(dropped, [(Uuid::from_u128(1), i64::MAX)]);
        assert_eq!(fresh.store.provider_session(Uuid::from_u128(1)).unwrap(), None);
        fresh.store.put_provider_session(session(4, 1), Vec::new(), 3).await.unwrap();
        assert_eq!(fresh.store.purge_provider_sessions(0).await.unwrap(), 0);
        assert_eq!(fresh.store.purge_provider_sessions(1).await.unwrap(), 1);
        assert_eq!(fresh.store.provider_session(Uuid::from_u128(4)).unwrap(), None);
    }

    /// Two chains of the user, by whose order number each is told, and the groups of the first.
    const ORDERS: [u64; 2] = [1 << 20, 1 << 21];
    const SCOPES: [u128; 2] = [5, u128::MAX];

    async fn with_two_chains() -> Fresh {
        let fresh = with_user().await;
        for (order, scopes) in ORDERS.into_iter().zip([SCOPES.to_vec(), Vec::new()]) {
            let session = session(least_of(order).as_u128(), i64::MAX);
            fresh.store.put_provider_session(session, scopes, 2).await.unwrap();
        }
        fresh
    }

    fn kept(fresh: &Fresh) -> [bool; 2] {
        ORDERS.map(|order| fresh.store.provider_session(least_of(order)).unwrap().is_some())
    }

    fn endings() -> Vec<(Revocation, [bool; 2])> {
        let (token_id, at_unix, expires_unix) = (least_of(ORDERS[0]), 5, i64::MAX);
        let user = |user_id, before| Revocation::UserBefore { user_id, before, at_unix, expires_unix };
        let scope = |scope, key, before| Revocation::ScopeBefore { scope, key, before, at_unix, expires_unix };
        let neither = [true, true];
        vec![
            (user(USER, ORDERS[1] + 1), [false, false]),
            (user(USER, ORDERS[1]), [false, true]),
            (user(USER, ORDERS[0]), neither),
            (user(Uuid::from_u128(2), u64::MAX), neither),
            (Revocation::RefreshToken { user_id: USER, token_id, expires_unix }, [false, true]),
            (Revocation::SessionToken { user_id: USER, token_id, expires_unix }, neither),
            (scope(Scope::Issuer, SCOPES[0], ORDERS[0] + 1), [false, true]),
            (scope(Scope::Subject, SCOPES[1], u64::MAX), [false, true]),
            (scope(Scope::Family, SCOPES[0], ORDERS[0]), neither),
            (scope(Scope::Tenant, 6, u64::MAX), neither),
        ]
    }

    #[tokio::test]
    async fn the_end_of_a_session_takes_what_is_kept_for_it_along_and_lets_nothing_come_after() {
        for (ending, left) in endings() {
            let fresh = with_two_chains().await;
            fresh.store.revoke(vec![ending.clone()]).await.unwrap();
            assert_eq!(kept(&fresh), left, "{ending:?}");
            // A provider's answer that was on its way, and a sign-in that was.
            for (order, scopes) in ORDERS.into_iter().zip([SCOPES.to_vec(), Vec::new()]) {
                let late = session(least_of(order).as_u128(), i64::MAX);
                fresh.store.renew_provider_session(late.clone()).await.unwrap();
                assert_eq!(kept(&fresh), left, "{ending:?}");
                fresh.store.put_provider_session(late, scopes, 2).await.unwrap();
                assert_eq!(kept(&fresh), left, "{ending:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_banned_player_leaves_none() {
        let fresh = with_two_chains().await;
        fresh.store.set_disabled(USER, true, u64::MAX).await.unwrap();
        assert_eq!(kept(&fresh), [false, false]);
    }

    #[tokio::test]
    async fn a_deleted_account_leaves_none() {
        let fresh = with_user().await;
        fresh.store.put_provider_session(session(1, i64::MAX), Vec::new(), 2).await.unwrap();
        assert!(fresh.store.delete_account(USER, false, 0).await.unwrap());
        assert_eq!(fresh.store.provider_session(Uuid::from_u128(1)).unwrap(), None);
    }
}
