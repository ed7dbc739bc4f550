//! What somebody meant who wrote a reference nearly right, or where nothing resolves it: the message says it, and the form that it
//! shows works.

use std::sync::Arc;

use refgate::cli::judge::patched;
use refgate::policy::decide;
use refgate::policy::decision::{Decision, Outcome};
use refgate::policy::path::Scope;
use refgate::policy::review::{Endpoint, parse};
use refgate::policy::snapshot::{Settings, Snapshot};
use refgate::world::World;
use serde_json::{Value, json};

const WORLD: &str = r#"
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {refgate.dev/group: acme, refgate.dev/app: shop, refgate.dev/env: live}
  annotations: {refgate.dev/shared-paths: acme/common/live}
---
apiVersion: v1
kind: Namespace
metadata: {name: free}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: catalogue.shop, namespace: refgate-system, labels: {refgate.dev/catalogue: "true"}}
data:
  catalogue: |
    [{"path": "acme/common/live/dsn", "secret": "dsn-1", "keys": ["value"], "version": "v1"},
     {"path": "acme/shop/live/mailer", "secret": "mailer-1", "keys": ["pass", "port", "value"], "version": "v1"},
     {"path": "acme/shop/live/registry", "secret": "registry-1", "keys": [".2edockerconfigjson", "value"], "version": "v1"}]
  known: |
    ["queue"]
"#;

fn ask(endpoint: Endpoint, namespace: &str, kind: &str, object: &Value) -> Decision {
    let snapshot: Snapshot = World::read(WORLD).snapshot(Arc::new(Settings::default()));
    let group = if kind == "Deployment" { "apps" } else { "" };
    let resource =
        if kind == "ConfigMap" { "configmaps".to_owned() } else { format!("{}s", kind.to_lowercase()) };
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": "CREATE", "namespace": namespace, "userInfo": {"username": "dev"},
        "kind": {"group": group, "version": "v1", "kind": kind},
        "resource": {"group": group, "version": "v1", "resource": resource},
        "object": object, "oldObject": null,
    }});
    let body = serde_json::to_vec(&review).unwrap();
    decide(&parse(&body, endpoint, &snapshot.settings.judged).unwrap(), &snapshot)
}

fn workload(container: &Value, annotations: &Value) -> Value {
    let mut web = json!({"name": "web", "image": "i"});
    web.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
    let pod = json!({"metadata": {"annotations": annotations}, "spec": {"containers": [web]}});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"template": pod}})
}

fn env(entries: &[(&str, &str)]) -> Value {
    let entries: Vec<Value> =
        entries.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({"env": entries})
}

/// All that is said of a Deployment with this container.
fn said(container: &Value) -> (bool, String) {
    told(&ask(Endpoint::Validate, "shop", "Deployment", &workload(container, &json!({}))))
}

fn told(decision: &Decision) -> (bool, String) {
    match &decision.outcome {
        Outcome::Allow => (true, decision.warnings.join("\n")),
        Outcome::Deny { message, .. } => (false, message.clone()),
        other => panic!("{other:?}"),
    }
}

/// The env of a pod with these entries as it starts, by the mutating webhook.
fn started(entries: &[(&str, &str)]) -> Vec<Value> {
    let pod = json!({"metadata": {"generateName": "p-"}, "spec": {"containers": [env(entries)]}});
    let mut pod = pod;
    pod["spec"]["containers"][0]["name"] = json!("web");
    let decision = ask(Endpoint::Mutate, "shop", "Pod", &pod);
    assert_eq!(decision.outcome, Outcome::Allow, "{entries:?}");
    let pod = decision.patch.map_or_else(|| pod.clone(), |patch| patched(&pod, &patch).unwrap());
    pod["spec"]["containers"][0]["env"].as_array().unwrap().clone()
}

/// A reference resolves, to this Secret and key.
fn resolves(value: &str, secret: &str, key: &str) {
    let env = started(&[("A", value)]);
    assert_eq!(env[0]["valueFrom"]["secretKeyRef"], json!({"name": secret, "key": key}), "{value}");
    let (allowed, said) = said(&env_of(value));
    assert!(allowed && !said.contains("did you mean") && !said.contains("not synced"), "{value}: {said}");
}

