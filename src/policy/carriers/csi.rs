//! Secrets Store CSI driver: SecretProviderClass for AWS, Google, Azure and Vault, and SecretSync.
//!
//! Which secrets a class mounts stands in YAML inside a string. A pod's own attributes override a class; `policy::fence` lets
//! none but the class's name stand there. Sources: kubernetes-sigs/secrets-store-csi-driver `pkg/secrets-store/nodeserver.go`,
//! the providers' own `SecretDescriptor`, `config.go` and `types`.

use std::fmt::Arguments;
use std::sync::Arc;

use super::csi_secrets::{secret_objects, secret_sync};
use super::doc::Doc;
use super::json::Json;
use super::place::{Place, System};
use super::reach::{Fill, How, Identity, Pointer, Reach};
use super::secret_store::{is_location, vault_name};
use super::strict_yaml;
use super::{Carrier, Foreign, Handling, Kind};
use crate::policy::message;

/// Kind of a class.
pub const CLASS: &str = "SecretProviderClass";
const GROUP: &str = "secrets-store.csi.x-k8s.io";

/// The carrier.
pub const CARRIER: Carrier = Carrier {
    id: "secrets-store-csi",
    title: "Secrets Store CSI driver",
    kinds: &[
        Kind {
            group: GROUP,
            versions: &["v1", "v1alpha1"],
            kind: CLASS,
            resource: "secretproviderclasses",
            cluster_scoped: false,
            handling: Handling::Judged { read: class, watched: true },
        },
        // The driver writes down what it has mounted.
        Kind {
            group: GROUP,
            versions: &["v1", "v1alpha1"],
            kind: "SecretProviderClassPodStatus",
            resource: "secretproviderclasspodstatuses",
            cluster_scoped: false,
            handling: Handling::Harmless,
        },
        Kind {
            group: "secret-sync.x-k8s.io",
            versions: &["v1alpha1"],
            kind: "SecretSync",
            resource: "secretsyncs",
            cluster_scoped: false,
            handling: Handling::Judged { read: secret_sync, watched: true },
        },
    ],
    doc: Doc {
        summary: "a class names what pods mount, in YAML inside a string; RefGate reads it strictly and holds each name to the scope",
        fields: &[
            ("aws: objects[].objectName, objects[].failoverObject.objectName", "read; a name or an ARN"),
            ("gcp, gke: secrets[].resourceName", "read; by a row of `carriers.mappings`"),
            ("azure: objects.array[].objectName, keyvaultName", "read; by a row of `carriers.mappings`"),
            (
                "azure: cloudName",
                "outside of the public cloud the vault is its whole host to `carriers.mappings`: `NAME.vault.azure.cn`",
            ),
            ("vault: objects[].secretPath", "read; by a row of `carriers.mappings`"),
            (
                "Pod spec.volumes[].csi.volumeAttributes",
                "of whichever driver: where `secretProviderClass` stands there, nothing else may",
            ),
            ("SecretSync spec.secretProviderClassName", "the class that it names is judged"),
            (
                "SecretSync spec.secretObject.data[].targetKey, .sourcePath",
                "filled, in the Secret of the SecretSync's own name, which is never one that RefGate syncs, from that file of the class",
            ),
        ],
        enforced: &[
            "Each name lies inside the namespace's scope or its shared paths, that of a failover too.",
            "YAML in strings has no anchors, tags, merge keys, doubled keys, further documents, and no key in another spelling.",
            "A pod's attributes do not override its class, and a class that was there before anybody asked is judged where it is mounted.",
            "Regions are those of `aws.regions`.",
        ],
        undecidable: &[
            "Other providers, and parameters that this version does not know: see `carriers.undecided`.",
            "Secrets of `secretObjects` are there only while a pod mounts the class: what refers to one waits for that pod.",
            "Which identity mounts: the pod's service account, which IAM or Vault must hold to its scope.",
            "Which version of its engine a mount of Vault has: the class does not say it, and under `data/` of a mount of version 1 lie other secrets. Give scopes mounts of version 2.",
        ],
        beside: "The pods' service accounts read by IRSA or Pod Identity: one role for each scope, as `refgate iam GROUP/APP/ENV` prints it.",
    },
};

