//! What a tenant may try with the stores, the ExternalSecrets and the PushSecrets of their own namespace: identities that are
//! not theirs, places that look like others, the order of changes, and names that the operator puts together in another way.
//! Source of what the operator does: external-secrets/external-secrets `pkg/provider`, `pkg/controllers`.

use std::sync::Arc;

use refgate::world::World;
use serde_json::{Value, json};

use super::external_secrets::{NAMESPACES, ask, object, settings, world};
use super::other_systems::mapped;
use super::{allowed, message};

pub const INSIDE: &str = "mozmeao/snippets/stage/x";
pub const OUTSIDE: &str = "mozmeao/snippets/prod/x";

pub fn store(provider: Value) -> Value {
    object("external-secrets.io/v1", "SecretStore", "mine", json!({"provider": provider}))
}

pub fn vault(with: Value) -> Value {
    let mut provider = json!({"server": "https://vault", "version": "v2", "path": "secret", "auth": {}});
    provider.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    json!({"vault": provider})
}

pub fn reader(find: bool, key: &str) -> Value {
    let data = match find {
        true => json!({"dataFrom": [{"find": {"path": key, "name": {"regexp": ".*"}}}]}),
        false => json!({"data": [{"secretKey": "k", "remoteRef": {"key": key}}]}),
    };
    let mut spec = json!({"secretStoreRef": {"name": "mine"}, "target": {"name": "web"}});
    spec.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
    object("external-secrets.io/v1", "ExternalSecret", "web", spec)
}

/// What is no provider is said to be none, and nothing is said twice.
#[test]
fn a_store_without_one_provider_is_told_so() {
    for (provider, expected) in [
        (json!({}), "SecretStore mine, spec.provider: one provider belongs here, and no more"),
        (
            json!({"aws": {"service": "SecretsManager"}, "fake": {}}),
            "SecretStore mine, spec.provider: one provider belongs here, and no more",
        ),
        (
            json!({"fake": {}}),
            "SecretStore mine, spec.provider: provider fake is none that RefGate judges; those are AWS Secrets Manager and, with a row \
             in carriers.mappings of the configuration, AWS Parameter Store, Vault, Google Secret Manager, Azure Key Vault and Doppler",
        ),
    ] {
        let decision = ask(&world(&[], mapped()), &store(provider), None);
        assert_eq!(message(&decision), expected);
    }
    let without = object("kubernetes-client.io/v1", "ExternalSecret", "web", json!({"dataFrom": [INSIDE]}));
    let decision = ask(&world(&[], mapped()), &without, None);
    let said = message(&decision);
    assert!(said.contains("it does not name one provider; those that RefGate judges are AWS"), "{said}");
}

#[test]
fn fields_of_another_version_beside_the_provider_are_seen() {
    let snapshot = world(&[], mapped());
    for (settings, expected) in
        [(json!({"maxRetries": 3, "retryInterval": "1m"}), true), (json!({"hereafter": "x"}), false)]
    {
        let mut object = store(vault(json!({"auth": {"tokenSecretRef": {"name": "t", "key": "k"}}})));
        object["spec"]["retrySettings"] = settings;
        let decision = ask(&snapshot, &object, None);
        assert_eq!(allowed(&decision), expected, "{decision:?}");
    }
}

