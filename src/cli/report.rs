//! What `check` and `scan` found, as text for eyes and as JSON for programs.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::input::{Document, Problem};
use super::judge::{Judged, Workload};
use super::{CLEAN, REFUSED, UNREADABLE, place};
use crate::policy::decision::{ReferenceReport, Verdict};
use crate::policy::finding::Finding;
use crate::policy::wishes;
use crate::world::{OWN_NAMESPACE, SYSTEM_NAMESPACES};

const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const GREEN: &str = "\x1b[32m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// All that one run found. The fields are what `--output json` prints.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// One entry for each object that was judged, in the order they were read.
    pub results: Vec<Entry>,
    /// What could not be read or judged.
    pub errors: Vec<Problem>,
    /// How many documents were not judged; of a cluster, how many objects are over.
    pub skipped: usize,
    /// How many of those lie in a namespace that both webhooks leave out.
    #[serde(rename = "leftOut", skip_serializing_if = "is_none")]
    pub left_out: usize,
    /// Those that are encrypted as a whole, which is as it should be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub encrypted: Vec<Encrypted>,
    /// Of a cluster alone, where `results` are those that are refused.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub scanned: Option<Scanned>,
}

/// A file that is encrypted as a whole.
#[derive(Debug, Serialize)]
pub struct Encrypted {
    file: String,
    by: &'static str,
}

/// Of encrypted files, so many are named; JSON has all.
const NAMED: usize = 10;

fn is_none(count: &usize) -> bool {
    *count == 0
}

