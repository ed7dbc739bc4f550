//! Laws that hold for any input, tried on generated ones.
//!
//! Every run tries the same inputs. `PROPTEST_RNG_SEED=7` tries others, `PROPTEST_CASES=25600` a hundred times as many.

mod bases;
mod carriers;
mod envelope;
mod fence;
mod fills;
mod generate;
mod harmless;
mod injection;
mod leak;
mod memory;
mod pasted;
mod planted;
mod shapes;
mod spots;
mod verdicts;
mod world;

use proptest::test_runner::{Config, RngSeed};
use refgate::policy::decide;
use refgate::policy::decision::{Decision, Outcome};
use refgate::policy::review::{Endpoint, parse};
use refgate::policy::snapshot::Snapshot;
use serde_json::{Value, json};

// For `generate`, which the end-to-end tests take in without the oracle.
use crate::oracle::secret_name;

/// Where the generated objects live.
const NAMESPACE: &str = "team";

/// The number of cases, unless the environment asks for more, and a seed that stays.
pub fn config(cases: u32) -> Config {
    let from_environment = Config::default();
    let seed = match from_environment.rng_seed {
        RngSeed::Random => RngSeed::Fixed(20_260_701),
        fixed => fixed,
    };
    let cases = u64::from(cases) * u64::from(from_environment.cases) / 256;
    Config {
        cases: u32::try_from(cases).unwrap(),
        rng_seed: seed,
        failure_persistence: None,
        ..from_environment
    }
}

/// An AdmissionReview as an API server sends it.
fn review(operation: &str, kind: &str, object: &Value, old: &Value) -> Value {
    let (group, resource) = match kind {
        "Deployment" => ("apps", "deployments"),
        "StatefulSet" => ("apps", "statefulsets"),
        "DaemonSet" => ("apps", "daemonsets"),
        "ReplicaSet" => ("apps", "replicasets"),
        "Job" => ("batch", "jobs"),
        "CronJob" => ("batch", "cronjobs"),
        "ReplicationController" => ("", "replicationcontrollers"),
        "PodTemplate" => ("", "podtemplates"),
        "ConfigMap" => ("", "configmaps"),
        _ => ("", "pods"),
    };
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "0b4e2d8a-9a3f-4b7e-8f57-3f1e8f1f1c11",
            "kind": {"group": group, "version": "v1", "kind": kind},
            "resource": {"group": group, "version": "v1", "resource": resource},
            "requestKind": {"group": group, "version": "v1", "kind": kind},
            "namespace": NAMESPACE,
            "operation": operation,
            "userInfo": {"username": "dev@example.com", "groups": ["developers", "system:authenticated"]},
            "object": object,
            "oldObject": old,
            "dryRun": false,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        },
    })
}

/// The same pod, as each kind that makes pods holds it.
fn wrapped(kind: &str, pod: &Value) -> Value {
    let metadata = json!({"name": "site", "namespace": NAMESPACE});
    let mut template = json!({"spec": pod["spec"]});
    if let Some(of_pod) = pod["metadata"].as_object() {
        let kept = of_pod.iter().filter(|(key, _)| *key != "name" && *key != "generateName");
        template["metadata"] = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
    }
    match kind {
        "Pod" => pod.clone(),
        "PodTemplate" => json!({"metadata": metadata, "template": template}),
        "CronJob" => {
            json!({"metadata": metadata, "spec": {"jobTemplate": {"spec": {"template": template}}}})
        }
        _ => json!({"metadata": metadata, "spec": {"replicas": 2, "template": template}}),
    }
}

/// What a review comes to.
fn judged(endpoint: Endpoint, review: &Value, snapshot: &Snapshot) -> Decision {
    let body = serde_json::to_vec(review).unwrap();
    let review = parse(&body, endpoint, &snapshot.settings.kinds).unwrap();
    decide(&review, snapshot)
}

/// What the mutating webhook says to a new pod.
fn mutated(pod: &Value, snapshot: &Snapshot) -> Decision {
    judged(Endpoint::Mutate, &review("CREATE", "Pod", pod, &Value::Null), snapshot)
}

/// What the validating webhook says to a new object.
fn validated(kind: &str, object: &Value, snapshot: &Snapshot) -> Decision {
    judged(Endpoint::Validate, &review("CREATE", kind, object, &Value::Null), snapshot)
}

/// The object with the patch of a decision applied to it.
fn patched(object: &Value, decision: &Decision) -> Value {
    let mut patched = object.clone();
    if let Some(patch) = &decision.patch {
        let patch: json_patch::Patch = serde_json::from_str(patch).unwrap();
        assert!(!patch.is_empty(), "a patch that does nothing is none");
        json_patch::patch(&mut patched, &patch).unwrap();
    }
    patched
}

/// The message of a denial; `None` where it is allowed.
fn denial(decision: &Decision) -> Option<&str> {
    match &decision.outcome {
        Outcome::Allow => None,
        Outcome::Deny { message, .. } => Some(message),
        Outcome::Unavailable { message } => panic!("not a verdict: {message}"),
    }
}
