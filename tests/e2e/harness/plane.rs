//! The control plane: etcd, API server, controllers, scheduler and KWOK's nodes, on loopback.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::{Handle, Runtime};

use super::api::Api;
use super::kubectl::Kubectl;
use super::process::{Process, free_port};
use super::programs::Programs;
use super::wait::until;

/// Developers that a run can have; each is given rights in one namespace at most.
const DEVELOPERS: usize = 100;

/// Where nobody comes from elsewhere: no container, for one.
const LOOPBACK: &str = "127.0.0.1";

/// The name of the node that is a real one.
pub const NODE: &str = "n1";

/// What is written down of the requests: names and verdicts of all, and whole objects in namespaces that ask for it by their name.
const AUDIT_POLICY: &str = r#"apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: [system:kube-scheduler, kwok, "system:apiserver"]}
- {level: None, userGroups: ["system:nodes"]}
- {level: Request, namespaces: [audit-request], resources: [{group: "", resources: [pods]}]}
- {level: Metadata}
"#;

pub struct Plane {
    /// Where everything of this run lies.
    pub folder: PathBuf,
    pub programs: Programs,
    /// The setup, which alone is cluster admin.
    pub admin: Person,
    pub server: String,
    pub etcd: String,
    processes: Mutex<Vec<Process>>,
    apiserver: Part,
    controllers: Part,
    developers: AtomicUsize,
    runtime: Runtime,
}

/// A program that tests stop and start again.
struct Part {
    name: &'static str,
    arguments: Vec<String>,
    process: Mutex<Option<Process>>,
}

/// Someone with a token, and the ways in.
#[derive(Clone)]
pub struct Person {
    pub name: String,
    pub api: Api,
    pub kubectl: Kubectl,
}

impl Plane {
    /// With nodes of KWOK, on which containers seem to run.
    pub fn start(folder: &Path, programs: Programs) -> Self {
        let plane = Self::start_at(LOOPBACK, folder, programs);
        let kubeconfig = plane.kubeconfig("kwok", "kwok-token");
        let kwok = start(folder, &plane.programs, "kwok", &kwok_arguments(&plane.programs, &kubeconfig));
        plane.processes.lock().unwrap().push(kwok);
        plane.make_nodes();
        plane
    }

