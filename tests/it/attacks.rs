//! What a tenant with `edit` in one bound namespace may try, and what has to come of it.
//!
//! Each attempt says what the attacker hopes for. The world holds what a careless one would: Secrets that an earlier
//! binding left behind, a shared path, collisions in the catalogue, a namespace without a binding and one whose labels do
//! not read. Time is never asserted; inputs that would take minutes where a loop is quadratic stand at the end.

use std::collections::HashMap;
use std::sync::Arc;

use refgate::policy::decide;
use refgate::policy::decision::{Decision, Outcome};
use refgate::policy::path::{property_key, secret_name};
use refgate::policy::review::{Endpoint, ParseError, parse, respond};
use refgate::policy::snapshot::{Catalogue, Entry, NamespaceLabels, NamespaceState, Settings, Snapshot};
use serde_json::{Map, Value, json};

use Endpoint::{Mutate, Validate};

/// Names that another team's path consists of; no answer may hold them unless the attacker wrote them.
const FOREIGN: &str = "mozmeao/payroll/prod/signing_key";
/// The Secret that an earlier binding left in the namespace.
const LEFT: &str = "left-by-payroll";
/// A value that the detector is sure of. Put together here, so that no scanner strikes this file.
fn token() -> String {
    format!("{}{}", "ghp_", "oYhR4ouW8mGZ1fBzGd5kNcdtAqzh7A3CcRvf")
}

/// Another one.
fn other_token() -> String {
    format!("{}{}", "ghp_", "Kq7Wv2nXc9RbT4sYp1LdZ6mHj3Gf8E3dJYCX")
}

/// All rows of a table are tried; what went wrong is said together.
#[derive(Default)]
struct Attempts(Vec<String>);

impl Attempts {
    fn must(&mut self, right: bool, what: impl Into<String>) {
        if !right {
            self.0.push(what.into());
        }
    }

    fn end(self) {
        assert!(self.0.is_empty(), "{:#?}", self.0);
    }
}

const BOUND: [(&str, &str); 3] =
    [("refgate.dev/group", "mozmeao"), ("refgate.dev/app", "snippets"), ("refgate.dev/env", "stage")];

fn entry(path: &str, secret: &str, keys: &[&str]) -> Entry {
    Entry {
        path: path.into(),
        secret: secret.into(),
        keys: keys.iter().map(|key| (*key).into()).collect(),
        version: Some("v1".into()),
    }
}

fn synced(path: &str, keys: &[&str]) -> Entry {
    entry(path, &secret_name(path), keys)
}

fn world() -> Snapshot {
    let own = |name: &str| format!("mozmeao/snippets/stage/{name}");
    let hostile: Vec<String> = ["PATH", "a=b", "LD PRELOAD", "x\ny", "ключ", "$(A)", "", "value", "\"},{"]
        .iter()
        .filter_map(|property| property_key(property))
        .collect();
    let hostile: Vec<&str> = hostile.iter().map(String::as_str).collect();
    let catalogue = Catalogue::new(
        vec![
            synced(&own("database_url"), &["value"]),
            synced(&own("smtp"), &["value", "password", "user"]),
            synced(&own("hostile"), &hostile),
            synced("mozmeao/shared/stage/sentry_dsn", &["value"]),
            entry(FOREIGN, LEFT, &["value"]),
            // One path in two Secrets, two paths in one Secret, own and foreign in one Secret.
            entry(&own("twice"), "twice-1", &["value"]),
            entry(&own("twice"), "twice-2", &["value"]),
            entry(&own("one"), "shared-by-two", &["value"]),
            entry(&own("two"), "shared-by-two", &["value"]),
            entry(&own("half"), "half-foreign", &["value"]),
            entry("mozmeao/payroll/prod/half", "half-foreign", &["value"]),
            // Names that the sync would give to other paths.
            entry(&own("squatter"), &secret_name(&own("taken")), &["value"]),
            entry("mozmeao/payroll/prod/squatter", &secret_name(&own("stolen")), &["value"]),
        ],
        Some(vec!["database_url".into(), "smtp".into()]),
    );
    let state = |labels: &[(&str, &str)], catalogue: &Catalogue| {
        let shared = [("refgate.dev/shared-paths", "mozmeao/shared/stage")];
        Arc::new(NamespaceState {
            namespace: Arc::new(NamespaceLabels::read(labels.iter().copied(), shared)),
            catalogue: Arc::new(catalogue.clone()),
        })
    };
    let settings = Settings {
        aws_accounts: vec!["111122223333".into()],
        aws_regions: vec!["us-west-2".into()],
        ..Settings::default()
    };
    Snapshot {
        settings: Arc::new(settings),
        namespaces: HashMap::from([
            ("team".into(), state(&BOUND, &catalogue)),
            ("nobody".into(), state(&[], &catalogue)),
            ("broken".into(), state(&[BOUND[0], BOUND[1], ("refgate.dev/env", "Stage!")], &catalogue)),
        ]),
        stale: false,
    }
}

fn request(namespace: &str, kind: (&str, &str), object: Value, old: Value) -> Value {
    let operation = if old.is_null() { "CREATE" } else { "UPDATE" };
    json!({
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": operation, "namespace": namespace,
        "kind": {"group": kind.0, "version": "v1", "kind": kind.1},
        "userInfo": {"username": "mallory", "groups": ["team"]},
        "object": object, "oldObject": old, "dryRun": false,
    })
}

fn ask_in(world: &Snapshot, endpoint: Endpoint, request: &Value) -> Decision {
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    let body = serde_json::to_vec(&body).unwrap();
    let review = parse(&body, endpoint, &world.settings.kinds).unwrap_or_else(|error| panic!("{error}"));
    let decision = decide(&review, world);
    // Whatever was asked, the answer is JSON with the uid, and its warnings pass the API server's own filter.
    let answer: Value = serde_json::from_slice(&respond(&review.uid, &decision)).unwrap();
    assert_eq!(answer["response"]["uid"], request["uid"]);
    assert!(decision.warnings.iter().all(|text| !text.contains(char::is_control)), "{:?}", decision.warnings);
    decision
}

fn ask(endpoint: Endpoint, request: &Value) -> Decision {
    ask_in(&world(), endpoint, request)
}

fn create(endpoint: Endpoint, pod: Value) -> Decision {
    ask(endpoint, &request("team", ("", "Pod"), pod, Value::Null))
}

fn pod(metadata: Value, spec: Value) -> Value {
    let mut all = json!({"name": "p", "namespace": "team"});
    all.as_object_mut().unwrap().extend(metadata.as_object().cloned().unwrap_or_default());
    let mut whole = json!({"containers": [{"name": "web", "image": "i"}]});
    whole.as_object_mut().unwrap().extend(spec.as_object().cloned().unwrap_or_default());
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": all, "spec": whole})
}

fn with_env(env: Value) -> Value {
    pod(json!({}), json!({"containers": [{"name": "web", "image": "i", "env": env}]}))
}

fn annotated(annotations: Value) -> Value {
    pod(json!({"annotations": annotations}), json!({}))
}

fn deployment(template: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "team"},
        "spec": {"template": {"metadata": template["metadata"], "spec": template["spec"]}},
    })
}

fn denied(decision: &Decision) -> bool {
    matches!(decision.outcome, Outcome::Deny { .. })
}

fn message(decision: &Decision) -> &str {
    match &decision.outcome {
        Outcome::Deny { message, .. } => message,
        _ => "",
    }
}

/// All that leaves the process about a decision.
fn said(decision: &Decision) -> String {
    format!("{decision:?}{}", String::from_utf8(respond("u", decision)).unwrap())
}

