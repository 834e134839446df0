//! Which refresh token of a chain is the newest: tables `kizuna_refresh_chain` and `kizuna_refresh_chain_size`. A token that is
//! presented once more tells that somebody else has a copy of it (RFC 9700 section 4.14.2).

use super::{
    Store, StoreError,
    db::{self, Transaction},
};
use rusqlite::{Connection, params};
use uuid::Uuid;

/// A refresh token that is presented. Times are in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Its chain: the claim `tid`.
    pub token_id: Uuid,
    /// Which token of the chain it is: 0 for the one of the sign-in.
    pub generation: u32,
    /// When it is presented.
    pub now_unix: i64,
    /// Seconds for which the token before the newest is still answered: its answer may have been lost.
    pub grace_sec: i64,
    /// The first second at which neither it nor what it is exchanged for can be valid.
    pub expires_unix: i64,
    /// Chains to remember at most.
    pub most: usize,
}

/// What becomes of a refresh token that is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It is exchanged for this generation. Two answers may hand out the same one.
    Newest(u32),
    /// It had been exchanged already, and its successor may be in other hands.
    Reused,
}

impl Store {
    /// Exchanges a refresh token for the next one of its chain, once.
    ///
    /// # Errors
    /// [`StoreError::ChainsFull`] when as many chains are remembered as may; others when it could not be stored.
    pub async fn rotate_refresh(&self, presented: Presented) -> Result<Rotation, StoreError> {
        self.db.write(move |tx| rotate(tx, &presented)).await
    }

    /// Whether a refresh token has been exchanged already and would end its session: asked before anything is done for it, and
    /// nothing is written down.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn is_refresh_reused(&self, presented: &Presented) -> Result<bool, StoreError> {
        self.db.read(|conn| {
            let row = newest(conn, presented.token_id)?;
            Ok(row.is_some_and(|(newest, used_at_unix)| presented.is_reused(newest, used_at_unix)))
        })
    }

    /// Forgets the chains that ended at `now_unix` (seconds since 1970) or before, and answers how many.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn purge_refresh_chains(&self, now_unix: i64) -> Result<usize, StoreError> {
        self.db.write(move |tx| purge(tx, now_unix)).await
    }
}

const SELECT: &str = "SELECT generation, used_at_unix FROM kizuna_refresh_chain WHERE token_id = ?1";
const TAKE_ROOM: &str = "UPDATE kizuna_refresh_chain_size SET chains = chains + 1 WHERE chains < ?1";
const INSERT: &str =
    "INSERT INTO kizuna_refresh_chain (token_id, generation, used_at_unix, expires_unix) VALUES (?1, ?2, ?3, ?4)";
const ADVANCE: &str = "UPDATE kizuna_refresh_chain SET generation = ?2, used_at_unix = ?3, \
     expires_unix = max(expires_unix, ?4) WHERE token_id = ?1";
const LENGTHEN: &str = "UPDATE kizuna_refresh_chain SET expires_unix = max(expires_unix, ?2) WHERE token_id = ?1";
const PURGE: &str = "DELETE FROM kizuna_refresh_chain WHERE expires_unix <= ?1";
const GIVE_ROOM: &str = "UPDATE kizuna_refresh_chain_size SET chains = chains - ?1";

impl Presented {
    /// Whether it is older than the token before the newest, or that one and its time of grace is over. Above the newest it is ours
    /// by its signature, and only a database from a backup can be behind.
    fn is_reused(&self, newest: u32, used_at_unix: i64) -> bool {
        let is_previous = self.generation.saturating_add(1) == newest;
        let in_grace = self.now_unix.saturating_sub(used_at_unix) <= self.grace_sec;
        self.generation < newest && !(is_previous && in_grace)
    }
}

/// The newest generation of a chain, and when the one before was used.
fn newest(conn: &Connection, token_id: Uuid) -> Result<Option<(u32, i64)>, StoreError> {
    db::one(conn, SELECT, params![db::key(&token_id)], |row| Ok((row.get::<u32>(0)?, row.get::<i64>(1)?)))
}

