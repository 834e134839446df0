//! A program that embeds the server, with hooks of its own: a region that must be named, a line for each new player, and match data
//! that spectators cannot send.
//!
//! `cargo run --example embed`, then sign in as the printed line says, with and without the region.

use async_trait::async_trait;
use kizuna::{
    app::Server,
    config::{Config, Overrides},
    error::Error,
    hooks::{
        AfterAuthenticate, AuthenticateRequest, Authenticated, BeforeAuthenticate, BeforeEnvelope, HookContext,
        MessageKind, Method, Operation, Ruling,
    },
    lifecycle::Signals,
};
use kizuna_protocol::realtime::Envelope;

const REGIONS: [&str; 3] = ["ap", "eu", "us"];

/// Asks every player for a region, and makes it part of a device's id: one account a region.
struct Region;

#[async_trait]
impl BeforeAuthenticate for Region {
    fn name(&self) -> &str {
        "region"
    }

    async fn before(
        &self,
        _context: &HookContext,
        mut request: AuthenticateRequest,
    ) -> Result<AuthenticateRequest, Error> {
        if request.operation != Operation::Authenticate || request.method != Method::Device {
            return Ok(request);
        }
        let region = request.vars.get("region").filter(|region| REGIONS.contains(&region.as_str()));
        let region = region.ok_or_else(|| Error::invalid_argument("Say a region: ap, eu or us."))?;
        request.id = format!("{region}:{}", request.id);
        Ok(request)
    }
}

/// Says so when somebody is new.
struct Welcome;

#[async_trait]
impl AfterAuthenticate for Welcome {
    fn name(&self) -> &str {
        "welcome"
    }

    async fn after(
        &self,
        _context: &HookContext,
        _request: &AuthenticateRequest,
        outcome: &Authenticated,
    ) -> Result<(), Error> {
        if outcome.created {
            tracing::info!(target: "kizuna::embed", user = %outcome.user_id, name = outcome.username, "a new player");
        }
        Ok(())
    }
}

/// Lets spectators, who say so in a session variable, watch matches and nothing more.
struct Spectators;

#[async_trait]
impl BeforeEnvelope for Spectators {
    fn name(&self) -> &str {
        "spectators"
    }

    fn messages(&self) -> Vec<MessageKind> {
        vec![MessageKind::MatchCreate, MessageKind::MatchDataSend]
    }

    async fn before(&self, context: &HookContext, envelope: Envelope) -> Ruling {
        let watches = context.user.as_ref().is_some_and(|user| user.vars.contains_key("spectator"));
        match MessageKind::in_envelope(&envelope) {
            Some(MessageKind::MatchDataSend) if watches => Ruling::Drop,
            _ if watches => Ruling::Refuse(Error::permission_denied("Spectators make no matches.")),
            _ => Ruling::Continue(envelope),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::load(None, std::env::vars(), &Overrides::default())?;
    // Hooks that no list names run after those that are listed; naming them says exactly where.
    config.hooks.before = vec!["bridge".into(), "region".into()];
    kizuna::telemetry::init_logging(&config.logger);
    let mut signals = Signals::take_over()?;
    let server = Server::builder(config).before(Region).after(Welcome).before_envelope(Spectators).start().await?;
    tracing::info!(
        target: "kizuna::embed",
        "try: curl -u defaultkey: http://{}/v2/account/authenticate/device \
         -d '{{\"id\":\"device-0001\",\"vars\":{{\"region\":\"eu\"}}}}'",
        server.http()
    );
    signals.next().await;
    server.stop().await;
    Ok(())
}
