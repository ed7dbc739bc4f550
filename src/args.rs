//! Every flag of the command line, one small struct for each subcommand. Flags are parsed into types here, once; what
//! they mean is the business of the module that each struct is handed to.

mod check;
mod help;
mod secrets;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use refgate::cli::{Against, bind, render, scan};
use refgate::policy::level::{Level, LevelLabels};
use refgate::policy::path::{Scope, ScopeError};
use refgate::world::OWN_NAMESPACE;
use refgate::{cli, config, serve, sync};

/// References to secrets go into Kubernetes, values stay out.
#[derive(Debug, Parser)]
#[command(name = "refgate", version, after_help = help::ARGS, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer the API server: the admission webhook, over HTTPS
    #[command(after_help = help::SERVE, override_usage = help::SERVE_USAGE)]
    Serve(Serve),
    /// Bring secrets into the namespaces whose pods refer to them: the controller
    #[command(after_help = help::SYNC)]
    Sync(Sync),
    /// Judge manifests as admission would: files, folders, standard input
    #[command(after_help = help::CHECK)]
    Check(check::Check),
    /// Print manifests before and after injection
    #[command(after_help = help::RENDER)]
    Render(Render),
    /// Judge what runs in a cluster, before a level is raised
    #[command(after_help = help::SCAN)]
    Scan(Scan),
    /// Print what binds a namespace to group/app/env: labels, and the sync's right
    #[command(after_help = help::BIND)]
    Bind(Bind),
    /// Print the least-privilege IAM policy for group/app/env: for the sync, or who writes secrets
    #[command(after_help = help::IAM)]
    Iam(secrets::Iam),
    /// Store a value from standard input in the secret manager
    #[command(after_help = help::PUT)]
    Put(secrets::Put),
    /// List the systems that carry secrets in manifests, or show what is enforced of one
    #[command(after_help = help::CARRIERS)]
    Carriers(secrets::Carriers),
    /// List the rules that find plaintext, or show one of them
    #[command(after_help = help::RULES)]
    Rules(Rules),
}

#[derive(Debug, ClapArgs)]
pub struct Serve {
    /// The configuration file: levels, further kinds, rules; it is read again when it changes
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where reviews are taken, over TLS [default: 0.0.0.0:8443, with --dev 127.0.0.1:8443]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Where /livez and /readyz are, in plain HTTP [default: 0.0.0.0:8080, with --dev 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    health_listen: Option<SocketAddr>,
    /// Where /metrics is, in plain HTTP [default: 0.0.0.0:9090, with --dev 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<SocketAddr>,
    /// Addresses that API servers ask from; a quarter of the room is kept for them. The endpoints of Service
    /// default/kubernetes are known besides [may be given several times]
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    api_server_cidr: Vec<ipnet::IpNet>,
    /// After a signal to stop: how long to go on serving, until endpoints forget this replica [default: 10s, with --dev 0s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    grace: Option<Duration>,
    /// After that: how long what was accepted may take [default: 15s, with --dev 5s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    drain: Option<Duration>,
    #[command(flatten)]
    cluster: InCluster,
    #[command(flatten)]
    dev: WithoutCluster,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "In a cluster")]
