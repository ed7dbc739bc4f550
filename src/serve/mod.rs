//! The webhook process, wired: sockets bound and TLS loaded first, then tasks started and supervised, then stopped in
//! two steps. No leader, no writes, no values.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch as channel};

use crate::cluster::{self, ClusterError, Pace};
use crate::config::follow::Follower;
use crate::config::{self, Config, ConfigError};
use crate::policy;
use crate::process::{Signals, Tasks};
use crate::telemetry::{self, LogFormat, Metrics};

pub mod api_servers;
pub mod connection;
pub mod dev;
pub mod health;
pub mod http;
pub mod intake;
mod judge;
mod open;
pub mod rejudge;
pub mod shares;
pub mod state;
pub mod tls;
pub mod watch;

use api_servers::ApiServers;
use connection::{Phase, Port};
use state::{Change, Freshness, State};

pub use judge::Decide;

/// Changes that may wait for the single writer.
const QUEUE: usize = 1024;

/// Everything that `serve` is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where reviews are taken, over TLS.
    pub listen: SocketAddr,
    /// Where `/livez` and `/readyz` are, in plain HTTP.
    pub health: SocketAddr,
    /// Where `/metrics` is, in plain HTTP.
    pub metrics: SocketAddr,
    /// Addresses of API servers, besides the endpoints of `default/kubernetes`.
    pub api_servers: Vec<ipnet::IpNet>,
    /// The configuration file; without one the defaults hold.
    pub configuration: Option<PathBuf>,
    /// Where the world and the certificate come from.
    pub mode: Mode,
    /// After the signal to stop: how long to go on serving, until endpoints forget this replica.
    pub grace: Duration,
    /// After that: how long what was accepted may take.
    pub drain: Duration,
    /// How often certificates, the configuration and the world file are looked at.
    pub poll: Duration,
}

/// Where the world and the certificate come from.
#[derive(Debug, Clone)]
pub enum Mode {
    /// From a cluster, and from files.
    Cluster {
        /// Certificate, key, and authorities of clients.
        tls: tls::Files,
        /// A kubeconfig; without one, the service account of the pod.
        kubeconfig: Option<PathBuf>,
        /// RefGate's own namespace, where the catalogue is.
        namespace: String,
    },
    /// From a file, and made on the spot.
    Dev(dev::DevOptions),
}

impl Options {
    /// The defaults of `serve` in a cluster.
    pub fn cluster(tls: tls::Files) -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8443)),
            health: SocketAddr::from(([0, 0, 0, 0], 8080)),
            metrics: SocketAddr::from(([0, 0, 0, 0], 9090)),
            api_servers: Vec::new(),
            configuration: None,
            mode: Mode::Cluster { tls, kubeconfig: None, namespace: crate::world::OWN_NAMESPACE.to_owned() },
            grace: Duration::from_secs(10),
            drain: Duration::from_secs(15),
            poll: Duration::from_secs(10),
        }
    }

    /// The defaults of `serve --dev`: loopback alone, and no waiting at the end.
    pub fn dev() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8443)),
            health: SocketAddr::from(([127, 0, 0, 1], 8080)),
            metrics: SocketAddr::from(([127, 0, 0, 1], 9090)),
            api_servers: Vec::new(),
            configuration: None,
            mode: Mode::Dev(dev::DevOptions::default()),
            grace: Duration::ZERO,
            drain: Duration::from_secs(5),
            poll: Duration::from_secs(1),
        }
    }
}

