//! Values of Secrets, and annotations of ConfigMaps, as the policies of a real API server see them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::api::MERGE;
use crate::harness::rights::grant;
use crate::harness::world::World;

const SOPS: &str = "ENC[AES256_GCM,data:abcd]";
const AGE: &str = "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n";

fn secret(name: &str, key: &str, value: &[u8]) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {key: STANDARD.encode(value)}})
}

fn docker(auth: &str) -> String {
    json!({"auths": {"registry.example.com": {"auth": STANDARD.encode(auth)}}}).to_string()
}

/// A docker configuration with a text as it stands in JSON.
fn escaped(text: &str) -> String {
    format!(r#"{{"auths": {{"registry.example.com": {{"auth": "{text}"}}}}}}"#)
}

/// What other systems would resolve, or should have, at each of the three places that a byte can have in base64.
pub fn what_a_secret_may_hold(world: &World) {
    let namespace = world.bound("data-secrets", "mozmeao/snippets/data", &[]);
    grant(&namespace, &[("", "secrets", &["create", "patch", "delete"])]);
    let (api, path) = (&namespace.developer.api, namespace.path("secrets"));
    let create = |key: &str, value: &[u8]| api.post(&format!("{path}?dryRun=All"), &secret("x", key, value));
    let (references, leftovers) = ("'refgate-secret-references'", "'refgate-leftovers'");
    let pod_docker = ".dockerconfigjson";
    for (key, value, by) in [
        ("a", "vault:secret/data/x#k".to_owned(), references),
        ("a", ">>vault:secret/data/x#k#{}".to_owned(), references),
        ("a", "bao:secret/x#k".to_owned(), references),
        ("a", ">>bao:secret/x#k".to_owned(), references),
        ("a", "vault:login".to_owned(), references),
        ("a", "vault:v1:8SDd3WHDOjf7mq69".to_owned(), references),
        ("a", "arn:aws:secretsmanager:us-west-2:111122223333:secret:x".to_owned(), references),
        ("a", "arn:aws-us-gov:ssm:us-gov-west-1:1:parameter/x".to_owned(), references),
        ("a", "${vault:secret/x#k}".to_owned(), references),
        ("a", "x${>>bao:secret/x#k}".to_owned(), references),
        ("a", "db://${>vault:secret/x#k}@db".to_owned(), references),
        (pod_docker, docker("vault:secret/data/x#u:vault:secret/data/x#p"), references),
        (pod_docker, format!(" {}", docker("bao:secret/data/x#u:bao:secret/data/x#p")), references),
        (".dockercfg", format!("  {}", docker(">>vault:secret/data/x#u")), references),
        (pod_docker, json!({"auths": {"r": {"username": "vault:secret/x#u"}}}).to_string(), references),
        // What Go's decoders read as the same.
        (pod_docker, escaped("\\u0064mF1bHQ6"), references),
        (pod_docker, format!(" {}", escaped("d\\nmF1bHQ6")), references),
        (pod_docker, format!("  {}", escaped("\\r\\ndmF1bHQ6")), references),
        (".dockercfg", escaped("\\u0076ault:secret/x#u"), references),
        (".dockercfg", escaped("\\u003e\\u003evault:secret/x#u"), references),
        ("a", AGE.to_owned(), leftovers),
        ("a", "\0GITCRYPT\0x".to_owned(), leftovers),
        ("a", "age-encryption.org/v1\n".to_owned(), leftovers),
        ("a", format!("x{SOPS}"), leftovers),
        ("a", "xx<path:secret/data/x#k>".to_owned(), leftovers),
    ] {
        let answer = create(key, value.as_bytes());
        assert!(answer.code == 403 && answer.message().contains(by), "{value}: {}", answer.message());
        let names_the_key = answer.message().contains(&format!("key {key}: it is"))
            || by == leftovers
            || value.contains("${");
        assert!(names_the_key && !answer.message().contains("secret/"), "{value}: {}", answer.message());
    }
    for (key, value) in [
        ("a", "vault:8200"),
        ("a", " vault:secret/data/x#k"),
        ("a", "arn:aws:iam::111122223333:role/x"),
        ("a", "see vault:secret/data/x#k"),
        ("a", "urlpath:/x"),
        ("a", ""),
        (pod_docker, &docker("robot:vault:secret/data/x#p")),
        ("other", &docker("vault:secret/data/x#u")),
        // What encoders of JSON write for passwords, and for a key that is JSON itself.
        (pod_docker, &escaped("a\\u0026b\\u003cc\\u003ed\\\"e\\\\f")),
        (pod_docker, &escaped("{\\n  \\\"key\\\": \\\"-----BEGIN-----\\\\nMIIE\\\\u003d\\\\n\\\"\\n}\\n")),
    ] {
        create(key, value.as_bytes()).ok();
    }
    // As large as a Secret can be: an expression of CEL has a budget.
    for byte in [b'a', b'$', b'v'] {
        create("a", &vec![byte; 1_048_576]).ok();
    }
    let value = json!(STANDARD.encode("x".repeat(300)));
    let many: serde_json::Map<String, Value> =
        (0..3_000).map(|number| (format!("key-{number}"), value.clone())).collect();
    let many = json!({"metadata": {"name": "x"}, "data": many});
    api.post(&format!("{path}?dryRun=All"), &many).ok();
    let registries: serde_json::Map<String, Value> = (0..500)
        .map(|number| {
            (format!("{number}.example.com"), json!({"auth": STANDARD.encode(format!("robot:{number}"))}))
        })
        .collect();
    create(pod_docker, json!({"auths": registries}).to_string().as_bytes()).ok();
    of_updates(world);
}

/// What was there before the binding stays; what an update changes is judged.
fn of_updates(world: &World) {
    let namespace = world.namespace("data-before");
    let path = namespace.path("secrets");
    let mut there = secret("there", "old", b"vault:secret/data/x#k");
    there["data"]["mended"] = json!(STANDARD.encode("${bao:secret/x#k}"));
    world.plane.admin.api.post(&path, &there).ok();
    let labels = crate::harness::world::scope_labels("mozmeao/snippets/before");
    let binding = json!({"metadata": {"labels": labels}});
    world.plane.admin.api.patch("/api/v1/namespaces/data-before", MERGE, &binding).ok();
    let patch =
        |change: &Value| world.plane.admin.api.patch(&format!("{path}/there?dryRun=All"), MERGE, change);
    let data = |key: &str, value: &str| json!({"data": {key: STANDARD.encode(value)}});
    crate::harness::wait::until("the binding is seen", || {
        (patch(&data("new", "vault:a#b")).code == 403).then_some(())
    });
    patch(&json!({"metadata": {"labels": {"a": "b"}}})).ok();
    patch(&data("new", "ordinary")).ok();
    patch(&data("mended", "ordinary")).ok();
    patch(&data("old", "vault:secret/data/y#k")).refused();
}

/// ConfigMaps are judged by the webhook for what they hold, and by a policy for what would copy them.
pub fn what_a_config_map_may_hold(world: &World) {
    let namespace = world.bound("data-maps", "mozmeao/snippets/data", &[]);
    let (api, path) = (&namespace.developer.api, namespace.path("configmaps"));
    let map = |annotations: Value, value: &str| json!({"metadata": {"name": "x", "annotations": annotations}, "data": {"k": value}});
    let create = |map: &Value| api.post(&format!("{path}?dryRun=All"), map);
    let answer = create(&map(json!({}), "vault:secret/data/mozmeao/payroll/prod/x#k"));
    assert!(answer.refused().contains("judge-data.refgate.dev"), "{}", answer.message());
    create(&map(json!({}), SOPS)).refused();
    create(&map(json!({}), "vault:mozmeao/snippets/data/x#k")).ok();
    let copied = json!({"reflector.v1.k8s.emberstack.com/reflects": "payroll/x"});
    let answer = create(&map(copied.clone(), "v"));
    assert!(answer.refused().contains("'refgate-replicators'"), "{}", answer.message());
    // An annotation alone is no change that the webhook hears of.
    api.post(&path, &map(json!({}), "v")).ok();
    let patch = json!({"metadata": {"annotations": copied}});
    let answer = api.patch(&format!("{path}/x"), MERGE, &patch);
    assert!(answer.refused().contains("'refgate-replicators'"), "{}", answer.message());
}