/// Every row of the fields that name a Secret. The attacker hopes that one of them is forgotten.
fn places(secret: &str) -> Vec<(&'static str, Value)> {
    let container = |fields: Value| {
        let mut all = json!({"name": "x", "image": "i"});
        all.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
        all
    };
    let key_ref =
        json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": secret, "key": "value"}}}]});
    let from = json!({"envFrom": [{"configMapRef": {"name": "c"}}, {"prefix": "P_", "secretRef": {"name": secret}}]});
    let sidecar = json!({"name": "x", "image": "i", "restartPolicy": "Always", "env": key_ref["env"]});
    let mut all = vec![
        ("secretKeyRef", json!({"containers": [container(key_ref.clone())]})),
        ("secretKeyRef, init", json!({"initContainers": [container(key_ref.clone())]})),
        ("secretKeyRef, sidecar", json!({"initContainers": [sidecar]})),
        ("secretKeyRef, ephemeral", json!({"ephemeralContainers": [container(key_ref)]})),
        ("envFrom", json!({"containers": [container(from.clone())]})),
        ("envFrom, init", json!({"initContainers": [container(from.clone())]})),
        ("envFrom, ephemeral", json!({"ephemeralContainers": [container(from)]})),
        ("imagePullSecrets", json!({"imagePullSecrets": [{"name": "mine"}, {"name": secret}]})),
    ];
    let reference = json!({"secretRef": {"name": secret}});
    for (what, volume) in [
        ("secret", json!({"secret": {"secretName": secret, "optional": true}})),
        (
            "projected",
            json!({"projected": {"sources": [{"configMap": {"name": "c"}}, {"secret": {"name": secret}}]}}),
        ),
        (
            "csi nodePublishSecretRef",
            json!({"csi": {"driver": "d", "nodePublishSecretRef": {"name": secret}}}),
        ),
        ("csi attribute", json!({"csi": {"driver": "d", "volumeAttributes": {"secretName": secret}}})),
        ("azureFile", json!({"azureFile": {"shareName": "s", "secretName": secret}})),
        ("cephfs", json!({"cephfs": reference})),
        ("rbd", json!({"rbd": reference})),
        ("iscsi", json!({"iscsi": reference})),
        ("flexVolume", json!({"flexVolume": reference})),
        ("flexVolume option", json!({"flexVolume": {"driver": "d", "options": {"secret": secret}}})),
        ("scaleIO", json!({"scaleIO": reference})),
        ("storageos", json!({"storageos": reference})),
        ("cinder", json!({"cinder": reference})),
    ] {
        let mut volume = volume;
        volume["name"] = json!("v");
        all.push((what, json!({"volumes": [{"name": "w", "emptyDir": {}}, volume]})));
    }
    all
}

#[test]
fn a_left_secret_is_refused_by_whatever_names_it_in_whatever_kind() {
    let mut attempts = Attempts::default();
    for secret in [LEFT, "half-foreign"] {
        for (what, spec) in places(secret) {
            let template = pod(json!({}), spec);
            let cron =
                json!({"metadata": {"name": "c"}, "spec": {"jobTemplate": {"spec": {"template": template}}}});
            for (kind, object) in [
                (("", "Pod"), template.clone()),
                (("apps", "Deployment"), deployment(&template)),
                (("batch", "CronJob"), cron),
            ] {
                let decision = ask(Validate, &request("team", kind, object, Value::Null));
                attempts.must(denied(&decision), format!("{what} in {kind:?}"));
                attempts.must(
                    !said(&decision).contains("payroll/prod"),
                    format!("{what} tells another team's path: {decision:?}"),
                );
            }
        }
    }
    // The same places may have what is the namespace's own.
    for (what, spec) in places(&secret_name("mozmeao/snippets/stage/smtp")) {
        let decision = create(Validate, pod(json!({}), spec));
        attempts.must(!denied(&decision), format!("{what}: {decision:?}"));
    }
    attempts.end();
}

#[test]
fn a_namespace_without_a_readable_binding_reaches_no_synced_secret() {
    let mut attempts = Attempts::default();
    // Hopes that leaving the binding, or breaking its labels, also takes the fence away.
    for namespace in ["nobody", "broken"] {
        for (what, spec) in places(LEFT) {
            let decision = ask(Validate, &request(namespace, ("", "Pod"), pod(json!({}), spec), Value::Null));
            attempts.must(denied(&decision), format!("{what} in {namespace}"));
        }
        for endpoint in [Mutate, Validate] {
            let own = with_env(json!([{"name": "A", "value": "secret:database_url"}]));
            let decision = ask(endpoint, &request(namespace, ("", "Pod"), own, Value::Null));
            attempts.must(message(&decision).contains("not bound"), format!("{namespace}: {decision:?}"));
        }
    }
    attempts.end();
}

#[test]
fn a_broken_binding_does_not_open_the_way_by_other_systems() {
    let mut attempts = Attempts::default();
    // Hopes that labels which do not read count as "nobody asked for a fence": what is not read must be strict.
    for value in ["vault:secret/data/payroll/prod/x#k", "sm://payroll/prod", "payroll@azurekeyvault"] {
        let object = with_env(json!([{"name": "A", "value": value}]));
        let decision = ask(Validate, &request("broken", ("", "Pod"), object, Value::Null));
        attempts.must(denied(&decision), format!("{value}: {decision:?}"));
    }
    let csi = json!({"driver": "secrets-store.csi.k8s.io", "readOnly": true,
        "volumeAttributes": {"secretProviderClass": "c", "objects": "- objectName: payroll/prod/x"}});
    let object = pod(json!({}), json!({"volumes": [{"name": "v", "csi": csi}]}));
    let decision = ask(Validate, &request("broken", ("", "Pod"), object, Value::Null));
    attempts.must(denied(&decision), "objects over the class");
    attempts.end();
}

#[test]
fn a_namespace_that_nobody_has_seen_is_not_judged_by_a_default() {
    let mut attempts = Attempts::default();
    // Hopes to be first in a new namespace, or to name one that is not there.
    for endpoint in [Mutate, Validate] {
        let object = with_env(json!([{"name": "A", "value": "secret:x"}]));
        let decision = ask(endpoint, &request("elsewhere", ("", "Pod"), object, Value::Null));
        attempts.must(matches!(decision.outcome, Outcome::Unavailable { .. }), format!("{decision:?}"));
    }
    attempts.end();
}

#[test]
fn a_stale_snapshot_answers_for_no_reference() {
    let mut attempts = Attempts::default();
    // Hopes that RefGate, cut off from the API server, still grants what a binding of yesterday granted.
    let mut stale = world();
    stale.stale = true;
    for value in [
        "secret:database_url",
        "secret+file:database_url",
        "secret:/mozmeao/shared/stage/sentry_dsn",
        "vault:mozmeao/snippets/stage/x#k",
        "arn:aws:secretsmanager:us-west-2:111122223333:secret:mozmeao/snippets/stage/x-AbCdEf",
    ] {
        let object = with_env(json!([{"name": "A", "value": value}]));
        let decision = ask_in(&stale, Validate, &request("team", ("", "Pod"), object, Value::Null));
        attempts.must(denied(&decision), format!("{value}: {decision:?}"));
    }
    attempts.end();
}