fn class(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    reach.known("", &object.json, &["apiVersion", "kind", "metadata", "spec"]);
    let spec = object.json.get("spec");
    reach.known("/spec", spec, &["parameters", "provider", "secretObjects"]);
    let parameters = spec.get("parameters");
    let names = match reach.text(|| Pointer::to("/spec/provider"), spec.get("provider")) {
        Some("aws") => aws(&mut reach, parameters),
        // The same provider, as Google Kubernetes Engine brings it along.
        Some("gcp" | "gke") => google(&mut reach, parameters),
        Some("azure") => azure(&mut reach, parameters),
        Some("vault") => vault(&mut reach, parameters),
        _ => {
            reach.doubt(
                "/spec/provider",
                "this provider is none of aws, gcp, gke, azure and vault, so what it mounts cannot be said",
            );
            Vec::new()
        }
    };
    secret_objects(&mut reach, spec.get("secretObjects"), &names);
    reach.target_at = "/spec/secretObjects";
    if object.is_kept {
        reach.files = names.into_iter().map(|(name, fill)| (name.into(), fill)).collect();
    }
    reach
}

/// A mounted file: its name, and what is in it as the fill that it would be.
pub(super) type Mounted = (String, Fill);

fn mounted(name: &str, access: u32, property: Option<&str>, is_changed: bool) -> Mounted {
    (name.to_owned(), Fill::key("", access, property).unless(is_changed))
}

/// Whether a field says anything.
fn is_set(entry: &Json<'_>, field: &str) -> bool {
    !entry.get(field).is_null() && entry.get(field).text() != Some("")
}

/// A parameter that holds YAML.
fn yaml(reach: &mut Reach, parameters: &Json<'_>, key: &str) -> Json<'static> {
    let at = format!("/spec/parameters/{key}");
    let Some(text) = reach.text(|| Pointer::to(&*at), parameters.get(key)) else { return Json::Null };
    parsed(reach, &at, text)
}

fn parsed(reach: &mut Reach, at: &str, text: &str) -> Json<'static> {
    strict_yaml::read(text).unwrap_or_else(|why| {
        reach.fault(at, format!("the YAML in it cannot be judged: {why}; write it plainly"));
        Json::Null
    })
}

/// Longest key that is repeated.
const KEY_CHARACTERS: usize = 40;

/// Fields that no provider knows in this spelling: one that looks at no case may take them all the same. `which` says of which
/// entry, with an `of` behind it. Gives whether it is a map at all.
fn exact(reach: &mut Reach, at: &str, which: Arguments<'_>, entry: &Json<'_>, known: &[&str]) -> bool {
    if !matches!(entry, Json::Map(_)) {
        reach.faults.say(|| (Pointer::to(at), format!("{which}the YAML in it must be a map")));
        return false;
    }
    for (key, _) in entry.fields().iter().filter(|(key, _)| !known.contains(&&**key)) {
        reach.faults.say(|| {
            let (key, known) = (message::cut(key, KEY_CHARACTERS), known.join(", "));
            let why = format!(
                "{which}the YAML in it has the key {key}; this provider has {known}, in this spelling"
            );
            (Pointer::to(at), why)
        });
    }
    true
}

fn aws(reach: &mut Reach, parameters: &Json<'_>) -> Vec<Mounted> {
    let known =
        ["failoverRegion", "objects", "pathTranslation", "preferredAddressType", "region", "usePodIdentity"];
    reach.known("/spec/parameters", parameters, &known);
    for key in ["region", "failoverRegion"] {
        if let Some(text) = reach.text(|| Pointer::to("/spec/parameters"), parameters.get(key)) {
            reach.identities.push((
                Pointer::to(format!("/spec/parameters/{key}")),
                Identity::Region,
                text.into(),
            ));
        }
    }
    let at = "/spec/parameters/objects";
    let objects = yaml(reach, parameters, "objects");
    let mut names = Vec::new();
    let secrets = Arc::new(Place::new(System::AwsSecretsManager, ""));
    // A parameter is one of its region, as `carriers.mappings` has it; without one here, the node says which.
    let regional = |key: &str| {
        let region = parameters.get(key).text().unwrap_or_default();
        Arc::new(Place::new(System::AwsParameterStore, region))
    };
    let (parameter_store, other_store) = (regional("region"), regional("failoverRegion"));
    let fails_over = is_set(parameters, "failoverRegion");
    for (index, entry) in reach.list(at, &objects).iter().enumerate() {
        let known = [
            "failoverObject",
            "filePermission",
            "jmesPath",
            "objectAlias",
            "objectName",
            "objectType",
            "objectVersion",
            "objectVersionLabel",
        ];
        if !exact(reach, at, format_args!("[{index}] of "), entry, &known) {
            continue;
        }
        let name = entry.get("objectName").text().unwrap_or_default();
        let place = match entry.get("objectType").text() {
            Some("ssmparameter") => &parameter_store,
            Some("secretsmanager") => &secrets,
            None if name.starts_with("arn:") && name.contains(":secretsmanager:") => &secrets,
            _ => {
                reach.faults.say(|| {
                    let why = "of the YAML in it must have the objectType secretsmanager or ssmparameter";
                    (Pointer::to(at), format!("[{index}] {why}"))
                });
                continue;
            }
        };
        let access = reach.access(Pointer::to(at), place, How::Read, name);
        let failover = entry.get("failoverObject");
        // Where the first region does not answer, it is the other one that is mounted.
        let is_another = !failover.is_null()
            && (failover.get("objectName").text() != Some(name) || is_versioned(failover));
        let is_old = is_versioned(entry) || is_another;
        let file =
            entry.get("objectAlias").text().map_or_else(|| translated(parameters, name), str::to_owned);
        names.push(mounted(&file, access, None, is_old));
        if !failover.is_null() {
            exact(
                reach,
                at,
                format_args!("[{index}].failoverObject of "),
                failover,
                &["objectName", "objectVersion", "objectVersionLabel"],
            );
        }
        // The other region is asked for the same name, unless another one is given.
        let is_parameter = place.system == Some(System::AwsParameterStore);
        if !failover.is_null() || (fails_over && is_parameter) {
            let other = if fails_over && is_parameter { &other_store } else { place };
            let name =
                if failover.is_null() { name } else { failover.get("objectName").text().unwrap_or_default() };
            reach.access(Pointer::to(at), other, How::Read, name);
        }
        for part in entry.get("jmesPath").items() {
            if !exact(
                reach,
                at,
                format_args!("[{index}].jmesPath of "),
                part,
                &["filePermission", "objectAlias", "path"],
            ) {
                continue;
            }
            // A path that is one name is a property; others are searched for.
            let property = part.get("path").text().unwrap_or_default();
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            let is_searched = property.is_empty()
                || property.as_bytes()[0].is_ascii_digit()
                || !property.bytes().all(is_name);
            let file = part.get("objectAlias").text().unwrap_or_default();
            names.push(mounted(file, access, Some(property), is_old || is_searched));
        }
    }
    names
}

