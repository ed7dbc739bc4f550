//! What a tenant with `edit` in one bound namespace may try, and what has to come of it.
//!
//! Each attempt says what the attacker hopes for. The world holds what a careless one would: Secrets that an earlier
//! binding left behind, a shared path, collisions in the catalogue, a namespace without a binding and one whose labels do
//! not read. Time is never asserted; inputs that would take minutes where a loop is quadratic stand at the end.

mod envelope;
mod fence;
mod plaintext;
mod size;
mod unseen;
mod updates;
mod wishes;

use std::collections::HashMap;
use std::sync::Arc;

use refgate::policy::decide;
use refgate::policy::decision::{Decision, Outcome};
use refgate::policy::path::{property_key, secret_name};
use refgate::policy::review::{Endpoint, ParseError, parse, respond};
use refgate::policy::snapshot::{Catalogue, Entry, NamespaceLabels, NamespaceState, Settings, Snapshot};
use serde_json::{Map, Value, json};

use Endpoint::{Mutate, Validate};

/// Names that another team's path consists of; no answer may hold them unless the attacker wrote them.
const FOREIGN: &str = "mozmeao/payroll/prod/signing_key";
/// The Secret that an earlier binding left in the namespace.
const LEFT: &str = "left-by-payroll";
/// A value that the detector is sure of. Put together here, so that no scanner strikes this file.
fn token() -> String {
    format!("{}{}", "ghp_", "oYhR4ouW8mGZ1fBzGd5kNcdtAqzh7A3CcRvf")
}

/// Another one.
fn other_token() -> String {
    format!("{}{}", "ghp_", "Kq7Wv2nXc9RbT4sYp1LdZ6mHj3Gf8E3dJYCX")
}

/// All rows of a table are tried; what went wrong is said together.
#[derive(Default)]
struct Attempts(Vec<String>);

impl Attempts {
    fn must(&mut self, right: bool, what: impl Into<String>) {
        if !right {
            self.0.push(what.into());
        }
    }

    fn end(self) {
        assert!(self.0.is_empty(), "{:#?}", self.0);
    }
}

const BOUND: [(&str, &str); 3] =
    [("refgate.dev/group", "mozmeao"), ("refgate.dev/app", "snippets"), ("refgate.dev/env", "stage")];

fn entry(path: &str, secret: &str, keys: &[&str]) -> Entry {
    Entry {
        path: path.into(),
        secret: secret.into(),
        keys: keys.iter().map(|key| (*key).into()).collect(),
        version: Some("v1".into()),
    }
}

fn synced(path: &str, keys: &[&str]) -> Entry {
    entry(path, &secret_name(path), keys)
}

