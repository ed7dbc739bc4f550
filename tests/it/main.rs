//! The integration tests: one binary, one module for each subject.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml lets off #[test] functions, not their helpers"
)]

mod architecture;
mod cases;
mod cli;
mod manifests;
mod traps;
