//! The traps of the other systems that carry secrets, `S`.

use refgate::policy::carriers::place::System;
use refgate::policy::carriers::settings::{Mapping, Mode};
use refgate::policy::decide;
use refgate::policy::review::{Endpoint, parse};
use refgate::policy::snapshot::Settings;
use serde_json::{Value, json};

use super::external_secrets::{ask, object, settings, world};
use super::{allowed, create, message, pod, review};

const INSIDE: &str = "mozmeao/snippets/stage/x";
const SHARED: &str = "mozmeao/shared/stage/x";
const OUTSIDE: &str = "mozmeao/snippets/prod/x";

/// Those of External Secrets Operator, and places without slashes.
pub fn mapped() -> Settings {
    let mut settings = settings();
    let row = |system: System, place: &str, separator: Option<&str>| Mapping {
        system,
        scopes: [None, None, Some("stage".to_owned())],
        place: place.to_owned(),
        separator: separator.map(str::to_owned),
    };
    settings.carriers.mappings.extend([
        row(System::Google, "moz-stage", Some("--")),
        row(System::Azure, "snippets-stage", None),
        row(System::OnePassword, "Snippets Stage", None),
        row(System::Doppler, "snippets/stg", None),
        row(System::AwsParameterStore, "", None),
    ]);
    settings
}

fn table(rows: &[(&str, Value, bool)]) {
    let snapshot = world(&[], mapped());
    for (id, object, expected) in rows {
        let decision = ask(&snapshot, object, None);
        assert_eq!(allowed(&decision), *expected, "{id} {object}: {decision:?}");
    }
}

#[test]
fn s01_s04_kubernetes_external_secrets() {
    let with = |spec: Value| {
        let mut whole = json!({"backendType": "secretsManager", "region": "us-west-2"});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        object("kubernetes-client.io/v1", "ExternalSecret", "web", whole)
    };
    let mut legacy = with(json!({}));
    legacy["secretDescriptor"] = json!({"data": [{"key": OUTSIDE, "name": "k"}]});
    table(&[
        ("S01", with(json!({"dataFrom": [INSIDE]})), true),
        ("S01", with(json!({"dataFrom": [OUTSIDE]})), false),
        ("S01", with(json!({"dataFrom": [{"key": OUTSIDE}]})), false),
        ("S02", with(json!({"dataFromWithOptions": [{"key": INSIDE}]})), true),
        ("S02", with(json!({"dataFromWithOptions": [{"key": OUTSIDE}]})), false),
        ("S02", with(json!({"data": [{"key": INSIDE, "name": "k"}]})), true),
        ("S02", with(json!({"data": [{"key": OUTSIDE, "name": "k"}]})), false),
        ("S02", with(json!({"data": [{"path": "mozmeao/snippets/", "recursive": true}]})), false),
        (
            "S02",
            with(
                json!({"backendType": "systemManager", "data": [{"path": "/mozmeao/snippets/stage", "recursive": true}]}),
            ),
            true,
        ),
        (
            "S02",
            with(
                json!({"backendType": "systemManager", "data": [{"path": "/mozmeao/snippets", "recursive": true}]}),
            ),
            false,
        ),
        (
            "S02",
            with(
                json!({"backendType": "vault", "data": [{"key": format!("secret/data/{INSIDE}"), "name": "k"}]}),
            ),
            true,
        ),
        (
            "S02",
            with(
                json!({"backendType": "vault", "data": [{"key": format!("secret/data/{OUTSIDE}"), "name": "k"}]}),
            ),
            false,
        ),
        ("S02", with(json!({"backendType": "akeyless", "data": [{"key": INSIDE, "name": "k"}]})), false),
        ("S02", legacy, false),
        ("S03", with(json!({"region": "eu-west-1", "dataFrom": [INSIDE]})), false),
        ("S03", with(json!({"roleArn": "arn:aws:iam::999999999999:role/x", "dataFrom": [INSIDE]})), false),
        ("S03", with(json!({"roleArn": "arn:aws:iam::111122223333:role/x", "dataFrom": [INSIDE]})), true),
        ("S04", with(json!({"template": {"stringData": {"password": "hunter2-Xk3vbQ"}}})), false),
        ("S04", with(json!({"template": {"stringData": {"a": "<%= process.env.TOKEN %>"}}})), false),
        ("S04", with(json!({"template": {"metadata": {"labels": {"app": "web"}}}})), true),
        (
            "S20",
            with(json!({"template": {"metadata": {"annotations": {"kubed.appscode.com/sync": ""}}}})),
            false,
        ),
    ]);
}

