//! RefGate installed on a real node as manifests/README.md says: its image in real pods, the certificate by `certs/install.sh`,
//! the sync reading from moto.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::kubectl::Ran;
use super::moto::{self, Moto};
use super::node::Node;
use super::node_space::{ADDRESS, furnish};
use super::objects::pod;
use super::plane::{Person, Plane};
use super::programs::Programs;
use super::refgate::{repository, run_refgate};
use super::wait::{until, until_within};
use super::world::{bind, give_operators_their_rights, wait_for_right};

pub struct Cluster {
    pub plane: Plane,
    pub node: Node,
    pub moto: Moto,
    pub operator: Person,
}

/// A namespace that is bound, and its developer.
pub struct Tenant<'c> {
    pub cluster: &'c Cluster,
    pub name: String,
    pub scope: String,
    pub developer: Person,
}

impl Cluster {
    /// Brings everything up, in the space that this process runs in.
    pub fn start(folder: &Path, programs: Programs, cgroup: &str) -> Self {
        furnish();
        let plane = Plane::start_at(ADDRESS, folder, programs);
        let node = Node::start(&plane, cgroup);
        let moto = Moto::start_at(ADDRESS.parse().unwrap(), folder);
        install(&plane, &moto);
        give_operators_their_rights(&plane.admin);
        let operator = plane.operator();
        wait_for_right(&operator, "", "", "namespaces", "create");
        wait_for_right(&operator, "", "refgate.dev", "scopes", "bind");
        let cluster = Self { plane, node, moto, operator };
        cluster.wait_in_force();
        cluster
    }

    /// The API server takes a moment to ask the webhooks.
    fn wait_in_force(&self) {
        let probe = self.bind("in-force", "probe/of/node");
        let path = "/api/v1/namespaces/in-force/pods?dryRun=All";
        until("the webhooks are in force", || {
            let answer = probe.developer.api.post(path, &pod("probe", &[("A", "secret:a")]));
            answer.body.pointer("/spec/containers/0/env/0/valueFrom").map(drop)
        });
    }

    /// A new namespace, bound with the output of `refgate bind`, with a developer who may edit in it.
    pub fn bind(&self, name: &str, scope: &str) -> Tenant<'_> {
        let printed = run_refgate(&["bind", name, scope]);
        let apply = ["apply", "--server-side", "--field-manager=refgate-bind", "-f", "-"];
        self.operator.kubectl.run_with(&apply, &printed).ok();
        let developer = self.plane.newcomer();
        bind(&self.plane.admin, name, "edit", &developer.name);
        wait_for_right(&developer, name, "", "pods", "create");
        Tenant { cluster: self, name: name.to_owned(), scope: scope.to_owned(), developer }
    }

    /// Environment variables with the secret manager's address and credentials.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let all = moto::environment(&self.plane.folder, self.moto.address);
        all.into_iter().filter(|(name, _)| *name != "HOME").collect()
    }
}

impl Tenant<'_> {
    /// `refgate put` of a secret of its scope.
    pub fn put(&self, name: &str, value: &str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_refgate"));
        command.args(["put", &format!("{}/{name}", self.scope)]).envs(self.cluster.environment());
        command.env("KUBECONFIG", &self.cluster.operator.kubectl.kubeconfig);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "refgate put: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn kubectl(&self, arguments: &[&str]) -> Ran {
        self.developer.kubectl.run(&[&["--namespace", &self.name], arguments].concat())
    }

    /// `kubectl apply` of one object, once.
    #[track_caller]
    pub fn apply(&self, object: &Value) {
        let arguments = ["--namespace", &self.name, "apply", "-f", "-"];
        self.developer.kubectl.run_with(&arguments, &object.to_string()).ok();
    }

    /// The pods with a label `app`, all Ready, as many as there have to be.
    pub fn wait_pods(&self, app: &str, count: usize) -> Vec<Value> {
        let path = format!("/api/v1/namespaces/{}/pods?labelSelector=app%3D{app}", self.name);
        until_within(&format!("{count} pods of {app} are Ready"), Duration::from_secs(300), || {
            self.cluster.node.assert_running();
            let pods = self.cluster.plane.admin.api.get(&path).ok();
            let pods = pods["items"].as_array()?.clone();
            let ready = |pod: &Value| {
                let conditions = pod["status"]["conditions"].as_array();
                conditions.is_some_and(|all| {
                    all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
                })
            };
            (pods.len() == count && pods.iter().all(ready)).then_some(pods)
        })
    }

    /// Standard output of a command in the first container of a pod.
    #[track_caller]
    pub fn exec(&self, pod: &Value, command: &[&str]) -> String {
        let name = pod["metadata"]["name"].as_str().unwrap();
        self.kubectl(&[&["exec", name, "--"], command].concat()).ok()
    }
}

/// As manifests/README.md has it: apply, and then the certificate.
fn install(plane: &Plane, moto: &Moto) {
    let folder = plane.folder.join("manifests");
    let copied =
        Command::new("cp").arg("-r").arg(repository().join("manifests")).arg(&folder).status().unwrap();
    assert!(copied.success(), "cannot copy the manifests");
    let overlay = folder.join("overlays/node");
    fs::create_dir_all(&overlay).unwrap();
    fs::write(overlay.join("kustomization.yaml"), kustomization(moto).to_string()).unwrap();
    let kubectl = &plane.admin.kubectl;
    kubectl.run(&["apply", "-k", overlay.to_str().unwrap()]).ok();
    let mut script = Command::new(repository().join("certs/install.sh"));
    script.arg("--dir").arg(plane.folder.join("certs")).env("KUBECTL", &kubectl.program);
    script.env("KUBECONFIG", &kubectl.kubeconfig).env("HOME", &kubectl.home);
    let output = script.output().unwrap();
    assert!(output.status.success(), "certs/install.sh: {}", String::from_utf8_lossy(&output.stderr));
    for deployment in ["deployment/refgate", "deployment/refgate-sync"] {
        kubectl.run(&["--namespace=refgate-system", "rollout", "status", deployment, "--timeout=300s"]).ok();
    }
}

/// An operator's overlay: the sync gets the secret manager's address.
fn kustomization(moto: &Moto) -> Value {
    let environment: Vec<Value> = moto::environment(Path::new("/"), moto.address)
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let patch = json!([{"op": "add", "path": "/spec/template/spec/containers/0/env", "value": environment}]);
    json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": ["../../base"],
        "patches": [{"target": {"kind": "Deployment", "name": "refgate-sync"}, "patch": patch.to_string()}],
    })
}
