//! One pass: read the manager's lists, what is held and the catalogue; plan; fetch what is needed, a batch at a time; write.
//!
//! Everything is read before anything is written. What fails for one secret or one namespace fails for it alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use jiff::Timestamp;
use kube::Client;
use tokio::time::Instant;

use super::apply::{ApplyError, Writer};
use super::manager::{Fetched, ManagerError};
use super::managers::Managers;
use super::plan::{self, Catalogue, Event, Listing, Listings, Plan, View, plan};
use super::read::{self, Stored};
use super::secret::{Desired, Held, Known, TYPE_TAG};
use super::state::{Cluster, Place};
use super::wanted::Wanted;
use crate::cluster::list::{ListError, Reader};
use crate::config::sync::Sync;
use crate::policy::path::secret_name;
use crate::policy::snapshot::Binding;
use crate::telemetry::sync::{CallLabels, SyncMetrics};
use crate::world::SYSTEM_NAMESPACES;

/// Secrets of one fetch.
const BATCH: usize = 20;
/// Namespaces that are read at the same time.
const AT_A_TIME: usize = 8;

/// One namespace of a pass.
struct Scene {
    name: String,
    place: Place,
    wanted: Wanted,
    is_whole: bool,
    held: Vec<Held>,
    /// Paths whose values it waits for.
    fetch: BTreeSet<String>,
}

/// What is measured of one namespace.
struct Count {
    /// Secrets that are held.
    held: usize,
    /// What it is bound to.
    scope: Option<String>,
    /// Paths whose values are due.
    due: Vec<String>,
}

/// What lasts from pass to pass.
pub struct Engine {
    /// Writes.
    pub writer: Writer,
    reader: Reader,
    managers: Managers,
    settings: Sync,
    max_age: Duration,
    own_namespace: String,
    metrics: Arc<SyncMetrics>,
    listings: Listings,
    known: HashMap<String, Known>,
    /// Names that somebody else has, by namespace, with their paths.
    taken: HashMap<String, BTreeMap<String, String>>,
    catalogues: BTreeMap<String, Stored>,
    counts: HashMap<String, Count>,
    unreadable: BTreeSet<String>,
    /// When the manager was last read as a whole.
    read_at: Option<Instant>,
}

/// What an engine works with.
pub struct Parts {
    /// Of the API server.
    pub client: Client,
    /// Of the values.
    pub managers: Managers,
    /// From the configuration.
    pub settings: Sync,
    /// How long a watch may be silent before nothing is taken away any more.
    pub max_age: Duration,
    /// RefGate's own.
    pub own_namespace: String,
    /// What is measured.
    pub metrics: Arc<SyncMetrics>,
}

impl Engine {
    /// Nothing is known yet.
    pub fn new(parts: Parts, writer: Writer) -> Self {
        let Parts { client, managers, settings, max_age, own_namespace, metrics } = parts;
        Self {
            writer,
            reader: Reader::new(client),
            managers,
            settings,
            max_age,
            own_namespace,
            metrics,
            listings: Listings::new(),
            known: HashMap::new(),
            taken: HashMap::new(),
            catalogues: BTreeMap::new(),
            counts: HashMap::new(),
            unreadable: BTreeSet::new(),
            read_at: None,
        }
    }

    /// How long ago the manager was read as a whole.
    pub fn source_age(&self) -> Option<Duration> {
        self.read_at.map(|at| at.elapsed())
    }

    /// A pass over all namespaces, with the manager's lists read anew.
    pub async fn whole(&mut self, cluster: &Cluster, now: Timestamp) -> Result<(), ListError> {
        self.catalogues = read::catalogues(&self.reader, &self.own_namespace).await?;
        let places = self.places(cluster);
        let prefixes: BTreeSet<String> = prefixes_of(places.values());
        self.listings.retain(|prefix, _| prefixes.contains(prefix));
        let mut is_whole = true;
        for prefix in prefixes {
            let listing = self.list(&prefix).await;
            is_whole &= listing.is_some();
            self.listings.insert(prefix, listing);
        }
        if is_whole {
            self.read_at = Some(Instant::now());
        }
        self.known.retain(|path, _| self.listings.keys().any(|prefix| path.starts_with(prefix.as_str())));
        self.taken.retain(|namespace, _| places.contains_key(namespace));
        self.counts.retain(|namespace, _| places.contains_key(namespace));
        self.unreadable.retain(|namespace| places.contains_key(namespace));
        self.probe_taken().await;
        self.work(cluster, places, now).await;
        Ok(())
    }

