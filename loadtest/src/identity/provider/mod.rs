//! An identity provider for tests of a server: it signs in anybody, rotates its keys as it is told, and misbehaves in every way
//! in which a provider can. Only for servers that trust it on purpose; it listens on loopback alone.

mod http;
mod ring;

use super::args::{ProviderOptions, Told};
use crate::tokens::unix_seconds;
use parking_lot::Mutex;
use ring::Ring;
pub use ring::Signer;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio::{net::TcpListener, task::JoinHandle};
use uuid::Uuid;

/// The client that its tokens are for.
pub const CLIENT: &str = "game-client";
/// Seconds that a token lives when nobody says otherwise.
const LIFETIME: u64 = 3_600;

/// The provider.
#[derive(Debug)]
pub struct Provider {
    /// `http://ADDRESS:PORT`.
    pub issuer: String,
    /// Held to choose a key or to exchange keys, never while one signs or is made.
    ring: Mutex<Ring>,
    /// How it behaves from now on.
    told: Mutex<Told>,
    key_set_reads: AtomicU64,
    discovery_reads: AtomicU64,
    serial: AtomicU64,
}

/// A provider that listens; it ends when dropped.
#[derive(Debug)]
pub struct Serving {
    /// The provider.
    pub provider: Arc<Provider>,
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Provider {
    /// Listens on `address`, port 0 for a free one.
    ///
    /// # Errors
    /// The address is not on loopback or cannot be listened on, or no keys could be made.
    pub async fn serve(address: SocketAddr, told: Told) -> Result<Serving, String> {
        if !address.ip().is_loopback() {
            return Err(format!("{address}: a provider that signs in anybody listens on loopback alone"));
        }
        let listener = TcpListener::bind(address).await.map_err(|error| format!("{address}: {error}"))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let ring = tokio::task::spawn_blocking(Ring::new).await.map_err(|error| error.to_string())??;
        let provider = Arc::new(Self {
            issuer: format!("http://{address}"),
            ring: Mutex::new(ring),
            told: Mutex::new(told),
            key_set_reads: AtomicU64::new(0),
            discovery_reads: AtomicU64::new(0),
            serial: AtomicU64::new(0),
        });
        let task = tokio::spawn(http::accept(listener, provider.clone()));
        Ok(Serving { provider, address, task })
    }

    /// How it is to behave from now on.
    pub fn tell(&self, told: Told) {
        *self.told.lock() = told;
    }

    fn told(&self) -> Told {
        *self.told.lock()
    }

    /// Makes a key and publishes it; the one before goes on signing.
    ///
    /// # Errors
    /// No key could be made.
    pub async fn publish(&self) -> Result<(), String> {
        let key = tokio::task::spawn_blocking(ring::fresh).await.map_err(|error| error.to_string())??;
        self.ring.lock().publish(key);
        Ok(())
    }

    /// Signs with the newest published key from now on.
    pub fn switch(&self) {
        self.ring.lock().switch();
    }

    /// Withdraws every key but the newest `keep`.
    pub fn withdraw(&self, keep: usize) {
        self.ring.lock().withdraw(keep);
    }

    /// How often the key set was asked for.
    pub fn key_set_reads(&self) -> u64 {
        self.key_set_reads.load(Relaxed)
    }

    /// A token for `user` in the shape of Cognito's, by a key of the choice of `signer`. Takes about a millisecond.
    ///
    /// # Errors
    /// Signing failed.
    pub fn token(&self, user: &str, signer: Signer) -> Result<String, String> {
        self.mint(user, "access", LIFETIME, signer)
    }

    fn mint(&self, user: &str, token_use: &str, lifetime: u64, signer: Signer) -> Result<String, String> {
        let (key, kid) = {
            let ring = self.ring.lock();
            let key = ring.key(signer);
            let kid = if signer == Signer::Impostor { ring.current_kid().to_owned() } else { key.kid.clone() };
            (key, kid)
        };
        let now = unix_seconds();
        let subject = Uuid::new_v5(&Uuid::NAMESPACE_OID, user.as_bytes()).to_string();
        let serial = self.serial.fetch_add(1, Relaxed);
        let mut claims = json!({
            "sub": subject, "iss": self.issuer, "token_use": token_use, "auth_time": now, "iat": now, "exp": now + lifetime,
            "jti": format!("{now}-{serial}"),
        });
        let client = if token_use == "id" { "aud" } else { "client_id" };
        claims[client] = json!(CLIENT);
        key.sign(&json!({ "kid": kid, "alg": "RS256" }), &claims)
    }

    fn discovery(&self) -> Value {
        let Self { issuer, .. } = self;
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        })
    }

    fn counts(&self) -> Value {
        json!({
            "key_set_reads": self.key_set_reads(),
            "discovery_reads": self.discovery_reads.load(Relaxed),
            "tokens": self.serial.load(Relaxed),
        })
    }
}

/// The configuration that makes Kizuna trust the provider at `address`, quick to notice its rotations.
pub fn trust(address: SocketAddr) -> String {
    format!(
        "# Trusts loadtest's identity provider, which signs in anybody: never in production.\n\
         [identity]\n\
         jwks_allow_loopback_http = true\n\
         jwks_unknown_key_wait_sec = 1\n\n\
         [[identity.trust]]\n\
         name = \"loadtest\"\n\
         issuers = [\"http://{address}\"]\n\
         jwks = {{ url = \"http://{address}/.well-known/jwks.json\" }}\n\
         audience = {{ claim = \"client_id\", any_of = [\"{CLIENT}\"] }}\n\
         token_type = {{ claim = \"token_use\", equals = \"access\" }}\n\
         account_id = \"prefixed\"\n"
    )
}

/// `identity provider`: serves until it is stopped.
///
/// # Errors
/// It cannot listen.
pub fn run(options: &ProviderOptions) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let serving = Provider::serve(options.listen, options.told).await?;
        crate::progress::print(&format!("listening {}\n\n{}", serving.address, trust(serving.address)));
        std::future::pending::<()>().await;
        drop(serving);
        Ok(())
    })
}
