//! The catalogue from other systems: which key of which Secret their objects fill from which path, so that a reference
//! resolves without a sync of RefGate's own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::held::{Carried, Held};
use super::place::{self, Place, Verdict};
use super::reach::{Access, Fill, How, Source};
use crate::policy::snapshot::{Binding, NamespaceLabels, Settings};

/// One key that an object fills, or keys that nobody can name.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The path that it comes from; empty where it is the value of none that the namespace may read.
    pub path: Box<str>,
    /// The object, and which of its fills: names are kept once.
    held: Arc<Held>,
    fill: u32,
}

/// What the objects of one namespace fill.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filled {
    /// Those with a path, sorted by path, then Secret, then object.
    rows: Box<[Row]>,
    /// All of them, sorted by Secret, then key; keys that nobody can name come first.
    by_secret: Box<[Row]>,
    /// Secrets that hold what the namespace may not read, sorted.
    outside: Box<[Box<str>]>,
}

/// What all properties of a path come to.
#[derive(Debug)]
pub enum Spread<'f> {
    /// The Secret of this row holds all of them and nothing else, under their own names; and so does another one, maybe.
    Secret(&'f Row, Option<&'f Row>),
    /// Some are known, each with its Secret and key.
    Keys(BTreeMap<&'f str, (&'f str, &'f str)>),
    /// Its properties are in this Secret, by this row, and so is something else.
    Shared(&'f Row),
    /// None is known; the row fills the whole value.
    Plain(&'f Row),
}

impl Filled {
    /// What the objects of a namespace fill; nothing where it is bound to nothing.
    pub fn new(labels: &NamespaceLabels, carried: &Carried, cluster: &Carried, settings: &Settings) -> Self {
        let (mut rows, mut outside) = (Vec::new(), Vec::new());
        if !matches!(labels.binding, Binding::Bound { .. }) {
            return Self::default();
        }
        for held in carried.objects() {
            let verdict = |access: &Access| {
                if access.source == Source::Claim {
                    return Some(place::claimed(&access.key, &labels.binding));
                }
                let place = place_of(&access.source, carried, cluster)?;
                let remote = place.remote(access.how, &access.key).ok()?;
                Some(place::judge(&remote, access.how, &labels.binding, settings))
            };
            let verdicts: Vec<Option<Verdict>> = held.accesses.iter().map(verdict).collect();
            let reads = held.accesses.iter().zip(&verdicts).filter(|(access, _)| access.how != How::Write);
            if reads.clone().any(|(_, verdict)| matches!(verdict, Some(Verdict::Outside(..)))) {
                let others = held.fills.iter().filter_map(|fill| fill.secret.clone());
                outside.extend(held.target.iter().cloned().chain(others));
            }
            for (number, fill) in (0..).zip(&held.fills) {
                if fill.secret.is_none() && held.target.is_none() {
                    continue;
                }
                let verdict = fill.access.and_then(|access| verdicts.get(access as usize)?.as_ref());
                let path = match verdict {
                    Some(Verdict::Inside(Some(path))) => path.as_str(),
                    _ => "",
                };
                rows.push(Row { path: path.into(), held: Arc::clone(held), fill: number });
            }
        }
        rows.sort_unstable_by(|a: &Row, b: &Row| a.by_secret().cmp(&b.by_secret()));
        let by_secret = rows.clone().into();
        rows.retain(|row| !row.path.is_empty());
        rows.sort_unstable_by(|a: &Row, b: &Row| a.by_path().cmp(&b.by_path()));
        outside.sort_unstable();
        outside.dedup();
        Self { rows: rows.into(), by_secret, outside: outside.into() }
    }

    /// Whether nothing is filled here by any other system.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.outside.is_empty()
    }

    /// All rows that have a path, sorted by it.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Every key that holds something of a path.
    pub fn by_path(&self, path: &str) -> &[Row] {
        let start = self.rows.partition_point(|row| &*row.path < path);
        let length = self.rows[start..].iter().take_while(|row| &*row.path == path).count();
        &self.rows[start..start + length]
    }

    /// What is written into a Secret under a key, or under keys that nobody can name.
    fn of_key<'f, 'n>(
        &'f self,
        secret: &'n str,
        key: Option<&'n str>,
    ) -> impl Iterator<Item = &'f Row> + use<'f, 'n> {
        let start = self.by_secret.partition_point(|row| (row.secret(), row.key()) < (secret, key));
        self.by_secret[start..].iter().take_while(move |row| (row.secret(), row.key()) == (secret, key))
    }

    fn of_secret<'f, 'n>(&'f self, secret: &'n str) -> impl Iterator<Item = &'f Row> + use<'f, 'n> {
        let start = self.by_secret.partition_point(|row| row.secret() < secret);
        self.by_secret[start..].iter().take_while(move |row| row.secret() == secret)
    }

    /// The paths of a Secret, or of one key of it, as far as they are known: each once, sorted.
    pub fn paths(&self, secret: &str, key: Option<&str>) -> BTreeSet<&str> {
        let known = |row: &&Row| !row.path.is_empty();
        let Some(key) = key else {
            return self.of_secret(secret).filter(known).map(|row| &*row.path).collect();
        };
        let mut rows = self.of_key(secret, Some(key)).peekable();
        // A key that is named goes before those that come as they are.
        let rows: Vec<&Row> =
            if rows.peek().is_some() { rows.collect() } else { self.of_key(secret, None).collect() };
        rows.into_iter().filter(known).map(|row| &*row.path).collect()
    }

    /// Whether a Secret holds what the namespace may not read.
    pub fn is_outside(&self, secret: &str) -> bool {
        self.outside.binary_search_by(|known| (**known).cmp(secret)).is_ok()
    }

    /// The key that holds what a reference asks for, if this row fills it and nothing else can have written it.
    pub fn key_of<'f>(&'f self, row: &'f Row, property: Option<&'f str>) -> Option<&'f str> {
        let key = row.key_of(property)?;
        let wanted = (&*row.path, property);
        let secret = row.secret();
        let is_same = |other: &&Row| other.content(key) == Some(wanted);
        // Within one object what is named goes before what comes as it is: the readers see to it.
        let goes_before = |other: &&Row| row.key().is_some() && !row.is_other(other);
        (self.of_key(secret, Some(key)).all(|other| is_same(&other))
            && self.of_key(secret, None).all(|other| is_same(&other) || goes_before(&other)))
        .then_some(key)
    }

    /// What all properties of a path come to; `None` where nothing fills it.
    pub fn spread<'f>(&'f self, path: &str) -> Option<Spread<'f>> {
        let rows = self.by_path(path);
        let first = rows.first()?;
        let each = rows.iter().filter(|row| row.key().is_none());
        let is_alone = |row: &&Row| {
            row.is_value()
                && self.of_secret(row.secret()).all(|other| *other.path == *path && !row.is_other(other))
        };
        let mut alone = each.clone().filter(is_alone);
        if let Some(row) = alone.next() {
            return Some(Spread::Secret(row, alone.next()));
        }
        if let Some(row) = each.clone().next() {
            return Some(Spread::Shared(row));
        }
        let mut keys = BTreeMap::new();
        for row in rows {
            let Some(property) = row.property() else { continue };
            if let Some(key) = self.key_of(row, Some(property)) {
                keys.entry(property).or_insert((row.secret(), key));
            }
        }
        Some(if keys.is_empty() { Spread::Plain(first) } else { Spread::Keys(keys) })
    }
}

