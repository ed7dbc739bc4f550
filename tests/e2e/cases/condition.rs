//! The condition on the mutating webhook, evaluated by the API server itself: what RefGate would patch or refuse is sent to it,
//! and what is not sent is refused where it holds a reference all the same.

use std::cell::Cell;
use std::fs;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngSeed, TestRunner};
use refgate::policy::decision::Outcome;
use refgate::policy::path::secret_name;
use refgate::policy::review::{Endpoint, parse};
use refgate::policy::snapshot::{Settings, Snapshot};
use serde_json::{Value, json};

use crate::harness::api::{Api, MERGE};
use crate::harness::objects::{PASSWORD, pod};
use crate::harness::refgate::repository;
use crate::harness::wait::until;
use crate::harness::world::World;

#[path = "../../it/properties/generate.rs"]
mod generate;

/// Pods that are tried; the API server does not take all of them, since some are no valid pods.
const PODS: u32 = 400;
const NOT_SENT: &str = "not sent to RefGate";

/// The text of the condition in the manifest; both entries have the same.
fn condition() -> String {
    let text = fs::read_to_string(repository().join("manifests/base/60-mutating-webhook.yaml")).unwrap();
    let webhooks = refgate::yaml::documents(&text).next().unwrap().unwrap().value;
    let expression = |entry: usize| {
        let conditions = webhooks["webhooks"][entry]["matchConditions"].as_array().unwrap();
        assert_eq!(conditions.len(), 1);
        conditions[0]["expression"].as_str().unwrap().to_owned()
    };
    assert_eq!(expression(0), expression(1));
    expression(0)
}

/// A policy that warns where the condition says no, in a namespace that RefGate's webhooks leave out, for the pods of one test.
struct Condition<'w> {
    api: &'w Api,
    name: &'static str,
}

impl<'w> Condition<'w> {
    fn install(world: &'w World, name: &'static str) -> Self {
        let api = &world.plane.admin.api;
        let base = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic";
        let policy = json!({"metadata": {"name": name}, "spec": {
            "matchConstraints": {
                "objectSelector": {"matchLabels": {"e2e": name}},
                "resourceRules": [
                    {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]},
                ],
            },
            "validations": [{"expression": condition(), "message": NOT_SENT}],
        }});
        api.post(&format!("{base}ies"), &policy).ok();
        let binding =
            json!({"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Warn"]}});
        api.post(&format!("{base}ybindings"), &binding).ok();
        let condition = Self { api, name };
        until("the policy is in force", || {
            (condition.sends(&pod("probe", &[])) == Some(false)).then_some(())
        });
        condition
    }

    /// Whether the API server would send a pod to RefGate; `None` for what is no pod in its eyes, such as a mirror pod that
    /// reads a Secret.
    fn sends(&self, pod: &Value) -> Option<bool> {
        let mut pod = pod.clone();
        pod["metadata"]["labels"] = json!({"e2e": self.name});
        let answer = self.api.post("/api/v1/namespaces/kube-system/pods?dryRun=All", &pod);
        if matches!(answer.code, 400 | 403 | 422) {
            return None;
        }
        assert!(answer.is_ok(), "{}", answer.body);
        let warning = answer.warnings.iter().find(|text| text.contains(self.name));
        // A condition that cannot be evaluated would refuse pods that nobody meant.
        assert!(warning.is_none_or(|text| text.ends_with(NOT_SENT)), "{warning:?}");
        Some(warning.is_none())
    }
}

/// Whether RefGate would patch or refuse a new pod, in a namespace with a scope or in one without.
fn acts(pod: &Value, snapshot: &Snapshot) -> bool {
    ["bound", "free"].into_iter().any(|namespace| {
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "operation": "CREATE", "namespace": namespace, "userInfo": {"username": "dev"},
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": pod, "oldObject": null,
        }});
        let body = serde_json::to_vec(&review).unwrap();
        let review = parse(&body, Endpoint::Mutate, &snapshot.settings.kinds).unwrap();
        let decision = refgate::policy::decide(&review, snapshot);
        decision.patch.is_some() || !matches!(decision.outcome, Outcome::Allow)
    })
}

