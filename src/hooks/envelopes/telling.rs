//! The `after` webhooks of messages: told as well as can be. What a web address is told waits in a bounded queue in memory; it is
//! lost when the queue is full, when the address does not take it, and when the server stops.

use super::{Hooks, MessageKind, webhook::json};
use crate::{
    config::{self, ConfigError, Webhook},
    hooks::{
        HookContext,
        outward::Target,
        webhook::{Client, User},
    },
    lifecycle::Lifecycle,
    telemetry::KindLabels,
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use kizuna_protocol::realtime::Envelope;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::value::RawValue;
use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};
use tokio::{sync::Notify, time::sleep};

/// For what still waits when the server begins to stop.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// An `after` webhook.
pub(in crate::hooks) struct TellHook {
    pub(in crate::hooks) name: String,
    target: Target,
}

impl TellHook {
    /// `path` is the webhook's place in the configuration.
    pub(in crate::hooks) fn new(webhook: &Webhook, path: &str) -> Result<Self, ConfigError> {
        Ok(Self { name: webhook.name.clone(), target: Target::new(webhook, path)? })
    }
}

/// What waits to be told.
pub(in crate::hooks) struct Queue {
    /// Guards what waits; held for a push or a pop.
    waiting: Mutex<Waiting>,
    came: Notify,
    most: usize,
    most_bytes: usize,
}

#[derive(Default)]
struct Waiting {
    queue: VecDeque<(Arc<TellHook>, String)>,
    bytes: usize,
}

impl Queue {
    pub(in crate::hooks) fn new(config: &config::Hooks) -> Self {
        let (most, most_bytes) = (config.realtime_queue_size, config.realtime_queue_bytes);
        Self { waiting: Mutex::default(), came: Notify::new(), most, most_bytes }
    }

    /// Whether there was room.
    fn push(&self, hook: Arc<TellHook>, body: String) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.queue.len() >= self.most || waiting.bytes + body.len() > self.most_bytes {
            return false;
        }
        waiting.bytes += body.len();
        waiting.queue.push_back((hook, body));
        drop(waiting);
        self.came.notify_one();
        true
    }

    fn pop(&self) -> Option<(Arc<TellHook>, String)> {
        let mut waiting = self.waiting.lock();
        let (hook, body) = waiting.queue.pop_front()?;
        waiting.bytes -= body.len();
        Some((hook, body))
    }
}

/// What is sent: docs/hooks.md.
#[derive(Serialize)]
struct Told<'a> {
    id: String,
    at: i64,
    message: &'static str,
    envelope: &'a RawValue,
    answer: Option<&'a RawValue>,
    client: Client,
    user: Option<User<'a>>,
    session_id: Option<String>,
}

impl Hooks {
    /// Queues what the webhooks after this message are told.
    pub(super) fn tell(&self, kind: MessageKind, context: &HookContext, request: &Envelope, answer: Option<&Envelope>) {
        let mut body = None;
        for around in self.0.envelopes.told.iter().filter(|around| around.kinds.contains(kind)) {
            let body = body.get_or_insert_with(|| self.told(kind, context, request, answer));
            if !self.0.envelopes.queue.push(Arc::clone(&around.hook), body.clone()) {
                self.count_told("dropped");
            }
        }
    }

    fn told(&self, kind: MessageKind, context: &HookContext, request: &Envelope, answer: Option<&Envelope>) -> String {
        let written = "an envelope's own JSON is JSON";
        let (envelope, answer) = (json(request).expect(written), answer.map(|answer| json(answer).expect(written)));
        let told = Told {
            id: self.0.entropy.uuid().to_string(),
            at: self.0.clock.unix_seconds(),
            message: kind.as_str(),
            envelope: &envelope,
            answer: answer.as_deref(),
            client: Client::of(context),
            user: User::of(context),
            session_id: context.session_id.map(|id| id.to_string()),
        };
        serde_json::to_string(&told).expect("texts, numbers and JSON have a JSON form")
    }

    /// What tells this server's webhooks of messages.
    pub fn telling(&self) -> Telling {
        Telling(self.clone())
    }

    fn count_told(&self, kind: &'static str) {
        self.0.metrics.messages_told.get_or_create(&KindLabels { kind }).inc();
    }
}

/// Tells webhooks of messages.
pub struct Telling(Hooks);

impl fmt::Debug for Telling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telling").finish_non_exhaustive()
    }
}

impl Telling {
    /// Tells until the server stops. Costs nothing where no `after` webhook of messages is listed.
    pub async fn run(self, life: Lifecycle) {
        tokio::select! {
            () = self.until_drained(&life) => {}
            () = async { life.draining().await; sleep(LAST_WORDS).await } => {}
        }
    }

    async fn until_drained(&self, life: &Lifecycle) {
        let queue = &self.0.0.envelopes.queue;
        let parallel = self.0.0.max_deliveries.max(1);
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < parallel
                && let Some((hook, body)) = queue.pop()
            {
                under_way.push(self.tell(hook, body));
            }
            let draining = life.is_draining();
            if draining && under_way.is_empty() {
                return;
            }
            tokio::select! {
                Some(()) = under_way.next() => {}
                () = queue.came.notified(), if under_way.len() < parallel => {}
                () = life.draining(), if !draining => {}
            }
        }
    }

    async fn tell(&self, hook: Arc<TellHook>, body: String) {
        let why = match hook.target.post(body).await {
            Ok((status, _)) if status.is_success() => return self.0.count_told("delivered"),
            Ok((status, _)) => status.to_string(),
            Err(error) => error.to_string(),
        };
        self.0.count_told("failed");
        tracing::debug!(hook = hook.name, why, "a webhook was not told of a message");
    }
}
