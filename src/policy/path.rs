//! Scope and secret path: parsed once, compared by whole segments, and what follows from a path in Kubernetes.
//!
//! A path is a name of AWS Secrets Manager: an ordinary string in which `/` means nothing to AWS. All meaning is ours,
//! so nothing is ever normalised or decoded here: what does not read as a clean path is refused.

use std::borrow::Cow;
use std::fmt;

use sha2::{Digest, Sha256};

/// Longest name of a secret in AWS Secrets Manager, in bytes (API reference, `CreateSecret`, `Name`).
pub const MAX_PATH_BYTES: usize = 512;
/// Longest key of a Secret's data, in bytes (Kubernetes, `IsConfigMapKey`).
pub const MAX_KEY_BYTES: usize = 253;
/// Longest segment of a scope: it is a label value (Kubernetes, `IsValidLabelValue`).
const MAX_SEGMENT_BYTES: usize = 63;
/// Most characters of the slug in a Secret's name: with a hyphen and the hash it stays within 63.
const MAX_SLUG_BYTES: usize = 46;

/// Why a text is no secret path. The text itself is not repeated: it may be a value that somebody mistook for a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing stands where the path should.
    #[error("the path is empty; write the name of a secret")]
    Empty,
    /// Longer than a name may be in AWS Secrets Manager.
    #[error("the path has {0} bytes; a name in the secret manager has at most {MAX_PATH_BYTES}")]
    TooLong(usize),
    /// `%41` and the like: some tools decode it, the secret manager does not.
    #[error("the path is percent-encoded at character {0}; write the plain name")]
    PercentEncoded(usize),
    /// A character that the secret manager does not allow.
    #[error("character {position} of the path is {what}; a path has only letters, digits and / _ + = . @ -")]
    Character {
        /// One-based, in characters.
        position: usize,
        /// What kind of character it is.
        what: &'static str,
    },
    /// `a//b`, or a leading slash too many.
    #[error("segment {0} of the path is empty; write one slash between two segments")]
    EmptySegment(usize),
    /// A slash at the beginning, where the path starts at the root anyway.
    #[error("the path begins with /; leave that slash out: group/app/env/name")]
    LeadingSlash,
    /// A slash at the end.
    #[error("the path ends in /; leave that slash out, or write the name of the secret behind it")]
    TrailingSlash,
    /// `.` or `..`.
    #[error("segment {0} of the path is . or ..; a path is never resolved, write it out")]
    DotSegment(usize),
}

/// The `group/app/env` that a namespace is bound to, or a longer prefix that it may read besides.
///
/// Holds whole segments without a slash at either end; every comparison adds the slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Box<str>);

/// Why a text is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Fewer or more segments than wanted.
    #[error("it has {0} segments; a scope is group/app/env")]
    Segments(usize),
    /// A slash before or behind it.
    #[error("it has a slash before or behind it; leave that out: group/app/env")]
    Slash,
    /// A shared path that is too wide.
    #[error("it has {0} segments; a shared path has at least three")]
    TooWide(usize),
    /// A segment with a character that a scope does not have.
    #[error(
        "segment {0} is no name: lower-case letters, digits, and inside it . _ -, at most {MAX_SEGMENT_BYTES} characters"
    )]
    Segment(usize),
    /// A shared path that is no path.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl Scope {
    /// From the three label values of a Namespace.
    pub fn new(group: &str, app: &str, env: &str) -> Result<Self, ScopeError> {
        for (index, segment) in [group, app, env].into_iter().enumerate() {
            if !is_scope_segment(segment) {
                return Err(ScopeError::Segment(index + 1));
            }
        }
        Ok(Self(format!("{group}/{app}/{env}").into()))
    }

    /// From `group/app/env`.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        let segments: Vec<&str> = text.split('/').collect();
        if text.starts_with('/') || text.ends_with('/') {
            return Err(ScopeError::Slash);
        }
        match segments[..] {
            [group, app, env] => Self::new(group, app, env),
            _ => Err(ScopeError::Segments(segments.len())),
        }
    }

    /// From one entry of `refgate.dev/shared-paths`: three segments or more.
    pub fn shared(text: &str) -> Result<Self, ScopeError> {
        if text.starts_with('/') || text.ends_with('/') {
            return Err(ScopeError::Slash);
        }
        check(text)?;
        let segments = text.split('/').count();
        if segments < 3 {
            return Err(ScopeError::TooWide(segments));
        }
        Ok(Self(text.into()))
    }

    /// Whether `path` lies inside, by whole segments: `stage` is no prefix of `stage2`, and a scope does not hold itself.
    pub fn contains(&self, path: &str) -> bool {
        path.len() > self.0.len() + 1 && path.as_bytes()[self.0.len()] == b'/' && path.starts_with(&*self.0)
    }

    /// Whether `path` is the scope itself, or begins with all of its segments.
    pub fn begins(&self, path: &str) -> bool {
        path == &*self.0 || self.contains(path)
    }

    /// The scope as it is written: `group/app/env`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A segment of a scope is a legal label value that starts with a lower-case letter or digit.
