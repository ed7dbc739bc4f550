//! Where one text is another secret than it seems: a parameter of a region, `data/` in a mount of version 1, a driver of another
//! name, a label that is copied, a class behind a SecretSync. And what is decided, whatever else of the object is not.

use refgate::policy::carriers::CARRIERS;
use refgate::policy::carriers::place::System;
use refgate::policy::carriers::settings::{Mapping, Mode};
use refgate::policy::decide;
use refgate::policy::decision::{Decision, Outcome};
use refgate::policy::review::{Endpoint, parse};
use refgate::policy::snapshot::{Settings, Snapshot};
use serde_json::{Value, json};

use super::external_secrets::{ask, object, settings, world};
use super::other_systems::mapped;
use super::{allowed, pod, review};

const INSIDE: &str = "mozmeao/snippets/stage/x";
const OUTSIDE: &str = "mozmeao/snippets/prod/x";

fn class(provider: &str, parameters: Value) -> Value {
    let spec = json!({"provider": provider, "parameters": parameters});
    object("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass", "web", spec)
}

fn archived(spec: Value) -> Value {
    object("kubernetes-client.io/v1", "ExternalSecret", "web", spec)
}

fn lenient(mut settings: Settings) -> Settings {
    for carrier in CARRIERS {
        settings.carriers.undecided.insert(carrier.id.to_owned(), Mode::Audit);
    }
    settings
}

fn message(decision: &Decision) -> &str {
    match &decision.outcome {
        Outcome::Deny { message, .. } => message,
        _ => "",
    }
}

fn table(snapshot: &Snapshot, rows: &[(&str, Value, bool)]) {
    for (what, object, expected) in rows {
        let decision = ask(snapshot, object, None);
        assert_eq!(allowed(&decision), *expected, "{what} {object}: {decision:?}");
    }
}

/// Rows of `carriers.mappings` speak of the region of a parameter, whoever reads it.
#[test]
fn a_parameter_is_one_of_its_region() {
    let mut settings = settings();
    settings.aws_regions.push("eu-west-1".into());
    settings.carriers.mappings = vec![Mapping {
        system: System::AwsParameterStore,
        scopes: [None, None, Some("stage".to_owned())],
        place: "us-west-2".into(),
        separator: None,
    }];
    let entry = format!("- objectName: /{INSIDE}\n  objectType: ssmparameter\n");
    let other = format!("{entry}  failoverObject: {{objectName: /{INSIDE}}}\n");
    let secret = entry.replace('/', "").replace("ssmparameter", "secretsmanager");
    let secret = secret.replace("mozmeaosnippetsstagex", INSIDE);
    table(
        &world(&[], settings),
        &[
            ("its region", class("aws", json!({"region": "us-west-2", "objects": entry})), true),
            ("another one", class("aws", json!({"region": "eu-west-1", "objects": entry})), false),
            ("that of the node", class("aws", json!({"objects": entry})), false),
            (
                "failing over",
                class("aws", json!({"region": "us-west-2", "failoverRegion": "eu-west-1", "objects": entry})),
                false,
            ),
            (
                "failing over by name",
                class("aws", json!({"region": "us-west-2", "failoverRegion": "eu-west-1", "objects": other})),
                false,
            ),
            (
                "a secret, which is a path everywhere",
                class(
                    "aws",
                    json!({"region": "us-west-2", "failoverRegion": "eu-west-1", "objects": secret}),
                ),
                true,
            ),
        ],
    );
}

/// Google Kubernetes Engine brings the same driver and provider along, under names of its own.
#[test]
fn a_class_is_one_under_every_name_of_its_driver() {
    let secrets = |project: &str| {
        let name = "mozmeao--snippets--stage--x";
        format!("- resourceName: projects/{project}/secrets/{name}/versions/1\n  path: x\n")
    };
    table(
        &world(&[], mapped()),
        &[
            ("inside", class("gke", json!({"secrets": secrets("moz-stage")})), true),
            ("outside", class("gke", json!({"secrets": secrets("moz-prod")})), false),
        ],
    );
    let outside = class("gke", json!({"secrets": secrets("moz-prod")}));
    let inside = class("gke", json!({"secrets": secrets("moz-stage")}));
    for driver in ["secrets-store.csi.k8s.io", "secrets-store-gke.csi.k8s.io", "hereafter.example.com"] {
        for (class, attributes, expected) in [
            (&inside, json!({"secretProviderClass": "web"}), true),
            (&outside, json!({"secretProviderClass": "web"}), false),
            (&inside, json!({"secretProviderClass": "web", "secrets": secrets("moz-prod")}), false),
        ] {
            let mut pod = pod(json!([]));
            let csi = json!({"driver": driver, "readOnly": true, "volumeAttributes": attributes});
            pod["spec"]["volumes"] = json!([{"name": "v", "csi": csi}]);
            let (snapshot, body) =
                (world(std::slice::from_ref(class), mapped()), review(json!({"object": pod})));
            let read = parse(&body, Endpoint::Validate, &snapshot.settings.kinds).unwrap();
            let decision = decide(&read, &snapshot);
            assert_eq!(allowed(&decision), expected, "{driver} {attributes}: {decision:?}");
        }
    }
}

