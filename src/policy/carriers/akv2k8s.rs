//! akv2k8s: AzureKeyVaultSecrets, which name a vault and an object.
//!
//! Source: SparebankenVest/azure-key-vault-to-kubernetes `pkg/k8s/apis/azurekeyvault`.

use std::sync::Arc;

use super::doc::Doc;
use super::json::Json;
use super::place::{Place, System};
use super::reach::{Fill, How, Pointer, Reach};
use super::secret_store::vault_name;
use super::{Carrier, Foreign, Handling, Kind};

/// The carrier.
pub const CARRIER: Carrier = Carrier {
    id: "akv2k8s",
    title: "Azure Key Vault to Kubernetes",
    kinds: &[Kind {
        group: "spv.no",
        versions: &["v2beta1", "v1", "v1alpha1", "v2alpha1"],
        kind: "AzureKeyVaultSecret",
        resource: "azurekeyvaultsecrets",
        cluster_scoped: false,
        handling: Handling::Judged { read, watched: true },
    }],
    doc: Doc {
        summary: "objects of a vault; a row of `carriers.mappings` gives a vault, or names in it, to a scope",
        fields: &[
            ("AzureKeyVaultSecret spec.vault.name, spec.vault.object.name", "read"),
            ("spec.output.secret", "filled"),
            ("env `NAME@azurekeyvault`", "names an AzureKeyVaultSecret; refused in bound namespaces"),
        ],
        enforced: &[
            "The vault and the name are what `carriers.mappings` gives to the namespace's scope.",
            "Nothing goes into a ConfigMap (`spec.output.configMap`).",
        ],
        undecidable: &["Which identity reads: Azure must hold it to the vaults of this cluster."],
        beside: "The managed identity gets `get` on secrets of the vaults of this cluster only.",
    },
};

fn read(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    reach.known("", &object.json, &["apiVersion", "kind", "metadata", "spec"]);
    let spec = object.json.get("spec");
    reach.known("/spec", spec, &["output", "vault"]);
    let vault = spec.get("vault");
    reach.known("/spec/vault", vault, &["azureIdentity", "name", "object"]);
    let wanted = vault.get("object");
    reach.known("/spec/vault/object", wanted, &["contentType", "name", "poll", "type", "version"]);
    let place =
        Arc::new(Place::new(System::Azure, &vault_name(vault.get("name").text().unwrap_or_default())));
    let at = || Pointer::to("/spec/vault/object/name");
    let name = reach.text(at, wanted.get("name")).unwrap_or_default();
    if name.contains('/') {
        reach.fault("/spec/vault/object/name", "names of Azure Key Vault have no slash");
    }
    let access = reach.access(at(), &place, How::Read, name);
    let output = spec.get("output");
    reach.known("/spec/output", output, &["configMap", "secret", "transform"]);
    if !output.get("configMap").is_null() {
        reach.fault(
            "/spec/output/configMap",
            "it writes a secret into a ConfigMap, where many may read it; write spec.output.secret",
        );
    }
    let secret = output.get("secret");
    reach.known("/spec/output/secret", secret, &["chainOrder", "dataKey", "name", "type"]);
    if let Some(target) = reach.text(|| Pointer::to("/spec/output/secret/name"), secret.get("name")) {
        (reach.target, reach.target_at) = (Some(target.into()), "/spec/output/secret/name");
        let key = reach.text(|| Pointer::to("/spec/output/secret/dataKey"), secret.get("dataKey"));
        reach.fill(fill(wanted, output, key, access));
    }
    reach
}

/// A secret goes under one key as it is, or each property of JSON under its own; certificates and keys become something else.
fn fill(wanted: &Json<'_>, output: &Json<'_>, key: Option<&str>, access: u32) -> Fill {
    let is_set = |value: &Json<'_>| !value.is_null() && value.text() != Some("");
    let kind = output.get("secret").get("type");
    let is_changed = is_set(wanted.get("version"))
        || is_set(output.get("transform"))
        || (is_set(kind) && kind.text() != Some("Opaque"));
    let is_json = wanted.get("contentType").text() == Some("application/x-json");
    match (wanted.get("type").text(), key) {
        (Some("secret"), Some(key)) => Fill::key(key, access, None).unless(is_changed),
        (Some("multi-key-value-secret"), None) if is_json => Fill::each(access).unless(is_changed),
        _ => Fill::other(None),
    }
}
