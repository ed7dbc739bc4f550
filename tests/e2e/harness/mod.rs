//! What the end-to-end tests stand on: a real control plane, RefGate beside it, people with their rights.

pub mod api;
pub mod crds;
pub mod external_secrets;
pub mod faults;
pub mod golden;
pub mod kubectl;
pub mod moto;
pub mod node;
pub mod node_cluster;
pub mod node_image;
pub mod node_space;
pub mod objects;
pub mod plane;
pub mod populate;
pub mod process;
pub mod programs;
pub mod refgate;
pub mod rights;
pub mod service;
pub mod sync;
pub mod transcript;
pub mod wait;
pub mod webhook;
pub mod world;
