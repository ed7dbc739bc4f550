//! A rotation followed to the pods: real evictions and PodDisruptionBudgets, and controllers that replace what was evicted.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::api::MERGE;
use crate::harness::objects::{deployment, pod_spec};
use crate::harness::sync::{ACCOUNT, Source, secrets};
use crate::harness::wait::until;
use crate::harness::world::{Namespace, World, scope_labels};

/// A node of the control plane, which pods of a test can be bound to.
const NODE: &str = "/api/v1/nodes/node-1";

/// A namespace that asks for all of its scope, so that Secrets are there before the first pod.
fn whole<'w>(world: &'w World, name: &str, scope: &str) -> Namespace<'w> {
    world.make(name, scope_labels(scope), json!({"refgate.dev/sync": "scope"}), &[])
}

/// Makes a Deployment whose pods ask for restarts.
fn asking(wish: &str, name: &str, replicas: u32, spec: &Value) -> Value {
    let mut object = deployment(name, replicas, spec);
    object["spec"]["template"]["metadata"]["annotations"] = json!({"refgate.dev/restart": wish});
    object
}

fn reading() -> Value {
    pod_spec(&[("KEY", "secret:key")])
}

impl Namespace<'_> {
    fn apps(&self, resource: &str) -> String {
        format!("/apis/apps/v1/namespaces/{}/{resource}", self.name)
    }

    /// The pods of an app that are not going, by uid, with when they were Ready; only when there are so many and all are.
    fn ready_pods(&self, app: &str, count: usize) -> Option<BTreeMap<String, Timestamp>> {
        let path = self.path(&format!("pods?labelSelector=app%3D{app}"));
        let list = self.world.plane.admin.api.get(&path).ok();
        let ready = |pod: &Value| {
            let conditions = pod["status"]["conditions"].as_array()?;
            let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
            let since = ready["lastTransitionTime"].as_str().filter(|_| ready["status"] == "True")?;
            Some((pod["metadata"]["uid"].as_str()?.to_owned(), since.parse().unwrap()))
        };
        let pods = list["items"].as_array().unwrap().iter();
        let staying = pods.filter(|pod| pod["metadata"].get("deletionTimestamp").is_none());
        let pods: Option<BTreeMap<_, _>> = staying.map(ready).collect();
        pods.filter(|pods| pods.len() == count)
    }

    fn wait_pods(&self, app: &str, count: usize) -> BTreeMap<String, Timestamp> {
        until(&format!("{count} pods of {app} are Ready"), || self.ready_pods(app, count))
    }

    /// Waits until none of the pods is one of those.
    fn wait_replaced(&self, app: &str, before: &BTreeMap<String, Timestamp>) -> BTreeMap<String, Timestamp> {
        until(&format!("all pods of {app} are others"), || {
            let pods = self.ready_pods(app, before.len())?;
            pods.keys().all(|uid| !before.contains_key(uid)).then_some(pods)
        })
    }

    /// Waits for an Event of this reason on an object.
    fn wait_event_on(&self, name: &str, reason: &str) -> String {
        until(&format!("an Event {reason} on {name}"), || {
            let events = self.world.plane.admin.api.get(&self.path("events")).ok();
            let is_it = |event: &&Value| event["reason"] == reason && event["involvedObject"]["name"] == name;
            let found = events["items"].as_array()?.iter().find(is_it)?;
            Some(found["message"].as_str()?.to_owned())
        })
    }
}

/// When the sync evicted which pod of a namespace, as the audit log has it.
fn evictions(world: &World, namespace: &str) -> Vec<(Timestamp, String)> {
    let is_eviction = |event: &Value| {
        let object = &event["objectRef"];
        event["user"]["username"] == ACCOUNT
            && object["subresource"] == "eviction"
            && object["namespace"] == namespace
            && event["responseStatus"]["code"] == 201
    };
    let found = |event: &Value| {
        let time = event["requestReceivedTimestamp"].as_str().unwrap().parse().unwrap();
        (time, event["objectRef"]["name"].as_str().unwrap().to_owned())
    };
    world.plane.audit_log().iter().filter(|event| is_eviction(event)).map(found).collect()
}

