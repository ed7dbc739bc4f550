//! The traps in what objects hold as data, `S16`, `S20`, `S21`: what other systems would resolve, copy, or should have decrypted, in
//! ConfigMaps and, in files, in Secrets. What the API server says of Secrets itself is in `manifests::secrets`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use refgate::cli::Against;
use refgate::cli::judge::{Judge, Judged};
use refgate::policy::decide;
use refgate::policy::decision::Decision;
use refgate::policy::path::Scope;
use refgate::policy::review::{Endpoint, parse};
use serde_json::{Value, json};

use super::external_secrets::{settings, world};
use super::{OWN, allowed, message, review};

const INSIDE: &str = "mozmeao/snippets/stage/x";
const SHARED: &str = "mozmeao/shared/stage/x";
const OUTSIDE: &str = "mozmeao/snippets/prod/x";
const SOPS: &str = "ENC[AES256_GCM,data:abc,iv:def,tag:ghi,type:str]";
const AGE: &str = "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n";

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data})
}

fn binary(bytes: &[u8]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"},
        "binaryData": {"k": STANDARD.encode(bytes)},
    })
}

/// What becomes of a ConfigMap, made or changed, where mount `secret` of Vault is mapped.
fn ask(object: &Value, old: &Value) -> Decision {
    let snapshot = world(&[], settings());
    let operation = if old.is_null() { "CREATE" } else { "UPDATE" };
    let kind = json!({"group": "", "version": "v1", "kind": "ConfigMap"});
    let body = review(json!({"operation": operation, "kind": kind, "object": object, "oldObject": old}));
    decide(&parse(&body, Endpoint::Validate, &snapshot.settings.judged).unwrap(), &snapshot)
}

fn one(value: &str) -> Decision {
    ask(&map(json!({"k": value})), &Value::Null)
}

#[test]
fn s16_what_bank_vaults_resolves_in_config_maps() {
    let arn = |path: &str| format!("arn:aws:secretsmanager:us-west-2:111122223333:secret:{path}-AbCdEf");
    for (value, expected) in [
        (format!("vault:secret/data/{INSIDE}#k"), true),
        (format!("vault:secret/data/{OUTSIDE}#k"), false),
        (format!("vault:secret/data/{OUTSIDE}#k\n"), false),
        (format!("vault:secret/data/{OUTSIDE}#${{.user}}:\n${{.password}}"), false),
        (format!("vault:secret/data/{INSIDE}#${{.user}}:\n${{.password}}"), true),
        (format!(">>vault:secret/data/{OUTSIDE}#k#{{}}"), false),
        // What writes, writes into its own scope alone.
        (format!(">>vault:secret/data/{INSIDE}#k#{{}}"), true),
        (format!(">>vault:secret/data/{SHARED}#k#{{}}"), false),
        (format!(">>vault:{SHARED}#k#{{}}"), false),
        (format!("vault:secret/data/{SHARED}#k"), true),
        (format!("a ${{>>vault:{SHARED}#k}}"), false),
        (format!("a ${{vault:{SHARED}#k}}"), true),
        (format!("bao:secret/data/{OUTSIDE}#k"), false),
        (format!(">>bao:secret/data/{OUTSIDE}#k"), false),
        (format!("bao:secret/data/{INSIDE}#k"), true),
        ("vault:login".to_owned(), false),
        ("vault:v1:8SDd3WHDOjf7mq69CyCqYjBXAiQQAVZRkFM13ok481zoCmHnSeDX9vyf7w==".to_owned(), false),
        // The client of Vault folds `..` away.
        (format!("vault: /../secret/data/{OUTSIDE}#k"), false),
        (format!("vault:\n/../secret/data/{OUTSIDE}#k"), false),
        ("vault:secret/data/mozmeao/snippets/stage/../prod/x#k".to_owned(), false),
        (arn(INSIDE), true),
        (arn(OUTSIDE), false),
        (format!("arn:aws:ssm:us-west-2:111122223333:parameter/{OUTSIDE}"), false),
        // Inside of a text, on any line of a file.
        (format!("pre-${{vault:secret/data/{OUTSIDE}#k}}-post"), false),
        (
            format!(
                "a: 1\nurl: db://${{vault:secret/data/{INSIDE}#u}}:${{>>bao:secret/data/{OUTSIDE}#p}}@db\n"
            ),
            false,
        ),
        (format!("a: 1\nurl: db://${{vault:secret/data/{INSIDE}#u}}@db\n"), true),
        (format!("${{vault:a{{b/../../secret/data/{OUTSIDE}#k}}"), false),
        (format!("${{vault:{}#k}}", "a/".repeat(1_000)), false),
        // What injectors take, once the value is an env var.
        ("op://vault/item/field".to_owned(), false),
        ("sm://project/name".to_owned(), false),
        ("gcp:secretmanager:projects/p/secrets/s".to_owned(), false),
        ("mine@azurekeyvault".to_owned(), false),
        // No tool resolves these.
        ("vault:8200".to_owned(), true),
        ("vault:\n  address: https://vault:8200 # the old one\n".to_owned(), true),
        ("#!/bin/sh\nexport A=${vault:-x} B=${bao:?}\n".to_owned(), true),
        (format!("paths:\n- vault:secret/data/{OUTSIDE}#k\n- {}\n", arn(OUTSIDE)), true),
        (format!("{}\n{}\n", arn(OUTSIDE), arn(OUTSIDE)), true),
    ] {
        for object in [map(json!({"k": value})), binary(value.as_bytes())] {
            let decision = ask(&object, &Value::Null);
            assert_eq!(allowed(&decision), expected, "S16 {object}: {decision:?}");
        }
    }
    let said = one(&format!("vault:secret/data/{OUTSIDE}#k"));
    assert_eq!(
        message(&said),
        "key k: this is a reference of Vault to secret/data/mozmeao/snippets/prod/x, which is not inside what this namespace may \
         read; write secret:NAME for a secret of its own scope, as the value of the container's env var"
    );
}

