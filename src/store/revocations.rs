//! Tokens that no longer count: table `kizuna_revocation`. Who checks tokens keeps them in memory, loaded from here at start.
//! Its column `user_id` holds the hash of a group's name where a row is about a group.

use super::{
    Store, StoreError,
    db::{self, Row, Transaction},
    provider_sessions,
};
use crate::clock::order_of;
use rusqlite::params;
use uuid::Uuid;

/// A log-out, ban or deletion. `expires_unix` (seconds since 1970) is when no token that it is about can still be valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// Every token of the user that was issued up to an order number.
    UserBefore {
        /// The user.
        user_id: Uuid,
        /// The order number: see [`crate::clock::Entropy::next_order`].
        before: u64,
        /// Seconds since 1970: when; judges tokens that carry no order number.
        at_unix: i64,
        /// Seconds since 1970.
        expires_unix: i64,
    },
    /// One session token.
    SessionToken {
        /// Its user.
        user_id: Uuid,
        /// Its claim `tid`.
        token_id: Uuid,
        /// Seconds since 1970.
        expires_unix: i64,
    },
    /// One refresh token.
    RefreshToken {
        /// Its user.
        user_id: Uuid,
        /// Its claim `tid`.
        token_id: Uuid,
        /// Seconds since 1970.
        expires_unix: i64,
    },
    /// Every token of a group's sessions that was issued up to an order number, and its identity tokens up to a second.
    ScopeBefore {
        /// What the group is.
        scope: Scope,
        /// Which one: a hash of its name.
        key: u128,
        /// The order number.
        before: u64,
        /// Seconds since 1970.
        at_unix: i64,
        /// Seconds since 1970.
        expires_unix: i64,
    },
    /// No revocation itself: an event token that caused some, remembered in one transaction with them so that it never does again.
    EventTaken {
        /// A hash of its issuer and id.
        key: u128,
        /// Seconds since 1970.
        expires_unix: i64,
    },
}

/// Groups of sessions that end together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "identity's scope.rs says what they are")]
pub enum Scope {
    Issuer,
    Tenant,
    Family,
    Subject,
}

impl Store {
    /// Every revocation that has not been purged.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn revocations(&self) -> Result<Vec<Revocation>, StoreError> {
        self.db.read(|conn| db::many(conn, SELECT, [], revocation_of))
    }

    /// Stores `rows`, all or none. Of two about the same tokens, the stricter and longer stays.
    ///
    /// # Errors
    /// When they could not be stored; then none was.
    pub async fn revoke(&self, rows: Vec<Revocation>) -> Result<(), StoreError> {
        self.db.write(move |tx| rows.iter().try_for_each(|row| put(tx, row))).await
    }

    /// Forgets the revocations that expired at `now_unix` (seconds since 1970) or before, and answers how many.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn purge_revocations(&self, now_unix: i64) -> Result<usize, StoreError> {
        self.db.write(move |tx| db::run(tx, PURGE, params![now_unix])).await
    }
}

const SELECT: &str = "SELECT user_id, kind, token_id, revoked_before, at_unix, expires_unix FROM kizuna_revocation ORDER BY kind, user_id";
const ENDED: &str = "SELECT 1 FROM kizuna_revocation \
     WHERE kind = ?1 AND user_id = ?2 AND token_id = ?3 AND revoked_before > ?4";
const PURGE: &str = "DELETE FROM kizuna_revocation WHERE expires_unix <= ?1";
const UPSERT: &str = "INSERT INTO kizuna_revocation (kind, user_id, token_id, revoked_before, at_unix, expires_unix) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (kind, user_id, token_id) DO UPDATE SET \
     revoked_before = CASE WHEN excluded.revoked_before > kizuna_revocation.revoked_before \
         THEN excluded.revoked_before ELSE kizuna_revocation.revoked_before END, \
     at_unix = CASE WHEN excluded.at_unix > kizuna_revocation.at_unix \
         THEN excluded.at_unix ELSE kizuna_revocation.at_unix END, \
     expires_unix = CASE WHEN excluded.expires_unix > kizuna_revocation.expires_unix \
         THEN excluded.expires_unix ELSE kizuna_revocation.expires_unix END";

const USER_BEFORE: i64 = 0;
const SESSION_TOKEN: i64 = 1;
const REFRESH_TOKEN: i64 = 2;
const ISSUER_BEFORE: i64 = 3;
const TENANT_BEFORE: i64 = 4;
const FAMILY_BEFORE: i64 = 5;
const SUBJECT_BEFORE: i64 = 6;
const EVENT_TAKEN: i64 = 7;

/// Stores a revocation, and forgets what is kept of providers' sign-ins for the sessions that it ends.
pub(super) fn put(tx: &Transaction<'_>, revocation: &Revocation) -> Result<(), StoreError> {
    provider_sessions::forget(tx, revocation)?;
    // The order number of an entry and the second of its own are 0 where it has none; what it is about stands as `user_id`.
    let (kind, about, token_id, before, at, expires) = match revocation {
        Revocation::UserBefore { user_id, before, at_unix, expires_unix } => {
            (USER_BEFORE, *user_id, Uuid::nil(), *before, *at_unix, *expires_unix)
        }
        Revocation::SessionToken { user_id, token_id, expires_unix } => {
            (SESSION_TOKEN, *user_id, *token_id, 0, 0, *expires_unix)
        }
        Revocation::RefreshToken { user_id, token_id, expires_unix } => {
            (REFRESH_TOKEN, *user_id, *token_id, 0, 0, *expires_unix)
        }
        Revocation::ScopeBefore { scope, key, before, at_unix, expires_unix } => {
            (scope.kind(), Uuid::from_u128(*key), Uuid::nil(), *before, *at_unix, *expires_unix)
        }
        Revocation::EventTaken { key, expires_unix } => {
            (EVENT_TAKEN, Uuid::from_u128(*key), Uuid::nil(), 0, 0, *expires_unix)
        }
    };
    let before = i64::try_from(before).unwrap_or(i64::MAX);
    db::run(tx, UPSERT, params![kind, db::key(&about), db::key(&token_id), before, at, expires]).map(drop)
}

