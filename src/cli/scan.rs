//! `refgate scan`: the decisions of the webhook, on what runs in a cluster, so that nobody raises a level blind.
//!
//! Each list is read page by page, and of a page only what is refused is kept (`tally`).

mod carried;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde_json::Value;
use serde_json::value::RawValue;

use super::bind::POD_SECURITY_LABEL;
use super::check::Output;
use super::judge::{self, Judge};
use super::report::Report;
use super::tally::{Tally, owner};
use super::{Against, Progress, Screen, warn};
use crate::cluster::Source;
use crate::cluster::list::{ListError, Pages, Reader};
use crate::policy::level::Level;
use crate::policy::snapshot::Settings;
use crate::policy::workload::{KINDS, Kind};
use crate::world::{self, CATALOGUE_LABEL, Part, SYSTEM_NAMESPACES, World};

/// How often one list may lose its place because its pages expired. A page lives for minutes.
const EXPIRIES: usize = 10;
/// Namespaces that one warning names.
const MOST_NAMES: usize = 10;

/// What to scan, and how to say it.
#[derive(Debug, Clone)]
pub struct Options {
    /// The level that counts, whatever namespaces and configuration say.
    pub level: Option<Level>,
    /// These namespaces alone; all of them where there is none.
    pub namespaces: Vec<String>,
    /// A kubeconfig, in place of the usual one or of the service account of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// A context of it.
    pub context: Option<String>,
    /// The configuration of the webhook.
    pub config: Option<PathBuf>,
    /// RefGate's own namespace.
    pub own_namespace: String,
    /// How the result is printed.
    pub output: Output,
}

