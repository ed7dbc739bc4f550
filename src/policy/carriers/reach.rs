//! What a carrier says of a foreign object: which remote paths it reaches and where in the object they stand, which store it
//! uses, what it fills, what plaintext it holds, and what cannot be decided. Nothing of scopes: `judge` compares.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::COPIERS;
use super::claims::PATHS;
use super::json::Json;
use super::place::{Place, System};
use crate::policy::snapshot::Settings;
use crate::policy::wishes::is_ours;
use crate::policy::workload::json::escape;

/// The label by which the sync knows its Secrets.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// A JSON pointer that is written out only when somebody asks: most objects are allowed and have fifty of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pointer {
    /// `BASE/INDEX/TAIL`.
    Item(&'static str, u32, &'static str),
    /// Anything else.
    Whole(Box<str>),
    /// The object as a whole: of what is kept, nobody knows any more where it stood.
    Object,
}

impl Pointer {
    /// One that is written out already.
    pub fn to(text: impl Into<Box<str>>) -> Self {
        Self::Whole(text.into())
    }

    /// The pointer, in one piece of memory: each path of a review is reported with one.
    pub fn written(&self) -> String {
        let Self::Item(base, index, tail) = self else { return self.to_string() };
        let mut text = String::with_capacity(base.len() + tail.len() + 12);
        text.push_str(base);
        text.push('/');
        // By hand: fifty times through `fmt` is a tenth of such a decision.
        let (mut digits, mut start, mut rest) = ([b'0'; 10], 9, *index);
        loop {
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
            start -= 1;
        }
        text.extend(digits[start..].iter().map(|&digit| char::from(digit)));
        if !tail.is_empty() {
            text.push('/');
            text.push_str(tail);
        }
        text
    }

    /// As people write it: `spec.data[0].remoteRef.key`.
    pub fn words(&self) -> String {
        let mut words = String::new();
        for token in self.to_string().split('/').skip(1) {
            if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit()) {
                words.push_str(&format!("[{token}]"));
            } else {
                words.push_str(if words.is_empty() { "" } else { "." });
                words.push_str(&token.replace("~1", "/").replace("~0", "~"));
            }
        }
        words
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(base, index, "") => write!(out, "{base}/{index}"),
            Self::Item(base, index, tail) => write!(out, "{base}/{index}/{tail}"),
            Self::Whole(text) => out.write_str(text),
            Self::Object => Ok(()),
        }
    }
}

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
        let property = property.map(Into::into);
        let key = Some(key.into());
        Self { key, secret: None, access: Some(access), property, is_value: true, only_of: None }
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
                let parts: Vec<&str> = text.split(':').collect();
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

/// Where something is wrong, and a sentence without its subject.
pub type Remark = (Pointer, String);

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
    pub faults: Vec<Remark>,
    /// What cannot be decided.
    pub doubts: Vec<Remark>,
    /// What the person at the keyboard should know.
    pub notes: Vec<Remark>,
}

impl Reach {
    /// Something that a bound namespace never gets.
    pub fn fault(&mut self, at: &str, text: impl Into<String>) {
        self.faults.push((Pointer::to(at), text.into()));
    }

    /// Something that cannot be decided.
    pub fn doubt(&mut self, at: &str, text: impl Into<String>) {
        self.doubts.push((Pointer::to(at), text.into()));
    }

    /// Says of each field that is not among `known` that it was not understood: a path may stand in it.
    pub fn known(&mut self, at: impl fmt::Display, object: &Json<'_>, known: &[&str]) {
        for (key, value) in object.fields() {
            if !known.contains(&&**key) && !value.is_null() {
                let at = format!("{at}/{}", escape(key));
                self.doubt(
                    &at,
                    "this version of RefGate does not know the field, so what it does was not judged",
                );
            }
        }
        if !object.is_null() && !matches!(object, Json::Map(_)) {
            self.doubt(&at.to_string(), "an object belongs here");
        }
    }

    /// The text of a field that should be one; what is something else is a fault, since who reads it may make a text of it.
    pub fn text<'j>(&mut self, at: impl Fn() -> Pointer, value: &'j Json<'_>) -> Option<&'j str> {
        if !value.is_null() && value.text().is_none() {
            self.faults.push((at(), "text belongs here".to_owned()));
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
        let number = u32::try_from(self.accesses.len()).unwrap_or(u32::MAX);
        self.accesses.push(Access { at, source: Source::Place(Arc::clone(place)), how, key: key.into() });
        number
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
        if !text.is_empty() {
            self.literals.push(Literal { at, name: name.map(Into::into), text: text.into() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_written_for_programs_and_for_people() {
        let item = Pointer::Item("/spec/data", 3, "remoteRef/key");
        assert_eq!(item.to_string(), "/spec/data/3/remoteRef/key");
        assert_eq!(item.words(), "spec.data[3].remoteRef.key");
        let annotation = Pointer::to("/metadata/annotations/a.b~1c");
        assert_eq!(annotation.words(), "metadata.annotations.a.b/c");
    }
}
