//! `refgate scan` beside the admission that it foretells, and the memory that it takes.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::api::{APPLY, MERGE};
use crate::harness::objects::{container, deployment, pod, pod_spec, template};
use crate::harness::plane::Person;
use crate::harness::wait::until;
use crate::harness::world::{Namespace, World, scope_labels, wait_for_right};

const PLANTED: &str = "kR4vT9wqZ2pB";
const BAD: &[(&str, &str)] = &[("DB_PASSWORD", PLANTED), ("LOG_LEVEL", "info")];
const CLEAN: &[(&str, &str)] = &[("LOG_LEVEL", "info")];
/// Where each kind is listed, makers before what they make.
const RESOURCES: &[(&str, &str, &str)] = &[
    ("/apis/apps/v1", "deployments", "Deployment"),
    ("/apis/apps/v1", "statefulsets", "StatefulSet"),
    ("/apis/apps/v1", "daemonsets", "DaemonSet"),
    ("/apis/batch/v1", "cronjobs", "CronJob"),
    ("/api/v1", "replicationcontrollers", "ReplicationController"),
    ("/apis/apps/v1", "replicasets", "ReplicaSet"),
    ("/apis/batch/v1", "jobs", "Job"),
    ("/api/v1", "pods", "Pod"),
    ("/api/v1", "configmaps", "ConfigMap"),
];

/// Someone who may scan, and nothing else.
fn scanner(world: &World) -> Person {
    let person = world.plane.newcomer();
    let (name, user) = (format!("scan-{}", person.name), format!("--user={}", person.name));
    let kubectl = &world.plane.admin.kubectl;
    kubectl.run(&["create", "clusterrolebinding", &name, "--clusterrole=refgate-scanner", &user]).ok();
    kubectl
        .run(&["-n", "refgate-system", "create", "rolebinding", &name, "--role=refgate-scanner", &user])
        .ok();
    wait_for_right(&person, "", "", "pods", "list");
    wait_for_right(&person, "refgate-system", "", "configmaps", "list");
    person
}

fn scan(world: &World, person: &Person, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_refgate"));
    command.args(["scan", "--output", "json", "--kubeconfig"]).arg(&person.kubectl.kubeconfig);
    command.arg("--config").arg(&world.files.configuration).args(flags);
    command
}

fn report(world: &World, person: &Person, flags: &[&str]) -> Value {
    let output = scan(world, person, flags).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // What is bound here has no Pod Security.
    assert!(said.lines().all(|line| line.contains("without Pod Security baseline or stricter")), "{said}");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains(PLANTED));
    serde_json::from_str(&text).unwrap()
}

/// Everything that makes pods or holds data, with a line that breaks a rule and without.
fn workloads(prefix: &str, env: &[(&str, &str)]) -> Vec<Value> {
    let of = |kind: &str, api_version: &str, spec: Value| {
        let name = format!("{prefix}-{}", kind.to_lowercase());
        let mut object =
            json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec});
        let made = template(&name, &pod_spec(env));
        match kind {
            "CronJob" => object["spec"]["jobTemplate"] = json!({"spec": {"template": made}}),
            _ => object["spec"]["template"] = made,
        }
        object
    };
    let selector = |kind: &str| json!({"matchLabels": {"app": format!("{prefix}-{}", kind.to_lowercase())}});
    let set = |kind: &str| of(kind, "apps/v1", json!({"replicas": 2, "selector": selector(kind)}));
    let mut objects = vec![
        set("Deployment"),
        set("StatefulSet"),
        set("ReplicaSet"),
        of("DaemonSet", "apps/v1", json!({"selector": selector("DaemonSet")})),
        of("ReplicationController", "v1", json!({"replicas": 1})),
        // Suspended: KWOK's pods end at once, and so would the Job.
        of("Job", "batch/v1", json!({"suspend": true})),
        of("CronJob", "batch/v1", json!({"schedule": "0 0 1 1 *"})),
    ];
    for pointer in ["/spec/template/spec", "/spec/jobTemplate/spec/template/spec"] {
        let of_jobs =
            objects.iter_mut().filter(|object| matches!(object["kind"].as_str(), Some("Job" | "CronJob")));
        for spec in of_jobs.filter_map(|object| object.pointer_mut(pointer)) {
            spec["restartPolicy"] = json!("Never");
        }
    }
    objects.push(pod(&format!("{prefix}-pod"), env));
    let data: serde_json::Map<String, Value> =
        env.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    objects.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("{prefix}-map")}, "data": data}));
    objects
}

