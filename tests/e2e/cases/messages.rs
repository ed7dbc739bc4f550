//! What kubectl prints, as the person at the keyboard sees it: each kind of denial and of warning, word for word.

use serde_json::json;

use crate::harness::golden::{assert, transcript};
use crate::harness::objects::{OPTION_PASSWORD, PASSWORD, URL_PASSWORD, pod};
use crate::harness::rights::grant;
use crate::harness::wait::until;
use crate::harness::world::{Namespace, World, scope_labels};

/// What somebody types, and the manifest that it reads.
type Typed<'a> = (&'a [&'a str], &'a str);

const APPLY: &[&str] = &["apply", "-f", "-"];

/// Runs commands one after the other and holds what is seen to the golden file.
fn holds(namespace: &Namespace<'_>, name: &str, typed: &[Typed<'_>]) {
    let mut seen = Vec::new();
    for (arguments, stdin) in typed {
        let arguments = [&["-n", &namespace.name], *arguments].concat();
        let ran = namespace.developer.kubectl.run_with(&arguments, stdin);
        seen.push(transcript(&arguments, stdin, &ran));
    }
    // Which of the developers of a run it is depends on the other tests.
    assert(name, &seen.join("\n").replace(&namespace.developer.name, "dana"));
}

/// A Deployment of one container; `env` and what follows is put into it as it stands.
fn deployment(container: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: snippets}}
spec:
  selector: {{matchLabels: {{app: snippets}}}}
  template:
    metadata: {{labels: {{app: snippets}}}}
    spec:
      containers:
      - name: web
        image: example.com/snippets:1
{container}"
    )
}

fn env(entries: &[(&str, &str)]) -> String {
    let line = |(name, value): &(&str, &str)| format!("        - {{name: {name}, value: \"{value}\"}}\n");
    format!("        env:\n{}", entries.iter().map(line).collect::<String>())
}

fn bare_pod(env: &[(&str, &str)]) -> String {
    let line = |(name, value): &(&str, &str)| format!("    - {{name: {name}, value: \"{value}\"}}\n");
    let env: String = env.iter().map(line).collect();
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: shell}}
spec:
  containers:
  - name: shell
    image: example.com/snippets:1
    env:
{env}"
    )
}

/// In a bound namespace: refused and warned of, at apply time and for bare pods.
pub fn of_workloads_and_pods(world: &World) {
    let synced = [
        ("mozmeao/snippets/stage/database_url", &[("value", "d")][..]),
        ("mozmeao/snippets/stage/smtp", &[("password", "p"), ("value", "{}")][..]),
    ];
    let namespace = world.bound("news-stage", "mozmeao/snippets/stage", &synced);
    // What the secret manager has besides, and nobody asked for yet.
    let entries = synced.map(|(path, keys)| {
        let keys: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
        json!({"path": path, "secret": refgate::policy::path::secret_name(path), "keys": keys, "version": "v1"})
    });
    namespace.catalogue(&entries, &["feature_key"]);
    until("RefGate knows what the secret manager has", || {
        let warnings = namespace.dry_run(&pod("known", &[("A", "secret:featur_key")])).warnings;
        warnings.iter().any(|warning| warning.contains("did you mean")).then_some(())
    });
    let url = format!("amqp://snippets:{URL_PASSWORD}@mq.example.com:5672/");
    let argument = format!("        args: [serve, --password={OPTION_PASSWORD}]\n");
    let plaintext = env(&[("DB_PASSWORD", PASSWORD), ("CELERY_BROKER_URL", &url)]) + &argument;
    holds(&namespace, "plaintext", &[(APPLY, &deployment(&plaintext))]);
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata:\n  SMTP_PASSWORD: {PASSWORD}\n  app.env: |\n    \
         LOG_LEVEL=info\n    DB_PASSWORD={PASSWORD}\n"
    );
    holds(&namespace, "config-map", &[(APPLY, &map)]);
    let foreign = "secret:/mozmeao/basket/prod/stripe_key";
    holds(&namespace, "foreign-path", &[(APPLY, &deployment(&env(&[("STRIPE_KEY", foreign)])))]);
    let by_pod = [
        (APPLY, &*bare_pod(&[("STRIPE_KEY", foreign), ("DATABASE_URL", "secret:database_url")])),
        (APPLY, &*bare_pod(&[("DB_PASSWORD", PASSWORD)])),
    ];
    holds(&namespace, "bare-pod", &by_pod);
    let wrong = env(&[("DATABASE_URL", "secret:databse_url"), ("SMTP_PASSWORD", "secret:smtp#pasword")]);
    // Each under a name of its own: of an update that is refused, kubectl prints its own patch besides.
    let option = deployment(&env(&[("SMTP_PASSWORD", "secret:smtp?optionl")]))
        .replace("{name: snippets}", "{name: option}");
    let typo =
        deployment(&env(&[("LOG_LEVEL", "info")])).replace("{name: snippets}", "{name: typo}").replace(
            "metadata: {labels: {app: snippets}}",
            "metadata: {labels: {app: snippets}, annotations: {refgate.dev/env-form: smtp}}",
        );
    let wrong: [Typed<'_>; 3] = [(APPLY, &deployment(&wrong)), (APPLY, &option), (APPLY, &typo)];
    holds(&namespace, "wrong-reference", &wrong);
    let waiting = bare_pod(&[("FEATURE_KEY", "secret:feature_key?optional")]);
    holds(&namespace, "not-synced-yet", &[(APPLY, &waiting)]);
    debug(&namespace);
}