#[test]
fn references_come_together_nowhere() {
    let mut attempts = Attempts::default();
    let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    for (hope, env) in [
        (
            "two halves",
            json!([{"name": "A", "value": "secret:"}, {"name": "B", "value": "$(A)database_url"}]),
        ),
        (
            "a prefix cut in two",
            json!([{"name": "A", "value": "ret:/mozmeao/payroll/prod/x"}, {"name": "B", "value": "sec$(A)"}]),
        ),
        (
            "an empty variable inside the prefix",
            json!([{"name": "A", "value": ""}, {"name": "B", "value": "sec$(A)ret:database_url"}]),
        ),
        (
            "the last of two entries counts",
            json!([{"name": "A", "value": "x"}, {"name": "A", "value": "secret:a"}, {"name": "B", "value": "$(A)"}]),
        ),
        (
            "by way of three",
            json!([{"name": "A", "value": "vault:secret/"}, {"name": "B", "value": "$(A)data/payroll/prod/x"}, {"name": "C", "value": "$(B)#k"}]),
        ),
        (
            "N: a foreign path",
            json!([{"name": "A", "value": "mozmeao/payroll/"}, {"name": "B", "value": "vault:secret/data/$(A)prod/x#k"}]),
        ),
        (
            "a foreign reference with an unknown part",
            json!([{"name": "A", "valueFrom": field("spec.nodeName")}, {"name": "B", "value": "vault:mozmeao/snippets/stage/$(A)#k"}]),
        ),
        (
            "inline, across a variable",
            json!([{"name": "A", "value": "{vault:secret/payroll"}, {"name": "B", "value": "pre-$$(A)$(A)#k}-post"}, {"name": "C", "value": "$$(A) ${vault:secret/payroll#k}"}]),
        ),
        (
            "written, and a second source",
            json!([{"name": "A", "value": "secret:smtp", "valueFrom": field("metadata.name")}]),
        ),
        ("a reference to a reference", json!([{"name": "A", "value": "secret:$(B)"}])),
    ] {
        {
            let endpoint = Validate;
            let decision = create(endpoint, with_env(env.clone()));
            attempts.must(denied(&decision), format!("{hope}: {decision:?}"));
        }
    }
    for (what, env) in [
        (
            "a doubled dollar is a literal",
            json!([{"name": "A", "value": "cret:x"}, {"name": "B", "value": "se$$(A)"}]),
        ),
        (
            "a forward reference is a text",
            json!([{"name": "B", "value": "se$(A)"}, {"name": "A", "value": "cret:x"}]),
        ),
        ("another container's variables", json!([{"name": "B", "value": "$(OTHER)"}])),
        ("no closing parenthesis", json!([{"name": "A", "value": "x"}, {"name": "B", "value": "$(A"}])),
    ] {
        attempts.must(!denied(&create(Validate, with_env(env))), what.to_string());
    }
    attempts.end();
}

#[test]
fn references_by_way_of_annotations_and_empty_fields_are_seen() {
    let mut attempts = Attempts::default();
    let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    for (hope, annotations, env) in [
        (
            "ours, read back",
            json!({"note": "secret:/mozmeao/payroll/prod/x"}),
            json!([{"name": "A", "valueFrom": field("metadata.annotations['note']")}]),
        ),
        (
            "Vault's, read back",
            json!({"note": "vault:secret/payroll#k"}),
            json!([{"name": "A", "valueFrom": field("metadata.annotations['note']")}]),
        ),
        (
            "a part, read back",
            json!({"note": "vault:secret/pay"}),
            json!([{"name": "A", "valueFrom": field("metadata.annotations['note']")}, {"name": "B", "value": "$(A)roll#k"}]),
        ),
        (
            "inline, read back",
            json!({"note": "x ${vault:secret/payroll#k}"}),
            json!([{"name": "A", "valueFrom": field("metadata.annotations['note']")}]),
        ),
        (
            "another key's quotes",
            json!({"example.com/note": "sm://payroll/prod"}),
            json!([{"name": "A", "valueFrom": field("metadata.annotations['example.com/note']")}]),
        ),
    ] {
        let object =
            pod(json!({"annotations": annotations}), json!({"containers": [{"name": "web", "env": env}]}));
        attempts.must(denied(&create(Validate, object)), hope);
    }
    // A field that is empty, or that can be known, hides nothing: the kubelet puts the text together all the same.
    for (hope, path) in [
        ("an annotation that is not there is empty", "metadata.annotations['none']"),
        ("a label that is not there is empty", "metadata.labels['none']"),
    ] {
        let env = json!([{"name": "E", "valueFrom": field(path)}, {"name": "B", "value": "va$(E)ult:secret/data/payroll/prod/x#k"}]);
        attempts.must(denied(&create(Validate, with_env(env))), hope);
    }
    let env = json!([{"name": "E", "valueFrom": field("metadata.labels['v']")}, {"name": "B", "value": "$(E):secret/data/payroll/prod/x#k"}]);
    let object = pod(json!({"labels": {"v": "vault"}}), json!({"containers": [{"name": "web", "env": env}]}));
    attempts.must(denied(&create(Validate, object)), "a label is as well known as an annotation");
    attempts.end();
}

#[test]
fn other_systems_read_more_than_what_is_well_formed() {
    let mut attempts = Attempts::default();
    // Each of these texts is acted on by the tool that it is for. Hopes that RefGate, stricter than the tool, takes it for
    // an ordinary text and lets it in: what it does not understand of a tool's syntax it has to refuse.
    for (hope, value) in [
        (
            "Vault's client cleans a/.. away, so any byte may stand before it",
            "vault:a b/../secret/data/payroll/prod/x#k",
        ),
        ("the same with a letter beyond ASCII", "vault:é/../secret/data/payroll/prod/x#k"),
        ("a tab", "vault:a\tb/../secret/data/payroll/prod/x#k"),
        ("the same inside a text", "x ${vault:a b/../secret/data/payroll/prod/x#k} y"),
        ("a brace inside a reference inside a text", "${vault:a{/../secret/data/payroll/prod/x#k}"),
        ("OpenBao, likewise", "bao:a b/../secret/data/payroll/prod/x#k"),
        (
            "inside the key of an own path: inline references are resolved first",
            "vault:mozmeao/snippets/stage/x#${vault:secret/data/payroll/prod/x#k}",
        ),
        (
            "behind the question mark of another system",
            "sm://mozmeao/snippets/stage/x?a=${vault:secret/data/payroll/prod/x#k}",
        ),
        (
            "behind the question mark of vals",
            "ref+vault://mozmeao/snippets/stage/x?a=${vault:secret/data/payroll/prod/x#k}",
        ),
        ("a version of a parameter", "arn:aws:ssm:us-west-2:111122223333:parameter/mozmeao/payroll/prod/x:3"),
        (
            "secrets-init takes the sixth part, whatever it is",
            "arn:aws:ssm:us-west-2:parameter/:/mozmeao/payroll/prod/x",
        ),
        ("a project of a domain", "gcp:secretmanager:projects/example.com:payroll/secrets/x/versions/1"),
        ("an object with a blank in its name", "berglas://payroll-bucket/signing key"),
    ] {
        let decision = create(Validate, with_env(json!([{"name": "A", "value": value}])));
        attempts.must(denied(&decision), format!("{hope}: {value}"));
    }
    attempts.end();
}

#[test]
fn foreign_systems_are_fenced_by_their_path() {
    let mut attempts = Attempts::default();
    for (value, ok) in [
        ("vault:mozmeao/snippets/stage/x#k", true),
        ("vault:mozmeao/snippets/stage2/x#k", false),
        ("vault:mozmeao/snippets/stage/../prod/x#k", false),
        ("vault:mozmeao/snippets/stage//x#k", false),
        ("vault:mozmeao/snippets/stage%2f..%2fprod/x#k", false),
        (">>vault:pki/issue/payroll#certificate", false),
        ("vault:login", false),
        ("op://payroll/item/field", false),
        ("op://payroll/item/section/field", false),
        ("sm://payroll/x", false),
        ("gcp:secretmanager:payroll-key", false),
        ("arn:aws:ssm:us-west-2:111122223333:parameter/mozmeao/payroll/prod/x", false),
        // N10 to N14, and what is between them.
        ("arn:aws:secretsmanager:us-west-2:111122223333:secret:mozmeao/snippets/stage/x-AbCdEf", true),
        ("arn:aws:secretsmanager:us-west-2:999999999999:secret:mozmeao/snippets/stage/x-AbCdEf", false),
        ("arn:aws:secretsmanager:eu-west-1:111122223333:secret:mozmeao/snippets/stage/x-AbCdEf", false),
        ("arn:aws-cn:secretsmanager:us-west-2:111122223333:secret:mozmeao/snippets/stage/x-AbCdEf", false),
        ("arn:aws:secretsmanager:us-west-2:111122223333:secret:mozmeao/snippets/stage-AbCdEf", false),
        ("arn:aws:secretsmanager:us-west-2:111122223333:secret:mozmeao/snippets/stage/-AbCdEf", false),
        (
            "arn:aws:secretsmanager:us-west-2:111122223333:secret:mozmeao/snippets/stage/x-AbCdEf:password::",
            false,
        ),
        (
            "arn:aws:secretsmanager:us-west-2:111122223333:secret:mozmeao/snippets/stage/../payroll/x-AbCdEf",
            false,
        ),
        ("arn:aws:secretsmanager:us-west-2:111122223333:secret:/mozmeao/snippets/stage/x-AbCdEf", false),
        ("arn:aws:secretsmanager:::secret:mozmeao/snippets/stage/x-AbCdEf", false),
    ] {
        let decision = create(Validate, with_env(json!([{"name": "A", "value": value}])));
        attempts.must(denied(&decision) != ok, format!("{value}: {decision:?}"));
    }
    attempts.end();
}

