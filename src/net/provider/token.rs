//! The token endpoint (RFC 6749 section 3.2; OpenID Connect Core 1.0 sections 3.1.3 and 12): codes and refresh tokens in, tokens
//! out. The one client is public and names itself by `client_id`.

use super::{
    grants::{InvalidGrant, SignedIn},
    http::{Answer, json_answer},
    tokens::{CLIENT_ID, DevProvider, TokenUse},
};
use crate::{error::Error, net::params::Params};
use hyper::StatusCode;
use serde_json::json;

/// RFC 6749 section 5.2: the error's name, and words for a developer.
struct Refused(&'static str, &'static str);

impl From<InvalidGrant> for Refused {
    fn from(InvalidGrant(why): InvalidGrant) -> Self {
        Self("invalid_grant", why)
    }
}

/// Answers a request that has a `grant_type`.
pub(super) fn token(form: &Params, provider: &DevProvider) -> Result<Answer, Error> {
    match granted(form, provider) {
        Ok((signed_in, refresh_token)) => tokens(provider, &signed_in, &refresh_token),
        Err(Refused(error, why)) => {
            let status = if error == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
            Ok(json_answer(status, &json!({ "error": error, "error_description": why })))
        }
    }
}

fn granted(form: &Params, provider: &DevProvider) -> Result<(SignedIn, String), Refused> {
    if form.repeats() {
        return Err(Refused("invalid_request", "A parameter stands there twice."));
    }
    if form.get("client_id") != Some(CLIENT_ID) {
        return Err(Refused("invalid_client", "client_id must be kizuna-dev."));
    }
    let needed = |name, why| form.get(name).ok_or(Refused("invalid_request", why));
    match form.get("grant_type") {
        Some("authorization_code") => {
            let code = needed("code", "code is missing.")?;
            let redirect_uri = needed("redirect_uri", "redirect_uri is missing.")?;
            let verifier = needed("code_verifier", "code_verifier is missing.")?;
            Ok(provider.exchange(code, redirect_uri, verifier)?)
        }
        Some("refresh_token") => Ok(provider.refresh(needed("refresh_token", "refresh_token is missing.")?)?),
        _ => Err(Refused("unsupported_grant_type", "grant_type must be authorization_code or refresh_token.")),
    }
}

fn tokens(provider: &DevProvider, signed_in: &SignedIn, refresh_token: &str) -> Result<Answer, Error> {
    Ok(json_answer(
        StatusCode::OK,
        &json!({
            "access_token": provider.mint_for(signed_in, TokenUse::Access)?,
            "id_token": provider.mint_for(signed_in, TokenUse::Id)?,
            "refresh_token": refresh_token,
            "token_type": "Bearer",
            "expires_in": provider.token_expiry_sec(),
        }),
    ))
}
