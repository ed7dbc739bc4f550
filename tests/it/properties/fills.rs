//! What ExternalSecrets fill, against the operator played through: whatever the secret manager has, whatever lies in the Secrets
//! before, in whichever order the objects are synced, a reference gets the value that it asks for or a key that is not there.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::config;
use crate::fills::{got, snapshot};

const PATHS: [&str; 3] = ["p", "q", "r"];
/// Properties, names of entries and keys at once, so that they meet.
const NAMES: [&str; 3] = ["u", "v", "w"];

/// A Secret's data.
type Data = BTreeMap<String, String>;

/// An entry: of `data` under a key, or all properties.
#[derive(Debug, Clone)]
struct Entry {
    key: Option<&'static str>,
    path: &'static str,
    property: Option<&'static str>,
    /// An old version of it.
    is_old: bool,
}

/// One ExternalSecret.
#[derive(Debug, Clone)]
struct Object {
    target: &'static str,
    merges_into: bool,
    data: Vec<Entry>,
    data_from: Vec<Entry>,
    /// Keys and the entries that they are made of; the flag makes something of them.
    template: Vec<(&'static str, &'static str, bool)>,
    merges: bool,
    has_config_map: bool,
}

/// What nobody who judges can know.
#[derive(Debug, Clone)]
struct Hidden {
    properties: Vec<Vec<&'static str>>,
    config_map: Vec<&'static str>,
    before: Vec<&'static str>,
    is_reversed: bool,
}

fn entry(is_data: bool) -> impl Strategy<Value = Entry> {
    let name = || select(&NAMES[..]);
    let part = (name(), select(&PATHS[..]), prop::option::of(name()), prop::bool::weighted(0.1));
    part.prop_map(move |(key, path, property, is_old)| Entry {
        key: is_data.then_some(key),
        path,
        property: property.filter(|_| is_data),
        is_old,
    })
}

fn object() -> impl Strategy<Value = Object> {
    let name = || select(&NAMES[..]);
    (
        select(&["s", "t"][..]),
        prop::bool::weighted(0.2),
        prop::collection::vec(entry(true), 0..3),
        prop::collection::vec(entry(false), 0..3),
        prop::collection::vec((name(), name(), prop::bool::weighted(0.2)), 0..3),
        any::<bool>(),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(target, merges_into, data, data_from, mut template, merges, has_config_map)| {
            template.sort_unstable();
            template.dedup_by_key(|(key, ..)| *key);
            Object { target, merges_into, data, data_from, template, merges, has_config_map }
        })
}

fn hidden() -> impl Strategy<Value = Hidden> {
    let names = || subsequence(NAMES.to_vec(), 0..=NAMES.len());
    (prop::collection::vec(names(), 3), names(), names(), any::<bool>()).prop_map(
        |(properties, config_map, before, is_reversed)| Hidden {
            properties,
            config_map,
            before,
            is_reversed,
        },
    )
}

impl Object {
    fn json(&self, name: &str) -> Value {
        let remote = |entry: &Entry| {
            let mut remote = json!({"key": entry.path});
            if let Some(property) = entry.property {
                remote["property"] = property.into();
            }
            if entry.is_old {
                remote["version"] = "AWSPREVIOUS".into();
            }
            remote
        };
        let data = self.data.iter().map(|entry| json!({"secretKey": entry.key, "remoteRef": remote(entry)}));
        let from = self.data_from.iter().map(|entry| json!({"extract": remote(entry)}));
        let mut target = json!({"name": self.target});
        if self.merges_into {
            target["creationPolicy"] = "Merge".into();
        }
        let texts = self.template.iter().map(|(key, entry, is_made)| {
            let text = if *is_made { format!("x{{{{ .{entry} }}}}") } else { format!("{{{{ .{entry} }}}}") };
            ((*key).to_owned(), text.into())
        });
        let texts: serde_json::Map<String, Value> = texts.collect();
        target["template"] =
            json!({"data": texts, "mergePolicy": if self.merges { "Merge" } else { "Replace" }});
        if self.has_config_map {
            target["template"]["templateFrom"] =
                json!([{"configMap": {"name": "c", "items": [{"key": "x"}]}}]);
        }
        json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": {"name": name, "namespace": "team"},
            "spec": {
                "secretStoreRef": {"name": "aws"}, "target": target,
                "data": data.collect::<Vec<_>>(), "dataFrom": from.collect::<Vec<_>>(),
            },
        })
    }

    /// `GetProviderSecretData` and `applyTemplate` of the operator. A key that is missing is an empty text to a template.
    fn sync(&self, hidden: &Hidden, secret: &mut Data) {
        let of = |entry: &Entry, property: Option<&str>| {
            let old = if entry.is_old { "old " } else { "" };
            format!("{old}{}", value(entry.path, property))
        };
        let mut read = Data::new();
        for entry in &self.data_from {
            for property in hidden.of(entry.path) {
                read.insert((*property).to_owned(), of(entry, Some(property)));
            }
        }
        for entry in &self.data {
            let is_there = entry.property.is_none_or(|property| hidden.of(entry.path).contains(&property));
            if is_there {
                read.insert(entry.key.unwrap().to_owned(), of(entry, entry.property));
            } else {
                return; // The operator does nothing at all then.
            }
        }
        if !self.merges_into {
            secret.clear();
        }
        let has_template = !self.template.is_empty() || self.has_config_map;
        if self.merges || !has_template {
            secret.extend(read.clone());
        }
        if self.has_config_map {
            secret.extend(hidden.config_map.iter().map(|key| ((*key).to_owned(), "made".to_owned())));
        }
        for (key, entry, is_made) in &self.template {
            let Some(text) = read.get(*entry) else { continue };
            secret.insert((*key).to_owned(), if *is_made { format!("x{text}") } else { text.clone() });
        }
    }
}

