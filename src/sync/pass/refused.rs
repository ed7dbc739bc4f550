//! Values that the secret manager does not give, and writes that the API server does not take, kept from one refresh to the next: an Event, a line of `sync status` and
//! `refgate_sync_refused` say each of them.

use std::collections::BTreeMap;

use super::Engine;
use crate::policy::path::secret_name;
use crate::sync::apply::{ApplyError, Obstacle};
use crate::sync::manager::ManagerError;
use crate::sync::plan::Event;
use crate::telemetry::sync::Refusals;

/// What was to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What<'a> {
    /// A value, into the Secret of this name.
    Value(&'a str),
    /// A mark on the Secret of this name.
    Mark(&'a str),
    /// The Secret of this name is to go.
    Deletion(&'a str),
    /// The catalog of the namespace.
    Catalog,
}

impl What<'_> {
    /// One key for each thing that can fail by itself.
    fn key(self) -> (u8, String) {
        match self {
            Self::Value(name) => (0, name.to_owned()),
            Self::Mark(name) => (1, name.to_owned()),
            Self::Deletion(name) => (2, name.to_owned()),
            Self::Catalog => (3, String::new()),
        }
    }

    fn failure(self, path: &str) -> String {
        match self {
            Self::Value(name) => format!("{path} cannot be synced to Secret {name}"),
            Self::Mark(name) => format!("Secret {name} of {path} cannot be given its mark"),
            Self::Deletion(name) => format!("Secret {name} of {path} cannot be deleted"),
            Self::Catalog => {
                "the catalog of this namespace cannot be written, so the webhook goes by the one before"
                    .to_owned()
            }
        }
    }
}

struct Entry {
    /// `None` where it is the secret manager that does not give the value.
    obstacle: Option<Obstacle>,
    path: String,
    why: String,
    event: Event,
}

/// By namespace.
#[derive(Default)]
pub(super) struct Refused(BTreeMap<String, BTreeMap<(u8, String), Entry>>);

impl Refused {
    /// Everything is tried anew.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn forget(&mut self, namespace: &str, what: What<'_>) {
        if let Some(entries) = self.0.get_mut(namespace) {
            entries.remove(&what.key());
        }
    }

    /// One for each that still holds in a namespace.
    pub(super) fn events(&self, namespace: &str) -> Vec<Event> {
        self.0
            .get(namespace)
            .into_iter()
            .flat_map(BTreeMap::values)
            .map(|entry| entry.event.clone())
            .collect()
    }

    /// Why paths of a namespace are not as they should be.
    pub(super) fn by_path(&self, namespace: &str) -> BTreeMap<String, String> {
        let entries = self.0.get(namespace).into_iter().flat_map(BTreeMap::values);
        let entries = entries.filter(|entry| !entry.path.is_empty());
        // What is said of the value comes first, and counts.
        entries.rev().map(|entry| (entry.path.clone(), entry.why.clone())).collect()
    }

    /// How many there are, for the metric.
    pub(super) fn count(&self) -> Refusals {
        let mut count = Refusals::default();
        for entry in self.0.values().flat_map(BTreeMap::values) {
            match entry.obstacle {
                Some(Obstacle::Denied) => count.denied += 1,
                Some(Obstacle::Invalid) => count.invalid += 1,
                Some(Obstacle::Error) => count.error += 1,
                None => count.unread += 1,
            }
        }
        count
    }
}

impl Engine {
    /// Takes in that the secret manager does not give a value before somebody changes something there.
    pub(super) fn cannot_fetch(&mut self, namespace: &str, path: &str, error: &ManagerError) {
        let Some(why) = error.lasting() else { return };
        let note = format!("{path} cannot be read: {why}; it is tried again at each refresh");
        let event = Event::of_namespace("FetchFailed", note);
        let entry = Entry { obstacle: None, path: path.to_owned(), why, event };
        self.refused
            .0
            .entry(namespace.to_owned())
            .or_default()
            .insert(What::Value(&secret_name(path)).key(), entry);
    }

    /// Takes in how a write ended; `path` is empty where it is of no path. Gives what was written.
    pub(super) fn settle<T>(
        &mut self,
        namespace: &str,
        what: What<'_>,
        path: &str,
        result: Result<T, ApplyError>,
    ) -> Option<T> {
        self.refused.forget(namespace, what);
        let error = match result {
            Ok(done) => return Some(done),
            Err(error) => error,
        };
        tracing::warn!(namespace, path, ?what, %error, "not written");
        if let Some(obstacle) = error.obstacle() {
            let note = format!("{}: {error}; it is tried again at each refresh", what.failure(path));
            let entry = Entry {
                obstacle: Some(obstacle),
                path: path.to_owned(),
                why: error.to_string(),
                event: Event::of_namespace("Refused", note.clone()),
            };
            self.problems.insert(format!("namespace {namespace}: {note}"));
            self.refused.0.entry(namespace.to_owned()).or_default().insert(what.key(), entry);
        }
        None
    }
}
