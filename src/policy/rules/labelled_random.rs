//! Rule `labelled-random`: a text that names a credential and goes on with a random string: `acme-secret-4f9a…`.

use super::sight::{LONG_WORD, Sight, Sink};
use super::text::{ALNUM, DIGIT, URL64, class_before, contains_fold, is_uuid, looks_random, run_end};
use super::{Example, Rule};
use crate::policy::finding::Certainty;

/// The rule.
pub(super) static RULE: Rule = Rule {
    id: "labelled-random",
    summary: "a word with a credential word in it and a random string behind it",
    reason: "a string that says it is a credential is written into the object",
    certainty: Certainty::Probable,
    examples: &[Example::env("VENDOR", "acme-apikey-6b1d0c9e27f34a58b0e1d2c3f4a5968b")],
    counter_examples: &[
        Example::env("SECRET_OBJECT", "shop-secret-7g8h9k2m4t"),
        Example::env("IMAGE", "registry.example.com/token-server:v1.2.3"),
    ],
    inside: false,
    needs: &[LONG_WORD | DIGIT],
    check,
};

/// A suffix that controllers give to names of objects is shorter.
const SHORTEST: usize = 20;

fn check(sight: &Sight<'_>, sink: &mut Sink<'_>) {
    let text = sight.text;
    let mut at = 0;
    while at < text.len() && !sink.done() {
        let end = run_end(text, at, URL64 | super::text::DOT);
        if end - at >= SHORTEST + 4
            && class_before(text, at) & super::text::PLUS_SLASH == 0
            && is_labelled(&text[at..end])
        {
            sink.strike(at..end, false, "a random string behind a credential word");
        }
        at = end + 1;
    }
}

/// Whether the last part of a word is random and the part before it a credential word.
fn is_labelled(word: &[u8]) -> bool {
    const LABELS: &[&[u8]] =
        &[b"secret", b"token", b"apikey", b"api-key", b"api_key", b"private", b"access", b"key", b"password"];
    let tail_start = if word.len() > 37 && is_uuid(&word[word.len() - 36..]) {
        word.len() - 36
    } else {
        let alnum =
            word.iter().rev().take_while(|byte| super::text::class_at(&[**byte], 0) & ALNUM != 0).count();
        word.len() - alnum
    };
    let (head, tail) = (&word[..tail_start], &word[tail_start..]);
    let label = &head[head.len().saturating_sub(24)..];
    let near = LABELS.iter().any(|known| contains_fold(label, known));
    near && tail.len() >= SHORTEST && looks_random(tail)
}
