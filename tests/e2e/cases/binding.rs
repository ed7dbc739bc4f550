//! Who may bind a namespace, by every way into its labels and annotations.

use serde_json::{Map, Value, json};

use crate::harness::api::{APPLY, Answer, Api, MERGE};
use crate::harness::objects::pod;
use crate::harness::plane::Person;
use crate::harness::rights::{grant, grant_everywhere};
use crate::harness::wait::until;
use crate::harness::world::{Namespace, World, bind, scope_labels, wait_for_right};

const OPERATIONS: &str = "application/json-patch+json";

#[track_caller]
fn assert_refused(how: &str, answer: &Answer) {
    let message = answer.message();
    let by_policy = message.contains("'refgate-binding'") && message.contains("scopes.refgate.dev");
    assert!(answer.code == 403 && by_policy, "{how}: {} {message}", answer.code);
}

/// Labels and annotations, `null` where one goes.
struct Change {
    labels: Value,
    annotations: Value,
}

/// Writes a change by every verb and through every subresource.
fn by_every_way(api: &Api, name: &str, change: &Change) -> Vec<(&'static str, Answer)> {
    let path = format!("/api/v1/namespaces/{name}");
    let metadata = json!({"name": name, "labels": change.labels, "annotations": change.annotations});
    let patch = json!({"metadata": metadata});
    let whole = || {
        let mut whole = api.get(&path).ok();
        whole["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        for (field, changes) in [("labels", &change.labels), ("annotations", &change.annotations)] {
            for (key, value) in changes.as_object().unwrap() {
                if value.is_null() {
                    whole["metadata"][field].as_object_mut().unwrap().remove(key);
                } else {
                    whole["metadata"][field][key] = value.clone();
                }
            }
        }
        whole
    };
    let operations = json!([
        {"op": "replace", "path": "/metadata/labels", "value": whole()["metadata"]["labels"]},
        {"op": "add", "path": "/metadata/annotations", "value": whole()["metadata"]["annotations"]},
    ]);
    let mut answers = vec![
        ("merge patch", api.patch(&path, MERGE, &patch)),
        ("JSON patch", api.patch(&path, OPERATIONS, &operations)),
        ("put", api.put(&path, &whole())),
        ("merge patch of /status", api.patch(&format!("{path}/status"), MERGE, &patch)),
        ("put of /status", api.put(&format!("{path}/status"), &whole())),
        ("put of /finalize", api.put(&format!("{path}/finalize"), &whole())),
    ];
    let goes = [&change.labels, &change.annotations];
    if !goes.iter().any(|changes| changes.as_object().unwrap().values().any(Value::is_null)) {
        // Server-side apply takes off only what it has put on.
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        for (how, path) in [("apply", path.clone()), ("apply of /status", format!("{path}/status"))] {
            let path = format!("{path}?fieldManager=owner&force=true");
            answers.push((how, api.patch(&path, APPLY, &object)));
        }
    }
    answers
}

/// A developer who is `admin` of the namespace, and may do with Namespace objects whatever RBAC can give, but for `bind`.
fn owner<'n>(namespace: &'n Namespace<'_>) -> &'n Person {
    let admin = &namespace.world.plane.admin;
    bind(admin, &namespace.name, "admin", &namespace.developer.name);
    let all = ["get", "update", "patch"];
    grant(
        namespace,
        &[
            ("", "namespaces", &all),
            ("", "namespaces/status", &all),
            ("", "namespaces/finalize", &["update"]),
        ],
    );
    grant_everywhere(admin, &namespace.developer, &[("", "namespaces", &["create"])]);
    &namespace.developer
}

fn without_times(api: &Api, name: &str) -> (Value, Value) {
    let live = api.get(&format!("/api/v1/namespaces/{name}")).ok();
    (live["metadata"]["labels"].clone(), live["metadata"]["annotations"].clone())
}

