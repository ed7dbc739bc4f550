//! External Secrets Operator itself, with its CRDs, on a real API server: what is inside syncs and is injected, what is outside
//! never comes to be, and what the controller asks AWS for is what was judged.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::api::MERGE;
use crate::harness::external_secrets::Operator;
use crate::harness::moto::call;
use crate::harness::objects::pod;
use crate::harness::rights::grant;
use crate::harness::wait::until;
use crate::harness::world::{Namespace, World};

const ALL: &[&str] = &["create", "get", "patch", "delete"];
const SCOPE: &str = "mozmeao/eso/stage";

pub fn the_whole_line(world: &World) {
    let before = fs::read_to_string(&world.files.configuration).unwrap();
    fs::write(&world.files.configuration, format!("{before}\naws: {{regions: [us-east-1]}}\n")).unwrap();
    let mut operator = Operator::start(world);
    for (path, value) in [
        ("mozmeao/eso/stage/db", "inside-db"),
        ("mozmeao/eso/stage/smtp", r#"{"username": "web", "password": "inside-smtp"}"#),
        ("mozmeao/eso/stage2/db", "beside"),
        ("mozmeao/eso/prod/db", "outside"),
    ] {
        call(operator.moto.address, "CreateSecret", &json!({"Name": path, "SecretString": value}));
    }
    let namespace = world.bound("eso", SCOPE, &[]);
    let group = "external-secrets.io";
    grant(
        &namespace,
        &[(group, "externalsecrets", ALL), (group, "secretstores", ALL), (group, "pushsecrets", ALL)],
    );
    until("RefGate reads the configuration", || {
        make(&namespace, "v1", &store("aws", "")).is_none().then_some(())
    });
    assert_eq!(make(&namespace, "v1", &store("prefixed", "mozmeao/eso/stage/")), None);

    reads(&namespace);
    is_refused(&namespace);
    is_injected(&namespace);
    a_store_that_changes(&namespace);
    asked_for_nothing_else(&mut operator);
    for kind in ["externalsecrets", "secretstores"] {
        let path = format!("/apis/{group}/v1/namespaces/eso/{kind}");
        world.plane.admin.api.delete(&path).ok();
    }
    fs::write(&world.files.configuration, before).unwrap();
}

/// Makes an object as the developer. Gives the message of a refusal.
fn make(namespace: &Namespace<'_>, version: &str, object: &Value) -> Option<String> {
    let resource = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
    let mut object = object.clone();
    object["apiVersion"] = format!("external-secrets.io/{version}").into();
    let path = format!("/apis/external-secrets.io/{version}/namespaces/{}/{resource}", namespace.name);
    let answer = namespace.developer.api.post(&path, &object);
    (!answer.is_ok()).then(|| answer.message().to_owned())
}

fn store(name: &str, prefix: &str) -> Value {
    let aws = json!({"service": "SecretsManager", "region": "us-east-1", "prefix": prefix});
    json!({"kind": "SecretStore", "metadata": {"name": name}, "spec": {"provider": {"aws": aws}}})
}

fn external_secret(name: &str, store: &str, part: Value) -> Value {
    let mut spec = json!({"secretStoreRef": {"kind": "SecretStore", "name": store}, "refreshInterval": "1h"});
    spec.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
    json!({"kind": "ExternalSecret", "metadata": {"name": name}, "spec": spec})
}

fn data(key: &str) -> Value {
    json!({"data": [{"secretKey": "k", "remoteRef": {"key": key}}]})
}

fn find(path: &str) -> Value {
    json!({"dataFrom": [{"find": {"path": path, "name": {"regexp": "db$"}}}]})
}

/// Inside of the scope everything comes to be, and the controller fills the Secrets.
fn reads(namespace: &Namespace<'_>) {
    for (name, version, store, part, key, value) in [
        ("plain", "v1", "aws", data("mozmeao/eso/stage/db"), "k", "inside-db"),
        ("older", "v1beta1", "aws", data("mozmeao/eso/stage/db"), "k", "inside-db"),
        ("prefixed", "v1", "prefixed", data("db"), "k", "inside-db"),
        (
            "extracted",
            "v1",
            "aws",
            json!({"dataFrom": [{"extract": {"key": "mozmeao/eso/stage/smtp"}}]}),
            "password",
            "inside-smtp",
        ),
        ("found", "v1", "aws", find("mozmeao/eso/stage/"), "mozmeao_eso_stage_db", "inside-db"),
    ] {
        // The store is a moment old: until RefGate has heard of it, which path is asked for cannot be said.
        until(&format!("{name} is made"), || {
            match make(namespace, version, &external_secret(name, store, part.clone())) {
                None => Some(()),
                Some(message) => {
                    assert!(message.contains("is not there, so which path it asks for"), "{name}: {message}");
                    None
                }
            }
        });
        let admin = &namespace.world.plane.admin.api;
        let found = until(&format!("{name} is synced"), || {
            let answer = admin.get(&namespace.path(&format!("secrets/{name}")));
            answer.is_ok().then(|| answer.ok()["data"][key].as_str().map(str::to_owned))?
        });
        assert_eq!(STANDARD.decode(found).unwrap(), value.as_bytes(), "{name}");
    }
}

/// Outside of it nothing comes to be, in whatever way it is asked for.
fn is_refused(namespace: &Namespace<'_>) {
    let outside = "mozmeao/eso/prod/db";
    for (name, version, object) in [
        ("data", "v1", external_secret("x", "aws", data(outside))),
        ("the older version", "v1beta1", external_secret("x", "aws", data(outside))),
        ("a sibling", "v1", external_secret("x", "aws", data("mozmeao/eso/stage2/db"))),
        ("extract", "v1", external_secret("x", "aws", json!({"dataFrom": [{"extract": {"key": outside}}]}))),
        ("find without a slash", "v1", external_secret("x", "aws", find("mozmeao/eso/stage"))),
        ("find that negates", "v1", external_secret("x", "aws", find("!mozmeao/eso/stage/"))),
        ("find past the prefix", "v1", external_secret("x", "prefixed", find("mozmeao/eso/prod/"))),
        ("a key past the prefix", "v1", external_secret("x", "prefixed", data("../prod/db"))),
        ("another region", "v1", {
            let mut store = store("elsewhere", "");
            store["spec"]["provider"]["aws"]["region"] = "eu-west-1".into();
            store
        }),
        (
            "what is written",
            "v1alpha1",
            json!({
                "kind": "PushSecret", "metadata": {"name": "x"},
                "spec": {
                    "secretStoreRefs": [{"kind": "SecretStore", "name": "aws"}], "selector": {"secret": {"name": "plain"}},
                    "data": [{"match": {"secretKey": "k", "remoteRef": {"remoteKey": outside}}}],
                },
            }),
        ),
    ] {
        let message = make(namespace, version, &object).unwrap_or_else(|| panic!("{name} was let through"));
        assert!(
            message.contains("admission webhook \"carry.refgate.dev\" denied the request"),
            "{name}: {message}"
        );
    }
    let message = make(namespace, "v1", &external_secret("x", "aws", data(outside))).unwrap();
    let expected =
        "ExternalSecret x, spec.data[0].remoteRef.key: mozmeao/eso/prod/db is outside of mozmeao/eso/stage";
    assert!(message.contains(expected), "{message}");
}

/// A pod that refers to the path gets the Secret that the operator has filled: there is no sync here.
fn is_injected(namespace: &Namespace<'_>) {
    let wanted = json!({"secretKeyRef": {"name": "extracted", "key": "password"}});
    let object = pod("web", &[("SMTP_PASSWORD", "secret:smtp#password")]);
    until("RefGate knows what is filled", || {
        let answer = namespace.dry_run(&object);
        (answer.body.pointer("/spec/containers/0/env/0/valueFrom") == Some(&wanted)).then_some(())
    });
    namespace.developer.api.post(&namespace.path("pods"), &object).ok();
    until("the pod is Ready", || {
        let pod = namespace.developer.api.get(&namespace.path("pods/web")).ok();
        let conditions = pod["status"]["conditions"].as_array()?.clone();
        conditions
            .iter()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
            .then_some(())
    });
}

fn a_store_that_changes(namespace: &Namespace<'_>) {
    let path = format!("/apis/external-secrets.io/v1/namespaces/{}/secretstores/prefixed", namespace.name);
    let prefix = |prefix: &str| json!({"spec": {"provider": {"aws": {"prefix": prefix}}}});
    let message =
        namespace.developer.api.patch(&path, MERGE, &prefix("mozmeao/eso/prod/")).refused().to_owned();
    assert!(message.contains("ExternalSecret prefixed in namespace eso"), "{message}");
}

/// Whatever the controller asked AWS for lies inside, by its own requests.
fn asked_for_nothing_else(operator: &mut Operator) {
    let mut count = 0;
    for request in operator.asked() {
        let body = request.json();
        let names: Vec<String> = match request.operation() {
            "GetSecretValue" | "DescribeSecret" => vec![body["SecretId"].as_str().unwrap().to_owned()],
            "BatchGetSecretValue" => {
                let filters = body["Filters"].as_array().unwrap();
                filters.iter().map(|filter| filter["Values"][0].as_str().unwrap().to_owned()).collect()
            }
            other => panic!("the operator asked for {other}"),
        };
        for name in names {
            count += 1;
            assert!(name.starts_with("mozmeao/eso/stage/"), "the operator asked for {name}");
        }
    }
    assert!(count >= 5, "{count} names were asked for");
}
