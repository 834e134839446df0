//! The `after` webhook: notices that are stored with what they tell of, and delivered from there until they have arrived.
//!
//! At least once, in no certain order: a server that stops between the delivery and its note delivers again, under the same id.

use super::{AuthenticateRequest, Authenticated, HookContext, Hooks, Operation, outward::Target};
use crate::{
    config::{ConfigError, Webhook},
    lifecycle::Lifecycle,
    store::{Notice, Store, StoreError, StoredNotice},
};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use std::{sync::Arc, time::Duration};

/// The longest wait between two tries.
const LONGEST_WAIT_MS: u64 = 600_000;
/// Notices taken from the store at once.
const BATCH: usize = 256;

/// An `after` webhook.
pub(super) struct NoticeHook {
    name: String,
    target: Target,
    max_attempts: u32,
    retry_ms: u64,
}

/// What is sent: docs/hooks.md. No credential is in it: not the password, not a device id, not an identity token.
#[derive(Serialize)]
struct Body<'a> {
    id: String,
    event: &'static str,
    at: i64,
    method: &'static str,
    user_id: String,
    username: &'a str,
    created: bool,
    vars: &'a std::collections::BTreeMap<String, String>,
    client_address: Option<String>,
}

impl NoticeHook {
    /// `path` is the webhook's place in the configuration.
    pub(super) fn new(webhook: &Webhook, path: &str) -> Result<Self, ConfigError> {
        let (name, max_attempts, retry_ms) = (webhook.name.clone(), webhook.max_attempts, webhook.retry_ms);
        Ok(Self { name, target: Target::new(webhook, path)?, max_attempts, retry_ms })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Milliseconds to wait after `attempts` failed tries: doubled each time.
    fn wait_after(&self, attempts: u32) -> u64 {
        let factor = 1_u64.checked_shl(attempts.saturating_sub(1)).unwrap_or(u64::MAX);
        self.retry_ms.max(1).saturating_mul(factor).min(LONGEST_WAIT_MS)
    }
}

impl Hooks {
    /// The notices to store with a sign-in; none when no `after` webhook is listed, or when nobody signed in.
    pub fn notices(
        &self,
        context: &HookContext,
        request: &AuthenticateRequest,
        outcome: &Authenticated,
    ) -> Vec<Notice> {
        if self.0.notices.is_empty() || request.operation != Operation::Authenticate {
            return Vec::new();
        }
        let notice = |hook: &Arc<NoticeHook>| Notice {
            hook: hook.name.clone(),
            body: self.body(context, request, outcome),
            due_unix_millis: self.0.clock.unix_millis(),
        };
        self.0.notices.iter().map(notice).collect()
    }

    fn body(&self, context: &HookContext, request: &AuthenticateRequest, outcome: &Authenticated) -> String {
        let body = Body {
            id: self.0.entropy.uuid().to_string(),
            event: if outcome.created { "account_created" } else { "signed_in" },
            at: self.0.clock.unix_seconds(),
            method: request.method.as_str(),
            user_id: outcome.user_id.to_string(),
            username: &outcome.username,
            created: outcome.created,
            vars: &request.vars,
            client_address: context.client_address.map(|address| address.to_string()),
        };
        serde_json::to_string(&body).expect("texts, numbers and a map of texts have a JSON form")
    }

    /// Wakes the delivery: notices have been stored.
    pub fn notices_stored(&self) {
        if !self.0.notices.is_empty() {
            self.0.stored.notify_one();
        }
    }

    /// What delivers this server's notices.
    pub fn delivery(&self, store: Store) -> Delivery {
        Delivery { hooks: self.clone(), store }
    }
}

/// Delivers stored notices, those of earlier runs too.
pub struct Delivery {
    hooks: Hooks,
    store: Store,
}

impl Delivery {
    /// Delivers until the server stops. Costs nothing where no `after` webhook is listed and none waits.
    pub async fn run(self, life: Lifecycle) {
        while !life.is_draining() {
            // A notice that is cut off here is delivered at the next start: at least once is what is promised.
            let delivered = tokio::select! {
                () = life.draining() => return,
                delivered = self.deliver_due() => delivered,
            };
            let wait = match delivered {
                Ok(()) => self.until_next(),
                Err(error) => {
                    tracing::error!(%error, "notices cannot be read from the store, or written back");
                    Duration::from_secs(1)
                }
            };
            tokio::select! {
                () = life.draining() => return,
                () = self.hooks.0.stored.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Tries every notice that is due, once.
    ///
    /// # Errors
    /// The store cannot be read or written; what was delivered and not noted is delivered again.
    pub async fn deliver_due(&self) -> Result<(), StoreError> {
        let now = self.hooks.0.clock.unix_millis();
        loop {
            let due = self.store.due_notices(now, BATCH)?;
            let (count, parallel) = (due.len(), self.hooks.0.max_deliveries.max(1));
            let mut tries = stream::iter(due).map(|notice| self.attempt(notice)).buffer_unordered(parallel);
            while let Some(noted) = tries.next().await {
                noted?;
            }
            if count < BATCH {
                return Ok(());
            }
        }
    }

    /// How long nothing is due; a wake-up comes before that when something is stored.
    fn until_next(&self) -> Duration {
        let now = self.hooks.0.clock.unix_millis();
        match self.store.next_notice_due() {
            Ok(Some(due)) => Duration::from_millis(u64::try_from(due - now).unwrap_or(0).clamp(1, LONGEST_WAIT_MS)),
            Ok(None) => Duration::from_millis(LONGEST_WAIT_MS),
            Err(_) => Duration::from_secs(1),
        }
    }

    async fn attempt(&self, notice: StoredNotice) -> Result<(), StoreError> {
        let Some(hook) = self.hooks.0.notices.iter().find(|hook| hook.name == notice.hook) else {
            tracing::warn!(hook = notice.hook, "a notice is dropped: hooks.after does not list its webhook any more");
            return self.drop_notice(notice.id).await;
        };
        let why = match hook.target.post(notice.body).await {
            Ok((status, _)) if status.is_success() => {
                self.store.notice_done(notice.id).await?;
                self.hooks.0.metrics.notices_delivered.inc();
                return Ok(());
            }
            Ok((status, _)) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let attempts = notice.attempts.saturating_add(1);
        if attempts >= hook.max_attempts {
            tracing::error!(hook = hook.name, attempts, why, "a notice is given up");
            return self.drop_notice(notice.id).await;
        }
        tracing::debug!(hook = hook.name, attempts, why, "a notice is tried again later");
        let wait = i64::try_from(hook.wait_after(attempts)).unwrap_or(i64::MAX);
        let due = self.hooks.0.clock.unix_millis().saturating_add(wait);
        self.store.notice_retry(notice.id, due).await.map(drop)
    }

    async fn drop_notice(&self, id: i64) -> Result<(), StoreError> {
        self.hooks.0.metrics.notices_dropped.inc();
        self.store.notice_done(id).await.map(drop)
    }
}
