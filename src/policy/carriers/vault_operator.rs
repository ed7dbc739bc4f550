//! Vault Secrets Operator: static secrets by mount and path; what engines make is not decided.
//!
//! Source: hashicorp/vault-secrets-operator `api/v1beta1`.

use std::sync::Arc;

use super::doc::Doc;
use super::json::Json;
use super::place::{Place, System};
use super::reach::{Fill, How, Pointer, Reach};
use super::{Carrier, Foreign, Handling, Kind};
use crate::policy::workload::json::escape;

/// The carrier.
pub const CARRIER: Carrier = Carrier {
    id: "vault-secrets-operator",
    title: "Vault Secrets Operator",
    kinds: &[
        kind(
            "VaultStaticSecret",
            "vaultstaticsecrets",
            Handling::Judged { read: static_secret, watched: true },
        ),
        kind("VaultDynamicSecret", "vaultdynamicsecrets", Handling::Judged { read: made, watched: false }),
        kind("VaultPKISecret", "vaultpkisecrets", Handling::Judged { read: made, watched: false }),
        kind("HCPVaultSecretsApp", "hcpvaultsecretsapps", Handling::Judged { read: made, watched: false }),
        kind("CSISecrets", "csisecrets", Handling::Judged { read: csi, watched: false }),
        kind(
            "SecretTransformation",
            "secrettransformations",
            Handling::Judged { read: transformation, watched: false },
        ),
        kind("VaultAuth", "vaultauths", Handling::Judged { read: login, watched: false }),
        kind("VaultAuthGlobal", "vaultauthglobals", Handling::Judged { read: login, watched: false }),
        kind("VaultConnection", "vaultconnections", Handling::Judged { read: login, watched: false }),
        // What it is for is not judged.
        kind("HCPAuth", "hcpauths", Handling::Harmless),
    ],
    doc: Doc {
        summary: "VaultStaticSecrets name a mount and a path; RefGate maps them to the scope by `carriers.mappings`",
        fields: &[
            ("VaultStaticSecret spec.mount, spec.path, spec.namespace", "read"),
            ("VaultStaticSecret spec.destination.name", "filled"),
            (
                "VaultStaticSecret spec.destination.transformation.excludeRaw",
                "`true` leaves out `_raw`, the whole secret once more; without it `refgate.dev/env-from` does not take the Secret",
            ),
            ("CSISecrets spec.namespace, spec.secrets.vaultStaticSecrets[].mount, .path", "read"),
            (
                "VaultAuth, VaultAuthGlobal, VaultConnection spec.namespace, spec.headers",
                "another tree of the same names",
            ),
        ],
        enforced: &[
            "The path lies inside the namespace's scope, in a mount that a row of `carriers.mappings` gives it; no `..`, which Vault's client would resolve.",
            "Plaintext in transformations is judged like that of a ConfigMap.",
        ],
        undecidable: &[
            "What engines make (VaultDynamicSecret, VaultPKISecret) and HCP apps: see `carriers.undecided`.",
            "A VaultAuth or VaultConnection that leads to another namespace of Vault: whoever logs in by it reads that tree. See `carriers.undecided`.",
            "Which role logs in: Vault's policies must hold it to its scope.",
        ],
        beside: "One Vault role for each namespace, with the policy `path \"MOUNT/data/GROUP/APP/ENV/*\" { capabilities = [\"read\"] }`.",
    },
};

const fn kind(kind: &'static str, resource: &'static str, handling: Handling) -> Kind {
    Kind {
        group: "secrets.hashicorp.com",
        versions: &["v1beta1"],
        kind,
        resource,
        cluster_scoped: false,
        handling,
    }
}

/// Mount and type, as `mount` and `type` say, in a namespace of Vault.
fn place(spec: &Json<'_>, tree: &Json<'_>) -> Arc<Place> {
    let text = |key: &str| spec.get(key).text().unwrap_or_default().trim_matches('/');
    let place = Place::new(System::Vault, text("mount"));
    Arc::new(Place {
        tree: tree.text().unwrap_or_default().trim_matches('/').into(),
        is_kv2: text("type") != "kv-v1",
        is_exact: true,
        ..place
    })
}

fn path(reach: &mut Reach, at: &str, spec: &Json<'_>, place: &Arc<Place>) -> Option<u32> {
    let pointer = || Pointer::to(format!("{at}/path"));
    if place.name.is_empty() {
        reach.fault(&format!("{at}/mount"), "the mount is missing");
    }
    match reach.text(pointer, spec.get("path")) {
        Some(path) => Some(reach.access(pointer(), place, How::Read, path)),
        None => {
            reach.faults.push((pointer(), "the remote path is missing".to_owned()));
            None
        }
    }
}

