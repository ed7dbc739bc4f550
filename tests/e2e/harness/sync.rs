//! The sync beside the control plane, with secrets in a file or in AWS Secrets Manager as moto has it.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::moto;
use super::process::{Process, free_port};
use super::refgate::account_token;
use super::service::{get, metrics};
use super::wait::{until, until_within};
use super::world::World;

/// Who the sync is to the API server.
pub const ACCOUNT: &str = "system:serviceaccount:refgate-system:refgate-sync";

/// Where the values of a test are, and the settings of its syncs.
pub struct Source<'w> {
    world: &'w World,
    folder: PathBuf,
    /// Where AWS is; `None` where secrets are in a file.
    aws: Option<SocketAddr>,
}

/// A running `refgate sync`.
pub struct Sync<'w> {
    world: &'w World,
    pub process: Process,
    health: SocketAddr,
    metrics: SocketAddr,
}

/// What a command came to.
pub struct Once {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl<'w> Source<'w> {
    /// A file, with `settings` beside it in the section `sync`.
    pub fn new(world: &'w World, name: &str, settings: &Value) -> Self {
        Self::made(world, name, None, settings)
    }

    /// AWS at this address, which is [`moto::Moto`]'s or that of a proxy before it; values are put there by [`moto::call`].
    pub fn aws(world: &'w World, name: &str, address: SocketAddr, settings: &Value) -> Self {
        Self::made(world, name, Some(address), settings)
    }

    fn made(world: &'w World, name: &str, aws: Option<SocketAddr>, settings: &Value) -> Self {
        let source = Self { world, folder: world.plane.folder.join(format!("sync-{name}")), aws };
        fs::create_dir_all(&source.folder).unwrap();
        source.configure(settings, &json!([]));
        let authority = world.plane.folder.join("apiserver/apiserver.crt");
        let token = account_token(&world.plane, "refgate-sync");
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "e2e",
            "clusters": [{"name": "e2e", "cluster": {"server": world.plane.server, "certificate-authority": authority}}],
            "users": [{"name": "sync", "user": {"token": token}}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "sync"}}],
        });
        fs::write(source.file("kubeconfig"), kubeconfig.to_string()).unwrap();
        source.write(&json!({}));
        source
    }

    /// What the configuration says from now on: settings of the section `sync`, and further kinds.
    pub fn configure(&self, settings: &Value, templates: &Value) {
        let mut sync = match self.aws {
            Some(_) => json!({"manager": "aws", "refresh": "1s"}),
            None => json!({"manager": "file", "file": self.file("secrets.json"), "refresh": "1s"}),
        };
        sync.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let config = json!({"sync": sync, "templates": templates});
        fs::write(self.file("config.new"), config.to_string()).unwrap();
        fs::rename(self.file("config.new"), self.file("config.yaml")).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What the file holds from now on; whoever reads it sees all of the old or all of the new.
    pub fn write(&self, secrets: &Value) {
        fs::write(self.file("new"), secrets.to_string()).unwrap();
        fs::rename(self.file("new"), self.file("secrets.json")).unwrap();
    }

    /// The file is there, or it cannot be read.
    pub fn set_away(&self, away: bool) {
        let (from, to) = if away { ("secrets.json", "gone") } else { ("gone", "secrets.json") };
        fs::rename(self.file(from), self.file(to)).unwrap();
    }

    fn arguments(&self) -> Vec<String> {
        let file = |flag: &str, name: &str| format!("--{flag}={}", self.file(name).display());
        vec![file("config", "config.yaml"), file("kubeconfig", "kubeconfig")]
    }

    fn environment(&self) -> Option<Vec<(&'static str, String)>> {
        self.aws.map(|address| moto::environment(&self.folder, address))
    }

    /// Starts one, and waits until it has read the cluster.
    pub fn start(&self) -> Sync<'w> {
        static COUNT: AtomicUsize = AtomicUsize::new(1);
        let name = format!("refgate-sync-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let log = self.world.plane.folder.join(format!("log/{name}.log"));
        let [health, metrics] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let mut arguments = vec![
            "sync".to_owned(),
            format!("--health-listen={health}"),
            format!("--metrics-listen={metrics}"),
        ];
        arguments.extend(self.arguments());
        let binary = Path::new(env!("CARGO_BIN_EXE_refgate"));
        let process = match self.environment() {
            Some(environment) => Process::start_in(&environment, &name, binary, &arguments, &log),
            None => Process::start(&name, binary, &arguments, &log),
        };
        let mut sync = Sync { world: self.world, process, health, metrics };
        until("the sync is ready", || {
            sync.process.assert_running();
            let answer = sync.world.plane.runtime().block_on(get(sync.health, "/readyz"));
            matches!(answer, Some((200, _))).then_some(())
        });
        sync
    }

    /// `refgate sync once`.
    pub fn once(&self, flags: &[&str]) -> Once {
        let mut command = Command::new(env!("CARGO_BIN_EXE_refgate"));
        if let Some(environment) = self.environment() {
            command.env_clear().envs(environment);
        }
        let output = command.args(["sync", "once"]).args(self.arguments()).args(flags).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Once { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Drop for Sync<'_> {
    /// As a rolling update ends it, so that the next one need not wait for the end of a lease.
    fn drop(&mut self) {
        if self.process.ended().is_none() && !std::thread::panicking() {
            self.process.stop();
        }
    }
}

impl Sync<'_> {
    /// Ends it without a word.
    pub fn kill(&mut self) {
        self.process.signal("KILL");
        until("the sync is gone", || self.process.ended());
    }

    /// Its metrics: each line's name with labels, and its value.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        self.world.plane.runtime().block_on(metrics(self.metrics))
    }

    /// Waits until the manager was listed so many times more.
    pub fn wait_lists(&self, more: f64) {
        self.wait_lists_within(more, Duration::from_secs(90));
    }

    /// The same with a deadline of its own.
    pub fn wait_lists_within(&self, more: f64, deadline: Duration) {
        let lists = || {
            let metrics = self.metrics().into_iter();
            metrics.filter(|(key, _)| key.contains("call=\"list\"")).map(|(_, count)| count).sum::<f64>()
        };
        let before = lists();
        until_within("the sync reads the secret manager", deadline, || {
            (lists() >= before + more).then_some(())
        });
    }
}

/// Writes of the sync that are in the audit log so far.
pub fn writes(world: &World) -> usize {
    let is_write = |event: &Value| {
        event["user"]["username"] == ACCOUNT
            && matches!(event["verb"].as_str(), Some("create" | "update" | "patch" | "delete"))
            && event["objectRef"]["resource"] != "leases"
            // Kubernetes' own answer to a token request of the setup, and what only asks about rights.
            && event["objectRef"]["apiGroup"] != "authorization.k8s.io"
    };
    world.plane.audit_log().iter().filter(|event| is_write(event)).count()
}

/// An entry of the file.
pub fn secret(value: &str, version: &str) -> Value {
    json!({"value": value, "version": version, "created": "2026-11-01T00:00:00Z"})
}

/// A file of them.
pub fn secrets(entries: &[(&str, &str, &str)]) -> Value {
    let entries = entries.iter().map(|(path, value, version)| ((*path).to_owned(), secret(value, version)));
    Value::Object(entries.collect::<Map<_, _>>())
}
