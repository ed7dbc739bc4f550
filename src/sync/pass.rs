//! One pass: read the manager's lists, what is held and the catalogue; plan; fetch what is needed, a batch at a time; write.
//!
//! Everything is read before anything is written. What fails for one secret or one namespace fails for it alone.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::time::Instant;

use super::apply::{ApplyError, Writer};
use super::follow::Follower;
use super::manager::Fetched;
use super::managers::Managers;
use super::plan::{self, Catalogue, Event, Listings, Plan, View, plan};
use super::read::{self, Stored};
use super::secret::{Desired, Known, TYPE_TAG};
use super::state::{Cluster, Place};
use super::unread::Unread;

use crate::cluster::list::{ListError, Reader};
use crate::config::sync::Sync;
use crate::policy::path::secret_name;
use crate::policy::snapshot::Binding;
use crate::telemetry::sync::{Refusals, SyncMetrics};
use crate::world::SYSTEM_NAMESPACES;
use refused::{Refused, What};
use scene::Scene;

mod ask;
mod refused;
mod scene;

/// Secrets of one fetch.
const BATCH: usize = 20;
/// Namespaces that are read at the same time.
const AT_A_TIME: usize = 8;

/// What is measured of one namespace.
struct Count {
    /// Secrets that are held.
    held: usize,
    /// What it is bound to.
    scope: Option<String>,
    /// Values that cannot become a Secret.
    unfit: usize,
    /// Paths whose values are due.
    due: Vec<String>,
    /// When all that is held was last known to be what the manager has; at first, when it was first looked at.
    current: Instant,
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
    /// Writes that failed since the last pass over everything began.
    refused: Refused,
    catalogues: BTreeMap<String, Stored>,
    follower: Follower,
    counts: HashMap<String, Count>,
    unreadable: BTreeSet<String>,
    /// Kinds that may not be read.
    unread: BTreeSet<Unread>,
    /// Prefixes that the manager does not list before a person changes something, and why.
    unlisted: BTreeMap<String, String>,
    /// What could not be read or written since the last pass over everything began, a sentence each.
    problems: BTreeSet<String>,
    /// Namespaces with Secrets that claim a path that is not theirs.
    forged: HashMap<String, Vec<String>>,
    /// By namespace, what was asked of the manager and written since its lists were read: once is enough, whatever comes
    /// and goes meanwhile.
    tried: HashSet<(String, String)>,
    /// The term of the lease in which the catalogues were read.
    term: Option<u64>,
    /// The term that is measured: what was known before it began may be old only here.
    measured: Option<u64>,
    /// When the lists were asked for that are there.
    listed: Instant,
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
            follower: Follower::new(settings.restart, Arc::clone(&metrics)),
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
            unread: BTreeSet::new(),
            unlisted: BTreeMap::new(),
            refused: Refused::default(),
            problems: BTreeSet::new(),
            forged: HashMap::new(),
            tried: HashSet::new(),
            term: None,
            measured: None,
            listed: Instant::now(),
        }
    }

    /// What the last pass could not read or write.
    pub fn problems(&self) -> &BTreeSet<String> {
        &self.problems
    }

    /// From now on with other settings. Managers keep their connections where theirs are the same.
    pub fn configure(&mut self, settings: Sync, max_age: Duration) {
        if (&settings.manager, &settings.scopes) != (&self.settings.manager, &self.settings.scopes) {
            self.managers = Managers::new(&settings);
        }
        self.follower.configure(settings.restart);
        self.settings = settings;
        self.max_age = max_age;
    }

    /// Takes the next step of the workloads that are behind a rotation; whether there are any.
    pub async fn follow(&mut self, cluster: &Cluster) -> bool {
        self.writer.may_write()
            && cluster.knows_pods(self.max_age)
            && self.follower.step(cluster, self.max_age, &self.writer).await
    }

    /// A pass over all namespaces, with the manager's lists read anew.
    pub async fn whole(&mut self, cluster: &Cluster) -> Result<(), ListError> {
        self.writer.begin();
        let term = self.writer.term();
        if self.measured != Some(term) {
            self.measured = Some(term);
            self.counts.clear();
            self.metrics.begin();
        }
        self.problems.clear();
        self.catalogues = read::catalogues(&self.reader, &self.own_namespace).await?;
        self.term = Some(term);
        let places = self.places(cluster);
        let prefixes: BTreeSet<String> = prefixes_of(places.values());
        self.listings.retain(|prefix, _| prefixes.contains(prefix));
        self.unlisted.retain(|prefix, _| prefixes.contains(prefix));
        self.listed = Instant::now();
        if self.list(prefixes).await {
            self.metrics.read();
        }
        self.tried.clear();
        self.refused.clear();
        self.known.retain(|path, _| self.listings.keys().any(|prefix| path.starts_with(prefix.as_str())));
        self.taken.retain(|namespace, _| places.contains_key(namespace));
        self.counts.retain(|namespace, _| places.contains_key(namespace));
        self.unreadable.retain(|namespace| places.contains_key(namespace));
        self.follower.retain(|namespace| places.contains_key(namespace));
        self.forged.retain(|namespace, _| places.contains_key(namespace));
        self.probe_taken().await;
        self.tell_unread(cluster).await;
        self.work(cluster, places).await;
        Ok(())
    }

    /// A pass over the namespaces where something changed, with the lists as they were read last.
    pub async fn some(&mut self, cluster: &Cluster, names: &BTreeSet<String>) {
        if self.term != Some(self.writer.term()) {
            // What was read before another one led says nothing any more of what leaves, and since when.
            if let Err(error) = self.whole(cluster).await {
                tracing::warn!(%error, "the catalogue cannot be read; nothing is done");
            }
            return;
        }
        self.writer.begin();
        let mut places = self.places(cluster);
        places.retain(|name, _| names.contains(name));
        // One that could not be read waits for the next refresh, however often its namespace is touched.
        let mut prefixes = prefixes_of(places.values());
        prefixes.retain(|prefix| !self.listings.contains_key(prefix));
        self.list(prefixes).await;
        self.work(cluster, places).await;
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

    async fn work(&mut self, cluster: &Cluster, places: BTreeMap<String, Option<Place>>) {
        let (gone, there): (Vec<_>, Vec<_>) = places.into_iter().partition(|(_, place)| place.is_none());
        let mut scenes = self.read(cluster, there).await;
        let mut fetch = BTreeSet::new();
        for scene in &mut scenes {
            scene.fetch = self.plan(scene).fetch;
            scene.fetch.retain(|path| self.tried.insert((scene.name.clone(), path.clone())));
            fetch.extend(scene.fetch.iter().cloned());
        }
        let fetch: Vec<String> = fetch.into_iter().collect();
        for batch in fetch.chunks(BATCH) {
            if !self.writer.may_write() {
                return;
            }
            self.fetch_and_write(batch, &mut scenes).await;
        }
        for scene in &mut scenes {
            if self.look_again(scene, cluster) {
                self.finish(scene).await;
            }
        }
        for (name, _) in gone {
            let gone = self.writer.catalogue(&name, None).await;
            if self.settle(&name, What::Catalog, "", gone).is_some() {
                self.catalogues.remove(&name);
            }
        }
        self.measure();
    }

    fn plan(&self, scene: &Scene) -> Plan {
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
            is_binding_known: scene.is_binding_known,
            listings: &self.listings,
            known: &self.known,
            unread: &self.unread,
            unlisted: &self.unlisted,
            refused: &self.refused.by_path(&scene.name),
        };
        let mut plan = plan(&view, &self.settings, self.writer.now());
        if scene.place.terminating {
            // The API server refuses what is new there; what is there goes with it.
            plan = Plan { catalogue: plan.catalogue, is_current: true, ..Plan::default() };
        }
        plan
    }

    /// One batch of values, written wherever they are wanted, and gone after it.
    async fn fetch_and_write(&mut self, batch: &[String], scenes: &mut [Scene]) {
        let results = self.managers.fetch(batch).await;
        if results.iter().any(|(_, result)| result.is_ok()) {
            self.count("fetch", None);
        }
        for (path, result) in results {
            match result {
                Ok(fetched) => self.write_everywhere(&path, &fetched, scenes).await,
                Err(error) => {
                    self.count("fetch", Some(&error));
                    tracing::warn!(path, %error, "a value could not be fetched; nothing changes for it");
                    self.problems.insert(format!("{path} could not be fetched: {error}"));
                    for scene in scenes.iter().filter(|scene| scene.fetch.contains(&path)) {
                        self.cannot_fetch(&scene.name, &path, &error);
                    }
                }
            }
        }
    }

    async fn write_everywhere(&mut self, path: &str, fetched: &Fetched, scenes: &mut [Scene]) {
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
            self.write(scene, &desired).await;
        }
    }

    async fn write(&mut self, scene: &mut Scene, desired: &Desired) {
        let name = secret_name(&desired.path);
        // The plan has seen to it; a mistake in it must not cost a value.
        if !scene.place.labels.binding.contains(&desired.path) {
            return;
        }
        let at = scene.held.iter().position(|held| held.name == name);
        let held = at.map(|at| &scene.held[at]);
        let Some(write) = plan::write(held, desired, self.writer.now()) else { return };
        let written = match self.writer.write(&scene.name, &write, held, desired).await {
            Err(ApplyError::Taken) => {
                self.taken.entry(scene.name.clone()).or_default().insert(name, desired.path.clone());
                return;
            }
            written => self.settle(&scene.name, What::Value(&name), &desired.path, written),
        };
        let Some(Some(held)) = written else { return };
        at.map(|at| scene.held.remove(at));
        let (path, version) = (&desired.path, &desired.version);
        tracing::info!(namespace = scene.name, secret = name, path, version, "written");
        scene.held.push(held);
    }

    /// What takes no values: marks, deletions, the catalogue, Events.
    async fn finish(&mut self, scene: &mut Scene) {
        let Plan { marks, deletes, .. } = self.plan(scene);
        let mut events = Vec::new();
        for (name, uid, why) in deletes {
            let deleted = self.writer.delete(&scene.name, &name, &uid).await;
            let path = path_of(scene, &name);
            if self.settle(&scene.name, What::Deletion(&name), &path, deleted).is_some() {
                tracing::info!(namespace = scene.name, secret = name, ?why, "deleted");
                scene.held.retain(|held| held.name != name);
                let note = format!("Secret {name} was deleted: {}", why.text());
                events.push(Event::of(&name, "Deleted", note));
            }
        }
        for (name, uid, mark) in marks {
            let marked = self.writer.mark(&scene.name, &name, &uid, mark).await;
            let path = path_of(scene, &name);
            if self.settle(&scene.name, What::Mark(&name), &path, marked).is_some()
                && let Some(held) = scene.held.iter_mut().find(|held| held.name == name)
            {
                held.mark = mark.map(str::to_owned);
            }
        }
        let plan = self.plan(scene);
        self.catalogue(&scene.name, plan.catalogue).await;
        events.extend(plan.events);
        events.extend(self.refused.events(&scene.name).into_iter().filter(|_| !scene.place.terminating));
        let taken = self.taken.get(&scene.name).filter(|_| !scene.place.terminating);
        for (name, path) in taken.into_iter().flatten() {
            let note = format!(
                "{path} cannot be synced: there is a Secret {name} that the sync did not make; delete it"
            );
            events.push(Event::of(name, "NameTaken", note));
        }
        self.writer.forget_events(&scene.name, &events);
        for event in events {
            self.writer.event(&scene.name, event).await;
        }
        let binding = &scene.place.labels.binding;
        let scope = plan::prefixes(binding).first().map(|own| own.as_str().to_owned());
        let before = self.counts.get(&scene.name).map(|count| count.current);
        let current = if plan.is_current { self.listed } else { before.unwrap_or_else(Instant::now) };
        let count = Count { held: scene.held.len(), scope, unfit: plan.unfit.len(), due: plan.due, current };
        self.counts.insert(scene.name.clone(), count);
        let inside = scene.held.iter().filter(|held| binding.contains(&held.path));
        self.follower.learn(&scene.name, inside, self.writer.now());
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
        let written = self.writer.catalogue(namespace, content.as_ref()).await;
        if self.settle(namespace, What::Catalog, "", written).is_some() {
            match content {
                Some(content) => drop(self.catalogues.insert(namespace.to_owned(), Stored::new(content))),
                None => drop(self.catalogues.remove(namespace)),
            }
        }
    }

    fn measure(&self) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.secrets.set(number(self.counts.values().map(|count| count.held).sum()));
        // What two namespaces of one scope hold is one value of the manager.
        let mut due: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        // The oldest of several namespaces speaks for their scope.
        let mut data: BTreeMap<String, Instant> = BTreeMap::new();
        for Count { scope, due: paths, current, .. } in self.counts.values() {
            let Some(scope) = scope else { continue };
            due.entry(scope).or_default().extend(paths.iter().map(String::as_str));
            let oldest = data.entry(scope.clone()).or_insert(*current);
            *oldest = (*oldest).min(*current);
        }
        self.metrics.set_data(data);
        let due = due.into_iter().map(|(scope, paths)| (scope.to_owned(), number(paths.len())));
        self.metrics.set_due(due.collect());
        let unfit = number(self.counts.values().map(|count| count.unfit).sum());
        self.metrics.set_refused(Refusals { unfit, ..self.refused.count() });
        self.metrics.taken.set(number(self.taken.values().map(BTreeMap::len).sum()));
        self.metrics.unreadable.set(number(self.unreadable.len()));
    }
}

/// The path of a Secret that is held.
fn path_of(scene: &Scene, name: &str) -> String {
    scene.held.iter().find(|held| held.name == name).map(|held| held.path.clone()).unwrap_or_default()
}

fn prefixes_of<'p>(places: impl Iterator<Item = &'p Option<Place>>) -> BTreeSet<String> {
    let prefixes = places.flatten().flat_map(|place| plan::prefixes(&place.labels.binding));
    prefixes.map(|prefix| prefix.as_str().to_owned()).collect()
}
