//! What the API server makes of objects: the rules of its writes, as far as the sync meets them.

use serde_json::{Map, Value, json};

pub const NAMESPACES: &str = "/api/v1/namespaces";
pub const SECRETS: &str = "/api/v1/secrets";
pub const CONFIG_MAPS: &str = "/api/v1/configmaps";
pub const EVENTS: &str = "/api/v1/events";
pub const LEASES: &str = "/apis/coordination.k8s.io/v1/leases";
pub const PODS: &str = "/api/v1/pods";

/// Why a write is not done.
#[derive(Debug)]
pub struct Refusal(u16, &'static str);

impl Refusal {
    pub const NOT_FOUND: Self = Self(404, "NotFound");
    pub const EXISTS: Self = Self(409, "AlreadyExists");
    pub const CONFLICT: Self = Self(409, "Conflict");
    pub const FORBIDDEN: Self = Self(403, "Forbidden");
    pub const INVALID: Self = Self(422, "Invalid");

    pub fn answer(self) -> (u16, Value) {
        (self.0, status(self.0, self.1, "refused"))
    }
}

pub fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message})
}

/// The answer to whoever makes something in a namespace that is being deleted.
pub fn ending() -> Value {
    let mut status = status(
        403,
        "Forbidden",
        "unable to create new content in namespace web because it is being terminated",
    );
    status["details"] =
        json!({"causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]});
    status
}

pub fn is_terminating(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// A PUT: over the version that was read.
pub fn replaced(there: Option<&Value>, sent: Value) -> Result<Value, Refusal> {
    let there = there.ok_or(Refusal::NOT_FOUND)?;
    if there["metadata"]["resourceVersion"] != sent["metadata"]["resourceVersion"] {
        return Err(Refusal::CONFLICT);
    }
    Ok(sent)
}

/// A server-side apply with force: what this manager applied before and does not name any more goes.
pub fn applied(there: Option<&Value>, before: Option<&Value>, sent: &Value) -> Result<Value, Refusal> {
    let uid = &sent["metadata"]["uid"];
    let Some(there) = there else {
        return if uid.is_null() { Ok(sent.clone()) } else { Err(Refusal::CONFLICT) };
    };
    if !uid.is_null() && *uid != there["metadata"]["uid"] {
        return Err(Refusal::CONFLICT);
    }
    let mut new = there.clone();
    apply(&mut new, before.unwrap_or(&Value::Null), sent);
    Ok(new)
}

fn apply(live: &mut Value, before: &Value, sent: &Value) {
    let Value::Object(sent) = sent else {
        *live = sent.clone();
        return;
    };
    if !live.is_object() {
        *live = Value::Object(Map::new());
    }
    let live = live.as_object_mut().unwrap();
    for key in before.as_object().into_iter().flat_map(Map::keys) {
        if !sent.contains_key(key) {
            live.remove(key);
        }
    }
    for (key, value) in sent {
        apply(live.entry(key).or_insert(Value::Null), &before[key], value);
    }
}

/// A merge patch.
pub fn merged(there: Option<&Value>, patch: &Value) -> Result<Value, Refusal> {
    let there = there.ok_or(Refusal::NOT_FOUND)?;
    let uid = &patch["metadata"]["uid"];
    if !uid.is_null() && *uid != there["metadata"]["uid"] {
        return Err(Refusal::INVALID);
    }
    let mut new = there.clone();
    json_patch::merge(&mut new, patch);
    Ok(new)
}

/// What no write may do to a Secret (Kubernetes, `ValidateSecret`).
pub fn check(there: Option<&Value>, new: &Value) -> Result<(), Refusal> {
    // Of a ConfigMap the sync writes fixed keys, which keep the same rule.
    let is_key = |key: &String| {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        (1..=253).contains(&key.len()) && key.bytes().all(is_legal) && key != "." && !key.starts_with("..")
    };
    if new["data"].as_object().is_some_and(|data| !data.keys().all(is_key)) {
        return Err(Refusal::INVALID);
    }
    let Some(there) = there else { return Ok(()) };
    let is_changed = |key: &str| there[key] != new[key];
    let is_fixed = there["immutable"] == true && (is_changed("data") || is_changed("immutable"));
    let is_other = !there["type"].is_null() && is_changed("type");
    if is_fixed || is_other { Err(Refusal::INVALID) } else { Ok(()) }
}

/// What the server adds by itself.
pub fn complete(resource: &str, object: &mut Value) {
    if resource == SECRETS && object["type"].is_null() {
        object["type"] = "Opaque".into();
    }
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.entry("creationTimestamp").or_insert_with(|| "2026-11-01T00:00:00Z".into());
    for map in ["labels", "annotations"] {
        if metadata.get(map).is_some_and(|map| map.as_object().is_some_and(Map::is_empty)) {
            metadata.remove(map);
        }
    }
}