pub fn an_owner_may_not(world: &World) {
    let mut labels = scope_labels("mozmeao/binding/stage");
    labels["refgate.dev/enforce"] = json!("restricted");
    let shared = json!({"refgate.dev/shared-paths": "mozmeao/shared/stage"});
    let namespace = world.make("owned", labels, shared, &[]);
    let api = &owner(&namespace).api;
    let before = without_times(api, "owned");
    let labels = |labels: Value| Change { labels, annotations: json!({}) };
    let annotations = |annotations: Value| Change { labels: json!({}), annotations };
    for (what, change) in [
        ("another scope", labels(json!({"refgate.dev/env": "prod"}))),
        (
            "no scope",
            labels(json!({"refgate.dev/group": null, "refgate.dev/app": null, "refgate.dev/env": null})),
        ),
        ("no group, which both webhooks select by", labels(json!({"refgate.dev/group": null}))),
        ("a lower level", labels(json!({"refgate.dev/enforce": "off"}))),
        ("a level that was not there", labels(json!({"refgate.dev/warn": "off"}))),
        ("more paths", annotations(json!({"refgate.dev/shared-paths": "mozmeao/basket/prod"}))),
        ("no shared paths", annotations(json!({"refgate.dev/shared-paths": null}))),
        ("our prefix in capitals", annotations(json!({"RefGate.dev/shared-paths": "mozmeao/basket/prod"}))),
        ("a subdomain of ours", annotations(json!({"env.refgate.dev/A": "b"}))),
    ] {
        for (how, answer) in by_every_way(api, "owned", &change) {
            assert_refused(&format!("{what} by {how}"), &answer);
        }
    }
    assert_eq!(without_times(api, "owned"), before);
    // The same ways are open for what is not ours: it was the policy that refused.
    for (how, answer) in by_every_way(api, "owned", &labels(json!({"example.com/team": "snippets"}))) {
        assert!(answer.is_ok(), "{how}: {}", answer.message());
    }
}

/// Nor give themselves the right; and given by mistake in the namespace alone, it is none.
pub fn an_owner_may_not_give_it_to_themselves(world: &World) {
    let namespace = world.bound("self-made", "mozmeao/binding/stage", &[]);
    let developer = owner(&namespace);
    let base = "/apis/rbac.authorization.k8s.io/v1";
    let rules = json!([{"apiGroups": ["refgate.dev"], "resources": ["scopes", "secrets"], "verbs": ["bind", "write"]}]);
    let subjects = json!([{"kind": "User", "name": developer.name, "apiGroup": "rbac.authorization.k8s.io"}]);
    let to = |role: &str| {
        json!({"metadata": {"name": "mine"}, "subjects": subjects, "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role,
        }})
    };
    let inside = format!("{base}/namespaces/self-made");
    for (path, object) in [
        (format!("{inside}/roles"), json!({"metadata": {"name": "mine"}, "rules": rules})),
        (format!("{inside}/rolebindings"), to("refgate-binder")),
        (format!("{inside}/rolebindings"), to("refgate-secret-writer")),
        (format!("{base}/clusterrolebindings"), to("refgate-binder")),
    ] {
        let answer = developer.api.post(&path, &object);
        assert!(
            answer.code == 403 && answer.message().contains("is forbidden: "),
            "{path}: {}",
            answer.message()
        );
    }
    bind(&world.plane.admin, "self-made", "refgate-binder", &developer.name);
    wait_for_right(developer, "self-made", "refgate.dev", "scopes", "bind");
    let prod = json!({"metadata": {"labels": {"refgate.dev/env": "prod"}}});
    assert_refused(
        "a binder of one namespace",
        &developer.api.patch("/api/v1/namespaces/self-made", MERGE, &prod),
    );
}

