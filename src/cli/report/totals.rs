//! The counts of one run: the last line of text, the last keys of JSON, the exit code.

use serde::Serialize;
use serde_json::{Map, Value};

use super::skipped::{NAMED, Skipped};
use super::text::{DIM, GREEN, PLAIN, RED, plural};
use crate::cli::{CLEAN, REFUSED, UNREADABLE};

/// All counts.
#[derive(Debug, Default)]
pub struct Totals {
    /// Objects that were judged.
    pub judged: usize,
    /// Those that would be refused, whether they have an entry of their own or not.
    pub refused: usize,
    /// How many of those are refused for their file alone: they must not be committed, and nothing in the cluster would deny them.
    pub(super) of_files: usize,
    /// Of a cluster, how many of the refused have no entry of their own.
    pub without_entry: usize,
    pub(super) findings: usize,
    pub(super) warnings: usize,
    /// References of which nothing is known without a world or a scope.
    pub(super) unknown: usize,
    pub(super) errors: usize,
    pub(super) skipped: Skipped,
}

impl Totals {
    /// 0 clean or warnings alone, 1 findings or refusals, 2 something could not be read, which wins.
    pub(super) fn exit_code(&self) -> u8 {
        match () {
            () if self.errors > 0 => UNREADABLE,
            () if self.refused > 0 || self.findings > 0 => REFUSED,
            () => CLEAN,
        }
    }

    /// The keys behind `results` and `errors`.
    pub(super) fn json(&self) -> Map<String, Value> {
        let mut keys = Map::new();
        let mut put = |key: &str, value: Value| keys.insert(key.to_owned(), value);
        put("judged", self.judged.into());
        put("refused", self.refused.into());
        put("doNotCommit", self.of_files.into());
        put("skipped", self.skipped.count().into());
        if self.skipped.left_out() > 0 {
            put("leftOut", self.skipped.left_out().into());
        }
        // Maps with string keys and no failing Serialize: this cannot fail.
        put("skippedKinds", to_value(&self.skipped.rows()));
        if !self.skipped.encrypted().is_empty() {
            put("encrypted", to_value(&self.skipped.encrypted()));
        }
        keys
    }

    /// How many are refused, and by whom, where some are not by the webhook.
    fn refusals(&self) -> String {
        let Self { refused, of_files, .. } = self;
        match (refused - of_files, of_files) {
            (_, 0) => format!("{refused} refused"),
            (by_webhook, _) => {
                format!("{refused} refused (the webhook would deny {by_webhook}, do not commit {of_files})")
            }
        }
    }

    /// The last lines of text.
    pub(super) fn text(&self) -> String {
        let Self { judged, refused, .. } = *self;
        let mut parts = vec![format!("{} allowed", judged.saturating_sub(refused)), self.refusals()];
        for (count, one) in [(self.findings, "finding"), (self.warnings, "warning"), (self.errors, "error")] {
            if count > 0 {
                parts.push(plural(count, one));
            }
        }
        if self.skipped.count() > 0 {
            parts.push(format!("{} skipped ({})", self.skipped.count(), self.skipped.words()));
        }
        let color = if self.exit_code() == CLEAN { GREEN } else { RED };
        let mut out = format!("{color}{}{PLAIN}: {}\n", plural(judged, "object"), parts.join(", "));
        if let more @ 1.. = self.skipped.encrypted().len().saturating_sub(NAMED) {
            out.push_str(&format!(
                "{DIM}{} more that are encrypted; --output json names all{PLAIN}\n",
                plural(more, "file")
            ));
        }
        if self.without_entry > 0 {
            out.push_str(&format!(
                "{DIM}{} more were refused for the same reason as their owner, or as another object of that owner{PLAIN}\n",
                self.without_entry
            ));
        }
        if self.unknown > 0 {
            out.push_str(&format!(
                "{DIM}{} not judged: say --scope GROUP/APP/ENV or --world FILE{PLAIN}\n",
                plural(self.unknown, "reference")
            ));
        }
        out
    }
}

fn to_value(rows: &impl Serialize) -> Value {
    serde_json::to_value(rows).unwrap_or_default()
}
