//! Objects of External Secrets Operator at random, each with stores of its own, from a seed.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

/// Secrets that lie inside: of the scope, and of what is shared with it.
pub const INSIDE: [&str; 7] = [
    "mozmeao/eso/stage/db",
    "mozmeao/eso/stage/smtp",
    "mozmeao/eso/stage/deep/er/key",
    "mozmeao/eso/stage/with.dots",
    // It ends as ARNs do.
    "mozmeao/eso/stage/name-AbCdEf",
    "mozmeao/eso/stage/name",
    "mozmeao/shared/stage/dsn",
];
/// Secrets that do not, and which names that are put together wrongly would reach.
pub const OUTSIDE: [&str; 11] = [
    "mozmeao/eso/prod/db",
    "mozmeao/eso/stage2/db",
    "mozmeao/eso/stage-old/db",
    "mozmeao/eso/stage",
    "mozmeao/shared/prod/dsn",
    "mozmeao/shared/stage",
    "db",
    "stage/db",
    "/mozmeao/eso/stage/db",
    "mozmeao//eso/stage/db",
    "Mozmeao/eso/stage/db",
];
/// Names that no secret of the scope has, however they look. AWS has some of them, and moto all that somebody makes.
const ODD: [&str; 12] = [
    "mozmeao/eso/stage/",
    "mozmeao/eso/stage//db",
    "mozmeao/eso/stage/db/",
    "mozmeao/eso/stage/../prod/db",
    "mozmeao/eso/stage/./db",
    "mozmeao/eso/stage/..",
    "mozmeao/eso/stage/d b",
    "mozmeao/eso/stage/db%2Fx",
    "mozmeao/eso/stage/\u{434}b",
    "!mozmeao/eso/stage/db",
    "mozmeao/eso/stage/not-there",
    "",
];
/// Beginnings that `find` looks for.
const FOUND: [&str; 14] = [
    "mozmeao/eso/stage/",
    "mozmeao/eso/stage/",
    "mozmeao/eso/stage/deep/",
    "mozmeao/eso/stage/na",
    "mozmeao/shared/stage/",
    "mozmeao/eso/stage",
    "mozmeao/eso/",
    "mozmeao/eso/prod/",
    "mozmeao/eso/stage//",
    "!mozmeao/eso/prod/",
    "/mozmeao/eso/stage/",
    "mozmeao/eso/stage/../prod/",
    "",
    "m",
];
/// What stands behind the name of a parameter, after a colon.
pub const VERSIONS: [&str; 3] = ["AWSCURRENT", "AWSPREVIOUS", "uuid/x"];
/// Pieces that names are put together of.
const PIECES: [&str; 12] =
    ["mozmeao/eso/stage", "mozmeao/", "eso/", "stage", "prod", "/", "..", "-", "!", "db", "%2F", " "];

/// One object, and its stores: a SecretStore, a ClusterSecretStore, or both. Each store has an access key of its own, so that
/// a request tells by which store it was made, and so for which object.
#[derive(Debug)]
pub struct Object {
    pub name: String,
    pub stores: Vec<Value>,
    pub object: Value,
}

/// What one entry reads, or writes.
#[derive(Debug, Clone)]
enum Entry {
    Data {
        key: String,
        fields: Fields,
    },
    Extract {
        key: String,
        fields: Fields,
        renames: bool,
    },
    Find {
        path: Option<String>,
        regexp: Option<&'static str>,
        has_tags: bool,
    },
    /// The schema takes both, and the controller only one of them.
    Both {
        key: String,
        path: String,
    },
}

/// The fields beside a key.
#[derive(Debug, Clone)]
struct Fields {
    property: Option<&'static str>,
    version: Option<&'static str>,
    is_of_tags: bool,
}

/// `count` objects: the same ones for the same seed, but for the ends of ARNs.
pub fn objects(seed: u64, count: usize, arns: &[String]) -> Vec<Object> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = object(arns.to_vec());
    (0..count)
        .map(|number| {
            let make = strategy.new_tree(&mut runner).unwrap().current();
            make.finish(number)
        })
        .collect()
}

/// An object that has no name yet.
#[derive(Debug, Clone)]
struct Draft {
    is_push: bool,
    is_old: bool,
    /// AWS Parameter Store in the place of AWS Secrets Manager.
    is_of_parameters: bool,
    /// Of the SecretStore and of the ClusterSecretStore.
    prefixes: [String; 2],
    /// Which of them is the usual one.
    cluster: bool,
    entries: Vec<(Option<bool>, Entry)>,
    only_once: bool,
}

