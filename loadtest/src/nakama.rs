//! What the harness says to a server: signing in, reading the account, opening a socket.

use crate::{http::HttpConnection, payload::Format, stats::Fault, target::Target};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue},
};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Error, protocol::WebSocketConfig},
};
use uuid::Uuid;

/// An open socket.
pub type Socket = WebSocketStream<TcpStream>;

/// How much memory a socket's buffers get.
#[derive(Clone, Copy, Debug)]
pub enum Buffers {
    /// For sockets that only wait.
    Small,
    /// For sockets that are busy: fewer system calls.
    Large,
}

/// What a player has after signing in.
#[derive(Clone, Debug)]
pub struct Session {
    /// The session token.
    pub token: String,
    /// The refresh token; empty when there was none.
    pub refresh_token: String,
}

impl Session {
    /// Whose session it is: the claim `uid`, which is not judged here.
    pub fn user_id(&self) -> Option<Uuid> {
        let payload = URL_SAFE_NO_PAD.decode(self.token.split('.').nth(1)?).ok()?;
        text_field(&payload, "uid")?.parse().ok()
    }
}

/// The server's interface, with what all calls share.
#[derive(Clone, Debug)]
pub struct Api {
    /// The server.
    pub target: Target,
    server_key: HeaderValue,
    host: HeaderValue,
}

impl Api {
    /// Speaks to `target` with `server_key`.
    ///
    /// # Errors
    /// The host cannot stand in a header.
    pub fn new(target: Target, server_key: &str) -> Result<Self, String> {
        let basic = format!("Basic {}", STANDARD.encode(format!("{server_key}:")));
        let mut server_key = HeaderValue::from_str(&basic).map_err(|error| error.to_string())?;
        server_key.set_sensitive(true);
        let host = HeaderValue::from_str(&target.base.authority).map_err(|error| error.to_string())?;
        Ok(Self { target, server_key, host })
    }

    /// Signs in with `body`, the account of an `authenticate/custom` request, and returns the session token. Creates the
    /// account when there is none.
    ///
    /// # Errors
    /// The network's, or `http STATUS message`.
    pub async fn login(&self, http: &mut HttpConnection, body: Bytes) -> Result<String, Fault> {
        self.sign_in(http, body).await.map(|session| session.token)
    }

    /// As [`Api::login`], with all that is needed to end the session again.
    ///
    /// # Errors
    /// The network's, or `http STATUS message`.
    pub async fn sign_in(&self, http: &mut HttpConnection, body: Bytes) -> Result<Session, Fault> {
        let answer = accepted(self.authenticate(http, body).await?)?;
        let token = text_field(&answer, "token").ok_or_else(|| Fault::new("answer without a token"))?;
        Ok(Session { token, refresh_token: text_field(&answer, "refresh_token").unwrap_or_default() })
    }

    /// Ends a session before its time.
    ///
    /// # Errors
    /// The network's, or `http STATUS message`.
    pub async fn log_out(&self, http: &mut HttpConnection, session: &Session) -> Result<(), Fault> {
        let bearer = HeaderValue::try_from(format!("Bearer {}", session.token));
        let bearer = bearer.map_err(|_| Fault::new("a token that cannot stand in a header"))?;
        let body = json!({ "token": session.token, "refresh_token": session.refresh_token });
        accepted(self.post(http, "/v2/session/logout", &bearer, body.to_string().into()).await?).map(drop)
    }

    /// The answer to `body`, whatever it is, as the account of an `authenticate/custom` request.
    ///
    /// # Errors
    /// The network's.
    pub async fn authenticate(&self, http: &mut HttpConnection, body: Bytes) -> Result<(StatusCode, Bytes), Fault> {
        self.post(http, "/v2/account/authenticate/custom?create=true", &self.server_key, body).await
    }

    /// The answer to a POST of JSON.
    ///
    /// # Errors
    /// The network's.
    pub async fn post(
        &self,
        http: &mut HttpConnection,
        path: &str,
        authorization: &HeaderValue,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Fault> {
        let request = Request::post(path)
            .header(HOST, &self.host)
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Full::new(body))
            .map_err(|_| Fault::new("request cannot be built"))?;
        http.call(request).await
    }

    /// The server key as a header.
    pub fn server_key(&self) -> &HeaderValue {
        &self.server_key
    }

