//! The detection rules: a documented table, one file per rule.

/// The rules that are on, compiled once.
#[derive(Debug)]
pub struct Detector;

impl Detector {
    /// All rules but those whose ids are listed.
    pub fn new(_disabled: &[&str]) -> Self {
        Self
    }
}
