//! What an account signs in by: linking and unlinking (spec/auth-and-accounts.md section 16), table `user_device`.

use super::{
    Identifier, NewIdentifier, Store, StoreError,
    db::{self, Row, Transaction},
    users,
};
use rusqlite::params;
use std::fmt;
use uuid::Uuid;

/// What became of [`Store::link`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linked {
    /// The account has the identifier, now or still.
    Done,
    /// Another account has it.
    InUse,
    /// There is no such account.
    NoSuchUser,
}

/// An identifier to take from an account. A value that is given must be the one that the account has.
#[derive(Clone)]
pub enum Unlink {
    /// The custom id.
    Custom(Option<String>),
    /// This device id.
    Device(String),
    /// The email address, in lower case, and with it the password.
    Email(Option<String>),
}

impl fmt::Debug for Unlink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Custom(_) => "Custom(..)",
            Self::Device(_) => "Device(..)",
            Self::Email(_) => "Email(..)",
        })
    }
}

impl Store {
    /// Gives an account one more way to sign in. A custom id or email address replaces the one before; devices accumulate. What
    /// the account has already is [`Linked::Done`] and moves its update time.
    ///
    /// # Errors
    /// When it could not be stored; then it was not.
    pub async fn link(&self, id: Uuid, what: NewIdentifier) -> Result<Linked, StoreError> {
        let clock = self.clock.clone();
        self.db.write(move |tx| link(tx, id, &what, clock.unix_micros())).await
    }

    /// Takes a way to sign in from an account. `false`, and nothing changes, when it would be the last one, when the value is not
    /// the account's, or when there is no such account.
    ///
    /// # Errors
    /// When it could not be stored; then nothing was.
    pub async fn unlink(&self, id: Uuid, what: Unlink) -> Result<bool, StoreError> {
        let clock = self.clock.clone();
        self.db.write(move |tx| unlink(tx, id, &what, clock.unix_micros())).await
    }
}

const TOUCH: &str = "UPDATE users SET update_time = ?2 WHERE id = ?1";
const SET_CUSTOM: &str = "UPDATE users SET custom_id = ?3, update_time = ?2 WHERE id = ?1";
const SET_EMAIL: &str = "UPDATE users SET email = ?3, password = ?4, update_time = ?2 WHERE id = ?1";
const INSERT_DEVICE: &str = "INSERT INTO user_device (id, user_id) VALUES (?1, ?2)";
const DELETE_DEVICE: &str = "DELETE FROM user_device WHERE id = ?1 AND user_id = ?2";
const IDENTIFIERS: &str = "SELECT id, custom_id, email, \
     (facebook_id IS NOT NULL) + (google_id IS NOT NULL) + (gamecenter_id IS NOT NULL) + (steam_id IS NOT NULL) \
     + (facebook_instant_game_id IS NOT NULL) + (apple_id IS NOT NULL), \
     (SELECT count(*) FROM user_device WHERE user_id = users.id) \
     FROM users WHERE id = ?1";

pub(super) fn insert_device(tx: &Transaction<'_>, id: &str, user_id: Uuid) -> Result<(), StoreError> {
    db::run(tx, INSERT_DEVICE, params![id, db::key(&user_id)]).map(drop)
}

pub(super) fn link(tx: &Transaction<'_>, id: Uuid, what: &NewIdentifier, now: i64) -> Result<Linked, StoreError> {
    let owner = users::find_login(tx, what.as_identifier())?.map(|login| login.user_id);
    if owner.is_some_and(|owner| owner != id) {
        return Ok(Linked::InUse);
    }
    let found = match what {
        NewIdentifier::Custom(custom) => db::run(tx, SET_CUSTOM, params![db::key(&id), now, custom])?,
        NewIdentifier::Device(_) => db::run(tx, TOUCH, params![db::key(&id), now])?,
        NewIdentifier::Email { email, password_hash } => {
            db::run(tx, SET_EMAIL, params![db::key(&id), now, email, password_hash])?
        }
    };
    if found == 0 {
        return Ok(Linked::NoSuchUser);
    }
    if let (NewIdentifier::Device(device), None) = (what, owner) {
        insert_device(tx, device, id)?;
    }
    Ok(Linked::Done)
}

