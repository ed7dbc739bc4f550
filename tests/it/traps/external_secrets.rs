//! The traps of External Secrets Operator, `E`: what it reads by a store, by which name, and what leads there.

use std::sync::Arc;

use refgate::policy::carriers::place::System;
use refgate::policy::carriers::settings::{Mapping, Mode};
use refgate::policy::decide;
use refgate::policy::decision::{Decision, Outcome};
use refgate::policy::review::{Endpoint, parse};
use refgate::policy::snapshot::{Settings, Snapshot};
use refgate::world::World;
use serde_json::{Value, json};

use super::{allowed, message, review};

pub const NAMESPACES: &str = r#"
apiVersion: v1
kind: Namespace
metadata:
  name: snippets-stage
  labels: {refgate.dev/group: mozmeao, refgate.dev/app: snippets, refgate.dev/env: stage}
  annotations: {refgate.dev/shared-paths: mozmeao/shared/stage}
---
{apiVersion: v1, kind: Namespace, metadata: {name: elsewhere}}
"#;

pub fn settings() -> Settings {
    let mut settings = Settings {
        aws_accounts: vec!["111122223333".into()],
        aws_regions: vec!["us-west-2".into()],
        ..Settings::default()
    };
    settings.carriers.mappings = vec![Mapping {
        system: System::Vault,
        scopes: [None, None, None],
        place: "secret".into(),
        separator: None,
    }];
    settings
}

/// A world with these foreign objects in it.
pub fn world(objects: &[Value], settings: Settings) -> Snapshot {
    let mut text = NAMESPACES.to_owned();
    for object in objects {
        text.push_str(&format!("---\n{object}\n"));
    }
    let world = World::read(&text);
    assert_eq!(world.problems, Vec::new());
    world.snapshot(Arc::new(settings))
}

/// What becomes of an object that is made, or of one that was `old`.
pub fn ask(snapshot: &Snapshot, object: &Value, old: Option<&Value>) -> Decision {
    let (group, version) = object["apiVersion"].as_str().unwrap().split_once('/').unwrap();
    let namespace = object["metadata"].get("namespace").cloned().unwrap_or_default();
    let mut request = json!({
        "kind": {"group": group, "version": version, "kind": object["kind"]},
        "namespace": namespace,
        "object": object,
    });
    if let Some(old) = old {
        request["operation"] = "UPDATE".into();
        request["oldObject"] = old.clone();
    }
    let body = review(request);
    let parsed = parse(&body, Endpoint::Validate, &snapshot.settings.kinds).unwrap();
    decide(&parsed, snapshot)
}

pub fn object(version: &str, kind: &str, name: &str, spec: Value) -> Value {
    let is_cluster = kind.starts_with("Cluster");
    let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec});
    if !is_cluster {
        object["metadata"]["namespace"] = "snippets-stage".into();
    }
    object
}

pub fn external_secret(spec: Value) -> Value {
    let mut whole = json!({"secretStoreRef": {"name": "aws"}, "target": {"name": "web"}});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    object("external-secrets.io/v1", "ExternalSecret", "web", whole)
}

fn store(kind: &str, name: &str, provider: Value) -> Value {
    object("external-secrets.io/v1", kind, name, json!({"provider": provider}))
}

fn aws(prefix: &str) -> Value {
    json!({"aws": {"service": "SecretsManager", "region": "us-west-2", "prefix": prefix}})
}

pub fn data(key: &str) -> Value {
    json!({"data": [{"secretKey": "k", "remoteRef": {"key": key}}]})
}

/// Each store there is in the tables below.
pub fn stores() -> Vec<Value> {
    let vault = |path: Value| json!({"vault": {"server": "https://vault", "version": "v2", "path": path, "auth": {}}});
    vec![
        store("SecretStore", "aws", aws("")),
        store("SecretStore", "slash", aws("mozmeao/snippets/stage/")),
        store("SecretStore", "bare", aws("mozmeao/snippets/stage")),
        store("ClusterSecretStore", "prod", aws("mozmeao/snippets/prod/")),
        store("SecretStore", "vault", vault(json!("secret"))),
        store("SecretStore", "mountless", vault(Value::Null)),
    ]
}

fn table(rows: &[(&str, Value, bool)]) {
    let snapshot = world(&stores(), settings());
    for (id, object, expected) in rows {
        let decision = ask(&snapshot, object, None);
        assert_eq!(allowed(&decision), *expected, "{id} {object}: {decision:?}");
    }
}

const INSIDE: &str = "mozmeao/snippets/stage/x";
const OUTSIDE: &str = "mozmeao/snippets/prod/x";

