//! Rule `credential-name`: a name whose last word is a credential word, nothing that switches it off, a literal value.

use super::sight::{NAMED, Sight, Sink};
use super::{Example, Place, Rule};
use crate::policy::finding::Certainty;

/// The rule.
pub(super) static RULE: Rule = Rule {
    id: "credential-name",
    summary: "a literal value under a name that ends in a credential word",
    reason: "the name promises a credential, and the value is written out",
    certainty: Certainty::Certain,
    examples: &[
        Example::env("DB_PASSWORD", "Zq8mT3vLx0"),
        Example::env("spring.datasource.password", "a b c"),
        Example::env("JWT_SECRET", "my-jwt-secret-of-many-words"),
        Example::env("SENDER_API_KEY", "Zq8mT3vLx0RbNc5W"),
        Example::named(Place::Header, "X-Api-Key", "Zq8mT3vLx0RbNc5W"),
        Example::named(Place::Header, "Authorization", "Bearer Zq8mT3vLx0RbNc5W"),
        Example::named(Place::VolumeAttribute, "password", "Zq8mT3vLx0"),
        // It only begins like a reference.
        Example::env("DB_PASSWORD", "vault:hunter"),
    ],
    counter_examples: &[
        Example::env("DB_PASSWORD_FILE", "/run/refgate/DB_PASSWORD"),
        Example::env("DB_PASSWORD", ""),
        Example::env("DB_PASSWORD", "$(MYSQL_PASSWORD)"),
        Example::env("DB_PASSWORD", "<password>"),
        Example::env("DB_PASSWORD", "changeme"),
        Example::env("DB_PASSWORD", "vault:secret/data/db#password"),
        Example::env("MYSQL_ALLOW_EMPTY_PASSWORD", "yes"),
        Example::env("MAX_TOKENS", "4096"),
        Example::env("ACCESS_TOKEN_TTL", "3600"),
        Example::env("PULL_SECRET", "regcred"),
        Example::env("WEBHOOK_SECRET", "webhook-server-cert"),
        Example::env("PARTITION_KEY", "customer"),
        Example::named(
            Place::Annotation,
            "checksum/secret",
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ),
        Example::named(Place::Annotation, "nginx.ingress.kubernetes.io/auth-secret", "basic-auth"),
    ],
    inside: false,
    needs: &[NAMED],
    check,
};

fn check(sight: &Sight<'_>, sink: &mut Sink<'_>) {
    if let Some(weight) = sight.weight().filter(|weight| weight.certain) {
        sink.strike(0..sight.text.len(), weight.weak, "a literal value under a credential's name");
    }
}
