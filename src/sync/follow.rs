//! Rotations followed to the pods: what `restart` decides is carried out through the Eviction API, and people are told where
//! it stops.
//!
//! What the watches keep is looked at, nothing is read. Workloads are never edited: their own controllers make the successors.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::apply::{ApplyError, REPLACED, Writer};
use super::plan::{About, Event};
use super::restart::{self, Pace, Pod, Read, Step, Why, Workload};
use super::runs::{Maker, Owner, Reader, Role, Run};
use super::secret::Held;
use super::state::Cluster;
use crate::config::sync::Restart;
use crate::telemetry::sync::SyncMetrics;

/// How long a workload is left alone after an eviction that was refused.
const PAUSE: Duration = Duration::from_secs(5);

/// What lasts from look to look. None of it is needed to go on after a start.
pub struct Follower {
    pace: Pace,
    metrics: Arc<SyncMetrics>,
    /// By namespace and name.
    changes: HashMap<String, Changes>,
    /// Namespaces that are to be looked at: something changed, or pods are behind.
    due: BTreeSet<String>,
    /// Pods that were evicted; the watch may not have heard of it yet.
    evicted: HashSet<Box<str>>,
    /// What was said last of each workload that stands still, and until when it is left alone.
    standing: HashMap<(String, Owner), Standing>,
}

/// When the data of each Secret last changed, by name, and whether it was the first that it held.
type Changes = HashMap<Box<str>, (Timestamp, bool)>;

struct Standing {
    said: Option<Event>,
    until: Instant,
}

/// A workload and what its pods are behind of.
struct Group {
    workload: Workload,
    uids: HashMap<String, Box<str>>,
    /// The Secret that changed last, and when.
    behind: Option<(Timestamp, Box<str>)>,
}

impl Follower {
    /// Nothing is known yet.
    pub fn new(settings: Restart, metrics: Arc<SyncMetrics>) -> Self {
        Self {
            pace: pace(settings),
            metrics,
            changes: HashMap::new(),
            due: BTreeSet::new(),
            evicted: HashSet::new(),
            standing: HashMap::new(),
        }
    }

    /// From now on at another pace.
    pub fn configure(&mut self, settings: Restart) {
        self.pace = pace(settings);
    }

    /// Takes in what a namespace holds now; it is looked at next.
    pub fn learn<'h>(&mut self, namespace: &str, held: impl Iterator<Item = &'h Held>) {
        let change = |held: &Held| match (held.changed?, held.made) {
            (changed, Some(made)) if changed <= made => Some((made, true)),
            (changed, _) => Some((changed, false)),
        };
        let changes = held.filter_map(|held| Some((Box::from(held.name.as_str()), change(held)?))).collect();
        self.changes.insert(namespace.to_owned(), changes);
        self.due.insert(namespace.to_owned());
    }

    /// Forgets all namespaces but these.
    pub fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.changes.retain(|namespace, _| is_there(namespace));
        self.due.retain(|namespace| is_there(namespace));
        self.standing.retain(|(namespace, _), _| is_there(namespace));
    }

    /// Takes the next step of each workload that is behind. Says whether there is any: then it wants to be asked again soon.
    pub async fn step(&mut self, cluster: &Cluster, writer: &Writer) -> bool {
        let mut behind = 0;
        for namespace in std::mem::take(&mut self.due) {
            let Some(changes) = self.changes.get(&namespace) else { continue };
            let roles = cluster.roles(&namespace);
            let groups = groups(roles, changes, &self.evicted);
            self.standing.retain(|(other, owner), _| *other != namespace || groups.contains_key(owner));
            let mut here = 0;
            for (owner, group) in groups {
                here += i64::from(self.one(&namespace, owner, &group, writer).await);
            }
            if here > 0 {
                self.due.insert(namespace);
            }
            behind += here;
        }
        if behind == 0 {
            // Whoever was evicted is gone, or is looked at with nothing behind it.
            self.evicted.clear();
        }
        self.metrics.behind.set(behind);
        behind > 0
    }

    /// The next step of one workload; whether it is behind.
    async fn one(&mut self, namespace: &str, owner: Owner, group: &Group, writer: &Writer) -> bool {
        let now = writer.now();
        let key = (namespace.to_owned(), owner);
        let step = restart::next(&group.workload, self.pace, now);
        let Some((changed, secret)) = &group.behind else {
            self.standing.remove(&key);
            return false;
        };
        let cause = format!("Secret {secret} changed at {}", changed.strftime("%Y-%m-%dT%H:%M:%SZ"));
        match step {
            Step::Done => {
                self.standing.remove(&key);
                return false;
            }
            Step::Wait => {}
            Step::Hold(why) => {
                let note = format!("{cause}, and pods have it in their environment: {}", held(why));
                let event = about(&key.1, "RestartHeld", note);
                self.stand(key, event, Duration::ZERO, writer).await;
            }
            Step::Evict(names) => {
                if self.standing.get(&key).is_some_and(|standing| Instant::now() < standing.until) {
                    return true;
                }
                for name in names {
                    if !self.evict(&key, &name, group, &cause, writer).await {
                        break;
                    }
                }
            }
        }
        true
    }

    /// Evicts a pod; whether there is any use in going on with the next one.
    async fn evict(
        &mut self,
        key: &(String, Owner),
        name: &str,
        group: &Group,
        cause: &str,
        writer: &Writer,
    ) -> bool {
        let Some(uid) = group.uids.get(name) else { return false };
        let (namespace, owner) = key;
        let error = match writer.evict(namespace, name, uid).await {
            Ok(()) => {
                self.evicted.insert(uid.clone());
                self.standing.remove(key);
                let note = format!("pod {name} is replaced: {cause}, and the pod has it in its environment");
                writer.say(namespace, &about(owner, REPLACED, note)).await;
                return true;
            }
            // Whoever has the lease goes on.
            Err(ApplyError::NotLeader) => return false,
            Err(error) => error,
        };
        let reason = if error == ApplyError::Budget { "RestartWaits" } else { "RestartRefused" };
        let note = format!(
            "{cause}, and pods have it in their environment, but none could be evicted: {error}; it is tried again"
        );
        self.stand(key.clone(), about(owner, reason, note), PAUSE, writer).await;
        false
    }

    /// Says why a workload stands still, once, and leaves it alone for a while.
    async fn stand(&mut self, key: (String, Owner), event: Event, pause: Duration, writer: &Writer) {
        let standing = self.standing.entry(key.clone());
        let standing = standing.or_insert_with(|| Standing { said: None, until: Instant::now() });
        standing.until = Instant::now() + pause;
        if standing.said.as_ref() != Some(&event) && writer.say(&key.0, &event).await {
            standing.said = Some(event);
        }
    }
}

