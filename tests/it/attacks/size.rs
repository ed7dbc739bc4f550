//! Requests that ask for more work or memory than they are worth.

use super::*;
use crate::fills::snapshot;

#[test]
fn what_is_asked_for_in_every_container_does_not_multiply_without_bound() {
    let mut attempts = Attempts::default();
    let containers = |count| numbered(count, |index| json!({"name": format!("c{index}")}));
    let volume = json!([{"name": "v", "projected": {"sources": [{"secret": {
        "name": secret_name("mozmeao/snippets/stage/smtp"),
        "items": numbered(700, |index| json!({"key": "value", "path": format!("f{index}")}))}}]}}]);
    let mounted = numbered(
        700,
        |index| json!({"name": format!("c{index}"), "volumeMounts": [{"name": "v", "mountPath": "/x"}]}),
    );
    for (hope, object) in [
        (
            "variables",
            pod(
                json!({"annotations": keyed(600, "env.refgate.dev/A", "database_url")}),
                json!({"containers": containers(600)}),
            ),
        ),
        (
            "files",
            pod(
                json!({"annotations": keyed(600, "file.refgate.dev/A", "database_url")}),
                json!({"containers": containers(600)}),
            ),
        ),
        (
            "rows of refs",
            pod(
                json!({"annotations": {"refgate.dev/refs": "[]"}}),
                json!({"containers": mounted, "volumes": volume}),
            ),
        ),
    ] {
        let decision = create(Mutate, object);
        let size = decision.patch.map_or(0, |patch| patch.len());
        attempts.must(size <= STORABLE, format!("{hope}: a patch of {size} bytes"));
    }
    attempts.end();
}

#[test]
fn an_answer_is_no_larger_than_its_question() {
    let many =
        numbered(5_000, |index| json!({"name": format!("A{index}"), "value": format!("secret:name{index}")}));
    let decision = create(Validate, with_env(many));
    let answer: Value = serde_json::from_slice(&respond("u", &decision)).unwrap();
    let paths = answer["response"]["auditAnnotations"]["paths"].as_str().unwrap_or_default();
    assert!(paths.len() <= 64 << 10, "an audit annotation of {} bytes", paths.len());
    let commas =
        annotated(json!({"secrets-webhook.security.bank-vaults.io/vault-from-path": ",".repeat(200_000)}));
    assert!(denied(&create(Validate, commas)));
}

#[test]
fn where_plaintext_does_not_deny_any_amount_of_it_does_not() {
    // No attack: an operator who turned enforcement off for the first weeks would meet denials all the same.
    let mut lenient = world();
    let labels = BOUND.into_iter().chain([("refgate.dev/enforce", "off")]);
    let state = NamespaceState {
        namespace: Arc::new(NamespaceLabels::read(labels, [])),
        ..NamespaceState::default()
    };
    lenient.namespaces.insert("team".into(), Arc::new(state));
    let object =
        with_env(numbered(1_200, |index| json!({"name": format!("TOKEN_{index}"), "value": token()})));
    let decision = ask_in(&lenient, Validate, &request("team", ("", "Pod"), object, Value::Null));
    assert!(!denied(&decision), "{}", message(&decision));
}

