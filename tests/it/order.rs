//! The order of env entries: what is injected stands before the first entry that uses it by `$(NAME)`.

use std::fmt::Write as _;

use refgate::policy::decide;
use refgate::policy::decision::{Decision, Outcome};
use refgate::policy::review::{Endpoint, parse};
use refgate::policy::snapshot::{Settings, Snapshot};
use refgate::world::World;
use serde_json::{Value, json};

const NAMESPACE: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: team, labels: {refgate.dev/group: g, refgate.dev/app: a, refgate.dev/env: stage}}
---
";

const SYNCED: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: catalogue.team, namespace: refgate-system, labels: {refgate.dev/catalogue: "true"}}
data:
  catalogue: |
    [{"path": "g/a/stage/mail", "secret": "m", "keys": ["MAIL_HOST", "MAIL_KEY", "value"]}]
"#;

const FILLED: &str = "
apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {name: aws, namespace: team}
spec: {provider: {aws: {service: SecretsManager, region: r, prefix: g/a/stage/}}}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: mail, namespace: team}
spec:
  secretStoreRef: {name: aws}
  data:
  - {secretKey: MAIL_HOST, remoteRef: {key: mail, property: MAIL_HOST}}
  - {secretKey: MAIL_KEY, remoteRef: {key: mail, property: MAIL_KEY}}
";

fn snapshot(objects: &str) -> Snapshot {
    let mut text = NAMESPACE.to_owned();
    write!(text, "{objects}").unwrap();
    let world = World::read(&text);
    assert_eq!(world.problems, Vec::new());
    world.snapshot(std::sync::Arc::new(Settings::default()))
}

fn asked(snapshot: &Snapshot, endpoint: Endpoint, pod: &Value) -> Decision {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": "CREATE", "namespace": "team", "userInfo": {}, "object": pod,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
        },
    });
    let body = serde_json::to_vec(&review).unwrap();
    decide(&parse(&body, endpoint, &snapshot.settings.kinds).unwrap(), snapshot)
}

/// A pod with these annotations and these env entries, of a name and a text each.
fn pod(annotations: &[(&str, &str)], env: &[(&str, &str)]) -> Value {
    let annotations: Value = annotations
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let env: Vec<Value> = env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({
        "metadata": {"name": "p", "annotations": annotations},
        "spec": {"containers": [{"name": "web", "image": "i", "env": env}]},
    })
}

/// The names in the order in which the pod comes out, and what the validating webhook warns of then.
fn injected(snapshot: &Snapshot, pod: &Value) -> (Vec<String>, String) {
    let decision = asked(snapshot, Endpoint::Mutate, pod);
    assert_eq!(decision.outcome, Outcome::Allow, "{pod}");
    let mut after = pod.clone();
    let patch: json_patch::Patch = serde_json::from_str(decision.patch.as_deref().unwrap_or("[]")).unwrap();
    json_patch::patch(&mut after, &patch).unwrap();
    assert_eq!(asked(snapshot, Endpoint::Mutate, &after).patch, None, "{after}");
    let validated = asked(snapshot, Endpoint::Validate, &after);
    assert_eq!(validated.outcome, Outcome::Allow, "{after}");
    let entries = after["spec"]["containers"][0]["env"].as_array().unwrap();
    let names = entries.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect();
    (names, validated.warnings.join("\n"))
}

const HOST: (&str, &str) = ("env.refgate.dev/MAIL_HOST", "mail#MAIL_HOST");
const KEY: (&str, &str) = ("env.refgate.dev/MAIL_KEY", "mail#MAIL_KEY");
const ALL: (&str, &str) = ("refgate.dev/env-from", "mail");

#[test]
fn what_is_injected_stands_before_the_first_entry_that_uses_it() {
    for (annotations, env, expected) in [
        (&[KEY][..], &[("A", "x"), ("URL", "smtp://$(MAIL_KEY)@h")][..], "A MAIL_KEY URL"),
        (&[KEY], &[("A", "x"), ("B", "y")], "A B MAIL_KEY"),
        (&[KEY], &[("A", "$$(MAIL_KEY)"), ("B", "$(MAIL_KEY")], "A B MAIL_KEY"),
        (&[KEY], &[("A", "$(MAIL_KEY)"), ("B", "$(A)$(MAIL_KEY)")], "MAIL_KEY A B"),
        (&[HOST, KEY], &[("A", "$(MAIL_KEY)$(MAIL_HOST)")], "MAIL_HOST MAIL_KEY A"),
        (&[HOST, KEY], &[("A", "$(MAIL_KEY)"), ("B", "$(MAIL_HOST)")], "MAIL_KEY A MAIL_HOST B"),
        (&[HOST, KEY], &[("A", "$(MAIL_HOST)"), ("B", "x")], "MAIL_HOST A B MAIL_KEY"),
        (&[ALL], &[("URL", "$(MAIL_HOST):25"), ("B", "x")], "MAIL_HOST URL B MAIL_KEY"),
        // The text of an entry that is replaced is gone.
        (&[HOST, KEY], &[("MAIL_HOST", "$(MAIL_KEY)"), ("B", "x")], "MAIL_HOST B MAIL_KEY"),
        // References of the manifest stay where they are.
        (&[KEY], &[("H", "secret:mail#MAIL_HOST"), ("U", "$(H)$(MAIL_KEY)")], "H MAIL_KEY U"),
    ] {
        for objects in [SYNCED, FILLED] {
            let (names, warnings) = injected(&snapshot(objects), &pod(annotations, env));
            assert_eq!(names.join(" "), expected, "{env:?}");
            assert!(!warnings.contains("stands behind it"), "{env:?}: {warnings}");
        }
    }
}

#[test]
fn a_variable_that_is_used_before_it_is_there_is_a_warning() {
    for (annotations, env, expected) in [
        (&[][..], &[("URL", "u:$(KEY)@h"), ("KEY", "secret:mail#MAIL_KEY")][..], Some(("URL", "KEY"))),
        (&[], &[("URL", "u:$(PORT)"), ("PORT", "25")], Some(("URL", "PORT"))),
        (&[KEY], &[("URL", "$(MAIL_KEY)"), ("MAIL_KEY", "placeholder")], Some(("URL", "MAIL_KEY"))),
        (&[], &[("KEY", "secret:mail#MAIL_KEY"), ("URL", "u:$(KEY)@h")], None),
        (&[], &[("A", "1"), ("URL", "$(A)"), ("A", "2")], None),
        (&[], &[("URL", "$$(KEY)"), ("KEY", "secret:mail#MAIL_KEY")], None),
        (&[], &[("PATH", "$(PATH):/bin"), ("URL", "$(HOSTNAME)")], None),
    ] {
        let (_, warnings) = injected(&snapshot(SYNCED), &pod(annotations, env));
        let said = expected.map(|(entry, name)| {
            format!("container web, env {entry}: $({name}) does not get the value of {name}, which stands behind it")
        });
        match said {
            Some(said) => assert!(warnings.contains(&said), "{env:?}: {warnings}"),
            None => assert!(!warnings.contains("stands behind it"), "{env:?}: {warnings}"),
        }
    }
}
