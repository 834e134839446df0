//! Where a provider's endpoints are: by OpenID Connect Discovery 1.0, or as configured.

use super::transport::Transport;
use crate::{clock::Clock, config::is_loopback, identity::discovery::discovery_address};
use parking_lot::RwLock;
use reqwest::Url;
use serde::Deserialize;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Seconds between two tries to read a document that cannot be had.
const RETRY_SEC: i64 = 5;

/// A provider's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Where browsers are sent.
    pub authorization: Url,
    /// Where codes and refresh tokens are exchanged.
    pub token: Url,
    /// Whether the authorization response must name its issuer (RFC 9207 section 2.3).
    pub promises_iss: bool,
    /// Whether the client's secret goes into the body (`client_secret_post`) for want of `client_secret_basic`.
    pub secret_in_body: bool,
}

/// The members of a discovery document (section 3) that are looked at.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    code_challenge_methods_supported: Option<Vec<String>>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// Why a document cannot be used. Only fixed words and those of the transport.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiscoveryError {
    #[error("{0}")]
    Transport(#[from] super::transport::TransportError),
    #[error("it is no discovery document")]
    Malformed,
    #[error("its issuer is not the configured one")]
    Issuer,
    #[error("an endpoint is neither https nor, for an issuer on loopback, on loopback")]
    Endpoint,
    #[error("it supports no PKCE by S256")]
    Pkce,
    #[error("tried a moment ago")]
    Resting,
}

/// Endpoints that are known, or looked up and kept.
pub(super) enum Source {
    Fixed(Endpoints),
    Discovered(Discovered),
}

pub(super) struct Discovered {
    issuer: String,
    refresh_sec: i64,
    transport: Arc<Transport>,
    clock: Clock,
    /// The last good document, and when it was read.
    known: RwLock<Option<(Endpoints, i64)>>,
    /// Held while one reads; the others take the last good document, or wait. When the last try failed.
    reading: Mutex<Option<i64>>,
}

impl Discovered {
    pub(super) fn new(issuer: &str, refresh_sec: u64, transport: Arc<Transport>, clock: Clock) -> Self {
        let refresh_sec = i64::try_from(refresh_sec).unwrap_or(i64::MAX);
        let (known, reading) = (RwLock::default(), Mutex::default());
        Self { issuer: issuer.to_owned(), refresh_sec, transport, clock, known, reading }
    }

    /// The endpoints; read again when they are old. While that fails, the last good ones serve.
    pub(super) async fn endpoints(&self) -> Result<Endpoints, DiscoveryError> {
        if let Some(fresh) = self.fresh() {
            return Ok(fresh);
        }
        let older = || self.known.read().as_ref().map(|(endpoints, _)| endpoints.clone());
        let mut last_try = match (self.reading.try_lock(), older()) {
            (Ok(turn), _) => turn,
            (Err(_), Some(older)) => return Ok(older),
            (Err(_), None) => self.reading.lock().await,
        };
        if let Some(fresh) = self.fresh() {
            return Ok(fresh);
        }
        let now = self.clock.unix_seconds();
        if last_try.is_some_and(|at| (0..RETRY_SEC).contains(&(now - at))) {
            return older().ok_or(DiscoveryError::Resting);
        }
        *last_try = Some(now);
        let read = self.read().await;
        // From its end: those who wait behind a try that took long must not each take as long.
        *last_try = read.is_err().then(|| self.clock.unix_seconds());
        match read {
            Ok(endpoints) => {
                *self.known.write() = Some((endpoints.clone(), now));
                Ok(endpoints)
            }
            Err(error) => older().map_or_else(
                || Err(error),
                |endpoints| {
                    tracing::warn!(issuer = %self.issuer, "the provider's discovery document cannot be read again");
                    Ok(endpoints)
                },
            ),
        }
    }

    fn fresh(&self) -> Option<Endpoints> {
        let known = self.known.read();
        let (endpoints, read_at) = known.as_ref()?;
        (0..self.refresh_sec).contains(&(self.clock.unix_seconds() - read_at)).then(|| endpoints.clone())
    }

    async fn read(&self) -> Result<Endpoints, DiscoveryError> {
        let address = discovery_address(&self.issuer);
        let address = Url::parse(&address).map_err(|_| DiscoveryError::Endpoint)?;
        judge(&self.transport.get(&address).await?, &self.issuer)
    }
}

