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

/// How long a workload is left alone after an eviction, or an Event, that was refused.
const PAUSE: Duration = Duration::from_secs(5);
/// Evictions of one look, refused ones included: nobody's pods keep the others waiting.
const EVICTIONS: usize = 20;
/// Events are kept for an hour; what still holds is said again before that.
const AGAIN: Duration = Duration::from_secs(50 * 60);
/// How much older than its Secret the time of a first value is at most: it is dated a second back, and a write takes its time.
const FIRST: Duration = Duration::from_secs(8);

/// What lasts from look to look. None of it is needed to go on after a start.
pub struct Follower {
    pace: Pace,
    metrics: Arc<SyncMetrics>,
    /// By namespace and name.
    changes: HashMap<String, Changes>,
    /// Namespaces that are to be looked at: something changed, or pods are behind.
    due: BTreeSet<String>,
    /// The namespace that was looked at last; the next look begins behind it.
    last: String,
    /// Workloads that are behind, by namespace.
    behind: HashMap<String, i64>,
    /// Pods that were evicted, by namespace; the watch may not have heard of it yet.
    evicted: HashMap<String, HashSet<Box<str>>>,
    /// Workloads that do not get on.
    standing: HashMap<Key, Standing>,
}

/// Namespace and workload.
type Key = (String, Owner);

/// When the data of each Secret last changed, by name, and whether it was the first that it held.
type Changes = HashMap<Box<str>, (Timestamp, bool)>;

struct Standing {
    /// What was said last, and when.
    said: Option<(Event, Instant)>,
    /// Until when it is left alone.
    until: Instant,
    /// Since when successors are missing.
    waits: Option<Instant>,
}

/// A workload and its pods.
struct Group {
    workload: Workload,
    uids: HashMap<String, Box<str>>,
}

impl Follower {
    /// Nothing is known yet.
    pub fn new(settings: Restart, metrics: Arc<SyncMetrics>) -> Self {
        Self {
            pace: settings,
            metrics,
            changes: HashMap::new(),
            due: BTreeSet::new(),
            last: String::new(),
            behind: HashMap::new(),
            evicted: HashMap::new(),
            standing: HashMap::new(),
        }
    }

    /// From now on at another pace.
    pub fn configure(&mut self, settings: Restart) {
        self.pace = settings;
    }

