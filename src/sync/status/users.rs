//! Who names what: everything that makes pods, and pods, with the controllers that speak for them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::wanted::{Names, seen};
use super::facts::{Object, Owner};
use crate::policy::workload::Kind;

/// Owners of owners that are followed; anybody may write a circle.
const OWNERS: usize = 8;

/// Objects by namespace and uid: a list that begins anew counts nothing twice.
#[derive(Default)]
pub(super) struct Objects {
    pub(super) named: BTreeMap<(String, String), Named>,
    /// The controllers of objects that may be controllers themselves.
    pub(super) owners: HashMap<(String, String), Owner>,
    pub(super) unread: BTreeSet<(String, String)>,
}

pub(super) struct Named {
    title: String,
    owner: Option<Owner>,
    pub(super) names: Names,
}

impl Objects {
    /// Keeps what it names. `None` where not even its name can be read.
    pub(super) fn take(&mut self, raw: &str, kind: &Kind, is_wanted: &dyn Fn(&str) -> bool) -> Option<()> {
        let Object { metadata } = serde_json::from_str(raw).ok()?;
        if !is_wanted(&metadata.namespace) {
            return Some(());
        }
        let title = format!("{}/{}", kind.kind, metadata.name);
        let owners = metadata.owner_references.into_iter().flatten();
        let owner = owners.into_iter().find(|owner| owner.controller);
        let key = (metadata.namespace, metadata.uid);
        if let Some(owner) = owner.clone().filter(|_| !kind.is_pod()) {
            self.owners.insert(key.clone(), owner);
        }
        match seen(raw, kind).and_then(|seen| seen.names) {
            Some(names) if names.is_empty() => {}
            Some(names) => drop(self.named.insert(key, Named { title, owner, names })),
            None => drop(self.unread.insert((key.0, title))),
        }
        Some(())
    }
}

impl Named {
    /// Who speaks for it: the controller of its controller, as far as that is known.
    pub(super) fn root(&self, namespace: &str, owners: &HashMap<(String, String), Owner>) -> String {
        let Some(mut owner) = self.owner.as_ref() else { return self.title.clone() };
        for _ in 0..OWNERS {
            match owners.get(&(namespace.to_owned(), owner.uid.clone())) {
                Some(next) => owner = next,
                None => break,
            }
        }
        format!("{}/{}", owner.kind, owner.name)
    }
}
