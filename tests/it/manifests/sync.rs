//! The manifests of the sync.

use std::collections::BTreeSet;

use serde_json::json;

use super::{list, named, only, role, shipped_configuration, texts};

#[test]
fn the_sync_watches_what_is_judged() {
    let mut watched = BTreeSet::new();
    for rule in list(&role("ClusterRole", "refgate-sync"), "/rules") {
        if texts(rule, "/verbs") == ["list", "watch"] {
            for group in texts(rule, "/apiGroups") {
                watched.extend(
                    texts(rule, "/resources")
                        .iter()
                        .map(|resource| (group.to_owned(), (*resource).to_owned())),
                );
            }
        }
    }
    assert!(watched.remove(&(String::new(), "namespaces".to_owned())));
    let kinds = shipped_configuration().settings.kinds;
    assert_eq!(
        watched,
        kinds.iter().map(|kind| (kind.group.to_string(), kind.resource.to_string())).collect()
    );
}

#[test]
fn the_deployment_of_the_sync_fits_together() {
    let deployment = named("Deployment", "refgate-sync");
    assert_eq!(deployment["spec"]["replicas"], 2);
    assert_eq!(deployment["spec"]["template"]["spec"]["serviceAccountName"], "refgate-sync");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    // The Service of the webhook must not find it.
    assert_ne!(&only("Service")["spec"]["selector"], labels);
    for selector in [
        &deployment["spec"]["selector"]["matchLabels"],
        &named("PodDisruptionBudget", "refgate-sync")["spec"]["selector"]["matchLabels"],
        &named("NetworkPolicy", "refgate-sync")["spec"]["podSelector"]["matchLabels"],
    ] {
        assert_eq!(selector, labels);
    }
    // The agent of EKS Pod Identity has one address for each family.
    let egress = list(&named("NetworkPolicy", "refgate-sync"), "/spec/egress").last().unwrap().clone();
    let agent =
        json!([{"ipBlock": {"cidr": "169.254.170.23/32"}}, {"ipBlock": {"cidr": "fd00:ec2::23/128"}}]);
    assert_eq!((&egress["to"], &egress["ports"]), (&agent, &json!([{"protocol": "TCP", "port": 80}])));
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    for (probe, path) in [("readinessProbe", "/readyz"), ("livenessProbe", "/livez")] {
        assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": "health"}));
    }
    let ingress = &named("NetworkPolicy", "refgate-sync")["spec"]["ingress"];
    assert_eq!(ingress[0]["ports"], json!([{"protocol": "TCP", "port": "metrics"}]));
    assert!(ingress.get(1).is_none(), "{ingress}");
    let lease = list(&role("Role", "refgate-sync-lease"), "/rules").to_vec();
    assert!(lease.iter().any(|rule| rule["resourceNames"] == json!([refgate::sync::lease::NAME])));
}