#[test]
fn what_looks_like_a_mapped_place_is_none() {
    for (what, provider, key, expected) in [
        ("the vault", json!({"azurekv": {"vaultUrl": "https://snippets-stage.vault.azure.net"}}), "db", true),
        (
            "in capitals",
            json!({"azurekv": {"vaultUrl": "https://Snippets-Stage.vault.azure.net/"}}),
            "DB",
            true,
        ),
        ("a host of the cluster", json!({"azurekv": {"vaultUrl": "https://snippets-stage"}}), "db", false),
        (
            "a user before another host",
            json!({"azurekv": {"vaultUrl": "https://snippets-stage.vault.azure.net@example.com"}}),
            "db",
            false,
        ),
        (
            "a fragment behind another host",
            json!({"azurekv": {"vaultUrl": "https://example.com/#snippets-stage.vault.azure.net"}}),
            "db",
            false,
        ),
        // The same name in another cloud is another vault, which anybody may own.
        ("China", json!({"azurekv": {"vaultUrl": "https://snippets-stage.vault.azure.cn"}}), "db", false),
        (
            "a government's",
            json!({"azurekv": {"vaultUrl": "https://snippets-stage.vault.usgovcloudapi.net"}}),
            "db",
            false,
        ),
        ("in full", json!({"azurekv": {"vaultUrl": "https://snippets-china.vault.azure.cn/"}}), "db", true),
        ("another vault", json!({"azurekv": {"vaultUrl": "https://payroll.vault.azure.net"}}), "db", false),
        (
            "a host called https",
            json!({"azurekv": {"vaultUrl": "https://https://snippets-stage.vault.azure.net"}}),
            "db",
            false,
        ),
        (
            "a path behind it",
            json!({"azurekv": {"vaultUrl": "https://snippets-stage.vault.azure.net//"}}),
            "db",
            false,
        ),
        (
            "without TLS",
            json!({"azurekv": {"vaultUrl": "http://snippets-stage.vault.azure.net"}}),
            "db",
            false,
        ),
        (
            "a user before it",
            json!({"azurekv": {"vaultUrl": "https://me:x@snippets-stage.vault.azure.net"}}),
            "db",
            false,
        ),
        (
            "what stands behind the second part is ignored",
            json!({"azurekv": {"vaultUrl": "https://snippets-stage.vault.azure.net"}}),
            "secret/db/../../x",
            true,
        ),
        (
            "another type",
            json!({"azurekv": {"vaultUrl": "https://snippets-stage.vault.azure.net"}}),
            "x/db",
            false,
        ),
        ("the project", json!({"gcpsm": {"projectID": "moz-stage"}}), "mozmeao--snippets--stage--x", true),
        (
            "of another scope",
            json!({"gcpsm": {"projectID": "moz-stage"}}),
            "mozmeao--snippets--stage2--x",
            false,
        ),
        ("its number", json!({"gcpsm": {"projectID": "123456"}}), "mozmeao--snippets--stage--x", false),
        ("the project of the cluster", json!({"gcpsm": {}}), "mozmeao--snippets--stage--x", false),
        (
            "a resource in the place of a name",
            json!({"gcpsm": {"projectID": "moz-stage"}}),
            "mozmeao--snippets--stage--x/versions/1/../../payroll",
            false,
        ),
        ("a config", json!({"doppler": {"project": "snippets", "config": "stg", "auth": {}}}), "DB", true),
        ("no config", json!({"doppler": {"auth": {}}}), "DB", false),
        (
            "a slash in the project",
            json!({"doppler": {"project": "snippets/stg", "config": "", "auth": {}}}),
            "DB",
            false,
        ),
    ] {
        let snapshot = world(&[store(provider.clone())], mapped());
        let decision = ask(&snapshot, &reader(false, key), None);
        assert_eq!(allowed(&decision), expected, "{what}: {provider} {key}: {decision:?}");
    }
}

