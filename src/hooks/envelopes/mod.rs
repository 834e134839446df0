//! What runs around the messages that clients send over sockets: a chain of hooks before each, which may change, refuse or drop
//! it, and a chain after it, which is told. Rules: spec/realtime-core.md 4.4, spec/runtime-modules.md section 6.
//!
//! A hook that fails, panics or takes too long refuses its message, never lets it through, and touches no other.

mod kind;
mod telling;
mod webhook;

pub use kind::MessageKind;
pub use telling::Telling;

pub(super) use kind::Kinds;
pub(super) use telling::{Queue, TellHook};
pub(super) use webhook::EnvelopeWebhook;

use super::{BEFORE_FAILED, HookContext, Hooks, failed};
use crate::error::Error;
use async_trait::async_trait;
use futures_util::FutureExt;
use kizuna_protocol::{
    code::Code,
    realtime::{Envelope, envelope::Message as Body},
};
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::time::timeout;

/// What is to become of a message.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is moved a few times, where a box would be an allocation for every hook"
)]
pub enum Ruling {
    /// It goes on as this, which must be the same kind of message. The answer carries the client's `cid`, whatever this one says.
    Continue(Envelope),
    /// The client is answered error code 7 with the error's message; the socket stays open.
    Refuse(Error),
    /// It goes nowhere, and nobody hears of it; the socket stays open.
    Drop,
    /// As if there were no such message: error code 1, and the socket closes.
    Disable,
}

/// Runs before messages of sockets, and before anything of them is checked.
#[async_trait]
pub trait BeforeEnvelope: Send + Sync {
    /// The name by which `hooks.realtime_before` lists it.
    fn name(&self) -> &str;

    /// What it stands before; asked once, at the start. Messages of other kinds pass without a wait.
    fn messages(&self) -> Vec<MessageKind>;

    /// Rules over one message. The socket's next one waits until then.
    async fn before(&self, context: &HookContext, envelope: Envelope) -> Ruling;
}

/// Runs after messages of sockets that were served without an error.
#[async_trait]
pub trait AfterEnvelope: Send + Sync {
    /// The name by which `hooks.realtime_after` lists it.
    fn name(&self) -> &str;

    /// What it stands after; asked once, at the start.
    fn messages(&self) -> Vec<MessageKind>;

    /// Is told the message as the last `before` hook left it, and its answer, which is on its way by then; `None` for a message
    /// without one. The socket's next message waits. When the socket ends meanwhile, this does too, where it waits.
    ///
    /// # Errors
    /// Are logged, and change nothing.
    async fn after(&self, context: &HookContext, request: &Envelope, answer: Option<&Envelope>) -> Result<(), Error>;
}

/// A hook and what it stands around.
pub(super) struct Around<H: ?Sized> {
    pub(super) kinds: Kinds,
    pub(super) hook: Arc<H>,
}

/// The chains around envelopes.
pub(super) struct EnvelopeChains {
    pub(super) before: Vec<Around<dyn BeforeEnvelope>>,
    pub(super) after: Vec<Around<dyn AfterEnvelope>>,
    pub(super) told: Vec<Around<TellHook>>,
    /// What any hook stands before or after.
    pub(super) wanted: Kinds,
    /// What any hook stands after.
    pub(super) wanted_after: Kinds,
    pub(super) queue: Queue,
    /// For all hooks before one message, and again for all after it.
    pub(super) timeout: Duration,
}

impl Hooks {
    /// Whether any hook stands before or after this message.
    pub fn stand_around(&self, message: &Body) -> bool {
        let wanted = self.0.envelopes.wanted;
        !wanted.is_empty() && MessageKind::of(message).is_some_and(|kind| wanted.contains(kind))
    }

    /// Whether any hook stands after this message.
    pub fn stand_after(&self, message: &Body) -> bool {
        MessageKind::of(message).is_some_and(|kind| self.0.envelopes.wanted_after.contains(kind))
    }

