//! Asks `policy::decide` about one document, as the API server would: a pod is mutated and what comes out is validated,
//! any other workload is validated as it is written.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};

use super::{Against, envelope, warn};
use crate::config;
use crate::policy::carriers::held::Held;
use crate::policy::carriers::{self, Known};
use crate::policy::decide;
use crate::policy::decision::{Decision, Exempt, Outcome, ReferenceReport};
use crate::policy::finding::Finding;
use crate::policy::level::Level;
use crate::policy::path::Scope;
use crate::policy::refusal::Refusal;
use crate::policy::review::{self, Endpoint, ParseError};
use crate::policy::snapshot::{NamespaceState, Settings, Snapshot};
use crate::policy::verdict;
use crate::policy::workload::{Kind, SECRET};
use crate::world::World;

pub(super) mod helm;
mod keys;
mod namespaces;
mod pods;
mod policies;
pub mod secrets;
pub(super) mod sops;

pub use namespaces::namespace;

/// The world that documents are judged in, and the flags that change it.
pub struct Judge {
    snapshot: Snapshot,
    /// What the world was read from; without it nothing is known of any namespace.
    world: Option<String>,
    scope: Option<Scope>,
    /// What all namespaces may read besides `scope`.
    shared: Vec<Scope>,
    namespace: String,
    level: Option<Level>,
    /// The namespaces of `snapshot` that the flags were applied to.
    ready: BTreeSet<String>,
    /// The namespaces of which it is still to be worked out what objects of other systems fill.
    unjoined: BTreeSet<Box<str>>,
    /// Whether that is all of them: an object of the whole cluster may change what is filled anywhere.
    are_all_unjoined: bool,
}

/// A document that is judged: it carries a pod template, or data, or it is an object of another sync system.
pub struct Workload<'a> {
    /// Where in it the template stands.
    pub kind: Kind,
    /// As it is written.
    pub api_version: &'a str,
    /// Its own, or that of `--namespace`.
    pub namespace: String,
    /// Its name, or what its name starts with.
    pub name: String,
    /// Whether it is an object of another sync system, which has no template.
    pub is_carried: bool,
    object: &'a Value,
}

impl Workload<'_> {
    /// Whether pods come of it.
    pub fn makes_pods(&self) -> bool {
        !self.is_carried && !self.kind.holds_data() && self.kind.pointer != NO_TEMPLATE
    }

    /// `Kind/name`, for eyes.
    pub fn title(&self) -> String {
        match &*self.name {
            "" => self.kind.kind.to_string(),
            name => format!("{}/{name}", self.kind.kind),
        }
    }
}

/// What one document comes to.
#[derive(Debug)]
pub struct Judged {
    /// Why it may not come in, in the words of the webhook, or why its file may not be committed; `None` where both may.
    pub denial: Option<String>,
    /// Whether that is about the file alone: nothing in the cluster would deny the object.
    pub is_of_file: bool,
    /// What is refused whatever the level, with pointers into the document.
    pub refusals: Vec<Refusal>,
    /// What counts at the level that is enforced, with pointers into the document.
    pub findings: Vec<Finding>,
    /// Every reference in the document.
    pub references: Vec<ReferenceReport>,
    /// What the person at the keyboard would be told besides.
    pub warnings: Vec<String>,
    /// What the configuration lets pass, and why.
    pub allowed: Vec<Exempt>,
}

/// Why a document could not be judged.
#[derive(Debug, PartialEq, Eq)]
pub struct Unjudged {
    /// RFC 6901 pointer to what is wrong.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Unjudged {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.pointer {
            "" => out.write_str(&self.message),
            pointer => write!(out, "{pointer}: {}", self.message),
        }
    }
}

impl Unjudged {
    fn new(pointer: &str, message: impl Into<String>) -> Self {
        Self { pointer: pointer.to_owned(), message: message.into() }
    }
}

