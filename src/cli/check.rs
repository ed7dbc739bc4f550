//! `refgate check`: the decisions of the webhook, on files, for pull requests and editors.

use std::io::{self, Write as _};
use std::path::PathBuf;

use super::form::Form;
use super::input::{self, Document, Problem};
use super::judge::{self, Judge, Judged, Unjudged, Workload};
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
    let nothing = input::read(&options.paths, &mut io::stdin().lock(), &mut |read| {
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
    // Then a count of nothing would read as a result.
    let is_nothing = nothing.is_some() && documents.is_empty() && report.errors.is_empty();
    if let Some(problem) = nothing {
        // Standard output goes into a file, perhaps; for programs it is in the report too.
        let _ = writeln!(anstream::stderr(), "refgate: {}", problem.message);
        report.errors.push(problem);
    }
    let text = match options.output {
        Output::Text if is_nothing => String::new(),
        Output::Text => report.text(),
        Output::Json => report.json(),
    };
    Screen::new().print(&text)?;
    Ok(report.exit_code())
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

/// Judges one document into the report.
pub fn add(report: &mut Report, judge: &mut Judge, document: &Document) {
    if let Form::Encrypted(by) = document.form {
        return report.skip_encrypted(&document.file, by);
    }
    let mut is_left_out = false;
    let judged = judge.workload(&document.value).and_then(|workload| match workload {
        Some(workload) if !workload.is_left_out() => Ok(Some((judge.judge(&workload)?, workload))),
        other => {
            is_left_out = other.is_some();
            beside(judge, document)
        }
    });
    match judged {
        Ok(Some((judged, workload))) => report.results.push(Entry::new(document, workload, judged)),
        Ok(None) => report.skip(is_left_out),
        Err(unjudged) => report.errors.push(Problem {
            file: Some(document.file.clone()),
            line: Some(document.line_of(&unjudged.pointer)),
            message: unjudged.to_string(),
        }),
    }
}