    /// Without nodes, and where real ones reach it.
    pub fn start_at(address: &str, folder: &Path, programs: Programs) -> Self {
        fs::create_dir_all(folder.join("log")).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        fs::write(folder.join("audit-policy.yaml"), AUDIT_POLICY).unwrap();
        fs::write(folder.join("tokens.csv"), tokens()).unwrap();
        let key = folder.join("service-accounts.key");
        let made = Command::new("openssl").args(["genrsa", "-out"]).arg(&key).arg("2048").output().unwrap();
        assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));

        let etcd = format!("http://127.0.0.1:{}", free_port());
        let server = format!("https://{address}:{}", free_port());
        let mut processes = vec![start(folder, &programs, "etcd", &etcd_arguments(folder, &etcd))];
        let apiserver_arguments = apiserver_arguments(folder, &etcd, &server, programs.minor);
        let mut apiserver = start(folder, &programs, "kube-apiserver", &apiserver_arguments);
        let authority = folder.join("apiserver/apiserver.crt");
        until("the API server makes its certificate", || {
            apiserver.assert_running();
            authority.exists().then_some(())
        });
        let admin = person(folder, &programs, &server, "setup", "setup-token", runtime.handle().clone());
        wait_ready(&mut apiserver, &admin.api);
        let controller = |name: &str, program: &str| {
            let kubeconfig = write_kubeconfig(folder, &server, name, &format!("{name}-token"));
            let arguments = controller_arguments(address, folder, program, &kubeconfig);
            (start(folder, &programs, program, &arguments), arguments)
        };
        let controllers = controller("controllers", "kube-controller-manager");
        processes.push(controller("scheduler", "kube-scheduler").0);
        Self {
            folder: folder.to_owned(),
            programs,
            admin,
            server,
            etcd,
            processes: Mutex::new(processes),
            apiserver: Part::new("kube-apiserver", (apiserver, apiserver_arguments)),
            controllers: Part::new("kube-controller-manager", controllers),
            developers: AtomicUsize::new(0),
            runtime,
        }
    }

    fn make_nodes(&self) {
        let api = &self.admin.api;
        for number in 1..=3 {
            let name = format!("node-{number}");
            api.post("/api/v1/nodes", &json!({
                "metadata": {
                    "name": name, "annotations": {"kwok.x-k8s.io/node": "fake"},
                    "labels": {
                        "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": format!("zone-{number}"),
                        "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
                    },
                },
                "status": {
                    "allocatable": {"cpu": "64", "memory": "512Gi", "pods": "5000"},
                    "capacity": {"cpu": "64", "memory": "512Gi", "pods": "5000"},
                },
            }))
            .ok();
        }
        until("the nodes are ready", || {
            self.assert_running();
            let nodes = api.get("/api/v1/nodes").ok();
            let ready = |node: &&Value| {
                let conditions = node["status"]["conditions"].as_array();
                let is_ready =
                    |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
                conditions.is_some_and(|all| all.iter().any(is_ready)) && node["spec"].get("taints").is_none()
            };
            (nodes["items"].as_array()?.iter().filter(ready).count() == 3).then_some(())
        });
    }

    /// Fails when a part of the control plane has died.
    pub fn assert_running(&self) {
        for process in self.processes.lock().unwrap().iter_mut() {
            process.assert_running();
        }
        for part in [&self.apiserver, &self.controllers] {
            if let Some(process) = part.process.lock().unwrap().as_mut() {
                process.assert_running();
            }
        }
    }

    pub fn stop_apiserver(&self) {
        self.apiserver.stop();
    }

    pub fn start_apiserver(&self) {
        self.apiserver.start(self, |apiserver| wait_ready(apiserver, &self.admin.api));
    }

    pub fn apiserver_cpu_time(&self) -> Duration {
        self.apiserver.process.lock().unwrap().as_ref().expect("it runs").cpu_time()
    }

    /// All but the scheduler.
    pub fn stop_controllers(&self) {
        self.controllers.stop();
    }

    /// They take a moment to be at work; what they do is what to wait for.
    pub fn start_controllers(&self) {
        self.controllers.start(self, |_| {});
    }

    /// Makes etcd forget all that is no longer so.
    pub fn compact(&self) {
        let etcd = Api::new(&self.etcd, &self.folder.join("apiserver/apiserver.crt"), "", self.runtime());
        let range = etcd.post("/v3/kv/range", &json!({"key": "AA==", "count_only": true})).ok();
        let revision = &range["header"]["revision"];
        etcd.post("/v3/kv/compaction", &json!({"revision": revision, "physical": true})).ok();
    }

    pub fn runtime(&self) -> Handle {
        self.runtime.handle().clone()
    }

    /// Someone by a token of theirs.
    pub fn person(&self, name: &str, token: &str) -> Person {
        person(&self.folder, &self.programs, &self.server, name, token, self.runtime())
    }

    pub fn kubeconfig(&self, name: &str, token: &str) -> PathBuf {
        write_kubeconfig(&self.folder, &self.server, name, token)
    }

    /// A user whom nobody has given any right yet.
    pub fn newcomer(&self) -> Person {
        let number = self.developers.fetch_add(1, Ordering::Relaxed);
        assert!(number < DEVELOPERS, "more developers than DEVELOPERS");
        let name = format!("dev-{number}");
        self.person(&name, &format!("{name}-token"))
    }

    /// An operator: may make, change and bind namespaces, and nothing else.
    pub fn operator(&self) -> Person {
        self.person("olga", "olga-token")
    }

    /// The API server's audit log, in the order of the requests.
    pub fn audit_log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.join("log/audit.log")).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Part {
    fn new(name: &'static str, (process, arguments): (Process, Vec<String>)) -> Self {
        Self { name, arguments, process: Mutex::new(Some(process)) }
    }

    fn stop(&self) {
        let process = self.process.lock().unwrap().take();
        process.expect("it runs").stop();
    }

    fn start(&self, plane: &Plane, wait: impl FnOnce(&mut Process)) {
        let mut process = start(&plane.folder, &plane.programs, self.name, &self.arguments);
        wait(&mut process);
        *self.process.lock().unwrap() = Some(process);
    }
}

fn start(folder: &Path, programs: &Programs, name: &str, arguments: &[String]) -> Process {
    Process::start(name, programs.path(name), arguments, &folder.join(format!("log/{name}.log")))
}

fn wait_ready(apiserver: &mut Process, api: &Api) {
    until("the API server is ready", || {
        apiserver.assert_running();
        api.try_call("GET", "/readyz", "", &Value::Null).ok().filter(super::api::Answer::is_ok).map(drop)
    });
}

fn tokens() -> String {
    let mut text = String::from(
        "setup-token,setup,setup,\"system:masters\"\nkwok-token,kwok,kwok,\"system:masters\"\n\
         controllers-token,system:kube-controller-manager,controllers\nscheduler-token,system:kube-scheduler,scheduler\n\
         kubelet-token,system:node:n1,kubelet,\"system:nodes\"\nkube-proxy-token,system:kube-proxy,kube-proxy\n\
         olga-token,olga,olga,\"platform-operators\"\ndana-token,dana,dana,\"developers\"\n",
    );
    for number in 0..DEVELOPERS {
        text.push_str(&format!("dev-{number}-token,dev-{number},dev-{number},\"developers\"\n"));
    }
    text
}

fn person(
    folder: &Path,
    programs: &Programs,
    server: &str,
    name: &str,
    token: &str,
    runtime: Handle,
) -> Person {
    let kubectl = Kubectl {
        program: programs.path("kubectl").to_owned(),
        kubeconfig: write_kubeconfig(folder, server, name, token),
        home: folder.join("home"),
    };
    let api = Api::new(server, &folder.join("apiserver/apiserver.crt"), token, runtime);
    Person { name: name.to_owned(), api, kubectl }
}