fn static_secret(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    reach.known("", &object.json, &["apiVersion", "kind", "metadata", "spec"]);
    let spec = object.json.get("spec");
    let known = [
        "destination",
        "hmacSecretData",
        "mount",
        "namespace",
        "path",
        "refreshAfter",
        "rolloutRestartTargets",
        "syncConfig",
        "type",
        "vaultAuthRef",
        "version",
    ];
    reach.known("/spec", spec, &known);
    let access = path(&mut reach, "/spec", spec, &place(spec, spec.get("namespace")));
    let destination = spec.get("destination");
    reach.copiers("/spec/destination/annotations", destination.get("annotations"));
    reach.labels("/spec/destination/labels", destination.get("labels"));
    templates(
        &mut reach,
        "/spec/destination/transformation/templates",
        destination.get("transformation").get("templates"),
    );
    let name = reach.text(|| Pointer::to("/spec/destination/name"), destination.get("name"));
    if let (Some(name), Some(access)) = (name, access) {
        (reach.target, reach.target_at) = (Some(name.into()), "/spec/destination/name");
        // Without a transformation every property has a key of its own name; `_raw` beside them is all of it once more, which
        // is nobody's property.
        let transformation = destination.get("transformation");
        let is_changed =
            transformation.fields().iter().any(|(key, value)| key != "excludeRaw" && !value.is_null());
        let is_old = !spec.get("version").is_null();
        reach.fill(Fill::each(access).unless(is_changed || is_old));
        if *transformation.get("excludeRaw") != Json::Bool(true) {
            reach.fill(Fill::other(Some("_raw")));
        }
    }
    reach
}

fn templates(reach: &mut Reach, at: &str, templates: &Json<'_>) {
    for (name, template) in templates.fields() {
        if let Some(text) = template.get("text").text() {
            reach.literal(Pointer::to(format!("{at}/{name}/text")), Some(name), text);
        }
    }
}

fn made(_: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    reach.doubt(
        "/spec",
        "what an engine of Vault makes stands under no path of a scope; write a VaultStaticSecret",
    );
    reach
}

fn csi(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    reach.known("", &object.json, &["apiVersion", "kind", "metadata", "spec"]);
    let spec = object.json.get("spec");
    reach.known("/spec", spec, &["accessControl", "namespace", "secrets", "syncConfig", "vaultAuthRef"]);
    let secrets = spec.get("secrets");
    let base = "/spec/secrets/vaultStaticSecrets";
    for (index, entry) in reach.list(base, secrets.get("vaultStaticSecrets")).iter().enumerate() {
        let at = format!("{base}/{index}");
        reach.known(&at, entry, &["mount", "path", "transformation", "type", "version"]);
        path(&mut reach, &at, entry, &place(entry, spec.get("namespace")));
    }
    reach.known("/spec/secrets", secrets, &["transformation", "vaultStaticSecrets"]);
    reach
}

/// What VaultAuth, VaultAuthGlobal and VaultConnection have.
const LOGIN: [&str; 22] = [
    "address",
    "allowedNamespaces",
    "appRole",
    "aws",
    "caCertSecretRef",
    "defaultAuthMethod",
    "defaultMount",
    "defaultVaultNamespace",
    "gcp",
    "headers",
    "jwt",
    "kubernetes",
    "method",
    "mount",
    "namespace",
    "params",
    "skipTLSVerify",
    "storageEncryption",
    "timeout",
    "tlsServerName",
    "vaultAuthGlobalRef",
    "vaultConnectionRef",
];

/// Who reads, and where: paths are judged where they are named, and Vault's own policies say what a role reads. But a namespace
/// of Vault that stands here holds for every path that names none.
fn login(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    reach.known("", &object.json, &["apiVersion", "kind", "metadata", "spec"]);
    let spec = object.json.get("spec");
    reach.known("/spec", spec, &LOGIN);
    elsewhere(&mut reach, "/spec", spec);
    for (method, settings) in spec.fields() {
        // The namespace of a VaultAuthGlobal is one of Kubernetes.
        if method != "vaultAuthGlobalRef" {
            elsewhere(&mut reach, &format!("/spec/{}", escape(method)), settings);
        }
    }
    let aws = spec.get("aws");
    if !aws.is_null() && aws.get("secretRef").is_null() && aws.get("irsaServiceAccount").is_null() {
        let why = "without secretRef or irsaServiceAccount the operator's own identity logs in, at any server that a VaultConnection \
                   names";
        reach.doubt("/spec/aws", why);
    }
    reach
}

/// What of a login leads to another namespace of Vault, and the Secrets that it names.
fn elsewhere(reach: &mut Reach, at: &str, settings: &Json<'_>) {
    for field in ["namespace", "defaultVaultNamespace", "headers"] {
        let value = settings.get(field);
        if value.text().is_some_and(|text| !text.is_empty()) || !value.fields().is_empty() {
            reach.doubt(
                &format!("{at}/{field}"),
                "it leads to another namespace of Vault, so a path that is read by it is another one; write spec.namespace \
                 where the path stands",
            );
        }
    }
    for field in ["secretRef", "caCertSecretRef"] {
        if let Some(name) = settings.get(field).text() {
            reach.secrets.push((Pointer::to(format!("{at}/{field}")), name.into()));
        }
    }
}

fn transformation(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    templates(&mut reach, "/spec/templates", object.json.get("spec").get("templates"));
    reach
}
