//! The integration tests: one binary, one module for each subject.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml lets off #[test] functions, not their helpers"
)]

mod harness;
mod http;
mod state;
mod tls;
