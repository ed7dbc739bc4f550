//! From a reference, the scope and the catalogue to a synced Secret and key, or to a refusal.

use std::borrow::Cow;

use super::absent::{self, Absent};
use super::bounds::{MANY, similar};
use super::carriers::filled::{Filled, Spread};
use super::carriers::row::Row;
use super::finding::Certainty;
use super::message;
use super::path::{self, Scope, key_property, secret_name};
use super::reference::Reference;
use super::refusal::Cause;
use super::rules::{Candidate, Place};
use super::snapshot::{Binding, Catalogue, Entry, NamespaceState, Settings};

/// Where a review takes place: what one decision may look at.
#[derive(Debug, Clone, Copy)]
pub struct World<'s> {
    /// The settings.
    pub settings: &'s Settings,
    /// The namespace of the request.
    pub state: &'s NamespaceState,
    /// Its name.
    pub namespace: &'s str,
    /// Whether the snapshot is too old to answer for references.
    pub stale: bool,
}

/// What a reference comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution<'s> {
    /// A Secret of the namespace.
    Found(Found<'s>),
    /// Without a world and a scope it cannot be said; the path where it is absolute.
    Unknown(Option<String>),
    /// The namespace may not have it: the path if it reads as one, and why.
    Refused {
        /// The path.
        path: Option<String>,
        /// The kind of fault.
        cause: Cause,
        /// A sentence without its subject.
        why: String,
    },
}

/// A reference, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'s> {
    /// The path that it means.
    pub path: String,
    /// The Secret that holds it, or will.
    pub secret: String,
    /// The key in that Secret.
    pub key: String,
    /// Its entry in the catalogue; `None` until the sync has made the Secret.
    pub entry: Option<&'s Entry>,
    /// What the developer should know all the same.
    pub note: Option<String>,
}

/// What a whole secret comes to where another system fills it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whole {
    /// All keys of the Secret.
    Secret,
    /// Env var, Secret and key.
    Keys(Vec<(String, String, String)>),
}