#[test]
fn annotations_of_other_systems_are_fenced() {
    let mut attempts = Attempts::default();
    for (key, value) in [
        ("vault.hashicorp.com/agent-inject-secret-x", "secret/data/payroll/prod/x"),
        ("vault.hashicorp.com/agent-inject-template-x", "{{ secret \"payroll/prod/x\" }}"),
        ("vault.hashicorp.com/agent-inject-template-file-x", "/etc/own.tmpl"),
        ("vault.hashicorp.com/agent-inject-token", "true"),
        ("vault.hashicorp.com/agent-configmap", "mine"),
        ("vault.hashicorp.com/agent-extra-secret", LEFT),
        ("vault.hashicorp.com/tls-secret", LEFT),
        (
            "secrets-webhook.security.bank-vaults.io/vault-from-path",
            "mozmeao/snippets/stage/x,secret/payroll#3",
        ),
        ("vault.security.banzaicloud.io/vault-env-from-path", "secret/payroll"),
        // The files of consul-template and the agent read what they like.
        ("secrets-webhook.security.bank-vaults.io/vault-ct-configmap", "mine"),
        ("secrets-webhook.security.bank-vaults.io/vault-agent-configmap", "mine"),
        (
            "secrets.k8s.aws/secret-arn",
            "arn:aws:secretsmanager:us-west-2:999999999999:secret:mozmeao/snippets/stage/x-AbCdEf",
        ),
        ("secrets.k8s.aws/secret-arn", "mozmeao/payroll/prod/x"),
    ] {
        let decision = create(Validate, annotated(json!({key: value})));
        attempts.must(denied(&decision), format!("{key}: {value}"));
    }
    attempts.end();
}

#[test]
fn csi_volumes_reach_nothing_else() {
    let mut attempts = Attempts::default();
    let store = "secrets-store.csi.k8s.io";
    for (hope, driver, attributes, ok) in [
        ("the class alone", store, json!({"secretProviderClass": "mine"}), true),
        (
            "objects over the class",
            store,
            json!({"secretProviderClass": "mine", "objects": "- objectName: mozmeao/payroll/prod/x"}),
            false,
        ),
        (
            "region over the class",
            store,
            json!({"secretProviderClass": "mine", "region": "eu-west-1"}),
            false,
        ),
        ("the class under another spelling", store, json!({"SecretProviderClass": "mine"}), false),
        (
            "Vault's own driver",
            "csi.vso.hashicorp.com",
            json!({"csiSecretsName": "x", "csiSecretsNamespace": "payroll"}),
            false,
        ),
        (
            "a Secret of another namespace",
            "file.csi.azure.com",
            json!({"secretName": "x", "secretNamespace": "payroll"}),
            false,
        ),
        (
            "in another spelling",
            "d",
            json!({"csi.storage.k8s.io/node-publish-secret-namespace": "payroll"}),
            false,
        ),
        ("in capitals", "d", json!({"SECRETNAMESPACE": "payroll"}), false),
        ("its own namespace", "d", json!({"secretNamespace": "team"}), true),
    ] {
        let volume = json!({"name": "v", "csi": {"driver": driver, "volumeAttributes": attributes}});
        let decision = create(Validate, pod(json!({}), json!({"volumes": [volume]})));
        attempts.must(denied(&decision) != ok, format!("{hope}: {decision:?}"));
    }
    attempts.end();
}

fn update(old: Value, new: Value) -> Decision {
    ask(Validate, &request("team", ("apps", "Deployment"), deployment(&new), deployment(&old)))
}

fn secret_env(container: &str, name: &str) -> Value {
    json!({"name": container, "env": [{"name": name, "valueFrom": {"secretKeyRef": {"name": LEFT, "key": "value"}}}]})
}

#[test]
fn an_update_hides_nothing_behind_what_was_there() {
    let mut attempts = Attempts::default();
    let old = pod(json!({}), json!({"containers": [secret_env("web", "A"), {"name": "app"}]}));
    for (hope, new) in [
        ("under another name", json!({"containers": [secret_env("web", "B"), {"name": "app"}]})),
        ("in another container", json!({"containers": [{"name": "web"}, secret_env("app", "A")]})),
        (
            "in a new init container",
            json!({"containers": [{"name": "web"}, {"name": "app"}], "initContainers": [secret_env("init", "A")]}),
        ),
        ("in a renamed container", json!({"containers": [secret_env("web2", "A"), {"name": "app"}]})),
        (
            "as envFrom",
            json!({"containers": [{"name": "web", "envFrom": [{"secretRef": {"name": LEFT}}]}, {"name": "app"}]}),
        ),
        (
            "as a volume",
            json!({"containers": [{"name": "web"}], "volumes": [{"name": "v", "secret": {"secretName": LEFT}}]}),
        ),
        ("as a pull secret", json!({"containers": [{"name": "web"}], "imagePullSecrets": [{"name": LEFT}]})),
        (
            "another left Secret under the old name",
            json!({"containers": [
            {"name": "web", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "half-foreign", "key": "k"}}}]}]}),
        ),
    ] {
        attempts.must(denied(&update(old.clone(), pod(json!({}), new))), hope);
    }
    // What stays is said, so that nobody wonders why the pods are refused.
    let scaled = update(old.clone(), old);
    assert!(!denied(&scaled) && scaled.warnings.iter().any(|text| text.contains(LEFT)), "{scaled:?}");
    attempts.end();
}

#[test]
fn plaintext_does_not_hide_behind_an_old_one() {
    let mut attempts = Attempts::default();
    let literal = |container: &str, name: &str, value: &str| json!({"containers": [{"name": container, "env": [{"name": name, "value": value}]}]});
    let old = pod(json!({}), literal("web", "TOKEN_A", &token()));
    let other = other_token();
    for (hope, new) in [
        ("moved to another variable", literal("web", "TOKEN_B", &token())),
        ("another value under the old name", literal("web", "TOKEN_A", &other)),
        ("in another container", literal("app", "TOKEN_A", &token())),
        ("as an argument", json!({"containers": [{"name": "web", "args": [token()]}]})),
        (
            "put together anew",
            json!({"containers": [{"name": "web", "env": [{"name": "X", "value": &token()[..20]}, {"name": "TOKEN_B", "value": format!("$(X){}", &token()[20..])}]}]}),
        ),
    ] {
        let decision = update(old.clone(), pod(json!({}), new));
        attempts.must(denied(&decision), hope);
        attempts.must(!said(&decision).contains(&token()[4..]), format!("{hope} is repeated"));
    }
    assert!(!denied(&update(old.clone(), old)));
    attempts.end();
}

#[test]
fn what_kubectl_is_said_to_have_applied_does_not_excuse_what_is_new() {
    // Hopes that a token which stood in an annotation is "no change" when it moves into the container.
    let applied = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "env": [{"name": "TOKEN_A", "value": token()}]}]}}}});
    let mut old = deployment(&pod(json!({}), json!({})));
    old["metadata"]["annotations"] =
        json!({"kubectl.kubernetes.io/last-applied-configuration": applied.to_string()});
    let new = deployment(&pod(
        json!({}),
        json!({"containers": [{"name": "web", "env": [{"name": "TOKEN_A", "value": token()}]}]}),
    ));
    assert!(denied(&ask(Validate, &request("team", ("apps", "Deployment"), new, old))));
}

