//! Tokens without a sign-in, for tests, scripts and people in a hurry: `POST /token` with a name.

use super::{
    form::Form,
    http::{Answer, RequestBody, json_answer, plain},
    tokens::{DevProvider, TokenUse},
};
use crate::error::Error;
use hyper::StatusCode;
use serde_json::{Value, json};

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
    wanted.read_form(&Form::parse(request.query.as_bytes())?)?;
    if request.is_json {
        wanted.read_json(&request.body)?;
    } else {
        wanted.read_form(&Form::parse(&request.body)?)?;
    }
    Ok(wanted)
}

impl Wanted {
    fn read_form(&mut self, form: &Form) -> Result<(), Error> {
        form.pairs().try_for_each(|(name, value)| self.set(name, value))
    }

    fn read_json(&mut self, body: &[u8]) -> Result<(), Error> {
        let object: serde_json::Map<String, Value> =
            serde_json::from_slice(body).map_err(|_| Error::invalid_argument("Body must be a JSON object."))?;
        object.iter().try_for_each(|(name, value)| match value {
            Value::String(text) => self.set(name, text),
            other => self.set(name, &other.to_string()),
        })
    }

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
