//! What a session is answered, for whoever has to know how a request went: hooks after it.

use kizuna_protocol::realtime::{Envelope, envelope::Message as Body};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// The answers to one request.
#[derive(Debug, Default)]
pub struct Heard {
    /// The first answer, if there was one.
    pub answer: Option<Envelope>,
    /// Whether there was an error among them.
    pub failed: bool,
}

/// Listens, while it is asked to. While it is not, an answer costs one look.
#[derive(Debug, Default)]
pub(super) struct Listener {
    listens: AtomicBool,
    /// Guards what was heard; boxed, since few sessions are ever listened to.
    heard: Mutex<Option<Box<Heard>>>,
}

impl Listener {
    pub(super) fn start(&self) {
        *self.heard.lock() = Some(Box::default());
        self.listens.store(true, Ordering::Release);
    }

    pub(super) fn stop(&self) -> Heard {
        self.listens.store(false, Ordering::Release);
        self.heard.lock().take().map(|heard| *heard).unwrap_or_default()
    }

    pub(super) fn note(&self, answer: &Envelope) {
        if !self.listens.load(Ordering::Acquire) {
            return;
        }
        if let Some(heard) = self.heard.lock().as_mut() {
            heard.failed |= matches!(answer.message, Some(Body::Error(_)));
            heard.answer.get_or_insert_with(|| answer.clone());
        }
    }
}
