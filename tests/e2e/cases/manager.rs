//! AWS Secrets Manager as a manager: the contract, and what goes wrong between us and it.
//!
//! Endpoint and credentials are variables of the environment, as in a cluster, so these run in a process of their own: this
//! very program, started again.

use std::env;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use refgate::sync::manager::Manager;
use refgate::sync::manager::aws::{Aws, Pace, Settings};
use serde_json::{Value, json};

use super::faults;
use crate::harness::faults::{Fault, Faults};
use crate::harness::moto::{Moto, call, environment};
use crate::harness::process::free_port;
use crate::manager_contract as contract;

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
    let endpoint = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut command = Command::new(env::current_exe().unwrap());
    command.env_clear().envs(environment(&folder, endpoint));
    let output = command.args([WITHIN, name]).env(MOTO, moto.address.to_string()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// `refgate put`, with the environment of a person who has credentials.
pub fn takes_what_people_put(folder: &Path) {
    let folder = folder.join("manager").join("put");
    let moto = Moto::start(&folder);
    let proxy = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let faults = Faults::start(proxy, moto.address);
    let path = "people/web/stage/session_key";
    let put = |value: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_refgate"));
        command.env_clear().envs(environment(&folder, proxy));
        command.args(["put", path]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!said.contains(value), "{said}");
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), said)
    };
    for value in ["first-PLANTED", "second-PLANTED"] {
        let (code, out, said) = put(value);
        assert_eq!(code, Some(0), "{said}");
        let current = call(moto.address, "GetSecretValue", &json!({"SecretId": path}));
        assert_eq!(current["SecretString"], value);
        assert_eq!(out, format!("{path} {}\n", current["VersionId"].as_str().unwrap()));
    }
    faults.meet(|_| Fault::Answer(400, json!({"__type": "AccessDeniedException", "Message": "PLANTED"})));
    let (code, out, said) = put("third-PLANTED");
    assert_eq!((code, &*out), (Some(2), ""), "{said}");
    assert!(said.contains(&format!("secretsmanager:PutSecretValue on {path}")), "{said}");
    assert!(said.contains("`refgate iam people/web/stage --writer`") && !said.contains("PLANTED"), "{said}");
    let current = call(moto.address, "GetSecretValue", &json!({"SecretId": path}));
    assert_eq!(current["SecretString"], "second-PLANTED");
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

/// Waits less than what ships between two tries, as nothing here is far away.
pub async fn connect(settings: &Settings) -> Manager {
    connect_for(settings, Duration::from_secs(10)).await
}

/// The same, with so much patience for one answer.
pub async fn connect_for(settings: &Settings, answer: Duration) -> Manager {
    let (first, longest) = (Duration::from_millis(5), Duration::from_millis(20));
    let pace = Pace { tries: 3, first, longest, answer, whole: Duration::from_secs(60) };
    Manager::Aws(Aws::connect(settings, &pace).await.unwrap())
}

/// Moto behind our manager.
pub struct Bed {
    manager: Manager,
    pub moto: SocketAddr,
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
                contract::Held::Binary(bytes) => body["SecretBinary"] = STANDARD.encode(bytes).into(),
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

/// As long as a version's name must be, and never the same.
fn token() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{:032}", NEXT.fetch_add(1, Ordering::Relaxed))
}
