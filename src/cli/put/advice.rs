//! Values that are seldom what somebody means to store: hashes of passwords, and tokens that end by themselves. They are
//! stored all the same, and not repeated.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use regex::Regex;
use serde_json::Value;

/// Notations of hashes, each with its name. Sources: crypt(5), the PHC string format, RFC 2307 and RFC 5803, and what Werkzeug and
/// Django write.
static HASHES: LazyLock<[(Regex, &str); 6]> = LazyLock::new(|| {
    let regex = |text: &str| Regex::new(text).expect("an expression that is written here");
    [
        (regex(r"^\$2[abxy]?\$[0-9]{2}\$[./A-Za-z0-9]{53}$"), "bcrypt"),
        (regex(r"^\$argon2(id|i|d)\$\S+$"), "Argon2"),
        (regex(r"^(\$pbkdf2|pbkdf2[:_])\S*\$\S+$"), "PBKDF2"),
        (regex(r"^(\$scrypt\$|scrypt[:$])\S+$"), "scrypt"),
        (regex(r"^\$(1|5|6|7|y|gy|md5|sha1|apr1)[$,]\S{10,}$"), "crypt"),
        (
            regex(r"^(\{(S?SHA|S?MD5|CRYPT|PBKDF2|ARGON2)[-0-9A-Za-z]*\}|SCRAM-SHA-)\S{10,}$"),
            "a directory or database",
        ),
    ]
});

/// What to tell whoever stores a value; `None` where there is nothing to say.
pub fn advice(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if let Some(what) = doubt(text) {
        return Some(format!("warning: the value looks like {what}"));
    }
    let properties: BTreeMap<String, Value> = serde_json::from_str(text).ok()?;
    let what = properties.values().find_map(|value| doubt(value.as_str()?.trim()))?;
    Some(format!("warning: a property of the value looks like {what}"))
}

fn doubt(text: &str) -> Option<String> {
    if let Some((_, name)) = HASHES.iter().find(|(regex, _)| regex.is_match(text)) {
        return Some(format!(
            "the hash of a password ({name}): a program that logs in needs the password itself; store that, unless this is \
             for a program that checks passwords"
        ));
    }
    is_token(text).then(|| {
        "a JSON Web Token, which ends by itself; store what it is issued for, such as a client secret or a key, unless this \
         one never ends"
            .to_owned()
    })
}

/// Whether it is one as RFC 7519 has it: three parts, or five where it is encrypted, and a header with an algorithm.
fn is_token(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').take(6).collect();
    let is_part =
        |part: &&str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if !matches!(parts.len(), 3 | 5) || !parts.iter().all(is_part) {
        return false;
    }
    let header = URL_SAFE_NO_PAD.decode(parts[0]).ok();
    let header = header.and_then(|bytes| serde_json::from_slice::<BTreeMap<String, Value>>(&bytes).ok());
    header.is_some_and(|header| header.get("alg").is_some_and(Value::is_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(r#"{"sub":"1"}"#))
    }

    #[test]
    fn hashes_and_tokens_are_told_and_not_repeated() {
        let bcrypt = format!("$2b$12${}", "Ab1./".repeat(11).split_at(53).0);
        let werkzeug = "pbkdf2:sha256:600000$Zm9vYmFy$0f1e2d3c4b5a";
        for (value, expected) in [
            (bcrypt.clone(), "bcrypt"),
            (format!("{bcrypt}\n"), "bcrypt"),
            ("$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g".to_owned(), "Argon2"),
            ("$6$rounds=5000$saltsalt$hashhashhash".to_owned(), "crypt"),
            ("$y$j9T$saltsalt$hashhashhash".to_owned(), "crypt"),
            ("$apr1$saltsalt$hashhashhash".to_owned(), "crypt"),
            (werkzeug.to_owned(), "PBKDF2"),
            ("pbkdf2_sha256$870000$salt$aGFzaA=".to_owned(), "PBKDF2"),
            ("$pbkdf2-sha512$i=10000$c2FsdA$aGFzaA".to_owned(), "PBKDF2"),
            ("scrypt:32768:8:1$salt$0f1e2d".to_owned(), "scrypt"),
            ("{SSHA}c2FsdHNhbHRoYXNo".to_owned(), "directory"),
            ("SCRAM-SHA-256$4096:c2FsdA==$a:b".to_owned(), "directory"),
            (token(r#"{"alg":"HS256","typ":"JWT"}"#), "JSON Web Token"),
            (format!(r#"{{"user":"app","password":"{bcrypt}"}}"#), "a property of the value"),
        ] {
            let said = advice(value.as_bytes()).unwrap_or_else(|| panic!("{value}"));
            assert!(said.contains(expected), "{said}");
            assert!(!said.contains(&value.trim()[..8]) && !said.contains("Ab1./"), "{said}");
        }
    }

    #[test]
    fn what_is_a_secret_is_not_told() {
        for value in [
            "",
            "hunter2",
            "$2b$",
            "$1",
            "postgres://app:pw@db/x",
            "a.b.c",
            "eyJhIjoxfQ.x.y",
            "admin:$apr1$saltsalt$hashhashhash",
            "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n",
            r#"{"user":"app","password":"hunter2","ports":[1]}"#,
            "[1]",
        ] {
            assert_eq!(advice(value.as_bytes()), None, "{value}");
        }
        assert_eq!(advice(b"\xff\xfe"), None);
    }
}
