//! What `check` found, as text for eyes and as JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::input::{Document, Problem};
use super::judge::{Judged, Workload};
use super::{CLEAN, REFUSED, UNREADABLE, place, reasons};
use crate::policy::decision::{ReferenceReport, Verdict};
use crate::policy::finding::Finding;
use crate::policy::{message, verdict};

const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const GREEN: &str = "\x1b[32m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// All that one run found. The fields are what `--output json` prints.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// One entry for each workload, in the order they were read.
    pub results: Vec<Entry>,
    /// What could not be read or judged.
    pub errors: Vec<Problem>,
    /// How many documents are no workload.
    pub skipped: usize,
}

/// What one document came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    file: String,
    line: usize,
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
    /// What the message says besides the findings.
    #[serde(skip)]
    refusals: Vec<Refusal>,
}

/// One reason of a denial, and where it stands.
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
    /// What the message of a denial says of it.
    #[serde(skip)]
    sentence: String,
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
    line: usize,
    container: Option<String>,
    what: String,
}

impl At {
    fn new(document: &Document, pointer: &str) -> Self {
        let place::Place { container, what } = place::of(&document.value, pointer);
        Self { line: document.line_of(pointer), container, what }
    }
}

impl Entry {
    /// What `judged` says of `document`.
    pub fn new(document: &Document, workload: Workload<'_>, judged: Judged) -> Self {
        let finding = |finding: Finding| FindingEntry {
            rule: finding.rule,
            certainty: finding.certainty.as_str(),
            at: At::new(document, &finding.pointer),
            sentence: message::printable(&verdict::finding_line(&finding)),
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
        let findings: Vec<FindingEntry> = judged.findings.into_iter().map(finding).collect();
        let refusals = judged.refusal.as_deref().map(|message| refusals(document, message, &findings));
        Self {
            refusals: refusals.unwrap_or_default(),
            file: document.file.clone(),
            line: document.line,
            api_version: workload.api_version.to_owned(),
            kind: workload.kind.kind.into_owned(),
            namespace: workload.namespace,
            name: workload.name,
            decision: if judged.refusal.is_some() { "deny" } else { "allow" },
            message: judged.refusal,
            findings,
            references: judged.references.into_iter().map(reference).collect(),
            warnings: judged.warnings,
        }
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
        lines
    }

    fn row(&self, at: &At, mark: &'static str) -> Line {
        let object =
            if self.name.is_empty() { self.kind.clone() } else { format!("{}/{}", self.kind, self.name) };
        let container = at.container.as_ref().map(|name| format!("container {name}")).unwrap_or_default();
        let cells = [format!("{}:{}", self.file, at.line), object, container, at.what.clone()];
        Line::Row { cells: cells.map(|cell| printable(&cell)), mark }
    }
}

/// What a message says besides the findings, each reason with the place that it begins with.
fn refusals(document: &Document, message: &str, findings: &[FindingEntry]) -> Vec<Refusal> {
    let said = |reason: &str| findings.iter().any(|finding| finding.sentence == reason);
    let reasons: Vec<&str> = reasons::split(message).into_iter().filter(|reason| !said(reason)).collect();
    if reasons.is_empty() {
        return Vec::new();
    }
    let places = place::all(&document.value);
    let refusal = |reason: &str| {
        let found = reason.match_indices(": ").find_map(|(at, _)| Some((at, places.get(&reason[..at])?)));
        match found {
            Some((at, pointer)) => {
                Refusal { at: At::new(document, pointer), text: reason[at + 2..].to_owned() }
            }
            None => Refusal { at: At::new(document, ""), text: reason.to_owned() },
        }
    };
    let mut refusals: Vec<Refusal> = reasons.into_iter().map(refusal).collect();
    refusals.sort_by_key(|refusal| refusal.at.line);
    refusals
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
            let place = printable(&format!("{}{line}", problem.file));
            let _ = writeln!(out, "{BOLD}{place}{PLAIN}  {RED}error{PLAIN}  {}", printable(&problem.message));
        }
        if !self.errors.is_empty() {
            out.push('\n');
        }
        out.push_str(&self.summary());
        out
    }

    fn summary(&self) -> String {
        let denied = self.results.iter().filter(|entry| entry.message.is_some()).count();
        let findings: usize = self.results.iter().map(|entry| entry.findings.len()).sum();
        let warnings: usize = self.results.iter().map(|entry| entry.warnings.len()).sum();
        let references = self.results.iter().flat_map(|entry| &entry.references);
        let unknown = references.filter(|reference| reference.verdict == Verdict::Unknown.as_str()).count();
        let mut parts = vec![format!("{} allowed", self.results.len() - denied), format!("{denied} refused")];
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
            parts.push(format!("{} skipped (no workload)", self.skipped));
        }
        let colour = match self.exit_code() {
            CLEAN => GREEN,
            _ => RED,
        };
        let mut out =
            format!("{colour}{}{PLAIN}: {}\n", plural(self.results.len(), "workload"), parts.join(", "));
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