/// Judges a document. Its `issuer` must be the one asked for, byte by byte (section 4.3).
fn judge(body: &[u8], issuer: &str) -> Result<Endpoints, DiscoveryError> {
    let document: Document = serde_json::from_slice(body).map_err(|_| DiscoveryError::Malformed)?;
    if document.issuer != issuer {
        return Err(DiscoveryError::Issuer);
    }
    if document.code_challenge_methods_supported.is_some_and(|methods| !methods.iter().any(|method| method == "S256")) {
        return Err(DiscoveryError::Pkce);
    }
    let endpoint = |address: &str| judge_endpoint(address, issuer).ok_or(DiscoveryError::Endpoint);
    let lists = |methods: &Vec<String>, wanted: &str| methods.iter().any(|method| method == wanted);
    let methods = document.token_endpoint_auth_methods_supported.as_ref();
    Ok(Endpoints {
        authorization: endpoint(&document.authorization_endpoint)?,
        token: endpoint(&document.token_endpoint)?,
        promises_iss: document.authorization_response_iss_parameter_supported,
        secret_in_body: methods
            .is_some_and(|all| lists(all, "client_secret_post") && !lists(all, "client_secret_basic")),
    })
}

/// An endpoint's address: https, or http on loopback where the issuer itself is there. No user, no fragment (RFC 6749 section 3.1).
pub fn judge_endpoint(address: &str, issuer: &str) -> Option<Url> {
    let url = Url::parse(address).ok()?;
    let issuer_is_loopback = Url::parse(issuer).is_ok_and(|issuer| issuer.scheme() == "http" && is_loopback(&issuer));
    let reachable = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url) && issuer_is_loopback);
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (reachable && plain).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ISSUER: &str = "https://issuer.example/realm";

    #[tokio::test]
    async fn behind_a_provider_that_stalls_nobody_waits_for_a_try_of_their_own() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let clock = Clock::manual(1_000);
        let transport = Arc::new(Transport::new(&crate::config::Login::default(), false).unwrap());
        let discovered = Discovered::new(&issuer, 3_600, transport, clock.clone());
        let stalls = async {
            let stream = listener.accept().await.unwrap();
            clock.advance_seconds(RETRY_SEC);
            drop(stream);
        };
        let (first, second, ()) = tokio::join!(discovered.endpoints(), discovered.endpoints(), stalls);
        assert!(matches!(first, Err(DiscoveryError::Transport(_))), "{first:?}");
        assert!(matches!(second, Err(DiscoveryError::Resting)), "{second:?}");
    }

    #[tokio::test]
    async fn while_one_reads_the_document_again_the_others_take_the_last_good_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let clock = Clock::manual(1_000);
        let transport = Arc::new(Transport::new(&crate::config::Login::default(), false).unwrap());
        let discovered = Discovered::new(&issuer, 3_600, transport, clock.clone());
        *discovered.known.write() = Some((judged(&json!({})).unwrap(), 1_000));
        clock.advance_seconds(3_600);
        let others = async {
            let stream = listener.accept().await.unwrap();
            discovered.endpoints().await.unwrap();
            drop(stream);
        };
        let (first, ()) = tokio::join!(discovered.endpoints(), others);
        assert_eq!(first.unwrap(), judged(&json!({})).unwrap());
    }

    fn judged(change: &Value) -> Result<Endpoints, String> {
        let mut document = json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://issuer.example/authorize",
            "token_endpoint": "https://tokens.example/token",
        });
        for (name, value) in change.as_object().unwrap() {
            document[name] = value.clone();
        }
        judge(document.to_string().as_bytes(), ISSUER).map_err(|error| error.to_string())
    }

    #[test]
    fn a_document_is_its_issuers_or_none() {
        let good = judged(&json!({})).unwrap();
        assert_eq!(good.token.as_str(), "https://tokens.example/token");
        assert!(!good.promises_iss && !good.secret_in_body);
        for (change, fault) in [
            (json!({ "issuer": "https://issuer.example/realm/" }), "its issuer is not the configured one"),
            (json!({ "issuer": "https://evil.example" }), "its issuer is not the configured one"),
            (json!({ "token_endpoint": null }), "it is no discovery document"),
            (json!({ "code_challenge_methods_supported": ["plain"] }), "it supports no PKCE by S256"),
        ] {
            assert_eq!(judged(&change).unwrap_err(), fault);
        }
        for bad in ["http://127.0.0.1/token", "http://issuer.example/token", "https://a:b@issuer.example/", "/token"] {
            assert!(judged(&json!({ "token_endpoint": bad })).is_err(), "{bad}");
            assert!(judged(&json!({ "authorization_endpoint": bad })).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_the_document_promises_counts() {
        assert!(judged(&json!({ "authorization_response_iss_parameter_supported": true })).unwrap().promises_iss);
        let methods = |methods: &[&str]| json!({ "token_endpoint_auth_methods_supported": methods });
        assert!(judged(&methods(&["client_secret_post"])).unwrap().secret_in_body);
        assert!(!judged(&methods(&["client_secret_post", "client_secret_basic"])).unwrap().secret_in_body);
    }
}