/// What an account has to sign in by.
struct Identifiers {
    custom: Option<String>,
    email: Option<String>,
    /// Of the providers that have a column of their own.
    social: i64,
    devices: i64,
}

fn identifiers_of(row: &Row<'_>) -> Result<Identifiers, StoreError> {
    Ok(Identifiers { custom: row.get(1)?, email: row.get(2)?, social: row.get(3)?, devices: row.get(4)? })
}

fn unlink(tx: &Transaction<'_>, id: Uuid, what: &Unlink, now: i64) -> Result<bool, StoreError> {
    let Some(has) = db::one(tx, IDENTIFIERS, params![db::key(&id)], identifiers_of)? else {
        return Ok(false);
    };
    let (custom, email) = (i64::from(has.custom.is_some()), i64::from(has.email.is_some()));
    let (is_its_own, others) = match what {
        Unlink::Custom(given) => (given.is_none() || *given == has.custom, email + has.social + has.devices),
        Unlink::Email(given) => (given.is_none() || *given == has.email, custom + has.social + has.devices),
        Unlink::Device(device) => (owns_device(tx, id, device)?, custom + email + has.social + has.devices - 1),
    };
    if !is_its_own || others <= 0 {
        return Ok(false);
    }
    match what {
        Unlink::Custom(_) => db::run(tx, SET_CUSTOM, params![db::key(&id), now, None::<String>])?,
        Unlink::Email(_) => db::run(tx, SET_EMAIL, params![db::key(&id), now, None::<String>, None::<Vec<u8>>])?,
        Unlink::Device(device) => {
            db::run(tx, DELETE_DEVICE, params![device, db::key(&id)])?;
            db::run(tx, TOUCH, params![db::key(&id), now])?
        }
    };
    Ok(true)
}

