//! What one document, or one object of a cluster, came to: its row in JSON, and its lines in text.

use std::collections::{BTreeSet, HashSet};

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::same::{self, Before, Seen};
use super::text::{Line, printable};
use super::totals::Totals;
use crate::cli::input::Document;
use crate::cli::judge::{Judged, Workload, helm};
use crate::cli::place;
use crate::policy::decision::{ReferenceReport, Verdict};
use crate::policy::finding::Finding;
use crate::policy::refusal;
use crate::policy::workload::SECRET;

/// What is denied for its file alone, and by nothing in the cluster.
const OF_FILE: &str = "file";

/// So many keys of a Secret are named in a row.
const KEYS: usize = 5;

/// What one document came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// `None`, as the line, for an object of a cluster.
    file: Option<String>,
    line: Option<usize>,
    api_version: String,
    kind: String,
    namespace: String,
    name: String,
    decision: &'static str,
    /// Of what is denied: `webhook`, or `file` for what must not be committed and nothing in the cluster would deny.
    #[serde(skip_serializing_if = "Option::is_none")]
    denied_by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// What to do where the object is of a chart that somebody else wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
    findings: Vec<FindingEntry>,
    references: Vec<ReferenceEntry>,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed: Vec<String>,
    /// Of an object of a cluster.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    group: Option<Group>,
    /// Whether it is the manifest of a Secret: its findings share a line.
    #[serde(skip)]
    is_secret: bool,
    /// What is refused, besides the findings.
    #[serde(skip)]
    refusals: Vec<Refusal>,
}

/// For whom an entry of a cluster stands.
#[derive(Debug, Serialize)]
struct Group {
    /// The controller that made the object: `ReplicaSet/web-5d9c`.
    owner: Option<String>,
    /// How many others of that owner are refused for the same, and have no entry.
    alike: usize,
}

/// What is refused, and where it stands.
#[derive(Debug)]
struct Refusal {
    at: At,
    text: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FindingEntry {
    rule: &'static str,
    certainty: &'static str,
    container: Option<String>,
    name: Option<String>,
    pointer: String,
    reason: &'static str,
    detail: String,
    /// Where the same value was found first.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "place_of")]
    same_as: Option<Before>,
    #[serde(skip)]
    instead: String,
    /// The text that it stands in, as a number that says nothing of it.
    #[serde(skip)]
    text: Option<u64>,
    #[serde(skip)]
    at: At,
}

#[derive(Debug, Serialize)]
struct ReferenceEntry {
    pointer: String,
    path: Option<String>,
    secret: Option<String>,
    key: Option<String>,
    verdict: &'static str,
}

/// Where something stands, for eyes.
#[derive(Debug)]
struct At {
    line: Option<usize>,
    container: Option<String>,
    what: String,
}

impl At {
    fn new(document: Option<&Document>, object: &Value, pointer: &str) -> Self {
        let place::Place { container, what } = place::of(object, pointer);
        Self { line: document.map(|document| document.line_of(pointer)), container, what }
    }
}

impl Entry {
    /// What `judged` says of `document`.
    pub fn new(document: &Document, workload: Workload<'_>, judged: Judged) -> Self {
        Self::read(Some(document), &document.value, workload, judged)
    }

    /// What `judged` says of an object of a cluster, which `owner` has made.
    pub fn of_object(object: &Value, workload: Workload<'_>, judged: Judged, owner: Option<String>) -> Self {
        let entry = Self::read(None, object, workload, judged);
        Self { group: Some(Group { owner, alike: 0 }), ..entry }
    }

