//! The policies in the API server, and what `check` says of the same on files.

use super::*;

#[test]
fn every_policy_is_bound_and_fails_closed() {
    let name = |object: &Value| text(object, "/metadata/name").to_owned();
    let policies = of_kind("ValidatingAdmissionPolicy");
    let bindings = of_kind("ValidatingAdmissionPolicyBinding");
    for policy in &policies {
        assert_eq!(policy["spec"]["failurePolicy"], "Fail", "{}", name(policy));
        let bound =
            bindings.iter().any(|binding| binding["spec"]["policyName"] == policy["metadata"]["name"]);
        assert!(bound, "{} is not bound", name(policy));
    }
    for binding in &bindings {
        let policy = &binding["spec"]["policyName"];
        assert!(policies.iter().any(|known| known["metadata"]["name"] == *policy), "{policy} is no policy");
    }
}

#[test]
fn the_policy_on_replicators_and_the_check_of_files_know_the_same() {
    let replicators = named("ValidatingAdmissionPolicy", "refgate-replicators")["spec"].to_string();
    for start in carriers::COPIERS {
        assert!(replicators.contains(start), "{start}");
    }
}

/// Each kind that replicators copy is judged by a binding of its own, which can go alone.
#[test]
fn replicators_are_refused_of_secrets_and_of_config_maps() {
    let policy = named("ValidatingAdmissionPolicy", "refgate-replicators");
    let rules = list(&policy, "/spec/matchConstraints/resourceRules");
    let judged: BTreeSet<&str> = rules.iter().flat_map(|rule| texts(rule, "/resources")).collect();
    let bindings = of_kind("ValidatingAdmissionPolicyBinding");
    let mut bound = BTreeSet::new();
    for binding in bindings.iter().filter(|row| row["spec"]["policyName"] == "refgate-replicators") {
        let rules = list(binding, "/spec/matchResources/resourceRules");
        let resources: Vec<&str> = rules.iter().flat_map(|rule| texts(rule, "/resources")).collect();
        assert_eq!(resources.len(), 1, "{binding}");
        bound.extend(resources.into_iter().map(str::to_owned));
    }
    assert_eq!(judged, BTreeSet::from(["configmaps", "secrets"]));
    assert_eq!(bound.iter().map(String::as_str).collect::<BTreeSet<_>>(), judged);
}