/// Judges what runs, prints the report to standard output, and says the exit code.
pub fn run(options: &Options) -> anyhow::Result<u8> {
    let settings = Arc::new(judge::settings(options.config.as_deref())?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (tally, exposed) = runtime.context("cannot start")?.block_on(scan(options, &settings))?;
    if let Some(warning) = &exposed {
        warn(warning);
    }
    let mut report = Report::new(Screen::new(), options.output);
    tally.write(&mut report);
    let (_, code) = report.finish().context("standard output")?;
    Ok(code)
}

/// The verdicts, and what is to be said of namespaces whose isolation has a hole beside it.
async fn scan(options: &Options, settings: &Arc<Settings>) -> anyhow::Result<(Tally, Option<String>)> {
    let reader = Reader::connect(options.kubeconfig.clone(), options.context.clone()).await?;
    let mut tally = Tally::default();
    let mut world = read_world(&reader, &options.own_namespace, &mut tally).await?;
    let served = carried::read(&reader, &mut world, &mut tally).await;
    check_own_namespace(&options.own_namespace, &world)?;
    let judged = judged_namespaces(options, &world)?;
    let exposed = exposed(&judged, &world);
    let against = Against { level: options.level, ..Against::default() };
    let judge = Judge::new(world.snapshot(Arc::clone(settings)), Some("the cluster".to_owned()), &against);
    let places = match options.namespaces.is_empty() {
        true => vec![None],
        false => judged.iter().cloned().map(Some).collect(),
    };
    let progress = Progress::new();
    let settings = Arc::clone(settings);
    let mut scan = Scan { reader, judge, settings, judged, places, tally, progress, pages: 0 };
    for kind in makers_first(&scan.settings.judged) {
        scan.kind(&kind).await;
    }
    scan.carried(&served).await;
    scan.progress.done();
    Ok((scan.tally, exposed))
}

/// The Namespaces and their catalogues, as `serve` knows them when it starts.
async fn read_world(reader: &Reader, own_namespace: &str, tally: &mut Tally) -> anyhow::Result<World> {
    let mut world = World::default();
    let namespaces = Source { path: "/api/v1/namespaces".to_owned(), labels: None };
    let catalogues = Source {
        path: format!("/api/v1/namespaces/{own_namespace}/configmaps"),
        labels: Some(format!("{CATALOGUE_LABEL}=true")),
    };
    let pages = reader.list(&namespaces);
    let map = &mut world.namespaces;
    let read = every(pages, tally, "a Namespace", |raw| {
        let part = world::namespace(&serde_json::from_str(raw).ok()?);
        Some(part.map(|part| keep(part, |name, labels| map.insert(name, Arc::new(labels)))))
    });
    read.await.context("Namespaces cannot be listed; ClusterRole refgate-scanner has the right to")?;
    let pages = reader.list(&catalogues);
    let map = &mut world.catalogues;
    let read = every(pages, tally, "a catalogue", |raw| {
        let part = world::catalogue(&serde_json::from_str(raw).ok()?);
        Some(part.map(|part| keep(part, |name, catalogue| map.insert(name, Arc::new(catalogue)))))
    });
    read.await.with_context(|| {
        format!(
            "the catalogue, ConfigMaps in {own_namespace}, cannot be listed; Role refgate-scanner there has the right to"
        )
    })?;
    Ok(world)
}

fn keep<T, R>(part: Part<T>, keep: impl FnOnce(Box<str>, T) -> R) -> Vec<world::Problem> {
    keep(part.namespace, part.value);
    part.problems
}

/// Reads a whole list of what the world is made of. What cannot be read of it is said, and left out as `serve` does.
async fn every(
    mut pages: Pages,
    tally: &mut Tally,
    what: &str,
    mut read: impl FnMut(&str) -> Option<Result<Vec<world::Problem>, world::Problem>>,
) -> Result<(), ListError> {
    let mut expiries = 0;
    loop {
        let page = pages.next(|raw| match read(raw.get()) {
            Some(Ok(problems)) => problems.iter().for_each(|problem| tally.problem(problem.to_string())),
            Some(Err(problem)) => tally.problem(problem.to_string()),
            None => tally.problem(format!("{what} cannot be read")),
        });
        match page.await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(ListError::Expired { token }) if expiries < EXPIRIES => {
                expiries += 1;
                pages.go_on(token);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Without a catalogue whatever is left of an earlier binding looks like the namespace's own, and what is synced like what
/// is not: a scan that looks for it in the wrong place says something wrong of each bound namespace. Where nothing is bound
/// nobody misses it, as before the installation.
fn check_own_namespace(own_namespace: &str, world: &World) -> anyhow::Result<()> {
    let is_bound = world.namespaces.values().any(|labels| labels.binding.is_fenced());
    if is_bound && !world.namespaces.contains_key(own_namespace) {
        bail!(
            "the cluster has no namespace {own_namespace}, where RefGate's catalogue would be, and namespaces are bound; \
             name RefGate's own with --own-namespace"
        );
    }
    Ok(())
}

/// Namespaces whose objects the webhooks see, or those of them that were asked for.
fn judged_namespaces(options: &Options, world: &World) -> anyhow::Result<BTreeSet<String>> {
    let is_outside = |name: &str| SYSTEM_NAMESPACES.contains(&name) || name == options.own_namespace;
    for name in &options.namespaces {
        if is_outside(name) {
            bail!("namespace {name} is outside of RefGate's webhooks: nothing is judged there");
        }
        if !world.namespaces.contains_key(&**name) {
            bail!("the cluster has no namespace {name}");
        }
    }
    if !options.namespaces.is_empty() {
        return Ok(options.namespaces.iter().cloned().collect());
    }
    let names = world.namespaces.keys().filter(|name| !is_outside(name));
    Ok(names.map(|name| name.to_string()).collect())
}

/// Bound namespaces whose pods may mount paths of the node, by the label that says otherwise.
fn exposed(judged: &BTreeSet<String>, world: &World) -> Option<String> {
    let is_exposed = |name: &&String| {
        let labels = &world.namespaces[&***name];
        let standard = labels.labels.get(POD_SECURITY_LABEL);
        labels.binding.is_fenced() && !matches!(standard, Some("baseline" | "restricted"))
    };
    let names: Vec<&str> = judged.iter().filter(is_exposed).map(String::as_str).collect();
    let more = names.len().saturating_sub(MOST_NAMES);
    let first = names.first()?;
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!(
        "bound namespaces without Pod Security baseline or stricter: {}{more}; a pod with a hostPath volume there can read every Secret of \
         its node; unless the cluster enforces it by default, run for each: kubectl label namespace {first} {POD_SECURITY_LABEL}=baseline",
        names[..names.len().min(MOST_NAMES)].join(", ")
    ))
}

/// Kinds in such an order that whatever makes others comes before what it makes: a pod is the last of them.
fn makers_first(kinds: &[Kind]) -> Vec<Kind> {
    let rank = |kind: &Kind| match &*kind.resource {
        _ if !KINDS.contains(kind) => 0,
        "replicasets" | "jobs" => 2,
        _ if kind.is_pod() => 3,
        _ => 1,
    };
    let mut kinds = kinds.to_vec();
    kinds.sort_by_key(rank);
    kinds
}

struct Scan {
    reader: Reader,
    judge: Judge,
    settings: Arc<Settings>,
    /// Namespaces whose objects count. One that is newer than the scan is not among them, and neither is what is in it.
    judged: BTreeSet<String>,
    /// What is listed: the whole cluster, or one namespace after the other.
    places: Vec<Option<String>>,
    tally: Tally,
    progress: Progress,
    pages: usize,
}

impl Scan {
    /// All objects of a kind. One that the cluster does not have is passed over.
    async fn kind(&mut self, kind: &Kind) {
        let versions = match KINDS.contains(kind) || kind.holds_data() {
            true => Ok(vec!["v1".to_owned()]),
            false => self.reader.versions(&kind.group).await,
        };
        let versions = match versions {
            Ok(versions) => versions,
            Err(ListError::NotThere) => return,
            Err(error) => return self.failed(kind, None, &error),
        };
        // A group may serve a resource in some of its versions only; the first that has it has all objects.
        for version in versions {
            if self.everywhere(kind, &version).await {
                return;
            }
        }
    }

    /// Says whether there is such a resource.
    async fn everywhere(&mut self, kind: &Kind, version: &str) -> bool {
        for place in self.places.clone() {
            match self.list(kind, version, place.as_deref()).await {
                Ok(()) => {}
                Err(ListError::NotThere) => return false,
                Err(error) => self.failed(kind, place.as_deref(), &error),
            }
        }
        true
    }

    fn failed(&mut self, kind: &Kind, place: Option<&str>, error: &ListError) {
        let place = place.map(|name| format!(" in namespace {name}")).unwrap_or_default();
        self.tally.problem(format!("{}{place} cannot be listed: {error}", kind.resource));
    }

    async fn list(&mut self, kind: &Kind, version: &str, place: Option<&str>) -> Result<(), ListError> {
        let (base, api_version) = match &*kind.group {
            "" => ("/api/v1".to_owned(), version.to_owned()),
            group => (format!("/apis/{group}/{version}"), format!("{group}/{version}")),
        };
        let place = place.map(|name| format!("/namespaces/{name}")).unwrap_or_default();
        let source = Source { path: format!("{base}{place}/{}", kind.resource), labels: None };
        let mut pages = self.reader.list(&source);
        self.tally.begin();
        let mut expiries = 0;
        loop {
            match pages.next(|raw| self.object(kind, &api_version, raw)).await {
                Ok(more) => {
                    self.pages += 1;
                    let (pages, count) = (self.pages, self.tally.count());
                    self.progress.say(|| format!("{}: {pages} pages, {count} objects judged", kind.resource));
                    if !more {
                        return Ok(());
                    }
                }
                Err(ListError::Expired { token }) if expiries < EXPIRIES => {
                    expiries += 1;
                    if token.is_none() {
                        self.tally.begin_anew();
                    }
                    pages.go_on(token);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn object(&mut self, kind: &Kind, api_version: &str, raw: &RawValue) {
        let Ok(Value::Object(mut map)) = serde_json::from_str(raw.get()) else {
            return self.tally.problem(format!("one of the {} cannot be read", kind.resource));
        };
        // The API leaves both out of the items of a list.
        map.insert("apiVersion".into(), api_version.into());
        map.insert("kind".into(), kind.kind.as_ref().into());
        let object = Value::Object(map);
        let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
        // What is of the whole cluster has no namespace.
        let is_seen =
            self.judged.contains(namespace) || (namespace.is_empty() && carried::is_of_cluster(kind));
        if !is_seen {
            return;
        }
        if is_over(kind, &object, &self.settings.kinds) {
            return self.tally.over();
        }
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let workload = match self.judge.workload(&object) {
            Ok(Some(workload)) => workload,
            // The kind is one of those that `settings` lists.
            Ok(None) | Err(_) => return,
        };
        match self.judge.judge(&workload) {
            Ok(judged) => self.tally.judged(&object, workload, judged),
            Err(unjudged) => {
                let message = format!("{}/{name} in namespace {namespace}: {unjudged}", kind.kind);
                self.tally.unjudged(&object, message);
            }
        }
    }
}

/// Whether an object neither runs nor makes anything run, whatever becomes of the cluster: a pod or a Job that has ended,
/// anything that is being deleted, and a ReplicaSet that its Deployment keeps to look back on. A Deployment without
/// replicas is none of these: it takes a scale to bring its pods, which no admission judges.
fn is_over(kind: &Kind, object: &Value, kinds: &[Kind]) -> bool {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    if text("/metadata/deletionTimestamp").is_some() {
        return true;
    }
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    match (&*kind.group, &*kind.kind) {
        ("", "Pod") => matches!(text("/status/phase"), Some("Succeeded" | "Failed")),
        ("batch", "Job") => {
            let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
            conditions.into_iter().flatten().any(|condition| {
                let text = |key| condition.get(key).and_then(Value::as_str);
                matches!(text("type"), Some("Complete" | "Failed")) && text("status") == Some("True")
            })
        }
        ("apps", "ReplicaSet") => {
            number("/spec/replicas") == 0
                && number("/status/replicas") == 0
                && is_made_by_what_is_judged(object, kinds)
        }
        _ => false,
    }
}

fn is_made_by_what_is_judged(object: &Value, kinds: &[Kind]) -> bool {
    let Some(owner) = owner(object) else { return false };
    let text = |key| owner.get(key).and_then(Value::as_str).unwrap_or_default();
    let group = text("apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
    kinds.iter().any(|kind| kind.group == group && kind.kind == text("kind"))
}
