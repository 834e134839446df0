//! Friends, invites and blocks: table `user_edge`. A relation is two edges, one for what each side sees of it
//! (spec/friends-and-groups.md A2). The one writer changes both in one job: of two who invite each other at once, one invites and the
//! other accepts.

use super::{
    NewNotification, Notification, Store, StoreError, User,
    db::{self, Row, Transaction},
    jsonb, notifications,
    users::{USER_BY_ID, user_columns, user_of},
};
use rusqlite::{Connection, params};
use std::collections::HashSet;
use uuid::Uuid;

/// What one side sees of a relation; the numbers are those of the wire and of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i64)]
pub enum FriendState {
    /// Both want it.
    Friend = 0,
    /// One has invited the other.
    InviteSent = 1,
    /// One was invited by the other.
    InviteReceived = 2,
    /// One has blocked the other.
    Blocked = 3,
}

impl FriendState {
    /// The state with this number.
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::Friend, Self::InviteSent, Self::InviteReceived, Self::Blocked]
            .into_iter()
            .find(|state| *state as i64 == number)
    }
}

/// A change that the other side is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeChange {
    /// An invite was made.
    Invited,
    /// An invite was accepted.
    Accepted,
    /// A friendship or an invite was ended.
    Removed,
}

/// What somebody does to others, all of it or nothing.
pub struct FriendCall<T> {
    /// Who does it.
    pub user_id: Uuid,
    /// To whom, each once.
    pub others: Vec<Uuid>,
    /// What the other side is told of a change, as its notification.
    pub tell: T,
}

/// One's own edge of a relation, with what the list shows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The other one.
    pub user: User,
    /// What one sees of it.
    pub state: FriendState,
    /// When the relation was made, in nanoseconds since 1970: the order of the list.
    pub position: i64,
    /// When it last changed, in microseconds since 1970.
    pub update_time: i64,
    /// JSON text.
    pub metadata: String,
}

/// Somebody's friend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FriendOfFriend {
    /// Whose.
    pub referrer: Uuid,
    /// The friend.
    pub user: User,
}

/// A page of friends of friends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FriendsOfFriends {
    /// In the order of referrers, then of users.
    pub found: Vec<FriendOfFriend>,
    /// Referrer and user with which the next page begins; `None`: this was the last.
    pub next: Option<(Uuid, Uuid)>,
}

impl Store {
    /// Invites others, or accepts their invites (spec/friends-and-groups.md A3); answers what they are told, which is stored with it.
    /// `metadata`, JSON text, becomes that of a new invite, and is merged into that of an accepted one.
    ///
    /// # Errors
    /// [`StoreError::FriendsFull`] or [`StoreError::OthersFriendsFull`]; others when it could not be stored, or `metadata` is no JSON and
    /// would have been. Then nothing has changed.
    pub async fn add_friends<T>(&self, call: FriendCall<T>, metadata: String) -> Result<Vec<Notification>, StoreError>
    where
        T: Fn(EdgeChange, Uuid) -> NewNotification + Send + 'static,
    {
        self.tell(call, move |change, other| change.add(other, &metadata)).await
    }

    /// Ends friendships, takes invites back, refuses them, lifts own blocks; otherwise as [`Store::add_friends`].
    ///
    /// # Errors
    /// When it could not be stored; then nothing has changed.
    pub async fn delete_friends<T>(&self, call: FriendCall<T>) -> Result<Vec<Notification>, StoreError>
    where
        T: Fn(EdgeChange, Uuid) -> NewNotification + Send + 'static,
    {
        #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is of one lifetime, this of any")]
        self.tell(call, |change, other| change.delete(other)).await
    }

    /// Blocks others, who lose what they had of the relation. Nobody is told.
    ///
    /// # Errors
    /// [`StoreError::FriendsFull`]; others when it could not be stored. Then nothing has changed.
    pub async fn block_friends(&self, user_id: Uuid, others: Vec<Uuid>) -> Result<(), StoreError> {
        self.change(user_id, move |change| others.into_iter().try_for_each(|other| change.block(other))).await
    }