    fn read(document: Option<&Document>, object: &Value, workload: Workload<'_>, judged: Judged) -> Self {
        let is_secret = workload.kind == SECRET;
        let advice = (document.is_some() && !is_secret && !judged.findings.is_empty())
            .then(|| helm::advice(object, &judged.findings))
            .flatten();
        let finding = |finding: Finding| {
            let text = same::number(object, &finding, is_secret);
            FindingEntry {
                rule: finding.rule,
                certainty: finding.certainty.as_str(),
                at: At::new(document, object, &finding.pointer),
                container: finding.container,
                name: finding.name,
                pointer: finding.pointer,
                reason: finding.reason,
                detail: finding.detail,
                same_as: None,
                text: document.and(text),
                instead: finding.instead,
            }
        };
        let reference = |reference: ReferenceReport| ReferenceEntry {
            pointer: reference.pointer,
            path: reference.path,
            secret: reference.secret,
            key: reference.key,
            verdict: reference.verdict.as_str(),
        };
        let refusal = |refusal::Refusal { pointer, text, .. }| Refusal {
            at: At::new(document, object, &pointer),
            text,
        };
        let mut refusals: Vec<Refusal> = judged.refusals.into_iter().map(refusal).collect();
        refusals.sort_by_key(|refusal| refusal.at.line);
        Self {
            refusals,
            file: document.map(|document| document.file.clone()),
            line: document.map(|document| document.line),
            group: None,
            api_version: workload.api_version.to_owned(),
            kind: workload.kind.kind.into_owned(),
            namespace: workload.namespace,
            name: workload.name,
            decision: if judged.denial.is_some() { "deny" } else { "allow" },
            denied_by: judged.denial.as_ref().map(|_| if judged.is_of_file { OF_FILE } else { "webhook" }),
            message: judged.denial,
            advice,
            is_secret,
            findings: judged.findings.into_iter().map(finding).collect(),
            references: judged.references.into_iter().map(reference).collect(),
            warnings: judged.warnings,
            allowed: judged.allowed.iter().map(ToString::to_string).collect(),
        }
    }

    /// What it adds to the totals.
    pub(super) fn count(&self, totals: &mut Totals) {
        totals.judged += 1;
        totals.refused += usize::from(self.message.is_some());
        totals.of_files += usize::from(self.denied_by == Some(OF_FILE));
        totals.findings += self.findings.len();
        totals.warnings += self.warnings.len();
        let is_unknown = |reference: &&ReferenceEntry| reference.verdict == Verdict::Unknown.as_str();
        totals.unknown += self.references.iter().filter(is_unknown).count();
    }

    /// Whether another entry speaks of the same object.
    pub fn is_of(&self, other: &Self) -> bool {
        let object = |entry: &Self| {
            (entry.api_version.clone(), entry.kind.clone(), entry.namespace.clone(), entry.name.clone())
        };
        object(self) == object(other)
    }

    /// Adds sentences about the whole that are not there yet.
    pub fn warn(&mut self, warnings: &[String]) {
        let known: HashSet<String> = self.warnings.iter().cloned().collect();
        self.warnings.extend(warnings.iter().filter(|warning| !known.contains(*warning)).cloned());
    }

    /// Says that no cluster gets it: kubectl leaves it out of what it applies.
    pub fn is_in_file_alone(&mut self) {
        self.denied_by = self.denied_by.map(|_| OF_FILE);
    }

    /// Takes in what another reading of the same object says besides.
    pub fn absorb(&mut self, other: Self) {
        let place = |finding: &FindingEntry| (finding.rule, finding.at.line, finding.pointer.clone());
        let known: HashSet<_> = self.findings.iter().map(place).collect();
        self.findings.extend(other.findings.into_iter().filter(|finding| !known.contains(&place(finding))));
        let place = |refusal: &Refusal| (refusal.at.line, refusal.text.clone());
        let known: HashSet<_> = self.refusals.iter().map(place).collect();
        self.refusals.extend(other.refusals.into_iter().filter(|refusal| !known.contains(&place(refusal))));
        self.refusals.sort_by_key(|refusal| refusal.at.line);
        if self.message.is_none() {
            (self.message, self.decision) = (other.message, other.decision);
            (self.denied_by, self.advice) = (other.denied_by, other.advice);
        }
        self.warn(&other.warnings);
    }

    /// Where it belongs.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// One more of the same owner is refused for the same.
    pub fn add_alike(&mut self) {
        if let Some(group) = &mut self.group {
            group.alike += 1;
        }
    }

    /// What it is refused for, in words that are the same for a workload and for the pods that it makes: which rule,
    /// and where, but no position in a list.
    pub fn faults(&self) -> BTreeSet<String> {
        let words = |mark: &str, at: &At| {
            format!("{mark}\n{}\n{}", at.container.as_deref().unwrap_or_default(), at.what)
        };
        let findings = self.findings.iter().map(|finding| words(finding.rule, &finding.at));
        let refusals = self.refusals.iter().map(|refusal| words("refused", &refusal.at));
        let mut faults: BTreeSet<String> = findings.chain(refusals).collect();
        if faults.is_empty() {
            faults.extend(self.message.clone());
        }
        faults
    }

