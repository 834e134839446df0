//! HTTP as a whole: what bounds a request, what every answer gets, and what is noted of it.

use super::{
    accept::Connection,
    address::Proxies,
    compress::{Compressor, Encoding},
    cors,
    matching::Router,
    respond::{Failure, Response},
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
    Method, Request, StatusCode,
    body::Incoming,
    header::{HeaderName, HeaderValue, VARY},
    server::conn::http1,
};
use kizuna_protocol::code::Code;
use std::{
    net::IpAddr,
    panic::AssertUnwindSafe,
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

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
    pub(super) services: Arc<Services>,
    pub(super) router: Router,
    compressor: Compressor,
    pub(super) proxies: Proxies,
    response_headers: Vec<(HeaderName, HeaderValue)>,
    in_flight: AtomicUsize,
    builder: http1::Builder,
}

/// What is known of a request when it is answered: one line of the log.
#[derive(Default)]
pub(super) struct Record {
    pub(super) rpc: Option<&'static str>,
    pub(super) client: Option<IpAddr>,
    pub(super) user: Option<Uuid>,
    pub(super) bytes_in: usize,
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

    pub(super) fn config(&self) -> &Config {
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
        let _open = Open::count(self);
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

fn header(line: &str) -> Result<(HeaderName, HeaderValue), BadHeader> {
    let parts = line.split_once(':').or_else(|| line.split_once('='));
    let parsed = parts.and_then(|(name, value)| Some((name.trim().parse().ok()?, value.trim().parse().ok()?)));
    parsed.ok_or_else(|| BadHeader(line.to_owned()))
}

/// A request between its head and its answer, for the metrics.
struct Open<'h>(&'h Http);

impl<'h> Open<'h> {
    fn count(http: &'h Http) -> Self {
        http.metrics().http_in_flight.inc();
        Self(http)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.metrics().http_in_flight.dec();
    }
}

/// A request in work, counted against `socket.max_requests_in_flight`. Taken once the body is there: a client that sends
/// slowly must not keep the others out.
pub(super) struct InFlight<'h>(&'h Http);

impl<'h> InFlight<'h> {
    pub(super) fn enter(http: &'h Http) -> Result<Self, Failure> {
        let entered = Self(http);
        if http.in_flight.fetch_add(1, Relaxed) < http.config().socket.max_requests_in_flight {
            return Ok(entered);
        }
        http.metrics().http_refused.get_or_create(&KindLabels { kind: "requests_in_flight" }).inc();
        Err(Failure::Api(Error::unavailable("Too many requests in flight.")))
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
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