fn env_of(value: &str) -> Value {
    env(&[("A", value)])
}

#[test]
fn a_reference_that_is_nearly_right_is_told_how_it_is_right() {
    for (written, allowed, says, right) in [
        // The slash that makes a path start at the root.
        (
            "secret:acme/shop/live/mailer#pass",
            false,
            "from the root: /acme/shop/live/mailer",
            "/acme/shop/live/mailer#pass",
        ),
        (
            "secret:acme/common/live/dsn",
            false,
            "from the root: /acme/common/live/dsn",
            "/acme/common/live/dsn",
        ),
        ("secret:acme/shop/live", false, "/acme/shop/live/NAME", "/acme/shop/live/mailer"),
        ("secret:/acme/shop/live", false, "/acme/shop/live/NAME", "/acme/shop/live/mailer"),
        ("secret:/acme/common/live", false, "/acme/common/live/NAME", "/acme/common/live/dsn"),
        ("secret:/mailer", false, "leave the slash out: mailer", "mailer"),
        (
            "secret://acme/shop/live/mailer",
            false,
            "begins with one: /group/app/env/name",
            "/acme/shop/live/mailer",
        ),
        ("secret:mailer/", false, "leave that slash out", "mailer"),
        ("secret:acme//shop", false, "one slash between two segments", "mailer"),
        ("secret:./mailer", false, "leave that out", "mailer"),
        ("secret:..\\mailer", false, "segments are divided by /", "mailer"),
        // A property.
        ("secret:mailer.port", true, "did you mean mailer#port?", "mailer#port"),
        ("secret:mailer/port", true, "did you mean mailer#port?", "mailer#port"),
        ("secret:mailer_pass", true, "did you mean mailer#pass?", "mailer#pass"),
        (
            "secret:/acme/shop/live/mailer.port",
            true,
            "did you mean /acme/shop/live/mailer#port?",
            "/acme/shop/live/mailer#port",
        ),
        ("secret:mailer:port", false, "a property of a JSON secret stands behind #", "mailer#port"),
        ("secret:mailer#", false, "nothing stands behind #", "mailer"),
        ("secret:mailer#PORT", true, "did you mean #port?", "mailer#port"),
        ("secret:mailer?optional#port", false, "name#property?optional", "mailer#port"),
        // Its case, and what stands around it.
        ("secret:MAILER", true, "did you mean mailer?", "mailer"),
        ("secret:Queue", true, "did you mean queue?", ""),
        ("secret: mailer", false, "a blank or a line break", "mailer"),
        ("secret:mailer\n", false, "a blank or a line break", "mailer"),
        ("secret:\"mailer\"", false, "a quote", "mailer"),
        ("secret:secret:mailer", false, "write secret: once", "mailer"),
        ("SECRET:mailer", true, "write secret:NAME", "mailer"),
        (" secret:mailer", true, "write secret:mailer,", "mailer"),
        ("\"secret:mailer\"", true, "write secret:mailer,", "mailer"),
        ("'secret:mailer#port'", true, "write secret:mailer#port,", "mailer#port"),
        ("${secret:mailer}", true, "write secret:mailer,", "mailer"),
        ("secret+env:mailer", true, "write secret:mailer,", "mailer"),
        ("{{ secret:elsewhere }}", true, "write secret:NAME,", "mailer"),
    ] {
        let (is_allowed, said) = said(&env_of(written));
        assert!(said.contains(says) && is_allowed == allowed, "{written}: {is_allowed} {said}");
        let (secret, key) = match right.split_once('#') {
            Some((_, property)) => ("mailer-1", property),
            None if right.ends_with("dsn") => ("dsn-1", "value"),
            None => ("mailer-1", "value"),
        };
        if !right.is_empty() {
            resolves(&format!("secret:{right}"), secret, key);
        }
    }
}

