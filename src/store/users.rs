//! Accounts: table `users`, and what goes with a row of it.

use super::{
    EarlierUse, Notice, Revocation, Store, StoreError, TokenUse,
    db::{self, Row, Transaction},
    links, outbox, revocations, tenants, token_uses,
    writer::Undo,
};
use rusqlite::{Connection, params};
use std::{collections::HashSet, fmt};
use uuid::Uuid;

/// What an account is looked up by.
#[derive(Clone, Copy)]
pub enum Identifier<'a> {
    /// The custom id; with the identity bridge, the verified subject.
    Custom(&'a str),
    /// A device id.
    Device(&'a str),
    /// An email address in lower case.
    Email(&'a str),
    /// The username, exactly.
    Username(&'a str),
    /// The account's own id.
    Id(Uuid),
}

/// What signing in needs to know of an account.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The account.
    pub user_id: Uuid,
    /// Its username.
    pub username: String,
    /// Banned.
    pub disabled: bool,
    /// The bcrypt hash, for accounts with an email address.
    pub password: Option<Vec<u8>>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user_id", &self.user_id)
            .field("username", &self.username)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}

/// An identifier to give to an account. Its `Debug` shows no value: a device id is a credential.
#[derive(Clone)]
pub enum NewIdentifier {
    /// A custom id.
    Custom(String),
    /// A device id.
    Device(String),
    /// An email address in lower case with a bcrypt hash.
    Email {
        /// The address.
        email: String,
        /// The hash.
        password_hash: Vec<u8>,
    },
}

impl fmt::Debug for NewIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Custom(_) => "Custom(..)",
            Self::Device(_) => "Device(..)",
            Self::Email { .. } => "Email(..)",
        })
    }
}

impl NewIdentifier {
    /// The same, to look up.
    pub fn as_identifier(&self) -> Identifier<'_> {
        match self {
            Self::Custom(id) => Identifier::Custom(id),
            Self::Device(id) => Identifier::Device(id),
            Self::Email { email, .. } => Identifier::Email(email),
        }
    }
}

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Its id.
    pub id: Uuid,
    /// Its username.
    pub username: String,
    /// What it signs in by.
    pub identifier: NewIdentifier,
    /// The key of its tenant, for good.
    pub tenant: Option<u128>,
    /// The identity token that it is made by, where its use is to be remembered; with the account, or not at all.
    pub token_use: Option<TokenUse>,
    /// Notices of its creation, stored with it or not at all.
    pub notices: Vec<Notice>,
}

/// What became of [`Store::create_user`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// The account is there now.
    New,
    /// Somebody was faster: the account that has the identifier.
    Existing(Login),
    /// The identifier is free, but the username is not.
    UsernameTaken,
    /// There is no such account, and the token was used before.
    TokenUsed(EarlierUse),
}

/// What anybody may see of an account. Times are microseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of table users: spec/db-schema.md section 1")]
pub struct User {
    pub id: Uuid,
    pub username: String,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
    pub lang_tag: String,
    pub location: Option<String>,
    pub timezone: Option<String>,
    /// JSON text.
    pub metadata: String,
    pub facebook_id: Option<String>,
    pub google_id: Option<String>,
    pub gamecenter_id: Option<String>,
    pub steam_id: Option<String>,
    pub facebook_instant_game_id: Option<String>,
    pub apple_id: Option<String>,
    pub edge_count: i32,
    pub create_time: i64,
    pub update_time: i64,
}

/// What its owner may see of an account. Times are microseconds since 1970, 0 means never.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of table users: spec/db-schema.md section 1")]
pub struct Account {
    pub user: User,
    /// JSON text.
    pub wallet: String,
    pub email: Option<String>,
    pub custom_id: Option<String>,
    /// Device ids in the order in which they were linked.
    pub devices: Vec<String>,
    pub verify_time: i64,
    pub disable_time: i64,
}