fn object(arns: Vec<String>) -> impl Strategy<Value = Draft> {
    let own = |weight| prop::option::weighted(weight, any::<bool>());
    let entries = prop_oneof![
        5 => prop::collection::vec((own(0.3), entry(arns.clone())), 1),
        2 => prop::collection::vec((own(0.4), entry(arns)), 2..4),
    ];
    // Where whole names are cut into the prefix of a store and the key behind it.
    let cut = || prop_oneof![3 => Just(None), 4 => (0..=24_usize).prop_map(Some)];
    let flags = (
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.25),
        prop::bool::weighted(0.25),
        prop::bool::weighted(0.3),
        any::<bool>(),
    );
    (flags, [cut(), cut()], target(), entries).prop_map(
        |((is_push, is_old, is_of_parameters, cluster, only_once), cuts, spare, mut entries)| {
            if is_of_parameters {
                entries.iter_mut().for_each(|(_, entry)| entry.root());
            }
            let prefix = |of: bool| {
                let first = entries.iter().filter(|(own, _)| own.unwrap_or(cluster) == of);
                let name = first.filter_map(|(_, entry)| entry.key()).next().unwrap_or(&spare);
                cuts[usize::from(of)].map_or("", |cut| beginning(name, cut)).to_owned()
            };
            let prefixes = [prefix(false), prefix(true)];
            Draft { is_push, is_old, is_of_parameters, prefixes, cluster, entries, only_once }
        },
    )
}

/// A whole name.
fn target() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(select(&PIECES[..]), 0..5).prop_map(|pieces| pieces.concat());
    prop_oneof![
        8 => select(&INSIDE[..]).prop_map(str::to_owned),
        4 => select(&OUTSIDE[..]).prop_map(str::to_owned),
        3 => select(&ODD[..]).prop_map(str::to_owned),
        1 => pieces,
    ]
}

fn entry(arns: Vec<String>) -> impl Strategy<Value = Entry> {
    let key = prop_oneof![5 => target(), 1 => select(arns)].boxed();
    let fields = || {
        (
            prop_oneof![5 => Just(None), 1 => select(&["password", "a.b", "*", "@this"][..]).prop_map(Some)],
            prop_oneof![7 => Just(None), 1 => select(&VERSIONS[..]).prop_map(Some)],
            prop::bool::weighted(0.1),
        )
            .prop_map(|(property, version, is_of_tags)| Fields { property, version, is_of_tags })
    };
    let path = prop_oneof![6 => select(&FOUND[..]).prop_map(|path| Some(path.to_owned())), 1 => Just(None)];
    let regexp = prop_oneof![4 => select(&[".*", "db$", "^mozmeao"][..]).prop_map(Some), 1 => Just(None)];
    prop_oneof![
        6 => (key.clone(), fields()).prop_map(|(key, fields)| Entry::Data { key, fields }),
        4 => (key.clone(), fields(), any::<bool>())
            .prop_map(|(key, fields, renames)| Entry::Extract { key, fields, renames }),
        4 => (path, regexp, any::<bool>())
            .prop_map(|(path, regexp, has_tags)| Entry::Find { path, regexp, has_tags }),
        1 => (key, select(&FOUND[..]))
            .prop_map(|(key, path)| Entry::Both { key, path: path.to_owned() }),
    ]
}

/// The beginning of a text, about so many bytes.
fn beginning(text: &str, at: usize) -> &str {
    let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..at.unwrap_or(0)]
}

impl Entry {
    /// The one name, where it names one.
    fn key(&self) -> Option<&str> {
        match self {
            Self::Data { key, .. } | Self::Extract { key, .. } | Self::Both { key, .. } => Some(key),
            Self::Find { .. } => None,
        }
    }

    /// Names of parameters that have a slash begin with one.
    fn root(&mut self) {
        let root = |name: &mut String| {
            if !(name.starts_with(['/', '!']) || name.starts_with("arn:")) {
                name.insert(0, '/');
            }
        };
        match self {
            Self::Data { key, .. } | Self::Extract { key, .. } => root(key),
            Self::Both { key, path } => [key, path].into_iter().for_each(root),
            Self::Find { path, .. } => path.iter_mut().for_each(root),
        }
    }
}

impl Draft {
    fn finish(self, number: usize) -> Object {
        let name = format!("o{number}");
        let used: BTreeMap<bool, ()> = self
            .entries
            .iter()
            .map(|(own, _)| (own.filter(|_| !self.is_push).unwrap_or(self.cluster), ()))
            .chain([(self.cluster, ())])
            .collect();
        let stores = used.into_keys().map(|cluster| self.store(cluster, &name)).collect();
        let spec = if self.is_push { self.pushed(&name) } else { self.read(&name) };
        let (kind, version) = match (self.is_push, self.is_old) {
            (true, _) => ("PushSecret", "v1alpha1"),
            (false, true) => ("ExternalSecret", "v1beta1"),
            (false, false) => ("ExternalSecret", "v1"),
        };
        let object = json!({
            "apiVersion": format!("external-secrets.io/{version}"), "kind": kind,
            "metadata": {"name": name, "namespace": super::NAMESPACE}, "spec": spec,
        });
        Object { name, stores, object }
    }

