//! What `refgate sync status` shows: each path of a namespace, how it is, how old it is, and who uses it.
//!
//! It is put together from what the caller may read (`read`), and it holds no values: of a Secret it has the metadata, or
//! what the catalogue says. Nothing is asked of the secret manager, and nothing is written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::Timestamp;

use super::plan::{Why, may_be_cut, prefixes};
use super::unread::Unread;
use super::wanted::Wanted;
use super::{SyncError, configuration, rotation};
use crate::cluster::list::Reader;
use crate::config::sync::Rotation;
use crate::policy::bounds::similar;
use crate::policy::path::{Scope, key_property, secret_name};
use crate::policy::snapshot::{Binding, NamespaceLabels};
use facts::{Claimed, Facts};
use users::User;

mod facts;
mod read;
mod users;

pub use facts::Given;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Options {
    /// One namespace; all of them without it.
    pub namespace: Option<String>,
    /// The configuration file: periods of rotation, further kinds.
    pub configuration: Option<PathBuf>,
    /// A kubeconfig, in place of the usual one or of the service account of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// A context of it.
    pub context: Option<String>,
    /// RefGate's own namespace.
    pub own_namespace: String,
}

/// How all of it is.
#[derive(Debug, Default)]
pub struct Status {
    /// By name.
    pub namespaces: Vec<Place>,
    /// What the caller may not read, and what is not known therefore.
    pub denied: Vec<Denied>,
    /// What could not be read though it should be.
    pub errors: Vec<String>,
    /// Kinds that the sync may not read, as its catalogues say.
    pub unread: BTreeSet<Unread>,
}

/// How one namespace is.
#[derive(Debug)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// What it is bound to.
    pub labels: NamespaceLabels,
    /// Whether it asks for all of its scope, whatever its pods refer to.
    pub all: bool,
    /// Whether the sync may fill Secrets in it.
    pub sync: Given,
    /// Its paths, sorted.
    pub rows: Vec<Row>,
    /// What else is to be said of it.
    pub notes: Vec<String>,
    /// Whether the secret manager lists all that it may read.
    pub is_listed: bool,
}

/// One path in a namespace.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// The path.
    pub path: String,
    /// The Secret that holds it, or would.
    pub secret: String,
    /// How it is.
    pub state: State,
    /// The version of the secret manager that it holds.
    pub version: Option<String>,
    /// When that was made.
    pub created: Option<Timestamp>,
    /// When it is, or was, time for the next one.
    pub due: Option<Timestamp>,
    /// Who reads it: `Deployment/web`.
    pub used_by: BTreeSet<String>,
    /// Why it is not as it should be.
    pub why: Option<String>,
}

/// How a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Ok,
    /// Its value is older than it should be.
    Due,
    /// The secret manager does not list it any more; the Secret stays.
    Missing,
    /// It is scheduled for deletion in the secret manager; the Secret stays.
    Deleted,
    /// It has no property of a name that something refers to.
    NoProperty,
    /// Nothing names it, and its Secret will go.
    Unused,
    /// It is outside of what the namespace is bound to by now, and its Secret will go.
    Foreign,
    /// There is a newer value, and the API server does not take it, or no Secret can hold it.
    Refused,
    /// It is wanted, and there is no Secret.
    Unsynced,
    /// It is wanted, and somebody else has made a Secret of its name.
    Taken,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Ok,
        Self::Due,
        Self::Missing,
        Self::Deleted,
        Self::NoProperty,
        Self::Unused,
        Self::Foreign,
        Self::Refused,
        Self::Unsynced,
        Self::Taken,
    ];

    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Due => "due",
            Self::Missing => "missing",
            Self::Deleted => "deleted",
            Self::NoProperty => "no-property",
            Self::Unused => "unused",
            Self::Foreign => "foreign",
            Self::Refused => "refused",
            Self::Unsynced => "unsynced",
            Self::Taken => "taken",
        }
    }
}

impl Row {
    /// Whether somebody should look at it.
    pub fn wants_attention(&self) -> bool {
        match self.state {
            State::Ok | State::Unused => false,
            // What nothing uses may go without a word.
            State::Foreign => !self.used_by.is_empty(),
            State::Due
            | State::Missing
            | State::Deleted
            | State::Refused
            | State::NoProperty
            | State::Unsynced
            | State::Taken => true,
        }
    }
}

impl Place {
    /// Whether somebody should look at it.
    pub fn wants_attention(&self) -> bool {
        matches!(self.labels.binding, Binding::Broken(_))
            || matches!(self.sync, Given::No | Given::Otherwise)
            || !self.is_listed
            || self.rows.iter().any(Row::wants_attention)
    }
}

/// Something that the caller may not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// What.
    pub what: Kind,
    /// Where, for Secrets; several where all are denied.
    pub namespaces: Vec<String>,
    /// Who it is denied to, as the API server says.
    pub user: Option<String>,
}

/// What may be denied without leaving nothing to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The metadata of Secrets: age and due are not known then.
    Secrets,
    /// The catalogue: why something is not synced is not known then.
    Catalogue,
    /// The RoleBinding of the sync.
    RoleBindings,
}

