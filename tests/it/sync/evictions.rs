//! Evictions that hang in one namespace: the pods of all others are followed.

use std::time::Duration;

use refgate::policy::path::secret_name;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::bed::{Bed, OTHER, settle};
use super::objects::PODS;
use super::server::Fault;

const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";
/// It comes first in every list.
const CROWD: &str = "g/crowd/stage";
const BEFORE: &str = "2026-11-22T11:00:00Z";

/// A Deployment whose one pod runs since long ago with the secret `one` in its environment.
fn runs(bed: &Bed, namespace: &str, scope: &str, name: &str) {
    let annotations = json!({"refgate.dev/restart": "always"});
    let from = json!({"secretKeyRef": {"name": secret_name(&format!("{scope}/one")), "key": "value"}});
    let spec = json!({"containers": [{"name": "c", "env": [{"name": "A", "valueFrom": from}]}]});
    let template = json!({"metadata": {"annotations": annotations}, "spec": spec});
    let object = json!({"metadata": {}, "spec": {"replicas": 1, "template": template}});
    bed.server.put(DEPLOYMENTS, namespace, name, object);
    let uid: Value = bed.server.get(DEPLOYMENTS, namespace, name).unwrap()["metadata"]["uid"].clone();
    let owner =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": uid, "controller": true});
    let pod = json!({
        "metadata": {"annotations": annotations, "ownerReferences": [owner], "creationTimestamp": BEFORE},
        "spec": spec,
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": BEFORE}],
            "containerStatuses": [{"name": "c", "state": {"running": {"startedAt": BEFORE}}}],
        },
    });
    bed.server.put(PODS, namespace, name, pod);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_whose_evictions_hang_holds_nobody_up() {
    let bed = Bed::new("evictions", "");
    bed.bind("crowd", CROWD);
    for scope in [CROWD, OTHER] {
        bed.hold(&format!("{scope}/one"), "1", "1");
    }
    for number in 0..40 {
        runs(&bed, "crowd", CROWD, &format!("web-{number:02}"));
    }
    runs(&bed, "other", OTHER, "web");
    let mut replica = bed.leading("a").await;
    replica.pass().await;
    for scope in [CROWD, OTHER] {
        bed.hold(&format!("{scope}/one"), "2", "2");
    }
    replica.pass().await;
    bed.server.meet(|call| (call.verb == "evict" && call.namespace == "crowd").then_some(Fault::Hang));
    // The kubelets have heard of the change by then.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let begun = Instant::now();
    assert!(replica.engine.follow(&replica.cluster).await);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(bed.server.get(PODS, "other", "web"), None, "it was evicted");
    assert_eq!(replica.metric("refgate_sync_workloads_behind"), 41.0);
    // Who waits is told, and goes on when the way is free.
    bed.server.meet(|_| None);
    for _ in 0..20 {
        replica.pass().await;
        replica.engine.follow(&replica.cluster).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    settle().await;
    assert_eq!(bed.server.all(PODS).len(), 0);
    assert!(bed.told("crowd").contains(&"SecretRotated".to_owned()), "{:?}", bed.told("crowd"));
}