/// One first, the next when its successor has been Ready for long enough; another controller goes on in the middle. What
/// reads files, what asks for nothing and what nobody replaces stays; and no workload is edited.
pub fn reaches_every_pod_one_by_one(world: &World) {
    let namespace = whole(world, "rotation-all", "mozmeao/rotation/stage");
    let source = Source::new(world, "rotation", &json!({"restart": {"ready": "2s"}}));
    let path = "mozmeao/rotation/stage/key";
    source.write(&secrets(&[(path, "first", "1")]));
    let mut first = source.start();
    namespace.wait_holds(path, &[("value", "first")]);
    let files = pod_spec(&[("KEY", "secret+file:key")]);
    let mut bare = json!({"metadata": {"name": "bare", "labels": {"app": "bare"}}, "spec": reading()});
    bare["metadata"]["annotations"] = json!({"refgate.dev/restart": "always"});
    let mut work = reading();
    work["restartPolicy"] = "Never".into();
    let job = json!({
        "metadata": {"name": "job"}, "spec": {"template": {
            "metadata": {"labels": {"app": "job"}, "annotations": {"refgate.dev/restart": "always"}}, "spec": work,
        }},
    });
    for (path, object) in [
        (namespace.apps("deployments"), asking("canary", "web", 4, &reading())),
        (namespace.apps("deployments"), asking("canary", "files", 2, &files)),
        (namespace.apps("deployments"), deployment("calm", 2, &reading())),
        (namespace.path("pods"), bare),
        (format!("/apis/batch/v1/namespaces/{}/jobs", namespace.name), job),
    ] {
        namespace.developer.api.post(&path, &object).ok();
    }
    let before = namespace.wait_pods("web", 4);
    let others = [("files", 2), ("calm", 2), ("bare", 1)];
    let calm: Vec<_> = others.iter().map(|(app, count)| namespace.wait_pods(app, *count)).collect();
    let web = namespace.apps("deployments/web");
    let generation = |namespace: &Namespace<'_>| {
        let web = namespace.developer.api.get(&web).ok();
        (web["metadata"]["generation"].clone(), web["spec"].clone())
    };
    let edited = generation(&namespace);

    source.write(&secrets(&[(path, "second", "2")]));
    namespace.wait_holds(path, &[("value", "second")]);
    until("one pod is evicted", || (evictions(world, &namespace.name).len() == 1).then_some(()));
    assert!(first.process.stop().success());
    let second = source.start();
    let after = namespace.wait_replaced("web", &before);

    let evictions = until("every eviction is on record", || {
        let found = evictions(world, &namespace.name);
        (found.len() == 4).then_some(found)
    });
    // The next one went only when a successor had been Ready for the whole time.
    let proven = after.values().min().unwrap().as_second() + 2;
    assert!(evictions[1].0.as_second() >= proven, "{evictions:?}, {after:?}");
    assert!(evictions.iter().all(|(_, name)| name.starts_with("web-")), "{evictions:?}");
    assert_eq!(generation(&namespace), edited, "nobody edits a workload");
    for ((app, count), before) in others.iter().zip(calm) {
        assert_eq!(namespace.ready_pods(app, *count), Some(before), "{app}");
    }
    let said = namespace.wait_event_on("web", "SecretRotated");
    assert!(said.contains("is replaced: Secret mozmeao-rotation-stage-key-"), "{said}");
    until("nobody is behind any more", || {
        (second.metrics()["refgate_sync_workloads_behind"] == 0.0).then_some(())
    });
}

