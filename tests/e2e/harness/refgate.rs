//! RefGate beside the control plane: the built binary, with the files that an installation has.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::plane::Plane;
use super::process::{Process, free_port};
use super::service::{Backend, get, metrics};
use super::wait::until;

/// What every replica is started with.
pub struct Files {
    /// `ca.crt`, `tls.crt` and `tls.key`.
    pub certificates: PathBuf,
    pub configuration: PathBuf,
    pub kubeconfig: PathBuf,
    pub token: PathBuf,
}

pub struct Replica {
    pub process: Process,
    pub backend: Backend,
    pub metrics: SocketAddr,
    pub log: PathBuf,
}

impl Files {
    pub fn make(plane: &Plane) -> Self {
        let files = Self {
            certificates: plane.folder.join("certs"),
            configuration: plane.folder.join("config.yaml"),
            kubeconfig: plane.folder.join("refgate.kubeconfig"),
            token: plane.folder.join("refgate.token"),
        };
        make_certificates(&files.certificates);
        fs::write(&files.configuration, shipped_configuration()).unwrap();
        let authority = plane.folder.join("apiserver/apiserver.crt");
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "e2e",
            "clusters": [{"name": "e2e", "cluster": {"server": plane.server, "certificate-authority": authority}}],
            "users": [{"name": "refgate", "user": {"tokenFile": files.token}}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "refgate"}}],
        });
        fs::write(&files.kubeconfig, kubeconfig.to_string()).unwrap();
        files
    }

    /// A token of the ServiceAccount, as the kubelet would put one beside it.
    pub fn renew_token(&self, plane: &Plane) {
        self.put_token(&account_token(plane, "refgate"));
    }

    /// A token that is good until its [`Bond`] is gone: a moment that a test chooses, unlike that of an expiry.
    pub fn put_bound_token(&self, plane: &Plane) -> Bond {
        let api = &plane.admin.api;
        let secret = json!({"metadata": {"generateName": "e2e-bond-"}});
        let secret = api.post("/api/v1/namespaces/refgate-system/secrets", &secret).ok();
        let bond = secret["metadata"]["name"].as_str().unwrap();
        let object =
            json!({"apiVersion": "v1", "kind": "Secret", "name": bond, "uid": secret["metadata"]["uid"]});
        let spec = json!({"expirationSeconds": 7200, "boundObjectRef": object});
        self.put_token(&request_token(plane, "refgate", &spec));
        Bond { path: format!("/api/v1/namespaces/refgate-system/secrets/{bond}") }
    }

    fn put_token(&self, token: &str) {
        let new = self.token.with_extension("new");
        fs::write(&new, token).unwrap();
        fs::rename(&new, &self.token).unwrap();
    }
}

/// What a token is bound to.
pub struct Bond {
    path: String,
}

impl Bond {
    /// From the next start of the API server on, which may remember for ten seconds, the token is refused.
    pub fn cut(self, plane: &Plane) {
        plane.admin.api.delete(&self.path).ok();
    }
}

/// A token of a ServiceAccount in RefGate's namespace.
pub fn account_token(plane: &Plane, account: &str) -> String {
    request_token(plane, account, &json!({"expirationSeconds": 7200}))
}

fn request_token(plane: &Plane, account: &str, spec: &Value) -> String {
    let path = format!("/api/v1/namespaces/refgate-system/serviceaccounts/{account}/token");
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    plane.admin.api.post(&path, &request).ok()["status"]["token"].as_str().unwrap().to_owned()
}

/// By the script that ships, with a CA that is made once for a folder.
pub fn make_certificates(folder: &Path) {
    let script = repository().join("certs/dev.sh");
    let output = Command::new(script).arg("--dir").arg(folder).output().unwrap();
    assert!(output.status.success(), "certs/dev.sh: {}", String::from_utf8_lossy(&output.stderr));
}

/// What the built binary prints; fails the test when it fails.
pub fn run_refgate(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_refgate")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Another certificate of the same CA in the same files.
pub fn renew_certificate(folder: &Path) {
    fs::remove_file(folder.join("tls.crt")).unwrap();
    make_certificates(folder);
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `config.yaml` of the ConfigMap that ships.
fn shipped_configuration() -> String {
    let text = fs::read_to_string(repository().join("manifests/base/30-config.yaml")).unwrap();
    let map = refgate::yaml::documents(&text).next().unwrap().unwrap().value;
    map["data"]["config.yaml"].as_str().unwrap().to_owned()
}

impl Replica {
    /// Starts one. Not ready yet.
    pub fn start(plane: &Plane, files: &Files) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(1);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("refgate-{number}");
        let log = plane.folder.join(format!("log/{name}.log"));
        let (backend, metrics) = (Backend { https: loopback(), health: loopback() }, loopback());
        let file = |name: &str| files.certificates.join(name).to_str().unwrap().to_owned();
        let arguments = [
            "serve".to_owned(),
            format!("--config={}", files.configuration.display()),
            format!("--kubeconfig={}", files.kubeconfig.display()),
            format!("--tls-cert={}", file("tls.crt")),
            format!("--tls-key={}", file("tls.key")),
            format!("--listen={}", backend.https),
            format!("--health-listen={}", backend.health),
            format!("--metrics-listen={metrics}"),
            // The Service here forgets a replica sooner than kube-proxy does.
            "--grace=1s".to_owned(),
        ];
        let binary = Path::new(env!("CARGO_BIN_EXE_refgate"));
        let process = Process::start(&name, binary, &arguments, &log);
        Self { process, backend, metrics, log }
    }

    pub fn wait_ready(&mut self, runtime: &Handle) {
        until("RefGate is ready", || {
            self.process.assert_running();
            matches!(self.get(runtime, "/readyz"), Some((200, _))).then_some(())
        });
    }

    pub fn get(&self, runtime: &Handle, path: &str) -> Option<(u16, String)> {
        let address = if path == "/metrics" { self.metrics } else { self.backend.health };
        runtime.block_on(get(address, path))
    }

    /// Its metrics: each line's name with labels, and its value.
    pub fn metrics(&self, runtime: &Handle) -> BTreeMap<String, f64> {
        runtime.block_on(metrics(self.metrics))
    }

    /// Its log lines that say what came of a review.
    pub fn reviews(&self) -> Vec<Value> {
        reviews_in(&self.log)
    }

    /// Whether a line of its log holds all of these texts.
    pub fn has_logged(&self, texts: &[&str]) -> bool {
        let log = fs::read_to_string(&self.log).unwrap();
        log.lines().any(|line| texts.iter().all(|text| line.contains(text)))
    }

    /// The certificate that a client is shown, PEM.
    pub fn shown_certificate(&self, files: &Files) -> String {
        let mut command = Command::new("openssl");
        command.args([
            "s_client",
            "-connect",
            &self.backend.https.to_string(),
            "-verify_return_error",
            "-CAfile",
        ]);
        let output = command.arg(files.certificates.join("ca.crt")).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let start = text.find("-----BEGIN CERTIFICATE-----").unwrap();
        let end = "-----END CERTIFICATE-----\n";
        text[start..text.find(end).unwrap() + end.len()].to_owned()
    }
}

/// The reviews in the log of a replica, which may have ended.
pub fn reviews_in(log: &Path) -> Vec<Value> {
    let text = fs::read_to_string(log).unwrap();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line.get("uid").is_some()).collect()
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}
