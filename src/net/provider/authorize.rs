//! The authorization endpoint (RFC 6749 section 3.1): the page on which anybody signs in under any name, and the way back with a
//! code. Redirects lead to loopback addresses only.

use super::{
    grants::Terms,
    http::{Answer, html, plain},
    tokens::{CLIENT_ID, DevProvider},
};
use crate::{error::Error, net::params::Params};
use hyper::{
    StatusCode,
    header::{CONTENT_SECURITY_POLICY, HeaderValue, LOCATION},
};
use reqwest::Url;

const PAGE: &str = include_str!("sign_in.html");
/// Browsers hold `form-action` against the redirect after the form too, hence any http address.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action http:; frame-ancestors 'none'";
/// What the page's form carries on.
const CARRIED: [&str; 8] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
];

/// A request that may be answered by a redirect.
struct Asked {
    back: Url,
    redirect_uri: String,
    state: Option<String>,
}

/// `GET /authorize`: the page, or what is wrong with the request.
pub(super) fn show(query: &Params, issuer: &str) -> Answer {
    let asked = match Asked::read(query) {
        Ok(asked) => asked,
        Err(why) => return plain(StatusCode::BAD_REQUEST, why),
    };
    match terms(query, &asked) {
        Ok(_) if query.get("prompt") == Some("none") => asked.refused("login_required", issuer),
        Ok(_) => page(query, ""),
        Err(error) => asked.refused(error, issuer),
    }
}

/// `POST /authorize`: somebody gave a name.
pub(super) fn sign_in(form: &Params, provider: &DevProvider) -> Answer {
    let asked = match Asked::read(form) {
        Ok(asked) => asked,
        Err(why) => return plain(StatusCode::BAD_REQUEST, why),
    };
    let terms = match terms(form, &asked) {
        Ok(terms) => terms,
        Err(error) => return asked.refused(error, provider.issuer()),
    };
    match provider.sign_in(form.get("user").unwrap_or_default(), terms) {
        Ok(Some(code)) => asked.answer(&[("code", &code)], provider.issuer()),
        Ok(None) => page(form, "This user is disabled."),
        Err(fault) => page(form, fault.message()),
    }
}

impl Asked {
    /// What must be right before a redirect is answered at all (RFC 6749 section 4.1.2.1).
    fn read(form: &Params) -> Result<Self, &'static str> {
        if form.repeats() {
            return Err("A parameter stands there twice.");
        }
        if form.get("client_id") != Some(CLIENT_ID) {
            return Err("client_id must be kizuna-dev.");
        }
        let redirect_uri = form.get("redirect_uri").ok_or("redirect_uri is missing.")?.to_owned();
        let back = Url::parse(&redirect_uri).ok().filter(is_loopback_redirect);
        let back = back.ok_or("redirect_uri must be an http address on loopback, without a fragment.")?;
        Ok(Self { back, redirect_uri, state: form.get("state").map(str::to_owned) })
    }

    fn refused(&self, error: &str, issuer: &str) -> Answer {
        self.answer(&[("error", error)], issuer)
    }

    /// RFC 6749 section 4.1.2, with `iss` (RFC 9207 section 2).
    fn answer(&self, said: &[(&str, &str)], issuer: &str) -> Answer {
        let mut back = self.back.clone();
        back.query_pairs_mut()
            .extend_pairs(said)
            .extend_pairs(self.state.iter().map(|state| ("state", state)))
            .append_pair("iss", issuer);
        let mut answer = plain(StatusCode::SEE_OTHER, "");
        match HeaderValue::from_str(back.as_str()) {
            Ok(location) => answer.headers_mut().insert(LOCATION, location),
            Err(_) => return plain(StatusCode::BAD_REQUEST, "redirect_uri cannot stand in a header."),
        };
        answer
    }
}

fn is_loopback_redirect(url: &Url) -> bool {
    url.scheme() == "http" && url.username().is_empty() && url.fragment().is_none() && crate::config::is_loopback(url)
}

/// What the request fixes for its code, or the error's name (RFC 6749 section 4.1.2.1).
fn terms(form: &Params, asked: &Asked) -> Result<Terms, &'static str> {
    if form.get("response_type") != Some("code") {
        return Err("unsupported_response_type");
    }
    if !form.get("scope").is_some_and(|scope| scope.split(' ').any(|scope| scope == "openid")) {
        return Err("invalid_scope");
    }
    let challenge = form.get("code_challenge").filter(|challenge| challenge.len() == 43);
    let (Some(challenge), Some("S256"), Some("query") | None) =
        (challenge, form.get("code_challenge_method"), form.get("response_mode"))
    else {
        return Err("invalid_request");
    };
    Ok(Terms {
        redirect_uri: asked.redirect_uri.clone(),
        challenge: challenge.to_owned(),
        nonce: form.get("nonce").map(str::to_owned),
    })
}

fn page(form: &Params, fault: &str) -> Answer {
    let hidden = CARRIED.iter().filter_map(|name| form.get(name).map(|value| (name, escaped(value))));
    let hidden: String =
        hidden.map(|(name, value)| format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">")).collect();
    let user = form.get("user").or_else(|| form.get("login_hint")).unwrap_or_default();
    // The fixed words first: what the request said may look like a place to fill.
    let page =
        PAGE.replace("{fault}", &escaped(fault)).replace("{user}", &escaped(user)).replacen("{hidden}", &hidden, 1);
    let mut answer = html(page);
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    answer
}

/// Text for an element or a quoted attribute. Braces too, so that what is filled in holds no place of its own.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match c {
            '&' | '<' | '>' | '"' | '\'' | '{' | '}' => escaped.push_str(&format!("&#{};", u32::from(c))),
            _ => escaped.push(c),
        }
        escaped
    })
}

impl DevProvider {
    /// A code for a user who signs in; `None`: disabled.
    fn sign_in(&self, user: &str, terms: Terms) -> Result<Option<String>, Error> {
        Self::judge_name(user)?;
        Ok(self.grants().sign_in(user, terms, self.clock(), self.entropy()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_to_loopback_only() {
        for good in ["http://127.0.0.1:9/back", "http://localhost/", "http://[::1]:80/x?y=z"] {
            assert!(is_loopback_redirect(&Url::parse(good).unwrap()), "{good}");
        }
        for bad in ["http://example.com/", "https://127.0.0.1/", "http://127.0.0.1/#x", "http://a@127.0.0.1/", "app:/x"]
        {
            assert!(!is_loopback_redirect(&Url::parse(bad).unwrap()), "{bad}");
        }
    }

    #[test]
    fn what_the_request_says_stays_text() {
        assert_eq!(escaped("\"><b>'&{user}"), "&#34;&#62;&#60;b&#62;&#39;&#38;&#123;user&#125;");
    }
}