/// `edit` may not debug; clusters give that right besides.
fn debug(namespace: &Namespace<'_>) {
    grant(namespace, &[("", "pods/ephemeralcontainers", &["patch"])]);
    namespace.developer.api.post(&namespace.path("pods"), &pod("web", &[("LOG_LEVEL", "info")])).ok();
    let debug = [
        "debug",
        "web",
        "--image=example.com/tools:1",
        "--container=tools",
        "--profile=general",
        "--attach=false",
    ];
    let with = |env: &'static str| [&debug[..], &[env]].concat();
    let (reference, plaintext) = (with("--env=TOKEN=secret:database_url"), with("--env=LOG_LEVEL=debug"));
    holds(namespace, "debug", &[(&reference, ""), (&plaintext, "")]);
}

/// Where nothing is bound, with RefGate there to answer.
pub fn of_an_unbound_namespace(world: &World) {
    let namespace = world.namespace("sandbox");
    let references = [("DATABASE_URL", "secret:database_url"), ("SMTP_PASSWORD", "secret:smtp#password")];
    let typed: [Typed<'_>; 2] = [(APPLY, &deployment(&env(&references))), (APPLY, &bare_pod(&references))];
    holds(&namespace, "unbound", &typed);
}

/// What the API server says itself, by the policies.
pub fn of_the_policies(world: &World) {
    let namespace = world.bound(
        "snippets-dev",
        "mozmeao/snippets/dev",
        &[("mozmeao/snippets/dev/smtp", &[("value", "v")])],
    );
    let secret = |metadata: &str, data: &str| {
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: mine{metadata}}}\nstringData: {{{data}}}\n")
    };
    let claim = secret(", annotations: {refgate.dev/path: mozmeao/snippets/dev/database_url}", "value: v");
    let synced = refgate::policy::path::secret_name("mozmeao/snippets/dev/smtp");
    let change =
        ["patch", "secret", &synced, "--type=merge", "--patch={\"stringData\":{\"value\":\"other\"}}"];
    holds(&namespace, "synced-secrets", &[(APPLY, &claim), (&change, "")]);
    let sops = secret("", "password: \"ENC[AES256_GCM,data:abcd]\"");
    let plugin = secret("", "password: \"<path:secret/data/snippets#password>\"");
    let reflector = ", annotations: {reflector.v1.k8s.emberstack.com/reflection-allowed: \"true\"}";
    let typed: [Typed<'_>; 3] = [(APPLY, &sops), (APPLY, &plugin), (APPLY, &secret(reflector, "a: b"))];
    holds(&namespace, "leftovers-and-copies", &typed);
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: mine}\ndata:\n  password: \"vault:secret/data/payroll#password\"\n";
    let copied = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: mine, annotations: {replicator.v1.mittwald.de/replicate-from: payroll/x}}\n";
    holds(&namespace, "references-in-data", &[(APPLY, map), (APPLY, copied)]);
    grant(&namespace, &[("", "namespaces", &["get", "patch", "update"])]);
    let rebind = ["label", "namespace", "snippets-dev", "refgate.dev/env=prod", "--overwrite"];
    let unbind =
        ["label", "namespace", "snippets-dev", "refgate.dev/group-", "refgate.dev/app-", "refgate.dev/env-"];
    let share = ["annotate", "namespace", "snippets-dev", "refgate.dev/shared-paths=mozmeao/basket/prod"];
    holds(&namespace, "binding", &[(&rebind, ""), (&unbind, ""), (&share, "")]);
}

/// Level restricted: warned of by default, refused where the namespace asks for it.
pub fn of_level_restricted(world: &World) {
    let synced = [("mozmeao/snippets/prod/database_url", &[("value", "d")][..])];
    let mut labels = scope_labels("mozmeao/snippets/prod");
    labels["refgate.dev/enforce"] = json!("baseline");
    labels["refgate.dev/warn"] = json!("restricted");
    let namespace = world.make("snippets-prod", labels.clone(), json!({}), &synced);
    let likely = deployment(&env(&[("DATABASE_URL", "secret:database_url"), ("BATCH_KEY", PASSWORD)]));
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: mine}}\nstringData: {{password: {PASSWORD}}}\n"
    );
    let claim = secret.replace(
        "metadata: {name: mine}",
        "metadata: {name: claim, annotations: {refgate.dev/path: mozmeao/snippets/prod/other}}",
    );
    // A claim is refused, and not warned of besides.
    let typed: [Typed<'_>; 3] = [(APPLY, &likely), (APPLY, &secret), (APPLY, &claim)];
    holds(&namespace, "restricted-warns", &typed);
    labels["refgate.dev/app"] = json!("strict");
    labels["refgate.dev/enforce"] = json!("restricted");
    let strict = world.make("strict-prod", labels, json!({}), &[]);
    holds(&strict, "restricted-denies", &typed);
}
