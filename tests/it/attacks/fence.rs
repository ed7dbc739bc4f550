//! Another team's Secret, by whatever names it: fields of a pod, other systems, volumes, what comes together late.

use super::*;

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
        ("a service that only starts like it", "arn:aws:ssmx:us-west-2:parameter/:/mozmeao/payroll/prod/x"),
        (
            "a ciphertext of a rotated transit key",
            "vault:v2:8SDd3WHDOjf7mq69CyCqYjBXAiQQAVZRkFM13ok481zoCmHnSeDX9vyf7w==",
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
