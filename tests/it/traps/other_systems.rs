//! The traps of the other systems that carry secrets, `S`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use refgate::policy::carriers::place::System;
use refgate::policy::carriers::settings::Mapping;
use refgate::policy::decide;
use refgate::policy::review::{Endpoint, parse};
use refgate::policy::snapshot::Settings;
use serde_json::{Value, json};

use super::external_secrets::{ask, object, settings, world};
use super::{allowed, create, pod, review};

pub const INSIDE: &str = "mozmeao/snippets/stage/x";
pub const OUTSIDE: &str = "mozmeao/snippets/prod/x";

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
        row(System::Azure, "snippets-china.vault.azure.cn", None),
        row(System::OnePassword, "Snippets Stage", None),
        row(System::Doppler, "snippets/stg", None),
        row(System::AwsParameterStore, "", None),
    ]);
    settings
}

pub fn table(rows: &[(&str, Value, bool)]) {
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
    let cloud = |cloud: &str, vault: &str| {
        let objects = "array:\n- |\n  objectName: db\n  objectType: secret\n";
        class("azure", json!({"keyvaultName": vault, "cloudName": cloud, "objects": objects}))
    };
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
        ("S10", cloud("", "snippets-stage"), true),
        ("S10", cloud("AzurePublicCloud", "snippets-stage"), true),
        // The same name is another vault there, which anybody may own.
        ("S10", cloud("AzureChinaCloud", "snippets-stage"), false),
        ("S10", cloud("AZUREUSGOVERNMENTCLOUD", "snippets-stage"), false),
        ("S10", cloud("AzureChinaCloud", "snippets-china"), true),
        ("S10", cloud("AzurePublicCloud", "snippets-china"), false),
        ("S10", cloud("AzureStackCloud", "snippets-stage"), false),
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
    let managed = |with: Value| {
        let mut secret = json!({"name": "m", "type": "Opaque"});
        secret.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        doppler(json!({"project": "snippets", "config": "stg", "managedSecret": secret}))
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
        ("S17", item("vaults/Snippets Stage/items/Database Credentials"), true),
        ("S17", item("vaults/Snippets Stage/items/ db"), false),
        ("S17", item("vaults/Snippets Stage/items/"), false),
        ("S17", item("vaults/Payroll/items/db"), false),
        ("S17", item("vaults/Payroll/items/Database Credentials"), false),
        ("S17", item("vaults/Snippets Stage/items/db/x"), false),
        ("S17", akv("snippets-stage", secret.clone()), true),
        ("S17", akv("Snippets-Stage", secret.clone()), true),
        ("S17", akv("payroll", secret), false),
        ("S17", akv("snippets-stage", json!({"configMap": {"name": "web", "dataKey": "db"}})), false),
        ("S17", doppler(json!({"project": "snippets", "config": "stg"})), true),
        ("S17", doppler(json!({"project": "snippets", "config": "stg", "secrets": ["DB"]})), true),
        ("S17", doppler(json!({"project": "payroll", "config": "stg"})), false),
        ("S17", doppler(json!({})), false),
        ("S17", managed(json!({"labels": {"app": "web"}, "annotations": {"a": "b"}})), true),
        ("S17", managed(json!({"hereafter": {"app": "web"}})), false),
        (
            "S20",
            managed(json!({"annotations": {"replicator.v1.mittwald.de/replicate-to": "payroll"}})),
            false,
        ),
        ("S20", managed(json!({"annotations": {"refgate.dev/path": OUTSIDE}})), false),
        ("S20", managed(json!({"labels": {"app.kubernetes.io/managed-by": "refgate"}})), false),
        ("S19", managed(json!({"annotations": {"password": "hunter2-Xk3vbQ"}})), false),
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
    // By the length of the controller's key, in bytes.
    let long = |bytes: u16| {
        let cipher = STANDARD.encode([&bytes.to_be_bytes()[..], &[7; 600]].concat());
        sealed(json!({}), json!({"encryptedData": {"password": cipher}}))
    };
    table(&[
        ("S18", sealed(json!({}), data.clone()), true),
        ("S18", sealed(json!({"sealedsecrets.bitnami.com/namespace-wide": "true"}), data.clone()), true),
        ("S18", sealed(json!({"sealedsecrets.bitnami.com/cluster-wide": "true"}), data), false),
        ("S19", sealed(json!({}), json!({"encryptedData": {"password": "aHVudGVyMg=="}})), false),
        ("S19", long(256), true),
        ("S19", long(384), true),
        ("S19", long(512), true),
        ("S19", long(1024), true),
        ("S19", long(0), false),
        ("S19", long(128), false),
        ("S19", long(u16::from_be_bytes(*b"hu")), false),
        ("S19", sealed(json!({}), json!({"encryptedData": {"password": "Ag\u{e9}".repeat(40)}})), false),
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
