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

fn read(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    // `secretDescriptor` in the place of `spec` is still read by the controller.
    reach.known("", &object.json, &["apiVersion", "kind", "metadata", "spec"]);
    let spec = object.json.get("spec");
    reach.known("/spec", spec, &SPEC);
    for (key, identity) in [("region", Identity::Region), ("roleArn", Identity::Role)] {
        let at = || Pointer::to(format!("/spec/{key}"));
        if let Some(text) = reach.text(at, spec.get(key)) {
            reach.identities.push((at(), identity, text.into()));
        }
    }
    let place = Arc::new(place(&mut reach, spec));
    (reach.target, reach.target_at) = (Some(object.name().into()), "/metadata/name");
    data(&mut reach, spec, &place);
    for (index, entry) in (0..).zip(reach.list("/spec/dataFrom", spec.get("dataFrom"))) {
        let at = || Pointer::Item("/spec/dataFrom", index, "");
        match entry.text() {
            Some(key) => all_properties(&mut reach, at(), &place, key, false),
            None => reach.faults.push((at(), "text belongs here".to_owned())),
        }
    }
    for (index, entry) in (0..).zip(reach.list("/spec/dataFromWithOptions", spec.get("dataFromWithOptions")))
    {
        let at = || Pointer::Item("/spec/dataFromWithOptions", index, "key");
        reach.known(
            format_args!("/spec/dataFromWithOptions/{index}"),
            entry,
            &["isBinary", "key", "versionId", "versionStage"],
        );
        match reach.text(at, entry.get("key")) {
            Some(key) => all_properties(&mut reach, at(), &place, key, is_changed(entry)),
            None => reach.faults.push((at(), "the remote path is missing".to_owned())),
        }
    }
    let template = spec.get("template");
    // It is merged over what the controller makes: a name there would be that of another Secret.
    reach.known(
        "/spec/template",
        template,
        &["apiVersion", "data", "kind", "metadata", "stringData", "type"],
    );
    reach.known("/spec/template/metadata", template.get("metadata"), &["annotations", "labels"]);
    reach.copiers("/spec/template/metadata/annotations", template.get("metadata").get("annotations"));
    reach.labels("/spec/template/metadata/labels", template.get("metadata").get("labels"));
    walk(&mut reach, "/spec/template", None, template);
    merge(&mut reach, template);
    reach
}

fn all_properties(reach: &mut Reach, at: Pointer, place: &Arc<Place>, key: &str, is_changed: bool) {
    let access = reach.access(at, place, How::Read, key);
    reach.fills.push(Fill::each(access).unless(is_changed));
}

fn place(reach: &mut Reach, spec: &Json<'_>) -> Place {
    let text = |key: &str| spec.get(key).text().unwrap_or_default();
    match reach.text(|| Pointer::to("/spec/backendType"), spec.get("backendType")) {
        Some("secretsManager") => Place::new(System::AwsSecretsManager, ""),
        Some("systemManager") => Place::new(System::AwsParameterStore, text("region")),
        // `vaultMountPoint` is where it logs in; the mount of the secrets stands in each key.
        Some("vault") => Place::new(System::Vault, ""),
        Some("azureKeyVault") => Place::new(System::Azure, &vault_name(text("keyVaultName"))),
        Some("gcpSecretsManager") => Place::new(System::Google, text("projectId")),
        other => Place::unknown(other.unwrap_or_default()),
    }
}

fn data(reach: &mut Reach, spec: &Json<'_>, place: &Arc<Place>) {
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
    for (index, entry) in (0..).zip(reach.list("/spec/data", spec.get("data"))) {
        reach.known(format_args!("/spec/data/{index}"), entry, &known);
        let at = |tail: &'static str| Pointer::Item("/spec/data", index, tail);
        let key = reach.text(|| at("key"), entry.get("key"));
        let path = reach.text(|| at("path"), entry.get("path"));
        if key.is_none() && path.is_none() {
            reach.faults.push((at("key"), "the remote path is missing".to_owned()));
        }
        if let Some(path) = path {
            reach.access(at("path"), place, How::Find, path);
            // Entries are merged in their order, and what is found here may have any name.
            reach.fills.iter_mut().for_each(|fill| fill.is_value = false);
            reach.fills.push(Fill::other(None));
        }
        let Some(key) = key else { continue };
        if place.system == Some(System::Azure) && key.contains('/') {
            reach.faults.push((at("key"), "names of Azure Key Vault have no slash".to_owned()));
        }
        let access = reach.access(at("key"), place, How::Read, key);
        let property = reach.text(|| at("property"), entry.get("property"));
        // Beside a path the controller reads no key.
        if let Some(name) = reach.text(|| at("name"), entry.get("name")).filter(|_| path.is_none()) {
            reach.fills.push(Fill::key(name, access, property).unless(is_changed(entry)));
        }
    }
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
