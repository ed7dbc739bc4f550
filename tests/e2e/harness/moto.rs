//! AWS Secrets Manager as moto has it, on loopback.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::faults::{Request, send};
use super::process::{Process, free_port};
use super::wait::until;

pub struct Moto {
    pub address: SocketAddr,
    // It goes with us.
    _process: Process,
}

impl Moto {
    pub fn start(folder: &Path) -> Self {
        Self::start_at([127, 0, 0, 1].into(), folder)
    }

    /// On an address that pods reach.
    pub fn start_at(host: IpAddr, folder: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/moto/build.sh");
        let output = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "there is no moto: {}", output.status);
        let python = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
        let log = folder.join("log");
        std::fs::create_dir_all(&log).unwrap();
        let port = free_port();
        let arguments =
            ["-m", "moto.server", "-H", &host.to_string(), "-p", &port.to_string()].map(str::to_owned);
        let mut process = Process::start("moto", &python, &arguments, &log.join("moto.log"));
        let address = SocketAddr::new(host, port);
        until("moto answers", || {
            process.assert_running();
            send(address, &Request::get("/moto-api/data.json"))
        });
        Self { address, _process: process }
    }
}

/// What the SDK finds in an environment with nothing of whoever runs the tests: no profile, no role, no proxy, no cluster.
pub fn environment(home: &Path, endpoint: SocketAddr) -> Vec<(&'static str, String)> {
    vec![
        ("HOME", home.display().to_string()),
        ("AWS_ENDPOINT_URL", format!("http://{endpoint}")),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]
}

/// One call of AWS Secrets Manager in `us-east-1`, past everything that is ours.
pub fn call(address: SocketAddr, operation: &str, body: &Value) -> Value {
    call_service(address, "secretsmanager", &format!("secretsmanager.{operation}"), body)
}

/// The same of AWS Parameter Store.
pub fn call_parameters(address: SocketAddr, operation: &str, body: &Value) -> Value {
    call_service(address, "ssm", &format!("AmazonSSM.{operation}"), body)
}

fn call_service(address: SocketAddr, service: &str, target: &str, body: &Value) -> Value {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    );
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {service}.us-east-1.amazonaws.com\r\nContent-Type: application/x-amz-json-1.1\r\n\
         X-Amz-Target: {target}\r\nAuthorization: {authorization}\r\n"
    );
    let request = Request { head, body: serde_json::to_vec(body).unwrap() };
    let answer = send(address, &request).unwrap_or_else(|| panic!("{target}: no answer"));
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{target}: {text}");
    serde_json::from_str(body).unwrap()
}
