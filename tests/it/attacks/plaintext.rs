//! Plaintext where nobody looks, and values that messages might repeat.

use super::*;

#[test]
fn plaintext_does_not_hide_where_annotations_are_read_otherwise() {
    let mut attempts = Attempts::default();
    let applied = "kubectl.kubernetes.io/last-applied-configuration";
    let spec = json!({"containers": [{"name": "web", "env": [{"name": "GH_TOKEN", "value": token()}]}]});
    for (hope, text) in [
        ("as it should be", json!({"spec": spec}).to_string()),
        ("behind the end of the manifest", format!("{{}} {}", token())),
        ("in a field that no pod has", json!({"data": {"x": token()}}).to_string()),
        ("in a field of the spec that is passed over", json!({"spec": {"hostname": token()}}).to_string()),
        (
            "beside containers, in a field that is passed over",
            json!({"spec": {"containers": [{"name": "web"}], "hostname": token()}}).to_string(),
        ),
        ("in a spec that a second one replaces", format!(r#"{{"spec":{spec},"spec":{{}}}}"#)),
        ("as a number of texts", json!([token()]).to_string()),
        ("in no JSON", token()),
    ] {
        let decision = create(Validate, annotated(json!({applied: text})));
        attempts.must(denied(&decision), hope);
        attempts.must(!said(&decision).contains(&token()[4..]), format!("{hope} is repeated"));
    }
    attempts.end();
}

#[test]
fn plaintext_does_not_hide_under_our_own_prefix() {
    let mut attempts = Attempts::default();
    // Hopes that what is ours is never looked at: on a workload none of these does anything.
    for key in ["refgate.dev/refs", "refgate.dev/note", "env.refgate.dev/GH_TOKEN", "x.refgate.dev/y"] {
        let mut object = deployment(&pod(json!({}), json!({})));
        object["metadata"]["annotations"] = json!({key: token()});
        let decision = ask(Validate, &request("team", ("apps", "Deployment"), object, Value::Null));
        attempts.must(denied(&decision), format!("{key} on the workload: {decision:?}"));
    }
    let row = json!([{"path": token(), "secret": token(), "key": "", "use": "", "at": [token()]}]);
    let decision = create(Validate, annotated(json!({"refgate.dev/refs": row.to_string()})));
    attempts.must(denied(&decision), "refs in the shape of refs");
    let decision = create(Validate, annotated(json!({"refgate.dev/refs": token()})));
    attempts.must(denied(&decision), format!("refs of a pod: {decision:?}"));
    attempts.end();
}

#[test]
fn a_pasted_value_behind_secret_is_not_repeated() {
    let mut attempts = Attempts::default();
    // `secret:` before a token, by mistake: its letters make a path, and a path is named in messages, audit and logs.
    for value in [
        format!("secret:{}", token()),
        format!("secret+file:{}", token()),
        format!("secret:/mozmeao/snippets/stage/{}", token()),
        format!("secret:smtp#{}", token()),
    ] {
        for endpoint in [Mutate, Validate] {
            let decision = create(endpoint, with_env(json!([{"name": "A", "value": value}])));
            attempts.must(denied(&decision), format!("{decision:?}"));
            attempts.must(!said(&decision).contains(&token()[4..]), format!("{decision:?}"));
        }
    }
    let decision = create(Mutate, annotated(json!({"env.refgate.dev/A": token()})));
    attempts.must(!said(&decision).contains(&token()[4..]), format!("{decision:?}"));
    // vals returns what stands behind echo: it is a value, whoever calls it a reference.
    for namespace in ["team", "nobody"] {
        let object = with_env(json!([{"name": "A", "value": format!("ref+echo://{}", token())}]));
        let decision = ask(Validate, &request(namespace, ("", "Pod"), object, Value::Null));
        attempts.must(
            denied(&decision) && !said(&decision).contains(&token()[4..]),
            format!("{namespace}: {decision:?}"),
        );
    }
    attempts.end();
}

#[test]
fn plaintext_is_put_together_before_it_is_judged() {
    let mut attempts = Attempts::default();
    let (head, tail) = (&token()[..20], &token()[20..]);
    let env = json!([{"name": "H", "value": head}, {"name": "T", "value": tail}]);
    let container = |fields: Value| {
        let mut all = json!({"name": "web", "env": env});
        all.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
        pod(json!({}), json!({"containers": [all]}))
    };
    let exec = json!({"exec": {"command": ["curl", "-H", "x: $(H)$(T)"]}});
    for (hope, object) in [
        ("an argument", container(json!({"args": ["$(H)$(T)"]}))),
        ("a command", container(json!({"command": ["run", "$(H)$(T)"]}))),
        // The kubelet expands the commands of probes as well, from the values as they are written.
        ("a probe", container(json!({"readinessProbe": exec}))),
    ] {
        attempts.must(denied(&create(Validate, object)), hope);
    }
    attempts.end();
}

#[test]
fn labels_are_texts_as_well() {
    // A token is a legal label value, and `fieldRef` makes an env var of it.
    let env = json!([{"name": "GH_TOKEN", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['t']"}}}]);
    let object = pod(json!({"labels": {"t": token()}}), json!({"containers": [{"name": "web", "env": env}]}));
    assert!(denied(&create(Validate, object)));
}

#[test]
fn messages_hold_no_control_characters_and_no_values() {
    let mut attempts = Attempts::default();
    for name in ["a\u{1b}[2Jb", "a\nb", "a\u{7f}\u{85}b", "a\tb"] {
        let object = pod(
            json!({}),
            json!({"containers": [{"name": name, "env": [{"name": name, "value": "secret:/x/y/z/a"}, {"name": name, "value": token()}]}]}),
        );
        for endpoint in [Mutate, Validate] {
            let decision = create(endpoint, object.clone());
            attempts.must(
                denied(&decision) && !message(&decision).contains(char::is_control),
                format!("{decision:?}"),
            );
        }
    }
    // Nor does the answer to an object that does not read.
    let object = json!({"metadata": {"annotations": {"a\u{1b}[2J\nb": 7}}, "spec": {}});
    let review = request("team", ("", "Pod"), object, Value::Null);
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": review});
    let Err(ParseError::Object { pointer, problem, .. }) =
        parse(&serde_json::to_vec(&body).unwrap(), Validate, &Settings::default().kinds)
    else {
        panic!("it reads");
    };
    let decision = refgate::policy::review::unreadable(&pointer, &problem);
    assert!(!message(&decision).contains(char::is_control), "{decision:?}");
    attempts.end();
}
