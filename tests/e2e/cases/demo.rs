//! `make demo`: a cluster to try RefGate in, with the namespaces of `examples/world.yaml` and a secret manager; and the pages
//! that lead through it, docs/tour.md and docs/rotation.md, done line by line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::moto::{self, Moto, call};
use crate::harness::plane::{Person, Plane};
use crate::harness::refgate::repository;
use crate::harness::sync::Source;
use crate::harness::transcript::{Step, matches, steps};
use crate::harness::wait::until;
use crate::harness::world::{Namespace, World, bind, wait_for_right};

/// The namespace of the developer.
const NAMESPACE: &str = "snippets-stage";

/// Says how to use it, and waits for Ctrl-C.
pub fn run(world: World) -> ! {
    let mut demo = Demo::set_up(&world);
    let manager = SecretManager::start(&world, "demo");
    for catalogue in &catalogues() {
        manager.hold(catalogue);
    }
    demo.environment.extend(manager.environment());
    let _sync = manager.source.start();
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
    Demo::set_up(world).walk("docs/tour.md");
}

/// The whole line: a value in the manager, a Deployment that refers to it, the Secret, the catalogue, the injected pod; a
/// rotation, the new content of the file, the pods replaced one by one.
pub fn the_rotation_is_true(world: &World) {
    let manager = SecretManager::start(world, "rotation-page");
    let environment = people(world).into_iter().chain(manager.environment()).collect();
    let demo = Demo { kubeconfig: write_kubeconfig(&world.plane, NAMESPACE), environment };
    let _sync = manager.source.start();
    demo.walk("docs/rotation.md");
    // Of those that are evicted the last may still be going.
    until("three pods have the new file", || {
        let path = "/api/v1/namespaces/shop-stage/pods?labelSelector=app%3Dshop";
        let pods = world.plane.admin.api.get(path).ok();
        let content = |pod: &Value| mounted(world, pod, "/run/refgate/SESSION_KEY_FILE");
        let contents: Vec<_> = pods["items"].as_array()?.iter().map(content).collect();
        // The page makes values that nobody knows, and the second one is shorter.
        let is_second = |content: &Option<String>| content.as_ref().is_some_and(|text| text.len() == 48);
        (contents.len() == 3 && contents.iter().all(is_second)).then_some(())
    });
}

/// What a kubelet would put into a file of a pod.
fn mounted(world: &World, pod: &Value, file: &str) -> Option<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mounts = list(&pod["spec"]["containers"][0]["volumeMounts"]);
    let mount =
        mounts.iter().find(|mount| mount["mountPath"].as_str().is_some_and(|path| file.starts_with(path)))?;
    let volumes = list(&pod["spec"]["volumes"]);
    let volume = volumes.iter().find(|volume| volume["name"] == mount["name"])?;
    let name = file.strip_prefix(mount["mountPath"].as_str()?)?.trim_start_matches('/');
    list(&volume["projected"]["sources"]).iter().find_map(|source| {
        let items = list(&source["secret"]["items"]);
        let key = items.iter().find(|item| item["path"] == name)?["key"].as_str()?;
        let path = format!("/api/v1/namespaces/shop-stage/secrets/{}", source["secret"]["name"].as_str()?);
        let secret = world.plane.admin.api.get(&path).ok();
        let bytes = STANDARD.decode(secret["data"][key].as_str()?).unwrap();
        Some(String::from_utf8(bytes).unwrap())
    })
}

/// moto's server, and where the sync finds it.
struct SecretManager<'w> {
    moto: Moto,
    source: Source<'w>,
    folder: PathBuf,
}

impl<'w> SecretManager<'w> {
    fn start(world: &'w World, name: &str) -> Self {
        let folder = world.plane.folder.join(name);
        let moto = Moto::start(&folder);
        let source = Source::aws(world, name, moto.address, &json!({"restart": {"ready": "2s"}}));
        Self { moto, source, folder }
    }

    /// For whoever stores values.
    fn environment(&self) -> Vec<(&'static str, String)> {
        let all = moto::environment(&self.folder, self.moto.address);
        all.into_iter().filter(|(name, _)| *name != "HOME").collect()
    }