#[test]
fn what_is_read() {
    let find = |find: Value| external_secret(json!({"dataFrom": [{"find": find}]}));
    let by = |name: &str, spec: Value| {
        let mut spec = spec;
        spec["secretStoreRef"] = json!({"name": name});
        external_secret(spec)
    };
    let own = "mozmeao/snippets/stage/";
    let other = json!({"kind": "ClusterSecretStore", "name": "prod"});
    table(&[
        ("E01", external_secret(data(INSIDE)), true),
        ("E01", external_secret(data("mozmeao/shared/stage/smtp")), true),
        ("E01", external_secret(data(OUTSIDE)), false),
        (
            "E01",
            external_secret(json!({"data": [
                {"secretKey": "k", "remoteRef": {"key": INSIDE}, "sourceRef": {"storeRef": other}},
            ]})),
            false,
        ),
        ("E02", external_secret(json!({"dataFrom": [{"extract": {"key": INSIDE}}]})), true),
        ("E02", external_secret(json!({"dataFrom": [{"extract": {"key": OUTSIDE}}]})), false),
        ("E03", find(json!({"path": "mozmeao/snippets/stage", "name": {"regexp": ".*"}})), false),
        ("E04", find(json!({"path": format!("!{own}"), "name": {"regexp": ".*"}})), false),
        ("E05", find(json!({"name": {"regexp": ".*"}})), false),
        ("E05", find(json!({"tags": {"a": "b"}})), false),
        ("E06", find(json!({"path": own, "name": {"regexp": ".*"}})), true),
        ("E06", find(json!({"path": format!("{own}db"), "name": {"regexp": ".*"}})), true),
        ("E06", find(json!({"path": "mozmeao/snippets/stage//", "name": {"regexp": ".*"}})), false),
        ("E07", by("slash", data("database_url")), true),
        ("E07", by("slash", data("../prod/x")), false),
        ("E08", by("bare", data("-old/x")), false),
        ("E08", by("bare", data("/x")), true),
        ("E09", by("slash", json!({"dataFrom": [{"find": {"path": "mozmeao/snippets/prod/"}}]})), false),
        ("E09", by("slash", json!({"dataFrom": [{"find": {"path": own}}]})), true),
        (
            "E17",
            external_secret(json!({"data": [
                {"secretKey": "k", "remoteRef": {"key": OUTSIDE, "metadataPolicy": "Fetch"}},
            ]})),
            false,
        ),
        ("E24", by("vault", data(INSIDE)), true),
        ("E24", by("vault", data(&format!("secret/{INSIDE}"))), true),
        ("E24", by("vault", data(&format!("secret/data/{INSIDE}"))), true),
        ("E24", by("vault", data(&format!("secret/data/{OUTSIDE}"))), false),
        ("E24", by("vault", data("mozmeao/snippets/stage/../prod/x")), false),
        ("E24", by("mountless", data(&format!("secret/data/{INSIDE}"))), true),
        ("E24", by("mountless", data(&format!("secret/{INSIDE}"))), true),
        ("E24", by("mountless", data(&format!("other/{INSIDE}"))), false),
        ("E24", by("mountless", data(INSIDE)), false),
        (
            "N10",
            external_secret(data(&format!(
                "arn:aws:secretsmanager:us-west-2:111122223333:secret:{INSIDE}-AbCdEf"
            ))),
            true,
        ),
        (
            "N11",
            external_secret(data(&format!(
                "arn:aws:secretsmanager:us-west-2:999999999999:secret:{INSIDE}-AbCdEf"
            ))),
            false,
        ),
        (
            "N12",
            external_secret(data(
                "arn:aws:secretsmanager:us-west-2:111122223333:secret:mozmeao/snippets/stage-AbCdEf",
            )),
            false,
        ),
        ("N16", external_secret(json!({"data": [{"secretKey": "k", "remoteRef": {"key": 5}}]})), false),
        (
            "N16",
            external_secret(json!({"data": [{"secretKey": "k", "remoteRef": {"key": [INSIDE]}}]})),
            false,
        ),
        ("N16", external_secret(data("")), false),
    ]);
}

