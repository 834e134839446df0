//! How long a session token may be: it travels in addresses and headers, which others on the way cut off.

use crate::config;
use std::sync::atomic::{AtomicI64, Ordering};

/// Seconds between two warnings of long tokens.
const WARN_EVERY_SEC: i64 = 60;

/// A session token would be longer than `session.max_token_bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session token would have {bytes} bytes, {most} are allowed (session.max_token_bytes)")]
pub struct TooLarge {
    /// Its length.
    pub bytes: usize,
    /// What is allowed.
    pub most: usize,
}

pub(super) struct Budget {
    most: usize,
    /// 0: no token is warned of.
    warn: usize,
    /// When one was warned of last, in seconds since 1970.
    warned: AtomicI64,
}

impl Budget {
    pub(super) fn new(config: &config::Session) -> Self {
        Self { most: config.max_token_bytes, warn: config.warn_token_bytes, warned: AtomicI64::new(i64::MIN) }
    }

    pub(super) fn judge(&self, bytes: usize) -> Result<(), TooLarge> {
        if bytes > self.most { Err(TooLarge { bytes, most: self.most }) } else { Ok(()) }
    }

    pub(super) fn is_to_warn(&self, bytes: usize, now: i64) -> bool {
        if self.warn == 0 || bytes < self.warn {
            return false;
        }
        let last = self.warned.load(Ordering::Relaxed);
        now.saturating_sub(last) >= WARN_EVERY_SEC
            && self.warned.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_tokens_are_warned_of_once_a_minute() {
        let budget = |warn| Budget::new(&config::Session { warn_token_bytes: warn, ..Default::default() });
        let warning = budget(100);
        assert!(!warning.is_to_warn(99, 1_000));
        let warned: Vec<_> = [1_000, 1_001, 1_059, 1_060].map(|now| warning.is_to_warn(100, now)).into();
        assert_eq!(warned, [true, false, false, true]);
        assert!(!budget(0).is_to_warn(1_000_000, 1_000));
        assert_eq!(warning.judge(2_048), Ok(()));
        assert_eq!(warning.judge(2_049), Err(TooLarge { bytes: 2_049, most: 2_048 }));
    }
}
