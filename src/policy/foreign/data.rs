//! What tools take of data for a reference: of an entry of a ConfigMap, whose path is then compared, and of a value of a
//! Secret in a file.
//!
//! bank-vaults takes a value by its beginning, and expressions anywhere in it, each on one line (secrets-webhook
//! `pkg/provider`, internal `pkg/injector`, `inlineMutationRegex`). The injectors of env vars take a value as a whole. So the
//! lines of a file are no references, whatever they begin with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::signs::{DOLLAR, NEWLINE, Signs};
use super::{Reading, ciphertext, read_with, vault_path};
use crate::policy::path::SecretPath;

/// How the values begin that bank-vaults takes to Vault or OpenBao.
pub const VAULT_STARTS: [&str; 4] = ["vault:", ">>vault:", "bao:", ">>bao:"];

/// How those begin that it takes to AWS, and secrets-init in all partitions.
pub const ARN_STARTS: [&str; 6] = [
    "arn:aws:secretsmanager:",
    "arn:aws:ssm:",
    "arn:aws-cn:secretsmanager:",
    "arn:aws-cn:ssm:",
    "arn:aws-us-gov:secretsmanager:",
    "arn:aws-us-gov:ssm:",
];

/// How its expressions begin inside of a value.
pub const INLINE_STARTS: [&str; 6] = ["${vault:", "${>vault:", "${>>vault:", "${bao:", "${>bao:", "${>>bao:"];

/// The keys of Secrets that hold a docker configuration.
pub const DOCKER_KEYS: [&str; 2] = [".dockerconfigjson", ".dockercfg"];

/// Reads an entry of a ConfigMap as one reference; a line that ends it is none of its text.
pub fn whole(text: &str, signs: Signs) -> Reading<'_> {
    if !signs.has(NEWLINE) {
        return read_with(text, signs);
    }
    let text = text.trim_end_matches(['\n', '\r']);
    if memchr::memchr(b'\n', text.as_bytes()).is_none() {
        return read_with(text, signs);
    }
    // The key behind the path may be a template of several lines; nothing else goes over the end of one.
    let Some(rest) = VAULT_STARTS.iter().find_map(|start| text.strip_prefix(start)) else {
        return Reading::None;
    };
    let path = rest.split('#').next().unwrap_or_default();
    // A mapping of YAML: no path begins with a blank, unless the client folds it away with a `..` behind it.
    let is_yaml = path.starts_with([' ', '\t', '\r', '\n']) && !path.contains("..");
    if is_yaml { Reading::None } else { read_with(text, signs) }
}

/// Longest expression that is read, which keeps this linear: the next one may begin inside of it.
const LONGEST: usize = 1_024;

/// The expressions of bank-vaults inside of an entry that it would take: closed on their line, with a key or a ciphertext.
/// `${vault:-x}` of a shell is none.
pub fn inline(text: &str, signs: Signs) -> Vec<Reading<'_>> {
    let mut found = Vec::new();
    if !signs.has(DOLLAR) {
        return found;
    }
    for at in memchr::memmem::find_iter(text.as_bytes(), b"${") {
        let inner = text[at + 2..].trim_start_matches('>');
        let Some(rest) = inner.strip_prefix("vault:").or_else(|| inner.strip_prefix("bao:")) else {
            continue;
        };
        let seen = &rest.as_bytes()[..rest.len().min(LONGEST)];
        let Some(end) = memchr::memchr2(b'}', b'\n', seen) else {
            if rest.len() > LONGEST {
                found.push(Reading::Malformed("Vault"));
            }
            continue;
        };
        let (expression, is_key) = (&rest[..end], rest[..end].contains('#'));
        if seen[end] == b'\n' || !(is_key || ciphertext(expression).is_some()) {
            continue;
        }
        let path = expression.split('#').next().unwrap_or_default();
        found.push(if is_key && SecretPath::absolute(path).is_ok() {
            Reading::Reference(vault_path("Vault", path, text[at + 2..].starts_with(">>")))
        } else {
            Reading::Malformed("Vault")
        });
    }
    found
}

