//! Tokens without a sign-in, for tests, scripts and people in a hurry: `POST /token` with a name.

use super::{
    http::{Answer, RequestBody, json_answer, plain},
    tokens::{DevProvider, TokenUse},
};
use crate::{error::Error, net::params::Params};
use hyper::StatusCode;
use serde_json::json;

/// What a request for a token may say, as a form, as JSON or in the query.
#[derive(Default)]
struct Wanted {
    user: String,
    kind: Option<TokenUse>,
    lifetime: Option<u64>,
    as_text: bool,
}

pub(super) fn mint(request: &RequestBody, provider: &DevProvider) -> Result<Answer, Error> {
    let wanted = wanted(request)?;
    if provider.grants().is_disabled(&wanted.user) {
        return Err(Error::permission_denied("This user is disabled."));
    }
    let mint = |kind| provider.mint(&wanted.user, kind, wanted.lifetime);
    let (access, id) = (mint(TokenUse::Access)?, mint(TokenUse::Id)?);
    let asked = if wanted.kind == Some(TokenUse::Id) { &id } else { &access };
    if wanted.as_text {
        return Ok(plain(StatusCode::OK, asked.clone()));
    }
    Ok(json_answer(
        StatusCode::OK,
        &json!({
            "token": asked,
            "access_token": access,
            "id_token": id,
            "token_type": "Bearer",
            "subject": DevProvider::subject(&wanted.user),
            "curl": provider.curl_line(&wanted.user),
        }),
    ))
}

fn wanted(request: &RequestBody) -> Result<Wanted, Error> {
    let mut wanted = Wanted::default();
    let read = if request.is_json { Params::parse_json } else { Params::parse };
    for said in [Params::parse(request.query.as_bytes())?, read(&request.body)?] {
        said.pairs().try_for_each(|(name, value)| wanted.set(name, value))?;
    }
    Ok(wanted)
}

impl Wanted {
    fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        match name {
            "user" => value.clone_into(&mut self.user),
            "use" => {
                self.kind = Some(match value {
                    "access" => TokenUse::Access,
                    "id" => TokenUse::Id,
                    _ => return Err(Error::invalid_argument("use must be access or id.")),
                });
            }
            "ttl" => {
                let seconds = value.parse().map_err(|_| Error::invalid_argument("ttl must be a number of seconds."))?;
                self.lifetime = Some(seconds);
            }
            "format" => self.as_text = value == "text",
            _ => {}
        }
        Ok(())
    }
}
