//! kubernetes-external-secrets (archived): ExternalSecret of another group than External Secrets Operator's.
//!
//! Source: external-secrets/kubernetes-external-secrets `lib/poller.js`, `lib/backends`, `charts/…/crds`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::doc::Doc;
use super::json::Json;
use super::place::{Place, System};
use super::reach::{Fill, How, Identity, Pointer, Reach};
use super::secret_store::vault_name;
use super::{Carrier, Foreign, Handling, Kind};
use crate::policy::workload::json::escape;

/// The carrier.
pub const CARRIER: Carrier = Carrier {
    id: "kubernetes-external-secrets",
    title: "kubernetes-external-secrets",
    kinds: &[Kind {
        group: "kubernetes-client.io",
        versions: &["v1"],
        kind: "ExternalSecret",
        resource: "externalsecrets",
        cluster_scoped: false,
        handling: Handling::Judged { read, watched: true },
    }],
    doc: Doc {
        summary: "its ExternalSecrets name a path and a role themselves, and its own check of namespaces has holes; RefGate judges all of them",
        fields: &[
            ("spec.data[].key", "read"),
            ("spec.data[].path", "the beginning of what is read"),
            ("spec.dataFrom[]", "read; all properties"),
            ("spec.dataFromWithOptions[].key", "read; all properties"),
            ("spec.roleArn, spec.region", "whose secrets"),
            ("spec.template", "merged into the Secret"),
        ],
        enforced: &[
            "Paths lie inside the namespace's scope or its shared paths.",
            "Roles are of accounts in `aws.accounts`, regions are in `aws.regions`.",
            "Templates hold no lodash (`<% %>`): it is JavaScript that the controller runs.",
            "Plaintext in templates is judged like that of a ConfigMap.",
        ],
        undecidable: &["Alibaba, IBM and Akeyless: their paths are none that RefGate judges."],
        beside: "Give the controller's role the scopes of this cluster only, and set ENFORCE_NAMESPACE_ANNOTATIONS for roles.",
    },
};

const SPEC: [&str; 15] = [
    "backendType",
    "controllerId",
    "data",
    "dataFrom",
    "dataFromWithOptions",
    "keyByName",
    "keyVaultName",
    "kvVersion",
    "projectId",
    "region",
    "roleArn",
    "template",
    "type",
    "vaultMountPoint",
    "vaultRole",
];

/// Where the spec stands: its lists need pointers that are known beforehand.
struct At {
    spec: &'static str,
    data: &'static str,
    properties: &'static str,
    data_from: &'static str,
    with_options: &'static str,
}

const SPEC_AT: At = At {
    spec: "/spec",
    data: "/spec/data",
    properties: "/spec/properties",
    data_from: "/spec/dataFrom",
    with_options: "/spec/dataFromWithOptions",
};
/// How the first versions called the spec.
const DESCRIPTOR_AT: At = At {
    spec: "/secretDescriptor",
    data: "/secretDescriptor/data",
    properties: "/secretDescriptor/properties",
    data_from: "/secretDescriptor/dataFrom",
    with_options: "/secretDescriptor/dataFromWithOptions",
};

fn read(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    // `secretDescriptor` in the place of `spec` is still read by the controller. Which of the two counts is not decided, but
    // what either names is judged.
    reach.known("", &object.json, &["apiVersion", "kind", "metadata", "spec"]);
    (reach.target, reach.target_at) = (Some(object.name().into()), "/metadata/name");
    spec(&mut reach, &SPEC_AT, object.json.get("spec"));
    let descriptor = object.json.get("secretDescriptor");
    if !descriptor.is_null() {
        spec(&mut reach, &DESCRIPTOR_AT, descriptor);
        reach.fills.iter_mut().for_each(|fill| fill.is_value = false);
        reach.fill(Fill::other(None));
    }
    reach
}

fn spec(reach: &mut Reach, at: &At, spec: &Json<'_>) {
    reach.known(at.spec, spec, &SPEC);
    for (key, identity) in [("region", Identity::Region), ("roleArn", Identity::Role)] {
        let pointer = || Pointer::to(format!("{}/{key}", at.spec));
        if let Some(text) = reach.text(pointer, spec.get(key)) {
            reach.identities.push((pointer(), identity, text.into()));
        }
    }
    let place = Arc::new(place(reach, at, spec));
    data(reach, at.data, spec.get("data"), &place);
    data(reach, at.properties, spec.get("properties"), &place);
    for (index, entry) in (0..).zip(reach.list(at.data_from, spec.get("dataFrom"))) {
        let item = || Pointer::Item(at.data_from, index, "");
        match entry.text() {
            Some(key) => all_properties(reach, item(), &place, key, false),
            None => reach.faults.push((item(), "text belongs here".to_owned())),
        }
    }
    for (index, entry) in (0..).zip(reach.list(at.with_options, spec.get("dataFromWithOptions"))) {
        let item = || Pointer::Item(at.with_options, index, "key");
        let known = ["isBinary", "key", "versionId", "versionStage"];
        reach.known(format_args!("{}/{index}", at.with_options), entry, &known);
        match reach.text(item, entry.get("key")) {
            Some(key) => all_properties(reach, item(), &place, key, is_changed(entry)),
            None => reach.faults.push((item(), "the remote path is missing".to_owned())),
        }
    }
    template(reach, &format!("{}/template", at.spec), spec.get("template"));
}

fn template(reach: &mut Reach, at: &str, template: &Json<'_>) {
    // It is merged over what the controller makes: a name there would be that of another Secret.
    reach.known(at, template, &["apiVersion", "data", "kind", "metadata", "stringData", "type"]);
    let metadata = template.get("metadata");
    reach.known(format_args!("{at}/metadata"), metadata, &["annotations", "labels"]);
    reach.copiers(&format!("{at}/metadata/annotations"), metadata.get("annotations"));
    reach.labels(&format!("{at}/metadata/labels"), metadata.get("labels"));
    walk(reach, at, None, template);
    merge(reach, template);
}

