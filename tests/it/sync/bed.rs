//! The sync before the API server of this folder, with secrets in a file: replicas whose passes a test calls, in the time
//! of the runtime, which stands still but for what is waited for.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use refgate::cluster::Pace;
use refgate::config::{self, Config};
use refgate::policy::path::secret_name;
use refgate::policy::workload::{KINDS, Kind};
use refgate::sync::apply::{Mode, Writer};
use refgate::sync::lease::{Elector, Leader, Timing};
use refgate::sync::managers::Managers;
use refgate::sync::pass::{Engine, Parts};
use refgate::sync::state::{self, Cluster};
use refgate::telemetry::sync::SyncMetrics;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::objects::{CONFIG_MAPS, EVENTS, NAMESPACES, PODS, SECRETS};
use super::server::{Call, Server};

pub const OWN: &str = "refgate-system";
/// Two bound namespaces, `web` and `other`, and their scopes.
pub const WEB: &str = "g/web/stage";
pub const OTHER: &str = "g/other/stage";

pub struct Bed {
    pub server: Server,
    file: PathBuf,
    config: Config,
    /// What makes pods, as far as replicas of this test look at it.
    pub kinds: Vec<Kind>,
    secrets: Mutex<BTreeMap<String, Value>>,
}

/// A replica of the sync.
pub struct Replica {
    pub engine: Engine,
    pub cluster: Arc<Cluster>,
    pub metrics: Arc<SyncMetrics>,
    /// Renews the lease before each pass, where the test does not let it try by itself.
    elector: Option<Elector>,
    _tasks: JoinSet<()>,
}

impl Bed {
    /// `settings` as they stand in the section `sync`, behind the manager.
    pub fn new(test: &str, settings: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("sync").join(test);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("secrets.json");
        let text = format!("sync: {{manager: file, file: '{}'{settings}}}", file.display());
        let config = config::parse(&text).unwrap();
        let kinds = vec![KINDS[0].clone(), KINDS[2].clone()];
        let bed = Self { server: Server::new(), file, config, kinds, secrets: Mutex::default() };
        bed.save();
        bed.bind("web", WEB);
        bed.bind("other", OTHER);
        bed
    }

    pub fn bind(&self, namespace: &str, scope: &str) {
        let parts: Vec<&str> = scope.split('/').collect();
        let labels =
            json!({"refgate.dev/group": parts[0], "refgate.dev/app": parts[1], "refgate.dev/env": parts[2]});
        self.server.put(NAMESPACES, "", namespace, json!({"metadata": {"labels": labels}}));
    }

    /// A pod that refers to secrets of its namespace's scope.
    pub fn refer(&self, namespace: &str, pod: &str, names: &[&str]) {
        let env = |name: &&str| json!({"name": name.to_uppercase(), "value": format!("secret:{name}")});
        let env: Vec<Value> = names.iter().map(env).collect();
        self.server.put(
            PODS,
            namespace,
            pod,
            json!({"metadata": {}, "spec": {"containers": [{"name": "c", "env": env}]}}),
        );
    }

    /// A secret in the manager.
    pub fn hold(&self, path: &str, value: &str, version: &str) {
        let entry = json!({"value": value, "version": version, "created": "2026-11-01T00:00:00Z"});
        self.entry(path, Some(entry));
    }

    /// The whole entry of a secret, or none.
    pub fn entry(&self, path: &str, entry: Option<Value>) {
        match entry {
            Some(entry) => self.secrets.lock().unwrap().insert(path.to_owned(), entry),
            None => self.secrets.lock().unwrap().remove(path),
        };
        self.save();
    }

    fn save(&self) {
        fs::write(&self.file, json!(*self.secrets.lock().unwrap()).to_string()).unwrap();
    }

    /// Where the manager's secrets are.
    pub fn file(&self) -> PathBuf {
        self.file.clone()
    }

    /// The manager is away, or there again.
    pub fn set_away(&self, away: bool) {
        if away { fs::remove_file(&self.file).unwrap() } else { self.save() }
    }

    /// A replica that leads, and goes on leading whatever happens: not what a lease allows, unless it is the only one.
    pub async fn leading(&self, who: &'static str) -> Replica {
        let hour = Duration::from_secs(3600);
        let timing = Timing { lease: hour * 9_000, writing: hour * 9_000, ..Timing::default() };
        let (mut elector, leader) = Elector::new(self.server.client(who), who, who, timing);
        elector.step().await;
        assert!(leader.may_write());
        let mut replica = self.replica(who, Mode::Live(leader)).await;
        replica.elector = Some(elector);
        replica
    }

