//! RefGate: references to secrets go into Kubernetes, values stay out.

pub mod cli;
pub mod config;
pub mod policy;
pub mod world;
pub mod yaml;
