//! What single systems do with their entries, where the next reader of the object would not think of it.

use refgate::policy::carriers::place::{Verdict, claimed};
use refgate::policy::path::Scope;
use refgate::policy::review::Endpoint;
use refgate::policy::snapshot::Binding;
use serde_json::{Value, json};

use super::claims::refusal;
use super::{decided, message, object, snapshot, table};

const CIPHER: &str = "ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]";

/// Entries are merged in the order of the list, and one with a `path` brings keys of any name.
#[test]
fn a_path_of_kubernetes_external_secrets_lies_over_what_came_before() {
    let kes = |data: &str| {
        let spec = format!("{{backendType: secretsManager, data: [{data}]}}");
        object("kubernetes-client.io/v1", "ExternalSecret", "k", &spec)
    };
    let (named, found) = ("{key: g/a/stage/x, name: password}", "{path: g/a/stage/b/}");
    table(&kes(named), &[("x", "A=k/password")]);
    table(&kes(&format!("{named}, {found}")), &[("x", "!no key of it holds")]);
    table(&kes(&format!("{found}, {named}")), &[("x", "A=k/password")]);
    table(&kes(&format!("{found}, {named}, {found}")), &[("x", "!no key of it holds")]);
    // With a path the key is never read.
    table(&kes("{key: g/a/stage/x, name: password, path: g/a/stage/b/}"), &[("x", "!no object")]);
}

/// The provider mounts the other one when the first region does not answer.
#[test]
fn a_failover_of_another_name_may_be_what_is_mounted() {
    let class = |failover: &str| {
        let entry =
            format!("- {{objectName: g/a/stage/x, objectType: secretsmanager, objectAlias: f{failover}}}");
        let spec = json!({
            "provider": "aws", "parameters": {"objects": entry},
            "secretObjects": [{"secretName": "s", "type": "Opaque", "data": [{"objectName": "f", "key": "k"}]}],
        });
        object("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass", "c", &spec.to_string())
    };
    table(&class(""), &[("x", "A=s/k")]);
    table(&class(", failoverObject: {objectName: g/a/stage/x}"), &[("x", "A=s/k")]);
    for other in
        ["{objectName: g/a/stage/y}", "{objectName: g/a/stage/x, objectVersion: v}", "{objectVersion: v}"]
    {
        table(&class(&format!(", failoverObject: {other}")), &[("x", "!no key of it holds")]);
    }
    let parts = ", jmesPath: [{path: user, objectAlias: f}], failoverObject: {objectName: g/a/stage/y}";
    table(&class(&parts.replace("objectAlias: f}", "objectAlias: u}")), &[("x#user", "!no key of it holds")]);
}

/// Another form, other names and what a processor makes of a value come under keys that the list does not have.
#[test]
fn doppler_with_names_of_its_own_making_fills_keys_that_nobody_can_name() {
    let doppler = |spec: &str| {
        let spec = format!(
            "{{project: a, config: stg, secrets: [DB], managedSecret: {{name: d}}, tokenSecret: {{name: t}}{spec}}}"
        );
        object("secrets.doppler.com/v1alpha1", "DopplerSecret", "d", &spec)
    };
    for changed in
        [", nameTransformer: lower-snake", ", format: json", ", processors: {DB: {type: base64, asName: db}}"]
    {
        // Somebody else's claim to a key of that Secret is worth nothing any more.
        let claimant = super::external_secret(
            "e",
            "data: [{secretKey: db, remoteRef: {key: other}}]\ntarget: {name: d, creationPolicy: Merge}",
        );
        table(&format!("{}{claimant}", doppler(changed)), &[("other", "!no key of it holds")]);
    }
    let refused = |spec: &str| refusal(&super::claims::refgate_yaml(&doppler(spec)));
    assert_eq!(refused(""), "");
    for (inner, field) in [("name: t", "tokenSecret"), ("name: d", "managedSecret")] {
        let object = doppler("").replace(&format!("{{{inner}}}"), &format!("{{{inner}, hereafter: x}}"));
        let said = refusal(&super::claims::refgate_yaml(&object));
        assert!(said.contains(&format!("spec.{field}.hereafter")), "{said}");
    }
}

fn sops(name: &str, paths: &str) -> Value {
    json!({
        "apiVersion": "isindir.github.com/v1alpha3", "kind": "SopsSecret",
        "metadata": {"name": "s", "namespace": "team", "annotations": {"refgate.dev/paths": paths}},
        "spec": {"secretTemplates": [{"name": name, "stringData": {"url": CIPHER}}]},
    })
}

