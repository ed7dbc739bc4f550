//! `make node`: a real node to try RefGate on, and tests that need real containers.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::demo::write_kubeconfig;
use crate::harness::node_cluster::{Cluster, Tenant};
use crate::harness::node_image::BUSYBOX;
use crate::harness::node_space::ENTER;
use crate::harness::wait::{until, until_within};
use crate::harness::world::bind;
use crate::seconds;

/// The namespace of the developer.
const NAMESPACE: &str = "snippets-stage";

/// Says how to use it, and waits for Ctrl-C.
pub fn run(cluster: &Cluster) -> ! {
    let plane = &cluster.plane;
    cluster.bind(NAMESPACE, "mozmeao/snippets/stage");
    bind(&plane.admin, NAMESPACE, "edit", "dana");
    let kubectl = plane.programs.path("kubectl").parent().unwrap().display();
    let refgate = Path::new(env!("CARGO_BIN_EXE_refgate")).parent().unwrap().display();
    let mut lines = vec![
        format!("export KUBECONFIG='{}'\n", write_kubeconfig(plane, NAMESPACE).display()),
        format!("export PATH='{refgate}:{kubectl}':\"$PATH\"\n"),
    ];
    lines.extend(cluster.environment().iter().map(|(name, value)| format!("export {name}='{value}'\n")));
    fs::write(plane.folder.join("env"), lines.concat()).unwrap();
    println!(
        "\nKubernetes 1.{} with a real node and RefGate in it is up, until Ctrl-C.\n\n\
         Its network is its own. In another terminal, for a shell inside of it, or for one command:\n\n  {} [COMMAND …]\n\n\
         kubectl there is a developer of the namespace {NAMESPACE}; --context operator binds namespaces, --context admin may do\n\
         everything. There is no registry: containers run {BUSYBOX}.\n",
        plane.programs.minor,
        plane.folder.join(ENTER).display()
    );
    loop {
        std::thread::sleep(Duration::from_secs(1));
        plane.assert_running();
        cluster.node.assert_running();
    }
}

/// No object names the secret before the Deployment does: after one `kubectl apply` its pods become Ready.
pub fn a_fresh_namespace(cluster: &Cluster) {
    let tenant = cluster.bind("node-fresh", "node/fresh/test");
    tenant.put("mail", r#"{"SMTP_HOST": "mail.example.com", "SMTP_PORT": "2525"}"#);
    let start = Instant::now();
    tenant.apply(&deployment("web", 2, &json!({"refgate.dev/env-from": "mail"}), &[]));
    for pod in tenant.wait_pods("web", 2) {
        assert_eq!(variables(&tenant, &pod, &["SMTP_HOST", "SMTP_PORT"]), ["mail.example.com", "2525"]);
    }
    println!("  env-from, from apply to Ready: {}", seconds(start.elapsed()));
}

/// A workload of each controller is there before its secret: all become Ready by themselves once it is put.
pub fn applied_before_the_put(cluster: &Cluster) {
    let tenant = cluster.bind("node-before", "node/before/test");
    let annotations = json!({"refgate.dev/env-from": "cache"});
    let mut job = template("once", &annotations, &[]);
    job["spec"]["restartPolicy"] = json!("Never");
    let spec = |name: &str| json!({"selector": {"matchLabels": {"app": name}}, "template": template(name, &annotations, &[])});
    let names = ["web", "db", "agent", "once"];
    tenant.apply(&deployment(names[0], 1, &annotations, &[]));
    for (kind, name) in [("StatefulSet", names[1]), ("DaemonSet", names[2])] {
        tenant.apply(
            &json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec(name)}),
        );
    }
    tenant.apply(&json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": names[3]}, "spec": {"template": job},
    }));
    let denied = format!("/api/v1/namespaces/{}/events?fieldSelector=reason%3DFailedCreate", tenant.name);
    until("every controller was denied a pod", || {
        let events = cluster.plane.admin.api.get(&denied).ok();
        let kinds = events["items"].as_array()?.iter().map(|event| event["involvedObject"]["kind"].as_str());
        (kinds.collect::<BTreeSet<_>>().len() == names.len()).then_some(())
    });
    let start = Instant::now();
    tenant.put("cache", r#"{"CACHE_URL": "redis://cache.example.com/3"}"#);
    for name in names {
        let pods = tenant.wait_pods(name, 1);
        assert_eq!(variables(&tenant, &pods[0], &["CACHE_URL"]), ["redis://cache.example.com/3"]);
        println!("  {name}: from put to Ready: {}", seconds(start.elapsed()));
    }
}

