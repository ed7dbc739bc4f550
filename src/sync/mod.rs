//! The controller: from a secret manager to the Secrets that pods of the cluster refer to.
//!
//! Values exist in this module and nowhere else; `serve` may not name it.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

pub mod manager;

/// Keeps this process, and with it the values that it holds, out of core files; call it before there is a value.
///
/// A limit of zero is not enough: the kernel passes it over where cores are piped into a program. A process that is not
/// dumpable has none, and no other process of its user can attach to it or read its memory.
pub fn no_core_files() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}