    async fn tell<T, F>(&self, call: FriendCall<T>, apply: F) -> Result<Vec<Notification>, StoreError>
    where
        T: Fn(EdgeChange, Uuid) -> NewNotification + Send + 'static,
        F: Fn(&mut Change<'_>, Uuid) -> Result<Option<EdgeChange>, StoreError> + Send + 'static,
    {
        let limits = self.limits;
        self.change(call.user_id, move |change| {
            let mut told = Vec::new();
            for other in call.others {
                told.extend(apply(change, other)?.map(|change| (call.tell)(change, other)));
            }
            notifications::put(change.tx, told, change.now, limits)
        })
        .await
    }

    async fn change<R, F>(&self, user_id: Uuid, apply: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(&mut Change<'_>) -> Result<R, StoreError> + Send + 'static,
    {
        let (clock, most) = (self.clock.clone(), self.limits.friends_per_user);
        self.db
            .write(move |tx| {
                let now = clock.unix_micros();
                apply(&mut Change { tx, user_id, now, position: now.saturating_mul(1_000), most })
            })
            .await
    }

    /// Up to `limit` of a user's edges in the order of state and position, from a state and position on; those of `state` alone, if
    /// one is given.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn friends(
        &self,
        user_id: Uuid,
        state: Option<FriendState>,
        from: Option<(FriendState, i64)>,
        limit: usize,
    ) -> Result<Vec<Edge>, StoreError> {
        let (from_state, position) = from.unwrap_or((state.unwrap_or(FriendState::Friend), i64::MIN));
        let last = state.unwrap_or(FriendState::Blocked);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let params = params![db::key(&user_id), from_state as i64, position, last as i64, limit];
        self.db.read(|conn| db::many(conn, LIST, params, edge_of))
    }

    /// Friends of the user's friends who are neither the user nor the user's friends, by referrer and id, from `from` on. Looks at no
    /// more than `most` relations: a page may be shorter than `limit` and not the last.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn friends_of_friends(
        &self,
        user_id: Uuid,
        from: (Uuid, Uuid),
        limit: usize,
        most: usize,
    ) -> Result<FriendsOfFriends, StoreError> {
        self.db.read(|conn| friends_of_friends(conn, user_id, from, limit, most))
    }
}

const STATE: &str = "SELECT source_id, state, metadata FROM user_edge WHERE source_id = ?1 AND destination_id = ?2";
const INSERT: &str = "INSERT INTO user_edge (source_id, destination_id, state, position, update_time, metadata) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const UPDATE: &str = "UPDATE user_edge SET state = ?3, update_time = ?4, metadata = ?5 \
     WHERE source_id = ?1 AND destination_id = ?2";
const DELETE: &str = "DELETE FROM user_edge WHERE source_id = ?1 AND destination_id = ?2";
const COUNT: &str = "UPDATE users SET edge_count = max(edge_count + ?2, 0), update_time = ?3 WHERE id = ?1";
const EDGE_COUNT: &str = "SELECT edge_count FROM users WHERE id = ?1";
const EDGES: &str = "SELECT count(*) FROM user_edge WHERE source_id = ?1";
const POSITION_TAKEN: &str = "SELECT position FROM user_edge \
     WHERE source_id IN (?1, ?2) AND state IN (0, 1, 2, 3) AND position = ?3 LIMIT 1";
const LIST: &str = concat!(
    "SELECT ",
    user_columns!(),
    ", state, position, user_edge.update_time, user_edge.metadata FROM user_edge \
     JOIN users ON users.id = destination_id \
     WHERE source_id = ?1 AND (state, position) >= (?2, ?3) AND state <= ?4 ORDER BY state, position LIMIT ?5"
);
/// `+state` keeps the planner on the index of (source_id, destination_id), which has this order.
const FRIENDS_FROM: &str = "SELECT destination_id FROM user_edge \
     WHERE source_id = ?1 AND destination_id >= ?2 AND +state = 0 ORDER BY destination_id LIMIT ?3";

/// One's changes to relations with others, within a transaction.
struct Change<'t> {
    tx: &'t Transaction<'t>,
    user_id: Uuid,
    /// Microseconds since 1970.
    now: i64,
    /// Where the next pair of edges may stand; no two of one user stand at the same place.
    position: i64,
    most: usize,
}

