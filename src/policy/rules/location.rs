//! Values that say where something is kept, and are no credential themselves: paths, URLs, names of objects and classes.

use super::text::{
    ALNUM, DIGIT, DOT, HEX, HYPHEN, LOWER, PLUS_SLASH, UNDERSCORE, WORD, all, any, ends_with_fold,
    looks_random, run_end, starts_with_fold,
};

/// Where something is kept: a path, a file, a URL without a credential, the name of a class, code that reads it.
pub(super) fn is_place(value: &[u8]) -> bool {
    // `#add-user` is a place in a page.
    let fragment = value.strip_prefix(b"#").is_some_and(|name| any(name, HYPHEN) && is_object_name(name));
    fragment || is_path(value) || is_bare_url(value) || is_class(value) || is_call(value)
}

/// What names of files that hold keys, settings or code end in.
#[rustfmt::skip]
const ENDINGS: &[&[u8]] = &[
    b".pem", b".key", b".crt", b".cer", b".pub", b".der", b".p12", b".pfx", b".jks", b".json", b".yaml", b".yml", b".txt",
    b".toml", b".ini", b".cfg", b".conf", b".env", b".properties", b".js", b".ts", b".py", b".sh", b".xml", b".keytab",
    b".jceks", b".keystore", b".truststore", b".kubeconfig", b".csv", b".asc", b".gpg",
];

/// An absolute path, one on a drive, the name of a file, or a relative path of words.
pub(super) fn is_path(value: &[u8]) -> bool {
    let plain = all(value, ALNUM | DOT | HYPHEN | UNDERSCORE | PLUS_SLASH) && !value.contains(&b'+');
    if plain && ENDINGS.iter().any(|ending| value.len() > ending.len() && ends_with_fold(value, ending)) {
        return true;
    }
    let rooted = value.starts_with(b"/")
        || value.starts_with(b"./")
        || value.starts_with(b"../")
        || value.starts_with(b"~/");
    let drive = matches!(value, [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
    if drive || starts_with_fold(value, b"file:") {
        return true;
    }
    let word = |segment: &[u8]| !looks_random(segment);
    let inside = value.iter().filter(|byte| **byte == b'/').count();
    if rooted {
        return value.len() > 2 && value.split(|byte| *byte == b'/').all(word) && !value.contains(&b'+');
    }
    // Relative ones are written in small letters: `my/secret/path`. One slash alone is the name of an object and its
    // namespace, or of a property; a password has its slash among other signs.
    let lower = |segment: &[u8]| {
        !segment.is_empty() && all(segment, LOWER | DIGIT | HYPHEN | UNDERSCORE | DOT) && word(segment)
    };
    plain
        && inside >= 1
        && value.split(|byte| *byte == b'/').all(lower)
        && (inside >= 2 || any(value, HYPHEN))
}

/// A URL that opens nothing by itself: the rules on URLs judge those that do.
fn is_bare_url(value: &[u8]) -> bool {
    let scheme = run_end(value, 0, ALNUM | DOT | HYPHEN | PLUS_SLASH);
    value[scheme..].starts_with(b"://") && scheme > 1
        || starts_with_fold(value, b"urn:")
        || starts_with_fold(value, b"did:")
}

/// `org.example.Thing`: words with dots between them.
fn is_class(value: &[u8]) -> bool {
    let word = |segment: &[u8]| {
        segment.first().is_some_and(u8::is_ascii_alphabetic)
            && all(segment, WORD | HYPHEN)
            && !looks_random(segment)
    };
    value.iter().filter(|byte| **byte == b'.').count() >= 2 && value.split(|byte| *byte == b'.').all(word)
}

/// `getenv("X")`, `process.env.X`, `secrets['x']`.
fn is_call(value: &[u8]) -> bool {
    let head = run_end(value, 0, WORD | DOT);
    // Cut off at a quote, a call is one all the same: `os.getenv(`.
    head > 1
        && ((value[head..].starts_with(b"(") && value.ends_with(b")"))
            || (value[head..].starts_with(b"[") && value.ends_with(b"]"))
            || matches!(value[head..], [b'(' | b'[']))
        || starts_with_fold(value, b"process.env.")
        || starts_with_fold(value, b"os.environ")
}

/// Whether a value may be the name of a Kubernetes object: a DNS name of words, the last of them perhaps the suffix that
/// a controller gives, which has at most ten letters and digits, or the hash at the end of a synced Secret's name.
pub(super) fn is_object_name(value: &[u8]) -> bool {
    let word = |segment: &[u8]| {
        let letters = run_end(segment, 0, LOWER);
        letters > 0 && all(&segment[letters..], DIGIT) && segment.len() - letters <= 3
    };
    let (head, last) = match value.iter().rposition(|byte| matches!(byte, b'-' | b'.')) {
        Some(at) => (&value[..at], &value[at + 1..]),
        None => (&value[..0], value),
    };
    value.len() <= 253
        && (word(last)
            || (!head.is_empty() && !last.is_empty() && last.len() <= 10 && all(last, LOWER | DIGIT))
            || (!head.is_empty() && last.len() == 16 && all(last, HEX)))
        && (head.is_empty() || head.split(|byte| matches!(byte, b'-' | b'.')).all(word))
}
