//! Rights that clusters give to developers besides the role `edit`, and that open ways which a fence must know.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::plane::{Person, Plane};
use super::world::{Namespace, wait_for_right};

/// One rule of a role: API group, resource, verbs.
pub type Rule<'a> = (&'a str, &'a str, &'a [&'a str]);

/// A right: where it counts, API group, resource, verb.
pub type Right = [String; 4];

const BASE: &str = "/apis/rbac.authorization.k8s.io/v1";

/// Gives the developer rights in the own namespace, and waits until they have them.
pub fn grant(namespace: &Namespace<'_>, rules: &[Rule<'_>]) {
    let (admin, user) = (&namespace.world.plane.admin.api, &namespace.developer.name);
    let path = |resource: &str| format!("{BASE}/namespaces/{}/{resource}", namespace.name);
    let name = format!("{user}-more");
    admin.post(&path("roles"), &role(&name, rules)).ok();
    admin.post(&path("rolebindings"), &binding("Role", &name, user)).ok();
    wait(&namespace.developer, &namespace.name, rules);
}

/// Gives someone rights in the whole cluster, and waits until they have them.
pub fn grant_everywhere(admin: &Person, person: &Person, rules: &[Rule<'_>]) {
    let name = format!("{}-more", person.name);
    admin.api.post(&format!("{BASE}/clusterroles"), &role(&name, rules)).ok();
    let binding = binding("ClusterRole", &name, &person.name);
    admin.api.post(&format!("{BASE}/clusterrolebindings"), &binding).ok();
    wait(person, "", rules);
}

fn role(name: &str, rules: &[Rule<'_>]) -> Value {
    let rule = |(group, resource, verbs): &Rule<'_>| json!({"apiGroups": [group], "resources": [resource], "verbs": verbs});
    json!({"metadata": {"name": name}, "rules": rules.iter().map(rule).collect::<Vec<_>>()})
}

fn binding(kind: &str, name: &str, user: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
    })
}

fn wait(person: &Person, namespace: &str, rules: &[Rule<'_>]) {
    for (group, resource, verbs) in rules {
        for verb in *verbs {
            wait_for_right(person, namespace, group, resource, verb);
        }
    }
}

/// The rights that roles give, each of which has words for where it counts.
pub fn given(plane: &Plane, roles: &[(&str, &str)]) -> BTreeSet<Right> {
    let mut all = BTreeSet::new();
    for (place, role) in roles {
        let role = plane.admin.api.get(&format!("{BASE}/{role}")).ok();
        for rule in role["rules"].as_array().unwrap() {
            let texts = |key: &str| {
                let list = rule[key].as_array().unwrap().iter();
                list.map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>()
            };
            for group in texts("apiGroups") {
                for resource in texts("resources") {
                    let right = |verb| [(*place).to_owned(), group.clone(), resource.clone(), verb];
                    all.extend(texts("verbs").into_iter().map(right));
                }
            }
        }
    }
    all
}