    /// A pass over the namespaces where something changed, with the lists as they were read last.
    pub async fn some(&mut self, cluster: &Cluster, names: &BTreeSet<String>, now: Timestamp) {
        let mut places = self.places(cluster);
        places.retain(|name, _| names.contains(name));
        for prefix in prefixes_of(places.values()) {
            if !matches!(self.listings.get(&prefix), Some(Some(_))) {
                let listing = self.list(&prefix).await;
                self.listings.insert(prefix, listing);
            }
        }
        self.work(cluster, places, now).await;
    }

    /// Namespaces that are bound, or that a catalogue still speaks of.
    fn places(&self, cluster: &Cluster) -> BTreeMap<String, Option<Place>> {
        let all = cluster.namespaces();
        let outside = |name: &str| SYSTEM_NAMESPACES.contains(&name) || name == self.own_namespace;
        let mut places: BTreeMap<String, Option<Place>> =
            self.catalogues.keys().map(|name| (name.clone(), all.get(name).cloned())).collect();
        let bound = all.into_iter().filter(|(_, place)| place.labels.binding != Binding::Unbound);
        places.extend(bound.map(|(name, place)| (name, Some(place))));
        places.retain(|name, _| !outside(name));
        places
    }

    async fn list(&self, prefix: &str) -> Option<Listing> {
        let result = self.managers.list(&format!("{prefix}/")).await;
        self.count("list", result.as_ref().err());
        match result {
            Ok(list) => Some(Listing::new(list)),
            Err(error) => {
                tracing::warn!(prefix, %error, "the secret manager could not be listed; nothing changes for it");
                None
            }
        }
    }

    fn count(&self, call: &'static str, error: Option<&ManagerError>) {
        let outcome = match error {
            None => "ok",
            Some(ManagerError::Denied(_)) => "denied",
            Some(ManagerError::Throttled) => "throttled",
            Some(ManagerError::Unavailable(_)) => "unavailable",
            Some(ManagerError::NotFound(_) | ManagerError::Deleted(_) | ManagerError::Invalid(_)) => {
                "invalid"
            }
        };
        self.metrics.calls.get_or_create(&CallLabels { call, outcome }).inc();
    }

    /// Names that became free.
    async fn probe_taken(&mut self) {
        for (namespace, names) in &mut self.taken {
            let mut still = BTreeMap::new();
            for (name, path) in std::mem::take(names) {
                if self.writer.is_taken(namespace, &name, &path).await {
                    still.insert(name, path);
                }
            }
            *names = still;
        }
    }

    async fn work(&mut self, cluster: &Cluster, places: BTreeMap<String, Option<Place>>, now: Timestamp) {
        let (gone, there): (Vec<_>, Vec<_>) = places.into_iter().partition(|(_, place)| place.is_none());
        let mut scenes = self.read(cluster, there).await;
        let mut fetch = BTreeSet::new();
        for scene in &mut scenes {
            scene.fetch = self.plan(scene, now).fetch;
            fetch.extend(scene.fetch.iter().cloned());
        }
        let fetch: Vec<String> = fetch.into_iter().collect();
        for batch in fetch.chunks(BATCH) {
            if !self.writer.may_write() {
                return;
            }
            self.fetch_and_write(batch, &mut scenes, now).await;
        }
        for scene in &mut scenes {
            self.finish(scene, now).await;
        }
        for (name, _) in gone {
            if self.written(self.writer.catalogue(&name, None).await, &name) {
                self.catalogues.remove(&name);
            }
        }
        self.measure();
    }

