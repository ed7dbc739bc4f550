//! What the cluster wants, as the watches see it: Namespaces, and of each object that makes pods only what it names, and what
//! restarts need of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::runs::Role;
use super::unread::Unread;
use super::wanted::{Names, Seen, Wanted, seen};
use crate::cluster::list::{ListError, Reader};
use crate::cluster::{Barred, Event, Pace, Source, Watcher};
use crate::policy::snapshot::{Binding, NamespaceLabels};
use crate::policy::workload::{KINDS, Kind};
use crate::world;

/// Annotation of a Namespace that asks for all of its scope.
pub const SYNC: &str = "refgate.dev/sync";

/// How long it takes until a kind that was not there is looked for again.
const KIND_PAUSE: Duration = Duration::from_secs(60);

/// What is known of a Namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What it is bound to.
    pub labels: NamespaceLabels,
    /// Whether it asks for all of its scope.
    pub all: bool,
    /// Whether it is on its way out: nothing can be made in it.
    pub terminating: bool,
}

/// Everything that is watched. Number 0 is the Namespaces, the others are kinds.
pub struct Cluster {
    inner: Mutex<Inner>,
    /// Told of whatever changes something.
    changed: Notify,
}

/// What is kept of the objects of one kind in one namespace, by their name.
type Objects = HashMap<Box<str>, Kept>;

/// What is kept of an object.
#[derive(Debug, Default)]
struct Kept {
    /// What it names. `None`: it could not be read, so nobody knows.
    names: Option<Names>,
    /// What it has to do with restarts.
    role: Option<Box<Role>>,
}

#[derive(Default)]
struct Inner {
    namespaces: BTreeMap<String, Place>,
    watches: Vec<Watch>,
    touched: BTreeSet<String>,
}

/// One watch.
#[derive(Default)]
struct Watch {
    /// What of; `None` for the Namespaces.
    kind: Option<Kind>,
    /// By namespace and name.
    objects: HashMap<Box<str>, Objects>,
    /// Whether its list was read once.
    complete: bool,
    /// The last sign of life.
    heard: Option<Instant>,
    /// Whether the right to it is missing.
    denied: bool,
}

impl Watch {
    /// Whether what is known of it is what there is.
    fn is_whole(&self, max_age: Duration) -> bool {
        self.complete && self.heard.is_some_and(|heard| heard.elapsed() <= max_age)
    }
}

impl Default for Cluster {
    /// Nothing is known yet.
    fn default() -> Self {
        let cluster = Self { inner: Mutex::default(), changed: Notify::new() };
        cluster.inner().watches.push(Watch::default());
        cluster
    }
}

impl Cluster {
    /// The number of one more watch. Until its list is complete, nothing is taken away.
    pub fn add_watch(&self, kind: &Kind) -> usize {
        let mut inner = self.inner();
        inner.watches.push(Watch { kind: Some(kind.clone()), ..Watch::default() });
        inner.watches.len() - 1
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until every list was read once. Without Namespaces there is nothing to do; a kind that may not be read, or is not
    /// for so long, holds nobody up: what it would name is missing, and nothing is taken away.
    pub async fn wait_complete(&self, patience: Duration) {
        let end = Instant::now() + patience;
        loop {
            let changed = self.changed.notified();
            {
                let inner = self.inner();
                let is_late = Instant::now() >= end;
                let (namespaces, kinds) = inner.watches.split_at(1);
                let is_settled = |watch: &Watch| watch.complete || watch.denied || is_late;
                if namespaces.iter().all(|watch| watch.complete) && kinds.iter().all(is_settled) {
                    return;
                }
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(end), if Instant::now() < end => {}
            }
        }
    }

    /// Waits until something changed that may matter.
    pub async fn wait_changed(&self) {
        loop {
            let changed = self.changed.notified();
            if !self.inner().touched.is_empty() {
                return;
            }
            changed.await;
        }
    }

    /// The namespaces where something changed since this was asked last.
    pub fn take_touched(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.inner().touched)
    }

    /// They were not looked at after all.
    pub fn touch(&self, names: impl IntoIterator<Item = String>) {
        self.inner().touched.extend(names);
    }

    /// All Namespaces.
    pub fn namespaces(&self) -> BTreeMap<String, Place> {
        self.inner().namespaces.clone()
    }

    /// What a namespace wants, and whether every object in it could be read.
    pub fn wanted(&self, namespace: &str, binding: &Binding, all: bool) -> (Wanted, bool) {
        let inner = self.inner();
        let objects =
            || inner.watches.iter().filter_map(|kind| kind.objects.get(namespace)).flat_map(HashMap::values);
        let wanted = Wanted::of(objects().filter_map(|kept| kept.names.as_ref()), binding, all);
        (wanted, objects().all(|kept| kept.names.is_some()))
    }

