//! Sessions and streams as plain data, for a restart that they outlive (docs/resume.md). Tokens are not among it, nor what would
//! make one again.

use super::{
    OutboundLimits, PresenceMeta, Realtime, Session,
    registry::TokenKey,
    session::Known,
    streams::{Place, StreamKey},
};
use crate::identity::{
    ScopeKey, Tenant,
    session::{Origin, SessionClaims},
};
use kizuna_protocol::envelope::Format;
use std::{collections::BTreeMap, sync::Arc};
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};
use uuid::Uuid;
use wincode::{SchemaRead, SchemaWrite};

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SavedSession {
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) username: String,
    pub(crate) vars: BTreeMap<String, String>,
    pub(crate) token_id: Option<Uuid>,
    pub(crate) token_expires_unix: i64,
    pub(crate) issued_unix: i64,
    pub(crate) origin: Option<SavedOrigin>,
    pub(crate) tenant: Tenant,
    pub(crate) token_key: [u8; 32],
    pub(crate) expires_unix: i64,
    pub(crate) is_protobuf: bool,
    pub(crate) shows_status: bool,
    /// It was about to end.
    pub(crate) is_over: bool,
    /// Envelopes for the client, encoded.
    pub(crate) waiting: Vec<Vec<u8>>,
}

/// What a session remembers of the identity token that opened it.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub(crate) struct SavedOrigin {
    entry: String,
    issuer: ScopeKey,
    family: Option<ScopeKey>,
    player: Option<ScopeKey>,
    tenant: Option<String>,
    proven_unix: i64,
    mapping_version: u32,
}

/// A stream with who is in it, in the order in which they came, and who follows it.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SavedStream {
    pub(crate) tenant: Tenant,
    pub(crate) mode: u8,
    pub(crate) subject: Uuid,
    pub(crate) subcontext: Uuid,
    pub(crate) label: String,
    pub(crate) members: Vec<SavedMember>,
    pub(crate) followers: Vec<Uuid>,
}

/// A session in a stream.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub(crate) struct SavedMember {
    pub(crate) session_id: Uuid,
    pub(crate) hidden: bool,
    pub(crate) persistence: bool,
    pub(crate) status: Option<String>,
}

impl Realtime {
    /// Every session and every stream. Asks for a time at which nothing changes any more: the sockets' tasks are done. Joins and
    /// leaves that wait are told before, so that they are among what waits for the members.
    pub fn export(&self) -> (Vec<SavedSession>, Vec<SavedStream>) {
        let streams = self.streams.places().into_iter().map(saved_stream).collect();
        let sessions = self.registry.all().iter().map(|session| saved_session(session)).collect();
        (sessions, streams)
    }

    /// Takes up sessions and streams, before the first socket opens. Nobody is told of anything; what waits for a session waits
    /// within the bounds of those without a connection, or ends it. Answers the sessions: the caller is to keep each.
    pub fn take_up(
        &self,
        sessions: Vec<SavedSession>,
        streams: Vec<SavedStream>,
        socket: OutboundLimits,
    ) -> Vec<Arc<Session>> {
        let sessions: Vec<_> = sessions.into_iter().filter_map(|saved| self.take_up_session(saved, socket)).collect();
        for SavedStream { tenant, mode, subject, subcontext, label, members, followers } in streams {
            let mode = super::Mode::from_number(mode);
            let key = StreamKey::new(tenant, mode, subject).with_subcontext(subcontext).with_label(&label);
            let member = |saved: SavedMember| {
                let SavedMember { session_id, hidden, persistence, status } = saved;
                let meta = PresenceMeta { hidden, persistence, status: status.map(Into::into) };
                Some((self.registry.by_id(session_id)?, meta))
            };
            let members = members.into_iter().filter_map(member).collect();
            let followers = followers.into_iter().filter_map(|id| self.registry.by_id(id)).collect();
            self.streams.restore(Place { key, members, followers });
        }
        sessions
    }

