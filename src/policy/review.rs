//! `parse`: admission.k8s.io/v1 JSON to a Review. `respond`: a Decision to JSON, always with the uid.

use std::borrow::Cow;

use super::decision::{Decision, Outcome};
use super::workload::Kind;

/// Which webhook was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/mutate`: injects, and refuses what it cannot or must not resolve.
    Mutate,
    /// `/validate`: judges what all mutators left.
    Validate,
}

impl Endpoint {
    /// The word in the log and the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mutate => "mutate",
            Self::Validate => "validate",
        }
    }
}

/// One AdmissionReview request, borrowed from its bytes.
#[derive(Debug)]
pub struct Review<'a> {
    /// Which webhook was asked.
    pub endpoint: Endpoint,
    /// Identity of this call; the response repeats it.
    pub uid: Cow<'a, str>,
    /// `CREATE`, `UPDATE`, `DELETE`, `CONNECT`.
    pub operation: Cow<'a, str>,
    /// Kind of the object.
    pub kind: Cow<'a, str>,
    /// Its API group.
    pub group: Cow<'a, str>,
    /// Namespace of the request; `None` for a cluster-scoped object.
    pub namespace: Option<Cow<'a, str>>,
    /// Name of the object; what `generateName` says where it has none yet.
    pub name: Cow<'a, str>,
    /// Who asks.
    pub user: Cow<'a, str>,
    /// Their groups.
    pub groups: Vec<Cow<'a, str>>,
    /// Whether nothing will be kept.
    pub dry_run: bool,
}

/// Why a body could not be judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not JSON, or not an AdmissionReview of admission.k8s.io/v1: HTTP 400 with this sentence.
    #[error("{0}")]
    NotAReview(String),
    /// A review whose object cannot be read: it is answered with a denial, code 400.
    #[error("{pointer}: {problem}")]
    Object {
        /// The uid to answer with.
        uid: String,
        /// RFC 6901 pointer into the object.
        pointer: String,
        /// What is wrong there.
        problem: String,
    },
}

/// Reads a review. `kinds` says where each kind keeps its pod template.
pub fn parse<'a>(_body: &'a [u8], _endpoint: Endpoint, _kinds: &[Kind]) -> Result<Review<'a>, ParseError> {
    Err(ParseError::NotAReview("not written yet".into()))
}

/// The decision on an object that could not be read: denied, code 400, with the pointer to what is wrong.
pub fn unreadable(pointer: &str, problem: &str) -> Decision {
    let message = format!("the object cannot be read: {pointer}: {problem}");
    Decision { outcome: Outcome::Deny { code: 400, message }, ..Decision::default() }
}

/// The AdmissionReview that answers: the body of an HTTP 200. A decision that is `Unavailable` has no such answer; the
/// server sends HTTP 503 instead.
pub fn respond(uid: &str, decision: &Decision) -> Vec<u8> {
    let _ = (uid, decision);
    Vec::new()
}
