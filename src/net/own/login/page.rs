//! The pages: plain HTML that loads nothing but its own style, works without a script, and is framed by nobody.

use crate::net::respond::Response;
use bytes::Bytes;
use hyper::{
    StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY,
        SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};
use reqwest::Url;
use std::fmt::Write;

const STYLE: &str = include_str!("style.css");
/// Browsers hold `form-action` against redirects, too, and the form leads on to the provider. Providers on loopback have http.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' https: \
                      http://127.0.0.1:* http://localhost:*";

/// A text of somebody else's on its way into HTML.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            _ => f.write_char(c),
        })
    }
}

/// Where a player types the code that a device shows.
pub(super) fn ask_for_code(status: StatusCode, typed: &str, fault: &str) -> Response {
    let fault = match fault {
        "" => String::new(),
        fault => format!("<p class=\"fault\" role=\"alert\">{}</p>", Escaped(fault)),
    };
    let body = format!(
        "<h1>Sign in a device</h1><p>Type the code that the game shows on your device.</p>{fault}\
         <form method=\"post\" action=\"/bridge/device\"><label for=\"code\">Code</label>\
         <input id=\"code\" name=\"user_code\" value=\"{}\" required maxlength=\"16\" autocomplete=\"off\" \
         autocapitalize=\"characters\" spellcheck=\"false\" autofocus placeholder=\"BCDF-GHJK\">\
         <button>Continue</button></form>",
        Escaped(typed)
    );
    html(status, "Sign in a device", &body)
}

/// Asks whether the device is the player's own (RFC 8628 section 5.4).
pub(super) fn confirm_device(user_code: &str) -> Response {
    let code = Escaped(user_code);
    let body = format!(
        "<h1>Is this your device?</h1><p>The game on your device must show exactly this code:</p><output>{code}</output>\
         <p>Go on only if you have the device in front of you. If somebody sent you the code, they would play as you.</p>\
         <form method=\"post\" action=\"/bridge/device\"><input type=\"hidden\" name=\"user_code\" value=\"{code}\">\
         <input type=\"hidden\" name=\"confirm\" value=\"yes\"><button>Yes, sign in this device</button></form>\
         <a class=\"no\" href=\"/bridge/device\">No, this is another code</a>"
    );
    html(StatusCode::OK, "Is this your device?", &body)
}

/// The end of a device's sign-in.
pub(super) fn device_done() -> Response {
    let body =
        "<h1>You are signed in</h1><p>Go back to your device: the game goes on there. You can close this page.</p>";
    html(StatusCode::OK, "You are signed in", body)
}

/// What went wrong, in plain words.
pub(super) fn fault(status: StatusCode, what: &str) -> Response {
    let body = format!("<h1>Signing in did not work</h1><p role=\"alert\">{}</p>", Escaped(what));
    html(status, "Signing in did not work", &body)
}

pub(super) fn style() -> Response {
    let mut response = with_type(StatusCode::OK, "text/css; charset=utf-8", Bytes::from_static(STYLE.as_bytes()));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}

/// Sends the browser on. The address it leaves says something of the sign-in, so it is not passed on.
pub(super) fn redirect(location: &Url) -> Response {
    let mut response = with_type(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", Bytes::new());
    let Ok(location) = HeaderValue::from_str(location.as_str()) else {
        return fault(StatusCode::BAD_REQUEST, "The address to go on to cannot be used.");
    };
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// A cookie for the sign-in under way. `Lax`: it must come along when the provider sends the browser back. `""` deletes it.
pub(super) fn set_cookie(response: &mut Response, is_secure: bool, value: &str, seconds: u64) {
    let seconds = if value.is_empty() { 0 } else { seconds };
    let (name, place) = (cookie_name(is_secure), if is_secure { "Path=/; Secure" } else { "Path=/bridge" });
    let cookie = format!("{name}={value}; {place}; HttpOnly; SameSite=Lax; Max-Age={seconds}");
    if let Ok(mut cookie) = HeaderValue::from_str(&cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}

/// The prefix makes browsers refuse it from subdomains and without https (RFC 6265bis section 4.1.3.2). On loopback there is no
/// https.
pub(super) fn cookie_name(is_secure: bool) -> &'static str {
    if is_secure { "__Host-kizuna-login" } else { "kizuna-login" }
}

fn html(status: StatusCode, title: &str, body: &str) -> Response {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <link rel=\"stylesheet\" href=\"/bridge/style.css\">\n<main><section>{body}</section></main>\n</html>\n"
    );
    with_type(status, "text/html; charset=utf-8", page.into())
}

fn with_type(status: StatusCode, kind: &'static str, body: Bytes) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let fixed: [(HeaderName, &'static str); 6] = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: with that, browsers hide the origin of a form from its own server.
        (REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(response: &Response) -> &str {
        std::str::from_utf8(response.body()).unwrap()
    }

    #[test]
    fn what_somebody_typed_stays_text() {
        for page in [ask_for_code(StatusCode::OK, "\"><script>", "<b>"), fault(StatusCode::OK, "'<script>&")] {
            assert!(!body(&page).contains("<script>") && !body(&page).contains("<b>"), "{}", body(&page));
        }
        assert!(body(&confirm_device("\"'>")).contains("value=\"&quot;&#39;&gt;\""));
    }

    #[test]
    fn no_page_has_a_script_or_may_be_framed() {
        let page = device_done();
        let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe") && !policy.contains("script-src"));
        assert_eq!(page.headers()[CACHE_CONTROL], "no-store");
    }

    #[test]
    fn the_cookie_is_bound_as_tightly_as_the_place_allows() {
        let cookie = |is_secure, value| {
            let mut response = device_done();
            set_cookie(&mut response, is_secure, value, 600);
            response.headers()[SET_COOKIE].to_str().unwrap().to_owned()
        };
        let secure = "__Host-kizuna-login=v; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600";
        assert_eq!(cookie(true, "v"), secure);
        assert_eq!(cookie(false, ""), "kizuna-login=; Path=/bridge; HttpOnly; SameSite=Lax; Max-Age=0");
    }
}