/// Fields of an account to change. `None` leaves a field as it is; `Some(None)` empties it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of table users: spec/db-schema.md section 1")]
pub struct AccountChanges {
    pub username: Option<String>,
    pub display_name: Option<Option<String>>,
    pub avatar_url: Option<Option<String>>,
    pub lang_tag: Option<String>,
    pub location: Option<Option<String>>,
    pub timezone: Option<Option<String>>,
}

/// What became of [`Store::update_account`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Updated {
    /// The account is as asked for.
    Done,
    /// Another account has that username; nothing was changed.
    UsernameTaken,
    /// There is no such account.
    NoSuchUser,
}

impl Store {
    /// The account that signs in as `who`; `None` when there is none. Microseconds; call it from anywhere.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn find_login(&self, who: Identifier<'_>) -> Result<Option<Login>, StoreError> {
        self.db.read(|conn| find_login(conn, who))
    }

    /// Makes an account, unless its identifier or its username is taken. Of several at once for one identifier, one makes it
    /// and the others get it as [`Created::Existing`].
    ///
    /// # Errors
    /// When it could not be stored; then it was not.
    pub async fn create_user(&self, new: NewUser) -> Result<Created, StoreError> {
        let (clock, most) = (self.clock.clone(), self.limits.outbox_size);
        let one_statement = new.notices.is_empty()
            && new.tenant.is_none()
            && new.token_use.is_none()
            && !matches!(new.identifier, NewIdentifier::Device(_));
        let undo = if one_statement { Undo::Statement } else { Undo::Savepoint };
        self.db.write_with(undo, move |tx| create_user(tx, &new, clock.unix_micros(), most)).await
    }

    /// The whole account; `None` when there is none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn account(&self, id: Uuid) -> Result<Option<Account>, StoreError> {
        self.db.read(|conn| {
            let mut account: Option<Account> = None;
            db::many(conn, ACCOUNT_BY_ID, params![db::key(&id)], |row| {
                let account = match &mut account {
                    Some(account) => account,
                    none => none.insert(account_of(row)?),
                };
                account.devices.extend(row.get::<Option<String>>(22)?);
                Ok(())
            })?;
            Ok(account)
        })
    }

    /// Every account that has one of the `ids`, `usernames` or `facebook_ids`, each once.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn users(&self, ids: &[Uuid], usernames: &[String], facebook_ids: &[String]) -> Result<Vec<User>, StoreError> {
        self.db.read(|conn| {
            let mut found = Vec::with_capacity(ids.len() + usernames.len() + facebook_ids.len());
            for id in ids {
                found.extend(db::one(conn, USER_BY_ID, params![db::key(id)], user_of)?);
            }
            for name in usernames {
                found.extend(db::one(conn, USER_BY_USERNAME, params![name], user_of)?);
            }
            for id in facebook_ids {
                found.extend(db::one(conn, USER_BY_FACEBOOK_ID, params![id], user_of)?);
            }
            let mut seen = HashSet::with_capacity(found.len());
            found.retain(|user| seen.insert(user.id));
            Ok(found)
        })
    }

    /// Ids of up to `limit` accounts in their order, greater than `after`; the system user has none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn user_ids_after(&self, after: Uuid, limit: usize) -> Result<Vec<Uuid>, StoreError> {
        let sql = "SELECT id FROM users WHERE id > ?1 ORDER BY id LIMIT ?2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.db.read(|conn| db::many(conn, sql, params![db::key(&after), limit], |row| row.uuid(0)))
    }

    /// Changes an account, all of it or nothing. Its update time moves only if a value really differs.
    ///
    /// # Errors
    /// When it could not be stored; then nothing was.
    pub async fn update_account(&self, id: Uuid, changes: AccountChanges) -> Result<Updated, StoreError> {
        let clock = self.clock.clone();
        self.db.write(move |tx| update_account(tx, id, changes, clock.unix_micros())).await
    }

    /// Deletes an account with all that belongs to it, and revokes its tokens issued up to order number `revoked_before` with it;
    /// `recorded` leaves a tombstone. `false` when there is no such account: then nothing is written.
    ///
    /// # Errors
    /// When it could not be stored; then the account is still there. The system user cannot be deleted.
    pub async fn delete_account(&self, id: Uuid, recorded: bool, revoked_before: u64) -> Result<bool, StoreError> {
        let revocation = self.user_revocation(id, revoked_before);
        let now = self.clock.unix_micros();
        self.db
            .write(move |tx| {
                refuse_system_user(id)?;
                if db::run(tx, "DELETE FROM users WHERE id = ?1", params![db::key(&id)])? == 0 {
                    return Ok(false);
                }
                if recorded {
                    db::run(tx, INSERT_TOMBSTONE, params![db::key(&id), now])?;
                }
                revocations::put(tx, &revocation)?;
                Ok(true)
            })
            .await
    }

    /// Bans an account and revokes its tokens issued up to order number `revoked_before`, or lifts the ban (its old tokens stay
    /// revoked). `false` when there is no such account. Its update time does not move.
    ///
    /// # Errors
    /// When it could not be stored; then nothing was. The system user cannot be banned.
    pub async fn set_disabled(&self, id: Uuid, disabled: bool, revoked_before: u64) -> Result<bool, StoreError> {
        let revocation = self.user_revocation(id, revoked_before);
        let disable_time = if disabled { self.clock.unix_micros() } else { 0 };
        self.db
            .write(move |tx| {
                refuse_system_user(id)?;
                let sql = "UPDATE users SET disable_time = ?2 WHERE id = ?1";
                let found = db::run(tx, sql, params![db::key(&id), disable_time])? == 1;
                if found && disabled {
                    revocations::put(tx, &revocation)?;
                }
                Ok(found)
            })
            .await
    }

    /// The revocation of all tokens of `user_id` issued up to order number `before`.
    fn user_revocation(&self, user_id: Uuid, before: u64) -> Revocation {
        let at_unix = self.clock.unix_seconds();
        let expires_unix = at_unix.saturating_add(self.limits.token_lifetime_sec);
        Revocation::UserBefore { user_id, before, at_unix, expires_unix }
    }
}

