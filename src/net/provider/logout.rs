//! Disabling users and ending their sessions, told to the game server by OpenID Connect Back-Channel Logout 1.0.

use super::{
    http::{Answer, json_answer},
    tokens::{CLIENT_ID, DevProvider},
};
use crate::{error::Error, net::params::Params};
use hyper::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

/// For one logout token to be taken.
const DELIVERY_TIME: Duration = Duration::from_secs(5);
/// Seconds that a logout token is good for (section 2.4 recommends two minutes at most).
const LIFETIME_SEC: i64 = 120;
/// The one member of `events` (section 2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Where the game server takes logout tokens.
const RECEIVER: &str = "/bridge/backchannel-logout";

/// `POST /logout`: ends all sessions of `user`, or the one named by `sid`.
pub(super) async fn logout(form: &Params, provider: &DevProvider) -> Result<Answer, Error> {
    let user = user(form)?;
    let session = form.get("sid").map(str::parse).transpose();
    let session: Option<Uuid> = session.map_err(|_| Error::invalid_argument("sid must be a UUID."))?;
    end(user, session, provider).await
}

/// `POST /disable`: no more sign-ins and tokens for `user`; its sessions end.
pub(super) async fn disable(form: &Params, provider: &DevProvider) -> Result<Answer, Error> {
    let user = user(form)?;
    if !provider.grants().disable(user) {
        return Err(Error::unavailable("Too many users are disabled; enable one."));
    }
    end(user, None, provider).await
}

/// `POST /enable`: takes a `disable` back.
pub(super) fn enable(form: &Params, provider: &DevProvider) -> Result<Answer, Error> {
    provider.grants().enable(user(form)?);
    Ok(json_answer(StatusCode::OK, &json!({})))
}

fn user(form: &Params) -> Result<&str, Error> {
    let user = form.get("user").unwrap_or_default();
    DevProvider::judge_name(user)?;
    Ok(user)
}

async fn end(user: &str, session: Option<Uuid>, provider: &DevProvider) -> Result<Answer, Error> {
    let ended = provider.grants().end(user, session);
    let token = provider.logout_token(user, session)?;
    let told = match provider.tell(&token).await {
        Ok(status) => json!({ "status": status }),
        Err(why) => json!({ "error": why }),
    };
    let subject = DevProvider::subject(user);
    Ok(json_answer(StatusCode::OK, &json!({ "subject": subject, "sessions_ended": ended, "back_channel": told })))
}

impl DevProvider {
    /// A logout token (section 2.4) for one session of `user`, or for all of them.
    ///
    /// # Errors
    /// It could not be signed.
    pub fn logout_token(&self, user: &str, session: Option<Uuid>) -> Result<String, Error> {
        let now = self.clock().unix_seconds();
        let mut claims = json!({
            "iss": self.issuer(),
            "sub": Self::subject(user),
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now.saturating_add(LIFETIME_SEC),
            "jti": self.entropy().uuid().to_string(),
            "events": { EVENT: {} },
        });
        if let Some(session) = session {
            claims["sid"] = Value::String(session.to_string());
        }
        self.sign_logout(&claims)
    }

    /// POSTs a logout token to the game server (section 2.5): the status of the answer, or why there is none.
    async fn tell(&self, token: &str) -> Result<u16, String> {
        let Some(server) = self.server_url() else {
            return Err("no game server is known".to_owned());
        };
        // Two parts of base64url and dots: nothing to escape in a form.
        let request = self
            .back_channel()
            .post(format!("{server}{RECEIVER}"))
            .header("content-type", "application/x-www-form-urlencoded")
            .timeout(DELIVERY_TIME)
            .body(format!("logout_token={token}"));
        let answer = request.send().await.map_err(|error| error.without_url().to_string())?;
        Ok(answer.status().as_u16())
    }
}