#[test]
fn an_update_without_what_was_there_is_judged_whole() {
    // Hopes that an UPDATE whose old object is missing counts as "nothing new".
    let bad = pod(json!({}), json!({"containers": [secret_env("web", "A")]}));
    for old in [Value::Null, json!({}), json!({"metadata": null, "spec": null})] {
        let mut request = request("team", ("", "Pod"), bad.clone(), old);
        request["operation"] = json!("UPDATE");
        assert!(denied(&ask(Validate, &request)));
        request.as_object_mut().unwrap().remove("oldObject");
        assert!(denied(&ask(Validate, &request)));
    }
}

#[test]
fn subresources_that_change_containers_are_judged() {
    let mut attempts = Attempts::default();
    let old = pod(json!({}), json!({}));
    let debug = |container: Value| {
        let mut new = old.clone();
        new["spec"]["ephemeralContainers"] = json!([container]);
        new
    };
    for (hope, container) in [
        ("a left Secret", secret_env("debug", "A")),
        ("a reference", json!({"name": "debug", "env": [{"name": "A", "value": "secret:database_url"}]})),
        ("a file", json!({"name": "debug", "env": [{"name": "A", "value": "secret+file:database_url"}]})),
        (
            "a foreign reference",
            json!({"name": "debug", "env": [{"name": "A", "value": "vault:secret/payroll#k"}]}),
        ),
        ("a token", json!({"name": "debug", "args": [token()]})),
    ] {
        // A subresource that nobody has heard of is judged like one that is known to matter.
        for sub in ["ephemeralcontainers", "EphemeralContainers", "newthing", ""] {
            let mut request = request("team", ("", "Pod"), debug(container.clone()), old.clone());
            request["subResource"] = json!(sub);
            attempts.must(denied(&ask(Validate, &request)), format!("{hope} by {sub}"));
            let mutated = ask(Mutate, &request);
            attempts.must(mutated.patch.is_none(), format!("{hope} by {sub}"));
        }
    }
    attempts.end();
}

