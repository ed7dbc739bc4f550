//! Rule `assignment`: credentials in text of names and values: shell assignments, `.env`, properties, JSON, YAML, headers.

use super::name::Kind;
use super::pairs::{Lead, Pair};
use super::sight::{Sight, Sink};
use super::text::{COLON, EQUALS, SPACE, any, looks_random};
use super::weight::{Weight, weigh};
use super::{Example, Place, Rule};
use crate::policy::finding::Certainty;

/// The rule.
pub(super) static RULE: Rule = Rule {
    id: "assignment",
    summary: "a credential in a text of names and values (shell, .env, properties, JSON, YAML)",
    reason: "a text inside the object gives a credential its value",
    certainty: Certainty::Certain,
    examples: &[
        Example::argument("PGPASSWORD=Zq8mT3vLx0 psql -h db -f /init.sql"),
        Example::argument("export API_KEY='Zq8mT3vLx0RbNc5W'; ./run"),
        Example::env("CONFIG", r#"{"host": "db", "password": "Zq8mT3vLx0"}"#),
        Example::env("CONFIG", "host: db\npassword: Zq8mT3vLx0\n"),
        Example::argument("curl -H 'Authorization: Bearer Zq8mT3vLx0RbNc5W' https://x"),
        Example::named(
            Place::Annotation,
            "kubectl.kubernetes.io/last-applied-configuration",
            r#"{"env":[{"name":"DB_PASSWORD","value":"Zq8mT3vLx0"}]}"#,
        ),
    ],
    counter_examples: &[
        Example::argument("PGPASSWORD=\"$DB_PASSWORD\" psql -h db -f /init.sql"),
        Example::argument("export API_KEY=$(cat /run/refgate/api_key)"),
        Example::env("CONFIG", r#"{"host": "db", "passwordFile": "/run/refgate/password", "password": ""}"#),
        Example::env("CONFIG", "host: db\npassword: ${DB_PASSWORD}\nsecretName: shop-db\n"),
        Example::argument("echo 'Enter the password: it has eight letters'"),
        Example::env("RULES", "password:required,token:optional"),
    ],
    inside: true,
    needs: &[EQUALS, COLON | SPACE, COLON | super::text::QUOTE],
    check,
};

fn check(sight: &Sight<'_>, sink: &mut Sink<'_>) {
    for pair in sight.pairs() {
        if !matches!(pair.lead, Lead::Assignment | Lead::List | Lead::Field) {
            continue;
        }
        if let Some(weight) = weigh_pair(sight, &pair) {
            let detail = detail(&pair);
            sink.strike(pair.value, weight.weak, detail);
            if sink.done() {
                return;
            }
        }
    }
}

fn detail(pair: &Pair<'_>) -> &'static str {
    match pair.lead {
        Lead::Field => "a field whose name promises a credential",
        _ => "an assignment to a name that promises a credential",
    }
}

/// A name in a text promises less than the name of an env var: prose has colons, and configuration names Secrets by them.
fn weigh_pair(sight: &Sight<'_>, pair: &Pair<'_>) -> Option<Weight> {
    let text = sight.text;
    let value = &text[pair.value.clone()];
    let named = sight.promise(pair.name)?;
    let weight = weigh(named, value, Place::Env).filter(|weight| weight.certain)?;
    if pair.lead != Lead::Field || named.kind == Kind::Scheme {
        return Some(weight);
    }
    let quoted = pair.value.start > 0 && matches!(text[pair.value.start - 1], b'"' | b'\'');
    if !quoted && (any(value, SPACE) || !begins_line(text, pair)) {
        return None;
    }
    // A file of settings is no prose.
    let is_set = quoted || sight.place == Place::ConfigMap;
    (named.kind == Kind::Password || looks_random(value) || is_set && named.kind == Kind::Secret)
        .then_some(weight)
}

/// Whether a pair begins its line, as fields of YAML and headers do.
fn begins_line(text: &[u8], pair: &Pair<'_>) -> bool {
    let head = &text[..pair.value.start];
    let line = memchr::memrchr(b'\n', &head[head.len().saturating_sub(256)..])
        .map_or(head.len().min(256), |at| head.len().min(256) - at - 1);
    let line = &head[head.len() - line..];
    let indent = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'-' | b'"' | b'\'')).count();
    line[indent..].starts_with(pair.name)
}
