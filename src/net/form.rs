//! `Content-Type`, as far as it matters: only a form is read as one (contract/README.md section 5).

use super::routes::{Body, Route};
use crate::error::Error;
use hyper::{HeaderMap, header::CONTENT_TYPE};

const FORM: &str = "application/x-www-form-urlencoded";

/// Whether the body is a form by the letter, so that its POST may stand for another method.
pub(super) fn is_exactly_form(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value == FORM)
}

/// Whether the body of a request to `route`, which looks at its query, is a form and read as part of it.
///
/// # Errors
/// The content type is malformed: 400, code 3.
pub(super) fn is_merged(headers: &HeaderMap, route: &Route) -> Result<bool, Error> {
    let may_have_form = matches!(route.method, "POST" | "PUT") && is_form(headers)?;
    Ok(may_have_form && route.body == Body::None)
}

/// Whether the body is a form, with parameters or not.
///
/// # Errors
/// The content type is malformed: 400, code 3.
pub(super) fn is_form(headers: &HeaderMap) -> Result<bool, Error> {
    let Some(value) = headers.get(CONTENT_TYPE).filter(|value| !value.is_empty()) else {
        return Ok(false);
    };
    let value = String::from_utf8_lossy(value.as_bytes());
    let media = value.split(';').next().unwrap_or_default().trim();
    if let Some(fault) = fault(media) {
        return Err(Error::invalid_argument(fault));
    }
    Ok(media.eq_ignore_ascii_case(FORM))
}

/// What Go's `mime.ParseMediaType` says of a media type.
fn fault(media: &str) -> Option<&'static str> {
    let is_token = |text: &str| !text.is_empty() && text.bytes().all(is_token_byte);
    match media.split_once('/') {
        _ if media.is_empty() => Some("mime: no media type"),
        None if is_token(media) => None,
        None => Some("mime: expected slash after first token"),
        Some((first, _)) if !is_token(first) => Some("mime: expected slash after first token"),
        Some((_, second)) if !second.bytes().next().is_some_and(is_token_byte) => {
            Some("mime: expected token after slash")
        }
        Some((_, second)) if !is_token(second) => Some("mime: unexpected content after media subtype"),
        Some(_) => None,
    }
}

/// RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn headers(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))])
    }

    #[test]
    fn a_form_may_have_parameters() {
        assert!(is_form(&headers("application/x-www-form-urlencoded; charset=utf-8")).unwrap());
        assert!(!is_exactly_form(&headers("application/x-www-form-urlencoded; charset=utf-8")));
        assert!(is_exactly_form(&headers("application/x-www-form-urlencoded")));
        assert!(!is_form(&headers("application/json")).unwrap());
        assert!(!is_form(&HeaderMap::new()).unwrap());
    }

    #[test]
    fn a_malformed_type_names_its_fault() {
        let fault = |value| is_form(&headers(value)).unwrap_err().message().to_owned();
        assert_eq!(fault("application/"), "mime: expected token after slash");
        assert_eq!(fault("a b/c"), "mime: expected slash after first token");
        assert_eq!(fault("a/b c"), "mime: unexpected content after media subtype");
        assert_eq!(fault("; x=y"), "mime: no media type");
    }
}