/// Reads the cluster with the caller's own rights. `say` hears how far it is.
pub fn status(options: &Options, say: &mut dyn FnMut(&str, usize)) -> Result<Status, SyncError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(SyncError::System)?.block_on(async {
        let (config, _) = configuration(options.configuration.as_deref()).await?;
        let reader = Reader::connect(options.kubeconfig.clone(), options.context.clone()).await?;
        let mut status = Status::default();
        let facts = read::read(&reader, options, &config.settings.kinds, &mut status, say).await?;
        let now = Timestamp::now();
        status.namespaces = facts.iter().map(|facts| place(facts, &config.sync.rotation, now)).collect();
        Ok(status)
    })
}

/// Who refers to what in one namespace, inside of its binding.
#[derive(Default)]
struct Uses {
    by_path: BTreeMap<String, BTreeSet<String>>,
    by_secret: BTreeMap<String, BTreeSet<String>>,
    /// By Secret and key.
    by_key: BTreeMap<(String, String), BTreeSet<String>>,
}

impl Uses {
    fn of(users: &[User], binding: &Binding) -> Self {
        let mut uses = Self::default();
        for User { title, names, detail } in users {
            // The same fence as the sync's: what is foreign is wanted by nobody.
            let Wanted { paths, secrets, .. } = Wanted::of([names], binding, false);
            let proven = detail.paths.iter().filter(|path| binding.contains(path)).cloned();
            for path in paths.into_iter().chain(proven) {
                uses.by_path.entry(path).or_default().insert(title.clone());
            }
            for secret in secrets {
                uses.by_secret.entry(secret).or_default().insert(title.clone());
            }
            for key in detail.keys_in(binding) {
                uses.by_key.entry(key).or_default().insert(title.clone());
            }
        }
        uses
    }

    /// What is read of a Secret, and not in it.
    fn lacking(&self, secret: &str, keys: &BTreeSet<String>) -> Vec<(&str, &BTreeSet<String>)> {
        let from = (secret.to_owned(), String::new());
        let used = self.by_key.range(from..).take_while(|((of, _), _)| of == secret);
        used.filter(|((_, key), _)| !keys.contains(key)).map(|((_, key), titles)| (&**key, titles)).collect()
    }

    fn of_path(&self, path: &str, secret: &str) -> BTreeSet<String> {
        let both = self.by_path.get(path).into_iter().chain(self.by_secret.get(secret));
        both.flatten().cloned().collect()
    }
}

/// Puts together what is known of one namespace.
fn place(facts: &Facts, rotation: &Rotation, now: Timestamp) -> Place {
    let binding = &facts.labels.binding;
    let uses = Uses::of(&facts.users, binding);
    let mut rows: BTreeMap<(String, String), Row> = BTreeMap::new();
    for claimed in facts.held() {
        let row = held(facts, &uses, claimed, rotation, now);
        rows.insert((row.path.clone(), row.secret.clone()), row);
    }
    let there: BTreeSet<&str> = rows.keys().map(|(path, _)| path.as_str()).collect();
    let absent: Vec<Row> = wanted(facts, &uses)
        .into_iter()
        .filter(|path| !there.contains(path.as_str()))
        .map(|path| absent(facts, &uses, path))
        .collect();
    rows.extend(absent.into_iter().map(|row| ((row.path.clone(), row.secret.clone()), row)));
    let mut notes = facts.notes.clone();
    notes.extend(facts.labels.problems.iter().cloned());
    let unlisted = facts.unlisted().map(|(prefix, why)| format!("{prefix} could not be listed: {why}"));
    let before = notes.len();
    notes.extend(unlisted);
    let is_listed = notes.len() == before;
    Place {
        name: facts.name.clone(),
        labels: facts.labels.clone(),
        all: facts.all,
        sync: facts.sync,
        rows: rows.into_values().collect(),
        notes,
        is_listed,
    }
}

/// Paths that something refers to; those of a whole scope, and Secrets that pods name, as far as the catalogue knows names.
fn wanted(facts: &Facts, uses: &Uses) -> BTreeSet<String> {
    let mut paths: BTreeSet<String> = uses.by_path.keys().cloned().collect();
    if let Some(own) = own(facts) {
        for name in facts.known() {
            let path = format!("{own}/{name}");
            if facts.all || uses.by_secret.contains_key(&secret_name(&path)) {
                paths.insert(path);
            }
        }
    }
    paths
}

fn own(facts: &Facts) -> Option<&Scope> {
    prefixes(&facts.labels.binding).first().copied()
}

