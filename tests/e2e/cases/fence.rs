//! The fence, tried by a developer of one namespace who wants the Secret of another team. Rows have the ids of our
//! catalogue of ways around a fence, as in `tests/it/traps.rs`: `N` for the path itself, `P` for the mechanics of pods.
//!
//! Everything is a dry run: it takes the same way through the API server. A number in place of a text
//! (N16) comes to no webhook; P02 and P16 are in `updates`, P18 and P19 in `binding`, P20 in `mutators`.

use refgate::policy::path::secret_name;
use serde_json::{Value, json};

use crate::harness::api::{Answer, MERGE};
use crate::harness::objects::{PASSWORD, container, pod_spec, template};
use crate::harness::wait::until;
use crate::harness::world::{Namespace, World, scope_labels};

pub const OWN: &str = "mozmeao/snippets/stage/x";
pub const FOREIGN: &str = "mozmeao/snippets/prod/x";

/// A namespace that was bound to `mozmeao/snippets/prod` and is now bound to `mozmeao/snippets/stage`: the Secret of the
/// other team is still there, so that whoever gets a pod past RefGate has what they want.
pub fn with_a_foreign_secret<'w>(world: &'w World, name: &str) -> Namespace<'w> {
    let namespace = world.bound(name, "mozmeao/snippets/prod", &[(FOREIGN, &[("value", "theirs")])]);
    let path = format!("/api/v1/namespaces/{name}");
    let labels = json!({"metadata": {"labels": scope_labels("mozmeao/snippets/stage")}});
    world.operator.api.patch(&path, MERGE, &labels).ok();
    let secret = json!({"metadata": {"name": "new", "annotations": {"refgate.dev/path": OWN}}});
    until("the policies know the new binding", || {
        let answer = world.sync.api.post(&namespace.path("secrets?dryRun=All"), &secret);
        answer.is_ok().then_some(())
    });
    namespace.sync(&[(OWN, &[("value", "ours")])], &[]);
    let entry =
        |path: &str| json!({"path": path, "secret": secret_name(path), "keys": ["value"], "version": "v1"});
    namespace.catalogue(&[entry(FOREIGN), entry(OWN)], &[]);
    until("RefGate knows the Secret that was left behind", || {
        let foreign = json!([{"name": "A", "valueFrom": by_name()}]);
        (namespace.dry_run(&with_env(foreign)).code == 403).then_some(())
    });
    namespace
}

/// The other team's Secret, by its name.
pub fn by_name() -> Value {
    json!({"secretKeyRef": {"name": secret_name(FOREIGN), "key": "value"}})
}

pub fn of_spec(spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})
}

pub fn with_env(env: Value) -> Value {
    let mut spec = pod_spec(&[]);
    spec["containers"][0]["env"] = env;
    of_spec(&spec)
}

fn with_annotation(key: &str, value: &str) -> Value {
    let mut pod = with_env(json!([]));
    pod["metadata"]["annotations"] = json!({key: value});
    pod
}

/// Each kind that makes pods, with the pod as its template, and where it is posted.
fn workloads(pod: &Value) -> Vec<(&'static str, Value)> {
    let mut template = template("p", &pod["spec"]);
    template["metadata"]["annotations"] = pod["metadata"]["annotations"].clone();
    let mut once = template.clone();
    once["spec"]["restartPolicy"] = json!("Never");
    let selector = json!({"matchLabels": {"app": "p"}});
    let plain = json!({"selector": selector, "template": template});
    let stateful = json!({"selector": selector, "template": template, "serviceName": "p"});
    let old = json!({"selector": {"app": "p"}, "template": template});
    let job = json!({"template": once});
    let cron = json!({"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": once}}});
    [
        ("apis/apps/v1/namespaces/NAMESPACE/deployments", plain.clone()),
        ("apis/apps/v1/namespaces/NAMESPACE/replicasets", plain.clone()),
        ("apis/apps/v1/namespaces/NAMESPACE/daemonsets", plain),
        ("apis/apps/v1/namespaces/NAMESPACE/statefulsets", stateful),
        ("api/v1/namespaces/NAMESPACE/replicationcontrollers", old),
        ("apis/batch/v1/namespaces/NAMESPACE/jobs", job),
        ("apis/batch/v1/namespaces/NAMESPACE/cronjobs", cron),
    ]
    .map(|(path, spec)| (path, json!({"metadata": {"name": "p"}, "spec": spec})))
    .into()
}

