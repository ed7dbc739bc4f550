//! Rule `secret-manifest`: the manifest of a Secret with a value in it. base64 is not encryption.

use super::name::split_last;
use super::sight::{SECRET_ENTRY, Sight, Sink};
use super::text::{contains_fold, looks_random, trim};
use super::value::{self, Verdict};
use super::{Example, Place, Rule};
use crate::policy::finding::Certainty;

/// The rule.
pub(super) static RULE: Rule = Rule {
    id: "secret-manifest",
    summary: "a value in the manifest of a Secret, in a file",
    reason: "the manifest of a Secret holds a value, and whoever reads the file has it",
    certainty: Certainty::Certain,
    examples: &[
        Example::named(Place::Secret, "license.txt", "three words here"),
        Example::named(Place::Secret, "activation", "shop-frontend"),
        Example::named(Place::Secret, "mode", "admin"),
        Example::named(Place::Secret, "user", "kR4vT9wqZ2pBxW6j"),
    ],
    counter_examples: &[
        Example::named(Place::Secret, "password", ""),
        Example::named(Place::Secret, "username", "admin"),
        Example::named(Place::Secret, "redis-port", "6379"),
        Example::named(Place::Secret, "clientID", "555ea4a3-d53a-4412-9c66-3a7cb667b0d6"),
        Example::named(Place::Secret, "log-level", "info"),
        Example::named(
            Place::Secret,
            "id_ed25519.pub",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPq7c0mT5dYx1RkWnZ8eUvJ3hQfLs2aGbKyXo9tDiE4C ci",
        ),
        Example::named(Place::Secret, "password", "${DB_PASSWORD}"),
        Example::named(Place::Secret, "password", "<password>"),
        Example::named(Place::Secret, "password", "ENC[AES256_GCM,data:Zm9v,iv:YmFy,tag:YmF6,type:str]"),
        Example::named(
            Place::Secret,
            "ca.crt",
            "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQzq8mT3vLx0RbNc5WdKy7HsPf2Gj\n-----END CERTIFICATE-----",
        ),
    ],
    inside: false,
    needs: &[SECRET_ENTRY],
    check,
};

/// Any literal counts but what its name and its form say is no secret: what belongs into a Secret is not for a file.
fn check(sight: &Sight<'_>, sink: &mut Sink<'_>) {
    let text = trim(sight.text);
    if sight.place != Place::Secret || is_public(text) || sight.name.is_some_and(|name| is_plain(name, text))
    {
        return;
    }
    // A guess is no credential where no name promises one: the rule for those would call it a password.
    if value::judge(text, None) != Verdict::Cleared {
        sink.strike(0..sight.text.len(), false, "a value in a Secret's manifest");
    }
}

/// Certificates and public keys, as PEM and as OpenSSH writes them.
fn is_public(text: &[u8]) -> bool {
    const LABELS: &[&[u8]] =
        &[b"begin certificate", b"begin public key", b"begin x509", b"begin pgp public key"];
    const STARTS: &[&[u8]] =
        &[b"ssh-rsa ", b"ssh-ed25519 ", b"ecdsa-sha2-", b"sk-ssh-", b"sk-ecdsa-", b"age1"];
    let head = &text[..text.len().min(64)];
    LABELS.iter().any(|label| contains_fold(head, label))
        || STARTS.iter().any(|start| text.starts_with(start))
}

/// Last words of names whose values are ids, which anybody may know however random they look.
const IDS: &[&[u8]] = &[b"id", b"ids", b"uid", b"uuid", b"guid"];
/// Last words of names whose values are no secrets as long as they do not look like one.
const PLAIN: &[&[u8]] = &[
    b"user",
    b"username",
    b"login",
    b"email",
    b"account",
    b"port",
    b"host",
    b"hostname",
    b"region",
    b"database",
    b"dbname",
    b"db",
    b"level",
    b"loglevel",
    b"clientid",
    b"tenantid",
    b"pub",
    b"namespace",
    b"bucket",
    b"type",
];

/// Whether a name says that its value is no secret, and the value does not look like one.
fn is_plain(name: &[u8], text: &[u8]) -> bool {
    let Some((_, last)) = split_last(name) else { return false };
    let is_one_of = |words: &[&[u8]]| words.iter().any(|word| word.eq_ignore_ascii_case(last));
    is_one_of(IDS) || (is_one_of(PLAIN) && text.len() <= LONGEST_PLAIN && !looks_random(text))
}

/// What is longer than the name of a host is no name.
const LONGEST_PLAIN: usize = 253;
