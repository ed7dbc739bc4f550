//! Kubernetes objects to the parts of a snapshot: Namespaces, the ConfigMaps of the catalogue, objects of other sync systems.
//!
//! One decoder for the watches of `serve` and for the world file of `serve --dev` and the commands. An object that
//! cannot be read is a problem that names it, and never takes the others with it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use serde_path_to_error::Segment;

use crate::policy::carriers::held::{Carried, Held};
use crate::policy::carriers::{self, Kind, Known};
use crate::policy::path::SecretPath;
use crate::policy::snapshot::{
    Catalogue, Entry, NAME_LABEL, NamespaceLabels, NamespaceState, Settings, Snapshot,
};
use crate::yaml;

/// The namespace of RefGate where nobody says another. Only catalogues in its own namespace count: anybody may make a
/// ConfigMap of that name and label elsewhere.
pub const OWN_NAMESPACE: &str = "refgate-system";
/// Namespaces that both webhooks leave out, besides RefGate's own: what runs there keeps the cluster going.
pub const SYSTEM_NAMESPACES: [&str; 2] = ["kube-system", "kube-node-lease"];
/// Label of the ConfigMaps that are catalogues; its value is `true`.
pub const CATALOGUE_LABEL: &str = "refgate.dev/catalogue";
/// What the name of a catalogue starts with; the namespace that it speaks of follows.
pub const CATALOGUE_PREFIX: &str = "catalogue.";

/// Bytes of a world file that are read together, at least.
const PIECE: usize = 256 << 10;

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {message}")]
pub struct Problem {
    /// Which object, or which line.
    pub object: String,
    /// What is wrong with it, and what was done instead. No value is quoted.
    pub message: String,
}

/// What a part of the world says, and what could not be read of it.
#[derive(Debug, Clone)]
pub struct Part<T> {
    /// The namespace that it speaks of.
    pub namespace: Box<str>,
    /// What it says.
    pub value: T,
    /// What was left out.
    pub problems: Vec<Problem>,
}

/// Reads a Namespace. What its labels get wrong stays with them: it becomes a warning of each review.
pub fn namespace(object: &Namespace) -> Result<Part<NamespaceLabels>, Problem> {
    let Some(name) = object.metadata.name.as_deref() else {
        return Err(problem("a Namespace", "has no name"));
    };
    // The API server gives each Namespace this label; a file may lack it.
    let labels = pairs(&object.metadata.labels).filter(|(key, _)| *key != NAME_LABEL);
    let labels = labels.chain([(NAME_LABEL, name)]);
    let labels = NamespaceLabels::read(labels, pairs(&object.metadata.annotations));
    Ok(Part { namespace: name.into(), value: labels, problems: Vec::new() })
}

fn pairs(map: &Option<BTreeMap<String, String>>) -> impl Iterator<Item = (&str, &str)> {
    map.iter().flatten().map(|(key, value)| (key.as_str(), value.as_str()))
}

/// One entry of the catalogue, as it is written.
#[derive(Deserialize)]
struct WrittenEntry {
    path: Box<str>,
    secret: Box<str>,
    keys: Box<[Box<str>]>,
    #[serde(default)]
    version: Option<Box<str>>,
}

/// Reads a ConfigMap of the catalogue. An entry that cannot be read is left out; a list that is none is an error, so
/// that what was known before can stay.
pub fn catalogue(object: &ConfigMap) -> Result<Part<Catalogue>, Problem> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let label = format!("ConfigMap {name}");
    let Some(namespace) = name.strip_prefix(CATALOGUE_PREFIX).filter(|namespace| !namespace.is_empty())
    else {
        return Err(problem(&label, "is labelled as a catalogue but not named catalogue.NAMESPACE"));
    };
    let data = |key: &str| object.data.as_ref().and_then(|data| data.get(key)).map(String::as_str);
    let Some(text) = data("catalogue") else { return Err(problem(&label, "has no key `catalogue`")) };
    let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(text) else {
        return Err(problem(&label, "key `catalogue` is no JSON list"));
    };
    let (mut entries, mut problems) = (Vec::with_capacity(list.len()), Vec::new());
    for (index, raw) in list.into_iter().enumerate() {
        match entry(raw) {
            Ok(entry) => entries.push(entry),
            Err(why) => problems.push(problem(&label, &format!("entry {index} is left out: {why}"))),
        }
    }
    let known = match data("known").map(serde_json::from_str::<Vec<Box<str>>>) {
        None => None,
        Some(Ok(mut known)) => {
            let all = known.len();
            known.retain(|name| SecretPath::absolute(name).is_ok());
            if known.len() < all {
                let message =
                    format!("key `known`: {} that no secret can have left out", names(all - known.len()));
                problems.push(problem(&label, &message));
            }
            Some(known)
        }
        Some(Err(_)) => {
            problems.push(problem(&label, "key `known` is left out: it is no JSON list of names"));
            None
        }
    };
    Ok(Part { namespace: namespace.into(), value: Catalogue::new(entries, known), problems })
}

