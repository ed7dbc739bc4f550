//! RefGate: references to secrets go into Kubernetes, values stay out.

pub mod cli;
pub mod policy;
pub mod yaml;
