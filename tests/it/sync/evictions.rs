//! Rotations followed to pods, where nobody makes successors: what is evicted, how much of it at a time, and what is said.

use std::time::Duration;

use refgate::policy::path::secret_name;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::bed::{Bed, OTHER, Replica, settle};
use super::objects::{EVENTS, PODS, SECRETS};
use super::server::Fault;

const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";
/// It comes first in every list.
const CROWD: &str = "g/crowd/stage";
const BEFORE: &str = "2026-11-22T11:00:00Z";

/// A Deployment whose one pod runs since long ago with the secret `one` in its environment.
pub fn runs(bed: &Bed, namespace: &str, scope: &str, name: &str) {
    run_pods(bed, namespace, scope, name, &[name]);
}

fn run_pods(bed: &Bed, namespace: &str, scope: &str, name: &str, pods: &[&str]) {
    let annotations = json!({"refgate.dev/restart": "always"});
    let from = json!({"secretKeyRef": {"name": secret_name(&format!("{scope}/one")), "key": "value"}});
    let spec = json!({"containers": [{"name": "c", "env": [{"name": "A", "valueFrom": from}]}]});
    let template = json!({"metadata": {"annotations": annotations}, "spec": spec});
    let object = json!({"metadata": {}, "spec": {"replicas": pods.len(), "template": template}});
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
    for name in pods {
        bed.server.put(PODS, namespace, name, pod.clone());
    }
}

/// A bed and a replica that has just brought the second value of `one` to `other`, a minute ago.
async fn rotated(test: &'static str, settings: &str, prepare: impl Fn(&Bed)) -> (Bed, Replica) {
    let bed = Bed::new(test, settings);
    let one = format!("{OTHER}/one");
    bed.hold(&one, "1", "1");
    prepare(&bed);
    let mut replica = bed.leading("a").await;
    replica.pass().await;
    bed.hold(&one, "2", "2");
    replica.pass().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    (bed, replica)
}

#[tokio::test(start_paused = true)]
async fn a_look_evicts_so_many_and_the_next_ones_the_rest() {
    let (bed, mut replica) = rotated("crowds", "", |bed| {
        (0..50).for_each(|number| runs(bed, "other", OTHER, &format!("web-{number:02}")));
    })
    .await;
    for left in [30, 10, 0] {
        replica.engine.follow(&replica.cluster).await;
        settle().await;
        assert_eq!(bed.server.all(PODS).len(), left);
    }
}

/// Nobody can say how many pods are Ready while their watch is silent.
#[tokio::test(start_paused = true)]
async fn nobody_is_evicted_by_what_may_be_old() {
    let (bed, mut replica) = rotated("silence", "", |bed| runs(bed, "other", OTHER, "web")).await;
    bed.server.silence(Some(PODS));
    let fault = Fault::Refuse(500, "InternalError");
    bed.server.meet(move |call| (call.verb == "list" && call.resource == PODS).then_some(fault));
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert!(!replica.engine.follow(&replica.cluster).await);
    assert_eq!(bed.server.all(PODS).len(), 1);
    // It speaks again, and who is behind goes.
    bed.server.silence(None);
    bed.server.meet(|_| None);
    tokio::time::sleep(Duration::from_secs(600)).await;
    replica.pass().await;
    replica.engine.follow(&replica.cluster).await;
    settle().await;
    assert_eq!(bed.server.all(PODS).len(), 0);
}

/// A Secret that is made anew with what it held is no change.
#[tokio::test(start_paused = true)]
async fn a_secret_that_is_replaced_with_the_same_data_restarts_nobody() {
    let (bed, mut replica) = rotated("replaced", "", |bed| bed.refer("other", "asks", &["one"])).await;
    runs(&bed, "other", OTHER, "web");
    let mut pod = bed.server.get(PODS, "other", "web").unwrap();
    let started = "2026-11-22T12:00:50Z";
    pod["metadata"]["creationTimestamp"] = started.into();
    pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"] = started.into();
    bed.server.put(PODS, "other", "web", pod);
    replica.pass().await;
    let one = format!("{OTHER}/one");
    for _ in 0..3 {
        let mut secret = bed.secret("other", &one).unwrap();
        let before = secret["metadata"]["uid"].clone();
        secret["immutable"] = true.into();
        bed.server.put(SECRETS, "other", &secret_name(&one), secret);
        replica.pass().await;
        assert_ne!(bed.secret("other", &one).unwrap()["metadata"]["uid"], before, "it was replaced");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!replica.engine.follow(&replica.cluster).await, "nobody is behind");
    }
}

/// A quota or a webhook keeps successors away: the others stay, and people are told, and again before that is forgotten.
#[tokio::test(start_paused = true)]
async fn successors_that_are_never_made_are_told() {
    let (bed, mut replica) = rotated("missing", ", restart: {patience: 1m}", |bed| {
        run_pods(bed, "other", OTHER, "web", &["one", "two", "three"]);
    })
    .await;
    replica.engine.follow(&replica.cluster).await;
    settle().await;
    replica.engine.follow(&replica.cluster).await;
    assert_eq!(bed.told("other"), ["SecretRotated"]);
    let follow = async |replica: &mut Replica, minutes: u64| {
        tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
        replica.pass().await;
        assert!(replica.engine.follow(&replica.cluster).await);
        assert_eq!(bed.server.all(PODS).len(), 2, "one went, and no other");
    };
    follow(&mut replica, 2).await;
    assert_eq!(bed.told("other"), ["RestartHeld", "SecretRotated"]);
    // As the API server forgets Events.
    for event in bed.server.all(EVENTS) {
        bed.server.remove(EVENTS, "other", event["metadata"]["name"].as_str().unwrap());
    }
    follow(&mut replica, 5).await;
    assert_eq!(bed.told("other"), [""; 0]);
    follow(&mut replica, 50).await;
    assert_eq!(bed.told("other"), ["RestartHeld"]);
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