/// Whether an entry, or its failover, names another version than the one of now.
fn is_versioned(entry: &Json<'_>) -> bool {
    let label = entry.get("objectVersionLabel");
    is_set(entry, "objectVersion")
        || (is_set(entry, "objectVersionLabel") && label.text() != Some("AWSCURRENT"))
}

/// The file of an object without an alias: slashes of its name become what `pathTranslation` says.
fn translated(parameters: &Json<'_>, name: &str) -> String {
    match parameters.get("pathTranslation").text() {
        Some("False") => name.to_owned(),
        // The provider takes one character; as long as it may be, this would be a megabyte for each slash.
        Some(by) if by.len() == 1 => name.replace('/', by),
        _ => name.replace('/', "_"),
    }
}

/// `projects/P/secrets/S/versions/V`, with `locations/L/` behind the project or not.
fn google(reach: &mut Reach, parameters: &Json<'_>) -> Vec<Mounted> {
    reach.known("/spec/parameters", parameters, &["auth", "secrets"]);
    let at = "/spec/parameters/secrets";
    let secrets = yaml(reach, parameters, "secrets");
    let mut names = Vec::new();
    for (index, entry) in reach.list(at, &secrets).iter().enumerate() {
        let known = &["extractJSONKey", "extractYAMLKey", "fileName", "mode", "path", "resourceName"];
        if !exact(reach, at, format_args!("[{index}] of "), entry, known) {
            continue;
        }
        let name = entry.get("resourceName").text().unwrap_or_default();
        let parts: Vec<&str> = name.splitn(10, '/').collect();
        let (project, secret, version) = match parts[..] {
            ["projects", project, "secrets", secret, "versions", version]
            | ["projects", project, "locations", _, "secrets", secret, "versions", version]
                // A location becomes a part of the host's name that is asked.
                if parts[2] != "locations" || is_location(parts[3]) =>
            {
                (project, secret, version)
            }
            _ => {
                reach.faults.say(|| {
                    let why = "of the YAML in it must have the resourceName projects/PROJECT/secrets/NAME/versions/VERSION";
                    (Pointer::to(at), format!("[{index}] {why}"))
                });
                continue;
            }
        };
        let place = Arc::new(Place::new(System::Google, project));
        let access = reach.access(Pointer::to(at), &place, How::Read, secret);
        let file = entry.get("fileName").text().or(entry.get("path").text()).unwrap_or_default();
        let property = entry.get("extractJSONKey").text().filter(|property| !property.is_empty());
        names.push(mounted(file, access, property, version != "latest" || is_set(entry, "extractYAMLKey")));
    }
    names
}

/// Clouds of Azure, in lower case, and what makes the host of a vault there; of the public one the name is enough.
const CLOUDS: [(&str, &str); 4] = [
    ("", ""),
    ("azurepubliccloud", ""),
    ("azurechinacloud", ".vault.azure.cn"),
    ("azureusgovernmentcloud", ".vault.usgovcloudapi.net"),
];

