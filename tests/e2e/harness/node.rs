//! A real node: containerd, a kubelet and kube-proxy beside the control plane, inside a space of their own.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::node_image::{PAUSE, build_all};
use super::node_space::{ADDRESS, run};
use super::plane::{NODE, Plane};
use super::process::Process;
use super::wait::until;

const SOCKET: &str = "/run/containerd/containerd.sock";

pub struct Node {
    processes: Mutex<Vec<Process>>,
}

impl Node {
    /// Starts it in a space that is furnished, with the control group of the run; Ready when it returns.
    pub fn start(plane: &Plane, cgroup: &str) -> Self {
        let folder = plane.folder.join("node");
        fs::create_dir_all(&folder).unwrap();
        let node = Self { processes: Mutex::new(Vec::new()) };
        node.start_containerd(plane, &folder);
        for archive in build_all(&folder) {
            ctr(&["images", "import", "--no-unpack=false", archive.to_str().unwrap()]);
        }
        node.start_kubelet(plane, &folder, cgroup);
        node.start_proxy(plane);
        until("the node is ready", || {
            node.assert_running();
            let object = plane.admin.api.get(&format!("/api/v1/nodes/{NODE}"));
            (object.is_ok() && is_ready(&object.body)).then_some(())
        });
        node
    }

    /// Fails when a part of it has died.
    pub fn assert_running(&self) {
        for process in self.processes.lock().unwrap().iter_mut() {
            process.assert_running();
        }
    }

    fn run(&self, plane: &Plane, name: &str, program: &Path, arguments: &[String]) {
        let log = plane.folder.join(format!("log/{name}.log"));
        self.processes.lock().unwrap().push(Process::start(name, program, arguments, &log));
    }

    fn start_containerd(&self, plane: &Plane, folder: &Path) {
        let networks = folder.join("cni");
        fs::create_dir_all(&networks).unwrap();
        let network = json!({
            "cniVersion": "0.4.0", "name": "refgate", "plugins": [
                {
                    "type": "bridge", "bridge": "refgate0", "isGateway": true,
                    "ipam": {
                        "type": "host-local", "routes": [{"dst": "0.0.0.0/0", "gw": ADDRESS}],
                        "ranges": [[{"subnet": "10.244.7.0/24", "rangeStart": "10.244.7.10", "gateway": ADDRESS}]],
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": true}},
            ],
        });
        fs::write(networks.join("10-refgate.conflist"), network.to_string()).unwrap();
        // Without the right to lower OOM scores, as inside a container, runc fails for every pod.
        let config = format!(
            "version = 2\n\
             disabled_plugins = [\"io.containerd.internal.v1.opt\"]\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\n\
             sandbox_image = \"{PAUSE}\"\n\
             restrict_oom_score_adj = true\n\
             [plugins.\"io.containerd.grpc.v1.cri\".cni]\n\
             bin_dir = \"/usr/lib/cni\"\n\
             conf_dir = \"{}\"\n",
            networks.display()
        );
        let file = folder.join("containerd.toml");
        fs::write(&file, config).unwrap();
        let program = run("sh", &["-c", "command -v containerd"]);
        let arguments = [format!("--config={}", file.display())];
        self.run(plane, "containerd", Path::new(program.trim()), &arguments);
        until("containerd answers", || {
            self.assert_running();
            Path::new(SOCKET).exists().then_some(())
        });
        ctr(&["version"]);
    }

    fn start_kubelet(&self, plane: &Plane, folder: &Path, cgroup: &str) {
        // There is no DNS inside, and pods do not get that of the machine.
        fs::write(folder.join("resolv.conf"), "").unwrap();
        let config = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
            "cgroupDriver": "cgroupfs", "cgroupRoot": format!("/{cgroup}"), "failCgroupV1": false, "failSwapOn": false,
            "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
            "authorization": {"mode": "AlwaysAllow"},
            "clusterDNS": ["10.0.0.10"], "clusterDomain": "cluster.local", "resolvConf": folder.join("resolv.conf"),
            "volumePluginDir": folder.join("volume-plugins"),
            // A full disk of the machine must not evict pods.
            "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
            "imageGCHighThresholdPercent": 100,
        });
        let file = folder.join("kubelet.yaml");
        fs::write(&file, config.to_string()).unwrap();
        let kubeconfig = plane.kubeconfig("kubelet", "kubelet-token");
        let arguments = [
            format!("--config={}", file.display()),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--hostname-override={NODE}"),
            format!("--node-ip={ADDRESS}"),
        ];
        self.run(plane, "kubelet", plane.programs.path("kubelet"), &arguments);
    }

    fn start_proxy(&self, plane: &Plane) {
        let kubeconfig = plane.kubeconfig("kube-proxy", "kube-proxy-token");
        let arguments = [
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--hostname-override={NODE}"),
            "--proxy-mode=iptables".to_owned(),
            // These belong to the machine.
            "--conntrack-max-per-core=0".to_owned(),
            "--conntrack-tcp-timeout-established=0s".to_owned(),
            "--conntrack-tcp-timeout-close-wait=0s".to_owned(),
        ];
        self.run(plane, "kube-proxy", plane.programs.path("kube-proxy"), &arguments);
    }
}

fn ctr(arguments: &[&str]) -> String {
    run("ctr", &[&["--address", SOCKET, "--namespace", "k8s.io"], arguments].concat())
}

/// Its condition says so, and no taint keeps pods away.
fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    let ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    conditions.is_some_and(|all| all.iter().any(ready)) && node["spec"].get("taints").is_none()
}
