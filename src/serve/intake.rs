//! What comes in: the head looked at, a place among the reviews taken, the body read within its bounds.
//!
//! `http` says what becomes of it. Whatever else reads bodies from the same port shares these bounds: the echo server
//! of the benchmarks does.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderValue, Response, StatusCode};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::http::Limits;

/// Why there is no AdmissionReview in the answer.
#[derive(Debug)]
pub struct Failed {
    /// What is answered.
    pub failure: Failure,
    /// The outcome that it counts as, where it was not counted yet.
    pub outcome: Option<&'static str>,
}

/// What is answered where there is no AdmissionReview.
#[derive(Debug)]
pub enum Failure {
    /// The request is none of ours: one sentence says why.
    Said(StatusCode, Cow<'static, str>),
    /// We failed: the message is what kubectl shows.
    Ours(StatusCode, Cow<'static, str>),
}

impl Failed {
    /// The request is none of ours.
    pub fn said(status: StatusCode, sentence: impl Into<Cow<'static, str>>, outcome: &'static str) -> Self {
        Self { failure: Failure::Said(status, sentence.into()), outcome: Some(outcome) }
    }

    /// We failed.
    pub fn ours(
        status: StatusCode,
        message: impl Into<Cow<'static, str>>,
        outcome: Option<&'static str>,
    ) -> Self {
        Self { failure: Failure::Ours(status, message.into()), outcome }
    }

    fn overload(why: &str) -> Self {
        let message = format!("RefGate is overloaded: {why}; try again");
        Self::ours(StatusCode::SERVICE_UNAVAILABLE, message, Some("overload"))
    }
}

impl Failure {
    /// The answer.
    pub fn response(self) -> Response<Body> {
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

/// An answer with a body.
pub fn respond(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// What all reviews share.
pub struct Intake {
    limits: Limits,
    reviews: Arc<Semaphore>,
    /// Counts KiB.
    bytes: Arc<Semaphore>,
}

/// A body that is complete, and its place among the reviews, which is free again when this is gone.
pub struct Received {
    /// The bytes.
    pub body: Bytes,
    /// When the answer is due.
    pub deadline: Instant,
    _review: OwnedSemaphorePermit,
    _bytes: Option<OwnedSemaphorePermit>,
}

impl Intake {
    /// Within `limits`.
    pub fn new(limits: Limits) -> Self {
        let (reviews, bytes) = (Semaphore::new(limits.reviews), Semaphore::new(limits.bytes >> 10));
        Self { limits, reviews: Arc::new(reviews), bytes: Arc::new(bytes) }
    }

    /// The bounds.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes a request in.
    pub async fn receive(&self, request: Request, started: Instant) -> Result<Received, Failed> {
        check_head(&request)?;
        let asked = request.uri().query().and_then(timeout).unwrap_or(Duration::MAX);
        let deadline = started + asked.min(self.limits.review_time);
        let Ok(review) = Arc::clone(&self.reviews).try_acquire_owned() else {
            return Err(Failed::overload("too many reviews at once"));
        };
        let (body, bytes) = self.read(request, deadline.min(started + self.limits.body_time)).await?;
        Ok(Received { body, deadline, _review: review, _bytes: bytes })
    }

    /// Reads a body, and holds what it weighs among the bytes in flight. They are taken as they arrive, so that who
    /// announces much and sends nothing takes nothing.
    async fn read(
        &self,
        request: Request,
        deadline: Instant,
    ) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Failed> {
        let limit = self.limits.body;
        let too_large = || {
            let sentence = format!("the body is larger than {} MiB", limit >> 20);
            Failed::said(StatusCode::PAYLOAD_TOO_LARGE, sentence, "invalid")
        };
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
                    let sentence = "the body ended before its end";
                    return Err(Failed::said(StatusCode::BAD_REQUEST, sentence, "invalid"));
                }
                Err(_) => {
                    let sentence = "the body did not arrive in time";
                    return Err(Failed::said(StatusCode::REQUEST_TIMEOUT, sentence, "timeout"));
                }
            };
            let Ok(data) = frame.into_data() else { continue };
            let held = length >> 10;
            length += data.len();
            if length > limit {
                return Err(too_large());
            }
            let more = u32::try_from((length >> 10) - held).unwrap_or(u32::MAX);
            match Arc::clone(&self.bytes).try_acquire_many_owned(more) {
                Ok(permit) => match &mut permits {
                    Some(permits) => permits.merge(permit),
                    None => permits = Some(permit),
                },
                Err(_) => return Err(Failed::overload("too many bytes of reviews at once")),
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
        Ok((body, permits))
    }
}

fn check_head(request: &Request) -> Result<(), Failed> {
    let headers = request.headers();
    let said =
        |sentence: &'static str| Err(Failed::said(StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence, "invalid"));
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
