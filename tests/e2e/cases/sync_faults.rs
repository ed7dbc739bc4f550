//! The sync before an AWS that is not well: throttling, failures, half answers, silence, all at once and for five hundred
//! secrets in twenty-five namespaces.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use refgate::policy::path::secret_name;
use serde_json::{Value, json};

use crate::harness::faults::{Fault, Faults, Request};
use crate::harness::moto::{Moto, call};
use crate::harness::process::free_port;
use crate::harness::sync::{ACCOUNT, Source, writes};
use crate::harness::wait::until_within;
use crate::harness::world::{World, base64, scope_labels, wait_for_right};

const NAMESPACES: usize = 25;
const EACH: usize = 20;
/// In each value, and nowhere else.
const MARK: &str = "pL4nt3dW0rst";
/// How long all of it may take: the SDK waits between its tries.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(300);

/// Namespace and name of a Secret, and what its whole is.
type Expected = BTreeMap<(String, String), String>;

pub fn nothing_is_lost_foreign_or_written_twice(world: &World) {
    let folder = world.plane.folder.join("worst");
    let moto = Moto::start(&folder);
    let proxy = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let faults = Faults::start(proxy, moto.address);
    let mut expected = Expected::new();
    for number in 0..NAMESPACES {
        let (namespace, scope) = names(number);
        bind(world, &namespace, &scope);
        for index in 0..EACH {
            let (path, value) = (path(&scope, index), format!("{MARK} {namespace} {index} first"));
            call(moto.address, "CreateSecret", &json!({"Name": path, "SecretString": value}));
            expected.insert((namespace.clone(), secret_name(&path)), value);
        }
    }
    faults.meet(at_its_worst());
    let source = Source::aws(world, "worst", proxy, &json!({}));
    let sync = source.start();
    wait_for(world, &expected);
    // One of each namespace is rotated, and a second one of every other.
    let mut rotated = Vec::new();
    for number in 0..NAMESPACES {
        let (namespace, scope) = names(number);
        for index in 0..=number % 2 {
            let (path, value) = (path(&scope, index), format!("{MARK} {namespace} {index} second"));
            call(moto.address, "PutSecretValue", &json!({"SecretId": path, "SecretString": value}));
            rotated.push((namespace.clone(), secret_name(&path)));
            expected.insert((namespace.clone(), secret_name(&path)), value);
        }
    }
    wait_for(world, &expected);
    faults.meet(|_| Fault::Pass);
    // A refresh that began before is over.
    sync.wait_lists(2.0 * NAMESPACES as f64);
    let settled = writes(world);
    sync.wait_lists(2.0 * NAMESPACES as f64);
    assert_eq!(writes(world), settled, "nothing changed, so nothing is written");
    let mut written = written(world);
    for key in rotated {
        assert_eq!(written.get_mut(&key).unwrap().pop(), Some("patch".to_owned()), "{key:?}: once");
    }
    let once = |verbs: &Vec<String>| verbs[..] == ["create"];
    assert!(
        written.values().all(once) && written.keys().eq(expected.keys()),
        "each was made once: {written:?}"
    );
    no_value_is_anywhere(world);
}

/// Of all logs, the audit log's too, of Events and catalogues.
fn no_value_is_anywhere(world: &World) {
    let encoded = base64(MARK.as_bytes());
    let assert_none =
        |text: &str, what: &str| assert!(!text.contains(MARK) && !text.contains(&encoded), "{what}");
    for entry in fs::read_dir(world.plane.folder.join("log")).unwrap() {
        let path = entry.unwrap().path();
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        assert_none(&text, &path.display().to_string());
    }
    for path in ["/apis/events.k8s.io/v1/events", "/api/v1/configmaps"] {
        assert_none(&world.plane.admin.api.get(path).ok().to_string(), path);
    }
}

fn names(number: usize) -> (String, String) {
    (format!("worst-{number:02}"), format!("mozmeao/worst{number:02}/stage"))
}

fn path(scope: &str, index: usize) -> String {
    format!("{scope}/secret-{index:02}")
}

/// A namespace that asks for all of its scope. Nobody works in it.
fn bind(world: &World, name: &str, scope: &str) {
    let annotations = json!({"refgate.dev/sync": "scope"});
    let object =
        json!({"metadata": {"name": name, "labels": scope_labels(scope), "annotations": annotations}});
    world.operator.api.post("/api/v1/namespaces", &object).ok();
    world.let_sync_in(name);
    wait_for_right(&world.sync, name, "", "secrets", "create");
}

/// Every fourth request meets something, in turn; silence, for which the SDK waits ten seconds, comes once.
fn at_its_worst() -> impl FnMut(&Request) -> Fault + Send + 'static {
    let told =
        |status, code: &str| Fault::Answer(status, json!({"__type": code, "Message": "told by the test"}));
    let mut count = 0;
    move |_| {
        count += 1;
        match count % 24 {
            _ if count == 40 => Fault::Hang,
            0 => told(400, "ThrottlingException"),
            4 => told(500, "InternalServiceError"),
            8 => Fault::Half,
            12 => Fault::Close,
            16 => told(503, "ServiceUnavailable"),
            20 => Fault::Lose,
            _ => Fault::Pass,
        }
    }
}

/// What is there is what should be, and never anything else: a Secret holds its own value, of whatever version.
fn wait_for(world: &World, expected: &Expected) {
    until_within("every Secret holds what it should", PATIENCE, || {
        let label = "app.kubernetes.io/managed-by%3Drefgate";
        let secrets = world.plane.admin.api.get(&format!("/api/v1/secrets?labelSelector={label}")).ok();
        let mut right = 0;
        for secret in secrets["items"].as_array().unwrap() {
            let text = |key: &str| secret["metadata"][key].as_str().unwrap().to_owned();
            let key = (text("namespace"), text("name"));
            if !key.0.starts_with("worst-") {
                continue;
            }
            let value = &expected[&key];
            let first = value.replace("second", "first");
            let data = |value: &str| json!({"value": base64(value.as_bytes())});
            assert!([data(value), data(&first)].contains(&secret["data"]), "{key:?}");
            right += usize::from(secret["data"] == data(value));
        }
        (right == expected.len()).then_some(())
    });
}

/// The writes of each Secret that were done, in order.
fn written(world: &World) -> BTreeMap<(String, String), Vec<String>> {
    let mut written: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for event in world.plane.audit_log() {
        let text =
            |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let key = (text("/objectRef/namespace"), text("/objectRef/name"));
        let is_write = !matches!(&*text("/verb"), "get" | "list" | "watch");
        let is_done = event["responseStatus"]["code"].as_u64().is_some_and(|code| code < 300);
        let is_secret = text("/objectRef/resource") == "secrets" && key.0.starts_with("worst-");
        if is_write && is_done && is_secret && text("/user/username") == ACCOUNT {
            written.entry(key).or_default().push(text("/verb"));
        }
    }
    written
}
