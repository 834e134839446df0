//! The `before` webhook of messages: a web address is asked, and rules over each. Whatever goes wrong refuses the message.

use super::{BeforeEnvelope, MessageKind, Ruling};
use crate::{
    config::{ConfigError, Webhook},
    error::Error,
    hooks::{
        HookContext,
        outward::Target,
        webhook::{Client, User, refusal},
    },
};
use async_trait::async_trait;
use kizuna_protocol::{
    envelope::{self, Format},
    realtime::Envelope,
};
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt;

/// Asks a web address before messages.
pub(in crate::hooks) struct EnvelopeWebhook {
    name: String,
    messages: Vec<MessageKind>,
    target: Target,
}

/// What is sent: docs/hooks.md.
#[derive(Serialize)]
struct Question<'a> {
    message: &'static str,
    envelope: &'a RawValue,
    client: Client,
    user: Option<User<'a>>,
    session_id: Option<String>,
}

/// The answer that does not refuse: nothing lets the message go on as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer<'a> {
    #[serde(borrow)]
    envelope: Option<&'a RawValue>,
    outcome: Option<Outcome>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Continue,
    Drop,
    Disable,
}

impl EnvelopeWebhook {
    /// `path` is the webhook's place in the configuration.
    pub(in crate::hooks) fn new(
        webhook: &Webhook,
        messages: Vec<MessageKind>,
        path: &str,
    ) -> Result<Self, ConfigError> {
        Ok(Self { name: webhook.name.clone(), messages, target: Target::new(webhook, path)? })
    }

    async fn ask(&self, context: &HookContext, envelope: Envelope) -> Result<Ruling, Error> {
        let unusable = |why: &dyn fmt::Display| self.unusable(why);
        let question = question(context, &envelope).map_err(|why| unusable(&why))?;
        let (status, answer) = self.target.post(question).await.map_err(|why| unusable(&why))?;
        if let Some(error) = refusal(&answer) {
            return Err(error);
        }
        if status != StatusCode::OK {
            return Err(unusable(&status));
        }
        let answer: Answer<'_> = serde_json::from_slice(&answer).map_err(|why| unusable(&why))?;
        Ok(match (answer.outcome, answer.envelope) {
            (Some(Outcome::Drop), _) => Ruling::Drop,
            (Some(Outcome::Disable), _) => Ruling::Disable,
            (None | Some(Outcome::Continue), None) => Ruling::Continue(envelope),
            (None | Some(Outcome::Continue), Some(changed)) => {
                let changed = envelope::decode(Format::Json, changed.get().as_bytes());
                Ruling::Continue(changed.map_err(|why| unusable(&why))?)
            }
        })
    }

    fn unusable(&self, why: &dyn fmt::Display) -> Error {
        tracing::warn!(hook = self.name, %why, "a webhook gave no answer that can be used; its message is refused");
        Error::unavailable("This message cannot be checked right now. Try again.")
    }
}

#[async_trait]
impl BeforeEnvelope for EnvelopeWebhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn messages(&self) -> Vec<MessageKind> {
        self.messages.clone()
    }

    async fn before(&self, context: &HookContext, envelope: Envelope) -> Ruling {
        self.ask(context, envelope).await.unwrap_or_else(Ruling::Refuse)
    }
}

fn question(context: &HookContext, envelope: &Envelope) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Question {
        message: MessageKind::in_envelope(envelope).map(MessageKind::as_str).unwrap_or_default(),
        envelope: &json(envelope)?,
        client: Client::of(context),
        user: User::of(context),
        session_id: context.session_id.map(|id| id.to_string()),
    })
}

/// An envelope as a JSON socket carries it.
pub(super) fn json(envelope: &Envelope) -> Result<Box<RawValue>, serde_json::Error> {
    let text = envelope::encode(Format::Json, envelope);
    RawValue::from_string(String::from_utf8_lossy(&text).into_owned())
}