impl Judge {
    /// `world` is the name of the file that `snapshot` was read from, where there was one.
    pub fn new(snapshot: Snapshot, world: Option<String>, against: &Against) -> Self {
        Self {
            snapshot,
            world,
            scope: against.scope.clone(),
            shared: against.shared.clone(),
            namespace: against.namespace.clone(),
            level: against.level,
            ready: BTreeSet::new(),
            unjoined: BTreeSet::new(),
            are_all_unjoined: false,
        }
    }

    /// Reads the world and the configuration that the flags name. Half a world would be a wrong one, so whatever
    /// cannot be read of it is a failure.
    pub fn load(against: &Against) -> anyhow::Result<Self> {
        Self::read(against, settings(against.config.as_deref())?)
    }

    /// The same for `check`, which judges manifests of Secrets too: files alone may be read for them, never a cluster.
    pub fn load_with_secrets(against: &Against) -> anyhow::Result<Self> {
        let mut settings = settings(against.config.as_deref())?;
        settings.judged.push(SECRET);
        Self::read(against, settings)
    }

    fn read(against: &Against, settings: Settings) -> anyhow::Result<Self> {
        let mut world = World::default();
        let shown = against.world.as_ref().map(|file| file.display().to_string());
        if let Some((file, shown)) = against.world.as_ref().zip(shown.as_ref()) {
            world = World::read(&text_of(file)?);
            let problems: Vec<String> = world.problems.iter().map(ToString::to_string).collect();
            if !problems.is_empty() {
                bail!("world {shown}: {}", problems.join("; "));
            }
        }
        Ok(Self::new(world.snapshot(Arc::new(settings)), shown, against))
    }

