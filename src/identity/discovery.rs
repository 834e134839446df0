//! What an issuer says of itself: its configuration document (OpenID Connect Discovery 1.0 section 4), through the same bounded
//! fetcher as key sets. It is believed only about itself: it must name exactly the issuer that was asked.

use super::fetch::{FetchError, KeyFetcher};
use crate::config::may_fetch;
use serde::Deserialize;

/// The part of an issuer's configuration that leads to its keys.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Discovery {
    /// The issuer, byte by byte as asked.
    issuer: String,
    /// Where its keys are.
    pub(super) jwks_uri: String,
}

impl Discovery {
    /// Reads the document of `issuer`, at most `max_bytes` of it. The caller bounds the time.
    ///
    /// # Errors
    /// It cannot be fetched, is no such document, names another issuer, or leads to an address that may not be fetched: other than
    /// https, unless on loopback where `allow_loopback_http`.
    pub(super) async fn read(
        fetcher: &dyn KeyFetcher,
        issuer: &str,
        max_bytes: usize,
        allow_loopback_http: bool,
    ) -> Result<Self, FetchError> {
        let text = fetcher.fetch(&discovery_address(issuer), max_bytes).await?;
        Self::parse(&text, issuer, allow_loopback_http)
    }

    fn parse(text: &[u8], issuer: &str, allow_loopback_http: bool) -> Result<Self, FetchError> {
        let found: Self =
            serde_json::from_slice(text).map_err(|_| FetchError::Discovery("it is not such a document"))?;
        if found.issuer != issuer {
            return Err(FetchError::Discovery("it names another issuer"));
        }
        if !may_fetch(&found.jwks_uri, allow_loopback_http) {
            return Err(FetchError::Discovery("it leads to an address that is not https"));
        }
        Ok(found)
    }
}

/// Where the document of `issuer` is (section 4.1: a slash at the issuer's end is taken off first).
pub(super) fn discovery_address(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://sso.example/realm";

    fn parse(text: &str, allow_loopback_http: bool) -> Option<Discovery> {
        Discovery::parse(text.as_bytes(), ISSUER, allow_loopback_http).ok()
    }

    fn document(issuer: &str, keys: &str) -> String {
        format!(r#"{{"issuer":"{issuer}","jwks_uri":"{keys}","scopes_supported":["openid"]}}"#)
    }

    #[test]
    fn a_document_counts_for_exactly_its_issuer() {
        let found = parse(&document(ISSUER, "https://keys.example/set"), false).expect("its own");
        assert_eq!(found.jwks_uri, "https://keys.example/set");
        for other in ["https://sso.example/realm/", "https://sso.example/Realm", "https://evil.example", ""] {
            assert_eq!(parse(&document(other, "https://keys.example/set"), false), None, "{other}");
        }
    }

    #[test]
    fn it_leads_to_https_or_where_allowed_to_loopback() {
        for bad in
            ["http://keys.example/set", "file:///etc/passwd", "https://u:p@keys.example/", "", "http://127.0.0.1/set"]
        {
            assert_eq!(parse(&document(ISSUER, bad), false), None, "{bad}");
        }
        assert!(parse(&document(ISSUER, "http://127.0.0.1/set"), true).is_some());
        for broken in ["", "[]", "{}", r#"{"issuer":"https://sso.example/realm"}"#] {
            assert_eq!(parse(broken, true), None, "{broken}");
        }
    }

    #[test]
    fn the_address_is_below_the_issuer() {
        assert_eq!(discovery_address("https://a/b"), "https://a/b/.well-known/openid-configuration");
        assert_eq!(discovery_address("https://a/"), "https://a/.well-known/openid-configuration");
    }
}
