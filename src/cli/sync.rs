//! `refgate sync`: the controller, one pass of it, or how all of it is.

use std::io::{self, Write as _};

use super::check::Output;
use super::report::printable;
use super::{CLEAN, REFUSED, Screen, UNREADABLE, status};
use crate::sync::{self, Options};

/// What to do.
#[derive(Debug, Clone)]
pub enum Task {
    /// Go on until a signal.
    Run(Options),
    /// One pass, and the end.
    Once {
        /// What it is told.
        options: Options,
        /// Whether it only says what it would do.
        dry_run: bool,
    },
    /// How it is.
    Status {
        /// What is asked.
        options: sync::status::Options,
        /// How it is printed.
        output: Output,
    },
}

/// Does it, and says the exit code.
pub fn run(task: Task) -> anyhow::Result<u8> {
    match task {
        Task::Run(options) => Ok(sync::run(&options).map(|()| CLEAN)?),
        Task::Once { options, dry_run } => {
            let sync::Done { text, is_something, problems } = sync::once(&options, dry_run)?;
            Screen::new().print(&text)?;
            for problem in &problems {
                // Where standard error is gone, the exit code is left.
                let _ = writeln!(io::stderr(), "refgate: {}", printable(problem));
            }
            Ok(match (problems.is_empty(), is_something) {
                (false, _) => UNREADABLE,
                (true, true) => REFUSED,
                (true, false) => CLEAN,
            })
        }
        Task::Status { options, output } => status::run(&options, output),
    }
}
