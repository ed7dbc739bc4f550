//! Pure: what is wanted, what is held and what the manager lists to what is to be done. No clock, no values.
//!
//! What is not known changes nothing: a list that could not be read marks nothing and takes nothing away.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::manager::Listed;
use super::rotation;
use super::runs::Owner;
use super::secret::{Desired, Held, Known};
use super::unread::Unread;
use super::wanted::Wanted;
use crate::config::sync::Sync;
use crate::policy::path::{Scope, secret_name};
use crate::policy::snapshot::Binding;
use content::content;

mod content;

pub use content::{Content, may_be_cut};

/// What the manager has under one prefix.
#[derive(Debug, Default)]
pub struct Listing {
    by_path: BTreeMap<String, Listed>,
    /// Paths by the name that their Secret has or would have.
    by_name: HashMap<String, String>,
}

impl Listing {
    /// Of a list.
    pub fn new(list: Vec<Listed>) -> Self {
        let by_name = list.iter().map(|listed| (secret_name(&listed.path), listed.path.clone())).collect();
        Self { by_path: list.into_iter().map(|listed| (listed.path.clone(), listed)).collect(), by_name }
    }

    /// What the manager says of a path.
    pub fn get(&self, path: &str) -> Option<&Listed> {
        self.by_path.get(path)
    }
}

/// What the manager has, by prefix; `None` where it could not be read.
pub type Listings = HashMap<String, Option<Listing>>;

/// What the manager says of one path.
enum Source<'a> {
    Listed(&'a Listed),
    Missing,
    Unknown,
}

/// The prefixes that a namespace may read, its own scope first.
pub fn prefixes(binding: &Binding) -> Vec<&Scope> {
    match binding {
        Binding::Bound { own, shared } => std::iter::once(own).chain(shared).collect(),
        Binding::Unbound | Binding::Broken(_) | Binding::Unknown => Vec::new(),
    }
}

/// Since when a Secret is on its way out, and why. Kept in the catalogue, so that another leader knows it too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// When it was first seen so.
    pub since: Timestamp,
    /// Why.
    pub why: Why,
}

/// Why a Secret is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// Nothing names it.
    Unwanted,
    /// It lies outside of what its namespace is bound to by now.
    Foreign,
}

impl Why {
    /// The rest of a sentence.
    pub fn text(self) -> &'static str {
        match self {
            Self::Unwanted => "no pod, no template and no annotation has named it for sync.forgetAfter",
            Self::Foreign => "the namespace was bound to something else, and sync.rebindGrace is over",
        }
    }
}

/// All that is known of one namespace.
pub struct View<'a> {
    /// What it is bound to.
    pub binding: &'a Binding,
    /// What it wants.
    pub wanted: &'a Wanted,
    /// Its Secrets that are ours; the whole list.
    pub held: &'a [Held],
    /// Names that somebody else has taken, and the paths that they are of.
    pub taken: &'a BTreeMap<String, String>,
    /// What its catalogue says of those that leave.
    pub leaving: &'a BTreeMap<String, Leaving>,
    /// The further names that its catalogue says.
    pub known_names: &'a [String],
    /// Whether all that may name a Secret was seen, and is heard of: else nothing is taken away.
    pub is_whole: bool,
    /// Whether the binding is what the cluster says now: else nothing is foreign for sure.
    pub is_binding_known: bool,
    /// What the manager has.
    pub listings: &'a Listings,
    /// What was fetched before.
    pub known: &'a HashMap<String, Known>,
    /// Kinds that the sync may not read: the catalogue says it.
    pub unread: &'a BTreeSet<Unread>,
    /// Prefixes that the manager does not list before a person changes something, and why: the catalogue says it.
    pub unlisted: &'a BTreeMap<String, String>,
    /// Why the API server does not take what is written for a path: the catalogue says it.
    pub refused: &'a BTreeMap<String, String>,
}

/// What is to be done in a namespace.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Paths whose values are needed to go on.
    pub fetch: BTreeSet<String>,
    /// Secrets whose mark changes: name, uid, the mark.
    pub marks: Vec<(String, String, Option<&'static str>)>,
    /// Secrets to delete: name, uid, why.
    pub deletes: Vec<(String, String, Why)>,
    /// What becomes of the catalogue.
    pub catalogue: Catalogue,
    /// What people should know.
    pub events: Vec<Event>,
    /// Paths whose values cannot become a Secret, and why.
    pub unfit: BTreeMap<String, String>,
    /// Paths whose values are older than they should be.
    pub due: Vec<String>,
    /// Whether everything that stays is known to be what its source has.
    pub is_current: bool,
}

/// What becomes of a catalogue.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Catalogue {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is this.
    Be(Content),
    /// There is nothing to say any more.
    Go,
}

/// Something that people should know. No value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Event {
    /// What it is about.
    pub about: About,
    /// One word.
    pub reason: &'static str,
    /// A sentence.
    pub note: String,
}

