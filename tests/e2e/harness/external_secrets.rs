//! The controller of External Secrets Operator beside the control plane, with AWS played by moto, and a proxy between them that
//! sees what it asks for.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::crds;
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
        crds::install(&world.plane, &crds());
        let folder = world.plane.folder.join("external-secrets");
        let moto = Moto::start(&folder);
        let proxy = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let seen = Faults::start(proxy, moto.address);
        let kubeconfig = world.plane.admin.kubectl.kubeconfig.display();
        let program = built("external-secrets").display().to_string();
        let arguments = [
            "-i".to_owned(),
            format!("HOME={}", folder.display()),
            format!("KUBECONFIG={kubeconfig}"),
            format!("AWS_SECRETSMANAGER_ENDPOINT=http://{proxy}"),
            format!("AWS_SSM_ENDPOINT=http://{proxy}"),
            "AWS_ACCESS_KEY_ID=test".to_owned(),
            "AWS_SECRET_ACCESS_KEY=test".to_owned(),
            "AWS_EC2_METADATA_DISABLED=true".to_owned(),
            program,
            format!("--metrics-addr=127.0.0.1:{}", free_port()),
            format!("--live-addr=127.0.0.1:{}", free_port()),
            // Its usual 50 requests a second to the API server would be what the tests wait for.
            "--client-qps=500".to_owned(),
            "--client-burst=500".to_owned(),
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

    /// The same with the answers.
    pub fn answered(&mut self) -> Vec<(Request, Vec<u8>)> {
        self.process.assert_running();
        self.seen.passed()
    }
}

/// Where a part of it is that was built.
fn built(name: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/external-secrets/build.sh");
    let output = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "there is no External Secrets Operator: {}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    PathBuf::from(line.unwrap_or_else(|| panic!("no {name} in {text}")))
}

/// Its CRDs, v1beta1 served beside v1, as they were for a while.
pub fn crds() -> Vec<Value> {
    let mut crds = crds::read(&built("crds"));
    for version in crds.iter_mut().flat_map(|crd| crd["spec"]["versions"].as_array_mut().unwrap()) {
        version["served"] = true.into();
    }
    crds
}
