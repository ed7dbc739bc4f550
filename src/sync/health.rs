//! The plain port of the sync: `/livez`, `/readyz`, `/metrics`. The framework of the webhook is the webhook's alone.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::telemetry::sync::SyncMetrics;

/// Connections at once; the next one waits.
const CONNECTIONS: usize = 64;
/// From the start of a connection, or the end of a request, to the head of the next one.
const HEAD: Duration = Duration::from_secs(60);

/// Answers for ever. Ready is who can take over: all lists were read.
pub async fn run(listener: TcpListener, ready: watch::Receiver<bool>, metrics: Arc<SyncMetrics>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await.expect("a semaphore that nobody closes");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (ready, metrics) = (ready.clone(), Arc::clone(&metrics));
        tokio::spawn(async move {
            let answer = |request: Request<Incoming>| {
                let response = respond(request.uri().path(), *ready.borrow(), &metrics);
                async { Ok::<_, Infallible>(response) }
            };
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD);
            // Whoever goes away in the middle harms nobody.
            let _ = http.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
            drop(slot);
        });
    }
}

fn respond(path: &str, is_ready: bool, metrics: &SyncMetrics) -> Response<Full<Bytes>> {
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let plain = "text/plain; charset=utf-8";
    let (status, kind, text) = match path {
        "/livez" => (StatusCode::OK, plain, "alive\n".to_owned()),
        "/readyz" if is_ready => (StatusCode::OK, plain, "ready\n".to_owned()),
        "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, plain, "the cluster is not read yet\n".to_owned()),
        "/metrics" => (StatusCode::OK, openmetrics, metrics.render()),
        _ => (StatusCode::NOT_FOUND, plain, "there are /livez, /readyz and /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
