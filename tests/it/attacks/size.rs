//! Requests that ask for more work or memory than they are worth.

use super::*;
use crate::fills::{got, snapshot};

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

fn external_secret(name: &str, spec: Value) -> Value {
    let mut whole = json!({"secretStoreRef": {"name": "aws"}});
    whole.as_object_mut().unwrap().extend(spec.as_object().cloned().unwrap());
    object("external-secrets.io/v1", "ExternalSecret", name, whole)
}

/// Entries that each bring all properties of a path.
fn extracts(count: usize, path: &dyn Fn(usize) -> String) -> Value {
    numbered(count, |index| json!({"extract": {"key": path(index)}}))
}

fn own(name: &str) -> Value {
    json!({"provider": {"aws": {"service": "SecretsManager", "region": "r", "prefix": format!("g/a/stage/{name}")}}})
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

/// Secrets with more paths than keys are read: each key may be of any of them.
#[test]
fn the_paths_of_one_secret_do_not_multiply_by_the_keys_that_are_read() {
    let mut attempts = Attempts::default();
    let data = numbered(1_500, |index| json!({"secretKey": "k", "remoteRef": {"key": format!("p{index}")}}));
    let world = carried(&[
        external_secret("open", json!({"dataFrom": extracts(1_500, &|index| format!("p{index}"))})),
        external_secret("named", json!({"data": data})),
    ]);
    let key = |index: usize, name: &str| match name {
        "named" => "k".to_owned(),
        _ => format!("k{index}"),
    };
    for name in ["open", "named"] {
        for count in [30, 2_000] {
            let env = numbered(count, |index| {
                let from = json!({"secretKeyRef": {"name": name, "key": key(index, name)}});
                json!({"name": format!("A{index}"), "valueFrom": from})
            });
            let mut object = with_env(env);
            object["metadata"]["annotations"] = json!({"refgate.dev/refs": "[]"});
            let decision = ask_in(&world, Mutate, &request("team", ("", "Pod"), object.clone(), Value::Null));
            let patch: Value = serde_json::from_str(decision.patch.as_deref().unwrap_or("[]")).unwrap();
            let refs = patch.as_array().unwrap().iter().filter_map(|operation| operation["value"].as_str());
            let size = refs.map(str::len).max().unwrap_or_default();
            // What no annotation holds is refused; what is there is said.
            let is_right = if denied(&decision) { count > 30 } else { size > 1_000 && size <= 262_144 };
            attempts.must(is_right, format!("{count} keys of {name}: {size} bytes, {}", message(&decision)));
            let decision = ask_in(&world, Validate, &request("team", ("", "Pod"), object, Value::Null));
            attempts.must(!denied(&decision) && decision.references.len() <= 1_000, name);
        }
    }
    attempts.end();
}

/// Each of these ends at once where a reference costs no more than a few rows, and takes minutes where it costs all pairs.
#[test]
fn references_to_what_large_objects_fill_end() {
    let stores = ["x", "y"].map(|name| object("external-secrets.io/v1", "SecretStore", name, own("")));
    // The same path by turns through two stores is no duplicate.
    let by_turns = numbered(10_000, |index| {
        let store = if index % 2 == 0 { "x" } else { "y" };
        let store = json!({"storeRef": {"name": store}});
        json!({"extract": {"key": "a"}, "sourceRef": store})
    });
    let named = numbered(
        10_000,
        |index| json!({"secretKey": "p", "remoteRef": {"key": "a", "property": "p", "version": format!("v{index}")}}),
    );
    let keys = numbered(
        10_000,
        |index| json!({"secretKey": format!("k{index}"), "remoteRef": {"key": "a", "property": "p"}}),
    );
    for (what, spec) in [
        ("one path again and again", json!({"dataFrom": extracts(10_000, &|_| "a".to_owned())})),
        ("one path by turns", json!({"dataFrom": by_turns})),
        ("many paths", json!({"dataFrom": extracts(10_000, &|index| format!("a{}", index.max(1)))})),
        ("one key", json!({"data": named})),
        ("one property under many keys", json!({"data": keys})),
    ] {
        let [x, y] = stores.clone();
        let world = carried(&[x, y, external_secret("s", spec)]);
        let env = numbered(
            1_900,
            |index| json!({"name": format!("A{index}"), "value": format!("secret:a#p{}", ["", "q"][index % 2])}),
        );
        let mut object = with_env(env);
        let whole: Vec<String> = (1..60).map(|index| format!("a{index}")).collect();
        object["metadata"]["annotations"] = json!({"refgate.dev/env-from": format!("a,{}", whole.join(","))});
        let decision = ask_in(&world, Mutate, &request("team", ("", "Pod"), object, Value::Null));
        assert!(!matches!(decision.outcome, Outcome::Unavailable { .. }), "{what}");
        // Looking for what somebody may have meant is what costs most.
        let meant = decision.refusals.iter().filter(|refusal| refusal.text.contains("did you mean")).count();
        assert!(meant <= 8, "{what}: {meant}");
    }
}

#[test]
fn what_is_filled_again_and_again_is_told_apart_up_to_a_bound() {
    let mut attempts = Attempts::default();
    let open = |count: usize, path: &dyn Fn(usize) -> String| {
        carried(&[external_secret("s", json!({"dataFrom": extracts(count, path)}))])
    };
    let keys = |count: usize| {
        let data = numbered(
            count,
            |index| json!({"secretKey": format!("k{index}"), "remoteRef": {"key": "a", "property": format!("p{index}")}}),
        );
        carried(&[external_secret("s", json!({"data": data}))])
    };
    let last = |count: usize| format!("a#p{}", count - 1);
    for (what, world, wish, expected) in [
        // The same over again is one.
        ("duplicates", open(10_000, &|_| "a".to_owned()), "a#p".to_owned(), "A=s/p"),
        ("duplicates, whole", open(10_000, &|_| "a".to_owned()), "from a".to_owned(), "*=s"),
        ("keys", keys(900), last(900), "A=s/k899"),
        ("more keys of a path than are looked through", keys(1_500), "a#p0".to_owned(), "A=s/k0"),
        ("more keys of a path than variables", keys(1_500), "from a".to_owned(), "!"),
        // Of an object that fills more than is kept, nothing is believed.
        ("as many keys as are kept", keys(2_000), "a#p0".to_owned(), "A=s/k0"),
        ("more keys than are kept", keys(2_001), "a#p0".to_owned(), "!"),
    ] {
        let (got, _) = got(&world, &wish);
        attempts.must(got.starts_with(expected), format!("{what}: {wish} is {got}"));
    }
    attempts.end();
}

#[test]
fn a_class_is_judged_once_however_many_volumes_are_of_it() {
    let entries: Vec<String> = (0..5_000)
        .map(|index| format!("- {{objectName: other/team/prod/x{index}, objectType: secretsmanager}}"))
        .collect();
    let spec = json!({"provider": "aws", "parameters": {"objects": entries.join("\n")}});
    let world = carried(&[object("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass", "c", spec)]);
    let csi = json!({"driver": "secrets-store.csi.k8s.io", "volumeAttributes": {"secretProviderClass": "c"}});
    let volumes = numbered(4_000, |index| json!({"name": format!("v{index}"), "csi": csi}));
    let object = pod(json!({}), json!({"volumes": volumes}));
    let decision = ask_in(&world, Validate, &request("team", ("", "Pod"), object, Value::Null));
    assert!(message(&decision).contains("SecretProviderClass c reads"), "{}", message(&decision));
}
