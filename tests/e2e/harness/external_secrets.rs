//! The controller of External Secrets Operator beside the control plane, with AWS played by moto, and a proxy between them that
//! sees what it asks for.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::faults::{Faults, Request};
use super::moto::Moto;
use super::process::{Process, free_port};
use super::world::World;

pub struct Operator {
    pub moto: Moto,
    seen: Faults,
    process: Process,
}

impl Operator {
    /// Installs its CRDs, v1beta1 served beside v1, and starts it.
    pub fn start(world: &World) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/external-secrets/build.sh");
        let output = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "there is no External Secrets Operator: {}", output.status);
        let text = String::from_utf8(output.stdout).unwrap();
        let path = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            PathBuf::from(line.unwrap_or_else(|| panic!("no {name} in {text}")))
        };
        install_crds(world, &path("crds"));
        let folder = world.plane.folder.join("external-secrets");
        let moto = Moto::start(&folder);
        let proxy = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let seen = Faults::start(proxy, moto.address);
        let kubeconfig = world.plane.admin.kubectl.kubeconfig.display();
        let program = path("external-secrets").display().to_string();
        let arguments = [
            "-i".to_owned(),
            format!("HOME={}", folder.display()),
            format!("KUBECONFIG={kubeconfig}"),
            format!("AWS_SECRETSMANAGER_ENDPOINT=http://{proxy}"),
            "AWS_ACCESS_KEY_ID=test".to_owned(),
            "AWS_SECRET_ACCESS_KEY=test".to_owned(),
            "AWS_EC2_METADATA_DISABLED=true".to_owned(),
            program,
            format!("--metrics-addr=127.0.0.1:{}", free_port()),
            format!("--live-addr=127.0.0.1:{}", free_port()),
        ];
        let log = folder.join("log/external-secrets.log");
        let process = Process::start("external-secrets", Path::new("/usr/bin/env"), &arguments, &log);
        Self { moto, seen, process }
    }

    /// What it asked AWS for so far.
    pub fn asked(&mut self) -> Vec<Request> {
        self.process.assert_running();
        self.seen.seen()
    }
}

fn install_crds(world: &World, bundle: &Path) {
    let kubectl = &world.plane.admin.kubectl;
    kubectl.run(&["apply", "--server-side", "-f", bundle.to_str().unwrap()]).ok();
    for name in ["externalsecrets", "secretstores", "clustersecretstores"] {
        let name = format!("{name}.external-secrets.io");
        let patch = r#"[{"op":"replace","path":"/spec/versions/1/served","value":true}]"#;
        kubectl.run(&["patch", "crd", &name, "--type=json", "-p", patch]).ok();
    }
    kubectl.run(&["wait", "--for=condition=Established", "--all", "crd", "--timeout=60s"]).ok();
}
