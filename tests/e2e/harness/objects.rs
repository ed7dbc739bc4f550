//! The objects that tests make, as small as they can be.

use serde_json::{Value, json};

/// Plaintext that tests write where it must be refused, each found by a rule of its own: as an env value under a
/// credential's name, in a URL, behind an option, by its shape alone. They may come out nowhere.
pub const PASSWORD: &str = "pL4nt3dWoRdXq7";
pub const URL_PASSWORD: &str = "pL4nt3dUrLq8Zk";
pub const OPTION_PASSWORD: &str = "pL4nt3dArGvW9t";
pub const TOKEN: &str = concat!("gh", "p_oYhR4ouW8mGZ1fBzGd5kNcdtAqzh7A3CcRvf");

/// A pod of one container with env values.
pub fn pod(name: &str, env: &[(&str, &str)]) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec(env)})
}

pub fn pod_spec(env: &[(&str, &str)]) -> Value {
    json!({"containers": [container("web", env)], "terminationGracePeriodSeconds": 0})
}

pub fn container(name: &str, env: &[(&str, &str)]) -> Value {
    let env: Vec<Value> = env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({"name": name, "image": "example.com/app:1", "env": env})
}

/// A Deployment of such pods.
pub fn deployment(name: &str, replicas: u32, spec: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template(name, spec)},
    })
}

pub fn template(name: &str, spec: &Value) -> Value {
    json!({"metadata": {"labels": {"app": name}}, "spec": spec})
}
