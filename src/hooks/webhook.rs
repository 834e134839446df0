//! The `before` webhook: a web address is asked, and may change or refuse the request. Whatever goes wrong refuses it, too.

use super::{AuthenticateRequest, BeforeAuthenticate, HookContext, outward::Target};
use crate::{
    config::{ConfigError, Webhook},
    error::Error,
};
use async_trait::async_trait;
use kizuna_protocol::code::Code;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Asks a web address before authentication, linking and unlinking.
pub(super) struct WebhookBefore {
    name: String,
    target: Target,
}

/// What is sent: docs/hooks.md. The password never is.
#[derive(Serialize)]
struct Question<'a> {
    operation: &'static str,
    method: &'static str,
    id: &'a str,
    vars: &'a BTreeMap<String, String>,
    username: &'a str,
    create: Option<bool>,
    client: Client,
    user: Option<User<'a>>,
}

/// From where somebody asks.
#[derive(Serialize)]
pub(super) struct Client {
    address: Option<String>,
    port: Option<u16>,
}

impl Client {
    pub(super) fn of(context: &HookContext) -> Self {
        Self { address: context.client_address.map(|address| address.to_string()), port: context.client_port }
    }
}

/// Who asks.
#[derive(Serialize)]
pub(super) struct User<'a> {
    id: String,
    username: &'a str,
    vars: &'a BTreeMap<String, String>,
}

impl<'a> User<'a> {
    pub(super) fn of(context: &'a HookContext) -> Option<Self> {
        context.user.as_ref().map(|user| Self { id: user.id.to_string(), username: &user.username, vars: &user.vars })
    }
}

/// The answer that lets the request go on: members that are there replace the request's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    id: Option<String>,
    vars: Option<BTreeMap<String, String>>,
    username: Option<String>,
    create: Option<bool>,
}

/// The answer that refuses it.
#[derive(Deserialize)]
struct Refusal {
    code: i32,
    message: String,
}

impl WebhookBefore {
    /// `path` is the webhook's place in the configuration.
    pub(super) fn new(webhook: &Webhook, path: &str) -> Result<Self, ConfigError> {
        Ok(Self { name: webhook.name.clone(), target: Target::new(webhook, path)? })
    }

    fn unusable(&self, why: &dyn std::fmt::Display) -> Error {
        tracing::warn!(hook = self.name, %why, "a webhook gave no answer that can be used; its request is refused");
        Error::unavailable("Sign-in cannot be checked right now. Try again.")
    }
}

#[async_trait]
impl BeforeAuthenticate for WebhookBefore {
    fn name(&self) -> &str {
        &self.name
    }

    async fn before(&self, context: &HookContext, request: AuthenticateRequest) -> Result<AuthenticateRequest, Error> {
        let question = serde_json::to_string(&Question::new(context, &request)).map_err(|why| self.unusable(&why))?;
        let (status, answer) = self.target.post(question).await.map_err(|why| self.unusable(&why))?;
        if let Some(error) = refusal(&answer) {
            return Err(error);
        }
        if status != StatusCode::OK {
            return Err(self.unusable(&status));
        }
        let changes: Changes = serde_json::from_slice(&answer).map_err(|why| self.unusable(&why))?;
        Ok(changes.applied_to(request))
    }
}

impl<'a> Question<'a> {
    fn new(context: &'a HookContext, request: &'a AuthenticateRequest) -> Self {
        Self {
            operation: request.operation.as_str(),
            method: request.method.as_str(),
            id: &request.id,
            vars: &request.vars,
            username: &request.username,
            create: request.create,
            client: Client::of(context),
            user: User::of(context),
        }
    }
}

impl Changes {
    fn applied_to(self, request: AuthenticateRequest) -> AuthenticateRequest {
        AuthenticateRequest {
            id: self.id.unwrap_or(request.id),
            vars: self.vars.unwrap_or(request.vars),
            username: self.username.unwrap_or(request.username),
            create: self.create.or(request.create),
            ..request
        }
    }
}

/// The error in an answer of `{"code":7,"message":"..."}`, whatever its status. Code 0 is none: it would be "no error".
pub(super) fn refusal(answer: &[u8]) -> Option<Error> {
    let refusal: Refusal = serde_json::from_slice(answer).ok()?;
    let code = Code::from_i32(refusal.code).filter(|code| *code != Code::Ok)?;
    Some(Error::new(code, refusal.message))
}