/// How many objects of a cluster were judged.
#[derive(Debug, Serialize)]
pub struct Scanned {
    /// All of them.
    pub judged: usize,
    /// Those that would be refused, whether they have an entry of their own or not.
    pub refused: usize,
}

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
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    findings: Vec<FindingEntry>,
    references: Vec<ReferenceEntry>,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed: Vec<String>,
    /// Of an object of a cluster.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    group: Option<Group>,
    /// Whether pods come of it.
    #[serde(skip)]
    is_workload: bool,
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
struct FindingEntry {
    rule: &'static str,
    certainty: &'static str,
    container: Option<String>,
    name: Option<String>,
    pointer: String,
    reason: &'static str,
    detail: String,
    #[serde(skip)]
    instead: String,
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
        let finding = |finding: Finding| FindingEntry {
            rule: finding.rule,
            certainty: finding.certainty.as_str(),
            at: At::new(document, object, &finding.pointer),
            container: finding.container,
            name: finding.name,
            pointer: finding.pointer,
            reason: finding.reason,
            detail: finding.detail,
            instead: finding.instead,
        };
        let reference = |reference: ReferenceReport| ReferenceEntry {
            pointer: reference.pointer,
            path: reference.path,
            secret: reference.secret,
            key: reference.key,
            verdict: reference.verdict.as_str(),
        };
        let refusal =
            |wishes::Refusal { pointer, text, .. }| Refusal { at: At::new(document, object, &pointer), text };
        let mut refusals: Vec<Refusal> = judged.refusals.into_iter().map(refusal).collect();
        refusals.sort_by_key(|refusal| refusal.at.line);
        Self {
            refusals,
            file: document.map(|document| document.file.clone()),
            line: document.map(|document| document.line),
            group: None,
            is_workload: workload.makes_pods(),
            api_version: workload.api_version.to_owned(),
            kind: workload.kind.kind.into_owned(),
            namespace: workload.namespace,
            name: workload.name,
            decision: if judged.denial.is_some() { "deny" } else { "allow" },
            message: judged.denial,
            findings: judged.findings.into_iter().map(finding).collect(),
            references: judged.references.into_iter().map(reference).collect(),
            warnings: judged.warnings,
            allowed: judged.allowed,
        }
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
    fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        // By line, where JSON has them by pointer.
        let mut findings: Vec<&FindingEntry> = self.findings.iter().collect();
        findings.sort_by_key(|finding| finding.at.line);
        for finding in findings {
            lines.push(self.row(&finding.at, finding.rule));
            lines.push(Line::note("", &format!("{}: {}", finding.reason, finding.detail)));
            lines.push(Line::note("instead: ", &finding.instead));
        }
        let mut previous = None;
        for refusal in &self.refusals {
            let place = (refusal.at.line, &refusal.at.what);
            if previous.replace(place) != Some(place) {
                lines.push(self.row(&refusal.at, "refused"));
            }
            lines.push(Line::note("", &refusal.text));
        }
        let whole = At { line: self.line, container: None, what: String::new() };
        if !self.warnings.is_empty() {
            lines.push(self.row(&whole, "warning"));
            lines.extend(self.warnings.iter().map(|warning| Line::note("", warning)));
        }
        if let Some(Group { owner: Some(owner), alike: 1.. }) = &self.group {
            let alike = self.group.as_ref().map_or(0, |group| group.alike);
            lines.push(Line::note("", &format!("the same in {alike} more of {owner}")));
        }
        lines
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

/// One line of text output.
enum Line {
    /// Where, and what there.
    Row { cells: [String; 4], mark: &'static str },
    /// A sentence about the row above.
    Note { label: &'static str, text: String },
}

impl Line {
    fn note(label: &'static str, text: &str) -> Self {
        Self::Note { label, text: printable(text) }
    }
}

impl Report {
    /// 0 clean or warnings alone, 1 findings or refusals, 2 something could not be read, which wins.
    pub fn exit_code(&self) -> u8 {
        if !self.errors.is_empty() {
            UNREADABLE
        } else if self.results.iter().any(|entry| entry.message.is_some() || !entry.findings.is_empty()) {
            REFUSED
        } else {
            CLEAN
        }
    }

    /// For programs.
    pub fn json(&self) -> String {
        // Maps with string keys and no failing Serialize: this cannot fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// For eyes; colours are in it, and whoever prints it takes them out where they do not belong.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let blocks: Vec<Vec<Line>> = self.results.iter().map(Entry::lines).collect();
        let mut widths = [0; 4];
        for line in blocks.iter().flatten() {
            if let Line::Row { cells, .. } = line {
                for (width, cell) in widths.iter_mut().zip(cells) {
                    *width = cell.chars().count().max(*width);
                }
            }
        }
        for block in blocks.iter().filter(|block| !block.is_empty()) {
            for line in block {
                write_line(&mut out, line, widths);
            }
            out.push('\n');
        }
        for problem in &self.errors {
            let line = problem.line.map(|line| format!(":{line}")).unwrap_or_default();
            if let Some(file) = &problem.file {
                let _ = write!(out, "{BOLD}{}{PLAIN}  ", printable(&format!("{file}{line}")));
            }
            let _ = writeln!(out, "{RED}error{PLAIN}  {}", printable(&problem.message));
        }
        if !self.errors.is_empty() {
            out.push('\n');
        }
        self.write_encrypted(&mut out);
        out.push_str(&self.summary());
        out
    }

    /// What was judged, in one word.
    fn what(&self) -> &'static str {
        if self.results.iter().all(|entry| entry.is_workload) { "workload" } else { "object" }
    }

    /// One more document that is not judged.
    pub fn skip(&mut self, is_left_out: bool) {
        self.skipped += 1;
        self.left_out += usize::from(is_left_out);
    }

    /// One more file that is not judged, since it is encrypted as it should be.
    pub fn skip_encrypted(&mut self, file: &str, by: &'static str) {
        self.skipped += 1;
        self.encrypted.push(Encrypted { file: file.to_owned(), by });
    }

    /// Which files are encrypted, below everything else.
    fn write_encrypted(&self, out: &mut String) {
        for Encrypted { file, by } in self.encrypted.iter().take(NAMED) {
            let _ = writeln!(
                out,
                "{BOLD}{}{PLAIN}  {DIM}skipped: it is encrypted by {by}{PLAIN}",
                printable(file)
            );
        }
        if let more @ 1.. = self.encrypted.len().saturating_sub(NAMED) {
            let _ = writeln!(
                out,
                "{DIM}{} more that are encrypted; --output json names all{PLAIN}",
                plural(more, "file")
            );
        }
        if !self.encrypted.is_empty() {
            out.push('\n');
        }
    }

    /// Why documents were not judged.
    fn why_skipped(&self) -> String {
        const KIND: &str = "of a kind that is not judged";
        let place =
            format!("in {} or {OWN_NAMESPACE}, where no webhook judges", SYSTEM_NAMESPACES.join(", "));
        if self.scanned.is_some() {
            return "it is over".to_owned();
        }
        let others = self.skipped - self.left_out - self.encrypted.len();
        let why = [(others, KIND), (self.left_out, &*place), (self.encrypted.len(), "encrypted")];
        let why: Vec<_> = why.into_iter().filter(|(count, _)| *count > 0).collect();
        match why[..] {
            [(_, why)] => why.to_owned(),
            _ => why.iter().map(|(count, why)| format!("{count} {why}")).collect::<Vec<_>>().join(", "),
        }
    }

    fn summary(&self) -> String {
        let in_results = self.results.iter().filter(|entry| entry.message.is_some()).count();
        let (what, judged, denied) = match &self.scanned {
            None => (self.what(), self.results.len(), in_results),
            Some(scanned) => ("object", scanned.judged, scanned.refused),
        };
        let findings: usize = self.results.iter().map(|entry| entry.findings.len()).sum();
        let warnings: usize = self.results.iter().map(|entry| entry.warnings.len()).sum();
        let references = self.results.iter().flat_map(|entry| &entry.references);
        let unknown = references.filter(|reference| reference.verdict == Verdict::Unknown.as_str()).count();
        let mut parts = vec![format!("{} allowed", judged - denied), format!("{denied} refused")];
        for (count, one, many) in [
            (findings, "finding", "findings"),
            (warnings, "warning", "warnings"),
            (self.errors.len(), "error", "errors"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {}", if count == 1 { one } else { many }));
            }
        }
        if self.skipped > 0 {
            parts.push(format!("{} skipped ({})", self.skipped, self.why_skipped()));
        }
        let colour = match self.exit_code() {
            CLEAN => GREEN,
            _ => RED,
        };
        let mut out = format!("{colour}{}{PLAIN}: {}\n", plural(judged, what), parts.join(", "));
        if self.scanned.is_some() && denied > self.results.len() {
            let _ = writeln!(
                out,
                "{DIM}{} of the refused have no entry: their owner's, or that of another of its pods, says the same{PLAIN}",
                denied - self.results.len()
            );
        }
        if unknown > 0 {
            let _ = writeln!(
                out,
                "{DIM}{} not judged: say --scope GROUP/APP/ENV or --world FILE{PLAIN}",
                plural(unknown, "reference")
            );
        }
        out
    }
}

fn plural(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

fn write_line(out: &mut String, line: &Line, widths: [usize; 4]) {
    match line {
        Line::Row { cells, mark } => {
            for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
                let style = if index == 0 { BOLD } else { "" };
                let padding = width - cell.chars().count();
                // A column that no row fills takes no room.
                let gap = if width == 0 { 0 } else { padding + 2 };
                let _ = write!(out, "{style}{cell}{}{:gap$}", if style.is_empty() { "" } else { PLAIN }, "");
            }
            let colour = if *mark == "warning" { YELLOW } else { RED };
            let _ = writeln!(out, "{colour}{mark}{PLAIN}");
        }
        Line::Note { label, text } => {
            let _ = writeln!(out, "    {DIM}{label}{PLAIN}{text}");
        }
    }
}

/// Names come from files: one with an escape sequence in it must not speak to the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}