fn snapshot() -> Snapshot {
    const WORLD: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: bound, labels: {refgate.dev/group: mozmeao, refgate.dev/app: snippets, refgate.dev/env: stage}}
---
apiVersion: v1
kind: Namespace
metadata: {name: free}
";
    refgate::world::World::read(WORLD).snapshot(Arc::new(Settings::default()))
}

/// Annotations that are, or nearly are, what the condition looks for.
const KEYS: [&str; 8] = [
    "env.refgate.dev/A",
    "refgate.dev/env-from",
    "REFGATE.DEV/Env-From",
    "x.Refgate.Dev/y",
    "refgate.dev/refs",
    "xrefgate.dev/x",
    "refgate.dev.example.com/x",
    "example.com/refgate.dev",
];
/// And env values.
const VALUES: [&str; 10] = [
    "secret:smtp",
    "secret:",
    "secret+file:",
    "secret+file:smtp?optinal",
    "secret+files:smtp",
    "Secret:smtp",
    " secret:smtp",
    "secret",
    "$(X)secret:smtp",
    "secret:$(X)",
];

#[derive(Debug)]
struct Planted {
    /// Whether nothing else is there that could be a reference.
    alone: bool,
    key: Option<&'static str>,
    value: Option<&'static str>,
    /// The container of the value.
    place: Index,
}

fn planted() -> impl Strategy<Value = Planted> {
    let key = prop::option::weighted(0.3, select(&KEYS[..]));
    let value = prop::option::weighted(0.5, select(&VALUES[..]));
    (prop::bool::weighted(0.5), key, value, any::<Index>()).prop_map(|(alone, key, value, place)| Planted {
        alone,
        key,
        value,
        place,
    })
}

/// Without volumes: most of those that are generated are not valid ones, and nothing of theirs is a reference.
fn finished(mut pod: Value, planted: &Planted) -> Value {
    if !pod["metadata"].is_object() {
        pod["metadata"] = json!({});
    }
    pod["metadata"]["generateName"] = json!("condition-");
    if planted.alone || !pod["metadata"]["annotations"].is_object() {
        pod["metadata"]["annotations"] = json!({});
    }
    if let Some(key) = planted.key {
        pod["metadata"]["annotations"][key] = json!("smtp");
    }
    let spec = pod["spec"].as_object_mut().unwrap();
    spec.remove("volumes");
    let lists = spec.iter_mut().filter(|(field, _)| field.ends_with("ontainers"));
    let mut containers: Vec<&mut Value> =
        lists.flat_map(|(_, list)| list.as_array_mut().into_iter().flatten()).collect();
    for container in &mut containers {
        container.as_object_mut().unwrap().remove("volumeMounts");
        if planted.alone || !container["env"].is_array() {
            container["env"] = json!([]);
        }
    }
    if let Some(value) = planted.value {
        let place = planted.place.index(containers.len());
        containers[place]["env"].as_array_mut().unwrap().push(json!({"name": "PLANTED", "value": value}));
    }
    pod
}

