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

/// The page of the documentation, `docs/rules.md`: the table with all that stands behind each row.
pub fn page() -> String {
    let mut out = String::from(
        "# The rules, one by one\n\n\
         What `refgate rules show ID` prints, on one page. It is made from the table in the code, and a test keeps it so: \
         `UPDATE_DOCS=1 cargo test --test it docs` writes it anew. How rules come to their verdict stands in \
         [detector.md](detector.md).\n\n",
    );
    for rule in RULES {
        let _ = writeln!(
            out,
            "## `{}`\n\n{}: {}. {}.\n",
            rule.id,
            capital(rule.certainty.as_str()),
            rule.summary,
            capital(rule.reason)
        );
        for (title, examples) in [("Finds", rule.examples), ("Leaves alone", rule.counter_examples)] {
            let _ = writeln!(out, "{title}:\n\n```");
            for example in examples {
                let _ = writeln!(out, "{}", abridged(&line(example)));
            }
            let _ = writeln!(out, "```\n");
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// With long random words cut: a page that is kept in Git must not look like one that leaks.
fn abridged(line: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '_' | '-' | '=');
    let mut out = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len()).max(first.len_utf8());
        let (word, tail) = rest.split_at(length);
        // The name and the sign in front of a value stay.
        let value = word.rfind('=').filter(|at| at + 1 < word.len()).map_or(0, |at| at + 1);
        let is_random = word.len() - value > 16 && word[value..].bytes().any(|byte| byte.is_ascii_digit());
        match is_random {
            true => out.extend([&word[..value + 6], "…"]),
            false => out.push_str(word),
        }
        rest = tail;
    }
    out
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
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
        Place::Secret => format!("Secret entry {name}: {value}"),
    }
}

/// On one line, and not longer than one.
fn shown(text: &str) -> String {
    const MOST: usize = 96;
    let flat = text.replace('\n', "\\n");
    if flat.chars().count() <= MOST { flat } else { flat.chars().take(MOST).chain("...".chars()).collect() }
}
