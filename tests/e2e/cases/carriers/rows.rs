//! What is inside and what is outside, for each kind that names something.

use serde_json::{Value, json};

use super::Row;

const OUTSIDE: &str = "mozmeao/carried/prod/db";

/// In an order in which what others depend on comes first.
pub fn all() -> Vec<Row> {
    [operator(), driver(), vault(), encrypted(), others()].into_iter().flatten().collect()
}

impl Row {
    fn new(kind: &'static str, inside: Value, outside: Vec<(Value, &'static str)>) -> Self {
        Self { kind, versions: &[], inside, outside, fills: None }
    }

    fn fills(self, reference: &'static str, secret: &'static str, key: &'static str) -> Self {
        Self { fills: Some((reference, secret, key)), ..self }
    }

    fn of(self, versions: &'static [&'static str]) -> Self {
        Self { versions, ..self }
    }
}

/// External Secrets Operator.
fn operator() -> Vec<Row> {
    let store = |region: &str| json!({"provider": {"aws": {"service": "SecretsManager", "region": region}}});
    let reads = |part: Value| {
        let mut spec = json!({"secretStoreRef": {"name": "secretstore"}, "target": {"name": "eso"}});
        spec.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        spec
    };
    let data = |key: &str| reads(json!({"data": [{"secretKey": "k", "remoteRef": {"key": key}}]}));
    let pushes = |key: &str| {
        json!({
            "secretStoreRefs": [{"name": "secretstore"}], "selector": {"secret": {"name": "mine"}},
            "data": [{"match": {"secretKey": "k", "remoteRef": {"remoteKey": key}}}],
        })
    };
    let fake = json!({"provider": {"fake": {"data": [{"key": "a", "value": "b"}]}}});
    vec![
        Row::new(
            "SecretStore",
            store("us-east-1"),
            vec![
                (store("eu-west-1"), "spec.provider.aws.region: this region is none that aws.regions"),
                (fake, "spec.provider: provider fake is none that RefGate judges"),
            ],
        ),
        Row::new(
            "ExternalSecret",
            data("mozmeao/carried/stage/eso"),
            vec![
                (
                    data(OUTSIDE),
                    "spec.data[0].remoteRef.key: mozmeao/carried/prod/db is outside of mozmeao/carried/stage",
                ),
                (
                    reads(json!({"dataFrom": [{"extract": {"key": OUTSIDE}}]})),
                    "spec.dataFrom[0].extract.key: mozmeao/carried/prod/db is outside of mozmeao/carried/stage",
                ),
                (
                    reads(json!({"dataFrom": [{"find": {"name": {"regexp": ".*"}}}]})),
                    "spec.dataFrom[0].find: without a path it looks through everything",
                ),
            ],
        )
        .fills("secret:eso", "eso", "k"),
        Row::new(
            "PushSecret",
            pushes("mozmeao/carried/stage/pushed"),
            vec![(
                pushes(OUTSIDE),
                "spec.data[0].match.remoteRef.remoteKey: mozmeao/carried/prod/db is outside of mozmeao/carried/stage",
            )],
        ),
    ]
}

/// Secrets Store CSI driver.
fn driver() -> Vec<Row> {
    let class = |path: &str| {
        let objects = format!("- objectName: {path}\n  objectType: secretsmanager\n  objectAlias: csi\n");
        let data = json!([{"objectName": "csi", "key": "k"}]);
        json!({
            "provider": "aws", "parameters": {"region": "us-east-1", "objects": objects},
            "secretObjects": [{"secretName": "csi", "type": "Opaque", "data": data}],
        })
    };
    let sync = |class: &str| {
        let data = json!([{"sourcePath": "csi", "targetKey": "k"}]);
        json!({"secretProviderClassName": class, "serviceAccountName": "default", "secretObject": {"data": data}})
    };
    vec![
        Row::new(
            "SecretProviderClass",
            class("mozmeao/carried/stage/csi"),
            vec![(
                class(OUTSIDE),
                "spec.parameters.objects: mozmeao/carried/prod/db is outside of mozmeao/carried/stage",
            )],
        )
        .fills("secret:csi", "csi", "k"),
        Row::new(
            "SecretSync",
            sync("secretproviderclass"),
            vec![(sync("nowhere"), "spec.secretProviderClassName: SecretProviderClass nowhere is not there")],
        ),
    ]
}

