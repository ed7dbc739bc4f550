//! `parse`: admission.k8s.io/v1 JSON to a Review. `respond`: a Decision to JSON, always with the uid.
//!
//! A review is read once, in one pass, into a borrowed view of the few fields that matter. Only when that fails, `fault` looks
//! for its uid and for the pointer of the fault.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeSeed;

use super::carriers::Foreign;
use super::carriers::json::{self, Root};
use super::decision::{Decision, Outcome, Reason};
use super::envelope::{Envelope, EnvelopeSeed, Slot};
use super::fault::{fault, has_too_many_elements, read_raw};
use super::message;
use super::workload::Kind;
use super::workload::json::Text;
use super::workload::object::{Object, ObjectSeed};

/// The only version of the envelope that is spoken.
pub(super) const API_VERSION: &str = "admission.k8s.io/v1";

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
    /// Its version.
    pub version: Cow<'a, str>,
    /// Subresource that was asked for; empty for the object itself.
    pub sub_resource: Cow<'a, str>,
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
    /// Whether the kind has a pod template, or is a pod.
    pub is_workload: bool,
    /// The object, if its kind has a pod template.
    pub object: Option<Object<'a>>,
    /// What it was before, likewise.
    pub old_object: Option<Object<'a>>,
    /// The object, if its kind is one of another sync system.
    pub foreign: Option<Foreign<'a>>,
    /// What it was before, likewise.
    pub old_foreign: Option<Foreign<'a>>,
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
        /// RFC 6901 pointer into the object, or into the review where the fault is outside of it.
        pointer: String,
        /// What is wrong there.
        problem: String,
    },
}

/// Reads a review. `kinds` says where each kind keeps its pod template.
pub fn parse<'a>(body: &'a [u8], endpoint: Endpoint, kinds: &[Kind]) -> Result<Review<'a>, ParseError> {
    // Looked at once, as a whole: that JSON is UTF-8 is otherwise seen string by string, at several times the price.
    let Ok(text) = std::str::from_utf8(body) else { return Err(fault(body, kinds)) };
    if has_too_many_elements(body) {
        return Err(fault(body, kinds));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let envelope = EnvelopeSeed { kinds }.deserialize(&mut deserializer).and_then(|envelope| {
        deserializer.end()?;
        Ok(envelope)
    });
    match envelope {
        Ok(envelope) if envelope.is_review() && envelope.has_operation() => {
            envelope.into_review(endpoint, kinds)
        }
        _ => Err(fault(body, kinds)),
    }
}

impl<'a> Envelope<'a> {
    /// Whether it is a review at all.
    fn is_review(&self) -> bool {
        &*self.api_version == API_VERSION
            && &*self.kind == "AdmissionReview"
            && self.request.as_ref().is_some_and(|request| !request.uid.is_empty())
    }

    /// Whether the operation is one that Kubernetes has: what is none must not pass as nothing to judge.
    fn has_operation(&self) -> bool {
        let operation = self.request.as_ref().map(|request| &*request.operation);
        matches!(operation, Some("CREATE" | "UPDATE" | "DELETE" | "CONNECT"))
    }

    fn into_review(self, endpoint: Endpoint, kinds: &[Kind]) -> Result<Review<'a>, ParseError> {
        let request = self.request.unwrap_or_default();
        let kind = request.kind.unwrap_or_default();
        let row = kind.row(kinds);
        let read = |slot: Slot<'a>, field: &str| match slot {
            Slot::Empty => Ok((None, None)),
            Slot::Read(object) => Ok((object, None)),
            Slot::Foreign(json) => Ok((None, Some(json))),
            Slot::Raw(raw) if kind.is_carried() => {
                Ok((None, Some(read_raw(raw, Root, field, &request.uid)?)))
            }
            Slot::Raw(raw) => match row {
                Some(row) => Ok((read_raw(raw, ObjectSeed(row), field, &request.uid)?, None)),
                None => Ok((None, None)),
            },
        };
        let foreign = |object: json::Object<'a>| {
            Some(Foreign::new(object, false)).filter(|object| !object.json.is_null())
        };
        let (object, json) = read(request.object, "")?;
        let (old_object, old_json) = read(request.old_object, "/oldObject")?;
        let (foreign, old_foreign) = (json.and_then(foreign), old_json.and_then(foreign));
        let name = request.name.filter(|name| !name.is_empty()).or_else(|| {
            if let Some(foreign) = &foreign {
                let made =
                    [foreign.name(), foreign.generate_name()].into_iter().find(|name| !name.is_empty());
                return made.map(|name| Text(Cow::Owned(name.to_owned())));
            }
            let metadata = &object.as_ref()?.metadata;
            metadata.name.clone().or_else(|| metadata.generate_name.clone())
        });
        Ok(Review {
            endpoint,
            uid: request.uid.0,
            operation: request.operation.0,
            kind: kind.kind.unwrap_or_default().0,
            group: kind.group.unwrap_or_default().0,
            version: kind.version.unwrap_or_default().0,
            sub_resource: request.sub_resource.unwrap_or_default().0,
            namespace: request.namespace.map(|text| text.0).filter(|namespace| !namespace.is_empty()),
            name: name.unwrap_or_default().0,
            user: request.user.username.unwrap_or_default().0,
            groups: request.user.groups.unwrap_or_default().into_iter().map(|text| text.0).collect(),
            dry_run: request.dry_run,
            is_workload: row.is_some(),
            object,
            old_object,
            foreign,
            old_foreign,
        })
    }
}

