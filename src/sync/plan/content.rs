//! What a catalogue says of a namespace: Secrets, further names, and what leaves.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Event, Held, Leaving, View, prefixes};
use crate::policy::path::MAX_PATH_BYTES;

/// Most names that "did you mean" looks through.
const MAX_KNOWN: usize = 1_000;
/// Most bytes of them: they share a ConfigMap, which may have a megabyte, with what matters.
const MAX_KNOWN_BYTES: usize = 64 << 10;

/// Most bytes of why paths are refused, for the same reason. An Event says the rest.
const MAX_REFUSED_BYTES: usize = 64 << 10;

/// Most bytes of a ConfigMap's data (Kubernetes, `MaxSecretSize`).
const MAX_BYTES: usize = 1 << 20;

/// The data of the ConfigMap, each a text of JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// Which Secret and keys stand for which path.
    pub catalogue: String,
    /// Further names of the scope.
    pub known: String,
    /// Secrets that leave.
    pub leaving: String,
    /// Kinds that the sync may not read; empty where there are none.
    pub unread: String,
    /// Prefixes that the manager does not list, and why; empty where there are none.
    pub unlisted: String,
    /// Paths that are not as they should be, and why; empty where there are none.
    pub refused: String,
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
    /// What is foreign is known by its name, and nobody may have a key of it: keys could be so many that no catalogue can be
    /// written, and then nobody would know since when it is foreign.
    fn of(held: &'a Held, view: &View<'_>) -> Self {
        let Held { path, name, keys, version, .. } = held;
        let keys = if view.binding.contains(path) { &**keys } else { &[] };
        Self { path, secret: name, keys, version: version.as_deref() }
    }
}

/// Of what the namespace may read, what the manager does not list.
fn unlisted<'a>(view: &View<'a>) -> BTreeMap<&'a str, &'a str> {
    let prefixes = prefixes(view.binding).into_iter().map(|prefix| prefix.as_str());
    prefixes.filter_map(|prefix| Some((prefix, view.unlisted.get(prefix)?.as_str()))).collect()
}

/// Of what is refused, or fits into no Secret, as much as there is room for.
fn refused<'a>(view: &View<'a>, unfit: &'a BTreeMap<String, String>) -> BTreeMap<&'a str, &'a str> {
    let mut bytes = 0;
    let all = unfit.iter().chain(view.refused).filter(|(path, _)| view.binding.contains(path));
    let fits = |(path, why): &(&String, &String)| {
        bytes += path.len() + why.len() + 8;
        bytes <= MAX_REFUSED_BYTES
    };
    all.take_while(fits).map(|(path, why)| (&**path, &**why)).collect()
}

/// The catalogue of a namespace, or what people should know where there can be none.
pub(super) fn content(
    view: &View<'_>,
    leaving: &BTreeMap<String, Leaving>,
    unfit: &BTreeMap<String, String>,
) -> Result<Content, Event> {
    let mut held: Vec<&Held> = view.held.iter().collect();
    held.sort_by(|one, other| (&one.path, &one.name).cmp(&(&other.path, &other.name)));
    let entries: Vec<Entry<'_>> = held.iter().map(|held| Entry::of(held, view)).collect();
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
    let content = Content {
        catalogue: text(serde_json::to_string(&entries)),
        known: text(serde_json::to_string(&known)),
        leaving: text(serde_json::to_string(leaving)),
        unread: match view.unread.is_empty() {
            true => String::new(),
            false => {
                let unread: Vec<String> = view.unread.iter().map(ToString::to_string).collect();
                text(serde_json::to_string(&unread))
            }
        },
        unlisted: match unlisted(view) {
            unlisted if unlisted.is_empty() => String::new(),
            unlisted => text(serde_json::to_string(&unlisted)),
        },
        refused: match refused(view, unfit) {
            refused if refused.is_empty() => String::new(),
            refused => text(serde_json::to_string(&refused)),
        },
    };
    let Content { catalogue, known, leaving, unread, unlisted, refused } = &content;
    let texts = [catalogue, known, leaving, unread, unlisted, refused];
    let bytes: usize = texts.into_iter().map(String::len).sum();
    if bytes > MAX_BYTES {
        let note = format!(
            "the catalogue stays as it was: its Secrets and their keys take {bytes} bytes, and a ConfigMap may have {MAX_BYTES}; refer to \
             fewer secrets here, or give them fewer properties"
        );
        return Err(Event::of_namespace("CatalogueTooLarge", note));
    }
    Ok(content)
}