    /// The workload that a document is, or `None` where it is none.
    pub fn workload<'a>(&self, object: &'a Value) -> Result<Option<Workload<'a>>, Unjudged> {
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        let Some(kind) = text("kind") else { return Ok(None) };
        let same_kind = |known: &&Kind| known.kind == kind;
        // The values of a chart, or a patch of kustomize: no cluster takes it as it is.
        let Some(api_version) = text("apiVersion") else { return Ok(None) };
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let known = self.snapshot.settings.judged.iter().filter(same_kind).find(|known| known.group == group);
        let carried = carriers::known(group, kind);
        let is_secret = group == SECRET.group && kind == SECRET.kind;
        let (known, is_namespaced) = match (carried, known) {
            // Never sent to the webhook: in a cluster the policies of `manifests/` judge it.
            (None, None) if is_secret => (SECRET, true),
            (Some(Known::Kind(_, row)), _) => {
                (workload_of(row.group, row.kind, row.resource), !row.cluster_scoped)
            }
            // Of an unknown kind nobody knows whether it lives in namespaces: who names one means one.
            (Some(Known::Group(_)), _) => (workload_of(group, kind, ""), true),
            (None, Some(known)) => (known.clone(), true),
            (None, None) => return Ok(None),
        };
        let metadata = |key: &str| object.get("metadata")?.get(key)?.as_str();
        let namespace = metadata("namespace").filter(|name| !name.is_empty()).unwrap_or(&self.namespace);
        let namespace = if is_namespaced { namespace } else { "" };
        let name = metadata("name").or_else(|| metadata("generateName")).unwrap_or_default();
        Ok(Some(Workload {
            kind: known,
            is_carried: carried.is_some(),
            api_version,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            object,
        }))
    }

    /// Judges a workload as the API server would have it judged.
    pub fn judge(&mut self, workload: &Workload<'_>) -> Result<Judged, Unjudged> {
        self.prepare(&workload.namespace)?;
        self.join();
        let is_secret = workload.kind == SECRET;
        let decision = if workload.kind.is_pod() {
            self.pod(workload)?
        } else if is_secret {
            self.secret(workload)?
        } else {
            self.ask(Endpoint::Validate, workload, &placed(workload))?
        };
        let level = self.enforced(&workload.namespace);
        let level = if is_secret && level != Level::Off { Level::Restricted } else { level };
        let Decision { mut outcome, mut refusals, mut findings, references, warnings, allowed, .. } =
            decision;
        findings.retain(|finding| level.counts(finding.certainty));
        let before = refusals.len();
        let mut is_changed = policies::judge(workload, &self.snapshot, &mut refusals);
        let is_denied = match is_secret {
            true => refusals.len() > before,
            false => !refusals.is_empty() || outcome != Outcome::Allow,
        };
        // The carrier of SOPS has said it of its own kind.
        is_changed |= !workload.is_carried && sops::judge(workload.object, &mut refusals, &findings);
        if is_changed {
            outcome = verdict::outcome(&refusals, &findings.iter().collect::<Vec<_>>());
        }
        let denial = match outcome {
            Outcome::Allow => None,
            Outcome::Deny { message, .. } => Some(message),
            Outcome::Unavailable { message } => return Err(Unjudged::new("", message)),
        };
        let is_of_file = denial.is_some() && !is_denied;
        Ok(Judged { denial, is_of_file, refusals, findings, references, warnings, allowed })
    }

    /// What comes of a review as it went over the wire, with its uid.
    pub fn review(&self, endpoint: Endpoint, body: &[u8]) -> Result<(String, Decision), ParseError> {
        let review = review::parse(body, endpoint, &self.snapshot.settings.judged)?;
        Ok((review.uid.to_string(), decide(&review, &self.snapshot)))
    }

    /// What the mutating webhook says of a pod that comes of the workload: the patch that injects, or a refusal.
    pub fn mutate(&mut self, workload: &Workload<'_>, pod: &Value) -> Result<Decision, Unjudged> {
        self.prepare(&workload.namespace)?;
        self.join();
        let as_pod = Workload {
            kind: Kind { group: "".into(), kind: "Pod".into(), resource: "pods".into(), pointer: "".into() },
            api_version: "v1",
            is_carried: false,
            namespace: workload.namespace.clone(),
            name: if workload.kind.is_pod() { workload.name.clone() } else { String::new() },
            object: pod,
        };
        self.ask(Endpoint::Mutate, &as_pod, pod)
    }

    fn ask(&self, endpoint: Endpoint, workload: &Workload<'_>, object: &Value) -> Result<Decision, Unjudged> {
        let body = envelope::body(workload, object);
        match review::parse(&body, endpoint, &self.snapshot.settings.judged) {
            Ok(review) => Ok(decide(&review, &self.snapshot)),
            Err(ParseError::Object { pointer, problem, .. }) => Err(Unjudged { pointer, message: problem }),
            Err(ParseError::NotAReview(problem)) => Err(Unjudged::new("", problem)),
        }
    }

    /// Whether a text may hold an object that others are judged by. One that does not name its group, and has no escapes by which
    /// it could be hidden, holds none.
    pub fn may_be_taken_in(text: &str) -> bool {
        let has = |part: &str| memchr::memmem::find(text.as_bytes(), part.as_bytes()).is_some();
        has("\\") || carriers::kinds().any(|(_, kind)| kind.is_watched() && has(kind.group))
    }

    /// Takes an object of another sync system into the world: files that come together are judged together.
    pub fn take_in(&mut self, object: &Value) {
        let Ok(Some(workload)) = self.workload(object) else { return };
        let Some(Known::Kind(_, kind)) = carriers::known(&workload.kind.group, &workload.kind.kind) else {
            return;
        };
        let object = placed(&workload).to_string();
        let Some(held) = Held::read(kind, &object).filter(|_| kind.is_watched()) else { return };
        let namespace = workload.namespace;
        if self.prepare(&namespace).is_err() {
            return;
        }
        if kind.cluster_scoped {
            Arc::make_mut(&mut self.snapshot.cluster).insert(Arc::new(held));
            self.are_all_unjoined = true;
        } else if let Some(state) = self.snapshot.namespaces.get_mut(&*namespace) {
            Arc::make_mut(&mut Arc::make_mut(state).carried).insert(Arc::new(held));
            self.unjoined.insert((*namespace).into());
        }
    }

    /// Works out what the objects that were taken in fill.
    fn join(&mut self) {
        let Snapshot { settings, namespaces, cluster, .. } = &mut self.snapshot;
        let mut unjoined = std::mem::take(&mut self.unjoined);
        if std::mem::take(&mut self.are_all_unjoined) {
            unjoined.extend(namespaces.keys().cloned());
        }
        for name in unjoined {
            let Some(state) = namespaces.get_mut(&name).filter(|state| !state.carried.is_empty()) else {
                continue;
            };
            let NamespaceState { namespace, catalogue, carried, .. } = (**state).clone();
            *state = Arc::new(NamespaceState::join(namespace, catalogue, carried, cluster, settings));
        }
    }

    /// Whether a namespace is bound by a flag alone, so that nobody can say what is synced there.
    pub fn knows_nothing_of(&self, namespace: &str) -> bool {
        self.snapshot.namespaces.get(namespace).is_some_and(|state| state.catalogue.is_unknown())
    }

    fn enforced(&self, namespace: &str) -> Level {
        let defaults = self.snapshot.settings.defaults;
        let labels = self.snapshot.namespaces.get(namespace).map(|state| state.namespace.levels);
        labels.unwrap_or_default().over(defaults).enforce
    }
}

