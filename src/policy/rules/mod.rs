//! The detection rules: a documented table, one file per rule, and the engine that runs it over one piece of text.
//!
//! A rule knows a text and where it stands, and nothing of reviews, levels or scopes. There are two ways to a
//! finding. *By value*: a token's own shape with its check digits, a key block, a credential inside a longer text.
//! *By name*: a name whose last word is a credential word, and a literal value that nothing clears.
//!
//! Neighbours: `text` (bytes and their classes), `ending` and `name` (what a name promises), `value` and `location` (what clears a value),
//! `stock` (what anyone would guess), `pairs` and `shell` (names and values inside a text), `sight` (what a rule sees).

mod assignment;
mod command_credential;
mod connection_string;
mod credential_name;
mod digits;
mod docker_auth;
mod ending;
mod families;
mod labelled_random;
mod likely_credential;
mod lines;
mod location;
mod name;
pub mod own;
mod pairs;
mod private_key;
mod secret_manifest;
mod shapes;
mod shell;
mod sight;
mod stock;
mod text;
mod token;
mod token_like;
mod url_password;
mod value;
mod weak_default;
mod weight;

#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::policy::finding::Certainty;
use families::Index;
use own::Own;
use sight::{Sight, Sink};

/// At most this many bytes of one text are looked at: a bound on the work that one text can ask for.
///
/// It is beyond what an object in etcd may hold (1.5 MiB for all of it), so only a text made to be too long meets it.
/// `Detector::scan` says when it did.
pub const SCAN_LIMIT: usize = 1 << 20;

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// The value of an env var.
    Env,
    /// An item of `args` or `command`.
    Argument,
    /// An item of an exec command of a probe or a lifecycle hook.
    Command,
    /// The value of an HTTP header of a probe or a lifecycle hook.
    Header,
    /// The path, with its query, of an HTTP probe or lifecycle hook.
    UrlPath,
    /// The value of an annotation.
    Annotation,
    /// An attribute of a CSI volume, or an option of a flex volume.
    VolumeAttribute,
    /// An entry of a ConfigMap.
    ConfigMap,
    /// An entry of the manifest of a Secret.
    Secret,
}

/// One piece of text to judge.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Where it stands.
    pub place: Place,
    /// The name of the env var, the key of the annotation or attribute, the name of the header.
    pub name: Option<&'a str>,
    /// The text. What can be known of `$(VAR)` is expanded; what cannot stays as `$(VAR)`.
    pub value: &'a str,
    /// The argument before this one.
    pub before: Option<&'a str>,
}

/// A text that a rule strikes, or one that looks like it and must not be struck.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// Where it stands.
    pub place: Place,
    /// Its name, where it has one.
    pub name: Option<&'static str>,
    /// The text.
    pub value: &'static str,
    /// The argument before it.
    pub before: Option<&'static str>,
}

impl Example {
    /// An env entry.
    pub const fn env(name: &'static str, value: &'static str) -> Self {
        Self { place: Place::Env, name: Some(name), value, before: None }
    }

    /// An argument on its own.
    pub const fn argument(value: &'static str) -> Self {
        Self { place: Place::Argument, name: None, value, before: None }
    }

    /// An argument after another one.
    pub const fn after(before: &'static str, value: &'static str) -> Self {
        Self { place: Place::Argument, name: None, value, before: Some(before) }
    }

    /// Anything that has a name: a header, an annotation, an attribute.
    pub const fn named(place: Place, name: &'static str, value: &'static str) -> Self {
        Self { place, name: Some(name), value, before: None }
    }

    /// The candidate that it is.
    pub fn candidate(&self) -> Candidate<'static> {
        Candidate { place: self.place, name: self.name, value: self.value, before: self.before }
    }
}

/// One detection rule, with its face: what it says, how sure it is, what it strikes and what it does not.
#[derive(Debug)]
pub struct Rule {
    /// Its name in settings, messages and metrics; it never changes.
    pub id: &'static str,
    /// One line for a list of rules.
    pub summary: &'static str,
    /// Why what it strikes must not stand there; the same for each of its findings.
    pub reason: &'static str,
    /// How sure it is.
    pub certainty: Certainty,
    /// What it strikes.
    pub examples: &'static [Example],
    /// What looks like it and is left alone by every rule.
    pub counter_examples: &'static [Example],
    /// Whether it also judges what base64 inside a text decodes to. Rules that do come first in `RULES`.
    inside: bool,
    /// The traits that a text must have before `check` is worth a call: one of these sets, whole.
    needs: &'static [u32],
    /// Reports what it finds.
    check: fn(&Sight<'_>, &mut Sink<'_>),
}

