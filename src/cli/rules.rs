//! `refgate rules`: the rules that find plaintext, so that who was denied can look up what struck.

use std::fmt::Write as _;

use anyhow::bail;

use super::{CLEAN, Screen};
use crate::policy::finding::Certainty;
use crate::policy::rules::{Example, Place, RULES, Rule};

/// Names that are at least this alike are worth a "did you mean".
const ALIKE: f64 = 0.7;

/// Lists the rules, or shows the one with this id.
pub fn run(id: Option<&str>) -> anyhow::Result<u8> {
    let text = match id {
        None => list(),
        Some(id) => match RULES.iter().find(|rule| rule.id == id) {
            Some(rule) => show(rule),
            None => bail!("there is no rule {id}{} (`refgate rules` lists all)", similar(id)),
        },
    };
    Screen::new().print(&text)?;
    Ok(CLEAN)
}

fn similar(id: &str) -> String {
    let alike = |rule: &&&Rule| strsim::jaro_winkler(rule.id, id);
    let best = RULES.iter().max_by(|a, b| alike(a).total_cmp(&alike(b)));
    match best.filter(|rule| alike(rule) >= ALIKE) {
        Some(rule) => format!(", did you mean {}?", rule.id),
        None => String::new(),
    }
}

fn list() -> String {
    let width = RULES.iter().map(|rule| rule.id.len()).max().unwrap_or_default();
    let mut out = String::new();
    for rule in RULES {
        let _ = writeln!(
            out,
            "\x1b[1m{:width$}\x1b[0m  {:8}  {}",
            rule.id,
            rule.certainty.as_str(),
            rule.summary
        );
    }
    let _ = writeln!(
        out,
        "\nLevel baseline counts what is certain, level restricted also what is probable.\n\
         `refgate rules show ID` has the reason and examples of one rule."
    );
    out
}

fn show(rule: &Rule) -> String {
    let counted = match rule.certainty {
        Certainty::Certain => "certain: counts from level baseline on",
        Certainty::Probable => "probable: counts at level restricted",
    };
    let mut out =
        format!("\x1b[1m{}\x1b[0m ({counted})\n{}\n\nWhy:\n  {}\n", rule.id, rule.summary, rule.reason);
    for (title, examples) in [("Finds", rule.examples), ("Leaves alone", rule.counter_examples)] {
        let _ = writeln!(out, "\n{title}:");
        for example in examples {
            let _ = writeln!(out, "  {}", line(example));
        }
    }
    out
}

/// An example as it would be written.
fn line(example: &Example) -> String {
    let value = shown(example.value);
    let name = example.name.unwrap_or_default();
    match example.place {
        Place::Env => format!("env {name}={value}"),
        Place::Argument | Place::Command => match example.before {
            Some(before) => format!("args [{}, {value}]", shown(before)),
            None => format!("args [{value}]"),
        },
        Place::Header => format!("header {name}: {value}"),
        Place::UrlPath => format!("path {value}"),
        Place::Annotation => format!("annotation {name}: {value}"),
        Place::VolumeAttribute => format!("volume attribute {name}: {value}"),
        Place::ConfigMap => format!("ConfigMap entry {name}: {value}"),
    }
}

/// On one line, and not longer than one.
fn shown(text: &str) -> String {
    const MOST: usize = 96;
    let flat = text.replace('\n', "\\n");
    if flat.chars().count() <= MOST { flat } else { flat.chars().take(MOST).chain("...".chars()).collect() }
}
