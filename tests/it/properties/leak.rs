//! Planted secrets come out nowhere: no message, no patch, no report repeats what stood in the object.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use refgate::policy::decide;
use refgate::policy::level::Level;
use refgate::policy::review::{Endpoint, ParseError, parse, respond, unreadable};
use refgate::policy::snapshot::Snapshot;
use serde_json::{Value, json};

use super::generate::{Json, any_pod};
use super::injection::pointers;
use super::spots::{self, SPOTS, put};
use super::{config, judged, review, world, wrapped};

/// A part of a secret that nobody guesses: this many characters of it are the secret.
const TELLING: usize = 6;

/// A random text, marked so that nothing else is like it.
fn mark() -> impl Strategy<Value = String> {
    "[A-Za-z][A-Za-z0-9]{11}[0-9][A-Za-z0-9]{11}[A-Z]"
}

/// Texts that hold a secret. None is a well-formed reference, since the path of a reference may be named.
const TEXTS: [&str; 34] = [
    "@",
    "\"@\"",
    "@=",
    "=@",
    "@:x",
    "@ @",
    "PASSWORD=@",
    "password: @",
    "export @=1; run",
    "--password=@",
    "--@=x",
    "-p@",
    "postgres://app:@@db.example.com/x",
    "https://@@git.example.com/x.git",
    "https://@:x@git.example.com/",
    "https://example.com/?token=@&x=1",
    "Server=db;User Id=app;Password=@;",
    "Bearer @",
    "Basic @",
    "{\"password\":\"@\"}",
    "{\"@\":\"x\"}",
    "{\"auths\":{\"registry.example.com\":{\"auth\":\"@\"}}}",
    "-----BEGIN RSA PRIVATE KEY-----\n@\n-----END RSA PRIVATE KEY-----",
    "ghp_@abcdefghijkl",
    "AKIA@",
    "xoxb-123456789012-@",
    "vault:@",
    "vault:@#@",
    "op://@",
    "${vault:@}",
    "secret:@ @",
    "secret:@/",
    "secret:smtp?@",
    "secret+file:@%",
];

/// A secret, plain or in base64, in a text.
fn planted() -> impl Strategy<Value = (String, String)> {
    (select(&TEXTS[..]), mark(), any::<bool>()).prop_map(|(text, mark, is_encoded)| {
        let plain = text.replace('@', &mark);
        // The sign of a user name is no placeholder.
        let plain = plain.replace(&format!("{mark}{mark}"), &format!("{mark}@"));
        (mark, if is_encoded { STANDARD.encode(plain) } else { plain })
    })
}

/// Whether any telling part of a secret, as it is or in base64, stands in what came out.
fn told(mark: &str, out: &str) -> Option<String> {
    let out = out.to_ascii_lowercase();
    let parts = |text: &str| {
        let text = text.to_ascii_lowercase();
        (0..=text.len() - TELLING).map(|at| text[at..at + TELLING].to_owned()).collect::<Vec<_>>()
    };
    let encoded = STANDARD.encode(mark);
    parts(mark).into_iter().chain(parts(encoded.trim_end_matches('='))).find(|part| out.contains(part))
}

/// All that leaves a decision, in one text: what is answered, what is logged, what is printed.
pub fn all_of(decision: &refgate::policy::decision::Decision) -> String {
    let answer = respond("uid", decision);
    let parsed: Value = serde_json::from_slice(&answer).unwrap();
    let patch = STANDARD.decode(parsed["response"]["patch"].as_str().unwrap_or_default()).unwrap();
    format!("{decision:?} {} {}", String::from_utf8(answer).unwrap(), String::from_utf8(patch).unwrap())
}

/// Both webhooks, at the levels that say most, for what is new and what is changed.
fn silent(kind: &str, pod: &Value, before: &Value, mark: &str) -> Result<(), TestCaseError> {
    let (object, old) = (wrapped(kind, pod), wrapped(kind, before));
    for level in [Level::Off, Level::Restricted] {
        let snapshot: Snapshot = world::snapshot(&world::full(), Some(level));
        for endpoint in [Endpoint::Mutate, Endpoint::Validate] {
            for review in
                [review("CREATE", kind, &object, &Value::Null), review("UPDATE", kind, &object, &old)]
            {
                let out = all_of(&judged(endpoint, &review, &snapshot));
                prop_assert_eq!(told(mark, &out), None, "{}", out);
            }
        }
    }
    Ok(())
}

