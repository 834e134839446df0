//! One HTTP request, from head to answer. In this order: limits, cross-origin rules, path, route, method, body, query,
//! credentials, operation (contract/README.md section 5, "Order of evaluation").

use super::{
    accept::Connection,
    address::Proxies,
    body,
    call::Call,
    compress::{Compressor, Encoding},
    cors, form,
    matching::{self, Candidates, Router, Target, Unclean},
    respond::{self, Failure, Response},
    routes::{Body, Route},
    rpc,
    socket::{self, Handshake},
};
use crate::{
    config::Config,
    error::Error,
    features::Services,
    telemetry::{KindLabels, Metrics, RouteLabels},
};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, StatusCode, Version,
    body::Incoming,
    header::{HOST, HeaderName, HeaderValue, VARY},
    server::conn::http1,
};
use kizuna_protocol::code::Code;
use std::{
    future::Future,
    net::IpAddr,
    panic::AssertUnwindSafe,
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
/// hyper takes heads up to this many times the limit, so that the answer to those above it can be ours.
const HEAD_SLACK: usize = 2;
/// hyper's own least.
const LEAST_BUFFER: usize = 8192;

/// An entry of `socket.response_headers` that is no header.
#[derive(Debug, thiserror::Error)]
#[error("socket.response_headers: {0:?} is not a header; write \"Name: value\"")]
pub struct BadHeader(String);

/// The HTTP side of the server.
pub struct Http {
    services: Arc<Services>,
    router: Router,
    compressor: Compressor,
    proxies: Proxies,
    response_headers: Vec<(HeaderName, HeaderValue)>,
    in_flight: AtomicUsize,
    builder: http1::Builder,
}

/// What is known of a request when it is answered: one line of the log.
#[derive(Default)]
struct Record {
    rpc: Option<&'static str>,
    client: Option<IpAddr>,
    user: Option<Uuid>,
    bytes_in: usize,
}

impl Http {
    /// HTTP over `services`.
    ///
    /// # Errors
    /// `socket.response_headers` holds something that is no header.
    pub fn new(services: Arc<Services>) -> Result<Self, BadHeader> {
        let socket = &services.config.socket;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(LEAST_BUFFER.max(HEAD_SLACK * socket.max_header_size_bytes));
        Ok(Self {
            router: Router::new(),
            compressor: Compressor::default(),
            proxies: Proxies::new(socket.proxy_count, &socket.address),
            response_headers: socket.response_headers.iter().map(|line| header(line)).collect::<Result<_, _>>()?,
            in_flight: AtomicUsize::new(0),
            builder,
            services,
        })
    }

    pub(super) fn builder(&self) -> &http1::Builder {
        &self.builder
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.services.metrics
    }

    pub(super) fn max_connections(&self) -> usize {
        self.config().socket.max_connections
    }

    /// Time for the head of a request, and time between requests.
    pub(super) fn patience(&self) -> (Duration, Duration) {
        let socket = &self.config().socket;
        (Duration::from_millis(socket.read_timeout_ms), Duration::from_millis(socket.idle_timeout_ms))
    }

    fn config(&self) -> &Config {
        &self.services.config
    }

    /// Answers one request; whatever happens there is an answer.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        connection: &Arc<Connection>,
    ) -> hyper::Response<Full<Bytes>> {
        let started = Instant::now();
        let has_origin = cors::has_origin(request.headers());
        let is_preflight = request.method() == Method::OPTIONS;
        let encoding = Encoding::asked(request.headers());
        let mut record = Record::default();
        let mut response = self.admit(request, connection, started, &mut record).await;
        if let Some(encoding) = encoding.filter(|_| response.headers().contains_key(VARY)) {
            response = self.compressor.apply(response, encoding);
        }
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            if has_origin && !is_preflight {
                cors::allow(response.headers_mut());
            }
            for (name, value) in &self.response_headers {
                response.headers_mut().append(name, value.clone());
            }
        }
        self.note(&response, &record, started);
        response.map(Full::new)
    }

    async fn admit(
        &self,
        request: Request<Incoming>,
        connection: &Arc<Connection>,
        started: Instant,
        record: &mut Record,
    ) -> Response {
        let Some(_in_flight) = InFlight::enter(self) else {
            self.metrics().http_refused.get_or_create(&KindLabels { kind: "requests_in_flight" }).inc();
            return Failure::Api(Error::unavailable("Too many requests in flight.")).into_response();
        };
        let deadline = started + Duration::from_millis(self.config().socket.request_timeout_ms);
        let exchange = self.exchange(request, connection, started, record);
        let failure = match guarded(exchange, deadline).await {
            Ok(response) => return response,
            Err(failure) => failure,
        };
        if let Some(cause) = failure.error().filter(|error| error.is_ours()).and_then(Error::cause) {
            tracing::error!(rpc = record.rpc, %cause, "a request failed");
        }
        failure.into_response()
    }

    async fn exchange(
        &self,
        request: Request<Incoming>,
        connection: &Arc<Connection>,
        started: Instant,
        record: &mut Record,
    ) -> Result<Response, Failure> {
        self.judge_head(&request)?;
        let uri = request.uri().clone();
        let path = matching::clean(uri.path(), uri.query());
        if path == Err(Unclean::Malformed) {
            return Err(Failure::Malformed(StatusCode::BAD_REQUEST, "400 Bad Request"));
        }
        let (method, peer) = (request.method().clone(), connection.peer);
        if method == Method::OPTIONS {
            return Ok(cors::preflight(request.headers()));
        }
        let path = match path {
            Ok(path) => path,
            Err(Unclean::Moved(location)) => return Ok(respond::moved(&location)),
            Err(Unclean::Malformed | Unclean::Unknown) => return Err(not_found()),
        };
        let target = self.router.find(&path).ok_or_else(not_found)?;
        if matches!(target, Target::Socket) && method == Method::GET {
            record.rpc = Some("WebSocket");
            let client = self.proxies.of_socket(request.headers(), peer);
            record.client = client.address;
            let handshake = Handshake { request, client, connection: Arc::clone(connection) };
            return Ok(socket::upgrade(&self.services, handshake));
        }
        let (parts, body) = request.into_parts();
        let client = self.proxies.of_request(&parts.headers, peer);
        record.client = client.address;
        let call =
            Call { headers: &parts.headers, path: &path, query: uri.query(), body: &[], form: &[], client, user: None };
        match target {
            Target::Root if method == Method::GET => Ok(respond::empty(StatusCode::OK)),
            Target::Root | Target::Socket => Err(not_found()),
            Target::Rpc(id) => self.rpc(call, id, &method, record),
            Target::Api(candidates) => {
                let (route, is_form) = choose(&method, &parts.headers, &candidates)?;
                self.api(call, route, is_form, body, started, record).await
            }
        }
    }

    fn rpc(&self, mut call: Call<'_>, id: &str, method: &Method, record: &mut Record) -> Result<Response, Failure> {
        if !matches!(*method, Method::GET | Method::POST) {
            return Err(wrong_method());
        }
        record.rpc = Some("RpcFunc");
        let answer = rpc::answer(&mut call, id, &self.services);
        record.user = call.user;
        answer
    }

    async fn api(
        &self,
        mut call: Call<'_>,
        route: &'static Route,
        is_form: bool,
        body: Incoming,
        started: Instant,
        record: &mut Record,
    ) -> Result<Response, Failure> {
        record.rpc = Some(route.rpc);
        let is_form = is_form || (route.has_query && form::is_merged(call.headers, route)?);
        let socket = &self.config().socket;
        let bytes = if is_form || route.body != Body::None {
            let deadline = started + Duration::from_millis(socket.read_timeout_ms);
            body::read(body, call.headers, socket.max_request_size_bytes, deadline).await?
        } else {
            Bytes::new()
        };
        record.bytes_in = bytes.len();
        *(if is_form { &mut call.form } else { &mut call.body }) = &bytes;
        let answer = (route.run)(&self.services, &mut call, route);
        record.user = call.user;
        Ok(respond::success(answer?.await?))
    }

    fn judge_head(&self, request: &Request<Incoming>) -> Result<(), Failure> {
        if head_size(request) > self.config().socket.max_header_size_bytes {
            self.metrics().http_refused.get_or_create(&KindLabels { kind: "head" }).inc();
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Err(Failure::Malformed(status, "431 Request Header Fields Too Large"));
        }
        let mut hosts = request.headers().get_all(HOST).iter();
        let fault = match (hosts.next(), hosts.next()) {
            (None, _) if request.version() == Version::HTTP_11 => "400 Bad Request: missing required Host header",
            (Some(_), Some(_)) => "400 Bad Request: too many Host headers",
            _ => return Ok(()),
        };
        Err(Failure::Malformed(StatusCode::BAD_REQUEST, fault))
    }

    /// Counts the request, and writes its line of the log: never its query or a header, which may hold tokens.
    fn note(&self, response: &Response, record: &Record, started: Instant) {
        let (took, status) = (started.elapsed(), response.status().as_u16());
        let rpc = record.rpc.unwrap_or("-");
        self.metrics().http_requests.get_or_create(&RouteLabels { rpc, status }).inc();
        self.metrics().http_seconds.observe(took.as_secs_f64());
        if !self.config().logger.requests {
            return;
        }
        tracing::info!(
            rpc,
            status,
            micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            bytes_in = record.bytes_in,
            bytes_out = response.body().len(),
            client = record.client.map(tracing::field::display),
            user = record.user.map(tracing::field::display),
            "request"
        );
    }
}

