//! The plain ports of the sync: `/livez` and `/readyz` on one, `/metrics` on another. The framework of the webhook is the
//! webhook's alone.

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
/// From the start of a connection to its end: it has one request.
const CONNECTION: Duration = Duration::from_secs(5);

/// What a port answers.
#[derive(Clone)]
pub enum Answers {
    /// `/livez`, and `/readyz` by whether all lists were read, so that this replica can take over.
    Probes(watch::Receiver<bool>),
    /// `/metrics`.
    Metrics(Arc<SyncMetrics>),
}

/// Answers for ever.
pub async fn run(listener: TcpListener, answers: Answers) {
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
        let answers = answers.clone();
        tokio::spawn(async move {
            let answer = |request: Request<Incoming>| {
                let response = respond(request.uri().path(), &answers);
                async { Ok::<_, Infallible>(response) }
            };
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).keep_alive(false);
            // A client that goes away in the middle harms nobody, and neither does one that does nothing.
            let connection = http.serve_connection(TokioIo::new(stream), service_fn(answer));
            let _ = tokio::time::timeout(CONNECTION, connection).await;
            drop(slot);
        });
    }
}

fn respond(path: &str, answers: &Answers) -> Response<Full<Bytes>> {
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let plain = "text/plain; charset=utf-8";
    let (status, kind, text) = match (path, answers) {
        ("/livez", Answers::Probes(_)) => (StatusCode::OK, plain, "alive\n".to_owned()),
        ("/readyz", Answers::Probes(ready)) if *ready.borrow() => {
            (StatusCode::OK, plain, "ready\n".to_owned())
        }
        ("/readyz", Answers::Probes(_)) => {
            (StatusCode::SERVICE_UNAVAILABLE, plain, "the cluster is not read yet\n".to_owned())
        }
        ("/metrics", Answers::Metrics(metrics)) => (StatusCode::OK, openmetrics, metrics.render()),
        (_, Answers::Probes(_)) => {
            (StatusCode::NOT_FOUND, plain, "there are /livez and /readyz\n".to_owned())
        }
        (_, Answers::Metrics(_)) => (StatusCode::NOT_FOUND, plain, "there is /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