fn class(provider: &str, parameters: Value) -> Value {
    object(
        "secrets-store.csi.x-k8s.io/v1",
        "SecretProviderClass",
        "web",
        json!({"provider": provider, "parameters": parameters}),
    )
}

fn aws(objects: &str) -> Value {
    class("aws", json!({"region": "us-west-2", "objects": objects}))
}

#[test]
fn s05_s07_classes_of_aws() {
    let one = |name: &str| aws(&format!("- objectName: {name}\n  objectType: secretsmanager\n"));
    table(&[
        ("S05", one(INSIDE), true),
        ("S05", one(OUTSIDE), false),
        (
            "S05",
            aws(&format!("- objectName: {INSIDE}\n  objectname: {OUTSIDE}\n  objectType: secretsmanager\n")),
            false,
        ),
        ("S05", aws(&format!("- objectname: {INSIDE}\n  objectType: secretsmanager\n")), false),
        ("S06", aws(&format!("- &a {{objectName: {INSIDE}, objectType: secretsmanager}}\n- *a\n")), false),
        (
            "S06",
            aws(&format!("- objectName: {INSIDE}\n  objectType: secretsmanager\n  <<: {{objectAlias: x}}\n")),
            false,
        ),
        (
            "S06",
            aws(&format!("- objectName: {INSIDE}\n  objectName: {INSIDE}\n  objectType: secretsmanager\n")),
            false,
        ),
        (
            "S06",
            aws(&format!(
                "- {{objectName: {INSIDE}, objectType: secretsmanager}}\n---\n- {{objectName: {OUTSIDE}}}\n"
            )),
            false,
        ),
        (
            "S07",
            aws(&format!(
                "- objectName: {INSIDE}\n  objectType: secretsmanager\n  objectAlias: x\n  failoverObject: {{objectName: {OUTSIDE}}}\n"
            )),
            false,
        ),
        ("S07", class("aws", json!({"region": "eu-west-1", "objects": ""})), false),
        ("S07", class("aws", json!({"region": "us-west-2", "objects": "", "Objects": "x"})), false),
    ]);
}

#[test]
fn s08_s09_a_pod_does_not_override_its_class() {
    let mounted = |attributes: Value| {
        let mut pod = pod(json!([]));
        let csi =
            json!({"driver": "secrets-store.csi.k8s.io", "readOnly": true, "volumeAttributes": attributes});
        pod["spec"]["volumes"] = json!([{"name": "v", "csi": csi}]);
        allowed(&create(&pod))
    };
    assert!(mounted(json!({"secretProviderClass": "web"})));
    for (id, key) in [
        ("S08", "objects"),
        ("S09", "region"),
        ("S09", "secrets"),
        ("S09", "keyvaultName"),
        ("S09", "SecretProviderClass"),
    ] {
        assert!(!mounted(json!({"secretProviderClass": "web", key: "x"})), "{id} {key}");
    }
}

#[test]
fn s10_classes_of_other_providers() {
    let google =
        |name: &str| class("gcp", json!({"secrets": format!("- resourceName: {name}\n  path: x\n")}));
    let azure =
        |vault: &str, objects: &str| class("azure", json!({"keyvaultName": vault, "objects": objects}));
    let vault = |path: &str| {
        class(
            "vault",
            json!({"roleName": "r", "objects": format!("- objectName: x\n  secretPath: {path}\n  secretKey: k\n")}),
        )
    };
    let array = |inner: &str| format!("array:\n- |\n  {inner}\n  objectType: secret\n");
    table(&[
        ("S10", google("projects/moz-stage/secrets/mozmeao--snippets--stage--x/versions/latest"), true),
        ("S10", google("projects/moz-stage/secrets/mozmeao--snippets--stage2--x/versions/latest"), false),
        ("S10", google("projects/moz-prod/secrets/mozmeao--snippets--stage--x/versions/latest"), false),
        ("S10", google("projects/moz-stage/secrets/../x/versions/latest"), false),
        ("S10", azure("snippets-stage", &array("objectName: db")), true),
        ("S10", azure("snippets-prod", &array("objectName: db")), false),
        ("S10", azure("snippets-stage", &array("objectname: db")), false),
        ("S10", azure("snippets-stage", "array:\n- {objectName: db}\n"), false),
        ("S10", vault(&format!("secret/data/{INSIDE}")), true),
        ("S10", vault(&format!("secret/data/{OUTSIDE}")), false),
        ("S10", vault("database/creds/x"), false),
        ("S10", class("hereafter", json!({})), false),
    ]);
}