fn posted(namespace: &Namespace<'_>, path: &str, object: &Value) -> Answer {
    let path = path.replace("NAMESPACE", &namespace.name);
    namespace.developer.api.post(&format!("/{path}?dryRun=All"), object)
}

/// Refused by RefGate, and not for a fault of the object or of the test.
#[track_caller]
pub fn assert_refused(id: &str, answer: &Answer) {
    let message = answer.message();
    let by_us = message.contains(".refgate.dev\" denied the request: ");
    assert!(answer.code == 403 && by_us, "{id}: {} {message}", answer.code);
    assert!(!message.contains(char::is_control), "{id}: {message:?}");
}

/// As a pod, and as the first of the kinds that make pods.
#[track_caller]
fn assert_refused_here_and_there(id: &str, namespace: &Namespace<'_>, pod: &Value) {
    assert_refused(id, &namespace.dry_run(pod));
    let (path, workload) = &workloads(pod)[0];
    assert_refused(id, &posted(namespace, path, workload));
}

pub fn paths(world: &World) {
    let namespace = with_a_foreign_secret(world, "fence-paths");
    for (id, path) in [
        ("N02", "/mozmeao/snippets/stage-old/x"),
        ("N02", "/mozmeao/snippets/stage2/x"),
        ("N03", "/mozmeao/snippets/stage"),
        ("N03", "/mozmeao/snippets/stage/"),
        ("N04", "/mozmeao/snippets/stage/../prod/x"),
        ("N04", "../prod/x"),
        ("N04", "x/../../prod/x"),
        ("N05", "/mozmeao/snippets/stage//x"),
        ("N05", "/mozmeao/snippets/stage/./x"),
        ("N06", "//mozmeao/snippets/stage/x"),
        ("N07", "/Mozmeao/snippets/stage/x"),
        ("N08", "/mozmeao/snippets/prod/x\n"),
        ("N08", "/mozmeao/snippets/prod/x "),
        ("N09", "/mozmeao%2Fsnippets%2Fstage%2Fx"),
        ("N09", "/mozmeao/snippets/stage%2F..%2Fprod%2Fx"),
        ("N09", "/mozmeao/snippets/st\u{430}ge/x"),
        ("N09", "/mozmeao\u{2215}snippets\u{2215}stage\u{2215}x"),
        ("N16", ""),
        ("N16", "/null"),
        ("foreign", "/mozmeao/snippets/prod/x"),
        ("foreign", "/mozmeao/snippets/prod/x#password"),
        ("foreign", "/mozmeao/snippets/prod/x?optional"),
    ] {
        let value = |prefix: &str| with_env(json!([{"name": "A", "value": format!("{prefix}{path}")}]));
        let forms = [
            value("secret:"),
            value("secret+file:"),
            with_annotation("env.refgate.dev/A", path),
            with_annotation("file.refgate.dev/a", path),
            with_annotation("refgate.dev/env-from", path),
        ];
        for (number, pod) in forms.iter().enumerate() {
            // A list may be empty.
            if !(path.is_empty() && number == 4) {
                assert_refused_here_and_there(&format!("{id} {path:?} in form {number}"), &namespace, pod);
            }
        }
    }
    // So that all of that was not refused for some other reason: N01.
    let made = namespace.dry_run(&with_env(json!([{"name": "A", "value": format!("secret:/{OWN}")}]))).ok();
    let found = &made["spec"]["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["name"];
    assert_eq!(*found, secret_name(OWN));
}

/// As shipped, no AWS account is anybody's, so every ARN is foreign.
pub fn references_of_other_systems(world: &World) {
    let namespace = with_a_foreign_secret(world, "fence-systems");
    let arn = "arn:aws:secretsmanager:us-west-2:111122223333:secret:mozmeao/snippets";
    for (id, value) in [
        ("N10", format!("{arn}/stage/x-AbCdEf")),
        ("N11", format!("{}/stage/x-AbCdEf", arn.replace("111122223333", "999999999999"))),
        ("N11", format!("{}/stage/x-AbCdEf", arn.replace("arn:aws:", "arn:aws-cn:"))),
        ("N12", format!("{arn}/stage-AbCdEf")),
        ("N13", format!("{arn}/stage/my-secret")),
        ("N14", format!("{arn}/stage/x-AbCdEf:password::")),
        ("N15", "arn:aws:ssm:us-west-2:111122223333:parameter/mozmeao/snippets/prod/x".to_owned()),
        ("vault", "vault:secret/data/mozmeao/snippets/prod/x#k".to_owned()),
        ("1password", "op://mozmeao/snippets/prod/x".to_owned()),
    ] {
        let pod = with_env(json!([{"name": "A", "value": value}]));
        assert_refused_here_and_there(&format!("{id} {value}"), &namespace, &pod);
    }
    let inside = with_env(json!([{"name": "A", "value": "vault:mozmeao/snippets/stage/x#k"}]));
    namespace.dry_run(&inside).ok();
}

/// The Secret is there, and its name is no secret: wherever a pod can write it.
pub fn the_secret_by_its_name(world: &World) {
    let namespace = with_a_foreign_secret(world, "fence-names");
    let name = secret_name(FOREIGN);
    let at = |pointer: &str, value: Value| {
        let mut pod = with_env(json!([]));
        pod["spec"][pointer] = value;
        pod
    };
    let mut init = container("i", &[]);
    init["env"] = json!([{"name": "A", "valueFrom": by_name()}]);
    let mut sidecar = init.clone();
    sidecar["restartPolicy"] = json!("Always");
    let from = json!([{"name": "c", "image": "i", "envFrom": [{"secretRef": {"name": name}}]}]);
    let mut pods = vec![
        ("env", with_env(json!([{"name": "A", "valueFrom": by_name()}]))),
        ("P01 init", at("initContainers", json!([init]))),
        ("P01 sidecar", at("initContainers", json!([sidecar]))),
        ("envFrom", at("containers", from)),
        ("imagePullSecrets", at("imagePullSecrets", json!([{"name": name}]))),
    ];
    let reference = json!({"name": name});
    for (kind, source) in [
        ("secret", json!({"secretName": name})),
        ("projected", json!({"sources": [{"secret": reference}]})),
        ("csi", json!({"driver": "d", "nodePublishSecretRef": reference})),
        ("azureFile", json!({"secretName": name, "shareName": "s"})),
        ("cephfs", json!({"monitors": ["m"], "secretRef": reference})),
        ("rbd", json!({"monitors": ["m"], "image": "i", "secretRef": reference})),
        (
            "iscsi",
            json!({"targetPortal": "10.0.0.1:3260", "iqn": "iqn.2001-04.com.example:a", "lun": 0,
            "chapAuthSession": true, "secretRef": reference}),
        ),
        ("flexVolume", json!({"driver": "a/d", "secretRef": reference})),
        ("scaleIO", json!({"gateway": "g", "system": "s", "volumeName": "v", "secretRef": reference})),
        ("storageos", json!({"volumeName": "v", "volumeNamespace": "n", "secretRef": reference})),
        ("cinder", json!({"volumeID": "v", "secretRef": reference})),
    ] {
        pods.push((kind, at("volumes", json!([{"name": "v", kind: source}]))));
    }
    for (id, pod) in &pods {
        assert_refused_here_and_there(id, &namespace, pod);
    }
    // What a ServiceAccount adds comes into the pod before any webhook sees it.
    let account = json!({"metadata": {"name": "puller"}, "imagePullSecrets": [{"name": name}]});
    namespace.developer.api.post(&namespace.path("serviceaccounts"), &account).ok();
    assert_refused("a ServiceAccount", &namespace.dry_run(&at("serviceAccountName", json!("puller"))));
}

/// P08: every kind that makes pods, by path and by name.
pub fn every_kind(world: &World) {
    let namespace = with_a_foreign_secret(world, "fence-kinds");
    let by_path = with_env(json!([{"name": "A", "value": format!("secret:/{FOREIGN}")}]));
    let named = with_env(json!([{"name": "A", "valueFrom": by_name()}]));
    let own = with_env(json!([{"name": "A", "value": "secret:x"}]));
    for number in 0..workloads(&own).len() {
        for pod in [&by_path, &named] {
            let (path, workload) = &workloads(pod)[number];
            assert_refused(&format!("P08 {path}"), &posted(&namespace, path, workload));
        }
        let (path, workload) = &workloads(&own)[number];
        posted(&namespace, path, workload).ok();
    }
}

/// The mechanics of pods: what the kubelet puts together, and what stands beside the containers.
pub fn mechanics(world: &World) {
    let namespace = with_a_foreign_secret(world, "fence-mechanics");
    let by_field = json!({"fieldRef": {"fieldPath": "metadata.annotations['x']"}});
    let field = |value: &str| {
        let mut pod = with_env(json!([{"name": "A", "valueFrom": by_field}]));
        pod["metadata"]["annotations"] = json!({"x": value});
        pod
    };
    let from = |source: Value, text: &str| {
        with_env(json!([{"name": "A", "valueFrom": source}, {"name": "B", "value": text}]))
    };
    let text = |first: &str, second: &str| {
        with_env(json!([{"name": "A", "value": first}, {"name": "B", "value": second}]))
    };
    let map = json!({"configMapKeyRef": {"name": "c", "key": "k"}});
    let applied = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [
        {"name": "web", "env": [{"name": "DB_PASSWORD", "value": PASSWORD}]}]}});
    let applied = format!("{applied}\n");
    // What calls itself the shadow of a kubelet's own pod is not injected.
    let mut mirror = with_annotation("kubernetes.io/config.mirror", "x");
    mirror["spec"]["nodeName"] = json!("node-1");
    mirror["spec"]["containers"] = json!([container("web", &[("A", "secret:x")])]);
    for (id, pod) in [
        ("mirror", mirror),
        ("P03", text("mozmeao/snippets/", "vault:secret/data/$(A)prod/x#k")),
        ("P03", text("secret", "$(A):/mozmeao/snippets/prod/x")),
        ("P04", from(map.clone(), "secret:/mozmeao/snippets/stage/$(A)")),
        ("P04", from(map.clone(), "vault:secret/data/$(A)/x#k")),
        ("P06", field("secret:x")),
        ("P06", field("vault:secret/data/mozmeao/snippets/prod/x#k")),
        ("P13", with_annotation("kubectl.kubernetes.io/last-applied-configuration", &applied)),
        ("P14", with_annotation("refgate.dev/containers", "we\nb\u{7}")),
        ("mount path", with_annotation("refgate.dev/mount-path", "/run/../var/run/secrets")),
        ("case", with_annotation("Env.RefGate.dev/A", &format!("/{FOREIGN}"))),
    ] {
        assert_refused(&format!("{id} {pod}"), &namespace.dry_run(&pod));
    }
    let generated = |annotations: Value| {
        let mut pod = with_env(json!([{"name": "A", "value": "secret:x"}]));
        pod["metadata"] = json!({"generateName": "p-", "annotations": annotations});
        pod
    };
    for (id, pod) in [
        ("P04", from(map, "$(A)")),
        ("P05", text("mozmeao/snippets/prod", "$$(A)/x")),
        ("P06", field("plain")),
        ("P10", generated(json!(null))),
        ("P12", generated(json!({"a/b": "c", "example.com/d": "e~f/g"}))),
    ] {
        let answer = namespace.dry_run(&pod);
        assert!(answer.is_ok(), "{id} {pod}: {}", answer.message());
    }
    what_is_not_ours_stays(&namespace);
}

fn what_is_not_ours_stays(namespace: &Namespace<'_>) {
    if namespace.world.plane.programs.minor >= 36 {
        // P07: what an earlier container writes into a file is nothing that can be judged, and nothing of ours.
        let file = json!({"fileKeyRef": {"volumeName": "v", "path": "p", "key": "K"}});
        let mut pod = with_env(json!([{"name": "A", "valueFrom": file}]));
        pod["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
        let made = namespace.dry_run(&pod).ok();
        assert_eq!(made["spec"]["containers"][0]["env"][0]["valueFrom"]["fileKeyRef"]["key"], "K");
    } else {
        println!("fence::mechanics: P07 is left out, since fileKeyRef comes with Kubernetes 1.36");
    }
    let before = with_env(json!([{"name": "A", "value": "secret:x"}]));
    // P11: a second time, as it came out.
    let made = namespace.dry_run(&before).ok();
    let again = json!({"metadata": {"name": "p", "annotations": made["metadata"]["annotations"]}, "spec": made["spec"]});
    let again = namespace.dry_run(&again).ok();
    assert_eq!(
        (&again["spec"], &again["metadata"]["annotations"]),
        (&made["spec"], &made["metadata"]["annotations"])
    );
}
