//! Binding a namespace with `refgate bind`, and what the right to do so does not give.

use serde_json::{Value, json};

use crate::harness::api::{APPLY, Answer, MERGE};
use crate::harness::objects::pod;
use crate::harness::plane::Person;
use crate::harness::refgate::run_refgate;
use crate::harness::wait::until;
use crate::harness::world::{World, wait_for_right};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// What is printed goes through kubectl, and the namespace works.
pub fn an_operator_binds_a_namespace(world: &World) {
    let namespace = world.namespace("bound-by-hand");
    let path = "/api/v1/namespaces/bound-by-hand";
    world.operator.api.patch(path, MERGE, &json!({"metadata": {"labels": {"team": "snippets"}}})).ok();
    let apply = |flags: &[&str]| {
        let bind = ["bind", "bound-by-hand", "mozmeao/by-hand/stage"];
        let printed = run_refgate(&[&bind, flags].concat());
        let apply = ["apply", "--server-side", "--field-manager=refgate-bind", "-f", "-"];
        let ran = world.operator.kubectl.run_with(&apply, &printed);
        assert_eq!(ran.err, "");
        ran.ok();
        world.operator.api.get(path).ok()["metadata"].clone()
    };
    let metadata = apply(&["--shared", "mozmeao/shared/stage", "--enforce", "off"]);
    assert_eq!(metadata["labels"]["refgate.dev/enforce"], "off");
    assert_eq!(metadata["annotations"]["refgate.dev/shared-paths"], "mozmeao/shared/stage");
    // Again, with less: what it does not say any more goes, and what others have set stays.
    let metadata = apply(&[]);
    assert_eq!(metadata["labels"]["refgate.dev/enforce"], Value::Null);
    assert_eq!(metadata["annotations"]["refgate.dev/shared-paths"], Value::Null);
    let labels = [("group", "mozmeao"), ("app", "by-hand"), ("env", "stage")];
    assert!(labels.iter().all(|(key, word)| metadata["labels"][format!("refgate.dev/{key}")] == *word));
    assert_eq!(metadata["labels"]["team"], "snippets");

    wait_for_right(&world.sync, "bound-by-hand", "", "secrets", "create");
    let secret = json!({"metadata": {
        "name": "probe", "annotations": {"refgate.dev/path": "mozmeao/by-hand/stage/probe"},
    }});
    until("the policy knows the binding", || {
        world.sync.api.post(&namespace.path("secrets?dryRun=All"), &secret).is_ok().then_some(())
    });
    namespace.sync(&[("mozmeao/by-hand/stage/a", &[("value", "v")])], &[]);
    let made = namespace.developer.api.post(&namespace.path("pods"), &pod("web", &[("A", "secret:a")])).ok();
    assert!(made.pointer("/spec/containers/0/env/0/valueFrom/secretKeyRef").is_some(), "{made}");
}

fn binding(name: &str, role: &str, subjects: &[Value]) -> Value {
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role});
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": name}, "roleRef": role, "subjects": subjects,
    })
}

fn apply(person: &Person, namespace: &str, binding: &Value) -> Answer {
    let name = binding["metadata"]["name"].as_str().unwrap();
    let path = format!("{RBAC}/namespaces/{namespace}/rolebindings/{name}?fieldManager=attack&force=true");
    person.api.patch(&path, APPLY, binding)
}

/// The role that a binder may give is every right on Secrets: they give it to the sync, and not to themselves.
pub fn a_binder_gives_secrets_to_nobody(world: &World) {
    let namespace = world.bound("binder", "mozmeao/binder/stage", &[]);
    let (olga, admin) = (&world.operator, &world.plane.admin);
    let sync = json!({"kind": "ServiceAccount", "name": "refgate-sync", "namespace": "refgate-system"});
    let user = json!({"kind": "User", "name": olga.name, "apiGroup": "rbac.authorization.k8s.io"});
    let group =
        json!({"kind": "Group", "name": "platform-operators", "apiGroup": "rbac.authorization.k8s.io"});
    let role = "refgate-sync-secrets";
    apply(olga, "binder", &binding("refgate-sync", role, std::slice::from_ref(&sync))).ok();
    until("the policy is in force", || {
        let path = format!("{RBAC}/namespaces/binder/rolebindings?dryRun=All");
        (!admin.api.post(&path, &binding("probe", role, std::slice::from_ref(&user))).is_ok()).then_some(())
    });
    let account =
        |name: &str, namespace: &str| json!({"kind": "ServiceAccount", "name": name, "namespace": namespace});
    for subjects in [
        vec![user.clone()],
        vec![sync.clone(), user.clone()],
        vec![sync.clone(), group],
        vec![account("refgate-sync", "binder")],
        vec![account("refgate", "refgate-system")],
        vec![json!({"kind": "User", "name": "refgate-sync", "apiGroup": "rbac.authorization.k8s.io"})],
    ] {
        let answer = apply(olga, "binder", &binding("refgate-sync", role, &subjects));
        assert!(answer.refused().contains("and for nobody else"), "{subjects:?}: {}", answer.message());
        let path = format!("{RBAC}/namespaces/binder/rolebindings/refgate-sync");
        let answer = olga.api.patch(&path, MERGE, &json!({"subjects": subjects}));
        assert!(answer.refused().contains("and for nobody else"), "{subjects:?}: {}", answer.message());
    }
    // To the sync, where nothing is ever bound.
    let answer = apply(olga, "kube-system", &binding("refgate-sync", role, std::slice::from_ref(&sync)));
    assert!(answer.refused().contains("outside RefGate"), "{}", answer.message());
    // By RBAC: another name, another role, a name that RBAC cannot see, the whole cluster.
    let own = namespace.name.as_str();
    let posted = |path: &str, object: &Value| olga.api.post(&format!("{RBAC}/{path}"), object);
    let mut everywhere = binding("refgate-sync", role, std::slice::from_ref(&sync));
    everywhere["kind"] = json!("ClusterRoleBinding");
    for answer in [
        apply(olga, own, &binding("mine", role, std::slice::from_ref(&user))),
        apply(olga, "default", &binding("refgate-sync", "admin", std::slice::from_ref(&user))),
        apply(olga, "default", &binding("refgate-sync", "cluster-admin", std::slice::from_ref(&user))),
        posted(
            "namespaces/default/rolebindings",
            &binding("refgate-sync", role, std::slice::from_ref(&sync)),
        ),
        posted("clusterrolebindings", &everywhere),
    ] {
        assert!(
            answer.code == 403 && answer.message().contains("cannot")
                || answer.message().contains("attempting to grant"),
            "{}",
            answer.message()
        );
    }
    // Nobody else either, who may bind anything.
    let answer = admin.api.post(&format!("{RBAC}/clusterrolebindings?dryRun=All"), &everywhere);
    assert!(answer.refused().contains("one namespace at a time"), "{}", answer.message());
    for path in ["/api/v1/secrets", "/api/v1/namespaces/binder/secrets", "/api/v1/namespaces/default/secrets"]
    {
        assert_eq!(olga.api.get(path).code, 403, "{path}");
    }
}