/// What is read of an object to say which it is.
#[derive(Debug, Deserialize)]
pub struct Placed {
    /// Name and namespace.
    pub metadata: Name,
}

/// Name and namespace of an object.
#[derive(Debug, Deserialize)]
pub struct Name {
    /// The name.
    pub name: Box<str>,
    /// Empty for an object of the whole cluster.
    #[serde(default)]
    pub namespace: Box<str>,
}

/// Reads an object of another sync system. One of the whole cluster has an empty namespace.
pub fn carried(kind: &'static Kind, text: &str) -> Result<Part<Held>, Problem> {
    let label = format!("a {}", kind.kind);
    let Ok(Placed { metadata }) = serde_json::from_str::<Placed>(text) else {
        return Err(problem(&label, "has no name"));
    };
    let namespace = if kind.cluster_scoped { "".into() } else { metadata.namespace };
    match Held::read(kind, text) {
        Some(value) => Ok(Part { namespace, value, problems: Vec::new() }),
        None => Err(problem(&format!("{} {}", kind.kind, metadata.name), "cannot be read")),
    }
}

fn entry(raw: &RawValue) -> Result<Entry, String> {
    let written: WrittenEntry =
        serde_json::from_str(raw.get()).map_err(|_| "path, secret, keys or version is missing or no text")?;
    SecretPath::absolute(&written.path).map_err(|error| error.to_string())?;
    if written.path.split('/').count() < 4 {
        return Err("its path must be group/app/env/name".to_owned());
    }
    let WrittenEntry { path, secret, keys, version } = written;
    Ok(Entry { path, secret, keys, version })
}

fn names(count: usize) -> String {
    if count == 1 { "1 name".to_owned() } else { format!("{count} names") }
}

/// Reads an object of the Kubernetes types; the problem says where it does not read, and what is wrong there.
fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, Problem> {
    let text = |pointer| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    serde_path_to_error::deserialize(value).map_err(|error| {
        let mut found = Some(value);
        for segment in error.path().iter() {
            found = match segment {
                Segment::Seq { index } => found.and_then(|value| value.get(index)),
                Segment::Map { key } => found.and_then(|value| value.get(key)),
                _ => found,
            };
        }
        let fault = match found {
            Some(Value::Bool(_) | Value::Number(_)) => "this must be text; put it in quotes",
            Some(Value::String(_)) => "this must not be text",
            Some(Value::Array(_)) => "this must not be a list",
            _ => "this must not be a map",
        };
        let object = format!("{} {}", text("/kind"), text("/metadata/name"));
        problem(object.trim_end(), &format!("{}: {fault}", error.path()))
    })
}

fn problem(object: &str, message: &str) -> Problem {
    Problem { object: object.to_owned(), message: message.to_owned() }
}

/// What a world file says: the objects that `serve` watches in a cluster.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// By name.
    pub namespaces: HashMap<Box<str>, Arc<NamespaceLabels>>,
    /// By the namespace that they speak of.
    pub catalogues: HashMap<Box<str>, Arc<Catalogue>>,
    /// Objects of other sync systems, by namespace; those of the whole cluster have none.
    foreign: Vec<(Box<str>, Arc<Held>)>,
    /// Where each catalogue stands.
    lines: HashMap<Box<str>, usize>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

impl World {
    /// Reads multi-document YAML. Objects of kinds that say nothing here are passed over.
    pub fn read(text: &str) -> Self {
        let mut world = Self::default();
        world.extend(text, 1);
        world.end();
        world
    }

    /// Reads a file piece by piece: a large one is never in memory as a whole.
    pub fn read_file(path: &Path) -> io::Result<Self> {
        let mut reader = BufReader::new(File::open(path)?);
        let (mut world, mut piece) = (Self::default(), String::new());
        let (mut first_line, mut line) = (1, 1);
        loop {
            let start = piece.len();
            if reader.read_line(&mut piece)? == 0 {
                break;
            }
            // A document ends before such a line, whatever it holds.
            let separates = matches!(piece[start..].trim_end(), "---");
            if separates && start > PIECE {
                let rest = piece.split_off(start);
                world.extend(&piece, first_line);
                (piece, first_line) = (rest, line);
            }
            line += 1;
        }
        world.extend(&piece, first_line);
        world.end();
        Ok(world)
    }

    /// Says which catalogues belong to no Namespace of the file, which may stand in any order.
    fn end(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        let mut lost: Vec<_> =
            lines.into_iter().filter(|(name, _)| !self.namespaces.contains_key(name)).collect();
        lost.sort_unstable_by_key(|(_, line)| *line);
        for (name, line) in lost {
            let message =
                format!("speaks of Namespace {name}, which is not in this file; add it, or correct the name");
            self.say(line, problem(&format!("ConfigMap {CATALOGUE_PREFIX}{name}"), &message));
        }
    }

