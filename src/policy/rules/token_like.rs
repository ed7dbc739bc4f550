//! Rule `token-like`: shapes of tokens that other things have, too, and halves of a pair such as AWS access key ids.

use super::sight::{Sight, Sink, TOKEN};
use super::{Example, Rule};
use crate::policy::finding::Certainty;

/// The rule.
pub(super) static RULE: Rule = Rule {
    id: "token-like",
    summary: "a string with the shape of a token that is not quite its own, or the public half of a key pair",
    reason: "what looks like a vendor's token, or half of a long-lived key pair, is written into the object",
    certainty: Certainty::Probable,
    examples: &[
        Example::env("ACCESS_ID", concat!("AK", "IAZ2RNT6QGW4XKJ5DB")),
        Example::env("MAILGUN", concat!("ke", "y-6b1d0c9e27f34a58b0e1d2c3f4a5968b")),
    ],
    counter_examples: &[
        // AWS's own documentation.
        Example::env("ACCESS_ID", "AKIAIOSFODNN7EXAMPLE"),
        Example::env("SORT", "key-value-store-of-the-application"),
    ],
    inside: false,
    needs: &[TOKEN],
    check,
};

fn check(sight: &Sight<'_>, sink: &mut Sink<'_>) {
    super::token::find(sight, sink, false);
}
