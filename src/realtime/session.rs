//! One live socket: whose it is, how it is written to, and what it is in.

use super::{
    outbound::{Outbound, OutboundLimits},
    presence::Stream,
};
use crate::identity::session::SessionClaims;
use kizuna_protocol::{envelope::Format, realtime::UserPresence};
use parking_lot::Mutex;
use std::sync::Arc;
use uuid::Uuid;

/// Who a session is: the session token's word, fixed for the socket's life.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The claims of the session token.
    pub claims: Arc<SessionClaims>,
    /// The session's own id; a user with two sockets has two.
    pub session_id: Uuid,
    /// The presence that others see, made once.
    pub presence: UserPresence,
}

/// One live socket.
#[derive(Debug)]
pub struct Session {
    identity: Identity,
    format: Format,
    shows_status: bool,
    outbound: Outbound,
    /// The streams this session is in. Guards only the list. A stream's lock may be held while this one is taken, never the reverse.
    streams: Mutex<Vec<Arc<Stream>>>,
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
        let presence = UserPresence {
            user_id: claims.user_id.to_string(),
            session_id: session_id.to_string(),
            username: claims.username.to_string(),
            ..UserPresence::default()
        };
        Arc::new(Self {
            identity: Identity { claims, session_id, presence },
            format,
            shows_status,
            outbound: Outbound::new(limits),
            streams: Mutex::default(),
        })
    }

    /// The session's id.
    pub fn id(&self) -> Uuid {
        self.identity.session_id
    }

    /// The user.
    pub fn user_id(&self) -> Uuid {
        self.identity.claims.user_id
    }

    /// What the session token says.
    pub fn claims(&self) -> &SessionClaims {
        &self.identity.claims
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

    /// The streams this session is in.
    pub(super) fn streams(&self) -> &Mutex<Vec<Arc<Stream>>> {
        &self.streams
    }
}
