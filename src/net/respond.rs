//! Answers: the shapes of contract/README.md section 6, and of section 8 for RPC.

use crate::error::Error;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, StatusCode,
    header::{
        CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, VARY, WWW_AUTHENTICATE,
        X_CONTENT_TYPE_OPTIONS,
    },
};

/// What goes back to the client.
pub type Response = hyper::Response<Full<Bytes>>;

/// An answer whose body can still be looked at: what compression works on.
pub(super) type Draft = hyper::Response<Bytes>;

static GRPC_CONTENT_TYPE: HeaderName = HeaderName::from_static("grpc-metadata-content-type");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Why a request is not answered as it wishes.
#[derive(Debug)]
pub(super) enum Failure {
    /// In the shape of REST routes.
    Api(Error),
    /// The same, and the connection is of no more use: the rest of the request is still on its way.
    Closing(Error),
    /// In the shape of RPC.
    Rpc(Error),
    /// The request is not HTTP as we take it; the connection is closed.
    Malformed(StatusCode, &'static str),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Api(error)
    }
}

impl Failure {
    pub(super) fn error(&self) -> Option<&Error> {
        match self {
            Self::Api(error) | Self::Closing(error) | Self::Rpc(error) => Some(error),
            Self::Malformed(..) => None,
        }
    }

    pub(super) fn into_response(self) -> Draft {
        match self {
            Self::Api(error) => api_error(&error),
            Self::Closing(error) => closing(api_error(&error)),
            Self::Rpc(error) => rpc_error(&error),
            Self::Malformed(status, text) => closing(with_type(status, "text/plain", text)),
        }
    }
}

/// The answer of a REST route that succeeded.
pub(super) fn success(json: Vec<u8>) -> Draft {
    let mut response = api(StatusCode::OK, json);
    response.headers_mut().insert(&GRPC_CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// The answer of an RPC that succeeded.
pub(super) fn rpc_success(body: Vec<u8>, content_type: HeaderValue) -> Draft {
    let mut response = api(StatusCode::OK, body);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// No body, and no header of the API: `GET /`, preflights.
pub(super) fn empty(status: StatusCode) -> Draft {
    let mut response = Draft::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// 301 to `location`.
pub(super) fn moved(location: &str) -> Draft {
    let mut response = empty(StatusCode::MOVED_PERMANENTLY);
    if let Ok(value) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, value);
    }
    response
}

/// A refusal of the socket's address: plain text with a line end (contract/README.md section 9).
pub fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = with_type(status, "text/plain; charset=utf-8", text);
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response.map(Full::new)
}

fn api_error(error: &Error) -> Draft {
    let mut body = Vec::with_capacity(32 + error.message().len());
    body.extend_from_slice(b"{\"code\":");
    body.extend_from_slice((error.code() as i32).to_string().as_bytes());
    body.extend_from_slice(b",\"message\":");
    quote(&mut body, error.message(), false);
    body.push(b'}');
    let mut response = api(status_of(error), body);
    if response.status() == StatusCode::UNAUTHORIZED
        && let Ok(message) = HeaderValue::from_str(error.message())
    {
        response.headers_mut().insert(WWW_AUTHENTICATE, message);
    }
    response
}

fn rpc_error(error: &Error) -> Draft {
    let mut message = Vec::with_capacity(2 + error.message().len());
    quote(&mut message, error.message(), true);
    let mut body = Vec::with_capacity(40 + 2 * message.len());
    body.extend_from_slice(b"{\"error\":");
    body.extend_from_slice(&message);
    body.extend_from_slice(b",\"message\":");
    body.extend_from_slice(&message);
    body.extend_from_slice(b",\"code\":");
    body.extend_from_slice((error.code() as i32).to_string().as_bytes());
    body.push(b'}');
    api(status_of(error), body)
}

fn api(status: StatusCode, body: Vec<u8>) -> Draft {
    let mut response = Draft::new(Bytes::from(body));
    *response.status_mut() = status;
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-cache, must-revalidate"));
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    *response.headers_mut() = headers;
    response
}

fn with_type(status: StatusCode, content_type: &'static str, text: &'static str) -> Draft {
    let mut response = Draft::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn closing(mut response: Draft) -> Draft {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn status_of(error: &Error) -> StatusCode {
    StatusCode::from_u16(error.code().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Appends `text` as a JSON string: escaped are `"`, `\` and what is below a space; with `for_html` also `<`, `>`, `&`, U+2028
/// and U+2029 (contract/README.md sections 3 and 8).
pub(super) fn quote(out: &mut Vec<u8>, text: &str, for_html: bool) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            c if c < ' ' || (for_html && matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}')) => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use kizuna_protocol::code::Code;

    fn body(response: &Draft) -> &str {
        std::str::from_utf8(response.body()).unwrap()
    }

    #[test]
    fn an_error_has_code_and_message_and_nothing_else() {
        let response = Failure::Api(Error::not_found("Not \"Found\" <é>\n\u{1}")).into_response();
        assert_eq!(body(&response), "{\"code\":5,\"message\":\"Not \\\"Found\\\" <é>\\n\\u0001\"}");
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()["cache-control"], "no-store, no-cache, must-revalidate");
        assert_eq!(response.headers()["vary"], "Accept-Encoding");
        assert!(!response.headers().contains_key("grpc-metadata-content-type"));
    }

    #[test]
    fn only_rest_routes_say_how_to_authenticate() {
        let refusal = || Error::unauthenticated("Auth token required");
        let response = Failure::Api(refusal()).into_response();
        assert_eq!(response.headers()["www-authenticate"], "Auth token required");
        let response = Failure::Rpc(refusal()).into_response();
        assert!(!response.headers().contains_key("www-authenticate"));
    }

    #[test]
    fn an_rpc_error_says_its_text_twice_and_is_safe_in_html() {
        let response = Failure::Rpc(Error::new(Code::Internal, "a<b>&\u{2028}")).into_response();
        let text = "\"a\\u003cb\\u003e\\u0026\\u2028\"";
        assert_eq!(body(&response), format!("{{\"error\":{text},\"message\":{text},\"code\":13}}"));
    }

    #[test]
    fn a_message_that_is_no_header_value_is_left_out_of_the_header() {
        let response = Failure::Api(Error::unauthenticated("no\nway")).into_response();
        assert_eq!(response.status(), 401);
        assert!(!response.headers().contains_key("www-authenticate"));
    }
}
