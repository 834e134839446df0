//! The development provider over HTTP: its connections, who is admitted, and which path leads where.

use super::{
    authorize, logout, mint, require_loopback, token,
    tokens::{DevProvider, Shared},
};
use crate::{error::Error, net::params::Params};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, ORIGIN, X_CONTENT_TYPE_OPTIONS},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Connections open at once; one more waits to be accepted.
const MAX_CONNECTIONS: usize = 64;
/// Largest request body.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// For the head of a request, and again for all of its body.
const READ_TIME: Duration = Duration::from_secs(10);
/// The login page loads nothing from elsewhere, and nobody may frame it.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'unsafe-inline'; connect-src 'self'; \
                           base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");

/// Binds a listener, on loopback only.
///
/// # Errors
/// Another address, or the port is taken.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    require_loopback(address)?;
    TcpListener::bind(address).await
}

/// Serves until `stop`; open connections end with it.
///
/// # Errors
/// `listener` is not on loopback. Faults of single connections are theirs alone.
pub async fn serve(
    listener: TcpListener,
    provider: Arc<DevProvider>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    require_loopback(listener.local_addr()?)?;
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return Ok(()),
            _ = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => { connections.spawn(connection(stream, Arc::clone(&provider))); }
                // Out of file descriptors, or the peer is gone already: neither is a reason to end.
                Err(error) => {
                    tracing::debug!(%error, "development provider: connection not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

async fn connection(stream: TcpStream, provider: Shared) {
    let service = service_fn(move |request| {
        let provider = Arc::clone(&provider);
        async move { Ok::<_, Infallible>(answer(request, provider).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_TIME)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "development provider: connection ended");
    }
}

pub(super) type Answer = Response<Full<Bytes>>;

async fn answer(request: Request<Incoming>, provider: Shared) -> Answer {
    if let Err(why) = admit(request.method(), request.headers()) {
        return plain(StatusCode::FORBIDDEN, why);
    }
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET | &Method::HEAD, "/") => page(),
        (&Method::GET | &Method::HEAD, "/page.css") => with_type(StatusCode::OK, "text/css; charset=utf-8", STYLE),
        (&Method::GET | &Method::HEAD, "/.well-known/openid-configuration") => {
            json_answer(StatusCode::OK, &discovery(provider.issuer()))
        }
        (&Method::GET | &Method::HEAD, "/.well-known/jwks.json") => json_answer(StatusCode::OK, &provider.key_set()),
        (&Method::GET | &Method::HEAD, "/authorize") => {
            Params::parse(request.uri().query().unwrap_or_default().as_bytes())
                .map_or_else(|error| refusal(&error), |query| authorize::show(&query, provider.issuer()))
        }
        (&Method::POST, path) if POSTED.contains(&path) => match RequestBody::read(request).await {
            Ok(body) => posted(path, &body, provider).await.unwrap_or_else(|error| refusal(&error)),
            Err(error) => refusal(&error),
        },
        (_, path) if READ.contains(&path) || POSTED.contains(&path) => plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "Method not allowed: GET for pages and keys, POST for tokens and what changes something.",
        ),
        _ => plain(StatusCode::NOT_FOUND, "Not found."),
    }
}

const READ: [&str; 5] = ["/", "/page.css", "/.well-known/openid-configuration", "/.well-known/jwks.json", "/authorize"];
const POSTED: [&str; 6] = ["/authorize", "/token", "/rotate", "/logout", "/disable", "/enable"];

async fn posted(path: &str, request: &RequestBody, provider: Shared) -> Result<Answer, Error> {
    if path == "/rotate" {
        return Ok(rotate(provider).await);
    }
    let form = Params::parse(&request.body)?;
    match path {
        "/authorize" => Ok(authorize::sign_in(&form, &provider)),
        "/logout" => logout::logout(&form, &provider).await,
        "/disable" => logout::disable(&form, &provider).await,
        "/enable" => logout::enable(&form, &provider),
        _ if form.get("grant_type").is_some() => token::token(&form, &provider),
        _ => mint::mint(request, &provider),
    }
}

/// A POST, read to its end.
pub(super) struct RequestBody {
    pub(super) query: String,
    pub(super) is_json: bool,
    pub(super) body: Bytes,
}

impl RequestBody {
    async fn read(request: Request<Incoming>) -> Result<Self, Error> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let is_json =
            request.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        let body = Limited::new(request.into_body(), MAX_BODY_BYTES).collect();
        let body = tokio::time::timeout(READ_TIME, body)
            .await
            .map_err(|_| Error::invalid_argument("Body came too slowly."))?;
        let body = body.map_err(|_| Error::invalid_argument("Body is larger than 16 KiB, or broke off."))?.to_bytes();
        Ok(Self { query, is_json, body })
    }
}

