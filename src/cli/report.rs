//! What `check` and `scan` found, written as it comes: as text for eyes, or as one JSON document for programs.
//!
//! `entry` is what one object came to, `text` puts rows into columns, `totals` and `skipped` count.

mod entry;
mod same;
mod skipped;
mod text;
mod totals;

use std::io::{self, Read as _, Seek as _, Write};

use serde::Serialize;
use tempfile::SpooledTempFile;

pub use entry::Entry;
use same::Seen;
use skipped::NAMED;
pub use skipped::Why;
pub(super) use text::printable;
use text::{BOLD, Block, DIM, PLAIN, RED};
pub use totals::Totals;

use super::check::Output;
use super::input::Problem;

/// Errors of a JSON report take so many bytes of memory at the most; more of them are in an unlinked file until the end.
const ERRORS_BYTES: usize = 1 << 20;

/// A report that is being written. What cannot be written is an error at its end.
pub struct Report<W: Write> {
    out: W,
    output: Output,
    totals: Totals,
    block: Block,
    seen: Seen,
    /// JSON alone: the errors, which stand behind the results.
    errors: SpooledTempFile,
    failure: Option<io::Error>,
    has_begun: bool,
}

impl<W: Write> Report<W> {
    /// An empty report, written to `out`.
    pub fn new(out: W, output: Output) -> Self {
        Self {
            out,
            output,
            totals: Totals::default(),
            block: Block::default(),
            seen: Seen::default(),
            errors: SpooledTempFile::new(ERRORS_BYTES),
            failure: None,
            has_begun: false,
        }
    }

    /// Takes in what one object came to.
    pub fn entry(&mut self, mut entry: Entry) {
        entry.compare(&mut self.seen);
        entry.count(&mut self.totals);
        match self.output {
            Output::Text => {
                if self.block.add(entry.lines()) {
                    self.end_file();
                }
            }
            Output::Json => {
                let comma = if self.has_begun { "," } else { "{\n  \"results\": [" };
                self.has_begun = true;
                self.print(&format!("{comma}\n    {}", indented(&entry)));
            }
        }
    }

    /// Takes in something that could not be read or judged.
    pub fn problem(&mut self, problem: &Problem) {
        self.totals.errors += 1;
        match self.output {
            Output::Text => {
                self.end_file();
                let line = problem.line.map(|line| format!(":{line}")).unwrap_or_default();
                let place = problem
                    .file
                    .as_ref()
                    .map(|file| format!("{BOLD}{}{PLAIN}  ", printable(&format!("{file}{line}"))));
                let place = place.unwrap_or_default();
                self.print(&format!("{place}{RED}error{PLAIN}  {}\n\n", printable(&problem.message)));
            }
            Output::Json => {
                let comma = if self.totals.errors > 1 { "," } else { "" };
                let written = self.errors.write_all(format!("{comma}\n    {}", indented(problem)).as_bytes());
                self.keep(written);
            }
        }
    }

    /// Counts an object that was not judged; `kind` is as kubectl writes it with its group.
    pub fn skip(&mut self, why: Why, kind: Option<&str>) {
        self.totals.skipped.add(why, kind);
    }

    /// Counts many that were not judged.
    pub fn skip_many(&mut self, why: Why, count: usize) {
        self.totals.skipped.add_many(why, count);
    }

    /// One more file that is not judged, since it is encrypted as it should be.
    pub fn skip_encrypted(&mut self, file: &str, by: &'static str) {
        self.totals.skipped.add_encrypted(file, by);
        if self.output == Output::Text && self.totals.skipped.encrypted().len() <= NAMED {
            self.end_file();
            let file = printable(file);
            self.print(&format!("{BOLD}{file}{PLAIN}  {DIM}skipped: it is encrypted by {by}{PLAIN}\n\n"));
        }
    }

    /// How many objects and errors there are so far.
    pub fn count(&self) -> usize {
        self.totals.judged + self.totals.errors + self.totals.skipped.count()
    }

    /// The counts: of a cluster they are not those of the entries.
    pub fn totals(&mut self) -> &mut Totals {
        &mut self.totals
    }

    /// A file ends: its rows share their columns, and are written.
    pub fn end_file(&mut self) {
        let text = self.block.take();
        self.print(&text);
    }

    /// Writes what is left and the totals. Gives where it was written to, and the exit code.
    pub fn finish(mut self) -> io::Result<(W, u8)> {
        match self.output {
            Output::Text => {
                self.end_file();
                let text = self.totals.text();
                self.print(&text);
            }
            Output::Json => self.finish_json(),
        }
        match self.failure.take() {
            Some(error) => Err(error),
            None => Ok((self.out, self.totals.exit_code())),
        }
    }

    fn finish_json(&mut self) {
        self.print(if self.has_begun {
            "\n  ],\n  \"errors\": ["
        } else {
            "{\n  \"results\": [],\n  \"errors\": ["
        });
        let copied = self.errors.rewind().and_then(|()| {
            let mut piece = vec![0; 64 << 10];
            loop {
                match self.errors.read(&mut piece)? {
                    0 => return Ok(()),
                    count => self.out.write_all(&piece[..count])?,
                }
            }
        });
        self.keep(copied);
        let totals = serde_json::to_string_pretty(&self.totals.json()).unwrap_or_default();
        let end = if self.totals.errors > 0 { "\n  ]," } else { "]," };
        // The keys without the bracket that opens their map.
        self.print(&format!("{end}{}\n", totals.trim_start_matches('{')));
    }

    fn print(&mut self, text: &str) {
        if !text.is_empty() {
            let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
            self.keep(written);
        }
    }

    fn keep(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.failure.get_or_insert(error);
        }
    }
}

/// JSON as it stands in a list of the report. No text in JSON has a line break of its own.
fn indented(value: &impl Serialize) -> String {
    // Maps with string keys and no failing Serialize: this cannot fail.
    serde_json::to_string_pretty(value).unwrap_or_default().replace('\n', "\n    ")
}