    /// What asks for restarts in a namespace, each with its name. Of a kind that is not heard of nothing does: nobody knows how
    /// many pods its objects want.
    pub fn roles(&self, namespace: &str, max_age: Duration) -> Vec<(Box<str>, Role)> {
        let inner = self.inner();
        let whole = inner.watches.iter().filter(|watch| watch.is_whole(max_age));
        let objects = whole.filter_map(|watch| watch.objects.get(namespace)).flatten();
        objects.filter_map(|(name, kept)| Some((name.clone(), Role::clone(kept.role.as_deref()?)))).collect()
    }

    /// Whether every list was read, and every watch is heard of.
    pub fn is_whole(&self, max_age: Duration) -> bool {
        self.inner().watches.iter().all(|watch| watch.is_whole(max_age))
    }

    /// Whether pods are known as they are, and Namespaces: else nobody can say how many of them are Ready.
    pub fn knows_pods(&self, max_age: Duration) -> bool {
        let inner = self.inner();
        let is_needed = |watch: &&Watch| watch.kind.as_ref().is_none_or(Kind::is_pod);
        inner.watches.iter().filter(is_needed).all(|watch| watch.is_whole(max_age))
    }

    /// The kinds to which the right is missing.
    pub fn denied(&self) -> BTreeSet<Unread> {
        let inner = self.inner();
        let denied = inner.watches.iter().filter(|watch| watch.denied);
        denied.filter_map(|watch| watch.kind.as_ref()).map(Unread::from).collect()
    }

    /// How many kinds are not known as they are, for want of a right or because their lists fail.
    pub fn unread(&self) -> usize {
        self.inner().watches.iter().filter(|watch| watch.denied || !watch.complete).count()
    }

    /// Whether Namespaces are heard of: what they are bound to is what was heard last.
    pub fn is_binding_known(&self, max_age: Duration) -> bool {
        self.inner().watches[0].heard.is_some_and(|heard| heard.elapsed() <= max_age)
    }

    /// What is known of one Namespace.
    pub fn place(&self, namespace: &str) -> Option<Place> {
        self.inner().namespaces.get(namespace).cloned()
    }

