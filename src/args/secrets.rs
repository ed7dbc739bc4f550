//! The flags of the commands for people who write secrets, and who let them.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use refgate::cli::{iam, put};
use refgate::policy::path::Scope;
use refgate::sync::manager::aws::Settings;

#[derive(Debug, ClapArgs)]
pub struct Iam {
    /// What is read or written
    #[arg(value_name = "GROUP/APP/ENV", value_parser = Scope::parse)]
    scope: Scope,
    /// A further path that its namespaces may read; several with commas between, or the flag again
    #[arg(long, value_name = "PREFIX", value_parser = super::shared, value_delimiter = ',')]
    shared: Vec<Scope>,
    /// The account of the secrets
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// The region of the secrets
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// The partition of AWS: aws, aws-cn, aws-us-gov
    #[arg(long, value_name = "NAME", default_value = "aws")]
    partition: String,
    /// The customer managed key that they are encrypted with
    #[arg(long, value_name = "ARN")]
    kms_key: Option<String>,
    /// For the operator who writes secrets, not for the sync
    #[arg(long)]
    writer: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Put {
    // Neither is parsed here: what is no path may be a value, which the parser would repeat.
    /// The secret path: group/app/env/name
    #[arg(value_name = "PATH")]
    path: String,
    #[arg(hide = true, value_name = "NOTHING", allow_hyphen_values = true, trailing_var_arg = true)]
    surplus: Vec<String>,
    /// Leave out one line break at the end of the value
    #[arg(long)]
    trim_newline: bool,
    /// Show which namespaces may read it, and store nothing
    #[arg(long)]
    dry_run: bool,
    /// The region of AWS Secrets Manager [default: that of the environment or the profile]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// A role to assume
    #[arg(long, value_name = "ARN")]
    role: Option<String>,
    /// Store it in this file, in place of AWS: for development and tests
    #[arg(long, value_name = "FILE", conflicts_with_all = ["region", "role"])]
    file: Option<PathBuf>,
    /// Namespaces (YAML), in place of those of a cluster
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kubeconfig", "context"])]
    world: Option<PathBuf>,
    /// A kubeconfig, in place of the usual one
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Carriers {
    #[command(subcommand)]
    command: Option<CarriersCommand>,
}

#[derive(Debug, Subcommand)]
pub enum CarriersCommand {
    /// Where one holds paths, what is enforced, and what no admission can decide
    Show {
        /// The name of a carrier, as `refgate carriers` lists it
        name: String,
    },
}

impl Carriers {
    pub fn shown(self) -> Option<String> {
        self.command.map(|CarriersCommand::Show { name }| name)
    }
}

impl Iam {
    pub fn options(self) -> iam::Options {
        let Self { scope, shared, account, region, partition, kms_key, writer } = self;
        iam::Options { scope, shared, account, region, partition, kms_key, writer }
    }
}

impl Put {
    pub fn options(self) -> put::Options {
        let Self { path, surplus, trim_newline, dry_run, region, role, file, world, kubeconfig, context } =
            self;
        let (surplus, settings) = (!surplus.is_empty(), Settings { region, role });
        put::Options { path, surplus, trim_newline, dry_run, settings, file, world, kubeconfig, context }
    }
}