/// Each of these ends at once where every loop is linear, and takes minutes where one is not. One that does not even
/// read has ended as well.
#[test]
fn large_inputs_end() {
    let text = |value: String| {
        pod(
            json!({}),
            json!({"containers": [{"name": "web", "args": [value], "env": [{"name": "A", "value": "x"}]}]}),
        )
    };
    let named = |count: usize, fields: &dyn Fn(usize) -> Value| {
        numbered(count, |index| {
            let mut all = json!({"name": format!("c{index}")});
            all.as_object_mut().unwrap().extend(fields(index).as_object().cloned().unwrap());
            all
        })
    };
    let file = |index: usize| json!({"env": [{"name": format!("F{index}"), "value": "secret+file:smtp"}]});
    let field = json!({"fieldRef": {"fieldPath": "metadata.annotations['none']"}});
    let items = numbered(5_000, |index| json!({"key": "value", "path": format!("f{index}")}));
    let alike = |index: usize| json!({"projected": {"defaultMode": 292, "sources": [{"secret": {"name": "x", "items": [{"key": "k", "path": format!("f{index}")}]}}]}});
    let last = |count: usize| {
        let mut all = named(count, &|_| json!({}));
        all.as_array_mut().unwrap().push(json!({"name": "last"}));
        all
    };
    for (what, endpoint, object) in [
        ("open parentheses", Validate, text("$(".repeat(300_000))),
        ("doubled dollars", Validate, text("$$".repeat(500_000))),
        ("inline references that never end", Validate, text("${vault:".repeat(100_000))),
        (
            "one secret again and again",
            Mutate,
            annotated(json!({"refgate.dev/env-from": vec!["smtp"; 100_000].join(",")})),
        ),
        (
            "names of containers",
            Mutate,
            pod(
                json!({"annotations": {"refgate.dev/containers": vec!["last"; 60_000].join(","), "env.refgate.dev/A": "database_url"}}),
                json!({"containers": last(999)}),
            ),
        ),
        ("more containers than anybody has", Mutate, pod(json!({}), json!({"containers": last(20_000)}))),
        (
            "a file of its own for each container",
            Mutate,
            pod(json!({}), json!({"containers": named(1_000, &file)})),
        ),
        (
            "volumes that are nearly ours",
            Mutate,
            pod(json!({}), json!({"containers": named(1_000, &file), "volumes": named(5_000, &alike)})),
        ),
        (
            "one large volume where each container has its files",
            Mutate,
            pod(
                json!({"annotations": {"file.refgate.dev/f": "smtp"}}),
                json!({
                    "containers": named(300, &|_| json!({"volumeMounts": [{"name": "v", "mountPath": "/run/refgate"}]})),
                    "volumes": [{"name": "v", "projected": {"sources": vec![json!({"secret": {"name": "x", "items": items}}); 8]}}],
                }),
            ),
        ),
        (
            "variables by annotation over variables",
            Mutate,
            pod(
                json!({"annotations": keyed(2_000, "env.refgate.dev/A", "database_url")}),
                json!({"containers": [{"name": "web", "env": numbered(20_000, |index| json!({"name": format!("B{index}"), "value": "x"}))}]}),
            ),
        ),
        (
            "fields over annotations",
            Validate,
            pod(
                json!({"annotations": keyed(15_000, "a", "")}),
                json!({"containers": [{"name": "web", "env": numbered(15_000, |_| json!({"name": "B", "valueFrom": field}))}]}),
            ),
        ),
    ] {
        let world = world();
        let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": request("team", ("", "Pod"), object, Value::Null)});
        let body = serde_json::to_vec(&body).unwrap();
        if let Ok(review) = parse(&body, endpoint, &world.settings.kinds) {
            let decision = decide(&review, &world);
            assert!(!matches!(decision.outcome, Outcome::Unavailable { .. }), "{what}");
        }
    }
}

/// A namespace of scope `g/a/stage` with a store `aws` and these objects of other systems.
fn carried(objects: &[Value]) -> Snapshot {
    snapshot(&objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n"))
}

fn object(version: &str, kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "team"}, "spec": spec})
}

#[test]
fn writes_of_a_push_secret_do_not_multiply() {
    let mut attempts = Attempts::default();
    let entry = |key: String| json!({"match": {"secretKey": "k", "remoteRef": {"remoteKey": key}}});
    let all = |key: String| json!({"remoteKey": key});
    let none = json!([]);
    for (stores, data, data_to, is_too_much) in [
        (2_000, numbered(2_000, |index| entry(format!("x{index}"))), none.clone(), true),
        (2_000, none.clone(), numbered(2_000, |index| all(format!("x{index}"))), true),
        (101, numbered(50, |_| entry("x".into())), numbered(50, |_| all("x".into())), true),
        (100, numbered(50, |_| entry("x".into())), numbered(50, |_| all("x".into())), false),
        // One path, as often as there are stores.
        (9_000, numbered(1, |_| entry("x".repeat(100_000))), none.clone(), true),
        (9_000, none, numbered(1, |_| all("x".repeat(100_000))), true),
    ] {
        let spec = json!({
            "secretStoreRefs": numbered(stores, |_| json!({"name": "aws"})), "data": data, "dataTo": data_to,
            "selector": {"secret": {"name": "s"}},
        });
        let version = "external-secrets.io/v1alpha1";
        let pushed = object(version, "PushSecret", "p", spec);
        let mut review = request("team", ("external-secrets.io", "PushSecret"), pushed, Value::Null);
        review["kind"]["version"] = "v1alpha1".into();
        let decision = ask_in(&carried(&[]), Validate, &review);
        let said = message(&decision);
        let what = format!("{stores} stores: {said}");
        attempts.must(said.contains("more than 10,000 writes") == is_too_much, what);
    }
    attempts.end();
}
