//! `GET /ws`: the handshake's checks and the upgrade. What happens on the socket afterwards is in `live`.
//! Source: spec/realtime-core.md section 1.

mod expiry;
mod live;
mod resume;
mod written;

use crate::{
    features::{Client, Services, ticket},
    identity::session::SessionClaims,
    lifecycle::Lifecycle,
    net::{
        Query,
        accept::Connection,
        envelopes::{self, Served},
        respond::{self, Response},
    },
    realtime::{Keeper, Session},
    telemetry::KindLabels,
};
use expiry::Expiry;
use hyper::{
    Request, StatusCode,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use kizuna_protocol::{code::Close, envelope::Format, realtime::Envelope};
pub use resume::keep_taken_up;

use live::{End, LiveSocket, Remains, Timing};
use resume::Opening;
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig},
    },
};
use written::Written;

/// A refused handshake: status and text, as Nakama words them.
type Refusal = (StatusCode, &'static str);

/// Control frames that may wait for a client.
const FRAME_ROOM: usize = 1_024;

const BAD_FORMAT: Refusal = (StatusCode::BAD_REQUEST, "Invalid format parameter\n");
const BAD_TOKEN: Refusal = (StatusCode::UNAUTHORIZED, "Missing or invalid token\n");
const NO_UPGRADE: Refusal = (StatusCode::BAD_REQUEST, "Bad Request\n");
const TOO_MANY: Refusal = (StatusCode::TOO_MANY_REQUESTS, "Too many sockets of this user\n");

/// A request for a socket, with all that came with it.
#[derive(Debug)]
pub struct Handshake {
    /// The request; `hyper::upgrade::on` takes the stream out of it.
    pub request: Request<Incoming>,
    /// Who asks, with the port where no proxy hides it.
    pub client: Client,
    /// The connection; kept as long as the socket is open, so that it counts.
    pub connection: Arc<Connection>,
}

/// Answers a request for a socket: 101, and it lives on in a task of its own; or a refusal.
pub fn upgrade(services: &Arc<Services>, handshake: Handshake) -> Response {
    let Handshake { mut request, client, connection } = handshake;
    match check(services, &request) {
        Ok((opening, accept)) => {
            let upgrade = hyper::upgrade::on(&mut request);
            let services = services.clone();
            tracing::debug!(user_id = %opening.claims.user_id, client = ?client.address, "socket");
            connection.lifecycle.clone().spawn_for_sockets(async move {
                match upgrade.await {
                    Ok(upgraded) => run(&services, connection, opening, client, upgraded).await,
                    Err(error) => tracing::debug!(%error, "the client went away during the handshake"),
                }
            });
            switching_protocols(&accept)
        }
        Err(refusal) => refuse(refusal),
    }
}

/// The checks in Nakama's order: format, token, WebSocket headers.
fn check(services: &Services, request: &Request<Incoming>) -> Result<(Opening, String), Refusal> {
    let query = Query::lenient(request.uri().query().unwrap_or_default().as_bytes());
    let format = match query.first("format") {
        None | Some("" | "json") => Format::Json,
        Some("protobuf") => Format::Protobuf,
        Some(_) => return Err(BAD_FORMAT),
    };
    let claims = claims(services, request, &query).ok_or(BAD_TOKEN)?;
    let accept = websocket_key(request).ok_or(NO_UPGRADE)?;
    if services.realtime.registry().of_user(claims.user_id).len() >= services.config.socket.max_sockets_per_user
        && !services.config.session.single_socket
        && resume::resumable(services, &claims, format).is_none()
    {
        return Err(TOO_MANY);
    }
    Ok((Opening { claims, format, shows_status: query.first("status").is_some_and(is_true) }, accept))
}

/// Whose socket it will be. An Authorization header, however bad, goes before the query, and a ticket before a token.
fn claims(services: &Services, request: &Request<Incoming>, query: &Query<'_>) -> Option<Arc<SessionClaims>> {
    let token = match (request.headers().get(header::AUTHORIZATION), query.first("ticket")) {
        (Some(value), _) => value.to_str().ok()?.strip_prefix("Bearer ")?,
        (None, Some(ticket)) => return ticket::redeem(services, ticket),
        (None, None) => query.first("token")?,
    };
    services.tokens.verify_session(token).ok().map(Arc::new)
}

/// Go's spellings of true; anything else is no.
fn is_true(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// The value of `Sec-WebSocket-Accept`, if the request asks for a WebSocket (RFC 6455 section 4.2.1).
fn websocket_key(request: &Request<Incoming>) -> Option<String> {
    let headers = request.headers();
    let lists = |name: HeaderName, wanted: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case(wanted)))
    };
    let asked = lists(header::CONNECTION, "upgrade") && lists(header::UPGRADE, "websocket");
    let version = headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?.as_bytes();
    let decoded = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, key).ok()?;
    (asked && version && decoded.len() == 16).then(|| derive_accept_key(key))
}

