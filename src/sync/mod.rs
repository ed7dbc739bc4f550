//! The controller: from a secret manager to the Secrets that pods of the cluster refer to.
//!
//! Values exist in this module and nowhere else; `serve` may not name it. `state` watches what is wanted, `plan` says what to
//! do, `pass` does it through `apply`, as long as `lease` says that this replica is the one.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::{self, ClusterError, Pace, random};
use crate::config::follow::{Follower, Reload};
use crate::config::{self, Config, ConfigError};
use crate::policy::workload::Kind;
use crate::process::{Signals, Tasks};
use crate::telemetry::sync::SyncMetrics;
use crate::telemetry::{self, LogFormat};
use apply::{Mode, Writer};
use lease::{Elector, Leader, Timing};
use managers::Managers;
use pass::{Engine, Parts};
use state::Cluster;

pub mod apply;
pub mod follow;
mod health;
pub mod lease;
pub mod manager;
pub mod managers;
mod once;
pub mod pass;
pub mod plan;
mod read;
pub mod restart;
pub mod rotation;
pub mod runs;
pub mod secret;
pub mod state;
pub mod status;
pub mod unread;
pub mod wanted;

use health::Answers;

pub use once::{Done, once};

/// Between two looks at the pods that a rotation left behind.
const TICK: Duration = Duration::from_secs(1);
/// Between two looks at the configuration file.
const POLL: Duration = Duration::from_secs(10);
/// Changes that come together are looked at together.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a kind of workloads may take that does not let itself be listed.
const PATIENCE: Duration = Duration::from_secs(60);
/// A leader that was told to stop ends what it does within this.
const DRAIN: Duration = Duration::from_secs(20);

/// Everything that `sync` is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// The configuration file.
    pub configuration: Option<PathBuf>,
    /// A kubeconfig; without one, the service account of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// RefGate's own namespace.
    pub own_namespace: String,
    /// Where `/livez` and `/readyz` are, in plain HTTP.
    pub health: SocketAddr,
    /// Where `/metrics` is, in plain HTTP.
    pub metrics: SocketAddr,
}