    fn extend(&mut self, text: &str, first_line: usize) {
        for document in yaml::documents_from(text, first_line) {
            match document.and_then(yaml::Document::with_single_keys) {
                Ok(document) => {
                    let line = document.line;
                    self.object(document.value, line);
                }
                Err(error) => {
                    self.problems.push(problem(&format!("line {}", error.line), &error.message));
                }
            }
        }
    }

    fn object(&mut self, mut value: Value, line: usize) {
        let text = |pointer| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        match (text("/apiVersion"), text("/kind")) {
            ("v1", "Namespace") => match typed(&value) {
                Ok(object) => self.take(namespace(&object), line, |world| &mut world.namespaces),
                Err(problem) => self.say(line, problem),
            },
            ("v1", "ConfigMap") => {
                let pointer = "/metadata/labels/refgate.dev~1catalogue";
                let is_ours = text("/metadata/namespace") == OWN_NAMESPACE;
                let name = text("/metadata/name");
                if value.pointer(pointer).is_none_or(|label| *label != "true") {
                    if is_ours && name.starts_with(CATALOGUE_PREFIX) {
                        let message = format!(
                            "lacks the label {CATALOGUE_LABEL}: \"true\", without which it is not read"
                        );
                        self.say(line, problem(&format!("ConfigMap {name}"), &message));
                    }
                    return;
                }
                if !is_ours {
                    let message =
                        format!("is labelled as a catalogue but not in {OWN_NAMESPACE}: passed over");
                    return self.say(line, problem("a ConfigMap", &message));
                }
                match typed(&value) {
                    Ok(object) => {
                        let read = catalogue(&object);
                        if let Ok(part) = &read {
                            self.lines.insert(part.namespace.clone(), line);
                        }
                        self.take(read, line, |world| &mut world.catalogues);
                    }
                    Err(problem) => self.say(line, problem),
                }
            }
            (_, kind) if kind.ends_with("List") || kind == "List" => {
                let items = value.pointer_mut("/items").and_then(Value::as_array_mut);
                for item in items.map(std::mem::take).unwrap_or_default() {
                    self.object(item, line);
                }
            }
            ("", _) | (_, "") => self.say(line, problem("a document", "has no apiVersion or no kind")),
            (version, kind) => {
                let group = version.rsplit_once('/').map_or("", |(group, _)| group);
                if let Some(Known::Kind(_, kind)) = carriers::known(group, kind)
                    && kind.is_watched()
                {
                    self.carry(kind, &value, line);
                }
            }
        }
    }

    fn carry(&mut self, kind: &'static Kind, value: &Value, line: usize) {
        match carried(kind, &value.to_string()) {
            Ok(part) => self.hold(part.namespace, Arc::new(part.value)),
            Err(problem) => self.say(line, problem),
        }
    }

    /// Takes in what an object of another sync system reaches; one of the whole cluster has an empty namespace.
    pub fn hold(&mut self, namespace: Box<str>, held: Arc<Held>) {
        self.foreign.push((namespace, held));
    }

    /// Objects of other sync systems, by namespace; those of the whole cluster under an empty name.
    pub fn carried(&self) -> HashMap<Box<str>, Arc<Carried>> {
        let mut lists: HashMap<Box<str>, Vec<Arc<Held>>> = HashMap::new();
        for (namespace, held) in &self.foreign {
            lists.entry(namespace.clone()).or_default().push(Arc::clone(held));
        }
        lists.into_iter().map(|(namespace, list)| (namespace, Arc::new(Carried::new(list)))).collect()
    }

    fn take<T>(
        &mut self,
        part: Result<Part<T>, Problem>,
        line: usize,
        map: impl FnOnce(&mut Self) -> &mut HashMap<Box<str>, Arc<T>>,
    ) {
        match part {
            Ok(part) => {
                for problem in part.problems {
                    self.say(line, problem);
                }
                let name = part.namespace.clone();
                if map(self).insert(part.namespace, Arc::new(part.value)).is_some() {
                    self.say(line, problem(&name, "is there twice; the last one counts"));
                }
            }
            Err(problem) => self.say(line, problem),
        }
    }

    fn say(&mut self, line: usize, Problem { object, message }: Problem) {
        self.problems.push(Problem { object: format!("line {line}: {object}"), message });
    }

    /// The snapshot that decisions rest on.
    pub fn snapshot(&self, settings: Arc<Settings>) -> Snapshot {
        let none = Arc::new(Catalogue::default());
        let (mut carried, nothing) = (self.carried(), Arc::<Carried>::default());
        let cluster = carried.remove("").unwrap_or_default();
        let namespaces = self.namespaces.iter().map(|(name, labels)| {
            let catalogue = Arc::clone(self.catalogues.get(name).unwrap_or(&none));
            let carried = Arc::clone(carried.get(name).unwrap_or(&nothing));
            let state = NamespaceState::join(Arc::clone(labels), catalogue, carried, &cluster, &settings);
            (name.clone(), Arc::new(state))
        });
        let namespaces = namespaces.collect();
        Snapshot { settings, namespaces, cluster, stale: false }
    }
}