/// Namespaces full of what a level or a binding will refuse, made before there was either.
fn make_everything<'w>(world: &'w World) -> [Namespace<'w>; 2] {
    let mut labels = scope_labels("mozmeao/scan/stage");
    labels["refgate.dev/enforce"] = json!("off");
    let off = world.make("scan-off", labels, json!({}), &[]);
    let mut objects = workloads("bad", BAD);
    objects.extend(workloads("clean", CLEAN));
    off.developer.kubectl.run_with(&["-n", "scan-off", "apply", "-f", "-"], &list(&objects)).ok();
    // Not by kubectl, whose annotation would keep what is mended.
    let path = "/apis/apps/v1/namespaces/scan-off/deployments";
    off.developer.api.post(path, &deployment("mended", 2, &pod_spec(BAD))).ok();
    wait_for_pods(&off, 2 * (2 + 2 + 2 + 3 + 1 + 1) + 2);
    // Mended, but its pods are still those of before.
    let mended =
        json!({"spec": {"paused": true, "template": {"spec": {"containers": [container("web", CLEAN)]}}}});
    off.developer.api.patch(&format!("{path}/mended"), MERGE, &mended).ok();

    let late = world.namespace("scan-late");
    let source = |name: &str| json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": name, "key": "value"}}}]});
    let mut objects = vec![pod("vault", &[("TOKEN_PATH", "vault:secret/data/other#token")])];
    for (name, secret) in [("foreign", "theirs"), ("own", "ours"), ("unknown", "nobodys")] {
        let mut spec = pod_spec(CLEAN);
        spec["containers"][0]["env"] = source(secret)["env"].clone();
        objects.push(deployment(name, 2, &spec));
    }
    let mut spec = pod_spec(CLEAN);
    spec["volumes"] = json!([{"name": "v", "projected": {"sources": [{"secret": {"name": "theirs"}}]}}]);
    objects.push(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mounted"}, "spec": spec}));
    late.developer.kubectl.run_with(&["-n", "scan-late", "apply", "-f", "-"], &list(&objects)).ok();
    wait_for_pods(&late, 3 * 2 + 2);
    write_catalogue(world);
    let bound = json!({"metadata": {"labels": scope_labels("mozmeao/scan/stage")}});
    world.operator.api.patch("/api/v1/namespaces/scan-late", MERGE, &bound).ok();
    [off, late]
}

fn list(objects: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}

fn wait_for_pods(namespace: &Namespace<'_>, count: usize) {
    until("the pods are there", || {
        let pods = namespace.developer.api.get(&namespace.path("pods")).ok();
        let pods = pods["items"].as_array()?;
        assert!(pods.len() <= count, "{} pods and not {count}", pods.len());
        (pods.len() == count).then_some(())
    });
}

/// One Secret of an earlier binding, and one of its own.
fn write_catalogue(world: &World) {
    let entries = json!([
        {"path": "mozmeao/other/stage/x", "secret": "theirs", "keys": ["value"]},
        {"path": "mozmeao/scan/stage/x", "secret": "ours", "keys": ["value"]},
    ]);
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"catalogue": entries.to_string()},
        "metadata": {"name": "catalogue.scan-late", "labels": {"refgate.dev/catalogue": "true"}},
    });
    let path =
        "/api/v1/namespaces/refgate-system/configmaps/catalogue.scan-late?fieldManager=sync&force=true";
    world.sync.api.patch(path, APPLY, &map).ok();
}

