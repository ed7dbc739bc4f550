//! Objects of other sync systems: what is let through reads nothing outside, whatever store and key it is made of, and no
//! object of any shape is without a verdict.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;
use refgate::policy::carriers::settings::Mode;
use refgate::policy::carriers::{self, Kind};
use refgate::policy::decide;
use refgate::policy::decision::{Decision, Outcome};
use refgate::policy::review::{Endpoint, parse};
use refgate::policy::snapshot::{Settings, Snapshot};
use refgate::world::World;
use serde_json::{Value, json};

use super::config;
use super::shapes::any_json;

const NAMESPACES: &str = r#"
apiVersion: v1
kind: Namespace
metadata:
  name: team
  labels: {refgate.dev/group: mozmeao, refgate.dev/app: snippets, refgate.dev/env: stage}
  annotations: {refgate.dev/shared-paths: mozmeao/shared/stage}
"#;

/// The scope and the shared prefix, as the property knows them: by segments, and by nothing of the code that it tests.
const MAY_READ: [[&str; 3]; 2] = [["mozmeao", "snippets", "stage"], ["mozmeao", "shared", "stage"]];

fn snapshot(objects: &[Value], undecided: Mode) -> Snapshot {
    let mut text = NAMESPACES.to_owned();
    for object in objects {
        text.push_str(&format!("---\n{object}\n"));
    }
    let mut settings = Settings { aws_regions: vec!["us-west-2".into()], ..Settings::default() };
    settings.carriers.cluster_scoped = Mode::Audit;
    for carrier in carriers::CARRIERS {
        settings.carriers.undecided.insert(carrier.id.to_owned(), undecided);
    }
    World::read(&text).snapshot(Arc::new(settings))
}

pub fn ask(snapshot: &Snapshot, kind: &Kind, object: &Value) -> Option<Decision> {
    ask_update(snapshot, kind, object, None)
}

/// The same for an update of `old`.
pub fn ask_update(snapshot: &Snapshot, kind: &Kind, object: &Value, old: Option<&Value>) -> Option<Decision> {
    let operation = if old.is_some() { "UPDATE" } else { "CREATE" };
    let namespace = if kind.cluster_scoped { Value::Null } else { "team".into() };
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": operation, "namespace": namespace,
            "kind": {"group": kind.group, "version": kind.versions[0], "kind": kind.kind},
            "userInfo": {}, "object": object, "oldObject": old,
        },
    });
    let body = serde_json::to_vec(&review).unwrap();
    let review = parse(&body, Endpoint::Validate, &snapshot.settings.kinds).ok()?;
    Some(decide(&review, snapshot))
}

fn store(cluster: bool, prefix: &str) -> Value {
    let aws = json!({"service": "SecretsManager", "region": "us-west-2", "prefix": prefix});
    let mut store = json!({
        "apiVersion": "external-secrets.io/v1", "kind": if cluster { "ClusterSecretStore" } else { "SecretStore" },
        "metadata": {"name": "store"}, "spec": {"provider": {"aws": aws}},
    });
    if !cluster {
        store["metadata"]["namespace"] = "team".into();
    }
    store
}

/// Pieces of names, of which prefixes and keys are put together: inside, outside and nearly one or the other.
fn name() -> impl Strategy<Value = String> {
    const PIECES: [&str; 24] = [
        "mozmeao/snippets/stage",
        "mozmeao/shared/stage",
        "mozmeao/snippets/",
        "mozmeao",
        "snippets",
        "stage",
        "prod",
        "shared",
        "/",
        "-",
        "2",
        "..",
        ".",
        "//",
        "!",
        "x",
        "database_url",
        "%2F",
        "\u{430}",
        " ",
        "arn:aws:secretsmanager:us-west-2:1:secret:",
        "Mozmeao",
        "*",
        "",
    ];
    prop::collection::vec(select(&PIECES[..]), 0..4).prop_map(|pieces| pieces.concat())
}

/// One entry: by which store, how, and which key.
#[derive(Debug, Clone)]
struct Entry {
    own_store: Option<bool>,
    how: &'static str,
    key: String,
}

fn entry() -> impl Strategy<Value = Entry> {
    let how = select(&["data", "extract", "find"][..]);
    (prop::option::of(any::<bool>()), how, name()).prop_map(|(own_store, how, key)| Entry {
        own_store,
        how,
        key,
    })
}