/// Leads nowhere in any object.
const NO_TEMPLATE: &str = "/-";
/// An object of another sync system with its namespace, which the API server writes into what names none.
fn placed<'o>(workload: &Workload<'o>) -> Cow<'o, Value> {
    let object = workload.object;
    let names_one =
        object.pointer("/metadata/namespace").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
    if !workload.is_carried || workload.namespace.is_empty() || names_one {
        return Cow::Borrowed(object);
    }
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("namespace".to_owned(), workload.namespace.clone().into());
    }
    Cow::Owned(object)
}

/// The row that an object without a template has: its pointer leads nowhere.
pub(super) fn workload_of(group: &str, kind: &str, resource: &str) -> Kind {
    let own = |text: &str| Cow::Owned(text.to_owned());
    Kind { group: own(group), kind: own(kind), resource: own(resource), pointer: Cow::Borrowed(NO_TEMPLATE) }
}

/// What the configuration of the webhook says; its defaults without one.
pub fn settings(config: Option<&Path>) -> anyhow::Result<Settings> {
    let Some(file) = config else { return Ok(Settings::default()) };
    let parsed = config::parse(&text_of(file)?);
    let config = parsed.with_context(|| format!("configuration {}", file.display()))?;
    for (line, warning) in &config.warnings {
        warn(&format!("{}:{line}: {warning}", file.display()));
    }
    Ok(config.settings)
}

fn text_of(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| file.display().to_string())
}

/// The pod that would come of a workload; `None` where it has no template. A pod is its own.
pub fn pod(workload: &Workload<'_>) -> Option<Value> {
    if workload.kind.holds_data() {
        return None;
    }
    let mut pod = workload.object.pointer(&workload.kind.pointer)?.clone();
    if !workload.kind.is_pod() {
        let map = pod.as_object_mut()?;
        map.insert("apiVersion".into(), "v1".into());
        map.insert("kind".into(), "Pod".into());
        let metadata = map.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        metadata.as_object_mut()?.insert("generateName".into(), format!("{}-", workload.name).into());
    }
    Some(pod)
}

/// The workload with what became of its pod in the place of its template.
pub fn with_pod(workload: &Workload<'_>, mut pod: Value) -> Value {
    let mut object = workload.object.clone();
    if workload.kind.is_pod() {
        return pod;
    }
    if let Some(template) = pod.as_object_mut() {
        template.remove("apiVersion");
        template.remove("kind");
        if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("generateName");
        }
    }
    if let Some(place) = object.pointer_mut(&workload.kind.pointer) {
        *place = pod;
    }
    object
}

/// The object with a patch of ours applied.
pub fn patched(object: &Value, patch: &str) -> Result<Value, Unjudged> {
    let fault = |error: String| Unjudged::new("", format!("a patch of our own does not apply: {error}"));
    let patch: json_patch::Patch = serde_json::from_str(patch).map_err(|error| fault(error.to_string()))?;
    let mut object = object.clone();
    json_patch::patch(&mut object, &patch).map_err(|error| fault(error.to_string()))?;
    Ok(object)
}
