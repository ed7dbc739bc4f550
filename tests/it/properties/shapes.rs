//! Objects of every shape: no panic, and a patch, if there is one, applies.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use refgate::policy::decide;
use refgate::policy::review::{Endpoint, parse};
use serde_json::{Value, json};

use super::envelope::answered;
use super::generate::any_pod;
use super::{config, review, spots, world, wrapped};

/// Any JSON, with the field names that a reader looks for.
pub fn any_json() -> impl Strategy<Value = Value> {
    const KEYS: [&str; 40] = [
        "apiVersion",
        "kind",
        "request",
        "uid",
        "object",
        "oldObject",
        "namespace",
        "operation",
        "metadata",
        "name",
        "generateName",
        "annotations",
        "spec",
        "template",
        "jobTemplate",
        "containers",
        "initContainers",
        "ephemeralContainers",
        "env",
        "envFrom",
        "value",
        "valueFrom",
        "secretKeyRef",
        "key",
        "fieldRef",
        "command",
        "args",
        "volumeMounts",
        "mountPath",
        "volumes",
        "projected",
        "sources",
        "secret",
        "items",
        "csi",
        "volumeAttributes",
        "lifecycle",
        "livenessProbe",
        "httpGet",
        "futureField",
    ];
    const TEXTS: [&str; 8] = [
        "",
        "secret:smtp",
        "secret+file:smtp",
        "admission.k8s.io/v1",
        "AdmissionReview",
        "Pod",
        "$(A)",
        "a\0b",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(&TEXTS[..]).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        let key = prop_oneof![9 => select(&KEYS[..]).prop_map(str::to_owned), 1 => any::<String>()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..6).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// A way to bring a JSON text out of shape.
#[derive(Debug, Clone)]
enum Change {
    Replace(Value),
    Remove,
    Null,
    /// `[x]`
    IntoList,
    /// `{"name": x}`
    IntoObject,
    /// An object becomes the list of its values.
    Values,
    /// The text of the value.
    IntoText,
}

/// Changes, and where they are made.
#[derive(Debug, Clone)]
pub struct Changes(Vec<(Index, Change)>);

impl Changes {
    /// Makes them, one after the other.
    pub fn apply(self, value: &mut Value) {
        for (index, change) in self.0 {
            let mut left = index.index(places(value));
            alter(value, &mut left, &change);
        }
    }
}

fn places(value: &Value) -> usize {
    1 + match value {
        Value::Object(fields) => fields.values().map(places).sum(),
        Value::Array(items) => items.iter().map(places).sum(),
        _ => 0,
    }
}

/// Changes the value that is `left` places on, counted in the order of the text; gives whether it is to be removed.
fn alter(value: &mut Value, left: &mut usize, change: &Change) -> bool {
    if *left == 0 {
        *left = usize::MAX;
        let old = value.take();
        *value = match change {
            Change::Replace(new) => new.clone(),
            Change::Remove => return true,
            Change::Null => Value::Null,
            Change::IntoList => json!([old]),
            Change::IntoObject => json!({"name": old}),
            Change::Values => {
                old.as_object().map_or(old.clone(), |fields| fields.values().cloned().collect())
            }
            Change::IntoText => json!(old.to_string()),
        };
        return false;
    }
    *left -= 1;
    match value {
        Value::Object(fields) => fields.retain(|_, field| *left == usize::MAX || !alter(field, left, change)),
        Value::Array(items) => items.retain_mut(|item| *left == usize::MAX || !alter(item, left, change)),
        _ => {}
    }
    false
}

/// A few changes.
pub fn altered() -> impl Strategy<Value = Changes> {
    let change = prop_oneof![
        any_json().prop_map(Change::Replace),
        Just(Change::Remove),
        Just(Change::Null),
        Just(Change::IntoList),
        Just(Change::IntoObject),
        Just(Change::Values),
        Just(Change::IntoText),
    ];
    prop::collection::vec((any::<Index>(), change), 1..4).prop_map(Changes)
}

const KINDS: [&str; 10] = [
    "Pod",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Job",
    "CronJob",
    "ReplicationController",
    "PodTemplate",
    "ConfigMap",
];

/// Asks both webhooks; a patch has to apply to what came in.
fn holds(kind: &str, object: &Value, old: &Value) -> Result<(), TestCaseError> {
    let snapshot = world::snapshot(&world::full(), None);
    for operation in ["CREATE", "UPDATE"] {
        let review = review(operation, kind, object, old);
        let body = review.to_string();
        for endpoint in [Endpoint::Mutate, Endpoint::Validate] {
            answered(body.as_bytes(), endpoint, &snapshot)?;
            let Ok(review) = parse(body.as_bytes(), endpoint, &snapshot.settings.kinds) else { continue };
            let Some(patch) = decide(&review, &snapshot).patch else { continue };
            let patch: json_patch::Patch = serde_json::from_str(&patch).unwrap();
            let applied = json_patch::patch(&mut object.clone(), &patch);
            prop_assert!(applied.is_ok(), "{}: {:?}", patch, applied);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn any_object_has_a_verdict(kind in select(&KINDS[..]), object in any_json(), old in any_json()) {
        holds(kind, &object, &old)?;
        holds(kind, &wrapped(kind, &json!({"metadata": old, "spec": object})), &old)?;
    }

    #[test]
    fn objects_out_of_shape_have_a_verdict(
        kind in select(&KINDS[..]),
        pod in prop_oneof![spots::pod(), any_pod()],
        old in any_json(),
        changes in altered(),
    ) {
        let mut object = wrapped(kind, &pod);
        changes.apply(&mut object);
        holds(kind, &object, &old)?;
    }
}

/// A reader that takes a list for an object would make patches that do not apply.
#[test]
fn a_list_is_no_object() {
    let reference = json!({"name": "A", "value": "secret:smtp"});
    let whole = json!({"metadata": {}, "spec": {"containers": [{"name": "web", "env": [reference]}]}});
    holds("Pod", &whole, &Value::Null).unwrap();
    for (pointer, list) in [
        ("/spec/containers/0/env/0", json!(["A", "secret:smtp"])),
        ("/spec/containers/0", json!(["web", [reference]])),
        ("/spec", json!([[{"name": "web", "env": [reference]}]])),
        ("/metadata", json!(["name", null, {"env.refgate.dev/A": "smtp"}])),
    ] {
        let mut object = whole.clone();
        *object.pointer_mut(pointer).unwrap() = list;
        holds("Pod", &object, &Value::Null).unwrap();
    }
}
