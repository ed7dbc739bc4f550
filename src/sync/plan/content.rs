//! What a catalogue says of a namespace: Secrets, further names, and what leaves.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Held, Leaving, View, prefixes};
use crate::policy::path::MAX_PATH_BYTES;

/// Most names that "did you mean" looks through.
const MAX_KNOWN: usize = 1_000;
/// Most bytes of them: they share a ConfigMap, which may have a megabyte, with what matters.
const MAX_KNOWN_BYTES: usize = 64 << 10;

/// The data of the ConfigMap, each a text of JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// Which Secret and keys stand for which path.
    pub catalogue: String,
    /// Further names of the scope.
    pub known: String,
    /// Secrets that leave.
    pub leaving: String,
}

#[derive(Serialize)]
struct Entry<'a> {
    path: &'a str,
    secret: &'a str,
    keys: &'a [String],
    version: Option<&'a str>,
}

/// Whether a list of further names may have been cut off: then it says nothing of what is missing in it.
pub fn may_be_cut(known: &[String]) -> bool {
    let bytes: usize = known.iter().map(|name| name.len() + 3).sum();
    known.len() >= MAX_KNOWN || bytes + MAX_PATH_BYTES > MAX_KNOWN_BYTES
}

impl<'a> Entry<'a> {
    fn of(held: &'a Held) -> Self {
        let Held { path, name, keys, version, .. } = held;
        Self { path, secret: name, keys, version: version.as_deref() }
    }
}

pub(super) fn content(view: &View<'_>, leaving: &BTreeMap<String, Leaving>) -> Content {
    let mut held: Vec<&Held> = view.held.iter().collect();
    held.sort_by(|one, other| (&one.path, &one.name).cmp(&(&other.path, &other.name)));
    let entries: Vec<Entry<'_>> = held.iter().map(|held| Entry::of(held)).collect();
    let own = prefixes(view.binding).first().map(|own| own.as_str()).unwrap_or_default();
    let known: Vec<&str> = match view.listings.get(own) {
        Some(Some(listing)) => {
            let synced: BTreeSet<&str> = held.iter().map(|held| held.path.as_str()).collect();
            let names = listing.by_path.keys().filter(|path| !synced.contains(path.as_str()));
            let names = names.filter_map(|path| path.strip_prefix(own)?.strip_prefix('/'));
            let mut bytes = 0;
            let fits = |name: &&str| {
                bytes += name.len() + 3;
                bytes <= MAX_KNOWN_BYTES
            };
            names.take(MAX_KNOWN).take_while(fits).collect()
        }
        Some(None) => view.known_names.iter().map(String::as_str).collect(),
        None => Vec::new(),
    };
    let text = |value: Result<String, serde_json::Error>| value.expect("texts and lists are JSON");
    Content {
        catalogue: text(serde_json::to_string(&entries)),
        known: text(serde_json::to_string(&known)),
        leaving: text(serde_json::to_string(leaving)),
    }
}