/// What an Event is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum About {
    /// The namespace itself.
    Namespace,
    /// A Secret, by name.
    Secret(String),
    /// A workload.
    Workload(Owner),
}

impl Event {
    /// About a Secret.
    pub fn of(secret: &str, reason: &'static str, note: String) -> Self {
        Self { about: About::Secret(secret.to_owned()), reason, note }
    }

    /// About the namespace itself.
    pub fn of_namespace(reason: &'static str, note: String) -> Self {
        Self { about: About::Namespace, reason, note }
    }
}

/// What is to be done in a namespace, now.
pub fn plan(view: &View<'_>, settings: &Sync, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if matches!(view.binding, Binding::Broken(_) | Binding::Unknown) {
        // What its labels were meant to say is not known.
        return plan;
    }
    let is_listed = |prefix: &Scope| matches!(view.listings.get(prefix.as_str()), Some(Some(_)));
    plan.is_current = prefixes(view.binding).into_iter().all(is_listed);
    let wanted = paths(view);
    let mut leaving = BTreeMap::new();
    for held in view.held {
        if !view.binding.contains(&held.path) {
            plan.leave(view, held, Why::Foreign, settings, now, &mut leaving);
        } else if is_wanted(view, &wanted, held) {
            plan.keep(view, held, settings, now);
        } else {
            plan.leave(view, held, Why::Unwanted, settings, now, &mut leaving);
        }
    }
    let there: HashSet<&str> = view.held.iter().map(|held| held.name.as_str()).collect();
    for path in &wanted {
        let name = secret_name(path);
        if !there.contains(name.as_str()) && !view.taken.contains_key(&name) {
            plan.make(view, path);
        }
    }
    let is_bound = matches!(view.binding, Binding::Bound { .. });
    plan.catalogue = match is_bound || !view.held.is_empty() {
        true => content(view, &leaving, &plan.unfit).map_or_else(|event| plan.tell(event), Catalogue::Be),
        false => Catalogue::Go,
    };
    plan
}

/// The paths that are wanted by their names, by the names of their Secrets, or because all of the scope is.
fn paths(view: &View<'_>) -> BTreeSet<String> {
    let mut paths = view.wanted.paths.clone();
    for (index, prefix) in prefixes(view.binding).into_iter().enumerate() {
        let Some(Some(listing)) = view.listings.get(prefix.as_str()) else { continue };
        paths.extend(view.wanted.secrets.iter().filter_map(|name| listing.by_name.get(name).cloned()));
        if index == 0 && view.wanted.all {
            paths.extend(listing.by_path.keys().cloned());
        }
    }
    paths.retain(|path| view.binding.contains(path));
    paths
}

fn is_wanted(view: &View<'_>, wanted: &BTreeSet<String>, held: &Held) -> bool {
    let is_named = wanted.contains(&held.path) || view.wanted.secrets.contains(&held.name);
    // Whether it is still of the scope cannot be said.
    let may_be = || view.wanted.all && matches!(view.source(&held.path), Source::Unknown);
    is_named || may_be()
}

impl<'a> View<'a> {
    fn source(&self, path: &str) -> Source<'a> {
        let mut is_missing = false;
        for prefix in prefixes(self.binding).into_iter().filter(|prefix| prefix.contains(path)) {
            // What lies under two prefixes is missing where neither has it.
            let Some(Some(listing)) = self.listings.get(prefix.as_str()) else { return Source::Unknown };
            if let Some(listed) = listing.by_path.get(path) {
                return Source::Listed(listed);
            }
            is_missing = true;
        }
        if is_missing { Source::Missing } else { Source::Unknown }
    }
}

impl Plan {
    fn tell(&mut self, event: Event) -> Catalogue {
        self.events.push(event);
        Catalogue::Keep
    }

    /// A Secret that stays, and follows its source.
    fn keep(&mut self, view: &View<'_>, held: &Held, settings: &Sync, now: Timestamp) {
        let mark = match view.source(&held.path) {
            // Whoever cannot be asked has not said that it is gone.
            Source::Unknown => {
                self.is_current = false;
                return;
            }
            Source::Missing => Some("missing"),
            Source::Listed(listed) if listed.deleted.is_some() => Some("deleted"),
            Source::Listed(listed) => {
                self.follow(view, held, listed, now);
                None
            }
        };
        if held.mark.as_deref() != mark && !held.terminating {
            self.marks.push((held.name.clone(), held.uid.clone(), mark));
        }
        // For as long as it lasts: who was told once may not have heard it.
        self.events.extend(mark.map(|mark| marked(held, mark)));
        let created = held.created.as_deref().and_then(|text| text.parse().ok());
        if let Some(days) = rotation::overdue(&held.path, created, &settings.rotation, now) {
            self.due.push(held.path.clone());
            let note = format!("{} is due for rotation: its value is {days} days old", held.path);
            self.events.push(Event::of_namespace("RotationDue", note));
        }
    }