/// `$(NAME)` is the value in the container, for an injected variable too.
pub fn env_in_order(cluster: &Cluster) {
    let tenant = cluster.bind("node-order", "node/order/test");
    tenant.put("postgres", r#"{"password": "k7Gq-first"}"#);
    tenant.put("queue", r#"{"QUEUE_URL": "amqp://queue.example.com/jobs"}"#);
    let annotations =
        json!({"refgate.dev/env-from": "queue", "env.refgate.dev/PG_PASSWORD": "postgres#password"});
    let env = [
        ("MODE", "worker"),
        ("BROKER", "$(QUEUE_URL)?heartbeat=5"),
        ("DATABASE", "postgres://app:$(PG_PASSWORD)@db.example.com/app"),
    ];
    tenant.apply(&deployment("worker", 1, &annotations, &env));
    let pods = tenant.wait_pods("worker", 1);
    assert_eq!(
        variables(&tenant, &pods[0], &["MODE", "BROKER", "DATABASE"]),
        [
            "worker",
            "amqp://queue.example.com/jobs?heartbeat=5",
            "postgres://app:k7Gq-first@db.example.com/app",
        ]
    );
}

/// The same container sees the new content in the same file.
pub fn a_rotated_file(cluster: &Cluster) {
    let tenant = cluster.bind("node-rotation", "node/rotation/test");
    tenant.put("session_key", "first");
    tenant.apply(&deployment("shop", 1, &json!({}), &[("SESSION_KEY_FILE", "secret+file:session_key")]));
    let pods = tenant.wait_pods("shop", 1);
    let content = || tenant.exec(&pods[0], &["sh", "-c", "cat $SESSION_KEY_FILE"]);
    assert_eq!(content(), "first");
    let start = Instant::now();
    tenant.put("session_key", "second");
    // The sync reads its lists every minute, and the kubelet looks at a pod every minute or a little more.
    until_within("the file is the new one", Duration::from_secs(300), || {
        (content() == "second").then_some(())
    });
    println!("  from put to the new file: {}", seconds(start.elapsed()));
    let after = &tenant.wait_pods("shop", 1)[0];
    assert_eq!(after["metadata"]["uid"], pods[0]["metadata"]["uid"]);
    assert_eq!(after["status"]["containerStatuses"][0]["restartCount"], 0);
}

/// A Deployment of pods that wait.
fn deployment(name: &str, replicas: u32, annotations: &Value, env: &[(&str, &str)]) -> Value {
    let template = template(name, annotations, env);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
    })
}

fn template(name: &str, annotations: &Value, env: &[(&str, &str)]) -> Value {
    let env: Vec<Value> = env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let container = json!({"name": "main", "image": BUSYBOX, "command": ["sleep", "86400"], "env": env});
    json!({
        "metadata": {"labels": {"app": name}, "annotations": annotations},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    })
}

/// The values of variables in the running container.
fn variables(tenant: &Tenant<'_>, pod: &Value, names: &[&str]) -> Vec<String> {
    let text = tenant.exec(pod, &["env"]);
    let value = |name: &&str| text.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
    names.iter().map(|name| value(name).unwrap_or_default().to_owned()).collect()
}
