//! HTTP to identity providers: bounded in time, size and number, no redirects, https or loopback.

use crate::config::{self, ConfigError, is_loopback};
use oauth2::{AsyncHttpClient, http};
use reqwest::{Client, StatusCode, Url, redirect::Policy};
use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    time::Duration,
};
use tokio::sync::Semaphore;

/// Why there is no answer that could be read. Says nothing that was sent or received.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportError {
    #[error("transport: {0}")]
    Transport(String),
    #[error("status {0}")]
    Status(u16),
    #[error("larger than login.max_response_bytes")]
    TooLarge,
    #[error("login.max_requests are under way")]
    Busy,
    #[error("the address is neither https nor loopback")]
    Address,
}

/// For all providers together.
pub(super) struct Transport {
    /// For https. Uses the proxy of the environment, if any.
    outward: Option<Client>,
    /// For http on loopback: no proxy, and no name server is asked for `localhost`.
    loopback: Client,
    under_way: Semaphore,
    max_response_bytes: usize,
}

impl Transport {
    pub(super) fn new(config: &config::Login, https: bool) -> Result<Self, ConfigError> {
        let failed = |error: reqwest::Error| ConfigError::new("login.client", format!("no client for https: {error}"));
        let timeout = Duration::from_millis(config.timeout_ms);
        let plain = || Client::builder().redirect(Policy::none()).referer(false).timeout(timeout);
        let outward = https.then(|| plain().https_only(true).build()).transpose().map_err(failed)?;
        let own = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
        let loopback = plain().no_proxy().resolve_to_addrs("localhost", &own).tls_certs_only([]);
        Ok(Self {
            outward,
            loopback: loopback.pool_max_idle_per_host(4).build().map_err(failed)?,
            under_way: Semaphore::new(config.max_requests.min(Semaphore::MAX_PERMITS)),
            max_response_bytes: config.max_response_bytes,
        })
    }

    /// A request of crate `oauth2`: see [`AsyncHttpClient`]. Only the statuses in which OAuth says something come back: 200, 400 and 401. What a broken or
    /// lying server sends with another one must end no session.
    async fn answer(&self, request: oauth2::HttpRequest) -> Result<oauth2::HttpResponse, TransportError> {
        let _permit = self.under_way.try_acquire().map_err(|_| TransportError::Busy)?;
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string()).map_err(|_| TransportError::Address)?;
        let request = self.client_for(&url)?.request(parts.method, url).headers(parts.headers).body(body);
        let response = request.send().await.map_err(transport)?;
        let status = response.status();
        if ![StatusCode::OK, StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED].contains(&status) {
            return Err(TransportError::Status(status.as_u16()));
        }
        let content_type = response.headers().get(http::header::CONTENT_TYPE).cloned();
        let mut answer = http::Response::new(self.bounded_body(response).await?);
        *answer.status_mut() = status;
        if let Some(content_type) = content_type {
            answer.headers_mut().insert(http::header::CONTENT_TYPE, content_type);
        }
        Ok(answer)
    }

    /// The body at `url`.
    pub(super) async fn get(&self, url: &Url) -> Result<Vec<u8>, TransportError> {
        let _permit = self.under_way.try_acquire().map_err(|_| TransportError::Busy)?;
        let request = self.client_for(url)?.get(url.clone()).header("accept", "application/json");
        let response = request.send().await.map_err(transport)?;
        if response.status() != StatusCode::OK {
            return Err(TransportError::Status(response.status().as_u16()));
        }
        self.bounded_body(response).await
    }

    fn client_for(&self, url: &Url) -> Result<&Client, TransportError> {
        if url.scheme() == "http" && is_loopback(url) {
            return Ok(&self.loopback);
        }
        self.outward.as_ref().filter(|_| url.scheme() == "https").ok_or(TransportError::Address)
    }

    async fn bounded_body(&self, mut response: reqwest::Response) -> Result<Vec<u8>, TransportError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(transport)? {
            if body.len() + chunk.len() > self.max_response_bytes {
                return Err(TransportError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

impl<'c> AsyncHttpClient<'c> for Transport {
    type Error = TransportError;
    type Future = Pin<Box<dyn Future<Output = Result<oauth2::HttpResponse, TransportError>> + Send + 'c>>;

    fn call(&'c self, request: oauth2::HttpRequest) -> Self::Future {
        Box::pin(self.answer(request))
    }
}

fn transport(error: reqwest::Error) -> TransportError {
    TransportError::Transport(error.without_url().to_string())
}