fn pace(settings: Restart) -> Pace {
    let Restart { ready, share, patience } = settings;
    Pace { ready, share, patience }
}

fn about(owner: &Owner, reason: &'static str, note: String) -> Event {
    Event { about: About::Workload(owner.clone()), reason, note }
}

/// The rest of a sentence, and what to do.
fn held(why: Why) -> &'static str {
    match why {
        Why::TooFewReady => {
            "fewer than two of them are Ready, so none is evicted; restart the workload, or give its pod template the \
             annotation refgate.dev/restart: always"
        }
        Why::SuccessorNotReady => {
            "a pod that has the new value does not become Ready, so the others stay as they are; see what it lacks"
        }
    }
}

/// The workloads of a namespace with their pods: those of a Deployment's ReplicaSets are the Deployment's.
fn groups(
    roles: Vec<(Box<str>, Role)>,
    changes: &Changes,
    evicted: &HashSet<Box<str>>,
) -> BTreeMap<Owner, Group> {
    let mut makers: HashMap<Box<str>, Maker> = HashMap::new();
    let mut runs = Vec::new();
    for (name, role) in roles {
        match role {
            Role::Workload(maker) => drop(makers.insert(maker.uid.clone(), maker)),
            Role::Pod(run) => runs.push((name, run)),
        }
    }
    let mut groups = BTreeMap::new();
    for (name, run) in runs {
        let Some(maker) = makers.get(&run.owner.uid) else { continue };
        let deployment = maker.owner.as_ref().filter(|owner| &*owner.kind == "Deployment");
        let (owner, maker) = match deployment {
            // Not known yet, or it asks for no restarts any more.
            Some(owner) => match makers.get(&owner.uid) {
                Some(maker) => (owner, maker),
                None => continue,
            },
            None => (&run.owner, maker),
        };
        let empty = || Workload { desired: maker.desired, wish: maker.wish, pods: Vec::new() };
        let group = groups.entry(owner.clone()).or_insert_with(|| Group {
            workload: empty(),
            uids: HashMap::new(),
            behind: None,
        });
        group.add(name, run, changes, evicted);
    }
    groups
}

impl Group {
    fn add(&mut self, name: Box<str>, run: Run, changes: &Changes, evicted: &HashSet<Box<str>>) {
        let (mut reads, mut last) = (Vec::new(), None);
        for Reader { started, secrets } in run.containers {
            for secret in secrets {
                let Some(&(changed, is_first)) = changes.get(&secret) else { continue };
                reads.push(Read { started, changed, is_first });
                last = last.max(Some((changed, secret)));
            }
        }
        let pod = Pod {
            name: name.into_string(),
            created: run.created,
            ready_since: run.ready_since,
            is_leaving: run.is_leaving || evicted.contains(&run.uid),
            reads,
        };
        if pod.behind_since().is_some() {
            self.behind = self.behind.take().max(last);
        }
        self.uids.insert(pod.name.clone(), run.uid);
        self.workload.pods.push(pod);
    }
}
