//! The integration tests: one binary, one module for each subject.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml lets off #[test] functions, not their helpers"
)]

mod api;
mod architecture;
mod attacks;
mod awaited;
mod bind;
mod carriers;
mod cases;
mod cli;
mod config;
mod crds;
mod docs;
mod fills;
mod harness;
mod hostile;
mod http;
mod iam;
mod lease;
mod managers;
mod manifests;
mod meant;
mod oracle;
mod order;
mod plaintext;
mod properties;
mod put;
mod restart;
mod rows;
mod scan;
mod serve;
mod shares;
mod state;
mod status;
mod sync;
mod telemetry;
mod tls;
mod together;
mod traps;
mod watch;
mod world;
mod yaml;
