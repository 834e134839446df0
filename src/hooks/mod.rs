//! What runs around authentication, around linking, and around the messages of sockets (`envelopes`): a chain of hooks before it,
//! which may change or refuse the request, and a chain after it, which is told. docs/hooks.md is the contract.
//!
//! A hook that panics or fails refuses its request, never lets it through, and touches no other request.

mod bridge;
mod builder;
mod envelopes;
mod notices;
mod outward;
mod webhook;

pub use bridge::Bridge;
pub use builder::HooksBuilder;
pub use envelopes::{AfterEnvelope, BeforeEnvelope, MessageKind, Ruling, Telling};
pub use notices::Delivery;

use crate::{
    clock::{Clock, Entropy},
    config::Secret,
    error::Error,
    identity::VerifiedIdentity,
    telemetry::{KindLabels, Metrics},
};
use async_trait::async_trait;
use envelopes::EnvelopeChains;
use futures_util::FutureExt;
use kizuna_protocol::code::Code;
use notices::NoticeHook;
use std::{collections::BTreeMap, fmt, net::IpAddr, panic::AssertUnwindSafe, sync::Arc};
use tokio::sync::Notify;
use uuid::Uuid;

/// What clients are told when a `before` hook fails without saying how; Nakama's words.
const BEFORE_FAILED: &str = "Could not complete runtime Before function.";

/// What a hooked request is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Sign in, making the account if need be.
    Authenticate,
    /// Give the caller's account another way to sign in.
    Link,
    /// Take a way to sign in from the caller's account.
    Unlink,
}

impl Operation {
    /// Its name in webhooks.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticate",
            Self::Link => "link",
            Self::Unlink => "unlink",
        }
    }
}

/// What a player signs in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A custom id; with the bridge, an identity token.
    Custom,
    /// A device id.
    Device,
    /// An email address (or a username) with a password.
    Email,
}

impl Method {
    /// Its name in webhooks and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Custom => "custom",
            Self::Device => "device",
            Self::Email => "email",
        }
    }
}

/// A request as the client sent it, before any of it has been checked. A hook may change everything but `operation` and
/// `method`. Its `Debug` shows no credentials.
#[derive(Clone)]
pub struct AuthenticateRequest {
    /// What it is about to do.
    pub operation: Operation,
    /// By what.
    pub method: Method,
    /// Custom id, device id or email address, of any length; empty if the client sent none.
    pub id: String,
    /// The password; only with [`Method::Email`].
    pub password: Option<Secret>,
    /// Session variables.
    pub vars: BTreeMap<String, String>,
    /// Username for a new account, or of the account when `id` is empty; empty if the client sent none.
    pub username: String,
    /// Whether to make an account that is not there; absent means yes.
    pub create: Option<bool>,
    /// Whom an identity token has proved; the bridge sets it, a client never does. Its variables and its origin go into the
    /// session, whatever later hooks write into `vars`.
    pub identity: Option<Arc<VerifiedIdentity>>,
}

impl fmt::Debug for AuthenticateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticateRequest")
            .field("operation", &self.operation)
            .field("method", &self.method)
            .field("username", &self.username)
            .field("create", &self.create)
            .finish_non_exhaustive()
    }
}

/// What a hook may know beside the request.
#[derive(Clone, Debug, Default)]
pub struct HookContext {
    /// The client's address, as far as proxies tell it.
    pub client_address: Option<IpAddr>,
    /// Its port, where no proxy hides it.
    pub client_port: Option<u16>,
    /// Who asks; `None` when somebody is signing in.
    pub user: Option<HookUser>,
    /// The socket's session; `None` for a request over HTTP.
    pub session_id: Option<Uuid>,
}

/// The signed-in user who asks, as the session token says.
#[derive(Clone, Debug)]
pub struct HookUser {
    /// The user.
    pub id: Uuid,
    /// The username when the token was issued.
    pub username: Arc<str>,
    /// Session variables.
    pub vars: Arc<BTreeMap<String, String>>,
    /// When the session token ends, in seconds since 1970.
    pub expires_unix: i64,
}

/// What has come of a request that went through.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// The account.
    pub user_id: Uuid,
    /// Its username.
    pub username: String,
    /// Whether it was made just now.
    pub created: bool,
}

/// Runs before authentication, linking and unlinking, and before anything of the request is checked.
#[async_trait]
pub trait BeforeAuthenticate: Send + Sync {
    /// The name by which `hooks.before` lists it.
    fn name(&self) -> &str;