fn is_scope_segment(segment: &str) -> bool {
    let inside = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    let edge = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let bytes = segment.as_bytes();
    bytes.len() <= MAX_SEGMENT_BYTES
        && bytes.first().copied().is_some_and(edge)
        && bytes.last().copied().is_some_and(edge)
        && bytes.iter().copied().all(inside)
}

/// A path that reads cleanly. Whether a namespace may read it, [`Scope::contains`] says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretPath<'a>(Cow<'a, str>);

impl<'a> SecretPath<'a> {
    /// An absolute path, without a leading slash: `group/app/env/name`.
    pub fn absolute(text: &'a str) -> Result<Self, PathError> {
        check(text)?;
        Ok(Self(Cow::Borrowed(text)))
    }

    /// A name under a scope.
    pub fn relative(scope: &Scope, name: &str) -> Result<Self, PathError> {
        check(name)?;
        let path = format!("{scope}/{name}");
        if path.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong(path.len()));
        }
        Ok(Self(Cow::Owned(path)))
    }

    /// The path as the secret manager knows it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretPath<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The rules that hold for any path, absolute or relative.
fn check(text: &str) -> Result<(), PathError> {
    if text.is_empty() {
        return Err(PathError::Empty);
    }
    if text.len() > MAX_PATH_BYTES {
        return Err(PathError::TooLong(text.len()));
    }
    // Nearly every path is clean, and then its bytes are all there is to look at.
    let is_legal = |byte: u8| LEGAL[usize::from(byte)];
    if !text.bytes().all(is_legal) {
        let bad =
            text.chars().enumerate().find(|(_, character)| !u8::try_from(*character).is_ok_and(is_legal));
        let (index, character) = bad.unwrap_or_default();
        let position = index + 1;
        return Err(match character {
            '%' => PathError::PercentEncoded(position),
            _ => PathError::Character { position, what: describe(character) },
        });
    }
    if text.starts_with('/') {
        return Err(PathError::LeadingSlash);
    }
    if text.ends_with('/') {
        return Err(PathError::TrailingSlash);
    }
    for (index, segment) in text.as_bytes().split(|byte| *byte == b'/').enumerate() {
        match segment {
            b"" => return Err(PathError::EmptySegment(index + 1)),
            b"." | b".." => return Err(PathError::DotSegment(index + 1)),
            _ => {}
        }
    }
    Ok(())
}

/// Which bytes a path may hold.
const LEGAL: [bool; 256] = {
    let mut legal = [false; 256];
    let mut byte = 0;
    while byte < legal.len() {
        legal[byte] = (byte as u8).is_ascii_alphanumeric()
            || matches!(byte as u8, b'/' | b'_' | b'+' | b'=' | b'.' | b'@' | b'-');
        byte += 1;
    }
    legal
};

/// The kind of a character that has no place in a path. It is not quoted: the text may be no path at all.
fn describe(character: char) -> &'static str {
    match character {
        ' ' => "a space",
        '\n' | '\r' => "a line break",
        '\t' => "a tab",
        '$' | '(' | ')' | '{' | '}' => "of the $(VAR) kind, and references are not expanded",
        ':' => "a colon, and a property of a JSON secret stands behind #",
        '\\' => "a backslash, and segments are divided by /",
        '"' | '\'' | '`' => "a quote, and the text is taken as it is written",
        '*' | '[' | ']' => "a wildcard",
        _ if character.is_control() => "a control character",
        _ if !character.is_ascii() => "not ASCII",
        _ => "not allowed there",
    }
}

/// The first character of a property that is not seen where somebody writes it, as its one-based position and its kind: a
/// pod would wait for good for a property that differs from the real one by nothing visible.
pub fn unseen(property: &str) -> Option<(usize, &'static str)> {
    let is_seen = |character: char| character.is_ascii_graphic() || character.is_alphanumeric();
    let (index, character) = property.chars().enumerate().find(|(_, character)| !is_seen(*character))?;
    let what = match character {
        ' ' | '\n' | '\r' | '\t' => describe(character),
        _ if character.is_control() => describe(character),
        _ => "neither a letter nor visible ASCII",
    };
    Some((index + 1, what))
}

/// Name of the Secret that the sync makes for a path: `slug-hash`.
///
/// The slug is for eyes: lower-case, every run of other characters one hyphen, at most 46 characters. The hash, the
/// first 16 hex digits of SHA-256 over the path, is what tells `a/b-c` and `a-b/c` apart. At most 63 characters, so
/// that the name fits where a label value or a DNS-1123 label is asked for.
pub fn secret_name(path: &str) -> String {
    let mut name = String::with_capacity(MAX_SLUG_BYTES + 17);
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => name.push(byte as char),
            b'A'..=b'Z' => name.push(byte.to_ascii_lowercase() as char),
            _ if name.is_empty() || name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    name.truncate(name.trim_end_matches('-').len());
    name.truncate(MAX_SLUG_BYTES);
    name.push('-');
    for byte in &Sha256::digest(path.as_bytes())[..8] {
        name.push(char::from(HEX[usize::from(byte >> 4)]));
        name.push(char::from(HEX[usize::from(byte & 15)]));
    }
    name
}

