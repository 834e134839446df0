//! The provider's keys over time.

use crate::keys::SigningKey;
use serde_json::{Value, json};
use std::sync::Arc;

/// Which key signs a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Signer {
    /// The one that is meant to.
    #[default]
    Current,
    /// The one before it.
    Previous,
    /// One that is published only where a redirect leads.
    Stranger,
    /// The same, under the current key's id.
    Impostor,
}

/// Keys, the oldest first.
#[derive(Debug)]
pub(super) struct Ring {
    published: Vec<Arc<SigningKey>>,
    current: Arc<SigningKey>,
    previous: Arc<SigningKey>,
    stranger: Arc<SigningKey>,
}

/// A new key, named by its content. Takes tenths of a second.
pub(super) fn fresh() -> Result<Arc<SigningKey>, String> {
    SigningKey::generate().map(Arc::new)
}

impl Ring {
    pub(super) fn new() -> Result<Self, String> {
        let current = fresh()?;
        Ok(Self { published: vec![current.clone()], previous: current.clone(), current, stranger: fresh()? })
    }

    pub(super) fn publish(&mut self, key: Arc<SigningKey>) {
        self.published.push(key);
    }

    pub(super) fn switch(&mut self) {
        if let Some(newest) = self.published.last().filter(|newest| newest.kid != self.current.kid) {
            self.previous = std::mem::replace(&mut self.current, newest.clone());
        }
    }

    pub(super) fn withdraw(&mut self, keep: usize) {
        let older = self.published.len().saturating_sub(keep.max(1));
        self.published.drain(..older);
    }

    pub(super) fn key(&self, signer: Signer) -> Arc<SigningKey> {
        match signer {
            Signer::Current => self.current.clone(),
            Signer::Previous => self.previous.clone(),
            Signer::Stranger | Signer::Impostor => self.stranger.clone(),
        }
    }

    pub(super) fn current_kid(&self) -> &str {
        &self.current.kid
    }

    /// The key set, the newest first.
    pub(super) fn key_set(&self) -> Value {
        json!({ "keys": self.published.iter().rev().map(|key| key.to_jwk()).collect::<Vec<_>>() })
    }

    /// What a redirect leads to: a set of somebody else.
    pub(super) fn strangers_set(&self) -> Value {
        json!({ "keys": [self.stranger.to_jwk()] })
    }
}