/// With `--encrypted-suffix=Templates` all below is encrypted, names included.
#[test]
fn a_name_that_sops_has_encrypted_is_told_or_asked_for() {
    assert_eq!(refusal(&sops(CIPHER, "web/url=x")), "");
    table(&format!("---\n{}", sops(CIPHER, "web/url=x")), &[("x", "A=web/url")]);
    let said = refusal(&sops(CIPHER, "url=x"));
    assert!(said.contains("the name of the Secret is encrypted"), "{said}");
    assert!(
        said.contains("SECRET/KEY=PATH") && said.contains("--encrypted-regex '^(data|stringData)$'"),
        "{said}"
    );
    assert!(refusal(&sops(CIPHER, "web/other=x")).contains("does not fill the key"));
    assert!(refusal(&sops("web", "job/url=x")).contains("does not fill the Secret"));
    // What nobody names, nobody finds, and no ciphertext is repeated.
    assert!(!refusal(&sops(CIPHER, "wbe url=x")).contains("ENC["));
    for name in ["Web_", ""] {
        assert!(refusal(&sops(CIPHER, &format!("{name}/url=x"))).contains("no name of a Secret"), "{name}");
    }
}

/// Azure keeps keys and certificates beside the secrets, under the same names; and a word for the current version is one of a
/// single system.
#[test]
fn what_only_the_store_can_tell_is_told_by_the_store() {
    let store = |provider: &str| {
        format!(
            "---\n{}",
            super::object("external-secrets.io/v1", "SecretStore", "s", &format!("{{provider: {provider}}}"))
        )
    };
    let azure = store("{azurekv: {vaultUrl: 'https://box.vault.azure.net'}}");
    let google = store("{gcpsm: {projectID: moz}}");
    let aws = store("{aws: {service: SecretsManager, region: r, prefix: g/a/stage/}}");
    let reads = |store: &str, remote: &str| {
        let spec =
            format!("{{secretStoreRef: {{name: s}}, data: [{{secretKey: k, remoteRef: {{{remote}}}}}]}}");
        format!("{store}{}", super::object("external-secrets.io/v1", "ExternalSecret", "e", &spec))
    };
    let none = "!no key of it holds";
    for (store, remote, expected) in [
        (&azure, "key: db", "A=e/k"),
        (&azure, "key: secret/db", "A=e/k"),
        (&azure, "key: cert/db", none),
        (&azure, "key: key/db", none),
        (&azure, "key: db, version: latest", none),
        (&google, "key: db", "A=e/k"),
        (&google, "key: db, version: latest", "A=e/k"),
        (&google, "key: db, version: AWSCURRENT", none),
        (&google, "key: db, version: '7'", none),
        (&aws, "key: db", "A=e/k"),
        (&aws, "key: db, version: AWSCURRENT", "A=e/k"),
        (&aws, "key: db, version: latest", none),
    ] {
        table(&reads(store, remote), &[("db", expected)]);
    }
    // Where names are paths, these words are segments like any others.
    let aws = store("{aws: {service: SecretsManager, region: r}}");
    let snapshot = snapshot(&reads(&aws, "key: g/a/stage/key/db"));
    assert_eq!(super::got(&snapshot, "key/db").0, "A=e/k");
}

/// What cannot be read is not said to be unbound.
#[test]
fn a_claim_that_is_no_path_is_said_to_be_none() {
    let binding = Binding::Bound { own: Scope::parse("g/a/stage").unwrap(), shared: Vec::new() };
    let why = |text: &str, binding: &Binding| match claimed(text, binding) {
        Verdict::Outside(_, why) => why,
        inside => panic!("{inside:?}"),
    };
    assert_eq!(why("x", &Binding::Unbound), "the namespace is bound to nothing");
    assert!(!why("", &binding).contains("bound to nothing"), "{}", why("", &binding));
}

