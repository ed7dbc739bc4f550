//! Kinds that carry a pod template: where in each of them it stands. And those that hold nothing but data.

pub mod expand;
pub mod json;
pub mod object;
pub mod pod;
pub mod volume;

use std::borrow::Cow;

/// One kind whose pods are judged before they exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: Cow<'static, str>,
    /// Kind, as in a manifest.
    pub kind: Cow<'static, str>,
    /// Resource, plural, as in a webhook rule.
    pub resource: Cow<'static, str>,
    /// RFC 6901 pointer to the pod template; empty for a pod, which is its own template.
    pub pointer: Cow<'static, str>,
}

impl Kind {
    const fn new(
        group: &'static str,
        kind: &'static str,
        resource: &'static str,
        pointer: &'static str,
    ) -> Self {
        Self {
            group: Cow::Borrowed(group),
            kind: Cow::Borrowed(kind),
            resource: Cow::Borrowed(resource),
            pointer: Cow::Borrowed(pointer),
        }
    }

    /// Whether this is the Pod itself.
    pub fn is_pod(&self) -> bool {
        self.pointer.is_empty()
    }

    /// Whether objects of this kind hold data, and make no pods.
    pub fn holds_data(&self) -> bool {
        *self == CONFIG_MAP || *self == SECRET
    }
}

/// The kinds of Kubernetes itself that end in pods (Kubernetes API reference, workload resources).
pub const KINDS: [Kind; 8] = [
    Kind::new("", "Pod", "pods", ""),
    Kind::new("", "ReplicationController", "replicationcontrollers", "/spec/template"),
    Kind::new("apps", "Deployment", "deployments", "/spec/template"),
    Kind::new("apps", "StatefulSet", "statefulsets", "/spec/template"),
    Kind::new("apps", "DaemonSet", "daemonsets", "/spec/template"),
    Kind::new("apps", "ReplicaSet", "replicasets", "/spec/template"),
    Kind::new("batch", "Job", "jobs", "/spec/template"),
    Kind::new("batch", "CronJob", "cronjobs", "/spec/jobTemplate/spec/template"),
];

/// A ConfigMap, whose entries are judged.
pub const CONFIG_MAP: Kind = Kind::new("", "ConfigMap", "configmaps", "/data");

/// The manifest of a Secret in a file. Those of a cluster are never sent here: no table that the server reads holds this row.
pub const SECRET: Kind = Kind::new("", "Secret", "secrets", "/data");
