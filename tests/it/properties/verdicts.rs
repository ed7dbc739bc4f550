//! What holds of every verdict: it does not depend on chance, on order or on what was there before.

use proptest::prelude::*;
use proptest::sample::select;
use refgate::policy::decide;
use refgate::policy::decision::Decision;
use refgate::policy::level::{Level, LevelLabels};
use refgate::policy::review::{Endpoint, parse};
use refgate::policy::snapshot::Snapshot;
use serde_json::Value;

use super::{config, denial, generate, judged, mutated, patched, review, spots, validated, world, wrapped};

const KINDS: [&str; 6] = ["Pod", "Deployment", "Job", "CronJob", "PodTemplate", "ReplicationController"];
const ENDPOINTS: [Endpoint; 2] = [Endpoint::Mutate, Endpoint::Validate];

/// What the labels of a namespace may say; at the last, findings abound and nothing denies them.
fn levels() -> impl Strategy<Value = LevelLabels> {
    let level = select(vec![None, Some(Level::Off), Some(Level::Baseline), Some(Level::Restricted)]);
    let any = (level.clone(), level.clone(), level);
    let talkative = (Some(Level::Off), Some(Level::Restricted), Some(Level::Restricted));
    prop_oneof![2 => any, 1 => Just(talkative)].prop_map(|(enforce, warn, audit)| LevelLabels {
        enforce,
        warn,
        audit,
    })
}

/// The same JSON with the members of all its objects in the opposite order.
fn reversed(value: &Value, out: &mut String) {
    let mut separator = "";
    match value {
        Value::Object(fields) => {
            out.push('{');
            for (key, field) in fields.iter().rev() {
                out.push_str(&format!("{separator}{}:", Value::from(key.as_str())));
                reversed(field, out);
                separator = ",";
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                out.push_str(separator);
                reversed(item, out);
                separator = ",";
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// Warnings as an API server takes them: it drops those with control characters, and cuts beyond 4096 characters.
fn heeds_budgets(decision: &Decision) -> Result<(), TestCaseError> {
    let total: usize = decision.warnings.iter().map(|warning| warning.chars().count()).sum();
    prop_assert!(total <= 4096, "{} characters of warnings", total);
    for text in decision.warnings.iter().map(String::as_str).chain(denial(decision)) {
        prop_assert!(!text.contains(char::is_control), "{:?}", text);
        prop_assert!(!text.is_empty());
    }
    prop_assert!(denial(decision).is_none_or(|message| message.len() < 8192));
    Ok(())
}

fn body_judged(body: &str, endpoint: Endpoint, snapshot: &Snapshot) -> Decision {
    decide(&parse(body.as_bytes(), endpoint, &snapshot.settings.kinds).unwrap(), snapshot)
}

proptest! {
    #![proptest_config(config(120))]

    #[test]
    fn chance_and_the_order_of_members_decide_nothing(
        pod in spots::pod(),
        world in world::any(),
        levels in levels(),
        kind in select(&KINDS[..]),
    ) {
        let snapshot = world::snapshot_at(&world, levels);
        for endpoint in ENDPOINTS {
            let review = review("CREATE", kind, &wrapped(kind, &pod), &Value::Null);
            let decision = judged(endpoint, &review, &snapshot);
            prop_assert_eq!(&decision, &judged(endpoint, &review, &world::snapshot_at(&world, levels)));
            let mut turned = String::new();
            reversed(&review, &mut turned);
            let turned = body_judged(&turned, endpoint, &snapshot);
            prop_assert_eq!(&decision.outcome, &turned.outcome);
            prop_assert_eq!(&decision.patch, &turned.patch);
            prop_assert_eq!(&decision.findings, &turned.findings);
            prop_assert_eq!(&decision.references, &turned.references);
            prop_assert_eq!(&decision.rules, &turned.rules);
            let places = decision.findings.iter().map(|finding| (&finding.pointer, finding.rule));
            prop_assert!(places.is_sorted());
            prop_assert!(decision.references.is_sorted() && decision.rules.is_sorted());
        }
    }

    #[test]
    fn an_update_that_changes_nothing_is_never_denied(
        pod in spots::pod(),
        world in world::any(),
        levels in levels(),
        kind in select(&KINDS[..]),
    ) {
        let object = wrapped(kind, &pod);
        for endpoint in ENDPOINTS {
            let review = review("UPDATE", kind, &object, &object);
            let decision = judged(endpoint, &review, &world::snapshot_at(&world, levels));
            prop_assert_eq!(denial(&decision), None);
            prop_assert!(!decision.warnings.iter().any(|text| text.starts_with("secrets as env vars")));
            prop_assert_eq!(decision.patch, None);
        }
    }

    /// The person at the keyboard sees what the pods will meet: no less, and no more.
    #[test]
    fn a_workload_is_denied_where_its_pods_are(
        pod in prop_oneof![spots::pod_with(&spots::SPOTS[..12], 8), generate::any_pod()],
        world in world::any(),
        levels in levels(),
    ) {
        // A mirror pod is no controller's.
        prop_assume!(pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null());
        let snapshot = world::snapshot_at(&world, levels);
        let of_workload = validated("Deployment", &wrapped("Deployment", &pod), &snapshot);
        let first = mutated(&pod, &snapshot);
        // What may come a moment later denies pods alone, and whoever applies the workload is told.
        if !first.refusals.is_empty() && first.refusals.iter().all(|refusal| refusal.cause.is_awaited()) {
            let is_told = of_workload.warnings.iter().any(|text| text.starts_with("its pods: "));
            prop_assert!(is_told || denial(&of_workload).is_some(), "{:?}", of_workload.warnings);
            return Ok(());
        }
        let of_pod = match denial(&first) {
            Some(_) => first,
            None => validated("Pod", &patched(&pod, &first), &snapshot),
        };
        let (of_workload, of_pod) = (denial(&of_workload), denial(&of_pod));
        prop_assert_eq!(of_workload.is_some(), of_pod.is_some(), "{:?}, pod: {:?}", of_workload, of_pod);
    }
}

proptest! {
    #![proptest_config(config(40))]

    /// Pods with so much wrong that not all of it can be said.
    #[test]
    fn warnings_and_denials_heed_the_budgets(
        pod in prop_oneof![spots::pod_with(&spots::SPOTS, 40), spots::plaintext_pod()],
        before in spots::pod(),
        world in world::any(),
        levels in levels(),
        kind in select(&KINDS[..]),
    ) {
        let snapshot = world::snapshot_at(&world, levels);
        for endpoint in ENDPOINTS {
            for (operation, old) in [("CREATE", Value::Null), ("UPDATE", wrapped(kind, &before))] {
                let review = review(operation, kind, &wrapped(kind, &pod), &old);
                heeds_budgets(&judged(endpoint, &review, &snapshot))?;
            }
        }
    }
}
