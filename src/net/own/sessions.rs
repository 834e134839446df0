//! What other services ask about sessions: the keys that check them, and what one says (docs/sessions.md).

use super::{OwnAnswer, OwnCall, form::Form};
use crate::{
    error::Error,
    features::session,
    net::{credentials, respond},
};
use hyper::header::{CACHE_CONTROL, HeaderValue};
use serde_json::{Value, json};

/// `GET /.well-known/jwks.json`: the public keys of session tokens (RFC 7517 section 5).
pub(super) fn key_set(call: OwnCall<'_>) -> OwnAnswer<'_> {
    Box::pin(async move {
        let mut response = respond::success(call.services.tokens.key_set().as_bytes().to_vec());
        // Long enough to spare us, short enough that a key is known before it signs.
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
        Ok(response)
    })
}

/// `POST /v2/session/introspect`: what a session token says (RFC 7662), for services that hold a key of
/// `session.introspection_keys`. Whatever is not good is `{"active":false}` and no more.
pub(super) fn introspect(call: OwnCall<'_>) -> OwnAnswer<'_> {
    Box::pin(async move {
        let keys = &call.services.config.session.introspection_keys;
        if keys.is_empty() {
            return Err(Error::not_found("Not Found").into());
        }
        credentials::service_key(call.headers, keys)?;
        let form = Form::read(call.headers, call.body).map_err(Error::invalid_argument)?;
        let token = form.one("token").map_err(Error::invalid_argument)?;
        let token = token.ok_or_else(|| Error::invalid_argument("Parameter token is required."))?;
        let answer = match session::caller(call.services, call.client, token) {
            Ok((_, claims)) => described(&call.services.config.session.issuer, &claims),
            Err(_) => json!({ "active": false }),
        };
        Ok(respond::success(answer.to_string().into_bytes()))
    })
}

fn described(issuer: &str, claims: &crate::identity::session::SessionClaims) -> Value {
    let mut answer = json!({
        "active": true,
        "sub": claims.user_id.to_string(),
        "username": &*claims.username,
        "exp": claims.expires_unix,
        "iat": claims.issued_unix,
        "token_type": "Bearer",
    });
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            answer[name] = value;
        }
    };
    add("sid", claims.token_id.map(|id| json!(id.to_string())));
    add("iss", (!issuer.is_empty()).then(|| json!(issuer)));
    add("vars", (!claims.vars.is_empty()).then(|| json!(*claims.vars)));
    if let Some(origin) = &claims.origin {
        add("identity_entry", Some(json!(&*origin.entry)));
        add("auth_time", Some(json!(origin.proven_unix)));
        add("tenant", origin.tenant.as_deref().map(|tenant| json!(tenant)));
    }
    answer
}