/// Bounds a request in time, and keeps its panic from the other requests.
async fn guarded(
    exchange: impl Future<Output = Result<Response, Failure>>,
    deadline: Instant,
) -> Result<Response, Failure> {
    match timeout_at(deadline, AssertUnwindSafe(exchange).catch_unwind()).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_panic)) => {
            let cause = "a panic; its text is on standard error";
            Err(Failure::Api(Error::internal("Internal Server Error", cause)))
        }
        Err(_late) => Err(Failure::Api(Error::new(Code::DeadlineExceeded, "Request timed out."))),
    }
}

/// The route for `method`, and whether the body is a form that stands for the query: a POST of a form may name another method,
/// and falls back to GET where the path has no POST.
fn choose(method: &Method, headers: &HeaderMap, candidates: &Candidates) -> Result<(&'static Route, bool), Failure> {
    let is_form = method == Method::POST && form::is_exactly_form(headers);
    let named = headers.get(METHOD_OVERRIDE).filter(|name| is_form && !name.is_empty());
    if let Some(named) = named {
        let named = String::from_utf8_lossy(named.as_bytes()).to_ascii_uppercase();
        return candidates.of(&named).map(|route| (route, true)).ok_or_else(wrong_method);
    }
    match candidates.of(method.as_str()) {
        Some(route) => Ok((route, false)),
        None => candidates.of("GET").filter(|_| is_form).map(|route| (route, true)).ok_or_else(wrong_method),
    }
}