/// What a rule found in a candidate. It holds nothing of the text.
#[derive(Debug)]
pub struct Hit {
    /// Which bytes of the text it struck.
    pub span: Range<usize>,
    /// The rule that struck.
    pub rule: &'static Rule,
    /// What it struck: `a GitHub personal access token`, `a password in the userinfo of a URL`.
    pub detail: String,
}

/// How much of a text was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// All of it, but there are more hits than are kept.
    Full,
    /// The first `SCAN_LIMIT` bytes; what lies beyond was not judged.
    Clipped,
}

/// Every rule, the most specific first: where two strike the same part of a text, the earlier one is reported.
pub static RULES: &[&Rule] = &[
    &private_key::RULE,
    &token::RULE,
    &docker_auth::RULE,
    &url_password::RULE,
    &connection_string::RULE,
    &command_credential::RULE,
    &assignment::RULE,
    &credential_name::RULE,
    &weak_default::RULE,
    &token_like::RULE,
    &likely_credential::RULE,
    &labelled_random::RULE,
    &secret_manifest::RULE,
];

/// The engine: built once from the rules that are on, then shared by all requests.
#[derive(Debug)]
pub struct Detector {
    index: Index,
    own: Own,
    enabled: u32,
}

impl Detector {
    /// The engine with every rule but those whose ids are listed. An id that no rule has is ignored: `known` tells.
    pub fn new(disabled: &[&str]) -> Self {
        Self::with(disabled, Own::default())
    }

    /// The same, with words and shapes of one's own.
    pub fn with(disabled: &[&str], own: Own) -> Self {
        let mut enabled = 0;
        for (position, rule) in RULES.iter().enumerate() {
            if !disabled.contains(&rule.id) {
                enabled |= 1 << position;
            }
        }
        Self { index: Index::new(), own, enabled }
    }

    /// Whether a command takes a credential in a place that only its name tells: `mysqladmin … -px`. Its words are then judged
    /// together.
    pub fn takes_credentials(command: &str) -> bool {
        shell::takes_credentials(command.as_bytes())
    }

    /// Whether a rule has this id.
    pub fn known(id: &str) -> bool {
        RULES.iter().any(|rule| rule.id == id)
    }

    /// Appends what the rules find, in the order of `RULES`, at most one hit per rule.
    ///
    /// The time is linear in the length of the candidate. Nothing is allocated unless something is found, or a word is
    /// base64 of text and has to be decoded.
    pub fn scan(&self, candidate: &Candidate<'_>, hits: &mut Vec<Hit>) -> Extent {
        self.scan_with(self.enabled, false, candidate, hits)
    }

    /// The same for a text that is a file: a rule may strike in it more than once, and each time counts.
    pub fn scan_every(&self, candidate: &Candidate<'_>, hits: &mut Vec<Hit>) -> Extent {
        self.scan_with(self.enabled, true, candidate, hits)
    }

    /// The same with the rules alone that go by shape: for texts in which names are not those of values.
    pub fn scan_shapes(&self, candidate: &Candidate<'_>, hits: &mut Vec<Hit>) -> Extent {
        let shapes = RULES.iter().enumerate().filter(|(_, rule)| matches!(rule.id, "private-key" | "token"));
        let mask = shapes.fold(0, |mask, (position, _)| mask | 1 << position);
        self.scan_with(self.enabled & mask, false, candidate, hits)
    }

    fn scan_with(&self, enabled: u32, every: bool, candidate: &Candidate<'_>, hits: &mut Vec<Hit>) -> Extent {
        if candidate.value.is_empty() {
            return Extent::Whole;
        }
        let bytes = candidate.value.as_bytes();
        let (text, extent) = match bytes.get(..SCAN_LIMIT) {
            Some(head) if bytes.len() > SCAN_LIMIT => (head, Extent::Clipped),
            _ => (bytes, Extent::Whole),
        };
        let sight = Sight::new(&self.index, &self.own, candidate, text);
        let is_worth_it = sight::is_worth_a_look(sight.traits());
        let is_full = is_worth_it && sight::judge(&sight, enabled, every, hits);
        if is_full && extent == Extent::Whole { Extent::Full } else { extent }
    }
}
