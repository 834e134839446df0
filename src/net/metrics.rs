//! The metrics listener: Prometheus text on `/metrics`, on a port of its own, for few and patient clients.

use super::accept;
use crate::lifecycle::Lifecycle;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use prometheus_client::{encoding::text::encode, registry::Registry};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{net::TcpListener, net::TcpStream, sync::Semaphore, time::timeout};

/// Scrapes at once; one more connection is closed.
const CONNECTIONS: usize = 16;
/// Time for one scrape, from connection to last byte.
const SCRAPE_TIME: Duration = Duration::from_secs(10);
/// The OpenMetrics text format, which Prometheus asks for and reads.
const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves the metrics of `registry` until the server drains.
pub async fn serve(listener: TcpListener, registry: Arc<Registry>, lifecycle: Lifecycle) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let take = |stream: TcpStream, _| {
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else { return };
        let registry = Arc::clone(&registry);
        lifecycle.spawn(async move {
            let _permit = permit;
            let _ = timeout(SCRAPE_TIME, scrape(stream, &registry)).await;
        });
    };
    accept::each(listener, &lifecycle, take).await;
}

async fn scrape(stream: TcpStream, registry: &Registry) {
    let service = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&request, registry))));
    let connection =
        http1::Builder::new().keep_alive(false).max_buf_size(16_384).serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a scrape broke off");
    }
}

fn answer(request: &Request<Incoming>, registry: &Registry) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    if request.uri().path() != "/metrics" {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        return response;
    }
    let mut text = String::new();
    if encode(&mut text, registry).is_err() {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return response;
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(FORMAT));
    *response.body_mut() = Full::new(Bytes::from(text));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn ask(request: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut registry = Registry::default();
        Metrics::new(&mut registry).matches.set(3);
        let life = Lifecycle::new();
        life.spawn(serve(listener, Arc::new(registry), life.clone()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(life.stop(Duration::from_secs(5)).await);
        answer
    }

    #[tokio::test]
    async fn metrics_are_served_as_text() {
        let answer = ask("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("kizuna_matches 3\n"), "{answer}");
    }

    #[tokio::test]
    async fn nothing_else_is() {
        assert!(ask("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.starts_with("HTTP/1.1 404 "));
        assert!(ask("POST /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.starts_with("HTTP/1.1 405 "));
    }
}
