//! What a tenant may have the operator of External Secrets do as itself: log in at a server of theirs, take back what a generator
//! never gave, write into another region.

use refgate::policy::carriers::settings::Mode;
use serde_json::{Value, json};

use super::allowed;
use super::external_secrets::{ask, object, settings, stores, world};
use super::other_systems::mapped;
use super::stores::{INSIDE, OUTSIDE, store, vault};

#[test]
fn a_store_of_a_tenant_does_not_lend_out_the_operator() {
    let snapshot = world(&[], mapped());
    let auth = |auth: Value| vault(json!({"auth": auth}));
    let own = json!({"name": "web"});
    for (what, provider, expected) in [
        (
            "the operator's token, to any server",
            auth(json!({"kubernetes": {"mountPath": "k", "role": "r"}})),
            false,
        ),
        ("the operator's signature", auth(json!({"iam": {"vaultRole": "r"}})), false),
        ("the operator's account", auth(json!({"gcp": {"role": "r"}})), false),
        // The operator looks at none of these when it logs in.
        (
            "an account that nobody looks at",
            auth(json!({"gcp": {"role": "r", "serviceAccountRef": own}})),
            false,
        ),
        (
            "a key that ends in the operator's own credentials",
            auth(
                json!({"gcp": {"role": "r", "secretRef": {"secretAccessKeySecretRef": {"name": "s", "key": "k"}}}}),
            ),
            false,
        ),
        (
            "an identity that ends in the operator's own credentials",
            auth(json!({"gcp": {"role": "r", "workloadIdentity": {"serviceAccountRef": own}}})),
            false,
        ),
        ("a reference to nothing", auth(json!({"iam": {"vaultRole": "r", "jwt": {}}})), false),
        ("a reference to nothing", auth(json!({"iam": {"vaultRole": "r", "secretRef": {}}})), false),
        (
            "a reference to nothing",
            auth(json!({"iam": {"vaultRole": "r", "secretRef": {"sessionTokenSecretRef": {"name": "s"}}}})),
            false,
        ),
        (
            "a key of the namespace",
            auth(
                json!({"iam": {"vaultRole": "r", "secretRef": {"accessKeyIDSecretRef": {"name": "s", "key": "k"}}}}),
            ),
            true,
        ),
        (
            "a reference to nothing",
            auth(json!({"kubernetes": {"mountPath": "k", "role": "r", "secretRef": {"key": "k"}}})),
            false,
        ),
        (
            "a reference to nothing",
            auth(json!({"kubernetes": {"mountPath": "k", "role": "r", "serviceAccountRef": {"name": ""}}})),
            false,
        ),
        ("a login of another version", auth(json!({"azure": {"role": "r"}})), false),
        (
            "an account of the namespace",
            auth(json!({"kubernetes": {"mountPath": "k", "role": "r", "serviceAccountRef": own}})),
            true,
        ),
        (
            "an account of the namespace",
            auth(json!({"iam": {"vaultRole": "r", "jwt": {"serviceAccountRef": own}}})),
            true,
        ),
        ("a token of the namespace", auth(json!({"tokenSecretRef": {"name": "t", "key": "k"}})), true),
        ("another namespace of Vault", vault(json!({"headers": {"X-Vault-Namespace": "payroll"}})), false),
        ("a field of another version", vault(json!({"hereafter": "x"})), false),
        ("a field of another version", json!({"gcpsm": {"projectID": "moz-stage", "hereafter": "x"}}), false),
        ("a field of another version", json!({"azurekv": {"vaultUrl": "x", "customCloudConfig": {}}}), false),
    ] {
        let decision = ask(&snapshot, &store(provider.clone()), None);
        assert_eq!(allowed(&decision), expected, "{what}: {provider}: {decision:?}");
        // As OpenBao it is the same.
        if let Some(inner) = provider.get("vault") {
            let decision = ask(&snapshot, &store(json!({"openBao": inner})), None);
            assert_eq!(allowed(&decision), expected, "{what}: {decision:?}");
        }
    }
}

/// What the operator keeps of a generator it takes back by what stands there, whoever wrote it.
#[test]
fn e12_the_state_of_a_generator_sends_the_operator_nowhere() {
    let state = |kind: &str, secret: &str| {
        let auth = json!({"token": {"name": secret, "key": "value"}});
        let generator = json!({"url": "https://example.com", "auth": auth});
        let group = "generators.external-secrets.io/v1alpha1";
        let resource = json!({"apiVersion": group, "kind": kind, "spec": generator});
        let spec = json!({"resource": resource, "state": {"id": 1}, "garbageCollectionDeadline": "2020-01-01T00:00:00Z"});
        object(group, "GeneratorState", "g", spec)
    };
    let snapshot = world(&[], mapped());
    for (kind, expected) in [("Grafana", false), ("Webhook", false), ("", false), ("Password", true)] {
        let decision = ask(&snapshot, &state(kind, "s"), None);
        assert_eq!(allowed(&decision), expected, "{kind}: {decision:?}");
    }
    // Where the doubt is let through, what an earlier binding left is none of its credentials.
    let mut lenient = mapped();
    lenient.carriers.undecided.insert("external-secrets".to_owned(), Mode::Audit);
    let reads = object(
        "kubernetes-client.io/v1",
        "ExternalSecret",
        "left",
        json!({
            "backendType": "secretsManager", "region": "us-west-2", "dataFrom": [OUTSIDE],
        }),
    );
    let snapshot = world(&[reads], lenient);
    for (secret, expected) in [("mine", true), ("left", false)] {
        let decision = ask(&snapshot, &state("Grafana", secret), None);
        assert_eq!(allowed(&decision), expected, "{secret}: {decision:?}");
    }
}

/// A copy in another region is written there too.
#[test]
fn e16_what_is_copied_to_other_regions() {
    let snapshot = world(&stores(), settings());
    for (locations, expected) in [
        (json!([{"region": "us-west-2"}]), true),
        (json!(["us-west-2"]), true),
        (json!([]), true),
        (json!([{"region": "us-west-2"}, {"region": "eu-west-1"}]), false),
        (json!([{"Region": "eu-west-1"}]), false),
        (json!([{"region": "us-west-2", "Region": "eu-west-1"}]), false),
        (json!(["eu-west-1"]), false),
        (json!([{}]), false),
        (json!("eu-west-1"), false),
    ] {
        for name in ["replicationLocations", "ReplicationLocations"] {
            let metadata = json!({"kind": "PushSecretMetadata", "spec": {name: locations}});
            let entry = json!({"match": {"secretKey": "k", "remoteRef": {"remoteKey": INSIDE}}, "metadata": metadata});
            let spec = json!({
                "secretStoreRefs": [{"name": "aws"}], "selector": {"secret": {"name": "s"}}, "data": [entry],
            });
            let push = object("external-secrets.io/v1alpha1", "PushSecret", "p", spec);
            let decision = ask(&snapshot, &push, None);
            assert_eq!(allowed(&decision), expected, "{name} {locations}: {decision:?}");
        }
    }
}
