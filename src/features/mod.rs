//! Decisions: one file a feature, its HTTP and realtime operations side by side. Operations know no transport: a typed request
//! in, a typed response out.

pub mod account;
pub mod authenticate;
mod connection;
pub mod friends;
pub mod limits;
pub mod links;
pub mod login;
pub mod matches;
pub mod matchmaker;
pub mod notifications;
pub mod parties;
pub mod passwords;
mod replay;
pub mod revocation;
pub mod rpc;
mod rules;
pub mod session;
pub mod snapshot;
pub mod social;
pub mod sockets;
pub mod status;
pub mod streams;
mod tenancy;
pub mod throttle;
pub mod ticket;
pub mod users;

#[cfg(test)]
mod hooked_tests;
#[cfg(test)]
pub(crate) mod testing;

use crate::{
    audit::{Audit, Event},
    clock::{Clock, Entropy},
    config::Config,
    hooks::{HookContext, HookUser, Hooks},
    identity::{
        Refusal, Tenant, Verifier,
        session::{SessionClaims, SessionTokens},
    },
    realtime::{Realtime, Session},
    store::Store,
    telemetry::Metrics,
};
use kizuna_protocol::code::RealtimeCode;
use limits::Limits;
use login::Login;
use matchmaker::Matchmaker;
use parties::Parties;
use passwords::Passwords;
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};
use throttle::Throttle;
use ticket::Tickets;
use uuid::Uuid;

/// What operations work with; built once by `app`, handed down by reference.
#[derive(Clone, Debug)]
pub struct Services {
    /// The configuration, judged at start.
    pub config: Arc<Config>,
    /// The time.
    pub clock: Clock,
    /// Randomness.
    pub entropy: Entropy,
    /// The counters.
    pub metrics: Metrics,
    /// Accounts and all else that outlives the process.
    pub store: Store,
    /// Judges identity tokens.
    pub verifier: Arc<Verifier>,
    /// The sign-in page.
    pub login: Arc<Login>,
    /// Session tokens.
    pub tokens: SessionTokens,
    /// What runs around authentication.
    pub hooks: Hooks,
    /// Password hashing.
    pub passwords: Passwords,
    /// Tickets for sockets.
    pub tickets: Tickets,
    /// How often an address may sign in.
    pub throttle: Throttle,
    /// How much a client may ask for over sockets.
    pub limits: Limits,
    /// Who is connected.
    pub realtime: Realtime,
    /// Who plays together.
    pub parties: Parties,
    /// Who waits to be matched.
    pub matchmaker: Matchmaker,
    /// What is written down of sign-ins, refusals and ended sessions.
    pub audit: Audit,
}

impl Services {
    /// Writes down that an identity token was refused.
    fn note_refusal(&self, refusal: &Refusal, address: Option<IpAddr>) {
        let (entry, step) = (refusal.entry.clone(), refusal.step().as_str());
        self.audit.record(Event::IdentityRefused { entry, step, address });
    }
}

/// Answers a message that no feature serves yet.
pub(crate) fn not_served(session: &Session, cid: String) {
    session.answer_error(cid, RealtimeCode::RuntimeException, "This message is not served yet.");
}

/// What hooks may know of who sends a message over a socket.
pub(crate) fn hook_context(client: Client, session: &Session) -> HookContext {
    HookContext { session_id: Some(session.id()), ..Caller::new(client, &session.claims()).hook_context() }
}

/// Who sends a request, before anything is known of the person: the network's view.
#[derive(Clone, Copy, Debug, Default)]
pub struct Client {
    /// The client's address, as far as proxies tell it (spec/auth-and-accounts.md section 13).
    pub address: Option<IpAddr>,
    /// Its port, where no proxy hides it.
    pub port: Option<u16>,
}

impl Client {
    fn hook_context(&self) -> HookContext {
        HookContext { client_address: self.address, client_port: self.port, ..HookContext::default() }
    }
}

/// A signed-in user, as the session token says: never read from the database.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The network's view.
    pub client: Client,
    /// The user.
    pub user_id: Uuid,
    /// The username when the token was issued.
    pub username: Arc<str>,
    /// Session variables.
    pub vars: Arc<BTreeMap<String, String>>,
    /// The token's id; all tokens of one refresh chain share it. `None` only for tokens of another server.
    pub token_id: Option<Uuid>,
    /// The wall that the session is behind.
    pub tenant: Tenant,
    /// When the session token ends, in seconds since 1970.
    pub expires_unix: i64,
}

impl Caller {
    /// Whom a valid session token stands for.
    pub fn new(client: Client, claims: &SessionClaims) -> Self {
        Self {
            client,
            user_id: claims.user_id,
            username: Arc::clone(&claims.username),
            vars: Arc::clone(&claims.vars),
            token_id: claims.token_id,
            tenant: claims.tenant,
            expires_unix: claims.expires_unix,
        }
    }

    fn hook_context(&self) -> HookContext {
        let user = HookUser {
            id: self.user_id,
            username: Arc::clone(&self.username),
            vars: Arc::clone(&self.vars),
            expires_unix: self.expires_unix,
        };
        HookContext { user: Some(user), ..self.client.hook_context() }
    }
}
