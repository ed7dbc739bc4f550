//! Known ways around a path fence, each by the id that it has in our catalogue of them: `N` for the path itself, `E` for
//! External Secrets Operator, `S` for other systems, `P` for the mechanics of pods.
//!
//! P18 and P19, a Namespace whose binding is removed, or made foreign at creation, are not here: who may write those
//! labels is said by the ValidatingAdmissionPolicy on Namespaces in `manifests/policies/`, not by the webhook.

mod classes;
mod data;
mod disguises;
mod external_secrets;
mod injectors;
mod operator;
mod other_systems;
mod places;
mod stores;
mod values;
mod vault_operator;

use std::collections::HashMap;
use std::sync::Arc;

use refgate::cli::judge;
use refgate::policy::decide;
use refgate::policy::decision::{Decision, Outcome, Verdict};
use refgate::policy::path::{Scope, secret_name};
use refgate::policy::review::{Endpoint, ParseError, parse, respond};
use refgate::policy::snapshot::{
    Binding, Catalogue, Entry, NamespaceLabels, NamespaceState, Settings, Snapshot,
};
use serde_json::{Value, json};

const OWN: &str = "mozmeao/snippets/stage";
const FOREIGN: &str = "mozmeao/snippets/prod/x";

fn world() -> Snapshot {
    let entry = |path: &str| Entry {
        path: path.into(),
        secret: secret_name(path).into(),
        keys: Box::new(["value".into()]),
        version: None,
    };
    let binding = Binding::Bound { own: Scope::parse(OWN).unwrap(), shared: Vec::new() };
    let namespace = NamespaceLabels { binding, ..NamespaceLabels::default() };
    // The foreign path is what an earlier binding left behind.
    let catalogue = Catalogue::new(vec![entry("mozmeao/snippets/stage/x"), entry(FOREIGN)], None);
    let (namespace, catalogue) = (Arc::new(namespace), Arc::new(catalogue));
    let state = NamespaceState { namespace, catalogue, ..NamespaceState::default() };
    let settings = Settings {
        aws_accounts: vec!["111122223333".into()],
        aws_regions: vec!["us-west-2".into()],
        ..Settings::default()
    };
    Snapshot {
        settings: Arc::new(settings),
        namespaces: HashMap::from([("snippets-stage".into(), Arc::new(state))]),
        ..Snapshot::default()
    }
}

/// The same world where the sync fills a Secret from a path.
fn synced(mut snapshot: Snapshot, path: &str, secret: &str) -> Snapshot {
    let entry =
        Entry { path: path.into(), secret: secret.into(), keys: Box::new(["value".into()]), version: None };
    let state = snapshot.namespaces.get_mut("snippets-stage").unwrap();
    Arc::make_mut(state).catalogue = Arc::new(Catalogue::new(vec![entry], None));
    snapshot
}

/// A review as the API server sends it; `request` overrides what is usual.
fn review(request: Value) -> Vec<u8> {
    let mut all = json!({
        "uid": "u", "operation": "CREATE", "namespace": "snippets-stage",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "userInfo": {"username": "dev"}, "object": null, "oldObject": null, "dryRun": false,
    });
    for (key, value) in request.as_object().unwrap() {
        all[key] = value.clone();
    }
    serde_json::to_vec(
        &json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": all}),
    )
    .unwrap()
}

fn ask(endpoint: Endpoint, request: Value) -> Decision {
    let (world, body) = (world(), review(request));
    let review = parse(&body, endpoint, &world.settings.kinds).unwrap();
    decide(&review, &world)
}

/// What becomes of a new pod: mutated, then validated as it came out.
fn create(pod: &Value) -> Decision {
    let mutated = ask(Endpoint::Mutate, json!({"object": pod}));
    if mutated.outcome != Outcome::Allow {
        return mutated;
    }
    let patched = mutated.patch.map_or_else(|| pod.clone(), |patch| judge::patched(pod, &patch).unwrap());
    ask(Endpoint::Validate, json!({"object": patched}))
}

fn allowed(decision: &Decision) -> bool {
    decision.outcome == Outcome::Allow
}

fn message(decision: &Decision) -> &str {
    match &decision.outcome {
        Outcome::Deny { message, .. } => message,
        other => panic!("not denied: {other:?}"),
    }
}

fn pod(env: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "snippets-stage"},
        "spec": {"containers": [{"name": "web", "image": "i", "env": env}]},
    })
}

