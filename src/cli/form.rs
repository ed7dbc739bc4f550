//! What a file is as a whole: manifests, ciphertext, or a private key. `input` asks before it parses anything.

use std::path::Path;

use crate::policy::leftover::{AGE_ARMOR, AGE_HEADER};

/// A larger file that is named like a key is something else.
pub const MAX_KEY_FILE_BYTES: u64 = 64 << 10;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// YAML or JSON, as far as its beginning says.
    Manifests,
    /// Encrypted as a whole, by the program of this name: nothing of it can be read, which is its purpose.
    Encrypted(&'static str),
    /// A private key, or the identity file of age.
    PrivateKey,
    /// It cannot be judged as it is, and this says why and what to do.
    Unreadable(&'static str),
}

const GIT_CRYPT: &str =
    "this file is locked by git-crypt, so it cannot be judged; unlock the repository first: git-crypt unlock";
const CUT_OFF: &str = "this file begins as one that age encrypted, and its last line is not -----END AGE ENCRYPTED FILE-----; encrypt it \
                       again: age --encrypt --armor";
/// Ciphertext as text, from its first line to its last. Sources: C2SP `age.md`, RFC 9580 6.2.
const ARMORS: [(&str, &str, &str); 2] = [
    (AGE_ARMOR.text, "-----END AGE ENCRYPTED FILE-----", "age"),
    ("-----BEGIN PGP MESSAGE-----", "-----END PGP MESSAGE-----", "PGP"),
];
/// What Ansible writes before its hexadecimal digits.
const ANSIBLE_VAULT: &str = "$ANSIBLE_VAULT;";

impl Form {
    /// By its bytes alone.
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(b"\0GITCRYPT\0") {
            return Self::Unreadable(GIT_CRYPT);
        }
        if bytes.strip_prefix(AGE_HEADER.text.as_bytes()).is_some_and(|rest| rest.starts_with(b"\n")) {
            return Self::Encrypted("age");
        }
        let Ok(text) = std::str::from_utf8(bytes) else { return Self::Manifests };
        let text = text.trim();
        for (begin, end, by) in ARMORS {
            match text.strip_prefix(begin).map(|rest| rest.find(end).map(|at| rest.len() - at - end.len())) {
                // Whatever follows the last line is no ciphertext, and must not be passed over.
                Some(Some(0)) => return Self::Encrypted(by),
                Some(_) if by == "age" => return Self::Unreadable(CUT_OFF),
                _ => {}
            }
        }
        let is_hex = |line: &str| !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_hexdigit());
        if text.starts_with(ANSIBLE_VAULT) && text.lines().skip(1).all(is_hex) {
            return Self::Encrypted("Ansible Vault");
        }
        // `age-keygen` writes comments before the key, and so do people.
        let first = text.lines().map(str::trim_start).find(|line| !line.is_empty() && !line.starts_with('#'));
        match first {
            Some(line) if is_key(line) => Self::PrivateKey,
            _ => Self::Manifests,
        }
    }
}

/// Whether a file that begins with this line is a private key, if the rules for values say so of its text.
fn is_key(line: &str) -> bool {
    let pem = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.trim_end().strip_suffix("-----"));
    pem.is_some_and(|label| label.ends_with("PRIVATE KEY") || label.ends_with("PRIVATE KEY BLOCK"))
        || line.starts_with("AGE-SECRET-KEY-")
        || line.starts_with("PuTTY-User-Key-File-")
}

/// Whether people keep private keys under such a name: `key.txt`, `id_ed25519`, `server.pem`.
pub fn is_named_like_key(path: &Path) -> bool {
    let lower =
        |part: Option<&std::ffi::OsStr>| part.and_then(|part| part.to_str()).map(str::to_ascii_lowercase);
    let name = lower(path.file_name()).unwrap_or_default();
    let has_key_extension = matches!(
        lower(path.extension()).as_deref(),
        Some("key" | "pem" | "p8" | "ppk" | "agekey" | "age-key" | "identity")
    );
    let is_of_ssh =
        ["id_rsa", "id_dsa", "id_ecdsa", "id_ed25519"].iter().any(|start| name.starts_with(start));
    has_key_extension
        || is_of_ssh
        || matches!(&*name, "key.txt" | "keys.txt" | "age.txt" | "identity.txt" | "identities.txt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_its_bytes_say() {
        for (text, expected) in [
            ("kind: Pod\n", Form::Manifests),
            ("", Form::Manifests),
            ("# a comment\n---\nkind: Pod\n", Form::Manifests),
            ("age-encryption.org/v1\n-> X25519 Zm9v\nYmFy\n--- bWFj\n\u{1}", Form::Encrypted("age")),
            ("age-encryption.org/v1: a key\n", Form::Manifests),
            ("age-encryption.org/v10\n", Form::Manifests),
            (
                "\n-----BEGIN AGE ENCRYPTED FILE-----\r\nWjJo\r\n-----END AGE ENCRYPTED FILE-----\r\n",
                Form::Encrypted("age"),
            ),
            ("-----BEGIN AGE ENCRYPTED FILE-----\nWjJo\n", Form::Unreadable(CUT_OFF)),
            (
                "-----BEGIN AGE ENCRYPTED FILE-----\nWjJo\n-----END AGE ENCRYPTED FILE-----\n---\nkind: Pod\n",
                Form::Unreadable(CUT_OFF),
            ),
            ("a: \"-----BEGIN AGE ENCRYPTED FILE-----\"\n", Form::Manifests),
            (
                "-----BEGIN PGP MESSAGE-----\nVersion: GnuPG v2\n\nhQEM\n-----END PGP MESSAGE-----\n",
                Form::Encrypted("PGP"),
            ),
            ("$ANSIBLE_VAULT;1.2;AES256;dev\n6162\n6364\n", Form::Encrypted("Ansible Vault")),
            ("$ANSIBLE_VAULT;1.1;AES256\n6162\n---\nkind: Pod\n", Form::Manifests),
            ("# created: 2026-01-02\n# public key: age1x\nAGE-SECRET-KEY-1ABC\n", Form::PrivateKey),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nx\n", Form::PrivateKey),
            ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nx\n", Form::PrivateKey),
            ("PuTTY-User-Key-File-3: ssh-ed25519\n", Form::PrivateKey),
            ("-----BEGIN CERTIFICATE-----\nx\n", Form::Manifests),
            ("-----BEGIN PUBLIC KEY-----\nx\n", Form::Manifests),
            ("\0GITCRYPT\0x", Form::Unreadable(GIT_CRYPT)),
        ] {
            assert_eq!(Form::of(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn keys_are_known_by_their_usual_names() {
        for name in ["keys.txt", "a/ID_RSA", "id_ed25519_work", "server.pem", "flux.agekey", "x/tls.key"] {
            assert!(is_named_like_key(Path::new(name)), "{name}");
        }
        for name in ["keys.md", "identity.go", "key", "pod.yaml", "notes.txt"] {
            assert!(!is_named_like_key(Path::new(name)), "{name}");
        }
    }
}
