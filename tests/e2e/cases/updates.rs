//! The fence again, past the first moment: what was clean when it was made, what is forged about where it comes from, and
//! what is used before everybody has heard of it.

use refgate::policy::path::secret_name;
use serde_json::{Value, json};

use super::fence::{FOREIGN, OWN, assert_refused, by_name, of_spec, with_a_foreign_secret, with_env};
use crate::harness::api::{APPLY, MERGE};
use crate::harness::objects::{deployment, pod, pod_spec};
use crate::harness::rights::grant;
use crate::harness::wait::until;
use crate::harness::world::{Namespace, World, scope_labels};

const STRATEGIC: &str = "application/strategic-merge-patch+json";
const OPERATIONS: &str = "application/json-patch+json";

fn foreign_path() -> String {
    format!("secret:/{FOREIGN}")
}

/// Pods that run: their image may change, and nothing of the fence.
pub fn a_running_pod(world: &World) {
    let namespace = with_a_foreign_secret(world, "update-pod");
    let api = &namespace.developer.api;
    api.post(&namespace.path("pods"), &pod("web", &[("A", "secret:x")])).ok();
    let path = namespace.path("pods/web");
    let image = json!({"spec": {"containers": [{"name": "web", "image": "example.com/app:2"}]}});
    api.patch(&path, STRATEGIC, &image).ok();
    let annotate = |key: &str, value: Value| {
        api.patch(&path, MERGE, &json!({"metadata": {"annotations": {key: value}}}))
    };
    let vault = "vault.hashicorp.com/agent-inject-secret-x";
    for (key, value) in [
        ("env.refgate.dev/A", format!("/{FOREIGN}")),
        ("file.refgate.dev/a", "x".to_owned()),
        (vault, "secret/data/mozmeao/snippets/prod/x".to_owned()),
    ] {
        assert_refused(key, &annotate(key, json!(value)));
    }
    // What a pod says of itself is nobody's evidence, so it may be forged and stripped, and nothing else becomes possible.
    let forged = json!([{"path": FOREIGN, "secret": secret_name(FOREIGN), "key": "value", "use": "env", "at": ["web/A"]}]);
    for refs in [json!(forged.to_string()), Value::Null] {
        annotate("refgate.dev/refs", refs).ok();
        assert_refused("after a forgery", &annotate(vault, json!("secret/data/mozmeao/snippets/prod/x")));
        annotate("example.com/team", json!("snippets")).ok();
    }
    let live = api.get(&path).ok();
    assert_eq!(
        live["spec"]["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["name"],
        secret_name(OWN)
    );
}

/// At creation a forged `refgate.dev/refs` is written anew.
pub fn forged_refs(world: &World) {
    let namespace = with_a_foreign_secret(world, "forged-refs");
    let forged =
        json!([{"path": OWN, "secret": secret_name(FOREIGN), "key": "value", "use": "env", "at": ["web/A"]}]);
    let with_refs = |env: Value| {
        let mut pod = with_env(env);
        pod["metadata"]["annotations"] = json!({"refgate.dev/refs": forged.to_string()});
        pod
    };
    let made = namespace.dry_run(&with_refs(json!([{"name": "A", "value": "secret:x"}]))).ok();
    let refs = made["metadata"]["annotations"]["refgate.dev/refs"].as_str().unwrap();
    assert!(refs.contains(&secret_name(OWN)) && !refs.contains(&secret_name(FOREIGN)), "{refs}");
    let made = namespace.dry_run(&with_refs(json!([{"name": "A", "value": "plain"}]))).ok();
    let refs = made["metadata"]["annotations"].get("refgate.dev/refs");
    assert!(refs.is_none_or(|refs| !refs.as_str().unwrap().contains(&secret_name(FOREIGN))), "{refs:?}");
    let named = with_refs(json!([{"name": "A", "valueFrom": by_name()}]));
    assert_refused("a foreign Secret with refs that clear it", &namespace.dry_run(&named));
}

/// A template that was clean, by every verb that changes one.
pub fn a_template(world: &World) {
    let namespace = with_a_foreign_secret(world, "update-template");
    let api = &namespace.developer.api;
    let path = "/apis/apps/v1/namespaces/update-template/deployments/web";
    let clean = deployment("web", 0, &pod_spec(&[("A", "secret:x")]));
    let made = api.post(path.trim_end_matches("/web"), &clean).ok();
    let by_path = json!([{"name": "A", "value": foreign_path()}]);
    let named = json!([{"name": "A", "value": null, "valueFrom": by_name()}]);
    for env in [by_path, named] {
        let container = json!({"name": "web", "image": "example.com/app:1", "env": env});
        let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
        let mut whole = clean.clone();
        whole["spec"]["template"]["spec"]["containers"] = json!([container]);
        let mut replaced = made.clone();
        replaced["spec"]["template"]["spec"]["containers"] = json!([container]);
        replaced["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        let operations =
            json!([{"op": "replace", "path": "/spec/template/spec/containers/0/env", "value": env}]);
        assert_refused("merge", &api.patch(path, MERGE, &patch));
        assert_refused("strategic merge", &api.patch(path, STRATEGIC, &patch));
        assert_refused("JSON patch", &api.patch(path, OPERATIONS, &operations));
        assert_refused("put", &api.put(path, &replaced));
        let apply = format!("{path}?fieldManager=attacker&force=true");
        let mut new = whole.clone();
        new["metadata"]["name"] = json!("new");
        // Null is nothing to server-side apply, and a text beside valueFrom is no object.
        if env[0].get("valueFrom").is_none() {
            assert_refused("server-side apply", &api.patch(&apply, APPLY, &whole));
        }
        assert_refused("apply anew", &api.patch(&apply.replace("/web?", "/new?"), APPLY, &new));
    }
    let generation = |object: &Value| object["metadata"]["generation"].clone();
    assert_eq!(generation(&api.get(path).ok()), generation(&made));
    let scale = json!({"spec": {"replicas": 1}});
    api.patch(&format!("{path}/scale"), MERGE, &scale).ok();
}

/// P16: a large Deployment, twice in one review.
pub fn a_large_template(world: &World) {
    let namespace = world.bound("update-large", "mozmeao/large/stage", &[]);
    let api = &namespace.developer.api;
    let path = "/apis/apps/v1/namespaces/update-large/deployments";
    // What costs the detector nothing, so that a slow machine is in time too.
    let long = "k".repeat(250);
    let filler = |number: u32| json!({"name": format!("A_{number}"), "valueFrom": {"configMapKeyRef": {"name": long, "key": long}}});
    let mut spec = pod_spec(&[]);
    spec["containers"][0]["env"] = (0..1_000).map(filler).collect();
    let large = deployment("web", 0, &spec);
    assert!(large.to_string().len() > 500_000);
    api.post(path, &large).ok();
    let image = |text: &str| json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": text}]);
    api.patch(&format!("{path}/web"), OPERATIONS, &image("example.com/app:2")).ok();
    let mut operations = image("example.com/app:3");
    let foreign = json!({"name": "LAST", "value": foreign_path()});
    operations
        .as_array_mut()
        .unwrap()
        .push(json!({"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": foreign}));
    assert_refused("P16", &api.patch(&format!("{path}/web"), OPERATIONS, &operations));
}

/// P02: `kubectl debug`, for who may use it; `edit` alone does not give that right.
pub fn debugging(world: &World) {
    let namespace = with_a_foreign_secret(world, "debugging");
    let api = &namespace.developer.api;
    api.post(&namespace.path("pods"), &pod("web", &[("LOG_LEVEL", "info")])).ok();
    let path = namespace.path("pods/web/ephemeralcontainers");
    let with = |field: &str, value: Value| json!({"spec": {"ephemeralContainers": [{"name": "tools", "image": "example.com/tools:1", field: value}]}});
    let named = with("env", json!([{"name": "A", "valueFrom": by_name()}]));
    let refused = api.patch(&path, STRATEGIC, &named);
    assert!(
        refused.code == 403 && refused.message().contains("cannot patch resource"),
        "{}",
        refused.message()
    );
    grant(&namespace, &[("", "pods/ephemeralcontainers", &["patch", "update"])]);
    assert_refused("P02 env", &api.patch(&path, STRATEGIC, &named));
    let from = with("envFrom", json!([{"secretRef": {"name": secret_name(FOREIGN)}}]));
    assert_refused("P02 envFrom", &api.patch(&path, STRATEGIC, &from));
    for reference in ["secret:x".to_owned(), foreign_path()] {
        let with = with("env", json!([{"name": "A", "value": reference}]));
        assert_refused("P02 a reference", &api.patch(&path, STRATEGIC, &with));
    }
    let mut whole = api.get(&namespace.path("pods/web")).ok();
    whole["spec"]["ephemeralContainers"] = named["spec"]["ephemeralContainers"].clone();
    whole["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    assert_refused("P02 put", &api.put(&path, &whole));
    let custom = namespace.world.plane.folder.join("debugging.json");
    std::fs::write(&custom, json!({"env": [{"name": "A", "valueFrom": by_name()}]}).to_string()).unwrap();
    let custom = format!("--custom={}", custom.display());
    let debug = ["debug", "web", "--image=example.com/tools:1", "--attach=false"];
    let ran = namespace.kubectl(&[&debug[..], &[&custom]].concat());
    assert!(ran.code == Some(1) && ran.err.contains("may not read"), "{}{}", ran.out, ran.err);
    // A copy with another image is a new pod, and judged as one.
    let copy =
        ["debug", "web", "--copy-to=copy", "--container=web", "--image=example.com/app:2", "--attach=false"];
    namespace.kubectl(&[&copy[..], &["--env=B=plain"]].concat()).ok();
}

/// A pod that says who made it is judged like any other, and so is a ReplicaSet that says what it belongs to.
pub fn forged_owners(world: &World) {
    let namespace = with_a_foreign_secret(world, "owners");
    let api = &namespace.developer.api;
    let sets = "/apis/apps/v1/namespaces/owners/replicasets";
    let clean = deployment("web", 1, &pod_spec(&[("A", "secret:x")]));
    let deployment = api.post("/apis/apps/v1/namespaces/owners/deployments", &clean).ok();
    let set = until("the Deployment has its ReplicaSet", || {
        api.get(sets).ok()["items"].as_array()?.first().cloned()
    });
    let owner = |kind: &str, object: &Value| {
        json!([{"apiVersion": "apps/v1", "kind": kind, "name": object["metadata"]["name"],
            "uid": object["metadata"]["uid"], "controller": true}])
    };
    for env in
        [json!([{"name": "A", "value": foreign_path()}]), json!([{"name": "A", "valueFrom": by_name()}])]
    {
        let mut forged = with_env(env);
        forged["metadata"] = json!({
            "generateName": "web-", "labels": set["spec"]["selector"]["matchLabels"], "ownerReferences": owner("ReplicaSet", &set),
        });
        assert_refused("a pod of the ReplicaSet", &namespace.dry_run(&forged));
        let mut second = json!({"metadata": {"name": "web-2"}, "spec": set["spec"]});
        second["spec"]["template"]["spec"]["containers"] = forged["spec"]["containers"].clone();
        assert_refused("a ReplicaSet", &api.post(sets, &second));
        second["metadata"]["ownerReferences"] = owner("Deployment", &deployment);
        assert_refused("a ReplicaSet of the Deployment", &api.post(sets, &second));
        // The one that the controller made and nobody judged.
        let path = format!("{sets}/{}", set["metadata"]["name"].as_str().unwrap());
        let containers =
            json!({"spec": {"template": {"spec": {"containers": forged["spec"]["containers"]}}}});
        assert_refused("its template", &api.patch(&path, MERGE, &containers));
    }
}

/// What a tenant plants so that it is believed later.
pub fn planted(world: &World) {
    let namespace = with_a_foreign_secret(world, "planted");
    let api = &namespace.developer.api;
    let name = secret_name(FOREIGN);
    // A catalogue that calls the foreign Secret one's own counts only where RefGate keeps them.
    let entries =
        json!([{"path": "mozmeao/snippets/stage/mine", "secret": name, "keys": ["value"], "version": "v1"}]);
    let map = json!({
        "metadata": {"name": "catalogue.planted", "labels": {"refgate.dev/catalogue": "true"}},
        "data": {"catalogue": entries.to_string(), "known": "[]"},
    });
    api.post(&namespace.path("configmaps"), &map).ok();
    let refused = api.post("/api/v1/namespaces/refgate-system/configmaps", &map);
    assert!(
        refused.code == 403 && refused.message().contains("cannot create resource"),
        "{}",
        refused.message()
    );
    // A change in the right place comes by the same watch, and after it.
    let own =
        |path: &str| json!({"path": path, "secret": secret_name(path), "keys": ["value"], "version": "v1"});
    namespace.catalogue(&[own(FOREIGN), own("mozmeao/snippets/stage/later"), own(OWN)], &[]);
    let mine = namespace.dry_run(&with_env(json!([{"name": "A", "value": "secret:mine"}])));
    assert!(
        mine.warnings
            .iter()
            .any(|warning| warning.contains("does not know") || warning.contains("not synced"))
    );
    let found = &mine.ok()["spec"]["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["name"];
    assert_eq!(*found, secret_name("mozmeao/snippets/stage/mine"));
    // A claim, by whatever verb.
    let claim = json!({"annotations": {"refgate.dev/path": "mozmeao/snippets/stage/mine"}});
    let label = json!({"labels": {"app.kubernetes.io/managed-by": "refgate"}});
    let secrets = namespace.path("secrets");
    api.post(&secrets, &json!({"metadata": {"name": "plain"}, "stringData": {"value": "v"}})).ok();
    for metadata in [claim, label] {
        let mut object =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"value": "v"}});
        assert_claim(&api.patch(&format!("{secrets}/plain"), MERGE, &object));
        object["metadata"]["name"] = json!("claim");
        assert_claim(&api.post(&secrets, &object));
        assert_claim(&api.patch(&format!("{secrets}/claim?fieldManager=attacker"), APPLY, &object));
    }
    // And the foreign Secret cannot be made to look like one's own.
    for metadata in [
        json!({"annotations": {"refgate.dev/path": OWN}}),
        json!({"annotations": {"refgate.dev/path": null}}),
    ] {
        assert_claim(&api.patch(&format!("{secrets}/{name}"), MERGE, &json!({"metadata": metadata})));
    }
}

#[track_caller]
fn assert_claim(answer: &crate::harness::api::Answer) {
    assert!(answer.refused().contains("'refgate-synced-secrets'"), "{}", answer.message());
}

/// A namespace that is made and used in the same instant: decided rightly, or not at all.
pub fn the_first_instant(world: &World) {
    let admin = &world.plane.admin.api;
    let (mut allowed, mut refused) = (0, 0);
    for number in 0..10 {
        let is_ours = number % 2 == 0;
        let name = format!("instant-{number}");
        let scope = if is_ours { "mozmeao/snippets/stage" } else { "mozmeao/snippets/prod" };
        let object = json!({"metadata": {"name": name, "labels": scope_labels(scope)}});
        let deployment = deployment("web", 0, &pod_spec(&[("A", "secret:/mozmeao/snippets/stage/x")]));
        let account = json!({"metadata": {"name": "early"}});
        let mut spec = pod_spec(&[("A", "secret:/mozmeao/snippets/stage/x")]);
        spec["serviceAccountName"] = json!("early");
        let namespace = format!("namespaces/{name}");
        admin.post("/api/v1/namespaces", &object).ok();
        let first = admin.post(&format!("/apis/apps/v1/{namespace}/deployments"), &deployment);
        // A pod needs its account, which would take the controller longer.
        admin.post(&format!("/api/v1/{namespace}/serviceaccounts"), &account).ok();
        let second = admin.post(&format!("/api/v1/{namespace}/pods"), &of_spec(&spec));
        for answer in [first, second] {
            match answer.code {
                201 if is_ours => allowed += 1,
                403 if !is_ours => {
                    assert_refused(&name, &answer);
                    refused += 1;
                }
                // A failure of ours, which says so.
                500 => assert!(answer.message().contains("failed calling webhook"), "{}", answer.message()),
                code => panic!("{name}: {code} {}", answer.message()),
            }
        }
    }
    assert!(allowed > 0 && refused > 0, "nothing was decided: {allowed} {refused}");
}

/// The developer of an unbound namespace has no secrets, whatever is written.
pub fn an_unbound_namespace(world: &World) {
    let namespace: Namespace<'_> = world.namespace("never-bound");
    for value in ["secret:x".to_owned(), "secret+file:x".to_owned(), foreign_path()] {
        assert_refused("unbound", &namespace.dry_run(&pod("p", &[("A", &value)])));
    }
}
