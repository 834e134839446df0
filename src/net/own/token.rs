//! `POST /oauth2/token`: the bridge as a token exchange (RFC 8693), and refresh (RFC 6749 section 6), for standard clients. Sessions
//! begin and go on by the same paths as on Nakama's routes.

use super::{OwnAnswer, OwnCall, form::Form};
use crate::{
    error::Error,
    features::{Client, Services, authenticate, session},
    identity::session::Kind,
    net::{
        credentials,
        respond::{self, Response},
    },
};
use hyper::{
    StatusCode,
    header::{HeaderValue, PRAGMA, WWW_AUTHENTICATE},
};
use kizuna_protocol::{api, code::Code};
use serde_json::{Value, json};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// What may be presented: all three are judged by the trust entries, not by what the client calls them.
const SUBJECT_TOKENS: [&str; 3] =
    [ACCESS_TOKEN, "urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:jwt"];

/// Why a request is refused (RFC 6749 section 5.2).
struct Refused {
    status: StatusCode,
    error: &'static str,
    description: String,
}

pub(super) fn token(call: OwnCall<'_>) -> OwnAnswer<'_> {
    Box::pin(async move { Ok(answer(&call).await.unwrap_or_else(Refused::into_response)) })
}

async fn answer(call: &OwnCall<'_>) -> Result<Response, Refused> {
    credentials::server_key(call.headers, call.services).map_err(|error| Refused {
        status: StatusCode::UNAUTHORIZED,
        error: "invalid_client",
        description: error.message().to_owned(),
    })?;
    let form = Form::read(call.headers, call.body).map_err(invalid_request)?;
    match form.one("grant_type").map_err(invalid_request)? {
        Some(EXCHANGE) => exchange(call.services, &call.client, &form).await,
        Some("refresh_token") => refresh(call.services, &call.client, &form).await,
        Some(_) => Err(refused("unsupported_grant_type", "Grant types are token-exchange and refresh_token.")),
        None => Err(invalid_request("Parameter grant_type is required.")),
    }
}

async fn exchange(services: &Services, client: &Client, form: &Form<'_>) -> Result<Response, Refused> {
    // With nobody trusted, a custom id is a plain text, and would sign in whoever names one.
    if !services.verifier.trusts_anybody() {
        return Err(refused("unsupported_grant_type", "No identity provider is trusted."));
    }
    let one = |name| form.one(name).map_err(invalid_request);
    let subject = one("subject_token")?.ok_or_else(|| invalid_request("Parameter subject_token is required."))?;
    if !one("subject_token_type")?.is_some_and(|kind| SUBJECT_TOKENS.contains(&kind)) {
        return Err(invalid_request("Parameter subject_token_type must be id_token, access_token or jwt, as a URN."));
    }
    if one("requested_token_type")?.is_some_and(|kind| kind != ACCESS_TOKEN) {
        return Err(invalid_request("Parameter requested_token_type can only be access_token, as a URN."));
    }
    if one("actor_token")?.is_some() || one("actor_token_type")?.is_some() {
        return Err(invalid_request("Acting for somebody else is not supported."));
    }
    if one("resource")?.is_some() || one("audience")?.is_some() {
        return Err(refused("invalid_target", "Sessions are for this server alone."));
    }
    if one("scope")?.is_some() {
        return Err(refused("invalid_scope", "Sessions have no scopes."));
    }
    let account = Some(api::AccountCustom { id: subject.to_owned(), ..Default::default() });
    let request = api::AuthenticateCustomRequest { account, ..Default::default() };
    let session = authenticate::authenticate_custom(services, client, request).await;
    // Section 2.2.2 of RFC 8693: a subject token that is not good is an invalid request.
    let session = session.map_err(|error| Refused::of(&error, "invalid_request"))?;
    Ok(granted(services, &session, json!({ "issued_token_type": ACCESS_TOKEN })))
}

async fn refresh(services: &Services, client: &Client, form: &Form<'_>) -> Result<Response, Refused> {
    let one = |name| form.one(name).map_err(invalid_request);
    let token = one("refresh_token")?.ok_or_else(|| invalid_request("Parameter refresh_token is required."))?;
    if one("scope")?.is_some() {
        return Err(refused("invalid_scope", "Sessions have no scopes."));
    }
    let vars =
        one("subject_token")?.map(|token| (session::IDENTITY_TOKEN.to_owned(), token.to_owned())).into_iter().collect();
    let request = api::SessionRefreshRequest { token: token.to_owned(), vars };
    let session = session::session_refresh(services, client, request).await;
    let session = session.map_err(|error| Refused::of(&error, "invalid_grant"))?;
    Ok(granted(services, &session, json!({})))
}

fn granted(services: &Services, session: &api::Session, mut answer: Value) -> Response {
    let claims = services.tokens.read(Kind::Session, &session.token).ok();
    let now = services.clock.unix_seconds();
    answer["access_token"] = json!(session.token);
    answer["refresh_token"] = json!(session.refresh_token);
    answer["token_type"] = json!("Bearer");
    answer["expires_in"] = json!(claims.map_or(0, |claims| claims.expires_unix.saturating_sub(now)));
    not_to_be_kept(respond::success(answer.to_string().into_bytes()))
}

impl Refused {
    /// What an operation of ours answers, in OAuth's words; `unfit` is the error for a token that is not good.
    fn of(error: &Error, unfit: &'static str) -> Self {
        let (status, name) = match error.code() {
            Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded => {
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
            }
            _ if error.is_ours() => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
            Code::InvalidArgument | Code::FailedPrecondition => (StatusCode::BAD_REQUEST, "invalid_request"),
            _ => (StatusCode::BAD_REQUEST, unfit),
        };
        Self { status, error: name, description: error.message().to_owned() }
    }

    fn into_response(self) -> Response {
        let description: String = self.description.chars().map(described).collect();
        let body = json!({ "error": self.error, "error_description": description });
        let mut response = not_to_be_kept(respond::success(body.to_string().into_bytes()));
        *response.status_mut() = self.status;
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"kizuna\""));
        }
        response
    }
}

/// Section 5.2 allows printable ASCII in a description, without quotes and backslashes; a hook may say more.
fn described(c: char) -> char {
    match c {
        '"' | '\\' => '\'',
        ' '..='~' => c,
        _ => '?',
    }
}

fn refused(error: &'static str, description: &str) -> Refused {
    Refused { status: StatusCode::BAD_REQUEST, error, description: description.to_owned() }
}

fn invalid_request(description: &str) -> Refused {
    refused("invalid_request", description)
}

/// Section 5.1 of RFC 6749, beside the `Cache-Control` that all answers have.
fn not_to_be_kept(mut response: Response) -> Response {
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_printable_ascii_whatever_a_hook_says() {
        let said: String = "No \"entry\"\n\u{2013} z\u{fc} \\".chars().map(described).collect();
        assert_eq!(said, "No 'entry'?? z? '");
    }
}