pub struct InCluster {
    /// The chain of certificates, PEM; polled for changes
    #[arg(long, value_name = "FILE", required_unless_present = "dev")]
    tls_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", required_unless_present = "dev")]
    tls_key: Option<PathBuf>,
    /// Turn away clients without a certificate of these authorities, PEM
    #[arg(long, value_name = "FILE", conflicts_with = "dev")]
    client_ca: Option<PathBuf>,
    /// A kubeconfig, in place of the service account of the pod
    #[arg(long, value_name = "FILE", conflicts_with = "dev")]
    kubeconfig: Option<PathBuf>,
    /// RefGate's own namespace, where the catalogue is
    #[arg(long, value_name = "NAME", default_value = OWN_NAMESPACE)]
    own_namespace: String,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Without a cluster")]
pub struct WithoutCluster {
    /// The world from a file, a certificate made on the spot, loopback alone
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key"])]
    dev: bool,
    /// The world: Namespaces and their catalogues as YAML [default: examples/world.yaml]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tls_cert", "tls_key"])]
    world: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Sync {
    #[command(subcommand)]
    command: Option<SyncCommand>,
    #[command(flatten)]
    flags: SyncFlags,
    /// Where /livez and /readyz are, in plain HTTP
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8080")]
    health_listen: SocketAddr,
    /// Where /metrics is, in plain HTTP
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:9090")]
    metrics_listen: SocketAddr,
}

#[derive(Debug, Subcommand)]
pub enum SyncCommand {
    /// One pass, and the end
    #[command(after_help = help::SYNC_ONCE)]
    Once {
        #[command(flatten)]
        flags: SyncFlags,
        /// Print what would change, and change nothing; values are never shown
        #[arg(long)]
        dry_run: bool,
    },
    /// How each path of each namespace is: version, age, due, who uses it; and which right is missing
    #[command(after_help = help::SYNC_STATUS)]
    Status(SyncStatus),
}

#[derive(Debug, ClapArgs)]
pub struct SyncStatus {
    /// This namespace alone [default: all that are bound]
    #[arg(value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// The configuration file: `sync.rotation` says what is due, `templates` what makes pods
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Text is for eyes, JSON for programs
    #[arg(long, value_enum, default_value_t = CheckOutput::Text)]
    output: CheckOutput,
    /// A kubeconfig, in place of the usual one, or of the service account of the pod
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// RefGate's own namespace, where the catalogue is
    #[arg(long, value_name = "NAME", default_value = OWN_NAMESPACE)]
    own_namespace: String,
}

#[derive(Debug, ClapArgs)]
pub struct SyncFlags {
    /// The configuration file, with the section `sync`; `refgate sync` reads it again when it changes
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A kubeconfig, in place of the service account of the pod
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// RefGate's own namespace, where the catalogue and the lease are
    #[arg(long, value_name = "NAME", default_value = OWN_NAMESPACE)]
    own_namespace: String,
}

/// What files are judged against; the same for `check` and `render`.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "What to judge against")]
pub struct World {
    /// Namespaces and their catalogues, as the cluster has them (YAML)
    #[arg(long, value_name = "FILE")]
    world: Option<PathBuf>,
    /// Bind every namespace to this scope, whatever the world says
    #[arg(long, value_name = "GROUP/APP/ENV", value_parser = Scope::parse)]
    scope: Option<Scope>,
    /// With --scope: a further path that every namespace may read, of three segments or more; several with commas between
    #[arg(long, value_name = "PREFIX", value_parser = Scope::shared, value_delimiter = ',', requires = "scope")]
    shared: Vec<Scope>,
    /// The namespace of documents that name none
    #[arg(long, value_name = "NAME", default_value = "default")]
    namespace: String,
    /// Count plaintext at this level, whatever namespaces and configuration say
    #[arg(long, value_parser = levels())]
    level: Option<Level>,
    /// The configuration file of the webhook: default levels, further kinds, rules
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum CheckOutput {
    Text,
    Json,
}

#[derive(Debug, ClapArgs)]
pub struct Render {
    /// Files, folders (searched for .yaml, .yml and .json), or - for standard input
    #[arg(value_name = "FILE", required = true)]
    paths: Vec<PathBuf>,
    /// What to print of each manifest
    #[arg(long, value_enum, default_value_t = RenderOutput::Both)]
    output: RenderOutput,
    #[command(flatten)]
    world: World,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum RenderOutput {
    /// The manifest before and after, each a YAML document
    Both,
    /// What comes out alone: YAML for another program
    After,
    /// What changes, as a unified diff
    Diff,
}

#[derive(Debug, ClapArgs)]
pub struct Scan {
    /// Count plaintext at this level, whatever namespaces and configuration say
    #[arg(long, value_parser = levels())]
    level: Option<Level>,
    /// This namespace alone; several with commas between, or the flag again [default: all of them]
    #[arg(long, value_name = "NAME", value_parser = trimmed, value_delimiter = ',')]
    namespace: Vec<String>,
    /// The configuration file of the webhook: default levels, further kinds, rules
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Text is for eyes, JSON for programs
    #[arg(long, value_enum, default_value_t = CheckOutput::Text)]
    output: CheckOutput,
    /// A kubeconfig, in place of the usual one, or of the service account of the pod
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// RefGate's own namespace, where the catalogue is
    #[arg(long, value_name = "NAME", default_value = OWN_NAMESPACE)]
    own_namespace: String,
}

#[derive(Debug, ClapArgs)]
pub struct Bind {
    /// The namespace
    #[arg(value_name = "NAMESPACE")]
    namespace: String,
    /// What it is bound to: references of its pods stay inside
    #[arg(value_name = "GROUP/APP/ENV", value_parser = Scope::parse)]
    scope: Scope,
    /// A further path that it may read, of three segments or more; several with commas between, or the flag again
    #[arg(long, value_name = "PREFIX", value_parser = shared, value_delimiter = ',')]
    shared: Vec<Scope>,
    /// At which level plaintext is denied [default: the configuration's]
    #[arg(long, value_name = "LEVEL", value_parser = levels())]
    enforce: Option<Level>,
    /// At which level plaintext is a warning [default: the configuration's]
    #[arg(long, value_name = "LEVEL", value_parser = levels())]
    warn: Option<Level>,
    /// At which level plaintext is written into the audit log [default: the configuration's]
    #[arg(long, value_name = "LEVEL", value_parser = levels())]
    audit: Option<Level>,
    /// RefGate's own namespace, where the account of the sync is
    #[arg(long, value_name = "NAME", default_value = OWN_NAMESPACE)]
    own_namespace: String,
}

#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Rules {
    #[command(subcommand)]
    command: Option<RulesCommand>,
}

#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// What one rule finds, what it leaves alone, and what to write instead
    Show {
        /// The id of a rule, as findings name it
        id: String,
    },
}

fn time(text: &str) -> Result<Duration, &'static str> {
    config::duration(text).ok_or("a time is a number and ms, s, m or h, such as 10s")
}

/// One of several, as in the annotation: a space behind a comma is none of it.
fn shared(text: &str) -> Result<Scope, ScopeError> {
    Scope::shared(text.trim())
}

fn trimmed(text: &str) -> Result<String, Infallible> {
    Ok(text.trim().to_owned())
}

fn levels() -> impl TypedValueParser<Value = Level> {
    // The words are those of `Level::parse`; one that it did not know would be refused by name.
    PossibleValuesParser::new(["off", "baseline", "restricted"])
        .try_map(|word| Level::parse(&word).ok_or("no such level"))
}

impl Serve {
    pub fn options(self) -> serve::Options {
        let Self {
            config,
            listen,
            health_listen,
            metrics_listen,
            api_server_cidr,
            grace,
            drain,
            cluster,
            dev,
        } = self;
        let InCluster { tls_cert, tls_key, client_ca, kubeconfig, own_namespace } = cluster;
        let mut options = match (tls_cert, tls_key) {
            (Some(certificate), Some(key)) => {
                let tls = serve::tls::Files { certificate, key, client_ca };
                let mut options = serve::Options::cluster(tls.clone());
                options.mode = serve::Mode::Cluster { tls, kubeconfig, namespace: own_namespace };
                options
            }
            // The parser lets nothing else through than --dev.
            _ => {
                let mut settings = serve::dev::DevOptions::default();
                settings.world = dev.world.unwrap_or(settings.world);
                let mut options = serve::Options::dev();
                options.mode = serve::Mode::Dev(settings);
                options
            }
        };
        options.configuration = config;
        options.listen = listen.unwrap_or(options.listen);
        options.health = health_listen.unwrap_or(options.health);
        options.metrics = metrics_listen.unwrap_or(options.metrics);
        options.api_servers = api_server_cidr;
        options.grace = grace.unwrap_or(options.grace);
        options.drain = drain.unwrap_or(options.drain);
        options
    }
}

impl Sync {
    pub fn task(self) -> cli::sync::Task {
        let Self { command, flags, health_listen, metrics_listen } = self;
        match command {
            None => cli::sync::Task::Run(flags.options(health_listen, metrics_listen)),
            Some(SyncCommand::Once { flags, dry_run }) => {
                // One pass listens nowhere.
                let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
                let options = flags.options(nowhere, nowhere);
                cli::sync::Task::Once { options, dry_run }
            }
            Some(SyncCommand::Status(status)) => status.task(),
        }
    }
}

impl SyncStatus {
    fn task(self) -> cli::sync::Task {
        let Self { namespace, config, output, kubeconfig, context, own_namespace } = self;
        let options =
            sync::status::Options { namespace, configuration: config, kubeconfig, context, own_namespace };
        cli::sync::Task::Status { options, output: output.shown() }
    }
}

impl SyncFlags {
    fn options(self, health: SocketAddr, metrics: SocketAddr) -> sync::Options {
        let Self { config, kubeconfig, own_namespace } = self;
        sync::Options { configuration: config, kubeconfig, own_namespace, health, metrics }
    }
}

impl World {
    fn against(self) -> Against {
        let Self { world, scope, shared, namespace, level, config } = self;
        Against { world, scope, shared, namespace, level, config }
    }
}

impl CheckOutput {
    fn shown(self) -> cli::check::Output {
        match self {
            Self::Text => cli::check::Output::Text,
            Self::Json => cli::check::Output::Json,
        }
    }
}

impl Scan {
    pub fn options(self) -> scan::Options {
        let Self { level, namespace, config, output, kubeconfig, context, own_namespace } = self;
        let output = output.shown();
        scan::Options { level, namespaces: namespace, kubeconfig, context, config, own_namespace, output }
    }
}

impl Bind {
    pub fn options(self) -> bind::Options {
        let Self { namespace, scope, shared, enforce, warn, audit, own_namespace } = self;
        let levels = LevelLabels { enforce, warn, audit };
        bind::Options { namespace, scope, shared, levels, own_namespace }
    }
}

impl Render {
    pub fn options(self) -> render::Options {
        let Self { paths, output, world } = self;
        let output = match output {
            RenderOutput::Both => render::Output::Both,
            RenderOutput::After => render::Output::After,
            RenderOutput::Diff => render::Output::Diff,
        };
        render::Options { paths, output, against: world.against() }
    }
}

impl Rules {
    pub fn shown(self) -> Option<String> {
        self.command.map(|RulesCommand::Show { id }| id)
    }
}
