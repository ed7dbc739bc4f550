//! One key of a Secret that an object of another system fills, and the object that does it.

use std::cmp::Ordering;
use std::sync::Arc;

use super::held::{Filling, Held};
use crate::policy::path::is_key;

/// An object and what its paths come to here.
#[derive(Debug, PartialEq)]
pub(super) struct Filler {
    pub(super) held: Arc<Held>,
    /// The path of each access, empty where the namespace may not read it; no list where each is its key as it is written.
    pub(super) paths: Option<Box<[Box<str>]>>,
    /// The numbers of those fills that are no values here, whatever the object says; nearly always none.
    pub(super) changed: Box<[u32]>,
}

/// One key that an object fills, or keys that nobody can name.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Names are kept once.
    filler: Arc<Filler>,
    fill: u32,
}

impl Filler {
    /// A row for each key that it fills.
    pub(super) fn rows(self: &Arc<Self>) -> impl Iterator<Item = Row> {
        let row = |fill| Row { filler: Arc::clone(self), fill };
        (0..self.held.fill_count()).map(row).filter(|row| row.fill().secret.is_some())
    }
}

impl Row {
    fn fill(&self) -> Filling<'_> {
        self.filler.held.fill(self.fill)
    }

    /// The path that it comes from; empty where it is the value of none that the namespace may read.
    pub fn path(&self) -> &str {
        let Some(access) = self.fill().access else { return "" };
        match &self.filler.paths {
            Some(paths) => paths.get(access).map(|path| &**path).unwrap_or_default(),
            None => self.filler.held.access(access).map(|access| access.key).unwrap_or_default(),
        }
    }

    /// The Secret.
    pub fn secret(&self) -> &str {
        self.fill().secret.unwrap_or_default()
    }

    /// Which object: `ExternalSecret web`.
    pub fn by(&self) -> String {
        format!("{} {}", self.filler.held.kind.kind, self.filler.held.name())
    }

    /// The Secret and the object: `web-secrets of ExternalSecret web`.
    pub fn named(&self) -> String {
        format!("{} of {}", self.secret(), self.by())
    }

    /// The property; `None` for the whole value, and where each property has a key of its own name.
    pub fn property(&self) -> Option<&str> {
        self.fill().property
    }

    /// The key; `None` where nobody can name it.
    pub fn key(&self) -> Option<&str> {
        self.fill().key
    }

    /// Whether it holds what the secret manager has now under that path.
    pub(super) fn is_value(&self) -> bool {
        self.fill().is_value
            && !self.path().is_empty()
            && self.filler.changed.binary_search(&self.fill).is_err()
    }

    /// Path, Secret, object, key: what comes first counts.
    pub(super) fn by_path(&self, other: &Self) -> Ordering {
        let order = |row: &Self| (row.filler.held.kind.kind, row.filler.held.kind.group, row.fill);
        self.path()
            .cmp(other.path())
            .then_with(|| self.secret().cmp(other.secret()))
            .then_with(|| self.filler.held.kind.kind.cmp(other.filler.held.kind.kind))
            .then_with(|| self.filler.held.name().cmp(other.filler.held.name()))
            .then_with(|| self.key().cmp(&other.key()))
            .then_with(|| order(self).cmp(&order(other)))
    }

    /// Secret, key, object.
    pub(super) fn by_secret(&self, other: &Self) -> Ordering {
        let order = |row: &Self| (row.filler.held.kind.kind, row.filler.held.kind.group, row.fill);
        self.secret()
            .cmp(other.secret())
            .then_with(|| self.key().cmp(&other.key()))
            .then_with(|| self.filler.held.name().cmp(other.filler.held.name()))
            .then_with(|| order(self).cmp(&order(other)))
    }

    /// Whether it is of another Secret or another object.
    pub fn is_other(&self, row: &Self) -> bool {
        self.secret() != row.secret() || !Arc::ptr_eq(&self.filler, &row.filler)
    }

    /// The key that is meant to hold what a reference asks for; `None` where this row has none.
    pub fn key_of<'r>(&'r self, property: Option<&'r str>) -> Option<&'r str> {
        if !self.is_value() {
            return None;
        }
        match (self.key(), property) {
            // What is no legal key is renamed on the way, and how depends on the object.
            (None, Some(property)) => is_key(property).then_some(property),
            (None, None) => None,
            (Some(key), property) => (self.property() == property).then_some(key),
        }
    }

    /// Path and property that it would write under a key; `None` for what is the value of no path.
    pub(super) fn content<'r>(&'r self, key: &'r str) -> Option<(&'r str, Option<&'r str>)> {
        let property = if self.key().is_some() { self.property() } else { Some(key) };
        self.is_value().then(|| (self.path(), property))
    }
}
