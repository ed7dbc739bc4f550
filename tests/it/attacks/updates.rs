//! Updates and subresources that hide what they add behind what was there.

use super::*;

#[test]
fn an_update_hides_nothing_behind_what_was_there() {
    let mut attempts = Attempts::default();
    let old = pod(json!({}), json!({"containers": [secret_env("web", "A"), {"name": "app"}]}));
    for (hope, new) in [
        ("under another name", json!({"containers": [secret_env("web", "B"), {"name": "app"}]})),
        ("in another container", json!({"containers": [{"name": "web"}, secret_env("app", "A")]})),
        (
            "in a new init container",
            json!({"containers": [{"name": "web"}, {"name": "app"}], "initContainers": [secret_env("init", "A")]}),
        ),
        ("in a renamed container", json!({"containers": [secret_env("web2", "A"), {"name": "app"}]})),
        (
            "as envFrom",
            json!({"containers": [{"name": "web", "envFrom": [{"secretRef": {"name": LEFT}}]}, {"name": "app"}]}),
        ),
        (
            "as a volume",
            json!({"containers": [{"name": "web"}], "volumes": [{"name": "v", "secret": {"secretName": LEFT}}]}),
        ),
        ("as a pull secret", json!({"containers": [{"name": "web"}], "imagePullSecrets": [{"name": LEFT}]})),
        (
            "another left Secret under the old name",
            json!({"containers": [
            {"name": "web", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "half-foreign", "key": "k"}}}]}]}),
        ),
    ] {
        attempts.must(denied(&update(old.clone(), pod(json!({}), new))), hope);
    }
    // What stays is said, so that nobody wonders why the pods are refused.
    let scaled = update(old.clone(), old);
    assert!(!denied(&scaled) && scaled.warnings.iter().any(|text| text.contains(LEFT)), "{scaled:?}");
    attempts.end();
}

#[test]
fn plaintext_does_not_hide_behind_an_old_one() {
    let mut attempts = Attempts::default();
    let literal = |container: &str, name: &str, value: &str| json!({"containers": [{"name": container, "env": [{"name": name, "value": value}]}]});
    let old = pod(json!({}), literal("web", "TOKEN_A", &token()));
    let other = other_token();
    for (hope, new) in [
        ("moved to another variable", literal("web", "TOKEN_B", &token())),
        ("another value under the old name", literal("web", "TOKEN_A", &other)),
        ("in another container", literal("app", "TOKEN_A", &token())),
        ("as an argument", json!({"containers": [{"name": "web", "args": [token()]}]})),
        (
            "put together anew",
            json!({"containers": [{"name": "web", "env": [{"name": "X", "value": &token()[..20]}, {"name": "TOKEN_B", "value": format!("$(X){}", &token()[20..])}]}]}),
        ),
    ] {
        let decision = update(old.clone(), pod(json!({}), new));
        attempts.must(denied(&decision), hope);
        attempts.must(!said(&decision).contains(&token()[4..]), format!("{hope} is repeated"));
    }
    assert!(!denied(&update(old.clone(), old)));
    attempts.end();
}

#[test]
fn what_kubectl_is_said_to_have_applied_does_not_excuse_what_is_new() {
    // Hopes that a token which stood in an annotation is "no change" when it moves into the container.
    let applied = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "env": [{"name": "TOKEN_A", "value": token()}]}]}}}});
    let mut old = deployment(&pod(json!({}), json!({})));
    old["metadata"]["annotations"] =
        json!({"kubectl.kubernetes.io/last-applied-configuration": applied.to_string()});
    let new = deployment(&pod(
        json!({}),
        json!({"containers": [{"name": "web", "env": [{"name": "TOKEN_A", "value": token()}]}]}),
    ));
    assert!(denied(&ask(Validate, &request("team", ("apps", "Deployment"), new, old))));
}

#[test]
fn an_update_without_what_was_there_is_judged_whole() {
    // Hopes that an UPDATE whose old object is missing counts as "nothing new".
    let bad = pod(json!({}), json!({"containers": [secret_env("web", "A")]}));
    for old in [Value::Null, json!({}), json!({"metadata": null, "spec": null})] {
        let mut request = request("team", ("", "Pod"), bad.clone(), old);
        request["operation"] = json!("UPDATE");
        assert!(denied(&ask(Validate, &request)));
        request.as_object_mut().unwrap().remove("oldObject");
        assert!(denied(&ask(Validate, &request)));
    }
}

#[test]
fn subresources_that_change_containers_are_judged() {
    let mut attempts = Attempts::default();
    let old = pod(json!({}), json!({}));
    let debug = |container: Value| {
        let mut new = old.clone();
        new["spec"]["ephemeralContainers"] = json!([container]);
        new
    };
    for (hope, container) in [
        ("a left Secret", secret_env("debug", "A")),
        ("a reference", json!({"name": "debug", "env": [{"name": "A", "value": "secret:database_url"}]})),
        ("a file", json!({"name": "debug", "env": [{"name": "A", "value": "secret+file:database_url"}]})),
        (
            "a foreign reference",
            json!({"name": "debug", "env": [{"name": "A", "value": "vault:secret/payroll#k"}]}),
        ),
        ("a token", json!({"name": "debug", "args": [token()]})),
    ] {
        // A subresource that nobody has heard of is judged like one that is known to matter.
        for sub in ["ephemeralcontainers", "EphemeralContainers", "newthing", ""] {
            let mut request = request("team", ("", "Pod"), debug(container.clone()), old.clone());
            request["subResource"] = json!(sub);
            attempts.must(denied(&ask(Validate, &request)), format!("{hope} by {sub}"));
            let mutated = ask(Mutate, &request);
            attempts.must(mutated.patch.is_none(), format!("{hope} by {sub}"));
        }
    }
    attempts.end();
}
