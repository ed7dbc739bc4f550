//! A developer's day: every kind that makes pods, with every form of reference, from apply to running.

use serde_json::{Value, json};

use crate::harness::api::APPLY;
use crate::harness::objects::{container, deployment, template};
use crate::harness::wait::until;
use crate::harness::world::{Namespace, Synced, World};

const SECRETS: &[Synced<'_>] = &[
    ("mozmeao/shared/stage/sentry_dsn", &[("value", "s")]),
    ("mozmeao/day/stage/cache", &[("CACHE_TOKEN", "t"), ("CACHE_URL", "u"), ("value", "{}")]),
    ("mozmeao/day/stage/database_url", &[("value", "d")]),
    ("mozmeao/day/stage/postgres", &[("password", "p"), ("value", "{}")]),
    ("mozmeao/day/stage/smtp", &[("password", "p"), ("value", "{}")]),
    ("mozmeao/day/stage/tls", &[("key", "k"), ("value", "{}")]),
];

/// A namespace with those Secrets.
fn namespace<'w>(world: &'w World, name: &str) -> Namespace<'w> {
    let labels = crate::harness::world::scope_labels("mozmeao/day/stage");
    world.make(name, labels, json!({"refgate.dev/shared-paths": "mozmeao/shared/stage"}), SECRETS)
}

/// The spec of a pod with every form that an env value can have, in every sort of container.
fn spec() -> Value {
    let mut sidecar = container("proxy", &[("SENTRY_DSN", "secret:/mozmeao/shared/stage/sentry_dsn")]);
    sidecar["restartPolicy"] = json!("Always");
    json!({
        "terminationGracePeriodSeconds": 0,
        "initContainers": [container("migrate", &[("DATABASE_URL", "secret:database_url")]), sidecar],
        "containers": [container("web", &[
            ("LOG_LEVEL", "info"),
            ("DATABASE_URL", "secret:database_url"),
            ("DATABASE", "$(DATABASE_URL)?pool=5"),
            ("SMTP_PASSWORD", "secret:smtp#password"),
            ("FEATURE_KEY", "secret:feature_key?optional"),
            ("POSTGRES_PASSWORD_FILE", "secret+file:postgres#password"),
            ("ZONE", "a"),
        ])],
    })
}

/// And with every annotation.
fn annotations() -> Value {
    json!({
        "env.refgate.dev/ADDED": "database_url",
        "file.refgate.dev/tls.key": "tls#key",
        "refgate.dev/env-from": "cache",
        "refgate.dev/containers": "web",
        "refgate.dev/mount-path": "/secrets",
        "refgate.dev/file-mode": "0440",
    })
}

fn with_annotations(mut object: Value, pointer: &str) -> Value {
    object.pointer_mut(pointer).unwrap()["metadata"]["annotations"] = annotations();
    object
}

fn workloads() -> Vec<Value> {
    let template = |name: &str| with_annotations(template(name, &spec()), "");
    let once = |name: &str| {
        let mut template = template(name);
        template["spec"]["restartPolicy"] = json!("Never");
        json!({"backoffLimit": 0, "template": template})
    };
    let selector = |name: &str| json!({"matchLabels": {"app": name}});
    let meta = |name: &str| json!({"name": name});
    let mut pod = template("bare");
    (pod["apiVersion"], pod["kind"], pod["metadata"]["name"]) = (json!("v1"), json!("Pod"), json!("bare"));
    vec![
        // First, because it makes its Job with the next minute.
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta("cron"), "spec": {
            "schedule": "* * * * *", "jobTemplate": {"spec": once("cron")},
        }}),
        with_annotations(deployment("web", 2, &spec()), "/spec/template"),
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta("state"), "spec": {
            "replicas": 2, "serviceName": "state", "selector": selector("state"), "template": template("state"),
        }}),
        json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta("daemon"), "spec": {
            "selector": selector("daemon"), "template": template("daemon"),
        }}),
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta("job"), "spec": once("job")}),
        pod,
    ]
}

