//! What a carrier says of a foreign object: which remote paths it reaches and where in the object they stand, which store it
//! uses, what it fills, what plaintext it holds, and what cannot be decided. Nothing of scopes: `judge` compares.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::COPIERS;
use super::claims::PATHS;
use super::json::Json;
use super::place::{Place, System};
pub use super::pointer::{Pointer, Remark, Remarks};
use crate::policy::snapshot::Settings;
use crate::policy::wishes::is_ours;
use crate::policy::workload::json::escape;

/// The label by which the sync knows its Secrets.
pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Most paths, and most texts, that are kept of one object. Of the smallest entries of any kind, etcd stores fewer.
pub const MOST: usize = 1 << 15;
/// Longest name of a Secret: no object of Kubernetes has a longer one.
const NAME_BYTES: usize = 253;
/// Longest property that a reference may name.
const PROPERTY_BYTES: usize = 1_024;

/// What is done with a remote path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    /// One secret is read.
    Read,
    /// All secrets whose names begin with it are read.
    Find,
    /// One secret is written.
    Write,
}

/// By what a path is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A SecretStore of the namespace, or a ClusterSecretStore.
    Store {
        /// Whether it is of the whole cluster.
        cluster: bool,
        /// Its name.
        name: Arc<str>,
    },
    /// A place that the object itself names.
    Place(Arc<Place>),
    /// An engine of Vault that the object itself names: a place where a row of `carriers.mappings` names its mount, and
    /// otherwise nobody can say what it is.
    Engine(Arc<Place>),
    /// A store that labels select, of the namespace or of the whole cluster: which one, is decided later.
    Selected {
        /// Whether it is of the whole cluster.
        cluster: bool,
    },
    /// By nothing: it is said to be the path of what the object brings.
    Claim,
}

/// One remote path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Where it stands.
    pub at: Pointer,
    /// By what it is reached.
    pub source: Source,
    /// What is done with it.
    pub how: How,
    /// As it is written.
    pub key: Box<str>,
}

/// The same, of an object that is read, or of one that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked<'r> {
    /// Where it stands.
    pub at: &'r Pointer,
    /// By what it is reached.
    pub source: &'r Source,
    /// What is done with it.
    pub how: How,
    /// As it is written.
    pub key: &'r str,
}

impl Access {
    /// What is asked for.
    pub fn asked(&self) -> Asked<'_> {
        Asked { at: &self.at, source: &self.source, how: self.how, key: &self.key }
    }
}

/// What an object writes into a Secret. All that it writes is listed: what is not known is a reason to believe nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    /// The key; `None` where nobody can say which: each property has one of its own name, or something makes them up.
    pub key: Option<Box<str>>,
    /// The Secret, where it is not the object's one target.
    pub secret: Option<Box<str>>,
    /// Which of the accesses it comes from; `None` where no path says.
    pub access: Option<u32>,
    /// Which property of it; `None` for the whole, and for each.
    pub property: Option<Box<str>>,
    /// Whether what comes is what the secret manager has now: not an old version, a decoded text, or a part under other names.
    pub is_value: bool,
    /// The one system of which that holds, where the word for its version is one of that system.
    pub only_of: Option<System>,
}

impl Fill {
    /// One key that holds a whole value, or one property of it.
    pub fn key(key: &str, access: u32, property: Option<&str>) -> Self {
        // Each key that a template gives it repeats it.
        let is_value = property.is_none_or(|property| property.len() <= PROPERTY_BYTES);
        let property = property.filter(|_| is_value).map(Into::into);
        let key = Some(key.into());
        Self { key, secret: None, access: Some(access), property, is_value, only_of: None }
    }

    /// A key for each property, of its own name.
    pub fn each(access: u32) -> Self {
        Self { key: None, access: Some(access), is_value: true, ..Self::other(None) }
    }

    /// A key, or keys that nobody can name, with something of no path.
    pub fn other(key: Option<&str>) -> Self {
        let key = key.map(Into::into);
        Self { key, secret: None, access: None, property: None, is_value: false, only_of: None }
    }

