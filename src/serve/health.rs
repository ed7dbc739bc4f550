//! The plain ports: `/livez` and `/readyz` for the kubelet on one, `/metrics` for Prometheus on another. No pod but Prometheus
//! has business here, and none may keep the kubelet from its answer.
//!
//! Alive is a process that answers at all; ready is one that can answer reviews and was not told to stop.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response, StatusCode};
use axum::routing::get;
use tokio::sync::watch;

use super::connection::Phase;
use super::state::Freshness;
use crate::policy::snapshot::Snapshot;
use crate::telemetry::Metrics;

/// What the answers rest on. A certificate is not among it: without one the process does not get this far.
pub struct Health {
    /// Empty until a whole snapshot was published.
    pub snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    /// Whether the process was told to stop.
    pub phase: watch::Receiver<Phase>,
    /// How long the watches have been silent.
    pub freshness: Arc<Freshness>,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
}

/// The routes of the port of probes.
pub fn probes(health: Arc<Health>) -> Router {
    Router::new()
        .route("/livez", get(async || text(StatusCode::OK, "alive\n")))
        .route("/readyz", get(ready))
        .with_state(health)
}

/// The route of the port of metrics.
pub fn metrics(health: Arc<Health>) -> Router {
    Router::new().route("/metrics", get(render)).with_state(health)
}

async fn ready(State(health): State<Arc<Health>>) -> Response<Body> {
    if *health.phase.borrow() > Phase::Serving {
        return text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    if health.snapshots.borrow().is_none() {
        return text(
            StatusCode::SERVICE_UNAVAILABLE,
            "namespaces, catalogues and objects of other sync systems are not all read yet\n",
        );
    }
    text(StatusCode::OK, "ready\n")
}

async fn render(State(health): State<Arc<Health>>) -> Response<Body> {
    health.metrics.snapshot_age.set(health.freshness.age().as_secs_f64());
    let mut response = text(StatusCode::OK, health.metrics.render());
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(openmetrics));
    response
}

fn text(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
