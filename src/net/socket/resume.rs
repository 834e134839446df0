//! How a session outlives its connection: a new connection takes over what an old one left, and a task without a connection waits
//! for one (docs/resume.md). Who keeps a session at any moment is told in `realtime/attachment.rs`.

use super::{expiry::Expiry, live::Remains};
use crate::{
    features::{Services, sockets},
    identity::session::SessionClaims,
    lifecycle::Lifecycle,
    net::envelopes::{Pending, Verdict},
    realtime::{Call, ConnectError, Keeper, OutboundLimits, Session},
};
use kizuna_protocol::{code::Close, envelope::Format};
use std::{
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

/// What a request for a socket asks for.
pub(super) struct Opening {
    pub(super) claims: Arc<SessionClaims>,
    pub(super) format: Format,
    pub(super) shows_status: bool,
}

/// Whether sessions outlive their connections here.
pub(super) fn is_on(services: &Services) -> bool {
    services.config.realtime.resume_window_ms > 0
}

/// The session that a socket with these claims and this format would take over.
pub(super) fn resumable(services: &Services, claims: &SessionClaims, format: Format) -> Option<Arc<Session>> {
    if !is_on(services) {
        return None;
    }
    services.realtime.registry().resumable(&claims.signature, format)
}

/// The session for a new socket: the one that is there for its token, or a new one.
///
/// # Errors
/// Why the socket is to be closed at once.
pub(super) async fn admit(services: &Arc<Services>, lifecycle: &Lifecycle, opening: Opening) -> Result<Keeper, Close> {
    loop {
        if let Some(session) = resumable(services, &opening.claims, opening.format)
            && let Some(keeper) = take_over(&session).await?
        {
            services.metrics.sessions_resumed.inc();
            sockets::resumed(services, keeper.session(), opening.shows_status);
            return Ok(keeper);
        }
        if lifecycle.is_draining() {
            return Err(if services.config.realtime.snapshot { Close::RESTARTING } else { Close::SHUTTING_DOWN });
        }
        match open(services, &opening) {
            Ok(keeper) => return Ok(keeper),
            Err(ConnectError::TooManySockets) => return Err(Close::DISCONNECTED),
            // Somebody was faster: that session is taken over.
            Err(ConnectError::TokenInUse) => {}
        }
    }
}

/// `None`: the session has ended meanwhile.
///
/// # Errors
/// A later connection has claimed it, too.
async fn take_over(session: &Arc<Session>) -> Result<Option<Keeper>, Close> {
    let Some(claim) = session.claim() else { return Ok(None) };
    match claim.granted().await {
        Some(keeper) => Ok(Some(keeper)),
        None if session.is_claimable() => Err(Close::TAKEN_OVER),
        None => Ok(None),
    }
}

fn open(services: &Arc<Services>, opening: &Opening) -> Result<Keeper, ConnectError> {
    let limits = OutboundLimits {
        messages: services.config.socket.outgoing_queue_size,
        bytes: services.config.socket.outgoing_queue_bytes,
    };
    let Opening { claims, format, shows_status } = opening;
    let session = Session::new(claims.clone(), services.entropy.uuid(), *format, *shows_status, limits);
    // Before anybody can find the session: from then on somebody may claim it.
    let keeper = keeper(services, session);
    sockets::opened(services, keeper.session())?;
    Ok(keeper)
}

/// A session's first keeper.
pub(super) fn keeper(services: &Arc<Services>, session: Arc<Session>) -> Keeper {
    let services = services.clone();
    Keeper::new(session, move |session| sockets::closed(&services, session))
}

/// Keeps the sessions that the last run left behind, each until its player comes back or the window is over. Those that may not go
/// on end now, and the others hear of it.
pub fn keep_taken_up(services: &Arc<Services>, lifecycle: &Lifecycle, sessions: Vec<(Arc<Session>, bool)>) {
    for (session, goes_on) in sessions {
        let keeper = keeper(services, session);
        if goes_on {
            let services = services.clone();
            lifecycle.spawn(async move { keep(&services, keeper, Remains::default()).await });
        }
    }
}

/// Keeps a session whose connection is lost: until somebody comes for it, its time is over, or something else ends it.
pub(super) async fn keep(services: &Services, mut keeper: Keeper, remains: Remains) {
    let session = keeper.session().clone();
    session.outbound().detach(services.realtime.detached_bounds());
    session.outbound().put_back(remains.unsent);
    let place = services.realtime.detached_place();
    if place.is_none() && session.called().is_none() {
        tracing::debug!(session_id = %session.id(), "no room to keep a session whose connection is lost");
        return;
    }
    let mut wait = Wait {
        serving: remains.serving,
        window: Box::pin(sleep(Duration::from_millis(services.config.realtime.resume_window_ms))),
        expiry: Expiry::configured(services, &session),
    };
    loop {
        match poll_fn(|context| wait.poll(context, &session)).await {
            Some(Call::Claimed) => match keeper.hand_over() {
                Ok(()) => return,
                // Whoever claimed it is gone: it waits on, if there is room for that.
                Err(kept) if place.is_some() => keeper = kept,
                Err(_) => return,
            },
            Some(Call::Suspended) => return keeper.suspend(),
            None => return,
        }
    }
}

/// What ends the wait for a connection.
struct Wait {
    serving: Option<Pending>,
    window: Pin<Box<Sleep>>,
    expiry: Option<Expiry>,
}

impl Wait {
    /// Ready with what the keeper is asked for, or with nothing when the session is over. A request that was being served is
    /// finished before anybody takes over: the session's next one comes after it.
    fn poll(&mut self, context: &mut Context<'_>, session: &Session) -> Poll<Option<Call>> {
        let over = session.outbound().poll_closing(context).is_some()
            || self.window.as_mut().poll(context).is_ready()
            || self.expiry.as_mut().is_some_and(|expiry| expiry.poll(context, session).is_ready());
        if over {
            return Poll::Ready(None);
        }
        if let Some(serving) = &mut self.serving {
            let polled = std::panic::catch_unwind(AssertUnwindSafe(|| serving.as_mut().poll(context)));
            match polled {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(Verdict::Stay)) => self.serving = None,
                Ok(Poll::Ready(Verdict::End(_))) => return Poll::Ready(None),
                Err(_) => {
                    tracing::error!(session_id = %session.id(), "a handler panicked; its session ends");
                    return Poll::Ready(None);
                }
            }
        }
        session.called().map_or(Poll::Pending, |call| Poll::Ready(Some(call)))
    }
}
