//! What a developer writes instead of a value: in env values (`secret:`, `secret+file:`) and in annotations.
//!
//! Only reads; whether a namespace may have what is named, and where it is, `resolve` says.

use super::path::{self, PathError, Scope, SecretPath};

/// An env value that asks for the value of a secret.
pub const ENV_PREFIX: &str = "secret:";
/// An env value that asks for a file with the value of a secret, and for its path.
pub const FILE_PREFIX: &str = "secret+file:";

/// A reference, read but not yet resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference<'a> {
    /// As written, without a leading slash.
    pub path: &'a str,
    /// Whether it was written with a leading slash: from the root of all paths, not from the namespace's scope.
    pub absolute: bool,
    /// Property of a JSON secret.
    pub property: Option<&'a str>,
    /// Whether the container may start without it.
    pub optional: bool,
}

/// Why a text is no reference. The text is not repeated, since it may be a value that somebody pasted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The path does not read.
    #[error(transparent)]
    Path(#[from] PathError),
    /// `#` and nothing behind it.
    #[error("nothing stands behind #; write the name of a property, or leave the # out")]
    EmptyProperty,
    /// A property whose key would be longer than a Secret allows.
    #[error(
        "the property is too long for a key of a Secret, which has at most {} characters",
        path::MAX_KEY_BYTES
    )]
    LongProperty,
    /// A property with a character that is no letter and is not seen.
    #[error(
        "character {position} of the property is {what}; a property that is referred to has letters, digits and visible ASCII: \
         take the character out, or rename the property in the secret"
    )]
    Property {
        /// One-based, in characters.
        position: usize,
        /// What kind of character it is.
        what: &'static str,
    },
    /// Something other than `optional` behind `?`.
    #[error("{0} behind ?; the only one is ?optional")]
    Option(String),
    /// `secret:` where the reference alone is wanted, or twice.
    #[error("write secret: once before the value of an env var, and not at all before that of an annotation")]
    Prefixed,
    /// `//`, as in a URL.
    #[error("it begins with two slashes; a path from the root begins with one: /group/app/env/name")]
    TwoSlashes,
    /// `./`, as in a shell.
    #[error(
        "it begins with ./; leave that out, a name without a slash before it is one of the namespace's own scope"
    )]
    Here,
    /// Blanks or line breaks around it.
    #[error("a blank or a line break stands before or behind it; leave that out, and write it on one line")]
    Blank,
    /// `?optional#property`.
    #[error("the #property stands before the ?optional: name#property?optional")]
    Order,
    /// A property where the whole secret is wanted.
    #[error("refgate.dev/env-from takes whole secrets; leave the #property out")]
    PropertyOfWhole,
}

/// What an env value asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// The value itself, as an env var.
    Env,
    /// A file that holds it.
    File,
}

impl Use {
    /// The word in `refgate.dev/refs`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::File => "file",
        }
    }
}

/// Reads an env value; `None` where it is none of our references.
pub fn env_value(value: &str) -> Option<(Use, Result<Reference<'_>, ReferenceError>)> {
    if value.as_bytes().first() != Some(&b's') {
        return None;
    }
    if let Some(text) = value.strip_prefix(ENV_PREFIX) {
        Some((Use::Env, Reference::parse(text)))
    } else {
        value.strip_prefix(FILE_PREFIX).map(|text| (Use::File, Reference::parse(text)))
    }
}

/// The prefix that an env value of no reference was perhaps meant to have: it has one but for a letter, or for its case, and
/// what would be a reference behind it. Few values begin with its first letter; of any other no more than that is looked at.
pub fn near_miss(value: &str) -> Option<&'static str> {
    value.as_bytes().first().filter(|first| first.eq_ignore_ascii_case(&b's'))?;
    // One letter more than the longer prefix, colon included.
    let start = &value.as_bytes()[..value.len().min(FILE_PREFIX.len() + 1)];
    let colon = start.iter().position(|byte| *byte == b':')?;
    let head = value[..=colon].to_ascii_lowercase();
    let prefix =
        [ENV_PREFIX, FILE_PREFIX].into_iter().find(|prefix| strsim::osa_distance(&head, prefix) <= 1)?;
    let rest = &value[colon + 1..];
    // The port of a service is no name.
    let part = rest.split('/').next().unwrap_or_default();
    let is_port = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (!is_port && Reference::parse(rest).is_ok()).then_some(prefix)
}