    /// Reads the account that `token` belongs to.
    ///
    /// # Errors
    /// The network's, or `http STATUS message`.
    pub async fn account(&self, http: &mut HttpConnection, token: &str) -> Result<Bytes, Fault> {
        let request = Request::get("/v2/account")
            .header(HOST, &self.host)
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .body(Full::new(Bytes::new()))
            .map_err(|_| Fault::new("request cannot be built"))?;
        accepted(http.call(request).await?)
    }

    /// Opens a socket with a session token.
    ///
    /// # Errors
    /// The network's, or `http STATUS message`.
    pub async fn socket(&self, token: &str, format: Format, buffers: Buffers) -> Result<Socket, Fault> {
        let stream = self.target.connect().await?;
        let host = &self.target.base.authority;
        let url = format!("ws://{host}/ws?token={token}&format={}&lang=en&status=false", format.name());
        let size = match buffers {
            Buffers::Small => 1024,
            Buffers::Large => 16 * 1024,
        };
        let config = WebSocketConfig::default().read_buffer_size(size).write_buffer_size(size);
        let handshake = client_async_with_config(url, stream, Some(config));
        match tokio::time::timeout(self.target.timeout(), handshake).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(error)) => Err(socket_fault(error)),
            Err(_) => Err(Fault::new("handshake timed out")),
        }
    }
}

/// Names what went wrong with a socket.
pub fn socket_fault(error: Error) -> Fault {
    match error {
        Error::Http(answer) => {
            let (status, body) = (answer.status(), answer.body().as_deref().unwrap_or_default().to_vec());
            refusal(status, &body)
        }
        Error::Io(error) => Fault::io("socket", &error),
        Error::Protocol(error) => Fault::new(format!("socket: {error}")),
        Error::ConnectionClosed | Error::AlreadyClosed => Fault::new("socket closed"),
        other => Fault::new(format!("socket: {other}")),
    }
}

fn accepted((status, body): (StatusCode, Bytes)) -> Result<Bytes, Fault> {
    if status == StatusCode::OK { Ok(body) } else { Err(refusal(status, &body)) }
}

/// The status and the start of the server's own message, which names the kind.
fn refusal(status: StatusCode, body: &[u8]) -> Fault {
    const LONGEST: usize = 80;
    let message = text_field(body, "message").unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned());
    let message: String = message.chars().take(LONGEST).collect();
    Fault::new(format!("http {} {message}", status.as_u16()).trim_end())
}

/// The text behind `"name":"` as it stands: for tokens and fixed messages, which hold no escapes.
pub(crate) fn text_field(body: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once(&format!("\"{name}\":"))?;
    let (value, _) = rest.trim_start().strip_prefix('"')?.split_once('"')?;
    Some(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_token_is_not_mistaken_for_the_refresh_token() {
        let body = br#"{"created":true,"refresh_token":"r.r.r","token":"t.t.t"}"#;
        assert_eq!(text_field(body, "token").as_deref(), Some("t.t.t"));
        assert_eq!(text_field(br#"{"token": "x"}"#, "token").as_deref(), Some("x"));
        assert_eq!(text_field(b"{}", "token"), None);
    }

    #[test]
    fn a_session_token_says_whose_it_is() {
        let of = |token: &str| Session { token: token.into(), refresh_token: String::new() }.user_id();
        let uid: Uuid = "0197e0a5-7c5e-7000-8000-00000000002a".parse().unwrap();
        let payload = URL_SAFE_NO_PAD.encode(format!(r#"{{"tid":"x","uid":"{uid}"}}"#));
        assert_eq!(of(&format!("e30.{payload}.x")), Some(uid));
        assert_eq!(of("a.b.c"), None);
    }

    #[test]
    fn a_refusal_is_named_by_status_and_message() {
        let fault = refusal(StatusCode::UNAUTHORIZED, br#"{"code":16,"message":"Server key invalid"}"#);
        assert_eq!(fault.0, "http 401 Server key invalid");
        assert_eq!(
            refusal(StatusCode::UNAUTHORIZED, b"Missing or invalid token\n").0,
            "http 401 Missing or invalid token"
        );
        assert_eq!(refusal(StatusCode::BAD_GATEWAY, b"").0, "http 502");
    }
}