    /// `None` of a second one with the same id, which nothing that was written here holds.
    fn take_up_session(&self, saved: SavedSession, socket: OutboundLimits) -> Option<Arc<Session>> {
        if self.registry.by_id(saved.id).is_some() {
            return None;
        }
        let format = if saved.is_protobuf { Format::Protobuf } else { Format::Json };
        let claims = SessionClaims {
            user_id: saved.user_id,
            username: saved.username.into(),
            vars: Arc::new(saved.vars),
            token_id: saved.token_id,
            expires_unix: saved.token_expires_unix,
            issued_unix: saved.issued_unix,
            origin: saved.origin.map(|origin| Arc::new(origin.into())),
            tenant: saved.tenant,
            // Nothing is found by it: that is what the key is for.
            signature: [0; 32],
        };
        let token_key = Some(TokenKey::from_bytes(saved.token_key));
        let known = Known { session_id: saved.id, token_key, expires_unix: saved.expires_unix };
        let session = Session::restored(Arc::new(claims), known, format, saved.shows_status, socket);
        session.outbound().detach(self.detached_bounds());
        saved.waiting.into_iter().filter_map(|bytes| frame(format, bytes)).for_each(|frame| {
            session.outbound().push(frame);
        });
        if saved.is_over {
            session.outbound().close(kizuna_protocol::code::Close::DISCONNECTED);
        }
        self.registry.restore(&session);
        Some(session)
    }
}

/// `None` for a text that is none.
fn frame(format: Format, bytes: Vec<u8>) -> Option<Message> {
    match format {
        Format::Json => Utf8Bytes::try_from(Bytes::from(bytes)).ok().map(Message::Text),
        Format::Protobuf => Some(Message::Binary(bytes.into())),
    }
}

fn saved_session(session: &Session) -> SavedSession {
    let claims = session.claims();
    SavedSession {
        id: session.id(),
        user_id: claims.user_id,
        username: claims.username.to_string(),
        vars: (*claims.vars).clone(),
        token_id: claims.token_id,
        token_expires_unix: claims.expires_unix,
        issued_unix: claims.issued_unix,
        origin: claims.origin.as_deref().map(Into::into),
        tenant: session.tenant(),
        token_key: session.token_key().bytes(),
        expires_unix: session.expires_unix(),
        is_protobuf: session.format() == Format::Protobuf,
        shows_status: session.shows_status(),
        is_over: session.outbound().closing().is_some(),
        waiting: session.outbound().waiting().into_iter().map(|message| message.into_data().to_vec()).collect(),
    }
}

fn saved_stream(place: Place) -> SavedStream {
    let Place { key, members, followers } = place;
    let member = |(session, meta): (Arc<Session>, PresenceMeta)| SavedMember {
        session_id: session.id(),
        hidden: meta.hidden,
        persistence: meta.persistence,
        status: meta.status.as_deref().map(str::to_owned),
    };
    SavedStream {
        tenant: key.tenant(),
        mode: key.mode().number(),
        subject: key.subject(),
        subcontext: key.subcontext(),
        label: key.label().to_owned(),
        members: members.into_iter().map(member).collect(),
        followers: followers.iter().map(|session| session.id()).collect(),
    }
}

impl From<&Origin> for SavedOrigin {
    fn from(origin: &Origin) -> Self {
        let Origin { entry, issuer, family, player, tenant, proven_unix, mapping_version } = origin;
        Self {
            entry: entry.to_string(),
            issuer: *issuer,
            family: *family,
            player: *player,
            tenant: tenant.as_deref().map(str::to_owned),
            proven_unix: *proven_unix,
            mapping_version: *mapping_version,
        }
    }
}

impl From<SavedOrigin> for Origin {
    fn from(saved: SavedOrigin) -> Self {
        let SavedOrigin { entry, issuer, family, player, tenant, proven_unix, mapping_version } = saved;
        Self {
            entry: entry.into(),
            issuer,
            family,
            player,
            tenant: tenant.map(Into::into),
            proven_unix,
            mapping_version,
        }
    }
}
