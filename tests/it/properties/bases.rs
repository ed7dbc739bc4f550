//! Objects of other systems that a bound namespace may have, one or more of each kind, with all the fields of their schemas
//! that hold a text: what `planted` plants into.

use std::sync::{Arc, LazyLock};

use refgate::policy::carriers::place::System;
use refgate::policy::carriers::settings::{Mapping, Mode};
use refgate::policy::carriers::{self, Kind};
use refgate::policy::snapshot::{Settings, Snapshot};
use refgate::world::World;
use serde_json::{Value, json};

/// An object that is let in.
pub struct Base {
    pub group: &'static str,
    pub kind: &'static str,
    /// What `HARMLESS` calls it.
    pub label: String,
    pub object: Value,
    /// Fields that a text could stand in, and that the object does not have.
    pub further: Vec<&'static str>,
    /// Fields that name a project, a vault or a mount.
    pub places: Vec<&'static str>,
}

impl Base {
    pub fn kind(&self) -> &'static Kind {
        let (_, kind) =
            carriers::kinds().find(|(_, kind)| (kind.group, kind.kind) == (self.group, self.kind)).unwrap();
        kind
    }
}

const INSIDE: &str = "mozmeao/snippets/stage/x";

const NAMESPACE: &str = r#"
apiVersion: v1
kind: Namespace
metadata:
  name: team
  labels: {refgate.dev/group: mozmeao, refgate.dev/app: snippets, refgate.dev/env: stage, refgate.dev/enforce: "off"}
"#;

/// Where they live: a store and a class inside, and a row for every system. Plaintext is not what is looked for.
pub fn snapshot() -> Arc<Snapshot> {
    static SNAPSHOT: LazyLock<Arc<Snapshot>> = LazyLock::new(|| Arc::new(snapshot_with(None)));
    Arc::clone(&SNAPSHOT)
}

/// The same with one more object, in the place of what is called so.
pub fn snapshot_with(object: Option<&Value>) -> Snapshot {
    static SETTINGS: LazyLock<Arc<Settings>> = LazyLock::new(|| Arc::new(settings(Mode::Deny)));
    there(object, Arc::clone(&SETTINGS))
}

/// The same, with what becomes of what cannot be decided.
pub fn world(undecided: Mode) -> Snapshot {
    there(None, Arc::new(settings(undecided)))
}

fn there(object: Option<&Value>, settings: Arc<Settings>) -> Snapshot {
    let mut text = NAMESPACE.to_owned();
    let there = [store(aws_provider()), class("aws", aws_parameters())].map(|base| base.object);
    for object in there.iter().chain(object) {
        text.push_str(&format!("---\n{object}\n"));
    }
    World::read(&text).snapshot(settings)
}

fn settings(undecided: Mode) -> Settings {
    let row = |system: System, place: &str, separator: Option<&str>| Mapping {
        system,
        scopes: [Some("mozmeao".to_owned()), Some("snippets".to_owned()), Some("stage".to_owned())],
        place: place.to_owned(),
        separator: separator.map(str::to_owned),
    };
    let mut settings = Settings {
        aws_regions: vec!["us-west-2".into()],
        aws_accounts: vec!["111122223333".into()],
        ..Settings::default()
    };
    for carrier in carriers::CARRIERS {
        settings.carriers.undecided.insert(carrier.id.to_owned(), undecided);
    }
    settings.carriers.mappings = vec![
        row(System::Vault, "secret", None),
        row(System::Google, "moz-stage", Some("--")),
        row(System::Azure, "snippets-stage", None),
        row(System::OnePassword, "Snippets", None),
        row(System::Doppler, "snippets/stg", None),
        row(System::AwsParameterStore, "", None),
    ];
    settings
}

fn base(version: &'static str, kind: &'static str, spec: Value) -> Base {
    let (group, _) = version.split_once('/').unwrap();
    let metadata = json!({"name": "store", "namespace": "team"});
    let object = json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec});
    Base { group, kind, label: kind.to_owned(), object, further: Vec::new(), places: Vec::new() }
}