/// The only Ready pod, a PodDisruptionBudget, a successor that does not come up: the rest stays, an Event says why, and when
/// the reason is gone it goes on.
pub fn stops_and_says_why(world: &World) {
    let namespace = whole(world, "rotation-stop", "mozmeao/stopping/stage");
    let settings = json!({"restart": {"ready": "1s", "patience": "2s", "share": "100%"}});
    let source = Source::new(world, "stopping", &settings);
    let path = "mozmeao/stopping/stage/key";
    source.write(&secrets(&[(path, "first", "1")]));
    let _sync = source.start();
    namespace.wait_holds(path, &[("value", "first")]);
    let label = |value: Value| {
        world.plane.admin.api.patch(NODE, MERGE, &json!({"metadata": {"labels": {"rotation": value}}})).ok();
    };
    label("here".into());
    let mut bound = reading();
    bound["nodeSelector"] = json!({"rotation": "here"});
    let budget =
        |least: u32| json!({"spec": {"minAvailable": least, "selector": {"matchLabels": {"app": "kept"}}}});
    let budgets = format!("/apis/policy/v1/namespaces/{}/poddisruptionbudgets", namespace.name);
    let mut kept = budget(2);
    kept["metadata"] = json!({"name": "kept"});
    world.plane.admin.api.post(&budgets, &kept).ok();
    for object in [
        asking("canary", "single", 1, &reading()),
        asking("always", "eager", 1, &reading()),
        asking("canary", "kept", 2, &reading()),
        asking("canary", "bound", 3, &bound),
    ] {
        namespace.developer.api.post(&namespace.apps("deployments"), &object).ok();
    }
    let apps = [("single", 1), ("eager", 1), ("kept", 2), ("bound", 3)];
    let before: BTreeMap<_, _> =
        apps.iter().map(|(app, count)| (*app, namespace.wait_pods(app, *count))).collect();
    until("the budget is known", || {
        let budget = world.plane.admin.api.get(&format!("{budgets}/kept")).ok();
        (budget["status"]["currentHealthy"] == 2).then_some(())
    });
    label(Value::Null);
    source.write(&secrets(&[(path, "second", "2")]));
    namespace.wait_replaced("eager", &before["eager"]);
    let said = namespace.wait_event_on("single", "RestartHeld");
    assert!(said.contains("fewer than two of them are Ready"), "{said}");
    let said = namespace.wait_event_on("kept", "RestartWaits");
    assert!(said.contains("PodDisruptionBudget"), "{said}");
    let said = namespace.wait_event_on("bound", "RestartHeld");
    assert!(said.contains("does not become Ready"), "{said}");
    for app in ["single", "kept"] {
        assert_eq!(namespace.ready_pods(app, before[app].len()).as_ref(), Some(&before[app]), "{app}");
    }
    let gone = evictions(world, &namespace.name);
    let of_bound = gone.iter().filter(|(_, name)| name.starts_with("bound-")).count();
    assert_eq!(of_bound, 1, "the first one, and no other: {gone:?}");
    label("here".into());
    world.plane.admin.api.patch(&format!("{budgets}/kept"), MERGE, &budget(1)).ok();
    let scale = json!({"spec": {"replicas": 2}});
    namespace.developer.api.patch(&namespace.apps("deployments/single/scale"), MERGE, &scale).ok();
    for app in ["kept", "bound"] {
        namespace.wait_replaced(app, &before[app]);
    }
    until("the pod that was single is replaced", || {
        let pods = namespace.ready_pods("single", 2)?;
        pods.keys().all(|uid| !before["single"].contains_key(uid)).then_some(())
    });
    label(Value::Null);
}

/// What replaces its pods by itself is followed, whatever kind it is.
pub fn of_every_kind(world: &World) {
    let namespace = whole(world, "rotation-kinds", "mozmeao/kinds/stage");
    let source = Source::new(world, "kinds", &json!({"restart": {"ready": "0s", "share": "100%"}}));
    let path = "mozmeao/kinds/stage/key";
    source.write(&secrets(&[(path, "first", "1")]));
    let _sync = source.start();
    namespace.wait_holds(path, &[("value", "first")]);
    let mut counts = Vec::new();
    for (resource, app) in [("replicasets", "set"), ("statefulsets", "state"), ("daemonsets", "daemon")] {
        let mut object = asking("canary", app, 2, &reading());
        object.as_object_mut().unwrap().remove("kind");
        match resource {
            "daemonsets" => drop(object["spec"].as_object_mut().unwrap().remove("replicas")),
            "statefulsets" => object["spec"]["serviceName"] = app.into(),
            _ => {}
        }
        namespace.developer.api.post(&namespace.apps(resource), &object).ok();
        counts.push((app, if resource == "daemonsets" { 3 } else { 2 }));
    }
    let before: Vec<_> = counts.iter().map(|(app, count)| namespace.wait_pods(app, *count)).collect();
    source.write(&secrets(&[(path, "second", "2")]));
    for ((app, _), before) in counts.iter().zip(&before) {
        namespace.wait_replaced(app, before);
    }
}
