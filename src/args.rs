//! Every flag of the command line, one small struct for each subcommand. Flags are parsed into types here, once; what
//! they mean is the business of the module that each struct is handed to.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use refgate::cli::{Against, check, render};
use refgate::policy::level::Level;
use refgate::policy::path::Scope;

const ARGS_HELP: &str = "\
Start here:
  refgate serve --dev                 the webhook, without a cluster
  refgate render examples/pod.yaml    what it makes of a pod
  refgate check deploy/               what it would say of your manifests

`refgate COMMAND --help` has more examples.
";

const CHECK_HELP: &str = "\
Which paths a namespace may read, --world or --scope says. Without them references are `unknown`, which is no finding, \
and plaintext alone is judged. Listed is what the level that is enforced counts; what it only warns of comes as a warning. \
A document that is no workload is skipped and counted; a broken one is an error, and the rest is still judged.

Examples:
  refgate check deploy/ --scope mozmeao/snippets/stage
  refgate check deploy/ --level restricted
  helm template web ./chart | refgate check - --scope mozmeao/snippets/stage
  kustomize build stage/ | refgate check - --world world.yaml --output json

Exit codes:
  0  clean, or warnings alone
  1  findings, or references that are refused
  2  something could not be read, or the command line is wrong (wins over 1)
";

const RENDER_HELP: &str = "\
Pods are what is injected. A workload is admitted as it is written; it is shown with its pod template as its pods come \
out. Without --world and --scope, the world.yaml beside the file is taken, if there is one.

Examples:
  refgate render examples/pod.yaml
  refgate render examples/deployment.yaml --output diff
  helm template web ./chart | refgate render - --output after \\
    --scope mozmeao/snippets/stage

Exit codes:
  0  everything would be admitted
  1  something would be refused; standard error says why
  2  something could not be read, or the command line is wrong (wins over 1)
";

const RULES_HELP: &str = "\
Examples:
  refgate rules
  refgate rules show url-password

Exit codes:
  0  shown
  2  there is no such rule, or the command line is wrong
";

/// References to secrets go into Kubernetes, values stay out.
#[derive(Debug, Parser)]
#[command(name = "refgate", version, after_help = ARGS_HELP, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Judge manifests as admission would: files, folders, standard input
    #[command(after_help = CHECK_HELP)]
    Check(Check),
    /// Print manifests before and after injection
    #[command(after_help = RENDER_HELP)]
    Render(Render),
    /// List the rules that find plaintext, or show one of them
    #[command(after_help = RULES_HELP)]
    Rules(Rules),
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

#[derive(Debug, ClapArgs)]
pub struct Check {
    /// Files, folders (searched for .yaml, .yml and .json), or - for standard input
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Text is for eyes, JSON for programs
    #[arg(long, value_enum, default_value_t = CheckOutput::Text)]
    output: CheckOutput,
    #[command(flatten)]
    world: World,
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

fn levels() -> impl TypedValueParser<Value = Level> {
    // The words are those of `Level::parse`; one that it did not know would be refused by name.
    PossibleValuesParser::new(["off", "baseline", "restricted"])
        .try_map(|word| Level::parse(&word).ok_or("no such level"))
}

impl World {
    fn against(self) -> Against {
        let Self { world, scope, namespace, level, config } = self;
        Against { world, scope, namespace, level, config }
    }
}

impl Check {
    pub fn options(self) -> check::Options {
        let Self { paths, output, world } = self;
        let output = match output {
            CheckOutput::Text => check::Output::Text,
            CheckOutput::Json => check::Output::Json,
        };
        check::Options { paths, output, against: world.against() }
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
