//! Rule `weak-default`: credentials that anyone would guess, wherever another rule finds them. It has a switch of its own.

use super::sight::{Sight, Sink};
use super::{Example, Rule};
use crate::policy::finding::Certainty;

/// The rule.
pub(super) static RULE: Rule = Rule {
    id: "weak-default",
    summary: "a stock password (admin, postgres, 1234) where a credential stands: it works, and anyone would guess it",
    reason: "a password that anyone would guess is written into the object",
    certainty: Certainty::Certain,
    examples: &[
        Example::env("POSTGRES_PASSWORD", "postgres"),
        Example::env("KC_DB_PASSWORD", "kc"),
        Example::env("MYSQL_ROOT_PASSWORD", "1234"),
        Example::env("DATABASE_URL", "postgres://postgres:postgres@db:5432/shop"),
        Example::argument("--requirepass=admin123"),
    ],
    counter_examples: &[
        Example::env("POSTGRES_USER", "postgres"),
        Example::env("POSTGRES_PASSWORD", "changeme"),
        Example::env("DATABASE_URL", "postgres://postgres@db:5432/postgres"),
    ],
    inside: false,
    needs: &[],
    check,
};

/// The other rules report here what they find to be weak: see `Sink::strike`.
fn check(_: &Sight<'_>, _: &mut Sink<'_>) {}
