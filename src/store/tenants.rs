//! Which tenant an account belongs to: table `kizuna_user_tenant`, a row for each account that has one.

use super::{
    Store, StoreError,
    db::{self, Transaction},
};
use rusqlite::params;
use uuid::Uuid;

impl Store {
    /// The key of an account's tenant; `None` when it has none, or is not there.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn tenant_of(&self, user_id: Uuid) -> Result<Option<u128>, StoreError> {
        self.db.read(|conn| db::one(conn, SELECT, params![db::key(&user_id)], |row| Ok(row.uuid(0)?.as_u128())))
    }

    /// Makes an account that has no tenant one of `tenant`. Answers the key of the tenant that it has now: the first one stays.
    ///
    /// # Errors
    /// When it could not be stored, or there is no such account; then nothing was.
    pub async fn bind_tenant(&self, user_id: Uuid, tenant: u128) -> Result<u128, StoreError> {
        self.db
            .write(move |tx| {
                bind(tx, user_id, tenant)?;
                let bound = db::one(tx, SELECT, params![db::key(&user_id)], |row| Ok(row.uuid(0)?.as_u128()))?;
                bound.ok_or_else(|| StoreError::other("an account was not bound to its tenant"))
            })
            .await
    }
}

const SELECT: &str = "SELECT tenant FROM kizuna_user_tenant WHERE user_id = ?1";
const INSERT: &str = "INSERT INTO kizuna_user_tenant (user_id, tenant) VALUES (?1, ?2) ON CONFLICT DO NOTHING";

pub(super) fn bind(tx: &Transaction<'_>, user_id: Uuid, tenant: u128) -> Result<(), StoreError> {
    db::run(tx, INSERT, params![db::key(&user_id), db::key(&Uuid::from_u128(tenant))]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        Created, NewUser,
        tests::{Fresh, custom},
    };

    #[tokio::test]
    async fn an_account_keeps_the_tenant_of_its_creation_across_restarts() {
        let mut fresh = Fresh::new();
        let new = NewUser { tenant: Some(u128::MAX), ..fresh.new_user(custom("id-first")) };
        let id = new.id;
        assert_eq!(fresh.store.create_user(new).await.unwrap(), Created::New);
        fresh.reopen();
        assert_eq!(fresh.store.tenant_of(id).unwrap(), Some(u128::MAX));
        assert_eq!(fresh.store.bind_tenant(id, 7).await.unwrap(), u128::MAX, "the first one stays");
        fresh.store.delete_account(id, false, 1).await.unwrap();
        assert_eq!(fresh.store.tenant_of(id).unwrap(), None, "it goes with the account");
    }

    #[tokio::test]
    async fn an_account_without_a_tenant_can_be_given_one() {
        let fresh = Fresh::new();
        let id = fresh.user(custom("id-first")).await;
        assert_eq!(fresh.store.tenant_of(id).unwrap(), None);
        assert_eq!(fresh.store.bind_tenant(id, 7).await.unwrap(), 7);
        assert_eq!(fresh.store.tenant_of(id).unwrap(), Some(7));
        assert!(fresh.store.bind_tenant(Uuid::from_u128(9), 7).await.is_err(), "nobody there");
    }

    #[tokio::test]
    async fn an_account_that_is_not_made_is_bound_to_nothing() {
        let fresh = Fresh::new();
        let first = fresh.new_user(custom("id-first"));
        let username = first.username.clone();
        fresh.store.create_user(first).await.unwrap();
        let other = NewUser { tenant: Some(7), username, ..fresh.new_user(custom("id-other")) };
        let id = other.id;
        assert_eq!(fresh.store.create_user(other).await.unwrap(), Created::UsernameTaken);
        assert_eq!(fresh.store.tenant_of(id).unwrap(), None);
    }
}