const LOGIN_BY_CUSTOM: &str = "SELECT id, username, disable_time, password FROM users WHERE custom_id = ?1";
const LOGIN_BY_EMAIL: &str = "SELECT id, username, disable_time, password FROM users WHERE email = ?1";
const LOGIN_BY_USERNAME: &str = "SELECT id, username, disable_time, password FROM users WHERE username = ?1";
const LOGIN_BY_ID: &str = "SELECT id, username, disable_time, password FROM users WHERE id = ?1";
const LOGIN_BY_DEVICE: &str = "SELECT users.id, username, disable_time, password FROM users \
     JOIN user_device ON user_device.user_id = users.id WHERE user_device.id = ?1";

const INSERT_USER: &str = "INSERT INTO users (id, username, custom_id, email, password, create_time, update_time) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)";
const INSERT_TOMBSTONE: &str =
    "INSERT INTO user_tombstone (user_id, create_time) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
const UPDATE_PROFILE: &str = "UPDATE users SET username = ?2, display_name = ?3, avatar_url = ?4, lang_tag = ?5, \
     location = ?6, timezone = ?7, update_time = ?8 WHERE id = ?1";

/// The columns of [`User`], in the order that [`user_of`] reads.
macro_rules! user_columns {
    () => {
        "users.id, username, display_name, avatar_url, lang_tag, location, timezone, users.metadata, facebook_id, google_id, \
         gamecenter_id, steam_id, facebook_instant_game_id, apple_id, edge_count, users.create_time, users.update_time"
    };
}
pub(super) use user_columns;