pub fn an_owner_may_not_make_one_bound(world: &World) {
    let namespace = world.bound("parent", "mozmeao/binding/stage", &[]);
    let api = &owner(&namespace).api;
    grant_apply(world, &namespace);
    let path = "/api/v1/namespaces";
    for metadata in [
        json!({"labels": scope_labels("mozmeao/basket/prod")}),
        json!({"labels": {"refgate.dev/group": "mozmeao"}}),
        json!({"labels": {"refgate.dev/enforce": "off"}}),
        json!({"annotations": {"refgate.dev/shared-paths": "mozmeao/basket/prod"}}),
    ] {
        let object = |name: Value| {
            let mut metadata = metadata.clone();
            metadata.as_object_mut().unwrap().extend(name.as_object().unwrap().clone());
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        };
        let (named, generated) =
            (object(json!({"name": "child"})), object(json!({"generateName": "child-"})));
        assert_refused("create", &api.post(path, &named));
        assert_refused("create with generateName", &api.post(path, &generated));
        let apply = format!("{path}/child?fieldManager=owner");
        assert_refused("apply", &api.patch(&apply, APPLY, &named));
    }
    api.post(path, &json!({"metadata": {"name": "child"}})).ok();
    // A namespace that they made themselves is bound by others all the same.
    let labels = json!({"metadata": {"labels": scope_labels("mozmeao/basket/prod")}});
    assert_refused("of their own", &api.patch(&format!("{path}/child"), MERGE, &labels));
}

/// Server-side apply makes an object only for who may patch one of that name.
fn grant_apply(world: &World, namespace: &Namespace<'_>) {
    let role = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let name = format!("{}-more", namespace.developer.name);
    let rules =
        json!({"rules": [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["create", "patch"]}]});
    world.plane.admin.api.patch(&format!("{role}/{name}"), MERGE, &rules).ok();
    wait_for_right(&namespace.developer, "", "", "namespaces", "patch");
}

/// What RefGate says of a reference of an absolute path; `None` when it does not say.
fn may_read(namespace: &Namespace<'_>, path: &str) -> Option<bool> {
    let answer = namespace.dry_run(&pod("p", &[("A", &format!("secret:/{path}"))]));
    match answer.code {
        201 => Some(true),
        403 => Some(false),
        _ => None,
    }
}

/// Who holds `bind` binds, shares, lowers a level and unbinds, and RefGate goes by it.
pub fn a_binder_may(world: &World) {
    let namespace = world.namespace("bound-later");
    let path = "/api/v1/namespaces/bound-later";
    let operator = &world.operator.api;
    let change = |metadata: Value| operator.patch(path, MERGE, &json!({"metadata": metadata})).ok();
    let (stage, prod, shared) = ("mozmeao/later/stage/a", "mozmeao/later/prod/a", "mozmeao/shared/stage/a");
    let in_force = |what: &str, expected: [bool; 3]| {
        until(what, || {
            ([stage, prod, shared].map(|path| may_read(&namespace, path)) == expected.map(Some)).then_some(())
        });
    };
    in_force("nothing is bound", [false; 3]);
    change(json!({"labels": scope_labels("mozmeao/later/stage")}));
    in_force("it is bound", [true, false, false]);
    change(json!({"annotations": {"refgate.dev/shared-paths": "mozmeao/shared/stage"}}));
    in_force("a path is shared", [true, false, true]);
    change(json!({"labels": {"refgate.dev/env": "prod"}}));
    in_force("it is bound anew", [false, true, true]);
    let plaintext = pod("p", &[("DB_PASSWORD", crate::harness::objects::PASSWORD)]);
    assert!(namespace.dry_run(&plaintext).refused().contains("credential-name"));
    change(json!({"labels": {"refgate.dev/enforce": "off"}}));
    until("the level is lowered", || namespace.dry_run(&plaintext).is_ok().then_some(()));
    change(json!({"labels": {"refgate.dev/group": null, "refgate.dev/app": null, "refgate.dev/env": null},
        "annotations": {"refgate.dev/shared-paths": null}}));
    in_force("it is unbound", [false; 3]);
    // Not even they bind what is outside of the webhooks.
    for name in ["kube-system", "kube-node-lease", "refgate-system"] {
        let labels = json!({"metadata": {"labels": scope_labels("mozmeao/later/stage")}});
        let answer = operator.patch(&format!("/api/v1/namespaces/{name}"), MERGE, &labels);
        assert!(answer.refused().contains("are outside RefGate and cannot be bound"), "{}", answer.message());
    }
}