    /// Takes in what a namespace holds now; it is looked at next.
    pub fn learn<'h>(&mut self, namespace: &str, held: impl Iterator<Item = &'h Held>, now: Timestamp) {
        let change = |held: &Held| match (held.changed_by(now)?, held.made) {
            (changed, Some(made)) if changed <= made && restart::elapsed(changed, made) <= FIRST => {
                Some((made, true))
            }
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
        self.behind.retain(|namespace, _| is_there(namespace));
        self.evicted.retain(|namespace, _| is_there(namespace));
        self.standing.retain(|(namespace, _), _| is_there(namespace));
    }

    /// Takes the next step of each workload that is behind. Says whether there is any: then it wants to be asked again soon.
    pub async fn step(&mut self, cluster: &Cluster, max_age: Duration, writer: &Writer) -> bool {
        let mut rest = EVICTIONS;
        let later = self.due.split_off(&self.last);
        let due: Vec<String> = later.into_iter().chain(std::mem::take(&mut self.due)).collect();
        for namespace in due {
            if rest == 0 {
                self.due.insert(namespace);
                continue;
            }
            let roles = cluster.roles(&namespace, max_age);
            let behind = self.look(&namespace, roles, writer, &mut rest).await;
            self.behind.insert(namespace.clone(), behind);
            if behind > 0 {
                self.due.insert(namespace.clone());
            }
            // A text that sorts right behind it.
            self.last = namespace + "\0";
        }
        self.metrics.behind.set(self.behind.values().sum());
        !self.due.is_empty()
    }

    /// The next steps in one namespace; how many workloads are behind.
    async fn look(
        &mut self,
        namespace: &str,
        roles: Vec<(Box<str>, Role)>,
        writer: &Writer,
        rest: &mut usize,
    ) -> i64 {
        let Some(changes) = self.changes.get(namespace) else { return 0 };
        let evicted = self.evicted.entry(namespace.to_owned()).or_default();
        let pods = roles.iter().filter_map(|(_, role)| match role {
            Role::Pod(run) => Some(&run.uid),
            Role::Workload(_) => None,
        });
        let there: HashSet<&Box<str>> = pods.collect();
        evicted.retain(|uid| there.contains(uid));
        let groups = groups(roles, changes, evicted, writer.now());
        self.standing.retain(|(other, owner), _| other != namespace || groups.contains_key(owner));
        let mut behind = 0;
        for (owner, group) in groups {
            behind += i64::from(self.one((namespace.to_owned(), owner), &group, writer, rest).await);
        }
        behind
    }

    /// The next step of one workload; whether it is behind.
    async fn one(&mut self, key: Key, group: &Group, writer: &Writer, rest: &mut usize) -> bool {
        let step = restart::next(&group.workload, self.pace, writer.now());
        let behind = group.workload.pods.iter().filter_map(Pod::behind).max_by_key(|read| read.changed);
        let Some(read) = behind.filter(|_| step != Step::Done) else {
            self.standing.remove(&key);
            return false;
        };
        let when = read.changed.strftime("%Y-%m-%dT%H:%M:%SZ");
        let cause = format!("Secret {} changed at {when}", read.secret);
        if let Some(standing) = self.standing.get_mut(&key).filter(|_| step != Step::Missing) {
            standing.waits = None;
        }
        let why = match step {
            Step::Done | Step::Wait => None,
            Step::Missing => self.waited_in_vain(&key).then_some(
                "there are fewer than the workload wants, and no successors are made, so the others stay as they are; see why",
            ),
            Step::Hold(why) => Some(held(why)),
            Step::Evict(names) => {
                if self.standing.get(&key).is_none_or(|standing| Instant::now() >= standing.until) {
                    self.evict_all(&key, &names, group, &cause, writer, rest).await;
                }
                None
            }
        };
        if let Some(why) = why {
            let note = format!("{cause}, and pods have it in their environment: {why}");
            self.stand(&key, about(&key.1, "RestartHeld", note), Duration::ZERO, writer).await;
        }
        true
    }

    /// Whether successors were missing for longer than one may take.
    fn waited_in_vain(&mut self, key: &Key) -> bool {
        let standing = self.standing.entry(key.clone()).or_insert_with(Standing::new);
        standing.waits.get_or_insert_with(Instant::now).elapsed() > self.pace.patience
    }

    async fn evict_all(
        &mut self,
        key: &Key,
        names: &[String],
        group: &Group,
        cause: &str,
        writer: &Writer,
        rest: &mut usize,
    ) {
        for name in names {
            let Some(uid) = group.uids.get(name).filter(|_| *rest > 0) else { return };
            *rest -= 1;
            match self.evict(key, name, uid, cause, writer).await {
                Ok(()) => {}
                // What one budget refuses, it refuses its siblings too; whoever has the lease goes on.
                Err(ApplyError::Budget | ApplyError::NotLeader) => return,
                // Nothing more is asked of its namespace, so it costs nobody a turn.
                Err(ApplyError::Late) => {
                    *rest += 1;
                    return;
                }
                Err(_) => {}
            }
        }
    }

    async fn evict(
        &mut self,
        key: &Key,
        name: &str,
        uid: &str,
        cause: &str,
        writer: &Writer,
    ) -> Result<(), ApplyError> {
        let (namespace, owner) = key;
        let result = writer.evict(namespace, name, uid).await;
        let note = match &result {
            Ok(is_done) => {
                self.evicted.entry(namespace.clone()).or_default().insert(uid.into());
                if *is_done {
                    let note =
                        format!("pod {name} is replaced: {cause}, and the pod has it in its environment");
                    writer.say(namespace, &about(owner, REPLACED, note)).await;
                }
                return Ok(());
            }
            Err(ApplyError::NotLeader) => return Err(ApplyError::NotLeader),
            Err(error) => format!(
                "{cause}, and pods have it in their environment, but pod {name} could not be evicted: {error}; it is tried \
                 again"
            ),
        };
        let reason = if result == Err(ApplyError::Budget) { "RestartWaits" } else { "RestartRefused" };
        self.stand(key, about(owner, reason, note), PAUSE, writer).await;
        result.map(drop)
    }

    /// Says why a workload does not get on, once in a while, and leaves it alone for as long.
    async fn stand(&mut self, key: &Key, event: Event, pause: Duration, writer: &Writer) {
        let standing = self.standing.entry(key.clone()).or_insert_with(Standing::new);
        let now = Instant::now();
        let is_said = |(said, at): &(Event, Instant)| *said == event && at.elapsed() < AGAIN;
        if standing.said.as_ref().is_some_and(is_said) || now < standing.until {
            standing.until = standing.until.max(now + pause);
            return;
        }
        // An Event that is refused is not tried again at once either.
        let is_said = writer.say(&key.0, &event).await;
        standing.until = now + if is_said { pause } else { PAUSE };
        standing.said = is_said.then_some((event, now));
    }
}

impl Standing {
    fn new() -> Self {
        Self { said: None, until: Instant::now(), waits: None }
    }
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
    now: Timestamp,
) -> BTreeMap<Owner, Group> {
    let mut makers: HashMap<Box<str>, Maker> = HashMap::new();
    let mut runs = Vec::new();
    for (name, role) in roles {
        match role {
            Role::Workload(maker) => drop(makers.insert(maker.uid.clone(), maker)),
            Role::Pod(run) => runs.push((name.into_string(), run)),
        }
    }
    let mut groups = BTreeMap::new();
    for (name, mut run) in runs {
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
        let group = groups.entry(owner.clone());
        let group = group.or_insert_with(|| Group { workload: empty(), uids: HashMap::new() });
        if evicted.contains(&run.uid) {
            run.leaving.get_or_insert(now);
        }
        group.uids.insert(name.clone(), run.uid.clone());
        group.workload.pods.push(pod(name, run, changes));
    }
    groups
}

fn pod(name: String, run: Run, changes: &Changes) -> Pod {
    let Run { created, is_ready, since, leaving, containers, .. } = run;
    let reads = containers.into_iter().flat_map(|Reader { started, secrets }| {
        secrets.into_iter().filter_map(move |secret| {
            let (changed, is_first) = *changes.get(&secret)?;
            Some(Read { secret, started, changed, is_first })
        })
    });
    Pod { name, created, is_ready, since, leaving, reads: reads.collect() }
}
