//! What is missing and may come a moment later: a workload is let in with a warning, its pods are refused until then.

use std::fmt::Write as _;

use refgate::policy::decide;
use refgate::policy::decision::{Decision, Outcome};
use refgate::policy::refusal::Cause;
use refgate::policy::review::{Endpoint, parse};
use refgate::policy::snapshot::{Settings, Snapshot};
use refgate::policy::workload::KINDS;
use refgate::world::World;
use serde_json::{Value, json};

const NAMESPACE: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: team, labels: {refgate.dev/group: g, refgate.dev/app: a, refgate.dev/env: stage}}
";

/// The catalogue of a namespace whose sync has brought `cache` and knows of `queue`.
const CATALOGUE: &str = r#"---
apiVersion: v1
kind: ConfigMap
metadata: {name: catalogue.team, namespace: refgate-system, labels: {refgate.dev/catalogue: "true"}}
data:
  catalogue: '[{"path": "g/a/stage/cache", "secret": "s", "keys": ["CACHE_URL", "value"]}, {"path": "g/a/stage/plain", "secret": "p", "keys": ["value"]}]'
  known: '["queue", "cache", "plain"]'
"#;

/// An ExternalSecret that fills `database`, and none that fills anything else.
const OPERATOR: &str = "---
apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {name: aws, namespace: team}
spec: {provider: {aws: {service: SecretsManager, region: r, prefix: g/a/stage/}}}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: database, namespace: team}
spec:
  secretStoreRef: {name: aws}
  data: [{secretKey: user, remoteRef: {key: database, property: user}}]
";

fn snapshot(objects: &str) -> Snapshot {
    let mut text = NAMESPACE.to_owned();
    write!(text, "{objects}").unwrap();
    let world = World::read(&text);
    assert_eq!(world.problems, Vec::new(), "{objects}");
    world.snapshot(std::sync::Arc::new(Settings::default()))
}

/// A pod that asks for something: by annotation where the wish is `KEY=VALUE`, else as the value of an env var.
fn pod(wish: &str) -> Value {
    match wish.split_once('=') {
        Some((key, value)) => json!({
            "metadata": {"annotations": {key: value}},
            "spec": {"containers": [{"name": "web", "image": "i"}]},
        }),
        None => json!({
            "metadata": {},
            "spec": {"containers": [{"name": "web", "image": "i", "env": [{"name": "A", "value": wish}]}]},
        }),
    }
}

/// What becomes of a pod in an object of a kind; `kind` is a row of the table, 0 the pod itself.
fn judged(snapshot: &Snapshot, kind: usize, operation: &str, pod: &Value) -> Decision {
    let kind = &KINDS[kind];
    let mut object = pod.clone();
    for key in kind.pointer.split('/').skip(1).collect::<Vec<_>>().into_iter().rev() {
        object = json!({ key: object });
    }
    object["metadata"]["name"] = json!("o");
    let old = if operation == "UPDATE" { json!({"metadata": {"name": "o"}}) } else { Value::Null };
    let endpoint = if kind.is_pod() { Endpoint::Mutate } else { Endpoint::Validate };
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": operation, "namespace": "team", "userInfo": {}, "object": object, "oldObject": old,
            "kind": {"group": &*kind.group, "version": "v1", "kind": &*kind.kind},
        },
    });
    let body = serde_json::to_vec(&review).unwrap();
    decide(&parse(&body, endpoint, &snapshot.settings.kinds).unwrap(), snapshot)
}

const AWAITED: [(&str, &str, Cause, &str); 6] = [
    (CATALOGUE, "refgate.dev/env-from=queue", Cause::NotSynced, "queue is not synced yet"),
    (CATALOGUE, "refgate.dev/env-from=cache, queue", Cause::NotSynced, "queue is not synced yet"),
    (CATALOGUE, "refgate.dev/env-from=quue", Cause::NotSynced, "does not know g/a/stage/quue"),
    (OPERATOR, "secret:queue", Cause::NotFilled, "no object of the sync systems"),
    (OPERATOR, "secret:database#password", Cause::NotFilled, "no key of it holds property password"),
    (OPERATOR, "refgate.dev/env-from=queue", Cause::NotFilled, "no object of the sync systems"),
];

