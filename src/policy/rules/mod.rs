//! The detection rules: a documented table, one file per rule.
