//! Any object of any carrier: the first bytes choose the kind, the operation and the namespace, the rest is the object. Where it
//! is no JSON, it becomes the text of the fields that hold texts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use refgate::policy::carriers;
use refgate::policy::review::Endpoint;
use serde_json::{Value, json};

const NAMESPACES: [&str; 4] = ["team", "strict", "free", "broken"];

/// An object that has a text wherever a carrier looks for one.
fn around(text: &str) -> Value {
    json!({
        "metadata": {"name": text, "annotations": {text: text}},
        "spec": {
            "provider": "aws", "parameters": {"region": "us-west-2", "objects": text, "secrets": text},
            "secretStoreRef": {"name": text}, "backendType": text, "itemPath": text, "mount": text, "path": text,
            "data": [{"secretKey": text, "remoteRef": {"key": text, "property": text}, "key": text, "name": text}],
            "dataFrom": [{"extract": {"key": text}}, {"find": {"path": text}}, text],
            "target": {"template": {"data": {text: text}}}, "encryptedData": {text: text}, "template": {"data": {text: text}},
            "secretTemplates": [{"name": text, "stringData": {text: text}}],
        },
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((head, rest)) = data.split_first_chunk::<3>() else { return };
    let kinds: Vec<_> = carriers::kinds().map(|(_, kind)| kind).collect();
    let kind = kinds[usize::from(head[0]) % kinds.len()];
    let (object, old): (Value, Value) = match serde_json::from_slice(rest) {
        Ok(Value::Array(mut both)) if both.len() == 2 => (both.remove(0), both.remove(0)),
        Ok(object) => (object, Value::Null),
        Err(_) => (around(&String::from_utf8_lossy(rest)), Value::Null),
    };
    let namespace = NAMESPACES[usize::from(head[2]) % NAMESPACES.len()];
    // One that names nothing outside is let in, and then nothing else may lead there.
    if namespace == "team" && head[1] % 2 == 0 {
        refgate_fuzz::planted::check(kind, &object);
    }
    let review = refgate_fuzz::planted::review(kind, namespace, &object, (head[1] % 2 == 1).then_some(&old));
    refgate_fuzz::check(&review, Endpoint::Validate);
});
