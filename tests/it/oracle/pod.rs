//! Looking into a pod, and adding to its lists.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

pub(super) fn members(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// Whether the kubelet puts a variable into a text. `$$` is a dollar, and whatever follows is plain text.
pub(super) fn uses(text: &str, name: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        match rest.chars().next() {
            Some('$') => rest = &rest[1..],
            Some('(') => {
                let Some(end) = rest.find(')') else { return false };
                if &rest[1..end] == name {
                    return true;
                }
                rest = &rest[end + 1..];
            }
            _ => {}
        }
    }
    false
}

/// Appends to a list that may be null or not there at all.
pub(super) fn push(parent: &mut Value, list: &str, element: Value) {
    if parent[list].is_null() {
        parent[list] = json!([]);
    }
    parent[list].as_array_mut().unwrap().push(element);
}

/// Secret and item for each file of a projected volume.
pub(super) fn shown(pod: &Value, volume: &Value) -> Vec<(Value, Map<String, Value>)> {
    members(&pod["spec"]["volumes"])
        .filter(|there| there["name"] == *volume)
        .flat_map(|there| members(&there["projected"]["sources"]))
        .map(|source| &source["secret"])
        .flat_map(|secret| members(&secret["items"]).map(|item| (secret["name"].clone(), item)))
        .filter_map(|(secret, item)| Some((secret, item.as_object()?.clone())))
        .collect()
}

/// The mounts of all containers.
pub(super) fn mounts(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|list| members(&pod["spec"][list]))
        .flat_map(|container| members(&container["volumeMounts"]))
}

/// Whether a volume that is there shows the very files, with the same mode, and nothing else.
pub(super) fn same_volume(there: &Value, made: &Value) -> bool {
    let files = |projected: &Value| {
        let mut files = BTreeSet::new();
        for source in members(&projected["sources"]) {
            let secret = &source["secret"];
            let only = source.as_object().is_some_and(|source| source.len() == 1);
            if !only || members(&secret["items"]).next().is_none() {
                return None;
            }
            for item in members(&secret["items"]) {
                let optional = secret["optional"] == true;
                files.insert(format!("{} {} {} {optional}", item["path"], secret["name"], item["key"]));
            }
        }
        Some(files)
    };
    there["defaultMode"] == made["defaultMode"] && files(there).is_some() && files(there) == files(made)
}

/// Every key of a Secret that a container reads: Secret, key, how, and where.
pub(super) fn reads(pod: &Value) -> Vec<(String, String, &'static str, String)> {
    let mut reads = Vec::new();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in members(&pod["spec"][list]) {
            let name = container["name"].as_str().unwrap();
            for entry in members(&container["env"]) {
                let selector = &entry["valueFrom"]["secretKeyRef"];
                if let (Some(secret), Some(key)) = (text(&selector["name"]), text(&selector["key"])) {
                    reads.push((secret, key, "env", format!("{name}/{}", entry["name"].as_str().unwrap())));
                }
            }
            for from in members(&container["envFrom"]) {
                if let Some(secret) = text(&from["secretRef"]["name"]) {
                    reads.push((secret, "*".to_owned(), "env", format!("{name}/*")));
                }
            }
            for mount in members(&container["volumeMounts"]) {
                for (secret, item) in shown(pod, &mount["name"]) {
                    if let (Some(secret), Some(key)) = (text(&secret), text(&item["key"])) {
                        reads.push((
                            secret,
                            key,
                            "file",
                            format!("{name}/{}", item["path"].as_str().unwrap()),
                        ));
                    }
                }
            }
        }
    }
    reads
}
