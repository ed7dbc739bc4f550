//! `refgate check`: the decisions of the webhook, on files, for pull requests and editors.

use std::io;
use std::path::PathBuf;

use super::input::{self, Document, Problem};
use super::judge::{self, Judge};
use super::report::{Entry, Report};
use super::{Against, CLEAN, Progress, Screen, carriers};

/// What to check, and how to say it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Files, folders, or `-`.
    pub paths: Vec<PathBuf>,
    /// How the result is printed.
    pub output: Output,
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
    let mut report = Report::default();
    let (mut progress, mut documents) = (Progress::new(), Vec::new());
    // All of them are read before any is judged: an ExternalSecret may stand before its store.
    input::read(&options.paths, &mut io::stdin().lock(), &mut |read| {
        match read {
            Ok(document) => {
                judge.take_in(&document.value);
                documents.push(document);
            }
            Err(problem) => report.errors.push(problem),
        }
        progress.say(|| format!("{} documents", documents.len()));
    });
    for document in &documents {
        add(&mut report, &mut judge, document);
    }
    progress.done();
    let text = match options.output {
        Output::Text => report.text(),
        Output::Json => report.json(),
    };
    Screen::new().print(&text)?;
    Ok(report.exit_code())
}

/// Judges one document into the report.
pub fn add(report: &mut Report, judge: &mut Judge, document: &Document) {
    let judged = match judge.workload(&document.value) {
        Ok(None) => match judge.kept_by_sops(&document.value) {
            Some((workload, judged)) => Ok(Entry::new(document, workload, judged)),
            None => {
                report.skipped += 1;
                return;
            }
        },
        Ok(Some(workload)) => judge.judge(&workload).map(|judged| Entry::new(document, workload, judged)),
        Err(unjudged) => Err(unjudged),
    };
    match judged {
        Ok(entry) => report.results.push(entry),
        Err(unjudged) => report.errors.push(Problem {
            file: Some(document.file.clone()),
            line: Some(document.line_of(&unjudged.pointer)),
            message: unjudged.to_string(),
        }),
    }
}