pub fn every_kind_and_every_form(world: &World) {
    let namespace = namespace(world, "day");
    let workloads = workloads();
    let applied = namespace.kubectl_with(&["apply", "-f", "-"], &list(&workloads));
    // What `restricted` says of secrets in env vars, and of the one that is not there yet, comes as warnings.
    for line in applied.err.lines() {
        let expected = ["secrets as env vars", "mozmeao/day/stage/feature_key"];
        assert!(line.starts_with("Warning: ") && expected.iter().any(|text| line.contains(text)), "{line}");
    }
    applied.ok();
    for workload in ["deployment/web", "statefulset/state", "daemonset/daemon"] {
        namespace.kubectl(&["rollout", "status", workload, "--timeout=60s"]).ok();
    }
    namespace.kubectl(&["wait", "--for=condition=complete", "job/job", "--timeout=60s"]).ok();
    namespace.kubectl(&["wait", "--for=condition=ready", "pod/bare", "--timeout=60s"]).ok();
    for (label, count) in [("web", 2), ("state", 2), ("daemon", 3), ("job", 1), ("bare", 1)] {
        let pods = pods(&namespace, label);
        assert_eq!(pods.len(), count, "{label}");
        pods.iter().for_each(assert_injected);
    }
    // But for the bare pod: what stands in its own env was changed, and kubectl would put it back.
    let again = namespace.kubectl_with(&["diff", "-f", "-"], &list(&workloads[..workloads.len() - 1]));
    assert_eq!((again.code, &*again.out), (Some(0), ""), "kubectl diff after apply: {}", again.err);
    until("the CronJob's Job has run", || {
        let pods = pods(&namespace, "cron");
        let pod = pods.first()?;
        assert_injected(pod);
        (pod["status"]["phase"] == "Succeeded").then_some(())
    });
}

fn pods(namespace: &Namespace<'_>, label: &str) -> Vec<Value> {
    let path = namespace.path(&format!("pods?labelSelector=app={label}"));
    let list = namespace.developer.api.get(&path).ok();
    list["items"].as_array().unwrap().clone()
}

/// A bare pod that a repository applies again and again has its references in annotations.
pub fn a_bare_pod_with_annotations_is_applied_again(world: &World) {
    let namespace = namespace(world, "again");
    let mut pod = crate::harness::objects::pod("bare", &[("LOG_LEVEL", "info")]);
    pod["metadata"]["annotations"] = annotations();
    let list = list(&[pod]);
    namespace.kubectl_with(&["apply", "-f", "-"], &list).ok();
    // Until then the scheduler and the node write into it, and that would be a difference too.
    namespace.kubectl(&["wait", "--for=condition=Ready", "pod/bare", "--timeout=60s"]).ok();
    let live = namespace.developer.api.get(&namespace.path("pods/bare")).ok();
    assert_eq!(key_of(&live, "web", "ADDED").1, "value");
    let diff = namespace.kubectl_with(&["diff", "-f", "-"], &list);
    assert_eq!((diff.code, &*diff.out), (Some(0), ""), "{}", diff.err);
    namespace.kubectl_with(&["apply", "-f", "-"], &list).ok();
    let after = namespace.developer.api.get(&namespace.path("pods/bare")).ok();
    assert_eq!(after["spec"], live["spec"]);
    assert_eq!(after["metadata"]["annotations"], live["metadata"]["annotations"]);
}

fn list(objects: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}

