//! Paths, names and keys, by the letter of the documentation.

use sha2::{Digest, Sha256};

const PATH_CHARACTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_+=.@-";
const KEY_CHARACTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

/// Whether a text is a path that the secret manager could have, without anything in it that a tool might resolve.
pub fn is_path(text: &str) -> bool {
    text.len() <= 512
        && text.chars().all(|character| PATH_CHARACTERS.contains(character))
        && text.split('/').all(|segment| !["", ".", ".."].contains(&segment))
}

/// Whether a clean path lies under a prefix, segment by segment, with at least one segment more.
pub fn inside(prefix: &str, path: &str) -> bool {
    let (prefix, segments): (Vec<&str>, Vec<&str>) = (prefix.split('/').collect(), path.split('/').collect());
    is_path(path) && segments.len() > prefix.len() && segments[..prefix.len()] == prefix[..]
}

/// `slug-hash`.
pub fn secret_name(path: &str) -> String {
    let lower = path.to_ascii_lowercase();
    let words: Vec<&str> = lower
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let slug: String = words.join("-").chars().take(46).collect();
    let hash: String = Sha256::digest(path).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{slug}-{}", &hash[..16])
}

/// Key of a property.
pub fn key(property: &str) -> String {
    if property == "value" {
        return ".76alue".to_owned();
    }
    let encode = |byte: u8| match char::from(byte) {
        plain if KEY_CHARACTERS.contains(plain) => plain.to_string(),
        _ => format!(".{byte:02x}"),
    };
    property.bytes().map(encode).collect()
}

/// Property of a key: what gives the key when it is encoded. `None` for the whole value and for keys of typed Secrets.
pub fn property(key: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut parts = key.split('.');
    bytes.extend(parts.next()?.bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).ok().filter(|property| self::key(property) == key)
}

/// Whether Kubernetes takes a name for an env var: printable ASCII without `=`.
pub fn is_env_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|character| (' '..='~').contains(&character) && character != '=')
}
