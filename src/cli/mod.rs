//! The command line: the decisions of the webhook, on files.
//!
//! `input` makes documents of files, `judge` asks `policy::decide` about each of them, in the world that the flags
//! describe; `check` and `render` say what came of it, through `report`, `diff` and `emit`. `rules` shows the rules.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context as _;

use crate::policy::level::Level;
use crate::policy::path::Scope;

pub mod check;
pub mod diff;
pub mod emit;
mod envelope;
pub mod input;
pub mod judge;
pub mod place;
mod reasons;
pub mod render;
pub mod report;
pub mod rules;
mod scalar;

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
    /// The namespace of documents that name none.
    pub namespace: String,
    /// The level that counts, whatever the world and the configuration say.
    pub level: Option<Level>,
    /// The configuration of the webhook.
    pub config: Option<PathBuf>,
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
        if self.gone {
            return Ok(());
        }
        match self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(())
            }
            other => other.context("standard output"),
        }
    }
}
