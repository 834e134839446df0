//! `POST /bridge/revoke`, `POST /bridge/backchannel-logout` and `POST /bridge/events` (docs/revocation.md).

use super::{OwnAnswer, OwnCall, form::Form};
use crate::{
    audit::Event,
    error::Error,
    features::revocation::{EventRefused, revoke_by_admin, take_event},
    identity::{EventKind, Step},
    net::{
        credentials,
        respond::{self, Failure, Response},
    },
};
use hyper::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};

/// Ends sessions for whoever holds `bridge.admin_key`; answers how many sockets were closed.
pub(super) fn revoke(call: OwnCall<'_>) -> OwnAnswer<'_> {
    Box::pin(async move {
        let key = call.services.config.bridge.admin_key.expose();
        if key.is_empty() {
            return Err(not_found());
        }
        if let Err(error) = credentials::admin(call.headers, key) {
            call.services.audit.record(Event::AdminRefused { address: call.client.address });
            return Err(error.into());
        }
        let revoked = revoke_by_admin(call.services, call.body).await?;
        Ok(respond::success(format!("{{\"sockets_closed\":{}}}", revoked.sockets_closed).into_bytes()))
    })
}

/// OpenID Connect Back-Channel Logout 1.0, sections 2.5 and 2.8.
pub(super) fn backchannel_logout(call: OwnCall<'_>) -> OwnAnswer<'_> {
    Box::pin(async move {
        if !call.services.verifier.takes_events(EventKind::Logout) {
            return Err(not_found());
        }
        let Ok(form) = Form::read(call.headers, call.body) else {
            return Ok(logout_refused("the body must be a form"));
        };
        let Ok(Some(token)) = form.one("logout_token") else {
            return Ok(logout_refused("logout_token must be there once"));
        };
        match take_event(call.services, &call.client, EventKind::Logout, token, None).await {
            Ok(()) => Ok(respond::success(Vec::new())),
            Err(EventRefused::Token(_)) => Ok(logout_refused("the logout token is refused")),
            Err(EventRefused::Replayed) => Ok(logout_refused("the logout token was used before")),
            Err(EventRefused::Later(error)) => Err(error.into()),
        }
    })
}

/// Push delivery of security event tokens (RFC 8935 section 2).
pub(super) fn events(call: OwnCall<'_>) -> OwnAnswer<'_> {
    Box::pin(async move {
        if !call.services.verifier.takes_events(EventKind::SharedSignals) {
            return Err(not_found());
        }
        if !media_type_is(call.headers, "application/secevent+jwt") {
            return Ok(event_refused("invalid_request", "the content type must be application/secevent+jwt"));
        }
        let Ok(token) = std::str::from_utf8(call.body) else {
            return Ok(event_refused("invalid_request", "the body is no token"));
        };
        let authorization = call.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        match take_event(call.services, &call.client, EventKind::SharedSignals, token.trim_end(), authorization).await {
            // Sent again because our answer was lost: it has been heard (RFC 8935 section 2.2).
            Ok(()) | Err(EventRefused::Replayed) => Ok(respond::empty(StatusCode::ACCEPTED)),
            Err(EventRefused::Token(reason)) => Ok(match reason.step() {
                // Also said to a sender that has not shown what it was given: who may send is not to be told.
                Step::Issuer => event_refused("invalid_issuer", "the issuer is not trusted here"),
                Step::Client => event_refused("invalid_audience", "the token is for somebody else, or of another kind"),
                Step::Signature | Step::Algorithm => event_refused("invalid_key", "the signature is not accepted"),
                _ => event_refused("invalid_request", "the token is not accepted"),
            }),
            Err(EventRefused::Later(error)) => Err(error.into()),
        }
    })
}

fn not_found() -> Failure {
    Failure::Api(Error::not_found("Not Found"))
}

/// The media type itself, without its parameters.
fn media_type_is(headers: &HeaderMap, wanted: &str) -> bool {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    given.and_then(|text| text.split(';').next()).is_some_and(|text| text.trim().eq_ignore_ascii_case(wanted))
}

fn logout_refused(what: &str) -> Response {
    refused(format!("{{\"error\":\"invalid_request\",\"error_description\":\"{what}\"}}"))
}

/// RFC 8935 section 2.3.
fn event_refused(err: &str, description: &str) -> Response {
    refused(format!("{{\"err\":\"{err}\",\"description\":\"{description}\"}}"))
}

fn refused(json: String) -> Response {
    let mut response = respond::success(json.into_bytes());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}