#[test]
fn e10_a_store_that_changes_keeps_its_readers_inside() {
    let mut all = stores();
    all.push(external_secret(data("database_url")));
    all[6]["spec"]["secretStoreRef"]["name"] = "slash".into();
    let snapshot = world(&all, settings());
    let change = |prefix: &str| {
        let new = store("SecretStore", "slash", aws(prefix));
        ask(&snapshot, &new, Some(&all[1]))
    };
    assert!(allowed(&change("mozmeao/shared/stage/")));
    let denied = change("mozmeao/snippets/prod/");
    assert_eq!(
        message(&denied),
        "SecretStore slash, spec.provider: what reads through it would then be outside of its scope: ExternalSecret web in namespace \
         snippets-stage: mozmeao/snippets/prod/database_url is outside of mozmeao/snippets/stage and mozmeao/shared/stage, all that \
         this namespace may read (with the prefix of SecretStore slash); leave provider and prefix as they are, change what reads \
         through it first, or make a store of another name"
    );
    // One that is made after its readers is no way around it.
    let mut late = all.clone();
    late.remove(1);
    let snapshot = world(&late, settings());
    assert!(!allowed(&ask(&snapshot, &store("SecretStore", "slash", aws("mozmeao/snippets/prod/")), None)));
    // The whole cluster's too, whatever lets operators change it.
    let mut lenient = settings();
    lenient.carriers.cluster_scoped = Mode::Audit;
    all[6] = external_secret(data("x"));
    all[6]["spec"]["secretStoreRef"] = json!({"kind": "ClusterSecretStore", "name": "prod"});
    all[3] = store("ClusterSecretStore", "prod", aws("mozmeao/snippets/stage/"));
    let snapshot = world(&all, lenient);
    let denied =
        ask(&snapshot, &store("ClusterSecretStore", "prod", aws("mozmeao/snippets/prod/")), Some(&all[3]));
    // Its paths are none of the business of who may change a store of the whole cluster.
    let said = message(&denied);
    let expected = "ExternalSecret web in namespace snippets-stage: its namespace may read mozmeao/snippets/stage; leave";
    assert!(said.contains(expected) && !said.contains("/x"), "{denied:?}");
    let unchanged =
        ask(&snapshot, &store("ClusterSecretStore", "prod", aws("mozmeao/shared/stage/")), Some(&all[3]));
    assert!(allowed(&unchanged), "{unchanged:?}");
}

#[test]
fn e11_a_store_that_is_not_there_is_no_empty_prefix() {
    let object = external_secret(data(INSIDE));
    let decision = ask(&world(&[], settings()), &object, None);
    assert!(message(&decision).contains("SecretStore aws is not there"), "{decision:?}");
    let mut lenient = settings();
    lenient.carriers.undecided.insert("external-secrets".to_owned(), Mode::Audit);
    let decision = ask(&world(&[], lenient), &object, None);
    assert!(allowed(&decision) && decision.rules == ["carrier-undecided"], "{decision:?}");
    assert!(
        decision.warnings.iter().any(|warning| warning.contains("let through undecided")),
        "{decision:?}"
    );
}

#[test]
fn a_stale_snapshot_answers_for_no_object() {
    let mut snapshot = world(&stores(), settings());
    snapshot.stale = true;
    for object in [external_secret(data(INSIDE)), store("SecretStore", "new", aws(""))] {
        let decision = ask(&snapshot, &object, None);
        assert!(message(&decision).contains("snapshot.maxAge"), "{decision:?}");
    }
}

#[test]
fn e12_generators_that_ask_somebody_are_not_decided() {
    let from = |kind: &str| {
        external_secret(json!({"dataFrom": [{"sourceRef": {"generatorRef": {"kind": kind, "name": "g"}}}]}))
    };
    let made = |kind: &str, spec: Value| object("generators.external-secrets.io/v1alpha1", kind, "g", spec);
    table(&[
        ("E12", from("Password"), true),
        ("E12", from("VaultDynamicSecret"), false),
        ("E12", from("ClusterGenerator"), false),
        ("E12", from("Webhook"), false),
        ("E12", made("Password", json!({"length": 42})), true),
        ("E12", made("VaultDynamicSecret", json!({"path": "/database/creds/x"})), false),
        ("E12", made("Webhook", json!({"url": "https://example.com"})), false),
        ("E12", made("Fake", json!({"data": {"a": "b"}})), false),
        ("E12", made("Hereafter", json!({})), false),
    ]);
}

#[test]
fn e13_what_is_of_the_whole_cluster_is_an_operators() {
    let spec =
        json!({"externalSecretSpec": external_secret(data(INSIDE))["spec"], "namespaceSelectors": [{}]});
    let everywhere = object("external-secrets.io/v1", "ClusterExternalSecret", "all", spec);
    let decision = ask(&world(&[], settings()), &everywhere, None);
    assert!(message(&decision).contains("carriers.clusterScoped"), "{decision:?}");
    let mut lenient = settings();
    lenient.carriers.cluster_scoped = Mode::Audit;
    let decision = ask(&world(&[], lenient), &everywhere, None);
    assert!(allowed(&decision) && decision.rules == ["carrier-unbound"], "{decision:?}");
}

