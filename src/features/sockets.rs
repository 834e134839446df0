//! What the opening and the end of a socket mean to the features: one place that tells them, in the order of
//! spec/realtime-core.md 1.3 and 2.6.

use super::{Services, matchmaker, parties, status};
use crate::realtime::{ConnectError, Session};
use std::sync::Arc;

/// Takes a new session in: with `status=true` its user is shown as online.
///
/// # Errors
/// See [`ConnectError`]; the session is not taken in then.
pub fn opened(services: &Services, session: &Arc<Session>) -> Result<(), ConnectError> {
    services.realtime.connect(session, services.entropy.uuid(), services.clock.unix_seconds())?;
    status::opened(services, session);
    Ok(())
}

/// Another socket has taken the session over: with `status=true` its user is shown as online, unless it shows a status already.
pub fn resumed(services: &Services, session: &Arc<Session>, shows_status: bool) {
    if shows_status {
        status::resumed(services, session);
    }
}

/// Lets a session go: its tickets first, so that nobody is matched with it; then its parties, which may need another leader; then
/// everything else that it is in. Before all that it is barred: others may let it into a party, and none may miss its end.
pub fn closed(services: &Services, session: &Arc<Session>) {
    services.realtime.streams().bar(session);
    matchmaker::closed(services, session);
    parties::closed(services, session);
    services.realtime.disconnect(session);
}
