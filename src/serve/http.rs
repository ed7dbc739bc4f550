//! `router`: `/mutate` and `/validate`. Bytes are read within bounds, judged by `policy::decide`, and answered.
//!
//! What a review comes to is `policy`'s business; here is what goes wrong around it. Requests that are no reviews get
//! a 4xx and one sentence. Failures of ours get a 5xx whose body is a Kubernetes `Status`: kubectl shows its message,
//! and the `failurePolicy` of the webhook decides. No `Retry-After`: the API server would wait it out.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::routing::post;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use super::judge::{Decide, Job, Judged};
use crate::policy::review::Endpoint;
use crate::policy::snapshot::Snapshot;
use crate::telemetry::{Metrics, ReviewLabels};

/// The bounds of reviews.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of one body. Object and old object of 3 MiB each, as base64, fit well.
    pub body: usize,
    /// Reviews at once.
    pub reviews: usize,
    /// Bytes of bodies at once, in all reviews together.
    pub bytes: usize,
    /// Time for a body to arrive.
    pub body_time: Duration,
    /// Time for the whole answer; `?timeout=` makes it shorter.
    pub review_time: Duration,
    /// How long a review waits for a namespace that the snapshot does not have yet.
    pub namespace_wait: Duration,
    /// From this size on a body is judged beside the threads that serve connections.
    pub inline: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 16 << 20,
            reviews: 1024,
            bytes: 64 << 20,
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
    limits: Limits,
    decide: Decide,
    reviews: Arc<Semaphore>,
    /// Counts KiB.
    bytes: Arc<Semaphore>,
}

