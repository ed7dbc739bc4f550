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

/// What a file is checked for is what the API server refuses: the same marks, at each of the three places that a byte can have
/// in a group of base64, and the same annotations.
#[test]
fn policies_on_secrets_and_the_check_of_files_say_the_same() {
    let expressions = |name: &str| named("ValidatingAdmissionPolicy", name)["spec"].to_string();
    let leftovers = expressions("refgate-leftovers");
    for (mark, _) in LEFTOVERS {
        for offset in 0..3 {
            let padded = STANDARD.encode(format!("{}{mark}", "x".repeat(offset)));
            // The bytes before it show in the first characters, and what comes behind it in the last ones.
            let first = [0, 2, 3][offset];
            let last = (offset + mark.len()) / 3 * 4 + [0, 1, 2][(offset + mark.len()) % 3];
            assert!(leftovers.contains(&padded[first..last]), "{mark} at {offset}: {}", &padded[first..last]);
        }
    }
    let replicators = expressions("refgate-replicators");
    for start in carriers::COPIERS {
        assert!(replicators.contains(start), "{start}");
    }
}
