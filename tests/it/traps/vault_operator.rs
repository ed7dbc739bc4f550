//! The traps of Vault Secrets Operator, `S14`: what becomes of what it reads and of what engines make, plaintext, fields that are
//! not known; and that no doubt hides what can be decided.

use refgate::policy::carriers::settings::Mode;
use serde_json::{Value, json};

use super::external_secrets::{ask, object, world};
use super::other_systems::{INSIDE, OUTSIDE, mapped, table};
use super::{allowed, message};

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
    let by = |login: &str| {
        reads(json!({"mount": "secret", "type": "kv-v2", "path": INSIDE, "vaultAuthRef": login}))
    };
    table(&[
        ("S14", by("mine"), true),
        ("S14", by("snippets-stage/mine"), true),
        ("S14", by("payroll/auth"), false),
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
