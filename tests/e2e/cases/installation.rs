//! From nothing to working and back, and the rights that it takes.

use std::collections::BTreeSet;

use refgate::policy::carriers;
use serde_json::Value;

use crate::harness::objects::pod;
use crate::harness::plane::Plane;
use crate::harness::refgate::repository;
use crate::harness::rights::given;
use crate::harness::wait::until;
use crate::harness::world::{World, apply_overlay};

/// What carries the label of everything that is installed.
const LABEL: &str = "app.kubernetes.io/part-of=refgate";
const KINDS: &str = "namespaces,serviceaccounts,configmaps,services,deployments,roles,rolebindings,clusterroles,clusterrolebindings,\
                     networkpolicies,poddisruptionbudgets,priorityclasses,mutatingwebhookconfigurations,\
                     validatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings";

/// The first page of an operator, with the Deployment and the Service: installed, again, and gone.
pub fn applies_and_leaves(plane: &Plane) {
    let kubectl = &plane.admin.kubectl;
    let folder = repository().join("manifests");
    let apply = ["apply", "-k", folder.to_str().unwrap()];
    let first = kubectl.run(&apply);
    assert_eq!(first.err, "", "no warning");
    let lines = first.ok();
    assert!(lines.lines().count() > 20 && lines.lines().all(|line| line.ends_with(" created")), "{lines}");
    // KWOK's nodes say that a pod is ready whatever is in it; what counts is that it may be made and scheduled.
    kubectl.run(&["-n", "refgate-system", "rollout", "status", "deployment/refgate", "--timeout=60s"]).ok();
    assert_unchanged(&kubectl.run(&apply).ok());
    // In the order of README.md; what hangs is an error.
    kubectl.run(&["delete", "mutatingwebhookconfiguration", "zz-refgate"]).ok();
    kubectl.run(&["delete", "validatingwebhookconfiguration", "refgate"]).ok();
    let delete = ["delete", "-k", folder.to_str().unwrap(), "--timeout=60s", "--ignore-not-found"];
    kubectl.run(&delete).ok();
    assert_nothing_left(plane);
}

pub fn applying_again_changes_nothing(world: &World) {
    let again = apply_overlay(&world.plane);
    assert_eq!(again.err, "", "no warning");
    assert_unchanged(&again.ok());
}

fn assert_unchanged(lines: &str) {
    for line in lines.lines() {
        // kubectl patches it each time, and nothing changes: its selector is a field that a patch replaces.
        let is_budget = line.starts_with("poddisruptionbudget.policy/");
        assert!(line.ends_with(" unchanged") || is_budget && line.ends_with(" configured"), "{line}");
    }
}

fn assert_nothing_left(plane: &Plane) {
    let left = plane.admin.kubectl.run(&["get", KINDS, "-A", "-l", LABEL, "-o", "name"]).ok();
    assert_eq!(left, "");
}

/// From the audit log: RefGate asked for nothing that it may not, and it asked for everything that it may.
pub fn least_privilege(world: &World) {
    let account = "system:serviceaccount:refgate-system:refgate";
    let (mut used, mut count) = (BTreeSet::new(), 0);
    for event in world.plane.audit_log().iter().filter(|event| event["user"]["username"] == account) {
        count += 1;
        let target = &event["objectRef"];
        if target.is_null() {
            // Which versions a group is served in, everybody may ask.
            assert!(event["requestURI"].as_str().unwrap().starts_with("/apis/"), "{event}");
            continue;
        }
        let text = |key: &str| target[key].as_str().unwrap_or_default();
        assert_ne!(event["responseStatus"]["code"], 403, "{event}");
        assert_ne!(text("resource"), "secrets", "{event}");
        let right = [text("namespace"), text("apiGroup"), text("resource"), event["verb"].as_str().unwrap()];
        used.insert(right.map(str::to_owned));
    }
    assert!(count > 0);
    let roles = [
        ("", "clusterroles/refgate"),
        ("refgate-system", "namespaces/refgate-system/roles/refgate-catalogue-reader"),
        ("default", "namespaces/default/roles/refgate-api-servers-reader"),
    ];
    let granted = given(&world.plane, &roles);
    assert!(used.is_subset(&granted), "{used:#?}");
    // Kinds of other sync systems are watched where the cluster has them.
    let is_needed = |right: &&[String; 4]| !carriers::groups().contains(&right[1].as_str());
    let [used, granted] = [&used, &granted].map(|rights| rights.iter().filter(is_needed).collect::<Vec<_>>());
    assert_eq!(used, granted);
}

/// RefGate goes while namespaces are bound and pods run; nothing waits for it.
pub fn uninstalls(world: &World) {
    let namespace = world.bound("uninstall", "mozmeao/uninstall/stage", &[]);
    let kubectl = &world.plane.admin.kubectl;
    kubectl.run(&["delete", "mutatingwebhookconfiguration", "zz-refgate"]).ok();
    kubectl.run(&["delete", "validatingwebhookconfiguration", "refgate"]).ok();
    world.stop_replicas();
    until("pods start without the webhooks", || {
        let answer = namespace.developer.api.post(&namespace.path("pods"), &pod("after", &[("A", "b")]));
        answer.is_ok().then_some(())
    });
    let folder = world.plane.folder.join("manifests/overlays/url");
    let delete = ["delete", "-k", folder.to_str().unwrap(), "--timeout=60s", "--ignore-not-found"];
    kubectl.run(&delete).ok();
    assert_nothing_left(&world.plane);
    // What the setup made itself may stay: labels, synced Secrets, bindings of people.
    kubectl.run(&["delete", "namespace", &namespace.name, "--timeout=60s"]).ok();
    let bound: Value = world.plane.admin.api.get("/api/v1/namespaces").ok();
    assert!(bound["items"].as_array().unwrap().iter().all(|item| item["status"]["phase"] == "Active"));
}