    /// Runs the chain of `before` hooks of this message. A hook that fails without saying how, panics, or takes too long
    /// refuses.
    pub async fn before_envelope(&self, context: &HookContext, envelope: Envelope) -> Ruling {
        let chains = &self.0.envelopes;
        timeout(chains.timeout, self.rule(context, envelope)).await.unwrap_or_else(|_| {
            self.count("timed_out");
            tracing::warn!("hooks took longer than hooks.realtime_timeout_ms; their message is refused");
            Ruling::Refuse(Error::unavailable("This message cannot be checked right now. Try again."))
        })
    }

    async fn rule(&self, context: &HookContext, mut envelope: Envelope) -> Ruling {
        let Some(kind) = MessageKind::in_envelope(&envelope) else { return Ruling::Continue(envelope) };
        let cid = envelope.cid.clone();
        for around in self.0.envelopes.before.iter().filter(|around| around.kinds.contains(kind)) {
            let hook = around.hook.as_ref();
            envelope = match self.rule_of(hook, context, kind, envelope).await {
                Ruling::Continue(changed) => Envelope { cid: cid.clone(), ..changed },
                ruling => return self.noted(hook.name(), ruling),
            };
        }
        Ruling::Continue(envelope)
    }

    async fn rule_of(
        &self,
        hook: &dyn BeforeEnvelope,
        context: &HookContext,
        kind: MessageKind,
        envelope: Envelope,
    ) -> Ruling {
        let run = async { hook.before(context, envelope).await };
        let Ok(ruling) = AssertUnwindSafe(run).catch_unwind().await else {
            tracing::error!(hook = hook.name(), "a before hook panicked; its message is refused");
            self.count("panicked");
            return Ruling::Refuse(failed());
        };
        match ruling {
            Ruling::Continue(Envelope { message: Some(message), cid }) if MessageKind::of(&message) == Some(kind) => {
                Ruling::Continue(Envelope { message: Some(message), cid })
            }
            Ruling::Continue(_) => {
                let cause = format!("it made another message of {}", kind.as_str());
                Ruling::Refuse(Error::internal(BEFORE_FAILED, cause))
            }
            Ruling::Refuse(error) if error.code() == Code::Ok => Ruling::Refuse(failed()),
            ruling => ruling,
        }
    }

    /// Writes down what became of a message that does not go on.
    fn noted(&self, hook: &str, ruling: Ruling) -> Ruling {
        match &ruling {
            Ruling::Continue(_) => {}
            Ruling::Refuse(error) if error.is_ours() => {
                self.count("failed");
                tracing::error!(hook, ?error, "a before hook failed; its message is refused");
            }
            Ruling::Refuse(error) => {
                self.count("refused");
                tracing::debug!(hook, ?error, "a before hook refused a message");
            }
            Ruling::Drop => self.count("dropped"),
            Ruling::Disable => self.count("disabled"),
        }
        ruling
    }

    /// Runs what stands after a message that was served without an error: webhooks are queued, then the program's own hooks
    /// run; their errors and panics are logged.
    pub async fn after_envelope(&self, context: &HookContext, request: &Envelope, answer: Option<&Envelope>) {
        let Some(kind) = MessageKind::in_envelope(request) else { return };
        self.tell(kind, context, request, answer);
        let chains = &self.0.envelopes;
        let own = async {
            for around in chains.after.iter().filter(|around| around.kinds.contains(kind)) {
                let run = async { around.hook.after(context, request, answer).await };
                self.note_after(around.hook.name(), AssertUnwindSafe(run).catch_unwind().await);
            }
        };
        if timeout(chains.timeout, own).await.is_err() {
            self.count("after_timed_out");
            tracing::warn!("after hooks of a message took longer than hooks.realtime_timeout_ms; they are cut off");
        }
    }
}

#[cfg(test)]
mod tests;