impl<'s> World<'s> {
    /// What the namespace may read.
    pub fn binding(&self) -> &'s Binding {
        &self.state.namespace.binding
    }

    fn catalogue(&self) -> &'s Catalogue {
        &self.state.catalogue
    }

    /// The first path that the catalogue gives for a Secret and that the namespace may not read.
    pub fn foreign(&self, secret: &str) -> Option<&'s str> {
        self.catalogue()
            .by_secret(secret)
            .map(|entry| &*entry.path)
            .find(|path| !self.binding().contains(path) && *self.binding() != Binding::Unknown)
    }

    /// Whether a Secret holds what the namespace may not read, by the catalogue or by what another system fills.
    pub fn is_foreign(&self, secret: &str) -> bool {
        self.foreign(secret).is_some() || self.state.filled.is_outside(secret)
    }

    /// The entry of a Secret whose path the namespace may read.
    pub fn entry(&self, secret: &str) -> Option<&'s Entry> {
        self.catalogue().by_secret(secret).find(|entry| self.binding().contains(&entry.path))
    }

    /// The path that a reference means, if the namespace may read it.
    fn path_of(&self, reference: &Reference<'_>) -> Result<(&'s Scope, String), Resolution<'s>> {
        let refused =
            |path: Option<String>, cause: Cause, why: String| Err(Resolution::Refused { path, cause, why });
        let own = match self.binding() {
            Binding::Bound { own, .. } => own,
            Binding::Unbound => return refused(None, Cause::Unbound, message::unbound(self.namespace)),
            Binding::Broken(why) => {
                return refused(None, Cause::Unbound, message::broken_binding(self.namespace, why));
            }
            Binding::Unknown => {
                return Err(Resolution::Unknown(reference.absolute.then(|| reference.path.to_owned())));
            }
        };
        if self.is_value(reference.path) || reference.property.is_some_and(|property| self.is_value(property))
        {
            return refused(None, Cause::Pasted, message::PASTED.to_owned());
        }
        let path = match reference.path_in(own) {
            Ok(path) => path.as_str().to_owned(),
            Err(error) => return refused(None, Cause::Syntax, error.to_string()),
        };
        if self.stale {
            return refused(Some(path), Cause::Stale, message::STALE.to_owned());
        }
        if !self.binding().contains(&path) {
            let why = match reference.absolute {
                true => message::outside_from_the_root(&path, self.binding()),
                false => message::outside(&path, self.binding()),
            };
            return refused(Some(path), Cause::OutOfScope, why);
        }
        if !reference.absolute && self.binding().begins(reference.path) && !self.is_known(own, &path) {
            let why = message::no_slash(reference.path, self.binding());
            return refused(Some(path), Cause::Syntax, why);
        }
        Ok((own, path))
    }

    /// Whether a path is synced, filled by another system, or one that the secret manager has.
    fn is_known(&self, own: &Scope, path: &str) -> bool {
        let name = path.strip_prefix(own.as_str()).and_then(|rest| rest.strip_prefix('/'));
        let is_listed = |name: &str| {
            self.catalogue()
                .known()
                .is_some_and(|all| all.binary_search_by(|other| (**other).cmp(name)).is_ok())
        };
        !self.catalogue().by_path(path).is_empty()
            || self.state.filled.by_path(path).next().is_some()
            || name.is_some_and(is_listed)
    }

    /// Whether a reference names what is there, or what the secret manager has, inside of what the namespace may read.
    pub fn names_what_is_there(&self, reference: &Reference<'_>) -> bool {
        let is_there = |(own, path): (&Scope, String)| self.is_known(own, &path);
        self.path_of(reference).is_ok_and(is_there)
    }

    /// What all properties of a secret come to as env vars: as `resolve` has it, or, where another system fills it, by its keys.
    pub fn resolve_whole(&self, reference: &Reference<'_>, suggest: bool) -> (Resolution<'s>, Option<Whole>) {
        let filled: &'s Filled = &self.state.filled;
        let path = match self.path_of(reference) {
            Ok((_, path)) if self.catalogue().by_path(&path).is_empty() => path,
            _ => return (self.resolve(reference, suggest), None),
        };
        let (Some(spread), Some(first)) = (filled.spread(&path), filled.by_path(&path).next()) else {
            return (self.resolve(reference, suggest), None);
        };
        let (secret, note, whole) = match spread {
            Spread::Secret(row, other) => {
                let note = other.map(|other| message::two_sources(&path, &row.named(), &other.named()));
                (row.secret().to_owned(), note, Whole::Secret)
            }
            Spread::Keys(keys) => {
                let known = keys.into_iter().filter(|(property, _)| is_env_name(property));
                let owned = |(property, (secret, key)): (&str, (&str, &str))| {
                    (property.to_owned(), secret.to_owned(), key.to_owned())
                };
                let keys: Vec<(String, String, String)> = known.map(owned).collect();
                let Some((_, secret, _)) = keys.first() else {
                    return (unknown(&path, first), None);
                };
                (secret.clone(), None, Whole::Keys(keys))
            }
            Spread::Shared(row) => {
                let why = message::env_from_shared(&path, &row.by(), row.secret());
                return (Resolution::Refused { path: Some(path), cause: Cause::Conflict, why }, None);
            }
            Spread::Plain(row) => return (unknown(&path, row), None),
        };
        if let Whole::Keys(keys) = &whole {
            let mut secrets: Vec<&str> = keys.iter().map(|(_, secret, _)| &**secret).collect();
            secrets.sort_unstable();
            secrets.dedup();
            if let Some(refused) = secrets.into_iter().find_map(|secret| self.not_sole(&path, secret)) {
                return (refused, None);
            }
        }
        let found = Found { path, secret, key: EVERY_KEY.to_owned(), entry: None, note };
        (self.sole(Resolution::Found(found)), Some(whole))
    }

    /// What another system fills, unless the catalogue says that the Secret is RefGate's: then two write into it.
    fn sole(&self, resolution: Resolution<'s>) -> Resolution<'s> {
        let Resolution::Found(Found { path, secret, .. }) = &resolution else { return resolution };
        self.not_sole(path, secret).unwrap_or(resolution)
    }

    /// Why a Secret that another system fills from a path is not that system's alone.
    fn not_sole(&self, path: &str, secret: &str) -> Option<Resolution<'s>> {
        let other = self.catalogue().by_secret(secret).next()?;
        let shown = self.binding().contains(&other.path).then_some(&*other.path);
        let why = message::holds_something_else(path, secret, shown);
        Some(Resolution::Refused { path: Some(path.to_owned()), cause: Cause::Conflict, why })
    }

    /// What a reference comes to here; `suggest` asks for a "did you mean" besides.
    pub fn resolve(&self, reference: &Reference<'_>, suggest: bool) -> Resolution<'s> {
        let refused = |path: &str, cause: Cause, why: String| Resolution::Refused {
            path: Some(path.to_owned()),
            cause,
            why,
        };
        let (own, path) = match self.path_of(reference) {
            Ok(found) => found,
            Err(resolution) => return resolution,
        };
        let entries = self.catalogue().by_path(&path);
        let filled = self.state.filled.by_path(&path).next();
        if let (true, Some(first)) = (entries.is_empty(), filled) {
            return self.sole(by_others(reference, &path, &self.state.filled, first, suggest));
        }
        if entries.is_empty() && self.catalogue().is_absent() && !self.state.filled.is_empty() {
            let names = self.state.filled.rows().filter_map(|row| row.path().strip_prefix(own.as_str()));
            let names = names.filter_map(|name| name.strip_prefix('/'));
            let meant = suggest.then(|| {
                let property = self.property_behind(&path, reference);
                property.or_else(|| similar(reference.path, names).map(str::to_owned))
            });
            return refused(
                &path,
                Cause::NotFilled,
                message::nobody_fills(&path, meant.flatten().as_deref()),
            );
        }
        let secret =
            entries.first().map_or_else(|| secret_name(&path), |entry| entry.secret.clone().into_string());
        if let Some(other) = self.catalogue().by_secret(&secret).find(|entry| *entry.path != *path) {
            let shown = self.binding().contains(&other.path).then_some(&*other.path);
            let why = message::holds_something_else(&path, &secret, shown);
            return refused(&path, Cause::Conflict, why);
        }
        // The Secret that the sync would make is there, by another system and of another path; it will never be the sync's.
        if let (true, Some(other)) = (entries.is_empty(), self.state.filled.writer(&secret)) {
            let why = message::is_anothers(&path, &secret, &other.by());
            return refused(&path, Cause::Conflict, why);
        }
        let key = reference.key();
        let note = match (entries, filled) {
            ([], _) if self.catalogue().is_unknown() => None,
            ([], _) => Some(self.absent(&path, suggest, Some(reference)).note(reference.optional)),
            ([entry, ..], Some(other)) => Some(message::two_sources(&path, &entry.secret, &other.named())),
            ([entry], None) => missing_key(entry, &key, reference, suggest),
            ([first, second, ..], None) => Some(message::two_sources(&path, &first.secret, &second.secret)),
        };
        Resolution::Found(Found { path, secret, key, entry: entries.first(), note })
    }

    /// Whether a text that should be the name of a secret looks like the value itself.
    pub fn is_value(&self, text: &str) -> bool {
        let mut hits = Vec::new();
        let candidate = Candidate { place: Place::Env, name: None, value: text, before: None };
        self.settings.detector.scan(&candidate, &mut hits);
        hits.iter().any(|hit| hit.rule.certainty == Certainty::Certain)
    }

    /// Why no Secret holds a path yet; `suggest` asks for a "did you mean" besides, of a `reference` that may have a property.
    pub fn absent<'p>(&self, path: &'p str, suggest: bool, reference: Option<&Reference<'_>>) -> Absent<'p>
    where
        's: 'p,
    {
        let mut absent = Absent { path, is_known: true, similar: None };
        let Binding::Bound { own, .. } = self.binding() else { return absent };
        if self.is_known(own, path) {
            return absent;
        }
        let name = path.strip_prefix(own.as_str()).and_then(|rest| rest.strip_prefix('/'));
        let in_scope = |entry: &'s Entry| entry.path.strip_prefix(own.as_str())?.strip_prefix('/');
        let mut synced = self.catalogue().entries().iter().filter_map(in_scope);
        let property = reference.filter(|_| suggest).and_then(|written| self.property_behind(path, written));
        let (Some(name), Some(known)) = (name, self.catalogue().known()) else {
            // What the secret manager has is not known, so that only what is surely meant is said.
            let by_case = name.filter(|_| suggest && property.is_none());
            let by_case = by_case.and_then(|name| synced.find(|other| other.eq_ignore_ascii_case(name)));
            absent.similar = property.map(Cow::Owned).or(by_case.map(Cow::Borrowed));
            return absent;
        };
        let names = known.iter().map(|name| &**name).chain(synced);
        absent.is_known = false;
        absent.similar = match property {
            Some(property) => Some(property.into()),
            None => suggest.then(|| similar(name, names)).flatten().map(Cow::Borrowed),
        };
        absent
    }

    /// The reference that somebody meant who wrote another character than `#` before a property: `smtp.port` for `smtp#port`.
    fn property_behind(&self, path: &str, reference: &Reference<'_>) -> Option<String> {
        if reference.property.is_some() {
            return None;
        }
        let written = reference.path;
        let root = if reference.absolute { "/" } else { "" };
        let separators = written.char_indices().filter(|(_, character)| "./@_-".contains(*character));
        separators.take(SEPARATORS).find_map(|(at, _)| {
            let (name, property) = (&written[..at], &written[at + 1..]);
            let of = path.get(..path.len() - written.len() + at)?;
            let key = path::property_key(property)?;
            let is_synced = |entry: &Entry| entry.keys.binary_search_by(|known| (**known).cmp(&*key)).is_ok();
            let is_there = self.catalogue().by_path(of).iter().any(is_synced)
                || self.state.filled.by_path(of).take(MANY).any(|row| row.key_of(Some(property)).is_some());
            (is_there && !property.is_empty()).then(|| format!("{root}{name}#{property}"))
        })
    }
}

