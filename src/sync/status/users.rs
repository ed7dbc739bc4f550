//! Who names what: everything that makes pods, and pods, with the controllers that speak for them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;
use serde::de::DeserializeSeed as _;

use super::super::wanted::{self, Names, seen};
use super::facts::{Object, Owner};
use crate::policy::path::{WHOLE, secret_name};
use crate::policy::reference::Reference;
use crate::policy::refs::REFS;
use crate::policy::snapshot::Binding;
use crate::policy::workload::Kind;
use crate::policy::workload::object::{ObjectSeed, Template};

/// Owners of owners that are followed; anybody may write a circle.
const OWNERS: usize = 8;

/// Who names something, and what.
#[derive(Debug)]
pub struct User {
    /// `Deployment/web`.
    pub title: String,
    /// As the sync reads it.
    pub names: Names,
    /// What the sync need not know.
    pub(super) detail: Detail,
}

/// Single keys that an object names, and what a pod's `refgate.dev/refs` says of the Secrets that it names.
#[derive(Debug, Default)]
pub(super) struct Detail {
    /// Paths as they are written, whether they are absolute, and the key of the Secret.
    pub(super) references: BTreeSet<(String, bool, String)>,
    /// Secrets by name, and the key.
    pub(super) keys: BTreeSet<(String, String)>,
    /// Paths, which the names of the Secrets prove.
    pub(super) paths: BTreeSet<String>,
}

impl Detail {
    /// Of an object; empty where it cannot be read.
    pub(super) fn read(raw: &str, kind: &Kind) -> Self {
        let mut deserializer = serde_json::Deserializer::from_str(raw);
        let object = ObjectSeed(kind).deserialize(&mut deserializer).ok().flatten();
        object.and_then(|object| object.template).map(|template| Self::of(&template)).unwrap_or_default()
    }

    /// Secrets and keys that are read where a namespace is bound so.
    pub(super) fn keys_in(&self, binding: &Binding) -> BTreeSet<(String, String)> {
        let mut keys = self.keys.clone();
        let Binding::Bound { own, .. } = binding else { return keys };
        for (path, absolute, key) in &self.references {
            let reference = Reference { path, absolute: *absolute, property: None, optional: false };
            if let Ok(path) = reference.path_in(own) {
                keys.insert((secret_name(path.as_str()), key.clone()));
            }
        }
        keys
    }

    fn of(template: &Template<'_>) -> Self {
        #[derive(Deserialize)]
        struct Claim {
            path: String,
            secret: String,
        }
        let (mut detail, mut secrets) = (Self::default(), BTreeSet::new());
        wanted::each_named(template, &mut |named| match named {
            wanted::Named::Reference(reference) if !reference.optional => {
                detail.references.insert((reference.path.to_owned(), reference.absolute, reference.key()));
            }
            wanted::Named::Reference(_) => {}
            wanted::Named::Secret { name, key } => {
                secrets.insert(name.to_owned());
                detail.keys.extend(key.map(|key| (name.to_owned(), key.to_owned())));
            }
        });
        let annotations = template.metadata.annotations.iter().flat_map(|annotations| &annotations.0);
        let refs = annotations.filter(|(key, _)| &**key == REFS);
        let claims = refs.filter_map(|(_, text)| serde_json::from_str::<Vec<Claim>>(text).ok()).flatten();
        let proven = claims
            .filter(|claim| secrets.contains(&claim.secret) && secret_name(&claim.path) == claim.secret);
        detail.paths = proven.map(|claim| claim.path).collect();
        // Whoever refers to all of a secret needs no property of it.
        detail.references.retain(|(_, _, key)| key != WHOLE);
        detail
    }
}

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
    pub(super) detail: Detail,
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
            Some(names) => {
                let detail = Detail::read(raw, kind);
                self.named.insert(key, Named { title, owner, names, detail });
            }
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
