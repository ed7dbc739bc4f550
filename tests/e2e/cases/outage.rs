//! RefGate away, the API server away, and what changed meanwhile: nothing comes in that should not.

use std::fs;

use refgate::policy::path::secret_name;
use serde_json::{Value, json};

use crate::harness::api::{Answer, MERGE};
use crate::harness::golden;
use crate::harness::objects::{deployment, pod, pod_spec};
use crate::harness::wait::until;
use crate::harness::world::{Namespace, World, apply_overlay, entry, scope_labels};

const REFERENCE: &[(&str, &str)] = &[("DATABASE_URL", "secret:database_url")];
const PLAINTEXT: &[(&str, &str)] = &[("DB_PASSWORD", "kR4vT9wqZ2pB")];

pub fn nobody_home(world: &World) {
    let secret = ("mozmeao/nobody/stage/database_url", &[("value", "d")][..]);
    let bound = world.bound("nobody-home", "mozmeao/nobody/stage", &[secret]);
    let free = world.namespace("nobody-elsewhere");
    let api = &bound.developer.api;
    api.post("/apis/apps/v1/namespaces/nobody-home/deployments", &deployment("web", 2, &pod_spec(REFERENCE)))
        .ok();
    bound.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).ok();

    world.stop_replicas();
    what_is_bound_is_refused(&bound);
    the_glass_is_broken(world, &bound);
    what_runs_goes_on(&bound);
    what_is_not_bound_starts(&free);
    references_are_refused_without_a_binding(&free);
    the_cluster_itself_goes_on(world, &bound);

    world.add_replica();
    // The controllers try again by themselves.
    bound.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).ok();
    let pods = api.get(&bound.path("pods?labelSelector=app=web")).ok();
    let pods = pods["items"].as_array().unwrap();
    assert_eq!(pods.len(), 1);
    assert!(pods.iter().all(|pod| is_injected(pod, "mozmeao/nobody/stage/database_url")), "{pods:?}");
}

/// The message says who does not answer, and why.
fn what_is_bound_is_refused(bound: &Namespace<'_>) {
    let workload = deployment("new", 1, &pod_spec(&[]));
    let mut seen = Vec::new();
    for (object, webhook) in [
        (pod("plain", &[]), "judge.refgate.dev"),
        (pod("plaintext", PLAINTEXT), "judge.refgate.dev"),
        (pod("reference", REFERENCE), "inject.refgate.dev"),
        (pod("foreign", &[("A", "secret:/mozmeao/other/stage/a")]), "inject.refgate.dev"),
        (workload, "judge.refgate.dev"),
    ] {
        let ran = bound.kubectl_with(&["create", "-f", "-"], &object.to_string());
        assert_eq!(ran.code, Some(1), "{}", ran.out);
        seen.push(golden::transcript(&["-n", &bound.name, "create", "-f", "-"], &object.to_string(), &ran));
        let who = format!("failed calling webhook \"{webhook}\": failed to call webhook: ");
        assert!(ran.err.contains(&who) && ran.err.contains("connection refused"), "{}", ran.err);
    }
    golden::assert("nobody-home", &seen.join("\n"));
}

/// The commands of the documentation, until the manifests are applied again.
fn the_glass_is_broken(world: &World, bound: &Namespace<'_>) {
    let kubectl = &world.plane.admin.kubectl;
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operators.md")).unwrap();
    let commands: Vec<_> = page
        .lines()
        .filter_map(|line| line.trim().strip_prefix("kubectl patch ")?.strip_suffix('\''))
        .collect();
    let [judge, inject] = commands[..] else { panic!("{commands:?}") };
    let data = judge.replace("judge.refgate.dev", "judge-data.refgate.dev");
    let carry = judge.replace("judge.refgate.dev", "carry.refgate.dev");
    for command in [judge, inject, &data, &carry] {
        let (before, patch) = command.split_once(" '").unwrap();
        let mut arguments = vec!["patch"];
        arguments.extend(before.split(' '));
        arguments.push(patch);
        let ran = kubectl.run(&arguments);
        assert!(ran.ok().contains("patched"), "{command}");
    }
    let map = json!({"metadata": {"name": "glass"}, "data": {"a": "b"}});
    let maps = bound.path("configmaps?dryRun=All");
    until("pods and ConfigMaps come in unjudged", || {
        let pod = bound.dry_run(&pod("glass", PLAINTEXT)).is_ok();
        (pod && bound.developer.api.post(&maps, &map).is_ok()).then_some(())
    });
    apply_overlay(&world.plane).ok();
    until("nothing comes in unjudged", || {
        let pod = bound.dry_run(&pod("glass", PLAINTEXT)).is_ok();
        (!pod && !bound.developer.api.post(&maps, &map).is_ok()).then_some(())
    });
}