/// All properties of a path are wanted, and none is known.
fn unknown<'s>(path: &str, row: &Row) -> Resolution<'s> {
    let why = message::env_from_unknown(path, &row.by(), row.secret());
    Resolution::Refused { path: Some(path.to_owned()), cause: Cause::NoProperties, why }
}

/// So many characters of a name are tried as one that stands in place of `#`.
const SEPARATORS: usize = 16;

/// So many keys that should hold what a reference asks for are looked at closely.
const TRIES: usize = 16;

/// A reference to a path that other systems fill. Of several the first by Secret and name counts, and that is said.
fn by_others<'s>(
    reference: &Reference<'_>,
    path: &str,
    filled: &'s Filled,
    first: &Row,
    suggest: bool,
) -> Resolution<'s> {
    // What costs little is asked first: of one path there may be as many rows as an object has entries.
    let rows = filled.by_path(path).take(MANY);
    let fits = |row: &&Row| row.key_of(reference.property).is_some();
    let sure = |row: &'s Row| Some((row, filled.key_of(row, reference.property)?));
    let Some((row, key)) = rows.clone().filter(fits).take(TRIES).find_map(sure) else {
        let names = rows.filter_map(Row::property);
        let meant = reference.property.filter(|_| suggest).and_then(|property| similar(property, names));
        let why = message::no_key_holds(path, &first.by(), first.secret(), reference.property, meant);
        return Resolution::Refused { path: Some(path.to_owned()), cause: Cause::NotFilled, why };
    };
    let others = rows.filter(|other| other.is_other(row)).filter(fits);
    let other = others.take(TRIES).find_map(sure);
    let note = other.map(|(other, _)| message::two_sources(path, &row.named(), &other.named()));
    let (path, secret, key) = (path.to_owned(), row.secret().to_owned(), key.to_owned());
    Resolution::Found(Found { path, secret, key, entry: None, note })
}

