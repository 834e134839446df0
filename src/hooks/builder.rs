//! From registered hooks and the configuration's lists to the chains.

use super::{
    AfterAuthenticate, BeforeAuthenticate, Bridge, Chains, Hooks,
    notices::NoticeHook,
    webhook::WebhookBefore,
};
use crate::{
    clock::{Clock, Entropy},
    config::{self, ConfigError, WebhookStage},
    telemetry::Metrics,
};
use std::{collections::HashSet, sync::Arc};
use tokio::sync::Notify;

/// Collects hooks. What the configuration's lists name runs in their order; a program's own hooks that no list names run after
/// those, in the order in which they were added.
#[derive(Default)]
pub struct HooksBuilder {
    bridge: Option<Bridge>,
    before: Vec<Arc<dyn BeforeAuthenticate>>,
    after: Vec<Arc<dyn AfterAuthenticate>>,
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

    /// Puts the chains together.
    ///
    /// # Errors
    /// A list names a hook that nobody registered, or one twice; two hooks share a name; a webhook's address cannot be used.
    pub fn build(
        self,
        config: &config::Hooks,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
    ) -> Result<Hooks, ConfigError> {
        let (webhooks_before, webhooks_after) = webhooks(config)?;
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
        Ok(Hooks(Arc::new(Chains { before, after, notices, stored, max_deliveries, clock, entropy, metrics })))
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

type Webhooks = (Vec<Arc<dyn BeforeAuthenticate>>, Vec<Arc<NoticeHook>>);

fn webhooks(config: &config::Hooks) -> Result<Webhooks, ConfigError> {
    let (mut before, mut after): Webhooks = Default::default();
    for (index, webhook) in config.webhook.iter().enumerate() {
        let path = format!("hooks.webhook[{index}]");
        match webhook.stage {
            WebhookStage::Before => before.push(Arc::new(WebhookBefore::new(webhook, &path)?)),
            WebhookStage::After => after.push(Arc::new(NoticeHook::new(webhook, &path)?)),
        }
    }
    Ok((before, after))
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
