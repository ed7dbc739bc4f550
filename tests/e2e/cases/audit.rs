//! What is left of a decision: a record of it in the API server's audit log, and nowhere a value.
//!
//! It looks at all that the tests before it have left behind, too.

use std::collections::BTreeMap;
use std::fs;

use serde_json::json;

use crate::harness::api::MERGE;
use crate::harness::objects::{
    OPTION_PASSWORD, PASSWORD, TOKEN, URL_PASSWORD, container, deployment, pod, pod_spec,
};
use crate::harness::wait::until;
use crate::harness::world::{Namespace, World, base64, scope_labels};

/// The value of a synced Secret, which RefGate never sees.
const SYNCED: &str = "pL4nt3dSyNcEdVq6";
const PLANTED: [&str; 5] = [PASSWORD, URL_PASSWORD, OPTION_PASSWORD, TOKEN, SYNCED];
/// The audit policy has the API server itself keep whole objects here (level Request); everywhere else names and verdicts.
const WHOLE_OBJECTS: &str = "audit-request";

/// The planted values that stand in a text, as they are or as a Secret has them.
fn planted_in(text: &str) -> Vec<&'static str> {
    PLANTED
        .into_iter()
        .filter(|value| text.contains(value) || text.contains(&base64(value.as_bytes())))
        .collect()
}

/// The annotations of the request that made something, once the API server has written them.
fn record(world: &World, namespace: &str, resource: &str, name: &str) -> BTreeMap<String, String> {
    let event = until("the request is in the audit log", || {
        world.plane.audit_log().into_iter().find(|event| {
            let target = &event["objectRef"];
            event["verb"] == "create"
                && target["namespace"] == namespace
                && target["resource"] == resource
                && target["name"] == name
        })
    });
    let annotations = event["annotations"].as_object().unwrap().iter();
    annotations.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect()
}

/// Holds what RefGate's webhooks wrote about a request to what is expected.
#[track_caller]
fn assert_record(found: &BTreeMap<String, String>, expected: &[(&str, &str)]) {
    let ours = found.iter().filter(|(key, _)| key.contains(".refgate.dev/"));
    let ours: Vec<(&str, &str)> = ours.map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(ours, expected);
}

pub fn every_decision_is_on_record(world: &World) {
    let namespace =
        world.bound("audit", "mozmeao/audit/stage", &[("mozmeao/audit/stage/token", &[("value", SYNCED)])]);
    let api = &namespace.developer.api;
    let (pods, deployments) = (namespace.path("pods"), "/apis/apps/v1/namespaces/audit/deployments");
    api.post(&pods, &pod("allowed", &[("A", "secret:token"), ("B", "secret:later")])).ok();
    let read = "mozmeao/audit/stage/later,mozmeao/audit/stage/token";
    // The mutating webhook has not the last word, and the validating one sees in a pod what is synced.
    assert_record(
        &record(world, "audit", "pods", "allowed"),
        &[
            ("inject.refgate.dev/paths", read),
            ("judge.refgate.dev/paths", "mozmeao/audit/stage/token"),
            ("judge.refgate.dev/verdict", "allow"),
        ],
    );
    api.post(&pods, &pod("foreign", &[("A", "secret:/mozmeao/basket/prod/key")])).refused();
    assert_record(
        &record(world, "audit", "pods", "foreign"),
        &[("inject.refgate.dev/paths", "mozmeao/basket/prod/key"), ("inject.refgate.dev/verdict", "deny")],
    );
    let plaintext =
        [("DB_PASSWORD", PASSWORD), ("BROKER_URL", &*format!("amqp://app:{URL_PASSWORD}@mq:5672/"))];
    api.post(&pods, &pod("plaintext", &plaintext)).refused();
    let denied =
        [("judge.refgate.dev/rules", "credential-name,url-password"), ("judge.refgate.dev/verdict", "deny")];
    assert_record(&record(world, "audit", "pods", "plaintext"), &denied);
    api.post(deployments, &deployment("plaintext", 1, &pod_spec(&plaintext))).refused();
    assert_record(&record(world, "audit", "deployments", "plaintext"), &denied);
    // Allowed, and written down: level restricted counts for audit.
    api.post(deployments, &deployment("likely", 0, &pod_spec(&[("BATCH_KEY", PASSWORD)]))).ok();
    assert_record(
        &record(world, "audit", "deployments", "likely"),
        &[("judge.refgate.dev/rules", "likely-credential"), ("judge.refgate.dev/verdict", "allow")],
    );
    let unbound = world.namespace("audit-unbound");
    unbound.developer.api.post(&unbound.path("pods"), &pod("p", &[("A", "secret:token")])).refused();
    assert_record(
        &record(world, "audit-unbound", "pods", "p"),
        &[("inject-unbound.refgate.dev/verdict", "deny")],
    );
    assert_as_many_records_as_reviews(world, "audit");
    // And in all that came before: who was refused by RefGate is on record as refused.
    for event in world.plane.audit_log() {
        let message = event["responseStatus"]["message"].as_str().unwrap_or_default();
        let denied = message.split_once(".refgate.dev\" denied the request: ").map(|(before, _)| before);
        if let Some(webhook) = denied.and_then(|before| before.rsplit('"').next()) {
            assert_eq!(event["annotations"][format!("{webhook}.refgate.dev/verdict")], "deny", "{event}");
        }
    }
}

