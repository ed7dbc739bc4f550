//! The command line: the decisions of the webhook, on files and on what runs in a cluster.
//!
//! `input` makes documents of files, `judge` asks `policy::decide` about each of them, in the world that the flags
//! describe; `check` and `render` say what came of it, through `report`, `diff` and `emit`. `scan` asks about the objects
//! of a cluster, and `tally` keeps what is worth saying of them. `bind`, `iam`, `rules` and `carriers` show, and judge nothing. `put`
//! stores a value in the secret manager, and `status` says how the sync is doing.

use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::policy::level::Level;
use crate::policy::path::Scope;

pub mod bind;
pub mod carriers;
pub mod check;
pub mod diff;
pub mod emit;
mod envelope;
pub mod form;
pub mod iam;
pub mod input;
pub mod judge;
pub mod place;
pub mod put;
pub mod render;
mod repeated;
pub mod report;
pub mod rules;
mod scalar;
pub mod scan;
mod status;
pub mod sync;
mod tally;

/// Exit code: clean, or warnings alone.
pub const CLEAN: u8 = 0;
/// Exit code: findings, or refusals.
pub const REFUSED: u8 = 1;
/// Exit code: something could not be read; it wins over [`REFUSED`].
pub const UNREADABLE: u8 = 2;

/// What files are judged against.
#[derive(Debug, Clone, Default)]
pub struct Against {
    /// Namespaces and their catalogues, as YAML.
    pub world: Option<PathBuf>,
    /// What every namespace is bound to, whatever the world says.
    pub scope: Option<Scope>,
    /// What every namespace may read besides that scope; without any, what the world says.
    pub shared: Vec<Scope>,
    /// The namespace of documents that name none.
    pub namespace: String,
    /// The level that counts, whatever the world and the configuration say.
    pub level: Option<Level>,
    /// The configuration of the webhook.
    pub config: Option<PathBuf>,
}

/// Says something to the person at the terminal, beside the result.
pub(super) fn warn(text: &str) {
    // Where standard error is gone, the result is left.
    let _ = writeln!(io::stderr(), "refgate: warning: {}", report::printable(text));
}

/// Standard output, which somebody may close before we are done: `refgate check | head` is no failure.
pub(super) struct Screen {
    out: anstream::AutoStream<io::StdoutLock<'static>>,
    gone: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { out: anstream::AutoStream::auto(io::stdout().lock()), gone: false }
    }

    pub(super) fn print(&mut self, text: &str) -> anyhow::Result<()> {
        self.write_all(text.as_bytes()).and_then(|()| self.flush()).context("standard output")
    }

    fn tried<T>(&mut self, done: io::Result<T>, gone: T) -> io::Result<T> {
        match done {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(gone)
            }
            other => other,
        }
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gone {
            return Ok(bytes.len());
        }
        let written = self.out.write(bytes);
        self.tried(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gone {
            return Ok(());
        }
        let flushed = self.out.flush();
        self.tried(flushed, ())
    }
}

/// A count on standard error, for a person who waits at a terminal.
pub(super) struct Progress {
    shown: bool,
    last: Instant,
    terminal: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { shown: false, last: Instant::now(), terminal: io::stderr().is_terminal() }
    }

    /// Shows how far it is, now and then.
    pub(super) fn say(&mut self, text: impl FnOnce() -> String) {
        if self.terminal && self.last.elapsed() > Duration::from_millis(300) {
            self.last = Instant::now();
            self.shown = true;
            // Nobody misses a count that could not be written.
            let _ = write!(io::stderr(), "\r\x1b[K{}", text());
        }
    }

    /// Takes the count away, before the result comes.
    pub(super) fn done(&self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
