//! AWS Secrets Manager as a manager: the contract, and what goes wrong between us and it.
//!
//! Endpoint and credentials are variables of the environment, as in a cluster, so these run in a process of their own: this
//! very program, started again.

use std::env;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitCode};

use refgate::sync::manager::Manager;
use refgate::sync::manager::aws::{Aws, Pace, Settings};
use serde_json::{Value, json};

use crate::harness::faults::Faults;
use crate::harness::moto::{Moto, call};
use crate::harness::process::free_port;
use crate::manager_contract as contract;

mod faults;

/// The argument that makes this program run one test in the environment that it finds.
pub const WITHIN: &str = "--within";
/// Where moto is, for that process.
const MOTO: &str = "REFGATE_TEST_MOTO";
const ENDPOINT: &str = "AWS_ENDPOINT_URL";

pub fn keeps_the_contract(folder: &Path) {
    within(folder, "contract");
}

pub fn survives_faults(folder: &Path) {
    within(folder, "faults");
}

fn within(folder: &Path, name: &str) {
    let folder = folder.join("manager").join(name);
    let moto = Moto::start(&folder);
    let endpoint = format!("http://127.0.0.1:{}", free_port());
    let output = Command::new(env::current_exe().unwrap())
        .args([WITHIN, name])
        // Nothing of whoever runs the tests: no profile, no role, no proxy.
        .env_clear()
        .env("HOME", &folder)
        .env(ENDPOINT, endpoint)
        .env(MOTO, moto.address.to_string())
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What the process of its own does.
pub fn run_within(name: &str) -> ExitCode {
    let moto = env::var(MOTO).unwrap().parse().unwrap();
    let endpoint = env::var(ENDPOINT).unwrap();
    let faults = Faults::start(endpoint.strip_prefix("http://").unwrap().parse().unwrap(), moto);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bed = Bed { manager: runtime.block_on(connect(&Settings::default())), moto };
    match name {
        "contract" => runtime.block_on(contract::all(&bed)),
        "faults" => runtime.block_on(faults::all(&bed, &faults)),
        other => panic!("no test {other}"),
    }
    ExitCode::SUCCESS
}

/// Quicker than what ships, as nothing here is far away.
async fn connect(settings: &Settings) -> Manager {
    use std::time::Duration;
    let pace = Pace {
        tries: 3,
        first: Duration::from_millis(5),
        longest: Duration::from_millis(20),
        answer: Duration::from_secs(2),
        whole: Duration::from_secs(20),
    };
    Manager::Aws(Aws::connect(settings, &pace).await.unwrap())
}

/// Moto behind our manager.
pub struct Bed {
    manager: Manager,
    moto: SocketAddr,
}

impl contract::Bed for Bed {
    fn manager(&self) -> &Manager {
        &self.manager
    }

    fn seed(&self, secrets: &[contract::Seed]) {
        for contract::Seed { path, value, deleted, tags } in secrets {
            let tags: Vec<Value> =
                tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
            let mut body = json!({"Name": path, "Tags": tags, "ClientRequestToken": token()});
            match value {
                contract::Held::Text(text) => body["SecretString"] = text.as_str().into(),
                contract::Held::Binary(bytes) => body["SecretBinary"] = base64(bytes).into(),
                contract::Held::Nothing => {}
            }
            call(self.moto, "CreateSecret", &body);
            if *deleted {
                call(self.moto, "DeleteSecret", &json!({"SecretId": path}));
            }
        }
    }

    fn rotate_half(&self, path: &str, value: &str) {
        let body = json!({
            "SecretId": path, "SecretString": value, "VersionStages": ["AWSPENDING"], "ClientRequestToken": token(),
        });
        call(self.moto, "PutSecretValue", &body);
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// As long as a version's name must be, and never the same.
fn token() -> String {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{:032}", NEXT.fetch_add(1, Ordering::Relaxed))
}
