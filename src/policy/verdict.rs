//! From all that was seen to the verdict: what denies, what warns, what is only written down.

use std::collections::{HashMap, HashSet};

use super::decision::{Decision, Exempt, Outcome, Reason, ReferenceReport};
use super::finding::{Certainty, Finding};
use super::judge::Struck;
use super::level::{Level, Levels};
use super::message;
use super::refusal::{Cause, Refusal};
use super::resolve::World;

/// All that there is to say about one object.
#[derive(Debug, Default)]
pub struct Case<'t> {
    /// What denies at any level.
    pub refusals: Vec<Refusal>,
    /// What the developer should know.
    pub notes: Vec<(String, String)>,
    /// References and synced Secrets.
    pub references: Vec<ReferenceReport>,
    /// Plaintext.
    pub struck: Vec<Struck<'t>>,
    /// Env vars that hold a secret, by name.
    pub as_env: Vec<String>,
    /// What an update left as it was: it does not deny, and it is said.
    pub unchanged: Vec<String>,
    /// How many refusals there are besides those that are kept.
    pub dropped: usize,
    /// How many findings there are besides those that are kept.
    pub unlisted: usize,
    /// The same for those that are only probable.
    pub unlisted_probable: usize,
    /// Why not all of it was judged.
    pub overflow: Option<&'static str>,
}

/// What is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A pod: what is denied does not start.
    Pod,
    /// Something that makes pods.
    Workload,
    /// Something that holds data.
    Data,
    /// An object of another sync system.
    Carrier,
}

impl<'t> Case<'t> {
    /// What an update added to `old`. The same text at the same place, wherever it stands in its list, is no addition.
    ///
    /// Of what is over the limits only the number is known: an update that does not raise it is let pass, or an old
    /// rule-breaker could not even lose a finalizer.
    pub fn without(mut self, old: Case<'_>) -> Self {
        self.dropped = self.dropped.saturating_sub(old.dropped);
        self.unlisted = self.unlisted.saturating_sub(old.unlisted);
        self.unlisted_probable = self.unlisted_probable.saturating_sub(old.unlisted_probable);
        if self.overflow == old.overflow {
            self.overflow = None;
        }
        let refused: HashSet<(String, String)> =
            old.refusals.into_iter().map(|old| (old.subject, old.text)).collect();
        let struck: HashSet<_> = old.struck.iter().map(identity).collect();
        let mut unchanged = Vec::new();
        self.refusals.retain(|new| {
            let is_old = refused.contains(&(new.subject.clone(), new.text.clone()));
            if is_old {
                unchanged.push(line(new));
            }
            !is_old
        });
        self.struck.retain(|new| {
            let is_old = struck.contains(&identity(new));
            if is_old {
                unchanged.push(finding_line(&new.finding));
            }
            !is_old
        });
        self.unchanged = unchanged;
        // All of them are listed, or the advice would change with each update; it is given when one comes.
        let known: HashSet<String> = old.as_env.into_iter().collect();
        if self.as_env.iter().all(|name| known.contains(name)) {
            self.as_env.clear();
        }
        self
    }
}

/// Where a plaintext stands, apart from positions in lists, and what it is.
type Place<'s> = (&'static str, Option<&'s str>, Option<&'s str>, &'s str);

fn place<'s>(struck: &'s Struck<'_>) -> Place<'s> {
    let Finding { rule, container, name, .. } = &struck.finding;
    (rule, container.as_deref(), name.as_deref(), &struck.text)
}

/// What makes two findings the same one. What kubectl keeps of an object does not excuse what the object holds.
fn identity<'s>(struck: &'s Struck<'_>) -> (Place<'s>, bool) {
    (place(struck), struck.is_applied)
}

/// A plaintext that stands in the object and in the manifest that kubectl keeps of it is said once.
pub fn drop_repeats(struck: &mut Vec<Struck<'_>>) {
    if struck.len() < 2 {
        return;
    }
    let live: HashSet<Place<'_>> = struck.iter().filter(|struck| !struck.is_applied).map(place).collect();
    let keep: Vec<bool> =
        struck.iter().map(|struck| !(struck.is_applied && live.contains(&place(struck)))).collect();
    drop(live);
    let mut keep = keep.into_iter();
    struck.retain(|_| keep.next().unwrap_or(true));
}