pub(super) const USER_BY_ID: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE id = ?1");
const USER_BY_USERNAME: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE username = ?1");
const USER_BY_FACEBOOK_ID: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE facebook_id = ?1");
/// One row for each device, or one without: account and devices as they are at one moment. SQLite's rowid is the order of
/// insertion; Nakama leaves the order open.
const ACCOUNT_BY_ID: &str = concat!(
    "SELECT ",
    user_columns!(),
    ", wallet, email, custom_id, verify_time, disable_time, user_device.id \
     FROM users LEFT JOIN user_device ON user_device.user_id = users.id WHERE users.id = ?1 ORDER BY user_device.rowid"
);

pub(super) fn find_login(conn: &Connection, who: Identifier<'_>) -> Result<Option<Login>, StoreError> {
    match who {
        Identifier::Custom(id) => db::one(conn, LOGIN_BY_CUSTOM, params![id], login_of),
        Identifier::Device(id) => db::one(conn, LOGIN_BY_DEVICE, params![id], login_of),
        Identifier::Email(email) => db::one(conn, LOGIN_BY_EMAIL, params![email], login_of),
        Identifier::Username(name) => db::one(conn, LOGIN_BY_USERNAME, params![name], login_of),
        Identifier::Id(id) => db::one(conn, LOGIN_BY_ID, params![db::key(&id)], login_of),
    }
}

fn create_user(tx: &Transaction<'_>, new: &NewUser, now: i64, outbox_size: usize) -> Result<Created, StoreError> {
    if let Some(login) = find_login(tx, new.identifier.as_identifier())? {
        return Ok(Created::Existing(login));
    }
    if let Some(token_use) = &new.token_use
        && let Some(earlier) = token_uses::find(tx, token_use)?
    {
        return Ok(Created::TokenUsed(earlier));
    }
    let (custom_id, email, password) = match &new.identifier {
        NewIdentifier::Custom(id) => (Some(id), None, None),
        NewIdentifier::Device(_) => (None, None, None),
        NewIdentifier::Email { email, password_hash } => (None, Some(email), Some(password_hash)),
    };
    match db::run(tx, INSERT_USER, params![db::key(&new.id), new.username, custom_id, email, password, now]) {
        Ok(_) => {}
        Err(error) if error.is_conflict_on("users.username") => return Ok(Created::UsernameTaken),
        Err(error) => return Err(error),
    }
    if let NewIdentifier::Device(id) = &new.identifier {
        links::insert_device(tx, id, new.id)?;
    }
    if let Some(tenant) = new.tenant {
        tenants::bind(tx, new.id, tenant)?;
    }
    if let Some(token_use) = &new.token_use {
        token_uses::put(tx, token_use)?;
    }
    outbox::put(tx, &new.notices, outbox_size)?;
    Ok(Created::New)
}

fn update_account(tx: &Transaction<'_>, id: Uuid, changes: AccountChanges, now: i64) -> Result<Updated, StoreError> {
    let Some(old) = db::one(tx, USER_BY_ID, params![db::key(&id)], user_of)? else {
        return Ok(Updated::NoSuchUser);
    };
    let new = changed(old.clone(), changes);
    if new == old {
        return Ok(Updated::Done);
    }
    let (name, display) = (&new.username, &new.display_name);
    let values = params![db::key(&id), name, display, new.avatar_url, new.lang_tag, new.location, new.timezone, now];
    match db::run(tx, UPDATE_PROFILE, values) {
        Ok(_) => Ok(Updated::Done),
        Err(error) if error.is_conflict_on("users.username") => Ok(Updated::UsernameTaken),
        Err(error) => Err(error),
    }
}

fn changed(user: User, changes: AccountChanges) -> User {
    User {
        username: changes.username.unwrap_or(user.username),
        display_name: changes.display_name.unwrap_or(user.display_name),
        avatar_url: changes.avatar_url.unwrap_or(user.avatar_url),
        lang_tag: changes.lang_tag.unwrap_or(user.lang_tag),
        location: changes.location.unwrap_or(user.location),
        timezone: changes.timezone.unwrap_or(user.timezone),
        ..user
    }
}

fn refuse_system_user(id: Uuid) -> Result<(), StoreError> {
    if id.is_nil() { Err(StoreError::other("the system user can be neither deleted nor banned")) } else { Ok(()) }
}