impl Base {
    fn with(mut self, further: &[&'static str]) -> Self {
        self.further.extend(further);
        self
    }

    fn of(mut self, label: &str) -> Self {
        self.label = format!("{} of {label}", self.kind);
        self
    }

    fn at(mut self, places: &[&'static str]) -> Self {
        self.places.extend(places);
        self
    }
}

fn aws_provider() -> Value {
    json!({"aws": {"service": "SecretsManager", "region": "us-west-2", "role": "arn:aws:iam::111122223333:role/web"}})
}

fn store(provider: Value) -> Base {
    let name = provider.as_object().unwrap().keys().next().unwrap().clone();
    let spec = json!({"controller": "", "provider": provider, "retrySettings": {"retryInterval": "1m"}});
    base("external-secrets.io/v1", "SecretStore", spec).of(&name)
}

fn class(provider: &str, parameters: Value) -> Base {
    let secrets = json!([{
        "secretName": "web", "type": "Opaque", "labels": {"a": "b"}, "annotations": {"a": "b"},
        "data": [{"objectName": "x", "key": "x"}],
    }]);
    let spec = json!({"provider": provider, "parameters": parameters, "secretObjects": secrets});
    let mut class = base("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass", spec);
    class.object["metadata"]["name"] = "web".into();
    class.of(provider).with(&["/spec/parameters/hereafter", "/spec/hereafter"])
}

fn aws_parameters() -> Value {
    let objects = json!([{
        "objectName": INSIDE, "objectType": "secretsmanager", "objectAlias": "x", "objectVersion": "1",
        "objectVersionLabel": "AWSCURRENT", "filePermission": "0400", "failoverObject": {"objectName": INSIDE},
        "jmesPath": [{"path": "a", "objectAlias": "b"}],
    }]);
    json!({"region": "us-west-2", "failoverRegion": "us-west-2", "pathTranslation": "_", "usePodIdentity": "true", "objects": objects.to_string()})
}

fn classes() -> Vec<Base> {
    let google = json!([{
        "resourceName": "projects/moz-stage/secrets/mozmeao--snippets--stage--x/versions/latest",
        "fileName": "x", "path": "x", "mode": "0400", "extractJSONKey": "a",
    }]);
    let regional = json!([{"resourceName": "projects/moz-stage/locations/l/secrets/mozmeao--snippets--stage--x/versions/1"}]);
    let azure = json!({"objectName": "db", "objectType": "secret", "objectAlias": "x", "objectVersion": "1"});
    let azure = json!({"array": [azure.to_string()]});
    let vault = json!([{"objectName": "x", "secretPath": format!("secret/data/{INSIDE}"), "secretKey": "k", "method": "GET"}]);
    vec![
        class("aws", aws_parameters()).with(&[
            "/spec/parameters/objects!/0/failoverObject/objectVersion",
            "/spec/parameters/objects!/0/hereafter",
            "/spec/parameters/objects!/0/objectname",
            "/spec/parameters/secrets",
        ]),
        class("gcp", json!({"auth": "pod-adc", "secrets": google.to_string()})),
        class("gcp", json!({"secrets": regional.to_string()})),
        class("azure", json!({"keyvaultName": "snippets-stage", "tenantID": "t", "clientID": "c", "objects": azure.to_string()}))
            .with(&["/spec/parameters/cloudName", "/spec/parameters/cloudEnvFileName"])
            .at(&["/spec/parameters/keyvaultName"]),
        class("vault", json!({"roleName": "r", "vaultAddress": "https://vault", "objects": vault.to_string()}))
            .with(&["/spec/parameters/vaultNamespace", "/spec/parameters/objects!/0/secretArgs/a", "/spec/parameters/audience"])
            .at(&["/spec/parameters/vaultNamespace"]),
    ]
}

fn external_secrets() -> Vec<Base> {
    let remote = json!({
        "key": INSIDE, "property": "p", "version": "v", "conversionStrategy": "Default", "decodingStrategy": "None",
        "metadataPolicy": "None", "nullBytePolicy": "Ignore",
    });
    let own = json!({"name": "store", "kind": "SecretStore"});
    let template = json!({
        "type": "Opaque", "engineVersion": "v2", "mergePolicy": "Merge", "data": {"a": "{{ .k }}"},
        "metadata": {"annotations": {"a": "b"}, "labels": {"a": "b"}, "finalizers": ["a/b"]},
        "templateFrom": [{
            "literal": "a: b", "target": "Data", "valuesDecodingStrategy": "None",
            "configMap": {"name": "m", "items": [{"key": "k", "templateAs": "Values"}]},
            "secret": {"name": "s", "items": [{"key": "k", "templateAs": "Values"}]},
        }],
    });
    let spec = json!({
        "secretStoreRef": own, "refreshInterval": "1h", "refreshPolicy": "Periodic",
        "syncWindows": {"kind": "allow", "windows": [{"schedule": "* * * * *", "duration": "1h"}]},
        "data": [{"secretKey": "k", "remoteRef": remote, "sourceRef": {"storeRef": own}}],
        "dataFrom": [
            {"extract": remote, "sourceRef": {"storeRef": own}, "rewrite": [
                {"regexp": {"source": "a", "target": "b"}, "transform": {"template": "t"},
                 "merge": {"into": "i", "strategy": "Extract", "conflictPolicy": "Error", "priorityPolicy": "Strict", "priority": ["a"]}},
            ]},
            {"find": {"path": "mozmeao/snippets/stage/", "name": {"regexp": ".*"}, "tags": {"a": "b"},
                "conversionStrategy": "Default", "decodingStrategy": "None", "nullBytePolicy": "Ignore"}},
            {"sourceRef": {"generatorRef": {"apiVersion": "generators.external-secrets.io/v1alpha1", "kind": "UUID", "name": "g"}}},
        ],
        "target": {"name": "web", "creationPolicy": "Owner", "deletionPolicy": "Retain", "template": template},
    });
    let push = json!({
        "secretStoreRefs": [own], "refreshInterval": "1h", "updatePolicy": "Replace", "deletionPolicy": "None",
        "selector": {"secret": {"name": "s"}}, "template": template,
        "data": [{
            "conversionStrategy": "None", "metadata": {"kind": "PushSecretMetadata", "spec": {"kmsKeyID": "k", "tags": {"a": "b"}}},
            "match": {"secretKey": "k", "remoteRef": {"remoteKey": INSIDE, "property": "p"}},
        }],
        "dataTo": [{
            "remoteKey": INSIDE, "conversionStrategy": "None", "match": {"regexp": ".*"}, "storeRef": own,
            "rewrite": [{"regexp": {"source": "a", "target": "b"}, "transform": {"template": "t"}}],
        }],
    });
    let mut all = vec![
        base("external-secrets.io/v1", "ExternalSecret", spec).with(&[
            "/spec/data/0/sourceRef/generatorRef/kind",
            "/spec/dataFrom/1/sourceRef/storeRef/name",
            "/spec/target/manifest/kind",
            "/spec/target/manifest/apiVersion",
            "/spec/hereafter",
            "/secretDescriptor/data/0/key",
        ]),
        base("external-secrets.io/v1alpha1", "PushSecret", push).with(&[
            "/spec/selector/generatorRef/kind",
            "/spec/selector/secret/selector/matchLabels/a",
            "/spec/secretStoreRefs/0/labelSelector/matchLabels/a",
            "/spec/dataTo/0/storeRef/labelSelector/matchLabels/a",
            "/spec/data/0/metadata/spec/resourcePolicy/policySourceRef/name",
            "/spec/data/0/metadata/Spec/ResourcePolicy",
            "/spec/secretStoreRef/name",
            "/spec/hereafter",
        ]),
    ];
    for kind in ["Password", "UUID", "SSHKey"] {
        all.push(base("generators.external-secrets.io/v1alpha1", kind, json!({"comment": "c"})));
    }
    all
}

fn stores() -> Vec<Base> {
    let account = json!({"name": "a"});
    let secret = json!({"name": "s", "key": "k"});
    let vault = json!({
        "server": "https://vault", "version": "v2", "path": "secret", "caBundle": "x", "caProvider": {"type": "Secret", "name": "c", "key": "k"},
        "tls": {"certSecretRef": secret, "keySecretRef": secret},
        "auth": {"kubernetes": {"mountPath": "kubernetes", "role": "r", "serviceAccountRef": account, "secretRef": secret}},
    });
    let aws = [
        "/spec/provider/aws/prefix",
        "/spec/provider/aws/externalID",
        "/spec/provider/aws/additionalRoles/0",
        "/spec/provider/aws/sessionTags/0/value",
        "/spec/provider/aws/sessionTagsPolicy",
        "/spec/provider/aws/customSessionTags/a",
        "/spec/provider/aws/transitiveTagKeys/0",
        "/spec/provider/aws/auth/jwt/serviceAccountRef/name",
        "/spec/provider/aws/auth/secretRef/accessKeyIDSecretRef/name",
        "/spec/provider/aws/hereafter",
        "/spec/provider/fake/data/0/value",
        "/spec/conditions/0/namespaces/0",
        "/spec/hereafter",
    ];
    vec![
        store(aws_provider()).with(&aws),
        store(json!({"vault": vault})).with(&[
            "/spec/provider/vault/namespace",
            "/spec/provider/vault/auth/namespace",
            "/spec/provider/vault/headers/X-Vault-Namespace",
            "/spec/provider/vault/hereafter",
        ]),
        store(json!({"openBao": {"server": "https://bao", "path": "secret", "auth": {"tokenSecretRef": secret}}})),
        store(json!({"gcpsm": {"projectID": "moz-stage", "location": "l", "auth": {"secretRef": {"secretAccessKeySecretRef": secret}}}}))
            .with(&["/spec/provider/gcpsm/secretVersionSelectionPolicy", "/spec/provider/gcpsm/hereafter"]),
        store(json!({"azurekv": {"vaultUrl": "https://snippets-stage.vault.azure.net", "tenantId": "t", "authType": "WorkloadIdentity"}}))
            .with(&["/spec/provider/azurekv/customCloudConfig/keyVaultDNSSuffix", "/spec/provider/azurekv/identityId"]),
        store(json!({"doppler": {"project": "snippets", "config": "stg", "auth": {"secretRef": {"dopplerToken": secret}}}}))
            .with(&["/spec/provider/doppler/format", "/spec/provider/doppler/hereafter"]),
    ]
}

fn kubernetes_external_secrets() -> Vec<Base> {
    let with = |spec: Value| {
        let mut whole = json!({
            "controllerId": "c", "type": "Opaque",
            "template": {"type": "Opaque", "metadata": {"labels": {"a": "b"}, "annotations": {"a": "b"}}},
        });
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        base("kubernetes-client.io/v1", "ExternalSecret", whole).of("the archived operator").with(&[
            "/spec/properties/0/key",
            "/spec/template/metadata/name",
            "/spec/template/metadata/namespace",
            "/spec/template/hereafter",
            "/secretDescriptor/data/0/key",
            "/spec/keyByName",
            "/spec/vaultRole",
            "/spec/vaultMountPoint",
        ])
    };
    let data = |key: &str| json!([{"key": key, "name": "k", "property": "p", "version": "1", "versionStage": "s", "versionId": "i", "secretType": "t"}]);
    vec![
        with(json!({
            "backendType": "secretsManager", "region": "us-west-2", "roleArn": "arn:aws:iam::111122223333:role/web", "data": data(INSIDE),
            "dataFrom": [INSIDE], "dataFromWithOptions": [{"key": INSIDE, "versionStage": "s", "versionId": "i"}],
        })),
        with(json!({"backendType": "systemManager", "data": [{"path": "/mozmeao/snippets/stage", "recursive": true}]})),
        with(json!({"backendType": "vault", "data": data(&format!("secret/data/{INSIDE}"))})),
        with(json!({"backendType": "gcpSecretsManager", "projectId": "moz-stage", "data": data("mozmeao--snippets--stage--x")}))
            .at(&["/spec/projectId"]),
        with(json!({"backendType": "azureKeyVault", "keyVaultName": "snippets-stage", "data": data("db")}))
            .at(&["/spec/keyVaultName"]),
    ]
}

fn vault_operator() -> Vec<Base> {
    let version = "secrets.hashicorp.com/v1beta1";
    let transformation = json!({"templates": {"t": {"name": "t", "text": "{{ .Secrets.a }}"}}, "includes": ["a"], "excludes": ["b"]});
    let reads = json!({
        "mount": "secret", "type": "kv-v2", "path": INSIDE, "vaultAuthRef": "a", "refreshAfter": "1h",
        "rolloutRestartTargets": [{"kind": "Deployment", "name": "web"}],
        "destination": {
            "name": "web", "create": true, "type": "Opaque", "labels": {"a": "b"}, "annotations": {"a": "b"}, "transformation": transformation,
        },
    });
    let mounted = json!({
        "secrets": {"vaultStaticSecrets": [{"mount": "secret", "type": "kv-v2", "path": INSIDE}]},
        "accessControl": {"serviceAccountPattern": "web", "namespacePatterns": ["team"]}, "vaultAuthRef": {"name": "a", "namespace": "team"},
    });
    let login = json!({"method": "kubernetes", "mount": "kubernetes", "kubernetes": {"role": "r", "serviceAccount": "web"}});
    vec![
        base(version, "VaultStaticSecret", reads)
            .with(&["/spec/namespace", "/spec/hereafter"])
            .at(&["/spec/mount", "/spec/namespace"]),
        base(version, "CSISecrets", mounted)
            .with(&[
                "/spec/namespace",
                "/spec/secrets/vaultStaticSecrets/0/namespace",
                "/spec/secrets/vaultAppRoleSecretIDs/0/role",
                "/spec/hereafter",
            ])
            .at(&["/spec/namespace", "/spec/secrets/vaultStaticSecrets/0/mount"]),
        base(version, "SecretTransformation", transformation),
        base(version, "VaultAuth", login.clone())
            .with(&[
                "/spec/headers/a",
                "/spec/params/a",
                "/spec/vaultAuthGlobalRef/namespace",
                "/spec/aws/role",
                "/spec/hereafter",
            ])
            .at(&["/spec/namespace"]),
        base(version, "VaultAuthGlobal", login)
            .with(&["/spec/headers/a", "/spec/kubernetes/headers/a", "/spec/hereafter", "/hereafter"])
            .at(&[
                "/spec/namespace",
                "/spec/defaultVaultNamespace",
                "/spec/kubernetes/namespace",
                "/spec/jwt/namespace",
            ]),
        base(version, "VaultConnection", json!({"address": "https://vault", "tlsServerName": "vault"}))
            .with(&["/spec/headers/a"]),
    ]
}

fn others() -> Vec<Base> {
    let cipher = format!("Ag{}", "B".repeat(400));
    let sealed = json!({
        "encryptedData": {"password": cipher},
        "template": {"type": "Opaque", "data": {"a": "{{ .password }}"}, "metadata": {"labels": {"a": "b"}, "annotations": {"a": "b"}}},
    });
    let sops = json!({"secretTemplates": [{
        "name": "web", "type": "Opaque", "labels": {"a": "b"}, "annotations": {"a": "b"},
        "stringData": {"a": "ENC[AES256_GCM,data:abc,iv:def,tag:ghi,type:str]"},
    }]});
    let azure = json!({
        "vault": {"name": "snippets-stage", "object": {"name": "db", "type": "secret", "version": "1", "contentType": "text/plain"}},
        "output": {"secret": {"name": "web", "dataKey": "db", "type": "Opaque"}},
    });
    let doppler = json!({
        "project": "snippets", "config": "stg", "secrets": ["DB"], "tokenSecret": {"name": "t", "namespace": "team"},
        "managedSecret": {"name": "m", "namespace": "team", "type": "Opaque"}, "nameTransformer": "upper-camel", "format": "json",
    });
    let sync = json!({
        "secretProviderClassName": "web", "serviceAccountName": "web",
        "secretObject": {"type": "Opaque", "labels": {"a": "b"}, "annotations": {"a": "b"}, "data": [{"sourcePath": "x", "targetKey": "x"}]},
    });
    let wide = "/metadata/annotations/sealedsecrets.bitnami.com~1cluster-wide";
    vec![
        base("bitnami.com/v1alpha1", "SealedSecret", sealed).with(&[
            "/spec/data",
            "/spec/template/metadata/name",
            "/spec/template/metadata/finalizers/0",
            "/spec/template/metadata/hereafter",
            "/spec/template/metadata/namespace",
            "/spec/hereafter",
            wide,
        ]),
        base("isindir.github.com/v1alpha3", "SopsSecret", sops)
            .with(&["/spec/secretTemplates/0/data/b", "/spec/hereafter"]),
        base("onepassword.com/v1", "OnePasswordItem", json!({"itemPath": "vaults/Snippets/items/db"}))
            .with(&["/spec/hereafter", "/type"]),
        base("spv.no/v2beta1", "AzureKeyVaultSecret", azure)
            .with(&[
                "/spec/output/configMap/name",
                "/spec/vault/azureIdentity/name",
                "/spec/output/hereafter/dataKey",
                "/spec/hereafter",
            ])
            .at(&["/spec/vault/name"]),
        base("secrets.doppler.com/v1alpha1", "DopplerSecret", doppler)
            .with(&["/spec/host", "/spec/processors/a/type", "/spec/hereafter"])
            .at(&[
                "/spec/project",
                "/spec/config",
                "/spec/managedSecret/namespace",
                "/spec/tokenSecret/namespace",
            ]),
        base("secret-sync.x-k8s.io/v1alpha1", "SecretSync", sync).with(&[
            "/spec/forceSynchronization",
            "/spec/hereafter",
            "/hereafter",
        ]),
    ]
}

pub fn bases() -> Vec<Base> {
    [external_secrets(), stores(), kubernetes_external_secrets(), classes(), vault_operator(), others()]
        .into_iter()
        .flatten()
        .collect()
}
