//! A scripted cluster, what `refgate scan` or another command says of it, and the objects in it.

use std::collections::HashMap;
use std::process::Command;

use refgate::policy::workload::{CONFIG_MAP, KINDS};
use serde_json::{Value, json};

use crate::api::{Api, Reply, namespace, page};
use crate::harness::Folder;

pub(crate) const NAMESPACES: &str = "/api/v1/namespaces";
pub(crate) const CATALOGUES: &str = "/api/v1/namespaces/refgate-system/configmaps";
pub(crate) const PODS: &str = "/api/v1/pods";
pub(crate) const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";
pub(crate) const REPLICA_SETS: &str = "/apis/apps/v1/replicasets";
pub(crate) const JOBS: &str = "/apis/batch/v1/jobs";
pub(crate) const ROLLOUT: &str =
    "templates: [{group: argoproj.io, kind: Rollout, resource: rollouts, pointer: /spec/template}]\n";
pub(crate) const PLANTED: &str = "kR4vT9wqZ2pB";

/// A cluster: what it answers by path, and empty lists where nothing is said.
#[derive(Default)]
pub(crate) struct Cluster {
    pub(crate) replies: HashMap<String, Vec<Reply>>,
    pub(crate) configuration: Option<&'static str>,
}

pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) asked: Vec<String>,
    pub(crate) accepted: Vec<String>,
}

impl Ran {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.out, self.err))
    }

    /// `Kind/name` of each entry.
    #[track_caller]
    pub(crate) fn found(&self) -> Vec<String> {
        let report = self.json();
        let title = |entry: &Value| {
            format!("{}/{}", entry["kind"].as_str().unwrap(), entry["name"].as_str().unwrap())
        };
        report["results"].as_array().unwrap().iter().map(title).collect()
    }

    /// How many were judged, refused, and left out.
    #[track_caller]
    pub(crate) fn counts(&self) -> [u64; 3] {
        let report = self.json();
        ["judged", "refused", "skipped"].map(|key| report[key].as_u64().unwrap())
    }
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let mut web = namespace("web", "1", "stage");
        web["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = json!("baseline");
        Self::default().list(NAMESPACES, &[web, namespace("kube-system", "1", "stage"), own()])
    }

    pub(crate) fn reply(mut self, path: &str, reply: Reply) -> Self {
        self.replies.entry(path.to_owned()).or_default().push(reply);
        self
    }

    pub(crate) fn list(self, path: &str, items: &[Value]) -> Self {
        self.reply(path, page("1", "", items))
    }

    pub(crate) async fn scan(self, flags: &[&str]) -> Ran {
        self.run(&["scan"], flags).await
    }

    /// Any command that reads a cluster.
    pub(crate) async fn run(self, subcommand: &[&str], flags: &[&str]) -> Ran {
        let api = Api::start().await;
        let kinds = KINDS.into_iter().chain([CONFIG_MAP]);
        let paths = kinds.map(|kind| match &*kind.group {
            "" => format!("/api/v1/{}", kind.resource),
            group => format!("/apis/{group}/v1/{}", kind.resource),
        });
        for path in paths.chain([NAMESPACES.to_owned(), CATALOGUES.to_owned()]) {
            if !self.replies.contains_key(&path) {
                api.reply(&path, page("1", "", &[]));
            }
        }
        for (path, replies) in self.replies {
            replies.into_iter().for_each(|reply| api.reply(&path, reply));
        }
        let folder = Folder::new();
        let mut command = Command::new(env!("CARGO_BIN_EXE_refgate"));
        command.args(subcommand).args(["--context", "c", "--kubeconfig"]);
        command.arg(folder.write("kubeconfig", api.kubeconfig("none"))).args(flags);
        if let Some(configuration) = self.configuration {
            command.arg("--config").arg(folder.write("config.yaml", configuration));
        }
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            asked: api.asked(),
            accepted: api.accepted(),
        }
    }

    pub(crate) async fn json(self, flags: &[&str]) -> Ran {
        self.scan(&[&["--output", "json"], flags].concat()).await
    }
}

/// RefGate's own namespace.
pub(crate) fn own() -> Value {
    json!({"metadata": {"name": "refgate-system", "resourceVersion": "1"}})
}

pub(crate) const CLEAN: &[(&str, &str)] = &[("LOG_LEVEL", "info")];
pub(crate) const BAD: &[(&str, &str)] = &[("DB_PASSWORD", PLANTED)];
pub(crate) const WORSE: &[(&str, &str)] = &[("DB_PASSWORD", PLANTED), ("SMTP_PASSWORD", PLANTED)];

pub(crate) fn spec(env: &[(&str, &str)]) -> Value {
    let env: Vec<Value> = env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({"containers": [{"name": "web", "image": "i", "env": env}]})
}

/// As an item of a list: without a kind.
pub(crate) fn pod(name: &str, env: &[(&str, &str)]) -> Value {
    json!({"metadata": {"name": name, "namespace": "web", "uid": name}, "spec": spec(env)})
}

pub(crate) fn workload(name: &str, env: &[(&str, &str)]) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "web", "uid": name},
        "spec": {"replicas": 1, "template": {"spec": spec(env)}},
    })
}

pub(crate) fn owned(mut object: Value, api_version: &str, kind: &str, owner: &str) -> Value {
    object["metadata"]["ownerReferences"] =
        json!([{"apiVersion": api_version, "kind": kind, "name": owner, "uid": owner, "controller": true}]);
    object
}