impl App {
    /// Judges with `decide` in the world of the newest of `snapshots`.
    pub fn new(
        snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
        metrics: Arc<Metrics>,
        limits: Limits,
        decide: Decide,
    ) -> Self {
        let (reviews, bytes) = (Semaphore::new(limits.reviews), Semaphore::new(limits.bytes >> 10));
        Self { snapshots, metrics, limits, decide, reviews: Arc::new(reviews), bytes: Arc::new(bytes) }
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

/// Why there is no AdmissionReview in the answer.
enum Failure {
    /// The request is none of ours: one sentence says why.
    Said(StatusCode, Cow<'static, str>),
    /// We failed: the message is what kubectl shows.
    Ours(StatusCode, Cow<'static, str>),
}

impl Failure {
    fn response(self) -> Response<Body> {
        let (status, content_type, body) = match self {
            Self::Said(status, sentence) => (status, "text/plain; charset=utf-8", format!("{sentence}\n")),
            Self::Ours(status, message) => {
                let body = serde_json::json!({
                    "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": status.as_u16(),
                });
                (status, "application/json", body.to_string())
            }
        };
        respond(status, content_type, body.into())
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

async fn answer(app: Arc<App>, endpoint: Endpoint, request: Request) -> Response<Body> {
    let started = Instant::now();
    match Box::pin(flow(&app, endpoint, request, started)).await {
        Ok(body) => respond(StatusCode::OK, "application/json", body.into()),
        Err((failure, outcome)) => {
            if let Some(outcome) = outcome {
                let (operation, kind) = ("other", Cow::Borrowed("other"));
                let labels = ReviewLabels { endpoint: endpoint.as_str(), operation, kind, outcome };
                app.metrics.reviews.get_or_create(&labels).inc();
            }
            failure.response()
        }
    }
}

/// A failure, and the outcome that it counts as where it was not counted yet.
type Failed = (Failure, Option<&'static str>);

async fn flow(
    app: &Arc<App>,
    endpoint: Endpoint,
    request: Request,
    started: Instant,
) -> Result<Vec<u8>, Failed> {
    check_head(&request)?;
    let asked = request.uri().query().and_then(timeout).unwrap_or(Duration::MAX);
    let deadline = started + asked.min(app.limits.review_time);
    let Ok(_review) = Arc::clone(&app.reviews).try_acquire_owned() else {
        return Err(overload("too many reviews at once"));
    };
    let (body, _bytes) = read_body(app, request, deadline.min(started + app.limits.body_time)).await?;
    let mut snapshots = app.snapshots.clone();
    let wait_until = deadline.min(Instant::now() + app.limits.namespace_wait);
    let mut last_look = false;
    loop {
        let Some(snapshot) = snapshots.borrow_and_update().clone() else {
            let message = "RefGate has not read the cluster yet; try again in a moment";
            return Err((
                Failure::Ours(StatusCode::SERVICE_UNAVAILABLE, message.into()),
                Some("unavailable"),
            ));
        };
        let metrics = Arc::clone(&app.metrics);
        let job =
            Job { metrics, decide: app.decide, endpoint, body: body.clone(), snapshot, started, last_look };
        let judged = if body.len() > app.limits.inline {
            // The pool is bounded, and so is the number of reviews that wait for it.
            tokio::task::spawn_blocking(move || job.judge()).await.unwrap_or(Judged::Panicked)
        } else {
            job.judge()
        };
        match judged {
            Judged::Answer(body) => return Ok(body),
            Judged::NotAReview(sentence) => {
                return Err((Failure::Said(StatusCode::BAD_REQUEST, sentence.into()), Some("invalid")));
            }
            Judged::Unavailable { message, .. } if last_look => {
                return Err((Failure::Ours(StatusCode::SERVICE_UNAVAILABLE, message.into()), None));
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
                return Err((
                    Failure::Ours(StatusCode::INTERNAL_SERVER_ERROR, message.into()),
                    Some("panic"),
                ));
            }
        }
    }
}

fn check_head(request: &Request) -> Result<(), Failed> {
    let headers = request.headers();
    let said = |sentence: &'static str| {
        Err((Failure::Said(StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence.into()), Some("invalid")))
    };
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !media.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return said("a review is JSON: the Content-Type must be application/json");
    }
    if headers.get(CONTENT_ENCODING).is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return said("a review is sent as it is, without a Content-Encoding");
    }
    Ok(())
}

/// `?timeout=10s`, as the API server appends it: whole seconds. Anything else is ignored.
fn timeout(query: &str) -> Option<Duration> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("timeout="))?;
    value.strip_suffix('s')?.parse().ok().filter(|&seconds| seconds > 0).map(Duration::from_secs)
}

fn overload(why: &str) -> Failed {
    let message = format!("RefGate is overloaded: {why}; try again");
    (Failure::Ours(StatusCode::SERVICE_UNAVAILABLE, message.into()), Some("overload"))
}

/// Reads a body, and holds what it weighs among the bytes in flight. They are taken as they arrive, so that who
/// announces much and sends nothing takes nothing.
async fn read_body(
    app: &App,
    request: Request,
    deadline: Instant,
) -> Result<(Bytes, Vec<OwnedSemaphorePermit>), Failed> {
    let limit = app.limits.body;
    let invalid = |status, sentence: String| (Failure::Said(status, sentence.into()), Some("invalid"));
    let too_large =
        || invalid(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {} MiB", limit >> 20));
    let mut body = request.into_body();
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(too_large());
    }
    let (mut whole, mut single, mut length) = (Vec::new(), Bytes::new(), 0);
    let mut permits: Option<OwnedSemaphorePermit> = None;
    loop {
        let frame = match tokio::time::timeout_at(deadline, body.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => {
                return Err(invalid(StatusCode::BAD_REQUEST, "the body ended before its end".into()));
            }
            Err(_) => {
                let sentence = "the body did not arrive in time";
                return Err((Failure::Said(StatusCode::REQUEST_TIMEOUT, sentence.into()), Some("timeout")));
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        let held = length >> 10;
        length += data.len();
        if length > limit {
            return Err(too_large());
        }
        let more = u32::try_from((length >> 10) - held).unwrap_or(u32::MAX);
        match Arc::clone(&app.bytes).try_acquire_many_owned(more) {
            Ok(permit) => match &mut permits {
                Some(permits) => permits.merge(permit),
                None => permits = Some(permit),
            },
            Err(_) => return Err(overload("too many bytes of reviews at once")),
        }
        if single.is_empty() && whole.is_empty() {
            single = data;
        } else {
            if whole.is_empty() {
                whole.reserve(usize::try_from(announced).unwrap_or(0).min(1 << 20));
                whole.extend_from_slice(&std::mem::take(&mut single));
            }
            whole.extend_from_slice(&data);
        }
    }
    let body = if whole.is_empty() { single } else { whole.into() };
    Ok((body, permits.into_iter().collect()))
}