#[test]
fn s11_whoever_names_a_class_reads_what_it_reads() {
    let sync =
        object("secret-sync.x-k8s.io/v1alpha1", "SecretSync", "s", json!({"secretProviderClassName": "web"}));
    // As the API server fills it in.
    let mut filled_in = sync.clone();
    filled_in["spec"]["secretSyncControllerName"] = "".into();
    let one = |name: &str| aws(&format!("- objectName: {name}\n  objectType: secretsmanager\n"));
    // One that was there before anybody asked.
    for (there, expected) in [(vec![one(INSIDE)], true), (vec![one(OUTSIDE)], false), (vec![], false)] {
        for sync in [&sync, &filled_in] {
            let decision = ask(&world(&there, settings()), sync, None);
            assert_eq!(allowed(&decision), expected, "S11 {there:?}: {decision:?}");
        }
    }
}

#[test]
fn s14_vault_secrets_operator() {
    let reads = |spec: Value| object("secrets.hashicorp.com/v1beta1", "VaultStaticSecret", "v", spec);
    let at = |path: &str| {
        reads(
            json!({"mount": "secret", "type": "kv-v2", "path": path, "destination": {"name": "web", "create": true}}),
        )
    };
    let made = |kind: &str| {
        object("secrets.hashicorp.com/v1beta1", kind, "v", json!({"mount": "database", "path": "creds/x"}))
    };
    table(&[
        ("S14", at(INSIDE), true),
        ("S14", at(OUTSIDE), false),
        ("S14", at("mozmeao/snippets/stage/../prod/x"), false),
        // Here what looks like the mount is a part of the path.
        ("S14", at(&format!("secret/{INSIDE}")), false),
        ("S14", at(&format!("data/{INSIDE}")), false),
        ("S14", reads(json!({"mount": "other", "type": "kv-v2", "path": INSIDE})), false),
        (
            "S14",
            reads(json!({"namespace": "team", "mount": "secret", "type": "kv-v2", "path": INSIDE})),
            false,
        ),
        ("S14", reads(json!({"mount": "secret", "type": "kv-v2"})), false),
        ("S14", made("VaultDynamicSecret"), false),
        ("S14", made("VaultPKISecret"), false),
        (
            "S14",
            object(
                "secrets.hashicorp.com/v1beta1",
                "VaultAuth",
                "v",
                json!({"method": "jwt", "mount": "jwt"}),
            ),
            true,
        ),
        ("S14", made("Hereafter"), false),
    ]);
}

#[test]
fn s17_items_objects_and_projects() {
    let item = |path: &str| object("onepassword.com/v1", "OnePasswordItem", "i", json!({"itemPath": path}));
    let akv = |vault: &str, output: Value| {
        let spec =
            json!({"vault": {"name": vault, "object": {"name": "db", "type": "secret"}}, "output": output});
        object("spv.no/v2beta1", "AzureKeyVaultSecret", "a", spec)
    };
    let doppler = |spec: Value| {
        let mut whole = json!({"tokenSecret": {"name": "t"}, "managedSecret": {"name": "m"}});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        object("secrets.doppler.com/v1alpha1", "DopplerSecret", "d", whole)
    };
    let secret = json!({"secret": {"name": "web", "dataKey": "db"}});
    // As the API server fills it in.
    let hosted = |host: &str| {
        doppler(
            json!({"project": "snippets", "config": "stg", "host": host, "verifyTLS": true, "resyncSeconds": 60}),
        )
    };
    table(&[
        ("S17", hosted("https://api.doppler.com"), true),
        ("S17", hosted("https://doppler.example.com"), false),
        ("S17", item("vaults/Snippets Stage/items/db"), true),
        ("S17", item("vaults/Payroll/items/db"), false),
        ("S17", item("vaults/Snippets Stage/items/db/x"), false),
        ("S17", akv("snippets-stage", secret.clone()), true),
        ("S17", akv("Snippets-Stage", secret.clone()), true),
        ("S17", akv("payroll", secret), false),
        ("S17", akv("snippets-stage", json!({"configMap": {"name": "web", "dataKey": "db"}})), false),
        ("S17", doppler(json!({"project": "snippets", "config": "stg"})), true),
        ("S17", doppler(json!({"project": "snippets", "config": "stg", "secrets": ["DB"]})), true),
        ("S17", doppler(json!({"project": "payroll", "config": "stg"})), false),
        ("S17", doppler(json!({})), false),
        (
            "S17",
            doppler(
                json!({"project": "snippets", "config": "stg", "managedSecret": {"name": "m", "namespace": "elsewhere"}}),
            ),
            false,
        ),
    ]);
}

