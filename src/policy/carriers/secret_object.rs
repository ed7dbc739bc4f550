//! What may not stand in a Secret object of a bound namespace: what a tool should have resolved before, and annotations by
//! which another tool copies it.
//!
//! Secrets are never sent to RefGate. In the API server `manifests/base/policies` says this, in CEL; here it is said of files,
//! and a test holds the two together.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Foreign;
use super::reach::{Pointer, Reach};
use crate::policy::workload::json::escape;

/// Marks of values that a tool should have resolved, each with what to say of it.
pub const LEFTOVERS: [(&str, &str); 2] = [
    (
        "ENC[AES256_GCM",
        "it is still encrypted by SOPS (ENC[AES256_GCM…): decrypt it on the way to the cluster, or refer to the secret manager",
    ),
    ("<path:", "it is still a placeholder of argocd-vault-plugin (<path:…>): the plugin did not run"),
];

/// Judges a Secret.
pub fn judge(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    reach.copiers("/metadata/annotations", object.json.get("metadata").get("annotations"));
    for part in ["data", "stringData"] {
        for (key, value) in object.json.get(part).fields() {
            let Some(text) = value.text() else { continue };
            // What is no base64 is judged as it stands: SOPS leaves such a value in `data`.
            let decoded = STANDARD.decode(text.trim()).ok().filter(|_| part == "data");
            let decoded = decoded.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            for (mark, what) in LEFTOVERS {
                if text.contains(mark) || decoded.as_ref().is_some_and(|decoded| decoded.contains(mark)) {
                    let at = Pointer::to(format!("/{part}/{}", escape(key)));
                    reach.faults.push((at, what.to_owned()));
                }
            }
        }
    }
    reach
}
