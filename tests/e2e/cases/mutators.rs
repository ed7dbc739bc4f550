//! Other mutators beside RefGate: before it, after it, and what they add, change and move.

use refgate::policy::path::secret_name;
use serde_json::{Value, json};

use crate::harness::golden;
use crate::harness::objects::{PASSWORD, container, pod};
use crate::harness::wait::until;
use crate::harness::webhook::Mutator;
use crate::harness::world::{Namespace, World};

const OWN: &str = "mozmeao/mutators/stage/token";
const FOREIGN: &str = "mozmeao/mutators/prod/token";
/// Sorts after `zz-refgate`.
const LATER: &str = "zzz-later";
/// Sorts before it.
const EARLIER: &str = "aaa-earlier";

fn namespace<'w>(world: &'w World, name: &str) -> Namespace<'w> {
    world.bound(name, "mozmeao/mutators/stage", &[(OWN, &[("value", "v")])])
}

/// The Secret that an env var of a container is read from.
fn secret<'p>(pod: &'p Value, container: &str, name: &str) -> Option<&'p str> {
    let named = |list: &'p Value, name: &str| list.as_array()?.iter().find(|entry| entry["name"] == name);
    let entry = named(&named(&pod["spec"]["containers"], container)?["env"], name)?;
    assert!(entry.get("value").is_none(), "{entry}");
    entry["valueFrom"]["secretKeyRef"]["name"].as_str()
}

/// Which paths the pod reads, as it says itself.
fn refs(pod: &Value) -> Vec<(String, Value)> {
    let text = pod["metadata"]["annotations"]["refgate.dev/refs"].as_str().unwrap();
    let refs: Vec<Value> = serde_json::from_str(text).unwrap();
    refs.iter().map(|entry| (entry["path"].as_str().unwrap().to_owned(), entry["at"].clone())).collect()
}

fn sidecar() -> Value {
    json!([{"op": "add", "path": "/spec/containers/-", "value": container("proxy", &[("TOKEN", "secret:token")])}])
}

/// A sidecar that comes after RefGate: injected in a second round where there was a first, refused where there was none.
pub fn a_later_sidecar_is_injected_or_refused(world: &World) {
    let namespace = namespace(world, "later-sidecar");
    let _mutator = Mutator::install(&namespace, LATER, |_| sidecar());
    let with = namespace.dry_run(&pod("with", &[("TOKEN", "secret:token")])).ok();
    assert_eq!(secret(&with, "web", "TOKEN"), Some(&*secret_name(OWN)));
    assert_eq!(secret(&with, "proxy", "TOKEN"), Some(&*secret_name(OWN)));
    assert_eq!(refs(&with), [(OWN.to_owned(), json!(["proxy/TOKEN", "web/TOKEN"]))]);
    let without = pod("without", &[("LOG_LEVEL", "info")]).to_string();
    let arguments = ["-n", "later-sidecar", "apply", "-f", "-"];
    let ran = namespace.developer.kubectl.run_with(&arguments, &without);
    assert_eq!(ran.code, Some(1));
    golden::assert("mutator-comes-later", &golden::transcript(&arguments, &without, &ran));
}

/// The same sidecar by a webhook that comes before RefGate.
pub fn an_earlier_sidecar_is_injected(world: &World) {
    let namespace = namespace(world, "earlier-sidecar");
    let _mutator = Mutator::install(&namespace, EARLIER, |_| sidecar());
    let without = namespace.dry_run(&pod("without", &[("LOG_LEVEL", "info")])).ok();
    assert_eq!(secret(&without, "proxy", "TOKEN"), Some(&*secret_name(OWN)));
}

