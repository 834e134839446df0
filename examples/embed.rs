//! A program that embeds the server, with hooks of its own: a region that must be named, and a line for each new player.
//!
//! `cargo run --example embed`, then sign in as the printed line says, with and without the region.

use async_trait::async_trait;
use kizuna::{
    app::Server,
    config::{Config, Overrides},
    error::Error,
    hooks::{
        AfterAuthenticate, AuthenticateRequest, Authenticated, BeforeAuthenticate, HookContext, Method, Operation,
    },
    lifecycle,
};

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

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::load(None, std::env::vars(), &Overrides::default())?;
    // Hooks that no list names run after those that are listed; naming them says exactly where.
    config.hooks.before = vec!["bridge".into(), "region".into()];
    kizuna::telemetry::init_logging(&config.logger);
    let server = Server::builder(config).before(Region).after(Welcome).start().await?;
    tracing::info!(
        target: "kizuna::embed",
        "try: curl -u defaultkey: http://{}/v2/account/authenticate/device \
         -d '{{\"id\":\"device-0001\",\"vars\":{{\"region\":\"eu\"}}}}'",
        server.http()
    );
    lifecycle::signalled()?.await;
    server.stop().await;
    Ok(())
}