impl<'a> Reference<'a> {
    /// Reads `name`, `name#property`, `/absolute/path`, each with `?optional` or without.
    pub fn parse(text: &'a str) -> Result<Self, ReferenceError> {
        if is_meant(text.trim_start()) {
            return Err(ReferenceError::Prefixed);
        }
        let (text, optional) = match text.split_once('?') {
            None => (text, false),
            Some((text, "optional")) => (text, true),
            Some((_, option)) if option.starts_with("optional#") => return Err(ReferenceError::Order),
            Some((_, option)) => return Err(ReferenceError::Option(unknown(option))),
        };
        let (path, property) = match text.split_once('#') {
            None => (text, None),
            Some((_, "")) => return Err(ReferenceError::EmptyProperty),
            Some((path, property)) => (path, Some(property)),
        };
        if let Some((position, what)) = property.and_then(path::unseen) {
            return Err(ReferenceError::Property { position, what });
        }
        if property.is_some_and(|property| path::property_key(property).is_none()) {
            return Err(ReferenceError::LongProperty);
        }
        if path.trim() != path && !path.trim().is_empty() {
            return Err(ReferenceError::Blank);
        }
        if path.starts_with("//") {
            return Err(ReferenceError::TwoSlashes);
        }
        if path.starts_with("./") {
            return Err(ReferenceError::Here);
        }
        let (path, absolute) = match path.strip_prefix('/') {
            Some(rest) => (rest, true),
            None => (path, false),
        };
        SecretPath::absolute(path)?;
        Ok(Self { path, absolute, property, optional })
    }

    /// The path as it was written, with its slash.
    pub fn written(&self) -> String {
        format!("{}{}", if self.absolute { "/" } else { "" }, self.path)
    }

    /// The path that it means in a namespace with this scope.
    pub fn path_in(&self, own: &Scope) -> Result<SecretPath<'a>, PathError> {
        if self.absolute { SecretPath::absolute(self.path) } else { SecretPath::relative(own, self.path) }
    }

    /// Key of the synced Secret: of the property, or of the whole.
    pub fn key(&self) -> String {
        self.property.and_then(path::property_key).unwrap_or_else(|| path::WHOLE.to_owned())
    }
}