#[test]
fn a_workload_is_let_in_with_a_warning_and_its_pods_are_refused_until_then() {
    for (objects, wish, cause, why) in AWAITED {
        let snapshot = snapshot(objects);
        let mut made = pod(wish);
        made["metadata"]["generateName"] = json!("o-");
        let denied = judged(&snapshot, 0, "CREATE", &made);
        let causes: Vec<Cause> = denied.refusals.iter().map(|refusal| refusal.cause).collect();
        assert_eq!(causes, [cause], "{wish}: {:?}", denied.outcome);
        for (index, kind) in KINDS.iter().enumerate().skip(1) {
            for operation in ["CREATE", "UPDATE"] {
                let decision = judged(&snapshot, index, operation, &pod(wish));
                assert_eq!(decision.outcome, Outcome::Allow, "{wish} in {}", kind.kind);
                let warnings = decision.warnings.join("\n");
                assert!(warnings.contains(why), "{wish} in {}: {warnings}", kind.kind);
                let pause = if kind.group == "batch" { "up to a minute" } else { "up to 17 minutes" };
                assert!(warnings.contains("are rejected until") && warnings.contains(pause), "{warnings}");
            }
        }
    }
}

#[test]
fn whatever_time_does_not_lift_denies_the_workload_too() {
    for (objects, wish, cause) in [
        (CATALOGUE, "refgate.dev/env-from=queue, /g/b/stage/x", Cause::OutOfScope),
        (CATALOGUE, "refgate.dev/env-from=queue, a//b", Cause::Syntax),
        (CATALOGUE, "refgate.dev/env-from=queue, queue", Cause::Syntax),
        (CATALOGUE, "refgate.dev/env-from=queue, plain", Cause::NoProperties),
        (OPERATOR, "secret:/g/b/stage/x", Cause::OutOfScope),
        (OPERATOR, "refgate.dev/env-from=/g/b/stage/x", Cause::OutOfScope),
    ] {
        let decision = judged(&snapshot(objects), 2, "CREATE", &pod(wish));
        let causes: Vec<Cause> = decision.refusals.iter().map(|refusal| refusal.cause).collect();
        assert_eq!(causes, [cause], "{wish}: {:?}", decision.outcome);
        assert!(matches!(decision.outcome, Outcome::Deny { .. }), "{wish}");
    }
    for (objects, wish, ..) in AWAITED {
        let stale = Snapshot { stale: true, ..snapshot(objects) };
        let decision = judged(&stale, 2, "CREATE", &pod(wish));
        assert!(matches!(decision.outcome, Outcome::Deny { .. }), "{wish}");
        assert!(decision.refusals.iter().all(|refusal| refusal.cause == Cause::Stale), "{wish}");
    }
}

#[test]
fn a_bare_pod_is_told_what_works_at_once() {
    let snapshot = snapshot(CATALOGUE);
    let denied = judged(&snapshot, 0, "CREATE", &pod("refgate.dev/env-from=queue"));
    let Outcome::Deny { message, .. } = denied.outcome else { panic!("{denied:?}") };
    for advice in ["env.refgate.dev/NAME: queue#PROPERTY", "a Job or a Deployment", "refgate.dev/sync: scope"]
    {
        assert!(message.contains(advice), "{advice}: {message}");
    }
    let followed = judged(&snapshot, 0, "CREATE", &pod("env.refgate.dev/NAME=queue#PROPERTY"));
    assert_eq!(followed.outcome, Outcome::Allow);
    assert!(followed.patch.is_some());
    assert_eq!(judged(&snapshot, 6, "CREATE", &pod("refgate.dev/env-from=queue")).outcome, Outcome::Allow);
}

#[test]
fn what_is_optional_is_not_waited_for() {
    for (wish, expected) in [
        ("secret:cache#mode", "has no property mode, and the pod waits until it has"),
        ("secret:cache#mode?optional", "has no property mode, and the container starts without it"),
        ("secret:queue?optional", "until it is, the container starts without it"),
    ] {
        let decision = judged(&snapshot(CATALOGUE), 0, "CREATE", &pod(wish));
        let warnings = decision.warnings.join("\n");
        assert!(warnings.contains(expected), "{wish}: {warnings}");
        let optional = decision.patch.is_some_and(|patch| patch.contains(r#""optional":true"#));
        assert_eq!(optional, wish.ends_with("?optional"), "{wish}");
        assert_eq!(!warnings.contains("the pod waits"), optional, "{wish}: {warnings}");
    }
}
