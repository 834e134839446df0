//! The end of a session token as the end of its socket (`session.close_on_expiry`). One timer, set to the next thing to do; whether
//! that is due is judged by the wall clock, as tokens are, since what the session lives by may have changed meanwhile.

use crate::{
    clock::{Clock, Entropy},
    features::Services,
    realtime::{self, Session},
};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// Where the clock stands still or goes back, the time is looked at again this much later.
const LEAST_WAIT: Duration = Duration::from_millis(10);
/// A timer is set no further ahead than this: what a token may say is no limit for a timer.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

/// Watches one session's end.
pub(super) struct Expiry {
    timer: Pin<Box<Sleep>>,
    clock: Clock,
    entropy: Entropy,
    /// Seconds before the end at which the client is told; 0: never.
    warning: i64,
    /// The end that the client has been told of.
    warned_of: i64,
}

impl Expiry {
    /// What the configuration asks for: nothing, unless it says so.
    pub(super) fn configured(services: &Services, session: &Session) -> Option<Self> {
        let config = &services.config.session;
        let warning = i64::try_from(config.expiry_warning_sec).unwrap_or(i64::MAX);
        config.close_on_expiry.then(|| Self::new(services.clock.clone(), services.entropy.clone(), warning, session))
    }

    /// A watch over `session`, with a warning so many seconds before its end.
    pub(super) fn new(clock: Clock, entropy: Entropy, warning: i64, session: &Session) -> Self {
        let mut expiry = Self { timer: Box::pin(sleep(Duration::ZERO)), clock, entropy, warning, warned_of: 0 };
        let wait = expiry.until_next(session.expires_unix());
        expiry.timer.as_mut().reset(Instant::now() + wait);
        expiry
    }

    /// Ready when the session is over. Tells the client before.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, session: &Session) -> Poll<()> {
        while self.timer.as_mut().poll(context).is_ready() {
            let (now, end) = (self.clock.unix_seconds(), session.expires_unix());
            if now >= end {
                return Poll::Ready(());
            }
            if self.warns_of(end) && now >= end.saturating_sub(self.warning) {
                self.warned_of = end;
                realtime::warn_of_expiry(session, end, self.entropy.uuid(), now);
            }
            let wait = self.until_next(end).max(LEAST_WAIT);
            self.timer.as_mut().reset(Instant::now() + wait);
        }
        Poll::Pending
    }

    fn warns_of(&self, end: i64) -> bool {
        self.warning > 0 && self.warned_of != end
    }

    /// Time until the warning, or, after it, until the end.
    fn until_next(&self, end: i64) -> Duration {
        let next = if self.warns_of(end) { end.saturating_sub(self.warning) } else { end };
        let micros = next.saturating_mul(1_000_000).saturating_sub(self.clock.unix_micros());
        Duration::from_micros(u64::try_from(micros).unwrap_or(0)).min(LONGEST_WAIT)
    }
}