/// RefGate's log and the API server's tell of the same decisions, dry runs included.
fn assert_as_many_records_as_reviews(world: &World, namespace: &str) {
    until("both logs tell of the same decisions", || {
        let mut counts: BTreeMap<(String, String), i64> = BTreeMap::new();
        for review in world.reviews().iter().filter(|review| review["namespace"] == namespace) {
            let text = |key: &str| review[key].as_str().unwrap().to_owned();
            *counts.entry((text("endpoint"), text("verdict"))).or_default() += 1;
        }
        assert!(counts.values().sum::<i64>() > 5, "{counts:?}");
        for event in
            world.plane.audit_log().iter().filter(|event| event["objectRef"]["namespace"] == namespace)
        {
            for (endpoint, webhook) in [("mutate", "inject"), ("validate", "judge")] {
                let annotation =
                    |key: &str| event["annotations"][format!("{webhook}.refgate.dev/{key}")].as_str();
                // What is let pass to the validating webhook has paths and no verdict.
                let verdict = annotation("verdict").or(annotation("paths").map(|_| "allow"));
                if let Some(verdict) = verdict {
                    *counts.entry((endpoint.to_owned(), verdict.to_owned())).or_default() -= 1;
                }
            }
        }
        counts.values().all(|count| *count == 0).then_some(())
    });
}

/// Plants values wherever a developer may write them, has them refused, and looks for them everywhere.
pub fn no_value_is_anywhere(world: &World) {
    let whole = world.bound(WHOLE_OBJECTS, "mozmeao/audit/prod", &[]);
    let printed = plant(&whole) + &plant(&world.bound("nowhere", "mozmeao/audit/dev", &[]));
    assert!(printed.contains("credential-name") && printed.contains("url-password"), "{printed}");
    assert_eq!(planted_in(&printed), [""; 0], "{printed}");
    retried_by_a_controller(world);
    let mut kept = 0;
    for mut event in world.plane.audit_log() {
        let is_whole = event["level"] == "Request";
        // What the developer sent is there because the API server was told to keep it: proof that this search finds.
        if is_whole && !planted_in(&event["requestObject"].take().to_string()).is_empty() {
            kept += 1;
        }
        assert_eq!(planted_in(&event.to_string()), [""; 0], "{event}");
    }
    assert!(kept > 0, "no audit event has an object with a planted value");
    for entry in fs::read_dir(world.plane.folder.join("log")).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with("audit.log") {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            assert_eq!(planted_in(&text), [""; 0], "{}", path.display());
        }
    }
    let replicas = world.replicas.lock().unwrap();
    let metrics = replicas.iter().map(|replica| replica.get(&world.plane.runtime(), "/metrics").unwrap().1);
    let metrics: String = metrics.collect();
    assert!(metrics.contains("credential-name"), "{metrics}");
    assert_eq!(planted_in(&metrics), [""; 0], "{metrics}");
    let events = world.plane.admin.api.get("/apis/events.k8s.io/v1/events").ok().to_string();
    assert!(events.contains("credential-name"));
    assert_eq!(planted_in(&events), [""; 0]);
}

