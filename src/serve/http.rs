//! `router`: `/mutate` and `/validate`. Bytes that `intake` took in are judged by `policy::decide`, and answered.
//!
//! What a review comes to is `policy`'s business; here is what goes wrong around it. Requests that are no reviews get
//! a 4xx and one sentence. Failures of ours get a 5xx whose body is a Kubernetes `Status`: kubectl shows its message,
//! and the `failurePolicy` of the webhook decides. No `Retry-After`: the API server would wait it out.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::ALLOW;
use axum::http::{HeaderValue, Response, StatusCode};
use axum::routing::post;
use tokio::sync::watch;
use tokio::time::Instant;

use super::intake::{Failed, Failure, Intake, respond};
use super::judge::{Decide, Job, Judged};
use crate::policy::review::Endpoint;
use crate::policy::snapshot::Snapshot;
use crate::telemetry::{Metrics, ReviewLabels};

/// The bounds of reviews.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of one body. Object and old object of 3 MiB each, as base64, fit well.
    pub body: usize,
    /// Reviews at once, in fair shares.
    pub reviews: usize,
    /// Bytes of bodies at once, in all reviews together, in fair shares: half of them for bodies up to `inline`, half for larger
    /// ones.
    pub bytes: usize,
    /// Time for a body to arrive.
    pub body_time: Duration,
    /// Time for the whole answer; `?timeout=` makes it shorter.
    pub review_time: Duration,
    /// How long a review waits for a namespace that the snapshot does not have yet.
    pub namespace_wait: Duration,
    /// A larger body is judged beside the threads that serve connections, and one or two of them at a time: what an object
    /// becomes in memory is a multiple of its bytes.
    pub inline: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 10 << 20,
            reviews: 1024,
            bytes: 48 << 20,
            body_time: Duration::from_secs(10),
            review_time: Duration::from_secs(30),
            namespace_wait: Duration::from_millis(500),
            inline: 256 << 10,
        }
    }
}

/// What every review needs.
pub struct App {
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    metrics: Arc<Metrics>,
    intake: Intake,
    decide: Decide,
}

impl App {
    /// Judges with `decide` in the world of the newest of `snapshots`.
    pub fn new(
        snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
        metrics: Arc<Metrics>,
        limits: Limits,
        decide: Decide,
    ) -> Self {
        Self { snapshots, metrics, intake: Intake::new(limits), decide }
    }
}

/// The routes of the HTTPS port.
pub fn router(app: App) -> Router {
    let app = Arc::new(app);
    let mutate = post(|State(app), request| answer(app, Endpoint::Mutate, request));
    let validate = post(|State(app), request| answer(app, Endpoint::Validate, request));
    Router::new()
        .route("/mutate", mutate.fallback(wrong_method))
        .route("/validate", validate.fallback(wrong_method))
        .fallback(async || Failure::Said(StatusCode::NOT_FOUND, NOT_FOUND.into()).response())
        .with_state(app)
}

const NOT_FOUND: &str = "there is nothing here; reviews go to /mutate and /validate";

async fn wrong_method() -> Response<Body> {
    let sentence = "a review is sent with POST";
    let mut response = Failure::Said(StatusCode::METHOD_NOT_ALLOWED, sentence.into()).response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

async fn answer(app: Arc<App>, endpoint: Endpoint, request: Request) -> Response<Body> {
    let started = Instant::now();
    match Box::pin(flow(&app, endpoint, request, started)).await {
        Ok(body) => respond(StatusCode::OK, "application/json", body.into()),
        Err(Failed { failure, outcome }) => {
            if let Some(outcome) = outcome {
                let (operation, kind) = ("other", Cow::Borrowed("other"));
                let labels = ReviewLabels { endpoint: endpoint.as_str(), operation, kind, outcome };
                app.metrics.reviews.get_or_create(&labels).inc();
            }
            failure.response()
        }
    }
}

async fn flow(
    app: &Arc<App>,
    endpoint: Endpoint,
    request: Request,
    started: Instant,
) -> Result<Vec<u8>, Failed> {
    let received = app.intake.receive(request, started).await?;
    let limits = app.intake.limits();
    let mut snapshots = app.snapshots.clone();
    let wait_until = received.deadline.min(Instant::now() + limits.namespace_wait);
    let mut last_look = false;
    loop {
        let Some(snapshot) = snapshots.borrow_and_update().clone() else {
            let message = "RefGate has not read the cluster yet; try again in a moment";
            return Err(Failed::ours(StatusCode::SERVICE_UNAVAILABLE, message, Some("unavailable")));
        };
        let metrics = Arc::clone(&app.metrics);
        let job = Job {
            metrics,
            decide: app.decide,
            endpoint,
            body: received.body.clone(),
            snapshot,
            started,
            last_look,
            client: if received.peer.is_verified { "verified" } else { "unverified" },
        };
        let judged = if received.body.len() > limits.inline {
            // The pool is bounded, and so is the number of reviews that wait for it.
            tokio::task::spawn_blocking(move || job.judge()).await.unwrap_or(Judged::Panicked)
        } else {
            job.judge()
        };
        match judged {
            Judged::Answer(body) => return Ok(body),
            Judged::NotAReview(sentence) => {
                return Err(Failed::said(StatusCode::BAD_REQUEST, sentence, "invalid"));
            }
            Judged::Unavailable { message, .. } if last_look => {
                return Err(Failed::ours(StatusCode::SERVICE_UNAVAILABLE, message, None));
            }
            Judged::Unavailable { namespace, .. } => {
                let known = |snapshot: &Option<Arc<Snapshot>>| {
                    snapshot.as_ref().is_some_and(|snapshot| snapshot.namespaces.contains_key(&*namespace))
                };
                // Whether it came or not, one more look is the last; a closed channel is the end of waiting too.
                last_look = true;
                let _ = tokio::time::timeout_at(wait_until, snapshots.wait_for(known)).await;
            }
            Judged::Panicked => {
                app.metrics.panics.inc();
                let message = "RefGate failed on this review; its log says where";
                return Err(Failed::ours(StatusCode::INTERNAL_SERVER_ERROR, message, Some("panic")));
            }
        }
    }
}
