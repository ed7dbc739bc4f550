//! Events to changes: the watches of Namespaces and catalogues, and the files that are polled instead.
//!
//! `cluster` reports what happened, `world` reads the objects, `state` takes what comes of it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, watch};

use super::state::{Change, Freshness, Update};
use crate::cluster::{Event, Pace, Source, Watcher};
use crate::config::follow::{Follower, Reload};
use crate::policy::snapshot::Snapshot;
use crate::telemetry::Metrics;
use crate::world::{self, CATALOGUE_LABEL, CATALOGUE_PREFIX, Part, Problem};

/// Watches there are: namespaces and catalogues. Their numbers in [`Freshness`].
pub const WATCHES: usize = 2;
const NAMESPACES: usize = 0;
const CATALOGUES: usize = 1;

/// Where changes go, and what is known already.
#[derive(Clone)]
pub struct Feed {
    /// To the single writer.
    pub changes: mpsc::Sender<Change>,
    /// When each watch was last heard of.
    pub freshness: Arc<Freshness>,
    /// What was published: what did not change is not kept twice while a list is read.
    pub snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
}

/// Watches all Namespaces, for ever.
pub async fn namespaces(client: kube::Client, pace: Pace, feed: Feed) {
    let source = Source { path: "/api/v1/namespaces".to_owned(), labels: None };
    let decode = |raw: &RawValue| seen::<Namespace, _>(raw, "Namespace", |name| Some(name), world::namespace);
    let mut watcher = Watcher::new(client, source, pace, decode);
    loop {
        let update = update(watcher.next().await, |name| Some(name));
        feed.freshness.touch(NAMESPACES);
        let Some(update) = update else { continue };
        if feed.changes.send(Change::Namespaces(update)).await.is_err() {
            return;
        }
    }
}

/// Watches the catalogues in RefGate's own namespace, for ever.
pub async fn catalogues(client: kube::Client, own_namespace: String, pace: Pace, feed: Feed) {
    let source = Source {
        path: format!("/api/v1/namespaces/{own_namespace}/configmaps"),
        labels: Some(format!("{CATALOGUE_LABEL}=true")),
    };
    let snapshots = feed.snapshots.clone();
    let decode = |raw: &RawValue| {
        let mut seen = seen::<ConfigMap, _>(raw, "ConfigMap", in_catalogue, world::catalogue)?;
        let current =
            snapshots.borrow().as_ref().and_then(|snapshot| snapshot.namespaces.get(&seen.0).cloned());
        if let (Some(current), Some(new)) = (current, &mut seen.1)
            && current.catalogue == *new
        {
            *new = Arc::clone(&current.catalogue);
        }
        Some(seen)
    };
    let mut watcher = Watcher::new(client, source, pace, decode);
    loop {
        let update = update(watcher.next().await, in_catalogue);
        feed.freshness.touch(CATALOGUES);
        let Some(update) = update else { continue };
        if feed.changes.send(Change::Catalogues(update)).await.is_err() {
            return;
        }
    }
}

/// The namespace that a catalogue speaks of, by the name of its ConfigMap.
fn in_catalogue(name: &str) -> Option<&str> {
    name.strip_prefix(CATALOGUE_PREFIX)
}

/// An object: its namespace, and what it says; `None` for one that cannot be read.
type Seen<T> = (Box<str>, Option<Arc<T>>);

/// Reads an object. One that cannot be read is said; where at least its name can be, it is reported without a value, so
/// that what was known of it stays.
fn seen<K: DeserializeOwned, T>(
    raw: &RawValue,
    kind: &str,
    key: impl Fn(&str) -> Option<&str>,
    read: impl Fn(&K) -> Result<Part<T>, Problem>,
) -> Option<Seen<T>> {
    #[derive(Deserialize)]
    struct Named {
        metadata: Name,
    }
    #[derive(Deserialize)]
    struct Name {
        name: String,
    }
    let unreadable = |error: serde_json::Error| Problem {
        object: format!("a {kind}"),
        // The class alone: the text of the error may quote what it stumbled over.
        message: format!("cannot be read ({:?} error)", error.classify()),
    };
    match serde_json::from_str::<K>(raw.get()).map_err(unreadable).and_then(|object| read(&object)) {
        Ok(part) => {
            for problem in part.problems {
                tracing::warn!(%problem, "part of an object was left out");
            }
            Some((part.namespace, Some(Arc::new(part.value))))
        }
        Err(problem) => {
            let name = serde_json::from_str::<Named>(raw.get()).map(|named| named.metadata.name);
            let name = name.unwrap_or_default();
            tracing::error!(%problem, name, "an object was skipped; what was known of it stays");
            key(&name).filter(|key| !key.is_empty()).map(|key| (key.into(), None))
        }
    }
}

fn update<T>(event: Event<Seen<T>>, key: impl Fn(&str) -> Option<&str>) -> Option<Update<T>> {
    match event {
        Event::Restart(list) => Some(Update::Restart(list)),
        Event::Apply((name, Some(value))) => Some(Update::Apply(name, value)),
        Event::Apply((_, None)) | Event::Alive => None,
        Event::Delete { name, .. } => key(&name).map(|key| Update::Delete(key.into())),
    }
}

/// Hands on each new configuration, for ever. An invalid one is said once, and the last good one stays.
pub async fn configuration(mut follower: Follower, changes: mpsc::Sender<Change>, metrics: Arc<Metrics>) {
    loop {
        match follower.next().await {
            Reload::Good(config) => {
                metrics.config_reload_success.set(1);
                if changes.send(Change::Configuration(config)).await.is_err() {
                    return;
                }
            }
            Reload::Bad => {
                metrics.config_reload_success.set(0);
            }
        }
    }
}
