//! POSTing JSON to a configured address: one client for each webhook, no redirects, bounded in time and size.

use crate::config::{ConfigError, Secret, Webhook};
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
    redirect::Policy,
};
use std::{net::IpAddr, time::Duration};

/// A web address that can be POSTed to.
pub(super) struct Target {
    client: Client,
    url: Url,
    authorization: Option<HeaderValue>,
    max_response_bytes: usize,
}

/// Why there is no answer. Says nothing of what was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    #[error("{0}")]
    Transport(String),
    #[error("an answer larger than max_response_bytes")]
    TooLarge,
}

impl Target {
    /// `path` is the webhook's place in the configuration.
    pub(super) fn new(webhook: &Webhook, path: &str) -> Result<Self, ConfigError> {
        let fault = |key: &str, what: String| ConfigError { path: format!("{path}.{key}"), what };
        let url = Url::parse(&webhook.url).ok().filter(is_allowed);
        let url = url.ok_or_else(|| fault("url", "an https address, or an http one on loopback".into()))?;
        let authorization = header(&webhook.authorization)
            .map_err(|()| fault("authorization", "a header value in printable ASCII".into()))?;
        let timeout = Duration::from_millis(webhook.timeout_ms.max(1));
        let mut builder = Client::builder().redirect(Policy::none()).referer(false).timeout(timeout);
        if url.scheme() == "http" {
            // Loopback: no proxy, and no need of the system's certificates.
            builder = builder.no_proxy().tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| fault("url", format!("reachable by TLS on this machine: {error}")))?;
        Ok(Self { client, url, authorization, max_response_bytes: webhook.max_response_bytes })
    }

    /// Sends `body`; the status and the body of the answer.
    pub(super) async fn post(&self, body: String) -> Result<(StatusCode, Vec<u8>), PostError> {
        let mut request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(body);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let response = request.send().await.map_err(transport)?;
        let status = response.status();
        Ok((status, bounded_body(response, self.max_response_bytes).await?))
    }
}

fn header(value: &Secret) -> Result<Option<HeaderValue>, ()> {
    if value.expose().is_empty() {
        return Ok(None);
    }
    let mut header = HeaderValue::from_str(value.expose()).map_err(|_| ())?;
    header.set_sensitive(true);
    Ok(Some(header))
}

fn is_allowed(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}

fn transport(error: reqwest::Error) -> PostError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    PostError::Transport(text)
}

async fn bounded_body(mut response: Response, most: usize) -> Result<Vec<u8>, PostError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > most {
            return Err(PostError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