#[test]
fn forged_claims_are_not_believed() {
    let mut attempts = Attempts::default();
    let own = secret_name("mozmeao/snippets/stage/smtp");
    for (hope, refs) in [
        (
            "a foreign path for a left Secret",
            json!([{"path": FOREIGN, "secret": LEFT, "key": "value", "use": "env", "at": ["web/A"]}])
                .to_string(),
        ),
        (
            "an own path for a left Secret",
            json!([{"path": "mozmeao/snippets/stage/x", "secret": LEFT}]).to_string(),
        ),
        ("no JSON at all", "[{".to_owned()),
        ("deeply nested", "[".repeat(100_000)),
        ("null", "null".to_owned()),
    ] {
        let bad = pod(
            json!({"annotations": {"refgate.dev/refs": refs}}),
            json!({"containers": [secret_env("web", "A")]}),
        );
        attempts.must(denied(&create(Validate, bad)), hope);
        let good = json!([{"name": "web", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": own, "key": "user"}}}]}]);
        let good = pod(json!({"annotations": {"refgate.dev/refs": refs}}), json!({"containers": good}));
        let patch = create(Mutate, good).patch.unwrap_or_default();
        attempts.must(!patch.contains("payroll"), format!("{hope}: {patch}"));
        attempts
            .must(patch.contains(r#"\"path\":\"mozmeao/snippets/stage/smtp\""#), format!("{hope}: {patch}"));
    }
    // A path that no path is does not come back, though its hash fits the name of a Secret.
    for path in
        ["mozmeao/snippets/stage/../payroll/x", "mozmeao/snippets/stage/a b\n", "mozmeao/snippets/stage//"]
    {
        let name = secret_name(path);
        let refs = json!([{"path": path, "secret": name}]).to_string();
        let spec = json!({"containers": [{"name": "web", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}]}]});
        let patch = create(Mutate, pod(json!({"annotations": {"refgate.dev/refs": refs}}), spec))
            .patch
            .unwrap_or_default();
        attempts.must(!patch.contains(r#"\"path\""#), patch.to_string());
    }
    attempts.end();
}

#[test]
fn annotations_that_are_nearly_ours_are_refused_by_name() {
    let mut attempts = Attempts::default();
    // Hopes that a pod starts without its secret, or that an odd spelling passes for a harmless annotation.
    for key in [
        "Refgate.dev/refs",
        "REFGATE.DEV/env-from",
        "env.RefGate.dev/A",
        "envs.refgate.dev/A",
        "x.y.refgate.dev/A",
        "refgate.dev/env_from",
        "refgate.dev/Containers",
        "refgate.dev/",
        "refgate.dev/sync",
        "env.refgate.dev.refgate.dev/A",
    ] {
        for endpoint in [Mutate, Validate] {
            attempts
                .must(denied(&create(endpoint, annotated(json!({key: "database_url"})))), key.to_string());
        }
    }
    for key in [
        "notrefgate.dev/env-from",
        "refgate.dev.example.com/A",
        "refgate。dev/refs",
        "rеfgate.dev/refs",
        "example.com/refgate.dev",
    ] {
        attempts.must(!denied(&create(Mutate, annotated(json!({key: "x"})))), key.to_string());
    }
    for (key, value) in [
        ("env.refgate.dev/A", "secret:database_url"),
        ("env.refgate.dev/A", ""),
        ("env.refgate.dev/A", "/mozmeao/payroll/prod/x"),
        ("env.refgate.dev/A", "../../payroll/prod/x"),
        ("env.refgate.dev/A", "database_url?optional?optional"),
        ("env.refgate.dev/A", "database_url?Optional"),
        ("env.refgate.dev/A", "database_url#"),
        ("env.refgate.dev/A", "//database_url"),
        ("env.refgate.dev/A", "/mozmeao/snippets/stage2/x"),
        ("env.refgate.dev/A", "datab\u{430}se_url"),
        ("file.refgate.dev/..data", "database_url"),
        ("file.refgate.dev/.", "database_url"),
        ("file.refgate.dev/a/b", "database_url"),
        ("file.refgate.dev/", "database_url"),
        ("refgate.dev/env-from", "database_url,"),
        ("refgate.dev/env-from", "smtp#user"),
        ("refgate.dev/env-from", "smtp,smtp"),
        ("refgate.dev/file-mode", "0o444"),
        ("refgate.dev/file-mode", "7777"),
        ("refgate.dev/file-mode", "٤٤٤"),
        ("refgate.dev/mount-path", "/"),
        ("refgate.dev/mount-path", "run"),
        ("refgate.dev/mount-path", "/run/../etc"),
        ("refgate.dev/mount-path", "/run/$(A)"),
        ("refgate.dev/mount-path", "/run//x"),
        ("refgate.dev/mount-path", "/run/\n"),
        ("refgate.dev/restart", "Canary"),
        ("refgate.dev/containers", ""),
        ("refgate.dev/containers", "web,"),
        ("refgate.dev/containers", "WEB"),
        ("refgate.dev/containers", "*"),
        ("refgate.dev/containers", "web web"),
    ] {
        for endpoint in [Mutate, Validate] {
            attempts
                .must(denied(&create(endpoint, annotated(json!({key: value})))), format!("{key}: {value}"));
        }
    }
    attempts.end();
}

#[test]
fn the_container_list_leaves_nobody_out_by_mistake() {
    let two = |annotations: Value| {
        pod(
            json!({"annotations": annotations}),
            json!({"containers": [{"name": "web"}, {"name": "istio-proxy"}], "initContainers": [{"name": "init"}]}),
        )
    };
    let patched = |annotations: Value| create(Mutate, two(annotations)).patch.unwrap_or_default();
    // All but the proxy.
    let patch = patched(json!({"env.refgate.dev/A": "database_url"}));
    assert!(
        patch.contains("/spec/containers/0/env") && patch.contains("/spec/initContainers/0/env"),
        "{patch}"
    );
    assert!(!patch.contains("/spec/containers/1/"), "{patch}");
    // Named, the proxy is meant as well; a name twice is one container.
    let patch = patched(
        json!({"env.refgate.dev/A": "database_url", "refgate.dev/containers": "istio-proxy, istio-proxy"}),
    );
    assert!(patch.contains("/spec/containers/1/env") && !patch.contains("/spec/containers/0/"), "{patch}");
    assert_eq!(patch.matches("secretKeyRef").count(), 1, "{patch}");
    // All of them proxies, or one that is ephemeral only: refused, not passed over.
    let proxies = pod(
        json!({"annotations": {"env.refgate.dev/A": "database_url"}}),
        json!({"containers": [{"name": "istio-proxy"}]}),
    );
    assert!(denied(&create(Mutate, proxies)));
    let ephemeral = pod(
        json!({"annotations": {"env.refgate.dev/A": "database_url", "refgate.dev/containers": "debug"}}),
        json!({"ephemeralContainers": [{"name": "debug"}]}),
    );
    assert!(denied(&create(Validate, ephemeral)));
}

#[test]
fn the_mount_shows_what_was_asked_for_and_nothing_else() {
    let mut attempts = Attempts::default();
    let files = |mounts: Value, volumes: Value| {
        pod(
            json!({"annotations": {"file.refgate.dev/f": "database_url"}}),
            json!({"containers": [{"name": "web", "volumeMounts": mounts}], "volumes": volumes}),
        )
    };
    let own = secret_name("mozmeao/snippets/stage/database_url");
    let shows = |secret: &str, key: &str| json!([{"name": "v", "projected": {"sources": [{"secret": {"name": secret, "items": [{"key": key, "path": "f"}]}}]}}]);
    let at = |path: &str| json!([{"name": "v", "mountPath": path, "readOnly": true}]);
    // Hopes that a volume of the attacker's, where ours would be, counts as ours.
    for (hope, mounts, volumes) in [
        ("an empty directory", at("/run/refgate"), json!([{"name": "v", "emptyDir": {}}])),
        ("with a slash behind", at("/run/refgate/"), json!([{"name": "v", "emptyDir": {}}])),
        ("another Secret", at("/run/refgate"), shows("mine", "value")),
        ("another key", at("/run/refgate"), shows(&own, "user")),
        (
            "a part of it",
            json!([{"name": "v", "mountPath": "/run/refgate", "subPath": "x"}]),
            shows(&own, "value"),
        ),
        (
            "an expanded part of it",
            json!([{"name": "v", "mountPath": "/run/refgate", "subPathExpr": "$(A)"}]),
            shows(&own, "value"),
        ),
        ("a volume that is not there", at("/run/refgate"), json!([])),
    ] {
        attempts.must(denied(&create(Mutate, files(mounts, volumes))), hope);
    }
    // What is ours already is left as it is; a name that is taken is not taken twice.
    let ours = create(Mutate, files(at("/run/refgate"), shows(&own, "value")));
    assert!(!ours.patch.unwrap_or_default().contains("volumeMounts"));
    let taken = create(
        Mutate,
        files(
            json!([]),
            json!([{"name": "refgate-files", "emptyDir": {}}, {"name": "refgate-files-2", "emptyDir": {}}]),
        ),
    );
    assert!(taken.patch.unwrap_or_default().contains("refgate-files-3"));
    attempts.end();
}

#[test]
fn env_from_spreads_only_what_can_be_a_variable() {
    let mut attempts = Attempts::default();
    let decision = create(Mutate, annotated(json!({"refgate.dev/env-from": "hostile"})));
    let patch: Value = serde_json::from_str(&decision.patch.unwrap()).unwrap();
    let names: Vec<&str> =
        patch[0]["value"].as_array().unwrap().iter().map(|env| env["name"].as_str().unwrap()).collect();
    for bad in ["a=b", "x\ny", "ключ", ""] {
        attempts.must(!names.contains(&bad), format!("{names:?}"));
    }
    // A property never takes the place of what the author wrote.
    let written = pod(
        json!({"annotations": {"refgate.dev/env-from": "hostile"}}),
        json!({"containers": [{"name": "web", "env": [{"name": "PATH", "value": "/bin"}]}]}),
    );
    let patch = create(Mutate, written).patch.unwrap();
    assert!(!patch.contains("/env/0/"), "{patch}");
    attempts.end();
}

#[test]
fn collisions_in_the_catalogue_inject_nothing_wrong() {
    let mut attempts = Attempts::default();
    for (name, ok) in [
        ("twice", true),
        ("one", false),
        ("two", false),
        ("taken", false),
        ("stolen", false),
        ("half", false),
    ] {
        let decision = create(Mutate, with_env(json!([{"name": "A", "value": format!("secret:{name}")}])));
        attempts.must(denied(&decision) != ok, format!("{name}: {decision:?}"));
        attempts.must(
            !said(&decision).contains("payroll"),
            format!("{name} tells another team's path: {decision:?}"),
        );
    }
    let decision = create(Mutate, with_env(json!([{"name": "A", "value": "secret:twice"}])));
    assert!(decision.patch.unwrap().contains("twice-1"));
    attempts.end();
}

#[test]
fn paths_that_are_not_paths_are_refused_everywhere() {
    let mut attempts = Attempts::default();
    for path in [
        "",
        "/",
        "//",
        "/mozmeao/snippets/stage",
        "/mozmeao/snippets/stage/",
        "/mozmeao/snippets/stage2/x",
        "/mozmeao/snippets",
        "/mozmeao/shared/stage",
        "/mozmeao/shared/prod/x",
        "../x",
        "./x",
        "x/..",
        "x//y",
        "x/",
        "x ",
        " x",
        "x\n",
        "x\0",
        "x%2fy",
        "x\\y",
        "х",
        "/Mozmeao/snippets/stage/x",
        "$(A)",
        "${A}",
        "*",
        "x:y",
        "x?",
        "x?optional&y",
        "x#",
        "secret:x",
        "secret+file:x",
    ] {
        for prefix in ["secret:", "secret+file:"] {
            for endpoint in [Mutate, Validate] {
                let decision =
                    create(endpoint, with_env(json!([{"name": "A", "value": format!("{prefix}{path}")}])));
                attempts.must(denied(&decision), format!("{prefix}{path:?}"));
            }
        }
    }
    assert!(denied(&create(
        Mutate,
        with_env(json!([{"name": "A", "value": format!("secret:{}", "x".repeat(513))}]))
    )));
    attempts.end();
}

#[test]
fn plaintext_does_not_hide_where_annotations_are_read_otherwise() {
    let mut attempts = Attempts::default();
    let applied = "kubectl.kubernetes.io/last-applied-configuration";
    let spec = json!({"containers": [{"name": "web", "env": [{"name": "GH_TOKEN", "value": token()}]}]});
    for (hope, text) in [
        ("as it should be", json!({"spec": spec}).to_string()),
        ("behind the end of the manifest", format!("{{}} {}", token())),
        ("in a field that no pod has", json!({"data": {"x": token()}}).to_string()),
        ("in a field of the spec that is passed over", json!({"spec": {"hostname": token()}}).to_string()),
        ("in a spec that a second one replaces", format!(r#"{{"spec":{spec},"spec":{{}}}}"#)),
        ("as a number of texts", json!([token()]).to_string()),
        ("in no JSON", token()),
    ] {
        let decision = create(Validate, annotated(json!({applied: text})));
        attempts.must(denied(&decision), hope);
        attempts.must(!said(&decision).contains(&token()[4..]), format!("{hope} is repeated"));
    }
    attempts.end();
}

#[test]
fn plaintext_does_not_hide_under_our_own_prefix() {
    let mut attempts = Attempts::default();
    // Hopes that what is ours is never looked at: on a workload none of these does anything.
    for key in ["refgate.dev/refs", "refgate.dev/note", "env.refgate.dev/GH_TOKEN", "x.refgate.dev/y"] {
        let mut object = deployment(&pod(json!({}), json!({})));
        object["metadata"]["annotations"] = json!({key: token()});
        let decision = ask(Validate, &request("team", ("apps", "Deployment"), object, Value::Null));
        attempts.must(denied(&decision), format!("{key} on the workload: {decision:?}"));
    }
    let decision = create(Validate, annotated(json!({"refgate.dev/refs": token()})));
    attempts.must(denied(&decision), format!("refs of a pod: {decision:?}"));
    attempts.end();
}

#[test]
fn a_pasted_value_behind_secret_is_not_repeated() {
    let mut attempts = Attempts::default();
    // `secret:` before a token, by mistake: its letters make a path, and a path is named in messages, audit and logs.
    for value in [
        format!("secret:{}", token()),
        format!("secret+file:{}", token()),
        format!("secret:/mozmeao/snippets/stage/{}", token()),
    ] {
        for endpoint in [Mutate, Validate] {
            let decision = create(endpoint, with_env(json!([{"name": "A", "value": value}])));
            attempts.must(denied(&decision), format!("{decision:?}"));
            attempts.must(!said(&decision).contains(&token()[4..]), format!("{decision:?}"));
        }
    }
    let decision = create(Mutate, annotated(json!({"env.refgate.dev/A": token()})));
    attempts.must(!said(&decision).contains(&token()[4..]), format!("{decision:?}"));
    // vals returns what stands behind echo: it is a value, whoever calls it a reference.
    for namespace in ["team", "nobody"] {
        let object = with_env(json!([{"name": "A", "value": format!("ref+echo://{}", token())}]));
        let decision = ask(Validate, &request(namespace, ("", "Pod"), object, Value::Null));
        attempts.must(
            denied(&decision) && !said(&decision).contains(&token()[4..]),
            format!("{namespace}: {decision:?}"),
        );
    }
    attempts.end();
}

#[test]
fn plaintext_is_put_together_before_it_is_judged() {
    let mut attempts = Attempts::default();
    let (head, tail) = (&token()[..20], &token()[20..]);
    let env = json!([{"name": "H", "value": head}, {"name": "T", "value": tail}]);
    let container = |fields: Value| {
        let mut all = json!({"name": "web", "env": env});
        all.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
        pod(json!({}), json!({"containers": [all]}))
    };
    let exec = json!({"exec": {"command": ["curl", "-H", "x: $(H)$(T)"]}});
    for (hope, object) in [
        ("an argument", container(json!({"args": ["$(H)$(T)"]}))),
        ("a command", container(json!({"command": ["run", "$(H)$(T)"]}))),
        // The kubelet expands the commands of probes as well, from the values as they are written.
        ("a probe", container(json!({"readinessProbe": exec}))),
    ] {
        attempts.must(denied(&create(Validate, object)), hope);
    }
    // It does not expand those of the lifecycle.
    assert!(!denied(&create(Validate, container(json!({"lifecycle": {"preStop": exec}})))));
    attempts.end();
}

#[test]
fn labels_are_texts_as_well() {
    // A token is a legal label value, and `fieldRef` makes an env var of it.
    let env = json!([{"name": "GH_TOKEN", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['t']"}}}]);
    let object = pod(json!({"labels": {"t": token()}}), json!({"containers": [{"name": "web", "env": env}]}));
    assert!(denied(&create(Validate, object)));
}

#[test]
fn messages_hold_no_control_characters_and_no_values() {
    let mut attempts = Attempts::default();
    for name in ["a\u{1b}[2Jb", "a\nb", "a\u{7f}\u{85}b", "a\tb"] {
        let object = pod(
            json!({}),
            json!({"containers": [{"name": name, "env": [{"name": name, "value": "secret:/x/y/z/a"}, {"name": name, "value": token()}]}]}),
        );
        for endpoint in [Mutate, Validate] {
            let decision = create(endpoint, object.clone());
            attempts.must(
                denied(&decision) && !message(&decision).contains(char::is_control),
                format!("{decision:?}"),
            );
        }
    }
    // Nor does the answer to an object that does not read.
    let object = json!({"metadata": {"annotations": {"a\u{1b}[2J\nb": 7}}, "spec": {}});
    let review = request("team", ("", "Pod"), object, Value::Null);
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": review});
    let Err(ParseError::Object { pointer, problem, .. }) =
        parse(&serde_json::to_vec(&body).unwrap(), Validate, &Settings::default().kinds)
    else {
        panic!("it reads");
    };
    let decision = refgate::policy::review::unreadable(&pointer, &problem);
    assert!(!message(&decision).contains(char::is_control), "{decision:?}");
    attempts.end();
}

/// A body that is nearly a review of a pod.
fn raw(object: &str) -> Vec<u8> {
    format!(r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u1","kind":{{"group":"","version":"v1","kind":"Pod"}},"operation":"CREATE","namespace":"team","object":{object}}}}}"#).into_bytes()
}

#[test]
fn json_tricks_are_refused_with_the_uid() {
    let mut attempts = Attempts::default();
    for (hope, object) in [
        ("a list for an object", r#"[]"#),
        ("a text for an object", r#""x""#),
        ("a list for the metadata", r#"{"metadata":[],"spec":{}}"#),
        ("a list for the spec", r#"{"metadata":{},"spec":[]}"#),
        ("a list for a container", r#"{"spec":{"containers":[["web",[["A","secret:x"]]]]}}"#),
        ("a list for an env entry", r#"{"spec":{"containers":[{"name":"web","env":[["A","secret:x"]]}]}}"#),
        (
            "a list for a secretKeyRef",
            r#"{"spec":{"containers":[{"name":"web","env":[{"name":"A","valueFrom":{"secretKeyRef":["left-by-payroll","k"]}}]}]}}"#,
        ),
        (
            "a list for envFrom",
            r#"{"spec":{"containers":[{"name":"web","envFrom":[[{"name":"left-by-payroll"}]]}]}}"#,
        ),
        ("an object for a list", r#"{"spec":{"containers":{"0":{"name":"web"}}}}"#),
        (
            "a number for a value",
            r#"{"spec":{"containers":[{"name":"web","env":[{"name":"A","value":1}]}]}}"#,
        ),
        ("a boolean for a name", r#"{"spec":{"containers":[{"name":true}]}}"#),
        ("two metadata", r#"{"metadata":{"annotations":{"refgate.dev/x":"y"}},"metadata":{},"spec":{}}"#),
        (
            "two specs",
            r#"{"spec":{"containers":[{"name":"web","env":[{"name":"A","value":"secret:x"}]}]},"spec":{}}"#,
        ),
        ("two lists of containers", r#"{"spec":{"containers":[{"name":"web"}],"containers":[]}}"#),
        (
            "two envs",
            r#"{"spec":{"containers":[{"name":"web","env":[{"name":"A","value":"secret:x"}],"env":[]}]}}"#,
        ),
        (
            "two sources",
            r#"{"spec":{"containers":[{"name":"web","env":[{"name":"A","valueFrom":{"secretKeyRef":{"name":"left-by-payroll"},"secretKeyRef":{"name":"x"}}}]}]}}"#,
        ),
        ("half of a surrogate", r#"{"metadata":{"annotations":{"a":"\ud800"}},"spec":{}}"#),
        ("a number that is none", r#"{"spec":{"securityContext":{"fsGroup":1e999}}}"#),
    ] {
        match parse(&raw(object), Validate, &Settings::default().kinds) {
            Err(ParseError::Object { uid, .. }) => assert_eq!(uid, "u1", "{hope}"),
            Err(ParseError::NotAReview(_)) => {}
            Ok(_) => attempts.must(false, format!("{hope} reads: {object}")),
        }
    }
    for fine in [
        "null",
        "{}",
        r#"{"metadata":null,"spec":null}"#,
        r#"{"spec":{"containers":null,"volumes":null,"imagePullSecrets":null,"securityContext":null}}"#,
        r#"{"spec":{"containers":[{"name":"w","env":null,"args":null,"lifecycle":null,"livenessProbe":null}]}}"#,
        r#"{"spec":{"unknown":1e99999,"deep":[[[[[]]]]],"volumes":[{"name":"v","secret":null,"projected":{"sources":null}}]}}"#,
    ] {
        let body = raw(fine);
        let review = parse(&body, Validate, &Settings::default().kinds).unwrap();
        assert_eq!(decide(&review, &world()).outcome, Outcome::Allow, "{fine}");
    }
    attempts.end();
}

#[test]
fn an_envelope_that_is_bent_opens_nothing() {
    let mut attempts = Attempts::default();
    let kinds = Settings::default().kinds;
    let world = world();
    let bad = with_env(json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": LEFT, "key": "k"}}}]))
        .to_string();
    let pod_kind = r#""kind":{"group":"","version":"v1","kind":"Pod"}"#;
    let other = r#""kind":{"group":"","version":"v1","kind":"Event"}"#;
    let tail = r#""uid":"u1","operation":"CREATE","namespace":"team""#;
    for (hope, request) in [
        ("the object before its kind", format!(r#"{{{tail},"object":{bad},{pod_kind}}}"#)),
        ("a kind as null first", format!(r#"{{{tail},"kind":null,"object":{bad},{pod_kind}}}"#)),
        ("two objects", format!(r#"{{{tail},{pod_kind},"object":{{}},"object":{bad}}}"#)),
        ("two kinds, the first harmless", format!(r#"{{{tail},{other},"object":{bad},{pod_kind}}}"#)),
        ("two kinds, the last harmless", format!(r#"{{{tail},{pod_kind},{other},"object":{bad}}}"#)),
        ("two operations", format!(r#"{{{tail},"operation":"DELETE",{pod_kind},"object":{bad}}}"#)),
        ("two namespaces", format!(r#"{{{tail},"namespace":"",{pod_kind},"object":{bad}}}"#)),
        ("no operation", format!(r#"{{"uid":"u1","namespace":"team",{pod_kind},"object":{bad}}}"#)),
        (
            "an operation in small letters",
            format!(r#"{{"uid":"u1","operation":"create","namespace":"team",{pod_kind},"object":{bad}}}"#),
        ),
        ("no namespace", format!(r#"{{"uid":"u1","operation":"CREATE",{pod_kind},"object":{bad}}}"#)),
        ("a kind as a list", format!(r#"{{{tail},"kind":["","Pod"],"object":{bad}}}"#)),
    ] {
        let body =
            format!(r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{request}}}"#);
        if let Ok(review) = parse(body.as_bytes(), Validate, &kinds) {
            let decision = decide(&review, &world);
            attempts.must(decision.outcome != Outcome::Allow, hope);
        }
    }
    for (what, body) in [
        ("nothing", Vec::new()),
        ("not UTF-8", [b"{\"apiVersion\":\"".as_slice(), &[0xff, 0xfe], b"\"}"].concat()),
        ("deeply nested", "[".repeat(1_000_000).into_bytes()),
        ("deeply nested objects", "{\"a\":".repeat(500_000).into_bytes()),
        ("two reviews", [raw("{}"), raw("{}")].concat()),
        ("a huge number", b"1e999999999".to_vec()),
    ] {
        attempts
            .must(matches!(parse(&body, Validate, &kinds), Err(ParseError::NotAReview(_))), what.to_string());
    }
    // Deep nesting where nobody looks costs nothing and breaks nothing.
    let deep = raw(&format!(r#"{{"spec":{{"x":{}{}}}}}"#, "[".repeat(500_000), "]".repeat(500_000)));
    assert!(parse(&deep, Validate, &kinds).is_ok());
    attempts.end();
}

fn numbered(count: usize, make: impl Fn(usize) -> Value) -> Value {
    (0..count).map(make).collect::<Vec<_>>().into()
}

fn keyed(count: usize, prefix: &str, value: &str) -> Value {
    (0..count).map(|index| (format!("{prefix}{index}"), json!(value))).collect::<Map<_, _>>().into()
}

/// No object larger than this can be stored, so that no larger answer is of use.
const STORABLE: usize = 3 << 20;

#[test]
fn what_is_asked_for_in_every_container_does_not_multiply_without_bound() {
    let mut attempts = Attempts::default();
    let containers = |count| numbered(count, |index| json!({"name": format!("c{index}")}));
    let volume = json!([{"name": "v", "projected": {"sources": [{"secret": {
        "name": secret_name("mozmeao/snippets/stage/smtp"),
        "items": numbered(700, |index| json!({"key": "value", "path": format!("f{index}")}))}}]}}]);
    let mounted = numbered(
        700,
        |index| json!({"name": format!("c{index}"), "volumeMounts": [{"name": "v", "mountPath": "/x"}]}),
    );
    for (hope, object) in [
        (
            "variables",
            pod(
                json!({"annotations": keyed(600, "env.refgate.dev/A", "database_url")}),
                json!({"containers": containers(600)}),
            ),
        ),
        (
            "files",
            pod(
                json!({"annotations": keyed(600, "file.refgate.dev/A", "database_url")}),
                json!({"containers": containers(600)}),
            ),
        ),
        (
            "rows of refs",
            pod(
                json!({"annotations": {"refgate.dev/refs": "[]"}}),
                json!({"containers": mounted, "volumes": volume}),
            ),
        ),
    ] {
        let decision = create(Mutate, object);
        let size = decision.patch.map_or(0, |patch| patch.len());
        attempts.must(size <= STORABLE, format!("{hope}: a patch of {size} bytes"));
    }
    attempts.end();
}

#[test]
fn an_answer_is_no_larger_than_its_question() {
    let many =
        numbered(5_000, |index| json!({"name": format!("A{index}"), "value": format!("secret:name{index}")}));
    let decision = create(Validate, with_env(many));
    let answer: Value = serde_json::from_slice(&respond("u", &decision)).unwrap();
    let paths = answer["response"]["auditAnnotations"]["paths"].as_str().unwrap_or_default();
    assert!(paths.len() <= 64 << 10, "an audit annotation of {} bytes", paths.len());
    let commas =
        annotated(json!({"secrets-webhook.security.bank-vaults.io/vault-from-path": ",".repeat(200_000)}));
    assert!(denied(&create(Validate, commas)));
}

/// Each of these ends at once where every loop is linear, and takes minutes where one is not.
#[test]
fn large_inputs_end() {
    let mut attempts = Attempts::default();
    let text = |value: String| {
        pod(
            json!({}),
            json!({"containers": [{"name": "web", "args": [value], "env": [{"name": "A", "value": "x"}]}]}),
        )
    };
    let files = numbered(
        4_000,
        |index| json!({"name": format!("c{index}"), "env": [{"name": format!("F{index}"), "value": "secret+file:smtp"}]}),
    );
    let fields = json!({"fieldRef": {"fieldPath": "metadata.annotations['none']"}});
    for (what, endpoint, object) in [
        ("open parentheses", Validate, text("$(".repeat(300_000))),
        ("doubled dollars", Validate, text("$$".repeat(500_000))),
        ("inline references that never end", Validate, text("${vault:".repeat(100_000))),
        (
            "one secret again and again",
            Mutate,
            annotated(json!({"refgate.dev/env-from": vec!["smtp"; 100_000].join(",")})),
        ),
        (
            "names of containers",
            Mutate,
            pod(
                json!({"annotations": {"refgate.dev/containers": vec!["last"; 60_000].join(","), "env.refgate.dev/A": "database_url"}}),
                json!({"containers": numbered(20_000, |index| json!({"name": if index == 19_999 { "last".to_owned() } else { format!("c{index}") }}))}),
            ),
        ),
        ("a file of its own for each container", Mutate, pod(json!({}), json!({"containers": files}))),
        (
            "variables by annotation over variables",
            Mutate,
            pod(
                json!({"annotations": keyed(8_000, "env.refgate.dev/A", "database_url")}),
                json!({"containers": [{"name": "web", "env": numbered(20_000, |index| json!({"name": format!("B{index}"), "value": "x"}))}]}),
            ),
        ),
        (
            "fields over annotations",
            Validate,
            pod(
                json!({"annotations": keyed(15_000, "a", "")}),
                json!({"containers": [{"name": "web", "env": numbered(15_000, |_| json!({"name": "B", "valueFrom": fields}))}]}),
            ),
        ),
    ] {
        let decision = create(endpoint, object);
        attempts.must(!matches!(decision.outcome, Outcome::Unavailable { .. }), what.to_string());
    }
    attempts.end();
}
