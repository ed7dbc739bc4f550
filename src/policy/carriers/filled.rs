//! The catalogue from other systems: which key of which Secret their objects fill from which path, so that a reference
//! resolves without a sync of RefGate's own.

use std::sync::Arc;

use super::held::{Carried, Held};
use super::place::{self, Place, Verdict};
use super::reach::{Access, Fill, How, Source};
use crate::policy::snapshot::{Binding, NamespaceLabels, Settings};

/// One key that an object fills.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The path that it comes from.
    pub path: Box<str>,
    /// The object, and which of its fills: names are kept once.
    held: Arc<Held>,
    fill: u32,
}

/// What the objects of one namespace fill.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filled {
    /// Sorted by path, then Secret, then object.
    rows: Box<[Row]>,
    /// Indexes into `rows`, sorted by the name of the Secret.
    by_secret: Box<[u32]>,
    /// Secrets that hold what the namespace may not read, sorted.
    outside: Box<[Box<str>]>,
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
                let verdict = verdicts.get(fill.access as usize);
                let Some(Some(Verdict::Inside(Some(path)))) = verdict else { continue };
                if fill.secret.is_some() || held.target.is_some() {
                    rows.push(Row { path: path.as_str().into(), held: Arc::clone(held), fill: number });
                }
            }
        }
        rows.sort_unstable_by(|a: &Row, b: &Row| a.order().cmp(&b.order()));
        rows.truncate(u32::MAX as usize);
        outside.sort_unstable();
        outside.dedup();
        let mut by_secret: Vec<u32> = (0..rows.len() as u32).collect();
        by_secret.sort_by_key(|&index| rows[index as usize].secret());
        Self { rows: rows.into(), by_secret: by_secret.into(), outside: outside.into() }
    }

    /// Whether nothing is filled here by any other system.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.outside.is_empty()
    }

    /// All rows, sorted by path.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Every key that holds something of a path.
    pub fn by_path(&self, path: &str) -> &[Row] {
        let start = self.rows.partition_point(|row| &*row.path < path);
        let length = self.rows[start..].iter().take_while(|row| &*row.path == path).count();
        &self.rows[start..start + length]
    }

    /// What is known of the keys of a Secret.
    pub fn by_secret<'f, 'n>(&'f self, secret: &'n str) -> impl Iterator<Item = &'f Row> + use<'f, 'n> {
        let at = |index: &u32| &self.rows[*index as usize];
        let start = self.by_secret.partition_point(|index| at(index).secret() < secret);
        self.by_secret[start..].iter().map(at).take_while(move |row| row.secret() == secret)
    }

    /// Whether a Secret holds what the namespace may not read.
    pub fn is_outside(&self, secret: &str) -> bool {
        self.outside.binary_search_by(|known| (**known).cmp(secret)).is_ok()
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

    /// The property; `None` for the whole value, and where each property has a key of its own name.
    pub fn property(&self) -> Option<&str> {
        self.fill()?.property.as_deref()
    }

    /// The key; `None` where each property has one of its own name.
    fn key(&self) -> Option<&str> {
        self.fill()?.key.as_deref()
    }

    /// Path, Secret, object, key: what comes first counts.
    fn order(&self) -> (&str, &str, &str, &str, Option<&str>) {
        (&self.path, self.secret(), self.held.kind.kind, &self.held.name, self.key())
    }

    /// Whether it is of another Secret or another object.
    pub fn is_other(&self, row: &Self) -> bool {
        self.secret() != row.secret() || !Arc::ptr_eq(&self.held, &row.held)
    }

    /// The key that holds what a reference asks for; `None` where this row does not.
    pub fn key_of<'r>(&'r self, property: Option<&'r str>) -> Option<&'r str> {
        match (self.key(), property) {
            // What is no legal key is renamed on the way, and how depends on the object.
            (None, Some(property)) => is_key(property).then_some(property),
            (None, None) => None,
            (Some(key), property) => (self.property() == property).then_some(key),
        }
    }

    /// Whether it is this row that fills a key.
    pub fn fills(&self, key: &str) -> bool {
        self.key().is_none_or(|own| own == key)
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
        Source::Store { cluster: true, name } => cluster.store(true, name),
        Source::Store { cluster: false, name } => carried.store(false, name),
    }
}
