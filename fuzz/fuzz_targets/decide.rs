//! Any object of any kind: the first bytes choose the endpoint, the operation, the namespace and the kind, the rest is
//! the object. Where it is no JSON, it becomes the text of an env value, an argument and an annotation.
#![no_main]

use libfuzzer_sys::fuzz_target;
use refgate::policy::review::Endpoint;
use serde_json::{Value, json};

const KINDS: [(&str, &str); 5] =
    [("", "Pod"), ("apps", "Deployment"), ("batch", "CronJob"), ("", "PodTemplate"), ("", "ConfigMap")];
const OPERATIONS: [&str; 3] = ["CREATE", "UPDATE", "DELETE"];
const NAMESPACES: [&str; 5] = ["team", "strict", "free", "broken", "unseen"];

fn chosen<T: Copy>(byte: u8, list: &[T]) -> T {
    list[usize::from(byte) % list.len()]
}

/// A pod with a text in the places where a text matters.
fn around(text: &str) -> Value {
    json!({
        "metadata": {"generateName": "x-", "annotations": {"env.refgate.dev/B": text, "example.com/c": text}},
        "spec": {"containers": [{"name": "web", "args": [text], "env": [
            {"name": "A", "value": text},
            {"name": "PASSWORD", "value": "$(A)"},
        ]}]},
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((head, rest)) = data.split_first_chunk::<4>() else { return };
    let endpoint = chosen(head[0], &[Endpoint::Mutate, Endpoint::Validate]);
    let (group, kind) = chosen(head[1], &KINDS);
    let (object, old): (Value, Value) = match serde_json::from_slice(rest) {
        Ok(Value::Array(mut both)) if both.len() == 2 => (both.remove(0), both.remove(0)),
        Ok(object) => (object, Value::Null),
        Err(_) => (around(&String::from_utf8_lossy(rest)), Value::Null),
    };
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u",
            "kind": {"group": group, "version": "v1", "kind": kind},
            "operation": chosen(head[2], &OPERATIONS),
            "namespace": chosen(head[3], &NAMESPACES),
            "object": object,
            "oldObject": old,
        },
    });
    refgate_fuzz::check(&serde_json::to_vec(&review).expect("JSON"), endpoint);
});