fn world() -> Snapshot {
    let own = |name: &str| format!("mozmeao/snippets/stage/{name}");
    let hostile: Vec<String> = ["PATH", "a=b", "LD PRELOAD", "x\ny", "ключ", "$(A)", "", "value", "\"},{"]
        .iter()
        .filter_map(|property| property_key(property))
        .collect();
    let hostile: Vec<&str> = hostile.iter().map(String::as_str).collect();
    let catalogue = Catalogue::new(
        vec![
            synced(&own("database_url"), &["value"]),
            synced(&own("smtp"), &["value", "password", "user"]),
            synced(&own("hostile"), &hostile),
            synced("mozmeao/shared/stage/sentry_dsn", &["value"]),
            entry(FOREIGN, LEFT, &["value"]),
            // One path in two Secrets, two paths in one Secret, own and foreign in one Secret.
            entry(&own("twice"), "twice-1", &["value"]),
            entry(&own("twice"), "twice-2", &["value"]),
            entry(&own("one"), "shared-by-two", &["value"]),
            entry(&own("two"), "shared-by-two", &["value"]),
            entry(&own("half"), "half-foreign", &["value"]),
            entry("mozmeao/payroll/prod/half", "half-foreign", &["value"]),
            // Names that the sync would give to other paths.
            entry(&own("squatter"), &secret_name(&own("taken")), &["value"]),
            entry("mozmeao/payroll/prod/squatter", &secret_name(&own("stolen")), &["value"]),
        ],
        Some(vec!["database_url".into(), "smtp".into()]),
    );
    let state = |labels: &[(&str, &str)], catalogue: &Catalogue| {
        let shared = [("refgate.dev/shared-paths", "mozmeao/shared/stage")];
        Arc::new(NamespaceState {
            namespace: Arc::new(NamespaceLabels::read(labels.iter().copied(), shared)),
            catalogue: Arc::new(catalogue.clone()),
            ..NamespaceState::default()
        })
    };
    let settings = Settings {
        aws_accounts: vec!["111122223333".into()],
        aws_regions: vec!["us-west-2".into()],
        ..Settings::default()
    };
    Snapshot {
        settings: Arc::new(settings),
        namespaces: HashMap::from([
            ("team".into(), state(&BOUND, &catalogue)),
            ("nobody".into(), state(&[], &catalogue)),
            ("broken".into(), state(&[BOUND[0], BOUND[1], ("refgate.dev/env", "Stage!")], &catalogue)),
        ]),
        ..Snapshot::default()
    }
}

fn request(namespace: &str, kind: (&str, &str), object: Value, old: Value) -> Value {
    let operation = if old.is_null() { "CREATE" } else { "UPDATE" };
    json!({
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": operation, "namespace": namespace,
        "kind": {"group": kind.0, "version": "v1", "kind": kind.1},
        "userInfo": {"username": "mallory", "groups": ["team"]},
        "object": object, "oldObject": old, "dryRun": false,
    })
}

fn ask_in(world: &Snapshot, endpoint: Endpoint, request: &Value) -> Decision {
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    let body = serde_json::to_vec(&body).unwrap();
    let review = parse(&body, endpoint, &world.settings.kinds).unwrap_or_else(|error| panic!("{error}"));
    let decision = decide(&review, world);
    // Whatever was asked, the answer is JSON with the uid, and its warnings pass the API server's own filter.
    let answer: Value = serde_json::from_slice(&respond(&review.uid, &decision)).unwrap();
    assert_eq!(answer["response"]["uid"], request["uid"]);
    assert!(decision.warnings.iter().all(|text| !text.contains(char::is_control)), "{:?}", decision.warnings);
    decision
}

fn ask(endpoint: Endpoint, request: &Value) -> Decision {
    ask_in(&world(), endpoint, request)
}

fn create(endpoint: Endpoint, pod: Value) -> Decision {
    ask(endpoint, &request("team", ("", "Pod"), pod, Value::Null))
}

fn pod(metadata: Value, spec: Value) -> Value {
    let mut all = json!({"name": "p", "namespace": "team"});
    all.as_object_mut().unwrap().extend(metadata.as_object().cloned().unwrap_or_default());
    let mut whole = json!({"containers": [{"name": "web", "image": "i"}]});
    whole.as_object_mut().unwrap().extend(spec.as_object().cloned().unwrap_or_default());
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": all, "spec": whole})
}

fn with_env(env: Value) -> Value {
    pod(json!({}), json!({"containers": [{"name": "web", "image": "i", "env": env}]}))
}

fn annotated(annotations: Value) -> Value {
    pod(json!({"annotations": annotations}), json!({}))
}

fn deployment(template: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "team"},
        "spec": {"template": {"metadata": template["metadata"], "spec": template["spec"]}},
    })
}

fn denied(decision: &Decision) -> bool {
    matches!(decision.outcome, Outcome::Deny { .. })
}

fn message(decision: &Decision) -> &str {
    match &decision.outcome {
        Outcome::Deny { message, .. } => message,
        _ => "",
    }
}

/// All that leaves the process about a decision.
fn said(decision: &Decision) -> String {
    format!("{decision:?}{}", String::from_utf8(respond("u", decision)).unwrap())
}

