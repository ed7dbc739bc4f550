//! What stands in pods for other systems, as the values of env vars and as annotations: `S12`, `S13`, `S15`, `S17`.

use refgate::policy::decide;
use refgate::policy::review::{Endpoint, parse};
use refgate::policy::snapshot::Settings;
use serde_json::json;

use super::external_secrets::world;
use super::other_systems::{INSIDE, OUTSIDE, mapped};
use super::{allowed, create, message, pod, review};

const SHARED: &str = "mozmeao/shared/stage/x";

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
        ("S17", "op://Snippets Stage/Database Credentials/password".to_owned(), true),
        ("S17", "op://Payroll/Database Credentials/password".to_owned(), false),
        ("S17", "op://Payroll/db/password".to_owned(), false),
        ("S17", "sm://moz-stage/mozmeao--snippets--stage--x?destination=tempfile#2".to_owned(), true),
        ("S17", "sm://moz-stage/mozmeao--snippets--prod--x".to_owned(), false),
        ("S17", "sm://moz-prod/mozmeao--snippets--stage--x".to_owned(), false),
        ("S17", "sm://moz-stage/../mozmeao--snippets--stage--x".to_owned(), false),
        ("S17", "berglas://moz-stage/mozmeao--snippets--stage--x".to_owned(), false),
        ("S17", format!("ref+awssecrets://{INSIDE}"), true),
        ("S17", format!("secretref+awssecrets://{INSIDE}#/key"), true),
        ("S17", format!("ref+awssecrets://{INSIDE}?region=us-west-2&version_stage=AWSCURRENT#/key"), true),
        ("S17", format!("ref+awssecrets://{INSIDE}?region=eu-west-1"), false),
        ("S17", format!("ref+awssecrets://{INSIDE}?role_arn=arn:aws:iam::111122223333:role/x"), true),
        ("S17", format!("ref+awssecrets://{INSIDE}?role_arn=arn:aws:iam::999999999999:role/x"), false),
        ("S17", format!("ref+awssecrets://{INSIDE}?version=1;region=eu-west-1"), false),
        ("S17", format!("ref+awssecrets://{INSIDE}?%72egion=eu-west-1"), false),
        ("S17", format!("ref+vault://{INSIDE}?address=https://vault.example.com"), false),
        ("S17", format!("ref+vault://{INSIDE}?version=2&namespace=payroll#/key"), false),
        ("S17", format!("ref+awssecrets://{OUTSIDE}"), false),
        ("S17", format!("secretref+awssecrets://{OUTSIDE}"), false),
        // A `+` ends one, and the next begins.
        ("S17", format!("ref+awssecrets://{INSIDE}#/key+ref+awssecrets://{OUTSIDE}"), false),
        ("S17", format!("ref+awssecrets://{INSIDE}#/key+"), true),
    ] {
        let request = json!({"object": pod(json!([{"name": "A", "value": value}]))});
        let body = review(request);
        let parsed = parse(&body, Endpoint::Validate, &snapshot.settings.kinds).unwrap();
        let decision = decide(&parsed, &snapshot);
        assert_eq!(allowed(&decision), expected, "{id} {value}: {decision:?}");
    }
}

/// Where a row of the configuration is all that is missing, the refusal is that row.
#[test]
fn s12_s15_s17_a_refusal_names_the_row_that_is_missing() {
    let snapshot = world(&[], Settings::default());
    let row = |system: &str, place: &str| {
        format!("{{system: {system}, match: mozmeao/snippets/stage, place: {place}}}")
    };
    for (value, expected) in [
        (format!("vault:secret/data/{INSIDE}#k"), Some(row("vault", "secret"))),
        (format!("pre-${{vault:secret/data/{INSIDE}#k}}"), Some(row("vault", "secret"))),
        // No row gives it what is another scope's.
        (format!("vault:secret/data/{OUTSIDE}#k"), None),
        ("vault:login".to_owned(), None),
        ("gcp:secretmanager:projects/moz/secrets/db/versions/1".to_owned(), Some(row("google", "moz"))),
        ("sm://moz/db".to_owned(), Some(row("google", "moz"))),
        ("op://Snippets/db/password".to_owned(), Some(row("1password", "Snippets"))),
        ("berglas://bucket/db".to_owned(), None),
    ] {
        let body = review(json!({"object": pod(json!([{"name": "A", "value": value}]))}));
        let decision =
            decide(&parse(&body, Endpoint::Validate, &snapshot.settings.kinds).unwrap(), &snapshot);
        let said = message(&decision);
        assert_eq!(said.contains("needs the row"), expected.is_some(), "{value}: {said}");
        assert!(said.contains(&expected.unwrap_or_default()), "{value}: {said}");
        assert!(said.contains("write secret:NAME for a secret of its own scope"), "{value}: {said}");
    }
    let key = "vault.hashicorp.com/agent-inject-secret-x";
    let mut annotated = pod(json!([]));
    annotated["metadata"]["annotations"] = json!({key: format!("secret/data/{INSIDE}")});
    let body = review(json!({"object": annotated}));
    let decision = decide(&parse(&body, Endpoint::Validate, &snapshot.settings.kinds).unwrap(), &snapshot);
    assert_eq!(
        message(&decision),
        "annotation vault.hashicorp.com/agent-inject-secret-x: this is a reference of Vault Agent to \
         secret/data/mozmeao/snippets/stage/x, which is not inside what this namespace may read: nothing maps it to a path; where \
         mozmeao/snippets/stage may have it, carriers.mappings of the configuration needs the row {system: vault, match: \
         mozmeao/snippets/stage, place: secret}; or write secret:NAME for a secret of its own scope"
    );
}