/// For everything that runs: a creation is refused when scan has said so of it or of its owner, and only then.
pub fn finds_what_admission_would_refuse(world: &World) {
    let person = scanner(world);
    let namespaces = make_everything(world);
    let places = ["--namespace", "scan-off", "--namespace", "scan-late"];
    let before = report(world, &person, &[&places, &["--level", "baseline"][..]].concat());
    // Only now is the level raised.
    let level = json!({"metadata": {"labels": {"refgate.dev/enforce": "baseline"}}});
    for namespace in &namespaces {
        world.operator.api.patch(&format!("/api/v1/namespaces/{}", namespace.name), MERGE, &level).ok();
        let foreign = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"},
            "spec": {"containers": [container("web", BAD)], "imagePullSecrets": [{"name": "theirs"}]}});
        until("RefGate knows the level and the binding", || {
            let message = namespace.dry_run(&foreign).message().to_owned();
            let fenced = namespace.name == "scan-off" || message.contains("theirs");
            (message.contains("DB_PASSWORD") && fenced).then_some(())
        });
    }
    let (mut judged, mut refused) = (0, 0);
    let said = Said { results: before["results"].as_array().unwrap() };
    for namespace in &namespaces {
        let objects = everything(namespace);
        for object in &objects {
            let answer = create_anew(namespace, object);
            judged += 1;
            refused += u64::from(answer);
            let at = &object["metadata"]["name"];
            assert_eq!(answer, said.of(object, &objects), "{} {at} in {}", object["kind"], namespace.name);
        }
    }
    assert_eq!((&before["judged"], &before["refused"]), (&json!(judged), &json!(refused)));
    assert!(refused > 20 && judged > refused + 20, "{refused} of {judged}");
    // No pod of a workload that is listed has an entry of its own.
    let of_pods = said.results.iter().filter(|entry| entry["kind"] == "Pod" && entry["owner"] != Value::Null);
    assert_eq!(of_pods.count(), 0, "{before:#}");
    let after = report(world, &person, &places);
    assert_eq!(
        after["results"], before["results"],
        "the level of the namespace counts as that of the flag did"
    );
}

struct Said<'r> {
    results: &'r [Value],
}

impl Said<'_> {
    /// Whether an entry names the object, or what made it.
    fn of(&self, object: &Value, all: &[Value]) -> bool {
        let metadata = &object["metadata"];
        let named = self.results.iter().any(|entry| {
            entry["kind"] == object["kind"]
                && entry["name"] == metadata["name"]
                && entry["namespace"] == metadata["namespace"]
        });
        let owner = metadata["ownerReferences"].as_array().and_then(|owners| owners.first());
        let owner =
            owner.and_then(|owner| all.iter().find(|object| object["metadata"]["uid"] == owner["uid"]));
        named || owner.is_some_and(|owner| self.of(owner, all))
    }
}

/// All that is there, each with its kind.
fn everything(namespace: &Namespace<'_>) -> Vec<Value> {
    let mut all = Vec::new();
    for (base, resource, kind) in RESOURCES {
        let path = format!("{base}/namespaces/{}/{resource}", namespace.name);
        for object in namespace.developer.api.get(&path).ok()["items"].as_array().unwrap() {
            let mut object = object.clone();
            object["kind"] = json!(kind);
            all.push(object);
        }
    }
    all
}

/// Whether RefGate refuses it when the developer makes it once more.
fn create_anew(namespace: &Namespace<'_>, object: &Value) -> bool {
    let kind = object["kind"].as_str().unwrap();
    let (base, resource, _) = RESOURCES.iter().find(|(_, _, known)| *known == kind).unwrap();
    let mut object = object.clone();
    let map = object.as_object_mut().unwrap();
    map.remove("status");
    map.insert(
        "apiVersion".into(),
        json!(
            base.rsplit_once("/api/")
                .map_or_else(|| base.trim_start_matches("/apis/"), |(_, version)| version)
        ),
    );
    let metadata = map["metadata"].as_object_mut().unwrap();
    metadata.retain(|key, _| {
        ["name", "generateName", "namespace", "labels", "annotations"].contains(&key.as_str())
    });
    match metadata.contains_key("generateName") {
        true => drop(metadata.remove("name")),
        false => metadata["name"] = json!(format!("{}-anew", metadata["name"].as_str().unwrap())),
    }
    if kind == "Job" {
        // The API server fills these in.
        map["spec"].as_object_mut().unwrap().remove("selector");
        map["spec"]["template"]["metadata"].as_object_mut().unwrap().remove("labels");
    }
    let path = format!("{base}/namespaces/{}/{resource}?dryRun=All", namespace.name);
    let answer = namespace.developer.api.post(&path, &object);
    if answer.is_ok() {
        return false;
    }
    let webhook = if kind == "ConfigMap" { "judge-data" } else { "judge" };
    assert!(
        answer.refused().contains(&format!("admission webhook \"{webhook}.refgate.dev\"")),
        "{kind}: {}",
        answer.message()
    );
    true
}