/// A map with one list, `array`, of strings that are YAML again.
fn azure(reach: &mut Reach, parameters: &Json<'_>) -> Vec<Mounted> {
    let known = [
        "clientID",
        "cloudName",
        "keyvaultName",
        "objects",
        "tenantID",
        "tenantId",
        "usePodIdentity",
        "useVMManagedIdentity",
        "userAssignedIdentityID",
    ];
    reach.known("/spec/parameters", parameters, &known);
    let vault = reach.text(|| Pointer::to("/spec/parameters/keyvaultName"), parameters.get("keyvaultName"));
    let cloud = reach.text(|| Pointer::to("/spec/parameters/cloudName"), parameters.get("cloudName"));
    let cloud = cloud.unwrap_or_default().to_ascii_lowercase();
    let suffix = CLOUDS.iter().find_map(|(name, suffix)| (*name == cloud).then_some(*suffix));
    if suffix.is_none() {
        let why = "it is none of AzurePublicCloud, AzureChinaCloud and AzureUSGovernmentCloud, so whose vault it is cannot be said";
        reach.doubt("/spec/parameters/cloudName", why);
    }
    let name = vault_name(vault.unwrap_or_default()) + suffix.unwrap_or(".");
    let place = Arc::new(Place::new(System::Azure, &name));
    let at = "/spec/parameters/objects";
    let objects = yaml(reach, parameters, "objects");
    exact(reach, at, format_args!(""), &objects, &["array"]);
    let mut names = Vec::new();
    for (index, text) in reach.list(at, objects.get("array")).iter().enumerate() {
        let Some(text) = text.text() else {
            reach
                .faults
                .say(|| (Pointer::to(at), format!("array[{index}] must be a string that holds YAML")));
            continue;
        };
        let entry = parsed(reach, at, text);
        let known = [
            "filePermission",
            "objectAlias",
            "objectEncoding",
            "objectFormat",
            "objectName",
            "objectType",
            "objectVersion",
            "objectVersionHistory",
        ];
        if !exact(reach, at, format_args!("array[{index}] of "), &entry, &known) {
            continue;
        }
        let name = entry.get("objectName").text().unwrap_or_default();
        if name.contains('/') {
            reach.fault(at, "names of Azure Key Vault have no slash");
        }
        let access = reach.access(Pointer::to(at), &place, How::Read, name);
        let is_changed = entry.get("objectType").text() != Some("secret")
            || ["objectVersion", "objectVersionHistory", "objectFormat", "objectEncoding"]
                .into_iter()
                .any(|field| is_set(&entry, field));
        names.push(mounted(entry.get("objectAlias").text().unwrap_or(name), access, None, is_changed));
    }
    names
}

fn vault(reach: &mut Reach, parameters: &Json<'_>) -> Vec<Mounted> {
    let known = [
        "audience",
        "objects",
        "roleName",
        "vaultAddress",
        "vaultAuthMountPath",
        "vaultCACertDirectory",
        "vaultCACertPath",
        "vaultKubernetesMountPath",
        "vaultNamespace",
        "vaultSkipTLSVerify",
        "vaultTLSClientCertPath",
        "vaultTLSClientKeyPath",
        "vaultTLSServerName",
    ];
    reach.known("/spec/parameters", parameters, &known);
    let tree = parameters.get("vaultNamespace").text().unwrap_or_default().trim_matches('/');
    let place = Arc::new(Place { tree: tree.into(), ..Place::new(System::Vault, "") });
    let at = "/spec/parameters/objects";
    let objects = yaml(reach, parameters, "objects");
    let mut names = Vec::new();
    for (index, entry) in reach.list(at, &objects).iter().enumerate() {
        let known =
            ["encoding", "filePermission", "method", "objectName", "secretArgs", "secretKey", "secretPath"];
        if !exact(reach, at, format_args!("[{index}] of "), entry, &known) {
            continue;
        }
        let reads = entry.get("method").text().is_none_or(|method| method.eq_ignore_ascii_case("GET"));
        if !reads || !entry.get("secretArgs").is_null() {
            reach.doubt(at, "an entry with method or secretArgs asks an engine to make something, which a path does not say");
        }
        let path = entry.get("secretPath").text().unwrap_or_default().trim_start_matches('/');
        let access = reach.access(Pointer::to(at), &place, How::Read, path);
        // Without a key all of Vault's answer is the file.
        let property = entry.get("secretKey").text().filter(|property| !property.is_empty());
        let is_changed = property.is_none()
            || ["encoding", "method", "secretArgs"].into_iter().any(|field| is_set(entry, field));
        names.push(mounted(entry.get("objectName").text().unwrap_or_default(), access, property, is_changed));
    }
    names
}
