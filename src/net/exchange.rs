//! The way of one request from its head to its operation, in the order of contract/README.md section 5: path, cross-origin
//! rules, route, method, body, query, credentials, operation.

use super::{
    accept::Connection,
    body,
    call::Call,
    cors, form,
    http::{Http, InFlight, Record},
    matching::{self, Candidates, Target, Unclean},
    own::{self, OwnCall, OwnRoute},
    respond::{self, Failure, Response},
    routes::{Auth, Body, Route},
    rpc,
    socket::{self, Handshake},
};
use crate::{error::Error, telemetry::KindLabels};
use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Request, StatusCode, Version,
    body::Incoming,
    header::{HOST, HeaderName},
};
use kizuna_protocol::code::Code;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::Instant;

const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

impl Http {
    pub(super) async fn exchange(
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
        match own::find(method.as_str(), &path) {
            own::Found::Route(route) => return self.own(route, request, peer, started, record).await,
            own::Found::WrongMethod => return Err(wrong_method()),
            own::Found::No => {}
        }
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
        let _in_flight = InFlight::enter(self)?;
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
            body::read(body, call.headers, socket.max_request_size_bytes, deadline, &mut record.bytes_in).await?
        } else {
            Bytes::new()
        };
        // Who asks whether the server is well must learn that it is busy from its metrics, not be told that it is gone.
        let _in_flight = if route.auth == Auth::Nobody { None } else { Some(InFlight::enter(self)?) };
        *(if is_form { &mut call.form } else { &mut call.body }) = &bytes;
        let answer = (route.run)(&self.services, &mut call, route);
        record.user = call.user;
        Ok(respond::success(answer?.await?))
    }

    async fn own(
        &self,
        route: &'static OwnRoute,
        request: Request<Incoming>,
        peer: SocketAddr,
        started: Instant,
        record: &mut Record,
    ) -> Result<Response, Failure> {
        record.rpc = Some(route.name);
        let (parts, body) = request.into_parts();
        let client = self.proxies.of_request(&parts.headers, peer);
        record.client = client.address;
        let socket = &self.config().socket;
        let bytes = if route.has_body {
            let deadline = started + Duration::from_millis(socket.read_timeout_ms);
            body::read(body, &parts.headers, socket.max_request_size_bytes, deadline, &mut record.bytes_in).await?
        } else {
            Bytes::new()
        };
        let _in_flight = InFlight::enter(self)?;
        let (services, query) = (&self.services, parts.uri.query());
        (route.run)(OwnCall { services, headers: &parts.headers, query, body: &bytes, client }).await
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
