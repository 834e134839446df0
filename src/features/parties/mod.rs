//! Parties: sessions that stay together, led by one of them (spec/parties.md).

use super::{Services, not_served};
use crate::{config::Config, realtime::Session};
use kizuna_protocol::realtime::{
    PartyAccept, PartyClose, PartyCreate, PartyDataSend, PartyJoin, PartyJoinRequestList, PartyLeave,
    PartyMatchmakerAdd, PartyMatchmakerRemove, PartyPromote, PartyRemove, PartyUpdate,
};
use std::sync::Arc;

/// All parties. Clones share them.
#[derive(Clone, Debug)]
pub struct Parties;

impl Parties {
    /// No parties yet.
    pub fn new(_config: &Config) -> Self {
        Self
    }
}

/// A socket is gone: its session leaves its parties.
pub(super) fn closed(_services: &Services, _session: &Arc<Session>) {}

/// `party_create`.
pub(crate) fn create(_services: &Services, session: &Arc<Session>, cid: String, _request: PartyCreate) {
    not_served(session, cid);
}

/// `party_join`.
pub(crate) fn join(_services: &Services, session: &Arc<Session>, cid: String, _request: PartyJoin) {
    not_served(session, cid);
}

/// `party_leave`.
pub(crate) fn leave(_services: &Services, session: &Arc<Session>, cid: String, _request: PartyLeave) {
    not_served(session, cid);
}

/// `party_promote`.
pub(crate) fn promote(_services: &Services, session: &Arc<Session>, cid: String, _request: PartyPromote) {
    not_served(session, cid);
}

/// `party_accept`.
pub(crate) fn accept(_services: &Services, session: &Arc<Session>, cid: String, _request: PartyAccept) {
    not_served(session, cid);
}

/// `party_remove`.
pub(crate) fn remove(_services: &Services, session: &Arc<Session>, cid: String, _request: PartyRemove) {
    not_served(session, cid);
}

/// `party_close`.
pub(crate) fn close(_services: &Services, session: &Arc<Session>, cid: String, _request: PartyClose) {
    not_served(session, cid);
}

/// `party_join_request_list`.
pub(crate) fn join_request_list(
    _services: &Services,
    session: &Arc<Session>,
    cid: String,
    _request: PartyJoinRequestList,
) {
    not_served(session, cid);
}

/// `party_matchmaker_add`.
pub(crate) fn matchmaker_add(_services: &Services, session: &Arc<Session>, cid: String, _request: PartyMatchmakerAdd) {
    not_served(session, cid);
}

/// `party_matchmaker_remove`.
pub(crate) fn matchmaker_remove(
    _services: &Services,
    session: &Arc<Session>,
    cid: String,
    _request: PartyMatchmakerRemove,
) {
    not_served(session, cid);
}

/// `party_data_send`.
pub(crate) fn send(_services: &Services, session: &Arc<Session>, cid: String, _request: PartyDataSend) {
    not_served(session, cid);
}

/// `party_update`.
pub(crate) fn update(_services: &Services, session: &Arc<Session>, cid: String, _request: PartyUpdate) {
    not_served(session, cid);
}
