//! Rule `likely-credential`: names that promise less, with a value that looks drawn at random.

use super::Place;
use super::location;
use super::name;
use super::sight::{ARGUMENT, LONG_WORD, NAMED, Sight, Sink};
use super::stock;
use super::text::{DIGIT, looks_random, trim, unquote};
use super::value::{self, Verdict};
use super::{Example, Rule};
use crate::policy::finding::Certainty;

/// The rule.
pub(super) static RULE: Rule = Rule {
    id: "likely-credential",
    summary: "a name that may promise a credential (KEY, TOKEN, AUTH), with a value that fits",
    reason: "the name and the value look like a credential",
    certainty: Certainty::Probable,
    examples: &[
        Example::env("BATCH_KEY", "Zq8mT3vLx0RbNc5W"),
        Example::env("SHOP_TOKEN", "abcdefgh"),
        Example::env("SENDER_SECRET_EU", "6b1d0c9e27f34a58b0e1d2c3f4a5968b"),
    ],
    counter_examples: &[
        Example::env("BATCH_KEY", "customers-by-name"),
        Example::env("KEY_DOWN_EVENT", "Zq8mT3vLx0RbNc5W"),
        Example::argument("root2"),
        Example::env("KMS_KEY_ID", "555ea4a3-d53a-4412-9c66-3a7cb667b0d6"),
        Example::env("TOKEN_ISSUER", "https://issuer.example.com/v1"),
    ],
    inside: false,
    needs: &[NAMED, LONG_WORD | DIGIT, ARGUMENT | DIGIT],
    check,
};

fn check(sight: &Sight<'_>, sink: &mut Sink<'_>) {
    let detail = "a value that looks like a credential under a name that may promise one";
    if sight.traits() & NAMED != 0 {
        if let Some(weight) = sight.weight().filter(|weight| !weight.certain) {
            sink.strike(0..sight.text.len(), weight.weak, detail);
        }
        return;
    }
    if matches!(sight.place, Place::Argument | Place::Command) && stock::says_itself(trim(sight.text)) {
        sink.strike(0..sight.text.len(), true, "an argument that is a stock password");
        return;
    }
    let Some(name) = sight.name.filter(|_| sight.place != Place::Annotation) else { return };
    let text = unquote(trim(sight.text));
    if looks_random(text)
        && !location::is_object_name(text)
        && name::mentions(name)
        && value::judge(text, None) == Verdict::Literal
    {
        sink.strike(0..sight.text.len(), false, detail);
    }
}