/// State and metadata of an edge.
type Seen = Option<(FriendState, String)>;

impl Change<'_> {
    fn add(&mut self, other: Uuid, metadata: &str) -> Result<Option<EdgeChange>, StoreError> {
        use FriendState::{Friend, InviteReceived, InviteSent};
        let not_json = |error| StoreError::other(format!("metadata of a friend: {error}"));
        match (self.seen(self.user_id, other)?, self.seen(other, self.user_id)?) {
            (None, None) if self.is_there(other)? => {
                self.room_for(self.user_id, StoreError::FriendsFull)?;
                self.room_for(other, StoreError::OthersFriendsFull)?;
                let (metadata, position) = (jsonb::normalised(metadata).map_err(not_json)?, self.next_position(other)?);
                self.insert(self.user_id, other, InviteSent, position, &metadata)?;
                self.insert(other, self.user_id, InviteReceived, position, "{}")?;
                Ok(Some(EdgeChange::Invited))
            }
            (Some((InviteReceived, mine)), Some((InviteSent, theirs))) => {
                let mine = jsonb::merged(&mine, metadata).map_err(not_json)?;
                self.update(self.user_id, other, Friend, &mine)?;
                self.update(other, self.user_id, Friend, &theirs)?;
                Ok(Some(EdgeChange::Accepted))
            }
            // Friends, invited already, or blocked by either: nobody is told which.
            _ => Ok(None),
        }
    }

    fn delete(&mut self, other: Uuid) -> Result<Option<EdgeChange>, StoreError> {
        let Some((mine, _)) = self.seen(self.user_id, other)? else { return Ok(None) };
        self.remove(self.user_id, other)?;
        if mine == FriendState::Blocked || !self.remove_unless_blocked(other)? {
            return Ok(None);
        }
        Ok(Some(EdgeChange::Removed))
    }

    fn block(&mut self, other: Uuid) -> Result<(), StoreError> {
        match self.seen(self.user_id, other)? {
            Some((FriendState::Blocked, _)) => return Ok(()),
            Some((_, metadata)) => self.update(self.user_id, other, FriendState::Blocked, &metadata)?,
            None if self.is_there(other)? => {
                self.room_for(self.user_id, StoreError::FriendsFull)?;
                let position = self.next_position(other)?;
                self.insert(self.user_id, other, FriendState::Blocked, position, "{}")?;
            }
            None => return Ok(()),
        }
        self.remove_unless_blocked(other).map(drop)
    }

    /// Takes away what `other` has of the relation, unless that is a block; whether there was any.
    fn remove_unless_blocked(&self, other: Uuid) -> Result<bool, StoreError> {
        match self.seen(other, self.user_id)? {
            None | Some((FriendState::Blocked, _)) => Ok(false),
            Some(_) => self.remove(other, self.user_id).map(|()| true),
        }
    }

    fn seen(&self, source: Uuid, destination: Uuid) -> Result<Seen, StoreError> {
        db::one(self.tx, STATE, params![db::key(&source), db::key(&destination)], |row| {
            Ok((state_of(row, 1)?, row.get(2)?))
        })
    }

    fn is_there(&self, user_id: Uuid) -> Result<bool, StoreError> {
        Ok(db::one(self.tx, EDGE_COUNT, params![db::key(&user_id)], |_| Ok(()))?.is_some())
    }

    /// Judged by the count that the account carries, and where that is too high, by what there is: a friend's deleted account leaves
    /// the count as it was (spec/db-schema.md section 20).
    fn room_for(&self, user_id: Uuid, full: StoreError) -> Result<(), StoreError> {
        let most = i64::try_from(self.most).unwrap_or(i64::MAX);
        let count = |sql| {
            let count = db::one(self.tx, sql, params![db::key(&user_id)], |row| row.get::<i64>(0));
            count.map(Option::unwrap_or_default)
        };
        if count(EDGE_COUNT)? < most || count(EDGES)? < most { Ok(()) } else { Err(full) }
    }

    fn next_position(&mut self, other: Uuid) -> Result<i64, StoreError> {
        let is_taken = |position: i64| {
            let params = params![db::key(&self.user_id), db::key(&other), position];
            db::one(self.tx, POSITION_TAKEN, params, |_| Ok(()))
        };
        let mut position = self.position;
        while is_taken(position)?.is_some() {
            position += 1;
        }
        self.position = position + 1;
        Ok(position)
    }

    fn insert(
        &self,
        source: Uuid,
        destination: Uuid,
        state: FriendState,
        position: i64,
        metadata: &str,
    ) -> Result<(), StoreError> {
        let (source, destination) = (db::key(&source), db::key(&destination));
        db::run(self.tx, INSERT, params![source, destination, state as i64, position, self.now, metadata])?;
        db::run(self.tx, COUNT, params![source, 1, self.now]).map(drop)
    }

    fn update(&self, source: Uuid, destination: Uuid, state: FriendState, metadata: &str) -> Result<(), StoreError> {
        let (source, destination) = (db::key(&source), db::key(&destination));
        db::run(self.tx, UPDATE, params![source, destination, state as i64, self.now, metadata]).map(drop)
    }

    fn remove(&self, source: Uuid, destination: Uuid) -> Result<(), StoreError> {
        db::run(self.tx, DELETE, params![db::key(&source), db::key(&destination)])?;
        db::run(self.tx, COUNT, params![db::key(&source), -1, self.now]).map(drop)
    }
}

