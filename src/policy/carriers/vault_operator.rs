//! Vault Secrets Operator: static secrets by mount and path; what engines make is not decided.
//!
//! Source: hashicorp/vault-secrets-operator `api/v1beta1`.

use std::sync::Arc;

use super::doc::Doc;
use super::json::Json;
use super::place::{Place, System};
use super::reach::{Access, Fill, How, Pointer, Reach, Source};
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
        kind("VaultDynamicSecret", "vaultdynamicsecrets", Handling::Judged { read: dynamic, watched: true }),
        kind("VaultPKISecret", "vaultpkisecrets", Handling::Judged { read: certificate, watched: true }),
        kind("HCPVaultSecretsApp", "hcpvaultsecretsapps", Handling::Judged { read: app, watched: true }),
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
            (
                "VaultDynamicSecret spec.mount, spec.path",
                "read, where a row of `carriers.mappings` names the mount: an engine of keys and values then",
            ),
            (
                "`spec.destination.name` of these, of VaultPKISecret and of HCPVaultSecretsApp",
                "filled; it is never a Secret that RefGate syncs",
            ),
            (
                "`spec.destination.annotations`, `.labels`, `.transformation` of these",
                "become a part of the Secret: no replicator, and plaintext is judged",
            ),
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
            "Plaintext in transformations, those of a SecretTransformation and of CSISecrets too, in annotations of the Secret that is filled, in \
             addresses and in headers is judged like that of a ConfigMap.",
            "A Secret that a VaultDynamicSecret, a VaultPKISecret or an HCPVaultSecretsApp fills is no way in for pods while the object would be refused.",
        ],
        undecidable: &[
            "What engines make (VaultDynamicSecret, VaultPKISecret) and HCP apps: see `carriers.undecided`.",
            "A VaultAuth or VaultConnection that leads to another namespace of Vault: whoever logs in by it reads that tree. See `carriers.undecided`.",
            "A VaultAuth of another namespace (`vaultAuthRef: NAMESPACE/NAME`), which says where in Vault a path is read. See `carriers.undecided`.",
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
    let own = object.json.get("metadata").get("namespace").text().unwrap_or_default();
    let auth = spec.get("vaultAuthRef").text().and_then(|text| text.split_once('/'));
    login_of(&mut reach, "/spec/vaultAuthRef", auth.map(|(namespace, _)| namespace), own);
    let refs = spec.get("destination").get("transformation").get("transformationRefs").items();
    for (index, inner) in refs.iter().enumerate() {
        if inner.get("namespace").text().is_some_and(|namespace| !namespace.is_empty() && namespace != own) {
            let at = format!("/spec/destination/transformation/transformationRefs/{index}/namespace");
            let note = "the templates of this transformation stand in another namespace, so what they make of the secret was not seen";
            reach.notes.push((Pointer::to(at), note.to_owned()));
        }
    }
    let name = destination(&mut reach, spec.get("destination"));
    if let (Some(name), Some(access)) = (name, access) {
        (reach.target, reach.target_at) = (Some(name.into()), NAME);
        // Without a transformation every property has a key of its own name; `_raw` beside them is all of it once more, which
        // is nobody's property.
        let transformation = spec.get("destination").get("transformation");
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

/// Where the name of a Secret stands that is filled.
const NAME: &str = "/spec/destination/name";

/// What is said of the Secret that is filled, and gives its name.
fn destination<'j>(reach: &mut Reach, destination: &'j Json<'_>) -> Option<&'j str> {
    let at = "/spec/destination";
    let known = ["annotations", "create", "labels", "name", "overwrite", "transformation", "type"];
    reach.known(at, destination, &known);
    reach.copiers("/spec/destination/annotations", destination.get("annotations"));
    reach.texts("/spec/destination/annotations", destination.get("annotations"));
    reach.labels("/spec/destination/labels", destination.get("labels"));
    inline(reach, &format!("{at}/transformation"), destination.get("transformation"));
    reach.text(|| Pointer::to(NAME), destination.get("name")).filter(|name| !name.is_empty())
}

/// A transformation that stands in the object itself.
fn inline(reach: &mut Reach, at: &str, transformation: &Json<'_>) {
    let known = ["excludeRaw", "excludes", "includes", "templates", "transformationRefs"];
    reach.known(at, transformation, &known);
    let refs = format!("{at}/transformationRefs");
    for (index, entry) in reach.list(&refs, transformation.get("transformationRefs")).iter().enumerate() {
        let known = ["ignoreExcludes", "ignoreIncludes", "name", "namespace", "templateRefs"];
        reach.known(format_args!("{refs}/{index}"), entry, &known);
    }
    templates(reach, &format!("{at}/templates"), transformation.get("templates"));
}

/// A VaultAuth of another namespace says in which namespace of Vault a path lies, and there nobody of this one judged it.
fn login_of(reach: &mut Reach, at: &str, namespace: Option<&str>, own: &str) {
    if namespace.is_some_and(|namespace| !namespace.is_empty() && namespace != own) {
        let why = "this login is of another namespace, which says where in Vault the path is read; name a VaultAuth of this one, or leave \
                   it out for the operator's own";
        reach.doubt(at, why);
    }
}

fn templates(reach: &mut Reach, at: &str, templates: &Json<'_>) {
    for (name, entry) in templates.fields() {
        template(reach, &format!("{at}/{}", escape(name)), name, entry);
    }
}

fn template(reach: &mut Reach, at: &str, name: &str, template: &Json<'_>) {
    reach.known(at, template, &["name", "text"]);
    let pointer = || Pointer::to(format!("{at}/text"));
    if let Some(text) = reach.text(pointer, template.get("text")) {
        reach.literal(pointer(), Some(name), text);
    }
}

fn dynamic(object: &Foreign<'_>) -> Reach {
    let known = [
        "allowStaticCreds",
        "destination",
        "mount",
        "namespace",
        "params",
        "path",
        "refreshAfter",
        "renewalPercent",
        "requestHTTPMethod",
        "revoke",
        "rolloutRestartTargets",
        "vaultAuthRef",
    ];
    let mut reach = made(object, &known);
    let spec = object.json.get("spec");
    let mut text = |field: &str| {
        let text = reach.text(|| Pointer::to(format!("/spec/{field}")), spec.get(field));
        text.unwrap_or_default().trim_matches('/').to_owned()
    };
    // The operator joins the two, and whatever stands in them, the client of Vault then takes apart.
    let key = format!("{}/{}", text("mount"), text("path"));
    if key.split('/').any(|segment| segment.is_empty() || segment == "." || segment == "..") {
        reach.fault("/spec/path", "mount and path have no empty segments, no . and no ..");
    }
    let tree = spec.get("namespace").text().unwrap_or_default().trim_matches('/');
    let place = Arc::new(Place { tree: tree.into(), ..Place::new(System::Vault, "") });
    let source = Source::Engine(place);
    reach.accesses.push(Access { at: Pointer::to("/spec/path"), source, how: How::Read, key: key.into() });
    reach
}

fn certificate(object: &Foreign<'_>) -> Reach {
    let known = [
        "altNames",
        "clear",
        "commonName",
        "destination",
        "excludeCNFromSans",
        "expiryOffset",
        "format",
        "ipSans",
        "issuerRef",
        "mount",
        "namespace",
        "notAfter",
        "otherSans",
        "privateKeyFormat",
        "revoke",
        "role",
        "rolloutRestartTargets",
        "ttl",
        "uriSans",
        "userIDs",
        "vaultAuthRef",
    ];
    made(object, &known)
}

fn app(object: &Foreign<'_>) -> Reach {
    let known =
        ["appName", "destination", "hcpAuthRef", "refreshAfter", "rolloutRestartTargets", "syncConfig"];
    made(object, &known)
}

/// What an engine makes cannot be decided; what becomes of it can, whatever is done with doubts.
fn made(object: &Foreign<'_>, known: &[&str]) -> Reach {
    let mut reach = Reach::default();
    reach.known("", &object.json, &["apiVersion", "kind", "metadata", "spec"]);
    let spec = object.json.get("spec");
    reach.known("/spec", spec, known);
    reach.doubt(
        "/spec",
        "what an engine of Vault makes stands under no path of a scope; write a VaultStaticSecret",
    );
    if let Some(name) = destination(&mut reach, spec.get("destination")) {
        (reach.target, reach.target_at) = (Some(name.into()), NAME);
        reach.fills.push(Fill::other(None));
    }
    reach
}

fn csi(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    reach.known("", &object.json, &["apiVersion", "kind", "metadata", "spec"]);
    let spec = object.json.get("spec");
    reach.known("/spec", spec, &["accessControl", "namespace", "secrets", "syncConfig", "vaultAuthRef"]);
    let own = object.json.get("metadata").get("namespace").text().unwrap_or_default();
    login_of(
        &mut reach,
        "/spec/vaultAuthRef/namespace",
        spec.get("vaultAuthRef").get("namespace").text(),
        own,
    );
    let secrets = spec.get("secrets");
    let base = "/spec/secrets/vaultStaticSecrets";
    for (index, entry) in reach.list(base, secrets.get("vaultStaticSecrets")).iter().enumerate() {
        let at = format!("{base}/{index}");
        reach.known(&at, entry, &["mount", "path", "transformation", "type", "version"]);
        path(&mut reach, &at, entry, &place(entry, spec.get("namespace")));
        inline(&mut reach, &format!("{at}/transformation"), entry.get("transformation"));
    }
    inline(&mut reach, "/spec/secrets/transformation", secrets.get("transformation"));
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
    if let Some(address) = reach.text(|| Pointer::to("/spec/address"), spec.get("address")) {
        reach.literal(Pointer::to("/spec/address"), Some("address"), address);
    }
    reach.texts("/spec/headers", spec.get("headers"));
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
    reach.known("", &object.json, &["apiVersion", "kind", "metadata", "spec"]);
    let spec = object.json.get("spec");
    reach.known("/spec", spec, &["excludes", "includes", "sourceTemplates", "templates"]);
    templates(&mut reach, "/spec/templates", spec.get("templates"));
    let base = "/spec/sourceTemplates";
    for (index, entry) in reach.list(base, spec.get("sourceTemplates")).iter().enumerate() {
        template(&mut reach, &format!("{base}/{index}"), entry.get("name").text().unwrap_or_default(), entry);
    }
    reach
}