/// A reference is no plaintext, under whatever key, and what stands behind it in its file is judged all the same.
#[test]
fn s16_a_reference_is_no_plaintext() {
    let decision = ask(&map(json!({"DB_PASSWORD": format!("vault:secret/data/{INSIDE}#k")})), &Value::Null);
    assert!(allowed(&decision) && decision.findings.is_empty(), "{decision:?}");
    let file = format!("vault:secret/data/{INSIDE}#${{.a}}\nDB_PASSWORD=kR4vT9wqZ2pB\n");
    let decision = one(&file);
    assert_eq!(decision.findings.len(), 1, "{decision:?}");
}

/// Of an update only what it changes is judged, and a text that comes in place of another is new.
#[test]
fn s16_an_update_is_judged_on_the_keys_that_it_changes() {
    let outside = format!("vault:secret/data/{OUTSIDE}#k");
    let old = map(json!({"a": outside, "b": SOPS, "c": "x"}));
    for (data, expected) in [
        (json!({"a": outside, "b": SOPS, "c": "y"}), true),
        (json!({"a": outside, "b": SOPS, "c": outside}), false),
        (json!({"a": outside, "b": format!("{SOPS} "), "c": "x"}), false),
        (json!({"a": format!("{outside}2"), "b": SOPS, "c": "x"}), false),
        (json!({"b": outside, "c": "x"}), false),
        (json!({"c": "x"}), true),
    ] {
        let decision = ask(&map(data.clone()), &old);
        assert_eq!(allowed(&decision), expected, "S16 {data}: {decision:?}");
    }
}

#[test]
fn s21_what_nobody_decrypted_in_config_maps_and_pods() {
    let placeholder = "<path:secret/data/snippets#password>";
    for (value, expected) in [
        (SOPS, false),
        (placeholder, false),
        (AGE, false),
        ("age-encryption.org/v1\n-> X25519 a\n", false),
        ("a: <path:secret/data/snippets#password | base64encode>\n", false),
        ("<svg:path:x/>", true),
        ("<path:x>#</path:x>", true),
        ("age-encryption.org", true),
        ("see -----BEGIN AGE ENCRYPTED FILE-----", true),
    ] {
        assert_eq!(allowed(&one(value)), expected, "S21 {value}");
        let pod = super::env_value(value);
        assert_eq!(allowed(&super::create(&pod)), expected, "S21 {pod}");
    }
    assert!(!allowed(&ask(&binary(b"age-encryption.org/v1\n\xff\xfe"), &Value::Null)), "S21");
    for (bytes, expected) in
        [(&b"\0GITCRYPT\0\xc1\xf8\x9f\x9cP\xd1"[..], false), (b"\0GITCRYPT", false), (b"\0GIT\xff", true)]
    {
        assert_eq!(allowed(&ask(&binary(bytes), &Value::Null)), expected, "S21 {bytes:?}");
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": STANDARD.encode(bytes)},
        });
        assert_eq!(check(&secret).refusals.is_empty(), expected, "S21 {secret}");
    }
    assert!(!allowed(&one("\0GITCRYPT\0abc")), "S21");
}

