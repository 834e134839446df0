//! The routes of the sign-in page. Browsers get pages, games get JSON.

mod page;

use super::{OwnAnswer, OwnCall};
use crate::{
    error::Error,
    features::login::{
        self, Answered, Begun, Landing, Wish,
        device::{self, NotYet},
    },
    net::{
        credentials,
        params::Params,
        respond::{self, Failure, Response},
    },
};
use hyper::{
    StatusCode,
    header::{CONTENT_TYPE, COOKIE, ORIGIN},
};
use kizuna_protocol::{api, json::JsonMessage};
use serde_json::{Value, json};

/// The grant type of a device that asks for its session (RFC 8628 section 3.4).
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// `GET /bridge/login`: a game sends its player here.
pub(super) fn begin(call: OwnCall<'_>) -> OwnAnswer<'_> {
    Box::pin(async move {
        let begun = async {
            let query = once(query(&call)?)?;
            let wish = Wish {
                client: query.get("client"),
                return_to: query.get("return_to"),
                state: query.get("state"),
                code_challenge: query.get("code_challenge"),
                code_challenge_method: query.get("code_challenge_method"),
            };
            login::begin(call.services, wish).await
        };
        for_browser(&call, begun.await.map(|begun| sent_on(&call, &begun)))
    })
}

/// `GET /bridge/callback`: the provider sends the browser back.
pub(super) fn callback(call: OwnCall<'_>) -> OwnAnswer<'_> {
    Box::pin(async move {
        let landed = async {
            let query = once(query(&call)?)?;
            let answer = Answered {
                state: query.get("state"),
                code: query.get("code"),
                error: query.get("error"),
                iss: query.get("iss"),
                cookie: cookie(&call),
            };
            login::finish(call.services, &call.client, answer).await
        };
        let mut answer = for_browser(
            &call,
            landed.await.map(|landing| match landing {
                Landing::Return(url) => page::redirect(&url),
                Landing::Device => page::device_done(),
            }),
        )?;
        page::set_cookie(&mut answer, is_secure(&call), "", 0);
        Ok(answer)
    })
}

/// `GET /bridge/device`: where a player types a device's code.
pub(super) fn device_page(call: OwnCall<'_>) -> OwnAnswer<'_> {
    Box::pin(async move {
        let query = query(&call).map(|query| query.get("user_code").unwrap_or_default().to_owned());
        for_browser(&call, query.map(|typed| page::ask_for_code(StatusCode::OK, &typed, "")))
    })
}

/// `POST /bridge/device`: a code was typed, or confirmed.
pub(super) fn device_typed(call: OwnCall<'_>) -> OwnAnswer<'_> {
    Box::pin(async move {
        let answer = async {
            of_own_page(&call)?;
            let form = once(Params::parse(call.body)?)?;
            let (typed, from) = (form.get("user_code").unwrap_or_default(), call.client.address);
            let confirmed = form.get("confirm") == Some("yes");
            let found = match confirmed {
                true => device::confirm(call.services, from, typed).await.map(|begun| sent_on(&call, &begun)),
                false => device::look_up(call.services, from, typed).map(|code| page::confirm_device(&code)),
            };
            Ok(found.unwrap_or_else(|error| page::ask_for_code(status(&error), typed, error.message())))
        };
        for_browser(&call, answer.await)
    })
}

/// `GET /bridge/style.css`.
pub(super) fn style(_: OwnCall<'_>) -> OwnAnswer<'_> {
    Box::pin(async { Ok(page::style()) })
}

/// `POST /bridge/device_authorization`: a device without a browser begins (RFC 8628 section 3.1).
pub(super) fn device_begin(call: OwnCall<'_>) -> OwnAnswer<'_> {
    Box::pin(async move {
        let form = of_game(&call)?;
        let begun = device::begin(call.services, form.get("client"))?;
        let typed = begun.user_code.as_str();
        let answer = json!({
            "device_code": begun.device_code,
            "user_code": typed,
            "verification_uri": begun.verification_uri,
            "verification_uri_complete": format!("{}?user_code={typed}", begun.verification_uri),
            "expires_in": begun.expires_in,
            "interval": begun.interval,
        });
        Ok(respond::success(answer.to_string().into_bytes()))
    })
}

/// `POST /bridge/session`: a game takes its session, for the code that it was handed or as a device that asks again.
pub(super) fn session(call: OwnCall<'_>) -> OwnAnswer<'_> {
    Box::pin(async move {
        let form = of_game(&call)?;
        if let Some(device_code) = form.get("device_code") {
            if form.get("grant_type").is_some_and(|grant| grant != DEVICE_GRANT) {
                return Err(Error::invalid_argument("grant_type is not that of devices.").into());
            }
            return device_session(&call, device_code).await;
        }
        let (Some(code), Some(verifier)) = (form.get("code"), form.get("code_verifier")) else {
            return Err(Error::invalid_argument("code and code_verifier, or device_code, are needed.").into());
        };
        Ok(session_answer(&login::redeem(call.services, &call.client, code, verifier).await?))
    })
}

async fn device_session(call: &OwnCall<'_>, device_code: &str) -> Result<Response, Failure> {
    let (error, message) = match device::poll(call.services, &call.client, device_code).await {
        Ok(session) => return Ok(session_answer(&session)),
        Err(NotYet::Failed(error)) => return Err(error.into()),
        Err(NotYet::Pending) => ("authorization_pending", "The player has not signed in yet."),
        Err(NotYet::SlowDown) => ("slow_down", "Asked too early; leave five seconds more between two questions."),
        Err(NotYet::Denied) => ("access_denied", "The player was not signed in."),
        Err(NotYet::Expired) => ("expired_token", "The code is too old. Begin again."),
    };
    // RFC 8628 section 3.5 names the error; the rest is the shape of every error of ours.
    let refusal = Error::invalid_argument(message);
    let mut body = json!({ "error": error, "error_description": message });
    body["code"] = Value::from(refusal.code() as i32);
    body["message"] = Value::from(message);
    let mut answer = respond::success(body.to_string().into_bytes());
    *answer.status_mut() = status(&refusal);
    Ok(answer)
}

fn session_answer(session: &api::Session) -> Response {
    let mut body = Vec::new();
    session.write_json(&mut body);
    respond::success(body)
}

fn query(call: &OwnCall<'_>) -> Result<Params, Error> {
    Params::parse(call.query.unwrap_or_default().as_bytes())
}

/// RFC 6749 section 3.1: a parameter that stands there twice means nothing.
fn once(params: Params) -> Result<Params, Error> {
    if params.repeats() {
        return Err(Error::invalid_argument("A parameter stands there twice."));
    }
    Ok(params)
}

/// What a game posts, as a form or as JSON, with the server key that all games hold.
fn of_game(call: &OwnCall<'_>) -> Result<Params, Error> {
    credentials::server_key(call.headers, call.services)?;
    if !call.services.login.is_on() {
        return Err(off());
    }
    // As in Nakama's API, what is not said to be a form is JSON.
    let is_form = call.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(FORM));
    once(if is_form || call.body.is_empty() { Params::parse(call.body)? } else { Params::parse_json(call.body)? })
}

/// A form that another site's page sends would sign in that site's device as the player: only our own page's counts.
fn of_own_page(call: &OwnCall<'_>) -> Result<(), Error> {
    let origin = call.headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    if origin == Some(call.services.login.public_url()) {
        return Ok(());
    }
    Err(Error::permission_denied("This page must be used from its own address."))
}

/// The value of our cookie. Of several, none: a browser has one.
fn cookie<'c>(call: &OwnCall<'c>) -> Option<&'c str> {
    let name = page::cookie_name(is_secure(call));
    let all = call.headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok());
    let mut own = all.flat_map(|header| header.split(';')).filter_map(|pair| {
        let (own, value) = pair.trim().split_once('=')?;
        (own == name).then_some(value)
    });
    own.next().filter(|_| own.next().is_none())
}

fn is_secure(call: &OwnCall<'_>) -> bool {
    call.services.login.public_url().starts_with("https:")
}

fn sent_on(call: &OwnCall<'_>, begun: &Begun) -> Response {
    let mut answer = page::redirect(&begun.location);
    page::set_cookie(&mut answer, is_secure(call), &begun.cookie, call.services.login.sign_in_sec());
    answer
}

/// A page, whatever happened.
fn for_browser(call: &OwnCall<'_>, answer: Result<Response, Error>) -> Result<Response, Failure> {
    if !call.services.login.is_on() {
        return Err(off().into());
    }
    answer.or_else(|error| match error.is_ours() {
        true => Err(error.into()),
        false => Ok(page::fault(status(&error), error.message())),
    })
}

fn off() -> Error {
    Error::not_found("Not Found")
}

fn status(error: &Error) -> StatusCode {
    StatusCode::from_u16(error.code().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
