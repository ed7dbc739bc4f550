//! Values of Secrets, and annotations of ConfigMaps, as the policies of a real API server see them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::harness::api::MERGE;
use crate::harness::rights::grant;
use crate::harness::world::World;

const SOPS: &str = "ENC[AES256_GCM,data:abcd]";
const AGE: &str = "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n";

fn secret(name: &str, key: &str, value: &[u8]) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {key: STANDARD.encode(value)}})
}

/// What tools should have resolved, at each of the three places that a byte can have in base64.
pub fn what_a_secret_may_hold(world: &World) {
    let namespace = world.bound("data-secrets", "mozmeao/snippets/data", &[]);
    grant(&namespace, &[("", "secrets", &["create", "patch", "delete"])]);
    let (api, path) = (&namespace.developer.api, namespace.path("secrets"));
    let create = |key: &str, value: &[u8]| api.post(&format!("{path}?dryRun=All"), &secret("x", key, value));
    for value in [
        AGE,
        "\0GITCRYPT\0x",
        "age-encryption.org/v1\n",
        SOPS,
        &format!("x{SOPS}"),
        "xx<path:secret/data/x#k>",
    ] {
        let answer = create("a", value.as_bytes());
        let message = answer.refused();
        assert!(message.contains("'refgate-leftovers'"), "{value}: {message}");
        assert!(!message.contains("secret/"), "{value}: {message}");
    }
    for value in ["urlpath:/x", "", "see ENC[x", "vault:secret/data/x#k"] {
        create("a", value.as_bytes()).ok();
    }
    // As large as a Secret can be: an expression of CEL has a budget.
    for byte in [b'a', b'$', b'v'] {
        create("a", &vec![byte; 1_048_576]).ok();
    }
    let many = |count: usize| {
        let value = json!(STANDARD.encode("x".repeat(1_024)));
        let data: Map<String, Value> =
            (0..count).map(|number| (format!("key-{number}"), value.clone())).collect();
        json!({"metadata": {"name": "x"}, "data": data})
    };
    api.post(&format!("{path}?dryRun=All"), &many(512)).ok();
    let answer = api.post(&format!("{path}?dryRun=All"), &many(513));
    assert!(answer.refused().contains("more than 512 keys"), "{}", answer.message());
    of_updates(world);
}

/// What was there before the binding stays; what an update changes is judged.
fn of_updates(world: &World) {
    let namespace = world.namespace("data-before");
    let path = namespace.path("secrets");
    let mut there = secret("there", "old", b"ENC[AES256_GCM,data:a]");
    there["data"]["mended"] = json!(STANDARD.encode("<path:secret/x#k>"));
    world.plane.admin.api.post(&path, &there).ok();
    let labels = crate::harness::world::scope_labels("mozmeao/snippets/before");
    let binding = json!({"metadata": {"labels": labels}});
    world.plane.admin.api.patch("/api/v1/namespaces/data-before", MERGE, &binding).ok();
    let patch =
        |change: &Value| world.plane.admin.api.patch(&format!("{path}/there?dryRun=All"), MERGE, change);
    let data = |key: &str, value: &str| json!({"data": {key: STANDARD.encode(value)}});
    crate::harness::wait::until("the binding is seen", || {
        (patch(&data("new", SOPS)).code == 403).then_some(())
    });
    patch(&json!({"metadata": {"labels": {"a": "b"}}})).ok();
    patch(&data("new", "ordinary")).ok();
    patch(&data("mended", "ordinary")).ok();
    patch(&data("old", "ENC[AES256_GCM,data:b]")).refused();
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
