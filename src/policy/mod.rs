//! The pure part: bytes and a snapshot in, a decision out.

pub mod finding;
pub mod rules;
