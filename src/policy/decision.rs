//! A decision: all that one review comes to.

use std::fmt;

use super::finding::Finding;
use super::refusal::Refusal;

/// What a review comes to. Nothing else happened; the caller logs it and counts it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decision {
    /// Allowed, denied, or not to be said.
    pub outcome: Outcome,
    /// The JSON Patch (RFC 6902), as the text of a JSON array; `None` where there is nothing to change.
    pub patch: Option<String>,
    /// For the person at the keyboard. Of a denial, all that does not deny.
    pub warnings: Vec<String>,
    /// Why it was denied, refusals and findings, as the log has it: without sentences, bounded.
    pub reasons: Vec<Reason>,
    /// Why it was denied, findings apart: each reference, Secret or limit that stands in the way.
    pub refusals: Vec<Refusal>,
    /// Every finding, whatever level it counts at, ordered by pointer, then rule.
    pub findings: Vec<Finding>,
    /// Every reference and every synced Secret that the object uses, ordered by pointer.
    pub references: Vec<ReferenceReport>,
    /// Ids of the rules that count at the audit level or denied, sorted.
    pub rules: Vec<&'static str>,
    /// What the configuration lets pass though a rule strikes: where, which rule, and the reason.
    pub allowed: Vec<Exempt>,
    /// Whether the validating webhook has the last word: it was the mutating one that was asked.
    pub is_first_look: bool,
}

/// Whether the object may come in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Outcome {
    /// It may.
    #[default]
    Allow,
    /// It may not.
    Deny {
        /// HTTP code in the `status` of the response: 403, or 400 for an object that cannot be read.
        code: u16,
        /// One line that names every reason.
        message: String,
    },
    /// It cannot be said yet, because the snapshot lacks this namespace: a failure of ours.
    Unavailable {
        /// The sentence that kubectl shows.
        message: String,
    },
}

/// One reason of a denial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The word of a [`Cause`](super::refusal::Cause), `plaintext`, or `unreadable`.
    pub kind: &'static str,
    /// Id of the rule that found a plaintext.
    pub rule: Option<&'static str>,
    /// RFC 6901 pointer into the object.
    pub pointer: String,
}

/// Plaintext that the configuration lets pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exempt {
    /// Where it stands, in words.
    pub place: String,
    /// Id of the rule that found it.
    pub rule: &'static str,
    /// The reason that the configuration gives.
    pub reason: String,
    /// Whether the workload asked for it by `refgate.dev/allow-plaintext`.
    pub by_annotation: bool,
}

impl fmt::Display for Exempt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, rule, reason, by_annotation } = self;
        let how = if *by_annotation { "by annotation, " } else { "" };
        write!(out, "{place} ({rule}): {how}{reason}")
    }
}

/// What became of one reference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReferenceReport {
    /// RFC 6901 pointer into the judged object: where the reference stands.
    pub pointer: String,
    /// The path that it means; `None` where the text does not read as a path.
    pub path: Option<String>,
    /// The Secret that it resolves to.
    pub secret: Option<String>,
    /// The key in that Secret.
    pub key: Option<String>,
    /// Whether the namespace may have it.
    pub verdict: Verdict,
}

/// Whether a namespace may read a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Inside its scopes.
    Allowed,
    /// Outside, or not to be read.
    Denied,
    /// No world and no scope to tell by.
    Unknown,
}

impl Verdict {
    /// The word in JSON output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Unknown => "unknown",
        }
    }
}

impl Decision {
    /// Allowed, and nothing to say.
    pub fn allow() -> Self {
        Self::default()
    }

    /// The word in the log, the metrics and the audit annotation.
    pub fn verdict(&self) -> &'static str {
        match self.outcome {
            Outcome::Allow => "allow",
            Outcome::Deny { .. } => "deny",
            Outcome::Unavailable { .. } => "unavailable",
        }
    }

    /// The word in the audit annotation. Of two values for one key the API server keeps the first, and asks the mutating
    /// webhook again when a later mutator changed the pod: an `allow` of the first time would stay on a pod that is denied
    /// the second time. So only a denial is a verdict there; for all that passes, the validating webhook says it.
    pub fn verdict_on_record(&self) -> &'static str {
        if self.is_first_look && self.outcome == Outcome::Allow { "" } else { self.verdict() }
    }

    /// The paths that the object names, sorted, each once.
    pub fn paths(&self) -> Vec<&str> {
        let mut paths: Vec<&str> =
            self.references.iter().filter_map(|reference| reference.path.as_deref()).collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}
