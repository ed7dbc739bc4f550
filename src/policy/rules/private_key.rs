//! Rule `private-key`: private keys as text, in PEM, PGP armour, PuTTY's format, with line ends escaped, in base64.

use super::sight::{Sight, Sink};
use super::text::{ALNUM, BASE64, CLASS, HYPHEN, LONGEST_LINE, SPACE};
use super::{Example, Rule};
use crate::policy::finding::Certainty;

/// The rule.
pub(super) static RULE: Rule = Rule {
    id: "private-key",
    summary: "a private key (PEM, PGP, OpenSSH, PuTTY), also escaped or in base64",
    reason: "a private key is written into the object",
    certainty: Certainty::Certain,
    examples: &[
        Example::env(
            "TLS",
            concat!(
                "-----BEGIN ",
                "PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n-----END ",
                "PRIVATE KEY-----\n"
            ),
        ),
        Example::env(
            "TLS",
            concat!(
                "-----BEGIN ",
                "RSA PRIVATE KEY-----\\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\\n-----END"
            ),
        ),
        Example::env(
            "TLS",
            concat!(
                "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1DNENBUUF3QlFZREsyVndCQ0lFSUFBQkFnTUVC",
                "UVlIQ0FrS0N3d05EZzhRRVJJVEZCVVdGeGdaR2hzY0hSNGYK"
            ),
        ),
    ],
    counter_examples: &[
        Example::env(
            "CA",
            "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQzq8mT3vLx0RbNc5WdKy7HsPf2Gj\n-----END CERTIFICATE-----",
        ),
        Example::env(
            "PUB",
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n-----END PUBLIC KEY-----",
        ),
        Example::argument("grep -q 'BEGIN PRIVATE KEY' /etc/tls/tls.key"),
        Example::argument("echo '-----BEGIN PRIVATE KEY-----' && cat key"),
        Example::env("TEMPLATE", "-----BEGIN PRIVATE KEY-----\n<your key>\n-----END PRIVATE KEY-----"),
    ],
    inside: true,
    needs: &[HYPHEN | SPACE],
    check,
};

/// Less than this of a body is no key, it is a text about keys. The shortest key, Ed25519's, has 64.
const SHORTEST_BODY: usize = 40;
/// So much of a block is enough to tell one key from another: all of one kind begin with the same fifty letters.
const TELLING_BODY: usize = 256;

fn check(sight: &Sight<'_>, sink: &mut Sink<'_>) {
    let text = sight.text;
    let mut at = 0;
    while let Some(offset) = memchr::memmem::find(&text[at..], b"-----BEGIN ") {
        let start = at + offset;
        at = start + 11;
        let label = label_end(&text[at..]);
        if is_private(&text[at..at + label]) && has_body(&text[at + label..]) {
            sink.strike(start..text.len().min(at + label + TELLING_BODY), false, "a private key");
            if sink.done() {
                return;
            }
        }
    }
    if let Some(start) = memchr::memmem::find(text, b"PuTTY-User-Key-File-")
        && memchr::memmem::find(&text[start..], b"Private-Lines:").is_some()
    {
        sink.strike(start..text.len(), false, "a private key of PuTTY");
    }
}

/// The length of the label between `BEGIN` and the hyphens: capitals and blanks.
fn label_end(rest: &[u8]) -> usize {
    rest.iter()
        .take(64)
        .take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || **byte == b' ')
        .count()
}

fn is_private(label: &[u8]) -> bool {
    label.ends_with(b"PRIVATE KEY") || label.ends_with(b"PRIVATE KEY BLOCK")
}

/// Whether enough of base64 follows, headers (`Proc-Type:`, `Version:`), quotes and escaped line ends aside.
fn has_body(rest: &[u8]) -> bool {
    let mut letters = 0;
    let mut run = 0;
    for byte in rest.iter().take(LONGEST_LINE) {
        let class = CLASS[usize::from(*byte)];
        run = if class & BASE64 != 0 { run + 1 } else { 0 };
        letters += usize::from(class & ALNUM != 0);
        if run >= SHORTEST_BODY && letters >= SHORTEST_BODY {
            return true;
        }
    }
    false
}
