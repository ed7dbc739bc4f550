//! Every place of a pod where a text is judged, and texts for them.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::generate::{Json, any_pod};

/// Where a text is put.
#[derive(Debug, Clone, Copy)]
pub enum Spot {
    Env,
    Arg,
    Command,
    ProbeCommand,
    ProbeHeader,
    ProbePath,
    HookCommand,
    HookHeader,
    Annotation,
    CsiAttribute,
    FlexOption,
    GitRepository,
    LastApplied,
    BrokenLastApplied,
}

/// All of them; the last two hold a manifest, which only a reader of its kind understands.
pub const SPOTS: [Spot; 14] = [
    Spot::Env,
    Spot::Arg,
    Spot::Command,
    Spot::ProbeCommand,
    Spot::ProbeHeader,
    Spot::ProbePath,
    Spot::HookCommand,
    Spot::HookHeader,
    Spot::Annotation,
    Spot::CsiAttribute,
    Spot::FlexOption,
    Spot::GitRepository,
    Spot::LastApplied,
    Spot::BrokenLastApplied,
];

/// The key of a map or the end of a list, made where it is not there.
fn at<'v>(parent: &'v mut Value, key: &str) -> &'v mut Value {
    let field = &mut parent[key];
    if field.is_null() {
        *field = json!({});
    }
    field
}

fn push(parent: &mut Value, list: &str, element: Value) {
    if parent[list].is_null() {
        parent[list] = json!([]);
    }
    parent[list].as_array_mut().unwrap().push(element);
}

/// Puts a text somewhere into a pod; where the place wants a name for it, it gets `name`.
pub fn put(pod: &mut Value, spot: Spot, name: &str, text: &str) {
    if let Spot::Annotation | Spot::LastApplied | Spot::BrokenLastApplied = spot {
        let annotations = at(at(pod, "metadata"), "annotations");
        let mut applied = json!({"metadata": {}, "spec": {"containers": [{"name": "web"}]}});
        put(&mut applied, Spot::Env, name, text);
        put(&mut applied, Spot::Arg, name, text);
        let key = "kubectl.kubernetes.io/last-applied-configuration";
        match spot {
            Spot::Annotation => annotations[name] = json!(text),
            Spot::LastApplied => annotations[key] = json!(applied.to_string()),
            _ => annotations[key] = json!(format!("{applied}}}")),
        }
        return;
    }
    if let Spot::CsiAttribute | Spot::FlexOption | Spot::GitRepository = spot {
        let source = match spot {
            Spot::CsiAttribute => {
                json!({"csi": {"driver": "csi.example.com", "volumeAttributes": {name: text}}})
            }
            Spot::FlexOption => json!({"flexVolume": {"driver": "example.com/x", "options": {name: text}}}),
            _ => json!({"gitRepo": {"repository": text}}),
        };
        let mut volume = source;
        volume["name"] = json!("planted");
        push(&mut pod["spec"], "volumes", volume);
        return;
    }
    let container = &mut pod["spec"]["containers"][0];
    match spot {
        Spot::Env => push(container, "env", json!({"name": name, "value": text})),
        Spot::Arg => {
            push(container, "args", json!(format!("--{name}")));
            push(container, "args", json!(text));
        }
        Spot::Command => push(container, "command", json!(text)),
        Spot::ProbeCommand => {
            push(at(at(container, "livenessProbe"), "exec"), "command", json!(text));
        }
        Spot::ProbeHeader => {
            let request = at(at(container, "readinessProbe"), "httpGet");
            push(request, "httpHeaders", json!({"name": name, "value": text}));
        }
        Spot::ProbePath => at(at(container, "startupProbe"), "httpGet")["path"] = json!(text),
        Spot::HookCommand => {
            push(at(at(at(container, "lifecycle"), "preStop"), "exec"), "command", json!(text));
        }
        _ => {
            let request = at(at(at(container, "lifecycle"), "postStart"), "httpGet");
            push(request, "httpHeaders", json!({"name": name, "value": text}));
        }
    }
}

/// Names that promise a secret, names that do not, and names that no API server would take.
pub fn name() -> impl Strategy<Value = String> {
    let odd =
        select(&["", "PASS\nWORD", "t\u{1b}[31m", "a/b~c", "Ä", "refgate.dev/x", "\u{7f}", "\u{202e}"][..]);
    let plain = select(&["PASSWORD", "API_TOKEN", "X", "Authorization", "password", "db-secret-name"][..]);
    prop_oneof![4 => plain.prop_map(str::to_owned), 1 => odd.prop_map(str::to_owned), 1 => "[A-Z_]{1,300}"]
}

const FINDINGS: [&str; 7] = [
    "Zq8mT3vLx0RbNc5W",
    "postgres://app:Zq8mT3vLx0RbNc5W@db/x",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA1\n-----END RSA PRIVATE KEY-----",
    "--password=Zq8mT3vLx0RbNc5W",
    "{\"password\": \"Zq8mT3vLx0RbNc5W\"}",
    "Bearer Zq8mT3vLx0RbNc5WZq8mT3vLx0RbNc5W",
    "changeme",
];

/// References of other systems, and references of ours that come together late.
const REFERENCES: [&str; 7] = [
    "vault:secret/data/x#key",
    "op://vault/item/field",
    "arn:aws:secretsmanager:us-west-2:111122223333:secret:mozmeao/snippets/stage/x-AbCdEf",
    "mozmeao-secret@azurekeyvault",
    "secret:smtp",
    "ret:smtp",
    "sec$(PASSWORD)",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => select(&FINDINGS[..]).prop_map(str::to_owned),
        3 => select(&REFERENCES[..]).prop_map(str::to_owned),
        1 => ".{0,20}",
        1 => "[a-zA-Z0-9+/=]{0,80}",
    ]
}

/// A pod with plaintext all over, and nothing that denies it at level `off`.
pub fn plaintext_pod() -> impl Strategy<Value = Json> {
    let planted = prop::collection::vec((select(&SPOTS[..]), name(), select(&FINDINGS[..])), 0..80);
    planted.prop_map(|planted| {
        let mut pod = json!({"metadata": {}, "spec": {"containers": [{"name": "web"}]}});
        for (spot, name, text) in planted {
            put(&mut pod, spot, &name, text);
        }
        Json(pod)
    })
}

/// A pod with texts in a few places.
pub fn pod() -> impl Strategy<Value = Json> {
    pod_with(&SPOTS, 8)
}

/// A pod with texts in some places, fewer than `most`.
pub fn pod_with(spots: &'static [Spot], most: usize) -> impl Strategy<Value = Json> {
    let planted = prop::collection::vec((select(spots), name(), text()), 0..most);
    (any_pod(), planted).prop_map(|(Json(mut pod), planted)| {
        for (spot, name, text) in planted {
            put(&mut pod, spot, &name, &text);
        }
        Json(pod)
    })
}
