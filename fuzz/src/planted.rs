//! A foreign path, planted in the texts of an object of another system that a bound namespace may have: wherever it is not
//! known to lead nowhere, the object is refused. Rows of what leads nowhere are those of the property in `tests/it`.

use refgate::policy::carriers::{Handling, Kind};
use refgate::policy::decide;
use refgate::policy::decision::Outcome;
use refgate::policy::review::{Endpoint, parse};
use serde_json::{Value, json};

use crate::SNAPSHOT;
use crate::harmless::{HARMLESS, OF_NOBODY};

/// A path of another team.
const FOREIGN: &str = "mozmeao/snippets/prod/x";
/// Parts of an object that nobody reads for a path.
const META: [&str; 4] = ["/apiVersion", "/kind", "/metadata/", "/status/"];
/// Generators that make something up: nothing of them is read.
const MADE_UP: [&str; 3] = ["Password", "SSHKey", "UUID"];
/// So many texts of one object are planted into; each costs a decision.
const TEXTS: usize = 64;

/// A review of an object that is made, or that changes from `old`.
pub fn review(kind: &Kind, namespace: &str, object: &Value, old: Option<&Value>) -> Vec<u8> {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u",
            "kind": {"group": kind.group, "version": kind.versions[0], "kind": kind.kind},
            "operation": if old.is_some() { "UPDATE" } else { "CREATE" },
            "namespace": if kind.cluster_scoped { Value::Null } else { namespace.into() },
            "object": object,
            "oldObject": old,
        },
    });
    serde_json::to_vec(&review).expect("JSON")
}

fn is_let_in(kind: &Kind, object: &Value) -> bool {
    let body = review(kind, "team", object, None);
    let Ok(review) = parse(&body, Endpoint::Validate, &SNAPSHOT.settings.judged) else { return false };
    decide(&review, &SNAPSHOT).outcome == Outcome::Allow
}

/// Plants into an object, if it is let in as it is.
pub fn check(kind: &Kind, object: &Value) {
    let is_fenced = !kind.cluster_scoped && matches!(kind.handling, Handling::Judged { .. });
    if !is_fenced
        || MADE_UP.contains(&kind.kind)
        || OF_NOBODY.iter().any(|(name, _)| *name == kind.kind)
        || !is_let_in(kind, object)
    {
        return;
    }
    let mut places = Vec::new();
    texts(object, "", &mut places);
    let label = label(kind, object);
    for place in places.iter().take(TEXTS) {
        if META.iter().any(|start| place.starts_with(start)) || is_harmless(&label, place) {
            continue;
        }
        let mut planted = object.clone();
        if let Some(text) = planted.pointer_mut(place) {
            *text = FOREIGN.into();
        }
        assert!(!is_let_in(kind, &planted), "{label} {place}: {planted}");
    }
}

/// What `HARMLESS` calls an object.
fn label(kind: &Kind, object: &Value) -> String {
    let of = match (kind.group, kind.kind) {
        ("external-secrets.io", "SecretStore") => {
            let provider = object.pointer("/spec/provider").and_then(Value::as_object);
            let named = provider.and_then(|all| all.iter().find(|(_, value)| !value.is_null()));
            named.map_or("", |(name, _)| name)
        }
        (_, "SecretProviderClass") => {
            object.pointer("/spec/provider").and_then(Value::as_str).unwrap_or_default()
        }
        ("kubernetes-client.io", _) => "the archived operator",
        _ => return kind.kind.to_owned(),
    };
    format!("{} of {of}", kind.kind)
}

fn is_harmless(label: &str, pointer: &str) -> bool {
    let fits = |pattern: &str| {
        let (mut wanted, mut given) = (pattern.split('/'), pointer.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) | (Some("**"), _) => return true,
                (Some(want), Some(have)) if token_fits(want, have) => {}
                _ => return false,
            }
        }
    };
    HARMLESS.iter().any(|(kind, pattern, _)| (*kind == "*" || *kind == label) && fits(pattern))
}

fn token_fits(want: &str, have: &str) -> bool {
    match want.split_once('*') {
        Some((start, end)) => have.starts_with(start) && have.ends_with(end) && have.len() + 1 >= want.len(),
        None => want == have,
    }
}

fn texts(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                texts(inner, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                texts(inner, &format!("{at}/{index}"), found);
            }
        }
        Value::String(_) => found.push(at.to_owned()),
        _ => {}
    }
}