#[test]
fn s18_s19_what_is_sealed() {
    let cipher = format!("Ag{}", "B".repeat(400));
    let sealed = |annotations: Value, spec: Value| {
        let mut object = object("bitnami.com/v1alpha1", "SealedSecret", "s", spec);
        object["metadata"]["annotations"] = annotations;
        object
    };
    let data = json!({"encryptedData": {"password": cipher}});
    let with = |template: Value| {
        sealed(json!({}), json!({"encryptedData": {"password": cipher}, "template": template}))
    };
    table(&[
        ("S18", sealed(json!({}), data.clone()), true),
        ("S18", sealed(json!({"sealedsecrets.bitnami.com/namespace-wide": "true"}), data.clone()), true),
        ("S18", sealed(json!({"sealedsecrets.bitnami.com/cluster-wide": "true"}), data), false),
        ("S19", sealed(json!({}), json!({"encryptedData": {"password": "aHVudGVyMg=="}})), false),
        ("S19", with(json!({"data": {"password": "hunter2-Xk3vbQ"}})), false),
        ("S19", with(json!({"data": {"url": "postgres://web:{{ .password }}@db/web"}})), true),
        (
            "S20",
            with(
                json!({"metadata": {"annotations": {"reflector.v1.k8s.emberstack.com/reflection-allowed": "true"}}}),
            ),
            false,
        ),
    ]);
}

#[test]
fn s21_what_sops_did_not_encrypt() {
    let cipher = "ENC[AES256_GCM,data:abc,iv:def,tag:ghi,type:str]";
    let templates = |version: &str, field: &str, data: Value| {
        let spec = json!({field: [{"name": "web", "data": data}]});
        object(&format!("isindir.github.com/{version}"), "SopsSecret", "s", spec)
    };
    let mut rows = Vec::new();
    // The oldest version has a spelling of its own.
    for (version, field) in
        [("v1alpha3", "secretTemplates"), ("v1alpha2", "secretTemplates"), ("v1alpha1", "secret_templates")]
    {
        rows.push(("S21", templates(version, field, json!({"a": cipher})), true));
        rows.push((
            "S21",
            templates(version, field, json!({"a": cipher, "b_unencrypted": "hunter2"})),
            false,
        ));
    }
    let plain = json!({"secretTemplates": [{"name": "web", "stringData": {"b_unencrypted": "hunter2"}}]});
    rows.push(("S21", object("isindir.github.com/v1alpha3", "SopsSecret", "s", plain), false));
    table(&rows);
}

const PLAIN: &str = "password: hunter2-Xk3vbQ";

fn vault(kind: &str, spec: Value) -> Value {
    object("secrets.hashicorp.com/v1beta1", kind, "v", spec)
}