/// Secret, key, and whether the pod starts without.
fn key_of(pod: &Value, container: &str, name: &str) -> (String, String, bool) {
    let all = ["initContainers", "containers"]
        .into_iter()
        .filter_map(|list| pod["spec"][list].as_array())
        .flatten();
    let container = all.into_iter().find(|entry| entry["name"] == container).unwrap();
    let env = container["env"].as_array().unwrap().iter().find(|entry| entry["name"] == name);
    let env = env.unwrap_or_else(|| panic!("no {name} in {container}"));
    assert!(env.get("value").is_none(), "{env}");
    let reference = &env["valueFrom"]["secretKeyRef"];
    let text = |key: &str| reference[key].as_str().unwrap_or_else(|| panic!("{env}")).to_owned();
    (text("name"), text("key"), reference["optional"] == true)
}

fn assert_injected(pod: &Value) {
    // One of the names worked out by hand, with sha256sum; the others as the library has them.
    let database = "mozmeao-day-stage-database-url-91039d179503f43a";
    let is = |container: &str, name: &str, path: &str, key: &str| {
        let (secret, found, optional) = key_of(pod, container, name);
        assert_eq!(secret, refgate::policy::path::secret_name(path), "{container} {name}");
        assert_eq!((&*found, optional), (key, name == "FEATURE_KEY"), "{container} {name}");
        secret
    };
    assert_eq!(is("migrate", "DATABASE_URL", "mozmeao/day/stage/database_url", "value"), database);
    is("proxy", "SENTRY_DSN", "mozmeao/shared/stage/sentry_dsn", "value");
    is("web", "DATABASE_URL", "mozmeao/day/stage/database_url", "value");
    is("web", "SMTP_PASSWORD", "mozmeao/day/stage/smtp", "password");
    is("web", "FEATURE_KEY", "mozmeao/day/stage/feature_key", "value");
    is("web", "ADDED", "mozmeao/day/stage/database_url", "value");
    is("web", "CACHE_URL", "mozmeao/day/stage/cache", "CACHE_URL");
    is("web", "CACHE_TOKEN", "mozmeao/day/stage/cache", "CACHE_TOKEN");
    let web = &pod["spec"]["containers"][0];
    let names: Vec<&str> =
        web["env"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    let spec = spec();
    let written = spec["containers"][0]["env"].as_array().unwrap().iter();
    let written: Vec<&str> = written.map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names[..written.len()], written, "the order stays, and what is added comes after");
    let value = |name: &str| {
        let mut env = web["env"].as_array().unwrap().iter();
        env.find(|entry| entry["name"] == name).unwrap()["value"].clone()
    };
    assert_eq!(value("POSTGRES_PASSWORD_FILE"), "/secrets/POSTGRES_PASSWORD_FILE");
    // It reads a variable that was injected, which is the kubelet's to put in.
    assert_eq!(value("DATABASE"), "$(DATABASE_URL)?pool=5");
    assert_files(pod, web);
    assert_refs(pod);
}

fn assert_files(pod: &Value, web: &Value) {
    let mounts = web["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|mount| mount["mountPath"] == "/secrets").unwrap();
    assert_eq!(mount["readOnly"], true);
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).unwrap();
    let projected = &volume["projected"];
    assert_eq!(projected["defaultMode"], 0o440);
    let mut files: Vec<(String, String)> = Vec::new();
    for source in projected["sources"].as_array().unwrap() {
        let secret = &source["secret"];
        for item in secret["items"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            files.push((text(&item["path"]), format!("{}/{}", text(&secret["name"]), text(&item["key"]))));
        }
    }
    files.sort();
    let secret = refgate::policy::path::secret_name;
    let expected = [
        ("POSTGRES_PASSWORD_FILE", format!("{}/password", secret("mozmeao/day/stage/postgres"))),
        ("tls.key", format!("{}/key", secret("mozmeao/day/stage/tls"))),
    ];
    assert_eq!(files, expected.map(|(path, from)| (path.to_owned(), from)));
}

