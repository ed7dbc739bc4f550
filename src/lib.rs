//! RefGate: references to secrets go into Kubernetes, values stay out.

pub mod policy;

pub mod cli;
pub mod cluster;
pub mod config;
pub mod process;
pub mod serve;
pub mod sync;
pub mod telemetry;
pub mod world;
pub mod yaml;