/// Vault Secrets Operator.
fn vault() -> Vec<Row> {
    let entry = |path: &str| json!({"mount": "secret", "type": "kv-v2", "path": path});
    let reads = |path: &str| {
        let mut spec = entry(path);
        spec["destination"] = json!({"name": "vault", "create": true});
        spec
    };
    let mounts = |path: &str| {
        let access = json!({"serviceAccountPattern": "web"});
        json!({"accessControl": access, "secrets": {"vaultStaticSecrets": [entry(path)]}})
    };
    let mut elsewhere = reads("mozmeao/carried/stage/vault");
    elsewhere["namespace"] = "payroll".into();
    vec![
        Row::new(
            "VaultStaticSecret",
            reads("mozmeao/carried/stage/vault"),
            vec![
                (reads(OUTSIDE), "spec.path: mozmeao/carried/prod/db is outside of mozmeao/carried/stage"),
                (elsewhere, "spec.path: nothing maps it to a path"),
            ],
        )
        .fills("secret:vault#password", "vault", "password"),
        Row::new(
            "CSISecrets",
            mounts("mozmeao/carried/stage/vault"),
            vec![(
                mounts(OUTSIDE),
                "spec.secrets.vaultStaticSecrets[0].path: mozmeao/carried/prod/db is outside of mozmeao/carried/stage",
            )],
        ),
    ]
}

/// Sealed Secrets and SOPS.
fn encrypted() -> Vec<Row> {
    let sealed = |text: &str| json!({"encryptedData": {"password": text}});
    let sops = |field: &str, text: &str| json!({field: [{"name": "web", "data": {"password": text}}]});
    let cipher = "ENC[AES256_GCM,data:abc,iv:def,tag:ghi,type:str]";
    vec![
        Row::new(
            "SealedSecret",
            sealed(&format!("Ag{}", "B".repeat(400))),
            vec![(sealed("aHVudGVyMg=="), "spec.encryptedData.password: this is not what kubeseal writes")],
        ),
        Row::new(
            "SopsSecret",
            sops("secretTemplates", cipher),
            vec![(
                sops("secretTemplates", "hunter2"),
                "spec.secretTemplates[0].data.password: SOPS has not encrypted this value",
            )],
        )
        .of(&["v1alpha2", "v1alpha3"]),
        Row::new(
            "SopsSecret",
            sops("secret_templates", cipher),
            vec![(
                sops("secret_templates", "hunter2"),
                "spec.secret_templates[0].data.password: SOPS has not encrypted this value",
            )],
        )
        .of(&["v1alpha1"]),
    ]
}

/// kubernetes-external-secrets, 1Password, akv2k8s, Doppler.
fn others() -> Vec<Row> {
    let kes = |region: &str, key: &str| json!({"backendType": "secretsManager", "region": region, "data": [{"key": key, "name": "k"}]});
    let item = |vault: &str| json!({"itemPath": format!("vaults/{vault}/items/item")});
    let akv = |vault: &str| {
        let object = json!({"name": "akv", "type": "secret"});
        json!({"vault": {"name": vault, "object": object}, "output": {"secret": {"name": "akv", "dataKey": "k"}}})
    };
    let doppler = |project: &str, namespace: Option<&str>| {
        let mut managed = json!({"name": "managed"});
        if let Some(namespace) = namespace {
            managed["namespace"] = namespace.into();
        }
        json!({"project": project, "config": "stg", "tokenSecret": {"name": "token"}, "managedSecret": managed})
    };
    vec![
        Row::new(
            "ExternalSecret",
            kes("us-east-1", "mozmeao/carried/stage/kes"),
            vec![
                (
                    kes("us-east-1", OUTSIDE),
                    "spec.data[0].key: mozmeao/carried/prod/db is outside of mozmeao/carried/stage",
                ),
                (kes("eu-west-1", "mozmeao/carried/stage/kes"), "spec.region: this region is none that"),
            ],
        )
        .fills("secret:kes", "externalsecret", "k"),
        Row::new(
            "OnePasswordItem",
            item("Carried"),
            vec![(item("Payroll"), "spec.itemPath: nothing maps it")],
        )
        .fills("secret:item#password", "onepassworditem", "password"),
        Row::new(
            "AzureKeyVaultSecret",
            akv("carried-stage"),
            vec![(akv("payroll"), "spec.vault.object.name: nothing maps it to a path")],
        )
        .fills("secret:akv", "akv", "k"),
        Row::new(
            "DopplerSecret",
            doppler("carried", None),
            vec![
                (doppler("payroll", None), "spec.config: nothing maps it to a path"),
                (
                    doppler("carried", Some("payroll")),
                    "spec.managedSecret.namespace: this Secret is of another namespace",
                ),
            ],
        ),
    ]
}