/// The path that argocd-vault-plugin fills an object's own placeholders from.
#[test]
fn s16_the_annotation_that_fills_placeholders() {
    for (path, expected) in [
        (format!("secret/data/{INSIDE}"), true),
        (INSIDE.to_owned(), true),
        (format!("secret/data/{OUTSIDE}"), false),
    ] {
        let mut object = map(json!({"k": "<key>"}));
        object["metadata"]["annotations"] = json!({"avp.kubernetes.io/path": path});
        let decision = ask(&object, &Value::Null);
        assert_eq!(allowed(&decision), expected, "S16 {path}: {decision:?}");
    }
}

/// What `check` says of a file, in a namespace that is bound.
fn check(object: &Value) -> Judged {
    let scope = Some(Scope::parse(OWN).unwrap());
    let against = Against { scope, namespace: "snippets-stage".to_owned(), ..Against::default() };
    let mut judge = Judge::load_with_secrets(&against).unwrap();
    let workload = judge.workload(object).unwrap().unwrap();
    judge.judge(&workload).unwrap()
}

#[test]
fn s16_s21_values_of_secrets_in_files() {
    let secret = |field: &str, key: &str, value: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, field: {key: value}});
    let auth = |user: &str| STANDARD.encode(format!("{user}:vault:secret/data/x#p"));
    let docker = |auth: &str| json!({"auths": {"example.com": {"auth": auth}}}).to_string();
    let login =
        |user: &str| json!({"auths": {"example.com": {"username": user, "password": "x"}}}).to_string();
    for (key, value, expected) in [
        ("a", "vault:secret/data/x#k".to_owned(), false),
        ("a", format!("bao:{INSIDE}#k"), false),
        ("a", "arn:aws:secretsmanager:us-west-2:111122223333:secret:x".to_owned(), false),
        ("a", "url: db://${vault:secret/data/x#u}@db".to_owned(), false),
        ("a", AGE.to_owned(), false),
        ("a", "vault:8200".to_owned(), true),
        ("a", "arn:aws:iam::111122223333:role/x".to_owned(), true),
        (".dockerconfigjson", docker(&auth("vault:secret/data/x#u")), false),
        (".dockercfg", docker(&auth("bao:secret/data/x#u")), false),
        (".dockerconfigjson", docker(&auth("robot")), true),
        (".dockerconfigjson", login("vault:secret/data/x#u"), false),
        (".dockerconfigjson", login("vault"), true),
        // Go's decoders read the same in these.
        (
            ".dockerconfigjson",
            docker(&auth("vault:secret/data/x#u")).replace("\"dmF1", "\"\\u0064mF1"),
            false,
        ),
        (".dockerconfigjson", docker(&auth("vault:secret/data/x#u")).replace("\"dmF1", "\"d\\nmF1"), false),
        (".dockercfg", docker(&auth("vault:secret/data/x#u")).replace("\"dmF1", "\"\\r\\ndmF1"), false),
        (".dockerconfigjson", login("vault:secret/data/x#u").replace("vault", "\\u0076ault"), false),
        (".dockerconfigjson", login(">>vault:secret/data/x#u").replace(">>", "\\u003e\\u003e"), false),
        // Go's encoder writes these.
        (".dockerconfigjson", login("a<b>c&d").replace('<', "\\u003c").replace('>', "\\u003e"), true),
        (
            ".dockerconfigjson",
            login("{\n  \"private_key\": \"-----BEGIN KEY-----\\nMIIE\\u003d\\n\"\n}\n"),
            true,
        ),
        ("other", docker(&auth("vault:secret/data/x#u")), true),
    ] {
        for object in [secret("stringData", key, &value), secret("data", key, &STANDARD.encode(&value))] {
            let judged = check(&object);
            assert_eq!(judged.refusals.is_empty(), expected, "{object}: {judged:?}");
            assert!(expected || judged.denial.is_some(), "{object}: {judged:?}");
        }
    }
}

/// A copy across bindings is a read across bindings, of whatever is copied.
#[test]
fn s20_what_replicators_copy() {
    for kind in ["Secret", "ConfigMap"] {
        for (key, expected) in [
            ("reflector.v1.k8s.emberstack.com/reflects", false),
            ("reflector.v1.k8s.emberstack.com/reflection-auto-enabled", false),
            ("replicator.v1.mittwald.de/replicate-from", false),
            ("replicator.v1.mittwald.de/replicated-from-version", false),
            ("kubed.appscode.com/sync", false),
            ("kubed.appscode.com/origin", false),
            ("example.com/replicate-from", true),
        ] {
            let metadata = json!({"name": "x", "annotations": {key: "payroll/x"}});
            let judged = check(&json!({"apiVersion": "v1", "kind": kind, "metadata": metadata}));
            assert_eq!(judged.denial.is_none(), expected, "S20 {kind} {key}: {judged:?}");
        }
    }
}