/// What RefGate would not judge is not asked of it: labels, a scale, a deletion. The pod that is missed afterwards does not come.
fn what_runs_goes_on(bound: &Namespace<'_>) {
    bound.kubectl(&["label", "deployment/web", "team=snippets"]).ok();
    bound.kubectl(&["scale", "deployment/web", "--replicas=1"]).ok();
    until("one pod is left", || {
        let pods = bound.developer.api.get(&bound.path("pods?labelSelector=app=web")).ok();
        (pods["items"].as_array()?.len() == 1).then_some(())
    });
    bound.kubectl(&["delete", "pod", "-l", "app=web", "--timeout=60s"]).ok();
    until("the ReplicaSet says why it has no pod", || {
        let events = bound.developer.api.get(&bound.path("events?fieldSelector=reason=FailedCreate")).ok();
        let told =
            |event: &Value| event["message"].as_str().is_some_and(|text| text.contains("inject.refgate.dev"));
        events["items"].as_array()?.iter().any(told).then_some(())
    });
}

/// Plaintext too: the documentation says so.
fn what_is_not_bound_starts(free: &Namespace<'_>) {
    let workload = deployment("web", 2, &pod_spec(PLAINTEXT));
    free.developer.api.post("/apis/apps/v1/namespaces/nobody-elsewhere/deployments", &workload).ok();
    free.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).ok();
}

fn references_are_refused_without_a_binding(free: &Namespace<'_>) {
    let annotated = |key: &str| {
        let mut pod = pod("annotated", &[]);
        pod["metadata"]["annotations"] = json!({key: "database_url"});
        pod
    };
    let mut first = pod("first", &[]);
    first["spec"]["initContainers"] = pod_spec(&[("A", "secret+file:database_url")])["containers"].clone();
    first["spec"]["initContainers"][0]["name"] = json!("migrate");
    for object in [
        pod("reference", REFERENCE),
        first,
        annotated("env.refgate.dev/A"),
        annotated("File.RefGate.dev/a"),
        annotated("refgate.dev/env-from"),
    ] {
        let ran = free.kubectl_with(&["create", "-f", "-"], &object.to_string());
        assert_eq!(ran.code, Some(1), "{}", ran.out);
        assert!(ran.err.contains("ValidatingAdmissionPolicy 'refgate-unbound'"), "{}", ran.err);
        assert!(ran.err.contains("namespace nobody-elsewhere is not bound"), "{}", ran.err);
    }
}

/// Nodes, Leases and Events, also of a bound namespace, and the pods of the system.
fn the_cluster_itself_goes_on(world: &World, bound: &Namespace<'_>) {
    let admin = &world.plane.admin;
    let condition = json!({"status": {"conditions": [{
        "type": "E2e", "status": "True", "reason": "NobodyHome", "message": "still heard of",
    }]}});
    let strategic = "application/strategic-merge-patch+json";
    admin.api.patch("/api/v1/nodes/node-1/status", strategic, &condition).ok();
    admin.api.patch("/api/v1/nodes/node-1", MERGE, &json!({"metadata": {"labels": {"e2e": "outage"}}})).ok();
    let times = |micros: &str| json!({"spec": {"renewTime": format!("2026-01-01T00:00:00.{micros}Z")}});
    for namespace in [&*bound.name, "kube-system"] {
        let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
        let mut lease = times("000001");
        lease["metadata"] = json!({"name": "e2e-outage"});
        admin.api.post(&leases, &lease).ok();
        admin.api.patch(&format!("{leases}/e2e-outage"), MERGE, &times("000002")).ok();
        let events = format!("/api/v1/namespaces/{namespace}/events");
        let event = json!({
            "metadata": {"name": "e2e-outage"}, "reason": "Tried", "type": "Normal", "message": "secret:database_url",
            "involvedObject": {"kind": "Pod", "namespace": namespace, "name": "web"},
        });
        admin.api.post(&events, &event).ok();
        admin.api.patch(&format!("{events}/e2e-outage"), MERGE, &json!({"count": 2})).ok();
    }
    admin.api.post("/api/v1/namespaces/kube-system/pods", &pod("e2e-outage", PLAINTEXT)).ok();
    let ready = ["-n", "kube-system", "wait", "--for=condition=ready", "pod/e2e-outage", "--timeout=60s"];
    admin.kubectl.run(&ready).ok();
    admin
        .kubectl
        .run(&["-n", "kube-system", "delete", "pod/e2e-outage", "lease/e2e-outage", "--timeout=60s"])
        .ok();
}

