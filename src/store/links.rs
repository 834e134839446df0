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

fn link(tx: &Transaction<'_>, id: Uuid, what: &NewIdentifier, now: i64) -> Result<Linked, StoreError> {
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
