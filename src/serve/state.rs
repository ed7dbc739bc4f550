//! The single writer: changes come in, `Arc<Snapshot>` goes out.
//!
//! `watch` sends the changes. Requests read what is published here and never write. A change costs one namespace and
//! one copy of the map that holds them all, and a burst of changes costs one copy together.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::config::Config;
use crate::policy::carriers::Kind;
use crate::policy::carriers::held::{Carried, Held, is_store};
use crate::policy::snapshot::{Catalogue, NamespaceLabels, NamespaceState, Settings, Snapshot};
use crate::world::World;

/// Between two swaps, so that a storm of events costs at most twenty copies of the map a second.
const SWAP_INTERVAL: Duration = Duration::from_millis(50);
/// Changes that are taken at once.
const BURST: usize = 4096;

/// Everything that can change what decisions rest on.
#[derive(Debug)]
pub enum Change {
    /// Something happened to Namespaces.
    Namespaces(Update<NamespaceLabels>),
    /// Something happened to catalogues; by the namespace that they speak of.
    Catalogues(Update<Catalogue>),
    /// Something happened to objects of another sync system, of this kind.
    Carried(&'static Kind, CarriedUpdate),
    /// Objects of this kind cannot be read, and nobody waits for them any longer.
    Unread(&'static Kind),
    /// The configuration was read.
    Configuration(Box<Config>),
    /// The world file was read: all namespaces and catalogues there are.
    World(World),
}

/// What happened to objects of one kind.
#[derive(Debug)]
pub enum Update<T> {
    /// The whole list. What is not in it is gone; what is in it without a value could not be read, and stays as it was.
    Restart(Vec<(Box<str>, Option<Arc<T>>)>),
    /// One came or changed.
    Apply(Box<str>, Arc<T>),
    /// One is gone.
    Delete(Box<str>),
}

/// An object of a list: its namespace, its name, and what it reaches.
pub type Listed = (Box<str>, Box<str>, Option<Arc<Held>>);

/// What happened to objects of one kind of another sync system; those of the whole cluster have an empty namespace.
#[derive(Debug)]
pub enum CarriedUpdate {
    /// The whole list, by namespace and name. What is in it without a value could not be read, and stays as it was.
    Restart(Vec<Listed>),
    /// One came or changed.
    Apply(Box<str>, Arc<Held>),
    /// One is gone.
    Delete(Box<str>, Box<str>),
}

/// When each watch last gave a sign of life.
#[derive(Debug)]
pub struct Freshness {
    start: Instant,
    /// Milliseconds since the start.
    seen: Vec<AtomicU64>,
}

impl Freshness {
    /// For `watches` watches; none at all is a world that is never stale.
    pub fn new(watches: usize) -> Self {
        let seen = std::iter::repeat_with(AtomicU64::default).take(watches).collect();
        Self { start: Instant::now(), seen }
    }

    /// Whether silence means anything: a world file is never stale.
    fn watched(&self) -> bool {
        !self.seen.is_empty()
    }

    /// Watch number `watch` gave a sign of life.
    pub fn touch(&self, watch: usize) {
        if let Some(seen) = self.seen.get(watch) {
            seen.store(self.now(), Ordering::Relaxed);
        }
    }

    /// How long the quietest watch has been silent.
    pub fn age(&self) -> Duration {
        let oldest = self.seen.iter().map(|seen| seen.load(Ordering::Relaxed)).min();
        Duration::from_millis(oldest.map_or(0, |oldest| self.now().saturating_sub(oldest)))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// What is known of the world, and how a change changes it.
pub struct State {
    settings: Arc<Settings>,
    max_age: Duration,
    /// Whether a whole list of each was seen.
    complete: (bool, bool),
    /// All catalogues, those of namespaces that nobody has seen yet included.
    catalogues: HashMap<Box<str>, Arc<Catalogue>>,
    /// All objects of other sync systems, by namespace.
    carried: HashMap<Box<str>, Arc<Carried>>,
    /// Kinds of those whose whole list is still to come.
    awaited: Vec<&'static Kind>,
    /// All namespaces, with their catalogue.
    namespaces: HashMap<Box<str>, Arc<NamespaceState>>,
    none: Arc<Catalogue>,
    nothing: Arc<Carried>,
    stale: bool,
}

impl State {
    /// Nothing is known but the configuration.
    pub fn new(config: Config) -> Self {
        let Config { settings, max_age, .. } = config;
        Self {
            settings: Arc::new(settings),
            max_age,
            complete: (false, false),
            catalogues: HashMap::new(),
            carried: HashMap::new(),
            awaited: Vec::new(),
            namespaces: HashMap::new(),
            none: Arc::default(),
            nothing: Arc::default(),
            stale: false,
        }
    }

    /// Nothing is whole before a list of each of these kinds was seen, or that the cluster has no such kind.
    pub fn awaiting(self, kinds: impl IntoIterator<Item = &'static Kind>) -> Self {
        Self { awaited: kinds.into_iter().collect(), ..self }
    }

    /// Takes a change in. Returns whether anything is different now: most events of a Namespace are not about us.
    pub fn apply(&mut self, change: Change) -> bool {
        match change {
            Change::Namespaces(Update::Apply(name, labels))
                if self.namespaces.get(&name).is_some_and(|state| state.namespace == labels) =>
            {
                return false;
            }
            Change::Catalogues(Update::Apply(name, catalogue))
                if self.catalogues.get(&name) == Some(&catalogue) =>
            {
                return false;
            }
            // A controller writes down each hour that all is well, in the status of each object.
            Change::Carried(kind, CarriedUpdate::Apply(namespace, held))
                if self.carried.get(&namespace).and_then(|carried| carried.get(kind, held.name()))
                    == Some(&held) =>
            {
                return false;
            }
            Change::Namespaces(update) => self.namespaces(update),
            Change::Catalogues(update) => self.catalogues(update),
            Change::Carried(kind, update) => self.carry(kind, update),
            Change::Unread(kind) => self.awaited.retain(|awaited| *awaited != kind),
            Change::Configuration(config) => {
                self.settings = Arc::new(config.settings);
                self.max_age = config.max_age;
                self.join_carried();
            }
            Change::World(world) => {
                self.carried = world.carried();
                self.awaited.clear();
                let some = |(name, value)| (name, Some(value));
                self.catalogues(Update::Restart(world.catalogues.into_iter().map(some).collect()));
                let some = |(name, value)| (name, Some(value));
                self.namespaces(Update::Restart(world.namespaces.into_iter().map(some).collect()));
            }
        }
        true
    }

    fn namespaces(&mut self, update: Update<NamespaceLabels>) {
        match update {
            Update::Restart(list) => {
                let old = std::mem::take(&mut self.namespaces);
                for (name, labels) in list {
                    match labels.or_else(|| old.get(&name).map(|state| Arc::clone(&state.namespace))) {
                        Some(labels) => self.join(name, labels),
                        None => {
                            tracing::error!(namespace = %name, "a namespace cannot be read; its reviews fail")
                        }
                    }
                }
                self.complete.0 = true;
            }
            Update::Apply(name, labels) => self.join(name, labels),
            Update::Delete(name) => {
                self.namespaces.remove(&name);
            }
        }
    }

    fn join(&mut self, name: Box<str>, labels: Arc<NamespaceLabels>) {
        let catalogue = Arc::clone(self.catalogues.get(&name).unwrap_or(&self.none));
        let carried = Arc::clone(self.carried.get(&name).unwrap_or(&self.nothing));
        let cluster = self.carried.get("").unwrap_or(&self.nothing);
        let state = NamespaceState::join(labels, catalogue, carried, cluster, &self.settings);
        self.namespaces.insert(name, Arc::new(state));
    }

    fn carry(&mut self, kind: &'static Kind, update: CarriedUpdate) {
        match update {
            CarriedUpdate::Restart(list) => {
                self.awaited.retain(|awaited| *awaited != kind);
                for namespace in self.carry_all(kind, list) {
                    self.join_again(&namespace);
                }
            }
            CarriedUpdate::Apply(namespace, new) => {
                let carried = Arc::make_mut(self.carried.entry(namespace.clone()).or_default());
                let old = carried.insert(Arc::clone(&new));
                self.carry_one(kind, &namespace, old.as_ref(), Some(&new));
            }
            CarriedUpdate::Delete(namespace, name) => {
                let Some(carried) = self.carried.get_mut(&namespace) else { return };
                let old = Arc::make_mut(carried).remove(kind, &name);
                self.carry_one(kind, &namespace, old.as_ref(), None);
            }
        }
    }

    /// One object came in the place of another. What others fill stays as it is, unless it is a store or a class that they read by.
    fn carry_one(&mut self, kind: &Kind, namespace: &str, old: Option<&Arc<Held>>, new: Option<&Arc<Held>>) {
        let is_read_through = || {
            let name = old.or(new).map(|held| held.name()).unwrap_or_default();
            self.carried.get(namespace).is_some_and(|carried| carried.is_read_through(kind, name))
        };
        if is_store(kind) || namespace.is_empty() || is_read_through() {
            return self.join_again(namespace);
        }
        let Some(state) = self.namespaces.get_mut(namespace) else { return };
        let carried = Arc::clone(self.carried.get(namespace).unwrap_or(&self.nothing));
        let cluster = self.carried.get("").unwrap_or(&self.nothing);
        *state = Arc::new(state.replaced(carried, (old, new), cluster, &self.settings));
    }

    /// Joins a namespace, or all of them for what is of the whole cluster.
    fn join_again(&mut self, name: &str) {
        if name.is_empty() {
            return self.join_carried();
        }
        if let Some((name, state)) = self.namespaces.get_key_value(name) {
            let (name, labels) = (name.clone(), Arc::clone(&state.namespace));
            self.join(name, labels);
        }
    }

    /// A store of the cluster or a line of the configuration changes what is filled from where.
    fn join_carried(&mut self) {
        let concerned = self.namespaces.iter().filter(|(_, state)| !state.carried.is_empty());
        let concerned: Vec<_> =
            concerned.map(|(name, state)| (name.clone(), Arc::clone(&state.namespace))).collect();
        for (name, labels) in concerned {
            self.join(name, labels);
        }
    }

    /// Puts a whole list in the place of all objects of its kind. Gives the namespaces that it touches.
    fn carry_all(&mut self, kind: &'static Kind, list: Vec<Listed>) -> Vec<Box<str>> {
        let mut lists: HashMap<Box<str>, Vec<Arc<Held>>> = HashMap::new();
        for (namespace, name, held) in list {
            let known = || self.carried.get(&namespace)?.get(kind, &name).cloned();
            if let Some(held) = held.or_else(known) {
                lists.entry(namespace).or_default().push(held);
            }
        }
        // Those of before whose last object is gone are touched too.
        for (namespace, carried) in &self.carried {
            if carried.objects().any(|held| held.kind == kind) {
                lists.entry(namespace.clone()).or_default();
            }
        }
        for (namespace, new) in &mut lists {
            let carried = self.carried.entry(namespace.clone()).or_default();
            let others = carried.objects().filter(|held| held.kind != kind).cloned();
            *carried = Arc::new(Carried::new(others.chain(new.drain(..))));
        }
        lists.into_keys().collect()
    }

    fn catalogues(&mut self, update: Update<Catalogue>) {
        let touched: Vec<Box<str>> = match update {
            Update::Restart(list) => {
                let mut old = std::mem::take(&mut self.catalogues);
                for (name, catalogue) in list {
                    if let Some(catalogue) = catalogue.or_else(|| old.remove(&name)) {
                        self.catalogues.insert(name, catalogue);
                    }
                }
                self.complete.1 = true;
                self.namespaces.keys().cloned().collect()
            }
            Update::Apply(name, catalogue) => {
                self.catalogues.insert(name.clone(), catalogue);
                vec![name]
            }
            Update::Delete(name) => {
                self.catalogues.remove(&name);
                vec![name]
            }
        };
        for name in touched {
            let catalogue = self.catalogues.get(&name).unwrap_or(&self.none);
            match self.namespaces.get(&name) {
                Some(state) if !Arc::ptr_eq(&state.catalogue, catalogue) => {
                    let labels = Arc::clone(&state.namespace);
                    self.join(name, labels);
                }
                _ => {}
            }
        }
    }

    /// What is known, as a whole; `None` before it is whole.
    pub fn snapshot(&self) -> Option<Snapshot> {
        (self.complete == (true, true) && self.awaited.is_empty()).then(|| Snapshot {
            settings: Arc::clone(&self.settings),
            namespaces: self.namespaces.clone(),
            cluster: Arc::clone(self.carried.get("").unwrap_or(&self.nothing)),
            stale: self.stale,
        })
    }

    /// Compares the age of the world with what it may be; returns whether that changed the verdict.
    fn look_at(&mut self, freshness: &Freshness) -> bool {
        let stale = freshness.watched() && freshness.age() > self.max_age;
        if stale == self.stale {
            return false;
        }
        self.stale = stale;
        if stale {
            tracing::error!(
                "the cluster has been silent for longer than snapshot.maxAge; references are denied"
            );
        } else {
            tracing::info!("the cluster is heard of again");
        }
        true
    }

    /// How long until age can change anything.
    fn patience(&self, freshness: &Freshness) -> Duration {
        if self.stale {
            return Duration::from_secs(1);
        }
        self.max_age.saturating_sub(freshness.age()) + Duration::from_millis(1)
    }
}

/// Takes changes in and publishes what comes of them, until nobody is left to send any.
pub async fn run(
    mut state: State,
    mut changes: mpsc::Receiver<Change>,
    publish: watch::Sender<Option<Arc<Snapshot>>>,
    freshness: Arc<Freshness>,
) {
    let mut burst = Vec::new();
    let (mut changed, mut next_swap) = (false, Instant::now());
    loop {
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(next_swap), if changed => {
                if let Some(snapshot) = state.snapshot() {
                    publish.send_replace(Some(Arc::new(snapshot)));
                }
                (changed, next_swap) = (false, Instant::now() + SWAP_INTERVAL);
            }
            count = changes.recv_many(&mut burst, BURST) => {
                if count == 0 {
                    return;
                }
                for change in burst.drain(..) {
                    changed |= state.apply(change);
                }
            }
            () = tokio::time::sleep(state.patience(&freshness)), if freshness.watched() => {}
        }
        changed |= state.look_at(&freshness);
    }
}
