//! `refgate put`: stores a value from standard input under a path, after it has shown who may read it. A terminal is asked for
//! the value, and does not show it.
//!
//! The value is never an argument, which a shell keeps and a process list shows, and is printed nowhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use zeroize::Zeroizing;

use super::{CLEAN, Screen};
use crate::cluster::list::Reader;
use crate::cluster::{ClusterError, Source};
use crate::policy::path::{Scope, SecretPath};
use crate::policy::snapshot::Binding;
use crate::sync;
use crate::sync::manager::aws::{Aws, Pace, Settings};
use crate::sync::manager::file::File;
use crate::sync::manager::{MAX_VALUE_BYTES, Manager, ManagerError, SecretValue};
use crate::world::{self, World};

mod advice;
mod terminal;

/// How long a cluster may take to say who reads the path, before that is unknown.
const PATIENCE: Duration = Duration::from_secs(15);
/// Segments of a path that some namespace may read.
const FEWEST_SEGMENTS: usize = 4;

/// What to store where, and who to ask who reads it.
#[derive(Debug, Clone)]
pub struct Options {
    /// The secret path, as it was written.
    pub path: String,
    /// What stood behind it. It is not repeated: somebody may have meant it as the value.
    pub surplus: bool,
    /// Whether one line break at the end of the value is left out.
    pub trim_newline: bool,
    /// Whether to show who reads it, and store nothing.
    pub dry_run: bool,
    /// Region and role, where they are not what the SDK's chain says.
    pub settings: Settings,
    /// A file in place of AWS.
    pub file: Option<PathBuf>,
    /// Namespaces, in place of those of a cluster.
    pub world: Option<PathBuf>,
    /// A kubeconfig, in place of the usual one.
    pub kubeconfig: Option<PathBuf>,
    /// A context of it.
    pub context: Option<String>,
}

/// Stores the value, prints path and version to standard output, and says the exit code.
pub fn run(options: &Options) -> anyhow::Result<u8> {
    sync::no_core_files().context("cannot keep the value out of core files")?;
    let path = check(options)?;
    let input = match options.dry_run {
        true => Input::Unread,
        false if io::stdin().is_terminal() => Input::Terminal,
        false => Input::Value(piped(options.trim_newline)?),
    };
    let is_terminal = matches!(input, Input::Terminal);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start")?.block_on(async {
        tokio::select! {
            // In this order: a signal must be heard before the terminal shows nothing, or it would go on so.
            biased;
            heard = terminal::interrupted(), if is_terminal => {
                heard.context("cannot start")?;
                bail!("interrupted; if the value was entered already, whether it is stored is not known")
            }
            done = put(options, &path, input) => done,
        }
    })
}

/// Where the value comes from.
enum Input {
    /// Nowhere: nothing is stored.
    Unread,
    /// Standard input was no terminal, and held this.
    Value(SecretValue),
    /// Whoever sits there is asked, once they have seen who may read it.
    Terminal,
}

fn check(options: &Options) -> anyhow::Result<SecretPath<'_>> {
    if options.surplus {
        bail!(
            "a value is not taken from the command line, where the shell's history and the process list show it; \
             pipe it in"
        );
    }
    let path = SecretPath::absolute(&options.path)?;
    if options.path.split('/').count() < FEWEST_SEGMENTS {
        bail!("the path is group/app/env/name; no namespace could read a shorter one");
    }
    Ok(path)
}

/// The value in a pipe or a file, with what a person should know of it on standard error.
fn piped(trim_newline: bool) -> anyhow::Result<SecretValue> {
    // Room for the largest value and a line break, and for a byte that is too much. Growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_VALUE_BYTES + 3));
    io::stdin().lock().take(MAX_VALUE_BYTES as u64 + 3).read_to_end(&mut bytes).context("standard input")?;
    if trim_newline && bytes.ends_with(b"\n") {
        let end = if bytes.ends_with(b"\r\n") { 2 } else { 1 };
        let length = bytes.len() - end;
        bytes.truncate(length);
    } else if bytes.ends_with(b"\n") {
        note("the value ends in a line break, which is stored with it; --trim-newline leaves it out");
    }
    accepted(bytes)
}

/// Whether it can be stored, and what to say of it.
fn accepted(mut bytes: Zeroizing<Vec<u8>>) -> anyhow::Result<SecretValue> {
    if let Some(advice) = advice::advice(&bytes) {
        note(&advice);
    }
    match bytes.len() {
        0 => bail!("standard input holds no value"),
        1..=MAX_VALUE_BYTES => Ok(SecretValue::new(std::mem::take(&mut *bytes))),
        _ => {
            bail!("the value has more than {MAX_VALUE_BYTES} bytes; AWS Secrets Manager takes no larger one")
        }
    }
}

