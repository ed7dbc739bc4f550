//! `refgate sync status` on a real API server: what it tells, with whose rights, and that the lines that it prints help.

use std::process::Command;

use refgate::policy::path::secret_name;
use serde_json::{Value, json};

use crate::harness::objects::{deployment, pod_spec};
use crate::harness::plane::Person;
use crate::harness::refgate::run_refgate;
use crate::harness::sync::{Source, secret};
use crate::harness::wait::until;
use crate::harness::world::{World, wait_for_right};

const PLANTED: &str = "pL4nt3dV4lu3OfTh3Status";
const SCOPE: &str = "mozmeao/status/stage";

/// Exit code and report.
fn status(person: &Person, flags: &[&str]) -> (Option<i32>, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_refgate"));
    command.args(["sync", "status", "--output", "json", "--kubeconfig"]).arg(&person.kubectl.kubeconfig);
    let output = command.args(flags).output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(!out.contains(PLANTED) && !err.contains(PLANTED), "{out}{err}");
    assert_eq!(err, "");
    (output.status.code(), serde_json::from_str(&out).unwrap())
}

/// Someone who has what docs/reference.md says, and nothing else.
fn reader(world: &World) -> Person {
    let person = world.plane.newcomer();
    let (name, user) = (format!("status-{}", person.name), format!("--user={}", person.name));
    let kubectl = &world.plane.admin.kubectl;
    for role in ["refgate-scanner", "refgate-status"] {
        let binding = format!("{name}-{role}");
        kubectl
            .run(&["create", "clusterrolebinding", &binding, &format!("--clusterrole={role}"), &user])
            .ok();
    }
    let own = ["-n", "refgate-system", "create", "rolebinding", &name, "--role=refgate-scanner", &user];
    kubectl.run(&own).ok();
    wait_for_right(&person, "", "", "pods", "list");
    wait_for_right(&person, "refgate-system", "", "configmaps", "list");
    person
}

/// Runs `kubectl A && kubectl B` as somebody.
fn follow(person: &Person, line: &str) {
    for command in line.split(" && ") {
        let words: Vec<&str> = command.split(' ').collect();
        assert_eq!(words[0], "kubectl", "{line}");
        person.kubectl.run(&words[1..]).ok();
    }
}

fn row<'r>(report: &'r Value, name: &str) -> &'r Value {
    let places = report["namespaces"].as_array().unwrap().iter();
    let mut rows = places.flat_map(|place| place["paths"].as_array().unwrap());
    let path = format!("{SCOPE}/{name}");
    rows.find(|row| row["path"] == path).unwrap_or_else(|| panic!("no {path} in {report:#}"))
}

pub fn tells_what_is_and_what_is_missing(world: &World) {
    let namespace = world.bound("status-web", SCOPE, &[]);
    let source = Source::new(world, "status", &json!({}));
    let path = |name: &str| format!("{SCOPE}/{name}");
    let mut entries = json!({});
    for (name, created) in [("database_url", "2020-01-01T00:00:00Z"), ("feature", "2026-11-01T00:00:00Z")] {
        entries[path(name)] = secret(PLANTED, "1");
        entries[path(name)]["created"] = json!(created);
    }
    source.write(&entries);
    let sync = source.start();
    let env = [("A", "secret:database_url"), ("B", "secret:feature"), ("C", "secret:feaure")];
    let path_of = format!("/apis/apps/v1/namespaces/{}/deployments", namespace.name);
    namespace.developer.api.post(&path_of, &deployment("web", 2, &pod_spec(&env))).ok();

    let person = reader(world);
    let flags = &["status-web"];
    let (code, report) = until("the catalogue says what is synced", || {
        let (code, report) = status(&person, flags);
        (row(&report, "database_url")["state"] != "unsynced").then_some((code, report))
    });
    assert_eq!(code, Some(1));
    let held = row(&report, "database_url");
    assert_eq!(
        (&held["state"], &held["version"], &held["created"]),
        (&json!("ok"), &json!("1"), &Value::Null)
    );
    assert_eq!(held["usedBy"], json!(["Deployment/web"]), "and its ReplicaSet and pods by it");
    assert_eq!(held["secret"], secret_name(&path("database_url")));
    let why = row(&report, "feaure")["why"].as_str().unwrap();
    assert!(why.contains("did you mean feature?"), "{why}");

    // The line that it prints gives what is missing.
    follow(&world.plane.admin, report["missingRights"][0]["grant"].as_str().unwrap());
    wait_for_right(&person, "status-web", "", "secrets", "list");
    let (code, report) = status(&person, flags);
    assert_eq!((code, &report["missingRights"]), (Some(1), &json!([])));
    let due = row(&report, "database_url");
    assert_eq!((&due["state"], &due["created"]), (&json!("due"), &json!("2020-01-01T00:00:00Z")));
    assert_eq!(row(&report, "feature")["state"], "ok");
    let due_by_scope = format!("refgate_sync_rotation_due{{scope=\"{SCOPE}\"}}");
    assert_eq!(sync.metrics().get(&due_by_scope), Some(&1.0));
    // Whoever has the role edit sees the same of the own namespace, but for what the catalogue says.
    let (code, own) = status(&namespace.developer, flags);
    assert_eq!((code, row(&own, "database_url")), (Some(1), due));
    assert_eq!(own["hints"].as_array().unwrap().len(), 2);
    sync_is_let_in_by_the_line(world, &person);
    drop(sync);
}

fn sync_is_let_in_by_the_line(world: &World, person: &Person) {
    let scope = "mozmeao/status-other/stage";
    world.bound("status-other", scope, &[]);
    let binding = "/apis/rbac.authorization.k8s.io/v1/namespaces/status-other/rolebindings/refgate-sync";
    world.plane.admin.api.delete(binding).ok();
    let right = |report: &Value| {
        let all = report["missingRights"].as_array().unwrap().iter();
        let line = |right: &Value| right["grant"].as_str().unwrap().to_owned();
        all.map(line).find(|line| line.starts_with("refgate bind"))
    };
    let (code, report) = status(person, &["status-other"]);
    assert_eq!((code, &report["namespaces"][0]["syncMayWrite"]), (Some(1), &json!(false)));
    let line = right(&report).unwrap();
    let (bind, apply) = line.split_once(" | ").unwrap();
    let words: Vec<&str> = bind.split(' ').skip(1).collect();
    let printed = run_refgate(&words);
    let apply: Vec<&str> = apply.split(' ').skip(1).collect();
    world.operator.kubectl.run_with(&apply, &printed).ok();
    let (_, report) = status(person, &["status-other"]);
    assert_eq!((right(&report), &report["namespaces"][0]["syncMayWrite"]), (None, &json!(true)));
}