fn friends_of_friends(
    conn: &Connection,
    user_id: Uuid,
    from: (Uuid, Uuid),
    limit: usize,
    most: usize,
) -> Result<FriendsOfFriends, StoreError> {
    let own = friends_from(conn, user_id, Uuid::nil(), usize::MAX)?;
    let known: HashSet<Uuid> = own.iter().copied().chain([user_id]).collect();
    // Among so many friends of one referrer there are enough for the page, and one that tells whether there is another.
    let enough = known.len().saturating_add(limit).saturating_add(1);
    let (mut page, mut left) = (FriendsOfFriends::default(), most);
    for referrer in own.into_iter().filter(|referrer| *referrer >= from.0) {
        let first = if referrer == from.0 { from.1 } else { Uuid::nil() };
        let asked = enough.min(left);
        let friends = friends_from(conn, referrer, first, asked)?;
        // A referrer counts, too: there may be many with hardly a friend.
        left = left.saturating_sub(friends.len() + 1);
        let following = match friends.last() {
            Some(last) if friends.len() == asked => (referrer, following(*last)),
            _ => (following(referrer), Uuid::nil()),
        };
        for friend in friends.into_iter().filter(|friend| !known.contains(friend)) {
            if page.found.len() == limit {
                page.next = Some((referrer, friend));
                return Ok(page);
            }
            let user = db::one(conn, USER_BY_ID, params![db::key(&friend)], user_of)?;
            page.found.extend(user.map(|user| FriendOfFriend { referrer, user }));
        }
        if left == 0 {
            page.next = Some(following);
            return Ok(page);
        }
    }
    Ok(page)
}

fn following(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128().saturating_add(1))
}

fn friends_from(conn: &Connection, user_id: Uuid, first: Uuid, limit: usize) -> Result<Vec<Uuid>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    db::many(conn, FRIENDS_FROM, params![db::key(&user_id), db::key(&first), limit], |row| row.uuid(0))
}

fn state_of(row: &Row<'_>, column: usize) -> Result<FriendState, StoreError> {
    let number = row.get(column)?;
    FriendState::from_number(number).ok_or_else(|| row.corrupt(format!("state {number}")))
}

fn edge_of(row: &Row<'_>) -> Result<Edge, StoreError> {
    Ok(Edge {
        user: user_of(row)?,
        state: state_of(row, 17)?,
        position: row.get(18)?,
        update_time: row.get(19)?,
        metadata: row.get(20)?,
    })
}

#[cfg(test)]
#[path = "friends_tests.rs"]
mod tests;
