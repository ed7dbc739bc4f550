//! One review: parsed, decided, answered, then logged and counted; a panic on the way is caught.
//!
//! Called by `http` with a body that is complete. No I/O but the log line, no waiting, no locks.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use axum::body::Bytes;
use tokio::time::Instant;

use crate::policy::carriers::{self, Known};
use crate::policy::decision::{Decision, Exempt, Outcome, Reason};
use crate::policy::review::{self, Endpoint, ParseError, Review};
use crate::policy::snapshot::Snapshot;
use crate::telemetry::{FindingLabels, Members, Metrics, ReviewLabels, ReviewLine};

/// The decision itself; tests put others in its place, ones that panic for example.
pub type Decide = fn(&Review<'_>, &Snapshot) -> Decision;

/// What judging comes to.
pub(super) enum Judged {
    Answer(Vec<u8>),
    NotAReview(String),
    Unavailable { namespace: Box<str>, message: String },
    Panicked,
}

/// One review, with all that judging it takes.
pub(super) struct Job {
    pub metrics: Arc<Metrics>,
    pub decide: Decide,
    pub endpoint: Endpoint,
    pub body: Bytes,
    pub snapshot: Arc<Snapshot>,
    /// When the request came.
    pub started: Instant,
    /// Whether a namespace that is not known by now is reported, and not looked for again.
    pub last_look: bool,
    /// Whether the client showed a certificate of `--client-ca`: `verified` or `unverified`.
    pub client: &'static str,
}

/// The lists of objects in a log line.
struct Lists<'d> {
    reasons: Vec<Members<'d>>,
    allowed: Vec<Members<'d>>,
}

impl<'d> Lists<'d> {
    fn of(decision: &'d Decision) -> Self {
        let reason = |reason: &'d Reason| {
            let rule = reason.rule.map(|rule| ("rule", rule));
            [("kind", reason.kind)].into_iter().chain(rule).chain([("pointer", &*reason.pointer)]).collect()
        };
        let exempt = |exempt: &'d Exempt| {
            let by = if exempt.by_annotation { "annotation" } else { "configuration" };
            vec![("place", &*exempt.place), ("rule", exempt.rule), ("by", by), ("reason", &*exempt.reason)]
        };
        Self {
            reasons: decision.reasons.iter().map(reason).collect(),
            allowed: decision.allowed.iter().map(exempt).collect(),
        }
    }
}

impl Job {
    /// Nothing that is shared is changed before the decision is made, so a panic leaves nothing half done.
    pub fn judge(&self) -> Judged {
        catch_unwind(AssertUnwindSafe(|| self.judge_or_panic())).unwrap_or(Judged::Panicked)
    }

    fn judge_or_panic(&self) -> Judged {
        let review = match review::parse(&self.body, self.endpoint, &self.snapshot.settings.judged) {
            Ok(review) => review,
            Err(ParseError::NotAReview(sentence)) => return Judged::NotAReview(sentence),
            Err(ParseError::Object { uid, pointer, problem }) => {
                let decision = review::unreadable(&pointer, &problem);
                self.count("other", Cow::Borrowed("other"), decision.verdict());
                self.line(&uid, &decision, &Lists::of(&decision)).log();
                return Judged::Answer(review::respond(&uid, &decision));
            }
        };
        let decision = (self.decide)(&review, &self.snapshot);
        if let Outcome::Unavailable { message } = &decision.outcome {
            let namespace = review.namespace.as_deref().unwrap_or_default().into();
            if self.last_look {
                self.report(&review, &decision);
            }
            return Judged::Unavailable { namespace, message: message.clone() };
        }
        let answer = review::respond(&review.uid, &decision);
        self.report(&review, &decision);
        Judged::Answer(answer)
    }

    fn line<'a>(&self, uid: &'a str, decision: &'a Decision, lists: &'a Lists<'_>) -> ReviewLine<'a> {
        ReviewLine {
            uid,
            endpoint: self.endpoint.as_str(),
            client: self.client,
            user: "",
            groups: &[],
            operation: "",
            kind: "",
            namespace: "",
            name: "",
            dry_run: false,
            paths: &[],
            verdict: decision.verdict(),
            rules: &decision.rules,
            reasons: &lists.reasons,
            allowed: &lists.allowed,
            duration: self.started.elapsed(),
        }
    }

    fn report(&self, review: &Review<'_>, decision: &Decision) {
        let operation = match &*review.operation {
            "CREATE" => "CREATE",
            "UPDATE" => "UPDATE",
            "DELETE" => "DELETE",
            "CONNECT" => "CONNECT",
            _ => "other",
        };
        let settings = &self.snapshot.settings;
        let known =
            settings.judged.iter().find(|kind| kind.kind == review.kind && kind.group == review.group);
        let carried = match carriers::known(&review.group, &review.kind) {
            Some(Known::Kind(_, kind)) => Some(kind.kind),
            _ => None,
        };
        let kind = match known {
            Some(known) => known.kind.clone(),
            None => Cow::Borrowed(carried.unwrap_or("other")),
        };
        self.count(operation, kind, decision.verdict());
        self.count_findings(review, decision);
        ReviewLine {
            user: &review.user,
            groups: &review.groups,
            operation: &review.operation,
            kind: &review.kind,
            namespace: review.namespace.as_deref().unwrap_or_default(),
            name: &review.name,
            dry_run: review.dry_run,
            paths: &decision.paths(),
            ..self.line(&review.uid, decision, &Lists::of(decision))
        }
        .log();
    }

    fn count(&self, operation: &'static str, kind: Cow<'static, str>, outcome: &'static str) {
        let metrics = &self.metrics;
        let endpoint = self.endpoint.as_str();
        metrics.reviews.get_or_create(&ReviewLabels { endpoint, operation, kind, outcome }).inc();
        metrics.duration.observe(self.started.elapsed().as_secs_f64());
    }

    fn count_findings(&self, review: &Review<'_>, decision: &Decision) {
        if decision.findings.is_empty() {
            return;
        }
        let state = review.namespace.as_deref().and_then(|name| self.snapshot.namespaces.get(name));
        let labels = state.map(|state| state.namespace.levels).unwrap_or_default();
        let levels = labels.over(self.snapshot.settings.defaults);
        for finding in &decision.findings {
            for (mode, level) in [("enforce", levels.enforce), ("warn", levels.warn), ("audit", levels.audit)]
            {
                if level.counts(finding.certainty) {
                    let labels = FindingLabels { rule: finding.rule, mode };
                    self.metrics.findings.get_or_create(&labels).inc();
                }
            }
        }
    }
}
