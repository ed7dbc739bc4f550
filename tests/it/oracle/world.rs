//! What a namespace may read, and where the catalogue has it.

use std::fmt;

use super::names::{self, inside, secret_name};
use super::wishes::Reference;

/// What a namespace is bound to, and what the sync has made in it.
#[derive(Clone)]
pub struct World {
    /// `group/app/env`, if it is bound.
    pub own: Option<String>,
    /// Further prefixes.
    pub shared: Vec<String>,
    /// The synced Secrets.
    pub catalogue: Vec<Entry>,
    /// Whether all this is too old to be relied on.
    pub stale: bool,
    /// Containers that annotations pass over unless they are named.
    pub proxies: Vec<String>,
}

/// One synced Secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub path: String,
    pub secret: String,
    pub keys: Vec<String>,
    pub version: Option<String>,
}

/// On few lines, like [`Entry`]: a failed property prints all of it.
impl fmt::Debug for World {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { own, shared, catalogue, stale, .. } = self;
        write!(out, "{own:?}, shared {shared:?}, stale {stale}")?;
        catalogue.iter().try_for_each(|entry| write!(out, "\n{entry:?}"))
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, secret, keys, version } = self;
        write!(out, "{path} in {secret} {} {}", keys.join(" "), version.as_deref().unwrap_or_default())
    }
}

impl World {
    /// Whether the namespace may read a path.
    pub fn allows(&self, path: &str) -> bool {
        self.own.iter().any(|own| inside(own, path) || self.shared.iter().any(|other| inside(other, path)))
    }

    /// The entry of a Secret that holds a path which may be read, the first by path.
    pub(super) fn entry(&self, secret: &str) -> Option<&Entry> {
        self.catalogue.iter().filter(|entry| entry.secret == secret && self.allows(&entry.path)).min()
    }

    /// Path, Secret and the entry, or why not.
    pub(super) fn find(&self, reference: &Reference) -> Result<(String, String, Option<&Entry>), String> {
        let own = self.own.as_deref().ok_or("the namespace is not bound")?;
        let path =
            if reference.absolute { reference.path.clone() } else { format!("{own}/{}", reference.path) };
        if !names::is_path(&path) {
            return Err(format!("{path} is no path"));
        }
        if self.stale {
            return Err("nothing is known for sure".to_owned());
        }
        if !self.allows(&path) {
            return Err(format!("{path} is outside"));
        }
        let entry = self.catalogue.iter().filter(|entry| entry.path == path).min();
        let secret = entry.map_or_else(|| secret_name(&path), |entry| entry.secret.clone());
        if self.catalogue.iter().any(|other| other.secret == secret && other.path != path) {
            return Err(format!("{secret} holds something else"));
        }
        Ok((path, secret, entry))
    }
}