fn env_value(value: &str) -> Value {
    pod(json!([{"name": "A", "value": value}]))
}

#[test]
fn paths() {
    for (id, path, expected) in [
        ("N01", "mozmeao/snippets/stage/database_url", true),
        ("N02", "mozmeao/snippets/stage-old/x", false),
        ("N02", "mozmeao/snippets/stage2/x", false),
        ("N03", "mozmeao/snippets/stage", false),
        ("N03", "mozmeao/snippets/stage/", false),
        ("N04", "mozmeao/snippets/stage/../prod/x", false),
        ("N05", "mozmeao/snippets/stage//x", false),
        ("N05", "mozmeao/snippets/stage/./x", false),
        ("N06", "/mozmeao/snippets/stage/x", false),
        ("N07", "Mozmeao/snippets/stage/x", false),
        ("N08", "mozmeao/snippets/stage/x\n", false),
        ("N08", "mozmeao/snippets/stage/x ", false),
        ("N09", "mozmeao%2Fsnippets%2Fstage%2Fx", false),
        ("N09", "mozmeao/snippets/stage%2Fx", false),
        ("N09", "mozmeao/snippets/st\u{430}ge/x", false),
        ("N09", "mozmeao\u{2215}snippets\u{2215}stage\u{2215}x", false),
        ("N16", "", false),
        ("N16", "null", false),
    ] {
        let decision = create(&env_value(&format!("secret:/{path}")));
        assert_eq!(allowed(&decision), expected, "{id} {path:?}: {decision:?}");
    }
}

#[test]
fn arns() {
    const ARN: &str = "arn:aws:secretsmanager:us-west-2:111122223333:secret:";
    for (id, value, expected) in [
        ("N10", format!("{ARN}mozmeao/snippets/stage/x-AbCdEf"), true),
        ("N11", ARN.replace("111122223333", "999999999999") + "mozmeao/snippets/stage/x-AbCdEf", false),
        ("N11", ARN.replace("us-west-2", "eu-west-1") + "mozmeao/snippets/stage/x-AbCdEf", false),
        ("N11", ARN.replace("arn:aws:", "arn:aws-cn:") + "mozmeao/snippets/stage/x-AbCdEf", false),
        ("N12", format!("{ARN}mozmeao/snippets/stage-AbCdEf"), false),
        // A partial ARN: with six characters after the hyphen both readings are inside.
        ("N13", format!("{ARN}mozmeao/snippets/stage/my-secret"), true),
        ("N14", format!("{ARN}mozmeao/snippets/stage/x-AbCdEf:password::"), false),
        ("N15", "arn:aws:ssm:us-west-2:111122223333:parameter/mozmeao/snippets/stage/x".to_owned(), false),
    ] {
        let decision = create(&env_value(&value));
        assert_eq!(allowed(&decision), expected, "{id} {value:?}: {decision:?}");
    }
}

#[test]
fn n16_what_is_no_text_is_unreadable() {
    for value in [json!(5), json!(["secret:x"]), json!({"a": 1}), json!(true)] {
        let body = review(json!({"object": pod(json!([{"name": "A", "value": value}]))}));
        for endpoint in [Endpoint::Mutate, Endpoint::Validate] {
            match parse(&body, endpoint, &world().settings.kinds) {
                Err(ParseError::Object { uid, pointer, .. }) => {
                    assert_eq!((uid.as_str(), pointer.as_str()), ("u", "/spec/containers/0/env/0/value"));
                }
                other => panic!("{value} was read: {other:?}"),
            }
        }
    }
}

#[test]
fn p01_init_containers_and_sidecars_are_seen() {
    for extra in [json!({}), json!({"restartPolicy": "Always"})] {
        for (path, expected) in [("mozmeao/snippets/stage/x", true), (FOREIGN, false)] {
            let mut init = json!({"name": "i", "image": "i", "env": [{"name": "A", "value": format!("secret:/{path}")}]});
            init.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            let mut pod = pod(json!([]));
            pod["spec"]["initContainers"] = json!([init]);
            let decision = create(&pod);
            assert_eq!(allowed(&decision), expected, "{extra} {path}: {decision:?}");
            if expected {
                let patch = ask(Endpoint::Mutate, json!({"object": pod})).patch.unwrap();
                assert!(patch.contains("/spec/initContainers/0/env/0"), "{patch}");
            }
        }
    }
}