/// All of it new, and refused: of an update that is refused kubectl itself prints the patch. Gives what kubectl printed.
fn plant(namespace: &Namespace<'_>) -> String {
    let mut args = container("web", &[]);
    args["args"] = json!(["serve", format!("--password={OPTION_PASSWORD}")]);
    let url = format!("amqp://app:{URL_PASSWORD}@mq:5672/");
    let mut typed = pod("typed", &[]);
    typed["spec"]["containers"] = json!([args]);
    let mut annotated = pod("annotated", &[]);
    annotated["metadata"]["annotations"] = json!({"example.com/dsn": url, "refgate.dev/env-from": TOKEN});
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "claim", "annotations": {"refgate.dev/path": "mozmeao/audit/stage/claim"}},
        "stringData": {"value": PASSWORD},
    });
    let objects = [
        pod("plain", &[("DB_PASSWORD", PASSWORD), ("BROKER_URL", &url)]),
        deployment("plain", 1, &pod_spec(&[("DB_PASSWORD", PASSWORD), ("BROKER_URL", &url)])),
        // Pasted where the name of a secret belongs. (A password without the shape of one reads as a name there.)
        pod("pasted", &[("A", &format!("secret:{TOKEN}"))]),
        pod("property", &[("A", &format!("secret+file:smtp#{TOKEN}"))]),
        pod("option", &[("A", &format!("secret:smtp?{PASSWORD}"))]),
        typed,
        annotated,
        secret,
    ];
    let mut printed = String::new();
    for object in objects {
        let ran = namespace.kubectl_with(&["apply", "-f", "-"], &object.to_string());
        assert_eq!(ran.code, Some(1), "{object}: {}", ran.out);
        printed.push_str(&ran.out);
        printed.push_str(&ran.err);
    }
    printed
}

/// A Deployment from before the level was raised: nobody sees its denials but in Events and in its status.
fn retried_by_a_controller(world: &World) {
    let mut labels = scope_labels("mozmeao/audit/old");
    labels["refgate.dev/enforce"] = json!("off");
    let namespace = world.make("audit-events", labels, json!({}), &[]);
    let api = &namespace.developer.api;
    let path = "/apis/apps/v1/namespaces/audit-events/deployments/old";
    let old = deployment("old", 0, &pod_spec(&[("DB_PASSWORD", PASSWORD)]));
    api.post(path.trim_end_matches("/old"), &old).ok();
    let raised = json!({"metadata": {"labels": {"refgate.dev/enforce": "baseline"}}});
    world.operator.api.patch("/api/v1/namespaces/audit-events", MERGE, &raised).ok();
    until("the level is raised", || {
        (namespace.dry_run(&pod("p", &[("DB_PASSWORD", PASSWORD)])).code == 403).then_some(())
    });
    api.patch(&format!("{path}/scale"), MERGE, &json!({"spec": {"replicas": 1}})).ok();
    let status = until("the Deployment says that its pods are refused", || {
        let status = api.get(path).ok()["status"].to_string();
        status.contains("ReplicaFailure").then_some(status)
    });
    assert!(status.contains("credential-name"), "{status}");
    assert_eq!(planted_in(&status), [""; 0], "{status}");
}