/// Key of a synced Secret that holds the whole value.
pub const WHOLE: &str = "value";

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Key of a synced Secret that holds one property of a JSON object.
///
/// Letters, digits, `_` and `-` stay; every other byte, the dot included, becomes `.xx` (two hex digits). That is
/// injective and never starts with `..`. A property named `value` is `.76alue`, since `value` is the whole. `None`
/// where Kubernetes allows no such key: for the empty name, and where it would be too long.
pub fn property_key(property: &str) -> Option<String> {
    let mut key = String::with_capacity(property.len() + 8);
    for (index, byte) in property.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if plain && !(index == 0 && property == WHOLE) {
            key.push(char::from(byte));
        } else {
            key.push('.');
            key.push(char::from(HEX[usize::from(byte >> 4)]));
            key.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    (1..=MAX_KEY_BYTES).contains(&key.len()).then_some(key)
}

/// The property that a key of a synced Secret holds: the inverse of [`property_key`], `None` for what it never makes.
pub fn key_property(key: &str) -> Option<String> {
    if key == WHOLE {
        return None;
    }
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'.' {
            let (&high, &low) = (tail.first()?, tail.get(1)?);
            bytes.push(hex_digit(high)? << 4 | hex_digit(low)?);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    let property = String::from_utf8(bytes).ok()?;
    (property_key(&property).as_deref() == Some(key)).then_some(property)
}

fn hex_digit(byte: u8) -> Option<u8> {
    HEX.iter().position(|&digit| digit == byte).and_then(|value| u8::try_from(value).ok())
}

/// Whether a text is a key of a Secret as it stands (Kubernetes, `IsConfigMapKey`, but for its length).
pub fn is_key(property: &str) -> bool {
    !property.is_empty()
        && property.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_compare_by_whole_segments() {
        let scope = Scope::parse("mozmeao/snippets/stage").unwrap();
        for (path, inside) in [
            ("mozmeao/snippets/stage/database_url", true),
            ("mozmeao/snippets/stage/a/b", true),
            ("mozmeao/snippets/stage", false),
            ("mozmeao/snippets/stage/", false),
            ("mozmeao/snippets/stage2/x", false),
            ("mozmeao/snippets/stage-old/x", false),
            ("mozmeao/snippets/prod/x", false),
            ("Mozmeao/snippets/stage/x", false),
            ("", false),
        ] {
            assert_eq!(scope.contains(path), inside, "{path}");
        }
    }

    #[test]
    fn scopes_are_three_legal_label_values() {
        for bad in ["a/b", "a/b/c/d", "a//c", "A/b/c", "a/b/c-", "a/b/.", "-a/b/c", "a/b/ c", ""] {
            assert!(Scope::parse(bad).is_err(), "{bad}");
        }
        assert!(Scope::parse(&format!("a/b/{}", "c".repeat(64))).is_err());
        assert_eq!(Scope::parse("a.b/c_d/e-f").unwrap().as_str(), "a.b/c_d/e-f");
    }

    #[test]
    fn shared_paths_have_three_segments_or_more() {
        assert!(Scope::shared("mozmeao/shared").is_err());
        assert!(Scope::shared("mozmeao/shared/stage/").is_err());
        assert!(Scope::shared("mozmeao/*/stage").is_err());
        assert!(
            Scope::shared("mozmeao/shared/stage/smtp")
                .unwrap()
                .contains("mozmeao/shared/stage/smtp/password")
        );
    }

    #[test]
    fn names_of_secrets_are_stable_and_apart() {
        assert_eq!(
            secret_name("mozmeao/snippets/stage/database_url"),
            "mozmeao-snippets-stage-database-url-8d93156e21b53032"
        );
        assert_ne!(secret_name("a/b-c/x"), secret_name("a-b/c/x"));
        let long = secret_name(&format!("group/app/env/{}", "n".repeat(200)));
        assert_eq!(long.len(), 63);
    }

    #[test]
    fn keys_of_properties_are_injective_and_reversible() {
        for (property, key) in [
            ("password", "password"),
            ("value", ".76alue"),
            ("values", "values"),
            ("tls.crt", "tls.2ecrt"),
            ("a/b", "a.2fb"),
            ("..", ".2e.2e"),
            ("ä", ".c3.a4"),
        ] {
            assert_eq!(property_key(property).as_deref(), Some(key));
            assert_eq!(key_property(key).as_deref(), Some(property));
        }
        assert_eq!(property_key(&"x".repeat(253)), Some("x".repeat(253)));
        assert_eq!((property_key(&"x".repeat(254)), property_key("")), (None, None));
        // No character makes a key that the API server refuses.
        for character in (0..=0x2ff).filter_map(char::from_u32) {
            for property in
                [character.to_string(), format!("{character}{character}"), format!("{character}x")]
            {
                let key = property_key(&property).unwrap();
                assert!(is_key(&key) && key != "." && !key.starts_with(".."), "{property:?}: {key}");
            }
        }
        for never in ["", "value", "tls.crt", ".2E", ".", ".4", ".61"] {
            assert_eq!(key_property(never), None, "{never}");
        }
    }
}