/// Bytes of the request line and the headers, as they were sent.
fn head_size(request: &Request<Incoming>) -> usize {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let line = request.method().as_str().len() + target + " HTTP/1.1\r\n".len() + 1;
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    line + headers.sum::<usize>() + "\r\n".len()
}

fn not_found() -> Failure {
    Failure::Api(Error::not_found("Not Found"))
}

fn wrong_method() -> Failure {
    Failure::Api(Error::new(Code::Unimplemented, "Method Not Allowed"))
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), BadHeader> {
    let parts = line.split_once(':').or_else(|| line.split_once('='));
    let parsed = parts.and_then(|(name, value)| Some((name.trim().parse().ok()?, value.trim().parse().ok()?)));
    parsed.ok_or_else(|| BadHeader(line.to_owned()))
}

/// A request in work, counted against `socket.max_requests_in_flight`.
struct InFlight<'h>(&'h Http);

impl<'h> InFlight<'h> {
    fn enter(http: &'h Http) -> Option<Self> {
        let entered = Self(http);
        http.metrics().http_in_flight.inc();
        (http.in_flight.fetch_add(1, Relaxed) < http.config().socket.max_requests_in_flight).then_some(entered)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
        self.0.metrics().http_in_flight.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_that_requests_answer_and_no_more() {
        let exchange = async { panic!("on purpose") };
        let failure = guarded(exchange, Instant::now() + Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(failure.into_response().status(), 500);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_too_long_is_answered() {
        let exchange = std::future::pending();
        let failure = guarded(exchange, Instant::now() + Duration::from_secs(30)).await.unwrap_err();
        assert_eq!(failure.error().unwrap().code(), Code::DeadlineExceeded);
        assert_eq!(failure.into_response().status(), 504);
    }

    #[test]
    fn response_headers_are_judged_at_start() {
        assert_eq!(header("X-Frame-Options: DENY").unwrap().1, "DENY");
        assert_eq!(header("a=b").unwrap().0, "a");
        for bad in ["", "no colon", "b@d name: x", "name: a\nb"] {
            assert!(header(bad).is_err(), "{bad}");
        }
    }
}