    /// The same, of a Secret that is not the object's one target.
    pub fn of(self, secret: &str) -> Self {
        Self { secret: Some(secret.into()), ..self }
    }

    /// The same, unless something else comes than what the secret manager has now.
    pub fn unless(self, is_changed: bool) -> Self {
        Self { is_value: self.is_value && !is_changed, ..self }
    }
}

/// What is filled, by the names that an object itself gives it; `None` where two have one name.
pub fn by_name<'f>(pairs: impl Iterator<Item = (&'f str, &'f Fill)>) -> HashMap<&'f str, Option<&'f Fill>> {
    let mut named = HashMap::new();
    for (name, fill) in pairs {
        named.entry(name).and_modify(|known| *known = None).or_insert(Some(fill));
    }
    named
}

/// A text that stands in the object as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// Where.
    pub at: Pointer,
    /// Its name.
    pub name: Option<Box<str>>,
    /// The text.
    pub text: Box<str>,
}

/// What an object says of who reads for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// A region of AWS.
    Region,
    /// ARN of a role of AWS.
    Role,
}

impl Identity {
    /// Whether the configuration lists it, or what it does not list.
    pub fn judge(self, text: &str, settings: &Settings) -> Result<(), &'static str> {
        match self {
            Self::Region if settings.aws_regions.iter().any(|region| region == text) => Ok(()),
            Self::Region => Err("this region is none that aws.regions of the configuration lists"),
            Self::Role => {
                let parts: Vec<&str> = text.splitn(7, ':').collect();
                let is_listed = match parts[..] {
                    ["arn", _, "iam", "", account, name] => {
                        name.starts_with("role/")
                            && settings.aws_accounts.iter().any(|known| known == account)
                    }
                    _ => false,
                };
                let why = "this role is of no account that aws.accounts of the configuration lists";
                if is_listed { Ok(()) } else { Err(why) }
            }
        }
    }
}

/// All that a carrier says of one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Every remote path that is read or written.
    pub accesses: Vec<Access>,
    /// Name of the Secret that is filled.
    pub target: Option<Box<str>>,
    /// In which field its name stands, or those of the other Secrets.
    pub target_at: &'static str,
    /// What is written into it, and into other Secrets.
    pub fills: Vec<Fill>,
    /// Files of a class, and what is in each as the fill that it would be.
    pub files: Vec<(Box<str>, Fill)>,
    /// SecretProviderClasses that it names.
    pub classes: Vec<(Pointer, Box<str>)>,
    /// Secrets of the namespace that it reads or writes by name.
    pub secrets: Vec<(Pointer, Box<str>)>,
    /// Regions and roles of AWS that the object names: which of the two, and its text.
    pub identities: Vec<(Pointer, Identity, Box<str>)>,
    /// What the object is itself, where it is a store.
    pub place: Option<Place>,
    /// Plaintext, or what may be.
    pub literals: Vec<Literal>,
    /// What a bound namespace never gets.
    pub faults: Remarks,
    /// What cannot be decided.
    pub doubts: Remarks,
    /// What the person at the keyboard should know.
    pub notes: Remarks,
    /// Whether there are more paths, texts or keys than are kept of one object.
    pub has_more: bool,
}

impl Reach {
    /// Something that a bound namespace never gets.
    pub fn fault(&mut self, at: &str, text: impl Into<String>) {
        self.faults.say(|| (Pointer::to(at), text.into()));
    }

    /// Something that cannot be decided.
    pub fn doubt(&mut self, at: &str, text: impl Into<String>) {
        self.doubts.say(|| (Pointer::to(at), text.into()));
    }

    /// Says of each field that is not among `known` that it was not understood: a path may stand in it.
    pub fn known(&mut self, at: impl fmt::Display, object: &Json<'_>, known: &[&str]) {
        for (key, value) in object.fields() {
            if !known.contains(&&**key) && !value.is_null() {
                let why = "this version of RefGate does not know the field, so what it does was not judged";
                self.doubts.say(|| (Pointer::to(format!("{at}/{}", escape(key))), why.to_owned()));
            }
        }
        if !object.is_null() && !matches!(object, Json::Map(_)) {
            self.doubt(&at.to_string(), "an object belongs here");
        }
    }

