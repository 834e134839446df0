//! Status: what users show of themselves to those who follow them (spec/realtime-core.md section 7).

use super::{Services, not_served};
use crate::realtime::{JoinLimits, Mode, PresenceMeta, Session, StreamKey};
use kizuna_protocol::realtime::{StatusFollow, StatusUnfollow, StatusUpdate};
use std::sync::Arc;

/// A session shows one status, and any number may show theirs.
const LIMITS: JoinLimits = JoinLimits { members: usize::MAX, per_session: 1 };

/// A socket has been opened: with `status=true` its user is online, with a blank status.
pub(super) fn opened(services: &Services, session: &Arc<Session>) {
    if session.shows_status() {
        show(services, session);
    }
}

/// Another socket with `status=true` has taken the session over: a status that it shows stays as it is.
pub(super) fn resumed(services: &Services, session: &Arc<Session>) {
    let key = StreamKey::new(session.tenant(), Mode::Status, session.user_id());
    if !services.realtime.streams().is_member(&key, session) {
        show(services, session);
    }
}

fn show(services: &Services, session: &Arc<Session>) {
    let meta = PresenceMeta { status: Some("".into()), ..PresenceMeta::default() };
    let key = StreamKey::new(session.tenant(), Mode::Status, session.user_id());
    if let Err(error) = services.realtime.streams().update(&key, LIMITS, session, meta) {
        tracing::debug!(%error, "a new socket's status is not shown");
    }
}

/// `status_follow`.
pub(crate) fn follow(_services: &Services, session: &Arc<Session>, cid: String, _request: StatusFollow) {
    not_served(session, cid);
}

/// `status_unfollow`.
pub(crate) fn unfollow(_services: &Services, session: &Arc<Session>, cid: String, _request: StatusUnfollow) {
    not_served(session, cid);
}

/// `status_update`.
pub(crate) fn update(_services: &Services, session: &Arc<Session>, cid: String, _request: StatusUpdate) {
    not_served(session, cid);
}