/// Every row of the fields that name a Secret. The attacker hopes that one of them is forgotten.
fn places(secret: &str) -> Vec<(&'static str, Value)> {
    let container = |fields: Value| {
        let mut all = json!({"name": "x", "image": "i"});
        all.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
        all
    };
    let key_ref =
        json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": secret, "key": "value"}}}]});
    let from = json!({"envFrom": [{"configMapRef": {"name": "c"}}, {"prefix": "P_", "secretRef": {"name": secret}}]});
    let sidecar = json!({"name": "x", "image": "i", "restartPolicy": "Always", "env": key_ref["env"]});
    let mut all = vec![
        ("secretKeyRef", json!({"containers": [container(key_ref.clone())]})),
        ("secretKeyRef, init", json!({"initContainers": [container(key_ref.clone())]})),
        ("secretKeyRef, sidecar", json!({"initContainers": [sidecar]})),
        ("secretKeyRef, ephemeral", json!({"ephemeralContainers": [container(key_ref)]})),
        ("envFrom", json!({"containers": [container(from.clone())]})),
        ("envFrom, init", json!({"initContainers": [container(from.clone())]})),
        ("envFrom, ephemeral", json!({"ephemeralContainers": [container(from)]})),
        ("imagePullSecrets", json!({"imagePullSecrets": [{"name": "mine"}, {"name": secret}]})),
    ];
    let reference = json!({"secretRef": {"name": secret}});
    for (what, volume) in [
        ("secret", json!({"secret": {"secretName": secret, "optional": true}})),
        (
            "projected",
            json!({"projected": {"sources": [{"configMap": {"name": "c"}}, {"secret": {"name": secret}}]}}),
        ),
        (
            "csi nodePublishSecretRef",
            json!({"csi": {"driver": "d", "nodePublishSecretRef": {"name": secret}}}),
        ),
        ("csi attribute", json!({"csi": {"driver": "d", "volumeAttributes": {"secretName": secret}}})),
        ("azureFile", json!({"azureFile": {"shareName": "s", "secretName": secret}})),
        ("cephfs", json!({"cephfs": reference})),
        ("rbd", json!({"rbd": reference})),
        ("iscsi", json!({"iscsi": reference})),
        ("flexVolume", json!({"flexVolume": reference})),
        ("flexVolume option", json!({"flexVolume": {"driver": "d", "options": {"secret": secret}}})),
        ("scaleIO", json!({"scaleIO": reference})),
        ("storageos", json!({"storageos": reference})),
        ("cinder", json!({"cinder": reference})),
    ] {
        let mut volume = volume;
        volume["name"] = json!("v");
        all.push((what, json!({"volumes": [{"name": "w", "emptyDir": {}}, volume]})));
    }
    all
}

fn update(old: Value, new: Value) -> Decision {
    ask(Validate, &request("team", ("apps", "Deployment"), deployment(&new), deployment(&old)))
}

fn secret_env(container: &str, name: &str) -> Value {
    json!({"name": container, "env": [{"name": name, "valueFrom": {"secretKeyRef": {"name": LEFT, "key": "value"}}}]})
}

/// A body that is nearly a review of a pod.
fn raw(object: &str) -> Vec<u8> {
    format!(r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u1","kind":{{"group":"","version":"v1","kind":"Pod"}},"operation":"CREATE","namespace":"team","object":{object}}}}}"#).into_bytes()
}

fn numbered(count: usize, make: impl Fn(usize) -> Value) -> Value {
    (0..count).map(make).collect::<Vec<_>>().into()
}

fn keyed(count: usize, prefix: &str, value: &str) -> Value {
    (0..count).map(|index| (format!("{prefix}{index}"), json!(value))).collect::<Map<_, _>>().into()
}

/// No object larger than this can be stored, so that no larger answer is of use.
const STORABLE: usize = 3 << 20;
