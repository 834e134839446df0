//! Key sets over the network: one address that the configuration fixed, no redirects, bounded in size and time.

use crate::config::{ConfigError, is_loopback};
use async_trait::async_trait;
use reqwest::{Client, Response, StatusCode, Url, redirect::Policy};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Why a key set could not be fetched. Says nothing that a token said.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No connection, or it broke: the one case that is tried again, once.
    #[error("transport: {0}")]
    Transport(String),
    /// Another status than 200. Redirects are not followed.
    #[error("status {0}")]
    Status(u16),
    /// Longer than `identity.jwks_max_bytes`.
    #[error("larger than identity.jwks_max_bytes")]
    TooLarge,
    /// Not read in `identity.jwks_timeout_ms`, a second try included.
    #[error("not read within identity.jwks_timeout_ms")]
    TimedOut,
    /// A file that cannot be read.
    #[error("file: {0}")]
    File(#[from] std::io::Error),
    /// The issuer's configuration document cannot be believed.
    #[error("discovery: {0}")]
    Discovery(&'static str),
    /// Read, and not usable.
    #[error(transparent)]
    Unusable(#[from] super::keys::KeySetError),
}

/// Gets the bytes at an address. The caller bounds the time and tries again.
#[async_trait]
pub trait KeyFetcher: Send + Sync {
    /// The body at `url`, at most `max_bytes` of it.
    async fn fetch(&self, url: &str, max_bytes: usize) -> Result<Vec<u8>, FetchError>;
}

/// [`KeyFetcher`] over HTTP.
pub struct HttpFetcher {
    /// For https. Uses the proxy of the environment, if any.
    outward: Option<Client>,
    /// For http on loopback: no proxy, and no name server is asked for `localhost`.
    loopback: Client,
}

impl HttpFetcher {
    /// A fetcher; `https` says whether it will be asked for https addresses at all, which needs the system's certificates.
    ///
    /// # Errors
    /// The TLS set-up of this machine cannot be used.
    pub fn new(https: bool) -> Result<Self, ConfigError> {
        let failed =
            |error: reqwest::Error| ConfigError::new("identity.trust.jwks", format!("no client for https: {error}"));
        let plain = || Client::builder().redirect(Policy::none()).referer(false).pool_max_idle_per_host(0);
        let outward = https.then(|| plain().https_only(true).build()).transpose().map_err(failed)?;
        let own = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
        let loopback =
            plain().no_proxy().resolve_to_addrs("localhost", &own).tls_certs_only([]).build().map_err(failed)?;
        Ok(Self { outward, loopback })
    }

    fn client_for(&self, url: &Url) -> Option<&Client> {
        if url.scheme() == "http" && is_loopback(url) { Some(&self.loopback) } else { self.outward.as_ref() }
    }
}

#[async_trait]
impl KeyFetcher for HttpFetcher {
    async fn fetch(&self, url: &str, max_bytes: usize) -> Result<Vec<u8>, FetchError> {
        let transport = |error: reqwest::Error| FetchError::Transport(error.without_url().to_string());
        let url = Url::parse(url).map_err(|error| FetchError::Transport(error.to_string()))?;
        let client = self.client_for(&url).ok_or_else(|| FetchError::Transport("no client for https".into()))?;
        let response = client.get(url).header("accept", "application/json").send().await.map_err(transport)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        bounded_body(response, max_bytes).await
    }
}

/// The body as sent: nothing is inflated, so what is counted is what is held.
async fn bounded_body(mut response: Response, max_bytes: usize) -> Result<Vec<u8>, FetchError> {
    if response.content_length().is_some_and(|length| length > max_bytes as u64) {
        return Err(FetchError::TooLarge);
    }
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| FetchError::Transport(error.without_url().to_string()))?
    {
        if body.len() + chunk.len() > max_bytes {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