    fn store(&self, cluster: bool, name: &str) -> Value {
        let secret = |key: String| json!({"name": "keys", "key": key, "namespace": cluster.then_some(super::NAMESPACE)});
        let id = super::access_key(cluster, name);
        let auth = json!({"accessKeyIDSecretRef": secret(id), "secretAccessKeySecretRef": secret("secret".to_owned())});
        let aws = json!({
            "service": if self.is_of_parameters { "ParameterStore" } else { "SecretsManager" }, "region": "us-east-1", "auth": {"secretRef": auth},
            "prefix": self.prefixes[usize::from(cluster)],
        });
        json!({
            "apiVersion": "external-secrets.io/v1", "kind": kind(cluster),
            "metadata": {"name": name, "namespace": (!cluster).then_some(super::NAMESPACE)},
            "spec": {"provider": {"aws": aws}},
        })
    }

    /// What is left of a whole name behind the prefix of a store; a name that does not begin so stays as it is.
    fn behind(&self, cluster: bool, name: &str) -> String {
        let prefix = &self.prefixes[usize::from(cluster)];
        name.strip_prefix(prefix.as_str()).unwrap_or(name).to_owned()
    }

    fn read(&self, name: &str) -> Value {
        let (mut data, mut data_from) = (Vec::new(), Vec::new());
        for (index, (own, entry)) in self.entries.iter().enumerate() {
            let key = |key: &str| self.behind(own.unwrap_or(self.cluster), key);
            let (list, mut entry) = match entry {
                Entry::Data { key: name, fields } => (
                    &mut data,
                    json!({"secretKey": format!("k{index}"), "remoteRef": fields.with(key(name))}),
                ),
                Entry::Extract { key: name, fields, renames } => {
                    let rewrite = renames.then(|| json!([{"regexp": {"source": "^", "target": "p_"}}]));
                    let entry = json!({"extract": fields.with(key(name)), "rewrite": rewrite});
                    (&mut data_from, entry)
                }
                Entry::Find { path, regexp, has_tags } => {
                    let name = regexp.map(|regexp| json!({"regexp": regexp}));
                    let tags = has_tags.then(|| json!({"team": "web"}));
                    (&mut data_from, json!({"find": {"path": path, "name": name, "tags": tags}}))
                }
                Entry::Both { key: name, path } => {
                    let find = json!({"path": path, "name": {"regexp": ".*"}});
                    (&mut data_from, json!({"extract": {"key": key(name)}, "find": find}))
                }
            };
            if let Some(cluster) = own {
                let mut store = reference(*cluster, name);
                if !cluster {
                    // That is what it is where nothing stands.
                    store.as_object_mut().unwrap().remove("kind");
                }
                entry["sourceRef"] = json!({"storeRef": store});
            }
            list.push(entry);
        }
        let usual = reference(self.cluster, name);
        json!({"secretStoreRef": usual, "refreshInterval": "1h", "data": data, "dataFrom": data_from})
    }

    /// The same keys, written to: one for each that the entries name.
    fn pushed(&self, name: &str) -> Value {
        let entry = |(_, entry): &(Option<bool>, Entry)| {
            let (key, property) = match entry {
                Entry::Data { key, fields } | Entry::Extract { key, fields, .. } => {
                    (key.clone(), fields.property)
                }
                Entry::Find { path, .. } => {
                    (format!("{}pushed-{name}", path.as_deref().unwrap_or("mozmeao/eso/stage/")), None)
                }
                Entry::Both { key, .. } => (key.clone(), None),
            };
            let remote = json!({"remoteKey": self.behind(self.cluster, &key), "property": property});
            json!({"match": {"secretKey": "k", "remoteRef": remote}})
        };
        json!({
            "secretStoreRefs": [reference(self.cluster, name)], "refreshInterval": "1h",
            "selector": {"secret": {"name": "pushed"}}, "data": self.entries.iter().map(entry).collect::<Vec<_>>(),
            "updatePolicy": if self.only_once { "IfNotExists" } else { "Replace" },
        })
    }
}

impl Fields {
    fn with(&self, key: String) -> Value {
        let policy = self.is_of_tags.then_some("Fetch");
        json!({"key": key, "property": self.property, "version": self.version, "metadataPolicy": policy})
    }
}

fn kind(cluster: bool) -> &'static str {
    if cluster { "ClusterSecretStore" } else { "SecretStore" }
}

fn reference(cluster: bool, name: &str) -> Value {
    json!({"kind": kind(cluster), "name": name})
}