/// The decision on an object that could not be read: denied, code 400, with the pointer to what is wrong.
pub fn unreadable(pointer: &str, problem: &str) -> Decision {
    let pointer = message::cut(&message::printable(pointer), 500);
    let message = format!("the object cannot be read: {pointer}: {problem}");
    let reasons = vec![Reason { kind: "unreadable", rule: None, pointer }];
    Decision { outcome: Outcome::Deny { code: 400, message }, reasons, ..Decision::default() }
}

/// The AdmissionReview that answers: the body of an HTTP 200. A decision that is `Unavailable` has no such answer; the
/// server sends HTTP 503 instead, and here it reads as a denial, so that nothing can slip through.
pub fn respond(uid: &str, decision: &Decision) -> Vec<u8> {
    let mut out =
        Vec::with_capacity(256 + decision.patch.as_ref().map_or(0, |patch| patch.len() * 4 / 3 + 4));
    out.extend_from_slice(
        br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"#,
    );
    string(&mut out, uid);
    match &decision.outcome {
        Outcome::Allow => out.extend_from_slice(br#","allowed":true"#),
        Outcome::Deny { code, message } => deny(&mut out, *code, message),
        Outcome::Unavailable { message } => deny(&mut out, 503, message),
    }
    if let (Outcome::Allow, Some(patch)) = (&decision.outcome, &decision.patch) {
        out.extend_from_slice(br#","patchType":"JSONPatch","patch":""#);
        out.extend_from_slice(STANDARD.encode(patch).as_bytes());
        out.push(b'"');
    }
    if !decision.warnings.is_empty() {
        out.extend_from_slice(br#","warnings":["#);
        separated(&mut out, decision.warnings.iter().map(|warning| ("", warning.as_str())));
        out.push(b']');
    }
    out.extend_from_slice(br#","auditAnnotations":{"#);
    let (paths, rules) = (joined(&decision.paths(), ","), decision.rules.join(","));
    let allowed: Vec<String> = decision.allowed.iter().map(ToString::to_string).collect();
    let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
    let allowed = message::printable(&joined(&allowed, "; "));
    let annotations = [
        ("verdict", decision.verdict_on_record()),
        ("paths", &*paths),
        ("rules", &*rules),
        ("allowed", &*allowed),
    ];
    separated(&mut out, annotations.into_iter().filter(|(_, value)| !value.is_empty()));
    out.extend_from_slice(b"}}}");
    out
}

/// Longest list in an audit annotation, in bytes: each is written to the audit log for every request.
const AUDIT_BYTES: usize = 8_192;

fn joined(items: &[&str], separator: &str) -> String {
    let mut text = String::new();
    for (index, item) in items.iter().enumerate() {
        if text.len() + item.len() > AUDIT_BYTES {
            text.push_str(&format!("{separator}and {} more", items.len() - index));
            break;
        }
        if index > 0 {
            text.push_str(separator);
        }
        text.push_str(item);
    }
    text
}

/// `reason: Forbidden` is what kubectl shows with the message; other reasons make it drop the message.
fn deny(out: &mut Vec<u8>, code: u16, message: &str) {
    let reason = if code == 403 { "Forbidden" } else { "BadRequest" };
    out.extend_from_slice(
        format!(
            r#","allowed":false,"status":{{"status":"Failure","code":{code},"reason":"{reason}","message":"#
        )
        .as_bytes(),
    );
    string(out, message);
    out.push(b'}');
}

/// Members of an object, or elements of a list where the keys are empty.
fn separated<'a>(out: &mut Vec<u8>, members: impl Iterator<Item = (&'a str, &'a str)>) {
    for (index, (key, value)) in members.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if !key.is_empty() {
            string(out, key);
            out.push(b':');
        }
        string(out, value);
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    // Writing a string into a Vec cannot fail; if it ever did, an empty string keeps the JSON whole.
    let start = out.len();
    if serde_json::to_writer(&mut *out, text).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"\"\"");
    }
}