#[test]
fn e14_the_controllers_user_is_no_exemption() {
    let snapshot = world(&stores(), settings());
    for user in ["dev", "system:serviceaccount:external-secrets:external-secrets", "system:admin"] {
        let object = external_secret(data(OUTSIDE));
        let request = json!({
            "kind": {"group": "external-secrets.io", "version": "v1", "kind": "ExternalSecret"},
            "userInfo": {"username": user, "groups": ["system:masters"]},
            "object": object,
        });
        let body = review(request);
        let decision = decide(&parse(&body, Endpoint::Validate, &[]).unwrap(), &snapshot);
        assert!(!allowed(&decision), "{user}");
    }
}

#[test]
fn e15_e16_what_is_written() {
    let push = |data: Value| {
        let mut spec =
            json!({"secretStoreRefs": [{"name": "aws"}], "selector": {"secret": {"name": "mine"}}});
        spec.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
        object("external-secrets.io/v1alpha1", "PushSecret", "push", spec)
    };
    let to = |key: &str| json!({"match": {"secretKey": "k", "remoteRef": {"remoteKey": key}}});
    let mut opened = to(INSIDE);
    opened["metadata"] =
        json!({"apiVersion": "v", "kind": "PushSecretMetadata", "Spec": {"ResourcePolicy": {"a": "b"}}});
    table(&[
        ("E15", push(json!({"data": [to(INSIDE)]})), true),
        ("E15", push(json!({"data": [to(OUTSIDE)]})), false),
        ("E15", push(json!({"data": [to("mozmeao/shared/stage/smtp")]})), false),
        ("E15", push(json!({"dataTo": [{"match": {"regexp": ".*"}}]})), false),
        ("E15", push(json!({"dataTo": [{"remoteKey": INSIDE}]})), true),
        ("E15", push(json!({"dataTo": [{"remoteKey": OUTSIDE}]})), false),
        (
            "E15",
            push(json!({"data": [to(INSIDE)], "selector": {"secret": {"selector": {"matchLabels": {}}}}})),
            false,
        ),
        ("E16", push(json!({"data": [opened]})), false),
    ]);
}

#[test]
fn e18_e19_providers_are_a_list() {
    let provided = |provider: Value| store("SecretStore", "new", provider);
    let with = |key: &str, value: Value| {
        let mut provider = aws("");
        provider["aws"][key] = value;
        provided(provider)
    };
    table(&[
        ("E18", provided(json!({"kubernetes": {"remoteNamespace": "payroll"}})), false),
        ("E19", provided(json!({"fake": {"data": [{"key": "a", "value": "b"}]}})), false),
        ("E19", provided(json!({"webhook": {"url": "https://example.com"}})), false),
        ("E19", provided(json!({"crd": {"resource": {"kind": "X"}}})), false),
        ("E19", provided(json!({})), false),
        ("E19", provided(json!({"aws": aws("")["aws"], "fake": {}})), false),
        ("E19", provided(aws("")), true),
        ("E19", with("region", json!("eu-west-1")), false),
        ("E19", with("role", json!("arn:aws:iam::111122223333:role/snippets")), true),
        ("E19", with("role", json!("arn:aws:iam::999999999999:role/snippets")), false),
        ("E19", with("additionalRoles", json!(["arn:aws:iam::999999999999:role/x"])), false),
        ("E19", with("sessionTags", json!([{"key": "team", "value": "payroll"}])), false),
        ("E19", with("service", json!("CertificateManager")), false),
        ("E19", with("hereafter", json!("x")), false),
    ]);
}

#[test]
fn e20_e21_secrets_stay_in_secrets_and_plaintext_out() {
    let target = |target: Value| {
        let mut spec = data(INSIDE);
        spec["target"] = target;
        external_secret(spec)
    };
    let template = |template: Value| target(json!({"template": template}));
    let annotated = |key: &str| {
        let mut object = external_secret(data(INSIDE));
        object["metadata"]["annotations"] = json!({key: "x"});
        object
    };
    table(&[
        ("E20", target(json!({"manifest": {"apiVersion": "v1", "kind": "ConfigMap"}})), false),
        (
            "E20",
            template(json!({"templateFrom": [{"target": "Annotations", "literal": "a: {{ .k }}"}]})),
            false,
        ),
        ("E20", template(json!({"templateFrom": [{"target": "Data", "literal": "a: {{ .k }}"}]})), true),
        ("E20", template(json!({"metadata": {"annotations": {"a": "{{ .k }}"}}})), false),
        ("E20", template(json!({"metadata": {"annotations": {"a": "plain"}}})), true),
        ("E21", template(json!({"data": {"password": "hunter2-Xk3vbQ"}})), false),
        ("E21", template(json!({"data": {"url": "postgres://web:{{ .k }}@db/web"}})), true),
        ("S20", annotated("replicator.v1.mittwald.de/replicate-to"), false),
        ("S20", annotated("example.com/team"), true),
    ]);
}

