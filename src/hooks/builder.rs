//! From registered hooks and the configuration's lists to the chains.

use super::{
    AfterAuthenticate, AfterEnvelope, BeforeAuthenticate, BeforeEnvelope, Bridge, Chains, Hooks, MessageKind,
    envelopes::{Around, EnvelopeChains, EnvelopeWebhook, Kinds, Queue, TellHook},
    notices::NoticeHook,
    webhook::WebhookBefore,
};
use crate::{
    clock::{Clock, Entropy},
    config::{self, ConfigError, Webhook, WebhookStage},
    telemetry::Metrics,
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::sync::Notify;

/// Collects hooks. What the configuration's lists name runs in their order; a program's own hooks that no list names run after
/// those, in the order in which they were added.
#[derive(Default)]
pub struct HooksBuilder {
    bridge: Option<Bridge>,
    before: Vec<Arc<dyn BeforeAuthenticate>>,
    after: Vec<Arc<dyn AfterAuthenticate>>,
    before_envelopes: Vec<Arc<dyn BeforeEnvelope>>,
    after_envelopes: Vec<Arc<dyn AfterEnvelope>>,
}

impl HooksBuilder {
    /// Registers the identity bridge, which runs only where `hooks.before` lists it.
    #[must_use]
    pub fn bridge(mut self, bridge: Bridge) -> Self {
        self.bridge = Some(bridge);
        self
    }

    /// Adds a hook of the program's own.
    #[must_use]
    pub fn before(mut self, hook: impl BeforeAuthenticate + 'static) -> Self {
        self.before.push(Arc::new(hook));
        self
    }

    /// Adds a hook of the program's own.
    #[must_use]
    pub fn after(mut self, hook: impl AfterAuthenticate + 'static) -> Self {
        self.after.push(Arc::new(hook));
        self
    }

    /// Adds a hook of the program's own, before messages of sockets.
    #[must_use]
    pub fn before_envelope(mut self, hook: impl BeforeEnvelope + 'static) -> Self {
        self.before_envelopes.push(Arc::new(hook));
        self
    }

    /// Adds a hook of the program's own, after messages of sockets.
    #[must_use]
    pub fn after_envelope(mut self, hook: impl AfterEnvelope + 'static) -> Self {
        self.after_envelopes.push(Arc::new(hook));
        self
    }

    /// Puts the chains together.
    ///
    /// # Errors
    /// A list names a hook that nobody registered, or one twice; two hooks share a name; a webhook's address cannot be used, or
    /// it names a message that there is not.
    pub fn build(
        self,
        config: &config::Hooks,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
    ) -> Result<Hooks, ConfigError> {
        let Webhooks { before: webhooks_before, after: webhooks_after, asked, told: listening } = webhooks(config)?;
        let envelopes = envelope_chains(config, asked, listening, self.before_envelopes, self.after_envelopes)?;
        let built_in = self.bridge.map(|bridge| Arc::new(bridge) as Arc<dyn BeforeAuthenticate>);
        let configured: Vec<_> = built_in.into_iter().chain(webhooks_before).collect();
        let before = in_order("hooks.before", &config.before, configured, self.before, |hook| hook.name())?;
        let told = webhooks_after.into_iter().map(After::Webhook).collect();
        let own = self.after.into_iter().map(After::Own).collect();
        let (mut after, mut notices) = (Vec::new(), Vec::new());
        for hook in in_order("hooks.after", &config.after, told, own, After::name)? {
            match hook {
                After::Own(hook) => after.push(hook),
                After::Webhook(hook) => notices.push(hook),
            }
        }
        let (stored, max_deliveries) = (Arc::new(Notify::new()), config.max_deliveries);
        Ok(Hooks(Arc::new(Chains {
            before,
            after,
            notices,
            envelopes,
            stored,
            max_deliveries,
            clock,
            entropy,
            metrics,
        })))
    }
}

enum After {
    Own(Arc<dyn AfterAuthenticate>),
    Webhook(Arc<NoticeHook>),
}

impl After {
    fn name(&self) -> &str {
        match self {
            Self::Own(hook) => hook.name(),
            Self::Webhook(hook) => hook.name(),
        }
    }
}

/// The webhooks of the configuration, by what they stand around: sign-ins, or messages of sockets.
#[derive(Default)]
struct Webhooks {
    before: Vec<Arc<dyn BeforeAuthenticate>>,
    after: Vec<Arc<NoticeHook>>,
    asked: Vec<Arc<dyn BeforeEnvelope>>,
    told: Vec<(Kinds, Arc<TellHook>)>,
}

fn webhooks(config: &config::Hooks) -> Result<Webhooks, ConfigError> {
    let mut all = Webhooks::default();
    for (index, webhook) in config.webhook.iter().enumerate() {
        let path = format!("hooks.webhook[{index}]");
        let messages = messages(webhook, &path)?;
        match (webhook.stage, messages.is_empty()) {
            (WebhookStage::Before, true) => all.before.push(Arc::new(WebhookBefore::new(webhook, &path)?)),
            (WebhookStage::After, true) => all.after.push(Arc::new(NoticeHook::new(webhook, &path)?)),
            (WebhookStage::Before, false) => {
                all.asked.push(Arc::new(EnvelopeWebhook::new(webhook, messages, &path)?));
            }
            (WebhookStage::After, false) => {
                all.told.push((Kinds::of(&messages), Arc::new(TellHook::new(webhook, &path)?)));
            }
        }
    }
    Ok(all)
}

/// What a webhook stands around, by name; none where it stands around sign-ins.
fn messages(webhook: &Webhook, path: &str) -> Result<Vec<MessageKind>, ConfigError> {
    let known = |(index, name): (usize, &String)| {
        MessageKind::named(name).ok_or_else(|| ConfigError {
            path: format!("{path}.messages[{index}]"),
            what: format!("a message that clients send over a socket, but for rpc; not {name:?}"),
        })
    };
    webhook.messages.iter().enumerate().map(known).collect()
}

enum AfterMessage {
    Own(Arc<dyn AfterEnvelope>),
    Webhook(Kinds, Arc<TellHook>),
}

impl AfterMessage {
    fn name(&self) -> &str {
        match self {
            Self::Own(hook) => hook.name(),
            Self::Webhook(_, hook) => &hook.name,
        }
    }
}

fn envelope_chains(
    config: &config::Hooks,
    asked: Vec<Arc<dyn BeforeEnvelope>>,
    listening: Vec<(Kinds, Arc<TellHook>)>,
    own_before: Vec<Arc<dyn BeforeEnvelope>>,
    own_after: Vec<Arc<dyn AfterEnvelope>>,
) -> Result<EnvelopeChains, ConfigError> {
    let before = in_order("hooks.realtime_before", &config.realtime_before, asked, own_before, |hook| hook.name())?;
    let before = before.into_iter().map(|hook| Around { kinds: Kinds::of(&hook.messages()), hook });
    let configured = listening.into_iter().map(|(kinds, hook)| AfterMessage::Webhook(kinds, hook)).collect();
    let own = own_after.into_iter().map(AfterMessage::Own).collect();
    let mut chains = EnvelopeChains {
        before: before.collect(),
        after: Vec::new(),
        told: Vec::new(),
        wanted: Kinds::default(),
        wanted_after: Kinds::default(),
        queue: Queue::new(config),
        timeout: Duration::from_millis(config.realtime_timeout_ms),
    };
    for hook in in_order("hooks.realtime_after", &config.realtime_after, configured, own, AfterMessage::name)? {
        match hook {
            AfterMessage::Own(hook) => chains.after.push(Around { kinds: Kinds::of(&hook.messages()), hook }),
            AfterMessage::Webhook(kinds, hook) => chains.told.push(Around { kinds, hook }),
        }
    }
    let after = chains.after.iter().map(|around| around.kinds).chain(chains.told.iter().map(|around| around.kinds));
    chains.wanted_after = after.fold(Kinds::default(), Kinds::and);
    chains.wanted = chains.before.iter().map(|around| around.kinds).fold(chains.wanted_after, Kinds::and);
    Ok(chains)
}

/// The hooks that `list` names, in its order, then the `own` ones that it does not name.
fn in_order<H>(
    path: &str,
    list: &[String],
    configured: Vec<H>,
    own: Vec<H>,
    name_of: impl Fn(&H) -> &str,
) -> Result<Vec<H>, ConfigError> {
    let fault = |path: String, what: String| Err(ConfigError { path, what });
    let mut seen = HashSet::new();
    if let Some(twice) = configured.iter().chain(&own).find(|hook| !seen.insert(name_of(hook).to_owned())) {
        return fault(path.to_owned(), format!("hooks of different names; there are two called {:?}", name_of(twice)));
    }
    let allowed = seen.iter().map(|name| format!("{name:?}")).collect::<std::collections::BTreeSet<_>>();
    let allowed = allowed.into_iter().collect::<Vec<_>>().join(", ");
    let first_own = configured.len();
    let mut left: Vec<Option<H>> = configured.into_iter().chain(own).map(Some).collect();
    let mut chain = Vec::with_capacity(list.len());
    for (index, name) in list.iter().enumerate() {
        let found = left.iter_mut().find(|slot| slot.as_ref().is_some_and(|hook| name_of(hook) == name));
        match found.and_then(Option::take) {
            Some(hook) => chain.push(hook),
            None => return fault(format!("{path}[{index}]"), format!("one of {allowed}, each once; not {name:?}")),
        }
    }
    chain.extend(left.into_iter().skip(first_own).flatten());
    Ok(chain)
}
