//! What a tenant may write for injectors and operators that read annotations: each attempt is something that the tool would
//! take, by its own source, and that a fence which compares keys and paths as they stand would not see.

use refgate::policy::decide;
use refgate::policy::decision::Decision;
use refgate::policy::review::{Endpoint, parse};
use refgate::policy::snapshot::Snapshot;
use serde_json::{Value, json};

use super::external_secrets::world;
use super::other_systems::mapped;
use super::{allowed, message, pod, review};

const INSIDE: &str = "mozmeao/snippets/stage/x";
const OUTSIDE: &str = "mozmeao/snippets/prod/x";

fn ask(snapshot: &Snapshot, request: Value) -> Decision {
    let body = review(request);
    decide(&parse(&body, Endpoint::Validate, &snapshot.settings.kinds).unwrap(), snapshot)
}

fn table(rows: &[(&str, String, String, bool)]) {
    let snapshot = world(&[], mapped());
    for (what, key, value, expected) in rows {
        let mut pod = pod(json!([]));
        pod["metadata"]["annotations"] = json!({key: value});
        let decision = ask(&snapshot, json!({"object": pod}));
        assert_eq!(allowed(&decision), *expected, "{what}: {key}: {value}: {decision:?}");
    }
}

fn row(what: &'static str, key: &str, value: &str, expected: bool) -> (&'static str, String, String, bool) {
    (what, key.to_owned(), value.to_owned(), expected)
}

#[test]
fn s12_s13_agents_of_vault_and_openbao() {
    let template = |inner: &str| format!("{{{{ {inner} }}}}{{{{ end }}}}");
    let mut rows = Vec::new();
    for domain in ["vault.hashicorp.com", "openbao.openbao.org"] {
        let key = |name: &str| format!("{domain}/{name}");
        let inside = format!("secret/data/{INSIDE}");
        let outside = format!("secret/data/{OUTSIDE}");
        rows.extend([
            row("S12: a path", &key("agent-inject-secret-x"), &inside, true),
            row("S12: a path", &key("agent-inject-secret-x"), &outside, false),
            // vault-k8s `secrets()` asks whether the key contains the name, not whether it begins with it.
            row("S12: a longer domain", &format!("x.{}", key("agent-inject-secret-x")), &outside, false),
            row("S12: a longer domain", &format!("x.{}", key("agent-inject-secret-x")), &inside, true),
            row(
                "S12: a template",
                &key("agent-inject-template-x"),
                &template(&format!("with secret \"{inside}\"")),
                true,
            ),
            row(
                "S12: a template",
                &key("agent-inject-template-x"),
                &template(&format!("with secret \"{outside}\"")),
                false,
            ),
            row(
                "S12: what is piped in becomes an argument, and then it is written",
                &key("agent-inject-template-x"),
                &template(&format!("with \"a=b\" | secret \"{inside}\"")),
                false,
            ),
            row(
                "S12: a path that is piped in",
                &key("agent-inject-template-x"),
                &template(&format!("with \"{outside}\" | secret")),
                false,
            ),
            row("S12: of a version", &key("agent-inject-secret-x"), &format!("{inside}?version=2"), true),
            row("S12: no version", &key("agent-inject-secret-x"), &format!("{inside}?list=true"), false),
            // The agent pastes it between the quotes of a template, as a whole.
            row(
                "S12: a template in the path",
                &key("agent-inject-secret-x"),
                &format!("{inside}#\" }}}}{{{{ end }}}}{{{{ with secret \"{outside}"),
                false,
            ),
            row("S12: no list", &key("agent-inject-secret-x"), &format!("{inside},{outside}"), false),
            // A template between other marks reads as a text that has no actions.
            row("S12: other marks", &key("agent-template-left-delim-x"), "[[", false),
            row("S12: other marks", &key("agent-template-right-delim-x"), "]]", false),
            row("S13: another server", &key("service"), "https://vault.example.com", false),
            row("S13: another server", &key("proxy-address"), "https://proxy.example.com", false),
            row("S13: another tree of the same names", &key("namespace"), "payroll", false),
            row("S13: the token of the agent for all who ask", &key("agent-cache-enable"), "true", false),
            row("S13: the token of the agent for all who ask", &key("agent-cache-enable"), "false", true),
            row("S13: a token", &key("agent-inject-token"), "true", false),
            row("S13: no token", &key("agent-inject-token"), "false", true),
            row("S13: files with templates", &key("agent-inject-template-file-x"), "/mine", false),
            row("S13: a command", &key("agent-inject-command-x"), "id", false),
            row("S13: a configuration", &key("agent-configmap"), "mine", false),
            row("S13: a patch", &key("agent-json-patch"), "[]", false),
            row("S13: a patch", &key("agent-init-json-patch"), "[]", false),
            row("a role of its own", &key("role"), "snippets", true),
            row("a switch", &key("agent-inject"), "true", true),
        ]);
    }
    table(&rows);
}

#[test]
fn a_setting_that_is_refused_is_said_to_be_one() {
    let snapshot = world(&[], mapped());
    let mut pod = pod(json!([]));
    pod["metadata"]["annotations"] = json!({"vault.hashicorp.com/service": "https://vault.example.com"});
    let decision = ask(&snapshot, json!({"object": pod}));
    assert_eq!(
        message(&decision),
        "annotation vault.hashicorp.com/service: by it Vault Agent reaches more than one path that could be compared, or another \
         place than the usual one; leave it out, or write secret:NAME for a secret of its own scope"
    );
}