#[test]
fn e24_mounts_of_vault_are_cut_off_as_the_operator_does_it() {
    // (path of the store, whether found, key, whether the store is let in, whether the reader is)
    for (mount, find, key, stores, reads) in [
        (json!("secret"), false, INSIDE, true, true),
        (json!("secret"), true, "mozmeao/snippets/stage", true, true),
        (json!("secret"), true, "mozmeao/snippets/sta", true, false),
        (json!("secret"), true, "secret/data/mozmeao/snippets/stage", true, false),
        // Of `secret/` nothing is cut off, and with an empty one the mount is `data`.
        (json!("secret/"), false, INSIDE, false, true),
        (json!("/secret"), false, INSIDE, false, true),
        (json!(""), false, "secret/data/mozmeao/snippets/stage/x", false, true),
        (json!(5), false, INSIDE, false, false),
        (json!("secret/data"), false, INSIDE, true, false),
        (json!("other"), false, "secret/data/mozmeao/snippets/stage/x", true, false),
        (json!("secret/../other"), false, INSIDE, true, false),
        (Value::Null, true, "secret/data/mozmeao/snippets/stage", true, true),
        (Value::Null, true, "secret/metadata/mozmeao/snippets/stage", true, false),
        (Value::Null, false, "secret/data/mozmeao/snippets/stage/x?version=1", true, false),
        (Value::Null, false, "secret//data/mozmeao/snippets/stage/x", true, false),
        (Value::Null, false, "payroll/secret/data/mozmeao/snippets/stage/x", true, false),
    ] {
        let store = store(vault(json!({"path": mount})));
        let decision = ask(&world(&[], mapped()), &store, None);
        assert_eq!(allowed(&decision), stores, "{mount}: {decision:?}");
        let decision = ask(&world(&[store], mapped()), &reader(find, key), None);
        assert_eq!(allowed(&decision), reads, "{mount} {find} {key}: {decision:?}");
    }
    // A mount that is called like the group of a scope: what is found there is asked for without its beginning.
    let mut settings = mapped();
    settings.carriers.mappings[0].place = "mozmeao".to_owned();
    let snapshot = world(&[store(vault(json!({"path": "mozmeao"})))], settings);
    for (find, key, expected) in [
        (false, "snippets/stage/x", false),
        (false, "mozmeao/mozmeao/snippets/stage/x", true),
        (true, "mozmeao/snippets/stage", false),
    ] {
        let decision = ask(&snapshot, &reader(find, key), None);
        assert_eq!(allowed(&decision), expected, "{find} {key}: {decision:?}");
    }
}

fn secret(name: &str) -> Value {
    json!({"name": name, "key": "value"})
}

/// A Secret that an earlier binding left is no credential, no certificate and no source.
#[test]
fn a_left_secret_is_named_by_no_store_and_no_push() {
    let text = format!(
        "{NAMESPACES}---\n{}\n---\n{}",
        store(json!({"aws": {"service": "SecretsManager", "region": "us-west-2"}})),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "catalogue.snippets-stage", "namespace": "refgate-system", "labels": {"refgate.dev/catalogue": "true"}},
            "data": {"catalogue": json!([{"path": OUTSIDE, "secret": "left", "keys": ["value"]}]).to_string()},
        })
    );
    let snapshot = World::read(&text).snapshot(Arc::new(settings()));
    for (what, of) in [
        (
            "a token",
            (|name| store(vault(json!({"auth": {"tokenSecretRef": secret(name)}})))) as fn(&str) -> Value,
        ),
        ("a certificate", |name| store(vault(json!({"caProvider": {"type": "Secret", "name": name}})))),
        ("a key of AWS", |name| {
            let auth = json!({"secretRef": {"secretAccessKeySecretRef": secret(name)}});
            store(json!({"aws": {"service": "SecretsManager", "region": "us-west-2", "auth": auth}}))
        }),
        ("a source", |name| {
            let to = json!([{"match": {"secretKey": "k", "remoteRef": {"remoteKey": INSIDE}}}]);
            let spec = json!({"secretStoreRefs": [{"name": "mine"}], "selector": {"secret": {"name": name}}, "data": to});
            object("external-secrets.io/v1alpha1", "PushSecret", "push", spec)
        }),
        ("a template", |name| {
            let mut object = reader(false, INSIDE);
            let from = json!({"secret": {"name": name, "items": [{"key": "value"}]}});
            object["spec"]["target"]["template"] = json!({"templateFrom": [from]});
            object
        }),
        ("a login", |name| {
            let spec = json!({"method": "jwt", "mount": "jwt", "jwt": {"role": "r", "secretRef": name}});
            object("secrets.hashicorp.com/v1beta1", "VaultAuth", "v", spec)
        }),
    ] {
        let decision = ask(&snapshot, &of("mine-alone"), None);
        assert!(allowed(&decision), "{what}: {decision:?}");
        let decision = ask(&snapshot, &of("left"), None);
        assert!(!allowed(&decision), "{what}: {decision:?}");
    }
}

