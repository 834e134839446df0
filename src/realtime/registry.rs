//! The session store: live sockets by session token, by user and by session id, each in shards of their own.

use super::session::Session;
use crate::{identity::session::SessionClaims, telemetry::Metrics};
use aws_lc_rs::digest::{SHA256, digest};
use dashmap::{DashMap, mapref::entry::Entry};
use kizuna_protocol::envelope::Format;
use std::{hash::Hash, sync::Arc};
use uuid::Uuid;

/// Why a session is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The user holds as many sockets as one may.
    #[error("too many sockets of one user")]
    TooManySockets,
    /// Sessions can be taken over, and there is one with this token and this format.
    #[error("the token's session is there already")]
    TokenInUse,
}

/// A session token as a key: SHA-256 of its signature, so that nothing that is kept, in a snapshot either, makes the token again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenKey([u8; 32]);

impl TokenKey {
    /// The key of the token with this signature.
    pub fn of(signature: &[u8; 32]) -> Self {
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, signature).as_ref());
        Self(key)
    }

    pub(super) const fn bytes(self) -> [u8; 32] {
        self.0
    }

    pub(super) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// Live sockets. No guard of a shard is held while another map is touched.
#[derive(Debug)]
pub struct Registry {
    by_token: DashMap<TokenKey, Vec<Arc<Session>>>,
    by_user: DashMap<Uuid, Vec<Arc<Session>>>,
    by_id: DashMap<Uuid, Arc<Session>>,
    max_sockets_per_user: usize,
    /// A session token has one session in each format: sessions can be taken over.
    one_per_token: bool,
    metrics: Metrics,
}

impl Registry {
    /// An empty store.
    pub fn new(max_sockets_per_user: usize, one_per_token: bool, metrics: Metrics) -> Self {
        Self {
            by_token: DashMap::new(),
            by_user: DashMap::new(),
            by_id: DashMap::new(),
            max_sockets_per_user,
            one_per_token,
            metrics,
        }
    }

    /// Takes a session in.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn insert(&self, session: &Arc<Session>) -> Result<(), ConnectError> {
        let key = self.reserve(session)?;
        let full = {
            let mut of_user = self.by_user.entry(session.user_id()).or_default();
            let full = of_user.len() >= self.max_sockets_per_user;
            if !full {
                if let Some(other) = of_user.first() {
                    session.count_with(other);
                }
                of_user.push(session.clone());
            }
            full
        };
        if full {
            take_out(&self.by_token, key, session);
            return Err(ConnectError::TooManySockets);
        }
        self.index(session);
        Ok(())
    }

    /// Takes a session in as its user's only one, and answers the others.
    ///
    /// # Errors
    /// There is a session that it should take over.
    pub fn replace(&self, session: &Arc<Session>) -> Result<Vec<Arc<Session>>, ConnectError> {
        self.reserve(session)?;
        let older = {
            let mut of_user = self.by_user.entry(session.user_id()).or_default();
            if let Some(other) = of_user.first() {
                session.count_with(other);
            }
            std::mem::replace(&mut *of_user, vec![session.clone()])
        };
        self.index(session);
        Ok(older)
    }

    /// Puts the session under its token, unless there is one that it should take over.
    fn reserve(&self, session: &Arc<Session>) -> Result<TokenKey, ConnectError> {
        let key = session.token_key();
        let mut of_token = self.by_token.entry(key).or_default();
        if self.one_per_token && of_token.iter().any(|other| other.format() == session.format() && other.is_claimable())
        {
            return Err(ConnectError::TokenInUse);
        }
        of_token.push(session.clone());
        Ok(key)
    }

    /// Takes a session in that there has been before: what was let in once is not counted again.
    pub(super) fn restore(&self, session: &Arc<Session>) {
        self.by_token.entry(session.token_key()).or_default().push(session.clone());
        {
            let mut of_user = self.by_user.entry(session.user_id()).or_default();
            if let Some(other) = of_user.first() {
                session.count_with(other);
            }
            of_user.push(session.clone());
        }
        self.index(session);
    }

    fn index(&self, session: &Arc<Session>) {
        self.by_id.insert(session.id(), session.clone());
        self.metrics.sessions.inc();
    }

    /// The session that a connection with this token and format may take over.
    pub fn resumable(&self, signature: &[u8; 32], format: Format) -> Option<Arc<Session>> {
        let of_token = self.by_token.get(&TokenKey::of(signature))?;
        of_token.iter().find(|session| session.format() == format && session.is_claimable()).cloned()
    }

    /// The token of `claims` takes the place of the one that `session` lives by. Called by the socket's own task alone, which is
    /// also the one that lets the session go. `false`, and no change, if the token would end earlier.
    pub fn replace_token(&self, session: &Arc<Session>, claims: Arc<SessionClaims>) -> bool {
        let Some(older) = session.replace_token(claims) else { return false };
        let key = session.token_key();
        if older != key {
            self.by_token.entry(key).or_default().push(session.clone());
            take_out(&self.by_token, older, session);
        }
        true
    }

    /// Lets a session go. Doing so twice changes nothing.
    pub fn remove(&self, session: &Arc<Session>) {
        if self.by_id.remove(&session.id()).is_none() {
            return;
        }
        take_out(&self.by_user, session.user_id(), session);
        take_out(&self.by_token, session.token_key(), session);
        self.metrics.sessions.dec();
    }

    /// The sockets that one session token opened.
    pub fn of_token(&self, signature: &[u8; 32]) -> Vec<Arc<Session>> {
        self.by_token.get(&TokenKey::of(signature)).map(|sessions| sessions.clone()).unwrap_or_default()
    }

    /// A user's sockets.
    pub fn of_user(&self, user_id: Uuid) -> Vec<Arc<Session>> {
        self.by_user.get(&user_id).map(|sessions| sessions.clone()).unwrap_or_default()
    }

    /// The socket with this session id.
    pub fn by_id(&self, session_id: Uuid) -> Option<Arc<Session>> {
        self.by_id.get(&session_id).map(|session| session.clone())
    }

    /// Every session that is open now.
    pub fn all(&self) -> Vec<Arc<Session>> {
        self.by_id.iter().map(|entry| entry.value().clone()).collect()
    }

    /// Calls `visit` with every session. It must not touch the registry.
    pub fn for_each(&self, visit: impl Fn(&Session)) {
        self.by_id.iter().for_each(|entry| visit(entry.value()));
    }

    /// How many sockets are open.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether no socket is open.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

fn take_out<K: Eq + Hash>(map: &DashMap<K, Vec<Arc<Session>>>, key: K, session: &Arc<Session>) {
    if let Entry::Occupied(mut entry) = map.entry(key) {
        entry.get_mut().retain(|other| !Arc::ptr_eq(other, session));
        if entry.get().is_empty() {
            entry.remove();
        }
    }
}
