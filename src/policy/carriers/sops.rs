//! sops-secrets-operator: SopsSecrets, whose values SOPS has encrypted, or should have.
//!
//! Source: isindir/sops-secrets-operator `api/v1alpha3`, getsops/sops `stores/stores.go`.

use super::claims::HIDDEN;
use super::doc::Doc;
use super::json::Json;
use super::reach::{Fill, Pointer, Reach};
use super::secret_store::is_azure_vault;
use super::{Carrier, Foreign, Handling, Kind};
use crate::policy::workload::json::escape;

/// The carrier.
pub const CARRIER: Carrier = Carrier {
    id: "sops",
    title: "SOPS, and sops-secrets-operator",
    kinds: &[Kind {
        group: "isindir.github.com",
        versions: &["v1alpha3", "v1alpha2", "v1alpha1"],
        kind: "SopsSecret",
        resource: "sopssecrets",
        cluster_scoped: false,
        handling: Handling::Judged { read, watched: true },
    }],
    doc: Doc {
        summary: "values that SOPS has encrypted; it names no path, so RefGate sees to it that they are encrypted",
        fields: &[
            ("SopsSecret spec.secretTemplates[].data, .stringData", "`ENC[…]`, or what should be"),
            (
                "SopsSecret metadata.annotations, `refgate.dev/paths`",
                "which key holds which path: `database_url=database_url`, with several Secrets or an encrypted name `web/database_url=database_url`",
            ),
            ("Secret data, stringData", "`ENC[AES256_GCM` that nobody decrypted: policy `refgate-leftovers`"),
            ("ConfigMap data, env values", "the same, and files of age and git-crypt: the webhook"),
            ("any file with a `sops:` block", "`refgate check`"),
        ],
        enforced: &[
            "Every value of a SopsSecret is encrypted: a rule of SOPS by suffix or expression leaves plaintext where it does not fit.",
            "An encrypted value does not become a Secret as it is: a policy inside the API server refuses it; nor a ConfigMap or an env value.",
            "`refgate check` holds every file with a `sops:` block to the file's own rule: what should be encrypted is, and what is left out is no secret.",
            "No replicator copies what comes out.",
            "A server of keys that the file names (`vault_address`, and `vault_url` outside of the domains of Azure) is not decided: the operator would log in there. See `carriers.undecided`.",
        ],
        undecidable: &[
            "What is encrypted: only who holds the key can say.",
            "Files that Argo CD, Flux or ksops decrypt before they reach the API server: those are ordinary Secrets there.",
        ],
        beside: "The key of KMS, Vault or age: whoever may use it reads every file that it has encrypted. One key for each scope.",
    },
};

fn read(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    reach.known("", &object.json, &["apiVersion", "kind", "metadata", "sops", "spec"]);
    servers(&mut reach, "/sops", object.json.get("sops"));
    let spec = object.json.get("spec");
    // The second is how v1alpha1 spells it. Whichever version it is, what stands in the other is judged too.
    let (new, old) = ("secretTemplates", "secret_templates");
    reach.known("/spec", spec, &[new, old, "suspend"]);
    templates(&mut reach, "/spec/secretTemplates", spec.get(new));
    templates(&mut reach, "/spec/secret_templates", spec.get(old));
    reach.target_at = "/spec/secretTemplates";
    reach
}

fn templates(reach: &mut Reach, base: &str, list: &Json<'_>) {
    for (index, template) in reach.list(base, list).iter().enumerate() {
        let at = format!("{base}/{index}");
        let known = ["annotations", "data", "labels", "name", "stringData", "type"];
        reach.known(&at, template, &known);
        reach.copiers(&format!("{at}/annotations"), template.get("annotations"));
        reach.texts(&format!("{at}/annotations"), template.get("annotations"));
        reach.labels(&format!("{at}/labels"), template.get("labels"));
        // Of a name that is encrypted too, only `refgate.dev/paths` can say what it is.
        let secret = reach.secret_name(|| Pointer::to(format!("{at}/name")), template.get("name"));
        let secret = secret.filter(|name| !name.is_empty());
        let secret = secret.map(|name| if name.starts_with("ENC[") { HIDDEN } else { name });
        for part in ["data", "stringData"] {
            for (key, _) in template.get(part).fields() {
                if let Some(secret) = secret {
                    reach.fill(Fill::other(Some(key)).of(secret));
                }
            }
            for (key, value) in template.get(part).fields() {
                let pointer = || Pointer::to(format!("{at}/{part}/{}", escape(key)));
                let Some(text) = reach.text(pointer, value).filter(|text| !text.is_empty()) else { continue };
                if !(text.starts_with("ENC[AES256_GCM,") && text.ends_with(']')) {
                    reach.faults.push((
                        pointer(),
                        "SOPS has not encrypted this value; encrypt it: sops --encrypt --in-place".to_owned(),
                    ));
                }
            }
        }
    }
}

/// Servers of keys that the file itself names: the operator shows its own token of Vault to each (getsops/sops `hcvault`).
fn servers(reach: &mut Reach, at: &str, value: &Json<'_>) {
    for (key, inner) in value.fields() {
        let at = format!("{at}/{}", escape(key));
        let is_elsewhere = match &**key {
            "vault_address" => |text: &str| !text.is_empty(),
            // SOPS writes it for each key of Azure Key Vault.
            "vault_url" => |text: &str| !text.is_empty() && !is_azure_vault(text),
            _ => |_: &str| false,
        };
        if inner.text().is_some_and(is_elsewhere) {
            let why = "to decrypt it, the operator logs in at a server that stands here; encrypt with a key of KMS, Azure Key Vault, PGP or age";
            reach.doubt(&at, why);
        }
        servers(reach, &at, inner);
    }
    for (index, inner) in value.items().iter().enumerate() {
        servers(reach, &format!("{at}/{index}"), inner);
    }
}