/// Why the sync did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// A port is taken, or not ours to take.
    #[error("cannot listen on {address}, which {flag} names")]
    Bind {
        /// The flag that chooses it.
        flag: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The configuration file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    ConfigurationFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration is invalid.
    #[error("the configuration {} is invalid", path.display())]
    Configuration {
        /// Which.
        path: PathBuf,
        /// All that is wrong with it.
        source: ConfigError,
    },
    /// Values could end up in a core file.
    #[error("cannot keep values out of core files")]
    CoreFiles(#[source] io::Error),
    /// There is no talking to the cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The cluster could not be read.
    #[error("cannot read the cluster")]
    Read(#[from] cluster::list::ListError),
    /// Namespaces could not be read, for `status`.
    #[error(
        "Namespaces cannot be listed; ClusterRole refgate-scanner has the right to, or name one namespace"
    )]
    Namespaces(#[source] cluster::list::ListError),
    /// A namespace that was asked for.
    #[error("the cluster has no namespace {0}")]
    NoNamespace(String),
    /// One that is none of the sync's.
    #[error("namespace {0} is outside of what RefGate looks after: nothing is synced there")]
    Outside(String),
    /// RefGate's own, for `status`.
    #[error(
        "the cluster has no namespace {0}, where RefGate's catalogue would be; name RefGate's own with --own-namespace"
    )]
    NoOwnNamespace(String),
    /// There is nothing to show.
    #[error(
        "neither the catalogue nor Secrets may be listed; Role refgate-scanner in RefGate's namespace has the right to the catalogue"
    )]
    Blind,
    /// It took too long.
    #[error("{0}")]
    Late(&'static str),
    /// Threads or signals of the operating system.
    #[error("cannot start")]
    System(#[source] io::Error),
    /// A part of the process ended that never should.
    #[error("{0} ended unexpectedly")]
    Died(&'static str),
}

/// Runs the controller to its end: logs, threads and signals included.
pub fn run(options: &Options) -> Result<(), SyncError> {
    telemetry::start(LogFormat::Json);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(SyncError::System)?;
    let result = runtime.block_on(async {
        let mut signals = Signals::new().map_err(SyncError::System)?;
        let ports = Ports {
            health: listen(options.health, "--health-listen").await?,
            metrics: listen(options.metrics, "--metrics-listen").await?,
        };
        let setup = Setup::new(options).await?;
        controller(setup, ports, signals.next()).await
    });
    runtime.shutdown_background();
    result
}

/// The plain ports, bound.
struct Ports {
    health: TcpListener,
    metrics: TcpListener,
}

async fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, SyncError> {
    TcpListener::bind(address).await.map_err(|source| SyncError::Bind { flag, address, source })
}

/// What the controller works with, read and connected.
pub(crate) struct Setup {
    config: Config,
    /// Where the configuration is, and its text.
    file: Option<(PathBuf, String)>,
    client: Client,
    own_namespace: String,
    metrics: Arc<SyncMetrics>,
}

impl Setup {
    async fn new(options: &Options) -> Result<Self, SyncError> {
        no_core_files().map_err(SyncError::CoreFiles)?;
        let (config, file) = configuration(options.configuration.as_deref()).await?;
        let client = cluster::client(options.kubeconfig.clone(), None).await?;
        let own_namespace = options.own_namespace.clone();
        Ok(Self { config, file, client, own_namespace, metrics: Arc::new(SyncMetrics::new()) })
    }

    /// Starts the watches.
    fn watch(&self, tasks: &mut Tasks) -> Arc<Cluster> {
        let cluster = Arc::new(Cluster::default());
        let namespaces = state::watch_namespaces(Arc::clone(&cluster), self.client.clone(), Pace::default());
        tasks.spawn("the watch of namespaces", namespaces);
        for kind in &self.config.settings.kinds {
            self.watch_kind(tasks, &cluster, kind);
        }
        cluster
    }

    fn watch_kind(&self, tasks: &mut Tasks, cluster: &Arc<Cluster>, kind: &Kind) {
        let (index, client) = (cluster.add_watch(kind), self.client.clone());
        let watch = state::watch_kind(Arc::clone(cluster), index, client, kind.clone(), Pace::default());
        tasks.spawn("a watch of workloads", watch);
    }

    /// Hands on each new configuration, and says which task ended.
    async fn reloads(
        &self,
        tasks: &mut Tasks,
        cluster: &Arc<Cluster>,
        configure: &watch::Sender<Settings>,
    ) -> &'static str {
        let Some((path, text)) = self.file.clone() else { return tasks.next().await };
        let mut follower = Follower::new(path, text, POLL);
        let mut watched = self.config.settings.kinds.clone();
        loop {
            let reload = tokio::select! {
                died = tasks.next() => return died,
                reload = follower.next() => reload,
            };
            let Reload::Good(config) = reload else {
                self.metrics.config_reload_success.set(0);
                continue;
            };
            self.metrics.config_reload_success.set(1);
            // A kind that is gone is watched on: what its objects name stays, until the next start.
            for kind in &config.settings.kinds {
                if !watched.contains(kind) {
                    self.watch_kind(tasks, cluster, kind);
                    watched.push(kind.clone());
                }
            }
            configure.send_replace((config.sync, config.max_age));
        }
    }

    fn engine(&self, mode: Mode) -> Engine {
        let patience = Timing::default().patience;
        let metrics = || Arc::clone(&self.metrics);
        let writer = Writer::new(self.client.clone(), &self.own_namespace, mode, metrics(), patience);
        let settings = self.config.sync.clone();
        let parts = Parts {
            client: self.client.clone(),
            managers: Managers::new(&settings),
            settings,
            max_age: self.config.max_age,
            own_namespace: self.own_namespace.clone(),
            metrics: metrics(),
        };
        Engine::new(parts, writer)
    }

    fn elector(&self) -> (Elector, Leader) {
        // The name of the pod, where there is one.
        let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
        Elector::new(self.client.clone(), &self.own_namespace, name.trim(), Timing::default())
    }
}

/// What the file says, and where it is, with its text.
async fn configuration(path: Option<&Path>) -> Result<(Config, Option<(PathBuf, String)>), SyncError> {
    let Some(path) = path else { return Ok((Config::default(), None)) };
    let text = tokio::fs::read_to_string(path).await;
    let text = text.map_err(|source| SyncError::ConfigurationFile { path: path.to_owned(), source })?;
    let config = config::parse(&text);
    let config = config.map_err(|source| SyncError::Configuration { path: path.to_owned(), source })?;
    Ok((config, Some((path.to_owned(), text))))
}

/// Runs until `stop` is done, then ends the pass that it is in and gives the lease up. A task that ends by itself is an
/// error: the process does not live on by half.
async fn controller(setup: Setup, ports: Ports, stop: impl Future<Output = ()>) -> Result<(), SyncError> {
    let mut tasks = Tasks::default();
    let cluster = setup.watch(&mut tasks);
    let (ready, is_ready) = watch::channel(false);
    tasks.spawn("the port of probes", health::run(ports.health, Answers::Probes(is_ready)));
    tasks.spawn(
        "the port of metrics",
        health::run(ports.metrics, Answers::Metrics(Arc::clone(&setup.metrics))),
    );
    let (mut elector, leader) = setup.elector();
    let engine = setup.engine(Mode::Live(leader.clone()));
    let (stopping, told) = watch::channel(false);
    let (configure, configured) = watch::channel((setup.config.sync.clone(), setup.config.max_age));
    let metrics = Arc::clone(&setup.metrics);
    let work = Work { engine, cluster: Arc::clone(&cluster), leader, configured, metrics, ready, told };
    let mut work = tokio::spawn(work.run());
    let reloads = setup.reloads(&mut tasks, &cluster, &configure);
    tokio::pin!(stop, reloads);
    tokio::select! {
        died = &mut reloads => return Err(SyncError::Died(died)),
        _ = &mut work => return Err(SyncError::Died("the loop")),
        () = elector.run() => return Err(SyncError::Died("the election")),
        () = &mut stop => {}
    }
    tracing::info!("stopping");
    stopping.send_replace(true);
    // The lease is kept until the pass is over, and given up when nobody writes any more.
    tokio::select! {
        _ = tokio::time::timeout(DRAIN, &mut work) => {}
        () = elector.run() => {}
    }
    work.abort();
    elector.release().await;
    Ok(())
}

/// The section `sync` of the configuration, and `snapshot.maxAge`.
type Settings = (config::sync::Sync, Duration);

/// The loop.
struct Work {
    engine: Engine,
    cluster: Arc<Cluster>,
    leader: Leader,
    configured: watch::Receiver<Settings>,
    metrics: Arc<SyncMetrics>,
    ready: watch::Sender<bool>,
    told: watch::Receiver<bool>,
}

/// What the loop does next.
enum Turn {
    /// All of it, with the manager's lists read anew.
    Whole,
    /// The namespaces where something changed.
    Some,
    /// The pods that a rotation left behind.
    Follow,
    /// Another configuration.
    Configure,
}

impl Work {
    async fn run(mut self) {
        let mut told = self.told.clone();
        // A pass that is begun ends by itself: each of its writes is bounded, and it asks before each.
        tokio::select! {
            _ = told.wait_for(|told| *told) => return,
            () = self.cluster.wait_complete(PATIENCE) => {}
        }
        self.ready.send_replace(true);
        let (mut next, mut is_behind) = (Instant::now(), false);
        loop {
            self.metrics.leader.set(i64::from(self.leader.may_write()));
            if !self.leader.may_write() {
                // Whoever led meanwhile may have written anything: begin with all of it.
                next = Instant::now();
                self.metrics.stand_by();
            }
            tokio::select! {
                _ = told.wait_for(|told| *told) => return,
                () = self.leader.wait() => {}
            }
            self.metrics.leader.set(1);
            let turn = tokio::select! {
                _ = told.wait_for(|told| *told) => return,
                Ok(()) = self.configured.changed() => Turn::Configure,
                () = tokio::time::sleep_until(next) => Turn::Whole,
                () = self.cluster.wait_changed() => Turn::Some,
                () = tokio::time::sleep(TICK), if is_behind => Turn::Follow,
            };
            match turn {
                Turn::Whole => {
                    let refresh = self.configured.borrow().0.refresh;
                    next = Instant::now() + jittered(refresh);
                    self.whole().await;
                }
                Turn::Some => {
                    tokio::time::sleep(PAUSE).await;
                    let touched = self.cluster.take_touched();
                    self.engine.some(&self.cluster, &touched).await;
                }
                Turn::Configure => {
                    let (sync, max_age) = self.configured.borrow_and_update().clone();
                    self.engine.configure(sync, max_age);
                    next = Instant::now();
                }
                Turn::Follow => {}
            }
            is_behind = self.engine.follow(&self.cluster).await;
        }
    }

    async fn whole(&mut self) {
        let touched = self.cluster.take_touched();
        if let Err(error) = self.engine.whole(&self.cluster).await {
            tracing::warn!(%error, "the catalogue cannot be read; nothing is done");
            self.cluster.touch(touched);
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// At most what is asked for, and a tenth less by chance, so that many do not ask together.
fn jittered(refresh: Duration) -> Duration {
    refresh.mul_f64(0.9 + (random() % 1000) as f64 / 10_000.0)
}

/// Keeps this process, and with it the values that it holds, out of core files; call it before there is a value.
///
/// A limit of zero is not enough: the kernel passes it over where cores are piped into a program. A process that is not
/// dumpable has none, and no other process of its user can attach to it or read its memory.
pub fn no_core_files() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}
