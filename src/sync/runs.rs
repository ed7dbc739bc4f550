//! What the watches keep for restarts: of a pod who made it, since when it runs, and which Secrets it has in its environment;
//! of a workload how many pods it wants. Only of those that ask, by the annotation `refgate.dev/restart`.
//!
//! A tenant can write all of it, and with it harms pods of its own namespace alone.

use jiff::Timestamp;
use serde::Deserialize;

use super::restart::Wish;
use crate::policy::workload::Kind;
use crate::policy::workload::object::Template;

/// Annotation of a pod template that asks for restarts.
const RESTART: &str = "refgate.dev/restart";

/// What an object has to do with restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A pod that may be replaced.
    Pod(Run),
    /// What makes pods.
    Workload(Maker),
}

/// A pod that a controller made and that has Secrets in its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its identity.
    pub uid: Box<str>,
    /// Who made it.
    pub owner: Owner,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it is Ready.
    pub is_ready: bool,
    /// Since when it is that, or not; of one of which nothing is said yet, when it was made.
    pub since: Timestamp,
    /// Since when it is on its way out: the time by which it should be gone.
    pub leaving: Option<Timestamp>,
    /// The containers that run and have Secrets in their environment.
    pub containers: Vec<Reader>,
}

/// A container that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// Since when.
    pub started: Timestamp,
    /// The Secrets in its environment, by name.
    pub secrets: Vec<Box<str>>,
}

/// A Deployment, ReplicaSet, StatefulSet or DaemonSet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maker {
    /// Its identity.
    pub uid: Box<str>,
    /// Who made it: a ReplicaSet is mostly a Deployment's.
    pub owner: Option<Owner>,
    /// How many pods it wants.
    pub desired: usize,
    /// What its template asks for.
    pub wish: Wish,
}

/// A controller, as `ownerReferences` say it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Owner {
    /// Its kind.
    pub kind: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its identity.
    pub uid: Box<str>,
}

#[derive(Deserialize)]
struct Whole {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    uid: Box<str>,
    creation_timestamp: Timestamp,
    #[serde(default)]
    deletion_timestamp: Option<Timestamp>,
    #[serde(default)]
    owner_references: Option<Vec<Reference>>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(default)]
    controller: Option<bool>,
    #[serde(flatten)]
    owner: Owner,
}

