//! The flags of `check`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use refgate::cli::check;
use refgate::cli::judge::secrets::Secrets;

use super::{CheckOutput, World};

#[derive(Debug, Args)]
pub struct Check {
    /// Files, folders (searched for .yaml, .yml and .json), or - for standard input
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Text is for eyes, JSON for programs
    #[arg(long, value_enum, default_value_t = CheckOutput::Text)]
    output: CheckOutput,
    /// Values in manifests of Secrets, which no webhook sees: deny, warn or off [default: warn for standard input, deny for files]
    #[arg(long, value_enum, hide_possible_values = true)]
    secrets: Option<CheckSecrets>,
    /// Check nothing, and say what this path is called in each secret system
    #[arg(long, value_name = "PATH", conflicts_with_all = ["paths", "output"])]
    explain: Option<String>,
    #[command(flatten)]
    world: World,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum CheckSecrets {
    Deny,
    Warn,
    Off,
}

impl Check {
    pub fn options(self) -> check::Options {
        let Self { paths, output, secrets, explain, world } = self;
        let secrets = secrets.map(|secrets| match secrets {
            CheckSecrets::Deny => Secrets::Deny,
            CheckSecrets::Warn => Secrets::Warn,
            CheckSecrets::Off => Secrets::Off,
        });
        check::Options { paths, output: output.shown(), secrets, explain, against: world.against() }
    }
}