/// What to say of a key that a Secret does not have.
fn missing_key(entry: &Entry, key: &str, reference: &Reference<'_>, suggest: bool) -> Option<String> {
    if entry.keys.binary_search_by(|known| (**known).cmp(key)).is_ok() {
        return None;
    }
    let Some(property) = reference.property else {
        return Some(absent::no_whole(&entry.path, reference.optional));
    };
    let meant = suggest.then(|| {
        let properties: Vec<String> = entry.keys.iter().filter_map(|key| key_property(key)).collect();
        similar(property, properties.iter().map(String::as_str)).map(str::to_owned)
    });
    Some(absent::no_property(&entry.path, property, reference.optional, meant.flatten().as_deref()))
}

/// In place of a key: all of them. No key is called so.
pub const EVERY_KEY: &str = "*";

/// Whether a text can be the name of an env var: printable ASCII without `=` (Kubernetes, `IsRelaxedEnvVarName`, on by
/// default from 1.32).
pub fn is_env_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=')
}

/// Properties of a JSON secret, with their keys, as far as they can be env vars.
pub fn env_properties(entry: &Entry) -> Vec<(String, &str)> {
    entry
        .keys
        .iter()
        .filter(|key| ***key != *path::WHOLE)
        .filter_map(|key| key_property(key).map(|property| (property, &**key)))
        .filter(|(property, _)| is_env_name(property))
        .collect()
}