impl Row {
    fn fill(&self) -> Option<&Fill> {
        self.held.fills.get(self.fill as usize)
    }

    /// The Secret.
    pub fn secret(&self) -> &str {
        let own = self.fill().and_then(|fill| fill.secret.as_deref());
        own.or(self.held.target.as_deref()).unwrap_or_default()
    }

    /// Which object: `ExternalSecret web`.
    pub fn by(&self) -> String {
        format!("{} {}", self.held.kind.kind, self.held.name)
    }

    /// The Secret and the object: `web-secrets of ExternalSecret web`.
    pub fn named(&self) -> String {
        format!("{} of {}", self.secret(), self.by())
    }

    /// The property; `None` for the whole value, and where each property has a key of its own name.
    pub fn property(&self) -> Option<&str> {
        self.fill()?.property.as_deref()
    }

    /// The key; `None` where nobody can name it.
    pub fn key(&self) -> Option<&str> {
        self.fill()?.key.as_deref()
    }

    fn is_value(&self) -> bool {
        !self.path.is_empty() && self.fill().is_some_and(|fill| fill.is_value)
    }

    /// Path, Secret, object, key: what comes first counts.
    fn by_path(&self) -> (&str, &str, &str, &str, Option<&str>) {
        (&self.path, self.secret(), self.held.kind.kind, &self.held.name, self.key())
    }

    fn by_secret(&self) -> (&str, Option<&str>, &str, &str, &str) {
        (self.secret(), self.key(), self.held.kind.kind, &self.held.name, &self.path)
    }

    /// Whether it is of another Secret or another object.
    pub fn is_other(&self, row: &Self) -> bool {
        self.secret() != row.secret() || !Arc::ptr_eq(&self.held, &row.held)
    }

    /// The key that is meant to hold what a reference asks for; `None` where this row has none.
    fn key_of<'r>(&'r self, property: Option<&'r str>) -> Option<&'r str> {
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
    fn content<'r>(&'r self, key: &'r str) -> Option<(&'r str, Option<&'r str>)> {
        let property = if self.key().is_some() { self.property() } else { Some(key) };
        self.is_value().then_some((&*self.path, property))
    }
}

/// Whether a property is a key of a Secret as it stands.
fn is_key(property: &str) -> bool {
    !property.is_empty()
        && property.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn place_of<'p>(source: &'p Source, carried: &'p Carried, cluster: &'p Carried) -> Option<&'p Place> {
    match source {
        Source::Place(place) => Some(place),
        Source::Claim => None,
        Source::Store { cluster: true, name } => cluster.store(true, name),
        Source::Store { cluster: false, name } => carried.store(false, name),
    }
}