/// Whether a text begins with one of the prefixes, in whatever case.
pub fn is_meant(text: &str) -> bool {
    let starts = |prefix: &str| {
        text.as_bytes().get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    starts(ENV_PREFIX) || starts(FILE_PREFIX)
}

/// An option is repeated only where it looks like one.
fn unknown(option: &str) -> String {
    let plain = option.len() <= 24 && option.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    if plain && !option.is_empty() {
        format!("unknown option \"{option}\"")
    } else {
        "no known option".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(&str, bool, Option<&str>, bool), ReferenceError> {
        Reference::parse(text).map(|r| (r.path, r.absolute, r.property, r.optional))
    }

    #[test]
    fn every_form_reads() {
        assert_eq!(read("database_url"), Ok(("database_url", false, None, false)));
        assert_eq!(read("smtp#password"), Ok(("smtp", false, Some("password"), false)));
        assert_eq!(read("/a/b/c/d?optional"), Ok(("a/b/c/d", true, None, true)));
        assert_eq!(read("deep/name#a.b/c:d?optional"), Ok(("deep/name", false, Some("a.b/c:d"), true)));
    }

    #[test]
    fn what_does_not_read_says_why_and_repeats_nothing() {
        for text in
            ["", "/", "a//b", "a/", "a/../b", "a/./b", "a%2Fb", "a b", "a\\b", "\"a\"", "$(A)", "ключ", "a:b"]
        {
            let error = read(text).unwrap_err();
            assert!(matches!(error, ReferenceError::Path(_)), "{text}: {error}");
        }
        assert_eq!(read("a#"), Err(ReferenceError::EmptyProperty));
        for (text, at) in [
            ("a#b\n", 2),
            ("a#b\nc", 2),
            ("a# b", 1),
            ("a#b c", 2),
            ("a#b ?optional", 2),
            ("a#b\t", 2),
            ("a#b\u{a0}", 2),
            ("a#b\u{200b}", 2),
            ("a#\u{feff}b", 1),
            ("a#b\u{2028}c", 2),
            ("a#b\0", 2),
        ] {
            let error = read(text);
            assert!(
                matches!(error, Err(ReferenceError::Property { position, .. }) if position == at),
                "{text:?}"
            );
        }
        for text in ["a#b.c", "a#\u{e4}", "a#\u{43a}\u{43b}", "a#b/c:d[0]", "a#$b"] {
            assert!(read(text).is_ok(), "{text}");
        }
        for text in ["secret:a", "Secret:a", " secret+file:a"] {
            assert_eq!(read(text), Err(ReferenceError::Prefixed), "{text}");
        }
        for text in [" a", "a ", "a\n", "\ta#b"] {
            assert_eq!(read(text), Err(ReferenceError::Blank), "{text}");
        }
        assert_eq!(read("//a/b/c/d"), Err(ReferenceError::TwoSlashes));
        assert_eq!(read("./a"), Err(ReferenceError::Here));
        assert_eq!(read("a?optional#b"), Err(ReferenceError::Order));
        assert_eq!(read("a?optinal"), Err(ReferenceError::Option("unknown option \"optinal\"".into())));
        assert_eq!(read("a?Hunter2"), Err(ReferenceError::Option("no known option".into())));
        assert_eq!(read("a?"), Err(ReferenceError::Option("no known option".into())));
        assert!(read(&format!("a#{}", "x".repeat(300))).is_err());
    }

    #[test]
    fn env_values_are_references_by_their_prefix_alone() {
        assert_eq!(env_value("secret:a").map(|(kind, _)| kind), Some(Use::Env));
        assert_eq!(env_value("secret+file:a").map(|(kind, _)| kind), Some(Use::File));
        for other in ["", "secret", "Secret:a", " secret:a", "secrets:a", "postgres://"] {
            assert!(env_value(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_prefix_that_is_missed_by_a_letter_is_seen() {
        for (value, meant) in [
            ("Secret:x", ENV_PREFIX),
            ("SECRET:x", ENV_PREFIX),
            ("secrets:smtp#password", ENV_PREFIX),
            ("secret :x", ENV_PREFIX),
            ("sceret:x?optional", ENV_PREFIX),
            ("secre:/a/b/c/d", ENV_PREFIX),
            ("secret+flie:x", FILE_PREFIX),
            ("secret-file:x", FILE_PREFIX),
            ("secretfile:x", FILE_PREFIX),
            ("secrets+file:x", FILE_PREFIX),
            ("Secret+File:x", FILE_PREFIX),
        ] {
            assert!(env_value(value).is_none(), "{value}");
            assert_eq!(near_miss(value), Some(meant), "{value}");
        }
        for other in [
            "",
            "s",
            "s:",
            "stage",
            "secret",
            "secrets",
            "secrets:",
            "secrets:8080",
            "secrets:8080/path",
            "secrets://vault/x",
            "Secret: x",
            "Secrets: see the page of the team",
            "secretsmanager:GetSecretValue",
            "sacred:x",
            "server:x",
            "smtp:x",
            "s3:GetObject",
            "szyfr\u{f3}wka:x",
            "my-secret:x",
        ] {
            assert_eq!(near_miss(other), None, "{other}");
        }
    }
}
