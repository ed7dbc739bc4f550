//! `refgate bind`: what it prints binds a namespace, and nothing that is wrong comes so far.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use refgate::policy::level::Level;
use refgate::policy::snapshot::Binding;
use refgate::world::World;
use refgate::yaml;
use serde_json::{Value, json};

fn bind(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_refgate")).arg("bind").args(arguments).output().unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let output = bind(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("Pod Security") && said.lines().count() == 1, "{arguments:?}: {said}");
    assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn documents(text: &str) -> [Value; 2] {
    let all: Vec<Value> = yaml::documents(text).map(|document| document.unwrap().value).collect();
    all.try_into().unwrap_or_else(|all| panic!("two documents: {all:?}"))
}

#[test]
fn what_is_printed_binds_the_namespace_as_the_webhook_reads_it() {
    let text = printed(&[
        "snippets-stage",
        "mozmeao/snippets/stage",
        "--shared",
        "mozmeao/shared/stage, mozmeao/cdn/stage",
        "--shared",
        "mozmeao/smtp/stage/relay",
        "--enforce",
        "off",
        "--audit",
        "restricted",
    ]);
    let world = World::read(&text);
    assert_eq!(world.problems, []);
    let labels = &world.namespaces["snippets-stage"];
    let Binding::Bound { own, shared } = &labels.binding else { panic!("{labels:?}") };
    assert_eq!(own.as_str(), "mozmeao/snippets/stage");
    let shared: Vec<&str> = shared.iter().map(|scope| scope.as_str()).collect();
    assert_eq!(shared, ["mozmeao/shared/stage", "mozmeao/cdn/stage", "mozmeao/smtp/stage/relay"]);
    let levels = labels.levels;
    assert_eq!(
        (levels.enforce, levels.warn, levels.audit),
        (Some(Level::Off), None, Some(Level::Restricted))
    );
    assert_eq!(labels.problems, [""; 0]);
}

#[test]
fn without_flags_levels_and_shared_paths_are_left_to_the_configuration() {
    let [namespace, _] = documents(&printed(&["snippets-stage", "mozmeao/snippets/stage"]));
    let labels = json!({
        "refgate.dev/group": "mozmeao", "refgate.dev/app": "snippets", "refgate.dev/env": "stage",
    });
    let expected = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "snippets-stage", "labels": labels},
    });
    assert_eq!(namespace, expected);
}

#[test]
fn words_that_yaml_reads_as_something_else_are_quoted() {
    for (scope, flag) in [("on/1.0/0777", "off"), ("null/true/1e3", "off"), ("y/0x1f/12", "off")] {
        let text = printed(&["web", scope, "--enforce", flag]);
        for word in scope.split('/').chain([flag]) {
            assert!(text.contains(&format!(": \"{word}\"\n")), "{word} stands bare in\n{text}");
        }
        let own = World::read(&text).namespaces["web"].binding.clone();
        assert!(matches!(&own, Binding::Bound { own, .. } if own.as_str() == scope), "{own:?}");
    }
}

#[test]
fn the_role_the_account_and_the_name_are_those_of_the_manifests() {
    let [_, binding] = documents(&printed(&["snippets-stage", "mozmeao/snippets/stage"]));
    assert_eq!(binding["kind"], "RoleBinding");
    assert_eq!(binding["metadata"]["namespace"], "snippets-stage");
    let read = |file: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/base").join(file);
        let text = fs::read_to_string(path).unwrap();
        yaml::documents(&text).map(|document| document.unwrap().value).collect::<Vec<_>>()
    };
    let named = |objects: &[Value], kind: &str, name: &Value| {
        objects.iter().any(|object| object["kind"] == kind && object["metadata"]["name"] == *name)
    };
    let role = &binding["roleRef"];
    assert_eq!((&role["kind"], binding["subjects"].as_array().unwrap().len()), (&json!("ClusterRole"), 1));
    assert!(named(&read("12-rbac-sync.yaml"), "ClusterRole", &role["name"]), "{role}");
    let subject = &binding["subjects"][0];
    assert_eq!(
        (&subject["kind"], &subject["namespace"]),
        (&json!("ServiceAccount"), &json!("refgate-system"))
    );
    assert!(named(&read("10-service-accounts.yaml"), "ServiceAccount", &subject["name"]), "{subject}");
    let roles = read("11-rbac.yaml");
    let binder = roles.iter().find(|role| role["metadata"]["name"] == "refgate-binder").unwrap();
    let rules = binder["rules"].as_array().unwrap();
    let rule = rules.iter().find(|rule| rule["resources"] == json!(["rolebindings"])).unwrap();
    assert_eq!(rule["resourceNames"], json!([binding["metadata"]["name"]]));
}

#[test]
fn the_sync_is_where_refgate_is() {
    let text = printed(&["web", "a/b/c", "--own-namespace", "platform"]);
    assert_eq!(documents(&text)[1]["subjects"][0]["namespace"], "platform");
}

#[test]
fn what_cannot_be_bound_is_refused_by_name() {
    for (arguments, named) in [
        (&["web"][..], "GROUP/APP/ENV"),
        (&["web", "mozmeao/snippets"], "a scope is group/app/env"),
        (&["web", "mozmeao/Snippets/stage"], "segment 2"),
        (&["web", "a/b/c", "--shared", "mozmeao/shared"], "at least three"),
        (&["web", "a/b/c", "--shared", "mozmeao/../stage"], "mozmeao/../stage"),
        (&["web", "a/b/c", "--shared", "a/b/d,,a/b/e"], "--shared"),
        (&["web", "a/b/c", "--enforce", "strict"], "strict"),
        (&["Web", "a/b/c"], "\"Web\" is no name of a namespace"),
        (&["web.stage", "a/b/c"], "hyphens"),
        (&["web\nkind: Pod", "a/b/c"], "is no name of a namespace"),
        (&["", "a/b/c"], "is no name of a namespace"),
        (&["kube-system", "a/b/c"], "kube-system"),
        (&["kube-node-lease", "a/b/c"], "kube-node-lease"),
        (&["refgate-system", "a/b/c"], "refgate-system"),
        (&["platform", "a/b/c", "--own-namespace", "platform"], "platform"),
    ] {
        let output = bind(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(named), "{arguments:?}: {said}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "", "{arguments:?}");
    }
}