    fn take_namespaces(&self, event: Event<(String, Option<Place>)>) {
        let mut inner = self.inner();
        inner.watches[0].heard = Some(Instant::now());
        match event {
            Event::Restart(list) => {
                let mut old = std::mem::take(&mut inner.namespaces);
                for (name, place) in list {
                    let before = old.remove(&name);
                    if before != place {
                        inner.touched.insert(name.clone());
                    }
                    inner.namespaces.extend(place.or(before).map(|place| (name, place)));
                }
                inner.touched.extend(old.into_keys());
                inner.watches[0].complete = true;
            }
            Event::Apply((name, Some(place))) => {
                if inner.namespaces.get(&name) == Some(&place) {
                    return;
                }
                inner.namespaces.insert(name.clone(), place);
                inner.touched.insert(name);
            }
            Event::Delete { name, .. } => {
                inner.namespaces.remove(&name);
                inner.touched.insert(name);
            }
            Event::Apply((_, None)) | Event::Alive => return,
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    fn take_objects(&self, index: usize, event: Event<Seen>) {
        let mut inner = self.inner();
        let watch = &mut inner.watches[index];
        watch.heard = Some(Instant::now());
        // A list alone does not say that what is denied, which may be to watch, is given by now.
        if !watch.complete || !matches!(event, Event::Restart(_)) {
            watch.denied = false;
        }
        let mut is_news = true;
        match event {
            Event::Restart(list) => {
                let mut old = std::mem::take(&mut watch.objects);
                for seen in list {
                    let before = old.get_mut(&seen.namespace).and_then(|objects| objects.remove(&seen.name));
                    inner.put(index, seen, before);
                }
                let gone = old.into_iter().filter(|(_, objects)| !objects.is_empty());
                inner.touched.extend(gone.map(|(namespace, _)| namespace.into_string()));
                inner.watches[index].complete = true;
            }
            Event::Apply(seen) => {
                let objects = inner.watches[index].objects.get_mut(&seen.namespace);
                let before = objects.and_then(|objects| objects.remove(&seen.name));
                is_news = inner.put(index, seen, before);
            }
            Event::Delete { namespace, name } => {
                let objects = inner.watches[index].objects.get_mut(&*namespace);
                is_news = objects.is_some_and(|objects| objects.remove(&*name).is_some());
                if is_news {
                    inner.touched.insert(namespace);
                }
            }
            Event::Alive => return,
        }
        drop(inner);
        if is_news {
            self.changed.notify_waiters();
        }
    }

    /// The right to a kind is missing. What is known of it stays.
    fn deny(&self, index: usize, message: &str) {
        let unread = {
            let watch = &mut self.inner().watches[index];
            if std::mem::replace(&mut watch.denied, true) {
                return;
            }
            watch.kind.as_ref().map(Unread::from)
        };
        if let Some(unread) = unread {
            tracing::error!(error = message, grant = unread.grant(), "{}: {}", unread.what(), Unread::cost());
        }
        self.changed.notify_waiters();
    }

    /// A kind that the cluster does not have has no objects.
    fn absent(&self, index: usize) {
        self.take_objects(index, Event::Restart(Vec::new()));
    }
}

impl Inner {
    /// Keeps what an object names, where it names anything; says whether that is news. What restarts need is no news: who
    /// follows a rotation looks by itself.
    fn put(&mut self, index: usize, seen: Seen, before: Option<Kept>) -> bool {
        let Seen { namespace, name, names, role } = seen;
        let is_known = before.is_some();
        let before = before.unwrap_or_default();
        // What could be read once and cannot be now still names what it named.
        let kept = Kept { names: names.or_else(|| before.names.clone()), role };
        let is_nothing = kept.names.as_ref().is_some_and(Names::is_empty);
        let is_news = if is_known { before.names != kept.names } else { !is_nothing };
        if is_news {
            self.touched.insert(namespace.to_string());
        }
        if !is_nothing || kept.role.is_some() {
            self.watches[index].objects.entry(namespace).or_default().insert(name, kept);
        }
        is_news
    }
}

/// Watches all Namespaces, for ever.
pub async fn watch_namespaces(cluster: Arc<Cluster>, client: kube::Client, pace: Pace) {
    let source = Source { path: "/api/v1/namespaces".to_owned(), labels: None };
    let mut watcher = Watcher::new(client, source, pace, place);
    loop {
        cluster.take_namespaces(watcher.next().await);
    }
}

fn place(raw: &RawValue) -> Option<(String, Option<Place>)> {
    let object: Namespace = match serde_json::from_str(raw.get()) {
        Ok(object) => object,
        Err(_) => {
            let value: serde_json::Value = serde_json::from_str(raw.get()).ok()?;
            let name = value.pointer("/metadata/name")?.as_str()?.to_owned();
            tracing::error!(name, "a Namespace cannot be read; what was known of it stays");
            return Some((name, None));
        }
    };
    let part = world::namespace(&object).ok()?;
    let annotations = object.metadata.annotations.unwrap_or_default();
    let all = annotations.get(SYNC).is_some_and(|value| value == "scope");
    let terminating = object.metadata.deletion_timestamp.is_some();
    Some((part.namespace.into_string(), Some(Place { labels: part.value, all, terminating })))
}

/// Watches all objects of a kind, for ever. One that the cluster does not have is looked for now and then.
pub async fn watch_kind(cluster: Arc<Cluster>, index: usize, client: kube::Client, kind: Kind, pace: Pace) {
    let (reader, mut failures) = (Reader::new(client.clone()), 0_u32);
    let path = loop {
        match path(&reader, &kind).await {
            Ok(Some(path)) => break path,
            Ok(None) => {
                cluster.absent(index);
                failures = 0;
                tokio::time::sleep(KIND_PAUSE).await;
            }
            Err(error) => {
                if let ListError::Forbidden(message) = &error {
                    cluster.deny(index, message);
                }
                failures = failures.saturating_add(1);
                tracing::warn!(%error, kind = %kind.kind, failures, "cannot be looked for");
                pace.pause(failures).await;
            }
        }
    };
    let source = Source { path, labels: None };
    let mut watcher = Watcher::new(client, source, pace, |raw: &RawValue| {
        let seen = seen(raw.get(), &kind);
        if seen.as_ref().is_none_or(|seen| seen.names.is_none()) {
            tracing::warn!(kind = %kind.kind, "an object cannot be read; what was known of it stays");
        }
        seen
    });
    loop {
        match watcher.next_if_allowed().await {
            Ok(event) => cluster.take_objects(index, event),
            Err(barred) => {
                if let Barred::Forbidden(message) = &barred {
                    cluster.deny(index, message);
                }
                watcher.wait(barred).await;
            }
        }
    }
}

/// Where the objects of a kind are; `None` where the cluster has no such kind.
async fn path(reader: &Reader, kind: &Kind) -> Result<Option<String>, ListError> {
    if KINDS.contains(kind) || kind.group.is_empty() {
        let base =
            if kind.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}/v1", kind.group) };
        return Ok(Some(format!("{base}/{}", kind.resource)));
    }
    let versions = match reader.versions(&kind.group).await {
        Err(ListError::NotThere) => return Ok(None),
        versions => versions?,
    };
    // A group may serve a resource in some of its versions only; the first that has it has all objects.
    for version in versions {
        let path = format!("/apis/{}/{version}/{}", kind.group, kind.resource);
        match reader.list(&Source { path: path.clone(), labels: None }).next(|_| {}).await {
            Err(ListError::NotThere) => {}
            page => return page.map(|_| Some(path)),
        }
    }
    Ok(None)
}