/// Fields whose text is a name: names are what messages are made of.
const NAMES: [&str; 10] = [
    "name",
    "generateName",
    "key",
    "secretName",
    "path",
    "mountPath",
    "namespace",
    "uid",
    "fieldPath",
    "driver",
];

proptest! {
    #![proptest_config(config(120))]

    #[test]
    fn planted_secrets_come_out_nowhere(
        pod in any_pod(),
        spots in prop::collection::vec((select(&SPOTS[..]), spots::name()), 1..4),
        (mark, text) in planted(),
        kind in select(vec!["Pod", "Deployment", "CronJob"]),
        is_old in any::<bool>(),
    ) {
        let Json(before) = pod;
        let mut pod = before.clone();
        for (spot, name) in spots {
            put(&mut pod, spot, &name, &text);
        }
        // A secret that was there before is told no more than one that is new.
        let before = if is_old { &pod } else { &before };
        silent(kind, &pod, before, &mark)?;
    }

    #[test]
    fn secrets_in_annotations_of_ours_come_out_nowhere(
        pod in any_pod(),
        key in select(vec![
            "env.refgate.dev/A",
            "file.refgate.dev/ca",
            "refgate.dev/env-from",
            "refgate.dev/mount-path",
            "refgate.dev/file-mode",
            "refgate.dev/restart",
            "refgate.dev/refs",
            "refgate.dev/unknown",
            "x.refgate.dev/y",
            "vault.hashicorp.com/agent-inject-template-x",
            "secrets.k8s.aws/secret-arn",
        ]),
        (mark, text) in planted(),
    ) {
        // A well-formed path may be named. These are none in any reading.
        let text = format!("{text} %");
        let Json(mut pod) = pod;
        if pod["metadata"].is_null() {
            pod["metadata"] = json!({});
        }
        if pod["metadata"]["annotations"].is_null() {
            pod["metadata"]["annotations"] = json!({});
        }
        pod["metadata"]["annotations"][key] = json!(text);
        silent("Pod", &pod, &pod, &mark)?;
    }

    /// A secret where another type belongs: the error says where, and not what it met.
    #[test]
    fn errors_repeat_nothing(
        pod in any_pod(),
        place in any::<Index>(),
        mark in mark(),
        shape in 0..5,
        kind in select(vec!["Pod", "Deployment", "CronJob"]),
    ) {
        let mut review = review("CREATE", kind, &wrapped(kind, &pod), &Value::Null);
        let mut places = Vec::new();
        pointers(&review["request"], "/request", &|_| true, &mut places);
        places.retain(|at| {
            let last = at.rsplit('/').next().unwrap();
            // Names, and annotations whose value is a reference or the name of a container.
            !NAMES.contains(&last) && !at.contains("refgate.dev") && !at.contains("/request/kind")
        });
        let at = place.get::<String>(&places);
        let secret = match shape {
            0 => json!(mark),
            1 => json!([mark]),
            2 => json!({ "value": mark }),
            3 => json!(format!("{mark}, expected {mark} at line {mark}")),
            _ => json!([[format!("`{mark}`")], 1]),
        };
        *review.pointer_mut(at).unwrap() = secret;
        let body = review.to_string();
        let snapshot = world::snapshot(&world::full(), Some(Level::Restricted));
        for endpoint in [Endpoint::Mutate, Endpoint::Validate] {
            let out = match parse(body.as_bytes(), endpoint, &snapshot.settings.kinds) {
                Ok(review) => all_of(&decide(&review, &snapshot)),
                Err(ParseError::Object { pointer, problem, .. }) => all_of(&unreadable(&pointer, &problem)),
                Err(error) => error.to_string(),
            };
            prop_assert_eq!(told(&mark, &out), None, "{} at {}", out, at);
        }
    }
}

/// Without this, the properties could pass because nothing is ever found.
#[test]
fn planted_secrets_are_found() {
    let mut pod = json!({"spec": {"containers": [{"name": "web"}]}});
    put(&mut pod, SPOTS[0], "PASSWORD", "Zq8mT3vLx0RbNc5W");
    let snapshot = world::snapshot(&world::full(), Some(Level::Restricted));
    let decision = judged(Endpoint::Validate, &review("CREATE", "Pod", &pod, &Value::Null), &snapshot);
    assert_eq!(decision.findings.len(), 1);
    assert_eq!(told("Zq8mT3vLx0RbNc5W", &pod.to_string()).as_deref(), Some("zq8mt3"));
    assert_eq!(told("Zq8mT3vLx0RbNc5W", &all_of(&decision)), None);
}
