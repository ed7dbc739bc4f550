//! What the configuration says of carriers: what becomes of what they cannot decide, and which scope may read what in systems
//! whose names are no paths.

use std::collections::BTreeMap;

use super::place::System;
use super::reach::How;
use crate::policy::path::Scope;

/// What becomes of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It is denied.
    #[default]
    Deny,
    /// It is allowed, with a warning and an audit annotation.
    Audit,
}

impl Mode {
    /// From the word in the configuration.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "deny" => Some(Self::Deny),
            "audit" => Some(Self::Audit),
            _ => None,
        }
    }
}

/// The section `carriers`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Objects in namespaces that are bound to nothing.
    pub unbound: Mode,
    /// Objects of the whole cluster.
    pub cluster_scoped: Mode,
    /// What cannot be decided, by the id of the carrier; denied where it says nothing.
    pub undecided: BTreeMap<String, Mode>,
    /// What scopes may read in other systems.
    pub mappings: Vec<Mapping>,
}

impl Settings {
    /// What becomes of what a carrier cannot decide.
    pub fn undecided(&self, carrier: &str) -> Mode {
        self.undecided.get(carrier).copied().unwrap_or_default()
    }
}

/// One row of `carriers.mappings`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Where.
    pub system: System,
    /// The scopes that it speaks of; `None` is `*`, any one segment.
    pub scopes: [Option<String>; 3],
    /// Project, vault or mount; empty for any, where names are paths.
    pub place: String,
    /// What stands between the segments of a name without slashes; `None` gives the whole place to the scope.
    pub separator: Option<String>,
}

impl Mapping {
    /// Whether it says anything of a place for a scope, or for a longer prefix.
    pub fn covers(&self, system: System, place: &str, scope: &Scope) -> bool {
        let mut segments = scope.as_str().split('/');
        let fits = self.scopes.iter().all(|wanted| {
            let segment = segments.next();
            wanted.as_deref().is_none_or(|wanted| segment == Some(wanted))
        });
        // Vaults of Azure are names of hosts, which know no case.
        let is_place = match system {
            System::Azure => self.place.eq_ignore_ascii_case(place),
            _ => self.place == place,
        };
        fits && self.system == system && (self.place.is_empty() || is_place)
    }

    /// Whether a name is the title of an item in a whole place that the row gives: there blanks are usual. It is the name of no
    /// path, so that nothing refers to it by one.
    pub fn is_title(&self, name: &str, how: How, scope: &Scope) -> bool {
        let words = name.split(' ').collect::<Vec<_>>().join("_");
        let is_trimmed = !name.is_empty() && name.trim() == name;
        self.system == System::OnePassword
            && self.separator.is_none()
            && is_trimmed
            && self.path_of(&words, how, scope).is_some()
    }

    /// What a secret of a scope is called there: the inverse of `path_of`, and the path itself where names are paths.
    pub fn name_of(&self, scope: &Scope, name: &str) -> Option<String> {
        if self.system.has_paths() {
            return Some(format!("{scope}/{name}"));
        }
        let named = match &self.separator {
            Some(separator) => format!("{}{separator}{name}", scope.as_str().replace('/', separator)),
            None => name.to_owned(),
        };
        let path = self.path_of(&named, How::Read, scope);
        path.filter(|path| *path == format!("{scope}/{name}")).map(|_| named)
    }

    /// The path that a name without slashes stands for under a scope; `None` where it is none of its own.
    ///
    /// With a separator the name is cut into segments, and the first ones must be those of the scope, whole. A scope whose
    /// segments hold the separator has no names: `a-b/c` and `a/b-c` would have the same.
    pub fn path_of(&self, name: &str, how: How, scope: &Scope) -> Option<String> {
        let is_name = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        // A longer prefix is less than a scope, and no name says which part of it: `smtp-pw` may be `smtp/pw`.
        if scope.as_str().split('/').count() != 3 {
            return None;
        }
        let Some(separator) = &self.separator else {
            let is_legal = how == How::Find || is_name(name);
            return is_legal.then(|| format!("{scope}/{name}"));
        };
        let mut rest = name;
        for segment in scope.as_str().split('/') {
            if segment.contains(separator.as_str()) {
                return None;
            }
            let (head, tail) = rest.split_once(separator.as_str())?;
            if head != segment {
                return None;
            }
            rest = tail;
        }
        (how != How::Find && is_name(rest)).then(|| format!("{scope}/{rest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(separator: Option<&str>) -> Mapping {
        Mapping {
            system: System::Google,
            scopes: [None, None, Some("prod".to_owned())],
            place: "moz-prod".to_owned(),
            separator: separator.map(str::to_owned),
        }
    }

    #[test]
    fn a_row_covers_its_scopes_in_its_place() {
        let prod = Scope::parse("mozmeao/snippets/prod").unwrap();
        let stage = Scope::parse("mozmeao/snippets/stage").unwrap();
        assert!(row(None).covers(System::Google, "moz-prod", &prod));
        assert!(!row(None).covers(System::Google, "moz-prod", &stage));
        assert!(!row(None).covers(System::Google, "moz-stage", &prod));
        assert!(!row(None).covers(System::Azure, "moz-prod", &prod));
        let longer = Scope::shared("mozmeao/snippets/prod/smtp").unwrap();
        assert!(row(None).covers(System::Google, "moz-prod", &longer));
    }

    #[test]
    fn names_are_cut_into_whole_segments() {
        let scope = |text| Scope::shared(text).unwrap();
        for (separator, name, under, expected) in [
            (Some("--"), "a--b--prod--x", "a/b/prod", Some("a/b/prod/x")),
            (Some("-"), "a-b-prod-x-y", "a/b/prod", Some("a/b/prod/x-y")),
            (Some("-"), "a-b-prod2-x", "a/b/prod", None),
            (Some("-"), "a-b-prod-", "a/b/prod", None),
            (Some("-"), "a-b-prod", "a/b/prod", None),
            // `a-b/c/prod` and `a/b-c/prod` would have the same names.
            (Some("-"), "a-b-c-prod-x", "a-b/c/prod", None),
            (Some("-"), "a-b-c-prod-x", "a/b-c/prod", None),
            // It may as well be `smtp-pw` of the scope.
            (Some("-"), "a-b-prod-smtp-pw", "a/b/prod/smtp", None),
            (None, "anything", "a/b/prod", Some("a/b/prod/anything")),
            (None, "any/thing", "a/b/prod", None),
            (None, "", "a/b/prod", None),
            // A part of the scope is less than the whole place.
            (None, "anything", "a/b/prod/smtp", None),
        ] {
            let found = row(separator).path_of(name, How::Read, &scope(under));
            assert_eq!(found.as_deref(), expected, "{separator:?} {name} {under}");
        }
    }
}