#[test]
fn p02_ephemeral_containers_are_judged() {
    let running = pod(json!([]));
    let debug = |env: Value| {
        let mut pod = running.clone();
        pod["spec"]["ephemeralContainers"] = json!([{"name": "debugger", "image": "i", "env": [env]}]);
        let request = json!({
            "operation": "UPDATE", "subResource": "ephemeralcontainers", "object": pod, "oldObject": running,
        });
        ask(Endpoint::Validate, request)
    };
    let foreign =
        json!({"name": "A", "valueFrom": {"secretKeyRef": {"name": secret_name(FOREIGN), "key": "value"}}});
    assert!(!allowed(&debug(foreign)));
    let reference = debug(json!({"name": "A", "value": "secret:x"}));
    assert!(message(&reference).contains("ephemeral container"), "{reference:?}");
    assert!(allowed(&debug(json!({"name": "A", "value": "plain"}))));
}

#[test]
fn p03_what_is_put_together_by_variables_is_expanded_first() {
    let env = json!([
        {"name": "A", "value": "mozmeao/snippets/"},
        {"name": "B", "value": "vault:secret/data/$(A)prod/x#k"},
    ]);
    assert!(!allowed(&create(&pod(env))));
    let env =
        json!([{"name": "A", "value": "secret"}, {"name": "B", "value": "$(A):/mozmeao/snippets/prod/x"}]);
    assert!(!allowed(&create(&pod(env))));
}

#[test]
fn p04_what_another_object_says_is_unknown() {
    for source in [
        json!({"configMapKeyRef": {"name": "c", "key": "k"}}),
        json!({"fieldRef": {"fieldPath": "metadata.name"}}),
        json!({"secretKeyRef": {"name": secret_name("mozmeao/snippets/stage/x"), "key": "value"}}),
    ] {
        // A text that is wholly somebody else's is not ours to read; a path that holds a part of it is nobody's to read.
        let alone = json!([{"name": "A", "valueFrom": source}, {"name": "B", "value": "$(A)"}]);
        assert!(allowed(&create(&pod(alone))), "{source}");
        let part = json!([{"name": "A", "valueFrom": source}, {"name": "B", "value": "secret:/mozmeao/snippets/stage/$(A)"}]);
        assert!(!allowed(&create(&pod(part))), "{source}");
        let part =
            json!([{"name": "A", "valueFrom": source}, {"name": "B", "value": "vault:secret/data/$(A)/x#k"}]);
        assert!(!allowed(&create(&pod(part))), "{source}");
    }
}

#[test]
fn p05_a_doubled_dollar_is_a_literal() {
    let env = json!([{"name": "A", "value": "mozmeao/snippets/prod"}, {"name": "B", "value": "$$(A)/x"}]);
    assert!(allowed(&create(&pod(env))));
    let env =
        json!([{"name": "A", "value": "secret:/mozmeao/snippets/prod/x"}, {"name": "B", "value": "$$(A)"}]);
    let references = create(&pod(env)).references;
    assert_eq!(references.len(), 1, "{references:?}");
}

#[test]
fn p06_references_by_way_of_an_annotation_are_found() {
    let env = json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['x']"}}}]);
    let mut pod = pod(env);
    for (value, expected) in
        [("secret:x", false), ("vault:secret/data/mozmeao/snippets/prod/x#k", false), ("plain", true)]
    {
        pod["metadata"]["annotations"] = json!({"x": value});
        let decision = create(&pod);
        assert_eq!(allowed(&decision), expected, "{value}: {decision:?}");
    }
}

#[test]
fn p07_other_sources_are_recognised_or_reported() {
    let known =
        json!([{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "k"}}}]);
    let mut with_file = pod(known);
    with_file["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
    let decision = create(&with_file);
    assert!(allowed(&decision), "{decision:?}");
    let unknown = create(&pod(json!([{"name": "A", "valueFrom": {"quantumKeyRef": {"name": "n"}}}])));
    let said = !allowed(&unknown) || unknown.warnings.iter().any(|warning| warning.contains("quantumKeyRef"));
    assert!(said, "{unknown:?}");
    let mut certificate = pod(json!([]));
    certificate["spec"]["volumes"] = json!([{"name": "v", "projected": {"sources": [
        {"podCertificate": {"signerName": "example.com/s", "keyType": "ED25519", "credentialBundlePath": "b"}}]}}]);
    assert!(allowed(&create(&certificate)));
}

