//! Cross-origin rules (contract/README.md section 6): any web page may call; preflights are answered whatever the path.

use super::respond::{self, Draft};
use hyper::{
    HeaderMap, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN,
    },
};

/// Methods that a page may announce; the second says whether the answer must name it, being no simple method.
const METHODS: [(&str, bool); 5] = [("GET", false), ("HEAD", false), ("POST", false), ("PUT", true), ("DELETE", true)];
/// Headers that a page may announce; the second says whether the answer must name it, being no simple header.
const HEADERS: [(&str, bool); 7] = [
    ("Authorization", true),
    ("Content-Type", true),
    ("User-Agent", true),
    ("Accept", false),
    ("Accept-Language", false),
    ("Content-Language", false),
    ("Origin", false),
];

/// Whether a page of some origin asks.
pub(super) fn has_origin(headers: &HeaderMap) -> bool {
    headers.get(ORIGIN).is_some_and(|origin| !origin.is_empty())
}

/// Lets the page read the answer.
pub(super) fn allow(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}

/// The answer to an `OPTIONS` request.
pub(super) fn preflight(asked: &HeaderMap) -> Draft {
    if !has_origin(asked) {
        return respond::empty(StatusCode::OK);
    }
    let Some(method) = asked.get(ACCESS_CONTROL_REQUEST_METHOD) else {
        return respond::empty(StatusCode::BAD_REQUEST);
    };
    let Some((method, is_named)) = METHODS.into_iter().find(|(name, _)| method == name) else {
        return respond::empty(StatusCode::METHOD_NOT_ALLOWED);
    };
    let Some(named) = named_headers(asked) else {
        return respond::empty(StatusCode::FORBIDDEN);
    };
    let mut response = respond::empty(StatusCode::OK);
    let headers = response.headers_mut();
    allow(headers);
    if is_named {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(method));
    }
    if let Ok(named) = HeaderValue::from_str(&named)
        && !named.is_empty()
    {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, named);
    }
    response
}

/// The requested headers that the answer must name; `None` if one of them is not allowed.
fn named_headers(asked: &HeaderMap) -> Option<String> {
    let Some(list) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) else {
        return Some(String::new());
    };
    let mut named = Vec::new();
    for requested in list.to_str().ok()?.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let (name, is_named) = HEADERS.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(requested))?;
        if is_named {
            named.push(name);
        }
    }
    Some(named.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(&'static str, &'static str)]) -> Draft {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        preflight(&map)
    }

    const PAGE: (&str, &str) = ("origin", "https://game.example");
    const METHOD: &str = "access-control-request-method";
    const NAMES: &str = "access-control-request-headers";

    #[test]
    fn options_without_an_origin_is_no_preflight() {
        let response = asked(&[(METHOD, "PATCH")]);
        assert_eq!(response.status(), 200);
        assert!(response.headers().is_empty());
    }

    #[test]
    fn a_preflight_names_its_method() {
        assert_eq!(asked(&[PAGE]).status(), 400);
        for method in ["PATCH", "OPTIONS", "get", ""] {
            assert_eq!(asked(&[PAGE, (METHOD, method)]).status(), 405, "{method}");
        }
        for method in ["GET", "HEAD", "POST"] {
            let response = asked(&[PAGE, (METHOD, method)]);
            assert_eq!(response.status(), 200, "{method}");
            assert_eq!(response.headers().len(), 1, "{method}");
            assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        }
        for method in ["PUT", "DELETE"] {
            assert_eq!(asked(&[PAGE, (METHOD, method)]).headers()[ACCESS_CONTROL_ALLOW_METHODS], method);
        }
    }

    #[test]
    fn a_preflight_may_announce_a_few_headers_only() {
        let response = asked(&[PAGE, (METHOD, "POST"), (NAMES, "content-type, AUTHORIZATION,accept,,user-agent")]);
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_HEADERS], "Content-Type,Authorization,User-Agent");
        assert_eq!(asked(&[PAGE, (METHOD, "POST"), (NAMES, "content-type,x-mine")]).status(), 403);
        let simple = asked(&[PAGE, (METHOD, "POST"), (NAMES, "accept,origin")]);
        assert_eq!(simple.status(), 200);
        assert!(!simple.headers().contains_key(ACCESS_CONTROL_ALLOW_HEADERS));
    }
}
