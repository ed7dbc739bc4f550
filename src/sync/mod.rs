//! The controller: from a secret manager to the Secrets that pods of the cluster refer to.
//!
//! Values exist in this module and nowhere else; `serve` may not name it.

pub mod manager;
pub mod plan;
pub mod rotation;
pub mod secret;
pub mod wanted;