#[test]
fn p08_templates_are_judged_where_each_kind_has_them() {
    let template = json!({"spec": {"containers": [{"name": "web", "image": "i", "env": [
        {"name": "A", "value": format!("secret:/{FOREIGN}")}]}]}});
    let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"},
        "spec": {"jobTemplate": {"spec": {"template": template}}}});
    let kind = json!({"group": "batch", "version": "v1", "kind": "CronJob"});
    let decision = ask(Endpoint::Validate, json!({"kind": kind, "object": cron}));
    assert!(!allowed(&decision), "{decision:?}");
    // What has no template, or is not in the table, is left to the admission of its pods.
    let workflow = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "w"},
        "spec": {"podSpecPatch": "{}"}});
    let kind = json!({"group": "argoproj.io", "version": "v1alpha1", "kind": "Workflow"});
    assert!(allowed(&ask(Endpoint::Validate, json!({"kind": kind, "object": workflow}))));
}

#[test]
fn p09_an_update_is_never_patched() {
    let object = env_value("secret:x");
    let decision =
        ask(Endpoint::Mutate, json!({"operation": "UPDATE", "object": object, "oldObject": pod(json!([]))}));
    assert_eq!(decision.patch, None);
}

#[test]
fn p10_the_namespace_is_that_of_the_request() {
    let mut generated = env_value("secret:x");
    generated["metadata"] = json!({"generateName": "web-"});
    let decision = ask(Endpoint::Mutate, json!({"object": generated}));
    assert!(allowed(&decision) && decision.patch.is_some(), "{decision:?}");
    // What the object says of itself does not move it.
    let mut elsewhere = env_value(&format!("secret:/{FOREIGN}"));
    elsewhere["metadata"]["namespace"] = json!("basket-prod");
    assert!(!allowed(&ask(Endpoint::Mutate, json!({"object": elsewhere}))));
}

#[test]
fn p11_our_own_output_is_left_alone() {
    for value in ["secret:x", "secret+file:x"] {
        let pod = env_value(value);
        let patch = ask(Endpoint::Mutate, json!({"object": pod})).patch.unwrap();
        let again = ask(Endpoint::Mutate, json!({"object": judge::patched(&pod, &patch).unwrap()}));
        assert!(allowed(&again), "{again:?}");
        assert_eq!(again.patch, None, "{value}");
    }
}

#[test]
fn p12_the_patch_makes_what_is_missing_and_escapes_what_needs_it() {
    let mut bare = env_value("secret:x");
    for annotations in [None, Some(json!({})), Some(json!({"a/b": "c", "d~e/f": "g"}))] {
        match &annotations {
            None => bare["metadata"] = json!({"name": "p"}),
            Some(annotations) => bare["metadata"]["annotations"] = annotations.clone(),
        }
        let patch = ask(Endpoint::Mutate, json!({"object": bare})).patch.unwrap();
        let patched = judge::patched(&bare, &patch).unwrap();
        assert!(patched["metadata"]["annotations"]["refgate.dev/refs"].is_string(), "{patched}");
        for (key, value) in annotations.iter().flat_map(|map| map.as_object().unwrap()) {
            assert_eq!(&patched["metadata"]["annotations"][key], value);
        }
    }
}

#[test]
fn p13_the_manifest_in_the_annotation_is_judged() {
    let old = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "web", "env": [
        {"name": "DB_PASSWORD", "value": "kR4vT9wqZ2pB"}]}]}});
    let mut pod = env_value("secret:x");
    pod["metadata"]["annotations"] =
        json!({"kubectl.kubernetes.io/last-applied-configuration": format!("{old}\n")});
    let decision = create(&pod);
    let struck = |finding: &refgate::policy::finding::Finding| {
        finding.pointer.starts_with("/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration")
    };
    assert!(decision.findings.iter().any(struck), "{decision:?}");
    assert!(!format!("{decision:?}").contains("kR4vT9wqZ2pB"));
}

