//! `refgate check`: the decisions of the webhook, on files, for pull requests and editors.
//!
//! The files are read twice, and one document at a time is in memory: first what others are judged by, then all of them.

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::Value;

use super::form::Form;
use super::input::{Document, Problem, Read, STDIN, Sources};
use super::judge::secrets::Secrets;
use super::judge::{self, Judge, Judged, Unjudged, Workload, sops};
use super::report::{Entry, Report, Why};
use super::{Against, CLEAN, Progress, Screen, UNREADABLE, carriers};
use crate::policy::workload::SECRET;

/// What to check, and how to say it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Files, folders, or `-`.
    pub paths: Vec<PathBuf>,
    /// How the result is printed.
    pub output: Output,
    /// What becomes of manifests of Secrets with values in them; without it, that depends on where they come from.
    pub secrets: Option<Secrets>,
    /// A path to explain, in place of checking anything.
    pub explain: Option<String>,
    /// What to judge against.
    pub against: Against,
}

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// For eyes.
    Text,
    /// For programs.
    Json,
}

/// Judges everything, prints the report to standard output, and says the exit code.
pub fn run(options: &Options) -> anyhow::Result<u8> {
    if let Some(path) = &options.explain {
        let settings = judge::settings(options.against.config.as_deref())?;
        Screen::new().print(&carriers::explain(path, &settings)?)?;
        return Ok(CLEAN);
    }
    let mut judge = Judge::load_with_secrets(&options.against)?;
    let mut sources = Sources::new(&options.paths, &mut io::stdin().lock());
    let (mut progress, mut count) = (Progress::new(), 0_usize);
    // What others are judged by is taken in before any is judged: an ExternalSecret may stand before its store.
    sources.read_where(&Judge::may_be_taken_in, &mut |read| {
        if let Read::Document(document) = read {
            judge.take_in(&document.value);
        }
    });
    let mut report = Report::new(Screen::new(), options.output);
    let nothing = sources.read(&mut |read| {
        match read {
            Read::Document(document) => {
                let secrets = options.secrets.unwrap_or(secrets_of(&document));
                add(&mut report, &mut judge, &document, secrets);
            }
            Read::Problem(problem) => report.problem(&problem),
            Read::End => report.end_file(),
        }
        count += 1;
        progress.say(|| format!("{count} documents"));
    });
    progress.done();
    if let Some(problem) = nothing {
        // Standard output goes into a file, perhaps; for programs it is in the report too.
        let _ = writeln!(anstream::stderr(), "refgate: {}", problem.message);
        // Then a count of nothing would read as a result.
        if options.output == Output::Text && report.count() == 0 {
            return Ok(UNREADABLE);
        }
        report.problem(&problem);
    }
    let (_, code) = report.finish().context("standard output")?;
    Ok(code)
}

/// What there is to say of a document that admission does not judge.
fn beside<'a>(judge: &Judge, document: &'a Document) -> Result<Option<(Judged, Workload<'a>)>, Unjudged> {
    let object = &document.value;
    let judged = match judge.kept_by_sops(object) {
        _ if document.form == Form::PrivateKey => judge.private_key(object),
        Some(kept) => Some(kept),
        None => judge::namespace(object)?,
    };
    Ok(judged.map(|(workload, judged)| (judged, workload)))
}

/// What standard input brings is on its way to the cluster, and a Secret in it may have been drawn just now; files lie in Git.
fn secrets_of(document: &Document) -> Secrets {
    if document.file == STDIN { Secrets::Warn } else { Secrets::Deny }
}

/// What one document came to.
enum Came {
    Judged(Box<Entry>),
    Skipped(Why, Option<String>),
    Unread(Problem),
}

/// Judges one document into the report, and with it the values that kubectl leaves out: they are in the file all the same.
pub fn add<W: io::Write>(report: &mut Report<W>, judge: &mut Judge, document: &Document, secrets: Secrets) {
    if let Form::Encrypted(by) = document.form {
        return report.skip_encrypted(&document.file, by);
    }
    let mut own = judged(judge, document, secrets);
    for earlier in &document.earlier {
        let Came::Judged(mut other) = judged(judge, earlier, secrets) else {
            // What no cluster gets and no rule knows.
            continue;
        };
        other.is_in_file_alone();
        match &mut own {
            Came::Judged(own) if own.is_of(&other) => own.absorb(*other),
            _ => {
                other.warn(&document.notes);
                report.entry(*other);
            }
        }
    }
    match own {
        Came::Judged(mut entry) => {
            entry.warn(&document.notes);
            report.entry(*entry);
        }
        Came::Skipped(why, kind) => report.skip(why, kind.as_deref()),
        Came::Unread(problem) => report.problem(&problem),
    }
}

fn judged(judge: &mut Judge, document: &Document, secrets: Secrets) -> Came {
    let object = &document.value;
    let mut why = None;
    let judged = judge.workload(object).and_then(|workload| match workload {
        Some(workload) if !workload.is_left_out() => Ok(Some((judge.judge(&workload)?, workload))),
        other => {
            why = other.map(|_| Why::Namespace);
            beside(judge, document)
        }
    });
    match judged {
        Ok(Some((mut judged, workload))) => {
            if workload.kind == SECRET {
                judged = judged.of_secret(object, secrets);
            }
            Came::Judged(Box::new(Entry::new(document, workload, judged)))
        }
        Ok(None) => {
            let kind = kind_of(object);
            let why = why.unwrap_or(match kind {
                _ if sops::is_kept(object) => Why::Encrypted,
                Some(_) if object.get("apiVersion").is_some_and(Value::is_string) => Why::Kind,
                _ => Why::NoObject,
            });
            Came::Skipped(why, kind)
        }
        Err(unjudged) => Came::Unread(Problem {
            file: Some(document.file.clone()),
            line: Some(document.line_of(&unjudged.pointer)),
            message: unjudged.to_string(),
        }),
    }
}

/// The kind of an object, as kubectl writes it: with its group, where it has one.
fn kind_of(object: &Value) -> Option<String> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let group = text("apiVersion").and_then(|version| version.rsplit_once('/')).map(|(group, _)| group);
    Some(match group {
        Some(group) => format!("{}.{group}", text("kind")?),
        None => text("kind")?.to_owned(),
    })
}
