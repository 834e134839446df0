//! One live socket: whose it is, how it is written to, and what it is in.

use super::{
    answers::{Heard, Listener},
    attachment::Attachment,
    outbound::{Outbound, OutboundLimits},
    registry::TokenKey,
    streams::{Held, Holdings},
};
use crate::{
    identity::{Tenant, session::SessionClaims},
    rate::Bucket,
};
use kizuna_protocol::{envelope::Format, realtime::UserPresence};
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use uuid::Uuid;

/// Kinds of messages that are limited.
const KINDS: usize = 4;

/// Who a session is: fixed for the socket's life.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The user.
    pub user_id: Uuid,
    /// The wall that the session is behind.
    pub tenant: Tenant,
    /// The session's own id; a user with two sockets has two.
    pub session_id: Uuid,
    /// The presence that others see, made once.
    pub presence: UserPresence,
}

/// What a session lives by: a newer token may take the place of the one that opened the socket.
#[derive(Debug)]
struct Credential {
    claims: Arc<SessionClaims>,
    /// What the session is found by for whoever comes with the same token, where the claims do not tell: a restart has passed.
    token_key: Option<Box<TokenKey>>,
    /// When the session ends, in seconds since 1970: not before its token does, later when the token's chain was refreshed.
    expires_unix: i64,
}

impl Credential {
    fn token_key(&self) -> TokenKey {
        self.token_key.as_deref().copied().unwrap_or_else(|| TokenKey::of(&self.claims.signature))
    }
}

/// What does not follow from the claims of a session that there has been before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) session_id: Uuid,
    pub(super) token_key: Option<TokenKey>,
    pub(super) expires_unix: i64,
}

/// One live socket.
#[derive(Debug)]
pub struct Session {
    identity: Identity,
    credential: Mutex<Credential>,
    format: Format,
    shows_status: bool,
    outbound: Outbound,
    listener: Listener,
    attachment: Attachment,
    /// The streams this session is in. Guards only the lists. A stream's lock may be held while this one is taken, never the reverse.
    held: Mutex<Held>,
    /// What the user is in over all sessions.
    holdings: OnceLock<Arc<Holdings>>,
    used: OnceLock<Box<Used>>,
}

/// How much a session has asked for lately. Made with the first request that counts: an idle session has none.
#[derive(Debug, Default)]
struct Used {
    /// By kind.
    buckets: [Bucket; KINDS],
    refusals: Bucket,
}

impl Session {
    /// A session that nobody knows yet; [`super::Realtime::connect`] takes it in.
    pub fn new(
        claims: Arc<SessionClaims>,
        session_id: Uuid,
        format: Format,
        shows_status: bool,
        limits: OutboundLimits,
    ) -> Arc<Self> {
        let known = Known { session_id, token_key: None, expires_unix: claims.expires_unix };
        Self::restored(claims, known, format, shows_status, limits)
    }

    /// The same for one that there has been before: what it is found by and when it ends is known.
    pub(super) fn restored(
        claims: Arc<SessionClaims>,
        known: Known,
        format: Format,
        shows_status: bool,
        limits: OutboundLimits,
    ) -> Arc<Self> {
        let Known { session_id, token_key, expires_unix } = known;
        let presence = UserPresence {
            user_id: claims.user_id.to_string(),
            session_id: session_id.to_string(),
            username: claims.username.to_string(),
            ..UserPresence::default()
        };
        let identity = Identity { user_id: claims.user_id, tenant: claims.tenant, session_id, presence };
        Arc::new(Self {
            identity,
            credential: Mutex::new(Credential { claims, token_key: token_key.map(Box::new), expires_unix }),
            format,
            shows_status,
            outbound: Outbound::new(limits),
            listener: Listener::default(),
            attachment: Attachment::default(),
            held: Mutex::default(),
            holdings: OnceLock::new(),
            used: OnceLock::new(),
        })
    }

    /// The session's id.
    pub fn id(&self) -> Uuid {
        self.identity.session_id
    }

    /// The user.
    pub fn user_id(&self) -> Uuid {
        self.identity.user_id
    }

    /// The tenant: behind its wall is all that the session can meet.
    pub fn tenant(&self) -> Tenant {
        self.identity.tenant
    }

    /// What the session token says: the one that opened the socket, or the one that took its place.
    pub fn claims(&self) -> Arc<SessionClaims> {
        Arc::clone(&self.credential.lock().claims)
    }

    /// When the session ends if nothing prolongs it, in seconds since 1970.
    pub fn expires_unix(&self) -> i64 {
        self.credential.lock().expires_unix
    }

    /// What the session is found by for whoever comes with the same token.
    pub(super) fn token_key(&self) -> TokenKey {
        self.credential.lock().token_key()
    }

    /// The token of `claims` takes the place of the session's own; answers what that was found by. `None`, and no change, if it
    /// would end earlier.
    pub(super) fn replace_token(&self, claims: Arc<SessionClaims>) -> Option<TokenKey> {
        let mut credential = self.credential.lock();
        if claims.expires_unix < credential.expires_unix {
            return None;
        }
        credential.expires_unix = claims.expires_unix;
        let older = credential.token_key();
        (credential.claims, credential.token_key) = (claims, None);
        Some(older)
    }

    /// The chain `token_id` has been refreshed: if the session lives by it, it lives on until `expires_unix`.
    pub fn prolong(&self, token_id: Uuid, expires_unix: i64) {
        let mut credential = self.credential.lock();
        if credential.claims.token_id == Some(token_id) {
            credential.expires_unix = credential.expires_unix.max(expires_unix);
        }
    }

    /// How others see this session.
    pub fn presence(&self) -> &UserPresence {
        &self.identity.presence
    }

    /// The socket's encoding.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether the socket was opened with `status=true`.
    pub fn shows_status(&self) -> bool {
        self.shows_status
    }

    /// What waits to be written.
    pub fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    /// From now on the answers to this session's request are heard. Requests of one session are served one after another, so
    /// all that is heard is of one.
    pub fn listen(&self) {
        self.listener.start();
    }

    /// What was heard since [`Self::listen`], which ends here.
    pub fn heard(&self) -> Heard {
        self.listener.stop()
    }

    /// What notes answers.
    pub(super) fn listener(&self) -> &Listener {
        &self.listener
    }

    /// Who keeps the session.
    pub(super) fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    /// The streams this session is in.
    pub(super) fn held(&self) -> &Mutex<Held> {
        &self.held
    }

    /// How much of kind number `kind`, from 0 to 3, the session has asked for lately.
    pub fn bucket(&self, kind: usize) -> &Bucket {
        &self.used().buckets[kind]
    }

    /// How often the session has been refused lately.
    pub fn refusals(&self) -> &Bucket {
        &self.used().refusals
    }

    fn used(&self) -> &Used {
        self.used.get_or_init(Box::default)
    }

    /// What the user is in over all sessions.
    pub(super) fn holdings(&self) -> &Arc<Holdings> {
        self.holdings.get_or_init(Arc::default)
    }

    /// This session and `other`, of the same user, count what they are in together. Before the session is in anything.
    pub(super) fn count_with(&self, other: &Self) {
        // Set already: then it has begun to count, and goes on as it is.
        let _ = self.holdings.set(other.holdings().clone());
    }
}