async fn put(options: &Options, path: &SecretPath<'_>, input: Input) -> anyhow::Result<u8> {
    match readers(options, path).await {
        Ok(readers) => note(&shown(path, &readers)),
        // Who names a world or a cluster wants it asked; the usual one may well be out of reach.
        Err(error)
            if options.world.is_some() || options.kubeconfig.is_some() || options.context.is_some() =>
        {
            return Err(error.context("cannot say who may read it; nothing was stored"));
        }
        Err(error) => {
            // Where there is none, the many places that were searched for one say nothing more.
            let why = match error.downcast_ref() {
                Some(nowhere @ ClusterError::Nowhere(_)) => nowhere.to_string(),
                _ => format!("{error:#}"),
            };
            let why = format!("which namespaces may read {path} is not known: {why}");
            if options.dry_run {
                bail!(
                    "{why}; name a cluster with --context or --kubeconfig, or Namespaces with --world FILE"
                );
            }
            note(&why);
        }
    }
    let value = match input {
        Input::Unread => return Ok(CLEAN),
        Input::Value(value) => value,
        Input::Terminal => accepted(terminal::ask(path.as_str()).await?)?,
    };
    let manager = match &options.file {
        Some(file) => Manager::File(File::new(file)),
        None => Manager::Aws(Aws::connect(&options.settings, &Pace::default()).await?),
    };
    let made = options.file.as_ref().filter(|file| !file.exists());
    let version = manager.store(path, &value).await.map_err(|error| hint(error, path))?;
    if let Some(file) = made {
        note(&format!("{} is new, and nobody but you may read it", file.display()));
    }
    Screen::new().print(&format!("{path} {version}\n"))?;
    Ok(CLEAN)
}

/// What helps when a right is missing.
fn hint(error: ManagerError, path: &SecretPath<'_>) -> anyhow::Error {
    let scope: Vec<&str> = path.as_str().split('/').take(3).collect();
    match (error, scope.join("/")) {
        (error @ ManagerError::Denied(_), scope) if Scope::parse(&scope).is_ok() => {
            anyhow::anyhow!("{error}; `refgate iam {scope} --writer` prints what a writer needs")
        }
        (error, _) => error.into(),
    }
}

/// The namespaces that may read a path, each with why.
async fn readers(options: &Options, path: &SecretPath<'_>) -> anyhow::Result<BTreeMap<String, String>> {
    let world = match &options.world {
        Some(file) => world_of(file)?,
        None => {
            let read = read_cluster(options.kubeconfig.clone(), options.context.clone());
            tokio::time::timeout(PATIENCE, read).await.context("the cluster does not answer")??
        }
    };
    let mut readers = BTreeMap::new();
    for (name, labels) in &world.namespaces {
        let Binding::Bound { own, shared } = &labels.binding else { continue };
        let shares = shared.iter().find(|prefix| prefix.contains(path.as_str()));
        let why = match shares {
            _ if own.contains(path.as_str()) => format!("bound to {own}"),
            Some(prefix) => format!("by shared path {prefix}"),
            None => continue,
        };
        readers.insert(name.escape_debug().to_string(), why);
    }
    Ok(readers)
}

/// Half a world would be a wrong one.
fn world_of(file: &Path) -> anyhow::Result<World> {
    let world = World::read_file(file).with_context(|| file.display().to_string())?;
    let problems: Vec<String> = world.problems.iter().map(ToString::to_string).collect();
    if !problems.is_empty() {
        bail!("world {}: {}", file.display(), problems.join("; "));
    }
    Ok(world)
}

async fn read_cluster(kubeconfig: Option<PathBuf>, context: Option<String>) -> anyhow::Result<World> {
    let reader = Reader::connect(kubeconfig, context).await?;
    let mut pages = reader.list(&Source { path: "/api/v1/namespaces".to_owned(), labels: None });
    let (mut world, mut unread) = (World::default(), 0);
    while pages
        .next(|raw| {
            match serde_json::from_str(raw.get()).ok().and_then(|object| world::namespace(&object).ok()) {
                Some(part) => drop(world.namespaces.insert(part.namespace, part.value.into())),
                None => unread += 1,
            }
        })
        .await
        .context("Namespaces cannot be listed")?
    {}
    if unread > 0 {
        bail!("{unread} Namespaces of the cluster cannot be read");
    }
    Ok(world)
}

fn shown(path: &SecretPath<'_>, readers: &BTreeMap<String, String>) -> String {
    if readers.is_empty() {
        return format!("no namespace may read {path}");
    }
    let width = readers.keys().map(String::len).max().unwrap_or_default();
    let mut text = format!("{path} may be read by");
    for (name, why) in readers {
        // Writing to a String does not fail.
        let _ = write!(text, "\n  {name:width$}  {why}");
    }
    text
}

/// A note to a person; nothing is wrong when nobody is there to read it.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "refgate: {text}");
}