/// A path that a Secret holds.
fn held(facts: &Facts, uses: &Uses, claimed: &Claimed, rotation: &Rotation, now: Timestamp) -> Row {
    let Claimed { path, secret, version, created, mark, keys } = claimed;
    let used_by = uses.of_path(path, secret);
    let period = jiff::SignedDuration::try_from(rotation::period(path, rotation)).ok();
    let due = created.zip(period).and_then(|(created, period)| created.checked_add(period).ok());
    let is_of_whole_scope = facts.all && own(facts).is_some_and(|own| own.contains(path));
    let since = || match facts.leaving(secret) {
        Some(leaving) => format!(" since {}", leaving.since.strftime("%Y-%m-%d %H:%M UTC")),
        None => String::new(),
    };
    let refused = facts.refused(path);
    let (state, mut why) = if facts.binding_is_known() && !facts.labels.binding.contains(path) {
        let still = if used_by.is_empty() { "" } else { ", and what uses it will find it gone" };
        let why = "outside of what the namespace is bound to";
        (State::Foreign, Some(format!("{why}{}; its Secret goes after sync.rebindGrace{still}", since())))
    } else if let Some(mark) = mark.as_deref() {
        match mark {
            "deleted" => {
                let why = "scheduled for deletion in the secret manager; the Secret stays as it is";
                (State::Deleted, Some(why.to_owned()))
            }
            _ => {
                let why = "the secret manager does not list it any more; the Secret stays as it is";
                (State::Missing, Some(why.to_owned()))
            }
        }
    } else if used_by.is_empty() && !is_of_whole_scope && facts.users_are_known {
        let leaving = facts.leaving(secret).is_some_and(|leaving| leaving.why == Why::Unwanted);
        let since = if leaving { since() } else { String::new() };
        (State::Unused, Some(format!("nothing names it{since}; its Secret goes after sync.forgetAfter")))
    } else if let Some(why) = refused {
        (State::Refused, Some(format!("the Secret stays as it is: {why}")))
    } else if let Some(why) = keys.as_ref().and_then(|keys| no_property(uses, secret, keys)) {
        (State::NoProperty, Some(why))
    } else if due.is_some_and(|due| due <= now) {
        (State::Due, None)
    } else {
        (State::Ok, None)
    };
    if let Some((why, refused)) = why.as_mut().zip(refused).filter(|_| state != State::Refused) {
        why.push_str("; ");
        why.push_str(refused);
    }
    Row {
        path: path.clone(),
        secret: secret.clone(),
        state,
        version: version.clone(),
        created: *created,
        due,
        used_by,
        why,
    }
}

/// Why pods do not start though the Secret is there; `None` where it has all that is read of it.
fn no_property(uses: &Uses, secret: &str, keys: &BTreeSet<String>) -> Option<String> {
    let lacking = uses.lacking(secret, keys);
    let (key, titles) = lacking.first()?;
    let name = key_property(key).unwrap_or_else(|| (*key).to_owned());
    let properties: Vec<String> = keys.iter().filter_map(|key| key_property(key)).collect();
    let hint = similar(&name, properties.iter().map(String::as_str));
    let hint = hint.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    let others = match lacking.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more that it does not have"),
    };
    let user = titles.first().map_or("something", String::as_str);
    Some(format!(
        "{user} refers to property {name}{others}, which the secret does not have, so its pods do not start{hint}"
    ))
}

/// A path that is wanted and that no Secret holds.
fn absent(facts: &Facts, uses: &Uses, path: String) -> Row {
    let secret = secret_name(&path);
    let used_by = uses.of_path(&path, &secret);
    let (state, why) = if facts.has_other(&secret) {
        let why = "somebody else made a Secret of this name; the sync leaves it alone until it is gone";
        (State::Taken, why.to_owned())
    } else {
        (State::Unsynced, why_absent(facts, &path))
    };
    Row { path, secret, state, version: None, created: None, due: None, used_by, why: Some(why) }
}

fn why_absent(facts: &Facts, path: &str) -> String {
    if facts.terminating {
        return "the namespace is being deleted".to_owned();
    }
    if matches!(facts.sync, Given::No | Given::Otherwise) {
        return "the sync may not fill Secrets here".to_owned();
    }
    if !facts.catalogue_is_known {
        return "there is no Secret, and without the catalogue nobody can say why".to_owned();
    }
    if facts.catalogue.is_none() {
        return "the sync has not looked at this namespace yet; does it run?".to_owned();
    }
    if let Some(why) = facts.refused(path) {
        return why.to_owned();
    }
    let is_below = |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
    if let Some((prefix, why)) = facts.unlisted().find(|(prefix, _)| is_below(prefix)) {
        return format!("{prefix} could not be listed: {why}");
    }
    let name = own(facts).and_then(|own| path.strip_prefix(own.as_str())?.strip_prefix('/'));
    let Some(name) = name else {
        let why = "whether the secret manager has it, the catalogue says of the namespace's own scope alone";
        return format!("there is no Secret; {why}");
    };
    let known = facts.known();
    if known.iter().any(|other| other == name) {
        return "the secret manager lists it, and the sync has not brought it: it comes with the next pass, or it has no \
                current value, or an Event of the namespace says why"
            .to_owned();
    }
    if may_be_cut(known) {
        return "it is not among the first names that the secret manager lists, which are all that the catalogue has".to_owned();
    }
    let others =
        facts.held().filter_map(|claimed| claimed.path.strip_prefix(own(facts)?.as_str())?.strip_prefix('/'));
    let hint = similar(name, known.iter().map(String::as_str).chain(others));
    let hint = hint.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    format!("the secret manager did not list it when the sync last looked{hint}")
}

#[cfg(test)]
mod tests;