/// Plaintext, wherever in an object of the operator it stands, and in annotations of what comes out.
#[test]
fn s14_s21_plaintext_in_objects_that_become_secrets() {
    let templates = json!({"templates": {"a": {"text": PLAIN}}});
    let secrets = |transformed: Value, all: Value| {
        let entry =
            json!({"mount": "secret", "type": "kv-v2", "path": INSIDE, "transformation": transformed});
        vault("CSISecrets", json!({"secrets": {"vaultStaticSecrets": [entry], "transformation": all}}))
    };
    let fills = |destination: Value| {
        let spec = json!({"mount": "secret", "type": "kv-v2", "path": INSIDE, "destination": destination});
        vault("VaultStaticSecret", spec)
    };
    let sops = json!({"secretTemplates": [{"name": "web", "annotations": {"note": PLAIN}}]});
    table(&[
        ("S14", secrets(json!({}), json!({})), true),
        ("S14", secrets(templates.clone(), json!({})), false),
        ("S14", secrets(json!({}), templates.clone()), false),
        ("S14", vault("SecretTransformation", templates.clone()), false),
        (
            "S14",
            vault("SecretTransformation", json!({"sourceTemplates": [{"name": "a", "text": PLAIN}]})),
            false,
        ),
        ("S14", vault("SecretTransformation", json!({"sourceTemplates": [{"text": "{{ .a }}"}]})), true),
        ("S14", fills(json!({"name": "w", "annotations": {"note": PLAIN}})), false),
        ("S14", fills(json!({"name": "w", "transformation": templates})), false),
        ("S14", fills(json!({"name": "w", "annotations": {"note": "x"}, "labels": {"a": "b"}})), true),
        ("S14", vault("VaultConnection", json!({"address": "https://vault.example.com:8200"})), true),
        (
            "S14",
            vault("VaultConnection", json!({"address": "https://u:hunter2-Xk3vbQ@vault.example.com"})),
            false,
        ),
        ("S21", object("isindir.github.com/v1alpha3", "SopsSecret", "s", sops), false),
    ]);
}

/// What this version does not know may name a path.
#[test]
fn s14_s17_unknown_fields_are_reported_wherever_they_stand() {
    let fills = |destination: Value| {
        let mut whole = json!({"name": "web", "create": true, "overwrite": false, "type": "Opaque"});
        whole.as_object_mut().unwrap().extend(destination.as_object().unwrap().clone());
        let spec = json!({"mount": "secret", "type": "kv-v2", "path": INSIDE, "destination": whole});
        vault("VaultStaticSecret", spec)
    };
    let transformation = json!({
        "excludeRaw": true, "excludes": [".*"], "includes": ["a"], "templates": {"a": {"name": "a", "text": "x"}},
        "transformationRefs": [{"name": "t", "namespace": "n", "templateRefs": [], "ignoreIncludes": true, "ignoreExcludes": true}],
    });
    let akv = |secret: Value| {
        let vault = json!({"name": "snippets-stage", "object": {"name": "db", "type": "secret"}});
        object(
            "spv.no/v2beta1",
            "AzureKeyVaultSecret",
            "a",
            json!({"vault": vault, "output": {"secret": secret}}),
        )
    };
    table(&[
        ("S14", fills(json!({"transformation": transformation})), true),
        ("S14", fills(json!({"hereafter": 1})), false),
        ("S14", fills(json!({"transformation": {"hereafter": 1}})), false),
        (
            "S14",
            fills(json!({"transformation": {"templates": {"a/b": {"text": "x", "hereafter": 1}}}})),
            false,
        ),
        ("S14", fills(json!({"transformation": {"transformationRefs": [{"hereafter": 1}]}})), false),
        ("S14", vault("SecretTransformation", json!({"includes": ["a"], "excludes": ["b"]})), true),
        ("S14", vault("SecretTransformation", json!({"hereafter": 1})), false),
        ("S14", vault("SecretTransformation", json!({"sourceTemplates": [{"hereafter": 1}]})), false),
        (
            "S17",
            akv(json!({"name": "web", "dataKey": "db", "type": "Opaque", "chainOrder": "ensureserverfirst"})),
            true,
        ),
        ("S17", akv(json!({"name": "web", "dataKey": "db", "hereafter": 1})), false),
    ]);
    let at = fills(json!({"transformation": {"templates": {"a/b": {"hereafter": 1}}}}));
    let decision = ask(&world(&[], mapped()), &at, None);
    let said = message(&decision);
    assert!(said.contains("spec.destination.transformation.templates.a/b.hereafter: "), "{said}");
}