fn switching_protocols(accept: &str) -> Response {
    let mut response = respond::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::from_str(accept) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

fn refuse(refusal: Refusal) -> Response {
    let (status, text) = refusal;
    let mut response = respond::plain(status, text);
    let headers = response.headers_mut();

    if refusal == NO_UPGRADE {
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    response
}

/// A socket's life: admitted, served, cleaned up, closed. What only its beginning and its end need is boxed, and so gone while it is
/// open, which is most of the time: an idle socket's memory is this task.
async fn run(
    services: &Arc<Services>,
    connection: Arc<Connection>,
    opening: Opening,
    client: Client,
    upgraded: Upgraded,
) {
    let opened = Box::pin(open(services, &connection.lifecycle, opening, upgraded)).await;
    let Some((keeper, mut live)) = opened else { return };
    let dispatch = |session: &Arc<_>, envelope| envelopes::dispatch(services, session, client, envelope);
    let end = live.serve(&dispatch).await;
    let kept = Box::pin(finish(services, connection, keeper, live, end, &dispatch)).await;
    if let Some((keeper, remains)) = kept {
        Box::pin(resume::keep(services, keeper, remains)).await;
    }
}

/// The session of a new connection, and its socket; `None` when it gets none.
async fn open(
    services: &Arc<Services>,
    lifecycle: &Lifecycle,
    opening: Opening,
    upgraded: Upgraded,
) -> Option<(Keeper, LiveSocket<TcpStream>)> {
    let socket = websocket(services, lifecycle, upgraded).await?;
    let keeper = match resume::admit(services, lifecycle, opening).await {
        Ok(keeper) => keeper,
        Err(close) => {
            refuse_socket(services, socket, close).await;
            return None;
        }
    };
    let session = keeper.session().clone();
    // Logged out, banned or deleted since the handshake: whoever did that found no socket to close.
    if services.tokens.is_ended(&session.claims()) {
        session.outbound().close(Close::SESSION_REVOKED);
    }
    // A stop ends every socket that is registered; one that registers afterwards has to see to it itself.
    if lifecycle.is_draining() {
        services.realtime.stop_one(&session);
    }
    let expiry = Expiry::configured(services, &session);
    let live = LiveSocket::new(socket, session.clone(), timing(services), expiry);
    Some(match resume::is_on(services) {
        true => (keeper, live.resumable(session.outbound().attach())),
        false => (keeper, live),
    })
}

/// The end of a connection: that of its session, too, or not; then what goes on without it.
async fn finish(
    services: &Arc<Services>,
    connection: Arc<Connection>,
    keeper: Keeper,
    mut live: LiveSocket<TcpStream>,
    mut end: End,
    dispatch: impl Fn(&Arc<Session>, Envelope) -> Served,
) -> Option<(Keeper, Remains)> {
    let session = keeper.session().clone();
    if end == End::Suspended {
        session.outbound().detach(services.realtime.detached_bounds());
        end = live.retire(dispatch).await;
    }
    services.metrics.sockets_closed.get_or_create(&KindLabels { kind: end.kind() }).inc();
    tracing::debug!(session_id = %session.id(), user_id = %session.user_id(), end = end.kind(), "socket closed");
    let goes_on = match end {
        End::TakenOver | End::Suspended => true,
        _ => end.is_loss() && resume::is_on(services) && session.outbound().closing().is_none(),
    };
    if !goes_on {
        // Others hear of the leave before this client sees its close frame.
        drop(keeper);
        live.close(end).await;
        return None;
    }
    let remains = live.leave();
    // Beside the wait: what is left of the old connection is nothing that a new one has to wait for.
    connection.lifecycle.clone().spawn(async move {
        live.close(end).await;
        drop(connection);
    });
    Some((keeper, remains))
}

async fn websocket(
    services: &Services,
    lifecycle: &Lifecycle,
    upgraded: Upgraded,
) -> Option<WebSocketStream<Written<TcpStream>>> {
    // The raw stream, without hyper's buffers around it.
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        tracing::error!("an upgraded connection is not a TCP stream");
        return None;
    };
    let settings = &services.config.socket;
    let config = for_own_messages(WebSocketConfig::default())
        .read_buffer_size(settings.read_buffer_size_bytes)
        .max_message_size(Some(settings.max_message_size_bytes))
        .max_frame_size(Some(settings.max_message_size_bytes));
    let Ok(stream) = lifecycle.adopt(parts.io.into_inner()) else {
        tracing::debug!("the connection was gone before its socket was served");
        return None;
    };
    let stream = Written::new(stream, resume::is_on(services));
    let early = parts.read_buf.to_vec();
    Some(WebSocketStream::from_partially_read(stream, early, Role::Server, Some(config)).await)
}

/// Messages go past the library's buffer: what it holds are frames of its own, and the answers to a flood of pings stop there.
fn for_own_messages(config: WebSocketConfig) -> WebSocketConfig {
    config.write_buffer_size(0).max_write_buffer_size(FRAME_ROOM)
}

fn timing(services: &Services) -> Timing {
    let settings = &services.config.socket;
    Timing {
        ping_period: Duration::from_millis(settings.ping_period_ms),
        pong_wait: Duration::from_millis(settings.pong_wait_ms),
        backoff_threshold: settings.ping_backoff_threshold,
        write_wait: Duration::from_millis(settings.write_wait_ms),
        close_ack_wait: Duration::from_millis(settings.close_ack_wait_ms),
        write_at_once: settings.write_buffer_size_bytes,
    }
}

/// Closes a socket that gets no session.
async fn refuse_socket(services: &Services, mut socket: WebSocketStream<Written<TcpStream>>, close: Close) {
    services.metrics.sockets_closed.get_or_create(&KindLabels { kind: close.reason }).inc();
    let frame = CloseFrame { code: close.code.into(), reason: close.reason.into() };
    let _ = timeout(timing(services).write_wait, socket.close(Some(frame))).await;
}