/// Each step is let in by what is there when it is taken, and none of the orders ends outside.
#[test]
fn no_order_of_changes_leads_outside() {
    let aws = |prefix: &str| {
        store(json!({"aws": {"service": "SecretsManager", "region": "us-west-2", "prefix": prefix}}))
    };
    let push = |key: &str| {
        let to = json!([{"match": {"secretKey": "k", "remoteRef": {"remoteKey": key}}}]);
        let spec =
            json!({"secretStoreRefs": [{"name": "mine"}], "selector": {"secret": {"name": "s"}}, "data": to});
        object("external-secrets.io/v1alpha1", "PushSecret", "push", spec)
    };
    for user in [reader(false, "x"), push("x"), reader(true, "mozmeao/snippets/stage/")] {
        let found = user["spec"]["dataFrom"].is_array();
        let there = world(&[aws("mozmeao/snippets/stage/"), user.clone()], mapped());
        assert!(allowed(&ask(&there, &user, None)), "{user}");
        // The store turns away from under it, by its prefix, its system or its mount.
        for new in [
            aws("mozmeao/snippets/prod/"),
            store(
                json!({"aws": {"service": "ParameterStore", "region": "eu-west-1", "prefix": "mozmeao/snippets/prod/"}}),
            ),
            store(vault(json!({}))),
            store(json!({"gcpsm": {"projectID": "payroll"}})),
        ] {
            // Found by a path of its own, it is the same in another mount that its scope has.
            let is_inside = found && (new == aws("mozmeao/snippets/prod/") || new == store(vault(json!({}))));
            let decision = ask(&there, &new, Some(&aws("mozmeao/snippets/stage/")));
            assert_eq!(allowed(&decision), is_inside, "{user} {new}: {decision:?}");
            // It was deleted, and comes anew.
            let without = world(std::slice::from_ref(&user), mapped());
            let decision = ask(&without, &new, None);
            assert_eq!(allowed(&decision), is_inside, "{user} {new}: {decision:?}");
        }
    }
    // One of another kind by the same name is another store.
    let mut by_cluster = reader(false, "x");
    by_cluster["spec"]["secretStoreRef"]["kind"] = "ClusterSecretStore".into();
    let there = world(&[aws("mozmeao/snippets/stage/")], mapped());
    let decision = ask(&there, &by_cluster, None);
    assert!(message(&decision).contains("ClusterSecretStore mine is not there"), "{decision:?}");
    let mut misspelt = reader(false, "x");
    misspelt["spec"]["secretStoreRef"]["kind"] = "clustersecretstore".into();
    assert!(!allowed(&ask(&there, &misspelt, None)));
}

/// What stands beside the ciphertext says where the key is, and the operator goes there with what it has.
#[test]
fn s21_a_sops_secret_sends_the_operator_nowhere() {
    let snapshot = world(&[], settings());
    let spec = json!({"secretTemplates": [{"name": "web", "stringData": {"a": "ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]"}}]});
    let server = json!([{"vault_address": "https://example.com", "engine_path": "transit", "key_name": "k"}]);
    for (sops, expected) in [
        (json!({"age": [{"recipient": "age1x", "enc": "e"}], "mac": "ENC[a]"}), true),
        (json!({"kms": [{"arn": "arn:aws:kms:us-west-2:111122223333:key/k"}]}), true),
        (json!({"hc_vault": null, "azure_kv": []}), true),
        (json!({"hc_vault": server}), false),
        (json!({"key_groups": [{"hc_vault": server}]}), false),
        (json!({"azure_kv": [{"vault_url": "https://example.com", "name": "k"}]}), false),
        (json!({"azure_kv": [{"vault_url": "https://mine.vault.azure.net", "name": "k"}]}), true),
        (json!({"azure_kv": [{"vault_url": "https://mine.vault.usgovcloudapi.net/", "name": "k"}]}), true),
        (json!({"azure_kv": [{"vault_url": "http://mine.vault.azure.net", "name": "k"}]}), false),
        (json!({"azure_kv": [{"vault_url": "https://example.com/x.vault.azure.net", "name": "k"}]}), false),
        (json!({"azure_kv": [{"vault_url": "https://a@example.com#.vault.azure.net", "name": "k"}]}), false),
        (json!({"azure_kv": [{"vault_url": "https://.vault.azure.net", "name": "k"}]}), false),
        (json!({"hc_vault": [{"vault_address": "https://mine.vault.azure.net"}]}), false),
    ] {
        let mut object = object("isindir.github.com/v1alpha3", "SopsSecret", "s", spec.clone());
        object["sops"] = sops;
        let decision = ask(&snapshot, &object, None);
        assert_eq!(allowed(&decision), expected, "{object}: {decision:?}");
    }
}