/// A Secret that RefGate syncs is filled by no object, wherever in the object its name stands.
#[test]
fn no_object_fills_a_secret_that_refgate_syncs() {
    let catalogue = r#"---
apiVersion: v1
kind: ConfigMap
metadata: {name: catalogue.team, namespace: refgate-system, labels: {refgate.dev/catalogue: "true"}}
data: {catalogue: '[{"path": "g/a/stage/x", "secret": "ours", "keys": ["value"]}]'}
"#;
    let snapshot = snapshot(catalogue);
    let class = |secret: &str| {
        let objects =
            json!([{"secretName": secret, "type": "Opaque", "data": [{"objectName": "f", "key": "k"}]}]);
        let entry = "- {objectName: g/a/stage/x, objectType: secretsmanager, objectAlias: f}";
        object(
            "secrets-store.csi.x-k8s.io/v1",
            "SecretProviderClass",
            "c",
            &json!({
                "provider": "aws", "parameters": {"objects": entry}, "secretObjects": objects,
            })
            .to_string(),
        )
    };
    let templates = |name: &str| {
        let template = json!([{"name": name, "stringData": {"url": CIPHER}}]);
        object(
            "isindir.github.com/v1alpha3",
            "SopsSecret",
            "s",
            &json!({"secretTemplates": template}).to_string(),
        )
    };
    let vault = |name: &str| {
        let spec =
            format!("{{mount: secret, path: g/a/stage/smtp, type: kv-v2, destination: {{name: {name}}}}}");
        object("secrets.hashicorp.com/v1beta1", "VaultStaticSecret", "v", &spec)
    };
    let item = |name: &str| {
        object("onepassword.com/v1", "OnePasswordItem", name, "{itemPath: vaults/vault/items/smtp}")
    };
    let made = |name: &str| {
        let spec = format!("{{mount: pki, role: r, destination: {{name: {name}, create: true}}}}");
        object("secrets.hashicorp.com/v1beta1", "VaultPKISecret", "v", &spec)
    };
    let sync = |name: &str| {
        let spec = "{secretProviderClassName: c, serviceAccountName: d, secretObject: {data: [{sourcePath: f, targetKey: k}]}}";
        object("secret-sync.x-k8s.io/v1alpha1", "SecretSync", name, spec)
    };
    type Make<'m> = &'m dyn Fn(&str) -> String;
    let rows: [(Make<'_>, &str); 6] = [
        (&class, "spec.secretObjects"),
        (&templates, "spec.secretTemplates"),
        (&vault, "spec.destination.name"),
        (&item, "metadata.name"),
        (&made, "spec.destination.name"),
        (&sync, "metadata.name"),
    ];
    for (make, field) in rows {
        let said = |name: &str| {
            let object = super::claims::refgate_yaml(&make(name));
            let (group, version) = object["apiVersion"].as_str().unwrap().split_once('/').unwrap();
            let kind = json!({"group": group, "version": version, "kind": object["kind"]});
            let decision = decided(&snapshot, Endpoint::Validate, kind, &object);
            message(&decision).unwrap_or_default().to_owned()
        };
        assert!(!said("theirs").contains("RefGate syncs"), "{field}");
        let why = said("ours");
        assert!(
            why.contains("Secret ours is one that RefGate syncs") && why.contains(field),
            "{field}: {why}"
        );
    }
}

/// Which file of its class goes to which key, a SecretSync says, and which path the file holds, the class.
#[test]
fn a_secret_sync_fills_what_the_files_of_its_class_hold() {
    let class = |more: &str| {
        let entries = format!(
            "- {{objectName: g/a/stage/x, objectType: secretsmanager, objectAlias: f, jmesPath: [{{path: user, objectAlias: u}}]}}\n\
             - {{objectName: g/a/stage/y, objectType: secretsmanager}}\n{more}"
        );
        let spec = json!({"provider": "aws", "parameters": {"objects": entries}});
        object("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass", "c", &spec.to_string())
    };
    let sync = |class: &str| {
        let rows = [("f", "whole"), ("u", "name"), ("g_a_stage_y", "other"), ("none", "nobody")];
        let data: Vec<Value> =
            rows.iter().map(|(file, key)| json!({"sourcePath": file, "targetKey": key})).collect();
        let spec = json!({"secretProviderClassName": class, "serviceAccountName": "d", "secretObject": {"data": data}});
        object("secret-sync.x-k8s.io/v1alpha1", "SecretSync", "s", &spec.to_string())
    };
    let both = format!("{}{}", class(""), sync("c"));
    table(
        &both,
        &[
            ("x", "A=s/whole"),
            ("x#user", "A=s/name"),
            ("y", "A=s/other"),
            ("z", "!no object of the sync systems"),
        ],
    );
    table(&format!("{}{}", class(""), sync("nobody")), &[("x", "!no object of the sync systems")]);
    // Of two files of one name nobody knows which is there.
    let twice = class("- {objectName: g/a/stage/z, objectType: secretsmanager, objectAlias: f}\n");
    table(&format!("{twice}{}", sync("c")), &[("x", "!"), ("y", "A=s/other")]);
}