#[test]
fn the_value_of_an_annotation_is_told_the_same() {
    for (key, value, says) in [
        ("env.refgate.dev/A", "secret:mailer", "not at all before that of an annotation"),
        ("env.refgate.dev/A", "Secret:mailer", "not at all before that of an annotation"),
        ("file.refgate.dev/a", "//acme/shop/live/mailer", "begins with one: /group/app/env/name"),
        ("file.refgate.dev/a", "mailer ", "a blank or a line break"),
        ("env.refgate.dev/A", "acme/shop/live/mailer", "from the root: /acme/shop/live/mailer"),
        ("refgate.dev/env-from", "secret:mailer", "not at all before that of an annotation"),
    ] {
        let object = workload(&json!({}), &json!({key: value}));
        let (allowed, said) = told(&ask(Endpoint::Validate, "shop", "Deployment", &object));
        assert!(!allowed && said.contains(says), "{key}: {value}: {said}");
    }
    for (key, value) in [
        ("env.refgate.dev/A", "mailer"),
        ("file.refgate.dev/a", "/acme/shop/live/mailer"),
        ("refgate.dev/env-from", "mailer"),
    ] {
        let object = workload(&json!({}), &json!({key: value}));
        assert!(told(&ask(Endpoint::Validate, "shop", "Deployment", &object)).0, "{key}");
    }
}