const LEFT: &str = "mozmeao/left/stage/database_url";
const MOVED: &str = "mozmeao/moved/stage/database_url";
const BEFORE: &str = "mozmeao/before/stage/database_url";
const STAYS: &str = "mozmeao/stays/stage/database_url";
const LATE: &str = "mozmeao/stays/stage/late";

/// Three bound namespaces, of which two change while RefGate cannot see it.
struct Tenants<'w> {
    world: &'w World,
    /// Stays what it is; its catalogue grows.
    stays: Namespace<'w>,
    /// Bound to another scope; a Secret of the earlier one is left in it.
    moves: Namespace<'w>,
    /// Not bound any more, and later bound again.
    leaves: Namespace<'w>,
}

/// The one replica meets everything in a row, since its client reads a token file anew only after most of a minute.
pub fn what_was_missed_counts_afterwards(world: &World) {
    world.stop_replicas();
    let bond = world.files.put_bound_token(&world.plane);
    world.add_replica();
    let bound = |name: &str, path: &str| {
        world.bound(name, path.rsplit_once('/').unwrap().0, &[(path, &[("value", "v")])])
    };
    let tenants = Tenants {
        world,
        stays: bound("outage-stays", STAYS),
        moves: bound("outage-moves", BEFORE),
        leaves: bound("outage-leaves", LEFT),
    };
    tenants.assert_before();
    tenants.change_while_refgate_sleeps();
    tenants.assert_changed();
    bond.cut(&world.plane);
    tenants.change_while_the_token_is_refused();
}