/// Pods that fill one page, and how many more there are then.
const PAGE: usize = 500;
const MORE: usize = 2_500;
/// Pods that break a rule: enough for a report that no pipe holds.
const REPORTED: usize = 150;
/// Bytes that make a pod as large as a busy one. They are where nothing is searched, for what is measured is reading.
const FILLER: usize = 10_000;

/// The peak for six pages is that of one page, and each page was asked for.
pub fn holds_a_page_and_no_more(world: &World) {
    let person = scanner(world);
    let namespace = world.make("scan-many", json!({"refgate.dev/enforce": "off"}), json!({}), &[]);
    make_pods(&namespace, 0..REPORTED, BAD);
    make_pods(&namespace, REPORTED..PAGE, CLEAN);
    let (one_page, _) = peak(world, &person);

    make_pods(&namespace, PAGE..PAGE + MORE, CLEAN);
    let (all_pages, large) = peak(world, &person);
    // What other tests have left in the cluster comes on top, and goes while this one runs.
    let seen = usize::try_from(large["judged"].as_u64().unwrap()).unwrap();
    assert!(seen >= PAGE + MORE, "{seen} objects");
    // What keeps the pods, in whatever form, has kept this many bytes more.
    let added = u64::try_from(MORE * FILLER).unwrap();
    assert!(all_pages < one_page + added / 2, "{one_page} bytes, and with {added} more to read {all_pages}");
    let mut pages = 0;
    for event in world.plane.audit_log().iter().filter(|event| event["user"]["username"] == *person.name) {
        assert_ne!(event["objectRef"]["resource"], "secrets", "{event}");
        assert_ne!(event["responseStatus"]["code"], 403, "{event}");
        let url = event["requestURI"].as_str().unwrap();
        pages += usize::from(url.starts_with("/api/v1/pods?") && url.contains("continue="));
    }
    assert!(pages >= MORE / PAGE, "{pages} pages after the first");
}

/// For the benchmark: how long a scan of so many pods takes, and the most memory that it takes, in bytes.
pub fn measured(world: &World, pods: usize) -> (Duration, u64) {
    let person = scanner(world);
    let namespace = world.make("scan-measured", json!({"refgate.dev/enforce": "off"}), json!({}), &[]);
    make_pods(&namespace, 0..REPORTED, BAD);
    make_pods(&namespace, REPORTED..pods, CLEAN);
    let start = Instant::now();
    let (bytes, _) = peak(world, &person);
    (start.elapsed(), bytes)
}

/// Pods as they wait for a scheduler: nothing else in the cluster has work with them.
fn make_pods(namespace: &Namespace<'_>, range: std::ops::Range<usize>, env: &[(&str, &str)]) {
    let name = "a-name-of-thirty-two-bytes.local";
    let hosts = json!([{"ip": "127.0.0.1", "hostnames": vec![name; FILLER / name.len()]}]);
    let next = AtomicUsize::new(range.start);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= range.end {
                        return;
                    }
                    let mut pod = pod(&format!("pod-{number}"), env);
                    pod["spec"]["schedulingGates"] = json!([{"name": "example.com/never"}]);
                    pod["spec"]["hostAliases"] = hosts.clone();
                    namespace.developer.api.post(&namespace.path("pods"), &pod).ok();
                }
            });
        }
    });
}

/// The most memory that a scan of the whole cluster took, and what it said.
fn peak(world: &World, person: &Person) -> (u64, Value) {
    let mut command = scan(world, person, &["--level", "baseline"]);
    // What is freed goes back at once: for how many milliseconds the allocator would hold it is no matter of the scan.
    command.env("MIMALLOC_PURGE_DELAY", "0");
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut text = vec![0];
    // It prints when it has read everything, and more than a pipe holds: from here on it waits for us.
    out.read_exact(&mut text).unwrap();
    let status = fs::read_to_string(Path::new("/proc").join(child.id().to_string()).join("status")).unwrap();
    out.read_to_end(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(text.len() > 64 << 10, "{} bytes fit into a pipe", text.len());
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    (kibibytes << 10, serde_json::from_slice(&text).unwrap())
}
