//! `refgate sync`: the controller, one pass of it, or how all of it is.

use super::check::Output;
use super::{CLEAN, REFUSED, Screen, status};
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
            let (text, changes) = sync::once(&options, dry_run)?;
            Screen::new().print(&text)?;
            Ok(if changes { REFUSED } else { CLEAN })
        }
        Task::Status { options, output } => status::run(&options, output),
    }
}