    /// What there is to see: a row for each finding and each refusal, then what the warnings say of the whole.
    pub(super) fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        // By line, where JSON has them by pointer.
        let mut findings: Vec<&FindingEntry> = self.findings.iter().collect();
        findings.sort_by_key(|finding| finding.at.line);
        if self.is_secret && !findings.is_empty() {
            lines.extend(self.secret_lines(&findings));
            findings.clear();
        }
        for finding in findings {
            lines.push(self.row(&finding.at, finding.rule));
            let what = match &finding.same_as {
                Some(Before { place, .. }) => format!("the same value as at {place}"),
                None => format!("{}: {}", finding.reason, finding.detail),
            };
            lines.extend(Line::notes("", &what));
            if !finding.same_as.as_ref().is_some_and(|before| before.is_advised) {
                lines.extend(Line::notes("instead: ", &finding.instead));
            }
        }
        if let Some(advice) = &self.advice {
            lines.extend(Line::notes("of a chart: ", advice));
        }
        let mut previous = None;
        for refusal in &self.refusals {
            let place = (refusal.at.line, &refusal.at.what);
            if previous.replace(place) != Some(place) {
                lines.push(self.row(&refusal.at, "refused"));
            }
            lines.extend(Line::notes("", &refusal.text));
        }
        let whole = At { line: self.line, container: None, what: String::new() };
        if !self.warnings.is_empty() {
            lines.push(self.row(&whole, "warning"));
            lines.extend(self.warnings.iter().flat_map(|warning| Line::notes("", warning)));
        }
        if let Some(Group { owner: Some(owner), alike: 1.. }) = &self.group {
            let alike = self.group.as_ref().map_or(0, |group| group.alike);
            lines.extend(Line::notes("", &format!("the same in {alike} more of {owner}")));
        }
        lines
    }

    /// One row for all that was found in a Secret's manifest.
    fn secret_lines(&self, findings: &[&FindingEntry]) -> Vec<Line> {
        let mut keys: Vec<&str> = Vec::new();
        for finding in findings {
            let key = finding.name.as_deref().unwrap_or_default();
            if !keys.contains(&key) && keys.len() <= KEYS {
                keys.push(key);
            }
        }
        let more = if keys.len() > KEYS { ", …" } else { "" };
        keys.truncate(KEYS);
        let what = format!("{} {}{more}", if keys.len() == 1 { "key" } else { "keys" }, keys.join(", "));
        let at = At { line: findings.first().and_then(|finding| finding.at.line), container: None, what };
        let mut lines = vec![self.row(&at, "do not commit")];
        lines.extend(self.message.iter().flat_map(|message| Line::notes("", message)));
        let mut places: Vec<&str> = findings
            .iter()
            .filter_map(|finding| finding.same_as.as_ref().map(|before| &*before.place))
            .collect();
        places.dedup();
        if !places.is_empty() {
            places.truncate(KEYS);
            lines.extend(Line::notes("", &format!("some of it was found before, at {}", places.join(", "))));
        }
        lines
    }

    /// Marks what was found before, and remembers what was not.
    pub(super) fn compare(&mut self, seen: &mut Seen) {
        for finding in &mut self.findings {
            let Some(text) = finding.text else { continue };
            let (Some(file), Some(line)) = (&self.file, finding.at.line) else { continue };
            finding.same_as = seen.before(text, format!("{file}:{line}"), self.is_secret);
        }
    }

    fn row(&self, at: &At, mark: &'static str) -> Line {
        let object =
            if self.name.is_empty() { self.kind.clone() } else { format!("{}/{}", self.kind, self.name) };
        let container = at.container.as_ref().map(|name| format!("container {name}")).unwrap_or_default();
        let first = match (&self.file, at.line) {
            (Some(file), Some(line)) => format!("{file}:{line}"),
            _ => self.namespace.clone(),
        };
        let cells = [first, object, container, at.what.clone()];
        Line::Row { cells: cells.map(|cell| printable(&cell)), mark }
    }
}

fn place_of<S: Serializer>(before: &Option<Before>, out: S) -> Result<S::Ok, S::Error> {
    before.as_ref().map(|before| &before.place).serialize(out)
}