fn assert_refs(pod: &Value) {
    let text = pod["metadata"]["annotations"]["refgate.dev/refs"].as_str().unwrap();
    let refs: Vec<Value> = serde_json::from_str(text).unwrap();
    let mut uses: Vec<(String, String)> = Vec::new();
    for entry in &refs {
        for at in entry["at"].as_array().unwrap() {
            uses.push((
                at.as_str().unwrap().to_owned(),
                format!("{} {}", entry["use"].as_str().unwrap(), entry["path"].as_str().unwrap()),
            ));
        }
    }
    uses.sort();
    let expected = [
        ("migrate/DATABASE_URL", "env mozmeao/day/stage/database_url"),
        ("proxy/SENTRY_DSN", "env mozmeao/shared/stage/sentry_dsn"),
        ("web/ADDED", "env mozmeao/day/stage/database_url"),
        ("web/CACHE_TOKEN", "env mozmeao/day/stage/cache"),
        ("web/CACHE_URL", "env mozmeao/day/stage/cache"),
        ("web/DATABASE_URL", "env mozmeao/day/stage/database_url"),
        ("web/FEATURE_KEY", "env mozmeao/day/stage/feature_key"),
        ("web/POSTGRES_PASSWORD_FILE", "file mozmeao/day/stage/postgres"),
        ("web/SMTP_PASSWORD", "env mozmeao/day/stage/smtp"),
        ("web/tls.key", "file mozmeao/day/stage/tls"),
    ];
    let expected: Vec<(String, String)> = expected.map(|(at, used)| (at.to_owned(), used.to_owned())).into();
    assert_eq!(uses, expected);
    assert!(refs.iter().any(|entry| entry["version"] == "v1"), "{text}");
}

/// Two managers, as Helm and an autoscaler are, each with fields of its own.
pub fn two_managers_meet_no_conflict(world: &World) {
    let namespace = namespace(world, "managers");
    let api = &namespace.developer.api;
    let path = "/apis/apps/v1/namespaces/managers/deployments/web";
    let mut whole = with_annotations(deployment("web", 1, &spec()), "/spec/template");
    whole["spec"].as_object_mut().unwrap().remove("replicas");
    let replicas = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 2},
    });
    for _ in 0..2 {
        api.patch(&format!("{path}?fieldManager=delivery"), APPLY, &whole).ok();
        api.patch(&format!("{path}?fieldManager=scaler"), APPLY, &replicas).ok();
    }
    whole["spec"]["template"]["spec"]["containers"][0]["image"] = json!("example.com/app:2");
    api.patch(&format!("{path}?fieldManager=delivery"), APPLY, &whole).ok();
    namespace.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).ok();
    let pods = pods(&namespace, "web");
    let new = |pod: &&Value| pod["spec"]["containers"][0]["image"] == "example.com/app:2";
    assert_eq!(pods.iter().filter(new).count(), 2);
    pods.iter().filter(new).for_each(assert_injected);
}

/// What a dry run shows is what then is done.
pub fn a_dry_run_answers_the_same(world: &World) {
    let namespace = namespace(world, "dry-run");
    let mut pod = workloads().pop().unwrap();
    pod["metadata"]["name"] = json!("same");
    let dry = namespace.dry_run(&pod);
    assert!(namespace.developer.api.get(&namespace.path("pods/same")).code == 404);
    let real = namespace.developer.api.post(&namespace.path("pods"), &pod);
    assert_eq!(dry.warnings, real.warnings);
    let (dry, real) = (dry.ok(), real.ok());
    assert_injected(&dry);
    for pointer in ["/spec/containers/0/env", "/spec/initContainers/0/env", "/metadata/annotations"] {
        assert_eq!(dry.pointer(pointer), real.pointer(pointer), "{pointer}");
    }
    let refused =
        namespace.dry_run(&crate::harness::objects::pod("no", &[("A", "secret:/mozmeao/other/stage/a")]));
    let message = refused.refused().to_owned();
    let pod = crate::harness::objects::pod("no", &[("A", "secret:/mozmeao/other/stage/a")]);
    assert_eq!(namespace.developer.api.post(&namespace.path("pods"), &pod).refused(), message);
}