/// Why the server did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
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
    /// The certificate cannot be served.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
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
    /// There is no talking to the cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// `--dev` cannot start.
    #[error(transparent)]
    Dev(#[from] dev::DevError),
    /// Threads or signals of the operating system.
    #[error("cannot start")]
    System(#[source] io::Error),
    /// A part of the process ended that never should.
    #[error("{0} ended unexpectedly")]
    Died(&'static str),
}

/// Runs `serve` to its end: logs, threads and signals included. What is there to read first goes to `out`.
///
/// SIGTERM or SIGINT stops it in two steps, a second one at once.
pub fn run(options: Options, out: &mut dyn io::Write) -> Result<(), ServeError> {
    let json = matches!(options.mode, Mode::Cluster { .. });
    telemetry::start(if json { LogFormat::Json } else { LogFormat::Text });
    let runtime = runtime().map_err(ServeError::System)?;
    let result = runtime.block_on(async {
        let signals = || Signals::new().map_err(ServeError::System);
        let (mut first, mut second) = (signals()?, signals()?);
        let server = Server::bind(options).await?;
        // Nobody reads it: no reason not to serve.
        let _ = out.write_all(server.banner().as_bytes()).and_then(|()| out.flush());
        let abort = async {
            second.next().await;
            second.next().await;
        };
        server.run(first.next(), abort).await
    });
    // Whatever is still open had its time.
    runtime.shutdown_background();
    result
}

/// The threads of the process.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    let workers = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(workers * 2)
        .enable_all()
        .build()
}

/// A server that is bound and has its certificate, and does nothing yet.
pub struct Server {
    options: Options,
    listener: TcpListener,
    health: TcpListener,
    metrics_listener: TcpListener,
    identity: tls::Identity,
    metrics: Arc<Metrics>,
    configuration: (Config, String),
    origin: Origin,
    banner: String,
}

/// What [`Mode`] becomes when it is looked at.
enum Origin {
    Cluster { client: kube::Client, namespace: String, reloader: tls::Reloader },
    World { world: crate::world::World, fingerprint: dev::Fingerprint, path: PathBuf },
}

impl Server {
    /// Binds the sockets, loads certificate, configuration and world. Nothing runs yet, and every error is fatal.
    pub async fn bind(options: Options) -> Result<Self, ServeError> {
        let metrics = Arc::new(Metrics::default());
        let configuration = read_configuration(&options).await?;
        let listener = listen(options.listen, "--listen")?;
        let health = listen(options.health, "--health-listen")?;
        let metrics_listener = listen(options.metrics, "--metrics-listen")?;
        let mut banner = String::new();
        let (identity, origin) = match &options.mode {
            Mode::Cluster { tls, kubeconfig, namespace } => {
                let (identity, reloader) = tls::load(tls.clone(), &metrics).await?;
                let client = cluster::client(kubeconfig.clone(), None).await?;
                (identity, Origin::Cluster { client, namespace: namespace.clone(), reloader })
            }
            Mode::Dev(dev) => {
                let (world, fingerprint) = dev::read_world(&dev.world).await?;
                let address = local(&listener, options.listen);
                let (pem, authority) = dev::identity(address)?;
                let authority = dev::write_authority(&dev.certificates, &authority).await?;
                let plain = [local(&health, options.health), local(&metrics_listener, options.metrics)];
                banner = dev::banner(dev, &authority, address, plain, &world);
                let identity = tls::Identity::fixed(&pem, &metrics)?;
                (identity, Origin::World { world, fingerprint, path: dev.world.clone() })
            }
        };
        Ok(Self {
            options,
            listener,
            health,
            metrics_listener,
            identity,
            metrics,
            configuration,
            origin,
            banner,
        })
    }

    /// Where reviews are taken; tells the port where the options left it open.
    pub fn address(&self) -> SocketAddr {
        local(&self.listener, self.options.listen)
    }

    /// Where the port of probes is.
    pub fn health_address(&self) -> SocketAddr {
        local(&self.health, self.options.health)
    }

    /// Where the port of metrics is.
    pub fn metrics_address(&self) -> SocketAddr {
        local(&self.metrics_listener, self.options.metrics)
    }

    /// What to print before it runs; empty but for `--dev`.
    pub fn banner(&self) -> &str {
        &self.banner
    }

    /// Serves until `stop` is done, then goes on for the grace period, then ends what was accepted. `abort` cuts all of
    /// that short. A task that ends by itself is an error: the process does not live on by half.
    pub async fn run(
        self,
        stop: impl Future<Output = ()>,
        abort: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let (grace, drain) = (self.options.grace, self.options.drain);
        let mut tasks = Tasks::default();
        let (phase, phases) = channel::channel(Phase::Serving);
        // The plain ports answer to the very end.
        let (_health_phase, health_phases) = channel::channel(Phase::Serving);
        let ports = self.start(&mut tasks, phases, health_phases);
        tokio::pin!(abort);
        tokio::select! {
            died = tasks.next() => return Err(ServeError::Died(died)),
            () = stop => {}
        }
        tracing::info!(grace_seconds = grace.as_secs(), "stopping: not ready any more, still serving");
        phase.send_replace(Phase::Draining);
        tokio::select! {
            died = tasks.next() => return Err(ServeError::Died(died)),
            () = &mut abort => return Ok(()),
            () = tokio::time::sleep(grace) => {}
        }
        phase.send_replace(Phase::Closing);
        tokio::select! {
            () = &mut abort => {}
            ended = tokio::time::timeout(drain, ports) => match ended {
                Ok(_) => tracing::info!("stopped; every review that was accepted is answered"),
                Err(_) => tracing::warn!("stopped; some connections did not end in time"),
            }
        }
        Ok(())
    }

    /// Starts every task. Returns the end of the HTTPS port, which comes after [`Phase::Closing`].
    fn start(
        self,
        tasks: &mut Tasks,
        phases: channel::Receiver<Phase>,
        health_phases: channel::Receiver<Phase>,
    ) -> tokio::sync::oneshot::Receiver<()> {
        let Self {
            options,
            listener,
            health,
            metrics_listener,
            identity,
            metrics,
            configuration,
            origin,
            ..
        } = self;
        let (api_servers, endpoints) = ApiServers::with_endpoints(options.api_servers);
        let (changes, queue) = mpsc::channel(QUEUE);
        let (publish, snapshots) = channel::channel(None);
        let watches = if matches!(origin, Origin::Cluster { .. }) { watch::count() } else { 0 };
        let freshness = Arc::new(Freshness::new(watches));
        let (config, text) = configuration;
        let mut state = State::new(config);
        if let Some(path) = options.configuration {
            let follower = Follower::new(path, text, options.poll);
            let follow = watch::configuration(follower, changes.clone(), Arc::clone(&metrics));
            tasks.spawn("the reading of the configuration", follow);
        }
        match origin {
            Origin::Cluster { client, namespace, reloader } => {
                let (freshness, snapshots) = (Arc::clone(&freshness), snapshots.clone());
                let feed = watch::Feed { changes, freshness, snapshots, metrics: Arc::clone(&metrics) };
                let follow = api_servers::follow(client.clone(), endpoints);
                tasks.spawn("the reading of the API servers' addresses", follow);
                let namespaces = watch::namespaces(client.clone(), Pace::default(), feed.clone());
                tasks.spawn("the watch of namespaces", namespaces);
                let catalogues = watch::catalogues(client.clone(), namespace, Pace::default(), feed.clone());
                tasks.spawn("the watch of catalogues", catalogues);
                state = state.awaiting(watch::carried_kinds());
                for (number, kind) in watch::carried_kinds().enumerate() {
                    let carried = watch::carried(client.clone(), number, kind, Pace::default(), feed.clone());
                    tasks.spawn(kind.resource, carried);
                }
                let follow = reloader.run(options.poll, Arc::clone(&metrics));
                tasks.spawn("the reading of the certificate", follow);
            }
            Origin::World { world, fingerprint, path } => {
                state.apply(Change::World(world));
                publish.send_replace(state.snapshot().map(Arc::new));
                let follow = dev::follow_world(path, fingerprint, options.poll, changes);
                tasks.spawn("the reading of the world file", follow);
            }
        }
        let again = rejudge::run(snapshots.clone(), Arc::clone(&metrics));
        tasks.spawn("the judging of what is there", again);
        tasks.spawn("the writer of snapshots", state::run(state, queue, publish, Arc::clone(&freshness)));
        let health_state = Arc::new(health::Health {
            snapshots: snapshots.clone(),
            phase: phases.clone(),
            freshness,
            metrics: Arc::clone(&metrics),
        });
        let plain = |listener, router| Port {
            listener,
            identity: None,
            router,
            limits: connection::Limits::plain(),
            api_servers: ApiServers::of([]),
            phase: health_phases.clone(),
        };
        tasks.spawn("the port of probes", plain(health, health::probes(Arc::clone(&health_state))).run());
        tasks.spawn("the port of metrics", plain(metrics_listener, health::metrics(health_state)).run());
        let app = http::App::new(snapshots, metrics, http::Limits::default(), policy::decide);
        let port = Port {
            listener,
            identity: Some(identity),
            router: http::router(app),
            limits: connection::Limits::default(),
            api_servers,
            phase: phases,
        };
        let (ended, end) = tokio::sync::oneshot::channel();
        tasks.spawn("the HTTPS port", async move {
            port.run().await;
            // Who waits for it may have gone.
            let _ = ended.send(());
        });
        end
    }
}

fn local(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}

/// Binds a port; `flag` is what chooses it.
pub fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, ServeError> {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restart must not wait for the connections of the process before it to be forgotten.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(1024)
    };
    bind().map_err(|source| ServeError::Bind { flag, address, source })
}

async fn read_configuration(options: &Options) -> Result<(Config, String), ServeError> {
    let Some(path) = options.configuration.clone() else { return Ok((Config::default(), String::new())) };
    let text = match tokio::fs::read_to_string(&path).await {
        Ok(text) => text,
        Err(source) => return Err(ServeError::ConfigurationFile { path, source }),
    };
    match config::parse(&text) {
        Ok(config) => {
            config.log_warnings();
            Ok((config, text))
        }
        Err(source) => Err(ServeError::Configuration { path, source }),
    }
}
