//! The sentences about what is not there yet: a path that is not synced, a property that a secret does not have.
//!
//! `resolve` finds out what is missing. What it means for a pod depends on `?optional`, and on who makes the pod.

use std::borrow::Cow;

use super::plan::Maker;

/// A path that no Secret holds yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent<'a> {
    /// The path.
    pub path: &'a str,
    /// Whether the secret manager has it, or was not asked yet.
    pub is_known: bool,
    /// A name that it was perhaps meant to be.
    pub similar: Option<Cow<'a, str>>,
}

impl Absent<'_> {
    fn why(&self) -> String {
        match self.is_known {
            true => format!("{} is not synced yet", self.path),
            false => format!("the secret manager does not know {}, so it is not synced", self.path),
        }
    }

    fn hint(&self) -> String {
        self.similar.as_ref().map(|name| format!("; did you mean {name}?")).unwrap_or_default()
    }

    /// For a pod that is let in, and whose containers wait or start without it.
    pub fn note(&self, optional: bool) -> String {
        format!("{}; {}{}", self.why(), waits(optional), self.hint())
    }
}

/// What a pod does without what it asks for.
fn waits(optional: bool) -> &'static str {
    if optional { "until it is, the container starts without it" } else { "the pod waits until it is" }
}

/// The secret has no such property.
pub fn no_property(path: &str, property: &str, optional: bool, similar: Option<&str>) -> String {
    let hint = similar.map(|name| format!("; did you mean #{name}?")).unwrap_or_default();
    format!("{path} has no property {property}{}{hint}", lacks(optional))
}

/// A typed Secret without the whole value.
pub fn no_whole(path: &str, optional: bool) -> String {
    format!("the Secret of {path} has no key for the whole value{}; name a #property", lacks(optional))
}

/// What a pod does without a key.
fn lacks(optional: bool) -> &'static str {
    if optional { ", and the container starts without it" } else { ", and the pod waits until it has" }
}

/// `env-from` of a secret that is not there yet; `written` is how it is named.
pub fn env_from_not_synced(absent: &Absent<'_>, written: &str, maker: Maker) -> String {
    let (why, hint) = (format!("{}, so its properties are not known", absent.why()), absent.hint());
    match maker {
        Maker::Template => format!("{why}{hint}"),
        Maker::Controller => format!("{why}; the controller retries by itself{hint}"),
        Maker::Person => format!(
            "{why}, and a bare pod is not retried{hint}; name single properties, which is admitted at once \
             (annotation env.refgate.dev/NAME: {written}#PROPERTY), use a Job or a Deployment, or ask an operator to annotate \
             the namespace with refgate.dev/sync: scope"
        ),
    }
}

/// A workload is let in and its pods are not, until what is missing is there. `most` is the longest pause between two tries.
pub fn pods_wait(most: Option<&str>) -> String {
    let retries = match most {
        Some(most) => format!("the controller retries after seconds at first, later after up to {most}"),
        None => "their controller has to retry".to_owned(),
    };
    format!("they are rejected until what is missing is there; {retries}")
}