    /// The text of a field that should be one; what is something else is a fault, since who reads it may make a text of it.
    pub fn text<'j>(&mut self, at: impl Fn() -> Pointer, value: &'j Json<'_>) -> Option<&'j str> {
        if !value.is_null() && value.text().is_none() {
            self.faults.say(|| (at(), "text belongs here".to_owned()));
        }
        value.text()
    }

    /// The elements of a field that should be a list.
    pub fn list<'j, 'a>(&mut self, at: &str, value: &'j Json<'a>) -> &'j [Json<'a>] {
        if !value.is_null() && !matches!(value, Json::List(_)) {
            self.fault(at, "a list belongs here");
        }
        value.items()
    }

    /// One remote path in a place that the object itself names. Gives its number.
    pub fn access(&mut self, at: Pointer, place: &Arc<Place>, how: How, key: &str) -> u32 {
        self.reaches(at, Source::Place(Arc::clone(place)), how, key)
    }

    /// One remote path, by whatever it is reached. Gives its number.
    pub fn reaches(&mut self, at: Pointer, source: Source, how: How, key: &str) -> u32 {
        let number = u32::try_from(self.accesses.len()).unwrap_or(u32::MAX);
        if self.accesses.len() < MOST {
            self.accesses.push(Access { at, source, how, key: key.into() });
        } else {
            self.has_more = true;
        }
        number
    }

    /// Something that is written into a Secret.
    pub fn fill(&mut self, fill: Fill) {
        match self.fills.len() < MOST {
            true => self.fills.push(fill),
            false => self.has_more = true,
        }
    }

    /// A Secret that is written, besides the object's one target. What is longer than any name is none: each key that it is
    /// said to have would repeat it.
    pub fn secret_name<'j>(&mut self, at: impl Fn() -> Pointer, value: &'j Json<'_>) -> Option<&'j str> {
        let name = self.text(&at, value)?;
        if name.len() > NAME_BYTES {
            self.faults.say(|| (at(), format!("a name of {} bytes is none of a Secret", name.len())));
        }
        Some(name).filter(|name| name.len() <= NAME_BYTES)
    }

    /// The texts of a map, each to be searched for secrets.
    pub fn texts(&mut self, at: &str, map: &Json<'_>) {
        for (key, value) in map.fields() {
            let pointer = || Pointer::to(format!("{at}/{}", escape(key)));
            if let Some(text) = self.text(pointer, value) {
                self.literal(pointer(), Some(key), text);
            }
        }
    }

    /// Annotations that make another tool copy the object into other namespaces, or claim that a Secret is RefGate's.
    pub fn copiers(&mut self, at: &str, annotations: &Json<'_>) {
        for (key, _) in annotations.fields() {
            // Those of the object itself are read by `claims`.
            if is_ours(key) && at != "/metadata/annotations" {
                self.fault(
                    &format!("{at}/{}", escape(key)),
                    format!(
                        "it becomes an annotation of the Secret, and those of RefGate only its sync writes; which key holds \
                         which path stands in {PATHS} of the object's own metadata"
                    ),
                );
            }
            if COPIERS.iter().any(|start| key.starts_with(start)) {
                self.fault(
                    &format!("{at}/{}", escape(key)),
                    "by it another tool copies this between namespaces, past their bindings; refer to a secret by its path, and \
                     an operator can share it by refgate.dev/shared-paths",
                );
            }
        }
    }

    /// A label by which a Secret would be taken for one of the sync.
    pub fn labels(&mut self, at: &str, labels: &Json<'_>) {
        if labels.get(MANAGED_BY).text() == Some("refgate") {
            self.fault(
                &format!("{at}/{}", escape(MANAGED_BY)),
                "it becomes a label of the Secret, and by it the sync knows its own; leave it out",
            );
        }
    }

    /// A text to search for secrets.
    pub fn literal(&mut self, at: Pointer, name: Option<&str>, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.literals.len() < MOST {
            self.literals.push(Literal { at, name: name.map(Into::into), text: text.into() });
        } else {
            self.has_more = true;
        }
    }
}