/// In version 1 of an engine `data/` is a part of the path, and other secrets lie there.
#[test]
fn data_is_a_part_of_a_path_in_version_one() {
    let with = |version: Value, key: &str| {
        archived(json!({"backendType": "vault", "kvVersion": version, "dataFrom": [key]}))
    };
    let (behind, plain) = (format!("secret/data/{INSIDE}"), format!("secret/{INSIDE}"));
    table(
        &world(&[], settings()),
        &[
            ("two", with(json!(2), &behind), true),
            ("none", with(Value::Null, &behind), true),
            ("one", with(json!(1), &behind), false),
            ("one, without it", with(json!(1), &plain), true),
            ("none that there is", with(json!(3), &plain), false),
            ("no number", with(json!("1"), &plain), false),
        ],
    );
}

/// The archived operator asks Azure for the whole of a name, whatever stands before its slash.
#[test]
fn no_name_of_azure_has_a_slash_for_the_archived_operator() {
    let with = |spec: Value| {
        let mut whole = json!({"backendType": "azureKeyVault", "keyVaultName": "snippets-stage"});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        archived(whole)
    };
    let mut rows = Vec::new();
    for (key, expected) in [("db", true), ("secret/db", false), ("secret/db/x", false)] {
        rows.push((key, with(json!({"dataFrom": [key]})), expected));
        rows.push((key, with(json!({"dataFromWithOptions": [{"key": key}]})), expected));
        rows.push((key, with(json!({"data": [{"key": key, "name": "k"}]})), expected));
    }
    table(&world(&[], mapped()), &rows);
}

fn store(kind: &str, name: &str, prefix: &str) -> Value {
    let aws = json!({"service": "SecretsManager", "region": "us-west-2", "prefix": prefix});
    object("external-secrets.io/v1", kind, name, json!({"provider": {"aws": aws}}))
}

/// Without a template the operator copies the labels of an object to its Secret, as it does its annotations.
#[test]
fn a_label_of_the_sync_is_no_label_of_an_external_secret() {
    let snapshot = world(&[store("SecretStore", "aws", "")], settings());
    let data = json!([{"secretKey": "k", "remoteRef": {"key": INSIDE}}]);
    let spec = json!({"secretStoreRef": {"name": "aws"}, "data": data});
    let plain = object("external-secrets.io/v1", "ExternalSecret", "web", spec);
    let labelled = |value: &str| {
        let mut object = plain.clone();
        object["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": value, "a": "b"});
        object
    };
    for (new, old, expected) in [
        (labelled("refgate"), None, false),
        (labelled("helm"), None, true),
        (labelled("refgate"), Some(&plain), false),
        (labelled("refgate"), Some(&labelled("refgate")), true),
        (plain.clone(), Some(&labelled("refgate")), true),
    ] {
        let decision = ask(&snapshot, &new, old);
        assert_eq!(allowed(&decision), expected, "{new} {old:?}: {decision:?}");
    }
}