fn reference(cluster: bool) -> Value {
    json!({"name": "store", "kind": if cluster { "ClusterSecretStore" } else { "SecretStore" }})
}

fn external_secret(cluster: bool, entries: &[Entry]) -> Value {
    let (mut data, mut data_from) = (Vec::new(), Vec::new());
    for (index, Entry { own_store, how, key }) in entries.iter().enumerate() {
        let mut entry = match *how {
            "data" => json!({"secretKey": format!("k{index}"), "remoteRef": {"key": key}}),
            "extract" => json!({"extract": {"key": key}}),
            _ => json!({"find": {"path": key, "name": {"regexp": ".*"}}}),
        };
        if let Some(cluster) = own_store {
            entry["sourceRef"] = json!({"storeRef": reference(*cluster)});
        }
        if *how == "data" { &mut data } else { &mut data_from }.push(entry);
    }
    json!({
        "metadata": {"name": "web", "namespace": "team"},
        "spec": {"secretStoreRef": reference(cluster), "data": data, "dataFrom": data_from},
    })
}

/// What the operator asks AWS for, as its source says: `sm.prefix + ref.Key`, and the path of `find` as it is.
fn asked(entry: &Entry, cluster: bool, prefixes: &[String; 2]) -> (bool, String) {
    let by_cluster = entry.own_store.unwrap_or(cluster);
    let prefix = &prefixes[usize::from(by_cluster)];
    match entry.how {
        "find" => (true, entry.key.clone()),
        _ => (false, format!("{prefix}{}", entry.key)),
    }
}

/// Whether all that AWS gives for it lies inside, by a comparison of its own.
fn is_inside(is_prefix: bool, name: &str) -> bool {
    let segments: Vec<&str> = name.split('/').collect();
    MAY_READ.iter().any(|scope| segments.len() > 3 && segments[..3] == scope[..])
        && segments.iter().all(|segment| !matches!(*segment, "." | ".."))
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_+=.@-".contains(&byte))
        && (is_prefix || (!name.ends_with('/') && !segments.contains(&"")))
}

proptest! {
    #![proptest_config(config(1024))]

    #[test]
    fn what_the_operator_reads_lies_inside(
        prefixes in [name(), name()],
        cluster in any::<bool>(),
        entries in prop::collection::vec(entry(), 1..4),
    ) {
        let stores = [store(false, &prefixes[0]), store(true, &prefixes[1])];
        let kind = carriers::kinds().map(|(_, kind)| kind).find(|kind| kind.kind == "ExternalSecret").unwrap();
        let object = external_secret(cluster, &entries);
        let decision = ask(&snapshot(&stores, Mode::Audit), kind, &object).unwrap();
        let all_inside = entries.iter().all(|entry| {
            let (is_prefix, name) = asked(entry, cluster, &prefixes);
            is_inside(is_prefix, &name)
        });
        if decision.outcome == Outcome::Allow {
            prop_assert!(all_inside, "{prefixes:?} {object}");
        }
    }

    #[test]
    fn any_object_of_a_carrier_has_a_verdict(index in any::<prop::sample::Index>(), object in any_json(), spec in any_json()) {
        let kinds: Vec<&Kind> = carriers::kinds().map(|(_, kind)| kind).collect();
        let kind = kinds[index.index(kinds.len())];
        let mut object = object;
        if let Value::Object(fields) = &mut object {
            fields.insert("spec".to_owned(), spec);
        }
        let world = snapshot(&[store(false, "")], Mode::Deny);
        if let Some(decision) = ask(&world, kind, &object) {
            let denied = decision.outcome != Outcome::Allow;
            prop_assert_eq!(denied, !decision.refusals.is_empty() || !decision.findings.is_empty());
        }
    }
}

/// The property above would hold of a fence that lets nothing through.
#[test]
fn something_is_let_through() {
    let kind = carriers::kinds().map(|(_, kind)| kind).find(|kind| kind.kind == "ExternalSecret").unwrap();
    let entries = ["data", "extract"].map(|how| Entry { own_store: None, how, key: "stage/x".to_owned() });
    let found = Entry { own_store: Some(true), how: "find", key: "mozmeao/shared/stage/".to_owned() };
    let object = external_secret(false, &[&entries[..], &[found]].concat());
    let world = snapshot(&[store(false, "mozmeao/snippets/"), store(true, "")], Mode::Deny);
    assert_eq!(ask(&world, kind, &object).unwrap().outcome, Outcome::Allow);
}
