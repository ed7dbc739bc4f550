//! `make demo`: a cluster to try RefGate in, with the namespaces of `examples/world.yaml`; and the tour of it, which is
//! docs/tour.md, done line by line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::plane::Person;
use crate::harness::refgate::repository;
use crate::harness::transcript::{Step, matches, steps};
use crate::harness::world::{Namespace, World, bind, wait_for_right};

/// The namespace of the developer.
const NAMESPACE: &str = "snippets-stage";

/// Says how to use it, and waits for Ctrl-C.
pub fn run(world: World) -> ! {
    let demo = Demo::set_up(&world);
    let file = world.plane.folder.join("env");
    let lines: Vec<String> =
        demo.environment.iter().map(|(name, value)| format!("export {name}='{value}'\n")).collect();
    fs::write(&file, lines.concat()).unwrap();
    let minor = world.plane.programs.minor;
    println!(
        "\nKubernetes 1.{minor} with RefGate in it is up, until Ctrl-C.\n\nkubeconfig: {}\n\n\
         In another terminal, in this folder, and then as docs/tour.md says:\n\n  source {}\n",
        demo.kubeconfig.display(),
        file.display()
    );
    loop {
        // Everything else happens in other processes; they go when this one does.
        std::thread::park();
    }
}

/// What is printed is what docs/tour.md shows.
pub fn the_tour_is_true(world: &World) {
    let demo = Demo::set_up(world);
    let text = fs::read_to_string(repository().join("docs/tour.md")).unwrap();
    let steps = steps(&text);
    assert!(steps.len() > 10, "the tour has its steps in blocks of `console`");
    for Step { command, expected } in steps {
        let printed = demo.shell(&command);
        assert!(matches(&expected, &printed), "$ {command}\n{printed}\ninstead of\n{expected}");
    }
}

struct Demo {
    kubeconfig: PathBuf,
    /// What a shell needs.
    environment: Vec<(&'static str, String)>,
}

impl Demo {
    fn set_up(world: &World) -> Self {
        let plane = &world.plane;
        let developer = plane.person("dana", "dana-token");
        let text = fs::read_to_string(repository().join("examples/world.yaml")).unwrap();
        let objects = refgate::yaml::documents(&text).map(|document| document.unwrap().value);
        let (namespaces, catalogues): (Vec<Value>, Vec<Value>) =
            objects.partition(|object| object["kind"] == "Namespace");
        world.operator.kubectl.apply(&namespaces).ok();
        bind(&plane.admin, NAMESPACE, "edit", &developer.name);
        let_debug(&plane.admin, &developer);
        for catalogue in &catalogues {
            let name = catalogue["metadata"]["name"].as_str().unwrap().strip_prefix("catalogue.").unwrap();
            let list = catalogue["data"]["catalogue"].as_str().unwrap();
            let entries: Vec<Value> = serde_json::from_str(list).unwrap();
            let known =
                serde_json::from_str::<Vec<&str>>(catalogue["data"]["known"].as_str().unwrap_or("[]"));
            synced(world, name, &entries, &known.unwrap());
        }
        wait_for_right(&developer, NAMESPACE, "", "pods", "create");
        let kubeconfig = write_kubeconfig(world);
        let kubectl = plane.programs.path("kubectl").parent().unwrap().display();
        let refgate = Path::new(env!("CARGO_BIN_EXE_refgate")).parent().unwrap().display();
        let path = std::env::var("PATH").unwrap_or_default();
        let environment = vec![
            ("KUBECONFIG", kubeconfig.display().to_string()),
            ("PATH", format!("{refgate}:{kubectl}:{path}")),
            ("AUDIT_LOG", plane.folder.join("log/audit.log").display().to_string()),
            ("METRICS", format!("http://{}/metrics", world.replicas.lock().unwrap()[0].backend.health)),
        ];
        Self { kubeconfig, environment }
    }

    /// What a line prints, on both its outputs.
    fn shell(&self, command: &str) -> String {
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("{{ {command}\n}} 2>&1")]).current_dir(repository());
        shell.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let output = shell.output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

/// What the sync would have done in a namespace: its Secrets, and the catalogue.
fn synced(world: &World, name: &str, entries: &[Value], known: &[&str]) {
    let admin = &world.plane.admin;
    world.let_sync_in(name);
    wait_for_right(&world.sync, name, "", "secrets", "create");
    let namespace = Namespace { world, name: name.to_owned(), developer: admin.clone() };
    for entry in entries {
        let keys: Vec<&str> = entry["keys"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let data: BTreeMap<&str, String> =
            keys.iter().map(|key| (*key, format!("the {key} of the demo"))).collect();
        let path = entry["path"].as_str().unwrap();
        let secret = json!({
            "metadata": {
                "name": entry["secret"], "labels": {"app.kubernetes.io/managed-by": "refgate"},
                "annotations": {"refgate.dev/path": path, "refgate.dev/version": entry["version"]},
            },
            "stringData": data,
        });
        let answer = world.sync.api.post(&namespace.path("secrets"), &secret);
        // What is left of an earlier binding even the sync cannot write now.
        if !path.starts_with("mozmeao/snippets/dev/") {
            answer.ok();
        }
    }
    namespace.catalogue(entries, known);
}

/// Who may edit may not debug: clusters give that right beside it.
fn let_debug(admin: &Person, developer: &Person) {
    let role = json!({
        "metadata": {"name": "debug"},
        "rules": [{"apiGroups": [""], "resources": ["pods/ephemeralcontainers"], "verbs": ["patch"]}],
    });
    let base = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}");
    admin.api.post(&format!("{base}/roles"), &role).ok();
    let binding = json!({
        "metadata": {"name": "debug"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "debug"},
        "subjects": [{"kind": "User", "name": developer.name, "apiGroup": "rbac.authorization.k8s.io"}],
    });
    admin.api.post(&format!("{base}/rolebindings"), &binding).ok();
}

/// One file with three people in it, the developer first.
fn write_kubeconfig(world: &World) -> PathBuf {
    let plane = &world.plane;
    let authority = plane.folder.join("apiserver/apiserver.crt");
    let people = [("developer", "dana-token"), ("operator", "olga-token"), ("admin", "setup-token")];
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "developer",
        "clusters": [{"name": "demo", "cluster": {"server": plane.server, "certificate-authority": authority}}],
        "users": people.map(|(name, token)| json!({"name": name, "user": {"token": token}})),
        "contexts": people.map(|(name, _)| json!({
            "name": name, "context": {"cluster": "demo", "user": name, "namespace": NAMESPACE},
        })),
    });
    let path = plane.folder.join("demo.kubeconfig");
    fs::write(&path, config.to_string()).unwrap();
    path
}