#[test]
fn p14_what_is_sent_has_no_control_characters() {
    let mut pod = env_value("secret:x");
    pod["metadata"]["annotations"] = json!({"refgate.dev/containers": "we\nb\u{7}"});
    pod["spec"]["containers"][0]["env"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "B\nC", "value": "secret:y\nz"}));
    for endpoint in [Endpoint::Mutate, Endpoint::Validate] {
        let decision = ask(endpoint, json!({"object": pod}));
        let response: Value = serde_json::from_slice(&respond("u", &decision)).unwrap();
        let response = &response["response"];
        let texts =
            response["warnings"].as_array().into_iter().flatten().chain([&response["status"]["message"]]);
        for text in texts.filter_map(Value::as_str) {
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }
}

#[test]
fn p15_a_delete_without_an_object_is_allowed() {
    for endpoint in [Endpoint::Mutate, Endpoint::Validate] {
        let request =
            json!({"operation": "DELETE", "object": null, "oldObject": env_value("secret:/a/b/c/d")});
        assert!(allowed(&ask(endpoint, request)));
    }
}

#[test]
fn p16_a_large_update_is_judged() {
    let mut old = pod(json!([]));
    old["metadata"]["annotations"] = json!({"filler": "x".repeat(3 << 20)});
    let mut new = old.clone();
    new["spec"]["containers"][0]["image"] = json!("j");
    let request = json!({"operation": "UPDATE", "object": new, "oldObject": old});
    assert!(allowed(&ask(Endpoint::Validate, request)));
}

#[test]
fn p17_a_dry_run_is_decided_alike() {
    for object in [env_value("secret:x"), env_value(&format!("secret:/{FOREIGN}"))] {
        let decide = |dry_run: bool| ask(Endpoint::Mutate, json!({"object": object, "dryRun": dry_run}));
        assert_eq!(decide(true), decide(false));
    }
}

#[test]
fn p20_the_patch_fits_the_object_that_was_received() {
    let before = pod(json!([{"name": "A", "value": "secret:x"}]));
    let inserted = pod(json!([{"name": "FIRST", "value": "1"}, {"name": "A", "value": "secret:x"}]));
    for (object, index) in [(before, 0), (inserted, 1)] {
        let patch = ask(Endpoint::Mutate, json!({"object": object})).patch.unwrap();
        let patched = judge::patched(&object, &patch).unwrap();
        let entry = &patched["spec"]["containers"][0]["env"][index];
        assert_eq!(entry["name"], "A");
        assert_eq!(
            entry["valueFrom"]["secretKeyRef"]["name"],
            secret_name("mozmeao/snippets/stage/x").as_str()
        );
    }
}

#[test]
fn a_foreign_secret_is_refused_wherever_a_pod_can_name_it() {
    let name = secret_name(FOREIGN);
    let volume = |source: Value| {
        let mut pod = pod(json!([]));
        let mut volume = json!({"name": "v"});
        volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        pod["spec"]["volumes"] = json!([volume]);
        pod
    };
    let mut env_from = pod(json!([]));
    env_from["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": name}}]);
    let mut pull = pod(json!([]));
    pull["spec"]["imagePullSecrets"] = json!([{"name": name}]);
    let pods = [
        pod(json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": name, "key": "value"}}}])),
        env_from,
        pull,
        volume(json!({"secret": {"secretName": name}})),
        volume(json!({"projected": {"sources": [{"secret": {"name": name}}]}})),
        volume(json!({"csi": {"driver": "d", "nodePublishSecretRef": {"name": name}}})),
        volume(json!({"azureFile": {"secretName": name, "shareName": "s"}})),
        volume(json!({"cephfs": {"monitors": ["m"], "secretRef": {"name": name}}})),
        volume(json!({"rbd": {"monitors": ["m"], "image": "i", "secretRef": {"name": name}}})),
        volume(json!({"iscsi": {"targetPortal": "t", "iqn": "i", "lun": 0, "secretRef": {"name": name}}})),
        volume(json!({"flexVolume": {"driver": "d", "secretRef": {"name": name}}})),
        volume(
            json!({"scaleIO": {"gateway": "g", "system": "s", "volumeName": "v", "secretRef": {"name": name}}}),
        ),
        volume(json!({"storageos": {"volumeName": "v", "secretRef": {"name": name}}})),
        volume(json!({"cinder": {"volumeID": "v", "secretRef": {"name": name}}})),
    ];
    for pod in pods {
        let decision = create(&pod);
        assert!(message(&decision).contains(&name), "{pod}: {decision:?}");
        assert!(
            decision.references.iter().any(|reference| reference.verdict == Verdict::Denied),
            "{decision:?}"
        );
    }
}
