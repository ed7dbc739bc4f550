//! The AdmissionReview around an object, as the API server would send it when the object is created.

use serde::Serialize;
use serde_json::Value;

use super::judge::Workload;

/// The review that the API server would send when the object is created.
pub(super) fn body(workload: &Workload<'_>, object: &Value) -> Vec<u8> {
    let group = &*workload.kind.group;
    let version = workload.api_version.rsplit('/').next().unwrap_or_default();
    let envelope = Envelope {
        kind: "AdmissionReview",
        api_version: "admission.k8s.io/v1",
        request: Request {
            uid: "file",
            kind: Named { group, version, kind: &workload.kind.kind },
            resource: Resource { group, version, resource: &workload.kind.resource },
            name: &workload.name,
            namespace: &workload.namespace,
            operation: "CREATE",
            user_info: User { username: "refgate", groups: [] },
            object,
            dry_run: true,
        },
    };
    // Maps with string keys and no failing Serialize: this cannot fail.
    serde_json::to_vec(&envelope).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    kind: &'static str,
    api_version: &'static str,
    request: Request<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    uid: &'static str,
    kind: Named<'a>,
    resource: Resource<'a>,
    name: &'a str,
    namespace: &'a str,
    operation: &'static str,
    user_info: User,
    object: &'a Value,
    dry_run: bool,
}

#[derive(Serialize)]
struct Named<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
}

#[derive(Serialize)]
struct Resource<'a> {
    group: &'a str,
    version: &'a str,
    resource: &'a str,
}

#[derive(Serialize)]
struct User {
    username: &'static str,
    groups: [&'static str; 0],
}
