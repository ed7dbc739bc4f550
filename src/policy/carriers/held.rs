//! What a snapshot keeps of foreign objects: which paths they reach, which Secrets they fill, and the stores. No plaintext.

use std::sync::Arc;

use super::external_secrets::{CLUSTER_STORE, STORE};
use super::json::Json;
use super::place::{self, Place, Verdict};
use super::reach::{Access, Fill, Reach, Source};
use super::{Carrier, Foreign, Kind};
use crate::policy::snapshot::{Binding, Settings};

/// One object of a watched kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// Its kind.
    pub kind: &'static Kind,
    /// Its name.
    pub name: Box<str>,
    /// Every remote path that it reads or writes.
    pub accesses: Box<[Access]>,
    /// Which keys of Secrets it fills.
    pub fills: Box<[Fill]>,
    /// Name of the Secret that it fills.
    pub target: Option<Box<str>>,
    /// Where it leads, if it is a store.
    pub place: Option<Box<Place>>,
    /// What else there is to judge, for the few that have it: there may be tens of thousands of these. No plaintext.
    pub rest: Option<Box<Reach>>,
}

impl Held {
    /// Reads an object, without its plaintext.
    pub fn new(kind: &'static Kind, object: &Foreign<'_>) -> Self {
        let mut reach = kind.read(object);
        reach.literals = Vec::new();
        reach.notes = Vec::new();
        let (accesses, fills) =
            (std::mem::take(&mut reach.accesses).into(), std::mem::take(&mut reach.fills).into());
        let (target, place) = (reach.target.take(), reach.place.take().map(Box::new));
        let rest = (reach != Reach::default()).then(|| Box::new(reach));
        Self { kind, name: object.name().into(), accesses, fills, target, place, rest }
    }

    /// Reads the JSON of an object; `None` where it is none.
    pub fn read(kind: &'static Kind, text: &str) -> Option<Self> {
        Some(Self::new(kind, &Foreign { json: Json::object(text).ok()?, is_kept: true }))
    }

    /// Whether it reads anything outside, as far as the object itself says where.
    pub fn reads_outside(&self, binding: &Binding, settings: &Settings) -> bool {
        self.accesses.iter().any(|access| {
            let Source::Place(place) = &access.source else { return false };
            match place.remote(access.how, &access.key) {
                Ok(remote) => {
                    !matches!(place::judge(&remote, access.how, binding, settings), Verdict::Inside(_))
                }
                Err(_) => true,
            }
        })
    }

    fn key(&self) -> (&'static str, &'static str, &str) {
        (self.kind.group, self.kind.kind, &self.name)
    }
}

/// All foreign objects of one namespace, or those of the whole cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Carried {
    /// Sorted by group, kind and name.
    objects: Vec<Arc<Held>>,
}

impl Carried {
    /// All of them at once; of two with one name the last counts.
    pub fn new(objects: impl IntoIterator<Item = Arc<Held>>) -> Self {
        let mut objects: Vec<Arc<Held>> = objects.into_iter().collect();
        objects.reverse();
        objects.sort_by(|a, b| a.key().cmp(&b.key()));
        objects.dedup_by(|a, b| a.key() == b.key());
        Self { objects }
    }

    fn position(&self, kind: &Kind, name: &str) -> Result<usize, usize> {
        self.objects.binary_search_by(|held| held.key().cmp(&(kind.group, kind.kind, name)))
    }

    /// Takes one in, in the place of what was there under its name.
    pub fn insert(&mut self, held: Arc<Held>) {
        match self.position(held.kind, &held.name) {
            Ok(index) => self.objects[index] = held,
            Err(index) => self.objects.insert(index, held),
        }
    }

    /// Forgets one.
    pub fn remove(&mut self, kind: &Kind, name: &str) {
        if let Ok(index) = self.position(kind, name) {
            self.objects.remove(index);
        }
    }

    /// One of them.
    pub fn get(&self, kind: &Kind, name: &str) -> Option<&Held> {
        self.position(kind, name).ok().map(|index| &*self.objects[index])
    }

    /// One of them, to keep.
    pub fn shared(&self, kind: &Kind, name: &str) -> Option<Arc<Held>> {
        self.position(kind, name).ok().map(|index| Arc::clone(&self.objects[index]))
    }

    /// All of them, sorted.
    pub fn objects(&self) -> &[Arc<Held>] {
        &self.objects
    }

    /// A SecretProviderClass.
    pub fn class(&self, name: &str) -> Option<&Held> {
        let (_, kind) = super::kinds().find(|(_, kind)| kind.kind == super::csi::CLASS)?;
        self.get(kind, name)
    }

    /// Where a store leads.
    pub fn store(&self, cluster: bool, name: &str) -> Option<&Place> {
        let (_, kind) = super::kinds().find(|(_, kind)| kind.kind == store_kind(cluster))?;
        self.get(kind, name)?.place.as_deref()
    }

    /// What reads or writes through a store.
    pub fn readers<'c>(&'c self, cluster: bool, name: &'c str) -> impl Iterator<Item = &'c Held> {
        let is_it = move |source: &Source| match source {
            Source::Store { cluster: of, name: store } => *of == cluster && **store == *name,
            Source::Place(_) | Source::Claim => false,
        };
        let reads = move |held: &&Arc<Held>| held.accesses.iter().any(|access| is_it(&access.source));
        self.objects.iter().filter(reads).map(|held| &**held)
    }
}

/// The kind of a store.
pub fn store_kind(cluster: bool) -> &'static str {
    if cluster { CLUSTER_STORE } else { STORE }
}

/// The carrier of a kind.
pub fn carrier_of(kind: &Kind) -> Option<&'static Carrier> {
    super::kinds().find(|(_, row)| *row == kind).map(|(carrier, _)| carrier)
}