#[test]
fn scopes_of_the_command_line_are_told_too() {
    for (text, says) in [
        ("/acme/shop/live", "slash before or behind it"),
        ("acme/shop/live/", "slash before or behind it"),
        ("Acme/shop/live", "lower-case"),
        ("acme/shop/live/x", "a scope is group/app/env"),
    ] {
        let error = Scope::parse(text).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
    let error = Scope::shared("/acme/common/live").unwrap_err().to_string();
    assert!(error.contains("slash before or behind it"), "{error}");
    assert!(Scope::parse("acme/shop/live").is_ok() && Scope::shared("acme/common/live").is_ok());
}

#[test]
fn a_reference_inside_a_text_is_told_to_be_a_variable_of_its_own() {
    for (value, variable, reference, composed) in [
        (
            "amqp://u:secret:mailer#pass@mq/v",
            "MAILER_PASS",
            "secret:mailer#pass",
            "amqp://u:$(MAILER_PASS)@mq/v",
        ),
        (
            "amqp://u:${secret:mailer#pass}@mq/v",
            "MAILER_PASS",
            "secret:mailer#pass",
            "amqp://u:$(MAILER_PASS)@mq/v",
        ),
        (
            "https://h/x?account=secret:mailer&y=1",
            "MAILER",
            "secret:mailer",
            "https://h/x?account=$(MAILER)&y=1",
        ),
        ("--x=secret:later", "DB_PASSWORD", "secret:NAME", ""),
    ] {
        let (allowed, said) = said(&env(&[("URL", value)]));
        let set = format!("before this one, {variable}: {reference}, and write $({variable})");
        assert!(allowed && said.contains(&set), "{value}: {said}");
        if !composed.is_empty() {
            let after = [(variable, reference), ("URL", composed)];
            let (allowed, said) = self::said(&env(&after));
            assert!(allowed && !said.contains("inside a text"), "{composed}: {said}");
            let started = started(&after);
            assert!(started[0]["valueFrom"]["secretKeyRef"]["name"] == "mailer-1", "{started:?}");
            assert_eq!(started[1]["value"], composed);
        }
    }
    // A variable of that name is there.
    let (_, said) = said(&env(&[("MAILER", "x"), ("URL", "--x=secret:mailer")]));
    assert!(said.contains("MAILER_SECRET: secret:mailer, and write $(MAILER_SECRET)"), "{said}");
}

#[test]
fn wherever_it_stands() {
    let text = "--dsn=secret:mailer#pass";
    for (container, says) in [
        (json!({"args": [text]}), "write $(MAILER_PASS) in its place"),
        (json!({"args": ["--dsn", "secret:mailer#pass"]}), "write $(MAILER_PASS) in its place"),
        (json!({"command": ["run", text]}), "write $(MAILER_PASS) in its place"),
        (json!({"livenessProbe": {"exec": {"command": ["ask", text]}}}), "write $(MAILER_PASS) in its place"),
        (
            json!({"lifecycle": {"preStop": {"exec": {"command": ["stop", text]}}}}),
            "let a shell read $MAILER_PASS",
        ),
        (
            json!({"livenessProbe": {"httpGet": {"port": 1, "httpHeaders": [{"name": "X", "value": "secret:mailer"}]}}}),
            "let the container read that",
        ),
        (
            json!({"readinessProbe": {"httpGet": {"port": 1, "path": "/x?k=secret:mailer"}}}),
            "let the container read that",
        ),
    ] {
        let (allowed, said) = said(&container);
        assert!(allowed && said.contains(says) && said.contains("MAILER"), "{container}: {said}");
    }
    let noted = workload(&json!({}), &json!({"example.com/dsn": "secret:mailer"}));
    let (allowed, said) = told(&ask(Endpoint::Validate, "shop", "Deployment", &noted));
    assert!(allowed && said.contains("annotation example.com/dsn: a reference"), "{said}");
    let map = json!({"metadata": {"name": "m"}, "data": {"app.properties": "a=1\nurl=amqp://u:secret:mailer#pass@mq/\n"}});
    let (allowed, said) = told(&ask(Endpoint::Validate, "shop", "ConfigMap", &map));
    assert!(allowed && said.contains("in a ConfigMap none at all"), "{said}");
}

#[test]
fn a_reference_in_the_place_of_a_name_is_refused() {
    let in_pod = |field: &str, value: Value| {
        let mut object = workload(&json!({}), &json!({}));
        object["spec"]["template"]["spec"][field] = value;
        object
    };
    let in_container = |container: Value| workload(&container, &json!({}));
    let key = |source: &str| json!({"env": [{"name": "A", "valueFrom": {source: {"name": "secret:mailer#pass", "key": "x"}}}]});
    for (object, says) in [
        (
            in_pod("imagePullSecrets", json!([{"name": "secret:registry"}])),
            "write the name of the synced Secret: registry-1",
        ),
        (in_pod("imagePullSecrets", json!([{"name": " Secret:registry"}])), "the name of the synced Secret"),
        (in_pod("serviceAccountName", json!("secret:registry")), "write the name of a ServiceAccount"),
        (
            in_pod("volumes", json!([{"name": "v", "secret": {"secretName": "secret:mailer#pass"}}])),
            "file.refgate.dev/FILE: mailer#pass",
        ),
        (
            in_pod(
                "volumes",
                json!([{"name": "v", "projected": {"sources": [{"secret": {"name": "secret:mailer"}}]}}]),
            ),
            "file.refgate.dev/FILE: mailer",
        ),
        (
            in_pod("volumes", json!([{"name": "v", "configMap": {"name": "secret+file:mailer"}}])),
            "file.refgate.dev/FILE: mailer",
        ),
        (
            in_pod(
                "volumes",
                json!([{"name": "v", "cephfs": {"monitors": ["m"], "secretRef": {"name": "secret:mailer"}}}]),
            ),
            "write the name of the synced Secret: mailer-1",
        ),
        (
            in_container(json!({"envFrom": [{"secretRef": {"name": "secret:mailer#pass"}}]})),
            "refgate.dev/env-from: mailer",
        ),
        (
            in_container(json!({"envFrom": [{"configMapRef": {"name": "secret:mailer"}}]})),
            "refgate.dev/env-from: mailer",
        ),
        (in_container(key("secretKeyRef")), "write value: \"secret:mailer#pass\""),
        (in_container(key("configMapKeyRef")), "write value: \"secret:mailer#pass\""),
    ] {
        let (allowed, said) = told(&ask(Endpoint::Validate, "shop", "Deployment", &object));
        assert!(!allowed && said.contains(says), "{object}: {said}");
    }
    for right in [
        in_pod("imagePullSecrets", json!([{"name": "registry-1"}])),
        workload(&json!({}), &json!({"file.refgate.dev/FILE": "mailer#pass"})),
        workload(&json!({}), &json!({"refgate.dev/env-from": "mailer"})),
        in_pod(
            "volumes",
            json!([{"name": "v", "cephfs": {"monitors": ["m"], "secretRef": {"name": "mailer-1"}}}]),
        ),
    ] {
        assert!(told(&ask(Endpoint::Validate, "shop", "Deployment", &right)).0, "{right}");
    }
}

/// The advice for a plaintext, where no reference is of use yet.
#[test]
fn a_namespace_has_to_be_bound_first() {
    let plain = env(&[("DB_PASSWORD", "kR4vT9wqZ2pB")]);
    let argument = json!({"args": ["--db-password=kR4vT9wqZ2pB"]});
    let url = env(&[("URL", "--x=secret:mailer")]);
    for container in [plain, argument, url] {
        let object = workload(&container, &json!({}));
        let first = "have an operator bind the namespace first, refgate bind free GROUP/APP/ENV, then ";
        let (_, said) = told(&ask(Endpoint::Validate, "free", "Deployment", &object));
        assert!(said.contains(first), "{container}: {said}");
        let (_, said) = told(&ask(Endpoint::Validate, "shop", "Deployment", &object));
        assert!(!said.contains("bind the namespace"), "{container}: {said}");
    }
    // The name of a scope that exists in its place, and the reference of the advice is that of the bound namespace above.
    resolves("secret:mailer", "mailer-1", "value");
}

/// What looks alike and is something else.
#[test]
fn other_texts_stay_quiet() {
    for text in [
        "my-secret:tag",
        "docker.io/secret:1.2",
        "secret is kept elsewhere: ask",
        "keep this secret: it is not for everybody",
        "http://secret:8080/x",
        "openid secret:list secret:read",
        "arn",
        "path \"secret/data/web\" { capabilities = [\"read\"] }",
        "$(X)",
    ] {
        for container in [env(&[("TEXT", text)]), json!({"args": [text]}), json!({"image": text})] {
            let (allowed, said) = said(&container);
            assert!(allowed && said.is_empty(), "{container}: {said}");
        }
    }
    let entries = [("MAILER", "secret:mailer"), ("URL", "amqp://u:$(MAILER)@mq/"), ("COPY", "--x=$(MAILER)")];
    let container = json!({"env": env(&entries)["env"], "args": ["--dsn=$(URL)", "--x=$(MAILER)"]});
    let (allowed, said) = said(&container);
    assert!(allowed && !said.contains("inside a text"), "{said}");
}

/// The detector takes the reference for the value of a password, and says what helps all the same.
#[test]
fn a_finding_in_the_same_text_says_the_variable() {
    for text in [
        "host=db user=app password=secret:mailer#pass",
        "Server=db;Pwd=secret:mailer#pass;Encrypt=true",
        "mysql -u app --password=secret:mailer#pass",
    ] {
        let (is_allowed, message) = said(&env(&[("CONNECTION", text)]));
        assert!(!is_allowed, "{text}: {message}");
        let advice = "set an env var before this one, MAILER_PASS: secret:mailer#pass, and write $(MAILER_PASS) in its place";
        assert!(message.contains(advice) && !message.contains("refgate put"), "{text}: {message}");
        let composed = text.replace("secret:mailer#pass", "$(MAILER_PASS)");
        let (is_allowed, message) =
            said(&env(&[("MAILER_PASS", "secret:mailer#pass"), ("CONNECTION", &composed)]));
        assert!(is_allowed, "{composed}: {message}");
    }
    // A value that somebody pasted names nothing that is known: it is to be stored.
    let (is_allowed, message) =
        said(&env(&[("CONNECTION", "host=db user=app password=secret:hunter22 port=1")]));
    assert!(!is_allowed && message.contains("refgate put") && !message.contains("hunter22"), "{message}");
}

/// What the first page shows for a secret inside of a text.
#[test]
fn the_composed_form_of_the_first_page_works() {
    let readme = include_str!("../../README.md");
    let block = readme.split("```yaml\nenv:").nth(1).unwrap().split("```").next().unwrap();
    let shown = refgate::yaml::documents(&format!("env:{block}")).next().unwrap().unwrap().value;
    let rows: Vec<(&str, &str)> = shown["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["name"].as_str().unwrap(), row["value"].as_str().unwrap()))
        .collect();
    let (allowed, said) = said(&env(&rows));
    assert!(allowed && !said.contains("inside a text"), "{said}");
    let started = started(&rows);
    assert_eq!(started[0]["valueFrom"]["secretKeyRef"]["key"], "password");
    assert_eq!(started[1]["value"], rows[1].1);
    assert!(rows[1].1.contains(&format!("$({})", rows[0].0)), "{rows:?}");
}