#[test]
fn s16_bank_vaults_of_each_name() {
    let mut rows = Vec::new();
    for (domain, name) in [
        ("secrets-webhook.security.bank-vaults.io", "vault"),
        ("secrets-webhook.security.bank-vaults.io", "bao"),
        ("vault.security.banzaicloud.io", "vault"),
    ] {
        let key = |tail: &str| format!("{domain}/{name}-{tail}");
        let both = format!("secret/data/{INSIDE},secret/data/{OUTSIDE}#2");
        rows.extend([
            row("S16: one path", &key("from-path"), &format!("secret/data/{INSIDE}"), true),
            row("S16: a list", &key("from-path"), &both, false),
            row("S16: a version", &key("from-path"), &format!("secret/data/{INSIDE}#2"), true),
            row("S16: no version", &key("from-path"), &format!("secret/data/{INSIDE}#../../prod/x"), false),
            row("S16: the older name", &key("env-from-path"), &both, false),
            row("a configuration", &key("agent-configmap"), "mine", false),
            row("a configuration", &key("ct-configmap"), "mine", false),
            row("another tree of the same names", &key("namespace"), "payroll", false),
            row("another server", &key("addr"), "https://vault.example.com", false),
            row("another engine that decrypts", &key("transit-path"), "payroll", false),
            row("a role of its own", &key("role"), "snippets", true),
        ]);
    }
    let arn = |account: &str, path: &str| {
        format!("arn:aws:secretsmanager:us-west-2:{account}:secret:{path}-AbCdEf")
    };
    for domain in ["secrets-webhook.security.bank-vaults.io", "vault.security.banzaicloud.io"] {
        let key = |name: &str| format!("{domain}/aws-{name}");
        rows.extend([
            row("S16: an ARN", &key("tls-secret-arn"), &arn("111122223333", INSIDE), true),
            row("S16: an ARN", &key("tls-secret-arn"), &arn("111122223333", OUTSIDE), false),
            row("S16: another account", &key("tls-secret-arn"), &arn("999999999999", INSIDE), false),
            row("S16: no ARN", &key("tls-secret-arn"), INSIDE, false),
            row("a region", &key("region"), "us-west-2", true),
            row("another region", &key("region"), "eu-west-1", false),
        ]);
    }
    rows.push(row(
        "whoever may read it",
        "secrets-webhook.security.bank-vaults.io/credentials-namespace",
        "payroll",
        false,
    ));
    table(&rows);
}

/// By the other annotation the operator fills a Secret, which is none that the sync writes.
#[test]
fn s17_a_workload_does_not_fill_a_secret_of_the_sync() {
    let (mapped, path) = (world(&[], mapped()), format!("{}/y", super::OWN));
    let snapshot = super::synced(mapped, &path, "web");
    for (name, expected) in [("mine", true), ("web", false)] {
        let annotations = json!({
            "operator.1password.io/item-path": "vaults/Snippets Stage/items/db", "operator.1password.io/item-name": name,
        });
        let mut deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "snippets-stage"},
            "spec": {"template": {"metadata": {}, "spec": {"containers": [{"name": "web", "image": "i"}]}}},
        });
        for pointer in ["/metadata", "/spec/template/metadata"] {
            let before = deployment.clone();
            deployment.pointer_mut(pointer).unwrap()["annotations"] = annotations.clone();
            let kind = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
            let decision = ask(&snapshot, json!({"kind": kind, "object": deployment}));
            assert_eq!(allowed(&decision), expected, "S17 {pointer} {name}: {decision:?}");
            deployment = before;
        }
    }
}

/// The operator reads the annotations of a Deployment, and those of its template only where it has none.
#[test]
fn s17_items_of_1password_in_annotations() {
    let snapshot = world(&[], mapped());
    let key = "operator.1password.io/item-path";
    for (value, expected) in [
        ("vaults/Snippets Stage/items/db", true),
        ("vaults/Payroll/items/db", false),
        ("vaults/Snippets Stage/items/db/x", false),
        ("vaults/Payroll/items/db,vaults/Snippets Stage/items/db", false),
        ("Snippets Stage/db", false),
        ("", false),
    ] {
        let own = json!({key: value, "operator.1password.io/item-name": "mine"});
        let template = json!({"metadata": {}, "spec": {"containers": [{"name": "web", "image": "i"}]}});
        let mut deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "d", "namespace": "snippets-stage"}, "spec": {"template": template},
        });
        for pointer in ["/metadata", "/spec/template/metadata"] {
            let before = deployment.clone();
            deployment.pointer_mut(pointer).unwrap()["annotations"] = own.clone();
            let kind = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
            let made = ask(&snapshot, json!({"kind": kind, "object": deployment}));
            assert_eq!(allowed(&made), expected, "{pointer} {value}: {made:?}");
            // Nor afterwards.
            let changed =
                json!({"kind": kind, "operation": "UPDATE", "object": deployment, "oldObject": before});
            let decision = ask(&snapshot, changed);
            assert_eq!(allowed(&decision), expected, "{pointer} {value}: {decision:?}");
            deployment = before;
        }
    }
}
