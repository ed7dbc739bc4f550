//! CRDs of other systems: where they are, and how a cluster gets them.

use std::fs;
use std::path::Path;

use refgate::yaml;
use serde_json::Value;

use super::api::APPLY;
use super::plane::Plane;
use super::wait::until;

/// All CRDs of a file.
pub fn read(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    let documents = yaml::documents(&text)
        .map(|document| document.unwrap_or_else(|error| panic!("{file:?}: {error}")).value);
    documents.filter(|document| document["kind"] == "CustomResourceDefinition").collect()
}

/// Installs them, those that are there as they are here, and waits until their resources are served.
pub fn install(plane: &Plane, crds: &[Value]) {
    let api = &plane.admin.api;
    let path = |crd: &Value| {
        let name = crd["metadata"]["name"].as_str().unwrap();
        format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
    };
    for crd in crds {
        api.patch(&format!("{}?fieldManager=e2e&force=true", path(crd)), APPLY, crd).ok();
    }
    for crd in crds {
        until(&format!("{} is served", path(crd)), || {
            let there = api.get(&path(crd)).ok();
            let all = there["status"]["conditions"].as_array()?.clone();
            let is_served =
                |condition: &Value| condition["type"] == "Established" && condition["status"] == "True";
            all.iter().any(is_served).then_some(())
        });
    }
}