fn rotate(tx: &Transaction<'_>, presented: &Presented) -> Result<Rotation, StoreError> {
    let Presented { token_id, generation, now_unix, expires_unix, most, .. } = *presented;
    let id = db::key(&token_id);
    let next = generation.saturating_add(1);
    let Some((newest, used_at_unix)) = newest(tx, token_id)? else {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        if db::run(tx, TAKE_ROOM, params![most])? == 0 {
            return Err(StoreError::ChainsFull);
        }
        db::run(tx, INSERT, params![id, next, now_unix, expires_unix])?;
        return Ok(Rotation::Newest(next));
    };
    if presented.is_reused(newest, used_at_unix) {
        return Ok(Rotation::Reused);
    }
    if generation >= newest {
        db::run(tx, ADVANCE, params![id, next, now_unix, expires_unix])?;
        return Ok(Rotation::Newest(next));
    }
    db::run(tx, LENGTHEN, params![id, expires_unix])?;
    Ok(Rotation::Newest(newest))
}

fn purge(tx: &Transaction<'_>, now_unix: i64) -> Result<usize, StoreError> {
    let purged = db::run(tx, PURGE, params![now_unix])?;
    if purged > 0 {
        db::run(tx, GIVE_ROOM, params![i64::try_from(purged).unwrap_or(i64::MAX)])?;
    }
    Ok(purged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::Fresh;

    const CHAIN: Uuid = Uuid::from_u128(5);

    fn presented(generation: u32, now_unix: i64) -> Presented {
        Presented { token_id: CHAIN, generation, now_unix, grace_sec: 30, expires_unix: now_unix + 100, most: 2 }
    }

    async fn rotated(fresh: &Fresh, generation: u32, now_unix: i64) -> Rotation {
        let reused = fresh.store.is_refresh_reused(&presented(generation, now_unix)).unwrap();
        let rotation = fresh.store.rotate_refresh(presented(generation, now_unix)).await.unwrap();
        assert_eq!(reused, rotation == Rotation::Reused, "to be known before");
        rotation
    }

    #[tokio::test]
    async fn each_token_is_exchanged_once_and_its_lost_answer_given_again_for_a_while() {
        let mut fresh = Fresh::new();
        assert_eq!(rotated(&fresh, 0, 10).await, Rotation::Newest(1));
        assert_eq!(rotated(&fresh, 0, 40).await, Rotation::Newest(1), "the answer was lost");
        assert_eq!(rotated(&fresh, 0, 41).await, Rotation::Reused, "the grace begins with the first use");
        assert_eq!(rotated(&fresh, 1, 50).await, Rotation::Newest(2));
        assert_eq!(rotated(&fresh, 0, 51).await, Rotation::Reused, "two generations back");
        fresh.reopen();
        assert_eq!(rotated(&fresh, 1, 60).await, Rotation::Newest(2));
        assert_eq!(rotated(&fresh, 1, 81).await, Rotation::Reused);
        assert_eq!(rotated(&fresh, 7, 90).await, Rotation::Newest(8), "the database came from a backup");
    }

    #[tokio::test]
    async fn chains_are_forgotten_when_all_their_tokens_have_ended_and_make_room() {
        let fresh = Fresh::new();
        let of = |id: u128, now: i64| Presented { token_id: Uuid::from_u128(id), ..presented(0, now) };
        assert_eq!(fresh.store.rotate_refresh(of(1, 10)).await.unwrap(), Rotation::Newest(1));
        assert_eq!(fresh.store.rotate_refresh(of(2, 20)).await.unwrap(), Rotation::Newest(1));
        let full = fresh.store.rotate_refresh(of(3, 20)).await;
        assert!(matches!(full, Err(StoreError::ChainsFull)), "{full:?}");
        assert_eq!(fresh.store.rotate_refresh(of(1, 30)).await.unwrap(), Rotation::Newest(1), "known chains go on");
        assert_eq!(fresh.store.purge_refresh_chains(119).await.unwrap(), 0);
        assert_eq!(fresh.store.purge_refresh_chains(120).await.unwrap(), 1, "the other was lengthened at 30");
        assert_eq!(fresh.store.rotate_refresh(of(3, 130)).await.unwrap(), Rotation::Newest(1));
    }
}