/// More labels or annotations than a policy looks through: none of a namespace that was never bound is refused for it, and a bound
/// one is finalized, repaired and deleted.
pub fn a_large_namespace(world: &World) {
    let namespace = world.namespace("large");
    let api = &owner(&namespace).api;
    let (path, finalize) = ("/api/v1/namespaces/large", "/api/v1/namespaces/large/finalize");
    let operator = &world.operator.api;
    let labels = |labels: Value| json!({"metadata": {"labels": labels}});
    // All that Kubernetes takes: 256 KiB.
    let many: Map<String, Value> = (0..20_000).map(|number| (format!("{number:x}"), json!(""))).collect();
    api.patch(path, MERGE, &json!({"metadata": {"annotations": many}})).ok();
    api.patch(path, MERGE, &labels(json!({"team": "snippets"}))).ok();
    for ours in [json!({"refgate.dev/group": "mozmeao"}), json!({"refgate.dev/enforce": "off"})] {
        assert_refused("a large one is bound", &api.patch(path, MERGE, &labels(ours)));
    }
    operator.patch(path, MERGE, &labels(scope_labels("mozmeao/large/stage"))).ok();
    for refused in
        [json!({"refgate.dev/env": "prod"}), json!({"env.refgate.dev/A": "b"}), json!({"team": "other"})]
    {
        let answer = api.patch(path, MERGE, &labels(refused.clone()));
        assert_refused(&format!("{refused} of a large one"), &answer);
        assert!(answer.message().contains("more than 512"), "{}", answer.message());
    }
    // What leaves labels and annotations alone is anybody's.
    api.put(finalize, &api.get(path).ok()).ok();
    let other = json!({"metadata": {"annotations": {"0": null}, "labels": {"refgate.dev/env": "prod"}}});
    operator.patch(path, MERGE, &other).ok();
    operator.delete(path).ok();
    until("the large namespace is gone", || (operator.get(path).code == 404).then_some(()));
}

/// The way out is open, and the fence of labels closed, while nobody of RefGate answers.
pub fn without_refgate(world: &World) {
    let namespace = world.bound("away", "mozmeao/away/stage", &[]);
    let owner = &owner(&namespace).api;
    let path = "/api/v1/namespaces/away";
    let count = world.replicas.lock().unwrap().len();
    for _ in 0..count {
        world.stop_replica();
    }
    until("nobody answers", || {
        let answer = namespace.dry_run(&pod("p", &[("A", "secret:a")]));
        (answer.code == 500 && answer.message().contains("failed calling webhook")).then_some(())
    });
    let prod = json!({"metadata": {"labels": {"refgate.dev/env": "prod"}}});
    assert_refused("without RefGate", &owner.patch(path, MERGE, &prod));
    world.operator.api.patch(path, MERGE, &prod).ok();
    let unbound =
        json!({"labels": {"refgate.dev/group": null, "refgate.dev/app": null, "refgate.dev/env": null}});
    let other = world.bound("away-too", "mozmeao/away/stage", &[]);
    world.operator.api.patch("/api/v1/namespaces/away-too", MERGE, &json!({"metadata": unbound})).ok();
    until("pods of the unbound namespace start", || {
        other.dry_run(&pod("p", &[("A", "b")])).is_ok().then_some(())
    });
    for _ in 0..count {
        world.add_replica();
    }
    // A connection to a replica that went may have to be made anew.
    until("RefGate answers again", || {
        let answer = namespace.dry_run(&pod("p", &[("A", "secret:a")]));
        answer.is_ok().then_some(())
    });
    assert_eq!(may_read(&namespace, "mozmeao/away/prod/a"), Some(true));
    assert_eq!(may_read(&namespace, "mozmeao/away/stage/a"), Some(false));
}