    /// What is held in each namespace, several at a time. One whose Secrets cannot be read is left out.
    async fn read(&mut self, cluster: &Cluster, places: Vec<(String, Option<Place>)>) -> Vec<Scene> {
        let whole = cluster.is_whole(self.max_age);
        let places = places.into_iter().filter_map(|(name, place)| Some((name, place?)));
        let reader = &self.reader;
        let read = stream::iter(places).map(|(name, place)| async move {
            let held = read::held(reader, &name).await;
            (name, place, held)
        });
        let read: Vec<_> = read.buffered(AT_A_TIME).collect().await;
        let mut scenes = Vec::new();
        for (name, place, held) in read {
            match held {
                Ok((held, forged)) => {
                    self.unreadable.remove(&name);
                    for secret in forged {
                        tracing::warn!(
                            namespace = name,
                            secret,
                            "a Secret claims a path, and the sync did not make it; it counts for nothing"
                        );
                    }
                    let (wanted, readable) = cluster.wanted(&name, &place.labels.binding, place.all);
                    scenes.push(Scene {
                        is_whole: whole && readable,
                        name,
                        place,
                        wanted,
                        held,
                        fetch: BTreeSet::new(),
                    });
                }
                Err(error) => {
                    if self.unreadable.insert(name.clone()) {
                        tracing::warn!(namespace = name, %error, "its Secrets cannot be listed; RoleBinding refgate-sync, which refgate bind prints, gives the right to");
                    }
                }
            }
        }
        scenes
    }

    fn plan(&self, scene: &Scene, now: Timestamp) -> Plan {
        let (none, nothing) = (BTreeMap::new(), Stored::default());
        let stored = self.catalogues.get(&scene.name).unwrap_or(&nothing);
        let view = View {
            binding: &scene.place.labels.binding,
            wanted: &scene.wanted,
            held: &scene.held,
            taken: self.taken.get(&scene.name).unwrap_or(&none),
            leaving: &stored.leaving,
            known_names: &stored.known,
            is_whole: scene.is_whole,
            listings: &self.listings,
            known: &self.known,
        };
        let mut plan = plan(&view, &self.settings, now);
        if scene.place.terminating {
            // The API server refuses what is new there; what is there goes with it.
            plan = Plan { catalogue: plan.catalogue, ..Plan::default() };
        }
        plan
    }

    /// One batch of values, written wherever they are wanted, and gone after it.
    async fn fetch_and_write(&mut self, batch: &[String], scenes: &mut [Scene], now: Timestamp) {
        let results = self.managers.fetch(batch).await;
        if results.iter().any(|(_, result)| result.is_ok()) {
            self.count("fetch", None);
        }
        for (path, result) in results {
            match result {
                Ok(fetched) => self.write_everywhere(&path, &fetched, scenes, now).await,
                Err(error) => {
                    self.count("fetch", Some(&error));
                    tracing::warn!(path, %error, "a value could not be fetched; nothing changes for it");
                }
            }
        }
    }

    async fn write_everywhere(
        &mut self,
        path: &str,
        fetched: &Fetched,
        scenes: &mut [Scene],
        now: Timestamp,
    ) {
        // What was not asked for is nothing that anybody may have.
        let Some(listed) = self.listings.values().flatten().find_map(|listing| listing.get(path)) else {
            return;
        };
        let tag = listed.tags.get(TYPE_TAG).map(String::as_str);
        let desired = Desired::new(path, fetched, tag);
        let known = Known::new(listed, fetched, desired.as_ref());
        self.known.insert(path.to_owned(), known);
        let Ok(desired) = desired else { return };
        for scene in scenes.iter_mut().filter(|scene| scene.fetch.contains(path)) {
            self.write(scene, &desired, now).await;
        }
    }