fn owns_device(tx: &Transaction<'_>, id: Uuid, device: &str) -> Result<bool, StoreError> {
    Ok(users::find_login(tx, Identifier::Device(device))?.is_some_and(|login| login.user_id == id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{Fresh, custom, email};

    fn device(id: &str) -> NewIdentifier {
        NewIdentifier::Device(id.to_owned())
    }

    #[tokio::test]
    async fn devices_accumulate_in_order_and_a_custom_id_is_replaced() {
        let fresh = Fresh::new();
        let id = fresh.user(custom("id-first")).await;
        for name in ["zz-device-1", "aa-device-2", "mm-device-3"] {
            assert_eq!(fresh.store.link(id, device(name)).await.unwrap(), Linked::Done);
        }
        assert_eq!(fresh.store.link(id, custom("id-second")).await.unwrap(), Linked::Done);
        let account = fresh.store.account(id).unwrap().unwrap();
        assert_eq!(account.devices, ["zz-device-1", "aa-device-2", "mm-device-3"]);
        assert_eq!(account.custom_id.as_deref(), Some("id-second"));
        assert_eq!(fresh.store.find_login(Identifier::Custom("id-first")).unwrap(), None);
    }

    #[tokio::test]
    async fn linking_what_one_has_is_done_and_moves_the_time() {
        let fresh = Fresh::new();
        let id = fresh.user(device("device-0001")).await;
        for what in [device("device-0001"), custom("id-first"), custom("id-first"), email("a@example.com", b"1")] {
            fresh.clock.advance_seconds(1);
            assert_eq!(fresh.store.link(id, what).await.unwrap(), Linked::Done);
            let account = fresh.store.account(id).unwrap().unwrap();
            assert_eq!(account.user.update_time, fresh.clock.unix_micros());
            assert_eq!(account.devices.len(), 1);
        }
        fresh.store.link(id, email("a@example.com", b"2")).await.unwrap();
        let login = fresh.store.find_login(Identifier::Email("a@example.com")).unwrap().unwrap();
        assert_eq!(login.password.as_deref(), Some(&b"2"[..]), "this is how a password is changed");
    }

    #[tokio::test]
    async fn what_another_has_is_in_use() {
        let fresh = Fresh::new();
        let (owner, other) = (fresh.user(custom("id-owner")).await, fresh.user(custom("id-other")).await);
        for what in [device("device-0001"), custom("id-owner"), email("a@example.com", b"1")] {
            assert_eq!(fresh.store.link(owner, what.clone()).await.unwrap(), Linked::Done);
            assert_eq!(fresh.store.link(other, what.clone()).await.unwrap(), Linked::InUse);
            assert_eq!(fresh.store.link(Uuid::from_u128(7), what).await.unwrap(), Linked::InUse);
        }
        for what in [device("device-0002"), custom("id-new"), email("b@example.com", b"1")] {
            assert_eq!(fresh.store.link(Uuid::from_u128(7), what).await.unwrap(), Linked::NoSuchUser);
        }
    }

    #[tokio::test]
    async fn of_twenty_who_link_one_device_one_gets_it() {
        let fresh = Fresh::new();
        let mut tasks = Vec::new();
        for n in 0..20 {
            let (store, id) = (fresh.store.clone(), fresh.user(custom(&format!("id-{n:04}"))).await);
            tasks.push(tokio::spawn(async move { store.link(id, device("the-device")).await.unwrap() }));
        }
        let mut done = 0;
        for task in tasks {
            done += usize::from(task.await.unwrap() == Linked::Done);
        }
        assert_eq!(done, 1);
    }

    #[tokio::test]
    async fn the_last_identifier_stays() {
        let fresh = Fresh::new();
        let id = fresh.user(custom("id-first")).await;
        let unlink = |what| fresh.store.unlink(id, what);
        assert!(!unlink(Unlink::Custom(None)).await.unwrap());
        assert!(!unlink(Unlink::Custom(Some("id-first".into()))).await.unwrap());
        assert!(!unlink(Unlink::Device("device-0001".into())).await.unwrap(), "not its own");
        assert!(unlink(Unlink::Email(None)).await.unwrap(), "nothing there, and the custom id remains");
        fresh.store.link(id, device("device-0001")).await.unwrap();
        assert!(!unlink(Unlink::Custom(Some("id-wrong".into()))).await.unwrap());
        assert!(unlink(Unlink::Custom(Some("id-first".into()))).await.unwrap());
        assert!(!unlink(Unlink::Device("device-0001".into())).await.unwrap(), "now the device is the last");
        fresh.store.link(id, device("device-0002")).await.unwrap();
        assert!(unlink(Unlink::Device("device-0001".into())).await.unwrap());
        assert_eq!(fresh.store.account(id).unwrap().unwrap().devices, ["device-0002"]);
        assert!(!fresh.store.unlink(Uuid::from_u128(7), Unlink::Custom(None)).await.unwrap());
    }

    #[tokio::test]
    async fn an_unlinked_email_takes_the_password_along() {
        let fresh = Fresh::new();
        let id = fresh.user(email("a@example.com", b"hash")).await;
        fresh.store.link(id, custom("id-first")).await.unwrap();
        fresh.clock.advance_seconds(5);
        assert!(fresh.store.unlink(id, Unlink::Email(Some("a@example.com".into()))).await.unwrap());
        let login = fresh.store.find_login(Identifier::Id(id)).unwrap().unwrap();
        assert_eq!(login.password, None);
        let account = fresh.store.account(id).unwrap().unwrap();
        assert_eq!((account.email, account.user.update_time), (None, fresh.clock.unix_micros()));
    }
}