    /// Holds what a catalogue says, with its keys: what it did not hold would be told as missing.
    fn hold(&self, catalogue: &Value) {
        let texts = |key: &str| catalogue["data"][key].as_str().unwrap_or("[]").to_owned();
        let entries: Vec<Value> = serde_json::from_str(&texts("catalogue")).unwrap();
        for entry in entries {
            let keys = entry["keys"].as_array().unwrap().iter().filter_map(Value::as_str);
            let properties: BTreeMap<&str, String> = keys
                .filter(|key| *key != "value")
                .map(|key| (key, format!("the {key} of the demo")))
                .collect();
            let value = match properties.is_empty() {
                true => "the value of the demo".to_owned(),
                false => json!(properties).to_string(),
            };
            let exists = call(
                self.moto.address,
                "ListSecrets",
                &json!({"Filters": [{"Key": "name", "Values": [entry["path"]]}]}),
            );
            if exists["SecretList"] == json!([]) {
                call(
                    self.moto.address,
                    "CreateSecret",
                    &json!({"Name": entry["path"], "SecretString": value}),
                );
            }
        }
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
        let namespaces: Vec<Value> =
            objects().into_iter().filter(|object| object["kind"] == "Namespace").collect();
        world.operator.kubectl.apply(&namespaces).ok();
        bind(&plane.admin, NAMESPACE, "edit", &developer.name);
        let_debug(&plane.admin, &developer);
        for catalogue in &catalogues() {
            let name = catalogue["metadata"]["name"].as_str().unwrap().strip_prefix("catalogue.").unwrap();
            let list = catalogue["data"]["catalogue"].as_str().unwrap();
            let entries: Vec<Value> = serde_json::from_str(list).unwrap();
            let known =
                serde_json::from_str::<Vec<&str>>(catalogue["data"]["known"].as_str().unwrap_or("[]"));
            synced(world, name, &entries, &known.unwrap());
        }
        wait_for_right(&developer, NAMESPACE, "", "pods", "create");
        Self { kubeconfig: write_kubeconfig(&world.plane, NAMESPACE), environment: people(world) }
    }

    /// Does what a page shows, line by line: what is printed is what it says.
    fn walk(&self, page: &str) {
        let text = fs::read_to_string(repository().join(page)).unwrap();
        let steps = steps(&text);
        assert!(steps.len() > 10, "{page} has its steps in blocks of `console`");
        // One shell for all of them would have to say where each ends; what they export is all that they leave.
        let mut exports = String::new();
        for Step { command, expected } in steps {
            if command.starts_with("export ") {
                exports.push_str(&format!("{command}\n"));
            }
            let printed = self.shell(&format!("{exports}{command}"));
            assert!(matches(&expected, &printed), "$ {command}\n{printed}\ninstead of\n{expected}");
        }
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

/// The objects of `examples/world.yaml`.
fn objects() -> Vec<Value> {
    let text = fs::read_to_string(repository().join("examples/world.yaml")).unwrap();
    refgate::yaml::documents(&text).map(|document| document.unwrap().value).collect()
}

fn catalogues() -> Vec<Value> {
    objects().into_iter().filter(|object| object["kind"] != "Namespace").collect()
}

/// What a shell of the people of the demo needs.
fn people(world: &World) -> Vec<(&'static str, String)> {
    let plane = &world.plane;
    let kubectl = plane.programs.path("kubectl").parent().unwrap().display();
    let refgate = Path::new(env!("CARGO_BIN_EXE_refgate")).parent().unwrap().display();
    let path = std::env::var("PATH").unwrap_or_default();
    vec![
        ("KUBECONFIG", write_kubeconfig(&world.plane, NAMESPACE).display().to_string()),
        ("PATH", format!("{refgate}:{kubectl}:{path}")),
        ("AUDIT_LOG", plane.folder.join("log/audit.log").display().to_string()),
        ("METRICS", format!("http://{}/metrics", world.replicas.lock().unwrap()[0].metrics)),
    ]
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
pub fn write_kubeconfig(plane: &Plane, namespace: &str) -> PathBuf {
    let authority = plane.folder.join("apiserver/apiserver.crt");
    let people = [("developer", "dana-token"), ("operator", "olga-token"), ("admin", "setup-token")];
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "developer",
        "clusters": [{"name": "demo", "cluster": {"server": plane.server, "certificate-authority": authority}}],
        "users": people.map(|(name, token)| json!({"name": name, "user": {"token": token}})),
        "contexts": people.map(|(name, _)| json!({
            "name": name, "context": {"cluster": "demo", "user": name, "namespace": namespace},
        })),
    });
    let path = plane.folder.join("demo.kubeconfig");
    fs::write(&path, config.to_string()).unwrap();
    path
}