/// A spec under the name of the first versions, and stores by labels: neither is decided, and a path outside is one all the same.
#[test]
fn a_path_outside_is_refused_where_more_is_undecided() {
    let legacy = |field: &str, key: &str| {
        let mut object = archived(json!({"backendType": "secretsManager", "region": "us-west-2"}));
        let entries = match field {
            "dataFrom" => json!([key]),
            _ => json!([{"key": key, "name": "k"}]),
        };
        object["secretDescriptor"] = json!({"backendType": "secretsManager", field: entries});
        object
    };
    let pushed = |field: &str, kind: &str, key: &str| {
        let labels = json!({"labelSelector": {"matchLabels": {"a": "b"}}, "kind": kind});
        let remote = json!({"match": {"secretKey": "k", "remoteRef": {"remoteKey": key}}});
        let mut spec = json!({"selector": {"secret": {"name": "mine"}}});
        match field {
            "data" => {
                spec["secretStoreRefs"] = json!([labels]);
                spec["data"] = json!([remote]);
            }
            _ => spec["dataTo"] = json!([{"remoteKey": key, "storeRef": labels}]),
        }
        object("external-secrets.io/v1alpha1", "PushSecret", "p", spec)
    };
    let mut rows = Vec::new();
    for field in ["data", "properties", "dataFrom", "dataFromWithOptions"] {
        rows.push((field, legacy(field, INSIDE), true));
        rows.push((field, legacy(field, OUTSIDE), false));
    }
    for field in ["data", "dataTo"] {
        // By one of the two stores the second is inside.
        for (key, expected) in [(INSIDE, true), ("stage/x", true), (OUTSIDE, false), ("prod/x", false)] {
            rows.push((field, pushed(field, "SecretStore", key), expected));
        }
        // Of stores that nobody knows, nothing can be said.
        rows.push((field, pushed(field, "ClusterSecretStore", OUTSIDE), true));
    }
    let stores = [store("SecretStore", "plain", ""), store("SecretStore", "before", "mozmeao/snippets/")];
    table(&world(&stores, lenient(mapped())), &rows);
    let strict = world(&stores, mapped());
    assert!(
        rows.iter().all(|(_, object, _)| !allowed(&ask(&strict, object, None))),
        "none of these is decided"
    );
}

fn sync(secret: Value) -> Value {
    let spec = json!({"secretProviderClassName": "web", "serviceAccountName": "web", "secretObject": secret});
    object("secret-sync.x-k8s.io/v1alpha1", "SecretSync", "synced", spec)
}

/// A SecretSync fills a Secret of its own name from what its class reads.
#[test]
fn s11_a_secret_sync_fills_a_secret_of_its_own_name() {
    let data = |more: Value| {
        let mut entry = json!({"sourcePath": "x", "targetKey": "k"});
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"type": "Opaque", "data": [entry]})
    };
    let entry = |path: &str| {
        let text = format!("- objectName: {path}\n  objectType: secretsmanager\n");
        class("aws", json!({"region": "us-west-2", "objects": text}))
    };
    let catalogue = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "catalogue.snippets-stage", "namespace": "refgate-system", "labels": {"refgate.dev/catalogue": "true"}},
        "data": {"catalogue": json!([{"path": INSIDE, "secret": "synced", "keys": ["value"]}]).to_string()},
    });
    let plain = sync(data(json!({})));
    let said = |objects: &[Value], sync: &Value| {
        let decision = ask(&world(objects, settings()), sync, None);
        message(&decision).to_owned()
    };
    assert_eq!(said(&[entry(INSIDE)], &plain), "");
    let over = said(&[entry(INSIDE), catalogue], &plain);
    assert!(over.contains("Secret synced is one that RefGate syncs"), "{over}");
    for unknown in [sync(data(json!({"hereafter": 1}))), sync(json!({"hereafter": "x"}))] {
        let why = said(&[entry(INSIDE)], &unknown);
        assert!(why.contains("does not know the field") && why.contains("hereafter"), "{why}");
    }
    // Of the object that was there before anybody asked, pods get nothing while its class reads what they may not.
    let mut pod = pod(json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "synced", "key": "k"}}}]));
    pod["metadata"]["name"] = "web".into();
    for (objects, expected) in [
        (vec![entry(INSIDE), plain.clone()], true),
        (vec![entry(OUTSIDE), plain.clone()], false),
        // What is not there cannot be decided.
        (vec![plain.clone()], false),
    ] {
        let (snapshot, body) = (world(&objects, settings()), review(json!({"object": pod})));
        let read = parse(&body, Endpoint::Validate, &snapshot.settings.kinds).unwrap();
        let decision = decide(&read, &snapshot);
        assert_eq!(allowed(&decision), expected, "{objects:?}: {decision:?}");
    }
}

/// What a class makes of its files is read as strictly as the files.
#[test]
fn unknown_fields_beside_a_key_of_a_class_are_reported() {
    let mut class = class("aws", json!({"region": "us-west-2"}));
    class["spec"]["secretObjects"] = json!([{"secretName": "w", "type": "Opaque", "data": [{"objectName": "x", "key": "k", "hereafter": "x"}]}]);
    let said = message(&ask(&world(&[], settings()), &class, None)).to_owned();
    assert!(said.contains("spec.secretObjects[0].data[0].hereafter"), "{said}");
}