/// Which kinds are let through where a carrier's doubts are: a doubt is no excuse for a path that is outside.
#[test]
fn what_is_undecided_hides_nothing_that_is_decided() {
    let mut lenient = mapped();
    for carrier in refgate::policy::carriers::CARRIERS {
        lenient.carriers.undecided.insert(carrier.id.to_owned(), Mode::Audit);
    }
    let snapshot = world(&[], lenient);
    let spec = json!({"backendType": "secretsManager", "region": "us-west-2", "hereafter": true, "dataFrom": [OUTSIDE]});
    let both = object("kubernetes-client.io/v1", "ExternalSecret", "web", spec);
    assert!(!allowed(&ask(&snapshot, &both, None)));
    let plain = json!({"secret_templates": [{"name": "web", "data": {"a": "hunter2"}}]});
    let plain = object("isindir.github.com/v1alpha1", "SopsSecret", "s", plain);
    assert!(!allowed(&ask(&snapshot, &plain, None)));
    for kind in ["VaultDynamicSecret", "VaultPKISecret", "HCPVaultSecretsApp"] {
        let fills = |destination: Value| {
            let mut spec = json!({"destination": {"name": "web", "create": true}});
            spec["destination"].as_object_mut().unwrap().extend(destination.as_object().unwrap().clone());
            vault(kind, spec)
        };
        for (id, destination, expected) in [
            ("S14", json!({}), true),
            ("S14", json!({"transformation": {"templates": {"a": {"text": PLAIN}}}}), false),
            ("S14", json!({"annotations": {"note": PLAIN}}), false),
            ("S20", json!({"annotations": {"replicator.v1.mittwald.de/replicate-to": "*"}}), false),
            ("S14", json!({"labels": {"app.kubernetes.io/managed-by": "refgate"}}), false),
        ] {
            let mut object = fills(destination);
            if kind == "VaultDynamicSecret" {
                object["spec"]["mount"] = "database".into();
                object["spec"]["path"] = "creds/x".into();
            }
            let decision = ask(&snapshot, &object, None);
            assert_eq!(allowed(&decision), expected, "{id} {object}: {decision:?}");
            assert!(decision.rules.contains(&"carrier-undecided"), "{id} {object}: {decision:?}");
        }
    }
    // An engine of keys and values is one, whoever asks it.
    for (mount, path, expected) in [
        ("secret", format!("data/{OUTSIDE}"), false),
        ("secret", OUTSIDE.to_owned(), false),
        ("secret", format!("data/{INSIDE}"), true),
        ("secret/data", OUTSIDE.to_owned(), false),
        ("/secret/", format!("/data/{OUTSIDE}"), false),
        ("database/..", format!("secret/data/{OUTSIDE}"), false),
        ("database", "creds//x".to_owned(), false),
        ("database", "creds/x".to_owned(), true),
    ] {
        let decision =
            ask(&snapshot, &vault("VaultDynamicSecret", json!({"mount": mount, "path": path})), None);
        assert_eq!(allowed(&decision), expected, "S14 {mount} {path}: {decision:?}");
    }
}

#[test]
fn s12_s13_s15_s17_what_stands_in_pods() {
    let annotated = |key: &str, value: &str| {
        let mut pod = pod(json!([]));
        pod["metadata"]["annotations"] = json!({"vault.hashicorp.com/agent-inject": "true", key: value});
        pod
    };
    let env = |value: &str| pod(json!([{"name": "A", "value": value}]));
    let agent = |name: &str| format!("vault.hashicorp.com/{name}");
    for (id, pod, expected) in [
        ("S12", annotated(&agent("agent-inject-secret-x"), INSIDE), true),
        ("S12", annotated(&agent("agent-inject-secret-x"), OUTSIDE), false),
        (
            "S12",
            annotated(
                &agent("agent-inject-template-x"),
                &format!("{{{{ with secret \"{OUTSIDE}\" }}}}{{{{ end }}}}"),
            ),
            false,
        ),
        (
            "S12",
            annotated(
                &agent("agent-inject-template-x"),
                &format!("{{{{ with secret \"{INSIDE}\" }}}}{{{{ end }}}}"),
            ),
            true,
        ),
        ("S12", annotated(&agent("agent-inject-template-x"), "{{ secrets \"mozmeao/\" }}"), false),
        ("S12", annotated(&agent("agent-inject-template-file-x"), "/mine"), false),
        ("S13", annotated(&agent("agent-configmap"), "mine"), false),
        ("S13", annotated(&agent("agent-json-patch"), "[]"), false),
        ("S13", annotated(&agent("agent-inject-token"), "true"), false),
        ("S15", env(&format!("vault:secret/data/{OUTSIDE}#k")), false),
        ("S15", env(&format!(">>vault:secret/data/{OUTSIDE}#k")), false),
        ("S15", env(&format!("bao:secret/data/{OUTSIDE}#k")), false),
        ("S15", env(&format!("pre-${{vault:secret/data/{OUTSIDE}#k}}-post")), false),
        ("S15", env(&format!("vault:{INSIDE}#k")), true),
        (
            "S17",
            env("arn:aws-cn:secretsmanager:cn-north-1:111122223333:secret:mozmeao/snippets/stage/x-AbCdEf"),
            false,
        ),
        ("S17", env("gcp:secretmanager:projects/p/secrets/s"), false),
        ("S17", env("op://vault/item/field"), false),
        ("S17", env("sm://project/name"), false),
        ("S17", env("mine@azurekeyvault"), false),
    ] {
        let decision = create(&pod);
        assert_eq!(allowed(&decision), expected, "{id} {pod}: {decision:?}");
    }
}

