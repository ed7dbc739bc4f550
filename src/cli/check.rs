//! `refgate check`: the decisions of the webhook, on files, for pull requests and editors.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::input::{self, Document, Problem};
use super::judge::Judge;
use super::report::{Entry, Report};
use super::{Against, Screen};

/// What to check, and how to say it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Files, folders, or `-`.
    pub paths: Vec<PathBuf>,
    /// How the result is printed.
    pub output: Output,
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
    let mut judge = Judge::load(&options.against)?;
    let mut report = Report::default();
    let mut progress = Progress::new();
    input::read(&options.paths, &mut io::stdin().lock(), &mut |read| {
        match read {
            Ok(document) => add(&mut report, &mut judge, &document),
            Err(problem) => report.errors.push(problem),
        }
        progress.step();
    });
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
        Ok(None) => {
            report.skipped += 1;
            return;
        }
        Ok(Some(workload)) => judge.judge(&workload).map(|judged| Entry::new(document, workload, judged)),
        Err(unjudged) => Err(unjudged),
    };
    match judged {
        Ok(entry) => report.results.push(entry),
        Err(unjudged) => report.errors.push(Problem {
            file: document.file.clone(),
            line: Some(document.line_of(&unjudged.pointer)),
            message: unjudged.to_string(),
        }),
    }
}

/// A count on standard error, for a person who waits.
struct Progress {
    shown: bool,
    last: Instant,
    documents: usize,
    terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Self { shown: false, last: Instant::now(), documents: 0, terminal: io::stderr().is_terminal() }
    }

    fn step(&mut self) {
        self.documents += 1;
        if self.terminal && self.last.elapsed() > Duration::from_millis(300) {
            self.last = Instant::now();
            self.shown = true;
            // Nobody misses a count that could not be written.
            let _ = write!(io::stderr(), "\r{} documents", self.documents);
        }
    }

    fn done(&self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