/// Who comes by another name than a loopback one was led here by a foreign page (DNS rebinding), and a POST with a foreign
/// `Origin` is one that a foreign page sends.
fn admit(method: &Method, headers: &HeaderMap) -> Result<(), &'static str> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else {
        return Err("Refused: one Host header is needed.");
    };
    if !names_loopback(host) {
        return Err("Refused: the Host header must name this machine, as 127.0.0.1 or localhost.");
    }
    let own = |origin: &HeaderValue| origin.to_str().is_ok_and(|origin| origin.strip_prefix("http://") == Some(host));
    if *method == Method::POST && !headers.get_all(ORIGIN).iter().all(own) {
        return Err("Refused: another site's page may not ask for this.");
    }
    Ok(())
}

/// Whether an authority, such as `127.0.0.1:7352`, `localhost` or `[::1]:80`, is this machine's.
fn names_loopback(authority: &str) -> bool {
    reqwest::Url::parse(&format!("http://{authority}/"))
        .is_ok_and(|url| url.username().is_empty() && url.path() == "/" && crate::config::is_loopback(&url))
}

/// OpenID Connect Discovery 1.0 section 3.
fn discovery(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "authorization_response_iss_parameter_supported": true,
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "scopes_supported": ["openid"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["sub", "iss", "token_use", "client_id", "aud", "username", "cognito:username", "auth_time",
                             "nonce", "sid", "iat", "exp", "jti"],
    })
}

/// Making keys takes tenths of a second: away from the threads that serve.
async fn rotate(provider: Shared) -> Answer {
    let rotated = tokio::task::spawn_blocking(move || provider.rotate().map(|()| provider.key_set())).await;
    match rotated.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(keys) => json_answer(StatusCode::OK, &keys),
        Err(error) => refusal(&Error::internal("Keys could not be made.", error)),
    }
}

fn page() -> Answer {
    let mut page = html(PAGE);
    page.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    page
}

pub(super) fn html(page: impl Into<Bytes>) -> Answer {
    with_type(StatusCode::OK, "text/html; charset=utf-8", page)
}

fn refusal(error: &Error) -> Answer {
    if error.is_ours() {
        tracing::error!(?error, "development provider");
    }
    let status = StatusCode::from_u16(error.code().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json_answer(status, &json!({ "error": "invalid_request", "error_description": error.message() }))
}

pub(super) fn json_answer(status: StatusCode, body: &Value) -> Answer {
    with_type(status, "application/json", body.to_string())
}

pub(super) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    with_type(status, "text/plain; charset=utf-8", text)
}

fn with_type(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_this_machine() {
        for good in ["127.0.0.1", "127.0.0.1:7352", "localhost:1", "LOCALHOST", "[::1]:80", "127.9.9.9"] {
            assert!(names_loopback(good), "{good}");
        }
        for bad in
            ["example.com", "127.0.0.1.example.com", "10.0.0.1", "", "a@127.0.0.1", "127.0.0.1/x", "localhost.example"]
        {
            assert!(!names_loopback(bad), "{bad}");
        }
    }
}