fn all_properties(reach: &mut Reach, at: Pointer, place: &Arc<Place>, key: &str, is_changed: bool) {
    let access = named(reach, at, place, key);
    reach.fill(Fill::each(access).unless(is_changed));
}

/// One remote path. Whatever stands before a slash, this controller asks Azure for the whole of it.
fn named(reach: &mut Reach, at: Pointer, place: &Arc<Place>, key: &str) -> u32 {
    if place.system == Some(System::Azure) && key.contains('/') {
        reach.faults.say(|| (at.clone(), "names of Azure Key Vault have no slash".to_owned()));
    }
    reach.access(at, place, How::Read, key)
}

fn place(reach: &mut Reach, at: &At, spec: &Json<'_>) -> Place {
    let text = |key: &str| spec.get(key).text().unwrap_or_default();
    let version = spec.get("kvVersion");
    if !matches!(version, Json::Null | Json::Number(Some(1 | 2))) {
        reach.fault(&format!("{}/kvVersion", at.spec), "the version of an engine of Vault is 1 or 2");
    }
    match reach.text(|| Pointer::to(format!("{}/backendType", at.spec)), spec.get("backendType")) {
        Some("secretsManager") => Place::new(System::AwsSecretsManager, ""),
        Some("systemManager") => Place::new(System::AwsParameterStore, text("region")),
        // `vaultMountPoint` is where it logs in; the mount of the secrets stands in each key. In version 1 a `data/` behind it is
        // a part of the path.
        Some("vault") => Place { is_kv2: *version != Json::Number(Some(1)), ..Place::new(System::Vault, "") },
        Some("azureKeyVault") => Place::new(System::Azure, &vault_name(text("keyVaultName"))),
        Some("gcpSecretsManager") => Place::new(System::Google, text("projectId")),
        other => Place::unknown(other.unwrap_or_default()),
    }
}

fn data(reach: &mut Reach, base: &'static str, list: &Json<'_>, place: &Arc<Place>) {
    let known = [
        "isBinary",
        "key",
        "name",
        "path",
        "property",
        "recursive",
        "secretType",
        "version",
        "versionId",
        "versionStage",
    ];
    // Entries are merged in their order, and what a path finds may have any name: nothing before the last one is sure.
    let mut unsure = 0;
    for (index, entry) in (0..).zip(reach.list(base, list)) {
        reach.known(format_args!("{base}/{index}"), entry, &known);
        let at = |tail: &'static str| Pointer::Item(base, index, tail);
        let key = reach.text(|| at("key"), entry.get("key"));
        let path = reach.text(|| at("path"), entry.get("path"));
        if key.is_none() && path.is_none() {
            reach.faults.say(|| (at("key"), "the remote path is missing".to_owned()));
        }
        if let Some(path) = path {
            reach.access(at("path"), place, How::Find, path);
            unsure = reach.fills.len();
            reach.fill(Fill::other(None));
        }
        let Some(key) = key else { continue };
        let access = named(reach, at("key"), place, key);
        let property = reach.text(|| at("property"), entry.get("property"));
        // Beside a path the controller reads no key.
        if let Some(name) = reach.text(|| at("name"), entry.get("name")).filter(|_| path.is_none()) {
            reach.fill(Fill::key(name, access, property).unless(is_changed(entry)));
        }
    }
    reach.fills.iter_mut().take(unsure).for_each(|fill| fill.is_value = false);
}

/// Whether something else arrives than the value as the secret manager has it now.
fn is_changed(entry: &Json<'_>) -> bool {
    let is_set = |field: &str| {
        !matches!(entry.get(field), Json::Null | Json::Bool(false)) && entry.get(field).text() != Some("")
    };
    let stage = entry.get("versionStage");
    ["isBinary", "secretType", "version", "versionId"].into_iter().any(is_set)
        || (is_set("versionStage") && stage.text() != Some("AWSCURRENT"))
}

/// A template is merged over the Secret: its data goes before what was read, and its name before that of the object.
fn merge(reach: &mut Reach, template: &Json<'_>) {
    let parts = ["data", "stringData"].into_iter().flat_map(|part| template.get(part).fields());
    let keys: BTreeSet<&str> = parts.map(|(key, _)| &**key).collect();
    reach.fills.retain(|fill| fill.key.as_deref().is_none_or(|key| !keys.contains(key)));
    reach.fills.extend(keys.into_iter().map(|key| Fill::other(Some(key))));
    let metadata = template.get("metadata");
    if !metadata.get("name").is_null() || !metadata.get("namespace").is_null() {
        let name = metadata.get("name").text().filter(|_| metadata.get("namespace").is_null());
        (reach.target, reach.fills) = (name.map(Into::into), vec![Fill::other(None)]);
        reach.target_at = "/spec/template/metadata/name";
    }
}

/// A template is merged into the Secret, whatever stands in it.
fn walk(reach: &mut Reach, at: &str, name: Option<&str>, value: &Json<'_>) {
    for (key, inner) in value.fields() {
        walk(reach, &format!("{at}/{}", escape(key)), Some(key), inner);
    }
    for (index, inner) in value.items().iter().enumerate() {
        walk(reach, &format!("{at}/{index}"), name, inner);
    }
    if let Some(text) = value.text() {
        if text.contains("<%") || text.contains("${") {
            reach.fault(at, "a lodash template is JavaScript that the controller runs; leave it out");
        }
        reach.literal(Pointer::to(at), name, text);
    }
}
