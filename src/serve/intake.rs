//! What comes in: the head looked at, the body read within its bounds, and only then a place among the reviews taken.
//!
//! `http` says what becomes of it. Whatever else reads bodies from the same port shares these bounds: the echo server
//! of the benchmarks does.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderValue, Response, StatusCode};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use super::http::Limits;
use super::shares::{Peer, Place, Pool};

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

/// What all reviews share, in fair shares.
pub struct Intake {
    limits: Limits,
    reviews: Pool,
    /// Counts KiB of bodies that are judged inline.
    bytes: Pool,
    /// Counts KiB of larger ones, apart: the few that fit must not keep out the many. One peer may hold one body, and there is
    /// room for one of an API server.
    large_bytes: Pool,
    /// Counts large bodies that are judged: one for all peers, one more for API servers.
    large: Pool,
}

/// A body that is complete, and its place among the reviews, which is free again when this is gone.
pub struct Received {
    /// The bytes.
    pub body: Bytes,
    /// When the answer is due.
    pub deadline: Instant,
    /// Who sent it.
    pub peer: Peer,
    _review: Place,
    _large: Option<Place>,
    _bytes: Vec<Place>,
}

impl Intake {
    /// Within `limits`.
    pub fn new(limits: Limits) -> Self {
        let (half, body) = (limits.bytes >> 11, limits.body >> 10);
        let large_bytes = Pool::split(half.saturating_sub(body), body, body);
        let (reviews, bytes) = (Pool::new(limits.reviews), Pool::new(half));
        Self { reviews, bytes, large_bytes, large: Pool::split(1, 1, 1), limits }
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
        let peer = request.extensions().get::<Peer>().copied().unwrap_or_default();
        let (body, bytes) = self.read(request, &peer, deadline.min(started + self.limits.body_time)).await?;
        let Some(review) = self.reviews.try_take(&peer, 1) else {
            return Err(Failed::overload("too many reviews at once"));
        };
        let large = if body.len() > self.limits.inline {
            let turn = tokio::time::timeout_at(deadline, self.large.take(&peer)).await;
            Some(turn.map_err(|_| Failed::overload("too many large reviews at once"))?)
        } else {
            None
        };
        Ok(Received { body, deadline, peer, _review: review, _large: large, _bytes: bytes })
    }

    /// Reads a body, and holds the room that is made for it among the bytes in flight. It is taken as bytes arrive, so that
    /// a sender that announces much and sends nothing takes nothing.
    async fn read(
        &self,
        request: Request,
        peer: &Peer,
        deadline: Instant,
    ) -> Result<(Bytes, Vec<Place>), Failed> {
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
        let announced = usize::try_from(announced).unwrap_or(limit);
        let (mut whole, mut single) = (Vec::new(), Bytes::new());
        let mut held = Held { intake: self, peer, kibibytes: 0, is_large: false, places: Vec::new() };
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
            let length = whole.len() + single.len() + data.len();
            if length > limit {
                return Err(too_large());
            }
            if whole.is_empty() && single.is_empty() {
                held.room(length)?;
                single = data;
                continue;
            }
            // Room doubles, but for no more than was announced: what was grown past the end would be held for nothing.
            if length > whole.capacity() {
                let room = (2 * whole.capacity()).min(announced).max(length);
                held.room(room)?;
                whole.reserve_exact(room - whole.len());
            }
            whole.extend_from_slice(&std::mem::take(&mut single));
            whole.extend_from_slice(&data);
        }
        let body = if whole.is_empty() { single } else { whole.into() };
        Ok((body, held.places))
    }
}

/// What one body holds of the bytes in flight.
struct Held<'p> {
    intake: &'p Intake,
    peer: &'p Peer,
    kibibytes: usize,
    is_large: bool,
    places: Vec<Place>,
}

impl Held<'_> {
    /// Takes what is missing to so many bytes; all of it anew where the body turns out to be large.
    fn room(&mut self, bytes: usize) -> Result<(), Failed> {
        if !self.is_large && bytes > self.intake.limits.inline {
            (self.is_large, self.kibibytes) = (true, 0);
            self.places.clear();
        }
        let pool = if self.is_large { &self.intake.large_bytes } else { &self.intake.bytes };
        let more = (bytes >> 10).saturating_sub(self.kibibytes);
        let size = u32::try_from(more).unwrap_or(u32::MAX);
        let Some(place) = pool.try_take(self.peer, size) else {
            return Err(Failed::overload("too many bytes of reviews at once"));
        };
        self.kibibytes += more;
        self.places.push(place);
        Ok(())
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
