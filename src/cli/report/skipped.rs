//! What was read and not judged: how many of which kind, and why. Kinds come from files, so both their number and their text are bounded.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::world::{OWN_NAMESPACE, SYSTEM_NAMESPACES};

/// So many kinds have a count of their own; the others share one.
const KINDS: usize = 100;
/// So many kinds of one reason are named in text, and so many files that are encrypted.
pub(super) const NAMED: usize = 10;
/// Longest name of a kind that is repeated, with its group.
const LONGEST: usize = 120;

/// Why something was not judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// No pods come of its kind, as far as RefGate knows, and it holds no data that is judged.
    Kind,
    /// It is no object of Kubernetes.
    NoObject,
    /// It is encrypted, as a whole or by SOPS, and that is as it should be.
    Encrypted,
    /// No webhook sees its namespace.
    Namespace,
    /// It has ended, or is being deleted.
    Completed,
}

impl Why {
    /// For the last line of text output.
    fn words(self) -> String {
        match self {
            Self::Kind => "kind not judged".to_owned(),
            Self::NoObject => "no object of Kubernetes".to_owned(),
            Self::Encrypted => "encrypted".to_owned(),
            Self::Namespace => {
                format!("no webhook judges {} or {OWN_NAMESPACE}", SYSTEM_NAMESPACES.join(", "))
            }
            Self::Completed => "completed".to_owned(),
        }
    }
}

/// All that was not judged.
#[derive(Debug, Default)]
pub struct Skipped {
    rows: BTreeMap<(Why, String), usize>,
    encrypted: Vec<Encrypted>,
}

/// A file that is encrypted as a whole.
#[derive(Debug, Serialize)]
pub(super) struct Encrypted {
    file: String,
    by: &'static str,
}

/// One row of the JSON report.
#[derive(Debug, Serialize)]
pub(super) struct Row<'s> {
    kind: Option<&'s str>,
    reason: Why,
    count: usize,
}

impl Skipped {
    /// Counts one object; `kind` is its kind as kubectl writes it with the group, `None` for one without.
    pub(super) fn add(&mut self, why: Why, kind: Option<&str>) {
        let kind = kind.map(|kind| if is_kind(kind) { kind } else { "other" }).unwrap_or_default();
        let key = (why, kind.to_owned());
        let is_room = self.rows.len() < KINDS || self.rows.contains_key(&key);
        *self.rows.entry(if is_room { key } else { (why, "other".to_owned()) }).or_default() += 1;
    }

    /// Counts a file that is encrypted as a whole.
    pub(super) fn add_encrypted(&mut self, file: &str, by: &'static str) {
        self.add(Why::Encrypted, None);
        self.encrypted.push(Encrypted { file: file.to_owned(), by });
    }

    /// The files that are encrypted as a whole.
    pub(super) fn encrypted(&self) -> &[Encrypted] {
        &self.encrypted
    }

    /// Counts many at once of which the kinds are not told apart.
    pub(super) fn add_many(&mut self, why: Why, count: usize) {
        if count > 0 {
            *self.rows.entry((why, String::new())).or_default() += count;
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.rows.values().sum()
    }

    /// How many lie where no webhook judges.
    pub(super) fn left_out(&self) -> usize {
        self.rows.iter().filter(|((why, _), _)| *why == Why::Namespace).map(|(_, count)| count).sum()
    }

    /// For JSON.
    pub(super) fn rows(&self) -> Vec<Row<'_>> {
        let mut rows = Vec::new();
        for ((reason, kind), count) in &self.rows {
            let kind = (!kind.is_empty()).then_some(&**kind);
            rows.push(Row { kind, reason: *reason, count: *count });
        }
        rows
    }

    /// For the last line: each reason once, with its kinds, the most frequent first.
    pub(super) fn words(&self) -> String {
        let mut reasons: BTreeMap<Why, Vec<(&str, usize)>> = BTreeMap::new();
        for ((why, kind), count) in &self.rows {
            reasons.entry(*why).or_default().push((kind, *count));
        }
        let said = |(why, mut kinds): (Why, Vec<(&str, usize)>)| {
            if let [("", _)] = kinds[..] {
                return why.words();
            }
            kinds.sort_by_key(|(kind, count)| (std::cmp::Reverse(*count), *kind));
            let more: usize = kinds.iter().skip(NAMED).map(|(_, count)| count).sum();
            kinds.truncate(NAMED);
            let named = kinds.into_iter().map(|(kind, count)| match kind {
                "" => format!("{count} without a kind"),
                kind => format!("{count} {kind}"),
            });
            let more = (more > 0).then(|| format!("{more} of further kinds"));
            format!("{}: {}", why.words(), named.chain(more).collect::<Vec<_>>().join(", "))
        };
        reasons.into_iter().map(said).collect::<Vec<_>>().join("; ")
    }
}

/// Whether a text reads as a kind with or without its group: what stands there by mistake is not repeated, it may be a value.
fn is_kind(text: &str) -> bool {
    let (kind, group) = text.split_once('.').unwrap_or((text, ""));
    text.len() <= LONGEST
        && kind.starts_with(|letter: char| letter.is_ascii_uppercase())
        && kind.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && group.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_by_name_and_reason() {
        let mut skipped = Skipped::default();
        for (why, kind) in [
            (Why::Kind, Some("Service")),
            (Why::Kind, Some("Ingress.networking.k8s.io")),
            (Why::Kind, Some("Service")),
            (Why::NoObject, None),
        ] {
            skipped.add(why, kind);
        }
        assert_eq!(skipped.count(), 4);
        assert_eq!(
            skipped.words(),
            "kind not judged: 2 Service, 1 Ingress.networking.k8s.io; no object of Kubernetes"
        );
    }

    #[test]
    fn what_reads_as_no_kind_is_not_repeated_and_many_kinds_end() {
        let mut skipped = Skipped::default();
        skipped.add(Why::Kind, Some("kR4vT9wqZ2pB"));
        skipped.add(Why::Kind, Some("Zq8-mT3v"));
        assert_eq!(skipped.words(), "kind not judged: 2 other");
        for index in 0..10_000 {
            skipped.add(Why::Kind, Some(&format!("K{index}")));
        }
        assert!(skipped.rows.len() <= KINDS + 1);
        assert_eq!(skipped.count(), 10_002);
        assert!(skipped.words().len() < 500, "{}", skipped.words());
    }
}