pub fn what_is_patched_or_refused_is_sent(world: &World) {
    let condition = Condition::install(world, "e2e-condition-sent");
    let snapshot = snapshot();
    // Acted on and sent; left alone and sent; left alone and not sent.
    let (acted, more, rest) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let config = Config {
        cases: PODS,
        rng_seed: RngSeed::Fixed(20_261_122),
        failure_persistence: None,
        ..Config::default()
    };
    let result = TestRunner::new(config).run(&(generate::any_pod(), planted()), |(pod, planted)| {
        let pod = finished(pod.0, &planted);
        let Some(is_sent) = condition.sends(&pod) else { return Ok(()) };
        let acts = acts(&pod, &snapshot);
        prop_assert!(is_sent || !acts, "RefGate has something to say, and is not asked: {pod}");
        let count = if acts {
            &acted
        } else if is_sent {
            &more
        } else {
            &rest
        };
        count.set(count.get() + 1);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let counts = [acted.get(), more.get(), rest.get()];
    assert!(
        counts[0] >= 100 && counts[1] >= 5 && counts[2] >= 20,
        "it says something for pods of every fate: {counts:?}"
    );
}

/// References in places that the condition does not look at.
pub fn what_is_not_sent_is_refused(world: &World) {
    let condition = Condition::install(world, "e2e-condition-missed");
    let path = "mozmeao/missed/stage/database_url";
    let namespace = world.bound("condition-missed", "mozmeao/missed/stage", &[(path, &[("value", "v")])]);
    let mut annotated = pod("annotated", &[]);
    annotated["metadata"]["annotations"] = json!({"example.com/note": "secret:database_url"});
    let field = json!({"fieldRef": {"fieldPath": "metadata.annotations['example.com/note']"}});
    annotated["spec"]["containers"][0]["env"] = json!([{"name": "A", "valueFrom": field}]);
    for missed in [
        pod("scheme", &[("A", "secret"), ("B", "$(A):database_url")]),
        pod("middle", &[("A", "cret:data"), ("B", "se$(A)base_url")]),
        pod("chain", &[("A", "sec"), ("B", "$(A)ret+file"), ("C", "$(B):database_url")]),
        annotated,
    ] {
        assert_eq!(condition.sends(&missed), Some(false), "{missed}");
        let refused = namespace.dry_run(&missed);
        let message = refused.refused();
        assert!(message.contains("judge.refgate.dev") && message.contains("not resolved"), "{message}");
    }
    // One that is only sent because of something else in it fares no better.
    let assembled = pod("both", &[("X", "secret:database_url"), ("A", "secret"), ("B", "$(A):database_url")]);
    assert_eq!(condition.sends(&assembled), Some(true));
    assert!(namespace.dry_run(&assembled).refused().contains("not resolved"));
    let plain = namespace.dry_run(&pod("plain", &[("X", "secret:database_url")])).ok();
    assert_eq!(
        plain["spec"]["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["name"],
        *secret_name(path)
    );
}

/// Past a bound the webhook judges: no list is so long that what is in it goes by.
pub fn what_is_too_large_is_sent(world: &World) {
    let path = "mozmeao/too-large/stage/database_url";
    let bound = world.bound("too-large", "mozmeao/too-large/stage", &[(path, &[("value", "v")])]);
    let free = world.namespace("too-large-free");
    let filler = |count: usize| (0..count).map(|number| json!({"name": format!("A{number}"), "value": "v"}));
    let with_env = |count: usize, last: (&str, &str)| {
        let mut pod = pod("web", &[]);
        let last = json!({"name": last.0, "value": last.1});
        pod["spec"]["containers"][0]["env"] = filler(count).chain([last]).collect();
        pod
    };
    let many: serde_json::Map<String, Value> =
        (0..8_000).map(|number| (format!("example.com/{number:x}"), json!(""))).collect();
    for count in [511, 512, 2_000] {
        let injected = bound.dry_run(&with_env(count, ("X", "secret:database_url"))).ok();
        let last = &injected["spec"]["containers"][0]["env"][count];
        assert_eq!(last["valueFrom"]["secretKeyRef"]["name"], *secret_name(path), "{count}");
        free.dry_run(&with_env(count, ("X", "secret:database_url"))).refused();
        for namespace in [&bound, &free] {
            let answer = namespace.dry_run(&with_env(count, ("DB_PASSWORD", PASSWORD)));
            assert!(answer.refused().contains("credential-name"), "{}", answer.message());
        }
    }
    let mut annotated = pod("web", &[("DB_PASSWORD", PASSWORD)]);
    annotated["metadata"]["annotations"] = Value::Object(many.clone());
    let mut running = pod("running", &[]);
    running["metadata"]["annotations"] = json!({"example.com/a": "b"});
    for namespace in [&bound, &free] {
        assert!(namespace.dry_run(&annotated).refused().contains("judge"), "plaintext behind annotations");
        let api = &namespace.developer.api;
        api.post(&namespace.path("pods"), &running).ok();
        let mut all = many.clone();
        all.insert("example.com/db-url".to_owned(), json!(format!("postgres://a:{PASSWORD}@db/a")));
        let change = json!({"metadata": {"annotations": all}});
        let answer = api.patch(&format!("{}?dryRun=All", namespace.path("pods/running")), MERGE, &change);
        assert!(answer.refused().contains("url-password"), "{}", answer.message());
    }
}