/// What a later mutator makes of a pod is judged as if the developer had written it.
pub fn what_comes_later_is_judged(world: &World) {
    let namespace = namespace(world, "later-judged");
    let foreign = secret_name(FOREIGN);
    // What an earlier binding has left: the catalogue knows the Secret, and the namespace may not read its path.
    let entry =
        |path: &str| json!({"path": path, "secret": secret_name(path), "keys": ["value"], "version": "v1"});
    namespace.catalogue(&[entry(FOREIGN), entry(OWN)], &[]);
    let secret = json!({"secretKeyRef": {"name": foreign, "key": "value"}});
    let env = "/spec/containers/0/env/0";
    let added = |entry: Value| json!([{"op": "add", "path": "/spec/containers/0/env/-", "value": entry}]);
    let rows = [
        ("plaintext", added(json!({"name": "DB_PASSWORD", "value": PASSWORD})), "credential-name"),
        ("secret", added(json!({"name": "A", "valueFrom": secret})), "may not read"),
        ("path", added(json!({"name": "A", "value": format!("secret:/{FOREIGN}")})), "is outside of"),
        (
            "swap",
            json!([{"op": "replace", "path": format!("{env}/valueFrom"), "value": secret}]),
            "may not read",
        ),
        (
            "volume",
            json!([{"op": "add", "path": "/spec/volumes/-", "value": {"name": "x", "secret": {"secretName": foreign}}}]),
            "may not read",
        ),
    ];
    let patches: Vec<(String, Value)> =
        rows.iter().map(|(name, patch, _)| ((*name).to_owned(), patch.clone())).collect();
    // One webhook for all of them; the name of the pod says what it is to do.
    let _mutator = Mutator::install(&namespace, LATER, move |pod| {
        let wanted = patches.iter().find(|(name, _)| pod["metadata"]["name"] == *name);
        wanted.map_or_else(|| json!([]), |(_, patch)| patch.clone())
    });
    for (name, _, why) in rows {
        let answer = namespace.dry_run(&pod(name, &[("TOKEN", "secret:token")]));
        let message = answer.refused();
        assert!(message.contains(".refgate.dev\" denied") && message.contains(why), "{name}: {message}");
        assert!(!message.contains(PASSWORD), "{name}: {message}");
    }
}

/// Mutators that turn env around after RefGate, or put entries before its own: no variable gets another's Secret.
pub fn order_does_not_matter(world: &World) {
    let namespace = namespace(world, "order");
    let other = "mozmeao/mutators/stage/other";
    let _later = Mutator::install(&namespace, LATER, |pod| {
        let mut env = pod["spec"]["containers"][0]["env"].as_array().unwrap().clone();
        env.sort_by_key(|entry| std::cmp::Reverse(entry["name"].as_str().unwrap().to_owned()));
        json!([{"op": "replace", "path": "/spec/containers/0/env", "value": env}])
    });
    let _earlier = Mutator::install(&namespace, EARLIER, |_| {
        let entry = json!({"name": "FIRST", "value": "1"});
        json!([{"op": "add", "path": "/spec/containers/0/env/0", "value": entry}])
    });
    let written = [("B", "secret:token"), ("C", "plain"), ("A", "secret:other"), ("D", "secret:token")];
    let made = namespace.dry_run(&pod("order", &written)).ok();
    let env = made["spec"]["containers"][0]["env"].as_array().unwrap();
    let names: Vec<&str> = env.iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["FIRST", "D", "C", "B", "A"]);
    for (name, path) in [("A", other), ("B", OWN), ("D", OWN)] {
        assert_eq!(secret(&made, "web", name), Some(&*secret_name(path)), "{name}");
    }
    let expected = [(other.to_owned(), json!(["web/A"])), (OWN.to_owned(), json!(["web/B", "web/D"]))];
    assert_eq!(refs(&made), expected);
}

/// MutatingAdmissionPolicies run before every webhook.
pub fn a_policy_that_adds_a_reference(world: &World) {
    let namespace = namespace(world, "mutating-policy");
    let version = match world.plane.programs.minor {
        36.. => "v1",
        34.. => "v1beta1",
        _ => "v1alpha1",
    };
    let base = format!("/apis/admissionregistration.k8s.io/{version}");
    let api = &world.plane.admin.api;
    let name = &namespace.name;
    let policy = json!({"metadata": {"name": name}, "spec": {
        "failurePolicy": "Fail", "reinvocationPolicy": "Never",
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
            "resourceRules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
        },
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression":
            "[JSONPatch{op: 'add', path: '/spec/containers/0/env/-', \
              value: Object.spec.containers.env{name: 'TOKEN', value: 'secret:token'}}]"}}],
    }});
    api.post(&format!("{base}/mutatingadmissionpolicies"), &policy).ok();
    let binding = json!({"metadata": {"name": name}, "spec": {"policyName": name}});
    api.post(&format!("{base}/mutatingadmissionpolicybindings"), &binding).ok();
    let pod = pod("web", &[("LOG_LEVEL", "info")]);
    let made = until("the policy is in force", || {
        let made = namespace.dry_run(&pod).ok();
        (made["spec"]["containers"][0]["env"].as_array()?.len() > 1).then_some(made)
    });
    assert_eq!(secret(&made, "web", "TOKEN"), Some(&*secret_name(OWN)));
    assert_eq!(refs(&made), [(OWN.to_owned(), json!(["web/TOKEN"]))]);
    for kind in ["mutatingadmissionpolicybindings", "mutatingadmissionpolicies"] {
        api.delete(&format!("{base}/{kind}/{name}")).ok();
    }
}