/// Whether a value of a Secret begins as one that a tool would take: an ARN; a path and, behind a `#`, a key; `login`; what
/// the transit engine has encrypted.
pub fn is_reference(value: &[u8]) -> bool {
    if !matches!(value.first(), Some(b'v' | b'b' | b'>' | b'a')) {
        return false;
    }
    let begins = |start: &str| value.starts_with(start.as_bytes());
    let Some(start) = VAULT_STARTS.into_iter().find(|start| begins(start)) else {
        return ARN_STARTS.into_iter().any(begins);
    };
    let rest = &value[start.len()..];
    let is_encrypted = start.ends_with("vault:") && matches!(rest, [b'v', b'0'..=b'9', ..]);
    is_encrypted || rest == b"login" || memchr::memchr(b'#', rest).is_some()
}

/// Whether a value of a Secret holds an expression of bank-vaults.
pub fn holds_expression(value: &[u8]) -> bool {
    memchr::memmem::find(value, b"${").is_some()
        && INLINE_STARTS.iter().any(|start| memchr::memmem::find(value, start.as_bytes()).is_some())
}

/// How `>>` begins a text of JSON where one or both are escapes, as encoders write them that think of HTML.
const ARROWS: [&str; 5] = [r#"">\u003"#, r#""\u003e>"#, r#""\u003e\u003"#, r#""\u003E>"#, r#""\u003E\u003"#];

/// Texts in a docker configuration that begin a user, a password or an `auth` of which bank-vaults makes another: a text of
/// JSON that begins so, as it is or in base64, as far as the beginning fills characters of it.
pub fn docker_marks() -> Vec<String> {
    let starts = VAULT_STARTS.iter().chain(&ARN_STARTS[..2]);
    let both = starts.flat_map(|start| {
        let mut encoded = STANDARD_NO_PAD.encode(start);
        encoded.truncate(start.len() * 8 / 6);
        [format!("\"{start}"), format!("\"{encoded}")]
    });
    both.chain(ARROWS.map(str::to_owned)).collect()
}

/// Whether a docker configuration holds an escape behind which such a beginning could hide: of a letter, a digit or a colon,
/// which no encoder writes so, or of the end of a line inside of a word, which decoders of base64 leave out.
///
/// Escapes of `<`, `>`, `&` and quotes are in ordinary passwords, and ends of lines in keys that are JSON themselves.
pub fn has_hiding_escape(value: &[u8]) -> bool {
    memchr::memchr_iter(b'\\', value).any(|at| match &value[at + 1..] {
        [b'u', b'0', b'0', b'0' | b'4'..=b'7', ..] => true,
        [b'u', b'0', b'0', b'3', digit, ..] => matches!(digit, b'0'..=b'9' | b'a' | b'A'),
        [b'n' | b'r', next, ..] => {
            let goes_on = next.is_ascii_alphanumeric() || b"+/\\".contains(next);
            // Behind a backslash it is the `n` of a word.
            goes_on && at > 0 && value[at - 1] != b'\\'
        }
        _ => false,
    })
}

/// Whether a docker configuration holds such a reference, or may.
pub fn is_docker_reference(value: &[u8]) -> bool {
    docker_marks().iter().any(|mark| memchr::memmem::find(value, mark.as_bytes()).is_some())
        || has_hiding_escape(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn systems(text: &str) -> Vec<&'static str> {
        let said = |reading: &Reading<'_>| match reading {
            Reading::None => "none",
            Reading::Reference(reference) => reference.system,
            Reading::Malformed(_) => "malformed",
        };
        let signs = Signs::of(text);
        let whole = Some(whole(text, signs)).filter(|reading| *reading != Reading::None);
        inline(text, signs).iter().chain(&whole).map(said).collect()
    }

    #[test]
    fn an_entry_is_a_reference_as_the_tools_have_it() {
        for (text, expected) in [
            ("vault:secret/data/a#k", &["Vault"][..]),
            ("vault:secret/data/a#k\n", &["Vault"]),
            (">>bao:secret/a#k", &["OpenBao"]),
            ("vault:secret/data/a#${.user}:\n${.password}", &["Vault"]),
            ("url: postgres://${vault:secret/a#u}:${>>bao:secret/a#p}@db\nx: y\n", &["Vault", "Vault"]),
            ("vault:secret/a b#k\nx", &["malformed"]),
            ("vault:\n/../secret/data/prod/x#k", &["malformed"]),
            ("${vault:v1:8SDd3WHDOjf7mq69CyCqYjBXAiQQAVZRkFM13ok481zoCmHnSeDX9vyf7w==}", &["malformed"]),
            ("arn:aws:secretsmanager:us-west-2:111122223333:secret:a/b/c/d", &["AWS Secrets Manager"]),
            ("op://vault/item/field", &["1Password"]),
            ("op://vault", &["malformed"]),
        ] {
            assert_eq!(systems(text), expected, "{text}");
        }
    }

    #[test]
    fn lines_of_files_are_none() {
        for text in [
            "vault:\n  address: https://vault # the old one\n",
            "vault:8200",
            "#!/bin/sh\nexport A=${vault:-x}\n: ${vault:?} ${bao:0:3}\n",
            "echo ${vault:\n#}",
            "sm://a\nsm://b\n",
            "arn:aws:secretsmanager:us-west-2:1:secret:a\narn:aws:secretsmanager:us-west-2:1:secret:b\n",
            "op: x\nkey: op://vault/item/field\n",
            "backends:\n- vault:secret/data/a#k\n",
            "",
        ] {
            assert_eq!(systems(text), [""; 0], "{text}");
        }
    }

    /// All ways to write a beginning with escapes of one character, against what Go's decoders make of it.
    #[test]
    fn no_escape_hides_a_reference_in_a_docker_configuration() {
        let starts = VAULT_STARTS.iter().chain(&ARN_STARTS[..2]);
        for start in starts {
            let plain = format!("{start}secret/data/x#k");
            let auth = STANDARD_NO_PAD.encode(format!("{plain}:x"));
            for (text, is_base64) in [(&plain, false), (&auth, true)] {
                for at in 0..start.len() {
                    let (head, rest) = text.split_at(at);
                    let (next, tail) = rest.split_at(1);
                    let code = next.as_bytes()[0];
                    let mut ways = vec![format!("\\u{code:04x}{tail}"), format!("\\u{code:04X}{tail}")];
                    if is_base64 {
                        let ends = ["\\n", "\\r", "\\r\\n", "\\n\\n", "\\u000a", "\\u000D"];
                        ways.extend(ends.map(|end| format!("{end}{next}{tail}")));
                    }
                    for way in ways {
                        let config = format!(r#"{{"auths": {{"r": {{"auth": "{head}{way}"}}}}}}"#);
                        let decoded: serde_json::Value = serde_json::from_str(&config).unwrap();
                        let decoded = decoded["auths"]["r"]["auth"].as_str().unwrap();
                        let without = decoded.replace(['\n', '\r'], "");
                        assert_eq!(if is_base64 { &without } else { decoded }, text, "{config}");
                        assert!(is_docker_reference(config.as_bytes()), "{config}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_encoders_write_into_docker_configurations_hides_nothing() {
        for password in [
            r"a\u0026b\u003cc\u003ed",
            r"v\u0026x",
            r"\u003ehunter",
            r#"a\"b\\c\/d"#,
            // A key of Google's, which is JSON itself, and whose escapes are text here.
            r#"{\n  \"private_key\": \"-----BEGIN PRIVATE KEY-----\\nMIIE\\u003d\\n-----END\",\n  \"id\": \"1\"\n}\n"#,
            r"tab\there\n",
        ] {
            let config = format!(
                r#"{{"auths":{{"r":{{"username":"_json_key","password":"{password}","auth":"X2pzb246"}}}}}}"#
            );
            serde_json::from_str::<serde_json::Value>(&config).unwrap();
            assert!(!is_docker_reference(config.as_bytes()), "{config}");
        }
    }

    #[test]
    fn a_value_of_a_secret_is_told_by_its_beginning() {
        for value in ["vault:a#b", ">>bao:a#", "vault:login", "vault:v1:x", "arn:aws-cn:ssm:x"] {
            assert!(is_reference(value.as_bytes()), "{value}");
        }
        for value in ["vault:8200", " vault:a#b", "Vault:a#b", "vault:login2", "arn:aws:iam::x", "bao:v1:x"] {
            assert!(!is_reference(value.as_bytes()), "{value}");
        }
    }
}