    async fn write(&mut self, scene: &mut Scene, desired: &Desired, now: Timestamp) {
        let name = secret_name(&desired.path);
        // The plan has seen to it; a mistake in it must not cost a value.
        if !scene.place.labels.binding.contains(&desired.path) {
            return;
        }
        let at = scene.held.iter().position(|held| held.name == name);
        let held = at.map(|at| &scene.held[at]);
        let Some(write) = plan::write(held, desired) else { return };
        match self.writer.write(&scene.name, &write, held, desired, now).await {
            Ok(Some(held)) => {
                at.map(|at| scene.held.remove(at));
                tracing::info!(
                    namespace = scene.name,
                    secret = name,
                    path = desired.path,
                    version = desired.version,
                    "written"
                );
                scene.held.push(held);
            }
            Ok(None) => {}
            Err(ApplyError::Taken) => {
                self.taken.entry(scene.name.clone()).or_default().insert(name.clone(), desired.path.clone());
                let note = format!(
                    "{} cannot be synced: there is a Secret {name} that the sync did not make; delete it",
                    desired.path
                );
                self.writer.event(&scene.name, Event::of(&name, "NameTaken", note), now).await;
            }
            Err(error) => {
                tracing::warn!(namespace = scene.name, secret = name, %error, "a Secret was not written")
            }
        }
    }

    /// What takes no values: marks, deletions, the catalogue, Events.
    async fn finish(&mut self, scene: &mut Scene, now: Timestamp) {
        let Plan { marks, deletes, .. } = self.plan(scene, now);
        let mut events = Vec::new();
        for (name, uid, why) in deletes {
            let deleted = self.writer.delete(&scene.name, &name, &uid).await;
            if self.written(deleted, &scene.name) {
                tracing::info!(namespace = scene.name, secret = name, ?why, "deleted");
                scene.held.retain(|held| held.name != name);
                let note = format!("Secret {name} was deleted: {}", why.text());
                events.push(Event::of(&name, "Deleted", note));
            }
        }
        for (name, uid, mark) in marks {
            let marked = self.writer.mark(&scene.name, &name, &uid, mark).await;
            if self.written(marked, &scene.name)
                && let Some(held) = scene.held.iter_mut().find(|held| held.name == name)
            {
                held.mark = mark.map(str::to_owned);
                events.extend(mark.map(|mark| plan::marked(held, mark)));
            }
        }
        let plan = self.plan(scene, now);
        events.extend(plan.events);
        self.writer.forget_events(&scene.name, &events);
        for event in events {
            self.writer.event(&scene.name, event, now).await;
        }
        let scope = plan::prefixes(&scene.place.labels.binding).first().map(|own| own.as_str().to_owned());
        self.counts.insert(scene.name.clone(), Count { held: scene.held.len(), scope, due: plan.due });
        self.catalogue(&scene.name, plan.catalogue).await;
    }

    async fn catalogue(&mut self, namespace: &str, catalogue: Catalogue) {
        let stored = self.catalogues.get(namespace);
        let content = match catalogue {
            Catalogue::Keep => return,
            Catalogue::Be(content) if stored.is_some_and(|stored| stored.content == content) => return,
            Catalogue::Go if stored.is_none() => return,
            Catalogue::Be(content) => Some(content),
            Catalogue::Go => None,
        };
        if self.written(self.writer.catalogue(namespace, content.as_ref()).await, namespace) {
            match content {
                Some(content) => drop(self.catalogues.insert(namespace.to_owned(), Stored::new(content))),
                None => drop(self.catalogues.remove(namespace)),
            }
        }
    }

    fn written(&self, result: Result<(), ApplyError>, namespace: &str) -> bool {
        match result {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(namespace, %error, "not written");
                false
            }
        }
    }

    fn measure(&self) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.secrets.set(number(self.counts.values().map(|count| count.held).sum()));
        // What two namespaces of one scope hold is one value of the manager.
        let mut due: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for Count { scope, due: paths, .. } in self.counts.values() {
            let Some(scope) = scope else { continue };
            due.entry(scope).or_default().extend(paths.iter().map(String::as_str));
        }
        let due = due.into_iter().map(|(scope, paths)| (scope.to_owned(), number(paths.len())));
        self.metrics.set_due(due.collect());
        self.metrics.taken.set(number(self.taken.values().map(BTreeMap::len).sum()));
        self.metrics.unreadable.set(number(self.unreadable.len()));
    }
}

fn prefixes_of<'p>(places: impl Iterator<Item = &'p Option<Place>>) -> BTreeSet<String> {
    let prefixes = places.flatten().flat_map(|place| plan::prefixes(&place.labels.binding));
    prefixes.map(|prefix| prefix.as_str().to_owned()).collect()
}
