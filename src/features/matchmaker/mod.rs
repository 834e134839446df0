//! The matchmaker: tickets that wait for others (spec/matchmaker.md).

use super::{Services, not_served};
use crate::{config::Config, realtime::Session};
use kizuna_protocol::realtime::{MatchmakerAdd, MatchmakerRemove};
use std::sync::Arc;

/// The pool of tickets. Clones share it.
#[derive(Clone, Debug)]
pub struct Matchmaker;

impl Matchmaker {
    /// An empty pool.
    pub fn new(_config: &Config) -> Self {
        Self
    }
}

/// A socket is gone: every ticket that its session is part of leaves the pool.
pub(super) fn closed(_services: &Services, _session: &Arc<Session>) {}

/// `matchmaker_add`.
pub(crate) fn add(_services: &Services, session: &Arc<Session>, cid: String, _request: MatchmakerAdd) {
    not_served(session, cid);
}

/// `matchmaker_remove`.
pub(crate) fn remove(_services: &Services, session: &Arc<Session>, cid: String, _request: MatchmakerRemove) {
    not_served(session, cid);
}