/// By this label the sync knows its own Secrets, and a policy refuses it on any other.
#[test]
fn no_template_labels_a_secret_as_one_of_the_sync() {
    let store = json!({"provider": {"aws": {"service": "SecretsManager", "region": "us-west-2"}}});
    let snapshot = world(&[object("external-secrets.io/v1", "SecretStore", "aws", store)], mapped());
    let path = "mozmeao/snippets/stage/x";
    let cipher = format!("Ag{}", "B".repeat(400));
    let made = |labels: &Value| {
        let data = json!([{"secretKey": "k", "remoteRef": {"key": path}}]);
        let metadata = json!({"labels": labels});
        let vault = json!({"name": "web", "labels": labels});
        let entry = format!("- {{objectName: {path}, objectType: secretsmanager, objectAlias: f}}");
        let mounted = json!([{"secretName": "web", "type": "Opaque", "labels": labels, "data": []}]);
        let sops = json!([{"name": "web", "labels": labels, "stringData": {"a": "ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]"}}]);
        [
            object(
                "external-secrets.io/v1",
                "ExternalSecret",
                "web",
                json!({"secretStoreRef": {"name": "aws"}, "data": data, "target": {"template": {"metadata": metadata}}}),
            ),
            object(
                "bitnami.com/v1alpha1",
                "SealedSecret",
                "web",
                json!({"encryptedData": {"a": cipher}, "template": {"metadata": metadata}}),
            ),
            object(
                "kubernetes-client.io/v1",
                "ExternalSecret",
                "web",
                json!({"backendType": "secretsManager", "dataFrom": [path], "template": {"metadata": metadata}}),
            ),
            object(
                "secrets.hashicorp.com/v1beta1",
                "VaultStaticSecret",
                "web",
                json!({"mount": "secret", "type": "kv-v2", "path": path, "destination": vault}),
            ),
            object(
                "secrets-store.csi.x-k8s.io/v1",
                "SecretProviderClass",
                "web",
                json!({"provider": "aws", "parameters": {"objects": entry}, "secretObjects": mounted}),
            ),
            object("isindir.github.com/v1alpha3", "SopsSecret", "web", json!({"secretTemplates": sops})),
        ]
    };
    let key = "app.kubernetes.io/managed-by";
    for (labels, expected) in
        [(json!({key: "refgate"}), false), (json!({key: "Helm"}), true), (json!({"app": "refgate"}), true)]
    {
        for object in made(&labels) {
            let decision = ask(&snapshot, &object, None);
            assert_eq!(allowed(&decision), expected, "{object}: {decision:?}");
        }
    }
}

/// A reader that is wrong by itself is refused itself, and not once more at its store.
#[test]
fn one_wrong_reader_is_refused_once() {
    let at = |prefix: &str| {
        store(json!({"aws": {"service": "SecretsManager", "region": "us-west-2", "prefix": prefix}}))
    };
    let wrong = reader(false, "mozmeao/basket/prod/stripe_key");
    let snapshot = world(&[at(""), wrong.clone()], settings());
    assert!(!allowed(&ask(&snapshot, &wrong, None)));
    // Files that hold both, and an update of something else in the store.
    assert!(allowed(&ask(&snapshot, &at(""), None)));
    let mut slower = at("");
    slower["spec"]["refreshInterval"] = json!(60);
    assert!(allowed(&ask(&snapshot, &slower, Some(&at("")))));
    // A store that comes from elsewhere to where this replica still sees it may have had other readers meanwhile.
    assert!(!allowed(&ask(&snapshot, &at(""), Some(&at("mozmeao/shared/stage/")))));
}