/// Whether the chain `token_id` of a user is ended: its refresh tokens, all that the user had, or one of the groups `scopes`.
pub(super) fn is_ended(
    tx: &Transaction<'_>,
    user_id: Uuid,
    token_id: Uuid,
    scopes: &[u128],
) -> Result<bool, StoreError> {
    let order = order_of(token_id).and_then(|order| i64::try_from(order).ok()).unwrap_or(i64::MAX);
    let found = |kind: i64, about: Uuid, token_id: Uuid, above: i64| {
        let row = db::one(tx, ENDED, params![kind, db::key(&about), db::key(&token_id), above], |_| Ok(()));
        row.map(|row| row.is_some())
    };
    if found(REFRESH_TOKEN, user_id, token_id, -1)? || found(USER_BEFORE, user_id, Uuid::nil(), order)? {
        return Ok(true);
    }
    for key in scopes {
        for scope in Scope::ALL {
            if found(scope.kind(), Uuid::from_u128(*key), Uuid::nil(), order)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn revocation_of(row: &Row<'_>) -> Result<Revocation, StoreError> {
    let (about, token_id, expires_unix) = (row.uuid(0)?, row.uuid(2)?, row.get(5)?);
    let (before, at_unix) = (u64::try_from(row.get::<i64>(3)?).unwrap_or(0), row.get(4)?);
    let kind = row.get::<i64>(1)?;
    match kind {
        USER_BEFORE => Ok(Revocation::UserBefore { user_id: about, before, at_unix, expires_unix }),
        SESSION_TOKEN => Ok(Revocation::SessionToken { user_id: about, token_id, expires_unix }),
        REFRESH_TOKEN => Ok(Revocation::RefreshToken { user_id: about, token_id, expires_unix }),
        EVENT_TAKEN => Ok(Revocation::EventTaken { key: about.as_u128(), expires_unix }),
        _ => match Scope::of_kind(kind) {
            Some(scope) => Ok(Revocation::ScopeBefore { scope, key: about.as_u128(), before, at_unix, expires_unix }),
            None => Err(row.corrupt(format!("kind {kind} is not known"))),
        },
    }
}

impl Scope {
    const ALL: [Self; 4] = [Self::Issuer, Self::Tenant, Self::Family, Self::Subject];

    const fn kind(self) -> i64 {
        match self {
            Self::Issuer => ISSUER_BEFORE,
            Self::Tenant => TENANT_BEFORE,
            Self::Family => FAMILY_BEFORE,
            Self::Subject => SUBJECT_BEFORE,
        }
    }

    fn of_kind(kind: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.kind() == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::Fresh;

    const USER: Uuid = Uuid::from_u128(1);

    fn all_before(before: u64, expires_unix: i64) -> Revocation {
        Revocation::UserBefore { user_id: USER, before, at_unix: 5, expires_unix }
    }

    #[tokio::test]
    async fn revocations_survive_a_restart_until_they_expire() {
        let mut fresh = Fresh::new();
        let rows = vec![
            all_before(7, 100),
            Revocation::SessionToken { user_id: USER, token_id: Uuid::from_u128(2), expires_unix: 200 },
            Revocation::RefreshToken { user_id: USER, token_id: Uuid::from_u128(2), expires_unix: 300 },
            Revocation::ScopeBefore { scope: Scope::Issuer, key: 1, before: 8, at_unix: 6, expires_unix: 300 },
            Revocation::ScopeBefore { scope: Scope::Tenant, key: 1, before: 9, at_unix: 6, expires_unix: 300 },
            Revocation::ScopeBefore { scope: Scope::Family, key: 1, before: 10, at_unix: 6, expires_unix: 300 },
            Revocation::ScopeBefore {
                scope: Scope::Subject,
                key: u128::MAX,
                before: 11,
                at_unix: 6,
                expires_unix: 300,
            },
            Revocation::EventTaken { key: 5, expires_unix: 300 },
        ];
        fresh.store.revoke(rows.clone()).await.unwrap();
        fresh.reopen();
        assert_eq!(fresh.store.revocations().unwrap(), rows);
        assert_eq!(fresh.store.purge_revocations(200).await.unwrap(), 2);
        assert_eq!(fresh.store.revocations().unwrap(), rows[2..]);
    }

    #[tokio::test]
    async fn the_stricter_and_longer_of_two_stays() {
        let fresh = Fresh::new();
        for (before, expires) in [(7, 100), (5, 300), (9, 200)] {
            fresh.store.revoke(vec![all_before(before, expires)]).await.unwrap();
        }
        assert_eq!(fresh.store.revocations().unwrap(), [all_before(9, 300)]);
    }
}
