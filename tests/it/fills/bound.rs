//! Objects from before the binding: the Secret that one fills is fenced by whatever would refuse the object now, and not by
//! the paths alone that it names.

use std::sync::Arc;

use refgate::policy::carriers::CARRIERS;
use refgate::policy::carriers::settings::Mode;
use refgate::policy::review::Endpoint;
use refgate::policy::snapshot::Snapshot;
use refgate::world::World;
use serde_json::json;

use super::{WORLD, decided, external_secret, message, object, settings, snapshot};

/// Whether a pod may not take a whole Secret.
fn is_fenced(snapshot: &Snapshot, secret: &str) -> bool {
    let pod = json!({
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "web", "image": "i", "envFrom": [{"secretRef": {"name": secret}}]}]},
    });
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let decision = decided(snapshot, Endpoint::Validate, kind, &pod);
    message(&decision)
        .is_some_and(|message| message.contains("holds a path that this namespace may not read"))
}

/// The same world where nothing that a carrier cannot decide is denied.
fn lenient(objects: &str) -> Snapshot {
    let mut settings = settings();
    for carrier in CARRIERS {
        settings.carriers.undecided.insert(carrier.id.to_owned(), Mode::Audit);
    }
    World::read(&format!("{WORLD}---\n{objects}")).snapshot(Arc::new(settings))
}

fn kes(spec: &str) -> String {
    object(
        "kubernetes-client.io/v1",
        "ExternalSecret",
        "s",
        &format!("{{backendType: secretsManager, {spec}}}"),
    )
}

#[test]
fn what_would_be_refused_now_is_not_named_by_a_pod() {
    let store = |provider: &str| {
        object("external-secrets.io/v1", "SecretStore", "aws", &format!("{{provider: {provider}}}"))
    };
    let one = external_secret("s", "data: [{secretKey: k, remoteRef: {key: x}}]");
    let doppler = |spec: &str| {
        object(
            "secrets.doppler.com/v1alpha1",
            "DopplerSecret",
            "d",
            &format!("{{managedSecret: {{name: s}}, tokenSecret: {{name: t}}{spec}}}"),
        )
    };
    let class = |provider: &str| {
        let spec = format!(
            "{{provider: {provider}, parameters: {{objects: ''}}, secretObjects: [{{secretName: s, type: Opaque, data: [{{objectName: f, key: k}}]}}]}}"
        );
        object("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass", "c", &spec)
    };
    let made = |kind: &str, spec: &str| {
        let spec = format!("{{{spec}, destination: {{name: s, create: true}}}}");
        object("secrets.hashicorp.com/v1beta1", kind, "v", &spec)
    };
    let sync = object(
        "secret-sync.x-k8s.io/v1alpha1",
        "SecretSync",
        "s",
        "{secretProviderClassName: c, secretObject: {data: [{sourcePath: f, targetKey: k}]}}",
    );
    let of_aws = |name: &str| {
        let objects = format!("- {{objectName: {name}, objectType: secretsmanager}}");
        let spec = json!({"provider": "aws", "parameters": {"objects": objects}});
        object("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass", "c", &spec.to_string())
    };
    // What is said of each, and whether it holds where doubts are let through.
    for (what, objects, is_refused, is_refused_anyway) in [
        ("a path of its own", one.clone(), false, false),
        (
            "a foreign path",
            external_secret("s", "dataFrom: [{find: {path: g/a/prod/, name: {regexp: '.*'}}}]"),
            true,
            true,
        ),
        (
            "find without a path",
            external_secret("s", "dataFrom: [{find: {name: {regexp: '.*'}}}]"),
            true,
            true,
        ),
        ("find by tags", external_secret("s", "dataFrom: [{find: {tags: {a: b}}}]"), true, true),
        (
            "a generator that asks somebody",
            external_secret(
                "s",
                "dataFrom: [{sourceRef: {generatorRef: {apiVersion: v, kind: Webhook, name: g}}}]",
            ),
            true,
            false,
        ),
        (
            "a generator that makes something up",
            external_secret(
                "s",
                "dataFrom: [{sourceRef: {generatorRef: {apiVersion: v, kind: Password, name: g}}}]",
            ),
            false,
            false,
        ),
        ("a provider that is not judged", format!("{one}{}", store("{akeyless: {}}")), true, true),
        (
            "a path of Vault without a mount",
            format!(
                "{one}{}",
                store("{vault: {server: 'https://vault.example.com', version: v2, auth: {}}}")
            ),
            true,
            true,
        ),
        ("Doppler with a project", doppler(", project: a, config: stg"), false, false),
        ("Doppler without a project", doppler(""), true, false),
        ("what an engine makes", made("VaultDynamicSecret", "mount: database, path: creds/x"), true, false),
        (
            "an engine of keys and values",
            made("VaultDynamicSecret", "mount: secret, path: data/g/a/prod/x"),
            true,
            true,
        ),
        ("a certificate", made("VaultPKISecret", "mount: pki, role: r"), true, false),
        ("an app of HCP", made("HCPVaultSecretsApp", "appName: a"), true, false),
        ("a class of its own", format!("{sync}{}", of_aws("g/a/stage/x")), false, false),
        ("a class that reads outside", format!("{sync}{}", of_aws("g/a/prod/x")), true, true),
        ("a class whose YAML cannot be judged", format!("{sync}{}", of_aws("*a")), true, true),
        ("a class that is not there", sync.clone(), true, false),
        ("a class of no provider", class("hereafter"), true, false),
        ("a region that nobody lists", kes("region: r, dataFrom: [g/a/stage/x]"), true, true),
        (
            "a role that nobody lists",
            kes("roleArn: 'arn:aws:iam::999999999999:role/x', dataFrom: [g/a/stage/x]"),
            true,
            true,
        ),
        (
            "a name that a template gives",
            kes("dataFrom: [g/a/prod/x], template: {metadata: {name: s}}")
                .replace("name: s, name", "name: other, name"),
            true,
            true,
        ),
    ] {
        assert_eq!(is_fenced(&snapshot(&objects), "s"), is_refused, "{what}");
        assert_eq!(
            is_fenced(&lenient(&objects), "s"),
            is_refused_anyway,
            "{what}, where doubts are let through"
        );
        assert!(!is_fenced(&snapshot(&objects), "other-secret"), "{what}");
    }
}