impl Tenants<'_> {
    fn assert_before(&self) {
        assert_judged(&self.stays, STAYS, BEFORE);
        assert_judged(&self.moves, BEFORE, MOVED);
        assert_judged(&self.leaves, LEFT, STAYS);
    }

    /// The API server restarts meanwhile, and what happened is in no history any more: only a new list can tell.
    fn change_while_refgate_sleeps(&self) {
        let plane = &self.world.plane;
        plane.stop_apiserver();
        // After that: an API server that stops waits for its clients to hang up.
        self.signal("STOP");
        let away = self.stays.developer.api.try_call("GET", &self.stays.path("pods"), "", &Value::Null);
        assert!(away.is_err(), "{away:?}");
        plane.start_apiserver();
        self.label(
            &self.leaves,
            json!({"refgate.dev/group": null, "refgate.dev/app": null, "refgate.dev/env": null}),
        );
        self.label(&self.moves, scope_labels("mozmeao/moved/stage"));
        let world = self.world;
        world.write_catalogue(&self.moves.name, &[entry(BEFORE, &["value"]), entry(MOVED, &["value"])], &[]);
        world.write_catalogue(&self.stays.name, &[entry(STAYS, &["value"]), entry(LATE, &["value"])], &[]);
        self.assert_nobody_answers();
        until("the policy knows that nothing is bound here", || {
            let answer = self.leaves.dry_run(&reads(LEFT));
            assert!(!answer.is_ok(), "{}", answer.body);
            answer.message().contains("refgate-unbound").then_some(())
        });
        plane.compact();
        self.signal("CONT");
        self.wait_for_both_watches("the watch fell too far behind; listing anew");
    }

    /// Neither the scope that was nor the one that is gets anything.
    fn assert_nobody_answers(&self) {
        let probes = [reads(BEFORE), reads(MOVED), names_secret_of(BEFORE), pod("probe", PLAINTEXT)];
        // At once: each of them waits until the API server gives up.
        std::thread::scope(|scope| {
            for probe in &probes {
                scope.spawn(|| assert_unanswered(&self.moves.dry_run(probe)));
            }
        });
    }

    fn assert_changed(&self) {
        until("the new scope is known", || self.moves.dry_run(&reads(MOVED)).is_ok().then_some(()));
        until("the new entry is known", || (!is_unknown(&self.stays.dry_run(&reads(LATE)))).then_some(()));
        assert_judged(&self.moves, MOVED, BEFORE);
        let left = self.moves.dry_run(&names_secret_of(BEFORE));
        assert!(left.refused().contains("may not read"), "{}", left.message());
        let unbound = self.leaves.dry_run(&reads(LEFT));
        assert!(unbound.refused().contains("so it has no secrets"), "{}", unbound.message());
        assert_judged(&self.stays, STAYS, MOVED);
    }

    /// RefGate answers from what it knows, and not at all for a namespace that it has never seen.
    fn change_while_the_token_is_refused(&self) {
        let plane = &self.world.plane;
        plane.stop_apiserver();
        plane.start_apiserver();
        self.wait_for_both_watches("Unauthorized");
        self.label(&self.leaves, scope_labels("mozmeao/left/stage"));
        let new = self.world.bound("outage-new", "mozmeao/new/stage", &[]);
        assert_judged(&self.stays, STAYS, MOVED);
        assert_judged(&self.moves, MOVED, BEFORE);
        let unseen = self.leaves.dry_run(&reads(LEFT));
        assert!(unseen.refused().contains("so it has no secrets"), "{}", unseen.message());
        assert_unanswered(&new.dry_run(&reads("mozmeao/new/stage/a")));
        assert_unanswered(&new.dry_run(&pod("probe", &[])));

        self.world.files.renew_token(plane);
        until("RefGate goes on", || self.leaves.dry_run(&reads(LEFT)).is_ok().then_some(()));
        until("the new namespace is known", || new.dry_run(&pod("probe", &[])).is_ok().then_some(()));
        assert_judged(&self.leaves, LEFT, STAYS);
        assert_judged(&self.stays, STAYS, MOVED);
        assert_judged(&self.moves, MOVED, BEFORE);
        assert_judged(&new, "mozmeao/new/stage/a", STAYS);
    }

    fn label(&self, namespace: &Namespace<'_>, labels: Value) {
        let path = format!("/api/v1/namespaces/{}", namespace.name);
        self.world.operator.api.patch(&path, MERGE, &json!({"metadata": {"labels": labels}})).ok();
    }

    fn signal(&self, signal: &str) {
        self.world.replicas.lock().unwrap()[0].process.signal(signal);
    }

    fn wait_for_both_watches(&self, text: &str) {
        for path in ["/api/v1/namespaces", "/api/v1/namespaces/refgate-system/configmaps"] {
            let path = format!("\"path\":\"{path}\"");
            until(&format!("{path} says: {text}"), || {
                self.world.replicas.lock().unwrap()[0].has_logged(&[&path, text]).then_some(())
            });
        }
    }
}

fn is_injected(pod: &Value, path: &str) -> bool {
    let env = pod["spec"]["containers"][0]["env"].as_array().into_iter().flatten();
    env.into_iter().any(|entry| entry["valueFrom"]["secretKeyRef"]["name"] == *secret_name(path))
}

fn reads(path: &str) -> Value {
    pod("probe", &[("A", &format!("secret:/{path}"))])
}

/// A pod that names the synced Secret itself, as it was named before a binding changed.
fn names_secret_of(path: &str) -> Value {
    let mut pod = pod("probe", &[]);
    let selector = json!({"name": secret_name(path), "key": "value"});
    pod["spec"]["containers"][0]["env"] = json!([{"name": "A", "valueFrom": {"secretKeyRef": selector}}]);
    pod
}

/// Foreign paths and plaintext are refused by RefGate's own judgement, and what is in the scope is injected.
#[track_caller]
fn assert_judged(namespace: &Namespace<'_>, own: &str, foreign: &str) {
    let injected = namespace.dry_run(&reads(own)).ok();
    assert!(is_injected(&injected, own), "{injected}");
    let refused = namespace.dry_run(&reads(foreign));
    assert!(refused.refused().contains("is outside of"), "{}", refused.message());
    let refused = namespace.dry_run(&pod("probe", PLAINTEXT));
    assert!(refused.refused().contains("DB_PASSWORD"), "{}", refused.message());
}

/// RefGate's answer did not come, or was none; either way the pod stays out.
#[track_caller]
fn assert_unanswered(answer: &Answer) {
    assert_eq!(answer.code, 500, "{}", answer.body);
    assert!(answer.message().contains("failed calling webhook"), "{}", answer.message());
}

fn is_unknown(answer: &Answer) -> bool {
    assert!(answer.is_ok(), "{}", answer.body);
    answer.warnings.iter().any(|text| text.contains("not synced yet") || text.contains("does not know"))
}