fn write_kubeconfig(folder: &Path, server: &str, name: &str, token: &str) -> PathBuf {
    let authority = folder.join("apiserver/apiserver.crt");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "e2e",
        "clusters": [{"name": "e2e", "cluster": {"server": server, "certificate-authority": authority}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": name}}],
    });
    let path = folder.join(format!("{}.kubeconfig", name.replace(':', "-")));
    fs::write(&path, config.to_string()).unwrap();
    path
}

fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs.iter().map(|(flag, value)| format!("--{flag}={value}")).collect()
}

fn etcd_arguments(folder: &Path, clients: &str) -> Vec<String> {
    let peers = format!("http://127.0.0.1:{}", free_port());
    let mut arguments = flags(&[
        ("data-dir", folder.join("etcd").to_str().unwrap()),
        ("listen-client-urls", clients),
        ("advertise-client-urls", clients),
        ("listen-peer-urls", &peers),
        ("initial-advertise-peer-urls", &peers),
        ("initial-cluster", &format!("default={peers}")),
    ]);
    // Nothing of this outlives the run.
    arguments.push("--unsafe-no-fsync".to_owned());
    arguments
}

fn apiserver_arguments(folder: &Path, etcd: &str, server: &str, minor: u32) -> Vec<String> {
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (address, port) = server.strip_prefix("https://").and_then(|server| server.split_once(':')).unwrap();
    let mut arguments = flags(&[
        ("etcd-servers", etcd),
        ("bind-address", address),
        ("advertise-address", address),
        ("secure-port", port),
        ("cert-dir", &file("apiserver")),
        ("service-account-key-file", &file("service-accounts.key")),
        ("service-account-signing-key-file", &file("service-accounts.key")),
        ("service-account-issuer", "https://kubernetes.default.svc"),
        ("token-auth-file", &file("tokens.csv")),
        // Nodes of KWOK have no kubelets that need rights of their own.
        ("authorization-mode", if address == LOOPBACK { "RBAC" } else { "Node,RBAC" }),
        // The names of nodes are in no DNS.
        ("kubelet-preferred-address-types", "InternalIP"),
        ("service-cluster-ip-range", "10.0.0.0/24"),
        ("allow-privileged", "true"),
        ("audit-log-path", &file("log/audit.log")),
        ("audit-policy-file", &file("audit-policy.yaml")),
        // Without it an API server that stops waits a minute for its watches to end.
        ("shutdown-watch-termination-grace-period", "1s"),
    ]);
    // What comes with 1.36 is there before, behind a gate.
    let api = match minor {
        36.. => None,
        34.. => Some("v1beta1"),
        _ => Some("v1alpha1"),
    };
    if let Some(api) = api {
        arguments.push(format!("--runtime-config=admissionregistration.k8s.io/{api}=true"));
        arguments.push("--feature-gates=MutatingAdmissionPolicy=true".to_owned());
    }
    arguments
}

fn controller_arguments(address: &str, folder: &Path, program: &str, kubeconfig: &Path) -> Vec<String> {
    let kubeconfig = kubeconfig.to_str().unwrap();
    let mut arguments = flags(&[
        ("kubeconfig", kubeconfig),
        ("authentication-kubeconfig", kubeconfig),
        ("authorization-kubeconfig", kubeconfig),
        ("authentication-skip-lookup", "true"),
        ("leader-elect", "false"),
        ("bind-address", "127.0.0.1"),
        ("secure-port", &free_port().to_string()),
        ("cert-dir", folder.join(program).to_str().unwrap()),
    ]);
    if program == "kube-controller-manager" {
        let key = folder.join("service-accounts.key");
        arguments.extend(flags(&[
            ("service-account-private-key-file", key.to_str().unwrap()),
            ("use-service-account-credentials", "true"),
            // Twenty a second would be a minute and a half for the ServiceAccounts of 2,000 namespaces.
            ("kube-api-qps", "1000"),
            ("kube-api-burst", "1000"),
        ]));
        if address != LOOPBACK {
            // For containers, which have to know the API server.
            let authority = folder.join("apiserver/apiserver.crt");
            arguments.extend(flags(&[("root-ca-file", authority.to_str().unwrap())]));
        }
    }
    arguments
}

fn kwok_arguments(programs: &Programs, kubeconfig: &Path) -> Vec<String> {
    let mut arguments = flags(&[
        ("kubeconfig", kubeconfig.to_str().unwrap()),
        ("manage-all-nodes", "true"),
        // Without it the nodes are lost after as many seconds.
        ("node-lease-duration-seconds", "40"),
        ("server-address", "127.0.0.1:0"),
    ]);
    let mut stages: Vec<PathBuf> =
        fs::read_dir(programs.path("kwok-stages")).unwrap().map(|entry| entry.unwrap().path()).collect();
    stages.sort();
    arguments.extend(stages.iter().map(|stage| format!("--config={}", stage.display())));
    arguments
}
