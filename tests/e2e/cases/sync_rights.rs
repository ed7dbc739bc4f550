//! The rights of the sync: from the audit log, after all other tests of it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::rights::given;
use crate::harness::sync::ACCOUNT;
use crate::harness::world::World;

/// Where a role counts, with the role.
const ROLES: [(&str, &str); 4] = [
    ("bound", "clusterroles/refgate-sync-secrets"),
    ("", "clusterroles/refgate-sync"),
    ("refgate-system", "namespaces/refgate-system/roles/refgate-sync-catalogue"),
    ("refgate-system", "namespaces/refgate-system/roles/refgate-sync-lease"),
];

/// It asked for nothing that it may not, and for everything that it may.
pub fn least_privilege(world: &World) {
    let mut used = BTreeSet::new();
    for event in world.plane.audit_log() {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        // The setup uses the same account, with a token of its own, and does some things that the sync does not.
        let is_ours =
            text("/user/username") == ACCOUNT && !text("/requestURI").starts_with("/apis/authorization");
        if !is_ours || event["user"]["extra"].to_string().contains(&world.sync_credential) {
            continue;
        }
        let resource = match text("/objectRef/subresource") {
            "" => text("/objectRef/resource").to_owned(),
            sub => format!("{}/{sub}", text("/objectRef/resource")),
        };
        // Namespaces that are bound and were not given to it are a case of their own.
        let is_missing = (&*resource, text("/verb")) == ("secrets", "list");
        let decision = event["annotations"]["authorization.k8s.io/decision"].as_str();
        assert!(decision != Some("forbid") || is_missing, "{event}");
        let place = match &*resource {
            "" => continue,
            "secrets" => "bound",
            "configmaps" | "leases" => "refgate-system",
            _ => "",
        };
        let right = |verb: &str| [place, text("/objectRef/apiGroup"), &resource, verb].map(str::to_owned);
        used.insert(right(text("/verb")));
        if event["responseStatus"]["code"] == 201 {
            // A server-side apply that makes something takes both.
            used.insert(right("create"));
        }
    }
    // What a test of kinds that come later gives it for its while.
    used.retain(|[_, _, resource, _]| resource != "podtemplates");
    assert_eq!(used, given(&world.plane, &ROLES));
}