/// The same mappings hold for what stands in pods.
#[test]
fn s15_s17_mappings_hold_in_pods() {
    let snapshot = world(&[], mapped());
    for (id, value, expected) in [
        ("S15", format!("vault:secret/data/{INSIDE}#k"), true),
        ("S15", format!("vault:secret/{INSIDE}#k"), true),
        ("S15", format!(">>vault:secret/data/{INSIDE}#k#{{}}"), true),
        ("S15", format!(">>vault:secret/data/{SHARED}#k#{{}}"), false),
        ("S15", format!("vault:secret/data/{SHARED}#k"), true),
        ("S15", format!("pre-${{>>bao:{SHARED}#k}}"), false),
        ("S15", format!("vault:secret/data/{OUTSIDE}#k"), false),
        ("S15", format!("vault:other/data/{INSIDE}#k"), false),
        ("S15", "vault:secret/data/mozmeao/snippets/stage/../prod/x#k".to_owned(), false),
        ("S15", format!("vault:secret/metadata/{INSIDE}#k"), false),
        (
            "S17",
            "gcp:secretmanager:projects/moz-stage/secrets/mozmeao--snippets--stage--x/versions/2".to_owned(),
            true,
        ),
        ("S17", "gcp:secretmanager:projects/moz-stage/secrets/mozmeao--snippets--prod--x".to_owned(), false),
        ("S17", "gcp:secretmanager:mozmeao--snippets--stage--x".to_owned(), false),
        ("S17", "op://Snippets Stage/db/password".to_owned(), true),
        ("S17", "op://Payroll/db/password".to_owned(), false),
    ] {
        let request = json!({"object": pod(json!([{"name": "A", "value": value}]))});
        let body = review(request);
        let parsed = parse(&body, Endpoint::Validate, &snapshot.settings.kinds).unwrap();
        let decision = decide(&parsed, &snapshot);
        assert_eq!(allowed(&decision), expected, "{id} {value}: {decision:?}");
    }
}

/// A class that was there before anybody asked is no way in for a pod.
#[test]
fn s11_a_pod_does_not_mount_a_class_that_reads_outside() {
    let one = |name: &str| aws(&format!("- objectName: {name}\n  objectType: secretsmanager\n"));
    let mut mounts = pod(json!([]));
    let csi =
        json!({"driver": "secrets-store.csi.k8s.io", "volumeAttributes": {"secretProviderClass": "web"}});
    mounts["spec"]["volumes"] = json!([{"name": "v", "csi": csi}]);
    let body = review(json!({"object": mounts}));
    for (there, expected) in [(vec![one(INSIDE)], true), (vec![one(OUTSIDE)], false), (vec![], true)] {
        let snapshot = world(&there, settings());
        let decision =
            decide(&parse(&body, Endpoint::Validate, &snapshot.settings.kinds).unwrap(), &snapshot);
        assert_eq!(allowed(&decision), expected, "S11 {there:?}: {decision:?}");
    }
}
