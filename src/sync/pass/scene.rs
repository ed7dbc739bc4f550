//! A namespace as a pass sees it: what is held there, what it wants, and who may not be read.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use futures_util::stream;

use super::{AT_A_TIME, Engine};
use crate::cluster::list::ListError;
use crate::sync::plan::Event;
use crate::sync::read;
use crate::sync::secret::Held;
use crate::sync::state::{Cluster, Place};
use crate::sync::unread::Unread;
use crate::sync::wanted::Wanted;

/// One namespace of a pass.
pub(super) struct Scene {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) wanted: Wanted,
    pub(super) is_whole: bool,
    pub(super) is_binding_known: bool,
    pub(super) held: Vec<Held>,
    /// Paths whose values it waits for.
    pub(super) fetch: BTreeSet<String>,
}

impl Engine {
    /// Fetching takes time: what came meanwhile counts before anything is deleted. Says whether the namespace is what it was;
    /// one that is not was touched, and is looked at next.
    pub(super) fn look_again(&self, scene: &mut Scene, cluster: &Cluster) -> bool {
        if cluster.place(&scene.name).as_ref() != Some(&scene.place) {
            return false;
        }
        let (wanted, readable) = cluster.wanted(&scene.name, &scene.place.labels.binding, scene.place.all);
        scene.is_whole = cluster.is_whole(self.max_age) && readable;
        scene.is_binding_known = cluster.is_binding_known(self.max_age);
        scene.wanted = wanted;
        true
    }

    /// What is held in each namespace, several at a time. One whose Secrets cannot be read is left out.
    pub(super) async fn read(
        &mut self,
        cluster: &Cluster,
        places: Vec<(String, Option<Place>)>,
    ) -> Vec<Scene> {
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
                    self.tell_forged(&name, forged);
                    let (wanted, fetch) = (Wanted::default(), BTreeSet::new());
                    let (is_whole, is_binding_known) = (false, false);
                    let mut scene = Scene { name, place, wanted, is_whole, is_binding_known, held, fetch };
                    if self.look_again(&mut scene, cluster) {
                        scenes.push(scene);
                    }
                }
                Err(error) => self.cannot_read(name, &place, &error).await,
            }
        }
        scenes
    }

    /// Kinds whose workloads may not be read: said of RefGate's own namespace, as it is no tenant's business.
    pub(super) async fn tell_unread(&mut self, cluster: &Cluster) {
        self.unread = cluster.denied();
        let (denied, all) = (self.unread.len(), cluster.unread());
        self.metrics.unread.set(i64::try_from(all).unwrap_or(i64::MAX));
        if let silent @ 1.. = all.saturating_sub(denied) {
            self.problems.insert(format!("{silent} kinds of workloads cannot be listed; nothing is deleted"));
        }
        let event = |unread: &Unread| {
            let note = format!("{}: {}; {}", unread.what(), Unread::cost(), unread.grant());
            Event::of_namespace("RightMissing", note)
        };
        let events: Vec<Event> = self.unread.iter().map(event).collect();
        self.problems.extend(events.iter().map(|event| event.note.clone()));
        self.writer.forget_events(&self.own_namespace, &events);
        for event in events {
            self.writer.event(&self.own_namespace, event).await;
        }
    }

    async fn cannot_read(&mut self, namespace: String, place: &Place, error: &ListError) {
        if matches!(error, ListError::Forbidden(_)) && !place.terminating {
            // Server-side, since who binds namespaces may patch this one RoleBinding and create none.
            let note = format!(
                "nothing is synced here, since the sync has no right on the Secrets of this namespace; give it with \
                 `kubectl create rolebinding refgate-sync --namespace={namespace} --clusterrole=refgate-sync-secrets \
                 --serviceaccount={}:refgate-sync --dry-run=client --output=yaml | kubectl apply --server-side \
                 --field-manager=refgate-bind --filename=-`",
                self.own_namespace
            );
            self.writer.event(&namespace, Event::of_namespace("RightMissing", note)).await;
        }
        if !self.unreadable.contains(&namespace) {
            tracing::warn!(namespace, %error, "its Secrets cannot be listed");
            self.unreadable.insert(namespace);
        }
    }

    /// Claims that count for nothing; said once, as there may be many.
    fn tell_forged(&mut self, namespace: &str, secrets: Vec<String>) {
        if self.forged.get(namespace).map_or(&[][..], Vec::as_slice) == secrets {
            return;
        }
        if let Some(first) = secrets.first() {
            let count = secrets.len();
            tracing::warn!(
                namespace,
                first,
                count,
                "Secrets claim paths, and the sync did not make them; they count for nothing"
            );
        }
        self.forged.insert(namespace.to_owned(), secrets);
    }
}