/// Weighs a case by the levels of its namespace.
pub fn decide(case: Case<'_>, world: &World<'_>, subject: Subject) -> Decision {
    let levels = world.state.namespace.levels.over(world.settings.defaults);
    let hidden = [(case.unlisted, Certainty::Certain), (case.unlisted_probable, Certainty::Probable)];
    let Case {
        mut refusals, mut notes, mut references, struck, as_env, unchanged, dropped, overflow, ..
    } = case;
    let too_many = dropped > 0
        || hidden.iter().any(|(count, certainty)| *count > 0 && levels.enforce.counts(*certainty));
    for text in overflow.into_iter().chain(too_many.then_some(message::TOO_MANY_FAULTS)) {
        let what = match subject {
            Subject::Pod => "pod",
            Subject::Workload => "workload",
            Subject::Data | Subject::Carrier => "object",
        };
        refusals.push(Refusal {
            pointer: String::new(),
            subject: what.to_owned(),
            text: text.to_owned(),
            cause: Cause::Limit,
        });
    }
    refusals.sort();
    refusals.dedup();
    references.sort();
    references.dedup();
    let (passed, struck): (Vec<_>, Vec<_>) = struck.into_iter().partition(|struck| struck.allowed.is_some());
    // What a developer lets pass is said to whoever applies it.
    let by_mark = passed.iter().filter(|struck| struck.allowed.as_ref().is_some_and(|pass| pass.by_mark));
    notes.extend(
        by_mark.map(|struck| (place_of(&struck.finding), message::passes_by_mark(struck.finding.rule))),
    );
    let mut findings: Vec<Finding> = struck.into_iter().map(|struck| struck.finding).collect();
    findings.sort_by(|a, b| (&a.pointer, a.rule, &a.detail).cmp(&(&b.pointer, b.rule, &b.detail)));
    findings.dedup();
    let denying: Vec<&Finding> =
        findings.iter().filter(|finding| levels.enforce.counts(finding.certainty)).collect();
    let outcome = outcome(&refusals, &denying);
    // What is denied is not warned of besides; all else is, so that one round trip is enough.
    let warned = |finding: &&Finding| {
        levels.warn.counts(finding.certainty) && !levels.enforce.counts(finding.certainty)
    };
    let warned: Vec<&Finding> = findings.iter().filter(warned).collect();
    let warnings = warnings(&warned, &notes, &as_env, &unchanged, world, levels, subject);
    let reasons = match outcome {
        Outcome::Deny { .. } => reasons_of(&refusals, &denying),
        Outcome::Allow | Outcome::Unavailable { .. } => Vec::new(),
    };
    let mut rules: Vec<&'static str> = findings
        .iter()
        .filter(|finding| levels.audit.counts(finding.certainty) || levels.enforce.counts(finding.certainty))
        .map(|finding| finding.rule)
        .collect();
    rules.sort_unstable();
    rules.dedup();
    let allowed = passed.iter().filter_map(exempt).collect();
    Decision {
        outcome,
        reasons,
        warnings,
        refusals,
        findings,
        references,
        rules,
        allowed,
        ..Decision::default()
    }
}

/// Why an object is denied, for the log.
fn reasons_of(refusals: &[Refusal], denying: &[&Finding]) -> Vec<Reason> {
    let refusals = refusals.iter().map(|refusal| Reason {
        kind: refusal.cause.as_str(),
        rule: None,
        pointer: refusal.pointer.clone(),
    });
    let findings = denying.iter().map(|finding| Reason {
        kind: "plaintext",
        rule: Some(finding.rule),
        pointer: finding.pointer.clone(),
    });
    refusals.chain(findings).take(REASONS_LOGGED).collect()
}

/// What the configuration lets pass.
fn exempt(struck: &Struck<'_>) -> Option<Exempt> {
    let pass = struck.allowed.as_ref()?;
    let Finding { rule, .. } = struck.finding;
    let (place, reason) = (place_of(&struck.finding), pass.reason.to_string());
    Some(Exempt { place, rule, reason, by_annotation: pass.by_mark })
}

fn line(refusal: &Refusal) -> String {
    format!("{}: {}", refusal.subject, refusal.text)
}

/// A finding in one sentence: where, what, by which rule, what to write instead.
pub fn finding_line(finding: &Finding) -> String {
    let Finding { rule, detail, instead, .. } = finding;
    format!("{}: {detail} (rule {rule}); {instead}", place_of(finding))
}

/// Where a finding stands, in words.
fn place_of(finding: &Finding) -> String {
    let Finding { container, name, pointer, .. } = finding;
    let field = pointer
        .rsplit('/')
        .find(|segment| !segment.bytes().all(|byte| byte.is_ascii_digit()))
        .unwrap_or_default();
    let is_applied = pointer.ends_with("/kubectl.kubernetes.io~1last-applied-configuration");
    let data =
        ["/data/", "/binaryData/", "/stringData/"].iter().find_map(|field| pointer.strip_prefix(field));
    match (container, name) {
        (None, _) if data.is_some() => format!("key {}", unescape(data.unwrap_or_default())),
        (Some(container), None) if is_applied => format!("container {container}"),
        (Some(container), Some(name)) if pointer.contains("/httpHeaders/") => {
            format!("container {container}, header {name}")
        }
        (Some(container), Some(name)) => message::env_place(container, name),
        (Some(container), None) => format!("container {container}, {field}"),
        (None, Some(name)) if pointer.contains("/metadata/annotations/") => format!("annotation {name}"),
        (None, Some(name)) => format!("{pointer}, {name}"),
        (None, None) => pointer.clone(),
    }
}

fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

/// So many reasons are listed in a denial; more are counted.
const REASONS: usize = 20;
/// So many reasons are in the log line of a denial.
const REASONS_LOGGED: usize = 64;
/// So many places are listed of one reason; more are counted.
const PLACES: usize = 20;
/// A denial is cut after so many bytes; kubectl prints it on one line.
const MESSAGE_BYTES: usize = 6_000;

/// The message of a denial for refusals and findings; `None` where there are none.
pub fn denial(refusals: &[Refusal], findings: &[Finding]) -> Option<String> {
    match outcome(refusals, &findings.iter().collect::<Vec<_>>()) {
        Outcome::Deny { message, .. } => Some(message),
        Outcome::Allow | Outcome::Unavailable { .. } => None,
    }
}

/// What refusals and findings that deny come to: a denial with one line that numbers them, or none.
pub fn outcome(refusals: &[Refusal], denying: &[&Finding]) -> Outcome {
    if refusals.is_empty() && denying.is_empty() {
        return Outcome::Allow;
    }
    let reasons = reasons(refusals);
    let count = reasons.len() + denying.len();
    let lines = reasons.into_iter().chain(denying.iter().map(|finding| finding_line(finding)));
    let mut message = String::new();
    let mut listed = 0;
    for text in lines.take(REASONS) {
        let text = message::printable(&text);
        if listed > 0 && message.len() + text.len() > MESSAGE_BYTES {
            break;
        }
        listed += 1;
        let number = if count > 1 { format!("({listed}) ") } else { String::new() };
        let gap = if listed > 1 { "; " } else { "" };
        message.push_str(&format!("{gap}{number}{}", message::cut(&text, MESSAGE_BYTES)));
    }
    if listed < count {
        message.push_str(&format!("; and {} more", count - listed));
    }
    Outcome::Deny { code: 403, message }
}

/// What refuses, each reason once with all its places: that a namespace is not bound is no news at the second reference.
fn reasons(refusals: &[Refusal]) -> Vec<String> {
    let mut order: HashMap<&str, usize> = HashMap::new();
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for refusal in refusals {
        let at = *order.entry(&refusal.text).or_insert(reasons.len());
        if at == reasons.len() {
            reasons.push((&refusal.text, Vec::new()));
        }
        reasons[at].1.push(&refusal.subject);
    }
    let said = |(text, mut places): (&str, Vec<&str>)| {
        places.dedup();
        let more = places.len().saturating_sub(PLACES);
        places.truncate(PLACES);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        format!("{}{more}: {text}", message::places(&places))
    };
    reasons.into_iter().map(said).collect()
}

/// Longest warning, in characters: beyond a total of 4096 the API server cuts each to 256 (`apiserver`,
/// `endpoints/filters/warning.go`).
const WARNING_CHARACTERS: usize = 256;
/// All our warnings together, in characters, so that other webhooks have room.
const WARNINGS_CHARACTERS: usize = 2_048;

fn warnings(
    findings: &[&Finding],
    notes: &[(String, String)],
    as_env: &[String],
    unchanged: &[String],
    world: &World<'_>,
    levels: Levels,
    subject: Subject,
) -> Vec<String> {
    let mut all: Vec<String> = world.state.namespace.problems.clone();
    all.extend(findings.iter().map(|finding| finding_line(finding)));
    all.extend(notes.iter().map(|(subject, text)| format!("{subject}: {text}")));
    let left_alone = match subject {
        Subject::Pod => None,
        Subject::Workload => Some("this was there before and is left alone, but new pods are refused for it"),
        Subject::Data | Subject::Carrier => Some("this was there before and is left alone"),
    };
    all.extend(
        left_alone.into_iter().flat_map(|why| unchanged.iter().map(move |text| format!("{why}: {text}"))),
    );
    if levels.warn == Level::Restricted && !as_env.is_empty() {
        all.push(message::secrets_in_env(as_env));
    }
    let mut total = 0;
    let mut kept: Vec<String> = Vec::new();
    let mut left_out = 0;
    for text in all {
        let text = message::cut(&message::printable(&text), WARNING_CHARACTERS);
        if kept.contains(&text) {
            continue;
        }
        total += text.chars().count();
        if total > WARNINGS_CHARACTERS {
            left_out += 1;
        } else {
            kept.push(text);
        }
    }
    if left_out > 0 {
        kept.push(format!("and {left_out} more warnings of RefGate"));
    }
    kept
}