fn login_of(row: &Row<'_>) -> Result<Login, StoreError> {
    Ok(Login { user_id: row.uuid(0)?, username: row.get(1)?, disabled: row.get::<i64>(2)? != 0, password: row.get(3)? })
}

pub(super) fn user_of(row: &Row<'_>) -> Result<User, StoreError> {
    Ok(User {
        id: row.uuid(0)?,
        username: row.get(1)?,
        display_name: row.get(2)?,
        avatar_url: row.get(3)?,
        lang_tag: row.get(4)?,
        location: row.get(5)?,
        timezone: row.get(6)?,
        metadata: row.get(7)?,
        facebook_id: row.get(8)?,
        google_id: row.get(9)?,
        gamecenter_id: row.get(10)?,
        steam_id: row.get(11)?,
        facebook_instant_game_id: row.get(12)?,
        apple_id: row.get(13)?,
        edge_count: row.get(14)?,
        create_time: row.get(15)?,
        update_time: row.get(16)?,
    })
}

fn account_of(row: &Row<'_>) -> Result<Account, StoreError> {
    Ok(Account {
        user: user_of(row)?,
        wallet: row.get(17)?,
        email: row.get(18)?,
        custom_id: row.get(19)?,
        devices: Vec::new(),
        verify_time: row.get(20)?,
        disable_time: row.get(21)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{Fresh, custom, email};

    #[tokio::test]
    async fn an_account_is_found_by_each_of_its_identifiers() {
        let fresh = Fresh::new();
        let by_custom = fresh.user(custom("custom-1")).await;
        let by_device = fresh.user(NewIdentifier::Device("device-0001".into())).await;
        let by_email = fresh.user(email("a@example.com", b"hash")).await;
        let find = |who| fresh.store.find_login(who).unwrap();
        assert_eq!(find(Identifier::Custom("custom-1")).unwrap().user_id, by_custom);
        assert_eq!(find(Identifier::Device("device-0001")).unwrap().user_id, by_device);
        let login = find(Identifier::Email("a@example.com")).unwrap();
        assert_eq!((login.user_id, login.password.as_deref(), login.disabled), (by_email, Some(&b"hash"[..]), false));
        assert_eq!(find(Identifier::Username(&login.username)).unwrap(), login);
        assert_eq!(find(Identifier::Id(by_email)).unwrap(), login);
        assert_eq!(find(Identifier::Custom("CUSTOM-1")), None, "compared byte by byte");
        assert!(!format!("{login:?}").contains("hash") && !format!("{login:?}").contains("104"), "{login:?}");
    }

    #[tokio::test]
    async fn a_kept_statement_is_not_planned_anew_for_another_account() {
        let fresh = Fresh::new();
        for name in ["custom-1", "custom-2", "custom-3"] {
            let id = fresh.user(custom(name)).await;
            fresh.store.account(id).unwrap().unwrap();
        }
        let planned_anew = |conn: &Connection| {
            Ok(conn.prepare_cached(ACCOUNT_BY_ID)?.get_status(rusqlite::StatementStatus::RePrepare))
        };
        assert_eq!(fresh.store.db.read(planned_anew).unwrap(), 0);
    }

    #[tokio::test]
    async fn a_new_account_is_as_nakama_makes_it() {
        let fresh = Fresh::new();
        let id = fresh.user(custom("custom-1")).await;
        let account = fresh.store.account(id).unwrap().unwrap();
        let now = 1_700_000_000_000_000;
        assert_eq!((account.user.create_time, account.user.update_time), (now, now));
        assert_eq!((account.verify_time, account.disable_time, account.user.edge_count), (0, 0, 0));
        let texts = [&account.user.lang_tag, &account.user.metadata, &account.wallet];
        assert_eq!(texts, ["en", "{}", "{}"]);
        assert_eq!((account.custom_id.as_deref(), account.email, account.devices), (Some("custom-1"), None, vec![]));
        assert_eq!(fresh.store.account(Uuid::from_u128(7)).unwrap(), None);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_fifty_who_create_one_id_one_makes_the_account_and_all_get_it() {
        let fresh = Fresh::new();
        let tries = (0..50).map(|_| {
            let (store, new) = (fresh.store.clone(), fresh.new_user(custom("the-same-id")));
            tokio::spawn(async move { (new.id, store.create_user(new).await.unwrap()) })
        });
        let (mut made, mut found) = (Vec::new(), Vec::new());
        for task in tries.collect::<Vec<_>>() {
            match task.await.unwrap() {
                (id, Created::New) => made.push(id),
                (_, Created::Existing(login)) => found.push(login.user_id),
                (_, other) => panic!("names differ: {other:?}"),
            }
        }
        assert_eq!((made.len(), found.len()), (1, 49));
        assert!(found.iter().all(|id| *id == made[0]));
    }

    #[tokio::test]
    async fn a_taken_username_is_told_unless_the_identifier_is_known() {
        let fresh = Fresh::new();
        let first = fresh.new_user(custom("id-first"));
        let (id, username) = (first.id, first.username.clone());
        fresh.store.create_user(first).await.unwrap();
        let named = |identifier| NewUser { username: username.clone(), ..fresh.new_user(identifier) };
        assert_eq!(fresh.store.create_user(named(custom("id-other"))).await.unwrap(), Created::UsernameTaken);
        let device = named(NewIdentifier::Device("device-0001".into()));
        assert_eq!(fresh.store.create_user(device).await.unwrap(), Created::UsernameTaken);
        assert_eq!(fresh.store.find_login(Identifier::Device("device-0001")).unwrap(), None);
        let again = fresh.store.create_user(named(custom("id-first"))).await.unwrap();
        assert!(matches!(again, Created::Existing(login) if login.user_id == id));
    }

    #[tokio::test]
    async fn users_are_found_by_any_list_and_each_once() {
        let fresh = Fresh::new();
        let (first, second) = (fresh.user(custom("id-first")).await, fresh.user(custom("id-second")).await);
        let name = fresh.store.account(first).unwrap().unwrap().user.username;
        let ids = [first, second, first, Uuid::from_u128(7)];
        let found = fresh.store.users(&ids, &[name, "nobody".into()], &["fb".into()]).unwrap();
        assert_eq!(found.iter().map(|user| user.id).collect::<Vec<_>>(), [first, second]);
        let system = fresh.store.users(&[], &[String::new()], &[]).unwrap();
        assert_eq!(system[0].id, Uuid::nil(), "the empty username is the system user's");
        assert_eq!(fresh.store.users(&[], &[], &[]).unwrap(), []);
    }

    #[tokio::test]
    async fn an_update_changes_all_or_nothing_and_moves_the_time_only_for_a_difference() {
        let fresh = Fresh::new();
        let (id, other) = (fresh.user(custom("id-first")).await, fresh.user(custom("id-other")).await);
        let taken = fresh.store.account(other).unwrap().unwrap().user.username;
        fresh.clock.advance_seconds(10);
        let changes = AccountChanges {
            username: Some("new-name".into()),
            display_name: Some(Some("Ann".into())),
            timezone: Some(None),
            ..AccountChanges::default()
        };
        assert_eq!(fresh.store.update_account(id, changes.clone()).await.unwrap(), Updated::Done);
        fresh.clock.advance_seconds(10);
        assert_eq!(fresh.store.update_account(id, changes).await.unwrap(), Updated::Done);
        let user = fresh.store.account(id).unwrap().unwrap().user;
        assert_eq!((user.username.as_str(), user.display_name.as_deref()), ("new-name", Some("Ann")));
        assert_eq!(user.update_time - user.create_time, 10_000_000);

        let clash = AccountChanges { username: Some(taken), display_name: Some(None), ..AccountChanges::default() };
        assert_eq!(fresh.store.update_account(id, clash.clone()).await.unwrap(), Updated::UsernameTaken);
        assert_eq!(fresh.store.account(id).unwrap().unwrap().user, user);
        assert_eq!(fresh.store.update_account(Uuid::from_u128(7), clash).await.unwrap(), Updated::NoSuchUser);
        let long = AccountChanges { lang_tag: Some("x".repeat(19)), ..AccountChanges::default() };
        assert!(
            matches!(fresh.store.update_account(id, long).await, Err(StoreError::Other(_))),
            "the last line of defence"
        );
    }

    #[tokio::test]
    async fn a_deleted_account_takes_its_devices_along_and_leaves_its_revocation() {
        let fresh = Fresh::new();
        let id = fresh.user(NewIdentifier::Device("device-0001".into())).await;
        assert!(fresh.store.delete_account(id, true, 42).await.unwrap());
        assert_eq!(fresh.store.account(id).unwrap(), None);
        assert_eq!(fresh.store.find_login(Identifier::Device("device-0001")).unwrap(), None);
        let at_unix = 1_700_000_000;
        let revoked = Revocation::UserBefore { user_id: id, before: 42, at_unix, expires_unix: i64::MAX };
        assert_eq!(fresh.store.revocations().unwrap(), [revoked]);
        let tombstones = |conn: &Connection| db::one(conn, "SELECT user_id FROM user_tombstone", [], |row| row.uuid(0));
        assert_eq!(fresh.store.db.read(tombstones).unwrap(), Some(id));

        assert!(!fresh.store.delete_account(id, true, 43).await.unwrap(), "there is none any more");
        assert!(fresh.store.delete_account(Uuid::nil(), false, 44).await.is_err(), "the system user stays");
        assert_eq!(fresh.store.revocations().unwrap().len(), 1);
        let again = fresh.user(NewIdentifier::Device("device-0001".into())).await;
        assert_ne!(again, id);
    }

    #[tokio::test]
    async fn a_ban_and_its_end_leave_the_update_time() {
        let fresh = Fresh::new();
        let id = fresh.user(custom("id-first")).await;
        fresh.clock.advance_seconds(10);
        assert!(fresh.store.set_disabled(id, true, 42).await.unwrap());
        let account = fresh.store.account(id).unwrap().unwrap();
        assert_eq!(account.disable_time, 1_700_000_010_000_000);
        assert_eq!(account.user.update_time, account.user.create_time);
        assert!(fresh.store.find_login(Identifier::Id(id)).unwrap().unwrap().disabled);
        assert!(fresh.store.set_disabled(id, false, 43).await.unwrap());
        assert_eq!(fresh.store.account(id).unwrap().unwrap().disable_time, 0);
        assert!(matches!(fresh.store.revocations().unwrap()[..], [Revocation::UserBefore { before: 42, .. }]));
        assert!(!fresh.store.set_disabled(Uuid::from_u128(7), true, 44).await.unwrap());
        assert!(fresh.store.set_disabled(Uuid::nil(), true, 44).await.is_err());
    }

    #[tokio::test]
    async fn every_lookup_uses_an_index() {
        let fresh = Fresh::new();
        let lookups = [
            LOGIN_BY_CUSTOM,
            LOGIN_BY_DEVICE,
            LOGIN_BY_EMAIL,
            LOGIN_BY_ID,
            LOGIN_BY_USERNAME,
            USER_BY_FACEBOOK_ID,
            ACCOUNT_BY_ID,
        ];
        for sql in lookups {
            let explain = format!("EXPLAIN QUERY PLAN {sql}");
            let plan = |conn: &Connection| {
                let mut statement = conn.prepare(&explain)?;
                let steps = statement.query_map(["x"], |row| row.get::<_, String>(3))?;
                Ok(steps.collect::<Result<Vec<_>, _>>()?.join("; "))
            };
            let plan = fresh.store.db.read(plan).unwrap();
            assert!(!plan.contains("SCAN"), "{sql}: {plan}");
        }
    }
}
