//! How much a name and its value weigh together: the one place that decides whether a named value is a finding.

use super::Place;
use super::location;
use super::name::{self, Kind, Named};
use super::text::{
    ALNUM, DIGIT, DOT, HYPHEN, LOWER, SPACE, UNDERSCORE, all, any, contains_fold, ends_with_fold,
    looks_like_a_key, looks_random, starts_with_fold, trim, unquote,
};
use super::value::{self, Verdict};

/// A named value that is a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weight {
    /// Almost surely, or only probably.
    pub(super) certain: bool,
    /// Anyone would guess it.
    pub(super) weak: bool,
}

/// Weighs a value under a name that promises a credential.
pub(super) fn weigh(named: Named<'_>, text: &[u8], place: Place) -> Option<Weight> {
    let text = unquote(trim(text));
    let verdict = value::judge(text, Some(named));
    if verdict == Verdict::Cleared {
        return None;
    }
    let weak = verdict == Verdict::Stock;
    let found = |certain| Some(Weight { certain, weak });
    if place == Place::Annotation {
        // Annotations name Secrets, hashes and switches of their controllers by such words all the time.
        let random = looks_random(text);
        return match named.kind {
            Kind::Password => found(true),
            Kind::Secret | Kind::Token | Kind::Key if random => found(false),
            _ => None,
        };
    }
    match named.kind {
        Kind::Password => found(true),
        // A phrase is one; what is longer describes it.
        Kind::Secret => {
            let blanks = text.iter().filter(|byte| **byte == b' ').count();
            (blanks <= 3).then_some(Weight { certain: blanks == 0, weak })
        }
        Kind::BareSecret => match () {
            () if any(text, SPACE) || (location::is_object_name(text) && any(text, HYPHEN)) => None,
            () => found(!location::is_object_name(text)),
        },
        Kind::ObjectSecret => (!location::is_object_name(text) && !any(text, SPACE))
            .then(|| Weight { certain: looks_random(text), weak }),
        // Django writes this in front of the keys that it makes for a new project.
        Kind::Key if text.starts_with(b"django-insecure-") => found(true),
        // Names of env vars are capitals, and hold values: `S3_SECRET_KEY=my-secret-key`.
        Kind::Key if weak && is_capital(named.name) && contains_fold(text, b"secret") => found(true),
        // `auth.secretKey: db-key` names a key of a Secret object.
        Kind::Key if location::is_object_name(text) && any(text, HYPHEN) => None,
        Kind::Token | Kind::Key => weigh_token(text, weak),
        // Laravel writes its `APP_KEY` with the encoding in front.
        Kind::Weak => looks_like_a_key(text.strip_prefix(b"base64:").unwrap_or(text))
            .then_some(Weight { certain: false, weak }),
        Kind::Pair => weigh_pair(named, text),
        Kind::Scheme => weigh_scheme(text),
    }
}

/// Whether the last word of a name is written in capitals.
fn is_capital(name: &[u8]) -> bool {
    name::split_last(name).is_some_and(|(_, word)| !any(word, LOWER))
}

/// Tokens and keys are random, or one of the words that everybody tries; other words are names of them.
fn weigh_token(text: &[u8], weak: bool) -> Option<Weight> {
    // What a client that insists on a key is given by servers that ask for none.
    const UNUSED: &[&[u8]] =
        &[b"dummy", b"fake", b"unused", b"not-used", b"not-needed", b"notneeded", b"ignored", b"sk-dummy"];
    if UNUSED.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return None;
    }
    if any(text, SPACE) || (location::is_object_name(text) && any(text, HYPHEN) && !weak) {
        return None;
    }
    let certain = weak || looks_random(text) || (any(text, DIGIT) && text.len() >= 8);
    (certain || text.len() >= 6).then_some(Weight { certain, weak })
}

/// `user:password`, or Neo4j's `neo4j/password`. A host with its port and an image with its tag look like it.
fn weigh_pair(named: Named<'_>, text: &[u8]) -> Option<Weight> {
    let separator = if starts_with_fold(text, b"neo4j/") { Some(5) } else { memchr::memchr(b':', text) };
    let Some(separator) = separator else {
        return looks_random(text).then_some(Weight { certain: false, weak: false });
    };
    let (user, password) = (&text[..separator], &text[separator + 1..]);
    let name = !user.is_empty() && all(user, ALNUM | UNDERSCORE | HYPHEN | super::text::AT | DOT);
    let other = any(password, SPACE) || password.contains(&b'/') || all(password, DIGIT) || any(user, DOT);
    if !name || other || password.contains(&b':') {
        return None;
    }
    let verdict = value::judge(password, None);
    let weak = verdict == Verdict::Stock || user == password;
    // `AUTH=basic:ldap` is two words; `USER_INFO` has no other meaning.
    let certain = weak || !all(password, LOWER | HYPHEN) || ends_with_fold(named.name, b"info");
    (verdict != Verdict::Cleared).then_some(Weight { certain, weak })
}

/// `Bearer …`, `Basic …`: a scheme of RFC 9110, section 11.4, and what follows it.
fn weigh_scheme(text: &[u8]) -> Option<Weight> {
    const SCHEMES: &[&[u8]] = &[
        b"Bearer ",
        b"Basic ",
        b"Token ",
        b"ApiKey ",
        b"Key ",
        b"Digest ",
        b"Negotiate ",
        b"Splunk ",
        b"GenieKey ",
    ];
    let scheme = SCHEMES.iter().find(|scheme| starts_with_fold(text, scheme));
    let credential = trim(&text[scheme.map_or(0, |scheme| scheme.len())..]);
    let literal = value::judge(credential, None) != Verdict::Cleared && !any(credential, SPACE);
    match scheme {
        Some(_) if literal && credential.len() >= 6 => Some(Weight { certain: true, weak: false }),
        None if literal && looks_random(credential) => Some(Weight { certain: false, weak: false }),
        _ => None,
    }
}