    /// Whether a Secret holds what its source has; what is not known is fetched.
    fn follow(&mut self, view: &View<'_>, held: &Held, listed: &Listed, now: Timestamp) {
        let known = view.known.get(&held.path).filter(|known| known.is_current(listed));
        match known.map(|known| (known, &known.shape)) {
            _ if held.terminating || listed.version.is_none() => {}
            Some((known, Ok(shape))) if held.is_as(shape, &known.version, known.created, now) => {}
            Some((_, Err(unfit))) => {
                let note = format!(
                    "{} has a version that does not fit: {unfit}; the Secret stays as it is",
                    held.path
                );
                self.events.push(Event::of(&held.name, "Unfit", note));
                self.unfit.insert(held.path.clone(), unfit.to_string());
                self.is_current = false;
            }
            _ => {
                self.is_current = false;
                self.fetch.insert(held.path.clone());
            }
        }
    }

    /// A path without a Secret.
    fn make(&mut self, view: &View<'_>, path: &str) {
        let Source::Listed(listed) = view.source(path) else { return };
        if listed.deleted.is_some() || listed.version.is_none() {
            return;
        }
        match view.known.get(path).filter(|known| known.is_current(listed)).map(|known| &known.shape) {
            Some(Err(unfit)) => {
                let note = format!("{path} cannot be made a Secret: {unfit}");
                self.events.push(Event::of_namespace("Unfit", note));
                self.unfit.insert(path.to_owned(), unfit.to_string());
            }
            _ => {
                self.fetch.insert(path.to_owned());
            }
        }
    }

    /// A Secret that goes when its time has come, and never in the pass that first saw it so.
    fn leave(
        &mut self,
        view: &View<'_>,
        held: &Held,
        why: Why,
        settings: &Sync,
        now: Timestamp,
        leaving: &mut BTreeMap<String, Leaving>,
    ) {
        let before = view.leaving.get(&held.name).filter(|before| before.why == why);
        let period = match why {
            Why::Unwanted => settings.forget_after,
            Why::Foreign => settings.rebind_grace,
        };
        let period = SignedDuration::try_from(period).unwrap_or(SignedDuration::MAX);
        // A clock that had jumped forward may have written it: what is foreign would stay until then.
        let since = before.map_or(now, |before| before.since.min(now));
        let is_time = before.is_some() && now.duration_since(since) >= period;
        // What a binding forbids goes whatever names it; what nobody seems to name may be named where nobody could look.
        let is_sure = match why {
            Why::Unwanted => view.is_whole && view.is_binding_known,
            Why::Foreign => view.is_binding_known,
        };
        if !is_sure && before.is_none() && why == Why::Unwanted {
            // Its time does not begin before somebody could look everywhere.
            return;
        }
        if is_time && is_sure && !held.terminating {
            self.deletes.push((held.name.clone(), held.uid.clone(), why));
        }
        if before.is_none() && why == Why::Foreign {
            let note = format!(
                "{} is outside of what the namespace is bound to now; its Secret is deleted in {} seconds, whatever names it",
                held.path,
                settings.rebind_grace.as_secs()
            );
            self.events.push(Event::of(&held.name, "Rebound", note));
        }
        leaving.insert(held.name.clone(), Leaving { since, why });
    }
}

/// What people should know of a Secret that was marked.
fn marked(held: &Held, mark: &str) -> Event {
    let path = &held.path;
    let (reason, why) = match mark {
        "deleted" => ("SourceDeleted", format!("{path} is scheduled for deletion in the secret manager")),
        _ => ("SourceMissing", format!("the secret manager does not list {path} any more")),
    };
    Event::of(&held.name, reason, format!("{why}; the Secret stays as it is"))
}

/// How a Secret becomes what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// There is none.
    Create,
    /// The one of this uid is changed.
    Update(String),
    /// The one of this uid cannot be changed; another one takes its place.
    Replace(String),
}

/// Name of the Secret.
pub fn name(desired: &Desired) -> String {
    secret_name(&desired.path)
}

/// How to write a value; `None` where it is there already, or where what is there is going.
pub fn write(held: Option<&Held>, desired: &Desired, now: Timestamp) -> Option<Write> {
    let Some(held) = held else { return Some(Write::Create) };
    if held.terminating || held.is_as(&desired.shape, &desired.version, desired.created, now) {
        None
    } else if held.is_to_replace(&desired.shape) {
        Some(Write::Replace(held.uid.clone()))
    } else {
        Some(Write::Update(held.uid.clone()))
    }
}

/// What `refgate.dev/changed` says after a write at `now`, which is late by up to a second, but never early. It moves with the
/// data alone, since pods are replaced for it. Of the first value it is no later than the Secret's own creation, by which it is
/// known for the first: no container has an older one.
pub fn changed(held: Option<&Held>, desired: &Desired, now: Timestamp) -> Timestamp {
    let Some(held) = held else {
        return Timestamp::from_second(now.as_second() - 1).unwrap_or(now);
    };
    held.changed_by(now).filter(|_| held.digest == desired.shape.digest).unwrap_or(now)
}

#[cfg(test)]
mod tests;
