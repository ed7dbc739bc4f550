//! What a tool should have resolved before it came here: what SOPS, age or git-crypt has encrypted, and placeholders of
//! argocd-vault-plugin. The tool did not run, and a program would take the text for its value.
//!
//! Of Secrets `manifests/base/policies/leftovers.yaml` says the same inside the API server, and a test holds the two together.

use super::foreign::signs::{BRACKET, Signs};

/// Where in a text a mark counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Anywhere.
    Anywhere,
    /// At the beginning of a value.
    Start,
}

/// One mark.
#[derive(Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its text.
    pub text: &'static str,
    /// Where it counts.
    pub place: Place,
    /// What to say of it.
    pub what: &'static str,
}

const AGE: &str =
    "it is still encrypted by age: decrypt it on the way to the cluster, or refer to the secret manager";

/// A value that SOPS has encrypted.
pub const SOPS: Mark = Mark {
    text: "ENC[AES256_GCM",
    place: Place::Anywhere,
    what: "it is still encrypted by SOPS (ENC[AES256_GCM…): decrypt it on the way to the cluster, or refer to the secret manager",
};

/// A placeholder of argocd-vault-plugin.
const PLACEHOLDER: Mark = Mark {
    text: "<path:",
    place: Place::Anywhere,
    what: "it is still a placeholder of argocd-vault-plugin (<path:…>): the plugin did not run",
};

/// A file that age has encrypted, as text.
pub const AGE_ARMOR: Mark =
    Mark { text: "-----BEGIN AGE ENCRYPTED FILE-----", place: Place::Start, what: AGE };

/// The same as bytes.
pub const AGE_HEADER: Mark = Mark { text: "age-encryption.org/v1", place: Place::Start, what: AGE };

/// A file that git-crypt has encrypted (AGWA/git-crypt `commands.cpp`).
const GIT_CRYPT: Mark = Mark {
    text: "\0GITCRYPT",
    place: Place::Start,
    what: "it is still encrypted by git-crypt: run git-crypt unlock where it comes from, or refer to the secret manager",
};

/// All of them.
pub const MARKS: [Mark; 5] = [SOPS, PLACEHOLDER, AGE_ARMOR, AGE_HEADER, GIT_CRYPT];

impl Mark {
    /// Whether a value of a Secret has it.
    pub fn is_in(&self, value: &[u8]) -> bool {
        match self.place {
            Place::Anywhere => memchr::memmem::find(value, self.text.as_bytes()).is_some(),
            Place::Start => value.starts_with(self.text.as_bytes()),
        }
    }
}

/// Whether a text may have one: nearly all hold none of these bytes, nor begin as a file of age or git-crypt does.
pub fn may_be(text: &str, signs: Signs) -> bool {
    signs.has(BRACKET) || matches!(text.as_bytes().first(), Some(b'-' | b'a' | 0))
}

/// The marks in a text that is no Secret's: there a placeholder has its key, since other texts have elements of that name.
pub fn find(text: &str) -> impl Iterator<Item = &'static Mark> {
    let bytes = text.as_bytes();
    let has = |mark: &Mark| match mark.text {
        "<path:" => memchr::memmem::find_iter(bytes, mark.text).any(|at| is_placeholder(&bytes[at..])),
        _ => mark.is_in(bytes),
    };
    MARKS.iter().filter(move |mark| has(mark))
}

/// `<path:…#…>`, on one line. The next one ends it too, which keeps this linear.
fn is_placeholder(text: &[u8]) -> bool {
    let inner = text.get(1..).unwrap_or_default();
    let end = memchr::memchr3(b'>', b'\n', b'<', inner).filter(|end| inner[*end] == b'>');
    end.is_some_and(|end| memchr::memchr(b'#', &inner[..end]).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_where_they_count() {
        for (text, expected) in [
            ("ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]", Some(SOPS.what)),
            ("a: 1\nb: ENC[AES256_GCM,data:a]\n", Some(SOPS.what)),
            ("<path:secret/data/a#key | base64encode>", Some(PLACEHOLDER.what)),
            ("-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n", Some(AGE)),
            ("age-encryption.org/v1\n-> X25519 a\n", Some(AGE)),
            ("\0GITCRYPT\0abc", Some(GIT_CRYPT.what)),
            (" \0GITCRYPT\0abc", None),
            ("<path:rect/>", None),
            ("<path:a\n#>", None),
            ("see -----BEGIN AGE ENCRYPTED FILE-----", None),
            ("ENC[x]", None),
            ("", None),
        ] {
            assert_eq!(find(text).next().map(|mark| mark.what), expected, "{text}");
        }
    }
}