impl Hidden {
    fn of(&self, path: &str) -> &[&'static str] {
        &self.properties[PATHS.iter().position(|known| *known == path).unwrap()]
    }

    /// The Secrets once all objects were synced.
    fn secrets(&self, objects: &[Object]) -> BTreeMap<&'static str, Data> {
        let before: Data = self.before.iter().map(|key| ((*key).to_owned(), "before".to_owned())).collect();
        let mut secrets = BTreeMap::from([("s", before.clone()), ("t", before)]);
        let mut order: Vec<&Object> = objects.iter().collect();
        if self.is_reversed {
            order.reverse();
        }
        for object in order {
            object.sync(self, secrets.get_mut(object.target).unwrap());
        }
        secrets
    }
}

fn value(path: &str, property: Option<&str>) -> String {
    format!("{path}#{}", property.unwrap_or("*"))
}

fn world(objects: &[Object]) -> refgate::policy::snapshot::Snapshot {
    let texts =
        objects.iter().enumerate().map(|(index, object)| object.json(&format!("o{index}")).to_string());
    snapshot(&texts.collect::<Vec<_>>().join("\n---\n"))
}

/// Pairs of a variable and what it is read from, as `got` writes them.
fn pairs(got: &str) -> impl Iterator<Item = (&str, &str, Option<&str>)> {
    got.split_whitespace().filter(|_| !got.starts_with('!')).map(|pair| {
        let (name, from) = pair.split_once('=').unwrap();
        let (secret, key) = from.split_once('/').map_or((from, None), |(secret, key)| (secret, Some(key)));
        (name, secret, key)
    })
}

proptest! {
    #![proptest_config(config(600))]

    #[test]
    fn a_reference_gets_what_it_asks_for(
        objects in prop::collection::vec(object(), 1..4),
        hidden in hidden(),
        path in select(&PATHS[..]),
        property in prop::option::of(select(&NAMES[..])),
    ) {
        let (snapshot, secrets) = (world(&objects), hidden.secrets(&objects));
        let wish = property.map_or(path.to_owned(), |property| format!("{path}#{property}"));
        for (_, secret, key) in pairs(&got(&snapshot, &wish).0) {
            // What nobody fills has the name that the sync gives it.
            let Some(data) = secrets.get(secret) else { continue };
            // A template writes a text for what is missing, and a property that is missing has no value.
            let exists = property.is_none_or(|property| hidden.of(path).contains(&property));
            let held = data.get(key.unwrap()).filter(|_| exists);
            let is_left = held.is_some_and(|held| held == "before");
            prop_assert!(
                is_left || held.is_none_or(|held| *held == value(path, property)),
                "{wish} of {secret}/{key:?}: {held:?}"
            );
        }
        for (name, secret, key) in pairs(&got(&snapshot, &format!("from {path}")).0) {
            let Some(data) = secrets.get(secret) else { continue };
            match key {
                Some(key) => {
                    let exists = hidden.of(path).contains(&name);
                    let held = data.get(key).filter(|held| exists && *held != "before");
                    prop_assert!(held.is_none_or(|held| *held == value(path, Some(name))), "{name}: {held:?}");
                }
                None => {
                    for (key, held) in data {
                        let is_its_own = *held == value(path, Some(key)) || held == "before";
                        prop_assert!(is_its_own, "all of {secret} has {key}: {held}");
                    }
                }
            }
        }
    }
}

/// The property above would hold of a catalogue that knows nothing.
#[test]
fn something_is_filled() {
    let entry = |key, property| Entry { key, path: "p", property, is_old: false };
    let plain = Object {
        target: "s",
        merges_into: false,
        data: vec![entry(Some("u"), None), entry(Some("v"), Some("w"))],
        data_from: Vec::new(),
        template: Vec::new(),
        merges: false,
        has_config_map: false,
    };
    let whole = Object { data: Vec::new(), data_from: vec![entry(None, None)], ..plain.clone() };
    let named = world(&[plain]);
    assert_eq!(got(&named, "p").0, "A=s/u");
    assert_eq!(got(&named, "p#w").0, "A=s/v");
    assert_eq!(got(&named, "from p").0, "w=s/v");
    assert_eq!(got(&world(&[whole]), "from p").0, "*=s");
}