    /// Answers the request to go on with, whole: what is left out of it is gone.
    ///
    /// # Errors
    /// The client gets the error as its answer.
    async fn before(&self, context: &HookContext, request: AuthenticateRequest) -> Result<AuthenticateRequest, Error>;
}

/// Runs after authentication, linking and unlinking have succeeded and are on disk, and before the client has its answer.
#[async_trait]
pub trait AfterAuthenticate: Send + Sync {
    /// The name by which `hooks.after` lists it.
    fn name(&self) -> &str;

    /// Is told the request as the last `before` hook left it, and what came of it.
    ///
    /// # Errors
    /// Are logged, and change nothing.
    async fn after(
        &self,
        context: &HookContext,
        request: &AuthenticateRequest,
        outcome: &Authenticated,
    ) -> Result<(), Error>;
}

/// The chains of one server. Clones share them.
#[derive(Clone)]
pub struct Hooks(Arc<Chains>);

struct Chains {
    before: Vec<Arc<dyn BeforeAuthenticate>>,
    after: Vec<Arc<dyn AfterAuthenticate>>,
    notices: Vec<Arc<NoticeHook>>,
    envelopes: EnvelopeChains,
    /// Wakes the delivery of notices.
    stored: Arc<Notify>,
    max_deliveries: usize,
    clock: Clock,
    entropy: Entropy,
    metrics: Metrics,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before: Vec<_> = self.0.before.iter().map(|hook| hook.name()).collect();
        f.debug_struct("Hooks").field("before", &before).finish_non_exhaustive()
    }
}

impl Hooks {
    /// Takes hooks, then the configuration that orders them.
    pub fn builder() -> HooksBuilder {
        HooksBuilder::default()
    }

    /// Runs the chain of `before` hooks.
    ///
    /// # Errors
    /// The first refusal. A hook that panics, or that fails without saying how, is 500, code 13.
    pub async fn before(
        &self,
        context: &HookContext,
        mut request: AuthenticateRequest,
    ) -> Result<AuthenticateRequest, Error> {
        for hook in &self.0.before {
            request = self.run_before(hook.as_ref(), context, request).await?;
        }
        Ok(request)
    }

    async fn run_before(
        &self,
        hook: &dyn BeforeAuthenticate,
        context: &HookContext,
        request: AuthenticateRequest,
    ) -> Result<AuthenticateRequest, Error> {
        let (operation, method) = (request.operation, request.method);
        let run = async { hook.before(context, request).await };
        let error = match AssertUnwindSafe(run).catch_unwind().await {
            Ok(Ok(changed)) => return Ok(AuthenticateRequest { operation, method, ..changed }),
            Ok(Err(error)) => error,
            Err(_) => {
                self.count("panicked");
                tracing::error!(hook = hook.name(), "a before hook panicked; its request is refused");
                return Err(failed());
            }
        };
        // "No error" as an error would let the request through by mistake.
        let refused = error.code() != Code::Ok && !error.is_ours();
        self.count(if refused { "refused" } else { "failed" });
        match refused {
            true => tracing::debug!(hook = hook.name(), ?error, "a before hook refused a request"),
            false => tracing::error!(hook = hook.name(), ?error, "a before hook failed; its request is refused"),
        }
        Err(if error.code() == Code::Ok { failed() } else { error })
    }

    /// Runs the chain of `after` hooks; their errors and panics are logged.
    pub async fn after(&self, context: &HookContext, request: &AuthenticateRequest, outcome: &Authenticated) {
        for hook in &self.0.after {
            let run = async { hook.after(context, request, outcome).await };
            self.note_after(hook.name(), AssertUnwindSafe(run).catch_unwind().await);
        }
    }

    /// Writes down how an `after` hook ended.
    fn note_after(&self, hook: &str, ended: std::thread::Result<Result<(), Error>>) {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                self.count("after_failed");
                tracing::warn!(hook, ?error, "an after hook failed");
            }
            Err(_) => {
                self.count("after_panicked");
                tracing::error!(hook, "an after hook panicked");
            }
        }
    }

    fn count(&self, kind: &'static str) {
        self.0.metrics.hook_failures.get_or_create(&KindLabels { kind }).inc();
    }
}

fn failed() -> Error {
    Error::new(Code::Internal, BEFORE_FAILED)
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