#[test]
fn e22_a_secret_of_ours_is_not_overwritten() {
    let text = format!(
        "{NAMESPACES}---\n{}\n---\n{}",
        stores()[0],
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "catalogue.snippets-stage", "namespace": "refgate-system", "labels": {"refgate.dev/catalogue": "true"}},
            "data": {"catalogue": json!([{"path": INSIDE, "secret": "web", "keys": ["value"]}]).to_string()},
        })
    );
    let snapshot = World::read(&text).snapshot(Arc::new(settings()));
    let decision = ask(&snapshot, &external_secret(data(INSIDE)), None);
    assert!(message(&decision).contains("Secret web is one that RefGate syncs"), "{decision:?}");
}

#[test]
fn e23_versions_that_are_known_are_judged_and_no_others() {
    let snapshot = world(&stores(), settings());
    for (version, key, expected) in
        [("v1", INSIDE, true), ("v1beta1", INSIDE, true), ("v1beta1", OUTSIDE, false), ("v2", INSIDE, false)]
    {
        let mut object = external_secret(data(key));
        object["apiVersion"] = format!("external-secrets.io/{version}").into();
        let decision = ask(&snapshot, &object, None);
        assert_eq!(allowed(&decision), expected, "{version} {key}: {decision:?}");
    }
}

#[test]
fn e25_who_may_use_a_store_of_the_cluster_is_said() {
    let mut lenient = settings();
    lenient.carriers.cluster_scoped = Mode::Audit;
    let snapshot = world(&[], lenient);
    for (conditions, expected) in [
        (json!([]), true),
        (json!([{"namespaceRegexes": ["stage"]}]), true),
        (json!([{"namespaceRegexes": ["^.*-stage$"]}]), false),
        (json!([{"namespaces": ["snippets-stage"]}]), false),
    ] {
        let spec = json!({"provider": aws(""), "conditions": conditions});
        let decision =
            ask(&snapshot, &object("external-secrets.io/v1", "ClusterSecretStore", "c", spec), None);
        assert!(allowed(&decision), "{decision:?}");
        let said = decision.warnings.iter().any(|warning| warning.contains("spec.conditions"));
        assert_eq!(said, expected, "{conditions}: {decision:?}");
    }
}

#[test]
fn namespaces_without_a_scope_have_no_objects_unless_it_is_said() {
    let mut object = external_secret(data(INSIDE));
    object["metadata"]["namespace"] = "elsewhere".into();
    let decision = ask(&world(&stores(), settings()), &object, None);
    assert!(message(&decision).contains("carriers.unbound: audit"), "{decision:?}");
    let mut lenient = settings();
    lenient.carriers.unbound = Mode::Audit;
    let decision = ask(&world(&stores(), lenient), &object, None);
    assert!(allowed(&decision) && decision.rules == ["carrier-unbound"], "{decision:?}");
}

#[test]
fn an_update_is_judged_whole_or_is_none() {
    let snapshot = world(&stores(), settings());
    let old = external_secret(data(OUTSIDE));
    let mut labelled = old.clone();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    labelled["metadata"]["finalizers"] = json!(["x"]);
    labelled["status"] = json!({"refreshTime": "now"});
    assert!(allowed(&ask(&snapshot, &labelled, Some(&old))));
    let mut changed = old.clone();
    changed["spec"]["refreshInterval"] = "5m".into();
    assert!(!allowed(&ask(&snapshot, &changed, Some(&old))));
}

#[test]
fn a_denial_says_object_field_path_scope_and_what_to_write() {
    let snapshot = world(&stores(), settings());
    let mut object = external_secret(data("-old/x"));
    object["spec"]["secretStoreRef"]["name"] = "bare".into();
    let decision = ask(&snapshot, &object, None);
    assert_eq!(
        message(&decision),
        "ExternalSecret web, spec.data[0].remoteRef.key: mozmeao/snippets/stage-old/x is outside of mozmeao/snippets/stage and \
         mozmeao/shared/stage, all that this namespace may read (with the prefix of SecretStore bare); write a path of its own \
         scope, or ask an operator for refgate.dev/shared-paths"
    );
    let Outcome::Deny { code, .. } = decision.outcome else { unreachable!() };
    assert_eq!(code, 403);
}