#[derive(Default, Deserialize)]
struct Spec {
    #[serde(default)]
    replicas: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    phase: Option<String>,
    conditions: Option<Vec<Condition>>,
    container_statuses: Option<Vec<Container>>,
    init_container_statuses: Option<Vec<Container>>,
    desired_number_scheduled: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    r#type: String,
    status: String,
    #[serde(default)]
    last_transition_time: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Container {
    name: String,
    #[serde(default)]
    state: State,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct State {
    running: Option<Running>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Running {
    started_at: Timestamp,
}

/// What an object of a kind has to do with restarts; `None` for the many that ask for none, and for what does not read.
pub fn role(raw: &str, kind: &Kind, template: &Template<'_>) -> Option<Role> {
    let wish = wish(template)?;
    let is_maker = kind.group == "apps"
        && matches!(&*kind.kind, "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet");
    if !is_maker && !kind.is_pod() {
        return None;
    }
    let Whole { metadata, spec, status } = serde_json::from_str(raw).ok()?;
    let owners = metadata.owner_references.into_iter().flatten();
    let owner = owners.filter(|owner| owner.controller == Some(true)).map(|reference| reference.owner).next();
    if is_maker {
        let desired = status.desired_number_scheduled.or(spec.replicas).unwrap_or(1);
        return Some(Role::Workload(Maker { uid: metadata.uid, owner, desired, wish }));
    }
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let ready = status.conditions.into_iter().flatten().find(|condition| condition.r#type == "Ready");
    let statuses = || status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    let started = |name: &str| {
        let found = statuses().find(|container| container.name == name)?;
        Some(found.state.running.as_ref()?.started_at)
    };
    let containers = template.containers().filter_map(|place| {
        let secrets: Vec<Box<str>> = place.container.env_secrets().map(|name| Box::from(&**name)).collect();
        let started = started(&place.container.name).filter(|_| !secrets.is_empty())?;
        Some(Reader { started, secrets })
    });
    Some(Role::Pod(Run {
        uid: metadata.uid,
        owner: owner?,
        created: metadata.creation_timestamp,
        is_ready: ready.as_ref().is_some_and(|ready| ready.status == "True"),
        since: ready.and_then(|ready| ready.last_transition_time).unwrap_or(metadata.creation_timestamp),
        leaving: metadata.deletion_timestamp,
        containers: containers.collect(),
    }))
}

fn wish(template: &Template<'_>) -> Option<Wish> {
    match template.metadata.annotations.as_ref()?.get(RESTART)? {
        "canary" => Some(Wish::Canary),
        "always" => Some(Wish::Always),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::workload::KINDS;
    use crate::sync::wanted::seen;

    fn of(kind: &str, value: &Value) -> Option<Role> {
        let kind = &KINDS.into_iter().find(|known| known.kind == kind).unwrap();
        seen(&value.to_string(), kind).unwrap().role.map(|role| *role)
    }

    fn pod() -> Value {
        let key =
            |secret: &str| json!({"name": "E", "valueFrom": {"secretKeyRef": {"name": secret, "key": "k"}}});
        let runs = |name: &str, at: &str| json!({"name": name, "state": {"running": {"startedAt": at}}});
        json!({
            "metadata": {
                "name": "web-1", "namespace": "web", "uid": "pod", "creationTimestamp": "2026-11-01T00:00:00Z",
                "annotations": {"refgate.dev/restart": "canary"},
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "other"},
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "set", "controller": true},
                ],
            },
            "spec": {
                "initContainers": [{"name": "sidecar", "env": [key("s")]}, {"name": "over", "env": [key("o")]}],
                "containers": [
                    {"name": "web", "env": [key("a"), {"name": "L", "value": "x"}], "envFrom": [{"secretRef": {"name": "b"}}]},
                    {"name": "plain", "env": []}, {"name": "down", "env": [key("d")]},
                ],
                "volumes": [{"name": "v", "secret": {"secretName": "mounted"}}],
            },
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-01T00:00:09Z"}],
                "initContainerStatuses": [
                    runs("sidecar", "2026-11-01T00:00:02Z"), {"name": "over", "state": {"terminated": {}}},
                ],
                "containerStatuses": [
                    runs("web", "2026-11-01T00:00:03Z"), runs("plain", "2026-11-01T00:00:03Z"),
                    {"name": "down", "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
                ],
            },
        })
    }

    #[test]
    fn of_a_pod_what_runs_with_secrets_in_its_environment_is_kept() {
        let Some(Role::Pod(run)) = of("Pod", &pod()) else { panic!("no pod") };
        let owner = Owner { kind: "ReplicaSet".into(), name: "web".into(), uid: "set".into() };
        assert_eq!((&*run.uid, run.owner, run.leaving), ("pod", owner, None));
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!((run.is_ready, run.since), (true, at("2026-11-01T00:00:09Z")));
        let reader = |started: &str, secrets: &[&str]| Reader {
            started: at(started),
            secrets: secrets.iter().map(|name| Box::from(*name)).collect(),
        };
        let expected = [reader("2026-11-01T00:00:02Z", &["s"]), reader("2026-11-01T00:00:03Z", &["a", "b"])];
        assert_eq!(run.containers, expected);
    }

    #[test]
    fn what_asks_for_nothing_or_is_nobodys_is_left_alone() {
        for (pointer, value) in [
            ("/metadata/annotations", json!({})),
            ("/metadata/annotations/refgate.dev~1restart", json!("never")),
            ("/metadata/ownerReferences", Value::Null),
            ("/metadata/ownerReferences/1/controller", json!(false)),
            ("/status/phase", json!("Failed")),
            ("/status/phase", json!("Succeeded")),
            ("/metadata/creationTimestamp", json!("soon")),
        ] {
            let mut pod = pod();
            *pod.pointer_mut(pointer).unwrap() = value;
            assert_eq!(of("Pod", &pod), None, "{pointer}");
        }
        let mut pod = pod();
        pod["status"]["conditions"][0]["status"] = "False".into();
        pod["metadata"]["deletionTimestamp"] = "2026-11-02T00:00:00Z".into();
        let Some(Role::Pod(run)) = of("Pod", &pod) else { panic!("no pod") };
        assert_eq!((run.is_ready, run.since.to_string()), (false, "2026-11-01T00:00:09Z".to_owned()));
        assert_eq!(run.leaving.map(|at| at.to_string()).as_deref(), Some("2026-11-02T00:00:00Z"));
        pod["status"] = json!({});
        let Some(Role::Pod(run)) = of("Pod", &pod) else { panic!("no pod") };
        assert_eq!((run.is_ready, run.since), (false, run.created), "nothing is said of it yet");
    }

    #[test]
    fn of_a_workload_how_many_pods_it_wants_is_kept() {
        let template = json!({"metadata": {"annotations": {"refgate.dev/restart": "always"}}});
        let metadata = json!({
            "name": "web", "namespace": "web", "uid": "u", "creationTimestamp": "2026-11-01T00:00:00Z",
            "ownerReferences": [{"kind": "Deployment", "name": "web", "uid": "d", "controller": true}],
        });
        for (kind, replicas, desired) in [
            ("Deployment", json!(3), Some(3)),
            ("Deployment", Value::Null, Some(1)),
            ("StatefulSet", json!(2), Some(2)),
            ("ReplicaSet", json!(4), Some(4)),
            ("DaemonSet", Value::Null, Some(7)),
            ("ReplicationController", json!(2), None),
            ("Job", json!(2), None),
        ] {
            let mut object =
                json!({"metadata": metadata, "spec": {"replicas": replicas, "template": template}});
            if kind == "DaemonSet" {
                object["status"] = json!({"desiredNumberScheduled": 7});
            }
            let role = of(kind, &object);
            let owner = Some(Owner { kind: "Deployment".into(), name: "web".into(), uid: "d".into() });
            let maker =
                |desired| Role::Workload(Maker { uid: "u".into(), owner, desired, wish: Wish::Always });
            assert_eq!(role, desired.map(maker), "{kind}");
        }
    }
}