    /// A replica that leads while it has the lease, for which it tries as it does in a cluster.
    pub async fn electing(&self, who: &'static str) -> (Replica, Leader) {
        let (mut elector, leader) = Elector::new(self.server.client(who), OWN, who, Timing::default());
        let mut replica = self.replica(who, Mode::Live(leader.clone())).await;
        replica._tasks.spawn(async move { elector.run().await });
        (replica, leader)
    }

    /// One that writes, or tells, as it is told.
    pub async fn replica(&self, who: &'static str, mode: Mode) -> Replica {
        let client = || self.server.client(who);
        let mut tasks = JoinSet::new();
        let cluster = Arc::new(Cluster::default());
        tasks.spawn(state::watch_namespaces(Arc::clone(&cluster), client(), Pace::default()));
        for kind in &self.kinds {
            let index = cluster.add_watch(kind);
            let watch =
                state::watch_kind(Arc::clone(&cluster), index, client(), kind.clone(), Pace::default());
            tasks.spawn(watch);
        }
        cluster.wait_complete(Duration::from_secs(60)).await;
        let metrics = Arc::new(SyncMetrics::new());
        let patience = Timing::default().patience;
        let writer = Writer::new(client(), OWN, mode, Arc::clone(&metrics), patience);
        let parts = Parts {
            client: client(),
            managers: Managers::new(&self.config.sync),
            settings: self.config.sync.clone(),
            max_age: self.config.max_age,
            own_namespace: OWN.to_owned(),
            metrics: Arc::clone(&metrics),
        };
        let engine = Engine::new(parts, writer);
        Replica { engine, cluster, metrics, elector: None, _tasks: tasks }
    }

    /// The Secret of a path in a namespace.
    pub fn secret(&self, namespace: &str, path: &str) -> Option<Value> {
        self.server.get(SECRETS, namespace, &secret_name(path))
    }

    /// What the whole of it is, decoded.
    pub fn value(&self, namespace: &str, path: &str) -> Option<String> {
        Some(decoded(&self.secret(namespace, path)?["data"]["value"]))
    }

    /// A key of a namespace's catalogue, read.
    pub fn catalogue(&self, namespace: &str, key: &str) -> Value {
        let map = self.server.get(CONFIG_MAPS, OWN, &format!("catalogue.{namespace}"));
        let map = map.unwrap_or_else(|| panic!("{namespace} has no catalogue"));
        serde_json::from_str(map["data"][key].as_str().unwrap()).unwrap()
    }

    /// The paths that a catalogue says.
    pub fn listed(&self, namespace: &str) -> Vec<String> {
        let list = self.catalogue(namespace, "catalogue");
        list.as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap().to_owned()).collect()
    }

    /// The reasons of the Events of a namespace.
    pub fn told(&self, namespace: &str) -> Vec<String> {
        let events = self.server.all(EVENTS).into_iter();
        let here = events.filter(|event| event["metadata"]["namespace"] == namespace);
        here.map(|event| event["reason"].as_str().unwrap().to_owned()).collect()
    }
}

pub fn decoded(text: &Value) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap();
    String::from_utf8(bytes).unwrap()
}

pub fn encoded(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

impl Replica {
    /// A pass over everything, as each refresh does one.
    pub async fn pass(&mut self) {
        settle().await;
        self.renew().await;
        self.cluster.take_touched();
        // A catalogue that cannot be read is tried again by the loop.
        let _ = self.engine.whole(&self.cluster).await;
    }

    /// A pass over what was touched.
    pub async fn follow(&mut self) {
        settle().await;
        self.renew().await;
        let touched = self.cluster.take_touched();
        self.engine.some(&self.cluster, &touched).await;
    }

    async fn renew(&mut self) {
        if let Some(elector) = &mut self.elector {
            elector.step().await;
        }
    }

    /// One of its metrics.
    #[track_caller]
    pub fn metric(&self, line: &str) -> f64 {
        let text = self.metrics.render();
        let found = text.lines().find_map(|other| other.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or_else(|| panic!("{line} is not in\n{text}"))
    }
}

/// Until nothing runs any more: the clock goes on only then.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Calls that change something, or would: without the leases, and in order.
pub fn writes(calls: &[Call]) -> Vec<&Call> {
    let is_write = |call: &&Call| !matches!(call.verb, "get" | "list") && !call.resource.ends_with("/leases");
    calls.iter().filter(is_write).collect()
}

/// Writes of Secrets that were done, as `verb namespace/name`, sorted.
pub fn done(calls: &[Call]) -> Vec<String> {
    let secrets = writes(calls).into_iter().filter(|call| call.resource == SECRETS && call.done);
    let mut done: Vec<String> =
        secrets.map(|call| format!("{} {}/{}", call.verb, call.namespace, call.name)).collect();
    done.sort();
    done
}
