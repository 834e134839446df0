//! Password hashing: bcrypt as Nakama stores it, on threads of its own, a bounded number at once.

use crate::{clock::Entropy, config, error::Error};
use bcrypt::Version;
use std::{fmt, num::NonZero, sync::Arc};
use tokio::sync::Semaphore;

/// Hashes and checks passwords. Clones share the bounds.
#[derive(Clone)]
pub struct Passwords(Arc<Inner>);

struct Inner {
    cost: u32,
    /// Who computes, and who waits for it.
    admitted: Arc<Semaphore>,
    /// Who computes.
    running: Arc<Semaphore>,
    entropy: Entropy,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords")
    }
}

impl Passwords {
    /// Hashing with the cost and the bounds of `config`.
    pub fn new(config: &config::Password, entropy: Entropy) -> Self {
        let half = std::thread::available_parallelism().map_or(1, NonZero::get).div_ceil(2);
        let running = if config.max_concurrent == 0 { half } else { config.max_concurrent };
        let running = running.min(Semaphore::MAX_PERMITS / 2);
        let admitted = running.saturating_add(config.queue_size).min(Semaphore::MAX_PERMITS);
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        let (admitted, running) = (semaphore(admitted), semaphore(running));
        Self(Arc::new(Inner { cost: config.bcrypt_cost, admitted, running, entropy }))
    }

    /// The hash to store for a password of at most 72 bytes.
    ///
    /// # Errors
    /// 503 when too many wait already (`password.queue_size`).
    pub async fn hash(&self, password: &str) -> Result<Vec<u8>, Error> {
        let mut salt = [0; 16];
        self.0.entropy.fill(&mut salt);
        let (password, cost) = (password.to_owned(), self.0.cost);
        let hashed = self.run(move || bcrypt::hash_with_salt(password, cost, salt)).await?;
        let parts = hashed.map_err(|cause| Error::internal("Error hashing password.", cause))?;
        Ok(parts.format_for_version(Version::TwoA).into_bytes())
    }

    /// Whether `password` is the one of `hash`. Only its first 72 bytes count, as in Nakama. A hash that is none matches nothing.
    ///
    /// # Errors
    /// 503 when too many wait already (`password.queue_size`).
    pub async fn verify(&self, password: &str, hash: &[u8]) -> Result<bool, Error> {
        let Ok(hash) = String::from_utf8(hash.to_vec()) else { return Ok(false) };
        let password = password.to_owned();
        let matches = self.run(move || bcrypt::verify(password, &hash)).await?;
        Ok(matches.unwrap_or_else(|error| {
            tracing::warn!(%error, "a stored password hash is malformed");
            false
        }))
    }

    /// Runs `work` on a blocking thread. The permits go with it: a client that hangs up makes no room before it is done.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let admitted = Arc::clone(&self.0.admitted).try_acquire_owned();
        let admitted = admitted.map_err(|_| Error::unavailable("Too many passwords are being checked. Try again."))?;
        let running = Arc::clone(&self.0.running).acquire_owned().await;
        let task = tokio::task::spawn_blocking(move || {
            let _permits = (admitted, running);
            work()
        });
        task.await.map_err(|cause| Error::internal("Error hashing password.", cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kizuna_protocol::code::Code;

    fn passwords(queue_size: usize) -> Passwords {
        let config = config::Password { bcrypt_cost: 4, max_concurrent: 1, queue_size };
        Passwords::new(&config, Entropy::seeded(1))
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let passwords = passwords(10);
        let hash = passwords.hash("pass\0word").await.expect("room");
        assert!(hash.starts_with(b"$2a$04$"));
        assert_eq!(passwords.verify("pass\0word", &hash).await.ok(), Some(true));
        assert_eq!(passwords.verify("pass\0ward", &hash).await.ok(), Some(false));
        assert_eq!(passwords.verify("pass", &hash).await.ok(), Some(false));
        assert_eq!(passwords.verify("anything", b"").await.ok(), Some(false));
    }

    #[tokio::test]
    async fn a_hash_from_go_matches_and_72_bytes_count() {
        // golang.org/x/crypto/bcrypt writes $2a$ and appends a NUL, as this crate does.
        let passwords = passwords(10);
        let hash = passwords.hash(&"q".repeat(72)).await.expect("room");
        assert_eq!(passwords.verify(&"q".repeat(73), &hash).await.ok(), Some(true));
        assert_eq!(passwords.verify(&"q".repeat(71), &hash).await.ok(), Some(false));
        // From the test vectors of the Go package: "allmine" under cost 10.
        let known = b"$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga";
        assert_eq!(passwords.verify("allmine", known).await.ok(), Some(true));
    }

    #[tokio::test]
    async fn one_too_many_is_told_to_come_back() {
        let passwords = passwords(2);
        let tries = (0..8).map(|_| passwords.hash("password"));
        let answers = futures_util::future::join_all(tries).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3);
        let refused = answers.into_iter().find_map(Result::err).expect("some were refused");
        assert_eq!(refused.code(), Code::Unavailable);
    }
}
