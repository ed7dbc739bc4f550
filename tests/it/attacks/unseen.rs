//! References of other systems that come together by what changes unseen: text of labels and annotations, a source that goes
//! missing.

use super::*;

const OWN: &str = "vault:secret/data/mozmeao/snippets/stage/a#k";

fn field(name: &str, path: &str) -> Value {
    json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}})
}

fn optional(name: &str) -> Value {
    let source = json!({"name": "settings", "key": "k", "optional": true});
    json!({"name": name, "valueFrom": {"configMapKeyRef": source}})
}

fn literal(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

/// The decisions on a pod and on a workload of it, in a namespace.
fn on_both(namespace: &str, env: Value) -> [Decision; 2] {
    let mut pod = with_env(env);
    pod["metadata"]["labels"] = json!({"tier": "stage", "v": "x"});
    pod["metadata"]["annotations"] = json!({"example.com/ref": OWN, "example.com/host": "db"});
    let workload = deployment(&pod);
    [(("", "Pod"), pod), (("apps", "Deployment"), workload)]
        .map(|(kind, object)| ask(Validate, &request(namespace, kind, object, Value::Null)))
}

#[test]
fn what_comes_from_a_label_or_an_annotation_is_unknown_in_a_reference() {
    let mut attempts = Attempts::default();
    let label = || field("L", "metadata.labels['tier']");
    let gone = || field("L", "metadata.annotations['example.com/gone']");
    for (source, value) in [
        (label(), "vault:secret/data/mozmeao/snippets/$(L)/a#k"),
        (gone(), "vault:secret/data/mozmeao/snippets/stage$(L)/a#k"),
        (field("L", "metadata.labels['none']"), "vault:secret/data/mozmeao/snippets/stage/$(L)#k"),
        (label(), "arn:aws:secretsmanager:us-west-2:111122223333:secret:mozmeao/snippets/$(L)/a"),
        (label(), "x-${vault:secret/data/mozmeao/snippets/$(L)/a#k}"),
        // A scheme, or a part of one, that a label may come to hold.
        (label(), "$(L):secret/data/mozmeao/payroll/prod/x#k"),
        (field("L", "metadata.labels['v']"), "$(L)ult:secret/data/mozmeao/payroll/prod/x#k"),
        (field("L", "metadata.labels['v']"), "x${$(L):secret/data/mozmeao/payroll/prod/x#k}"),
        (label(), "$(L)://payroll/prod"),
        (label(), "x@$(L)"),
    ] {
        for decision in on_both("team", json!([source.clone(), literal("B", value)])) {
            attempts
                .must(message(&decision).contains("a label or annotation"), format!("{value}: {decision:?}"));
        }
        for decision in on_both("team", json!([source.clone(), literal("M", value), literal("B", "$(M)")])) {
            attempts.must(denied(&decision), format!("{value} by a second one: {decision:?}"));
        }
    }
    let whole = json!([field("B", "metadata.annotations['example.com/ref']")]);
    for decision in on_both("team", whole) {
        attempts
            .must(message(&decision).contains("a label or annotation"), format!("a whole one: {decision:?}"));
    }
    for (source, value) in [
        (label(), "http://$(L).example.com:8080/"),
        (label(), "$(L):8080"),
        (label(), "--team=$(L)"),
        (label(), "$(L)"),
        (field("L", "metadata.annotations['example.com/host']"), "postgres://$(L)/app"),
        (literal("L", "stage"), "http://x/$(L)#a"),
        (field("L", "status.podIP"), "http://$(L):80"),
    ] {
        for decision in on_both("team", json!([source, literal("B", value)])) {
            attempts.must(!denied(&decision), format!("{value}: {decision:?}"));
        }
    }
    attempts.end();
}

#[test]
fn a_missing_source_uncovers_no_reference() {
    let mut attempts = Attempts::default();
    for env in [
        json!([
            literal("A", "ult:secret/data/mozmeao/payroll/prod/x#k"),
            optional("A"),
            literal("B", "va$(A)")
        ]),
        json!([
            literal("A", "ult:secret/data/mozmeao/payroll/prod/x#k"),
            optional("A"),
            optional("A"),
            literal("M", "$(A)"),
            literal("B", "va$(M)")
        ]),
        json!([
            literal("A", "${vault"),
            optional("A"),
            literal("B", "x$(A):secret/data/mozmeao/payroll/prod/x#k}")
        ]),
        json!([
            literal("A", "sm"),
            json!({"name": "A", "value": "secret:smtp#user?optional"}),
            literal("B", "$(A)://payroll/x")
        ]),
    ] {
        for decision in on_both("team", env.clone()) {
            attempts.must(message(&decision).contains("the same name"), format!("{env}: {decision:?}"));
        }
    }
    for env in [
        json!([literal("A", "db"), optional("A"), literal("B", "http://$(A):80")]),
        json!([literal("A", "ult:x#k"), literal("A", "b"), literal("B", "va$(A)")]),
        json!([optional("A"), literal("A", "b"), literal("B", "http://$(A)")]),
    ] {
        for decision in on_both("team", env.clone()) {
            attempts.must(!denied(&decision), format!("{env}: {decision:?}"));
        }
    }
    attempts.end();
}

/// Many entries that read one long annotation cost no more than a limit.
#[test]
fn one_long_annotation_that_many_entries_read_ends() {
    let entries: Vec<Value> =
        (0..5_000).map(|number| field(&format!("A{number}"), "metadata.annotations['long']")).collect();
    let mut pod = with_env(json!(entries));
    pod["metadata"]["annotations"] = json!({"long": "a ".repeat(100_000)});
    let decision = create(Validate, pod);
    assert!(message(&decision).contains("more than 1 MiB"), "{decision:?}");
}
