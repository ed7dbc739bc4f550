//! Rule `docker-auth`: the configuration of a registry client with its credentials.

use super::digits::decode_text;
use super::sight::{Sight, Sink};
use super::text::{COLON, QUOTE};
use super::value::{self, Verdict};
use super::{Example, Rule};
use crate::policy::finding::Certainty;

/// The rule.
pub(super) static RULE: Rule = Rule {
    id: "docker-auth",
    summary: "registry credentials in a Docker configuration",
    reason: "the configuration of a registry client carries its credentials",
    certainty: Certainty::Certain,
    examples: &[Example::env(
        "DOCKER_CONFIG_JSON",
        r#"{"auths":{"registry.example.com":{"auth":"c2hvcDpacThtVDN2THgw"}}}"#,
    )],
    counter_examples: &[
        Example::env(
            "DOCKER_CONFIG_JSON",
            r#"{"auths":{"registry.example.com":{}},"credsStore":"ecr-login"}"#,
        ),
        Example::env(
            "DOCKER_CONFIG_JSON",
            r#"{"auths":{"registry.example.com":{"auth":"$(REGISTRY_AUTH)"}}}"#,
        ),
    ],
    inside: true,
    needs: &[QUOTE | COLON],
    check,
};

fn check(sight: &Sight<'_>, sink: &mut Sink<'_>) {
    let text = sight.text;
    if memchr::memmem::find(text, b"\"auths\"").is_none() {
        return;
    }
    for at in memchr::memmem::find_iter(text, b"\"auth\"") {
        let rest = text[at + 6..].trim_ascii_start();
        let Some(rest) =
            rest.strip_prefix(b":").map(<[u8]>::trim_ascii_start).and_then(|rest| rest.strip_prefix(b"\""))
        else {
            continue;
        };
        let (tail, rest) = (rest.len(), &rest[..rest.len().min(4096)]);
        let Some(end) = memchr::memchr(b'"', rest) else { continue };
        if let Some(pair) = decode_text(&rest[..end])
            && let Some(colon) = memchr::memchr(b':', &pair)
        {
            let verdict = value::judge(&pair[colon + 1..], None);
            if verdict != Verdict::Cleared {
                let to = text.len() - (tail - end);
                sink.strike(at..to, verdict == Verdict::Stock, "the user and password of a registry");
            }
        }
    }
}
