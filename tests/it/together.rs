//! All that is wrong with an object comes in one answer: refusals, findings and warnings, denied or not.

use std::sync::Arc;

use refgate::config;
use refgate::policy::decide;
use refgate::policy::decision::{Decision, Outcome};
use refgate::policy::review::{Endpoint, parse, respond};
use refgate::policy::snapshot::Snapshot;
use refgate::world::World;
use serde_json::{Value, json};

use crate::harness::WORLD;

/// Found by `credential-name`, and in no answer.
const VALUE: &str = "kR4vT9wqZ2pB";

fn snapshot(configuration: &str) -> Snapshot {
    let settings = config::parse(configuration).unwrap().settings;
    World::read(WORLD).snapshot(Arc::new(settings))
}

fn asked(snapshot: &Snapshot, endpoint: Endpoint, object: &Value) -> Decision {
    let kind = object["kind"].as_str().unwrap();
    let group = if kind == "Pod" { "" } else { "apps" };
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": "CREATE", "namespace": "snippets-stage", "userInfo": {}, "object": object,
            "kind": {"group": group, "version": "v1", "kind": kind},
        },
    });
    let body = serde_json::to_vec(&review).unwrap();
    decide(&parse(&body, endpoint, &snapshot.settings.kinds).unwrap(), snapshot)
}

/// A pod with one fault of each sort, and with what is only warned of.
fn pod() -> Value {
    json!({
        "kind": "Pod",
        "metadata": {"name": "web", "annotations": {"refgate.dev/allow-plaintext": "DB_PASSWORD"}},
        "spec": {"containers": [{"name": "web", "image": "i", "env": [
            {"name": "OUTSIDE", "value": "secret:/mozmeao/basket/prod/key"},
            {"name": "BROKEN", "value": "secret:a//b"},
            {"name": "DB_PASSWORD", "value": VALUE},
            {"name": "URL", "value": "$(LATER)"},
            {"name": "LATER", "value": "x"},
            {"name": "MISSING", "value": "secret:not_there"},
        ]}]},
    })
}

fn deployment() -> Value {
    let pod = pod();
    json!({
        "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"template": {"metadata": pod["metadata"], "spec": pod["spec"]}},
    })
}

#[test]
fn a_denial_hides_nothing() {
    let snapshot = snapshot("");
    for (endpoint, object) in [(Endpoint::Mutate, pod()), (Endpoint::Validate, deployment())] {
        let decision = asked(&snapshot, endpoint, &object);
        let Outcome::Deny { message, .. } = &decision.outcome else { panic!("{decision:?}") };
        for part in ["(3) ", "mozmeao/basket/prod/key is outside", "env BROKEN: segment 2", "env DB_PASSWORD"]
        {
            assert!(message.contains(part), "{part}: {message}");
        }
        let warnings = decision.warnings.join("\n");
        for part in ["env URL: $(LATER)", "not_there is not synced yet", "does not permit it here"] {
            assert!(warnings.contains(part), "{part}: {warnings}");
        }
        // What denies is not said twice.
        assert!(!warnings.contains("credential-name"), "{warnings}");
        let answer: Value = serde_json::from_slice(&respond("u", &decision)).unwrap();
        assert_eq!(answer["response"]["warnings"].as_array().map(Vec::len), Some(decision.warnings.len()));
        assert!(!answer.to_string().contains(VALUE));
        let reasons: Vec<(&str, Option<&str>, &str)> = decision
            .reasons
            .iter()
            .map(|reason| (reason.kind, reason.rule, reason.pointer.rsplit('/').nth(1).unwrap()))
            .collect();
        let expected =
            [("out-of-scope", None, "0"), ("syntax", None, "1"), ("plaintext", Some("credential-name"), "2")];
        assert_eq!(reasons, expected, "{:?}", decision.reasons);
    }
}

#[test]
fn what_is_let_in_has_no_reasons() {
    let mut clean = pod();
    clean["spec"]["containers"][0]["env"] = json!([{"name": "DATABASE_URL", "value": "secret:database_url"}]);
    let decision = asked(&snapshot(""), Endpoint::Mutate, &clean);
    assert_eq!((decision.outcome, decision.reasons), (Outcome::Allow, Vec::new()));
}

#[test]
fn an_annotation_that_counts_for_nothing_says_why() {
    let permits = snapshot("allow: [{reason: fixtures, annotation: true, names: [OTHER]}]");
    for (names, why) in [
        ("DB_PASSWORD", "does not permit it here"),
        ("DB_PASSWORT", "no plaintext is found under the names in it"),
    ] {
        let mut object = deployment();
        object["spec"]["template"]["metadata"]["annotations"]["refgate.dev/allow-plaintext"] = json!(names);
        let warnings = asked(&permits, Endpoint::Validate, &object).warnings.join("\n");
        assert!(warnings.contains(why), "{names}: {warnings}");
    }
}
